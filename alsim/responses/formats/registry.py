"""The published formats by their names, and their recognition."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from types import MappingProxyType

from alsim.responses.fields import LogFields
from alsim.responses.formats import (
    assistments_2009,
    assistments_2012,
    assistments_2015,
    assistments_2017,
    duolingo_slam,
    ednet_kt1,
    junyi,
    kdd_cup,
)
from alsim.responses.formats.base import PublishedFormat, Request
from alsim.responses.report import Duplicates, ResponsesError
from alsim.responses.text import (
    DELIMITERS,
    TextFile,
    check_text,
    detect_encoding,
    split_cells,
    without_separator_line,
)

MODULES = (
    assistments_2009,
    assistments_2012,
    assistments_2015,
    assistments_2017,
    duolingo_slam,
    ednet_kt1,
    junyi,
    kdd_cup,
)
FORMATS: tuple[PublishedFormat, ...] = tuple(module.FORMAT for module in MODULES)
PUBLISHED = MappingProxyType({str(published.name): published for published in FORMATS})
"""The published formats by their names."""

SAMPLED_FILES = 10
"""Number of files of a directory by which its format is recognised."""

_log = logging.getLogger("alsim.responses")


def read_published(name: str, request: Request) -> LogFields:
    """Read a log in a published format, as `alsim.responses.reading.read_responses` does."""
    published = PUBLISHED[name]
    if request.path.is_file():
        other = recognise_file(request.data or request.path, request.encoding)
        if other is not None and other is not published:
            raise ResponsesError(
                f"{request.path}: is not in the format {name} ({published.title}), but has the header of {other.title}",
                "read it with {}",
                format=other.name,
            )
    fields = published.read(request)
    report = fields.report
    if report.duplicates and request.duplicates == published.duplicates == "merge":
        _log.warning(
            "%s: rows that repeat a response with another skill are merged into it: %s of %s; the first one: %s",
            request.path,
            f"{report.duplicates:,}",
            f"{report.rows:,}",
            report.duplicate,
        )
    return fields


def recognise_file(path: Path, encoding: str | None = None) -> PublishedFormat | None:
    """Return the format with the header of a text file; None if there is none, or if the file is of another kind."""
    try:
        check_text(path, encoding)
        # The names are in ASCII, and latin-1 decodes every other byte, too.
        detected = encoding or detect_encoding(path)
        file = TextFile(path, "latin-1" if detected == "utf-8" else detected, None)
        line = without_separator_line(file).first_lines(1)[0]
    except (ResponsesError, UnicodeError, LookupError):
        return None
    return recognise(line)


def recognise_directory(path: Path) -> PublishedFormat | None:
    """Return the format whose logs are directories and that a file in this one has; None if there is none."""
    files = (file for place in (path, path / "KT1") for file in place.glob("*.csv") if file.is_file())
    found = (recognise_file(file) for file in islice(files, SAMPLED_FILES))
    return next((published for published in found if published is not None and published.directory), None)


def note_published(path: Path, encoding: str | None, data: Path | None = None) -> None:
    """Log a warning that names the format if a text file has the header of a published log.

    data  decompressed copy of the file
    """
    if (published := recognise_file(data or path, encoding)) is not None:
        _log.warning(
            "%s: has the header of %s; the format %s reads it by the conventions of this log",
            path,
            published.title,
            published.name,
        )


def recognise(line: str) -> PublishedFormat | None:
    """Return the format whose files have this first line; None if there is none."""
    names = (split_cells(line, delimiter) for delimiter in DELIMITERS)
    headers: list[Sequence[str]] = [[line.strip()], *names]
    return next((one for one in PUBLISHED.values() for header in headers if one.has_header(header)), None)


def reads_directory(name: str | None) -> bool:
    """Return whether a log in a format, published or not, is a directory of files."""
    return name is not None and name in PUBLISHED and PUBLISHED[name].directory


def default_duplicates(name: str | None) -> Duplicates:
    """Return the default of the argument `duplicates` for a format, published or not."""
    return "keep" if name is None or name not in PUBLISHED else PUBLISHED[name].duplicates
