"""What steps hand out: arrays that no caller shares, and that are used again once the caller let them go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from sys import getrefcount
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alsim.jit.compile import kernel
from alsim.jit.references import by_reference
from alsim.types import Bools, Buffers, Codes, Doubles, Floats, Longs, Output, f32, f64, i8, i64

KEPT = 2
"""Buffers that wait to be used again: a caller usually holds the last step's arrays while it asks for the next."""


StepArrays = tuple[Floats, Doubles, Bools, Bools, Codes, Bools]
"""Arrays for the caller of one step: observations (N, R); reward, terminated, truncated, reason, live, (N,) each."""


def spans(arrays: Sequence[NDArray[Any]]) -> Longs:
    """Return where each array begins in memory and where it ends, (K, 2); all are contiguous."""
    starts = [array.__array_interface__["data"][0] for array in arrays]
    return np.array([(start, start + a.nbytes) for start, a in zip(starts, arrays, strict=True)], np.int64)


def plain(out: Buffers) -> tuple[Any, Any, Any, Any]:
    """Return a caller's arrays as kernels take them: of a subclass, such as a memmap, as a plain array."""
    a, b, c, d = out
    return np.asarray(a), np.asarray(b), np.asarray(c), np.asarray(d)


OWN = 4
"""In place of an index into Buffers: memory that is not the caller's."""


@kernel
def overlap(
    observations: Floats,
    rewards: Doubles | Floats,
    terminated: Bools,
    truncated: Bools,
    own: Longs,
    also_own: Longs,
) -> tuple[int, int]:
    """Return which two of a caller's arrays overlap, as indices into Buffers; the second may be OWN.

    own, also_own  (K, 2) as of `spans`: memory that is not the caller's

    Returns (-1, -1) where all lie apart.
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
    """Memory for what one step hands out.

    arrays     an Output, as the kernel writes it
    reference  the same as the kernel takes it
    """

    borrowed: tuple[Buffers | None, Any] = (None, None)
    """A caller's arrays that were last written in place of one's own, and the reference to them."""

    def __init__(self, lanes: int, width: int, final: Floats, *, observations: bool, own_cache: str = "") -> None:
        rows = lanes if observations else 0
        # Three owners, not one: whoever keeps all rewards must not keep all observations alive with them.
        self._observation = np.empty(rows * width, f32)
        self._reward = np.empty(lanes, f64)
        self._flags = np.empty(4 * lanes, i8)
        self.arrays = Output(
            observation=self._observation[:],
            reward=self._reward[:],
            terminated=self._flags[:lanes].view(np.bool_),
            truncated=self._flags[lanes : 2 * lanes].view(np.bool_),
            reason=self._flags[2 * lanes : 3 * lanes],
            live=self._flags[3 * lanes :].view(np.bool_),
            final=final,
        )
        self._whole: StepArrays = (self._observation.reshape(rows, width), *self.arrays[1:6])
        self._own_cache = own_cache
        self.reference = by_reference(self.arrays, own_cache)
        self._unheld = self._holders()

    @cached_property
    def own(self) -> Longs:
        """Where its arrays lie, as of `spans`."""
        return spans((self._observation, self._reward, self._flags, self.arrays.final))

    def borrow(self, out: Buffers, *, observations_too: bool) -> Any:
        """Return a reference to an Output of a caller's arrays, and of one's own for the rest.

        Rewards of float32 are not written, nor are observations if not asked for: whoever steps copies them.
        """
        observations, rewards, terminated, truncated = plain(out)
        whole = Output(
            observation=observations.reshape(-1) if observations_too else self.arrays.observation,
            reward=rewards if rewards.dtype == f64 else self.arrays.reward,
            terminated=terminated,
            truncated=truncated,
            reason=self.arrays.reason,
            live=self.arrays.live,
            final=self.arrays.final,
        )
        reference = by_reference(whole, self._own_cache)
        self.borrowed = out, reference
        return reference

    def _holders(self) -> int:
        return getrefcount(self._observation) + getrefcount(self._reward) + getrefcount(self._flags)

    @property
    def held(self) -> bool:
        """Whether somebody still has an array that was handed out, or a view of one."""
        return self._holders() != self._unheld

    def take_arrays(self) -> StepArrays:
        """Return the arrays for a caller: views, since each then counts among the holders of the memory."""
        rows, reward, terminated, truncated, reason, live = self._whole
        return rows.view(), reward.view(), terminated.view(), truncated.view(), reason.view(), live.view()

    def take_first(self, lanes: int) -> StepArrays:
        """Return the arrays of the first M lanes for a caller."""
        rows, reward, terminated, truncated, reason, live = self._whole
        return rows[:lanes], reward[:lanes], terminated[:lanes], truncated[:lanes], reason[:lanes], live[:lanes]


class BufferPool:
    """Buffers for steps whose arrays the caller may keep.

    Fresh memory at every step would cost a page fault every 4 KiB, more than the step itself where many
    learners live (decision 9). Memory that somebody still looks at is never written again.

    make    makes a buffer
    shared  there is only one, and every step writes over what the last one handed out
    """

    def __init__(self, make: Callable[[], OutputBuffer], *, shared: bool = False) -> None:
        self._make = make
        self._shared = shared
        self._buffers: list[OutputBuffer] = []

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the buffers: a copy hands out its own."""
        return {**self.__dict__, "_buffers": []}

    def take(self) -> OutputBuffer:
        """Return a buffer that nobody holds."""
        for buffer in self._buffers:
            if self._shared or not buffer.held:
                return buffer
        fresh = self._make()
        self._buffers = [*self._buffers[1 - KEPT :], fresh]
        return fresh
