"""Observations (clauses S8.1 and S8.2): their size, and the entries that are computed from counts and times."""

from __future__ import annotations

from alsim.jit.compile import rule
from alsim.types import HALF, I0, ONE, Observation, f32, i32


def observation_width(num_los: int, observation: Observation) -> int:
    """Return the number of entries R of an observation: L + 2, or 2 L + 2 for "responses"."""
    return 2 * num_los + 2 if observation == "responses" else num_los + 2


@rule
def observed_time(seconds: f32, longest: f32) -> f32:
    """Return a response time divided by the `longest`, both in seconds, clipped to 1."""
    return min(ONE, seconds / longest)


@rule
def share_asked(asked: i32, max_steps: i32) -> f32:
    """Return the number of questions asked about an LO, divided by the step limit of an episode."""
    return f32(asked) / f32(max_steps)


@rule
def share_correct(correct: i32, asked: i32) -> f32:
    """Return the share of questions about an LO that were answered correctly, 0.5 before the first question."""
    return f32(correct) / f32(asked) if asked > I0 else HALF
