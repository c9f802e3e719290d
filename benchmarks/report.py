"""Rows of the table of results and targets."""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence
from typing import NamedTuple

SIGNS = {"≥": operator.ge, "≤": operator.le, "<": operator.lt}
HEADER = ("measurement", "result", "target", "met?", "limiting factor")


class Row(NamedTuple):
    """One row of the table, as text."""

    quantity: str
    measured: str
    target: str = ""
    met: str = ""
    limit: str = ""


def judged(
    quantity: str, value: float, target: str, unit: str = "", *, digits: int = 3, spread: str = "", limit: str = ""
) -> Row:
    """Return a row that compares a value with its target, such as "≥ 0.9" or "≤ 6", both in `unit`."""
    sign, _, bound = target.partition(" ")
    met = "yes" if SIGNS[sign](value, float(bound)) else "**no**"
    return Row(quantity, _measure(value, unit, digits, spread), _with_unit(target, unit), met, limit)


def plain(quantity: str, value: float, unit: str = "", *, digits: int = 3, spread: str = "", limit: str = "") -> Row:
    """Return a row without a target."""
    return Row(quantity, _measure(value, unit, digits, spread), limit=limit)


def missing(quantity: str, why: str, target: str = "") -> Row:
    """Return the row of a value that could not be measured."""
    return Row(quantity, "–", target, "", why)


def _measure(value: float, unit: str, digits: int, spread: str) -> str:
    return _with_unit(number(value, digits), unit) + (f" ({spread})" if spread else "")


def _with_unit(text: str, unit: str) -> str:
    return text + (unit if unit == "×" else f" {unit}" if unit else "")


def number(value: float, digits: int = 3) -> str:
    """Return a number as text with `digits` significant digits and separated thousands."""
    if value == 0:
        return "0"
    magnitude = len(str(int(abs(value)))) if abs(value) >= 1 else 0
    if magnitude == 0:
        return f"{value:#.{digits}g}"
    decimals = max(0, digits - magnitude)
    return f"{round(value, digits - magnitude):,.{decimals}f}"


def quartiles(values: Sequence[float], digits: int = 3) -> str:
    """Return the quartiles of sorted values as text."""
    last = len(values) - 1
    return f"{number(values[round(last / 4)], digits)}–{number(values[round(3 * last / 4)], digits)}"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> str:
    """Return a table in Markdown; columns are right-aligned except those in `left`."""
    marks = ["---" if k in left else "--:" for k in range(len(header))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, marks, *rows))


def columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table for a terminal; the last column is not padded."""
    widths = [max(len(row[k]) for row in (header, *rows)) for k in range(len(header) - 1)]
    lines = ["  ".join([*(c.ljust(w) for c, w in zip(r, widths, strict=False)), r[-1]]) for r in (header, *rows)]
    return "\n".join(line.rstrip() for line in [lines[0], "-" * len(lines[0]), *lines[1:]])


def between_marks(text: str, measured: str, name: str = "measured") -> str:
    """Return the text with the part between the marks of this name replaced."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"the text must have the marks {begin} and {end} once each; add or delete marks")
    return re.sub(
        f"(?<={re.escape(begin)}).*(?={re.escape(end)})", lambda _: f"\n\n{measured}\n\n", text, flags=re.DOTALL
    )
