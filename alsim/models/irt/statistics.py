"""Fit statistics of a calibrated model, for items, persons and response patterns."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from alsim.models.base import ModelError
from alsim.models.irt.curves import curves
from alsim.models.irt.estimation import node_weights, quadrature
from alsim.models.irt.fitted import PREDICTION_MARGIN, IRTFit, estimated_item_index
from alsim.models.irt.maximisation import PARAMETERS_PER_ITEM
from alsim.responses.log import Responses
from alsim.types import Codes, Doubles, Ints, Longs, short_repr

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


@short_repr
class ItemFit(NamedTuple):
    """Fit statistics of I items, each (I,).

    items   names
    s_x2    S-X2, the weighted sum of squared differences over total scores; NaN if too few cells remain
    df      degrees of freedom of S-X2
    p       p-value of S-X2
    infit   information-weighted mean of squared residuals; about 1 if the model holds
    outfit  mean of squared standardized residuals; about 1 if the model holds
    """

    items: NDArray[np.str_]
    s_x2: Doubles
    df: Longs
    p: Doubles
    infit: Doubles
    outfit: Doubles


@short_repr
class PersonFit(NamedTuple):
    """Fit statistics of S students, each (S,); NaN for students without responses.

    theta    MAP estimate of ability, logits
    lz       standardized log-likelihood of the response pattern; low for an unlikely pattern
    lz_star  lz corrected for the estimation of ability: about N(0, 1) if the model holds. NaN if the responses carry
             no information beyond the ability, for example a single response
    """

    theta: Doubles
    lz: Doubles
    lz_star: Doubles


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


def item_fit(fit: IRTFit, responses: Responses) -> ItemFit:
    """Compute item fit statistics: S-X2, infit and outfit.

        S-X2 = sum over total scores s of  N_s (O_s - E_s)^2 / (E_s (1 - E_s))

    O_s and E_s are the observed and expected shares of correct responses among the N_s students with score s. The
    expected share follows from the distribution of scores, by the recursion of Lord & Wingersky (1984). S-X2 uses
    students who answered each item exactly once. Infit and outfit use all responses, at the students' EAP abilities.

    fit        calibrated model
    responses  responses of S students to I items with estimates; responses to other items are ignored

    Returns statistics of the I items. Raises ModelError if no student has answered all items, as S-X2 requires.
    Source: Orlando & Thissen (2000), Applied Psychological Measurement 24, 50-64; Wright & Masters (1982), Rating Scale
    Analysis.
    """
    matrix, weight = complete_matrix(fit, responses)
    expected = _expected_by_score(_probabilities(fit), node_weights(fit.nodes))
    num_parameters = PARAMETERS_PER_ITEM[fit.variant]
    total = matrix.sum(axis=1)
    num_items = matrix.shape[1]
    students = np.bincount(total, weight, num_items + 1).astype(np.float64)
    right = np.array([np.bincount(total, weight * matrix[:, i], num_items + 1) for i in range(num_items)], np.float64)
    results = [
        _s_x2(students[1:num_items], right[i, 1:num_items], expected[i], num_parameters) for i in range(num_items)
    ]
    s_x2, df = np.array([x for x, _ in results]), np.array([n for _, n in results], np.int64)
    infit, outfit = _mean_squares(fit, responses)
    p = np.array([chi_squared_tail(x, int(n)) for x, n in results])
    return ItemFit(fit.items[fit.estimated], s_x2, df, p, infit, outfit)


def complete_matrix(fit: IRTFit, responses: Responses) -> tuple[Codes, Doubles]:
    """Return the responses (S, I), 0 or 1, and weights (S,) of the students who answered each item exactly once.

    The I items are those with estimates. Raises ModelError if there is no such student.
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
    if not complete.any():
        raise ModelError(
            f"no student has answered each of the {num_items} items once, which this statistic requires: "
            "fit fewer items, or use person_fit"
        )
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


class _Predicted(NamedTuple):
    """Responses to items with estimates, and their probabilities at the students' abilities, each (R,)."""

    student: Longs
    item: Ints  # among the items that have estimates
    correct: Codes
    p: Doubles  # probability of a correct response
    slope: Doubles  # dP / dtheta, 1/logit


def _predicted(fit: IRTFit, responses: Responses, theta: Doubles) -> _Predicted:
    """Return the responses to items with estimates, with their probabilities at the abilities theta (S,), logits."""
    item = estimated_item_index(fit, responses)
    used = item >= 0
    student, item = responses.student[used].astype(np.int64), item[used]
    p, _, slope, _ = curves(theta[student], *(column[item] for column in fit.item_parameters.columns))
    p = np.clip(p, PREDICTION_MARGIN, 1 - PREDICTION_MARGIN)
    return _Predicted(student, item, responses.correct[used], p, slope)


def _mean_squares(fit: IRTFit, responses: Responses) -> tuple[Doubles, Doubles]:
    """Return infit and outfit (I,) at EAP abilities; NaN for items without responses."""
    student, item, correct, p, _ = _predicted(fit, responses, fit.scores(responses).theta)
    weight, num_items = responses.weight[student], int(fit.estimated.sum())
    square, variance = (correct - p) ** 2, p * (1 - p)
    with np.errstate(invalid="ignore"):  # 0 / 0 for items without responses
        infit = np.bincount(item, weight * square, num_items) / np.bincount(item, weight * variance, num_items)
        outfit = np.bincount(item, weight * square / variance, num_items) / np.bincount(item, weight, num_items)
    return infit, outfit


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
    theta = fit.scores(responses, "map").theta
    student, _, correct, p, slope = _predicted(fit, responses, theta)
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
    return PersonFit(np.where(has_responses, theta, np.nan), lz, np.where(has_variance, lz_star, np.nan))


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
