"""Mistakes in a dynamics with state of its own: each is one sentence at registration."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from alsim.dynamics import DYNAMICS
from alsim.errors import AlsimError, InputTypeError

PAGE = (Path(__file__).parent.parent / "docs/how-to/add-a-dynamics.md").read_text(encoding="utf-8")
IMPORTS = PAGE.partition("```python\n")[2].partition("class ")[0]
EXAMPLE = IMPORTS + PAGE.partition("## State of its own")[2].partition("```python\n")[2].partition("```")[0]
"""The dynamics with state of its own of the how-to page, registered as 'forgetting'."""


def define(before: str, after: str, folder: Path) -> None:
    """Run the example as a module, with a piece of its text replaced."""
    assert before in EXAMPLE, before
    text = EXAMPLE.replace(before, after)
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
    ("return recall if", "return ONE + ONE if", "observe .* the mastery .*2.0.*, which must be in \\[0, 1\\]"),
    ("else mastery", "else -ONE", "chance .* returns .*-.*, which must be in \\[0, 1\\]"),
    ("return item.c + (ONE", "return ONE + item.c + (ONE", "chance .* returns .*, which must be in \\[0, 1\\]"),
    (
        "draws.answer < chance(p",
        "draws.answer < item.c * chance(p",
        "compare draws.answer < chance\\(p, learner, item\\)",
    ),
    (", lo_state=Memory", "", "no attribute 'practised'; declare the state: pass lo_state=... or learner_state=... to"),
    ("observe=observe", 'observe=observe, observe_at="day"', "must be one of 'interaction', 'break'; got 'day'"),
]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    ("before", "after", "message"), REFUSED, ids=[after[:20] or before[:20] for before, after, _ in REFUSED]
)
def test_a_mistake_is_one_sentence_at_registration(before: str, after: str, message: str, tmp_path: Path) -> None:
    with pytest.raises((AlsimError, InputTypeError), match=message) as caught:
        define(before, after, tmp_path)
    assert "\n" not in str(caught.value)
    assert "forgetting" not in DYNAMICS


def test_the_example_is_registered_without_warnings(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        define("f32(-0.05)", "f32(-0.05)", tmp_path)
    assert "forgetting" in DYNAMICS
