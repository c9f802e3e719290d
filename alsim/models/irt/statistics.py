"""Fit statistics of a calibrated model, for items, persons and response patterns."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alsim.models.base import ModelError
from alsim.models.irt.curves import curves
from alsim.models.irt.estimation import node_weights, quadrature
from alsim.models.irt.fitted import IRTFit, abilities_of, estimated_item_index
from alsim.models.irt.maximisation import PARAMETERS_PER_ITEM
from alsim.models.irt.mean_squares import mean_squares, predicted, simulated_mean_squares, two_sided_p
from alsim.models.serialization import table_of
from alsim.responses.cells import Names
from alsim.responses.log import Responses
from alsim.types import Codes, Doubles, Longs, short_repr

MIN_EXPECTED = 1.0
"""Adjacent scores are merged until each cell of S-X2 expects at least this many students (Orlando & Thissen 2000)."""

ROUNDING = 1e-20
"""Relative size below which a sum of squared differences counts as 0, compared with the sum of the squared terms."""

MIN_PATTERN_COUNT = 5
"""Smallest mean expected count of a pattern for a p-value of G2.

With fewer students, G2 is not chi-squared. In 300 simulated logs of 5 items that follow the Rasch model, a test at the
5 % level rejects 6 % at a mean count of 5, and below 2 % at a mean count of 1.
"""

MAX_PATTERN_ITEMS = 15
"""Largest number of items for G2, which compares 2**I patterns."""

NO_P_VALUES = (
    "infit and outfit have no p-values, since a of each item adapts to the residuals: judge the items by S-X2, or fit "
    "the Rasch model"
)
"""Note of the replications of a 2PL or 3PL."""


@short_repr
class ItemFit(NamedTuple):
    """Fit statistics of I items, each (I,).

    items   names
    s_x2    S-X2, the weighted sum of squared differences over total scores; NaN if too few cells remain
    df      degrees of freedom of S-X2
    p       p-value of S-X2
    infit   information-weighted mean of squared residuals
    outfit  mean of squared standardized residuals
    infit_p, outfit_p                two-sided p-values of infit and outfit; NaN without replications, and in the 2PL
                                     and 3PL, where a of the item adapts to the residuals
    expected_infit, expected_outfit  means of infit and outfit over the replications; NaN without replications
    students  number of students that S-X2 uses, those who answered each item once
    notes     sentences about students and items that a statistic leaves out

    If the model holds, infit and outfit are below 1, since the abilities are estimated from the same responses: by
    little in long tests, and by a quarter for outfit of five items. `replications` of `item_fit` shows by how much.
    """

    items: NDArray[np.str_]
    s_x2: Doubles
    df: Longs
    p: Doubles
    infit: Doubles
    outfit: Doubles
    infit_p: Doubles
    outfit_p: Doubles
    expected_infit: Doubles
    expected_outfit: Doubles
    students: float
    notes: tuple[str, ...] = ()

    def table(self) -> list[dict[str, Any]]:
        """Return one row per item: its name under item, and the statistics."""
        names = ("s_x2", "df", "p", "infit", "outfit", "infit_p", "outfit_p", "expected_infit", "expected_outfit")
        return table_of({"item": self.items, **{name: getattr(self, name) for name in names}})


@short_repr
class PersonFit(NamedTuple):
    """Fit statistics of S students, each (S,); NaN for students without responses.

    theta    MAP estimate of ability, logits
    lz       standardized log-likelihood of the response pattern; low for an unlikely pattern
    lz_star  lz corrected for the estimation of ability: about N(0, 1) if the model holds. NaN if the responses carry
             no information beyond the ability, for example a single response
    students  names
    """

    theta: Doubles
    lz: Doubles
    lz_star: Doubles
    students: Names

    def table(self) -> list[dict[str, Any]]:
        """Return one row per student: its name under student, theta, lz and lz_star."""
        names = ("theta", "lz", "lz_star")
        return table_of({"student": self.students, **{name: getattr(self, name) for name in names}})


@short_repr
class PatternFit(NamedTuple):
    """Comparison of the observed counts of response patterns with the expected counts.

    g2  likelihood-ratio statistic
    df  2**I - 1 - number of estimated parameters
    p   p-value; NaN if the mean expected count of a pattern is below 5, where G2 is not distributed as chi-squared
    """

    g2: float
    df: int
    p: float


def chi_squared_tail(x: float, df: int) -> float:
    """Return the probability that a chi-squared variate exceeds x, by finite sums that are exact up to rounding.

    x   statistic; NaN gives NaN
    df  degrees of freedom; less than 1 gives NaN

    Source: Abramowitz & Stegun (1964), 26.4.4 and 26.4.5.
    """
    half = x / 2
    if df < 1 or math.isnan(x):
        return math.nan
    if half <= 0:
        return 1.0
    powers = np.arange(0.0, df // 2) + (0.5 if df % 2 else 0.0)
    terms = np.exp(powers * math.log(half) - half - np.array([math.lgamma(k + 1) for k in powers]))
    return float(min(1.0, terms.sum() + (math.erfc(math.sqrt(half)) if df % 2 else 0.0)))


def item_fit(fit: IRTFit, responses: Responses, *, replications: int = 0, seed: int = 0) -> ItemFit:
    """Compute item fit statistics: S-X2, infit and outfit.

        S-X2 = sum over total scores s of  N_s (O_s - E_s)^2 / (E_s (1 - E_s))

    O_s and E_s are the observed and expected shares of correct responses among the N_s students with score s. The
    expected share follows from the distribution of scores, by the recursion of Lord & Wingersky (1984). S-X2 uses
    students who answered each item exactly once; without any, it is NaN. Infit and outfit use all responses, at the
    students' EAP abilities.

    fit           calibrated model
    responses     responses of S students to I items with estimates, to which the model was fitted; responses to other
                  items are ignored
    replications  number of data sets that are simulated from the fit, and to which the model is fitted again: the
                  parametric bootstrap, which gives the expected values of infit and outfit and, in the Rasch model
                  and the 1PL, their p-values. With n replications, no p-value is below 2 / (n + 1). Each takes about
                  as long as the fit
    seed          random seed of the replications

    Returns statistics of the I items. Raises ModelError for invalid replications, and for replications of responses
    with weights.
    Source: Orlando & Thissen (2000), Applied Psychological Measurement 24, 50-64; Wright & Masters (1982), Rating Scale
    Analysis.
    """
    if isinstance(replications, bool) or not isinstance(replications, int | np.integer) or replications < 0:
        raise ModelError(f"replications is {replications!r}; expected an integer of at least 0, such as 200")
    infit, outfit = mean_squares(fit, responses)
    simulated = simulated_mean_squares(fit, responses, int(replications), seed)
    expected_infit, expected_outfit = map(_mean_of_finite, simulated)
    has_p = fit.variant in ("rasch", "1pl")
    matrix, weight = complete_matrix(fit, responses)
    s_x2, df = _s_x2_of_items(fit, matrix, weight)
    return ItemFit(
        items=fit.items[fit.estimated],
        s_x2=s_x2,
        df=df,
        p=np.array([chi_squared_tail(x, int(n)) for x, n in zip(s_x2, df, strict=True)]),
        infit=infit,
        outfit=outfit,
        infit_p=two_sided_p(infit, simulated[0] if has_p else simulated[0] * np.nan),
        outfit_p=two_sided_p(outfit, simulated[1] if has_p else simulated[1] * np.nan),
        expected_infit=expected_infit,
        expected_outfit=expected_outfit,
        students=float(weight.sum()),
        notes=(
            *_item_fit_notes(float(weight.sum()), float(responses.weight.sum()), matrix.shape[1]),
            *((NO_P_VALUES,) if replications and not has_p else ()),
        ),
    )


def _mean_of_finite(values: Doubles) -> Doubles:
    """Return the mean (I,) of the finite values (R, I) of each item; NaN without any."""
    finite = np.isfinite(values)
    with np.errstate(invalid="ignore"):  # 0 / 0
        return np.asarray(np.where(finite, values, 0.0).sum(axis=0) / finite.sum(axis=0))


def _item_fit_notes(complete: float, students: float, num_items: int) -> tuple[str, ...]:
    """Return the note about students without a response to each item."""
    if complete == students:
        return ()
    verb = "has no value" if not complete else "leaves out the others"
    return (
        f"{complete:,g} of {students:,g} students answered each of the {num_items:,} items once; S-X2 {verb}, and "
        "infit and outfit use all responses",
    )


def _s_x2_of_items(fit: IRTFit, matrix: Codes, weight: Doubles) -> tuple[Doubles, Longs]:
    """Return S-X2 (I,) and its degrees of freedom (I,), from complete responses (S, I) and weights (S,)."""
    num_items = matrix.shape[1]
    if len(matrix) == 0:
        return np.full(num_items, np.nan), np.zeros(num_items, np.int64)
    expected = _expected_by_score(_probabilities(fit), node_weights(fit.nodes))
    num_parameters = PARAMETERS_PER_ITEM[fit.variant]
    total = matrix.sum(axis=1)
    students = np.bincount(total, weight, num_items + 1).astype(np.float64)
    right = np.array([np.bincount(total, weight * matrix[:, i], num_items + 1) for i in range(num_items)], np.float64)
    results = [
        _s_x2(students[1:num_items], right[i, 1:num_items], expected[i], num_parameters) for i in range(num_items)
    ]
    return np.array([x for x, _ in results]), np.array([n for _, n in results], np.int64)


def complete_matrix(fit: IRTFit, responses: Responses) -> tuple[Codes, Doubles]:
    """Return the responses (S, I), 0 or 1, and weights (S,) of the students who answered each item exactly once.

    The I items are those with estimates. There may be no such student.
    """
    num_items = int(fit.estimated.sum())
    item = estimated_item_index(fit, responses)
    used = item >= 0
    # The dense table has only students with the right number of responses: in a sparse log, few or none.
    counts = np.bincount(responses.student[used], minlength=responses.num_students)
    candidates = np.flatnonzero(counts == num_items)
    row = np.full(responses.num_students, -1)
    row[candidates] = np.arange(len(candidates))
    used &= row[responses.student] >= 0
    cell = row[responses.student[used]] * num_items + item[used]
    responses_per_cell = np.bincount(cell, minlength=len(candidates) * num_items).reshape(-1, num_items)
    complete = (responses_per_cell == 1).all(axis=1)
    matrix = np.zeros(len(candidates) * num_items, np.int8)
    matrix[cell] = responses.correct[used]
    return matrix.reshape(-1, num_items)[complete], responses.weight[candidates[complete]]


def _probabilities(fit: IRTFit) -> Doubles:
    """Return the probability (I, K) of a correct response at each node, for the items that have estimates."""
    return curves(quadrature(fit.nodes), *(column[:, None] for column in fit.item_parameters.columns))[0]


def _score_distribution(probabilities: Doubles) -> Doubles:
    """Return the probability (I + 1, K) of each total score at each node, from those of the items (I, K).

    Source: Lord & Wingersky (1984), Applied Psychological Measurement 8, 453-461.
    """
    distribution = np.zeros((len(probabilities) + 1, probabilities.shape[1]))
    distribution[0] = 1
    for p in probabilities:
        distribution[1:] = distribution[1:] * (1 - p) + distribution[:-1] * p
        distribution[0] *= 1 - p
    return distribution


def _expected_by_score(probabilities: Doubles, prior: Doubles) -> Doubles:
    """Return the expected share (I, I - 1) of correct responses to each item at the total scores 1 to I - 1."""
    score_probability = (_score_distribution(probabilities) @ prior)[1:-1]
    expected = np.empty((len(probabilities), len(probabilities) - 1))
    for i, p in enumerate(probabilities):
        others = _score_distribution(np.delete(probabilities, i, axis=0))
        expected[i] = ((others * p) @ prior)[:-1] / score_probability
    return expected


def _s_x2(students: Doubles, right: Doubles, expected: Doubles, num_parameters: int) -> tuple[float, int]:
    """Return S-X2 of one item and its degrees of freedom; scores are merged into cells of MIN_EXPECTED or more.

    students, right  (I - 1,) students, and correct responses, by total score
    expected         (I - 1,) expected share of correct responses
    """
    cells: list[list[float]] = []
    open_cell = np.zeros(3)
    for cell in zip(students, right, students * expected, strict=True):
        open_cell += cell
        if min(open_cell[2], open_cell[0] - open_cell[2]) >= MIN_EXPECTED:
            cells.append(list(open_cell))
            open_cell = np.zeros(3)
    if cells:
        cells[-1] = [x + float(y) for x, y in zip(cells[-1], open_cell, strict=True)]
    statistic = sum((o - e) ** 2 * n / (e * (n - e)) for n, o, e in cells)
    df = len(cells) - num_parameters
    return (float(statistic), df) if df > 0 else (math.nan, 0)


def person_fit(fit: IRTFit, responses: Responses) -> PersonFit:
    """Compute the person fit statistics lz and lz*, at the students' MAP abilities.

        lz  = sum (x - P) w / sqrt(sum P Q w^2),       w = log(P / Q)
        lz* = sum (x - P) v / sqrt(sum P Q v^2),       v = w - r sum(P' w) / sum(P' r),   r = P' / (P Q)

    x is a response, 0 or 1; P is its probability of being correct, P' = dP / dtheta, and Q = 1 - P.

    fit        calibrated model
    responses  responses of S students; those to items without estimates are ignored

    Returns statistics of the S students. If the model holds, lz* is below -1.645 for one student in twenty. lz varies
    less than N(0, 1), since it treats the estimated ability as known.
    Source: Drasgow, Levine & Williams (1985), British Journal of Mathematical and Statistical Psychology 38, 67-86;
    Snijders (2001), Psychometrika 66, 331-342, for the MAP ability by Magis, Raiche & Beland (2012).
    """
    theta = abilities_of(fit, responses, "map").theta
    student, _, correct, p, slope = predicted(fit, responses, theta)
    num_students = responses.num_students
    variance = p * (1 - p)
    w, r = np.log(p / (1 - p)), slope / variance

    def total(values: Doubles) -> Doubles:
        return np.bincount(student, values, num_students).astype(np.float64)

    with np.errstate(invalid="ignore", divide="ignore"):  # 0 / 0 for students without responses
        part = total(slope * w) / total(slope * r)
        v = w - part[student] * r
        lz = total((correct - p) * w) / np.sqrt(total(variance * w**2))
        lz_star_variance = total(variance * v**2)
        lz_star = total((correct - p) * v) / np.sqrt(lz_star_variance)
        # The variance is 0 up to rounding for a single response, and for responses to equal items.
        has_variance = lz_star_variance > ROUNDING * total(variance * w**2)
    has_responses = np.bincount(student, minlength=num_students) > 0
    lz_star = np.where(has_variance, lz_star, np.nan)
    return PersonFit(np.where(has_responses, theta, np.nan), lz, lz_star, responses.students)


def pattern_fit(fit: IRTFit, responses: Responses) -> PatternFit:
    """Compute the likelihood-ratio statistic G2, which compares the counts of all 2**I response patterns.

        G2 = 2 sum over patterns of  N log(N / E)

    N and E are the observed and the expected number of students with a pattern.

    fit        calibrated model of I items with estimates, at most 15
    responses  only students who answered each of the I items exactly once are used

    Returns G2, its degrees of freedom and its p-value, which is NaN for fewer than 5 * 2**I students. Raises ModelError
    for more than 15 items, and if no student has answered all items.
    Source: Bock & Lieberman (1970), Psychometrika 35, 179-197.
    """
    matrix, weight = complete_matrix(fit, responses)
    num_items = matrix.shape[1]
    if num_items > MAX_PATTERN_ITEMS:
        raise ModelError(
            f"G2 compares 2**I patterns of at most {MAX_PATTERN_ITEMS} items; the fit has {num_items}: use item_fit"
        )
    if len(matrix) == 0:
        raise ModelError(
            f"no student has answered each of the {num_items} items once, which G2 requires: fit fewer items, or use "
            "item_fit or person_fit"
        )
    rows, pattern = np.unique(matrix, axis=0, return_inverse=True)
    counts = np.bincount(pattern.ravel(), weight, len(rows))
    rows, counts = rows[counts > 0], counts[counts > 0]
    probabilities = _probabilities(fit)
    likelihood = np.where(rows[:, :, None] == 1, probabilities, 1 - probabilities).prod(axis=1) @ node_weights(
        fit.nodes
    )
    g2 = 2 * float(np.sum(counts * np.log(counts / (counts.sum() * likelihood))))
    df = 2**num_items - 1 - fit.num_parameters
    is_sparse = counts.sum() < MIN_PATTERN_COUNT * 2**num_items
    return PatternFit(g2, df, math.nan if is_sparse else chi_squared_tail(g2, df))
