"""Experiments in users' own tables, with one row per student and named columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alsim.errors import AlsimError, InputTypeError, did_you_mean
from alsim.evaluation.experiments.data import ExperimentData, ordered_arms
from alsim.evaluation.experiments.student_metrics import StudentMetric
from alsim.evaluation.statistics_input import LARGEST
from alsim.responses.named_columns import NamedColumns, read_named_columns
from alsim.types import Bools, Doubles, Longs, short_repr

MOST_ARMS = 20
"""Largest number of arms: a column with more values is none of arms."""
CURE = "correct the row, or leave the student out if the value is missing by chance"


@short_repr
class Roles:
    """Columns of a table.

    arm              name of the arm
    student          id of the student; None: each row is another student
    covariate        value that was measured before assignment, for CUPED
    cluster          class of the student
    stratum          stratum of the student
    order            time or number that sorts the students by arrival; None: the order of the rows
    assignment_time, covariate_time
                     times of assignment and of the measurement of the covariate
    """

    def __init__(
        self,
        arm: str,
        *,
        student: str | None = None,
        covariate: str | None = None,
        cluster: str | None = None,
        stratum: str | None = None,
        order: str | None = None,
        assignment_time: str | None = None,
        covariate_time: str | None = None,
    ) -> None:
        self.arm, self.student, self.covariate, self.cluster = arm, student, covariate, cluster
        self.stratum, self.order = stratum, order
        self.assignment_time, self.covariate_time = assignment_time, covariate_time

    @property
    def has_times(self) -> bool:
        """True if a time of assignment or of the covariate is named."""
        return self.assignment_time is not None or self.covariate_time is not None

    def named(self) -> dict[str, str]:
        """Return the columns by role, without those that the table does not have."""
        return {role: column for role, column in vars(self).items() if column is not None}


ROLES = tuple(name for name in Roles.__init__.__annotations__ if name not in ("arm", "return"))
"""Names of the columns that a table may have, apart from the arm and the metrics."""


def read_table(
    table: Any, roles: Roles, metrics: Iterable[StudentMetric], *, control: str | None = None
) -> ExperimentData:
    """Return the students of a table, sorted by arrival.

    table    mapping of names to columns, table of Arrow, pandas or polars, structured array, or path of a text file
             with a header, or of a Parquet or Arrow file
    roles    columns of the arm and of what the analysis adjusts for
    metrics  metrics, whose names are those of columns
    control  name of the control; None: "control", or else the first arm by name

    Raises AlsimError, which names the row, for missing columns, missing values, a student who occurs twice, and a
    covariate that was measured after assignment.
    """
    metrics = list(metrics)
    wanted = {**roles.named(), **{f"metric {name}": name for metric in metrics for name in metric.columns}}
    if roles.has_times and None in (roles.covariate, roles.assignment_time, roles.covariate_time):
        is_assignment = roles.covariate_time is None
        given, other = ("assignment_time", "its time") if is_assignment else ("covariate_time", "the assignment time")
        raise InputTypeError(f"{given} needs the covariate and {other}, too: pass the columns of all three, or of none")
    if roles.covariate in {name for metric in metrics for name in metric.columns}:
        raise AlsimError(
            f"the covariate {roles.covariate!r:.60} is a metric, too, and a metric is measured after the assignment: "
            "use a value from before"
        )
    reader = _Reader(read_named_columns(table, lambda names, source: _chosen(wanted, names, source)))
    if roles.student is not None:
        reader.check_students(roles)
    if roles.covariate_time is not None:
        reader.check_times(roles)
    codes, names = reader.labels("arm", roles.arm)
    if len(names) > MOST_ARMS:
        raise AlsimError(
            f"{reader.source}: the column {roles.arm!r:.60} has {len(names):,} values, such as {names[0]!r:.40}, and "
            f"there are at most {MOST_ARMS} arms: choose the column of the arms"
        )
    ordered = ordered_arms(names, control, reader.source)
    data = ExperimentData(
        source=reader.source,
        names=tuple(ordered),
        arms=np.array([ordered.index(name) for name in names])[codes],
        values={name: reader.numbers("metric", name) for metric in metrics for name in metric.columns},
        covariate=None if roles.covariate is None else reader.numbers("covariate", roles.covariate),
        clusters=None if roles.cluster is None else reader.labels("cluster", roles.cluster)[0],
        strata=None if roles.stratum is None else reader.names("stratum", roles.stratum),
    )
    return data if roles.order is None else data.taken(np.argsort(reader.times("order", roles.order), kind="stable"))


def _chosen(wanted: dict[str, str], names: Sequence[str], source: str) -> list[str]:
    """Return the columns to read. Raises AlsimError for a column that the table does not have."""
    for role, column in wanted.items():
        if column not in names:
            shown = f"{', '.join(map(repr, names[:12]))}{' and more' if len(names) > 12 else ''}"
            cure = did_you_mean(column, names) or f"; the columns are {shown}"
            raise AlsimError(f"{source}: there is no column {column!r:.60} for the {role}{cure}")
    return list(dict.fromkeys(wanted.values()))


class _Reader:
    """Checked columns of a table."""

    def __init__(self, table: NamedColumns) -> None:
        self._table, self.source = table, table.source
        if table.num_rows == 0:
            raise AlsimError(f"{table.source}: the table is empty: add one row per student")

    def numbers(self, role: str, name: str) -> Doubles:
        """Return finite numbers, (n,); "true" and "false" are 1 and 0. Raises AlsimError for other values."""
        values = self._table.numbers_or_booleans(name)
        self._refuse(role, name, ~(np.abs(values) <= LARGEST), "must be a finite number")
        return values

    def labels(self, role: str, name: str) -> tuple[Longs, list[str]]:
        """Return the number of the label in each row, (n,), and the labels. Raises AlsimError for missing ones."""
        found = self._table.ranked(name)
        self._refuse(role, name, found.codes < 0, "must not be missing")
        return found.codes, [str(label) for label in found.names]

    def names(self, role: str, name: str) -> NDArray[np.str_]:
        """Return the label in each row, (n,). Raises AlsimError for missing ones."""
        codes, labels = self.labels(role, name)
        return np.array(labels, np.str_)[codes]

    def times(self, role: str, name: str) -> Any:
        """Return numbers that sort as the times of a column, (n,). Raises AlsimError for other values."""
        values, wrong = self._table.order(name)
        self._refuse(role, name, wrong, "must be a number or a time")
        return values

    def seconds(self, role: str, name: str) -> tuple[Doubles, bool]:
        """Return times in seconds, or numbers, (n,), and whether they are times. Raises AlsimError for other values."""
        values, are_times = self._table.times(name)
        self._refuse(role, name, np.isnan(values), "must be a number or a time")
        return values, are_times

    def check_students(self, roles: Roles) -> None:
        """Raise AlsimError for a student who occurs twice, and for one in two arms."""
        codes, names = self.labels("student", str(roles.student))
        twice = np.flatnonzero(np.bincount(codes) > 1)
        if len(twice) == 0:
            return
        arms = self.labels("arm", roles.arm)[0]
        for student in twice:
            if len(np.unique(arms[codes == student])) > 1:
                raise AlsimError(
                    f"{self.source}: the arms overlap: the student {names[student]!r:.60} is in more than one: keep "
                    "the first arm of each student, or leave these students out of all arms"
                )
        raise AlsimError(
            f"{self.source}: the student {names[twice[0]]!r:.60} has {int((codes == twice[0]).sum())} rows; expected "
            "one row per student: add up the rows of each student, and test ratios of the sums"
        )

    def check_times(self, roles: Roles) -> None:
        """Raise AlsimError for a covariate that was measured after assignment."""
        measured, is_measured_time = self.seconds("covariate time", str(roles.covariate_time))
        assigned, is_assigned_time = self.seconds("assignment time", str(roles.assignment_time))
        if is_measured_time != is_assigned_time:
            numbers = roles.assignment_time if is_measured_time else roles.covariate_time
            raise AlsimError(
                f"{self.source}: the times of assignment and covariate must both be times, or both numbers; only the "
                f"column {numbers!r:.60} has numbers: write the same kind in both"
            )
        late = measured > assigned
        if late.any():
            raise AlsimError(
                f"{self.source}, {self._table.describe_row(int(late.argmax()))}: the covariate {roles.covariate!r:.60} "
                f"was measured after assignment, as that of {int(late.sum()):,} of {len(late):,} students, so the arm "
                "may have changed it: use a value from before"
            )

    def _refuse(self, role: str, name: str, wrong: Bools, expected: str) -> None:
        """Raise AlsimError if a cell is wrong."""
        if not wrong.any():
            return
        row = int(wrong.argmax())
        value = self._table.cell(name, row)
        got = "a missing value (NaN)" if value is None else f"{value!r:.60}"
        column = "" if role == name else f" (column {name!r:.60})"
        raise AlsimError(
            f"{self.source}, {self._table.describe_row(row)}: {role}{column} {expected}; got {got}: {CURE}"
        )


__all__ = ["MOST_ARMS", "ROLES", "Roles", "read_table"]
