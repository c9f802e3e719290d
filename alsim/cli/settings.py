"""Commands `alsim policies`, `alsim dynamics` and `alsim init-config`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from alsim.cli.app import app
from alsim.cli.help import examples
from alsim.cli.options import ForceOption, ImportOption, JsonOption
from alsim.cli.output import one_line_rows, print_sentence, print_table, printable, write_report, write_text
from alsim.errors import AlsimError

FORM_WIDTH = 30
"""Largest width of the name of a policy with its optional arguments, columns."""
OPTIONAL = "[:...]"
"""Text that stands for optional arguments."""
SUBJECT = re.compile(r"(P|Return a p)olicy that ")
"""Beginning of the description of a policy, which the table leaves out."""


@app.command()
def policies(imports: ImportOption = None, report: JsonOption = None) -> None:
    """List the teaching policies, also those of installed plugins; --json adds arguments, memory and source."""
    from alsim.policies.listing import list_policies

    listed = list_policies()
    others = any(entry["package"] != "alsim" for entry in listed.values())
    headings = ["policy", "description", *(["package"] if others else [])]
    rows = [[_form(entry), _deed(entry), *([entry["package"]] if others else [])] for entry in listed.values()]
    for line in one_line_rows(headings, rows, shortened_column="description"):
        print(line)
    if any(OPTIONAL in row[0] for row in rows):
        print_sentence(f"{OPTIONAL} stands for optional arguments, which --json FILE lists.")
    write_report(report, listed, is_listing=True)


def _form(entry: dict[str, Any]) -> str:
    """Return the name of a policy with its arguments, the optional ones as OPTIONAL if it is too wide otherwise."""
    form: str = entry["signature"]
    return form if len(form) <= FORM_WIDTH else form.partition("[")[0] + OPTIONAL if "[" in form else form


def _deed(entry: dict[str, Any]) -> str:
    """Return the description of a policy without its subject and its period."""
    return SUBJECT.sub("", entry["description"], count=1).removesuffix(".")


@app.command()
def dynamics(imports: ImportOption = None, report: JsonOption = None) -> None:
    """List the dynamics of learners, also those of installed plugins; --json adds parameters, state and source."""
    from alsim.dynamics import DYNAMICS, describe, find_dynamics, known_dynamics
    from alsim.utils.plugins import package_of

    for name in known_dynamics():
        find_dynamics(name)
    listed = {name: {**describe(found), "package": package_of(found.parameters)} for name, found in DYNAMICS.items()}
    others = any(entry["package"] != "alsim" for entry in listed.values())
    columns = {"description": "description", **({"package": "package"} if others else {})}
    rows = [[name, *(entry[key] for key in columns.values())] for name, entry in listed.items()]
    headings = ["dynamics", *columns]
    print_table(headings, rows, texts=headings, wrapped="description")
    write_report(report, {"dynamics": listed})


@app.command("init-config", epilog=examples("alsim init-config", "alsim init-config spaced.toml --preset spaced"))
def init_config(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="TOML file to write.")] = Path("alsim.toml"),
    preset: Annotated[
        str,
        typer.Option(
            "--preset",
            metavar="NAME",
            help="Configuration to write: default, with all keys; or spaced, sessions over weeks and learners who "
            "forget, with the keys that differ.",
        ),
    ] = "default",
    force: ForceOption = False,
) -> None:
    """Write a commented configuration: all defaults, or a preset."""
    from alsim.config import preset_toml

    text = preset_toml(preset)
    if file.is_dir():
        raise AlsimError(f"{file} is a directory; expected a file to write")
    if file.exists() and not force:
        raise AlsimError(f"{file} already exists; --force overwrites it")
    write_text(file, text)
    print(f"Wrote {printable(str(file))}; to use it, pass --config {printable(str(file))} to a command.")
