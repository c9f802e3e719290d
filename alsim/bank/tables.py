"""Reading a table of items, text or Parquet: every error names file, row, column, value and what was expected."""

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
    """The cells of a file as text; columns go by our names, errors show the file's."""

    path: Path
    places: list[str]  # of each row: "line 2" of a text, "row 1" of Parquet
    columns: dict[str, list[str]]  # by our name
    titles: Mapping[str, str]  # the file's name for each of ours
    header: list[str]  # the file's own names, in its order

    @property
    def others(self) -> list[str]:
        """Columns of the file that are none of ours."""
        return [title for title in self.header if title not in self.titles.values()]

    def require(self, names: Collection[str], hint: str = "") -> None:
        """Refuse a table that lacks a column."""
        if missing := [self.titles.get(name, name) for name in names if name not in self.columns]:
            held = ", ".join(self.header)
            raise BankError(f"{self.path}: there is no column {', '.join(missing)}; the columns are {held}{hint}")

    def fault(self, column: str, row: int, expected: str) -> BankError:
        """Return the error of one cell."""
        cell = self.columns[column][row]
        value = reprlib.repr(cell) if cell else "an empty cell"
        return BankError(f"{self.path}, {self.places[row]}, column {self.titles[column]}: {value}; expected {expected}")

    def labels(self, column: str) -> list[str]:
        """Return a column of words, none of them empty."""
        cells = self.columns[column]
        if "" in cells:
            raise self.fault(column, cells.index(""), "a name")
        return cells

    def ids(self, column: str = "id") -> tuple[str, ...]:
        """Return a column of names, all different."""
        first: dict[str, int] = {}
        for row, cell in enumerate(self.labels(column)):
            if first.setdefault(cell, row) != row:
                raise self.fault(column, row, f"an id of its own; {self.places[first[cell]]} has the same")
        return tuple(first)

    def codes(self, column: str, words: tuple[str, ...]) -> Codes:
        """Return the index of each cell among `words`, written in any case."""
        index = {word.lower(): code for code, word in enumerate(words)}
        codes = [index.get(cell.lower(), -1) for cell in self.columns[column]]
        if -1 in codes:
            raise self.fault(column, codes.index(-1), f"one of {', '.join(words)}")
        return np.array(codes, i8)

    def numbers(self, column: str, bound: str | None = None) -> Floats:
        """Return a column of numbers as float32, checked as float32, by the bounds of `column` or of another."""
        expected, holds = BOUNDS[bound or column]
        values = np.array([_number(cell) for cell in self.columns[column]], f64)
        with np.errstate(over="ignore"):  # too large for float32 is infinite, which is refused
            single = values.astype(f32)
        bad = ~(np.isfinite(single) & holds(single))
        if bad.any():
            raise self.fault(column, int(bad.argmax()), expected)
        return single


def _number(cell: str) -> float:
    """Return the number that a cell holds, NaN if none."""
    try:
        return float("nan" if "_" in cell else cell)
    except ValueError:
        return float("nan")


def read_table(path: Path, titles: Mapping[str, str]) -> Table:
    """Read a text or, by its suffix, a Parquet file.

    titles  the file's name for each of our columns; those it has not are left out

    Text is UTF-8, with or without byte order mark, its first line the header. The delimiter is the one
    of tab, comma, semicolon, pipe and white space that finds the most of `titles` in the header.
    """
    parquet = path.suffix.lower() in PARQUET_SUFFIXES
    try:
        header, rows, places = _read_parquet(path) if parquet else _read_text(path, set(titles.values()))
    except OSError as error:
        raise BankError(f"{path}: cannot be read: {error.strerror or error}") from None
    if repeated := {name for name in header if name and header.count(name) > 1}:
        raise BankError(f"{path}: more than one column is named {', '.join(sorted(repeated))}")
    if not rows:
        raise BankError(f"{path}: there is no row below the header")
    cells = dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))
    return Table(
        path=path,
        places=places,
        columns={ours: cells[title] for ours, title in titles.items() if title in cells},
        titles=titles,
        header=header,
    )


def _read_text(path: Path, known: set[str]) -> tuple[list[str], list[list[str]], list[str]]:
    """Return header, rows, and where each row is."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BankError(f"{path}: byte {error.start} is no UTF-8; expected a text file in UTF-8") from None
    if not text.strip():
        raise BankError(f"{path}: the file is empty; expected a header and a row for each item")
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
    """Return the delimiter that finds most of the `known` names in the header; of equals, the first that splits it."""

    def found(delimiter: str) -> tuple[int, bool]:
        _, header = next(_records(path, text, delimiter, strict=False), (1, []))
        return len(known.intersection(header)), len(header) > 1

    return max(DELIMITERS, key=found)


def _records(path: Path, text: str, delimiter: str, strict: bool) -> Iterator[tuple[int, list[str]]]:
    """Yield the line on which each record begins, and its cells; `strict` refuses broken quoting."""
    lines: Iterator[str] = iter(io.StringIO(text, newline=""))
    if delimiter == WHITESPACE:
        # Runs of white space outside quotes become one; csv's skipinitialspace admits no other kind than the blank.
        runs = re.compile(r'("(?:[^"]|"")*")|[ \t]+')
        lines = (runs.sub(lambda run: run[1] or " ", line.strip()) for line in lines)
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=delimiter != WHITESPACE, strict=strict)
    begins = 1
    try:
        for record in reader:
            cells = [cell.strip() for cell in record]
            if any(cells) or len(cells) > 1:
                yield begins, cells
            begins = reader.line_num + 1
    except csv.Error as error:
        raise BankError(f"{path}, line {begins}: this is no row of a table: {error}") from None


def _read_parquet(path: Path) -> tuple[list[str], list[list[str]], list[str]]:
    """Return header, rows, and where each row is."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as file, pq.ParquetFile(file, page_checksum_verification=True) as parquet:
            table = parquet.read()
        columns = [[_text(value) for value in column.to_pylist()] for column in table.columns]
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise BankError(f"{path}: expected a whole Parquet file; {error}") from None
    rows = list(map(list, zip(*columns, strict=True)))
    return table.column_names, rows, [f"row {k}" for k in range(1, len(rows) + 1)]


def _text(value: Any) -> str:
    """Return a value as a CSV file would hold it: the shortest text that reads back the same, nothing for null."""
    return "" if value is None else str(value).strip()
