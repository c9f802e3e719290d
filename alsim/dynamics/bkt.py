"""Bayesian knowledge tracing: each LO is known or not (clause S14.3; Corbett & Anderson, 1995, doi:10.1007/BF01099821).

Mastery is the hidden bit, 0 or 1.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
from annotated_types import Interval

from alsim.dynamics.parameters import Share, Word, extends
from alsim.dynamics.standard import Standard, after_content, answered
from alsim.jit.compile import rule
from alsim.types import HALF, ONE, ZERO, Doubles, Draws, Item, Learner, Outcome, f32

BEST_EFFECTIVENESS = f32(0.15)
"""Effectiveness of a content that teaches with the probability p_content: the largest of clause S2.3."""
Guess = Annotated[float, Interval(ge=0, le=1), Word("item", -1.0)]


@extends(Standard, without=("learning_rate", "frustration_discount", "gain_noise"))
class Bkt(NamedTuple):
    """Bayesian knowledge tracing: each learning outcome is known or not."""

    p_init: Share = 0.3  # probability that an LO is known at the start
    p_learn: Share = 0.1  # that an unknown LO becomes known by a question
    p_content: Share = 0.3  # that it becomes known by a content of effectiveness 0.15
    p_guess: Guess = 0.2  # of a correct answer if unknown; "item": the c of the item
    p_slip: Share = 0.1  # of a wrong answer if known
    p_forget: Share = 0.0  # that a known LO is forgotten, per interaction with it


@rule
def begin(p: Bkt, mastery: f32, uniform: f32) -> tuple[f32, Any]:
    """Return whether an LO is known at the start of an episode."""
    return ONE if uniform < p.p_init else ZERO, ()


@rule
def chance(p: Bkt, learner: Learner, item: Item) -> f32:
    """Return the probability of a correct answer: 1 - slip if the LO is known, otherwise guess."""
    guess = item.c if p.p_guess < ZERO else f32(p.p_guess)
    return ONE - f32(p.p_slip) if learner.mastery > HALF else guess


@rule
def known_next(p: Bkt, mastery: f32, learn: f32, uniform: f32) -> f32:
    """Return whether an LO is known after an interaction that teaches it with the probability `learn`."""
    kept = ZERO if uniform < p.p_forget else ONE
    learned = ONE if uniform < learn else ZERO
    return kept if mastery > HALF else learned


@rule
def answer(p: Bkt, learner: Learner, item: Item, draws: Draws) -> tuple[Learner, Outcome]:
    """Return the learner after a question, and the outcome."""
    correct = draws.answer < chance(p, learner, item)
    mastery = known_next(p, learner.mastery, f32(p.p_learn), draws.further[0])
    after = answered(p, learner, item, draws, correct, mastery, ONE, learner.learner_state)
    return after, Outcome(correct=correct, gain=mastery - learner.mastery)


@rule
def study(p: Bkt, learner: Learner, item: Item, draws: Draws) -> tuple[Learner, Outcome]:
    """Return the learner after a content, and the outcome."""
    learn = min(ONE, p.p_content * item.effectiveness / BEST_EFFECTIVENESS)
    mastery = known_next(p, learner.mastery, learn, draws.further[0])
    after = after_content(learner, item, mastery, learner.learner_state)
    return after, Outcome(correct=False, gain=mastery - learner.mastery)


def chance_to_learn(p: Bkt, effectiveness: Doubles) -> Doubles:
    """Return the largest probability that an interaction teaches an unknown LO, elementwise."""
    return np.asarray(np.maximum(p.p_learn, np.minimum(1, p.p_content * effectiveness / BEST_EFFECTIVENESS)))


def largest_gain(p: Bkt, mastery: Doubles, effectiveness: Doubles, draws: Draws) -> Doubles:
    """Return a bound of the gain from any interaction, elementwise: nothing is forgotten (decision 25)."""
    return np.where(draws.further[0] < chance_to_learn(p, effectiveness), 1 - mastery, 0.0)


def expected_gain(p: Bkt, mastery: Doubles, effectiveness: Doubles) -> Doubles:
    """Return the expectation of `largest_gain`, elementwise."""
    return (1 - mastery) * chance_to_learn(p, effectiveness)
