"""Termination of an episode (clause S7.1)."""

from __future__ import annotations

from alsim.jit.compile import rule
from alsim.types import Reason, Termination, f32, f64, i32

MASTERY_ACHIEVED, STEP_LIMIT = i32(Reason.MASTERY_ACHIEVED), i32(Reason.STEP_LIMIT)
CRITICAL_FRUSTRATION, NONE = i32(Reason.CRITICAL_FRUSTRATION), i32(Reason.NONE)


@rule
def ending(limits: Termination, mean_mastery: f64, step: i32, frustration: f32) -> i32:
    """Return the code of the first reason that applies after an interaction, NONE if none does.

    limits        thresholds and step limit
    mean_mastery  over LOs, in [0, 1]
    step          interactions of the episode so far, including this one
    frustration   in [0, 1]
    """
    given_up = CRITICAL_FRUSTRATION if frustration >= limits.max_frustration else NONE
    over = STEP_LIMIT if step >= limits.max_steps else given_up
    return MASTERY_ACHIEVED if mean_mastery >= limits.mastery_threshold else over
