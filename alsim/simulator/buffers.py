"""Output buffers of steps: their memory is reused after the caller has released the arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from sys import getrefcount
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alsim.jit.compile import lean_kernel
from alsim.jit.references import by_reference
from alsim.types import Bools, Buffers, Codes, Doubles, Floats, Longs, Output, f32, f64, i8, i64
from alsim.utils.memory import aligned_zeros

POOL_SIZE = 2
"""Number of buffers kept for reuse: a caller usually holds the arrays of the last step while it calls the next."""


StepArrays = tuple[Floats, Doubles, Bools, Bools, Codes, Bools]
"""Output arrays of one step: observations (N, R); reward, terminated, truncated, reason and live, (N,) each."""


def spans(arrays: Sequence[NDArray[Any]]) -> Longs:
    """Return the memory ranges (K, 2) of K contiguous arrays: the first address, and the address after the end."""
    starts = [array.__array_interface__["data"][0] for array in arrays]
    return np.array([(start, start + a.nbytes) for start, a in zip(starts, arrays, strict=True)], np.int64)


def plain(out: Buffers) -> tuple[Any, Any, Any, Any]:
    """Return the arrays of a caller as plain arrays, since kernels do not accept subclasses such as memmap."""
    a, b, c, d = out
    return np.asarray(a), np.asarray(b), np.asarray(c), np.asarray(d)


OWN = 4
"""Index that `overlap` returns for memory that does not belong to the caller."""


@lean_kernel
def overlap(
    observations: Floats,
    rewards: Doubles | Floats,
    terminated: Bools,
    truncated: Bools,
    own: Longs,
    also_own: Longs,
) -> tuple[int, int]:
    """Return the indices into Buffers of two arrays that overlap; the second may be OWN.

    own, also_own  (K, 2) memory ranges from `spans` that do not belong to the caller

    Returns (-1, -1) if no arrays overlap.
    """
    starts = (observations.ctypes.data, rewards.ctypes.data, terminated.ctypes.data, truncated.ctypes.data)
    sizes = (observations.nbytes, rewards.nbytes, terminated.nbytes, truncated.nbytes)
    for j in range(4):
        start = i64(starts[j])
        stop = start + i64(sizes[j])
        for k in range(j + 1, 4):
            if start < i64(starts[k]) + i64(sizes[k]) and i64(starts[k]) < stop:
                return j, k
        for k in range(len(own) + len(also_own)):
            span = own[k] if k < len(own) else also_own[k - len(own)]
            if start < span[1] and span[0] < stop:
                return j, OWN
    return -1, -1


class OutputBuffer:
    """Memory for the outputs of one step.

    lanes         number of lanes, N
    width         number R of entries of an observation
    final         (N * R,) for the last observations of episodes, or (0,)
    observations  whether the outputs include a copy of the observations
    own_cache     see `alsim.jit.compile.entry`

    The attribute `arrays` is the Output that the kernel writes, and `reference` is the kernel's reference to it.
    """

    borrowed: tuple[Buffers | None, Any] = (None, None)
    """The caller's arrays of the last `borrow`, and the reference to them."""

    def __init__(self, lanes: int, width: int, final: Floats, *, observations: bool, own_cache: str = "") -> None:
        rows = lanes if observations else 0
        # Three allocations, not one: a caller that keeps only the rewards must not keep the observations alive.
        self._observation: Floats = aligned_zeros(rows * width, f32)
        self._reward: Doubles = aligned_zeros(lanes, f64)
        self._flags: Codes = aligned_zeros(4 * lanes, i8)
        self._owners = self._observation.base, self._reward.base, self._flags.base  # whose references NumPy counts
        self.arrays = Output(
            observation=self._observation[:],
            reward=self._reward[:],
            terminated=self._flags[:lanes].view(np.bool_),
            truncated=self._flags[lanes : 2 * lanes].view(np.bool_),
            reason=self._flags[2 * lanes : 3 * lanes],
            live=self._flags[3 * lanes :].view(np.bool_),
            final=final,
        )
        self._step_arrays: StepArrays = (self._observation.reshape(rows, width), *self.arrays[1:6])
        self._own_cache = own_cache
        self.reference = by_reference(self.arrays)
        self._unused_count = self._reference_count()

    @cached_property
    def own(self) -> Longs:
        """Memory ranges (4, 2) of the arrays, from `spans`."""
        return spans((self._observation, self._reward, self._flags, self.arrays.final))

    def borrow(self, out: Buffers, *, observations_too: bool) -> Any:
        """Return a reference to an Output that contains the caller's arrays, and arrays of this buffer otherwise.

        out                arrays of the caller
        observations_too   whether the kernel writes observations to `out`; otherwise the environment copies them

        The kernel does not write to rewards of type float32: the environment converts and copies them.
        """
        observations, rewards, terminated, truncated = plain(out)
        output = Output(
            observation=observations.reshape(-1) if observations_too else self.arrays.observation,
            reward=rewards if rewards.dtype == f64 else self.arrays.reward,
            terminated=terminated,
            truncated=truncated,
            reason=self.arrays.reason,
            live=self.arrays.live,
            final=self.arrays.final,
        )
        reference = by_reference(output)
        self.borrowed = out, reference
        return reference

    def _reference_count(self) -> int:
        a, b, c = self._owners
        return getrefcount(a) + getrefcount(b) + getrefcount(c)

    @property
    def in_use(self) -> bool:
        """True while a caller holds one of the arrays, or a view of one."""
        return self._reference_count() != self._unused_count

    def take_arrays(self) -> StepArrays:
        """Return views of the arrays for a caller; each view counts as a reference to the memory, see `in_use`."""
        rows, reward, terminated, truncated, reason, live = self._step_arrays
        return rows.view(), reward.view(), terminated.view(), truncated.view(), reason.view(), live.view()

    def take_first(self, lanes: int) -> StepArrays:
        """Return views of the entries of the first `lanes` lanes, for a caller."""
        rows, reward, terminated, truncated, reason, live = self._step_arrays
        return rows[:lanes], reward[:lanes], terminated[:lanes], truncated[:lanes], reason[:lanes], live[:lanes]


class BufferPool:
    """Buffers for steps whose arrays the caller may keep.

    New memory in every step would cost a page fault per 4 KiB, which for many learners takes longer than the step
    itself (decision 9). Memory to which a caller still has a reference is not overwritten, unless `shared` is True.

    make    function that returns a new buffer
    shared  whether to use one buffer only, which every step overwrites
    """

    def __init__(self, make: Callable[[], OutputBuffer], *, shared: bool = False) -> None:
        self._make = make
        self._shared = shared
        self._buffers: list[OutputBuffer] = []

    def __getstate__(self) -> dict[str, Any]:
        """Return everything except the buffers: a copy makes its own."""
        return {**self.__dict__, "_buffers": []}

    def take(self) -> OutputBuffer:
        """Return a buffer that is not in use."""
        for buffer in self._buffers:
            if self._shared or not buffer.in_use:
                return buffer
        new = self._make()
        self._buffers = [*self._buffers[1 - POOL_SIZE :], new]
        return new
