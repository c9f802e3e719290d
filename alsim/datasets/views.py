"""The logged interactions of a dataset as a policy would have seen them, for off-policy evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alsim.bank.course import course_of
from alsim.config import Config
from alsim.datasets.tables import numpy_column
from alsim.errors import AlsimError
from alsim.mdp.actions import num_actions
from alsim.metrics import add_time, clocks_after
from alsim.numerics.philox import random_words
from alsim.policies import Policy, PolicyDraws, PolicyWithProbabilities, Transitions, View, has_memory, masks, memory
from alsim.policies.action_masks import ActionMask, MaskRules, read_action_mask
from alsim.policies.binding import bound
from alsim.policies.checks import with_probabilities
from alsim.policies.exceptions import naming
from alsim.policies.rounds import (
    FixedState,
    first_state,
    joined,
    next_state,
    round_size_of,
    rows_by_round,
    transitions_of_rows,
)
from alsim.types import Doubles, Floats, Longs, Purpose, Words, f32, i8

if TYPE_CHECKING:
    from alsim.datasets.store import Dataset

MAX_LANES, MAX_ENTRIES = 4096, 2**21
"""Largest number of lanes of a view, and of probabilities of one view: 16 MB."""


def logged_views(dataset: Dataset, action_mask: Any = None) -> Iterator[tuple[Longs, View]]:
    """Yield the indices of transitions, (N,), and their view, see `Dataset.views`."""
    mask = logged_mask(dataset, action_mask)
    for offset, part in _numbered_parts(dataset):
        columns = _Columns(part, mask)
        for first, length in columns.batches():
            for rows, view in columns.views(first, length):
                yield rows + offset, view


def distributions(dataset: Dataset, policy: Policy, action_mask: Any = None) -> Iterator[tuple[Longs, Doubles]]:
    """Return an iterator over indices and the probabilities of all actions, see `Dataset.distributions`."""
    known, mask = with_probabilities(policy, "the policy"), logged_mask(dataset, action_mask)
    return ((rows + offset, odds) for offset, _, rows, _, (odds,) in _odds(dataset, [known], mask))


class LoggedBatch(NamedTuple):
    """Batch of N transitions of a dataset, with the probabilities of all actions under some policies."""

    rows: Longs
    """Indices of the transitions, (N,)."""
    view: View
    """Observations and histories before the actions."""
    odds: list[Doubles]
    """Probabilities under each policy, (N, A)."""
    action: Longs
    """Logged actions, (N,)."""
    reward: Floats
    """Logged rewards, (N,)."""
    propensity: Doubles
    """Logged propensities, (N,)."""


def joint_distributions(dataset: Dataset, policies: Sequence[Policy], action_mask: Any = None) -> Iterator[LoggedBatch]:
    """Return an iterator over batches of transitions, with the probabilities under several policies.

    policies  policies with `probabilities`, all without a state of all learners, or one of any kind

    For batches and errors, see `Dataset.distributions`.
    """
    known, mask = [with_probabilities(policy, "the policy") for policy in policies], logged_mask(dataset, action_mask)
    for offset, part, rows, view, odds in _odds(dataset, known, mask):
        columns = (part.action[rows].astype(np.int64), part.reward[rows], part.propensity[rows])
        yield LoggedBatch(rows + offset, view, odds, *columns)


def probabilities(dataset: Dataset, policy: Policy, action_mask: Any = None) -> Doubles:
    """Return the probability of each logged action, (M,), see `Dataset.probabilities`."""
    known, chosen = with_probabilities(policy, "the policy"), np.empty(len(dataset))
    mask = logged_mask(dataset, action_mask)
    for offset, part, rows, _, (odds,) in _odds(dataset, [known], mask):
        chosen[rows + offset] = odds[np.arange(len(rows)), part.action[rows]]
    return chosen


def logged_mask(dataset: Dataset, action_mask: Any = None) -> ActionMask | None:
    """Return the action mask with which a dataset was generated, or None.

    action_mask  the function, if the mask is a function: a name in a manifest is never imported, because the manifest
                 may come from others

    Raises AlsimError if the function is missing, or if the argument is not the recorded mask.
    """
    manifest = dataset.manifest
    recorded = manifest.get("action_mask")
    if isinstance(recorded, str) and action_mask is None:
        raise AlsimError(
            f"the dataset was generated with a function as action mask, {recorded!r}, which is not imported "
            "automatically; pass the function as action_mask (--action-mask module:function)"
        )
    given = recorded if action_mask is None else action_mask
    rules = MaskRules(
        outcomes=dataset.bank.outcomes,
        curriculum=None,
        mastered=1.0,  # recorded masks contain their own
        kind=manifest["observation"],
        rows=manifest["num_learners"],
        unit="learner",
    )
    mask = read_action_mask(given, rules)
    if mask is not None and action_mask is not None and mask.to_plain() != recorded:
        raise AlsimError(
            f"the dataset was generated with the action mask {recorded!r:.60}; got {mask.to_plain()!r:.60}; leave out "
            "action_mask, or pass the same function"
        )
    return mask


def _numbered_parts(dataset: Dataset) -> Iterator[tuple[int, Dataset]]:
    """Yield the index of the first transition of each part of a dataset, and the part."""
    offset = 0
    for part in dataset.parts():
        yield offset, part
        offset += len(part)


Batch = tuple[Longs, View, list[Doubles]]
"""Rows (N,) of a part, their view, and the probabilities of all actions (N, A) under each policy."""


def _odds(
    dataset: Dataset, policies: Sequence[PolicyWithProbabilities], mask: ActionMask | None
) -> Iterator[tuple[int, Dataset, Longs, View, list[Doubles]]]:
    """Yield the offset of a part, the part, and a batch of it."""
    rounds = None if all(round_size_of(policy) is None for policy in policies) else _Rounds(*policies)
    for offset, part in _numbered_parts(dataset):
        columns = _Columns(part, mask)
        known: list[PolicyWithProbabilities] = []
        for policy in policies:
            with naming(policy):
                known.append(with_probabilities(bound(policy, columns.course), "the policy"))
        found = _of_episodes(columns, known) if rounds is None else rounds.of_part(columns, *known)
        yield from ((offset, part, rows, view, odds) for rows, view, odds in found)


def _of_episodes(
    columns: _Columns, policies: Sequence[PolicyWithProbabilities], episodes: Longs | None = None
) -> Iterator[Batch]:
    """Yield the batches of episodes of one part, all by default.

    A policy with memory learns from the logged interactions, as it would have in a rollout.
    """
    for first, length in columns.batches(episodes):
        states: list[Any] = []
        for policy in policies:
            with naming(policy):
                states.append(memory.start(policy, len(first)))
        for rows, view in columns.views(first, length):
            odds: list[Doubles] = []
            for k, policy in enumerate(policies):
                states[k] = memory.lanes_of(states[k], slice(len(rows)))
                draws = PolicyDraws(partial(columns.words, rows))
                with naming(policy):
                    odds.append(masks.probabilities(policy, view, states[k], draws))
            yield rows, view, odds
            for k, policy in enumerate(policies):
                if has_memory(policy):
                    with naming(policy):
                        states[k] = memory.learn(policy, states[k], columns.transitions(rows, view))


class _Rounds:
    """A policy that learns across learners, and learns from a log in the same rounds as in a rollout.

    Parts of the log may divide a round: its interactions are kept until the next round begins.
    """

    def __init__(self, policy: PolicyWithProbabilities) -> None:
        self._size = round_size_of(policy) or 1
        self._fixed: FixedState | None = None
        self._number, self._waiting = 0, list[Transitions]()

    def of_part(self, columns: _Columns, policy: PolicyWithProbabilities) -> Iterator[Batch]:
        """Yield the batches of one part."""
        for number, episodes in rows_by_round(columns.learner_of_episode, self._size):
            if self._fixed is None:
                with naming(policy):
                    self._fixed = first_state(policy)
            elif number != self._number:
                with naming(policy):
                    self._fixed = next_state(self._fixed, joined(self._waiting))
                self._waiting.clear()
            self._number = number
            yield from _of_episodes(columns, [self._fixed], episodes)
            self._waiting.append(columns.complete(episodes))


class _Columns:
    """The columns of one part of a dataset from which views are made."""

    def __init__(self, part: Dataset, mask: ActionMask | None) -> None:
        self._mask = mask
        table = part.transitions
        self.num_los, self._kind = part.manifest["bank"]["num_los"], part.manifest["observation"]
        self._observation, self._action = part.obs, part.action.astype(np.int64)
        self._item = numpy_column(table, "item")
        self._seconds = table.column("response_time").to_numpy().astype(f32)  # NaN for contents
        correct = table.column("correct").fill_null(False).to_numpy().astype(i8)
        self._correct = np.where(np.isnan(self._seconds), i8(-1), correct).astype(i8)
        self._reward = table.column("reward").to_numpy().astype(f32)
        self._propensity, self._seed = part.propensity, int(part.manifest["seed"])
        self._counters = [numpy_column(table, name).astype(np.uint32) for name in ("step", "episode", "learner_id")]
        self._length: Longs = numpy_column(part.episodes, "total_steps")
        self._first: Longs = np.cumsum(self._length) - self._length
        self.learner_of_episode: Longs = numpy_column(part.episodes, "learner_id").astype(np.int64)
        self._number = np.repeat(
            np.arange(len(self._length)), self._length
        )  # episode of each transition, as a row of `episodes`
        self._part, self._ends = part, numpy_column(table, "termination_reason") != 0
        # Only this part of the configuration, since the dynamics may not be registered here.
        self._bank, config = part.bank, part.manifest["config"]
        known = {key: config[key] for key in ("sessions", "metrics", "curriculum") if config.get(key) is not None}
        self._config = Config.read(known)
        self.course = course_of(self._bank, self._config)

    def batches(self, episodes: Longs | None = None) -> Iterator[tuple[Longs, Longs]]:
        """Yield the first rows and the lengths of episodes that make one batch of views, (E,) each.

        episodes  indices of episodes; None for all
        """
        chosen = np.arange(len(self._length)) if episodes is None else episodes
        # Long episodes come first: those that continue are the first lanes.
        order = chosen[np.argsort(-self._length[chosen], kind="stable")]
        lanes = max(1, min(MAX_LANES, MAX_ENTRIES // num_actions(self.num_los)))
        for start in range(0, len(order), lanes):
            part = order[start : start + lanes]
            yield self._first[part], self._length[part]

    def complete(self, episodes: Longs) -> Transitions:
        """Return the interactions of consecutive episodes as rows of one Transitions."""
        rows = slice(self._first[episodes[0]], self._first[episodes[-1]] + self._length[episodes[-1]])
        return transitions_of_rows(
            observation=self._observation[rows],
            final=self._part.final_obs[episodes],
            length=self._length[episodes],
            kind=self._kind,
            num_los=self.num_los,
            actions=self._action[rows],
            propensities=self._propensity[rows],
            items=self._item[rows],
            correct=self._correct[rows],
            seconds=self._seconds[rows],
            rewards=self._reward[rows],
            clock=clocks_after(self._item[rows], self._seconds[rows], self._length[episodes], self._bank, self._config),
        )

    def views(self, first: Longs, length: Longs) -> Iterator[tuple[Longs, View]]:
        """Yield the rows (N,) and the view of each interaction of episodes; N falls as episodes end.

        first   (E,) row of the first interaction of each episode
        length  (E,) number of its interactions, in descending order
        """
        history: list[list[NDArray[Any]]] = [[], [], [], []]
        last: Floats = np.zeros(len(first), f32)
        clock: Doubles = np.zeros(len(first))
        for step in range(length[0]):
            lanes = int(np.searchsorted(-length, -step))  # episodes longer than `step`
            if lanes < len(last):
                history = [[entry[:lanes] for entry in entries] for entries in history]
                last, clock = last[:lanes], clock[:lanes]
            rows = first[:lanes] + step
            actions, items, correct, seconds = (entries.copy() for entries in history)
            learners = self._counters[2][rows].astype(np.int64)
            yield (
                rows,
                masks.with_mask(
                    View(
                        observation=_read_only(self._observation[rows]),
                        kind=self._kind,
                        num_los=self.num_los,
                        active=_read_only(np.ones(lanes, np.bool_)),
                        last_seconds=_read_only(last.copy()),
                        actions=actions,
                        items=items,
                        correct=correct,
                        seconds=seconds,
                        clock=_read_only(clock.copy()),
                    ),
                    self._mask,
                    learners,
                ),
            )
            columns = (self._action, self._item, self._correct, self._seconds)
            for entries, column in zip(history, columns, strict=True):
                entries.append(_read_only(column[rows]))
            last = np.where(np.isnan(history[3][-1]), last, history[3][-1])
            add_time(clock, self._item[rows], self._seconds[rows], step, self._bank, self._config)

    def words(self, rows: Longs, block: int) -> NDArray[np.uint32]:
        """Return the random words of the policy in logged interactions, (N, 4), as in `Simulator.words`."""
        step, episode, learner = (counter[rows] for counter in self._counters)
        words: Words = np.empty(4 * len(rows), np.uint32)
        key = np.full(len(rows), self._seed, np.uint64)
        random_words(step - np.uint32(1), episode, learner, np.uint32(Purpose.POLICY | block << 16), key, words)
        return words.reshape(-1, 4)

    def transitions(self, rows: Longs, view: View) -> Transitions:
        """Return the logged interactions in these rows, (N,), with which a policy with memory learns.

        view  view before them
        """
        ended, seconds, asked = self._ends[rows], self._seconds[rows], ~np.isnan(self._seconds[rows])
        following = self._observation[np.minimum(rows + 1, len(self._observation) - 1)]
        following[ended] = self._part.final_obs[self._number[rows[ended]]]
        clock = view.hours.copy()
        add_time(clock, self._item[rows], seconds, view.step, self._bank, self._config)
        return Transitions(
            observation=view.observation,
            next_observation=_read_only(following),
            kind=view.kind,
            num_los=view.num_los,
            actions=_read_only(self._action[rows]),
            propensities=_read_only(self._propensity[rows]),
            items=_read_only(self._item[rows]),
            correct=_read_only(self._correct[rows]),
            seconds=_read_only(seconds),
            rewards=_read_only(self._reward[rows]),
            active=view.active,
            ended=_read_only(ended),
            last_seconds=_read_only(np.where(asked, seconds, view.last_seconds)),
            clock=_read_only(clock),
        )


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array itself, which can no longer be written to."""
    array.flags.writeable = False
    return array
