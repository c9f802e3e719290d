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

    def __repr__(self) -> str:
        """Return the numbers of actions."""
        return f"<Options: {self.first.sum()} actions for a new LO, {self.later.sum()} for others>"

    def of(self, lo: Longs, introduced: Bools, allowed: Bools | None, num_los: int) -> tuple[Longs, Bools]:
        """Return the nine actions about one LO per lane, and which of them may present it, (N, 9) each.

        lo          (N,) LO
        introduced  (N,) whether it has been presented before
        allowed     (N, A) actions that the mask allows, None for all
        """
        place = lo[:, np.newaxis]
        questions = question_action(place, np.arange(LEVELS))
        actions = np.concatenate([questions, content_action(place, np.arange(KINDS), num_los)], axis=1)
        may = np.where(introduced[:, np.newaxis], self.later, self.first)
        if allowed is not None:
            may &= allowed[np.arange(len(lo))[:, np.newaxis], actions]
        return actions, may

    def of_all(self, introduced: Bools, allowed: Bools | None) -> Bools:
        """Return the actions that may present their LO, (N, A), from `introduced`, (N, L)."""
        num_los = introduced.shape[1]
        asks, los, levels = split_actions(np.arange(EACH * num_los), num_los)
        place = np.where(asks, levels, LEVELS + levels)
        may = np.where(introduced[:, los], self.later[place], self.first[place])
        return may if allowed is None else may & allowed

    def outcomes(self, allowed: Bools | None, num_los: int) -> tuple[Bools, Bools]:
        """Return whether each LO can be presented the first time, and later, (N, L) each, or (1, L) without a mask."""
        if allowed is None:
            return np.ones((1, num_los), np.bool_), np.ones((1, num_los), np.bool_)
        questions = allowed[:, : LEVELS * num_los].reshape(len(allowed), num_los, LEVELS)
        later = (questions & self.later[:LEVELS]).any(axis=2)
        if self.first is self.later:
            return later, later
        return allowed[:, LEVELS * num_los :].reshape(len(allowed), num_los, KINDS).any(axis=2), later


__all__ = ["Options"]
