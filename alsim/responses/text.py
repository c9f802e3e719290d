"""Text files: their encoding, delimiter, lines and records, and reading their columns."""

from __future__ import annotations

import codecs
import csv
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np

from alsim.responses.report import ResponsesError
from alsim.responses.source import Source
from alsim.utils.reading import PART, open_file, open_text

if TYPE_CHECKING:
    import pyarrow as pa

DELIMITERS = ("\t", ",", ";", "|")
BYTE_ORDER_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
OTHER_FILES = {
    b"\xd0\xcf\x11\xe0": ("an Excel workbook", "save it as CSV, or read it with pandas.read_excel"),
    b"$FL2": ("an SPSS file", "save it as CSV, or read it with pandas.read_spss"),
    b"$FL3": ("an SPSS file", "save it as CSV, or read it with pandas.read_spss"),
    b"<stata_dta>": ("a Stata file", "save it as CSV, or read it with pandas.read_stata"),
    b"RDX": ("a file of R", "write it with write.csv"),
    b"X\n\0": ("a file of R", "write it with write.csv"),
    b"PAR1": ("a Parquet file", "rename it to .parquet"),
    b"ARROW1": ("an Arrow file", "rename it to .arrow"),
    b"[{": ("JSON", "write one row per response as CSV"),
    b'{"': ("JSON", "write one row per response as CSV"),
}
"""Kinds of files that are not text tables, and their cures, by the first bytes."""
RAGGED = "more or fewer cells than columns"
"""Reason to drop a row."""


MIN_ROWS = 3
"""Number of lines within a cell, each with as many cells as the table has columns, that are rows and no text."""


class Table(NamedTuple):
    """Columns by their names in a file, and the source of the rows."""

    columns: dict[str, pa.ChunkedArray]
    source: Source


class TextFile(NamedTuple):
    """A text file with its encoding and delimiter; the delimiter is None until it is detected.

    skip_lines  number of lines above the table
    quoting     False if quotes are characters like others
    data        decompressed copy of the file; None if it is not compressed
    """

    path: Path
    encoding: str
    delimiter: str | None
    skip_lines: int = 0
    quoting: bool = True
    data: Path | None = None

    @contextmanager
    def open(self) -> Iterator[IO[str]]:
        """Open the file after its byte order mark and the lines above the table."""
        encoding = "utf-8-sig" if codecs.lookup(self.encoding).name == "utf-8" else self.encoding
        with open_text(self.data or self.path, encoding=encoding) as lines:
            for _ in range(self.skip_lines):
                lines.readline()
            yield lines

    def reader(self, lines: Iterable[str]) -> Any:
        """Return a reader of records."""
        return csv.reader(lines, delimiter=self.delimiter or ",", quoting=quoting_of(self.quoting))

    def first_lines(self, number: int) -> list[str]:
        """Return the first lines that are not blank."""
        with self.open() as lines:
            first = list(islice((line for line in lines if line.strip()), number))
        if not first:
            raise ResponsesError(f"{self.path}: the file is empty; expected a response log", "choose another file")
        return first

    def first_cells(self) -> list[str]:
        """Return the cells of the first record. Raises ResponsesError if a quote in it is not closed."""
        self.first_lines(1)
        first = [cell.strip() for cell in next(self.records())[1]]
        if any("\n" in cell for cell in first):
            self.check_quotes()
        return first

    def records(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the first line, counted from 1, and the cells of each record; blank lines are skipped."""
        with self.open() as lines:
            reader, first_line = self.reader(lines), 1 + self.skip_lines
            try:
                for record in reader:
                    if len(record) > 1 or "".join(record).strip():
                        yield first_line, record
                    first_line = reader.line_num + 1 + self.skip_lines
            except csv.Error as error:  # a cell larger than the limit, which is rarely meant
                self.check_quotes()
                raise ResponsesError(
                    f"{self.path}, line {first_line}: {error}",
                    "shorten the cell, or close the quote at its start in the same line",
                ) from None

    def check_quotes(self) -> None:
        """Raise ResponsesError for a quote that makes later rows part of a cell.

        The file ends within quotes, or a cell of several lines is not quoted as a whole, or it has rows of the table:
        its lines have as many delimiters as a row.
        """
        end = ["end of the file"]
        record: list[str] = []
        first_line = next_line = 1 + self.skip_lines
        num_columns = 0
        limit = csv.field_size_limit(2**31 - 1)
        try:
            with self.open() as stream:
                lines: list[str] = []  # of the record
                reader = self.reader(_appended(chain(stream, end), lines))
                for record in reader:
                    first_line, next_line = next_line, reader.line_num + 1 + self.skip_lines
                    num_columns = num_columns or len(record)
                    if len(lines) > 1 and end[0] not in lines and self._has_rows(lines, num_columns):
                        raise self._open_quote(first_line, "is closed in a later row")
                    lines.clear()
        finally:
            csv.field_size_limit(limit)
        if record != end:
            first_line += sum(cell.count("\n") for cell in record[:-1])
            raise self._open_quote(first_line, "is not closed before the end of the file")

    def _has_rows(self, lines: Sequence[str], num_columns: int) -> bool:
        """Return whether the lines of one record seem to be rows: quotes open within a cell, or each line has a row."""
        try:
            next(csv.reader(lines, delimiter=self.delimiter or ",", strict=True))
        except csv.Error:
            return True
        if num_columns == 1:
            return False
        first, *inner, last = [line.count(self.delimiter or ",") + 1 == num_columns for line in lines]
        return (len(inner) >= MIN_ROWS and all(inner)) or (first and all(inner) and (last or bool(inner)))

    def _open_quote(self, line: int, fault: str) -> ResponsesError:
        """Return the error about a quote in a line."""
        return ResponsesError(
            f"{self.path}, line {line}: the quote that opens here {fault}",
            "close it or remove it, or read all quotes as characters with {}",
            quoting=False,
        )

    def may_end_within_quotes(self, num_records: int) -> bool:
        """Return whether `check_quotes` is worth its time, given the number of records found.

        A quote that is open at the end of a line makes the number of quotes odd, or hides the ends of lines.
        """
        if not self.quoting:
            return False
        quotes = ends = 0
        last = b""
        with open_file(self.data or self.path) as file:
            while block := file.read(1 << 20):
                quotes, ends, last = quotes + block.count(b'"'), ends + block.count(b"\n"), block
        ends += not last.rstrip(b"\0").endswith(b"\n")
        return quotes > 0 and (quotes % 2 == 1 or ends != num_records + self.skip_lines)

    def describe_record(self, record: int) -> str:
        """Return the description of a record by its first line. The file is read again, for error messages only."""
        return f"line {next(islice(self.records(), record, None), (0, []))[0]}"


def _appended(lines: Iterable[str], seen: list[str]) -> Iterator[str]:
    """Yield lines, and append each of them to a list."""
    for line in lines:
        seen.append(line)
        yield line


def check_text(path: Path, encoding: str | None, data: Path | None = None) -> None:
    """Raise ResponsesError for a file of another kind: a workbook, SPSS, JSON, or UTF-16 without its mark.

    data  decompressed copy of the file
    """
    with open_file(data or path) as file:
        start = file.read(11)
    for mark, (kind, cure) in OTHER_FILES.items():
        if start.startswith(mark):
            first = "decompress it, and " if data else ""
            raise ResponsesError(f"{path}: is {kind}; expected a text file", f"{first}{cure}")
    if b"\0" in start[:2] and encoding is None and not start.startswith((*BYTE_ORDER_MARKS,)):
        raise ResponsesError(
            f"{path}: has zero bytes, as UTF-16 does; expected UTF-8", "pass its encoding with {}", encoding="utf-16-le"
        )


def detect_encoding(path: Path) -> str:
    """Return the encoding that the byte order mark names, or else UTF-8."""
    with open_file(path) as file:
        start = file.read(4)
    return next((encoding for mark, encoding in BYTE_ORDER_MARKS.items() if start.startswith(mark)), "utf-8")


def split_cells(line: str, delimiter: str, *, quoting: bool = True) -> list[str]:
    """Return the cells of a line; without `quoting`, quotes are characters like others."""
    return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter, quoting=quoting_of(quoting)), [])]


def quoting_of(quoting: bool) -> Any:
    """Return csv's kind of quoting: that quotes enclose cells, or none."""
    return csv.QUOTE_MINIMAL if quoting else csv.QUOTE_NONE


_SEPARATOR = re.compile(r'"?sep=(?P<delimiter>.)"?[\r\n]*', re.IGNORECASE)
"""Line in which Excel names the delimiter of a file."""


def without_separator_line(file: TextFile) -> TextFile:
    """Return the file without the first line, and with its delimiter, if Excel's line sep=; names one."""
    with file.open() as lines:
        match = _SEPARATOR.fullmatch(lines.readline())
    if match is None:
        return file
    return file._replace(skip_lines=file.skip_lines + 1, delimiter=file.delimiter or match["delimiter"])


def with_delimiter(file: TextFile, known_names: set[str]) -> TextFile:
    """Return the file with its delimiter: the one with the most known names in the header, then the most columns.

    Raises ResponsesError for a delimiter that was passed and is invalid, or is not that of the header.
    """
    passed = file.delimiter
    if passed is not None and (len(passed) != 1 or passed in '"\r\n'):
        raise ResponsesError(
            f"delimiter must be one character, and neither a quote nor a line break; got {passed!r}",
            "choose one with {}",
            delimiter=";",
        )
    header = file.first_lines(1)[0]
    cells = {one: split_cells(header, one, quoting=file.quoting) for one in DELIMITERS}
    found = max(DELIMITERS, key=lambda one: (len(known_names.intersection(cells[one])), len(cells[one])))
    if passed is None:
        return file._replace(delimiter=found)
    if len(cells[found]) > 1 == len(split_cells(header, passed, quoting=file.quoting)):
        raise ResponsesError(
            f"{file.path}: the first line has {len(cells[found])} cells with the delimiter {found!r}, but one with "
            f"{passed!r}",
            "pass {}",
            delimiter=found,
        )
    return file


def read_columns(
    file: TextFile, header: list[str] | None, wanted: Sequence[int], num_columns: int, skip_bad: bool
) -> Table:
    """Read some columns of a text file; all cells are texts.

    header       names of the columns if the first record is a header, else None
    wanted       indices of the columns to read
    num_columns  number of columns of the file
    skip_bad     skip rows with another number of cells, instead of raising ResponsesError
    """
    import pyarrow as pa

    ragged: list[str] = []
    blank = 0

    def skip_ragged(row: Any) -> str:
        nonlocal blank
        if row.text.strip():
            ragged.append(row.text)
        else:
            blank += 1
        return "skip"

    num_headers, names = int(header is not None), [str(k) for k in range(num_columns)]
    try:
        try:
            table = _parse(file, num_headers, names, wanted, None)
        except pa.ArrowInvalid:  # rarely; see `alsim.utils.arrow.native_stream` about Python objects in Arrow's threads
            table = _parse(file, num_headers, names, wanted, skip_ragged)
    except pa.ArrowInvalid as error:
        if "UTF8" not in str(error):  # an open quote exceeds the size of a block
            file.check_quotes()
        raise
    if file.may_end_within_quotes(table.num_rows + num_headers + len(ragged) + blank):
        file.check_quotes()
    source = Source(str(file.path), describe_row=lambda row: file.describe_record(row + num_headers))
    if ragged:
        source = _drop_ragged(file, source, num_headers, num_columns, ragged, skip_bad)
    titles = header or names
    return Table({titles[k]: table[names[k]] for k in wanted}, source)


def _parse(
    file: TextFile,
    num_headers: int,
    names: Sequence[str],
    wanted: Sequence[int],
    skip_ragged: Callable[[Any], str] | None,
) -> pa.Table:
    """Return some columns, as texts.

    num_headers   number of records above the rows
    names         names for all columns of the file
    wanted        indices of the columns to return
    skip_ragged   function that is called with each row of more or fewer cells; None: such a row raises ArrowInvalid
    """
    import pyarrow as pa
    import pyarrow.csv as arrow_csv

    included = [names[k] for k in wanted]
    with _utf8_stream(file) as stream:
        return arrow_csv.read_csv(
            stream,
            arrow_csv.ReadOptions(
                column_names=list(names), skip_rows=file.skip_lines, skip_rows_after_names=num_headers
            ),
            arrow_csv.ParseOptions(
                delimiter=file.delimiter,
                quote_char='"' if file.quoting else False,
                newlines_in_values=file.quoting,
                invalid_row_handler=skip_ragged,
            ),
            arrow_csv.ConvertOptions(
                include_columns=included,
                column_types=dict.fromkeys(included, pa.string()),
                strings_can_be_null=False,
            ),
        )


@contextmanager
def _utf8_stream(file: TextFile) -> Iterator[pa.NativeFile]:
    """Open a text file for Arrow. A file in another encoding is copied to a temporary file in UTF-8."""
    from alsim.utils.arrow import native_stream

    path = file.data or file.path
    if codecs.lookup(file.encoding).name in ("utf-8", "utf-8-sig"):
        with open_file(path) as stream, native_stream(stream, path) as native:
            yield native
        return
    with TemporaryDirectory(prefix="alsim-") as directory:
        copy = Path(directory) / "log"
        with open_text(path, encoding=file.encoding) as lines, copy.open("w", encoding="utf-8", newline="") as sink:
            shutil.copyfileobj(lines, sink, PART)
        with open_file(copy) as stream, native_stream(stream, copy) as native:
            yield native


def _drop_ragged(
    file: TextFile, source: Source, num_headers: int, num_columns: int, ragged: Sequence[str], skip_bad: bool
) -> Source:
    """Return a source without the records that have more or fewer than `num_columns` cells.

    Raises ResponsesError unless `skip_bad`.
    """
    valid, message = [], ""
    for number, (line, record) in enumerate(islice(file.records(), num_headers, None)):
        if len(record) == num_columns:
            valid.append(number)
        elif not message:
            message = f"{file.path}, line {line}: {len(record)} cells; expected {num_columns}, as in the first line"
    message = message or f"{file.path}: expected rows of {num_columns} cells; got {ragged[0]!r:.200}"
    if not skip_bad:
        raise ResponsesError(message, "correct the row, or skip such rows with {}", skip_bad=True)
    return replace(source, rows=np.array(valid), dropped={RAGGED: len(ragged)}, examples={RAGGED: message})
