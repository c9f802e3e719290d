"""Student models fitted again to a log of responses, with what was known before as the prior."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from alsim.engine.catalogue import Catalogue
from alsim.engine.difficulties import ItemPriors, mean_curves, priors_of, shrunken_difficulties
from alsim.engine.errors import EngineError
from alsim.models.base import ModelError
from alsim.models.irt.curves import ItemParameters, probability
from alsim.models.student.ability import AbilityModel
from alsim.models.student.base import StudentModel
from alsim.models.student.bkt import BKTModel
from alsim.models.student.dkt import DKTModel
from alsim.models.student.elo import EloModel
from alsim.models.student.glicko import GlickoModel
from alsim.models.student.hlr import HLRModel
from alsim.models.student.memory import MemoryModel
from alsim.models.student.pfa import PFAModel
from alsim.responses.log import Responses, codes_of
from alsim.types import Bools, Codes, Doubles, Longs, describe, short_repr

ENOUGH = 200
"""Number of responses from which an item of `irt` is calibrated without its expected difficulty."""
STRENGTH = 20.0
"""Number of observations that the prior of a parameter of `bkt` is worth."""
TOLERANCE, MOST_ROUNDS = 0.005, 100
"""Change of difficulties, logits, and number of rounds, at which the calibration of `irt` ends."""
ROWS = 2**16
"""Number of responses whose posteriors are in memory at once."""
RATING_INFORMATION = 0.2
"""Information of a response about an Elo rating, 1/logit^2: that of an item of suitable difficulty."""


@short_repr
class Refit(NamedTuple):
    """A student model after a fit."""

    model: StudentModel
    """The model."""
    calibrated: Bools
    """True for the items of the model whose parameters come from responses, (I,)."""


def refit(model: StudentModel, catalogue: Catalogue, log: Responses) -> Refit:
    """Return a student model fitted to responses.

    model      bkt: by EM, each skill with a Beta prior around its present parameters
               irt: items with ENOUGH responses of both kinds by marginal maximum likelihood; the others by shrinkage
               elo, glicko: difficulties by shrinkage, given the ratings
               pfa: as `alsim.models.pfa.fit`
               hlr: as `alsim.models.hlr.fit`, with the mean of the model's guessing
               dkt: as `alsim.models.dkt.fit`, with the sizes of the present network
    catalogue  with the expected difficulties, towards which those of `irt`, `elo` and `glicko` are shrunken
    log        responses whose items are those of the model by name

    What has no responses keeps its parameters; skills of dkt have the mean weights of those with responses. Raises
    EngineError for a model of another class, and for a log to which the model cannot be fitted.
    """
    for kind, fit in FITS.items():
        if isinstance(model, kind):
            try:
                return fit(model, catalogue, log)
            except ModelError as error:
                raise EngineError(f"the student model cannot be fitted to the log: {error}") from error
    raise EngineError(
        f"the student model {describe(model)} cannot be fitted again: make an engine with another model, or pass "
        "refit=, a function of the log and of the model that returns the new one"
    )


def _answered(model: StudentModel, codes: Longs) -> Bools:
    """Return the items of a model that have responses."""
    return np.bincount(codes, minlength=len(model.items)) > 0


# ── models of skills ────────────────────────────────────────────────────────────────────────────


def _bkt(model: BKTModel, _: Catalogue, log: Responses) -> Refit:
    """Return a model of Bayesian knowledge tracing with the parameters of a fit by skill."""
    from alsim.models.bkt import fit

    names = ("p_init", "p_learn", "p_guess", "p_slip", *(("p_forget",) if (model.p_forget > 0).any() else ()))
    present = _present(model, names)
    by_skill = {name: np.full(model.items.num_skills, np.nan) for name in (*names, "p_forget")}
    of_model = codes_of(log.skills, model.items.skills)[log.skill]  # skill of the model, by skill of each response
    owner = np.repeat(np.arange(len(log)), np.diff(log.skill_start))
    groups, group = np.unique(present, axis=0, return_inverse=True)
    for g, means in enumerate(groups.tolist()):
        member = group.reshape(-1) == g
        rows = np.unique(owner[(of_model >= 0) & member[of_model]])
        if len(rows) == 0:
            continue
        priors = {name: (1 + STRENGTH * m, 1 + STRENGTH * (1 - m)) for name, m in zip(names, means, strict=True)}
        options: Any = {"forgets": "p_forget" in names, "errors": False, "tolerance": 1e-6, "max_iterations": 1000}
        found = fit(log.take(rows), priors=priors, **options)
        for k in np.flatnonzero(member).tolist():
            skill = str(model.items.skills[k])
            for name, values in by_skill.items():
                if skill in found.skills:
                    values[k] = getattr(found.skills[skill].parameters, name)
    return Refit(of_skills(model, by_skill), _answered(model, model.items.codes(log)))


def _present(model: BKTModel, names: Sequence[str]) -> Doubles:
    """Return the parameters of each skill of a model, (K, P), in [0.001, 0.999]: means over its items."""
    size = np.bincount(model.items.skill, minlength=model.items.num_skills)
    columns = [
        getattr(model, name)
        if name == "p_init"
        else np.bincount(model.items.skill, getattr(model, name), model.items.num_skills) / size
        for name in names
    ]
    return np.asarray(np.clip(np.stack(columns, axis=1), 0.001, 0.999).round(12))


def of_skills(model: BKTModel, by_skill: dict[str, Doubles]) -> BKTModel:
    """Return a model with other parameters of some skills: arrays (K,) by name, NaN for skills that keep theirs."""
    changed = {name: values if name == "p_init" else values[model.items.skill] for name, values in by_skill.items()}
    arrays = {
        name: np.where(np.isnan(changed.get(name, old * np.nan)), old, changed.get(name, old))
        for name, old in model.arrays().items()
    }
    return type(model)(model.items, **arrays, p_content=model.p_content, offsets=model.offsets)


def _pfa(model: PFAModel, _: Catalogue, log: Responses) -> Refit:
    """Return a model of performance factors analysis with the coefficients of a fit."""
    from alsim.models.pfa import fit

    found = fit(log)
    codes = codes_of(model.items.skills, found.skills)
    coefficients = np.where(codes[:, None] < 0, model.coefficients, found.coefficients[codes])
    return Refit(PFAModel(model.items, coefficients), _answered(model, model.items.codes(log)))


def _hlr(model: HLRModel, _: Catalogue, log: Responses) -> Refit:
    """Return a half-life regression with the weights of a fit; guessing stays."""
    from alsim.models.hlr import fit

    found = HLRModel.of_fit(fit(log, guess=float(model.guess.mean())), model.items)
    made = HLRModel(model.items, found.weights, found.prior, model.guess, p_content=model.p_content)
    return Refit(made, _answered(model, model.items.codes(log)))


def _dkt(model: DKTModel, _: Catalogue, log: Responses) -> Refit:
    """Return a model of deep knowledge tracing with the weights of a fit."""
    from alsim.models.dkt import fit

    embedding, gates = model.arrays()["into"].shape
    found = fit(log, hidden=gates // 4, embedding=embedding)
    return Refit(DKTModel.of_fit(found, model.items), _answered(model, model.items.codes(log)))


# ── models of items ─────────────────────────────────────────────────────────────────────────────


def _ratings(model: EloModel | GlickoModel, catalogue: Catalogue, log: Responses) -> Refit:
    """Return a model of ratings with difficulties that are shrunken, given the ratings before each response."""
    codes = model.items.codes(log)
    mean, sd = _ratings_before(model, log, codes)
    priors = priors_of(catalogue, model.items.names.tolist())
    guess = model.guess if isinstance(model, EloModel) else np.zeros(len(codes))
    nodes = np.linspace(-8.0, 8.0, 81)
    found = np.stack([priors.mean, priors.sd])
    has = _answered(model, codes)
    for rows in _by_item(codes):
        posterior = np.exp(-(((nodes - mean[rows, None]) / sd[rows, None]) ** 2) / 2)
        items = np.unique(codes[rows])
        of_items = [values[items] for values in (priors.mean, priors.sd)]
        c = guess[items] if isinstance(model, EloModel) else 0.0
        local = np.searchsorted(items, codes[rows])
        found[:, items] = shrunken_difficulties(local, log.correct[rows], posterior, nodes, *of_items, c=c)[:2]
    difficulty = np.where(has, found[0], model.difficulty)
    if isinstance(model, EloModel):
        return Refit(EloModel(model.items, difficulty, model.guess, model.initial, a=model.a, b=model.b), has)
    spread = np.where(has, found[1], model.difficulty_sd)
    drift = model.drift
    return Refit(GlickoModel(model.items, difficulty, spread, model.initial, model.initial_sd, drift=drift), has)


def _ratings_before(model: EloModel | GlickoModel, log: Responses, codes: Longs) -> tuple[Doubles, Doubles]:
    """Return the mean rating of the skills of each item before its response, and its standard deviation, (R,) each."""
    lengths = np.diff(log.start)
    students, mean, variance = model.start(log.num_students), np.empty(len(log)), np.empty(len(log))
    for t in range(lengths.max(initial=0)):
        rows = np.flatnonzero(lengths > t)
        place = log.start[rows] + t
        members, share = model.items.members[codes[place]], model.items.share[codes[place]]
        mean[place], variance[place] = 0.0, 0.0
        for m in range(members.shape[1]):
            spot = rows, members[:, m]
            if isinstance(model, GlickoModel):
                spread = students["variance"][spot]
            else:
                spread = 1.0 / (1.0 + RATING_INFORMATION * students["count"][spot])
            mean[place] += share[:, m] * students["rating"][spot]
            variance[place] += share[:, m] * spread
        chosen = {name: values[rows] for name, values in students.items()}
        model.update(chosen, codes[place], log.correct[place])
        for name, values in chosen.items():
            students[name][rows] = values
    return mean, np.sqrt(np.maximum(variance, 0.04))


def _irt(model: AbilityModel, catalogue: Catalogue, log: Responses) -> Refit:
    """Return an item response model whose items are calibrated by responses."""
    every = model.items.codes(log)
    first = np.unique(log.student.astype(np.int64) * len(model.items) + every, return_index=True)[1]
    student, item, correct = log.student[first].astype(np.int64), every[first], log.correct[first]
    priors = priors_of(catalogue, model.items.names.tolist())
    curves, fixed = model.curves.copy(), np.zeros(len(model.items), np.bool_)
    _calibrate_alone(model, priors, student, item, correct, curves, fixed)
    _calibrate_shrunken(model, priors, student, item, correct, curves, fixed)
    return Refit(AbilityModel(model.items, curves, model.nodes, model.prior), _answered(model, item))


def _calibrate_alone(
    model: AbilityModel,
    priors: ItemPriors,
    student: Longs,
    item: Longs,
    correct: Codes,
    curves: Doubles,
    fixed: Bools,
) -> None:
    """Write the curves of items with enough responses by marginal maximum likelihood, and mark them as fixed."""
    from alsim.models.irt import Priors, fit

    answers = np.stack([np.bincount(item[correct == x], minlength=len(fixed)) for x in (0, 1)])
    enough = (answers.sum(axis=0) >= ENOUGH) & (answers.min(axis=0) > 0) & (priors.c == 0)
    rows = enough[item]
    if enough.sum() < 2:
        return
    log = Responses.from_arrays(student[rows], correct[rows], item=item[rows])
    found = fit(log, "2pl", priors=Priors(a=(0.0, 0.5), d=(0.0, 3.0)), standard_errors=False)
    numbers, usable = found.items.astype(np.int64), found.estimated & ~found.at_bounds & (found.a > 0)
    parameters = ItemParameters(a=found.a[usable], b=found.b[usable])
    curves[numbers[usable]] = probability(model.nodes, parameters).T
    fixed[numbers[usable]] = True


def _calibrate_shrunken(
    model: AbilityModel,
    priors: ItemPriors,
    student: Longs,
    item: Longs,
    correct: Codes,
    curves: Doubles,
    fixed: Bools,
) -> None:
    """Write the curves of the other items with responses, in rounds: abilities, then difficulties given these.

    Each difficulty is that of its marginal likelihood given the other items, times its prior.
    """
    open_rows = np.flatnonzero(~fixed[item])
    if len(open_rows) == 0:
        return
    items = np.unique(item[open_rows])
    local = np.searchsorted(items, item[open_rows])
    own = ItemPriors(*(values[items] for values in priors))
    difficulty = own.mean.copy()
    spread = own.sd.copy()
    curves[items] = mean_curves(own, model.nodes)
    for _ in range(MOST_ROUNDS):
        before = difficulty.copy()
        joint = _log_joint(model, student, item, correct, curves)
        for rows in _by_item(local):
            full = open_rows[rows]
            own_curve = curves[item[full]]
            rest = joint[student[full]] - np.log(np.where(correct[full, None] == 1, own_curve, 1.0 - own_curve))
            posterior = np.exp(rest - rest.max(axis=1, keepdims=True))
            chosen = np.unique(local[rows])
            known = [values[chosen] for values in own]
            places = np.searchsorted(chosen, local[rows])
            found = shrunken_difficulties(
                places, correct[full], posterior, model.nodes, known[0], known[1], a=known[2], c=known[3]
            )
            difficulty[chosen], spread[chosen] = found.difficulty, found.sd
        curves[items] = mean_curves(ItemPriors(difficulty, spread, own.a, own.c), model.nodes)
        if np.abs(difficulty - before).max() < TOLERANCE:
            break


def _log_joint(model: AbilityModel, student: Longs, item: Longs, correct: Codes, curves: Doubles) -> Doubles:
    """Return the logarithm of prior times likelihood of each student at each node, (S, G)."""
    clipped = np.clip(curves, 1e-12, 1 - 1e-12)
    right, wrong = np.log(clipped), np.log(1.0 - clipped)
    joint = np.empty((int(student.max()) + 1, len(model.nodes)))
    for k in range(len(model.nodes)):
        term = np.where(correct == 1, right[item, k], wrong[item, k])
        joint[:, k] = np.bincount(student, term, minlength=len(joint))
    return np.asarray(joint + np.log(np.maximum(model.prior, 1e-300)))


def _by_item(codes: Longs) -> list[Longs]:
    """Return the responses in parts of about ROWS, each with all responses of its items."""
    order = np.argsort(codes, kind="stable")
    ends = np.flatnonzero(np.diff(codes[order], append=-1)) + 1
    cuts: list[int] = [0]
    for end in ends.tolist():
        if end - cuts[-1] >= ROWS or end == len(codes):
            cuts.append(end)
    return [order[a:b] for a, b in zip(cuts[:-1], cuts[1:], strict=True)]


FITS: dict[type, Callable[..., Refit]] = {
    BKTModel: _bkt,
    AbilityModel: _irt,
    EloModel: _ratings,
    GlickoModel: _ratings,
    PFAModel: _pfa,
    HLRModel: _hlr,
    DKTModel: _dkt,
}
"""Function that fits each class of student model."""


def adapted(found: StudentModel, base: StudentModel) -> StudentModel:
    """Return a fitted model with the items of another catalogue.

    found  model with the parameters
    base   model of the same class for the catalogue, from which items and skills that `found` lacks have theirs
    """
    tables = [(m.items.names.tolist(), m.items.skills.tolist(), m.items.skill.tolist()) for m in (found, base)]
    if type(found) is not type(base) or tables[0] == tables[1]:
        return found
    if isinstance(base, BKTModel) and isinstance(found, BKTModel):
        codes = codes_of(base.items.skills, found.items.skills)
        first = np.array([np.argmax(found.items.skill == k) for k in range(found.items.num_skills)])
        by_skill = {
            name: np.where(codes < 0, np.nan, (values if name == "p_init" else values[first])[codes])
            for name, values in found.arrays().items()
        }
        return of_skills(base, by_skill)
    codes = codes_of(base.items.names, found.items.names)
    if isinstance(base, AbilityModel) and isinstance(found, AbilityModel) and np.array_equal(base.nodes, found.nodes):
        curves = np.where(codes[:, None] < 0, base.curves, found.curves[codes])
        return AbilityModel(base.items, curves, base.nodes, found.prior)
    if isinstance(base, EloModel) and isinstance(found, EloModel):
        difficulty = np.where(codes < 0, base.difficulty, found.difficulty[codes])
        return EloModel(base.items, difficulty, base.guess, base.initial, a=found.a, b=found.b)
    if isinstance(base, GlickoModel) and isinstance(found, GlickoModel):
        difficulty = np.where(codes < 0, base.difficulty, found.difficulty[codes])
        spread = np.where(codes < 0, base.difficulty_sd, found.difficulty_sd[codes])
        return GlickoModel(base.items, difficulty, spread, base.initial, base.initial_sd, drift=found.drift)
    if isinstance(base, PFAModel) and isinstance(found, PFAModel):
        codes = codes_of(base.items.skills, found.items.skills)
        return PFAModel(base.items, np.where(codes[:, None] < 0, base.coefficients, found.coefficients[codes]))
    if isinstance(base, MemoryModel) and isinstance(found, MemoryModel):
        return _adapted_memory(found, base)
    if isinstance(base, DKTModel) and isinstance(found, DKTModel):
        codes, arrays = codes_of(base.items.skills, found.items.skills), found.arrays()
        for name, axis in (("responses", 1), ("output", 0), ("output_bias", 0)):  # a new skill is an average one
            old = arrays[name]
            arrays[name] = np.append(old, old.mean(axis=axis, keepdims=True), axis=axis).take(codes, axis=axis)
        return DKTModel(base.items, **arrays)
    return found


def _adapted_memory(found: MemoryModel, base: MemoryModel) -> MemoryModel:
    """Return a fitted model of memory with the items of another one."""
    items, skills = codes_of(base.items.names, found.items.names), codes_of(base.items.skills, found.items.skills)
    arrays = found.arrays()
    arrays["guess"] = np.where(items < 0, base.guess, found.guess[items])
    arrays["prior"] = np.where(skills < 0, base.prior, found.prior[skills])
    if isinstance(found, HLRModel) and isinstance(base, HLRModel):
        arrays["weights"] = np.where(skills[:, None] < 0, base.weights, found.weights[skills])
    return type(base)(base.items, **arrays, p_content=found.p_content)


__all__ = ["ENOUGH", "Refit", "adapted", "refit"]
