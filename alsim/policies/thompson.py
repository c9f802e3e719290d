"""Thompson sampling."""

from __future__ import annotations

from alsim.policies.bandits.thompson import choose, propensities

__all__ = ["choose", "propensities"]
