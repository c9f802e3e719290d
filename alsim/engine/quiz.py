"""Diagnostic quizzes: a few questions, chosen by information, that place a new student."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from alsim.engine import events
from alsim.engine.checks import Time, check_text, checked_student, checked_time
from alsim.engine.choice import Pick
from alsim.engine.errors import EngineError
from alsim.engine.progress import set_time, times, with_shown
from alsim.engine.randomness import decision_words
from alsim.engine.selection import Choice
from alsim.engine.stores import Commit
from alsim.models.student.ability import AbilityModel
from alsim.types import Doubles, Words, describe, safe_repr, short_repr

if TYPE_CHECKING:
    from alsim.engine.engine import AdaptiveEngine
    from alsim.engine.quiz_choice import QuizDesign

LONGEST_QUIZ = 100
"""Largest number of questions of a quiz."""
LONGEST_QUIZ_NAME = 64
"""Largest length of the name of a quiz, characters."""
POLICY = "quiz"
"""Policy of the events of a quiz."""


class Settings(NamedTuple):
    """Settings of a quiz, which its events repeat."""

    length: int
    span: bool
    best: int


@short_repr
class QuizItem(NamedTuple):
    """A question of a quiz that waits for an answer."""

    item: str
    """Id of the question."""
    position: int
    """Its number in the quiz, from 1."""
    length: int
    """Number of questions of the quiz."""
    score: float
    """Expected information, in the unit of the student model; with `span`, the expected reduction of entropy, nats."""
    propensity: float
    """Probability with which it was chosen."""
    key: str
    """Idempotency key for `process_response`: a repeated answer then has no effect."""


@short_repr
class Ability(NamedTuple):
    """Ability of a student under an item response model."""

    mean: float
    """Mean of the posterior, logits."""
    sd: float
    """Standard deviation of the posterior, logits."""


@short_repr
class QuizResult(NamedTuple):
    """Result of a quiz so far."""

    student: str
    """Name of the student."""
    name: str
    """Name of the quiz."""
    answered: int
    """Number of answers so far."""
    is_finished: bool
    """True if no question remains."""
    ability: Ability | None
    """Ability, of the model `irt`; None of others."""
    mastery: dict[str, float]
    """Probability that each skill is known; without `span`, the mastery under the student model."""
    mastered: list[str]
    """Skills with a probability of at least the threshold, in the order of the graph."""
    ready: list[str]
    """Other skills whose prerequisites are all mastered, in the order of the graph."""


class QuizLog:
    """State of a quiz, from the log of its student.

    entries   entries of the log, oldest first
    name      name of the quiz
    settings  settings of the quiz, if the log has none
    known     ids of the items of the catalogue; a pending question that is not among them is replaced
    """

    def __init__(self, entries: Iterable[bytes], name: str, settings: Settings, known: Any) -> None:
        self.settings = settings
        """Settings of the quiz: those of its first question, once it has begun."""
        self.answers: list[tuple[str, int]] = []
        """Item and answer, 0 or 1, in order."""
        self.seen: set[str] = set()
        """Items that the student has answered, also outside the quiz."""
        self.pending: QuizItem | None = None
        """Question that waits for an answer."""
        self.is_placed = False
        """True if the result was placed."""
        for entry in map(events.decode, entries):
            self._read(entry, name)
        if self.pending is not None and self.pending.item not in known:
            self.pending = None
        self.known_answers = [(item, correct) for item, correct in self.answers if item in known]
        """Answers to items that the catalogue has."""

    def _read(self, entry: dict[str, Any], name: str) -> None:
        """Read one entry."""
        quiz = entry.get("quiz") or {}
        if entry["event"] == events.SHOWN and quiz.get("name") == name:
            if not self.answers and self.pending is None:
                self.settings = Settings(quiz["length"], quiz["span"], quiz["best"])
            (item,), (score,), (propensity,) = entry["items"], entry["scores"], entry["propensities"]
            self.pending = self.question(item, score, propensity, name)
        elif entry["event"] == events.PLACED and quiz.get("name") == name:
            self.is_placed = True
        elif entry["event"] == events.ANSWERED:
            self.seen.add(entry["item"])
            if self.pending is not None and entry["item"] == self.pending.item:
                self.answers.append((entry["item"], entry["correct"]))
                self.pending = None

    def question(self, item: str, score: float, propensity: float, name: str) -> QuizItem:
        """Return a question that follows the answers so far."""
        position = len(self.answers) + 1
        return QuizItem(item, position, self.settings.length, score, propensity, f"quiz:{name}:{position}")


class Quiz:
    """A diagnostic quiz of one student. It has no state of its own: everything follows from the log of the student.

    `AdaptiveEngine.quiz` makes it. A new process continues where the last one ended.
    """

    def __init__(self, engine: AdaptiveEngine, student: str, settings: Settings, name: str) -> None:
        self._engine, self._settings = engine, settings
        self.student = checked_student(student)
        """Name of the student."""
        check_text("the name of a quiz", name)
        if len(name) > LONGEST_QUIZ_NAME:
            raise EngineError(
                f"the name of a quiz must have at most {LONGEST_QUIZ_NAME} characters; got {len(name)}: shorten it"
            )
        self.name = name
        """Name of the quiz."""

    @safe_repr
    def __repr__(self) -> str:
        return f"<Quiz {self.name!r} of {self.student!r}: up to {self._settings.length} questions>"

    def next(self, *, time: Time = None) -> QuizItem | None:
        """Return the question to ask, and log that it was shown; None if the quiz has ended.

        time  seconds since 1970, or a datetime; None is now

        The same question is returned until `process_response` has its answer, also to other processes. A quiz ends
        after its length, or earlier if the student has answered every question of the catalogue. Raises
        DeletedStudent, and OutOfOrder for a time before the last event.
        """
        moment = checked_time(time)
        return self._engine.states.retried(self.student, lambda: self._ask(moment))

    def result(self) -> QuizResult:
        """Return ability, mastery and placement after the answers so far."""
        engine = self._engine
        with engine.states.lock.reading():
            _, record, students, progress = engine.states.loaded(self.student)
            log = self._log() if record is not None else self._empty()
            engine.model.advance(students, times([self.student], progress, None))
            mastery = self._mastery(log, engine.model.mastery(students)[0])
            model, ability = engine.model.model, None
            if isinstance(model, AbilityModel):
                mean, variance = model.ability(students)
                ability = Ability(float(mean[0]), float(np.sqrt(variance[0])))
            pool = self._design.remaining(engine.catalogue, log.seen)
        is_finished = log.pending is None and (len(log.answers) >= log.settings.length or len(pool) == 0)
        graph, skills = engine.catalogue.graph, engine.catalogue.skills
        ready = graph.ready(mastery[None], engine.threshold)[0]
        return QuizResult(
            student=self.student,
            name=self.name,
            answered=len(log.answers),
            is_finished=is_finished,
            ability=ability,
            mastery=dict(zip(skills, mastery.tolist(), strict=True)),
            mastered=[skills[k] for k in np.flatnonzero(mastery >= engine.threshold)],
            ready=[skills[k] for k in np.flatnonzero(ready)],
        )

    def place(self, *, time: Time = None) -> QuizResult:
        """Make the student model start from the result, and return the result.

        The skills that the quiz found mastered get their probability as mastery, if it is larger than before: also
        skills that were inferred from others. This is an event, `placed`, and happens once per quiz. It concerns models
        that can be placed, as `bkt`. Others have learnt from the answers already, and nothing happens.

        Raises EngineError for a quiz that has not ended.
        """
        moment, result = checked_time(time), self.result()
        if not result.is_finished:
            raise EngineError(
                f"the quiz {self.name!r} of {self.student!r} has not ended after {result.answered} answers: place it "
                "when next() returns None"
            )
        if callable(getattr(self._engine.model.model, "place", None)):
            self._engine.states.retried(self.student, lambda: self._place(result, moment))
        return result

    # ── decisions ───────────────────────────────────────────────────────────────────────────────

    def _log(self) -> QuizLog:
        """Return what the log of the student says."""
        entries, known = self._engine.store.entries(self.student), self._engine.catalogue.index
        return QuizLog(entries, self.name, self._settings, known)

    def _empty(self) -> QuizLog:
        """Return the log of a new student."""
        return QuizLog((), self.name, self._settings, self._engine.catalogue.index)

    def _mastery(self, log: QuizLog, of_model: Doubles) -> Doubles:
        """Return the probability of each skill (K,) after the answers of the quiz."""
        if not log.settings.span:
            return of_model
        belief: Doubles = self._design.belief(self._engine.catalogue, log.known_answers)[0]
        return belief

    @property
    def _design(self) -> QuizDesign:
        """Choice of questions, prepared for catalogue and model."""
        return self._engine.states.quiz_design

    def _ask(self, moment: float | None) -> tuple[Commit | None, QuizItem | None]:
        """Return the change by which the next question is shown, and the question; no change if it was shown before."""
        engine = self._engine
        stored, record, students, progress = engine.states.loaded(self.student)
        log = self._log() if record is not None else self._empty()
        if log.pending is not None or len(log.answers) >= log.settings.length:
            return None, log.pending
        pool = self._design.remaining(engine.catalogue, log.seen)
        if len(pool) == 0:
            return None, None
        now, words = (
            times([self.student], progress, moment),
            decision_words(engine.seed, [self.student], progress.decisions),
        )
        engine.model.advance(students, now)
        picked, score, candidates = self._pick(log, students, pool, words)
        item = int(candidates[picked.place])
        question = log.question(engine.catalogue.items[item].id, score, picked.propensity, self.name)
        mastery = engine.model.mastery(students)
        ready = np.packbits(engine.catalogue.graph.ready(mastery, engine.threshold)[0]).tobytes().hex()
        entry = {
            "event": events.SHOWN,
            "time": now[0],
            "decision": int(progress.decisions[0]),
            "policy": POLICY,
            "catalogue": engine.catalogue.digest,
            "model": engine.digest,
            "ready": ready,
            "candidates": len(candidates),
            "items": [question.item],
            "kinds": events.QUESTION,
            "scores": [score],
            "propensities": [picked.propensity],
            "quiz": {"name": self.name, "position": question.position, **log.settings._asdict()},
        }
        choice = Choice(np.array([[item]], np.int32), np.array([[score]]), np.array([[picked.propensity]]), pool[:1])
        (state,) = engine.states.codec.encode_progress([record], with_shown(progress, choice, now))
        return Commit(self.student, stored.version, state, (events.encode(entry),)), question

    def _pick(self, log: QuizLog, students: Any, pool: Any, words: Words) -> tuple[Pick, float, Any]:
        """Return the chosen question, its score, and the numbers of the questions among which it was chosen."""
        engine, settings = self._engine, log.settings
        if settings.span:
            belief = self._design.belief(engine.catalogue, log.known_answers)
            return self._design.spanning(engine.model, students, belief, pool, settings.best, words[0])
        return self._design.informative(engine.model, students, pool, settings.best, words[0])

    def _place(self, result: QuizResult, moment: float | None) -> tuple[Commit | None, None]:
        """Return the change that places the student; None if this has happened."""
        engine = self._engine
        stored, record, students, progress = engine.states.loaded(self.student)
        if record is None or self._log().is_placed:
            return None, None
        now = times([self.student], progress, moment)[0]
        engine.model.advance(students, [now])
        before = dict(zip(engine.catalogue.skills, engine.model.mastery(students)[0].tolist(), strict=True))
        raised = {skill: p for skill in result.mastered if (p := result.mastery[skill]) > before[skill]}
        entry = {
            "event": events.PLACED,
            "time": now,
            "quiz": {"name": self.name},
            "mastery": raised,
            "model": engine.digest,
        }
        engine.model.raise_mastery(students, raised)
        set_time(progress, now)
        (state,) = engine.states.codec.encode([self.student], students, progress)
        return Commit(self.student, stored.version, state, (events.encode(entry),)), None


def checked_settings(length: Any, span: Any, best: Any) -> Settings:
    """Return the settings of a quiz. Raises EngineError."""
    for name, value in (("length", length), ("best", best)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 1 <= value <= LONGEST_QUIZ:
            raise EngineError(f"{name} must be an integer from 1 to {LONGEST_QUIZ}; got {describe(value)}")
    if not isinstance(span, bool):
        raise EngineError(f"span must be True or False; got {describe(span)}")
    return Settings(int(length), span, int(best))


__all__ = ["Ability", "Quiz", "QuizItem", "QuizLog", "QuizResult", "checked_settings"]
