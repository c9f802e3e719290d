"""Sessions in the log of an engine: places of interactions and of recommendations, and rewards."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from alsim.datasets.engine_log import EngineLog
from alsim.datasets.manifest import DatasetError
from alsim.datasets.tables import numpy_column
from alsim.errors import AlsimError, did_you_mean
from alsim.evaluation.ope.episodes import Place
from alsim.types import Bools, Doubles, Longs, describe

REWARDS = ("reward", "correct", "credit", "response_time", "satisfaction")
"""Columns that may be rewards."""


class Sessions(NamedTuple):
    """Sessions as episodes: n sessions, E events, M interactions, D items that recommendations showed.

    Recommendations after the last interaction of a session are a step of their own, with the reward 0: a student may
    have left because of them. So a session without interactions has one step.
    """

    student: Longs
    """Number of the student of each session, (n,)."""
    interactions: Longs
    """Number of interactions of each session, (n,)."""
    is_step: Bools
    """True for the events that are interactions, (E,)."""
    lengths: Longs
    """Number of steps of each session, (n,): the interactions, and one if recommendations follow or none are there."""
    rows: Longs
    """Events in which an item was recommended, (D,)."""
    place: Place
    """Session and step of each of these rows: that of the next interaction, or the last one."""

    @classmethod
    def of_log(cls, log: EngineLog) -> Self:
        """Return the sessions of a log. Raises AlsimError if it has none, and DatasetError if its tables disagree."""
        if log.episodes.num_rows == 0:
            raise AlsimError(f"{log!r} has no sessions: evaluate a log of students who used the engine")
        student = numpy_column(log.episodes, "learner_id").astype(np.int64)
        total = numpy_column(log.episodes, "total_steps").astype(np.int64)
        keys = np.stack([numpy_column(log.events, name) for name in ("learner_id", "episode")])
        is_first = np.append(True, (np.diff(keys) != 0).any(axis=0))[: keys.shape[1]]
        block = np.cumsum(is_first) - 1
        is_step = log.is_step
        own = np.stack([student, numpy_column(log.episodes, "episode")])
        if not np.array_equal(keys[:, is_first], own) or not np.array_equal(
            np.bincount(block, is_step, len(total)).astype(np.int64), total
        ):
            raise DatasetError(
                f"{log.path} is damaged: its events and its episodes disagree; restore the dataset, or export the log "
                "again"
            )
        before: Longs = np.cumsum(is_step) - is_step
        step: Longs = before - before[is_first][block]
        rows = np.flatnonzero(log.is_shown)
        lengths = np.maximum(total, 1)
        np.maximum.at(lengths, block[rows], step[rows] + 1)
        return cls(student, total, is_step, lengths, rows, Place(block[rows], step[rows], _shape(lengths)))

    @property
    def steps(self) -> Place:
        """Session and number of each of the S steps of all sessions."""
        return Place.of_lengths(self.lengths)

    def names(self, log: EngineLog) -> NDArray[Any] | None:
        """Return the names of students by number; None if the export has no names."""
        if not log.manifest["names"]:
            return None
        found = np.full(int(self.student.max()) + 1, "", object)
        found[self.student] = log.episodes.column("learner_name").to_numpy()
        return found

    def by_step(self, values: Any, others: Any) -> Any:
        """Return values of all steps, (S, ...): of interactions (M, ...), or else of their sessions (n, ...)."""
        place = self.steps
        is_real = place.step < self.interactions[place.episode]
        found = np.empty((len(is_real), *values.shape[1:]), values.dtype)
        found[is_real], found[~is_real] = values, others[self.interactions < self.lengths]
        return found


def _shape(lengths: Longs) -> tuple[int, int]:
    """Return the shape of arrays by session and step."""
    return len(lengths), int(lengths.max())


def rewards_of(log: EngineLog, sessions: Sessions, reward: str, missing: float | None) -> Doubles:
    """Return the reward of each interaction, (M,).

    reward   one of REWARDS
    missing  reward of interactions without a value; None: there must be none

    Raises AlsimError for another column, for missing values, and for values that are not finite.
    """
    if reward not in REWARDS:
        raise AlsimError(
            f"the log of an engine has no reward {describe(reward)}{did_you_mean(str(reward), REWARDS)}; expected one "
            f"of {', '.join(REWARDS)}"
        )
    if missing is not None and (
        isinstance(missing, bool) or not isinstance(missing, int | float) or not np.isfinite(missing)
    ):
        raise AlsimError(f"missing must be a finite number or None; got {describe(missing)}: pass 0, for example")
    table = "transitions" if reward == "reward" else "events"
    values = log.numbers(table, reward, None if reward == "reward" else np.flatnonzero(sessions.is_step))
    is_missing = np.isnan(values)
    if is_missing.any() and (missing is None or is_missing.all()):
        cure = "choose another column" if is_missing.all() else "pass missing=0 to count them as 0, or another number"
        raise AlsimError(f"{int(is_missing.sum()):,} of {len(values):,} interactions have no {reward!r}: {cure}")
    return np.where(is_missing, 0.0 if missing is None else missing, values)


def kinds_before(log: EngineLog, sessions: Sessions) -> Longs:
    """Return the kind of the last interaction of the session before each step, (S,): 0 none, 1 answer, 2 content."""
    is_content = np.isnan(log.numbers("transitions", "credit"))
    own = sessions.by_step(1 + is_content.astype(np.int64), np.zeros(len(sessions.student), np.int64))
    before = np.append(0, own[:-1])
    return np.asarray(np.where(sessions.steps.step > 0, before, 0))


__all__ = ["REWARDS", "Sessions", "kinds_before", "rewards_of"]
