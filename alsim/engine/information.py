"""Information of items: how much an answer is expected to say about a student, under each student model."""

from __future__ import annotations

from typing import Any

import numpy as np

from alsim.models.logistic import logistic
from alsim.models.student.ability import AbilityModel
from alsim.models.student.base import StudentModel, Students
from alsim.models.student.bkt import BKTModel
from alsim.models.student.glicko import GlickoModel, attenuation
from alsim.types import Doubles, Longs


def information(model: StudentModel, students: Students, items: Longs) -> Doubles:
    """Return the expected information in the answer of each student to each item, (n, M).

    model     irt: expected reduction of the variance of ability, Cov(ability, P)^2 / (P (1 - P)), logits^2
              glicko: expected reduction of the variance of the rating, logits^2
              bkt: mutual information of the answer and of the skills of the item, before they are practised, nats
              others: entropy of the answer, nats
    students  state of n students
    items     (M,) items of the model

    The expected reduction of the variance is that over the whole posterior. For a narrow posterior, it is the Fisher
    information at the mean times the squared variance.
    Source: van der Linden & Pashley (2000), Item selection and ability estimation in adaptive testing; Cover & Thomas
    (2006), Elements of information theory, ch. 2.
    """
    if isinstance(model, AbilityModel):
        return model.expected_reduction(students, items)
    if isinstance(model, GlickoModel):
        return _of_rating(model, students, items)
    if isinstance(model, BKTModel):
        return _of_knowledge(model, students, items)
    n = len(next(iter(students.values())))
    return entropy(model.chance(students, np.broadcast_to(items, (n, len(items)))))


def entropy(p: Any) -> Doubles:
    """Return the entropy of events of probability p, in any shape, nats; 0 for p = 0 and for p = 1."""
    q = 1.0 - p
    return np.asarray(-p * np.log(np.where(p > 0, p, 1.0)) - q * np.log(np.where(q > 0, q, 1.0)))


def _of_rating(model: GlickoModel, students: Students, items: Longs) -> Doubles:
    """Return the reduction of the variance of the rating, which does not depend on the answer."""
    place = np.arange(len(students["rating"]))[:, None], model.items.skill[items]
    g = attenuation(model.difficulty_sd[items] ** 2)
    expected = logistic(g * (students["rating"][place] - model.difficulty[items]))
    variance = students["variance"][place]
    return np.asarray(variance - 1.0 / (1.0 / variance + g * g * expected * (1.0 - expected)))


def _of_knowledge(model: BKTModel, students: Students, items: Longs) -> Doubles:
    """Return the mutual information of the answer and of each skill of the item, summed over its skills."""
    table, has = model.items, model.items.has[items]
    guess, slip = table.padded(model.p_guess)[items], table.padded(model.p_slip)[items]
    total = np.zeros((len(students["known"]), len(items)))
    for m in range(has.shape[1]):
        known = students["known"][:, table.members[items, m]]
        right = known * (1.0 - slip[:, m]) + (1.0 - known) * guess[:, m]
        spread = known * entropy(slip[:, m]) + (1.0 - known) * entropy(guess[:, m])
        total += np.where(has[:, m], np.maximum(entropy(right) - spread, 0.0), 0.0)
    return total


__all__ = ["entropy", "information"]
