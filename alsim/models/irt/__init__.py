"""Item response theory: curves and information, ability."""

from __future__ import annotations

from alsim.models.irt.ability import Abilities, Answers, Method, estimate_ability
from alsim.models.irt.curves import (
    ItemParameters,
    information,
    probability,
    slope,
    standard_error,
    test_information,
)

__all__ = [
    "Abilities",
    "Answers",
    "ItemParameters",
    "Method",
    "estimate_ability",
    "information",
    "probability",
    "slope",
    "standard_error",
    "test_information",
]
