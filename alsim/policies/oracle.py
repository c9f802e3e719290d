"""The oracle: the action with the largest expected gain of mastery, given the true state of the learner."""

from __future__ import annotations

import numpy as np

from alsim.errors import AlsimError
from alsim.policies.base import PolicyDraws, Truth, View, one_hot
from alsim.types import Doubles, Longs

MOST_SAMPLES = 1000
CANDIDATES = 6
"""Actions of largest gain whose pairs the look-ahead compares."""


class Oracle:
    """Policy that takes the action of largest true gain.

    It knows the true state of the learners. The gain is that of mastery, summed over the LOs, as in the reward preset
    `learning`. It is the mean over simulated futures, whose random numbers are not those of the following interactions:
    the oracle does not see the future. It is a reference for other policies, and cannot teach students.

    samples  simulated futures of each action, from 1 to 1000
    depth    1: each action alone; 2: of the six actions of largest gain, the first one of the best pair of actions

    Raises AlsimError for other values, and for a view without the truth, such as one of a log.
    """

    needs_truth = True
    reads_mask = True
    reads = None
    stochastic = False

    def __init__(self, samples: int = 8, depth: int = 1) -> None:
        if isinstance(samples, bool) or not isinstance(samples, int | np.integer) or not 1 <= samples <= MOST_SAMPLES:
            raise AlsimError(f"the samples of oracle must be an integer from 1 to {MOST_SAMPLES}; got {samples!r}")
        if isinstance(depth, bool) or depth not in (1, 2):
            raise AlsimError(f"the depth of oracle must be 1 or 2; got {depth!r}")
        self.name, self.samples, self.depth = "oracle", int(samples), int(depth)

    def __repr__(self) -> str:
        """Return the parameters."""
        return f"<Oracle: samples={self.samples!r}, depth={self.depth!r}>"

    @property
    def digest(self) -> str:
        """Text of the parameters, which the name does not identify."""
        return repr((self.samples, self.depth))

    def act(self, view: View, draws: PolicyDraws | None) -> tuple[Longs, Doubles]:
        """Return the action of each lane, and its probability 1."""
        if view.truth is None:
            raise AlsimError(
                f"the policy {self.name!r} needs the true state of the learners, which this view does not have; "
                "run it in a rollout: a log and an environment do not reveal the truth"
            )
        every = np.broadcast_to(np.arange(view.num_actions)[:, np.newaxis], (view.num_lanes, view.num_actions, 1))
        gains = view.truth.gains(every, self.samples)
        if view.mask is not None:
            gains = np.where(view.mask, gains, -np.inf)
        actions = gains.argmax(axis=1) if self.depth == 1 else self._first_of_best_pair(view.truth, gains)
        return actions, np.ones(view.num_lanes)

    def probabilities(self, view: View, draws: PolicyDraws | None = None) -> Doubles:
        """Return the probability of each action in each lane, (N, A): 1 for the action of `act`."""
        return one_hot(self.act(view, None)[0], view.num_actions)

    def _first_of_best_pair(self, truth: Truth, gains: Doubles) -> Longs:
        """Return the first action of the pair of largest gain among the best single actions, (N,)."""
        best = np.argsort(-gains, axis=1, kind="stable")[:, :CANDIDATES]
        count = best.shape[1]
        first, second = np.repeat(best, count, axis=1), np.tile(best, (1, count))
        pairs = truth.gains(np.stack([first, second], axis=2), self.samples)
        allowed = np.isfinite(np.take_along_axis(gains, first, axis=1) + np.take_along_axis(gains, second, axis=1))
        chosen = np.where(allowed, pairs, -np.inf).argmax(axis=1)
        return np.asarray(np.take_along_axis(first, chosen[:, np.newaxis], axis=1)[:, 0], np.int64)


__all__ = ["Oracle"]
