"""Power, sample size and minimum effect of tests of two arms, by formula."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from alsim.errors import AlsimError
from alsim.evaluation.estimates import CONFIDENCE
from alsim.evaluation.statistics_input import read_confidence, read_number
from alsim.utils.optional import require

POWER = 0.8
"""Default power: probability that an effect of the planned size is found."""
LARGEST_SIZE = 1e15
"""Largest number of students that is searched."""
SOLVED = 1e-8
"""Largest error of the power at a number of students that a solver has found."""
Power = Callable[[float, dict[str, Any]], float]
"""Function from an effect, and arguments of statsmodels, to the power."""


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
    return _t_power(_effect(difference, sd), _arguments(_read_n(n, ratio), ratio, confidence))


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
    return _size_with("TTestIndPower", _t_power, effect, ratio, confidence, power)


def minimum_effect(
    n: float, sd: float, *, power: float = POWER, ratio: float = 1.0, confidence: float = CONFIDENCE
) -> float:
    """Compute the smallest difference of means that is found with probability `power`.

    Arguments are those of `power_of_means` and `sample_size_of_means`. Returns the difference, in the unit of the
    metric, positive. Raises AlsimError for invalid arguments.
    """
    given, target = _arguments(_read_n(n, ratio), ratio, confidence), _read_power(power, confidence)
    scale = _read_positive(sd, "sd", "pass the standard deviation of the metric")
    return scale * _effect_with(_t_power, given, target)


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
    return _normal_power(_cohen_h(control, treatment), given)


def sample_size_of_shares(
    control: float, treatment: float, *, power: float = POWER, ratio: float = 1.0, confidence: float = CONFIDENCE
) -> float:
    """Compute the number of students in the control for which `power_of_shares` is `power`.

    Arguments are those of `power_of_shares`, with different shares. Result and errors are those of
    `sample_size_of_means`.
    """
    effect = _read_nonzero(_cohen_h(control, treatment), "treatment - control")
    return _size_with("NormalIndPower", _normal_power, effect, ratio, confidence, power)


def minimum_effect_of_shares(
    n: float, control: float, *, power: float = POWER, ratio: float = 1.0, confidence: float = CONFIDENCE
) -> float:
    """Compute the smallest increase of a share that is found with probability `power`.

    Arguments are those of `power_of_shares` and `sample_size_of_means`. Returns treatment - control, positive. Raises
    AlsimError for invalid arguments, and if not even a share of 1 would be found.
    """
    given, target = _arguments(_read_n(n, ratio), ratio, confidence), _read_power(power, confidence)
    start = math.asin(math.sqrt(_read_share(control, "control")))
    angle = start + _effect_with(_normal_power, given, target) / 2
    if angle > math.pi / 2:
        raise AlsimError(
            f"n must be large enough to find an increase from {control:g} to 1; got {n:g}: plan more students"
        )
    return math.sin(angle) ** 2 - math.sin(start) ** 2


def _t_power(effect: float, arguments: dict[str, Any]) -> float:
    """Return the power of the t test of an effect in standard deviations."""
    solver = _statsmodels("TTestIndPower")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = float(solver.power(effect, **arguments))
        if math.isnan(found):  # SciPy's noncentral t distribution fails far in the tail, which is negligible
            one_sided = arguments | {"alpha": arguments["alpha"] / 2, "alternative": "larger"}
            found = float(solver.power(abs(effect), **one_sided))
    if math.isnan(found):
        raise AlsimError(f"the power of an effect of {effect:g} standard deviations is undefined: plan more students")
    return found


def _normal_power(effect: float, arguments: dict[str, Any]) -> float:
    """Return the power of a normal test of an effect in standard deviations."""
    return float(_statsmodels("NormalIndPower").power(effect, **arguments))


def _effect_with(power: Power, arguments: dict[str, Any], target: float) -> float:
    """Return the effect, in standard deviations, at which the power of a test is the target."""
    optimize = require("scipy.optimize", "evaluation", "the minimum effect of a test")
    high = math.sqrt((1 + 1 / arguments["ratio"]) / arguments["nobs1"])  # standard error of the effect
    while power(high, arguments) < target:
        high *= 2
    return float(optimize.brentq(lambda effect: power(effect, arguments) - target, 0.0, high, xtol=1e-10 * high))


def _size_with(name: str, power_of: Power, effect: float, ratio: float, confidence: float, power: float) -> float:
    """Return the number of students in the control at which a test of statsmodels has a power."""
    target, per = _read_power(power, confidence), _read_ratio(ratio)
    arguments = _arguments(max(2.0, 2.0 / per), per, confidence)

    def excess(n: float) -> float:
        """Return the power with n students above the target."""
        return power_of(effect, arguments | {"nobs1": n}) - target

    least = arguments["nobs1"]
    if excess(least) >= 0:
        return float(least)
    solver = _statsmodels(name)  # the first import changes the filters of warnings
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = np.ravel(solver.solve_power(effect, power=target, **(arguments | {"nobs1": None})))[0]
    # For a power or a confidence near 1, the solver of statsmodels may return another number, without a warning.
    is_solved = least < found <= LARGEST_SIZE and abs(excess(found)) < SOLVED
    return float(found) if is_solved else _searched(excess, least)


def _searched(excess: Callable[[float], float], low: float) -> float:
    """Return the number above `low` at which a rising function is 0. Raises AlsimError for too large ones."""
    high = 2 * low
    while excess(high) < 0:
        high *= 2
        if high > LARGEST_SIZE:
            raise AlsimError(f"more than {LARGEST_SIZE:g} students would be needed: plan for a larger effect")
    optimize = require("scipy.optimize", "evaluation", "the sample size of a test")
    return float(optimize.brentq(excess, high / 2, high, xtol=1e-9))


def _statsmodels(name: str) -> Any:
    """Return an object of statsmodels.stats.power."""
    return getattr(require("statsmodels.stats.power", "evaluation", "the power of a test"), name)()


def _arguments(n: float, ratio: float, confidence: float) -> dict[str, Any]:
    """Return arguments of statsmodels. Raises AlsimError."""
    return {"nobs1": n, "alpha": 1 - read_confidence(confidence), "ratio": _read_ratio(ratio)}


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
    number, per = read_number(n, "n", cure), _read_ratio(ratio)
    if number < 2 or number * per < 2 * (1 - 1e-12):
        raise AlsimError(f"n must be at least 2, and n times ratio, too; got {number:g} and {number * per:g}: {cure}")
    return number


def _read_power(power: float, confidence: float) -> float:
    """Return a power in (1 - confidence, 1). Raises AlsimError."""
    share, least = read_number(power, "power", "pass 0.8 for 80 %"), 1 - read_confidence(confidence)
    if not least < share < 1:
        raise AlsimError(f"power must be above {least:g}, the false alarms, and below 1; got {share:g}: 0.8 is usual")
    return share


def _read_ratio(ratio: float) -> float:
    """Return a ratio of the sizes of the arms. Raises AlsimError."""
    return _read_positive(ratio, "ratio", "pass the students in the treatment per student in the control")


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
