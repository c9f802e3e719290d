"""States of students: read from a store, made again from the log, and changed by interactions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from alsim.engine import events
from alsim.engine.catalogue import Catalogue, hash_of
from alsim.engine.checks import checked_student
from alsim.engine.errors import DeletedStudent, StoreError, UnknownStudent
from alsim.engine.models import EngineModel
from alsim.engine.progress import Progress, remove_shown, set_time, show, times
from alsim.engine.recommenders import Counts, Interaction, Recommender
from alsim.engine.shared_lock import SharedLock
from alsim.engine.stores import Commit, Store, Stored
from alsim.engine.students import StudentCodec
from alsim.models.student.base import NOT_ANSWERED, Students
from alsim.types import Bools, Doubles, short_repr

if TYPE_CHECKING:
    from alsim.engine.quiz_choice import QuizDesign

Result = TypeVar("Result")
CHECKED = 256
"""Number of students that are checked together."""
ATTEMPTS = 1000
"""Number of times that a change is tried again while other processes change the same student."""


@short_repr
class Knowledge(NamedTuple):
    """Knowledge of a student about K skills of the graph."""

    mastery: Doubles
    """Mastery of each skill, (K,)."""
    practised: Bools
    """Whether it was practised, (K,)."""
    due: Bools
    """Whether it is due for a review, (K,)."""


class States:
    """States of the students in a store under a student model.

    catalogue    items and skills
    recommender  recommender, which may await the effect of contents
    store        store of the students
    threshold    mastery from which a skill counts as mastered
    model        student model

    Several threads may use the states: `lock` is held for reading while they use the model, and for writing while it
    changes.
    """

    def __init__(
        self, catalogue: Catalogue, recommender: Recommender, store: Store, threshold: float, model: EngineModel
    ) -> None:
        self.catalogue, self.recommender, self.store, self.threshold = catalogue, recommender, store, threshold
        self.lock = SharedLock()
        self.use(model)

    _design: QuizDesign | None

    def use(self, model: EngineModel) -> None:
        """Use a student model from now on. Other threads must not use the states meanwhile."""
        self.model = model
        self.codec = StudentCodec(model.model, self.digest_with(model))
        self._design = None

    def digest_with(self, model: EngineModel) -> int:
        """Return the digest of states under a model: trials of contents belong to a recommender that observes."""
        return model.digest ^ (hash_of(self.recommender.counter_prefix) if self.recommender.observes else 0)

    @property
    def quiz_design(self) -> QuizDesign:
        """Choice of questions for quizzes, prepared for catalogue and model."""
        if self._design is None:
            from alsim.engine.quiz_choice import QuizDesign

            self._design = QuizDesign(self.catalogue, self.model)
        return self._design

    # ── reading ─────────────────────────────────────────────────────────────────────────────────

    def load(self, names: Sequence[str]) -> tuple[list[Stored], list[bytes | None]]:
        """Return what the store has of students, and their current records. Raises DeletedStudent."""
        stored = self.store.load_many(names)
        return stored, [self.current(name, old) for name, old in zip(names, stored, strict=True)]

    def check(self, names: Sequence[str], moment: float | None) -> None:
        """Raise DeletedStudent if a student was deleted, and OutOfOrder for a time before the last event of one."""
        for begin in range(0, len(names), CHECKED):
            part = names[begin : begin + CHECKED]
            if moment is None:
                if (name := self.store.first_deleted(part)) is not None:
                    raise deleted(name)
            else:
                _, progress = self.codec.decode(part, self.load(part)[1])
                times(part, progress, moment)

    def loaded(self, name: str) -> tuple[Stored, bytes | None, Students, Progress]:
        """Return what the store has of a student, the current record, and the state and progress in it."""
        (stored,), (record,) = self.load([name])
        return stored, record, *self.codec.decode([name], [record])

    def current(self, name: str, stored: Stored) -> bytes | None:
        """Return the record of a student, from the log if it is not current. Raises DeletedStudent."""
        if stored.is_deleted:
            raise deleted(name)
        if stored.state is None or self.codec.is_current(stored.state):
            return stored.state
        return self.replayed(name)[0]

    def knowledge(self, student: str, moment: float | None = None) -> Knowledge:
        """Return what a student knows at a time, seconds since 1970, None for now. Raises OutOfOrder if it is early."""
        name = checked_student(student)
        with self.lock.reading():
            _, records = self.load([name])
            students, progress = self.codec.decode([name], records)
            touched = self.codec.touched([name], students)[0]
            self.model.advance(students, times([name], progress, moment))
            mastery = self.model.mastery(students)
            return Knowledge(mastery[0], touched[self.model.columns], self.model.due(students, mastery)[0])

    def known(self, student: str) -> str:
        """Return the name of a student with events. Raises UnknownStudent."""
        name = checked_student(student)
        stored = self.store.load(name)
        if stored.state is None:
            was = "was deleted" if stored.is_deleted else "has no events"
            raise UnknownStudent(f"there is no student {name!r}: it {was}")
        return name

    # ── changing ────────────────────────────────────────────────────────────────────────────────

    def advance(
        self, name: str, students: Students, progress: Progress, item: int, correct: float, now: float
    ) -> Counts:
        """Change state and progress of one student by an interaction, in place; return the changes of counters."""
        self.model.advance(students, [now])
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
        after, class_name = self.model.mastery(students)[0], progress.classes[0]
        interaction = Interaction(item, was_shown, before, after, self.threshold, name, class_name)
        progress.trials[0], counts = self.recommender.observe(progress.trials[0], interaction)
        return counts

    def replayed(self, name: str) -> tuple[bytes, Counts]:
        """Return the record of a student from the log, and the changes of counters on the way."""
        students, progress = self.codec.decode([name], [None])
        counts: list[tuple[str, int]] = []
        for entry in map(events.decode, self.store.entries(name)):
            if entry["event"] == events.SHOWN:
                items = [self.catalogue.index.get(item, -1) for item in entry["items"]]
                show(progress.shown, progress.counts, np.array([items], np.int32).reshape(1, -1))
                progress.decisions[0] += 1
                progress.classes[0] = entry.get("class_name", progress.classes[0])
                set_time(progress, entry["time"])
            elif entry["event"] == events.PLACED:
                self.model.raise_mastery(students, entry["mastery"])
                set_time(progress, entry["time"])
            elif (item := self.catalogue.index.get(entry["item"])) is not None:
                counts += self.advance(
                    name, students, progress, item, entry.get("correct", NOT_ANSWERED), entry["time"]
                )
            else:  # the catalogue has lost the item
                progress.interactions[0] += 1
                set_time(progress, entry["time"])
        return self.codec.encode([name], students, progress)[0], tuple(counts)

    def replay(self, name: str) -> Counts | None:
        """Store the state of a student again, from the log; return the changes of counters, None for no student."""
        for _ in range(ATTEMPTS):
            stored = self.store.load(name)
            if stored.state is None:
                return None
            with self.lock.reading():
                state, counts = self.replayed(name)
                if self.store.commit(Commit(name, stored.version, state)):
                    return counts
        raise busy(name)

    def retried(self, name: str, attempt: Callable[[], tuple[Commit | None, Result]]) -> Result:
        """Return the result of a function after its change, if any, has been made; again while others change."""
        for _ in range(ATTEMPTS):
            with self.lock.reading():
                change, result = attempt()
                if change is None or self.store.commit(change):
                    return result
        raise busy(name)


def deleted(name: str) -> DeletedStudent:
    """Return the error of a student who was deleted."""
    return DeletedStudent(f"the student {name!r} was deleted, and its events are refused: use another name")


def busy(name: str) -> StoreError:
    """Return the error of a student whom others change again and again."""
    return StoreError(f"the student {name!r} was changed by others {ATTEMPTS:,} times in a row; try again later")


__all__ = ["ATTEMPTS", "CHECKED", "Knowledge", "States", "busy"]
