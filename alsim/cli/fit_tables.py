"""Tables of estimates of `alsim fit`: printed for reading, written in full, and summarised."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from alsim.cli.output import WIDTH, decimals, fixed_point, print_table, shortened

MIN_NAME_WIDTH = 12
SHOWN_ROWS = 10
MAX_DECIMALS = 3

Row = Mapping[str, Any]


class Shown(NamedTuple):
    """A printed column of estimates.

    key       key of the rows; the standard errors, if any, are under se_<key>
    label     heading
    unit      unit, below the heading
    decimals  decimals of numbers without standard errors
    fixed     value of the column if the model does not estimate it; a column of this value only is not printed
    """

    key: str
    label: str
    unit: str = ""
    decimals: int = MAX_DECIMALS
    fixed: float | None = None


_RESPONSES = Shown("responses", "responses", decimals=0)
LAYOUTS: dict[str, tuple[Shown, ...]] = {
    "bkt": (
        Shown("skill", "skill"),
        *(Shown(name, name) for name in ("p_init", "p_learn", "p_guess", "p_slip")),
        Shown("p_forget", "p_forget", fixed=0),
        _RESPONSES,
    ),
    "irt": (
        Shown("item", "item"),
        Shown("a", "a", "1/logit", fixed=1),
        Shown("b", "b", "logits"),
        Shown("c", "c", fixed=0),
        _RESPONSES,
    ),
    "dkt": (Shown("skill", "skill"), Shown("first", "P(first correct)"), _RESPONSES),
    "pfa": (
        Shown("skill", "skill"),
        *(Shown(name, label, "logits") for name, label in (("intercept", "intercept"), ("win", "per win"))),
        Shown("failure", "per failure", "logits"),
        _RESPONSES,
    ),
    "best-lr": (
        Shown("name", "coefficients of"),
        *(Shown(name, name, "logits", 2) for name in ("intercept", "wins", "attempts")),
    ),
    "hlr": (
        Shown("name", "weight of"),
        Shown("estimate", "estimate", "log2 days"),
        Shown("prior", "first recall"),
        _RESPONSES,
    ),
    "skill-mean": (
        Shown("skill", "skill"),
        Shown("share", "share correct"),
        Shown("mean", "smoothed"),
        _RESPONSES,
    ),
}
"""Printed columns of each model; `Fit.table` has more."""


def print_estimates(model: str, rows: Sequence[Row]) -> None:
    """Print the first rows of the estimates, and the number of the other rows."""
    shown = [_with_name(row) for row in rows[:SHOWN_ROWS]]
    name, *numbers = (column for column in LAYOUTS[model] if not _is_fixed(column, rows))
    texts = [str(row[name.key]) for row in shown]
    marks = [" *" if row.get("identified") == "no" else "" for row in shown]
    for digits in (2, 1):
        columns = [[column.label, column.unit, *_cells(column, shown, digits)] for column in numbers]
        width = WIDTH - sum(2 + max(map(len, column)) for column in columns)
        if width >= MIN_NAME_WIDTH:
            break
    width = max(width, MIN_NAME_WIDTH)
    names = [shortened(text, width - len(mark)) + mark for text, mark in zip(texts, marks, strict=True)]
    lines = [*zip([name.label, "", *names], *columns, strict=True)]
    print_table(lines[0], filter(any, lines[1:]))
    if any(marks):
        print("*: not identified: the responses do not determine these parameters")
    if any("±" in cell for line in lines for cell in line):
        print("±: standard error")
    if len(rows) > len(shown):
        print(f"… and {len(rows) - len(shown):,} more; --table FILE writes all")


def _with_name(row: Row) -> Row:
    """Return a row with a name: those of Best-LR name a kind and, unless it is "all", a skill or an item."""
    return {**row, "name": f"{row['of']} {row['name']}".strip()} if "of" in row else row


def full_table(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """Return the columns of all estimates; None for a missing number."""
    names = list(rows[0]) if rows else []
    numeric = {name for name in names if any(isinstance(row[name], int | float) for row in rows)}
    return {name: [_value(row[name]) if name in numeric else row[name] for row in rows] for name in names}


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the number of rows, and for each column of numbers its n, mean, minimum and maximum, as JSON values."""
    columns = {}
    for name, values in full_table(rows).items():
        numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
        if numbers:
            mean = math.fsum(numbers) / len(numbers)
            columns[name] = {"n": len(numbers), "mean": mean, "min": min(numbers), "max": max(numbers)}
    return {"rows": len(rows), "columns": columns}


def _is_fixed(column: Shown, rows: Sequence[Row]) -> bool:
    """Return whether a column holds only the value that the model does not estimate."""
    values = {_value(row[column.key]) for row in rows}
    errors = any(_value(row.get(f"se_{column.key}")) is not None for row in rows)
    return column.fixed is not None and not errors and values <= {column.fixed, None}


def _cells(column: Shown, rows: Sequence[Row], digits: int) -> list[str]:
    """Return the texts of a column of numbers. The smallest standard error has this many significant digits."""
    errors = [_value(row.get(f"se_{column.key}")) for row in rows]
    known = [error for error in errors if error]
    places = min(MAX_DECIMALS, max(1, decimals(min(known), digits))) if known else column.decimals
    numbers = [fixed_point(_value(row[column.key]), places) for row in rows]
    bounds = ["" if error is None else f"±{error:,.{places}f}" for error in errors]
    width = max(map(len, bounds), default=0)
    return [number + bound.ljust(width) for number, bound in zip(numbers, bounds, strict=True)]


def _value(value: Any) -> Any:
    """Return a value; None for a missing number, which fits hold as NaN or as an empty text."""
    missing = value is None or value == "" or (isinstance(value, float) and math.isnan(value))
    return None if missing else value


def write_estimates(rows: Sequence[Row], file: Path) -> None:
    """Write all estimates as .csv or .parquet."""
    from alsim.models.io import write_table

    write_table(full_table(rows), file)
