"""Checks of a user's dynamics: its rules run on examples in the interpreter, before anything is compiled."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from numbers import Real
from typing import Any, get_args

import numpy as np

from alsim.dynamics.registry import Dynamics, Moment
from alsim.errors import AlsimError, InputTypeError, RuleWarning, did_you_mean
from alsim.jit.cache import COMPILED
from alsim.jit.interpreted import interpreted
from alsim.jit.structs import ABSENT, is_absent
from alsim.types import HALF, ONE, Draws, Item, Learner, Outcome, f32, i32

NUM_EXAMPLES = 300
CHAIN = 10
"""Number of successive examples of one learner, each with the own state that the one before returned."""
_BOUNDS = {"mastery": (0, 1), "frustration": (0, 1), "response_time": (0, np.inf), "fail_streak": (0, np.inf)}
_ULP = 2.0**-23  # of float32 at 1: mastery + gain, or a gain that is not their difference, may be rounded
_ROUNDING = 1e-6  # a float32 formula that stays in [0, 1] in exact arithmetic may exceed it by its rounding error
_STATES = ("lo_state", "learner_state")
_SHARED = tuple(name for name in Learner._fields if name not in _STATES)
_KINDS: dict[str, type[Any]] = dict.fromkeys(_SHARED, f32) | {"fail_streak": i32, "gain": f32}

_ARGUMENTS = dict.fromkeys(("answer", "study"), "p, learner, item, draws") | {
    "chance": "p, learner, item",
    "begin": "p, mastery, uniform",
    "observe": "p, mastery, state, hours",
}
_ON_REQUEST = {"hours": "reads_clock=True", "unready": "reads_parents=True", "further": "further_draws=True"}
"""Fields of Item and Draws that exist only on request, with the argument of `register_dynamics`."""
_DECLARE = "item.hours, item.unready and draws.further are () unless the registration declares their use"
_SHORT: dict[type[Any], str] = {f32: "f32", i32: "i32"}
_LATER = f32(1000)  # hours after an interaction at which its outcome is observed, too

Function = Callable[..., Any]
Example = tuple[Learner, Item, Draws]


def check_definition(dynamics: Dynamics) -> None:
    """Raise AlsimError unless the arguments of `register_dynamics` are of the right kinds, without running a rule."""
    name: Any = dynamics.name
    parameters: Any = dynamics.parameters
    if not isinstance(name, str) or not name:
        raise InputTypeError(f"the name of a dynamics must be a string that is not empty; got {name!r}")
    if not (isinstance(parameters, type) and issubclass(parameters, tuple) and hasattr(parameters, "_field_defaults")):
        shown = getattr(parameters, "__name__", repr(parameters))
        raise InputTypeError(
            f"the parameters of the dynamics {name!r} must be a NamedTuple class; got {shown}: write "
            f"`class {shown if shown.isidentifier() else 'Parameters'}(NamedTuple)`"
        )
    fields: tuple[str, ...] = getattr(dynamics.parameters, "_fields", ())
    defaults: dict[str, Any] = parameters._field_defaults
    for field in fields:
        default = defaults.get(field)
        if not isinstance(default, Real) or isinstance(default, bool):
            got = f"got {default!r}" if field in defaults else "it has none"
            raise InputTypeError(
                f"{parameters.__name__}.{field} of the dynamics {name!r} must have a number as its default; {got}: "
                f"write `{field}: float = 0.1`"
            )
    for title in _STATES:
        _check_state_class(name, title, getattr(dynamics, title))
    for title, function in dynamics.rules.items():
        if not callable(function) or (COMPILED and not hasattr(function, "py_func")):
            raise InputTypeError(
                f"{_title(name, title, function)} must be a function compiled by alsim.rule; got "
                f"{type(function).__name__}: write @alsim.rule above its definition"
            )
    for flag in ("reads_clock", "reads_parents", "further_draws"):
        if type(getattr(dynamics, flag)) is not bool:
            raise InputTypeError(
                f"{flag} of the dynamics {name!r} must be True or False; got {getattr(dynamics, flag)!r:.100}"
            )
    if not isinstance(dynamics.source, str):
        raise InputTypeError(f"source of the dynamics {name!r} must be a string; got {dynamics.source!r:.100}")
    moments = get_args(Moment)
    if dynamics.observe_at not in moments:
        raise AlsimError(f"observe_at must be one of {', '.join(map(repr, moments))}; got {dynamics.observe_at!r}")


def _check_state_class(name: str, title: str, kind: Any) -> None:
    """Raise AlsimError unless a class of own state is a NamedTuple with start values of types f32 and i32."""
    if kind is None:
        return
    shown = getattr(kind, "__name__", repr(kind))
    if not (isinstance(kind, type) and issubclass(kind, tuple)) or len(getattr(kind, "_fields", ())) == 0:
        raise InputTypeError(
            f"{title} of the dynamics {name!r} must be a NamedTuple class with at least one field; got {shown}: write "
            f"`class {shown if shown.isidentifier() else 'State'}(NamedTuple)`"
        )
    if "<locals>" in kind.__qualname__:
        raise InputTypeError(
            f"{title} of the dynamics {name!r} is defined in a function, {kind.__qualname__}, where other processes "
            "cannot import it; define it in a module"
        )
    defaults: dict[str, Any] = kind._field_defaults  # type: ignore[attr-defined]  # of a NamedTuple
    for field, hint in kind.__annotations__.items():
        start: Any = defaults.get(field)
        if type(start) not in (f32, i32) or not np.isfinite(start):
            got = f"got {start!r}" if field in defaults else "it has none"
            wanted = (
                "i32"
                if hint in (i32, int)
                or any(word in str(hint) for word in ("i32", "int"))
                or isinstance(start, int | np.integer)
                else "f32"
            )
            raise InputTypeError(
                f"{shown}.{field} of the dynamics {name!r} must have a start value of type f32 or i32; {got}: "
                f"write `{field}: {wanted} = {wanted}(0)`"
            )


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
        results = {title: list(_results(dynamics, title, typed)) for title in rules}
        _check_correctness(name, rules, results)
        _check_chance(dynamics, typed, results["answer"])
        _check_start(dynamics, typed)
        _check_observation(dynamics, typed, results["answer"])
        for title in dynamics.rules:
            _check_wide_types(dynamics, title, typed, results["study" if title == "study" else "answer"])
    for title, function in rules.items():
        _warn_of_definitions(dynamics, _title(name, title, function), results[title], is_question=title == "answer")


def _check_correctness(name: str, rules: dict[str, Any], results: dict[str, list[tuple[Learner, Outcome]]]) -> None:
    """Raise AlsimError if contents are answered, and warn if no question is answered correctly."""
    correct = {title: any(outcome.correct for _, outcome in pairs) for title, pairs in results.items()}
    if correct["study"] and not correct["answer"]:
        raise AlsimError(
            f"the rules of the dynamics {name!r} are swapped: study returns correct=True and answer never does; "
            "call alsim.register_dynamics(name, parameters, answer, study) in this order"
        )
    if correct["study"]:
        raise AlsimError(
            f"{_title(name, 'study', rules['study'])} returns correct = True, but a content has no answer; return "
            "Outcome(correct=False, gain=...)"
        )
    if not correct["answer"]:
        warnings.warn(
            f"{_title(name, 'answer', rules['answer'])} never returns correct=True in {NUM_EXAMPLES} examples; compare "
            "draws.answer with the probability of a correct answer",
            RuleWarning,
            stacklevel=5,
        )


@lru_cache
def check_rules_once(dynamics: Dynamics, parameters: Any) -> None:
    """Call `check_rules`, unless these rules have passed it with these parameters."""
    check_rules(dynamics, parameters)


def _results(dynamics: Dynamics, title: str, parameters: Any) -> Iterator[tuple[Learner, Outcome]]:
    """Yield the checked results of a rule for all examples."""
    function, states = dynamics.rules[title], start_states(dynamics)
    plain = interpreted(function)
    for number, (learner, item, draws) in enumerate(_examples(dynamics, is_question=title == "answer")):
        if number % CHAIN == 0:
            states = start_states(dynamics)
        example = learner._replace(**states), item, draws

        def check(result: Any, example: Example = example) -> None:
            _check_result(_title(dynamics.name, title, function), result, (parameters, *example))
            _check_states(dynamics, _title(dynamics.name, title, function), result[0])

        first = _run(dynamics, title, plain, (parameters, *example), check)
        states = {field: getattr(first[0], field) for field in _STATES}
        yield first


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
            f"{_title(name, title, function, error)} raises {type(error).__name__}: {error}; {cure}"
        ) from None
    check(first)
    if first != second:
        raise AlsimError(
            f"{_title(name, title, function)} returns two results for the same input, which breaks "
            f"reproducibility: {_show_any(first)} and {_show_any(second)}; take every random number from draws"
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
        names = ", and names every field of Learner and Outcome" if title in ("answer", "study") else ""
        return f"the rule {title} takes ({_ARGUMENTS[title]}){names}"
    return "correct the rule"


def _undeclared(plain: Function, arguments: tuple[Any, ...]) -> list[str]:
    """Return the fields of Item and Draws that a rule needs, but that its registration does not declare."""
    given: dict[str, Any] = {"hours": ONE, "unready": ONE, "further": (HALF,) * 4}

    def runs(fields: list[str]) -> bool:
        try:
            plain(
                *(
                    struct._replace(**{name: given[name] for name in fields if name in getattr(struct, "_fields", ())})
                    if isinstance(struct, Item | Draws)
                    else struct
                    for struct in arguments
                )
            )
        except Exception:
            return False
        return True

    absent = [
        name
        for struct in arguments
        if isinstance(struct, Item | Draws)
        for name in _ON_REQUEST
        if name in struct._fields and is_absent(getattr(struct, name))
    ]
    if not absent or not runs(absent):
        return []
    return [name for name in absent if not runs([other for other in absent if other != name])]


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
    values: dict[str, Any] = {**_shared(after), "gain": outcome.gain}
    for field, value in values.items():
        if not isinstance(value, float | int | np.floating | np.integer):
            cure = _DECLARE if _is_of_absent(value) else f"return {_KINDS[field].__name__}(…)"
            raise AlsimError(f"{title} returns {field} = {value!r}; it must be a number: {cure}")
        low, high = _BOUNDS.get(field, (-np.inf, np.inf))
        if not (np.isfinite(value) and low - _ROUNDING <= value <= high + _ROUNDING):
            expected = (
                "finite"
                if not np.isfinite(value) or low == -np.inf
                else (f"in [{low}, {high}]" if high < np.inf else f"at least {low}")
            )
            raise AlsimError(
                f"{title} returns {field} = {float(value):.6g}, which must be {expected}, for {_show(given)}; limit "
                "it, as in min(ONE, max(ZERO, value))"
            )
    _check_gain(title, after, outcome, given)


def _check_gain(title: str, after: Learner, outcome: Outcome, given: tuple[Any, ...]) -> None:
    """Raise AlsimError unless the gain is the change of mastery after its bounds, up to the rounding of float32."""
    change = float(f32(after.mastery)) - float(given[1].mastery)
    if abs(float(f32(outcome.gain)) - change) > _ULP:
        raise AlsimError(
            f"{title} returns gain = {float(outcome.gain):.6g}, but mastery changes by {change:.6g}, for "
            f"{_show(given)}; return gain=mastery - learner.mastery, with the new mastery after its bounds"
        )


def _shared(learner: Learner) -> dict[str, Any]:
    """Return the fields that all dynamics have."""
    return {name: getattr(learner, name) for name in _SHARED}


def start_states(dynamics: Dynamics) -> dict[str, Any]:
    """Return the own states of a learner at the start of an episode, by field of Learner; ABSENT if not declared."""
    kinds = ((field, getattr(dynamics, field)) for field in _STATES)
    return {field: ABSENT if kind is None else kind() for field, kind in kinds}


def _check_states(dynamics: Dynamics, title: str, after: Learner) -> None:
    """Raise AlsimError unless a result has the own states that the dynamics declares, with finite numbers."""
    for field in _STATES:
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
        if _is_of_absent(value):
            raise AlsimError(f"{title} returns {field}.{name} = {value!r}; it must be a number: {_DECLARE}")
        if not isinstance(value, wanted):
            raise AlsimError(
                f"{title} returns {field}.{name} of type {type(value).__name__}, but its start value is "
                f"{wanted.__name__}; return {_SHORT[wanted]}(...)"
            )
        if not np.isfinite(value):
            raise AlsimError(f"{title} returns {field}.{name} = {value!r}; it must be finite: limit it")


def _is_of_absent(value: Any) -> bool:
    """Return whether a value is a field that does not exist, or NumPy's sum of one and a number: an empty array."""
    return is_absent(value) or (isinstance(value, np.ndarray) and value.size == 0)


def _show_state(state: Any) -> str:
    return _show_any(state) if hasattr(state, "_fields") else repr(state)


def _given_states(dynamics: Dynamics, results: list[tuple[Learner, Outcome]]) -> Iterator[dict[str, Any]]:
    """Yield the own states before each example that led to these results."""
    for number in range(len(results)):
        before = results[number - 1][0] if number % CHAIN else None
        yield start_states(dynamics) if before is None else {field: getattr(before, field) for field in _STATES}


def _check_chance(dynamics: Dynamics, parameters: Any, results: list[tuple[Learner, Outcome]]) -> None:
    """Raise AlsimError unless the chance is a probability, and decides whether an answer is correct."""
    if dynamics.chance is None:
        return
    title = _title(dynamics.name, "chance", dynamics.chance)
    chance, answer = interpreted(dynamics.chance), interpreted(dynamics.answer)
    examples = _examples(dynamics, is_question=True)
    for (learner, item, draws), states in zip(examples, _given_states(dynamics, results), strict=True):
        given = learner._replace(**states)
        shown = _show((parameters, given, item))
        p = _run(dynamics, "chance", chance, (parameters, given, item), partial(_check_share, title, "", shown))
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
    title, begin = _title(dynamics.name, "begin", dynamics.begin), interpreted(dynamics.begin)

    def check(result: Any) -> None:
        if not isinstance(result, tuple) or len(result) != 2 or hasattr(result, "_fields"):
            raise AlsimError(f"{title} must return (mastery, state); got {_show_any(result)}")
        _check_share(title, "the mastery ", _show(given), result[0])
        if dynamics.lo_state is not None:
            _check_state(title, "the state", dynamics.lo_state, result[1])
        elif result[1] != ABSENT:
            raise AlsimError(f"{title} returns a state, but no lo_state is declared; return (mastery, ())")

    for learner, _, draws in _examples(dynamics, is_question=True):
        given = parameters, learner.mastery, draws.answer
        _run(dynamics, "begin", begin, given, check)


def _check_observation(dynamics: Dynamics, parameters: Any, results: list[tuple[Learner, Outcome]]) -> None:
    """Raise AlsimError unless the rule `observe` returns a valid mastery before each example, and at times after it."""
    if dynamics.observe is None:
        return
    title, observe = _title(dynamics.name, "observe", dynamics.observe), interpreted(dynamics.observe)
    examples, before = _examples(dynamics, is_question=True), _given_states(dynamics, results)
    for (learner, item, _), states, (after, _) in zip(examples, before, results, strict=True):
        for given in (
            (parameters, learner.mastery, states["lo_state"], item.hours),
            (parameters, after.mastery, after.lo_state, item.hours),
            (parameters, after.mastery, after.lo_state, item.hours + _LATER),
        ):
            _run(dynamics, "observe", observe, given, partial(_check_share, title, "the mastery ", _show(given)))


def _check_share(title: str, what: str, given: str, value: Any) -> None:
    """Raise AlsimError unless a value is a number in [0, 1]."""
    if not isinstance(value, float | np.floating):
        cure = _DECLARE if _is_of_absent(value) else "return f32(...)"
        raise AlsimError(f"{title} returns {what}{_show_any(value)}, which must be a float32 number: {cure}")
    if not -_ROUNDING <= value <= 1 + _ROUNDING:
        raise AlsimError(
            f"{title} returns {what}{float(value):.6g}, which must be in [0, 1], for {given}; limit it, as in "
            "min(ONE, max(ZERO, value))"
        )


def _warn_of_definitions(
    dynamics: Dynamics, title: str, results: list[tuple[Learner, Outcome]], *, is_question: bool
) -> None:
    """Warn of fields that differ from their definitions: the fail streak (S1.3), and a content's response time (S5.2).

    The simulator only shows these fields, so such a dynamics runs, but logs and policies read them as defined.
    """
    examples = _examples(dynamics, is_question=is_question)
    for (learner, _, _), (after, outcome) in zip(examples, results, strict=True):
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


def _check_wide_types(dynamics: Dynamics, title: str, parameters: Any, results: list[tuple[Learner, Outcome]]) -> None:
    """Warn if machine code would compute a field in float64 or int64, since Python's numbers have these types there.

    results  those of the rule for questions or for contents, whose own states the rule is given

    Raises AlsimError for a field of an own state, because its array has the type of the start value.
    """
    function, found = dynamics.rules[title], dict[str, str]()
    wide, place = interpreted(function, wide=True), _title(dynamics.name, title, function)
    for arguments in _arguments(dynamics, title, parameters, results):
        try:
            values = _numbers(title, wide(*arguments))
        except Exception:  # the same code has run with Python's numbers: only the check of types is impossible
            return
        for field, (value, kind) in values.items():
            if not isinstance(value, kind):
                wider = "int64" if isinstance(value, int | np.integer) else "float64"
                if "." in field:
                    raise AlsimError(
                        f"{place} computes {field} in {wider}, since Python's numbers have this type in machine code, "
                        f"but its start value is {kind.__name__}: write {_SHORT[kind]}(...), and constants as ONE, "
                        "f32(...) or i32(...)"
                    )
                found[field] = wider
    if found:
        fields = ", ".join(f"{field} ({kind})" for field, kind in found.items())
        warnings.warn(
            f"{place} computes in other types than float32 and int32: {fields}; "
            "results may differ between machine code and the interpreter; write constants as ONE, ZERO, f32(...) or "
            "i32(...)",
            RuleWarning,
            stacklevel=5,
        )


def _arguments(
    dynamics: Dynamics, title: str, parameters: Any, results: list[tuple[Learner, Outcome]]
) -> Iterator[tuple[Any, ...]]:
    """Yield the arguments of a rule for all examples, with the own states that led to these results."""
    examples = _examples(dynamics, is_question=title != "study")
    for (learner, item, draws), states in zip(examples, _given_states(dynamics, results), strict=True):
        given = learner._replace(**states)
        yield {
            "chance": (parameters, given, item),
            "begin": (parameters, given.mastery, draws.answer),
            "observe": (parameters, given.mastery, given.lo_state, item.hours),
        }.get(title, (parameters, given, item, draws))


def _numbers(title: str, result: Any) -> dict[str, tuple[Any, type[Any]]]:
    """Return the numbers in a result of a rule, with the types that they must have; own states have names with dots."""
    if title in ("chance", "observe"):
        return {title: (result, f32)}
    if title == "begin":
        return {"mastery": (result[0], f32), **_numbers_of_state("lo_state", result[1])}
    after, outcome = result
    shared = {**_shared(after), "gain": outcome.gain}
    numbers = {field: (value, _KINDS[field]) for field, value in shared.items()}
    for field in _STATES:
        numbers |= _numbers_of_state(field, getattr(after, field))
    return numbers


def _numbers_of_state(field: str, state: Any) -> dict[str, tuple[Any, type[Any]]]:
    """Return the numbers in an own state, with the types of its start values."""
    if is_absent(state):
        return {}
    starts = type(state)._field_defaults
    return {f"{field}.{name}": (value, type(starts[name])) for name, value in state._asdict().items()}


# ── Examples ─────────────────────────────────────────────────────────────────────────────────────


def _examples(dynamics: Dynamics, *, is_question: bool) -> list[Example]:
    """Return examples of learners, items and draws, with what the dynamics reads of them."""
    absent: dict[str, Any] = {} if dynamics.reads_parents else {"unready": ABSENT}
    absent |= {} if dynamics.timed else {"hours": ABSENT}
    further: dict[str, Any] = {} if dynamics.further_draws else {"further": ABSENT}
    return [
        (learner, item._replace(**absent), draws._replace(**further))
        for learner, item, draws in _all_examples(is_question=is_question)
    ]


@lru_cache
def _all_examples(*, is_question: bool) -> list[Example]:
    """Return examples of learners, items and draws, with the extremes of each range."""
    rng = np.random.default_rng(0)

    def values(low: float, high: float) -> Any:
        inner, kind = rng.uniform(low, high, NUM_EXAMPLES), rng.integers(4, size=NUM_EXAMPLES)
        return np.where(kind == 0, low, np.where(kind == 1, high, inner)).astype(f32)

    state = zip(
        values(0, 1), values(-4, 4), values(0, 1), values(0, 120), rng.integers(0, 9, NUM_EXAMPLES), strict=True
    )
    ranges: list[tuple[float, float]] = [(0.5, 2.5), (-3, 3), (0, 0.5), (5, 120), (0, 30), (0, 0), (0, 0)]
    if not is_question:
        ranges = [*ranges[-1:] * 5, (0, 1), (-1, 1)]
    items = zip(*(values(*r) for r in ranges), strict=True)
    hard = rng.random(NUM_EXAMPLES) < 0.3
    draws = list(zip(values(1e-6, 1 - 1e-6), values(-5, 5), strict=True))
    further = [values(1e-6, 1 - 1e-6) for _ in range(4)]
    hours = np.sort(values(0, 1000).reshape(-1, CHAIN)).ravel()  # time goes on between the examples of one learner
    context = zip(values(0, 3), hours, strict=True)
    return [
        (
            Learner(*s[:4], i32(s[4])),
            Item(is_question, bool(is_question and h), *item)._replace(unready=met[0], hours=met[1]),
            Draws(*d, tuple(column[k] for column in further)),
        )
        for k, (s, item, h, d, met) in enumerate(zip(state, items, hard, draws, context, strict=True))
    ]


# ── Messages ─────────────────────────────────────────────────────────────────────────────────────


def _title(name: str, title: str, function: Any, error: BaseException | None = None) -> str:
    """Return the rule, its dynamics and its place, for messages."""
    code = getattr(getattr(function, "py_func", function), "__code__", None)
    text = f"the rule {title} of the dynamics {name!r}"
    if code is None:
        return text
    line, trace = code.co_firstlineno, error.__traceback__ if error else None
    while trace is not None:
        line = trace.tb_lineno if trace.tb_frame.f_code.co_filename == code.co_filename else line
        trace = trace.tb_next
    return f"{text} ({code.co_filename}, line {line})"


def _show_any(value: Any) -> str:
    """Return a short text for a result of a rule, which may be anything."""
    try:
        return _show(value)
    except (TypeError, ValueError):
        return f"{value!r:.100}"


def _show(value: Any) -> str:
    """Return a short text for a number, or for structs."""
    if hasattr(value, "_fields"):
        fields = ", ".join(f"{field}={_show(entry)}" for field, entry in value._asdict().items())
        return f"{type(value).__name__}({fields})"
    if isinstance(value, tuple):
        return ", ".join(map(_show, value)) or "()"
    return repr(bool(value)) if isinstance(value, bool | np.bool_) else f"{float(value):.4g}"
