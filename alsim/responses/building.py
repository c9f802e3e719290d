"""Construction of a response log from columns: invalid rows, the order of responses, and duplicates."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alsim.responses import cells
from alsim.responses.cells import Coded, CodedLists, Names, places, starts
from alsim.responses.fields import LogFields
from alsim.responses.identity import are_ids
from alsim.responses.names import CERTAIN, among
from alsim.responses.optional import full_credit, parse_optional
from alsim.responses.report import Report, ResponsesError
from alsim.responses.scoring import MOST_ANSWERS, is_score, not_scored, score_in_row
from alsim.responses.source import COLUMNS, OPTIONAL, REASONS, Options, Source
from alsim.responses.study import NO_RESPONSES, EventRows, Keys, place_events
from alsim.types import Bools, Codes, Doubles, Ints, Longs, i32, i64

if TYPE_CHECKING:
    import pyarrow as pa


_log = logging.getLogger("alsim.responses")

NOT_OF_EVENTS = ("skill", "item", "correct", "credit", "response")
"""Columns that a study event needs not have. Its answer must be missing or no answer, since it would not be read."""


FIRST_CURES = {
    "correct": "write the answers as 0 and 1",
    "credit": "divide the scores by the largest possible one, such as 100",
}
"""First cure for a column with many invalid values."""


class Labels(NamedTuple):
    """The names of students, items and skills."""

    students: Names
    items: Names  # empty for a log without items
    skills: Names
    kinds: Names  # of study events; empty for a log without them


class Rows(NamedTuple):
    """The rows of a log: codes into the names, and the keys that sort and identify responses.

    sort_key       (R,) numbers that sort the responses of a student; None if the rows are in order
    identity_keys  arrays (R,): rows of a student with equal values are one response; empty if no column identifies
                   responses
    event          (R,) kind of a study event, -1 for a response; None for a log without study events
    optional       columns (R,) of time, seconds, attempts and hints, by alsim's names
    """

    student: Ints
    item: Ints
    correct: Codes
    skill: Ints
    skill_start: Longs
    row: Longs
    sort_key: NDArray[Any] | None
    identity_keys: tuple[NDArray[Any], ...]
    event: Ints | None
    optional: Mapping[str, NDArray[Any]]

    def take(self, chosen: NDArray[Any]) -> Rows:
        """Return some rows, given by booleans or indices."""
        chosen = np.flatnonzero(chosen) if chosen.dtype == np.bool_ else chosen
        sizes = np.diff(self.skill_start)[chosen]
        return Rows(
            student=self.student[chosen],
            item=self.item[chosen],
            correct=self.correct[chosen],
            skill=self.skill[places(self.skill_start[chosen], sizes)],
            skill_start=starts(sizes),
            row=self.row[chosen],
            sort_key=None if self.sort_key is None else self.sort_key[chosen],
            identity_keys=tuple(key[chosen] for key in self.identity_keys),
            event=None if self.event is None else self.event[chosen],
            optional={name: column[chosen] for name, column in self.optional.items()},
        )


class Encoded(NamedTuple):
    """The columns of a log as codes.

    invalid  (R,) which rows are invalid, by column
    unknown  (R,) which rows have an invalid value in an optional column, by column
    """

    rows: Rows
    labels: Labels
    invalid: dict[str, Bools]
    unknown: dict[str, Bools]


def build(columns: Mapping[str, Any], source: Source, options: Options) -> LogFields:
    """Build a log from columns by alsim's names, as `Responses.from_arrays` does.

    columns  NumPy arrays, sequences, Arrow arrays or pandas series of equal length
    """
    table = _arrow_table(_with_correct(columns), source, options)
    rows, labels, invalid, unknown = _encode(table, source, options)
    report = _check_rows(table, invalid, rows.row, source, options)
    valid = ~np.logical_or.reduce(list(invalid.values()))
    report = _count_unknown(report, table, {name: flags & valid for name, flags in unknown.items()}, source)
    kept = valid if rows.event is None else valid & (rows.event < 0)
    if valid.any() and not kept.any():
        title = source.column_names.get("event", "event")
        raise ResponsesError(
            f"{source.name}: all valid rows are study events, since their column {title} has a value, such as "
            f"{str(labels.kinds[0])!r}; expected an empty cell for a response",
            "empty the cells of responses, or do not name this column as event",
        )
    responses, used = (rows, labels) if kept.all() else _drop_unused_labels(rows.take(kept), labels, source)
    has_items = len(used.items) > 0
    responses, report = _handle_duplicates(_sort(responses), report, source, options, has_items=has_items)
    fields = _log_fields(responses, used, report, items_from_skills="item" not in table)
    return fields if rows.event is None else _add_events(fields, rows.take(valid & ~kept), labels, responses, source)


def _with_correct(columns: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the columns with `correct`; if only `credit` is given, both are the same column."""
    return columns if "correct" in columns or "credit" not in columns else {**columns, "correct": columns["credit"]}


# ── columns ──────────────────────────────────────────────────────────────────────────────────────


def _arrow_table(columns: Mapping[str, Any], source: Source, options: Options) -> dict[str, pa.ChunkedArray]:
    """Return the columns as Arrow arrays. Raises ResponsesError for invalid options, names and lengths."""
    if options.duplicates not in ("keep", "merge", "drop"):
        raise ResponsesError(f"duplicates must be 'keep', 'merge' or 'drop'; got {options.duplicates!r}")
    if not isinstance(options.separator, str | None) or options.separator == "":
        problem = f"separator must be a non-empty string, or None for no separator; got {options.separator!r}"
        raise ResponsesError(problem, "pass {}", separator=";")
    if "skill" not in columns and "item" not in columns:
        raise ResponsesError(
            f"{source.name}: a response log must have skills or items, or both; got neither", "pass one of them"
        )
    try:
        table = {name: _arrow_column(columns[name], name, source) for name in (*COLUMNS, *OPTIONAL) if name in columns}
    except UnicodeEncodeError as error:  # half a surrogate pair
        raise ResponsesError(
            f"{source.name}: a name is not valid Unicode text: {error.object!r:.100}", "rename it"
        ) from None
    if "correct" not in table:
        raise ResponsesError(f"{source.name}: there is neither correct nor credit", "pass one of them")
    lengths = {name: len(column) for name, column in table.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise ResponsesError(f"{source.name}: columns must have equal lengths; got different lengths: {listed}")
    if lengths["correct"] == 0:
        raise ResponsesError(
            f"{source.name}: there is no response; expected at least one row", "add one row per response"
        )
    return table


def _arrow_column(values: Any, name: str, source: Source) -> pa.ChunkedArray:
    """Return a column as an Arrow array. Raises ResponsesError for lists and structures, except lists of skills."""
    import pyarrow as pa

    label = f"{source.name}, column {source.column_names.get(name, name)}"
    column = cells.as_arrow(values, label)
    cell = column.type.value_type if name == "skill" and cells.is_lists(column) else column.type
    if pa.types.is_nested(cell):
        raise ResponsesError(f"{label}: has cells of the type {column.type}", "convert each cell to a text or a number")
    return column


def _encode(table: Mapping[str, pa.ChunkedArray], source: Source, options: Options) -> Encoded:
    """Return the rows as codes, their names, and which rows are invalid."""
    length = len(table["correct"])
    students = cells.encode(table["student"])
    items = cells.encode(table["item"]) if "item" in table else Coded(np.zeros(length, i32), np.empty(0, np.str_))
    if "skill" in table:
        skills = cells.encode_lists(table["skill"], options.separator)
    else:
        skills = CodedLists(items.codes, np.arange(length + 1), items.names)
    order = next((name for name in ("order", "time") if name in table), "order")
    sort_key, unsortable = cells.parse_order(table[order]) if order in table else (None, None)
    is_coarse = order in table and "item" not in table and cells.are_dates(table[order])  # several responses per day
    event = cells.encode(table["event"]) if "event" in table else None
    optional = parse_optional(table, source.units)
    answer, correct = _answers(table, optional.values.get("credit"), source)
    response = cells.encode(table["response"]).codes if "response" in table else None
    if response is not None and not are_ids(
        table["response"], response, (students.codes, items.codes, correct), source
    ):
        response = None
    invalid = {
        "student": (students.codes < 0) | _broken(students.codes, students.names),
        "skill": (np.diff(skills.start) == 0) | _any_broken(skills),
        "item": (items.codes < 0) | _broken(items.codes, items.names),
        answer: correct < 0,
        order: unsortable,
        "response": None if response is None else response < 0,
        "event": None if event is None else (event.codes >= 0) & _hold_answers(table, correct),
    }
    present = {name: flags for name, flags in invalid.items() if name in table and flags is not None}
    if event is not None:
        present |= {name: present[name] & (event.codes < 0) for name in NOT_OF_EVENTS if name in present}
    rows = Rows(
        student=students.codes,
        item=items.codes,
        correct=correct,
        skill=skills.codes,
        skill_start=skills.start,
        row=np.arange(length) if source.rows is None else source.rows,
        sort_key=sort_key,
        identity_keys=_identity_keys(response, items.codes, None if is_coarse else sort_key),
        event=None if event is None else event.codes,
        optional=optional.values,
    )
    labels = Labels(students.names, items.names, skills.names, np.empty(0, np.str_) if event is None else event.names)
    return Encoded(rows, labels, present, optional.invalid)


def _answers(
    table: Mapping[str, pa.ChunkedArray], credit: Doubles | None, source: Source
) -> tuple[Literal["correct", "credit"], Codes]:
    """Return the column of the answers, and (R,) the answers, -1 for none.

    If both columns are one, full credit is correct.
    """
    names = source.column_names
    is_one = "credit" in names and names["credit"] == names.get("correct")
    if credit is None or not (is_one or table["correct"].equals(table["credit"])):
        return "correct", cells.parse_answers(table["correct"])
    return "credit", full_credit(credit)


def _hold_answers(table: Mapping[str, pa.ChunkedArray], correct: Codes) -> Bools:
    """Return (R,) which rows have an answer or credit, given the answers (R,), -1 for none."""
    numbers = [cells.parse_numbers(table[name]) for name in ("correct", "credit") if name in table]
    found: Bools = np.logical_or.reduce([correct >= 0, *((column >= 0) & (column <= 1) for column in numbers)])
    return found


def _broken(codes: Ints, names: Names) -> Bools:
    """Return (R,) whether the name of a row has a line break, as after a quote that is closed in a later line."""
    broken = np.char.find(names, "\n") >= 0 if len(names) else np.zeros(0, np.bool_)
    return np.append(broken, False)[codes]


def _any_broken(skills: CodedLists) -> Bools:
    """Return (R,) whether the name of any skill of a row has a line break."""
    owner = np.repeat(np.arange(len(skills.start) - 1), np.diff(skills.start))
    return np.bincount(owner[_broken(skills.codes, skills.names)], minlength=len(skills.start) - 1) > 0


def _identity_keys(response: Ints | None, item: Ints, sort_key: NDArray[Any] | None) -> tuple[NDArray[Any], ...]:
    """Return the columns that identify a response of a student: its id, or else its order; and its item.

    An id of several items is none of a response: a column with this name may hold the answers that students chose.
    """
    if response is not None:
        pairs = response.astype(i64) * (int(item.max(initial=0)) + 2) + item
        return (np.unique(pairs, return_inverse=True)[1],)
    return () if sort_key is None else (sort_key, item)


# ── invalid rows ─────────────────────────────────────────────────────────────────────────────────


def _check_rows(
    table: Mapping[str, pa.ChunkedArray], invalid: Mapping[str, Bools], rows: Longs, source: Source, options: Options
) -> Report:
    """Count each invalid row by its first invalid column. Raises ResponsesError unless `skip_bad`."""
    if "correct" in invalid:
        _check_scores(table["correct"], invalid["correct"], source, options.skip_bad)
    if "credit" in invalid:
        _check_scale(table["credit"], rows, source)
    skipped, examples = dict(source.dropped), dict(source.examples)
    counted = np.zeros(len(rows), np.bool_)
    first_rows, number = [], {}
    for column, is_invalid in invalid.items():
        new = is_invalid & ~counted
        if new.any():
            first_rows.append((int(new.argmax()), column))
            number[column] = int(new.sum())
            skipped[REASONS[column]] = skipped.get(REASONS[column], 0) + number[column]
            counted |= new
    for k, column in sorted(first_rows):
        title, value = source.column_names.get(column, column), table[column][k].as_py()
        most = number[column] * 2 > len(rows)
        message = source.error_message(title, int(rows[k]), value, source.expected(column, value, most))
        if column == "correct" and not options.skip_bad and is_score(value):
            others = {name: other for name, other in _mapping(source).items() if name != "correct"}
            raise score_in_row(message, title, others if source.column_names and not source.published else None)
        if not options.skip_bad and isinstance(value, str) and "\n" in value and source.column_names:
            raise ResponsesError(message, "close the quote, or read all quotes as characters with {}", quoting=False)
        if not options.skip_bad or (most and column in ("order", "time") and counted.all()):
            raise _invalid_row(message, column, value, most, source)
        examples.setdefault(REASONS[column], message)
    num_rows = len(rows) + sum(source.dropped.values())
    full_credit = "correct" not in invalid
    return Report(num_rows, skipped, examples, columns=dict(source.recognised), full_credit=full_credit)


def _check_scores(column: pa.ChunkedArray, invalid: Bools, source: Source, skip_bad: bool) -> None:
    """Raise ResponsesError if a column of correctness has many other values than 0 and 1.

    Skipping them would leave the rows with 0 and 1 only, as if these points or chosen options were answers. In a column
    that was guessed by its name, a tenth is many; in another one, of which invalid rows are skipped, a half.
    """
    guessed = source.recognised.get("correct")
    is_certain = guessed is None or among(CERTAIN, [guessed])
    if is_certain and (not skip_bad or source.published):
        return
    others = invalid & ~cells.is_missing(column, ())
    answers = len(others) - (invalid & ~others).sum()
    if is_certain and others.sum() == answers:
        return  # no valid row remains, which is an error of its own
    if others.any() and others.sum() > (0.5 if is_certain else 1 - MOST_ANSWERS) * answers:
        value, name = column[int(others.argmax())].as_py(), source.column_names.get("correct", "correct")
        raise not_scored(source.name, guessed or name, "rows", value, _mapping(source), is_named=not is_certain)


def _check_scale(column: pa.ChunkedArray, rows: Longs, source: Source) -> None:
    """Raise ResponsesError if most scores exceed 1, such as percentages. Skipping them would leave low scores only."""
    exceeds = cells.parse_numbers(column) > 1
    if exceeds.sum() * 2 > (~cells.is_missing(column, ())).sum():
        first = int(exceeds.argmax())
        title, value = source.column_names.get("credit", "credit"), column[first].as_py()
        message = source.error_message(title, int(rows[first]), value, source.expected("credit", value, most=True))
        raise _invalid_row(message, "credit", value, True, source)


def _mapping(source: Source) -> dict[str, str | None]:
    """Return the mapping of the columns that the source does not name as alsim does."""
    return {name: title for name, title in source.column_names.items() if name != title}


def _count_unknown(
    report: Report, table: Mapping[str, pa.ChunkedArray], unknown: Mapping[str, Bools], source: Source
) -> Report:
    """Return the report with the numbers of values that are read as unknown, and a message about the first of each."""
    found = {name: flags for name, flags in unknown.items() if flags.any()}
    examples = {}
    for name, flags in found.items():
        row, title = int(flags.argmax()), source.column_names.get(name, name)
        value = table[name][row].as_py()
        examples[name] = source.error_message(title, source.index(row), value, source.expected(name, value, True))
    return replace(report, unknown={name: int(flags.sum()) for name, flags in found.items()}, unknown_examples=examples)


def _invalid_row(message: str, column: str, value: Any, most: bool, source: Source) -> ResponsesError:
    """Return the error about an invalid row, with the cure for a few of them or, if `most` are invalid, for all.

    value  the invalid value
    """
    can_map, is_empty = source.column_names and not source.published, value in (None, "")
    mapping = _mapping(source)
    if column == "event":
        cure = "empty the answer of a study event, or the kind of a response, or skip such rows with {}"
        return ResponsesError(message, cure, skip_bad=True)
    if not most and can_map and column == "time":
        cure = f"{'fill' if is_empty else 'correct'} the cell, skip invalid rows with {{}}, or sort by another column "
        cure += "with {}"
        return ResponsesError(message, cure, skip_bad=True, columns={**mapping, "order": "NAME"})
    if not most and not (can_map and column == "response"):  # which may hold chosen answers, some of them omitted
        return ResponsesError(message, "correct the cell, or skip invalid rows with {}", skip_bad=True)
    if not can_map:
        return ResponsesError(message, "correct these values")
    if column == "credit" and mapping.get("correct") == mapping.get("credit"):
        mapping.pop("correct", None)
    if column in ("order", "time", "response"):
        verb = "convert" if most and not is_empty else "fill"
        cure = f"{verb} the column, or read the log without {column}, with {{}}"
        return ResponsesError(message, cure, columns={**mapping, column: None})
    first = "fill the column" if is_empty else FIRST_CURES.get(column, "fill the column")
    return ResponsesError(message, f"{first}, or name another column with {{}}", columns={**mapping, column: "NAME"})


def _drop_unused_labels(rows: Rows, labels: Labels, source: Source) -> tuple[Rows, Labels]:
    """Remove the names that occur in invalid rows only."""
    if len(rows.correct) == 0:
        raise source.no_valid_row()
    student, students = cells.compact(rows.student, labels.students)
    item, items = cells.compact(rows.item, labels.items) if len(labels.items) else (rows.item, labels.items)
    skill, skills = cells.compact(rows.skill, labels.skills)
    return rows._replace(student=student, item=item, skill=skill), Labels(students, items, skills, labels.kinds)


# ── order and duplicates ─────────────────────────────────────────────────────────────────────────


def _sort(rows: Rows) -> Rows:
    """Return the rows sorted by student, and by order within a student."""
    keys = (rows.student,) if rows.sort_key is None else (rows.sort_key, rows.student)
    ascending = [key[1:] >= key[:-1] for key in keys]
    ascending[0] |= rows.student[1:] > rows.student[:-1]  # the order may decrease from one student to the next
    return rows if np.logical_and.reduce(ascending).all() else rows.take(cells.lexsort(*keys))


def _handle_duplicates(
    rows: Rows, report: Report, source: Source, options: Options, *, has_items: bool
) -> tuple[Rows, Report]:
    """Report the rows that repeat a response; keep, merge or drop them."""
    by_item = options.duplicates == "drop" and not rows.identity_keys
    if by_item:
        rows = _identified_by_item(rows, has_items, source)
    elif options.duplicates != "keep" and not rows.identity_keys:
        _log.warning(
            "%s: duplicates are not detected, as there is no column for ids of the responses or for an order that is "
            "finer than days; map order or response to one",
            source.name,
        )
    first = _first_of_response(rows)
    repeated = first != np.arange(len(first))
    if not repeated.any():
        return rows, report
    duplicates = np.flatnonzero(repeated)
    example = duplicates[rows.row[duplicates].argmin()]
    duplicate_row, first_row = (source.describe_row(int(rows.row[k])) for k in (example, first[example]))
    report = replace(
        report,
        duplicates=len(duplicates),
        removed=0 if options.duplicates == "keep" else len(duplicates),
        duplicate=f"{source.name}, {duplicate_row} repeats the response of {first_row}",
    )
    if by_item:
        _log.warning(
            "%s: there is no column for the order or for ids of the responses, so rows of one student with the same "
            "item and answer count as one response: the first of them is kept, and %s dropped",
            source.name,
            f"{len(duplicates):,} {'is' if len(duplicates) == 1 else 'are'}",
        )
    if options.duplicates == "merge":
        rows = _merge_skills(rows, first)
    return (rows if options.duplicates == "keep" else rows.take(~repeated)), report


def _identified_by_item(rows: Rows, has_items: bool, source: Source) -> Rows:
    """Return rows that are one response of a student if they have one item. Raises ResponsesError without items."""
    if has_items:
        return rows._replace(identity_keys=(rows.item,))
    raise ResponsesError(
        f"{source.name}: duplicates cannot be dropped without items, an order or ids of the responses, since equal "
        "rows may be several attempts",
        "name one of these columns with {}, or keep such rows with {}",
        columns={"order": "NAME"},
        duplicates="keep",
    )


def _first_of_response(rows: Rows) -> Longs:
    """Return for each row the index of the first row of the same response."""
    first = np.arange(len(rows.correct))
    if not rows.identity_keys:
        return first
    candidates = np.flatnonzero(_may_be_duplicates(rows))
    keys = [key[candidates] for key in (rows.correct, *rows.identity_keys, rows.student)]
    sequence = cells.lexsort(*keys)
    new = np.ones(len(sequence), np.bool_)
    new[1:] = np.logical_or.reduce([key[sequence[1:]] != key[sequence[:-1]] for key in keys])
    first[candidates[sequence]] = candidates[sequence[new]][np.cumsum(new) - 1]
    return first


def _may_be_duplicates(rows: Rows) -> Bools:
    """Return the rows that may be duplicates: a cheap test, so that few rows are compared by all keys."""
    if len(rows.identity_keys) == 1:
        response = rows.identity_keys[0]
        return np.asarray(np.bincount(response)[response] > 1)
    assert rows.sort_key is not None
    same = (rows.student[1:] == rows.student[:-1]) & (rows.sort_key[1:] == rows.sort_key[:-1])
    return np.asarray(np.append(same, False) | np.append(False, same))


def _merge_skills(rows: Rows, first: Longs) -> Rows:
    """Give the first row of each response the distinct skills of all its rows."""
    owner = np.repeat(first, np.diff(rows.skill_start))
    sequence = np.argsort(owner, kind="stable")
    owner, skill = owner[sequence], rows.skill[sequence]
    _, distinct = np.unique(owner * (int(skill.max()) + 1) + skill, return_index=True)
    kept = np.sort(distinct)
    sizes = np.bincount(owner[kept], minlength=len(first))
    return rows._replace(skill=skill[kept], skill_start=starts(sizes))


# ── result ───────────────────────────────────────────────────────────────────────────────────────


def _log_fields(rows: Rows, labels: Labels, report: Report, items_from_skills: bool) -> LogFields:
    items = _items_from_skills(rows, labels.skills) if items_from_skills else Coded(rows.item, labels.items)
    return LogFields(
        students=labels.students,
        items=items.names,
        skills=labels.skills,
        student=rows.student,
        item=items.codes,
        correct=rows.correct,
        skill=rows.skill,
        skill_start=rows.skill_start,
        row=rows.row,
        weight=np.ones(len(labels.students)),
        report=report,
        time=rows.optional.get("time"),
        seconds=rows.optional.get("seconds"),
        attempts=rows.optional.get("attempts"),
        hints=rows.optional.get("hints"),
        credit=rows.optional.get("credit"),
    )


def _add_events(fields: LogFields, events: Rows, labels: Labels, responses: Rows, source: Source) -> LogFields:
    """Return a log with its study events.

    events     rows of study events, with codes into `labels`
    responses  the rows of the log
    """
    student = cells.match(labels.students, fields.students)[events.student]
    report = fields.report
    if (lost := student < 0).any():
        row = source.describe_row(int(events.row[lost][0]))
        message = f"{source.name}, {row}: student {str(labels.students[events.student[lost][0]])!r} has no response"
        skipped = {**report.skipped, NO_RESPONSES: int(lost.sum())}
        report = replace(report, skipped=skipped, examples={**report.examples, NO_RESPONSES: message})
        events, student = events.take(~lost), student[~lost]
    rows = EventRows(
        keys=Keys(student, events.sort_key, events.row),
        kinds=labels.kinds,
        kind=events.event if events.event is not None else np.empty(0, i32),
        skills=labels.skills,
        skill=events.skill,
        skill_start=events.skill_start,
        optional={name: column for name, column in events.optional.items() if name in ("time", "seconds")},
    )
    study = place_events(rows, Keys(responses.student, responses.sort_key, responses.row), fields.skills)
    return fields._replace(study=study, report=report)


def _items_from_skills(rows: Rows, skills: Names) -> Coded:
    """Return items for a log without them: each combination of skills is an item."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if len(rows.skill) == len(rows.correct):
        return Coded(rows.skill, skills)
    names = pa.array(skills.tolist(), pa.string()).take(pa.array(rows.skill))
    combined = pc.binary_join(pa.ListArray.from_arrays(rows.skill_start.astype(i32), names), "~~")
    return cells.encode(pa.chunked_array([combined]))
