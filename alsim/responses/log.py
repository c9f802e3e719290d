"""Response logs: who answered what, in what order, and whether it was correct."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from alsim.responses.cells import Names, places, starts
from alsim.responses.report import Duplicates, Report, ResponsesError
from alsim.types import Codes, Doubles, Ints, Longs, i8, i32, i64

if TYPE_CHECKING:
    from alsim.responses.building import Simulated


@dataclass(frozen=True, eq=False)
class Responses:
    """R responses of S students to I items of K skills, student by student, each student's in order.

    students     (S,)   names, in order of first appearance
    items        (I,)   names; those of the skills where a log knows no items
    skills       (K,)   names
    student      (R,)   int32, index into `students`: never falls
    item         (R,)   int32, index into `items`
    correct      (R,)   int8, 0 or 1
    skill        (X,)   int32, index into `skills`: those of response r are skill[skill_start[r]:skill_start[r + 1]]
    skill_start  (R+1,) int64; each response has at least one skill
    row          (R,)   int64, where the response stood in what it was built from, from 0
    weight       (S,)   float64, how many students each stands for: 1 but where a log counts patterns
    report       what was skipped and what is there twice

    The responses of student s are those from start[s] to start[s + 1].
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
    start: Longs = field(init=False)

    def __post_init__(self) -> None:
        counts = np.bincount(self.student, minlength=len(self.students))
        object.__setattr__(self, "start", starts(counts))

    def __len__(self) -> int:
        return len(self.correct)

    def __repr__(self) -> str:
        return (
            f"<Responses: {len(self):,} of {len(self.students):,} students to {len(self.items):,} items "
            f"of {len(self.skills):,} skills>"
        )

    @property
    def num_students(self) -> int:
        """S."""
        return len(self.students)

    @property
    def num_items(self) -> int:
        """I."""
        return len(self.items)

    @property
    def num_skills(self) -> int:
        """K."""
        return len(self.skills)

    @property
    def single_skill(self) -> bool:
        """Whether each response has one skill."""
        return len(self.skill) == len(self)

    @classmethod
    def from_arrays(
        cls,
        student: ArrayLike,
        correct: ArrayLike,
        *,
        skill: ArrayLike | Sequence[Sequence[Any]] | None = None,
        item: ArrayLike | None = None,
        order: ArrayLike | None = None,
        response: ArrayLike | None = None,
        separator: str | None = "~~",
        duplicates: Duplicates = "keep",
        skip_bad: bool = False,
    ) -> Responses:
        """Build a log from columns of R rows: NumPy arrays, sequences, Arrow arrays or pandas series.

        student     names or numbers
        correct     0 or 1, or false or true, as numbers, booleans or texts
        skill       names or numbers; a sequence for each response where some have several
        item        names or numbers; without, the skill's
        order       numbers or times that sort a student's responses; without, they are in order
        response    ids of the responses, by which to find duplicates
        separator   stands between the skills of one response, where they are one text
        duplicates  rows that repeat a response, as `Report` says: keep them, drop all but the first, or merge them
                    into one response of all their skills
        skip_bad    leave out bad rows, and count them in `report`, rather than refuse them

        Raises ResponsesError, which names the first bad row, for a `correct` that is no answer, for a missing
        student, skill or item, and for an order that does not sort; and for columns of different lengths.
        """
        from alsim.responses.building import Options, Source, build

        columns = {"student": student, "correct": correct, "skill": skill, "item": item, "order": order}
        columns["response"] = response
        given = {name: column for name, column in columns.items() if column is not None}
        return build(given, Source("responses"), Options(separator, duplicates, skip_bad))

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
        """Build a log from a table: of Arrow or pandas, a dictionary of columns, or a structured array.

        columns  the table's name for each of student, correct, skill, item, order (or timestamp) and response;
                 those left out go by our own names if they are there; None leaves a column out

        Other arguments, and what is raised, as of `from_arrays`; also for a column that is not there.
        """
        from alsim.responses.building import Options, from_table

        return from_table(table, columns, Options(separator, duplicates, skip_bad))

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
        """Build a log from a matrix (S, I) of 0 and 1, a row a student; NaN and None are missing.

        items     (I,) names; without, 0 … I - 1
        skills    (I,) the skill of each item; without, each item is a skill by itself
        students  (S,) names; without, 0 … S - 1
        weight    (S,) how many students each row stands for
        missing   other values that stand for no response
        skip_bad  leave out cells that are no answers, and count them in `report`, rather than refuse them

        A student's responses are in the order of the columns, which an item response model does not care for.
        Raises ResponsesError for other values, naming the row and column, and for shapes that do not fit.
        """
        from alsim.responses.building import from_matrix

        return from_matrix(matrix, items, skills, students, weight, missing, skip_bad)

    @classmethod
    def from_dataset(cls, dataset: Simulated) -> Responses:
        """Build a log from the answered questions of a dataset of simulated learners.

        dataset  as `alsim.load_dataset` and `alsim.generate_dataset` return

        Skills are the learning outcomes, items the questions. A student is a learner in one episode, named
        "learner/episode": mastery and ability start anew with each (clause S1.6).
        """
        from alsim.responses.building import from_dataset

        return from_dataset(dataset)

    def subset(self, students: ArrayLike) -> Responses:
        """Return the log of some students, in the order given; items and skills keep their codes.

        students  indices into `students`, each at most once, or (S,) booleans

        Raises ResponsesError for other indices.
        """
        chosen = np.asarray(students)
        if chosen.dtype == np.bool_ and chosen.shape == (len(self.students),):
            chosen = np.flatnonzero(chosen)
        if chosen.ndim != 1 or (len(chosen) and chosen.dtype.kind not in "iu"):
            raise ResponsesError(f"students are indices, or ({len(self.students)},) booleans; got {chosen.dtype}")
        if len(chosen) and not (chosen.min() >= 0 and chosen.max() < len(self.students)):
            raise ResponsesError(f"students are in 0 … {len(self.students) - 1}; got {chosen.min()} … {chosen.max()}")
        if len(np.unique(chosen)) < len(chosen):
            raise ResponsesError("a subset has each student once; one is named twice")
        chosen = chosen.astype(i64)
        sizes = self.start[chosen + 1] - self.start[chosen]
        rows = places(self.start[chosen], sizes)
        return replace(
            self.take(rows),
            students=self.students[chosen],
            student=np.repeat(np.arange(len(chosen), dtype=i32), sizes),
            weight=self.weight[chosen],
        )

    def take(self, rows: ArrayLike) -> Responses:
        """Return the log of some responses: of those that (R,) booleans mark, or of indices that rise.

        Students, items and skills keep their codes, those without responses too. The report stays that of the whole.
        """
        chosen = np.asarray(rows)
        chosen = np.flatnonzero(chosen) if chosen.dtype == np.bool_ else chosen
        sizes = np.diff(self.skill_start)[chosen]
        return replace(
            self,
            student=self.student[chosen],
            item=self.item[chosen],
            correct=self.correct[chosen],
            skill=self.skill[places(self.skill_start[chosen], sizes)],
            skill_start=starts(sizes),
            row=self.row[chosen],
        )

    def split(self, fraction: float, seed: int = 0) -> tuple[Responses, Responses]:
        """Split by student, at random: return the log of most, and that of a fraction of the students, held out.

        fraction  of students held out, in (0, 1): rounded to at least one, and at most all but one
        seed      of the choice

        Each keeps the order of the students. Raises ResponsesError for other fractions and for fewer than 2 students.
        """
        number = len(self.students)
        if not 0 < fraction < 1:
            raise ResponsesError(f"the fraction of students held out is in (0, 1); got {fraction!r}")
        if number < 2:
            raise ResponsesError(f"a split takes 2 students or more; there is {number}")
        held = np.zeros(number, np.bool_)
        size = min(max(round(fraction * number), 1), number - 1)
        held[np.random.default_rng(seed).permutation(number)[:size]] = True
        return self.subset(~held), self.subset(held)

    def matrix(self) -> Codes:
        """Return the answers as a matrix (S, I) int8, -1 where a student did not meet an item.

        Raises ResponsesError if a student met an item more than once.
        """
        cells = np.full((len(self.students), len(self.items)), -1, i8)
        cells[self.student, self.item] = self.correct
        if np.count_nonzero(cells >= 0) < len(self):
            met = self.student.astype(i64) * len(self.items) + self.item
            again = np.setdiff1d(np.arange(len(self)), np.unique(met, return_index=True)[1])[0]
            raise ResponsesError(
                f"student {str(self.students[self.student[again]])!r} met item {str(self.items[self.item[again]])!r} "
                f"more than once: such a log is no matrix of students and items"
            )
        return cells


def codes_of(names: Names, known: Names) -> Ints:
    """Return for each name its index among the known ones, int32, -1 where it is not known.

    With it, codes of one log become those of another, or of a fit: codes_of(test.skills, fit.skills)[test.skill].
    """
    index = {name: code for code, name in enumerate(known.tolist())}
    return np.array([index.get(name, -1) for name in names.tolist()], i32)
