"""Conversion of named parameters to and from JSON values."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from alsim.responses.cells import Names
from alsim.types import Doubles, Longs
from alsim.utils.names import name_array


def rows_of(names: Names, columns: Mapping[str, Sequence[Any] | np.ndarray]) -> dict[str, dict[str, Any]]:
    """Return {name: {column: value}}; NaN becomes None, since JSON has no NaN."""
    plain = {column: [_plain(value) for value in np.asarray(values).tolist()] for column, values in columns.items()}
    return {name: {c: plain[c][k] for c in plain} for k, name in enumerate(names.tolist())}


def table_of(columns: Mapping[str, Sequence[Any] | np.ndarray]) -> list[dict[str, Any]]:
    """Return one row {column: value} per entry of the columns, which have equal lengths; values are Python's."""
    values = [np.asarray(column).tolist() for column in columns.values()]
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]


def names_of(rows: Any, key: str) -> Names:
    """Return the names (I,) in the result of `rows_of`, the value of `key`; raises TypeError for any other value."""
    if not isinstance(rows, dict) or not all(isinstance(row, dict) for row in rows.values()):
        raise TypeError(f'"{key}" must be an object of objects')
    return name_array(list(rows))


def column_of(rows: dict[str, dict[str, Any]], column: str, *, missing: bool = False) -> Doubles:
    """Return a column of the result of `rows_of`.

    missing  if True, None is allowed and becomes NaN

    Raises KeyError, TypeError or ValueError for a row without a finite number in this column.
    """
    return np.array([np.nan if missing and row[column] is None else number(row[column]) for row in rows.values()])


def counts_of(rows: dict[str, dict[str, Any]], column: str) -> Longs:
    """Return a column of counts; raises KeyError, TypeError or ValueError for a row without a count."""
    return np.array([count(row[column]) for row in rows.values()], np.int64)


def number(value: Any) -> float:
    """Return a finite number as a float; raises TypeError or ValueError for any other value."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r:.50} is not a number")
    if not abs(value) <= sys.float_info.max:
        raise ValueError(f"{value!r:.50} is not a finite float64 number")
    return float(value)


def count(value: Any) -> int:
    """Return an integer in [0, 2**63); raises TypeError or ValueError for any other value."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{value!r:.50} is not a count")
    if not 0 <= value < 2**63:
        raise ValueError(f"{value!r:.50} is not a count in [0, 2**63)")
    return value


def truth(value: Any) -> bool:
    """Return a bool; raises TypeError for any other value."""
    if not isinstance(value, bool):
        raise TypeError(f"{value!r:.50} is neither true nor false")
    return value


def _plain(value: Any) -> Any:
    """Return the value, or None for NaN."""
    return None if isinstance(value, float) and math.isnan(value) else value
