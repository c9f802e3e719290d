"""One skill: its parameters, and inference from the responses of one student."""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from alsim.models.base import ModelError
from alsim.models.bkt.kernels import ChainArrays, Expectations, Scratch, decode, expect
from alsim.types import Bools, Doubles, Ints, short_repr


@short_repr
class Smoothed(NamedTuple):
    """Result of the forward-backward algorithm for T responses of one student to one skill.

    known           (T,) probability that the skill was known at each response, given all responses
    forecast        (T,) probability that each response is correct, given the responses before it
    log_likelihood  log-likelihood of all responses, nats
    """

    known: Doubles
    forecast: Doubles
    log_likelihood: float


@dataclass(frozen=True)
class BKT:
    """The parameters of one skill.

    p_init    probability that the skill is known at the first opportunity
    p_learn   probability that a skill that is not known is learnt from one opportunity to the next
    p_guess   probability of a correct response if the skill is not known
    p_slip    probability of a wrong response if the skill is known
    p_forget  probability that a known skill is forgotten from one opportunity to the next

    Raises ModelError for a parameter that is not a number in [0, 1].
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
                raise ModelError(f"{field.name} must be a probability, a number in [0, 1]; got {value!r}")
            object.__setattr__(self, field.name, float(value))

    def predict(self, p: ArrayLike) -> Any:
        """Return the probability of a correct response, p (1 - p_slip) + (1 - p) p_guess.

        p  probability that the skill is known, of any shape; the result has the same shape

        Raises ModelError for a p outside [0, 1].
        """
        known = _probabilities(p)
        return known * (1 - self.p_slip) + (1 - known) * self.p_guess

    def update(self, p: ArrayLike, correct: ArrayLike) -> Any:
        """Return the probability that the skill is known at the next opportunity.

            q = P(response | known) p / P(response)
            p' = q (1 - p_forget) + (1 - q) p_learn

        p        probability that the skill is known at this opportunity, of any shape
        correct  0 or 1, of a shape that broadcasts with p

        If the response has probability 0, then q = p. For example, a wrong response has probability 0 if p = 1 and
        p_slip = 0. Raises ModelError for a p outside [0, 1] and for a response other than 0 or 1.

        Source: Corbett and Anderson (1995).
        """
        known, right = _probabilities(p), _responses(correct) == 1
        joint = known * np.where(right, 1 - self.p_slip, self.p_slip)
        total = joint + (1 - known) * np.where(right, self.p_guess, 1 - self.p_guess)
        posterior = np.where(total > 0, joint / np.where(total > 0, total, 1), known)
        after = posterior * (1 - self.p_forget) + (1 - posterior) * self.p_learn
        return after if after.ndim else float(after)

    def forward_backward(self, correct: ArrayLike) -> Smoothed:
        """Compute the probability of each state given all responses, by the forward-backward algorithm.

        correct  (T,) responses of one student in order, 0 or 1; T > 0

        Raises ModelError for invalid responses, and for responses that have probability 0 under these parameters.

        Source: Rabiner (1989), A tutorial on hidden Markov models.
        """
        code = self._codes(correct)
        scratch = Scratch(np.empty((len(code), 2)), np.empty(len(code)))
        out = Expectations(np.zeros((2, 6)), np.zeros(1), np.zeros(1), np.zeros(1))
        chain = ChainArrays(np.array([0, 1]), np.array([0, len(code)]), code, np.ones(1))
        zero = np.zeros(1, np.int64)
        expect(zero, chain, table_of(self), zero, np.array([self.p_init]), out, scratch)
        log_likelihood = float(out.log_likelihood[0])
        if log_likelihood == -np.inf:
            raise self._impossible()
        predicted = scratch.predicted
        if predicted[0].min() < 0:  # logarithms
            predicted = np.exp(predicted - predicted.max(axis=1, keepdims=True))
        before = predicted[:, 0] / predicted.sum(axis=1)
        return Smoothed(np.clip(scratch.smoothed, 0, 1), self.predict(np.clip(before, 0, 1)), log_likelihood)

    def viterbi(self, correct: ArrayLike) -> Bools:
        """Return the most likely states (T,) by the Viterbi algorithm, True where the skill is known.

        correct  (T,) responses of one student in order, 0 or 1; T > 0

        Between equally likely paths, the state in which the skill is not known is preferred. Raises ModelError for
        invalid responses, and for responses that have probability 0 under these parameters.

        Source: Viterbi (1967).
        """
        code = self._codes(correct)
        states = np.empty(len(code), np.bool_)
        table = table_of(self)
        probabilities = np.stack([*table.T[:2], table[:, 2], 1 - table[:, 2], table[:, 3], 1 - table[:, 3]], axis=1)
        logs = np.full(probabilities.shape, -np.inf)
        np.log(probabilities, out=logs, where=probabilities > 0)
        if decode(code, logs, self.p_init, np.empty((len(code), 2), np.bool_), states) == -np.inf:
            raise self._impossible()
        return states

    def _codes(self, correct: ArrayLike) -> Ints:
        """Return the codes (T,) of a student's responses. Raises ModelError for invalid responses."""
        responses = _responses(correct)
        if responses.ndim != 1 or len(responses) == 0:
            raise ModelError(
                f"the responses of a student must be an array (T,) with T > 0; got shape {responses.shape}"
            )
        return np.ascontiguousarray(responses, np.int32)

    def _impossible(self) -> ModelError:
        """Return the error for responses of probability 0."""
        return ModelError(
            f"the responses have probability 0 under {self}; expected possible responses: "
            "pass parameters above 0 and below 1"
        )


PARAMETERS = tuple(field.name for field in fields(BKT))
"""Names of the parameters, in the order of all tables and of theta."""


def table_of(*skills: BKT) -> Doubles:
    """Return the kernels' table (2K, 4) of K skills: for each one, a row for a wrong and one for a correct response."""
    _, learn, guess, slip, forget = np.array([astuple(skill) for skill in skills]).T
    return make_table(learn, guess, slip, forget)


def make_table(learn: Doubles, guess: Doubles, slip: Doubles, forget: Doubles) -> Doubles:
    """Return the kernels' table (2C, 4), described in `kernels`, from the parameters (C,) of C groups."""
    wrong, right = (slip, 1 - guess, learn, forget), (1 - slip, guess, learn, forget)
    return np.stack([np.stack(wrong, axis=1), np.stack(right, axis=1)], axis=1).reshape(-1, 4)


def is_number(value: Any) -> bool:
    """Return whether a value is an integer or a float, of Python or NumPy, and not a bool."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def is_probability(value: Any) -> bool:
    """Return whether a value is a number in [0, 1]."""
    return is_number(value) and 0 <= float(value) <= 1


def _probabilities(p: ArrayLike) -> Doubles:
    """Return probabilities as an array. Raises ModelError for a value outside [0, 1]."""
    known = np.asarray(p, np.float64)
    inside = (known >= 0) & (known <= 1)
    if not inside.all():
        raise ModelError(f"p must be the probability that the skill is known, in [0, 1]; got {known[~inside].flat[0]}")
    return known


def _responses(correct: ArrayLike) -> Any:
    """Return responses as an array. Raises ModelError for a value other than 0 or 1."""
    responses = np.asarray(correct)
    if responses.dtype.kind not in "biuf":
        raise ModelError(f"responses must be 0 (wrong) or 1 (correct); got values of type {responses.dtype}")
    wrong = ~np.isin(responses, (0, 1))
    if wrong.any():
        raise ModelError(f"responses must be 0 (wrong) or 1 (correct); got {responses[wrong].flat[0]}")
    return responses
