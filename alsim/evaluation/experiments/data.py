"""Data of an experiment: one row per student, with the arm, the metrics and what the analysis adjusts for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from alsim.errors import AlsimError, did_you_mean
from alsim.types import Doubles, Longs, short_repr

LEAST = 2
"""Smallest number of students of an arm."""


@short_repr
class ExperimentData(NamedTuple):
    """Students of an experiment, n in all arms together."""

    source: str
    """Name of the table, for messages."""
    names: tuple[str, ...]
    """Names of the arms, the control first."""
    arms: Longs
    """Arm of each student, (n,)."""
    values: Mapping[str, Doubles]
    """Values of each metric, numerator or denominator, (n,) by name."""
    covariate: Doubles | None = None
    """Value measured before assignment, (n,)."""
    clusters: Longs | None = None
    """Class of each student, (n,), numbered from 0."""
    strata: NDArray[np.str_] | None = None
    """Stratum of each student, (n,)."""
    shares: tuple[float, ...] | None = None
    """Expected share of each arm: by the definition of an engine's experiment, or the generated learners; or None."""

    def taken(self, rows: Longs) -> ExperimentData:
        """Return the data of some students, in this order."""
        return self._replace(
            arms=self.arms[rows],
            values={name: column[rows] for name, column in self.values.items()},
            covariate=None if self.covariate is None else self.covariate[rows],
            clusters=None if self.clusters is None else self.clusters[rows],
            strata=None if self.strata is None else self.strata[rows],
        )

    @property
    def sizes(self) -> Longs:
        """Number of students of each arm, (K,)."""
        return np.bincount(self.arms, minlength=len(self.names))

    @property
    def are_classes_assigned(self) -> bool:
        """True if no class has students of several arms, so that classes were assigned and not students."""
        if self.clusters is None:
            return False
        return len(np.unique(self.clusters)) == int(self.unit_sizes.sum())

    @property
    def unit_sizes(self) -> Longs:
        """Number of independent units of each arm, (K,): of students, or of classes with a student in it."""
        if self.clusters is None:
            return self.sizes
        parts = (self.clusters[self.arms == number] for number in range(len(self.names)))
        return np.array([len(np.unique(part)) for part in parts], np.int64)


def ordered_arms(
    names: Sequence[str], control: str | None, source: str, cure: str = "choose the column of the arms (--arm)"
) -> list[str]:
    """Return the names of the arms with the control first: the arm "control" if none is named, or else the first.

    cure  what to do about a single arm

    Raises AlsimError for a single arm, and for a control that is no arm.
    """
    found = list(names)
    if len(found) < 2:
        only = f"got only {found[0]!r:.60}" if found else "got none"
        raise AlsimError(f"{source}: an experiment needs at least 2 arms; {only}: {cure}")
    first = control if control is not None else ("control" if "control" in found else found[0])
    if first not in found:
        raise AlsimError(
            f"{source}: there is no arm {first!r:.60} to be the control{did_you_mean(first, found)}; choose one of "
            f"{', '.join(found[:8])}"
        )
    return [first, *(name for name in found if name != first)]


def check_sizes(data: ExperimentData) -> None:
    """Raise AlsimError for an arm with fewer than two students, or with fewer than two classes."""
    for number, (name, size) in enumerate(zip(data.names, data.sizes, strict=True)):
        if size < LEAST:
            raise AlsimError(
                f"{data.source}: the arm {name!r:.60} has {'no students' if size == 0 else 'one student'}, and a test "
                "needs at least 2: collect more, or leave the arm out"
            )
        if data.clusters is not None and data.unit_sizes[number] < LEAST:
            raise AlsimError(
                f"{data.source}: all students of the arm {name!r:.60} are of one class, and a test needs at least 2 "
                "classes in each arm: collect more"
            )


__all__ = ["LEAST", "ExperimentData", "check_sizes", "ordered_arms"]
