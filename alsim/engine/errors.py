"""Errors of the engine, one class per cause, so that a server can answer each with its status."""

from __future__ import annotations

from alsim.errors import AlsimError


class EngineError(AlsimError):
    """Invalid input of the engine: the message names the value, what was expected, and the cure."""


class UnknownName(EngineError):
    """An item or a skill that the catalogue and the graph do not have."""


class UnknownStudent(EngineError):
    """A student without events, where one with events is needed."""


class DeletedStudent(EngineError):
    """An event of a student who has been deleted."""


class KeyConflict(EngineError):
    """An idempotency key that was used before, for another request."""


class ClassConflict(EngineError):
    """A class of a student who is in another one."""


class OutOfOrder(EngineError):
    """An event whose time lies before that of the student's last event."""


class StoreError(EngineError):
    """A store that cannot be opened, read or written: unreachable, full, damaged, or of another version."""


__all__ = [
    "ClassConflict",
    "DeletedStudent",
    "EngineError",
    "KeyConflict",
    "OutOfOrder",
    "StoreError",
    "UnknownName",
    "UnknownStudent",
]
