"""Policies defined by a rule for one learner. Rollouts compile the rule into their loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, TypeGuard

import numpy as np

from alsim.errors import AlsimError, InputTypeError
from alsim.jit.compile import dispatch, entry, lean_kernel, rule
from alsim.jit.fingerprints import fingerprint, own_cache_of
from alsim.mdp import actions as encoding
from alsim.policies.base import Policy, PolicyDraws, View, one_hot
from alsim.types import WORD_BITS, ZERO, Doubles, Floats, Longs, Observation, Words, f32, f64, i64, safe_repr, u32, u64


class PolicyInput(NamedTuple):
    """Input of a rule for one learner, besides the observation."""

    row: u64  # index of the learner's first entry in the flat array of observations
    num_los: i64
    last_seconds: f32  # response time of the last question, 0 before the first
    hours: f32 = ZERO  # since the episode began


class PolicyWords(NamedTuple):
    """Random words of a policy for one interaction of one learner (clause S11.1)."""

    w0: u32
    w1: u32
    w2: u32
    w3: u32


LOW_WORD, LARGEST = u64(2**32 - 1), u64(2**64 - 1)

Choose = Callable[[Any, Floats, PolicyInput, PolicyWords], tuple[i64, f64]]

_CHOICES: dict[type[Any], Choose] = {}
"""Rules of policies, by class of their parameters."""


class RulePolicy:
    """A policy that chooses by a rule `choose(parameters, observation, inputs, words) -> action, propensity`.

    A subclass defines these attributes:

    name        name of the policy in the manifest of a dataset
    parameters  NamedTuple with defaults; the loop selects the rule by this class
    choose      rule compiled by `alsim.rule`
    reads       kind of observation that the rule reads; None for any

    If the rule uses random words, the subclass also overrides `probabilities`, which `epsilon-greedy` requires.
    """

    name: str
    parameters: ClassVar[NamedTuple]
    choose: ClassVar[Choose]
    reads: ClassVar[Observation | None] = None

    def __init_subclass__(cls) -> None:
        parameters, choose_rule = getattr(cls, "parameters", None), getattr(cls, "choose", None)
        if not isinstance(parameters, tuple) or not hasattr(parameters, "_fields") or not callable(choose_rule):
            raise InputTypeError(
                f"{cls.__name__}: a RulePolicy must define `parameters`, a NamedTuple, and `choose`, a rule; "
                f"got {parameters!r} and {choose_rule!r}"
            )
        kind = type(parameters)
        registered = _CHOICES.setdefault(kind, choose_rule)
        if registered is not choose_rule and fingerprint(kind, registered) != fingerprint(kind, choose_rule):
            raise AlsimError(
                f"{cls.__name__}: the class of the parameters selects the rule, and {kind.__name__} already selects "
                "another rule; define a class of parameters for each rule, and after a change of the rule define the "
                "class again, too (in a notebook, run its cell again)"
            )

    @safe_repr
    def __repr__(self) -> str:
        """Return the class and the name of the policy."""
        return f"<{type(self).__name__}: policy {self.name!r}>"

    def check(self, kind: Observation) -> None:
        """Raise ValueError unless the rule reads this kind of observation."""
        if self.reads not in (None, kind):
            raise AlsimError(
                f"the policy {self.name!r} needs observation={self.reads!r}; got {kind!r}; pass "
                f"observation={self.reads!r} (--observation {self.reads})"
            )

    def act(self, view: View, draws: PolicyDraws | None) -> tuple[Longs, Doubles]:
        """Return the action of each lane and its probability.

        `draws` may be None for a rule that uses no random words. Raises AlsimError if the rule then chooses an action
        with a probability below 1.
        """
        self.check(view.kind)
        actions, propensities = np.empty(view.num_lanes, np.int64), np.empty(view.num_lanes)
        if draws is None:
            words = np.zeros((len(PolicyWords._fields), view.num_lanes), np.uint32)
        else:
            words = np.stack([draws.words() for _ in PolicyWords._fields])
        seconds = np.ascontiguousarray(view.last_seconds, np.float32)
        rows = np.ascontiguousarray(view.observation, np.float32).ravel()
        hours = np.zeros(view.num_lanes, np.float32) if view.clock is None else view.clock.astype(np.float32)
        arguments = (typed(self.parameters), rows, view.num_los, seconds, hours, words.ravel(), actions, propensities)
        entry(act_for_all, *arguments, own_cache=policy_fingerprint(self))(*arguments)
        if draws is None:
            self._check_certain(view, propensities)
        return actions, propensities

    def probabilities(self, view: View) -> Doubles:
        """Return the probability of each action in each lane, (N, A): 1 for the action of the rule.

        A policy whose rule uses random words must override this method. Raises AlsimError if the rule chooses an action
        with a probability below 1.
        """
        return one_hot(self.act(view, None)[0], view.num_actions)

    def _check_certain(self, view: View, propensities: Doubles) -> None:
        """Raise AlsimError unless the rule is certain about its action in each lane."""
        uncertain = view.active & (propensities != 1)
        if uncertain.any():
            lane = int(np.argmax(uncertain))
            raise AlsimError(
                f"the rule of the policy {self.name!r} chose an action with probability {propensities[lane]} in lane "
                f"{lane}, so the probabilities of the other actions are unknown; give {type(self).__name__} a method "
                "probabilities(view) that returns the probability of every action, (N, A)"
            )


def is_rule(policy: Policy) -> TypeGuard[RulePolicy]:
    """Return whether a policy acts by its rule alone; a subclass may override `act`."""
    return isinstance(policy, RulePolicy) and getattr(policy.act, "__func__", None) is RulePolicy.act


def policy_fingerprint(policy: RulePolicy) -> str:
    """Return a digest of the rule of a policy outside this package, "" for the policies of this package.

    Raises ValueError if the rule has changed since its first use, see `own_cache_of`.
    """
    return _rule_fingerprint(type(policy.parameters))


def _rule_fingerprint(parameters: type[Any]) -> str:
    """Return the digest of the rule that a class of parameters selects, see `policy_fingerprint`."""
    if parameters.__module__.startswith(f"{__package__}."):
        return ""
    digest = fingerprint(parameters, _CHOICES[parameters])
    return own_cache_of(f"the rule of the policy with the parameters {parameters.__name__}", parameters, digest)


def _to_compile(parameters: type[Any]) -> Choose:
    """Return the rule that a class of parameters selects. Raises ValueError if it has changed since its first use."""
    _rule_fingerprint(parameters)
    return _CHOICES[parameters]


def typed(parameters: Any) -> Any:
    """Return the parameters converted to float32, the type that rules require."""
    return type(parameters)(*map(f32, parameters))


@dispatch(_to_compile)
def choose(p: Any, observation: Floats, inputs: PolicyInput, words: PolicyWords) -> tuple[i64, f64]:
    """Return the action for one learner and its probability, by the rule of the policy with parameters `p`."""
    return _CHOICES[type(p)](p, observation, inputs, words)


@lean_kernel
def act_for_all(
    p: Any,
    rows: Floats,
    num_los: int,
    last_seconds: Floats,
    hours: Floats,
    words: Words,
    actions: Longs,
    propensities: Doubles,
) -> None:
    """Write the action of each lane and its probability.

    rows   observations, (N * R,)
    words  (4 * N,): w0 of all lanes, then w1, w2 and w3
    """
    lanes = len(actions)
    width = len(rows) // lanes
    for k in range(lanes):
        own = PolicyWords(words[k], words[lanes + k], words[2 * lanes + k], words[3 * lanes + k])
        inputs = PolicyInput(u64(k * width), i64(num_los), last_seconds[k], hours[k])
        actions[k], propensities[k] = choose(p, rows, inputs, own)


@rule
def weakest(observation: Floats, inputs: PolicyInput) -> i64:
    """Return the first LO with the lowest mastery; the observation is of kind "mastery" (clause S8.1).

    Positive floats have the same order as their bits. So the minimum over integers, with the mastery in the high bits
    and the LO in the low bits, gives both the lowest mastery and its LO, and the loop vectorises.
    """
    least = LARGEST
    for k in range(inputs.num_los):
        mastery = f32(observation[inputs.row + u64(k)] + ZERO)  # -0 becomes 0
        least = min(least, (u64(mastery.view(u32)) << WORD_BITS) | u64(k))
    return i64(least & LOW_WORD)


_question, _content = rule(encoding.question_action), rule(encoding.content_action)


@rule
def question_action(inputs: PolicyInput, lo: i64, difficulty: i64) -> i64:
    """Return the action that asks a question of `difficulty` (index into DIFFICULTIES) about the LO `lo`.

    The arguments are not checked.
    """
    return i64(_question(lo, difficulty))


@rule
def content_action(inputs: PolicyInput, lo: i64, modality: i64) -> i64:
    """Return the action that shows a content of `modality` (index into MODALITIES) about the LO `lo`.

    The arguments are not checked.
    """
    return i64(_content(lo, modality, inputs.num_los))


__all__ = [
    "PolicyInput",
    "PolicyWords",
    "RulePolicy",
    "choose",
    "content_action",
    "is_rule",
    "policy_fingerprint",
    "question_action",
    "typed",
    "weakest",
]
