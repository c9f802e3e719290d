"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from alsim.errors import AlsimError


class Observation(StrEnum):
    """Kinds of observation."""

    mastery = "mastery"
    responses = "responses"


ConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="TOML configuration, as alsim init-config writes it.")
]
BankOption = Annotated[
    Path | None, typer.Option("--bank", metavar="DIR", help="Directory of an item bank, as alsim bank writes it.")
]
JsonOption = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Also write the report as JSON; - prints only the JSON.")
]
ObservationOption = Annotated[Observation, typer.Option("--observation", help="Kind of observation.")]
SeedOption = Annotated[int, typer.Option("--seed", metavar="N", help="Random seed, from 0 to 2**64 - 1.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Overwrite existing output.")]

COLUMNS_METAVAR = "COLUMN=NAME,..."


def read_mapping(columns: str) -> dict[str, str]:
    """Return the mapping of `--columns` from alsim's column names to those of the file. Raises AlsimError."""
    mapping = {}
    for part in columns.split(",") if columns else ():
        column, equals, name = part.partition("=")
        if not (column.strip() and equals and name.strip()):
            raise AlsimError(f"--columns must be COLUMN=NAME, separated by commas; got {part!r}")
        mapping[column.strip()] = name.strip()
    return mapping
