"""Checks of a user's dynamics: its rules run on examples in the interpreter, before anything is compiled."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache, partial
from typing import Any

import numpy as np

from alsim.dynamics.examples import (
    CHAIN,
    NUM_EXAMPLES,
    STATES,
    Example,
    Result,
    Results,
    examples_of,
    start_states,
)
from alsim.dynamics.gain_checks import check_gains
from alsim.dynamics.messages import DECLARE, SHORT, is_of_absent, show, show_any, title_of
from alsim.dynamics.number_types import KINDS, check_wide_types, shared_fields
from alsim.dynamics.registry import Dynamics
from alsim.errors import AlsimError, RuleWarning, did_you_mean
from alsim.jit.interpreted import interpreted
from alsim.jit.structs import ABSENT, is_absent
from alsim.types import HALF, ONE, Draws, Item, Learner, Outcome, f32

_BOUNDS = {"mastery": (0, 1), "frustration": (0, 1), "response_time": (0, np.inf), "fail_streak": (0, np.inf)}
_ULP = 2.0**-23  # of float32 at 1: mastery + gain, or a gain that is not their difference, may be rounded
_ROUNDING = 1e-6  # a float32 formula that stays in [0, 1] in exact arithmetic may exceed it by its rounding error
_LATER = f32(1000)  # hours after an interaction at which its outcome is observed, too
_ARGUMENTS = dict.fromkeys(("answer", "study"), "p, learner, item, draws") | {
    "chance": "p, learner, item",
    "begin": "p, mastery, uniform",
    "observe": "p, mastery, state, hours",
}
_ON_REQUEST = {"hours": "reads_clock=True", "unready": "reads_parents=True", "further": "further_draws=True"}
"""Fields of Item and Draws that exist only on request, with the argument of `register_dynamics`."""

Function = Callable[..., Any]


def check_rules(dynamics: Dynamics, parameters: Any) -> None:
    """Run the rules of a dynamics on a few hundred examples, and raise AlsimError for an invalid result.

    parameters  instance of its parameters

    Results must be of the right types, finite, within their bounds, and equal if a rule runs again. The gain must be
    the change of mastery, and only a question can be correct. A rule that computes in float64 or int64 is accepted
    with a warning, and so is one whose fail streak or response time does not follow clauses S1.3 and S5.2. Nothing is
    compiled.
    """
    typed = type(parameters)(*map(f32, parameters))
    name, rules = dynamics.name, {"answer": dynamics.answer, "study": dynamics.study}
    with np.errstate(all="ignore"):
        _check_start(dynamics, typed)
        results = {title: list(_results(dynamics, title, typed)) for title in rules}
        _check_correctness(name, rules, results)
        _check_chance(dynamics, typed, results["answer"])
        _check_observation(dynamics, typed, results["answer"])
        check_gains(dynamics, typed, [*results["answer"], *results["study"]])
        for title in dynamics.rules:
            check_wide_types(dynamics, title, typed, results["study" if title == "study" else "answer"])
    for title, function in rules.items():
        _warn_of_definitions(title_of(name, title, function), results[title], is_question=title == "answer")


@lru_cache
def check_rules_once(dynamics: Dynamics, parameters: Any) -> None:
    """Call `check_rules`, unless these rules have passed it with these parameters."""
    check_rules(dynamics, parameters)


def _check_correctness(name: str, rules: dict[str, Any], results: dict[str, Results]) -> None:
    """Raise AlsimError if contents are answered, and warn if no question is answered correctly."""
    correct = {title: any(one.outcome.correct for one in found) for title, found in results.items()}
    if correct["study"] and not correct["answer"]:
        raise AlsimError(
            f"the rules of the dynamics {name!r} are swapped: study returns correct=True and answer never does; "
            "call alsim.register_dynamics(name, parameters, answer, study) in this order"
        )
    if correct["study"]:
        raise AlsimError(
            f"{title_of(name, 'study', rules['study'])} returns correct = True, but a content has no answer; return "
            "Outcome(correct=False, gain=...)"
        )
    if not correct["answer"]:
        warnings.warn(
            f"{title_of(name, 'answer', rules['answer'])} never returns correct=True in {NUM_EXAMPLES} examples; "
            "compare draws.answer with the probability of a correct answer",
            RuleWarning,
            stacklevel=5,
        )


def _results(dynamics: Dynamics, title: str, parameters: Any) -> Iterator[Result]:
    """Yield the checked results of a rule for all examples."""
    plain, states = _plain(dynamics, title), dict[str, Any]()
    place = title_of(dynamics.name, title, dynamics.rules[title])
    for number, example in enumerate(examples_of(dynamics, is_question=title == "answer")):
        if number % CHAIN == 0:
            states = start_states(dynamics, parameters, example)
        given = example[0]._replace(**states), *example[1:]

        def check(result: Any, given: Example = given) -> None:
            _check_result(place, result, (parameters, *given))
            _check_states(dynamics, place, result[0])

        after, outcome = _run(dynamics, title, plain, (parameters, *given), check)
        states = {field: getattr(after, field) for field in STATES}
        yield Result(*given, after, outcome)


def _plain(dynamics: Dynamics, title: str) -> Function:
    """Return a rule that runs in the interpreter, where structs that compiled code cannot make raise TypeError."""
    return interpreted(dynamics.rules[title], replaced={kind: _maker(kind) for kind in (Learner, *dynamics.states)})


def _maker(kind: Any) -> Function:
    """Return a function that makes a struct, and raises TypeError if a field is missing: machine code has no defaults.

    Without own states, the last fields of Learner may be missing.
    """

    def make(*values: Any, **fields: Any) -> Any:
        missing = [name for name in kind._fields[len(values) :] if name not in fields and name in kind._field_defaults]
        if missing and (kind is not Learner or "learner_state" in fields):
            raise TypeError(f"{kind.__name__}() is called without {', '.join(missing)}")
        return kind(*values, **fields)

    return make


def _run(
    dynamics: Dynamics, title: str, plain: Function, arguments: tuple[Any, ...], check: Callable[[Any], None]
) -> Any:
    """Return the result of a rule, and call `check` with it.

    plain  the rule in the interpreter

    Raises AlsimError for an exception, and for another result with the same arguments.
    """
    name, function = dynamics.name, dynamics.rules[title]
    try:
        first, second = plain(*arguments), plain(*arguments)
    except NameError:
        raise
    except Exception as error:  # the code of a user may raise any exception
        cure = _cure(title, plain, arguments, error)
        raise AlsimError(
            f"{title_of(name, title, function, error)} raises {type(error).__name__}: {error}; {cure}"
        ) from None
    check(first)
    if first != second:
        raise AlsimError(
            f"{title_of(name, title, function)} returns two results for the same input, which breaks "
            f"reproducibility: {show_any(first)} and {show_any(second)}; take every random number from draws"
        )
    return first


def _cure(title: str, plain: Function, arguments: tuple[Any, ...], error: Exception) -> str:
    """Return the cure for an exception in a rule."""
    if missing := _undeclared(plain, arguments):
        names = ", ".join(_ON_REQUEST[field] for field in missing)
        return f"declare the use of {' and '.join(missing)}: pass {names} to alsim.register_dynamics"
    if isinstance(error, AttributeError) and is_absent(error.obj):
        return "declare the state: pass lo_state=... or learner_state=... to alsim.register_dynamics"
    if isinstance(error, AttributeError) and error.name:
        fields = getattr(type(error.obj), "_fields", ())
        return f"its fields are {', '.join(fields)}{did_you_mean(error.name, fields)}"
    if isinstance(error, TypeError):
        return f"the rule {title} takes ({_ARGUMENTS[title]}), and names every field of the structs that it returns"
    return "correct the rule"


def _undeclared(plain: Function, arguments: tuple[Any, ...]) -> list[str]:
    """Return the fields of Item and Draws that a rule needs, but that its registration does not declare."""
    values: dict[str, Any] = {"hours": ONE, "unready": ONE, "further": (HALF,) * 4}
    absent = [name for name in values if any(is_absent(getattr(part, name, None)) for part in arguments)]

    def runs(without: Any = None) -> bool:
        given = {name: values[name] for name in absent if name != without}
        parts = [
            part._replace(**{name: given[name] for name in given if name in part._fields})
            if isinstance(part, Item | Draws)
            else part
            for part in arguments
        ]
        with suppress(Exception):
            plain(*parts)
            return True
        return False

    return [name for name in absent if not runs(without=name)] if absent and runs() else []


def _check_result(title: str, result: Any, given: tuple[Any, ...]) -> None:
    """Raise AlsimError unless a result of a rule is a valid learner and an outcome."""
    kinds = tuple(map(type, result)) if isinstance(result, tuple) and not hasattr(result, "_fields") else type(result)
    if kinds != (Learner, Outcome):
        names = [kind.__name__ for kind in kinds] if isinstance(kinds, tuple) else [kinds.__name__]
        raise AlsimError(
            f"{title} must return (Learner, Outcome); got {', '.join(names)}: end it with "
            "`return Learner(...), Outcome(...)`"
        )
    after, outcome = result
    if not isinstance(outcome.correct, bool | np.bool_):
        raise AlsimError(
            f"{title} returns correct = {outcome.correct!r}; it must be True or False: return a comparison"
        )
    values: dict[str, Any] = {**shared_fields(after), "gain": outcome.gain}
    for field, value in values.items():
        if not isinstance(value, float | int | np.floating | np.integer):
            cure = DECLARE if is_of_absent(value) else f"return {KINDS[field].__name__}(…)"
            raise AlsimError(f"{title} returns {field} = {value!r}; it must be a number: {cure}")
        low, high = _BOUNDS.get(field, (-np.inf, np.inf))
        if not (np.isfinite(value) and low - _ROUNDING <= value <= high + _ROUNDING):
            expected = (
                "finite"
                if not np.isfinite(value) or low == -np.inf
                else (f"in [{low}, {high}]" if high < np.inf else f"at least {low}")
            )
            raise AlsimError(
                f"{title} returns {field} = {float(value):.6g}, which must be {expected}, for {show(given)}; limit "
                "it, as in min(ONE, max(ZERO, value))"
            )
    _check_gain(title, after, outcome, given)


def _check_gain(title: str, after: Learner, outcome: Outcome, given: tuple[Any, ...]) -> None:
    """Raise AlsimError unless the gain is the change of mastery after its bounds, up to the rounding of float32."""
    change = float(f32(after.mastery)) - float(given[1].mastery)
    if abs(float(f32(outcome.gain)) - change) > _ULP:
        raise AlsimError(
            f"{title} returns gain = {float(outcome.gain):.6g}, but mastery changes by {change:.6g}, for "
            f"{show(given)}; return gain=mastery - learner.mastery, with the new mastery after its bounds"
        )


def _check_states(dynamics: Dynamics, title: str, after: Learner) -> None:
    """Raise AlsimError unless a result has the own states that the dynamics declares, with finite numbers."""
    for field in STATES:
        kind, state = getattr(dynamics, field), getattr(after, field)
        if kind is None:
            if state != ABSENT:
                raise AlsimError(f"{title} returns {field}, which is not declared; pass {field}=... at registration")
            continue
        _check_state(title, field, kind, state)


def _check_state(title: str, field: str, kind: Any, state: Any) -> None:
    """Raise AlsimError unless a state is of the declared class, with finite numbers of the declared types."""
    if type(state) is not kind:
        raise AlsimError(
            f"{title} must return {field} of class {kind.__name__}; got {_show_state(state)}: return "
            f"{field}={kind.__name__}(...), or {field}=learner.{field} to keep it"
        )
    for name, value in state._asdict().items():
        wanted = type(kind._field_defaults[name])
        if is_of_absent(value):
            raise AlsimError(f"{title} returns {field}.{name} = {value!r}; it must be a number: {DECLARE}")
        if not isinstance(value, wanted):
            raise AlsimError(
                f"{title} returns {field}.{name} of type {type(value).__name__}, but its start value is "
                f"{wanted.__name__}; return {SHORT[wanted]}(...)"
            )
        if not np.isfinite(value):
            raise AlsimError(f"{title} returns {field}.{name} = {value!r}; it must be finite: limit it")


def _show_state(state: Any) -> str:
    return show_any(state) if hasattr(state, "_fields") else repr(state)


def _check_chance(dynamics: Dynamics, parameters: Any, results: Results) -> None:
    """Raise AlsimError unless the chance is a probability, and decides whether an answer is correct."""
    if dynamics.chance is None:
        return
    title = title_of(dynamics.name, "chance", dynamics.chance)
    chance, answer = _plain(dynamics, "chance"), _plain(dynamics, "answer")
    for given, item, draws, _, _ in results:
        arguments = parameters, given, item
        p = _run(dynamics, "chance", chance, arguments, partial(_check_share, title, "", arguments))
        for uniform, expected in ((f32(p) - f32(_ROUNDING), True), (f32(p) + f32(_ROUNDING), False)):
            if 0 < uniform < 1:
                correct = answer(parameters, given, item, draws._replace(answer=f32(uniform)))[1].correct
                if bool(correct) is not expected:
                    raise AlsimError(
                        f"{title} returns {float(p):.6g}, but answer returns correct = {bool(correct)} for "
                        f"draws.answer = {float(uniform):.6g}; compare draws.answer < chance(p, learner, item) there"
                    )


def _check_start(dynamics: Dynamics, parameters: Any) -> None:
    """Raise AlsimError unless the rule `begin` returns a valid mastery and a valid state."""
    if dynamics.begin is None:
        return
    title, begin = title_of(dynamics.name, "begin", dynamics.begin), _plain(dynamics, "begin")

    def check(result: Any) -> None:
        if not isinstance(result, tuple) or len(result) != 2 or hasattr(result, "_fields"):
            raise AlsimError(f"{title} must return (mastery, state); got {show_any(result)}")
        _check_share(title, "the mastery ", given, result[0])
        if dynamics.lo_state is not None:
            _check_state(title, "the state", dynamics.lo_state, result[1])
        elif result[1] != ABSENT:
            raise AlsimError(f"{title} returns a state, but no lo_state is declared; return (mastery, ())")

    for learner, _, draws in examples_of(dynamics, is_question=True):
        given = parameters, learner.mastery, draws.answer
        _run(dynamics, "begin", begin, given, check)


def _check_observation(dynamics: Dynamics, parameters: Any, results: Results) -> None:
    """Raise AlsimError unless the rule `observe` returns a valid mastery before each example, and long after it."""
    if dynamics.observe is None:
        return
    title, observe = title_of(dynamics.name, "observe", dynamics.observe), _plain(dynamics, "observe")
    for learner, item, _, after, _ in results:
        for given in (
            (parameters, learner.mastery, learner.lo_state, item.hours),
            (parameters, after.mastery, after.lo_state, item.hours + _LATER),
        ):
            _run(dynamics, "observe", observe, given, partial(_check_share, title, "the mastery ", given))


def _check_share(title: str, what: str, given: tuple[Any, ...], value: Any) -> None:
    """Raise AlsimError unless a value is a number in [0, 1]."""
    if not isinstance(value, float | np.floating):
        cure = DECLARE if is_of_absent(value) else "return f32(...)"
        raise AlsimError(f"{title} returns {what}{show_any(value)}, which must be a float32 number: {cure}")
    if not -_ROUNDING <= value <= 1 + _ROUNDING:
        raise AlsimError(
            f"{title} returns {what}{float(value):.6g}, which must be in [0, 1], for {show(given)}; limit it, as "
            "in min(ONE, max(ZERO, value))"
        )


def _warn_of_definitions(title: str, results: Results, *, is_question: bool) -> None:
    """Warn of fields that differ from their definitions: the fail streak (S1.3), and a content's response time (S5.2).

    The simulator only shows these fields, so such a dynamics runs, but logs and policies read them as defined.
    """
    for learner, _, _, after, outcome in results:
        wrong = is_question and not outcome.correct
        streak = int(learner.fail_streak) + 1 if wrong else 0
        found = ""
        if after.fail_streak != streak:
            event = "a content" if not is_question else "a wrong answer" if wrong else "a correct answer"
            value = "fail_streak=i32(learner.fail_streak + i32(1))" if wrong else "fail_streak=i32(0)"
            found = f"fail_streak = {after.fail_streak} after {event}, expected {streak}: return {value}"
        elif not is_question and f32(after.response_time) != learner.response_time:
            found = "another response_time after a content: return response_time=learner.response_time"
        if found:
            warnings.warn(f"{title} returns {found}", RuleWarning, stacklevel=5)
            return


__all__ = ["check_rules", "check_rules_once"]
