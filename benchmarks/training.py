"""Complete trainings by the command `alsim train`: processor time, and results on held-out learners.

`nox -s bench` runs one training, and `nox -s claims` all of them. `benchmarks.training_time` compares training loops.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from typing import Any, NamedTuple

from benchmarks.report import Row, judged, plain

SEEDS = (100, 101, 102)
"""Seeds of the measurements. They were not used to choose settings."""
FIRST = "alsim train ppo"
LEARNING = "alsim train ppo --reward learning --steps 1000000"
TARGETS = {
    FIRST: ("cumulative_reward", "≥ 119", "≤ 5"),
    "alsim train dqn": ("cumulative_reward", "≥ 117", ""),
    "alsim train ppo --steps 4000000": ("cumulative_reward", "≥ 120.3", ""),
    LEARNING: ("final_mastery", "≥ 0.62", ""),
}
"""By command: a metric, its target, and the target of the processor seconds. 120.3 is the return after 4 million
interactions with Stable-Baselines3, minus its standard error."""
NAMES = {"cumulative_reward": "return", "final_mastery": "final mastery"}


class Trained(NamedTuple):
    """Results of a training."""

    seconds: float
    """Processor seconds of the whole command."""
    evaluation: dict[str, Any]
    """Content of evaluation.json."""

    def statistic(self, policy: str, metric: str) -> Mapping[str, float]:
        """Return mean and standard error of a policy."""
        return dict(self.evaluation["policies"][policy][metric])


def train(command: str, seed: int, out: Path, *options: str) -> Trained:
    """Train with one seed in a new process with one thread."""
    _, *arguments = command.split()
    before = _spent()
    done = subprocess.run(
        [sys.executable, "-m", "alsim", *arguments, "--seed", str(seed), "--out", str(out), *options],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    if done.returncode != 0:
        raise RuntimeError(f"`{command}` exited with status {done.returncode}: {done.stderr[-1000:]}")
    evaluation = json.loads((out / "evaluation.json").read_text(encoding="utf-8"))
    return Trained(_spent() - before, evaluation)


def _spent() -> float:
    """Return the processor seconds of all child processes so far."""
    usage = getrusage(RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def rows(*, long: bool) -> Iterator[Row]:
    """Yield the rows of one training, or with `long` those of all trainings with three seeds each.

    With `long`, the picture of learning curves in the documentation is drawn, too.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for number, command in enumerate(TARGETS if long else [FIRST]):
            train(command, 0, folder / f"first-{number}", "--steps", "8192")  # compiles
            seeds = SEEDS if long else SEEDS[:1]
            yield from judgements(command, [train(command, s, folder / f"{number}-{s}") for s in seeds])
        if long:
            from benchmarks.training_curves import PICTURE, draw

            runs = (folder / f"{[*TARGETS].index(command)}-{SEEDS[0]}" for command in (FIRST, LEARNING))
            draw(*runs).savefig(PICTURE)


def judgements(command: str, trained: Sequence[Trained]) -> Iterator[Row]:
    """Yield the rows of the trainings by a command."""
    metric, least, most = TARGETS[command]
    found = [run.statistic(command.split()[2], metric) for run in trained]
    means = [each["mean"] for each in found]
    others = ", ".join(f"{name} {trained[0].statistic(name, metric)['mean']:.3g}" for name in ("uniform", "rules"))
    yield judged(
        f"`{command}`, {NAMES[metric]}",
        statistics.median(means),
        least,
        digits=4,
        spread=_spread(means, 4),
        limit=f"standard error {found[0]['se']:.2g}; {others}",
    )
    seconds = [run.seconds for run in trained]
    quantity, median, spread = f"`{command}`, processor time", statistics.median(seconds), _spread(seconds, 2)
    interactions = f"{trained[0].evaluation['training']['steps']:,} interactions, with all evaluations"
    if most:
        yield judged(quantity, median, most, "s", spread=spread, limit=interactions)
    else:
        yield plain(quantity, median, "s", spread=spread, limit=interactions)


def _spread(values: Sequence[float], digits: int) -> str:
    return "" if len(values) == 1 else "–".join(f"{value:.{digits}g}" for value in (min(values), max(values)))
