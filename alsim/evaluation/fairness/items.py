"""Differential item functioning (DIF) by the Mantel-Haenszel test, on arrays of right and wrong answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alsim.errors import AlsimError
from alsim.evaluation.estimates import CONFIDENCE, or_none
from alsim.evaluation.fairness.inputs import read_flags
from alsim.evaluation.fairness.item_inputs import read_answers, read_focal, read_strata
from alsim.evaluation.statistics import holm
from alsim.evaluation.statistics_input import read_array, read_confidence, read_count
from alsim.models.irt.dif import DELTA, common_odds_ratio, delta_of, ets_classes
from alsim.models.irt.statistics import chi_squared_tail
from alsim.types import Bools, Doubles, Longs, safe_repr, short_repr

ROUNDS = 10
"""Largest number of rounds of purification."""
FLAGGED = ("B", "C")
"""ETS classes of items that are flagged if the test is significant, too."""


@short_repr
class MantelHaenszelTest(NamedTuple):
    """Mantel-Haenszel test of one item; NaN if no stratum has both groups and both answers.

    odds_ratio   common odds ratio of a right answer, reference to focal group; 0 or infinite if one group gives all
                 right answers in the strata where answers differ
    se_log       standard error of log(odds_ratio); NaN for an odds ratio of 0 or infinity
    delta        -2.35 log(odds_ratio), on the ETS delta scale; below 0, the item is harder for the focal group
    chi_squared  test statistic with one degree of freedom
    p            p-value of the hypothesis of no DIF
    ets_class    A (negligible), B (moderate) or C (large); empty without an odds ratio
    """

    odds_ratio: float
    se_log: float
    delta: float
    chi_squared: float
    p: float
    ets_class: str


def mantel_haenszel(
    correct: ArrayLike, group: ArrayLike, matching: ArrayLike, *, focal: object = None, correction: bool = True
) -> MantelHaenszelTest:
    """Test an item for DIF, by comparing students of two groups with equal matching scores.

        alpha = sum_k A_k D_k / T_k  /  sum_k B_k C_k / T_k,   delta = -2.35 log(alpha)
        chi2  = (|sum_k A_k - E(A_k)| - 1/2)^2 / sum_k Var(A_k)

    A and B are the numbers of right and wrong answers of the reference group in stratum k, C and D those of the focal
    group, and T is their sum.

    correct     (N,) answers: 1 right, 0 wrong
    group       (N,) group of each student, two different ones
    matching    (N,) values that define the strata, such as scores; students of one stratum have equal values
    focal       name of the focal group; None: the last one in ascending order
    correction  whether to apply the continuity correction, 1/2

    Returns a MantelHaenszelTest. Raises AlsimError for invalid arguments.
    Sources: Mantel & Haenszel (1959), JNCI 22, 719-748; Holland & Thayer (1985), ETS RR-85-43; Zieky (1993) for the
    classes; Robins, Breslow & Greenland (1986), Biometrics 42, 311-323, for the standard error.
    """
    right = read_flags(correct, "correct")
    is_focal, _ = read_focal(group, focal, len(right))
    strata, number = read_strata(matching, len(right))
    tables = _tables(np.zeros_like(strata), strata, is_focal, right.astype(np.int64), (1, number))
    return _test_of(tables[0], correction)


def mantel_haenszel_tables(tables: ArrayLike, *, correction: bool = True) -> MantelHaenszelTest:
    """Test an item for DIF from its tables of counts, as `mantel_haenszel` does from answers.

    tables      (K, 2, 2) counts in K strata: rows are the reference and the focal group, columns right and wrong
    correction  whether to apply the continuity correction, 1/2

    Returns a MantelHaenszelTest. Raises AlsimError for other shapes, and for negative or undefined counts.
    """
    counts = read_array(tables, "tables", "pass one table of counts per stratum")
    if counts.dtype.kind not in "iuf" or counts.ndim != 3 or counts.shape[1:] != (2, 2) or len(counts) == 0:
        raise AlsimError(
            f"tables must be numbers of shape (K, 2, 2); got {counts.dtype} of shape {counts.shape}: pass one table "
            "per stratum, with the rows reference and focal, and the columns right and wrong"
        )
    if (wrong := ~(np.isfinite(counts) & (counts >= 0))).any():
        place = tuple(np.argwhere(wrong)[0].tolist())
        raise AlsimError(f"tables must be counts of at least 0; got {counts[place]:g} at index {place}: correct it")
    return _test_of(counts.astype(np.float64).reshape(-1, 4), correction)


@dataclass(frozen=True, eq=False)
class DIF:
    """Mantel-Haenszel tests of I items, each (I,); undefined numbers are NaN.

    items        names
    odds_ratio, se_log, delta, chi_squared, p, classes  see `MantelHaenszelTest`
    p_adjusted   p after Holm's correction for all items
    flagged      whether p_adjusted is at most 1 - confidence, and the class is B or C
    in_score     whether the item is part of the score of the other items, after purification
    answers      number of answers
    rounds       number of rounds of purification; 0 without
    focal        name of the focal group
    """

    items: NDArray[np.str_]
    odds_ratio: Doubles
    se_log: Doubles
    delta: Doubles
    chi_squared: Doubles
    p: Doubles
    classes: NDArray[np.str_]
    p_adjusted: Doubles
    flagged: Bools
    in_score: Bools
    answers: Longs
    rounds: int
    focal: str

    @safe_repr
    def __repr__(self) -> str:
        """Return the numbers of items and flags."""
        return f"<DIF of {len(self.items):,} items, {int(self.flagged.sum()):,} flagged, focal group {self.focal!r}>"

    @property
    def flags(self) -> list[str]:
        """Names of the flagged items."""
        return [str(name) for name in self.items[self.flagged]]

    def table(self) -> list[dict[str, Any]]:
        """Return one row per item as JSON values; undefined and infinite numbers are None."""
        return [
            {
                "item": str(self.items[i]),
                "answers": int(self.answers[i]),
                "odds_ratio": _finite(self.odds_ratio[i]),
                "delta": _finite(self.delta[i]),
                "chi_squared": or_none(float(self.chi_squared[i])),
                "p": or_none(float(self.p[i])),
                "p_adjusted": or_none(float(self.p_adjusted[i])),
                "class": str(self.classes[i]),
                "flagged": bool(self.flagged[i]),
            }
            for i in range(len(self.items))
        ]


def dif(
    responses: Any,
    group: ArrayLike,
    *,
    focal: object = None,
    items: Sequence[str] | None = None,
    matching: ArrayLike | None = None,
    purify: bool = True,
    max_rounds: int = ROUNDS,
    confidence: float = CONFIDENCE,
    correction: bool = True,
) -> DIF:
    """Test all items for DIF, with a correction for several items, and flag some of them.

    The score of a student is the number of right answers. With purification, flagged items are left out of the score of
    the other items, and the tests are repeated until the same items are flagged. An item is part of its own score.

    responses   answers of N students to I items: (N, I) with 1 right, 0 wrong and -1 not answered, or Responses
    group       (N,) group of each student, two different ones
    focal       name of the focal group; None: the last one in ascending order
    items       names of the items; None: those of Responses, or their numbers
    matching    (N,) values that define the strata, in place of the score; needed if answers are missing
    purify      whether to leave flagged items out of the score; without effect under `matching`
    max_rounds  largest number of rounds of purification
    confidence  an item is flagged if its adjusted p is at most 1 - confidence, and its ETS class is B or C
    correction  whether to apply the continuity correction, 1/2

    Returns a DIF. Raises AlsimError for invalid arguments.
    Sources: those of `mantel_haenszel`; Holland & Thayer (1988), in Test Validity, 129-145, for purification.
    """
    answers, names = read_answers(responses, items)
    is_focal, focal_name = read_focal(group, focal, len(answers))
    level, limit = read_confidence(confidence), read_count(max_rounds, "max_rounds", 1, 1000, "10 is usual")
    if matching is None and (answers < 0).any():
        row, item = np.argwhere(answers < 0)[0].tolist()
        raise AlsimError(
            f"without matching, every student must have answered every item; student {row} has not answered item "
            f"{names[item]}: pass values that define the strata as matching, such as estimates of ability in 10 classes"
        )
    strata = None if matching is None else read_strata(matching, len(answers))
    in_score, rounds = np.ones(len(names), np.bool_), 0
    found = _tests(answers, is_focal, strata, in_score, level, correction)
    while purify and strata is None and rounds < limit:
        keep = ~found.flagged
        if (keep == in_score).all() or keep.sum() == 0:
            break
        in_score, rounds = keep, rounds + 1
        found = _tests(answers, is_focal, strata, in_score, level, correction)
    counts = (answers >= 0).sum(axis=0)
    return DIF(names, *found, in_score, counts, rounds, focal_name)


# ── computation ──────────────────────────────────────────────────────────────────────────────────


class _Tests(NamedTuple):
    """Statistics of I items, see DIF."""

    odds_ratio: Doubles
    se_log: Doubles
    delta: Doubles
    chi_squared: Doubles
    p: Doubles
    classes: NDArray[np.str_]
    p_adjusted: Doubles
    flagged: Bools


def _tests(
    answers: Longs,
    is_focal: Bools,
    strata: tuple[Longs, int] | None,
    in_score: Bools,
    confidence: float,
    correction: bool,
) -> _Tests:
    """Return the statistics of all items, from answers (N, I)."""
    if strata is None:
        score = answers[:, in_score].sum(axis=1)[:, None] + np.where(in_score, 0, answers)
        number = int(score.max()) + 1
    else:
        score, number = np.broadcast_to(strata[0][:, None], answers.shape), strata[1]
    rows, item = np.nonzero(answers >= 0)
    shape = answers.shape[1], number
    tables = _tables(item, score[rows, item], is_focal[rows], answers[rows, item], shape)
    return tests_of(tables, confidence, correction=correction)


def tests_of(tables: Doubles, confidence: float, *, correction: bool = True) -> _Tests:
    """Return the statistics of I items, from their counts (I, K, 4)."""
    ratio, se, chi2 = common_odds_ratio(tables, correction=correction)
    delta = delta_of(ratio)
    p = _tails(chi2)
    classes = ets_classes(delta, -DELTA * se, chi2)
    defined, adjusted = ~np.isnan(p), np.full(len(p), np.nan)
    if defined.any():
        adjusted[defined] = holm(p[defined])
    flagged = (adjusted <= 1 - confidence) & np.isin(classes, FLAGGED)
    return _Tests(ratio, se, delta, chi2, p, classes, adjusted, flagged)


def dif_of_answers(
    item: Longs,
    stratum: Longs,
    is_focal: Bools,
    correct: Longs,
    names: NDArray[np.str_],
    confidence: float,
    focal: str,
) -> DIF:
    """Return the tests of items from answers in rows (R,), at most one of a student to an item."""
    found = tests_of(_tables(item, stratum, is_focal, correct, (len(names), int(stratum.max()) + 1)), confidence)
    counts = np.bincount(item, minlength=len(names))
    return DIF(names, *found, np.zeros(len(names), np.bool_), counts, 0, focal)


def _finite(number: float) -> float | None:
    """Return a number as a JSON value; None if it is undefined or infinite."""
    return float(number) if np.isfinite(number) else None


def _test_of(tables: Doubles, correction: bool) -> MantelHaenszelTest:
    """Return the test of one item from its tables (K, 4)."""
    ratio, se, chi2 = (np.atleast_1d(x) for x in common_odds_ratio(tables, correction=correction))
    delta = delta_of(ratio)
    ets = str(ets_classes(delta, -DELTA * se, chi2)[0])
    columns = (ratio, se, delta, chi2, _tails(chi2))
    odds, error, size, statistic, p = (float(x[0]) for x in columns)
    return MantelHaenszelTest(odds, error, size, statistic, p, ets)


def _tails(chi2: Doubles) -> Doubles:
    """Return the p-values of chi-squared statistics with one degree of freedom, (I,)."""
    return np.array([chi_squared_tail(x, 1) for x in chi2])


def _tables(item: Longs, stratum: Longs, is_focal: Bools, correct: Longs, shape: tuple[int, int]) -> Doubles:
    """Return the counts A, B, C and D of I items in K strata, (I, K, 4), from answers in rows (R,).

    shape  numbers of items I and of strata K
    """
    cell = (item * shape[1] + stratum) * 4 + 2 * is_focal + (correct == 0)
    return np.bincount(cell, minlength=shape[0] * shape[1] * 4).reshape(*shape, 4).astype(np.float64)


__all__ = ["DIF", "MantelHaenszelTest", "dif", "dif_of_answers", "mantel_haenszel", "mantel_haenszel_tables"]
