"""Outcomes of responses: correctness, or partial credit for the models that can use it."""

from __future__ import annotations

import numpy as np

from alsim.models.base import ModelError
from alsim.responses.log import Responses, check_answers
from alsim.types import Codes, Doubles

Outcomes = Codes | Doubles
"""Outcome (R,) of each response: 0 or 1, or credit in [0, 1]."""


def outcomes_of(responses: Responses, partial_credit: bool) -> Outcomes:
    """Return the correctness of responses or, with `partial_credit`, their credit.

    Raises ModelError without credit and for a `partial_credit` of another type, and ResponsesError for a log with
    partial credit that is not to be used.
    """
    if not isinstance(partial_credit, bool):
        raise ModelError(f"partial_credit must be True or False; got {partial_credit!r:.100}: pass True to use credit")
    if not partial_credit:
        check_answers(responses, "a fit without partial credit")
        return responses.correct
    if responses.credit is None:
        raise ModelError(
            "partial_credit=True needs a log with credit; this one has none: read it with columns={'credit': NAME}"
        )
    if np.isnan(responses.credit).any():
        number = int(np.isnan(responses.credit).sum())
        raise ModelError(
            f"the credit of {number:,} of {len(responses):,} responses is unknown: leave them out with "
            "log.take(~np.isnan(log.credit))"
        )
    return responses.credit
