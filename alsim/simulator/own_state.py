"""Phases that only some dynamics need: their own state, the parents of an LO, further draws, and their own start.

A kernel contains those whose part of the World is present, see `alsim.jit.structs.steps_of`.
"""

from __future__ import annotations

from typing import Any

from alsim.dynamics.transition import begin
from alsim.jit.compile import phase, rule, wide_vectors
from alsim.jit.structs import if_present, load_row, present_or, store_row
from alsim.numerics.philox import philox
from alsim.numerics.variates import uniform
from alsim.simulator.layout import OUTCOME
from alsim.types import (
    BLOCK,
    GRAPH_GROUP,
    ONE,
    WORD_BITS,
    ZERO,
    Floats,
    Graph,
    LearnerArrays,
    Longs,
    Purpose,
    Words,
    f32,
    f64,
    u32,
    u64,
)

FURTHER = u32(Purpose.INTERACTION | 1 << 16)
"""Last word of the counter of further draws: the second block of the purpose INTERACTION."""
OWN_START = u32(Purpose.OWN_START)
BLOCK_SHIFT = u32(16)


# ── interactions of lanes first … first + count - 1 ──────────────────────────────────────────────


@phase
def draw_further(w: Any, first: int, count: int) -> None:
    """Draw four more random numbers for the interaction of each lane."""
    wide_vectors()
    lanes, further = w.learners, w.scratch.further
    for i in range(count):
        k = u64(first + i)
        key = lanes.key[k]
        w0, w1, w2, w3 = philox(
            lanes.step[k], lanes.episode[k], lanes.learner[k], FURTHER, u32(key), u32(key >> WORD_BITS)
        )
        store_row(further, u64(i), (uniform(w0), uniform(w1), uniform(w2), uniform(w3)))


@phase
def load_lo_state(w: Any, first: int, count: int) -> None:
    """Copy the own state of each lane's LO into the rows of the block."""
    num_los, ints = u64(w.scale.num_los), w.scratch.ints
    for i in range(count):
        k = u64(first + i) * num_los + u64(ints[u64(OUTCOME + i)])
        store_row(w.scratch.lo_state, u64(i), load_row(w.learners.lo_state, k))


@phase
def store_lo_state(w: Any, first: int, count: int) -> None:
    """Copy the rows of the block to the own state of each lane's LO."""
    num_los, ints = u64(w.scale.num_los), w.scratch.ints
    for i in range(count):
        k = u64(first + i) * num_los + u64(ints[u64(OUTCOME + i)])
        store_row(w.learners.lo_state, k, load_row(w.scratch.lo_state, u64(i)))


@phase
def load_parents(w: Any, first: int, count: int) -> None:
    """Sum what is missing of the mastery of the parents of each lane's LO, in the order of the graph."""
    width, ints, unready = u64(w.scale.num_los + 2), w.scratch.ints, w.scratch.unready
    for i in range(count):
        unready[u64(i)] = _missing(w.graph, w.learners.rows, u64(first + i) * width, u64(ints[u64(OUTCOME + i)]))


@rule
def _missing(graph: Graph, rows: Floats, row: u64, lo: u64) -> f32:
    """Return what is missing of the mastery of the parents of an LO; `row` is the learner's first entry in `rows`."""
    total = ZERO
    place, end = u64(graph.first[lo]), u64(graph.first[lo + u64(1)])
    while (
        True
    ):  # Each LO has a group, so that nearly all LOs take the same time, without a branch that depends on them.
        for k in range(GRAPH_GROUP):
            edge = place + u64(k)
            total += graph.weights[edge] * (ONE - rows[row + u64(graph.parents[edge])])
        place = u64(place + u64(GRAPH_GROUP))
        if place >= end:
            break
    return total


missing_of_parents = if_present(_missing)


# ── the start of an episode in lanes listed[first : first + count] ───────────────────────────────


@phase
def reset_learner_state(w: Any, listed: Longs, first: int, count: int) -> None:
    """Write the start values of the own state of each learner."""
    for i in range(count):
        store_row(w.learners.learner_state, u64(listed[u64(first + i)]), w.beginning.learner_state)


@phase
def reset_lo_state(w: Any, listed: Longs, first: int, count: int) -> None:
    """Write the start values of the own state of each LO of each learner."""
    num_los = w.scale.num_los
    for i in range(count):
        cell = u64(listed[u64(first + i)]) * u64(num_los)
        for lo in range(num_los):
            store_row(w.learners.lo_state, cell + u64(lo), w.beginning.lo_state)


@rule
def begin_los(w: Any, listed: Longs, first: int, count: int) -> None:
    """Let the dynamics decide on the mastery and the own state of each LO at the start of an episode."""
    lanes, num_los, words = w.learners, w.scale.num_los, w.scratch.words
    parameters = present_or(lanes.parameters, w.parameters)
    for j in range(first, first + count):
        k = u64(listed[u64(j)])
        total = f64(0)
        for lo in range(0, num_los, 4):
            _draw_start(lanes, words, k, lo >> 2)
            for word in range(min(4, num_los - lo)):
                total += _begin_lo(load_row(parameters, k), lanes, k, lo + word, num_los, words[u64(word * BLOCK)])
        lanes.mastery_sum[k] = total


@rule
def _draw_start(lanes: LearnerArrays, words: Words, k: u64, block: int) -> None:
    """Draw the four words of a block of the purpose OWN_START."""
    key = lanes.key[k]
    purpose = u32(OWN_START | (u32(block) << BLOCK_SHIFT))
    w0, w1, w2, w3 = philox(u32(0), lanes.episode[k], lanes.learner[k], purpose, u32(key), u32(key >> WORD_BITS))
    words[u64(0)], words[u64(BLOCK)], words[u64(2 * BLOCK)], words[u64(3 * BLOCK)] = w0, w1, w2, w3


@rule
def _begin_lo(p: Any, lanes: LearnerArrays, k: u64, lo: int, num_los: int, word: u32) -> f64:
    """Write the mastery and the own state of an LO at the start of an episode; return the mastery."""
    row = k * u64(num_los + 2) + u64(lo)
    mastery, state = begin(p, lanes.rows[row], uniform(word))
    lanes.rows[row] = mastery
    store_row(lanes.lo_state, k * u64(num_los) + u64(lo), state)
    return f64(lanes.rows[row])


__all__ = [
    "begin_los",
    "draw_further",
    "load_lo_state",
    "load_parents",
    "missing_of_parents",
    "reset_learner_state",
    "reset_lo_state",
    "store_lo_state",
]
