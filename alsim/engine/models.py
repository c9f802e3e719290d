"""The student model of an engine, and how its items and skills correspond to those of the catalogue."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from alsim.engine.catalogue import Catalogue, hash_of
from alsim.engine.errors import EngineError
from alsim.errors import AlsimError, did_you_mean
from alsim.models.base import Fit, ModelError, load_fit
from alsim.models.student.base import NOT_ANSWERED, BaseStudentModel, StudentModel, Students, TimedStudentModel
from alsim.models.student.fits import student_model
from alsim.models.student.items import Items
from alsim.types import Bools, Doubles, Longs, describe
from alsim.utils.files import sha256_of_file

DEFAULTS = ("bkt", "alosi", "irt", "elo", "glicko", "hlr", "fsrs")
"""Models that need no fit: their names."""
WITH_CLOCK = ("hlr", "fsrs")
"""Those of them that know time."""
GUESS_AND_SLIP = (("guess", 0.2), ("slip", 0.1))
"""Probabilities of items without values of their own: those of the guide."""
SEPARATOR = "\x1f"
"""Separator of the skills in the name of a model item for several skills; names have no control characters."""
SECONDS_PER_HOUR = 3600.0
RETENTION = 0.9
"""Default recall below which a practised skill is due."""
LONGEST_SET = 500
"""Largest length of the joined names of several skills; a longer one is replaced by its hash."""


class EngineModel:
    """A student model with the numbers of the catalogue. I items, K skills of the graph.

    model      a name of DEFAULTS, a path of a file with a fit or a student model, a fit, or a StudentModel
    catalogue  Catalogue
    retention  recall below which a practised skill is due, under a model of memory
    due_first  whether items are chosen for due skills, if there are any that an item teaches

    Raises EngineError for an item or a skill that the model does not know.
    """

    def __init__(
        self, model: Any, catalogue: Catalogue, *, retention: float = RETENTION, due_first: bool = True
    ) -> None:
        try:
            source = _loaded(model)
            self.model = _resolved(source, catalogue)
        except (ModelError, OSError) as error:
            raise EngineError(str(error)) from error
        self.fit = source if isinstance(source, Fit) else None
        """The fit from which the model was made for this catalogue; None for other models."""
        items = self.model.items
        self.graph = catalogue.graph
        """Graph of skills."""
        self.items: Longs = _item_numbers(items, catalogue)
        """Item of the model for each item of the catalogue, (I,): a question by what it assesses, a content by what it
        teaches; -1 for a content that the model does not know."""
        index = {str(skill): k for k, skill in enumerate(items.skills)}
        lacking = [skill for skill in catalogue.skills if skill not in index]
        if lacking:
            raise EngineError(
                f"the student model has no skill {lacking[0]!r} of the graph{did_you_mean(lacking[0], index)}; it has "
                f"{len(index):,} skills: fit it on responses to all skills of the graph"
            )
        self._index = catalogue.graph.index
        self.columns: Longs = np.array([index[skill] for skill in catalogue.skills], np.int64)
        """Skill of the model for each skill of the graph, (K,)."""
        self._is_same_order = self.columns.tolist() == list(range(len(index)))
        self.partial_credit = getattr(self.model, "partial_credit", False) is True
        """Whether the model reads scores between 0 and 1."""
        self.digest = int(_digest(self.model, catalogue)[:16], 16)
        """Digest of model and catalogue, in [0, 2**64)."""
        self.retention, self.due_first = retention, due_first
        self._timed = self.model if isinstance(self.model, TimedStudentModel) else None
        self._is_taught = np.isin(np.arange(len(catalogue.skills)), catalogue.taught.skill)

    @property
    def has_clock(self) -> bool:
        """True if the model knows time."""
        return self._timed is not None

    def advance(self, students: Students, seconds: Doubles | Sequence[float], active: Bools | None = None) -> None:
        """Set the clocks of students, in place, if the model knows time.

        seconds  time of each student, seconds since 1970, (n,)
        active   (n,) True for the students whose clock is set; None for all
        """
        if self._timed is not None:
            self._timed.advance(students, np.asarray(seconds, np.float64) / SECONDS_PER_HOUR, active)

    def due(self, students: Students, mastery: Doubles) -> Bools:
        """Return the skills that are due: practised, and recall is below the desired retention at the clock, (n, K).

        mastery  (n, K) result of `mastery`

        No skill is due under a model that has no `practised`, as one without memory.
        """
        practised = getattr(self.model, "practised", None)
        if not callable(practised):
            return np.zeros(mastery.shape, np.bool_)
        return np.asarray(practised(students)[:, self.columns] & (mastery < self.retention))

    def wanted(self, students: Students, mastery: Doubles, threshold: float) -> Bools:
        """Return the skills for which items are recommended, (n, K), the arguments as for `due`.

        They are the due ones that an item teaches, if there are any and `due_first`; else those that a student is ready
        for.
        """
        ready = self.graph.ready(mastery, threshold)
        if not (self.has_clock and self.due_first):
            return ready
        due = self.due(students, mastery) & self._is_taught
        return np.where(due.any(axis=1, keepdims=True), due, ready)

    def new_students(self, names: Sequence[str]) -> Students:
        """Return the state of students without events; the model may know more of some of them by name."""
        personal = getattr(self.model, "start_of", None)
        return personal(list(names)) if callable(personal) else self.model.start(len(names))

    def raise_mastery(self, students: Students, mastery: Mapping[str, float]) -> None:
        """Set the mastery of skills of all students, where it is larger than before, in place, if the model can.

        mastery  {skill of the graph: mastery}; others are ignored
        """
        place = getattr(self.model, "place", None)
        known = {self.columns[self._index[skill]]: p for skill, p in mastery.items() if skill in self._index}
        if callable(place) and known:
            place(students, np.array(list(known), np.int64), np.array(list(known.values())))

    def read_scores(self, scores: Doubles) -> Doubles:
        """Return scores (n,), -1 for none, as the model reads them, see `read_score`."""
        if self.partial_credit:
            return scores
        return np.where(scores == NOT_ANSWERED, NOT_ANSWERED, scores >= 0.5).astype(np.float64)

    def read_score(self, score: float) -> float:
        """Return a score as the model reads it: without partial credit, 1 from one half on, and else 0."""
        return score if self.partial_credit or score in (0, 1, NOT_ANSWERED) else int(score >= 0.5)

    def mastery(self, students: Students) -> Doubles:
        """Return the mastery of each skill of the graph, (n, K)."""
        found = self.model.mastery(students)
        return found if self._is_same_order else np.ascontiguousarray(found[:, self.columns])


def _loaded(model: Any) -> Any:
    """Return a model, a fit or a name of DEFAULTS; a file is loaded. Raises EngineError if there is none."""
    if isinstance(model, Path) or (isinstance(model, str) and model not in DEFAULTS):
        path = Path(model)
        if not str(model) or not path.is_file():
            cure = did_you_mean(str(model), DEFAULTS)
            raise EngineError(
                f"there is no student model {str(model)!r}{cure}; expected {', '.join(DEFAULTS)}, or a file with a fit"
            )
        try:
            return load_fit(path)
        except AlsimError:
            from alsim.models.student.files import load_student_model

            return load_student_model(path)
    return model


def _resolved(model: Any, catalogue: Catalogue) -> StudentModel:
    """Return a student model for a catalogue. Raises EngineError."""
    if isinstance(model, str):
        return _default(model, catalogue)
    if isinstance(model, Fit):
        return student_model(model, catalogue_items(catalogue, by_item=model.model == "irt"))
    if not isinstance(model, StudentModel):
        raise EngineError(
            f"model must be one of {', '.join(DEFAULTS)}, a file, a fit or a StudentModel; got {describe(model)}"
        )
    return model


def _default(name: str, catalogue: Catalogue) -> StudentModel:
    """Return a model with its default parameters."""
    from alsim.models.student.files import class_of

    if name == "bkt" or name in WITH_CLOCK:
        return class_of(name)(catalogue_items(catalogue))
    if name == "alosi":
        items = catalogue_items(catalogue, by_item=True)
        guess, slip = (np.repeat(column_of(catalogue, items, f, default), items.sizes) for f, default in GUESS_AND_SLIP)
        return class_of(name)(items, p_guess=guess, p_slip=slip)  # type: ignore[call-arg]  # AlosiModel
    from alsim.engine.difficulties import expert_model

    return expert_model(name, catalogue)


def column_of(catalogue: Catalogue, items: Items, field: str, default: float) -> Doubles:
    """Return a number of each item of a model, (I,): that of the question with its name, or else a default."""
    values = {item.id: getattr(item, field) for item in catalogue.items}
    found = [values.get(name) for name in items.names.tolist()]
    return np.array([default if value is None else value for value in found], np.float64)


def catalogue_items(catalogue: Catalogue, *, by_item: bool = False) -> Items:
    """Return the items of a student model for a catalogue.

    by_item  True for one item per question, named by its id; False for one item per set of skills. Skills and sets of
             skills without a question are items as well
    """
    names: dict[str, list[str]] = {}
    if by_item:
        names = {item.id: list(item.skills_assessed) for item in catalogue.items if item.type == "question"}
    assessed = {skill for skills in names.values() for skill in skills}
    rows = [[skill] for skill in catalogue.skills if skill not in assessed]
    if not by_item:
        rows += [sorted(set(_skills(item))) for item in catalogue.items]
    names |= {set_name(row): row for row in rows}
    return Items(list(names), list(names.values()))


def set_name(skills: Any) -> str:
    """Return the name of the model item for a set of skills: that of the skill, if it is one."""
    name = SEPARATOR.join(sorted(set(skills)))
    return name if len(name) <= LONGEST_SET else f"set{SEPARATOR}{hash_of(name):016x}"


def _skills(item: Any) -> tuple[str, ...]:
    """Return the skills of an item that its responses change: those assessed, or those that a content teaches."""
    skills: tuple[str, ...] = item.skills_assessed if item.type == "question" else item.skills_taught
    return skills


def _item_numbers(items: Items, catalogue: Catalogue) -> Longs:
    """Return the item of the model for each item of the catalogue. Raises EngineError for an unknown question."""
    index = {str(name): k for k, name in enumerate(items.names)}
    found: list[int] = []
    for item in catalogue.items:
        skills = _skills(item)
        number = index.get(item.id, index.get(set_name(skills), -1)) if not items.are_skills else -1
        if items.are_skills and len(set(skills)) == 1:
            number = index.get(skills[0], -1)
        if number < 0 and item.type == "question":
            raise EngineError(
                f"the student model has neither the item {item.id!r} nor one for its skills {', '.join(skills)}: "
                "fit it on responses to these items, or to each skill"
            )
        found.append(number)
    return np.array(found, np.int64)


def _digest(model: StudentModel, catalogue: Catalogue) -> str:
    """Return the digest of what states depend on: the parameters of the model, and the catalogue."""
    digest = hashlib.sha256(catalogue.digest.encode())
    items = model.items
    digest.update(json.dumps([type(model).__name__, items.names.tolist(), items.skills.tolist()]).encode())
    digest.update(items.skill.tobytes())
    if not isinstance(model, BaseStudentModel):
        digest.update(_own_digest(model).encode())
    else:
        digest.update(json.dumps(model.options(), sort_keys=True).encode())
        for name, values in sorted(model.arrays().items()):
            digest.update(name.encode() + np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def _own_digest(model: StudentModel) -> str:
    """Return the digest of a model of the user: its attribute `digest`, or else that of the file that it saves."""
    own = getattr(model, "digest", None)
    if isinstance(own, str):
        return own
    with TemporaryDirectory() as folder:
        try:
            return sha256_of_file(Path(model.save(Path(folder, "model"))))
        except (AttributeError, NotImplementedError, OSError, TypeError) as error:
            raise EngineError(
                f"the student model {describe(model)} cannot be saved ({type(error).__name__}: {error}), so its "
                "parameters are unknown: give it an attribute digest, a text that changes with them"
            ) from None


__all__ = ["DEFAULTS", "EngineModel", "catalogue_items", "set_name"]
