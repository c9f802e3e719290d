"""Tests of the questions of a dataset of simulated learners for DIF."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from alsim.bank.items import Bank
from alsim.evaluation.fairness.items import DIF, dif_of_answers
from alsim.models.irt import ItemParameters, estimate_ability
from alsim.responses.log import Responses
from alsim.types import Longs

STRATA = 10
"""Number of strata of ability."""


def tests_of_questions(bank: Bank, log: Responses, group: Longs, names: Sequence[str], confidence: float) -> list[DIF]:
    """Return the tests of the questions for each focal group, against all others; once for two groups.

    Students are matched by ability, estimated with the parameters of the bank. Of several answers of a student to a
    question, the first one counts.

    group  (S,) index of the group of each student of the log
    names  names of the groups

    Source: Zwick, Thayer & Wingersky (1994), Applied Psychological Measurement 18, 121-140, for adaptive tests.
    """
    q = bank.questions
    parameters = ItemParameters(q.irt_a, q.irt_b, q.irt_c, names=q.id)
    ability = estimate_ability(parameters, log).theta
    edges = np.quantile(ability, np.arange(1, STRATA) / STRATA)
    stratum = np.searchsorted(edges, ability, side="right").astype(np.int64)
    pairs = log.student.astype(np.int64) * len(log.items) + log.item
    rows = np.unique(pairs, return_index=True)[1]  # the first answer of a student to a question
    student, item = log.student[rows], log.item[rows].astype(np.int64)
    found = []
    for g in range(1 if len(names) == 2 else 0, len(names)):
        is_focal = (group == g)[student]
        columns = item, stratum[student], is_focal, log.correct[rows].astype(np.int64)
        found.append(dif_of_answers(*columns, log.items, confidence, names[g]))
    return found


__all__ = ["tests_of_questions"]
