"""From columns, matrices and datasets to a response log: bad rows, duplicates, and the order of responses."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alsim.responses import cells
from alsim.responses.cells import Coded, Lists, Names, places, starts
from alsim.responses.log import Responses
from alsim.responses.report import Duplicates, Report, ResponsesError
from alsim.types import Bools, Codes, Ints, Longs, f64, i32

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ("student", "skill", "item", "correct", "order", "response")
"""What a row may say of a response, by our names."""

EXPECTED = {
    "student": "a name",
    "skill": "a name",
    "item": "a name",
    "correct": "0 or 1",
    "order": "a number, or a time as 2024-05-02 10:01:30, as most rows have",
    "response": "an id",
}
BAD = {
    "student": "no student",
    "skill": "no skill",
    "item": "no item",
    "correct": "correct is neither 0 nor 1",
    "order": "the order does not sort",
    "response": "no response id",
}
"""What is wrong with a row, by the column that is at fault."""


class Options(NamedTuple):
    """How to take a log, as of `Responses.from_arrays`."""

    separator: str | None = "~~"
    duplicates: Duplicates = "keep"
    skip_bad: bool = False


@dataclass(frozen=True)
class Source:
    """Where rows come from, for messages.

    name     of the file, or what else it is
    titles   the source's name for each of our columns
    place    in words, of a row that is counted from 0
    rows     of the source, where some were left out before: (R,) the row of each that is here
    dropped  how many rows were left out before, by what was wrong with them
    said     of the first of them
    """

    name: str
    titles: Mapping[str, str] = field(default_factory=dict)
    place: Callable[[int], str] = "row {}, counted from 0".format
    rows: Longs | None = None
    dropped: Mapping[str, int] = field(default_factory=dict)
    said: Mapping[str, str] = field(default_factory=dict)

    def number(self, row: int) -> int:
        """Return which row of the source a row is."""
        return row if self.rows is None else int(self.rows[row])

    def fault(self, title: str, row: int, value: Any, expected: str) -> str:
        """Say what is wrong with one cell."""
        shown = "an empty cell" if value is None or value == "" else reprlib.repr(value)
        return f"{self.name}, {self.place(row)}, column {title}: {shown}; expected {expected}"


class Rows(NamedTuple):
    """The rows of a log in their own order, checked.

    sort   (R,) numbers that sort a student's responses; None where they are in order
    keys   what makes two rows of a student one response; empty where nothing tells
    """

    student: Ints
    item: Ints
    correct: Codes
    skill: Ints
    skill_start: Longs
    row: Longs
    sort: NDArray[Any] | None
    keys: tuple[NDArray[Any], ...]

    def take(self, chosen: NDArray[Any]) -> Rows:
        """Return some rows, by booleans or indices."""
        chosen = np.flatnonzero(chosen) if chosen.dtype == np.bool_ else chosen
        sizes = np.diff(self.skill_start)[chosen]
        return Rows(
            student=self.student[chosen],
            item=self.item[chosen],
            correct=self.correct[chosen],
            skill=self.skill[places(self.skill_start[chosen], sizes)],
            skill_start=starts(sizes),
            row=self.row[chosen],
            sort=None if self.sort is None else self.sort[chosen],
            keys=tuple(key[chosen] for key in self.keys),
        )


def build(columns: Mapping[str, Any], source: Source, options: Options) -> Responses:
    """Build a log from columns by our names, whatever holds them: the rest as of `Responses.from_arrays`."""
    if options.duplicates not in ("keep", "merge", "drop"):
        raise ResponsesError(f"duplicates are to keep, merge or drop; got {options.duplicates!r}")
    if options.separator == "":
        raise ResponsesError("the separator of skills is a text or None; got an empty one")
    if "skill" not in columns and "item" not in columns:
        raise ResponsesError(f"{source.name}: a response log has skills or items, or both; got neither")
    try:
        table = {name: cells.arrow(columns[name]) for name in COLUMNS if name in columns}
    except UnicodeEncodeError as error:  # half a surrogate pair
        raise ResponsesError(f"{source.name}: a name is no Unicode text: {error.object!r:.100}") from None
    lengths = {name: len(column) for name, column in table.items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise ResponsesError(f"{source.name}: the columns are of different lengths: {said}")
    if lengths["correct"] == 0:
        raise ResponsesError(f"{source.name}: there is no response")
    return _build(table, source, options)


def _build(table: Mapping[str, pa.ChunkedArray], source: Source, options: Options) -> Responses:
    length = len(table["correct"])
    students = cells.coded(table["student"])
    items = cells.coded(table["item"]) if "item" in table else Coded(np.zeros(length, i32), np.empty(0, np.str_))
    if "skill" in table:
        skills = cells.listed(table["skill"], options.separator)
    else:
        skills = Lists(items.codes, np.arange(length + 1), items.names)
    sort, unsorted = cells.order(table["order"]) if "order" in table else (None, None)
    response = cells.coded(table["response"]).codes if "response" in table else None
    correct = cells.answers(table["correct"])
    faults = {
        "student": students.codes < 0,
        "skill": np.diff(skills.start) == 0,
        "item": items.codes < 0,
        "correct": correct < 0,
        "order": unsorted,
        "response": None if response is None else response < 0,
    }
    rows = Rows(
        student=students.codes,
        item=items.codes,
        correct=correct,
        skill=skills.codes,
        skill_start=skills.start,
        row=np.arange(length) if source.rows is None else source.rows,
        sort=sort,
        keys=_keys(response, items.codes, sort),
    )
    names = (students.names, items.names, skills.names)
    bad = {column: fault for column, fault in faults.items() if column in table and fault is not None}
    report = _checked(table, bad, rows.row, source, options)
    good = ~np.logical_or.reduce(list(bad.values()))
    if not good.all():
        rows, names = _kept(rows.take(good), names, source)
    rows, report = _without_duplicates(_in_order(rows), report, source, options)
    return _log(rows, names, report, by_skills="item" not in table)


def _keys(response: Ints | None, item: Ints, sort: NDArray[Any] | None) -> tuple[NDArray[Any], ...]:
    """Return what makes two rows of one student one response."""
    if response is not None:
        return (response,)
    return () if sort is None else (sort, item)


def _checked(
    table: Mapping[str, pa.ChunkedArray], bad: Mapping[str, Bools], rows: Longs, source: Source, options: Options
) -> Report:
    """Refuse bad rows, or count each by the first column that is at fault."""
    skipped, examples = dict(source.dropped), dict(source.said)
    seen = np.zeros(len(rows), np.bool_)
    firsts = []
    for column, fault in bad.items():
        fresh = fault & ~seen
        if fresh.any():
            firsts.append((int(fresh.argmax()), column))
            skipped[BAD[column]] = int(fresh.sum())
            seen |= fresh
    for k, column in sorted(firsts):
        title = source.titles.get(column, column)
        examples[BAD[column]] = source.fault(title, int(rows[k]), table[column][k].as_py(), EXPECTED[column])
        if not options.skip_bad:
            raise ResponsesError(examples[BAD[column]])
    return Report(len(rows) + sum(source.dropped.values()), skipped, examples)


def _kept(rows: Rows, names: tuple[Names, Names, Names], source: Source) -> tuple[Rows, tuple[Names, Names, Names]]:
    """Forget the names that only bad rows had."""
    if len(rows.correct) == 0:
        raise ResponsesError(f"{source.name}: there is no good row")
    student, students = cells.compact(rows.student, names[0])
    item, items = cells.compact(rows.item, names[1]) if len(names[1]) else (rows.item, names[1])
    skill, skills = cells.compact(rows.skill, names[2])
    return rows._replace(student=student, item=item, skill=skill), (students, items, skills)


def _in_order(rows: Rows) -> Rows:
    """Return rows student by student, each student's in order."""
    keys = (rows.student,) if rows.sort is None else (rows.sort, rows.student)
    steps = [key[1:] >= key[:-1] for key in keys]
    steps[0] |= rows.student[1:] > rows.student[:-1]  # an order may fall from one student to the next
    return rows if np.logical_and.reduce(steps).all() else rows.take(cells.sequence_of(*keys))


def _without_duplicates(rows: Rows, report: Report, source: Source, options: Options) -> tuple[Rows, Report]:
    """Find rows that repeat a response, and do with them as told."""
    group = _groups(rows)
    again = group != np.arange(len(group))
    if not again.any():
        return rows, report
    repeats = np.flatnonzero(again)
    one = repeats[rows.row[repeats].argmin()]
    here, there = (source.place(int(rows.row[k])) for k in (one, group[one]))
    report = replace(
        report, duplicates=len(repeats), duplicate=f"{source.name}, {here} repeats the response of {there}"
    )
    if options.duplicates == "merge":
        rows = _merged(rows, group)
    return (rows if options.duplicates == "keep" else rows.take(~again)), report


def _groups(rows: Rows) -> Longs:
    """Return for each row the first row of the same response."""
    group = np.arange(len(rows.correct))
    if not rows.keys:
        return group
    candidates = np.flatnonzero(_shared(rows))
    keys = [key[candidates] for key in (rows.correct, *rows.keys, rows.student)]
    sequence = cells.sequence_of(*keys)
    fresh = np.ones(len(sequence), np.bool_)
    fresh[1:] = np.logical_or.reduce([key[sequence[1:]] != key[sequence[:-1]] for key in keys])
    group[candidates[sequence]] = candidates[sequence[fresh]][np.cumsum(fresh) - 1]
    return group


def _shared(rows: Rows) -> Bools:
    """Return which rows may be one response with another: few, so that few are compared by all that tells."""
    if len(rows.keys) == 1:
        return np.asarray(np.bincount(rows.keys[0])[rows.keys[0]] > 1)  # response ids
    assert rows.sort is not None
    same = (rows.student[1:] == rows.student[:-1]) & (rows.sort[1:] == rows.sort[:-1])
    return np.asarray(np.append(same, False) | np.append(False, same))


def _merged(rows: Rows, group: Longs) -> Rows:
    """Give the first row of each response the skills of all, each once."""
    owner = np.repeat(group, np.diff(rows.skill_start))
    sequence = np.argsort(owner, kind="stable")
    owner, skill = owner[sequence], rows.skill[sequence]
    _, first = np.unique(owner * (int(skill.max()) + 1) + skill, return_index=True)
    kept = np.sort(first)
    sizes = np.bincount(owner[kept], minlength=len(group))
    return rows._replace(skill=skill[kept], skill_start=starts(sizes))


def _log(rows: Rows, names: tuple[Names, Names, Names], report: Report, by_skills: bool) -> Responses:
    students, items, skills = names
    item = rows.item
    if by_skills:
        item, items = _by_skills(rows, skills)
    return Responses(
        students=students,
        items=items,
        skills=skills,
        student=rows.student,
        item=item,
        correct=rows.correct,
        skill=rows.skill,
        skill_start=rows.skill_start,
        row=rows.row,
        weight=np.ones(len(students)),
        report=report,
    )


def _by_skills(rows: Rows, skills: Names) -> Coded:
    """Take the skills of each response, whatever they are together, for its item."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if len(rows.skill) == len(rows.correct):
        return Coded(rows.skill, skills)
    named = pa.array(skills.tolist(), pa.string()).take(pa.array(rows.skill))
    together = pc.binary_join(pa.ListArray.from_arrays(rows.skill_start.astype(i32), named), "~~")
    return cells.coded(pa.chunked_array([together]))


# ── tables ───────────────────────────────────────────────────────────────────────────────────────


def titles_of(columns: Mapping[str, str | None] | None, there: Sequence[str], name: str) -> dict[str, str]:
    """Return the source's name for each of our columns that it has.

    columns  as of `Responses.from_table`
    there    the source's own names
    name     of the source, for messages
    """
    mapping = dict(columns or {})
    if unknown := [ours for ours in mapping if ours not in (*COLUMNS, "timestamp")]:
        raise ResponsesError(f"a response log has no {unknown[0]!r}; its columns are {', '.join(COLUMNS)}")
    if "timestamp" in mapping:
        if mapping.get("order"):
            raise ResponsesError("order and timestamp are two names of one column; both are mapped")
        mapping["order"] = mapping.pop("timestamp")
    held = ", ".join(map(repr, there))
    titles = {}
    for ours in COLUMNS:
        theirs = mapping[ours] if ours in mapping else next((n for n in _OWN_NAMES[ours] if n in there), None)
        if theirs is None:
            continue
        if theirs not in there:
            raise ResponsesError(f"{name}: there is no column {theirs!r} for {ours}; the columns are {held}")
        if list(there).count(theirs) > 1:
            raise ResponsesError(f"{name}: more than one column is named {theirs!r}")
        titles[ours] = theirs
    missing = [ours for ours in ("student", "correct") if ours not in titles]
    if not missing and "skill" not in titles and "item" not in titles:
        missing = ["skill"]
    if missing:
        raise ResponsesError(
            f"{name}: there is no column {missing[0]!r}, and none is mapped to it; the columns are {held}"
        )
    return titles


_OWN_NAMES = {ours: (ours,) for ours in COLUMNS} | {"order": ("order", "timestamp")}


def from_table(table: Any, columns: Mapping[str, str | None] | None, options: Options) -> Responses:
    """Build a log from a table: as `Responses.from_table`."""
    titles = titles_of(columns, _column_names(table), "the table")
    named = {ours: table[theirs] for ours, theirs in titles.items()}
    return build(named, Source("the table", titles), options)


def _column_names(table: Any) -> list[Any]:
    """Return the names of a table's columns, whatever kind of table it is."""
    if isinstance(table, Mapping):
        return list(table)
    if isinstance(table, np.ndarray) and table.dtype.names:
        return list(table.dtype.names)
    for names in ("column_names", "columns"):  # Arrow's, pandas'
        if not isinstance(table, np.ndarray) and hasattr(table, names):
            return list(getattr(table, names))
    raise ResponsesError(
        f"a table is one of Arrow or pandas, a dictionary of columns or a structured array; got {type(table).__name__}"
    )


# ── matrices ─────────────────────────────────────────────────────────────────────────────────────

BLANK, BAD_CELL = -1, -2
"""What a matrix of codes has for no response, and for a cell that is neither that nor an answer."""


def matrix_codes(column: pa.ChunkedArray, missing: Iterable[Any]) -> Codes:
    """Return 0 or 1 for each answer, BLANK where a cell is missing, BAD_CELL for another value."""
    codes = cells.answers(column)
    codes[codes < 0] = BAD_CELL
    codes[cells.missing(column, missing)] = BLANK
    return codes


def from_matrix(
    matrix: ArrayLike,
    items: Sequence[Any] | None,
    skills: Sequence[Any] | None,
    students: Sequence[Any] | None,
    weight: ArrayLike | None,
    missing: Iterable[Any],
    skip_bad: bool,
) -> Responses:
    """Build a log from a matrix: as `Responses.from_matrix`."""
    if items is None and hasattr(matrix, "columns"):
        items = list(matrix.columns)  # pandas'
    values = np.asarray(matrix)
    if values.ndim != 2 or values.size == 0:
        raise ResponsesError(f"a matrix of responses is of students and items; got shape {values.shape}")
    codes = matrix_codes(cells.arrow(values.ravel()), missing).reshape(values.shape)
    named = Wide(codes, items, skills, students, weight)
    return from_wide(named, Source("the matrix"), lambda row, column: values[row, column], skip_bad)


class Wide(NamedTuple):
    """A matrix of codes (S, I), and the names of what it is of; as of `Responses.from_matrix`."""

    codes: Codes
    items: Sequence[Any] | None = None
    skills: Sequence[Any] | None = None
    students: Any = None
    weight: Any = None


def from_wide(wide: Wide, source: Source, value: Callable[[int, int], Any], skip_bad: bool) -> Responses:
    """Build a log from a matrix of codes; `value` returns a cell as it stood, for messages."""
    number, width = wide.codes.shape
    items = _named(wide.items, width, "items")
    students = _named(wide.students, number, "students")
    weight = _weights(wide.weight, number, source)
    own = Coded(np.arange(width, dtype=i32), items)
    if wide.skills is not None:
        own = cells.coded(cells.arrow(list(wide.skills)))
    if len(own.codes) != width or (own.codes < 0).any():
        raise ResponsesError(f"skills are the names of one skill for each of {width} items; got {wide.skills!r:.200}")
    skipped, examples = dict(source.dropped), dict(source.said)
    bad = np.argwhere(wide.codes == BAD_CELL)
    if len(bad):
        row, column = map(int, bad[0])
        said = source.fault(str(items[column]), source.number(row), value(row, column), "0, 1 or nothing")
        if not skip_bad:
            raise ResponsesError(said)
        skipped[BAD["correct"]], examples[BAD["correct"]] = len(bad), said
    student, item = np.nonzero(wide.codes >= 0)
    if len(student) == 0:
        raise ResponsesError(f"{source.name}: there is no response")
    return Responses(
        students=students,
        items=items,
        skills=own.names,
        student=student.astype(i32),
        item=item.astype(i32),
        correct=wide.codes[student, item],
        skill=own.codes[item],
        skill_start=np.arange(len(student) + 1),
        row=student if source.rows is None else source.rows[student],
        weight=weight,
        report=Report(number + sum(source.dropped.values()), skipped, examples),
    )


def _named(given: Any, number: int, what: str) -> Names:
    """Return the names of rows or columns, which are all different: those given, or their numbers."""
    if given is None:
        return np.arange(number).astype(np.str_)
    named = cells.coded(cells.arrow(given))
    if len(named.codes) != number:
        raise ResponsesError(f"the matrix has {number} {what}; got {len(named.codes)} names")
    if len(named.names) < number:
        counts = np.bincount(named.codes + 1)
        wrong = named.names[counts[1:].argmax()] if counts[0] == 0 else ""
        raise ResponsesError(
            f"{what} of a matrix have each a name of their own; got {str(wrong)!r} twice or for nothing"
        )
    return named.names


def _weights(given: Any, number: int, source: Source) -> NDArray[f64]:
    """Return how many students each row stands for."""
    if given is None:
        return np.ones(number)
    weight = cells.numbers(cells.arrow(given))
    if weight.shape != (number,):
        raise ResponsesError(f"there is one weight for each of {number} students; got {len(weight)}")
    wrong = ~(np.isfinite(weight) & (weight >= 0))
    if wrong.any():
        row = int(wrong.argmax())
        place = source.place(source.number(row))
        raise ResponsesError(f"{source.name}, {place}: its weight is no number of students, finite and >= 0")
    return weight


# ── datasets of simulated learners ───────────────────────────────────────────────────────────────


class Simulated(Protocol):
    """What this module asks of a dataset: events, in parts, and the bank that they are from."""

    @property
    def bank(self) -> Any:
        """The questions."""

    def parts(self) -> Iterator[Any]:
        """Datasets of one shard each."""


def from_dataset(dataset: Simulated) -> Responses:
    """Build a log from the answered questions of a dataset: as `Responses.from_dataset`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    taken, before = [], 0
    for part in dataset.parts():
        events = part.events.select(["learner_id", "episode", "item", "correct"])
        row = pa.array(np.arange(before, before + len(events)))
        before += len(events)
        taken.append(events.append_column("row", row).filter(pc.is_valid(events["correct"])))
    table = pa.concat_tables(taken)
    if len(table) == 0:
        raise ResponsesError(f"{dataset!r}: no question was answered")
    bank = dataset.bank
    students = pc.binary_join_element_wise(
        table["learner_id"].cast(pa.string()), table["episode"].cast(pa.string()), "/"
    )
    questions = table["item"].to_numpy()
    outcomes = np.asarray(bank.questions.learning_outcome)[questions]
    columns = {
        "student": students,
        "skill": pa.DictionaryArray.from_arrays(outcomes, pa.array(bank.outcomes)),
        "item": pa.DictionaryArray.from_arrays(questions, pa.array(bank.questions.id)),
        "correct": table["correct"],
    }
    return build(columns, Source(repr(dataset), rows=table["row"].to_numpy()), Options(separator=None))
