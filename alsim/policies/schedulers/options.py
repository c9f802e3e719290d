"""Actions that present an LO: a question of some difficulty, or a content."""

from __future__ import annotations

import numpy as np

from alsim.errors import AlsimError
from alsim.mdp.actions import KINDS, LEVELS, content_action, question_action, split_actions
from alsim.types import DIFFICULTIES, Bools, Longs

ANY = "any"
FIRSTS = ("question", "content")
EACH = LEVELS + KINDS
"""Number of actions about an LO: its questions, then its contents."""


class Options:
    """Actions with which a scheduler presents an LO, the first time and later.

    policy      name of the policy, for errors
    difficulty  "any", "Easy", "Medium" or "Hard": of the questions
    first       "question" or "content": how an LO is presented the first time; a content may have any modality

    Raises AlsimError for other values.
    """

    def __init__(self, policy: str, difficulty: str, first: str) -> None:
        known = (ANY, *DIFFICULTIES)
        if difficulty not in known:
            raise AlsimError(f"the difficulty of {policy} must be one of {', '.join(known)}; got {difficulty!r}")
        if first not in FIRSTS:
            raise AlsimError(f"the first presentation of {policy} must be question or content; got {first!r}")
        self.later = np.zeros(EACH, np.bool_)  # which of the actions about an LO
        self.later[:LEVELS] = [difficulty in (ANY, level) for level in DIFFICULTIES]
        self.first = np.arange(EACH) >= LEVELS if first == "content" else self.later
        self._patterns = np.stack([self.first, self.later])

    def __repr__(self) -> str:
        """Return the numbers of actions."""
        return f"<Options: {self.first.sum()} actions for a new LO, {self.later.sum()} for others>"

    def of(self, lo: Longs, introduced: Bools, allowed: Bools | None) -> Bools:
        """Return which of the nine actions about one LO per lane may present it, (N, 9): questions, then contents.

        lo          (N,) LO
        introduced  (N,) whether it has been presented before
        allowed     (N, A) actions that the mask allows, None for all
        """
        may = self._patterns[introduced.astype(np.int64)]
        if allowed is None:
            return may
        actions = action_at(lo[:, np.newaxis], np.arange(EACH), allowed.shape[1] // EACH)
        return np.asarray(may & allowed[np.arange(len(lo))[:, np.newaxis], actions])

    def of_all(self, introduced: Bools, allowed: Bools | None) -> Bools:
        """Return the actions that may present their LO, (N, A), from `introduced`, (N, L)."""
        num_los = introduced.shape[1]
        los, place = places_of(np.arange(EACH * num_los), num_los)
        may = np.where(introduced[:, los], self.later[place], self.first[place])
        return may if allowed is None else may & allowed

    def count(self, may: Bools, num_los: int) -> Longs:
        """Return the number of actions that may present each LO, (N, L), from the result of `of_all`."""
        found = np.zeros((len(may), num_los), np.int64)
        found += may[:, : LEVELS * num_los].reshape(len(may), num_los, LEVELS).sum(axis=2)
        found += may[:, LEVELS * num_los :].reshape(len(may), num_los, KINDS).sum(axis=2)
        return found

    def outcomes(self, allowed: Bools | None, num_los: int) -> tuple[Bools, Bools]:
        """Return whether each LO can be presented the first time, and later, (N, L) each, or (1, L) without a mask."""
        if allowed is None:
            return np.ones((1, num_los), np.bool_), np.ones((1, num_los), np.bool_)
        questions = allowed[:, : LEVELS * num_los].reshape(len(allowed), num_los, LEVELS)
        later = np.asarray((questions & self.later[:LEVELS]).any(axis=2))
        if self.first is self.later:
            return later, later
        contents = allowed[:, LEVELS * num_los :].reshape(len(allowed), num_los, KINDS)
        return np.asarray(contents.any(axis=2)), later


def action_at(lo: Longs, place: Longs, num_los: int) -> Longs:
    """Return the action about an LO at a place from 0 to 8: its questions, then its contents. Arguments broadcast."""
    content = content_action(lo, place - LEVELS, num_los)
    return np.asarray(np.where(place < LEVELS, question_action(lo, place), content), np.int64)


def places_of(actions: Longs, num_los: int) -> tuple[Longs, Longs]:
    """Return the LO of each action, and its place among the actions about this LO, see `action_at`."""
    asks, los, levels = split_actions(actions, num_los)
    return los, np.where(asks, levels, LEVELS + levels)


__all__ = ["Options", "action_at", "places_of"]
