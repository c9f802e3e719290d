"""Output of commands: reports, text files, table columns, progress bars and log messages."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alsim.errors import AlsimError
from alsim.utils.files import write_atomic
from alsim.utils.plugins import PluginWarning

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import ProgressColumn


def right_aligned(name: str) -> Any:
    """Return a right-aligned column of a table."""
    from rich.table import Column

    return Column(name, justify="right")


def printable(text: str) -> str:
    """Return text with control characters and line breaks escaped: untrusted names must not control the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def print_warning(message: str) -> None:
    """Print a warning on stderr, as one line."""
    print(f"alsim: {printable(message)}", file=sys.stderr)


def print_plugin_warnings() -> None:
    """Print warnings about plugins as one line on stderr from now on. Other warnings are not changed."""
    show = warnings.showwarning

    def print_or_show(message: Warning | str, category: type[Warning], *place: Any, **options: Any) -> None:
        if issubclass(category, PluginWarning):
            print_warning(str(message))
        else:
            show(message, category, *place, **options)

    warnings.showwarning = print_or_show


def check_report(file: Path | None) -> None:
    """Raise AlsimError if the file of a report is a directory; commands call this before their work."""
    if file is not None and file.is_dir():
        raise AlsimError(f"--json {file} is a directory; expected a file to write")


def write_report(file: Path | None, value: Any) -> None:
    """Write a report as JSON; do nothing if `file` is None."""
    if file is not None:
        write_text(file, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_text(file: Path, text: str) -> None:
    """Write a file atomically. Symbolic links are followed; pipes and devices are written to directly."""
    file = file.resolve()
    if file.exists() and not file.is_file():
        with file.open("w", encoding="utf-8") as stream:
            stream.write(text)
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(file, text.encode())


@contextmanager
def progress_bar(*columns: str | ProgressColumn) -> Iterator[RichProgress | None]:
    """Show a progress bar of these columns and the remaining time; yield None if stderr is not a terminal."""
    from rich.console import Console
    from rich.progress import Progress, TimeRemainingColumn

    if not sys.stderr.isatty():
        yield None
        return
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        yield bar


class _StderrHandler(logging.Handler):
    """A handler that prints records on the current stderr, which a progress bar may have replaced."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        print(f"alsim: {record.getMessage()}", file=sys.stderr)


@contextmanager
def log_to_stderr(name: str) -> Iterator[None]:
    """Print the messages of a logger on stderr within the context."""
    logger, handler = logging.getLogger(name), _StderrHandler()
    level, propagate = logger.level, logger.propagate
    logger.propagate = False
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate
