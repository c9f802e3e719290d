"""Dynamics in which answers depend on mastery, too (clause S14.2)."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from alsim.dynamics.parameters import NotNegative, Unit, extends
from alsim.dynamics.standard import Standard, after_content, answered, practised, studied
from alsim.jit.compile import rule
from alsim.numerics.elementary import exp
from alsim.types import HALF, ONE, Draws, Item, Learner, Outcome, f32


@extends(Standard)
class Linked(NamedTuple):
    """As standard, but answers depend on mastery, too. Weight 0 gives the standard."""

    mastery_weight: Annotated[NotNegative, Unit("logits")] = 2.0  # k: between mastery 0 and 1


@rule
def chance(p: Linked, learner: Learner, item: Item) -> f32:
    """Return the probability of a correct answer: logit a (theta - b) + k (m - 1/2), then guessing."""
    logit = item.a * (learner.ability - item.b) + p.mastery_weight * (learner.mastery - HALF)
    return item.c + (ONE - item.c) / (ONE + exp(-logit))


@rule
def answer(p: Linked, learner: Learner, item: Item, draws: Draws) -> tuple[Learner, Outcome]:
    """Return the learner after a question, and the outcome."""
    correct = draws.answer < chance(p, learner, item)
    mastery = practised(p, learner, correct, ONE)
    after = answered(p, learner, item, draws, correct, mastery, ONE, learner.learner_state)
    return after, Outcome(correct=correct, gain=mastery - learner.mastery)


@rule
def study(p: Linked, learner: Learner, item: Item, draws: Draws) -> tuple[Learner, Outcome]:
    """Return the learner after a content, and the outcome, as in the standard dynamics."""
    mastery = studied(p, learner, item, draws, ONE)
    after = after_content(learner, item, mastery, learner.learner_state)
    return after, Outcome(correct=False, gain=mastery - learner.mastery)
