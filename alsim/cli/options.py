"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alsim.errors import AlsimError

ConfigOption = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="TOML file; see init-config.")]
BankOption = Annotated[Path | None, typer.Option("--bank", metavar="DIR", help="Directory of a bank; see bank.")]
JsonOption = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the report here as JSON, too.")]
SeedOption = Annotated[int, typer.Option("--seed", help="Integer in [0, 2**64).")]
ForceOption = Annotated[bool, typer.Option("--force", help="Overwrite what is there.")]


def read_mapping(columns: str) -> dict[str, str]:
    """Read --columns."""
    mapping = {}
    for part in columns.split(",") if columns else ():
        ours, equals, theirs = part.partition("=")
        if not (ours.strip() and equals and theirs.strip()):
            raise AlsimError(f"--columns is OURS=THEIRS, separated by commas; got {part!r}")
        mapping[ours.strip()] = theirs.strip()
    return mapping
