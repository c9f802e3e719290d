"""The batch loop: every learner one interaction further, in blocks that fit in the L1 cache.

A step goes draw -> gather, load -> advance -> store, scatter -> hand out, and begins the lanes that ended
anew. Gather and scatter move data between the arrays of all lanes and the contiguous rows of one block;
`advance` is then a loop over those rows that calls the rules of one learner, and vectorises. No formula of
the simulator stands here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from alsim._jit import kernel, rule
from alsim.actions import LEVELS
from alsim.dynamics import transition
from alsim.ending import NONE, STEP_LIMIT, ending
from alsim.numerics.philox import WORD_BITS, philox
from alsim.numerics.variates import below, normal, uniform
from alsim.observed import observed_time, share_asked, share_correct
from alsim.reward import reward
from alsim.start import begin, begin_next
from alsim.types import (
    BLOCK,
    Draws,
    Item,
    Learner,
    Longs,
    Output,
    Purpose,
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
WORD_ROWS = 4
(ANSWER, NOISE, MASTERY, ABILITY, FRUSTRATION, RESPONSE_TIME, A, B, C, TIME_MEAN, TIME_STD, EFFECTIVENESS, IMPACT,
 GAIN, REWARD, OBSERVED_TIME) = (k * BLOCK for k in range(16))  # fmt: skip
FLOAT_ROWS = 16
FAIL_STREAK, QUESTION, HARD, CORRECT, STEP, REASON, OUTCOME, SLOT, DONE = (k * BLOCK for k in range(9))
INT_ROWS = 9
MASTERY_SUM = 0
DOUBLE_ROWS = 1


@rule
def draw(w: Any, first: int, count: int) -> None:
    """Draw what each lane's interaction needs, from the counter (step, episode, learner, INTERACTION)."""
    lanes, words, floats = w.population, w.scratch.words, w.scratch.floats
    for i in range(count):
        k = first + i
        key = lanes.key[k]
        w0, w1, w2, w3 = philox(
            lanes.step[k], lanes.episode[k], lanes.learner[k], INTERACTION, u32(key), u32(key >> WORD_BITS)
        )
        words[WORD_0 + i] = w0
        words[WORD_1 + i] = w1
        words[WORD_2 + i] = w2
        words[WORD_3 + i] = w3
    for i in range(count):
        floats[ANSWER + i] = uniform(words[WORD_0 + i])
        floats[NOISE + i] = normal(words[WORD_1 + i], words[WORD_3 + i])


@rule
def gather(w: Any, actions: Longs, first: int, count: int) -> None:
    """Bring each lane's learner and item into the block's rows; a finished lane's action is not looked at."""
    table, lanes, words, floats, ints = w.items, w.population, w.scratch.words, w.scratch.floats, w.scratch.ints
    width, questions = u64(w.scale.num_los + 2), u64(LEVELS * w.scale.num_los)
    # Unsigned indices spare numba's wrap-around test: a third of this loop.
    for i in range(count):
        k = u64(first + i)
        action = u64(0 if lanes.finished[k] else actions[k])
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


@rule
def load(w: Any, first: int, count: int) -> None:
    """Bring what each lane holds one of into the block's rows: two arrays a loop, so that each is a copy."""
    lanes, floats, ints, doubles = w.population, w.scratch.floats, w.scratch.ints, w.scratch.doubles
    ability, frustration, response_time = lanes.ability, lanes.frustration, lanes.response_time
    fail_streak, step_count, mastery_sum = lanes.fail_streak, lanes.step, lanes.mastery_sum
    for i in range(count):
        floats[ABILITY + i] = ability[first + i]
    for i in range(count):
        floats[FRUSTRATION + i] = frustration[first + i]
    for i in range(count):
        floats[RESPONSE_TIME + i] = response_time[first + i]
    for i in range(count):
        ints[FAIL_STREAK + i] = fail_streak[first + i]
    for i in range(count):
        ints[STEP + i] = i32(step_count[first + i])
    for i in range(count):
        doubles[MASTERY_SUM + i] = mastery_sum[first + i]


@rule
def advance(w: Any, count: int) -> None:
    """Take each of the block's learners through its interaction."""
    floats, ints, doubles = w.scratch.floats, w.scratch.ints, w.scratch.doubles
    parameters, weights, limits = w.parameters, w.weights, w.termination
    num_los = f64(w.scale.num_los)
    for i in range(count):
        learner = Learner(
            mastery=floats[MASTERY + i],
            ability=floats[ABILITY + i],
            frustration=floats[FRUSTRATION + i],
            response_time=floats[RESPONSE_TIME + i],
            fail_streak=ints[FAIL_STREAK + i],
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
        step = i32(ints[STEP + i] + I1)
        total = doubles[MASTERY_SUM + i] + (f64(after.mastery) - f64(learner.mastery))
        floats[MASTERY + i] = after.mastery
        floats[ABILITY + i] = after.ability
        floats[FRUSTRATION + i] = after.frustration
        floats[RESPONSE_TIME + i] = after.response_time
        ints[FAIL_STREAK + i] = after.fail_streak
        floats[GAIN + i] = outcome.gain
        ints[CORRECT + i] = I1 if outcome.correct else I0
        floats[REWARD + i] = reward(weights, item, outcome, after)
        doubles[MASTERY_SUM + i] = total
        ints[STEP + i] = step
        ints[REASON + i] = ending(limits, total / num_los, step, after.frustration)


@rule
def store(w: Any, first: int, count: int) -> None:
    """Write back what each lane holds one of."""
    lanes, floats, ints, doubles = w.population, w.scratch.floats, w.scratch.ints, w.scratch.doubles
    ability, frustration, response_time = lanes.ability, lanes.frustration, lanes.response_time
    fail_streak, step_count, mastery_sum = lanes.fail_streak, lanes.step, lanes.mastery_sum
    for i in range(count):
        ability[first + i] = floats[ABILITY + i]
    for i in range(count):
        frustration[first + i] = floats[FRUSTRATION + i]
    for i in range(count):
        response_time[first + i] = floats[RESPONSE_TIME + i]
    for i in range(count):
        fail_streak[first + i] = ints[FAIL_STREAK + i]
    for i in range(count):
        step_count[first + i] = u32(ints[STEP + i])
    for i in range(count):
        mastery_sum[first + i] = doubles[MASTERY_SUM + i]


@rule
def scatter(w: Any, first: int, count: int) -> None:
    """Write the block's learners to what is observed of their lanes, and what happened, if anybody asks."""
    lanes, floats, ints, happened = w.population, w.scratch.floats, w.scratch.ints, w.interaction
    rows, responses, record = lanes.rows, len(lanes.responses) > 0, len(happened.item) > 0
    num_los = u64(w.scale.num_los)
    width = num_los + u64(2)
    longest = w.scale.max_time
    for i in range(count):
        floats[OBSERVED_TIME + i] = observed_time(floats[RESPONSE_TIME + i], longest)
    for i in range(count):
        row = u64(first + i) * width
        rows[row + u64(ints[OUTCOME + i])] = floats[MASTERY + i]
        rows[row + num_los] = floats[FRUSTRATION + i]
        rows[row + num_los + u64(1)] = floats[OBSERVED_TIME + i]
    if responses:
        for i in range(count):
            tally(w, first + i, i)
    if record:
        for i in range(count):
            note(w, first + i, i)


@rule
def note(w: Any, k: int, i: int) -> None:
    """Note what happened to lane k, which is row i of the block."""
    happened, floats, ints = w.interaction, w.scratch.floats, w.scratch.ints
    happened.item[k] = w.items.item[ints[SLOT + i]]
    happened.correct[k] = ints[CORRECT + i] != I0
    happened.gain[k] = floats[GAIN + i]
    happened.seconds[k] = floats[RESPONSE_TIME + i] if ints[QUESTION + i] != I0 else NAN
    happened.frustration[k] = floats[FRUSTRATION + i]
    happened.fail_streak[k] = ints[FAIL_STREAK + i]
    happened.ability[k] = floats[ABILITY + i]
    happened.mastery_sum[k] = w.scratch.doubles[MASTERY_SUM + i]
    happened.step[k] = ints[STEP + i]


@rule
def tally(w: Any, k: int, i: int) -> None:
    """Bring lane k's observed responses (clause S8.2) up to date with row i of the block."""
    lanes, floats, ints, num_los = w.population, w.scratch.floats, w.scratch.ints, w.scale.num_los
    lo = ints[OUTCOME + i]
    cell = k * num_los + lo
    row = k * (2 * num_los + 2)
    lanes.asked[cell] = i32(lanes.asked[cell] + ints[QUESTION + i])
    lanes.right[cell] = i32(lanes.right[cell] + ints[CORRECT + i])
    lanes.responses[row + lo] = share_asked(lanes.asked[cell], w.termination.max_steps)
    lanes.responses[row + num_los + lo] = share_correct(lanes.right[cell], lanes.asked[cell])
    lanes.responses[row + 2 * num_los] = floats[FRUSTRATION + i]
    lanes.responses[row + 2 * num_los + 1] = floats[OBSERVED_TIME + i]


@rule
def begin_waiting(w: Any, first: int, count: int) -> int:
    """Begin the next episode of the lanes whose last one ended (NEXT_STEP); returns how many, listed in row DONE.

    What the block computed for them is overwritten: they took no step.
    """
    finished, floats, ints = w.population.finished, w.scratch.floats, w.scratch.ints
    waiting = 0
    for i in range(count):
        ints[DONE + waiting] = i32(i)
        waiting += int(finished[first + i])
    for j in range(waiting):
        i = int(ints[DONE + j])
        begin_next(w, first + i)
        floats[REWARD + i] = ZERO
        ints[REASON + i] = NONE
    return waiting


@rule
def hand_out(w: Any, out: Output, first: int, count: int, waiting: int) -> None:
    """Write what the block's lanes hand out; the `waiting` lanes of row DONE took no step."""
    floats, ints, finished = w.scratch.floats, w.scratch.ints, w.population.finished
    rewards, reasons, live = out.reward, out.reason, out.live
    terminated, truncated = out.terminated, out.truncated
    for i in range(count):
        rewards[first + i] = f64(floats[REWARD + i])
    for i in range(count):
        reasons[first + i] = i8(ints[REASON + i])
    for i in range(count):
        truncated[first + i] = ints[REASON + i] == STEP_LIMIT
    for i in range(count):
        terminated[first + i] = (ints[REASON + i] != NONE) & (ints[REASON + i] != STEP_LIMIT)
    for i in range(count):
        finished[first + i] = ints[REASON + i] != NONE
    for i in range(count):
        live[first + i] = True
    for j in range(waiting):
        live[first + i64(ints[DONE + j])] = False


@rule
def begin_ended(w: Any, out: Output, first: int, count: int) -> None:
    """Begin the next episode of the lanes that just ended one (SAME_STEP), after keeping their last observation."""
    lanes, ints = w.population, w.scratch.ints
    responses = len(lanes.responses) > 0
    width = 2 * w.scale.num_los + 2 if responses else w.scale.num_los + 2
    ended = 0
    for i in range(count):
        ints[DONE + ended] = i32(i)
        ended += int(ints[REASON + i] != NONE)
    for j in range(ended):
        k = first + int(ints[DONE + j])
        for cell in range(k * width, (k + 1) * width):
            out.final[cell] = lanes.responses[cell] if responses else lanes.rows[cell]
        begin_next(w, k)


@kernel
def step(w: Any, actions: Longs, out: Output, start: int, stop: int, mode: int) -> None:
    """Take lanes start … stop - 1 one interaction further.

    actions  (N,) int64, valid; of a lane that NEXT_STEP begins anew they are not looked at
    out      written in those lanes
    mode     NEXT_STEP, SAME_STEP or DISABLED
    """
    for first in range(start, stop, BLOCK):
        count = min(BLOCK, stop - first)
        draw(w, first, count)
        gather(w, actions, first, count)
        load(w, first, count)
        advance(w, count)
        store(w, first, count)
        scatter(w, first, count)
        waiting = begin_waiting(w, first, count) if mode == NEXT_STEP else 0
        hand_out(w, out, first, count, waiting)
        if mode == SAME_STEP:
            begin_ended(w, out, first, count)


@kernel
def begin_lanes(w: Any, lanes: Longs) -> None:
    """Start the learners in `lanes` (M,) as their key, learner and episode say."""
    for k in lanes:
        begin(w, k)


@kernel
def first_invalid(w: Any, actions: Longs, num_actions: int, ignore_finished: bool) -> int:
    """Return the first lane whose action is not in [0, num_actions), or -1; finished lanes count on request."""
    wrong = 0
    for k in range(len(actions)):
        action = 0 if (ignore_finished and w.population.finished[k]) else actions[k]
        wrong += int((action < 0) | (action >= num_actions))
    if wrong > 0:
        for k in range(len(actions)):
            action = 0 if (ignore_finished and w.population.finished[k]) else actions[k]
            if action < 0 or action >= num_actions:
                return k
    return -1


def scratch_sizes() -> tuple[int, int, int, int]:
    """Lengths of the scratch arrays of words, floats, ints and doubles."""
    return WORD_ROWS * BLOCK, FLOAT_ROWS * BLOCK, INT_ROWS * BLOCK, DOUBLE_ROWS * BLOCK


__all__ = ["DISABLED", "NEXT_STEP", "SAME_STEP", "begin_lanes", "first_invalid", "step"]
