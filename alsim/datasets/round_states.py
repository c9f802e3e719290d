"""States of a policy that learns across learners, round by round: in memory, in checkpoints, or simulated again.

The state before a round is a function of the dataset's arguments, so any process can compute it. Checkpoints save this
time: each is an npz file, written after a round, and readable only as a whole.
"""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alsim.policies import memory
from alsim.policies.rounds import FixedState
from alsim.rollouts.plan import RolloutPlan
from alsim.rollouts.rollout import Rollout, run_round
from alsim.rollouts.rounds import after_round, before_rounds, round_edges
from alsim.utils.files import write_atomic
from alsim.utils.npz import UNREADABLE, array_header, check_unpacked_size, read_array, to_npz
from alsim.utils.reading import open_file

DIGEST = "sha256"
WIDEST = 16
"""Bytes of the widest number in a state, a complex one."""


class RoundStates:
    """States of the policy of a plan before each round.

    folder  directory of the checkpoints; None keeps the last state in memory only
    """

    def __init__(self, plan: RolloutPlan, folder: Path | None) -> None:
        self._plan, self._folder, self._edges = plan, folder, round_edges(plan)
        self._first = before_rounds(plan)
        self._round, self._fixed = 0, self._first

    def run(self, number: int) -> Rollout:
        """Run a round, and keep the state after it; the result has observations."""
        self._go_to(number)
        return self._advance()

    def _go_to(self, number: int) -> None:
        """Make the state before a round the current one: from memory, a checkpoint, or by running earlier rounds."""
        if number < self._round:
            self._round, self._fixed = 0, self._first
        for saved in range(number, self._round, -1):
            state = self._load(saved)
            if state is not None:
                self._round, self._fixed = saved, FixedState(self._first.policy, state)
                break
        while self._round < number:
            self._advance()

    def _advance(self) -> Rollout:
        """Run the current round; the state after it becomes the current one, and is written to a checkpoint."""
        *_, run = run_round(self._plan, self._fixed, *self._edges[self._round])
        self._fixed, self._round = after_round(self._fixed, run), self._round + 1
        if self._folder is not None:
            write_atomic(self._path(self._round), _content(dict(memory.arrays_of(self._fixed.state))))
        return run

    def _path(self, number: int) -> Path:
        """Return the file of the state before a round."""
        assert self._folder is not None
        return self._folder / f"{number:05d}.npz"

    def _load(self, number: int) -> Any:
        """Return the state in the checkpoint before a round; None if there is no valid one."""
        if self._folder is None:
            return None
        expected = dict(memory.arrays_of(self._first.state))
        try:
            found = _read(self._path(number), self._folder, expected)
        except (*UNREADABLE, FileNotFoundError):
            return None
        arrays = iter([found[name] for name in expected])
        return memory.map_arrays(lambda _: next(arrays), self._first.state)


def _content(arrays: dict[str, NDArray[Any]]) -> bytes:
    """Return the content of a checkpoint: the arrays, and their digest."""
    return to_npz({**arrays, DIGEST: _digest(arrays)})


def _digest(arrays: dict[str, NDArray[Any]]) -> NDArray[np.uint8]:
    """Return the SHA-256 of the arrays of a state, 32 bytes."""
    return np.frombuffer(hashlib.sha256(b"".join(array.tobytes() for array in arrays.values())).digest(), np.uint8)


def _read(file: Path, folder: Path, expected: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the arrays in a checkpoint. Raises one of UNREADABLE unless they are complete and as expected."""
    with open_file(file, inside=folder) as stream, zipfile.ZipFile(stream) as archive:
        check_unpacked_size(archive, sum(WIDEST * array.size + 1024 for array in expected.values()) + 2048)
        for name, array in expected.items():
            shape, kind = array_header(archive, name)
            if shape != array.shape or kind.hasobject:  # `learn` may return another type of numbers than `start`
                raise ValueError(f"{name} has another form")
        found = {name: np.array(read_array(archive, name)) for name in expected}
        if not np.array_equal(read_array(archive, DIGEST), _digest(found)):
            raise ValueError("the digest of the arrays is another one")
    return found


__all__ = ["RoundStates"]
