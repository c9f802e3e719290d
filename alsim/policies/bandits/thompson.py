"""Thompson sampling of Bernoulli arms: draws from Beta posteriors, and exact propensities.

Source: Thompson (1933), On the likelihood that one unknown probability exceeds another; Marsaglia & Tsang (2000), A
simple method for generating gamma variables, for the draws.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from alsim.errors import AlsimError
from alsim.jit.compile import kernel, rule
from alsim.numerics.doubles import cos_turns, exp, log
from alsim.numerics.philox import philox
from alsim.policies.bandits.arrays import allowed_rows, rows_of
from alsim.policies.bandits.largest import beta_largest
from alsim.types import Bools, Doubles, Keys, Longs, f64, i64, u32, u64

MOST_ARMS = 32
"""Largest number of arms of exact propensities."""
LARGEST_COUNT = 1e8
"""Largest parameter of a posterior."""
SMALLEST_COUNT = 1e-2
"""Smallest parameter of a posterior."""
UNIT = 2.0**-32


def propensities(alpha: Any, beta: Any, allowed: Bools | None = None) -> Doubles:
    """Compute the probability that each Beta variable is the largest, by quadrature; the error is below 1e-9.

    alpha, beta  parameters, (K,) or (N, K), from 0.01 to 1e8; K <= 32
    allowed      (N, K) arms that may be chosen, None for all; the others have probability 0

    Returns the shape of the parameters; rows without an allowed arm are 0. Raises AlsimError for other values.
    """
    a, b = _parameters(alpha, beta)
    if a.shape[1] > MOST_ARMS:
        raise AlsimError(
            f"exact propensities of thompson are computed for at most {MOST_ARMS} arms, as their cost grows with the "
            f"number of arms; got {a.shape[1]}; choose among fewer candidates"
        )
    which = allowed_rows(allowed, a.shape)
    a, b = (np.ascontiguousarray(np.broadcast_to(x, which.shape)) for x in (a, b))
    out = np.zeros(which.shape)
    beta_largest(a, b, which, out)
    one = np.ndim(alpha) == np.ndim(beta) == 1 and (allowed is None or allowed.ndim < 2)
    return out[0] if one else out


def choose(alpha: Any, beta: Any, keys: Keys) -> Longs:
    """Return the arm of the largest draw from the Beta posteriors of each lane, (N,).

    alpha, beta  parameters, (K,) or (N, K); a row of one lane broadcasts
    keys         (N,) random uint64 of each lane; the draws of a lane are a function of its key and parameters

    Raises AlsimError for parameters outside of [0.01, 1e8].
    """
    a, b = _parameters(alpha, beta)
    out = np.empty(len(keys), np.int64)
    if len(a) not in (1, len(out)):
        raise AlsimError(f"thompson needs one key per lane: {len(a)}; got {len(out)}")
    _choose(a, b, np.ascontiguousarray(keys, np.uint64), out)
    return out


def _parameters(alpha: Any, beta: Any) -> tuple[Doubles, Doubles]:
    """Return the parameters as arrays of one shape (N, K). Raises AlsimError for invalid ones."""
    a, b = (rows_of("thompson", name, x, positive=True) for name, x in (("alpha", alpha), ("beta", beta)))
    if a.shape != b.shape:
        raise AlsimError(f"alpha and beta of thompson must have the same shape; got {a.shape} and {b.shape}")
    smallest, largest = min(a.min(initial=1), b.min(initial=1)), max(a.max(initial=1), b.max(initial=1))
    if smallest < SMALLEST_COUNT or largest > LARGEST_COUNT:
        raise AlsimError(
            f"alpha and beta of thompson must be in [{SMALLEST_COUNT:g}, {LARGEST_COUNT:g}]; got {smallest:g} to "
            f"{largest:g}; scale or clip the counts"
        )
    return a, b


@rule
def log_gamma_variate(shape: float, stream: u32, key: u64) -> float:
    """Return the logarithm of a gamma variate; `stream` and `key` identify its random numbers.

    A variate of shape < 1 is one of shape + 1, times U**(1 / shape).
    """
    raised = shape + 1.0 if shape < 1 else shape
    d = raised - 1.0 / 3.0
    c = 1.0 / np.sqrt(9.0 * d)
    result = 0.0
    for attempt in range(1000):  # the first is accepted with a probability above 0.95
        w0, w1, w2, w3 = philox(u32(attempt), stream, u32(0), u32(0), u32(key), u32(key >> u64(32)))
        z = np.sqrt(-2.0 * log((f64(w0) + 0.5) * UNIT)) * cos_turns((f64(w1) + 0.5) * UNIT)
        v = 1.0 + c * z
        if v > 0:
            v = v * v * v
            log_v = log(v)
            result = log(d) + log_v
            if shape < 1:
                result += log((f64(w3) + 0.5) * UNIT) / shape
            if log((f64(w2) + 0.5) * UNIT) < 0.5 * z * z + d - d * v + d * log_v:
                break
    return result


@rule
def proposed_gamma(shape: float, z: float, u: float) -> float:
    """Return the gamma variate that a normal variate z proposes for a shape >= 1, or -1 if u rejects it."""
    d = shape - 1.0 / 3.0
    root = 1.0 + z / np.sqrt(9.0 * d)
    v = root * root * root
    square = z * z
    accepted = u < 1.0 - 0.0331 * square * square  # a bound of the test below, without logarithms
    if not accepted and v > 0:
        accepted = log(u) < 0.5 * square + d - d * v + d * log(v)
    return d * v if accepted and v > 0 else -1.0


@rule
def odds_variate(alpha: float, beta: float, arm: int, key: u64) -> float:
    """Return x / y for independent gamma variates of shapes alpha, beta >= 1: the odds of a Beta variate."""
    w0, w1, w2, w3 = philox(u32(0), u32(2 * arm), u32(1), u32(0), u32(key), u32(key >> u64(32)))
    turn = (f64(w1) + 0.5) * UNIT
    radius = np.sqrt(-2.0 * log((f64(w0) + 0.5) * UNIT))
    x = proposed_gamma(alpha, radius * cos_turns(turn), (f64(w2) + 0.5) * UNIT)
    quarter = turn - 0.25 if turn >= 0.25 else turn + 0.75
    y = proposed_gamma(beta, radius * cos_turns(quarter), (f64(w3) + 0.5) * UNIT)  # cosine and sine are independent
    if x < 0:
        x = exp(log_gamma_variate(alpha, u32(2 * arm), key))
    if y < 0:
        y = exp(log_gamma_variate(beta, u32(2 * arm + 1), key))
    return f64(x / y)


@kernel
def _choose(alpha: Doubles, beta: Doubles, keys: Keys, out: Longs) -> None:
    arms = alpha.shape[1]
    for n in range(len(keys)):
        s = n if alpha.shape[0] > 1 else 0
        smallest = 1.0
        for k in range(arms):
            smallest = min(smallest, alpha[s, k], beta[s, k])
        best, largest = 0, -np.inf
        for k in range(arms):
            if smallest >= 1:
                odds = odds_variate(alpha[s, k], beta[s, k], k, keys[n])
            else:  # variates of shapes below 1 may be too small for float64
                odds = log_gamma_variate(alpha[s, k], u32(2 * k), keys[n])
                odds -= log_gamma_variate(beta[s, k], u32(2 * k + 1), keys[n])
            if odds > largest:
                best, largest = k, odds
        out[n] = i64(best)


__all__ = ["MOST_ARMS", "choose", "propensities"]
