"""Commands `alsim policies`, `alsim dynamics` and `alsim init-config`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from alsim.cli.app import app
from alsim.cli.help import examples
from alsim.cli.options import ForceOption, ImportOption, JsonOption
from alsim.cli.output import print_table, printable, write_report, write_text
from alsim.errors import AlsimError


@app.command()
def policies(imports: ImportOption = None, report: JsonOption = None) -> None:
    """List the teaching policies, also those of installed plugins."""
    from alsim.policies.names import POLICIES, load_plugins, signature
    from alsim.utils.plugins import package_of

    load_plugins()
    listed = {
        name: {"signature": signature(name, make), "description": _summary(make), "package": package_of(make)}
        for name, make in POLICIES.items()
    }
    others = any(entry["package"] != "alsim" for entry in listed.values())
    columns = {"policy": "signature", "description": "description", **({"package": "package"} if others else {})}
    rows = [[entry[key] for key in columns.values()] for entry in listed.values()]
    print_table(list(columns), rows, texts=columns, wrapped="description")
    write_report(report, listed, is_listing=True)


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


def _summary(make: Any) -> str:
    """Return the first line of the docstring of a class, a function, or a partial function."""
    return (getattr(make, "func", make).__doc__ or "").strip().partition("\n")[0]


@app.command("init-config", epilog=examples("alsim init-config", "alsim init-config short-episodes.toml"))
def init_config(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="TOML file to write.")] = Path("alsim.toml"),
    force: ForceOption = False,
) -> None:
    """Write a commented configuration with all defaults."""
    from alsim.config import default_toml

    if file.is_dir():
        raise AlsimError(f"{file} is a directory; expected a file to write")
    if file.exists() and not force:
        raise AlsimError(f"{file} already exists; --force overwrites it")
    write_text(file, default_toml())
    print(f"Wrote {printable(str(file))}; to use it, pass --config {printable(str(file))} to a command.")
