"""Sources of rows: columns of a log, options for building it, and messages about invalid rows."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from alsim.responses.report import Duplicates, ResponsesError
from alsim.types import Longs

COLUMNS = ("student", "skill", "item", "correct", "order", "response")
"""Columns of a response log, by alsim's names."""

OPTIONAL = ("time", "seconds", "attempts", "hints", "credit", "event")
"""Columns that are read only if they are mapped, since other logs use these names in other meanings."""

EXPECTED = {
    "student": "a name",
    "skill": "a name",
    "item": "a name",
    "correct": "0 or 1",
    "order": "a number, or a time such as 2024-05-02 10:01:30",
    "time": "a number, or a time such as 2024-05-02 10:01:30",
    "response": "an id",
    "credit": "a number from 0 to 1",
    "event": "an empty cell, since the row has an answer",
    "seconds": "a number of at least 0",
    "attempts": "an integer of at least 0",
    "hints": "an integer of at least 0",
}
"""Expected values, by column."""

REASONS = {
    "student": "no student",
    "skill": "no skill",
    "item": "no item",
    "correct": "correct is neither 0 nor 1",
    "order": "order is not a number or time like the others",
    "time": "time is not a number or time like the others",
    "response": "no response id",
    "credit": "credit is not a number from 0 to 1",
    "event": "study event with an answer",
}
"""Reasons to skip a row, by the invalid column."""


class Options(NamedTuple):
    """Options for building a log, see `Responses.from_arrays`."""

    separator: str | None = "~~"
    duplicates: Duplicates = "keep"
    skip_bad: bool = False


@dataclass(frozen=True)
class Source:
    """Origin of rows, for messages and for the `row` field of a log.

    name          name of the file, or a description
    column_names  mapping from alsim's column names to those of the source
    describe_row  returns the description of a row, given its index in the source
    rows          (R,) index in the source of each row; None if no row was dropped before
    dropped       number of rows that were dropped before, by reason
    examples      message about the first of them, by reason
    recognised    those of `column_names` that were found by a synonym
    units         units per second of the columns `time` and `seconds`, by alsim's names; 1 for a name that is absent
    published     name of the published format, which determines the columns; "" if they can be mapped
    """

    name: str
    column_names: Mapping[str, str] = field(default_factory=dict)
    describe_row: Callable[[int], str] = "row {} (counted from 0)".format
    rows: Longs | None = None
    dropped: Mapping[str, int] = field(default_factory=dict)
    examples: Mapping[str, str] = field(default_factory=dict)
    recognised: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, float] = field(default_factory=dict)
    published: str = ""

    def index(self, row: int) -> int:
        """Return the index of a row in the source."""
        return row if self.rows is None else int(self.rows[row])

    @staticmethod
    def expected(column: str, value: Any, most: bool) -> str:
        """Return the expected values of a column, for the message about an invalid value; `most` values are invalid."""
        if column in ("order", "time") and not most:
            by_time = ", since times sort the responses" if column == "time" else ""
            return f"{EXPECTED[column]}, as in most rows{by_time}"
        broken = isinstance(value, str) and "\n" in value
        return "a name without a line break; is a quote not closed?" if broken else EXPECTED[column]

    def no_valid_row(self) -> ResponsesError:
        """Return the error for a source whose rows are all dropped or invalid."""
        if self.dropped:
            reason, number = next(iter(self.dropped.items()))
            return ResponsesError(
                f"{self.name}: there is no valid row: {number:,} skipped, {reason}; the first one: "
                f"{self.examples[reason]}",
                "correct these rows, or choose another file or other columns",
            )
        return ResponsesError(
            f"{self.name}: there is no valid row", "read it without {} to see the first error", skip_bad=True
        )

    def error_message(self, title: str, row: int, value: Any, expected: str) -> str:
        """Return the message about an invalid cell: its column, its row in the source, and its value."""
        value = value.item() if isinstance(value, np.generic) else value
        shown = "an empty cell" if value is None or value == "" else reprlib.repr(value)
        return f"{self.name}, {self.describe_row(row)}, column {title}: {shown}; expected {expected}"
