"""Processor time of a training, without its evaluations; and the shares of its parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import process_time
from typing import Any, NamedTuple

from alsim.policies import Policy

FIRST, GROWTH = 16_384, 1.08
"""Interactions at the first evaluation, and the ratio between those of two evaluations."""


class Reading(NamedTuple):
    """One evaluation."""

    steps: int
    """Interactions so far."""
    seconds: float
    """Processor seconds of the training so far."""
    earned: float
    """Mean return."""
    mastery: float
    """Mean final mastery."""


Evaluate = Callable[[Policy], tuple[float, float]]
"""Function that returns the mean return and the mean final mastery of a policy."""


def evaluation_points(total: int) -> list[int]:
    """Return the numbers of interactions after which a policy is evaluated, in geometric progression up to `total`."""
    points, point = [], float(FIRST)
    while point < total:
        points.append(int(point))
        point *= GROWTH
    return [*points, total]


class Clock:
    """Stopwatch of a training that pauses for evaluations.

    points    numbers of interactions after which the policy is evaluated, ascending
    evaluate  evaluates a policy
    """

    def __init__(self, points: Sequence[int], evaluate: Evaluate) -> None:
        self._due, self._evaluate = list(points), evaluate
        self._before, self._since = 0.0, 0.0
        self.readings: list[Reading] = []

    def start(self) -> None:
        """Start, at the beginning of a training."""
        self._since = process_time()

    @property
    def next_point(self) -> int:
        """Number of interactions at which the next evaluation is due."""
        return self._due[0]

    def read(self, steps: int, policy: Callable[[], Policy]) -> None:
        """Evaluate the policy of this moment if an evaluation is due after `steps` interactions."""
        if not self._due or steps < self._due[0]:
            return
        self._before += process_time() - self._since
        while self._due and self._due[0] <= steps:
            self._due.pop(0)
        self.readings.append(Reading(steps, self._before, *self._evaluate(policy())))
        self._since = process_time()


class Profile:
    """Processor seconds in parts of a program, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def watch(self, owner: Any, attribute: str, name: str) -> None:
        """Replace a function of an object by one that adds its duration to the part `name`."""
        function = getattr(owner, attribute)

        def call(*arguments: Any, **named: Any) -> Any:
            with self.part(name):
                return function(*arguments, **named)

        setattr(owner, attribute, call)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add the duration of a block to the part `name`."""
        start = process_time()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + process_time() - start

    def shares(self, whole: str) -> dict[str, float]:
        """Return the share of each part in the part `whole`, without it."""
        total = self.seconds[whole]
        return {name: seconds / total for name, seconds in self.seconds.items() if name != whole}
