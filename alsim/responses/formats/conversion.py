"""Conversion of the columns of a published log to those of a response log."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from alsim.responses import cells
from alsim.responses.building import build
from alsim.responses.fields import LogFields
from alsim.responses.formats.base import SEPARATOR, Request
from alsim.responses.report import ResponsesError
from alsim.responses.source import Options
from alsim.responses.tables import list_columns, similar_names
from alsim.responses.text import Table
from alsim.types import Bools

if TYPE_CHECKING:
    import pyarrow as pa

REQUIRED = ("student", "skill", "correct", "order")
"""Columns without which a file is not in a format that has them."""


class Derived(NamedTuple):
    """A column that is computed from columns of a file.

    names    names of the columns in the file; an error names the last one
    compute  returns the column, given those of the file
    """

    names: tuple[str, ...]
    compute: Callable[..., pa.ChunkedArray]


class Drop(NamedTuple):
    """Rows that are not read.

    reason  reason, for the report
    column  name of a column in the file
    test    returns (R,) which rows are dropped, given the column
    """

    reason: str
    column: str
    test: Callable[[pa.ChunkedArray], Bools]


@dataclass(frozen=True)
class Layout:
    """The columns of a published log.

    columns     names in the file, or derived columns, by alsim's names
    drops       rows that are not read; a row counts by the first reason that applies
    units       units per second of `time` and `seconds`
    separator   separator between the skills of one response; None for no separator
    recognised  columns that were chosen among several, by alsim's names
    """

    columns: Mapping[str, str | Derived]
    drops: Sequence[Drop] = ()
    units: Mapping[str, float] = field(default_factory=dict)
    separator: str | None = None
    recognised: Mapping[str, str] = field(default_factory=dict)

    def names(self, column: str) -> tuple[str, ...]:
        """Return the names in the file of a column of alsim."""
        source = self.columns[column]
        return (source,) if isinstance(source, str) else source.names

    def missing(self, available: Sequence[str]) -> list[str]:
        """Return the required names that a file does not have."""
        required = [name for column in REQUIRED if column in self.columns for name in self.names(column)]
        return [name for name in dict.fromkeys(required) if name not in available]

    def within(self, available: Sequence[str]) -> Layout:
        """Return the layout of a file that lacks optional columns."""
        found = [column for column in self.columns if all(name in available for name in self.names(column))]
        drops = [drop for drop in self.drops if drop.column in available]
        return replace(self, columns={column: self.columns[column] for column in found}, drops=drops)

    def wanted(self) -> list[str]:
        """Return the names of all columns in the file that the layout uses."""
        names = [name for column in self.columns for name in self.names(column)]
        return list(dict.fromkeys([*names, *(drop.column for drop in self.drops)]))


def map_layout(layout: Layout, request: Request, available: Sequence[str], name: str) -> Layout:
    """Return the layout with the skill or item that the argument `columns` names. Raises ResponsesError."""
    for column, title in request.columns.items():
        if column not in ("skill", "item") or (column == "skill" and title is None):
            raise ResponsesError(
                f"{request.path}: the format {name} determines the columns, except the skill and the item; "
                f"got {column!r} in columns",
                "remove it, or read the log with {}",
                format="long",
            )
        if title is not None and title not in available:
            similar = similar_names(title, available)
            problem = f"{request.path}: there is no column {title!r} for {column}; {list_columns(available)}"
            raise ResponsesError(problem, "name an existing column with {}", columns={column: (similar or ["NAME"])[0]})
    kept = {column: source for column, source in layout.columns.items() if column not in request.columns}
    mapped = {column: title for column, title in request.columns.items() if title is not None}
    skill, recognised = mapped.get("skill"), layout.recognised
    drops = list(layout.drops)
    if skill is not None:
        drops = [drop._replace(column=skill) if drop.column in layout.names("skill") else drop for drop in drops]
        recognised = {}
    return replace(layout, columns={**kept, **mapped}, drops=drops, recognised=recognised)


def build_layout(table: Table, layout: Layout, request: Request, name: str) -> LogFields:
    """Build a log from the columns of a published log, given by their names in the file.

    name  name of the format
    """
    table = _without_dropped(table, layout.drops)
    columns = {column: _column(table, source) for column, source in layout.columns.items()}
    titles = {column: layout.names(column)[-1] for column in layout.columns}
    source = replace(
        table.source, column_names=titles, recognised=layout.recognised, units=layout.units, published=name
    )
    if not len(columns["correct"]) and source.dropped:
        raise source.no_valid_row()
    separator = layout.separator if request.separator == SEPARATOR else request.separator
    return build(columns, source, Options(separator, request.duplicates, request.skip_bad))


def find_key(folder: Path, name: str) -> Path | None:
    """Return the key with a usual name in a directory; None if there is none.

    Raises ResponsesError for a link that leads out of the directory: the user did not name the file that it leads to.
    """
    key = folder / name
    if not key.is_file():
        return None
    if not key.resolve().is_relative_to(folder.resolve()):
        problem = f"{key}: is a symbolic link that leads out of its directory"
        raise ResponsesError(problem, "name the file with {}", key=str(key.resolve()))
    return key


def no_skill(column: str, *values: str) -> Drop:
    """Return the rule that drops rows without a skill, or with one of the values that mean none."""
    return Drop("no skill", column, lambda cells_: cells.is_missing(cells_, values))


def equals(number: float) -> Callable[[pa.ChunkedArray], Bools]:
    """Return a test of the cells that are a number."""
    return lambda column: cells.parse_numbers(column) == number


def is_partial(column: pa.ChunkedArray) -> Bools:
    """Return (R,) which cells are numbers between 0 and 1, exclusive."""
    numbers = cells.parse_numbers(column)
    return (numbers > 0) & (numbers < 1)


PARTIAL_CREDIT = Drop("correct is between 0 and 1 (partial credit)", "correct", is_partial)


def _column(table: Table, source: str | Derived) -> pa.ChunkedArray:
    """Return a column of alsim."""
    if isinstance(source, str):
        return table.columns[source]
    return source.compute(*(table.columns[name] for name in source.names))


def _without_dropped(table: Table, drops: Sequence[Drop]) -> Table:
    """Return the table without the rows that the rules drop, and the source with their numbers."""
    import pyarrow as pa

    source, length = table.source, len(next(iter(table.columns.values())))
    kept = np.ones(length, np.bool_)
    dropped, examples = dict(source.dropped), dict(source.examples)
    for reason, column, test in drops:
        chosen = test(table.columns[column]) & kept
        if chosen.any():
            row = int(chosen.argmax())
            value: Any = table.columns[column][row].as_py()
            place = source.describe_row(source.index(row))
            examples[reason] = f"{source.name}, {place}, column {column}: {value or 'an empty cell'}"
            dropped[reason] = int(chosen.sum())
            kept &= ~chosen
    if kept.all():
        return table
    rows = np.flatnonzero(kept) if source.rows is None else source.rows[kept]
    columns = {name: column.filter(pa.array(kept)) for name, column in table.columns.items()}
    return Table(columns, replace(source, rows=rows, dropped=dropped, examples=examples))
