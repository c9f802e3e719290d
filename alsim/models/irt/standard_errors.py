"""How exact estimates are: the observed information of the marginal likelihood.

It is what complete data would tell, less what not knowing the abilities costs (Louis 1982): for each student, the
covariance of the complete data's score under the posterior of the ability. Both are sums over nodes; no derivative is
taken by differences.

Axis letters: those of `expectation`, and M kinds of parameters a curve, in the order d, a, c: one of them for the
Rasch model, two for the 1PL and 2PL, three for the 3PL.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from alsim.jit.compile import kernel, phase
from alsim.models.irt.expectation import Patterns, add_row, in_portions, to_posterior
from alsim.models.irt.maximisation import (
    LEAST_GUESSING,
    MOST_GUESSING,
    MOST_INTERCEPT,
    MOST_SLOPE,
    Curves,
    Priors,
    Structure,
    log_curves,
)
from alsim.models.logistic import logistic
from alsim.types import Bools, Doubles, Ints, Longs, f64, u64

LIGHT = 1e-12
"""Weight of a node in a posterior, below which it adds nothing that an SE would show."""

MOST_CURVES = 600
"""With more, what is known between items is left out: it would take matrices of millions of numbers."""


class Uncertainty(NamedTuple):
    """Standard errors of V curves, each (V,); NaN for what is not estimated, and where there is none.

    a, d, b, c  b = -d / a by the delta method
    whole       whether the information between items counts in them
    """

    a: Doubles
    d: Doubles
    b: Doubles
    c: Doubles
    whole: bool


@phase
def _posterior(
    s: int, start: Longs, code: Ints, group: Ints, log_table: Doubles, log_prior: Doubles, post: Doubles
) -> None:
    """Write the posterior of pattern s to `post`; its lightest nodes become 0."""
    post[:] = f64(0)
    add_row(post, log_prior, group[s] * len(post))
    for r in range(start[s], start[s + 1]):
        add_row(post, log_table, code[r] * len(post))
    to_posterior(post)
    for k in range(len(post)):
        if post[k] < LIGHT:
            post[k] = f64(0)


@phase
def _add_squares(rows: Doubles, side: int, matrix: Doubles) -> None:
    """Add the sum of the squares of four rows, and set them to 0; the upper triangle of `matrix` alone.

    Four at a time, since the matrix is read and written for each: it takes half the time.
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
def missing_between(
    begin: int,
    end: int,
    start: Longs,
    code: Ints,
    weight: Doubles,
    group: Ints,
    log_table: Doubles,
    log_prior: Doubles,
    slopes: Doubles,
    theta: Doubles,
    kinds: int,
    moments: Doubles,
    known: Doubles,
) -> None:
    """Add up the squares of scores of patterns `begin` to `end`: upper triangles of flat matrices.

    log_table  flat (2V, K)
    slopes     flat (L, 2V, K), d log P(response) / d (d, c): those of a are theta times those of d
    moments    flat (3, L * V, L * V), of E[S S'], of E[theta S S'] and of E[theta**2 S S']
    known      flat (M * V, M * V), of E[S] E[S]', in d, a, c
    """
    nodes = len(theta)
    codes = len(log_table) // nodes
    curves, loose = codes // 2, len(slopes) // len(log_table)
    side, whole = loose * curves, kinds * curves
    post = np.empty((end - begin, nodes), f64)
    rows, filled = np.zeros(4 * whole, f64), 0
    for s in range(begin, end):
        mine = post[s - begin]
        _posterior(s, start, code, group, log_table, log_prior, mine)
        root, row = math.sqrt(weight[s]), filled * whole
        for r in range(start[s], start[s + 1]):
            place, source = row + (code[r] >> 1), code[r] * nodes
            for k in range(nodes):
                share = root * mine[k]
                score = share * slopes[source + k]
                rows[place] += score
                if kinds > 1:
                    rows[place + curves] += score * theta[k]
                if kinds > 2:
                    rows[place + 2 * curves] += share * slopes[codes * nodes + source + k]
        filled += 1
        if filled == 4 or s == end - 1:
            _add_squares(rows, whole, known)
            filled = 0
    rows, square = np.zeros(4 * side, f64), np.empty(side * side, f64)
    for k in range(nodes):
        square[:] = f64(0)
        filled = 0
        for s in range(begin, end):
            if post[s - begin, k] > 0:
                root, row = math.sqrt(weight[s] * post[s - begin, k]), filled * side
                for r in range(start[s], start[s + 1]):
                    for m in range(loose):
                        rows[row + m * curves + (code[r] >> 1)] += root * slopes[(m * codes + code[r]) * nodes + k]
                filled += 1
                if filled == 4:
                    _add_squares(rows, side, square)
                    filled = 0
        _add_squares(rows, side, square)
        for j in range(side * side):
            moments[j] += square[j]
            moments[side * side + j] += theta[k] * square[j]
            moments[2 * side * side + j] += theta[k] * theta[k] * square[j]


@kernel
def missing_within(
    begin: int,
    end: int,
    start: Longs,
    code: Ints,
    weight: Doubles,
    group: Ints,
    log_table: Doubles,
    log_prior: Doubles,
    slopes: Doubles,
    theta: Doubles,
    kinds: int,
    missing: Doubles,
) -> None:
    """Add up each curve's own missing information, flat (V, M, M), from patterns `begin` to `end`.

    Arguments as of `missing_between`. What two responses to one item miss together is left out.
    """
    nodes = len(theta)
    codes = len(log_table) // nodes
    post, score, mean = np.empty(nodes, f64), np.empty(3, f64), np.empty(3, f64)
    for s in range(begin, end):
        _posterior(s, start, code, group, log_table, log_prior, post)
        for r in range(start[s], start[s + 1]):
            place = (code[r] >> 1) * kinds * kinds
            mean[:] = f64(0)
            for k in range(nodes):
                if post[k] > 0:
                    score[0] = slopes[code[r] * nodes + k]
                    score[1] = theta[k] * score[0]
                    if kinds > 2:
                        score[2] = slopes[(codes + code[r]) * nodes + k]
                    for i in range(kinds):
                        mean[i] += post[k] * score[i]
                        for j in range(kinds):
                            missing[place + i * kinds + j] += weight[s] * post[k] * score[i] * score[j]
            for i in range(kinds):
                for j in range(kinds):
                    missing[place + i * kinds + j] -= weight[s] * mean[i] * mean[j]


def uncertainty(
    curves: Curves,
    found: Patterns,
    counts: Doubles,
    log_prior: Doubles,
    theta: Doubles,
    structure: Structure,
    priors: Priors,
) -> Uncertainty:
    """Return standard errors from the inverse of the observed information, that of the priors included.

    counts     (2V, K) of an E-step at `curves`
    log_prior  (G, K)  log-weight of each node in each group, taken for known

    Source: Louis (1982), Journal of the Royal Statistical Society B 44, 226-233.
    """
    kinds = 1 + structure.slopes + structure.guessing
    complete, slopes = _complete(curves, counts, theta)
    complete = complete[:, :kinds, :kinds] + _of_priors(curves, priors, kinds)
    free = _free(curves, counts, structure, kinds)
    loose = slopes[: max(1, kinds - 1)].ravel()
    tables = Tables(log_curves(curves, theta).ravel(), log_prior.ravel(), loose, theta, kinds)
    whole = len(curves.a) <= MOST_CURVES
    if whole:
        missing = _missing_between(found, tables, len(curves.a))
        covariance = _inverse_whole(complete, missing, free, curves, structure, priors)
    else:
        missing = _missing_within(found, tables, len(curves.a))
        covariance = _inverse_within(complete, missing, free, curves, structure, priors)
    return _errors(curves, covariance, whole)


class Tables(NamedTuple):
    """What the kernels read, as `missing_between` tells it."""

    log_table: Doubles
    log_prior: Doubles
    slopes: Doubles
    theta: Doubles
    kinds: int


def _missing_between(found: Patterns, tables: Tables, many: int) -> Doubles:
    """Return the missing information (M * V, M * V): E[S S'] - E[S] E[S]', in d, a, c of all curves each."""
    kinds = tables.kinds
    side, whole = many * max(1, kinds - 1), many * kinds

    def portion(begin: int, end: int) -> tuple[Doubles, Doubles]:
        moments, known = np.zeros(3 * side**2), np.zeros(whole**2)
        log_table, log_prior, slopes, theta, _ = tables
        missing_between(begin, end, *found, log_table, log_prior, slopes, theta, kinds, moments, known)
        return moments, known

    sums = [sum(x[1:], x[0]) for x in zip(*in_portions(found.start, portion), strict=True)]
    moments, known = (_symmetric(x) for x in (sums[0].reshape(3, side, side), sums[1].reshape(1, whole, whole)))
    d, c = slice(0, many), slice(many, 2 * many)
    blocks = [
        [moments[0][d, d], moments[1][d, d], moments[0][d, c]],
        [moments[1][d, d], moments[2][d, d], moments[1][d, c]],
        [moments[0][c, d], moments[1][c, d], moments[0][c, c]],
    ]
    return np.asarray(np.block([row[:kinds] for row in blocks[:kinds]]) - known[0])


def _symmetric(triangles: Doubles) -> Doubles:
    """Return symmetric matrices (…, n, n) of their upper triangles."""
    return np.asarray(triangles + np.triu(triangles, 1).swapaxes(-1, -2))


def _missing_within(found: Patterns, tables: Tables, many: int) -> Doubles:
    """Return each curve's own missing information (V, M, M)."""
    kinds = tables.kinds

    def portion(begin: int, end: int) -> Doubles:
        missing = np.zeros(many * kinds**2)
        log_table, log_prior, slopes, theta, _ = tables
        missing_within(begin, end, *found, log_table, log_prior, slopes, theta, kinds, missing)
        return missing

    return sum(in_portions(found.start, portion), np.zeros(many * kinds**2)).reshape(many, kinds, kinds)


def _complete(curves: Curves, counts: Doubles, theta: Doubles) -> tuple[Doubles, Doubles]:
    """Return the complete data's information (V, 3, 3), and the slopes of each response's log-probability.

    The first in d, a, c, the slopes (2, 2V, K) in d and c; with z = a theta + d:
        d log P / dz = Q F / P,  d log P / dc = (1 - F) / P;  d log Q / dz = -F,  d log Q / dc = -1 / (1 - c)
    """
    z = curves.a[:, None] * theta + curves.d[:, None]
    c = curves.c[:, None]
    f, rest = logistic(z), logistic(-z)
    p, q = c + (1 - c) * f, (1 - c) * rest
    wrong, right = counts[0::2], counts[1::2]
    slopes = np.empty((2, len(z), 2, len(theta)))
    slopes[0, :, 1], slopes[0, :, 0] = q * f / p, -f
    slopes[1, :, 1], slopes[1, :, 0] = rest / p, -1 / (1 - c)
    bend = right * ((q * f / p) ** 2 - q * f * (1 - 2 * f) / p) + wrong * f * rest
    mixed = right * f * rest / p**2
    complete = np.empty((len(z), 3, 3))
    for i, x in enumerate((np.ones_like(theta), theta)):
        complete[:, i, 0] = complete[:, 0, i] = bend @ x
        complete[:, i, 2] = complete[:, 2, i] = mixed @ x
    complete[:, 1, 1] = bend @ theta**2
    complete[:, 2, 2] = (right * (rest / p) ** 2 + wrong / (1 - c) ** 2).sum(axis=1)
    return complete, slopes.reshape(2, -1, len(theta))


def _of_priors(curves: Curves, priors: Priors, kinds: int) -> Doubles:
    """Return the information (V, M, M) of the priors: minus the second derivative of their log-density.

    That of a shared a is added where it is one parameter.
    """
    added = np.zeros((len(curves.a), kinds, kinds))
    if priors.d is not None:
        added[:, 0, 0] = 1 / priors.d[1] ** 2
    if priors.c is not None and kinds == 3:
        alpha, beta = priors.c
        added[:, 2, 2] = (alpha - 1) / curves.c**2 + (beta - 1) / (1 - curves.c) ** 2
    return added


def _slope_prior(a: Doubles, priors: Priors) -> Doubles:
    """Return the information of the prior of a, of each a."""
    if priors.a is None:
        return np.zeros_like(a)
    mean, sd = priors.a
    return np.asarray((1 - (np.log(a) - mean)) / (sd * a) ** 2 - 1 / a**2)


def _free(curves: Curves, counts: Doubles, structure: Structure, kinds: int) -> Bools:
    """Return which parameters (V, M) have a standard error: those that no bound holds, of items with responses."""
    free = np.empty((len(curves.a), 3), bool)
    free[:, 0] = np.abs(curves.d) < MOST_INTERCEPT
    free[:, 1] = np.abs(curves.a) < MOST_SLOPE
    free[:, 2] = (curves.c > LEAST_GUESSING * 1.01) & (curves.c < MOST_GUESSING)
    free[counts.reshape(len(curves.a), -1).sum(axis=1) == 0] = False
    return free[:, :kinds]


def _inverse_whole(
    complete: Doubles, missing: Doubles, free: Bools, curves: Curves, structure: Structure, priors: Priors
) -> Doubles:
    """Return the covariance (V, M, M) of each curve's parameters: blocks of the inverse of the whole information.

    A shared a is one parameter, on which the curves' depend linearly: the information of its parts adds up.
    """
    many, kinds = free.shape
    information = -missing
    places = np.arange(many)[:, None] + np.arange(kinds) * many
    information[places[:, :, None], places[:, None, :]] += complete
    number = _numbers(free, structure)
    known = number.T.ravel() >= 0
    flat = number.T.ravel()[known]
    size = int(flat.max(initial=-1)) + 1
    whole = np.zeros((size, size))
    np.add.at(whole, (flat[:, None], flat), information[np.ix_(known, known)])
    if structure.slopes:
        shared, first = np.unique(number[:, 1], return_index=True)
        first, shared = first[shared >= 0], shared[shared >= 0]
        whole[shared, shared] += _slope_prior(curves.a[first], priors)
    covariance = np.full((many, kinds, kinds), np.nan)
    inverse = _inverse(whole)
    pairs = (number[:, :, None] >= 0) & (number[:, None, :] >= 0)
    both = inverse[number[:, :, None], number[:, None, :]]
    covariance[pairs] = both[pairs]
    return covariance


def _numbers(free: Bools, structure: Structure) -> Longs:
    """Return the number (V, M) of each curve's parameters among all that have a standard error, or -1."""
    many, kinds = free.shape
    own = np.arange(many * kinds).reshape(many, kinds)
    if structure.slopes:
        own[:, 1] = many * kinds + structure.share
    number = np.full((many, kinds), -1, np.int64)
    number[free] = np.unique(own[free], return_inverse=True)[1].ravel()
    return number


def _inverse(information: Doubles) -> Doubles:
    """Return the inverse; NaN where the information is not positive definite, and no maximum is there."""
    try:
        np.linalg.cholesky(information)
    except np.linalg.LinAlgError:
        return np.full_like(information, np.nan)
    return np.asarray(np.linalg.inv(information))


def _inverse_within(
    complete: Doubles, missing: Doubles, free: Bools, curves: Curves, structure: Structure, priors: Priors
) -> Doubles:
    """Return the covariance (V, M, M) of each curve's parameters, those of all other curves taken for known.

    Of the 1PL, the shared a too: it has no standard error here.
    """
    many, kinds = free.shape
    information = complete - missing
    if structure.slopes:
        information[:, 1, 1] += _slope_prior(curves.a, priors)
        free = free & ((np.bincount(structure.share)[structure.share] == 1)[:, None] | (np.arange(kinds) != 1))
    pairs = free[:, :, None] & free[:, None, :]
    blocks = np.where(pairs, information, np.eye(kinds))
    good = np.linalg.eigvalsh(blocks)[:, 0] > 0
    covariance = np.full_like(blocks, np.nan)
    covariance[good] = np.linalg.inv(blocks[good])
    covariance[~pairs] = np.nan
    return covariance


def _errors(curves: Curves, covariance: Doubles, whole: bool) -> Uncertainty:
    """Return the standard errors; that of b = -d / a by the delta method."""
    kinds = covariance.shape[1]
    errors = np.full((len(curves.a), 3), np.nan)
    errors[:, :kinds] = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    b = -curves.d / curves.a
    variance = covariance[:, 0, 0].copy()
    if kinds > 1:
        variance += np.nan_to_num(b**2 * covariance[:, 1, 1] + 2 * b * covariance[:, 0, 1])
    return Uncertainty(a=errors[:, 1], d=errors[:, 0], b=np.sqrt(variance / curves.a**2), c=errors[:, 2], whole=whole)
