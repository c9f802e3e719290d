"""Options `--seeds` and `--processes` of `alsim train`: trainings with several seeds, and their description."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import hypot
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alsim.cli.app import CHECK_FAILED
from alsim.cli.output import (
    counted,
    log_to_stderr,
    print_facts,
    print_sentence,
    print_table,
    print_warning,
    printable,
    progress_bar,
    resumable,
    write_report,
)
from alsim.cli.rules import learner_facts, print_learner_facts

if TYPE_CHECKING:
    from alsim.training.run import Training
    from alsim.training.seeds import SeedsMoment

SHOWN: dict[str, tuple[str, str]] = {
    "cumulative_reward": ("return", ".2f"),
    "final_mastery": ("final mastery", ".3f"),
    "give_ups": ("give-ups", ".1%"),
}
"""Label and format of each metric in the tables."""
MAX_ROWS = 12
"""Largest number of seeds that are listed one by one."""

SeedsOption = Annotated[
    int | None,
    typer.Option(
        "--seeds",
        metavar="K",
        show_default="one training in DIR",
        help="Train with K seeds, --seed and the next ones, in one process each; DIR has one training per seed.",
    ),
]
ProcessesOption = Annotated[
    int | None,
    typer.Option(
        "--processes",
        metavar="N",
        show_default="number of cores / --threads",
        help="With --seeds, the largest number of processes at a time.",
    ),
]


def run_seeds(arguments: Mapping[str, Any], seeds: int, processes: int | None, report: Path | None) -> None:
    """Train with several seeds, and print the summary. A failed training ends in status 1.

    arguments  those of `alsim.training.train`
    """
    from alsim.cli.training_info import read_stored
    from alsim.training.seeds import SeedsError, train_seeds
    from alsim.training.seeds_directory import SETTINGS

    out, force = arguments["out"], arguments["force"]
    try:
        with resumable(lambda: _resume_hint(out, force)), _progress() as progress, log_to_stderr("alsim.training"):
            trained = train_seeds(**arguments, seeds=seeds, processes=processes, progress=progress)
    except SeedsError as error:
        print_warning(str(error))
        raise typer.Exit(CHECK_FAILED) from None
    print(printable(f"{out}: {_title(trained.summary)}"))
    print_learner_facts(read_stored(out / SETTINGS)["config"])
    print_summary(trained.summary)
    write_report(report, trained.summary)


def _resume_hint(out: Path, force: bool) -> str:
    """Return how to resume interrupted trainings."""
    from alsim.training.seeds_directory import finished_seeds, stored_seeds

    seeds = stored_seeds(out)
    command = "the same command without --force" if force else "the same command"
    finished = f"{len(finished_seeds(out, seeds))} of {counted(len(seeds), 'training')} are finished"
    return f"{finished}; {command} resumes the others from their last checkpoints"


@contextmanager
def _progress() -> Iterator[Callable[[SeedsMoment], None]]:
    """Show a progress bar of all interactions if stderr is a terminal; otherwise print one line per training."""
    from rich.progress import BarColumn, TextColumn

    columns = (TextColumn("{task.fields[seeds]}"), BarColumn(bar_width=16), TextColumn("{task.fields[steps]}"))
    with progress_bar(*columns) as bar:
        if bar is None:
            yield _print_training
            return
        task = bar.add_task("", total=None, seeds="", steps="")

        def show(moment: SeedsMoment) -> None:
            seeds, steps = f"{moment.finished} of {moment.seeds} seeds finished", f"{moment.steps:,} interactions"
            bar.update(task, completed=moment.steps, total=moment.total, seeds=seeds, steps=steps)

        yield show


def _print_training(moment: SeedsMoment) -> None:
    """Print the evaluation of a training that has just finished."""
    if moment.training is not None:
        line = f"{moment.finished} of {moment.seeds} seeds finished, {moment.training.path.name}: "
        print(line + _result(moment.training), file=sys.stderr, flush=True)


def _result(training: Training) -> str:
    """Return the metrics and the duration of a training as text."""
    metrics = training.evaluation["policies"][training.policy.name]
    values = [f"{label} {metrics[name]['mean']:{form}}" for name, (label, form) in SHOWN.items()]
    return f"{', '.join(values)}, {training.evaluation['training']['seconds']:,.0f} s"


# ── the summary ──────────────────────────────────────────────────────────────────────────────────


def _title(summary: Mapping[str, Any]) -> str:
    """Return the policy and the seeds of a summary as text."""
    return f"policy {summary['policy']}, {counted(summary['seeds'], 'training')} with {_seeds(summary)}"


def _seeds(stored: Mapping[str, Any]) -> str:
    """Return the seeds of a summary or of settings as text."""
    first, last = stored["seed"], stored["seed"] + stored["seeds"] - 1
    return f"seed {first}" if first == last else f"seeds {first} to {last}"


def print_summary(summary: Mapping[str, Any]) -> None:
    """Print the tables of a summary, and a sentence that compares the trained policies with the others."""
    from alsim.cli.training import verdict

    count, run = summary["seeds"], summary["training"]
    print(f"{run['steps'] // count:,} interactions and {run['seconds'] / count:,.1f} s per seed, including evaluations")
    learners = counted(summary["learners"]["num_learners"], "held-out learner")
    print()
    print(f"Mean ± standard deviation over {counted(count, 'seed')}, evaluated on {learners}:")
    _print_block(summary)
    if specified := summary.get("under_specified_reward"):
        print()
        print("Under the specified reward:")
        _print_block(specified)
    if count <= MAX_ROWS:
        print()
        _print_seeds(summary["trainings"])
    print()
    print_sentence(verdict(summary["policy"], {summary["policy"]: _combined(summary), **summary["baselines"]}))


def _print_block(block: Mapping[str, Any]) -> None:
    """Print one row per metric: mean ± standard deviation over the seeds, median, range, and the other policies."""
    rows = []
    for name, (label, form) in SHOWN.items():
        metric = block["metrics"][name]
        sd = "-" if metric["sd"] is None else f"{metric['sd']:{form}}"
        extent = f"{metric['min']:{form}} to {metric['max']:{form}}"
        others = [f"{policy[name]['mean']:{form}}" for policy in block["baselines"].values()]
        rows.append((label, f"{metric['mean']:{form}} ± {sd}", f"{metric['median']:{form}}", extent, *others))
    print_table(("metric", "mean ± sd", "median", "range", *block["baselines"]), rows)


def _print_seeds(trainings: list[dict[str, Any]]) -> None:
    """Print one row per training."""
    rows = []
    for training in trainings:
        metrics = [f"{training['metrics'][name]:{form}}" for name, (_, form) in SHOWN.items()]
        rows.append((str(training["seed"]), *metrics, f"{training['best_steps']:,}", f"{training['seconds']:,.1f}"))
    labels = (label for label, _ in SHOWN.values())
    print_table(("seed", *labels, "best evaluation at", "seconds"), rows, texts=())


def _combined(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return the mean and a standard error of each metric for the comparison with other policies.

    The variance is that of the mean over the seeds plus that of a mean over the learners, who are the same for all
    seeds. With few seeds, the first part is scaled so that Z standard errors are the 95 % interval by Student's t.
    """
    from alsim.evaluation.estimates import Z, half_width

    combined = {}
    for name, metric in summary["metrics"].items():
        errors = [training["standard_errors"][name] for training in summary["trainings"]]
        seeds = 0.0 if metric["se"] is None else metric["se"] * half_width(metric["n"]) / Z
        se = None if None in errors else hypot(seeds, sum(errors) / len(errors))
        combined[name] = {"mean": metric["mean"], "se": se}
    return combined


# ── description of a directory ───────────────────────────────────────────────────────────────────


def print_seeds_info(directory: Path, report: Path | None) -> None:
    """Print the settings and the summary of trainings with several seeds, and write them as JSON."""
    from alsim.cli.training_info import read_stored, rules_of, stored_training
    from alsim.training.seeds_directory import SETTINGS, SUMMARY

    settings = read_stored(directory / SETTINGS)
    summary = read_stored(directory / SUMMARY) if (directory / SUMMARY).is_file() else None
    with stored_training(directory):
        facts = [
            ("policy", f"{settings['name']}, trained by {settings['algorithm']}, {_seeds(settings)}"),
            ("training", _state(directory, settings, summary)),
            ("origin", f"observation {settings['observation']}, {settings['config']['num_los']:,} learning outcomes"),
            ("rules", rules_of(settings)),
            *learner_facts(settings["config"]),
        ]
        print(printable(str(directory)))
        print_facts(facts)
        if summary is not None:
            print_summary(summary)
    write_report(report, {"settings": settings, "summary": summary})


def _state(directory: Path, settings: Mapping[str, Any], summary: Mapping[str, Any] | None) -> str:
    """Return the progress of trainings with several seeds as text."""
    from alsim.training.seeds_directory import finished_seeds, stored_seeds

    if summary is not None:
        return f"{counted(settings['seeds'], 'training')}, finished"
    finished = len(finished_seeds(directory, stored_seeds(directory)))
    return (
        f"unfinished, {finished} of {counted(settings['seeds'], 'seed')} finished; the same alsim train command "
        "resumes it"
    )


__all__ = ["ProcessesOption", "SeedsOption", "print_seeds_info", "print_summary", "run_seeds"]
