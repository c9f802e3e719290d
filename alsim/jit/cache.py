"""Cache directory of compiled kernels, named after a digest of all source files that kernels can reach."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numba

# numba leaves its settings untyped.
config: Any = numba.config

COMPILED: bool = not config.DISABLE_JIT
"""True unless NUMBA_DISABLE_JIT is 1, under which kernels run in the Python interpreter."""

PREFIX = "alsim-kernels-"
_KEPT_CACHES = 8  # enough for several versions of the sources and settings of numba; each takes a few MB
PACKAGE = Path(__file__).parent.parent
"""Directory of the package."""

_COMPILED_CODE = re.compile(r"^@(rule|phase|sequence|kernel|lean_kernel|dispatch)\b", re.MULTILINE)
_IMPORT = re.compile(r"^from (alsim[\w.]*) import (\([^)]*\)|[^\n(]+)", re.MULTILINE)


def kernel_sources() -> list[Path]:
    """Return the source files that compiled code can reach, sorted.

    These are the files that define compiled functions, and all files of the package that they import at module
    level, directly or indirectly. This includes the module-level imports of a package's `__init__`.
    """
    files = sorted(path for path in PACKAGE.rglob("*.py") if not path.name.startswith("."))  # no files of editors
    sources = {path: path.read_text(encoding="utf-8") for path in files}
    reached = {path for path in files if path.parent == Path(__file__).parent}
    waiting = [path for path, text in sources.items() if _COMPILED_CODE.search(text)]
    while waiting:
        path = waiting.pop()
        if path not in reached:
            reached.add(path)
            waiting += [imported for imported in _imports(sources[path]) if imported in sources]
    return sorted(reached)


def _imports(text: str) -> Iterator[Path]:
    """Yield the files that a module-level import may load; some of them may not exist."""
    for module, names in _IMPORT.findall(text):
        base = PACKAGE.joinpath(*module.split(".")[1:])
        yield base.with_suffix(".py")
        if base == PACKAGE:
            continue  # `from alsim import name` loads a public name when it is used
        yield base / "__init__.py"
        for name in re.findall(r"\w+", names):
            yield base / f"{name}.py"


def _source_hash() -> str:
    """Return a digest of the sources that kernels can reach, and of the settings of numba that affect machine code.

    numba's own cache notices edits of the file that defines a kernel, but not of the files whose functions it
    calls, and would then run outdated machine code. One directory per version of the sources prevents that.
    """
    digest = hashlib.sha256(f"{numba.__version__} boundscheck={config.BOUNDSCHECK} opt={config.OPT}".encode())
    for path in kernel_sources():
        digest.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _candidates() -> Iterator[Path]:
    """Yield the directories that may hold the cache, in order of preference."""
    if chosen := os.environ.get("ALSIM_CACHE_DIR"):
        yield Path(chosen)
    if chosen := os.environ.get("NUMBA_CACHE_DIR"):
        yield Path(chosen) / "alsim"
    yield PACKAGE / "__pycache__" / "kernels"
    if local := os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA"):  # the latter on Windows
        yield Path(local) / "alsim"
    elif home := os.environ.get("HOME"):
        yield Path(home) / ".cache" / "alsim"


def _cache_directory() -> Path | None:
    """Return the directory of compiled kernels, or None if no candidate is writable."""
    if os.environ.get("ALSIM_CACHE_DIR") == "":
        return None
    name = PREFIX + _source_hash()
    for base in _candidates():
        directory = base / name
        try:
            directory.mkdir(parents=True, exist_ok=True)
            _create_and_delete_file(directory)
        except OSError:
            continue
        _prune(base, keep=directory)
        return directory
    return None


def _create_and_delete_file(directory: Path) -> None:
    """Raise OSError unless files can be created and deleted in a directory.

    `tempfile` is not used: on Windows, it takes a refusal for a name in use, and tries up to 2**31 other names.
    """
    file = directory / f".{os.getpid()}-{secrets.token_hex(8)}"
    file.touch(exist_ok=False)
    file.unlink()


def _prune(base: Path, keep: Path) -> None:
    """Delete the oldest caches of earlier versions of the sources; other entries of the directory are kept."""
    try:
        caches = [p for p in base.glob(f"{PREFIX}*") if re.fullmatch(f"{PREFIX}[0-9a-f]{{16}}", p.name) and p != keep]
        stale = sorted((p for p in caches if p.is_dir() and not p.is_symlink()), key=lambda p: p.stat().st_mtime)
    except OSError:
        return
    for directory in stale[: max(0, len(stale) + 1 - _KEPT_CACHES)]:
        shutil.rmtree(directory, ignore_errors=True)


CACHE_DIRECTORY: Path | None = _cache_directory() if COMPILED else None
"""Directory where this process stores compiled kernels; None if kernels are compiled again in every process."""
