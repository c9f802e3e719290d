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
from alsim.evaluation.ope.episodes import EpisodeLog, Features, Moments, Place, Pooled, Steps, Warned
from alsim.evaluation.ope.features import (
    BINS,
    NUM_FEATURES,
    clustered_by,
    clusters,
    features,
    kinds_of_actions,
    kinds_of_odds,
    levels_of,
    ratio_moments,
)
from alsim.policies import Policy, PolicyWithProbabilities, has_memory, make_policy
from alsim.policies.checks import with_probabilities
from alsim.policies.names import is_registered
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


class Ratios(NamedTuple):
    """Moments of the ratios of M rows, see `ratio_moments`; NaN if both policies were not run together."""

    first: Doubles
    second: Doubles

    @classmethod
    def empty(cls, size: int) -> Self:
        """Return arrays for M rows."""
        return cls(np.full(size, np.nan), np.full(size, np.nan))

    def write(self, rows: Longs, behaviour: Doubles, target: Doubles) -> None:
        """Write rows (N,), from the probabilities of all actions (N, A)."""
        self.first[rows], self.second[rows] = ratio_moments(behaviour, target)


class _Columns:
    """Columns of a dataset that the logs of all targets share: its rows, and the features that depend on no target."""

    def __init__(self, dataset: Dataset, action_mask: Any) -> None:
        manifest = dataset.manifest
        self.dataset, self._mask = dataset, action_mask
        self._observation, self._num_los = manifest["observation"], manifest["bank"]["num_los"]
        self.lengths: Longs = numpy_column(dataset.episodes, "total_steps").astype(np.int64)
        if len(self.lengths) == 0:
            raise AlsimError(f"{dataset!r} has no episodes: generate some")
        size = len(dataset)
        self.place = Place.of_lengths(self.lengths)
        self.taken: Floats = np.zeros((*self.place.shape, NUM_FEATURES), f32)
        self.clustered: Floats = np.empty((size, len(BINS)), f32)
        self.reward, self.propensity = np.empty(size), np.empty(size)
        self.behaviour = Probabilities.empty(size)
        self.is_pooled = False

    def read(self, logs: Sequence[SimulatedLog], targets: Sequence[PolicyWithProbabilities]) -> None:
        """Read the features, and the probabilities under the targets and under the policy of the log.

        All policies are run in one pass over the log, except those that learn across learners, which need their own.
        """
        behaviour = _behaviour_of(self.dataset)
        work: list[tuple[PolicyWithProbabilities, SimulatedLog | None]] = [*zip(targets, logs, strict=True)]
        if behaviour is not None:
            work.append((behaviour, None))
        together = [one for one in work if round_size_of(one[0]) is None]
        alone = [[one] for one in work if round_size_of(one[0]) is not None]
        for number, part in enumerate([together, *alone] if together else alone):
            for batch in joint_distributions(self.dataset, [policy for policy, _ in part], self._mask):
                self._read_batch(batch, [log for _, log in part], is_first=number == 0)
        if behaviour is not None:
            self.is_pooled = np.allclose(self.behaviour.action, self.propensity, rtol=0, atol=AGREEMENT)

    def _read_batch(self, batch: LoggedBatch, logs: Sequence[SimulatedLog | None], *, is_first: bool) -> None:
        """Write the probabilities under some policies, the features, and what clusters are made of.

        logs      log of the target of each policy; None: it is the policy of the log
        is_first  whether no other policies were run on these rows
        """
        rows, observation = batch.rows, batch.view.observation
        levels = levels_of(observation, self._observation, self._num_los)
        kind, taken = kinds_of_actions(batch.action, levels)
        place = self.place.episode[rows], self.place.step[rows]
        if is_first:
            self.reward[rows], self.propensity[rows] = batch.reward, batch.propensity
            self.clustered[rows] = clustered_by(observation, levels)
            self.taken[place] = features(observation, levels, taken)
        own = batch.odds[logs.index(None)] if None in logs else None
        for log, found in zip(logs, batch.odds, strict=True):
            kinds = kinds_of_odds(found, levels)
            table = self.behaviour if log is None else log.probabilities
            table.write(rows, found, kinds.share, batch.action, kind)
            if log is not None:
                log.expected[place] = features(observation, levels, kinds)
                if own is not None:
                    log.ratios.write(rows, own, found)


class SimulatedLog(EpisodeLog):
    """Log of a dataset of simulated learners, and the probabilities of a target policy there.

    dataset      dataset with propensities
    target       policy with `probabilities`
    action_mask  the function, if the dataset was generated with a function as action mask

    Raises AlsimError for a dataset without episodes, and for another target.
    """

    def __init__(self, dataset: Dataset, target: Policy, action_mask: Any = None) -> None:
        self._begin(_Columns(dataset, action_mask), target)
        self._columns.read([self], [with_probabilities(target, "the target")])
        self._finish()

    @classmethod
    def of_targets(cls, dataset: Dataset, targets: Sequence[Policy], action_mask: Any = None) -> list[Self]:
        """Return the log for each of several targets, all read in one pass: the same as one by one, but faster."""
        known = [with_probabilities(target, "the target") for target in targets]
        columns, logs = _Columns(dataset, action_mask), [cls.__new__(cls) for _ in targets]
        for log, target in zip(logs, targets, strict=True):
            log._begin(columns, target)
        columns.read(logs, known)
        for log in logs:
            log._finish()
        return logs

    def _begin(self, columns: _Columns, target: Policy) -> None:
        """Allocate what depends on the target."""
        self._columns = columns
        self.has_memory = has_memory(target)
        self.target, self.behaviour = str(target.name), str(columns.dataset.manifest["policy"]["name"])
        self.probabilities = Probabilities.empty(len(columns.dataset))
        self.expected: Floats = np.zeros_like(columns.taken)
        self.ratios = Ratios.empty(len(columns.dataset))

    def _finish(self) -> None:
        """Make the arrays of the estimators."""
        self.warnings = () if self._columns.is_pooled else (NOT_POOLED,)
        columns = self._columns
        padded = columns.place.padded
        if columns.is_pooled and not np.isnan(self.ratios.first).any():
            self.moments = Moments(padded(self.ratios.first, 1.0), padded(self.ratios.second, 1.0))
        learner = numpy_column(columns.dataset.episodes, "learner_id")
        unit = independent_unit(columns.dataset.manifest["config"])
        self.steps = Steps(
            padded(columns.reward),
            padded(columns.propensity, 1.0),
            padded(self.probabilities.action, 1.0),
            columns.lengths,
            class_of(learner, unit.size) if unit.name == "class" else learner,
        )

    def features(self) -> Features:
        """Return the features for fitted Q evaluation."""
        return Features(self._columns.taken, self.expected)

    def pooled(self) -> Pooled:
        """Return clusters, and actions that are pooled into kinds if the policy of the log can be run again."""
        columns = self._columns
        padded = columns.place.padded
        groups = padded(clusters(columns.clustered))
        if columns.is_pooled:
            return Pooled(padded(columns.behaviour.kind, 1.0), padded(self.probabilities.kind, 1.0), groups)
        return Pooled(self.steps.behaviour, self.steps.target, groups)


def _behaviour_of(dataset: Dataset) -> PolicyWithProbabilities | None:
    """Return the policy of a log; None if its name is not registered, or if it has no probabilities.

    A manifest may come from others: its name neither imports a module nor reads a directory.
    """
    name = dataset.manifest["policy"]["name"]
    try:
        if not is_registered(name):
            return None
        return with_probabilities(make_policy(name), "the policy of the log")
    except (AlsimError, OSError, TypeError, ValueError):
        return None


__all__ = ["SimulatedLog"]
