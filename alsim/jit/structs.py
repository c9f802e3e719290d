"""Structs of arrays in compiled code: rows, columns, selections, and parts that may be absent.

A struct of arrays has the class of its scalars: `Counts(array, array)` is the collective of `Counts(i32, i32)`. The
empty tuple stands for an absent part. Every operation on it compiles to nothing, because the type decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from inspect import signature
from typing import Any

import numba
import numpy as np
from numba.core import types as _numba_types
from numba.core.errors import TypingError

from alsim.jit.cache import COMPILED
from alsim.jit.compile import defined

# numba leaves these untyped.
numba_types: Any = _numba_types
intrinsic: Any = numba.extending.intrinsic

ABSENT: tuple[()] = ()
"""A part of a struct that does not exist."""


def is_absent(part: Any) -> bool:
    """Return whether a part of a struct does not exist."""
    return isinstance(part, tuple) and len(part) == 0


# ── in the interpreter ───────────────────────────────────────────────────────────────────────────


def _rebuilt(struct: Any, parts: Iterator[Any]) -> Any:
    """Return a tuple of the same class as `struct`, with these parts."""
    return type(struct)(*parts) if hasattr(struct, "_fields") else tuple(parts)


def with_leaves(struct: Any, change: Callable[[Any], Any]) -> Any:
    """Return a struct in which `change` has replaced each part that is not a tuple, depth first."""
    if isinstance(struct, tuple):
        return _rebuilt(struct, (with_leaves(part, change) for part in struct))
    return change(struct)


def leaves(struct: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the parts of a struct that are not tuples, depth first, with their names: those of nested ones joined."""
    if isinstance(struct, tuple):
        names = getattr(struct, "_fields", map(str, range(len(struct))))
        for field, part in zip(names, struct, strict=True):
            yield from leaves(part, f"{name}.{field}" if name else field)
    else:
        yield name, struct


def row_of(columns: Any, k: Any) -> Any:
    """Return row k of a struct of arrays, see `load_row`."""
    if isinstance(columns, tuple):
        if not any(isinstance(column, np.ndarray | tuple) for column in columns):
            return columns
        return _rebuilt(columns, (row_of(column, k) for column in columns))
    return columns[k] if isinstance(columns, np.ndarray) else columns


def _store_row(columns: Any, k: Any, values: Any) -> None:
    if isinstance(columns, tuple):
        for column, value in zip(columns, values, strict=True):
            _store_row(column, k, value)
    else:
        columns[k] = values


# ── in compiled code ─────────────────────────────────────────────────────────────────────────────


def _row_type(kind: Any) -> Any:
    """Return the type of a row of these columns."""
    if isinstance(kind, numba_types.BaseTuple):
        return _tuple_like(kind, [_row_type(part) for part in kind.types])
    return kind.dtype if isinstance(kind, numba_types.Array) else kind


def _tuple_like(kind: Any, parts: list[Any]) -> Any:
    """Return the type of a tuple of the same class, with parts of other types."""
    return numba_types.BaseTuple.from_types(parts, getattr(kind, "instance_class", None))


def _place(context: Any, builder: Any, kind: Any, array: Any, k: Any) -> Any:
    """Return the address of entry k, an unsigned index, of a contiguous array."""
    return builder.gep(context.make_array(kind)(context, builder, array).data, [k])


def _intrinsic_load_row(context: Any, columns: Any, k: Any) -> Any:
    def load(context: Any, builder: Any, kind: Any, value: Any, k: Any) -> Any:
        if isinstance(kind, numba_types.BaseTuple):
            parts = [
                load(context, builder, part, builder.extract_value(value, i), k) for i, part in enumerate(kind.types)
            ]
            return context.make_tuple(builder, _row_type(kind), parts)
        if isinstance(kind, numba_types.Array):
            return context.unpack_value(builder, kind.dtype, _place(context, builder, kind, value, k))
        return value

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return load(context, builder, columns, *arguments)

    return _row_type(columns)(columns, numba_types.uint64), generate


def _intrinsic_store_row(context: Any, columns: Any, k: Any, values: Any) -> Any:
    if _row_type(columns) != values:
        raise TypingError(f"a row must have the types {_row_type(columns)}; got {values}")

    def store(context: Any, builder: Any, kind: Any, value: Any, k: Any, row: Any) -> None:
        if isinstance(kind, numba_types.BaseTuple):
            for i, part in enumerate(kind.types):
                inner = builder.extract_value(row, i)
                store(context, builder, part, builder.extract_value(value, i), k, inner)
        else:
            context.pack_value(builder, kind.dtype, row, _place(context, builder, kind, value, k))

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        store(context, builder, columns, *arguments)
        return context.get_dummy_value()

    return numba_types.none(columns, numba_types.uint64, values), generate


def _field(kind: Any, name: str) -> Any:
    """Return the type of a field of a struct; an absent part if the struct was made without its last fields."""
    place = kind.fields.index(name)
    return kind.types[place] if place < len(kind.types) else numba_types.Tuple(())


def selection_of(name: str) -> Callable[[Any, Any, Any], Any]:
    """Return a function that selects the field of this name from one of two structs, by a condition.

    It is selected number by number and without branches, as vectorisation needs. In compiled code, a NamedTuple that
    was made without its last fields has only the types of the others; such a field is ABSENT.
    """

    def choose(context: Any, builder: Any, kind: Any, condition: Any, one: Any, other: Any) -> Any:
        if isinstance(kind, numba_types.BaseTuple):
            pairs = (
                (part, builder.extract_value(one, i), builder.extract_value(other, i))
                for i, part in enumerate(kind.types)
            )
            parts = [choose(context, builder, part, condition, x, y) for part, x, y in pairs]
            return context.make_tuple(builder, kind, parts)
        return builder.select(condition, one, other)

    def typed(context: Any, condition: Any, a: Any, b: Any) -> Any:
        kind, other = _field(a, name), _field(b, name)
        if kind != other:
            raise TypingError(f"both rules must return the same types of {name}; got {kind} and {other}")

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            condition, one, other = arguments
            if len(kind) == 0:
                return context.make_tuple(builder, kind, ())
            place = a.fields.index(name)
            values = builder.extract_value(one, place), builder.extract_value(other, place)
            return choose(context, builder, kind, condition, *values)

        return kind(numba_types.boolean, a, b), generate

    def interpreted(condition: Any, a: Any, b: Any) -> Any:
        return getattr(a if condition else b, name)

    return intrinsic(typed) if COMPILED else interpreted


def _intrinsic_present_or(context: Any, part: Any, other: Any) -> Any:
    absent = isinstance(part, numba_types.BaseTuple) and len(part) == 0

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return arguments[absent]

    return (other if absent else part)(part, other), generate


load_row: Callable[[Any, Any], Any] = intrinsic(_intrinsic_load_row) if COMPILED else row_of
"""Return the struct of entries k of a struct of contiguous arrays; parts that are numbers, or absent, stay.

The index is a u64, and is not checked. An array alone gives its entry.
"""
store_row: Callable[[Any, Any, Any], None] = intrinsic(_intrinsic_store_row) if COMPILED else _store_row
"""Write a struct of numbers to entries k of a struct of contiguous arrays. The types must be those of the arrays."""
present_or: Callable[[Any, Any], Any] = (
    intrinsic(_intrinsic_present_or) if COMPILED else lambda part, other: other if is_absent(part) else part
)
"""Return a part of a struct, or `other` if it is absent."""


def _is_absent_type(kind: Any) -> bool:
    """Return whether a type is that of an absent part."""
    return isinstance(kind, numba_types.BaseTuple) and len(kind) == 0


def _call_of(context: Any, function: Any, arguments: Sequence[Any]) -> tuple[Any, Callable[..., Any]]:
    """Return the type of the result of a compiled function for types of arguments, and a generator of its call."""
    kind = numba_types.Dispatcher(function)
    signature = kind.get_call_type(context, tuple(arguments), {})

    def generate(context: Any, builder: Any, values: Sequence[Any]) -> Any:
        implementation = context.get_function(kind, signature)
        context.add_linking_libs(getattr(implementation, "libs", ()))
        casted = [
            context.cast(builder, value, given, wanted)
            for value, given, wanted in zip(values, arguments, signature.args, strict=True)
        ]
        return implementation(builder, casted)

    return signature.return_type, generate


def _intrinsic_of(function: Callable[..., Any], typed: Callable[..., Any]) -> Callable[..., Any]:
    """Return an intrinsic with the arguments of a function; `typed` gets the typing context and their types.

    An intrinsic, unlike a function that numba generates, takes no time to compile, and passes no arguments in vain.
    """
    listed = ", ".join(signature(function).parameters)
    code = f"def typed_here(context, {listed}): return typed(context, {listed})"
    made: Callable[..., Any] = intrinsic(defined(code, "typed_here", typed=typed))
    return made


def if_present(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that calls `function`; if its first argument is ABSENT, it returns that and does nothing."""

    def call_if_present(part: Any, *others: Any) -> Any:
        return part if is_absent(part) else function(part, *others)

    def typed(context: Any, part: Any, *others: Any) -> Any:
        if _is_absent_type(part):
            return part(part, *others), lambda context, builder, signature, arguments: arguments[0]
        result, call = _call_of(context, function, (part, *others))

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return call(context, builder, arguments)

        return result(part, *others), generate

    return _intrinsic_of(getattr(function, "py_func", function), typed) if COMPILED else call_if_present


def steps_of(*steps: tuple[str, Callable[..., None]]) -> Callable[..., None]:
    """Return a function that calls some steps, one after the other: those whose part of the first argument is present.

    steps  path of a part in the first argument, such as "scratch.unready", and a step. All steps have the arguments of
           the returned function
    """

    def present(struct: Any, path: str) -> bool:
        for name in path.split("."):
            struct = getattr(struct, name)
        return not is_absent(struct)

    def call_steps(struct: Any, *others: Any) -> None:
        for path, step in steps:
            if present(struct, path):
                step(struct, *others)

    def present_type(kind: Any, path: str) -> bool:
        for name in path.split("."):
            kind = _field(kind, name)
        return not _is_absent_type(kind)

    def typed(context: Any, struct: Any, *others: Any) -> Any:
        chosen = [step for path, step in steps if present_type(struct, path)]
        calls = [_call_of(context, step, (struct, *others))[1] for step in chosen]

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            for call in calls:
                call(context, builder, arguments)
            return context.get_dummy_value()

        return numba_types.none(struct, *others), generate

    first: Any = steps[0][1]
    return _intrinsic_of(getattr(first, "py_func", first), typed) if COMPILED else call_steps
