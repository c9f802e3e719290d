"""Cost of a rollout, by policy, with and without observations, on one core and on two.

`python -m benchmarks.rollouts` waits for lines on its input. For each line, it runs rollouts on one thread for a
second, and prints their speed.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Iterator

import alsim
from alsim.policies import Policy
from benchmarks.child import answer, signal, start
from benchmarks.floors import OBSERVED, floors
from benchmarks.measure import alternate, cores
from benchmarks.memory_rule import OUTCOMES, LeastAsked
from benchmarks.report import Row, judged, missing, quartiles

LEARNERS, LARGE = 8192, 16_384
CONCURRENT = 1.0  # seconds that two processes run concurrently


def once(policy: str | Policy = "uniform", keep: bool = False, threads: int = 1, learners: int = LEARNERS) -> int:
    """Run a rollout, and return its number of transitions."""
    done = alsim.rollout(policy, num_learners=learners, keep_observations=keep, num_threads=threads)
    return len(done.propensity)


def speeds(policy: str | Policy, keep: bool, threads: int, rounds: int, learners: int = LEARNERS) -> list[float]:
    """Return transitions per second of each round, sorted."""
    transitions = once(policy, keep, threads, learners)
    times = alternate({"": lambda: once(policy, keep, threads, learners)}, rounds, budget=0.0, warm=1)
    return sorted(transitions / t for t in times[""])


def rows(rounds: int = 5) -> Iterator[Row]:
    """Yield the rows of the table about rollouts."""
    for keep, target in ((False, "≥ 20"), (True, "≥ 12")):
        for policy in ("uniform", "rules"):
            quantity = f"rollout, {policy}, {'with' if keep else 'without'} observations, one core"
            measured = [s / 1e6 for s in speeds(policy, keep, 1, rounds)]
            middle = statistics.median(measured)
            # The floor is doubled: the policy draws as many random numbers as the step.
            limit = f"{1e3 / middle:.0f} ns per transition; floors: randomness {2 * floors(4096).randomness:.0f} ns"
            if keep:
                limit += f", memory {OBSERVED / floors(1_000_000).bandwidth:.0f} ns for the observation alone"
            yield judged(quantity, middle, target, "M transitions/s", spread=quartiles(measured), limit=limit)
    yield _with_memory(rounds)
    yield _threads(rounds)


def _with_memory(rounds: int) -> Row:
    """Return the row of a compiled rule with memory."""
    measured = [s / 1e6 for s in speeds(LeastAsked(), False, 1, rounds)]
    quantity, middle = f"rollout, rule with {OUTCOMES} values of memory, one core", statistics.median(measured)
    return judged(quantity, middle, "≥ 5", "M transitions/s", spread=quartiles(measured))


def _threads(rounds: int) -> Row:
    quantity, target = "rollout, 2 threads compared with two processes", "≥ 0.85"
    if cores() < 2:
        return missing(quantity, "one core", target)
    with TwoProcesses() as pair:
        apart, shares = [], []
        for _ in range(rounds):
            apart.append(pair.run())
            shares.append(statistics.median(speeds("uniform", False, 2, 3, LARGE)) / apart[-1])
    together = statistics.median(apart) / 1e6
    limit = f"two processes: {together:.1f} M transitions/s; code outside the kernels runs on one thread"
    return judged(quantity, statistics.median(shares), target, "×", spread=quartiles(sorted(shares)), limit=limit)


class TwoProcesses:
    """Two processes that run rollouts concurrently on one thread each, on request."""

    def __enter__(self) -> TwoProcesses:
        self.children = [start("-m", "benchmarks.rollouts") for _ in range(2)]
        for child in self.children:
            answer(child)  # it is ready
        return self

    def run(self) -> float:
        """Return the sum of the transitions per second of both."""
        for child in self.children:
            signal(child)
        return sum(answer(child) for child in self.children)

    def __exit__(self, *exception: object) -> None:
        for child in self.children:
            child.communicate()


def run_on_request() -> None:
    """Run rollouts for a second after each line of the input, and print the transitions per second."""
    once(learners=LARGE)
    print(json.dumps("ready"), flush=True)
    for _ in sys.stdin:
        start_time, transitions = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - start_time) < CONCURRENT:
            transitions += once(learners=LARGE)
        print(json.dumps(transitions / elapsed), flush=True)


if __name__ == "__main__":
    run_on_request()
