"""Adapter for PufferLib 3: a native vector environment, which writes to memory that PufferLib provides."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alsim.arguments import read_positive
from alsim.bank.items import Bank
from alsim.config import Config
from alsim.envs import AdaptiveLearningVectorEnv
from alsim.types import Buffers, Reason
from alsim.utils.optional import MissingExtra

try:
    import pufferlib
except ModuleNotFoundError as error:
    if error.name != "pufferlib":
        raise
    # No extra installs it: its requirements on NumPy and Gymnasium conflict with those of alsim.
    raise MissingExtra(
        "alsim.envs.puffer needs pufferlib, which is not installed: pip install --no-deps pufferlib", name="pufferlib"
    ) from None

END_REASONS = tuple(reason for reason in Reason if reason)


class AdaptiveLearningPufferEnv(pufferlib.PufferEnv):  # type: ignore[misc]  # the package has no type annotations
    """N simulated learners as a `pufferlib.PufferEnv` of N agents.

    num_envs      number of lanes N; each lane is an agent
    config, bank, dynamics, observation, num_threads, max_episode_steps, action_mask, masked_actions
                  see `AdaptiveLearningVectorEnv`
    log_interval  number of steps between infos
    buf           arrays of PufferLib to write to, usually in shared memory; None allocates new ones
    seed          seed of the first reset, if `reset` is called without one

    A lane whose episode ended starts the next one in the same step. The last observation of an episode is not
    returned, because PufferLib has no field for it. Rewards are float32, as PufferLib requires.
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
        max_episode_steps: int | None = None,
        log_interval: int = 128,
        buf: Any = None,
        seed: int = 0,
        action_mask: Any = None,
        masked_actions: str = "refuse",
    ) -> None:
        self.envs = AdaptiveLearningVectorEnv(
            num_envs,
            config=config,
            bank=bank,
            dynamics=dynamics,
            observation=observation,
            autoreset_mode="SameStep",
            num_threads=num_threads,
            max_episode_steps=max_episode_steps,
            action_mask=action_mask,
            masked_actions=masked_actions,
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
        """Start an episode in every lane.

        seed  lane i becomes learner i of this seed. None starts each learner's next episode; at the first reset it
              takes the seed of the constructor

        Returns the observations (N, R) float32, written in place, and an empty list of infos. Raises TypeError or
        ValueError for an invalid seed.
        """
        seed, self._seed = self._seed if seed is None else seed, None
        observations, _ = self.envs.reset(seed=seed, out=self._buffers())
        for array in (self.rewards, self.terminals, self.truncations):
            array[:] = 0
        self._statistics = Statistics(self.num_agents)
        self._steps = 0
        return observations, []

    def step(self, actions: Any) -> tuple[Any, ...]:
        """Perform one interaction in every lane.

        actions  integers (N,) in [0, 9 L)

        Returns observations (N, R), rewards, terminals and truncations, (N,) each, written in place, and a list of
        infos. Every `log_interval` steps, the list contains one dict of means over the episodes that ended since
        the previous one; otherwise it is empty. Raises the errors of `AdaptiveLearningVectorEnv.step`.
        """
        *arrays, infos = self.envs.step(actions, out=self._buffers())
        self._statistics.add(self.rewards, infos)
        self._steps += 1
        return *arrays, self._statistics.take() if self._steps % self.log_interval == 0 else []

    def action_masks(self) -> NDArray[np.bool_]:
        """Return True for each action that is allowed in a lane, (N, A), see `AdaptiveLearningVectorEnv`."""
        return self.envs.action_masks()

    def close(self) -> None:
        """Close the environment."""
        self.envs.close()

    def _buffers(self) -> Buffers:
        """Return PufferLib's arrays as Buffers.

        The same object is returned while the arrays are the same, because `step` then skips its checks.
        """
        arrays = (self.observations, self.rewards, self.terminals, self.truncations)
        previous: Any = getattr(self, "_out", None)
        if previous is None or any(a is not b for a, b in zip(arrays, previous, strict=True)):
            self._out = Buffers(*arrays)
        return self._out


class Statistics:
    """Returns, lengths and termination reasons of the episodes that have ended since the last call of `take`."""

    def __init__(self, lanes: int) -> None:
        self._returns = np.zeros(lanes)
        self._lengths = np.zeros(lanes, np.int64)
        self._ended: list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]] = []

    def add(self, rewards: NDArray[Any], infos: dict[str, Any]) -> None:
        """Add one step of all lanes: rewards (N,), and infos of the mode SAME_STEP."""
        self._returns += rewards
        self._lengths += 1
        if "final_info" in infos:
            ended = infos["_final_info"]
            reasons = infos["final_info"]["termination_reason"][ended]
            self._ended.append((self._returns[ended], self._lengths[ended], reasons))
            self._returns[ended] = 0
            self._lengths[ended] = 0

    def take(self) -> list[dict[str, float]]:
        """Return one dict of means over the episodes since the last call, in a list; an empty list if none ended."""
        if not self._ended:
            return []
        returns, lengths, reasons = (np.concatenate(column) for column in zip(*self._ended, strict=True))
        self._ended = []
        means = {"episode_return": float(returns.mean()), "episode_length": float(lengths.mean())}
        return [means | {str(reason.word): float((reasons == reason).mean()) for reason in END_REASONS}]
