"""Our share of the time that PPO spends on collecting, and what whole trainings reach (needs `alsim[sb3]`).

Stable-Baselines3 collects a rollout, and the clock runs while it is inside our `VecEnv.step_wait`; the rest is
PyTorch's forward passes and Stable-Baselines3's own loops. `python -m benchmarks.training` prints a line a number of
lanes and of PyTorch's threads; the trainings, by `alsim train` with its defaults, are part of `nox -s claims`.
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
MOST = 0.05
"""Our share at most."""


class Found(NamedTuple):
    """Medians over rollouts."""

    lanes: int
    threads: int
    share: float
    step: float  # microseconds of one step_wait of all lanes
    collected: float  # interactions a second while collecting
    trained: float  # interactions a second, updates included


def timed(function: Callable[..., Any], spent: list[float]) -> Callable[..., Any]:
    """Return a function that notes how long each of its calls takes."""

    def call(*arguments: Any, **named: Any) -> Any:
        began = perf_counter()
        try:
            return function(*arguments, **named)
        finally:
            spent.append(perf_counter() - began)

    return call


def measure(lanes: int, threads: int) -> Found:
    """Train for some rollouts, after two that compile and warm up."""
    import torch

    from alsim.envs.sb3 import make
    from alsim.training import PPO
    from alsim.training.sb3 import new_model

    torch.set_num_threads(threads)
    settings, env = PPO(num_envs=lanes), make(lanes, seed=0)
    model = new_model(settings, env, 0, 0)
    each = lanes * settings.n_steps
    model.learn(2 * each)
    stepping: list[float] = []
    collecting: list[float] = []
    env.step_wait = timed(env.step_wait, stepping)  # type: ignore[method-assign]
    model.collect_rollouts = timed(model.collect_rollouts, collecting)
    began = perf_counter()
    model.learn(ROLLOUTS * each)
    whole = perf_counter() - began
    steps = [stepping[k : k + settings.n_steps] for k in range(0, len(stepping), settings.n_steps)]
    shares = [sum(inside) / outside for inside, outside in zip(steps, collecting, strict=True)]
    return Found(
        *(lanes, threads, statistics.median(shares), 1e6 * statistics.median(stepping)),
        *(each / statistics.median(collecting), ROLLOUTS * each / whole),
    )


def all_of_them() -> Iterator[Found]:
    """Measure every number of lanes with every number of threads."""
    for lanes in LANES:
        for threads in THREADS:
            yield measure(lanes, threads)


class Training(NamedTuple):
    """A training to be claimed: arguments of `alsim train`, and the least return of held-out learners."""

    arguments: tuple[str, ...]
    least: float | None


TRAININGS = {
    "PPO": Training(("ppo",), 115),
    "DQN": Training(("dqn",), 110),
    "PPO on the reward `learning`": Training(("ppo", "--reward", "learning"), None),
}
LONGEST = 10
"""Minutes that a training may take on two processors."""


def rows(*, long: bool) -> Iterator[Row]:
    """Yield the rows of the table: our share, and in `long` the trainings, which take most of half an hour.

    The trainings' picture in the documentation is drawn anew.
    """
    if find_spec("stable_baselines3") is None:
        yield missing("our share of PPO's collecting", "Stable-Baselines3 is not installed: pip install 'alsim[sb3]'")
        return
    for lanes in LANES:
        found = measure(lanes, 1)
        told = f"{found.step:.0f} µs of {1e6 * lanes / found.collected:,.0f} µs a step; {found.trained:,.0f} trained /s"
        yield judged(
            f"our share of PPO's collecting, N = {lanes}", 100 * found.share, f"< {100 * MOST:.0f}", "%", limit=told
        )
    if long:
        with tempfile.TemporaryDirectory() as folder:
            yield from _trainings(Path(folder))


def _trainings(folder: Path) -> Iterator[Row]:
    """Yield what each training reached, and how long it took."""
    for name, training in TRAININGS.items():
        command = (sys.executable, "-m", "alsim", "train", *training.arguments, "--seed", "0")
        began = perf_counter()
        subprocess.run([*command, "--out", str(folder / name)], check=True)
        minutes = (perf_counter() - began) / 60
        evaluation = json.loads((folder / name / "evaluation.json").read_text(encoding="utf-8"))
        reached = evaluation["policies"][training.arguments[0]]
        steps = evaluation["training"]["steps"]
        others = {other: evaluation["policies"][other] for other in ("uniform", "rules")}

        def beside(what: str, others: dict[str, Any] = others) -> str:
            return "; ".join(f"{other} {values[what]['mean']:.3g}" for other, values in others.items())

        earned, learnt = reached["cumulative_reward"], reached["final_mastery"]
        what, spread = f"{name}, return of 1,000 held-out learners", f"± {earned['se']:.2f}"
        if training.least is None:
            yield plain(what, earned["mean"], digits=4, spread=spread, limit=beside("cumulative_reward"))
        else:
            target = f"≥ {training.least:g}"
            yield judged(what, earned["mean"], target, digits=4, spread=spread, limit=beside("cumulative_reward"))
        give_ups = f"{reached['give_ups']['mean']:.1%} give up"
        yield plain(f"{name}, their final mastery", learnt["mean"], limit=f"{beside('final_mastery')}; {give_ups}")
        yield judged(f"{name}, {steps:,} interactions", minutes, f"≤ {LONGEST}", "min", limit="PyTorch's updates")
    from benchmarks.training_curves import PICTURE, draw

    draw(folder / "PPO", folder / "PPO on the reward `learning`").savefig(PICTURE)


def main() -> int:
    """Print what was measured; status 1 if our share is too large anywhere."""
    print(json.dumps(machine(), indent=2))
    print("| lanes | PyTorch threads | our share of collecting | µs a step_wait | collected /s | trained /s |")
    print("|---|---|---|---|---|---|")
    worst = 0.0
    for found in all_of_them():
        worst = max(worst, found.share)
        print(
            f"| {found.lanes} | {found.threads} | {found.share:.2%} | {found.step:.0f} | {found.collected:,.0f} "
            f"| {found.trained:,.0f} |",
            flush=True,
        )
    print(f"at most {MOST:.0%}: {'yes' if worst <= MOST else 'NO'}, {worst:.2%}")
    return int(worst > MOST)


if __name__ == "__main__":
    sys.exit(main())
