"""Processes of their own, for what depends on a fresh one: start-up, peak memory, one core each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def start(*arguments: object, **environment: str) -> subprocess.Popen[str]:
    """Start Python with these arguments, where `benchmarks` can be imported."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path, **environment},
    )


def told(process: subprocess.Popen[str]) -> Any:
    """Wait for the end of a child, and return what it printed, JSON."""
    printed, _ = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"{process.args} ended with status {process.returncode}")
    return json.loads(printed)


def tell(process: subprocess.Popen[str]) -> None:
    """Send a child an empty line."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def answer(process: subprocess.Popen[str]) -> Any:
    """Return the next line that a child prints, JSON."""
    assert process.stdout is not None
    return json.loads(process.stdout.readline())
