"""Densities of Beta and Gaussian variables, as the sweep of `largest` reads them: heights, slopes, steps and ends.

Beta variables are on the scale t = log(x / (1 - x)). A height is the logarithm of the density relative to its mode.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from alsim.jit.compile import dispatch, rule
from alsim.numerics.doubles import exp, log, softplus
from alsim.types import Doubles, f64

TAIL = 32.0
"""Natural logarithm of the ratio of the largest density to that at both ends of the integrals: e**-32 is 1.3e-14."""
REACH = 3.0
"""Length of panels on the scale of t near t = 0: log(1 + e**t) is singular at a distance of pi from there. Panels that
end below 0, or begin above 0, are longer by the distance of this end from 0 at most."""
TINY = 1e-300
WIDTH = float(np.sqrt(2 * TAIL))
"""Standard deviations from the mean of a Gaussian variable to the ends of the integrals."""


class BetaArms(NamedTuple):
    """Beta variables of one lane, (K,) each."""

    alpha: Doubles
    beta: Doubles
    log_x: Doubles  # log x at the mode on the scale of t
    log_rest: Doubles  # log(1 - x) there


class GaussianArms(NamedTuple):
    """Gaussian variables of one lane, (K,) each."""

    mean: Doubles
    sd: Doubles


@rule
def parabola_step(change: float, slope: float, bend: float) -> float:
    """Return the step in which slope * step + bend * step**2 / 2 is `change`."""
    return f64(2 * change / (slope + np.sqrt(slope * slope + 2 * change * bend) + TINY))


@rule
def beta_coordinates(p: BetaArms, t: float) -> tuple[float, float]:
    """Return log x and log(1 - x) for t = log(x / (1 - x))."""
    rest = softplus(-abs(t))
    return min(t, 0.0) - rest, -max(t, 0.0) - rest


@rule
def beta_height(p: BetaArms, k: int, u: float, v: float) -> float:
    """Return the logarithm of the density of variable k relative to its mode, at the coordinates u and v."""
    return f64(p.alpha[k] * (u - p.log_x[k]) + p.beta[k] * (v - p.log_rest[k]))


@rule
def beta_slopes(p: BetaArms, k: int, u: float, v: float) -> tuple[float, float]:
    """Return the first derivative of the height of variable k, and minus the second."""
    x, rest = exp(u), exp(v)
    return p.alpha[k] * rest - p.beta[k] * x, (p.alpha[k] + p.beta[k]) * x * rest


@rule
def beta_step(p: BetaArms, k: int, t: float, change: float, slope: float, bend: float) -> float:
    """Return a step from t in which the height of variable k changes by about `change` at most.

    x (1 - x), to which the second derivative is proportional, grows by at most e**step below t = 0, up to 1/4.
    """
    step = parabola_step(change, slope, bend)
    if t < 0:
        grown = min(bend * exp(step), (p.alpha[k] + p.beta[k]) / 4)
        cautious = parabola_step(change, slope, grown)
        if step > 1:  # half of the change by the slope, and half by the second derivative
            step = min(step, min(change / (2 * slope + TINY), log(change / (2 * bend + TINY))))
            cautious = max(cautious, step)
        step = cautious
    return min(step, REACH + t if t >= 0 else max(REACH, (REACH - t) / 2))


@rule
def gaussian_coordinates(p: GaussianArms, t: float) -> tuple[float, float]:
    """Return t."""
    return t, 0.0


@rule
def gaussian_height(p: GaussianArms, k: int, u: float, v: float) -> float:
    """Return the logarithm of the density of variable k relative to its mode, at u."""
    z = (u - p.mean[k]) / p.sd[k]
    return f64(-0.5 * z * z)


@rule
def gaussian_slopes(p: GaussianArms, k: int, u: float, v: float) -> tuple[float, float]:
    """Return the first derivative of the height of variable k, and minus the second."""
    precision = 1 / (p.sd[k] * p.sd[k])
    return (p.mean[k] - u) * precision, precision


@rule
def gaussian_step(p: GaussianArms, k: int, t: float, change: float, slope: float, bend: float) -> float:
    """Return a step from t in which the height of variable k changes by `change` at most."""
    return parabola_step(change, slope, bend)


Rules = dict[type[Any], Any]
COORDINATES: Rules = {BetaArms: beta_coordinates, GaussianArms: gaussian_coordinates}
HEIGHT: Rules = {BetaArms: beta_height, GaussianArms: gaussian_height}
SLOPES: Rules = {BetaArms: beta_slopes, GaussianArms: gaussian_slopes}
STEPS: Rules = {BetaArms: beta_step, GaussianArms: gaussian_step}


@dispatch(lambda arms: COORDINATES[arms])
def coordinates(p: Any, t: float) -> tuple[float, float]:
    """Return the two functions of t that heights are computed from; they are shared by all variables."""
    return COORDINATES[type(p)](p, t)  # type: ignore[no-any-return]  # rules of two classes


@dispatch(lambda arms: HEIGHT[arms])
def height(p: Any, k: int, u: float, v: float) -> float:
    """Return the logarithm of the density of variable k relative to its mode, at coordinates."""
    return HEIGHT[type(p)](p, k, u, v)  # type: ignore[no-any-return]  # rules of two classes


@dispatch(lambda arms: SLOPES[arms])
def slopes(p: Any, k: int, u: float, v: float) -> tuple[float, float]:
    """Return the first derivative of the height of variable k, and minus the second."""
    return SLOPES[type(p)](p, k, u, v)  # type: ignore[no-any-return]  # rules of two classes


@dispatch(lambda arms: STEPS[arms])
def longest_step(p: Any, k: int, t: float, change: float, slope: float, bend: float) -> float:
    """Return a step from t in which the height of variable k, with these derivatives, changes by about `change`."""
    return STEPS[type(p)](p, k, t, change, slope, bend)  # type: ignore[no-any-return]  # rules of two classes


@rule
def beta_low(alpha: float, beta: float, log_x: float, log_rest: float) -> float:
    """Return a t below which the density is smaller than e**-TAIL of its maximum.

    Newton's method on a concave function that increases: each step stays below the solution, so any is valid.
    """
    at_mode = alpha * log_x + beta * log_rest
    t = (at_mode - TAIL) / alpha  # where the asymptote of the height is -TAIL
    for _ in range(16):
        rest = softplus(-abs(t))
        u, v = min(t, 0.0) - rest, -max(t, 0.0) - rest
        g = alpha * u + beta * v - at_mode
        if g > -1.25 * TAIL:
            break
        t -= (g + TAIL) / (alpha * exp(v) - beta * exp(u))
    return t
