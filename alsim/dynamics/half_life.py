"""Dynamics with exponential forgetting: recall halves in a time that grows with practice (clause S14.5)."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np

from alsim.dynamics.memory import HOURS_PER_DAY, Remembering, chance_of, lesson_weight, rate_of, with_memory
from alsim.dynamics.parameters import Unit, extends
from alsim.dynamics.standard import after_content, answered
from alsim.jit.compile import rule
from alsim.numerics.elementary import exp2
from alsim.types import ONE, ZERO, Draws, Item, Learner, Outcome, f32

SHORTEST, LONGEST = f32(0.25), f32(274 * 24)
"""Bounds of half-lives, hours: 15 minutes and 274 days."""

LogDays = Unit("log2 days")


@extends(Remembering)
class HalfLife(NamedTuple):
    """Recall halves in a time that grows with right answers; the defaults are assumptions."""

    right_weight: Annotated[float, LogDays] = 0.25  # theta_1, of sqrt(1 + right)
    wrong_weight: Annotated[float, LogDays] = -0.15  # theta_2, of sqrt(1 + wrong)
    base: Annotated[float, LogDays] = -0.1  # theta_0: with it, the half-life before any practice is a day


class Practice(NamedTuple):
    """State of each LO."""

    right: f32 = ZERO  # right answers, and contents by their weight
    wrong: f32 = ZERO  # wrong answers
    half_life: Annotated[f32, Unit("h")] = ZERO  # 0 before the first practice
    practised: Annotated[f32, Unit("h")] = ZERO  # time of the last practice, since the episode began


@rule
def observe(p: HalfLife, mastery: f32, state: Practice, hours: f32) -> f32:
    """Return the probability of recall, 2**(-t / h); before the first practice, the starting mastery."""
    is_practised = state.half_life > ZERO
    elapsed = max(ZERO, hours - state.practised)
    recall = exp2(-elapsed / (state.half_life if is_practised else ONE))
    return recall if is_practised else mastery


@rule
def chance(p: HalfLife, learner: Learner, item: Item) -> f32:
    """Return the probability of a correct answer."""
    return chance_of(p, observe(p, learner.mastery, learner.lo_state, item.hours), learner, item)


@rule
def practised(p: HalfLife, right: f32, wrong: f32, hours: f32) -> Practice:
    """Return the state after a practice at `hours`."""
    days = exp2(p.base + p.right_weight * np.sqrt(ONE + right) + p.wrong_weight * np.sqrt(ONE + wrong))
    return Practice(
        right=right, wrong=wrong, half_life=min(LONGEST, max(SHORTEST, days * HOURS_PER_DAY)), practised=hours
    )


@rule
def answer(p: HalfLife, learner: Learner, item: Item, draws: Draws) -> tuple[Learner, Outcome]:
    """Return the learner after a question, and the outcome. Recall at the time of a practice is 1."""
    state, correct = learner.lo_state, draws.answer < chance(p, learner, item)
    right = state.right + (rate_of(p, item) if correct else ZERO)
    memory = practised(p, right, state.wrong + (ZERO if correct else ONE), item.hours)
    after = answered(p, learner, item, draws, correct, ONE, ONE, learner.learner_state)
    return with_memory(after, memory), Outcome(correct=correct, gain=ONE - learner.mastery)


@rule
def study(p: HalfLife, learner: Learner, item: Item, draws: Draws) -> tuple[Learner, Outcome]:
    """Return the learner after a content, and the outcome: it counts as a right answer, by its effectiveness."""
    state = learner.lo_state
    memory = practised(p, state.right + rate_of(p, item) * lesson_weight(item), state.wrong, item.hours)
    after = after_content(learner, item, ONE, learner.learner_state)
    return with_memory(after, memory), Outcome(correct=False, gain=ONE - learner.mastery)
