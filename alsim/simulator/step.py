"""The batch loop: every learner one interaction further, in blocks that fit in the L1 cache.

A step goes draw -> gather -> advance -> finish -> scatter -> copy_observation, and begins the lanes that ended anew.
Draw and gather fill the contiguous rows of one block; `advance` is then a loop over those rows and the
learners' own arrays that calls the rules of one learner, and vectorises. No formula of the simulator
stands here.

Indices are unsigned wherever they are not plainly a loop's own: numba lets a negative index count from the
end, and that question at every access keeps a loop from vectorising.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from alsim.dynamics import transition
from alsim.jit.atomics import fetch_add
from alsim.jit.compile import COMPILED, kernel, phase, rule, wide_vectors
from alsim.jit.references import borrow
from alsim.mdp.actions import LEVELS
from alsim.mdp.observation import observed_time, share_asked, share_correct
from alsim.mdp.reward import reward
from alsim.mdp.termination import NONE, STEP_LIMIT, ending
from alsim.numerics.philox import WORD_BITS, philox
from alsim.numerics.variates import below, normal, uniform
from alsim.simulator import reset as reset
from alsim.simulator.reset import begin, begin_next
from alsim.types import (
    BLOCK,
    Bools,
    Draws,
    Floats,
    Interaction,
    Item,
    ItemTable,
    Learner,
    Longs,
    Output,
    Population,
    Purpose,
    Scratch,
    Termination,
    f32,
    f64,
    i8,
    i32,
    i64,
    u32,
    u64,
)

NEXT_STEP, SAME_STEP, DISABLED = 0, 1, 2
"""When a lane whose episode ended begins the next: as gymnasium.vector.AutoresetMode, in its order."""

INTERACTION = u32(Purpose.INTERACTION)
ZERO, NAN = f32(0), f32(np.nan)
I0, I1 = i32(0), i32(1)

# Rows of the scratch arrays (types.Scratch): where each begins.
WORD_0, WORD_1, WORD_2, WORD_3 = (k * BLOCK for k in range(4))
(ANSWER, NOISE, MASTERY, A, B, C, TIME_MEAN, TIME_STD, EFFECTIVENESS, IMPACT, AFTER, GAIN, REWARD,
 OBSERVED_TIME) = (k * BLOCK for k in range(14))  # fmt: skip
FLOAT_ROWS = 14
QUESTION, HARD, CORRECT, OUTCOME, SLOT = (k * BLOCK for k in range(5))
INT_ROWS = 5
MOST_LISTED = 16 * BLOCK
"""Lanes that wait for their next episode are begun together, when so many may be waiting."""

CHUNK = 16 * BLOCK
"""Lanes that a thread takes at a time, where threads share a step."""
SPIN_LIMIT = 20_000 if COMPILED else 1
"""Looks at what other threads do, 10 ns or so each, before this one goes to sleep: to be woken takes 40 µs where
processors are virtual, a tenth of the step of 65,536 learners."""


def scratch_sizes() -> tuple[int, int, int, int]:
    """Lengths of the scratch arrays of words, floats, ints and listed lanes."""
    return (
        reset.WORD_ROWS * BLOCK,
        max(FLOAT_ROWS, reset.FLOAT_ROWS) * BLOCK,
        max(INT_ROWS, reset.INT_ROWS) * BLOCK,
        MOST_LISTED,
    )


@phase
def draw(lanes: Population, scratch: Scratch, first: int, count: int) -> None:
    """Draw what each lane's interaction needs, from the counter (step, episode, learner, INTERACTION)."""
    wide_vectors()
    words, floats = scratch.words, scratch.floats
    for i in range(count):
        k = u64(first + i)
        key = lanes.key[k]
        w0, w1, w2, w3 = philox(
            lanes.step[k], lanes.episode[k], lanes.learner[k], INTERACTION, u32(key), u32(key >> WORD_BITS)
        )
        words[WORD_0 + i] = w0
        words[WORD_1 + i] = w1
        words[WORD_2 + i] = w2
        words[WORD_3 + i] = w3
    # A loop's widest type decides how many learners fit in a vector: Philox multiplies in 64 bits, this needs 32.
    for i in range(count):
        floats[ANSWER + i] = uniform(words[WORD_0 + i])
        floats[NOISE + i] = normal(words[WORD_1 + i], words[WORD_3 + i])


@phase
def gather(
    lanes: Population, table: ItemTable, num_los: int, scratch: Scratch, actions: Longs, first: int, count: int
) -> None:
    """Bring each lane's item and the mastery in play into the block's rows; of a finished lane, action 0's."""
    wide_vectors()
    words, floats, ints = scratch.words, scratch.floats, scratch.ints
    width, questions, last = u64(num_los + 2), u64(LEVELS * num_los), u64(len(table.first)) - u64(1)
    for i in range(count):
        k = u64(first + i)
        # Valid when they were looked at; but another thread of the caller's may have changed them since.
        action = min(u64(0 if lanes.finished[k] else actions[k]), last)
        outcome = table.learning_outcome[action]
        slot = u64(table.first[action] + i32(below(words[WORD_2 + i], table.size[action])))
        ints[SLOT + i] = i32(slot)
        ints[OUTCOME + i] = outcome
        ints[QUESTION + i] = I1 if action < questions else I0
        ints[HARD + i] = I1 if table.is_hard[action] else I0
        floats[MASTERY + i] = lanes.rows[k * width + u64(outcome)]
        floats[A + i] = table.a[slot]
        floats[B + i] = table.b[slot]
        floats[C + i] = table.c[slot]
        floats[TIME_MEAN + i] = table.response_time_mean[slot]
        floats[TIME_STD + i] = table.response_time_std[slot]
        floats[EFFECTIVENESS + i] = table.effectiveness[slot]
        floats[IMPACT + i] = table.impact[slot]


@phase
def advance(
    parameters: Any, weights: Any, max_time: f32, lanes: Population, scratch: Scratch, first: int, count: int
) -> None:
    """Take each of the block's learners through its interaction; the mastery after it stays in the block's rows."""
    wide_vectors()
    floats, ints = scratch.floats, scratch.ints
    for i in range(count):
        k = u64(first + i)
        learner = Learner(
            mastery=floats[MASTERY + i],
            ability=lanes.ability[k],
            frustration=lanes.frustration[k],
            response_time=lanes.response_time[k],
            fail_streak=lanes.fail_streak[k],
        )
        item = Item(
            is_question=ints[QUESTION + i] != I0,
            is_hard=ints[HARD + i] != I0,
            a=floats[A + i],
            b=floats[B + i],
            c=floats[C + i],
            response_time_mean=floats[TIME_MEAN + i],
            response_time_std=floats[TIME_STD + i],
            effectiveness=floats[EFFECTIVENESS + i],
            impact=floats[IMPACT + i],
        )
        after, outcome = transition(
            parameters, learner, item, Draws(answer=floats[ANSWER + i], noise=floats[NOISE + i])
        )
        lanes.ability[k] = after.ability
        lanes.frustration[k] = after.frustration
        lanes.response_time[k] = after.response_time
        lanes.fail_streak[k] = after.fail_streak
        floats[AFTER + i] = after.mastery
        floats[GAIN + i] = outcome.gain
        floats[REWARD + i] = reward(weights, item, outcome, after)
        floats[OBSERVED_TIME + i] = observed_time(after.response_time, max_time)
        ints[CORRECT + i] = I1 if outcome.correct else I0


@phase
def finish(
    limits: Termination, num_los: int, lanes: Population, scratch: Scratch, out: Output, first: int, count: int
) -> None:
    """Count the interaction, see whether the episode ends by it, and hand out reward and flags."""
    wide_vectors()
    floats = scratch.floats
    for i in range(count):
        k = u64(first + i)
        step = i32(i32(lanes.step[k]) + I1)
        total = lanes.mastery_sum[k] + (f64(floats[AFTER + i]) - f64(floats[MASTERY + i]))
        reason = ending(limits, total / f64(num_los), step, lanes.frustration[k])
        lanes.step[k] = u32(step)
        lanes.mastery_sum[k] = total
        lanes.finished[k] = reason != NONE
        out.reward[k] = f64(floats[REWARD + i])
        out.reason[k] = i8(reason)
        out.terminated[k] = (reason != NONE) & (reason != STEP_LIMIT)
        out.truncated[k] = reason == STEP_LIMIT
        out.live[k] = True


@phase
def scatter(lanes: Population, scratch: Scratch, num_los: int, first: int, count: int) -> None:
    """Write the block's learners to what is observed of their lanes."""
    floats, ints, last = scratch.floats, scratch.ints, u64(num_los)
    for i in range(count):
        k = u64(first + i)
        row = k * (last + u64(2))
        lanes.rows[row + u64(ints[OUTCOME + i])] = floats[AFTER + i]
        lanes.rows[row + last] = lanes.frustration[k]
        lanes.rows[row + last + u64(1)] = floats[OBSERVED_TIME + i]


@phase
def record(
    happened: Interaction, table: ItemTable, lanes: Population, scratch: Scratch, first: int, count: int
) -> None:
    """Note what happened in the block's lanes."""
    wide_vectors()
    floats, ints = scratch.floats, scratch.ints
    for i in range(count):
        k = u64(first + i)
        happened.item[k] = table.item[u64(ints[SLOT + i])]
        happened.correct[k] = ints[CORRECT + i] != I0
        happened.gain[k] = floats[GAIN + i]
        happened.seconds[k] = lanes.response_time[k] if ints[QUESTION + i] != I0 else NAN
        happened.frustration[k] = lanes.frustration[k]
        happened.fail_streak[k] = lanes.fail_streak[k]
        happened.ability[k] = lanes.ability[k]
        happened.step[k] = i32(lanes.step[k])
    for i in range(count):
        k = u64(first + i)
        happened.mastery_sum[k] = lanes.mastery_sum[k]


@phase
def count_responses(max_steps: i32, num_los: int, lanes: Population, scratch: Scratch, first: int, count: int) -> None:
    """Bring the lanes' observed responses (clause S8.2) up to date."""
    floats, ints, los = scratch.floats, scratch.ints, u64(num_los)
    for i in range(count):
        k = u64(first + i)
        lo = u64(ints[OUTCOME + i])
        cell = k * los + lo
        row = k * (u64(2) * los + u64(2))
        asked = i32(lanes.asked[cell] + ints[QUESTION + i])
        right = i32(lanes.right[cell] + ints[CORRECT + i])
        lanes.asked[cell] = asked
        lanes.right[cell] = right
        lanes.responses[row + lo] = share_asked(asked, max_steps)
        lanes.responses[row + los + lo] = share_correct(right, asked)
        lanes.responses[row + u64(2) * los] = lanes.frustration[k]
        lanes.responses[row + u64(2) * los + u64(1)] = floats[OBSERVED_TIME + i]


@phase
def copy_observation(rows: Floats, observation: Floats, start: int, stop: int) -> None:
    """Copy entries start … stop - 1 of what is observed."""
    for cell in range(start, stop):
        observation[u64(cell)] = rows[u64(cell)]


@phase
def list_finished(finished: Bools, listed: Longs, already: int, first: int, count: int) -> int:
    """Append to the `already` listed lanes those of the block that are finished; returns how many are listed now."""
    many = already
    for i in range(count):
        k = u64(first + i)
        listed[u64(many)] = i64(k)
        many += int(finished[k])
    return many


@rule
def begin_listed(w: Any, out: Output, count: int, width: int, mode: int) -> None:
    """Begin the next episode of the first `count` lanes listed.

    Under NEXT_STEP that is their step: what their block computed for them is overwritten. Under SAME_STEP
    their last observation is kept first.
    """
    lanes, listed = w.population, w.scratch.listed
    rows = lanes.responses if len(lanes.responses) > 0 else lanes.rows
    if mode == SAME_STEP:
        for j in range(count):
            copy_observation(rows, out.final, listed[j] * width, (listed[j] + 1) * width)
    begin_next(w, listed, 0, count)
    if mode == NEXT_STEP:
        clear_output(out, listed, count)
    if len(out.observation) > 0:
        for j in range(count):
            copy_observation(rows, out.observation, listed[j] * width, (listed[j] + 1) * width)


@phase
def clear_output(out: Output, listed: Longs, count: int) -> None:
    """Hand out of lanes that took no step: nothing earned, nothing ended."""
    for j in range(count):
        k = u64(listed[j])
        out.reward[k] = f64(0)
        out.reason[k] = i8(NONE)
        out.terminated[k] = False
        out.truncated[k] = False
        out.live[k] = False


@phase
def invalid(lanes: Population, actions: Longs, num_actions: u64, ignore_finished: bool, start: int, stop: int) -> int:
    """Return the first lane of start … stop - 1 whose action is not in [0, num_actions), or -1.

    ignore_finished  whatever is said to a finished lane will do
    """
    wide_vectors()
    wrong = i64(0)
    for k in range(start, stop):
        # As an unsigned number, a negative action is a huge one.
        beyond = u64(actions[u64(k)]) >= num_actions
        wrong |= i64(beyond & (not (ignore_finished & lanes.finished[u64(k)])))
    if wrong != 0:
        for k in range(start, stop):
            if u64(actions[u64(k)]) >= num_actions and not (ignore_finished and lanes.finished[u64(k)]):
                return k
    return -1


@rule
def step_lanes(w: Any, actions: Longs, out: Output, start: int, stop: int, mode: int) -> int:
    """Take lanes start … stop - 1 one interaction further; returns how many were begun anew, or as `step` does."""
    lanes, items, scratch, num_los = w.population, w.items, w.scratch, w.scale.num_los
    parameters, weights, limits, max_time = w.parameters, w.weights, w.termination, w.scale.max_time
    happened, listed = w.interaction, scratch.listed
    responses, recorded, copies = len(lanes.responses) > 0, len(happened.item) > 0, len(out.observation) > 0
    rows, width = (lanes.responses, 2 * num_los + 2) if responses else (lanes.rows, num_los + 2)
    finished, begun = 0, 0
    for first in range(start, stop, BLOCK):
        count = min(BLOCK, stop - first)
        draw(lanes, scratch, first, count)
        gather(lanes, items, num_los, scratch, actions, first, count)
        advance(parameters, weights, max_time, lanes, scratch, first, count)
        if mode == NEXT_STEP:
            finished = list_finished(lanes.finished, listed, finished, first, count)
        finish(limits, num_los, lanes, scratch, out, first, count)
        if mode != NEXT_STEP:
            finished = list_finished(lanes.finished, listed, finished, first, count)
        scatter(lanes, scratch, num_los, first, count)
        if responses:
            count_responses(limits.max_steps, num_los, lanes, scratch, first, count)
        if recorded:
            record(happened, items, lanes, scratch, first, count)
        if copies:
            copy_observation(rows, out.observation, first * width, (first + count) * width)
        if finished + BLOCK > MOST_LISTED or first + BLOCK >= stop:
            if mode != DISABLED and finished > 0:
                begin_listed(w, out, finished, width, mode)
            begun += finished
            finished = 0
    return begun


@kernel
def step(world: Any, actions: Longs, output: Any, start: int, stop: int, mode: int) -> int:
    """Take lanes start … stop - 1 one interaction further.

    actions  (N,) int64; of a lane that NEXT_STEP begins anew they are not looked at
    output   an Output, or a reference to one, written in those lanes
    mode     NEXT_STEP, SAME_STEP or DISABLED

    Returns how many lanes were begun anew or, under DISABLED, how many episodes are over now; if the action of
    a lane k does not exist, -1 - k for the first such lane, and nothing has changed.
    """
    w, out = borrow(world), borrow(output)
    wrong = invalid(w.population, actions, u64(len(w.items.first)), mode == NEXT_STEP, start, stop)
    if wrong >= 0:
        return -1 - wrong
    return step_lanes(w, actions, out, start, stop, mode)


@kernel
def step_shared(
    world: Any,
    actions: Longs,
    output: Any,
    edges: Longs,
    counters: Longs,
    generation: Longs,
    step_number: int,
    me: int,
    mode: int,
) -> bool:
    """Take part in a step that T threads share: chunk after chunk of one's own lanes, then of the others'.

    world     with a scratch of the thread's own
    actions   (N,) int64, valid
    edges     (T + 1,) where each thread's lanes begin, and N
    counters  (T + 2,) int64, zero at first, of this step alone: lanes given out of each thread's, then lanes done
              and what `step` returns
    generation      (1,) int64, steps that were shared so far; thread 0 rings it
    step_number      number of this step, from 1
    me        0 … T - 1

    Thread 0 returns when all lanes are done, or False if others still have some in hand after a while. The
    others wait a while for the next step: not in Python, whose lock thread 0 holds in between.
    """
    w, out = borrow(world), borrow(output)
    threads, lanes = len(edges) - 1, len(actions)
    done, result = threads, threads + 1
    while me == 0 and fetch_add(generation, 0, 0) < step_number:
        fetch_add(generation, 0, 1)
    for k in range(threads):
        whose = (me + k) % threads
        start = edges[whose] + fetch_add(counters, whose, CHUNK)
        while start < edges[whose + 1]:
            stop = min(start + CHUNK, edges[whose + 1])
            fetch_add(counters, result, step_lanes(w, actions, out, start, stop, mode))
            fetch_add(counters, done, stop - start)
            start = edges[whose] + fetch_add(counters, whose, CHUNK)
    for _ in range(SPIN_LIMIT):
        if fetch_add(counters, done, 0) == lanes if me == 0 else fetch_add(generation, 0, 0) > step_number:
            return True
    return False


@kernel
def begin_lanes(world: Any, lanes: Longs) -> None:
    """Start the learners in `lanes` (M,) as their key, learner and episode say."""
    begin(borrow(world), lanes, 0, len(lanes))


@phase
def move(values: Any, these: Longs, target: Any, there: Longs, width: int) -> None:
    """Copy rows of `width` entries: those at `these` of one array to those at `there` of another."""
    for j in range(len(these)):
        source, place = u64(these[j]) * u64(width), u64(there[j]) * u64(width)
        for c in range(width):
            target[place + u64(c)] = values[source + u64(c)]


@kernel
def move_lanes(source: Any, these: Longs, target: Any, there: Longs) -> None:
    """Copy the learners in lanes `these` (M,) of one world to lanes `there` (M,) of another of the same rules."""
    num_los = borrow(source).scale.num_los
    a, b = borrow(source).population, borrow(target).population
    move(a.rows, these, b.rows, there, num_los + 2)
    move(a.ability, these, b.ability, there, 1)
    move(a.frustration, these, b.frustration, there, 1)
    move(a.response_time, these, b.response_time, there, 1)
    move(a.fail_streak, these, b.fail_streak, there, 1)
    move(a.mastery_sum, these, b.mastery_sum, there, 1)
    move(a.key, these, b.key, there, 1)
    move(a.learner, these, b.learner, there, 1)
    move(a.episode, these, b.episode, there, 1)
    move(a.step, these, b.step, there, 1)
    move(a.finished, these, b.finished, there, 1)
    if len(a.responses) > 0:
        move(a.asked, these, b.asked, there, num_los)
        move(a.right, these, b.right, there, num_los)
        move(a.responses, these, b.responses, there, 2 * num_los + 2)


@kernel
def first_unfit(lanes: Longs, marked: Bools) -> int:
    """Return the first place in `lanes` (M,) whose lane does not exist or was named before, or -1.

    marked  (N,), all False, and so again on return
    """
    fit = 0
    while fit < len(lanes) and u64(lanes[fit]) < u64(len(marked)) and not marked[u64(lanes[fit])]:
        marked[u64(lanes[fit])] = True
        fit += 1
    for j in range(fit):
        marked[u64(lanes[j])] = False
    return -1 if fit == len(lanes) else fit


@kernel
def first_invalid(world: Any, actions: Longs, ignore_finished: bool) -> int:
    """Return the first lane whose action does not exist, or -1; finished lanes count on request."""
    w = borrow(world)
    return invalid(w.population, actions, u64(len(w.items.first)), ignore_finished, 0, len(actions))


__all__ = [
    "DISABLED",
    "NEXT_STEP",
    "SAME_STEP",
    "begin_lanes",
    "first_invalid",
    "first_unfit",
    "move_lanes",
    "step",
    "step_shared",
]
