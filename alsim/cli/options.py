"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alsim.errors import AlsimError

ConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="TOML configuration; init-config writes one.")
]
BankOption = Annotated[
    Path | None, typer.Option("--bank", metavar="DIR", help="Directory of an item bank; bank writes one.")
]
JsonOption = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Also write the report as JSON.")]
SeedOption = Annotated[int, typer.Option("--seed", help="Random seed, an integer in [0, 2**64).")]
ForceOption = Annotated[bool, typer.Option("--force", help="Overwrite existing output.")]

COLUMNS_METAVAR = "OURS=THEIRS,..."


def read_mapping(columns: str) -> dict[str, str]:
    """Return the mapping that `--columns` describes, from alsim's column names to those of the file."""
    mapping = {}
    for part in columns.split(",") if columns else ():
        ours, equals, theirs = part.partition("=")
        if not (ours.strip() and equals and theirs.strip()):
            raise AlsimError(f"--columns is OURS=THEIRS, separated by commas; got {part!r}")
        mapping[ours.strip()] = theirs.strip()
    return mapping
