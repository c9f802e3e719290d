"""What is known of a million students, response by response."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alsim.models.base import ModelError
from alsim.models.bkt.fitted import BKTFit
from alsim.models.bkt.kernels import MOST_ODDS, track
from alsim.models.bkt.skill import BKT, table_of
from alsim.types import Floats
from alsim.utils.files import write_whole

FORMAT, VERSION = "alsim-bkt-tracker", 1

AT_ONCE = 2**16
"""Responses whose numbers are brought to the kernel's types together: they stay in a core's cache."""


class Tracker:
    """The probability of each of N students to know each of K skills, kept up to date.

    skills        the parameters of each skill by name, or a fit of them
    num_students  N

    Students and skills are numbers from 0; those of skills are places in `skills`. The state is the odds
    p / (1 - p), float32, 4 N K bytes: odds tell certainty from near certainty, where a float32 p would be 1 for ever.

    Raises ModelError for a fit with parameters by item: which item a response was to is not told here.
    """

    def __init__(self, skills: BKTFit | Mapping[str, BKT], num_students: int) -> None:
        if isinstance(skills, BKTFit):
            if skills.by_item:
                raise ModelError(f"a tracker knows no items; this fit has {', '.join(skills.by_item)} by item")
            skills = {name: found.parameters for name, found in skills.skills.items()}
        if (
            not isinstance(skills, Mapping)
            or not skills
            or not all(isinstance(skill, BKT) for skill in skills.values())
        ):
            raise ModelError("a tracker takes a fit, or one BKT or more by name")
        if isinstance(num_students, bool) or not isinstance(num_students, int | np.integer) or num_students < 1:
            raise ModelError(f"num_students is an integer from 1; got {num_students!r}")
        self.parameters = {str(name): skill for name, skill in skills.items()}
        self.num_students, self.num_skills = int(num_students), len(self.parameters)
        self._table = table_of(*self.parameters.values()).astype(np.float32)
        init = np.array([skill.p_init for skill in self.parameters.values()])
        self._odds: Floats = np.empty(self.num_students * self.num_skills, np.float32)
        self._odds.reshape(-1, self.num_skills)[:] = np.divide(
            init, 1 - init, out=np.full(len(init), MOST_ODDS), where=init < 1
        ).clip(max=MOST_ODDS)

    @property
    def skills(self) -> tuple[str, ...]:
        """Names, in the order of their numbers."""
        return tuple(self.parameters)

    @property
    def mastery(self) -> Floats:
        """A new array (N, K) of the probabilities that skills are known at the next opportunity."""
        return self._probability(self._odds).reshape(self.num_students, self.num_skills)

    @staticmethod
    def _probability(odds: Floats) -> Floats:
        return odds / (odds + np.float32(1))

    def update(self, students: ArrayLike, skills: ArrayLike, correct: ArrayLike) -> None:
        """Take in R responses in order; a student and a skill may occur several times.

        students, skills  (R,) numbers
        correct           (R,) 0 or 1

        Raises ModelError for others, and takes in none of them.
        """
        who, what = self._numbers(students, skills)
        right = np.asarray(correct)
        if right.shape != who.shape or right.dtype.kind not in "biuf":
            raise ModelError(f"responses are {who.shape}, 0 or 1, like students; got {right.dtype} {right.shape}")
        if not ((right == 0) | (right == 1)).all():
            raise ModelError("responses are 0 or 1, wrong or correct; got others")
        for k in range(0, len(who), AT_ONCE):
            part = slice(k, k + AT_ONCE)
            track(
                np.ascontiguousarray(who[part], np.int64),
                np.ascontiguousarray(what[part], np.int64),
                np.ascontiguousarray(right[part], np.int8),
                self._table,
                self._odds,
            )

    def predict(self, students: ArrayLike, skills: ArrayLike) -> Floats:
        """Return the probability (R,) float32 that the students' next responses to these skills are correct."""
        who, what = self._numbers(students, skills)
        known = self._probability(self._odds[who.astype(np.int64) * self.num_skills + what.astype(np.int64)])
        right = self._table[1::2][what]
        return np.asarray(known * right[:, 0] + (1 - known) * right[:, 1], np.float32)

    def _numbers(self, students: ArrayLike, skills: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
        who = _indices("students", students, self.num_students)
        what = _indices("skills", skills, self.num_skills)
        if who.shape != what.shape:
            raise ModelError(f"students and skills are as many; got {len(who)} and {len(what)}")
        return who, what

    def save(self, file: str | Path) -> Path:
        """Write parameters and state as a .npz, whole or not at all, over what is there; return the path."""
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
        write_whole(path, stream.getvalue())
        return path

    @classmethod
    def load(cls, file: str | Path) -> Tracker:
        """Read what `save` has written: numbers and words only. Raises ModelError for anything else."""
        path = Path(file)
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
                about: dict[str, Any] = json.loads(arrays["about"].tobytes())
                if about["format"] != FORMAT or about["version"] != VERSION:
                    raise ValueError(f"it is {about['format']!r}, version {about['version']!r}")
                odds = arrays["odds"]
            skills = {name: BKT(**found) for name, found in about["skills"].items()}
            size = (about["num_students"] * len(skills),)
            if (
                odds.dtype != np.float32
                or odds.shape != size
                or not ((odds >= 0) & (odds <= np.float32(MOST_ODDS))).all()
            ):
                raise ValueError(f"its odds are not {size} of float32 from 0")
            tracker = cls(skills, about["num_students"])
        except (
            OSError,
            ValueError,
            KeyError,
            AttributeError,
            TypeError,
            EOFError,
            MemoryError,
            RuntimeError,  # of zipfile, for what is encrypted or unknown
            zipfile.BadZipFile,
        ) as error:
            raise ModelError(f"{path} is no tracker that was saved: {error}") from None
        tracker._odds[:] = odds
        return tracker


def _indices(what: str, given: ArrayLike, size: int) -> NDArray[Any]:
    """Return numbers (R,) in [0, size), or raise ModelError that names one that is not."""
    numbers = np.asarray(given)
    if numbers.ndim != 1 or (numbers.dtype.kind not in "iu" and len(numbers)):
        raise ModelError(f"{what} are integers (R,); got {numbers.dtype} of shape {numbers.shape}")
    if len(numbers) and (numbers.min() < 0 or numbers.max() >= size):
        bad = numbers[(numbers < 0) | (numbers >= size)][0]
        raise ModelError(f"{what} are numbers in [0, {size}); got {bad}")
    return numbers if len(numbers) else numbers.astype(np.int64)
