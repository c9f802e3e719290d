"""The native step: compiles `step.c` once a source and compiler, and binds it."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from functools import lru_cache
from pathlib import Path

SOURCE = Path(__file__).parent / "step.c"
FLAGS = ("-O3", "-march=native", "-ffast-math", "-fopenmp-simd", "-mprefer-vector-width=512", "-fPIC")
LIBRARIES = ("-lmvec", "-lm")


class NoCompiler(ImportError):
    """There is no compiler for the native step here: it is left out."""


class World(ctypes.Structure):
    """As `World` of step.c; arrays by their addresses."""

    POINTERS = (
        *("rows", "ability", "frustration", "response_time", "mastery_sum", "fail_streak", "step", "episode"),
        *("learner", "first", "meaning", "steepness", "place", "guessing", "time_mean", "time_std"),
        *("actions", "observations", "rewards", "terminated", "truncated"),
    )
    _fields_ = (
        ("lanes", ctypes.c_int64),
        ("seed", ctypes.c_uint64),
        *((name, ctypes.c_void_p) for name in POINTERS),
    )


def compiler() -> str:
    """Return the path of gcc; glibc's vectors of exp, log and cos are for x86-64."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise NoCompiler(
            f"the native step is written for Linux on x86-64; this is {sys.platform}, {platform.machine()}"
        )
    found = shutil.which("gcc")
    if found is None:
        raise NoCompiler("there is no gcc")
    return found


@lru_cache
def library() -> ctypes.CDLL:
    """Return the compiled step."""
    cc = compiler()
    version = subprocess.run([cc, "--version"], check=True, capture_output=True, text=True).stdout
    name = hashlib.sha256("\0".join((SOURCE.read_text(), version, *FLAGS, _machine())).encode()).hexdigest()[:16]
    folder = _cache()
    built = folder / f"step-{name}.so"
    if not built.exists():
        _build(cc, built)
    loaded = ctypes.CDLL(str(built))
    loaded.step.argtypes, loaded.step.restype = (ctypes.c_void_p,), None
    loaded.draw_only.argtypes, loaded.draw_only.restype = (ctypes.c_void_p,), ctypes.c_float
    return loaded


def _build(cc: str, built: Path) -> None:
    """Compile to `built`, whole or not at all: another process may want it at the same time."""
    with tempfile.TemporaryDirectory(dir=built.parent) as folder:
        compiled, linked = Path(folder, "step.o"), Path(folder, "step.so")
        subprocess.run([cc, *FLAGS, "-c", str(SOURCE), "-o", str(compiled)], check=True)
        # Linked apart, without -ffast-math: gcc's start-up code for it flushes denormals in the whole process.
        subprocess.run([cc, "-shared", str(compiled), "-o", str(linked), *LIBRARIES], check=True)
        os.replace(linked, built)


def _cache() -> Path:
    """Return a folder that is the user's own: a library that others may write is not to be loaded."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base, "alsim-benchmarks")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _machine() -> str:
    """Return what -march=native depends on, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line for line in lines if line.startswith("flags")), "")
