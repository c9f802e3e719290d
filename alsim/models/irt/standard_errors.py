"""Standard errors of item parameters, from the observed information of the marginal likelihood.

The observed information is the complete-data information minus the missing information (Louis 1982). The missing
information is the covariance of the complete-data score under the posterior of ability, summed over students. Both are
sums over nodes, with analytic derivatives.

Axis letters are those of `expectation`, and M, the number of parameters per curve, in the order d, a, c: one for the
Rasch model, two for the 1PL and 2PL, three for the 3PL.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from alsim.jit.compile import kernel, phase
from alsim.models.irt.expectation import Patterns, add_row, map_chunks, to_posterior
from alsim.models.irt.maximisation import (
    MAX_GUESSING,
    MIN_GUESSING,
    Curves,
    Priors,
    Structure,
    at_bounds,
    log_curves,
)
from alsim.models.logistic import logistic
from alsim.types import Bools, Doubles, Longs, f64, u64

MIN_WEIGHT = 1e-12
"""Posterior weight of a node below which it is set to 0; the effect on standard errors is negligible."""

MAX_JOINT_CURVES = 600
"""Largest number of curves whose joint information is computed; the matrices would have millions of entries."""


class Uncertainty(NamedTuple):
    """Standard errors of V curves, each (V,); NaN where a parameter is not estimated or has no standard error.

    a, d, b, c  standard errors; that of b = -d / a is by the delta method
    joint       True if they use the information between curves
    """

    a: Doubles
    d: Doubles
    b: Doubles
    c: Doubles
    joint: bool


class Tables(NamedTuple):
    """Flat tables that the kernels read.

    log_curves  (2V * K,) log-probability of each code at each node
    log_prior   (G * K,)  log-weight of each node in each group
    slopes      (L * 2V * K,) derivatives of log_curves with respect to d and, in the 3PL, c: L is 2 in the 3PL, else 1.
                The derivative with respect to a is theta times the derivative with respect to d
    theta       (K,) nodes, logits
    kinds       M
    """

    log_curves: Doubles
    log_prior: Doubles
    slopes: Doubles
    theta: Doubles
    kinds: int


@phase
def _posterior(s: int, patterns: Patterns, tables: Tables, posterior: Doubles) -> None:
    """Write the posterior (K,) of pattern s; weights below MIN_WEIGHT become 0."""
    nodes = len(posterior)
    posterior[:] = f64(0)
    add_row(posterior, tables.log_prior, patterns.group[s] * nodes)
    for r in range(patterns.start[s], patterns.start[s + 1]):
        add_row(posterior, tables.log_curves, patterns.code[r] * nodes)
    to_posterior(posterior)
    for k in range(nodes):
        if posterior[k] < MIN_WEIGHT:
            posterior[k] = f64(0)


@phase
def _add_outer_products(rows: Doubles, side: int, matrix: Doubles) -> None:
    """Add the outer products of four rows to the upper triangle of `matrix`, and set the rows to 0.

    rows    (4 * side,)
    matrix  (side * side,)

    Four rows at a time take half as long as one, since each addition reads and writes the matrix.
    """
    first, second, third, fourth = u64(0), u64(side), u64(2 * side), u64(3 * side)
    for i in range(side):
        w, x, y, z = rows[first + u64(i)], rows[second + u64(i)], rows[third + u64(i)], rows[fourth + u64(i)]
        if w != 0 or x != 0 or y != 0 or z != 0:
            line = u64(i * side)
            for j in range(i, side):
                c = u64(j)
                matrix[line + c] += (
                    w * rows[first + c] + x * rows[second + c] + y * rows[third + c] + z * rows[fourth + c]
                )
    rows[:] = f64(0)


@kernel
def _add_squared_means(
    begin: int, end: int, patterns: Patterns, tables: Tables, posteriors: Doubles, squared_means: Doubles
) -> None:
    """Add E[S] E[S]' of the scores S (M * V,) of patterns `begin` to `end` - 1, as in `missing_joint`.

    posteriors  (end - begin, K)
    """
    start, code, weight, _ = patterns
    slopes, theta, kinds = tables.slopes, tables.theta, tables.kinds
    nodes = len(theta)
    codes = len(tables.log_curves) // nodes
    curves = codes // 2
    side = kinds * curves
    rows, num_rows = np.zeros(4 * side, f64), 0
    for s in range(begin, end):
        root, row = math.sqrt(weight[s]), num_rows * side
        for r in range(start[s], start[s + 1]):
            place, source = row + (code[r] >> 1), code[r] * nodes
            for k in range(nodes):
                share = root * posteriors[s - begin, k]
                score = share * slopes[source + k]
                rows[place] += score
                if kinds > 1:
                    rows[place + curves] += score * theta[k]
                if kinds > 2:
                    rows[place + 2 * curves] += share * slopes[codes * nodes + source + k]
        num_rows += 1
        if num_rows == 4 or s == end - 1:
            _add_outer_products(rows, side, squared_means)
            num_rows = 0


@kernel
def _add_mean_squares(
    begin: int, end: int, patterns: Patterns, tables: Tables, posteriors: Doubles, mean_squares: Doubles
) -> None:
    """Add E[S S'], E[theta S S'] and E[theta**2 S S'] of patterns `begin` to `end` - 1, as in `missing_joint`.

    posteriors  (end - begin, K)
    """
    start, code, weight, _ = patterns
    slopes, theta = tables.slopes, tables.theta
    nodes = len(theta)
    codes = len(tables.log_curves) // nodes
    curves, kinds = codes // 2, len(slopes) // len(tables.log_curves)
    side = kinds * curves
    rows, square = np.zeros(4 * side, f64), np.empty(side * side, f64)
    for k in range(nodes):
        square[:] = f64(0)
        num_rows = 0
        for s in range(begin, end):
            if posteriors[s - begin, k] > 0:
                root, row = math.sqrt(weight[s] * posteriors[s - begin, k]), num_rows * side
                for r in range(start[s], start[s + 1]):
                    for m in range(kinds):
                        rows[row + m * curves + (code[r] >> 1)] += root * slopes[(m * codes + code[r]) * nodes + k]
                num_rows += 1
                if num_rows == 4:
                    _add_outer_products(rows, side, square)
                    num_rows = 0
        _add_outer_products(rows, side, square)
        for j in range(side * side):
            mean_squares[j] += square[j]
            mean_squares[side * side + j] += theta[k] * square[j]
            mean_squares[2 * side * side + j] += theta[k] * theta[k] * square[j]


@kernel
def missing_joint(
    begin: int, end: int, patterns: Patterns, tables: Tables, mean_squares: Doubles, squared_means: Doubles
) -> None:
    """Add the moments of the scores of patterns `begin` to `end` - 1 to the upper triangles of flat matrices.

    mean_squares   (3 * (L * V)**2,) E[S S'], E[theta S S'] and E[theta**2 S S'] of the scores of d and, in the 3PL, c
    squared_means  ((M * V)**2,) E[S] E[S]' of the scores of d, a and c
    """
    posteriors = np.empty((end - begin, len(tables.theta)), f64)
    for s in range(begin, end):
        _posterior(s, patterns, tables, posteriors[s - begin])
    _add_squared_means(begin, end, patterns, tables, posteriors, squared_means)
    _add_mean_squares(begin, end, patterns, tables, posteriors, mean_squares)


@kernel
def missing_separate(begin: int, end: int, patterns: Patterns, tables: Tables, missing: Doubles) -> None:
    """Add the missing information of each curve, from patterns `begin` to `end` - 1.

    missing  (V * M * M,)

    The covariance between two responses of a student to the same item is left out.
    """
    start, code, weight, _ = patterns
    slopes, theta, kinds = tables.slopes, tables.theta, tables.kinds
    nodes = len(theta)
    codes = len(tables.log_curves) // nodes
    posterior, score, mean = np.empty(nodes, f64), np.empty(3, f64), np.empty(3, f64)
    for s in range(begin, end):
        _posterior(s, patterns, tables, posterior)
        for r in range(start[s], start[s + 1]):
            place = (code[r] >> 1) * kinds * kinds
            mean[:] = f64(0)
            for k in range(nodes):
                if posterior[k] > 0:
                    score[0] = slopes[code[r] * nodes + k]
                    score[1] = theta[k] * score[0]
                    if kinds > 2:
                        score[2] = slopes[(codes + code[r]) * nodes + k]
                    for i in range(kinds):
                        mean[i] += posterior[k] * score[i]
                        for j in range(kinds):
                            missing[place + i * kinds + j] += weight[s] * posterior[k] * score[i] * score[j]
            for i in range(kinds):
                for j in range(kinds):
                    missing[place + i * kinds + j] -= weight[s] * mean[i] * mean[j]


def uncertainty(
    curves: Curves,
    patterns: Patterns,
    counts: Doubles,
    log_prior: Doubles,
    theta: Doubles,
    structure: Structure,
    priors: Priors,
) -> Uncertainty:
    """Return standard errors from the inverse of the observed information, the priors' information included.

    counts     (2V, K) expected counts of an E-step at `curves`
    log_prior  (G, K)  log-weight of each node in each group, treated as known
    theta      (K,)    nodes, logits

    Parameters at a bound, and all parameters of an item whose a or d is at a bound, have none. The other standard
    errors treat these parameters as known.

    Source: Louis (1982), Journal of the Royal Statistical Society B 44, 226-233.
    """
    kinds = 1 + structure.has_slope + structure.has_guessing
    complete, slopes = _complete(curves, counts, theta)
    complete = complete[:, :kinds, :kinds] + _prior_information(curves, priors, kinds)
    free = _free(curves, counts, kinds)
    tables = Tables(
        log_curves=log_curves(curves, theta).ravel(),
        log_prior=log_prior.ravel(),
        slopes=slopes[: max(1, kinds - 1)].ravel(),
        theta=theta,
        kinds=kinds,
    )
    joint = len(curves.a) <= MAX_JOINT_CURVES
    if joint:
        missing = _missing_joint(patterns, tables, len(curves.a))
        covariance = _joint_covariance(complete, missing, free, curves, structure, priors)
    else:
        missing = _missing_separate(patterns, tables, len(curves.a))
        covariance = _separate_covariance(complete, missing, free, curves, structure, priors)
    return _standard_errors(curves, covariance, joint)


def _missing_joint(patterns: Patterns, tables: Tables, num_curves: int) -> Doubles:
    """Return the missing information (M * V, M * V), E[S S'] - E[S] E[S]': d of all curves, then a, then c."""
    kinds = tables.kinds
    side, full_side = num_curves * max(1, kinds - 1), num_curves * kinds

    def sum_chunk(begin: int, end: int) -> tuple[Doubles, Doubles]:
        mean_squares, squared_means = np.zeros(3 * side**2), np.zeros(full_side**2)
        missing_joint(begin, end, patterns, tables, mean_squares, squared_means)
        return mean_squares, squared_means

    first, second = (sum(x[1:], x[0]) for x in zip(*map_chunks(patterns.start, sum_chunk), strict=True))
    m0, m1, m2 = _symmetric(first.reshape(3, side, side))
    squared_means = _symmetric(second.reshape(full_side, full_side))
    d, c = slice(0, num_curves), slice(num_curves, 2 * num_curves)
    blocks = [
        [m0[d, d], m1[d, d], m0[d, c]],
        [m1[d, d], m2[d, d], m1[d, c]],
        [m0[c, d], m1[c, d], m0[c, c]],
    ]
    return np.asarray(np.block([row[:kinds] for row in blocks[:kinds]]) - squared_means)


def _symmetric(triangles: Doubles) -> Doubles:
    """Return the symmetric matrices (…, n, n) with these upper triangles."""
    return np.asarray(triangles + np.triu(triangles, 1).swapaxes(-1, -2))


def _missing_separate(patterns: Patterns, tables: Tables, num_curves: int) -> Doubles:
    """Return the missing information (V, M, M) of each curve."""
    kinds = tables.kinds

    def sum_chunk(begin: int, end: int) -> Doubles:
        missing = np.zeros(num_curves * kinds**2)
        missing_separate(begin, end, patterns, tables, missing)
        return missing

    parts = map_chunks(patterns.start, sum_chunk)
    return sum(parts, np.zeros(num_curves * kinds**2)).reshape(num_curves, kinds, kinds)


def _complete(curves: Curves, counts: Doubles, theta: Doubles) -> tuple[Doubles, Doubles]:
    """Return the complete-data information (V, 3, 3) of d, a, c, and the slopes (2, 2V, K) for d and c.

    The slopes are the derivatives of the log-probability of each code. With z = a theta + d:

        d log P / dz = Q F / P,  d log P / dc = (1 - F) / P;  d log Q / dz = -F,  d log Q / dc = -1 / (1 - c)
    """
    z = curves.a[:, None] * theta + curves.d[:, None]
    c = curves.c[:, None]
    f, complement = logistic(z), logistic(-z)
    p, q = c + (1 - c) * f, (1 - c) * complement
    wrong, right = counts[0::2], counts[1::2]
    slopes = np.empty((2, len(z), 2, len(theta)))
    slopes[0, :, 1], slopes[0, :, 0] = q * f / p, -f
    slopes[1, :, 1], slopes[1, :, 0] = complement / p, -1 / (1 - c)
    curvature = right * ((q * f / p) ** 2 - q * f * (1 - 2 * f) / p) + wrong * f * complement
    mixed = right * f * complement / p**2
    complete = np.empty((len(z), 3, 3))
    for i, x in enumerate((np.ones_like(theta), theta)):
        complete[:, i, 0] = complete[:, 0, i] = curvature @ x
        complete[:, i, 2] = complete[:, 2, i] = mixed @ x
    complete[:, 1, 1] = curvature @ theta**2
    complete[:, 2, 2] = (right * (complement / p) ** 2 + wrong / (1 - c) ** 2).sum(axis=1)
    return complete, slopes.reshape(2, -1, len(theta))


def _prior_information(curves: Curves, priors: Priors, kinds: int) -> Doubles:
    """Return the information (V, M, M) of the priors of d and c: minus the second derivative of the log-density.

    The information of the prior of a is added later, once per a, by `_slope_prior`.
    """
    added = np.zeros((len(curves.a), kinds, kinds))
    if priors.d is not None:
        added[:, 0, 0] = 1 / priors.d[1] ** 2
    if priors.c is not None and kinds == 3:
        alpha, beta = priors.c
        added[:, 2, 2] = (alpha - 1) / curves.c**2 + (beta - 1) / (1 - curves.c) ** 2
    return added


def _slope_prior(a: Doubles, priors: Priors) -> Doubles:
    """Return the information of the prior of a for each value of a."""
    if priors.a is None:
        return np.zeros_like(a)
    mean, sd = priors.a
    return np.asarray((1 - (np.log(a) - mean)) / (sd * a) ** 2 - 1 / a**2)


def _free(curves: Curves, counts: Doubles, kinds: int) -> Bools:
    """Return whether each parameter (V, M) has a standard error.

    It has none if its item has no responses, or if the a or d of the item is at a bound. A c at a bound has none.
    """
    free = np.ones((len(curves.a), 3), bool)
    free[:, 2] = (curves.c > MIN_GUESSING) & (curves.c < MAX_GUESSING)
    free[at_bounds(curves.a, curves.d)] = False
    free[counts.reshape(len(curves.a), -1).sum(axis=1) == 0] = False
    return free[:, :kinds]


def _joint_covariance(
    complete: Doubles, missing: Doubles, free: Bools, curves: Curves, structure: Structure, priors: Priors
) -> Doubles:
    """Return the covariance (V, M, M) of each curve's parameters: blocks of the inverse of the joint information.

    A shared a is one parameter, to which the a of each curve is equal, so that the information of the curves adds up.
    """
    num_curves, kinds = free.shape
    information = -missing
    places = np.arange(num_curves)[:, None] + np.arange(kinds) * num_curves
    information[places[:, :, None], places[:, None, :]] += complete
    index = _parameter_index(free, structure)
    is_free = index.T.ravel() >= 0
    flat = index.T.ravel()[is_free]
    size = int(flat.max(initial=-1)) + 1
    joint = np.zeros((size, size))
    np.add.at(joint, (flat[:, None], flat), information[np.ix_(is_free, is_free)])
    if structure.has_slope:
        slopes, first_curve = np.unique(index[:, 1], return_index=True)
        first_curve, slopes = first_curve[slopes >= 0], slopes[slopes >= 0]
        joint[slopes, slopes] += _slope_prior(curves.a[first_curve], priors)
    covariance = np.full((num_curves, kinds, kinds), np.nan)
    inverse = _inverse(joint)
    pairs = (index[:, :, None] >= 0) & (index[:, None, :] >= 0)
    blocks = inverse[index[:, :, None], index[:, None, :]]
    covariance[pairs] = blocks[pairs]
    return covariance


def _parameter_index(free: Bools, structure: Structure) -> Longs:
    """Return the index (V, M) of each free parameter in the joint information, and -1 for the others."""
    num_curves, kinds = free.shape
    label = np.arange(num_curves * kinds).reshape(num_curves, kinds)
    if structure.has_slope:
        label[:, 1] = num_curves * kinds + structure.unit
    index = np.full((num_curves, kinds), -1, np.int64)
    index[free] = np.unique(label[free], return_inverse=True)[1].ravel()
    return index


def _inverse(information: Doubles) -> Doubles:
    """Return the inverse; NaN if the information is not positive definite, so that the estimates are not a maximum."""
    try:
        np.linalg.cholesky(information)
    except np.linalg.LinAlgError:
        return np.full_like(information, np.nan)
    return np.asarray(np.linalg.inv(information))


def _separate_covariance(
    complete: Doubles, missing: Doubles, free: Bools, curves: Curves, structure: Structure, priors: Priors
) -> Doubles:
    """Return the covariance (V, M, M) of each curve's parameters, with all other curves treated as known.

    A shared a, as in the 1PL, is treated as known too: it has no standard error.
    """
    kinds = free.shape[1]
    information = complete - missing
    if structure.has_slope:
        information[:, 1, 1] += _slope_prior(curves.a, priors)
        free = free & ((np.bincount(structure.unit)[structure.unit] == 1)[:, None] | (np.arange(kinds) != 1))
    pairs = free[:, :, None] & free[:, None, :]
    blocks = np.where(pairs, information, np.eye(kinds))
    is_definite = np.linalg.eigvalsh(blocks)[:, 0] > 0
    covariance = np.full_like(blocks, np.nan)
    covariance[is_definite] = np.linalg.inv(blocks[is_definite])
    covariance[~pairs] = np.nan
    return covariance


def _standard_errors(curves: Curves, covariance: Doubles, joint: bool) -> Uncertainty:
    """Return the standard errors from the covariance (V, M, M); that of b = -d / a is by the delta method."""
    kinds = covariance.shape[1]
    errors = np.full((len(curves.a), 3), np.nan)
    errors[:, :kinds] = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    b = -curves.d / curves.a
    variance = covariance[:, 0, 0].copy()
    if kinds > 1:
        variance += np.nan_to_num(b**2 * covariance[:, 1, 1] + 2 * b * covariance[:, 0, 1])
    return Uncertainty(a=errors[:, 1], d=errors[:, 0], b=np.sqrt(variance / curves.a**2), c=errors[:, 2], joint=joint)
