"""Responses of students and contents that they studied: their entries in the log, and their effect."""

from __future__ import annotations

import hashlib
import json
from typing import Any, NamedTuple

from alsim.engine import events
from alsim.engine.errors import KeyConflict
from alsim.engine.progress import times
from alsim.engine.recommendation import Processed
from alsim.engine.states import ATTEMPTS, States, busy
from alsim.engine.stores import Answer, Commit, Stored
from alsim.models.student.base import NOT_ANSWERED
from alsim.types import short_repr


@short_repr
class Report(NamedTuple):
    """An interaction as an application reports it."""

    item: int
    """Number of the item."""
    correct: float
    """1 correct, 0 wrong, between for partial credit, -1 for a content."""
    moment: float | None = None
    """Seconds since 1970; None for now."""
    seconds: float | None = None
    """Response time, seconds."""
    satisfaction: float | None = None
    """Rating of the student."""


def process(states: States, name: str, report: Report, key: str | None) -> Processed:
    """Make the change of an interaction, again while others change the student; return its result.

    key  idempotency key: the first answer is returned if it was used before

    Raises KeyConflict, DeletedStudent and OutOfOrder.
    """
    request = _digest(states, report)
    for _ in range(ATTEMPTS):
        stored = states.store.load(name, key)
        if stored.answer is not None:
            return _first_answer(stored.answer, request, key)
        with states.lock.reading():
            change, processed = interact(states, name, stored, report)
            if key is not None:
                change = change._replace(key=key, answer=Answer(request, json.dumps(processed._asdict()).encode()))
            if states.store.commit(change):
                return processed
    raise busy(name)


def interact(states: States, name: str, stored: Stored, report: Report) -> tuple[Commit, Processed]:
    """Return the change of a student by one interaction, and its result."""
    catalogue, item = states.catalogue, report.item
    students, progress = states.codec.decode([name], [states.current(name, stored)])
    now = times([name], progress, report.moment)[0]
    is_content = report.correct == NOT_ANSWERED
    entry: dict[str, Any] = {
        "event": events.STUDIED if is_content else events.ANSWERED,
        "time": now,
        "item": catalogue.items[item].id,
        "seconds": report.seconds,
    }
    states.model.advance(students, [now])
    if not is_content:
        chance = states.model.model.chance(students, states.model.items[[item]])[0]
        entry |= {"correct": report.correct, "chance": float(chance)}
    if report.satisfaction is not None:
        entry["satisfaction"] = report.satisfaction
    entry["model"] = f"{states.codec.digest:016x}"
    counts = states.advance(name, students, progress, item, report.correct, now)
    skills = (catalogue.taught if is_content else catalogue.assessed).of(item)
    mastery = states.model.mastery(students)[0, skills]
    known = {catalogue.skills[k]: value for k, value in zip(skills.tolist(), mastery.tolist(), strict=True)}
    state = states.codec.encode([name], students, progress)[0]
    change = Commit(name, stored.version, state, (events.encode(entry),), counts=counts)
    return change, Processed(catalogue.items[item].id, known, int(progress.interactions[0]))


def _digest(states: States, report: Report) -> bytes:
    """Return the digest of a report, by which a repetition is recognised."""
    content = json.dumps([states.catalogue.items[report.item].id, *report[1:]])
    return hashlib.blake2b(content.encode(), digest_size=16).digest()


def _first_answer(answer: Answer, request: bytes, key: str | None) -> Processed:
    """Return the answer to the first request with a key. Raises KeyConflict if it was another request."""
    if answer.request != request:
        raise KeyConflict(
            f"the idempotency key {key!r} was used before, for another item, answer, time, number of seconds or "
            "satisfaction; use a new key for each response"
        )
    return Processed(**json.loads(answer.body))


__all__ = ["Report", "interact", "process"]
