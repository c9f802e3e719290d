"""Places of the exceptions that the policies of users raise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from alsim.errors import AlsimError
from alsim.policies.base import Policy

NOTE = "raised by the policy "
"""Beginning of the note of `naming`."""
ALSIM = ("alsim", "contextlib")
"""Packages whose frames are not the user's code."""


@contextmanager
def naming(policy: Policy) -> Iterator[None]:
    """Add a note to an exception of a policy: the policy's name, and the file and line of the user's code.

    Raises AlsimError if the policy ends the program: otherwise, a command would end without a message.
    """
    try:
        yield
    except SystemExit as ended:
        place = place_of(ended)
        if type(ended) is not SystemExit or not place:  # of a signal
            raise
        raise AlsimError(
            f"the policy {policy.name!r} ended the program with sys.exit({ended.code!r}){place}; raise an exception "
            "instead"
        ) from None
    except Exception as error:
        place = place_of(error)
        if place or repr(policy.name) not in str(error):
            error.add_note(f"{NOTE}{policy.name!r}{place}")
        raise


def policy_note(error: BaseException) -> str | None:
    """Return the note of `naming` if an exception was raised in a user's code of a policy, else None."""
    notes = [note for note in getattr(error, "__notes__", ()) if note.startswith(NOTE)]
    return notes[0] if notes and own_traceback(error) is not None else None


def own_traceback(error: BaseException) -> TracebackType | None:
    """Return the traceback of an exception from the first frame on that a call of a policy runs outside of alsim."""
    trace, calls = error.__traceback__, False
    while trace is not None and not (calls and _package(trace) not in ALSIM):
        calls = calls or str(trace.tb_frame.f_globals.get("__name__", "")).startswith("alsim.policies.")
        trace = trace.tb_next
    return trace


def _package(trace: TracebackType) -> str:
    """Return the name of the package whose code a frame runs."""
    return str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0]


def place_of(error: BaseException) -> str:
    """Return ", in FILE, line N" for the deepest line of the user's code in a traceback, "" if there is none.

    The user's code is the package of the first frame outside of alsim, as it may call other libraries.
    """
    package, place = "", ""
    trace = error.__traceback__
    while trace is not None:
        own = _package(trace)
        if not package and own not in ALSIM:
            package = own
        if package and own == package:
            place = f", in {trace.tb_frame.f_code.co_filename}, line {trace.tb_lineno}"
        trace = trace.tb_next
    return place


def add_place(error: AlsimError, name: str) -> None:
    """Add a note to an exception raised while a policy is created, if the user's code raised it."""
    if place := place_of(error):
        error.add_note(f"raised while the policy {name!r} was created{place}")


__all__ = ["add_place", "naming", "own_traceback", "place_of", "policy_note"]
