"""Interface of logs of episodes: the arrays that estimators need, from any source."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alsim.evaluation.ope.fitted_q import ActionValues, fitted_q
from alsim.types import Doubles, Floats, Longs, safe_repr, short_repr


@short_repr
class Warned(NamedTuple):
    """A warning about an estimate."""

    code: str
    """Its kind, one word or several joined by hyphens."""
    sentence: str


class Steps(NamedTuple):
    """Rewards and probabilities of n episodes of up to T steps, see `alsim.evaluation.ope.pdis`."""

    rewards: Doubles
    """(n, T)."""
    behaviour: Doubles
    """Probability of the action under the policy of the log, (n, T)."""
    target: Doubles
    """Probability of the action under the target policy, (n, T)."""
    lengths: Longs
    """Number of steps of each episode, (n,)."""
    units: Longs
    """Independent unit of each episode: learner or class, (n,)."""


class Pooled(NamedTuple):
    """Clusters of observations and groups of actions, for marginalised importance sampling."""

    behaviour: Doubles
    """Probability of the group of the action under the policy of the log, (n, T)."""
    target: Doubles
    """The same under the target policy, (n, T)."""
    clusters: Longs
    """Cluster before each action, (n, T)."""


class Features(NamedTuple):
    """Features for fitted Q evaluation."""

    taken: Floats
    """Of the observation and the action that was taken, (n, T, d)."""
    expected: Floats
    """Their mean under the target policy, (n, T, d)."""


class Moments(NamedTuple):
    """Means over the actions of the policy of the log, given the history, see `alsim.evaluation.ope.diagnose`."""

    first: Doubles
    """Of the ratio of the probabilities under the target and under the policy of the log, (n, T)."""
    second: Doubles
    """Of its square, (n, T)."""


class Place(NamedTuple):
    """Place of each of M rows in arrays with one row per episode: n episodes of up to T steps."""

    episode: Longs
    step: Longs
    shape: tuple[int, int]

    @classmethod
    def of_lengths(cls, lengths: Longs) -> Place:
        """Return the places of the rows of consecutive episodes with some lengths (n,)."""
        episode = np.repeat(np.arange(len(lengths)), lengths)
        step = np.arange(len(episode)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return cls(episode, step, (len(lengths), int(lengths.max(initial=1))))

    def padded(self, values: NDArray[Any], fill: float = 0.0) -> NDArray[Any]:
        """Return values (M, ...) by episode and step, (n, T, ...)."""
        array = np.full((*self.shape, *values.shape[1:]), fill, values.dtype)
        array[self.episode, self.step] = values
        return array


class EpisodeLog(ABC):
    """Episodes that a policy has generated, with the probabilities of a target policy.

    Only what a policy could see reaches the estimators: observations, actions, rewards and propensities.
    """

    target: str
    """Name of the target policy."""
    behaviour: str
    """Name of the policy of the log; several are separated by commas."""
    steps: Steps
    unit_names: NDArray[Any] | None = None
    """Names of the units, by number, (U,); None: their numbers are their names."""
    unsupported: float = 0.0
    """Share of the actions of the target that are known to have no support; the diagnosis may estimate more."""
    moments: Moments | None = None
    """Exact moments of the ratios; None if the probabilities of all actions are not known under both policies."""
    has_memory: bool = False
    """Whether the target acts on more than the clusters are made of."""
    warnings: Sequence[Warned] = ()
    """Warnings about this log, for the reader of an estimate."""

    @safe_repr
    def __repr__(self) -> str:
        name = type(self).__name__
        return f"{name}(target={self.target!r}, {len(self.steps.lengths):,} episodes by {self.behaviour!r})"

    @property
    def transitions(self) -> int:
        """Number of interactions."""
        return int(self.steps.lengths.sum())

    def pooled(self) -> Pooled | None:
        """Return clusters and groups of actions; None if the log has no clusters."""
        return None

    def features(self) -> Features | None:
        """Return features for fitted Q evaluation; None if the log has none."""
        return None

    def values(self, gamma: float) -> ActionValues | None:
        """Return predicted values for doubly robust estimators, cross-fitted by unit; None if there are none."""
        found = self.features()
        if found is None:
            return None
        return fitted_q(self.steps.rewards, *found, self.steps.lengths, gamma, learners=self.steps.units)


__all__ = ["EpisodeLog", "Features", "Moments", "Place", "Pooled", "Steps", "Warned"]
