"""Results of an engine: recommendations with their candidates, and results of responses."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from alsim.engine.recommenders.base import Recommender, Situation
from alsim.engine.selection import Choice
from alsim.jit.compile import lean_kernel
from alsim.types import Bools, Doubles, Ints, Longs, describe, safe_repr, short_repr


class Decisions:
    """Decisions for n students, from which reasons and candidates are derived."""

    def __init__(self, recommender: Recommender, situation: Situation, choice: Choice) -> None:
        self._recommender, self.choice, self._ready = recommender, choice, situation.ready
        self._skills = np.empty(choice.items.shape, np.int32)
        self._mastery = np.empty(choice.items.shape)
        lacking_most(
            choice.items, *recommender.members, situation.mastery, situation.ready, self._skills, self._mastery
        )

    def item(self, i: int, rank: int) -> str:
        """Return the id of the item of a rank."""
        return self._recommender.catalogue.items[int(self.choice.items[i, rank])].id

    def candidates(self, i: int, rank: int) -> list[str]:
        """Return the ids of the items among which that of a rank was chosen, in the order of the catalogue."""
        above = set(self.choice.items[i, :rank].tolist())
        items = self._recommender.catalogue.items
        return [items[k].id for k in self._recommender.candidates(self._ready[i]).tolist() if k not in above]

    def num_candidates(self, i: int, rank: int) -> int:
        """Return the number of candidates."""
        return int(self.choice.candidates[i]) - rank

    def reason(self, i: int, rank: int) -> str:
        """Return why the item of a rank was chosen."""
        return self._recommender.reason(int(self._skills[i, rank]), float(self._mastery[i, rank]))


@lean_kernel
def lacking_most(
    items: Ints, start: Longs, skill: Longs, mastery: Doubles, ready: Bools, skills: Ints, values: Doubles
) -> None:
    """Write the ready skill that each item teaches and of which a student lacks most, -1 if there is none.

    items           (n, r), -1 is no item
    start, skill    fields of `Members`
    mastery, ready  (n, K)
    skills, values  (n, r), written: the skill and its mastery
    """
    for i in range(len(items)):
        for r in range(items.shape[1]):
            skills[i, r], values[i, r] = -1, 1.0
            if items[i, r] < 0:
                continue
            for x in range(start[items[i, r]], start[items[i, r] + 1]):
                k = skill[x]
                if ready[i, k] and (skills[i, r] < 0 or mastery[i, k] < values[i, r]):
                    skills[i, r], values[i, r] = k, mastery[i, k]


class Recommendation:
    """An item that a student should see. Fields are computed from the arrays of the decision when they are read."""

    __slots__ = ("_decisions", "_rank", "_row")

    def __init__(self, decisions: Decisions, row: int, rank: int) -> None:
        self._decisions, self._row, self._rank = decisions, row, rank

    @property
    def item(self) -> str:
        """Id of the item."""
        return self._decisions.item(self._row, self._rank)

    @property
    def score(self) -> float:
        """Score by which it was chosen, in the unit of the policy."""
        return float(self._decisions.choice.scores[self._row, self._rank])

    @property
    def propensity(self) -> float:
        """Probability of this item at this rank, given the items above."""
        return float(self._decisions.choice.propensities[self._row, self._rank])

    @property
    def reason(self) -> str:
        """Reason of the choice, a sentence."""
        return self._decisions.reason(self._row, self._rank)

    @property
    def candidates(self) -> list[str]:
        """Ids of the items among which it was chosen, without those above, in the order of the catalogue."""
        return self._decisions.candidates(self._row, self._rank)

    @property
    def num_candidates(self) -> int:
        """Number of candidates."""
        return self._decisions.num_candidates(self._row, self._rank)

    def to_dict(self) -> dict[str, Any]:
        """Return item, score, reason, propensity and the number of candidates, as JSON values."""
        return {
            "item": self.item,
            "score": self.score,
            "reason": self.reason,
            "propensity": self.propensity,
            "candidates": self.num_candidates,
        }

    def __eq__(self, other: object) -> bool:
        """Return whether item, score, reason, propensity and candidates are equal."""
        return (
            isinstance(other, Recommendation)
            and self.to_dict() == other.to_dict()
            and self.candidates == other.candidates
        )

    __hash__ = None  # type: ignore[assignment]  # equality reads the candidates

    @safe_repr
    def __repr__(self) -> str:
        return f"Recommendation({', '.join(f'{name}={describe(value)}' for name, value in self.to_dict().items())})"


@short_repr
class Processed(NamedTuple):
    """Result of a response or of a studied content."""

    item: str
    """Id of the item."""
    mastery: dict[str, float]
    """Mastery of the skills of the item after the interaction, {skill: probability}."""
    interactions: int
    """Number of interactions of the student so far."""


__all__ = ["Decisions", "Processed", "Recommendation"]
