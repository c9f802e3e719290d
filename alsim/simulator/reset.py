"""Start of episodes (clauses S1.1 to S1.3): the initial state of a lane, from its key, learner and episode."""

from __future__ import annotations

from typing import Any

from alsim.jit.compile import fieldwise, phase, sequence, wide_vectors
from alsim.jit.structs import load_row, present_or, steps_of
from alsim.mdp.observation import share_asked, share_correct
from alsim.numerics.beta import beta_segment, beta_value
from alsim.numerics.philox import philox
from alsim.numerics.variates import normal
from alsim.simulator import clock, own_state, population
from alsim.simulator.fields import LEARNER_FIELDS
from alsim.types import (
    BLOCK,
    I0,
    U0,
    U1,
    WORD_BITS,
    ZERO,
    Floats,
    LearnerArrays,
    Longs,
    Purpose,
    Scratch,
    f64,
    i32,
    i64,
    u32,
    u64,
)

BLOCK_SHIFT = u32(16)
START = u32(Purpose.START)

WORDS_FOR_ABILITY = 2

# Offset of each row in the scratch arrays, with one entry per counter: words of the counters, then random words.
PURPOSE, EPISODE, LEARNER, KEY_LOW, KEY_HIGH, WORD = (k * BLOCK for k in range(6))
WORD_ROWS = 6 + 3
SEGMENT, INT_ROWS = 0, 4
INSIDE, VALUE, ABILITY, FLOAT_ROWS = 0, 4 * BLOCK, 8 * BLOCK, 9


draw_rows = steps_of(("rows", population.draw_rows))
draw_rows_again = steps_of(("rows", population.draw_rows_again))
load_starts = steps_of(("rows", population.load_starts))
reset_own_state = steps_of(
    ("learners.learner_state", own_state.reset_learner_state),
    ("learners.lo_state", own_state.reset_lo_state),
    ("learners.hours", clock.reset_clock),
)
finish_start = steps_of(
    ("classes", population.add_class_effects),
    ("beginning.draws", own_state.begin_los),
    ("recall", clock.reset_recall),
)


@sequence
def begin(w: Any, listed: Longs, start: int, stop: int) -> None:
    """Start an episode in lanes listed[start:stop], determined by the key, learner and episode of each lane.

    The lanes have the rows of their learners in the population, see `begin_learners`.

    Ability takes two random words, and each mastery one; a counter gives four words. The counters of several
    learners go through each phase together, because those of one learner do not fill the vector registers.
    """
    lanes, scratch, num_los = w.learners, w.scratch, w.scale.num_los
    mastery, ability = (
        present_or(scratch.mastery_start, w.start.mastery),
        present_or(scratch.ability_start, w.start.ability),
    )
    counters = (num_los + WORDS_FOR_ABILITY + 3) // 4
    span = min(counters, BLOCK)
    together = BLOCK // span
    for first in range(start, stop, together):
        count = min(together, stop - first)
        for done in range(0, counters, span):
            length = min(span, counters - done)
            count_up(lanes, scratch, listed, first, count, done, length)
            draw_words(scratch, count * length)
            load_starts(w, listed, first, count, length)
            draw_mastery(w.start.quantiles, mastery, scratch, count * length)
            if done == 0:
                draw_ability(ability, scratch, count, length)
                set_ability(lanes, scratch, listed, first, count, num_los)
                reset_fields((lanes,), listed, first, count)
                reset_own_state(w, listed, first, count)
            write_mastery(lanes, scratch, listed, first, count, done, length, num_los)
    finish_start(w, listed, start, stop - start)
    if len(lanes.responses) > 0:
        for j in range(start, stop):
            begin_responses(w, listed[j])


@sequence
def begin_learners(w: Any, listed: Longs, start: int, stop: int) -> None:
    """As `begin`, in lanes that may have held other learners: find the rows of the new ones in the population first."""
    draw_rows(w, listed, start, stop)
    begin(w, listed, start, stop)


@sequence
def begin_next(w: Any, listed: Longs, start: int, stop: int) -> None:
    """Begin the next episode of the learners in lanes listed[start:stop]."""
    episode = w.learners.episode
    for j in range(start, stop):
        k = listed[j]
        episode[k] = u32(episode[k] + U1)
    draw_rows_again(w, listed, start, stop)
    begin(w, listed, start, stop)


@phase
def count_up(
    lanes: LearnerArrays, scratch: Scratch, listed: Longs, first: int, count: int, done: int, length: int
) -> None:
    """Write the counters done … done + length - 1 of each learner to the scratch rows, learner by learner."""
    words = scratch.words
    for i in range(count):
        k = u64(listed[u64(first + i)])
        key, episode, learner = lanes.key[k], lanes.episode[k], lanes.learner[k]
        low, high = u32(key), u32(key >> WORD_BITS)
        at = u64(i * length)
        for j in range(length):
            row = at + u64(j)
            words[u64(PURPOSE) + row] = u32(START | (u32(done + j) << BLOCK_SHIFT))
            words[u64(EPISODE) + row] = episode
            words[u64(LEARNER) + row] = learner
            words[u64(KEY_LOW) + row] = low
            words[u64(KEY_HIGH) + row] = high


@phase
def draw_words(scratch: Scratch, count: int) -> None:
    """Draw the four words of each counter."""
    wide_vectors()
    words = scratch.words
    for i in range(count):
        w0, w1, w2, w3 = philox(
            U0, words[EPISODE + i], words[LEARNER + i], words[PURPOSE + i], words[KEY_LOW + i], words[KEY_HIGH + i]
        )
        words[WORD + i] = w0
        words[WORD + BLOCK + i] = w1
        words[WORD + 2 * BLOCK + i] = w2
        words[WORD + 3 * BLOCK + i] = w3


@phase
def draw_mastery(quantiles: Floats, starts: Any, scratch: Scratch, count: int) -> None:
    """Compute a mastery from each word (clause S1.1).

    starts  MasteryStart of all learners, or of arrays with one entry per counter
    """
    wide_vectors()
    words, floats, ints = scratch.words, scratch.floats, scratch.ints
    for row in range(4):
        shift = row * BLOCK
        for i in range(count):
            own = load_row(starts, u64(i))
            segment, inside = beta_segment(own.detail, words[u64(WORD + shift + i)])
            ints[u64(SEGMENT + shift + i)] = i32(segment + own.offset)
            floats[u64(INSIDE + shift + i)] = inside
        for i in range(count):
            at = u64(shift + i)
            c = u64(4) * u64(ints[u64(SEGMENT) + at])
            floats[u64(VALUE) + at] = beta_value(
                quantiles[c],
                quantiles[c + u64(1)],
                quantiles[c + u64(2)],
                quantiles[c + u64(3)],
                floats[u64(INSIDE) + at],
                words[u64(WORD) + at],
            )


@phase
def draw_ability(starts: Any, scratch: Scratch, count: int, length: int) -> None:
    """Compute the ability of each learner from its first two words (clause S1.2).

    starts  AbilityStart of all learners, or of arrays with one entry per learner
    """
    wide_vectors()
    words, floats = scratch.words, scratch.floats
    for i in range(count):
        at = u64(i * length)
        words[u64(PURPOSE + i)] = words[u64(WORD) + at]  # the counters are no longer needed
        words[u64(EPISODE + i)] = words[u64(WORD + BLOCK) + at]
    for i in range(count):
        own = load_row(starts, u64(i))
        floats[ABILITY + i] = own.mean + own.std * normal(words[PURPOSE + i], words[EPISODE + i])


@phase
def set_to_zero(values: Any, listed: Longs, first: int, count: int) -> None:
    """Set the entry of each learner in one field to 0 (clause S1.3)."""
    for i in range(count):
        values[u64(listed[u64(first + i)])] = 0


RESET_FIELDS = [k for k, field in enumerate(LEARNER_FIELDS.values()) if field.per_lane.reset]
"""Indices of the fields of the learners that are set to 0 at the start of an episode."""

reset_fields = fieldwise(set_to_zero, RESET_FIELDS)


@phase
def set_ability(lanes: LearnerArrays, scratch: Scratch, listed: Longs, first: int, count: int, num_los: int) -> None:
    """Write the ability of each learner, and the observed frustration and response time, which are 0."""
    width = u64(num_los + 2)
    for i in range(count):
        k = u64(listed[u64(first + i)])
        lanes.ability[k] = scratch.floats[u64(ABILITY + i)]
        end = (k + u64(1)) * width
        lanes.rows[end - u64(2)] = ZERO
        lanes.rows[end - u64(1)] = ZERO


@phase
def write_mastery(
    lanes: LearnerArrays, scratch: Scratch, listed: Longs, first: int, count: int, done: int, length: int, num_los: int
) -> None:
    """Write the masteries of counters done … done + length - 1, and add them to the sum, in the order of the LOs."""
    floats, width = scratch.floats, u64(num_los + 2)
    begins = max(4 * done, WORDS_FOR_ABILITY)
    ends = min(4 * (done + length), num_los + WORDS_FOR_ABILITY)
    for i in range(count):
        k = u64(listed[u64(first + i)])
        row = k * width
        total = lanes.mastery_sum[k]
        for word in range(begins, ends):
            at = i * length + (word >> 2) - done
            mastery = floats[u64(VALUE + (word & 3) * BLOCK + at)]
            lanes.rows[row + u64(word - WORDS_FOR_ABILITY)] = mastery
            total += f64(mastery)
        lanes.mastery_sum[k] = total


@sequence
def begin_responses(w: Any, k: i64) -> None:
    """Set observation S8.2 of lane k, and its counts of responses, to the values before the first question."""
    lanes, num_los, limit = w.learners, w.scale.num_los, w.termination.max_steps
    row = k * (2 * num_los + 2)
    for lo in range(num_los):
        lanes.asked[k * num_los + lo] = I0
        lanes.right[k * num_los + lo] = I0
        lanes.responses[row + lo] = share_asked(I0, limit)
        lanes.responses[row + num_los + lo] = share_correct(I0, I0)
    lanes.responses[row + 2 * num_los] = ZERO
    lanes.responses[row + 2 * num_los + 1] = ZERO


__all__ = ["begin_learners", "begin_next"]
