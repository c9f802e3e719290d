"""Lanes of simulated learners, with final mastery, give-ups, and a state for checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alsim.bank.items import Bank
from alsim.config import Config
from alsim.envs.raw_infos import RawInfoVectorEnv
from alsim.envs.snapshots import take_snapshot
from alsim.jit.structs import leaves, with_leaves
from alsim.training.lanes import Lanes, MaskFunction
from alsim.types import Bools, Floats, Observation, Reason, f32

RETURNS, LENGTHS, LEARNERS = "returns", "lengths", "learners."
"""Names of the arrays of a state; the third one precedes the name of a field of the learners."""


class SimulatedLanes(Lanes):
    """N simulated learners: lane i is learner i of the seed.

    masks  function of the observations, see `Lanes`
    """

    env: RawInfoVectorEnv

    def __init__(
        self,
        num_lanes: int,
        seed: int,
        *,
        config: Config,
        bank: Bank,
        observation: Observation,
        num_threads: int = 1,
        masks: MaskFunction | None = None,
    ) -> None:
        env = RawInfoVectorEnv(
            num_lanes,
            config=config,
            bank=bank,
            observation=observation,
            autoreset_mode="SameStep",
            copy=False,  # the training loop copies what it keeps
            info="full",  # records mastery, which observations of "responses" do not contain
            num_threads=num_threads,
        )
        super().__init__(env, seed, masks)

    @property
    def state(self) -> dict[str, NDArray[Any]]:
        """The learners and their episodes so far, as arrays by name."""
        learners = self.env.snapshot().learners
        columns = {f"{LEARNERS}{name}": column for name, column in leaves(learners)}
        return {RETURNS: self.returns, LENGTHS: self.lengths, **columns}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Restore a state, of as many lanes under the same rules."""
        now = self.env.snapshot()
        columns = iter([state[f"{LEARNERS}{name}"] for name, _ in leaves(now.learners)])
        learners = with_leaves(now.learners, lambda column: next(columns))
        observations, _ = self.env.restore(take_snapshot(now.config, now.bank, now.observation, learners))
        self.returns[:], self.lengths[:] = state[RETURNS], state[LENGTHS]
        self._observe(observations, {})

    def _final_statistics(self, ended: Bools, infos: Mapping[str, Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        lanes = np.flatnonzero(ended)
        gave_up = infos["reason"][lanes] == Reason.CRITICAL_FRUSTRATION
        return self.env.final_mastery(lanes), gave_up.astype(np.float64)

    def _final_observations(self, infos: Mapping[str, Any], truncated: Bools) -> Floats:
        return np.asarray(infos["final"][np.flatnonzero(truncated)], f32)
