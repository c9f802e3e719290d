"""Checks of the arguments of statistics."""

from __future__ import annotations

import math
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
    _check_size(numbers, name, "use NaN for undefined values")
    return numbers


def read_pairs(a: ArrayLike, b: ArrayLike) -> tuple[Doubles, Doubles]:
    """Return pairs of values as float64, (K,) each; NaN is undefined. Raises AlsimError for others."""
    first, second = read_values(a, "a"), read_values(b, "b")
    if first.shape != second.shape:
        raise AlsimError(
            f"a and b must have the same length; got {len(first)} and {len(second)}: pass the values of the same "
            "learners in the same order"
        )
    return first, second


def read_scores(x: ArrayLike, name: str) -> Doubles:
    """Return scores of runs at tasks as float64 (R, M); (R,) is one task. Raises AlsimError for others."""
    array = _read_array(x, name, "pass one row of scores per run, all of the same length")
    if array.dtype.kind not in "iuf":
        raise InputTypeError(f"{name} must be numbers; got {_kind(array)}: pass the scores of the runs")
    if array.ndim not in (1, 2) or array.size == 0:
        raise AlsimError(
            f"{name} must have shape (R, M), or (R,) for one task, R and M at least 1; got shape {array.shape}: pass "
            "one row of scores per run"
        )
    numbers: Doubles = array.astype(np.float64).reshape(len(array), -1)
    if (undefined := np.isnan(numbers)).any():
        run, task = np.argwhere(undefined)[0].tolist()
        raise AlsimError(f"{name} must be finite numbers; got nan of run {run} at task {task}: leave the run out")
    _check_size(numbers, name, "leave the run out")
    return numbers


def read_thresholds(thresholds: ArrayLike) -> Doubles:
    """Return thresholds as float64 (K,), K >= 1, in ascending order. Raises AlsimError for others."""
    numbers = read_values(thresholds, "thresholds")
    if np.isnan(numbers).any():
        raise AlsimError(f"thresholds must be numbers; got nan at index {np.isnan(numbers).argmax()}: leave it out")
    if (falls := np.diff(numbers) < 0).any():
        place = int(falls.argmax())
        raise AlsimError(
            f"thresholds must be in ascending order; got {numbers[place + 1]:g} after {numbers[place]:g} at index "
            f"{place + 1}: sort them"
        )
    return numbers


def read_steps(steps: ArrayLike, name: str) -> Longs:
    """Return numbers of interactions as int64 (N,), N >= 1, each at least 1. Raises AlsimError for others."""
    array = _read_array(steps, name)
    cure = "pass the number of interactions of each episode"
    if array.ndim != 1 or len(array) == 0:
        raise AlsimError(f"{name} must have shape (N,), N at least 1; got shape {array.shape}: {cure}")
    if array.dtype.kind not in "iu":
        raise InputTypeError(f"{name} must be integers; got {_kind(array)}: {cure}")
    if (wrong := array < 1).any():
        raise AlsimError(f"{name} must be at least 1; got {array[wrong][0]} at index {wrong.argmax()}: {cure}")
    numbers: Longs = array.astype(np.int64)
    return numbers


def read_codes(codes: ArrayLike, name: str, shape: tuple[int, ...], size: int) -> Longs:
    """Return codes in [0, size) as int64, one per episode. Raises AlsimError for others."""
    array = _read_array(codes, name)
    cure = "pass a value of alsim.types.Reason for each episode"
    if array.shape != shape:
        raise AlsimError(f"{name} must have shape {shape}, that of steps; got {array.shape}: {cure}")
    if array.dtype.kind not in "iu":
        raise InputTypeError(f"{name} must be integers; got {_kind(array)}: {cure}")
    if (wrong := (array < 0) | (array >= size)).any():
        place = int(wrong.argmax())
        raise AlsimError(f"{name} must be from 0 to {size - 1}; got {array[place]} at index {place}: {cure}")
    numbers: Longs = array.astype(np.int64)
    return numbers


def read_times(times: ArrayLike, horizon: Any) -> tuple[Doubles, float]:
    """Return times (N,), N >= 1, of at least 0 or NaN, and a positive horizon. Raises AlsimError for others."""
    cure = "pass a positive time in the unit of the times, such as the step limit"
    last = read_number(horizon, "horizon", cure)
    if last <= 0:
        raise AlsimError(f"horizon must be positive; got {last:g}: {cure}")
    numbers = read_values(times, "times")
    if (wrong := numbers < 0).any():
        raise AlsimError(
            f"times must be at least 0; got {numbers[wrong][0]:g} at index {wrong.argmax()}: use NaN for learners who "
            "never reach the event"
        )
    return numbers, last


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
    if not _is_number(confidence):
        raise InputTypeError(f"confidence must be a number in (0, 1); got {confidence!r:.100}: use 0.95 for 95 %")
    level = float(confidence)  # type: ignore[arg-type]  # it is a number
    if not (level > 0 and (1 + level) / 2 < 1):
        raise AlsimError(f"confidence must be a number in (0, 1); got {confidence!r:.100}: use 0.95 for 95 %")
    return level


def read_draws(draws: Any, confidence: float, name: str = "draws") -> int:
    """Return a number of draws that suffices for an interval at this confidence. Raises AlsimError for others."""
    least = math.ceil(2 / (1 - confidence) - 1e-9)
    cure = f"at least {least:,} {name} give the two ends of an interval at this confidence"
    return read_count(draws, name, least, 2**32 - 1, cure)


def read_seed(seed: Any) -> int:
    """Return a seed in [0, 2**64). Raises AlsimError for others."""
    return read_count(seed, "seed", 0, 2**64 - 1, "pass another seed")


def read_number(value: Any, name: str, cure: str) -> float:
    """Return a finite number. Raises AlsimError, which ends with the cure, for other values."""
    if not _is_number(value):
        raise InputTypeError(f"{name} must be a number; got {value!r:.100}: {cure}")
    number = value if isinstance(value, int) else float(value)  # float32 would overflow in the comparison
    if not abs(number) <= LARGEST:  # also NaN
        raise AlsimError(f"{name} must be a finite number up to {LARGEST:g}; got {str(number)[:60]}: {cure}")
    return float(number)


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


def _is_number(value: object) -> bool:
    """Return whether a value is a real number; booleans are none."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _check_size(numbers: Doubles, name: str, cure: str) -> None:
    """Raise AlsimError, which ends with the cure, if a number is infinite or too large; NaN is neither."""
    if (wrong := np.abs(numbers) > LARGEST).any():
        places = np.argwhere(wrong)[0].tolist()
        raise AlsimError(
            f"{name} must be finite numbers up to {LARGEST:g}; got {numbers[wrong][0]:g} at index "
            f"{', '.join(map(str, places))}: {cure}"
        )


def _read_array(values: ArrayLike, name: str, cure: str = "pass one row of values") -> Any:
    """Return values as an array. Raises AlsimError for ragged ones, and for masked values, which would count."""
    if np.ma.is_masked(values):
        masked = int(np.ma.getmaskarray(np.ma.asarray(values)).sum())
        raise AlsimError(
            f"{name} must have no masked values; got {masked} of {np.size(values)}: leave them out (compressed), or "
            "replace them (filled)"
        )
    try:
        return np.asarray(values)
    except (TypeError, ValueError) as error:
        raise InputTypeError(f"{name} must be an array of numbers: {error}; {cure}") from None


def _kind(array: Any) -> str:
    """Return the kind of the entries of an array as text."""
    kinds = {"U": "strings", "S": "strings", "b": "booleans", "f": "floats", "c": "complex numbers", "O": "objects"}
    return kinds.get(array.dtype.kind, str(array.dtype))


__all__ = [
    "read_codes",
    "read_confidence",
    "read_count",
    "read_draws",
    "read_learners",
    "read_number",
    "read_pairs",
    "read_probabilities",
    "read_scores",
    "read_seed",
    "read_steps",
    "read_thresholds",
    "read_times",
    "read_values",
]
