"""Command `alsim abtest`: the analysis of an A/B test."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alsim.cli.app import app
from alsim.cli.help import examples
from alsim.cli.options import ForceOption, JsonOption
from alsim.cli.output import elapsed_progress, write_report
from alsim.errors import AlsimError

DEFAULT_METRIC = "learning/interactions"
"""Metric of datasets and of logs of engines, if none is named."""


def read_numbers(texts: list[str] | None, option: str) -> dict[str, float]:
    """Return the numbers of texts such as NAME=0.02, by name. Raises AlsimError for other texts."""
    found: dict[str, float] = {}
    for text in texts or ():
        name, equals, number = text.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            equals = ""
        if not (name and equals):
            raise AlsimError(f"{option} must be NAME=NUMBER; got {text!r:.60}: write {option} give_up_rate=0.02, say")
        if name in found:
            raise AlsimError(f"{option} names {name!r:.60} twice: keep one")
        found[name.strip()] = value
    return found


@app.command(
    short_help="Analyse an A/B test.",
    epilog=examples(
        "alsim abtest students.csv --arm group --metric score --covariate pretest",
        "alsim abtest students.csv --arm group --metric correct/answers --cluster class --sequential",
        "alsim abtest log-of-rules log-of-uniform --guardrail give_up_rate=0.02",
        "alsim abtest exported-engine --metric learning/interactions --json -",
    ),
)
def abtest(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            show_default=False,
            help="Table with one row per student, exported log of an engine, or one dataset per arm, control first.",
        ),
    ],
    arm: Annotated[
        str | None,
        typer.Option("--arm", metavar="COLUMN", show_default="required for a table", help="Column of the arms."),
    ] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            metavar="COLUMN",
            show_default=f"{DEFAULT_METRIC}, of datasets and engines",
            help="Metric to test, or a ratio of sums as A/B; may be repeated.",
        ),
    ] = None,
    control: Annotated[
        str | None,
        typer.Option("--control", metavar="ARM", show_default="control, or the first one", help="Arm of the control."),
    ] = None,
    guardrails: Annotated[
        list[str] | None,
        typer.Option(
            "--guardrail",
            metavar="COLUMN=CHANGE",
            show_default="none",
            help="Tolerated change of another metric: a rise if positive, a fall if negative; may be repeated.",
        ),
    ] = None,
    covariate: Annotated[
        str | None,
        typer.Option(
            "--covariate", metavar="COLUMN", show_default="none", help="Value before the assignment, for CUPED."
        ),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            "--cluster", metavar="COLUMN", show_default="none", help="Class of the student, for cluster-robust errors."
        ),
    ] = None,
    stratum: Annotated[
        str | None,
        typer.Option("--stratum", metavar="COLUMN", show_default="none", help="Stratum, for post-stratification."),
    ] = None,
    student: Annotated[
        str | None,
        typer.Option(
            "--student", metavar="COLUMN", show_default="none", help="Id of the student, to find overlapping arms."
        ),
    ] = None,
    order: Annotated[
        str | None,
        typer.Option(
            "--order", metavar="COLUMN", show_default="order of rows", help="Time or number of the student's arrival."
        ),
    ] = None,
    assignment_time: Annotated[
        str | None,
        typer.Option("--assignment-time", metavar="COLUMN", show_default="none", help="Time of the assignment."),
    ] = None,
    covariate_time: Annotated[
        str | None,
        typer.Option(
            "--covariate-time", metavar="COLUMN", show_default="none", help="Time when the covariate was measured."
        ),
    ] = None,
    shares: Annotated[
        list[str] | None,
        typer.Option(
            "--share",
            metavar="ARM=SHARE",
            show_default="those of the engine or the datasets, or equal ones",
            help="Expected share of an arm; repeated for each.",
        ),
    ] = None,
    experiment: Annotated[
        str | None,
        typer.Option(
            "--experiment", metavar="NAME", show_default="the only one", help="Experiment in an engine's log."
        ),
    ] = None,
    sequential: Annotated[
        bool, typer.Option("--sequential", help="Use confidence sequences, which hold at any number of looks.")
    ] = False,
    planned: Annotated[
        int | None,
        typer.Option(
            "--planned",
            metavar="N",
            show_default="any",
            help="Planned number of students, before which a fixed-horizon test is refused.",
        ),
    ] = None,
    confidence: Annotated[
        float, typer.Option("--confidence", metavar="P", help="Level of the intervals, between 0 and 1.")
    ] = 0.95,
    force: ForceOption = False,
    report: JsonOption = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Draw effects, and sequences over students: .png, .svg, .pdf."),
    ] = None,
) -> None:
    """Test the difference and the relative lift of each metric between the arms of an experiment.

    A fixed-horizon test is valid at one look, at the planned end. With --sequential, every look is.
    """
    from alsim.cli.experiment_text import print_abtest
    from alsim.evaluation.experiments.abtest import analyse
    from alsim.evaluation.experiments.sources import read_experiment

    rails, expected = read_numbers(guardrails, "--guardrail"), read_numbers(shares, "--share")
    if not metrics and arm is not None:
        raise AlsimError("a table needs --metric, the column of the metric: name one")
    chosen = metrics or [DEFAULT_METRIC]
    with elapsed_progress(f"analysing {', '.join(map(str, files))}"):
        data = read_experiment(
            files,
            [*chosen, *rails],
            arm=arm,
            control=control,
            experiment=experiment,
            covariate=covariate,
            cluster=cluster,
            stratum=stratum,
            student=student,
            order=order,
            assignment_time=assignment_time,
            covariate_time=covariate_time,
        )
        found = analyse(
            data,
            chosen,
            guardrails=rails,
            shares=expected or None,
            sequential=sequential,
            planned=planned,
            confidence=confidence,
        )
    result = found.to_dict()
    result["verdict"] = print_abtest(found)
    if plot is not None:
        from alsim.cli.experiment_plot import draw_abtest

        draw_abtest(plot, found)
        print(f"{plot}: effects")
    write_report(report, result)
