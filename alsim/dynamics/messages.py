"""Rules and values in messages of the checks of a dynamics."""

from __future__ import annotations

from typing import Any

import numpy as np

from alsim.jit.structs import is_absent
from alsim.types import f32, i32

DECLARE = "item.hours, item.unready and draws.further are () unless the registration declares their use"
"""Cure for a value that is absent."""
SHORT: dict[type[Any], str] = {f32: "f32", i32: "i32"}
"""Names of the types of numbers in rules."""


def title_of(name: str, title: str, function: Any, error: BaseException | None = None) -> str:
    """Return the rule, its dynamics and its place, for messages."""
    code = getattr(getattr(function, "py_func", function), "__code__", None)
    text = f"the rule {title} of the dynamics {name!r}"
    if code is None:
        return text
    line, trace = code.co_firstlineno, error.__traceback__ if error else None
    while trace is not None:
        line = trace.tb_lineno if trace.tb_frame.f_code.co_filename == code.co_filename else line
        trace = trace.tb_next
    return f"{text} ({code.co_filename}, line {line})"


def show_any(value: Any) -> str:
    """Return a short text for a result of a rule, which may be anything."""
    try:
        return show(value)
    except (TypeError, ValueError):
        return f"{value!r:.100}"


def show(value: Any) -> str:
    """Return a short text for a number, or for structs."""
    if hasattr(value, "_fields"):
        fields = ", ".join(f"{field}={show(entry)}" for field, entry in value._asdict().items())
        return f"{type(value).__name__}({fields})"
    if isinstance(value, tuple):
        return ", ".join(map(show, value)) or "()"
    return repr(bool(value)) if isinstance(value, bool | np.bool_) else f"{float(value):.4g}"


def is_of_absent(value: Any) -> bool:
    """Return whether a value is a field that does not exist, or NumPy's sum of one and a number: an empty array."""
    return is_absent(value) or (isinstance(value, np.ndarray) and value.size == 0)


__all__ = ["DECLARE", "SHORT", "is_of_absent", "show", "show_any", "title_of"]
