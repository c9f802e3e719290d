"""Batch loop: advances every lane by one interaction, in blocks that fit in the L1 cache.

`interact` is the sequence of phases of one block. Draw and gather fill the contiguous rows of the block. `advance` is
then a loop over these rows and over the arrays of the learners; it calls the rules of one learner and vectorises. The
formulas are in `dynamics` and `mdp`. Phases for some dynamics only are in `own_state` and `clock`; for the others, they
are not compiled.

Indices are unsigned unless they are plain loop variables: numba lets a negative index count from the end, and the
test for it at every access keeps a loop from vectorising.
"""

from __future__ import annotations

from typing import Any

from alsim.dynamics.transition import transition
from alsim.jit.atomics import fetch_add
from alsim.jit.compile import COMPILED, fieldwise, lean_kernel, phase, rule, sequence, wide_vectors
from alsim.jit.references import borrow
from alsim.jit.structs import load_row, present_or, steps_of, store_row
from alsim.jit.transpose import transpose
from alsim.mdp.observation import observed_time, share_asked, share_correct
from alsim.mdp.reward import reward
from alsim.mdp.termination import NONE, STEP_LIMIT, ending
from alsim.numerics.philox import philox
from alsim.numerics.variates import below, normal, uniform
from alsim.simulator import clock, own_state
from alsim.simulator import reset as reset
from alsim.simulator.layout import (
    ACTION,
    AFTER,
    ANSWER,
    CORRECT,
    EFFECTIVENESS,
    FIRST,
    FLOAT_ROWS,
    GAIN,
    HARD,
    IMPACT,
    INT_ROWS,
    KIND,
    MASTERY,
    NOISE,
    OBSERVED_TIME,
    OUTCOME,
    QUESTION,
    REWARD,
    SIZE,
    SLOT,
    TIME_MEAN,
    TIME_STD,
    WORD_0,
    WORD_1,
    WORD_2,
    WORD_3,
    A,
    B,
    C,
)
from alsim.simulator.reset import begin_learners, begin_next
from alsim.types import (
    BLOCK,
    I0,
    I1,
    NAN,
    WORD_BITS,
    ZERO,
    Bools,
    Doubles,
    Draws,
    Floats,
    Interaction,
    Ints,
    Item,
    ItemTable,
    Learner,
    LearnerArrays,
    Longs,
    Output,
    Purpose,
    Scratch,
    Termination,
    Words,
    f32,
    f64,
    i8,
    i32,
    i64,
    u32,
    u64,
)

NEXT_STEP, SAME_STEP, DISABLED = 0, 1, 2
"""Modes of resetting a lane after the end of an episode, in the order of gymnasium.vector.AutoresetMode."""

INTERACTION = u32(Purpose.INTERACTION)

RESET_TOGETHER = 8
"""Number of finished lanes from which they are reset: enough to fill the vectors of a reset, and so few that the
lanes are still in the cache (decision 21)."""
MAX_LISTED = BLOCK + RESET_TOGETHER - 1
"""Capacity of the list of finished lanes."""

CHUNK = 16 * BLOCK
"""Lanes per work item of a thread, in a step that several threads share."""
SPIN_LIMIT = 20_000 if COMPILED else 1
"""Number of polls, about 10 ns each, before a waiting thread goes to sleep. Waking it takes 40 µs on virtual
processors, which is a tenth of a step of 65,536 learners."""


def scratch_sizes() -> tuple[int, int, int, int]:
    """Return the lengths of the scratch arrays of words, floats, integers and listed lanes."""
    return (
        reset.WORD_ROWS * BLOCK,
        max(FLOAT_ROWS, reset.FLOAT_ROWS) * BLOCK,
        max(INT_ROWS, reset.INT_ROWS) * BLOCK,
        MAX_LISTED,
    )


@phase
def draw_words(lanes: LearnerArrays, words: Words, purpose: u32, first: int, count: int) -> None:
    """Draw four random words for each lane of the block, from the counter (step, episode, learner, purpose)."""
    wide_vectors()
    for i in range(count):
        k = u64(first + i)
        key = lanes.key[k]
        w0, w1, w2, w3 = philox(
            lanes.step[k], lanes.episode[k], lanes.learner[k], purpose, u32(key), u32(key >> WORD_BITS)
        )
        words[WORD_0 + i] = w0
        words[WORD_1 + i] = w1
        words[WORD_2 + i] = w2
        words[WORD_3 + i] = w3


@phase
def draw(lanes: LearnerArrays, scratch: Scratch, first: int, count: int) -> None:
    """Draw the random numbers of the interaction of each lane of the block."""
    wide_vectors()
    words, floats = scratch.words, scratch.floats
    draw_words(lanes, words, INTERACTION, first, count)
    # The widest type in a loop decides how many lanes fit in a vector: Philox multiplies in 64 bits, this loop in 32.
    for i in range(count):
        floats[ANSWER + i] = uniform(words[WORD_0 + i])
        floats[NOISE + i] = normal(words[WORD_1 + i], words[WORD_3 + i])


@phase
def read_actions(lanes: LearnerArrays, num_actions: int, ints: Ints, actions: Longs, first: int, count: int) -> None:
    """Write the action of each lane to the row of the block; a finished lane takes action 0."""
    wide_vectors()
    last = u64(num_actions - 1)
    for i in range(count):
        k = u64(first + i)
        # The actions have been validated, but another thread of the caller may have changed them since.
        ints[ACTION + i] = i32(min(u64(0 if lanes.finished[k] else actions[k]), last))


@phase
def pick_items(words: Words, ints: Ints, count: int) -> None:
    """Pick an item of each cell at random."""
    wide_vectors()
    for i in range(count):
        ints[QUESTION + i] = ints[KIND + i] & I1
        ints[HARD + i] = ints[KIND + i] >> I1
        ints[SLOT + i] = ints[FIRST + i] + i32(below(words[WORD_2 + i], u32(ints[SIZE + i])))


@rule
def gather(
    lanes: LearnerArrays, table: ItemTable, num_los: int, scratch: Scratch, actions: Longs, first: int, count: int
) -> None:
    """Copy each lane's item, and the mastery of its LO, into the rows of the block.

    Records are read one by one, and transposed. In a vectorised loop over the lanes, the compiler would use gather
    instructions, which are slow on some processors (decision 21). A rule, not a phase: since its arrays may overlap,
    the loop over masteries is not vectorised.
    """
    words, floats, ints, width = scratch.words, scratch.floats, scratch.ints, u64(num_los + 2)
    whole = -(-count // 8) * 8
    read_actions(lanes, len(table.cells), ints, actions, first, count)
    for i in range(count, whole):
        ints[ACTION + i] = I0
    for i in range(0, whole, 4):
        transpose(table.cells, ints, ACTION + i, ints, FIRST + i, BLOCK)
    pick_items(words, ints, whole)
    for i in range(0, whole, 8):
        transpose(table.slots, ints, SLOT + i, floats, A + i, BLOCK)
    for i in range(count):
        floats[MASTERY + i] = lanes.rows[u64(first + i) * width + u64(ints[OUTCOME + i])]


@phase
def advance(
    parameters: Any, weights: Any, max_time: f32, lanes: LearnerArrays, scratch: Scratch, first: int, count: int
) -> None:
    """Apply the rules and the reward to each lane of the block; the new mastery stays in the block's rows."""
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
            lo_state=load_row(scratch.lo_state, u64(i)),
            learner_state=load_row(lanes.learner_state, k),
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
            unready=present_or(load_row(scratch.unready, u64(i)), ZERO),
            hours=clock.hours_of(lanes.hours, k),
        )
        draws = Draws(answer=floats[ANSWER + i], noise=floats[NOISE + i], further=load_row(scratch.further, u64(i)))
        after, outcome = transition(load_row(parameters, k), learner, item, draws)
        lanes.ability[k] = after.ability
        lanes.frustration[k] = after.frustration
        lanes.response_time[k] = after.response_time
        lanes.fail_streak[k] = after.fail_streak
        store_row(scratch.lo_state, u64(i), after.lo_state)
        store_row(lanes.learner_state, k, after.learner_state)
        clock.note_seconds(lanes.hours, floats, i, after.response_time if item.is_question else item.response_time_mean)
        floats[AFTER + i] = after.mastery
        floats[GAIN + i] = outcome.gain
        floats[REWARD + i] = reward(weights, item, outcome, after)
        floats[OBSERVED_TIME + i] = observed_time(after.response_time, max_time)
        ints[CORRECT + i] = I1 if outcome.correct else I0


@phase
def finish(
    limits: Termination, num_los: int, lanes: LearnerArrays, scratch: Scratch, out: Output, first: int, count: int
) -> None:
    """Count the interaction, determine whether it ends the episode, and write reward and flags."""
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
def scatter(lanes: LearnerArrays, scratch: Scratch, num_los: int, first: int, count: int) -> None:
    """Write the state after the interaction into the observation rows of the lanes."""
    floats, ints, last = scratch.floats, scratch.ints, u64(num_los)
    for i in range(count):
        k = u64(first + i)
        row = k * (last + u64(2))
        lanes.rows[row + u64(ints[OUTCOME + i])] = floats[AFTER + i]
        lanes.rows[row + last] = lanes.frustration[k]
        lanes.rows[row + last + u64(1)] = floats[OBSERVED_TIME + i]


@phase
def record(
    interaction: Interaction, table: ItemTable, lanes: LearnerArrays, scratch: Scratch, first: int, count: int
) -> None:
    """Record the interaction of each lane of the block."""
    wide_vectors()
    floats, ints = scratch.floats, scratch.ints
    for i in range(count):
        k = u64(first + i)
        interaction.item[k] = table.slots[u64(ints[SLOT + i])]["item"]
        interaction.correct[k] = ints[CORRECT + i] != I0
        interaction.gain[k] = floats[GAIN + i]
        interaction.seconds[k] = lanes.response_time[k] if ints[QUESTION + i] != I0 else NAN
        interaction.frustration[k] = lanes.frustration[k]
        interaction.fail_streak[k] = lanes.fail_streak[k]
        interaction.ability[k] = lanes.ability[k]
        interaction.step[k] = i32(lanes.step[k])
    for i in range(count):
        k = u64(first + i)
        interaction.mastery_sum[k] = lanes.mastery_sum[k]


@phase
def count_responses(
    max_steps: i32, num_los: int, lanes: LearnerArrays, scratch: Scratch, first: int, count: int
) -> None:
    """Update the response counts and the observation S8.2 of each lane of the block."""
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
    """Copy entries start … stop - 1 of the observations."""
    for cell in range(start, stop):
        observation[u64(cell)] = rows[u64(cell)]


@phase
def list_finished(finished: Bools, listed: Longs, already: int, first: int, count: int) -> int:
    """Append the finished lanes of the block to the first `already` entries of `listed`; return their new number."""
    number = already
    for i in range(count):
        k = u64(first + i)
        listed[u64(number)] = i64(k)
        number += int(finished[k])
    return number


@sequence
def reset_listed(w: Any, out: Output, count: int, mode: int) -> None:
    """Begin the next episode in the first `count` listed lanes.

    Under NEXT_STEP, the reset replaces their step: the results that the block computed for them are overwritten. Under
    SAME_STEP, the last observation of the episode is copied to `out.final` first.
    """
    listed = w.scratch.listed
    rows, width = observation_rows(w)
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
    """Set the outputs of lanes that were reset instead of stepped: reward 0, no flag, not live."""
    for j in range(count):
        k = u64(listed[j])
        out.reward[k] = f64(0)
        out.reason[k] = i8(NONE)
        out.terminated[k] = False
        out.truncated[k] = False
        out.live[k] = False


@phase
def invalid(
    lanes: LearnerArrays, actions: Longs, num_actions: u64, ignore_finished: bool, start: int, stop: int
) -> int:
    """Return the first lane of start … stop - 1 whose action is not in [0, num_actions), or -1.

    ignore_finished  whether to accept any action in a lane whose episode has ended
    """
    wide_vectors()
    any_invalid = i64(0)
    for k in range(start, stop):
        # As an unsigned number, a negative action is a very large one.
        beyond = u64(actions[u64(k)]) >= num_actions
        any_invalid |= i64(beyond & (not (ignore_finished & lanes.finished[u64(k)])))
    if any_invalid != 0:
        for k in range(start, stop):
            if u64(actions[u64(k)]) >= num_actions and not (ignore_finished and lanes.finished[u64(k)]):
                return k
    return -1


@sequence
def observation_rows(w: Any) -> tuple[Floats, int]:
    """Return the array of observations of all lanes, and the entries per lane."""
    num_los = w.scale.num_los
    if len(w.learners.responses) > 0:
        return w.learners.responses, 2 * num_los + 2
    return w.learners.rows, num_los + 2


before_advance = steps_of(
    ("scratch.further", own_state.draw_further),
    ("scratch.lo_state", own_state.load_lo_state),
    ("scratch.unready", own_state.load_parents),
)
after_advance = steps_of(
    ("scratch.lo_state", own_state.store_lo_state),
    ("learners.hours", clock.advance_clock),
    ("observed_after_each", clock.observe_after_each),  # it decides whether the episode ends, and no break follows
    ("sessions", clock.take_breaks),
    ("observed_after_breaks", clock.observe_after_breaks),
    ("recall", clock.reward_recall),
)


@sequence
def interact(w: Any, actions: Longs, out: Output, first: int, count: int) -> None:
    """Advance the lanes first … first + count - 1, at most a block, by one interaction.

    The block's rows in `w.scratch` keep the details of the interaction until the next call.
    """
    lanes, scratch, num_los = w.learners, w.scratch, w.scale.num_los
    draw(lanes, scratch, first, count)
    gather(lanes, w.items, num_los, scratch, actions, first, count)
    before_advance(w, first, count)
    parameters = present_or(lanes.parameters, w.parameters)
    advance(parameters, w.weights, w.scale.max_time, lanes, scratch, first, count)
    scatter(lanes, scratch, num_los, first, count)
    after_advance(w, first, count)
    finish(w.termination, num_los, lanes, scratch, out, first, count)
    if len(lanes.responses) > 0:
        count_responses(w.termination.max_steps, num_los, lanes, scratch, first, count)


@sequence
def step_lanes(w: Any, actions: Longs, out: Output, start: int, stop: int, mode: int) -> int:
    """Advance lanes start … stop - 1 by one interaction.

    Returns the number of lanes that were reset or, under DISABLED, of lanes whose episode has ended.
    """
    lanes, listed = w.learners, w.scratch.listed
    recorded, copies = len(w.interaction.item) > 0, len(out.observation) > 0
    rows, width = observation_rows(w)
    finished, begun = 0, 0
    for first in range(start, stop, BLOCK):
        count = min(BLOCK, stop - first)
        if mode == NEXT_STEP:
            finished = list_finished(lanes.finished, listed, finished, first, count)
        interact(w, actions, out, first, count)
        if mode != NEXT_STEP:
            finished = list_finished(lanes.finished, listed, finished, first, count)
        if recorded:
            record(w.interaction, w.items, lanes, w.scratch, first, count)
        if copies:
            copy_observation(rows, out.observation, first * width, (first + count) * width)
        if finished >= RESET_TOGETHER or first + BLOCK >= stop:
            if mode != DISABLED and finished > 0:
                reset_listed(w, out, finished, mode)
            begun += finished
            finished = 0
    return begun


@lean_kernel
def step(world: Any, actions: Longs, output: Any, start: int, stop: int, mode: int) -> int:
    """Advance lanes start … stop - 1 by one interaction.

    actions  (N,) int64; ignored in a lane that NEXT_STEP resets
    output   an Output, or a reference to one; the entries of these lanes are written
    mode     NEXT_STEP, SAME_STEP or DISABLED

    Returns the number of lanes that were reset or, under DISABLED, of lanes whose episode has ended. If an action
    is invalid, returns -1 - k for the first such lane k, and nothing has changed.
    """
    w, out = borrow(world), borrow(output)
    lane = invalid(w.learners, actions, u64(len(w.items.cells)), mode == NEXT_STEP, start, stop)
    if lane >= 0:
        return -1 - lane
    return step_lanes(w, actions, out, start, stop, mode)


@lean_kernel
def step_shared(
    world: Any,
    actions: Longs,
    output: Any,
    edges: Longs,
    counters: Longs,
    generation: Longs,
    step_number: int,
    thread: int,
    mode: int,
) -> bool:
    """Work on a step that T threads share: first on chunks of this thread's lanes, then on chunks of other lanes.

    world        with scratch arrays that no other thread uses
    actions      (N,) int64, valid
    edges        (T + 1,) first lane of each thread, then N
    counters     (T + 2,) int64 of this step, initially 0: the number of lanes assigned from each thread's part, the
                 number of lanes that are done, and the value that `step` returns
    generation   (1,) int64, number of shared steps so far; thread 0 increments it
    step_number  number of this step, from 1
    thread       index of this thread, 0 … T - 1

    Returns True in thread 0 when all lanes are done, and False if other threads still work after SPIN_LIMIT polls.
    The other threads poll for the next step without the GIL, which thread 0 holds between two steps.
    """
    w, out = borrow(world), borrow(output)
    threads, lanes = len(edges) - 1, len(actions)
    done, result = threads, threads + 1
    while thread == 0 and fetch_add(generation, 0, 0) < step_number:
        fetch_add(generation, 0, 1)
    for k in range(threads):
        owner = (thread + k) % threads
        start = edges[owner] + fetch_add(counters, owner, CHUNK)
        while start < edges[owner + 1]:
            stop = min(start + CHUNK, edges[owner + 1])
            fetch_add(counters, result, step_lanes(w, actions, out, start, stop, mode))
            fetch_add(counters, done, stop - start)
            start = edges[owner] + fetch_add(counters, owner, CHUNK)
    for _ in range(SPIN_LIMIT):
        if fetch_add(counters, done, 0) == lanes if thread == 0 else fetch_add(generation, 0, 0) > step_number:
            return True
    return False


@lean_kernel
def retention_of(world: Any, lanes: Longs, out: Doubles) -> None:
    """Write the delayed retention of all lanes (N,), if the dynamics says what is observed of mastery (S13.3)."""
    w = borrow(world)
    clock.recall_later(w.retention, w, lanes, len(lanes), lanes, out)


@lean_kernel
def begin_lanes(world: Any, lanes: Longs) -> None:
    """Start the episodes of `lanes` (M,) that their key, learner and episode number determine."""
    begin_learners(borrow(world), lanes, 0, len(lanes))


@phase
def move_rows(values: Any, target: Any, lanes: Longs, target_lanes: Longs, num_lanes: int) -> None:
    """Copy the entries of `lanes` in an array of `num_lanes` lanes to `target_lanes` of another array."""
    width = u64(len(values) // num_lanes)
    for j in range(len(lanes)):
        source, place = u64(lanes[j]) * width, u64(target_lanes[j]) * width
        for c in range(width):
            target[place + u64(c)] = values[source + u64(c)]


move_fields = fieldwise(move_rows)


@lean_kernel
def move_lanes(source: Any, lanes: Longs, target: Any, target_lanes: Longs) -> None:
    """Copy the learners in `lanes` (M,) of one world to `target_lanes` (M,) of another world with the same rules."""
    a, b = borrow(source).learners, borrow(target).learners
    move_fields((a, b), lanes, target_lanes, len(a.key))


@lean_kernel
def first_unfit(lanes: Longs, marked: Bools) -> int:
    """Return the index of the first entry of `lanes` (M,) that does not exist or occurred before, or -1.

    marked  (N,), all False, before the call and after it
    """
    num_valid = 0
    while num_valid < len(lanes) and u64(lanes[num_valid]) < u64(len(marked)) and not marked[u64(lanes[num_valid])]:
        marked[u64(lanes[num_valid])] = True
        num_valid += 1
    for j in range(num_valid):
        marked[u64(lanes[j])] = False
    return -1 if num_valid == len(lanes) else num_valid


@lean_kernel
def first_invalid(world: Any, actions: Longs, ignore_finished: bool) -> int:
    """Return the first lane whose action is invalid, or -1.

    ignore_finished  whether to accept any action in a lane whose episode has ended
    """
    w = borrow(world)
    return invalid(w.learners, actions, u64(len(w.items.cells)), ignore_finished, 0, len(actions))


__all__ = [
    "DISABLED",
    "NEXT_STEP",
    "SAME_STEP",
    "begin_lanes",
    "first_invalid",
    "first_unfit",
    "move_lanes",
    "retention_of",
    "step",
    "step_shared",
]
