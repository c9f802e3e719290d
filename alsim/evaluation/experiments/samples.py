"""Checks of the arrays of an experiment: values of arms, and labels of strata and clusters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from alsim.errors import AlsimError, InputTypeError
from alsim.evaluation.statistics_input import read_values
from alsim.types import Doubles, Longs

Pair = tuple[ArrayLike, ArrayLike]
"""One array of the control, and one of the treatment."""


def read_sample(values: ArrayLike, name: str, unit: str = "student") -> Doubles:
    """Return numbers as float64 (n,), n >= 2, without NaN. Raises AlsimError for others."""
    array = _array(values)
    if array is not None and array.dtype.kind == "b":
        raise InputTypeError(f"{name} must be numbers; got booleans: use compare_shares, or convert them to float")
    x = _read_defined(values, name, unit) if array is None or array.size else np.zeros(0)
    if len(x) < 2:
        raise AlsimError(f"{name} must have at least 2 values; got {len(x)}: collect those of more {unit}s")
    return x


def read_like(values: ArrayLike, name: str, like: Doubles, other: str) -> Doubles:
    """Return numbers as float64 of the length of another array, without NaN. Raises AlsimError for others."""
    x = _read_defined(values, name, "student")
    if x.shape != like.shape:
        raise AlsimError(
            f"{name} must have one value per entry of {other}, {len(like)}; got {len(x)}: pass the values of the same "
            "students in the same order"
        )
    return x


def read_arms(control: ArrayLike, treatment: ArrayLike) -> tuple[Doubles, Doubles]:
    """Return the values of both arms, see `read_sample`."""
    return read_sample(control, "control"), read_sample(treatment, "treatment")


def read_pair(labels: Any, arms: tuple[Doubles, Doubles], name: str) -> tuple[list[Longs], list[Any]]:
    """Return the codes of the labels of both arms, and the K labels, see `read_labels`."""
    if not isinstance(labels, tuple | list) or len(labels) != 2:
        raise InputTypeError(
            f"{name} must be a pair of arrays; got {type(labels).__name__}: pass ({name} of control, {name} of "
            "treatment)"
        )
    return read_labels(labels, arms, name, (f"{name} of control", f"{name} of treatment"))


def read_labels(
    labels: Sequence[ArrayLike], values: Sequence[Doubles], name: str, titles: Sequence[str]
) -> tuple[list[Longs], list[Any]]:
    """Return the codes (n,) from 0 to K - 1 of arrays of labels, and the K labels in ascending order.

    labels  one array per array of values, of the same length; integers or text
    values  the arrays of values
    name    name of the argument, for messages
    titles  name of each array, for messages

    Raises AlsimError for other lengths, and for labels that are neither integers nor text.
    """
    arrays = [_read_labels(own, x, title) for own, x, title in zip(labels, values, titles, strict=True)]
    if len({array.dtype.kind in "iu" for array in arrays}) > 1:
        raise InputTypeError(f"{name} must be integers or text; got both: use the same labels in both arms")
    names, codes = np.unique(np.concatenate(arrays), return_inverse=True)
    ends = np.cumsum([len(x) for x in values])[:-1]
    return [part.astype(np.int64) for part in np.split(codes, ends)], names.tolist()


def _read_labels(labels: ArrayLike, values: Doubles, title: str) -> Any:
    """Return an array of labels of integers or text. Raises AlsimError."""
    array = np.asarray(labels)
    if array.shape != values.shape:
        raise AlsimError(
            f"{title} must have one label per value, {len(values)}; got shape {array.shape}: pass them in the order of "
            "the values"
        )
    if array.dtype.kind == "O" and all(isinstance(label, str) for label in array):
        array = array.astype(str)
    if array.dtype.kind not in "iuU":
        wrong = next((one for one in array.tolist() if not isinstance(one, str)), array.dtype)
        raise InputTypeError(f"{title} must be integers or text; got {wrong!r:.60}: convert the labels, or number them")
    return array


def _array(values: ArrayLike) -> Any:
    """Return values as an array; None for a ragged one, which `read_values` refuses."""
    try:
        return np.asarray(values)
    except (TypeError, ValueError):
        return None


def _read_defined(values: ArrayLike, name: str, unit: str) -> Doubles:
    """Return numbers as float64 (n,). Raises AlsimError for others, for NaN and for infinite ones."""
    array = _array(values)
    if array is not None and array.dtype.kind == "f" and array.ndim == 1 and (wrong := ~np.isfinite(array)).any():
        place = int(wrong.argmax())
        raise AlsimError(
            f"{name} must be finite numbers; got {array[place]} at index {place}, {int(wrong.sum())} of {len(array)}: "
            f"leave the {unit} out if its value is missing by chance, or test a metric that is defined for every {unit}"
        )
    return read_values(values, name)


__all__ = ["Pair", "read_arms", "read_labels", "read_like", "read_pair", "read_sample"]
