"""Command `alsim fairness`: gaps between groups of learners, of a model, a policy or a table of predictions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alsim.cli.app import app
from alsim.cli.help import examples
from alsim.cli.options import COLUMNS_METAVAR, ForceOption, ImportOption, JsonOption, read_columns
from alsim.cli.output import elapsed_progress, write_report
from alsim.errors import AlsimError

if TYPE_CHECKING:
    from alsim.evaluation.fairness import Fairness


@app.command(
    short_help="Compare groups of learners: estimates, decisions, items.",
    epilog=examples(
        "alsim fairness by-rules --model bkt",
        "alsim fairness by-rules --model fit.json --mastered 0.9 --plot fairness.svg",
        "alsim fairness marks.csv --columns outcome=passed,group=school",
    ),
)
def fairness(
    log: Annotated[
        Path,
        typer.Argument(
            metavar="LOG",
            show_default=False,
            help="Directory of a dataset of simulated learners with a population, or a table with one row per "
            "prediction or answer.",
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="MODEL",
            show_default="only the policy",
            help="Student model to judge: a file of a student model or a fit; bkt, irt, pfa or hlr, which is fitted to "
            "other learners of the dataset; or fsrs.",
        ),
    ] = None,
    mastered: Annotated[
        float | None,
        typer.Option(
            "--mastered",
            metavar="M",
            show_default="0.8",
            help="Mastery from which an outcome of a dataset is mastered, true or estimated.",
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            "--columns",
            metavar=COLUMNS_METAVAR,
            show_default="columns of the same names",
            help="Columns of a table: outcome, prediction, group, learner, item, matching.",
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold",
            metavar="P",
            show_default="0.5",
            help="Probability in a table from which a forecast is a decision.",
        ),
    ] = None,
    items: Annotated[
        bool | None,
        typer.Option(
            "--items/--no-items",
            show_default="--items",
            help="Test the questions of a dataset for group differences (DIF).",
        ),
    ] = None,
    confidence: Annotated[
        float, typer.Option("--confidence", metavar="P", help="Level of the intervals, between 0 and 1.")
    ] = 0.95,
    imports: ImportOption = None,
    force: ForceOption = False,
    report: JsonOption = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Draw rates of the groups, and items: .png, .svg, .pdf."),
    ] = None,
) -> None:
    """Compare groups of learners: who is underestimated, who is selected, and which items differ.

    The truth about simulated learners is known: the command compares the mastery that a student model estimates with
    the true mastery, and the results of the policy between the rows of the population. A table has outcomes and
    predictions, or answers to items.
    """
    from alsim.cli.fairness_text import print_fairness

    with elapsed_progress(f"comparing groups of {log}"):
        found = evaluated(log, model, mastered, columns, threshold, confidence, items=items)
    result = found.to_dict()
    result["verdict"] = print_fairness(found, confidence)
    if plot is not None:
        from alsim.cli.fairness_plot import draw_fairness

        draw_fairness(plot, found, confidence)
        print(f"{plot}: rates of the groups and tests of items")
    write_report(report, result)


def evaluated(
    log: Path,
    model: str | None,
    mastered: float | None,
    columns: str | None,
    threshold: float | None,
    confidence: float,
    *,
    items: bool | None,
) -> Fairness:
    """Return the evaluation of a dataset or of a table. Raises AlsimError for options of the other kind."""
    from alsim.evaluation.fairness import evaluate_dataset, evaluate_table

    if log.is_dir():
        _refuse({"--columns": columns, "--threshold": threshold}, f"is for a table; {log} is a dataset")
        settings = {"mastered": mastered, "items": items}
        return evaluate_dataset(log, model, confidence=confidence, **_passed(settings))
    if not log.exists():
        raise AlsimError(f"there is no log {log}: pass the directory of a dataset, or a table")
    own = {"--model": model, "--mastered": mastered, "--items": items or None, "--no-items": items is False or None}
    _refuse(own, f"is for a dataset; {log} is a table")
    roles = read_columns(columns) if columns else None
    return evaluate_table(log, roles, confidence=confidence, **_passed({"threshold": threshold}))


def _refuse(options: Mapping[str, Any], reason: str) -> None:
    """Raise AlsimError for the first option that was passed."""
    for name in _passed(options):
        raise AlsimError(f"{name} {reason}: leave it out")


def _passed(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that were passed."""
    return {name: value for name, value in options.items() if value is not None}
