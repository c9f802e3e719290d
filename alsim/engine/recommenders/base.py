"""Interface of recommenders: which items a student should see next."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from alsim.engine.catalogue import Catalogue
from alsim.engine.progress import Progress, Trial
from alsim.engine.selection import Choice
from alsim.types import Bools, Doubles, Keys, Longs, Words, short_repr


@short_repr
class Situation(NamedTuple):
    """Input of a recommender: n students and K skills."""

    students: Sequence[str]
    """Names of the students."""
    mastery: Doubles
    """Mastery of each skill, (n, K) in [0, 1]."""
    ready: Bools
    """True for the skills that a student is ready for, (n, K)."""
    threshold: float
    """Mastery from which a skill counts as mastered."""
    progress: Progress
    """Counts, times, and items that were shown."""
    words: Words
    """Random words of the decision, (n, 4) uint32."""
    seed: int
    """Seed of the engine."""
    counters: Callable[[], dict[str, int]]
    """Function that returns the shared counters of the store."""
    log: Callable[[int], list[dict[str, Any]]]
    """Function that returns the entries of the log of student i, oldest first."""

    @property
    def salts(self) -> Keys:
        """Random number of each decision, (n,) uint64."""
        return np.asarray(self.words[:, 0].astype(np.uint64) << np.uint64(32) | self.words[:, 1])


class Recommender(ABC):
    """A rule that chooses items for students, with the probability of its choices."""

    name: ClassVar[str]

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue

    @abstractmethod
    def choose(self, situation: Situation, ranks: int) -> Choice:
        """Return up to `ranks` items for each student, the best first."""

    @abstractmethod
    def candidates(self, ready: Bools) -> Longs:
        """Return the numbers of the items among which the first is chosen, ascending.

        ready  (K,) True for the skills that the student is ready for
        """

    def reason(self, skill: int, mastery: float) -> str:
        """Return why an item was chosen.

        skill    number of the ready skill that it teaches and of which the student lacks most; -1 if there is none
        mastery  its mastery
        """
        if skill < 0:
            return "it teaches no skill that the student is ready for"
        return f"teaches {self.catalogue.skills[skill]!r}, mastered with probability {mastery:.2f}"

    def observe(
        self, trials: list[Trial], item: int, mastery: Doubles, threshold: float
    ) -> tuple[list[Trial], tuple[tuple[str, int], ...]]:
        """Return the contents of a student whose effect is awaited after an interaction, and changes of counters.

        trials     contents whose effect was awaited before
        item       number of the item of the interaction
        mastery    (K,) mastery after it
        threshold  mastery from which a skill counts as mastered
        """
        return trials, ()


__all__ = ["Recommender", "Situation"]
