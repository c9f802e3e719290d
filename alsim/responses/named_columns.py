"""Columns of a user's table by their names: of a mapping, a data frame, or a file as response logs are read from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alsim.responses import cells
from alsim.responses.compressed import decompressed
from alsim.responses.layout import check_cells
from alsim.responses.reading import is_binary, reading_file
from alsim.responses.report import ResponsesError
from alsim.responses.tables import TABLE, column_names
from alsim.responses.text import (
    TextFile,
    check_text,
    detect_encoding,
    read_columns,
    with_delimiter,
    without_separator_line,
)
from alsim.types import Doubles, Longs

if TYPE_CHECKING:
    import pyarrow as pa

Choose = Callable[[Sequence[str], str], Iterable[str]]
"""Function of the names of all columns and the name of the table, which returns the names of the columns to read."""
INTEGER = r"^(?:0|-?[1-9][0-9]{0,17})$"
"""Texts that are integers, without leading zeros, of which 07 and 7 would be two names of one number."""


class FileOptions(NamedTuple):
    """Options of text files, see `alsim.responses.reading.read_responses`."""

    delimiter: str | None = None
    encoding: str | None = None
    skip_lines: int = 0
    quoting: bool = True


class Ranked(NamedTuple):
    """A column of R names as numbers that do not depend on the order of the rows.

    codes  (R,) indices into `names`; -1 for a missing name
    names  (U,) distinct names in ascending order: of integers if all names are, or else of texts
    """

    codes: Longs
    names: NDArray[Any]


class NamedColumns:
    """Some columns of a table.

    source        name of the table, for messages
    columns       the columns, by their names in the table
    describe_row  function that returns the description of a row, given its index
    """

    def __init__(self, source: str, columns: dict[str, pa.ChunkedArray], describe_row: Callable[[int], str]) -> None:
        self.source, self._columns, self.describe_row = source, columns, describe_row
        self.num_rows = len(next(iter(columns.values()), ()))
        for name, column in columns.items():
            if len(column) != self.num_rows:
                raise ResponsesError(
                    f"{source}: the column {name!r} has {len(column):,} rows, and {next(iter(columns))!r} has "
                    f"{self.num_rows:,}",
                    "pass columns of one length",
                )

    def numbers(self, name: str) -> Doubles:
        """Return the numbers of a column, (R,); NaN for other cells. Booleans are 0 and 1."""
        import pyarrow as pa

        column = self._columns[name]
        return cells.parse_numbers(column.cast(pa.int8()) if pa.types.is_boolean(column.type) else column)

    def numbers_or_booleans(self, name: str) -> Doubles:
        """Return the numbers of a column, (R,), and 1 and 0 for the texts true and false; NaN for other cells."""
        values = self.numbers(name)
        if not np.isnan(values).any():
            return values
        answers = cells.parse_answers(self._columns[name])
        return np.where(np.isnan(values) & (answers >= 0), answers, values)

    def order(self, name: str) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return numbers that sort as the numbers or times of a column do, (R,), and which cells are neither, (R,)."""
        return cells.parse_order(self._columns[name])

    def times(self, name: str) -> tuple[Doubles, bool]:
        """Return the times of a column in seconds, (R,), NaN for other cells; and False if they are plain numbers."""
        column = self._columns[name]
        return cells.parse_times(column), cells.are_times(column)

    def ranked(self, name: str) -> Ranked:
        """Return the codes of a column of names. A whole number is the same name as 10, 10.0 and "10.0"."""
        column = _as_integers(self._columns[name])
        if isinstance(column, np.ndarray):
            names, codes = np.unique(column, return_inverse=True)
            return Ranked(codes.astype(np.int64), names)
        try:
            coded = cells.encode(column)
        except cells.InvalidName as error:
            raise ResponsesError(f"{self.source}, column {name}: {error}") from None
        rank = np.empty(len(coded.names) + 1, np.int64)
        order = np.argsort(coded.names, kind="stable")
        rank[order], rank[-1] = np.arange(len(order)), -1
        return Ranked(rank[coded.codes], coded.names[order])

    def cell(self, name: str, row: int) -> Any:
        """Return the value of a cell, for messages; None for a missing one."""
        value = self._columns[name][row].as_py()
        return None if isinstance(value, str) and value.strip() in cells.MISSING_TEXTS else value


def read_named_columns(table: Any, choose: Choose, options: FileOptions | None = None) -> NamedColumns:
    """Read some columns of a table.

    table    mapping of names to columns, table of Arrow, pandas or polars, structured array, or path of a text file
             with a header, or of a Parquet (.parquet, .pq) or Arrow file (.arrow, .feather, .ipc)
    choose   function of the names of all columns and of the name of the table, which returns those to read
    options  options of a text file

    Raises ResponsesError for a file that cannot be read, and for a table without columns.
    """
    if isinstance(table, str | Path):
        path = Path(table)
        with reading_file(path):
            if path.is_dir():
                raise ResponsesError(f"{path} is a directory; expected a file", "choose a table in it")
            return _read_binary(path, choose) if is_binary(path) else _read_text(path, choose, options or FileOptions())
    table = cells.collected(table)
    wanted = _distinct(choose(_checked(column_names(table), TABLE), TABLE))
    columns = {name: cells.as_arrow(table[name], f"{TABLE}, column {name}") for name in wanted}
    return NamedColumns(TABLE, columns, "row {} (counted from 0)".format)


def _read_binary(path: Path, choose: Choose) -> NamedColumns:
    """Read columns of a Parquet or Arrow file."""
    from alsim.utils.arrow import TableFile

    with TableFile(path) as file:
        wanted = _distinct(choose(_checked(file.names, str(path)), str(path)))
        table = file.read(wanted)
    columns = {name: cells.as_arrow(table[name], f"{path}, column {name}") for name in wanted}
    return NamedColumns(str(path), columns, lambda row: f"row {row + 1}")


def _read_text(path: Path, choose: Choose, options: FileOptions) -> NamedColumns:
    """Read columns of a text file."""
    with decompressed(path) as data:
        check_text(path, options.encoding, data)
        encoding = options.encoding or detect_encoding(data or path)
        file = TextFile(path, encoding, options.delimiter, options.skip_lines, quoting=options.quoting, data=data)
        try:
            file = with_delimiter(without_separator_line(file), set())
            check_cells(file)
            header = file.first_cells()
            wanted = _distinct(choose(_checked(header, str(path)), str(path)))
            table = read_columns(file, header, sorted(map(header.index, wanted)), len(header), skip_bad=False)
        except ResponsesError as error:
            if "skip_bad" in error.options:  # an episode without one of its steps would be another one
                raise ResponsesError(error.problem, "correct the row") from None
            if "the file is empty" in error.problem:
                raise ResponsesError(f"{path}: the file is empty", "choose another file") from None
            raise
        return NamedColumns(str(path), dict(table.columns), _described(table.source.describe_row, data is None))


def _described(describe: Callable[[int], str], is_file: bool) -> Callable[[int], str]:
    """Return the description of rows by lines; by numbers if the decompressed copy of a file is deleted."""
    return describe if is_file else lambda row: f"row {row + 1}"


def _as_integers(column: pa.ChunkedArray) -> Any:
    """Return a column of names as an array of integers if all of its cells are integers, or else the column.

    Lists and other nested cells become texts.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_nested(column.type):
        return pa.chunked_array([pa.array([None if cell is None else str(cell) for cell in column.to_pylist()])])
    if pa.types.is_float16(column.type):
        return column.cast(pa.float32())
    if column.null_count or len(column) == 0:
        return column
    if cells.is_text(column):
        texts = pc.utf8_trim_whitespace(column)
        if not pc.all(pc.match_substring_regex(texts, INTEGER)).as_py():
            return column
        column = texts.cast(pa.int64())
    if not pa.types.is_integer(column.type):
        return column
    return column.to_numpy()


def _checked(names: Sequence[str], source: str) -> Sequence[str]:
    """Return the names of columns that are texts. Raises ResponsesError if there are none, or for a repeated name."""
    names = [name for name in names if isinstance(name, str)]
    if not names:
        raise ResponsesError(f"{source}: has no columns with names", "pass a table with one row per step")
    if repeated := [name for k, name in enumerate(names) if name in names[:k]]:
        raise ResponsesError(f"{source}: more than one column is named {repeated[0]!r}", "rename all but one")
    return names


def _distinct(names: Iterable[str]) -> list[str]:
    """Return names, each once."""
    return list(dict.fromkeys(names))


__all__ = ["FileOptions", "NamedColumns", "Ranked", "read_named_columns"]
