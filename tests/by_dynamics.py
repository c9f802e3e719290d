"""Parameters of tests that compile machine code for each dynamics."""

from typing import Any

import pytest

QUICK = ("fatigue", "fading")
"""Dynamics whose machine code the session `tests` compiles; the others run in the interpreter, and in `tests_ci`."""


def case(name: str, *settings: Any, quick: bool = True) -> Any:
    """Return the parameters of a test of a dynamics, marked as slow if only `tests_ci` compiles its kernels.

    quick  whether `tests` compiles those of the dynamics QUICK with these settings
    """
    return pytest.param(name, *settings, marks=[] if quick and name in QUICK else [pytest.mark.ci])
