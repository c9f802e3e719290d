"""Logs of episodes from datasets of simulated learners."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from alsim.config import class_of, independent_unit
from alsim.datasets.store import Dataset
from alsim.datasets.tables import numpy_column
from alsim.datasets.views import LoggedBatch, joint_distributions
from alsim.errors import AlsimError
from alsim.evaluation.ope.episodes import EpisodeLog, Features, Place, Pooled, Steps, Warned
from alsim.evaluation.ope.features import (
    BINS,
    NUM_FEATURES,
    clustered_by,
    clusters,
    features,
    kinds_of_actions,
    kinds_of_odds,
    levels_of,
)
from alsim.policies import Policy, PolicyWithProbabilities, make_policy
from alsim.policies.checks import with_probabilities
from alsim.policies.rounds import round_size_of
from alsim.types import Doubles, Floats, Longs, f32

AGREEMENT = 1e-9
"""Largest difference of recomputed propensities from logged ones, for the same policy."""
NOT_POOLED = Warned(
    "not-pooled",
    "the policy of the log cannot be run again with the same propensities, so mis does not pool actions into kinds, "
    "and varies more",
)


class Probabilities(NamedTuple):
    """Probabilities of what was done in M rows, under a policy."""

    action: Doubles
    """Of the action, (M,)."""
    kind: Doubles
    """Of the kind of the action, (M,)."""

    @classmethod
    def empty(cls, size: int) -> Self:
        """Return arrays for M rows."""
        return cls(np.empty(size), np.empty(size))

    def write(self, rows: Longs, odds: Doubles, share: Floats, actions: Longs, kinds: Longs) -> None:
        """Write rows (N,), from the probabilities of all actions (N, A) and of all kinds (N, 9)."""
        number = np.arange(len(rows))
        self.action[rows], self.kind[rows] = odds[number, actions], share[number, kinds]


class SimulatedLog(EpisodeLog):
    """Log of a dataset of simulated learners, and the probabilities of a target policy there.

    dataset      dataset with propensities
    target       policy with `probabilities`
    action_mask  the function, if the dataset was generated with a function as action mask

    Raises AlsimError for a dataset without episodes, and for another target.
    """

    def __init__(self, dataset: Dataset, target: Policy, action_mask: Any = None) -> None:
        manifest = dataset.manifest
        self._dataset, self._mask = dataset, action_mask
        self._observation, self._num_los = manifest["observation"], manifest["bank"]["num_los"]
        self.target, self.behaviour = str(target.name), str(manifest["policy"]["name"])
        self._lengths: Longs = numpy_column(dataset.episodes, "total_steps").astype(np.int64)
        if len(self._lengths) == 0:
            raise AlsimError(f"{dataset!r} has no episodes: generate some")
        size = len(dataset)
        self._place = Place.of_lengths(self._lengths)
        self._features = Features(*(np.zeros((*self._place.shape, NUM_FEATURES), f32) for _ in range(2)))
        self._clustered: Floats = np.empty((size, len(BINS)), f32)
        self._reward, self._propensity = np.empty(size), np.empty(size)
        self._target, self._behaviour = Probabilities.empty(size), Probabilities.empty(size)
        self._is_pooled = self._read(with_probabilities(target, "the target"), _behaviour_of(dataset))
        self.warnings = () if self._is_pooled else (NOT_POOLED,)
        self.steps = self._steps()

    def _read(self, target: PolicyWithProbabilities, behaviour: PolicyWithProbabilities | None) -> bool:
        """Read probabilities and features; return whether the policy of the log has the logged propensities.

        Both policies are run in one pass over the log, or in two if one of them learns across learners.
        """
        policies = [target] if behaviour is None else [target, behaviour]
        passes = [policies] if all(round_size_of(policy) is None for policy in policies) else [[p] for p in policies]
        for number, together in enumerate(passes):
            tables = [self._target, self._behaviour][number : number + len(together)]
            for batch in joint_distributions(self._dataset, together, self._mask):
                self._read_batch(batch, tables)
        return behaviour is not None and np.allclose(self._behaviour.action, self._propensity, rtol=0, atol=AGREEMENT)

    def _read_batch(self, batch: LoggedBatch, tables: Sequence[Probabilities]) -> None:
        """Write the probabilities under some policies, the features, and what clusters are made of."""
        rows, observation = batch.rows, batch.view.observation
        levels = levels_of(observation, self._observation, self._num_los)
        kind, taken = kinds_of_actions(batch.action, levels)
        place = self._place.episode[rows], self._place.step[rows]
        for table, found in zip(tables, batch.odds, strict=True):
            kinds = kinds_of_odds(found, levels)
            table.write(rows, found, kinds.share, batch.action, kind)
            if table is self._target:
                self._reward[rows], self._propensity[rows] = batch.reward, batch.propensity
                self._clustered[rows] = clustered_by(observation, levels)
                self._features.taken[place] = features(observation, levels, taken)
                self._features.expected[place] = features(observation, levels, kinds)

    def _steps(self) -> Steps:
        """Return the arrays of the estimators."""
        padded = self._place.padded
        learner = numpy_column(self._dataset.episodes, "learner_id")
        unit = independent_unit(self._dataset.manifest["config"])
        return Steps(
            padded(self._reward),
            padded(self._propensity, 1.0),
            padded(self._target.action, 1.0),
            self._lengths,
            class_of(learner, unit.size) if unit.name == "class" else learner,
        )

    def features(self) -> Features:
        """Return the features for fitted Q evaluation."""
        return self._features

    def pooled(self) -> Pooled:
        """Return clusters, and actions that are pooled into kinds if the policy of the log can be run again."""
        padded = self._place.padded
        groups = padded(clusters(self._clustered))
        if self._is_pooled:
            return Pooled(padded(self._behaviour.kind, 1.0), padded(self._target.kind, 1.0), groups)
        return Pooled(self.steps.behaviour, self.steps.target, groups)


def _behaviour_of(dataset: Dataset) -> PolicyWithProbabilities | None:
    """Return the policy of a log; None if its name is unknown here, or if it has no probabilities."""
    try:
        return with_probabilities(make_policy(dataset.manifest["policy"]["name"]), "the policy of the log")
    except (AlsimError, OSError, TypeError, ValueError):
        return None


__all__ = ["SimulatedLog"]
