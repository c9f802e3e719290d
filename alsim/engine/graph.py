"""Skills and their prerequisites, and the skills that a student has mastered, is ready for, or must return to."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from alsim.curriculum.graph import IN_PYTHON, Curriculum, CurriculumError
from alsim.engine.checks import LONGEST_NAME, is_name
from alsim.engine.errors import EngineError, UnknownName
from alsim.errors import did_you_mean
from alsim.jit.compile import lean_kernel
from alsim.types import Bools, Doubles, Ints, Longs, safe_repr


class SkillGraph:
    """Skills with their prerequisites, without cycles. K skills.

    prerequisites  {skill: list of its prerequisites}, one entry per skill, also for skills without prerequisites

    Raises EngineError for no skills, for names that are not text, for an unknown prerequisite and for a cycle.
    """

    def __init__(self, prerequisites: Mapping[str, Any]) -> None:
        if not isinstance(prerequisites, Mapping) or not prerequisites:
            raise EngineError(
                f"the graph must map at least one skill to the list of its prerequisites; got {prerequisites!r:.100}"
            )
        for skill in prerequisites:
            if not is_name(skill):
                raise EngineError(
                    "the graph must have names of skills as keys, text of 1 to "
                    f"{LONGEST_NAME} printable characters; got {skill!r:.100}"
                )
        try:
            curriculum = Curriculum.read(prerequisites)
        except CurriculumError as error:
            raise EngineError(f"the graph: {str(error).removesuffix(IN_PYTHON):.2000}") from None
        self.skills: tuple[str, ...] = tuple(prerequisites)
        """Names of the skills, in the order of the graph, (K,)."""
        self.index: dict[str, int] = {skill: k for k, skill in enumerate(self.skills)}
        """Number of each skill."""
        for parent, child in curriculum.edges:
            if parent not in self.index:
                cure = did_you_mean(str(parent), self.skills) or f': add "{parent}": [] if it needs no other skill'
                raise UnknownName(
                    f"the graph has no skill {parent!r:.100}, which {child!r:.100} has as a prerequisite{cure}"
                )
        self.edges: Ints = np.array([(self.index[str(p)], self.index[str(c)]) for p, c in curriculum.edges], np.int32)
        """Numbers of parent and child of each edge, (E, 2)."""
        self.edges = self.edges.reshape(-1, 2)
        order = np.argsort(self.edges[:, 1], kind="stable")
        self._parent = np.ascontiguousarray(self.edges[order, 0])
        self._first = np.searchsorted(self.edges[order, 1], np.arange(len(self.skills) + 1))

    @classmethod
    def read(cls, source: Any) -> SkillGraph:
        """Return the graph of a SkillGraph, of a mapping, or of a `Curriculum`, whose skills are those of its edges.

        Raises EngineError for anything else.
        """
        if isinstance(source, SkillGraph):
            return source
        if isinstance(source, Curriculum):
            parents: dict[str, list[str]] = {str(skill): [] for skill in source.order}
            for parent, child in source.edges:
                parents[str(child)].append(str(parent))
            return cls(parents)
        return cls(source)

    def __len__(self) -> int:
        return len(self.skills)

    @safe_repr
    def __repr__(self) -> str:
        return f"<SkillGraph: {len(self)} skills, {len(self.edges)} prerequisites>"

    def number(self, skill: str) -> int:
        """Return the number of a skill. Raises UnknownName."""
        try:
            return self.index[skill]
        except (KeyError, TypeError):
            cure = did_you_mean(str(skill), self.skills)
            raise UnknownName(f"the graph has no skill {skill!r:.100}{cure or ': add it to the graph'}") from None

    def prerequisites(self) -> dict[str, list[str]]:
        """Return {skill: list of its prerequisites}."""
        found: dict[str, list[str]] = {skill: [] for skill in self.skills}
        for parent, child in self.edges.tolist():
            found[self.skills[child]].append(self.skills[parent])
        return found

    def ready(self, mastery: Doubles, threshold: float) -> Bools:
        """Return the skills that each student is ready for, (n, K), given their mastery (n, K).

        A skill is ready if it is not mastered while all its prerequisites are: the outer fringe of the student's
        knowledge state. Source: Falmagne & Doignon (2011), Learning spaces, ch. 4.
        """
        found = np.empty(mastery.shape, np.bool_)
        write_ready(mastery, self._first, self._parent, threshold, found)
        return found

    def remedial(self, mastery: Doubles, practised: Bools, threshold: float) -> Bools:
        """Return the skills that each student should return to, (n, K).

        mastery    (n, K) in [0, 1]
        practised  (n, K) True for skills with responses

        A skill is remedial if it is not mastered, and a skill that needs it, directly or through others, has been
        practised.
        """
        needed = np.zeros_like(practised)
        for k in self._children_first:
            for parent in self._parents[k]:
                needed[:, parent] |= practised[:, k] | needed[:, k]
        return np.asarray(needed & (mastery < threshold))

    @cached_property
    def _parents(self) -> list[list[int]]:
        """Parents of each skill."""
        parents: list[list[int]] = [[] for _ in self.skills]
        for parent, child in self.edges.tolist():
            parents[child].append(parent)
        return parents

    @cached_property
    def _children_first(self) -> list[int]:
        """Skills in an order in which each comes after all that need it."""
        order = Curriculum(self.edges.tolist()).order
        return [int(k) for k in reversed(order)]


@lean_kernel
def write_ready(mastery: Doubles, first: Longs, parents: Ints, threshold: float, ready: Bools) -> None:
    """Write the skills that each student is ready for, (n, K).

    first, parents  skill k has the parents parents[first[k]:first[k + 1]]
    """
    for i in range(len(mastery)):
        for k in range(len(first) - 1):
            is_ready = mastery[i, k] < threshold
            if is_ready:
                for x in range(first[k], first[k + 1]):
                    if mastery[i, parents[x]] < threshold:
                        is_ready = False
                        break
            ready[i, k] = is_ready


__all__ = ["SkillGraph"]
