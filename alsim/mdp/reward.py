"""Reward of an interaction (clauses S6.1 to S6.3)."""

from __future__ import annotations

from alsim.jit.compile import rule
from alsim.types import ZERO, Item, Learner, Outcome, RewardWeights, f32


@rule
def reward(w: RewardWeights, item: Item, outcome: Outcome, after: Learner) -> f32:
    """Return the reward, float32, of an interaction after which the learner is `after`.

        question    correctness * correct + mastery_gain * gain - frustration_penalty * frustration
        content     post_content_gain * gain - engagement * impact

    The impact is that of the content, even if clipping of frustration has reduced its effect.
    """
    earned = w.correctness if outcome.correct else ZERO
    question = earned + w.mastery_gain * outcome.gain - w.frustration_penalty * after.frustration
    content = w.post_content_gain * outcome.gain - w.engagement * item.impact
    return question if item.is_question else content
