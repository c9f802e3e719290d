"""Experiments: arms with their shares, and the assignment of students or classes to them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from itertools import accumulate
from typing import Any, Self

import numpy as np

from alsim.assignment.checks import (
    check_keys,
    checked_arms,
    checked_name,
    checked_policies,
    checked_traffic,
    checked_unit,
)
from alsim.assignment.errors import AssignmentError
from alsim.assignment.hashing import ARM, ENROLMENT, uniform_numbers
from alsim.types import Longs, describe, short_repr

OUTSIDE = -1
"""Number of the arm of students who do not take part."""


@short_repr
@dataclass(frozen=True, eq=False)
class Experiment:
    """An experiment that assigns students, or classes, to arms at random.

    name      letters, digits, - and _: at most 64, the first a letter or a digit. Another name is another assignment
    arms      {arm: share}, at least two; the shares are positive and add up to 1. The first arm is the control
    unit      "student", or "class" if all students of a class shall be in the same arm
    traffic   share of the units that take part, in (0, 1]
    policies  {arm: recommender of the engine}, for all arms or for none

    The arm is a pure function of the name and the id of the unit: it is the same on every machine, and independent of
    that in any other experiment. More traffic keeps the arms of those who take part already. Raises AssignmentError for
    invalid values.
    """

    name: str
    arms: Mapping[str, float]
    unit: str = "student"
    traffic: float = 1.0
    policies: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check all fields."""
        checked_name("the name of an experiment", self.name)
        arms = checked_arms(self.name, self.arms)
        values: dict[str, Any] = {
            "arms": arms,
            "unit": checked_unit(self.name, self.unit),
            "traffic": checked_traffic(self.name, self.traffic),
            "policies": checked_policies(self.name, arms, self.policies),
        }
        for key, value in values.items():
            object.__setattr__(self, key, value)
        object.__setattr__(self, "_bounds", [*list(accumulate(arms.values()))[:-1], 1.0])

    @classmethod
    def from_dict(cls, table: Mapping[str, Any], name: str | None = None) -> Self:
        """Return the experiment of a table, such as one of a TOML file, with the keys of the fields.

        name  name of an experiment whose table has none

        Raises AssignmentError, which names the key and the most similar one.
        """
        if not isinstance(table, Mapping):
            raise AssignmentError(f"an experiment must be a table; got {describe(table)}: write [NAME] with arms")
        values = {**({} if name is None else {"name": name}), **table}
        check_keys(str(values.get("name", "")), values, [f.name for f in fields(cls)], ("name", "arms"))
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values, from which `from_dict` makes an equal experiment."""
        found = {"name": self.name, "arms": dict(self.arms), "unit": self.unit, "traffic": self.traffic}
        return {**found, "policies": dict(self.policies)} if self.policies else found

    # ── assignment ──────────────────────────────────────────────────────────────────────────────

    def unit_of(self, student: str, class_name: str | None = None) -> str:
        """Return the id that is assigned: that of the student, or that of the class.

        Raises AssignmentError for a student without class in an experiment by class.
        """
        if self.unit == "student":
            return student
        if not class_name:
            raise AssignmentError(
                f"the student {student!r} has no class, and the experiment {self.name!r} assigns classes: pass the "
                "class of the student (class_name, --class)"
            )
        return class_name

    def assign(self, unit: str) -> str | None:
        """Return the arm of a student, or of a class; None if it does not take part.

        unit  id, a text

        Raises AssignmentError for an id that is not a text.
        """
        number = int(self.assign_many([unit])[0])
        return None if number == OUTSIDE else self.names[number]

    def assign_many(self, units: Iterable[str]) -> Longs:
        """Return the numbers of the arms of n units, in the order of `arms`, (n,); OUTSIDE for those outside.

            arm = the first whose cumulative share exceeds u

        units  ids of students, or of classes; for simulated learners str(number)

        Raises AssignmentError for an id that is not a text.
        """
        if isinstance(units, str) or not isinstance(units, Iterable):
            raise AssignmentError(f"units must be a list of ids; got {units!r:.100}: use assign for one unit")
        ids = units.tolist() if isinstance(units, np.ndarray) else list(units)
        numbers = uniform_numbers(self.name, ids)
        bounds: list[float] = self._bounds  # type: ignore[attr-defined]  # set in __post_init__
        if len(ids) == 1:  # a request about one student
            arms = np.array([bisect_right(bounds, float(numbers[0, ARM]))], np.int64)
        else:
            arms = np.searchsorted(bounds, numbers[:, ARM], side="right").astype(np.int64)
        return np.where(numbers[:, ENROLMENT] < self.traffic, arms, OUTSIDE)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the arms, the control first."""
        return tuple(self.arms)

    @property
    def summary(self) -> str:
        """Units, shares and policies of the arms, and the traffic, as text."""
        policies = {arm: f" ({policy})" for arm, policy in self.policies.items()}
        arms = ", ".join(f"{share:.4g} {arm}{policies.get(arm, '')}" for arm, share in self.arms.items())
        traffic = "" if self.traffic == 1 else f"; {self.traffic:.4g} of them take part"
        return f"{'students' if self.unit == 'student' else 'classes'} by hash: {arms}{traffic}"

    # ── comparison ──────────────────────────────────────────────────────────────────────────────

    def difference(self, later: Experiment) -> str:
        """Return how a later definition of the experiment contradicts this one, "" if it does not.

        Assignments stay valid with the same arms in the same order, shares, unit and policies, and no less traffic.
        """
        for key in ("arms", "unit", "policies"):
            old, new = self.to_dict().get(key, {}), later.to_dict().get(key, {})
            if old != new or [*old] != [*new]:
                return f"{key} = {describe(old)} before, and {describe(new)} now"
        if later.traffic < self.traffic:
            return f"traffic = {self.traffic:g} before, and {later.traffic:g} now"
        return ""

    def check_same(self, later: Experiment) -> None:
        """Raise AssignmentError if a later definition of the experiment contradicts this one."""
        if found := self.difference(later):
            raise AssignmentError(
                f"the experiment {self.name!r} has begun with another definition: {found}; restore it, or give the new "
                "experiment a new name"
            )

    def __eq__(self, other: object) -> bool:
        """Return whether all fields are equal, with the arms in the same order."""
        return isinstance(other, Experiment) and self.to_dict() == other.to_dict() and self.names == other.names

    __hash__ = None  # type: ignore[assignment]  # the tables of arms and policies have none


__all__ = ["OUTSIDE", "Experiment"]
