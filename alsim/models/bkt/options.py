"""Arguments of `fit`: checks, and their resolved form."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np

from alsim.models.base import ModelError
from alsim.models.bkt.em import AscentSettings
from alsim.models.bkt.result import BY_ITEM
from alsim.models.bkt.skill import BKT, PARAMETERS, is_number, is_probability
from alsim.responses.log import Responses, check_answers

BELOW_HALF = {"p_guess": (0.0, 0.5), "p_slip": (0.0, 0.5)}
"""Bounds that exclude the inverted solution, in which students who know a skill answer wrongly."""


class ModelOptions(NamedTuple):
    """Checked description of the model to fit.

    by_item     parameters that differ by item, in the order of BY_ITEM
    classes     class of each item by name; None if each item is its own class
    bounds      (lower, upper) of each parameter; equal for a fixed one
    priors      (alpha, beta) of each parameter; (1, 1) for no prior
    student_sd  standard deviation of the students' offsets, logits; 0 for none
    """

    by_item: tuple[str, ...]
    classes: dict[str, str] | None
    bounds: dict[str, tuple[float, float]]
    priors: dict[str, tuple[float, float]]
    student_sd: float


class SearchOptions(NamedTuple):
    """Checked description of the search for the maximum.

    start   first starting point; None for BKT()
    starts  number of starting points
    seed    of the other starting points, which are random
    ascent  stopping rule and method of each search
    """

    start: BKT | None
    starts: int
    seed: int
    ascent: AscentSettings


def check_responses(responses: Any) -> None:
    """Raise ModelError unless `responses` is a log with at least one response of positive weight."""
    if not isinstance(responses, Responses):
        raise ModelError(
            f"knowledge tracing is fitted to Responses; got {type(responses).__name__}: make a log with "
            "Responses.from_arrays or read_responses"
        )
    check_answers(responses, "knowledge tracing")
    if len(responses) == 0 or responses.weight.sum() <= 0:
        raise ModelError(
            "knowledge tracing is fitted to at least one response of positive weight; the log has none: pass another"
        )


def read_model(
    forgets: bool, bounded: bool, bounds: Any, fixed: Any, priors: Any, by_item: Any, classes: Any, student_sd: Any
) -> ModelOptions:
    """Return the model that arguments of `fit` describe. Raises ModelError for invalid ones."""
    for option, value, example in (
        ("bounds", bounds, '{"p_guess": (0, 0.3)}'),
        ("fixed", fixed, '{"p_slip": 0.1}'),
        ("priors", priors, '{"p_learn": (2, 10)}'),
        ("classes", classes, '{"item 7": "multiple choice"}'),
    ):
        if value is not None and not isinstance(value, Mapping):
            raise ModelError(f"{option} must be a dictionary, such as {example}; got {value!r:.100}")
    _check_number("student_sd", student_sd)
    names = _names("by_item", by_item, BY_ITEM)
    if classes is not None:
        if not names:
            raise ModelError(
                "classes of items need a parameter that differs by item, but by_item is empty: "
                'pass for example by_item=["p_guess"]'
            )
        classes = {str(item): str(kind) for item, kind in classes.items()}  # names of items in a log are strings
    return ModelOptions(
        by_item=names,
        classes=classes,
        bounds=_bounds(forgets, bounded, bounds or {}, fixed or {}),
        priors=_priors(priors or {}),
        student_sd=float(student_sd),
    )


def read_search(
    start: Any, starts: Any, seed: Any, tolerance: Any, max_iterations: Any, accelerate: bool
) -> SearchOptions:
    """Return the search that arguments of `fit` describe. Raises ModelError for invalid ones."""
    if start is not None and not isinstance(start, BKT):
        raise ModelError(f"start must be a BKT, such as BKT(p_init=0.5), or None; got {start!r}")
    for name, value, least in (("starts", starts, 1), ("max_iterations", max_iterations, 1), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise ModelError(f"{name} must be an integer of at least {least}; got {value!r}")
    _check_number("tolerance", tolerance)
    return SearchOptions(start, starts, seed, AscentSettings(tolerance, max_iterations, accelerate))


def _check_number(name: str, value: Any) -> None:
    """Raise ModelError unless a value is a finite number of at least 0."""
    if not is_number(value) or not 0 <= value < np.inf:
        raise ModelError(f"{name} must be a finite number of at least 0; got {value!r}")


def _names(option: str, names: Any, allowed: Collection[str]) -> tuple[str, ...]:
    """Return names of parameters in the order of `allowed`. Raises ModelError for names that are not in it."""
    if not isinstance(names, Collection):
        raise ModelError(f"{option} must contain only {', '.join(allowed)}; got {names!r}")
    names = [names] if isinstance(names, str) else list(names)
    unknown = [name for name in names if name not in allowed]
    if unknown:
        raise ModelError(f"{option} must contain only {', '.join(allowed)}; got {unknown[0]!r}")
    return tuple(name for name in allowed if name in names)


def _bounds(
    forgets: bool, bounded: bool, bounds: Mapping[str, Any], fixed: Mapping[str, Any]
) -> dict[str, tuple[float, float]]:
    """Return (lower, upper) of each parameter; equal for a fixed one. Raises ModelError for invalid ones."""
    resolved = dict.fromkeys(PARAMETERS, (0.0, 1.0)) | (BELOW_HALF if bounded else {})
    if not forgets:
        resolved["p_forget"] = (0.0, 0.0)
    for name in _names("bounds", bounds, PARAMETERS):
        pair = bounds[name]
        if name == "p_forget" and not forgets:
            raise ModelError("bounds on p_forget need forgetting: pass forgets=True")
        if np.shape(pair) != (2,) or not all(map(is_probability, pair)) or not pair[0] < pair[1]:
            raise ModelError(
                f"the bounds of {name} must be probabilities (lower, upper) with lower < upper; got {pair!r}"
            )
        resolved[name] = float(pair[0]), float(pair[1])
    for name in _names("fixed", fixed, PARAMETERS):
        value = fixed[name]
        if not is_probability(value):
            raise ModelError(f"fixed {name} must be a probability, a number in [0, 1]; got {value!r}")
        resolved[name] = float(value), float(value)
    return resolved


def _priors(priors: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """Return (alpha, beta) of each parameter; (1, 1) for no prior. Raises ModelError for invalid ones."""
    resolved = dict.fromkeys(PARAMETERS, (1.0, 1.0))
    for name in _names("priors", priors, PARAMETERS):
        pair = priors[name]
        if np.shape(pair) != (2,) or not all(is_number(x) and 1 <= x < np.inf for x in pair):
            raise ModelError(f"the prior of {name} must be (alpha, beta), both numbers of at least 1; got {pair!r}")
        resolved[name] = float(pair[0]), float(pair[1])
    return resolved
