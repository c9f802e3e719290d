"""Response logs from files with three lines per student, as DKT and DKVMN use."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

import numpy as np

from alsim.responses.building import build
from alsim.responses.fields import LogFields
from alsim.responses.report import ResponsesError
from alsim.responses.source import Options, Source
from alsim.responses.text import DELIMITERS, TextFile
from alsim.types import Bools, Longs

UNEQUAL = "three lines of different lengths"
"""Reason to drop the responses of a student."""

TRAILING = ", \t\r\n"
"""Characters that are ignored at the end of a line."""


class StudentLines(NamedTuple):
    """The three lines of a student."""

    student: int  # index, from 0
    line: int  # number of the first line, from 1
    num_responses: int
    skills: str
    answers: str


def read_three_lines(file: TextFile, options: Options) -> LogFields:
    """Build a log from a file with three lines per student."""
    import pyarrow as pa
    import pyarrow.compute as pc

    file = file._replace(delimiter=file.delimiter or ",")
    students = list(_read_students(file))
    if not students:
        raise ResponsesError(
            f"{file.path}: there is no response; expected three lines per student", "choose another file"
        )
    skills = pc.split_pattern(pa.array([s.skills for s in students], pa.large_string()), file.delimiter)
    answers = pc.split_pattern(pa.array([s.answers for s in students], pa.large_string()), file.delimiter)
    count = np.array([s.num_responses for s in students])
    lengths = np.array([pc.list_value_length(lists).to_numpy() for lists in (skills, answers)])
    valid = (lengths == count).all(axis=0)
    source = Source(str(file.path))
    if not valid.all():
        source = _drop_unequal(file, source, students, lengths, valid, options.skip_bad)
    ends, kept = np.cumsum(count[valid]), np.flatnonzero(valid)
    if not len(kept):
        raise source.no_valid_row()

    def describe_row(row: int) -> str:
        k = int(np.searchsorted(ends, row, side="right"))
        line = students[kept[k]].line
        return f"lines {line} to {line + 2}, response {row - ends[k] + count[kept[k]] + 1}"

    mask = pa.array(valid)
    table = {
        "student": np.repeat([students[k].student for k in kept], count[valid]),
        "skill": pc.list_flatten(skills.filter(mask)),
        "correct": pc.list_flatten(answers.filter(mask)),
    }
    return build(table, replace(source, describe_row=describe_row), options)


def _read_students(file: TextFile) -> Iterator[StudentLines]:
    """Yield the three lines of each student that has responses; blank lines are skipped."""
    with file.open() as stream:
        lines = ((number, line) for number, line in enumerate(stream, 1 + file.skip_lines) if line.strip(TRAILING))
        for student, (number, line) in enumerate(lines):
            text = line.strip(TRAILING)
            if not re.fullmatch(r"[0-9]{1,18}(\.0*)?", text):
                raise ResponsesError(
                    f"{file.path}, line {number}: {text!r:.100}; expected the number of responses of a student, "
                    f"followed by a line of skills and a line of answers",
                    "correct the line, or read a table with {}",
                    format="long",
                )
            count = int(text.partition(".")[0])
            if count == 0:
                continue  # the other two lines of the student are blank
            rest = [line.rstrip(TRAILING) for _, line in islice(lines, 2)]
            if len(rest) < 2:
                raise ResponsesError(
                    f"{file.path}, line {number}: the file ends within the three lines of a student; "
                    f"expected a line of skills and a line of answers",
                    "complete the file, or remove the last student",
                )
            yield StudentLines(student, number, count, *rest)


def _delimiter_of(student: StudentLines) -> str | None:
    """Return the delimiter with which the lines of a student have as many cells as responses; None if there is none."""
    lines = (student.skills, student.answers)
    fits = (one for one in (*DELIMITERS, " ") if all(line.count(one) + 1 == student.num_responses for line in lines))
    return next(fits, None)


def _drop_unequal(
    file: TextFile, source: Source, students: Sequence[StudentLines], lengths: Longs, valid: Bools, skip_bad: bool
) -> Source:
    """Return a source without students whose lines differ in length. Raises ResponsesError unless `skip_bad`."""
    k = int((~valid).argmax())
    message = (
        f"{file.path}, line {students[k].line}: {students[k].num_responses} responses, but "
        f"{lengths[0, k]} skills and {lengths[1, k]} answers in the next two lines; expected equal numbers"
    )
    found = _delimiter_of(students[k])
    if found is not None and lengths[:, k].max() == 1:
        raise ResponsesError(message, "pass {}", delimiter=found)
    if not skip_bad:
        raise ResponsesError(message, "correct these lines, or skip such students with {}", skip_bad=True)
    dropped = sum(s.num_responses for s, is_valid in zip(students, valid, strict=True) if not is_valid)
    return replace(source, dropped={UNEQUAL: dropped}, examples={UNEQUAL: message})
