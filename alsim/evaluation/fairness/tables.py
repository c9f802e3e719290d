"""Fairness of predictions in users' tables, with named columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from alsim.errors import AlsimError, InputTypeError, did_you_mean
from alsim.evaluation.estimates import CONFIDENCE
from alsim.evaluation.fairness.forecasts import forecast_sections
from alsim.evaluation.fairness.inputs import Grouping, read_grouping
from alsim.evaluation.fairness.items import DIF, dif, dif_of_answers
from alsim.evaluation.fairness.rates import DECISIONS, GroupMetrics, metrics_of
from alsim.evaluation.fairness.recalibration import notes_of
from alsim.evaluation.fairness.report import Fairness
from alsim.evaluation.monitoring import Calibration
from alsim.evaluation.statistics_input import read_confidence, read_number
from alsim.responses.named_columns import FileOptions, NamedColumns, read_named_columns
from alsim.types import Doubles, Longs

ROLES = {
    "outcome": "label, or answer: 1 or 0",
    "prediction": "decision 1 or 0, or forecast probability of outcome 1",
    "group": "group of the row",
    "learner": "independent learner of the row",
    "item": "item that was answered",
    "matching": "score of the learner, for tests of items",
}
"""Roles of columns. Each one is by default that of the column of the same name."""
THRESHOLD = 0.5
"""Default probability from which a forecast is a decision 1."""
SHOWN = 12
"""Number of columns that a message lists at most."""
CURE = "correct the row, or leave it out"


def evaluate_table(
    table: Any,
    columns: Mapping[str, str | None] | None = None,
    *,
    threshold: float = THRESHOLD,
    confidence: float = CONFIDENCE,
    options: FileOptions | None = None,
) -> Fairness:
    """Compare predictions with outcomes, by group, and test items for DIF, in a table with one row per prediction.

    table       mapping of names to columns, table of Arrow, pandas or polars, structured array, or path of a text file
                with a header, or of a Parquet or Arrow file
    columns     mapping of roles to names of columns, see below; None for a role that the table does not have. Roles
                that are not mapped are those of columns of the same names
    threshold   probability from which a forecast is a decision 1, in (0, 1]
    confidence  level of the intervals, in (0, 1)
    options     options of a text file, see `FileOptions`

    The roles are outcome and group; prediction, item, or both; learner, if learners have several rows, needed for
    items; and matching, a score of each learner in a few classes, needed if learners have not answered all items.

    The section "decisions" has selection_rate, tpr, fpr and accuracy. For forecasts that are not all 0 and 1, the
    sections "forecasts", "forecasts after recalibration" and "forecasts after recalibration by group" have bias and
    brier. Of several answers of a learner to an item, the first one is tested.
    Returns a Fairness. Raises AlsimError, which names the row, for missing columns and invalid values.
    """
    level, cut = read_confidence(confidence), read_number(threshold, "threshold", "use 0.5, say")
    if not 0 < cut <= 1:
        raise AlsimError(f"threshold must be in (0, 1]; got {cut:g}: use 0.5, say")
    chosen: dict[str, str] = {}

    def choose(available: Sequence[str], source: str) -> list[str]:
        chosen.update(choose_roles(columns, available, source))
        return [*chosen.values()]

    found = _Rows(read_named_columns(table, choose, options), chosen)
    groups = found.grouping()
    outcome = found.flags("outcome")
    sections: dict[str, GroupMetrics] = {}
    calibrations: dict[str, Mapping[str, Calibration]] = {}
    notes: list[str] = []
    if "prediction" in chosen:
        p = found.probabilities("prediction")
        sections["decisions"] = metrics_of(outcome, (p >= cut).astype(np.float64), groups, DECISIONS, level)
        if not np.isin(p, (0, 1)).all():
            forecasts, calibrations = forecast_sections(p, outcome, groups, level)
            sections |= forecasts
            notes += notes_of(groups)
    items = _items_of(found, outcome, groups, level) if "item" in chosen else []
    members = dict(zip(groups.names, groups.members.tolist(), strict=True))
    unit = "learner" if groups.is_clustered else "row"
    return Fairness(groups.names, members, sections, calibrations, items, unit, notes)


class _Rows:
    """Rows of a table, and the checks of their values."""

    def __init__(self, table: NamedColumns, names: Mapping[str, str]) -> None:
        self._table, self._names = table, names
        if table.num_rows == 0:
            raise AlsimError(f"{table.source}: the table is empty: add one row per prediction")

    def has(self, role: str) -> bool:
        """Return whether the table has a column for a role."""
        return role in self._names

    def grouping(self) -> Grouping:
        """Return the groups of the rows."""
        codes, names = self.ranked("group")
        learners, texts = None, np.array([str(name) for name in names])[codes]
        if self.has("learner"):
            learners = self.ranked("learner")[0]
            self.check_one_value("group", codes)
        try:
            return read_grouping(texts, learners, len(codes))
        except AlsimError as error:
            raise AlsimError(f"{self._table.source}, column {self._names['group']!r:.60}: {error}") from None

    def ranked(self, role: str) -> tuple[Longs, Any]:
        """Return the number of the name in each row, (R,), and the names in ascending order."""
        found = self._table.ranked(self._names[role])
        self._check(role, found.codes < 0, "must not be missing")
        return found.codes, found.names

    def flags(self, role: str) -> Doubles:
        """Return values 0 and 1, (R,)."""
        values = self._table.numbers_or_booleans(self._names[role])
        self._check(role, ~np.isin(values, (0, 1)), "must be 0 or 1, or true or false")
        return values

    def probabilities(self, role: str) -> Doubles:
        """Return values in [0, 1], (R,)."""
        values = self._table.numbers_or_booleans(self._names[role])
        self._check(role, ~((values >= 0) & (values <= 1)), "must be in [0, 1]", f"divide percentages by 100, {CURE}")
        return values

    def check_one_value(self, role: str, codes: Longs) -> None:
        """Raise AlsimError for the first row (R,) whose value differs from that of an earlier row of the learner."""
        learner, names = self.ranked("learner")
        first = np.unique(learner, return_index=True)[1][learner]
        if not (moved := codes != codes[first]).any():
            return
        row, name = int(moved.argmax()), self._names[role]
        pair = (f"{self._table.cell(name, one)!r:.60}" for one in (first[row], row))
        raise AlsimError(
            f"{self._table.source}, {self._table.describe_row(row)}: a learner must have one {role}; got "
            f"{' and '.join(pair)} for learner {str(names[learner[row]])!r:.60}: {CURE}"
        )

    def _check(self, role: str, wrong: Any, expected: str, cure: str = CURE) -> None:
        """Raise AlsimError for the first row that is wrong."""
        if not wrong.any():
            return
        row, name = int(wrong.argmax()), self._names[role]
        value = self._table.cell(name, row)
        got = "a missing value (NaN)" if value is None or value != value else f"{value!r:.60}"
        column = "" if name == role else f" (column {name!r:.60})"
        raise AlsimError(
            f"{self._table.source}, {self._table.describe_row(row)}: {role}{column} {expected}; got {got}: {cure}"
        )

    @property
    def source(self) -> str:
        """Name of the table."""
        return self._table.source


def choose_roles(columns: Any, available: Sequence[str], source: str) -> dict[str, str]:
    """Return the names of the columns by role. Raises AlsimError for unknown roles, and for missing columns."""
    if columns is not None and not isinstance(columns, Mapping):
        raise InputTypeError(
            f"columns must be a mapping of roles to names of columns; got {type(columns).__name__}: pass "
            "{'outcome': 'passed'}, say"
        )
    mapping = dict(columns or {})
    for role, name in mapping.items():
        if role not in ROLES:
            raise AlsimError(
                f"there is no role {role!r:.60} of a column{did_you_mean(str(role), ROLES)}; expected some of "
                f"{', '.join(ROLES)}"
            )
        if name is not None and name not in available:
            raise AlsimError(
                f"{source}: there is no column {name!r:.60} for {role}{did_you_mean(str(name), available)}; "
                f"{_listed(available)}"
            )
    found = {role: role for role in ROLES if role in available and role not in mapping}
    found |= {role: str(name) for role, name in mapping.items() if name is not None}
    required = ["outcome", "group", *(["prediction"] if "item" not in found else ["learner"])]
    for role in required:
        if role not in found:
            raise AlsimError(
                f"{source}: there is no column for {role}, the {ROLES[role]}{did_you_mean(role, available)}; name it "
                f"with {role}=COLUMN (--columns): {_listed(available)}"
            )
    return found


def _listed(available: Sequence[str]) -> str:
    """Return the part of a message that lists the columns of a table."""
    more = f" and {len(available) - SHOWN} more" if len(available) > SHOWN else ""
    return f"the columns are {', '.join(f'{name!r:.60}' for name in available[:SHOWN])}{more}"


def _items_of(rows: _Rows, outcome: Doubles, groups: Grouping, confidence: float) -> list[DIF]:
    """Return the tests of items for each focal group, against all others; once for two groups."""
    (learner, names), (item, items) = rows.ranked("learner"), rows.ranked("item")
    texts = np.array([str(name) for name in items])
    pair, first = np.unique(learner * len(items) + item, return_index=True)  # the first answer of a learner to an item
    focal = range(1 if len(groups) == 2 else 0, len(groups))
    if rows.has("matching"):
        stratum = rows.ranked("matching")[0]
        rows.check_one_value("matching", stratum)
        codes, right = groups.codes[first], outcome[first].astype(np.int64)
        return [
            dif_of_answers(item[first], stratum[first], codes == g, right, texts, confidence, groups.names[g])
            for g in focal
        ]
    if len(pair) < len(names) * len(items):
        missing = int((np.append(pair, -1) != np.arange(len(pair) + 1)).argmax())
        raise AlsimError(
            f"{rows.source}: without a column for matching, every learner must have answered every item; learner "
            f"{names[missing // len(items)]} has not answered item {items[missing % len(items)]}: name a column with a "
            "score of each learner in a few classes, with matching=COLUMN, or leave out the column of items with item="
        )
    answers = outcome[first].astype(np.int64).reshape(len(names), len(items))
    group = groups.codes[first[:: len(items)]]
    tests = (dif(answers, group == g, focal=True, items=texts.tolist(), confidence=confidence) for g in focal)
    return [replace(one, focal=groups.names[g]) for g, one in zip(focal, tests, strict=True)]


__all__ = ["ROLES", "THRESHOLD", "choose_roles", "evaluate_table"]
