"""Dynamics with the memory model of FSRS-6: stability and difficulty of each LO (clause S14.6)."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from alsim.dynamics.memory import HOURS_PER_DAY, Remembering, chance_of, lesson_weight, rate_of, with_memory
from alsim.dynamics.parameters import NotNegative, Positive, Share, Unit, extends
from alsim.dynamics.standard import after_content, answered
from alsim.jit.compile import rule
from alsim.numerics.elementary import exp, log
from alsim.types import ONE, ZERO, Draws, Item, Learner, Outcome, f32

AGAIN, HARD, GOOD, EASY = f32(1), f32(2), f32(3), f32(4)
"""Grades of a review: a wrong answer, and right ones by their response time."""
FAST, SLOW = f32(-1.0581216177), f32(0.7587535445)
"""Quantiles of the response time's noise: the fastest 14.5 % of right answers are EASY, the slowest 22.4 % HARD."""
EASIEST, HARDEST, NINE = f32(1), f32(10), f32(9)
"""Bounds of difficulty, and their difference."""
LEAST_STABILITY, LARGEST_STABILITY = f32(0.001), f32(36_500)
"""Bounds of stability, days, as in FSRS-Optimizer: without the upper one, some weights lead to infinity."""
NINETY_PERCENT = f32(0.9)
"""Recall after a time equal to the stability."""

Days = Annotated[Positive, Unit("days")]


@extends(Remembering)
class Fsrs(NamedTuple):
    """Stability and difficulty of FSRS-6; w0 to w20 are its published weights."""

    w0: Days = 0.212  # stability after a first review graded 1, w1 to w3 after 2 to 4
    w1: Days = 1.2931
    w2: Days = 2.3065
    w3: Days = 8.2956
    w4: NotNegative = 6.4133  # difficulty after a first review: w4 - exp(w5 (G - 1)) + 1
    w5: NotNegative = 0.8334
    w6: NotNegative = 3.0194  # change of difficulty per grade below 3
    w7: Share = 0.001  # reversion of difficulty to that of a first review graded 4
    w8: float = 1.8722  # log of the growth of stability after a recall
    w9: NotNegative = 0.1666  # its decrease with stability
    w10: NotNegative = 0.796  # its increase with forgetting
    w11: Positive = 1.4835  # stability after a lapse
    w12: NotNegative = 0.0614  # its decrease with difficulty
    w13: NotNegative = 0.2629  # its increase with stability
    w14: NotNegative = 1.6483  # its increase with forgetting
    w15: NotNegative = 0.6014  # factor of growth for grade 2
    w16: NotNegative = 1.8729  # factor of growth for grade 4
    w17: NotNegative = 0.5425  # reviews on the same day: log of the change per grade above 3 - w18
    w18: NotNegative = 0.0912
    w19: NotNegative = 0.0658  # its decrease with stability
    w20: Positive = 0.1542  # decay of the forgetting curve


class Memory(NamedTuple):
    """State of each LO."""

    stability: Annotated[f32, Unit("days")] = ZERO  # time after which recall is 0.9; 0 before the first review
    difficulty: f32 = ZERO  # in [1, 10] after the first review
    reviewed: Annotated[f32, Unit("h")] = ZERO  # time of the last review, since the episode began


# ── the memory model ─────────────────────────────────────────────────────────────────────────────


@rule
def retrievability(p: Fsrs, stability: f32, days: f32) -> f32:
    """Return the probability of recall, (1 + f t / S)**(-w20), with f = 0.9**(-1 / w20) - 1."""
    factor = exp(-log(NINETY_PERCENT) / p.w20) - ONE
    return exp(-p.w20 * log(ONE + factor * (days / stability)))


@rule
def by_grade(grade: f32, again: f32, hard: f32, good: f32, easy: f32) -> f32:
    """Return the value of a grade. Values that depend on parameters only are computed once for many learners."""
    low, high = again if grade == AGAIN else hard, good if grade == GOOD else easy
    return low if grade < GOOD else high


@rule
def first_difficulty(p: Fsrs, grade: f32) -> f32:
    """Return the difficulty after a first review, before it is held in [1, 10]."""
    decrease = by_grade(grade, ONE, exp(f32(p.w5)), exp(f32(p.w5 * HARD)), exp(f32(p.w5 * GOOD)))
    return p.w4 - decrease + ONE


@rule
def bounded(difficulty: f32) -> f32:
    """Return a difficulty held in [1, 10]."""
    return min(HARDEST, max(EASIEST, difficulty))


@rule
def next_difficulty(p: Fsrs, difficulty: f32, grade: f32) -> f32:
    """Return the difficulty after a later review."""
    moved = difficulty - p.w6 * (grade - GOOD) * ((HARDEST - difficulty) / NINE)
    return bounded(p.w7 * first_difficulty(p, EASY) + (ONE - p.w7) * moved)


@rule
def recalled_stability(p: Fsrs, stability: f32, difficulty: f32, recall: f32, grade: f32) -> f32:
    """Return the stability after a review with recall, days."""
    weight = by_grade(grade, ONE, f32(p.w15), ONE, f32(p.w16))
    growth = exp(p.w8 - p.w9 * log(stability)) * (HARDEST + ONE - difficulty)
    return stability * (ONE + growth * (exp(f32(p.w10 * (ONE - recall))) - ONE) * weight)


@rule
def lapsed_stability(p: Fsrs, stability: f32, difficulty: f32, recall: f32) -> f32:
    """Return the stability after a review without recall, days."""
    grown = exp(p.w13 * log(stability + ONE)) - ONE
    lapsed = p.w11 * exp(p.w14 * (ONE - recall) - p.w12 * log(difficulty)) * grown
    return min(lapsed, stability * exp(f32(-p.w17 * p.w18)))


@rule
def same_day_change(p: Fsrs, grade: f32) -> f32:
    """Return the factor of stability by the grade of a review less than a day after the last one."""
    return exp(p.w17 * (grade - GOOD + p.w18))


@rule
def same_day_stability(p: Fsrs, stability: f32, grade: f32) -> f32:
    """Return the stability after a review less than a day after the last one, days."""
    change = by_grade(
        grade, same_day_change(p, AGAIN), same_day_change(p, HARD), same_day_change(p, GOOD), same_day_change(p, EASY)
    )
    factor = change * exp(-p.w19 * log(stability))
    return stability * (max(ONE, factor) if grade >= HARD else factor)


@rule
def next_stability(p: Fsrs, stability: f32, difficulty: f32, recall: f32, is_same_day: Any, grade: f32) -> f32:
    """Return the stability after a later review, days; `difficulty` and `recall` are those before it."""
    lapsed = lapsed_stability(p, stability, difficulty, recall)
    later = lapsed if grade == AGAIN else recalled_stability(p, stability, difficulty, recall, grade)
    return max(LEAST_STABILITY, same_day_stability(p, stability, grade) if is_same_day else later)


@rule
def days_since(state: Memory, hours: f32) -> f32:
    """Return the days since the last review."""
    return max(ZERO, hours - state.reviewed) / HOURS_PER_DAY


@rule
def reviewed(p: Fsrs, state: Memory, recall: f32, hours: f32, grade: f32, weight: f32, rate: f32) -> Memory:
    """Return the state after a review at `hours`.

    recall  its probability before the review
    weight  factor of the change of stability
    rate    factor of its increase
    """
    is_first = state.stability == ZERO
    before, difficulty = ONE if is_first else state.stability, ONE if is_first else state.difficulty
    first = by_grade(grade, f32(p.w0), f32(p.w1), f32(p.w2), f32(p.w3))
    later = next_stability(p, before, difficulty, recall, days_since(state, hours) < ONE, grade)
    change = weight * ((first if is_first else later) - state.stability)
    grown = state.stability + change * (rate if change > ZERO else ONE)
    return Memory(
        stability=min(LARGEST_STABILITY, max(LEAST_STABILITY, grown)),
        difficulty=bounded(first_difficulty(p, grade)) if is_first else next_difficulty(p, difficulty, grade),
        reviewed=hours,
    )


# ── the dynamics ─────────────────────────────────────────────────────────────────────────────────


@rule
def observe(p: Fsrs, mastery: f32, state: Memory, hours: f32) -> f32:
    """Return the probability of recall; before the first review, the starting mastery."""
    is_reviewed = state.stability > ZERO
    recall = retrievability(p, state.stability if is_reviewed else ONE, days_since(state, hours))
    return recall if is_reviewed else mastery


@rule
def chance(p: Fsrs, learner: Learner, item: Item) -> f32:
    """Return the probability of a correct answer."""
    return chance_of(p, observe(p, learner.mastery, learner.lo_state, item.hours), learner, item)


@rule
def grade_of(correct: Any, noise: f32) -> f32:
    """Return the grade of an answer: 1 if it is wrong, else 4, 3 or 2 by the noise of the response time."""
    slow = HARD if noise > SLOW else GOOD
    return (EASY if noise < FAST else slow) if correct else AGAIN


@rule
def answer(p: Fsrs, learner: Learner, item: Item, draws: Draws) -> tuple[Learner, Outcome]:
    """Return the learner after a question, and the outcome. Recall at the time of a review is 1."""
    recall = observe(p, learner.mastery, learner.lo_state, item.hours)
    correct = draws.answer < chance_of(p, recall, learner, item)
    grade = grade_of(correct, draws.noise)
    memory = reviewed(p, learner.lo_state, recall, item.hours, grade, ONE, rate_of(p, item))
    after = answered(p, learner, item, draws, correct, ONE, ONE, learner.learner_state)
    return with_memory(after, memory), Outcome(correct=correct, gain=ONE - learner.mastery)


@rule
def study(p: Fsrs, learner: Learner, item: Item, draws: Draws) -> tuple[Learner, Outcome]:
    """Return the learner after a content, and the outcome: a review graded 3, by the effectiveness of the content."""
    recall = observe(p, learner.mastery, learner.lo_state, item.hours)
    memory = reviewed(p, learner.lo_state, recall, item.hours, GOOD, lesson_weight(item), rate_of(p, item))
    after = after_content(learner, item, ONE, learner.learner_state)
    return with_memory(after, memory), Outcome(correct=False, gain=ONE - learner.mastery)


__all__ = ["Fsrs", "Memory", "answer", "chance", "grade_of", "observe", "retrievability", "reviewed", "study"]
