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


def build_from_dataset(dataset: Simulated, *, times: bool = False) -> LogFields:
    """Build a log from the answered questions of a dataset, as `Responses.from_dataset` does."""
    return _build_timed(dataset) if times else _build(dataset)


def _build(dataset: Simulated) -> LogFields:
    """Build a log without times."""
    import pyarrow as pa
    import pyarrow.compute as pc

    answered, num_events = [], 0
    for part in dataset.parts():
        events = part.events.select(["learner_id", "episode", "item", "correct"])
        row = pa.array(np.arange(num_events, num_events + len(events)))
        num_events += len(events)
        answered.append(events.append_column("row", row).filter(pc.is_valid(events["correct"])))
    table = pa.concat_tables(answered)
    _check_answered(dataset, len(table))
    bank, students = dataset.bank, _students(table)
    questions = table["item"].to_numpy()
    outcomes = np.asarray(bank.questions.learning_outcome)[questions]
    columns = {
        "student": students,
        "skill": pa.DictionaryArray.from_arrays(outcomes, pa.array(bank.outcomes)),
        "item": pa.DictionaryArray.from_arrays(questions, pa.array(bank.questions.id)),
        "correct": table["correct"],
    }
    return build(columns, Source(repr(dataset), rows=table["row"].to_numpy()), Options(separator=None))


def _build_timed(dataset: Simulated) -> LogFields:
    """Build a log with the times at which questions were shown, and with contents as study events."""
    import pyarrow as pa
    import pyarrow.compute as pc

    names = ["event", "learner_id", "episode", "seconds", "item", "correct"]
    table = pa.concat_tables([part.events.select(names) for part in dataset.parts()])
    correct, kind = table["correct"].combine_chunks(), pc.cast(table["event"], pa.string())
    answered = pc.is_valid(correct).to_numpy(zero_copy_only=False)
    _check_answered(dataset, int(answered.sum()))
    answers = correct.cast(pa.int8()).cast(pa.float64()).to_numpy(zero_copy_only=False)
    of_shown = np.append(answers[1:], np.nan)  # an answer is the event after its question
    is_content = pc.equal(kind, "content_shown").to_numpy()
    student = _students(table).combine_chunks().dictionary_encode()
    codes = student.indices.to_numpy()
    has_answer = np.zeros(len(student.dictionary), np.bool_)
    has_answer[codes[answered]] = True
    kept = np.flatnonzero(~answered & (is_content | ~np.isnan(of_shown)) & has_answer[codes])
    bank, item = dataset.bank, table["item"].to_numpy()[kept]
    outcomes = np.concatenate([bank.questions.learning_outcome, bank.contents.learning_outcome])[item]
    content = is_content[kept]
    columns = {
        "student": student.take(pa.array(kept)),
        "skill": pa.DictionaryArray.from_arrays(outcomes.astype(np.int32), pa.array(bank.outcomes)),
        "item": pa.DictionaryArray.from_arrays(item, pa.array([*bank.questions.id, *bank.contents.id])),
        "correct": pa.array(np.where(content, np.nan, of_shown[kept]), from_pandas=True),
        "time": table["seconds"].to_numpy()[kept],
        "event": pa.array(["content" if is_one else None for is_one in content.tolist()], pa.string()),
    }
    if not content.any():
        del columns["event"]
    return build(columns, Source(repr(dataset), rows=kept), Options(separator=None))


def _check_answered(dataset: Simulated, answers: int) -> None:
    """Raise ResponsesError for a dataset without answers."""
    if answers == 0:
        raise ResponsesError(f"{dataset!r}: no question was answered", "generate longer episodes or more of them")


def _students(table: Any) -> Any:
    """Return the name of the student of each event, "learner/episode"."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.binary_join_element_wise(table["learner_id"].cast(pa.string()), table["episode"].cast(pa.string()), "/")
