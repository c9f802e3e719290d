"""What a rollout costs, by policy, with and without its observations, on one core and on two.

`python -m benchmarks.rollouts` runs rollouts on one thread for a while at each line of its input, and prints their
speed.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Iterator

import alsim
from benchmarks.child import answer, start, tell
from benchmarks.floors import OBSERVED, floors
from benchmarks.measure import alternate, cores
from benchmarks.report import Row, judged, missing, quartiles

LEARNERS, LARGE = 8192, 16_384
BESIDE = 1.0  # seconds that two processes run beside each other


def once(policy: str = "uniform", keep: bool = False, threads: int = 1, learners: int = LEARNERS) -> int:
    """Roll out, and return how many transitions it was."""
    done = alsim.rollout(policy, num_learners=learners, keep_observations=keep, num_threads=threads)
    return len(done.propensity)


def speeds(policy: str, keep: bool, threads: int, rounds: int, learners: int = LEARNERS) -> list[float]:
    """Return transitions a second of each round, in order of size."""
    transitions = once(policy, keep, threads, learners)
    times = alternate({"": lambda: once(policy, keep, threads, learners)}, rounds, budget=0.0, warm=1)
    return sorted(transitions / t for t in times[""])


def rows(rounds: int = 5) -> Iterator[Row]:
    """Yield the table's rows about rollouts."""
    for keep, target in ((False, "≥ 20"), (True, "≥ 12")):
        for policy in ("uniform", "rules"):
            what = f"rollout, {policy}, {'with' if keep else 'without'} observations, one core"
            found = [s / 1e6 for s in speeds(policy, keep, 1, rounds)]
            middle = statistics.median(found)
            # The policy draws too, as much again.
            limit = f"{1e3 / middle:.0f} ns a transition; floors: randomness {2 * floors(4096).randomness:.0f} ns"
            if keep:
                limit += f", memory {OBSERVED / floors(1_000_000).bandwidth:.0f} ns for the observation alone"
            yield judged(what, middle, target, "M transitions/s", spread=quartiles(found), limit=limit)
    yield _threads(rounds)


def _threads(rounds: int) -> Row:
    what, target = "rollout, 2 threads beside two processes together", "≥ 0.85"
    if cores() < 2:
        return missing(what, "one core", target)
    with TwoProcesses() as pair:
        apart, shares = [], []
        for _ in range(rounds):
            apart.append(pair.run())
            shares.append(statistics.median(speeds("uniform", False, 2, 3, LARGE)) / apart[-1])
    together = statistics.median(apart) / 1e6
    limit = f"two processes: {together:.1f} M transitions/s; what is outside the kernels runs on one thread"
    return judged(what, statistics.median(shares), target, "×", spread=quartiles(sorted(shares)), limit=limit)


class TwoProcesses:
    """Two processes that run rollouts on one thread each, beside each other, when told to."""

    def __enter__(self) -> TwoProcesses:
        self.children = [start("-m", "benchmarks.rollouts") for _ in range(2)]
        for child in self.children:
            answer(child)  # it is ready
        return self

    def run(self) -> float:
        """Return the transitions a second of both together."""
        for child in self.children:
            tell(child)
        return sum(answer(child) for child in self.children)

    def __exit__(self, *exception: object) -> None:
        for child in self.children:
            child.communicate()


def run_when_told() -> None:
    """Run rollouts for a while for each line that comes in, and print transitions a second."""
    once(learners=LARGE)
    print(json.dumps("ready"), flush=True)
    for _ in sys.stdin:
        began, transitions = time.perf_counter(), 0
        while (took := time.perf_counter() - began) < BESIDE:
            transitions += once(learners=LARGE)
        print(json.dumps(transitions / took), flush=True)


if __name__ == "__main__":
    run_when_told()
