"""E-step of the EM algorithm: expected counts of students at each node of latent ability.

Axis letters: S students (or response patterns), R responses, V curves, K nodes, G groups. A curve is the response
function of one item. In a test of differential item functioning, an item may have one curve per group. The
code of a response is 2 * curve + correct.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count
from typing import NamedTuple, TypeVar

import numpy as np

from alsim.jit.compile import kernel, phase
from alsim.types import Doubles, Ints, Longs, f64, u64

T = TypeVar("T")

MIN_LOG_RATIO = -45.0
"""Smallest log ratio of a node's weight to the largest weight; smaller weights become 0. float64 resolves e**-36."""

RESPONSES_PER_CHUNK, MAX_CHUNKS = 250_000, 8
"""Number of responses per chunk, and the largest number of chunks."""


class Patterns(NamedTuple):
    """Distinct response patterns, each with the number of students who have it.

    start   (S+1,) int64; pattern s has the responses start[s]:start[s + 1]
    code    (R,)   int32, 2 * curve + correct
    weight  (S,)   float64, sum of the weights of the students with this pattern
    group   (S,)   int32, in [0, G)
    """

    start: Longs
    code: Ints
    weight: Doubles
    group: Ints


class Expected(NamedTuple):
    """Result of an E-step.

    log_likelihood  marginal log-likelihood, nats
    counts          (2V, K) float64, expected number of responses with each code from students at each node
    mass            (G, K)  float64, expected number of students of each group at each node
    """

    log_likelihood: float
    counts: Doubles
    mass: Doubles


def collapse(start: Longs, code: Ints, weight: Doubles, group: Ints) -> Patterns:
    """Return the distinct response patterns of students; the order of a student's responses is ignored.

    The arguments have the shapes of `Patterns`, with one row per student. Patterns are compared by two sums of random
    64-bit words, one word per code and sum. Among a million students, the probability that any two different patterns
    have equal sums is 1e-27.
    """
    words = np.random.default_rng(0).integers(0, 2**64, (2, int(code.max(initial=0)) + 1), dtype=np.uint64)
    ends = start[1:]
    sums = [np.concatenate([np.zeros(1, np.uint64), np.cumsum(row[code])]) for row in words]
    first, second = (total[ends] - total[start[:-1]] for total in sums)
    order = np.lexsort((first, second, group))
    new = np.ones(len(order), bool)
    new[1:] = np.any([x[order][1:] != x[order][:-1] for x in (first, second, group)], axis=0)
    first_students = order[new]
    pattern = np.empty(len(order), np.int64)
    pattern[order] = np.cumsum(new) - 1
    sizes = np.diff(start)[first_students]
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    rows = np.repeat(start[first_students] - starts[:-1], sizes) + np.arange(starts[-1])
    totals: Doubles = np.bincount(pattern, weights=weight, minlength=len(first_students)).astype(np.float64)
    return Patterns(starts, code[rows], totals, group[first_students])


@phase
def add_row(total: Doubles, table: Doubles, begin: int) -> None:
    """Add the part of a flat table that begins at `begin` to `total`."""
    for k in range(len(total)):
        total[u64(k)] += table[u64(begin + k)]


@phase
def add_to_row(table: Doubles, begin: int, row: Doubles) -> None:
    """Add `row` to the part of a flat table that begins at `begin`."""
    for k in range(len(row)):
        table[u64(begin + k)] += row[u64(k)]


@phase
def to_posterior(log_joint: Doubles) -> float:
    """Replace log joint densities by posterior weights, in place; return the log of the sum of the densities."""
    largest = log_joint[0]
    for k in range(len(log_joint)):
        largest = max(largest, log_joint[k])
    total = f64(0)
    for k in range(len(log_joint)):
        log_ratio = log_joint[k] - largest
        density = math.exp(log_ratio) if log_ratio > MIN_LOG_RATIO else f64(0)
        log_joint[k] = density
        total += density
    for k in range(len(log_joint)):
        log_joint[k] /= total
    return float(largest + math.log(total))


@kernel
def expect_chunk(
    begin: int,
    end: int,
    patterns: Patterns,
    log_curves: Doubles,
    log_prior: Doubles,
    counts: Doubles,
    mass: Doubles,
    nodes: int,
) -> float:
    """Add the expected counts of patterns `begin` to `end` - 1, and return their log-likelihood; tables are flat."""
    start, code, weight, group = patterns
    log_likelihood = f64(0)
    row = np.empty(nodes, f64)
    for s in range(begin, end):
        row[:] = f64(0)
        add_row(row, log_prior, group[s] * nodes)
        for r in range(start[s], start[s + 1]):
            add_row(row, log_curves, code[r] * nodes)
        log_likelihood += weight[s] * to_posterior(row)
        for k in range(nodes):
            row[k] *= weight[s]
        add_to_row(mass, group[s] * nodes, row)
        for r in range(start[s], start[s + 1]):
            add_to_row(counts, code[r] * nodes, row)
    return log_likelihood


def expect(patterns: Patterns, log_curves: Doubles, log_prior: Doubles) -> Expected:
    """Return the expected counts under the posterior of each pattern.

    log_curves  (2V, K) log-probability of each code at each node
    log_prior   (G, K)  log-weight of each node in each group

    Source: Bock & Aitkin (1981), Psychometrika 46, 443-459.
    """
    nodes = log_prior.shape[1]

    def expect_part(begin: int, end: int) -> Expected:
        counts, mass = np.zeros(log_curves.size), np.zeros(log_prior.size)
        value = expect_chunk(begin, end, patterns, log_curves.ravel(), log_prior.ravel(), counts, mass, nodes)
        return Expected(value, counts.reshape(log_curves.shape), mass.reshape(log_prior.shape))

    parts = map_chunks(patterns.start, expect_part)
    return Expected(*(sum(x[1:], x[0]) for x in zip(*parts, strict=True)))


def map_chunks(start: Longs, work: Callable[[int, int], T]) -> list[T]:
    """Call work(begin, end) for chunks of the patterns in a thread pool; return the results in order.

    start  (S+1,) of the patterns

    The chunks depend only on the responses, so that sums over them do not depend on the number of cores.
    """
    num_chunks = int(np.clip(start[-1] // RESPONSES_PER_CHUNK, 1, MAX_CHUNKS))
    bounds = np.searchsorted(start, np.linspace(0, start[-1], num_chunks + 1))
    bounds[0], bounds[-1] = 0, len(start) - 1
    if num_chunks == 1:
        return [work(0, len(start) - 1)]
    with ThreadPoolExecutor(cpu_count()) as threads:
        return list(threads.map(work, bounds[:-1].tolist(), bounds[1:].tolist()))
