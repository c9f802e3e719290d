"""Command `alsim rehearse`: a planned experiment on simulated students."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alsim.cli.app import app
from alsim.cli.evaluation_options import ThreadsOption
from alsim.cli.help import examples
from alsim.cli.options import ForceOption, ImportOption, JsonOption, allow_classes
from alsim.cli.output import check_replaceable, counted_progress, write_report, write_text


@app.command(
    short_help="Rehearse an A/B test on simulated students.",
    epilog=examples(
        "alsim rehearse learning",
        "alsim rehearse learning --save-plan plan.toml",
        "alsim rehearse plan.toml --repetitions 2000 --threads 2 --plot rehearsal.svg --json rehearsal.json",
    ),
)
def rehearse(
    plan: Annotated[
        str,
        typer.Argument(
            metavar="PLAN",
            show_default=False,
            help="File of a plan in TOML, or a plan of the package: learning, mastery or classes.",
        ),
    ],
    repetitions: Annotated[
        int | None,
        typer.Option("--repetitions", metavar="R", show_default="those of the plan", help="Number of experiments."),
    ] = None,
    num_threads: ThreadsOption = 1,
    imports: ImportOption = None,
    save_plan: Annotated[
        Path | None,
        typer.Option(
            "--save-plan",
            metavar="FILE",
            show_default="none",
            help="Only write a plan of the package to a file, to change it.",
        ),
    ] = None,
    force: ForceOption = False,
    report: JsonOption = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Draw power and false alarms by students: .png, .svg, .pdf."),
    ] = None,
) -> None:
    """Run a planned experiment many times on simulated students: its power, and its false alarms.

    Students are assigned and analysed as real ones are.
    """
    from alsim.cli.experiment_text import print_rehearsal
    from alsim.evaluation.experiments.plan import plan_text, read_experiment_plan
    from alsim.evaluation.experiments.rehearsal import rehearse as run

    if save_plan is not None:
        check_replaceable("--save-plan", save_plan, force, "a plan", lambda _: False)
        write_text(save_plan, plan_text(plan))
        print(f"{save_plan}: the plan {plan}; to rehearse it: alsim rehearse {save_plan}")
        return
    known = read_experiment_plan(plan)
    if repetitions is not None:
        known = read_experiment_plan({**known.model_dump(), "repetitions": repetitions})
    for arm in known.arms.values():
        allow_classes(arm.policy)
    with counted_progress("experiments", known.repetitions) as show:
        found = run(known, num_threads=num_threads, progress=lambda done, total: show(done, "", total))
    result = found.to_dict()
    result["verdict"] = print_rehearsal(found)
    if plot is not None:
        from alsim.cli.experiment_plot import draw_rehearsal

        draw_rehearsal(plot, result)
        print(f"{plot}: power and false alarms")
    write_report(report, result)
