"""Item response theory: response functions, ability, calibration, fit statistics, differential item functioning."""

from __future__ import annotations

from alsim.models.irt.ability import Abilities, Answers, Method, estimate_ability
from alsim.models.irt.calibration import fit
from alsim.models.irt.curves import (
    HasItemParameters,
    ItemParameters,
    information,
    probability,
    slope,
    standard_error,
    test_information,
)
from alsim.models.irt.dif import LikelihoodRatio, MantelHaenszel, likelihood_ratio, mantel_haenszel
from alsim.models.irt.fitted import IRTFit
from alsim.models.irt.items import CalibratedItems, read_items
from alsim.models.irt.maximisation import Priors
from alsim.models.irt.statistics import ItemFit, PatternFit, PersonFit, item_fit, pattern_fit, person_fit

__all__ = [
    "Abilities",
    "Answers",
    "CalibratedItems",
    "HasItemParameters",
    "IRTFit",
    "ItemFit",
    "ItemParameters",
    "LikelihoodRatio",
    "MantelHaenszel",
    "Method",
    "PatternFit",
    "PersonFit",
    "Priors",
    "estimate_ability",
    "fit",
    "information",
    "item_fit",
    "likelihood_ratio",
    "mantel_haenszel",
    "pattern_fit",
    "person_fit",
    "probability",
    "read_items",
    "slope",
    "standard_error",
    "test_information",
]
