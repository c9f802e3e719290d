"""Response logs: the responses of students to items, in order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from alsim.responses.building import build
from alsim.responses.cells import Names, match, places, starts
from alsim.responses.matrices import build_from_matrix
from alsim.responses.report import Duplicates, Report, ResponsesError
from alsim.responses.simulated import Simulated, build_from_dataset
from alsim.responses.source import Options, Source
from alsim.responses.study import StudyEvents
from alsim.responses.tables import build_from_table
from alsim.types import Codes, Doubles, Ints, Longs, i8, i32, i64

PER_RESPONSE = ("time", "seconds", "attempts", "hints", "credit")
"""Optional fields of a log that have one value per response."""


@dataclass(frozen=True, eq=False)
class Responses:
    """R responses of S students to I items of K skills, sorted by student and, within a student, by order.

    students     (S,)   names, in order of first appearance
    items        (I,)   names; in a log without items, the names of the skills or of their combinations
    skills       (K,)   names
    student      (R,)   int32, index into `students`; non-decreasing
    item         (R,)   int32, index into `items`
    correct      (R,)   int8, 0 or 1; 1 for full credit if the source has credit only
    skill        (X,)   int32, index into `skills`; response r has the skills skill[skill_start[r]:skill_start[r + 1]]
    skill_start  (R+1,) int64; each response has at least one skill
    row          (R,)   int64, index of the response in its source, from 0
    weight       (S,)   float64, number of students that each student stands for; 1 unless the log counts patterns
    report       numbers of rows read, skipped and duplicated
    time         (R,)   float64, time in seconds: since 1970-01-01 00:00 UTC, or since another origin of the log; NaN if
                        unknown, None if the log has no times
    seconds      (R,)   float64, response time in seconds; NaN if unknown, None if the log has none
    attempts     (R,)   int32, number of attempts at the item; -1 if unknown, None if the log has none
    hints        (R,)   int32, number of hints; -1 if unknown, None if the log has none
    credit       (R,)   float64, score in [0, 1], which may be partial credit; NaN if unknown, None if the log has none
    study        study events between the responses; None if the log has none
    start        (S+1,) int64; the responses of student s are those from start[s] to start[s + 1] - 1
    """

    students: Names
    items: Names
    skills: Names
    student: Ints
    item: Ints
    correct: Codes
    skill: Ints
    skill_start: Longs
    row: Longs
    weight: Doubles
    report: Report = field(default_factory=Report)
    time: Doubles | None = None
    seconds: Doubles | None = None
    attempts: Ints | None = None
    hints: Ints | None = None
    credit: Doubles | None = None
    study: StudyEvents | None = None
    start: Longs = field(init=False)

    def __post_init__(self) -> None:
        counts = np.bincount(self.student, minlength=len(self.students))
        object.__setattr__(self, "start", starts(counts))

    def __len__(self) -> int:
        return len(self.correct)

    def __repr__(self) -> str:
        return (
            f"<Responses: {len(self):,} of {len(self.students):,} students to {len(self.items):,} items "
            f"of {len(self.skills):,} skills{self._additions()}>"
        )

    def _additions(self) -> str:
        """Return the end of `repr`: the optional columns and study events that the log has."""
        names = [name for name in PER_RESPONSE if getattr(self, name) is not None]
        if self.study is not None:
            names.append(f"{len(self.study):,} study event{'' if len(self.study) == 1 else 's'}")
        return f"; with {', '.join(names)}" if names else ""

    @property
    def num_students(self) -> int:
        """The number of students, S."""
        return len(self.students)

    @property
    def num_respondents(self) -> float:
        """The number of students with responses, each counted as often as its weight says; at most `weight.sum()`."""
        return float(self.weight[np.diff(self.start) > 0].sum())

    @property
    def num_responses(self) -> int:
        """The number of responses, each counted as often as the weight of its student says, rounded; R without weights.

        It is at least 1 if any response has a positive weight.
        """
        return int(_rounded(self.weight @ np.diff(self.start)))

    def skill_counts(self) -> Longs:
        """Return the number (K,) of responses to each skill, counted and rounded as `num_responses`.

        A response with several skills counts for each of them.
        """
        owner = np.repeat(self.student, np.diff(self.skill_start))
        return _rounded(np.bincount(self.skill, self.weight[owner], minlength=len(self.skills)))

    @property
    def num_items(self) -> int:
        """The number of items, I."""
        return len(self.items)

    @property
    def num_skills(self) -> int:
        """The number of skills, K."""
        return len(self.skills)

    @property
    def single_skill(self) -> bool:
        """True if each response has exactly one skill."""
        return len(self.skill) == len(self)

    @classmethod
    def from_arrays(
        cls,
        student: ArrayLike,
        correct: ArrayLike | None,
        *,
        skill: ArrayLike | Sequence[Sequence[Any]] | None = None,
        item: ArrayLike | None = None,
        order: ArrayLike | None = None,
        response: ArrayLike | None = None,
        time: ArrayLike | None = None,
        seconds: ArrayLike | None = None,
        attempts: ArrayLike | None = None,
        hints: ArrayLike | None = None,
        credit: ArrayLike | None = None,
        event: ArrayLike | None = None,
        separator: str | None = "~~",
        duplicates: Duplicates = "keep",
        skip_bad: bool = False,
    ) -> Responses:
        """Build a log from columns of R rows: NumPy arrays, sequences, Arrow arrays, or series of pandas or polars.

        student     names or numbers
        correct     0 or 1, or false or true, as numbers, booleans or texts. None: 1 where `credit` is 1, else 0
        skill       names or numbers; sequences of them if some responses have several skills
        item        names or numbers. Default: the skills
        order       numbers or times that sort the responses of a student. Default: `time`, or the order of the rows
        response    ids of the responses, which identify duplicates
        time        times of the responses: seconds, or dates and times
        seconds     response times in seconds, or durations; missing, negative and invalid ones become NaN
        attempts    numbers of attempts; missing and invalid ones become -1
        hints       numbers of hints; missing and invalid ones become -1
        credit      scores in [0, 1] for models that use partial credit; invalid ones become NaN, or are errors if
                    `correct` is None
        event       kinds of study events, such as "read"; missing for a response. A row of a study event needs a
                    student and an order or time, but no answer, skill or item
        separator   separator between the skills of one response in a text; None for no separator
        duplicates  "keep" rows that repeat a response (see `Report`), "drop" all but the first, or "merge" them into
                    one response with all their skills
        skip_bad    skip invalid rows and count them in `report`, instead of raising an error

        Raises ResponsesError for columns of different lengths and for the first invalid row: a `correct` that is not
        an answer, a missing student, skill or item, or an order that is neither a number nor a time.
        """
        columns = {"student": student, "correct": correct, "skill": skill, "item": item, "order": order}
        columns |= {"response": response, "time": time, "seconds": seconds, "attempts": attempts, "hints": hints}
        columns |= {"credit": credit, "event": event}
        passed = {name: column for name, column in columns.items() if column is not None}
        fields = build(passed, Source("responses"), Options(separator, duplicates, skip_bad))
        return cls(**fields._asdict())

    @classmethod
    def from_table(
        cls,
        table: Any,
        columns: Mapping[str, str | None] | None = None,
        *,
        separator: str | None = "~~",
        duplicates: Duplicates = "keep",
        skip_bad: bool = False,
    ) -> Responses:
        """Build a log from a table of Arrow, pandas or polars, a dictionary of columns, or a structured array.

        columns  mapping from alsim's names (student, correct, skill, item, order or timestamp, response) to the table's
                 names. A column that is not mapped is read under alsim's name if the table has it; None omits a column.
                 The optional columns time, seconds, attempts, hints, credit and event are read only if they are
                 mapped. If credit is mapped, and there is no column for correct, full credit is correct.
                 If student, correct, or both skill and item are then missing, columns are recognised by common names,
                 such as user_id and is_correct: `report.columns` lists them, and a warning is logged

        The other arguments are those of `from_arrays`. Raises ResponsesError as `from_arrays` does, for a column that
        the table does not have, and for two names that could each be the same column.
        """
        fields = build_from_table(table, columns, Options(separator, duplicates, skip_bad))
        return cls(**fields._asdict())

    @classmethod
    def from_matrix(
        cls,
        matrix: ArrayLike,
        *,
        items: Sequence[Any] | None = None,
        skills: Sequence[Any] | None = None,
        students: Sequence[Any] | None = None,
        weight: ArrayLike | None = None,
        missing: Iterable[Any] = (-1,),
        skip_bad: bool = False,
    ) -> Responses:
        """Build a log from a matrix (S, I) of 0 and 1, or booleans; NaN, None and masked cells are missing.

        matrix    array, or data frame of pandas or polars, one row per student
        items     (I,) names. Default: 0 to I - 1, or the columns of a data frame
        skills    (I,) the skill of each item. Default: each item is its own skill
        students  (S,) names. Default: 0 to S - 1, or the index of a data frame if it is not the default one
        weight    (S,) number of students that each row stands for. Default: 1
        missing   other values that mean a missing response
        skip_bad  skip invalid cells and count them in `report`, instead of raising an error

        The responses of a student are in the order of the columns; item response models do not use the order.
        Raises ResponsesError for other values, naming the row and column, and for shapes that do not match.
        """
        fields = build_from_matrix(
            matrix,
            items=items,
            skills=skills,
            students=students,
            weight=weight,
            missing=missing,
            skip_bad=skip_bad,
        )
        return cls(**fields._asdict())

    @classmethod
    def from_dataset(cls, dataset: Simulated, *, times: bool = False) -> Responses:
        """Build a log from the answered questions of a dataset of simulated learners.

        dataset  the result of `alsim.load_dataset` or `alsim.generate_dataset`
        times    True for a log with times, in seconds since the start of the episode, at which questions were shown,
                 and with contents as study events, for models that know time

        Skills are the learning outcomes, items the questions. A student is a learner in one episode, named
        "learner/episode", because mastery and ability are reset at the start of each episode (clause S1.6).
        """
        return cls(**build_from_dataset(dataset, times=times)._asdict())

    def subset(self, students: ArrayLike) -> Responses:
        """Return the log of some students, in the order of `students`; items and skills keep their codes.

        students  indices into `students`, each at most once, or (S,) booleans

        Raises ResponsesError for other values.
        """
        chosen = np.asarray(students)
        if chosen.dtype == np.bool_ and chosen.shape == (len(self.students),):
            chosen = np.flatnonzero(chosen)
        if chosen.ndim != 1 or (len(chosen) and chosen.dtype.kind not in "iu"):
            raise ResponsesError(
                f"students must be integers, or booleans of shape ({len(self.students)},); "
                f"got {chosen.dtype} of shape {chosen.shape}",
                "pass indices into `students`, or one boolean per student",
            )
        if len(chosen) and not (chosen.min() >= 0 and chosen.max() < len(self.students)):
            invalid = chosen.min() if chosen.min() < 0 else chosen.max()
            raise ResponsesError(
                f"students must be integers in [0, {len(self.students)}); got {invalid}", "pass indices into `students`"
            )
        values, counts = np.unique(chosen, return_counts=True)
        if len(values) < len(chosen):
            raise ResponsesError(
                f"students must be distinct; got {values[counts.argmax()]} more than once", "pass each of them once"
            )
        chosen = chosen.astype(i64)
        sizes = self.start[chosen + 1] - self.start[chosen]
        rows = places(self.start[chosen], sizes)
        return replace(
            replace(self, study=None)._take(rows),
            students=self.students[chosen],
            student=np.repeat(np.arange(len(chosen), dtype=i32), sizes),
            weight=self.weight[chosen],
            study=None if self.study is None else self.study.subset(chosen, self.start),
        )

    def take(self, rows: ArrayLike) -> Responses:
        """Return the log of some responses, given by (R,) booleans or by increasing indices.

        Students, items and skills keep their names and codes, also those without responses. Study events are kept.
        The report is unchanged. Raises ResponsesError for other values.
        """
        chosen = np.asarray(rows)
        if chosen.dtype == np.bool_ and chosen.shape == (len(self),):
            return self._take(np.flatnonzero(chosen))
        if chosen.ndim != 1 or (len(chosen) and chosen.dtype.kind not in "iu"):
            raise ResponsesError(
                f"rows must be integers, or booleans of shape ({len(self)},); "
                f"got {chosen.dtype} of shape {chosen.shape}",
                "pass indices of responses, or one boolean per response",
            )
        chosen = chosen.astype(i64)
        if len(chosen) and not (chosen[0] >= 0 and chosen[-1] < len(self) and (np.diff(chosen) > 0).all()):
            raise ResponsesError(
                f"rows must be increasing integers in [0, {len(self)}); got {chosen[:5].tolist()}",
                "sort the indices, pass each of them once, and count from 0",
            )
        return self._take(chosen)

    def _take(self, chosen: Longs) -> Responses:
        """Return the log of some responses, given by indices; those of a student are increasing."""
        sizes = np.diff(self.skill_start)[chosen]
        optional = {name: column[chosen] for name in PER_RESPONSE if (column := getattr(self, name)) is not None}
        return replace(
            self,
            student=self.student[chosen],
            item=self.item[chosen],
            correct=self.correct[chosen],
            skill=self.skill[places(self.skill_start[chosen], sizes)],
            skill_start=starts(sizes),
            row=self.row[chosen],
            study=None if self.study is None else self.study.among(chosen),
            **optional,
        )

    def split(self, fraction: float, seed: int = 0) -> tuple[Responses, Responses]:
        """Split the students at random; return the log of the remaining students and the log of the held-out students.

        fraction  share of the students that are held out, in (0, 1); at least one student is in each part
        seed      random seed

        Both parts keep the order of the students. Raises ResponsesError for other fractions, and for fewer than two
        students.
        """
        number = len(self.students)
        if not isinstance(fraction, int | float | np.floating) or not 0 < fraction < 1:
            raise ResponsesError(
                f"fraction, the share of held-out students, must be in (0, 1); got {fraction!r}",
                "pass, for example, 0.2",
            )
        if number < 2:
            raise ResponsesError(f"a split requires at least 2 students; the log has {number}", "read a larger log")
        held_out = np.zeros(number, np.bool_)
        size = min(max(round(fraction * number), 1), number - 1)
        held_out[np.random.default_rng(seed).permutation(number)[:size]] = True
        return self.subset(~held_out), self.subset(held_out)

    def dichotomize(self, threshold: float) -> Responses:
        """Return the log in which responses with a credit of at least `threshold` are correct, and others wrong.

        Raises ResponsesError for a log without credit, for unknown credit, and for a threshold outside (0, 1].
        """
        if not isinstance(threshold, int | float | np.floating) or not 0 < threshold <= 1:
            raise ResponsesError(f"threshold must be in (0, 1]; got {threshold!r}", "pass, for example, 0.5")
        if self.credit is None or np.isnan(self.credit).any():
            lack = "the log has no credit" if self.credit is None else "some responses have unknown credit"
            raise ResponsesError(lack, "read it from a column with {}", columns={"credit": "NAME"})
        correct = (self.credit >= threshold).astype(i8)
        return replace(self, correct=correct, report=replace(self.report, full_credit=False))

    def matrix(self) -> Codes:
        """Return the answers as a matrix (S, I) int8; -1 means no response.

        Raises ResponsesError if a student answered an item more than once, and for partial credit.
        """
        check_answers(self, "a matrix of answers")
        cells = np.full((len(self.students), len(self.items)), -1, i8)
        cells[self.student, self.item] = self.correct
        if np.count_nonzero(cells >= 0) < len(self):
            cell = self.student.astype(i64) * len(self.items) + self.item
            repeated = np.setdiff1d(np.arange(len(self)), np.unique(cell, return_index=True)[1])[0]
            student, item = self.students[self.student[repeated]], self.items[self.item[repeated]]
            raise ResponsesError(
                f"student {str(student)!r} answered item {str(item)!r} more than once, "
                f"and a matrix has one cell for each student and item",
                "remove repeated responses with Responses.take",
            )
        return cells


def _rounded(counts: ArrayLike) -> Longs:
    """Return weighted counts as integers, at least 1 for a positive one."""
    values = np.asarray(counts, np.float64)
    return np.where(values > 0, np.maximum(np.rint(values), 1), 0).astype(i64)


def check_answers(log: Responses, user: str) -> None:
    """Raise ResponsesError for a log with partial credit, and without answers of 0 and 1 of its own.

    user  what needs the answers, for the message
    """
    if not log.report.full_credit or log.credit is None:
        return
    if num_partial := int(((log.credit > 0) & (log.credit < 1)).sum()):
        raise ResponsesError(
            f"{user} needs answers of 0 and 1, but {num_partial:,} of {len(log):,} responses have partial credit",
            "map a column of answers to correct, choose a threshold with log.dichotomize(0.5), say, or fit "
            "skill-mean, pfa or best-lr with partial_credit=True (--partial-credit)",
        )


def codes_of(names: Names, known: Names) -> Ints:
    """Return the index (M,) int32 of each of the names (M,) in `known`; -1 for an unknown name.

    The function translates the codes of one log to those of another log or of a fit:
    codes_of(test.skills, fit.skills)[test.skill]. Names of one whole number, such as 10 and 10.0, are the same.
    """
    return match(names, known)
