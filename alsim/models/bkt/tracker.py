"""Online knowledge tracing of many students, updated with batches of responses."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alsim.models.base import ModelError
from alsim.models.bkt.kernels import MOST_ODDS, track
from alsim.models.bkt.result import BKTFit
from alsim.models.bkt.skill import BKT, table_of
from alsim.models.serialization import count
from alsim.types import Floats
from alsim.utils.files import write_atomic
from alsim.utils.npz import UNREADABLE, array_header, check_unpacked_size, read_array
from alsim.utils.reading import open_file, parse_json, reason

FORMAT, VERSION = "alsim-bkt-tracker", 1

CHUNK = 2**16
"""Number of responses that are converted to the kernel's types at once, so that they stay in the cache of a core."""


class Tracker:
    """The probability that each of N students knows each of K skills, updated with every response.

    skills        parameters of each skill by name, or a fit
    num_students  number of students, N

    Students and skills are numbered from 0; the number of a skill is its position in `skills`. The state is the odds
    p / (1 - p) as float32, which takes 4 N K bytes. Odds can represent a p very close to 1. A float32 p would round to
    1, and later wrong responses could not lower it.

    Raises ModelError for invalid arguments, and for a fit with parameters by item, because updates do not have items.
    """

    def __init__(self, skills: BKTFit | Mapping[str, BKT], num_students: int) -> None:
        if isinstance(skills, BKTFit):
            if skills.by_item:
                raise ModelError(
                    f"a tracker needs the same parameters for all items of a skill; this fit has "
                    f"{', '.join(skills.by_item)} by item: fit without by_item"
                )
            skills = {name: skill_fit.parameters for name, skill_fit in skills.skills.items()}
        if (
            not isinstance(skills, Mapping)
            or not skills
            or not all(isinstance(skill, BKT) for skill in skills.values())
        ):
            raise ModelError(f"skills must be a BKTFit, or a dictionary of at least one BKT; got {skills!r:.100}")
        if isinstance(num_students, bool) or not isinstance(num_students, int | np.integer) or num_students < 1:
            raise ModelError(f"num_students must be an integer of at least 1; got {num_students!r}")
        self.parameters = {str(name): skill for name, skill in skills.items()}
        self.num_students, self.num_skills = int(num_students), len(self.parameters)
        self._table = table_of(*self.parameters.values()).astype(np.float32)
        init = np.array([skill.p_init for skill in self.parameters.values()])
        self._odds: Floats = np.empty(self.num_students * self.num_skills, np.float32)
        self._odds.reshape(-1, self.num_skills)[:] = np.divide(
            init, 1 - init, out=np.full(len(init), MOST_ODDS), where=init < 1
        ).clip(max=MOST_ODDS)

    def __repr__(self) -> str:
        return f"<Tracker: {self.num_students:,} students, {self.num_skills:,} skills>"

    @property
    def skills(self) -> tuple[str, ...]:
        """Names of the skills, in the order of their numbers."""
        return tuple(self.parameters)

    @property
    def mastery(self) -> Floats:
        """Probability (N, K), float32, that each student knows each skill at the next opportunity, as a new array."""
        return self._probability(self._odds).reshape(self.num_students, self.num_skills)

    @staticmethod
    def _probability(odds: Floats) -> Floats:
        """Return odds / (odds + 1)."""
        return odds / (odds + np.float32(1))

    def update(self, students: ArrayLike, skills: ArrayLike, correct: ArrayLike) -> None:
        """Update the state with R responses in order; a student and a skill may occur several times.

        students, skills  (R,) integers, numbers of the student and the skill of each response
        correct           (R,) 0 or 1

        Raises ModelError for invalid responses; the state is then unchanged.
        """
        students_, skills_ = self._numbers(students, skills)
        right = np.asarray(correct)
        if right.shape != students_.shape or right.dtype.kind not in "biuf":
            raise ModelError(
                f"correct must be an array {students_.shape} of 0 and 1, one per student in the batch; got "
                f"{right.dtype} of shape {right.shape}"
            )
        invalid = ~((right == 0) | (right == 1))
        if invalid.any():
            place = int(np.argmax(invalid))
            raise ModelError(f"responses must be 0 (wrong) or 1 (correct); got {right[place]} at index {place}")
        for k in range(0, len(students_), CHUNK):
            part = slice(k, k + CHUNK)
            track(
                np.ascontiguousarray(students_[part], np.int64),
                np.ascontiguousarray(skills_[part], np.int64),
                np.ascontiguousarray(right[part], np.int8),
                self._table,
                self._odds,
            )

    def predict(self, students: ArrayLike, skills: ArrayLike) -> Floats:
        """Return the probability (R,) float32 that the next response of each student to each skill is correct.

        students, skills  (R,) integers, numbers of students and skills

        Raises ModelError for invalid numbers.
        """
        students_, skills_ = self._numbers(students, skills)
        known = self._probability(self._odds[students_.astype(np.int64) * self.num_skills + skills_.astype(np.int64)])
        right = self._table[1::2][skills_]
        return np.asarray(known * right[:, 0] + (1 - known) * right[:, 1], np.float32)

    def _numbers(self, students: ArrayLike, skills: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return numbers (R,) of students and of skills. Raises ModelError for invalid ones."""
        students_ = _indices("students", students, self.num_students)
        skills_ = _indices("skills", skills, self.num_skills)
        if students_.shape != skills_.shape:
            raise ModelError(f"students and skills must have the same length; got {len(students_)} and {len(skills_)}")
        return students_, skills_

    def save(self, file: str | Path) -> Path:
        """Write parameters and state to an npz file atomically, replacing an existing file; return the path."""
        path = Path(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        about = {
            "format": FORMAT,
            "version": VERSION,
            "num_students": self.num_students,
            "skills": {name: asdict(skill) for name, skill in self.parameters.items()},
        }
        text = np.frombuffer(json.dumps(about).encode(), np.uint8)
        stream = io.BytesIO()
        np.savez(stream, about=text, odds=self._odds)
        write_atomic(path, stream.getvalue())
        return path

    @classmethod
    def load(cls, file: str | Path) -> Tracker:
        """Return the tracker that `save` has written to a file. The file contains numbers and text, and no code.

        Sizes are checked before the arrays are unpacked. Raises ModelError for any other file.
        """
        path = Path(file)
        try:
            with open_file(path) as stream:
                return cls._read(stream)
        except (*UNREADABLE, AttributeError, ModelError) as error:
            raise ModelError(
                f"{path} is not a saved tracker: {reason(error)}; expected a file of Tracker.save"
            ) from None

    @classmethod
    def _read(cls, stream: IO[bytes]) -> Tracker:
        """Return the tracker in an npz file. For other content, raises one of the errors that `load` catches."""
        size = os.fstat(stream.fileno()).st_size
        with zipfile.ZipFile(stream) as archive:
            check_unpacked_size(archive, size)  # `save` does not compress
            about: dict[str, Any] = parse_json(read_array(archive, "about").tobytes())
            if about["format"] != FORMAT or about["version"] != VERSION:
                raise ValueError(f"it is {about['format']!r:.100}, version {about['version']!r:.100}")
            skills = {name: BKT(**parameters) for name, parameters in about["skills"].items()}
            num_students = count(about["num_students"])
            shape, (found, dtype) = (num_students * len(skills),), array_header(archive, "odds")
            if found != shape or dtype != np.float32:
                raise ValueError(f"its odds are {dtype} of shape {found}, not float32 of shape {shape}")
            odds = read_array(archive, "odds")
        if not ((odds >= 0) & (odds <= np.float32(MOST_ODDS))).all():
            raise ValueError(f"its odds are not numbers in [0, {MOST_ODDS:g}]")
        tracker = cls(skills, num_students)
        tracker._odds[:] = odds
        return tracker


def _indices(name: str, values: ArrayLike, size: int) -> NDArray[Any]:
    """Return numbers (R,) in [0, size). Raises ModelError, with the first invalid number, for others."""
    numbers = np.asarray(values)
    if numbers.ndim != 1 or (numbers.dtype.kind not in "iu" and len(numbers)):
        raise ModelError(f"{name} must be an array (R,) of integers; got {numbers.dtype} of shape {numbers.shape}")
    if len(numbers) and (numbers.min() < 0 or numbers.max() >= size):
        place = int(np.argmax((numbers < 0) | (numbers >= size)))
        raise ModelError(f"{name} must be numbers in [0, {size}); got {numbers[place]} at index {place}")
    return numbers if len(numbers) else numbers.astype(np.int64)
