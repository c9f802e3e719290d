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

from alsim._jit import kernel, phase
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
    logistic,
)
from alsim.types import Bools, Doubles, Ints, Longs, f64, u64

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
def _scores(
    begin: int,
    end: int,
    code: Ints,
    slopes: Doubles,
    post: Doubles,
    weight: float,
    kinds: int,
    slot: Longs,
    member: Longs,
    scores: Doubles,
) -> tuple[int, int]:
    """Fill `scores`, flat (heavy nodes, curves met * M), with the centred scores of one pattern.

    slopes  flat (2V, K, M), d log P(response) / d parameter
    post    (K,) its posterior; nodes of weight 0 are left out
    slot    (V,) -1 all over
    member  (V,) filled with the curves met

    Each is multiplied by the root of the weight and of the node's, so that sums of products are covariances. Returns
    how many heavy nodes there are, and curves.
    """
    met = 0
    for r in range(begin, end):
        curve = code[r] >> 1
        if slot[curve] < 0:
            slot[curve] = met
            member[met] = curve
            met += 1
    nodes, width, heavy = len(post), met * kinds, 0
    mean = np.zeros(width, f64)
    for k in range(nodes):
        if post[k] > 0:
            row = heavy * width
            scores[row : row + width] = f64(0)
            for r in range(begin, end):
                place, source = row + slot[code[r] >> 1] * kinds, (code[r] * nodes + k) * kinds
                for m in range(kinds):
                    scores[place + m] += slopes[source + m]
            for j in range(width):
                mean[j] += post[k] * scores[row + j]
            heavy += 1
    row = 0
    for k in range(nodes):
        if post[k] > 0:
            root = math.sqrt(post[k] * weight)
            for j in range(width):
                scores[row + j] = root * (scores[row + j] - mean[j])
            row += width
    for j in range(met):
        slot[member[j]] = -1
    return heavy, met


@phase
def _products(scores: Doubles, heavy: int, width: int, i: int, last: int, row: Doubles) -> None:
    """Write the sums over nodes of column i times each column from i to `last` to `row`."""
    for j in range(i, last):
        row[u64(j)] = f64(0)
    for h in range(heavy):
        factor = scores[u64(h * width + i)]
        for j in range(i, last):
            row[u64(j)] += factor * scores[u64(h * width + j)]


@kernel
def missing_portion(
    begin: int,
    end: int,
    start: Longs,
    code: Ints,
    weight: Doubles,
    group: Ints,
    log_table: Doubles,
    log_prior: Doubles,
    slopes: Doubles,
    curves: int,
    nodes: int,
    kinds: int,
    between: bool,
    missing: Doubles,
) -> None:
    """Add the missing information of patterns `begin` to `end` to the upper triangle of `missing`; tables are flat.

    slopes   (2V, K, M), as `_scores` takes them
    missing  (V * M, V * M) with what is known between curves, (V, M, M) without
    """
    side = curves * kinds if between else kinds
    slot, member = np.full(curves, -1, np.int64), np.empty(curves, np.int64)
    row, post = np.empty(curves * kinds, f64), np.empty(nodes, f64)
    scores = np.empty(nodes * curves * kinds, f64)
    for s in range(begin, end):
        post[:] = f64(0)
        add_row(post, log_prior, group[s] * nodes)
        for r in range(start[s], start[s + 1]):
            add_row(post, log_table, code[r] * nodes)
        to_posterior(post)
        heavy, met = _scores(start[s], start[s + 1], code, slopes, post, weight[s], kinds, slot, member, scores)
        for i in range(met * kinds):
            last = met * kinds if between else (i // kinds + 1) * kinds
            _products(scores, heavy, met * kinds, i, last, row)
            mine = member[i // kinds] * kinds + i % kinds
            for j in range(i, last):
                other = member[j // kinds] * kinds + j % kinds if between else j % kinds
                first, second = (min(mine, other), max(mine, other)) if between else (mine, other)
                missing[first * side + second] += row[j]


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
    many, kinds = len(curves.a), 1 + structure.slopes + structure.guessing
    complete, slopes = _complete(curves, counts, theta)
    complete, slopes = complete[:, :kinds, :kinds], np.ascontiguousarray(slopes[:, :, :kinds])
    complete += _of_priors(curves, priors, kinds)
    table = log_curves(curves, theta)
    whole = many <= MOST_CURVES
    size = (many * kinds) ** 2 if whole else many * kinds**2

    def portion(begin: int, end: int) -> Doubles:
        missing = np.zeros(size)
        arguments = (table.ravel(), log_prior.ravel(), slopes.ravel(), many, len(theta), kinds, whole, missing)
        missing_portion(begin, end, *found, *arguments)
        return missing

    missing = sum(in_portions(found.start, portion), np.zeros(size))
    free = _free(curves, counts, structure, kinds)
    if whole:
        covariance = _inverse_whole(complete, missing.reshape(many * kinds, -1), free, curves, structure, priors)
    else:
        covariance = _inverse_within(complete, missing.reshape(many, kinds, kinds), free, curves, structure, priors)
    return _errors(curves, covariance, whole)


def _complete(curves: Curves, counts: Doubles, theta: Doubles) -> tuple[Doubles, Doubles]:
    """Return the complete data's information (V, 3, 3), and the slopes (2V, K, 3) of each response's log-probability.

    Both in d, a, c; with z = a theta + d:
        d log P / dz = Q F / P,  d log P / dc = (1 - F) / P;  d log Q / dz = -F,  d log Q / dc = -1 / (1 - c)
    """
    z = curves.a[:, None] * theta + curves.d[:, None]
    c = curves.c[:, None]
    f, rest = logistic(z), logistic(-z)
    p, q = c + (1 - c) * f, (1 - c) * rest
    wrong, right = counts[0::2], counts[1::2]
    slopes = np.empty((len(z), 2, len(theta), 3))
    slopes[:, 1, :, 0], slopes[:, 0, :, 0] = q * f / p, -f
    slopes[:, :, :, 1] = slopes[:, :, :, 0] * theta
    slopes[:, 1, :, 2], slopes[:, 0, :, 2] = rest / p, -1 / (1 - c)
    bend = right * ((q * f / p) ** 2 - q * f * (1 - 2 * f) / p) + wrong * f * rest
    mixed = right * f * rest / p**2
    complete = np.empty((len(z), 3, 3))
    for i, x in enumerate((np.ones_like(theta), theta)):
        complete[:, i, 0] = complete[:, 0, i] = bend @ x
        complete[:, i, 2] = complete[:, 2, i] = mixed @ x
    complete[:, 1, 1] = bend @ theta**2
    complete[:, 2, 2] = (right * (rest / p) ** 2 + wrong / (1 - c) ** 2).sum(axis=1)
    return complete, slopes.reshape(-1, len(theta), 3)


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
    information = -(missing + np.triu(missing, 1).T)
    places = np.arange(many)[:, None] * kinds + np.arange(kinds)
    information[places[:, :, None], places[:, None, :]] += complete
    number = _numbers(free, structure)
    known = number.ravel() >= 0
    flat = number.ravel()[known]
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
    information = complete - (missing + np.triu(missing, 1).swapaxes(1, 2))
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
