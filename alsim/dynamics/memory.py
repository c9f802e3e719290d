"""Rules that the dynamics with memory share: the chance of an answer from recall, and the effect of prerequisites."""

from __future__ import annotations

from typing import Any, NamedTuple

from alsim.dynamics.parameters import NotNegative, extends
from alsim.dynamics.standard import Standard
from alsim.jit.compile import rule
from alsim.numerics.elementary import exp
from alsim.types import ONE, Item, Learner, f32

HOURS_PER_DAY = f32(24)
NOMINAL_EFFECTIVENESS = f32(0.15)
"""Effectiveness of a content that counts as much as one answer (clause S14.5): the largest of a default bank."""


@extends(Standard, without=("learning_rate", "frustration_discount", "gain_noise"))
class Remembering(NamedTuple):
    """Parameters of the dynamics with memory: those of the standard but for mastery, and these."""

    ability_weight: NotNegative = 0.0  # w: effect of a (theta - b) on the log-odds of a correct answer
    strength: NotNegative = 0.0  # kappa: per missing mastery of a parent, as in `prerequisites`


@rule
def chance_of(p: Any, recall: f32, learner: Learner, item: Item) -> f32:
    """Return the probability of a correct answer, given the probability of recall (clause S14.5).

        P = c + (1 - c) sigma(logit recall + w a (theta - b))

    It is computed from odds, and thus exact for a recall of 0 or 1.
    """
    known = recall * exp(p.ability_weight * item.a * (learner.ability - item.b))
    return item.c + (ONE - item.c) * (known / (known + (ONE - recall)))


@rule
def rate_of(p: Any, item: Item) -> f32:
    """Return the factor of all gains of memory: exp(-kappa * sum over the parents of (1 - mastery)); 1 without any."""
    return exp(-p.strength * item.unready)


@rule
def lesson_weight(item: Item) -> f32:
    """Return how much a content counts compared with an answer."""
    return item.effectiveness / NOMINAL_EFFECTIVENESS


@rule
def with_memory(learner: Learner, memory: Any) -> Learner:
    """Return the learner with another state of the LO."""
    return Learner(
        mastery=learner.mastery,
        ability=learner.ability,
        frustration=learner.frustration,
        response_time=learner.response_time,
        fail_streak=learner.fail_streak,
        lo_state=memory,
        learner_state=learner.learner_state,
    )


__all__ = [
    "HOURS_PER_DAY",
    "NOMINAL_EFFECTIVENESS",
    "Remembering",
    "chance_of",
    "lesson_weight",
    "rate_of",
    "with_memory",
]
