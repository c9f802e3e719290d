"""Command `alsim ope`: the value of another policy, from a log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alsim.cli.app import app
from alsim.cli.completion import complete_policy
from alsim.cli.help import examples
from alsim.cli.options import ForceOption, ImportOption, JsonOption, SeedOption, allow_classes
from alsim.cli.output import elapsed_progress, write_report


def _target(policy: str) -> str:
    """Let a policy `module:Class` be found in the working directory."""
    allow_classes(policy)
    return policy


@app.command(
    short_help="Estimate the value of another policy from a log.",
    epilog=examples(
        "alsim ope by-rules --target epsilon-greedy:rules:0.1",
        "alsim ope by-uniform --target rules --plot ope.svg --json ope.json",
        "alsim ope by-rules --target runs/ppo --estimator dr --estimator mis",
    ),
)
def ope(
    log: Annotated[Path, typer.Argument(metavar="DIR", help="Directory of a dataset.", show_default=False)],
    target: Annotated[
        str,
        typer.Option(
            "--target",
            metavar="POLICY",
            callback=_target,
            autocompletion=complete_policy,
            show_default=False,
            help="Policy to evaluate: a name, the directory of a trained one, or module:Class.",
        ),
    ],
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
    from alsim.evaluation.ope import evaluate

    with elapsed_progress(f"evaluating {target} on {log}"):
        found = evaluate(log, target, gamma=gamma, confidence=confidence, estimators=estimators, refit=refit, seed=seed)
    result = found.to_dict()
    result["verdict"] = print_evaluation(found, confidence)
    if plot is not None:
        from alsim.cli.ope_plot import draw_evaluation

        draw_evaluation(plot, result, confidence)
        print(f"{plot}: estimates and effective sample sizes")
    write_report(report, result)
