"""Command `alsim ope`: the value of another policy, from a log."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alsim.cli.app import app
from alsim.cli.completion import complete_policy
from alsim.cli.help import examples
from alsim.cli.options import (
    COLUMNS_METAVAR,
    ForceOption,
    ImportOption,
    JsonOption,
    SeedOption,
    allow_classes,
    read_columns,
)
from alsim.cli.output import counted_progress, elapsed_progress, write_report
from alsim.errors import AlsimError
from alsim.evaluation.defaults import CERTIFIED_LOGS

if TYPE_CHECKING:
    from alsim.datasets.store import Dataset
    from alsim.evaluation.ope.certificate import Certificate


@app.command(
    short_help="Estimate the value of another policy from a log.",
    epilog=examples(
        "alsim ope by-rules --target epsilon-greedy:rules:0.1",
        "alsim ope by-uniform --target rules --plot ope.svg --json ope.json",
        "alsim ope by-rules --target epsilon-greedy:rules:0.1 --certify --workers 4",
        "alsim ope students.csv --columns reward=score,behaviour=p,target=new",
    ),
)
def ope(
    logs: Annotated[
        list[Path],
        typer.Argument(
            metavar="LOG...",
            show_default=False,
            help="Directory of a dataset or of an exported log of an engine, or a table with one row per step; several "
            "are one log.",
        ),
    ],
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            metavar="POLICY",
            callback=allow_classes,
            autocompletion=complete_policy,
            show_default="that of the table",
            help="Policy to evaluate: a name, the directory of a trained one, or module:Class; a table has its "
            "probabilities in a column.",
        ),
    ] = None,
    estimators: Annotated[
        list[str] | None,
        typer.Option("--estimator", metavar="NAME", show_default="all", help="Estimator to compute; may be repeated."),
    ] = None,
    gamma: Annotated[float, typer.Option("--gamma", metavar="G", help="Discount factor, from 0 to 1.")] = 1.0,
    confidence: Annotated[
        float, typer.Option("--confidence", metavar="P", help="Level of the intervals, between 0 and 1.")
    ] = 0.95,
    refit: Annotated[
        int,
        typer.Option("--refit", metavar="B", help="Refits of fqe to resampled learners, for its interval; 0: none."),
    ] = 0,
    window: Annotated[
        int, typer.Option("--window", metavar="K", help="Number of the last actions in the weights of window.")
    ] = 1,
    action_mask: Annotated[
        str | None,
        typer.Option(
            "--action-mask",
            metavar="FUNCTION",
            callback=allow_classes,
            show_default="that of the dataset",
            help="module:function, if the dataset was generated with a function as action mask.",
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            "--columns",
            metavar=COLUMNS_METAVAR,
            show_default="columns of the same names",
            help="Columns of a table: episode, reward, behaviour, target, and others in the documentation; of a log of "
            "an engine: reward.",
        ),
    ] = None,
    missing: Annotated[
        float | None,
        typer.Option(
            "--missing",
            metavar="R",
            show_default="refused",
            help="Reward of the interactions of an engine without a value in the column of the reward.",
        ),
    ] = None,
    features: Annotated[
        list[str] | None,
        typer.Option(
            "--feature", metavar="NAME", show_default="none", help="Column for estimated propensities; may be repeated."
        ),
    ] = None,
    estimate_propensities: Annotated[
        bool,
        typer.Option("--estimate-propensities", help="Estimate the propensities of a table without them."),
    ] = False,
    certify: Annotated[
        bool,
        typer.Option(
            "--certify",
            help="Measure the errors of the estimates on repeated logs of simulated learners.",
        ),
    ] = False,
    num_logs: Annotated[
        int, typer.Option("--logs", metavar="R", help="Number of repeated logs of --certify.")
    ] = CERTIFIED_LOGS,
    workers: Annotated[
        int, typer.Option("--workers", metavar="N", help="Processes of --certify; the results do not depend on it.")
    ] = 1,
    seed: SeedOption = 0,
    imports: ImportOption = None,
    force: ForceOption = False,
    report: JsonOption = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Draw estimates and effective sample sizes: .png, .svg, .pdf."),
    ] = None,
) -> None:
    """Estimate the value of a policy, its expected return, from a log of another policy.

    The diagnosis comes first: whether the log can tell the value of this policy. The command then recommends one of the
    estimators, or none.
    """
    from alsim.cli.ope_text import print_evaluation
    from alsim.evaluation.ope.evaluation import checked_estimators, evaluate_log
    from alsim.evaluation.ope.sources import read_episodes

    roles: dict[str, Any] = {**(read_columns(columns) if columns else {})}
    if features:
        roles["features"] = features
    names = checked_estimators(estimators)
    options: dict[str, Any] = {"estimators": names, "gamma": gamma, "confidence": confidence, "window": window}
    certified = certifiable(logs, target) if certify else None
    if num_logs < 2:
        raise AlsimError(f"--logs must be at least 2; got {num_logs}")
    if workers < 1:
        raise AlsimError(f"--workers must be at least 1; got {workers}")
    with elapsed_progress(f"evaluating {target or 'a policy'} on {', '.join(map(str, logs))}"):
        log = read_episodes(
            logs,
            target,
            action_mask=action_mask,
            columns=roles or None,
            estimate_propensities=estimate_propensities,
            missing=missing,
        )
        found = evaluate_log(log, **options, refit=refit, seed=seed)
    result = found.to_dict()
    result["verdict"] = print_evaluation(found, confidence)
    if certified is not None:
        options |= {"logs": num_logs, "processes": workers, "action_mask": action_mask}
        options["seed"] = (int(certified.manifest["seed"]) + 1 + seed) % 2**64
        certificate = certificate_of(certified, str(target), **options)
        print(f"\n{certificate}")
        result["certificate"] = certificate.to_dict()
    if plot is not None:
        from alsim.cli.ope_plot import draw_evaluation

        draw_evaluation(plot, result, confidence)
        print(f"{plot}: estimates and effective sample sizes")
    write_report(report, result)


def certifiable(logs: Sequence[Path], target: str | None) -> Dataset:
    """Return the only log, a dataset of simulated learners. Raises AlsimError for others."""
    from alsim.datasets.sources import opened
    from alsim.datasets.store import Dataset

    sources = [opened(log) for log in logs]
    if len(sources) != 1 or not isinstance(sources[0], Dataset) or target is None:
        raise AlsimError("--certify needs one dataset of simulated learners, whose truth is known; leave it out")
    return sources[0]


def certificate_of(dataset: Dataset, target: str, **options: Any) -> Certificate:
    """Return the certificate of a target for logs like a dataset, and show the progress."""
    from alsim.evaluation.ope.certificate import certify_dataset

    with counted_progress("parts") as show:
        return certify_dataset(dataset, target, progress=lambda done, total: show(done, "", total), **options)
