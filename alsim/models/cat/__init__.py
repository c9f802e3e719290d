"""Computerized adaptive testing: which item to ask next, of whom, and when to stop."""

from __future__ import annotations

from alsim.models.cat.design import CAT, Responder, Select
from alsim.models.cat.report import CATRun
from alsim.models.cat.session import Session

__all__ = ["CAT", "Responder", "Select", "Session", "CATRun"]
