"""Several logs of episodes as one."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alsim.errors import AlsimError
from alsim.evaluation.ope.episodes import EpisodeLog, Features, Moments, Pooled, Steps
from alsim.evaluation.ope.fitted_q import ActionValues
from alsim.types import Longs


class JoinedLog(EpisodeLog):
    """Several logs with the same target policy as one; each episode keeps the propensities of its own policy.

    logs  logs with probabilities of the same target policy
    keys  one key per log: logs with the same key are of the same learners, which have the same names there, such as
          datasets of one seed. None: all learners differ

    Clusters of different logs stay distinct. Features and clusters are there if all logs have them, and predicted
    values too. Raises AlsimError for logs with different targets, and for another number of keys.
    """

    def __init__(self, logs: Sequence[EpisodeLog], keys: Sequence[Hashable] | None = None) -> None:
        self._logs = list(logs)
        if not self._logs:
            raise AlsimError("logs must have at least one log; got none: pass those to join")
        targets = list(dict.fromkeys(log.target for log in self._logs))
        if len(targets) > 1:
            raise AlsimError(
                f"the logs must have the same target policy; got {' and '.join(targets[:2])}: evaluate each target by "
                "itself"
            )
        known = range(len(self._logs)) if keys is None else list(keys)
        if len(known) != len(self._logs):
            raise AlsimError(f"keys must have one key per log, {len(self._logs)}; got {len(known)}")
        names = [name for log in self._logs for name in log.behaviour.split(", ")]
        self.target, self.behaviour = targets[0], ", ".join(dict.fromkeys(names))
        self.warnings = tuple(dict.fromkeys(warned for log in self._logs for warned in log.warnings))
        if moments := _all(self._logs, lambda log: log.moments):
            self.moments = Moments(*(_stacked([getattr(one, name) for one in moments], 1) for name in Moments._fields))
        self.has_memory = any(log.has_memory for log in self._logs)
        steps = [log.steps for log in self._logs]
        self.steps = Steps(
            _stacked([one.rewards for one in steps]),
            _stacked([one.behaviour for one in steps], 1),
            _stacked([one.target for one in steps], 1),
            np.concatenate([one.lengths for one in steps]),
            _units(self._logs, known),
        )
        sizes = [int(one.lengths.sum()) for one in steps]
        lost = [log.unsupported * size for log, size in zip(self._logs, sizes, strict=True)]
        self.unsupported = sum(lost) / sum(sizes)

    @property
    def transitions(self) -> int:
        """Number of interactions."""
        return sum(log.transitions for log in self._logs)

    def pooled(self) -> Pooled | None:
        """Return clusters and groups of actions; None unless all logs have them."""
        found = _all(self._logs, lambda log: log.pooled())
        if found is None:
            return None
        clusters, first = [], 0
        for one in found:
            clusters.append(one.clusters + first)
            first += int(one.clusters.max()) + 1
        return Pooled(
            _stacked([one.behaviour for one in found], 1),
            _stacked([one.target for one in found], 1),
            _stacked(clusters),
        )

    def features(self) -> Features | None:
        """Return features for fitted Q evaluation; None unless all logs have them, and equally many."""
        return self._features

    @cached_property
    def _features(self) -> Features | None:
        """Features of all logs."""
        found = _all(self._logs, lambda log: log.features())
        if found is None or len({one.taken.shape[2] for one in found}) > 1:
            return None
        return Features(*(_stacked([getattr(one, name) for one in found]) for name in Features._fields))

    def values(self, gamma: float) -> ActionValues | None:
        """Return predicted values: fitted to all logs together if they have features, or else those of each log."""
        if self.features() is not None:
            return super().values(gamma)
        found = _all(self._logs, lambda log: log.values(gamma))
        if found is None:
            return None
        return ActionValues(*(_stacked([getattr(one, name) for one in found]) for name in ActionValues._fields))


def _all(logs: Sequence[EpisodeLog], arrays: Callable[[EpisodeLog], Any]) -> list[Any] | None:
    """Return the arrays of all logs; None if one has none."""
    found = []
    for log in logs:
        if (one := arrays(log)) is None:
            return None
        found.append(one)
    return found


def _stacked(arrays: Sequence[NDArray[Any]], fill: float = 0) -> NDArray[Any]:
    """Return arrays (n, T, ...) of several logs below each other, filled up to the longest."""
    longest = max(array.shape[1] for array in arrays)
    shape = (sum(map(len, arrays)), longest, *arrays[0].shape[2:])
    found, first = np.full(shape, fill, np.result_type(*arrays)), 0
    for array in arrays:
        found[first : first + len(array), : array.shape[1]] = array
        first += len(array)
    return found


def _units(logs: Sequence[EpisodeLog], keys: Sequence[Hashable]) -> Longs:
    """Return the unit of each episode: two are the same if their logs have one key, and if their names are the same."""
    found, first = [], 0
    for key in dict.fromkeys(keys):
        own = [log for log, other in zip(logs, keys, strict=True) if other == key]
        names = [_names(log) for log in own]
        codes = np.unique(np.concatenate(names), return_inverse=True)[1].astype(np.int64)
        ends = np.cumsum([len(one) for one in names])
        parts = iter(np.split(codes + first, ends[:-1]))
        first += int(codes.max()) + 1
        found += [(k, next(parts)) for k, other in enumerate(keys) if other == key]
    return np.concatenate([units for _, units in sorted(found, key=lambda pair: pair[0])])


def _names(log: EpisodeLog) -> NDArray[Any]:
    """Return the name of the unit of each episode, (n,)."""
    return log.steps.units if log.unit_names is None else log.unit_names[log.steps.units]


__all__ = ["JoinedLog"]
