"""Any policy of `alsim.policies` as a recommender: it chooses a cell, and an item of the cell is drawn uniformly."""

from __future__ import annotations

from typing import Any

import numpy as np

from alsim.engine.catalogue import Catalogue, Members
from alsim.engine.errors import EngineError
from alsim.engine.recommenders.base import Recommender, Situation
from alsim.engine.recommenders.cells import Cells
from alsim.engine.recommenders.history import History, Logs
from alsim.engine.selection import Choice
from alsim.errors import AlsimError
from alsim.policies import masks, memory
from alsim.policies.base import Policy, PolicyDraws, Transitions, View, check_observation, has_memory
from alsim.policies.binding import bound
from alsim.policies.names import make_policy
from alsim.policies.nested import needs_truth
from alsim.policies.rounds import round_size_of
from alsim.types import Bools, Doubles, Longs, Words

DRAWS = 2**15
"""First block of random words that a policy gets."""


class PolicyRecommender(Recommender):
    """Items of the cells that a policy chooses.

    catalogue  Catalogue
    policy     policy, or its name: any that `make_policy` accepts. It has a method `probabilities`

    The learning outcomes of the policy are the skills of the graph, and its actions the cells of `Cells`. It may choose
    the cells of ready skills, also if it does not read masks (`alsim.policies.masks`). It observes the mastery of the
    student model, and frustration, response times and history from the log. A policy with memory learns from the whole
    log at each call. An item has the probability of its cell, divided by the number of items there, without those at
    the ranks above.

    Raises EngineError for an invalid policy, for one that learns across learners, and for one that reads the true state
    of learners.
    """

    def __init__(self, catalogue: Catalogue, policy: Any) -> None:
        super().__init__(catalogue)
        self.cells = Cells(catalogue)
        try:
            self.policy = bound(checked(make_policy(policy)), self.cells.course)
            self._probe()
        except EngineError:
            raise
        except AlsimError as error:
            raise EngineError(f"the engine cannot use this policy: {error}") from error
        self.name = f"policy:{self.policy.name}"
        self._members = Members(np.arange(len(catalogue) + 1), self.cells.skill)

    @property
    def members(self) -> Members:
        """Skill of the cell of each item."""
        return self._members

    def candidates(self, ready: Bools) -> Longs:
        """Return the numbers of the items whose cell is about a ready skill."""
        return np.flatnonzero(ready[self.cells.skill])

    def reason(self, skill: int, mastery: float) -> str:
        """Return why an item was chosen."""
        about = f"about {self.catalogue.skills[skill]!r}, mastered with probability {mastery:.2f}" if skill >= 0 else ""
        return f"chosen by {self.policy.name!r}; {about}"

    def choose(self, situation: Situation, ranks: int) -> Choice:
        """Return up to `ranks` items for each student, in the order in which they are drawn."""
        n, cells = len(situation.students), self.cells
        odds_of = Odds(self.policy, self._history(situation), situation)
        pools = [Pool(cells, ready) for ready in situation.ready]
        items, scores, propensities = np.full((n, ranks), -1, np.int32), np.zeros((n, ranks)), np.zeros((n, ranks))
        odds: dict[int, Doubles] = {}
        for r in range(ranks):
            open_ = [i for i in range(n) if pools[i].is_open]
            stale = [i for i in open_ if pools[i].is_changed]
            odds.update(odds_of.compute(stale, [pools[i].mask for i in stale]))
            words = situation.more_words(r + 1) if open_ else situation.words
            for i in open_:
                items[i, r], scores[i, r], propensities[i, r] = pools[i].draw(odds[i], words[i])
        per_skill = np.bincount(cells.skill, minlength=cells.num_skills)
        return Choice(items, scores, propensities, situation.ready @ per_skill)

    def _history(self, situation: Situation) -> tuple[History, Any]:
        """Return the history of students, and the state of a policy with memory after it."""
        history = History(situation, Logs.read(situation, self.catalogue, self.name), self.cells)
        state = memory.start(self.policy, len(situation.students))
        if has_memory(self.policy):
            for rows, transitions in history.steps():
                self._learn(state, rows, transitions)
        else:
            history.finish()
        return history, state

    def _learn(self, state: Any, rows: Longs, transitions: Transitions) -> None:
        """Update the state of some students in place: a policy may change the state of lanes that are not active."""
        after = memory.learn(self.policy, memory.lanes_of(state, rows), transitions)
        for (_, old), (_, new) in zip(memory.arrays_of(state), memory.arrays_of(after), strict=True):
            old[rows] = new

    def _probe(self) -> None:
        """Raise AlsimError if the policy does not work for a new student."""
        allowed = self.cells.target >= 0
        view = View(
            observation=np.zeros((1, self.cells.num_skills + 2), np.float32),
            kind="mastery",
            num_los=self.cells.num_skills,
            active=np.ones(1, np.bool_),
            last_seconds=np.zeros(1, np.float32),
            clock=np.zeros(1),
            mask=allowed[None],
        )
        draws = PolicyDraws(lambda block: np.zeros((1, 4), np.uint32))
        masks.probabilities(self.policy, view, memory.start(self.policy, 1), draws)


class Odds:
    """Probabilities of actions under a policy, for students with their history."""

    def __init__(self, policy: Policy, past: tuple[History, Any], situation: Situation) -> None:
        self._policy, self._situation = policy, situation
        self._history, self._state = past
        self._length = self._history.length

    def compute(self, students: list[int], allowed: list[Bools]) -> dict[int, Doubles]:
        """Return the probabilities (A,) of some students by their number, under masks (A,) of allowed actions.

        Students with the same number of interactions are computed together.
        """
        found: dict[int, Doubles] = {}
        numbers = np.array(students, np.int64)
        for size in np.unique(self._length[numbers]).tolist():
            places = np.flatnonzero(self._length[numbers] == size)
            rows = numbers[places]
            view = self._history.view(rows, np.array([allowed[k] for k in places]))
            state = memory.lanes_of(self._state, rows)
            odds = masks.probabilities(self._policy, view, state, self._draws(rows))
            found.update(zip(rows.tolist(), odds, strict=True))
        return found

    def _draws(self, rows: Longs) -> PolicyDraws:
        """Return the random numbers of some students; they are the same at each rank."""
        return PolicyDraws(lambda block: self._situation.more_words(DRAWS + block)[rows])


class Pool:
    """Items of one student that remain, by cell."""

    def __init__(self, cells: Cells, ready: Bools) -> None:
        self._cells = cells
        self._above: dict[int, list[int]] = {}
        self._counts, self._target = cells.counts, cells.target
        self.mask: Bools = (cells.target >= 0) & ready[cells.skill_of_action]
        """True for the actions that may be chosen, (A,)."""
        self.is_open, self.is_changed = bool(self.mask.any()), True
        """Whether an item remains; whether the mask has changed since the last draw."""

    def draw(self, odds: Doubles, words: Words) -> tuple[int, float, float]:
        """Return an item, the probability of its cell, and that of the item, and remove the item.

        odds   (A,) probabilities of actions, 0 where the mask is False
        words  (4,) random words
        """
        self.is_changed = False
        actions = np.flatnonzero(odds > 0)
        cells, place = np.unique(self._target[actions], return_inverse=True)
        cumulative = np.cumsum(np.bincount(place, odds[actions]))
        k = int((cumulative <= (int(words[0]) + 0.5) / 2.0**32 * cumulative[-1]).sum())
        share = float((cumulative[k] - (cumulative[k - 1] if k else 0.0)) / cumulative[-1])
        cell = int(cells[k])
        above = self._above.setdefault(cell, [])
        items = self._cells.items.of(cell)
        items = items[~np.isin(items, above)] if above else items
        item = int(items[int(words[1]) * len(items) >> 32])
        above.append(item)
        if len(items) == 1:
            self._close(cell)
        return item, share, share / len(items)

    def _close(self, cell: int) -> None:
        """Resolve the actions of a skill again after the last item of a cell."""
        cells = self._cells
        if self._counts is cells.counts:
            self._counts, self._target = cells.counts.copy(), cells.target.copy()
        self._counts[cell] = 0
        skill = int(cells.skill_of_action[cell])
        cells.resolve_again(self._target, self._counts, skill)
        mask = self.mask & (self._target >= 0)
        self.is_changed = bool((mask != self.mask).any())
        self.mask, self.is_open = mask, bool(mask.any())


def checked(policy: Policy) -> Policy:
    """Return a policy that an engine can use. Raises AlsimError, EngineError with the reason."""
    if needs_truth(policy):
        raise EngineError(
            f"the policy {policy.name!r} reads the true state of simulated learners, which real students do not have: "
            "choose another policy"
        )
    if round_size_of(policy) is not None:
        raise EngineError(
            f"the policy {policy.name!r} learns across learners in rounds, which an engine does not have: let it learn "
            "per learner, or use the preset 'thompson'"
        )
    check_observation(policy, "mastery")
    masks.check_maskable(policy)
    return policy


__all__ = ["PolicyRecommender"]
