"""The adaptive engine: recommendations for real students, and their responses."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from alsim.engine import events
from alsim.engine.catalogue import Catalogue, hash_of
from alsim.engine.checks import (
    Time,
    check_text,
    checked_correct,
    checked_ranks,
    checked_satisfaction,
    checked_seconds,
    checked_seed,
    checked_student,
    checked_threshold,
    checked_time,
)
from alsim.engine.errors import DeletedStudent, EngineError, KeyConflict, StoreError, UnknownStudent
from alsim.engine.models import EngineModel
from alsim.engine.progress import Progress, remove_shown, set_time, show, times, with_shown
from alsim.engine.randomness import decision_words
from alsim.engine.recommendation import Decisions, Processed, Recommendation
from alsim.engine.recommenders import Counts, Interaction, Situation, make_recommender
from alsim.engine.selection import Choice
from alsim.engine.shared_lock import SharedLock
from alsim.engine.stored_model import Pointer, read_model, read_pointer, source_of
from alsim.engine.stores import Answer, Commit, Store, Stored, open_store
from alsim.engine.students import StudentCodec
from alsim.models.student.base import NOT_ANSWERED, Students
from alsim.types import Bools, Doubles
from alsim.utils.collection import paused_collection

if TYPE_CHECKING:
    from alsim.engine.quiz import Quiz
    from alsim.engine.quiz_choice import QuizDesign
    from alsim.engine.recalibration import Recalibration, Refitting

Result = TypeVar("Result")
CHUNK = 128
"""Number of students that are processed together: their arrays fit in the L2 cache."""
ATTEMPTS = 1000
"""Number of times that a change is tried again while other processes change the same student."""


class AdaptiveEngine:
    """An engine that recommends items to students and follows what they know.

    graph      {skill: list of its prerequisites}, SkillGraph or Curriculum
    catalogue  items: mappings with `id, skills_taught, skills_assessed, type` and the other fields of `Item`; or a
               Catalogue, whose graph is then used if `graph` is None
    model      "bkt", "alosi", "irt", "elo" or "glicko", a file with a fit or a student model, a fit, or a StudentModel
    store      "memory", "sqlite:PATH", "redis://HOST:PORT/DB", or a Store
    policy     recommender: a preset such as "guide" or "thompson", "policy:NAME" with any name of `make_policy`,
               "module:Class" of a Recommender or of a policy, or such a class or object
    seed       seed of the random choices among items, in [0, 2**64)
    threshold  mastery from which a skill counts as mastered, in (0, 1]

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
    ) -> None:
        if isinstance(catalogue, Catalogue) and (graph is None or graph is catalogue.graph):
            self.catalogue = catalogue
        else:
            self.catalogue = Catalogue(catalogue.items if isinstance(catalogue, Catalogue) else catalogue, graph)
        self.seed, self.threshold = checked_seed(seed), checked_threshold(threshold)
        self.recommender = make_recommender(policy, self.catalogue)
        self._lock = SharedLock()
        self.store = open_store(store)
        own = EngineModel(model, self.catalogue)
        self._base, self._source = own.model, source_of(model, own.model)
        self._pointer: Pointer | None = None
        self._use(own)
        self.refresh()

    _design: QuizDesign | None

    def __repr__(self) -> str:
        return f"<AdaptiveEngine: {self.recommender.name}, {type(self.model.model).__name__}, {self.store!r}>"

    @property
    def digest(self) -> str:
        """Digest of what states depend on: model, catalogue, and a recommender that observes; 16 hexadecimal digits."""
        return f"{self._codec.digest:016x}"

    def digest_with(self, model: EngineModel) -> int:
        """Return the digest of states under a model: trials of contents belong to a recommender that observes."""
        return model.digest ^ (hash_of(self.recommender.counter_prefix) if self.recommender.observes else 0)

    # ── what a student knows ────────────────────────────────────────────────────────────────────

    def mastery(self, student: str) -> dict[str, float]:
        """Return the mastery of each skill, {skill: probability}; that of a new student for an unknown one."""
        return dict(zip(self.catalogue.skills, self._knowledge(student)[0].tolist(), strict=True))

    def ready_skills(self, student: str) -> list[str]:
        """Return the skills that are not mastered while all their prerequisites are, in the order of the graph."""
        mastery, _ = self._knowledge(student)
        return self._named(self.catalogue.graph.ready(mastery[None], self.threshold)[0])

    def mastered_skills(self, student: str) -> list[str]:
        """Return the skills whose mastery is at least the threshold, in the order of the graph."""
        return self._named(self._knowledge(student)[0] >= self.threshold)

    def remedial_skills(self, student: str) -> list[str]:
        """Return the skills that are not mastered, while one that needs them has been practised, in the graph's order.

        A skill needs its prerequisites, their prerequisites, and so on.
        """
        mastery, practised = self._knowledge(student)
        return self._named(self.catalogue.graph.remedial(mastery[None], practised[None], self.threshold)[0])

    # ── recommendations ─────────────────────────────────────────────────────────────────────────

    def recommend(self, student: str, n: int = 5, *, time: Time = None) -> list[Recommendation]:
        """Return up to n items for a student, the best first, and log that they were shown.

        student  name, text of 1 to 256 characters; a new one starts without responses
        n        number of items, from 1 to 1,000
        time     seconds since 1970, or a datetime; None is now

        Fewer items are returned if fewer are candidates: none for a student who has mastered every skill. Raises
        DeletedStudent, OutOfOrder for a time before the last event, and EngineError for invalid arguments.
        """
        return self.recommend_many([student], n, time=time)[0]

    def recommend_many(self, students: Iterable[str], n: int = 5, *, time: Time = None) -> list[list[Recommendation]]:
        """Return `recommend` of each student, processed together. The other arguments and the errors are the same."""
        if isinstance(students, str):
            raise EngineError(f"students must be a list of names; got {students!r:.100}: use recommend for one student")
        names = [*map(checked_student, students)]
        ranks, moment = checked_ranks(n), checked_time(time)
        found: list[list[Recommendation]] = []
        with paused_collection():
            for begin in range(0, len(names), CHUNK):
                found += self._recommend(names[begin : begin + CHUNK], ranks, moment)
        return found

    def _recommend(self, names: list[str], n: int, moment: float | None) -> list[list[Recommendation]]:
        """Return the recommendations for students, again for those whom others change meanwhile."""
        found: list[list[Recommendation]] = [[]] * len(names)
        waiting = list(range(len(names)))
        for _ in range(ATTEMPTS):
            with self._lock.reading():
                changes, made = self._decide([names[i] for i in waiting], n, moment)
                done = self.store.commit_many(changes)
            for i, is_done, recommendations in zip(waiting, done, made, strict=True):
                if is_done:
                    found[i] = recommendations
            waiting = [i for i, is_done in zip(waiting, done, strict=True) if not is_done]
            if not waiting:
                return found
        raise self._busy(names[waiting[0]])

    def _decide(
        self, names: list[str], n: int, moment: float | None
    ) -> tuple[list[Commit], list[list[Recommendation]]]:
        """Return the changes of students by recommendations, and the recommendations."""
        stored, records = self._load(names)
        students, progress = self._codec.decode(names, records)
        now = times(names, progress, moment)
        mastery = self.model.mastery(students)
        ready = self.catalogue.graph.ready(mastery, self.threshold)
        situation = self._situation(names, mastery, ready, progress, now)
        choice = self.recommender.choose(situation, n)
        made = self._recommendations(situation, choice)
        entries = self._shown_entries(situation, choice, now)
        after = with_shown(progress, choice, now)
        states = self._codec.encode_progress(records, after)
        changes = [
            Commit(name, old.version, state, (entry,))
            for name, old, state, entry in zip(names, stored, states, entries, strict=True)
        ]
        return changes, made

    def _situation(
        self, names: Sequence[str], mastery: Doubles, ready: Bools, progress: Progress, now: list[float]
    ) -> Situation:
        """Return what the recommender knows of students."""
        return Situation(
            students=names,
            mastery=mastery,
            ready=ready,
            threshold=self.threshold,
            progress=progress,
            words=decision_words(self.seed, names, progress.decisions),
            seed=self.seed,
            counters=self.store.read_counters,
            log=lambda i: [events.decode(entry) for entry in self.store.entries(names[i])],
            now=now,
            model=self.model,
        )

    def _recommendations(self, situation: Situation, choice: Choice) -> list[list[Recommendation]]:
        """Return the recommendations of a choice."""
        decisions = Decisions(self.recommender, situation, choice)
        rows = zip(choice.items.tolist(), choice.scores.tolist(), choice.propensities.tolist(), strict=True)
        ranks, ids = range(choice.items.shape[1]), self._ids
        return [
            [
                Recommendation(ids[item], score, propensity, decisions, i, rank)
                for item, score, propensity, rank in zip(*row, ranks, strict=True)
                if item >= 0
            ]
            for i, row in enumerate(rows)
        ]

    def _shown_entries(self, situation: Situation, choice: Choice, now: list[float]) -> list[bytes]:
        """Return the entry of each decision. Its JSON is put together by hand: an encoder takes twice the time."""
        policy = json.dumps(self.recommender.name)
        common = f'"policy":{policy},"catalogue":"{self.catalogue.digest}","model":"{self.digest}"'
        ready = [row.tobytes().hex() for row in np.packbits(situation.ready, axis=1)]
        columns = (
            choice.items.tolist(),
            choice.scores.tolist(),
            choice.propensities.tolist(),
            choice.candidates.tolist(),
        )
        decisions = situation.progress.decisions.tolist()
        text, kinds, quoted = _text, self._kinds, self._quoted
        entries: list[bytes] = []
        for i, (items, scores, propensities, size) in enumerate(zip(*columns, strict=True)):
            shown = [item for item in items if item >= 0]
            r = len(shown)
            entries.append(
                f'{{"event":"shown","time":{now[i]!r},"decision":{decisions[i]},{common},"ready":"{ready[i]}",'
                f'"candidates":{size},"items":[{",".join([quoted[k] for k in shown])}],'
                f'"kinds":"{"".join([kinds[k] for k in shown])}",'
                f'"scores":[{",".join(map(text, scores[:r]))}],'
                f'"propensities":[{",".join(map(text, propensities[:r]))}]}}'.encode("utf-8", "surrogatepass")
            )
        return entries

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
            raise EngineError(f"the item {item!r} is a content and has no answer: use process_content")
        right = checked_correct(correct, item, partial=self.model.partial_credit)
        return self._process(student, number, right, key, time, checked_seconds(seconds), satisfaction)

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
            raise EngineError(f"the item {item!r} is a question: use process_response with the answer")
        return self._process(student, number, NOT_ANSWERED, key, time, checked_seconds(seconds), satisfaction)

    def _process(
        self,
        student: str,
        item: int,
        correct: float,
        key: str | None,
        time: Time,
        seconds: float | None,
        satisfaction: float | None,
    ) -> Processed:
        """Make the change of an interaction, again while others change the student."""
        name, moment, rating = checked_student(student), checked_time(time), checked_satisfaction(satisfaction)
        if key is not None:
            check_text("key", key)
        request = _digest_of([self._ids[item], correct, moment, seconds, rating])
        for _ in range(ATTEMPTS):
            stored = self.store.load(name, key)
            if stored.answer is not None:
                return _first_answer(stored.answer, request, key)
            with self._lock.reading():
                change, processed = self._interact(name, stored, item, correct, moment, seconds, rating)
                if key is not None:
                    answer = Answer(request, json.dumps(processed._asdict()).encode())
                    change = change._replace(key=key, answer=answer)
                if self.store.commit(change):
                    return processed
        raise self._busy(name)

    def _interact(
        self,
        name: str,
        stored: Stored,
        item: int,
        correct: float,
        moment: float | None,
        seconds: float | None,
        satisfaction: float | None,
    ) -> tuple[Commit, Processed]:
        """Return the change of a student by one interaction, and its result."""
        record = self._current(name, stored)
        students, progress = self._codec.decode([name], [record])
        now = times([name], progress, moment)[0]
        kind = events.STUDIED if correct == NOT_ANSWERED else events.ANSWERED
        entry: dict[str, Any] = {"event": kind, "time": now, "item": self._ids[item], "seconds": seconds}
        if correct != NOT_ANSWERED:
            entry |= {"correct": correct, "chance": self._chance(students, item)}
        if satisfaction is not None:
            entry["satisfaction"] = satisfaction
        entry["model"] = self.digest
        counts = self._advance(students, progress, item, correct, now)
        skills = self.catalogue.taught if correct == NOT_ANSWERED else self.catalogue.assessed
        mastery = self.model.mastery(students)[0]
        known = {self.catalogue.skills[k]: float(mastery[k]) for k in skills.of(item).tolist()}
        state = self._codec.encode([name], students, progress)[0]
        change = Commit(name, stored.version, state, (events.encode(entry),), counts=counts)
        return change, Processed(self._ids[item], known, int(progress.interactions[0]))

    def _chance(self, students: Students, item: int) -> float:
        """Return the chance of a correct answer that the model forecasts."""
        return float(self.model.model.chance(students, self.model.items[[item]])[0])

    def _advance(self, students: Students, progress: Progress, item: int, correct: float, now: float) -> Counts:
        """Change state and progress of one student by an interaction, in place; return the changes of counters."""
        is_awaited = self.recommender.observes and (progress.trials[0] or not self.catalogue.is_question[item])
        before = self.model.mastery(students)[0] if is_awaited else None
        if (number := self.model.items[item]) >= 0:
            self.model.model.update(students, np.array([number]), np.array([self.model.read_score(correct)]))
        progress.interactions[0] += 1
        progress.last[0] = item
        set_time(progress, now)
        was_shown = remove_shown(progress, item)
        if before is None:
            return ()
        interaction = Interaction(item, was_shown, before, self.model.mastery(students)[0], self.threshold)
        progress.trials[0], counts = self.recommender.observe(progress.trials[0], interaction)
        return counts

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

    @property
    def quiz_design(self) -> QuizDesign:
        """Choice of questions for quizzes, prepared for catalogue and model."""
        if self._design is None:
            from alsim.engine.quiz_choice import QuizDesign

            self._design = QuizDesign(self.catalogue, self.model)
        return self._design

    # ── logs ────────────────────────────────────────────────────────────────────────────────────

    def students(self) -> Iterator[str]:
        """Return the names of the students with events."""
        return self.store.students()

    def events(self, student: str) -> list[dict[str, Any]]:
        """Return the events of a student, oldest first; [] for an unknown student.

        Each has `number`, `event`, `time` (seconds since 1970), `item`, and what its kind has: `question_shown` and
        `content_shown` the decision, rank, score, propensity, number of candidates and ready skills; `answered` the
        answer, the seconds and the chance that the model forecast; `content_studied` the seconds.
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
        name = self._known(student)
        return {
            "student": name,
            **({"events": self.events(name)} if events else {}),
            "mastery": self.mastery(name),
            "mastered": self.mastered_skills(name),
            "ready": self.ready_skills(name),
            "model": self.digest,
            "catalogue": self.catalogue.digest,
        }

    def delete(self, student: str) -> None:
        """Delete the events and the state of a student. A tombstone remains, so that late events are refused.

        Raises UnknownStudent for a student without events.
        """
        if not self.store.delete(self._known(student)):
            raise UnknownStudent(f"there is no student {student!r}: it was deleted meanwhile")

    def replay(self, progress: Callable[[int], None] | None = None) -> int:
        """Make the state of every student again from the log, and return the number of students.

        progress  function that is called with the number of students done

        The counters of a recommender that observes, as "thompson", are made again from these logs. So they lose what
        deleted students had added, and what others add meanwhile: let no responses be processed during the call.
        """
        count, totals = 0, Counter[str]()
        for name in list(self.store.students()):
            for _ in range(ATTEMPTS):
                stored = self.store.load(name)
                if stored.state is None:
                    break
                with self._lock.reading():
                    state, counts = self._replayed(name)
                    is_done = self.store.commit(Commit(name, stored.version, state))
                if is_done:
                    count += 1
                    for counter, addend in counts:
                        totals[counter] += addend
                    break
            else:
                raise self._busy(name)
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
            with self._lock.writing():
                self._use(EngineModel(found, self.catalogue))
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
        new = EngineModel(adapted(found, self._base), self.catalogue)
        with self._lock.writing():
            is_new = new.digest != self.model.digest
            self._use(new)
            self._pointer = pointer
        return is_new

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    # ── states ──────────────────────────────────────────────────────────────────────────────────

    def _use(self, model: EngineModel) -> None:
        """Use a student model from now on. Other threads must not use the engine meanwhile."""
        self.model = model
        self._design = None
        self._codec = StudentCodec(model.model, self.digest_with(model))
        self._ids = tuple(item.id for item in self.catalogue.items)
        self._quoted = [json.dumps(name, ensure_ascii=False) for name in self._ids]
        self._kinds = "".join(events.QUESTION if asks else events.CONTENT for asks in self.catalogue.is_question)

    def _load(self, names: list[str]) -> tuple[list[Stored], list[bytes | None]]:
        """Return what the store has of students, and their current records."""
        stored = self.store.load_many(names)
        return stored, [self._current(name, old) for name, old in zip(names, stored, strict=True)]

    def _current(self, name: str, stored: Stored) -> bytes | None:
        """Return the record of a student, from the log if it is not current. Raises DeletedStudent."""
        if stored.is_deleted:
            raise DeletedStudent(f"the student {name!r} was deleted, and its events are refused: use another name")
        if stored.state is None or self._codec.is_current(stored.state):
            return stored.state
        return self._replayed(name)[0]

    def _replayed(self, name: str) -> tuple[bytes, Counts]:
        """Return the record of a student from the log, and the changes of counters on the way."""
        students, progress = self._codec.decode([name], [None])
        counts: Counts = ()
        for entry in map(events.decode, self.store.entries(name)):
            if entry["event"] == events.SHOWN:
                items = [self.catalogue.index.get(item, -1) for item in entry["items"]]
                show(progress.shown, progress.counts, np.array([items], np.int32).reshape(1, -1))
                progress.decisions[0] += 1
                set_time(progress, entry["time"])
            elif entry["event"] == events.PLACED:
                self.model.raise_mastery(students, entry["mastery"])
                set_time(progress, entry["time"])
            elif (item := self.catalogue.index.get(entry["item"])) is not None:
                counts += self._advance(students, progress, item, entry.get("correct", NOT_ANSWERED), entry["time"])
        return self._codec.encode([name], students, progress)[0], counts

    def _loaded(self, name: str) -> tuple[Stored, bytes | None, Students, Progress]:
        """Return what the store has of a student, the current record, and the state and progress in it."""
        (stored,), (record,) = self._load([name])
        return stored, record, *self._codec.decode([name], [record])

    def _retried(self, name: str, attempt: Callable[[], tuple[Commit | None, Result]]) -> Result:
        """Return the result of a function after its change, if any, has been made; again while others change."""
        for _ in range(ATTEMPTS):
            with self._lock.reading():
                change, result = attempt()
                if change is None or self.store.commit(change):
                    return result
        raise self._busy(name)

    def _knowledge(self, student: str) -> tuple[Doubles, Bools]:
        """Return the mastery of a student, and whether each skill was practised, (K,) each."""
        name = checked_student(student)
        with self._lock.reading():
            _, records = self._load([name])
            students, _ = self._codec.decode([name], records)
            touched = self._codec.touched([name], students)[0]
            return self.model.mastery(students)[0], touched[self.model.columns]

    def _known(self, student: str) -> str:
        """Return the name of a student with events. Raises UnknownStudent."""
        name = checked_student(student)
        stored = self.store.load(name)
        if stored.state is None:
            was = "was deleted" if stored.is_deleted else "has no events"
            raise UnknownStudent(f"there is no student {name!r}: it {was}; `students` lists those with events")
        return name

    def _named(self, mask: Bools) -> list[str]:
        """Return the names of the skills of a mask (K,)."""
        return [self.catalogue.skills[k] for k in np.flatnonzero(mask).tolist()]

    def unpacked(self, text: str) -> Bools:
        """Return the mask (K,) of ready skills in an event."""
        packed = np.frombuffer(bytes.fromhex(text), np.uint8)
        return np.unpackbits(packed, count=len(self.catalogue.skills)).astype(np.bool_)

    def _busy(self, name: str) -> StoreError:
        """Return the error of a student whom others change again and again."""
        return StoreError(f"the student {name!r} was changed by others {ATTEMPTS:,} times in a row; try again later")


_text = lru_cache(4096)(float.__repr__)
"""Function that returns a number as JSON."""


def _first_answer(answer: Answer, request: bytes, key: str | None) -> Processed:
    """Return the answer to the first request with a key. Raises KeyConflict if it was another request."""
    if answer.request != request:
        raise KeyConflict(
            f"the idempotency key {key!r} was used before, for another item, answer, time or number of seconds; use a "
            "new key for each response"
        )
    return Processed(**json.loads(answer.body))


def _digest_of(values: Any) -> bytes:
    """Return a digest of JSON values."""
    return hashlib.blake2b(json.dumps(values).encode(), digest_size=16).digest()


__all__ = ["AdaptiveEngine"]
