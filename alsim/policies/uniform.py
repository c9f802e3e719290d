"""Uniform random policy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from alsim.jit.compile import rule
from alsim.mdp.actions import KINDS, LEVELS
from alsim.numerics.variates import below
from alsim.policies.base import PolicyDraws, View
from alsim.policies.compiled import PolicyInput, PolicyWords, RulePolicy
from alsim.types import Doubles, Floats, f64, i64, u32


class NoParameters(NamedTuple):
    """Empty parameters of the uniform policy."""


@rule
def any_action(p: NoParameters, observation: Floats, inputs: PolicyInput, words: PolicyWords) -> tuple[i64, f64]:
    """Return an action drawn uniformly, and its probability 1 / A."""
    actions = inputs.num_los * (LEVELS + KINDS)
    return i64(below(words.w0, u32(actions))), 1 / f64(actions)


class Uniform(RulePolicy):
    """Policy that chooses every action with the same probability."""

    name = "uniform"
    parameters = NoParameters()
    choose = any_action

    def probabilities(self, view: View, draws: PolicyDraws | None = None) -> Doubles:
        """Return the probability of each action in each lane, (N, A): 1 / A."""
        return np.full((view.num_lanes, view.num_actions), 1 / view.num_actions)
