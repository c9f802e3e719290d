"""Checks of the arguments of statistics."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from alsim.errors import AlsimError, InputTypeError
from alsim.types import Doubles, Longs

LARGEST = 1e150
"""Largest magnitude of a value, so that squares are finite."""


def read_values(values: ArrayLike, name: str) -> Doubles:
    """Return values as float64 (K,), K >= 1; NaN is undefined. Raises AlsimError for others."""
    array = _read_array(values, name)
    if array.dtype.kind == "b":
        raise InputTypeError(
            f"{name} must be numbers; got booleans: use wilson(k, n) for a share, or convert them to float"
        )
    if array.dtype.kind not in "iuf":
        raise InputTypeError(f"{name} must be numbers; got {_kind(array)}: convert them, with NaN for undefined ones")
    if array.ndim != 1 or len(array) == 0:
        raise AlsimError(f"{name} must have shape (K,), K at least 1; got shape {array.shape}: pass one row of values")
    numbers: Doubles = array.astype(np.float64)
    if (wrong := np.abs(numbers) > LARGEST).any():
        raise AlsimError(
            f"{name} must be finite numbers up to {LARGEST:g}; got {numbers[wrong][0]:g} at index {wrong.argmax()}: "
            "use NaN for undefined values"
        )
    return numbers


def read_learners(learners: ArrayLike | None, values: Doubles) -> Longs | None:
    """Return the learner of each value, (K,); None stays None. Raises AlsimError for others."""
    if learners is None:
        return None
    array = _read_array(learners, "learners")
    if array.dtype.kind not in "iu":
        raise InputTypeError(
            f"learners must be integers; got {_kind(array)}: pass numbers of learners or classes, such as learner_id"
        )
    if array.shape != values.shape:
        raise AlsimError(
            f"learners must have shape {values.shape}, that of the values; got {array.shape}: pass the learner of each "
            "value"
        )
    units: Longs = array.astype(np.int64)
    return units


def read_probabilities(p: ArrayLike) -> Doubles:
    """Return p-values as float64 (M,), M >= 1. Raises AlsimError for others."""
    numbers = read_values(p, "p")
    if not (valid := (numbers >= 0) & (numbers <= 1)).all():  # NaN fails both comparisons
        place = int((~valid).argmax())
        raise AlsimError(
            f"p must be probabilities in [0, 1]; got {numbers[place]:g} at index {place}: leave out tests without a "
            "p-value"
        )
    return numbers


def read_confidence(confidence: object) -> float:
    """Return a confidence level in (0, 1). Raises AlsimError for others."""
    is_number = isinstance(confidence, int | float | np.integer | np.floating) and not isinstance(confidence, bool)
    if not is_number:
        raise InputTypeError(f"confidence must be a number in (0, 1); got {confidence!r:.100}: use 0.95 for 95 %")
    level = float(confidence)  # type: ignore[arg-type]  # is_number
    if not (level > 0 and (1 + level) / 2 < 1):
        raise AlsimError(f"confidence must be a number in (0, 1); got {confidence!r:.100}: use 0.95 for 95 %")
    return level


def read_count(value: Any, name: str, low: int, high: int, cure: str) -> int:
    """Return an integer in [low, high]. Raises AlsimError, which ends with the cure, for other values."""
    try:
        number = None if isinstance(value, bool | np.bool_) else operator.index(value)
    except TypeError:
        number = None
    if number is None:
        raise InputTypeError(f"{name} must be an integer; got {value!r:.100}: {cure}")
    if not low <= number <= high:
        raise AlsimError(f"{name} must be an integer from {low} to {high}; got {number}: {cure}")
    return number


def _read_array(values: ArrayLike, name: str) -> Any:
    """Return values as an array. Raises AlsimError for ragged ones."""
    try:
        return np.asarray(values)
    except (TypeError, ValueError) as error:
        raise InputTypeError(f"{name} must be an array of numbers: {error}; pass one row of values") from None


def _kind(array: Any) -> str:
    """Return the kind of the entries of an array as text."""
    kinds = {"U": "strings", "S": "strings", "b": "booleans", "f": "floats", "c": "complex numbers", "O": "objects"}
    return kinds.get(array.dtype.kind, str(array.dtype))


__all__ = ["read_confidence", "read_count", "read_learners", "read_probabilities", "read_values"]
