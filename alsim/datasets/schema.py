"""Columns of a dataset: names, types, units and descriptions (clauses S10.1 and S10.3)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import pyarrow as pa

from alsim.dynamics import Dynamics, describe
from alsim.metrics import EVENTS, METRICS, Metric
from alsim.types import MODALITIES

SCHEMA_VERSION = 3

TABLES = ("transitions", "events", "episodes")


class Column(NamedTuple):
    """A column; `unit` is empty if it has none."""

    name: str
    type: pa.DataType
    unit: str
    meaning: str
    nullable: bool = False
    words: tuple[str, ...] = ()
    """All words of a column of words, if they do not depend on the configuration."""


OBSERVATION = pa.list_(pa.float32())
"""Placeholder for the type of observations, whose length R depends on the bank."""

TRANSITIONS = (
    Column("obs", OBSERVATION, "", "observation before the interaction (S8)"),
    Column("action", pa.int16(), "", "action id (S3.1)"),
    Column("reward", pa.float32(), "", "reward (S6)"),
    Column("terminated", pa.bool_(), "", "the episode ended by mastery or frustration (S7.2)"),
    Column("truncated", pa.bool_(), "", "the episode ended by the step limit (S7.2)"),
    Column("learner_id", pa.int64(), "", "learner of the seed (S11.3)"),
    Column("episode", pa.int32(), "", "episode of the learner, from 0"),
    Column("step", pa.int32(), "interactions", "number of the interaction in the episode, from 1"),
    Column("propensity", pa.float64(), "", "probability with which the behaviour policy chose the action"),
    Column("termination_reason", pa.int8(), "", "0 none, 1 mastery_achieved, 2 step_limit, 3 critical_frustration"),
    Column("item", pa.int32(), "", "item: row of questions.csv, or number of questions + row of contents.csv"),
    Column("correct", pa.bool_(), "", "whether the question was answered correctly; null for content", True),
    Column("mastery_gain", pa.float32(), "", "gain of mastery in the LO of the action"),
    Column("frustration", pa.float32(), "", "frustration after the interaction"),
    Column("response_time", pa.float32(), "s", "response time of the question; null for content", True),
    Column("mean_mastery", pa.float64(), "", "mean mastery over LOs after the interaction"),
)

EVENT_COLUMNS = (
    Column("event", pa.dictionary(pa.int32(), pa.string()), "", "one of " + ", ".join(EVENTS), words=EVENTS),
    Column("learner_id", pa.int64(), "", "learner of the seed"),
    Column("episode", pa.int32(), "", "episode of the learner, from 0"),
    Column("step", pa.int32(), "interactions", "number of the interaction in the episode, from 1"),
    Column("seconds", pa.float64(), "s", "time since the start of the episode"),
    Column("item", pa.int32(), "", "as in transitions"),
    Column("propensity", pa.float64(), "", "probability with which the behaviour policy chose the action"),
    Column("correct", pa.bool_(), "", "whether the question was answered correctly; null for other events", True),
)

COUNTS = ("total_steps", "content_count")
"""Metrics that are integers; the others are floats."""
UNDEFINED = {
    "question_accuracy": "null without a question",
    "blueprint_adherence": "null without a question",
    "post_content_gain": "null without content",
    **{f"post_content_gain_{modality}": f"null without {modality}" for modality in MODALITIES},
    "time_to_mastery": "null if never",
}
"""Metrics that are undefined for some episodes (S9.6), and when."""


def _metric_column(metric: Metric) -> Column:
    """Return the column of a metric."""
    kind = pa.int64() if metric.name in COUNTS else pa.float64()
    meaning = "; ".join([metric.description, *filter(None, [UNDEFINED.get(metric.name)])])
    return Column(metric.name, kind, metric.unit, meaning, metric.name in UNDEFINED)


EPISODES = (
    Column("learner_id", pa.int64(), "", "learner of the seed"),
    Column("episode", pa.int32(), "", "episode of the learner, from 0"),
    Column("population_row", pa.int32(), "", "row of the population of the learner, from 0 (S12.1)"),
    Column("population_name", pa.dictionary(pa.int32(), pa.string()), "", "name of this row; all without a population"),
    *(_metric_column(metric) for metric in METRICS.values()),
    Column("terminated", pa.bool_(), "", "the episode ended by mastery or frustration"),
    Column("truncated", pa.bool_(), "", "the episode ended by the step limit"),
    Column("termination_reason", pa.int8(), "", "as in transitions; never 0"),
    Column("ability_start", pa.float32(), "logits", "latent ability at the start; ground truth, hidden from policies"),
    Column("ability_final", pa.float32(), "logits", "latent ability at the end; ground truth, hidden from policies"),
    Column("final_obs", OBSERVATION, "", "observation after the last interaction"),
)

TRUTH = (
    Column("ability", pa.float32(), "logits", "latent ability before the interaction; ground truth"),
    Column("mastery", pa.float32(), "", "mastery of the LO of the action before the interaction; ground truth"),
    Column("chance", pa.float32(), "", "probability of a correct answer before it is drawn; null for content", True),
)
"""Columns of the truth (S15.1), after those of the transitions; columns of the dynamics' own states follow them."""
STATES = {"lo_state": "LO of the action", "learner_state": "learner"}
"""Prefixes of the names of the columns of own states, and what each state belongs to."""

COLUMNS: dict[str, tuple[Column, ...]] = {"transitions": TRANSITIONS, "events": EVENT_COLUMNS, "episodes": EPISODES}
"""Columns of each table; those with observations are optional."""


def columns_of(table: str, observations: bool) -> tuple[Column, ...]:
    """Return the columns of a table, with or without observations."""
    return tuple(column for column in COLUMNS[table] if observations or column.type is not OBSERVATION)


def truth_columns(dynamics: Dynamics) -> tuple[Column, ...]:
    """Return the columns of the truth under a dynamics, with those of its own states."""
    columns = [*TRUTH]
    for part, kind in (("lo_state", dynamics.lo_state), ("learner_state", dynamics.learner_state)):
        for name, field in describe(dynamics)["latent_state"].get(part, {}).items():
            assert kind is not None
            arrow = pa.from_numpy_dtype(type(kind._field_defaults[name]))
            columns.append(_state_column(f"{part}_{name}", arrow, field.get("unit", "")))
    return tuple(columns)


def stored_columns(table: str, schema: pa.Schema) -> tuple[Column, ...]:
    """Return the columns of a stored table, including those of the truth, whose dynamics may be unknown here."""
    known = {column.name: column for column in (*COLUMNS[table], *(TRUTH if table == "transitions" else ()))}
    units = [(field.metadata or {}).get(b"unit", b"").decode(errors="replace") for field in schema]
    return tuple(
        known.get(field.name) or _state_column(field.name, field.type, unit)
        for field, unit in zip(schema, units, strict=True)
    )


def is_state(field: pa.Field) -> bool:
    """Return whether a stored column has the name and the type of an own state of a dynamics."""
    has_prefix = field.name.isidentifier() and field.name.startswith(tuple(f"{part}_" for part in STATES))
    return has_prefix and field.type in (pa.float32(), pa.int32())


def _state_column(name: str, kind: pa.DataType, unit: str) -> Column:
    """Return the column of an own state."""
    part = next(part for part in STATES if name.startswith(f"{part}_"))
    of = f"{name.removeprefix(f'{part}_')} of the {STATES[part]}"
    return Column(name, kind, unit, f"{of} before the interaction, a state of the dynamics; ground truth")


def arrow_schema(table: str, width: int, observations: bool = True, further: Iterable[Column] = ()) -> pa.Schema:
    """Return the Arrow schema of a table.

    width         length R of an observation
    observations  False leaves columns with observations out
    further       columns that follow the others
    """
    fields = []
    for column in (*columns_of(table, observations), *further):
        kind = pa.list_(pa.float32(), width) if column.type is OBSERVATION else column.type
        notes = {"meaning": column.meaning} | ({"unit": column.unit} if column.unit else {})
        fields.append(pa.field(column.name, kind, nullable=column.nullable, metadata=notes))
    return pa.schema(fields, metadata={"alsim_schema_version": str(SCHEMA_VERSION), "table": table})
