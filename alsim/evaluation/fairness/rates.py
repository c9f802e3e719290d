"""Rates of decisions and predictions by group, and the gaps between groups."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from alsim.errors import AlsimError, InputTypeError
from alsim.evaluation.estimates import CONFIDENCE, Statistic
from alsim.evaluation.fairness.gaps import Gap, adjusted, gap_of, rates
from alsim.evaluation.fairness.inputs import Grouping, read_flags, read_grouping, read_names, read_unit_interval
from alsim.evaluation.statistics_input import read_confidence, read_values
from alsim.types import Bools, Doubles, safe_repr


class Measure(NamedTuple):
    """A mean of values over some rows, of labels y and predictions p."""

    label: str
    meaning: str
    values: Callable[[Doubles, Doubles], Doubles]
    rows: Callable[[Doubles], Bools]
    needs_decisions: bool


def _all(y: Doubles) -> Bools:
    return np.ones(len(y), np.bool_)


def _positive(y: Doubles) -> Bools:
    return np.asarray(y == 1)


def _negative(y: Doubles) -> Bools:
    return np.asarray(y == 0)


MEASURES: dict[str, Measure] = {
    "selection_rate": Measure("selected", "share with prediction 1", lambda y, p: p, _all, True),
    "tpr": Measure(
        "true positives", "share with prediction 1 among those with label 1", lambda y, p: p, _positive, True
    ),
    "fpr": Measure(
        "false positives", "share with prediction 1 among those with label 0", lambda y, p: p, _negative, True
    ),
    "fnr": Measure(
        "false negatives", "share with prediction 0 among those with label 1", lambda y, p: 1 - p, _positive, True
    ),
    "tnr": Measure(
        "true negatives", "share with prediction 0 among those with label 0", lambda y, p: 1 - p, _negative, True
    ),
    "accuracy": Measure(
        "accuracy", "share with the prediction equal to the label", lambda y, p: 1.0 * (y == p), _all, True
    ),
    "mean_label": Measure("label 1", "share with label 1", lambda y, p: y, _all, True),
    "mean_prediction": Measure("mean prediction", "mean of the predictions", lambda y, p: p, _all, False),
    "bias": Measure("bias", "mean of prediction - label", lambda y, p: p - y, _all, False),
}
"""Measures by name. A measure of decisions needs predictions 0 and 1, and is a share."""
DECISIONS = ("selection_rate", "tpr", "fpr", "accuracy")
PROBABILITIES = ("mean_prediction", "bias")
"""Measures that are computed by default for decisions, and for probabilities."""


@dataclass(frozen=True)
class GroupMetrics:
    """Rates of G groups, and the gaps between them.

    groups      names of the groups, in ascending order
    members     number of independent learners (or rows) of each group
    by_group    rate of each group, by name of the metric and of the group
    overall     rate of all rows, by name of the metric
    gaps        gap of each metric, by its name; p-values are adjusted for all metrics by Holm's method
    confidence  level of the intervals
    """

    groups: tuple[str, ...]
    members: Mapping[str, int]
    by_group: Mapping[str, Mapping[str, Statistic]]
    overall: Mapping[str, Statistic]
    gaps: Mapping[str, Gap]
    confidence: float

    @safe_repr
    def __repr__(self) -> str:
        """Return the groups and the metrics."""
        return f"<GroupMetrics: {len(self.groups)} groups, {', '.join(self.gaps)}>"

    @property
    def demographic_parity_difference(self) -> float:
        """Difference of the selection rates; NaN if they were not computed."""
        return self._difference("selection_rate")

    @property
    def demographic_parity_ratio(self) -> float:
        """Lowest / highest selection rate; NaN if they were not computed."""
        return self._ratio("selection_rate")

    @property
    def equal_opportunity_difference(self) -> float:
        """Difference of the true positive rates; NaN if they were not computed."""
        return self._difference("tpr")

    @property
    def equalized_odds_difference(self) -> float:
        """Larger one of the differences of true and false positive rates; NaN if they were not computed."""
        both = self._difference("tpr"), self._difference("fpr")
        return math.nan if any(map(math.isnan, both)) else max(both)

    @property
    def equalized_odds_ratio(self) -> float:
        """Smaller one of the ratios of true and false positive rates; NaN if they were not computed."""
        both = self._ratio("tpr"), self._ratio("fpr")
        return math.nan if any(map(math.isnan, both)) else min(both)

    @property
    def flags(self) -> list[str]:
        """Names of the metrics whose gap is significant after the correction."""
        return [name for name, gap in self.gaps.items() if gap.flagged]

    def _difference(self, name: str) -> float:
        return self.gaps[name].difference if name in self.gaps else math.nan

    def _ratio(self, name: str) -> float:
        return self.gaps[name].ratio if name in self.gaps else math.nan

    def to_dict(self) -> dict[str, Any]:
        """Return the keys groups, gaps and flags as JSON values; undefined numbers are None."""
        return {
            "groups": {
                group: {
                    "members": self.members[group],
                    **{name: found[group].to_dict() for name, found in self.by_group.items()},
                }
                for group in self.groups
            },
            "gaps": {name: gap.to_dict() for name, gap in self.gaps.items()},
            "flags": self.flags,
        }


def group_metrics(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    groups: ArrayLike,
    *,
    metrics: Sequence[str] | None = None,
    confidence: float = CONFIDENCE,
    learners: ArrayLike | None = None,
) -> GroupMetrics:
    """Compute the rates of decisions or predictions in groups, and the gaps between the groups.

        selection rate = P(p = 1),  tpr = P(p = 1 | y = 1),  fpr = P(p = 1 | y = 0),  accuracy = P(p = y)
        difference = highest - lowest rate,  ratio = lowest / highest rate

    y_true      (R,) labels y, 0 or 1; for metrics of probabilities also between
    y_pred      (R,) predictions p: decisions 0 or 1; for metrics of probabilities also between
    groups      (R,) group of each row, texts or numbers; 2 to 50 different ones
    metrics     names among selection_rate, tpr, fpr, fnr, tnr, accuracy, mean_label (all of decisions),
                mean_prediction and bias (also of probabilities); None: selection_rate, tpr, fpr and accuracy
                for decisions, mean_prediction and bias for probabilities
    confidence  level of the intervals, in (0, 1)
    learners    (R,) integers, the learner (or class) of each row, if learners have several; None: rows are independent

    Rates are shares of rows, as in fairlearn. Intervals of shares are Wilson's, and those of means Student's t. With
    `learners`, standard errors are robust to clusters, and Wilson's interval has the effective number of rows. The
    interval of a gap holds for all pairs of groups at once (Bonferroni). Rates without rows, such as tpr of a group
    without label 1, are NaN and left out of the gap.
    Returns a GroupMetrics. Raises AlsimError for invalid arguments, NaN, one group, a group with fewer than two
    members, and a learner in several groups.
    Sources: Hardt, Price & Srebro (2016), NeurIPS, for equalised odds and equal opportunity; the definitions are those
    of fairlearn (Bird et al. 2020); Wilson (1927), Newcombe (1998) and Korn & Graubard (1998), Survey Methodology 24,
    193-201, for the intervals.
    """
    y = read_unit_interval(y_true, "y_true")
    p = read_unit_interval(y_pred, "y_pred", len(y))
    level, found = read_confidence(confidence), read_grouping(groups, learners, len(y))
    names = read_names(metrics, [*MEASURES], "metrics") if metrics is not None else _default(y, p)
    if any(MEASURES[name].needs_decisions for name in names):
        read_flags(y, "y_true")
    if any(MEASURES[name].needs_decisions and name != "mean_label" for name in names):
        read_flags(p, "y_pred")
    return metrics_of(y, p, found, names, level)


def group_means(
    values: Mapping[str, ArrayLike],
    groups: ArrayLike,
    *,
    confidence: float = CONFIDENCE,
    learners: ArrayLike | None = None,
) -> GroupMetrics:
    """Compute the means of values in groups, in any unit, and the gaps between the groups.

    values      arrays (R,) by name; NaN is undefined and left out. Arrays of booleans are shares
    groups, confidence, learners  see `group_metrics`

    Returns a GroupMetrics. Raises AlsimError for invalid arguments, see `group_metrics`.
    Sources: Student (1908) and Welch (1947), and for shares those of `group_metrics`.
    """
    if not isinstance(values, Mapping) or not values:
        raise InputTypeError(
            f"values must be a mapping of names to arrays, at least one; got {type(values).__name__}: pass "
            "{'learning': gains}, say"
        )
    columns = {name: _column_of(name, one) for name, one in values.items()}
    rows = len(next(iter(columns.values())).values)
    for name, column in columns.items():
        if len(column.values) != rows:
            raise AlsimError(
                f"{name} must have {rows:,} values, one per row; got {len(column.values):,}: pass all rows"
            )
    return means_of(columns, read_grouping(groups, learners, rows), read_confidence(confidence))


def _column_of(name: str, values: ArrayLike) -> Column:
    """Return values with the mask of those that are defined. Raises AlsimError for invalid ones."""
    array = np.asarray(values)
    is_share = array.dtype.kind == "b"
    numbers = read_values(array.astype(np.int8) if is_share else values, str(name))
    defined = ~np.isnan(numbers)
    return Column(np.where(defined, numbers, 0.0), defined, is_share)


def metrics_of(y: Doubles, p: Doubles, groups: Grouping, names: Sequence[str], confidence: float) -> GroupMetrics:
    """Return the metrics of valid labels and predictions, see `group_metrics`."""
    columns = {}
    for name in names:
        values = MEASURES[name].values(y, p)
        columns[name] = Column(values, MEASURES[name].rows(y), bool(np.isin(values, (0, 1)).all()))
    return means_of(columns, groups, confidence)


class Column(NamedTuple):
    """Values of a metric, (R,): its rate is the mean over some rows; a share if the values are 0 and 1.

    A gap that is not tested is a fact about the groups, such as their true mastery, and is never flagged.
    """

    values: Doubles
    rows: Bools
    is_share: bool = False
    is_tested: bool = True


def means_of(columns: Mapping[str, Column], groups: Grouping, confidence: float) -> GroupMetrics:
    """Return the means of columns in groups; the tested gaps are one family."""
    everybody = Grouping(("all",), np.zeros_like(groups.codes), groups.units, groups.is_clustered)
    by_group, overall, gaps = {}, {}, {}
    for name, column in columns.items():
        found = rates(column.values, column.rows, groups, is_share=column.is_share)
        by_group[name] = {g: r.statistic(confidence) for g, r in zip(groups.names, found, strict=True)}
        whole = rates(column.values, column.rows, everybody, is_share=column.is_share)[0]
        overall[name] = whole.statistic(confidence)
        gaps[name] = gap_of(found, groups.names, confidence)
    members = dict(zip(groups.names, groups.members.tolist(), strict=True))
    tested = adjusted({name: gap for name, gap in gaps.items() if columns[name].is_tested}, confidence)
    return GroupMetrics(groups.names, members, by_group, overall, gaps | tested, confidence)


def _default(y: Doubles, p: Doubles) -> list[str]:
    """Return the metrics of decisions, if labels and predictions are 0 or 1, or else those of probabilities."""
    if np.isin(p, (0, 1)).all() and np.isin(y, (0, 1)).all():
        return [*DECISIONS]
    return [*PROBABILITIES]


__all__ = ["DECISIONS", "MEASURES", "PROBABILITIES", "GroupMetrics", "Measure", "group_means", "group_metrics"]
