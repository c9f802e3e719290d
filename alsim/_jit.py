"""How code is compiled: the only module that knows numba.

Three decorators: `rule` for the scalar formulas that loops call, `phase` for a loop over one block of
learners, `kernel` for what Python calls. Without the JIT (``NUMBA_DISABLE_JIT=1``) each hands back the
Python function, and the same source runs in the interpreter, bit for bit the same: that is the second
oracle of the tests.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import EnumType
from functools import lru_cache
from pathlib import Path
from threading import Lock
from types import CodeType, FunctionType, ModuleType
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba import njit
from numba.core import types as _numba_types
from numba.core.cpu import CPUTargetOptions
from numba.core.options import TargetOptions
from numba.experimental import structref as _structref
from numba.extending import overload

from alsim.types import Output, World

F = TypeVar("F", bound=Callable[..., Any])

# numba leaves these untyped.
config: Any = numba.config
structref: Any = _structref
typeof: Any = numba.typeof
target_options: Any = CPUTargetOptions
numba_types: Any = _numba_types
intrinsic: Any = numba.extending.intrinsic

COMPILED: bool = not config.DISABLE_JIT
"""False under ``NUMBA_DISABLE_JIT=1``."""

_KEPT_CACHES = 8  # a few branches and flags side by side, a few MB each
PREFIX = "alsim-kernels-"


def _source_hash() -> str:
    """Return a digest of all the package's sources.

    numba's cache notices edits of the file that defines a kernel, and not of the files it calls
    into: stale machine code. A directory a version of the sources closes that hole.
    """
    digest = hashlib.sha256(f"{numba.__version__} boundscheck={config.BOUNDSCHECK}".encode())
    package = Path(__file__).parent
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _candidates() -> Iterator[Path]:
    """Places a cache may go, the wished-for first."""
    if chosen := os.environ.get("ALSIM_CACHE_DIR"):
        yield Path(chosen)
    if chosen := os.environ.get("NUMBA_CACHE_DIR"):
        yield Path(chosen) / "alsim"
    yield Path(__file__).parent / "__pycache__" / "kernels"
    if home := os.environ.get("XDG_CACHE_HOME") or os.environ.get("HOME"):
        yield (Path(home) if "XDG_CACHE_HOME" in os.environ else Path(home) / ".cache") / "alsim"


def _cache_directory() -> Path | None:
    """Return the directory of compiled kernels, or None where nothing can be written."""
    if os.environ.get("ALSIM_CACHE_DIR") == "":
        return None
    name = PREFIX + _source_hash()
    for base in _candidates():
        directory = base / name
        try:
            directory.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=directory):
                pass
        except OSError:
            continue
        _prune(base, keep=directory)
        return directory
    return None


def _prune(base: Path, keep: Path) -> None:
    """Delete the oldest caches of earlier versions of the sources; the folder may hold other things, too."""
    try:
        caches = [p for p in base.glob(f"{PREFIX}*") if re.fullmatch(f"{PREFIX}[0-9a-f]{{16}}", p.name) and p != keep]
        stale = sorted((p for p in caches if p.is_dir() and not p.is_symlink()), key=lambda p: p.stat().st_mtime)
    except OSError:
        return
    for directory in stale[: max(0, len(stale) + 1 - _KEPT_CACHES)]:
        shutil.rmtree(directory, ignore_errors=True)


CACHE_DIRECTORY: Path | None = _cache_directory() if COMPILED else None
"""Where this process keeps compiled kernels; None compiles anew in every process."""


@contextmanager
def _cache_at(directory: Path) -> Iterator[None]:
    """Let numba settle a function's cache in `directory`: it looks at its setting while decorating."""
    before = config.CACHE_DIR
    config.CACHE_DIR = str(directory)
    try:
        yield
    finally:
        config.CACHE_DIR = before


def rule(function: F) -> F:
    """Compile a scalar formula into every loop that calls it.

    Forced in line: as an ordinary callee, one that returns a tuple stops the loop from vectorising.
    """
    return cast(F, njit(forceinline=True, error_model="numpy")(function))


# numba's own parallel loops compile with this flag; its decorators leave it out. Decision 8.
target_options.noalias = TargetOptions.Mapping("noalias")  # type: ignore[no-untyped-call]

VECTOR_BITS = 512


def phase(function: F) -> F:
    """Compile a loop over one block of lanes into the kernel that calls it.

    No two of its arrays may overlap: the compiler believes it, and vectorises a loop over thirty arrays
    that it would otherwise have to compare with each other first.
    """
    options: dict[str, Any] = {"forceinline": True, "error_model": "numpy", "noalias": True}
    return cast(F, njit(**options)(function))


def _wide_vectors(context: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        # llvmlite's own method refuses attributes that it does not know, and writes out what it holds.
        set.add(builder.function.attributes, f'"prefer-vector-width"="{VECTOR_BITS}"')
        return context.get_dummy_value()

    return numba_types.none(), generate


wide_vectors: Callable[[], None] = intrinsic(_wide_vectors) if COMPILED else lambda: None
"""Lets the phase that calls it use vectors of VECTOR_BITS, where the machine has such.

LLVM keeps to 256 bits on processors that once lowered their clock for more; a step of alsim takes a fifth
less time with 512 (decision 8).
"""


def kernel(function: F, cache: Path | None = CACHE_DIRECTORY) -> F:
    """Compile a loop: serial, without the GIL, cached on disk where a directory is writable."""
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    if cache is None:
        return cast(F, njit(**options)(function))
    with _cache_at(cache):
        return cast(F, njit(cache=True, **options)(function))


def dispatch(choose: Callable[[type[Any]], Callable[..., Any]]) -> Callable[[F], F]:
    """Let compiled code call the rule that `choose` names for the class of the first of its four arguments.

    Chosen as the call is compiled: it costs nothing at run time and stays cacheable, whereas a compiled
    function passed as an argument is never cached. The decorated function is what the interpreter runs.
    """

    def decorate(function: F) -> F:
        @overload(function, jit_options={"forceinline": True, "error_model": "numpy"})
        def implementation(p: Any, x: Any, y: Any, z: Any) -> Callable[..., Any]:
            chosen = choose(p.instance_class)

            def call(p: Any, x: Any, y: Any, z: Any) -> Any:
                return chosen(p, x, y, z)

            return call

        return function

    return decorate


class ReferenceType(_numba_types.StructRef):
    """numba's type of a NamedTuple by reference."""

    whole: type[Any]

    def preprocess_fields(self, fields: Any) -> tuple[tuple[str, Any], ...]:
        """Keep the fields' names, and their types without literal values."""
        unliteral: Any = numba_types.unliteral
        return tuple((name, unliteral(kind)) for name, kind in fields)


class WorldType(ReferenceType):
    """numba's type of a World by reference."""

    whole = World


class OutputType(ReferenceType):
    """numba's type of an Output by reference."""

    whole = Output


class WorldReference(_structref.StructRefProxy):
    """A World behind one pointer: a kernel unboxes it in a fraction of the time that its fifty arrays take."""


class OutputReference(_structref.StructRefProxy):
    """An Output behind one pointer."""


if COMPILED:
    for _type, _reference, _fields in (
        (WorldType, WorldReference, World._fields),
        (OutputType, OutputReference, Output._fields),
    ):
        structref.register(_type)
        structref.define_boxing(_type, _reference)
        structref.define_constructor(_reference, _type, _fields)


@kernel
def _refer_world(
    parameters: Any,
    weights: Any,
    termination: Any,
    start: Any,
    scale: Any,
    items: Any,
    population: Any,
    interaction: Any,
    scratch: Any,
) -> Any:
    return WorldReference(parameters, weights, termination, start, scale, items, population, interaction, scratch)  # type: ignore[no-untyped-call]  # numba's constructor


@kernel
def _refer_output(
    observation: Any, reward: Any, terminated: Any, truncated: Any, reason: Any, live: Any, final: Any
) -> Any:
    return OutputReference(observation, reward, terminated, truncated, reason, live, final)  # type: ignore[no-untyped-call]  # numba's constructor


def by_reference(whole: World | Output, own_cache: str = "") -> Any:
    """Return a World or an Output as kernels take it; the arrays stay shared with the caller.

    The interpreter takes it as it is.

    own_cache  as of `entry`
    """
    if not COMPILED:
        return whole
    return _own(_refer_world if isinstance(whole, World) else _refer_output, own_cache)(*whole)


def _fetch_add(context: Any, counters: Any, index: Any, amount: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(counters)(context, builder, arguments[0])
        place = builder.gep(array.data, [arguments[1]])
        return builder.atomic_rmw("add", place, arguments[2], "acq_rel")

    return numba_types.int64(counters, numba_types.int64, numba_types.int64), generate


_COUNTING = Lock()


def _fetch_add_interpreted(counters: Any, index: int, amount: int) -> int:
    with _COUNTING:
        before = int(counters[index])
        counters[index] += amount
        return before


fetch_add: Callable[[Any, int, int], int] = intrinsic(_fetch_add) if COMPILED else _fetch_add_interpreted
"""Adds to counters[index], int64, as one indivisible act among all threads; returns what was there before."""


def _without_owner(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    """Return a value whose arrays count no references: numba leaves those alone that nobody owns."""
    if isinstance(kind, numba_types.Array):
        array = context.make_array(kind)(context, builder, value)
        array.meminfo = array.meminfo.type(None)
        return array._getvalue()
    if isinstance(kind, numba_types.BaseTuple):
        parts = [
            _without_owner(context, builder, part, builder.extract_value(value, k)) for k, part in enumerate(kind.types)
        ]
        return context.make_tuple(builder, kind, parts)
    return value


def _borrow(context: Any, whole: Any) -> Any:
    by_value = not isinstance(whole, ReferenceType)
    kind = whole if by_value else numba_types.NamedTuple([part for _, part in whole._fields], whole.whole)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if by_value:
            return _without_owner(context, builder, kind, arguments[0])
        fields = structref._Utils(context, builder, whole).get_data_struct(arguments[0])
        values = [_without_owner(context, builder, part, getattr(fields, name)) for name, part in whole._fields]
        return context.make_tuple(builder, kind, values)

    return kind(whole), generate


borrow: Callable[[Any], Any] = intrinsic(_borrow) if COMPILED else lambda whole: whole
"""Returns a World or an Output as the NamedTuple it is, of a reference or of itself.

Its arrays count no references, which at fifty arrays would cost a small batch as much as its step: whoever
calls a kernel holds them.
"""


def entry(function: Callable[..., Any], *arguments: Any, own_cache: str = "") -> Callable[..., Any]:
    """Return `function` compiled for the types of `arguments`, without numba's look-up of types at each call.

    own_cache  a name under which to keep the machine code apart: a `fingerprint` of rules from elsewhere.
               The package's own cache would not notice that they changed, and numba's index of a cache
               names the classes in it: a process that cannot import one could read none of the others

    Whoever calls it must pass exactly those types: nothing checks.
    """
    if not COMPILED:
        return function
    return cast(Callable[..., Any], _own(function, own_cache).compile(tuple(typeof(a) for a in arguments)))


def _own(function: Any, name: str) -> Any:
    """Return the kernel itself, or one of its code whose cache has a directory of its own."""
    return _apart(function.py_func, name) if name else function


@lru_cache
def _apart(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    return kernel(function, CACHE_DIRECTORY / name if CACHE_DIRECTORY else None)


def fingerprint(parameters: type[Any], *functions: Callable[..., Any]) -> str:
    """Return a digest of what `functions` of such parameters compute.

    That is their code, and all that it reaches outside this package: functions and constants, its module's
    own and those of other modules.
    """
    fields = getattr(parameters, "_fields", ())
    digest, seen = hashlib.sha256(f"{parameters.__module__}.{parameters.__qualname__}{fields}".encode()), set()

    def visit(thing: Any) -> None:
        function = getattr(thing, "py_func", thing)
        if isinstance(function, CodeType):
            visit_code(function, {})
        elif isinstance(function, FunctionType):
            if function in seen or function.__module__.partition(".")[0] == __name__.partition(".")[0]:
                digest.update(f"{function.__module__}.{function.__qualname__}".encode())
                return
            seen.add(function)
            for value in (function.__defaults__, function.__kwdefaults__, *(function.__closure__ or ())):
                visit(getattr(value, "cell_contents", value))
            visit_code(function.__code__, function.__globals__)
        elif isinstance(thing, np.ndarray | np.generic):
            digest.update(f"{thing.dtype}{thing.shape}".encode() + thing.tobytes())  # repr abbreviates
        elif isinstance(thing, tuple | list):
            for value in thing:
                visit(value)
        elif isinstance(thing, EnumType):
            digest.update(repr(list(thing)).encode())
        else:
            digest.update(repr(getattr(thing, "__name__", thing)).encode())

    def visit_code(code: CodeType, names: dict[str, Any]) -> None:
        digest.update(code.co_code + repr((code.co_names, code.co_varnames)).encode())
        for constant in code.co_consts:
            visit(constant)
        for name in code.co_names:
            value = names.get(name)
            if isinstance(value, ModuleType) and value.__name__ not in {"numpy", "math"}:
                for other in code.co_names:
                    visit(getattr(value, other, None))
            else:
                visit(value)

    for function in functions:
        visit(function)
    return digest.hexdigest()[:16]
