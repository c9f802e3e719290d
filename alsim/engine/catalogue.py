"""Items of an engine: questions and contents, with the skills that each teaches and assesses."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np

from alsim.engine.checks import LONGEST_NAME, as_number, is_name
from alsim.engine.errors import EngineError, UnknownName
from alsim.engine.graph import SkillGraph
from alsim.errors import did_you_mean
from alsim.types import MODALITIES, Bools, Keys, Longs, describe, safe_repr, short_repr

if TYPE_CHECKING:
    from alsim.bank.items import Bank

ItemType = Literal["question", "content"]
TYPES: tuple[ItemType, ...] = get_args(ItemType)
MAX_ITEMS = 10**6
"""Largest number of items of a catalogue."""


@short_repr
class Item(NamedTuple):
    """One item of a catalogue."""

    id: str
    skills_taught: tuple[str, ...] = ()
    skills_assessed: tuple[str, ...] = ()
    type: ItemType = "question"
    difficulty: float | None = None
    """Difficulty b that an expert expects, logits; None if unknown."""
    difficulty_sd: float | None = None
    """Standard deviation of the expert's error, logits; None for the default of the model."""
    discrimination: float | None = None
    """Discrimination a, 1/logit; None for the default of the model."""
    guess: float | None = None
    """Probability of a correct answer without knowing the skills; None for that of the model."""
    slip: float | None = None
    """Probability of a wrong answer while knowing the skills; None for that of the model."""
    modality: str | None = None
    """Modality of a content, one of `alsim.types.MODALITIES`; None if unknown."""


class Bound(NamedTuple):
    """Bounds of a number of an item, which are no allowed values themselves."""

    low: float
    high: float
    words: str


BOUNDS = {
    "difficulty": Bound(-math.inf, math.inf, "a finite number of logits"),
    "difficulty_sd": Bound(0, math.inf, "a positive number of logits"),
    "discrimination": Bound(0, math.inf, "a positive number"),
    "guess": Bound(0, 1, "a probability in (0, 1)"),
    "slip": Bound(0, 1, "a probability in (0, 1)"),
}


class Members(NamedTuple):
    """Skills of each item: item i has skill[start[i]:start[i + 1]]."""

    start: Longs  # (I + 1,)
    skill: Longs  # (X,)

    def of(self, item: int) -> Longs:
        """Return the skills of one item, ascending."""
        return self.skill[self.start[item] : self.start[item + 1]]


class Catalogue:
    """Items of an engine and the graph of their skills. I items, K skills.

    items  Items, or mappings with `id`, `skills_taught`, `skills_assessed`, `type` and the other fields of `Item`;
           other keys are ignored
    graph  SkillGraph, {skill: prerequisites}, or `Curriculum`

    Raises EngineError, which names the item, for an empty catalogue, an invalid field, an id that occurs twice, and an
    unknown skill.
    """

    def __init__(self, items: Iterable[Item | Mapping[str, Any]], graph: Any) -> None:
        self.graph = SkillGraph.read(graph)
        if isinstance(items, str | bytes | Mapping) or not isinstance(items, Iterable):
            raise EngineError(f"the catalogue must be a list of items; got {items!r:.100}; read files with read_items")
        self.items: tuple[Item, ...] = tuple(read_item(item, number) for number, item in enumerate(items))
        """Items in the order of the catalogue."""
        if not 1 <= len(self.items) <= MAX_ITEMS:
            raise EngineError(f"the catalogue must have from 1 to {MAX_ITEMS:,} items; got {len(self.items):,}")
        self.index: dict[str, int] = {item.id: k for k, item in enumerate(self.items)}
        """Number of each item."""
        if len(self.index) < len(self.items):
            twice = next(item.id for k, item in enumerate(self.items) if self.index[item.id] != k)
            raise EngineError(f"the catalogue has the item {twice!r} more than once: give each item an id of its own")
        self.is_question: Bools = np.array([item.type == "question" for item in self.items])
        """True for questions, (I,)."""
        self.taught = self._members("skills_taught")
        """Skills that each item teaches."""
        self.assessed = self._members("skills_assessed")
        """Skills that each item assesses."""
        self.hashes: Keys = np.array([hash_of(item.id) for item in self.items], np.uint64)
        """Hash of each id, (I,), with which ties are broken."""
        self.digest = self._digest()
        """Digest of items and graph, 16 hexadecimal digits."""

    @classmethod
    def read(cls, path: str | Path, graph: Any, *, inside: Path | None = None) -> Catalogue:
        """Return the catalogue with the items of a file.

        path    table or JSON file, see `alsim.engine.catalogue_files.read_items`
        graph   graph as that of `Catalogue`, or a file, see `alsim.engine.graph_files.read_graph`
        inside  directory out of which the path must not lead; None: any place

        Raises EngineError, which names the file.
        """
        from alsim.engine.catalogue_files import read_items
        from alsim.engine.graph_files import bounded_errors, read_graph

        skills = read_graph(graph) if isinstance(graph, str | Path) else SkillGraph.read(graph)
        items = read_items(path, inside=inside)
        with bounded_errors():
            try:
                return cls(items, skills)
            except EngineError as error:
                raise type(error)(f"{path}: {error}") from None

    @classmethod
    def of_bank(cls, bank: Bank, curriculum: Any = ()) -> Catalogue:
        """Return the catalogue of an item bank, whose learning outcomes are the skills.

        bank        questions and contents. A question teaches and assesses its outcome, and has the discrimination,
                    difficulty and guessing of the bank; a content teaches its outcome, and has its modality
        curriculum  prerequisites of the outcomes, by name or index: a Curriculum or anything that it reads; None and
                    () for none

        A guessing of 0 is left to the model. Raises EngineError if a question and a content have the same id, and for a
        curriculum with an outcome that the bank does not have.
        """
        from alsim.engine.bank_items import bank_graph, bank_items

        return cls(bank_items(bank), bank_graph(bank, curriculum))

    def __len__(self) -> int:
        return len(self.items)

    @safe_repr
    def __repr__(self) -> str:
        questions = int(self.is_question.sum())
        contents = len(self) - questions
        return f"<Catalogue: {questions:,} questions and {contents:,} contents about {len(self.graph):,} skills>"

    @property
    def skills(self) -> tuple[str, ...]:
        """Names of the skills, (K,)."""
        return self.graph.skills

    def number(self, item: str) -> int:
        """Return the number of an item. Raises UnknownName."""
        try:
            return self.index[item]
        except (KeyError, TypeError):
            cure = did_you_mean(str(item), self.index) if len(self.index) <= 10_000 else ""
            raise UnknownName(
                f"the catalogue has no item {item!r:.100}{cure or ': use the id of an item of the catalogue'}"
            ) from None

    def _members(self, field: str) -> Members:
        """Return the skills of each item in one of its fields. Raises UnknownName."""
        index = self.graph.index
        rows: list[list[int]] = []
        for item in self.items:
            names = getattr(item, field)
            try:
                rows.append(sorted({index[name] for name in names}))
            except KeyError:
                lost = next(name for name in names if name not in index)
                cure = did_you_mean(lost, self.graph.skills) or ": add it to the graph"
                raise UnknownName(f"item {item.id!r}, {field}: the graph has no skill {lost!r}{cure}") from None
        start = np.cumsum([0, *map(len, rows)]).astype(np.int64)
        return Members(start, np.array([k for row in rows for k in row], np.int64))

    def _digest(self) -> str:
        """Return the digest of everything on which scores and states depend."""
        content = json.dumps([self.items, list(self.graph.skills), self.graph.edges.tolist()]).encode()
        return hashlib.sha256(content).hexdigest()[:16]


def hash_of(text: str) -> int:
    """Return a hash of a text in [0, 2**64), the same on every machine."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def read_item(source: Item | Mapping[str, Any], number: int) -> Item:
    """Return an item of a catalogue. Raises EngineError, which names the item by its id or else its number from 0."""
    values = source._asdict() if isinstance(source, Item) else source
    if not isinstance(values, Mapping):
        raise EngineError(
            f"item {number} of the catalogue must be a mapping with id, skills_taught, skills_assessed and type; "
            f"got {source!r:.100}"
        )
    name = values.get("id")
    if not is_name(name):
        raise EngineError(
            f"item {number} of the catalogue must have an id, text of 1 to {LONGEST_NAME} printable characters; got "
            f"{name!r:.100}"
        )
    kind = values.get("type", "question")
    if kind not in TYPES:
        raise EngineError(f"item {name!r}: type must be {' or '.join(map(repr, TYPES))}; got {kind!r:.100}")
    taught, assessed = (_skills(name, field, values.get(field)) for field in ("skills_taught", "skills_assessed"))
    if kind == "question" and not assessed:
        raise EngineError(f"item {name!r} is a question and must assess a skill: add one to skills_assessed")
    if kind == "content" and not taught:
        raise EngineError(f"item {name!r} is a content and must teach a skill: add one to skills_taught")
    modality = values.get("modality")
    if modality is not None and modality not in MODALITIES:
        raise EngineError(f"item {name!r}: modality must be one of {', '.join(MODALITIES)}; got {modality!r:.100}")
    numbers = {field: _number(name, field, values.get(field)) for field in BOUNDS}
    return Item(name, taught, assessed, kind, modality=modality, **numbers)


def _skills(item: str, field: str, value: Any) -> tuple[str, ...]:
    """Return the skills of an item in one of its fields. Raises EngineError."""
    if value is None:
        return ()
    if isinstance(value, str | bytes) or not isinstance(value, Sequence | set | frozenset):
        raise EngineError(f"item {item!r}: {field} must be a list of skills; got {value!r:.100}")
    names = tuple(sorted(value, key=str) if isinstance(value, set | frozenset) else value)
    for name in names:
        if not isinstance(name, str) or not name:
            raise EngineError(f"item {item!r}: {field} must contain names of skills; got {name!r:.100}")
    return tuple(dict.fromkeys(names))


def _number(item: str, field: str, value: Any) -> float | None:
    """Return a number of an item, or None. Raises EngineError."""
    if value is None:
        return None
    bound = BOUNDS[field]
    found = as_number(value)
    if not bound.low < found < bound.high:
        raise EngineError(f"item {item!r}: {field} must be {bound.words}; got {describe(value)}")
    return found


__all__ = ["TYPES", "Catalogue", "Item", "Members", "hash_of", "read_item"]
