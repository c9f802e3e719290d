"""The log of a student: entries as JSON, one per commit, and the events that a reader gets.

A recommendation is one entry with all its items, so that the candidates are written once. `events_of` turns entries
into the events of clause S10.1: `question_shown` and `content_shown` for each item of a recommendation, and `answered`
for a response. A content that was studied is an event of its own, `content_studied`, and so is the result of a quiz
that changed the state, `placed`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from alsim.engine.errors import StoreError

SHOWN, ANSWERED, STUDIED, PLACED = "shown", "answered", "content_studied", "placed"
"""Kinds of entries."""
QUESTION, CONTENT = "q", "c"
"""Kinds of items in an entry."""
ASSIGNED = ("experiment", "arm", "class_name")
"""Fields of a decision that it has in an experiment, and for a student whose class is known."""
QUESTION_SHOWN, CONTENT_SHOWN = "question_shown", "content_shown"

NEEDED = {
    SHOWN: {"time", "decision", "policy", "catalogue", "model", "ready", "items", "kinds", "scores", "propensities"},
    ANSWERED: {"time", "item", "correct"},
    STUDIED: {"time", "item"},
    PLACED: {"time", "mastery"},
}
"""Fields without which an entry of each kind is damaged."""

_dumps = json.JSONEncoder(separators=(",", ":"), allow_nan=False, ensure_ascii=False, check_circular=False).encode


def encode(entry: dict[str, Any]) -> bytes:
    """Return an entry as bytes."""
    return _dumps(entry).encode("utf-8", "surrogatepass")


def decode(entry: bytes) -> dict[str, Any]:
    """Return the entry in bytes. Raises StoreError for damaged ones."""
    try:
        found = json.loads(entry.decode("utf-8", "surrogatepass"))
    except ValueError:
        found = None
    if not isinstance(found, dict) or not NEEDED.get(str(found.get("event")), {"event", ""}) <= found.keys():
        raise StoreError(f"the store has a damaged event: {entry[:80]!r}; restore a copy of the store")
    return found


def events_of(entries: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Return the events of the entries of a student, in order, each with its number from 0."""
    number = 0
    for entry in map(decode, entries):
        for event in expanded(entry):
            yield {"number": number, **event}
            number += 1


def expanded(entry: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Return the events of an entry."""
    if entry["event"] != SHOWN:
        yield entry
        return
    count = entry["candidates"]
    shared = {key: entry[key] for key in ("time", "decision", "policy", "catalogue", "model", "ready")}
    shared |= {key: entry[key] for key in ASSIGNED if key in entry}
    if "quiz" in entry:
        shared["quiz"] = entry["quiz"]["name"]
    rows = zip(entry["items"], entry["kinds"], entry["scores"], entry["propensities"], strict=True)
    for rank, (item, kind, score, propensity) in enumerate(rows):
        yield {
            "event": QUESTION_SHOWN if kind == QUESTION else CONTENT_SHOWN,
            "item": item,
            "rank": rank,
            "score": score,
            "propensity": propensity,
            "candidates": count - rank,
            **shared,
        }


__all__ = [
    "ANSWERED",
    "ASSIGNED",
    "CONTENT_SHOWN",
    "PLACED",
    "QUESTION_SHOWN",
    "SHOWN",
    "STUDIED",
    "decode",
    "encode",
    "events_of",
    "expanded",
]
