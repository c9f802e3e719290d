"""Phases of time: the clock of a learner, breaks between sessions, and observations that depend on them (S13).

A kernel contains the optional ones whose part of the World is present, see `alsim.jit.structs.steps_of`.
"""

from __future__ import annotations

from typing import Any

from alsim.dynamics.transition import observe
from alsim.jit.compile import phase, rule, wide_vectors
from alsim.jit.structs import if_present, load_row, present_or
from alsim.mdp.termination import NONE, ending
from alsim.simulator.layout import AFTER, BREAK, MASTERY, OUTCOME, REWARD, SECONDS
from alsim.types import HOURS_PER_SECOND, I0, I1, Delay, Doubles, Floats, Longs, Sessions, f32, f64, i32, u32, u64

STRIPE = 16
"""LOs that are observed together: two vectors of AVX2, or one of AVX-512."""


@phase
def advance_clock(w: Any, first: int, count: int) -> None:
    """Add the time of the interaction to the clock of each lane of the block."""
    wide_vectors()
    hours, floats = w.learners.hours, w.scratch.floats
    for i in range(count):
        hours[u64(first + i)] += f64(floats[u64(SECONDS + i)]) * HOURS_PER_SECOND


@phase
def reset_clock(w: Any, listed: Longs, first: int, count: int) -> None:
    """Set the clocks of lanes listed[first : first + count] to 0."""
    for i in range(count):
        w.learners.hours[u64(listed[u64(first + i)])] = f64(0)


@rule
def _note_seconds(hours: Doubles, floats: Floats, i: int, seconds: f32) -> None:
    floats[u64(SECONDS + i)] = seconds


note_seconds = if_present(_note_seconds)
"""Write the seconds of the interaction to row i of the block, if there is a clock."""


@rule
def _hours_of(hours: Doubles, k: u64) -> f32:
    return f32(hours[k])


hours_of = if_present(_hours_of)
"""Return the hours since the episode of lane k began, float32; ABSENT if there is no clock."""


@rule
def ends_session(sessions: Sessions, step: u32) -> bool:
    """Return whether a break follows the interaction after `step` interactions."""
    return bool((step + u32(1)) % u32(sessions.interactions) == 0)


@rule
def goes_on(w: Any, k: u64, i: int) -> bool:
    """Return True unless the interaction ends the episode of lane k, in row i of the block, before a break."""
    lanes, floats = w.learners, w.scratch.floats
    gain = f64(floats[u64(AFTER + i)]) - f64(floats[u64(MASTERY + i)])
    mean = (lanes.mastery_sum[k] + gain) / f64(w.scale.num_los)
    return bool(ending(w.termination, mean, i32(i32(lanes.step[k]) + I1), lanes.frustration[k]) == NONE)


@phase
def take_breaks(w: Any, first: int, count: int) -> None:
    """Add a break to the clock of each lane whose session ends with this interaction, unless the episode ends, too.

    The block's row BREAK then tells which lanes have had one.
    """
    lanes, sessions, ints = w.learners, w.sessions, w.scratch.ints
    for i in range(count):
        k = u64(first + i)
        breaks = ends_session(sessions, lanes.step[k]) and goes_on(w, k, i)
        ints[u64(BREAK + i)] = i32(breaks)
        if breaks:
            lanes.hours[k] += sessions.hours


@phase
def observe_after_each(w: Any, first: int, count: int) -> None:
    """Observe all LOs of each lane."""
    wide_vectors()
    for i in range(count):
        _observe_lane(w, u64(first + i), i)


@phase
def observe_after_breaks(w: Any, first: int, count: int) -> None:
    """Observe all LOs of each lane that has had a break."""
    wide_vectors()
    for i in range(count):
        if w.scratch.ints[u64(BREAK + i)] != I0:
            _observe_lane(w, u64(first + i), i)


@rule
def _observe_each(w: Any, k: u64, hours: f32) -> f64:
    """Write what is observed of the LOs of lane k, `hours` after its episode began, to a scratch row; return the sum.

    Whole stripes of a constant length are vectorised without a scalar remainder. The last one overlaps the one before.
    """
    lanes, num_los, observed = w.learners, w.scale.num_los, w.scratch.observed
    p = load_row(present_or(lanes.parameters, w.parameters), k)
    row, cell = k * u64(num_los + 2), k * u64(num_los)
    if num_los >= STRIPE:
        for begin in range(0, num_los, STRIPE):
            first = u64(min(begin, num_los - STRIPE))
            for j in range(STRIPE):
                lo = first + u64(j)
                observed[lo] = observe(p, lanes.rows[row + lo], load_row(lanes.lo_state, cell + lo), hours)
    else:
        for j in range(num_los):
            lo = u64(j)
            observed[lo] = observe(p, lanes.rows[row + lo], load_row(lanes.lo_state, cell + lo), hours)
    return _sum_of(observed, num_los)


@rule
def _sum_of(values: Floats, count: int) -> f64:
    """Return the sum of the first entries, from four partial sums: one alone would wait for each addition."""
    first, second, third, fourth = f64(0), f64(0), f64(0), f64(0)
    whole = count - count % 4
    for j in range(0, whole, 4):
        k = u64(j)
        first += f64(values[k])
        second += f64(values[k + u64(1)])
        third += f64(values[k + u64(2)])
        fourth += f64(values[k + u64(3)])
    for j in range(whole, count):
        first += f64(values[u64(j)])
    return (first + second) + (third + fourth)


@rule
def _observe_lane(w: Any, k: u64, i: int) -> None:
    """Replace the mastery of all LOs of lane k, in row i of the block, by what is observed now."""
    lanes, num_los, floats, observed = w.learners, w.scale.num_los, w.scratch.floats, w.scratch.observed
    lanes.mastery_sum[k] = _observe_each(w, k, f32(lanes.hours[k]))
    row = k * u64(num_los + 2)
    for j in range(num_los):
        lanes.rows[row + u64(j)] = observed[u64(j)]
    mastery = observed[u64(w.scratch.ints[u64(OUTCOME + i)])]
    floats[u64(MASTERY + i)] = floats[u64(AFTER + i)] = mastery  # the sum has this change already


@phase
def _recall_later(delay: Delay, w: Any, listed: Longs, count: int, places: Longs, out: Doubles) -> None:
    """Write the mean over the LOs of what is observed of the first `count` listed lanes after a delay (S13.3).

    places  index in `out` of each lane
    """
    wide_vectors()
    for j in range(count):
        k = u64(listed[u64(j)])
        total = _observe_each(w, k, f32(w.learners.hours[k] + delay.hours))
        out[u64(places[k])] = total / f64(w.scale.num_los)


recall_later = if_present(_recall_later)


@rule
def _recall_sum(w: Any, k: u64) -> f64:
    """Return the sum over the LOs of lane k of what is observed after the delay of the reward."""
    return _observe_each(w, k, f32(w.learners.hours[k] + w.recall.hours))


@phase
def reward_recall(w: Any, first: int, count: int) -> None:
    """Add the change of the recall after a delay to the reward of each lane of the block."""
    wide_vectors()
    recall, floats = w.learners.recall, w.scratch.floats
    for i in range(count):
        k = u64(first + i)
        total = _recall_sum(w, k)
        floats[u64(REWARD + i)] += w.recall.weight * f32(total - recall[k])
        recall[k] = total


@phase
def reset_recall(w: Any, listed: Longs, first: int, count: int) -> None:
    """Write the recall after a delay at the start of the episodes of lanes listed[first : first + count]."""
    wide_vectors()
    for i in range(count):
        k = u64(listed[u64(first + i)])
        w.learners.recall[k] = _recall_sum(w, k)


__all__ = [
    "advance_clock",
    "hours_of",
    "note_seconds",
    "reset_clock",
    "observe_after_breaks",
    "observe_after_each",
    "recall_later",
    "reset_recall",
    "reward_recall",
    "take_breaks",
]
