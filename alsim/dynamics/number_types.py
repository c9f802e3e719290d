"""Types of the numbers that a rule computes with in machine code."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from alsim.dynamics.examples import STATES, Results, arguments_of
from alsim.dynamics.messages import SHORT, title_of
from alsim.dynamics.registry import Dynamics
from alsim.errors import AlsimError, RuleWarning
from alsim.jit.interpreted import WideInt, interpreted
from alsim.jit.structs import is_absent, with_leaves
from alsim.types import Learner, f32, i32

SHARED = tuple(name for name in Learner._fields if name not in STATES)
"""Fields of Learner that all dynamics have."""
KINDS: dict[str, type[Any]] = dict.fromkeys(SHARED, f32) | {"fail_streak": i32, "gain": f32}
"""Types of the fields of a result."""


def shared_fields(learner: Learner) -> dict[str, Any]:
    """Return the fields that all dynamics have."""
    return {name: getattr(learner, name) for name in SHARED}


def check_wide_types(dynamics: Dynamics, title: str, parameters: Any, results: Results) -> None:
    """Warn if machine code would compute a field in float64 or int64, since Python's numbers have these types there.

    results  those of the rule for questions or for contents, whose own states the rule is given

    Raises AlsimError for a field of an own state, because its array has the type of the start value.
    """
    function, found = dynamics.rules[title], dict[str, str]()
    wide, place = interpreted(function, wide=True), title_of(dynamics.name, title, function)
    for arguments in arguments_of(title, parameters, results):
        try:
            values = _numbers(title, wide(*with_leaves(arguments, _as_in_machine_code)))
        except Exception:  # the same code has run with Python's numbers: only the check of types is impossible
            return
        for field, (value, kind) in values.items():
            if not isinstance(value, kind):
                wider = "int64" if isinstance(value, int | np.integer) else "float64"
                if "." in field:
                    raise AlsimError(
                        f"{place} computes {field} in {wider} in machine code, where sums of Python's numbers or of "
                        f"i32 are wider, but its start value is {kind.__name__}: write {SHORT[kind]}(...), and "
                        "constants as ONE, f32(...) or i32(...)"
                    )
                found[field] = wider
    if found:
        fields = ", ".join(f"{field} ({kind})" for field, kind in found.items())
        warnings.warn(
            f"{place} computes in other types than float32 and int32: {fields}; "
            "results may differ between machine code and the interpreter; write constants as ONE, ZERO, f32(...) or "
            "i32(...)",
            RuleWarning,
            stacklevel=5,
        )


def _as_in_machine_code(value: Any) -> Any:
    """Return a number whose arithmetic has the types of machine code."""
    return WideInt(value) if type(value) is i32 else value


def _numbers(title: str, result: Any) -> dict[str, tuple[Any, type[Any]]]:
    """Return the numbers in a result of a rule, with the types that they must have; own states have names with dots."""
    if title in ("chance", "observe"):
        return {title: (result, f32)}
    if title == "begin":
        return {"mastery": (result[0], f32), **_numbers_of_state("lo_state", result[1])}
    after, outcome = result
    shared = {**shared_fields(after), "gain": outcome.gain}
    numbers = {field: (value, KINDS[field]) for field, value in shared.items()}
    for field in STATES:
        numbers |= _numbers_of_state(field, getattr(after, field))
    return numbers


def _numbers_of_state(field: str, state: Any) -> dict[str, tuple[Any, type[Any]]]:
    """Return the numbers in an own state, with the types of its start values."""
    if is_absent(state):
        return {}
    starts = type(state)._field_defaults
    return {f"{field}.{name}": (value, type(starts[name])) for name, value in state._asdict().items()}


__all__ = ["KINDS", "check_wide_types", "shared_fields"]
