"""Memory that starts at a cache line."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

CACHE_LINE = 64
"""Bytes of a cache line, and of the widest vector."""


def aligned_zeros(length: int, dtype: DTypeLike) -> NDArray[Any]:
    """Return an array (length,) of zeros that starts at a cache line, so that fewer vectors and rows cross one.

    NumPy alone aligns to 16 bytes. The array is a view: its attribute `base` is the array that owns the memory.
    """
    size = length * np.dtype(dtype).itemsize
    memory = np.zeros(size + CACHE_LINE, np.uint8)
    start = -memory.__array_interface__["data"][0] % CACHE_LINE
    return memory[start : start + size].view(dtype)
