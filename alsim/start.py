"""How learners start (clauses S1.1 to S1.3): one lane's arrays, from its key, learner and episode."""

from __future__ import annotations

from typing import Any

from alsim._jit import rule
from alsim.numerics.beta import beta_segment, beta_value
from alsim.numerics.philox import WORD_BITS, philox
from alsim.numerics.variates import normal
from alsim.observed import share_asked, share_correct
from alsim.types import BLOCK, Purpose, f32, f64, i32, i64, u32

BLOCK_SHIFT = u32(16)
START = u32(Purpose.START)
ZERO = f32(0)
I0, U0, U1 = i32(0), u32(0), u32(1)


@rule
def begin(w: Any, k: int) -> None:
    """Start lane k's learner afresh, as its key, learner and episode say (clauses S1.1 to S1.3)."""
    lanes, start, words = w.population, w.start, w.scratch.words
    num_los = w.scale.num_los
    key = lanes.key[k]
    low, high = u32(key), u32(key >> WORD_BITS)
    needed = num_los + 2
    row = k * needed
    total = f64(0)
    done = 0
    # Two words for ability, then one for each LO, in chunks that fit the scratch row.
    while done < needed:
        chunk = min(needed - done, BLOCK)
        for j in range((chunk + 3) // 4):
            purpose = u32(START | (u32(done // 4 + j) << BLOCK_SHIFT))
            w0, w1, w2, w3 = philox(U0, lanes.episode[k], lanes.learner[k], purpose, low, high)
            words[4 * j] = w0
            words[4 * j + 1] = w1
            words[4 * j + 2] = w2
            words[4 * j + 3] = w3
        skip = 0
        if done == 0:
            lanes.ability[k] = start.ability_mean + start.ability_std * normal(words[0], words[1])
            skip = 2
        for j in range(skip, chunk):
            word = words[j]
            segment, t = beta_segment(start.detail, word)
            c = 4 * i64(segment)
            mastery = beta_value(
                start.quantiles[c], start.quantiles[c + 1], start.quantiles[c + 2], start.quantiles[c + 3], t, word
            )
            lanes.rows[row + done + j - 2] = mastery
            total += f64(mastery)
        done += chunk
    lanes.rows[row + num_los] = ZERO
    lanes.rows[row + num_los + 1] = ZERO
    lanes.mastery_sum[k] = total
    lanes.frustration[k] = ZERO
    lanes.response_time[k] = ZERO
    lanes.fail_streak[k] = I0
    lanes.step[k] = U0
    lanes.finished[k] = False
    if len(lanes.responses) > 0:
        begin_responses(w, k)


@rule
def begin_responses(w: Any, k: int) -> None:
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


@rule
def begin_next(w: Any, k: int) -> None:
    """Begin the next episode of lane k's learner."""
    w.population.episode[k] = u32(w.population.episode[k] + U1)
    begin(w, k)
