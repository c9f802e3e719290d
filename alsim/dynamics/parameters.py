"""Kinds of parameters of dynamics, and classes that extend those of another dynamics."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Annotated, Any, NamedTuple, TypeVar, cast, get_type_hints

from annotated_types import Ge, Gt, Interval

Share = Annotated[float, Interval(ge=0, le=1)]
NotNegative = Annotated[float, Ge(0)]
Positive = Annotated[float, Gt(0)]

Class = TypeVar("Class", bound=type[Any])


class Unit(NamedTuple):
    """Metadata of a parameter or of a field of a state: its unit, for listings."""

    unit: str


class Word(NamedTuple):
    """Metadata of a parameter that may be a word in a configuration, which stands for a number in the rules."""

    word: str
    number: float


def extends(base: type[Any], *, without: Collection[str] = ()) -> Callable[[Class], Class]:
    """Return a decorator that adds the parameters of another dynamics to a NamedTuple class of parameters.

    base     class of the other parameters, which come first
    without  names that are left out
    """

    def extend(own: Class) -> Class:
        hints = {name: hint for kind in (base, own) for name, hint in get_type_hints(kind, include_extras=True).items()}
        defaults = {**base._field_defaults, **own._field_defaults}
        names = [name for name in hints if name not in without]
        extended: Any = NamedTuple(own.__name__, [(name, hints[name]) for name in names])  # type: ignore[misc]
        extended._field_defaults = {name: defaults[name] for name in names}
        extended.__new__.__defaults__ = tuple(defaults[name] for name in names)
        extended.__module__, extended.__qualname__, extended.__doc__ = own.__module__, own.__qualname__, own.__doc__
        return cast(Class, extended)

    return extend


__all__ = ["NotNegative", "Positive", "Share", "Unit", "Word", "extends"]
