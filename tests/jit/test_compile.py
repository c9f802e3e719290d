"""The compile cache: never stale, also for rules from outside the package, and safe for other processes."""

from __future__ import annotations

import gc
import os
import pickle
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from typing import Any, cast

import numba
import numpy as np
import pytest

import alsim
from alsim.jit import references
from alsim.jit.cache import CACHE_DIRECTORY
from alsim.jit.compile import COMPILED, kernel, rule
from alsim.jit.fingerprints import fingerprint
from alsim.simulator import step as step_kernels

pytestmark = [pytest.mark.compiled, pytest.mark.numba]

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

ONE_QUESTION = """
import sys, alsim
{imports}
env = alsim.AdaptiveLearningEnv(dynamics={dynamics!r})
before = env.reset(seed=0)[0][0]
print((env.step(0)[0][0] - before) / (1 - before))
"""


def gain_of_one_question(folder: Path, cache: Path, dynamics: str) -> float:
    """Return the gain of the first question, as a share of the missing mastery, computed in another process."""
    script = ONE_QUESTION.format(imports="import rules" if dynamics == "flat" else "", dynamics=dynamics)
    package = str(Path(alsim.__file__).parent.parent)
    process = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env={**os.environ, "ALSIM_CACHE_DIR": str(cache), "PYTHONPATH": os.pathsep.join([str(folder), package])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return float(process.stdout)


@pytest.mark.ci
@pytest.mark.versionless
def test_rules_from_elsewhere_are_never_stale(tmp_path: Path) -> None:
    """A constant that a rule refers to changes, but not the code of the rule: the cached code is not used."""
    folder, cache = tmp_path / "user", tmp_path / "cache"
    folder.mkdir()
    # The cache starts with the package's own machine code, which takes long to compile. Another process may be
    # writing to it now: the names of unfinished files contain ".tmp.".
    source = cast(Path, CACHE_DIRECTORY)
    shutil.copytree(source, cache / source.name, ignore=shutil.ignore_patterns("*.tmp.*"))
    (folder / "rules.py").write_text(RULES)
    for gain in (0.25, 0.75):
        (folder / "settings.py").write_text(f"import numpy\nGAIN = numpy.float32({gain})\n")
        assert gain_of_one_question(folder, cache, "flat") == pytest.approx(gain, abs=1e-6)
    # A process that cannot import those rules can use the same cache for the package's own.
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    gain = gain_of_one_question(elsewhere, cache, "standard")
    assert gain == pytest.approx(0.05, abs=1e-6) or gain == 0


@pytest.mark.ci
@pytest.mark.versionless
def test_a_changed_source_has_another_cache_directory(tmp_path: Path) -> None:
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
    """Without a cache, every test run would compile everything again, unnoticed."""
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


def test_fingerprint_sees_the_fields_of_classes() -> None:
    """A NamedTuple that a rule makes of positional arguments has other values if its fields are in another order."""
    source = "def rule(x):\n    return Pair(x, 1).a"
    digests = []
    for fields, default in (("a b", 0), ("b a", 0), ("a b", 1), ("a b", 0)):
        names = {"__name__": "outside", "Pair": namedtuple("Pair", fields, defaults=(default,))}
        exec(source, names)
        digests.append(fingerprint(int, names["rule"]))
    assert len(set(digests[:3])) == 3 and digests[3] == digests[0]


def test_fingerprint_sees_globals_of_nested_code_and_no_attributes() -> None:
    """A comprehension or a lambda is a code object of its own; `p.rate` does not refer to the variable `rate`."""
    text = "def rule(p): return p.rate + sum([RATE * x for x in (1, 2)]) + (lambda y: y * OTHER)(p.rate)"

    def rule(**names: float) -> Any:
        namespace = {"__name__": "rules", "RATE": 1.0, "OTHER": 1.0, **names}
        exec(text, namespace)
        return namespace["rule"]

    assert fingerprint(int, rule()) == fingerprint(int, rule(rate=3.0))
    assert len({fingerprint(int, made) for made in (rule(), rule(RATE=2.0), rule(OTHER=2.0))}) == 3


def test_fingerprint_sees_the_order_of_parameters() -> None:
    """Compiled code accesses fields by their position."""

    def rule(p: Any) -> float:
        return float(p.rate)

    def parameters(*names: str) -> Any:
        return namedtuple("Flat", names, module="elsewhere")

    assert fingerprint(parameters("rate", "unused"), rule) == fingerprint(parameters("rate", "unused"), rule)
    assert fingerprint(parameters("rate", "unused"), rule) != fingerprint(parameters("unused", "rate"), rule)


def test_only_old_caches_are_deleted_from_a_shared_directory(tmp_path: Path) -> None:
    """A directory named by ALSIM_CACHE_DIR keeps all other files, including links and similar names."""
    foreign = [tmp_path / name for name in (*(f"thesis-{k}" for k in range(12)), "alsim-kernels-notes")]
    old = [tmp_path / f"alsim-kernels-{k:016x}" for k in range(12)]
    for age, folder in enumerate([*foreign, *old]):
        folder.mkdir()
        (folder / "file").write_text("kept")
        os.utime(folder, (age, age))
    (tmp_path / "alsim-kernels-0123456789abcdef").symlink_to(foreign[0])
    script = "import alsim.jit.cache as j; print(j.CACHE_DIRECTORY.name)"
    environment = {**os.environ, "ALSIM_CACHE_DIR": str(tmp_path)}
    process = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert all((folder / "file").read_text() == "kept" for folder in foreign)
    left = {p.name for p in tmp_path.glob("alsim-kernels-*") if p.is_dir() and not p.is_symlink()} - {foreign[-1].name}
    assert left == {process.stdout.strip(), *(folder.name for folder in old[-7:])}


def test_an_invalid_cache_directory_is_skipped(tmp_path: Path) -> None:
    """ALSIM_CACHE_DIR names a file: the next candidate is used, without an error."""
    (tmp_path / "file").write_text("")
    script = "import alsim.jit.cache as j; print(j.CACHE_DIRECTORY)"
    environment = {**os.environ, "ALSIM_CACHE_DIR": str(tmp_path / "file")}
    process = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert process.stdout.strip() not in ("", "None")
    assert not process.stdout.startswith(str(tmp_path))


def test_an_unpickled_environment_compiles_nothing() -> None:
    """An unpickled environment has arrays of the same types as the original."""
    envs = alsim.AdaptiveLearningVectorEnv(3)
    envs.reset(seed=0)
    kernels = (step_kernels.step, step_kernels.begin_lanes, step_kernels.first_invalid)
    before = [len(kernel.signatures) for kernel in kernels]
    copy = pickle.loads(pickle.dumps(envs))
    copy.step([0, 1, 2])
    copy.reset()
    assert [len(kernel.signatures) for kernel in kernels] == before


def test_two_classes_of_parameters_with_the_same_name_are_different_types() -> None:
    """Otherwise the kernels of a second dynamics of a process are not compiled, unless they are in the cache."""

    def type_of(parameters: Any) -> Any:
        return references.ReferenceType(numba.types.NamedTuple([numba.float32], parameters))

    one, two = (namedtuple("Instant", ["gain"]) for _ in range(2))
    assert type_of(one) == type_of(one)
    assert hash(type_of(one)) == hash(type_of(one))
    assert type_of(one) != type_of(two)


@pytest.mark.compiled
def test_a_rule_is_called_from_python_and_from_compiled_code_of_others() -> None:
    """Calls from compiled code use specialisations without machine code of their own, which Python cannot call."""

    @rule
    def doubled(x: float) -> float:
        return x + x

    @numba.njit
    def total(n: int) -> float:
        return sum([doubled(float(k)) for k in range(n)])

    assert total(4) == 12
    assert len(doubled.callee.overloads) == 1 and not doubled.signatures  # type: ignore[attr-defined]
    assert doubled(1.5) == 3
    assert len(doubled.signatures) == 1  # type: ignore[attr-defined]


@pytest.mark.compiled
def test_a_lean_kernel_cannot_create_arrays() -> None:
    """An array that nothing counts would never be freed; the kernel does not compile instead."""

    def leak(n: int) -> int:
        return len(np.zeros(n))

    with pytest.raises(numba.core.errors.NumbaError, match="Only accept returning of array passed into the function"):
        kernel(leak, None, allocates=False)(3)
    assert kernel(leak, None)(3) == 3
    assert gc.isenabled()  # compilations pause the collection of cycles
