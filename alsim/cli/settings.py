"""Commands `alsim policies` and `alsim init-config`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from alsim.cli.app import app
from alsim.cli.help import examples
from alsim.cli.options import ForceOption, JsonOption
from alsim.cli.output import printable, write_report, write_text
from alsim.errors import AlsimError


@app.command()
def policies(report: JsonOption = None) -> None:
    """List the teaching policies."""
    from alsim.policies import POLICIES

    table = Table("policy", "description", box=None)
    descriptions = {name: (make.__doc__ or "").strip().partition("\n")[0] for name, make in POLICIES.items()}
    for name, description in descriptions.items():
        table.add_row(escape(name), escape(description))
    Console(highlight=False).print(table)
    write_report(report, descriptions)


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
