"""Checks of a user's dynamics: its rules run on examples in the interpreter, before anything is compiled."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from numbers import Real
from types import CellType, CodeType, FunctionType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from alsim.errors import AlsimError, InputTypeError, RuleWarning, did_you_mean
from alsim.jit.cache import COMPILED
from alsim.types import Draws, Item, Learner, Outcome, f32, i32

NUM_EXAMPLES = 300
_BOUNDS = {"mastery": (0, 1), "frustration": (0, 1), "response_time": (0, np.inf), "fail_streak": (0, np.inf)}
_ULP = 2.0**-23  # of float32 at 1: mastery + gain, or a gain that is not their difference, may be rounded
_ROUNDING = 1e-6  # a float32 formula that stays in [0, 1] in exact arithmetic may exceed it by its rounding error
_KINDS: dict[str, type[Any]] = {name: f32 for name in Learner._fields} | {"fail_streak": i32, "gain": f32}

Function = Callable[..., Any]
Example = tuple[Learner, Item, Draws]


def check_definition(name: str, parameters: Any, answer: Any, study: Any) -> None:
    """Raise AlsimError unless the arguments of `register_dynamics` are of the right kinds, without running a rule."""
    if not isinstance(name, str) or not name:
        raise InputTypeError(f"the name of a dynamics must be a string that is not empty; got {name!r}")
    if not (isinstance(parameters, type) and issubclass(parameters, tuple) and hasattr(parameters, "_field_defaults")):
        shown = getattr(parameters, "__name__", repr(parameters))
        raise InputTypeError(
            f"the parameters of the dynamics {name!r} must be a NamedTuple class; got {shown}: write "
            f"`class {shown if shown.isidentifier() else 'Parameters'}(NamedTuple)`"
        )
    fields: tuple[str, ...] = getattr(parameters, "_fields", ())
    defaults: dict[str, Any] = parameters._field_defaults
    for field in fields:
        default = defaults.get(field)
        if not isinstance(default, Real) or isinstance(default, bool):
            got = f"got {default!r}" if field in defaults else "it has none"
            raise InputTypeError(
                f"{parameters.__name__}.{field} of the dynamics {name!r} must have a number as its default; {got}: "
                f"write `{field}: float = 0.1`"
            )
    for title, function in (("answer", answer), ("study", study)):
        if not callable(function) or (COMPILED and not hasattr(function, "py_func")):
            raise InputTypeError(
                f"{_title(name, title, function)} must be a function compiled by alsim.rule; got "
                f"{type(function).__name__}: write @alsim.rule above its definition"
            )


def check_rules(name: str, parameters: Any, answer: Any, study: Any) -> None:
    """Run both rules of a dynamics on a few hundred examples, and raise AlsimError for an invalid result.

    name        name of the dynamics
    parameters  instance of its parameters
    answer      rule of a question
    study       rule of a content

    Results must be of the right types, finite, within their bounds, and equal if a rule runs again. The gain must be
    the change of mastery, and only a question can be correct. A rule that computes in float64 or int64 is accepted
    with a warning, and so is one whose fail streak or response time does not follow clauses S1.3 and S5.2. Nothing is
    compiled.
    """
    typed = type(parameters)(*map(f32, parameters))
    rules = {"answer": answer, "study": study}
    results = {title: list(_results(name, title, function, typed)) for title, function in rules.items()}
    _check_correctness(name, rules, results)
    for title, function in rules.items():
        _warn_of_wide_types(name, title, function, typed)
        _warn_of_definitions(_title(name, title, function), results[title], is_question=title == "answer")


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
def check_rules_once(name: str, parameters: Any, answer: Any, study: Any) -> None:
    """Call `check_rules`, unless these rules have passed it with these parameters."""
    check_rules(name, parameters, answer, study)


def _results(name: str, title: str, function: Any, parameters: Any) -> Iterator[tuple[Learner, Outcome]]:
    """Yield the checked results of a rule for all examples."""
    plain = interpreted(function)
    for example in _examples(is_question=title == "answer"):
        first = _run(name, title, function, plain, parameters, example)
        _check_result(_title(name, title, function), first, (parameters, *example))
        second = _run(name, title, function, plain, parameters, example)
        if first != second:
            raise AlsimError(
                f"{_title(name, title, function)} returns two results for the same input, which breaks "
                f"reproducibility: {_show(first)} and {_show(second)}; take every random number from draws"
            )
        yield first


def _run(name: str, title: str, function: Any, plain: Function, parameters: Any, example: Example) -> Any:
    """Return the result of a rule for one example. Raises AlsimError with the place of any exception."""
    try:
        with np.errstate(all="ignore"):
            return plain(parameters, *example)
    except NameError:
        raise
    except Exception as error:  # the code of a user may raise any exception
        cure = "correct the rule"
        if isinstance(error, AttributeError) and error.name:
            cure = f"its fields are {', '.join(getattr(type(error.obj), '_fields', ()))}"
            cure += did_you_mean(error.name, getattr(type(error.obj), "_fields", ()))
        elif isinstance(error, TypeError):
            cure = "a rule takes (p, learner, item, draws), and names every field of Learner and Outcome"
        raise AlsimError(
            f"{_title(name, title, function, error)} raises {type(error).__name__}: {error}; {cure}"
        ) from None


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
    values: dict[str, Any] = {**after._asdict(), "gain": outcome.gain}
    for field, value in values.items():
        if not isinstance(value, float | int | np.floating | np.integer):
            raise AlsimError(
                f"{title} returns {field} = {value!r}; it must be a number: return {_KINDS[field].__name__}(…)"
            )
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


def _warn_of_definitions(title: str, results: list[tuple[Learner, Outcome]], *, is_question: bool) -> None:
    """Warn of fields that differ from their definitions: the fail streak (S1.3), and a content's response time (S5.2).

    The simulator only shows these fields, so such a dynamics runs, but logs and policies read them as defined.
    """
    for (learner, _, _), (after, outcome) in zip(_examples(is_question=is_question), results, strict=True):
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


def _warn_of_wide_types(name: str, title: str, function: Any, parameters: Any) -> None:
    """Warn if machine code would compute a field in float64 or int64, since Python's numbers have these types there."""
    wide, found = interpreted(function, wide=True), {}
    try:
        with np.errstate(all="ignore"):
            for example in _examples(is_question=title == "answer"):
                after, outcome = wide(parameters, *example)
                for field, value in {**after._asdict(), "gain": outcome.gain}.items():
                    if not isinstance(value, _KINDS[field]):
                        found[field] = "int64" if isinstance(value, int | np.integer) else "float64"
    except Exception:  # the same code has run with Python's numbers: only the check of types is impossible
        return
    if found:
        fields = ", ".join(f"{field} ({kind})" for field, kind in found.items())
        warnings.warn(
            f"{_title(name, title, function)} computes in other types than float32 and int32: {fields}; results may "
            "differ between machine code and the interpreter; write constants as ONE, ZERO, f32(...) or i32(...)",
            RuleWarning,
            stacklevel=5,
        )


# ── Examples ─────────────────────────────────────────────────────────────────────────────────────


@lru_cache
def _examples(*, is_question: bool) -> list[Example]:
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
    draws = zip(values(1e-6, 1 - 1e-6), values(-5, 5), strict=True)
    return [
        (Learner(*s[:4], i32(s[4])), Item(is_question, bool(is_question and h), *item), Draws(*d))
        for s, item, h, d in zip(state, items, hard, draws, strict=True)
    ]


# ── The Python code of compiled functions ────────────────────────────────────────────────────────


def interpreted(function: Any, *, wide: bool = False) -> Function:
    """Return a copy of a rule that runs in the interpreter, with all rules that it calls.

    wide  whether Python's numbers in the code become NumPy's float64 and int64, their types in machine code
    """
    copies: dict[Any, Any] = {}

    def plain(value: Any) -> Any:
        code = getattr(value, "py_func", value)
        if not isinstance(code, FunctionType) or (code is value and value is not function):
            return value
        if code not in copies:
            copies[code] = copy(code)
        return copies[code]

    def copy(original: FunctionType) -> FunctionType:
        own = original.__module__.partition(".")[0] == __name__.partition(".")[0]
        code = _widened(original.__code__) if wide and not own else original.__code__
        names = dict(original.__globals__)
        result = FunctionType(code, names, original.__name__, original.__defaults__, _cells(original))
        result.__kwdefaults__ = original.__kwdefaults__
        copies[original] = result
        for name in code.co_names:
            if name in names:
                names[name] = of_module(names[name], code.co_names, ())
        return result

    def of_module(value: Any, attributes: Sequence[str], outer: tuple[ModuleType, ...]) -> Any:
        if not isinstance(value, ModuleType):
            return plain(value)
        if value in outer:  # modules that import each other
            return value
        used = {key: getattr(value, key) for key in attributes if hasattr(value, key)}
        copied = {key: of_module(entry, attributes, (*outer, value)) for key, entry in used.items()}
        changed = any(copied[key] is not used[key] for key in used)
        return SimpleNamespace(**{**vars(value), **copied}) if changed else value

    def _cells(original: FunctionType) -> tuple[CellType, ...] | None:
        if original.__closure__ is None:
            return None
        return tuple(
            CellType(plain(cell.cell_contents)) if hasattr(cell.cell_contents, "py_func") else cell
            for cell in original.__closure__
        )

    return plain(function)  # type: ignore[no-any-return]


def _widened(code: CodeType) -> CodeType:
    """Return code with NumPy's float64 and int64 as its numbers; integers are kept in code with a power, as in x**2."""
    import dis

    power = any(i.opname == "BINARY_OP" and i.argrepr in ("**", "**=") for i in dis.get_instructions(code))

    def widen(constant: Any) -> Any:
        if type(constant) is float:
            return np.float64(constant)
        return np.int64(constant) if type(constant) is int and not power and abs(constant) < 2**63 else constant

    return code.replace(co_consts=tuple(map(widen, code.co_consts)))


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


def _show(value: Any) -> str:
    """Return a short text for a number, or for structs."""
    if hasattr(value, "_fields"):
        fields = ", ".join(f"{field}={_show(entry)}" for field, entry in value._asdict().items())
        return f"{type(value).__name__}({fields})"
    if isinstance(value, tuple):
        return ", ".join(map(_show, value))
    return repr(bool(value)) if isinstance(value, bool | np.bool_) else f"{float(value):.4g}"
