"""Compiled kernels on disk: damaged, full and unreadable caches."""

import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from alsim.jit.cache import COMPILED

pytestmark = [
    pytest.mark.ci,
    pytest.mark.compiled,
    pytest.mark.versionless,
    pytest.mark.skipif(not COMPILED, reason="the interpreter compiles nothing"),
]

KERNEL = """
import logging, sys
from pathlib import Path
from typing import NamedTuple
import numpy as np
from alsim.jit.compile import kernel

def total(values):
    result = 0.0
    for k in range(len(values)):
        result += values[k]
    return result

compiled = kernel(total, Path(sys.argv[1]))
print(compiled(np.arange(4.0)), compiled(np.arange(5)))
"""
WARNING = re.compile(
    r"alsim: the cache of compiled kernels cannot be (read|written) \(.*\), so kernels are compiled again; "
    r"delete .*, or set ALSIM_CACHE_DIR to another directory\n"
)


class Program(NamedTuple):
    """A program whose kernel is compiled for two types, and its cache."""

    script: Path
    cache: Path

    def run(self, limit: int | None = None) -> str:
        """Run the program in a new process, and return its warnings.

        limit  largest size of a file, bytes; None for no limit
        """

        def set_limit() -> None:
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        done = subprocess.run(
            [sys.executable, self.script, self.cache],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            timeout=120,
            preexec_fn=set_limit,
        )
        assert (done.returncode, done.stdout) == (0, "6.0 10.0\n"), done.stderr
        return "".join(line for line in done.stderr.splitlines(keepends=True) if "alsim: compiling" not in line)

    def files(self, ending: str) -> list[Path]:
        """Return the files of the cache whose names have an ending."""
        return [file for file in self.cache.rglob(f"*{ending}") if file.is_file()]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Program:
    folder = tmp_path_factory.mktemp("compiled")
    (folder / "program.py").write_text(KERNEL)
    program = Program(folder / "program.py", folder / "cache")
    assert program.run() == ""
    assert (len(program.files(".nbi")), len(program.files(".nbc"))) == (1, 2)
    return program


@pytest.fixture
def program(compiled: Program, tmp_path: Path) -> Program:
    """The program with a copy of its cache."""
    shutil.copytree(compiled.cache, tmp_path / "cache")
    return Program(compiled.script, tmp_path / "cache")


def flipped(content: bytes) -> bytes:
    """Return the content with one bit changed in the middle, in machine code or in what describes it."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "zeros": lambda content: bytes(len(content)),
    "random": lambda content: np.random.default_rng(0).bytes(len(content)),
    "a bit": flipped,
}


@pytest.mark.parametrize("ending", [".nbi", ".nbc"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_replaced(program: Program, damage: str, ending: str) -> None:
    """The process that finds it compiles again and says so; the next one loads the result."""
    for file in program.files(ending):
        file.write_bytes(DAMAGES[damage](file.read_bytes()))
    assert WARNING.fullmatch(program.run())
    assert program.run() == ""


def test_a_kernel_of_another_type_is_not_used(program: Program) -> None:
    """Two processes that compile at the same time may store two kernels under one name, and one of them remains."""
    first, second = program.files(".nbc")
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    assert program.run() == ""
    assert program.run() == ""


@pytest.mark.parametrize("ending", [".nbi", ".nbc"])
def test_a_file_that_cannot_be_read_or_replaced(program: Program, ending: str) -> None:
    for file in program.files(ending):
        file.unlink()
        file.mkdir()
    assert 1 <= len(WARNING.findall(program.run())) <= 2  # it can neither be read nor written


def test_a_full_disk(program: Program) -> None:
    """A limit of the file size stands for it. No part of a file remains under its name."""
    shutil.rmtree(program.cache)
    assert WARNING.fullmatch(program.run(limit=2000))
    assert program.run() == ""
    assert program.run(limit=2000) == ""  # nothing must be written
