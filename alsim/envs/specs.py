"""Specs of environments that can be written as JSON, also with objects of alsim as arguments."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from enum import Enum
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium.envs.registration import EnvSpec

if TYPE_CHECKING:
    from alsim.bank.items import Bank


class JsonEnvSpec(EnvSpec):
    """A spec of Gymnasium whose `to_json` also accepts the objects of alsim and enums as arguments.

    A Config, a Bank, a Curriculum and the parameters of a dynamics are written as mappings, and functions by name, as
    module:function. From them, `EnvSpec.from_json` and `gymnasium.make` create the same environment. `kwargs` keeps the
    objects themselves.
    """

    @classmethod
    def of(cls, spec: EnvSpec) -> JsonEnvSpec:
        """Return the spec with the same fields."""
        return cls(**_fields(spec))

    def to_json(self) -> str:
        """Return the spec as JSON. Raises TypeError or ValueError for arguments that have no form in JSON."""
        return EnvSpec(**_plain_fields(self)).to_json()

    def __eq__(self, other: object) -> bool:
        """Return whether both specs have the same fields, and arguments with the same form in JSON."""
        if not isinstance(other, EnvSpec):
            return NotImplemented
        return _plain_fields(self) == _plain_fields(other)

    __hash__ = None  # type: ignore[assignment]  # mutable, like every EnvSpec


class SpecOwner:
    """Base of the environments: the attribute `spec`, which Gymnasium sets, is a JsonEnvSpec."""

    _spec: JsonEnvSpec | None = None

    @property
    def spec(self) -> EnvSpec | None:
        """Spec of an environment that was created by name; None for one that was created from the class."""
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        self._spec = None if spec is None else JsonEnvSpec.of(spec)


def _fields(spec: EnvSpec) -> dict[str, Any]:
    """Return the fields of a spec that its constructor accepts."""
    return {field.name: getattr(spec, field.name) for field in dataclasses.fields(EnvSpec) if field.init}


def _plain_fields(spec: EnvSpec) -> dict[str, Any]:
    """Return the fields of a spec, with arguments that JSON can represent."""
    return {**_fields(spec), "kwargs": to_plain(spec.kwargs)}


def to_plain(value: Any) -> Any:
    """Return a value in a form that JSON can represent; other values are returned unchanged.

    Mappings and lists are converted entry by entry. Raises BankError for a bank that rows cannot represent.
    """
    from alsim.bank.items import Bank
    from alsim.config.sections import Section
    from alsim.dynamics import DYNAMICS
    from alsim.policies.action_masks import plain_form

    if isinstance(value, Bank):
        return _rows(value)
    if (plain := plain_form(value)) is not None:
        return plain
    if isinstance(value, Section):
        return value.model_dump(mode="json")
    if isinstance(value, Enum):
        return to_plain(value.value)
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, PathLike):
        return fspath(value)
    if isinstance(value, Mapping):
        return {key: to_plain(entry) for key, entry in value.items()}
    for dynamics in DYNAMICS.values():
        if dynamics.parameters is type(value):
            return {"name": dynamics.name, **to_plain(value._asdict())}
    return [to_plain(entry) for entry in value] if isinstance(value, list | tuple) else value


def _rows(bank: Bank) -> dict[str, list[dict[str, Any]]]:
    """Return a bank as a mapping of rows that reads back to the same bank. Raises BankError if none does."""
    from alsim.bank.files import bank_from_rows
    from alsim.bank.items import BankError

    rows = {
        "questions": [bank.question(k) for k in range(bank.num_questions)],
        "contents": [bank.content(k) for k in range(bank.num_contents)],
    }
    for row in (*rows["questions"], *rows["contents"]):
        row["learning_outcome"] = bank.outcomes[row["learning_outcome"]]
    if bank_from_rows(rows) != bank:
        raise BankError(
            "JSON cannot represent the bank: names must not begin or end with a space, and outcomes must be in the "
            f"order of their first question; the outcomes are {', '.join(bank.outcomes[:5])} …: rename or reorder them"
        )
    return rows
