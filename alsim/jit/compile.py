"""Decorators for compiled code: the package `alsim.jit` is the only one that imports numba.

`rule` compiles a scalar formula that loops call, `phase` a loop over one block of learners, `sequence` a function that
calls phases, and `kernel` a function that Python calls (`lean_kernel` if it creates no arrays). Without the JIT
(``NUMBA_DISABLE_JIT=1``) each returns the Python function, and the same source runs in the interpreter with the same
result, bit for bit. The tests compare the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from inspect import signature
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba import njit
from numba.core import types as _numba_types
from numba.core.cpu import CPUTargetOptions
from numba.core.options import TargetOptions
from numba.extending import overload

from alsim.errors import AlsimError
from alsim.jit.cache import CACHE_DIRECTORY, COMPILED, config
from alsim.jit.failures import COMPILE_ERRORS, reason_of
from alsim.jit.fingerprints import title_of
from alsim.jit.inlined import NO_WRAPPERS, Kernel, inlined
from alsim.jit.notice import announce
from alsim.jit.storage import KernelCache

F = TypeVar("F", bound=Callable[..., Any])

# numba leaves these untyped.
typeof: Any = numba.typeof
target_options: Any = CPUTargetOptions
numba_types: Any = _numba_types
intrinsic: Any = numba.extending.intrinsic


@contextmanager
def _cache_at(directory: Path) -> Iterator[None]:
    """Set numba's cache directory, which it reads while decorating a function."""
    before = config.CACHE_DIR
    config.CACHE_DIR = str(directory)
    try:
        yield
    finally:
        config.CACHE_DIR = before


def rule(function: F) -> F:
    """Compile a scalar formula, and inline it into every loop that calls it.

    The rule may create arrays, unlike a phase. Inlining is forced, since an ordinary call that returns a tuple prevents
    vectorisation of the loop.
    """
    return cast(F, inlined(function, error_model="numpy", _nrt=True))


# numba compiles its parallel loops with this flag, but its decorators do not accept it (decision 8).
target_options.noalias = TargetOptions.Mapping("noalias")  # type: ignore[no-untyped-call]

VECTOR_BITS = 512

INLINED_OVERLOAD: Any = {"forceinline": True, "error_model": "numpy", **NO_WRAPPERS}
"""Options of functions that numba generates for each combination of types."""


def generates(function: Callable[..., Any]) -> Callable[[F], F]:
    """Return a decorator of a function that returns the code of `function` for the types of its arguments.

    numba requires that both have the same signature, with annotations; generated code has none.
    """

    def decorate(generator: F) -> F:
        generator.__annotations__.clear()
        overload(function, jit_options=INLINED_OVERLOAD)(generator)
        return generator

    return decorate


def defined(code: str, name: str, **names: Any) -> Callable[..., Any]:
    """Return the function that generated code defines; `names` are its global names."""
    exec(code, names)
    return cast(Callable[..., Any], names[name])


def phase(function: F) -> F:
    """Compile a loop over one block of lanes into the kernel that calls it.

    It must not create arrays, and no two of its arrays may overlap. The compiler relies on this, and vectorises loops
    over thirty arrays without comparing their addresses at run time.
    """
    return cast(F, inlined(function, error_model="numpy", noalias=True, _nrt=False))


def sequence(function: F) -> F:
    """Compile a function that calls phases, one after the other, as part of the kernels that call it.

    numba inserts its body there and does not compile it separately, which saves seconds: a sequence contains the code
    of all its phases.
    """
    return cast(F, njit(inline="always", error_model="numpy")(function))


def _wide_vectors(context: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        # The method `add` of llvmlite's attributes rejects names that it does not know; `set.add` does not check them.
        set.add(builder.function.attributes, f'"prefer-vector-width"="{VECTOR_BITS}"')
        return context.get_dummy_value()

    return numba_types.none(), generate


wide_vectors: Callable[[], None] = intrinsic(_wide_vectors) if COMPILED else lambda: None
"""Let the phase that calls it use vectors of VECTOR_BITS bits, on machines that have them.

By default, LLVM uses 256 bits on processors that may lower their clock rate for 512 bits. With 512 bits, a step of
alsim takes a fifth less time (decision 8).
"""


def kernel(function: F, cache: Path | None = CACHE_DIRECTORY, own_cache: str = "", *, allocates: bool = True) -> F:
    """Compile a function that Python calls: serial, without the GIL, and cached on disk.

    cache      cache directory; None for no cache on disk
    own_cache  name of a separate cache directory, see `entry`
    allocates  whether the function creates arrays, see `lean_kernel`
    """
    if not COMPILED:
        return function
    options = {"nopython": True, "boundscheck": None, "nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
    compiled = Kernel(function, targetoptions={**options, "_nrt": allocates})
    if cache is not None:
        with _cache_at(cache):
            compiled._cache = KernelCache(function)
    announce(compiled, own_cache)
    return cast(F, compiled)


def lean_kernel(function: F) -> F:
    """Compile a kernel that creates no arrays: it reads and writes those that it is passed.

    numba then counts no references to arrays. This saves a third of the time to compile a kernel of many phases, and
    some time in each call. A function that does create an array fails to compile; numba's error then says "Only accept
    returning of array passed into the function" or "NRT required but not enabled".
    """
    return kernel(function, allocates=False)


def dispatch(choose: Callable[[type[Any]], Callable[..., Any]]) -> Callable[[F], F]:
    """Return a decorator that makes compiled calls of a function run a chosen rule instead.

    choose  returns the rule for the class of the first argument

    The rule is chosen when the call is compiled. This costs nothing at run time, and the result can be cached, whereas
    a compiled function passed as an argument is never cached. The interpreter runs the decorated function itself.
    """

    def decorate(function: F) -> F:
        listed = ", ".join(signature(function).parameters)

        def implementation(p: Any, *others: Any) -> Callable[..., Any]:
            return defined(f"def call({listed}): return chosen({listed})", "call", chosen=choose(p.instance_class))

        code = f"def generator({listed}): return implementation({listed})"
        generates(function)(defined(code, "generator", implementation=implementation))
        return function

    return decorate


def fieldwise(function: Callable[..., None], fields: Sequence[int] | None = None) -> Callable[..., None]:
    """Return a rule that takes a tuple of structs, and calls `function` for each field, and those of nested structs.

    function  a phase or a rule; its arguments are the field of each struct, and further arguments of the call
    fields    indices of the fields; None is all of them

    The calls are unrolled during compilation, so the fields may be of different types.
    """

    def call_each(structs: Any, *shared: Any) -> None:
        def call(parts: Sequence[Any]) -> None:
            if isinstance(parts[0], tuple):
                for inner in zip(*parts, strict=True):
                    call(inner)
            else:
                function(*parts, *shared)

        for k in range(len(structs[0])) if fields is None else fields:
            call([struct[k] for struct in structs])

    @generates(call_each)
    def implementation(structs: Any, *shared: Any) -> Callable[..., None]:
        # Generated code: a recursion over the rest of the fields would compile one function per field.
        indices = range(len(structs[0])) if fields is None else fields
        paths = [path for k in indices for path in _paths(structs[0][k], f"[{k}]")]
        arguments = [", ".join(f"structs[{s}]{path}" for s in range(len(structs))) for path in paths]
        calls = "".join(f"    function({listed}, *shared)\n" for listed in arguments)
        return defined(f"def call(structs, *shared):\n{calls}", "call", function=function)

    return call_each


def _paths(kind: Any, path: str) -> Iterator[str]:
    """Yield the indices of all parts of a type that are not tuples, as source code."""
    if isinstance(kind, numba_types.BaseTuple):
        for k, part in enumerate(kind.types):
            yield from _paths(part, f"{path}[{k}]")
    else:
        yield path


def entry(function: Callable[..., Any], *arguments: Any, own_cache: str = "") -> Callable[..., Any]:
    """Return `function` compiled for the types of `arguments`, without numba's lookup of types at each call.

    own_cache  name of a separate cache directory, for rules from outside the package: their `fingerprint`. The
               package's cache would not be invalidated when such rules change. Its index would also name their
               classes, and a process that cannot import one of these classes could not read the index

    The caller must pass arguments of exactly these types; they are not checked. Raises ValueError if rules from
    outside the package cannot be compiled.
    """
    if not COMPILED:
        return function
    try:
        return cast(Callable[..., Any], in_own_cache(function, own_cache).compile(tuple(typeof(a) for a in arguments)))
    except COMPILE_ERRORS as error:
        if not own_cache:
            raise
        raise AlsimError(f"{title_of(own_cache)} cannot be compiled: {reason_of(str(error))}") from error


def in_own_cache(function: Any, name: str) -> Any:
    """Return the kernel itself, or, if a name is given, the same code with a cache directory of that name."""
    return _compiled_apart(function, name) if name else function


@lru_cache
def _compiled_apart(function: Any, name: str) -> Callable[..., Any]:
    cache = CACHE_DIRECTORY / name if CACHE_DIRECTORY else None
    return cast(Callable[..., Any], kernel(function.py_func, cache, name, allocates=function.targetoptions["_nrt"]))


__all__ = [
    "COMPILED",
    "dispatch",
    "entry",
    "fieldwise",
    "in_own_cache",
    "kernel",
    "lean_kernel",
    "phase",
    "rule",
    "sequence",
    "wide_vectors",
]
