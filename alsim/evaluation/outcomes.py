"""Outcomes of policies with held-out learners: values of metrics for each learner, and courses over the steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from alsim.errors import AlsimError
from alsim.evaluation.endings import cumulative_incidence
from alsim.evaluation.estimates import half_width
from alsim.evaluation.metrics import mastery_curve, values_of
from alsim.policies.nested import nested_policies
from alsim.rollouts.collector import is_compiled
from alsim.rollouts.plan import RolloutPlan, block_episodes
from alsim.rollouts.rollout import Rollout, run_parts
from alsim.types import OBSERVATIONS, Doubles, Longs, Observation

PART_EPISODES = 1024
"""Episodes per part of a policy in Python, after each of which the progress is shown."""

Progress = Callable[[int], None]
"""Function that is called with the number of finished learners."""


class Course(NamedTuple):
    """Course of the episodes over the steps: the points 0, 1, ..., T are numbers of interactions.

    Everybody is followed to the step limit T: a learner whose episode has ended keeps the last mastery.
    """

    mastery: Doubles
    """(T + 1,) mean over learners of their mean mastery."""
    low: Doubles
    """(T + 1,) lower end of the pointwise 95 % interval of the mean; the mean itself for one learner."""
    high: Doubles
    """(T + 1,) upper end."""
    ended: Doubles
    """(4, T + 1) share of learners whose episode has ended by each Reason; row 0, NONE, is the share still running."""


class Outcomes(NamedTuple):
    """Outcomes of one policy with N learners, one episode each."""

    values: dict[str, Doubles]
    """(N,) for each metric of COMPARED; NaN is undefined."""
    course: Course


def outcomes_of(plan: RolloutPlan, units: Longs | None, progress: Progress = lambda _: None) -> Outcomes:
    """Run all episodes of a plan, one per learner, and return their outcomes.

    units     independent unit of each learner, (N,) nondecreasing; None: each learner is one
    progress  called after each part with the number of finished learners

    Raises AlsimError for rewards that are not finite numbers.
    """
    steps, parts = plan.config.max_episode_steps, []
    curve, reason, length, done = CurveSums(steps), [], [], 0
    episodes = block_episodes(plan.config) if is_compiled(plan) else min(PART_EPISODES, block_episodes(plan.config))
    for run in run_parts(plan, episodes):
        _check_rewards(run)
        parts.append(values_of(run))
        own = mastery_curve(run, steps)
        stop = done + len(own)
        curve.add(own, np.arange(done, stop) if units is None else units[done:stop])
        reason.append(run.reason.copy())
        length.append(run.interactions.length.copy())
        done = stop
        progress(done)
    values = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    ended = cumulative_incidence(np.concatenate(length), np.concatenate(reason), steps).share
    return Outcomes(values, Course(*curve.statistics(), ended))


def observation_of(policy: object, default: Observation) -> Observation:
    """Return the kind of observation that a policy, or a policy that it consults, reads; else the default."""
    pending, visited = [policy], set()
    while pending:
        one = pending.pop()
        if id(one) in visited:
            continue
        visited.add(id(one))
        for kind in OBSERVATIONS:
            if getattr(one, "reads", None) == kind:
                return kind
        pending.extend(nested_policies(one))  # type: ignore[arg-type]  # it is a policy
    return default


def _check_rewards(run: Rollout) -> None:
    """Raise AlsimError if a reward is not a finite number."""
    rewards = run.interactions.reward
    if (wrong := ~np.isfinite(rewards)).any():
        row = int(wrong.argmax())
        learner, step = run.learner_id[run.interactions.episode[row]], run.interactions.step[row]
        raise AlsimError(
            f"the reward of learner {learner} at step {step} under the policy {run.policy!r} is {rewards[row]}; "
            "rewards must be finite numbers: check the rules of the dynamics and the reward weights"
        )


class CurveSums:
    """Sums over units of their mean curves, (T + 1,), so that the curves of all learners are not kept."""

    def __init__(self, steps: int) -> None:
        self._size = 0
        self._sums = np.zeros((2, steps + 1))  # of the mean curves, and of their squares
        self._open = np.zeros(
            steps + 1
        )  # sum of the curves of the last unit so far, which may continue in the next part
        self._unit, self._count = -1, 0

    def add(self, curves: Doubles, units: Longs) -> None:
        """Add the curves of learners, (B, T + 1), and their units, (B,), nondecreasing."""
        first = np.flatnonzero(np.diff(units, prepend=units[0] - 1))
        sums, counts = np.add.reduceat(curves, first, axis=0), np.diff(first, append=len(units))
        if units[0] == self._unit:
            sums[0] += self._open
            counts[0] += self._count
        else:
            self._close()
        self._open, self._unit, self._count = sums[-1], int(units[-1]), int(counts[-1])
        means = sums[:-1] / counts[:-1, np.newaxis]
        self._size += len(means)
        self._sums += means.sum(axis=0), np.square(means).sum(axis=0)

    def _close(self) -> None:
        if self._count:
            mean = self._open / self._count
            self._size += 1
            self._sums += mean, np.square(mean)
            self._count = 0

    def moments(self) -> tuple[int, Doubles, Doubles]:
        """Return the number of units, and the mean and variance over them, (T + 1,) each; variance 0 for one unit."""
        self._close()
        n, (total, squares) = self._size, self._sums
        mean = total / n
        return n, mean, np.maximum(squares / n - np.square(mean), 0) * n / max(1, n - 1)

    def statistics(self) -> tuple[Doubles, Doubles, Doubles]:
        """Return the mean over units and the ends of its pointwise 95 % interval, (T + 1,) each."""
        n, mean, variance = self.moments()
        if n < 2:
            return mean, mean, mean
        half = half_width(n) * np.sqrt(variance / n)
        return mean, mean - half, mean + half


__all__ = ["Course", "CurveSums", "Outcomes", "Progress", "observation_of", "outcomes_of"]
