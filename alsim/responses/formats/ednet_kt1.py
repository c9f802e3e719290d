"""EdNet KT1: a directory with one file per student, and the table of the questions with the answer key.

A student is named by the file, such as u717875. An answer is correct if it is `correct_answer` of the question. The
tags of the question are the skills. Rows without an answer, with a question that the key lacks, and with a question
without tags (-1) are not read. Responses are sorted by `timestamp`, the time at which the question was shown, in
milliseconds since 1970, shifted by the publisher; questions of one bundle have the same `elapsed_time`.

Source: Choi et al. (2020), EdNet: a large-scale hierarchical dataset in education, AIED, https://arxiv.org/abs/1912.03072;
https://github.com/riiid/ednet, README.md. The conventions are those of
https://github.com/pykt-team/pykt-toolkit, pykt/preprocess/ednet_preprocess.py.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from alsim.responses import cells
from alsim.responses.compressed import decompressed
from alsim.responses.fields import LogFields
from alsim.responses.formats.base import PublishedFormat, Request
from alsim.responses.formats.conversion import Drop, Layout, build_layout, find_key, map_layout, no_skill
from alsim.responses.report import ResponsesError
from alsim.responses.source import Source
from alsim.responses.text import (
    RAGGED,
    Table,
    TextFile,
    check_text,
    detect_encoding,
    read_columns,
    with_delimiter,
    without_separator_line,
)
from alsim.types import Bools, Ints, i32
from alsim.utils.reading import read_bytes, reason

if TYPE_CHECKING:
    import pyarrow as pa

NAME: Final = "ednet-kt1"
HEADER = ("timestamp", "solving_id", "question_id", "user_answer", "elapsed_time")
QUESTIONS = ("question_id", "correct_answer", "tags")
"""Columns of the key that are read."""
KEY, PLACES = "questions.csv", (".", "contents", "..", "../contents")
"""Name of the key, and the directories in which it may be, relative to the directory of a log."""
MAX_STUDENT = 1 << 28
"""Largest file of a student, bytes."""
BLOCK = 1 << 26
"""Bytes of student files that are parsed together."""

LAYOUT = Layout(
    columns={
        "student": "student",
        "skill": "tags",
        "item": "question_id",
        "correct": "correct",
        "order": "timestamp",
        "time": "timestamp",
        "seconds": "elapsed_time",
    },
    drops=(
        Drop("no answer", "user_answer", lambda column: cells.is_missing(column, ())),
        Drop("question is not in the key", "correct_answer", lambda column: cells.is_missing(column, ())),
        no_skill("tags", "-1"),
    ),
    units={"time": 1e3, "seconds": 1e3},
    separator=";",
)


class StudentRows(NamedTuple):
    """The rows of a student's file.

    lines    number of the line of each row, from 1
    ragged   number of lines with more or fewer cells than columns, and the first of them
    """

    path: Path
    content: bytes
    lines: Ints
    ragged: int = 0
    first_ragged: int = 0


def read(request: Request) -> LogFields:
    """Read a log."""
    request.path.stat()  # raises FileNotFoundError
    if not request.path.is_dir():
        raise ResponsesError(
            f"{request.path}: is a file; expected the directory KT1, which has one file per student",
            "name the directory; unzip the archive first if it is one",
        )
    directory = request.path / "KT1" if (request.path / "KT1").is_dir() else request.path
    key = request.key or next(filter(None, (find_key(directory / place, KEY) for place in PLACES)), None)
    if key is None:
        raise ResponsesError(
            f"{request.path}: the answer key questions.csv is neither in the directory nor in contents/",
            "name it with {}",
            key="contents/questions.csv",
        )
    questions = _read_key(key)
    table = _join_key(_parse(_students(request, directory, key), directory), questions)
    layout = map_layout(LAYOUT, request, [*table.columns], NAME)
    return build_layout(table, layout, request, NAME)


def _students(request: Request, directory: Path, key: Path) -> Iterator[StudentRows]:
    """Yield the files of the students, sorted by number. Raises ResponsesError for a file of another kind or format.

    No link may lead out of the directory that the user named.
    """
    for file in sorted(directory.glob("*.csv"), key=lambda file: (len(file.stem), file.stem)):
        if file.name == KEY or _is_same(file, key):
            continue
        try:
            content = read_bytes(file, MAX_STUDENT, inside=request.path)
        except OSError as error:
            raise ResponsesError(f"{file}: cannot be read: {reason(error)}", "remove it, or replace it") from None
        head, _, body = content.removeprefix(b"\xef\xbb\xbf").partition(b"\n")
        if tuple(head.decode("latin-1").strip().split(",")) != HEADER:
            raise ResponsesError(
                f"{file}, line 1: {head.decode('latin-1').strip()!r:.200}; expected {','.join(HEADER)!r}",
                "remove the file, or name the directory KT1",
            )
        student = _student(file, body)
        if student.ragged and not request.skip_bad:
            raise ResponsesError(_ragged_message(student), "correct the row, or skip such rows with {}", skip_bad=True)
        yield student


def _is_same(file: Path, key: Path) -> bool:
    """Return whether a file is the answer key."""
    try:
        return file.samefile(key)
    except OSError:  # a link to nothing, which is refused when it is read
        return False


def _student(file: Path, body: bytes) -> StudentRows:
    """Return the rows of a file, given its content below the header."""
    lines = body.splitlines()
    valid = [k for k, line in enumerate(lines) if line.count(b",") == len(HEADER) - 1 and b'"' not in line]
    ragged = [k for k, line in enumerate(lines) if line.strip()] if len(valid) < len(lines) else valid
    ragged = sorted({*ragged} - {*valid})
    content = b"".join(lines[k] + b"\n" for k in valid)
    return StudentRows(file, content, np.array(valid, i32) + 2, len(ragged), ragged[0] + 2 if ragged else 0)


def _ragged_message(student: StudentRows) -> str:
    """Return the message about the first line with more or fewer cells than columns."""
    return f"{student.path}, line {student.first_ragged}: expected {len(HEADER)} cells, as in the first line"


def _parse_block(block: Sequence[bytes]) -> pa.Table:
    """Return the rows of some students as a table of texts."""
    import pyarrow as pa
    import pyarrow.csv as arrow_csv

    from alsim.utils.arrow import native_buffer

    content = b"".join(block)
    return arrow_csv.read_csv(
        pa.BufferReader(native_buffer(io.BytesIO(content), len(content))),
        arrow_csv.ReadOptions(column_names=list(HEADER)),
        arrow_csv.ParseOptions(quote_char=False),
        arrow_csv.ConvertOptions(column_types=dict.fromkeys(HEADER, pa.string()), strings_can_be_null=False),
    )


def _parse(files: Iterable[StudentRows], directory: Path) -> Table:
    """Return the rows of all students as a table of texts, with a column of the student."""
    import pyarrow as pa

    tables, block, students, size = [], [], [], 0
    for student in files:
        block.append(student.content)
        students.append(student._replace(content=b""))
        size += len(student.content)
        if size >= BLOCK:
            tables.append(_parse_block(block))
            block, size = [], 0
    if size:
        tables.append(_parse_block(block))
    if not tables:
        problem = f"{directory}: there is no response; expected files such as u1.csv"
        raise ResponsesError(problem, "name the directory KT1")
    table = pa.concat_tables(tables)
    counts = np.array([len(student.lines) for student in students])
    names = pa.array([student.path.stem for student in students])
    columns = {name: table[name] for name in HEADER}
    columns["student"] = pa.chunked_array([names.take(pa.array(np.repeat(np.arange(len(students)), counts)))])
    ends = np.cumsum(counts)

    def describe_row(row: int) -> str:
        k = int(np.searchsorted(ends, row, side="right"))
        return f"{students[k].path.name}, line {students[k].lines[row - ends[k]]}"

    ragged = [student for student in students if student.ragged]
    dropped = {RAGGED: sum(student.ragged for student in ragged)} if ragged else {}
    examples = {RAGGED: _ragged_message(ragged[0])} if ragged else {}
    return Table(columns, Source(str(directory), describe_row=describe_row, dropped=dropped, examples=examples))


def _read_key(key: Path) -> dict[str, pa.ChunkedArray]:
    """Return the columns QUESTIONS of the answer key, which may be compressed. Raises ResponsesError for another file.

    Spreadsheets may have written it with another delimiter.
    """
    with decompressed(key) as data:
        check_text(key, None, data)
        file = without_separator_line(TextFile(key, detect_encoding(data or key), None, data=data))
        return _read_questions(with_delimiter(file, {*QUESTIONS}))


def _read_questions(file: TextFile) -> dict[str, pa.ChunkedArray]:
    """Return the columns QUESTIONS of a text file."""
    header = file.first_cells()
    if missing := [name for name in QUESTIONS if name not in header]:
        raise ResponsesError(
            f"{file.path}: is not the answer key of EdNet; it has no column {missing[0]!r}",
            "name questions.csv with {}",
            key=KEY,
        )
    return read_columns(file, header, [header.index(name) for name in QUESTIONS], len(header), False).columns


def _join_key(table: Table, questions: Mapping[str, pa.ChunkedArray]) -> Table:
    """Return the table with the columns correct, correct_answer and tags."""
    import pyarrow as pa
    import pyarrow.compute as pc

    place = pc.index_in(table.columns["question_id"], value_set=questions["question_id"].combine_chunks())
    columns = {**table.columns, **{name: questions[name].take(place) for name in ("correct_answer", "tags")}}
    agrees: Bools = pc.fill_null(pc.equal(columns["user_answer"], columns["correct_answer"]), False).to_numpy()
    columns["correct"] = pa.chunked_array([pa.array(agrees)])
    return table._replace(columns=columns)


FORMAT = PublishedFormat(
    NAME,
    "EdNet KT1",
    (HEADER,),
    read,
    {"key"},
    directory=True,
)
