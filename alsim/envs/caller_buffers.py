"""Arrays that belong to the caller, into which a step can write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from alsim.errors import AlsimError, InputTypeError
from alsim.simulator.buffers import OWN, BufferPool, OutputBuffer, overlap, plain, spans
from alsim.simulator.simulator import Simulator
from alsim.types import Buffers, Doubles

F32, F64, BOOL = np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.bool_)
CURE = "new_buffers() returns suitable arrays"


def new_buffers(lanes: int, width: int) -> Buffers:
    """Return zero-filled arrays for a step.

    lanes  number of lanes M
    width  length of an observation R

    Returns observations (M, R) float32, rewards (M,) float64, terminated and truncated (M,) bool.
    """
    return Buffers(
        observations=np.zeros((lanes, width), F32),
        rewards=np.zeros(lanes, F64),
        terminated=np.zeros(lanes, BOOL),
        truncated=np.zeros(lanes, BOOL),
    )


class CallerBuffers:
    """Validator of the caller's arrays, with buffers for the other outputs of a step.

    make_buffer  creates an OutputBuffer
    shared       use one buffer for all steps, see `BufferPool`
    simulators   simulators whose arrays the caller's arrays must not overlap; the last one performs the steps
    """

    def __init__(
        self, make_buffer: Callable[[], OutputBuffer], *, shared: bool, simulators: tuple[Simulator, ...]
    ) -> None:
        self._pool = BufferPool(make_buffer, shared=shared)
        self._simulators = simulators
        self._spans: Any = None

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without memory addresses, which do not survive pickling."""
        return {**self.__dict__, "_spans": None}

    def take(self, out: Any, lanes: int) -> tuple[OutputBuffer, Any]:
        """Return a free buffer, and a reference to an Output that writes to `out`.

        out    Buffers of the caller
        lanes  number of lanes M of the step

        If this buffer was last used with the same object `out`, only its length and its flags are checked again.
        Raises TypeError or ValueError if a step of M lanes cannot write to `out`.
        """
        buffer = self._pool.take()
        previous, reference = buffer.borrowed
        if out is previous and len(previous.rewards) == lanes and _writeable(previous):
            return buffer, reference
        _check_buffers(out, lanes, self._simulators[0].width)
        self._check_overlap(out, buffer)
        return buffer, buffer.borrow(out, observations_too=self._simulators[-1].num_threads > 1)

    def fill(self, out: Buffers, reward: Doubles) -> None:
        """Copy those outputs to the caller's arrays that the step has not written there itself.

        reward  rewards of the step (M,)

        The caller's arrays are rarely in a cache, so a single thread writes observations fastest in one copy at the
        end (decision 14).
        """
        simulator = self._simulators[-1]
        if simulator.num_threads == 1:
            np.copyto(out.observations, simulator.observation[: len(reward)])
        if out.rewards.dtype != F64:
            np.copyto(out.rewards, reward, casting="same_kind")

    def _check_overlap(self, out: Buffers, buffer: OutputBuffer) -> None:
        if self._spans is None:
            self._spans = spans([array for simulator in self._simulators for array in simulator.arrays])
        first, second = overlap(*plain(out), self._spans, buffer.own)
        if first >= 0:
            other = "the environment's own memory" if second == OWN else f"out.{Buffers._fields[second]}"
            raise AlsimError(
                f"arrays of out must not overlap; out.{Buffers._fields[first]} overlaps {other}: "
                "pass separate arrays, such as those of new_buffers()"
            )


def _writeable(out: Buffers) -> bool:
    """Return whether all arrays are still writeable: the caller may have changed their flags."""
    a, b, c, d = out
    return a.flags.writeable and b.flags.writeable and c.flags.writeable and d.flags.writeable


def _check_buffers(out: Any, lanes: int, width: int) -> None:
    """Raise TypeError or ValueError if a step of M lanes cannot write to `out`."""
    if type(out) is not Buffers:
        raise InputTypeError(f"out must be an alsim.Buffers; got {type(out).__name__}: {CURE}")
    _check_array("observations", out.observations, (lanes, width), (F32,))
    _check_array("rewards", out.rewards, (lanes,), (F64, F32))
    _check_array("terminated", out.terminated, (lanes,), (BOOL,))
    _check_array("truncated", out.truncated, (lanes,), (BOOL,))


def _check_array(name: str, array: Any, shape: tuple[int, ...], dtypes: tuple[np.dtype[Any], ...]) -> None:
    if not isinstance(array, np.ndarray):
        raise InputTypeError(f"out.{name} must be a NumPy array; got {type(array).__name__}: {CURE}")
    if array.shape != shape:
        raise AlsimError(f"out.{name} must have shape {shape}; got {array.shape}: {CURE}")
    if array.dtype not in dtypes:
        expected = " or ".join(map(str, dtypes))
        raise InputTypeError(f"out.{name} must have dtype {expected}; got {array.dtype}: {CURE}")
    flags = array.flags
    if not flags.carray:
        fault = "read-only" if not flags.writeable else "not C-contiguous" if not flags.c_contiguous else "not aligned"
        raise AlsimError(
            f"out.{name} must be writeable, C-contiguous and aligned; got an array that is {fault}: {CURE}"
        )
