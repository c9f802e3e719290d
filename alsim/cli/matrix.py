"""Command `alsim matrix`: the same policies under several dynamics and populations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from alsim.cli.app import app
from alsim.cli.command import ListCommand
from alsim.cli.completion import complete_dynamics
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
    ForceOption,
    ImportOption,
    JsonOption,
    Observation,
    ObservationOption,
    SeedOption,
)
from alsim.cli.output import counted, fixed_point, print_sentence, write_report, write_text
from alsim.errors import AlsimError
from alsim.evaluation.defaults import MATRIX_LEARNERS

MOST_REVERSALS = 5
"""Most reversals that are printed."""

Report = Mapping[str, Any]


@app.command(
    cls=ListCommand,
    short_help="Evaluate policies under several dynamics and populations.",
    epilog=examples(
        "alsim matrix rules weakest video-weakest --dynamics standard linked bkt fatigue",
        "alsim matrix rules uniform --population slow.csv fast.csv --plot matrix.svg",
    ),
)
def matrix(
    policies: PoliciesArgument,
    dynamics: Annotated[
        list[str] | None,
        typer.Option(
            "--dynamics",
            metavar="NAME...",
            autocompletion=complete_dynamics,
            show_default="none",
            help="Dynamics, each in a column.",
        ),
    ] = None,
    populations: Annotated[
        list[Path] | None,
        typer.Option(
            "--population",
            metavar="FILE...",
            show_default="none",
            help="Tables of populations (share, name, dynamics.PARAMETER), each in a column.",
        ),
    ] = None,
    metric: Annotated[
        str, typer.Option("--metric", metavar="NAME", help="Metric that ranks the policies.")
    ] = "learning",
    learners: Annotated[
        int, typer.Option("--learners", metavar="N", help="Number of learners per column.")
    ] = MATRIX_LEARNERS,
    seed: SeedOption = 0,
    first_learner: FirstLearnerOption = 2**31,
    config: ConfigOption = None,
    bank: BankOption = None,
    imports: ImportOption = None,
    observation: ObservationOption = Observation.mastery,
    num_threads: ThreadsOption = 1,
    force: ForceOption = False,
    report: JsonOption = None,
    csv: CsvOption = None,
    latex: LatexOption = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Draw a heat map of the regret: .png, .svg, .pdf.")
    ] = None,
) -> None:
    """Show how policies rank under several models of the learner, and which one has the smallest regret.

    The regret is how much worse a policy is than the best one under the same dynamics.
    """
    from alsim.evaluation.robustness import matrix as run
    from alsim.training.seed_groups import expanded

    policies = expanded(policies)
    columns = len(dynamics or ()) + len(populations or ())
    with episodes_progress(learners * len(policies) * columns) as progress:
        found = run(
            policies,
            dynamics or (),
            populations=_labelled(populations or ()),
            metric=metric,
            learners=learners,
            seed=seed,
            first_learner=first_learner,
            config=config,
            bank=bank,
            observation=observation.value,
            num_threads=num_threads,
            progress=progress,
        )
    result = found.to_dict()
    result["verdict"] = _print_matrix(result)
    _write(result, report, csv, latex, plot)


def _labelled(files: Sequence[Path]) -> dict[str, Path]:
    """Return tables of populations by label: the name of the file without its ending. Raises AlsimError."""
    labels = [file.stem for file in files]
    if len(set(labels)) < len(labels):
        double = next(label for label in labels if labels.count(label) > 1)
        raise AlsimError(f"--population has two files with the name {double}; rename one, since it names the column")
    return dict(zip(labels, files, strict=True))


def _print_matrix(result: Report) -> str:
    """Print the matrix, the regret, the reversals and the verdict; return the verdict."""
    from alsim.cli.comparison_text import print_blocks

    learners = counted(result["learners"], "held-out learner")
    print_sentence(f"{_heading(result)}: {learners} per column, seed {result['seed']}; {REACH}")
    print()
    print_blocks(*_cells(result))
    print()
    unit = f", {result['unit']}" if result["unit"] else ""
    print_sentence(f"Regret{unit}: distance from the best policy of the column")
    print()
    print_blocks(*_regrets(result))
    print()
    for reversal in result["reversals"][:MOST_REVERSALS]:
        print_sentence(_reversal(reversal))
    hidden = len(result["reversals"]) - MOST_REVERSALS
    if hidden > 0:
        print(f"and {counted(hidden, 'more reversal')}, which --json FILE lists")
    if result["reversals"]:
        print()
    verdict = _verdict(result)
    print_sentence(verdict)
    return verdict


def _heading(result: Report) -> str:
    """Return the metric with its unit."""
    from alsim.evaluation.metrics import COMPARED

    return COMPARED[result["metric"]].heading


def _cells(result: Report) -> tuple[list[str], list[list[str]]]:
    """Return the headings and rows of the means, the best by the largest regret first."""
    from alsim.cli.comparison_text import from_columns, statistics_column

    order = _order(result)
    columns = [statistics_column(name, [result["cells"][p][name] for p in order]) for name in result["dynamics"]]
    return from_columns(["policy", *order], *columns)


def _regrets(result: Report) -> tuple[list[str], list[list[str]]]:
    """Return the headings and rows of the regrets, with the largest of each policy."""
    places = 1 if max(own["regret"] for own in result["worst_case"].values()) >= 100 else 2
    rows = [
        [
            policy,
            *(fixed_point(result["regret"][policy][name], places) for name in result["dynamics"]),
            fixed_point(result["worst_case"][policy]["regret"], places),
        ]
        for policy in _order(result)
    ]
    return ["policy", *result["dynamics"], "largest"], rows


def _order(result: Report) -> list[str]:
    """Return the policies, those with the smallest largest regret first."""
    return sorted(result["policies"], key=lambda policy: float(result["worst_case"][policy]["regret"]))


def _reversal(reversal: Report) -> str:
    """Return a sentence about a reversal."""
    return f"{reversal['a']} is better than {reversal['b']} under {reversal['in']}, and worse under {reversal['out']}."


def _verdict(result: Report) -> str:
    """Return a sentence: the policy to choose, its largest regret or its rivals, and how many reversals there are."""
    chosen = result["choose"]
    worst = result["worst_case"][chosen]
    number = counted(len(result["reversals"]), "reversal")
    if worst["regret"] == 0:
        if not (unclear := _unclear(result, chosen)):
            return f"{chosen} is the best policy in every column ({number} of the order of two policies)."
        first, *more = unclear
        others = f" and in {counted(len(more), 'other comparison')}" if more else ""
        return (
            f"{chosen} has the best mean in every column, but is not clearly better than {first}{others} "
            f"({number} of the order of two policies)."
        )
    unit = f" {result['unit']}" if result["unit"] else ""
    return (
        f"{result['choose']} has the smallest largest regret, {worst['regret']:.3g}{unit} under {worst['dynamics']} "
        f"({number} of the order of two policies)."
    )


def _unclear(result: Report, policy: str) -> list[str]:
    """Return the policies and columns in which the difference from a policy may be chance, as in "b under bkt"."""
    from alsim.evaluation.comparison import LEVEL

    return [
        f"{pair['b'] if pair['a'] == policy else pair['a']} under {pair['dynamics']}"
        for pair in result["pairs"]
        if policy in (pair["a"], pair["b"]) and (pair["p_adjusted"] is None or pair["p_adjusted"] > LEVEL)
    ]


def _write(result: Report, report: Path | None, csv: Path | None, latex: Path | None, plot: Path | None) -> None:
    """Write the report, the tables and the figure that are requested."""
    from alsim.evaluation.paper_tables import csv_table, latex_table

    if csv is not None:
        write_text(csv, csv_table("dynamics", _blocks(result), {result["metric"]: result["unit"] or ""}))
    if latex is not None:
        caption = f"{_heading(result)}: {result['learners']:,} simulated learners per column, seed {result['seed']}; "
        write_text(latex, latex_table(*_cells(result), f"{caption}{REACH}."))
    if plot is not None:
        from alsim.cli.matrix_plot import draw_matrix

        draw_matrix(plot, result)
        print(f"{plot}: heat map of the regret")
    write_report(report, result)


def _blocks(result: Report) -> dict[str, dict[str, Any]]:
    """Return the statistics and pairs of each column, as a table as CSV has them."""
    return {
        name: {
            "policies": {policy: {result["metric"]: result["cells"][policy][name]} for policy in result["policies"]},
            "pairs": [{**pair, "metric": result["metric"]} for pair in result["pairs"] if pair["dynamics"] == name],
        }
        for name in result["dynamics"]
    }
