"""Phases of populations: the row of a learner, its parameters and starting distributions, and the effects of its class.

A kernel contains those of several rows (S12.1) and of classes (S12.2) if the World has Rows or Classes, see
`alsim.jit.structs.steps_of`.
"""

from __future__ import annotations

from typing import Any

from alsim.jit.compile import rule
from alsim.jit.structs import load_row, store_row
from alsim.numerics.elementary import exp
from alsim.numerics.philox import philox
from alsim.numerics.variates import normal
from alsim.types import ONE, U0, WORD_BITS, Floats, Keys, Longs, Purpose, f32, f64, i32, i64, u32, u64

ROW, CLASS = u32(Purpose.ROW), u32(Purpose.CLASS)


@rule
def find_row(thresholds: Keys, word: u32) -> i64:
    """Return the first row whose threshold is above a random word."""
    low, high = i64(0), i64(len(thresholds) - 1)
    while low < high:
        middle = (low + high) >> 1
        if u64(word) < thresholds[u64(middle)]:
            high = middle
        else:
            low = middle + 1
    return low


@rule
def draw_rows(w: Any, listed: Longs, start: int, stop: int) -> None:
    """Write the row of each learner in lanes listed[start:stop], and copy its parameters."""
    lanes, rows = w.learners, w.rows
    for j in range(start, stop):
        k = u64(listed[u64(j)])
        key = lanes.key[k]
        word = philox(U0, U0, lanes.learner[k], ROW, u32(key), u32(key >> WORD_BITS))[0]
        row = find_row(rows.thresholds, word)
        lanes.row[k] = i32(row)
        store_row(lanes.parameters, k, load_row(rows.parameters, u64(row)))


@rule
def draw_rows_again(w: Any, listed: Longs, start: int, stop: int) -> None:
    """Draw the rows of lanes listed[start:stop] that a snapshot with other seeds has marked by negative rows."""
    for j in range(start, stop):
        if w.learners.row[u64(listed[u64(j)])] < 0:
            draw_rows(w, listed, j, j + 1)


@rule
def load_starts(w: Any, listed: Longs, first: int, count: int, length: int) -> None:
    """Copy the starting distributions of each learner to the rows of the block: of mastery for each of its counters."""
    rows, scratch = w.rows, w.scratch
    for i in range(count):
        own = u64(w.learners.row[u64(listed[u64(first + i)])])
        store_row(scratch.ability_start, u64(i), load_row(rows.ability, own))
        for j in range(length):
            store_row(scratch.mastery_start, u64(i * length + j), load_row(rows.mastery, own))


@rule
def add_class_effects(w: Any, listed: Longs, start: int, count: int) -> None:
    """Shift starting ability and masteries, in logits, by the effects of the learner's class (S12.2)."""
    lanes, classes, num_los = w.learners, w.classes, w.scale.num_los
    for j in range(start, start + count):
        k = u64(listed[u64(j)])
        key, number = lanes.key[k], u32(u64(lanes.learner[k]) // classes.size)
        w0, w1, w2, w3 = philox(U0, U0, number, CLASS, u32(key), u32(key >> WORD_BITS))
        lanes.ability[k] += classes.ability_std * normal(w0, w1)
        odds = exp(classes.mastery_std * normal(w2, w3))
        lanes.mastery_sum[k] = _multiply_odds(lanes.rows, k * u64(num_los + 2), num_los, odds)


@rule
def _multiply_odds(rows: Floats, row: u64, num_los: int, odds: f32) -> f64:
    """Multiply the odds m / (1 - m) of each mastery of a learner by a factor; return the sum of the masteries.

    A factor of 1 changes no bit: m + (1 - m) rounds to 1. Masteries of 0 and 1 stay.
    """
    total = f64(0)
    for lo in range(num_los):
        cell = row + u64(lo)
        raised = odds * rows[cell]
        shifted = raised / (raised + (ONE - rows[cell]))
        rows[cell] = shifted
        total += f64(shifted)
    return total


__all__ = ["add_class_effects", "draw_rows", "draw_rows_again", "load_starts"]
