"""Calibration: what items are like, from the responses of students whose abilities nobody knows."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from alsim.models.base import ModelError, Progress
from alsim.models.irt.estimation import Estimate, Groups, Report, State, estimate, log_prior, quadrature
from alsim.models.irt.expectation import Patterns, patterns
from alsim.models.irt.fits import LEAST_NODES, MOST_NODES, IRTFit
from alsim.models.irt.maximisation import (
    LEAST_GUESSING,
    MODELS,
    MOST_GUESSING,
    MOST_INTERCEPT,
    MOST_SLOPE,
    Curves,
    Priors,
    Structure,
    logit,
)
from alsim.models.irt.standard_errors import MOST_CURVES, Uncertainty, uncertainty
from alsim.responses.log import Responses
from alsim.types import Bools, Doubles, Ints

DEFAULT_PRIORS = {"rasch": Priors(), "1pl": Priors(), "2pl": Priors(), "3pl": Priors(a=(0.0, 0.5), c=(5.0, 17.0))}
"""None but for the 3PL, whose likelihood alone seldom tells c: those of BILOG-MG, c near 0.2, log a near 0."""

NODES, TOLERANCE, MAX_ITERATIONS = 61, 1e-6, 1000
FIRST_GUESSING = 0.2
NAMED = 5
"""Items that a sentence names; it counts the others."""


def fit(
    responses: Responses,
    model: str = "2pl",
    *,
    priors: Priors | None = None,
    nodes: int = NODES,
    tolerance: float = TOLERANCE,
    max_iterations: int = MAX_ITERATIONS,
    standard_errors: bool = True,
    progress: Progress | None = None,
) -> IRTFit:
    """Calibrate items by marginal maximum likelihood.

        log L = sum over students of  weight log sum_k  g(theta_k) prod P_i(theta_k)^x (1 - P_i(theta_k))^(1 - x)

    responses        of any students to any items: what is missing is missing at random. Each response counts, also
                     further ones of a student to the same item, as if independent given the ability
    model            "rasch": a = 1; "1pl": one a for all items; "2pl": an a for each; "3pl": a c as well. Ability is
                     N(0, 1) in all of them
    priors           in place of the model's: none but for the 3PL, log a ~ N(0, 0.5) and c ~ Beta(5, 17)
    nodes            K, evenly spaced in [-6, 6]; their distance should be below that of a student's posterior sd
    tolerance        EM has converged when a step moves no a, d or c by more
    max_iterations   of EM; one that has not converged by then says so
    standard_errors  whether to compute them; without, they are NaN
    progress         told after each step

    An a may come out negative: an item that the able fail. |a| is held to 10, |d| to 30, and c within [1e-5, 0.6];
    `notes` name an item that ends at a bound. They name, too, one that all students answered alike: it has no finite
    estimate, and is left out unless d has a prior; and one of the log's that nobody answered.

    Raises ModelError for settings that cannot be, and for responses that say nothing of any item.
    Source: Bock & Aitkin (1981), Psychometrika 46, 443-459; Mislevy (1986) for the priors.
    """
    if not isinstance(responses, Responses):
        raise ModelError(f"responses are Responses, as Responses.from_matrix makes; got {type(responses).__name__}")
    priors = _checked(model, priors, nodes, tolerance, max_iterations)
    weight = responses.weight[responses.student]
    many = responses.num_items
    answered: Doubles = np.bincount(responses.item, weight, many).astype(np.float64)
    correct: Doubles = np.bincount(responses.item, weight * responses.correct, many).astype(np.float64)
    told = answered > 0 if priors.d is not None else (correct > 0) & (correct < answered)
    if not told.any():
        raise ModelError(
            f"no item of {many} has both correct and wrong responses: none has a finite estimate. Give d a prior: "
            "priors=Priors(d=(0, 2))"
        )
    found = _patterns(responses, told)
    theta = quadrature(nodes)
    structure = Structure(model, np.zeros(int(told.sum()), np.int64) if model == "1pl" else np.arange(told.sum()))
    ended = estimate(
        _start(answered[told], correct[told], structure),
        found,
        theta,
        structure,
        priors,
        tolerance=tolerance,
        max_iterations=max_iterations,
        progress=_reported(progress, max_iterations),
    )
    curves, nothing = ended.state.curves, np.full(int(told.sum()), np.nan)
    errors = Uncertainty(nothing, nothing, nothing, nothing, whole=True)
    if standard_errors:
        prior = log_prior(ended.state.groups, theta)
        errors = uncertainty(curves, found, ended.expected.counts, prior, theta, structure, priors)
    return IRTFit(
        variant=model,
        items=responses.items,
        a=_spread(curves.a, told),
        d=_spread(curves.d, told),
        c=_spread(curves.c, told),
        se_a=_spread(errors.a, told),
        se_b=_spread(errors.b, told),
        se_c=_spread(errors.c, told),
        se_d=_spread(errors.d, told),
        responses=answered,
        correct=correct,
        num_students=float(responses.weight.sum()),
        priors=priors,
        nodes=nodes,
        between=errors.whole,
        log_likelihood=ended.expected.log_likelihood,
        iterations=ended.iterations,
        converged=ended.converged,
        num_responses=round(float(answered.sum())),
        notes=_notes(responses, answered, told, ended, errors, standard_errors, tolerance),
    )


def _checked(model: str, priors: Priors | None, nodes: int, tolerance: float, max_iterations: int) -> Priors:
    """Return the priors; raises ModelError for settings that cannot be."""
    if model not in MODELS:
        raise ModelError(f"model is one of {', '.join(MODELS)}; got {model!r}")
    check_settings(nodes, tolerance, max_iterations)
    if priors is not None and not isinstance(priors, Priors):
        raise ModelError(f"priors are Priors; got {type(priors).__name__}")
    chosen = DEFAULT_PRIORS[model] if priors is None else priors
    for name, pair in chosen._asdict().items():
        if pair is not None:
            _check_prior(name, pair, model)
    return chosen


def check_settings(nodes: int, tolerance: float, max_iterations: int) -> None:
    """Raise ModelError for settings of EM that cannot be."""
    for name, value, least, most in (
        ("nodes", nodes, LEAST_NODES, MOST_NODES),
        ("max_iterations", max_iterations, 1, math.inf),
    ):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or not least <= value <= most:
            raise ModelError(f"{name} is an integer from {least} to {most}; got {value!r}")
    if not isinstance(tolerance, int | float | np.floating) or not 0 < tolerance < math.inf:
        raise ModelError(f"tolerance is a positive number; got {tolerance!r}")


def _check_prior(name: str, pair: tuple[float, float], model: str) -> None:
    if name == "c" and model != "3pl" or name == "a" and model == "rasch":
        raise ModelError(f"priors has one of {name}, which the model {model!r} does not estimate; got {pair!r}")
    try:
        first, second = map(float, pair)
    except (TypeError, ValueError):
        first = second = math.nan
    good = min(first, second) >= 1 if name == "c" else second > 0
    if not (good and math.isfinite(first) and math.isfinite(second)):
        expected = "two numbers of at least 1, alpha and beta" if name == "c" else "mean and sd, the sd above 0"
        raise ModelError(f"the prior of {name} is {expected}; got {pair!r}")


def _patterns(responses: Responses, told: Bools) -> Patterns:
    """Return the patterns of responses to the items that have estimates."""
    place = np.cumsum(told) - 1
    kept = told[responses.item]
    counts = np.bincount(responses.student[kept], minlength=responses.num_students)
    start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    code: Ints = (2 * place[responses.item[kept]] + responses.correct[kept]).astype(np.int32)
    return patterns(start, code, responses.weight, np.zeros(responses.num_students, np.int32))


def _start(answered: Doubles, correct: Doubles, structure: Structure) -> State:
    """Return where EM starts: a = 1, and d by the share of correct responses."""
    share = (correct + 0.5) / (answered + 1)
    c = np.full(len(share), FIRST_GUESSING if structure.guessing else 0.0)
    above = np.maximum(share - c, 0.02) / (1 - c)
    return State(Curves(np.ones(len(share)), logit(above), c), Groups(np.zeros(1), np.ones(1)))


def _spread(values: Doubles, told: Bools) -> Doubles:
    """Return values of the items that have estimates among all, NaN for the others."""
    spread = np.full(len(told), np.nan)
    spread[told] = values
    return spread


def _reported(progress: Progress | None, most: int) -> Report | None:
    """Return what tells `progress` of EM's steps."""
    if progress is None:
        return None

    def report(iterations: int, log_likelihood: float, change: float) -> None:
        progress(iterations, most, f"log-likelihood {log_likelihood:,.3f}, moved by {change:.1e}")

    return report


def _notes(
    responses: Responses,
    answered: Doubles,
    told: Bools,
    ended: Estimate,
    errors: Uncertainty,
    asked: bool,
    tolerance: float,
) -> tuple[str, ...]:
    """Return sentences on what is unlike the usual."""
    curves, names = ended.state.curves, responses.items[told]
    notes = []
    if not ended.converged:
        notes.append(f"not converged: the last of {ended.iterations} steps moved more than {tolerance:g}")
    for untold, why in ((~told & (answered > 0), "all answered alike"), (answered == 0, "nobody answered")):
        if untold.any():
            notes.append(f"no finite estimate, since {why}: {_named(responses.items[untold])}")
    bounds = (np.abs(curves.a) >= MOST_SLOPE) | (np.abs(curves.d) >= MOST_INTERCEPT)
    if bounds.any():
        notes.append(f"held at a bound, |a| = {MOST_SLOPE:g} or |d| = {MOST_INTERCEPT:g}: {_named(names[bounds])}")
    guessed = (curves.c >= MOST_GUESSING) | ((curves.c > 0) & (curves.c <= LEAST_GUESSING * 1.01))
    if guessed.any():
        notes.append(f"c held at a bound, {LEAST_GUESSING:g} or {MOST_GUESSING:g}: {_named(names[guessed])}")
    if (curves.a < 0).any():
        notes.append(f"answered better by the less able, a < 0: {_named(names[curves.a < 0])}")
    if asked and not errors.whole:
        notes.append(f"more than {MOST_CURVES} items: each standard error takes the other items for known")
    if asked and np.isnan(errors.d).all():
        notes.append("no standard errors: the information is not positive definite, so that this is no maximum")
    return tuple(notes)


def _named(names: NDArray[np.str_]) -> str:
    """Return the first of some names, and how many others there are."""
    others = f" and {len(names) - NAMED:,} others" if len(names) > NAMED else ""
    return ", ".join(map(str, names[:NAMED])) + others
