"""Roles of the columns of a user's log, and the columns that have them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from alsim.errors import AlsimError, InputTypeError, did_you_mean

ROLES = {
    "episode": "id of the episode",
    "reward": "reward of the step",
    "behaviour": "probability of the action under the policy of the log (propensity)",
    "target": "probability of the action under the target policy",
    "step": "number or time of the step, which sorts the steps of an episode",
    "learner": "independent unit of the episode: learner or class",
    "cluster": "cluster before the action",
    "behaviour_group": "probability of the group of the action under the policy of the log",
    "target_group": "probability of the group of the action under the target policy",
    "q": "predicted later rewards of the action",
    "v": "predicted later rewards of the target policy",
    "action": "action that was taken",
    "features": "what the policy of the log could see",
    "policy": "name of the policy of the log",
}
"""Roles of columns. Each one is by default that of the column of the same name."""
PAIRS = (("q", "v"), ("v", "q"), ("behaviour_group", "target_group"), ("target_group", "behaviour_group"))
"""Roles of which the first one needs the second one."""
ESTIMATE = "estimate_propensities=True (--estimate-propensities)"
"""Option that estimates propensities."""
SHOWN = 12
"""Number of columns that a message lists at most."""


class Chosen(NamedTuple):
    """Names of the columns of a table, by role."""

    names: dict[str, str]
    """Of all roles but features that the table has."""
    features: tuple[str, ...] | None
    """Columns of the features; None if they are not named."""

    def read(self) -> Iterator[str]:
        """Yield the names of all columns to read; a name may occur twice."""
        yield from self.names.values()
        yield from self.features or ()


def choose_columns(columns: Any, available: Sequence[str], source: str, *, estimate: bool) -> Chosen:
    """Return the columns of the roles.

    columns    mapping of roles to names of columns, and of "features" to a list of them; None for a role that the table
               does not have. Other roles are those of columns of the same names
    available  names of all columns of the table
    source     name of the table, for messages
    estimate   whether propensities are estimated

    Raises AlsimError for unknown roles and columns, and for columns that are missing.
    """
    mapping = _checked_mapping(columns)
    names = {role: role for role in ROLES if role in available and role not in mapping}
    for role, name in mapping.items():
        for one in _listed(role, name):
            if one not in available:
                raise AlsimError(
                    f"{source}: there is no column {one!r:.60} for {role}{did_you_mean(str(one), available)}; "
                    f"{_list(available)}"
                )
        if name is not None and role != "features":
            names[role] = str(name)
    own = names.pop("features", None)
    features = None if mapping.get("features") is None else tuple(_listed("features", mapping["features"]))
    chosen = Chosen(names, features if "features" in mapping or own is None else (own,))
    _check_required(chosen, available, source, estimate)
    if not estimate:
        return Chosen({role: name for role, name in names.items() if role != "action"}, None)
    return chosen


def _checked_mapping(columns: Any) -> dict[str, Any]:
    """Return a mapping of roles. Raises AlsimError for others."""
    if columns is None:
        return {}
    if not isinstance(columns, Mapping):
        raise InputTypeError(
            f"columns must be a mapping of roles to names of columns; got {type(columns).__name__}: pass "
            "{'reward': 'score'}, say"
        )
    for role in columns:
        if role not in ROLES:
            raise AlsimError(
                f"there is no role {role!r:.60} of a column{did_you_mean(str(role), ROLES)}; expected some of "
                f"{', '.join(ROLES)}"
            )
    return dict(columns)


def _listed(role: str, name: Any) -> list[str]:
    """Return the columns of a role as a list. Raises InputTypeError for other values than names."""
    if name is None:
        return []
    many = role == "features" and isinstance(name, list | tuple)
    found = list(name) if many else [name]
    if not all(isinstance(one, str) for one in found):
        expected = "a list of names of columns" if role == "features" else "the name of a column"
        raise InputTypeError(f"columns must map {role} to {expected}; got {name!r:.60}: pass {expected}, or None")
    return found


def _check_required(chosen: Chosen, available: Sequence[str], source: str, estimate: bool) -> None:
    """Raise AlsimError if a column is missing, or if propensities are both in the table and to be estimated."""
    names = chosen.names
    required = ["episode", "reward", "target", *(["action"] if estimate else [])]
    for role in required:
        if role not in names:
            raise AlsimError(
                f"{source}: there is no column for {role}, the {ROLES[role]}{did_you_mean(role, available)}; name it "
                f"with columns={{{role!r}: ...}}: {_list(available)}"
            )
    if not estimate and "behaviour" not in names:
        raise AlsimError(
            f"{source}: there are no propensities: no column for behaviour{did_you_mean('behaviour', available)}; name "
            f"it with columns={{'behaviour': ...}}, or estimate them with {ESTIMATE}"
        )
    if estimate and "behaviour" in names:
        raise AlsimError(
            f"{source}: has propensities in the column {names['behaviour']!r}, which are better than estimates: leave "
            f"{ESTIMATE} out, or ignore the column with columns={{'behaviour': None}}"
        )
    if estimate and chosen.features is None:
        raise AlsimError(
            f"{source}: propensities are estimated from what the policy of the log could see, and no column is named: "
            "name them with columns={'features': [...]}; the list is empty if the policy saw nothing"
        )
    for role, other in PAIRS:
        if role in names and other not in names:
            raise AlsimError(
                f"{source}: there is a column for {role}, {names[role]!r}, and none for {other}; name it with "
                f"columns={{{other!r}: ...}}, or ignore the former with columns={{{role!r}: None}}"
            )
    if "behaviour_group" in names and "cluster" not in names:
        raise AlsimError(
            f"{source}: there are probabilities of groups, and no column for cluster, the {ROLES['cluster']}; name it "
            "with columns={'cluster': ...}, or ignore them with columns={'behaviour_group': None, 'target_group': None}"
        )


def _list(available: Sequence[str]) -> str:
    """Return the part of a message that lists the columns of a table."""
    more = f" and {len(available) - SHOWN} more" if len(available) > SHOWN else ""
    return f"the columns are {', '.join(f'{name!r:.60}' for name in available[:SHOWN])}{more}"


__all__ = ["ESTIMATE", "ROLES", "Chosen", "choose_columns"]
