"""The truth for the oracle: expected gains of mastery, by simulating copies of the learners (clause S15.1)."""

from __future__ import annotations

import numpy as np

from alsim.simulator.simulator import Simulator
from alsim.simulator.step import DISABLED
from alsim.types import Doubles, Keys, Longs, Purpose

MOST_COPIES = 2**15
"""Largest number of copies that are simulated together: they fit into a cache."""


class Lookahead:
    """Simulation of what would follow actions, from the true state of the learners in N lanes.

    simulator  the learners, which stay as they are

    The random numbers of copies have the purpose LOOKAHEAD: a copy gets a key of its own from them, a function of
    (seed, learner, episode, step, sample). So the real draws of the following interactions are not used, and the copies
    of a learner under different actions have the same draws.
    """

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._twin: Simulator | None = None

    def gains(self, actions: Longs, samples: int) -> Doubles:
        """Return the mean gain of mastery, summed over LOs, after sequences of actions, (N, C).

        actions  (N, C, H): C sequences of H actions for each lane; those after the end of an episode have no gain
        samples  number of simulated futures of each sequence
        """
        lanes, sequences, _ = actions.shape
        keys = self._keys(samples)
        size = max(1, MOST_COPIES // (sequences * samples))
        found = np.empty((lanes, sequences))
        for first in range(0, lanes, size):
            part = np.arange(first, min(first + size, lanes))
            found[part] = self._gains_of(part, actions[part], keys[part])
        return found

    def _keys(self, samples: int) -> Keys:
        """Return the key of each sample in each lane, (N, S)."""
        words = [self._simulator.words(Purpose.LOOKAHEAD, sample) for sample in range(samples)]
        return np.stack(
            [block[:, 0].astype(np.uint64) | block[:, 1].astype(np.uint64) << np.uint64(32) for block in words], axis=1
        )

    def _gains_of(self, part: Longs, actions: Longs, keys: Keys) -> Doubles:
        """Return the mean gains in some lanes (M,), (M, C), from their actions (M, C, H) and keys (M, S)."""
        (lanes, sequences, steps), samples = actions.shape, keys.shape[1]
        count = lanes * sequences * samples
        twin = self._twin_of(count)
        copies = np.arange(count)
        self._simulator.move(np.repeat(part, sequences * samples), twin, copies)
        learners = twin.learners
        learners.key[:count] = np.repeat(keys[:, np.newaxis], sequences, axis=1).reshape(-1)
        before = learners.mastery_sum[:count].copy()
        after, continues = before.copy(), np.ones(count, np.bool_)
        chosen = np.zeros(twin.lanes, np.int64)
        for step in range(steps):
            chosen[:count] = np.repeat(actions[:, :, step].reshape(-1), samples)
            twin.step(chosen, DISABLED)
            after = np.where(continues, learners.mastery_sum[:count], after)
            continues &= ~learners.finished[:count]
        gain = (after - before).reshape(lanes, sequences, samples)
        total = np.zeros((lanes, sequences))
        for sample in range(samples):  # in order, so that the bits do not depend on the batch
            total += gain[:, :, sample]
        return np.asarray(total / samples)

    def _twin_of(self, count: int) -> Simulator:
        """Return a simulator with at least `count` lanes; those after `count` hold old copies."""
        if self._twin is None or self._twin.lanes < count:
            own = self._simulator
            self._twin = Simulator(own.config, own.bank, count, observation=own.observation_kind)
            learners = self._twin.learners
            learners.key[:] = 0
            self._twin.begin(np.arange(count))
        return self._twin


__all__ = ["Lookahead"]
