"""Errors of experiments and of their exposure logs."""

from __future__ import annotations

from alsim.errors import AlsimError


class AssignmentError(AlsimError):
    """Invalid experiment or exposure: the message names the value, what was expected, and the cure."""


__all__ = ["AssignmentError"]
