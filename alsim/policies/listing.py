"""Facts about the registered policies, as `alsim policies` lists them."""

from __future__ import annotations

import inspect
import math
from typing import Any, get_args

from alsim.policies.base import Policy
from alsim.policies.compiled import RulePolicy
from alsim.policies.mix import Weights
from alsim.policies.names import POLICIES, Make, Parameter, load_plugins, parameters_of, signature
from alsim.types import Observation
from alsim.utils.plugins import package_of

SOURCE = "Source: "
"""Beginning of the last sentence of a docstring, which cites a paper or a book."""


def list_policies() -> dict[str, dict[str, Any]]:
    """Return the facts about each registered policy, also of installed plugins, by name; see `facts_of`."""
    load_plugins()
    return {name: facts_of(name, make) for name, make in POLICIES.items()}


def facts_of(name: str, make: Make) -> dict[str, Any]:
    """Return facts about a policy, JSON-ready.

        name, package  its name, and the package of its class or function
        signature      its name with its arguments
        arguments      name, type, `required`, and default of each argument
        description    first line of the docstring
        reads          kind of observation that it needs, "any", or None
        stochastic     whether it draws random numbers, or None
        memory         whether it keeps a state of each learner, or None
        source         paper or book that its docstring cites, or None

    None stands for a fact that depends on the policies in the arguments, or that the class does not tell. It tells it
    by attributes of a `RulePolicy`, by `reads` and `stochastic`, by an argument `floor`, and by a method `start`. A
    function tells it by the annotation of its result.
    """
    parameters, kind = parameters_of(make), _class_of(make)
    return {
        "name": name,
        "signature": signature(name, make),
        "arguments": [_argument(parameter) for parameter in parameters],
        "description": _docstring(make).partition("\n")[0],
        "reads": _reads(kind),
        "stochastic": _is_stochastic(kind, parameters),
        "memory": _has_memory(kind),
        "source": _source(make),
        "package": package_of(make),
    }


def _class_of(make: Any) -> Any:
    """Return the class of the policies that a class or function returns; the function itself without annotation."""
    if isinstance(make, type):
        return make
    try:
        result = inspect.signature(make, eval_str=True).return_annotation
    except (NameError, TypeError, ValueError):
        return make
    return result if isinstance(result, type) and callable(getattr(result, "act", None)) else make


def _argument(parameter: Parameter) -> dict[str, Any]:
    """Return name, type and default of an argument."""
    words = {Policy: "policy", Weights: "weights of policies"}
    kind = words.get(parameter.kind) or getattr(parameter.kind, "__name__", str(parameter.kind))
    described = {"name": parameter.name, "type": kind, "required": parameter.required}
    return described if parameter.required else {**described, "default": _plain(parameter.default)}


def _plain(value: Any) -> Any:
    """Return a value of JSON: the value itself, or else its repr."""
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return repr(value)


def _reads(kind: Any) -> str | None:
    """Return the kind of observation that a class needs, "any", or None if it does not tell."""
    if not isinstance(kind, type) or not hasattr(kind, "reads"):
        return None
    reads = kind.reads
    return "any" if reads is None else reads if reads in get_args(Observation) else None


def _is_stochastic(kind: Any, parameters: list[Parameter]) -> bool | None:
    """Return whether a policy draws random numbers, None if its class does not tell."""
    stated = getattr(kind, "stochastic", None)
    if isinstance(stated, bool):
        return stated
    if isinstance(kind, type) and issubclass(kind, RulePolicy):
        return kind.probabilities is not RulePolicy.probabilities  # a rule with random words overrides it
    return True if any(parameter.name == "floor" for parameter in parameters) else None


def _has_memory(kind: Any) -> bool | None:
    """Return whether a policy keeps a state of each learner, None if its class does not tell."""
    if not isinstance(kind, type):
        return None
    if issubclass(kind, RulePolicy):
        return kind.memory > 0
    start = getattr(kind, "start", None)
    return None if isinstance(start, property) else callable(start)


def _source(make: Any) -> str | None:
    """Return the source in the docstring of a class or function, None without one."""
    paragraphs = _docstring(make).replace("\n    ", "\n").split("\n\n")
    found = [text.partition(SOURCE)[2] for text in paragraphs if SOURCE in text]
    return " ".join(found[-1].split()) if found else None


def _docstring(make: Any) -> str:
    """Return the docstring of a class, a function, or a partial function."""
    return (getattr(make, "func", make).__doc__ or "").strip()


__all__ = ["facts_of", "list_policies"]
