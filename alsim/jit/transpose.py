"""Transposition of a few records to as many entries of each column, in vector registers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import types as _numba_types

from alsim.jit.cache import COMPILED

# numba and llvmlite leave these untyped.
numba_types: Any = _numba_types
intrinsic: Any = numba.extending.intrinsic
llvm: Any = ir


def _transpose(context: Any, records: Any, indices: Any, first: Any, rows: Any, place: Any, stride: Any) -> Any:
    size = records.dtype.size // 4

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, listed, target = (
            context.make_array(kind)(context, builder, arguments[k]).data
            for k, kind in ((0, records), (1, indices), (3, rows))
        )
        first, place, stride = arguments[2], arguments[4], arguments[5]
        vector = llvm.VectorType(context.get_value_type(rows.dtype), size).as_pointer()
        source, values = builder.bitcast(source, vector), []
        for k in range(size):
            index = builder.load(builder.gep(listed, [builder.add(first, first.type(k))]))
            values.append(builder.load(builder.gep(source, [builder.zext(index, place.type)]), align=4))
        # Interleaving the first and the second half of all numbers rotates the bits of a number's position. After
        # half of a full turn, the number of the record and that of the field have changed places.
        half = size // 2
        low = [k + side for k in range(half) for side in (0, size)]
        masks = [llvm.Constant(llvm.VectorType(llvm.IntType(32), size), [k + s for k in low]) for s in (0, half)]
        for _ in range(size.bit_length() - 1):
            values = [builder.shuffle_vector(values[k], values[k + half], m) for k in range(half) for m in masks]
        for column in values:
            builder.store(column, builder.bitcast(builder.gep(target, [place]), vector), align=4)
            place = builder.add(place, stride)
        return context.get_dummy_value()

    i64 = numba_types.int64
    return numba_types.none(records, indices, i64, rows, i64, i64), generate


def _transpose_interpreted(records: Any, indices: Any, first: int, rows: Any, place: int, stride: int) -> None:
    size = records.itemsize // 4
    fields = records[indices[first : first + size]].view(rows.dtype).reshape(size, size)
    for k in range(size):
        rows[place + k * stride : place + k * stride + size] = fields[:, k]


transpose: Callable[..., None] = intrinsic(_transpose) if COMPILED else _transpose_interpreted
"""Copy the fields of n records, records[indices[first : first + n]], to n rows of n numbers each.

The arguments are records, indices, first, rows, place and stride. Field k is written to rows[start : start + n], where
start = place + k * stride. A record has n fields of four bytes, n = 4 or 8, whose bits are copied. `indices` are int32,
and `rows` int32 or float32. Indices and places are not checked.
"""
