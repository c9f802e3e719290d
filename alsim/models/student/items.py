"""Items of a student model: their names, and the skills that each of them needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alsim.models.base import ModelError
from alsim.models.matching import unknown_names
from alsim.responses.cells import Names
from alsim.responses.log import Responses, codes_of
from alsim.types import DIFFICULTIES, Bools, Doubles, Longs
from alsim.utils.names import listed, name_array

MAX_PADDED = 2**22
"""Largest number of entries of a table of items times the largest number of skills of an item."""


class Items:
    """Items of a student model, each of which needs one or several skills.

    names       (I,) unique names; any names, which are converted to strings
    skills      skill of each item: I names, or I lists of names. The skills are numbered in order of first appearance
    are_skills  True if the items are the skills: a response of a log is matched by its skill instead of its item

    An item may be a question, a cell of questions such as all easy ones about an outcome, or a skill.
    Raises ModelError for no items, for names that are not unique, and for an item without skills.
    """

    def __init__(self, names: ArrayLike, skills: Sequence[Any] | NDArray[Any], *, are_skills: bool = False) -> None:
        self.names: Names = name_array(names)
        if self.names.ndim != 1 or len(self.names) == 0:
            raise ModelError(f"names must be at least one name of an item; got shape {self.names.shape}")
        if len(skills) != len(self.names):
            raise ModelError(f"skills must have one entry for each of {len(self.names)} items; got {len(skills)}")
        unique, counts = np.unique(self.names, return_counts=True)
        if (counts > 1).any():
            raise ModelError(f"names of items must be unique; got {str(unique[counts > 1][0])!r} more than once")
        rows = [list(map(str, row)) if _is_collection(row) else [str(row)] for row in skills]
        for name, row in zip(self.names, rows, strict=True):
            if not row or len(set(row)) < len(row):
                raise ModelError(f"an item must have at least one skill, each once; got {row} for item {str(name)!r}")
        codes: dict[str, int] = {}
        self.skill: Longs = np.array([codes.setdefault(skill, len(codes)) for row in rows for skill in row], np.int64)
        """Number of each skill of each item, item by item, (X,)."""
        self.skills: Names = name_array(list(codes))
        """Names of the skills, (K,)."""
        self.sizes: Longs = np.array([len(row) for row in rows], np.int64)
        """Number of skills of each item, (I,)."""
        if len(self.names) * int(self.sizes.max()) > MAX_PADDED:
            raise ModelError(
                f"items times the largest number of skills of an item must be at most {MAX_PADDED:,}; got "
                f"{len(self.names):,} times {self.sizes.max():,}: split the item with most skills"
            )
        self.are_skills = bool(are_skills)

    @classmethod
    def of_skills(cls, skills: int | Sequence[Any] | NDArray[Any]) -> Items:
        """Return one item per skill, with the same name.

        skills  names, or the number of skills, whose names are then "0", "1" and so on

        Raises ModelError for no skills.
        """
        if isinstance(skills, int | np.integer) and not isinstance(skills, bool):
            skills = np.arange(skills).astype(np.str_)
        names = name_array(skills)
        return cls(names, names, are_skills=True)

    @classmethod
    def of_cells(cls, num_los: int) -> Items:
        """Return one item per cell of questions: item 3 lo + difficulty, as the actions that ask questions.

        num_los  number of learning outcomes, which are the skills "0", "1" and so on
        """
        los = np.arange(num_los).repeat(len(DIFFICULTIES))
        return cls([f"{lo}:{word}" for lo in range(num_los) for word in DIFFICULTIES], los.tolist())

    @classmethod
    def of_log(cls, log: Responses) -> Items:
        """Return the items of a response log that have responses, with their skills.

        Raises ModelError for an item with different skills in different responses.
        """
        sizes = np.diff(log.skill_start)
        _, first, item = np.unique(log.item, return_index=True, return_inverse=True)
        rows = [log.skill[log.skill_start[r] : log.skill_start[r + 1]] for r in first]
        item = item.reshape(-1)
        same = sizes == sizes[first][item]
        owner = np.repeat(np.arange(len(log)), sizes)
        place = np.arange(len(log.skill)) - log.skill_start[:-1][owner]
        twin = np.minimum(log.skill_start[:-1][first[item]][owner] + place, len(log.skill) - 1)
        same[owner[log.skill != log.skill[twin]]] = False
        if not same.all():
            name = str(log.items[log.item[int(np.argmin(same))]])
            raise ModelError(
                f"item {name!r} has different skills in different responses: give each combination a name of its own"
            )
        return cls(log.items[log.item[first]], [log.skills[row].tolist() for row in rows])

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return f"<Items: {len(self):,} of {len(self.skills):,} skills>"

    @property
    def num_skills(self) -> int:
        """Number of skills K."""
        return len(self.skills)

    @cached_property
    def start(self) -> Longs:
        """Item i has the skills skill[start[i]:start[i + 1]], (I+1,)."""
        return np.concatenate([[0], np.cumsum(self.sizes)])

    @cached_property
    def has(self) -> Bools:
        """True for each entry of `members` that is a skill, (I, M), where M is the largest number of skills."""
        return np.asarray(np.arange(self.sizes.max()) < self.sizes[:, None])

    @cached_property
    def members(self) -> Longs:
        """Numbers of the skills of each item, (I, M); 0 after the last."""
        return self.padded(self.skill)

    @cached_property
    def share(self) -> Doubles:
        """Weights of the skills in the mean of an item, (I, M); 0 after the last."""
        return np.asarray(self.has / self.sizes[:, None])

    def padded(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return values (X,) of the skills of the items as a table (I, M); 0 after the last skill of an item."""
        table = np.zeros(self.has.shape, values.dtype)
        table[self.has] = values
        return table

    def mean_by_skill(self, values: Doubles) -> Doubles:
        """Return the mean (n, K) of values (n, I) over the items of each skill; a row does not depend on the others."""
        total = np.zeros((len(values), self.num_skills))
        for items, skills in self._turns:
            total[:, skills] += values[:, items]
        return np.asarray(total / np.bincount(self.skill, minlength=self.num_skills))

    def mean_by_changed_skill(
        self, start: Doubles, changed: Bools, value: Callable[[Longs, Longs], Doubles]
    ) -> Doubles:
        """Return the mean (n, K) of a value over the items of each skill, which few skills have changed.

        start    (K,) means of a student without responses
        changed  (n, K) True for the skills whose state differs from that of such a student
        value    function that returns the value of students (X,) for items (X,): it depends on the state of the skills
                 of the item only

        The result is that of `mean_by_skill`, bit for bit: both add the items of a skill in the same order.
        """
        affected = changed if self._neighbours is None else changed | self._reached(changed)
        found = np.tile(start, (len(changed), 1))
        rows, skills = np.nonzero(affected)
        first, counts = self._first[skills], self._counts[skills]
        pair = np.repeat(np.arange(len(rows)), counts)
        place = np.arange(len(pair)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(first, counts)
        total = np.bincount(pair, value(rows[pair], self._of_skill[place]), minlength=len(rows))
        found[rows, skills] = total / counts
        return found

    def _reached(self, changed: Bools) -> Bools:
        """Return the skills that share an item with a changed one, (n, K)."""
        reached = np.zeros_like(changed)
        if self._neighbours is not None:
            for one, other in self._neighbours:
                reached[:, other] |= changed[:, one]
        return reached

    @cached_property
    def _neighbours(self) -> list[tuple[int, int]] | None:
        """Pairs of different skills that share an item; None if each item has one skill."""
        if self.sizes.max() == 1:
            return None
        rows = {tuple(row) for row in np.split(self.skill, self.start[1:-1])}
        return sorted({(int(a), int(b)) for row in rows for a in row for b in row if a != b})

    @cached_property
    def _counts(self) -> Longs:
        """Number of items of each skill, (K,)."""
        return np.bincount(self.skill, minlength=self.num_skills)

    @cached_property
    def _first(self) -> Longs:
        """Skill k has the items _of_skill[_first[k]:_first[k] + _counts[k]], (K,)."""
        return np.cumsum(self._counts) - self._counts

    @cached_property
    def _of_skill(self) -> Longs:
        """Items by skill, (X,)."""
        owner = np.repeat(np.arange(len(self)), self.sizes)
        return owner[np.argsort(self.skill, kind="stable")]

    @cached_property
    def _turns(self) -> list[tuple[Longs, Longs]]:
        """Pairs of items and their skills, as lists in which each skill occurs at most once."""
        order = np.argsort(self.skill, kind="stable")
        counts = np.bincount(self.skill, minlength=self.num_skills)
        first = np.concatenate([[0], np.cumsum(counts)[:-1]])
        item = np.repeat(np.arange(len(self)), self.sizes)[order]
        skills = [np.flatnonzero(counts > turn) for turn in range(counts.max())]
        return [(item[first[found] + turn], found) for turn, found in enumerate(skills)]

    def codes(self, log: Responses) -> Longs:
        """Return the item (R,) of each response of a log, matched by name. Raises ModelError for unknown items."""
        kind = "skill" if self.are_skills else "item"
        if self.are_skills and not log.single_skill:
            raise ModelError(
                "the items of the model are single skills, and responses of the log have several; make the model with "
                "the items Items.of_log(log)"
            )
        of_log = codes_of(log.skills if self.are_skills else log.items, self.names)
        if (unknown := unknown_names(log, kind, of_log)).names:
            raise ModelError(
                f"{len(unknown.names):,} of {unknown.total:,} {kind}s of the log are not items of the model: "
                f"{listed(unknown.names)}; make the model with the items Items.of_log(log)"
            )
        return np.asarray(of_log[log.skill if self.are_skills else log.item], np.int64)


def as_items(items: Any) -> Items:
    """Return items given as `Items`, as a number or list of skills, or as a dictionary {item: skill or skills}.

    Raises ModelError for anything else.
    """
    if isinstance(items, Items):
        return items
    if isinstance(items, Mapping):
        return Items(list(items), list(items.values()))
    is_number = isinstance(items, int | np.integer) and not isinstance(items, bool)
    if (is_number and items > 0) or _is_collection(items):
        return Items.of_skills(items)
    raise ModelError(
        f"items must be Items, a positive number of skills, a list of skills, or {{item: skill}}; got {items!r:.100}"
    )


def _is_collection(value: Any) -> bool:
    """Return whether a value is a list of names, and not one name."""
    return isinstance(value, list | tuple | np.ndarray)
