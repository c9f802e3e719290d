"""Transposition of records: compiled, and in the interpreter."""

import numpy as np
import pytest

from alsim.jit.compile import kernel
from alsim.jit.transpose import _transpose_interpreted, transpose

STRIDE = 24


@lambda function: kernel(function, None)
def transposed(records, indices, first, rows, place):
    """Transpose in compiled code, if there is any."""
    transpose(records, indices, first, rows, place, STRIDE)


@pytest.mark.parametrize("copy", [transposed, lambda *a: _transpose_interpreted(*a, STRIDE)], ids=["kernel", "python"])
@pytest.mark.parametrize("size", [4, 8])
@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_each_field_of_the_records_becomes_a_row(copy, size, kind):
    """At any alignment; nothing outside the rows changes, and bits that are a NaN stay the same."""
    fields = [(f"f{k}", np.int32) for k in range(size)]
    numbers = np.arange(10 * size, dtype=np.int32) + 0x7F800000  # as float32, infinity and NaN
    records = np.zeros(10 * 4 * size + 4, np.uint8)[4:].view(fields)
    records[:] = numbers.view(fields)
    indices = np.array([7, 9, 9, 0, 3, 5, 1, 2, 8], np.int32)
    rows = np.full(3 + STRIDE * size, -1, np.int32).view(kind)
    copy(records, indices, 1, rows, 3)
    table = rows.view(np.int32)[3:].reshape(size, STRIDE)
    assert table[:, :size].tolist() == numbers.reshape(10, size)[indices[1 : 1 + size]].T.tolist()
    assert (table[:, size:] == -1).all() and (rows.view(np.int32)[:3] == -1).all()
