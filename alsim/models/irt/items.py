"""Calibrated items from files, arrays and tables: parameters, names, and the texts and keys that a test shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import numpy as np

from alsim.errors import AlsimError
from alsim.models.irt.curves import INTERCEPT_CURE, LOW_A, NO_ESTIMATES, ItemParameters, items_of, left_out
from alsim.models.item_columns import KNOWN, PARAMETERS, ItemCells, read_parameters, with_header
from alsim.types import DIFFICULTIES
from alsim.utils.names import name_array
from alsim.utils.tables import Cells, as_text, normalized, number, read_cells

SHOWN = {
    "text": ("text", "stem", "item_text", "question_text", "prompt"),
    "answer": ("answer", "key", "answer_key", "correct_answer", "solution"),
    "options": ("options", "choices"),
}
"""Names of the columns that a test in the terminal shows or scores, in order of preference."""

ROLES = ("name", *PARAMETERS, "intercept", *SHOWN)
SYNONYMS = {"id": "name", **{f"irt_{role}": role for role in PARAMETERS}}
"""Roles under the names of a bank's columns."""

TABLE_OF_FIT = {"item", "a", "b", "c", "se_a", "se_b", "se_c", "responses"}
"""Columns of `IRTFit.table`."""

EXPECTED = {
    "a": "a finite number > 0",
    "b": "a finite number, logits",
    "c": "a number in [0, 1)",
    "d": "a number above c and at most 1",
}


@dataclass(frozen=True, eq=False)
class CalibratedItems:
    """Items of a file: parameters and names, and what a test in the terminal shows.

    item_parameters  parameters and names of I items; its `notes` say which columns were used or converted
    text             (I,) texts, empty strings without a column of texts
    answer           (I,) correct answers, empty strings without a column of keys
    options          (I,) options of each item, from which examinees choose; empty without a column of options
    """

    item_parameters: ItemParameters
    text: tuple[str, ...]
    answer: tuple[str, ...]
    options: tuple[tuple[str, ...], ...]

    def __repr__(self) -> str:
        return f"<CalibratedItems: {len(self.item_parameters):,} items>"


def read_items(
    file: str | Path, columns: Mapping[str, str] | None = None, *, encoding: str | None = None
) -> CalibratedItems:
    """Read calibrated items from a text or Parquet file, or from a fitted item response model in JSON.

    file     table with one row per item; the directory of a bank; or the file that `IRTFit.save` or `alsim fit irt
             --out` wrote. Items of a fit without estimates, or with a <= 0, are left out, with a note. So are copies
             in a bank, such as q12@Hard
    columns  {role: name in the file} of columns with another name. The roles are name, a, b, c, d, intercept, text,
             answer and options
    encoding  encoding of a text file, such as latin-1. Default: that of the byte order mark, or UTF-8

    The names of alsim, catR, catsim, ltm and mirt are recognized without `columns`, in upper or lower case. Of mirt, d
    is an intercept, and b = -d / a. A table without a header has the columns a, b, c, d in this order, after names, if
    any. Missing c and d are 0 and 1, and a missing a is 1. Options are separated by | or ;.

    Raises AlsimError, which names file, row, column, value and the expected value.
    """
    path = _table_of(Path(file))
    inside = path.parent if Path(file) != path else None
    if path.suffix.lower() == ".json":
        if columns:
            raise AlsimError(f"{path} is a fitted model, whose columns have fixed names; omit columns (--columns)")
        return _without_texts(load_item_parameters(path))
    known = {*KNOWN, *(alias for aliases in SHOWN.values() for alias in aliases), *(columns or {}).values()}
    cells, notes = with_header(read_cells(path, known, encoding, inside=inside))
    cells, left = usable_rows(cells)
    return _items(cells, columns, [*notes, *left])


def usable_rows(cells: Cells) -> tuple[Cells, list[str]]:
    """Return the items of a table of estimates that have a > 0, and notes about the others; another table unchanged.

    A table of estimates has the columns of `IRTFit.table`, which `alsim fit irt --table` writes. Raises AlsimError if
    no item is left.
    """
    if not TABLE_OF_FIT.issubset(cells.header):
        return cells, []
    a, b, names = (cells.column(title) for title in ("a", "b", "item"))
    is_empty = np.array([not (x and y) for x, y in zip(a, b, strict=True)], np.bool_)
    is_low = np.array([number(x) <= 0 for x in a], np.bool_) & ~is_empty
    array = name_array(names)
    notes = [*left_out(array[is_empty], NO_ESTIMATES), *left_out(array[is_low], LOW_A)]
    rows = np.flatnonzero(~(is_empty | is_low))
    if len(rows) == 0 and notes:
        raise AlsimError(f"{cells.path}: no item has estimates with a > 0; {'; '.join(notes)}")
    return cells._replace(rows=[cells.rows[k] for k in rows], places=[cells.places[k] for k in rows]), notes


def _table_of(path: Path) -> Path:
    """Return the table of questions in the directory of a bank; another path unchanged."""
    if not path.is_dir():
        return path
    tables = [path / name for name in ("questions.csv", "questions.parquet") if (path / name).is_file()]
    if not tables:
        raise AlsimError(
            f"{path} is a directory without questions.csv; expected a table with one row per item, a fitted model in "
            "JSON, or the directory of a bank"
        )
    return tables[0]


def load_item_parameters(path: Path) -> ItemParameters:
    """Return the items of a fitted item response model in JSON, as `items_of` does."""
    from alsim.models.base import load_fit

    fitted: Any = load_fit(path)
    if fitted.model != "irt":
        raise AlsimError(f"{path} is a fit of {fitted.model!r}; expected an item response model: use alsim fit irt")
    return items_of(fitted)


def without_copies(items: ItemParameters) -> ItemParameters:
    """Return the items without copies that fill the cells of a bank: q12@Hard is a copy of q12, one and the same item.

    A note lists the copies.
    """
    row = {str(name): i for i, name in enumerate(items.names)}
    is_copy = np.zeros(len(items), np.bool_)
    for name, i in row.items():
        original, at, level = name.rpartition("@")
        if at and level in DIFFICULTIES and original in row:
            is_copy[i] = all(column[i] == column[row[original]] for column in items.columns)
    if not is_copy.any():
        return items
    notes = (*items.notes, *left_out(items.names[is_copy], "have an original with the same parameters"))
    columns = (column[~is_copy] for column in items.columns)
    return ItemParameters(*columns, names=items.names[~is_copy], notes=notes)


def items_from_table(table: Any, columns: Mapping[str, str] | None = None) -> CalibratedItems:
    """Return the items in an array or a table in memory; see `ItemParameters.from_table`."""
    return _items(_cells_of(table), columns)


def _cells_of(table: Any) -> Cells:
    """Return the cells of an array or a table in memory."""
    path = Path("the table")
    names, values = _columns_of(table)
    if len({len(column) for column in values}) > 1:
        sizes = ", ".join(f"{name} {len(column)}" for name, column in zip(names, values, strict=True))
        raise AlsimError(f"{path}: the columns must have equal lengths, one cell per item; got {sizes}")
    rows = [list(map(as_text, row)) for row in zip(*values, strict=True)]
    return Cells(path, names, rows, [f"row {k}" for k in range(len(rows))])


def _columns_of(table: Any) -> tuple[list[str], list[list[Any]]]:
    """Return the names and the cells of the columns of an array or a table in memory."""
    if isinstance(table, Mapping):
        return list(map(str, table)), [_as_list(column) for column in table.values()]
    if isinstance(table, np.ndarray) and table.dtype.names:
        return list(table.dtype.names), [table[name].tolist() for name in table.dtype.names]
    names = getattr(table, "column_names", None) or list(getattr(table, "columns", ()))
    if names and all(isinstance(name, str) for name in names):  # of Arrow, or of pandas and polars
        values = [_as_list(table[name]) for name in names]
        index = list(getattr(table, "index", ()))
        has_names = bool(index) and all(isinstance(label, str) for label in index)
        return (["", *names], [index, *values]) if has_names else (list(names), values)
    array = np.asarray(table)
    if array.ndim != 2 or not 2 <= array.shape[1] <= len(PARAMETERS) or array.dtype.kind not in "fiu":
        raise AlsimError(
            "expected an array of numbers of shape (I, 2), (I, 3) or (I, 4), with the columns a, b, c and d, or a "
            f"table with these columns; got {type(table).__name__} of shape {array.shape}; ItemParameters(a=1, b=...) "
            "needs difficulties only, and items[:, :4] selects the parameters of a wider array"
        )
    return list(PARAMETERS[: array.shape[1]]), array.T.tolist()


def _as_list(column: Any) -> list[Any]:
    """Return a column of any kind as a list of Python values."""
    for method in ("to_pylist", "tolist", "to_list"):  # of Arrow, NumPy and pandas, polars
        if hasattr(column, method):
            return list(getattr(column, method)())
    if isinstance(column, str) or not isinstance(column, Sequence):
        raise AlsimError(f"a column must be a sequence with one cell per item; got {type(column).__name__}")
    return list(column)


def _items(cells: Cells, columns: Mapping[str, str] | None, notes: Sequence[str] = ()) -> CalibratedItems:
    """Return the items in the cells of a table, after notes about the cells."""
    mapping = {SYNONYMS.get(role, role): title for role, title in (columns or {}).items()}
    if unknown := [role for role in mapping if role not in ROLES]:
        raise AlsimError(f"columns (--columns) must map the roles {', '.join(ROLES)}; got {unknown[0]!r}")
    table = read_parameters(cells, mapping)
    shown = {role: _shown(cells, role, aliases, mapping) for role, aliases in SHOWN.items()}
    _check_keys(cells, shown)
    return CalibratedItems(
        _parameters(table, notes),
        tuple(shown["text"]),
        tuple(shown["answer"]),
        tuple(_split(cell) for cell in shown["options"]),
    )


def _without_texts(items: ItemParameters) -> CalibratedItems:
    """Return items of which only the parameters are known."""
    return CalibratedItems(items, ("",) * len(items), ("",) * len(items), ((),) * len(items))


def _shown(cells: Cells, role: str, aliases: Sequence[str], mapping: Mapping[str, str]) -> list[str]:
    """Return the column of a text, key or options; empty strings without such a column."""
    available = {normalized(title): title for title in cells.header if title not in mapping.values()}
    title = mapping.get(role) or next((available[alias] for alias in aliases if alias in available), None)
    return [""] * len(cells.rows) if title is None else cells.column(title)


def _check_keys(cells: Cells, shown: Mapping[str, list[str]]) -> None:
    """Raise AlsimError for a key that is not among the options of its item."""
    for row, (key, options) in enumerate(zip(shown["answer"], map(_split, shown["options"]), strict=True)):
        if key and options and option_index(key, options) is None:
            raise AlsimError(
                f"{cells.path}, {cells.places[row]}: the answer {key!r} is not among the options "
                f"{', '.join(options)}; expected one of them or its letter: correct the answer or the options"
            )


def option_index(text: str, options: Sequence[str]) -> int | None:
    """Return the index of the option that a text is equal to or the letter of; None for another text."""
    for index, option in enumerate(options):
        if text.casefold() == option.casefold():
            return index
    for index, option in enumerate(options):
        if same_answer(text, option):
            return index
    letter = ascii_lowercase.find(text.lower()) if len(text) == 1 else -1
    return letter if 0 <= letter < len(options) else None


def same_answer(one: str, other: str) -> bool:
    """Return whether two answers are equal: as numbers, such as .5 and 0.5, or as texts in upper or lower case."""
    return one.casefold() == other.casefold() or number(one) == number(other)


def _split(cell: str) -> tuple[str, ...]:
    """Return the options in a cell."""
    separator = "|" if "|" in cell else ";"
    return tuple(part.strip() for part in cell.split(separator) if part.strip())


def _parameters(table: ItemCells, notes: Sequence[str]) -> ItemParameters:
    """Return the parameters and the names. Raises AlsimError for an invalid cell and for a repeated name."""
    numbers = {role: np.array([number(cell) for cell in cells]) for role, cells in table.parameters.items()}
    c, d = numbers.get("c", np.zeros(1)), numbers.get("d", np.ones(1))
    valid = {
        "a": np.isfinite(numbers["a"]) & (numbers["a"] > 0),
        "b": np.isfinite(numbers["b"]),
        "c": (c >= 0) & (c < 1),
        "d": (d > c) & (d <= 1),
    }
    for role, is_valid in valid.items():
        if role in numbers and not is_valid.all():
            raise _fault(table, role, int(np.argmin(is_valid)))
    notes = (*notes, *table.notes)
    return without_copies(ItemParameters(numbers["a"], numbers["b"], c, d, names=_names(table), notes=notes))


def _fault(table: ItemCells, role: str, row: int) -> AlsimError:
    """Return the error for an invalid parameter."""
    title = table.titles.get(role) or table.titles["intercept"]
    cell = table.cells.column(title)[row]
    where = f"{table.cells.path}, {table.cells.places[row]}, column {title}"
    is_low = role == "a" and number(table.parameters["a"][row]) <= 0
    cure = "; such an item often has a wrong answer key: correct the key, or leave the item out" if is_low else ""
    cure = INTERCEPT_CURE if role == "d" else cure
    return AlsimError(f"{where}: {repr(cell) if cell else 'an empty cell'}; expected {EXPECTED[role]}{cure}")


def _names(table: ItemCells) -> list[str] | None:
    """Return the names of the items; None without a column of names. Raises AlsimError unless they are unique."""
    if "name" not in table.titles:
        return None
    title = table.titles["name"]
    names = table.cells.column(title)
    first: dict[str, int] = {}
    for row, name in enumerate(names):
        where = f"{table.cells.path}, {table.cells.places[row]}, column {title or 'of row names'}"
        if not name:
            raise AlsimError(f"{where}: an empty cell; expected the name of an item")
        if first.setdefault(name, row) != row:
            same = table.cells.places[first[name]]
            raise AlsimError(f"{where}: {name!r} is also the name in {same}; expected unique names: rename one item")
    return names
