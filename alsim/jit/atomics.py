"""Atomic addition to an entry of an array that threads share."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any

import numba
from numba.core import types as _numba_types

from alsim.jit.cache import COMPILED

# numba leaves these untyped.
numba_types: Any = _numba_types
intrinsic: Any = numba.extending.intrinsic


def _fetch_add(context: Any, counters: Any, index: Any, amount: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(counters)(context, builder, arguments[0])
        place = builder.gep(array.data, [arguments[1]])
        return builder.atomic_rmw("add", place, arguments[2], "acq_rel")

    return numba_types.int64(counters, numba_types.int64, numba_types.int64), generate


_LOCK = Lock()


def _fetch_add_interpreted(counters: Any, index: int, amount: int) -> int:
    with _LOCK:
        before = int(counters[index])
        counters[index] += amount
        return before


fetch_add: Callable[[Any, int, int], int] = intrinsic(_fetch_add) if COMPILED else _fetch_add_interpreted
"""Add to counters[index] (int64) atomically among all threads, and return the previous value."""
