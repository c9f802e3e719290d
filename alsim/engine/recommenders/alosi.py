"""The recommender of ALOSI: items with the largest weighted sum of four sub-scores.

Source: Rosen, Rushkin, Ang, Federicks, Tingley & Blink (2017), Designing adaptive assessments in MOOCs, L@S; the
documentation of the engine ALOSI (harvard-vpal/alosi). Its code swaps the weights of continuity and difficulty; here,
each weight multiplies the sub-score that the documentation names.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from alsim.engine.catalogue import Catalogue, Members
from alsim.engine.errors import EngineError
from alsim.engine.models import GUESS_AND_SLIP
from alsim.engine.recommenders.base import Recommender, Situation
from alsim.engine.recommenders.subjects import Subjects
from alsim.engine.selection import Choice, Classes, Fading, Scores, best_items
from alsim.engine.shares import shares_of_best
from alsim.jit.compile import kernel
from alsim.models.student.alosi import update_mastery
from alsim.numerics.doubles import log_each
from alsim.types import Bools, Doubles, Ints, Longs

FADING = Fading(step=2.0)
"""Each time that an item is shown without a response, its score decreases by 2."""
LEAST = 1e-9
"""Smallest distance of a probability from 0 and 1: logarithms of odds are finite."""
MOST_SCORES = 2**20
"""Largest number of scores that are computed at once: 8 MB."""


class Weights(NamedTuple):
    """Weights of the sub-scores; the defaults are those of ALOSI's example."""

    readiness: float = 5.0
    remediation: float = 3.0
    continuity: float = 0.5
    difficulty: float = 1.0


DEFAULT_WEIGHTS = Weights()


class Tags(NamedTuple):
    """Skills of Q items with their relevance: item q has skill[start[q]:start[q + 1]]."""

    start: Longs  # (Q + 1,)
    skill: Longs  # (X,)
    relevance: Doubles  # (X,)

    @classmethod
    def of_tables(cls, guess: Doubles, slip: Doubles) -> Tags:
        """Return the tags of tables (Q, K) of probabilities, which are NaN where an item does not have a skill."""
        has = ~np.isnan(guess)
        start = np.concatenate([[0], np.cumsum(has.sum(axis=1))]).astype(np.int64)
        return cls(start, np.nonzero(has)[1].astype(np.int64), relevance(guess[has], slip[has]))


class Links(NamedTuple):
    """Prerequisites: skill child[e] needs skill parent[e]."""

    parent: Longs  # (E,)
    child: Longs  # (E,)
    strength: Doubles  # (E,) 0 for none, 1 for a prerequisite in the full sense


class SubScores(NamedTuple):
    """Sub-scores of Q items for n students, (n, Q) each."""

    readiness: Doubles
    """P, at most 0: prerequisites that are not mastered."""
    remediation: Doubles
    """R, at least 0: skills of the item that are not mastered."""
    continuity: Doubles
    """C, at least 0: skills in common with the last item."""
    difficulty: Doubles
    """D, at most 0: distance between difficulty and mastery."""


def log_odds(probability: Doubles) -> Doubles:
    """Return log(p / (1 - p)); p is held in [1e-9, 1 - 1e-9]."""
    p = np.clip(probability, LEAST, 1 - LEAST)
    return log_each(p) - log_each(1 - p)


def relevance(guess: Doubles, slip: Doubles) -> Doubles:
    """Return how much a response tells about a skill: minus the log odds of guess and of slip, elementwise."""
    return np.asarray(-log_odds(guess) - log_odds(slip))


def subscores(
    tags: Tags,
    mastery: Doubles,
    links: Links,
    difficulty: Doubles,
    last: Longs,
    *,
    slack: float = 0.0,
    target: float = 2.2,
) -> SubScores:
    """Return the four sub-scores of Q items for n students.

        P = sum over k of relevance_k min(slack + sum over j of strength_jk min(L_j - target, 0), 0)
        R = sum over k of relevance_k max(target - L_k, 0)
        C = sqrt(sum over k of relevance_k relevance_k(last item))
        D = - sum over k of relevance_k |L_k - difficulty|

    tags        skills of the items
    mastery     (n, K) probabilities; L is the logarithm of their odds
    links       prerequisites
    difficulty  (Q,) logits: the logarithm of the odds of ALOSI's difficulty, which is a number in (0, 1)
    last        (n,) number of the last item, -1 for none: C is then 0
    slack       r*, lacking mastery of prerequisites that is forgiven, logits
    target      L*, mastery that is aimed at, logits
    """
    shape = len(mastery), len(tags.start) - 1
    found = SubScores(*(np.empty(shape) for _ in SubScores._fields))
    levels = np.ascontiguousarray(log_odds(mastery))
    write_subscores(*tags, levels, *links, difficulty, np.asarray(last, np.int64), slack, target, *found)
    return found


@kernel
def write_subscores(
    start: Longs,
    skill: Longs,
    weight: Doubles,
    levels: Doubles,
    parent: Longs,
    child: Longs,
    strength: Doubles,
    difficulty: Doubles,
    last: Longs,
    slack: float,
    target: float,
    readiness: Doubles,
    remediation: Doubles,
    continuity: Doubles,
    distance: Doubles,
) -> None:
    """Write the sub-scores, (n, Q) each; the arguments are the arrays of `subscores`."""
    lacking, of_last = np.empty(levels.shape[1]), np.zeros(levels.shape[1])
    for i in range(len(levels)):
        lacking[:] = slack
        for e in range(len(parent)):
            lacking[child[e]] += strength[e] * min(levels[i, parent[e]] - target, 0.0)
        if last[i] >= 0:
            for x in range(start[last[i]], start[last[i] + 1]):
                of_last[skill[x]] = weight[x]
        for q in range(len(start) - 1):
            p, r, c, d = 0.0, 0.0, 0.0, 0.0
            for x in range(start[q], start[q + 1]):
                k, w = skill[x], weight[x]
                p += w * min(lacking[k], 0.0)
                r += w * max(target - levels[i, k], 0.0)
                c += w * of_last[k]
                d -= w * abs(levels[i, k] - difficulty[q])
            readiness[i, q], remediation[i, q], continuity[i, q], distance[i, q] = p, r, np.sqrt(max(c, 0.0)), d
        if last[i] >= 0:
            for x in range(start[last[i]], start[last[i] + 1]):
                of_last[skill[x]] = 0.0


def total(scores: SubScores, weights: Weights = DEFAULT_WEIGHTS) -> Doubles:
    """Return the weighted sum of the sub-scores, as documented, (n, Q)."""
    return np.asarray(
        weights.readiness * scores.readiness
        + weights.remediation * scores.remediation
        + weights.continuity * scores.continuity
        + weights.difficulty * scores.difficulty
    )


class Alosi(Recommender):
    """Items with the largest weighted sum of readiness, remediation, continuity and difficulty.

    slack        r*, lacking mastery of prerequisites that is forgiven, logits
    readiness, remediation, continuity, difficulty
                 weights of the sub-scores

    All items are candidates until all skills are mastered. The target L* is the threshold of the engine, in log odds.
    A question is about the skills that it assesses, a content about those that it teaches. `difficulty` of an item is
    in logits, and is the logarithm of the odds of ALOSI's difficulty; it is 0, that is one half, where it is unknown.
    Items without `guess` and `slip` have those of the guide, 0.2 and 0.1. An item that was shown c times without a
    response loses 2 c; the item of the last response counts as shown one more time. Ties are broken at random.
    Raises EngineError for parameters that are not finite.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        slack: float = 0.0,
        readiness: float = DEFAULT_WEIGHTS.readiness,
        remediation: float = DEFAULT_WEIGHTS.remediation,
        continuity: float = DEFAULT_WEIGHTS.continuity,
        difficulty: float = DEFAULT_WEIGHTS.difficulty,
    ) -> None:
        super().__init__(catalogue)
        parameters = (slack, readiness, remediation, continuity, difficulty)
        if not np.isfinite(parameters).all():
            raise EngineError(f"the parameters of alosi must be finite numbers; got {parameters}")
        self.slack, self.weights = slack, Weights(*parameters[1:])
        shown = parameters if parameters != (0.0, *DEFAULT_WEIGHTS) else ()
        self.name = ":".join(["alosi", *map(repr, shown)])
        self._subjects = Subjects(catalogue)
        values = np.array(
            [
                [default if getattr(item, f) is None else getattr(item, f) for f, default in GUESS_AND_SLIP]
                for item in catalogue.items
            ]
        )
        worth = relevance(values[:, 0], values[:, 1])
        level = np.array([0.0 if item.difficulty is None else item.difficulty for item in catalogue.items])
        skills = self._subjects.classes.of.tolist()
        self.classes = Classes.of_keys(list(zip(skills, worth.tolist(), level.tolist(), strict=True)))
        """Classes of items with the same skills, relevance and difficulty."""
        self._hashes = catalogue.hashes[self.classes.item]
        first, members = self.classes.first, self._subjects.members
        rows = [members.of(i) for i in first.tolist()]
        sizes = np.array([len(row) for row in rows])
        self._tags = Tags(
            np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            np.concatenate(rows),
            np.repeat(worth[first], sizes),
        )
        self._difficulty = level[first]
        edges = catalogue.graph.edges.astype(np.int64)
        parent, child = (np.ascontiguousarray(edges[:, side]) for side in (0, 1))
        self._links = Links(parent, child, np.ones(len(edges)))

    @property
    def members(self) -> Members:
        """Skills that a question assesses, and that a content teaches."""
        return self._subjects.members

    def choose(self, situation: Situation, ranks: int) -> Choice:
        """Return up to `ranks` items for each student, the best first."""

        def chosen(part: slice) -> Choice:
            salts = situation.salts[part]
            scores, shown, counts = self._scored(situation, part)
            return best_items(Scores.of_all(scores), self.classes, self._hashes, salts, shown, counts, FADING, ranks)

        parts = [chosen(part) for part in self._parts(situation)]
        return Choice(*map(np.concatenate, zip(*parts, strict=True))) if len(parts) > 1 else parts[0]

    def shares(self, situation: Situation, groups: Longs, size: int, above: Ints | None = None) -> Doubles:
        """Return the probability that the next item is in each group of items, (n, G)."""
        others = np.full((len(situation.students), 1), -1, np.int32) if above is None else above
        found = [
            shares_of_best(Scores.of_all(scores), self.classes, shown, counts, FADING, others[part], groups, size)
            for part in self._parts(situation)
            for scores, shown, counts in (self._scored(situation, part),)
        ]
        return np.concatenate(found)

    def _parts(self, situation: Situation) -> list[slice]:
        """Return parts of the students whose scores are in memory at once."""
        n, size = len(situation.students), max(1, MOST_SCORES // len(self.classes))
        return [slice(i, min(i + size, n)) for i in range(0, n, size)]

    def _scored(self, situation: Situation, part: slice) -> tuple[Doubles, Ints, Ints]:
        """Return the scores of the classes for some students, items shown without a response, and how often."""
        progress, last = situation.progress, situation.progress.last[part]
        of_last = np.where(last >= 0, self.classes.of[last], -1)
        target = float(log_odds(np.array([situation.threshold]))[0])
        found = subscores(
            self._tags, situation.mastery[part], self._links, self._difficulty, of_last, slack=self.slack, target=target
        )
        scores = total(found, self.weights)
        scores[~situation.ready[part].any(axis=1)] = -np.inf
        return scores, *_with_last(progress.shown[part], progress.counts[part], last)

    def candidates(self, ready: Bools) -> Longs:
        """Return the numbers of all items, or of none if no skill is ready: all are mastered then."""
        return np.arange(len(self.catalogue) if ready.any() else 0)

    def reason(self, skill: int, mastery: float) -> str:
        """Return why an item was chosen."""
        if skill < 0:
            return "best sum of readiness, remediation, continuity and difficulty"
        about = f"about {self.catalogue.skills[skill]!r}, mastered with probability {mastery:.2f}"
        return f"best sum of readiness, remediation, continuity and difficulty; {about}"


def _with_last(shown: Ints, counts: Ints, last: Longs) -> tuple[Ints, Ints]:
    """Return items shown without a response, and how often, with one more for the last item."""
    shown, counts = (np.pad(a, ((0, 0), (0, 1)), constant_values=fill) for a, fill in ((shown, -1), (counts, 0)))
    rows = np.arange(len(last))
    same = shown == last[:, None]
    place = np.where(same.any(axis=1), same.argmax(axis=1), (shown >= 0).sum(axis=1))
    known = last >= 0
    shown[rows[known], place[known]] = last[known]
    counts[rows[known], place[known]] += 1
    return shown, counts


__all__ = [
    "Alosi",
    "Links",
    "SubScores",
    "Tags",
    "Weights",
    "log_odds",
    "relevance",
    "subscores",
    "total",
    "update_mastery",
]
