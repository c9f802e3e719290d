"""Rule-based policy of the specification's authors."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from alsim.jit.compile import rule
from alsim.numerics.variates import below
from alsim.policies.base import PolicyDraws, View
from alsim.policies.compiled import PolicyInput, PolicyWords, RulePolicy, content_action, question_action, weakest
from alsim.types import MODALITIES, Doubles, Floats, f32, f64, i64, u32, u64

HANDOUT, TEXT, PPT, VIDEO = (i64(MODALITIES.index(word)) for word in ("handout", "text", "PPT", "video"))
NUM_SIDES, HEADS = u32(2), u32(1)
CERTAIN, EVEN_CHANCE = f64(1), f64(0.5)


class Thresholds(NamedTuple):
    """Thresholds of the rule-based policy."""

    frustrated: float = 0.7  # frustration from which content is shown instead of a question
    slow: float = 60.0  # response time in seconds from which content is shown instead of a question
    easy_below: float = 0.4  # mastery below which questions are Easy
    medium_below: float = 0.7  # mastery below which questions are Medium, otherwise Hard
    reading_above: float = 0.6  # frustration above which the content is a handout or a text, otherwise a PPT or a video


@rule
def teach(p: Thresholds, observation: Floats, inputs: PolicyInput, words: PolicyWords) -> tuple[i64, f64]:
    """Return an action for the weakest LO, and its probability: 1 for a question, 1/2 for a content."""
    lo = weakest(observation, inputs)
    mastery: f32 = observation[inputs.row + u64(lo)]
    frustration: f32 = observation[inputs.row + u64(inputs.num_los)]
    level = i64(mastery >= p.easy_below) + i64(mastery >= p.medium_below)
    heads = below(words.w0, NUM_SIDES) == HEADS
    reading = TEXT if heads else HANDOUT
    watching = VIDEO if heads else PPT
    modality = reading if frustration > p.reading_above else watching
    study = frustration >= p.frustrated or inputs.last_seconds >= p.slow
    # No branch: the processor would mispredict it often.
    content = content_action(inputs, lo, modality)
    question = question_action(inputs, lo, level)
    return content if study else question, EVEN_CHANCE if study else CERTAIN


class Rules(RulePolicy):
    """Policy that teaches the LO with the lowest mastery.

    It asks a question whose difficulty depends on mastery, or shows a content if the learner is frustrated or slow.

    Two flaws of the original rules are kept. At high frustration, the policy shows only contents that raise
    frustration. After one answer of 60 s or more, it shows only contents until the episode ends.
    """

    name = "rules"
    parameters = Thresholds()
    choose = teach
    reads = "mastery"

    def probabilities(self, view: View, draws: PolicyDraws | None = None) -> Doubles:
        """Return the probability of each action in each lane, (N, A). Raises ValueError for another observation."""
        lanes, odds = np.arange(view.num_lanes), np.zeros((view.num_lanes, view.num_actions))
        for side in range(NUM_SIDES):
            actions, propensities = self.act(view, _tossed(side, view.num_lanes))
            odds[lanes, actions] = propensities
        return odds


def _tossed(side: int, lanes: int) -> PolicyDraws:
    """Return draws with which the coin of `teach` shows the same side in all lanes."""
    words = np.full((lanes, len(PolicyWords._fields)), side * (2**32 // int(NUM_SIDES)), np.uint32)
    return PolicyDraws(lambda block: words)
