"""Compiled code on disk: never stale, whoever wrote the rules, and never in the way of another process."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import alsim
from alsim.jit.cache import CACHE_DIRECTORY, fingerprint
from alsim.jit.compile import COMPILED
from alsim.simulator import step as step_kernels

pytestmark = pytest.mark.compiled

RULES = """
from typing import NamedTuple
import settings
import alsim
from alsim.dynamics import standard
from alsim.types import Learner, Outcome, f32, i32

class Flat(NamedTuple):
    rate: float = 1.0

@alsim.rule
def answer(p, learner, item, draws):
    gain = p.rate * settings.GAIN * (f32(1) - learner.mastery)
    after = Learner(
        mastery=learner.mastery + gain, ability=learner.ability, frustration=f32(0), response_time=f32(10),
        fail_streak=i32(0),
    )
    return after, Outcome(correct=True, gain=gain)

@alsim.rule
def study(p, learner, item, draws):
    after = Learner(
        mastery=learner.mastery, ability=learner.ability, frustration=f32(0), response_time=learner.response_time,
        fail_streak=i32(0),
    )
    return after, Outcome(correct=False, gain=f32(0))

alsim.register_dynamics("flat", Flat, answer, study)
"""

ASK_ONCE = """
import sys, alsim
{imports}
env = alsim.AdaptiveLearningEnv(dynamics={dynamics!r})
before = env.reset(seed=0)[0][0]
print((env.step(0)[0][0] - before) / (1 - before))
"""


def ask_once(folder: Path, cache: Path, dynamics: str) -> float:
    """Mastery gained by the first question as a share of what was left, in a process of its own."""
    script = ASK_ONCE.format(imports="import rules" if dynamics == "flat" else "", dynamics=dynamics)
    package = str(Path(alsim.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env={**os.environ, "ALSIM_CACHE_DIR": str(cache), "PYTHONPATH": os.pathsep.join([str(folder), package])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


@pytest.mark.ci
@pytest.mark.versionless
def test_rules_from_elsewhere_are_never_stale(tmp_path: Path) -> None:
    """What a rule names changes, and the rule's own code does not: what it does changes, though all is cached."""
    folder, cache = tmp_path / "theirs", tmp_path / "cache"
    folder.mkdir()
    # With the package's own machine code, which takes a while; what others are writing has a name of its own.
    here = cast(Path, CACHE_DIRECTORY)
    shutil.copytree(here, cache / here.name, ignore=shutil.ignore_patterns("*.tmp.*"))
    (folder / "rules.py").write_text(RULES)
    for gain in (0.25, 0.75):
        (folder / "settings.py").write_text(f"import numpy\nGAIN = numpy.float32({gain})\n")
        assert ask_once(folder, cache, "flat") == pytest.approx(gain, abs=1e-6)
    # And whoever cannot import those rules is not kept from the package's own by a cache that knows them.
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    gained = ask_once(elsewhere, cache, "standard")
    assert gained == pytest.approx(0.05, abs=1e-6) or gained == 0


def test_a_changed_source_has_a_cache_of_its_own(tmp_path: Path) -> None:
    """An edit of a file that kernels can reach gives another directory; an edit of another file does not."""
    package = Path(alsim.__file__).parent
    shutil.copytree(package, tmp_path / "alsim", ignore=shutil.ignore_patterns("__pycache__"))
    script = "import alsim.jit.cache as j; print(j.CACHE_DIRECTORY.name)"

    def name() -> str:
        environment = {**os.environ, "PYTHONPATH": str(tmp_path), "ALSIM_CACHE_DIR": str(tmp_path / "cache")}
        return subprocess.run(
            [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        ).stdout.strip()

    first = name()
    assert first == name()
    for file in ("cli/app.py", "datasets/store.py", "training/run.py", "envs/vector.py", "__init__.py"):
        without_kernels = tmp_path / "alsim" / file
        without_kernels.write_text(without_kernels.read_text() + "\n")
    assert name() == first
    for file in ("dynamics/irt.py", "types.py", "mdp/actions.py", "models/bkt/kernels.py", "jit/references.py"):
        rule = tmp_path / "alsim" / file
        rule.write_text(rule.read_text() + "\n")
        assert name() != first
        first = name()


@pytest.mark.skipif(not COMPILED, reason="the interpreter has no cache")
def test_this_process_has_a_cache() -> None:
    """Else every test run would compile anew, and nobody would notice."""
    assert CACHE_DIRECTORY is not None
    assert CACHE_DIRECTORY.is_dir()


def test_fingerprint_sees_code_and_constants() -> None:
    """Two functions that differ in a constant only have different fingerprints; the same code has the same."""

    def one(x: float) -> float:
        return x + 1.5

    def other(x: float) -> float:
        return x + 2.5

    def same(x: float) -> float:
        return x + 1.5

    def default(x: float, k: float = 1.5) -> float:
        return x + k

    def other_default(x: float, k: float = 2.5) -> float:
        return x + k

    def nested(x: float) -> float:
        return (lambda y: y + 1.5)(x)

    def other_nested(x: float) -> float:
        return (lambda y: y + 2.5)(x)

    long, other_long = np.zeros(2000), np.zeros(2000)
    other_long[1000] = 1

    def looks_up(x: int) -> float:
        return float(long[x])

    def looks_up_other(x: int) -> float:
        return float(other_long[x])

    assert fingerprint(int, default) != fingerprint(int, other_default)
    assert fingerprint(int, nested) != fingerprint(int, other_nested)
    assert fingerprint(int, looks_up) != fingerprint(int, looks_up_other)
    assert fingerprint(int, one) == fingerprint(int, same)
    assert fingerprint(int, one) != fingerprint(int, other)
    assert fingerprint(int, one) != fingerprint(float, one)


def test_fingerprint_sees_the_order_of_parameters() -> None:
    """Compiled code looks fields up by their place."""

    def rule(p: Any) -> float:
        return float(p.rate)

    def parameters(*names: str) -> Any:
        return namedtuple("Flat", names, module="elsewhere")

    assert fingerprint(parameters("rate", "unused"), rule) == fingerprint(parameters("rate", "unused"), rule)
    assert fingerprint(parameters("rate", "unused"), rule) != fingerprint(parameters("unused", "rate"), rule)


def test_a_shared_folder_loses_old_caches_and_nothing_else(tmp_path: Path) -> None:
    """Whoever points the cache at a folder of their own finds in it all that they had."""
    theirs = [tmp_path / name for name in (*(f"thesis-{k}" for k in range(12)), "alsim-kernels-notes")]
    old = [tmp_path / f"alsim-kernels-{k:016x}" for k in range(12)]
    for age, folder in enumerate([*theirs, *old]):
        folder.mkdir()
        (folder / "file").write_text("kept")
        os.utime(folder, (age, age))
    (tmp_path / "alsim-kernels-0123456789abcdef").symlink_to(theirs[0])
    script = "import alsim.jit.cache as j; print(j.CACHE_DIRECTORY.name)"
    environment = {**os.environ, "ALSIM_CACHE_DIR": str(tmp_path)}
    mine = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert all((folder / "file").read_text() == "kept" for folder in theirs)
    left = {p.name for p in tmp_path.glob("alsim-kernels-*") if p.is_dir() and not p.is_symlink()} - {theirs[-1].name}
    assert left == {mine.stdout.strip(), *(folder.name for folder in old[-7:])}


def test_a_cache_that_cannot_be_is_passed_over(tmp_path: Path) -> None:
    """A file where the folder should be: the next place is taken, and nothing fails."""
    (tmp_path / "file").write_text("")
    script = "import alsim.jit.cache as j; print(j.CACHE_DIRECTORY)"
    environment = {**os.environ, "ALSIM_CACHE_DIR": str(tmp_path / "file")}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() not in ("", "None")
    assert not done.stdout.startswith(str(tmp_path))


def test_a_pickled_environment_needs_no_other_machine_code() -> None:
    """What a worker receives by pickle is of the types that were compiled for."""
    envs = alsim.AdaptiveLearningVectorEnv(3)
    envs.reset(seed=0)
    kernels = (step_kernels.step, step_kernels.begin_lanes, step_kernels.first_invalid)
    before = [len(kernel.signatures) for kernel in kernels]
    again = pickle.loads(pickle.dumps(envs))
    again.step([0, 1, 2])
    again.reset()
    assert [len(kernel.signatures) for kernel in kernels] == before
