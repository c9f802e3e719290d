"""Policies that are one rule for one learner: compiled into rollouts, and batched by a loop here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, TypeGuard

import numpy as np

from alsim.errors import AlsimError, InputTypeError
from alsim.jit.cache import fingerprint
from alsim.jit.compile import dispatch, entry, kernel, rule
from alsim.policies.base import Policy, PolicyDraws, View
from alsim.types import Doubles, Floats, Longs, Observation, Words, f32, f64, i64, u32, u64


class PolicyInput(NamedTuple):
    """What a rule may see of one learner."""

    row: u64  # where the learner's observation begins in the flat array of all
    num_los: i64
    last_seconds: f32  # that the last question took, 0 before the first


class PolicyWords(NamedTuple):
    """A policy's random words at one interaction of one learner (clause S11.1)."""

    w0: u32
    w1: u32
    w2: u32
    w3: u32


ZERO = f32(0)
WORD_BITS, LOW_WORD, LARGEST = u64(32), u64(2**32 - 1), u64(2**64 - 1)

Choose = Callable[[Any, Floats, PolicyInput, PolicyWords], tuple[i64, f64]]

_CHOICES: dict[type[Any], Choose] = {}
"""The rule of each class of parameters."""


class RulePolicy:
    """A policy whose choice is a rule `choose(parameters, observation, seen, luck) -> action, propensity`.

    A subclass names itself, the class of its parameters (a NamedTuple with defaults, which the loop finds
    the rule by), its rule, and the kind of observation that the rule reads (None: any).
    """

    name: str
    parameters: ClassVar[NamedTuple]
    choose: ClassVar[Choose]
    reads: ClassVar[Observation | None] = None

    def __init_subclass__(cls) -> None:
        parameters, rule_of = getattr(cls, "parameters", None), getattr(cls, "choose", None)
        if not isinstance(parameters, tuple) or not hasattr(parameters, "_fields") or not callable(rule_of):
            raise InputTypeError(
                f"{cls.__name__}: a RulePolicy has `parameters`, a NamedTuple, and `choose`, a rule; "
                f"got {parameters!r} and {rule_of!r}"
            )
        known = _CHOICES.setdefault(type(parameters), rule_of)
        if known is not rule_of:
            raise AlsimError(
                f"{cls.__name__}: the loop finds a policy's rule by the class of its parameters, and that of "
                f"{type(parameters).__name__} is another already; give each rule a class of its own"
            )

    def check(self, kind: Observation) -> None:
        """Raise ValueError if the rule cannot read this kind of observation."""
        if self.reads not in (None, kind):
            raise AlsimError(f"the policy {self.name!r} reads observation={self.reads!r}; it was given {kind!r}")

    def act(self, view: View, draws: PolicyDraws) -> tuple[Longs, Doubles]:
        """Return an action for each lane, and the probability it had."""
        self.check(view.kind)
        actions, odds = np.empty(view.num_lanes, np.int64), np.empty(view.num_lanes)
        words = np.stack([draws.words() for _ in PolicyWords._fields])
        seconds = np.ascontiguousarray(view.last_seconds, np.float32)
        rows = np.ascontiguousarray(view.observation, np.float32).ravel()
        arguments = (typed(self.parameters), rows, view.num_los, seconds, words.ravel(), actions, odds)
        entry(act_of_all, *arguments, own_cache=policy_fingerprint(self))(*arguments)
        return actions, odds


def is_rule(policy: Policy) -> TypeGuard[RulePolicy]:
    """Whether a policy is its rule, and nothing else: a subclass may choose in a way of its own."""
    return isinstance(policy, RulePolicy) and getattr(policy.act, "__func__", None) is RulePolicy.act


def policy_fingerprint(policy: RulePolicy) -> str:
    """Return a digest of a policy's rule if it comes from elsewhere, "" if it is this package's."""
    parameters = type(policy.parameters)
    if parameters.__module__.startswith(f"{__package__}."):
        return ""
    return fingerprint(parameters, _CHOICES[parameters])


def typed(parameters: Any) -> Any:
    """Return parameters as rules take them: float32 each."""
    return type(parameters)(*map(f32, parameters))


@dispatch(lambda parameters: _CHOICES[parameters])
def choose(p: Any, observation: Floats, seen: PolicyInput, luck: PolicyWords) -> tuple[i64, f64]:
    """Return what the policy that parameters `p` belong to chooses for one learner, and how likely that was."""
    return _CHOICES[type(p)](p, observation, seen, luck)


@kernel
def act_of_all(
    p: Any, rows: Floats, num_los: int, last_seconds: Floats, words: Words, actions: Longs, odds: Doubles
) -> None:
    """Choose for every lane; `words` (4 N,) lie word by word."""
    lanes = len(actions)
    width = len(rows) // lanes
    for k in range(lanes):
        luck = PolicyWords(words[k], words[lanes + k], words[2 * lanes + k], words[3 * lanes + k])
        actions[k], odds[k] = choose(p, rows, PolicyInput(u64(k * width), i64(num_los), last_seconds[k]), luck)


@rule
def weakest(observation: Floats, seen: PolicyInput) -> i64:
    """Return the first LO of the lowest mastery, of an observation S8.1.

    Bits of positive floats are in the order of their values: with the LO below them, one minimum of integers,
    which vectorises, finds both.
    """
    least = LARGEST
    for k in range(seen.num_los):
        mastery = f32(observation[seen.row + u64(k)] + ZERO)  # -0 becomes 0
        least = min(least, (u64(mastery.view(u32)) << WORD_BITS) | u64(k))
    return i64(least & LOW_WORD)


__all__ = ["PolicyWords", "RulePolicy", "PolicyInput", "choose", "is_rule", "policy_fingerprint", "typed", "weakest"]
