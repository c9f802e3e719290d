"""Arrays that start at a cache line."""

import numpy as np
import pytest

from alsim.bank.items import sample_bank
from alsim.config import Config
from alsim.jit.structs import leaves
from alsim.simulator.buffers import OutputBuffer
from alsim.simulator.state import new_world
from alsim.utils.memory import CACHE_LINE, aligned_zeros


@pytest.mark.parametrize("dtype", [np.int8, np.bool_, np.float32, np.int64, [("a", np.int32), ("b", np.float32)]])
@pytest.mark.parametrize("length", [0, 1, 1000, 2**20])
def test_arrays_start_at_a_cache_line(length, dtype):
    array = aligned_zeros(length, dtype)
    assert array.shape == (length,) and array.dtype == np.dtype(dtype)
    assert length == 0 or array.ctypes.data % CACHE_LINE == 0
    assert array.flags.c_contiguous and array.flags.writeable and not array.view(np.uint8).any()


def test_the_arrays_of_a_step_start_at_a_cache_line():
    world = new_world(Config(), sample_bank(Config()), 100, responses=True, record=True)
    output = OutputBuffer(128, 32, np.empty(0, np.float32), observations=True).arrays
    for part in (world.items, world.learners, world.interaction, world.scratch, output[:3]):
        for _, array in leaves(part):
            assert array.size == 0 or array.ctypes.data % CACHE_LINE == 0
