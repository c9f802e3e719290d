"""Differential item functioning (DIF): items that differ between two groups for students of equal ability."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alsim.models.base import ModelError
from alsim.models.irt.calibration import MAX_ITERATIONS, NODES, TOLERANCE, check_settings
from alsim.models.irt.estimation import Groups, State, quadrature, run_em
from alsim.models.irt.expectation import collapse
from alsim.models.irt.maximisation import Curves, Priors, Structure, logit
from alsim.models.irt.statistics import chi_squared_tail
from alsim.models.serialization import table_of
from alsim.responses.log import Responses, check_answers, codes_of
from alsim.types import Bools, Doubles, Longs, short_repr

DELTA = -2.35
"""Factor that converts a log odds ratio to the ETS delta scale (Holland & Thayer 1985)."""
MODERATE, LARGE = 1.0, 1.5
"""Bounds of |delta| for the ETS classes.

Class A: |delta| < 1, or not significantly different from 0. Class C: |delta| >= 1.5 and significantly above 1. Class B:
all others."""
CRITICAL_Z = 1.6448536269514722
"""95 % quantile of the standard normal distribution, for a one-sided test at 5 %."""
CRITICAL_CHI_SQUARED = 3.841458820694124
"""95 % quantile of the chi-squared distribution with one degree of freedom."""

SAME, OWN_B, OWN_A_AND_B = 0, 1, 2
"""Constraints on an item: equal parameters in both groups, or a separate b, or separate a and b, in the focal group."""


@short_repr
class MantelHaenszel(NamedTuple):
    """Mantel-Haenszel statistics of I items, each (I,); NaN if no stratum has both groups and both answers.

    items        names
    odds_ratio   common odds ratio of a correct response, reference to focal group; above 1, the item is easier for the
                 reference group; infinite if all strata with a difference have it in this direction only
    se_log       standard error of log(odds_ratio); NaN for an odds ratio of 0 or infinity
    delta        -2.35 log(odds_ratio), on the ETS delta scale; below 0, the item is harder for the focal group
    chi_squared  test statistic with one degree of freedom
    p            p-value of the hypothesis that the item has no DIF
    classes      ETS classes A (negligible), B (moderate) and C (large); empty without an odds ratio
    """

    items: NDArray[np.str_]
    odds_ratio: Doubles
    se_log: Doubles
    delta: Doubles
    chi_squared: Doubles
    p: Doubles
    classes: NDArray[np.str_]

    def table(self) -> list[dict[str, Any]]:
        """Return one row per item: the fields, its name under item."""
        return table_of({"item": self.items, **dict(zip(self._fields[1:], self[1:], strict=True))})


@short_repr
class LikelihoodRatio(NamedTuple):
    """Likelihood-ratio tests of T items, each (T,).

    items             names
    g2                2 (log-likelihood with separate parameters in the groups - log-likelihood with equal parameters)
    df                number of additional parameters
    p                 p-value of the hypothesis that the item has no DIF
    a, b              parameters in the reference group; 1/logit, logits
    a_focal, b_focal  parameters in the focal group
    mean, sd          mean and standard deviation of ability in the focal group, logits, from the last fit with equal
                      parameters. Ability in the reference group is N(0, 1)
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

    def table(self) -> list[dict[str, Any]]:
        """Return one row per item: the fields except mean and sd, its name under item."""
        return table_of({"item": self.items, **dict(zip(self._fields[1:8], self[1:8], strict=True))})


def mantel_haenszel(
    responses: Responses, group: ArrayLike, focal: object, *, correction: bool = True, matching: ArrayLike | None = None
) -> MantelHaenszel:
    """Test each item for DIF, by comparing students of two groups who have the same score.

        alpha = sum_s A_s D_s / T_s  /  sum_s B_s C_s / T_s
        chi2  = (|sum_s A_s - E(A_s)| - 1/2)^2 / sum_s Var(A_s)

    A_s and B_s are the numbers of correct and wrong responses of the reference group in stratum s, C_s and D_s those of
    the focal group, and T_s is their sum. The score includes the item.

    responses   responses of S students to I items, at most one response of a student to an item
    group       (S,) with two distinct values
    focal       the value of the focal group; the other value is the reference group
    correction  whether to apply the continuity correction, 1/2
    matching    (S,) values that define the strata. The default is the number of correct responses, which requires that
                all students have answered all items

    Returns statistics of the I items. Raises ModelError for an invalid group, for repeated responses, and for missing
    responses without `matching`.
    Source: Mantel & Haenszel (1959); Holland & Thayer (1985), ETS RR-85-43; the standard error of Robins, Breslow &
    Greenland (1986), Biometrics 42, 311-323.
    """
    is_focal = _groups(responses, group, focal)
    matrix = _dense(responses)
    if matching is None:
        if (matrix < 0).any():
            raise ModelError(
                "some students have not answered all items: pass values that define the strata as `matching`"
            )
        strata = matrix.sum(axis=1, dtype=np.int64)
    else:
        strata = _levels(matching, responses, "matching")[1]
    results = [
        common_odds_ratio(_tables(matrix[:, i], is_focal, strata, responses.weight), correction=correction)
        for i in range(responses.num_items)
    ]
    ratio, se, chi2 = np.array(results).T
    delta = delta_of(ratio)
    p = np.array([chi_squared_tail(x, 1) for x in chi2])
    return MantelHaenszel(responses.items, ratio, se, delta, chi2, p, ets_classes(delta, -DELTA * se, chi2))


def _groups(responses: Responses, group: ArrayLike, focal: object) -> Bools:
    """Return whether each student (S,) is in the focal group; raises ModelError for an invalid group."""
    check_answers(responses, "differential item functioning")
    levels, codes = _levels(group, responses, "group")
    if len(levels) != 2 or np.ndim(cast(ArrayLike, focal)) > 0 or focal not in levels:
        values = ", ".join(map(repr, levels[:5]))
        raise ModelError(f"group must have two distinct values, one of them focal={focal!r}; got {values}")
    return np.asarray(codes == levels.index(focal))


def _levels(values: ArrayLike, responses: Responses, name: str) -> tuple[list[object], Longs]:
    """Return the distinct values, sorted, and the index (S,) of each student's value; raises ModelError if invalid."""
    array = np.asarray(values)
    if array.shape != (responses.num_students,):
        raise ModelError(
            f"{name} must have one value for each of {responses.num_students} students; got shape {array.shape}"
        )
    if any(value is None or value != value for value in array.tolist()):
        raise ModelError(f"{name} must have one value for each student; got missing values: leave these students out")
    try:
        levels, codes = np.unique(array, return_inverse=True)
    except TypeError:
        raise ModelError(
            f"{name} must have values that can be sorted, such as numbers or strings; got {array.dtype}"
        ) from None
    return levels.tolist(), codes.ravel()


def _dense(responses: Responses) -> NDArray[np.int8]:
    """Return the responses (S, I), -1 where there is none; raises ModelError for repeated responses."""
    try:
        return responses.matrix()
    except ValueError as error:
        raise ModelError(f"Mantel-Haenszel requires at most one response of a student to an item: {error}") from None


def _tables(correct: NDArray[np.int8], is_focal: Bools, strata: Longs, weight: Doubles) -> Doubles:
    """Return the counts A, B, C and D (strata, 4) of an item, from its responses (S,)."""
    answered = correct >= 0
    cell = strata[answered] * 4 + 2 * is_focal[answered] + (correct[answered] == 0)
    return np.bincount(cell, weight[answered], 4 * (int(strata.max()) + 1)).reshape(-1, 4).astype(np.float64)


def common_odds_ratio(tables: Doubles, *, correction: bool) -> tuple[Doubles, Doubles, Doubles]:
    """Return the Mantel-Haenszel odds ratio, the standard error of its logarithm, and chi-squared, (...) each.

    tables      (..., strata, 4) counts A, B, C and D, see `mantel_haenszel`
    correction  whether to apply the continuity correction

    Returns NaN three times if no table has both groups and both answers. If all answers that differ between the groups
    are in one direction, the odds ratio is 0 or infinite, without a standard error.
    """
    total = tables.sum(axis=-1)
    kept = total > 1
    a, b, c, d = np.moveaxis(np.where(kept[..., None], tables, 0.0), -1, 0)
    t = np.where(kept, total, 2.0)
    r, s = a * d / t, b * c / t
    sum_r, sum_s = r.sum(axis=-1), s.sum(axis=-1)
    variance = ((a + b) * (c + d) * (a + c) * (b + d) / (t**2 * (t - 1))).sum(axis=-1)
    difference = np.abs((a - (a + b) * (a + c) / t).sum(axis=-1))
    x, y = (a + d) / t, (b + c) / t
    with np.errstate(divide="ignore", invalid="ignore"):
        chi2 = np.maximum(0.0, difference - (0.5 if correction else 0.0)) ** 2 / variance
        log_variance = (x * r).sum(axis=-1) / (2 * sum_r**2) + (y * s).sum(axis=-1) / (2 * sum_s**2)
        log_variance += (x * s + y * r).sum(axis=-1) / (2 * sum_r * sum_s)
        ratio, se = sum_r / sum_s, np.sqrt(log_variance)
    ratio, chi2 = (np.where(variance == 0, np.nan, column)[()] for column in (ratio, chi2))
    return ratio, np.where((sum_r == 0) | (sum_s == 0), np.nan, se)[()], chi2


def delta_of(ratio: Doubles) -> Doubles:
    """Return odds ratios on the ETS delta scale; infinite for 0 and infinity."""
    with np.errstate(divide="ignore"):
        return np.asarray(DELTA * np.log(ratio))


def ets_classes(delta: Doubles, se: Doubles, chi2: Doubles) -> NDArray[np.str_]:
    """Return the ETS classes (Zieky 1993) from delta, its standard error and chi-squared, each (I,)."""
    size = np.abs(delta)
    # An infinite delta has no standard error; its test is that of chi-squared.
    large = np.where(np.isinf(size), chi2 > CRITICAL_CHI_SQUARED, (size >= LARGE) & (size - CRITICAL_Z * se > MODERATE))
    moderate = (size >= MODERATE) & (chi2 > CRITICAL_CHI_SQUARED)
    return np.select([np.isnan(delta), large, moderate], ["", "C", "B"], "A")


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
    """Test items for DIF, by comparing nested fits to both groups.

        G2 = 2 (log L with separate parameters of the item in each group - log L with equal parameters)

    Ability is N(0, 1) in the reference group. In the focal group, its mean and standard deviation are estimated.

    responses     responses of S students; each item needs correct and wrong responses in both groups
    group         (S,) with two distinct values
    focal         the value of the focal group; the other value is the reference group
    model         "rasch", "1pl" or "2pl"
    kind          "uniform": b may differ, a is equal; "both": a and b may differ (2PL only); "non-uniform": a and b
                  may differ, compared with a fit in which only b may differ (2PL only)
    items         names of the T items to test; by default, all items except the anchors
    anchors       names of items with equal parameters in both groups, while all other items may differ in both fits; by
                  default, all items except the tested item
    nodes, tolerance, max_iterations  settings of EM, see `fit`

    Returns statistics of the T items. Each fit starts at the estimates of the fit with equal parameters. Raises
    ModelError for invalid arguments, and if a fit has not converged.
    Source: Thissen, Steinberg & Wainer (1993) in Holland & Wainer, Differential Item Functioning.
    """
    is_focal = _groups(responses, group, focal)
    kinds = {"rasch": ("uniform",), "1pl": ("uniform",), "2pl": ("both", "uniform", "non-uniform")}.get(model, ())
    if kind not in kinds:
        raise ModelError(
            f"model must be rasch or 1pl with kind='uniform', or 2pl with any kind; got model={model!r}, kind={kind!r}"
        )
    check_settings(nodes, tolerance, max_iterations)
    _check_both_answers(responses, is_focal)
    tested, free = _tested_items(responses, items, anchors)
    design = _TwoGroupDesign(responses, is_focal, model, nodes, tolerance, max_iterations)
    constraints = np.full(responses.num_items, SAME)
    if anchors is not None:
        constraints[free] = OWN_B if model in ("rasch", "1pl") else OWN_A_AND_B
    levels = {"uniform": (SAME, OWN_B), "both": (SAME, OWN_A_AND_B), "non-uniform": (OWN_B, OWN_A_AND_B)}[kind]
    pairs = _nested_fits(design, constraints, tested, levels, fit_first=anchors is None)
    return _test_statistics(responses.items[tested], tested, pairs, df=levels[1] - levels[0])


def _tested_items(responses: Responses, items: ArrayLike | None, anchors: ArrayLike | None) -> tuple[Longs, Longs]:
    """Return the indices of the tested items, and of all items that are not anchors."""
    fixed = _item_indices(anchors, responses, "anchors")
    free = np.setdiff1d(np.arange(responses.num_items), fixed)
    tested = _item_indices(items, responses, "items") if items is not None else free
    in_both = int(np.isin(tested, fixed).sum())
    if anchors is not None and len(fixed) == 0 or in_both or len(tested) == 0:
        raise ModelError(
            "anchors and items must name distinct items, at least one each; "
            f"got {len(fixed)} anchors and {len(tested)} items to test, {in_both} of them in both"
        )
    return tested, free


def _item_indices(names: ArrayLike | None, responses: Responses, argument: str) -> Longs:
    """Return the sorted indices of items by name; raises ModelError, which names `argument`, for an unknown name."""
    wanted = np.asarray([] if names is None else names).astype(np.str_).ravel()
    codes = codes_of(wanted, responses.items)
    if (codes < 0).any():
        raise ModelError(f"{argument} must be names of items of the responses; got {str(wanted[codes < 0][0])!r}")
    return np.unique(codes).astype(np.int64)


def _check_both_answers(responses: Responses, is_focal: Bools) -> None:
    """Raise ModelError if an item lacks correct or wrong responses in a group, and so has no finite estimate."""
    weight = responses.weight[responses.student]
    cell = responses.item * 2 + is_focal[responses.student]
    answered = np.bincount(cell, weight, 2 * responses.num_items)
    correct = np.bincount(cell, weight * responses.correct, 2 * responses.num_items)
    constant = (correct == 0) | (correct == answered)
    if constant.any():
        first = int(np.argmax(constant))
        name = str(responses.items[first // 2])
        group = "focal" if first % 2 else "reference"
        raise ModelError(
            f"item {name!r} does not have both correct and wrong responses in the {group} "
            f"group: leave the item out with responses.take(responses.items[responses.item] != {name!r})"
        )


class _TwoGroupFit(NamedTuple):
    """Estimates for both groups; the rows of a and d (2, I) are the reference and the focal group."""

    a: Doubles
    d: Doubles
    groups: Groups
    log_likelihood: float


class _TwoGroupDesign:
    """Fits to both groups, with item parameters that may differ in the focal group."""

    def __init__(
        self,
        responses: Responses,
        is_focal: Bools,
        model: str,
        nodes: int,
        tolerance: float,
        max_iterations: int,
    ) -> None:
        self._responses, self._model, self._theta = responses, model, quadrature(nodes)
        self._group = is_focal.astype(np.int32)
        self._tolerance, self._max_iterations = tolerance, max_iterations

    def start(self) -> _TwoGroupFit:
        """Return initial estimates: a = 1, and d from the responses of both groups together."""
        log = self._responses
        weight = log.weight[log.student]
        answered = np.bincount(log.item, weight, log.num_items)
        correct = np.bincount(log.item, weight * log.correct, log.num_items)
        d = logit((correct + 0.5) / (answered + 1))
        return _TwoGroupFit(np.ones((2, len(d))), np.stack([d, d]), Groups(np.zeros(2), np.ones(2)), -math.inf)

    def fit(self, constraints: Longs, start: _TwoGroupFit) -> _TwoGroupFit:
        """Return the fit under the constraints (I,) on the items, with EM starting at `start`.

        Raises ModelError if the fit does not converge.
        """
        num_items = len(constraints)
        own = np.flatnonzero(constraints > SAME)
        curve = np.stack([np.arange(num_items), np.arange(num_items)])
        curve[1, own] = num_items + np.arange(len(own))
        unit = np.arange(num_items + len(own))
        unit[num_items:][constraints[own] == OWN_B] = own[constraints[own] == OWN_B]
        if self._model == "1pl":
            unit[:] = 0
        unit = np.unique(unit, return_inverse=True)[1].ravel()
        a, d = (np.concatenate([x[0], x[1, own]]) for x in (start.a, start.d))
        first_curve = np.unique(unit, return_index=True)[1]
        state = State(Curves(a[first_curve][unit], d, np.zeros(len(d))), start.groups)
        log = self._responses
        code = (2 * curve[self._group[log.student], log.item] + log.correct).astype(np.int32)
        result = run_em(
            state,
            collapse(log.start, code, log.weight, self._group),
            self._theta,
            Structure(self._model, unit),
            Priors(),
            tolerance=self._tolerance,
            max_iterations=self._max_iterations,
        )
        if not result.converged:
            raise ModelError(
                f"a fit of both groups has not converged in {result.iterations} steps: raise max_iterations"
            )
        curves, groups = result.state
        return _TwoGroupFit(curves.a[curve], curves.d[curve], groups, result.expected.log_likelihood)


def _nested_fits(
    design: _TwoGroupDesign, constraints: Longs, tested: Longs, levels: tuple[int, int], *, fit_first: bool
) -> list[tuple[_TwoGroupFit, _TwoGroupFit]]:
    """Return two fits for each tested item: with the first and with the second of `levels` as the item's constraint.

    constraints  (I,) constraints of the other items
    fit_first    whether to start from a fit under `constraints` instead of the initial estimates
    """
    latest = design.start()
    if fit_first:
        latest = design.fit(constraints, latest)
    pairs = []
    for item in tested:
        reduced_constraints, full_constraints = constraints.copy(), constraints.copy()
        reduced_constraints[item], full_constraints[item] = levels
        latest = design.fit(reduced_constraints, latest)
        pairs.append((latest, design.fit(full_constraints, latest)))
    return pairs


def _test_statistics(
    names: NDArray[np.str_], tested: Longs, pairs: list[tuple[_TwoGroupFit, _TwoGroupFit]], df: int
) -> LikelihoodRatio:
    """Return the tests of the items with these names and indices, from a reduced and a full fit for each item."""
    g2 = np.array([max(0.0, 2 * (full.log_likelihood - reduced.log_likelihood)) for reduced, full in pairs])
    a = np.array([full.a[:, i] for (_, full), i in zip(pairs, tested, strict=True)]).T
    d = np.array([full.d[:, i] for (_, full), i in zip(pairs, tested, strict=True)]).T
    groups = pairs[-1][0].groups
    return LikelihoodRatio(
        items=names,
        g2=g2,
        df=np.full(len(tested), df),
        p=np.array([chi_squared_tail(x, df) for x in g2]),
        a=a[0],
        b=-d[0] / a[0],
        a_focal=a[1],
        b_focal=-d[1] / a[1],
        mean=float(groups.mean[1]),
        sd=float(groups.sd[1]),
    )
