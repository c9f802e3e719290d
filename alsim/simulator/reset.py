"""How learners start (clauses S1.1 to S1.3): arrays of some lanes, from each one's key, learner and episode."""

from __future__ import annotations

from typing import Any

from alsim.jit.compile import phase, rule, wide_vectors
from alsim.mdp.observation import share_asked, share_correct
from alsim.numerics.beta import beta_segment, beta_value
from alsim.numerics.philox import WORD_BITS, philox
from alsim.numerics.variates import normal
from alsim.types import BLOCK, Longs, Population, Purpose, Scratch, f32, f64, i32, i64, u32, u64

BLOCK_SHIFT = u32(16)
START = u32(Purpose.START)
ZERO = f32(0)
I0, U0, U1 = i32(0), u32(0), u32(1)

WORDS_FOR_ABILITY = 2

# Rows of the scratch arrays, one entry a counter: its words before and after.
PURPOSE, EPISODE, LEARNER, KEY_LOW, KEY_HIGH, WORD = (k * BLOCK for k in range(6))
WORD_ROWS = 6 + 3
SEGMENT, INT_ROWS = 0, 4
INSIDE, VALUE, ABILITY, FLOAT_ROWS = 0, 4 * BLOCK, 8 * BLOCK, 9


@rule
def begin(w: Any, listed: Longs, start: int, stop: int) -> None:
    """Start the learners in lanes listed[start:stop] afresh, as their key, learner and episode say.

    Two words make ability, one each mastery; four come of a counter. All counters of many learners go
    through each phase together, so that a few learners fill the vectors, too.
    """
    lanes, scratch, num_los = w.population, w.scratch, w.scale.num_los
    counters = (num_los + WORDS_FOR_ABILITY + 3) // 4
    span = min(counters, BLOCK)
    together = BLOCK // span
    for first in range(start, stop, together):
        count = min(together, stop - first)
        for done in range(0, counters, span):
            length = min(span, counters - done)
            count_up(lanes, scratch, listed, first, count, done, length)
            draw_words(scratch, count * length)
            draw_mastery(w.start, scratch, count * length)
            if done == 0:
                draw_ability(w.start, scratch, count, length)
                reset_fields(lanes, scratch, listed, first, count, num_los)
            write_mastery(lanes, scratch, listed, first, count, done, length, num_los)
    if len(lanes.responses) > 0:
        for j in range(start, stop):
            begin_responses(w, listed[j])


@rule
def begin_next(w: Any, listed: Longs, start: int, stop: int) -> None:
    """Begin the next episode of the learners in lanes listed[start:stop]."""
    episode = w.population.episode
    for j in range(start, stop):
        k = listed[j]
        episode[k] = u32(episode[k] + U1)
    begin(w, listed, start, stop)


@phase
def count_up(
    lanes: Population, scratch: Scratch, listed: Longs, first: int, count: int, done: int, length: int
) -> None:
    """Write each learner's counters done … done + length - 1, learner after learner."""
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
def draw_mastery(start: Any, scratch: Scratch, count: int) -> None:
    """Turn each word into a mastery (clause S1.1)."""
    wide_vectors()
    words, floats, ints, quantiles = scratch.words, scratch.floats, scratch.ints, start.quantiles
    for row in range(4):
        shift = row * BLOCK
        for i in range(count):
            segment, inside = beta_segment(start.detail, words[u64(WORD + shift + i)])
            ints[u64(SEGMENT + shift + i)] = segment
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
def draw_ability(start: Any, scratch: Scratch, count: int, length: int) -> None:
    """Turn each learner's first two words into its ability (clause S1.2)."""
    wide_vectors()
    words, floats = scratch.words, scratch.floats
    for i in range(count):
        at = u64(i * length)
        words[u64(PURPOSE + i)] = words[u64(WORD) + at]  # the counters are spent
        words[u64(EPISODE + i)] = words[u64(WORD + BLOCK) + at]
    for i in range(count):
        floats[ABILITY + i] = start.ability_mean + start.ability_std * normal(words[PURPOSE + i], words[EPISODE + i])


@phase
def reset_fields(lanes: Population, scratch: Scratch, listed: Longs, first: int, count: int, num_los: int) -> None:
    """Set what is not mastery: ability as drawn, the rest 0 (clause S1.3)."""
    width = u64(num_los + 2)
    for i in range(count):
        k = u64(listed[u64(first + i)])
        lanes.ability[k] = scratch.floats[u64(ABILITY + i)]
        lanes.frustration[k] = ZERO
        lanes.response_time[k] = ZERO
        lanes.fail_streak[k] = I0
        lanes.mastery_sum[k] = f64(0)
        lanes.step[k] = U0
        lanes.finished[k] = False
        end = (k + u64(1)) * width
        lanes.rows[end - u64(2)] = ZERO
        lanes.rows[end - u64(1)] = ZERO


@phase
def write_mastery(
    lanes: Population, scratch: Scratch, listed: Longs, first: int, count: int, done: int, length: int, num_los: int
) -> None:
    """Write the masteries that came of counters done … done + length - 1, and add them up, in order of the LOs."""
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


@rule
def begin_responses(w: Any, k: i64) -> None:
    """Begin lane k's observed responses (clause S8.2): nothing asked yet."""
    lanes, num_los, limit = w.population, w.scale.num_los, w.termination.max_steps
    row = k * (2 * num_los + 2)
    for lo in range(num_los):
        lanes.asked[k * num_los + lo] = I0
        lanes.right[k * num_los + lo] = I0
        lanes.responses[row + lo] = share_asked(I0, limit)
        lanes.responses[row + num_los + lo] = share_correct(I0, I0)
    lanes.responses[row + 2 * num_los] = ZERO
    lanes.responses[row + 2 * num_los + 1] = ZERO


__all__ = ["begin", "begin_next"]
