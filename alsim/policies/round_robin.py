"""Questions on each LO in turn."""

from __future__ import annotations

from typing import NamedTuple

from alsim.jit.compile import rule
from alsim.mdp.actions import LEVELS
from alsim.policies.compiled import PolicyInput, PolicyTransition, PolicyWords, RulePolicy, question_action
from alsim.types import Floats, f32, f64, i64

CERTAIN = f64(1)


class NoParameters(NamedTuple):
    """Empty parameters of the policy that asks in turn."""


@rule
def ask_in_turn(p: NoParameters, observation: Floats, inputs: PolicyInput, words: PolicyWords) -> tuple[i64, f64]:
    """Return the question of this turn, and its probability 1."""
    turn = i64(inputs.memory[inputs.place])
    return question_action(inputs, turn % inputs.num_los, turn // inputs.num_los), CERTAIN


@rule
def count_turns(p: NoParameters, observation: Floats, inputs: PolicyInput, transition: PolicyTransition) -> None:
    """Advance the turn; after the last one, begin again."""
    turns = LEVELS * inputs.num_los
    # A remainder is exact in float32; a count of all interactions would not be from 2**24 on.
    inputs.memory[inputs.place] = f32((i64(inputs.memory[inputs.place]) + 1) % turns)


class RoundRobin(RulePolicy):
    """Policy that asks about each LO in turn, from Easy to Hard.

    Interaction t of an episode, from 0, asks about LO t mod L, with difficulty (t div L) mod 3: one Easy question on
    each of the L LOs in their order, then one Medium question on each, then one Hard question on each, then Easy
    questions again. Every interaction advances the turn, also one that another policy chose, as in `epsilon-greedy`.
    """

    name = "round-robin"
    parameters = NoParameters()
    choose = ask_in_turn
    memory = 1
    learn = count_turns  # type: ignore[assignment]  # a rule; RulePolicy keeps its method of this name
