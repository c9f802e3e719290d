"""What is observed of a learner beside mastery and frustration (clauses S8.1 and S8.2)."""

from __future__ import annotations

from alsim.jit.compile import rule
from alsim.numerics.elementary import HALF, ONE
from alsim.types import Observation, f32, i32

NONE_ASKED = i32(0)


def observation_width(num_los: int, observation: Observation) -> int:
    """Return the number of entries R of an observation: L + 2, or 2 L + 2 for "responses"."""
    return 2 * num_los + 2 if observation == "responses" else num_los + 2


@rule
def observed_time(seconds: f32, longest: f32) -> f32:
    """Response time as a share of the `longest` (seconds), at most 1."""
    return min(ONE, seconds / longest)


@rule
def share_asked(asked: i32, max_steps: i32) -> f32:
    """Questions asked about an LO, as a share of the interactions that an episode has."""
    return f32(asked) / f32(max_steps)


@rule
def share_correct(right: i32, asked: i32) -> f32:
    """Share of an LO's questions answered correctly, 0.5 before the first."""
    return f32(right) / f32(asked) if asked > NONE_ASKED else HALF
