"""Response logs from tables in memory, and the mapping of column names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from alsim.responses.building import build
from alsim.responses.fields import LogFields
from alsim.responses.report import ResponsesError
from alsim.responses.source import COLUMNS, Options, Source

_DEFAULT_NAMES = {column: (column,) for column in COLUMNS} | {"order": ("order", "timestamp")}


def build_from_table(table: Any, columns: Mapping[str, str | None] | None, options: Options) -> LogFields:
    """Build a log from a table, as `Responses.from_table` does."""
    names = map_columns(columns, _column_names(table), "the table")
    selected = {column: table[name] for column, name in names.items()}
    return build(selected, Source("the table", names), options)


def map_columns(columns: Mapping[str, str | None] | None, available: Sequence[str], source: str) -> dict[str, str]:
    """Return a mapping from alsim's column names to those of the source, for the columns that the source has.

    columns    mapping of `Responses.from_table`
    available  names of the source's columns
    source     name of the source, for messages

    Raises ResponsesError for unknown, ambiguous and missing columns.
    """
    mapping = _without_timestamp(columns)
    listed = ", ".join(map(repr, available))
    names = {}
    for column in COLUMNS:
        if column in mapping:
            name = mapping[column]
        else:
            name = next((default for default in _DEFAULT_NAMES[column] if default in available), None)
        if name is None:
            continue
        if name not in available:
            raise ResponsesError(f"{source}: there is no column {name!r} for {column}; the columns are {listed}")
        if list(available).count(name) > 1:
            raise ResponsesError(f"{source}: more than one column is named {name!r}; rename all but one")
        names[column] = name
    missing = [column for column in ("student", "correct") if column not in names]
    if not missing and "skill" not in names and "item" not in names:
        missing = ["skill"]
    if missing:
        raise ResponsesError(
            f"{source}: there is no column {missing[0]!r}, and none is mapped to it; the columns are {listed}; "
            f"map one of them to {missing[0]}"
        )
    return names


def _without_timestamp(columns: Mapping[str, str | None] | None) -> dict[str, str | None]:
    """Return the mapping with timestamp replaced by its synonym order."""
    mapping = dict(columns or {})
    if unknown := [column for column in mapping if column not in (*COLUMNS, "timestamp")]:
        raise ResponsesError(f"a response log has no column {unknown[0]!r}; its columns are {', '.join(COLUMNS)}")
    if "timestamp" in mapping:
        if mapping.get("order"):
            raise ResponsesError(
                "order and timestamp are two names of one column, but both are mapped; map only one of them"
            )
        mapping["order"] = mapping.pop("timestamp")
    return mapping


def _column_names(table: Any) -> list[Any]:
    """Return the names of the columns of a table of any supported type."""
    if isinstance(table, Mapping):
        return list(table)
    if isinstance(table, np.ndarray) and table.dtype.names:
        return list(table.dtype.names)
    for attribute in ("column_names", "columns"):  # of Arrow and of pandas
        if not isinstance(table, np.ndarray) and hasattr(table, attribute):
            return list(getattr(table, attribute))
    raise ResponsesError(
        f"expected a table of Arrow or pandas, a dictionary of columns or a structured array; "
        f"got {type(table).__name__}"
    )
