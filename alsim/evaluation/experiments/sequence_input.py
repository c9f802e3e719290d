"""Checks of the arguments of confidence sequences."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from alsim.errors import AlsimError, did_you_mean
from alsim.evaluation.statistics_input import read_confidence, read_count, read_number, read_values
from alsim.types import Doubles


class SequenceOptions(NamedTuple):
    """Options of a confidence sequence; those that its method does not use have their default."""

    confidence: float
    low: float
    high: float
    sd: float
    tuned_for: float
    first: int

    def to_unit(self, x: Doubles) -> Doubles:
        """Return values in [low, high] on the scale [0, 1]."""
        return (x - self.low) / (self.high - self.low)

    def from_unit(self, limits: Doubles) -> Doubles:
        """Return limits on the scale [0, 1] on that of the values, within the range."""
        return self.low + np.clip(limits, 0.0, 1.0) * (self.high - self.low)


CURES = {
    "low": "state the range that the values cannot leave",
    "high": "state the range that the values cannot leave",
    "sd": "pass the standard deviation of a value, known from earlier data",
    "tuned_for": "pass a number of values, such as the planned one",
}
"""End of the message about an invalid option."""


def read_method(method: object, methods: Collection[str]) -> str:
    """Return the name of a method. Raises AlsimError for others."""
    if not isinstance(method, str) or method not in methods:
        cure = did_you_mean(str(method), methods) or f": use one of {', '.join(methods)}"
        raise AlsimError(f"unknown method {method!r:.60}{cure}")
    return method


def read_options(
    method: str, uses: Collection[str], defaults: Mapping[str, Any], given: Mapping[str, Any]
) -> SequenceOptions:
    """Return the options of a method. Raises AlsimError for invalid ones.

    uses      names of the options of the method
    defaults  value of each option; None: it has none
    given     confidence, and options that were passed; None: not passed
    """
    passed = {name: value for name, value in given.items() if value is not None and name != "confidence"}
    for name in passed.keys() - {*uses}:
        raise AlsimError(f"{name} has no meaning for the method {method!r}; got {passed[name]!r:.60}: leave it out")
    values = {**defaults, **{name: _read_option(name, value) for name, value in passed.items()}}
    for name in uses:
        if values[name] is None:
            raise AlsimError(f"the method {method!r} needs {name}; got None: {CURES[name]}")
    options = SequenceOptions(read_confidence(given["confidence"]), **values)
    if not options.low < options.high:
        raise AlsimError(f"low must be below high; got {options.low:g} and {options.high:g}: {CURES['low']}")
    return options


def _read_option(name: str, value: Any) -> float:
    """Return an option. Raises AlsimError for an invalid one."""
    if name == "first":
        return read_count(value, name, 2, 2**53, "pass a number of values")
    number = read_number(value, name, CURES[name])
    if name in ("sd", "tuned_for") and number <= 0:
        raise AlsimError(f"{name} must be positive; got {number:g}: {CURES[name]}")
    return number


def read_sequence(x: ArrayLike, name: str = "x") -> Doubles:
    """Return values as float64 (n,), n >= 1. Raises AlsimError for others, also for NaN."""
    values = read_values(x, name)
    if (undefined := np.isnan(values)).any():
        raise AlsimError(
            f"{name} must be finite numbers in order of arrival; got nan at index {int(undefined.argmax())}: leave it "
            "out if the reason is unrelated to the value"
        )
    return values


def check_range(x: Doubles, low: float, high: float, name: str = "x") -> None:
    """Raise AlsimError for values outside [low, high]."""
    if (wrong := (x < low) | (x > high)).any():
        raise AlsimError(
            f"{name} must be in the stated range [{low:g}, {high:g}]; got {x[wrong][0]:g} at index "
            f"{int(wrong.argmax())}: {CURES['low']}"
        )


def check_binary(x: Doubles, name: str = "x") -> None:
    """Raise AlsimError for values other than 0 and 1."""
    if (wrong := (x != 0) & (x != 1)).any():
        raise AlsimError(
            f"{name} must be 0 or 1 for the method 'beta-binomial'; got {x[wrong][0]:g} at index "
            f"{int(wrong.argmax())}: use 'betting' for other values in a range"
        )


__all__ = ["SequenceOptions", "check_binary", "check_range", "read_method", "read_options", "read_sequence"]
