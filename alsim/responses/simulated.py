"""Response logs from datasets of simulated learners."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

from alsim.responses.building import build
from alsim.responses.fields import LogFields
from alsim.responses.report import ResponsesError
from alsim.responses.source import Options, Source


class Simulated(Protocol):
    """Interface of a dataset that can be converted to a log: an item bank, and parts with events."""

    @property
    def bank(self) -> Any:
        """The item bank."""

    def parts(self) -> Iterator[Any]:
        """Yield one dataset per shard."""


def build_from_dataset(dataset: Simulated) -> LogFields:
    """Build a log from the answered questions of a dataset, as `Responses.from_dataset` does."""
    import pyarrow as pa
    import pyarrow.compute as pc

    answered, num_events = [], 0
    for part in dataset.parts():
        events = part.events.select(["learner_id", "episode", "item", "correct"])
        row = pa.array(np.arange(num_events, num_events + len(events)))
        num_events += len(events)
        answered.append(events.append_column("row", row).filter(pc.is_valid(events["correct"])))
    table = pa.concat_tables(answered)
    if len(table) == 0:
        raise ResponsesError(f"{dataset!r}: no question was answered", "generate longer episodes or more of them")
    bank = dataset.bank
    students = pc.binary_join_element_wise(
        table["learner_id"].cast(pa.string()), table["episode"].cast(pa.string()), "/"
    )
    questions = table["item"].to_numpy()
    outcomes = np.asarray(bank.questions.learning_outcome)[questions]
    columns = {
        "student": students,
        "skill": pa.DictionaryArray.from_arrays(outcomes, pa.array(bank.outcomes)),
        "item": pa.DictionaryArray.from_arrays(questions, pa.array(bank.questions.id)),
        "correct": table["correct"],
    }
    return build(columns, Source(repr(dataset), rows=table["row"].to_numpy()), Options(separator=None))
