"""A compiled policy with memory, for the benchmark of rollouts: 30 counters per lane, read and written at each step."""

from __future__ import annotations

from typing import Any, NamedTuple

from alsim import rule
from alsim.policies import RulePolicy
from alsim.policies.compiled import question_action
from alsim.types import f32, f64, i64, u64

OUTCOMES = 30


class NoParameters(NamedTuple):
    pass


@rule
def ask_least_asked(p: Any, observation: Any, inputs: Any, words: Any) -> Any:
    lo = 0
    for k in range(1, OUTCOMES):
        if inputs.memory[inputs.place + u64(k)] < inputs.memory[inputs.place + u64(lo)]:
            lo = k
    return question_action(inputs, i64(lo), i64(0)), f64(1)


@rule
def count_question(p: Any, observation: Any, inputs: Any, transition: Any) -> None:
    if transition.correct >= 0:
        inputs.memory[inputs.place + u64(transition.action // 3)] += f32(1)


class LeastAsked(RulePolicy):
    """An Easy question about the outcome with the fewest questions so far."""

    name = "least-asked"
    parameters = NoParameters()
    choose = ask_least_asked
    memory = OUTCOMES
    learn = count_question
