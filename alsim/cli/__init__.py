"""The command line.

Exit statuses: 0 success, 1 a failed check, 2 invalid input, which one sentence on stderr explains.
"""

from alsim.cli import banks, checks, datasets, export, fitting, settings, training  # noqa: F401  # registers the commands
from alsim.cli.app import app, main

__all__ = ["app", "main"]
