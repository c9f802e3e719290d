"""How exact estimates are: the observed information of the marginal likelihood.

It is what complete data would tell, less what not knowing the abilities costs (Louis 1982): for each student, the
covariance of the complete data's score under the posterior of the ability. Both are sums over nodes, without any
numerical derivative.

Axis letters: those of `expectation`, and p parameters, three a curve: a, d, c.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from alsim._jit import kernel, phase
from alsim.models.irt.expectation import Expected, Patterns, _add, _posterior, in_portions
from alsim.models.irt.maximisation import Curves, Priors, Structure, log_curves, logistic
from alsim.types import Doubles, Ints, Longs, f64

KINDS = 3
"""Parameters a curve: a, d, c."""

MOST_CURVES = 600
"""With more, information between items is left out: a matrix of a million numbers for each thread."""


class Uncertainty(NamedTuple):
    """Of the estimates, each (V,); NaN for what is not estimated, and where the information does not hold it.

    a, d, b, c  standard errors; b by the delta method
    whole       whether the information between items is in them
    """

    a: Doubles
    d: Doubles
    b: Doubles
    c: Doubles
    whole: bool


@phase
def _collect(
    s: int,
    start: Longs,
    code: Ints,
    slopes: Doubles,
    post: Doubles,
    scale: float,
    slot: Longs,
    member: Longs,
    scores: Doubles,
    used: int,
) -> int:
    """Fill `scores` with the weighted, centred scores of one pattern; return how many curves it has met.

    scores  flat (nodes that count, used * KINDS); slopes flat (2V, K, KINDS)
    """
    nodes = len(post)
    met = 0
    for r in range(start[s], start[s + 1]):
        curve = code[r] >> 1
        if slot[curve] < 0:
            slot[curve] = met
            member[met] = curve
            met += 1
    width = met * KINDS
    heavy = 0
    for k in range(nodes):
        if post[k] > 0:
            row = heavy * width
            for j in range(width):
                scores[row + j] = f64(0)
            for r in range(start[s], start[s + 1]):
                place, source = row + slot[code[r] >> 1] * KINDS, (code[r] * nodes + k) * KINDS
                for j in range(KINDS):
                    scores[place + j] += slopes[source + j]
            heavy += 1
    return met
