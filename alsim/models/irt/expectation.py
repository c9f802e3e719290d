"""The E-step: what responses say of students whose abilities nobody observes.

Axis letters: S students (or patterns of responses), R responses, V curves, K nodes, G groups. A curve is an item's
parameters in one group: one an item, but where a test lets an item differ between groups. The code of a response is
2 * curve + correct.
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

NEGLIGIBLE = -45.0
"""Log of a node's weight beside the heaviest one's, below which it counts as 0: float64 resolves 2e-16, e**-36."""

PORTION = 250_000
"""Responses that are worth a thread's waking."""
MOST_PORTIONS = 8


class Patterns(NamedTuple):
    """Students with equal responses, told once.

    start   (S+1,) int64; the responses of pattern s are those from start[s] to start[s + 1]
    code    (R,)   int32, 2 * curve + correct
    weight  (S,)   float64, students of this pattern
    group   (S,)   int32
    """

    start: Longs
    code: Ints
    weight: Doubles
    group: Ints


class Expected(NamedTuple):
    """What an E-step gives.

    log_likelihood  marginal, nats
    counts          (2V, K) float64, expected number of students at each node by code
    mass            (G, K)  float64, expected number of students at each node by group
    """

    log_likelihood: float
    counts: Doubles
    mass: Doubles


def patterns(start: Longs, code: Ints, weight: Doubles, group: Ints) -> Patterns:
    """Return the patterns of students' responses; their order within a student does not matter.

    Two students are told apart by sums of random 64-bit words, two for each code: of a million students, two
    different ones agree in both by chance with probability 1e-27.
    """
    words = np.random.default_rng(0).integers(0, 2**64, (2, int(code.max(initial=0)) + 1), dtype=np.uint64)
    ends = start[1:]
    sums = [np.concatenate([np.zeros(1, np.uint64), np.cumsum(row[code])]) for row in words]
    first, second = (total[ends] - total[start[:-1]] for total in sums)
    order = np.lexsort((first, second, group))
    new = np.ones(len(order), bool)
    new[1:] = np.any([x[order][1:] != x[order][:-1] for x in (first, second, group)], axis=0)
    chosen = order[new]
    which = np.empty(len(order), np.int64)
    which[order] = np.cumsum(new) - 1
    sizes = np.diff(start)[chosen]
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    places = np.repeat(start[chosen] - starts[:-1], sizes) + np.arange(starts[-1])
    totals: Doubles = np.bincount(which, weights=weight, minlength=len(chosen)).astype(np.float64)
    return Patterns(starts, code[places], totals, group[chosen])


@phase
def add_row(total: Doubles, table: Doubles, begin: int) -> None:
    """Add a row of a table to `total`."""
    for k in range(len(total)):
        total[u64(k)] += table[u64(begin + k)]


@phase
def add_to_row(table: Doubles, begin: int, row: Doubles) -> None:
    """Add `row` to a row of a table."""
    for k in range(len(row)):
        table[u64(begin + k)] += row[u64(k)]


@phase
def to_posterior(log_joint: Doubles) -> float:
    """Turn log joint densities into posterior weights in place; return the log of their sum."""
    largest = log_joint[0]
    for k in range(len(log_joint)):
        largest = max(largest, log_joint[k])
    total = f64(0)
    for k in range(len(log_joint)):
        below = log_joint[k] - largest
        density = math.exp(below) if below > NEGLIGIBLE else f64(0)
        log_joint[k] = density
        total += density
    for k in range(len(log_joint)):
        log_joint[k] /= total
    return float(largest + math.log(total))


@kernel
def expect_portion(
    begin: int,
    end: int,
    start: Longs,
    code: Ints,
    weight: Doubles,
    group: Ints,
    log_curves: Doubles,
    log_prior: Doubles,
    counts: Doubles,
    mass: Doubles,
    nodes: int,
) -> float:
    """Add the expected counts of patterns `begin` to `end`, and return their log-likelihood; tables are flat."""
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


def expect(found: Patterns, log_curves: Doubles, log_prior: Doubles) -> Expected:
    """Return the expected counts under the posterior of each pattern.

    log_curves  (2V, K) log-probability of each code at each node
    log_prior   (G, K)  log-weight of each node in each group

    Source: Bock & Aitkin (1981), Psychometrika 46, 443-459.
    """
    nodes = log_prior.shape[1]

    def portion(begin: int, end: int) -> Expected:
        counts, mass = np.zeros(log_curves.size), np.zeros(log_prior.size)
        value = expect_portion(begin, end, *found, log_curves.ravel(), log_prior.ravel(), counts, mass, nodes)
        return Expected(value, counts.reshape(log_curves.shape), mass.reshape(log_prior.shape))

    parts = in_portions(found.start, portion)
    return Expected(*(sum(x[1:], x[0]) for x in zip(*parts, strict=True)))


def in_portions(start: Longs, work: Callable[[int, int], T]) -> list[T]:
    """Call work(begin, end) for portions of the students, side by side; return what it returned, in order.

    The portions depend on the responses alone, so that sums over them are the same with any number of cores.
    """
    count = int(np.clip(start[-1] // PORTION, 1, MOST_PORTIONS))
    bounds = np.searchsorted(start, np.linspace(0, start[-1], count + 1))
    bounds[0], bounds[-1] = 0, len(start) - 1
    if count == 1:
        return [work(0, len(start) - 1)]
    with ThreadPoolExecutor(cpu_count()) as threads:
        return list(threads.map(work, bounds[:-1].tolist(), bounds[1:].tolist()))
