"""Checks of the arguments of measures of fairness: groups, labels and learners."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alsim.errors import AlsimError, InputTypeError, did_you_mean
from alsim.evaluation.statistics_input import read_array, read_learners, read_values
from alsim.types import Bools, Doubles, Longs, short_repr

MOST_GROUPS = 50
"""Largest number of groups: a column with more values is no group."""
LEAST_MEMBERS = 2
"""Smallest number of independent members of a group."""


@short_repr
@dataclass(frozen=True, eq=False)
class Grouping:
    """Groups of R rows.

    names    (G,) names in ascending order
    codes    (R,) index of the group of each row
    units    (R,) independent unit of each row: 0, 1, ...
    is_clustered  whether a unit may have several rows
    """

    names: tuple[str, ...]
    codes: Longs
    units: Longs
    is_clustered: bool

    def __len__(self) -> int:
        """Return the number of groups G."""
        return len(self.names)

    @property
    def members(self) -> Longs:
        """Number of independent units of each group, (G,)."""
        first = np.unique(self.units, return_index=True)[1]
        return np.bincount(self.codes[first], minlength=len(self))

    def take(self, rows: Longs) -> Grouping:
        """Return the groups of some rows, of which a unit may have several."""
        return Grouping(self.names, self.codes[rows], self.units[rows], True)


def read_grouping(groups: ArrayLike, learners: ArrayLike | None, rows: int) -> Grouping:
    """Return the groups of some rows.

    groups    (R,) group of each row: texts or numbers
    learners  (R,) integers, the independent learner (or class) of each row; None: each row is independent
    rows      number of rows R

    Raises AlsimError for missing groups, for one group, for a group with fewer than two members, and for a learner in
    several groups.
    """
    array = _array_of(groups, rows)
    names, codes = np.unique(array, return_inverse=True)
    codes = codes.ravel().astype(np.int64)
    labels = tuple(map(str, names.tolist()))
    _check_number(labels)
    units = read_learners(learners, np.empty(rows))
    if units is None:
        found = Grouping(labels, codes, np.arange(rows), False)
    else:
        found = Grouping(labels, codes, np.unique(units, return_inverse=True)[1].ravel(), True)
        _check_one_group(found, units)
    _check_members(found)
    return found


def _array_of(groups: ArrayLike, rows: int) -> NDArray[Any]:
    """Return groups as an array of texts or numbers. Raises AlsimError for others, and for missing ones."""
    array = array_of_names(groups, "groups")
    if array.shape != (rows,):
        raise AlsimError(
            f"groups must have shape ({rows},), one per row; got {array.shape}: pass the group of each row"
        )
    if (missing := is_missing(array)).any():
        raise AlsimError(
            f"groups must not be missing; got {array[missing][0]} at index {missing.argmax()}: leave the row out, or "
            "make the unknown ones a group"
        )
    return array.astype(np.str_) if array.dtype.kind == "O" else array


def array_of_names(values: ArrayLike, name: str) -> NDArray[Any]:
    """Return names as an array; that of a list of texts keeps its objects, of which NaN is no text."""
    array = read_array(values, name, "pass one name per row")
    return np.asarray(values, np.object_) if array.dtype.kind in "US" and isinstance(values, list | tuple) else array


def is_missing(values: NDArray[Any]) -> Bools:
    """Return which values (R,) are NaN, NaT, or, of objects, None or pandas' NA."""
    if values.dtype.kind == "O":
        return np.array([_is_missing(value) for value in values.tolist()], np.bool_)
    return np.asarray(values != values)


def _is_missing(value: Any) -> bool:
    """Return whether an object is None, or differs from itself; pandas' NA is neither equal nor unequal."""
    try:
        return value is None or bool(value != value)
    except (TypeError, ValueError):
        return True


def _check_number(names: Sequence[str]) -> None:
    """Raise AlsimError unless there are from 2 to MOST_GROUPS groups."""
    if len(names) < 2:
        got = f"only {names[0]!r:.60}" if names else "none"
        raise AlsimError(f"there must be at least 2 groups; got {got}: choose a column with several values")
    if len(names) > MOST_GROUPS:
        raise AlsimError(
            f"there must be at most {MOST_GROUPS} groups; got {len(names):,}: choose another column, or merge values "
            "into ranges"
        )


def _check_one_group(found: Grouping, learners: Longs) -> None:
    """Raise AlsimError for a learner whose rows are in several groups."""
    first = np.unique(found.units, return_index=True)[1]
    moved = found.codes != found.codes[first][found.units]
    if moved.any():
        row = int(moved.argmax())
        pair = found.names[found.codes[first][found.units[row]]], found.names[found.codes[row]]
        raise AlsimError(
            f"a learner must have one group; got {pair[0]!r:.60} and {pair[1]!r:.60} for learner {learners[row]}, at "
            f"index {row}: correct the groups"
        )


def _check_members(found: Grouping) -> None:
    """Raise AlsimError for a group with fewer than two independent members."""
    if (few := found.members < LEAST_MEMBERS).any():
        g = int(few.argmax())
        unit = "learner" if found.is_clustered else "row"
        raise AlsimError(
            f"a group must have at least {LEAST_MEMBERS} independent members; got {found.members[g]} {unit} in the "
            f"group {found.names[g]!r:.60}: merge it with another one, or leave it out"
        )


def read_flags(values: ArrayLike, name: str, rows: int | None = None) -> Doubles:
    """Return values 0 and 1 as float64, (R,); booleans are 0 and 1. Raises AlsimError for others."""
    found = read_unit_interval(values, name, rows)
    if (wrong := (found != 0) & (found != 1)).any():
        raise AlsimError(
            f"{name} must be 0 or 1; got {found[wrong][0]:g} at index {wrong.argmax()}: compare probabilities with a "
            f"threshold, as in {name} >= 0.5"
        )
    return found


def read_unit_interval(values: ArrayLike, name: str, rows: int | None = None) -> Doubles:
    """Return values in [0, 1] as float64, (R,). Raises AlsimError for others, and for another number of rows."""
    array = np.asarray(values)
    found = read_values(array.astype(np.int8) if array.dtype.kind == "b" else values, name)
    if rows is not None and len(found) != rows:
        raise AlsimError(f"{name} must have {rows:,} values, one per row; got {len(found):,}: pass one per row")
    if (wrong := ~((found >= 0) & (found <= 1))).any():  # also NaN
        raise AlsimError(
            f"{name} must be in [0, 1]; got {found[wrong][0]:g} at index {wrong.argmax()}: correct the row, or leave "
            "it out"
        )
    return found


def read_names(values: Sequence[str] | None, known: Sequence[str], name: str) -> list[str]:
    """Return names that are among the known ones; None: all of them. Raises AlsimError for others."""
    if values is None:
        return [*known]
    if isinstance(values, str):
        raise InputTypeError(f"{name} must be a list of names; got {values!r:.60}: write [{values!r:.60}]")
    if not isinstance(values, Iterable):
        raise InputTypeError(f"{name} must be a list of names; got {values!r:.60}: pass some of {', '.join(known)}")
    for value in values:
        if value not in known:
            raise AlsimError(
                f"{name} must be some of {', '.join(known)}; got {value!r:.60}{did_you_mean(str(value), known)}"
            )
    if not values:
        raise AlsimError(f"{name} must have at least one of {', '.join(known)}; got none: leave it out for all")
    return list(dict.fromkeys(values))


__all__ = [
    "Grouping",
    "array_of_names",
    "is_missing",
    "read_flags",
    "read_grouping",
    "read_names",
    "read_unit_interval",
]
