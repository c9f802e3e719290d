"""Columns of the log of an engine as a dataset: names, types, units and meanings (clauses S10.1 and S10.3)."""

from __future__ import annotations

import pyarrow as pa

from alsim.datasets.schema import OBSERVATION, TABLES, Column
from alsim.engine.events import ANSWERED, CONTENT_SHOWN, PLACED, QUESTION_SHOWN, STUDIED

LOG_VERSION = 2
"""Version of the layout."""
READABLE = (1, LOG_VERSION)
"""Versions that are read; version 1 has no columns about experiments."""
EVENTS = (QUESTION_SHOWN, CONTENT_SHOWN, ANSWERED, STUDIED, PLACED)
WORD = pa.dictionary(pa.int32(), pa.string())
NAME = Column("learner_name", WORD, "", "name of the student")
"""Column of the names of students, after `learner_id`, if names are exported."""
STUDENT = (
    Column("learner_id", pa.int64(), "", "number of the student, from 0"),
    Column("episode", pa.int32(), "", "number of the session of the student, from 0"),
)
STEP = Column("step", pa.int32(), "interactions", "number of the interaction in the session, from 1")
DECISION = (
    Column(
        "propensity",
        pa.float64(),
        "",
        "probability of the item at its rank, given the items above; null if not recommended",
        True,
    ),
    Column("decision", pa.int32(), "", "number of the decision of the student that showed the item, from 0", True),
    Column("rank", pa.int16(), "", "rank of the item in the decision, from 0", True),
    Column("candidates", pa.int32(), "", "number of items among which it was chosen", True),
)
RESPONSE = (
    Column("correct", pa.bool_(), "", "whether the question was answered correctly; null for others", True),
    Column("credit", pa.float64(), "", "the answer: 1 correct, 0 wrong, between for partial credit", True),
    Column("chance", pa.float64(), "", "probability of a correct answer that was forecast; null for others", True),
    Column("response_time", pa.float32(), "s", "response time, or time spent on a content; null if unknown", True),
)
ASSIGNED = (
    Column("experiment", WORD, "", "experiment of the last recommendation so far; null without one", True),
    Column("arm", WORD, "", "arm of the student in the experiment", True),
    Column("class_name", WORD, "", "class of the student; null if it is unknown", True),
)
"""Columns about experiments, the last of each table. Quizzes are no recommendations."""
ITEM = "number of the item in the catalogue, from 0; -1 if the catalogue does not have it"

COLUMNS: dict[str, tuple[Column, ...]] = {
    "transitions": (
        Column("obs", OBSERVATION, "", "mastery of each skill before the interaction"),
        Column("action", pa.int32(), "", ITEM),
        Column("reward", pa.float32(), "skills", "change of the mastery by the interaction, summed over the skills"),
        Column("terminated", pa.bool_(), "", "the session ended with every skill mastered"),
        Column("truncated", pa.bool_(), "", "the session ended otherwise"),
        *STUDENT,
        STEP,
        *DECISION,
        Column("time", pa.float64(), "s", "time since 1970"),
        *RESPONSE,
        *ASSIGNED,
    ),
    "events": (
        Column("event", WORD, "", "one of " + ", ".join(EVENTS), words=EVENTS),
        *STUDENT,
        Column("step", pa.int32(), "interactions", "number of the interaction, or of the next one for shown items"),
        Column("time", pa.float64(), "s", "time since 1970"),
        Column("seconds", pa.float64(), "s", "time since the session began"),
        Column("item", pa.int32(), "", ITEM),
        Column("item_id", WORD, "", "id of the item; null for a placement", True),
        *DECISION,
        Column("score", pa.float64(), "", "score by which it was chosen, in the unit of the policy", True),
        Column("ready", pa.list_(pa.int32()), "", "skills that the student was ready for; null if unknown", True),
        *RESPONSE,
        Column("placed", pa.list_(pa.float64()), "", "mastery of each skill by a placement, NaN without one", True),
        Column("satisfaction", pa.float64(), "", "rating of the student, on the scale of the application", True),
        Column("policy", WORD, "", "policy of the engine that decided", True),
        Column("catalogue", WORD, "", "digest of the catalogue in which it decided", True),
        Column("model", WORD, "", "digest of model and catalogue at the event", True),
        *ASSIGNED,
    ),
    "episodes": (
        *STUDENT,
        Column("start", pa.float64(), "s", "time of the first event since 1970"),
        Column("end", pa.float64(), "s", "time of the last event since 1970"),
        Column("total_steps", pa.int32(), "interactions", "number of interactions"),
        Column("content_count", pa.int32(), "", "number of contents studied"),
        Column("question_accuracy", pa.float64(), "", "share of correct answers; null without a question", True),
        Column("cumulative_reward", pa.float64(), "skills", "sum of the rewards"),
        Column("terminated", pa.bool_(), "", "the session ended with every skill mastered"),
        Column("truncated", pa.bool_(), "", "the session ended otherwise"),
        Column("final_obs", OBSERVATION, "", "mastery of each skill after the last event of the session"),
        *ASSIGNED,
    ),
}
assert tuple(COLUMNS) == TABLES


def log_schema(table: str, num_skills: int, names: bool, version: int = LOG_VERSION) -> pa.Schema:
    """Return the Arrow schema of a table.

    names    whether it has the names of students
    version  version of the layout
    """
    fields: list[pa.Field] = []
    columns = COLUMNS[table]
    for column in columns if version > 1 else columns[: -len(ASSIGNED)]:
        kind = pa.list_(pa.float32(), num_skills) if column.type is OBSERVATION else column.type
        fields.append(pa.field(column.name, kind, column.nullable))
        if names and column.name == "learner_id":
            fields.append(pa.field(NAME.name, NAME.type, NAME.nullable))
    return pa.schema(fields)


__all__ = ["ASSIGNED", "COLUMNS", "EVENTS", "LOG_VERSION", "NAME", "READABLE", "log_schema"]
