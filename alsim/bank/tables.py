"""Reader of tables of items in text or Parquet files. Errors name file, row, column, value and the expected value."""

from __future__ import annotations

import csv
import io
import re
import reprlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from alsim.bank.items import BOUNDS, BankError
from alsim.types import Codes, Floats, f32, f64, i8

WHITESPACE = " "
DELIMITERS = ("\t", ",", ";", "|", WHITESPACE)
PARQUET_SUFFIXES = (".parquet", ".pq")


@dataclass(frozen=True)
class Table:
    """The cells of a file as text. Columns are accessed by alsim's names, and errors show those of the file."""

    path: Path
    places: list[str]  # place of each row: "line 2" of a text file, "row 1" of a Parquet file
    columns: dict[str, list[str]]  # cells by alsim's name of the column
    titles: Mapping[str, str]  # name in the file by alsim's name
    header: list[str]  # names in the file, in its order

    @property
    def unknown(self) -> list[str]:
        """Columns of the file that alsim does not know."""
        return [title for title in self.header if title not in self.titles.values()]

    def require(self, names: Collection[str], hint: str = "") -> None:
        """Raise BankError, whose message ends with `hint`, if the table lacks any of the columns."""
        if missing := [self.titles.get(name, name) for name in names if name not in self.columns]:
            header = ", ".join(self.header)
            raise BankError(f"{self.path}: there is no column {', '.join(missing)}; the columns are {header}{hint}")

    def fault(self, column: str, row: int, expected: str) -> BankError:
        """Return the error for an invalid cell."""
        cell = self.columns[column][row]
        value = reprlib.repr(cell) if cell else "an empty cell"
        return BankError(f"{self.path}, {self.places[row]}, column {self.titles[column]}: {value}; expected {expected}")

    def labels(self, column: str) -> list[str]:
        """Return a column of names. Raises BankError for an empty cell."""
        cells = self.columns[column]
        if "" in cells:
            raise self.fault(column, cells.index(""), "a name")
        return cells

    def ids(self, column: str = "id") -> tuple[str, ...]:
        """Return a column of unique names. Raises BankError for a duplicate or an empty cell."""
        first: dict[str, int] = {}
        for row, cell in enumerate(self.labels(column)):
            if first.setdefault(cell, row) != row:
                raise self.fault(column, row, f"a unique id; {self.places[first[cell]]} has the same")
        return tuple(first)

    def codes(self, column: str, words: tuple[str, ...]) -> Codes:
        """Return the index of each cell in `words`, ignoring case. Raises BankError for another word."""
        index = {word.lower(): code for code, word in enumerate(words)}
        codes = [index.get(cell.lower(), -1) for cell in self.columns[column]]
        if -1 in codes:
            raise self.fault(column, codes.index(-1), f"one of {', '.join(words)}")
        return np.array(codes, i8)

    def numbers(self, column: str, bound: str | None = None) -> Floats:
        """Return a column of numbers as float32. Raises BankError for values outside the bounds.

        column  name of the column
        bound   name of the column whose bounds apply; by default the column itself
        """
        expected, is_within = BOUNDS[bound or column]
        values = np.array([_number(cell) for cell in self.columns[column]], f64)
        with np.errstate(over="ignore"):  # values too large for float32 become infinite, and are rejected
            single = values.astype(f32)
        invalid = ~(np.isfinite(single) & is_within(single))
        if invalid.any():
            raise self.fault(column, int(invalid.argmax()), expected)
        return single


def _number(cell: str) -> float:
    """Return the number in a cell, NaN for other text."""
    try:
        return float("nan" if "_" in cell else cell)
    except ValueError:
        return float("nan")


def read_table(path: Path, titles: Mapping[str, str]) -> Table:
    """Read a text file, or a Parquet file if the suffix is .parquet or .pq.

    path    file to read
    titles  name in the file by alsim's name; columns that the file lacks are left out

    A text file is UTF-8, with or without byte order mark, and its first line is the header. The delimiter is tab,
    comma, semicolon, pipe or white space: the one that finds most of the `titles` in the header.

    Raises BankError for a file that cannot be read or that is not a table.
    """
    parquet = path.suffix.lower() in PARQUET_SUFFIXES
    try:
        header, rows, places = _read_parquet(path) if parquet else _read_text(path, set(titles.values()))
    except OSError as error:
        raise BankError(f"{path}: cannot be read: {error.strerror or error}") from None
    if repeated := {name for name in header if name and header.count(name) > 1}:
        raise BankError(f"{path}: more than one column is named {', '.join(sorted(repeated))}")
    if not rows:
        raise BankError(f"{path}: there is no row below the header; expected one row per item")
    cells = dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))
    return Table(
        path=path,
        places=places,
        columns={ours: cells[title] for ours, title in titles.items() if title in cells},
        titles=titles,
        header=header,
    )


def _read_text(path: Path, known: set[str]) -> tuple[list[str], list[list[str]], list[str]]:
    """Return the header, the rows, and the place of each row."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BankError(f"{path}: byte {error.start} is not UTF-8; expected a text file in UTF-8") from None
    if not text.strip():
        raise BankError(f"{path}: the file is empty; expected a header and one row per item")
    header, rows, places = None, [], []
    for line, cells in _records(path, text, _delimiter(path, text, known), strict=True):
        if header is None:
            header = cells
            continue
        if len(cells) != len(header):
            raise BankError(f"{path}, line {line}: {len(cells)} cells; expected {len(header)}, as in the header")
        rows.append(cells)
        places.append(f"line {line}")
    return header or [], rows, places


def _delimiter(path: Path, text: str, known: set[str]) -> str:
    """Return the delimiter that finds most of the `known` names in the header; in a tie, one that splits it."""

    def num_known(delimiter: str) -> tuple[int, bool]:
        _, header = next(_records(path, text, delimiter, strict=False), (1, []))
        return len(known.intersection(header)), len(header) > 1

    return max(DELIMITERS, key=num_known)


def _records(path: Path, text: str, delimiter: str, strict: bool) -> Iterator[tuple[int, list[str]]]:
    """Yield the first line and the cells of each record; if `strict`, invalid quoting raises BankError."""
    lines: Iterator[str] = iter(io.StringIO(text, newline=""))
    if delimiter == WHITESPACE:
        # Runs of white space outside quotes become one space, because csv's skipinitialspace does not skip tabs.
        runs = re.compile(r'("(?:[^"]|"")*")|[ \t]+')
        lines = (runs.sub(lambda run: run[1] or " ", line.strip()) for line in lines)
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=delimiter != WHITESPACE, strict=strict)
    first_line = 1
    try:
        for record in reader:
            cells = [cell.strip() for cell in record]
            if any(cells) or len(cells) > 1:
                yield first_line, cells
            first_line = reader.line_num + 1
    except csv.Error as error:
        raise BankError(f"{path}, line {first_line}: the row is invalid: {error}") from None


def _read_parquet(path: Path) -> tuple[list[str], list[list[str]], list[str]]:
    """Return the header, the rows, and the place of each row."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as file, pq.ParquetFile(file, page_checksum_verification=True) as parquet:
            table = parquet.read()
        columns = [[_text(value) for value in column.to_pylist()] for column in table.columns]
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise BankError(f"{path}: expected a complete Parquet file; {error}") from None
    rows = list(map(list, zip(*columns, strict=True)))
    return table.column_names, rows, [f"row {k}" for k in range(1, len(rows) + 1)]


def _text(value: Any) -> str:
    """Return a value as text in a CSV file: the shortest text that reads back to the value, empty for null."""
    return "" if value is None else str(value).strip()
