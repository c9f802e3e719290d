"""Structs passed to kernels by reference: one address is unboxed much faster than fifty arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numba
import numpy as np
from numba.core import types as _numba_types
from numba.np import arrayobj as _arrayobj
from numpy.typing import NDArray

from alsim.jit.cache import COMPILED

# numba leaves these untyped.
numba_types: Any = _numba_types
extending: Any = numba.extending
arrayobj: Any = _arrayobj
typeof: Any = numba.typeof

WORD = 8
"""Bytes per word. A number takes one word; an array takes one for its address, and one for each axis."""


class ReferenceType(_numba_types.Type):
    """numba's type of a Reference.

    numba distinguishes most types by their text, in which two classes of parameters with the same name are equal.
    """

    def __init__(self, struct: Any) -> None:
        self.struct = struct
        super().__init__(name=f"Reference({struct})")

    @property
    def key(self) -> Any:
        """Return what distinguishes types: the type of the struct, and with it the classes of tuples."""
        return self.struct


class Reference:
    """Reference to a NamedTuple of numbers, arrays and such NamedTuples. It keeps the arrays alive.

    address  of its words, in the order of the fields
    """

    def __init__(self, struct: NamedTuple) -> None:
        self._struct = struct
        self._words = np.array([word for leaf in _leaves(struct) for word in _words_of(leaf)], np.uint64)
        self.address: int = self._words.ctypes.data

    @property
    def _numba_type_(self) -> ReferenceType:
        return ReferenceType(typeof(self._struct))


def _leaves(struct: Any) -> Iterator[Any]:
    """Yield the numbers and arrays of a struct, depth first."""
    for part in struct:
        if isinstance(part, tuple):
            yield from _leaves(part)
        else:
            yield part


def _words_of(leaf: Any) -> tuple[Any, ...]:
    """Return the words of a number or an array."""
    if isinstance(leaf, np.ndarray):
        if not leaf.flags.c_contiguous:
            raise ValueError(f"kernels need C-contiguous arrays; got strides {leaf.strides}: copy the array")
        return leaf.__array_interface__["data"][0], *leaf.shape
    number: NDArray[Any] = np.asarray(leaf)
    return (int.from_bytes(number.tobytes(), "little"),)


def by_reference(struct: Any) -> Any:
    """Return a World or an Output in the form that kernels take; the arrays stay shared with the caller.

    Without compilation, the struct itself is returned.
    """
    return Reference(struct) if COMPILED else struct


def _unbox(kind: Any, reference: Any, c: Any) -> Any:
    """Return the address of the words of a reference."""
    address = c.pyapi.object_getattr_string(reference, "address")
    value = c.pyapi.long_as_voidptr(address)
    c.pyapi.decref(address)
    return extending.NativeValue(value)


if COMPILED:
    extending.register_model(ReferenceType)(extending.models.OpaqueModel)
    extending.unbox(ReferenceType)(_unbox)


class _Reader:
    """Reader of words, which generates code that loads them one after the other."""

    def __init__(self, context: Any, builder: Any, address: Any) -> None:
        self._context, self._builder = context, builder
        self._address, self._offset = address, 0

    def read(self, kind: Any) -> Any:
        """Return the value of a type at the current word, and move on."""
        if isinstance(kind, numba_types.BaseTuple):
            return self._context.make_tuple(self._builder, kind, [self.read(part) for part in kind.types])
        if isinstance(kind, numba_types.Array):
            return self._read_array(kind)
        return self._load(kind)

    def _load(self, kind: Any) -> Any:
        context, builder = self._context, self._builder
        place = builder.gep(self._address, [context.get_constant(numba_types.intp, self._offset)])
        self._offset += WORD
        return context.unpack_value(builder, kind, builder.bitcast(place, context.get_data_type(kind).as_pointer()))

    def _read_array(self, kind: Any) -> Any:
        """Return an array that is not reference-counted, since numba does not count arrays without an owner."""
        context, builder = self._context, self._builder
        array = context.make_array(kind)(context, builder)
        data = self._load(numba_types.voidptr)
        shape = [self._load(numba_types.intp) for _ in range(kind.ndim)]
        itemsize = context.get_abi_sizeof(context.get_data_type(kind.dtype))
        strides = [context.get_constant(numba_types.intp, itemsize)]
        for length in reversed(shape[1:]):
            strides.insert(0, builder.mul(strides[0], length))
        data = builder.bitcast(data, array.data.type)
        return arrayobj.populate_array(array, data, shape, strides, itemsize, meminfo=None)._getvalue()


def _without_owner(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    """Return a value whose arrays are not reference-counted."""
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
    kind = struct if by_value else struct.struct

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if by_value:
            return _without_owner(context, builder, kind, arguments[0])
        return _Reader(context, builder, arguments[0]).read(kind)

    return kind(struct), generate


borrow: Callable[[Any], Any] = extending.intrinsic(_borrow) if COMPILED else lambda struct: struct
"""Return the NamedTuple that a reference stands for; a World or an Output itself is returned unchanged.

Its arrays are not reference-counted: for a small batch, counting the references of fifty arrays would take as long as
the step. The caller of a kernel must keep the arrays alive.
"""
