"""A user's dynamics: mistakes give one sentence before anything is compiled, and a definition can be repeated."""

from __future__ import annotations

import random
import subprocess
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import alsim
from alsim.dynamics import DYNAMICS, rules_fingerprint
from alsim.dynamics.definition_checks import check_definition
from alsim.dynamics.examples import examples_of
from alsim.dynamics.standard import Standard
from alsim.errors import AlsimError, RuleWarning
from alsim.jit.compile import COMPILED
from alsim.jit.interpreted import interpreted

PAGE = Path(__file__).parent.parent / "docs/how-to/add-a-dynamics.md"
EXAMPLE = PAGE.read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0]
"""The dynamics of the how-to page, registered as 'knowing'."""


def define(*changes: tuple[str, str], folder: Path, name: str = "knowing_module") -> ModuleType:
    """Run the example as a module, with pieces of its text replaced; warnings are errors."""
    text = EXAMPLE
    for before, after in changes:
        assert before in text, before
        text = text.replace(before, after)
    file = folder / f"{name}.py"
    file.write_text(text, encoding="utf-8")
    module = ModuleType(name)
    sys.modules[name] = module
    exec(compile(text, str(file), "exec"), vars(module))
    return module


@pytest.fixture(autouse=True)
def strict(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Turn warnings into errors, and forget the module afterwards."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    sys.modules.pop("knowing_module", None)


LIMITED = "    mastery = min(ONE, learner.mastery + max(ZERO, effect))\n"
RETURN = "    return after, Outcome(correct=correct, gain=mastery - learner.mastery)\n"

REFUSED = [
    (
        [(LIMITED, "    mastery = learner.mastery + ONE + ONE\n")],
        "study .* returns mastery = .*, which must be in \\[0, 1\\], for Knowing.*Learner.*Item.*Draws",
    ),
    (
        [("min(ONE, max(ZERO, learner.frustration + change))", "learner.frustration + change")],
        "answer .* frustration = .* in \\[0, 1\\]",
    ),
    (
        [("max(ZERO, item.response_time_mean + item.response_time_std * draws.noise)", "-ONE")],
        "response_time = -1, which must be at least 0",
    ),
    ([("ability=learner.ability", "ability=np.float32(np.nan)")], "ability = nan, which must be finite"),
    (
        [("correct = draws.answer <", "correct = np.random.rand() <")],
        "two results for the same input, which breaks reproducibility.*draws",
    ),
    ([("correct = draws.answer <", "import random\n    correct = random.random() <")], "breaks reproducibility"),
    ([("Knowing, answer, study)", "Knowing, study, answer)")], "rules of the dynamics 'knowing' are swapped"),
    (
        [("item.effectiveness", "item.effectivness")],
        "knowing_module.py, line \\d+\\) raises AttributeError.*did you mean 'effectiveness'",
    ),
    ([("        fail_streak=i32(0),\n", "")], "study .*line \\d+\\) raises TypeError.*fail_streak.*names every field"),
    ([(RETURN, "    return after\n")], "answer .* must return \\(Learner, Outcome\\); got Learner"),
    ([("Outcome(correct=correct,", "Outcome(correct=draws.answer,")], "correct = .*must be True or False"),
    (
        [(RETURN, "    return after, Outcome(correct=correct, gain=p.learning_rate)\n")],
        "answer .* returns gain = 0.05, but mastery changes by .*Knowing.*; return gain=mastery - learner.mastery",
    ),
    (
        [("Outcome(correct=False, gain=mastery - learner.mastery)", "Outcome(correct=False, gain=max(ZERO, effect))")],
        "study .* returns gain = .*, but mastery changes by .*, with the new mastery after its bounds",
    ),
    (
        [("Outcome(correct=False,", "Outcome(correct=draws.answer < item.effectiveness,")],
        "study .* returns correct = True, but a content has no answer; return Outcome\\(correct=False",
    ),
    (
        [("class Knowing(NamedTuple)", "class Knowing")],
        "must be a NamedTuple class; got Knowing: write `class Knowing\\(NamedTuple\\)`",
    ),
    (
        [("slip: Annotated[float, Interval(ge=0, le=1)] = 0.1", "slip: Annotated[float, Interval(ge=0, le=1)]")],
        "Knowing.slip .* must have a finite Python number as its default; it has none",
    ),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED, ids=[message[:30] for _, message in REFUSED])
def test_a_mistake_is_one_sentence_at_registration(changes: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(AlsimError, match=message) as caught:
        define(*changes, folder=tmp_path)
    assert "\n" not in str(caught.value)
    assert "knowing" not in DYNAMICS


@pytest.mark.skipif(not COMPILED, reason="without compilation, a rule is its Python function")
def test_a_missing_decorator_is_named(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="answer .*line .* write @alsim.rule above its definition"):
        define(("@alsim.rule\ndef answer", "def answer"), folder=tmp_path)


WIDE = [
    (("p.learning_rate * (ONE", "0.05 * (1.0"), "answer .* mastery \\(float64\\), gain \\(float64\\)"),
    (("i32(learner.fail_streak + i32(1))", "learner.fail_streak + 1"), "fail_streak \\(int64\\)"),
    (("correct = draws.answer <", "correct = ONE <"), "answer .* never returns correct=True"),
    (
        ("i32(0) if correct else i32(learner.fail_streak + i32(1))", "i32(0)"),
        "answer .* returns fail_streak = 0 after a wrong answer, expected \\d+: return fail_streak=i32\\(learner.fail_",
    ),
    (
        ("fail_streak=i32(0),\n", "fail_streak=learner.fail_streak,\n"),
        "study .* fail_streak = \\d+ after a content, expected 0: return fail_streak=i32\\(0\\)",
    ),
    (
        ("response_time=learner.response_time", "response_time=ZERO"),
        "study .* another response_time after a content: return response_time=learner.response_time",
    ),
]


@pytest.mark.parametrize(("change", "message"), WIDE)
def test_questionable_rules_are_accepted_with_a_warning(change: Any, message: str, tmp_path: Path) -> None:
    with pytest.warns(RuleWarning, match=message) as caught:
        define(change, folder=tmp_path)
        alsim.AdaptiveLearningEnv(dynamics="knowing")
    assert "knowing" in DYNAMICS
    assert len(caught) == 1  # not again at the first use
    assert Path(caught[0].filename).name == "knowing_module.py"


CONSTANTS = [
    [("import alsim\n", "import alsim\n\nRATE = 0.05\n"), ("p.learning_rate * (ONE", "RATE * (ONE")],
    [("import alsim\n", "import alsim\nimport math\n"), ("p.learning_rate * (ONE", "p.learning_rate / math.e * (ONE")],
    [
        ("import alsim\n", "import alsim\n\nSTEPS = 1\n"),
        ("i32(learner.fail_streak + i32(1))", "learner.fail_streak + STEPS"),
    ],
]


@pytest.mark.parametrize("changes", CONSTANTS)
def test_numbers_of_modules_have_their_types_in_machine_code(changes: Any, tmp_path: Path) -> None:
    """A number of Python is float64 or int64 there, also if it is a variable of a module."""
    with pytest.warns(RuleWarning, match="answer .* computes in other types .*(float64|int64)"):
        define(*changes, folder=tmp_path)


def test_a_gain_may_differ_from_the_change_of_mastery_by_a_rounding_error(tmp_path: Path) -> None:
    """The sum of mastery and gain is rounded to float32, so the gain itself is not exactly the difference."""
    small = "    rise = p.learning_rate * (ONE - learner.mastery)\n    mastery = learner.mastery + rise\n"
    full = "    mastery = min(ONE, learner.mastery + p.learning_rate * (ONE - learner.mastery))\n"
    module = define((full, small), (RETURN, RETURN.replace("mastery - learner.mastery", "rise")), folder=tmp_path)
    rule, parameters = interpreted(module.answer), module.Knowing(*map(np.float32, module.Knowing()))
    examples = examples_of(DYNAMICS["standard"], is_question=True)
    pairs = [(example[0], *rule(parameters, *example)) for example in examples]
    assert any(outcome.gain != after.mastery - before.mastery for before, after, outcome in pairs)


def test_bounds_are_checked_again_with_the_parameters_in_use(tmp_path: Path) -> None:
    """The rule stays in [0, 1] with the default, not with every value in the bounds of its class."""
    define((LIMITED, "    mastery = learner.mastery + p.gain_noise * (ONE - learner.mastery)\n"), folder=tmp_path)
    config = alsim.Config.read({"dynamics": {"name": "knowing", "gain_noise": 2}})
    with pytest.raises(ValueError, match="study .* returns mastery = .*gain_noise=2"):
        alsim.AdaptiveLearningEnv(config=config)


def test_bounds_are_checked_with_the_extremes_of_a_population(tmp_path: Path) -> None:
    define((LIMITED, "    mastery = learner.mastery + p.gain_noise * (ONE - learner.mastery)\n"), folder=tmp_path)
    rows = [{"share": 0.01, "dynamics": {"gain_noise": 2 if k == 50 else 0.001 * k}} for k in range(100)]
    config = alsim.Config.read({"dynamics": "knowing", "population": rows})
    with pytest.raises(
        ValueError, match="row 50 of the population: the rule study .* returns mastery = .*gain_noise=2"
    ):
        alsim.AdaptiveLearningEnv(config=config)


def test_a_function_may_be_defined_after_the_registration(tmp_path: Path) -> None:
    define(("correct = draws.answer <", "correct = draws.answer + later() <"), folder=tmp_path)
    with pytest.raises(ValueError, match="name 'later' is not defined; import or define it"):
        alsim.AdaptiveLearningEnv(dynamics="knowing")


def test_the_checks_run_interpreted_copies_and_leave_generators_alone(tmp_path: Path) -> None:
    """Nothing is compiled: neither the rules, nor rules that they call, also through a module."""
    before = random.getstate()
    call = "learner.mastery * elementary.exp(ZERO)"
    start = ("import alsim\n", "import alsim\nfrom alsim.numerics import elementary\n")
    module = define(start, ("item.c) * learner.mastery", f"item.c) * {call}"), folder=tmp_path)
    assert random.getstate() == before
    if COMPILED:
        assert not module.answer.signatures and not module.study.signatures
        assert interpreted(module.answer).__globals__["elementary"].exp.__class__.__name__ == "function"


def test_modules_within_modules_are_copied_too(tmp_path: Path) -> None:
    """Also modules that import each other: alsim.errors.again is alsim."""
    start = ("import alsim\n", "import alsim\nimport alsim.numerics.elementary\n")
    call = ("item.c) * learner.mastery", "item.c) * learner.mastery * alsim.numerics.elementary.exp(ZERO)")
    module = define(start, call, folder=tmp_path)
    copied = interpreted(module.answer).__globals__["alsim"].numerics.elementary.exp
    assert not hasattr(copied, "py_func")
    module.first, module.second = ModuleType("first"), ModuleType("second")
    module.first.second, module.second.first = module.second, module.first  # type: ignore[attr-defined]
    namespace: dict[str, Any] = {**vars(module)}
    exec("def rule(p): return first.second", namespace)
    assert interpreted(namespace["rule"])(None) is module.second


UNCOMPILED = [
    (
        ("@alsim.rule\ndef answer", "def plain(x):\n    return x\n\n@alsim.rule\ndef answer"),
        ("item.c) * learner.mastery", "item.c) * plain(learner.mastery)"),
        "rules of 'knowing' cannot be compiled: plain is not compiled .*, line \\d+.; write @alsim.rule above",
    ),
    (
        ("import numpy as np\n", "import numpy as np\nWORDS = {1, 2}\n"),
        ("item.c) * learner.mastery", "item.c) * learner.mastery * len(WORDS)"),
        "rules of 'knowing' cannot be compiled: .*WORDS.*knowing_module.py, line",
    ),
    (
        ("    correct = draws", "    text = f'{learner.mastery:.3f}'\n    correct = draws"),
        ("import alsim", "import alsim"),
        "rules of 'knowing' cannot be compiled: format spec in f-strings.*knowing_module.py",
    ),
    (
        ("min(ONE, max(ZERO, learner.frustration + change))", "np.clip(learner.frustration + change, ZERO, ONE)"),
        ("import alsim", "import alsim"),
        "numba does not support clip\\(float32, float32, float32\\): .*knowing_module.py, line \\d+.; write formulas",
    ),
]


@pytest.mark.ci
@pytest.mark.compiled
@pytest.mark.skipif(not COMPILED, reason="the interpreter runs all of Python")
@pytest.mark.parametrize(("first", "second", "message"), UNCOMPILED)
def test_rules_that_cannot_be_compiled_are_one_sentence(first: Any, second: Any, message: str, tmp_path: Path) -> None:
    define(first, second, folder=tmp_path)
    with pytest.raises(AlsimError, match=message) as caught:
        alsim.AdaptiveLearningEnv(dynamics="knowing").reset(seed=0)
    assert "\n" not in str(caught.value)


def test_a_default_out_of_its_bounds_is_an_error_of_the_configuration(tmp_path: Path) -> None:
    define(("le=1)] = 0.1", "le=1)] = 2"), folder=tmp_path)
    with pytest.raises(ValueError, match="dynamics.slip = 2: expected a number <= 1.0"):
        alsim.Config.read({"dynamics": "knowing"})


def test_the_rules_of_the_package_pass_the_same_checks() -> None:
    from alsim.dynamics.rule_checks import check_rules

    check_definition(DYNAMICS["standard"])
    check_rules(DYNAMICS["standard"], Standard())
    code = "import sys, alsim.dynamics; print('alsim.dynamics.rule_checks' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# ── Repeated registration ────────────────────────────────────────────────────────────────────────


def test_a_definition_can_be_repeated(tmp_path: Path) -> None:
    """As in a notebook or by importlib.reload: a new class of the same name replaces the earlier one."""
    first = define(folder=tmp_path)
    config = alsim.Config.read({"dynamics": "knowing"})
    second = define(("learning_rate * (ONE", "learning_rate * ONE * (ONE"), folder=tmp_path)
    assert DYNAMICS["knowing"].parameters is second.Knowing is not first.Knowing
    alsim.register_dynamics("knowing", second.Knowing, second.answer, second.study)
    with pytest.raises(TypeError, match="earlier definition of Knowing.*make the parameters"):
        alsim.dynamics.of_parameters(first.Knowing)
    with pytest.raises(TypeError, match="^these parameters are of an earlier definition of Knowing"):
        config.to_dict()


def test_other_registrations_of_the_same_name_or_class_name_the_cure(tmp_path: Path) -> None:
    module = define(folder=tmp_path)
    with pytest.raises(ValueError, match="already selects other rules of 'knowing'; define the class again"):
        alsim.register_dynamics("knowing", module.Knowing, standard_like(module), module.study)
    with pytest.raises(ValueError, match="Knowing already selects the rules of 'knowing'; got 'other': use another"):
        alsim.register_dynamics("other", module.Knowing, module.answer, module.study)
    with pytest.raises(ValueError, match="'knowing' with knowing_module.Knowing is registered; use another name"):
        define(folder=tmp_path, name="another_module")


def standard_like(module: ModuleType) -> Any:
    """Return a rule that differs from the one of the module."""

    @alsim.rule
    def answer(p: Any, learner: Any, item: Any, draws: Any) -> Any:
        after, outcome = module_answer(p, learner, item, draws)
        return after, outcome

    module_answer = module.answer
    return answer


def test_unknown_names_have_the_option_and_a_suggestion(tmp_path: Path) -> None:
    define(folder=tmp_path)
    message = "got 'knowin'; on the command line, --import MODULE registers .*; did you mean 'knowing'"
    with pytest.raises(ValueError, match=message):
        alsim.AdaptiveLearningEnv(dynamics="knowin")
    with pytest.raises(ValueError, match="--import MODULE registers .*; did you mean 'knowing'"):
        alsim.Config.read({"dynamics": "knowin"})


# ── Changes without a new class ──────────────────────────────────────────────────────────────────

HELPER = ("@alsim.rule\ndef answer", "@alsim.rule\ndef known(x):\n    return x\n\n@alsim.rule\ndef answer")
CALL = ("item.c) * learner.mastery", "item.c) * known(learner.mastery)")


@pytest.mark.skipif(not COMPILED, reason="the interpreter always runs the latest functions")
def test_a_function_that_was_changed_after_its_first_use_is_an_error(tmp_path: Path) -> None:
    """A cell of a notebook defines it again: compiled rules keep the earlier one, and would be stored as the new."""
    module = define(HELPER, CALL, folder=tmp_path)
    before = rules_fingerprint(module.Knowing)
    env = alsim.AdaptiveLearningEnv(dynamics="knowing")
    exec("@alsim.rule\ndef known(x):\n    return x * x", vars(module))
    message = "in the rules of 'knowing' was changed after its first use.*define Knowing and its rules again"
    with pytest.raises(ValueError, match=message):
        alsim.AdaptiveLearningEnv(dynamics="knowing").reset(seed=0)
    with pytest.raises(ValueError, match=message):  # it was made earlier, but its kernels are not compiled
        env.reset(seed=0)
    module = define((HELPER[0], HELPER[1].replace("return x\n", "return x * x\n")), CALL, folder=tmp_path)
    assert rules_fingerprint(module.Knowing) != before


def test_a_variable_with_the_name_of_a_field_does_not_change_the_rules(tmp_path: Path) -> None:
    """As `mastery = rollout.final_mastery` in a notebook: the rules read learner.mastery, not the variable."""
    module = define(folder=tmp_path)
    before = rules_fingerprint(module.Knowing)
    module.mastery = module.learner = 3
    assert rules_fingerprint(module.Knowing) == before
