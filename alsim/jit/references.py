"""Structs passed to kernels by reference: one pointer is unboxed much faster than fifty arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from numba.core import types as _numba_types
from numba.experimental import structref as _structref

from alsim.jit.cache import COMPILED
from alsim.jit.compile import in_own_cache, kernel
from alsim.types import Output, World

# numba leaves these untyped.
structref: Any = _structref
numba_types: Any = _numba_types
intrinsic: Any = numba.extending.intrinsic


class PayloadType(_numba_types.StructRefPayload):
    """numba's type of the fields of a reference."""

    @property
    def key(self) -> tuple[Any, ...]:
        """Return what distinguishes types: as in ReferenceType."""
        return self._typename, self._fields


class ReferenceType(_numba_types.StructRef):
    """numba's type of a NamedTuple that is passed by reference.

    numba distinguishes such types by their text, in which two classes of parameters with the same name are equal.
    """

    struct: type[Any]

    @property
    def key(self) -> tuple[Any, ...]:
        """Return what distinguishes types: the types of the fields, and with them the classes of tuples."""
        return self._typename, self._fields

    def get_data_type(self) -> PayloadType:
        """Return the type of the fields."""
        return PayloadType(typename=self._typename, fields=self._fields)  # type: ignore[no-untyped-call]  # numba's

    def preprocess_fields(self, fields: Any) -> tuple[tuple[str, Any], ...]:
        """Return the fields' names, and their types without literal values."""
        unliteral: Any = numba_types.unliteral
        return tuple((name, unliteral(kind)) for name, kind in fields)


class WorldType(ReferenceType):
    """numba's type of a World that is passed by reference."""

    struct = World


class OutputType(ReferenceType):
    """numba's type of an Output that is passed by reference."""

    struct = Output


class WorldReference(_structref.StructRefProxy):
    """Reference to a World."""


class OutputReference(_structref.StructRefProxy):
    """Reference to an Output."""


if COMPILED:
    numba.extending.register_model(PayloadType)(numba.extending.models.StructPayloadModel)
    for _type, _reference, _fields in (
        (WorldType, WorldReference, World._fields),
        (OutputType, OutputReference, Output._fields),
    ):
        structref.register(_type)
        structref.define_boxing(_type, _reference)
        structref.define_constructor(_reference, _type, _fields)


@kernel
def _refer_world(
    parameters: Any,
    weights: Any,
    termination: Any,
    start: Any,
    scale: Any,
    items: Any,
    population: Any,
    interaction: Any,
    scratch: Any,
) -> Any:
    return WorldReference(parameters, weights, termination, start, scale, items, population, interaction, scratch)  # type: ignore[no-untyped-call]  # numba's constructor


@kernel
def _refer_output(
    observation: Any, reward: Any, terminated: Any, truncated: Any, reason: Any, live: Any, final: Any
) -> Any:
    return OutputReference(observation, reward, terminated, truncated, reason, live, final)  # type: ignore[no-untyped-call]  # numba's constructor


def by_reference(struct: World | Output, own_cache: str = "") -> Any:
    """Return a World or an Output in the form that kernels take; the arrays stay shared with the caller.

    Without compilation, the struct itself is returned.

    own_cache  name of a separate cache directory, see `compile.entry`
    """
    if not COMPILED:
        return struct
    return in_own_cache(_refer_world if isinstance(struct, World) else _refer_output, own_cache)(*struct)


def _without_owner(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    """Return a value whose arrays are not reference-counted, since numba does not count arrays without an owner."""
    if isinstance(kind, numba_types.Array):
        array = context.make_array(kind)(context, builder, value)
        array.meminfo = array.meminfo.type(None)
        return array._getvalue()
    if isinstance(kind, numba_types.BaseTuple):
        parts = [
            _without_owner(context, builder, part, builder.extract_value(value, k)) for k, part in enumerate(kind.types)
        ]
        return context.make_tuple(builder, kind, parts)
    return value


def _borrow(context: Any, struct: Any) -> Any:
    by_value = not isinstance(struct, ReferenceType)
    kind = struct if by_value else numba_types.NamedTuple([part for _, part in struct._fields], struct.struct)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if by_value:
            return _without_owner(context, builder, kind, arguments[0])
        fields = structref._Utils(context, builder, struct).get_data_struct(arguments[0])
        values = [_without_owner(context, builder, part, getattr(fields, name)) for name, part in struct._fields]
        return context.make_tuple(builder, kind, values)

    return kind(struct), generate


borrow: Callable[[Any], Any] = intrinsic(_borrow) if COMPILED else lambda struct: struct
"""Return the NamedTuple that a reference stands for; a World or an Output itself is returned unchanged.

Its arrays are not reference-counted: for a small batch, counting the references of fifty arrays would take as long as
the step. The caller of a kernel must keep the arrays alive.
"""
