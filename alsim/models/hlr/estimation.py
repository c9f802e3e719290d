"""Fitting half-life regression to response logs with times, by penalised maximum likelihood."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from alsim.models.base import ModelError, Progress
from alsim.models.hlr.likelihood import Reviews, log_likelihood
from alsim.models.hlr.maximum import best_maximum
from alsim.models.hlr.memory import RECALLS
from alsim.models.hlr.result import HLRFit, chances_of
from alsim.models.practice import PRIOR, Practice, earlier_practice, times_of
from alsim.responses.log import Responses, check_answers
from alsim.types import Bools, Doubles

NAME = "half-life regression"
PSEUDO_ANSWERS = 1.0
"""Number of first answers, with the mean share of correct ones, that are added to those of each skill."""


def fit(
    responses: Responses,
    *,
    guess: float = 0.0,
    by_skill: bool = True,
    penalty: float = 1.0,
    tolerance: float = 1e-8,
    max_iterations: int = 200,
    progress: Progress | None = None,
) -> HLRFit:
    """Fit half-life regression to a log with times, by penalised maximum likelihood of the answers.

        P(correct) = guess + (1 - guess) 2^(-t / h)
        h = 2^(theta_right sqrt(1 + right) + theta_wrong sqrt(1 + wrong) + theta_0 + intercept_k) days

    h is held in [15 minutes, 274 days], and recall R = 2^(-t / h) is 0.0001 + 0.9998 R. right and wrong count the
    student's earlier answers to skill k, and t is the time since the last one. A study event counts as a correct
    answer. A response to several skills counts as one to each of them.

    responses       a log with the times of all responses and study events
    guess           probability of a correct answer without recall, in [0, 1): it is not estimated
    by_skill        False to leave out the intercepts of the skills
    penalty         factor of half the sum of squared intercepts, > 0: the precision of a normal prior with mean 0
    tolerance       largest component of the gradient at convergence, nats per answer, > 0
    max_iterations  largest number of Newton steps
    progress        called before each part of the fit, and at the end

    The first answers to a skill estimate its recall before any practice: their share of correct answers, corrected for
    guessing, as if each skill had one more such answer with the mean share. All others estimate the weights. Standard
    errors come from the inverse of the observed information.

    Raises ModelError for invalid settings, for a log without times or with times that run backwards, for answers that
    are all correct or all wrong, and for a log that does not determine the weights.
    Source: Settles & Meeder (2016), A trainable spaced repetition model for language learning, ACL. They minimise the
    squared errors of recall and half-life instead.
    """
    _check(guess, by_skill, penalty, tolerance, max_iterations)
    check_answers(responses, NAME)
    progress = progress or (lambda done, parts, message: None)
    progress(0, 3, "earlier practice")
    practice = earlier_practice(responses, times_of(responses, NAME))
    counts = responses.skill_counts()
    answered = np.flatnonzero(np.bincount(responses.skill, minlength=responses.num_skills))
    place = np.searchsorted(answered, responses.skill)
    sizes = np.diff(responses.skill_start)
    correct = np.repeat(responses.correct, sizes).astype(np.float64)
    weight = np.repeat(responses.weight[responses.student], sizes)
    first = np.isnan(practice.days)
    prior, pooled = _priors(correct, weight, place, first, len(answered), guess, by_skill)
    progress(1, 3, "weights")
    reviews = _reviews(practice, ~first, place, correct, weight, guess)
    size, precision = len(answered), float(penalty) if by_skill else math.inf
    found = best_maximum(reviews, size, precision, tolerance, max_iterations)
    progress(2, 3, "log-likelihood")
    weights = np.tile(found.at.weights, (len(answered), 1))
    weights[:, 2] += found.at.intercepts
    chance = chances_of(responses, practice, weights[place], prior[place], guess)
    value = log_likelihood(responses.correct.astype(np.float64), chance, responses.weight[responses.student])
    progress(3, 3, "done")
    return HLRFit(
        skills=responses.skills[answered],
        weights=found.at.weights,
        weight_errors=found.errors.weights,
        intercepts=found.at.intercepts,
        intercept_errors=found.errors.intercepts if by_skill else np.full(len(answered), np.nan),
        prior=prior,
        responses=counts[answered],
        pooled_prior=pooled,
        guess=float(guess),
        penalty=float(penalty),
        by_skill=by_skill,
        log_likelihood=value,
        num_responses=responses.num_responses,
        iterations=found.iterations,
        converged=found.converged,
    )


def _check(guess: Any, by_skill: Any, penalty: Any, tolerance: Any, max_iterations: Any) -> None:
    """Raise ModelError for invalid settings."""
    if not _is_number(guess) or not 0 <= guess < 1:
        raise ModelError(f"{NAME}: guess must be a number in [0, 1); got {guess!r:.100}: 0 is an open question")
    if not isinstance(by_skill, bool):
        raise ModelError(f"{NAME}: by_skill must be True or False; got {by_skill!r:.100}")
    for name, value in (("penalty", penalty), ("tolerance", tolerance)):
        if not _is_number(value) or not 0 < value < math.inf:
            raise ModelError(f"{NAME}: {name} must be a number above 0; got {value!r:.100}: leave it out")
    if isinstance(max_iterations, bool) or not isinstance(max_iterations, int) or max_iterations < 1:
        raise ModelError(f"{NAME}: max_iterations must be an integer of at least 1; got {max_iterations!r:.100}")


def _is_number(value: Any) -> bool:
    """Return whether a value is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _priors(
    correct: Doubles, weight: Doubles, skill: Any, first: Bools, size: int, guess: float, by_skill: bool
) -> tuple[Doubles, float]:
    """Return the recall before any practice, of each of K skills (K,) and of all, by first answers."""
    total, right = (np.bincount(skill[first], values[first], minlength=size) for values in (weight, weight * correct))
    if total.sum() == 0:
        return np.full(size, PRIOR), PRIOR
    share = right.sum() / total.sum()
    own = (right + PSEUDO_ANSWERS * share) / (total + PSEUDO_ANSWERS) if by_skill else np.full(size, share)
    low, high = RECALLS
    recall = ((np.append(own, share) - guess) / (1 - guess) - low) / (high - low)
    held = np.clip(recall, 0.0, 1.0)
    return held[:-1], float(held[-1])


def _reviews(practice: Practice, later: Bools, skill: Any, correct: Doubles, weight: Doubles, guess: float) -> Reviews:
    """Return the answers to practised skills. Raises ModelError if they are none, or all equal."""
    counted = later & (weight > 0)
    kinds = np.unique(correct[counted])
    if len(kinds) < 2:
        kind = ("wrong", "correct")[int(kinds[0])] if len(kinds) else ""
        fault = f"all {int(counted.sum()):,} are {kind}" if kind else "got none"
        raise ModelError(
            f"{NAME} needs correct and wrong answers to skills that the student has practised before; {fault}: "
            "pass a log in which students practise skills repeatedly"
        )
    features = np.sqrt(1 + np.column_stack([practice.right[later], practice.wrong[later], np.zeros(later.sum())]))
    return Reviews(features, skill[later].astype(np.int64), practice.days[later], correct[later], weight[later], guess)


__all__ = ["fit"]
