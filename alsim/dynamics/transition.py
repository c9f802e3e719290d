"""Calls of the rules of a dynamics, which compiled code chooses by the class of the parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from alsim.dynamics.registry import Dynamics, of_parameters, rules_fingerprint
from alsim.jit.compile import dispatch, rule
from alsim.jit.structs import selection_of
from alsim.types import Draws, Item, Learner, Outcome


def _to_compile(parameters: type[Any]) -> Dynamics:
    """Return the dynamics with this class of parameters. Raises ValueError if its rules have changed since first use.

    An environment may compile them later than it is made, and stores the result under the fingerprint at that time.
    """
    rules_fingerprint(parameters)
    return of_parameters(parameters)


def _declared(function: Callable[..., Any] | None) -> Callable[..., Any]:
    """Return a rule that the dynamics declares; callers make sure that it does."""
    assert function is not None
    return function


@dispatch(lambda parameters: _to_compile(parameters).answer)
def answer(p: Any, learner: Learner, item: Item, draws: Draws) -> tuple[Learner, Outcome]:
    """Return the learner after a question and the outcome, under the dynamics with parameters `p`."""
    return of_parameters(type(p)).answer(p, learner, item, draws)


@dispatch(lambda parameters: _to_compile(parameters).study)
def study(p: Any, learner: Learner, item: Item, draws: Draws) -> tuple[Learner, Outcome]:
    """Return the learner after a content and the outcome, under the dynamics with parameters `p`."""
    return of_parameters(type(p)).study(p, learner, item, draws)


@dispatch(lambda parameters: _declared(_to_compile(parameters).chance))
def chance(p: Any, learner: Learner, item: Item) -> Any:
    """Return the probability of a correct answer, before it is drawn (clause S15.1)."""
    return _declared(of_parameters(type(p)).chance)(p, learner, item)


@dispatch(lambda parameters: _declared(_to_compile(parameters).begin))
def begin(p: Any, mastery: Any, uniform: Any) -> Any:
    """Return the mastery of an LO and its own state at the start of an episode."""
    return _declared(of_parameters(type(p)).begin)(p, mastery, uniform)


@dispatch(lambda parameters: _declared(_to_compile(parameters).observe))
def observe(p: Any, mastery: Any, state: Any, hours: Any) -> Any:
    """Return the mastery that is observed of an LO, see `register_dynamics`."""
    return _declared(of_parameters(type(p)).observe)(p, mastery, state, hours)


@rule
def transition(p: Any, learner: Learner, item: Item, draws: Draws) -> tuple[Learner, Outcome]:
    """Return the learner after an interaction, and the outcome.

    Both rules are evaluated, and each field is selected from one of the results. A branch around the calls, or a
    selection of whole structs, would prevent vectorisation.
    """
    asked, response = answer(p, learner, item, draws)
    studied, lesson = study(p, learner, item, draws)
    question = item.is_question
    return (
        Learner(
            mastery=asked.mastery if question else studied.mastery,
            ability=asked.ability if question else studied.ability,
            frustration=asked.frustration if question else studied.frustration,
            response_time=asked.response_time if question else studied.response_time,
            fail_streak=asked.fail_streak if question else studied.fail_streak,
            lo_state=select_lo_state(question, asked, studied),
            learner_state=select_learner_state(question, asked, studied),
        ),
        Outcome(
            correct=question and response.correct,
            gain=response.gain if question else lesson.gain,
        ),
    )


select_lo_state = selection_of("lo_state")
select_learner_state = selection_of("learner_state")
