"""Exposures of students to arms of experiments, and their arrays."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alsim.assignment.errors import AssignmentError
from alsim.types import Bools, Doubles, describe, short_repr


@short_repr
class Exposure(NamedTuple):
    """One student who met one arm of an experiment."""

    experiment: str
    """Name of the experiment."""
    unit: str
    """Id that was assigned: that of the student, or that of the class."""
    student: str
    """Id of the student."""
    arm: str
    """Name of the arm."""
    time: float
    """Seconds since 1970."""


@short_repr
class Exposures(NamedTuple):
    """First exposures of students to experiments as arrays, one row per pair of experiment and student."""

    experiment: NDArray[np.str_]
    """Names of the experiments, (n,)."""
    unit: NDArray[np.str_]
    """Ids that were assigned: those of students or of classes, (n,)."""
    student: NDArray[np.str_]
    """Ids of the students, (n,)."""
    arm: NDArray[np.str_]
    """Names of the arms, (n,)."""
    time: Doubles
    """Times of the first exposures, seconds since 1970, (n,)."""
    overlapping: Bools
    """True where the student, or the class, was also exposed to another arm of the experiment, (n,)."""

    @classmethod
    def of(cls, exposures: Iterable[Exposure]) -> Exposures:
        """Return the first exposures among some, in their order; later ones only show overlapping arms."""
        known = Arms()
        found = [exposure for exposure in exposures if known.add(exposure)]
        columns = list(zip(*found, strict=True)) if found else [()] * 5
        experiment, unit, student, arm = (np.array(column, np.str_) for column in columns[:4])
        return cls(experiment, unit, student, arm, np.array(columns[4], np.float64), known.overlapping(found))

    def only(self, experiment: str) -> Exposures:
        """Return the exposures to one experiment."""
        return self.rows(np.asarray(self.experiment == experiment))

    def rows(self, rows: Bools) -> Exposures:
        """Return some of the n rows."""
        return self._replace(**{name: values[rows] for name, values in self._asdict().items()})


class Arms:
    """The arms that students and units have met first."""

    def __init__(self) -> None:
        self._students: dict[tuple[str, str], str] = {}
        self._units: dict[tuple[str, str], str] = {}
        self._wrong: set[tuple[bool, str, str]] = set()

    def add(self, exposure: Exposure) -> bool:
        """Add an exposure; return whether it is the first of the student to the experiment."""
        own, unit = (exposure.experiment, exposure.student), (exposure.experiment, exposure.unit)
        is_new = own not in self._students
        if self._students.setdefault(own, exposure.arm) != exposure.arm:
            self._wrong.add((True, *own))
        if self._units.setdefault(unit, exposure.arm) != exposure.arm:
            self._wrong.add((False, *unit))
        return is_new

    def check(self, exposure: Exposure) -> None:
        """Raise AssignmentError if an exposure is to another arm than an earlier one of the student or the unit."""
        for what, arms, name in (("student", self._students, exposure.student), ("unit", self._units, exposure.unit)):
            arm = arms.get((exposure.experiment, name), exposure.arm)
            if arm != exposure.arm:
                raise AssignmentError(
                    f"overlapping arms: the {what} {name!r:.100} is in the arm {arm!r} of the experiment "
                    f"{exposure.experiment!r}, and cannot be exposed to {exposure.arm!r}: use the first arm, or give "
                    "the new experiment a new name"
                )

    def overlapping(self, exposures: Sequence[Exposure]) -> Bools:
        """Return whether each student or unit has met several arms of the experiment, (n,)."""
        return np.array(
            [
                (True, found.experiment, found.student) in self._wrong
                or (False, found.experiment, found.unit) in self._wrong
                for found in exposures
            ],
            np.bool_,
        )


def checked_exposure(value: Any) -> Exposure:
    """Return an exposure. Raises AssignmentError for texts without characters and for an invalid time."""
    if not isinstance(value, Exposure):
        raise AssignmentError(f"an exposure must be an Exposure; got {describe(value)}: use ExposureLog.record")
    for name in Exposure._fields[:4]:
        if not isinstance(text := getattr(value, name), str) or not text or not text.isprintable():
            raise AssignmentError(f"the {name} of an exposure must be printable text; got {describe(text)}: correct it")
    return value._replace(time=checked_time(value.time))


def checked_time(time: Any) -> float:
    """Return a time. Raises AssignmentError."""
    is_number = isinstance(time, int | float | np.integer | np.floating) and not isinstance(time, bool)
    if not is_number or not 0 <= time < math.inf:
        raise AssignmentError(
            f"the time of an exposure must be seconds since 1970; got {describe(time)}: use time.time()"
        )
    return float(time)


__all__ = ["Arms", "Exposure", "Exposures", "checked_exposure", "checked_time"]
