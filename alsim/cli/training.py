"""Command `alsim train`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from alsim.cli.app import app
from alsim.cli.options import (
    BankOption,
    ConfigOption,
    DynamicsOption,
    ForceOption,
    ImportOption,
    JsonOption,
    ObservationOption,
    SeedOption,
)
from alsim.cli.output import check_report, progress_bar, right_aligned, write_report

if TYPE_CHECKING:
    from alsim.training.curve import Row
    from alsim.training.run import Moment, Training


DECIMALS = {"cumulative_reward": 2, "total_steps": 1, "final_mastery": 3}
"""Decimals of each mean in the printed table."""


class Algorithm(StrEnum):
    """Training algorithms."""

    ppo = "ppo"
    dqn = "dqn"


class Reward(StrEnum):
    """Presets of the reward weights."""

    specified = "specified"
    learning = "learning"


@app.command(short_help="Train a policy and evaluate it on held-out learners.")
def train(
    algorithm: Annotated[Algorithm, typer.Argument(metavar="ppo|dqn", help="Training algorithm.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Directory to write or to resume.")],
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps", help="Number of interactions, over all environments.  [default: ppo 4,000,000; dqn 1,000,000]"
        ),
    ] = None,
    num_envs: Annotated[
        int | None, typer.Option("--num-envs", help="Number of parallel environments.  [default: ppo 256; dqn 64]")
    ] = None,
    seed: SeedOption = 0,
    config: ConfigOption = None,
    bank: BankOption = None,
    dynamics: DynamicsOption = None,
    imports: ImportOption = None,
    observation: ObservationOption = "mastery",
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
            help="Interactions between evaluations; each evaluation writes a checkpoint.  [default: --steps / 20]",
        ),
    ] = None,
    num_threads: Annotated[int, typer.Option("--threads", help="Number of threads for simulation and evaluation.")] = 1,
    force: ForceOption = False,
    report: JsonOption = None,
) -> None:
    """Train a policy, and evaluate it on held-out learners. The same command resumes an interrupted training.

    DIR can then be used as a policy, as in alsim generate --policy DIR. Its policy.npz and checkpoints contain only
    numbers. Loading model.zip with Stable-Baselines3 executes code: load it only from sources that you trust.
    """
    from alsim.training.run import train as run

    check_report(report)
    with _progress() as progress:
        training = run(
            algorithm.value,
            out=out,
            steps=steps,
            num_envs=num_envs,
            seed=seed,
            config=config,
            bank=bank,
            dynamics=dynamics,
            observation=observation,
            reward=None if reward is None else reward.value,
            hyperparameters=settings,
            eval_every=eval_every,
            num_threads=num_threads,
            force=force,
            progress=progress,
        )
    _print_training(training, report)


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
    evaluation = training.evaluation
    run, count = evaluation["training"], evaluation["learners"]["num_learners"]
    console = Console(highlight=False, soft_wrap=True)
    print(
        f"{training.path}: policy {training.policy.name}, with the best evaluation, at {run['best_steps']:,} of "
        f"{run['steps']:,} interactions, {run['seconds']:,.0f} s"
    )
    for title, policies in (
        (f"mean ± standard error over {count:,} held-out learners:", evaluation["policies"]),
        ("under the specified reward:", evaluation.get("under_specified_reward")),
    ):
        if policies:
            print(title)
            console.print(_table(policies))
    write_report(report, evaluation)


def _table(policies: dict[str, Any]) -> Table:
    """Return a table of mean ± standard error for each policy."""
    from alsim.metrics import METRICS

    headings = [METRICS[name].heading for name in DECIMALS]
    table = Table("policy", *map(right_aligned, [*headings, "give-ups"]), box=None, pad_edge=False)
    for policy, statistics in policies.items():
        cells = [f"{statistics[name]['mean']:.{d}f} ± {statistics[name]['se']:.{d}f}" for name, d in DECIMALS.items()]
        table.add_row(policy, *cells, f"{statistics['give_ups']['mean']:.1%}")
    return table
