"""How well a fit describes responses: of items, of persons, and of all patterns."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from alsim.models.base import ModelError
from alsim.models.irt.curves import curves
from alsim.models.irt.estimation import Groups, log_prior, quadrature
from alsim.models.irt.fits import CERTAIN, IRTFit
from alsim.responses.log import Responses, codes_of
from alsim.types import Codes, Doubles, Longs

LEAST_EXPECTED = 1.0
"""Neighbouring scores are taken together until each cell of S-X2 expects as many students (Orlando & Thissen 2000)."""

ROUNDING = 1e-20
"""Of a sum of squares of numbers that are 0 but for rounding, relative to those they are differences of."""

MOST_PATTERN_ITEMS = 15
"""G2 compares 2**I patterns."""


class ItemFit(NamedTuple):
    """Of I items, each (I,).

    items   names
    s_x2    sum of squared differences by total score; NaN where no cell is left
    df      its degrees of freedom
    p       chance of as large a one if the model holds
    infit   mean squared residual weighted by information, about 1
    outfit  mean squared standardized residual, about 1
    """

    items: NDArray[np.str_]
    s_x2: Doubles
    df: Longs
    p: Doubles
    infit: Doubles
    outfit: Doubles


class PersonFit(NamedTuple):
    """Of S students, each (S,); NaN for one without responses, and lz* for one whose responses all go into the ability.

    theta    MAP ability
    lz       standardized log-likelihood of the pattern: low for answers that do not fit together
    lz_star  the same, corrected for the ability's being estimated: about N(0, 1) for who follows the model
    """

    theta: Doubles
    lz: Doubles
    lz_star: Doubles


class PatternFit(NamedTuple):
    """How far counts of patterns are from expected ones.

    g2  likelihood-ratio statistic
    df  2**I - 1 - parameters
    p   chance of as large a one if the model holds; trustworthy only where most patterns expect five students
    """

    g2: float
    df: int
    p: float


def chi_squared_tail(x: float, df: int) -> float:
    """Chance that a chi-squared variate of `df` degrees of freedom exceeds x: finite sums, exact to rounding.

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
    """Compare each item's responses with what the fit expects.

        S-X2 = sum over total scores s of  N_s (O_s - E_s)^2 / (E_s (1 - E_s))

    where O_s and E_s are the observed and expected shares of correct responses among the N_s students of score s, the
    expected from the distribution of scores by the recursion of Lord & Wingersky (1984). It takes the students who
    answered each item of the fit once. Infit and outfit take all responses, at the students' EAP abilities.

    Raises ModelError where no student has answered all items: S-X2 has then nothing to compare.
    Source: Orlando & Thissen (2000), Applied Psychological Measurement 24, 50-64; Wright & Masters (1982).
    """
    matrix, weight = complete_matrix(fit, responses)
    chances = _chances(fit)
    expected = _expected_by_score(chances, _prior(fit))
    parameters = {"rasch": 1, "1pl": 1, "2pl": 2, "3pl": 3}[fit.variant]
    total = matrix.sum(axis=1)
    many = matrix.shape[1]
    observed = np.bincount(total, weight, many + 1).astype(np.float64)
    right = np.array([np.bincount(total, weight * matrix[:, i], many + 1) for i in range(many)], np.float64)
    found = [_s_x2(observed[1:many], right[i, 1:many], expected[i], parameters) for i in range(many)]
    s_x2, df = np.array([x for x, _ in found]), np.array([n for _, n in found], np.int64)
    infit, outfit = _mean_squares(fit, responses)
    tails = np.array([chi_squared_tail(x, int(n)) for x, n in found])
    return ItemFit(fit.items[fit.estimated], s_x2, df, tails, infit, outfit)


def complete_matrix(fit: IRTFit, responses: Responses) -> tuple[Codes, Doubles]:
    """Return the responses (S, I) and weights (S,) of students who answered each item that has estimates once."""
    place = np.full(len(fit.items) + 1, -1)
    place[:-1][fit.estimated] = np.arange(fit.estimated.sum())
    many = int(fit.estimated.sum())
    item = place[codes_of(responses.items, fit.items)][responses.item]
    known = item >= 0
    # A table of all students is made of those alone who have as many responses: a sparse log has few or none of them.
    enough = np.flatnonzero(np.bincount(responses.student[known], minlength=responses.num_students) == many)
    row = np.full(responses.num_students, -1)
    row[enough] = np.arange(len(enough))
    known &= row[responses.student] >= 0
    cell = row[responses.student[known]] * many + item[known]
    whole = (np.bincount(cell, minlength=len(enough) * many).reshape(-1, many) == 1).all(axis=1)
    if not whole.any():
        raise ModelError(f"no student has answered each of the {many} items once; this statistic takes such students")
    matrix = np.zeros(len(enough) * many, np.int8)
    matrix[cell] = responses.correct[known]
    return matrix.reshape(-1, many)[whole], responses.weight[enough[whole]]


def _chances(fit: IRTFit) -> Doubles:
    """Return the chances (I, K) of the items that have estimates at the nodes."""
    return curves(quadrature(fit.nodes), *(column[:, None] for column in fit.item_parameters.columns))[0]


def _prior(fit: IRTFit) -> Doubles:
    return np.asarray(np.exp(log_prior(Groups(np.zeros(1), np.ones(1)), quadrature(fit.nodes)))[0])


def _scores(chances: Doubles) -> Doubles:
    """Return the chance (I + 1, K) of each total score at each node (Lord & Wingersky 1984)."""
    distribution = np.zeros((len(chances) + 1, chances.shape[1]))
    distribution[0] = 1
    for p in chances:
        distribution[1:] = distribution[1:] * (1 - p) + distribution[:-1] * p
        distribution[0] *= 1 - p
    return distribution


def _expected_by_score(chances: Doubles, prior: Doubles) -> Doubles:
    """Return the expected share (I, I - 1) of correct responses to each item by total score, from 1 to I - 1."""
    whole = (_scores(chances) @ prior)[1:-1]
    expected = np.empty((len(chances), len(chances) - 1))
    for i, p in enumerate(chances):
        others = _scores(np.delete(chances, i, axis=0))
        expected[i] = ((others * p) @ prior)[:-1] / whole
    return expected


def _s_x2(students: Doubles, right: Doubles, expected: Doubles, parameters: int) -> tuple[float, int]:
    """Return S-X2 and its degrees of freedom, of one item: scores taken together until each cell expects enough."""
    cells: list[list[float]] = []
    open_cell = np.zeros(3)
    for cell in zip(students, right, students * expected, strict=True):
        open_cell += cell
        if min(open_cell[2], open_cell[0] - open_cell[2]) >= LEAST_EXPECTED:
            cells.append(list(open_cell))
            open_cell = np.zeros(3)
    if cells:
        cells[-1] = [x + float(y) for x, y in zip(cells[-1], open_cell, strict=True)]
    statistic = sum((o - e) ** 2 * n / (e * (n - e)) for n, o, e in cells)
    df = len(cells) - parameters
    return (float(statistic), df) if df > 0 else (math.nan, 0)


def _at_abilities(fit: IRTFit, responses: Responses, theta: Doubles) -> tuple[Longs, Longs, Codes, Doubles, Doubles]:
    """Return of each response that counts: its student, item, correctness, chance, and the chance's slope."""
    place = np.full(len(fit.items) + 1, -1)
    place[:-1][fit.estimated] = np.arange(fit.estimated.sum())
    item = place[codes_of(responses.items, fit.items)][responses.item]
    known = item >= 0
    student, item = responses.student[known].astype(np.int64), item[known]
    p, _, slope, _ = curves(theta[student], *(column[item] for column in fit.item_parameters.columns))
    return student, item, responses.correct[known], np.clip(p, CERTAIN, 1 - CERTAIN), slope


def _mean_squares(fit: IRTFit, responses: Responses) -> tuple[Doubles, Doubles]:
    """Return infit and outfit (I,) at EAP abilities."""
    student, item, correct, p, _ = _at_abilities(fit, responses, fit.scores(responses).theta)
    weight, many = responses.weight[student], int(fit.estimated.sum())
    square, variance = (correct - p) ** 2, p * (1 - p)
    with np.errstate(invalid="ignore"):  # an item without responses here has neither
        infit = np.bincount(item, weight * square, many) / np.bincount(item, weight * variance, many)
        outfit = np.bincount(item, weight * square / variance, many) / np.bincount(item, weight, many)
    return infit, outfit


def person_fit(fit: IRTFit, responses: Responses) -> PersonFit:
    """Compare each student's responses with what the fit expects at this student's ability.

        lz  = sum (x - P) w / sqrt(sum P Q w^2),       w = log(P / Q)
        lz* = sum (x - P) v / sqrt(sum P Q v^2),       v = w - r sum(P' w) / sum(P' r),   r = P' / (P Q)

    Below -1.645, one of twenty who follow the model by lz*; lz, which takes the ability for known, is too narrow.

    Source: Drasgow, Levine & Williams (1985), British Journal of Mathematical and Statistical Psychology 38, 67-86;
    Snijders (2001), Psychometrika 66, 331-342, for the MAP ability by Magis, Raiche & Beland (2012).
    """
    theta = fit.scores(responses, "map").theta
    student, _, correct, p, slope = _at_abilities(fit, responses, theta)
    many = responses.num_students
    variance = p * (1 - p)
    w, r = np.log(p / (1 - p)), slope / variance

    def total(values: Doubles) -> Doubles:
        return np.bincount(student, values, many).astype(np.float64)

    with np.errstate(invalid="ignore", divide="ignore"):  # nobody is a good or a bad fit to nothing
        part = total(slope * w) / total(slope * r)
        v = w - part[student] * r
        lz = total((correct - p) * w) / np.sqrt(total(variance * w**2))
        spread = total(variance * v**2)
        lz_star = total((correct - p) * v) / np.sqrt(spread)
        tells = spread > ROUNDING * total(variance * w**2)  # not one response, nor several to items that are equal
    counted = np.bincount(student, minlength=many) > 0
    return PersonFit(np.where(counted, theta, np.nan), lz, np.where(tells, lz_star, np.nan))


def pattern_fit(fit: IRTFit, responses: Responses) -> PatternFit:
    """Compare the counts of all 2**I patterns with the expected ones.

        G2 = 2 sum over patterns of  N log(N / E)

    Raises ModelError for more than 15 items, and where no student has answered all of them.
    Source: Bock & Lieberman (1970), Psychometrika 35, 179-197.
    """
    matrix, weight = complete_matrix(fit, responses)
    many = matrix.shape[1]
    if many > MOST_PATTERN_ITEMS:
        raise ModelError(f"G2 compares 2**I patterns, of at most {MOST_PATTERN_ITEMS} items; the fit has {many}")
    rows, which = np.unique(matrix, axis=0, return_inverse=True)
    counts = np.bincount(which.ravel(), weight, len(rows))
    rows, counts = rows[counts > 0], counts[counts > 0]
    chances = _chances(fit)
    likelihood = np.where(rows[:, :, None] == 1, chances, 1 - chances).prod(axis=1) @ _prior(fit)
    g2 = 2 * float(np.sum(counts * np.log(counts / (counts.sum() * likelihood))))
    df = 2**many - 1 - fit.num_parameters
    return PatternFit(g2, df, chi_squared_tail(g2, df))
