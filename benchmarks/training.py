"""Share of alsim in PPO's collection time, and results of complete trainings. Needs the extra `sb3`.

While Stable-Baselines3 collects rollouts, the time in `VecEnv.step_wait` of alsim is measured. The rest is spent in
forward passes of PyTorch and loops of Stable-Baselines3. `python -m benchmarks.training` prints one line for
each number of lanes and threads of PyTorch. The trainings, `alsim train` with its defaults, are part of
`nox -s claims`.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

from benchmarks.measure import machine
from benchmarks.report import Row, judged, missing, plain

LANES, THREADS, ROLLOUTS = (256, 512, 1024), (1, 2), 7
MAX_SHARE = 0.05
"""Maximum share of alsim."""


class Timing(NamedTuple):
    """Medians over rollouts."""

    lanes: int
    threads: int
    share: float
    step: float  # microseconds of one step_wait of all lanes
    collected: float  # interactions per second while collecting
    trained: float  # interactions per second, including updates


def timed(function: Callable[..., Any], durations: list[float]) -> Callable[..., Any]:
    """Return a function that appends the duration of each call, in seconds, to `durations`."""

    def call(*arguments: Any, **named: Any) -> Any:
        start = perf_counter()
        try:
            return function(*arguments, **named)
        finally:
            durations.append(perf_counter() - start)

    return call


def measure(lanes: int, threads: int) -> Timing:
    """Time a training of some rollouts, after two rollouts for compiling and warming up."""
    import torch

    from alsim.envs.sb3 import make
    from alsim.training import PPO
    from alsim.training.sb3 import new_model

    torch.set_num_threads(threads)
    settings, env = PPO(num_envs=lanes), make(lanes, seed=0)
    model = new_model(settings, env, 0, 0)
    rollout = lanes * settings.n_steps
    model.learn(2 * rollout)
    stepping: list[float] = []
    collecting: list[float] = []
    env.step_wait = timed(env.step_wait, stepping)  # type: ignore[method-assign]
    model.collect_rollouts = timed(model.collect_rollouts, collecting)
    start = perf_counter()
    model.learn(ROLLOUTS * rollout)
    total = perf_counter() - start
    steps = [stepping[k : k + settings.n_steps] for k in range(0, len(stepping), settings.n_steps)]
    shares = [sum(inside) / outside for inside, outside in zip(steps, collecting, strict=True)]
    return Timing(
        *(lanes, threads, statistics.median(shares), 1e6 * statistics.median(stepping)),
        *(rollout / statistics.median(collecting), ROLLOUTS * rollout / total),
    )


def all_timings() -> Iterator[Timing]:
    """Yield the timing of every number of lanes with every number of threads."""
    for lanes in LANES:
        for threads in THREADS:
            yield measure(lanes, threads)


class Training(NamedTuple):
    """A training: arguments of `alsim train`, and the required return of held-out learners."""

    arguments: tuple[str, ...]
    least: float | None


TRAININGS = {
    "PPO": Training(("ppo",), 115),
    "DQN": Training(("dqn",), 110),
    "PPO on the reward `learning`": Training(("ppo", "--reward", "learning"), None),
}
MAX_MINUTES = 10
"""Maximum duration of a training on two processors."""


def rows(*, long: bool) -> Iterator[Row]:
    """Yield the rows about the share of alsim, and with `long` about the trainings, which take almost half an hour.

    The trainings also update the plot of learning curves in the documentation.
    """
    if find_spec("stable_baselines3") is None:
        yield missing("share of alsim in PPO's collecting", "Stable-Baselines3 is not installed: pip install '.[sb3]'")
        return
    for lanes in LANES:
        timing = measure(lanes, 1)
        step = 1e6 * lanes / timing.collected
        limit = f"{timing.step:.0f} of {step:,.0f} µs per step; {timing.trained:,.0f} interactions/s in training"
        yield judged(
            f"share of alsim in collecting, N = {lanes}",
            100 * timing.share,
            f"< {100 * MAX_SHARE:.0f}",
            "%",
            limit=limit,
        )
    if long:
        with tempfile.TemporaryDirectory() as folder:
            yield from _trainings(Path(folder))


def _trainings(folder: Path) -> Iterator[Row]:
    """Yield the return, the final mastery and the duration of each training."""
    for name, training in TRAININGS.items():
        command = (sys.executable, "-m", "alsim", "train", *training.arguments, "--seed", "0")
        start = perf_counter()
        subprocess.run([*command, "--out", str(folder / name)], check=True)
        minutes = (perf_counter() - start) / 60
        evaluation = json.loads((folder / name / "evaluation.json").read_text(encoding="utf-8"))
        reached = evaluation["policies"][training.arguments[0]]
        steps = evaluation["training"]["steps"]
        others = {other: evaluation["policies"][other] for other in ("uniform", "rules")}

        def baselines(metric: str, others: dict[str, Any] = others) -> str:
            return "; ".join(f"{other} {values[metric]['mean']:.3g}" for other, values in others.items())

        earned, mastery = reached["cumulative_reward"], reached["final_mastery"]
        quantity, spread = f"{name}, return of 1,000 held-out learners", f"± {earned['se']:.2f}"
        if training.least is None:
            yield plain(quantity, earned["mean"], digits=4, spread=spread, limit=baselines("cumulative_reward"))
        else:
            target = f"≥ {training.least:g}"
            yield judged(
                quantity, earned["mean"], target, digits=4, spread=spread, limit=baselines("cumulative_reward")
            )
        give_ups = f"{reached['give_ups']['mean']:.1%} give up"
        yield plain(f"{name}, final mastery", mastery["mean"], limit=f"{baselines('final_mastery')}; {give_ups}")
        yield judged(f"{name}, {steps:,} interactions", minutes, f"≤ {MAX_MINUTES}", "min", limit="PyTorch's updates")
    from benchmarks.training_curves import PICTURE, draw

    draw(folder / "PPO", folder / "PPO on the reward `learning`").savefig(PICTURE)


def main() -> int:
    """Print the timings, and return 1 if any share of alsim is too large."""
    print(json.dumps(machine(), indent=2))
    print("| lanes | PyTorch threads | share of alsim | µs per step_wait | collected/s | trained/s |")
    print("|---|---|---|---|---|---|")
    worst = 0.0
    for timing in all_timings():
        worst = max(worst, timing.share)
        print(
            f"| {timing.lanes} | {timing.threads} | {timing.share:.2%} | {timing.step:.0f} | {timing.collected:,.0f} "
            f"| {timing.trained:,.0f} |",
            flush=True,
        )
    print(f"at most {MAX_SHARE:.0%}: {'yes' if worst <= MAX_SHARE else 'NO'}, {worst:.2%}")
    return int(worst > MAX_SHARE)


if __name__ == "__main__":
    sys.exit(main())
