"""Output of commands: reports, text files, tables, progress and log messages."""

from __future__ import annotations

import io
import json
import logging
import math
import sys
import textwrap
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from alsim._version import __version__
from alsim.errors import AlsimError, RuleWarning
from alsim.utils.files import check_writable, write_durable
from alsim.utils.plugins import PluginWarning
from alsim.utils.reading import read_json
from alsim.utils.text import counted as counted
from alsim.utils.text import printable as printable

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import ProgressColumn

WRITTEN_BY = "written_by"
"""Key of a report with the version of alsim that wrote it; `is_report` recognises a report by it."""
LISTED = {"signature", "description", "package"}
"""Keys of each entry in a listing of policies, in any version; the listing itself has no such key."""
STDOUT = Path("-")
"""Name that stands for stdout, as in `--json -`."""
WIDTH = 80
"""Width of printed sentences and tables, columns."""
LEAST_WIDTH = 20
"""Smallest width to which a column of a table is wrapped, columns."""
PERIOD = 30.0
"""Seconds between lines about the progress of a command, if stderr is not a terminal."""
MAX_DECIMALS = 6
"""Largest number of decimals of a mean and its standard error in a table."""
ROUNDING_NOISE = 1e-12
"""A standard error below this share of the mean comes from the rounding of float64, not from different values."""
_report_stream: ContextVar[TextIO | None] = ContextVar("report_stream", default=None)


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
    if file is not None and file != STDOUT:
        check_writable(file, "--json")


def check_replaceable(option: str, file: Path, force: bool | None, kind: str, is_own: Callable[[Path], bool]) -> None:
    """Raise AlsimError if a file with content would be replaced that alsim did not write.

    option  option that names the file
    force   value of the command's option --force; None if it has none
    kind    kind of file that the command writes there, for the message
    is_own  returns whether a file is of this kind
    """
    if force or not file.is_file() or file.stat().st_size == 0 or is_own(file):
        return
    cure = "choose another file, or delete this one" if force is None else "--force overwrites it"
    raise AlsimError(f"{option} {file} exists and is not {kind}; {cure}")


def is_report(file: Path) -> bool:
    """Return whether a file is a report that a command of alsim wrote as JSON."""
    try:
        content = read_json(file)
    except (OSError, ValueError):
        return False
    if not isinstance(content, dict):
        return False
    is_listing = all(isinstance(entry, dict) and {*entry} >= LISTED for entry in content.values())
    return str(content.get(WRITTEN_BY)).startswith("alsim ") or (bool(content) and is_listing)


def is_same_file(one: Path, other: Path) -> bool:
    """Return whether two paths name one regular file or directory, which may not exist yet."""
    if one.resolve() == other.resolve():
        return not one.exists() or one.is_file() or one.is_dir()
    return (one.is_file() or one.is_dir()) and other.exists() and one.samefile(other)


def check_distinct(outputs: Iterable[tuple[str, Path]], inputs: Iterable[Path]) -> None:
    """Raise AlsimError if an output of a command is also one of its inputs, a file in one of them, or another output.

    outputs  option and path of each output
    inputs   paths of the inputs, files or directories
    """
    used = list(inputs)
    directories = [path.resolve() for path in used if path.is_dir()]
    for option, path in outputs:
        inside = next((directory for directory in directories if path.resolve().is_relative_to(directory)), None)
        if inside is not None and path.is_file():
            raise AlsimError(f"{option} {path}: is a file of the input {inside}; choose a file elsewhere")
        if any(is_same_file(path, other) for other in used):
            raise AlsimError(
                f"{option} {path}: is also an input or another output of this command; choose another file"
            )
        used.append(path)


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


def write_report(file: Path | None, value: Mapping[str, Any] | None, *, is_listing: bool = False) -> None:
    """Write a report as JSON to a file, or to stdout if `file` is "-"; do nothing if it is None.

    is_listing  whether the keys are names of policies; otherwise, the version of alsim is added
    """
    if file is None or value is None:
        return
    value = value if is_listing else {WRITTEN_BY: f"alsim {__version__}", **value}
    text = json.dumps(value, indent=2, allow_nan=False) + "\n"
    if file == STDOUT:
        (_report_stream.get() or sys.stdout).write(text)
    else:
        write_text(file, text)


def write_text(file: Path, text: str) -> None:
    """Write a file atomically and to the disk. Symbolic links are followed; pipes and devices are written directly."""
    if file.exists() and not file.is_file():  # before resolving: /dev/stdout resolves to a name that does not exist
        sys.stdout.flush()  # the file may be stdout
        with file.open("w", encoding="utf-8") as stream:
            stream.write(text)
        return
    file = file.resolve()
    file.parent.mkdir(parents=True, exist_ok=True)
    write_durable(file, text.encode())


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


class Show(Protocol):
    """A function that shows the progress of a command."""

    def __call__(self, done: int, remark: str, total: int | None = None) -> None:
        """Show a number of finished units and a remark; `total` replaces the total number of units."""


@contextmanager
def counted_progress(unit: str, total: int | None = None) -> Iterator[Show]:
    """Yield a function that shows the progress of a command on stderr, given a number of units and a remark.

    On a terminal, it shows a bar. Otherwise it prints a line, at most every PERIOD seconds.

    unit   name of the units, in the plural
    total  total number of units; None if each call passes it
    """
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn

    column = TextColumn("{task.fields[remark]}", markup=False)
    with progress_bar(TextColumn(unit), BarColumn(bar_width=16), MofNCompleteColumn(), column) as bar:
        if bar is not None:
            task = bar.add_task(unit, total=total, remark="")

            def update(done: int, remark: str, total: int | None = total) -> None:
                bar.update(task, completed=done, total=total, remark=printable(remark))

            yield update
            return
        start = previous = monotonic()

        def show(done: int, remark: str, total: int | None = total) -> None:
            nonlocal previous
            if monotonic() - previous >= PERIOD and done < (total or 0):
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


class Terminated(SystemExit):
    """Exception that SIGTERM raises. Its arguments are the status, and how to resume the command."""


@contextmanager
def resumable(hint: Callable[[], str]) -> Iterator[None]:
    """Add a hint to an interrupt, by Ctrl-C or SIGTERM, within the context: how to resume the command.

    It is printed at the end.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(hint()) from None
    except Terminated as ended:
        raise Terminated(ended.args[0], hint()) from None


def print_table(
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    texts: Collection[str] | None = None,
    wrapped: str | None = None,
) -> None:
    """Print a table, see `table_lines`. The columns are two spaces apart."""
    for line in table_lines(headings, rows, texts=texts, wrapped=wrapped):
        print(line)


def table_lines(
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    texts: Collection[str] | None = None,
    wrapped: str | None = None,
    gap: str = "  ",
) -> list[str]:
    """Return the lines of a table. Columns of text are aligned on the left, and columns of numbers on the right.

    headings  headings of the columns
    rows      cells of each row, which are escaped where they are not printable
    texts     headings of the columns of text; by default, the first
    wrapped   heading of the column whose cells are wrapped so that the table is at most WIDTH columns wide
    gap       space between two columns
    """
    from rich.cells import cell_len

    table = [[printable(cell) for cell in row] for row in (headings, *rows)]
    widths = [max(map(cell_len, column)) for column in zip(*table, strict=True)]
    if wrapped is not None:
        k = headings.index(wrapped)
        others = sum(widths) - widths[k] + len(gap) * (len(widths) - 1)
        widths[k] = max(min(widths[k], WIDTH - others), LEAST_WIDTH)
        table = [part for row in table for part in _wrapped_rows(row, k, widths[k])]
    is_text = [heading in (headings[:1] if texts is None else texts) for heading in headings]
    return [
        gap.join(
            cell + " " * (width - cell_len(cell)) if text else " " * (width - cell_len(cell)) + cell
            for cell, width, text in zip(row, widths, is_text, strict=True)
        ).rstrip()
        for row in table
    ]


def _wrapped_rows(row: list[str], k: int, width: int) -> list[list[str]]:
    """Return a row with cell `k` wrapped at this width, as several rows; the first of them has the other cells."""
    from rich.console import Console
    from rich.text import Text

    first, *others = (line.plain.rstrip() for line in Text(row[k]).wrap(Console(), width)) if row[k] else ("",)
    return [[*row[:k], first, *row[k + 1 :]], *([""] * k + [line] + [""] * (len(row) - k - 1) for line in others)]


def one_line_rows(headings: Sequence[str], rows: Sequence[Sequence[str]], *, shortened_column: str) -> list[str]:
    """Return the lines of a table of texts, one per row, at most WIDTH columns wide.

    shortened_column  heading of the column whose cells are shortened to what the other columns leave
    """
    from rich.cells import cell_len

    k = headings.index(shortened_column)
    others = [max(cell_len(printable(row[c])) for row in (headings, *rows)) for c in range(len(headings)) if c != k]
    room = max(WIDTH - sum(others) - 2 * len(others), LEAST_WIDTH)
    cells = [[shortened(cell, room) if c == k else cell for c, cell in enumerate(row)] for row in rows]
    return table_lines(headings, cells, texts=headings)


def shortened(text: str, width: int) -> str:
    """Return a printable text of at most this many columns, which ends in an ellipsis if it was longer."""
    from rich.cells import cell_len, set_cell_size

    text = printable(text)
    return text if cell_len(text) <= width else set_cell_size(text, width - 1).rstrip() + "…"


def print_sentence(text: str) -> None:
    """Print a sentence, wrapped at WIDTH columns. Only a longer word is wider."""
    from rich.cells import cell_len

    padded = "".join(c + "\0" * (cell_len(c) - 1) for c in printable(text))  # textwrap counts characters, not columns
    print(textwrap.fill(padded, WIDTH, break_long_words=False, break_on_hyphens=False).replace("\0", ""))


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
    places = min(MAX_DECIMALS, decimals(se)) if se else 3
    return "-" if mean is None else f"{mean:,.{places}f}", "-" if se is None else f"{se:,.{places}f}"


def decimals(error: float, digits: int = 2) -> int:
    """Return the number of decimals that show this many significant digits of a standard error > 0."""
    return max(0, digits - 1 - int(f"{error:.{digits - 1}e}".partition("e")[2]))


def fixed_point(value: float | None, places: int, missing: str = "-") -> str:
    """Return a number with this many decimals, and without a sign for zero; `missing` for none or for NaN."""
    number = finite(value)
    return missing if number is None else f"{round(number, places) + 0.0:,.{places}f}"


def finite(value: float | None) -> float | None:
    """Return a number as a JSON value; None if it is None or not finite."""
    if value is None or isinstance(value, int):
        return value
    return float(value) if math.isfinite(value) else None


def megabytes(num_bytes: int) -> str:
    """Return a size in bytes as text, such as "1.2 MB"."""
    return f"{num_bytes / 1e6:,.1f} MB" if num_bytes >= 50_000 else f"{num_bytes / 1e3:,.1f} kB"


class _StderrHandler(logging.Handler):
    """A handler that prints records on the current stderr, which a progress bar may have replaced."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        print(f"alsim: {record.getMessage()}", file=sys.stderr)


@contextmanager
def muted(logger: str) -> Iterator[None]:
    """Discard the messages of a logger within the context."""
    log = logging.getLogger(logger)
    disabled, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = disabled


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
