"""Layout of response files: their format, their header and the roles of their columns, from the first rows."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import islice, pairwise
from typing import Any, NamedTuple

from alsim.responses import cells
from alsim.responses.formats.base import Format
from alsim.responses.matrices import DECIMAL_COMMA
from alsim.responses.names import (
    FREQUENCIES,
    SYNONYMS,
    among,
    candidates,
    closest,
    frequencies,
    is_total,
    looks_long,
    row_labels,
)
from alsim.responses.report import ResponsesError
from alsim.responses.scoring import MIN_ITEMS, check_scored
from alsim.responses.source import COLUMNS
from alsim.responses.tables import SAMPLE
from alsim.responses.text import DELIMITERS, TextFile, split_cells, with_delimiter
from alsim.utils.names import whole_name

_log = logging.getLogger("alsim.responses")
Columns = Mapping[str, str | None]
WIDE_COLUMNS = ("student", "freq")
"""Columns of a wide file that are not items, by alsim's names."""
_TITLE_LINES = 10
"""Number of first lines among which a title above the header is noticed."""
_ANSWERS = re.compile("[01]{3,}")
"""Answers to several items in one cell."""


class Head(NamedTuple):
    """The first rows of a table.

    names       names of the columns; without a header their numbers, from 0
    rows        cells of the first rows, the header excluded
    has_header  False if the first row of the file has answers in place of names
    """

    names: Sequence[Any]
    rows: Sequence[Sequence[Any]]
    has_header: bool = True

    def column(self, k: int) -> list[Any]:
        """Return the cells of column k."""
        return [row[k] for row in self.rows if k < len(row)]


def numbered(cells: Sequence[Any]) -> list[str]:
    """Return the names of the columns of a file without a header: their numbers, from 0."""
    return [str(k) for k in range(len(cells))]


def known_names(columns: Columns) -> set[str]:
    """Return the names of columns that a header may contain."""
    return {*COLUMNS, "timestamp", *WIDE_COLUMNS, *filter(None, columns.values())}


def is_three_line(file: TextFile) -> bool:
    """Return whether a text file seems to have three lines per student: a number, and as many skills and answers."""
    first = file.first_lines(3)
    parts = [line.strip().rstrip(",").split(",") for line in first]
    is_number = len(parts) == 3 and re.fullmatch("[1-9][0-9]*", first[0].strip().rstrip(","))
    return bool(is_number and len(parts[1]) == len(parts[2]) == int(parts[0][0]))


def check_cells(file: TextFile) -> None:
    """Raise ResponsesError for a file with a title or comments above its header, or with spaces between its cells."""
    with file.open() as stream:
        lines = [line.strip("\r\n") for line in islice(stream, _TITLE_LINES)]
    _check_title(file, lines)
    lines = [line for line in lines if line.strip()][:3]
    if file.delimiter == " " or any(len(split_cells(line, file.delimiter or ",")) > 1 for line in lines):
        return
    numbers = {len(line.split()) for line in lines}
    if len(lines) > 1 and len(numbers) == 1 and max(numbers) > 1:
        problem = f"{file.path}: has one column, but its lines have {max(numbers)} words; expected another delimiter"
        if all(len(line.split(" ")) == max(numbers) for line in lines):
            raise ResponsesError(problem, "pass {}", delimiter=" ")
        raise ResponsesError(problem, "replace the spaces between cells by one comma each")


def _check_title(file: TextFile, lines: Sequence[str]) -> None:
    """Raise ResponsesError if the first lines are a title or comments, which are not the names of the columns."""
    if file.delimiter == " ":
        return
    sizes = [max(sum(map(bool, split_cells(line, delimiter))) for delimiter in DELIMITERS) for line in lines]
    first = next((k for k, line in enumerate(lines) if line.strip()), 0)
    is_comment = [line.lstrip().startswith("#") or not line.strip() for line in lines]
    table = next((k for k, comment in enumerate(is_comment) if not comment), first)
    if table > first and sizes[first] != sizes[table]:
        problem = f"the line {lines[first]!r:.80} seems to be a comment"
    elif sizes[first] == 1 and max(sizes) > 1:
        table = next(k for k, size in enumerate(sizes) if size > 1)
        problem = f"the first line has one cell, but later ones have {max(sizes)}"
    else:
        return
    raise ResponsesError(
        f"{file.path}: {problem}; expected the names of the columns in the first line",
        "remove the lines above the names, or skip them with {}",
        skip_lines=file.skip_lines + table,
    )


def read_head(file: TextFile, columns: Columns, missing: Iterable[Any], header: bool | None = None) -> Head:
    """Return the first rows of a text table, and whether the first of them is a header, unless `header` says so."""
    delimiter = with_delimiter(file, known_names(columns)).delimiter or ","
    first, *rows = (split_cells(line, delimiter, quoting=file.quoting) for line in file.first_lines(1 + SAMPLE))
    if header is None:
        header = _is_header(first, rows, columns, missing)
        if not header and rows and len({*first}) == len(first) and all(map(cells.ANSWER.fullmatch, first)):
            _log.warning(
                "%s: the first line, %s, is read as answers; if it has the names of the items, pass header=True "
                "(--header)",
                file.path,
                ",".join(first),
            )
    if header:
        return Head(first, rows or [first])
    return Head(numbered(first), [first, *rows], has_header=False)


def _is_header(first: list[str], rows: list[list[str]], columns: Columns, missing: Iterable[Any]) -> bool:
    """Return whether the first row of a table is a header.

    It is none if all its cells in the columns of answers are numbers or missing, and one of them is there twice. Nor is
    it one if most of them are 0 or 1, and they do not increase as the names of items do, or all others are numbers.
    A row with all the names that are mapped or omitted is a header.
    """
    titles = {name if title is None else title for name, title in columns.items()}
    if titles and titles <= set(first) and len(set(first)) == len(first):
        return True
    head = Head(numbered(first), rows or [first])
    is_item = [_most_are_answers(head.column(k), missing) for k in range(len(first))]
    items = [cell for cell, item in zip(first, is_item, strict=True) if item]
    others = [cell for cell, item in zip(first, is_item, strict=True) if not item]
    if len(items) < 2 or not any(cells.ANSWER.fullmatch(cell) for cell in items):
        return True  # names, or empty cells only, as after a title
    if not all(is_answer(cell, missing) or _is_number(cell) for cell in items):
        return True
    if len(set(items)) < len(items):
        return False
    num_answers = sum(is_answer(cell, missing) for cell in items)
    if 2 * num_answers <= len(items):
        return True
    numbers = [float(cell) for cell in items if _is_number(cell)]
    increase = len(numbers) == len(items) and all(a < b for a, b in pairwise(numbers))
    return increase and not (num_answers == len(items) and all(map(_is_number, others)))


def _is_number(cell: str) -> bool:
    """Return whether a cell is a number."""
    return re.fullmatch(cells.NUMBER, cell) is not None


def long_or_wide(head: Head, columns: Columns, missing: Iterable[Any], source: str) -> Format:
    """Return "wide" for a table without a column of correctness and with answers in all unknown columns, else "long".

    A column of answers may also have other values. A column of students is recognised by its name only if no other name
    is one of a long table.

    Raises ResponsesError for a table that seems to be wide, but has columns without answers.
    """
    is_item = [are_answers(head.column(k), missing) for k in range(len(head.names))]
    omitted = {name for name, title in columns.items() if title is None}
    names = [name for name in head.names if name not in omitted]
    holders = [name for name, item in zip(head.names, is_item, strict=True) if item and name not in omitted]
    answered = _answered(head, holders, missing)
    if head.has_header and _is_long(names, answered, columns):
        return "long"
    is_table = head.has_header and _is_table(names, answered, columns)
    known = {*WIDE_COLUMNS, *filter(None, columns.values()), *omitted}
    if "freq" not in columns:
        known |= {*frequencies(names)}
    if not is_table:
        known |= {*_students(head, names, columns)}
    if not is_table:
        _check_scored(head, known, missing, source)
    others = [name for name, item in zip(head.names, is_item, strict=True) if not item and name not in known]
    num_items = sum(name not in known for name in holders)
    if num_items and not others:
        return "wide"
    if not is_table:
        named_like = any(closest(column, others) for column in ("skill", "item"))
        if num_items + len(others) > 2 * len(others) or (num_items >= MIN_ITEMS and not named_like):
            raise _no_answers(head, others, columns, source)
        _check_cells(head, known, source)
    return "long"


def _is_long(names: Sequence[Any], answered: Sequence[Any], columns: Columns) -> bool:
    """Return whether a table is certainly long, by the names of its columns, and `answered`, see `_answered`."""
    correct = columns.get("correct", "correct")
    if correct in names and (correct in answered or "correct" in columns or _has_labels(names)):
        return True
    return "freq" not in columns and looks_long(names)


def _answered(head: Head, holders: Sequence[Any], missing: Iterable[Any]) -> list[Any]:
    """Return the names of the columns that hold nothing but answers, without a total, which is the sum of the others.

    holders  names of the columns that hold answers
    """
    found = {name: head.column(head.names.index(name)) for name in holders}
    answered = {name: column for name, column in found.items() if all(is_answer(cell, missing) for cell in column)}
    ones = {name: [_is_correct(cell) for cell in column] for name, column in answered.items()}
    sums = [sum(row) for row in zip(*ones.values(), strict=False)]
    totals = {name for name, column in ones.items() if is_total(name) and sums == [2 * cell for cell in column]}
    return [name for name in answered if name not in totals or len(ones) < 1 + MIN_ITEMS or not any(sums)]


def _is_correct(cell: Any) -> bool:
    """Return whether a cell is a correct answer."""
    match = cells.ANSWER.fullmatch(str(cell))
    return match is not None and match[1] is None


def _is_table(names: Sequence[Any], answered: Sequence[Any], columns: Columns) -> bool:
    """Return whether some names are those of a long table; see `_answered`."""
    is_mapped = any(columns.get(column) for column in ("correct", "skill", "item"))
    return is_mapped or _has_labels(names) or bool(candidates("correct", answered))


def _has_labels(names: Sequence[Any]) -> bool:
    """Return whether a table has a column of skills or items, by its name."""
    return bool(candidates("skill", names) or candidates("item", names))


def _students(head: Head, names: Sequence[Any], columns: Columns) -> list[Any]:
    """Return the column of students that is recognised in a wide table: by its name, or without a header by its cells.

    names  names of the columns that are not omitted
    """
    title = columns.get("student", "student")
    if title is None or title in names:
        return [title]
    if head.has_header:
        return row_labels(names)[:1]
    return [head.names[0]] if head.names[0] in names and _are_distinct(head.column(0)) else []


def _are_distinct(column: Sequence[Any]) -> bool:
    """Return whether the cells of a column are distinct and none is empty, as those of names of students are."""
    texts = {"" if cell is None else str(cell) for cell in column}
    return len(column) > 1 and len(texts) == len(column) and texts.isdisjoint(cells.MISSING_TEXTS)


def _no_answers(head: Head, others: Sequence[Any], columns: Columns, source: str) -> ResponsesError:
    """Return the error about a wide table whose columns `others` have no answers.

    A column is proposed as the frequencies by its name. Else the first one with distinct cells is proposed as the
    students if the table has no other column of students.
    """
    _check_numbers(head, source)
    have, them = ("has", "it is no item, omit it") if len(others) == 1 else ("have", "they are no items, omit them")
    header = "" if head.has_header else " (without a header, the columns are numbered from 0)"
    problem = (
        f"{source}: seems to have one column per item, but {', '.join(repr(str(name)) for name in others)} {have} no "
        f"answers in the first rows{header}"
    )
    names = [name for name in head.names if columns.get(name, name) is not None]
    has_students = _students(head, names, columns) or None in columns.values()
    no_labels = {*among(FREQUENCIES, others), *frequencies(others), *filter(is_total, others)}
    labels = [name for name in others if name not in no_labels and _are_distinct(head.column(head.names.index(name)))]
    counts = [] if "freq" in {**columns, **dict.fromkeys(head.names)} else among(FREQUENCIES, others)
    if counts:
        role, noun, chosen = "freq", "frequencies", counts[0]
    elif labels and not has_students:
        role, noun, chosen = "student", "students", labels[0]
    else:
        omit = {**columns, **dict.fromkeys(map(str, others))}
        return ResponsesError(problem, f"if {them} with {{}}", columns=omit)
    rest = dict.fromkeys(str(name) for name in others if name != chosen)
    cure = f"name the {noun}, and omit the other columns, with {{}}" if rest else f"name the {noun} with {{}}"
    return ResponsesError(problem, cure, columns={**columns, role: str(chosen), **rest})


def _check_numbers(head: Head, source: str) -> None:
    """Raise ResponsesError for a table whose first row is no header, as it has only numbers, and one of them twice."""
    names = [str(name) for name in head.names]
    if head.has_header and len({*names}) < len(names) and all(map(_is_number, names)):
        raise _no_header(head, source)


def _check_scored(head: Head, known: set[Any], missing: Iterable[Any], source: str) -> None:
    """Raise ResponsesError for a wide table whose answers are not scored; columns that are `known` are no items."""
    if len(head.rows) > 1:
        found = [head.column(k) for k, name in enumerate(head.names) if name not in known]
        texts = [["" if _is_absent(cell, missing) else str(cell) for cell in column] for column in found]
        check_scored(texts, source, have_names=len(found) < len(head.names))


def _check_cells(head: Head, known: set[Any], source: str) -> None:
    """Raise ResponsesError for a table with several answers per cell."""
    columns = {name: {*map(str, head.column(k))} for k, name in enumerate(head.names) if name not in known}
    for name, values in columns.items():
        if values and all(_ANSWERS.fullmatch(value) for value in values) and len({*map(len, values)}) == 1:
            raise ResponsesError(
                f"{source}: the column {name!r} seems to hold several answers per cell, such as {min(values)!r}",
                "write one column per item, with a comma between two answers",
            )


def check_header(head: Head, columns: Columns, missing: Iterable[Any], source: str) -> None:
    """Raise ResponsesError for a long table without rows or a header: one of its unknown names is an answer."""
    first = head.names if head.has_header else head.rows[0]
    if [*first] == [*head.rows[0]] and len(head.rows) == 1:
        raise ResponsesError(f"{source}: there is no response; expected at least one row", "add one row per response")
    if columns or any(candidates(column, first) for column in SYNONYMS):
        return
    if any(cells.ANSWER.fullmatch(str(name)) and are_answers(head.column(k), missing) for k, name in enumerate(first)):
        raise _no_header(head, source)


def _no_header(head: Head, source: str) -> ResponsesError:
    """Return the error about a long table without a header; the cure guesses its columns from the first rows."""
    problem = f"{source}: seems to have no header, as its first line has an answer; expected the names of the columns"
    cure = "add a first line with the names, such as student,skill,correct"
    answers = [k for k in range(len(head.names)) if are_answers(head.column(k), ())]
    others = [k for k in range(len(head.names)) if k not in answers[-1:]]
    if not answers or len(others) < 2:
        return ResponsesError(problem, cure)
    columns = {"student": str(others[0]), "skill": str(others[1]), "correct": str(answers[-1])}
    cure += ", or name the columns by their numbers, from 0, with {} and, for example, {}"
    return ResponsesError(problem, cure, header=False, columns=columns)


def are_answers(column: Sequence[Any], missing: Iterable[Any]) -> bool:
    """Return whether a column is one of an item: its first cell is an answer or missing, or most of its cells are."""
    answers = [is_answer(cell, missing) or DECIMAL_COMMA.fullmatch(str(cell)) is not None for cell in column]
    return bool(answers) and (answers[0] or 2 * sum(answers) > len(answers))


def _most_are_answers(column: Sequence[Any], missing: Iterable[Any]) -> bool:
    """Return whether most cells of a column are answers or missing, unlike those of a column of sums."""
    return 2 * sum(is_answer(cell, missing) for cell in column) > len(column)


def is_answer(cell: Any, missing: Iterable[Any]) -> bool:
    """Return whether a cell is an answer or missing."""
    return cells.ANSWER.fullmatch(str(cell)) is not None or _is_absent(cell, missing)


def _is_absent(cell: Any, missing: Iterable[Any]) -> bool:
    """Return whether a cell means no response in a wide table."""
    return cell is None or whole_name(str(cell)) in _missing_texts(tuple(map(str, missing)))


@lru_cache
def _missing_texts(missing: tuple[str, ...]) -> frozenset[str]:
    """Return all texts that mean no response in a wide table."""
    return frozenset(cells.missing_texts((*cells.MISSING_ANSWERS, *missing)))
