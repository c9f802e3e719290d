"""What steps hand out: arrays that no caller shares, and that are used again once the caller let them go."""

from __future__ import annotations

from collections.abc import Callable
from sys import getrefcount
from typing import Any

import numpy as np

from alsim._jit import by_reference
from alsim.types import Bools, Codes, Doubles, Floats, Output, f32, f64, i8

KEPT = 2
"""Buffers that wait to be used again: a caller usually holds the last step's arrays while it asks for the next."""


HandedOut = tuple[Floats, Doubles, Bools, Bools, Codes, Bools]
"""Arrays for the caller of one step: observations (N, R); reward, terminated, truncated, reason, live, (N,) each."""


class OutputBuffer:
    """Memory for what one step hands out.

    arrays     an Output, as the kernel writes it
    reference  the same as the kernel takes it
    """

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
        self._whole: HandedOut = (self._observation.reshape(rows, width), *self.arrays[1:6])
        self.reference = by_reference(self.arrays, own_cache)
        self._unheld = self._holders()

    def _holders(self) -> int:
        return getrefcount(self._observation) + getrefcount(self._reward) + getrefcount(self._flags)

    @property
    def held(self) -> bool:
        """Whether somebody still has an array that was handed out, or a view of one."""
        return self._holders() != self._unheld

    def hand_out(self) -> HandedOut:
        """Return the arrays for a caller: views, since each then counts among the holders of the memory."""
        rows, reward, terminated, truncated, reason, live = self._whole
        return rows.view(), reward.view(), terminated.view(), truncated.view(), reason.view(), live.view()


class Outputs:
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
