"""The application that commands are added to, and how it ends."""

from __future__ import annotations

import signal
import sys

import typer

from alsim.cli.output import printable
from alsim.errors import AlsimError

app = typer.Typer(
    name="alsim",
    help="A flight simulator for adaptive learning.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line; bad input ends in one sentence and status 2, Ctrl-C in 130 (by typer)."""
    # As Ctrl-C does: whatever is half-written is cleaned up on the way out.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        app()
    except (AlsimError, OSError, MemoryError) as error:
        said = f"memory is too short: {error}" if isinstance(error, MemoryError) else str(error)
        print("alsim:", printable("; ".join([said, *getattr(error, "__notes__", ())])), file=sys.stderr)
        sys.exit(2)
