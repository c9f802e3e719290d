"""Rules of the specified dynamics for one learner and one item (clauses S4 and S5).

Other dynamics call the parts of these rules that they do not change.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np

from alsim.dynamics.irt import p_correct
from alsim.dynamics.parameters import NotNegative, Share, Unit
from alsim.jit.compile import rule
from alsim.numerics.normal import expected_excess
from alsim.types import I0, I1, ONE, ZERO, Doubles, Draws, Item, Learner, Outcome, f32, i32


class Standard(NamedTuple):
    """Ability decides on answers; answers and contents raise mastery. The defaults are the specification."""

    learning_rate: Share = 0.05  # share of 1 - mastery that is gained per correct answer
    ability_gain: Annotated[NotNegative, Unit("logits")] = 0.02  # per correct answer
    frustration_relief: Share = 0.05  # per correct answer
    frustration_rise: Share = 0.10  # per wrong answer
    hard_rise: Share = 0.05  # added to the rise if the question is Hard and mastery is below `hard_below`
    hard_below: Share = 0.5  # mastery
    frustration_discount: Share = 0.5  # share of a content's effect lost at frustration 1
    gain_noise: NotNegative = 0.02  # standard deviation of the noise added to a content's effect
    response_time_min: Annotated[NotNegative, Unit("s")] = 5.0


@rule
def chance(p: Standard, learner: Learner, item: Item) -> f32:
    """Return the probability of a correct answer (clause S4.1)."""
    return p_correct(learner.ability, item.a, item.b, item.c)


@rule
def answer(p: Standard, learner: Learner, item: Item, draws: Draws) -> tuple[Learner, Outcome]:
    """Return the learner after a question, and the outcome (clauses S4.1 to S4.4)."""
    correct = draws.answer < chance(p, learner, item)
    mastery = practised(p, learner, correct, ONE)
    after = answered(p, learner, item, draws, correct, mastery, ONE, learner.learner_state)
    return after, Outcome(correct=correct, gain=mastery - learner.mastery)


@rule
def study(p: Standard, learner: Learner, item: Item, draws: Draws) -> tuple[Learner, Outcome]:
    """Return the learner after a content, and the outcome (clauses S5.1, S5.2)."""
    mastery = studied(p, learner, item, draws, ONE)
    return after_content(learner, item, mastery, learner.learner_state), Outcome(
        correct=False, gain=mastery - learner.mastery
    )


@rule
def practised(p: Any, learner: Learner, correct: bool | np.bool_, rate: f32) -> f32:
    """Return the mastery after an answer; `rate` multiplies the gain (clause S4.2)."""
    gained = min(ONE, learner.mastery + rate * (p.learning_rate * (ONE - learner.mastery)))
    return gained if correct else learner.mastery


@rule
def answered(
    p: Any,
    learner: Learner,
    item: Item,
    draws: Draws,
    correct: bool | np.bool_,
    mastery: f32,
    slowness: f32,
    learner_state: Any,
) -> Learner:
    """Return the learner after a question; `slowness` multiplies the response time (clauses S4.2 to S4.4)."""
    rise = p.frustration_rise + (p.hard_rise if item.is_hard and learner.mastery < p.hard_below else ZERO)
    seconds = f32(item.response_time_mean + item.response_time_std * draws.noise)
    return Learner(
        mastery=mastery,
        ability=learner.ability + (p.ability_gain if correct else ZERO),
        frustration=max(ZERO, learner.frustration - p.frustration_relief)
        if correct
        else min(ONE, learner.frustration + rise),
        response_time=slowness * max(f32(p.response_time_min), seconds),
        fail_streak=I0 if correct else i32(learner.fail_streak + I1),
        lo_state=learner.lo_state,
        learner_state=learner_state,
    )


@rule
def studied(p: Any, learner: Learner, item: Item, draws: Draws, rate: f32) -> f32:
    """Return the mastery after a content; `rate` multiplies the gain (clause S5.1)."""
    effect = item.effectiveness * (ONE - learner.mastery) * (ONE - p.frustration_discount * learner.frustration)
    return min(ONE, learner.mastery + rate * max(ZERO, effect + p.gain_noise * draws.noise))


@rule
def after_content(learner: Learner, item: Item, mastery: f32, learner_state: Any) -> Learner:
    """Return the learner after a content (clause S5.2)."""
    return Learner(
        mastery=mastery,
        ability=learner.ability,
        frustration=min(ONE, max(ZERO, learner.frustration + item.impact)),
        response_time=learner.response_time,
        fail_streak=I0,
        lo_state=learner.lo_state,
        learner_state=learner_state,
    )


def largest_gain(p: Any, mastery: Doubles, effectiveness: Doubles, draws: Draws) -> Doubles:
    """Return a bound of the gain from any interaction, elementwise (decision 25).

    It is the larger gain of a correct answer, and of a content without frustration. Dynamics that multiply these gains
    by factors in [0, 1] have the same bound.
    """
    left = 1 - mastery
    content = effectiveness * left + p.gain_noise * draws.noise
    return np.asarray(np.minimum(left, np.maximum(p.learning_rate * left, content)))


def expected_gain(p: Any, mastery: Doubles, effectiveness: Doubles) -> Doubles:
    """Return the expectation of `largest_gain`, elementwise."""
    left = 1 - mastery
    answered, content = p.learning_rate * left, effectiveness * left
    above_answer = expected_excess(content - answered, p.gain_noise)
    return np.asarray(answered + above_answer - expected_excess(content - left, p.gain_noise))
