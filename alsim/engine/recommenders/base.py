"""Interface of recommenders: which items a student should see next."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from alsim.engine.catalogue import Catalogue, Members
from alsim.engine.errors import EngineError
from alsim.engine.models import EngineModel
from alsim.engine.progress import Progress, Trial
from alsim.engine.randomness import decision_words
from alsim.engine.selection import Choice
from alsim.types import Bools, Doubles, Ints, Keys, Longs, Words, safe_repr, short_repr

EXPERIMENT = "experiment:"
"""Begin of the name of an experiment as a policy."""
Counts = tuple[tuple[str, int], ...]
"""Changes of the counters that all students share: pairs of name and addend."""


@short_repr
class Situation(NamedTuple):
    """Input of a recommender: n students and K skills."""

    students: Sequence[str]
    """Names of the students."""
    mastery: Doubles
    """Mastery of each skill, (n, K) in [0, 1]."""
    ready: Bools
    """True for the skills for which items are recommended, (n, K): those that a student is ready for, or due ones."""
    threshold: float
    """Mastery from which a skill counts as mastered."""
    progress: Progress
    """Counts, times, and items that were shown."""
    words: Words
    """Random words of the decision, (n, 4) uint32."""
    seed: int
    """Seed of the engine."""
    counters: Callable[[Sequence[str]], list[int]]
    """Function that returns the shared counters with some names, 0 for unknown ones: one call of the store."""
    log: Callable[[int], list[dict[str, Any]]]
    """Function that returns the entries of the log of student i, oldest first: one call of the store."""
    now: Sequence[float] = ()
    """Time of the decision of each student, seconds since 1970, (n,); empty if it is unknown."""
    model: EngineModel | None = None
    """Student model of the engine; None if it is unknown, for a decision that is made again from a log."""

    @classmethod
    def without_store(
        cls,
        mastery: Doubles,
        threshold: float,
        progress: Progress,
        words: Words,
        seed: int,
        model: EngineModel,
        time: float = 0.0,
        ready: Bools | None = None,
    ) -> Situation:
        """Return the situation of n students at one time, without names and log, and with counters of 0.

        ready  (n, K) skills for which items are recommended; None for those that a student is ready for by mastery
        """
        n = len(mastery)
        return cls(
            students=[""] * n,
            mastery=mastery,
            ready=model.graph.ready(mastery, threshold) if ready is None else ready,
            threshold=threshold,
            progress=progress,
            now=[time] * n,
            words=words,
            seed=seed,
            model=model,
            counters=lambda names: [0] * len(names),
            log=lambda i: [],
        )

    def rows(self, rows: Longs) -> Situation:
        """Return the situation of some students, without their logs."""
        numbers = rows.tolist()
        return self._replace(
            students=[self.students[i] for i in numbers],
            mastery=self.mastery[rows],
            ready=self.ready[rows],
            progress=self.progress.rows(rows),
            words=self.words[rows],
            now=[self.now[i] for i in numbers] if self.now else (),
            log=lambda i: [],
        )

    @property
    def salts(self) -> Keys:
        """Random number of each decision, (n,) uint64."""
        return np.asarray(self.words[:, 0].astype(np.uint64) << np.uint64(32) | self.words[:, 1])

    def more_words(self, block: int) -> Words:
        """Return four more random words of each decision, (n, 4); block 0 is `words`, the last one is 2**16 - 1."""
        return decision_words(self.seed, self.students, self.progress.decisions, block)


class Interaction(NamedTuple):
    """One response of a student, or one content that the student studied. K skills."""

    item: int
    """Number of the item."""
    was_shown: bool
    """Whether it had been recommended, and not had a response since."""
    before: Doubles
    """Mastery before, (K,)."""
    after: Doubles
    """Mastery after, (K,)."""
    threshold: float
    """Mastery from which a skill counts as mastered."""
    student: str = ""
    """Name of the student."""
    class_name: str = ""
    """Name of the class of the student, "" if it is unknown."""


@short_repr
class Group(NamedTuple):
    """Some students of a situation, for whom one recommender chooses."""

    rows: Longs
    """Numbers of the students in the situation, (m,)."""
    situation: Situation
    """Input of the recommender: these students."""
    recommender: Recommender
    """The recommender that chooses."""
    experiment: str = ""
    """Name of the experiment in which they take part, "" without one."""
    arm: str = ""
    """Name of their arm."""


class Recommender(ABC):
    """A rule that chooses items for students, with the probability of its choices."""

    name: str
    """Name in the log."""
    needs_class: bool = False
    """Whether students need a class: `check_classes` is then called."""
    observes: bool = False
    """Whether it awaits the effect of contents: `observe` is then called after each interaction."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue

    @safe_repr
    def __repr__(self) -> str:
        return f"<{type(self).__name__}: policy {self.name!r}, {self.catalogue!r}>"

    @property
    def members(self) -> Members:
        """Skills of each item that `reason` is about; by default those that it teaches."""
        return self.catalogue.taught

    def groups(self, situation: Situation) -> list[Group]:
        """Return groups of students, each with the recommender that chooses for them; here one group and itself."""
        return [Group(np.arange(len(situation.students)), situation, self)]

    def check_classes(self, students: Sequence[str], classes: Sequence[str]) -> None:  # noqa: B027  # most need none
        """Raise EngineError for a student who needs a class and has none, "" in `classes`."""

    @abstractmethod
    def choose(self, situation: Situation, ranks: int) -> Choice:
        """Return up to `ranks` items for each student, the best first."""

    @abstractmethod
    def candidates(self, ready: Bools) -> Longs:
        """Return the numbers of the items among which the first is chosen, ascending.

        ready  (K,) True for the skills that the student is ready for
        """

    def shares(self, situation: Situation, groups: Longs, size: int, above: Ints | None = None) -> Doubles:
        """Return the probability that the next item is in each group of items, (n, G).

        groups, size  (I,) group of each item, and the number of groups G; with one group per item, the result has the
                      propensities of all candidates
        above         (n, r) items that were chosen before in the same decision, -1 after the last; None: no items

        A row without candidates is 0. Raises EngineError for a recommender whose probabilities are unknown.
        """
        raise EngineError(
            f"the policy {self.name!r} does not compute the probabilities of all candidates: use 'guide' or 'alosi'"
        )

    def reason(self, skill: int, mastery: float) -> str:
        """Return why an item was chosen.

        skill    number of the ready skill of the item (see `members`) of which the student lacks most; -1 if there is
                 none
        mastery  its mastery
        """
        if skill < 0:
            return "it teaches no skill that the student is ready for"
        return f"teaches {self.catalogue.skills[skill]!r}, mastered with probability {mastery:.2f}"

    def observe(self, trials: list[Trial], interaction: Interaction) -> tuple[list[Trial], Counts]:
        """Return the contents of a student whose effect is awaited after an interaction, and changes of counters.

        trials  contents whose effect was awaited before, earliest first, at most MOST_TRIALS

        The result must be a pure function of the arguments: `AdaptiveEngine.replay` calls this method again. The names
        of the counters begin with `counter_prefix`.
        """
        return trials, ()

    @property
    def counter_prefix(self) -> str:
        """Begin of the names of its counters, and identification of the trials in the states of students."""
        return f"{self.name}:"


__all__ = ["EXPERIMENT", "Counts", "Group", "Interaction", "Recommender", "Situation"]
