"""The installed command, quiet about Ctrl-C from its first moment on.

Beside the package, not in it: to import anything of the package takes the most part of that moment.
"""

import os
import signal
import sys
from types import FrameType


def main() -> None:
    """Import the command line and run it; Ctrl-C ends it with status 130."""
    listens = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # in a shell's background it does not
    if listens:
        signal.signal(signal.SIGINT, _leave)
    from alsim.cli import main as command

    try:
        if listens:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        command()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def _leave(number: int, frame: FrameType | None) -> None:
    """End at once: nothing is under way that would have to be cleaned up, and an import may swallow what is raised."""
    os._exit(128 + number)
