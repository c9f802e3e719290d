"""Command `alsim scorecard`: a student model held against the truth of simulated learners."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alsim.cli.app import app
from alsim.cli.help import examples
from alsim.cli.options import ImportOption, JsonOption, SeedOption, allow_classes
from alsim.cli.output import counted_progress, write_report
from alsim.evaluation.defaults import SCORECARD_LEARNERS


@app.command(
    short_help="Hold a student model against the truth of simulated learners.",
    epilog=examples(
        "alsim scorecard irt",
        "alsim scorecard bkt --logs 4 --plot bkt.svg",
        "alsim scorecard mine:fit --learners 500 --json card.json",
    ),
)
def scorecard(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            show_default=False,
            callback=allow_classes,
            help="Model: irt, irt:2pl, irt:1pl, irt:rasch, bkt, dkt, pfa, best-lr, skill-mean, elo, glicko, alosi, "
            "hlr, fsrs, or module:Name of a class of student models or of a function that fits one.",
        ),
    ],
    num_learners: Annotated[
        int,
        typer.Option("--learners", metavar="N", help="Learners of each log to fit to; half as many are held out."),
    ] = SCORECARD_LEARNERS,
    logs: Annotated[
        int | None,
        typer.Option(
            "--logs", metavar="R", show_default="10; of dkt, 1", help="Number of logs of each kind of learners."
        ),
    ] = None,
    seed: SeedOption = 0,
    imports: ImportOption = None,
    report: JsonOption = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Draw recovery, calibration and AUCs: .png, .svg, .pdf."),
    ] = None,
) -> None:
    """Fit a student model to simulated logs, and hold it against the truth of the simulated learners.

    irt meets learners of constant ability, bkt learners who know an outcome or not, and hlr and fsrs learners who
    forget: learners of their own kind. The other models meet the first two, and those of the standard dynamics.
    """
    from alsim.evaluation.scorecards.run import scorecard as run

    with counted_progress("fits") as show:
        card = run(
            model,
            num_learners=num_learners,
            logs=logs,
            seed=seed,
            progress=lambda done, total, world: show(done, world, total),
        )
    print(card.text)
    if plot is not None:
        from alsim.cli.scorecard_plot import draw_scorecard

        draw_scorecard(plot, card)
        print(f"{plot}: recovery, calibration and AUCs")
    write_report(report, card.to_dict())
