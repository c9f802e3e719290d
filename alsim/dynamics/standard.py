"""Rules of the specified dynamics for one learner and one item (clauses S4 and S5)."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from annotated_types import Ge, Interval

from alsim.dynamics.irt import p_correct
from alsim.jit.compile import rule
from alsim.types import I0, I1, ONE, ZERO, Draws, Item, Learner, Outcome, f32, i32

Share = Annotated[float, Interval(ge=0, le=1)]
NotNegative = Annotated[float, Ge(0)]


class Standard(NamedTuple):
    """Parameters of the specified dynamics; the defaults are the specification."""

    learning_rate: Share = 0.05  # share of 1 - mastery that is gained per correct answer
    ability_gain: NotNegative = 0.02  # logits, per correct answer
    frustration_relief: Share = 0.05  # per correct answer
    frustration_rise: Share = 0.10  # per wrong answer
    hard_rise: Share = 0.05  # added to the rise if the question is Hard and mastery is below `hard_below`
    hard_below: Share = 0.5  # mastery
    frustration_discount: Share = 0.5  # share of a content's effect lost at frustration 1
    gain_noise: NotNegative = 0.02  # standard deviation of the noise added to a content's effect
    response_time_min: NotNegative = 5.0  # seconds


@rule
def chance(p: Standard, learner: Learner, item: Item) -> f32:
    """Return the probability of a correct answer (clause S4.1)."""
    return p_correct(learner.ability, item.a, item.b, item.c)


@rule
def answer(p: Standard, learner: Learner, item: Item, draws: Draws) -> tuple[Learner, Outcome]:
    """Return the learner after a question, and the outcome (clauses S4.1 to S4.4)."""
    correct = draws.answer < chance(p, learner, item)
    mastery = min(ONE, learner.mastery + p.learning_rate * (ONE - learner.mastery)) if correct else learner.mastery
    rise = p.frustration_rise + (p.hard_rise if item.is_hard and learner.mastery < p.hard_below else ZERO)
    seconds = f32(item.response_time_mean + item.response_time_std * draws.noise)
    after = Learner(
        mastery=mastery,
        ability=learner.ability + (p.ability_gain if correct else ZERO),
        frustration=max(ZERO, learner.frustration - p.frustration_relief)
        if correct
        else min(ONE, learner.frustration + rise),
        response_time=max(f32(p.response_time_min), seconds),
        fail_streak=I0 if correct else i32(learner.fail_streak + I1),
    )
    return after, Outcome(correct=correct, gain=mastery - learner.mastery)


@rule
def study(p: Standard, learner: Learner, item: Item, draws: Draws) -> tuple[Learner, Outcome]:
    """Return the learner after a content, and the outcome (clauses S5.1, S5.2)."""
    effect = item.effectiveness * (ONE - learner.mastery) * (ONE - p.frustration_discount * learner.frustration)
    mastery = min(ONE, learner.mastery + max(ZERO, effect + p.gain_noise * draws.noise))
    after = Learner(
        mastery=mastery,
        ability=learner.ability,
        frustration=min(ONE, max(ZERO, learner.frustration + item.impact)),
        response_time=learner.response_time,
        fail_streak=I0,
    )
    return after, Outcome(correct=False, gain=mastery - learner.mastery)
