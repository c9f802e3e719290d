"""The arguments of `read_responses`, and which of them apply to each kind of file; all others are refused."""

from __future__ import annotations

from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any, NamedTuple

from alsim.responses.report import Duplicates, ResponsesError

TABLE = frozenset({"columns", "separator", "missing", "duplicates", "skip_bad"})
PATTERNS = TABLE - {"separator", "duplicates"}
CHARACTERS = frozenset({"delimiter", "encoding", "quoting"})
LINES = frozenset({"skip_lines", "header"})

NOUNS: Mapping[str, str] = {
    "columns": "names of columns",
    "key": "a key",
    "delimiter": "a delimiter",
    "encoding": "an encoding",
    "separator": "a separator of skills",
    "missing": "values that mean no response",
    "duplicates": "a treatment of duplicates",
    "skip_bad": "the skipping of rows",
    "skip_lines": "lines to skip",
    "header": "a header",
    "quoting": "quoting",
}
"""The arguments, for messages."""


class FileKind(NamedTuple):
    """A kind of file.

    description  sentence part that follows "is"
    arguments    names of the arguments that apply
    has_names    True if all files of this kind have the names of their columns, so that header=True asks for nothing
    may_be_long  True for a published log that can also be read as a table with one row per response
    """

    description: str
    arguments: Set[str]
    has_names: bool = False
    may_be_long: bool = False


KINDS: Mapping[str, FileKind] = {
    "long": FileKind("a table with one row per response", TABLE | CHARACTERS | LINES),
    "wide": FileKind("a table with one row per student", PATTERNS | CHARACTERS | LINES),
    "three-line": FileKind(
        "a file with three lines per student", {"delimiter", "encoding", "separator", "skip_bad", "skip_lines"}
    ),
    "binary long": FileKind("a Parquet or Arrow table with one row per response", TABLE, has_names=True),
    "binary wide": FileKind("a Parquet or Arrow table with one row per student", PATTERNS, has_names=True),
}
"""The kinds of files that are no published logs; for those, see `PublishedFormat.kind`."""


class Arguments(NamedTuple):
    """The arguments of `alsim.responses.reading.read_responses`, except the path and the format.

    The defaults are those of `read_responses`.
    """

    columns: Mapping[str, str | None] = {}
    key: Path | None = None
    delimiter: str | None = None
    encoding: str | None = None
    separator: str | None = "~~"
    missing: tuple[Any, ...] | None = None
    duplicates: Duplicates | None = None
    skip_bad: bool = False
    skip_lines: int = 0
    header: bool | None = None
    quoting: bool = True

    def check(self, path: Path, kind: FileKind) -> None:
        """Raise ResponsesError for an argument that does not apply to the kind of a file."""
        for name, value in self._asdict().items():
            if name in kind.arguments or value == self._field_defaults[name]:
                continue
            if (name == "duplicates" and value == "keep") or (name == "header" and value is True and kind.has_names):
                continue  # as such files are read anyway
            problem = f"{path}: is {kind.description}, to which {NOUNS[name]} cannot apply"
            if kind.may_be_long:
                raise ResponsesError(problem, "remove {}, or read the log with {}", **{name: value}, format="long")
            raise ResponsesError(problem, "remove {}", **{name: value})
