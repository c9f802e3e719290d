"""A vector environment whose infos are the arrays of the simulator, for training loops."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.error import ResetNeeded

from alsim.envs.infos import InfoBuilder
from alsim.envs.learner_state import learner_state
from alsim.envs.vector import AdaptiveLearningVectorEnv
from alsim.mdp.actions import action_meanings
from alsim.simulator.simulator import Simulator
from alsim.types import Bools, Codes, Doubles, Floats, Longs


class RawInfoBuilder(InfoBuilder):
    """Builder that returns the arrays of a step unchanged. Gymnasium's infos, mostly unused here, would be slower."""

    def build(
        self,
        simulator: Simulator,
        reason: Codes,
        live: Bools,
        final: Floats,
        count: int,
        lanes: Longs | None = None,
    ) -> dict[str, Any]:
        """Return reason, final (M, R) and count, see `InfoBuilder.build`. Arrays are valid until the next step."""
        return {"reason": reason, "final": final.reshape(-1, self._width), "count": count}


class RawInfoVectorEnv(AdaptiveLearningVectorEnv):
    """A vector environment with the infos of `RawInfoBuilder`."""

    def __init__(self, num_envs: int, **arguments: Any) -> None:
        super().__init__(num_envs, **arguments)
        self.action_meanings = action_meanings(self.bank.num_los)
        self._infos = RawInfoBuilder(self._mode, "full", self.bank.num_los, self._simulator.width)

    def final_mastery(self, lanes: Longs) -> Doubles:
        """Return the mean mastery, (M,), after the last interaction in M lanes, before a reset in the same step."""
        return np.asarray(self._simulator.interaction.mastery_sum[lanes] / self.bank.num_los)

    def learner_state(self, lane: int) -> dict[str, Any]:
        """Return the state of the learner in a lane, with the keys of `AdaptiveLearningEnv.learner_state`.

        Raises gymnasium.error.ResetNeeded before the first reset.
        """
        if not self._was_reset:
            raise ResetNeeded("call reset() before learner_state")
        return learner_state(self._simulator, lane)


__all__ = ["RawInfoVectorEnv"]
