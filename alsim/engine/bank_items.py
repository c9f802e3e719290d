"""Items and skills of an item bank."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alsim.curriculum.graph import Curriculum, CurriculumError
from alsim.engine.catalogue import Item
from alsim.engine.errors import EngineError
from alsim.engine.graph import SkillGraph
from alsim.types import MODALITIES

if TYPE_CHECKING:
    from alsim.bank.items import Bank


def bank_items(bank: Bank) -> list[Item]:
    """Return the items of a bank: first the questions, then the contents."""
    q, c = bank.questions, bank.contents
    skills = [(outcome,) for outcome in bank.outcomes]
    # The string of a float32 is the shortest text that reads back to the same bits.
    parameters = zip(
        q.id, q.learning_outcome.tolist(), *(map(str, v) for v in (q.irt_a, q.irt_b, q.irt_c)), strict=True
    )
    questions = [
        Item(
            id=name,
            skills_taught=skills[lo],
            skills_assessed=skills[lo],
            type="question",
            difficulty=float(b),
            discrimination=float(a),
            guess=float(guess) or None,
        )
        for name, lo, a, b, guess in parameters
    ]
    rows = zip(c.id, c.learning_outcome.tolist(), c.modality.tolist(), strict=True)
    contents = [
        Item(id=name, skills_taught=skills[lo], type="content", modality=MODALITIES[kind]) for name, lo, kind in rows
    ]
    return questions + contents


def bank_graph(bank: Bank, curriculum: Any = ()) -> SkillGraph:
    """Return the graph of the outcomes of a bank. Raises EngineError for an outcome that it does not have."""
    try:
        graph = Curriculum.read(() if curriculum is None else curriculum).graph(bank.outcomes)
    except CurriculumError as error:
        raise EngineError(str(error)) from None
    parents: dict[str, list[str]] = {}
    for k, outcome in enumerate(bank.outcomes):
        places = range(graph.first[k], graph.first[k + 1])
        parents[outcome] = [bank.outcomes[graph.parents[x]] for x in places if graph.weights[x] != 0]
    return SkillGraph(parents)


__all__ = ["bank_graph", "bank_items"]
