"""Arrays of a caller's own, for a step to write to: what is asked of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from alsim.errors import AlsimError, InputTypeError
from alsim.simulator.buffers import OWN, BufferPool, OutputBuffer, overlap, plain, spans
from alsim.simulator.simulator import Simulator
from alsim.types import Buffers, Doubles

F32, F64, BOOL = np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.bool_)


def new_buffers(lanes: int, width: int) -> Buffers:
    """Return buffers of M lanes, all zero."""
    return Buffers(
        observations=np.zeros((lanes, width), F32),
        rewards=np.zeros(lanes, F64),
        terminated=np.zeros(lanes, BOOL),
        truncated=np.zeros(lanes, BOOL),
    )


class CallerBuffers:
    """Steps into a caller's arrays: checks them, and adds what else a step writes.

    make        makes a buffer for that
    shared      as of `BufferPool`
    simulators  whose arrays no caller's may overlap; the last one steps
    """

    def __init__(self, make: Callable[[], OutputBuffer], *, shared: bool, simulators: tuple[Simulator, ...]) -> None:
        self._outputs = BufferPool(make, shared=shared)
        self._simulators = simulators
        self._spans: Any = None

    def __getstate__(self) -> dict[str, Any]:
        """Everything but where arrays lie."""
        return {**self.__dict__, "_spans": None}

    def take(self, out: Any, lanes: int) -> tuple[OutputBuffer, Any]:
        """Return a buffer that nobody holds, and a reference to the Output that it makes with `out`.

        Raises TypeError or ValueError for arrays that a step of M lanes cannot write to. The same `out` again
        is not looked at again, but for whether it can still be written.
        """
        buffer = self._outputs.take()
        known, reference = buffer.borrowed
        if out is known and len(known.rewards) == lanes and _writeable(known):
            return buffer, reference
        _read_each(out, lanes, self._simulators[0].width)
        self._refuse_overlap(out, buffer)
        return buffer, buffer.borrow(out, observations_too=self._simulators[-1].num_threads > 1)

    def fill(self, out: Buffers, reward: Doubles) -> None:
        """Copy what a step did not write to a caller's arrays itself.

        Such arrays are rarely in a cache, and one thread writes there fastest in one go (decision 14).
        """
        simulator = self._simulators[-1]
        if simulator.num_threads == 1:
            np.copyto(out.observations, simulator.observation[: len(reward)])
        if out.rewards.dtype != F64:
            np.copyto(out.rewards, reward, casting="same_kind")

    def _refuse_overlap(self, out: Buffers, buffer: OutputBuffer) -> None:
        if self._spans is None:
            self._spans = spans([array for simulator in self._simulators for array in simulator.arrays])
        one, other = overlap(*plain(out), self._spans, buffer.own)
        if one >= 0:
            what = "memory of the environment's own" if other == OWN else f"out.{Buffers._fields[other]}"
            raise AlsimError(f"arrays of out lie apart from all others; out.{Buffers._fields[one]} overlaps {what}")


def _writeable(out: Buffers) -> bool:
    """Whether all arrays can still be written: their owner may have changed its mind."""
    a, b, c, d = out
    return a.flags.writeable and b.flags.writeable and c.flags.writeable and d.flags.writeable


def _read_each(out: Any, lanes: int, width: int) -> None:
    """Raise TypeError or ValueError for arrays that a step of M lanes cannot write to."""
    if type(out) is not Buffers:
        raise InputTypeError(f"out is an alsim.Buffers; got {type(out).__name__}")
    _read_array("observations", out.observations, (lanes, width), (F32,))
    _read_array("rewards", out.rewards, (lanes,), (F64, F32))
    _read_array("terminated", out.terminated, (lanes,), (BOOL,))
    _read_array("truncated", out.truncated, (lanes,), (BOOL,))


def _read_array(name: str, array: Any, shape: tuple[int, ...], dtypes: tuple[np.dtype[Any], ...]) -> None:
    if not isinstance(array, np.ndarray):
        raise InputTypeError(f"out.{name} is a NumPy array; got {type(array).__name__}")
    if array.shape != shape:
        raise AlsimError(f"out.{name} has shape {shape}; got {array.shape}")
    if array.dtype not in dtypes:
        raise InputTypeError(f"out.{name} has dtype {' or '.join(map(str, dtypes))}; got {array.dtype}")
    flags = array.flags
    if not flags.carray:
        lack = "read-only" if not flags.writeable else "not C-contiguous" if not flags.c_contiguous else "not aligned"
        raise AlsimError(f"out.{name} is writeable, C-contiguous and aligned; got an array that is {lack}")
