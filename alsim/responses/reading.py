"""Response logs from files: long tables, wide matrices, and the three lines a student of knowledge tracing."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from alsim.responses import cells
from alsim.responses.building import COLUMNS, Options, Source, Wide, build, from_wide, matrix_codes, titles_of
from alsim.responses.log import Responses
from alsim.responses.report import Duplicates, ResponsesError
from alsim.types import Bools, Longs, i8

if TYPE_CHECKING:
    import pyarrow as pa

Columns = Mapping[str, str | None] | None
Format = Literal["long", "wide", "three-line"]
FORMATS: tuple[Format, ...] = ("long", "wide", "three-line")
DELIMITERS = ("\t", ",", ";", "|")
PARQUET, ARROW = (".parquet", ".pq"), (".arrow", ".feather", ".ipc")
MISSING = ("-1",)
"""What a wide file may have for no response, beside an empty cell, NA, NaN and null."""
RAGGED = "more or fewer cells than columns"
UNEQUAL = "three lines of different lengths"
WIDE_COLUMNS = ("student", "freq")
SPARE = ", \t\r\n"
"""What may be too much at the end of a line."""
MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def read_responses(
    path: str | Path,
    *,
    format: Format | None = None,
    columns: Columns = None,
    delimiter: str | None = None,
    encoding: str | None = None,
    separator: str | None = "~~",
    missing: Iterable[Any] = MISSING,
    duplicates: Duplicates = "keep",
    skip_bad: bool = False,
) -> Responses:
    """Read a response log from a file: text, or by its ending Parquet (.parquet, .pq) or Arrow (.arrow, .feather).

    format      long: a row a response, with the columns of `Responses.from_table`. wide: a row a student, a column
                an item, with or without a header; a column `freq` is how many students each row stands for, a column
                `student` their name. three-line: for each student how many responses, their skills, and their
                answers, separated by commas, as of DKVMN. Without, what the first lines look like
    columns     the file's name for each of ours: student, skill, item, correct, order (or timestamp), response;
                of a wide file, student and freq
    delimiter   of text; without, the one of tab, comma, semicolon and bar that the header speaks for
    encoding    of text; without, UTF-8, or what a byte order mark says
    separator   of the skills of one response
    missing     of a wide file: what stands for no response, beside an empty cell, NA, NaN and null
    duplicates  as of `Responses.from_arrays`
    skip_bad    leave out bad rows, and of a wide file bad cells, and count them in `report`

    Raises ResponsesError, which names the file, line, column and value, for what is no response: see
    `Responses.from_arrays`; for a row with more or fewer cells than there are columns; and for a file that is empty,
    cannot be read, or is none of these.
    """
    path, options, missing = Path(path), Options(separator, duplicates, skip_bad), tuple(missing)
    if format is not None and format not in FORMATS:
        raise ResponsesError(f"the format of a response log is one of {', '.join(FORMATS)}; got {format!r}")
    if path.is_dir():
        raise ResponsesError(f"{path} is a directory; expected a file, or a dataset of simulated learners")
    with _readable(path):
        if path.suffix.lower() in (*PARQUET, *ARROW):
            return _binary(path, format, columns, missing, options)
        text = _Text(path, encoding or _encoding(path), delimiter)
        kind = format or _looks_like(text, columns, missing)
        if kind == "three-line":
            return _three_lines(text, columns, options)
        if kind == "wide":
            return _wide_text(text, columns, missing, options)
        return _long(text, columns, options)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Say in one sentence why a file cannot be read."""
    import pyarrow as pa

    try:
        yield
    except FileNotFoundError:
        raise ResponsesError(f"{path}: there is no such file") from None
    except OSError as error:
        raise ResponsesError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeError as error:
        raise ResponsesError(f"{path}: is not in the encoding it was read in: {error}; name its encoding") from None
    except (LookupError, csv.Error) as error:  # an encoding that nobody knows; a quote without end
        raise ResponsesError(f"{path}: {error}") from None
    except pa.ArrowException as error:
        if "UTF8" in str(error):
            raise ResponsesError(f"{path}: is not in UTF-8; name its encoding, such as latin-1") from None
        raise ResponsesError(f"{path}: this is no whole table: {error}") from None


# ── text ─────────────────────────────────────────────────────────────────────────────────────────


class _Text(NamedTuple):
    """A text file, and how to read it."""

    path: Path
    encoding: str
    delimiter: str | None

    @contextmanager
    def lines(self) -> Iterator[IO[str]]:
        """Open the file, past a byte order mark."""
        encoding = "utf-8-sig" if codecs.lookup(self.encoding).name == "utf-8" else self.encoding
        with self.path.open(encoding=encoding, newline="") as lines:
            yield lines

    def first_lines(self, number: int) -> list[str]:
        """Return the first lines that hold anything."""
        with self.lines() as lines:
            held = list(islice((line for line in lines if line.strip()), number))
        if not held:
            raise ResponsesError(f"{self.path}: the file is empty")
        return held

    def records(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the line on which each record begins, from 1, and its cells; empty lines are none."""
        with self.lines() as lines:
            reader, begins = csv.reader(lines, delimiter=self.delimiter or ","), 1
            for record in reader:
                if len(record) > 1 or "".join(record).strip():
                    yield begins, record
                begins = reader.line_num + 1

    def line_of(self, record: int) -> str:
        """Say where a record begins; gone through only for messages, as no column tells it."""
        return f"line {next(islice(self.records(), record, None), (0, []))[0]}"


def _encoding(path: Path) -> str:
    """Return what a byte order mark says, else UTF-8."""
    with path.open("rb") as file:
        start = file.read(4)
    return next((encoding for mark, encoding in MARKS.items() if start.startswith(mark)), "utf-8")


def _cells(line: str, delimiter: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]


def _with_delimiter(text: _Text, known: set[str]) -> _Text:
    """Settle the delimiter: the one that finds most of the known names in the header; of equals, most columns."""
    if text.delimiter is not None:
        if len(text.delimiter) != 1 or text.delimiter in '"\r\n':
            raise ResponsesError(f"a delimiter is one character; got {text.delimiter!r}")
        return text
    header = text.first_lines(1)[0]

    def found(delimiter: str) -> tuple[int, int]:
        names = _cells(header, delimiter)
        return len(known.intersection(names)), len(names)

    return text._replace(delimiter=max(DELIMITERS, key=found))


def _known(columns: Columns) -> set[str]:
    """Return the names that a header may have for what is ours."""
    return {*COLUMNS, "timestamp", *WIDE_COLUMNS, *filter(None, (columns or {}).values())}


def _looks_like(text: _Text, columns: Columns, missing: Iterable[Any]) -> Format:
    """Tell the format of a text from its first lines."""
    first = text.first_lines(3)
    parts = [line.strip().rstrip(",").split(",") for line in first]
    counted = len(parts) == 3 and re.fullmatch("[1-9][0-9]*", first[0].strip().rstrip(","))
    if counted and len(parts[1]) == len(parts[2]) == int(parts[0][0]):
        return "three-line"
    delimiter = _with_delimiter(text, _known(columns)).delimiter or ","
    names = _cells(first[0], delimiter)
    return _long_or_wide(names, _cells(first[min(1, len(first) - 1)], delimiter), columns, missing)


def _long_or_wide(names: Sequence[str], row: Sequence[Any], columns: Columns, missing: Iterable[Any]) -> Format:
    """Tell the format of a table from its header and a row: without `correct`, answers in every column are wide."""
    if (columns or {}).get("correct", "correct") in names:
        return "long"
    known = _known(columns)
    answers = [_is_answer(cell, missing) for name, cell in zip(names, row, strict=False) if name not in known]
    return "wide" if answers and all(answers) else "long"


def _is_answer(cell: Any, missing: Iterable[Any]) -> bool:
    text = "" if cell is None else str(cell)
    return cells.ANSWERS.fullmatch(text) is not None or text in {*cells.NOTHING, *map(str, missing)}


class _Table(NamedTuple):
    """Columns by their names in the file, and where its rows are."""

    columns: dict[str, pa.ChunkedArray]
    source: Source


def _read_text(text: _Text, header: list[str] | None, wanted: Sequence[int], width: int, skip_bad: bool) -> _Table:
    """Read some columns of a text, all cells as text.

    header  the names of the columns, where the first record is one
    wanted  numbers of columns
    width   number of all columns
    """
    import pyarrow as pa
    import pyarrow.csv as arrow_csv

    ragged: list[str] = []

    def note(row: Any) -> str:
        if row.text.strip():
            ragged.append(row.text)
        return "skip"

    first, names = int(header is not None), [str(k) for k in range(width)]
    chosen = [names[k] for k in wanted]
    found = arrow_csv.read_csv(
        text.path,
        arrow_csv.ReadOptions(
            column_names=names, skip_rows_after_names=int(header is not None), encoding=text.encoding
        ),
        arrow_csv.ParseOptions(delimiter=text.delimiter, newlines_in_values=True, invalid_row_handler=note),
        arrow_csv.ConvertOptions(
            include_columns=chosen, column_types=dict.fromkeys(chosen, pa.string()), strings_can_be_null=False
        ),
    )
    source = Source(str(text.path), place=lambda row: text.line_of(row + first))
    if ragged:
        source = _without_ragged(text, source, first, width, ragged, skip_bad)
    titles = header or names
    return _Table({titles[k]: found[names[k]] for k in wanted}, source)


def _without_ragged(
    text: _Text, source: Source, first: int, width: int, ragged: Sequence[str], skip_bad: bool
) -> Source:
    """Refuse records of other widths, or say which rows are left and how many were dropped."""
    whole, said = [], ""
    for number, (line, record) in enumerate(islice(text.records(), first, None)):
        if len(record) == width:
            whole.append(number)
        elif not said:
            said = f"{text.path}, line {line}: {len(record)} cells; expected {width}, as in the first line"
    said = said or f"{text.path}: this is no row of {width} cells: {ragged[0]!r:.200}"
    if not skip_bad:
        raise ResponsesError(said)
    return replace(source, rows=np.array(whole), dropped={RAGGED: len(ragged)}, said={RAGGED: said})


def _long(text: _Text, columns: Columns, options: Options) -> Responses:
    text = _with_delimiter(text, _known(columns))
    header = [name.strip() for name in next(text.records())[1]]
    titles = titles_of(columns, header, str(text.path))
    wanted = sorted({header.index(theirs) for theirs in titles.values()})
    table = _read_text(text, header, wanted, len(header), options.skip_bad)
    return build(_ours(table.columns, titles), replace(table.source, titles=titles), options)


def _ours(table: Any, titles: Mapping[str, str]) -> dict[str, Any]:
    return {ours: table[theirs] for ours, theirs in titles.items()}


# ── wide ─────────────────────────────────────────────────────────────────────────────────────────


def _wide_text(text: _Text, columns: Columns, missing: Iterable[Any], options: Options) -> Responses:
    text = _with_delimiter(text, _known(columns))
    first = [cell.strip() for cell in next(text.records())[1]]
    header = None if all(_is_answer(cell, missing) for cell in first) and not columns else first
    names = header or [str(k) for k in range(len(first))]
    if again := [name for k, name in enumerate(names) if name in names[:k]]:
        raise ResponsesError(f"{text.path}: more than one column is named {again[0]!r}")
    table = _read_text(text, header, range(len(first)), len(first), options.skip_bad)
    return _wide(table, columns, missing, options)


def _wide(table: _Table, columns: Columns, missing: Iterable[Any], options: Options) -> Responses:
    """Build a log from the columns of a wide file."""
    held, name = table.columns, table.source.name
    if unknown := [ours for ours in columns or {} if ours not in WIDE_COLUMNS]:
        raise ResponsesError(f"a wide file has columns for student and freq, the others are items; got {unknown[0]!r}")
    titles = {ours: (columns or {}).get(ours, ours) for ours in WIDE_COLUMNS}
    for ours in columns or {}:
        if titles[ours] not in held:
            said = ", ".join(map(repr, held))
            raise ResponsesError(f"{name}: there is no column {titles[ours]!r} for {ours}; the columns are {said}")
    items = [title for title in held if title not in titles.values()]
    length = len(next(iter(held.values())))
    if not items or not length:
        raise ResponsesError(f"{name}: there is no response")
    codes = np.empty((length, len(items)), i8)
    for k, title in enumerate(items):
        codes[:, k] = matrix_codes(held[title], missing)
    students, weight = (held.get(title or "") for title in titles.values())
    wide = Wide(codes, items, None, students, weight)
    return from_wide(wide, table.source, lambda row, k: held[items[k]][row].as_py(), options.skip_bad)


# ── three lines a student ────────────────────────────────────────────────────────────────────────


class _Student(NamedTuple):
    """Three lines: how many responses, their skills, their answers."""

    student: int  # from 0
    line: int  # the first, from 1
    number: int
    skills: str
    answers: str


def _students(text: _Text) -> Iterator[_Student]:
    """Yield the three lines of each student; blank lines are passed over."""
    with text.lines() as file:
        lines = ((number, line) for number, line in enumerate(file, 1) if line.strip(SPARE))
        for student, (number, line) in enumerate(lines):
            said = line.strip(SPARE)
            if not re.fullmatch(r"[0-9]+(\.0*)?", said):
                raise ResponsesError(
                    f"{text.path}, line {number}: {said!r:.100}; expected how many responses a student has, "
                    f"which two lines follow: their skills, and their answers"
                )
            count = int(float(said))
            if count == 0:
                continue  # its other two lines are blank
            rest = [line.rstrip(SPARE) for _, line in islice(lines, 2)]
            if len(rest) < 2:
                raise ResponsesError(f"{text.path}, line {number}: the file ends within the three lines of a student")
            yield _Student(student, number, count, *rest)


def _three_lines(text: _Text, columns: Columns, options: Options) -> Responses:
    if columns:
        raise ResponsesError(f"{text.path}: a file of three lines a student has no columns to be named")
    import pyarrow as pa
    import pyarrow.compute as pc

    text = text._replace(delimiter=text.delimiter or ",")
    students = list(_students(text))
    if not students:
        raise ResponsesError(f"{text.path}: there is no response")
    skills = pc.split_pattern(pa.array([s.skills for s in students], pa.large_string()), text.delimiter)
    answers = pc.split_pattern(pa.array([s.answers for s in students], pa.large_string()), text.delimiter)
    count = np.array([s.number for s in students])
    held = np.array([pc.list_value_length(lists).to_numpy() for lists in (skills, answers)])
    whole = (held == count).all(axis=0)
    source = Source(str(text.path))
    if not whole.all():
        source = _without_unequal(text, source, students, held, whole, options.skip_bad)
    ends, kept = np.cumsum(count[whole]), np.flatnonzero(whole)
    if not len(kept):
        raise ResponsesError(f"{text.path}: there is no good row")

    def place(row: int) -> str:
        k = int(np.searchsorted(ends, row, side="right"))
        line = students[kept[k]].line
        return f"lines {line} to {line + 2}, response {row - ends[k] + count[kept[k]] + 1}"

    chosen = pa.array(whole)
    table = {
        "student": np.repeat([students[k].student for k in kept], count[whole]),
        # 4.0 is 4: some write numbers so.
        "skill": pc.replace_substring_regex(
            pc.utf8_trim_whitespace(pc.list_flatten(skills.filter(chosen))), r"^([0-9]+)\.0+$", r"\1"
        ),
        "correct": pc.list_flatten(answers.filter(chosen)),
    }
    return build(table, replace(source, place=place), options)


def _without_unequal(
    text: _Text, source: Source, students: Sequence[_Student], held: Longs, whole: Bools, skip_bad: bool
) -> Source:
    """Refuse students whose lines differ in length, or count their responses as dropped."""
    k = int((~whole).argmax())
    said = (
        f"{text.path}, line {students[k].line}: {students[k].number} responses, and below them "
        f"{held[0, k]} skills and {held[1, k]} answers"
    )
    if not skip_bad:
        raise ResponsesError(said)
    lost = sum(s.number for s, kept in zip(students, whole, strict=True) if not kept)
    return replace(source, dropped={UNEQUAL: lost}, said={UNEQUAL: said})


# ── Parquet and Arrow ────────────────────────────────────────────────────────────────────────────


def _binary(path: Path, format: Format | None, columns: Columns, missing: Iterable[Any], options: Options) -> Responses:
    """Read a log from a file that knows its columns."""
    import pyarrow.dataset as arrow_dataset

    kind = "parquet" if path.suffix.lower() in PARQUET else "ipc"
    held = arrow_dataset.dataset(path, format=kind)
    names, source = held.schema.names, Source(str(path), place=lambda row: f"row {row + 1}")
    if format is None:
        start = held.head(1).to_pylist()
        format = _long_or_wide(names, list(start[0].values()) if start else [], columns, missing)
    if format == "three-line":
        raise ResponsesError(f"{path}: a file of three lines a student is text")
    if format == "wide":
        table = held.to_table()
        return _wide(_Table({name: cells.arrow(table[name]) for name in names}, source), columns, missing, options)
    titles = titles_of(columns, names, str(path))
    table = held.to_table(columns=sorted(set(titles.values())))
    return build(_ours(table, titles), replace(source, titles=titles), options)
