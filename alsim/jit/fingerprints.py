"""Fingerprints of users' rules. They name the cache directories of the kernels that contain these rules."""

from __future__ import annotations

import dis
import hashlib
from enum import EnumType
from functools import lru_cache
from types import CodeType, FunctionType, ModuleType
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from alsim.errors import AlsimError
from alsim.jit.cache import COMPILED

_titles: dict[str, str] = {}
"""Descriptions of users' rules, such as "the rules of 'knowing'", by fingerprint."""

_of_main: set[str] = set()
"""Fingerprints of rules that the main program or a notebook defines."""

_used: WeakKeyDictionary[type[Any], str] = WeakKeyDictionary()
"""Fingerprint of the rules at their first use, by class of their parameters."""


def own_cache_of(title: str, parameters: type[Any], digest: str) -> str:
    """Return the fingerprint of users' rules, which names their cache, and keep what notices say about them.

    title       description of the rules, such as "the rules of 'knowing'"
    parameters  class of the parameters, which selects the rules
    digest      fingerprint of the rules

    Compiled code contains the functions and constants that a rule refers to as they are at its compilation. Raises
    ValueError if one of them was changed since the first call for this class, as kernels would then contain either.
    """
    if _used.setdefault(parameters, digest) != digest and COMPILED:
        raise AlsimError(
            f"a function or constant in {title} was changed after its first use, but compiled code keeps the earlier "
            f"one; define {parameters.__name__} and its rules again (in a notebook, run their cells again)"
        )
    _titles[digest] = title
    if parameters.__module__ == "__main__":
        _of_main.add(digest)
    return digest


def title_of(own_cache: str) -> str:
    """Return the description of rules whose fingerprints are joined by "-"."""
    return " and ".join(_titles.get(part, "a user's rules") for part in own_cache.split("-"))


def is_of_main(own_cache: str) -> bool:
    """Return whether the main program or a notebook defines some of the rules whose fingerprints are joined by "-".

    Other processes do not find their kernels on disk: numba saves a class of `__main__` by value, which never equals
    the class of another process.
    """
    return not _of_main.isdisjoint(own_cache.split("-"))


@lru_cache
def _global_names(code: CodeType) -> tuple[str, ...]:
    """Return the names of global variables that code refers to, in order; `co_names` also has those of attributes."""
    loaded = {i.argval for i in dis.get_instructions(code) if i.opname.startswith(("LOAD_GLOBAL", "LOAD_NAME"))}
    return tuple(name for name in code.co_names if name in loaded)


def fingerprint(parameters: type[Any], *functions: Any) -> str:
    """Return a digest, 16 hexadecimal digits, of functions outside this package.

    parameters  class of the functions' parameters
    functions   the functions, compiled or not, and constants or tuples of them

    The digest covers the class, the code of the functions, and all functions and constants outside this package
    that the code refers to.
    """
    fields = getattr(parameters, "_fields", ())
    digest, visited = hashlib.sha256(f"{parameters.__module__}.{parameters.__qualname__}{fields}".encode()), set()

    def visit(reference: Any) -> None:
        function = getattr(reference, "py_func", reference)
        if isinstance(function, FunctionType):
            if function in visited or function.__module__.partition(".")[0] == __name__.partition(".")[0]:
                digest.update(f"{function.__module__}.{function.__qualname__}".encode())
                return
            visited.add(function)
            for value in (function.__defaults__, function.__kwdefaults__, *(function.__closure__ or ())):
                visit(getattr(value, "cell_contents", value))
            visit_code(function.__code__, function.__globals__)
        elif isinstance(reference, np.ndarray | np.generic):
            # repr abbreviates long arrays.
            digest.update(f"{reference.dtype}{reference.shape}".encode() + reference.tobytes())
        elif isinstance(reference, tuple | list):
            for value in reference:
                visit(value)
        elif hasattr(reference, "_field_defaults"):  # a NamedTuple class; its instances are tuples
            digest.update(f"{reference.__qualname__}{reference._fields}".encode())
            visit(tuple(reference._field_defaults.values()))
        elif isinstance(reference, EnumType):
            digest.update(repr(list(reference)).encode())
        else:
            digest.update(repr(getattr(reference, "__name__", reference)).encode())

    def visit_code(code: CodeType, names: dict[str, Any]) -> None:
        digest.update(code.co_code + repr((code.co_names, code.co_varnames)).encode())
        for constant in code.co_consts:
            if isinstance(constant, CodeType):  # of a lambda or a comprehension
                visit_code(constant, names)
            else:
                visit(constant)
        for name in _global_names(code):
            value = names.get(name)
            if isinstance(value, ModuleType) and value.__name__ not in {"numpy", "math"}:
                for other in code.co_names:
                    visit(getattr(value, other, None))
            else:
                visit(value)

    for function in functions:
        visit(function)
    return digest.hexdigest()[:16]


__all__ = ["fingerprint", "is_of_main", "own_cache_of", "title_of"]
