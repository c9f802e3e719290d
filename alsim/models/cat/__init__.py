"""Computerized adaptive testing: item selection, ability estimation and stopping rules."""

from __future__ import annotations

from alsim.models.cat.design import CAT, STOP_REASONS, Responder, Select
from alsim.models.cat.drawing import draw_test
from alsim.models.cat.results import CATRun
from alsim.models.cat.session import Session

__all__ = ["CAT", "Responder", "Select", "Session", "CATRun", "STOP_REASONS", "draw_test"]
