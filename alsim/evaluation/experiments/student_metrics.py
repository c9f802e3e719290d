"""Metrics of simulated students in an experiment: their names, and the value of each student."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from alsim.errors import AlsimError, did_you_mean
from alsim.evaluation.endings import restricted_mean_time
from alsim.evaluation.metrics import COMPARED, values_of
from alsim.metrics import Metric
from alsim.rollouts.rollout import Rollout
from alsim.types import Doubles, Reason

LEVEL = 0.9
"""Mastery from which an outcome counts as mastered in `restricted_time_to_lo_mastery`."""
LEARNING, STARTING = "learning", "starting_mastery"
TO_MASTERY, TO_LO = "restricted_mean_time_to_mastery", "restricted_time_to_lo_mastery"
CENSORED = (TO_MASTERY, TO_LO)
"""Metrics with the step limit as the value of students who did not reach mastery."""

STUDENT_METRICS: Mapping[str, Metric] = {
    **COMPARED,
    "interactions": Metric("interactions", "interactions", "", "number of interactions", "higher"),
    TO_LO: Metric(
        TO_LO,
        "restricted time to an LO",
        "interactions",
        f"interactions until an LO that was below {LEVEL:g} has a mastery of {LEVEL:g}, at most the step limit",
        "lower",
    ),
    STARTING: Metric(STARTING, "starting mastery", "", "mean mastery before the first interaction"),
}
"""Metrics by name: those of comparisons, and three more."""

REAL = ("returned", "sessions", "session_minutes", "satisfaction", "ratings")
"""Metrics of the logs of engines that depend on more than learning."""


class StudentMetric(NamedTuple):
    """Metric of an experiment: the mean of a value per student, or the ratio of the sums of two values."""

    numerator: str
    denominator: str | None = None

    @property
    def name(self) -> str:
        """Name as in a plan, such as "learning/interactions"."""
        return self.numerator if self.denominator is None else f"{self.numerator}/{self.denominator}"

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the values per student."""
        return (self.numerator,) if self.denominator is None else (self.numerator, self.denominator)


def split_metric(text: str) -> StudentMetric:
    """Return the metric of a name, or of two names joined by "/". Raises AlsimError for other texts."""
    parts = [part.strip() for part in text.split("/")]
    if len(parts) > 2 or not all(parts):
        raise AlsimError(
            f"a metric is a name, or a ratio such as learning/interactions; got {text!r:.100}: name one, or two "
            "joined by /"
        )
    return StudentMetric(*parts)


def read_student_metric(text: str, source: str) -> StudentMetric:
    """Return a metric of simulated students. Raises AlsimError, which names the source, for an unknown one."""
    metric = split_metric(text)
    for name in metric.columns:
        if name in REAL:
            raise AlsimError(
                f"{source}: simulated students have no {name}, which depends on more than a model of learning: test it "
                "on real logs (alsim abtest)"
            )
        if name not in STUDENT_METRICS:
            raise AlsimError(
                f"{source}: unknown metric {name!r:.60}{did_you_mean(name, STUDENT_METRICS)}; expected some of "
                f"{', '.join(STUDENT_METRICS)}"
            )
    return metric


def student_values(run: Rollout, names: tuple[str, ...]) -> dict[str, Doubles]:
    """Return the values of some metrics for each episode of a rollout, (E,) each; NaN is undefined."""
    found = {name: FAST[name](run) for name in names if name in FAST}
    if rest := [name for name in names if name not in FAST]:
        others = values_of(run)
        found |= {name: others[name] for name in rest}
    return found


def censored_share(values: Doubles, limit: int) -> float:
    """Return the share of students who did not reach mastery, from a metric of CENSORED (n,)."""
    return float((values >= limit).mean())


def _learning(run: Rollout) -> Doubles:
    """Return the mastery gained, summed over LOs, (E,)."""
    x = run.interactions
    return np.asarray(np.bincount(x.episode, x.mastery_gain, minlength=len(x.length)), np.float64)


def _starting_mastery(run: Rollout) -> Doubles:
    """Return the mean mastery before the first interaction, (E,)."""
    x = run.interactions
    first = np.cumsum(x.length) - x.length
    return np.asarray(x.mean_mastery[first] - x.mastery_gain[first] / run.bank.num_los, np.float64)


def _time_to_lo(run: Rollout) -> Doubles:
    """Return the restricted number of interactions until an LO is mastered that was not at the start, (E,)."""
    if run.obs is None or run.observation != "mastery":
        raise AlsimError(f"{TO_LO} needs observations of the kind 'mastery'; use policies that read them")
    los, length = run.bank.num_los, run.interactions.length
    first, last = np.cumsum(length) - length, np.cumsum(length) - 1
    later = np.empty((len(run.obs), los), np.bool_)  # whether each LO is mastered after each interaction
    later[:-1] = run.obs[1:, :los] >= LEVEL
    later[last] = run.final_obs[:, :los] >= LEVEL
    later &= np.repeat(run.obs[first, :los] < LEVEL, length, axis=0)
    step = np.where(later.any(axis=1), run.interactions.step, np.inf)
    reached = np.minimum.reduceat(step, first)
    return restricted_mean_time(np.where(np.isinf(reached), np.nan, reached), run.config.max_episode_steps)


FAST: Mapping[str, Callable[[Rollout], Doubles]] = {
    LEARNING: _learning,
    "interactions": lambda run: run.interactions.length.astype(np.float64),
    "give_up_rate": lambda run: (run.reason == Reason.CRITICAL_FRUSTRATION).astype(np.float64),
    STARTING: _starting_mastery,
    TO_LO: _time_to_lo,
}
"""Metrics that need no others, which a rehearsal of a million students computes alone."""


__all__ = [
    "CENSORED",
    "LEVEL",
    "STARTING",
    "STUDENT_METRICS",
    "TO_LO",
    "StudentMetric",
    "censored_share",
    "read_student_metric",
    "split_metric",
    "student_values",
]
