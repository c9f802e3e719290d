"""Failures of compilations of users' rules, reduced to one reason: numba's messages have dozens of lines."""

from __future__ import annotations

import re
from pathlib import Path

from numba.core import errors

from alsim.jit.cache import PACKAGE

COMPILE_ERRORS: tuple[type[Exception], ...] = (errors.NumbaError, errors.UnsupportedBytecodeError)
_UNTYPED_FUNCTION = re.compile(r"global name '(\w+)': Cannot determine Numba type of <class 'function'>")
_PLACE = re.compile(r'File "([^"]+)", line (\d+)')
_WRAPPERS = ("Failed in nopython mode", "Rejected as", "During: ", "No implementation of function Function(<function ")


def reason_of(message: str) -> str:
    """Return the innermost reason in an error message of numba, with the place of the user's code and a cure."""
    files = [(file, line) for file, line in _PLACE.findall(message) if not Path(file).resolve().is_relative_to(PACKAGE)]
    place = f" ({files[0][0]}, line {files[0][1]})" if files else ""
    if match := _UNTYPED_FUNCTION.search(message):
        return f"{match[1]} is not compiled{place}; write @alsim.rule above its definition"
    text = message.rpartition("Failed in nopython mode pipeline")[2].partition("\n")[2] or message
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith(_WRAPPERS)]
    return f"{lines[0] if lines else type(message).__name__}{place}; numba compiles numbers, tuples and NumPy functions"


__all__ = ["COMPILE_ERRORS", "reason_of"]
