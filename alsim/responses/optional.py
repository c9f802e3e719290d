"""Optional columns of a response log: times, response times, numbers of attempts and hints, and partial credit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alsim.responses import cells
from alsim.types import Bools, Codes, Doubles, i8

if TYPE_CHECKING:
    import pyarrow as pa


class Parsed(NamedTuple):
    """Optional columns by their names.

    values   (R,) numbers, as `alsim.responses.log.Responses` has them
    invalid  (R,) which cells are neither valid nor missing
    """

    values: dict[str, NDArray[Any]]
    invalid: dict[str, Bools]


def parse_optional(table: Mapping[str, pa.ChunkedArray], units: Mapping[str, float]) -> Parsed:
    """Return the optional columns that a table has.

    units  units per second of the columns `time` and `seconds`; 1 for a column that is absent
    """
    values: dict[str, NDArray[Any]] = {}
    if "time" in table:
        times = cells.parse_times(table["time"]) / units.get("time", 1.0)
        values["time"] = np.where(np.isfinite(times), times, np.nan)
    if "seconds" in table:
        seconds = cells.parse_durations(table["seconds"]) / units.get("seconds", 1.0)
        values["seconds"] = np.where(np.isfinite(seconds) & (seconds >= 0), seconds, np.nan)
    for name in ("attempts", "hints"):
        if name in table:
            values[name] = cells.parse_counts(table[name])
    if "credit" in table:
        values["credit"] = parse_credit(table["credit"])
    return Parsed(values, {name: _invalid(column, table[name]) for name, column in values.items()})


def parse_credit(column: pa.ChunkedArray) -> Doubles:
    """Return (R,) the scores of a column in [0, 1]; NaN for other cells."""
    answers, numbers = cells.parse_answers(column), cells.parse_numbers(column)
    credit = np.where(answers >= 0, answers, numbers)
    return np.where((credit >= 0) & (credit <= 1), credit, np.nan)


def full_credit(credit: Doubles) -> Codes:
    """Return (R,) 1 for full credit, 0 for less, -1 for unknown credit."""
    return np.where(np.isnan(credit), -1, credit == 1).astype(i8)


def _invalid(values: NDArray[Any], column: pa.ChunkedArray) -> Bools:
    """Return (R,) which cells of a column are neither valid nor missing, given their values."""
    unknown: Bools = values < 0 if values.dtype.kind == "i" else np.isnan(values)
    return unknown & ~cells.is_missing(column, ()) if unknown.any() else unknown
