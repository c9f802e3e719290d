"""Warm-up of an engine: work that the first request would otherwise wait for."""

from __future__ import annotations

from alsim.engine.engine import AdaptiveEngine
from alsim.engine.interactions import Report, interact
from alsim.engine.stores import Stored
from alsim.models.student.base import NOT_ANSWERED

STUDENT = "warm-up"
"""Name of a student who is never stored."""


def warm_up(engine: AdaptiveEngine) -> None:
    """Compile the code of an engine and fill its tables. The store is read, and is not changed.

    Raises StoreError if the store cannot be read.
    """
    engine.store.load(STUDENT)
    changes, made = engine.deciding.decide([STUDENT], 1, None, [STUDENT])
    for recommendation in made[0]:
        recommendation.to_dict()
    for is_question in (True, False):
        numbers = (engine.catalogue.is_question == is_question).nonzero()[0].tolist()
        for number in numbers[:1]:
            correct = 1 if is_question else NOT_ANSWERED
            interact(engine.states, STUDENT, Stored(1, changes[0].state), Report(number, correct))


__all__ = ["warm_up"]
