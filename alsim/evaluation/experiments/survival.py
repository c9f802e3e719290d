"""Times to an event that are not all observed: survival curves, restricted means, and their comparison.

In real logs, students leave before the event. Where every episode is followed to the horizon, `cumulative_incidence`
and `restricted_mean_time` of `alsim.evaluation` need no estimator of survival.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from alsim.errors import AlsimError, InputTypeError
from alsim.evaluation.estimates import CONFIDENCE, Statistic, normal_half_width
from alsim.evaluation.experiments.arms import ArmMeans, constant_p, difference
from alsim.evaluation.experiments.results import Arm, MeanDifference, difference_result
from alsim.evaluation.experiments.samples import read_sample
from alsim.evaluation.statistics_input import read_confidence, read_number
from alsim.types import Doubles, Longs, short_repr
from alsim.utils.optional import require


@short_repr
class SurvivalCurve(NamedTuple):
    """Kaplan-Meier estimate of the share of students who have not reached the event, at the K times of events."""

    times: Doubles
    """(K,) in ascending order."""
    survival: Doubles
    """(K,) share just after each time; it is 1 before the first."""
    se: Doubles
    """(K,) standard error by Greenwood's formula; NaN where the share is 0."""
    at_risk: Doubles
    """(K,) number of students who are followed to each time."""
    events: Doubles
    """(K,) number of events at each time."""


@short_repr
class CensoredIncidence(NamedTuple):
    """Share of students who have reached each of C competing events, at the K times of ends."""

    times: Doubles
    """(K,) in ascending order."""
    share: Doubles
    """(C, K) cumulative incidence; row c is of cause c + 1."""
    se: Doubles
    """(C, K) standard error; NaN at the last time if all students who are left reach an event then."""


class LogRank(NamedTuple):
    """Log-rank test of two arms."""

    chi2: float
    """Statistic with one degree of freedom."""
    p: float
    """p-value of equal hazards."""


def kaplan_meier(times: ArrayLike, events: ArrayLike) -> SurvivalCurve:
    """Estimate the share of students who have not reached an event yet, if students leave before it.

        S(t) = product over t_i <= t of (1 - d_i / n_i),  se = S(t) sqrt(sum of d_i / (n_i (n_i - d_i)))

    Leaving must say nothing about the event. Giving up says much about mastery: it is a competing event, and needs
    `censored_incidence`.

    times   (n,) time of the event, or of the last observation, at least 0
    events  (n,) 1 or True: the event was reached at this time; 0: not reached yet when the observation ended

    Returns a SurvivalCurve; it has no times without events. Raises AlsimError for invalid arguments.
    Source: Kaplan & Meier (1958), JASA 53, 457-481; statsmodels' SurvfuncRight.
    """
    return _curve(*_read(times, events, "times", "events"))


def restricted_mean(
    times: ArrayLike, events: ArrayLike, horizon: float, *, confidence: float = CONFIDENCE
) -> Statistic:
    """Estimate the mean of min(T, horizon) for times T that are not all observed.

        mean = integral of S from 0 to horizon,  se^2 = sum over t_i <= horizon of A_i^2 d_i / (n_i (n_i - d_i))

    A_i is the integral from t_i to the horizon.

    times, events  see `kaplan_meier`
    horizon        positive time, at most the longest observation unless S is 0 there
    confidence     level of the normal interval, in (0, 1)

    Returns a Statistic, in the unit of the times. Raises AlsimError for invalid arguments.
    Source: Royston & Parmar (2013), BMC Medical Research Methodology 13, 152; Klein & Moeschberger (2003), Survival
    Analysis, section 4.5.
    """
    found, events_read = _read(times, events, "times", "events")
    last, level = _read_horizon(horizon), read_confidence(confidence)
    mean, variance = _restricted(found, events_read, last, "times")
    half = normal_half_width(level) * float(np.sqrt(variance))
    return Statistic(mean, float(np.sqrt(variance)), (mean - half, mean + half), len(found))


def compare_restricted_means(
    control_times: ArrayLike,
    control_events: ArrayLike,
    treatment_times: ArrayLike,
    treatment_events: ArrayLike,
    horizon: float,
    *,
    confidence: float = CONFIDENCE,
) -> MeanDifference:
    """Test the difference of the restricted means of two arms, treatment - control, by the normal distribution.

    Arguments are those of `restricted_mean` for each arm. Returns a MeanDifference in the unit of the times. Raises
    AlsimError for invalid arguments.
    Source: Royston & Parmar (2013), BMC Medical Research Methodology 13, 152.
    """
    given = _read_both(control_times, control_events, treatment_times, treatment_events)
    last, level = _read_horizon(horizon), read_confidence(confidence)
    (mean_c, v_c), (mean_t, v_t) = (
        _restricted(*own, last, f"{arm}_times") for own, arm in zip(given, ("control", "treatment"), strict=True)
    )
    n_c, n_t = (len(own[0]) for own in given)
    numbers = (mean_c, mean_t, v_c, v_t, 0.0, np.inf, constant_p(n_c, n_t))
    means = ArmMeans(*(np.asarray(number) for number in numbers))
    return difference_result(difference(means, level), Arm(mean_c, n_c), Arm(mean_t, n_t))


def log_rank(
    control_times: ArrayLike, control_events: ArrayLike, treatment_times: ArrayLike, treatment_events: ArrayLike
) -> LogRank:
    """Test if the event is reached at the same rate in two arms.

        chi^2 = (sum of (d_i,t - d_i n_i,t / n_i))^2 / variance,  over the times of events

    Arguments are those of `kaplan_meier` for each arm. Returns a LogRank. Raises AlsimError for invalid arguments, and
    if no event is at a time to which students of both arms are followed.
    Source: Mantel (1966), Cancer Chemotherapy Reports 50, 163-170; statsmodels' survdiff.
    """
    given = _read_both(control_times, control_events, treatment_times, treatment_events)
    survival = require("statsmodels.duration.survfunc", "evaluation", "the log-rank test")
    special = require("scipy.special", "evaluation", "the log-rank test")
    times, events = (np.concatenate(part) for part in zip(*given, strict=True))
    shared = min(float(own.max()) for own, _ in given)
    if not events[times <= shared].any():
        raise AlsimError(
            f"events must be at times to which students of both arms are followed, up to {shared:g}; got none: observe "
            "longer"
        )
    arm = np.repeat([0, 1], [len(own) for own, _ in given])
    chi2 = float(survival.survdiff(times, events, arm)[0])
    return LogRank(chi2, float(special.chdtrc(1, chi2)))


def censored_incidence(times: ArrayLike, causes: ArrayLike) -> CensoredIncidence:
    """Estimate the shares of students who have reached competing events, if observations end before them.

        I_c(t) = sum over t_i <= t of S(t_i-) d_i,c / n_i,  S of all events together

    Where every student is followed to the horizon, the shares are those of `alsim.evaluation.cumulative_incidence`.

    times   (n,) time of the event, or of the last observation, at least 0
    causes  (n,) integers: 1 to C, the event, such as 1 mastery and 2 giving up; 0: the observation ended

    Returns a CensoredIncidence. Raises AlsimError for invalid arguments.
    Source: Kalbfleisch & Prentice (2002), The Statistical Analysis of Failure Time Data, section 8.2; statsmodels'
    CumIncidenceRight, whose standard errors are those of Dinse & Larson (1986), Biometrika 73, 379-386.
    """
    last = _read_times(times, "times")
    cause = _read_codes(causes, "causes", last, "pass 0 for an end without event, and 1, 2, ... for the events")
    survival = require("statsmodels.duration.survfunc", "evaluation", "the cumulative incidence of censored times")
    with np.errstate(divide="ignore", invalid="ignore"):  # where all students who are left reach an event
        found = survival.CumIncidenceRight(last, cause)
    if not cause.any():
        raise AlsimError("causes must have an event; all are 0: observe longer")
    return CensoredIncidence(found.times, np.stack(found.cinc), np.stack(found.cinc_se))


def _curve(times: Doubles, events: Longs) -> SurvivalCurve:
    """Return the curve of valid times."""
    survival = require("statsmodels.duration.survfunc", "evaluation", "the Kaplan-Meier estimate")
    found = survival.SurvfuncRight(times, events)
    return SurvivalCurve(found.surv_times, found.surv_prob, found.surv_prob_se, found.n_risk, found.n_events)


def _restricted(times: Doubles, events: Longs, horizon: float, name: str) -> tuple[float, float]:
    """Return the restricted mean and its squared standard error. Raises AlsimError for a horizon beyond the times."""
    curve = _curve(times, events)
    ends = len(curve.times) > 0 and curve.survival[-1] == 0
    if horizon > times.max() and not ends:
        raise AlsimError(
            f"horizon must be at most the longest of {name}, {times.max():g}; got {horizon:g}: shorten it, since "
            "nothing is known about later times"
        )
    early = curve.times <= horizon
    steps = np.diff(np.concatenate([[0.0], curve.times[early], [horizon]]))
    areas = np.concatenate([[1.0], curve.survival[early]]) * steps
    rest = areas[::-1].cumsum()[::-1][1:]  # area to the right of each event
    n, d = curve.at_risk[early], curve.events[early]
    terms = np.divide(rest**2 * d, n * (n - d), out=np.zeros_like(rest), where=n > d)
    return float(areas.sum()), float(terms.sum())


def _read(times: ArrayLike, events: ArrayLike, name: str, other: str) -> tuple[Doubles, Longs]:
    """Return times and events of the same length. Raises AlsimError."""
    found = _read_times(times, name)
    codes = _read_codes(events, other, found, "pass 1 for an event, and 0 for an end without one")
    if (wrong := codes > 1).any():
        raise AlsimError(
            f"{other} must be 0 or 1; got {codes[wrong][0]} at index {int(wrong.argmax())}: use censored_incidence for "
            "several kinds of events"
        )
    return found, codes


def _read_both(*arrays: ArrayLike) -> list[tuple[Doubles, Longs]]:
    """Return times and events of control and treatment. Raises AlsimError."""
    return [
        _read(arrays[2 * k], arrays[2 * k + 1], f"{arm}_times", f"{arm}_events")
        for k, arm in enumerate(("control", "treatment"))
    ]


def _read_times(times: ArrayLike, name: str) -> Doubles:
    """Return times (n,) of at least 0, n >= 2. Raises AlsimError for others."""
    found = read_sample(times, name)
    if (wrong := found < 0).any():
        raise AlsimError(
            f"{name} must be at least 0; got {found[wrong][0]:g} at index {int(wrong.argmax())}: pass times since the "
            "start of each student"
        )
    return found


def _read_codes(codes: ArrayLike, name: str, times: Doubles, cure: str) -> Longs:
    """Return codes of at least 0, one per time. Raises AlsimError for others."""
    array: Any = np.asarray(codes)
    if array.shape != times.shape:
        raise AlsimError(f"{name} must have one value per time, {len(times)}; got shape {array.shape}: {cure}")
    if array.dtype.kind not in "biu":
        raise InputTypeError(f"{name} must be integers or booleans; got {array.dtype}: {cure}")
    numbers: Longs = array.astype(np.int64)
    if (wrong := numbers < 0).any():
        raise AlsimError(f"{name} must be at least 0; got {numbers[wrong][0]} at index {int(wrong.argmax())}: {cure}")
    return numbers


def _read_horizon(horizon: float) -> float:
    """Return a positive horizon. Raises AlsimError for others."""
    cure = "pass a positive time in the unit of the times"
    last = read_number(horizon, "horizon", cure)
    if last <= 0:
        raise AlsimError(f"horizon must be positive; got {last:g}: {cure}")
    return last


__all__ = [
    "CensoredIncidence",
    "LogRank",
    "SurvivalCurve",
    "censored_incidence",
    "compare_restricted_means",
    "kaplan_meier",
    "log_rank",
    "restricted_mean",
]
