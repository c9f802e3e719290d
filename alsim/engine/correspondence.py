"""Correspondence of the items of a catalogue to the actions and the items of the simulator."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from alsim.engine.catalogue import Catalogue, Item
from alsim.engine.errors import EngineError, UnknownName
from alsim.engine.recommenders.cells import DEFAULT_MODALITY
from alsim.errors import did_you_mean
from alsim.mdp.actions import LEVELS, content_action, question_action
from alsim.policies.cells import NOMINAL
from alsim.types import MODALITIES, Course, Doubles, Longs, short_repr


@short_repr
class Cells(NamedTuple):
    """Actions of the items of a catalogue, and the items of the catalogue for those of the simulator.

    I items of the catalogue, A actions, Q + C items of the bank.
    """

    action: Longs
    """Action of each item of the catalogue, (I,)."""
    by_action: Longs
    """An item of the catalogue for each action, (A,), -1 if it has none."""
    by_item: Longs
    """Item of the catalogue for each item of the bank, (Q + C,), -1 if it has none; empty without a bank."""


def nominal_course(skills: tuple[str, ...]) -> Course:
    """Return a course about skills without a bank: a question of each difficulty."""
    num = len(skills)
    ones = np.ones(LEVELS * num)
    return Course(
        num_los=num,
        learning_outcome=np.repeat(np.arange(num), LEVELS),
        difficulty=np.tile(np.arange(LEVELS), num),
        a=ones,
        b=np.tile(NOMINAL.b, num),
        c=0 * ones,
        outcomes=skills,
    )


def cells_of(catalogue: Catalogue, course: Course) -> Cells:
    """Return the correspondence of a catalogue to a course.

    An item of the catalogue with the id of an item of the bank is that item, if all such items have the same type and
    outcome in both; otherwise, the ids are those of another bank. Any other item belongs to its cell: a question to the
    outcome that it assesses, and to the difficulty whose questions have the nearest mean b (Medium if its difficulty is
    unknown); a content to the outcome that it teaches, and to its modality ("text" if unknown). An item of the bank
    that is not in the catalogue counts as the item of its cell there with the nearest difficulty.

    Raises EngineError for a skill that is no outcome, and for an item without such an id about several skills.
    """
    actions = _actions_of_bank(course)
    place = _same_items(catalogue, course)
    means = _mean_difficulties(course)
    found = [
        int(actions[place[item.id]]) if item.id in place else _action_of(item, course, means)
        for item in catalogue.items
    ]
    action = np.array(found, np.int64)
    by_action = np.full((LEVELS + len(MODALITIES)) * course.num_los, -1, np.int64)
    by_action[action[::-1]] = np.arange(len(action))[::-1]  # the first item of each
    by_item = by_action[actions] if len(course.items) else np.zeros(0, np.int64)
    if len(course.items):
        _use_nearest(by_item, catalogue, course, action, actions)
    for name, j in place.items():
        by_item[j] = catalogue.index[name]
    return Cells(action, by_action, by_item)


def _same_items(catalogue: Catalogue, course: Course) -> dict[str, int]:
    """Return the number in the bank of each item that both have by id; {} if one has another type or outcome there."""
    found: dict[str, int] = {}
    for j, name in enumerate(course.items):
        if (number := catalogue.index.get(name)) is None:
            continue
        item, is_question = catalogue.items[number], j < len(course.b)
        lo = course.learning_outcome[j] if is_question else course.content_outcome[j - len(course.b)]
        skills = item.skills_assessed if is_question else item.skills_taught
        if (item.type == "question") != is_question or course.outcomes[lo] not in skills:
            return {}
        found[name] = j
    return found


def _actions_of_bank(course: Course) -> Longs:
    """Return the action of each item of the bank, (Q + C,)."""
    questions = question_action(course.learning_outcome, course.difficulty)
    outcome, modality = np.asarray(course.content_outcome, np.int64), np.asarray(course.modality, np.int64)
    return np.concatenate([questions, content_action(outcome, modality, course.num_los)])


def _mean_difficulties(course: Course) -> Doubles:
    """Return the mean b of the questions of each outcome and difficulty, (L, 3), logits."""
    cells = question_action(course.learning_outcome, course.difficulty)
    sums = np.bincount(cells, course.b, LEVELS * course.num_los)
    counts = np.bincount(cells, minlength=LEVELS * course.num_los)
    return np.asarray(sums / np.maximum(counts, 1)).reshape(-1, LEVELS)


def _action_of(item: Item, course: Course, means: Doubles) -> int:
    """Return the action of an item without the id of an item of the bank. Raises EngineError."""
    skills = item.skills_assessed if item.type == "question" else item.skills_taught
    verb = "assesses" if item.type == "question" else "teaches"
    if lacking := [skill for skill in skills if skill not in course.outcomes]:
        raise UnknownName(
            f"the item {item.id!r} {verb} {lacking[0]!r}, but the bank has no outcome of this name"
            f"{did_you_mean(lacking[0], course.outcomes)}: use a catalogue of this bank"
        )
    if len(skills) > 1:
        raise EngineError(
            f"the item {item.id!r} {verb} {len(skills)} skills, but an item of the simulator has one outcome: give it "
            "the id of an item of the bank, or one skill"
        )
    lo = course.outcomes.index(skills[0])
    if item.type == "content":
        return int(content_action(lo, MODALITIES.index(item.modality or DEFAULT_MODALITY), course.num_los))
    level = 1 if item.difficulty is None else int(np.abs(means[lo] - item.difficulty).argmin())
    return int(question_action(lo, level))


def _use_nearest(by_item: Longs, catalogue: Catalogue, course: Course, action: Longs, actions: Longs) -> None:
    """Replace the item of each question of the bank by that of its cell with the nearest difficulty, in place."""
    b = np.array([item.difficulty or 0.0 for item in catalogue.items])
    order = np.argsort(action, kind="stable")
    ends = np.searchsorted(action[order], np.arange(LEVELS * course.num_los + 1))
    for j in range(len(course.b)):
        if by_item[j] >= 0:
            cell = order[ends[actions[j]] : ends[actions[j] + 1]]
            by_item[j] = cell[np.abs(b[cell] - course.b[j]).argmin()]


__all__ = ["Cells", "cells_of", "nominal_course"]
