"""Command-line application, to which the modules of this package add commands, and its entry point."""

from __future__ import annotations

import io
import os
import select
import signal
import sys
import traceback
from functools import cache
from typing import Annotated, Any, NoReturn

import typer

from alsim._version import __version__
from alsim.cli.command import Application
from alsim.cli.help import examples
from alsim.cli.output import Terminated, print_own_warnings, print_warning, printable
from alsim.errors import AlsimError

CHECK_FAILED, INVALID_INPUT, INTERRUPTED = 1, 2, 130
CLOSED_OUTPUT = 141
"""Status of a command whose stdout is a closed pipe: 128 + 13, the number of SIGPIPE, as of other commands."""

app = Application(
    name="alsim",
    help="Simulate adaptive learning: teaching policies, simulated learners and student models.",
    epilog=examples("alsim generate --policy rules -o by-rules", "alsim info by-rules", "alsim fit irt by-rules"),
    context_settings={"help_option_names": ["-h", "--help"]},
    subcommand_metavar="COMMAND ...",
)


def _print_version(value: bool) -> None:
    """Print the version and end, if requested."""
    if value:
        typer.echo(f"alsim {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", "-V", callback=_print_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Declare the options that precede the name of a command."""


def main() -> None:
    """Run the command line.

    Invalid input ends with one sentence on stderr and status 2, an exception of a user's policy with its traceback and
    status 2, Ctrl-C with one line and status 130, SIGTERM with one
    line and status 143, and a closed pipe on stdout with status 141.
    """
    _open_missing_streams()
    _escape_unencodable_characters()
    stdout = _duplicate_stdout()  # rich replaces stdout if the pipe is closed
    # SIGTERM raises an exception, as Ctrl-C does, so that commands remove their unfinished files.
    signal.signal(signal.SIGTERM, _terminate)
    print_own_warnings()
    try:
        try:
            _command().main(prog_name="alsim")  # the same name for python -m alsim
        finally:
            sys.stdout.flush()  # here, where an error can still be reported
    except BrokenPipeError:
        _discard_output()
        sys.exit(CLOSED_OUTPUT)
    except Terminated as ended:
        _end_interrupted(ended.args[0], *ended.args[1:])
    except SystemExit as ended:
        if (interrupt := _interrupt_of(ended)) is not None:
            _end_interrupted(INTERRUPTED, *interrupt.args)
        # typer and rich end with this status if the pipe is closed. For alsim, it means that a check failed.
        sys.exit(CLOSED_OUTPUT if ended.code == CHECK_FAILED and _is_closed_pipe(stdout) else ended.code)
    except KeyboardInterrupt as interrupt:
        _end_interrupted(INTERRUPTED, *interrupt.args)
    except (AlsimError, OSError, MemoryError) as error:
        _discard_output()
        print("alsim:", printable("; ".join([_message(error), *getattr(error, "__notes__", ())])), file=sys.stderr)
        sys.exit(INVALID_INPUT)
    except Exception as error:
        if not _print_policy_error(error):
            raise
        sys.exit(INVALID_INPUT)


@cache
def _command() -> Any:
    """Return the command with all subcommands. They take a tenth of a second to build."""
    return typer.main.get_command(app)


def _print_policy_error(error: Exception) -> bool:
    """Print an exception of a user's policy, with the traceback of the user's code; return whether it is one."""
    from alsim.policies.exceptions import own_traceback, policy_note

    note = policy_note(error)
    if note is None:
        return False
    _discard_output()
    print_warning(f"{type(error).__name__} {note}:")
    error.__notes__.remove(note)  # it is printed above the traceback
    traceback.print_exception(type(error), error, own_traceback(error))
    return True


def _interrupt_of(ended: SystemExit) -> KeyboardInterrupt | None:
    """Return the KeyboardInterrupt that typer has turned into an exit; None if there is none."""
    cause = getattr(ended.__context__, "__cause__", None)
    return cause if isinstance(cause, KeyboardInterrupt) else None


def _terminate(number: int, frame: Any) -> NoReturn:
    """Raise Terminated with the status of a command that a signal ended."""
    raise Terminated(128 + number)


def _end_interrupted(status: int, *hints: Any) -> NoReturn:
    """Print that the command was interrupted, and how to resume it, and end with a status."""
    _discard_output()
    print_warning("; ".join(["interrupted", *map(str, hints)]))
    sys.exit(status)


def _message(error: Exception) -> str:
    """Return a message for the user: for an error of the operating system, the file and the reason."""
    if isinstance(error, MemoryError):
        return f"out of memory: {error}" if str(error) else "out of memory"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def _open_missing_streams() -> None:
    """Replace closed standard streams, as after `alsim ... >&-`, by an empty input and outputs that discard text."""
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115  # open until the end
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  # open until the end


def _escape_unencodable_characters() -> None:
    """Print characters that the encoding of stdout or stderr lacks, such as ± in ASCII, as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _duplicate_stdout() -> int | None:
    """Return another descriptor of stdout, or None if stdout has no file."""
    try:
        return os.dup(sys.stdout.fileno())
    except OSError:
        return None


def _is_closed_pipe(descriptor: int | None) -> bool:
    """Return whether a descriptor is a pipe without a reader; False on Windows, which cannot tell."""
    if descriptor is None or sys.platform == "win32":
        return False
    poll = select.poll()
    poll.register(descriptor, 0)  # no events but errors
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _discard_output() -> None:
    """Discard unwritten output if stdout cannot take it; Python would report this at exit, with a traceback."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
