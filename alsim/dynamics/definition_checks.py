"""Checks of the arguments of `register_dynamics`, without running a rule."""

from __future__ import annotations

import math
import re
from typing import Any, get_args, get_type_hints

import numpy as np

from alsim.dynamics.examples import STATES
from alsim.dynamics.messages import title_of
from alsim.dynamics.registry import Dynamics, Moment
from alsim.errors import AlsimError, InputTypeError
from alsim.jit.cache import COMPILED
from alsim.types import f32, i32


def check_definition(dynamics: Dynamics) -> None:
    """Raise AlsimError unless the arguments of `register_dynamics` are of the right kinds, without running a rule."""
    name: Any = dynamics.name
    parameters: Any = dynamics.parameters
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        raise InputTypeError(f"the name of a dynamics must be a string of printable characters; got {name!r:.100}")
    if not (isinstance(parameters, type) and issubclass(parameters, tuple) and hasattr(parameters, "_field_defaults")):
        shown = getattr(parameters, "__name__", repr(parameters))
        raise InputTypeError(
            f"the parameters of the dynamics {name!r} must be a NamedTuple class; got {shown}: write "
            f"`class {shown if shown.isidentifier() else 'Parameters'}(NamedTuple)`"
        )
    _check_defaults(name, parameters)
    for title in STATES:
        _check_state_class(name, title, getattr(dynamics, title))
    for kind in (parameters, *dynamics.states):
        _check_hints(name, kind)
    for title, function in dynamics.rules.items():
        if not callable(function) or (COMPILED and not hasattr(function, "py_func")):
            raise InputTypeError(
                f"{title_of(name, title, function)} must be a function compiled by alsim.rule; got "
                f"{type(function).__name__}: write @alsim.rule above its definition"
            )
    _check_gain_functions(dynamics)
    for flag in ("reads_clock", "reads_parents", "further_draws"):
        if flag == "reads_parents" and dynamics.reads_parents in parameters._field_defaults:
            continue
        if type(getattr(dynamics, flag)) is not bool:
            names = " or the name of a parameter" if flag == "reads_parents" else ""
            raise InputTypeError(
                f"{flag} of the dynamics {name!r} must be True or False{names}; got {getattr(dynamics, flag)!r:.100}"
            )
    if not isinstance(dynamics.source, str):
        raise InputTypeError(f"source of the dynamics {name!r} must be a string; got {dynamics.source!r:.100}")
    moments = get_args(Moment)
    if dynamics.observe_at not in moments:
        raise AlsimError(f"observe_at must be one of {', '.join(map(repr, moments))}; got {dynamics.observe_at!r}")


def _check_gain_functions(dynamics: Dynamics) -> None:
    """Raise AlsimError unless the bound of gains and its expectation are functions, and the latter is not alone."""
    for title in ("largest_gain", "expected_gain"):
        function = getattr(dynamics, title)
        if function is not None and (not callable(function) or hasattr(function, "py_func")):
            raise InputTypeError(
                f"{title} of the dynamics {dynamics.name!r} must be a function of arrays; got "
                f"{type(function).__name__}: define it with NumPy, without @alsim.rule"
            )
    if dynamics.largest_gain is None and dynamics.expected_gain is not None:
        raise AlsimError(
            f"expected_gain of the dynamics {dynamics.name!r} is the expectation of largest_gain, which is missing; "
            "pass both, or largest_gain alone"
        )


def _check_defaults(name: str, parameters: Any) -> None:
    """Raise AlsimError unless all parameters have finite numbers as defaults, and names that a configuration can have.

    A table of a configuration has the name of the dynamics as its key "name".
    """
    defaults: dict[str, Any] = parameters._field_defaults
    for field in parameters._fields:
        default = defaults.get(field)
        if not isinstance(default, int | float) or isinstance(default, bool) or not math.isfinite(default):
            got = f"got {default!r}" if field in defaults else "it has none"
            raise InputTypeError(
                f"{parameters.__name__}.{field} of the dynamics {name!r} must have a finite Python number as its "
                f"default; {got}: write `{field}: float = 0.1`"
            )
        if field == "name":
            raise AlsimError(
                f"a parameter of the dynamics {name!r} is called 'name', which is the name of the dynamics in a "
                "configuration; rename the parameter"
            )


def _check_hints(name: str, kind: Any) -> None:
    """Raise AlsimError if a type hint of a class cannot be evaluated, for example because its name is unknown."""
    try:
        get_type_hints(kind, include_extras=True)
    except Exception as error:  # the hint of a user may be any expression
        raise InputTypeError(
            f"a type hint in the class {kind.__name__} of the dynamics {name!r} cannot be evaluated: {error}; define "
            "or import its names in the module, before the class"
        ) from None


def _check_state_class(name: str, title: str, kind: Any) -> None:
    """Raise AlsimError unless a class of own state is a NamedTuple with start values of types f32 and i32."""
    if kind is None:
        return
    shown = getattr(kind, "__name__", repr(kind))
    if not (isinstance(kind, type) and issubclass(kind, tuple)) or len(getattr(kind, "_fields", ())) == 0:
        raise InputTypeError(
            f"{title} of the dynamics {name!r} must be a NamedTuple class with at least one field; got {shown}: write "
            f"`class {shown if shown.isidentifier() else 'State'}(NamedTuple)`"
        )
    if "<locals>" in kind.__qualname__:
        raise InputTypeError(
            f"{title} of the dynamics {name!r} is defined in a function, {kind.__qualname__}, where other processes "
            "cannot import it; define it in a module"
        )
    defaults: dict[str, Any] = kind._field_defaults  # type: ignore[attr-defined]  # of a NamedTuple
    hints = getattr(kind, "__annotations__", {})
    for field in kind._fields:  # type: ignore[attr-defined]  # of a NamedTuple
        start: Any = defaults.get(field)
        if type(start) not in (f32, i32) or not np.isfinite(start):
            got = f"got {start!r}" if field in defaults else "it has none"
            wanted = "i32" if re.search("i32|int", str(hints.get(field))) else "f32"
            raise InputTypeError(
                f"{shown}.{field} of the dynamics {name!r} must have a start value of type f32 or i32; {got}: "
                f"write `{field}: {wanted} = {wanted}(0)`"
            )


__all__ = ["check_definition"]
