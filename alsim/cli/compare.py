"""Command `alsim compare`: policies with the same held-out learners."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alsim.cli.app import app
from alsim.cli.evaluation_options import (
    REACH,
    CsvOption,
    FirstLearnerOption,
    LatexOption,
    PoliciesArgument,
    ThreadsOption,
    episodes_progress,
)
from alsim.cli.help import examples
from alsim.cli.options import (
    BankOption,
    ConfigOption,
    DynamicsOption,
    ForceOption,
    ImportOption,
    JsonOption,
    Observation,
    ObservationOption,
    SeedOption,
)
from alsim.cli.output import write_report, write_text
from alsim.evaluation.defaults import COMPARE_LEARNERS

if TYPE_CHECKING:
    from alsim.evaluation import Comparison


PlotOption = Annotated[
    Path | None,
    typer.Option("--plot", metavar="FILE", help="Draw results, learning curves and endings: .png, .svg, .pdf."),
]


@app.command(
    short_help="Compare policies on the same held-out learners.",
    epilog=examples(
        "alsim compare rules uniform video-weakest",
        "alsim compare runs/* --plot comparison.svg",
        "alsim compare rules mine:Teacher --json - | jq .pairs[0]",
    ),
)
def compare(
    policies: PoliciesArgument,
    learners: Annotated[int, typer.Option("--learners", metavar="N", help="Number of learners.")] = COMPARE_LEARNERS,
    seed: SeedOption = 0,
    first_learner: FirstLearnerOption = 2**31,
    config: ConfigOption = None,
    bank: BankOption = None,
    dynamics: DynamicsOption = None,
    imports: ImportOption = None,
    observation: ObservationOption = Observation.mastery,
    by: Annotated[
        str | None,
        typer.Option(
            "--by", metavar="GROUPS", show_default="none", help="Groups of learners to compare, too: population."
        ),
    ] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            "--metric", metavar="NAME", help="Metric of the first table besides return and learning; may be repeated."
        ),
    ] = None,
    num_threads: ThreadsOption = 1,
    force: ForceOption = False,
    report: JsonOption = None,
    csv: CsvOption = None,
    latex: LatexOption = None,
    plot: PlotOption = None,
) -> None:
    """Let policies teach the same held-out learners with the same random numbers, and compare them.

    Each learner has one episode under each policy. Differences are paired by learner.
    """
    from alsim.cli.comparison_text import print_comparison
    from alsim.evaluation.comparison import compare as run
    from alsim.evaluation.metrics import read_metric
    from alsim.training.seed_groups import expanded, seed_groups

    shown = [*dict.fromkeys(read_metric(name, "--metric").name for name in metrics or ())]
    policies = expanded(policies)
    with episodes_progress(learners * len({*policies})) as progress:
        comparison = run(
            policies,
            learners=learners,
            seed=seed,
            first_learner=first_learner,
            config=config,
            bank=bank,
            dynamics=dynamics,
            observation=observation.value,
            num_threads=num_threads,
            by=by,
            progress=progress,
        )
    result = comparison.to_dict()
    if algorithms := seed_groups(policies):
        from alsim.evaluation.algorithms import algorithms_report

        result |= algorithms_report(comparison, algorithms)
    verdict = print_comparison(comparison, result, shown)
    _write(comparison, result | {"verdict": verdict}, shown, report, csv, latex, plot)


def _write(
    comparison: Comparison,
    result: Mapping[str, Any],
    shown: Sequence[str],
    report: Path | None,
    csv: Path | None,
    latex: Path | None,
    plot: Path | None,
) -> None:
    """Write the report, the tables and the figure that are requested."""
    from alsim.cli.comparison_text import first_table
    from alsim.evaluation.metrics import COMPARED
    from alsim.evaluation.paper_tables import csv_table, latex_table

    if csv is not None:
        blocks = {"all learners": result, **result["groups"]}
        write_text(csv, csv_table("group", blocks, {name: metric.unit for name, metric in COMPARED.items()}))
    if latex is not None:
        world = comparison.setting
        caption = f"{world.learners:,} simulated learners, seed {world.seed}; {REACH}."
        write_text(latex, latex_table(*first_table(result, shown), caption))
    if plot is not None:
        from alsim.cli.comparison_plot import draw_comparison

        draw_comparison(plot, result, comparison.courses)
        print(f"{plot}: figure of the comparison")
    write_report(report, result)
