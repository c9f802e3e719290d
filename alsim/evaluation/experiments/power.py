"""Power, sample size and minimum effect of tests of two arms, by formula."""

from __future__ import annotations

import math
import warnings
from typing import Any

from alsim.errors import AlsimError
from alsim.evaluation.estimates import CONFIDENCE
from alsim.evaluation.statistics_input import read_confidence, read_number
from alsim.utils.optional import require

POWER = 0.8
"""Default power: probability that an effect of the planned size is found."""


def power_of_means(
    difference: float, sd: float, n: float, *, ratio: float = 1.0, confidence: float = CONFIDENCE
) -> float:
    """Compute the power of the two-sided t test of the difference of two means.

        noncentrality = difference / sd sqrt(n ratio / (1 + ratio))

    difference  expected difference of the means, in the unit of the metric
    sd          standard deviation of the metric within an arm, in the same unit, positive
    n           number of students in the control, at least 2; divide by `design_effect` if classes are assigned
    ratio       students in the treatment per student in the control, positive
    confidence  level of the test, in (0, 1): 0.95 tests at 5 %

    Returns the probability of p <= 1 - confidence. Raises AlsimError for invalid arguments.
    Source: Cohen (1988), Statistical Power Analysis, section 2; statsmodels' TTestIndPower.
    """
    effect, solver = _effect(difference, sd), _solver("TTestIndPower")
    return float(solver.power(effect, **_arguments(_read_n(n, ratio), ratio, confidence)))


def sample_size_of_means(
    difference: float, sd: float, *, power: float = POWER, ratio: float = 1.0, confidence: float = CONFIDENCE
) -> float:
    """Compute the number of students in the control for which `power_of_means` is `power`.

    difference  smallest difference to be found, in the unit of the metric, other than 0
    power       in (1 - confidence, 1)

    Other arguments are those of `power_of_means`. Returns the number, not rounded, at least 2: round it up. With
    classes, multiply it by `design_effect`. Raises AlsimError for invalid arguments.
    """
    effect = _read_nonzero(_effect(difference, sd), "difference")
    given = _arguments(None, ratio, confidence) | {"power": _read_power(power, confidence)}
    least, solver = _least(ratio), _solver("TTestIndPower")
    if solver.power(effect, **_arguments(least, ratio, confidence)) >= given["power"]:
        return least
    return _solved(solver, effect_size=effect, **given)


def minimum_effect(
    n: float, sd: float, *, power: float = POWER, ratio: float = 1.0, confidence: float = CONFIDENCE
) -> float:
    """Compute the smallest difference of means that is found with probability `power`.

    Arguments are those of `power_of_means` and `sample_size_of_means`. Returns the difference, in the unit of the
    metric, positive. Raises AlsimError for invalid arguments.
    """
    given = _arguments(_read_n(n, ratio), ratio, confidence) | {"power": _read_power(power, confidence)}
    scale = _read_positive(sd, "sd", "pass the standard deviation of the metric")
    return scale * _solved(_solver("TTestIndPower"), effect_size=None, **given)


def power_of_shares(
    control: float, treatment: float, n: float, *, ratio: float = 1.0, confidence: float = CONFIDENCE
) -> float:
    """Compute the power of the two-sided test of two shares.

        h = 2 asin(sqrt(treatment)) - 2 asin(sqrt(control)),  se = sqrt((1 + 1 / ratio) / n)

    control, treatment  expected shares, in [0, 1]

    Other arguments, result and errors are those of `power_of_means`.
    Source: Cohen (1988), Statistical Power Analysis, section 6; statsmodels' NormalIndPower.
    """
    given = _arguments(_read_n(n, ratio), ratio, confidence)
    return float(_solver("NormalIndPower").power(_cohen_h(control, treatment), **given))


def sample_size_of_shares(
    control: float, treatment: float, *, power: float = POWER, ratio: float = 1.0, confidence: float = CONFIDENCE
) -> float:
    """Compute the number of students in the control for which `power_of_shares` is `power`.

    Arguments are those of `power_of_shares`, with different shares. Result and errors are those of
    `sample_size_of_means`.
    """
    effect = _read_nonzero(_cohen_h(control, treatment), "treatment - control")
    given = _arguments(None, ratio, confidence) | {"power": _read_power(power, confidence)}
    return max(_least(ratio), _solved(_solver("NormalIndPower"), effect_size=effect, **given))


def minimum_effect_of_shares(
    n: float, control: float, *, power: float = POWER, ratio: float = 1.0, confidence: float = CONFIDENCE
) -> float:
    """Compute the smallest increase of a share that is found with probability `power`.

    Arguments are those of `power_of_shares` and `sample_size_of_means`. Returns treatment - control, positive. Raises
    AlsimError for invalid arguments, and if not even a share of 1 would be found.
    """
    given = _arguments(_read_n(n, ratio), ratio, confidence) | {"power": _read_power(power, confidence)}
    start = math.asin(math.sqrt(_read_share(control, "control")))
    angle = start + _solved(_solver("NormalIndPower"), effect_size=None, **given) / 2
    if angle > math.pi / 2:
        raise AlsimError(
            f"n must be large enough to find an increase from {control:g} to 1; got {n:g}: plan more students"
        )
    return math.sin(angle) ** 2 - math.sin(start) ** 2


def _solver(name: str) -> Any:
    """Return a solver of statsmodels."""
    return getattr(require("statsmodels.stats.power", "evaluation", "the power of a test"), name)()


def _solved(solver: Any, **arguments: Any) -> float:
    """Return the argument that is missing. Raises AlsimError if there is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a failure is reported below
        found = abs(float(solver.solve_power(**arguments)))
    if not math.isfinite(found):
        raise AlsimError(f"no solution was found for {arguments}: choose other values of power or confidence")
    return found


def _arguments(n: float | None, ratio: float, confidence: float) -> dict[str, Any]:
    """Return arguments of statsmodels. Raises AlsimError."""
    per = _read_positive(ratio, "ratio", "pass the students in the treatment per student in the control")
    return {"nobs1": n, "alpha": 1 - read_confidence(confidence), "ratio": per}


def _least(ratio: float) -> float:
    """Return the number of students in the control for which each arm has at least 2."""
    return max(2.0, 2.0 / ratio)


def _effect(difference: float, sd: float) -> float:
    """Return a difference in standard deviations. Raises AlsimError."""
    scale = _read_positive(sd, "sd", "pass the standard deviation of the metric")
    return read_number(difference, "difference", "pass a difference in the unit of the metric") / scale


def _cohen_h(control: float, treatment: float) -> float:
    """Return the effect size h of two shares. Raises AlsimError."""
    a, b = (math.asin(math.sqrt(_read_share(s, name))) for s, name in ((control, "control"), (treatment, "treatment")))
    return 2 * (b - a)


def _read_share(value: float, name: str) -> float:
    """Return a share in [0, 1]. Raises AlsimError."""
    share = read_number(value, name, "pass a share, such as 0.3")
    if not 0 <= share <= 1:
        raise AlsimError(f"{name} must be in [0, 1]; got {share:g}: pass a share, such as 0.3")
    return share


def _read_n(n: float, ratio: float) -> float:
    """Return a number of students with at least 2 in each arm. Raises AlsimError."""
    cure = "plan at least 2 students in each arm"
    number, per = read_number(n, "n", cure), _read_positive(ratio, "ratio", "pass 1 for arms of equal size")
    if number < 2 or number * per < 2 * (1 - 1e-12):
        raise AlsimError(f"n must be at least 2, and n times ratio, too; got {number:g} and {number * per:g}: {cure}")
    return number


def _read_power(power: float, confidence: float) -> float:
    """Return a power in (1 - confidence, 1). Raises AlsimError."""
    share, least = read_number(power, "power", "pass 0.8 for 80 %"), 1 - read_confidence(confidence)
    if not least < share < 1:
        raise AlsimError(f"power must be above {least:g}, the false alarms, and below 1; got {share:g}: 0.8 is usual")
    return share


def _read_positive(value: float, name: str, cure: str) -> float:
    """Return a positive number. Raises AlsimError, which ends with the cure."""
    number = read_number(value, name, cure)
    if number <= 0:
        raise AlsimError(f"{name} must be positive; got {number:g}: {cure}")
    return number


def _read_nonzero(effect: float, name: str) -> float:
    """Return an effect other than 0. Raises AlsimError."""
    if effect == 0:
        raise AlsimError(f"{name} must not be 0; got 0: pass the smallest effect that matters")
    return effect


__all__ = [
    "minimum_effect",
    "minimum_effect_of_shares",
    "power_of_means",
    "power_of_shares",
    "sample_size_of_means",
    "sample_size_of_shares",
]
