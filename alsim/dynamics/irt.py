"""Item response function of simulated learners."""

from __future__ import annotations

from alsim.jit.compile import rule
from alsim.numerics.elementary import exp
from alsim.types import ONE, f32


@rule
def p_correct(theta: f32, a: f32, b: f32, c: f32) -> f32:
    """Return the probability of a correct answer under the three-parameter logistic model.

        P = c + (1 - c) / (1 + exp(-a (theta - b)))

    theta   ability, logits
    a       discrimination, 1/logit, > 0
    b       difficulty, logits
    c       pseudo-guessing, in [0, 1)

    Returns P in [c, 1], float32; relative error < 1e-6 for c >= 0.001, or while a |theta - b| <= 8.
    Source: Birnbaum (1968) in Lord & Novick, ch. 17; clause S4.1.
    """
    return c + (ONE - c) / (ONE + exp(-a * (theta - b)))
