"""Ends of episodes that are all followed to a horizon: shares that have ended, and restricted times.

Giving up competes with mastery: it ends an episode that then never reaches mastery. Where every episode is followed to
the horizon, the share that has reached mastery needs no estimator of survival analysis. The Kaplan-Meier estimator with
giving up as censoring answers another question. It estimates the share in a world where giving up is impossible, and
assumes that learners who gave up would have learned as those who stayed. Its share is larger: such shares of
mastery and of giving up sum to more than the share of episodes that have ended.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from alsim.errors import AlsimError
from alsim.evaluation.statistics_input import read_codes, read_count, read_steps, read_times
from alsim.types import Doubles, Reason, short_repr

LONGEST = 2**20
"""Largest horizon, in interactions."""


@short_repr
class Incidence(NamedTuple):
    """Cumulative incidence of the ends of N episodes after t = 0, 1, ..., T interactions.

    share  (4, T + 1) share of episodes that have ended by each Reason; row 0, NONE, is the share still running
    se     (4, T + 1) its pointwise standard error for independent episodes; NaN for one episode
    """

    share: Doubles
    se: Doubles


def cumulative_incidence(steps: ArrayLike, reason: ArrayLike, horizon: int) -> Incidence:
    """Compute the share of episodes that have ended by each reason, after each number of interactions.

        share_k(t) = number of {i: reason_i = k, steps_i <= t} / N,  se = sqrt(share (1 - share) / N)

    Every episode must be followed to its end or to the horizon. The shares of the four rows sum to 1 at each t. A
    Kaplan-Meier estimate with giving up as censoring is larger: it is for a world where giving up is impossible.

    steps    (N,) integers, interactions of each episode until its end, at least 1
    reason   (N,) values of `alsim.types.Reason`; NONE: still running after these steps, at least the horizon
    horizon  number of interactions T, at least 1

    Returns an Incidence. Raises AlsimError for invalid arguments, and for an episode that was not followed: its
    incidence needs an estimator for censored times, such as that of Aalen and Johansen.
    Source: Kalbfleisch & Prentice (2002), The Statistical Analysis of Failure Time Data, section 8.2; without
    censoring, the Aalen-Johansen estimator is this share.
    """
    last = read_count(horizon, "horizon", 1, LONGEST, "pass a number of interactions, such as the step limit")
    length = read_steps(steps, "steps")
    code = read_codes(reason, "reason", length.shape, len(Reason))
    if (lost := (code == Reason.NONE) & (length < last)).any():
        place = int(lost.argmax())
        raise AlsimError(
            f"steps must reach the horizon {last} where reason is NONE; got {length[place]} at index {place}: shorten "
            "the horizon, or use an estimator for censored times, such as experiments.censored_incidence"
        )
    n = len(length)
    ended = np.stack([np.bincount(length[(code == k) & (length <= last)], minlength=last + 1) for k in Reason])
    ended[Reason.NONE] = 0
    count = ended.cumsum(axis=1)
    count[Reason.NONE] = n - count.sum(axis=0)
    share: Doubles = count / n
    return Incidence(share, np.sqrt(share * (1 - share) / n) if n > 1 else np.full_like(share, np.nan))


def restricted_mean_time(times: ArrayLike, horizon: float) -> Doubles:
    """Compute the restricted time of each learner, min(T, horizon), whose mean is the restricted mean time.

    A learner who never reaches the event, for example after giving up, counts with the horizon. The mean of the values
    is an ordinary mean, and differences of the same learners are pairs, see `mean` and `paired_difference`. Every
    learner must be followed to the event, to an end that excludes it, or to the horizon.

    times    (N,) time of the event of each learner, at least 0; NaN: never
    horizon  a positive time, in the unit of the times

    Returns values (N,) in [0, horizon]. Raises AlsimError for invalid arguments.
    Source: Royston & Parmar (2013), BMC Medical Research Methodology 13, 152.
    """
    found, last = read_times(times, horizon)
    return np.where(np.isnan(found), last, np.minimum(found, last))


__all__ = ["Incidence", "cumulative_incidence", "restricted_mean_time"]
