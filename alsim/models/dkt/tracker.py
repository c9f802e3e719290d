"""Forecasts for students while they answer, one response at a time."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from alsim.models.base import ModelError
from alsim.models.dkt.network import initial_state, logistic, step, times
from alsim.types import Doubles, Longs

if TYPE_CHECKING:
    from alsim.models.dkt.result import DKTFit


class State(NamedTuple):
    """The state of one student: the hidden state (H,) and the cell (H,)."""

    hidden: Doubles
    cell: Doubles


class DKTTracker:
    """The states of students, updated with one response at a time. Each state takes 16 H bytes for hidden size H.

    fit  a fit for K skills

    Forecasts are within 1e-12 of those of `DKTFit.predict` for the student's complete log.
    """

    def __init__(self, fit: DKTFit) -> None:
        self.fit, self._network = fit, fit.network
        self._codes = {name: code for code, name in enumerate(fit.skills.tolist())}
        self._states: dict[Any, State] = {}
        self._start = State(*step(self._network, self._network.start, *initial_state(self._network)))

    def __len__(self) -> int:
        return len(self._states)

    def __repr__(self) -> str:
        return f"<DKTTracker: {len(self):,} students, {len(self._codes):,} skills>"

    def update(self, student: Hashable, skill: Any, correct: Any) -> Doubles:
        """Update a student's state with one response, and return the new `forecast` (K,).

        student  any hashable value; a new student starts without responses
        skill    a name, or a list of names for a response with several skills; unknown names are allowed
        correct  0 or 1, or a bool

        Raises ModelError for another value of `correct`, and for an empty list of skills.
        """
        codes = self._codes_of(skill)
        if not isinstance(correct, bool | int | np.bool_ | np.integer) or correct not in (0, 1):
            raise ModelError(f"correct must be 0 or 1; got {correct!r} for student {student!r}")
        x = self._network.responses[int(correct), codes].mean(axis=0)
        self._states[student] = State(*step(self._network, x, *self._states.get(student, self._start)))
        return self.forecast(student)

    def forecast(self, student: Hashable) -> Doubles:
        """Return the probability (K,) that the student's next response is correct, for each skill of `fit.skills`."""
        return logistic(self._logits(student))[:-1]

    def probability(self, student: Hashable, skill: Any) -> float:
        """Return the probability that the student's next response is correct, if it is to `skill`.

        skill  a name, or a list of names for a response with several skills; unknown names are allowed

        Raises ModelError for an empty list of skills.
        """
        return float(logistic(self._logits(student)[self._codes_of(skill)].mean()))

    def forget(self, student: Hashable) -> None:
        """Remove a student's state, so that the student starts without responses. Unknown students are ignored."""
        self._states.pop(student, None)

    def _logits(self, student: Hashable) -> Doubles:
        """Return the logits (K + 1,) of the next response to each skill and to an unknown skill."""
        hidden = self._states.get(student, self._start).hidden
        return times(hidden, self._network.output.T) + self._network.output_bias

    def _codes_of(self, skill: Any) -> Longs:
        """Return the numbers of one or several skills; K for an unknown skill. Raises ModelError for no skill."""
        names = skill if isinstance(skill, list | tuple | set | frozenset | np.ndarray) else [skill]
        if len(names) == 0:
            raise ModelError("a response must have at least one skill; got none: pass a name or a list of names")
        return np.array([self._codes.get(str(name), len(self._codes)) for name in names], np.int64)
