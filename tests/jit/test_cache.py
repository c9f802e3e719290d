"""The directory of the compile cache, and the notice of a compilation."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

import alsim
from alsim.jit import cache
from alsim.jit.compile import COMPILED
from alsim.jit.notice import STORED

pytestmark = pytest.mark.numba

SAMPLE_BANK = "import alsim; alsim.sample_bank(alsim.Config())"
"""Runs one small kernel, which compiles in about a second."""


def simulate_windows(monkeypatch: pytest.MonkeyPatch, local: Path, locked: Path) -> list[Path]:
    """Set the variables of Windows, and refuse files in one directory; return the list of refused files."""
    refused: list[Path] = []
    touch = Path.touch

    def refusing(self: Path, *arguments: Any, **options: Any) -> None:
        if self.is_relative_to(locked):
            refused.append(self)
            raise PermissionError(13, "Permission denied", str(self))
        touch(self, *arguments, **options)

    for name in ("ALSIM_CACHE_DIR", "NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LOCALAPPDATA", str(local))
    monkeypatch.setattr(Path, "touch", refusing)
    monkeypatch.setattr(cache, "PACKAGE", locked)
    monkeypatch.setattr(cache, "_source_hash", lambda: "0" * 16)
    return refused


def test_on_windows_a_refused_file_is_tried_once_and_the_user_directory_is_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`tempfile` would try other names: Windows refuses a file with the error of a name that is in use."""

    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("the probe must not use tempfile")

    refused = simulate_windows(monkeypatch, tmp_path / "Local", tmp_path / "installed")
    monkeypatch.setattr(tempfile, "TemporaryFile", fail)
    assert cache._cache_directory() == tmp_path / "Local" / "alsim" / f"{cache.PREFIX}{'0' * 16}"
    assert len(refused) == 1
    assert list((tmp_path / "Local" / "alsim" / f"{cache.PREFIX}{'0' * 16}").iterdir()) == []


def test_without_a_writable_directory_there_is_no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = simulate_windows(monkeypatch, tmp_path / "Local", tmp_path)
    assert cache._cache_directory() is None
    assert len(refused) == 2


def test_temporary_files_next_to_outputs_are_not_made_by_tempfile() -> None:
    """In a directory of the user that refuses files, `tempfile` tries 2**31 names on Windows."""
    package = Path(alsim.__file__).parent
    used = re.compile(r"tempfile\.\w+\([^)]*\bdir=|TemporaryFile")
    assert [str(file) for file in package.rglob("*.py") if used.search(file.read_text(encoding="utf-8"))] == []


def stderr_of(code: str, **environment: str) -> str:
    """Run Python code in another process, and return what it prints on stderr."""
    process = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, check=True
    )
    return process.stderr


@pytest.mark.ci
@pytest.mark.compiled
@pytest.mark.skipif(not COMPILED, reason="the interpreter compiles nothing")
def test_a_compilation_is_announced_once(tmp_path: Path) -> None:
    """From Python, on stderr, and not if the result is loaded from the cache."""
    first, second = (stderr_of(SAMPLE_BANK, ALSIM_CACHE_DIR=str(tmp_path)) for _ in range(2))
    assert first == (
        "alsim: compiling, once, about 10 s on an idle machine: later calls and processes load the result from disk\n"
    )
    assert second == ""


@pytest.mark.ci
@pytest.mark.compiled
@pytest.mark.skipif(not COMPILED, reason="the interpreter compiles nothing")
def test_a_compilation_without_a_cache_is_announced_with_the_cure() -> None:
    assert stderr_of(SAMPLE_BANK, ALSIM_CACHE_DIR="") == (
        "alsim: compiling, about 10 s on an idle machine, in every process, since there is no cache: "
        "set ALSIM_CACHE_DIR to a directory that is writable\n"
    )


@pytest.mark.ci
@pytest.mark.compiled
@pytest.mark.skipif(not COMPILED, reason="the interpreter compiles nothing")
def test_the_notice_can_be_silenced_and_other_functions_are_not_announced(tmp_path: Path) -> None:
    silenced = f"import logging; logging.getLogger('alsim').setLevel('ERROR'); {SAMPLE_BANK}"
    foreign = "import alsim.jit.compile, numba; numba.njit(lambda x: x + 1)(1)"
    for code in (silenced, foreign):
        assert stderr_of(code, ALSIM_CACHE_DIR=str(tmp_path)) == ""


POLICY = """
from typing import NamedTuple
import numpy as np
import alsim
from alsim.policies import PolicyDraws, RulePolicy, View
from alsim.policies.compiled import question_action

class Level(NamedTuple):
    level: float = 1.0

@alsim.rule
def choose(p, observation, inputs, words):
    return question_action(inputs, np.int64(0), np.int64(0)), np.float64(1)

class Asks(RulePolicy):
    name, parameters, choose = "asks", Level(), choose

view = View(np.zeros((1, 10), np.float32), "mastery", 3, np.ones(1, bool), np.zeros(1, np.float32))
Asks().act(view, PolicyDraws(lambda block: np.zeros((1, 4), np.uint32)))
"""


@pytest.mark.ci
@pytest.mark.versionless
@pytest.mark.compiled
@pytest.mark.skipif(not COMPILED, reason="the interpreter compiles nothing")
def test_rules_of_the_main_program_are_announced_as_compiled_in_every_process(tmp_path: Path) -> None:
    """numba saves a class of `__main__` by value, and another process does not find its kernels."""
    of_main = [stderr_of(POLICY, ALSIM_CACHE_DIR=str(tmp_path)) for _ in range(2)]
    assert of_main[0] == of_main[1] and "alsim: compiling the rule of the policy" in of_main[0]
    assert "in every process, since the main program or a notebook defines these rules" in of_main[0]
    (tmp_path / "asks.py").write_text(POLICY, encoding="utf-8")
    imported = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import asks"
    first, second = (stderr_of(imported, ALSIM_CACHE_DIR=str(tmp_path)) for _ in range(2))
    assert first.endswith("parameters Level, once" + STORED.partition("once")[2] + "\n")
    assert second == ""
