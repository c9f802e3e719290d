"""A dynamics outside the package that declares all that a dynamics can: it passes the same tests as the others.

Recall of an outcome fades with time since its last practice, faster if it was rarely answered correctly, and practice
is slower while its prerequisites are missing.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

from annotated_types import Ge, Interval

import alsim
from alsim.numerics.elementary import exp
from alsim.types import ONE, ZERO, Draws, Item, Learner, Outcome, f32, i32


class Fading(NamedTuple):
    """Recall that fades, with effort and prerequisites."""

    fading: Annotated[float, Ge(0)] = 0.02  # per hour
    gain: Annotated[float, Interval(ge=0, le=1)] = 0.2  # share of the missing recall that practice adds


class Practice(NamedTuple):
    """State of each outcome."""

    recall: f32 = f32(-1)  # after the last practice; -1 before the first
    hours: f32 = ZERO  # time of the last practice
    right: i32 = i32(0)  # correct answers


class Effort(NamedTuple):
    """State of each learner."""

    interactions: i32 = i32(0)


@alsim.rule
def begin(p: Fading, mastery: f32, uniform: f32) -> tuple[f32, Practice]:
    """Return half of the starting mastery for a part of the outcomes."""
    start = f32(0.5) * mastery if uniform < f32(0.25) else mastery
    return start, Practice(recall=f32(-1), hours=ZERO, right=i32(0))


@alsim.rule
def observe(p: Fading, mastery: f32, state: Practice, hours: f32) -> f32:
    """Return recall now; before the first practice, the starting mastery stays."""
    rate = p.fading / (ONE + f32(state.right))
    faded = state.recall * exp(-rate * max(ZERO, hours - state.hours))
    return mastery if state.recall < ZERO else faded


@alsim.rule
def chance(p: Fading, learner: Learner, item: Item) -> f32:
    """Return the probability of a correct answer: guessing, or recall."""
    return item.c + (ONE - item.c) * learner.mastery


@alsim.rule
def practised(p: Fading, learner: Learner, item: Item, strength: f32) -> f32:
    """Return recall after practice."""
    return min(ONE, learner.mastery + strength * exp(-item.unready) * (ONE - learner.mastery))


@alsim.rule
def answer(p: Fading, learner: Learner, item: Item, draws: Draws) -> tuple[Learner, Outcome]:
    """Return the learner after a question, and the outcome."""
    correct = draws.answer < chance(p, learner, item)
    mastery = practised(p, learner, item, p.gain * draws.further[1])
    right = i32(learner.lo_state.right + (i32(1) if correct else i32(0)))
    after = Learner(
        mastery=mastery,
        ability=learner.ability,
        frustration=max(ZERO, learner.frustration - f32(0.05))
        if correct
        else min(ONE, learner.frustration + f32(0.05)),
        response_time=max(ONE, item.response_time_mean + item.response_time_std * draws.noise),
        fail_streak=i32(0) if correct else i32(learner.fail_streak + i32(1)),
        lo_state=Practice(recall=mastery, hours=item.hours, right=right),
        learner_state=Effort(interactions=i32(learner.learner_state.interactions + i32(1))),
    )
    return after, Outcome(correct=correct, gain=mastery - learner.mastery)


@alsim.rule
def study(p: Fading, learner: Learner, item: Item, draws: Draws) -> tuple[Learner, Outcome]:
    """Return the learner after a content, and the outcome."""
    mastery = practised(p, learner, item, item.effectiveness)
    after = Learner(
        mastery=mastery,
        ability=learner.ability,
        frustration=min(ONE, max(ZERO, learner.frustration + item.impact)),
        response_time=learner.response_time,
        fail_streak=i32(0),
        lo_state=Practice(recall=mastery, hours=item.hours, right=learner.lo_state.right),
        learner_state=Effort(interactions=i32(learner.learner_state.interactions + i32(1))),
    )
    return after, Outcome(correct=False, gain=mastery - learner.mastery)


class FadingAtBreaks(NamedTuple):
    """As Fading, but outcomes are observed after breaks."""

    fading: Annotated[float, Ge(0)] = 0.02
    gain: Annotated[float, Interval(ge=0, le=1)] = 0.2


def register() -> None:
    """Register both dynamics; a test does so again, because registrations of tests are undone."""
    declared = {
        "chance": chance,
        "lo_state": Practice,
        "learner_state": Effort,
        "begin": begin,
        "observe": observe,
        "reads_parents": True,
        "further_draws": True,
    }
    alsim.register_dynamics("fading", Fading, answer, study, observe_at="interaction", **declared)
    alsim.register_dynamics("fading-at-breaks", FadingAtBreaks, answer, study, observe_at="break", **declared)


register()
