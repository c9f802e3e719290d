"""Fitting Bayesian knowledge tracing to a response log."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from alsim.models.base import ModelError, Progress
from alsim.models.bkt.chains import Groups, chains_of, groups_of
from alsim.models.bkt.em import Maximum, maximise, move_to_bounds
from alsim.models.bkt.likelihood import Likelihood
from alsim.models.bkt.options import ModelOptions, SearchOptions, check_responses, read_model, read_search
from alsim.models.bkt.result import BKTFit, SkillFit
from alsim.models.bkt.skill import BKT, PARAMETERS
from alsim.models.bkt.standard_errors import at_bounds, identified, standard_errors
from alsim.responses.cells import Names
from alsim.responses.log import Responses
from alsim.types import Bools, Doubles, Longs

START_FORGET = 0.05
"""Starting value of p_forget if it is fitted and is 0 in `start`, because EM never leaves 0."""

MARGIN = 0.02
"""Least distance of random starting points from the bounds, as a share of the range of a parameter."""


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
    """Fit each skill by maximum likelihood or, with priors, by the maximum of the posterior density.

    responses       a log; a response with several skills counts for each of them
    forgets         fit p_forget; otherwise it is 0, or its value in `fixed`
    bounded         keep p_guess and p_slip in [0, 0.5]; otherwise all parameters are in [0, 1]
    bounds          (lower, upper) by parameter, which replace the bounds of `bounded`
    fixed           values of parameters that are not fitted
    priors          (alpha, beta) of a Beta density by parameter, both at least 1
    by_item         parameters with a separate value for each item: any of p_learn, p_guess, p_slip
    classes         class of each item: items of a class share these parameters; an unlisted item is its own class
    student_sd      standard deviation, logits, of a normal prior of the students' offsets; the offset of a student is
                    added to the logit of p_init of every skill; 0 for no offsets
    start           first starting point, by default BKT(); if p_forget is fitted, 0 is replaced by 0.05
    starts          number of starting points: `start` and starts - 1 random ones; the best maximum of each skill is
                    kept
    seed            seed of the random starting points
    tolerance       a skill has converged when its remaining gain is below this share of its log-likelihood
    max_iterations  largest number of EM steps and extrapolations from each starting point
    accelerate      extrapolate slow EM steps (SQUAREM), which reaches the same maximum sooner
    errors          compute standard errors
    progress        called after each iteration with the number of converged skills, the number of all skills, and a
                    message; both numbers are totals over the starting points, and with offsets all skills count as one

    The objective never falls from one iteration to the next. Raises ModelError for a log without responses, for invalid
    arguments, and for responses that have probability 0 under the fixed parameters and bounds.

    Sources: Corbett and Anderson (1995); by_item: Pardos and Heffernan (2011), KT-IDEM; student_sd: Pardos and
    Heffernan (2010), Modeling individualization in a Bayesian networks implementation of knowledge tracing, with the
    scale of Yudelson, Koedinger and Gordon (2013).
    """
    check_responses(responses)
    model = read_model(forgets, bounded, bounds, fixed, priors, by_item, classes, student_sd)
    search = read_search(start, starts, seed, tolerance, max_iterations, accelerate)
    return _fit(responses, model, search, errors=errors, progress=progress)


def _fit(
    responses: Responses, model: ModelOptions, search: SearchOptions, *, errors: bool, progress: Progress | None
) -> BKTFit:
    """Fit a model with checked options."""
    groups = groups_of(responses, bool(model.by_item), model.classes)
    likelihood = _likelihood(responses, groups, model)
    at = _best(likelihood, _first_start(search.start, likelihood, model), search, progress)
    if search.ascent.accelerate:
        move_to_bounds(likelihood, at)
    se = standard_errors(likelihood, at.theta) if errors else None
    return _summary(responses, groups, likelihood, at, se, model)


def _likelihood(responses: Responses, groups: Groups, model: ModelOptions) -> Likelihood:
    """Return the likelihood, with the parts of theta in the order of PARAMETERS."""
    of_group: dict[str, Longs] = {}
    sizes: list[int] = []
    for name in PARAMETERS:
        within = np.arange(len(groups)) if name in model.by_item else groups.skill
        of_group[name] = (within + sum(sizes)).astype(np.int64)
        sizes.append(len(groups) if name in model.by_item else responses.num_skills)
    lower, upper = (np.repeat([model.bounds[name][side] for name in PARAMETERS], sizes) for side in (0, 1))
    alpha, beta = (np.repeat([model.priors[name][side] for name in PARAMETERS], sizes) for side in (0, 1))
    offsets = np.full(responses.num_students if model.student_sd else 0, np.inf)
    return Likelihood(
        skills=responses.skills,
        group_skill=groups.skill,
        chains=chains_of(responses, groups, merge=not model.student_sd),
        of_group=of_group,
        lower=np.concatenate([lower, -offsets]),
        upper=np.concatenate([upper, offsets]),
        alpha=alpha,
        beta=beta,
        student_sd=model.student_sd,
        student_weight=responses.weight,
    )


def _first_start(start: BKT | None, likelihood: Likelihood, model: ModelOptions) -> Doubles:
    """Return the first starting point (P,), with offsets of 0. Raises ModelError for a value that EM never leaves."""
    theta = np.zeros(len(likelihood.lower))
    for name in PARAMETERS:
        value = getattr(start or BKT(), name)
        lower, upper = model.bounds[name]
        if name == "p_forget" and value == 0:
            value = START_FORGET
        value = min(max(value, lower), upper)
        if lower < upper and value in (0, 1):
            raise ModelError(
                f"EM never leaves {name} = {value:g} of start: pass a start with a value between 0 and 1, or "
                f'fixed={{"{name}": {value:g}}}'
            )
        theta[likelihood.of_group[name]] = value
    return theta


def _random_start(likelihood: Likelihood, generator: np.random.Generator) -> Doubles:
    """Return a random starting point (P,), uniform between the bounds except for MARGIN, with offsets of 0."""
    theta = np.zeros(len(likelihood.lower))
    lower, upper = (bound[: likelihood.num_probabilities] for bound in (likelihood.lower, likelihood.upper))
    theta[: len(lower)] = lower + (upper - lower) * generator.uniform(MARGIN, 1 - MARGIN, len(lower))
    return theta


def _best(likelihood: Likelihood, first: Doubles, search: SearchOptions, progress: Progress | None) -> Maximum:
    """Return, for each block, the best maximum over all starting points."""
    generator = np.random.default_rng(search.seed)
    best: Maximum | None = None
    for k in range(search.starts):

        def watch(at: Maximum, done: int = k * likelihood.num_blocks) -> None:
            if progress is not None:
                message = f"log-likelihood {at.log_likelihood.sum():.2f}"
                progress(done + int(at.converged.sum()), search.starts * likelihood.num_blocks, message)

        theta = first if k == 0 else _random_start(likelihood, generator)
        at = maximise(likelihood, theta, search.ascent, watch)
        best = at if best is None else _better(likelihood, best, at)
    assert best is not None
    return best


def _better(likelihood: Likelihood, best: Maximum, other: Maximum) -> Maximum:
    """Return, for each block, the better of two maxima."""
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
    responses: Responses, groups: Groups, likelihood: Likelihood, at: Maximum, se: Doubles | None, model: ModelOptions
) -> BKTFit:
    """Return a maximum and its standard errors (P,), None if they were not computed, as a fit."""
    size = likelihood.num_probabilities
    owner = np.repeat(responses.student, np.diff(responses.skill_start))
    counts: Doubles = np.bincount(groups.code // 2, responses.weight[owner], len(groups)).astype(np.float64)
    bound = at_bounds(likelihood, at.theta)
    block_of = np.zeros(responses.num_skills, np.int64) if likelihood.student_sd else np.arange(responses.num_skills)
    start = np.searchsorted(groups.skill, np.arange(responses.num_skills + 1))
    is_identified = identified(likelihood, at.theta, se, at.converged[block_of])
    se = np.full(size, np.nan) if se is None else se
    skills = {
        str(name): _skill_fit(
            likelihood,
            at,
            np.arange(start[k], start[k + 1]),
            (se, bound, counts, groups.name),
            model.by_item,
            (float(at.log_likelihood[k]), int(at.iterations[block_of[k]]), bool(at.converged[block_of[k]])),
        )._replace(identified=bool(is_identified[k]))
        for k, name in enumerate(responses.skills.tolist())
        if start[k] < start[k + 1] and counts[start[k] : start[k + 1]].any()
    }
    return BKTFit(
        skills=skills,
        log_likelihood=float(at.log_likelihood.sum()),
        iterations=int(at.iterations.max()),
        converged=bool(at.converged.all()),
        num_responses=responses.num_responses,
        penalised=float(at.value.sum()),
        by_item=model.by_item,
        classes=model.classes,
        students=dict(zip(map(str, responses.students), at.theta[size:].tolist(), strict=False)),
    )


def _skill_fit(
    likelihood: Likelihood,
    at: Maximum,
    groups: Longs,
    of_groups: tuple[Doubles, Bools, Doubles, Names],
    by_item: tuple[str, ...],
    end: tuple[float, int, bool],
) -> SkillFit:
    """Return the fit of one skill.

    groups     numbers of the groups of the skill
    of_groups  standard errors (P,) and whether at a bound (P,) of all parameters; number of responses (C,), weighted
               by their students, and class of items (C,) of all groups
    end        log-likelihood of the skill, iterations, and whether it converged
    """
    se, bound, counts, kinds = of_groups
    share = counts[groups] / counts[groups].sum()
    places = {name: likelihood.of_group[name][groups] for name in PARAMETERS}
    values = {
        name: float(np.clip(share @ at.theta[indices], 0, 1)) for name, indices in places.items() if name in by_item
    }
    values |= {name: float(at.theta[indices[0]]) for name, indices in places.items() if name not in by_item}
    items: dict[str, dict[str, float | None]] = {}
    if by_item:
        for c in groups:
            estimates = {name: float(at.theta[likelihood.of_group[name][c]]) for name in by_item}
            errors = {f"se_{name}": _finite_or_none(se[likelihood.of_group[name][c]]) for name in by_item}
            items[str(kinds[c])] = {**estimates, **errors, "responses": round(float(counts[c]))}
    return SkillFit(
        parameters=BKT(**values),
        log_likelihood=end[0],
        iterations=end[1],
        converged=end[2],
        responses=max(1, round(float(counts[groups].sum()))),
        se={name: None if name in by_item else _finite_or_none(se[places[name][0]]) for name in PARAMETERS},
        at_bounds=tuple(name for name in PARAMETERS if bound[places[name]].any()),
        items=items,
    )


def _finite_or_none(value: float) -> float | None:
    """Return a value, or None if it is not finite."""
    return float(value) if np.isfinite(value) else None
