"""Infit and outfit of items, and their distribution in data that are simulated from a fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple, cast

import numpy as np

from alsim.models.base import ModelError
from alsim.models.irt.calibration import fit as calibrate
from alsim.models.irt.curves import curves
from alsim.models.irt.fitted import PREDICTION_MARGIN, IRTFit, abilities_of, estimated_item_index
from alsim.responses.log import Responses
from alsim.types import Codes, Doubles, Ints, Longs


class Predicted(NamedTuple):
    """Responses to items with estimates, and their probabilities at the students' abilities, each (R,)."""

    student: Longs
    item: Ints  # among the items that have estimates
    correct: Codes
    p: Doubles  # probability of a correct response
    slope: Doubles  # dP / dtheta, 1/logit


def predicted(fit: IRTFit, responses: Responses, theta: Doubles) -> Predicted:
    """Return the responses to items with estimates, with their probabilities at the abilities theta (S,), logits."""
    item = estimated_item_index(fit, responses)
    used = item >= 0
    student, item = responses.student[used].astype(np.int64), item[used]
    p, _, slope, _ = curves(theta[student], *(column[item] for column in fit.item_parameters.columns))
    p = np.clip(p, PREDICTION_MARGIN, 1 - PREDICTION_MARGIN)
    return Predicted(student, item, responses.correct[used], p, slope)


def mean_squares(fit: IRTFit, responses: Responses) -> tuple[Doubles, Doubles]:
    """Return infit and outfit (I,) at EAP abilities; NaN for items without responses."""
    student, item, correct, p, _ = predicted(fit, responses, abilities_of(fit, responses, "eap").theta)
    weight, num_items = responses.weight[student], int(fit.estimated.sum())
    square, variance = (correct - p) ** 2, p * (1 - p)
    with np.errstate(invalid="ignore"):  # 0 / 0 for items without responses
        infit = np.bincount(item, weight * square, num_items) / np.bincount(item, weight * variance, num_items)
        outfit = np.bincount(item, weight * square / variance, num_items) / np.bincount(item, weight, num_items)
    return infit, outfit


def simulated_mean_squares(fit: IRTFit, responses: Responses, replications: int, seed: int) -> tuple[Doubles, Doubles]:
    """Return infit and outfit (R, I) of data sets that are simulated from a fit, and to which it is fitted again.

    fit           calibrated model, the true model of the simulated data
    responses     responses of S students; each simulated data set has the same students and items
    replications  number R of data sets
    seed          random seed

    The abilities are drawn from N(0, 1). An item without finite estimates in a data set has NaN there. Raises
    ModelError for weights other than 1, since a pattern of several students would be simulated as one.
    """
    if not (responses.weight == 1).all():
        raise ModelError(
            "replications simulate single students, and the responses are patterns with weights: pass one row per "
            "student, or replications=0"
        )
    item = estimated_item_index(fit, responses)
    log, item = responses.take(item >= 0), item[item >= 0]
    parameters = [column[item] for column in fit.item_parameters.columns]
    infit, outfit = np.full((2, replications, int(fit.estimated.sum())), np.nan)
    for k in range(replications):
        generator = np.random.default_rng([seed, k])
        ability = generator.normal(size=log.num_students)[log.student]
        correct = (generator.random(len(log)) < curves(ability, *parameters)[0]).astype(np.int8)
        infit[k], outfit[k] = _refitted(fit, replace(log, correct=correct))
    return infit, outfit


def _refitted(fit: IRTFit, log: Responses) -> tuple[Doubles, Doubles]:
    """Return infit and outfit (I,) of the same model, fitted to other responses to the same items."""
    settings: dict[str, Any] = {"priors": fit.priors, "nodes": fit.nodes, "standard_errors": False}
    again = calibrate(log, fit.variant, **settings)
    index = {str(name): k for k, name in enumerate(again.items[again.estimated])}
    places = np.array([index.get(str(name), -1) for name in fit.items[fit.estimated]])
    return cast(
        tuple[Doubles, Doubles],
        tuple(np.where(places >= 0, values[places], np.nan) for values in mean_squares(again, log)),
    )


def two_sided_p(observed: Doubles, simulated: Doubles) -> Doubles:
    """Return the p-value (I,) of each observed statistic (I,) among simulated ones (R, I); NaN without any.

        p = min(1, 2 (1 + min(number <= observed, number >= observed)) / (1 + R))

    Source: Davison & Hinkley (1997), Bootstrap Methods and their Application, section 4.2.
    """
    known = np.isfinite(simulated).sum(axis=0)
    fewer = np.minimum((simulated <= observed).sum(axis=0), (simulated >= observed).sum(axis=0))
    return np.where((known > 0) & np.isfinite(observed), np.minimum(1, 2 * (1 + fewer) / (1 + known)), np.nan)
