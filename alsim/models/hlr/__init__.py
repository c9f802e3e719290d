"""Half-life regression: recall decays exponentially, with a half-life that follows from earlier answers."""

from __future__ import annotations

from alsim.models.hlr.estimation import fit
from alsim.models.hlr.memory import HALF_LIVES, RECALLS, WEIGHTS, half_life, recall
from alsim.models.hlr.result import HLRFit

__all__ = ["HALF_LIVES", "RECALLS", "WEIGHTS", "HLRFit", "fit", "half_life", "recall"]
