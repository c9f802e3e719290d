"""The command line: exit status 0 done, 1 a check failed, 2 bad input, said in one sentence on stderr."""

from alsim.cli import banks, checks, datasets, export, fitting, settings, training  # noqa: F401  # each adds its commands to the app
from alsim.cli.app import app, main

__all__ = ["app", "main"]
