"""One skill: its parameters, and what they say of one student's responses."""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from alsim.models.base import ModelError
from alsim.models.bkt.kernels import decode, expect
from alsim.types import Bools, Doubles, Ints


class Smoothed(NamedTuple):
    """What T responses of a student to a skill tell, together.

    known           (T,) probability that the skill was known at each response, given all of them
    forecast        (T,) probability that each was correct, given the ones before it
    log_likelihood  of all of them, nats
    """

    known: Doubles
    forecast: Doubles
    log_likelihood: float


@dataclass(frozen=True)
class BKT:
    """The parameters of one skill.

    p_init    probability that it is known at the first opportunity
    p_learn   probability that it is learnt from one opportunity to the next
    p_guess   probability of a correct response where it is not known
    p_slip    probability of a wrong response where it is known
    p_forget  probability that it is lost from one opportunity to the next

    Raises ModelError for what is not a probability.
    """

    p_init: float = 0.3
    p_learn: float = 0.1
    p_guess: float = 0.2
    p_slip: float = 0.1
    p_forget: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not is_probability(value):
                raise ModelError(f"{field.name} is a probability, in [0, 1]; got {value!r}")
            object.__setattr__(self, field.name, float(value))

    def predict(self, p: ArrayLike) -> Any:
        """Return the probability of a correct response where the skill is known with probability p, of any shape.

        p (1 - p_slip) + (1 - p) p_guess
        """
        known = _probabilities(p)
        return known * (1 - self.p_slip) + (1 - known) * self.p_guess

    def update(self, p: ArrayLike, correct: ArrayLike) -> Any:
        """Return the probability that the skill is known at the next opportunity.

            q = P(response | known) p / P(response)
            p' = q (1 - p_forget) + (1 - q) p_learn

        p        probability that it was known at this one
        correct  0 or 1; both of shapes that go together

        A response that cannot be, such as a wrong one to a skill known for certain with p_slip = 0, tells nothing.
        """
        known, right = _probabilities(p), _responses(correct) == 1
        likely = known * np.where(right, 1 - self.p_slip, self.p_slip)
        total = likely + (1 - known) * np.where(right, self.p_guess, 1 - self.p_guess)
        posterior = np.where(total > 0, likely / np.where(total > 0, total, 1), known)
        after = posterior * (1 - self.p_forget) + (1 - posterior) * self.p_learn
        return after if after.ndim else float(after)

    def forward_backward(self, correct: ArrayLike) -> Smoothed:
        """Return what a student's responses (T,), in order, tell of each moment.

        Raises ModelError for responses that cannot be under these parameters.
        """
        code = self._sequence(correct)
        ahead, smoothed, found = np.empty((len(code), 2)), np.empty(len(code)), np.zeros(1)
        zero, one, ends = np.zeros(1, np.int64), np.ones(1), np.array([0, len(code)])
        expect(
            zero,
            np.array([0, 1]),
            ends,
            code,
            one,
            table_of(self),
            zero,
            np.array([self.p_init]),
            np.zeros((2, 6)),
            np.zeros(1),
            np.zeros(1),
            found,
            ahead,
            smoothed,
        )
        if found[0] == -np.inf:
            raise ModelError(f"these responses cannot be under {self}")
        ahead = np.exp(ahead - ahead.max(axis=1, keepdims=True)) if ahead[0].min() < 0 else ahead
        before = ahead[:, 0] / ahead.sum(axis=1)
        return Smoothed(np.clip(smoothed, 0, 1), self.predict(np.clip(before, 0, 1)), float(found[0]))

    def viterbi(self, correct: ArrayLike) -> Bools:
        """Return whether the skill was known at each response (T,), along the likeliest path of all.

        Of equally likely paths, one in which it is not known. Raises ModelError for responses that cannot be.
        """
        code = self._sequence(correct)
        states = np.empty(len(code), np.bool_)
        table = table_of(self)
        ways = np.stack([*table.T[:2], table[:, 2], 1 - table[:, 2], table[:, 3], 1 - table[:, 3]], axis=1)
        logs = np.full(ways.shape, -np.inf)
        np.log(ways, out=logs, where=ways > 0)
        if decode(code, logs, self.p_init, np.empty((len(code), 2), np.bool_), states) == -np.inf:
            raise ModelError(f"these responses cannot be under {self}")
        return states

    def _sequence(self, correct: ArrayLike) -> Ints:
        responses = _responses(correct)
        if responses.ndim != 1 or len(responses) == 0:
            raise ModelError(f"a student's responses are (T,) with T > 0; got shape {responses.shape}")
        return np.ascontiguousarray(responses, np.int32)


NAMES = tuple(field.name for field in fields(BKT))
"""The parameters' names, in the order in which all tables have them."""


def table_of(*skills: BKT) -> Doubles:
    """Return the rows by which kernels know these skills, two each: of a wrong response and of a correct one."""
    _, learn, guess, slip, forget = np.array([astuple(skill) for skill in skills]).T
    return make_table(learn, guess, slip, forget)


def make_table(learn: Doubles, guess: Doubles, slip: Doubles, forget: Doubles) -> Doubles:
    """Return the same from the parameters (C,) of groups: (2C, 4)."""
    wrong, right = (slip, 1 - guess, learn, forget), (1 - slip, guess, learn, forget)
    return np.stack([np.stack(wrong, axis=1), np.stack(right, axis=1)], axis=1).reshape(-1, 4)


def is_probability(value: Any) -> bool:
    """Whether a value is a number in [0, 1]."""
    number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    return number and 0 <= float(value) <= 1


def _probabilities(p: ArrayLike) -> Doubles:
    known = np.asarray(p, np.float64)
    if not ((known >= 0) & (known <= 1)).all():
        raise ModelError("p is a probability, in [0, 1], that a skill is known; got others")
    return known


def _responses(correct: ArrayLike) -> Any:
    responses = np.asarray(correct)
    if responses.dtype.kind not in "biuf" or not np.isin(responses, (0, 1)).all():
        raise ModelError("responses are 0 or 1, wrong or correct; got others")
    return responses
