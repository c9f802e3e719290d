"""Options that several commands share."""

from __future__ import annotations

import csv
import re
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from alsim.cli.completion import complete_dynamics, complete_policy
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
EncodingOption = Annotated[
    str | None,
    typer.Option(
        "--encoding",
        metavar="NAME",
        help="Encoding of a text file.  [default: UTF-8, or that of the byte order mark]",
    ),
]
JsonOption = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Also write the report as JSON; - prints only the JSON.")
]
ItemsOption = Annotated[
    Path,
    typer.Option("--items", metavar="FILE", help="Table of item parameters a, b and c, or a fit of alsim fit irt."),
]
PriorMeanOption = Annotated[
    float, typer.Option("--prior-mean", help="Mean of the prior of ability, for eap and map, logits.")
]
PriorSdOption = Annotated[float, typer.Option("--prior-sd", help="Standard deviation of the prior of ability, logits.")]
MaskOption = Annotated[
    str | None,
    typer.Option(
        "--action-mask",
        metavar="MASK",
        show_default="all actions",
        help="Allowed actions: curriculum, curriculum:MASTERED, or a function as module:function.",
    ),
]
ObservationOption = Annotated[Observation, typer.Option("--observation", help="Kind of observation.")]
POWER = re.compile(r"(\d{1,9})\*\*(\d{1,2})(?:([+-]\d{1,20}))?")
"""Notation of large integers, such as 2**31 or 2**31+5."""


def read_large_integer(text: str | int) -> int:
    """Return an integer, which may be written as a power with a sum, such as 2**31+5. Raises ValueError."""
    power = POWER.fullmatch(text.replace(" ", "")) if isinstance(text, str) else None
    if power is None:
        return int(text)
    base, exponent, rest = power.groups(default="0")
    return int(int(base) ** int(exponent)) + int(rest)


SeedOption = Annotated[
    int,
    typer.Option("--seed", metavar="N", parser=read_large_integer, help="Random seed, from 0 to 2**64 - 1."),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Overwrite existing output.")]


def _import_modules(context: typer.Context, modules: list[str] | None) -> list[str] | None:
    """Import the modules of `--import`. Raises AlsimError."""
    if modules and not context.resilient_parsing:  # set during shell completion
        from alsim.utils.plugins import import_modules

        _search_working_directory()
        import_modules(modules)
    return modules


def allow_classes(policy: str | None) -> str | None:
    """Let a policy `module:Class` be found in the working directory."""
    if policy is not None and ":" in policy:
        _search_working_directory()
    return policy


def _search_working_directory() -> None:
    """Let modules in the working directory be imported, as `python -m` does; a console script does not."""
    directory = str(Path.cwd())
    if not sys.flags.safe_path and directory not in sys.path and "" not in sys.path:
        sys.path.insert(0, directory)


PolicyOption = Annotated[
    str,
    typer.Option(
        "--policy",
        metavar="NAME",
        callback=allow_classes,
        autocompletion=complete_policy,
        help="Name (see alsim policies), directory of a trained policy, or module:Class.",
    ),
]
DynamicsOption = Annotated[
    str | None,
    typer.Option(
        "--dynamics",
        metavar="NAME",
        autocompletion=complete_dynamics,
        help="Dynamics of the learners, which replaces that of the configuration.",
    ),
]
ImportOption = Annotated[
    list[str] | None,
    typer.Option(
        "--import",
        metavar="MODULE",
        callback=_import_modules,
        help="Module that registers policies or dynamics, imported first; may be repeated.",
    ),
]

COLUMNS_METAVAR = "COLUMN=NAME,..."


def read_columns(columns: str) -> dict[str, str | None]:
    """Return the mapping of `--columns` from alsim's column names to those of a file.

    COLUMN= maps to None, which omits the column. In quotes, as in "COLUMN=NAME", the name may contain commas.

    Raises AlsimError for another form, and for a column that is mapped twice.
    """
    mapping: dict[str, str | None] = {}
    for part in next(csv.reader([columns], skipinitialspace=True), []):
        column, equals, name = map(str.strip, part.partition("="))
        if not (column and equals):
            raise _invalid_mapping(part)
        if column in mapping:
            raise AlsimError(f"--columns maps {column} more than once; map it to one name")
        mapping[column] = name or None
    return mapping


def read_mapping(columns: str) -> dict[str, str]:
    """Return the mapping of `--columns` as `read_columns` does. Raises AlsimError also for COLUMN= without a name."""
    mapping = {}
    for column, name in read_columns(columns).items():
        if name is None:
            raise _invalid_mapping(f"{column}=")
        mapping[column] = name
    return mapping


def _invalid_mapping(part: str) -> AlsimError:
    """Return the error about a part of `--columns`."""
    return AlsimError(
        f"--columns must be COLUMN=NAME, separated by commas; got {part!r}: write alsim's name, =, and the file's name"
    )
