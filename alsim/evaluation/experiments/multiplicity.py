"""Several tests at once: control of the false discovery rate."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from alsim.evaluation.statistics_input import read_probabilities
from alsim.types import Doubles


def benjamini_hochberg(p: ArrayLike) -> Doubles:
    """Adjust p-values for multiple tests by the step-up method of Benjamini and Hochberg.

        adjusted p of the i-th smallest of M = min over j >= i of  min(1, M p_(j) / j)

    If hypotheses with an adjusted p of at most q are rejected, an expected share of at most q of the rejections is
    false, for independent or positively dependent tests. `alsim.evaluation.holm` bounds the probability of any false
    rejection instead, under any dependence.

    p  (M,) p-values in [0, 1], M >= 1

    Returns the adjusted p-values (M,), in the order of p. Raises AlsimError for other values.
    Source: Benjamini & Hochberg (1995), JRSS B 57, 289-300.
    """
    given = read_probabilities(p)
    order, m = np.argsort(given, kind="stable")[::-1], len(given)
    adjusted = np.empty_like(given)
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(given[order] * m / np.arange(m, 0, -1)))
    return adjusted


__all__ = ["benjamini_hochberg"]
