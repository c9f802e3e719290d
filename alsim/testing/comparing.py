"""What every check is made of: requiring, comparing, and finding the arrays in what a call handed out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from alsim.testing.driving import Array, Call, Subject


class CheckError(AssertionError):
    """What is wrong with a vector environment: the check's name and a sentence."""


def require(condition: Any, sentence: str) -> None:
    """Raise CheckError with the sentence unless the condition holds."""
    if not condition:
        raise CheckError(sentence)


def same(one: Any, two: Any) -> bool:
    """Whether two structures of arrays are the same in kind, shape, dtype and value, NaN like NaN."""
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
    """Raise CheckError with the rule and the first difference between two runs."""
    for one, two in zip(got, expected, strict=False):
        expect_same_call(one, two, rule, here, there)
    require(len(got) == len(expected), f"{rule} number of calls; {len(got)} {here}, {len(expected)} {there}")


def expect_same_call(got: Call, expected: Call, rule: str, here: str, there: str) -> None:
    """Raise CheckError with the rule and the first difference between two calls."""
    for name in Call._fields[1:]:
        one, two = getattr(got, name), getattr(expected, name)
        if not same(one, two):
            raise CheckError(f"{rule}; {name} of {got.where} are {one} {here}, {two} {there}")


def expect_same_lane(s: Subject, got: list[Call], lane: int, expected: list[Call], other: int, rule: str) -> None:
    """Raise CheckError unless lane `lane` of one run is lane `other` of the other."""
    for one, two in zip(got, expected, strict=True):
        mine = (s.rows(one.observations)[lane], one.rewards[lane], one.terminated[lane], one.truncated[lane])
        its = (s.rows(two.observations)[other], two.rewards[other], two.terminated[other], two.truncated[other])
        for name, a, b in zip(("observations", "rewards", "terminated", "truncated"), mine, its, strict=True):
            if not same(a, b):
                raise CheckError(f"{rule}; {name} of {one.where} are {a} and {b}")


def expect_error(call: Callable[[Any], Any], argument: Any, error: type[Exception], what: str) -> None:
    """Raise CheckError unless the call raises `error`, or AssertionError, as Gymnasium's own did before 1.4."""
    try:
        call(argument)
    except (error, AssertionError):
        return
    except Exception as other:
        raise CheckError(f"{what} raises {error.__name__}; it raised {other!r}") from other
    raise CheckError(f"{what} raises {error.__name__}; it was taken")


def arrays_of(value: Any, name: str) -> Iterator[tuple[str, Array]]:
    """Yield the arrays that a structure holds, with what they are called."""
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


def leaves_of(call: Call) -> list[tuple[str, Array]]:
    """The arrays that a call handed out."""
    return [pair for name in Call._fields[1:] for pair in arrays_of(getattr(call, name), name)]


def scribble(call: Call, leaves: list[tuple[str, Array]]) -> None:
    """Write to all that a call handed out, as wrappers and users may."""
    for _, array in leaves:
        if array.flags.writeable:
            array[...] = None if array.dtype == object else np.ones((), array.dtype)
    call.infos.clear()
