"""Phases of time: the clock of a learner, breaks between sessions, and observations that depend on them (S13).

A function of `if_present` compiles to nothing if its first argument is ().
"""

from __future__ import annotations

from typing import Any

from alsim.dynamics.transition import observe
from alsim.jit.compile import phase, rule, wide_vectors
from alsim.jit.structs import if_present, load_row
from alsim.types import Delay, Doubles, Floats, Ints, LearnerArrays, Longs, Sessions, f32, f64, u32, u64

HOURS_PER_SECOND = f64(1 / 3600)


@phase
def advance_clock(lanes: LearnerArrays, seconds: Floats, row: int, first: int, count: int) -> None:
    """Add the time of the interaction to the clock of each lane.

    seconds, row  scratch array, and the offset in it of the block's seconds
    """
    wide_vectors()
    for i in range(count):
        lanes.hours[u64(first + i)] += f64(seconds[u64(row + i)]) * HOURS_PER_SECOND


@rule
def ends_session(sessions: Sessions, step: u32) -> bool:
    """Return whether a break follows the interaction after `step` interactions."""
    return bool((step + u32(1)) % u32(sessions.interactions) == 0)


@phase
def _take_breaks(sessions: Sessions, lanes: LearnerArrays, first: int, count: int) -> None:
    """Add a break to the clock of each lane whose session ends with this interaction."""
    for i in range(count):
        k = u64(first + i)
        if ends_session(sessions, lanes.step[k]):
            lanes.hours[k] += sessions.hours


@rule
def _observe_lane(parameters: Any, lanes: LearnerArrays, k: u64, num_los: int) -> None:
    """Replace the mastery of all LOs by what the dynamics says is observed now."""
    row, cell, hours = k * u64(num_los + 2), k * u64(num_los), f32(lanes.hours[k])
    for j in range(num_los):
        lo = u64(j)
        state = load_row(lanes.lo_state, cell + lo)
        lanes.rows[row + lo] = observe(parameters, lanes.rows[row + lo], state, hours)
    total = f64(0)
    for j in range(num_los):
        total += f64(lanes.rows[row + u64(j)])
    lanes.mastery_sum[k] = total


@phase
def _observe_after_each(
    flag: Any,
    parameters: Any,
    lanes: LearnerArrays,
    floats: Floats,
    ints: Ints,
    rows: tuple[int, int, int],
    num_los: int,
    first: int,
    count: int,
) -> None:
    """Observe all LOs of each lane.

    rows  offsets in the scratch arrays: mastery before, mastery after, and LO
    """
    wide_vectors()
    before, after, outcome = rows
    for i in range(count):
        k = u64(first + i)
        _observe_lane(load_row(parameters, k), lanes, k, num_los)
        mastery = lanes.rows[k * u64(num_los + 2) + u64(ints[u64(outcome + i)])]
        floats[u64(before + i)] = floats[u64(after + i)] = mastery  # the sum has this change already


@phase
def _observe_after_breaks(
    sessions: Sessions,
    parameters: Any,
    lanes: LearnerArrays,
    floats: Floats,
    ints: Ints,
    rows: tuple[int, int, int],
    num_los: int,
    first: int,
    count: int,
) -> None:
    """Observe all LOs of each lane whose session ends with this interaction, see `_observe_after_each`."""
    wide_vectors()
    before, after, outcome = rows
    for i in range(count):
        k = u64(first + i)
        if ends_session(sessions, lanes.step[k]):
            _observe_lane(load_row(parameters, k), lanes, k, num_los)
            mastery = lanes.rows[k * u64(num_los + 2) + u64(ints[u64(outcome + i)])]
            floats[u64(before + i)] = floats[u64(after + i)] = mastery


@phase
def _recall_later(
    delay: Delay,
    parameters: Any,
    lanes: LearnerArrays,
    listed: Longs,
    num_los: int,
    count: int,
    places: Longs,
    out: Doubles,
) -> None:
    """Write the mean over the LOs of what is observed of the first `count` listed lanes after a delay (S13.3).

    places  index in `out` of each lane
    """
    for j in range(count):
        k = u64(listed[u64(j)])
        p, hours = load_row(parameters, k), f32(lanes.hours[k] + delay.hours)
        row, cell, total = k * u64(num_los + 2), k * u64(num_los), f64(0)
        for lo in range(num_los):
            at = u64(lo)
            total += f64(observe(p, lanes.rows[row + at], load_row(lanes.lo_state, cell + at), hours))
        out[u64(places[k])] = total / f64(num_los)


take_breaks = if_present(_take_breaks)
recall_later = if_present(_recall_later)
observe_after_each = if_present(_observe_after_each)
observe_after_breaks = if_present(_observe_after_breaks)


__all__ = ["advance_clock", "observe_after_breaks", "observe_after_each", "recall_later", "take_breaks"]
