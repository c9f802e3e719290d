"""PufferLib 3: the vector environment as one of its native ones, which write to memory that they are handed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from alsim.arguments import read_positive
from alsim.bank.items import Bank
from alsim.config import Config
from alsim.envs.vector import AdaptiveLearningVectorEnv
from alsim.types import Buffers, Reason
from alsim.utils.optional import MissingExtra

try:
    import pufferlib
except ModuleNotFoundError as error:
    if error.name != "pufferlib":
        raise
    # No extra installs it: what it asks of NumPy and Gymnasium, alsim's own requirements exclude.
    raise MissingExtra(
        "alsim.envs.puffer needs pufferlib, which is not installed: pip install --no-deps pufferlib", name="pufferlib"
    ) from None

ENDINGS = tuple(reason for reason in Reason if reason)


class AdaptiveLearningPufferEnv(pufferlib.PufferEnv):  # type: ignore[misc]  # it has no types
    """N simulated learners as a `pufferlib.PufferEnv` of N agents.

    num_envs      lanes N, each an agent
    config        and bank, dynamics, observation, num_threads: as of `AdaptiveLearningVectorEnv`
    log_interval  steps between infos
    buf           arrays to write to, of PufferLib's own: parts of shared memory; None makes some
    seed          of the first reset, if that has none

    A lane whose episode ended begins the next in the same step; the last observation is not handed out, since
    PufferLib has no place for it. Rewards are float32, as PufferLib's.
    """

    def __init__(
        self,
        num_envs: int = 1,
        *,
        config: Config | Mapping[str, Any] | str | Path | None = None,
        bank: Bank | Mapping[str, Any] | str | Path | None = None,
        dynamics: Any = None,
        observation: str = "mastery",
        num_threads: int = 1,
        log_interval: int = 128,
        buf: Any = None,
        seed: int = 0,
    ) -> None:
        self.envs = AdaptiveLearningVectorEnv(
            num_envs,
            config=config,
            bank=bank,
            dynamics=dynamics,
            observation=observation,
            autoreset_mode=AutoresetMode.SAME_STEP,
            num_threads=num_threads,
        )
        self.single_observation_space = self.envs.single_observation_space
        self.single_action_space = self.envs.single_action_space
        self.num_agents = self.envs.num_envs
        self.log_interval = read_positive(log_interval, "log_interval")
        self._seed: int | None = seed
        self._statistics = Statistics(self.num_agents)
        self._steps = 0
        super().__init__(buf)
        self._out = self._buffers()

    def reset(self, seed: int | None = None) -> tuple[NDArray[np.float32], list[dict[str, float]]]:
        """Begin an episode in every lane: lane i is learner i of the seed, or goes on to its next episode.

        Returns the observations, written in place, and no infos.
        """
        seed, self._seed = self._seed if seed is None else seed, None
        observations, _ = self.envs.reset(seed=seed, out=self._buffers())
        for array in (self.rewards, self.terminals, self.truncations):
            array[:] = 0
        self._statistics = Statistics(self.num_agents)
        self._steps = 0
        return observations, []

    def step(self, actions: Any) -> tuple[Any, ...]:
        """Take every lane one interaction further.

        actions  integers (N,)

        Returns observations, rewards, terminals and truncations, written in place, and every `log_interval`
        steps one info: means over the episodes that ended since the last.
        """
        *arrays, infos = self.envs.step(actions, out=self._buffers())
        self._statistics.add(self.rewards, infos)
        self._steps += 1
        told = self._statistics.take() if self._steps % self.log_interval == 0 else []
        return *arrays, told

    def close(self) -> None:
        """Close the environment."""
        self.envs.close()

    def _buffers(self) -> Buffers:
        """Return PufferLib's arrays: the same object while they are the same arrays, which is quicker."""
        arrays = (self.observations, self.rewards, self.terminals, self.truncations)
        known: Any = getattr(self, "_out", None)
        if known is None or any(a is not b for a, b in zip(arrays, known, strict=True)):
            self._out = Buffers(*arrays)
        return self._out


class Statistics:
    """Returns and lengths of episodes, and why they ended."""

    def __init__(self, lanes: int) -> None:
        self._returns = np.zeros(lanes)
        self._lengths = np.zeros(lanes, np.int64)
        self._ended: list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]] = []

    def add(self, rewards: NDArray[Any], infos: dict[str, Any]) -> None:
        """Count a step of all lanes."""
        self._returns += rewards
        self._lengths += 1
        if "final_info" in infos:
            ended = infos["_final_info"]
            reasons = infos["final_info"]["termination_reason"][ended]
            self._ended.append((self._returns[ended], self._lengths[ended], reasons))
            self._returns[ended] = 0
            self._lengths[ended] = 0

    def take(self) -> list[dict[str, float]]:
        """Return the means over the episodes since the last time, in a list; an empty one if none ended."""
        if not self._ended:
            return []
        returns, lengths, reasons = (np.concatenate(column) for column in zip(*self._ended, strict=True))
        self._ended = []
        told = {"episode_return": float(returns.mean()), "episode_length": float(lengths.mean())}
        return [told | {str(reason.word): float((reasons == reason).mean()) for reason in ENDINGS}]
