"""The graph of prerequisites: edges from a parent, which is learned first, to a child."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from alsim.errors import AlsimError, did_you_mean
from alsim.types import GRAPH_GROUP, Graph, Ints, f32, i32, safe_repr
from alsim.utils.reading import read_toml, reason
from alsim.utils.tables import Cells, read_cells

Outcome = int | str
Edge = tuple[Outcome, Outcome]
Cycles = Literal["refuse", "drop"]

MOST_EDGES = 1_000_000
SEPARATORS = ",;|"
"""Separators of several prerequisites in one cell of the column PREREQUISITES."""
PREREQUISITES = "prerequisites"
PARENTS, CHILDREN = ("parent", "prerequisite", PREREQUISITES, "source"), ("child", "skill", "outcome", "target")
"""Names of the two columns of a table, in order of preference."""


IN_PYTHON = ", or make the curriculum in Python with cycles='drop'"
"""Cure for cycles that a configuration file does not have."""


class CurriculumError(AlsimError):
    """An invalid graph of prerequisites: the message names the edge or the cycle."""


class Curriculum:
    """Prerequisites of learning outcomes, without cycles.

    edges   pairs (parent, child) of learning outcomes, by name or by index from 0; a pair that occurs again is ignored
    cycles  "refuse" raises an error for a cycle; "drop" leaves out each edge that would close one with the edges before
            it, and lists it in `dropped`

    Raises CurriculumError.
    """

    def __init__(self, edges: Iterable[Sequence[Outcome]] = (), *, cycles: Cycles = "refuse") -> None:
        if cycles not in ("refuse", "drop"):
            raise CurriculumError(f"cycles must be 'refuse' or 'drop'; got {cycles!r}")
        unique = [*dict.fromkeys(_read_edge(edge, number) for number, edge in enumerate(_listed(edges)))]
        self.dropped: tuple[Edge, ...] = ()
        """Edges that were left out, with cycles="drop"."""
        if cycles == "drop":
            unique, self.dropped = _without_cycles(unique)
        self.edges: tuple[Edge, ...] = tuple(unique)
        """The other edges, in the order given, without repetitions."""
        self.order: tuple[Outcome, ...] = _topological_order(self.edges)
        """The outcomes of the edges, each one after its parents."""

    @classmethod
    def read(cls, source: Any, *, cycles: Cycles = "refuse") -> Curriculum:
        """Return the curriculum of a source.

        source  a Curriculum; pairs (parent, child); a mapping from each child to its parents; or the path of a table
                (text or Parquet) with one edge per row in the columns parent and child, or with one row per skill in
                the columns skill and prerequisites (several in a cell are separated by commas); or of a TOML file with
                lines such as fractions = ["division", "ratios"]
        cycles  see `Curriculum`

        Raises CurriculumError, which names the file.
        """
        if isinstance(source, Curriculum):
            return source
        if not isinstance(source, str | Path):
            return cls(_edges_of_mapping(source) if isinstance(source, Mapping) else source, cycles=cycles)
        path = Path(source)
        try:
            return cls(_edges_of_file(path), cycles=cycles)
        except CurriculumError as error:
            raise CurriculumError(f"{path}: {error}") from None

    def __eq__(self, other: object) -> bool:
        """Return whether both have the same edges, in any order."""
        return isinstance(other, Curriculum) and set(self.edges) == set(other.edges)

    def __hash__(self) -> int:
        return hash(frozenset(self.edges))

    @safe_repr
    def __repr__(self) -> str:
        """Return the numbers of outcomes and edges."""
        return f"<Curriculum: {len(self.order)} outcomes, {len(self.edges)} edges>"

    def graph(self, outcomes: Sequence[str]) -> Graph:
        """Return the parents of each outcome as arrays.

        outcomes  names of the L learning outcomes of a bank

        The parents of an outcome are in ascending order. Raises CurriculumError for an outcome that does not exist, and
        for a cycle of edges that mix names and indices.
        """
        index = {name: k for k, name in enumerate(outcomes)}
        edges = [(_place(parent, index), _place(child, index)) for parent, child in self.edges]
        _topological_order(edges, outcomes)
        parents: list[list[int]] = [[] for _ in outcomes]
        for parent, child in edges:
            parents[child].append(parent)
        lists = [sorted(set(listed)) for listed in parents]
        widths = [GRAPH_GROUP * max(1, -(-len(listed) // GRAPH_GROUP)) for listed in lists]
        first: Ints = np.cumsum([0, *widths]).astype(i32)
        places, weights = np.zeros(first[-1], i32), np.zeros(first[-1], f32)
        for start, listed in zip(first.tolist(), lists, strict=False):
            own = slice(start, start + len(listed))
            places[own], weights[own] = listed, 1
        return Graph(first=first, parents=places, weights=weights)


def _listed(edges: Any) -> list[Any]:
    """Return edges as a list. Raises CurriculumError for something else."""
    if isinstance(edges, np.ndarray):
        edges = edges.tolist()
    if isinstance(edges, str | bytes) or not isinstance(edges, Iterable):
        raise CurriculumError(f"a curriculum must be pairs (parent, child) of learning outcomes; got {edges!r:.100}")
    listed = [*edges]
    if len(listed) > MOST_EDGES:
        raise CurriculumError(f"a curriculum must have at most {MOST_EDGES:,} edges; got {len(listed):,}")
    return listed


def _read_edge(edge: Any, number: int) -> Edge:
    """Return an edge. Raises CurriculumError for something else, and for a loop."""
    is_pair = isinstance(edge, Sequence | np.ndarray) and not isinstance(edge, str | bytes) and len(edge) == 2
    ends = [end.item() if isinstance(end, np.generic) else end for end in edge] if is_pair else []
    if not is_pair or not all(isinstance(end, int | str) and not isinstance(end, bool) and end != "" for end in ends):
        raise CurriculumError(
            f"edge {number} must be a pair (parent, child) of names or indices of learning outcomes; got {edge!r:.100}"
        )
    return cast(Edge, tuple(ends))


def _topological_order(edges: Sequence[Edge], names: Sequence[str] = ()) -> tuple[Outcome, ...]:
    """Return the outcomes of edges, parents first. Raises CurriculumError, which shows a cycle.

    names  names of the outcomes if the edges have their indices, for messages
    """
    cure = "" if names else IN_PYTHON
    sorter: TopologicalSorter[Outcome] = TopologicalSorter()
    for parent, child in edges:
        if parent == child:
            raise CurriculumError(f"{_name(parent, names)!r} is its own prerequisite: remove this edge{cure}")
        sorter.add(child, parent)
    try:
        return tuple(sorter.static_order())
    except CycleError as error:
        circle = " → ".join(str(_name(outcome, names)) for outcome in error.args[1])
        raise CurriculumError(f"prerequisites form a cycle: {circle}; remove one of these edges{cure}") from None


def _name(outcome: Outcome, names: Sequence[str]) -> Outcome:
    """Return the name of an outcome with an index, or the outcome itself without names."""
    return names[outcome] if names and isinstance(outcome, int) else outcome


def _without_cycles(edges: Sequence[Edge]) -> tuple[list[Edge], tuple[Edge, ...]]:
    """Return the edges that close no cycle with those before them, and the others."""
    children: dict[Outcome, list[Outcome]] = {}
    have_parents: set[Outcome] = set()
    kept: list[Edge] = []
    dropped: list[Edge] = []
    for parent, child in edges:
        may_close = parent == child or (parent in have_parents and child in children)  # avoids most searches
        if may_close and parent in _reachable(child, children):
            dropped.append((parent, child))
        else:
            children.setdefault(parent, []).append(child)
            have_parents.add(child)
            kept.append((parent, child))
    return kept, tuple(dropped)


def _reachable(start: Outcome, children: Mapping[Outcome, list[Outcome]]) -> set[Outcome]:
    """Return the outcomes that edges lead to from one, with itself."""
    found, waiting = {start}, [start]
    while waiting:
        for child in children.get(waiting.pop(), []):
            if child not in found:
                found.add(child)
                waiting.append(child)
    return found


def _place(outcome: Outcome, index: Mapping[str, int]) -> int:
    """Return the index of a learning outcome. Raises CurriculumError for an unknown one."""
    if isinstance(outcome, int):
        if 0 <= outcome < len(index):
            return outcome
        raise CurriculumError(
            f"the curriculum has the learning outcome {outcome}; expected an index in [0, {len(index)})"
        )
    if outcome not in index:
        raise CurriculumError(
            f"the curriculum has the learning outcome {outcome!r}, which the bank does not have"
            f"{did_you_mean(outcome, index)}"
        )
    return index[outcome]


# ── files ────────────────────────────────────────────────────────────────────────────────────────


def _edges_of_mapping(parents: Mapping[Any, Any]) -> list[Any]:
    """Return the edges of a mapping from each child to its parents. Raises CurriculumError."""
    edges: list[Any] = []
    for child, listed in parents.items():
        if isinstance(listed, str | bytes | Mapping) or not isinstance(listed, Iterable):
            raise CurriculumError(f"the prerequisites of {child!r} must be a list; got {listed!r:.100}")
        edges += [(parent, child) for parent in listed]
    return edges


def _edges_of_file(path: Path) -> list[Any]:
    """Return the edges of a file. Raises CurriculumError."""
    if path.suffix.lower() == ".toml":
        try:
            return _edges_of_mapping(read_toml(path))
        except (OSError, ValueError) as error:
            raise CurriculumError(f"expected a TOML file with lists of prerequisites: {reason(error)}") from None
    try:
        cells = read_cells(path, (*PARENTS, *CHILDREN))
    except AlsimError as error:
        raise CurriculumError(str(error).removeprefix(f"{path}: ")) from None
    parent, child = _column(cells, PARENTS), _column(cells, CHILDREN)
    edges: list[Any] = []
    for place, listed, skill in zip(cells.places, cells.column(parent), cells.column(child), strict=True):
        parents = _separated(listed) if parent == PREREQUISITES else [listed]
        if skill == "" or "" in parents:
            empty = child if skill == "" else parent
            raise CurriculumError(f"{place}, column {empty}: the cell is empty; expected a learning outcome")
        edges += [(name, skill) for name in parents]
    return edges


def _column(cells: Cells, names: Sequence[str]) -> str:
    """Return the first of these columns that a table has. Raises CurriculumError."""
    for name in names:
        if name in cells.header:
            return name
    raise CurriculumError(
        f"there is no column {names[0]}; the columns are {', '.join(cells.header)}; expected one of {', '.join(names)}"
    )


def _separated(cell: str) -> list[str]:
    """Return the prerequisites in a cell."""
    for separator in SEPARATORS[1:]:
        cell = cell.replace(separator, SEPARATORS[0])
    return [name for part in cell.split(SEPARATORS[0]) if (name := part.strip())]


__all__ = ["Curriculum", "CurriculumError", "Cycles"]
