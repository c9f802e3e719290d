"""Quick trainings with PPO, by the recipe in docs/training.md: return, and speed by threads of PyTorch.

`python -m benchmarks.quick_training` trains with several seeds, times some rollouts with one thread of PyTorch and with
the number that PyTorch chooses, and saves both tables of docs/training.md in quick_training.json. It needs the extra
`sb3`.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import machine
from benchmarks.report import markdown, number

MEASURED = Path(__file__).parent / "quick_training.json"
SEEDS = 5
STEPS, NUM_ENVS = 20_480, 32
HYPERPARAMETERS = {"n_steps": 8, "learning_rate": 0.003}
METRICS = ("cumulative_reward", "final_mastery")
RETURNS = ("policy", "return", "final mastery", "seconds, median and range", "processor seconds, median and range")
SPEEDS = ("threads of PyTorch", "interactions/s", "processor time per interaction, ms")
ROLLOUTS, REPEATS = 5, 3

Trained = tuple[dict[str, Any], float, float]
"""Evaluation of all policies on held-out learners, seconds, and processor seconds."""


def train(seed: int, steps: int) -> Trained:
    """Train once by the recipe."""
    from alsim import training

    with tempfile.TemporaryDirectory() as folder:
        start, processor = time.perf_counter(), time.process_time()
        run = training.train(
            *("ppo",),
            out=Path(folder) / "run",
            seed=seed,
            steps=steps,
            num_envs=NUM_ENVS,
            hyperparameters=HYPERPARAMETERS,
        )
        return run.evaluation["policies"], time.perf_counter() - start, time.process_time() - processor


def returns() -> list[Sequence[str]]:
    """Return the rows of trained policies and of those that need no training."""
    train(SEEDS, 512)  # compiles
    trained = [train(seed, STEPS) for seed in range(SEEDS)]
    metrics = [[evaluation["ppo"][name]["mean"] for evaluation, *_ in trained] for name in METRICS]
    cells = [(statistics.mean(values), statistics.stdev(values) / len(values) ** 0.5) for values in metrics]
    times = [_range([seconds[k] for seconds in trained]) for k in (1, 2)]
    rows: list[Sequence[str]] = [("PPO, quick", *_metrics(*cells), *times)]
    for name in ("rules", "uniform"):
        evaluation = trained[0][0][name]
        rows.append((f"`{name}`", *_metrics(*((evaluation[m]["mean"], evaluation[m]["se"]) for m in METRICS)), "", ""))
    return rows


def _metrics(earned: tuple[float, float], mastery: tuple[float, float]) -> tuple[str, str]:
    """Return mean and standard error of return and final mastery as text."""
    return f"{earned[0]:.1f} ({earned[1]:.1f})", f"{mastery[0]:.3f} ({mastery[1]:.3f})"


def _range(values: list[float]) -> str:
    return f"{statistics.median(values):.0f} ({min(values):.0f} to {max(values):.0f})"


def speeds() -> list[Sequence[str]]:
    """Return the rows of speed by number of threads, measured in turn."""
    import torch

    from alsim.envs.sb3 import make
    from alsim.training import PPO
    from alsim.training.sb3 import new_model

    model = new_model(PPO(num_envs=NUM_ENVS, **HYPERPARAMETERS), make(NUM_ENVS, seed=0), 0, 0)
    steps, counts = ROLLOUTS * NUM_ENVS * HYPERPARAMETERS["n_steps"], sorted({1, torch.get_num_threads()})
    found: dict[int, list[tuple[float, float]]] = {count: [] for count in counts}
    for repeat in range(REPEATS + 1):
        for count in counts:
            torch.set_num_threads(count)
            start, processor = time.perf_counter(), time.process_time()
            model.learn(steps)
            taken = time.perf_counter() - start, time.process_time() - processor
            if repeat:  # the first starts the threads
                found[count].append(taken)
    medians = {
        count: [statistics.median(times) for times in zip(*taken, strict=True)] for count, taken in found.items()
    }
    return [(str(c), number(steps / wall, 2), number(1e3 * spent / steps, 2)) for c, (wall, spent) in medians.items()]


if __name__ == "__main__":
    load = f"{os.getloadavg()[0]:.0f}"
    measured = {"returns": returns(), "speeds": speeds(), "machine": {**machine(), "load at the start": load}}
    MEASURED.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
    print(markdown(RETURNS, measured["returns"]), markdown(SPEEDS, measured["speeds"]), sep="\n\n")
