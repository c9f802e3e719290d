"""Fitting Bayesian knowledge tracing to a response log."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from alsim.models.base import ModelError, Progress
from alsim.models.bkt.chains import Groups, chains_of, groups_of
from alsim.models.bkt.em import Likelihood, Maximum, maximise, settle
from alsim.models.bkt.errors import at_bounds, standard_errors
from alsim.models.bkt.fitted import BY_ITEM, BKTFit, SkillFit
from alsim.models.bkt.skill import BKT, NAMES, is_probability
from alsim.responses.cells import Names
from alsim.responses.log import Responses
from alsim.types import Bools, Doubles, Longs

PARTS = ("p_init", "p_learn", "p_guess", "p_slip", "p_forget")
BELOW_HALF = {"p_guess": (0.0, 0.5), "p_slip": (0.0, 0.5)}
"""Bounds that leave out the inverted solution, in which those who know a skill answer wrongly."""

START_FORGET = 0.05
"""Where p_forget starts if it is to be fitted and `start` has none: EM never leaves 0."""

EDGE = 0.02
"""Random starts keep this share of a parameter's range from its ends."""


def fit(
    responses: Responses,
    *,
    forgets: bool = False,
    bounded: bool = True,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    fixed: Mapping[str, float] | None = None,
    priors: Mapping[str, tuple[float, float]] | None = None,
    by_item: Collection[str] = (),
    classes: Mapping[str, str] | None = None,
    student_sd: float = 0.0,
    start: BKT | None = None,
    starts: int = 1,
    seed: int = 0,
    tolerance: float = 1e-8,
    max_iterations: int = 10_000,
    accelerate: bool = True,
    errors: bool = True,
    progress: Progress | None = None,
) -> BKTFit:
    """Fit each skill by maximum likelihood, or by the mode of the posterior where there are priors.

    responses       of students; each skill of a response has its own chain, and sees it
    forgets         whether p_forget is fitted; otherwise it is 0, or what `fixed` says
    bounded         keep p_guess and p_slip in [0, 0.5]; otherwise all are in [0, 1]
    bounds          (lower, upper) by parameter, in place of those
    fixed           values of parameters that are not fitted
    priors          (alpha, beta) of a Beta density by parameter, both at least 1
    by_item         which of p_learn, p_guess, p_slip each item of a skill has for itself
    classes         a name for each item: items of the same share those; an item not named is a class of its own
    student_sd      standard deviation, logits, of a normal offset that each student's p_init has, in all skills:
                    fitted together with the rest, at the mode; 0 for students who are alike
    start           where to climb from, by default BKT(); p_forget from 0.05 if it is fitted and `start` has none
    starts          climb from `start` and from starts - 1 random points; the highest summit is kept, of each skill
    seed            of the random points
    tolerance       a skill has converged when what is left to gain is below this share of its log-likelihood
    max_iterations  EM steps and leaps from each start
    accelerate      leap where EM steps slowly (SQUAREM); the same maximum, sooner
    errors          whether to compute standard errors
    progress        told how many skills of how many have converged

    The likelihood, or the posterior density, never falls from one iteration to the next.

    Raises ModelError for a log without responses, options that cannot be, and responses that cannot be under
    parameters that are fixed. Sources: Corbett and Anderson (1995); by_item: Pardos and Heffernan (2011), KT-IDEM;
    student_sd: Pardos and Heffernan (2010), Modeling individualization in a Bayesian networks implementation of
    knowledge tracing, with the scale of Yudelson, Koedinger and Gordon (2013).
    """
    if not isinstance(responses, Responses):
        raise ModelError(f"knowledge tracing is fitted to Responses; got {type(responses).__name__}")
    if len(responses) == 0 or responses.weight.sum() <= 0:
        raise ModelError("knowledge tracing is fitted to responses; the log has none")
    if start is not None and not isinstance(start, BKT):
        raise ModelError(f"start is a BKT; got {start!r}")
    _check_numbers(starts, max_iterations, tolerance, student_sd, seed)
    for option, given in (("bounds", bounds), ("fixed", fixed), ("priors", priors), ("classes", classes)):
        if given is not None and not isinstance(given, Mapping):
            raise ModelError(f"{option} is a dictionary; got {given!r:.100}")
    names = _names("by_item", by_item, BY_ITEM)
    if classes is not None:
        if not names:
            raise ModelError("classes of items are for parameters that differ by item: by_item names none")
        classes = {str(item): str(kind) for item, kind in classes.items()}  # as a log names items
    groups = groups_of(responses, bool(names), classes)
    held = _held(forgets, bounded, bounds, fixed)
    likelihood = _likelihood(responses, groups, names, held, _priors(priors), float(student_sd))
    first = _start(start, likelihood, held)
    at = _best(likelihood, first, starts, seed, (tolerance, max_iterations, accelerate), progress)
    if accelerate:
        settle(likelihood, at)
    se = standard_errors(likelihood, at.theta) if errors else np.full(likelihood.num_probabilities, np.nan)
    return _summary(responses, groups, likelihood, at, se, names, classes)


def _check_numbers(starts: Any, max_iterations: Any, tolerance: Any, student_sd: Any, seed: Any) -> None:
    for name, value, least in (("starts", starts, 1), ("max_iterations", max_iterations, 1), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise ModelError(f"{name} is an integer from {least}; got {value!r}")
    for name, value in (("tolerance", tolerance), ("student_sd", student_sd)):
        if not _is_number(value) or not 0 <= value < np.inf:
            raise ModelError(f"{name} is a number from 0; got {value!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _names(option: str, given: Collection[str], allowed: Collection[str]) -> tuple[str, ...]:
    """Return parameters' names in the order of `allowed`."""
    if not isinstance(given, Collection):
        raise ModelError(f"{option} names some of {', '.join(allowed)}; got {given!r}")
    names = [given] if isinstance(given, str) else list(given)
    wrong = [name for name in names if name not in allowed]
    if wrong:
        raise ModelError(f"{option} names some of {', '.join(allowed)}; got {wrong[0]!r}")
    return tuple(name for name in allowed if name in names)


def _held(
    forgets: bool,
    bounded: bool,
    bounds: Mapping[str, tuple[float, float]] | None,
    fixed: Mapping[str, float] | None,
) -> dict[str, tuple[float, float]]:
    """Return the bounds of each parameter; a fixed one has no room between them."""
    held = dict.fromkeys(NAMES, (0.0, 1.0)) | (BELOW_HALF if bounded else {})
    if not forgets:
        held["p_forget"] = (0.0, 0.0)
    for name in _names("bounds", bounds or (), NAMES):
        pair = (bounds or {})[name]
        if name == "p_forget" and not forgets:
            raise ModelError("bounds on p_forget are for forgets=True")
        if np.shape(pair) != (2,) or not all(map(is_probability, pair)) or not pair[0] < pair[1]:
            raise ModelError(f"the bounds of {name} are probabilities (lower, upper), lower < upper; got {pair!r}")
        held[name] = float(pair[0]), float(pair[1])
    for name in _names("fixed", fixed or (), NAMES):
        value = (fixed or {})[name]
        if not is_probability(value):
            raise ModelError(f"fixed {name} is a probability, in [0, 1]; got {value!r}")
        held[name] = float(value), float(value)
    return held


def _priors(priors: Mapping[str, tuple[float, float]] | None) -> dict[str, tuple[float, float]]:
    """Return (alpha, beta) of each parameter."""
    found = dict.fromkeys(NAMES, (1.0, 1.0))
    for name in _names("priors", priors or (), NAMES):
        pair = (priors or {})[name]
        if np.shape(pair) != (2,) or not all(_is_number(x) and 1 <= x < np.inf for x in pair):
            raise ModelError(f"the prior of {name} is Beta(alpha, beta), both at least 1; got {pair!r}")
        found[name] = float(pair[0]), float(pair[1])
    return found


def _likelihood(
    responses: Responses,
    groups: Groups,
    by_item: tuple[str, ...],
    held: Mapping[str, tuple[float, float]],
    priors: Mapping[str, tuple[float, float]],
    student_sd: float,
) -> Likelihood:
    """Lay out the parameters: the parts of theta one after the other."""
    of_group: dict[str, Longs] = {}
    sizes: list[int] = []
    for name in PARTS:
        own = np.arange(len(groups)) if name in by_item else groups.skill
        of_group[name] = (own + sum(sizes)).astype(np.int64)
        sizes.append(len(groups) if name in by_item else responses.num_skills)
    lower, upper = (np.repeat([held[name][side] for name in PARTS], sizes) for side in (0, 1))
    alpha, beta = (np.repeat([priors[name][side] for name in PARTS], sizes) for side in (0, 1))
    offsets = np.full(responses.num_students if student_sd else 0, np.inf)
    return Likelihood(
        skills=responses.skills,
        group_skill=groups.skill,
        chains=chains_of(responses, groups, merge=not student_sd),
        of_group=of_group,
        lower=np.concatenate([lower, -offsets]),
        upper=np.concatenate([upper, offsets]),
        alpha=alpha,
        beta=beta,
        student_sd=student_sd,
        student_weight=responses.weight,
    )


def _start(start: BKT | None, likelihood: Likelihood, held: Mapping[str, tuple[float, float]]) -> Doubles:
    """Return the first start as theta, its offsets 0."""
    theta = np.zeros(len(likelihood.lower))
    for name in PARTS:
        value = getattr(start or BKT(), name)
        lower, upper = held[name]
        if name == "p_forget" and value == 0:
            value = START_FORGET
        value = min(max(value, lower), upper)
        if lower < upper and value in (0, 1):
            raise ModelError(f"EM never leaves {name} = {value:g}: start from between 0 and 1, or have it fixed")
        theta[likelihood.of_group[name]] = value
    return theta


def _random(likelihood: Likelihood, generator: np.random.Generator) -> Doubles:
    """Return a random start: anywhere between the bounds, but not quite at them."""
    theta = np.zeros(len(likelihood.lower))
    lower, upper = (bound[: likelihood.num_probabilities] for bound in (likelihood.lower, likelihood.upper))
    theta[: len(lower)] = lower + (upper - lower) * generator.uniform(EDGE, 1 - EDGE, len(lower))
    return theta


def _best(
    likelihood: Likelihood,
    first: Doubles,
    starts: int,
    seed: int,
    how: tuple[float, int, bool],
    progress: Progress | None,
) -> Maximum:
    """Climb from each start, and keep the best of each block."""
    tolerance, max_iterations, accelerate = how
    generator = np.random.default_rng(seed)
    best: Maximum | None = None
    for k in range(starts):

        def watch(at: Maximum, done: int = k * likelihood.num_blocks) -> None:
            if progress is not None:
                words = f"log-likelihood {at.log_likelihood.sum():.2f}"
                progress(done + int(at.converged.sum()), starts * likelihood.num_blocks, words)

        at = maximise(
            likelihood,
            first if k == 0 else _random(likelihood, generator),
            tolerance=tolerance,
            max_iterations=max_iterations,
            accelerate=accelerate,
            watch=watch,
        )
        best = at if best is None else _better(likelihood, best, at)
    assert best is not None
    return best


def _better(likelihood: Likelihood, best: Maximum, other: Maximum) -> Maximum:
    """Return of each block the higher of two."""
    higher = other.value > best.value
    skills = np.repeat(higher, likelihood.num_skills) if likelihood.student_sd else higher
    return Maximum(
        theta=np.where(higher[likelihood.block], other.theta, best.theta),
        value=np.where(higher, other.value, best.value),
        log_likelihood=np.where(skills, other.log_likelihood, best.log_likelihood),
        iterations=np.where(higher, other.iterations, best.iterations),
        converged=np.where(higher, other.converged, best.converged),
    )


def _summary(
    responses: Responses,
    groups: Groups,
    likelihood: Likelihood,
    at: Maximum,
    se: Doubles,
    by_item: tuple[str, ...],
    classes: Mapping[str, str] | None,
) -> BKTFit:
    """Put what was found into words."""
    size = likelihood.num_probabilities
    counts = np.bincount(groups.code // 2, minlength=len(groups))
    bound = at_bounds(likelihood, at.theta)
    block_of = np.zeros(responses.num_skills, np.int64) if likelihood.student_sd else np.arange(responses.num_skills)
    start = np.searchsorted(groups.skill, np.arange(responses.num_skills + 1))
    skills = {
        str(name): _skill(
            likelihood,
            at,
            np.arange(start[k], start[k + 1]),
            (se, bound, counts, groups.name),
            by_item,
            (float(at.log_likelihood[k]), int(at.iterations[block_of[k]]), bool(at.converged[block_of[k]])),
        )
        for k, name in enumerate(responses.skills.tolist())
        if start[k] < start[k + 1] and counts[start[k] : start[k + 1]].any()
    }
    return BKTFit(
        skills=skills,
        log_likelihood=float(at.log_likelihood.sum()),
        iterations=int(at.iterations.max()),
        converged=bool(at.converged.all()),
        num_responses=len(responses),
        penalised=float(at.value.sum()),
        by_item=by_item,
        classes=None if classes is None else dict(classes),
        students=dict(zip(map(str, responses.students), at.theta[size:].tolist(), strict=False)),
    )


def _skill(
    likelihood: Likelihood,
    at: Maximum,
    groups: Longs,
    found: tuple[Doubles, Bools, Longs, Names],
    by_item: tuple[str, ...],
    end: tuple[float, int, bool],
) -> SkillFit:
    """Return what was found of the skill that has these groups."""
    se, bound, counts, kinds = found
    share = counts[groups] / counts[groups].sum()
    places = {name: likelihood.of_group[name][groups] for name in NAMES}
    values = {name: float(np.clip(share @ at.theta[own], 0, 1)) for name, own in places.items() if name in by_item}
    values |= {name: float(at.theta[own[0]]) for name, own in places.items() if name not in by_item}
    items: dict[str, dict[str, float | None]] = {}
    if by_item:
        for c in groups:
            own = {name: float(at.theta[likelihood.of_group[name][c]]) for name in by_item}
            errors = {f"se_{name}": _or_none(se[likelihood.of_group[name][c]]) for name in by_item}
            items[str(kinds[c])] = {**own, **errors, "responses": int(counts[c])}
    return SkillFit(
        parameters=BKT(**values),
        log_likelihood=end[0],
        iterations=end[1],
        converged=end[2],
        responses=int(counts[groups].sum()),
        se={name: None if name in by_item else _or_none(se[places[name][0]]) for name in NAMES},
        at_bounds=tuple(name for name in NAMES if bound[places[name]].any()),
        items=items,
    )


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
