"""Reader of tables of items in text or Parquet files. Errors name file, row, column, value and the expected value."""

from __future__ import annotations

import reprlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from alsim.bank.items import BOUNDS, BankError, Questions
from alsim.errors import AlsimError
from alsim.models.item_columns import KNOWN, ItemCells, is_numeric, read_parameters, with_header
from alsim.types import Codes, Floats, f32, f64, i8
from alsim.utils.names import MAX_NAME
from alsim.utils.tables import Cells, as_text, normalized, number, read_cells

ROLES = {"id": "name", "irt_a": "a", "irt_b": "b", "irt_c": "c", "irt_d": "d", "intercept": "intercept"}
"""Roles of a bank's columns in a table of calibrated items."""

FIT_SUFFIX = ".json"

OUTCOME_NAMES = ("learning_outcome", "lo", "outcome", "skill", "topic", "domain", "objective")
"""Names of the column of learning outcomes, in order of preference."""


@dataclass(frozen=True)
class Table:
    """The cells of a file as text. Columns are accessed by alsim's names, and errors show those of the file."""

    path: Path
    places: list[str]  # place of each row: "line 2" of a text file, "row 1" of a Parquet file
    columns: dict[str, list[str]]  # cells by alsim's name of the column
    titles: Mapping[str, str]  # name in the file by alsim's name
    header: list[str]  # names in the file, in its order

    @property
    def unknown(self) -> list[str]:
        """Columns of the file that alsim does not know."""
        return [title for title in self.header if title not in self.titles.values()]

    def require(self, names: Collection[str], hint: str = "") -> None:
        """Raise BankError, whose message ends with `hint`, if the table lacks any of the columns."""
        if missing := [self.titles.get(name, name) for name in names if name not in self.columns]:
            header = ", ".join(self.header)
            raise BankError(f"{self.path}: there is no column {', '.join(missing)}; the columns are {header}{hint}")

    def fault(self, column: str, row: int, expected: str) -> BankError:
        """Return the error for an invalid cell."""
        cell = self.columns[column][row]
        value = reprlib.repr(cell) if cell else "an empty cell"
        return BankError(f"{self.path}, {self.places[row]}, column {self.titles[column]}: {value}; expected {expected}")

    def labels(self, column: str) -> list[str]:
        """Return a column of names. Raises BankError for an empty cell."""
        cells = self.columns[column]
        if "" in cells:
            raise self.fault(column, cells.index(""), "a name")
        longest = max(range(len(cells)), key=lambda row: len(cells[row]))
        if len(cells[longest]) > MAX_NAME:
            raise self.fault(column, longest, f"a name of at most {MAX_NAME:,} characters")
        return cells

    def ids(self, column: str = "id") -> tuple[str, ...]:
        """Return a column of unique names. Raises BankError for a duplicate or an empty cell."""
        first: dict[str, int] = {}
        for row, cell in enumerate(self.labels(column)):
            if first.setdefault(cell, row) != row:
                raise self.fault(column, row, f"a unique id; {self.places[first[cell]]} has the same")
        return tuple(first)

    def codes(self, column: str, words: tuple[str, ...]) -> Codes:
        """Return the index of each cell in `words`, ignoring case. Raises BankError for another word."""
        index = {word.lower(): code for code, word in enumerate(words)}
        codes = [index.get(cell.lower(), -1) for cell in self.columns[column]]
        if -1 in codes:
            raise self.fault(column, codes.index(-1), f"one of {', '.join(words)}")
        return np.array(codes, i8)

    def numbers(self, column: str, bound: str | None = None) -> Floats:
        """Return a column of numbers as float32. Raises BankError for values outside the bounds.

        column  name of the column
        bound   name of the column whose bounds apply; by default the column itself
        """
        expected, is_within = BOUNDS[bound or column]
        values = np.array([number(cell) for cell in self.columns[column]], f64)
        with np.errstate(over="ignore"):  # values too large for float32 become infinite, and are rejected
            single = values.astype(f32)
        invalid = ~(np.isfinite(single) & is_within(single))
        if invalid.any():
            raise self.fault(column, int(invalid.argmax()), expected)
        return single


def read_table(path: Path, titles: Mapping[str, str], *, inside: Path | None = None) -> Table:
    """Read a table with a header, as `alsim.utils.tables.read_cells` does.

    path    file to read
    titles  name in the file by alsim's name; columns that the file lacks are left out
    inside  see `alsim.utils.reading.open_file`

    Raises BankError for a file that cannot be read, that is not a table, or that has no row.
    """
    return as_table(read_bank_cells(path, titles.values(), inside), titles)


def read_bank_cells(path: Path, known: Collection[str], inside: Path | None = None) -> Cells:
    """Return the cells of a file, see `read_cells`. Raises BankError for a file that is not a table."""
    try:
        return read_cells(path, known, inside=inside)
    except AlsimError as error:
        raise BankError(str(error)) from None


def as_table(cells: Cells, titles: Mapping[str, str]) -> Table:
    """Return the table of the columns in `titles`, {alsim's name: name in the file}. Raises BankError without rows."""
    if not cells.rows:
        raise BankError(f"{cells.path}: there is no row below the header; expected one row per item")
    return Table(
        path=cells.path,
        places=cells.places,
        columns={ours: cells.column(title) for ours, title in titles.items() if title in cells.header},
        titles=titles,
        header=cells.header,
    )


def read_questions(path: Path, columns: Mapping[str, str], encoding: str | None = None) -> tuple[Table, list[str]]:
    """Read a table of questions, or a fitted item response model in JSON, as `complete_bank` describes.

    Returns the table, with at least the columns learning_outcome, irt_a and irt_b, and notes about what was assumed.
    Raises BankError.
    """
    mapping = {next((name for name, role in ROLES.items() if key == role), key): col for key, col in columns.items()}
    known = (*Questions._fields, "irt_d", "intercept")
    if unknown := [name for name in mapping if name not in known]:
        raise BankError(f"columns: keys must be among {', '.join(known)}; got {unknown[0]!r}")
    try:
        cells, notes = _calibrated_cells(path, {*KNOWN, *OUTCOME_NAMES, *known, *mapping.values()}, encoding)
        items = read_parameters(cells, {ROLES.get(name, name): title for name, title in mapping.items()})
    except BankError:
        raise
    except AlsimError as error:
        raise BankError(str(error)) from None
    notes += items.notes
    return _question_table(items, notes), notes


def _calibrated_cells(path: Path, known: Collection[str], encoding: str | None = None) -> tuple[Cells, list[str]]:
    """Return the cells of a file and notes about them; of a fitted model, the cells of its parameters."""
    if path.suffix.lower() != FIT_SUFFIX:
        from alsim.models.irt.items import usable_rows

        cells, notes = with_header(read_cells(path, known, encoding))
        cells, left = usable_rows(cells)
        return cells, [*notes, *left]
    from alsim.models.irt.items import load_item_parameters

    items = load_item_parameters(path)
    rows = [list(map(as_text, row)) for row in zip(items.names, *(x.tolist() for x in items.columns), strict=True)]
    places = [f"item {name}" for name in items.names]
    return Cells(path, ["id", "irt_a", "irt_b", "irt_c", "irt_d"], rows, places), list(items.notes)


def _question_table(items: ItemCells, notes: list[str]) -> Table:
    """Return the table of questions in a table of calibrated items; add notes about missing columns to `notes`."""
    cells, titles = items.cells, dict(items.titles)
    available = {normalized(title): title for title in cells.header if title and title not in titles.values()}
    for name in ("response_time_mean", "response_time_std"):
        if name not in titles and name in available:
            titles[name] = available.pop(name)
    if "difficulty" not in titles and "difficulty" in available:
        if is_numeric(cells.column(available["difficulty"])):
            notes.append(f"column {available.pop('difficulty')} has numbers, and is not used: the levels follow from b")
        else:
            titles["difficulty"] = available.pop("difficulty")
    if "learning_outcome" not in titles and cells.path.suffix.lower() == FIT_SUFFIX:
        notes.append("a fit has no learning outcomes, so all questions have one outcome, 0")
    elif "learning_outcome" not in titles:
        _find_outcome(titles, available, notes)
    columns = {name: cells.column(title) for name, title in titles.items()}
    columns |= items.parameters
    columns.setdefault("learning_outcome", ["0"] * len(cells.rows))
    titles.setdefault("b", titles.get("intercept", ""))
    names = {role: name for name, role in ROLES.items()}
    return Table(
        path=cells.path,
        places=cells.places,
        columns={names.get(role, role): column for role, column in columns.items()},
        titles={names.get(role, role): titles.get(role, role) for role in columns},
        header=cells.header,
    )


def _find_outcome(titles: dict[str, str], available: dict[str, str], notes: list[str]) -> None:
    """Find the column of learning outcomes and add a note, unless the column has alsim's name."""
    name = next((name for name in OUTCOME_NAMES if name in available), None)
    if name is not None:
        titles["learning_outcome"] = available.pop(name)
        if name != "learning_outcome":
            notes.append(f"column {titles['learning_outcome']} has the learning outcomes")
        return
    unused = list(available.values())
    others = f" (unused columns: {', '.join(unused[:6])}{', ...' if len(unused) > 6 else ''})" if unused else ""
    notes.append(
        "there is no column of learning outcomes, so all questions have one outcome, 0; "
        f"--columns learning_outcome=NAME names a column{others}"
    )
