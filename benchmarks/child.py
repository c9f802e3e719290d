"""Child processes, for measurements that need a new process: start-up, peak memory, one core per process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def start(*arguments: object, **environment: str) -> subprocess.Popen[str]:
    """Start Python with these arguments, so that it can import `benchmarks`.

    It writes bytecode also where an environment variable of a container forbids it: a later start then is a warm one.
    """
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**inherited, "PYTHONPATH": path, **environment},
    )


def output_of(process: subprocess.Popen[str]) -> Any:
    """Wait for the end of a child process, and return its output, which is JSON."""
    output, _ = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"{process.args} exited with status {process.returncode}")
    return json.loads(output)


def signal(process: subprocess.Popen[str]) -> None:
    """Send an empty line to a child process."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def answer(process: subprocess.Popen[str]) -> Any:
    """Return the next line of a child process, which is JSON."""
    assert process.stdout is not None
    return json.loads(process.stdout.readline())
