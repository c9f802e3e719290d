"""Which item comes next, and what its answer changes: for one examinee, and the loops over all."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from alsim.jit.compile import kernel, rule
from alsim.models.irt.ability import Estimator, add_row, find_mode, integrate
from alsim.models.irt.curves import curve, item_information
from alsim.numerics.philox import philox
from alsim.types import Bools, Codes, Doubles, Ints, Longs, Words, f64, u32, u64

MAX_INFO, CLOSEST, KULLBACK_LEIBLER = 0, 1, 2
"""What is wanted of the next item."""

FREE, SET_ASIDE, GIVEN = 0, 1, 2
"""What has become of an item in a test: set aside is one that exposure control has held back."""

ANSWER, CHOICE, RELEASE = u32(0x8001), u32(0x8002), u32(0x8003)
"""What a random word is for, in the last word of its counter: apart from `types.Purpose`."""

ANY = -1
"""Stratum or group where there is none, item that there is not."""

WORDS = 4294967296.0


class Pool(NamedTuple):
    """I items as kernels take them."""

    a: Doubles  # (I,) and so b, c, d, as in ItemParameters
    b: Doubles
    c: Doubles
    d: Doubles
    group: Ints  # (I,) of content; 0 without a blueprint
    stratum: Ints  # (I,) of a-stratified selection; 0 without
    release: Doubles  # (I,) chance that a selected item is given, in (0, 1]
    order: Ints  # (C * I,) items of each cell, best bound first
    bound: Doubles  # (C * I,) of what is wanted, in the cell


class SelectionPlan(NamedTuple):
    """What a test wants, and when it ends."""

    want: int  # MAX_INFO, CLOSEST or KULLBACK_LEIBLER
    best_of: int  # the item is drawn from so many best
    strata: int  # of a-stratified selection; 1 without
    share: Doubles  # (G,) of the test that each content group should have
    low: float  # first edge of the cells, logits
    cells_per_logit: float
    cells: int
    points: Doubles  # (P,) of the Kullback-Leibler integral, in [-1, 1], and their weights
    weights: Doubles
    half_width: float  # of that integral's interval after one item, logits
    max_items: int
    min_items: int
    stop_se: float  # logits
    stop_information: float  # of the test so far, 1/logit^2
    least_information: float  # of the next item, 1/logit^2


class Progress(NamedTuple):
    """N tests under way; what is two-dimensional lies flat, row after row. T is the most items of a test."""

    examinee: Words  # (N,) number, for randomness
    status: Codes  # (N * I,) FREE, SET_ASIDE or GIVEN
    item: Ints  # (N * T,) given; -1 after the last
    correct: Codes  # (N * T,) -1 after the last
    theta_after: Doubles  # (N * T,) estimate after each answer, logits; NaN after the last
    se_after: Doubles  # (N * T,)
    length: Longs  # (N,) items answered
    theta: Doubles  # (N,) estimate, logits
    se: Doubles  # (N,) logits; infinite before the first answer
    sums: Doubles  # (N * W,) rows of the estimator's table, added up
    chosen: Ints  # (N,) item that waits for its answer, or -1
    finished: Bools  # (N,)


@kernel
def uniform(key: u64, step: int, attempt: int, examinee: u32, purpose: u32) -> float:
    """Return a number in (0, 1) that depends on its counter alone, and not on who else is tested."""
    word = philox(u32(step), u32(attempt), examinee, purpose, u32(key & u64(0xFFFFFFFF)), u32(key >> u64(32)))[0]
    return (f64(word) + 0.5) / WORDS


@rule
def kullback_leibler(theta: float, half: float, i: int, pool: Pool, plan: SelectionPlan) -> float:
    """Return how well an item tells ability from its neighbourhood.

        K = integral from theta - half to theta + half of P^ log(P^ / P(t)) + Q^ log(Q^ / Q(t)) dt

    with P^ = P(theta), by Gauss and Legendre's rule. Source: Chang & Ying (1996), A global information approach to
    computerized adaptive testing, eq. 5 and 9.
    """
    p, q, _, _ = curve(theta, pool.a[i], pool.b[i], pool.c[i], pool.d[i])
    total = 0.0
    for k in range(len(plan.points)):
        other, not_other, _, _ = curve(theta + half * plan.points[k], pool.a[i], pool.b[i], pool.c[i], pool.d[i])
        total += plan.weights[k] * (p * np.log(p / other) + q * np.log(q / not_other))
    return float(half * total)


@rule
def worth(theta: float, length: int, i: int, pool: Pool, plan: SelectionPlan) -> float:
    """Return how much an item is wanted."""
    if plan.want == MAX_INFO:
        p, q, slope, _ = curve(theta, pool.a[i], pool.b[i], pool.c[i], pool.d[i])
        return item_information(p, q, slope)
    if plan.want == CLOSEST:
        return float(-abs(theta - pool.b[i]))
    return kullback_leibler(theta, plan.half_width / np.sqrt(f64(max(length, 1))), i, pool, plan)


@rule
def best_items(
    n: int,
    group: int,
    stratum: int,
    status: int,
    t: Progress,
    pool: Pool,
    plan: SelectionPlan,
    best: Ints,
    value: Doubles,
) -> int:
    """Write the `best_of` most wanted items to `best`, the most wanted first, ties by number; return how many.

    group    of content
    stratum  or ANY
    status   items with a status up to this one may be taken
    """
    many, found = len(pool.a), 0
    cell = int((t.theta[n] - plan.low) * plan.cells_per_logit)
    cell = min(max(cell, 0), plan.cells - 1)
    for j in range(cell * many, (cell + 1) * many):
        if found == plan.best_of and pool.bound[j] < value[found - 1]:
            break
        i = int(pool.order[j])
        if t.status[n * many + i] > status:
            continue
        if pool.group[i] != group or (stratum != ANY and pool.stratum[i] != stratum):
            continue
        wanted = worth(t.theta[n], t.length[n], i, pool, plan)
        place = found
        while place > 0 and (value[place - 1] < wanted or (value[place - 1] == wanted and best[place - 1] > i)):
            place -= 1
        if place == plan.best_of:
            continue
        found = min(found + 1, plan.best_of)
        for k in range(found - 1, place, -1):
            best[k], value[k] = best[k - 1], value[k - 1]
        best[place], value[place] = i, wanted
    return found


@rule
def _most_wanting(t: Progress, n: int, pool: Pool, plan: SelectionPlan, tried: Bools) -> int:
    """Return the content group furthest below its share, of those not tried, or ANY if none is left.

    Source: Kingsbury & Zara (1989), Procedures for selecting items for computerized adaptive tests.
    """
    wanting, gap = ANY, -np.inf
    for group in range(len(plan.share)):
        given = 0
        for k in range(t.length[n]):
            if pool.group[t.item[n * plan.max_items + k]] == group:
                given += 1
        missing = plan.share[group] - given / max(t.length[n], 1)
        if not tried[group] and plan.share[group] > 0 and missing > gap:
            wanting, gap = group, missing
    return wanting


@rule
def choose(
    n: int,
    status: int,
    key: u64,
    attempt: int,
    t: Progress,
    pool: Pool,
    plan: SelectionPlan,
    best: Ints,
    value: Doubles,
) -> int:
    """Return the next item of a test, before exposure control, or -1 if none is left; arguments as of `best_items`."""
    stage = int(t.length[n]) * plan.strata // plan.max_items if plan.strata > 1 else ANY
    stratum = stage
    tried = np.zeros(len(plan.share), np.bool_)
    group = _most_wanting(t, n, pool, plan, tried)
    while group != ANY:
        found = best_items(n, group, stratum, status, t, pool, plan, best, value)
        if found > 0:
            return int(best[int(uniform(key, t.length[n], attempt, t.examinee[n], CHOICE) * found)])
        # Where a stratum has nothing left of a group, the group's other items come before other groups.
        tried[group] = stratum == ANY
        stratum = stage if stratum == ANY else ANY
        group = _most_wanting(t, n, pool, plan, tried)
    return -1


@kernel
def choose_all(key: u64, t: Progress, pool: Pool, plan: SelectionPlan) -> None:
    """Write the next item of each test that waits for none; a test for which there is none ends.

    Exposure control: a selected item is given with its chance of release, and else set aside for the rest of the
    test. When nothing else is left, those set aside come back. Source: Sympson & Hetter (1985).
    """
    best, value = np.empty(plan.best_of, np.int32), np.empty(plan.best_of)
    many = len(pool.a)
    for n in range(len(t.length)):
        if t.finished[n] or t.chosen[n] >= 0:
            continue
        attempt, status, i = 0, FREE, ANY
        while i == ANY and status <= SET_ASIDE:
            i = choose(n, status, key, attempt, t, pool, plan, best, value)
            if i == ANY:
                status += 1
            elif status == FREE and uniform(key, t.length[n], attempt, t.examinee[n], RELEASE) >= pool.release[i]:
                t.status[n * many + i] = SET_ASIDE
                i = ANY
            attempt += 1
        if i >= 0 and t.length[n] >= plan.min_items and plan.least_information > 0:
            p, q, slope, _ = curve(t.theta[n], pool.a[i], pool.b[i], pool.c[i], pool.d[i])
            i = i if item_information(p, q, slope) >= plan.least_information else ANY
        t.chosen[n] = i
        t.finished[n] = i == ANY


@kernel
def simulate_all(key: u64, ability: Doubles, t: Progress, pool: Pool, correct: Codes) -> None:
    """Write an answer of each examinee to the item that waits, or -1 where none does; ability (N,), logits."""
    for n in range(len(t.length)):
        correct[n] = -1
        i = t.chosen[n]
        if i >= 0:
            p, _, _, _ = curve(ability[n], pool.a[i], pool.b[i], pool.c[i], pool.d[i])
            correct[n] = 1 if uniform(key, t.length[n], 0, t.examinee[n], ANSWER) < p else 0


@rule
def _ends(n: int, t: Progress, pool: Pool, plan: SelectionPlan) -> bool:
    """Return whether a test has all it wants."""
    length = t.length[n]
    if length >= plan.max_items or length < plan.min_items:
        return bool(length >= plan.max_items)
    if t.se[n] <= plan.stop_se or plan.stop_information == np.inf:
        return bool(t.se[n] <= plan.stop_se)
    told = 0.0
    for k in range(n * plan.max_items, n * plan.max_items + length):
        i = t.item[k]
        p, q, slope, _ = curve(t.theta[n], pool.a[i], pool.b[i], pool.c[i], pool.d[i])
        told += item_information(p, q, slope)
    return bool(told >= plan.stop_information)


@kernel
def answer_all(correct: Codes, t: Progress, pool: Pool, plan: SelectionPlan, e: Estimator) -> None:
    """Take the answers (N,) to the items that wait, estimate ability anew, and end the tests that have what they want.

    Where correct is -1, an item goes on waiting.
    """
    many, width, weight = len(pool.a), len(e.table) // (2 * len(pool.a)), np.empty(len(e.nodes))
    for n in range(len(t.length)):
        if correct[n] < 0:
            continue
        i, begin = t.chosen[n], n * plan.max_items
        place = begin + int(t.length[n])
        t.item[place], t.correct[place] = i, correct[n]
        t.length[n] += 1
        t.status[n * many + i] = GIVEN
        t.chosen[n] = -1
        sums = t.sums[n * width : (n + 1) * width]
        add_row(e.table, i, correct[n], sums)
        if e.integrates:
            theta, se = integrate(sums, e, weight)
        else:
            theta, se = find_mode(sums, e, pool.a, pool.b, pool.c, pool.d, t.item, t.correct, begin, place + 1)
        # An estimate that does not exist leaves the one before it, for the choice of the next item.
        t.theta[n] = theta if theta == theta else t.theta[n]
        t.se[n] = se
        t.theta_after[place], t.se_after[place] = theta, se
        t.finished[n] = _ends(n, t, pool, plan)
