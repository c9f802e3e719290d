"""The rules of one learner. A dynamics is one file: its parameters, `answer`, `study`, and a line here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from alsim.dynamics import standard
from alsim.errors import AlsimError, InputTypeError
from alsim.jit.cache import fingerprint
from alsim.jit.compile import dispatch, rule
from alsim.types import Draws, Item, Learner, Outcome

Rule = Callable[[Any, Learner, Item, Draws], tuple[Learner, Outcome]]


class Dynamics(NamedTuple):
    """A registered dynamics: its name, the class of its parameters, and its two rules."""

    name: str
    parameters: type[Any]
    answer: Rule
    study: Rule


DYNAMICS: dict[str, Dynamics] = {}
"""Every registered dynamics, by name."""


def register_dynamics(name: str, parameters: type[Any], answer: Rule, study: Rule) -> None:
    """Make a dynamics known under `name`.

    parameters  NamedTuple class of floats with defaults; the batch loop finds the rules by this class
    answer      rule of a question, study: rule of a content; both compiled by `alsim.rule`

    Raises ValueError if the name or the class is taken already.
    """
    for known in DYNAMICS.values():
        if known.name == name or known.parameters is parameters:
            raise AlsimError(
                f"the dynamics {known.name!r} with parameters {known.parameters.__name__} is registered already; "
                f"got name {name!r} with parameters {parameters.__name__}"
            )
    DYNAMICS[name] = Dynamics(name, parameters, answer, study)


def of_parameters(parameters: type[Any]) -> Dynamics:
    """Return the dynamics whose parameters are of this class."""
    for dynamics in DYNAMICS.values():
        if dynamics.parameters is parameters:
            return dynamics
    raise InputTypeError(
        f"no dynamics has parameters of class {parameters.__name__}; registered are "
        + ", ".join(f"{d.name} ({d.parameters.__name__})" for d in DYNAMICS.values())
    )


def rules_fingerprint(parameters: type[Any]) -> str:
    """Return a digest of a dynamics' rules if they come from elsewhere, "" if they are this package's."""
    dynamics = of_parameters(parameters)
    if parameters.__module__.startswith(f"{__name__}."):
        return ""
    return fingerprint(parameters, dynamics.answer, dynamics.study)


@dispatch(lambda parameters: of_parameters(parameters).answer)
def answer(p: Any, learner: Learner, item: Item, draws: Draws) -> tuple[Learner, Outcome]:
    """The learner after a question, under the dynamics that parameters `p` belong to."""
    return of_parameters(type(p)).answer(p, learner, item, draws)


@dispatch(lambda parameters: of_parameters(parameters).study)
def study(p: Any, learner: Learner, item: Item, draws: Draws) -> tuple[Learner, Outcome]:
    """The learner after a content, under the dynamics that parameters `p` belong to."""
    return of_parameters(type(p)).study(p, learner, item, draws)


@rule
def transition(p: Any, learner: Learner, item: Item, draws: Draws) -> tuple[Learner, Outcome]:
    """The learner after an interaction, and what came of it.

    Both rules are computed and each field selected: a branch around the calls, or selecting whole
    structs, would keep the loop from vectorising.
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
        ),
        Outcome(
            correct=question and response.correct,
            gain=response.gain if question else lesson.gain,
        ),
    )


register_dynamics("standard", standard.Standard, standard.answer, standard.study)
