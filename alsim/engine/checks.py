"""Checks of the arguments of the engine."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any, TypeGuard

import numpy as np

from alsim.engine.errors import EngineError
from alsim.types import describe

MOST_RECOMMENDED = 1000
"""Largest number of recommendations at once."""
LONGEST_NAME = 256
"""Largest length of the name of a student, an item or a skill, and of an idempotency key, characters."""
Time = float | datetime | None
"""Time of an event: seconds since 1970, a datetime, or None for now."""
LATEST = 32_503_680_000.0
"""The year 3000, seconds since 1970: a later time is probably in milliseconds."""


def checked_ranks(n: Any) -> int:
    """Return a number of recommendations. Raises EngineError."""
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or not 1 <= n <= MOST_RECOMMENDED:
        raise EngineError(f"n must be an integer from 1 to {MOST_RECOMMENDED:,}; got {describe(n)}")
    return int(n)


def checked_student(name: Any) -> str:
    """Return the name of a student. Raises EngineError."""
    check_text("the name of a student", name)
    return str(name)


def checked_class(name: Any) -> str | None:
    """Return the name of a class, or None. Raises EngineError."""
    if name is not None:
        check_text("the name of a class", name)
    return name  # type: ignore[no-any-return]  # it was checked


def is_name(value: Any) -> TypeGuard[str]:
    """Return whether a value is text of 1 to LONGEST_NAME printable characters."""
    return isinstance(value, str) and 1 <= len(value) <= LONGEST_NAME and value.isprintable()


def check_text(what: str, text: Any) -> None:
    """Raise EngineError unless a value is text of 1 to LONGEST_NAME characters without control characters."""
    if not is_name(text):
        raise EngineError(f"{what} must be text of 1 to {LONGEST_NAME} printable characters; got {describe(text)}")


def checked_seed(seed: Any) -> int:
    """Return a seed. Raises EngineError unless it is an integer in [0, 2**64)."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**64:
        raise EngineError(f"seed must be an integer in [0, 2**64); got {describe(seed)}")
    return int(seed)


def checked_retention(retention: Any) -> float:
    """Return a desired retention. Raises EngineError unless it is in (0, 1)."""
    if isinstance(retention, bool) or not isinstance(retention, int | float | np.floating) or not 0 < retention < 1:
        raise EngineError(f"retention must be a probability of recall in (0, 1); got {describe(retention)}")
    return float(retention)


def checked_switch(name: str, value: Any) -> bool:
    """Return a setting that is True or False. Raises EngineError."""
    if not isinstance(value, bool):
        raise EngineError(f"{name} must be True or False; got {describe(value)}")
    return value


def checked_threshold(threshold: Any) -> float:
    """Return a threshold. Raises EngineError unless it is in (0, 1]."""
    if isinstance(threshold, bool) or not isinstance(threshold, int | float | np.floating) or not 0 < threshold <= 1:
        raise EngineError(f"threshold must be a mastery in (0, 1]; got {describe(threshold)}")
    return float(threshold)


def checked_correct(correct: Any, item: str, *, partial: bool = False) -> float:
    """Return an answer as 1 or 0, or a score in [0, 1] if `partial`. Raises EngineError."""
    is_number = isinstance(correct, bool | int | float | np.bool_ | np.integer | np.floating)
    if is_number and correct in (0, 1):
        return int(correct)
    if partial and is_number and 0 < correct < 1:
        return float(correct)
    if is_number and 0 < correct < 1:
        raise EngineError(
            f"correct must be True or False (1 or 0); got {describe(correct)} for the item {item!r}: only a student "
            "model with partial credit, such as 'alosi', reads scores between 0 and 1"
        )
    expected = "True or False, or a score in [0, 1]" if partial else "True or False (1 or 0)"
    raise EngineError(f"correct must be {expected}; got {describe(correct)} for the item {item!r}")


def as_number(value: Any) -> float:
    """Return a value as a float; NaN for anything but a number, and infinity for an integer that is too large."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf


def checked_seconds(seconds: Any) -> float | None:
    """Return a number of seconds, or None. Raises EngineError."""
    if seconds is None:
        return None
    found = as_number(seconds)
    if not 0 <= found < math.inf:
        raise EngineError(f"seconds must be a number of at least 0, or None; got {describe(seconds)}")
    return found


def checked_satisfaction(rating: Any) -> float | None:
    """Return a rating, or None. Raises EngineError unless it is a finite number."""
    if rating is None:
        return None
    found = as_number(rating)
    if not math.isfinite(found):
        raise EngineError(f"satisfaction must be a finite number, or None; got {describe(rating)}")
    return found


def checked_time(time: Any) -> float | None:
    """Return a time as seconds since 1970, None for now. Raises EngineError."""
    if time is None:
        return None
    found = _timestamp(time) if isinstance(time, datetime) else as_number(time)
    if not 0 <= found < LATEST:
        raise EngineError(
            f"time must be seconds since 1970, or a datetime, from 1970 to 2999; got {describe(time)}: divide "
            "milliseconds by 1000"
        )
    return found


def _timestamp(time: datetime) -> float:
    """Return a datetime as seconds since 1970, NaN if it is too early or too late. Raises EngineError."""
    if time.tzinfo is None:
        raise EngineError(f"time must have a time zone; got {time!r}: use datetime.now(UTC), or seconds since 1970")
    try:
        return time.timestamp()
    except (OverflowError, ValueError):
        return math.nan


def checked_facts(time: Any, seconds: Any, satisfaction: Any) -> tuple[float | None, float | None, float | None]:
    """Return time, number of seconds and satisfaction of an interaction. Raises EngineError."""
    return checked_time(time), checked_seconds(seconds), checked_satisfaction(satisfaction)


__all__ = [
    "Time",
    "LONGEST_NAME",
    "as_number",
    "check_text",
    "checked_class",
    "checked_correct",
    "checked_facts",
    "checked_ranks",
    "checked_satisfaction",
    "checked_seconds",
    "checked_seed",
    "checked_student",
    "checked_threshold",
    "checked_time",
    "is_name",
]
