"""Checks of the arguments of tests of items: the focal group, strata and answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alsim.errors import AlsimError, InputTypeError
from alsim.evaluation.fairness.inputs import array_of_names, is_missing, read_grouping
from alsim.responses.log import Responses
from alsim.types import Bools, Longs

NOT_ANSWERED = -1
"""Mark of an item that a student has not answered."""


def read_focal(group: ArrayLike, focal: object, students: int) -> tuple[Bools, str]:
    """Return whether each student is in the focal group, (N,), and its name. Raises AlsimError."""
    found = read_grouping(group, None, students)
    if len(found) != 2:
        raise AlsimError(
            f"group must have two different values; got {len(found)}: compare one group with all others, with "
            "group == NAME"
        )
    name = found.names[1] if focal is None else str(focal)
    if name not in found.names:
        raise AlsimError(f"focal must be {' or '.join(map(repr, found.names))}; got {focal!r:.60}: choose one of them")
    return found.codes == found.names.index(name), name


def read_strata(matching: ArrayLike, students: int) -> tuple[Longs, int]:
    """Return the stratum of each student, (N,), and the number of strata. Raises AlsimError."""
    values = array_of_names(matching, "matching")
    if values.shape != (students,):
        raise AlsimError(f"matching must have shape ({students},), one per student; got {values.shape}: pass one each")
    if values.dtype.kind not in "iufUSbO":
        raise AlsimError(f"matching must be numbers or texts; got {values.dtype}: pass scores")
    if (wrong := is_missing(values)).any():
        raise AlsimError(
            f"matching must be defined; got {values[wrong][0]} at index {wrong.argmax()}: leave the student out"
        )
    names = values.astype(np.str_) if values.dtype.kind == "O" else values
    levels, codes = np.unique(names, return_inverse=True)
    return codes.ravel().astype(np.int64), len(levels)


def read_answers(responses: Any, items: Sequence[str] | None) -> tuple[Longs, NDArray[np.str_]]:
    """Return answers (N, I) and the names of the items, (I,). Raises AlsimError."""
    matrix = np.asarray(responses.matrix() if isinstance(responses, Responses) else responses)
    if isinstance(responses, Responses) and items is None:
        items = responses.items.tolist()
    if matrix.ndim != 2 or 0 in matrix.shape or matrix.dtype.kind not in "biuf":
        raise AlsimError(
            f"responses must be numbers of shape (N, I), one row per student; got {matrix.dtype} of shape "
            f"{matrix.shape}: pass 1 for right, 0 for wrong, and -1 for not answered"
        )
    if (wrong := ~np.isin(matrix, (0, 1, NOT_ANSWERED))).any():
        row, item = np.argwhere(wrong)[0].tolist()
        raise AlsimError(
            f"responses must be 1, 0 or -1; got {matrix[row, item]:g} of student {row} at item {item}: use -1 for an "
            "item that was not answered"
        )
    if isinstance(items, str):
        raise InputTypeError(f"items must be a list of names; got {items!r:.60}: pass one name per item")
    names = np.array([str(k) for k in range(matrix.shape[1])] if items is None else [str(name) for name in items])
    if len(names) != matrix.shape[1] or len(np.unique(names)) < len(names):
        raise AlsimError(
            f"items must be {matrix.shape[1]} different names, one per item; got {len(names)}: name each item once"
        )
    return matrix.astype(np.int64), names


__all__ = ["NOT_ANSWERED", "read_answers", "read_focal", "read_strata"]
