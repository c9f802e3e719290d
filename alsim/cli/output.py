"""What commands write: reports, files that are whole or not there, columns of tables, what is said on the way."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alsim.errors import AlsimError
from alsim.utils.files import write_whole

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import ProgressColumn


def right_aligned(name: str) -> Any:
    """A right-aligned column of a table."""
    from rich.table import Column

    return Column(name, justify="right")


def printable(text: str) -> str:
    """Return a line of somebody else's words, with what a terminal would obey or break at written as an escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def check_report(file: Path | None) -> None:
    """Refuse a report that cannot be written before the work, not after it."""
    if file is not None and file.is_dir():
        raise AlsimError(f"--json {file}: is a directory; expected a file")


def write_report(file: Path | None, value: Any) -> None:
    """Write a report as JSON, if asked."""
    if file is not None:
        write_text(file, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_text(file: Path, text: str) -> None:
    """Write a file whole or not at all; through a link, and straight into a pipe or a device."""
    file = file.resolve()
    if file.exists() and not file.is_file():
        with file.open("w", encoding="utf-8") as stream:
            stream.write(text)
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, text.encode())


@contextmanager
def progress_bar(*columns: str | ProgressColumn) -> Iterator[RichProgress | None]:
    """Show a progress bar on a terminal, of these columns and the time that remains; None in a pipe."""
    from rich.console import Console
    from rich.progress import Progress, TimeRemainingColumn

    if not sys.stderr.isatty():
        yield None
        return
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        yield bar


class _Told(logging.Handler):
    """Says on stderr what a log is told, beside a progress bar as well."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a line."""
        print(f"alsim: {record.getMessage()}", file=sys.stderr)


@contextmanager
def told(name: str) -> Iterator[None]:
    """Say on stderr what a module's log is told, meanwhile."""
    log, handler = logging.getLogger(name), _Told()
    before, log.propagate = (log.level, log.propagate), False
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before[0])
        log.propagate = before[1]
