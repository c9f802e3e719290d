"""Inference over the graph of skills: an answer about one skill also says something about those related to it.

A student who knows a skill knows its prerequisites, and theirs. So a correct answer makes the prerequisites of a skill
more probable, and a wrong answer makes the skills that need it less probable.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from alsim.curriculum.graph import Curriculum
from alsim.engine.graph import SkillGraph
from alsim.jit.compile import lean_kernel, rule
from alsim.types import Codes, Doubles, Longs

SELF, NEEDED, NEEDING = 0, 1, 2
"""Relations of another skill to a skill: the same, needed by it, or needing it; directly or through others."""


class Related(NamedTuple):
    """Skills that are related to each skill: skill k is related to skill[start[k]:start[k + 1]], itself first."""

    start: Longs  # (K + 1,)
    skill: Longs  # (X,)
    relation: Codes  # (X,) SELF, NEEDED or NEEDING


class Placement:
    """Beliefs about which skills students know, if knowing a skill implies knowing its prerequisites. K skills.

    graph  SkillGraph

    The belief is the probability of each skill, (n, K). It is updated by Bayes' rule for each pair of the skill that
    was assessed and a related one, given both probabilities; dependence between more skills than two is neglected.
    Before the first answer, a skill with d skills that need it and a skills that it needs has the probability
    (d + 1) / (d + a + 2): in a chain, each number of known skills is equally likely.
    Source: Falmagne & Doignon (2011), Learning spaces, ch. 13, for assessment by updates of beliefs.
    """

    def __init__(self, graph: SkillGraph) -> None:
        self.related = related_skills(graph)
        counts = np.zeros((len(graph), 2))
        owner = np.repeat(np.arange(len(graph)), np.diff(self.related.start))
        for column, relation in enumerate((NEEDING, NEEDED)):
            counts[:, column] = np.bincount(owner[self.related.relation == relation], minlength=len(graph))
        self.prior: Doubles = (counts[:, 0] + 1) / (counts.sum(axis=1) + 2)
        """Probability of each skill before the first answer, (K,)."""

    def start(self, n: int) -> Doubles:
        """Return the belief about n students without answers, (n, K)."""
        return np.tile(self.prior, (n, 1))

    def update(self, belief: Doubles, skill: Longs, correct: Codes, guess: Doubles, slip: Doubles) -> None:
        """Update the belief (n, K) in place by one answer of each student.

        skill        (n,) skill that the question assesses; -1 for no answer
        correct      (n,) 0 or 1
        guess, slip  (n,) probability of a correct answer without the skill, and of a wrong one with it
        """
        update_belief(belief, *self.related, skill, correct, guess, slip)

    def gain(self, belief: Doubles, guess: Doubles, slip: Doubles) -> Doubles:
        """Return the expected reduction of entropy, summed over all skills, by a question about each, (n, K), nats.

        guess, slip  (K,) of a question about each skill
        """
        found = np.empty_like(belief)
        expected_gain(belief, *self.related, guess, slip, found)
        return found


def related_skills(graph: SkillGraph) -> Related:
    """Return the skills that each skill needs, and those that need it, directly or through others."""
    size = len(graph)
    parents: list[list[int]] = [[] for _ in graph.skills]
    for parent, child in graph.edges.tolist():
        parents[child].append(parent)
    needs = np.zeros((size, size), np.bool_)
    for k in map(int, Curriculum(graph.edges.tolist()).order):
        for parent in parents[k]:
            needs[k] |= needs[parent]
            needs[k, parent] = True
    rows: list[Longs] = []
    relations: list[Codes] = []
    for k in range(size):
        parts = [np.array([k]), np.flatnonzero(needs[k]), np.flatnonzero(needs[:, k])]
        rows.append(np.concatenate(parts))
        relations.append(np.repeat(np.array([SELF, NEEDED, NEEDING], np.int8), [*map(len, parts)]))
    start = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    return Related(start, np.concatenate(rows).astype(np.int64), np.concatenate(relations))


@rule
def after(
    known: float, other: float, relation: int, right: float, wrong_known: float, guess: float, correct: int
) -> float:
    """Return the probability of a related skill after an answer about a skill.

    known        probability of the skill
    other        that of the related one
    right        probability of a correct answer
    wrong_known  slip: that of a wrong answer if the skill is known
    guess        that of a correct answer if it is not
    """
    if correct == 1:
        if_known, if_unknown, total = 1.0 - wrong_known, guess, right
    else:
        if_known, if_unknown, total = wrong_known, 1.0 - guess, 1.0 - right
    if relation == 0:
        joint = known * if_known
    elif relation == 1:  # the other is known wherever the skill is
        other = max(other, known)
        joint = known * if_known + (other - known) * if_unknown
    else:  # the skill is known wherever the other is
        joint = min(other, known) * if_known
    return min(max(joint / total, 0.0), 1.0)


@rule
def entropy_of(p: float) -> float:
    """Return the entropy of an event, nats."""
    total = 0.0
    if p > 0.0:
        total -= p * np.log(p)
    if p < 1.0:
        total -= (1.0 - p) * np.log(1.0 - p)
    return total


@lean_kernel
def update_belief(
    belief: Doubles,
    start: Longs,
    related: Longs,
    relation: Codes,
    skill: Longs,
    correct: Codes,
    guess: Doubles,
    slip: Doubles,
) -> None:
    """Update beliefs (n, K) by answers, see `Placement.update`."""
    for i in range(len(belief)):
        k = skill[i]
        if k < 0:
            continue
        known = belief[i, k]
        right = known * (1.0 - slip[i]) + (1.0 - known) * guess[i]
        for x in range(start[k], start[k + 1]):
            j = related[x]
            belief[i, j] = after(known, belief[i, j], relation[x], right, slip[i], guess[i], correct[i])


@lean_kernel
def expected_gain(
    belief: Doubles, start: Longs, related: Longs, relation: Codes, guess: Doubles, slip: Doubles, gain: Doubles
) -> None:
    """Write the expected reduction of entropy (n, K) by a question about each skill, see `Placement.gain`."""
    for i in range(len(belief)):
        for k in range(len(start) - 1):
            known, total = belief[i, k], 0.0
            right = known * (1.0 - slip[k]) + (1.0 - known) * guess[k]
            for x in range(start[k], start[k + 1]):
                other = belief[i, related[x]]
                yes = after(known, other, relation[x], right, slip[k], guess[k], 1)
                no = after(known, other, relation[x], right, slip[k], guess[k], 0)
                total += entropy_of(other) - right * entropy_of(yes) - (1.0 - right) * entropy_of(no)
            gain[i, k] = total


__all__ = ["Placement", "Related", "related_skills"]
