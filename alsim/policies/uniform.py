"""Every action equally likely."""

from __future__ import annotations

import numpy as np

from alsim.policies.base import PolicyDraws, View
from alsim.types import Doubles, Longs


class Uniform:
    """Chooses among all actions, each with probability 1 / A."""

    name = "uniform"

    def act(self, view: View, draws: PolicyDraws) -> tuple[Longs, Doubles]:
        """Return an action for each lane, and 1 / A."""
        return draws.integers(view.num_actions), np.full(view.num_lanes, 1 / view.num_actions)
