"""Graphs of skills in files: tables, JSON and TOML."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alsim.engine.errors import EngineError
from alsim.engine.graph import SkillGraph
from alsim.errors import AlsimError, did_you_mean
from alsim.utils.files import to_json
from alsim.utils.reading import missing_file_cure, read_json, read_toml, reason
from alsim.utils.tables import Cells, normalized, read_cells

SEPARATORS = ";|,"
"""Separators of several skills in one cell; the first is written."""
SKILL, PREREQUISITES = "skill", "prerequisites"
"""Columns of a table with one row per skill."""
MAX_MESSAGE = 2000
"""Characters of an error."""
MAX_TITLES = 20
"""Number of columns that a message lists."""
PARENT, CHILD = "parent", "child"
"""Columns of a table with one row per prerequisite."""


def read_graph(path: str | Path, *, inside: Path | None = None, source: Path | None = None) -> SkillGraph:
    """Return the graph of skills in a file.

    path    a table (text or Parquet) with one row per skill in the columns skill and prerequisites, several in a cell
            separated by ; | or commas, or with one row per prerequisite in the columns parent and child; or a JSON or
            TOML file that maps each skill to the list of its prerequisites
    inside  directory out of which the path must not lead; None: any place
    source  file that is read instead, while it replaces the file at `path`; None: that file

    In a table of rows parent and child, a row without parent is a skill without prerequisites. Raises EngineError,
    which names the file, for an invalid file, an unknown prerequisite and a cycle.
    """
    file = Path(path)
    suffix = file.suffix.lower()
    read = _of_json if suffix == ".json" else _of_toml if suffix == ".toml" else _of_table
    with bounded_errors():
        parents = read(file if source is None else source, inside)
        try:
            return SkillGraph(parents)
        except EngineError as error:
            raise type(error)(f"{file}: {error}") from None


def graph_table(graph: SkillGraph) -> bytes | None:
    """Return a graph as a table with one row per skill; None if names have separators or spaces at their ends."""
    if not all(map(is_plain, graph.skills)):
        return None
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([SKILL, PREREQUISITES])
    writer.writerows([skill, SEPARATORS[0].join(parents)] for skill, parents in graph.prerequisites().items())
    return text.getvalue().encode()


def graph_file(graph: SkillGraph) -> tuple[str, bytes]:
    """Return the suffix and the content of a file with a graph, from which `read_graph` reads an equal one."""
    table = graph_table(graph)
    return (".json", to_json(graph.prerequisites())) if table is None else (".csv", table)


def is_plain(name: str) -> bool:
    """Return whether a name reads back from a cell with several skills."""
    return name == name.strip() and name.isprintable() and not any(sign in name for sign in SEPARATORS)


def separated(cell: str) -> list[str]:
    """Return the skills in a cell."""
    for separator in SEPARATORS[1:]:
        cell = cell.replace(separator, SEPARATORS[0])
    return [name for part in cell.split(SEPARATORS[0]) if (name := part.strip())]


@contextmanager
def bounded_errors() -> Iterator[None]:
    """Shorten the messages of errors within the context: names in files can have any length."""
    try:
        yield
    except EngineError as error:
        text = str(error)
        if len(text) <= MAX_MESSAGE:
            raise
        raise type(error)(f"{text[:MAX_MESSAGE]}...") from None


def titles(cells: Cells) -> str:
    """Return the first columns of a table, for messages."""
    more = len(cells.header) - MAX_TITLES
    return ", ".join(f"{title:.40}" for title in cells.header[:MAX_TITLES]) + (
        f" and {more:,} more" if more > 0 else ""
    )


def file_error(file: Path, error: Exception, expected: str) -> EngineError:
    """Return the error of a file that cannot be read, with its cure."""
    if isinstance(error, FileNotFoundError):
        return EngineError(f"{file}: there is no such file; {missing_file_cure(file)}")
    return EngineError(f"{file}: {reason(error)}; expected {expected}")


def _of_json(file: Path, inside: Path | None) -> Mapping[str, Any]:
    """Return the prerequisites in a JSON file. Raises EngineError."""
    expected = 'a JSON object that maps each skill to its prerequisites, such as {"sums": [], "fractions": ["sums"]}'
    try:
        content = read_json(file, inside=inside)
    except (OSError, ValueError) as error:
        raise file_error(file, error, expected) from None
    if not isinstance(content, dict):
        raise EngineError(f"{file}: expected {expected}; got {content!r:.100}")
    return content


def _of_toml(file: Path, inside: Path | None) -> Mapping[str, Any]:
    """Return the prerequisites in a TOML file. Raises EngineError."""
    try:
        return read_toml(file, inside=inside)
    except (OSError, ValueError) as error:
        raise file_error(file, error, 'a TOML file with lines such as fractions = ["division"]') from None


def _of_table(file: Path, inside: Path | None) -> Mapping[str, list[str]]:
    """Return the prerequisites in a table. Raises EngineError."""
    try:
        cells = read_cells(file, (SKILL, PREREQUISITES, PARENT, CHILD), inside=inside)
    except AlsimError as error:
        raise EngineError(str(error)) from None
    columns = {normalized(title): title for title in cells.header}
    if SKILL in columns and PREREQUISITES in columns:
        return _of_skills(cells, columns)
    if PARENT in columns and CHILD in columns:
        return _of_pairs(cells, columns)
    raise EngineError(f"{file}: expected the columns skill and prerequisites, or parent and child; got {titles(cells)}")


def _of_skills(cells: Cells, columns: Mapping[str, str]) -> Mapping[str, list[str]]:
    """Return the prerequisites in a table with one row per skill. Raises EngineError."""
    found: dict[str, list[str]] = {}
    places: dict[str, str] = {}
    listed = cells.column(columns[PREREQUISITES])
    for place, skill, cell in zip(cells.places, cells.column(columns[SKILL]), listed, strict=True):
        if not skill:
            raise EngineError(f"{cells.path}, {place}, column {columns[SKILL]}: the cell is empty; expected a skill")
        if skill in found:
            raise EngineError(
                f"{cells.path}, {place}: the skill {skill!r} also has {places[skill]}; write all its prerequisites "
                f"into one row, separated by {SEPARATORS[0]}"
            )
        found[skill], places[skill] = separated(cell), place
    for skill, parents in found.items():
        if lost := next((name for name in parents if name not in found), None):
            raise EngineError(
                f"{cells.path}, {places[skill]}: the skill {skill!r} has the prerequisite {lost!r}, which has no row"
                f"{did_you_mean(lost, found) or ': add one, with an empty cell if it needs no other skill'}"
            )
    return found


def _of_pairs(cells: Cells, columns: Mapping[str, str]) -> Mapping[str, list[str]]:
    """Return the prerequisites in a table with one row per pair of parent and child. Raises EngineError."""
    found: dict[str, list[str]] = {}
    pairs = zip(cells.places, cells.column(columns[PARENT]), cells.column(columns[CHILD]), strict=True)
    for place, parent, child in pairs:
        if not child:
            raise EngineError(f"{cells.path}, {place}, column {columns[CHILD]}: the cell is empty; expected a skill")
        if parent:
            found.setdefault(parent, [])
        found.setdefault(child, []).extend([parent] if parent else [])
    return found


__all__ = ["bounded_errors", "file_error", "graph_file", "graph_table", "is_plain", "read_graph", "separated", "titles"]
