"""Protocol of student models that follow many students, and the checks that all of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alsim.models.base import ModelError
from alsim.models.student.items import Items
from alsim.types import Bools, Doubles, Longs

Students = dict[str, NDArray[Any]]
"""State of n students: arrays by name, whose first axis is n. Rows may be copied, sliced and put in another order."""

NOT_ANSWERED = -1
"""Mark of an item that was shown and not answered, as a content."""


@runtime_checkable
class StudentModel(Protocol):
    """A model that follows students while they answer: one state per student, updated with each response.

    n students, I items, K skills. The state and the results of a student are the same to the bit in any batch.
    """

    items: Items
    """Items that students answer, and their skills."""

    def start(self, n: int) -> Students:
        """Return the state of n students without responses."""
        ...

    def update(self, students: Students, items: ArrayLike, correct: ArrayLike, active: ArrayLike | None = None) -> None:
        """Update the state in place with one response of each student.

        students  state of n students
        items     (n,) integers in [0, I); of a row that is not answered also -1
        correct   (n,) 1 correct, 0 wrong, -1 not answered
        active    (n,) True for the students whose row is read; None for all
        """
        ...

    def mastery(self, students: Students) -> Doubles:
        """Return the mastery of each skill, (n, K) in [0, 1]."""
        ...

    def chance(self, students: Students, items: ArrayLike) -> Doubles:
        """Return the probability of a correct answer, in [0, 1], in the shape of `items`: (n,) or (n, J)."""
        ...

    def chances(self, students: Students) -> Doubles:
        """Return the probability of a correct answer to each item, (n, I) in [0, 1]."""
        ...

    def save(self, file: str | Path) -> Path:
        """Write the parameters to a file that `load_student_model` reads, and return its path."""
        ...


@runtime_checkable
class TimedStudentModel(StudentModel, Protocol):
    """A student model that knows time: each student has a clock, and knowledge changes while it runs.

    The state has the clocks as `hours` (n,), float64, 0 at the start. `update` happens at the clock, and `mastery`,
    `chance` and `chances` are those at the clock. Without calls of `advance`, no time passes.
    """

    def advance(self, students: Students, hours: ArrayLike, active: ArrayLike | None = None) -> None:
        """Set the clock of each student, in place.

        students  state of n students
        hours     (n,) hours since any origin, which is the same in all calls; NaN: the clock stays
        active    (n,) True for the students whose clock is set; None for all

        Raises ModelError for a clock that would run backwards.
        """
        ...


class BaseStudentModel(ABC):
    """Base class of the student models of the package: it checks arguments and writes files.

    items  Items of the model
    """

    kind: ClassVar[str]
    """Name of the model, a key of `alsim.models.student.files.KINDS`."""
    partial_credit: ClassVar[bool] = False
    """Whether answers may have scores between 0 and 1."""

    def __init__(self, items: Items) -> None:
        self.items = items

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self.items):,} items, {self.items.num_skills:,} skills>"

    # ── what a model defines ────────────────────────────────────────────────────────────────────

    @abstractmethod
    def _start(self, n: int) -> Students:
        """Return the state of n students without responses."""

    @abstractmethod
    def _update(self, students: Students, rows: Longs, items: Longs, correct: Any) -> None:
        """Update some rows (M,) of the state with one answer each: items (M,), and 0 or 1 (M,).

        A model with `partial_credit` gets scores in [0, 1], float64.
        """

    @abstractmethod
    def _chance(self, students: Students, items: Longs) -> Doubles:
        """Return the probability of a correct answer, (n, J), for items (n, J), or (1, J) for the same of all."""

    @abstractmethod
    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays of parameters; the class called with items, arrays and options makes the model again."""

    def options(self) -> dict[str, Any]:
        """Return the other parameters, as JSON values by name of the argument."""
        return {}

    def _study(self, students: Students, rows: Longs, items: Longs) -> None:  # noqa: B027  # most models ignore contents
        """Update some rows of the state with an item that was not answered."""

    def _mastery(self, students: Students) -> Doubles:
        """Return the mastery of each skill, (n, K): the mean chance over its items."""
        return self.items.mean_by_skill(self._chance(students, np.arange(len(self.items))[None]))

    def start_of(self, names: ArrayLike) -> Students:
        """Return the state of new students with names (n,), for a model that knows more of some of them."""
        return self._start(len(np.asarray(names)))

    # ── what a user calls ───────────────────────────────────────────────────────────────────────

    def start(self, n: int) -> Students:
        """Return the state of n students without responses. Raises ModelError unless n is a whole number from 0."""
        if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 0:
            raise ModelError(f"the number of students must be an integer of at least 0; got {n!r:.100}")
        return self._start(int(n))

    def update(self, students: Students, items: ArrayLike, correct: ArrayLike, active: ArrayLike | None = None) -> None:
        """Update the state in place with one response of each student.

        students  state of n students, from `start`
        items     (n,) integers in [0, I); of a row that is not answered also -1
        correct   (n,) 1 correct, 0 wrong, -1 not answered: the state stays, unless the model learns from contents; a
                  model with `partial_credit` accepts scores in [0, 1]
        active    (n,) bool, True for the students whose row is read; None for all

        Raises ModelError for invalid arguments; the state is then unchanged.
        """
        n = self._count(students)
        rows = np.flatnonzero(checked_active(active, n))
        right = _checked_correct(correct, n, rows, partial=self.partial_credit)
        items_ = self._checked_items(items, (n,), rows, right == NOT_ANSWERED)
        answered = right != NOT_ANSWERED
        self._update(students, rows[answered], items_[answered], right[answered])
        shown = ~answered & (items_ >= 0)
        if shown.any():
            self._study(students, rows[shown], items_[shown])

    def mastery(self, students: Students) -> Doubles:
        """Return the mastery of each skill, (n, K) in [0, 1]. Raises ModelError for an invalid state."""
        self._count(students)
        return np.clip(self._mastery(students), 0.0, 1.0)

    def chance(self, students: Students, items: ArrayLike) -> Doubles:
        """Return the probability of a correct answer, in [0, 1].

        students  state of n students
        items     integers in [0, I), (n,), or (n, J) for J items of each student; the result has the same shape

        Raises ModelError for invalid arguments.
        """
        n, shape = self._count(students), np.shape(items)
        if len(shape) not in (1, 2) or shape[0] != n:
            raise ModelError(f"items must have one row for each of {n} students, (n,) or (n, J); got shape {shape}")
        rows = np.arange(n)
        wanted = self._checked_items(items, shape, rows, np.zeros(n, np.bool_))
        return np.clip(self._chance(students, wanted.reshape(n, -1) if n else wanted.reshape(0, 1)), 0, 1).reshape(
            shape
        )

    def chances(self, students: Students) -> Doubles:
        """Return the probability of a correct answer to each item, (n, I). Raises ModelError for an invalid state."""
        self._count(students)
        return np.clip(self._chance(students, np.arange(len(self.items))[None]), 0.0, 1.0)

    def save(self, file: str | Path) -> Path:
        """Write the parameters to an npz file, atomically, and return its path; an existing file is replaced.

        The states of students are arrays, which `numpy.savez(file, **students)` writes.
        """
        from alsim.models.student.files import write

        return write(self, Path(file))

    @classmethod
    def load(cls, file: str | Path) -> Self:
        """Return the model in a file, as `load_student_model` does. Raises ModelError for another class of model."""
        from alsim.models.student.files import load_student_model

        model = load_student_model(file)
        if not isinstance(model, cls):
            raise ModelError(f"{file} is a student model of kind {model.kind!r}; use load_student_model for any kind")
        return model

    # ── checks ──────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def _template(self) -> Students:
        """State of one student, with which states are compared."""
        return self._start(1)

    def _count(self, students: Any) -> int:
        """Return the number of students n of a state. Raises ModelError for anything but a state of this model."""
        template = self._template
        if not isinstance(students, dict) or students.keys() != template.keys():
            keys = sorted(map(str, students)) if isinstance(students, dict) else type(students).__name__
            raise ModelError(
                f"students must be a state of the model {self.kind!r} with the arrays {', '.join(template)}; got "
                f"{keys}; make it with start(n)"
            )
        sizes = {np.shape(values)[:1] for values in students.values()}
        for name, values in students.items():
            like = template[name]
            if not isinstance(values, np.ndarray) or values.dtype != like.dtype or values.shape[1:] != like.shape[1:]:
                expected = ", ".join(map(str, ("n", *like.shape[1:])))
                found = f"{values.dtype} {values.shape}" if isinstance(values, np.ndarray) else type(values).__name__
                raise ModelError(
                    f"{name} of students must be {like.dtype} ({expected}); got {found}; make the state with start(n)"
                )
        if len(sizes) > 1:
            raise ModelError(f"the arrays of students must have one length; got {sorted(s[0] for s in sizes)}")
        return int(sizes.pop()[0])

    def _checked_items(self, items: ArrayLike, shape: tuple[int, ...], rows: Longs, absent: Bools) -> Longs:
        """Return the items of some rows; those of absent ones may be -1. Raises ModelError for others."""
        values = np.asarray(items)
        if values.shape != shape or (values.dtype.kind not in "iu" and values.size):
            raise ModelError(
                f"items must be integers of shape {shape}, one per student; got {values.dtype} of shape {values.shape}"
            )
        chosen = values[rows].astype(np.int64)
        flags = absent.reshape(-1, *(1,) * (chosen.ndim - 1))
        invalid = (chosen >= len(self.items)) | (chosen < np.where(flags, -1, 0))
        if invalid.any():
            place = tuple(np.argwhere(invalid)[0])
            raise ModelError(
                f"items must be integers in [0, {len(self.items)}); got {chosen[place]} of student {rows[place[0]]}: "
                "use the numbers of model.items.names"
            )
        return chosen


def checked_active(active: ArrayLike | None, n: int) -> Bools:
    """Return the mask of the rows to read, (n,). Raises ModelError unless it is one bool per student."""
    mask = np.ones(n, np.bool_) if active is None else np.asarray(active)
    if mask.shape != (n,) or mask.dtype != np.bool_:
        raise ModelError(f"active must be {n} bools, one per student; got {mask.dtype} of shape {mask.shape}")
    return mask


def _checked_correct(correct: ArrayLike, n: int, rows: Longs, *, partial: bool) -> NDArray[Any]:
    """Return the answers of some rows: int8, or float64 for a model with partial credit.

    Raises ModelError for values other than 1, 0 and -1, and the scores between 0 and 1 of partial credit.
    """
    values = np.asarray(correct)
    if values.shape != (n,) or (values.dtype.kind not in "biuf" and n):
        raise ModelError(f"correct must be {n} numbers, one per student; got {values.dtype} of shape {values.shape}")
    chosen = values[rows]
    invalid = ~np.isin(chosen, (1, 0, NOT_ANSWERED))
    if partial:
        invalid &= ~((chosen >= 0) & (chosen <= 1))
    if invalid.any():
        place = int(np.argmax(invalid))
        expected = "a score in [0, 1]" if partial else "1, 0"
        raise ModelError(
            f"correct must be {expected} or -1 (not answered); got {chosen[place]} of student {rows[place]}: "
            "replace other values, or leave the student out with active="
        )
    return chosen.astype(np.float64 if partial else np.int8)


def parameters(
    name: str, values: ArrayLike, shape: tuple[int, ...], low: float = -np.inf, high: float = np.inf
) -> Doubles:
    """Return finite parameters in [low, high] as a new array of a shape; a scalar applies to all of its entries.

    Raises ModelError, which names the parameter, for other values.
    """
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise ModelError(f"{name} must be numbers; got {values!r:.100}") from None
    if array.shape not in ((), shape):
        raise ModelError(f"{name} must be one number or an array of shape {shape}; got shape {array.shape}")
    invalid = ~(np.isfinite(array) & (array >= low) & (array <= high))
    if invalid.any():
        expected = "finite" if np.isinf(low) and np.isinf(high) else f"finite numbers in [{low:g}, {high:g}]"
        raise ModelError(f"{name} must be {expected}; got {array[invalid].flat[0]}")
    return np.array(np.broadcast_to(array, shape), order="C")
