"""The part of a bank and of a configuration that a policy may know in advance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from alsim.bank.items import Bank
from alsim.types import Course

if TYPE_CHECKING:
    from alsim.config import Config


def course_of(bank: Bank, config: Config) -> Course:
    """Return the questions of a bank with the blueprint and the curriculum of a configuration, for `Policy.bind`."""
    q = bank.questions
    return Course(
        num_los=bank.num_los,
        learning_outcome=q.learning_outcome.astype(np.int64),
        difficulty=q.difficulty.astype(np.int64),
        a=q.irt_a.astype(np.float64),
        b=q.irt_b.astype(np.float64),
        c=q.irt_c.astype(np.float64),
        blueprint=config.metrics.blueprint,
        prerequisites=_parents(bank, config),
        outcomes=bank.outcomes,
        items=(*q.id, *bank.contents.id),
        content_outcome=bank.contents.learning_outcome.astype(np.int64),
        modality=bank.contents.modality.astype(np.int64),
    )


def _parents(bank: Bank, config: Config) -> tuple[tuple[int, ...], ...]:
    """Return the parents of each LO in ascending order; an empty tuple without a curriculum."""
    if config.curriculum is None:
        return ()
    graph = config.curriculum.graph(bank.outcomes)
    # The list of each LO is filled up with entries of weight 0.
    return tuple(
        tuple(graph.parents[start:stop][graph.weights[start:stop] > 0].tolist())
        for start, stop in zip(graph.first[:-1], graph.first[1:], strict=True)
    )


__all__ = ["course_of"]
