"""Choice of the questions of a quiz: by information about the student, or so that they span the graph of skills."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from alsim.engine.catalogue import Catalogue
from alsim.engine.choice import Pick, pick
from alsim.engine.information import information
from alsim.engine.models import EngineModel
from alsim.engine.placement import Placement
from alsim.engine.selection import Classes
from alsim.models.student.base import Students
from alsim.models.student.bkt import BKTModel
from alsim.types import Doubles, Longs, i8

GUESS, SLIP = 0.2, 0.1
"""Probabilities of guessing and slipping of questions, if neither the catalogue nor the model has others."""
NEAR = 1e-12
"""Largest difference of gains that count as equal, nats: they differ by rounding."""


class QuizDesign:
    """Choice of questions for quizzes of a catalogue and a student model. Q questions, K skills."""

    def __init__(self, catalogue: Catalogue, model: EngineModel) -> None:
        self.placement = Placement(catalogue.graph)
        self.questions: Longs = np.flatnonzero(catalogue.is_question)
        """Numbers of the questions, (Q,)."""
        assessed = catalogue.assessed
        self.classes = Classes.of_keys([assessed.of(i).tobytes() for i in self.questions.tolist()])
        """Classes of questions that assess the same skills; C of them."""
        self._sets = [assessed.of(self.questions[q]) for q in self.classes.first.tolist()]
        self._class = np.full(len(catalogue), -1, np.int64)
        self._class[self.questions] = self.classes.of
        guess, slip = _of_skills(catalogue, model)
        items = [catalogue.items[i] for i in self.questions.tolist()]
        first = np.array([assessed.of(i)[0] for i in self.questions.tolist()], np.int64)
        self.guess, self.slip = guess[first], slip[first]
        """Probabilities of guessing and of slipping at each question, (Q,)."""
        for q, item in enumerate(items):
            self.guess[q] = self.guess[q] if item.guess is None else item.guess
            self.slip[q] = self.slip[q] if item.slip is None else item.slip
        self._question = np.full(len(catalogue), -1, np.int64)
        self._question[self.questions] = np.arange(len(self.questions))
        self._guess, self._slip = _means(first, self.guess, guess), _means(first, self.slip, slip)

    def remaining(self, catalogue: Catalogue, seen: Collection[str]) -> Longs:
        """Return the numbers of the questions that are not among some items."""
        numbers = [catalogue.index[item] for item in seen if item in catalogue.index]
        is_free = catalogue.is_question.copy()
        is_free[numbers] = False
        return np.flatnonzero(is_free)

    def belief(self, catalogue: Catalogue, answers: Sequence[tuple[str, int]]) -> Doubles:
        """Return the belief about the skills of a student after answers, (1, K)."""
        belief = self.placement.start(1)
        for item, correct in answers:
            if (number := catalogue.index.get(item, -1)) >= 0 and (q := self._question[number]) >= 0:
                self.answer(belief, np.array([q]), np.array([correct >= 0.5], i8))
        return belief

    def answer(self, belief: Doubles, questions: Longs, correct: Any) -> None:
        """Update the belief (n, K) in place by one answer (n,) of each student to a question (n,), in [0, Q).

        An answer about several skills updates the belief about each as if it were alone.
        """
        sets = [self._sets[c] for c in self.classes.of[questions].tolist()]
        for m in range(max(map(len, sets), default=0)):
            skill = np.array([row[m] if m < len(row) else -1 for row in sets], np.int64)
            self.placement.update(belief, skill, correct, self.guess[questions], self.slip[questions])

    def gains(self, belief: Doubles) -> Doubles:
        """Return the expected reduction of entropy by a question of each of `classes`, (n, C), nats.

        A question about several skills has the mean of their gains.
        """
        by_skill = self.placement.gain(belief, self._guess, self._slip)
        return np.stack([by_skill[:, row].sum(axis=1) / len(row) for row in self._sets], axis=1)

    def spanning(
        self, model: EngineModel, students: Students, belief: Doubles, pool: Longs, best: int, words: Any
    ) -> tuple[Pick, float, Longs]:
        """Return a question about the skills that reduce most entropy, its gain, and the candidates.

        pool   (M,) numbers of the questions that may be asked
        best   number of the most informative of these questions among which one is drawn
        words  (4,) random words
        """
        gains, classes = self.gains(belief)[0], self._class[pool]
        of_pool = gains[classes]
        largest = of_pool.max()
        candidates = pool[of_pool >= largest - NEAR]
        picked, _, _ = self.informative(model, students, candidates, best, words)
        return picked, float(largest), candidates

    def informative(
        self, model: EngineModel, students: Students, pool: Longs, best: int, words: Any
    ) -> tuple[Pick, float, Longs]:
        """Return one of the most informative questions for the student model, its information, and the candidates."""
        numbers = model.items[pool]
        is_asked = np.zeros(len(model.model.items), np.bool_)
        is_asked[numbers] = True  # several questions may be one item of the model
        values = information(model.model, students, np.flatnonzero(is_asked))[0][(np.cumsum(is_asked) - 1)[numbers]]
        picked = pick(values, best, int(words[0]), int(words[1]))
        return picked, float(values[picked.place]), pool


def _of_skills(catalogue: Catalogue, model: EngineModel) -> tuple[Doubles, Doubles]:
    """Return the probabilities of guessing and of slipping of each skill of the graph, (K,) each."""
    size = len(catalogue.skills)
    found = np.full(size, GUESS), np.full(size, SLIP)
    if isinstance(model.model, BKTModel):
        items = model.model.items
        counts = np.maximum(np.bincount(items.skill, minlength=items.num_skills), 1)
        for of_skill, values in zip(found, (model.model.p_guess, model.model.p_slip), strict=True):
            of_skill[:] = (np.bincount(items.skill, values, minlength=items.num_skills) / counts)[model.columns]
    return np.clip(found[0], 1e-3, 0.999), np.clip(found[1], 1e-3, 0.999)


def _means(group: Longs, values: Doubles, default: Doubles) -> Doubles:
    """Return the mean of values by group (K,), and a default for groups without any."""
    counts = np.bincount(group, minlength=len(default))
    sums = np.bincount(group, values, minlength=len(default))
    return np.where(counts > 0, sums / np.maximum(counts, 1), default)


__all__ = ["QuizDesign"]
