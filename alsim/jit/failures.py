"""Failures of compilations of users' rules, reduced to one reason: numba's messages have dozens of lines."""

from __future__ import annotations

import re
from pathlib import Path

import numba
from numba.core import errors

from alsim.jit.cache import PACKAGE

COMPILE_ERRORS: tuple[type[Exception], ...] = (errors.NumbaError, errors.UnsupportedBytecodeError)
_UNTYPED_FUNCTION = re.compile(r"global name '(\w+)': Cannot determine Numba type of <class 'function'>")
_CALL = re.compile(r">>> (\w+\(.*\))$", re.MULTILINE)
_LITERAL = re.compile(r"Literal\[(\w+)\]\([^)]*\)")
_LIBRARY = Path(numba.__file__).parent
_STATE = re.compile(r"TypingError: ((?:a row|both rules) must .*)$", re.MULTILINE)
"""Reason of an error that is raised in `alsim.jit.structs`."""
_PLACE = re.compile(r'File "([^"]+)", line (\d+)')
_WRAPPERS = ("Failed in nopython mode", "Rejected as", "During: ", "No implementation of function Function(<function ")


def reason_of(message: str) -> str:
    """Return the innermost reason in an error message of numba, with the place of the user's code and a cure."""
    places = [(Path(file).resolve(), f" ({file}, line {line})") for file, line in _PLACE.findall(message)]
    own = [text for file, text in places if not any(file.is_relative_to(folder) for folder in (PACKAGE, _LIBRARY))]
    place = own[0] if own else ""
    if match := _UNTYPED_FUNCTION.search(message):
        return f"{match[1]} is not compiled{place}; write @alsim.rule above its definition"
    if match := _STATE.search(message):
        return f"{match[1]}; write i32(...) around sums of i32, and constants as ONE, f32(...) or i32(...)"
    text = message.rpartition("Failed in nopython mode pipeline")[2].partition("\n")[2] or message
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith(_WRAPPERS)]
    reason = lines[0] if lines else type(message).__name__
    if (calls := _CALL.findall(message)) and places and places[0][0].is_relative_to(_LIBRARY):
        call = _LITERAL.sub(r"\1", calls[-1])
        reason = f"numba does not support {call}: {reason}"
    return f"{reason}{place}; write formulas of numbers, with np.sqrt, min and max; numba supports a part of NumPy"


__all__ = ["COMPILE_ERRORS", "reason_of"]
