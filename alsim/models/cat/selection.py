"""Item selection and scoring of adaptive tests: rules for one examinee, and loops over all examinees."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from alsim.jit.compile import kernel, rule
from alsim.models.irt.ability import Estimator, add_row, find_mode, integrate
from alsim.models.irt.curves import curve, item_information
from alsim.numerics.philox import philox
from alsim.types import Bools, Codes, Doubles, Ints, Longs, Words, f64, u32, u64

MAX_INFORMATION, CLOSEST_DIFFICULTY, KULLBACK_LEIBLER = 0, 1, 2
"""Selection criteria."""

AVAILABLE, WITHHELD, ADMINISTERED = 0, 1, 2
"""Status of an item in a test; exposure control withholds an item that was selected."""

ANSWER, CHOICE, EXPOSURE = u32(0x8001), u32(0x8002), u32(0x8003)
"""Purposes of random words, in the last word of the counter; they differ from those of `types.Purpose`."""

NONE = -1
"""Index that means no stratum, no content group or no item."""

WORD_RANGE = 2.0**32


class ItemPool(NamedTuple):
    """I items and their candidate lists, for kernels."""

    a: Doubles  # (I,) parameters a, b, c and d, as in ItemParameters
    b: Doubles
    c: Doubles
    d: Doubles
    group: Ints  # (I,) content group; 0 without a blueprint, -1 for an item outside the blueprint
    stratum: Ints  # (I,) stratum of a-stratified selection; 0 for other criteria
    exposure: Doubles  # (I,) probability that a selected item is administered, in (0, 1]
    order: Ints  # (C * I,) items of each cell of abilities, in order of decreasing bound
    bound: Doubles  # (C * I,) upper bound of the criterion in the cell


class SelectionPlan(NamedTuple):
    """Settings of item selection and of the stopping rules, for kernels."""

    criterion: int  # MAX_INFORMATION, CLOSEST_DIFFICULTY or KULLBACK_LEIBLER
    randomesque: int  # number of best items from which the next item is drawn
    strata: int  # of a-stratified selection; 1 for other criteria
    blueprint: Doubles  # (G,) target share of each content group in a test
    low: float  # lower edge of the first cell, logits
    cells_per_logit: float
    cells: int
    points: Doubles  # (P,) quadrature points of the Kullback-Leibler integral, in [-1, 1]
    weights: Doubles  # (P,) their weights
    half_width: float  # half the width of the integral's interval after one answer, logits
    max_items: int
    min_items: int
    stop_se: float  # logits; 0 without this rule
    stop_information: float  # of the administered items, 1/logit^2; infinite without this rule
    min_item_information: float  # of the next item, 1/logit^2; 0 without this rule


class SessionState(NamedTuple):
    """State of N tests; two-dimensional arrays are flat, row after row. T is the largest number of items of a test."""

    examinee: Words  # (N,) number of the examinee, for random numbers
    status: Codes  # (N * I,) AVAILABLE, WITHHELD or ADMINISTERED
    item: Ints  # (N * T,) administered items; -1 after the last
    correct: Codes  # (N * T,) answers; -1 after the last
    theta_after: Doubles  # (N * T,) estimate after each answer, logits; NaN after the last
    se_after: Doubles  # (N * T,) its standard error, logits
    length: Longs  # (N,) number of answered items
    theta: Doubles  # (N,) latest estimate, logits
    se: Doubles  # (N,) its standard error, logits; infinite before the first answer
    sums: Doubles  # (N * W,) sum of the estimator's rows for the answers
    pending: Longs  # (N,) selected item without an answer, or NONE
    finished: Bools  # (N,)


class Ranking(NamedTuple):
    """Scratch for the best items of a search; R is the number of items to rank."""

    item: Ints  # (R,)
    value: Doubles  # (R,) criterion, in decreasing order


@kernel
def uniform(key: u64, step: int, attempt: int, examinee: u32, purpose: u32) -> float:
    """Return a uniform variate in (0, 1) that is a function of the arguments only, and so the same in any batch."""
    word = philox(u32(step), u32(attempt), examinee, purpose, u32(key & u64(0xFFFFFFFF)), u32(key >> u64(32)))[0]
    return (f64(word) + 0.5) / WORD_RANGE


@rule
def kullback_leibler(theta: float, half_width: float, i: int, pool: ItemPool, plan: SelectionPlan) -> float:
    """Return the Kullback-Leibler information of an item, integrated around theta.

        K = integral from theta - half_width to theta + half_width of P^ log(P^ / P(t)) + Q^ log(Q^ / Q(t)) dt

    P^ is P(theta). The integral is computed by Gauss-Legendre quadrature.
    Source: Chang & Ying (1996), A global information approach to computerized adaptive testing, eq. 5 and 9.
    """
    p, q, _, _ = curve(theta, pool.a[i], pool.b[i], pool.c[i], pool.d[i])
    total = 0.0
    for k in range(len(plan.points)):
        p_t, q_t, _, _ = curve(theta + half_width * plan.points[k], pool.a[i], pool.b[i], pool.c[i], pool.d[i])
        total += plan.weights[k] * (p * np.log(p / p_t) + q * np.log(q / q_t))
    return float(half_width * total)


@rule
def information_of(theta: float, i: int, pool: ItemPool) -> float:
    """Return the information of an item at theta, 1/logit^2."""
    p, q, slope, _ = curve(theta, pool.a[i], pool.b[i], pool.c[i], pool.d[i])
    return item_information(p, q, slope)


@rule
def criterion_value(theta: float, length: int, i: int, pool: ItemPool, plan: SelectionPlan) -> float:
    """Return the selection criterion of an item, larger for a better item.

    theta   estimate of ability, logits
    length  number of answered items
    """
    if plan.criterion == MAX_INFORMATION:
        return information_of(theta, i, pool)
    if plan.criterion == CLOSEST_DIFFICULTY:
        return float(-abs(theta - pool.b[i]))
    return kullback_leibler(theta, plan.half_width / np.sqrt(f64(max(length, 1))), i, pool, plan)


@rule
def rank_items(
    n: int,
    group: int,
    stratum: int,
    max_status: int,
    state: SessionState,
    pool: ItemPool,
    plan: SelectionPlan,
    ranking: Ranking,
) -> int:
    """Write the best items of test n to `ranking`, ties in order of their index; return the number of items.

    group       content group of the items
    stratum     stratum of the items, or NONE for any
    max_status  only items with at most this status are ranked
    """
    num_items, num_ranked = len(pool.a), 0
    best, value = ranking.item, ranking.value
    cell = int((state.theta[n] - plan.low) * plan.cells_per_logit)
    cell = min(max(cell, 0), plan.cells - 1)
    for j in range(cell * num_items, (cell + 1) * num_items):
        if num_ranked == plan.randomesque and pool.bound[j] < value[num_ranked - 1]:
            break
        i = int(pool.order[j])
        if state.status[n * num_items + i] > max_status:
            continue
        if pool.group[i] != group or (stratum != NONE and pool.stratum[i] != stratum):
            continue
        x = criterion_value(state.theta[n], state.length[n], i, pool, plan)
        place = num_ranked
        while place > 0 and (value[place - 1] < x or (value[place - 1] == x and best[place - 1] > i)):
            place -= 1
        if place == plan.randomesque:
            continue
        num_ranked = min(num_ranked + 1, plan.randomesque)
        for k in range(num_ranked - 1, place, -1):
            best[k], value[k] = best[k - 1], value[k - 1]
        best[place], value[place] = i, x
    return num_ranked


@rule
def _neediest_group(state: SessionState, n: int, pool: ItemPool, plan: SelectionPlan, tried: Bools) -> int:
    """Return the content group furthest below its share, among the groups not tried; NONE if no group remains.

    Source: Kingsbury & Zara (1989), Procedures for selecting items for computerized adaptive tests.
    """
    neediest, largest_gap = NONE, -np.inf
    for group in range(len(plan.blueprint)):
        administered = 0
        for k in range(state.length[n]):
            if pool.group[state.item[n * plan.max_items + k]] == group:
                administered += 1
        gap = plan.blueprint[group] - administered / max(state.length[n], 1)
        if not tried[group] and plan.blueprint[group] > 0 and gap > largest_gap:
            neediest, largest_gap = group, gap
    return neediest


@rule
def select_item(
    n: int,
    max_status: int,
    key: u64,
    attempt: int,
    state: SessionState,
    pool: ItemPool,
    plan: SelectionPlan,
    ranking: Ranking,
) -> int:
    """Return the next item of test n before exposure control, or NONE if no item is left.

    max_status  only items with at most this status are selected
    key         seed
    attempt     number of earlier selections in this step, for random numbers
    ranking     scratch
    """
    stage = int(state.length[n]) * plan.strata // plan.max_items if plan.strata > 1 else NONE
    stratum = stage
    tried = np.zeros(len(plan.blueprint), np.bool_)
    group = _neediest_group(state, n, pool, plan, tried)
    while group != NONE:
        num_ranked = rank_items(n, group, stratum, max_status, state, pool, plan, ranking)
        if num_ranked > 0:
            draw = uniform(key, state.length[n], attempt, state.examinee[n], CHOICE)
            return int(ranking.item[int(draw * num_ranked)])
        # A group without items in the stratum is searched in all strata before the next group.
        tried[group] = stratum == NONE
        stratum = stage if stratum == NONE else NONE
        group = _neediest_group(state, n, pool, plan, tried)
    return NONE


@kernel
def select_items(key: u64, state: SessionState, pool: ItemPool, plan: SelectionPlan) -> None:
    """Select the next item of each test without a pending item; a test for which no item is left ends.

    Exposure control: a selected item is administered with its exposure probability, and otherwise withheld for the rest
    of the test. Withheld items are used again when no other items are left. Source: Sympson & Hetter (1985).
    """
    ranking = Ranking(np.empty(plan.randomesque, np.int32), np.empty(plan.randomesque))
    num_items = len(pool.a)
    for n in range(len(state.length)):
        if state.finished[n] or state.pending[n] >= 0:
            continue
        attempt, max_status, i = 0, AVAILABLE, NONE
        while i == NONE and max_status <= WITHHELD:
            i = select_item(n, max_status, key, attempt, state, pool, plan, ranking)
            if i == NONE:
                max_status += 1
            elif (
                max_status == AVAILABLE
                and uniform(key, state.length[n], attempt, state.examinee[n], EXPOSURE) >= pool.exposure[i]
            ):
                state.status[n * num_items + i] = WITHHELD
                i = NONE
            attempt += 1
        if i >= 0 and state.length[n] >= plan.min_items and plan.min_item_information > 0:
            i = i if information_of(state.theta[n], i, pool) >= plan.min_item_information else NONE
        state.pending[n] = i
        state.finished[n] = i == NONE


@kernel
def simulate_answers(key: u64, ability: Doubles, state: SessionState, pool: ItemPool, correct: Codes) -> None:
    """Write a simulated answer to each pending item, or -1 without one.

    ability  (N,) true abilities, logits
    correct  (N,)
    """
    for n in range(len(state.length)):
        correct[n] = -1
        i = state.pending[n]
        if i >= 0:
            p, _, _, _ = curve(ability[n], pool.a[i], pool.b[i], pool.c[i], pool.d[i])
            correct[n] = 1 if uniform(key, state.length[n], 0, state.examinee[n], ANSWER) < p else 0


@rule
def _has_ended(n: int, state: SessionState, pool: ItemPool, plan: SelectionPlan) -> bool:
    """Return whether a stopping rule that depends on the answers ends test n."""
    length = state.length[n]
    if length >= plan.max_items or length < plan.min_items:
        return bool(length >= plan.max_items)
    if state.se[n] <= plan.stop_se or plan.stop_information == np.inf:
        return bool(state.se[n] <= plan.stop_se)
    information = 0.0
    for k in range(n * plan.max_items, n * plan.max_items + length):
        information += information_of(state.theta[n], state.item[k], pool)
    return bool(information >= plan.stop_information)


@kernel
def record_answers(correct: Codes, state: SessionState, pool: ItemPool, plan: SelectionPlan, e: Estimator) -> None:
    """Record answers to the pending items, update the ability estimates, and end tests by their stopping rules.

    correct  (N,) 0 or 1; -1 for no answer, which leaves the item pending
    """
    num_items, width, weight = len(pool.a), len(e.table) // (2 * len(pool.a)), np.empty(len(e.nodes))
    parameters = (pool.a, pool.b, pool.c, pool.d)
    for n in range(len(state.length)):
        if correct[n] < 0:
            continue
        i, begin = state.pending[n], n * plan.max_items
        place = begin + int(state.length[n])
        state.item[place], state.correct[place] = i, correct[n]
        state.length[n] += 1
        state.status[n * num_items + i] = ADMINISTERED
        state.pending[n] = NONE
        sums = state.sums[n * width : (n + 1) * width]
        add_row(e.table, i, correct[n], sums)
        if e.is_eap:
            theta, se = integrate(sums, e, weight)
        else:
            end = place + 1
            theta, se = find_mode(sums, e, parameters, state.item[begin:end], state.correct[begin:end])
        # Without an estimate, the next item is selected at the previous estimate.
        state.theta[n] = theta if theta == theta else state.theta[n]
        state.se[n] = se
        state.theta_after[place], state.se_after[place] = theta, se
        state.finished[n] = _has_ended(n, state, pool, plan)
