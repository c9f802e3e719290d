"""Phases of a population with several rows: the row of a learner, its parameters and starting distributions (S12.1).

A kernel contains them if the World has Rows, see `alsim.jit.structs.steps_of`.
"""

from __future__ import annotations

from typing import Any

from alsim.jit.compile import rule
from alsim.jit.structs import load_row, store_row
from alsim.numerics.philox import philox
from alsim.types import U0, WORD_BITS, Keys, Longs, Purpose, i32, i64, u32, u64

ROW = u32(Purpose.ROW)


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
def load_starts(w: Any, listed: Longs, first: int, count: int, length: int) -> None:
    """Copy the starting distributions of each learner to the rows of the block: of mastery for each of its counters."""
    rows, scratch = w.rows, w.scratch
    for i in range(count):
        own = u64(w.learners.row[u64(listed[u64(first + i)])])
        store_row(scratch.ability_start, u64(i), load_row(rows.ability, own))
        for j in range(length):
            store_row(scratch.mastery_start, u64(i * length + j), load_row(rows.mastery, own))


__all__ = ["draw_rows", "load_starts"]
