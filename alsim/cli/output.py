"""Output of commands: reports, text files, tables, progress and log messages."""

from __future__ import annotations

import io
import json
import logging
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING, Any, TextIO

from alsim.errors import AlsimError, RuleWarning
from alsim.utils.files import write_atomic
from alsim.utils.plugins import PluginWarning
from alsim.utils.text import printable as printable

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import ProgressColumn

STDOUT = Path("-")
"""Name that stands for stdout, as in `--json -`."""
WIDTH = 80
"""Width of printed sentences, columns."""
PERIOD = 30.0
"""Seconds between lines about the progress of a command, if stderr is not a terminal."""
MAX_DECIMALS = 6
"""Largest number of decimals of a mean and its standard error in a table."""
ROUNDING_NOISE = 1e-12
"""A standard error below this share of the mean comes from the rounding of float64, not from different values."""
_report_stream: ContextVar[TextIO | None] = ContextVar("report_stream", default=None)


def right_aligned(name: str) -> Any:
    """Return a right-aligned column of a table."""
    from rich.table import Column

    return Column(name, justify="right")


def print_warning(message: str) -> None:
    """Print a warning on stderr, as one line."""
    print(f"alsim: {printable(message)}", file=sys.stderr)


def print_own_warnings() -> None:
    """Print warnings about plugins and rules as one line on stderr from now on. Other warnings are not changed."""
    show = warnings.showwarning

    def print_or_show(message: Warning | str, category: type[Warning], *place: Any, **options: Any) -> None:
        if issubclass(category, PluginWarning | RuleWarning):
            print_warning(str(message))
        else:
            show(message, category, *place, **options)

    warnings.showwarning = print_or_show


def check_report(file: Path | None) -> None:
    """Raise AlsimError if the file of a report cannot be written; every command does this before its work."""
    if file is None or file == STDOUT:
        return
    if file.is_dir():
        raise AlsimError(f"--json {file} is a directory; expected a file to write, or - for stdout")
    parent = next(parent for parent in file.absolute().parents if parent.exists())
    if not parent.is_dir():
        raise AlsimError(f"--json {file} cannot be written, because {parent} is not a directory; choose another file")


def is_same_file(one: Path, other: Path) -> bool:
    """Return whether two paths name one regular file or directory, which may not exist yet."""
    if one.resolve() == other.resolve():
        return not one.exists() or one.is_file() or one.is_dir()
    return (one.is_file() or one.is_dir()) and other.exists() and one.samefile(other)


@contextmanager
def report_on_stdout(report: Path | None, *, dialog: bool = False) -> Iterator[None]:
    """Reserve stdout for the report within the context if `report` is "-".

    dialog  print other output on stderr; otherwise it is discarded
    """
    if report != STDOUT:
        yield
        return
    token = _report_stream.set(sys.stdout)
    try:
        with redirect_stdout(sys.stderr if dialog else io.StringIO()):
            yield
    finally:
        _report_stream.reset(token)


def write_report(file: Path | None, value: Any) -> None:
    """Write a report as JSON to a file, or to stdout if `file` is "-"; do nothing if it is None."""
    if file is None:
        return
    text = json.dumps(value, indent=2, allow_nan=False) + "\n"
    if file == STDOUT:
        (_report_stream.get() or sys.stdout).write(text)
    else:
        write_text(file, text)


def write_text(file: Path, text: str) -> None:
    """Write a file atomically. Symbolic links are followed; pipes and devices are written to directly."""
    if file.exists() and not file.is_file():  # before resolving: /dev/stdout resolves to a name that does not exist
        sys.stdout.flush()  # the file may be stdout
        with file.open("w", encoding="utf-8") as stream:
            stream.write(text)
        return
    file = file.resolve()
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


@contextmanager
def counted_progress(unit: str, total: int) -> Iterator[Callable[[int, str], None]]:
    """Yield a function that shows the progress of a command on stderr, given a number of units and a remark.

    On a terminal, it shows a bar. Otherwise it prints a line, at most every PERIOD seconds.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn

    remark = TextColumn("{task.fields[remark]}", markup=False)
    with progress_bar(TextColumn(unit), BarColumn(), MofNCompleteColumn(), remark) as bar:
        if bar is not None:
            task = bar.add_task(unit, total=total, remark="")
            yield lambda done, remark: bar.update(task, completed=done, remark=remark)
            return
        start = previous = monotonic()

        def show(done: int, remark: str) -> None:
            nonlocal previous
            if monotonic() - previous >= PERIOD and done < total:
                previous = monotonic()
                print_warning(f"{done:,} of {total:,} {unit} after {previous - start:,.0f} s, {remark}".rstrip(", "))

        yield show


@contextmanager
def elapsed_progress(work: str) -> Iterator[None]:
    """Show on stderr that a command is at work: with a spinner on a terminal, else a line every PERIOD seconds."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as spinner:
            spinner.add_task(work, total=None)
            yield
        return
    finished, start = Event(), monotonic()

    def report() -> None:
        while not finished.wait(PERIOD):
            print_warning(f"{work}, {monotonic() - start:,.0f} s so far")

    thread = Thread(target=report, daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()


@contextmanager
def resumable(hint: Callable[[], str]) -> Iterator[None]:
    """Add a hint to KeyboardInterrupt within the context: how to resume the command. It is printed at the end."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(hint()) from None


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table whose first column is text, and whose other columns are numbers, aligned on the right."""
    from rich.cells import cell_len

    lines = [[printable(cell) for cell in row] for row in (headings, *rows)]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    for first, *others in lines:
        cells = [first + " " * (widths[0] - cell_len(first))]
        cells += [" " * (width - cell_len(cell)) + cell for cell, width in zip(others, widths[1:], strict=True)]
        print("  ".join(cells).rstrip())


def print_sentence(text: str) -> None:
    """Print a sentence, wrapped at WIDTH columns."""
    print(textwrap.fill(printable(text), WIDTH, break_long_words=False, break_on_hyphens=False))


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Print labels and texts, one pair per line, in two columns."""
    pairs = list(facts)
    width = max(len(label) for label, _ in pairs)
    for label, text in pairs:
        print(f"  {label:<{width}}  {printable(text)}")


def rounded(mean: float | None, se: float | None) -> tuple[str, str]:
    """Return a mean and its standard error as text, both rounded to the second significant digit of the error.

    An error below ROUNDING_NOISE of the mean is shown as 0. There are at most MAX_DECIMALS decimals.
    """
    if se is not None and se <= ROUNDING_NOISE * abs(mean or 0):
        se = 0.0
    decimals = min(MAX_DECIMALS, max(0, 1 - int(f"{se:.1e}".partition("e")[2]))) if se else 3
    return "-" if mean is None else f"{mean:,.{decimals}f}", "-" if se is None else f"{se:,.{decimals}f}"


def megabytes(num_bytes: int) -> str:
    """Return a size in bytes as text, such as "1.2 MB"."""
    return f"{num_bytes / 1e6:,.1f} MB" if num_bytes >= 50_000 else f"{num_bytes / 1e3:,.1f} kB"


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
