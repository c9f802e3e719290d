"""Cells of a catalogue, as policies choose them: the questions of a skill and difficulty, the contents of a modality.

Outcome k of the policies is skill k of the graph. An item has one cell, that of the first skill that it lists.
"""

from __future__ import annotations

import numpy as np

from alsim.engine.catalogue import Catalogue, Item, Members
from alsim.mdp.actions import KINDS, LEVELS, content_action, num_actions, question_action
from alsim.policies.cells import NOMINAL
from alsim.types import DIFFICULTIES, MODALITIES, Bools, Course, Longs

EASY_BELOW, HARD_ABOVE = -0.5, 0.5
"""Difficulties of clause S2.2, logits: below the first Easy, above the second Hard, otherwise Medium."""
DEFAULT_MODALITY = "text"
"""Modality of contents without one."""


class Cells:
    """Cells of the items of a catalogue. I items, K skills, A = 9 K actions.

    A policy may choose an action without items if its skill has other items of the same kind: a question of another
    difficulty, or a content of another modality. The action then stands for the nearest cell with items, the easier one
    of two; of modalities, the distance is that in the order of clause S2.3, and the earlier one of two counts.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self.num_skills = len(catalogue.skills)
        self.num_actions = num_actions(self.num_skills)
        index = catalogue.graph.index
        skill = np.array([index[subject_of(item)] for item in catalogue.items], np.int64)
        level = np.array([level_of(item) for item in catalogue.items], np.int64)
        asks = catalogue.is_question
        self.of: Longs = np.where(asks, question_action(skill, level), content_action(skill, level, self.num_skills))
        """Action that stands for each item, (I,)."""
        counts = np.bincount(self.of, minlength=self.num_actions)
        order = np.argsort(self.of, kind="stable")
        self.items = Members(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), order.astype(np.int64))
        """Items of each cell."""
        self.counts: Longs = counts.astype(np.int64)
        """Number of items of each cell, (A,)."""
        self.skill: Longs = skill
        """Skill of each item, (I,)."""
        actions = np.arange(self.num_actions)
        questions = LEVELS * self.num_skills
        self.skill_of_action: Longs = np.where(actions < questions, actions // LEVELS, (actions - questions) // KINDS)
        """Skill of each action, (A,)."""
        self.target: Longs = self.resolved(self.counts)
        """Cell with items for which each action stands, -1 for none, (A,)."""
        self.course, self.bank_index = _course(catalogue, self)

    def resolved(self, counts: Longs) -> Longs:
        """Return the cell with items for which each action stands, -1 for none, (A,), given the sizes of cells (A,)."""
        questions = LEVELS * self.num_skills
        parts = (counts[:questions].reshape(-1, LEVELS), counts[questions:].reshape(-1, KINDS))
        found = [_nearest(part > 0) for part in parts]
        place = [
            begin + np.arange(len(part))[:, None] * part.shape[1]
            for begin, part in zip((0, questions), parts, strict=True)
        ]
        return np.concatenate(
            [np.where(near >= 0, own + near, -1).ravel() for near, own in zip(found, place, strict=True)]
        )

    def actions_of(self, skill: int) -> tuple[slice, slice]:
        """Return the actions of a skill: questions and contents."""
        begin = LEVELS * self.num_skills + KINDS * skill
        return slice(LEVELS * skill, LEVELS * (skill + 1)), slice(begin, begin + KINDS)

    def resolve_again(self, target: Longs, counts: Longs, skill: int) -> None:
        """Write the cells for which the actions of a skill stand, in place, after the sizes (A,) have changed."""
        for part in self.actions_of(skill):
            near = _nearest(counts[part][None] > 0)[0]
            target[part] = np.where(near >= 0, part.start + near, -1)


def subject_of(item: Item) -> str:
    """Return the skill of an item: the first that a question assesses, or that a content teaches."""
    return (item.skills_assessed if item.type == "question" else item.skills_taught)[0]


def level_of(item: Item) -> int:
    """Return the difficulty of a question, or the modality of a content, as an index."""
    if item.type == "content":
        return MODALITIES.index(item.modality or DEFAULT_MODALITY)
    difficulty = item.difficulty or 0.0
    return DIFFICULTIES.index("Easy" if difficulty < EASY_BELOW else "Hard" if difficulty > HARD_ABOVE else "Medium")


def _nearest(has: Bools) -> Longs:
    """Return the nearest column that is True of each entry, (R, W), the lower one of two; -1 in rows without one."""
    width = has.shape[1]
    columns = np.arange(width)
    distance = np.abs(columns[:, None] - columns)  # of a wanted column and another
    cost = np.where(has[:, None, :], distance, 2 * width)
    return np.where(has.any(axis=1, keepdims=True), cost.argmin(axis=2), -1)


def _course(catalogue: Catalogue, cells: Cells) -> tuple[Course, Longs]:
    """Return what a policy may know of the catalogue, and the index in its bank of each item: questions first.

    A cell without questions gets one in the middle of the ranges of clause S2.2, as policies read tables of all cells.
    """
    asks, num_skills = catalogue.is_question, cells.num_skills
    empty = np.flatnonzero(cells.counts[: LEVELS * num_skills] == 0)
    own = [item for item in catalogue.items if item.type == "question"]
    columns = (
        ([item.discrimination or 1.0 for item in own], NOMINAL.a),
        ([item.difficulty or 0.0 for item in own], NOMINAL.b),
        ([item.guess or 0.0 for item in own], NOMINAL.c),
    )
    a, b, c = (np.concatenate([values, nominal[empty % LEVELS]]) for values, nominal in columns)
    actions = np.concatenate([cells.of[asks], empty])
    parents: list[list[int]] = [[] for _ in catalogue.skills]
    for parent, child in catalogue.graph.edges.tolist():
        parents[child].append(parent)
    course = Course(
        num_los=num_skills,
        learning_outcome=actions // LEVELS,
        difficulty=actions % LEVELS,
        a=a,
        b=b,
        c=c,
        prerequisites=tuple(tuple(sorted(listed)) for listed in parents),
    )
    bank_index = np.empty(len(asks), np.int64)
    bank_index[asks] = np.arange(asks.sum())
    bank_index[~asks] = len(actions) + np.arange((~asks).sum())
    return course, bank_index


__all__ = ["Cells", "level_of", "subject_of"]
