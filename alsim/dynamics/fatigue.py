"""Dynamics of learners who tire: effort slows learning and answers, and rest restores it (clause S14.7).

There is no canonical source. Effort is a leaky integrator of work; its constants are assumptions.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

from alsim.dynamics.irt import p_correct
from alsim.dynamics.parameters import NotNegative, Positive, Share, Unit, extends
from alsim.dynamics.standard import Standard, after_content, answered, practised, studied
from alsim.jit.compile import rule
from alsim.numerics.elementary import exp
from alsim.types import ONE, ZERO, Draws, Item, Learner, Outcome, f32

SECONDS_PER_MINUTE, SECONDS_PER_HOUR = f32(60), f32(3600)


@extends(Standard)
class Fatigue(NamedTuple):
    """As standard, but effort slows learning and answers, and rest restores both."""

    learning_loss: Share = 0.3  # phi: share of a gain that is lost at effort 1
    slowing: NotNegative = 0.3  # psi: share of the response time that is added at effort 1
    work_minutes: Annotated[Positive, Unit("min")] = 60.0  # tau_w: work after which effort is 1 - 1/e
    rest_hours: Annotated[Positive, Unit("h")] = 8.0  # tau_r: rest after which effort has fallen to 1/e


class Effort(NamedTuple):
    """State of each learner."""

    effort: f32 = ZERO  # in [0, 1), at the end of the last interaction
    ended: Annotated[f32, Unit("h")] = ZERO  # since the episode began, at the end of the last interaction


@rule
def chance(p: Fatigue, learner: Learner, item: Item) -> f32:
    """Return the probability of a correct answer, as in the standard dynamics."""
    return p_correct(learner.ability, item.a, item.b, item.c)


@rule
def rested(p: Fatigue, state: Effort, hours: f32) -> f32:
    """Return the effort at the start of an interaction: rest lets it decay."""
    return state.effort * exp(-max(ZERO, hours - state.ended) / p.rest_hours)


@rule
def worked(p: Fatigue, effort: f32, hours: f32, seconds: f32) -> Effort:
    """Return the state after an interaction that began at `hours` and took `seconds`."""
    tired = ONE - (ONE - effort) * exp(-seconds / (SECONDS_PER_MINUTE * p.work_minutes))
    return Effort(effort=tired, ended=hours + seconds / SECONDS_PER_HOUR)


@rule
def answer(p: Fatigue, learner: Learner, item: Item, draws: Draws) -> tuple[Learner, Outcome]:
    """Return the learner after a question, and the outcome."""
    effort = rested(p, learner.learner_state, item.hours)
    correct = draws.answer < chance(p, learner, item)
    mastery = practised(p, learner, correct, ONE - p.learning_loss * effort)
    fresh = answered(p, learner, item, draws, correct, mastery, ONE + p.slowing * effort, learner.learner_state)
    after = Learner(
        mastery=fresh.mastery,
        ability=fresh.ability,
        frustration=fresh.frustration,
        response_time=fresh.response_time,
        fail_streak=fresh.fail_streak,
        lo_state=fresh.lo_state,
        learner_state=worked(p, effort, item.hours, fresh.response_time),
    )
    return after, Outcome(correct=correct, gain=mastery - learner.mastery)


@rule
def study(p: Fatigue, learner: Learner, item: Item, draws: Draws) -> tuple[Learner, Outcome]:
    """Return the learner after a content, and the outcome."""
    effort = rested(p, learner.learner_state, item.hours)
    mastery = studied(p, learner, item, draws, ONE - p.learning_loss * effort)
    after = after_content(learner, item, mastery, worked(p, effort, item.hours, item.response_time_mean))
    return after, Outcome(correct=False, gain=mastery - learner.mastery)
