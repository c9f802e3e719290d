"""Copies of compiled functions that run in the interpreter, on request with the types of machine code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import CellType, CodeType, FunctionType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np


def interpreted(function: Any, *, wide: bool = False) -> Callable[..., Any]:
    """Return a copy of a rule that runs in the interpreter, with all rules that it calls.

    wide  whether Python's numbers in the code become NumPy's float64 and int64, their types in machine code
    """
    copies: dict[Any, Any] = {}

    def plain(value: Any) -> Any:
        code = getattr(value, "py_func", value)
        if not isinstance(code, FunctionType) or (code is value and value is not function):
            return value
        if code not in copies:
            copies[code] = copy(code)
        return copies[code]

    def copy(original: FunctionType) -> FunctionType:
        own = original.__module__.partition(".")[0] == __name__.partition(".")[0]
        code = _widened(original.__code__) if wide and not own else original.__code__
        names = dict(original.__globals__)
        result = FunctionType(code, names, original.__name__, original.__defaults__, _cells(original))
        result.__kwdefaults__ = original.__kwdefaults__
        copies[original] = result
        for name in code.co_names:
            if name in names:
                names[name] = of_module(names[name], code.co_names, ())
        return result

    def of_module(value: Any, attributes: Sequence[str], outer: tuple[ModuleType, ...]) -> Any:
        if not isinstance(value, ModuleType):
            return plain(value)
        if value in outer:  # modules that import each other
            return value
        used = {key: getattr(value, key) for key in attributes if hasattr(value, key)}
        copied = {key: of_module(entry, attributes, (*outer, value)) for key, entry in used.items()}
        changed = any(copied[key] is not used[key] for key in used)
        return SimpleNamespace(**{**vars(value), **copied}) if changed else value

    def _cells(original: FunctionType) -> tuple[CellType, ...] | None:
        if original.__closure__ is None:
            return None
        return tuple(
            CellType(plain(cell.cell_contents)) if hasattr(cell.cell_contents, "py_func") else cell
            for cell in original.__closure__
        )

    return plain(function)  # type: ignore[no-any-return]


def _widened(code: CodeType) -> CodeType:
    """Return code with NumPy's float64 and int64 as its numbers; integers are kept in code with a power, as in x**2."""
    import dis

    power = any(i.opname == "BINARY_OP" and i.argrepr in ("**", "**=") for i in dis.get_instructions(code))

    def widen(constant: Any) -> Any:
        if type(constant) is float:
            return np.float64(constant)
        return np.int64(constant) if type(constant) is int and not power and abs(constant) < 2**63 else constant

    return code.replace(co_consts=tuple(map(widen, code.co_consts)))


__all__ = ["interpreted"]
