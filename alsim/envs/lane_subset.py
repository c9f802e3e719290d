"""Stepping of a subset of the lanes, while the others stay unchanged."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from alsim.envs.caller_buffers import CallerBuffers
from alsim.errors import AlsimError, InputTypeError
from alsim.simulator import step as step_kernels
from alsim.simulator.buffers import BufferPool
from alsim.simulator.simulator import Simulator
from alsim.types import Longs

MIN_CAPACITY = 64
"""Smallest number of lanes of the small simulator."""


class LaneSubset:
    """Lanes that are copied from a simulator to a small one, stepped there, and copied back (decision 14).

    The cost grows with the size of the subset, not with the number of all lanes.

    parent  the simulator of all lanes
    copy    return arrays that belong to the caller
    last    reserve memory for the last observations of episodes, which SAME_STEP needs
    """

    simulator: Simulator
    """The small simulator; its first M lanes hold the subset during a step."""
    buffers: BufferPool
    caller_buffers: CallerBuffers

    def __init__(self, parent: Simulator, *, copy: bool, last: bool) -> None:
        self._parent = parent
        self._copy = copy
        self._last = last
        self._capacity = 0
        self._marked = np.zeros(0, np.bool_)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the small simulator, which holds no learners between steps."""
        names = ("_parent", "_copy", "_last")
        return {**{name: self.__dict__[name] for name in names}, "_capacity": 0, "_marked": np.zeros(0, np.bool_)}

    def read(self, lanes: Any) -> Longs:
        """Return the selected lanes as a new array (M,). Raises TypeError or ValueError for invalid lanes."""
        array = np.asarray(lanes)
        if array.ndim != 1:
            raise AlsimError(f"lanes must have shape (M,), one integer per selected lane; got shape {array.shape}")
        if len(array) == 0:
            raise AlsimError("lanes must contain at least one lane; got none")
        if array.dtype.kind not in "iu":
            raise InputTypeError(
                f"lanes must be integers; got dtype {array.dtype}: for a mask, pass np.flatnonzero(mask)"
            )
        selected = np.array(array, np.int64)  # a copy: another thread of the caller may change the original
        if len(self._marked) == 0:
            self._marked = np.zeros(self._parent.lanes, np.bool_)
        if (place := step_kernels.first_unfit(selected, self._marked)) >= 0:
            lane = int(array[place])
            if 0 <= lane < self._parent.lanes:
                raise AlsimError(f"lanes must contain each lane at most once; got {lane} again at index {place}")
            raise AlsimError(f"lanes must be integers in [0, {self._parent.lanes}); got {lane} at index {place}")
        return selected

    def load(self, lanes: Longs) -> None:
        """Copy the learners in `lanes` (M,) to the first M lanes of the small simulator."""
        self._parent.move(lanes, self.simulator, self._positions[: len(lanes)])

    def store(self, lanes: Longs) -> None:
        """Copy the learners in the first M lanes of the small simulator back to `lanes` (M,)."""
        self.simulator.move(self._positions[: len(lanes)], self._parent, lanes)

    def reserve(self, count: int) -> None:
        """Make the small simulator large enough for `count` lanes.

        Its capacity at least doubles when it grows, so that a growing subset causes few reallocations.
        """
        if count <= self._capacity:
            return
        self.close()
        capacity = min(self._parent.lanes, max(count, 2 * self._capacity, MIN_CAPACITY))
        self._capacity = 0  # stays 0 if an allocation fails, so that the next call tries again
        self._positions = np.arange(capacity)
        self.simulator = self._parent.of_size(capacity)
        self.buffers = BufferPool(
            partial(self.simulator.output_buffer, observations=True, last=self._last), shared=not self._copy
        )
        self.caller_buffers = CallerBuffers(
            partial(self.simulator.output_buffer, observations=False, last=self._last),
            shared=not self._copy,
            simulators=(self._parent, self.simulator),
        )
        self._capacity = capacity

    def close(self) -> None:
        """Stop the threads of the small simulator."""
        if self._capacity > 0:
            self.simulator.close()
