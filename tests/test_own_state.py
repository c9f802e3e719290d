"""Mistakes in a dynamics with state of its own: each is one sentence at registration."""

from __future__ import annotations

import re
import sys
import warnings
from collections import namedtuple
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import alsim
from alsim.dynamics import DYNAMICS, describe
from alsim.errors import AlsimError, InputTypeError, RuleWarning
from alsim.jit.compile import COMPILED
from alsim.jit.failures import reason_of

PAGE = (Path(__file__).parent.parent / "docs/how-to/add-a-dynamics.md").read_text(encoding="utf-8")
IMPORTS = PAGE.partition("```python\n")[2].partition("class ")[0]
EXAMPLE = IMPORTS + PAGE.partition("## State of its own")[2].partition("```python\n")[2].partition("```")[0]
"""The dynamics with state of its own of the how-to page, registered as 'forgetting'."""


def define(before: str, after: str, folder: Path) -> None:
    """Run the example as a module, with a piece of its text replaced."""
    assert before in EXAMPLE, before
    text = EXAMPLE.replace(before, after).replace("alsim.register_dynamics(", f"{RANDOM_START}alsim.register_dynamics(")
    run_module(text, folder)


def run_module(text: str, folder: Path) -> None:
    """Run a text as a module."""
    file = folder / "forgetting_module.py"
    file.write_text(text, encoding="utf-8")
    module = ModuleType("forgetting_module")
    sys.modules["forgetting_module"] = module
    exec(compile(text, str(file), "exec"), vars(module))


@pytest.fixture(autouse=True)
def forgotten() -> Any:
    """Forget the module and its dynamics."""
    yield
    sys.modules.pop("forgetting_module", None)
    DYNAMICS.pop("forgetting", None)


RANDOM_START = """
@alsim.rule
def begin(p, mastery, uniform):
    return f32(np.random.rand()), Memory(practised=i32(0), hours=ZERO)


"""
"""A rule that only some cases pass to the registration."""
STATE = "        lo_state=Memory(practised=i32(learner.lo_state.practised + i32(1)), hours=item.hours),\n"
REFUSED = [
    (STATE, "", "must return lo_state of class Memory; got \\(\\): return lo_state=Memory"),
    (
        "practised=i32(learner.lo_state.practised + i32(1))",
        "practised=ONE",
        "of type float32, but its start value is int32",
    ),
    ("hours=item.hours)", "hours=item.hours / ZERO)", "lo_state.hours = .*; it must be finite"),
    ("hours: f32 = f32(0)", "hours: float = 0.0", "Memory.hours .* start value of type f32 or i32; got 0.0: write"),
    ("return recall if", "return ONE + ONE if", "chance .* returns 1.5, which must be in \\[0, 1\\]"),
    ("else mastery", "else -ONE", "chance .* returns .*-.*, which must be in \\[0, 1\\]"),
    ("return item.c + (ONE", "return ONE + item.c + (ONE", "chance .* returns .*, which must be in \\[0, 1\\]"),
    (
        "draws.answer < chance(p",
        "draws.answer < item.c * chance(p",
        "compare draws.answer < chance\\(p, learner, item\\)",
    ),
    (", lo_state=Memory", "", "no attribute 'practised'; declare the state: pass lo_state=... or learner_state=... to"),
    (
        "practised: i32 = i32(0)",
        "practised: i32",
        "Memory.practised .* it has none: write `practised: i32 = i32\\(0\\)`",
    ),
    ("practised: i32 = i32(0)", "practised: i32 = True", "must have a start value of type f32 or i32; got True"),
    ("return recall if", "return 1 if", "observe .* returns the mastery 1, which must be a float32 number: return f32"),
    (
        "observe=observe",
        "observe=observe, begin=observe",
        "begin .* raises TypeError: .*; the rule begin takes \\(p, mas",
    ),
    ("observe=observe", "observe=observe, begin=begin", "begin .* two results for the same input, which breaks repro"),
    (
        "< chance(p, learner, item)",
        "< draws.further[3]",
        "IndexError: .*; declare .*: pass further_draws=True to alsim",
    ),
    (
        ", observe=observe",
        "",
        r"raises \w+: .*; declare the use of hours: pass reads_clock=True to alsim.register",
    ),
    (
        "hours=item.hours)",
        "hours=item.hours + item.unready)",
        "lo_state.hours = array\\(.*; it must be a number: .* unless the regis",
    ),
    ("hours=item.hours)", "hours=item.unready)", "lo_state.hours = \\(\\); it must be a number: .* unless the registr"),
    ("observe=observe", "observe=observe, reads_clock='no'", "reads_clock .* must be True or False; got 'no'"),
    ("observe=observe", "observe=observe, further_draws=4", "further_draws .* must be True or False; got 4"),
    ("observe=observe", "observe=observe, source=5", "source of the dynamics .* must be a string; got 5"),
    (
        "half_life = p.half_life",
        "half_life = -p.half_life",
        "chance .* returns .*, which must be in \\[0, 1\\], for Forget",
    ),
    ('"forgetting", F', '"for\\ngetting", F', "name of a dynamics must be a string of printable characters; got 'for"),
    ("half_life: Ann", "name: Ann", "a parameter of the dynamics .* is called 'name', .*; rename the parameter"),
    ("] = 12.0", "] = f32(12)", "half_life .* must have a finite Python number as its default; got .*12.0.*: write"),
    ("] = 12.0", "] = float('inf')", "half_life .* must have a finite Python number as its default; got inf: write"),
    (
        "practised: i32",
        "practised: 'Count'",
        "hint in the class Memory .*: name 'Count' is not defined; define or import",
    ),
    (
        "observe=observe",
        'observe=observe, reads_parents="strength"',
        "reads_parents .* must be True or False or the name of a parameter; got 'strength'",
    ),
    ("observe=observe", 'observe=observe, observe_at="day"', "must be one of 'interaction', 'break'; got 'day'"),
]


@pytest.mark.parametrize(("before", "after", "message"), REFUSED, ids=[after or before for before, after, _ in REFUSED])
def test_a_mistake_is_one_sentence_at_registration(before: str, after: str, message: str, tmp_path: Path) -> None:
    with pytest.raises((AlsimError, InputTypeError), match=message) as caught:
        define(before, after, tmp_path)
    assert "\n" not in str(caught.value)
    assert "forgetting" not in DYNAMICS


WIDE = [
    ("i32(learner.lo_state.practised + i32(1))", "learner.lo_state.practised + 1", "lo_state.practised in int64"),
    ("i32(learner.lo_state.practised + i32(1))", "learner.lo_state.practised + i32(1)", "lo_state.practised in int64"),
    ("hours=item.hours)", "hours=item.hours + 0.5)", "lo_state.hours in float64"),
]


INCOMPLETE = [
    ("hours=item.hours)", ")", r"Memory\(\) is called without hours; the rule .* names every field of the structs"),
    (STATE, "        learner_state=Memory(practised=i32(0), hours=ZERO),\n", r"Learner\(\) is called without lo_state"),
]


machine_code = pytest.mark.skipif(not COMPILED, reason="the interpreter does not know which functions are rules")


@machine_code
@pytest.mark.parametrize(("before", "after", "message"), WIDE)
def test_a_state_of_another_type_in_machine_code_is_refused(
    before: str, after: str, message: str, tmp_path: Path
) -> None:
    """In the interpreter, i32(0) + 1 and i32(0) + i32(1) are int32: nothing is wrong there."""
    with pytest.raises(
        AlsimError, match=rf"answer .* computes {message} in machine code, .*: write (i32|f32)\(\.\.\.\), and const"
    ):
        define(before, after, tmp_path)


@machine_code
@pytest.mark.parametrize(("before", "after", "message"), INCOMPLETE)
def test_a_struct_with_a_missing_field_is_refused(before: str, after: str, message: str, tmp_path: Path) -> None:
    """In machine code, no struct has defaults."""
    with pytest.raises(AlsimError, match=f"raises TypeError: {message}"):
        define(before, after, tmp_path)


@machine_code
def test_an_observation_in_float64_is_accepted_with_a_warning(tmp_path: Path) -> None:
    with pytest.warns(RuleWarning) as caught:
        define("return recall if", "return recall * 1.0 if", tmp_path)
    for warning, title in zip(caught, ("chance", "observe"), strict=True):
        assert re.search(rf"rule {title} .* computes in other types .*: {title} \(float64\)", str(warning.message))


def test_a_recall_that_needs_a_clock_that_does_not_go_back_is_accepted(tmp_path: Path) -> None:
    """The examples of one learner are in the order of time, as in a simulation."""
    define("max(ZERO, hours - state.hours)", "(hours - state.hours)", tmp_path)


def test_the_examples_start_with_the_state_of_the_rule_begin(tmp_path: Path) -> None:
    """Without it, the time is divided by the default of the state, 0, which no episode has."""
    begin = "    return mastery, Memory(practised=i32(1), hours=ZERO)"
    before = f"{RANDOM_START}alsim.register"
    after = before.replace("    return f32(np.random.rand()), Memory(practised=i32(0), hours=ZERO)", begin)
    assert begin in after
    text = EXAMPLE.replace("alsim.register", after).replace("observe=observe", "observe=observe, begin=begin")
    text = text.replace("max(ONE, f32(state.practised))", "f32(state.practised)")
    text = text.replace("recall if state.practised > i32(0) else mastery", "recall")
    run_module(text, tmp_path)
    with pytest.raises(AlsimError, match="observe|chance"):
        run_module(text.replace(", begin=begin", ""), tmp_path)


def test_a_failed_compilation_names_the_types_of_the_state() -> None:
    message = "No implementation\n    TypingError: a row must have the types M(int32); got M(int64)\n  raised from x"
    assert reason_of(message).startswith("a row must have the types M(int32); got M(int64); write i32(...) around")


def test_a_class_without_hints_and_docstring_is_described(tmp_path: Path) -> None:
    state = EXAMPLE.partition("class Memory")[2].partition("\n\n\n")[0]
    plain = 'Memory = namedtuple("Memory", "practised hours", defaults=(i32(0), f32(0)))'
    define(f"class Memory{state}", f"from collections import namedtuple\n\n{plain}", tmp_path)
    listed = describe(DYNAMICS["forgetting"])
    assert listed["latent_state"]["lo_state"] == {"practised": {"default": 0}, "hours": {"default": 0.0}}
    assert describe(DYNAMICS["forgetting"]._replace(parameters=namedtuple("Plain", "")))["description"] == ""


def test_the_example_is_registered_without_warnings(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        define("f32(-0.05)", "f32(-0.05)", tmp_path)
    assert "forgetting" in DYNAMICS


NEEDY = (
    ("observe=observe", 'observe=observe, reads_parents="strength"'),
    ("\n\nclass Memory", "    strength: float = 0.0\n\n\nclass Memory"),
    ("practised: i32 = i32(0)", "practised: f32 = f32(0)"),
    ("> i32(0) else", "> ZERO else"),
    ("def practise(learner", "def practise(p: Forgetting, learner"),
    ("= practise(learner", "= practise(p, learner"),
    ("i32(learner.lo_state.practised + i32(1))", "learner.lo_state.practised + exp(-p.strength * item.unready)"),
)
"""Changes of the example by which missing prerequisites slow the growth of memory."""


@pytest.mark.ci
@pytest.mark.heavy
def test_parents_may_be_read_by_a_parameter(tmp_path: Path) -> None:
    """At 0, `item.unready` is 0 and no curriculum is needed; above 0, an LO with a parent is practised by less."""
    text = EXAMPLE
    for before, after in NEEDY:
        assert before in text
        text = text.replace(before, after)
    run_module(text, tmp_path)
    truths = []
    for strength, curriculum in ((0.0, None), (0.0, [[0, 1]]), (3.0, [[0, 1]])):
        rules = {"name": "forgetting", "strength": strength}
        env = alsim.AdaptiveLearningVectorEnv(50, config={"dynamics": rules, "curriculum": curriculum})
        env.reset(seed=1)
        for _ in range(4):
            env.step([alsim.encode_action("question", 1, "Easy", num_los=30)] * 50)
        truths.append(env.truth(questions=[20]))
    plain, neutral, slowed = truths
    assert all(plain[key].tobytes() == neutral[key].tobytes() for key in plain)
    assert (plain["lo_state.practised"][:, 1] == 4).all() and (slowed["lo_state.practised"][:, 1] < 3).all()
