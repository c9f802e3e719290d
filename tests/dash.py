"""DASH as a dynamics outside the package: recall from counts of practice in windows of time, and a power law.

Source: Lindsey, Shroyer, Pashler & Mozer (2014), doi:10.1177/0956797613504302; windows of equal length, of which the
current one does not count, as in deeptutor (Reddy, Levine & Dragan, 2017), whose traces it reproduces.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

from annotated_types import Ge, Gt

import alsim
from alsim.dynamics.parameters import Unit
from alsim.numerics.elementary import exp, log
from alsim.types import ONE, ZERO, Draws, Item, Learner, Outcome, f32, i32


class Dash(NamedTuple):
    """Recall depends on practice in five windows of time, and fades by a power law."""

    ease: float = 0.0  # ability minus difficulty, logits
    decay: Annotated[float, Ge(0)] = 0.2  # exponent of forgetting
    delay: Annotated[float, Ge(0)] = 1.0  # scale of time, per hour
    window: Annotated[float, Gt(0), Unit("h")] = 24.0  # length of a window
    weight_1: float = 0.04  # of a window's counts of attempts and of correct ones; the first window is the oldest
    weight_2: float = 0.0625
    weight_3: float = 1 / 9
    weight_4: float = 0.25


class Counts(NamedTuple):
    """State of each outcome: attempts and correct ones in each window, and the time of the last practice."""

    tried_1: i32 = i32(0)
    tried_2: i32 = i32(0)
    tried_3: i32 = i32(0)
    tried_4: i32 = i32(0)
    tried_5: i32 = i32(0)
    right_1: i32 = i32(0)
    right_2: i32 = i32(0)
    right_3: i32 = i32(0)
    right_4: i32 = i32(0)
    right_5: i32 = i32(0)
    hours: Annotated[f32, Unit("h")] = f32(-1)  # -1 before the first practice


@alsim.rule
def window_of(p: Dash, hours: f32) -> i32:
    """Return the window of a time: 0 to 4."""
    return min(i32(4), i32(hours / p.window))


@alsim.rule
def term(weight: f32, tried: i32, right: i32, counts: bool) -> f32:
    """Return what the practice in a window adds to the logit."""
    return weight * (log(ONE + f32(right)) + log(ONE + f32(tried))) if counts else ZERO


@alsim.rule
def recall(p: Dash, state: Counts, hours: f32) -> f32:
    """Return the probability of recall of an outcome that was practised."""
    now = window_of(p, hours)
    history = term(f32(p.weight_1), state.tried_1, state.right_1, now > 0)
    history += term(f32(p.weight_2), state.tried_2, state.right_2, now > 1)
    history += term(f32(p.weight_3), state.tried_3, state.right_3, now > 2)
    history += term(f32(p.weight_4), state.tried_4, state.right_4, now > 3)
    delay = max(ZERO, hours - state.hours)
    return exp(-p.decay * log(ONE + p.delay * delay)) / (ONE + exp(-(p.ease + history)))


@alsim.rule
def observe(p: Dash, mastery: f32, state: Counts, hours: f32) -> f32:
    """Return recall; an outcome that was never practised keeps its starting mastery."""
    return mastery if state.hours < ZERO else recall(p, state, hours)


@alsim.rule
def chance(p: Dash, learner: Learner, item: Item) -> f32:
    """Return the probability of a correct answer: recall."""
    return observe(p, learner.mastery, learner.lo_state, item.hours)


@alsim.rule
def add(count: i32, here: bool) -> i32:
    """Return a count, with one more if this is its window."""
    return i32(count + (i32(1) if here else i32(0)))


@alsim.rule
def practised(p: Dash, state: Counts, hours: f32, correct: bool) -> Counts:
    """Return the counts after practice."""
    now = window_of(p, hours)
    return Counts(
        tried_1=add(state.tried_1, now == 0),
        tried_2=add(state.tried_2, now == 1),
        tried_3=add(state.tried_3, now == 2),
        tried_4=add(state.tried_4, now == 3),
        tried_5=add(state.tried_5, now == 4),
        right_1=add(state.right_1, correct & (now == 0)),
        right_2=add(state.right_2, correct & (now == 1)),
        right_3=add(state.right_3, correct & (now == 2)),
        right_4=add(state.right_4, correct & (now == 3)),
        right_5=add(state.right_5, correct & (now == 4)),
        hours=hours,
    )


@alsim.rule
def answer(p: Dash, learner: Learner, item: Item, draws: Draws) -> tuple[Learner, Outcome]:
    """Return the learner after a question, and the outcome."""
    correct = draws.answer < chance(p, learner, item)
    state = practised(p, learner.lo_state, item.hours, correct)
    mastery = recall(p, state, item.hours)
    after = Learner(
        mastery=mastery,
        ability=learner.ability,
        frustration=min(ONE, max(ZERO, learner.frustration + (f32(-0.05) if correct else f32(0.05)))),
        response_time=max(ONE, item.response_time_mean + item.response_time_std * draws.noise),
        fail_streak=i32(0) if correct else i32(learner.fail_streak + i32(1)),
        lo_state=state,
    )
    return after, Outcome(correct=correct, gain=mastery - learner.mastery)


@alsim.rule
def study(p: Dash, learner: Learner, item: Item, draws: Draws) -> tuple[Learner, Outcome]:
    """Return the learner after a content, which counts as a correct attempt."""
    state = practised(p, learner.lo_state, item.hours, True)
    mastery = recall(p, state, item.hours)
    after = Learner(
        mastery=mastery,
        ability=learner.ability,
        frustration=min(ONE, max(ZERO, learner.frustration + item.impact)),
        response_time=learner.response_time,
        fail_streak=i32(0),
        lo_state=state,
    )
    return after, Outcome(correct=False, gain=mastery - learner.mastery)


def register() -> None:
    """Register the dynamics; a test does so again, because registrations of tests are undone."""
    source = "Lindsey et al., 2014, doi:10.1177/0956797613504302"
    alsim.register_dynamics("dash", Dash, answer, study, chance=chance, lo_state=Counts, observe=observe, source=source)


register()
