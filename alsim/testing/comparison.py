"""Building blocks of the checks: assertions, comparisons, and the arrays in the results of a call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from alsim.testing.driver import Array, Call, Subject


class CheckError(AssertionError):
    """Error for a failed check: its message has the name of the check, the requirement, and the value found."""


def require(condition: Any, sentence: str) -> None:
    """Raise CheckError with the sentence unless the condition holds."""
    if not condition:
        raise CheckError(sentence)


def same(one: Any, two: Any) -> bool:
    """Return whether two structures of arrays are equal in type, shape, dtype and value. NaN equals NaN.

    A structure is an array, a number, or a dict, list or tuple of structures.
    """
    if isinstance(one, np.ndarray) and isinstance(two, np.ndarray):
        if one.dtype != two.dtype or one.shape != two.shape:
            return False
        if one.dtype == object:
            return all(same(a, b) for a, b in zip(one.flat, two.flat, strict=True))
        return bool(np.array_equal(one, two, equal_nan=one.dtype.kind in "fc"))
    if isinstance(one, dict) and isinstance(two, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(two, list | tuple):
        return len(one) == len(two) and all(same(a, b) for a, b in zip(one, two, strict=True))
    return type(one) is type(two) and bool(one == two or (one != one and two != two))


def expect_same(got: list[Call], expected: list[Call], rule: str, here: str, there: str) -> None:
    """Raise CheckError with the rule and the first difference between two runs; `here` and `there` name the runs."""
    for one, two in zip(got, expected, strict=False):
        expect_same_call(one, two, rule, here, there)
    require(len(got) == len(expected), f"{rule}; there are {len(got)} calls {here}, {len(expected)} {there}")


def expect_same_call(got: Call, expected: Call, rule: str, here: str, there: str) -> None:
    """Raise CheckError with the rule and the first difference between two calls."""
    for name in Call._fields[1:]:
        one, two = getattr(got, name), getattr(expected, name)
        if not same(one, two):
            raise CheckError(f"{rule}; {name} of {got.where} are {one} {here}, {two} {there}")


def expect_same_lane(s: Subject, got: list[Call], lane: int, expected: list[Call], other: int, rule: str) -> None:
    """Raise CheckError with the rule unless lane `lane` of the steps `got` equals lane `other` of `expected`."""
    for one, two in zip(got, expected, strict=True):
        row = (s.rows(one.observations)[lane], one.rewards[lane], one.terminated[lane], one.truncated[lane])
        target = (s.rows(two.observations)[other], two.rewards[other], two.terminated[other], two.truncated[other])
        for name, a, b in zip(("observations", "rewards", "terminated", "truncated"), row, target, strict=True):
            if not same(a, b):
                raise CheckError(f"{rule}; {name} of {one.where} are {a} instead of {b}")


def expect_error(call: Callable[[Any], Any], argument: Any, error: type[Exception], name: str) -> None:
    """Raise CheckError unless the call raises `error` or AssertionError, which Gymnasium raised before 1.4."""
    try:
        call(argument)
    except (error, AssertionError):
        return
    except Exception as other:
        raise CheckError(f"{name} must raise {error.__name__}; it raised {other!r}") from other
    raise CheckError(f"{name} must raise {error.__name__}; it raised nothing")


def arrays_of(value: Any, name: str) -> Iterator[tuple[str, Array]]:
    """Yield a pair (name, array) for each array in a structure, recursively; `name` is that of the structure."""
    if isinstance(value, np.ndarray):
        yield name, value
        if value.dtype == object:
            for k, entry in enumerate(value.flat):
                yield from arrays_of(entry, f"{name}[{k}]")
    elif isinstance(value, dict):
        for key, entry in value.items():
            yield from arrays_of(entry, f"{name}[{key!r}]")
    elif isinstance(value, tuple | list):
        for k, entry in enumerate(value):
            yield from arrays_of(entry, f"{name}[{k}]")


def arrays_in(call: Call) -> list[tuple[str, Array]]:
    """Return a pair (name, array) for each array in the results of a call."""
    return [pair for name in Call._fields[1:] for pair in arrays_of(getattr(call, name), name)]


def overwrite(call: Call, arrays: list[tuple[str, Array]]) -> None:
    """Overwrite all arrays and infos of a call, as wrappers and users may do."""
    for _, array in arrays:
        if array.flags.writeable:
            array[...] = None if array.dtype == object else np.ones((), array.dtype)
    call.infos.clear()
