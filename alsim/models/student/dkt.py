"""Deep knowledge tracing as a student model, in NumPy."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alsim.models.base import ModelError
from alsim.models.dkt.network import Network, logistic
from alsim.models.dkt.result import DKTFit
from alsim.models.student.base import BaseStudentModel, Students, parameters
from alsim.models.student.items import as_items
from alsim.responses.log import codes_of
from alsim.types import Codes, Doubles, Longs

BLOCK = 32
"""Number of students whose gates are computed together, so that they stay in the L2 cache."""

MAX_NUMBERS = 2**27
"""Largest number of float64 numbers of the embeddings and the outputs of all items, 1 GB."""


class DKTModel(BaseStudentModel):
    """A trained network that follows many students. PyTorch is not needed.

    items        Items, or another value that `as_items` accepts
    responses    (2, K, E) embeddings of a wrong and of a correct response to each skill
    first        (E,) input before the first response
    into, again  (E, 4H) and (H, 4H), from the embedding and from the hidden state to the gates
    gate_bias    (4H,)
    output       (K, H) from the hidden state to the logit of each skill
    output_bias  (K,) logits

    `of_fit` makes the model from a fit. The state is `hidden` and `cell` (n, H). An item with several skills has the
    mean of their embeddings and of their logits. The mastery of a skill is the chance of an item with this skill only.
    Raises ModelError for invalid parameters.
    Source: Piech et al. (2015), Deep knowledge tracing, NeurIPS.
    """

    kind: ClassVar[str] = "dkt"

    def __init__(
        self,
        items: Any,
        responses: ArrayLike,
        first: ArrayLike,
        into: ArrayLike,
        again: ArrayLike,
        gate_bias: ArrayLike,
        output: ArrayLike,
        output_bias: ArrayLike,
    ) -> None:
        super().__init__(as_items(items))
        skills, sizes = self.items.num_skills, (np.shape(into), np.shape(again))
        if any(len(size) != 2 for size in sizes) or sizes[1][1] != 4 * sizes[1][0]:
            raise ModelError(f"into must be (E, 4H) and again (H, 4H); got shapes {sizes[0]} and {sizes[1]}")
        size, hidden = sizes[0][0], sizes[1][0]
        if min(size, hidden) < 1 or self.items.has.size * (2 * size + hidden) > MAX_NUMBERS:
            raise ModelError(
                f"a network for {len(self.items):,} items has embeddings of {size:,} and hidden states of {hidden:,} "
                f"numbers; expected at least 1 each, and at most {MAX_NUMBERS:,} for all items: use fewer items"
            )
        self._of_skills = Network(
            parameters("responses", responses, (2, skills, size)),
            parameters("first", first, (size,)),
            parameters("into", into, (size, 4 * hidden)),
            parameters("again", again, (hidden, 4 * hidden)),
            parameters("gate_bias", gate_bias, (4 * hidden,)),
            parameters("output", output, (skills, hidden)),
            parameters("output_bias", output_bias, (skills,)),
        )
        self._network = self._of_skills.of_sets(self.items.members, self.items.share)
        zeros = np.zeros((1, hidden))
        self._first = self._step(self._network.start[None], zeros, zeros)

    @classmethod
    def of_fit(cls, fit: DKTFit, items: Any = None) -> Self:
        """Return the model with the network of a fit.

        items  as for the class; by default the skills of the fit. An unknown skill has the mean weights of all skills,
               weighted by their number of training responses
        """
        table, network = as_items(fit.skills if items is None else items), fit.network
        units = codes_of(table.skills, fit.skills)  # -1, the last unit, is the unknown skill
        return cls(
            table,
            network.responses[:, units],
            *(network.start, network.into, network.again, network.gate_bias),
            *(network.output[units], network.output_bias[units]),
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays of the network, by name of the argument."""
        network = self._of_skills._asdict()
        return {"responses": network.pop("responses"), "first": network.pop("start"), **network}

    def _start(self, n: int) -> Students:
        """Return the states after the input before the first response."""
        hidden, cell = self._first
        return {"hidden": np.tile(hidden, (n, 1)), "cell": np.tile(cell, (n, 1))}

    def _update(self, students: Students, rows: Longs, items: Longs, correct: Codes) -> None:
        """Feed the embedding of the response to the network."""
        for begin in range(0, len(rows), BLOCK):
            block = slice(begin, begin + BLOCK)
            place, x = rows[block], self._network.responses[correct[block], items[block]]
            students["hidden"][place], students["cell"][place] = self._step(
                x, students["hidden"][place], students["cell"][place]
            )

    def _step(self, x: Doubles, hidden: Doubles, cell: Doubles) -> tuple[Doubles, Doubles]:
        """Return hidden states and cells (n, H) after one input (n, E), as `network.step` in any batch."""
        gates = _times(x, self._network.into) + _times(hidden, self._network.again) + self._network.gate_bias
        i, f, g, o = map(np.ascontiguousarray, np.split(gates, 4, axis=1))
        cell = logistic(f) * cell + logistic(i) * np.tanh(g)
        return logistic(o) * np.tanh(cell), cell

    def _chance(self, students: Students, items: Longs) -> Doubles:
        """Return the chance from the logit of each item."""
        return _forecast(students["hidden"], self._network.output, self._network.output_bias, items)

    def _mastery(self, students: Students) -> Doubles:
        """Return the chance of an item with one skill."""
        skills = np.arange(self.items.num_skills)[None]
        return _forecast(students["hidden"], self._of_skills.output, self._of_skills.output_bias, skills)


def _times(rows: Doubles, matrix: Doubles) -> Doubles:
    """Return the product of rows (n, A) and a matrix (A, B), added in the order of A in any batch.

    The result of NumPy's `@` for a row depends on the number of rows.
    """
    total, product = np.zeros((2, len(rows), matrix.shape[1]))
    for a in range(len(matrix)):
        np.multiply(rows[:, a, None], matrix[a], out=product)
        total += product
    return total


def _forecast(hidden: Doubles, output: Doubles, bias: Doubles, units: Longs) -> Doubles:
    """Return the chance (n, J) of units (n, J), or (1, J) for the same of all, given hidden states (n, H)."""
    total = np.zeros(np.broadcast_shapes((len(hidden), 1), units.shape))
    weights = output[units]
    for h in range(hidden.shape[1]):
        total += hidden[:, h, None] * weights[..., h]
    return logistic(total + bias[units])
