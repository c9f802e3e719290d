"""Item response theory: curves and information, ability, calibration, fit, and differential item functioning."""

from __future__ import annotations

from alsim.models.irt.ability import Abilities, Answers, Method, estimate_ability
from alsim.models.irt.calibration import fit
from alsim.models.irt.curves import (
    ItemParameters,
    information,
    probability,
    slope,
    standard_error,
    test_information,
)
from alsim.models.irt.fits import IRTFit
from alsim.models.irt.maximisation import Priors

__all__ = [
    "Abilities",
    "Answers",
    "IRTFit",
    "ItemParameters",
    "Method",
    "Priors",
    "estimate_ability",
    "fit",
    "information",
    "probability",
    "slope",
    "standard_error",
    "test_information",
]
