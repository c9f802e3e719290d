"""Checks of arrays that broadcast: they have numbers and fitting shapes, and all entries are valid."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from alsim.models.base import ModelError
from alsim.types import Bools, Doubles, describe


def require_all(valid: Bools, values: Doubles, expected: str, cure: str) -> None:
    """Raise ModelError with the first invalid value unless all are valid.

    valid     whether each value is valid
    expected  begin of the message, such as "rating must be 1, 2, 3 or 4"
    cure      its end
    """
    if not np.all(valid):
        bad = np.asarray(values)[~np.asarray(valid)].flat[0]
        raise ModelError(f"{expected}; got {describe(bad)}: {cure}")


def numbers(name: str, values: ArrayLike, *, booleans: bool = False) -> Doubles:
    """Return values as an array of float64; missing values of an array of objects become NaN.

    booleans  whether True and False count as 1 and 0

    Raises ModelError for values that are no numbers, as text, dates and durations.
    """
    try:
        found = np.asarray(values)
        if found.dtype.kind in ("iufOb" if booleans else "iufO"):
            return found.astype(np.float64, copy=False)
    except (TypeError, ValueError):
        raise ModelError(f"{name} must be numbers; got {describe(values)}: convert them") from None
    cure = "divide durations by np.timedelta64(1, 'D') for days" if found.dtype.kind in "mM" else "convert them"
    raise ModelError(f"{name} must be numbers; got {found.dtype}, as in {describe(values)}: {cure}")


def require_broadcast(**arrays: Doubles) -> None:
    """Raise ModelError unless the shapes of the arrays, by name, broadcast."""
    try:
        np.broadcast_shapes(*(array.shape for array in arrays.values()))
    except ValueError:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise ModelError(f"shapes must broadcast; got {shapes}: pass arrays of one length, or numbers") from None


__all__ = ["numbers", "require_all", "require_broadcast"]
