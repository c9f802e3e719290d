"""The names of all formats, the description of a published one, and the request to read a log in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from alsim.responses.applicable import CHARACTERS, FileKind
from alsim.responses.report import Duplicates

if TYPE_CHECKING:
    from alsim.responses.fields import LogFields

Format = Literal["long", "wide", "three-line"]
FORMATS: tuple[Format, ...] = get_args(Format)
"""Formats that are detected."""
PublishedName = Literal[
    "assistments-2009",
    "assistments-2012",
    "assistments-2015",
    "assistments-2017",
    "duolingo-slam",
    "ednet-kt1",
    "junyi",
    "kdd-cup",
]
"""Names of the published formats; `alsim.responses.formats.registry` holds the formats themselves."""
PUBLISHED_NAMES: tuple[PublishedName, ...] = get_args(PublishedName)


def header(text: str) -> tuple[str, ...]:
    """Return the names of the columns in a header that is delimited by commas."""
    return tuple(text.split(","))


ROWS = frozenset({"columns", "separator", "duplicates", "skip_bad"})
"""Arguments of `read_responses` that apply to all published logs."""
SEPARATOR = "~~"
"""Default of the argument `separator`, in place of which a format has its own separator."""


class Request(NamedTuple):
    """Arguments of `alsim.responses.reading.read_responses` for a published format.

    quoting  False if quotes in a delimited file are characters like others
    data     decompressed copy of the file; None if it is not compressed
    """

    path: Path
    columns: Mapping[str, str | None]
    delimiter: str | None
    encoding: str | None
    separator: str | None
    key: Path | None
    duplicates: Duplicates
    skip_bad: bool
    quoting: bool = True
    data: Path | None = None


@dataclass(frozen=True)
class PublishedFormat:
    """A published format.

    name        name of the format, as in the argument `format`
    title       name of the data set
    headers     headers of the published files, each as the names of its columns
    read        reads a log
    arguments   names of the arguments of `read_responses` that apply, in addition to ROWS; all others are refused
    is_header   returns whether the cells of a first line are those of the format. Default: one of `headers`, in any
                order
    directory   True if a log is a directory of files
    duplicates  default of the argument `duplicates`
    """

    name: PublishedName
    title: str
    headers: tuple[tuple[str, ...], ...]
    read: Callable[[Request], LogFields]
    arguments: Set[str]
    is_header: Callable[[Sequence[str]], bool] | None = None
    directory: bool = False
    duplicates: Duplicates = "keep"

    @property
    def kind(self) -> FileKind:
        """The kind of file, with the arguments that apply."""
        description = f"in the format {self.name} ({self.title})"
        return FileKind(description, ROWS | self.arguments, has_names=True, may_be_long=self.arguments >= CHARACTERS)

    def has_header(self, cells: Sequence[str]) -> bool:
        """Return whether the cells of the first line of a file are those of the format."""
        if self.is_header is not None:
            return self.is_header(cells)
        return any(sorted(cells) == sorted(header) for header in self.headers)
