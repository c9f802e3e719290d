"""Programs that run on a terminal of their own."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from typing import Any

PATIENCE = 120
"""Seconds after which a test fails whose program neither prints what is expected nor ends."""


class Terminal:
    """A program whose streams are a terminal, unless others are given. Every wait has an end.

    args     command line
    options  further arguments of subprocess.Popen

    With `with`, the program is killed at the end of the block, if it still runs.
    """

    def __init__(self, args: Sequence[str], **options: Any) -> None:
        self._ours, theirs = pty.openpty()
        terminal = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
        self.process = subprocess.Popen(args, start_new_session=True, **(terminal | options))
        os.close(theirs)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)

    def type(self, text: str) -> None:
        """Type a text, as a user would."""
        os.write(self._ours, text.encode())

    def read_until(self, text: str) -> str:
        """Return what the program prints up to `text`."""
        output, deadline = b"", time.monotonic() + PATIENCE
        while text.encode() not in output:
            assert time.monotonic() < deadline, output
            output += self._read()
        return output.decode()

    def read_all(self) -> str:
        """Return what the program prints until it closes the terminal."""
        output, deadline = b"", time.monotonic() + PATIENCE
        while True:
            assert time.monotonic() < deadline, output
            try:
                output += self._read()
            except OSError:  # Linux raises it at the end of a terminal
                return output.decode()

    def interrupt_until(self, text: str) -> str:
        """Send SIGINT until the program prints `text`, and return what it prints.

        A signal that arrives immediately before a blocking read is noticed only after it: a user presses Ctrl-C again.
        """
        output, deadline, printed = b"", time.monotonic() + PATIENCE, b""
        while text.encode() not in output:
            assert time.monotonic() < deadline, output
            if not printed:
                self.process.send_signal(signal.SIGINT)
            printed = self._read()
            output += printed
        return output.decode()

    def _read(self) -> bytes:
        """Return what was printed; nothing if the program is silent for 5 seconds."""
        ready, _, _ = select.select([self._ours], [], [], 5)
        return os.read(self._ours, 4096) if ready else b""
