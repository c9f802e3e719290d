"""Policies and dynamics of users on the command line: --policy module:Class, --import, and installed plugins."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import numpy as np
import pytest

import alsim
from alsim.datasets.store import load_dataset
from alsim.datasets.writer import DatasetWriter
from alsim.dynamics import DYNAMICS, of_parameters
from alsim.policies import POLICIES, known_policies, make_policy
from alsim.policies.names import load_plugins
from alsim.sanity import checks as sanity
from alsim.utils.plugins import PluginWarning

SMALL = {"num_los": 2, "max_episode_steps": 6}

POLICY = '''
import numpy as np
import alsim

class Teacher:
    """Chooses one action, or with a small probability any other."""

    name = "teacher"

    def __init__(self, action=1):
        self.action = int(action)

    def act(self, view, draws):
        draws.uniform()
        return np.full(view.num_lanes, self.action), np.ones(view.num_lanes)

    def probabilities(self, view):
        odds = np.zeros((view.num_lanes, view.num_actions))
        odds[:, self.action] = 1
        return odds
'''
REGISTERS = 'alsim.register_policy("teacher", Teacher)\n'

PARAMETERS = """
from typing import NamedTuple

class Instant(NamedTuple):
    gain: float = 1.0
"""
RULES = """
import alsim
import numpy as np
from alsim.types import ONE, ZERO, Learner, Outcome
from instant_parameters import Instant

i32 = np.int32

@alsim.rule
def answer(p, learner, item, draws):
    mastery = min(ONE, learner.mastery + p.gain)
    after = Learner(mastery=mastery, ability=learner.ability, frustration=learner.frustration,
                    response_time=item.response_time_mean, fail_streak=i32(0))
    return after, Outcome(correct=True, gain=mastery - learner.mastery)

@alsim.rule
def study(p, learner, item, draws):
    after = Learner(mastery=learner.mastery, ability=learner.ability, frustration=learner.frustration,
                    response_time=learner.response_time, fail_streak=i32(0))
    return after, Outcome(correct=False, gain=ZERO)

alsim.register_dynamics("instant", Instant, answer, study)
"""
MODULES = {
    "teaching.py": POLICY + REGISTERS,
    "unregistered.py": POLICY,
    "instant_parameters.py": PARAMETERS,
    "instant.py": RULES,
    "small.toml": "num_los = 2\nmax_episode_steps = 6\n",
    "instant.toml": 'num_los = 2\nmax_episode_steps = 6\n[dynamics]\nname = "instant"\ngain = 0.1\n',
    "broken.py": "x = 1\nraise ValueError('out of order')\n",
}
"""Files of a user; the parameters of the dynamics `instant` are in another module than its registration."""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Make a working directory with the modules of a user; forget them afterwards."""
    for name, text in MODULES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    monkeypatch.setattr("alsim.utils.plugins._imported", {})
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in {*(Path(file).stem for file in MODULES), "alsim_kit"}:
            del sys.modules[name]


def accepted(result):
    """Assert status 0 without warnings; return stdout."""
    assert (result[0], result[2]) == (0, ""), result
    return result[1]


def refused(result):
    """Assert status 2 with one sentence; return it."""
    status, out, err = result
    assert (status, out, err.count("\n")) == (2, "", 1), result
    return err


GENERATE = ("generate", "--learners", 4, "--episodes", 1, "--config", "small.toml")


# ── module:Class ─────────────────────────────────────────────────────────────────────────────────


def test_a_class_in_the_working_directory_is_a_policy(run, folder):
    accepted(run(*GENERATE, "--policy", "unregistered:Teacher", "--out", "d"))
    dataset = load_dataset("d")
    assert dataset.manifest["policy"] == {"name": "teacher"}
    assert set(dataset.action) == {1}


@pytest.mark.ci
@pytest.mark.versionless
def test_the_installed_command_finds_it_too(folder):
    """A console script does not search the working directory for modules, as `python -m` does."""
    script = Path(sysconfig.get_path("scripts"), "alsim")
    environment = {**os.environ, "PYTHONPATH": str(Path(alsim.__file__).parent.parent), "NUMBA_DISABLE_JIT": "1"}
    command = [script, *map(str, GENERATE), "--policy", "unregistered:Teacher", "--out", "d"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    safe = subprocess.run(
        [*command, "--force"], env={**environment, "PYTHONSAFEPATH": "1"}, capture_output=True, text=True, timeout=300
    )
    assert safe.returncode == 2
    assert "the module 'unregistered' cannot be found" in safe.stderr


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("nowhere:Teacher", "the module 'nowhere' cannot be found (No module named 'nowhere'); run from the directory"),
        ("unregistered:Other", "the module 'unregistered' has no 'Other'; it defines Teacher"),
        ("broken:Teacher", "the module 'broken' cannot be imported: ValueError: out of order, in"),
        ("unregistered:np", "does not name a policy"),
        ("epsilon-greedy:rules", "takes 2 arguments; got 'rules'; write epsilon-greedy:POLICY:EPSILON"),
    ],
)
def test_errors_are_one_sentence(run, folder, policy, message):
    assert message in refused(run(*GENERATE, "--policy", policy, "--out", "d"))
    assert not Path("d").exists()


# ── --import ─────────────────────────────────────────────────────────────────────────────────────


def test_imported_modules_register_policies_with_arguments(run, folder):
    accepted(run(*GENERATE, "--import", "teaching", "--policy", "teacher:5", "--out", "d"))
    dataset = load_dataset("d")
    assert dataset.manifest["policy"] == {"name": "teacher:5"}
    assert set(dataset.action) == {5}
    assert "teacher[:ACTION]" in accepted(run("policies", "--import", "teaching", "--json", "p.json"))
    assert json.loads(Path("p.json").read_text())["teacher"] == {
        "name": "teacher",
        "signature": "teacher[:ACTION]",
        "arguments": [{"name": "action", "type": "int", "required": False, "default": 1}],
        "description": "Chooses one action, or with a small probability any other.",
        "reads": None,
        "stochastic": None,
        "memory": False,
        "source": None,
        "package": "teaching",
    }


@pytest.mark.interpreted
def test_every_command_reads_configurations_with_imported_dynamics(run, folder, monkeypatch):
    needed = f"expected a registered dynamics: {', '.join(DYNAMICS)}; on the command line, --import"
    arguments = ("--learners", 4, "--episodes", 1, "--config", "instant.toml", "--no-store-observations")
    assert needed in refused(run("generate", *arguments, "--out", "d"))
    accepted(run("generate", *arguments, "--out", "d", "--import", "instant"))
    assert load_dataset("d").manifest["config"]["dynamics"] == {"name": "instant", "gain": pytest.approx(0.1)}
    monkeypatch.setattr(sanity, "CHECKS", {"name": lambda config, bank, seed: (True, type(config.dynamics).__name__)})
    assert "Instant" in accepted(run("validate", "--config", "instant.toml", "--import", "instant"))
    assert "Instant" in accepted(run("validate", "--dynamics", "instant", "--import", "instant"))
    accepted(run("bank", "--config", "instant.toml", "--import", "instant", "--out", "bank"))
    assert "dynamics instant" in accepted(run("show", "--config", "instant.toml", "--import", "instant"))
    for command in (("info", "d"), ("export", "d", "--to", "npz", "--out", "d.npz"), ("fit", "skill-mean", "d")):
        accepted(run(*command, "--import", "instant"))


def test_skipped_checks_have_not_passed_and_other_dynamics_have_no_specification(run, folder, monkeypatch):
    passing, skipped = (lambda *_: (True, "fine")), (lambda *_: (None, "no such rule"))
    monkeypatch.setattr(sanity, "CHECKS", {"one": passing, "two": skipped, "three": passing})
    arguments = ("validate", "--import", "instant", "--dynamics", "instant")
    assert accepted(run(*arguments, "--json", "v.json")).splitlines() == [
        "ok       one: fine",
        "skipped  two: no such rule",
        "ok       three: fine",
        "2 passed, 1 skipped (two): only the code of the dynamics 'instant' has these",
        "rules.",
    ]
    report = json.loads(Path("v.json").read_text())
    assert (report["dynamics"], report["passed"], report["skipped"], report["failed"]) == ("instant", 2, 1, 0)
    assert [entry["passed"] for entry in report["checks"]] == [True, None, True]
    monkeypatch.setitem(sanity.CHECKS, "three", lambda *_: (False, "broken"))
    status, printed, _ = run(*arguments)
    assert (status, printed.splitlines()[-1]) == (1, "1 of 3 checks failed: three. 1 were skipped.")


@pytest.mark.ci
def test_warnings_about_rules_are_one_line(folder):
    Path("instant.py").write_text(RULES.replace("fail_streak=i32(0)", "fail_streak=learner.fail_streak"))
    command = [sys.executable, "-m", "alsim", "policies", "--import", "instant"]
    environment = {**os.environ, "PYTHONPATH": str(Path(alsim.__file__).parent.parent), "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    first, second = done.stderr.splitlines()
    assert first.startswith("alsim: the rule answer of the dynamics 'instant' (")
    assert second.startswith("alsim: the rule study ")


@pytest.mark.ci
@pytest.mark.versionless
def test_info_without_the_import_claims_nothing_about_the_defaults(run, folder):
    """0.1 is not the default of the dynamics, 1.0 is; only the module knows."""
    for name, gain in (("instant.toml", "0.1"), ("default.toml", "1")):
        text = Path("instant.toml").read_text()
        Path(name).write_text(text.replace("gain = 0.1", f"gain = {gain}"))
        out = Path(name).stem
        accepted(run("generate", "--learners", 2, "--episodes", 1, "--config", name, "--import", "instant", "-o", out))
        DYNAMICS.pop("instant")
        del sys.modules["instant"]
        printed = accepted(run("info", out, "--json", "i.json"))
        assert (
            f"  rules     dynamics instant with gain {gain} (defaults unknown: --import the module); "
            "max_episode_steps 6, num_los 2 (differ from the defaults)\n" in printed
        )
        origin = json.loads(Path("i.json").read_text())["provenance"]
        assert (origin["dynamics"], origin["dynamics_known"]) == ("instant", False)
        assert origin["dynamics_parameters"] == {"gain": float(gain)}
        assert origin["config_differences"] == {"max_episode_steps": 6, "num_los": 2}
        accepted(run("info", out, "--import", "instant", "--json", "i.json"))
        origin = json.loads(Path("i.json").read_text())["provenance"]
        assert origin["dynamics_known"]
        assert ("dynamics.gain" in origin["config_differences"]) == (gain == "0.1")


@pytest.mark.ci
def test_dynamics_replace_those_of_the_configuration(run, folder):
    accepted(run(*GENERATE, "--import", "instant", "--dynamics", "instant", "--out", "d"))
    assert load_dataset("d").manifest["config"]["dynamics"]["name"] == "instant"
    message = refused(run(*GENERATE, "--dynamics", "other", "--out", "e"))
    assert "dynamics must be one of standard, " in message
    assert "instant, or parameters of one; got 'other'; on the command line, --import" in message


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("nowhere", "the module 'nowhere' cannot be found"),
        ("broken", "the module 'broken' cannot be imported: ValueError: out of order, in"),
        ("teaching.py", "got 'teaching.py'; write teaching, and run from its directory"),
        ("", "the name of a module must be identifiers separated by dots; got ''"),
    ],
)
def test_modules_that_cannot_be_imported_are_one_sentence(run, folder, module, message):
    assert message in refused(run(*GENERATE, "--import", module, "--out", "d"))


@pytest.mark.heavy
@pytest.mark.interpreted
def test_workers_import_the_modules_and_resume(run, folder, monkeypatch):
    """Workers are new processes; without the import, the dynamics would not be registered in them."""
    arguments = ("generate", "--learners", 12, "--episodes", 1, "--config", "instant.toml", "--episodes-per-shard", 4)
    imports = ("--import", "teaching", "--import", "instant", "--policy", "epsilon-greedy:teacher:0.5")
    accepted(run(*arguments, *imports, "--out", "one"))

    def fail(writer, manifest):
        raise alsim.DatasetError("interrupted")

    with monkeypatch.context() as patch:
        patch.setattr(DatasetWriter, "commit", fail)
        status, _, err = run(*arguments, *imports, "--out", "two", "--workers", 2)
    assert (status, err.partition(";")[0]) == (2, "alsim: interrupted")
    assert not Path("two", "manifest.json").exists()
    status, _, err = run(*arguments, *imports, "--out", "two", "--workers", 2)
    assert (status, err) == (0, "alsim: 3 shards were complete, 0 were made\n")
    one, two = (load_dataset(name, verify=True) for name in ("one", "two"))
    assert one.manifest == two.manifest
    np.testing.assert_array_equal(one.action, two.action)


def test_completion_imports_nothing(folder):
    from alsim.cli.options import _import_modules

    class Completing:
        resilient_parsing = True

    assert _import_modules(Completing(), ["broken"]) == ["broken"]


def test_train_passes_the_dynamics(run, folder, monkeypatch):
    pytest.importorskip("alsim.training.run")

    def train(algorithm, *, dynamics, **arguments):
        raise alsim.AlsimError(f"{algorithm} with {dynamics}: {alsim.Config.read({'dynamics': dynamics}).dynamics}")

    monkeypatch.setattr("alsim.training.run.train", train)
    arguments = ("train", "ppo", "--out", "t", "--import", "instant", "--dynamics", "instant")
    assert "ppo with instant: Instant(gain=1.0)" in refused(run(*arguments))


# ── entry points ─────────────────────────────────────────────────────────────────────────────────


def install(target, name, entry_points, modules):
    """Build a wheel of a distribution, and install it into a directory with pip, without a network."""
    module, info = name.replace("-", "_"), f"{name.replace('-', '_')}-1.2.dist-info"
    files = {f"{path}": text for path, text in modules.items()}
    files |= {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": entry_points,
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    wheel = target / f"{module}-1.2-py3-none-any.whl"
    target.mkdir(exist_ok=True)
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    options = ["--no-index", "--no-deps", "--quiet", "--disable-pip-version-check", "--target", str(target)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(wheel)], check=True, timeout=300)


KIT = """[alsim.policies]
kit = alsim_kit.policies:Teacher
kit-ready = alsim_kit.policies:ready
[alsim.dynamics]
instant = alsim_kit.dynamics
"""


BROKEN = """[alsim.policies]
wrong = alsim_broken:Missing
number = alsim_broken:number
uniform = alsim_broken:number
[alsim.dynamics]
silent = alsim_broken
lost = alsim_broken.nowhere
standard = alsim_broken
"""


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """Install the distributions of these tests with pip, once: each takes seconds."""
    pytest.importorskip("pip")
    modules = {
        "alsim_kit/__init__.py": "",
        "alsim_kit/policies.py": POLICY + "\nready = Teacher(3)\n",
        "alsim_kit/dynamics.py": RULES.replace("from instant_parameters import Instant", PARAMETERS),
    }
    target = tmp_path_factory.mktemp("distributions")
    install(target / "site", "alsim-kit", KIT, modules)
    install(target / "site2", "alsim-broken", BROKEN, {"alsim_broken.py": "number = 3\n"})
    install(target / "site3", "alsim-twin", "[alsim.policies]\nkit = alsim_twin:Other\n", {"alsim_twin.py": ""})
    return target


@pytest.fixture
def kit(folder, distributions, monkeypatch):
    """Make a distribution with plugins, `alsim-kit`, importable."""
    shutil.copytree(distributions / "site", folder / "site")
    monkeypatch.syspath_prepend(folder / "site")
    return folder


@pytest.mark.ci
@pytest.mark.versionless
def test_installed_plugins_are_found_by_name(run, kit):
    assert known_policies() == [*POLICIES, "kit", "kit-ready"]
    assert "alsim_kit" not in sys.modules  # found, not loaded
    assert make_policy("rules").name == "rules"
    assert "alsim_kit" not in sys.modules
    accepted(run(*GENERATE, "--policy", "kit:4", "--dynamics", "instant", "--out", "d"))
    dataset = load_dataset("d")
    assert dataset.manifest["policy"] == {"name": "kit:4"}
    assert dataset.manifest["config"]["dynamics"]["name"] == "instant"
    assert make_policy("epsilon-greedy:kit-ready:0.5").base.action == 3
    err = refused(run(*GENERATE, "--policy", "other", "--out", "e"))
    assert "known are uniform, rules, epsilon-greedy:POLICY:EPSILON, " in err and ", kit[:ACTION], " in err
    printed = accepted(run("policies"))
    assert "kit[:ACTION]" in printed and "alsim_kit" in printed
    assert alsim.Config.read({"dynamics": "instant"}).to_dict()["dynamics"]["name"] == "instant"


@pytest.mark.ci
def test_a_new_process_finds_them(kit):
    root = Path(alsim.__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": f"{kit / 'site'}{os.pathsep}{root}", "NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-m", "alsim", *map(str, GENERATE), "--policy", "kit", "--dynamics", "instant"]
    done = subprocess.run([*command, "--out", "d"], env=environment, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.ci
def test_a_worker_that_knows_only_the_parameters_loads_the_plugin(folder, monkeypatch):
    """Unpickling a configuration imports the module of the parameters, which does not register them."""
    pytest.importorskip("pip")
    install(folder / "site", "alsim-kit", "[alsim.dynamics]\ninstant = alsim_kit\n", {"alsim_kit.py": RULES})
    monkeypatch.syspath_prepend(folder / "site")
    monkeypatch.syspath_prepend(folder)
    from instant_parameters import Instant

    assert of_parameters(Instant).name == "instant"
    with pytest.raises(TypeError, match="must be of a registered class, Standard .*; got tuple; register it with"):
        of_parameters(tuple)


@pytest.fixture
def broken(kit, distributions, monkeypatch):
    """Make a distribution with plugins that cannot be used importable, and one with a name in use."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(distributions / "site2"), str(distributions / "site3")])
    return kit


@pytest.mark.ci
def test_a_broken_plugin_gives_a_warning_with_its_distribution(broken):
    with pytest.warns(PluginWarning) as caught:
        load_plugins()
    messages = {str(warning.message) for warning in caught}
    title = "the entry point {!r} (alsim.policies) of {} 1.2 "
    assert messages == {
        title.format("wrong", "alsim-broken")
        + "cannot be loaded: AttributeError: module 'alsim_broken' has no attribute 'Missing'; update or uninstall "
        "alsim-broken",
        title.format("number", "alsim-broken")
        + "must be a class, a function or a policy; got 3; update or uninstall alsim-broken",
        title.format("uniform", "alsim-broken")
        + "is ignored: the name is already registered; ask its authors for another name",
        title.format("kit", "alsim-twin")
        + "is ignored: the entry point 'kit' (alsim.policies) of alsim-kit 1.2 has the same name; uninstall one of "
        "them",
    }
    assert make_policy("uniform").name == "uniform"
    assert {"kit", "kit-ready"} <= set(POLICIES)
    assert not {"wrong", "number"} & set(POLICIES)


@pytest.mark.heavy
def test_a_broken_dynamics_gives_a_warning_with_its_distribution(broken):
    for name, message in (
        ("silent", "does not register a dynamics of this name; update or uninstall alsim-broken"),
        ("lost", "cannot be loaded: ModuleNotFoundError: No module named 'alsim_broken.nowhere'"),
    ):
        with pytest.warns(PluginWarning) as caught, pytest.raises(alsim.ConfigError, match="registered dynamics"):
            alsim.Config.read({"dynamics": name})
        assert any(message in str(warning.message) for warning in caught)
        assert any(
            "'standard' (alsim.dynamics) of alsim-broken 1.2 is ignored" in str(warning.message) for warning in caught
        )


@pytest.mark.filterwarnings("default")
def test_the_command_line_prints_warnings_as_one_line(run, broken):
    status, printed, err = run("policies")
    assert status == 0
    assert "kit[:ACTION]" in printed
    assert len(err.splitlines()) == 4, err
    assert all(line.startswith("alsim: the entry point '") for line in err.splitlines())
    status, _, err = run(*GENERATE, "--policy", "wrong", "--out", "d")
    assert status == 2
    assert "unknown policy 'wrong'; known are uniform" in err
    assert "wrong" not in err.partition("unknown policy 'wrong'")[2]


def test_the_name_of_an_unusable_plugin_is_not_suggested(broken):
    for settings in ({"dynamics": "silent"}, {"config": {"dynamics": "silent"}}):
        with pytest.warns(PluginWarning), pytest.raises(alsim.AlsimError) as caught:
            alsim.rollout("uniform", num_learners=1, **settings)
        assert "instant, lost" in str(caught.value) and "silent, " not in str(caught.value)


def test_a_plugin_whose_name_is_not_in_the_grammar_gives_a_warning(folder, monkeypatch):
    pytest.importorskip("pip")
    install(folder / "site", "alsim-colon", "[alsim.policies]\na:b = alsim_colon:T\n", {"alsim_colon.py": POLICY})
    monkeypatch.syspath_prepend(folder / "site")
    with pytest.warns(PluginWarning, match="'a:b' .* is ignored: its name has a colon, a parenthesis or outer space; "):
        assert known_policies() == list(POLICIES)
