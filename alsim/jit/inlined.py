"""Compilation of functions that other compiled functions inline.

By default, numba compiles each function for calls from Python too: it adds two wrappers that convert the arguments,
counts references to each array, and generates machine code. Code that a kernel inlines needs none of this, and it
takes more time than the code itself. A function that Python calls is compiled again, in the default way.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from numba.core import codegen, compiler, registry, types

from alsim.jit.cache import COMPILED

# numba leaves these untyped.
JITCodeLibrary: Any = codegen.JITCodeLibrary
Compiler: Any = compiler.Compiler
CPUDispatcher: Any = registry.CPUDispatcher
unliteral: Any = types.unliteral

NO_WRAPPERS = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
"""Options of numba for functions that Python never calls."""


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Pause the collection of reference cycles, which takes a sixth of the time of a compilation."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class Kernel(CPUDispatcher):  # type: ignore[misc]  # numba's class is untyped
    """A compiled function that Python calls."""

    def compile(self, sig: Any) -> Any:
        """Compile the function for a signature, or load it from the cache."""
        with without_garbage_collection():
            return super().compile(sig)


class InlinedLibrary(JITCodeLibrary):  # type: ignore[misc]  # numba's class is untyped
    """Optimised code of a function, which is linked into the functions that call it; it has no machine code."""

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


class InlinedCompiler(Compiler):  # type: ignore[misc]  # numba's class is untyped
    """numba's compiler, without the last stage: machine code."""

    def define_pipelines(self) -> Any:
        """Return the passes; they fill the library that this method sets."""
        state = self.state
        state.library = InlinedLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_compile = True
        return super().define_pipelines()


class _Callee(CPUDispatcher):  # type: ignore[misc]  # numba's class is untyped
    """Specialisations of a function for calls from compiled code."""

    def add_overload(self, result: Any) -> None:
        """Register a specialisation; its key stands for the address, which it does not have."""
        result = result._replace(entry_point=object())
        self.targetctx.insert_user_function(result.entry_point, result.fndesc, [result.library])
        self.overloads[tuple(result.signature.args)] = result


class Inlined(CPUDispatcher):  # type: ignore[misc]  # numba's class is untyped
    """A compiled function, with separate specialisations for calls from compiled code and from Python."""

    @cached_property
    def callee(self) -> Any:
        """Specialisations for calls from compiled code."""
        return _Callee(
            self.py_func, targetoptions={**self.targetoptions, **NO_WRAPPERS}, pipeline_class=InlinedCompiler
        )

    def get_call_template(self, args: Any, kws: Any) -> Any:
        """Return the types of a call from compiled code; the function is compiled for them.

        Literal integers count as integers: otherwise a call with the constant 0 would compile the function again.
        """
        args, kws = map(unliteral, args), {name: unliteral(kind) for name, kind in kws.items()}
        return self.callee.get_call_template(tuple(args), kws)

    def get_overload(self, sig: Any) -> Any:
        """Return the key of a specialisation for calls from compiled code."""
        return self.callee.get_overload(sig)


def inlined(function: Callable[..., Any], **options: Any) -> Any:
    """Compile a function that compiled code inlines, with options of numba."""
    if not COMPILED:
        return function
    return Inlined(function, targetoptions={"nopython": True, "boundscheck": None, "forceinline": True, **options})
