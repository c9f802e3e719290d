"""Dynamics in which an LO is learned more slowly while its prerequisites are not mastered (clause S14.4)."""

from __future__ import annotations

from typing import NamedTuple

from alsim.dynamics.irt import p_correct
from alsim.dynamics.parameters import NotNegative, extends
from alsim.dynamics.standard import Standard, after_content, answered, practised, studied
from alsim.jit.compile import rule
from alsim.numerics.elementary import exp
from alsim.types import ONE, Draws, Item, Learner, Outcome, f32


@extends(Standard)
class Prerequisites(NamedTuple):
    """As standard, but missing prerequisites slow learning. Strength 0 gives the standard."""

    strength: NotNegative = 1.0  # kappa: per missing mastery of a parent


@rule
def chance(p: Prerequisites, learner: Learner, item: Item) -> f32:
    """Return the probability of a correct answer, as in the standard dynamics."""
    return p_correct(learner.ability, item.a, item.b, item.c)


@rule
def rate_of(p: Prerequisites, item: Item) -> f32:
    """Return the factor of all gains: exp(-kappa * sum over the parents of (1 - mastery))."""
    return exp(-p.strength * item.unready)


@rule
def answer(p: Prerequisites, learner: Learner, item: Item, draws: Draws) -> tuple[Learner, Outcome]:
    """Return the learner after a question, and the outcome."""
    correct = draws.answer < chance(p, learner, item)
    mastery = practised(p, learner, correct, rate_of(p, item))
    after = answered(p, learner, item, draws, correct, mastery, ONE, learner.learner_state)
    return after, Outcome(correct=correct, gain=mastery - learner.mastery)


@rule
def study(p: Prerequisites, learner: Learner, item: Item, draws: Draws) -> tuple[Learner, Outcome]:
    """Return the learner after a content, and the outcome."""
    mastery = studied(p, learner, item, draws, rate_of(p, item))
    after = after_content(learner, item, mastery, learner.learner_state)
    return after, Outcome(correct=False, gain=mastery - learner.mastery)
