"""Command `alsim train`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from math import hypot
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alsim.cli.app import app
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
from alsim.cli.output import (
    counted,
    log_to_stderr,
    print_sentence,
    print_table,
    printable,
    progress_bar,
    resumable,
    write_report,
)
from alsim.cli.rules import print_learner_facts
from alsim.cli.training_seeds import ProcessesOption, SeedsOption, run_seeds
from alsim.errors import AlsimError

if TYPE_CHECKING:
    from alsim.training.curve import Row
    from alsim.training.run import Moment, Training


DECIMALS = {"cumulative_reward": 2, "total_steps": 1, "final_mastery": 3}
"""Decimals of each mean in the printed table."""
COMPARED = {"cumulative_reward": "return", "final_mastery": "final mastery"}
"""Metrics that the verdict compares with the other policies."""
READS_MASTERY = "The policy rules reads the true mastery of the learners, which the trained policy does not observe."
"""Sentence below the table if the trained policy observes responses."""


class Algorithm(StrEnum):
    """Training algorithms."""

    ppo = "ppo"
    dqn = "dqn"


class Backend(StrEnum):
    """Programs that train."""

    alsim = "alsim"
    sb3 = "sb3"


class Reward(StrEnum):
    """Presets of the reward weights."""

    specified = "specified"
    learning = "learning"
    recall = "recall"


@app.command(
    short_help="Train a policy and evaluate it on held-out learners.",
    epilog=examples(
        "alsim train ppo -o ppo-run",
        "alsim train dqn --steps 200000 --reward learning -o dqn-run",
        "alsim train ppo --seeds 10 -o runs",
    ),
)
def train(
    algorithm: Annotated[Algorithm, typer.Argument(metavar="ALGORITHM", help="Training algorithm: ppo or dqn.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Directory to write or to resume.")],
    backend: Annotated[
        Backend, typer.Option("--backend", help="Program that trains: alsim, or sb3 for Stable-Baselines3.")
    ] = Backend.alsim,
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps",
            metavar="N",
            show_default="ppo 500,000; dqn 2,000,000",
            help="Number of interactions, over all environments; rounded up to complete rollouts.",
        ),
    ] = None,
    num_envs: Annotated[
        int | None,
        typer.Option(
            "--num-envs", metavar="N", show_default="ppo 512; dqn 512", help="Number of parallel environments."
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", show_default="ALGORITHM", help="Name of the trained policy."),
    ] = None,
    seed: SeedOption = 0,
    seeds: SeedsOption = None,
    processes: ProcessesOption = None,
    config: ConfigOption = None,
    bank: BankOption = None,
    dynamics: DynamicsOption = None,
    imports: ImportOption = None,
    observation: ObservationOption = Observation.mastery,
    reward: Annotated[
        Reward | None, typer.Option("--reward", help="Preset that replaces the reward of the configuration.")
    ] = None,
    settings: Annotated[
        Path | None, typer.Option("--settings", metavar="FILE", help="TOML file of hyperparameters.")
    ] = None,
    eval_every: Annotated[
        int | None,
        typer.Option(
            "--eval-every",
            metavar="N",
            show_default="--steps / 20",
            help="Interactions between evaluations, rounded up to complete rollouts; each writes a checkpoint.",
        ),
    ] = None,
    num_threads: Annotated[
        int, typer.Option("--threads", metavar="N", help="Number of threads for simulation and evaluation.")
    ] = 1,
    force: ForceOption = False,
    report: JsonOption = None,
) -> None:
    """Train a policy, and evaluate it on held-out learners. The same command resumes an interrupted training.

    DIR can then be used as a policy, as in alsim generate --policy DIR. Its policy.npz and checkpoints contain only
    numbers. Loading model.zip with Stable-Baselines3 executes code: load it only from sources that you trust.

    With --seeds, DIR has one such directory per seed, a summary over the seeds, and curves with bands.
    """
    arguments: dict[str, Any] = {
        "algorithm": algorithm.value,
        "out": out,
        "backend": backend.value,
        "steps": steps,
        "num_envs": num_envs,
        "name": name,
        "seed": seed,
        "config": config,
        "bank": bank,
        "dynamics": dynamics,
        "observation": observation.value,
        "reward": None if reward is None else reward.value,
        "hyperparameters": settings,
        "eval_every": eval_every,
        "num_threads": num_threads,
        "force": force,
    }
    if seeds is None and processes is not None:
        raise AlsimError(f"--processes {processes} needs --seeds; add the number of seeds, or leave --processes out")
    if seeds is None:
        _train_one(arguments, report)
    else:
        run_seeds(arguments, seeds, processes, report)
    if observation is Observation.responses:
        print_sentence(READS_MASTERY)


def _train_one(arguments: dict[str, Any], report: Path | None) -> None:
    """Train with one seed, and print the result."""
    from alsim.training.run import train as run

    out, force = arguments["out"], arguments["force"]
    with resumable(lambda: _resume_hint(out, force)), _progress() as progress, log_to_stderr("alsim.training"):
        training = run(**arguments, progress=progress)
    _print_training(training, report)


def _resume_hint(out: Path, force: bool) -> str:
    """Return how to resume an interrupted training."""
    from alsim.training.directory import checkpoint_steps

    steps = checkpoint_steps(out)
    if steps is None:
        return "there is no checkpoint yet, so the same command starts from the beginning"
    command = "the same command without --force" if force else "the same command"
    return f"{command} resumes from the last checkpoint, at {counted(steps, 'interaction')}"


def _summary(row: Row) -> str:
    """Return a text with the metrics of a row: of its evaluation, or without one of its training episodes.

    The text is empty if there is no evaluation and no episode ended.
    """
    if row.evaluated:
        values: tuple[Any, ...] = (row.eval_return, row.eval_episode_length, row.eval_final_mastery, row.eval_give_ups)
    elif row.episodes:
        values = (row.episode_return, row.episode_length, row.final_mastery, row.give_ups)
    else:
        return ""
    return "return {:.1f}, length {:.0f}, mastery {:.3f}, give-ups {:.1%}".format(*values)


@contextmanager
def _progress() -> Iterator[Callable[[Moment], None]]:
    """Show a progress bar if stderr is a terminal; otherwise print one line per evaluation."""
    from rich.progress import BarColumn, TextColumn

    columns = (TextColumn("{task.fields[steps]}"), BarColumn(), TextColumn("{task.fields[summary]}"))
    with progress_bar(*columns) as bar:
        if bar is None:
            yield _print_evaluation
            return
        task = bar.add_task("", total=None, steps="", summary="")

        def show(moment: Moment) -> None:
            if moment.row is not None and (summary := _summary(moment.row)):
                bar.update(task, summary=summary)
            bar.update(task, completed=moment.steps, total=moment.total, steps=f"{moment.steps:,}")

        yield show


def _print_evaluation(moment: Moment) -> None:
    """Print the evaluation of a new row, if it has one."""
    if moment.row is not None and moment.row.evaluated:
        line = f"{moment.steps:>12,} of {moment.total:,}, {moment.row.seconds:,.0f} s, held out: {_summary(moment.row)}"
        print(line, file=sys.stderr, flush=True)


def _print_training(training: Training, report: Path | None) -> None:
    """Print the evaluation of a training on held-out learners, and write it as JSON if `report` is given."""
    from alsim.cli.training_info import read_stored
    from alsim.training.directory import SETTINGS

    evaluation, name = training.evaluation, training.policy.name
    run, count = evaluation["training"], evaluation["learners"]["num_learners"]
    print(printable(f"{training.path}: policy {name}, with the best evaluation"))
    print_learner_facts(read_stored(training.path / SETTINGS)["config"])
    duration = f"{counted(run['steps'], 'interaction')} in {run['seconds']:,.0f} s"
    print(f"{duration}; the best evaluation was at {run['best_steps']:,}")
    for title, policies in (
        (f"Mean ± standard error over {counted(count, 'held-out learner')}:", evaluation["policies"]),
        ("Under the specified reward:", evaluation.get("under_specified_reward")),
    ):
        if policies:
            print()
            print(title)
            print_policies(policies)
    print()
    print_sentence(verdict(name, evaluation["policies"]))
    write_report(report, evaluation)


def print_policies(policies: dict[str, Any]) -> None:
    """Print a table of mean ± standard error for each policy."""
    from alsim.metrics import METRICS

    rows = []
    for policy, statistics in policies.items():
        cells = [
            " ± ".join(
                "-" if statistics[name][key] is None else f"{statistics[name][key]:.{d}f}" for key in ("mean", "se")
            )
            for name, d in DECIMALS.items()
        ]
        rows.append((policy, *cells, f"{statistics['give_ups']['mean']:.1%}"))
    print_table(("policy", *(METRICS[name].heading for name in DECIMALS), "give-ups"), rows)


def verdict(trained: str, policies: dict[str, Any]) -> str:
    """Return a sentence that compares the trained policy with each of the others."""
    others = {name: statistics for name, statistics in policies.items() if name != trained}
    parts = []
    for metric, label in COMPARED.items():
        words = {name: _comparison(policies[trained][metric], other[metric]) for name, other in others.items()}
        groups = {word: [name for name in words if words[name] == word] for word in words.values()}
        parts.append(f"{label} is " + " and ".join(f"{word} {' and '.join(names)}" for word, names in groups.items()))
    return f"With {trained}, {'; '.join(parts)}."


def _comparison(one: dict[str, Any], other: dict[str, Any]) -> str:
    """Return whether a mean is higher than another one, lower, or similar (not significantly different).

    A mean over the learners of one class has no standard error.
    """
    if one["se"] is None or other["se"] is None:
        return "not compared (no standard errors) with that with"
    from alsim.evaluation.estimates import Z

    difference = one["mean"] - other["mean"]
    if abs(difference) <= Z * hypot(one["se"], other["se"]):
        return "similar to that with"
    return "higher than with" if difference > 0 else "lower than with"
