"""Metrics of a comparison of policies: their names, and their values for each learner."""

from __future__ import annotations

import numpy as np

from alsim.errors import AlsimError, did_you_mean
from alsim.evaluation.endings import restricted_mean_time
from alsim.evaluation.estimates import Statistic, estimate
from alsim.evaluation.statistics import share
from alsim.metrics import METRICS, Metric
from alsim.rollouts.rollout import Rollout
from alsim.types import MODALITIES, Doubles, Longs, Reason

MINUTES_PER_HOUR = 60

PRIMARY = ("cumulative_reward", "learning")
"""Metrics that every comparison shows together, since they may disagree."""

COMPARED: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        METRICS["cumulative_reward"],
        Metric(
            "learning", "learning", "LOs", "mastery gained, summed over LOs: the reward 'learning' (S6.3)", "higher"
        ),
        METRICS["final_mastery"],
        METRICS["question_accuracy"],
        Metric("give_up_rate", "gave up", "", "share of learners whose episode ended by frustration (S7.1)", "lower"),
        METRICS["blueprint_adherence"],
        Metric("content_share", "share of contents", "", "share of contents among the interactions"),
        *(METRICS[name] for name in ("post_content_gain", *(f"post_content_gain_{word}" for word in MODALITIES))),
        METRICS["time_on_task"],
        Metric("mastery_per_hour", "learning per hour", "LOs/h", "mastery gained per hour on task", "higher"),
        Metric("share_mastered", "mastered", "", "share of learners who reached the mastery threshold", "higher"),
        Metric(
            "restricted_mean_time_to_mastery",
            "restricted time to mastery",
            "interactions",
            "interactions until mastery, at most the step limit",
            "lower",
        ),
        METRICS["delayed_retention"],
    )
}
"""The metrics of a comparison by name."""
SHARES = ("give_up_rate", "share_mastered")
"""Metrics whose value for a learner is 0 or 1."""


def read_metric(name: str, source: str = "metric") -> Metric:
    """Return a metric of a comparison by its name. Raises AlsimError, which names the source, for another name."""
    if name not in COMPARED:
        raise AlsimError(
            f"{source} must be one of {', '.join(COMPARED)}; got {name!r:.100}{did_you_mean(str(name), COMPARED)}"
        )
    return COMPARED[name]


def statistic_of(metric: str, values: Doubles, units: Longs | None) -> Statistic:
    """Return the mean of a metric over learners: with Wilson's interval for shares of independent learners.

    values  (N,) of each learner; NaN is undefined
    units   independent unit of each learner, (N,); None: each learner is one
    """
    return share(values > 0) if metric in SHARES and units is None else estimate(values, units)


def values_of(run: Rollout) -> dict[str, Doubles]:
    """Return the values of all metrics of COMPARED for each episode of a rollout, (E,) each; NaN is undefined."""
    found, x = run.metrics, run.interactions
    learning = np.asarray(np.bincount(x.episode, x.mastery_gain, minlength=len(x.length)), np.float64)
    own = {
        "learning": learning,
        "give_up_rate": (run.reason == Reason.CRITICAL_FRUSTRATION).astype(np.float64),
        "content_share": found.content_count / found.total_steps,
        "mastery_per_hour": _per_hour(learning, found.time_on_task),
        "share_mastered": (~np.isnan(found.time_to_mastery)).astype(np.float64),
        "restricted_mean_time_to_mastery": restricted_mean_time(found.time_to_mastery, run.config.max_episode_steps),
    }
    return {name: own[name] if name in own else np.asarray(getattr(found, name), np.float64) for name in COMPARED}


def _per_hour(learning: Doubles, minutes: Doubles) -> Doubles:
    """Return the learning per hour, (E,); NaN for an episode that took no time, which tiny response times permit."""
    rate = np.full(len(minutes), np.nan)
    return np.asarray(np.divide(learning * MINUTES_PER_HOUR, minutes, out=rate, where=minutes > 0))


def mastery_curve(run: Rollout, steps: int) -> Doubles:
    """Return the mean mastery of each episode after 0, 1, ..., T interactions, (E, T + 1).

    An episode that has ended keeps its last value.

    steps  T, at least the length of each episode
    """
    x = run.interactions
    first: Longs = np.cumsum(x.length) - x.length
    start = x.mean_mastery[first] - x.mastery_gain[first] / run.bank.num_los
    place = first[:, np.newaxis] + np.minimum(np.arange(steps), x.length[:, np.newaxis] - 1)
    return np.concatenate([start[:, np.newaxis], x.mean_mastery[place]], axis=1)


__all__ = ["COMPARED", "PRIMARY", "SHARES", "mastery_curve", "read_metric", "statistic_of", "values_of"]
