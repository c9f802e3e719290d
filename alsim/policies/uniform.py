"""Every action equally likely."""

from __future__ import annotations

from typing import NamedTuple

from alsim.jit.compile import rule
from alsim.mdp.actions import KINDS, LEVELS
from alsim.numerics.variates import below
from alsim.policies.compiled import PolicyInput, PolicyWords, RulePolicy
from alsim.types import Floats, f64, i64, u32


class Nothing(NamedTuple):
    """Parameters of the uniform policy: none."""


@rule
def any_action(p: Nothing, observation: Floats, seen: PolicyInput, luck: PolicyWords) -> tuple[i64, f64]:
    """Return any of the actions, each with probability 1 / A."""
    actions = seen.num_los * (LEVELS + KINDS)
    return i64(below(luck.w0, u32(actions))), 1 / f64(actions)


class Uniform(RulePolicy):
    """Chooses among all actions, each with probability 1 / A."""

    name = "uniform"
    parameters = Nothing()
    choose = any_action
