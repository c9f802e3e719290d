"""Parameters of tests that compile machine code for each dynamics."""

from typing import Any

import pytest

QUICK = ("fading",)
"""Dynamics whose machine code the session `tests` compiles."""


def case(name: str, *settings: Any, quick: bool = True, compiled: bool = True) -> Any:
    """Return the parameters of a test of a dynamics, with marks that select sessions: compiling takes most of the time.

    quick     whether `tests` compiles the kernels of QUICK with these settings
    compiled  whether `tests_ci` compiles those of the other dynamics; if not, only `interpreted` runs them
    """
    if quick and name in QUICK:
        return pytest.param(name, *settings)
    return pytest.param(name, *settings, marks=pytest.mark.ci if compiled else pytest.mark.interpreted)
