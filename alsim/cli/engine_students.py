"""Commands of `alsim engine` about one student: recommend, respond, show, export and delete."""

from __future__ import annotations

import math
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alsim.cli.command import DialogCommand
from alsim.cli.engine import DirectoryArgument, StudentArgument, engine, engine_facts, engine_numbers, opened
from alsim.cli.help import examples
from alsim.cli.options import JsonOption
from alsim.cli.output import (
    counted,
    fixed_point,
    print_facts,
    print_sentence,
    print_table,
    printable,
    shortened,
    write_report,
)
from alsim.errors import AlsimError

if TYPE_CHECKING:
    from alsim.engine.engine import AdaptiveEngine

MAX_NAME, MAX_ROWS = 20, 30
"""Columns to which names are shortened, and rows of a table."""

KeyOption = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="TEXT",
        help="Idempotency key: a repetition with the same key has no effect.  [default: none]",
    ),
]
TimeOption = Annotated[
    str | None,
    typer.Option(
        "--time",
        metavar="TIME",
        help="Time: seconds since 1970, or ISO 8601 such as 2026-02-03T09:30, in UTC without offset.  [default: now]",
    ),
]


@engine.command(epilog=examples("alsim engine recommend shop ada", "alsim engine recommend shop ada -n 3 --json -"))
def recommend(
    directory: DirectoryArgument,
    student: StudentArgument,
    n: Annotated[int, typer.Option("--number", "-n", help="Number of items.")] = 5,
    class_name: Annotated[
        str | None,
        typer.Option(
            "--class", metavar="NAME", help="Class of the student, for experiments by class.  [default: as stored]"
        ),
    ] = None,
    time: TimeOption = None,
    report: JsonOption = None,
) -> None:
    """Recommend items to a student, the best first.

    The event is logged, with the propensity of each item: its probability at this rank, given the items above. A
    student is created at first use.
    """
    moment = read_time(time)
    with opened(directory) as loaded:
        found = loaded.recommend(student, n, time=moment, class_name=class_name)
        ready, due = loaded.ready_skills(student, time=moment), loaded.due_skills(student, time=moment)
        types = {item.item: loaded.catalogue.items[loaded.catalogue.number(item.item)].type for item in found}
        rows = [
            [shortened(r.item, MAX_NAME), types[r.item], f"{r.score:.3f}", f"{r.propensity:.3f}", r.reason]
            for r in found
        ]
        if rows:
            print_table(
                ["item", "type", "score", "propensity", "reason"],
                rows,
                texts=("item", "type", "reason"),
                wrapped="reason",
            )
        event: dict[str, Any] = loaded.events(student)[-1] if found else {}
        print_sentence(_recommended(loaded, student, found, ready, event.get("arm")))
        listed = [{**r.to_dict(), "type": types[r.item]} for r in found]
        assigned: dict[str, Any] = {key: event[key] for key in ("experiment", "arm", "class_name") if key in event}
        numbers: dict[str, Any] = {
            "student": student,
            "policy": event.get("policy", loaded.recommender.name),
            **assigned,
        }
        numbers |= {"ready": ready, **_of_reviews(loaded, due), "recommendations": listed}
    write_report(report, numbers)


def _of_reviews(loaded: AdaptiveEngine, due: list[str]) -> dict[str, list[str]]:
    """Return the due skills by the name "due", if the student model has memory."""
    return {"due": due} if loaded.model.has_clock else {}


def _recommended(loaded: AdaptiveEngine, student: str, found: list[Any], ready: list[str], arm: str | None) -> str:
    """Return a sentence about recommendations."""
    if found:
        most = counted(found[0].num_candidates, "candidate")
        by = "" if arm is None else f" (arm {arm})"
        return f"The policy {loaded.recommender.name}{by} chose {counted(len(found), 'item')} of {most} for {student}."
    if len(loaded.mastered_skills(student)) == len(loaded.catalogue.skills):
        return f"There is no item for {student}, who has mastered every skill."
    return f"There is no item for {student}: none teaches a skill that the student is ready for ({_listed(ready)})."


@engine.command(
    epilog=examples(
        "alsim engine respond shop ada addition-1 --correct --seconds 12.5",
        "alsim engine respond shop ada addition-2 --wrong --key 7f3a",
        "alsim engine respond shop ada addition-video --studied",
    )
)
def respond(
    directory: DirectoryArgument,
    student: StudentArgument,
    item: Annotated[str, typer.Argument(metavar="ITEM", help="Id of a question or a content of the catalogue.")],
    correct: Annotated[bool, typer.Option("--correct", help="The student answered the question correctly.")] = False,
    wrong: Annotated[bool, typer.Option("--wrong", help="The student answered the question wrongly.")] = False,
    studied: Annotated[bool, typer.Option("--studied", help="The student studied the content.")] = False,
    seconds: Annotated[
        float | None, typer.Option("--seconds", help="Response time, seconds.  [default: unknown]")
    ] = None,
    satisfaction: Annotated[
        float | None, typer.Option("--satisfaction", help="Rating that the student gave.  [default: none]")
    ] = None,
    key: KeyOption = None,
    time: TimeOption = None,
    report: JsonOption = None,
) -> None:
    """Log an answer to a question, or that a content was studied, and update what the student knows.

    The item need not have been recommended, and may be answered again.
    """
    if correct + wrong + studied != 1:
        given = [f"--{name}" for name, used in (("correct", correct), ("wrong", wrong), ("studied", studied)) if used]
        raise AlsimError(
            f"expected one of --correct, --wrong and --studied; got {' and '.join(given) or 'none'}: pass one of them"
        )
    moment = read_time(time)
    facts: Any = {"key": key, "time": moment, "seconds": seconds, "satisfaction": satisfaction}
    with opened(directory) as loaded:
        if studied:
            done = loaded.process_content(student, item, **facts)
        else:
            done = loaded.process_response(student, item, correct, **facts)
        known = done.mastery
        print_table(
            ["skill", "mastery", "is mastered"],
            [
                [shortened(skill, 2 * MAX_NAME), f"{value:.3f}", "yes" if value >= loaded.threshold else "no"]
                for skill, value in known.items()
            ],
        )
        deed = f"has studied {item}" if studied else f"answered {item} {'correctly' if correct else 'wrongly'}"
        ready, due = loaded.ready_skills(student, time=moment), loaded.due_skills(student, time=moment)
        reviews = f" Due: {_listed(due)}." if due else ""
        print_sentence(
            f"Stored: {student} {deed} (interaction {done.interactions:,}). Ready for: {_listed(ready)}.{reviews}"
        )
        numbers = {"student": student, **done._asdict(), "ready": ready, **_of_reviews(loaded, due)}
    write_report(report, numbers)


@engine.command(epilog=examples("alsim engine show shop", "alsim engine show shop ada"))
def show(
    directory: DirectoryArgument,
    student: Annotated[
        str | None, typer.Argument(metavar="STUDENT", help="Name of the student.  [default: the engine itself]")
    ] = None,
    report: JsonOption = None,
) -> None:
    """Show what a student knows, or an engine and its students. Nothing is logged."""
    with opened(directory) as loaded:
        numbers = _show_engine(directory, loaded) if student is None else _show_student(loaded, student)
    write_report(report, numbers)


def _show_engine(directory: Path, loaded: AdaptiveEngine) -> dict[str, Any]:
    """Print what an engine has, and return it."""
    from alsim.engine.directory import read_directory

    settings, catalogue = read_directory(directory)
    students = sorted(loaded.students())
    print_facts(engine_facts(settings, catalogue))
    print_sentence(f"{counted(len(students), 'student')} with events{f': {_listed(students)}' if students else ''}.")
    return {**engine_numbers(settings, catalogue), "students": students}


def _due(due: list[str]) -> str:
    """Return the part of a sentence about due skills."""
    return f", with reviews of {_listed(due)} due" if due else ""


def _show_student(loaded: AdaptiveEngine, student: str) -> dict[str, Any]:
    """Print what a student knows, and return it."""
    found = loaded.export(student)
    remedial = loaded.remedial_skills(student)
    mastered, ready, mastery = found["mastered"], found["ready"], found["mastery"]
    due = found.get("due", [])
    only_ready = [skill for skill in ready if skill not in {*due}]
    others = [skill for skill in mastery if skill not in {*mastered, *ready, *due}]
    known = [skill for skill in mastered if skill not in {*due}]
    states = [("due", due), ("ready", only_ready), ("mastered", known), ("not ready", others)]
    rows = [
        [shortened(skill, 2 * MAX_NAME), f"{mastery[skill]:.3f}", state, "yes" if skill in {*remedial} else ""]
        for state, skills in states
        for skill in skills
    ]
    print_table(["skill", "mastery", "state", "remedial"], rows[:MAX_ROWS], texts=("skill", "state", "remedial"))
    if len(rows) > MAX_ROWS:
        print_sentence(f"and {len(rows) - MAX_ROWS:,} more, which --json FILE lists")
    print_sentence(
        f"{student} has mastered {len(mastered):,} of {counted(len(mastery), 'skill')}, and is ready for "
        f"{_listed(ready)}{_due(due)}, after {counted(len(found['events']), 'event')}."
    )
    return {key: found[key] for key in ("student", "mastery", "mastered", "ready", "due") if key in found} | {
        "remedial": remedial,
        "events": len(found["events"]),
    }


def export_student(directory: Path, student: str, report: Path | None) -> None:
    """Print the last events of a student, and write all that the engine has of the student."""
    with opened(directory) as loaded:
        found = loaded.export(student)
    events = found["events"]
    rows = [
        [
            time_text(event["time"]),
            event["event"],
            shortened(event["item"], MAX_NAME),
            {None: "", 0: "wrong", 1: "correct"}[event.get("correct")],
            fixed_point(event.get("propensity"), 3, ""),
        ]
        for event in events[-MAX_ROWS:]
    ]
    headings = ["time, UTC", "event", "item", "answer", "propensity"]
    print_table(headings, rows, texts=headings[:4])
    shown = "" if len(rows) == len(events) else f", of which the last {len(rows)} are shown"
    cure = "" if report is not None else "; --json FILE writes all that the engine has of the student"
    print_sentence(f"{student} has {counted(len(events), 'event')}{shown}{cure}.")
    write_report(report, found)


@engine.command(
    "delete",
    cls=DialogCommand,
    epilog=examples("alsim engine delete shop ada", "alsim engine delete shop ada --yes"),
)
def delete_command(
    directory: DirectoryArgument,
    student: StudentArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    report: JsonOption = None,
) -> None:
    """Delete the events and the state of a student, for good.

    A hash of the name remains, by which late events are refused. The exit status is 1 if the deletion is not confirmed.
    """
    with opened(directory) as loaded:
        events = len(loaded.export(student)["events"])
        if not yes and not _is_confirmed(f"Delete the {counted(events, 'event')} of {student}, for good? [y/N] "):
            print_sentence("Nothing was deleted: answer y, or pass --yes.")
            write_report(report, {"student": student, "deleted": False, "events": events})
            raise typer.Exit(1)
        loaded.delete(student)
    print_sentence(f"{counted(events, 'event')} of {student} {'was' if events == 1 else 'were'} deleted.")
    write_report(report, {"student": student, "deleted": True, "events": events})


def _is_confirmed(question: str) -> bool:
    """Return whether the user answers a question with yes; the end of the input is no."""
    try:
        reply = input(printable(question))
    except (EOFError, UnicodeDecodeError):
        reply = ""
    if not sys.stdin.isatty():
        print(printable(reply))  # as a terminal would
    return reply.strip().lower() in ("y", "yes")


def _listed(names: list[str]) -> str:
    """Return the first names of a list as text."""
    shown = ", ".join(shortened(name, 2 * MAX_NAME) for name in names[:5])
    more = len(names) - 5
    return (shown + (f" and {more:,} more" if more > 0 else "")) or "no skill"


def read_time(text: str | None) -> float | None:
    """Return the time of an option, seconds since 1970. Raises AlsimError."""
    if text is None:
        return None
    try:
        seconds = float(text)
        if math.isfinite(seconds):
            return seconds
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise AlsimError(
            f"--time must be seconds since 1970, or a time such as 2026-02-03T09:30; got {text!r:.100}"
        ) from None


def time_text(seconds: float) -> str:
    """Return a time in UTC to the second."""
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError, OSError):
        return f"{seconds:.0f} s"


__all__ = ["export_student", "read_time", "time_text"]
