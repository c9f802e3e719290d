"""Optional dependencies, imported on first use."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from alsim.errors import AlsimError


class MissingExtra(ImportError, AlsimError):
    """Exception for an optional dependency that is not installed; the message names the command that installs it."""


DISTRIBUTIONS = {"stable_baselines3": "stable-baselines3", "sklearn": "scikit-learn", "PIL": "pillow"}
"""Names of distributions that differ from the name of their module."""


def require(module: str, extra: str, feature: str) -> Any:
    """Return a module of an optional dependency.

    module   name as in an import statement
    extra    extra of alsim that installs it
    feature  part of alsim that needs it, for the message

    Raises MissingExtra with the command that installs it. If the package is installed but fails to import, its own
    error is raised.
    """
    package = module.partition(".")[0]
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        # An error about another module means that the package is installed and one of its dependencies is missing.
        if error.name is None or error.name.partition(".")[0] != package:
            raise
        name = DISTRIBUTIONS.get(package, package)
        raise MissingExtra(
            f"{feature} needs {name}, which is not installed; install it with `pip install '.[{extra}]'` "
            "in a clone of alsim",
            name=package,
        ) from None
