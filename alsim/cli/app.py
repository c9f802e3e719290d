"""Command-line application, to which the modules of this package add commands, and its entry point."""

from __future__ import annotations

import signal
import sys

import typer

from alsim.cli.output import print_plugin_warnings, printable
from alsim.errors import AlsimError

app = typer.Typer(
    name="alsim",
    help="Simulate adaptive learning: teaching policies, simulated learners and student models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # the panels of rich truncate long names at 80 columns; plain help wraps them
)


def main() -> None:
    """Run the command line.

    Invalid input ends with one sentence on stderr and status 2, Ctrl-C with status 130, and SIGTERM with status 143.
    """
    # SIGTERM raises an exception, as Ctrl-C does, so that commands remove their unfinished files.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    print_plugin_warnings()
    try:
        app()
    except (AlsimError, OSError, MemoryError) as error:
        message = f"out of memory: {error}" if isinstance(error, MemoryError) else str(error)
        print("alsim:", printable("; ".join([message, *getattr(error, "__notes__", ())])), file=sys.stderr)
        sys.exit(2)
