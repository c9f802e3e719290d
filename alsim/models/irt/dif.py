"""Differential item functioning: items that are not the same for students of equal ability in two groups."""

from __future__ import annotations

import math
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alsim.models.base import ModelError
from alsim.models.irt.calibration import MAX_ITERATIONS, NODES, TOLERANCE, check_settings
from alsim.models.irt.estimation import Groups, State, estimate, quadrature
from alsim.models.irt.expectation import patterns
from alsim.models.irt.maximisation import Curves, Priors, Structure, logit
from alsim.models.irt.statistics import chi_squared_tail
from alsim.responses.log import Responses, codes_of
from alsim.types import Bools, Doubles, Longs

DELTA = -2.35
"""ETS's delta of a log odds ratio (Holland & Thayer 1985)."""
MODERATE, LARGE = 1.0, 1.5
"""Of |delta|: class A below 1, or not different from 0; C from 1.5 on, if above 1 beyond chance; B between."""
CRITICAL = 1.6448536269514722
"""95 % quantile of the normal distribution, one-sided; squared twice-sided 5 % is 3.84."""
CRITICAL_SQUARE = 3.841458820694124


class MantelHaenszel(NamedTuple):
    """Of I items, each (I,); NaN where no stratum compares the groups.

    items        names
    odds_ratio   common, of a correct response, reference to focal: above 1, the item is easier for the reference group
    se_log       standard error of its logarithm
    delta        -2.35 log(odds_ratio): below 0, it is harder for the focal group
    chi_squared  of one degree of freedom
    p            chance of as large a one without DIF
    classes      ETS's A (negligible), B, C (large); empty where there is no ratio
    """

    items: NDArray[np.str_]
    odds_ratio: Doubles
    se_log: Doubles
    delta: Doubles
    chi_squared: Doubles
    p: Doubles
    classes: NDArray[np.str_]


class LikelihoodRatio(NamedTuple):
    """Of the items tested, each (T,).

    items       names
    g2          2 (log-likelihood with the item's own curve in the focal group - with the same in both)
    df          parameters that the item has more
    p           chance of as large a one without DIF
    a, b        of the reference group; a_focal, b_focal of the focal group
    mean, sd    of ability in the focal group, where the reference group's is N(0, 1), with the item the same in both
    """

    items: NDArray[np.str_]
    g2: Doubles
    df: Longs
    p: Doubles
    a: Doubles
    b: Doubles
    a_focal: Doubles
    b_focal: Doubles
    mean: float
    sd: float


def mantel_haenszel(
    responses: Responses, group: ArrayLike, focal: object, *, correction: bool = True, matching: ArrayLike | None = None
) -> MantelHaenszel:
    """Compare two groups of students of the same score, item by item.

        alpha = sum_s A_s D_s / T_s  /  sum_s B_s C_s / T_s
        chi2  = (|sum_s A_s - E(A_s)| - 1/2)^2 / sum_s Var(A_s)

    with A, B the correct and wrong responses of the reference group in stratum s, C, D those of the focal group, and
    T all of them; the item counts in the score.

    responses   where each student answers an item at most once
    group       (S,) of two different values
    focal       the one of the focal group; the other is the reference group
    correction  whether to take away the 1/2
    matching    (S,) what students are matched by; the number of correct responses unless told, for which all
                must have answered all items

    Raises ModelError for other groups, for repeated responses, and for missing ones without `matching`.
    Source: Mantel & Haenszel (1959); Holland & Thayer (1985), ETS RR-85-43; the standard error of Robins, Breslow &
    Greenland (1986), Biometrics 42, 311-323.
    """
    is_focal = _groups(responses, group, focal)
    matrix = _dense(responses)
    if matching is None:
        if (matrix < 0).any():
            raise ModelError("some students have not answered all items: say by `matching` what they are matched by")
        strata = matrix.sum(axis=1, dtype=np.int64)
    else:
        strata = _levels(matching, responses, "matching")[1]
    found = [
        common_odds_ratio(_tables(matrix[:, i], is_focal, strata, responses.weight), correction=correction)
        for i in range(responses.num_items)
    ]
    ratio, se, chi2 = np.array(found).T
    delta = DELTA * np.log(ratio)
    p = np.array([chi_squared_tail(x, 1) for x in chi2])
    return MantelHaenszel(responses.items, ratio, se, delta, chi2, p, _classes(delta, -DELTA * se, chi2))


def _groups(responses: Responses, group: ArrayLike, focal: object) -> Bools:
    """Return which students (S,) are of the focal group."""
    levels, codes = _levels(group, responses, "group")
    if len(levels) != 2 or np.ndim(cast(ArrayLike, focal)) > 0 or focal not in levels:
        shown = ", ".join(map(repr, levels[:5]))
        raise ModelError(f"group has two different values, one of them the focal group's, {focal!r}; got {shown}")
    return np.asarray(codes == levels.index(focal))


def _levels(values: ArrayLike, responses: Responses, name: str) -> tuple[list[object], Longs]:
    """Return the different values, and for each student (S,) which it is; raises ModelError for missing ones."""
    array = np.asarray(values)
    if array.shape != (responses.num_students,):
        raise ModelError(f"{name} has a value for each of {responses.num_students} students; got shape {array.shape}")
    if any(value is None or value != value for value in array.tolist()):
        raise ModelError(f"{name} has a value for each student; one is missing")
    try:
        levels, codes = np.unique(array, return_inverse=True)
    except TypeError:
        raise ModelError(f"{name} has values that can be compared with each other; got {array.dtype}") from None
    return levels.tolist(), codes.ravel()


def _dense(responses: Responses) -> NDArray[np.int8]:
    try:
        return responses.matrix()
    except ValueError as error:
        raise ModelError(f"Mantel-Haenszel takes one response of a student to an item: {error}") from None


def _tables(correct: NDArray[np.int8], is_focal: Bools, strata: Longs, weight: Doubles) -> Doubles:
    """Return the counts A, B, C, D (strata, 4) of an item."""
    there = correct >= 0
    cell = strata[there] * 4 + 2 * is_focal[there] + (correct[there] == 0)
    return np.bincount(cell, weight[there], 4 * (int(strata.max()) + 1)).reshape(-1, 4).astype(np.float64)


def common_odds_ratio(tables: Doubles, *, correction: bool) -> tuple[float, float, float]:
    """Return the Mantel-Haenszel odds ratio of 2 x 2 tables (strata, 4), the SE of its log, and chi-squared."""
    a, b, c, d = tables[tables.sum(axis=1) > 1].T
    t = a + b + c + d
    r, s = a * d / t, b * c / t
    variance = ((a + b) * (c + d) * (a + c) * (b + d) / (t**2 * (t - 1))).sum()
    if r.sum() == 0 or s.sum() == 0 or variance == 0:
        return math.nan, math.nan, math.nan
    off = abs((a - (a + b) * (a + c) / t).sum())
    chi2 = max(0.0, off - (0.5 if correction else 0.0)) ** 2 / variance
    x, y = (a + d) / t, (b + c) / t
    spread = (x * r).sum() / (2 * r.sum() ** 2) + (y * s).sum() / (2 * s.sum() ** 2)
    spread += (x * s + y * r).sum() / (2 * r.sum() * s.sum())
    return float(r.sum() / s.sum()), math.sqrt(spread), float(chi2)


def _classes(delta: Doubles, se: Doubles, chi2: Doubles) -> NDArray[np.str_]:
    """Return ETS's classes (Zieky 1993)."""
    size = np.abs(delta)
    large = (size >= LARGE) & (size - CRITICAL * se > MODERATE)
    some = (size >= MODERATE) & (chi2 > CRITICAL_SQUARE)
    return np.select([np.isnan(delta), large, some], ["", "C", "B"], "A")


def likelihood_ratio(
    responses: Responses,
    group: ArrayLike,
    focal: object,
    model: str = "2pl",
    *,
    kind: str = "both",
    items: ArrayLike | None = None,
    anchors: ArrayLike | None = None,
    nodes: int = NODES,
    tolerance: float = TOLERANCE,
    max_iterations: int = MAX_ITERATIONS,
) -> LikelihoodRatio:
    """Test by nested fits of both groups whether items have the same curve in both.

        G2 = 2 (log L of the item with a curve of its own in each group - log L of the same curve in both)

    Ability is N(0, 1) in the reference group, and normal with a mean and sd to be estimated in the focal one.

    group, focal  as of `mantel_haenszel`
    model         "rasch", "1pl" or "2pl"
    kind          "uniform": b may differ, a is the same; "both": a and b may (2PL only); "non-uniform": a and b may,
                  beside b alone (2PL only)
    items         names of items to test; without, all that are no anchors
    anchors       names of items held the same in both groups, while all others differ in both fits; without, all items
                  but the tested one are held the same
    nodes, tolerance, max_iterations  as of `fit`

    Each fit goes on from the one with the same curve. Raises ModelError for what cannot be tested, and for fits that
    have not converged.
    Source: Thissen, Steinberg & Wainer (1993) in Holland & Wainer, Differential Item Functioning.
    """
    is_focal = _groups(responses, group, focal)
    kinds = {"rasch": ("uniform",), "1pl": ("uniform",), "2pl": ("both", "uniform", "non-uniform")}.get(model, ())
    if kind not in kinds:
        raise ModelError(
            f"DIF is tested of rasch and 1pl models, kind='uniform', and of 2pl, of any kind; got {model!r}, {kind!r}"
        )
    check_settings(nodes, tolerance, max_iterations)
    _refuse_alike(responses, is_focal)
    fixed = _chosen(anchors, responses, "anchors")
    rest = np.setdiff1d(np.arange(responses.num_items), fixed)
    tested = _chosen(items, responses, "items") if items is not None else rest
    if anchors is not None and len(fixed) == 0 or np.isin(tested, fixed).any() or len(tested) == 0:
        raise ModelError("anchors are one item or more, and none of the items tested, of which there is one or more")
    design = _Design(responses, is_focal, model, quadrature(nodes), tolerance, max_iterations)
    levels = np.full(responses.num_items, SAME)
    if anchors is not None:
        levels[rest] = OWN_B if model in ("rasch", "1pl") else OWN
    small, large = {"uniform": (SAME, OWN_B), "both": (SAME, OWN), "non-uniform": (OWN_B, OWN)}[kind]
    now = design.first()
    if anchors is None:
        now = design.fit(levels, now)
    pairs = []
    for item in tested:
        fits = []
        for level in (small, large):
            levels_now = levels.copy()
            levels_now[item] = level
            fits.append(design.fit(levels_now, now))
            now = fits[0]
        pairs.append((fits[0], fits[1]))
    g2 = np.array([max(0.0, 2 * (x.log_likelihood - y.log_likelihood)) for y, x in pairs])
    df = np.full(len(tested), large - small)
    a = np.array([x.a[:, i] for (_, x), i in zip(pairs, tested, strict=True)]).T
    d = np.array([x.d[:, i] for (_, x), i in zip(pairs, tested, strict=True)]).T
    groups = pairs[-1][0].groups
    return LikelihoodRatio(
        items=responses.items[tested],
        g2=g2,
        df=df,
        p=np.array([chi_squared_tail(x, int(n)) for x, n in zip(g2, df, strict=True)]),
        a=a[0],
        b=-d[0] / a[0],
        a_focal=a[1],
        b_focal=-d[1] / a[1],
        mean=float(groups.mean[1]),
        sd=float(groups.sd[1]),
    )


SAME, OWN_B, OWN = 0, 1, 2
"""Whether an item has in the focal group the same curve, one with a b of its own, or with an a of its own, too."""


def _chosen(names: ArrayLike | None, responses: Responses, what: str) -> Longs:
    """Return the indices of items by name."""
    wanted = np.asarray([] if names is None else names).astype(np.str_).ravel()
    codes = codes_of(wanted, responses.items)
    if (codes < 0).any():
        raise ModelError(f"{what} are names of items; {str(wanted[codes < 0][0])!r} is none")
    return np.unique(codes).astype(np.int64)


def _refuse_alike(responses: Responses, is_focal: Bools) -> None:
    """Raise ModelError where an item has no finite estimate in one of the groups."""
    weight = responses.weight[responses.student]
    cell = responses.item * 2 + is_focal[responses.student]
    answered = np.bincount(cell, weight, 2 * responses.num_items)
    correct = np.bincount(cell, weight * responses.correct, 2 * responses.num_items)
    alike = (correct == 0) | (correct == answered)
    if alike.any():
        worst = int(np.argmax(alike))
        which = "focal" if worst % 2 else "reference"
        raise ModelError(
            f"item {str(responses.items[worst // 2])!r} has not both correct and wrong responses in the {which} group; "
            "leave it out"
        )


class _Fitted(NamedTuple):
    """A fit of both groups: a and d (2, I), reference and focal."""

    a: Doubles
    d: Doubles
    groups: Groups
    log_likelihood: float


class _Design:
    """Fits of both groups, some items with curves of their own in the focal one."""

    def __init__(
        self,
        responses: Responses,
        is_focal: Bools,
        model: str,
        theta: Doubles,
        tolerance: float,
        max_iterations: int,
    ) -> None:
        self._responses, self._model, self._theta = responses, model, theta
        self._focal = is_focal.astype(np.int32)
        self._tolerance, self._max_iterations = tolerance, max_iterations

    def first(self) -> _Fitted:
        """Return where the first fit begins: a = 1, difficulties from both groups together."""
        log = self._responses
        weight = log.weight[log.student]
        answered = np.bincount(log.item, weight, log.num_items)
        correct = np.bincount(log.item, weight * log.correct, log.num_items)
        d = logit((correct + 0.5) / (answered + 1))
        return _Fitted(np.ones((2, len(d))), np.stack([d, d]), Groups(np.zeros(2), np.ones(2)), -math.inf)

    def fit(self, levels: Longs, begin: _Fitted) -> _Fitted:
        """Return the fit in which items differ by `levels`, from `begin` on."""
        many = len(levels)
        own = np.flatnonzero(levels > SAME)
        curve = np.stack([np.arange(many), np.arange(many)])
        curve[1, own] = many + np.arange(len(own))
        share = np.arange(many + len(own))
        share[many:][levels[own] == OWN_B] = own[levels[own] == OWN_B]
        if self._model == "1pl":
            share[:] = 0
        share = np.unique(share, return_inverse=True)[1].ravel()
        a, d = (np.concatenate([x[0], x[1, own]]) for x in (begin.a, begin.d))
        first_of = np.unique(share, return_index=True)[1]
        start = State(Curves(a[first_of][share], d, np.zeros(len(d))), begin.groups)
        log = self._responses
        group = self._focal[log.student]
        code = (2 * curve[group, log.item] + log.correct).astype(np.int32)
        found = patterns(log.start, code, log.weight, self._focal)
        structure = Structure(self._model, share)
        ended = estimate(
            start,
            found,
            self._theta,
            structure,
            Priors(),
            tolerance=self._tolerance,
            max_iterations=self._max_iterations,
        )
        if not ended.converged:
            raise ModelError(f"a fit of both groups has not converged in {ended.iterations} steps; allow more")
        curves, groups = ended.state
        return _Fitted(curves.a[curve], curves.d[curve], groups, ended.expected.log_likelihood)
