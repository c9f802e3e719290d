"""Packages that alsim does without until somebody asks for what needs them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from alsim.errors import AlsimError


class MissingExtra(ImportError, AlsimError):
    """A package that is not installed: the message says what needs it, and how to install it."""


def require(module: str, extra: str, what: str) -> Any:
    """Return a module of an optional package.

    module  as in an import statement
    extra   of alsim's, that installs it
    what    needs it; begins the sentence

    Raises MissingExtra, which says what to install. A package that is there and fails to import raises its own.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        # What is missing is the package itself, or something in it: not a package that it needs.
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise
        package = module.partition(".")[0]
        raise MissingExtra(
            f"{what} needs {package}, which is not installed: pip install 'alsim[{extra}]'", name=package
        ) from None
