"""Command `alsim engine export`: one student as JSON, or the log of all students as a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alsim.cli.engine import DirectoryArgument, engine, opened
from alsim.cli.engine_students import export_student
from alsim.cli.help import examples
from alsim.cli.options import ForceOption, JsonOption
from alsim.cli.output import counted, elapsed_progress, print_facts, print_sentence, write_report
from alsim.errors import AlsimError


@engine.command(
    "export",
    epilog=examples(
        "alsim engine export shop ada",
        "alsim engine export shop ada --json ada.json",
        "alsim engine export shop --out shop-log",
    ),
)
def export_command(
    directory: DirectoryArgument,
    student: Annotated[
        str | None, typer.Argument(metavar="STUDENT", help="Name of the student.  [default: all of them, with --out]")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DATASET", help="Write the log of all students to this directory."),
    ] = None,
    names: Annotated[
        bool, typer.Option("--names", help="Only with --out: add the names of the students, and not only numbers.")
    ] = False,
    session_gap: Annotated[
        float,
        typer.Option(
            "--session-gap", metavar="MIN", help="Only with --out: minutes without an event that end a session."
        ),
    ] = 30.0,
    force: ForceOption = False,
    report: JsonOption = None,
) -> None:
    """Print the last events of a student; --json writes all that the engine has of the student.

    Or write the log of all students as a dataset, with --out.
    """
    if out is not None:
        if student is not None:
            raise AlsimError(f"--out writes the log of all students; remove the student {student!r}, or --out")
        _export_dataset(directory, out, names=names, session_gap=session_gap, force=force, report=report)
        return
    if student is None:
        raise AlsimError("STUDENT is missing: name a student, or write the log of all students with --out DATASET")
    if names or session_gap != 30.0:
        raise AlsimError(f"{'--names' if names else '--session-gap'} needs --out; remove it, or the student")
    export_student(directory, student, report)


def _export_dataset(
    directory: Path, out: Path, *, names: bool, session_gap: float, force: bool, report: Path | None
) -> None:
    """Write the log of all students as a dataset, and print what it has."""
    from alsim.datasets.engine_export import export_log
    from alsim.datasets.engine_log import load_log

    with opened(directory) as loaded, elapsed_progress(f"exporting {directory}"):
        export_log(loaded, out, names=names, session_gap=60 * session_gap, force=force)
    print_log(load_log(out).manifest, out, report)


def print_log(manifest: dict[str, object], directory: Path, report: Path | None) -> None:
    """Print what the log of an engine has, and write it as JSON."""
    facts, numbers = log_facts(manifest, directory)
    print_facts(facts)
    print_sentence("The log has no true mastery: obs and reward are estimates of the student model.")
    write_report(report, numbers)


def log_facts(manifest: dict[str, object], directory: Path) -> tuple[list[tuple[str, str]], dict[str, object]]:
    """Return labels and texts about the log of an engine, and the same as JSON values."""
    tables: dict[str, dict[str, int]] = manifest["tables"]  # type: ignore[assignment]  # the manifest was checked
    engine_: dict[str, object] = manifest["engine"]  # type: ignore[assignment]  # the same
    rows = {name: tables[name]["rows"] for name in ("events", "transitions", "episodes")}
    numbers = {
        "directory": str(directory),
        "kind": manifest["kind"],
        "students": manifest["num_learners"],
        "events": rows["events"],
        "interactions": rows["transitions"],
        "sessions": rows["episodes"],
        "session_gap_seconds": manifest["session_gap"],
        "names": manifest["names"],
        "items": manifest["num_items"],
        "skills": len(manifest["skills"]),  # type: ignore[arg-type]  # the same
        **engine_,
    }
    facts = [
        ("dataset", str(directory)),
        ("kind", "log of an engine"),
        ("students", f"{numbers['students']:,}, {'with' if manifest['names'] else 'without'} names"),
        (
            "sessions",
            f"{rows['episodes']:,}, ended by {float(str(manifest['session_gap'])) / 60:g} min without an event",
        ),
        ("interactions", counted(rows["transitions"], "interaction")),
        ("events", counted(rows["events"], "event")),
        ("catalogue", f"{numbers['items']:,} items about {numbers['skills']:,} skills"),
        ("policy", str(engine_["policy"])),
        ("model", f"{engine_['model']}, {engine_['digest']}"),
    ]
    if experiments := manifest.get("experiments"):
        facts.append(("experiments", ", ".join(experiments)))  # type: ignore[arg-type]  # the same
        numbers["experiments"] = experiments
    return facts, numbers


__all__ = ["export_command", "log_facts", "print_log"]
