"""Logs of episodes from the export of an engine for real students."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from alsim.datasets.engine_log import EngineLog
from alsim.datasets.engine_replay import Shown
from alsim.datasets.manifest import DatasetError
from alsim.datasets.tables import numpy_column
from alsim.engine.recommenders import Recommender
from alsim.errors import AlsimError
from alsim.evaluation.ope.engine_features import NUM_ITEM, ItemFeatures, student_clusters, student_features
from alsim.evaluation.ope.engine_sessions import Sessions, kinds_before, rewards_of
from alsim.evaluation.ope.engine_targets import UNIFORM, has_shares, named_in_log, target_recommender, uniform_odds
from alsim.evaluation.ope.episodes import EpisodeLog, Features, Pooled, Steps, Warned
from alsim.evaluation.ope.fitted_q import ActionValues, fitted_q
from alsim.types import Bools, Doubles, Longs, describe

AGREEMENT = 1e-9
"""Largest difference of recomputed propensities from logged ones, for the same policy."""
LEAST_PRODUCT = 1e-250
"""Smallest product of propensities that is not rescaled."""
LARGEST_RATIO = 1e300
"""Largest ratio of such products."""


class EngineEpisodes(EpisodeLog):
    """Sessions in the log of an engine, and the probabilities of a target policy there.

    log      EngineLog
    target   "guide", "alosi", or another recommender that computes the propensities of all candidates: a class, an
             object or "module:Class"; or "uniform", under which each candidate of a decision is equally likely
    reward   column with the reward of an interaction: "reward", the change of the estimated mastery; "correct",
             "credit", "response_time" or "satisfaction"
    missing  reward of interactions without a value in this column, such as 0; None: there must be none

    An episode is a session, and the independent unit is the student. A step is an interaction. The items that were
    recommended between the previous interaction of the session and this one are one action: its probability is the
    product of the propensities of all these items, each given the items above. It is 1 without a recommendation. So
    nothing is assumed on how students choose among items or leave them, only that they do so alike under both policies.
    Items that were recommended after the last interaction of a session are a step of their own with the reward 0, since
    the student may have left because of them. Questions of quizzes have the probability 1 under both policies.

    The propensities of the log are read; those of the target come from a replay with the student model and the
    catalogue of the dataset.

    Raises AlsimError for a log without recommendations, an unknown column, missing values, and a target without
    probabilities; DatasetError for a damaged log, and for one without student model, which only "uniform" does without.
    """

    def __init__(self, log: EngineLog, target: Any, *, reward: str = "reward", missing: float | None = None) -> None:
        if not isinstance(log, EngineLog):
            raise AlsimError(f"log must be an EngineLog; got {describe(log)}: open the export with load_log")
        self._log, self._recommender = log, target_recommender(log, target)
        self.target = UNIFORM if self._recommender is None else self._recommender.name
        self._sessions = sessions = Sessions.of_log(log)
        self._rewards = rewards_of(log, sessions, reward, missing)
        if not log.is_shown.any():
            raise AlsimError(f"{log!r} has no recommendations, so every policy has the same value there: log some")
        self._policy = log.events.column("policy").to_numpy()
        self.behaviour = ", ".join(sorted(set(self._policy[log.is_shown].tolist())))
        self._logged = _logged(log, sessions.rows)
        self.unit_names = sessions.names(log)
        self._has_features = self._recommender is not None or log.has_model
        self._read()
        self.steps = self._steps()
        self.unsupported = self._lost / float(sessions.lengths.sum())
        self.warnings = tuple(self._warnings())

    @property
    def transitions(self) -> int:
        """Number of interactions."""
        return len(self._log)

    def features(self) -> Features | None:
        """Return the features for fitted Q evaluation, those of the student and of the item that was recommended.

        None without a student model, and if several items were recommended together: a model of the first one alone is
        no model of the list.
        """
        return self._features if self._has_features and self._is_first.all() else None

    def values(self, gamma: float) -> ActionValues | None:
        """Return predicted values for doubly robust estimators, from the first item that was recommended.

        The weights correct the model, so that it may leave out the other items. None without a student model.
        """
        if not self._has_features:
            return None
        steps = self.steps
        return fitted_q(steps.rewards, *self._features, steps.lengths, gamma, learners=steps.units)

    def pooled(self) -> Pooled:
        """Return clusters by mean mastery, number of ready skills, and kind of the last interaction of the session."""
        groups = student_clusters(self._mastery, self._ready, kinds_before(self._log, self._sessions))
        return Pooled(self.steps.behaviour, self.steps.target, self._sessions.steps.padded(groups))

    # ── reading ─────────────────────────────────────────────────────────────────────────────────

    def _read(self) -> None:
        """Read mastery, the probabilities of the target, and features."""
        log, sessions = self._log, self._sessions
        place, rows = sessions.place, sessions.rows
        self._mastery = sessions.by_step(log.obs, numpy_column(log.episodes, "final_obs")).astype(np.float64)
        self._ready = log.catalogue.graph.ready(self._mastery, log.manifest["engine"]["threshold"])
        key = place.episode * place.shape[1] + place.step
        self._is_first: Bools = np.zeros(len(key), np.bool_)
        self._is_first[np.unique(key, return_index=True)[1]] = True
        self._items: Longs = numpy_column(log.events, "item").astype(np.int64)[rows]
        self._odds = np.full(len(rows), np.nan)
        self._wrong, self._checked = 0, 0
        self._lost = 0.0
        if self._recommender is None:
            self._odds = 1.0 / _num_candidates(log, rows)
        if self._has_features:
            self._read_features()

    def _read_features(self) -> None:
        """Replay the log: write the probabilities of a recommender and the features, and check the propensities."""
        log, sessions = self._log, self._sessions
        threshold, items, steps = log.manifest["engine"]["threshold"], ItemFeatures(log.catalogue), sessions.steps
        decided = np.zeros(sessions.place.shape, np.bool_)
        decided[sessions.place.episode, sessions.place.step] = True
        state = student_features(self._mastery, self._ready, threshold, decided[steps.episode, steps.step])
        taken = steps.padded(np.concatenate([state, np.zeros((len(state), NUM_ITEM), state.dtype)], axis=1))
        expected = taken.copy()
        place, rows, size = sessions.place, sessions.rows, state.shape[1]
        for shown in self._log.replay.shown(rows):
            number = np.searchsorted(rows, shown.rows)
            odds, is_known = self._target_odds(shown, number)
            first = np.flatnonzero(self._is_first[number])
            if len(first) == 0:
                continue
            found, s = place.episode[number[first]], shown.situation
            at = found, place.step[number[first]]
            ready = s.ready[first]
            own = student_features(s.mastery[first], ready, threshold, np.ones(len(first), np.bool_))
            taken[(*at, slice(size))] = expected[(*at, slice(size))] = own
            known = is_known[first, np.newaxis]
            chosen = self._items[number[first]]
            taken[(*at, slice(size, None))] = items.taken(chosen, s.mastery[first], ready) * known
            expected[(*at, slice(size, None))] = items.expected(odds[first], s.mastery[first], ready) * known
        self._features = Features(taken, expected)

    def _target_odds(self, shown: Shown, number: Longs) -> tuple[Doubles, Bools]:
        """Return the probabilities of all items under the target, (m, I), and whether they are known; note those shown.

        number  places of the items among `Sessions.rows`, (m,)
        """
        known = np.ones(len(number), np.bool_)
        is_own, items = self._log.is_own[shown.rows], self._items[number]
        if self._recommender is not None:
            odds = shown.propensities(self._recommender)
            self._odds[number] = np.where(items >= 0, odds[np.arange(len(items)), items], 0.0)
        else:
            odds, known = np.zeros((len(number), len(self._log.catalogue))), is_own
        own = np.flatnonzero(is_own)
        for recommender, some in self._by_recommender(shown, own):
            part = shown.part(some)
            if self._recommender is None:
                odds[some] = uniform_odds(recommender, part)
            if not has_shares(recommender):
                continue
            is_same = self._recommender is not None and recommender.name == self._recommender.name
            logged = odds[some] if is_same else part.propensities(recommender)
            chosen = logged[np.arange(len(some)), items[some]]
            self._checked += len(some)
            self._wrong += int((np.abs(chosen - self._logged[number[some]]) > AGREEMENT).sum())
            first = np.flatnonzero(self._is_first[number[some]])
            self._lost += float((odds[some[first]] * (logged[first] == 0)).sum())
        return odds, known

    def _by_recommender(self, shown: Shown, some: Longs) -> Iterator[tuple[Recommender, Longs]]:
        """Yield the recommenders that showed some of m items, each with the numbers of its items."""
        names = self._policy[shown.rows[some]]
        for name in sorted(set(names.tolist())):
            if (recommender := self._known(name)) is not None:
                yield recommender, some[names == name]

    def _known(self, policy: str) -> Recommender | None:
        """Return the recommender with a name in the log; None if it is unknown here."""
        if self._recommender is not None and policy == self._recommender.name:
            return self._recommender
        return named_in_log(self._log, policy)

    def _steps(self) -> Steps:
        """Return the arrays of the estimators."""
        sessions = self._sessions
        behaviour, target = products(sessions, self._logged, self._odds)
        rewards = sessions.steps.padded(sessions.by_step(self._rewards, np.zeros(len(sessions.student))))
        return Steps(rewards, behaviour, target, sessions.lengths, sessions.student)

    # ── warnings ────────────────────────────────────────────────────────────────────────────────

    def _warnings(self) -> Iterator[Warned]:
        """Yield what a reader should know about this log."""
        rows = self._sessions.rows
        others = int((~self._log.is_own[rows]).sum())
        if others and self._recommender is not None:
            yield Warned(
                "other-engine",
                f"{others:,} of {len(rows):,} recommended items were chosen with another catalogue or student model "
                "than those of the dataset, with which the target is computed everywhere",
            )
        if self._wrong:
            yield Warned(
                "not-replayed",
                f"a replay does not give the logged propensities of {self._wrong:,} of {self._checked:,} recommended "
                "items, so the probabilities of the target may be wrong too: events may be missing in the log",
            )
        names = sorted(set(self._policy[rows].tolist()))
        known = [recommender for name in names if (recommender := self._known(name)) is not None]
        if dependent := [recommender.name for recommender in known if recommender.observes]:
            yield Warned(
                "dependent-students",
                f"the policy {dependent[0]} learns from all students together, so they are not independent, and "
                "standard errors may be too small",
            )


def products(sessions: Sessions, behaviour: Doubles, target: Doubles) -> tuple[Doubles, Doubles]:
    """Return the probabilities of what was recommended before each step under two policies, (n, T) each.

    behaviour, target  propensity of each item, given those above, (D,)

    The product of very many propensities is smaller than any float64; only its ratio is kept then.
    """
    place = sessions.place
    at = place.episode, place.step
    found, wanted, ratio = (np.ones(place.shape) for _ in range(3))
    with np.errstate(under="ignore", over="ignore"):
        for array, values in ((found, behaviour), (wanted, target), (ratio, target / behaviour)):
            np.multiply.at(array, at, values)
    ratio = np.minimum(ratio, LARGEST_RATIO)
    is_small = found < LEAST_PRODUCT
    found = np.where(is_small, 1.0 / np.maximum(ratio, 1.0), found)
    return found, np.where(is_small, np.minimum(ratio, 1.0), wanted)


def _logged(log: EngineLog, rows: Longs) -> Doubles:
    """Return the propensities of some events. Raises DatasetError unless they are probabilities above 0."""
    found = log.numbers("events", "propensity", rows)
    if (wrong := ~((found > 0) & (found <= 1 + AGREEMENT))).any():
        k = int(wrong.argmax())
        raise DatasetError(
            f"{log.path} is damaged: the propensity of row {rows[k]} of its events is {found[k]:g}, and not in (0, 1]; "
            "restore the dataset, or export the log again"
        )
    return found


def _num_candidates(log: EngineLog, rows: Longs) -> Doubles:
    """Return the numbers of candidates of some events. Raises DatasetError for missing ones."""
    found = log.numbers("events", "candidates", rows)
    if (wrong := ~(found >= 1)).any():
        raise DatasetError(
            f"{log.path} is damaged: row {rows[int(wrong.argmax())]} of its events has no number of candidates; "
            "restore the dataset, or export the log again"
        )
    return found


__all__ = ["AGREEMENT", "EngineEpisodes", "products"]
