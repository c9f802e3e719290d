"""Native step: `step.c`, compiled once for each version of the source and of the compiler, and loaded by ctypes."""

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
    """The native step cannot be compiled on this machine; benchmarks leave it out."""


class World(ctypes.Structure):
    """`World` of step.c, in which pointers are the addresses of arrays."""

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
    """Return the path of gcc. Raises NoCompiler except on x86-64 Linux, where glibc has vectorised exp, log and cos."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise NoCompiler(f"the native step needs Linux on x86-64; got {sys.platform} on {platform.machine()}")
    found = shutil.which("gcc")
    if found is None:
        raise NoCompiler("the native step needs gcc, which is not on the PATH; install gcc")
    return found


@lru_cache
def library() -> ctypes.CDLL:
    """Return the library with the compiled step. Raises NoCompiler."""
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
    """Compile to `built`. The file is written atomically, because another process may compile it at the same time."""
    with tempfile.TemporaryDirectory(dir=built.parent) as folder:
        compiled, linked = Path(folder, "step.o"), Path(folder, "step.so")
        subprocess.run([cc, *FLAGS, "-c", str(SOURCE), "-o", str(compiled)], check=True)
        # Linked without -ffast-math, which would add start-up code that flushes denormals in the entire process.
        subprocess.run([cc, "-shared", str(compiled), "-o", str(linked), *LIBRARIES], check=True)
        os.replace(linked, built)


def _cache() -> Path:
    """Return the folder of compiled libraries: the user's own cache, in which other users cannot replace a library."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base, "alsim-benchmarks")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _machine() -> str:
    """Return the processor's flags, on which -march=native depends, or "" if the system does not report them."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line for line in lines if line.startswith("flags")), "")
