"""Calibration: estimation of item parameters from the responses of students whose abilities are unknown."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alsim.models.base import ModelError, Progress
from alsim.models.irt.estimation import STANDARD_NORMAL, EMResult, State, StepCallback, log_prior, quadrature, run_em
from alsim.models.irt.expectation import Patterns, collapse
from alsim.models.irt.fitted import MAX_NODES, MIN_NODES, NOT_A_MAXIMUM, IRTFit
from alsim.models.irt.maximisation import (
    MAX_GUESSING,
    MAX_INTERCEPT,
    MAX_SLOPE,
    MIN_GUESSING,
    MODELS,
    Curves,
    Priors,
    Structure,
    at_bounds,
    logit,
)
from alsim.models.irt.standard_errors import MAX_JOINT_CURVES, Uncertainty, uncertainty
from alsim.responses.log import Responses, check_answers
from alsim.types import Bools, Doubles, Ints

DEFAULT_PRIORS = {"rasch": Priors(), "1pl": Priors(), "2pl": Priors(), "3pl": Priors(a=(0.0, 0.5), c=(5.0, 17.0))}
"""Default priors. Only the 3PL has any, since its likelihood seldom determines c; they resemble those of BILOG-MG."""

NODES, TOLERANCE, MAX_ITERATIONS = 61, 1e-6, 1000
INITIAL_GUESSING = 0.2
"""Value of c at which EM starts."""
CRITICAL_RATIO = 10.828
"""99.9 % quantile of the chi-squared distribution with one degree of freedom."""
SPREAD_TOLERANCE = 1e-4
"""Tolerance of the estimated standard deviation of ability in a note."""
MAX_LISTED_ITEMS = 5
"""Largest number of items that a note lists by name."""


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

    x is 1 for a correct and 0 for a wrong response; g is the standard normal density, scaled so that its values at the
    nodes theta_k sum to 1.

    responses        responses of any students to any items; absent ones are treated as missing at random. Repeated
                     responses of a student to an item count as independent responses given ability
    model            "rasch": a = 1; "1pl": one a for all items; "2pl": one a per item; "3pl": also one c per item.
                     Ability is N(0, 1) in all models. "rasch" is the constrained model of ltm. The Rasch model of
                     mirt, TAM and ConQuest has a = 1 and estimates the variance of ability: its likelihood is that of
                     "1pl", whose a is their standard deviation of ability
    priors           prior densities that replace the defaults. Only the 3PL has defaults: log a is normal with mean 0
                     and standard deviation 0.5, and c ~ Beta(5, 17). See `Priors`
    nodes            K, the number of equally spaced nodes in [-6, 6]. Their distance should be less than the posterior
                     standard deviation of a student's ability
    tolerance        EM has converged when a step changes no a, d or c by more than this
    max_iterations   limit of EM steps; `converged` is False if it is reached
    standard_errors  whether to compute standard errors; without them, they are NaN
    progress         callback after each EM step

    Returns an IRTFit. An estimate of a may be negative, for an item that is answered better by students of lower
    ability. The estimates are bounded: |a| by 10, |d| by 30, and c by [1e-5, 0.6]. An item whose responses are all
    correct or all wrong has no finite estimate, and is left out unless d has a prior. `notes` list such items, items
    without responses, and items whose estimate is at a bound. They say if the abilities of a "rasch" fit have another
    standard deviation than 1.

    Raises ModelError for invalid settings, and for responses that determine no item's parameters.
    Source: Bock & Aitkin (1981), Psychometrika 46, 443-459; Mislevy (1986), Psychometrika 51, 177-195, for the priors.
    """
    if not isinstance(responses, Responses):
        raise ModelError(
            f"responses must be Responses, such as Responses.from_matrix returns; got {type(responses).__name__}"
        )
    check_answers(responses, "an item response model")
    model = model.lower() if isinstance(model, str) and model.lower() in MODELS else model
    priors = _checked(model, priors, nodes, tolerance, max_iterations)
    counts = _item_counts(responses, priors)
    patterns, theta = _patterns(responses, counts.estimated), quadrature(nodes)
    num_estimated = int(counts.estimated.sum())
    structure = Structure(model, np.zeros(num_estimated, np.int64) if model == "1pl" else np.arange(num_estimated))
    start = _start(counts.answered[counts.estimated], counts.correct[counts.estimated], structure)
    callback = _step_callback(progress, max_iterations)
    result = run_em(
        start, patterns, theta, structure, priors, tolerance=tolerance, max_iterations=max_iterations, callback=callback
    )
    errors = None
    if standard_errors:
        prior = log_prior(result.state.groups, theta)
        errors = uncertainty(result.state.curves, patterns, result.expected.counts, prior, theta, structure, priors)
    notes = _notes(responses, counts, result, errors, tolerance)
    if model == "rasch":
        notes += _notes_on_spread(result, patterns, theta, priors, tolerance, max_iterations)
    return _as_fit(responses, counts, structure, priors, nodes, result, errors, notes)


class _ItemCounts(NamedTuple):
    """Responses to I items, each (I,)."""

    answered: Doubles  # sum of the weights of the responses
    correct: Doubles  # sum of the weights of the correct responses
    estimated: Bools  # True for items that have finite estimates


def _item_counts(responses: Responses, priors: Priors) -> _ItemCounts:
    """Return the responses to each item; raises ModelError if no item has finite estimates."""
    weight, num_items = responses.weight[responses.student], responses.num_items
    answered: Doubles = np.bincount(responses.item, weight, num_items).astype(np.float64)
    correct: Doubles = np.bincount(responses.item, weight * responses.correct, num_items).astype(np.float64)
    estimated = answered > 0 if priors.d is not None else (correct > 0) & (correct < answered)
    if not estimated.any():
        raise ModelError(
            f"no item of {num_items} has both correct and wrong responses: none has a finite estimate. Give d a prior: "
            "priors=Priors(d=(0, 2))"
        )
    return _ItemCounts(answered, correct, estimated)


def _as_fit(
    responses: Responses,
    counts: _ItemCounts,
    structure: Structure,
    priors: Priors,
    nodes: int,
    result: EMResult,
    errors: Uncertainty | None,
    notes: tuple[str, ...],
) -> IRTFit:
    """Return the fit; items without estimates, and all standard errors if `errors` is None, are NaN."""

    def expanded(values: Doubles | float) -> Doubles:
        column = np.full(len(counts.estimated), np.nan)
        column[counts.estimated] = values
        return column

    a, d, c = (expanded(column) for column in result.state.curves)
    return IRTFit(
        variant=structure.model,
        items=responses.items,
        a=a,
        d=d,
        c=c,
        se_a=expanded(np.nan if errors is None else errors.a),
        se_b=expanded(np.nan if errors is None else errors.b),
        se_c=expanded(np.nan if errors is None else errors.c),
        se_d=expanded(np.nan if errors is None else errors.d),
        responses=counts.answered,
        correct=counts.correct,
        num_students=responses.num_respondents,
        priors=priors,
        nodes=nodes,
        between=errors is None or errors.joint,
        log_likelihood=result.expected.log_likelihood,
        iterations=result.iterations,
        converged=result.converged,
        num_responses=round(float(counts.answered.sum())),
        notes=notes,
    )


def _checked(model: str, priors: Priors | None, nodes: int, tolerance: float, max_iterations: int) -> Priors:
    """Return the priors, or the model's defaults for None; raises ModelError for invalid settings."""
    if model not in MODELS:
        raise ModelError(f"model must be one of {', '.join(MODELS)}; got {model!r}")
    check_settings(nodes, tolerance, max_iterations)
    if priors is not None and not isinstance(priors, Priors):
        raise ModelError(f"priors must be Priors; got {type(priors).__name__}")
    chosen = DEFAULT_PRIORS[model] if priors is None else priors
    for name, pair in chosen._asdict().items():
        if pair is not None:
            _check_prior(name, pair, model)
    return chosen


def check_settings(nodes: int, tolerance: float, max_iterations: int) -> None:
    """Raise ModelError for invalid settings of EM."""
    for name, value, low, high in (
        ("nodes", nodes, MIN_NODES, MAX_NODES),
        ("max_iterations", max_iterations, 1, math.inf),
    ):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or not low <= value <= high:
            raise ModelError(f"{name} must be an integer from {low} to {high}; got {value!r}")
    if not isinstance(tolerance, int | float | np.floating) or not 0 < tolerance < math.inf:
        raise ModelError(f"tolerance must be a positive number; got {tolerance!r}")


def _check_prior(name: str, pair: tuple[float, float], model: str) -> None:
    """Raise ModelError if the prior of parameter `name` is invalid, or if the model does not estimate it."""
    if name == "c" and model != "3pl" or name == "a" and model == "rasch":
        raise ModelError(
            f"priors has a prior of {name}, which the model {model!r} does not estimate; got {pair!r}: leave it out"
        )
    try:
        first, second = map(float, pair)
    except (TypeError, ValueError):
        first = second = math.nan
    valid = min(first, second) >= 1 if name == "c" else second > 0
    if not (valid and math.isfinite(first) and math.isfinite(second)):
        expected = "two numbers of at least 1, alpha and beta" if name == "c" else "mean and sd, with sd above 0"
        raise ModelError(f"the prior of {name} must be {expected}; got {pair!r}")


def _patterns(responses: Responses, estimated: Bools) -> Patterns:
    """Return the patterns of responses to the items that are estimated."""
    curve = np.cumsum(estimated) - 1
    kept = estimated[responses.item]
    counts = np.bincount(responses.student[kept], minlength=responses.num_students)
    start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    code: Ints = (2 * curve[responses.item[kept]] + responses.correct[kept]).astype(np.int32)
    return collapse(start, code, responses.weight, np.zeros(responses.num_students, np.int32))


def _start(answered: Doubles, correct: Doubles, structure: Structure) -> State:
    """Return the initial estimates of EM: a = 1, and d from the share of correct responses."""
    share = (correct + 0.5) / (answered + 1)
    c = np.full(len(share), INITIAL_GUESSING if structure.has_guessing else 0.0)
    above = np.maximum(share - c, 0.02) / (1 - c)
    return State(Curves(np.ones(len(share)), logit(above), c), STANDARD_NORMAL)


def _step_callback(progress: Progress | None, max_iterations: int) -> StepCallback | None:
    """Return a callback for EM that reports each step to `progress`."""
    if progress is None:
        return None

    def report(iterations: int, log_likelihood: float, change: float) -> None:
        progress(iterations, max_iterations, f"log-likelihood {log_likelihood:,.3f}, largest change {change:.1e}")

    return report


def _notes(
    responses: Responses, counts: _ItemCounts, result: EMResult, errors: Uncertainty | None, tolerance: float
) -> tuple[str, ...]:
    """Return sentences about unusual results of a fit; `errors` is None if no standard errors were computed."""
    curves, names = result.state.curves, responses.items[counts.estimated]
    notes = []
    if not result.converged:
        notes.append(
            f"not converged: the last of {result.iterations} steps changed a parameter by more than {tolerance:g}; "
            "raise max_iterations"
        )
    for missing, reason in (
        (~counts.estimated & (counts.answered > 0), "all responses are equal"),
        (counts.answered == 0, "there are no responses"),
    ):
        if missing.any():
            notes.append(f"no finite estimate, since {reason}: {_listed(responses.items[missing])}")
    bounds = at_bounds(curves.a, curves.d)
    if bounds.any():
        notes.append(
            f"estimate at a bound, |a| = {MAX_SLOPE:g} or |d| = {MAX_INTERCEPT:g}, so that the item has no standard "
            f"errors: {_listed(names[bounds])}; leave the item out, or set a prior of a"
        )
    bounds = (curves.c >= MAX_GUESSING) | ((curves.c > 0) & (curves.c <= MIN_GUESSING))
    if bounds.any():
        notes.append(f"c at a bound, {MIN_GUESSING:g} or {MAX_GUESSING:g}: {_listed(names[bounds])}")
    if (curves.a < 0).any():
        notes.append(f"answered better by students of lower ability, a < 0: {_listed(names[curves.a < 0])}")
    if errors is not None and not errors.joint:
        notes.append(f"more than {MAX_JOINT_CURVES} items: each standard error treats the other items as known")
    if errors is not None and np.isnan(errors.d[~at_bounds(curves.a, curves.d)]).all():
        notes.append(NOT_A_MAXIMUM)
    return tuple(notes)


def _notes_on_spread(
    result: EMResult, patterns: Patterns, theta: Doubles, priors: Priors, tolerance: float, max_iterations: int
) -> tuple[str, ...]:
    """Return a note if the standard deviation of ability in a fit of the Rasch model is not 1, by a likelihood ratio.

    A common a of all items, as in the 1PL, is the standard deviation of ability if a is 1 instead.
    """
    curves = result.state.curves
    common = Structure("1pl", np.zeros(len(curves.a), np.int64))
    limits: dict[str, Any] = {"tolerance": max(tolerance, SPREAD_TOLERANCE), "max_iterations": max_iterations}
    free = run_em(result.state, patterns, theta, common, priors, **limits)
    ratio, sd = 2 * (free.expected.log_likelihood - result.expected.log_likelihood), float(free.state.curves.a[0])
    if ratio < CRITICAL_RATIO:
        return ()
    return (
        f"the abilities vary {'more' if sd > 1 else 'less'} than N(0, 1): their standard deviation is about {sd:.2f} "
        f"(likelihood ratio {ratio:.1f}, 1 degree of freedom, p < 0.001); use the model 1pl, which is the Rasch model "
        "with this standard deviation, as in mirt, TAM and ConQuest",
    )


def _listed(names: NDArray[np.str_]) -> str:
    """Return the first names as text, and the number of the others."""
    others = f" and {len(names) - MAX_LISTED_ITEMS:,} others" if len(names) > MAX_LISTED_ITEMS else ""
    return ", ".join(map(str, names[:MAX_LISTED_ITEMS])) + others
