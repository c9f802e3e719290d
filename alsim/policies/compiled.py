"""Policies defined by a rule for one learner. Rollouts compile the rule into their loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, TypeGuard

import numpy as np
from numpy.typing import NDArray

from alsim.errors import AlsimError, InputTypeError
from alsim.jit.compile import dispatch, entry, lean_kernel, rule
from alsim.jit.fingerprints import fingerprint, own_cache_of
from alsim.mdp import actions as encoding
from alsim.policies.base import Policy, Transitions, View, check_observation, one_hot
from alsim.policies.memory import state_and_draws
from alsim.types import (
    WORD_BITS,
    ZERO,
    Doubles,
    Floats,
    Ints,
    Longs,
    Observation,
    Words,
    describe,
    f32,
    f64,
    i32,
    i64,
    safe_repr,
    u32,
    u64,
)

NO_MEMORY, NO_PLACE = np.zeros(0, np.float32), u64(0)


class PolicyInput(NamedTuple):
    """Input of a rule for one learner, besides the observation."""

    row: u64  # index of the learner's first entry in the flat array of observations
    num_los: i64
    last_seconds: f32  # response time of the last question, 0 before the first
    hours: f32 = ZERO  # since the episode began
    memory: Floats = NO_MEMORY  # flat array of the memories of all learners, float32
    place: u64 = NO_PLACE  # index of the learner's first entry in `memory`


class PolicyTransition(NamedTuple):
    """Input of a rule that learns: one interaction of one learner. The observation is the one after it."""

    action: i64
    propensity: f64  # probability of the action
    item: i32  # index in the bank, questions first
    correct: i64  # 1 correct, 0 wrong, -1 content
    seconds: f32  # response time, NaN for content
    reward: f32
    ended: i64  # 1 if the episode ended with this interaction, else 0


class PolicyWords(NamedTuple):
    """Random words of a policy for one interaction of one learner (clause S11.1)."""

    w0: u32
    w1: u32
    w2: u32
    w3: u32


LOW_WORD, LARGEST = u64(2**32 - 1), u64(2**64 - 1)

Choose = Callable[[Any, Floats, PolicyInput, PolicyWords], tuple[i64, f64]]
Learn = Callable[[Any, Floats, PolicyInput, PolicyTransition], None]


@rule
def learn_nothing(p: Any, observation: Floats, inputs: PolicyInput, transition: PolicyTransition) -> None:
    """Leave the memory as it is."""


class Rules(NamedTuple):
    """Rules of a policy."""

    choose: Choose
    learn: Learn


_RULES: dict[type[Any], Rules] = {}
"""Rules of policies, by class of their parameters."""


class RulePolicy:
    """A policy that chooses by a rule `choose(parameters, observation, inputs, words) -> action, propensity`.

    A subclass defines these attributes:

    name        name of the policy in the manifest of a dataset
    parameters  NamedTuple with defaults; the loop selects the rule by this class. An instance may have parameters of
                its own, of the same class, and then a name that shows them
    choose      rule compiled by `alsim.rule`
    reads       kind of observation that the rule reads; None for any
    memory      number S of float32 values that the policy keeps of each lane, 0 at the start of an episode; the rules
                find them at inputs.memory[inputs.place], …, inputs.memory[inputs.place + S - 1]
    learn       with a memory: rule `learn(parameters, observation, inputs, transition)`, compiled by `alsim.rule`,
                which changes the memory after an interaction

    If the rule uses random words, the subclass also overrides `probabilities`, which `epsilon-greedy` requires.
    """

    name: str
    parameters: NamedTuple
    choose: ClassVar[Choose]
    reads: ClassVar[Observation | None] = None
    memory: ClassVar[int] = 0
    _rules: ClassVar[Rules]

    def __init_subclass__(cls) -> None:
        parameters = getattr(cls, "parameters", None)
        kind = type(parameters)
        cls._rules = rules = _checked_rules(cls, parameters)
        registered = _RULES.setdefault(kind, rules)
        if registered != rules and _digest(kind, registered) != _digest(kind, rules):
            raise AlsimError(
                f"{cls.__name__}: the class of the parameters selects the rule, and {kind.__name__} already selects "
                "another rule; define a class of parameters for each rule, and after a change of the rule define the "
                "class again, too (in a notebook, run its cell again)"
            )
        if "learn" in cls.__dict__:  # the rule is kept in _rules, and the name is that of the method of a policy
            del cls.learn

    @safe_repr
    def __repr__(self) -> str:
        """Return the class and the name of the policy."""
        return f"<{type(self).__name__}: policy {self.name!r}>"

    def check(self, kind: Observation) -> None:
        """Raise ValueError unless the rule reads this kind of observation, and TypeError for other parameters."""
        own, expected = type(self.parameters), type(type(self).parameters)
        if own is not expected:
            raise InputTypeError(
                f"the parameters of the policy {self.name!r} must be of the class {expected.__name__}, which selects "
                f"its rule; got {describe(self.parameters)}; write self.parameters = {expected.__name__}(...)"
            )
        check_observation(self, kind)

    @property
    def start(self) -> Callable[[int], Floats] | None:
        """Method that returns the memory of n lanes at the start of an episode, zeros (n, S); None without memory."""
        return self._start if self.memory else None

    def _start(self, n: int) -> Floats:
        return np.zeros((n, self.memory), np.float32)

    def act(self, view: View, *arguments: Any) -> tuple[Longs, Doubles]:
        """Return the action of each lane and its probability.

        arguments  draws; or state, draws if the policy has a memory. Draws may be None for a rule that uses no random
                   words

        Raises AlsimError if draws are None and the rule chooses an action with a probability below 1.
        """
        self.check(view.kind)
        state, draws = state_and_draws(self, arguments)
        values = self._checked_memory(state, view.num_lanes) if self.memory else NO_MEMORY
        actions, propensities = np.empty(view.num_lanes, np.int64), np.empty(view.num_lanes)
        if draws is None:
            words = np.zeros((len(PolicyWords._fields), view.num_lanes), np.uint32)
        else:
            words = np.stack([draws.words() for _ in PolicyWords._fields])
        rows, seconds, hours = _flat(view.observation), _flat(view.last_seconds), _hours(view.clock, view.num_lanes)
        passed = (typed(self.parameters), rows, view.num_los, seconds, hours, values, words.ravel())
        arrays = (*passed, actions, propensities)
        entry(act_for_all, *arrays, own_cache=policy_fingerprint(self))(*arrays)
        if draws is None:
            self._check_certain(view, propensities)
        return actions, propensities

    def learn(self, state: Floats, transitions: Transitions) -> None:
        """Change the memory of each lane, (N, S), in place, by the rule `learn`."""
        memory = self._checked_memory(state, transitions.num_lanes)  # a copy if the state is not contiguous
        clock = _hours(transitions.clock, transitions.num_lanes)
        results = np.ascontiguousarray(transitions.propensities, np.float64), _flat(transitions.items, np.int32)
        answers = transitions.correct.astype(np.int64), _flat(transitions.seconds), _flat(transitions.rewards)
        rows, last = _flat(transitions.next_observation), _flat(transitions.last_seconds)
        arrays = (
            *(typed(self.parameters), rows, transitions.num_los, last, clock, memory),
            *(np.ascontiguousarray(transitions.actions, np.int64), *results, *answers),
            transitions.ended.astype(np.int64),
        )
        entry(learn_for_all, *arrays, own_cache=policy_fingerprint(self))(*arrays)
        state[...] = memory.reshape(state.shape)

    def probabilities(self, view: View, *arguments: Any) -> Doubles:
        """Return the probability of each action in each lane, (N, A): 1 for the action of the rule.

        arguments  nothing or draws; or state and draws if the policy has a memory. Draws are not used

        A policy whose rule uses random words must override this method. Raises AlsimError if the rule chooses an action
        with a probability below 1.
        """
        state = arguments[:1] if self.memory else ()
        return one_hot(self.act(view, *state, None)[0], view.num_actions)

    def _checked_memory(self, state: Any, lanes: int) -> Floats:
        """Return the memory of all lanes as a flat array. Raises errors unless it is float32 of shape (N, S)."""
        shape = (lanes, self.memory)
        if not isinstance(state, np.ndarray) or state.shape != shape or state.dtype != np.float32:
            found = f"{state.dtype} of shape {state.shape}" if isinstance(state, np.ndarray) else describe(state)
            raise InputTypeError(
                f"the state of the policy {self.name!r} must be float32 of shape {shape}; got {found}; "
                "pass the state that start returned"
            )
        return np.ascontiguousarray(state).reshape(-1)

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
    """Return a digest of the rules of a policy outside this package, "" for the policies of this package.

    Raises ValueError if a rule has changed since its first use, see `own_cache_of`.
    """
    return _rule_fingerprint(type(policy.parameters))


def _checked_rules(cls: type[Any], parameters: Any) -> Rules:
    """Return the rules of a class of policies. Raises errors for missing ones, and for an invalid memory."""
    choose_rule, learn_rule, memory = cls.__dict__.get("choose", getattr(cls, "choose", None)), cls.learn, cls.memory
    if not isinstance(parameters, tuple) or not hasattr(parameters, "_fields") or not callable(choose_rule):
        raise InputTypeError(
            f"{cls.__name__}: a RulePolicy must define `parameters`, a NamedTuple, and `choose`, a rule; "
            f"got {parameters!r} and {choose_rule!r}"
        )
    if isinstance(memory, bool) or not isinstance(memory, int) or memory < 0:
        raise AlsimError(
            f"{cls.__name__}: the memory of a RulePolicy must be a number of float32 values, at least 0; got "
            f"{memory!r}; write memory = 2 for two values per lane"
        )
    if learn_rule is RulePolicy.learn:
        base = getattr(cls, "_rules", None)
        learn_rule = base.learn if base is not None and memory else learn_nothing
    if memory and learn_rule is learn_nothing:
        raise AlsimError(
            f"{cls.__name__}: a RulePolicy with a memory must define `learn`, a rule; got none; "
            "add learn = RULE to the class"
        )
    if learn_rule is not learn_nothing and not memory:
        raise AlsimError(
            f"{cls.__name__}: a RulePolicy with a rule `learn` must say how many values it keeps; got no memory; "
            "add memory = 2 for two values per lane"
        )
    return Rules(choose_rule, learn_rule)


def _digest(kind: type[Any], rules: Rules) -> str:
    """Return a digest of the rules of a policy and of the class of its parameters."""
    learns = () if rules.learn is learn_nothing else (rules.learn,)
    return fingerprint(kind, rules.choose, *learns)


def _rule_fingerprint(parameters: type[Any]) -> str:
    """Return the digest of the rules that a class of parameters selects, see `policy_fingerprint`."""
    if parameters.__module__.startswith(f"{__package__}."):
        return ""
    digest = _digest(parameters, _RULES[parameters])
    return own_cache_of(f"the rule of the policy with the parameters {parameters.__name__}", parameters, digest)


def _choose_of(parameters: type[Any]) -> Choose:
    """Return the rule that a class of parameters selects. Raises ValueError if it has changed since its first use."""
    _rule_fingerprint(parameters)
    return _RULES[parameters].choose


def _learn_of(parameters: type[Any]) -> Learn:
    """Return the rule of learning that a class of parameters selects. Raises ValueError as `_choose_of`."""
    _rule_fingerprint(parameters)
    return _RULES[parameters].learn


def _flat(array: NDArray[Any], kind: Any = np.float32) -> NDArray[Any]:
    """Return an array of one axis, contiguous and of a type of numbers."""
    return np.ascontiguousarray(array, kind).ravel()


def _hours(clock: Doubles | None, lanes: int) -> Floats:
    """Return the clock of each lane as rules read it, (N,) float32: 0 if it is unknown."""
    return np.zeros(lanes, np.float32) if clock is None else clock.astype(np.float32)


def typed(parameters: Any) -> Any:
    """Return the parameters converted to float32, the type that rules require."""
    return type(parameters)(*map(f32, parameters))


@dispatch(_choose_of)
def choose(p: Any, observation: Floats, inputs: PolicyInput, words: PolicyWords) -> tuple[i64, f64]:
    """Return the action for one learner and its probability, by the rule of the policy with parameters `p`."""
    return _RULES[type(p)].choose(p, observation, inputs, words)


@dispatch(_learn_of)
def learn(p: Any, observation: Floats, inputs: PolicyInput, transition: PolicyTransition) -> None:
    """Change the memory of one learner after an interaction, by the rule of the policy with parameters `p`."""
    _RULES[type(p)].learn(p, observation, inputs, transition)


@lean_kernel
def act_for_all(
    p: Any,
    rows: Floats,
    num_los: int,
    last_seconds: Floats,
    hours: Floats,
    memory: Floats,
    words: Words,
    actions: Longs,
    propensities: Doubles,
) -> None:
    """Write the action of each lane and its probability.

    rows    observations, (N * R,)
    memory  (N * S,)
    words   (4 * N,): w0 of all lanes, then w1, w2 and w3
    """
    lanes = len(actions)
    width, values = len(rows) // lanes, len(memory) // lanes
    for k in range(lanes):
        own = PolicyWords(words[k], words[lanes + k], words[2 * lanes + k], words[3 * lanes + k])
        inputs = PolicyInput(u64(k * width), i64(num_los), last_seconds[k], hours[k], memory, u64(k * values))
        actions[k], propensities[k] = choose(p, rows, inputs, own)


@lean_kernel
def learn_for_all(
    p: Any,
    rows: Floats,
    num_los: int,
    last_seconds: Floats,
    hours: Floats,
    memory: Floats,
    actions: Longs,
    propensities: Doubles,
    items: Ints,
    correct: Longs,
    seconds: Floats,
    rewards: Floats,
    ended: Longs,
) -> None:
    """Change the memory of each lane after an interaction, (N * S,); the other arrays are as in `act_for_all`."""
    lanes = len(actions)
    width, values = len(rows) // lanes, len(memory) // lanes
    for k in range(lanes):
        inputs = PolicyInput(u64(k * width), i64(num_los), last_seconds[k], hours[k], memory, u64(k * values))
        results = (correct[k], seconds[k], rewards[k], ended[k])
        learn(p, rows, inputs, PolicyTransition(actions[k], propensities[k], items[k], *results))


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
    "PolicyTransition",
    "PolicyWords",
    "RulePolicy",
    "choose",
    "content_action",
    "is_rule",
    "learn",
    "policy_fingerprint",
    "question_action",
    "typed",
    "weakest",
]
