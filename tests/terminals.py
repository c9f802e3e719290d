"""Processes that a test ends as a terminal would."""

import signal


def as_of_a_terminal() -> None:
    """Take up Ctrl-C again, which whatever a shell runs in the background is told to ignore; a `preexec_fn`."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
