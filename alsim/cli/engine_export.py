"""Command `alsim engine export`."""

from __future__ import annotations

from typing import Annotated

import typer

from alsim.cli.engine import DirectoryArgument, engine
from alsim.cli.engine_students import export_student
from alsim.cli.help import examples
from alsim.cli.options import JsonOption


@engine.command(
    "export", epilog=examples("alsim engine export shop ada", "alsim engine export shop ada --json ada.json")
)
def export_command(
    directory: DirectoryArgument,
    student: Annotated[str, typer.Argument(metavar="STUDENT", help="Name of the student.")],
    report: JsonOption = None,
) -> None:
    """Print the last events of a student; --json writes all that the engine has of the student."""
    export_student(directory, student, report)
