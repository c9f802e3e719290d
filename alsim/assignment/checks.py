"""Checks of the fields of experiments."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from alsim.assignment.errors import AssignmentError
from alsim.errors import did_you_mean
from alsim.types import describe

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""Names of experiments and arms. Separators of names of policies, of tables and of TOML are not part of it."""
UNITS = ("student", "class")
"""Possible units."""
SUM_TOLERANCE = 1e-9
"""Largest deviation of the sum of the shares from 1, such as that of 1/3 three times."""


def checked_name(what: str, name: Any) -> str:
    """Return a name. Raises AssignmentError."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise AssignmentError(
            f"{what} must have 1 to 64 letters, digits, - and _, the first a letter or a digit; got {describe(name)}: "
            "leave out other characters"
        )
    return name


def check_keys(name: str, values: Iterable[str], known: Sequence[str], needed: Sequence[str]) -> None:
    """Raise AssignmentError for an unknown or a missing key of a table of an experiment."""
    of = f"the experiment {name!r:.100}" if name else "an experiment"
    for key in (keys := list(values)):
        if key not in known:
            cure = did_you_mean(str(key), known) or f"; expected {', '.join(known)}"
            raise AssignmentError(f"{of} has the unknown key {key!r:.100}{cure}")
    for key in needed:
        if key not in keys:
            raise AssignmentError(f"{of} has no key {key!r}: add it; expected {', '.join(known)}")


def checked_arms(name: str, arms: Any) -> dict[str, float]:
    """Return {arm: share}. Raises AssignmentError."""
    example = "arms = {control = 0.5, new = 0.5}, or a dict in Python"
    if not isinstance(arms, Mapping):
        raise AssignmentError(f"the arms of {name!r} must be a table of shares; got {describe(arms)}: write {example}")
    if len(arms) < 2:
        raise AssignmentError(
            f"the experiment {name!r} must have at least two arms; got {', '.join(map(repr, arms)) or 'none'}: add a "
            "control, or a treatment"
        )
    found = {checked_name(f"the name of an arm of {name!r}", arm): share(name, arm, arms[arm]) for arm in arms}
    if abs(math.fsum(found.values()) - 1.0) > SUM_TOLERANCE:
        raise AssignmentError(
            f"the shares of the arms of {name!r} must add up to 1; got {describe(found)}, which add up to "
            f"{math.fsum(found.values()):.6g}: correct them, and use traffic for students outside of the experiment"
        )
    return found


def share(name: str, arm: str, value: Any) -> float:
    """Return the share of an arm. Raises AssignmentError."""
    if _number(value) is None or not 0 < float(value) < 1:
        raise AssignmentError(
            f"the share of the arm {arm!r} of {name!r} must be a number between 0 and 1; got {describe(value)}: "
            "remove the arm, or correct its share"
        )
    return float(value)


def checked_unit(name: str, unit: Any) -> str:
    """Return the unit of an experiment. Raises AssignmentError."""
    if unit not in UNITS:
        cure = did_you_mean(unit, UNITS) if isinstance(unit, str) else ""
        raise AssignmentError(
            f"the unit of {name!r} must be 'student' or 'class'; got {describe(unit)}{cure or ': choose one of them'}"
        )
    return str(unit)


def checked_traffic(name: str, traffic: Any) -> float:
    """Return the share of units that take part. Raises AssignmentError."""
    if _number(traffic) is None or not 0 < float(traffic) <= 1:
        raise AssignmentError(
            f"the traffic of {name!r} must be a number in (0, 1]; got {describe(traffic)}: 1 is all students"
        )
    return float(traffic)


def checked_policies(name: str, arms: Mapping[str, float], policies: Any) -> dict[str, str]:
    """Return {arm: policy} in the order of the arms, {} for none. Raises AssignmentError."""
    if not isinstance(policies, Mapping):
        example = 'policies = {control = "guide", new = "alosi"}'
        raise AssignmentError(f"the policies of {name!r} must be a table; got {describe(policies)}: write {example}")
    for arm, policy in policies.items():
        if arm not in arms:
            cure = did_you_mean(str(arm), arms) or f"; expected {', '.join(map(repr, arms))}"
            raise AssignmentError(f"the policies of {name!r} have the unknown arm {arm!r:.100}{cure}")
        if not isinstance(policy, str) or not policy or not policy.isprintable():
            raise AssignmentError(
                f"the policy of the arm {arm!r} of {name!r} must be the name of a recommender; got {describe(policy)}: "
                "write one such as 'guide'"
            )
    if policies and (missing := [arm for arm in arms if arm not in policies]):
        raise AssignmentError(f"the arm {missing[0]!r} of {name!r} has no policy: add it to the policies")
    return {arm: policies[arm] for arm in arms if policies}


def _number(value: Any) -> float | None:
    """Return a finite number, None for any other value."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        return None
    return float(value) if math.isfinite(value) else None


__all__ = [
    "UNITS",
    "check_keys",
    "checked_arms",
    "checked_name",
    "checked_policies",
    "checked_traffic",
    "checked_unit",
]
