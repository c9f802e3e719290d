"""Record of an adaptive test in the terminal: its report, which is written after each answer, and read to resume."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from alsim.cli.output import STDOUT, finite, write_report
from alsim.errors import AlsimError
from alsim.utils.files import sha256
from alsim.utils.reading import read_json

if TYPE_CHECKING:
    from alsim.models.cat import CAT, CATRun
    from alsim.models.irt import CalibratedItems

UNFINISHED = "unfinished"
"""Reason in the report of a test that has not ended, as after the process was killed or the power failed."""
RESUMED_REASONS = (UNFINISHED, "quit", "end of input", "interrupted")
"""Reasons of tests that can be resumed; the others are rules that ended the test."""
SETTINGS = (
    *("select", "estimate", "max_items", "min_items", "stop_se", "randomesque", "start"),
    *("prior_mean", "prior_sd", "bounds"),
)
"""Settings of a test that have an option of the same name."""


class Request(NamedTuple):
    """A test to run, and where its results go."""

    cat: CAT
    items: CalibratedItems
    file: Path
    seed: int
    report: Path | None
    plot: Path | None


class Reply(NamedTuple):
    """An answer of an examinee: the name of the item, the text, and its score, 1 or 0."""

    item: str
    text: str
    correct: int


def is_record(report: Path | None) -> bool:
    """Return whether the report of a test is a file, which can be resumed, and not stdout, a pipe or a device."""
    return report is not None and report != STDOUT and (report.is_file() or not report.exists())


def write_test(request: Request, tests: CATRun, reason: str, replies: Sequence[Reply] = ()) -> None:
    """Write the report of one test, if one is requested."""
    answers = answers_of(tests, replies)
    content = {
        "ability": finite(tests.theta[0]) if answers else None,
        "se": finite(tests.se[0]),
        "true_ability": None if tests.abilities is None else float(tests.abilities[0]),
        "reason": reason,
        "answers": answers,
    }
    write_report(request.report, {**settings_of(request), **content})


def answers_of(tests: CATRun, replies: Sequence[Reply] = ()) -> list[dict[str, Any]]:
    """Return one row per answer of the first examinee: item, correctness, and the estimate after it."""
    return [
        {
            "item": str(tests.item_names[0, k]),
            **({"reply": replies[k].text} if replies else {}),
            "correct": int(tests.correct[0, k]),
            "ability": finite(tests.theta_after[0, k]),
            "se": finite(tests.se_after[0, k]),
        }
        for k in range(int(tests.lengths[0]))
    ]


def settings_of(request: Request) -> dict[str, Any]:
    """Return the items, the seed and the settings of a test, for its report."""
    return {
        "items": str(request.file),
        "items_sha256": _digest(request.items),
        "bank_size": len(request.cat.items),
        "seed": request.seed,
        "settings": {name: getattr(request.cat, name) for name in SETTINGS} | {"start": request.cat.first_ability},
    }


@lru_cache(maxsize=1)
def _digest(items: CalibratedItems) -> str:
    """Return the SHA-256 of names, parameters, texts, answers and options of all items, in their order."""
    parameters = items.item_parameters
    columns = [parameters.names.tolist(), *(column.tolist() for column in parameters.columns)]
    return sha256(json.dumps([*columns, items.text, items.answer, items.options]).encode())


# ── resuming ─────────────────────────────────────────────────────────────────────────────────────


def read_replies(request: Request) -> list[Reply]:
    """Return the answers of the unfinished test whose record is the report of a request.

    Raises AlsimError if the file is not such a record, if its test has ended, or if the items, the seed or a setting
    differ from those of the request.
    """
    file = request.report
    if file is None or file == STDOUT:
        raise AlsimError("--resume needs the file of the unfinished test; add --json FILE")
    if not file.is_file():
        raise AlsimError(f"--json {file} does not exist, so that no test can be resumed; remove --resume to begin one")
    record = _read(file)
    if record is None:
        raise AlsimError(
            f"--json {file} is not the record of a test in the terminal, as alsim cat --json writes it; choose the "
            "file of the unfinished test"
        )
    if record["reason"] not in RESUMED_REASONS:
        raise AlsimError(
            f"the test of {file} has ended ({record['reason']}); choose another file, or replace it with --force"
        )
    _check_settings(record, request)
    replies = [Reply(row["item"], row["reply"], row["correct"]) for row in record["answers"]]
    _check_replies(replies, request)
    return replies


def holds_test(file: Path) -> bool:
    """Return whether a file is the record of a test in the terminal, whose answers cannot be made again."""
    return _read(file) is not None


def _read(file: Path) -> dict[str, Any] | None:
    """Return the content of a record; None for another file."""
    kinds = {"items_sha256": str, "seed": int, "settings": dict, "reason": str, "answers": list}
    try:
        record = read_json(file)
        valid = all(isinstance(record[name], kind) for name, kind in kinds.items()) and all(
            isinstance(row["item"], str) and isinstance(row["reply"], str) and row["correct"] in (0, 1)
            for row in record["answers"]
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return dict(record) if valid and record.get("true_ability") is None else None


def _check_settings(record: dict[str, Any], request: Request) -> None:
    """Raise AlsimError if the items, the seed or the settings of a record differ from those of a request."""
    current = json.loads(json.dumps(settings_of(request)))  # with lists for tuples, as in the record
    if record["items_sha256"] != current["items_sha256"]:
        raise AlsimError(
            f"the items of {request.file} differ from those of the unfinished test in {request.report}; restore the "
            "file and --columns, or begin again with --force instead of --resume"
        )
    before, now = ({**content["settings"], "seed": content["seed"]} for content in (record, current))
    for name, value in now.items():
        if before.get(name, value) != value:
            option = f"--{name.replace('_', '-')}"
            raise AlsimError(
                f"{option} is {_as_option(value)}, but the unfinished test in {request.report} began with "
                f"{_as_option(before[name])}; write {option}={_as_option(before[name])}"
            )


def _as_option(value: Any) -> str:
    """Return a setting as the text of its option."""
    return "0" if value is None else ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _check_replies(replies: Sequence[Reply], request: Request) -> None:
    """Raise AlsimError unless the test selects the items of the answers."""
    session = request.cat.session(seed=request.seed)
    for number, reply in enumerate(replies, 1):
        item = session.next_names()[0]
        if item != reply.item:
            raise AlsimError(
                f"answer {number} in {request.report} is to {reply.item}, but this version of the test selects "
                f"{'no item' if item is None else item}; begin again with --force instead of --resume"
            )
        session.answer(reply.correct, reply.item)
