"""The rule-based teacher of the specification's authors."""

from __future__ import annotations

import numpy as np

from alsim.actions import KINDS, LEVELS
from alsim.policies.base import PolicyDraws, View
from alsim.types import MODALITIES, Doubles, Longs

FRUSTRATED = 0.7  # from here, content instead of a question
SLOW = 60.0  # seconds; an answer that took this long, too
EASY_BELOW, MEDIUM_BELOW = 0.4, 0.7  # mastery
READING_ABOVE = 0.6  # frustration; handout or text instead of PPT or video

READING = np.array([MODALITIES.index("handout"), MODALITIES.index("text")])
WATCHING = np.array([MODALITIES.index("PPT"), MODALITIES.index("video")])


class Rules:
    """Teaches the LO of lowest mastery: questions of rising difficulty, content when frustrated or slow.

    Two pathologies are the authors' own and kept: at high frustration it shows only what raises
    frustration, and one answer of 60 s or more locks it into content for the rest of the episode.
    """

    name = "rules"

    def act(self, view: View, draws: PolicyDraws) -> tuple[Longs, Doubles]:
        """Return an action for each lane, and its probability: 1 for a question, 1/2 for a content."""
        lo = np.argmin(view.mastery, axis=1)
        mastery = view.mastery[np.arange(view.num_lanes), lo]
        level = (mastery >= EASY_BELOW).astype(np.int64) + (mastery >= MEDIUM_BELOW)
        study = (view.frustration >= FRUSTRATED) | (view.last_seconds >= SLOW)
        coin = draws.integers(2)
        modality = np.where(view.frustration > READING_ABOVE, READING[coin], WATCHING[coin])
        actions = np.where(study, LEVELS * view.num_los + lo * KINDS + modality, lo * LEVELS + level)
        return actions, np.where(study, 0.5, 1.0)
