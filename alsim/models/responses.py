"""Response logs: who answered what, in what order, and whether it was correct."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alsim.errors import AlsimError
from alsim.types import Codes, Doubles, Ints, Longs

Names = NDArray[np.str_]


class ResponsesError(AlsimError):
    """A response log that cannot be: the message names the file and the row."""


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
    start: Longs = field(init=False)

    def __post_init__(self) -> None:
        counts = np.bincount(self.student, minlength=len(self.students))
        object.__setattr__(self, "start", np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))

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
    ) -> Responses:
        """Build a log from columns of R rows.

        student  names or numbers
        correct  0 or 1
        skill    names or numbers; a sequence for each response where some have several
        item     names or numbers; without, the skill's
        order    numbers or times that sort a student's responses; without, they are in order
        """
        who, names = _encoded(student)
        if skill is None and item is None:
            raise ResponsesError("a response log has skills or items, or both; got neither")
        counts, several = None, cast(Any, skill)
        if several is not None and len(np.shape(several[0] if len(several) else "")) == 1:
            counts = np.array([len(s) for s in several])
            skill = np.concatenate([np.asarray(s) for s in several])
        what, skills = _encoded(skill if skill is not None else item)
        which, items = _encoded(item) if item is not None else (what, skills)
        starts = np.concatenate([[0], np.cumsum(np.ones(len(what), np.int64) if counts is None else counts)])
        answers = np.asarray(correct)
        keys = [who] if order is None else [np.asarray(order), who]
        sequence = np.lexsort(keys)
        sizes = np.diff(starts)[sequence]
        places = np.repeat(starts[:-1][sequence] - (np.cumsum(sizes) - sizes), sizes) + np.arange(sizes.sum())
        return cls(
            students=names,
            items=items,
            skills=skills,
            student=who[sequence],
            item=which[sequence],
            correct=answers[sequence].astype(np.int8),
            skill=what[places],
            skill_start=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            row=sequence.astype(np.int64),
            weight=np.ones(len(names)),
        )


def _encoded(values: Any) -> tuple[Ints, Names]:
    """Return codes in order of first appearance, and the names of the codes."""
    names, first, codes = np.unique(np.asarray(values), return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(names), np.int32)
    rank[order] = np.arange(len(names), dtype=np.int32)
    return rank[codes], names[order].astype(np.str_)
