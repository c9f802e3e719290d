"""Thompson sampling of contents: which of them leads to mastery of the target skill within some interactions.

Source: Thompson (1933), On the likelihood that one unknown probability exceeds another.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from alsim.engine.catalogue import Catalogue, Members
from alsim.engine.errors import EngineError
from alsim.engine.progress import MOST_TRIALS, Trial
from alsim.engine.recommenders.base import Counts, Interaction, Recommender, Situation
from alsim.engine.recommenders.subjects import Subjects
from alsim.engine.selection import Choice
from alsim.policies.bandits.thompson import LARGEST_COUNT, MOST_ARMS, propensities
from alsim.types import Bools, Doubles, Longs, Words

MOST_WITHIN = 1000
SUCCESS, FAILURE = "success", "failure"
ABOVE = 2**30
"""Level of items at the ranks above: they are not chosen again."""


class Posterior(NamedTuple):
    """Beta posterior of a content about a skill: the probability that the skill is mastered in time."""

    alpha: float
    """1 + successes."""
    beta: float
    """1 + failures."""

    @property
    def mean(self) -> float:
        """Mean of the posterior."""
        return self.alpha / (self.alpha + self.beta)


class Thompson(Recommender):
    """Contents by Thompson sampling, followed by questions about the same skill.

    within  number of interactions N: a content is a success if its target skill is mastered after at most N
            interactions that follow, and a failure otherwise

    1. The target skill is that of the earliest content whose effect is awaited, while the student is ready for this
       skill. Otherwise it is the ready skill of lowest mastery, the first of equals in the order of the graph.
    2. A content that teaches the target skill is due if none is awaited for it. Each content has a Beta posterior that
       starts at Beta(1, 1); a content is chosen with the probability that its draw is the largest.
    3. Otherwise a question is due that assesses the target skill, each with the same probability. If there is no
       question, a content is due, and vice versa.
    4. At the following ranks, the same rules apply to what remains, as if the content above were awaited. After the
       last item about the target skill, the next skill follows.

    Items that were shown least often without a response come first, among questions and among contents. Of more than
    32 contents, the 32 with the largest posterior mean plus two standard deviations take part. All students share the
    counters of successes and failures. A content counts if it was recommended and then studied.
    Raises EngineError unless `within` is an integer from 1 to 1,000.
    """

    observes = True

    def __init__(self, catalogue: Catalogue, within: int = 5) -> None:
        super().__init__(catalogue)
        if isinstance(within, bool) or not isinstance(within, int | np.integer) or not 1 <= within <= MOST_WITHIN:
            raise EngineError(f"within of thompson must be an integer from 1 to {MOST_WITHIN:,}; got {within!r}")
        self.within = int(within)
        self.name = f"thompson:{self.within}"
        self.subjects = Subjects(catalogue)
        self._names: dict[int, list[str]] = {}

    @property
    def members(self) -> Members:
        """Skills that a question assesses, and that a content teaches."""
        return self.subjects.members

    def choose(self, situation: Situation, ranks: int) -> Choice:
        """Return up to `ranks` items for each student, the best first."""
        n = len(situation.students)
        items, scores, odds = np.full((n, ranks), -1, np.int32), np.zeros((n, ranks)), np.zeros((n, ranks))
        posteriors = Posteriors(self, situation)
        targets = [Target(situation, i, self.subjects.has_items) for i in range(n)]
        posteriors.read({target.skill for target in targets if target.skill >= 0})
        words: list[Words] = []
        for i, target in enumerate(targets):
            level = _levels(situation, i)
            for r, slot in zip(range(ranks), self._slots(target, level), strict=False):
                if r == len(words):
                    words.append(situation.more_words(r + 1))
                items[i, r], odds[i, r] = posteriors.drawn(slot, words[r][i])
                scores[i, r] = 1.0 - situation.mastery[i, slot.skill]
                level[int(items[i, r])] = ABOVE
        return Choice(items, scores, odds, self.subjects.count(situation.ready))

    def candidates(self, ready: Bools) -> Longs:
        """Return the numbers of the items about a ready skill."""
        return self.subjects.about(ready)

    def reason(self, skill: int, mastery: float) -> str:
        """Return why an item was chosen."""
        if skill < 0:
            return "it is about no skill that the student is ready for"
        return f"about {self.catalogue.skills[skill]!r}, mastered with probability {mastery:.2f}"

    def observe(self, trials: list[Trial], interaction: Interaction) -> tuple[list[Trial], Counts]:
        """Return the contents whose effect is awaited after an interaction, and the new successes and failures."""
        known: list[Trial] = []
        counts: list[tuple[str, int]] = []
        started = self._started(interaction)
        for trial in [*(t._replace(remaining=t.remaining - 1) for t in trials), *started]:
            if interaction.after[trial.skill] >= interaction.threshold:
                counts.append((self.counter(SUCCESS, trial.content, trial.skill), 1))
            elif trial.remaining == 0:
                counts.append((self.counter(FAILURE, trial.content, trial.skill), 1))
            else:
                known.append(trial)
        return known[-MOST_TRIALS:], tuple(counts)

    def counter(self, result: str, content: int, skill: int) -> str:
        """Return the name of a counter; `result` is "success" or "failure"."""
        names = self.catalogue.items[content].id, self.catalogue.skills[skill]
        return f"{self.counter_prefix}{result}:{json.dumps(names)}"

    def counters_of(self, skill: int) -> list[str]:
        """Return the names of the counters of the contents that teach a skill: success and failure of each."""
        if skill not in self._names:
            contents = self.subjects.contents(skill).tolist()
            self._names[skill] = [self.counter(result, c, skill) for c in contents for result in (SUCCESS, FAILURE)]
        return self._names[skill]

    def posteriors(self, counters: Mapping[str, int]) -> dict[tuple[str, str], Posterior]:
        """Return the posterior of each content about each skill that it teaches, {(content, skill): Posterior}.

        counters  counters of the store, `engine.store.counters()`
        """
        found: dict[tuple[str, str], Posterior] = {}
        for k, skill in enumerate(self.catalogue.skills):
            for content in self.subjects.contents(k).tolist():
                results = (counters.get(self.counter(result, content, k), 0) for result in (SUCCESS, FAILURE))
                found[self.catalogue.items[content].id, skill] = Posterior(*(1.0 + count for count in results))
        return found

    def _started(self, interaction: Interaction) -> list[Trial]:
        """Return the trial that an interaction starts, about the ready skill of lowest mastery that it teaches."""
        if self.catalogue.is_question[interaction.item] or not interaction.was_shown:
            return []
        taught = self.catalogue.taught.of(interaction.item)
        ready = self.catalogue.graph.ready(interaction.before[None], interaction.threshold)[0]
        taught = taught[ready[taught]]
        if len(taught) == 0:
            return []
        skill = int(taught[np.argmin(interaction.before[taught])])
        return [Trial(interaction.item, skill, self.within)]

    def _slots(self, target: Target, level: dict[int, int]) -> Iterator[Slot]:
        """Yield the items among which each following one is chosen; `level` changes meanwhile."""
        while (skill := target.skill) >= 0:
            contents, questions = (
                least(self.subjects.contents(skill), level),
                least(self.subjects.questions(skill), level),
            )
            if len(contents) and (not len(questions) or skill not in target.awaited):
                target.awaited.add(skill)
                yield Slot(skill, contents, is_content=True)
            elif len(questions):
                yield Slot(skill, questions, is_content=False)
            else:
                target.advance()


class Slot(NamedTuple):
    """Items among which one is chosen."""

    skill: int
    items: Longs
    is_content: bool


class Target:
    """Skills of one student in the order in which they are taught: `skill` is the present one, -1 after the last."""

    def __init__(self, situation: Situation, i: int, has_items: Bools) -> None:
        allowed = situation.ready[i] & has_items
        self._lacking = np.where(allowed, situation.mastery[i], np.inf)
        trials = situation.progress.trials[i]
        self.awaited = {trial.skill for trial in trials}
        """Skills for which the effect of a content is awaited."""
        self.skill = next((trial.skill for trial in trials if allowed[trial.skill]), self._lowest())

    def advance(self) -> None:
        """Go to the next skill."""
        self._lacking[self.skill] = np.inf
        self.skill = self._lowest()

    def _lowest(self) -> int:
        """Return the skill of lowest mastery among those that remain, -1 for none."""
        k = int(self._lacking.argmin())
        return k if self._lacking[k] < np.inf else -1


class Posteriors:
    """Posteriors of contents for the decisions of one call, read from the store once per set of skills."""

    def __init__(self, recommender: Thompson, situation: Situation) -> None:
        self._recommender, self._read = recommender, situation.counters
        self._known: dict[int, Doubles] = {}
        self._odds: dict[tuple[int, bytes], tuple[Longs, Doubles]] = {}

    def read(self, skills: set[int]) -> None:
        """Read the counters of the contents that teach some skills, by one call of the store."""
        recommender, wanted = self._recommender, sorted(skills - self._known.keys())
        names = [name for k in wanted for name in recommender.counters_of(k)]
        counts = np.minimum(1.0 + np.array(self._read(names) if names else [], np.float64), LARGEST_COUNT).reshape(
            -1, 2
        )
        begin = 0
        for k in wanted:
            size = len(recommender.subjects.contents(k))
            self._known[k] = counts[begin : begin + size]
            begin += size

    def drawn(self, slot: Slot, words: Words) -> tuple[int, float]:
        """Return an item of a slot, drawn by random words (4,), and its probability."""
        if not slot.is_content:
            return int(slot.items[int(words[0]) * len(slot.items) >> 32]), 1.0 / len(slot.items)
        arms, odds = self._arms(slot)
        cumulative = np.cumsum(odds)
        uniform = (int(words[0]) + 0.5) / 2.0**32
        place = int((cumulative <= uniform * cumulative[-1]).sum())
        return int(arms[place]), float(odds[place])

    def _arms(self, slot: Slot) -> tuple[Longs, Doubles]:
        """Return the contents of a slot that take part, and the probability that the draw of each is the largest."""
        key = slot.skill, slot.items.tobytes()
        if key not in self._odds:
            self.read({slot.skill})
            place = np.searchsorted(self._recommender.subjects.contents(slot.skill), slot.items)
            arms, counts = slot.items, self._known[slot.skill][place]
            if len(arms) > MOST_ARMS:
                best = promising(counts)
                arms, counts = arms[best], counts[best]
            self._odds[key] = arms, propensities(counts[:, 0], counts[:, 1])
        return self._odds[key]


def promising(counts: Doubles) -> Longs:
    """Return the 32 arms with the largest posterior mean plus two standard deviations, ascending; counts (A, 2)."""
    alpha, beta = counts.T
    size = alpha + beta
    bound = alpha / size + 2 * np.sqrt(alpha * beta / (size**2 * (size + 1)))
    return np.sort(np.argsort(-bound, kind="stable")[:MOST_ARMS])


def least(pool: Longs, level: Mapping[int, int]) -> Longs:
    """Return the items of a pool, ascending, that were shown least often; none of those above.

    level  how often items were shown without a response, 0 for others; ABOVE for items above
    """
    if not level or not len(pool):
        return pool
    keys, values = np.fromiter(level.keys(), np.int64), np.fromiter(level.values(), np.int64)
    place = np.minimum(np.searchsorted(pool, keys), len(pool) - 1)
    found = pool[place] == keys
    levels = np.zeros(len(pool), np.int64)
    levels[place[found]] = values[found]
    lowest = levels.min()
    return pool[levels == lowest] if lowest < ABOVE else pool[:0]


def _levels(situation: Situation, i: int) -> dict[int, int]:
    """Return how often items were shown to a student without a response."""
    shown, counts = situation.progress.shown[i], situation.progress.counts[i]
    size = int((shown >= 0).sum())
    return dict(zip(shown[:size].tolist(), counts[:size].tolist(), strict=True))


__all__ = ["Posterior", "Thompson", "least", "promising"]
