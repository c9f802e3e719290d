"""Columns of calibrated items: the names that other programs give to them, and the conversion of their parameters."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import NamedTuple

from alsim.errors import AlsimError
from alsim.utils.tables import Cells, normalized, number

ALIASES: dict[str, tuple[str, ...]] = {
    "name": ("id", "item", "item_id", "name", "item_name", "question_id", "problem_id", ""),
    "a": ("irt_a", "a", "a1", "discrimination", "discr", "disc", "dscrmn", "slope"),
    "b": ("irt_b", "b", "b1", "dffclt", "diff", "threshold", "location", "difficulty"),
    "c": ("irt_c", "c", "g", "guessing", "gussng", "guess", "pseudo_guessing", "lower", "lower_asymptote"),
    "d": ("irt_d", "u", "upper", "upper_asymptote", "d"),
    "intercept": ("intercept", "d"),
}
"""Names of each column in lower case, in order of preference: alsim, catR and catsim (a, b, c, d), ltm (Dffclt, Dscrmn,
Gussng), mirt (a1, d, g, u). The columns d and difficulty have two meanings, which `find_columns` resolves."""

SCALING = {1.7, 1.702, 1.701}
"""Scaling constants D that make logistic curves similar to normal ones."""
MAX_B = 20.0
"""Absolute difficulty above which the scale is probably not that of logits."""
TABLE_ROUNDING = 0.006
"""Largest difference between d and -a b in a table of intercepts with two decimals, relative to 1 + |a| + |b|."""

PARAMETERS = ("a", "b", "c", "d")
KNOWN = {name for names in ALIASES.values() for name in names if name}


class ItemCells(NamedTuple):
    """A table of items with its parameters under the names a, b, c and d, as text."""

    cells: Cells
    titles: dict[str, str]  # name in the table by role: name, a, b, c, d or intercept; and the roles that were mapped
    parameters: dict[str, list[str]]  # cells by parameter; a and b always, c and d if the table has them
    notes: list[str]  # sentences about columns that were assumed or converted


def with_header(cells: Cells) -> tuple[Cells, list[str]]:
    """Return the cells of a file with a header and without empty rows, and notes.

    If the first line is an item, the columns are a, b, c and d, after names of the items, if any.
    """
    filled = [k for k, row in enumerate(cells.rows) if any(row)]  # spreadsheets write rows of empty cells
    cells = cells._replace(rows=[cells.rows[k] for k in filled], places=[cells.places[k] for k in filled])
    titles = _titles_without_header(cells.header)
    if not titles or (cells.places and cells.places[0].startswith("row")):  # a Parquet file has names of columns
        return cells, []
    with_titles = Cells(cells.path, titles, [cells.header, *cells.rows], ["line 1", *cells.places])
    return with_titles, [f"there is no header: the columns are {', '.join(titles)}"]


def read_parameters(cells: Cells, mapping: Mapping[str, str]) -> ItemCells:
    """Return the parameters of a table of items.

    cells    the table
    mapping  {role: name in the table} of columns with another name, such as {"a": "disc"}

    An intercept is converted, b = -intercept / a. Without a discrimination, a is 1, the Rasch model. A column whose
    numbers have decimal commas is accepted. Raises AlsimError if a column of `mapping` or a difficulty is missing.
    """
    if not cells.rows:
        raise AlsimError(f"{cells.path}: there is no row below the header; expected one row per item")
    titles, notes = find_columns(cells, mapping), []
    _check_constant(cells, titles)
    parameters = {role: _points(cells.column(titles[role])) for role in PARAMETERS if role in titles}
    found = {role: titles[role] for role in PARAMETERS if role in titles and role not in mapping}
    if any(normalized(title) not in (role, f"irt_{role}") for role, title in found.items()):
        notes.append(f"columns used: {', '.join(f'{role} = {title}' for role, title in found.items())}")
    if "d" in parameters and "d" not in mapping and _is_intercept(parameters):
        del parameters["d"]
        notes.append(f"column {titles.pop('d')} equals -a b: it is the intercept, not an upper asymptote, and not used")
    if "a" not in titles:
        parameters["a"] = ["1"] * len(cells.rows)
        notes.append("there is no discrimination: a = 1, the Rasch model")
    if "intercept" in titles:
        parameters["b"] = _difficulties(cells, titles, parameters["a"])
        notes.append(f"column {titles['intercept']} is an intercept, as mirt writes it: b = -{titles['intercept']} / a")
    numbers = [value for value in map(number, parameters["b"]) if math.isfinite(value)]
    if numbers and max(map(abs, numbers)) > MAX_B:
        notes.append(
            f"b is from {min(numbers):g} to {max(numbers):g}, far outside the usual -4 to 4 logits: if it is on a "
            "scale of scores, convert b to logits, (b - mean) / SD, and a likewise, a * SD"
        )
    return ItemCells(cells, titles, parameters, notes)


def _check_constant(cells: Cells, titles: Mapping[str, str]) -> None:
    """Raise AlsimError if a column D has the scaling constant 1.7 of the normal metric."""
    for role in ("d", "intercept"):
        if role in titles and {number(cell) for cell in cells.column(titles[role])} <= SCALING:
            raise AlsimError(
                f"{cells.path}: column {titles[role]} has the scaling constant of the normal metric, such as "
                f"{cells.column(titles[role])[0]}; the models of alsim have no such constant, and d is an upper "
                "asymptote: multiply a by the constant, and remove the column"
            )


def find_columns(cells: Cells, mapping: Mapping[str, str]) -> dict[str, str]:
    """Return {role: name in the table} of the parameters and the names; see `read_parameters`."""
    titles = dict(mapping)
    if missing := [title for title in titles.values() if title not in cells.header]:
        raise AlsimError(_no_column(cells, missing[0]))
    _check_dimensions(cells)
    available = {normalized(title): title for title in reversed(cells.header) if title not in titles.values()}
    if cells.header.count("") and cells.header[0] != "":
        available.pop("", None)  # only the first column may be names of rows
    if "difficulty" in available and not is_numeric(cells.column(available["difficulty"])):
        del available["difficulty"]  # words, such as Easy
    for role in ("name", "a", "b", "c"):
        if role not in titles and not (role == "b" and "intercept" in titles):
            _take(titles, role, available)
    if "b" not in titles and "intercept" not in titles:
        _find_intercept(cells, titles, available)
    if "d" not in titles:
        _take(titles, "d", available)
    return titles


def _check_dimensions(cells: Cells) -> None:
    """Raise AlsimError for items of several dimensions or with more than two scores."""
    for title in cells.header:
        if re.fullmatch("a[2-9]", normalized(title)):
            raise AlsimError(
                f"{cells.path}: column {title} is a second dimension; expected items of one dimension: fit a "
                "one-dimensional model"
            )
        if re.fullmatch("b[2-9]|d[1-9]", normalized(title)):
            raise AlsimError(
                f"{cells.path}: column {title} is a threshold of items with several scores; expected items that are "
                "answered right or wrong: fit a model of one to four parameters"
            )


def _take(titles: dict[str, str], role: str, available: dict[str, str]) -> None:
    """Move the first available column of a role to `titles`."""
    for alias in ALIASES[role]:
        if alias in available:
            titles[role] = available.pop(alias)
            return


def _find_intercept(cells: Cells, titles: dict[str, str], available: dict[str, str]) -> None:
    """Find the intercept of a table without a difficulty. Raises AlsimError without one, or if d is ambiguous."""
    is_mirt = {normalized(title) for title in cells.header} & {"a1", "g", "u"}
    if "intercept" not in available and "d" in available and not is_mirt:
        raise AlsimError(
            f"{cells.path}: there is no column b, and column {available['d']} is either the intercept of mirt or an "
            f"upper asymptote; --columns intercept={available['d']} (columns={{'intercept': {available['d']!r}}}) "
            "reads it as the intercept"
        )
    _take(titles, "intercept", available)
    if "intercept" not in titles:
        raise AlsimError(_no_column(cells, "b"))


def _no_column(cells: Cells, title: str) -> str:
    """Return the message about a missing column."""
    if cells.header and not any(math.isnan(number(cell)) for cell in cells.header):
        return (
            f"{cells.path}: there is no header, and {len(cells.header)} columns of numbers; expected 2 to 4, the "
            "parameters a, b, c and d: remove the other columns, or add a header"
        )
    header = ", ".join(name or "(no name)" for name in cells.header[:12]) + (", ..." if len(cells.header) > 12 else "")
    return (
        f"{cells.path}: there is no column {title}; the columns are {header}; expected one row per item with the "
        "parameters a, b and c; --columns b=NAME (columns={'b': NAME}) names a column, and alsim fit irt estimates the "
        "parameters from responses"
    )


def _is_intercept(parameters: Mapping[str, list[str]]) -> bool:
    """Return whether d is the intercept -a b of each of several items, up to the rounding of a table, and not 1."""
    columns = [[number(cell) for cell in parameters.get(role, [])] for role in "abd"]
    rows = list(zip(*columns, strict=False))
    close = [abs(d + a * b) <= TABLE_ROUNDING * (1 + abs(a) + abs(b)) for a, b, d in rows]
    return len(rows) > 1 and all(close) and any(d != 1 for _, _, d in rows)


def _difficulties(cells: Cells, titles: dict[str, str], discriminations: list[str]) -> list[str]:
    """Return b = -intercept / a as text; NaN if a number is invalid."""
    result = []
    for a, intercept in zip(map(number, discriminations), _points(cells.column(titles["intercept"])), strict=True):
        result.append(repr(0.0 - number(intercept) / a if a else math.nan))
    return result


def _titles_without_header(header: list[str]) -> list[str]:
    """Return names for the columns of a table whose first line has items already; empty if it is a header."""
    is_number = [not math.isnan(number(cell)) for cell in header]
    if 2 <= len(header) <= 4 and all(is_number):
        return list(PARAMETERS[: len(header)])
    if 3 <= len(header) <= 5 and not is_number[0] and all(is_number[1:]):
        return ["name", *PARAMETERS[: len(header) - 1]]
    return []


def is_numeric(column: list[str]) -> bool:
    """Return whether a column has numbers and no words; cells may be missing."""
    values = [number(cell) for cell in _points(column) if cell and cell.lower() not in ("na", "nan")]
    return bool(values) and not any(map(math.isnan, values))


def _points(column: list[str]) -> list[str]:
    """Return a column of numbers with decimal points; commas are decimal commas if the column has no point."""
    if any("," in cell for cell in column) and not any("." in cell for cell in column):
        return [cell.replace(",", ".") if cell.count(",") == 1 else cell for cell in column]
    return column
