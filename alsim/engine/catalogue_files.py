"""Items of a catalogue in files: tables and JSON."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from alsim.engine.catalogue import BOUNDS, TYPES, Item, read_item
from alsim.engine.errors import EngineError
from alsim.engine.graph_files import SEPARATORS, bounded_errors, file_error, is_plain, separated, titles
from alsim.errors import AlsimError, closest_name
from alsim.types import MODALITIES
from alsim.utils.files import to_json
from alsim.utils.reading import read_json
from alsim.utils.tables import normalized, number, read_cells

BASIC = Item._fields[:4]
"""Columns that are always written."""
SKILLS = ("skills_taught", "skills_assessed")
WORDS: dict[str, tuple[str, ...]] = {"type": TYPES, "modality": MODALITIES}
"""Columns of words, which a table may have in any case."""
SIMILAR = 0.8
"""Similarity from which an unknown column is taken for a misspelled one, as difflib measures it."""
ITEMS = "items"
"""Key of the list of items in a JSON object."""


def read_items(path: str | Path, *, inside: Path | None = None, source: Path | None = None) -> tuple[Item, ...]:
    """Return the items in a file.

    path    a table (text or Parquet) whose columns are the fields of `Item`, in any order, with one row per item: an
            empty cell is an unknown value, and several skills in a cell are separated by ; | or commas; or a JSON file
            with a list of objects with the fields of `Item`, or with an object {"items": list}
    inside  directory out of which the path must not lead; None: any place
    source  file that is read instead, while it replaces the file at `path`; None: that file

    Only id and one of the fields of skills are required. Other columns and keys are ignored, unless they look like
    misspelled ones. Raises EngineError, which names file, row or item, field, value and cure.
    """
    read = _of_json if Path(path).suffix.lower() == ".json" else _of_table
    with bounded_errors():
        return read(Path(path) if source is None else source, inside)


def items_file(items: Iterable[Item]) -> tuple[str, bytes]:
    """Return the suffix and the content of a file with items, from which `read_items` reads equal ones."""
    listed = tuple(items)
    names = {name for item in listed for name in (*item.skills_taught, *item.skills_assessed)}
    if not all(map(is_plain, names)) or not all(
        item.id == item.id.strip() and item.id.isprintable() for item in listed
    ):
        return ".json", to_json([_object(item) for item in listed])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = [
        name for name in Item._fields if name in BASIC or any(getattr(item, name) is not None for item in listed)
    ]
    writer.writerow(columns)
    writer.writerows([_cell(getattr(item, name)) for name in columns] for item in listed)
    return ".csv", text.getvalue().encode()


def _object(item: Item) -> dict[str, Any]:
    """Return an item as a JSON object, without unknown values."""
    return {name: value for name, value in item._asdict().items() if value is not None}


def _cell(value: Any) -> str:
    """Return a value as text in a table."""
    if value is None:
        return ""
    if isinstance(value, tuple):
        return SEPARATORS[0].join(value)
    return repr(value) if isinstance(value, float) else str(value)


def _of_json(file: Path, inside: Path | None) -> tuple[Item, ...]:
    """Return the items in a JSON file. Raises EngineError."""
    expected = 'a JSON list of objects with id, skills_taught, skills_assessed and type, or {"items": list}'
    try:
        content = read_json(file, inside=inside)
    except (OSError, ValueError) as error:
        raise file_error(file, error, expected) from None
    rows = content.get(ITEMS) if isinstance(content, dict) else content
    if not isinstance(rows, list):
        raise EngineError(f"{file}: expected {expected}; got {content!r:.100}")
    items: list[Item] = []
    known: set[str] = set()
    for number_of_row, row in enumerate(rows):
        if isinstance(row, dict) and not row.keys() <= known:
            for key in row:
                _check_name(key, row, f"{file}, item {row.get('id', number_of_row)!r:.100}", "key")
            known |= row.keys()
        try:
            items.append(read_item(row, number_of_row))
        except EngineError as error:
            raise EngineError(f"{file}: {error}") from None
    return tuple(items)


def _of_table(file: Path, inside: Path | None) -> tuple[Item, ...]:
    """Return the items in a table. Raises EngineError."""
    try:
        cells = read_cells(file, Item._fields, inside=inside)
    except AlsimError as error:
        raise EngineError(str(error)) from None
    names = [normalized(title) for title in cells.header]
    for name in names:
        _check_name(name, names, str(file), "column")
    if "id" not in names or not {*SKILLS} & {*names}:
        missing = "id" if "id" not in names else " or ".join(SKILLS)
        raise EngineError(
            f"{file}: there is no column {missing}; the columns are {titles(cells)}; expected "
            f"{', '.join(BASIC)}, and optionally {', '.join(Item._fields[4:])}"
        )
    columns = [(k, name) for k, name in enumerate(names) if name in Item._fields]
    items: list[Item] = []
    for row, place in enumerate(cells.places):
        try:
            items.append(read_item({name: _value(cells.rows[row][k], name) for k, name in columns}, row))
        except EngineError as error:
            raise EngineError(f"{file}, {place}: {error}") from None
    return tuple(items)


def _value(cell: str, name: str) -> Any:
    """Return the value in a cell of a column, None for an empty cell; a text that is no number stays one."""
    if name in SKILLS:
        return separated(cell)
    if cell == "":
        return TYPES[0] if name == "type" else None
    if name in BOUNDS:
        value = number(cell)
        return cell if math.isnan(value) else value
    if name in WORDS:
        return next((word for word in WORDS[name] if word.casefold() == cell.casefold()), cell)
    return cell


def _check_name(name: Any, used: Iterable[Any] | Mapping[Any, Any], place: str, noun: str) -> None:
    """Raise EngineError for the name of a column or a key that is similar to one which is not used."""
    if name in Item._fields or not isinstance(name, str) or not name:
        return
    lacking = [field for field in Item._fields if field not in used]
    closest = closest_name(name, lacking, SIMILAR)
    if closest is not None:
        raise EngineError(f"{place}: unknown {noun} {name!r:.100}; did you mean {closest!r}? Rename or remove it")


__all__ = ["items_file", "read_items"]
