"""The adaptive engine: recommendations for real students, and their responses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np

from alsim.assignment import AssignmentError, Experiment, experiments_of
from alsim.engine import events
from alsim.engine.catalogue import Catalogue
from alsim.engine.checks import (
    Time,
    check_text,
    checked_class,
    checked_correct,
    checked_facts,
    checked_ranks,
    checked_retention,
    checked_seed,
    checked_student,
    checked_switch,
    checked_threshold,
    checked_time,
)
from alsim.engine.deciding import Deciding
from alsim.engine.errors import EngineError, UnknownStudent
from alsim.engine.experiments import begin, check_begun
from alsim.engine.interactions import Report, process
from alsim.engine.models import RETENTION, EngineModel
from alsim.engine.recommendation import Processed, Recommendation
from alsim.engine.recommenders import make_recommender
from alsim.engine.states import Knowledge, States
from alsim.engine.stored_model import Pointer, read_model, read_pointer, source_of
from alsim.engine.stores import Store, open_store
from alsim.models.student.base import NOT_ANSWERED
from alsim.types import Bools, describe
from alsim.utils.collection import paused_collection

if TYPE_CHECKING:
    from alsim.engine.quiz import Quiz
    from alsim.engine.recalibration import Recalibration, Refitting

Result = TypeVar("Result")
MOST_ENTRIES, MOST_STUDENTS = 2**16, 512
"""Largest number of entries (student, skill) that are processed together, whose arrays fit in the L2 cache, and of
students."""
ATTEMPTS = 1000
"""Number of times that a change is tried again while other processes change the same student."""


class AdaptiveEngine:
    """An engine that recommends items to students and follows what they know.

    graph      {skill: list of its prerequisites}, SkillGraph or Curriculum
    catalogue  items: mappings with `id, skills_taught, skills_assessed, type` and the other fields of `Item`; or a
               Catalogue, whose graph is then used if `graph` is None
    model      "bkt", "alosi", "irt", "elo", "glicko", "hlr" or "fsrs", a file with a fit or a student model, a fit, or
               a StudentModel
    store      "memory", "sqlite:PATH", "redis://HOST:PORT/DB", or a Store
    policy     recommender: a preset such as "guide" or "thompson", "policy:NAME" with any name of `make_policy`,
               "module:Class" of a Recommender or of a policy, or such a class or object; or "experiment:NAME"
    seed       seed of the random choices among items, in [0, 2**64)
    threshold  mastery from which a skill counts as mastered, in (0, 1]
    retention  recall in (0, 1) below which a practised skill is due, under a model of memory, as "hlr" or "fsrs"
    due_first  whether items are recommended for due skills, if there are any that an item teaches
    experiments
               an `alsim.assignment.Experiment`, several, or a TOML file: the policy "experiment:NAME" is one of them,
               and the student's arm decides on the recommender

    A model that `recalibrate` has put into the store replaces the one that is passed, if it was made from it.
    The log of a student's events is the truth. The state is a cache, and is made again from the log if it belongs to
    another model or catalogue. Several threads, and several engines, may use one store.
    Raises EngineError for invalid arguments.
    """

    def __init__(
        self,
        graph: Any,
        catalogue: Any,
        *,
        model: Any = "bkt",
        store: str | Store = "memory",
        policy: Any = "guide",
        seed: int = 0,
        threshold: float = 0.9,
        retention: float = RETENTION,
        due_first: bool = True,
        experiments: Any = (),
    ) -> None:
        if isinstance(catalogue, Catalogue) and (graph is None or graph is catalogue.graph):
            self.catalogue = catalogue
        else:
            self.catalogue = Catalogue(catalogue.items if isinstance(catalogue, Catalogue) else catalogue, graph)
        self.seed, self.threshold = checked_seed(seed), checked_threshold(threshold)
        self.retention, self.due_first = checked_retention(retention), checked_switch("due_first", due_first)
        self.recommender = make_recommender(policy, self.catalogue, _experiments(experiments))
        self.store = open_store(store)
        self._has_begun = self.experiment is None or check_begun(self.store, self.experiment)
        own = self._engine_model(model)
        self._base, self._source = own.model, source_of(model, own.model if own.fit is None else own.fit)
        self._pointer: Pointer | None = None
        self.states = States(self.catalogue, self.recommender, self.store, self.threshold, own)
        """States of the students, for extensions of the engine."""
        self.deciding = Deciding(self.states, self.seed)
        """Decisions for students, for extensions of the engine."""
        self.refresh()

    def __reduce__(self) -> Any:
        raise EngineError("an engine has a store and locks, and cannot be pickled or copied: make one in each process")

    def __repr__(self) -> str:
        return f"<AdaptiveEngine: {self.recommender.name}, {type(self.model.model).__name__}, {self.store!r}>"

    @property
    def experiment(self) -> Experiment | None:
        """Experiment whose arms have the recommenders; None without one."""
        found = getattr(self.recommender, "experiment", None)
        return found if isinstance(found, Experiment) else None

    @property
    def model(self) -> EngineModel:
        """Student model with the numbers of the catalogue."""
        return self.states.model

    @property
    def digest(self) -> str:
        """Digest of what states depend on: model, catalogue, and a recommender that observes; 16 hexadecimal digits."""
        return f"{self.states.codec.digest:016x}"

    def _engine_model(self, model: Any) -> EngineModel:
        """Return a student model for the catalogue and the settings of this engine."""
        return EngineModel(model, self.catalogue, retention=self.retention, due_first=self.due_first)

    # ── what a student knows ────────────────────────────────────────────────────────────────────

    def mastery(self, student: str, *, time: Time = None) -> dict[str, float]:
        """Return the mastery of each skill, {skill: probability}; that of a new student for an unknown one.

        time  seconds since 1970, or a datetime; None is now. Under a model of memory, as "hlr" or "fsrs", mastery is
              recall at this time; the time does not change that of other models

        Raises OutOfOrder for a time before the last event, as all methods with `time` do.
        """
        return dict(zip(self.catalogue.skills, self._knowledge(student, time).mastery.tolist(), strict=True))

    def ready_skills(self, student: str, *, time: Time = None) -> list[str]:
        """Return the skills that are not mastered while all their prerequisites are, in the order of the graph."""
        mastery = self._knowledge(student, time).mastery
        return self._named(self.catalogue.graph.ready(mastery[None], self.threshold)[0])

    def due_skills(self, student: str, *, time: Time = None) -> list[str]:
        """Return the skills to review: practised, with a recall below `retention`, in the order of the graph.

        There are none under a student model without memory.
        """
        return self._named(self._knowledge(student, time).due)

    def mastered_skills(self, student: str, *, time: Time = None) -> list[str]:
        """Return the skills whose mastery is at least the threshold, in the order of the graph."""
        return self._named(self._knowledge(student, time).mastery >= self.threshold)

    def remedial_skills(self, student: str, *, time: Time = None) -> list[str]:
        """Return the skills that are not mastered, while one that needs them has been practised, in the graph's order.

        A skill needs its prerequisites, their prerequisites, and so on.
        """
        known = self._knowledge(student, time)
        return self._named(self.catalogue.graph.remedial(known.mastery[None], known.practised[None], self.threshold)[0])

    def _knowledge(self, student: str, time: Time) -> Knowledge:
        """Return what a student knows at a time."""
        return self.states.knowledge(student, checked_time(time))

    # ── recommendations ─────────────────────────────────────────────────────────────────────────

    def recommend(
        self, student: str, n: int = 5, *, time: Time = None, class_name: str | None = None
    ) -> list[Recommendation]:
        """Return up to n items for a student, the best first, and log that they were shown.

        student  name, text of 1 to 256 characters; a new one starts without responses
        n        number of items, from 1 to 1,000
        time     seconds since 1970, or a datetime; None is now
        class_name
                 name of the student's class, which is stored at its first use and stays the same; None: as it is

        Fewer items are returned if fewer are candidates: none for a student who has mastered every skill. Raises
        DeletedStudent, OutOfOrder for a time before the last event, and EngineError for invalid arguments.
        """
        return self.recommend_many([student], n, time=time, classes=[class_name])[0]

    def recommend_many(
        self,
        students: Iterable[str],
        n: int = 5,
        *,
        time: Time = None,
        classes: Iterable[str | None] | None = None,
    ) -> list[list[Recommendation]]:
        """Return `recommend` of each student, processed together. The other arguments and the errors are the same.

        classes  name of the class of each student; None: as they are

        All students are checked before the first one is logged.
        """
        if isinstance(students, str):
            raise EngineError(f"students must be a list of names; got {students!r:.100}: use recommend for one student")
        if not isinstance(students, Iterable):
            raise EngineError(f"students must be a list of names; got {describe(students)}")
        names = [*map(checked_student, students)]
        ranks, moment = checked_ranks(n), checked_time(time)
        labels = _checked_classes(classes, len(names))
        if self.experiment is not None and not self._has_begun:
            begin(self.store, self.experiment)
            self._has_begun = True
        size = max(1, min(MOST_STUDENTS, MOST_ENTRIES // len(self.catalogue.skills)))
        found: list[list[Recommendation]] = []
        with paused_collection():
            if len(names) > size:
                self.states.check(names, moment)
                self.deciding.check(names, labels)
            for k in range(0, len(names), size):
                found += self.deciding.recommend(names[k : k + size], ranks, moment, labels[k : k + size])
        return found

    # ── responses ───────────────────────────────────────────────────────────────────────────────

    def process_response(
        self,
        student: str,
        item: str,
        correct: bool | float,
        *,
        key: str | None = None,
        time: Time = None,
        seconds: float | None = None,
        satisfaction: float | None = None,
    ) -> Processed:
        """Update what is known of a student by the answer to a question, and log it.

        student  name; a new one starts without responses
        item     id of a question, whether it was recommended or not
        correct  True or False, 1 or 0; or a score in [0, 1] if the student model has `partial_credit`, as "alosi"
        key      idempotency key, text of 1 to 256 characters: a repetition with the same key has no effect, and returns
                 what the first call returned
        time     seconds since 1970, or a datetime; None is now
        seconds  response time, seconds; None if unknown
        satisfaction
                 rating that the student gave with it, on the scale of the application; None without one. It is logged
                 for audits, and changes nothing else

        Raises UnknownName for an item that the catalogue does not have, KeyConflict for a key of another request,
        DeletedStudent, OutOfOrder for a time before the last event, and EngineError for invalid arguments.
        """
        number = self.catalogue.number(item)
        if not self.catalogue.is_question[number]:
            raise EngineError(f"the item {item!r} is a content: report that it was studied (process_content)")
        right = checked_correct(correct, item, partial=self.model.partial_credit)
        return self._process(student, key, Report(number, right, *checked_facts(time, seconds, satisfaction)))

    def process_content(
        self,
        student: str,
        item: str,
        *,
        key: str | None = None,
        time: Time = None,
        seconds: float | None = None,
        satisfaction: float | None = None,
    ) -> Processed:
        """Update what is known of a student who has studied a content, and log it.

        item     id of a content
        seconds  time spent, seconds; None if unknown

        The other arguments and the errors are those of `process_response`.
        """
        number = self.catalogue.number(item)
        if self.catalogue.is_question[number]:
            raise EngineError(f"the item {item!r} is a question: report the answer (process_response)")
        return self._process(student, key, Report(number, NOT_ANSWERED, *checked_facts(time, seconds, satisfaction)))

    def _process(self, student: str, key: str | None, report: Report) -> Processed:
        """Return the result of an interaction after its change has been made."""
        name = checked_student(student)
        if key is not None:
            check_text("key", key)
        return process(self.states, name, report, key)

    # ── quizzes ─────────────────────────────────────────────────────────────────────────────────

    def quiz(
        self, student: str, length: int = 8, *, span: bool = True, best: int = 1, name: str = "diagnostic"
    ) -> Quiz:
        """Return a diagnostic quiz of a student: it gives one question after the other, chosen by information.

        student  name; a new one starts without responses
        length   number of questions, from 1 to 100
        span     True for questions that span the graph: each is about the skills that are expected to say most about
                 all skills, as a student who knows a skill knows its prerequisites; False for the questions that say
                 most about the student under the student model
        best     number of best questions among which each is drawn at random; 1 for the best
        name     name of the quiz, up to 64 characters: a student has each quiz once. A started quiz is resumed where
                 its events in the log end, with the settings of its first question

        Raises EngineError for invalid arguments.
        """
        from alsim.engine.quiz import Quiz, checked_settings

        return Quiz(self, student, checked_settings(length, span, best), name)

    # ── logs ────────────────────────────────────────────────────────────────────────────────────

    def students(self) -> Iterator[str]:
        """Return the names of the students with events."""
        return self.store.students()

    def events(self, student: str) -> list[dict[str, Any]]:
        """Return the events of a student, oldest first; [] for an unknown student.

        Each has `number`, `event`, `time` (seconds since 1970), `item`, and what its kind has: `question_shown` and
        `content_shown` the decision, rank, score, propensity, number of candidates and ready skills, and, if there are,
        experiment, arm and class of the student; `answered` the answer, the seconds and the chance that the model
        forecast; `content_studied` the seconds.
        """
        found = list(events.events_of(self.store.entries(checked_student(student))))
        for event in found:
            if "ready" in event and event["catalogue"] == self.catalogue.digest:
                event["ready"] = self._named(self.unpacked(event["ready"]))
        return found

    def export(self, student: str, *, events: bool = True) -> dict[str, Any]:
        """Return all that the engine has of a student, as JSON values: events, and what follows from them.

        events  False leaves the events out

        Raises UnknownStudent for a student without events.
        """
        name = self.states.known(student)
        return {
            "student": name,
            **({"events": self.events(name)} if events else {}),
            "mastery": self.mastery(name),
            "mastered": self.mastered_skills(name),
            "ready": self.ready_skills(name),
            **({"due": self.due_skills(name)} if self.model.has_clock else {}),
            "model": self.digest,
            "catalogue": self.catalogue.digest,
        }

    def delete(self, student: str) -> None:
        """Delete the events and the state of a student. A tombstone remains, so that late events are refused.

        Raises UnknownStudent for a student without events.
        """
        if not self.store.delete(self.states.known(student)):
            raise UnknownStudent(f"there is no student {student!r}: it was deleted meanwhile")

    def replay(self, progress: Callable[[int], None] | None = None) -> int:
        """Make the state of every student again from the log, and return the number of students.

        progress  function that is called with the number of students done

        The counters of a recommender that observes, as "thompson", are made again from these logs. So they lose what
        deleted students had added, and what others add meanwhile: let no responses be processed during the call.
        """
        count, totals = 0, Counter[str]()
        for name in list(self.store.students()):
            counts = self.states.replay(name)
            if counts is not None:
                count += 1
                for counter, addend in counts:
                    totals[counter] += addend
            if progress is not None:
                progress(count)
        if self.recommender.observes:
            prefix = self.recommender.counter_prefix
            others = {name: value for name, value in self.store.counters().items() if not name.startswith(prefix)}
            self.store.set_counters(others | totals)
        return count

    def recalibrate(
        self, *, held_out: float = 0.2, refit: Refitting | None = None, replay: bool = False, dry_run: bool = False
    ) -> Recalibration:
        """Fit the student model again to all responses in the log, use it from now on, and return a report.

        held_out  share of the students, in [0, 1), on whose responses a fit to the others is scored; 0 for no scores.
                  The model that is then used is fitted to all students
        refit     function that returns the new model, given the log and the present model; None for that of the kind
                  of model, see `alsim.engine.calibration.refit`
        replay    True to make all states again at once; otherwise each is made again at its next use
        dry_run   True for the report only

        The new model is put into the store. New engines on this store use it, if they are made with the same `model`,
        and existing ones after `refresh`. Engines with the old model continue to work: states have the digest of their
        model, and another engine makes them again from the log. Raises EngineError for a log without responses, for
        invalid arguments, and for a model that cannot be fitted.
        """
        from alsim.engine.recalibration import recalibrate

        report, found = recalibrate(self, self._source, held_out, refit, is_stored=not dry_run)
        if not dry_run:
            with self.states.lock.writing():
                self.states.use(self._engine_model(found))
                self._pointer = read_pointer(self.store)
            if replay:
                self.replay()
        return report

    def refresh(self) -> bool:
        """Use the student model that another process has put into the store by `recalibrate`, if there is a newer one.

        Returns whether the model has changed. Items and skills that the stored model does not have, as new ones of the
        catalogue, have the parameters of the model that the engine was made with. Servers call it now and then.
        """
        pointer = read_pointer(self.store)
        if pointer is None or pointer == self._pointer or pointer.source != self._source:
            return False
        from alsim.engine.calibration import adapted

        found, pointer = read_model(self.store, pointer)
        new = self._engine_model(adapted(found, self._base))
        with self.states.lock.writing():
            is_new = new.digest != self.model.digest
            self.states.use(new)
            self._pointer = pointer
        return is_new

    def close(self) -> None:
        """Close the store. An engine in a `with` statement closes it at the end."""
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _named(self, mask: Bools) -> list[str]:
        """Return the names of the skills of a mask (K,)."""
        return [self.catalogue.skills[k] for k in np.flatnonzero(mask).tolist()]

    def unpacked(self, text: str) -> Bools:
        """Return the mask (K,) of ready skills in an event."""
        packed = np.frombuffer(bytes.fromhex(text), np.uint8)
        return np.unpackbits(packed, count=len(self.catalogue.skills)).astype(np.bool_)


def _experiments(source: Any) -> dict[str, Experiment]:
    """Return experiments by name. Raises EngineError."""
    try:
        return experiments_of(source)
    except AssignmentError as error:
        raise EngineError(str(error)) from None


def _checked_classes(classes: Any, n: int) -> list[str | None]:
    """Return the class of each of n students. Raises EngineError."""
    if classes is None:
        return [None] * n
    if isinstance(classes, str) or not isinstance(classes, Iterable):
        raise EngineError(
            f"classes must be a list with the class of each student; got {describe(classes)}: pass a list"
        )
    found = [*map(checked_class, classes)]
    if len(found) != n:
        raise EngineError(f"got {n:,} students and {len(found):,} classes: pass one class for each student, or None")
    return found


__all__ = ["AdaptiveEngine"]
