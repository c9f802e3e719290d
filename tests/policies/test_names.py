"""Names of policies: registered names, arguments, directories, and classes of the user's modules."""

import functools
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Optional, Union

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import alsim
from alsim.datasets.writer import DatasetWriter
from alsim.policies import (
    EpsilonGreedy,
    Network,
    NetworkPolicy,
    Policy,
    Uniform,
    known_policies,
    make_policy,
    register_policy,
)
from alsim.policies.names import POLICIES, signature
from alsim.policies.nested import nested_policies, with_nested


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Return a function that writes a module, `theirs`, which can be imported."""
    monkeypatch.syspath_prepend(tmp_path / "code")

    def write(text, name="theirs"):
        file = tmp_path / "code" / f"{name.replace('.', '/')}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    before = set(sys.modules)
    yield write
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in ("theirs", "pack"):
            del sys.modules[name]


def refusal(name):
    """Return the message with which a name is refused."""
    with pytest.raises(alsim.AlsimError) as caught:
        make_policy(name)
    return str(caught.value)


# ── arguments ────────────────────────────────────────────────────────────────────────────────────


class Taught(Uniform):
    """A policy with one parameter of each type."""

    name = "taught"

    def __init__(self, base: Policy, lo: int, rate: float = 0.5, verbose: bool = False, note: str = "none"):
        self.base, self.lo, self.rate, self.verbose, self.note = base, lo, rate, verbose, note


def test_arguments_are_converted_to_the_annotated_types():
    register_policy("taught", Taught)
    made = make_policy("taught:rules:3:1e-1:TRUE:a (b:c) d")
    assert (made.base.name, made.lo, made.rate, made.verbose, made.note) == ("rules", 3, 0.1, True, "a (b:c) d")
    assert [type(value) for value in (made.lo, made.rate, made.verbose)] == [int, float, bool]
    assert made.name == "taught:rules:3:0.1:True:(a (b:c) d)"
    assert make_policy(made.name).name == made.name
    assert make_policy("taught:rules:3").name == "taught:rules:3"
    assert make_policy("taught:(epsilon-greedy:rules:0.1):3").base.name == "epsilon-greedy:rules:0.1"
    assert signature("taught", Taught) == "taught:POLICY:LO[:RATE][:VERBOSE][:NOTE]"


def plain(share=0.5, count=2, loud=False, word="x", base=None):
    made = Uniform()
    made.name, made.values = "plain", (share, count, loud, word, base)
    return made


def test_without_annotation_the_default_gives_the_type():
    register_policy("plain", plain)
    assert make_policy("plain:0.25:3:true:y:z").values == (0.25, 3, True, "y", "z")
    assert make_policy("plain").values == (0.5, 2, False, "x", None)
    assert make_policy("plain").name == "plain"
    assert "'count' of plain[:SHARE]" in refusal("plain:1:2.5")


def quoted(base: "Policy", rate: "float | None" = None, old: Optional[int] = None, more: Union[str, Policy] = "rules"):  # noqa: UP007, UP045
    made = Uniform()
    made.values = base.name, rate, old, more.name
    return made


def test_annotations_may_be_texts_and_unions():
    register_policy("quoted", quoted)
    assert make_policy("quoted:uniform:0.5:3:rules").values == ("uniform", 0.5, 3, "rules")


def test_partial_functions_and_unresolved_annotations():
    register_policy("partial", functools.partial(Taught, Uniform(), 2))
    assert make_policy("partial:0.75").rate == 0.75

    def unresolved(rate: "float", other: "Missing" = None):  # noqa: F821
        made = Uniform()
        made.rate = rate
        return made

    register_policy("unresolved", unresolved)
    assert make_policy("unresolved:0.75").rate == 0.75


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "epsilon-greedy",
            "the policy 'epsilon-greedy' takes 2 arguments; got none; write epsilon-greedy:POLICY:EPSILON",
        ),
        ("epsilon-greedy:", "takes 2 arguments; got ''; write epsilon-greedy:POLICY:EPSILON"),
        ("epsilon-greedy:rules", "takes 2 arguments; got 'rules'; write epsilon-greedy:POLICY:EPSILON"),
        ("epsilon-greedy:rules:0.1:0.2", "got 'rules', '0.1', '0.2'; write epsilon-greedy:POLICY:EPSILON"),
        ("epsilon-greedy:epsilon-greedy:rules:0.1:0.2", "with a nested name in parentheses"),
        (
            "epsilon-greedy:rules:high",
            "argument 'epsilon' of epsilon-greedy:POLICY:EPSILON must be a number; got 'high'",
        ),
        ("epsilon-greedy:rules:2", "epsilon of epsilon-greedy must be a number in [0, 1]; got 2.0"),
        ("epsilon-greedy:(rules:0.2", "the parentheses in the name 'epsilon-greedy:(rules:0.2' are not balanced"),
        ("epsilon-greedy:rules):0.2", "are not balanced; write one ) for each ("),
        ("epsilon-greedy:)rules(:0.2", "are not balanced"),
        ("epsilon-greedy:other:0.2", "unknown policy 'other'; known are uniform, rules, epsilon-greedy:POLICY:EPSILON"),
        ("epsilon-greedy:(epsilon-greedy:rules:x):0.2", "must be a number; got 'x'"),
        ("broken", "the policy 'broken' takes 1 argument; got none; write broken:NUMBER"),
        ("uniform:3", "the policy 'uniform' takes 0 arguments; got '3'; write uniform"),
        ("taught:rules", "the policy 'taught' takes 2 to 5 arguments; got 'rules'; write taught:POLICY:LO[:RATE]"),
        (
            "taught:rules:1.5",
            "the argument 'lo' of taught:POLICY:LO[:RATE][:VERBOSE][:NOTE] must be an integer; got '1.5'",
        ),
        (
            "taught:rules:1:1:yes",
            "'verbose' of taught:POLICY:LO[:RATE][:VERBOSE][:NOTE] must be true or false; got 'yes'",
        ),
        (
            "chosen:a",
            "the parameter 'way' of chosen:WAY has the type typing.Literal['a', 'b']; arguments in a name can be",
        ),
        ("broken:1", "the policy 'broken' cannot be created: ZeroDivisionError: division by zero, in "),
        ("empty", "'empty' does not name a policy: a policy must be an instance with a name and a method act"),
        ("", "unknown policy ''; known are uniform"),
        (":", "unknown policy ':'; known are uniform"),
        ("()", "unknown policy '()'; known are uniform"),
    ],
)
def test_the_error_for_a_wrong_name_shows_the_cure(name, message):
    def chosen(way: Literal["a", "b"]): ...

    def broken(number: int):
        return 1 / 0

    register_policy("taught", Taught)
    register_policy("chosen", chosen)
    register_policy("broken", broken)
    register_policy("empty", lambda: None)
    assert message in refusal(name)


@pytest.mark.parametrize("name", ["a:b", "a(b", "a)", " a", "a "])
def test_registered_names_have_no_character_of_the_grammar(name):
    with pytest.raises(ValueError, match="the name of a policy must have no colon, parenthesis or outer space; got"):
        register_policy(name, Uniform)


def test_a_class_that_fixes_its_name_is_refused():
    class Fixed(Uniform):
        def __init__(self, rate: float) -> None: ...

        name = property(lambda self: "fixed")

    register_policy("fixed", Fixed)
    assert refusal("fixed:0.5") == (
        "the name of the policy must become 'fixed:0.5', which identifies its arguments, but stays 'fixed'; let Fixed "
        "have an attribute `name` that can be assigned"
    )


def test_known_policies_are_listed():
    assert known_policies() == list(POLICIES)


PIECES = [
    "uniform",
    "rules",
    "epsilon-greedy",
    ":",
    ":",
    "(",
    ")",
    "0.2",
    "1",
    "nan",
    " ",
    "x",
    ".",
    "/",
    "\\",
    "é",
    "\0",
]


@pytest.mark.ci
@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_any_text_names_a_policy_or_is_refused(name):
    try:
        made = make_policy(name)
    except alsim.AlsimError as error:
        assert "\n" not in str(error)
    else:
        assert make_policy(made.name).name == made.name


def test_a_name_may_be_longer_than_the_file_system_allows():
    assert "unknown policy 'aaa" in refusal("a" * 5000)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rule", "unknown policy 'rule'; did you mean 'rules'? Known are uniform, rules, "),
        (
            "epsilon_greedy:rules:0.2",
            "unknown policy 'epsilon_greedy:rules:0.2'; did you mean 'epsilon-greedy:rules:0.2'?",
        ),
        ("epsilon-greedy:rule:0.2", "unknown policy 'rule'; did you mean 'rules'?"),
        (
            "epsilon-greedy:0.2:rules",
            "the arguments of epsilon-greedy are in the wrong order; did you mean 'epsilon-greedy:rules:0.2'?",
        ),
        (
            "epsilon-greedy:0.2:(theirs:Own)",
            "did you mean 'epsilon-greedy:(theirs:Own):0.2'? The form is epsilon-greedy:POLICY:EPSILON",
        ),
        ("theirs.Own", "unknown policy 'theirs.Own'; did you mean 'theirs:Own'?"),
        (
            "ppo.zip",
            "a model that Stable-Baselines3 saved must be converted: alsim.training.policy_of(PPO.load('ppo.zip'))",
        ),
    ],
)
def test_the_error_for_a_misspelled_name_begins_with_the_right_one(name, message, module):
    module("")
    assert message in refusal(name)


def test_a_module_with_a_name_like_a_registered_one_is_imported(module, monkeypatch):
    module("from alsim.policies import Uniform\n", "rule")
    assert make_policy("rule:Uniform").name == "uniform"
    monkeypatch.delitem(sys.modules, "rule")


def test_the_error_of_a_class_that_cannot_be_called_has_its_place(module):
    file = module("class Own:\n    def __init__(self):\n        1 / 0\n")
    assert f"ZeroDivisionError: division by zero, in {file}, line 3; correct" in refusal("theirs:Own")


# ── directories ──────────────────────────────────────────────────────────────────────────────────


def test_a_dataset_is_not_a_policy(tmp_path):
    alsim.generate_dataset(2, 1, config={"num_los": 2, "max_episode_steps": 3}, out=tmp_path / "d")
    for where in (tmp_path / "d", str(tmp_path / "d")):
        assert refusal(where).endswith(
            "d is a dataset, but a policy is needed; pass the name of a policy, such as rules, or the directory of a "
            "trained one"
        )


def test_an_existing_directory_wins_over_a_class(tmp_path, monkeypatch):
    """Windows paths contain a colon; on other systems, any directory may."""
    monkeypatch.chdir(tmp_path)
    Path("json:loads").mkdir()
    assert "the directory json:loads holds no policy: there is no policy.json" in refusal("json:loads")
    for name in (r"C:\runs\ppo", "C:/runs/ppo", "runs/ppo:2"):
        assert f"unknown policy {name!r}" in refusal(name)


# ── module:Class ─────────────────────────────────────────────────────────────────────────────────

THEIRS = """
import alsim
from alsim.policies import Uniform

class Own(Uniform):
    name = "own"

class Picky(Uniform):
    def __init__(self, rate, base=None): ...

def factory():
    return Own()

def failing():
    return {}["key"]

class Boltz(Uniform):
    name = "boltz"

    def __init__(self, heat: float = 1.0, base: alsim.Policy | None = None):
        self.heat, self.base = heat, base

class Named(Boltz):
    def __init__(self, heat: float = 1.0):
        self.heat, self.name = heat, f"named:{heat}"

class Box:
    Inner = Own

instance = Own()
number = 3
"""


@pytest.mark.parametrize("name", ["theirs:Own", "theirs:factory", "theirs:instance", "theirs:Box.Inner"])
def test_a_class_a_function_or_an_instance_of_a_module_is_a_policy(module, name):
    module(THEIRS)
    assert make_policy(name).name == "own"
    config = {"num_los": 2, "max_episode_steps": 3}
    assert alsim.generate_dataset(2, 1, name, config=config).manifest["policy"] == {"name": "own"}
    assert make_policy(f"epsilon-greedy:({name}):0.1").name == "epsilon-greedy:own:0.1"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("theirs:Boltz", "boltz"),
        ("theirs:Boltz:.30", "boltz:0.3"),
        ("theirs:Boltz:0.3:rules", "boltz:0.3:rules"),
        ("theirs:Boltz:0.3:(theirs:Boltz:2)", "boltz:0.3:(boltz:2.0)"),
        ("theirs:Named:0.3", "named:0.3"),
        ("epsilon-greedy:(theirs:Boltz:0.3):0.1", "epsilon-greedy:(boltz:0.3):0.1"),
    ],
)
def test_arguments_may_follow_a_class_of_a_module(module, name, expected):
    module(THEIRS)
    policy = make_policy(name)
    assert policy.name == expected
    assert getattr(policy, "heat", 0.3) == (1.0 if name == "theirs:Boltz" else 0.3)


def test_a_module_may_be_in_a_package(module):
    module("", "pack.__init__")
    module(THEIRS, "pack.deeper")
    assert make_policy("pack.deeper:Own").name == "own"
    assert "the module 'pack.other' cannot be found (No module named 'pack.other')" in refusal("pack.other:Own")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "nowhere_at_all:Own",
            "the module 'nowhere_at_all' cannot be found (No module named 'nowhere_at_all'); run from",
        ),
        (
            "theirs:Other",
            "the module 'theirs' has no 'Other'; it defines Own, Picky, factory, failing, Boltz, Named, Box",
        ),
        ("theirs:Box.Other", "the module 'theirs' has no 'Box.Other'; it defines Own"),
        ("theirs:number", "'theirs:number' does not name a policy: a policy must be an instance .*; got 3"),
        (
            "theirs:Picky",
            "the policy 'theirs:Picky' takes 1 to 2 arguments; got none; write theirs:Picky:RATE",
        ),
        (
            "theirs:failing",
            "the policy 'theirs:failing' cannot be created: KeyError: 'key', in .*theirs.py, line 15; correct <",
        ),
        ("theirs:Box", "'theirs:Box' does not name a policy"),
        ("theirs:Own:0.2", "the policy 'theirs:Own' takes 0 arguments; got '0.2'; write theirs:Own"),
        (
            "theirs:instance:2",
            "theirs:instance is an instance, which takes no arguments; got '2'; write theirs:instance",
        ),
        ("theirs:Boltz:warm", "the argument 'heat' of theirs:Boltz.* must be a number; got 'warm'"),
        ("theirs:Other:0.2", "the module 'theirs' has no 'Other'"),
        ("theirs:", "a class must be named as module:Class; got 'theirs:'"),
        ("theirs.py:Own", "must be identifiers separated by dots; got 'theirs.py'; write theirs, and run from its"),
        ("code/theirs.py:Own", "got 'code/theirs.py'; write theirs, and run from its directory"),
        ("the irs:Own", "the name of a module must be identifiers separated by dots; got 'the irs'; such as"),
    ],
)
def test_the_error_for_a_wrong_class_shows_the_cure(module, name, message):
    module(THEIRS)
    assert re.search(message.replace("(", r"\(").replace(")", r"\)"), refusal(name))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import not_there", "ModuleNotFoundError: No module named 'not_there', in .*theirs.py, line 1"),
        ("x = 1\nx = {}['key']", "KeyError: 'key', in .*theirs.py, line 2; correct the module"),
        ("def f(:\n", "SyntaxError: .*, in .*theirs.py, line 1"),
        ("import sys\nsys.exit(3)", "SystemExit: 3, in .*theirs.py, line 2"),
        ("raise ValueError('two\\nlines')", "ValueError: two, in"),
    ],
)
def test_the_error_of_a_module_that_cannot_be_imported_is_one_sentence(module, text, message):
    module(text)
    assert re.search(f"the module 'theirs' cannot be imported: {message}", refusal("theirs:Own"))
    assert "\n" not in refusal("theirs:Own")


# ── identity ─────────────────────────────────────────────────────────────────────────────────────


class Two(Uniform):
    """Consults two policies."""

    def __init__(self, a: Policy, b: Policy):
        self.pair = [a, {"b": b}]


class Forgetful(Uniform):
    """Does not keep its arguments."""

    def __init__(self, a: Policy, b: Policy): ...


def network(tmp_path, value):
    """Return the name of a saved network whose weights are a value."""
    layers = [(np.full((4, 18), value), np.zeros(18))]
    NetworkPolicy(Network(layers), name="n").save(tmp_path / f"n{value}")
    return f"({tmp_path / f'n{value}'})"


def explorer(a: Policy, b: Policy):
    return EpsilonGreedy(b, 0.5)


@pytest.mark.parametrize("make", [Two, Forgetful, explorer])
def test_nested_policies_are_compared_when_a_dataset_is_resumed(tmp_path, monkeypatch, make):
    """Both networks are named "n", so that only their digests differ."""
    register_policy("two", make)
    one, two = (network(tmp_path, value) for value in (1.0, 2.0))
    first, other = f"two:{one}:{one}", f"two:{one}:{two}"
    settings = {"config": {"num_los": 2, "max_episode_steps": 3}, "out": tmp_path / "d"}

    def fail(writer, manifest):
        raise alsim.DatasetError("interrupted")

    with monkeypatch.context() as patch, pytest.raises(alsim.DatasetError, match="interrupted"):
        patch.setattr(DatasetWriter, "commit", fail)
        alsim.generate_dataset(2, 1, first, **settings)
    assert make_policy(first).name == make_policy(other).name
    with pytest.raises(alsim.DatasetError, match="unfinished dataset with other settings: policy.nested"):
        alsim.generate_dataset(2, 1, other, **settings)
    entry = alsim.generate_dataset(2, 1, first, **settings).manifest["policy"]
    digest = make_policy(tmp_path / "n1.0").digest
    assert entry["nested"][-1] == {"name": "n", "digest": digest}


def test_a_policy_that_refers_to_itself_is_described():
    policy = Uniform()
    policy.me, policy.base = [policy], Uniform()
    assert with_nested(policy, lambda p: {"name": p.name}) == {"name": "uniform", "nested": [{"name": "uniform"}]}


def test_policies_in_slots_are_found():
    class Slotted:
        __slots__ = ("__base", "name")

        def __init__(self, base: Policy):
            self.__base, self.name = base, "slotted"

        def act(self, view, draws): ...

    class Full(Slotted):
        __slots__ = ()

        def __init__(self, base: Policy):
            super().__init__(None)

    register_policy("slotted", Slotted)
    register_policy("full", Full)
    assert [policy.name for policy in nested_policies(make_policy("slotted:rules"))] == ["rules"]
    assert "must keep its policy arguments, which identify it; add an attribute for them to Full" in refusal(
        "full:rules"
    )


@dataclass(frozen=True)
class Frozen:
    rate: float = 0.5
    name: str = "frozen"

    def act(self, view, draws): ...


def test_the_name_of_a_frozen_dataclass_has_its_arguments():
    register_policy("frozen", Frozen)
    assert [make_policy(name).name for name in ("frozen", "frozen:0.25")] == ["frozen", "frozen:0.25"]


def test_a_path_is_no_name():
    assert refusal(Path("rules")).endswith(
        "a name must be a str; got PosixPath('rules'), which does not exist; pass 'rules'"
    ) or (sys.platform == "win32")
    assert refusal(Path("no/where")).endswith("correct the path")
