"""Comparison of the fits of the package with the truth of simulated learners."""

from __future__ import annotations

from typing import Any

import numpy as np

from alsim.dynamics.bkt import Bkt
from alsim.dynamics.half_life import HalfLife
from alsim.evaluation.scorecards.measures import Estimates
from alsim.evaluation.scorecards.worlds import TrueLog
from alsim.models.bkt.result import BKTFit
from alsim.models.hlr.result import WEIGHT_NAMES, HLRFit
from alsim.models.irt.fitted import IRTFit
from alsim.responses.log import codes_of
from alsim.types import Doubles

BKT_PARAMETERS = ("p_init", "p_learn", "p_guess", "p_slip")

NO_PARAMETERS = "the model states no parameters that have a true value"
NO_TRUTH = "the learners have no true values of the parameters of this model"


def parameters_of(fitted: Any, truth: TrueLog) -> dict[str, Estimates] | str:
    """Return the estimates of each parameter with its true values, or the reason for their absence."""
    is_bkt = isinstance(truth.config.dynamics, Bkt)
    if isinstance(fitted, IRTFit):
        return NO_TRUTH if is_bkt else _item_parameters(fitted, truth)
    if isinstance(fitted, BKTFit):
        return _skill_parameters(fitted, truth) if is_bkt else NO_TRUTH
    if isinstance(fitted, HLRFit):
        return _weights(fitted, truth.config.dynamics) if isinstance(truth.config.dynamics, HalfLife) else NO_TRUTH
    return NO_PARAMETERS


def _item_parameters(fit: IRTFit, truth: TrueLog) -> dict[str, Estimates]:
    """Return the estimates of the items that have them; those of `c` only of a 3PL, of `a` not of a Rasch model."""
    names = ["a", "b", "c"] if fit.variant == "3pl" else ["b"] if fit.variant == "rasch" else ["a", "b"]
    estimated = np.flatnonzero(fit.estimated)
    questions = truth.bank.questions
    place = codes_of(fit.items[estimated], np.array([str(name) for name in questions.id], np.str_))
    found = {}
    for name in names:
        # The 1PL has one a, which is stated for each item.
        own = slice(0, 1) if (name, fit.variant) == ("a", "1pl") else slice(None)
        true = np.asarray(getattr(questions, f"irt_{name}"), np.float64)[place][own]
        estimates, se = (np.asarray(getattr(fit, key))[estimated][own] for key in (name, f"se_{name}"))
        found[name] = Estimates(fit.items[estimated][own].tolist(), true, estimates, se)
    return found


def _skill_parameters(fit: BKTFit, truth: TrueLog) -> dict[str, Estimates]:
    """Return the estimates of all skills, whose true values are those of the dynamics."""
    true: Any = truth.config.dynamics
    found = {}
    for name in BKT_PARAMETERS:
        values = np.array([getattr(skill.parameters, name) for skill in fit.skills.values()])
        se = np.array([skill.se[name] for skill in fit.skills.values()], np.float64)  # NaN for None
        found[name] = Estimates(list(fit.skills), np.full(len(values), getattr(true, name)), values, se)
    return found


def _weights(fit: HLRFit, true: HalfLife) -> dict[str, Estimates]:
    """Return the estimates of the weights that all skills share."""
    values = (true.right_weight, true.wrong_weight, true.base)
    rows = zip(WEIGHT_NAMES, values, fit.weights[:, None], fit.weight_errors[:, None], strict=True)
    return {name: Estimates([name], np.array([value]), found, se) for name, value, found, se in rows}


def abilities_of(fitted: Any, held: TrueLog) -> Estimates | None:
    """Return the expected a posteriori abilities of held-out learners with the true ones; None for other models.

    The true ability of a learner is the mean of that before each answer.
    """
    if not isinstance(fitted, IRTFit):
        return None
    scores = fitted.scores(held.log, "eap")
    count = np.diff(held.log.start)
    truth = np.bincount(held.log.student, held.ability) / count
    return Estimates(held.log.students.tolist(), truth, scores.theta, scores.se)


def mastery_of(fitted: Any, held: TrueLog, forecast: Doubles) -> Doubles | None:
    """Return the probability (R,) that the skill of each answer is known before it; None for other models than BKT.

        P(known) = (forecast - guess) / (1 - slip - guess)

    The forecast is its inverse, P(known) (1 - slip) + (1 - P(known)) guess. Undefined where it does not depend on
    P(known): NaN.
    """
    if not isinstance(fitted, BKTFit) or fitted.by_item or not held.log.single_skill:
        return None
    pooled = fitted.pooled
    skills = [fitted.skills[name].parameters if name in fitted.skills else pooled for name in held.log.skills.tolist()]
    guess, slip = (
        np.array([getattr(skill, name) for skill in skills])[held.log.skill] for name in ("p_guess", "p_slip")
    )
    slope = 1 - slip - guess
    known = np.divide(forecast - guess, slope, out=np.full(len(forecast), np.nan), where=np.abs(slope) > 1e-6)
    return np.asarray(np.clip(known, 0.0, 1.0))


__all__ = ["abilities_of", "mastery_of", "parameters_of"]
