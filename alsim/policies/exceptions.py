"""Places of the exceptions that the policies of users raise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from alsim.errors import AlsimError
from alsim.policies.base import Policy


@contextmanager
def naming(policy: Policy) -> Iterator[None]:
    """Add a note to an exception of a policy: the policy's name, and the file and line of the user's code."""
    try:
        yield
    except Exception as error:
        place = place_of(error)
        if place or repr(policy.name) not in str(error):
            error.add_note(f"raised by the policy {policy.name!r}{place}")
        raise


def place_of(error: BaseException) -> str:
    """Return ", in FILE, line N" for the deepest line of the user's code in a traceback, "" if there is none.

    The user's code is the package of the first frame outside of alsim, as it may call other libraries.
    """
    package, place = "", ""
    trace = error.__traceback__
    while trace is not None:
        own = str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
        if not package and own not in ("alsim", "contextlib"):
            package = own
        if package and own == package:
            place = f", in {trace.tb_frame.f_code.co_filename}, line {trace.tb_lineno}"
        trace = trace.tb_next
    return place


def add_place(error: AlsimError, name: str) -> None:
    """Add a note to an exception raised while a policy is created, if the user's code raised it."""
    if place := place_of(error):
        error.add_note(f"raised while the policy {name!r} was created{place}")


__all__ = ["add_place", "naming", "place_of"]
