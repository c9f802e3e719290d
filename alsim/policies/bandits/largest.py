"""Probability that each of K independent random variables is the largest, by quadrature.

    P(k) = integral of f_k(t) * product over j != k of F_j(t) dt

f_k is a density with a concave logarithm, and F_j a distribution function. Beta variables are on the scale
t = log(x / (1 - x)), where a density is finite and smooth for all parameters:

    f(t) is proportional to x**alpha * (1 - x)**beta

One sweep over t computes all K integrals. It goes in panels. In a panel, each density is the polynomial through its
values at Gauss-Legendre nodes, so its integral up to each node is a matrix product, and no incomplete beta function is
needed. A panel ends where a density, or the product of the distribution functions, may have changed by a given factor.

The integrand has exactly one factor of each variable. Therefore, densities need no constant: the K integrals are
divided by their sum.

Source: probability matching, Thompson (1933); spectral integration as in Greengard (1991), SIAM J. Numer. Anal. 28(4).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from alsim.jit.compile import kernel, rule
from alsim.numerics.doubles import exp, log, softplus
from alsim.policies.bandits.densities import (
    TINY,
    WIDTH,
    BetaArms,
    GaussianArms,
    beta_low,
    coordinates,
    height,
    longest_step,
    slopes,
)
from alsim.types import Bools, Doubles, Longs

HALF_NODES = (
    *(0.1252334085114689, 0.3678314989981802, 0.5873179542866175),
    *(0.7699026741943047, 0.9041172563704748, 0.9815606342467192),
)
HALF_WEIGHTS = (
    *(0.2491470458134027, 0.2334925365383546, 0.20316742672306573),
    *(0.16007832854334642, 0.10693932599531907, 0.04717533638651141),
)
NODES = 2 * len(HALF_NODES)
SMOOTH = 3.0
"""Largest change of the logarithm of a function within a panel where the function is large."""
LOOSER = 1 / 3
"""Further change that is allowed for each unit by which the logarithm is below its maximum."""
NARROWEST = 1e-12
"""Smallest standard deviation of a Gaussian variable, in units of the largest one of the lane; narrower ones count as
this. Even narrower densities would be lost in the rounding of t."""


def _integration_matrix(nodes: Doubles, weights: Doubles) -> Doubles:
    """Return the integral from -1 to node i of the polynomial that is 1 at node s and 0 at the others, as (s, i)."""
    legendre = [np.ones(len(nodes)), nodes]
    for m in range(1, len(nodes)):
        legendre.append(((2 * m + 1) * nodes * legendre[m] - m * legendre[m - 1]) / (m + 1))
    matrix = np.outer(weights, nodes + 1) / 2
    for m in range(1, len(nodes)):
        matrix += np.outer(weights * legendre[m], legendre[m + 1] - legendre[m - 1]) / 2
    return matrix


X = np.array([*(-x for x in reversed(HALF_NODES)), *HALF_NODES])
"""Gauss-Legendre nodes on [-1, 1]; literals, since NumPy computes them by a library for linear algebra."""
W = np.array([*reversed(HALF_WEIGHTS), *HALF_WEIGHTS])
UP_TO = _integration_matrix(X, W)


class Sweep(NamedTuple):
    """Positions and work arrays of a sweep over K variables and n nodes."""

    low: Doubles  # (K,) the density is negligible below
    mode: Doubles  # (K,)
    high: Doubles  # (K,) the density is negligible above
    mass: Doubles  # (K,) integral of the density so far
    total: Doubles  # (K,) integral of the density times the other distribution functions so far
    density: Doubles  # (K, n)
    share: Doubles  # (K, n) distribution function, times the constant of the density
    after: Doubles  # (K + 1, n) product of the distribution functions of the later variables
    before: Doubles  # (n,) product of the distribution functions of the earlier variables
    u: Doubles  # (n,) see `coordinates`
    v: Doubles  # (n,)


@rule
def new_sweep(size: int) -> Sweep:
    """Return work arrays for `size` variables."""
    return Sweep(
        low=np.empty(size),
        mode=np.empty(size),
        high=np.empty(size),
        mass=np.empty(size),
        total=np.empty(size),
        density=np.empty((size, NODES)),
        share=np.empty((size, NODES)),
        after=np.empty((size + 1, NODES)),
        before=np.empty(NODES),
        u=np.empty(NODES),
        v=np.empty(NODES),
    )


# ── ends of the densities ────────────────────────────────────────────────────────────────────────


@rule
def place_beta(p: BetaArms, s: Sweep, k: int, alpha: float, beta: float) -> None:
    """Write variable k and the ends of its density."""
    mode = log(alpha) - log(beta)
    rest = softplus(-abs(mode))
    p.alpha[k], p.beta[k] = alpha, beta
    p.log_x[k], p.log_rest[k] = min(mode, 0.0) - rest, -max(mode, 0.0) - rest
    s.mode[k] = mode
    s.low[k] = min(beta_low(alpha, beta, p.log_x[k], p.log_rest[k]), mode)
    s.high[k] = max(-beta_low(beta, alpha, p.log_rest[k], p.log_x[k]), mode)


@rule
def place_gaussian(p: GaussianArms, s: Sweep, k: int, mean: float, sd: float) -> None:
    """Write variable k and the ends of its density."""
    p.mean[k], p.sd[k] = mean, sd
    s.low[k], s.mode[k], s.high[k] = mean - WIDTH * sd, mean, mean + WIDTH * sd


@rule
def is_beaten(mean: Doubles, sd: Doubles, allowed: Bools, lane: int, k: int) -> bool:
    """Return whether another Gaussian variable of the lane is larger than variable k, but for a negligible chance."""
    for j in range(mean.shape[1]):
        if allowed[lane, j] and mean[lane, j] - mean[lane, k] >= WIDTH * (sd[lane, j] + sd[lane, k]):
            return True
    return False


# ── the sweep ────────────────────────────────────────────────────────────────────────────────────


@rule
def panel_end(p: Any, s: Sweep, size: int, t: float, all_begun: float, end: float) -> float:
    """Return the end of the panel that begins at t."""
    u, v = coordinates(p, t)
    length, stop, slope_of_product, below = end - t, end, 0.0, 0.0
    for k in range(size):
        if t < s.low[k]:
            stop = min(stop, s.low[k])
        elif t < s.high[k]:
            g = min(height(p, k, u, v), 0.0)
            first, bend = slopes(p, k, u, v)
            length = min(length, longest_step(p, k, t, SMOOTH - LOOSER * g, abs(first), bend))
            if t < s.mode[k]:
                below -= g
            if t < s.mode[k] and g < -6.0:  # the slope of log F is then close to that of log f
                slope_of_product += first
            else:
                slope_of_product += exp(g) / (s.mass[k] + TINY)
    if t >= all_begun:
        length = min(length, (2 * SMOOTH + LOOSER * below) / (slope_of_product + TINY))
    return min(stop, t + length)


@rule
def integrate_panel(p: Any, s: Sweep, size: int, t: float, stop: float) -> None:
    """Write the densities and distribution functions at the nodes of a panel, and add to the masses."""
    half = 0.5 * (stop - t)
    middle = t + half
    for i in range(NODES):
        s.u[i], s.v[i] = coordinates(p, middle + half * X[i])
    for k in range(size):
        mass = s.mass[k]
        if t < s.low[k] or t >= s.high[k]:
            for i in range(NODES):
                s.density[k, i] = 0.0
                s.share[k, i] = mass
            continue
        for i in range(NODES):
            s.density[k, i] = half * exp(height(p, k, s.u[i], s.v[i]))
            s.share[k, i] = mass
        for j in range(NODES):
            f = s.density[k, j]
            mass += W[j] * f
            for i in range(NODES):
                s.share[k, i] += UP_TO[j, i] * f
        s.mass[k] = mass


@rule
def add_products(s: Sweep, size: int) -> None:
    """Add the integrals over a panel of each density times the distribution functions of the other variables."""
    for i in range(NODES):
        s.after[size - 1, i] = 1.0
        s.before[i] = 1.0
    for k in range(size - 1, 0, -1):
        for i in range(NODES):
            s.after[k - 1, i] = s.after[k, i] * s.share[k, i]
    for k in range(size):
        total = s.total[k]
        for i in range(NODES):
            total += W[i] * (s.density[k, i] * (s.before[i] * s.after[k, i]))
            s.before[i] *= s.share[k, i]
        s.total[k] = total


@rule
def sweep(p: Any, s: Sweep, size: int) -> None:
    """Write the integral of each variable to `s.total`."""
    begin, all_begun, end = np.inf, -np.inf, -np.inf
    for k in range(size):
        begin, all_begun, end = min(begin, s.low[k]), max(all_begun, s.low[k]), max(end, s.high[k])
        s.mass[k] = 0.0
        s.total[k] = 0.0
    t = begin
    while t < end:
        stop = panel_end(p, s, size, t, all_begun, end)
        integrate_panel(p, s, size, t, stop)
        if t >= all_begun:
            add_products(s, size)
        t = stop if stop > t else end  # no end for numbers that are not finite


@rule
def write_shares(s: Sweep, size: int, chosen: Longs, lane: int, out: Doubles) -> None:
    """Write the integrals divided by their sum, at least 0, to the row of a lane."""
    whole = 0.0
    for k in range(size):
        s.total[k] = max(s.total[k], 0.0)
        whole += s.total[k]
    for k in range(size):
        out[lane, chosen[k]] = s.total[k] / whole


@kernel
def beta_largest(alpha: Doubles, beta: Doubles, allowed: Bools, out: Doubles) -> None:
    """Write the probability that each Beta variable of a lane is the largest of the allowed ones.

    alpha, beta  (N, K), > 0
    allowed      (N, K); rows without an allowed variable stay as they are
    out          (N, K), zeros, written
    """
    lanes, size = alpha.shape
    s, chosen = new_sweep(size), np.empty(size, np.int64)
    p = BetaArms(np.empty(size), np.empty(size), np.empty(size), np.empty(size))
    for n in range(lanes):
        count = 0
        for k in range(size):
            if allowed[n, k]:
                place_beta(p, s, count, alpha[n, k], beta[n, k])
                chosen[count] = k
                count += 1
        if count > 0:
            sweep(p, s, count)
            write_shares(s, count, chosen, n, out)


@kernel
def gaussian_largest(mean: Doubles, sd: Doubles, allowed: Bools, out: Doubles) -> None:
    """Write the probability that each Gaussian variable of a lane is the largest of the allowed ones.

    mean, sd  (N, K), finite, sd > 0; see NARROWEST
    allowed   (N, K); rows without an allowed variable stay as they are
    out       (N, K), zeros, written
    """
    lanes, size = mean.shape
    s, chosen = new_sweep(size), np.empty(size, np.int64)
    p = GaussianArms(np.empty(size), np.empty(size))
    for n in range(lanes):
        count, narrowest, widest = 0, 0, 0.0
        for k in range(size):
            if allowed[n, k] and not is_beaten(mean, sd, allowed, n, k):
                if count == 0 or sd[n, k] < sd[n, narrowest]:
                    narrowest = k
                widest = max(widest, sd[n, k])
                chosen[count] = k
                count += 1
        # In units of the narrowest variable, from its mean: otherwise, short panels would be lost in rounding.
        origin, unit = mean[n, narrowest], max(sd[n, narrowest], NARROWEST * widest)
        for i in range(count):
            k = chosen[i]
            place_gaussian(p, s, i, (mean[n, k] - origin) / unit, max(sd[n, k] / unit, 1.0))
        if count > 0:
            sweep(p, s, count)
            write_shares(s, count, chosen, n, out)


__all__ = ["beta_largest", "gaussian_largest"]
