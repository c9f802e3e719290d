"""Some lanes, stepped apart from the others."""

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

FEWEST = 64
"""Lanes that a party has room for at least."""


class LaneSubset:
    """Lanes of a simulator, taken out into a small one, stepped there and put back (decision 14).

    What that costs grows with their number, and not with that of all lanes.

    whole  the simulator
    copy   hand out arrays of the caller's own
    last   leave room for the last observations of episodes, which SAME_STEP needs
    """

    simulator: Simulator
    outputs: BufferPool
    loans: CallerBuffers

    def __init__(self, whole: Simulator, *, copy: bool, last: bool) -> None:
        self._whole = whole
        self._copy = copy
        self._last = last
        self._room = 0
        self._marked = np.zeros(0, np.bool_)

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the small simulator and its memory: between steps nobody is in it."""
        kept = ("_whole", "_copy", "_last")
        return {**{name: self.__dict__[name] for name in kept}, "_room": 0, "_marked": np.zeros(0, np.bool_)}

    def read(self, lanes: Any) -> Longs:
        """Return the lanes that a caller names, (M,). Raises TypeError or ValueError."""
        array = np.asarray(lanes)
        if array.ndim != 1:
            raise AlsimError(f"lanes have shape (M,); got shape {array.shape}")
        if len(array) == 0:
            raise AlsimError("lanes names no lane: at least one is stepped")
        if array.dtype.kind not in "iu":
            raise InputTypeError(f"lanes are integers; got dtype {array.dtype}")
        named = np.array(array, np.int64)  # looked at once: another thread of the caller's may change its own
        if len(self._marked) == 0:
            self._marked = np.zeros(self._whole.lanes, np.bool_)
        if (place := step_kernels.first_unfit(named, self._marked)) >= 0:
            got = int(array[place])
            if 0 <= got < self._whole.lanes:
                raise AlsimError(f"lanes names each lane once; got {got} a second time, at place {place}")
            raise AlsimError(f"lanes are integers in [0, {self._whole.lanes}); got {got} at place {place}")
        return named

    def take_out(self, lanes: Longs) -> None:
        """Copy the learners in `lanes` (M,) to the first M lanes of `simulator`."""
        self._whole.move(lanes, self.simulator, self._places[: len(lanes)])

    def put_back(self, lanes: Longs) -> None:
        """Copy the learners in the first M lanes of `simulator` to `lanes` (M,)."""
        self.simulator.move(self._places[: len(lanes)], self._whole, lanes)

    def make_room(self, count: int) -> None:
        """Have room for so many lanes, twice as many as before at least: few of a growing party's steps make room."""
        if count <= self._room:
            return
        self.close()
        self._room = min(self._whole.lanes, max(count, 2 * self._room, FEWEST))
        self._places = np.arange(self._room)
        self.simulator = self._whole.of_size(self._room)
        self.outputs = BufferPool(
            partial(self.simulator.output_buffer, observations=True, last=self._last), shared=not self._copy
        )
        self.loans = CallerBuffers(
            partial(self.simulator.output_buffer, observations=False, last=self._last),
            shared=not self._copy,
            simulators=(self._whole, self.simulator),
        )

    def close(self) -> None:
        """End the threads."""
        if self._room > 0:
            self.simulator.close()
