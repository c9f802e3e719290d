"""Reader of small tables in text or Parquet files: every cell as text, with its place for messages."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from alsim.errors import AlsimError
from alsim.utils.reading import MAX_TABLE, missing_file_cure, read_bytes, reason

WHITESPACE = " "
TITLE_LINES = 10
"""Number of first lines among which a title above the header is noticed."""
DELIMITERS = ("\t", ",", ";", "|", WHITESPACE)
PARQUET_SUFFIXES = (".parquet", ".pq")
MAX_CELLS = 10**7
"""Largest number of cells of a Parquet file."""
SPREADSHEETS = {b"PK\x03\x04": "a spreadsheet or another zip archive", b"\xd0\xcf\x11\xe0": "an old Excel file"}
"""First bytes of files that are often passed instead of CSV: .xlsx and .ods, and .xls."""


class Cells(NamedTuple):
    """The cells of a table as text."""

    path: Path
    header: list[str]  # names of the columns
    rows: list[list[str]]
    places: list[str]  # place of each row, for messages: "line 2" of a text file, "row 1" of a Parquet file

    def column(self, title: str) -> list[str]:
        """Return the cells of a column."""
        k = self.header.index(title)
        return [row[k] for row in self.rows]


def normalized(title: str) -> str:
    """Return a column name in lower case, with _ for every run of other characters than letters and digits."""
    return re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")


def number(cell: str) -> float:
    """Return the number in a cell, NaN for other text."""
    try:
        return float("nan" if "_" in cell else cell)
    except ValueError:
        return float("nan")


def read_cells(path: Path, known: Collection[str], encoding: str | None = None, *, inside: Path | None = None) -> Cells:
    """Read a text file, or a Parquet file if the suffix is .parquet or .pq.

    path      file to read
    known     names of columns that the header may contain, from which the delimiter is detected; see `normalized`
    inside    see `alsim.utils.reading.open_file`

    encoding  encoding of a text file. Default: that of the byte order mark, or UTF-8

    The first line of a text file is the header, after Excel's line sep=; if any. The delimiter is tab,
    comma, semicolon, pipe or white space: the one that finds most of the `known` names in the header. If every row has
    one cell more than the header, the first column holds row names, as R writes them, and its name is empty.

    Raises AlsimError for a file that cannot be read or that is not a table.
    """
    parquet = path.suffix.lower() in PARQUET_SUFFIXES
    try:
        if parquet:
            cells = _read_parquet(path, inside)
        else:
            cells = _read_text(path, {*map(normalized, known)}, encoding, inside)
    except FileNotFoundError:
        raise AlsimError(f"{path}: there is no such file; {missing_file_cure(path)}") from None
    except OSError as error:
        raise AlsimError(f"{path}: cannot be read: {reason(error)}; choose a readable file") from None
    names = [name for name in cells.header if name and math.isnan(number(name))]  # a first line of numbers has no names
    if repeated := {name for name in names if names.count(name) > 1}:
        raise AlsimError(f"{path}: more than one column is named {', '.join(sorted(repeated))}")
    return cells


def _read_text(path: Path, known: set[str], encoding: str | None, inside: Path | None) -> Cells:
    """Return the cells of a text file."""
    content = read_bytes(path, MAX_TABLE, inside=inside)
    if content[:4] in SPREADSHEETS:
        raise AlsimError(f"{path} is {SPREADSHEETS[content[:4]]}; save the sheet as CSV (UTF-8) and pass that file")
    text = _decoded(path, content, encoding)
    if not text.strip():
        raise AlsimError(f"{path}: the file is empty; expected a header and one row per item")
    if re.match(r'"?sep=."?\r?\n', text, re.IGNORECASE):
        text = text[text.index("\n") :]  # the empty line keeps the numbers of the others
    _check_title(path, text)
    lines = list(_records(path, text, _delimiter(path, text, known), strict=True))
    header, rows = lines[0][1] if lines else [], [cells for _, cells in lines[1:]]
    places = [f"line {line}" for line, _ in lines[1:]]
    if rows and {len(cells) for cells in rows} == {len(header) + 1}:
        if any(cells[-1] for cells in rows):
            header = ["", *header]
        else:  # every row ends with a delimiter
            rows = [cells[:-1] for cells in rows]
    for place, cells in zip(places, rows, strict=True):
        if len(cells) != len(header):
            raise AlsimError(f"{path}, {place}: {len(cells)} cells; expected {len(header)}, as in the header")
    return Cells(path, header, rows, places)


def _decoded(path: Path, content: bytes, encoding: str | None) -> str:
    """Return the text of a file. Raises AlsimError for another or an unknown encoding."""
    if encoding is None:
        encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeError as error:
        name = "UTF-8" if encoding == "utf-8-sig" else encoding
        raise AlsimError(
            f"{path}: byte {getattr(error, 'start', 0)} is not {name}; expected a text file in UTF-8: save it in that "
            "encoding, or pass its own, such as encoding='latin-1' (--encoding latin-1)"
        ) from None
    except LookupError:
        raise AlsimError(f"{path}: the encoding {encoding!r} is unknown; pass a known one, such as latin-1") from None


def _check_title(path: Path, text: str) -> None:
    """Raise AlsimError if the first line is a title or a comment above the names of the columns."""
    lines = [line.strip() for line in text.split("\n", TITLE_LINES)[:TITLE_LINES]]
    sizes = [max(sum(map(bool, line.split(delimiter))) for delimiter in "\t,;|") if line else 0 for line in lines]
    first = next(k for k, line in enumerate([*lines, "-"]) if line)
    if first == len(lines):
        return
    is_comment = lines[first].startswith("#") and sizes[first] < max(sizes)
    if is_comment or (sizes[first] == 1 and max(sizes) > 2):
        raise AlsimError(
            f"{path}: the first line, {lines[first]!r:.80}, is no header of the columns below; expected their names in "
            f"the first line: remove the lines above line {sizes.index(max(sizes)) + 1}"
        )


def _delimiter(path: Path, text: str, known: set[str]) -> str:
    """Return the delimiter that finds most of the `known` names in the header; in a tie, one that splits it."""

    def num_known(delimiter: str) -> tuple[int, bool]:
        _, header = next(_records(path, text, delimiter, strict=False), (1, []))
        return len(known.intersection(map(normalized, header))), len(header) > 1

    return max(DELIMITERS, key=num_known)


def _records(path: Path, text: str, delimiter: str, strict: bool) -> Iterator[tuple[int, list[str]]]:
    """Yield the first line and the cells of each record; if `strict`, invalid quoting raises AlsimError."""
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
        raise AlsimError(f"{path}, line {first_line}: the row is invalid: {error}") from None


def _read_parquet(path: Path, inside: Path | None) -> Cells:
    """Return the cells of a Parquet file."""
    from alsim.utils.arrow import InvalidTable, TableFile, decoded

    try:
        with TableFile(path, inside=inside, kind="parquet") as file:
            if file.num_rows * len(file.names) > MAX_CELLS:
                raise InvalidTable(f"it has {file.num_rows:,} rows; expected at most {MAX_CELLS:,} cells")
            table = file.read()
    except InvalidTable as error:
        raise AlsimError(f"{path}: expected a complete Parquet file; {error}") from None
    columns = [[as_text(value) for value in decoded(column).to_pylist()] for column in table.columns]
    rows = list(map(list, zip(*columns, strict=True)))
    return Cells(path, table.column_names, rows, [f"row {k}" for k in range(1, len(rows) + 1)])


def as_text(value: Any) -> str:
    """Return a value as text in a CSV file: the shortest text that reads back to the value, empty for null.

    Texts in a list are separated by semicolons.
    """
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return ";".join(map(as_text, value))
    return "" if value is None else str(value).strip()
