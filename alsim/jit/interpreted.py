"""Copies of compiled functions that run in the interpreter, on request with the types of machine code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import CellType, CodeType, FunctionType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np


def interpreted(
    function: Any, *, wide: bool = False, replaced: Mapping[Any, Callable[..., Any]] | None = None
) -> Callable[..., Any]:
    """Return a copy of a rule that runs in the interpreter, with all rules that it calls.

    replaced  classes that the copy does not call, and the function that it calls instead
    wide      whether Python's numbers in the code become NumPy's float64 and int64, their types in machine code, and
              sums of int32 become int64
    """
    copies: dict[Any, Any] = dict(replaced or {})

    def plain(value: Any) -> Any:
        if isinstance(value, type):
            return copies.get(value, value)
        code = getattr(value, "py_func", value)
        if not isinstance(code, FunctionType) or (code is value and value is not function):
            return value
        if code not in copies:
            copies[code] = copy(code)
        return copies[code]

    def copy(original: FunctionType) -> FunctionType:
        own = original.__module__.partition(".")[0] == __name__.partition(".")[0]
        widen = _widening(original.__code__) if wide and not own else _unchanged
        code = original.__code__.replace(co_consts=tuple(map(widen, original.__code__.co_consts)))
        names = dict(original.__globals__)
        cells = original.__closure__ and tuple(CellType(widen(plain(c.cell_contents))) for c in original.__closure__)
        result = FunctionType(code, names, original.__name__, original.__defaults__, cells)
        result.__kwdefaults__ = original.__kwdefaults__
        copies[original] = result
        for name in code.co_names:
            if name in names:
                names[name] = of_module(names[name], code.co_names, widen)
        return result

    def of_module(
        value: Any, attributes: Sequence[str], widen: Callable[[Any], Any], outer: tuple[ModuleType, ...] = ()
    ) -> Any:
        if not isinstance(value, ModuleType):
            return widen(plain(value))
        if value in outer:  # modules that import each other
            return value
        used = {key: getattr(value, key) for key in attributes if hasattr(value, key)}
        copied = {key: of_module(entry, attributes, widen, (*outer, value)) for key, entry in used.items()}
        changed = any(copied[key] is not used[key] for key in used)
        return SimpleNamespace(**{**vars(value), **copied}) if changed else value

    return plain(function)  # type: ignore[no-any-return]


class WideInt(np.int32):
    """A number of type int32 whose arithmetic gives int64, as in machine code."""


def _arithmetic(name: str) -> Callable[..., Any]:
    """Return a method of WideInt."""

    def method(*numbers: Any) -> Any:
        first, *others = (np.int32(number) if isinstance(number, np.int32) else number for number in numbers)
        result = getattr(first, name)(*others)
        return np.int64(result) if isinstance(result, np.int32) else result

    return method


for _name in ("add", "sub", "mul", "floordiv", "mod", "and", "or", "xor", "lshift", "rshift"):
    for _method in (f"__{_name}__", f"__r{_name}__"):
        setattr(WideInt, _method, _arithmetic(_method))


def _unchanged(value: Any) -> Any:
    return value


def _widening(code: CodeType) -> Callable[[Any], Any]:
    """Return a function that returns a Python number as NumPy's float64 or int64, int32 as WideInt, all else unchanged.

    Integers stay in code with a power, as in x**2, because machine code does not widen a constant exponent.
    """
    import dis

    power = any(i.opname == "BINARY_OP" and i.argrepr in ("**", "**=") for i in dis.get_instructions(code))

    def widen(value: Any) -> Any:
        if type(value) is float:
            return np.float64(value)
        if value is np.int32:
            return WideInt
        return np.int64(value) if type(value) is int and not power and abs(value) < 2**63 else value

    return widen


__all__ = ["WideInt", "interpreted"]
