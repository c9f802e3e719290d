"""Response logs from matrices of students and items."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from alsim.responses import cells
from alsim.responses.cells import Coded, Names
from alsim.responses.fields import LogFields
from alsim.responses.names import FREQUENCY, among, covariates, is_total, probable_frequencies
from alsim.responses.report import Report, ResponsesError
from alsim.responses.scoring import ONLY_ANSWERS, SCORE_CELL, check_scored, is_score
from alsim.responses.source import REASONS, Source
from alsim.types import Codes, Doubles, Longs, i32

if TYPE_CHECKING:
    import pyarrow as pa

MATRIX = "the matrix"
"""Name of a matrix, in messages."""
MAX_SAMPLE = 1000
"""Number of first rows of a matrix whose invalid cells are examined."""
MAX_CODES, MAX_CODE = 10, 6
"""Largest number and length of codes that are proposed as values that mean no response."""
MAX_FOOTERS = 3
"""Largest number of rows below those of the students that are recognised as sums, means and so on."""
BLANK, INVALID = -1, -2
"""Codes in a matrix for a missing response, and for a cell that is neither missing nor an answer."""


DECIMAL_COMMA = re.compile("[01],0*")
"""Answers with a decimal comma, which are invalid."""


_log = logging.getLogger("alsim.responses")


class Wide(NamedTuple):
    """A matrix of codes and its labels, as in `Responses.from_matrix`."""

    codes: Codes  # (S, I) 0, 1, BLANK or INVALID
    items: Sequence[Any] | None = None
    skills: Sequence[Any] | None = None
    students: Any = None
    weight: Any = None
    missing: Sequence[str] = ("-1",)  # values that mean no response
    student_column: str | None = None  # name of the column of `students` in a file
    columns: Mapping[str, str | None] = {}  # mapping of the columns of a file, see `read_responses`


def matrix_codes(column: pa.ChunkedArray, missing: Iterable[Any]) -> Codes:
    """Return 0 or 1 for each answer, BLANK for a missing cell, INVALID for another value."""
    codes = cells.parse_answers(column)
    codes[codes < 0] = INVALID
    codes[cells.is_missing(column, (*missing, *cells.MISSING_ANSWERS))] = BLANK
    return codes


def warn_of_frequencies(name: str, items: Sequence[Any], codes: Codes) -> None:
    """Log a warning about items that are named like frequencies, unless they have invalid cells, which is an error.

    name   name of the source
    items  (I,) names
    codes  (S, I) codes
    """
    for title in probable_frequencies(items):
        if not (codes[:, list(items).index(title)] == INVALID).any():
            mapping = f"columns={{'freq': {title!r}}} (--columns freq={title})"
            cure = "weight=" if name == MATRIX else mapping
            _log.warning(
                "%s: column %r is read as an item; if it holds the number of students of each row, pass it as %s",
                name,
                title,
                cure,
            )


def check_frequencies(name: str, items: Sequence[str], codes: Codes, freq: str, columns: Mapping[str, Any]) -> None:
    """Check the items of a file that has frequencies: log a warning about those that are named like frequencies, too.

    freq     name of the column of frequencies
    columns  mapping of the columns, see `read_responses`

    Raises ResponsesError for another column that is spelled like freq.
    """
    for title in among([FREQUENCY], items):
        problem = f"{name}: {freq!r} and {title!r} can each be the number of students of each row"
        if title == FREQUENCY:  # the name of alsim's column, which cannot be omitted if another is mapped to it
            raise ResponsesError(problem, f"rename or remove the column {title!r}")
        raise ResponsesError(problem, "omit one of them with {}", columns={**columns, "freq": freq, title: None})
    for title in probable_frequencies(items):
        if not (codes[:, list(items).index(title)] == INVALID).any():
            mapping = f"columns={{{title!r}: None}} (--columns {title}=)"
            _log.warning("%s: column %r is read as an item; if it is none, omit it with %s", name, title, mapping)


def check_totals(wide: Wide, items: Sequence[str], name: str, numbers: Callable[[str], Doubles]) -> None:
    """Raise ResponsesError for a column of a file that is the sum of the items in each row.

    Columns with other cells than answers, and those that are named like totals, are compared with the sums of the first
    rows.

    name     name of the source
    numbers  returns the first cells of a column as numbers, given its name
    """
    has_invalid = (wide.codes == INVALID).any(axis=0)
    suspects = [k for k, title in enumerate(items) if has_invalid[k] or is_total(title)]
    correct = wide.codes[:MAX_SAMPLE] == 1
    sums = correct[:, ~has_invalid].sum(axis=1)
    for k in suspects:
        others, of_others = (~has_invalid).sum() - (not has_invalid[k]), sums - (correct[:, k] & ~has_invalid[k])
        if others > 1 and len(sums) > 1 and sums.any() and np.array_equal(numbers(items[k])[:MAX_SAMPLE], of_others):
            problem = f"{name}: the column {items[k]!r} is the number of correct answers in each row, and no item"
            raise ResponsesError(problem, "omit it with {}", columns={**wide.columns, items[k]: None})


def build_from_matrix(
    matrix: ArrayLike,
    *,
    items: Sequence[Any] | None,
    skills: Sequence[Any] | None,
    students: Sequence[Any] | None,
    weight: ArrayLike | None,
    missing: Iterable[Any],
    skip_bad: bool,
) -> LogFields:
    """Build a log from a matrix, as `Responses.from_matrix` does."""
    matrix, missing = cells.collected(matrix), cells.missing_values(missing)
    if hasattr(matrix, "columns"):  # of pandas and polars
        if items is None and type(matrix.columns).__name__ != "RangeIndex":
            items = list(matrix.columns)
        students = _index(matrix) if students is None else students
    try:
        values = np.ma.getdata(matrix) if isinstance(matrix, np.ma.MaskedArray) else np.asarray(matrix)
    except ValueError:
        raise ResponsesError("the rows of the matrix have different lengths", "pass one cell for each item") from None
    if values.ndim != 2 or values.size == 0:
        raise ResponsesError(
            f"expected a matrix of shape (students, items), not empty; got shape {values.shape}",
            "pass one row per student and one column per item",
        )
    codes = matrix_codes(cells.as_arrow(values.ravel()), missing).reshape(values.shape)
    if isinstance(matrix, np.ma.MaskedArray):
        codes[np.ma.getmaskarray(matrix)] = BLANK
    wide = Wide(codes, items, skills, students, weight)
    if weight is None and items is not None:
        warn_of_frequencies(MATRIX, items, codes)
    fields = build_from_wide(wide, Source(MATRIX), lambda row, column: values[row, column], skip_bad)
    return fields._replace(report=replace(fields.report, is_wide=True, has_header=items is not None))


def _index(frame: Any) -> list[str] | None:
    """Return the names of the rows of a pandas data frame; None for the default index, which numbers them."""
    index = getattr(frame, "index", None)
    if index is None or callable(index) or type(index).__name__ == "RangeIndex":
        return None
    return ["/".join(map(str, label)) if isinstance(label, tuple) else label for label in index]


def build_from_wide(wide: Wide, source: Source, value: Callable[[int, int], Any], skip_bad: bool) -> LogFields:
    """Build a log from a matrix of codes; `value` returns the original value of a cell, for messages."""
    num_rows, num_items = wide.codes.shape
    items = _labels(wide.items, num_items, "items", source)
    students = _students(wide, source)
    weight = _weights(wide.weight, num_rows, source)
    skills = _item_skills(wide.skills, items)
    skipped, examples = dict(source.dropped), dict(source.examples)
    num_cells, num_empty = wide.codes.size, int((wide.codes == BLANK).sum())
    invalid = np.argwhere(wide.codes == INVALID)
    if len(invalid):
        _check_scored(wide, invalid, value, source)
        row, column = map(int, invalid[0])
        title = str((wide.items or items)[column]) if source.column_names else str(items[column])
        message = source.error_message(title, source.index(row), value(row, column), "0, 1 or a missing value")
        if not skip_bad:
            raise _invalid_cell(message, wide, (row, column), value, title, source)
        skipped[REASONS["correct"]], examples[REASONS["correct"]] = len(invalid), message
        if source.column_names:
            wide, source, students, weight = _without_empty_rows(wide, source, students, weight)
    student, item = np.nonzero(wide.codes >= 0)
    if len(student) == 0:
        raise ResponsesError(
            f"{source.name}: there is no response; expected at least one 0 or 1", "add one row per student"
        )
    return LogFields(
        students=students,
        items=items,
        skills=skills.names,
        student=student.astype(i32),
        item=item.astype(i32),
        correct=wide.codes[student, item],
        skill=skills.codes[item],
        skill_start=np.arange(len(student) + 1),
        row=student if source.rows is None else source.rows[student],
        weight=weight,
        report=Report(
            num_rows + sum(source.dropped.values()),
            skipped,
            examples,
            columns=dict(source.recognised),
            cells=num_cells,
            empty=num_empty,
        ),
    )


def _without_empty_rows(
    wide: Wide, source: Source, students: Names, weight: Doubles
) -> tuple[Wide, Source, Names, Doubles]:
    """Return the rows of a file without those that have invalid cells and no response, such as means: no students."""
    kept = (wide.codes >= 0).any(axis=1) | ~(wide.codes == INVALID).any(axis=1)
    rows = np.flatnonzero(kept) if source.rows is None else source.rows[kept]
    return wide._replace(codes=wide.codes[kept]), replace(source, rows=rows), students[kept], weight[kept]


def _invalid_cell(
    message: str, wide: Wide, place: tuple[int, int], value_at: Callable[[int, int], Any], title: str, source: Source
) -> ResponsesError:
    """Return the error about an invalid cell of an item with this title, with the cure for its column or its row."""
    row, column, value = wide.codes[place[0]], wide.codes[:, place[1]], value_at(*place)
    if DECIMAL_COMMA.fullmatch(str(value)):
        return ResponsesError(message, "write numbers with a decimal point, or as 0 and 1")
    if probable_frequencies([title]) and "freq" not in wide.columns and wide.weight is None:
        if source.column_names:
            cure = "if the column holds the number of students of each row, name the frequencies with {}"
            return ResponsesError(message, cure, columns={**wide.columns, "freq": title})
        return ResponsesError(message, "if the column holds the number of students of each row, pass it as weight=")
    num_invalid = (column == INVALID).sum()
    has_other_codes = num_invalid > 1 and not (column == 0).any()  # such as 1 and 2
    if (column >= 0).sum() < num_invalid or has_other_codes or covariates([title]):
        score = "score the item as 0 and 1, or, if the column is not an item, "
        if source.column_names:
            return ResponsesError(message, f"{score}omit it with {{}}", columns={**wide.columns, title: None})
        return ResponsesError(message, f"{score}remove it")
    if _is_footer(wide.codes):
        cells_of_row = [value_at(place[0], int(k)) for k in np.flatnonzero(row == INVALID)]
        cure = "remove the row if it is not a student, such as a row of sums or means, or skip its cells with {}"
        if (row >= 0).any() or all(map(is_score, cells_of_row)):  # 0 and 1 would stay, or scores would be lost
            return ResponsesError(message, "remove the row if it is not a student, such as a row of sums or means")
        return ResponsesError(message, cure, skip_bad=True)
    others = {str(value_at(int(k), place[1])) for k in np.flatnonzero(column[:MAX_SAMPLE] == INVALID)}
    if is_score(value, others):
        return ResponsesError(message + ONLY_ANSWERS, SCORE_CELL)
    found = _codes_of_no_response(wide.codes, value_at, str(value))
    means = "this value means" if len(found) == 1 else "these values mean"
    cure = f"correct the cell, skip invalid cells with {{}}, or pass {{}} if {means} no response"
    return ResponsesError(message, cure, skip_bad=True, missing=[*wide.missing, *found])


def _codes_of_no_response(codes: Codes, value_at: Callable[[int, int], Any], first: str) -> list[str]:
    """Return the values, from `first`, of invalid cells that may mean no response: short texts, and no scores."""
    places = np.argwhere(codes == INVALID)[: MAX_SAMPLE * 10].tolist()
    found = {first: None} | {str(value_at(*place)): None for place in places}
    return [text for text in found if text == first or (len(text) <= MAX_CODE and not is_score(text))][:MAX_CODES]


def _check_scored(wide: Wide, invalid: Longs, value: Callable[[int, int], Any], source: Source) -> None:
    """Raise ResponsesError for a matrix whose cells are scores, ratings or other codes, judged by its first rows."""
    texts = np.array(["", "0", "1"], object)[wide.codes[:MAX_SAMPLE] - BLANK]
    texts[wide.codes[:MAX_SAMPLE] == INVALID] = ""
    for row, column in invalid[invalid[:, 0] < MAX_SAMPLE][: MAX_SAMPLE * 10].tolist():
        texts[row, column] = str(value(row, column))
    check_scored(texts.T.tolist(), source.name, have_names=True)


def _is_footer(codes: Codes) -> bool:
    """Return whether the invalid cells are those of at most three rows at the end, such as sums, means and SDs."""
    rows = np.flatnonzero((codes == INVALID).any(axis=1))
    start = len(codes) - len(rows)
    return (
        len(rows) <= MAX_FOOTERS < len(codes)
        and np.array_equal(rows, np.arange(start, len(codes)))
        and ((codes[rows] == INVALID).sum(axis=1) > 1).all()
    )


def _students(wide: Wide, source: Source) -> Names:
    """Return the names of the students. The error about repeated names also proposes to omit them."""
    try:
        names = _labels(wide.students, len(wide.codes), "students", source)
    except ResponsesError as error:
        if wide.student_column is None:
            raise
        columns = {name: title for name, title in wide.columns.items() if name != "student"}
        raise ResponsesError(
            error.problem,
            f"{error.cure}, or read each row as a student without a name, with {{}}",
            columns={**columns, wide.student_column: None},
        ) from None
    if wide.student_column is not None and (broken := np.char.find(names, "\n") >= 0).any():
        row, column = int(broken.argmax()), wide.student_column
        name = str(names[row])
        message = source.error_message(column, source.index(row), name, source.expected("student", name, most=False))
        raise ResponsesError(message, "close the quote, or rename the student")
    return names


def _labels(labels: Any, number: int, axis: str, source: Source) -> Names:
    """Return the distinct names of rows or columns; their indices if `labels` is None."""
    if labels is None:
        return np.arange(number).astype(np.str_)
    column = cells.encode(cells.as_arrow(labels, axis))
    if len(column.codes) != number:
        raise ResponsesError(
            f"{source.name}: {axis} must have one name for each of {number} {axis}; got {len(column.codes)} names",
            "pass as many names",
        )
    if len(column.names) < number:
        counts = np.bincount(column.codes + 1)
        problem = f"{str(column.names[counts[1:].argmax()])!r} more than once" if counts[0] == 0 else "an empty name"
        cures = {"students": "merge the rows of a student into one" if counts[0] == 0 else "fill the name"}
        if source.name == MATRIX:
            cures["students"] += ", or pass other names as students="
        cure = cures.get(axis, "rename all but one, or name or omit the column without a name")
        raise ResponsesError(f"{source.name}: the {axis} must have distinct names; got {problem}", cure)
    return column.names


def _item_skills(skills: Sequence[Any] | None, items: Names) -> Coded:
    """Return the skill of each item; without `skills`, each item is its own skill."""
    if skills is None:
        return Coded(np.arange(len(items), dtype=i32), items)
    coded = cells.encode(cells.as_arrow(list(skills)))
    if len(coded.codes) != len(items) or (coded.codes < 0).any():
        raise ResponsesError(
            f"skills must have one name for each of {len(items)} items; got {skills!r:.200}", "pass as many names"
        )
    return coded


def _weights(values: Any, number: int, source: Source) -> Doubles:
    """Return the number of students that each row stands for."""
    if values is None:
        return np.ones(number)
    weight = cells.parse_numbers(cells.as_arrow(values, "weight"))
    if weight.shape != (number,):
        raise ResponsesError(
            f"weight must have one weight for each of {number} students; got {len(weight)}", "pass as many weights"
        )
    invalid = ~(np.isfinite(weight) & (weight >= 0))
    if invalid.any():
        row = int(invalid.argmax())
        place = source.describe_row(source.index(row))
        raise ResponsesError(
            f"{source.name}, {place}: its weight {weight[row]:g} is invalid; expected a number >= 0",
            "correct it, or remove the row",
        )
    return weight
