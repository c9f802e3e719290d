"""Adapter for the collectors of Tianshou 2. It does not import Tianshou."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alsim.bank.items import Bank
from alsim.config import Config
from alsim.envs import AdaptiveLearningVectorEnv


class AdaptiveLearningTianshouEnv:
    """N simulated learners for `tianshou.data.Collector`, in place of a `tianshou.env.BaseVectorEnv`.

    num_envs  number of lanes N
    config, bank, dynamics, observation, num_threads, max_episode_steps, render_mode
              see `AdaptiveLearningVectorEnv`

    A collector itself resets lanes whose episode is over, so autoreset is disabled. Infos are empty,
    because a replay buffer would store them for every step.
    """

    is_async = False

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
        render_mode: str | None = None,
    ) -> None:
        self.envs = AdaptiveLearningVectorEnv(
            num_envs,
            config=config,
            bank=bank,
            dynamics=dynamics,
            observation=observation,
            autoreset_mode="Disabled",
            info="none",
            num_threads=num_threads,
            max_episode_steps=max_episode_steps,
            render_mode=render_mode,
        )
        self.env_num = self.envs.num_envs
        self.action_space = self.envs.single_action_space
        self.observation_space = self.envs.single_observation_space
        self._seed: Any = None

    def __len__(self) -> int:
        """Return the number of lanes."""
        return self.env_num

    def __repr__(self) -> str:
        """Return the class and the number of lanes."""
        return f"{type(self).__name__}(num_envs={self.env_num})"

    def seed(self, seed: int | list[int] | None = None) -> list[Any]:
        """Set the seed of the next reset of all lanes, and return a list with the seed of each lane.

        seed  an integer makes lane i learner i of this seed; a list has one seed per lane; None: no seed
        """
        self._seed = seed
        return [seed] * self.env_num if seed is None or isinstance(seed, int) else list(seed)

    def reset(
        self, env_id: Any = None, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[Any]]:
        """Start an episode in the lanes `env_id`, or in all lanes if it is None.

        seed, options   see `AdaptiveLearningVectorEnv.reset`; without a seed, each learner's next episode starts.
                        A collector passes its `gym_reset_kwargs` at every reset. A seed in them therefore starts
                        the same episode every time. The method `seed` affects only one reset

        Returns observations (M, R) float32 and infos (M,), in the order of `env_id`. Raises the errors of
        `AdaptiveLearningVectorEnv.reset`.
        """
        if env_id is None:
            lanes = np.arange(self.env_num)
            if seed is None:
                seed, self._seed = self._seed, None
            observations, _ = self.envs.reset(seed=seed, options=options)
        else:
            lanes = np.atleast_1d(env_id)
            mask = np.zeros(self.env_num, np.bool_)
            mask[lanes] = True
            observations, _ = self.envs.reset(seed=seed, options={**(options or {}), "reset_mask": mask})
        return observations[lanes], _no_infos(len(lanes))

    def step(self, action: Any, id: Any = None) -> tuple[Any, ...]:
        """Perform one interaction in the lanes `id`, or in all lanes if it is None.

        action  integers (M,) in [0, 9 L), in the order of `id`

        Returns observations (M, R), rewards, terminated, truncated and infos, (M,) each. Raises the errors of
        `AdaptiveLearningVectorEnv.step_lanes`.
        """
        lanes = np.arange(self.env_num) if id is None else np.atleast_1d(id)
        *arrays, _ = self.envs.step_lanes(action, lanes)
        return *arrays, _no_infos(len(lanes))

    def render(self, **kwargs: Any) -> list[Any]:
        """Return the current frame of each lane, in a list; None for each lane if there is no render mode."""
        frames = None if self.envs.render_mode is None else self.envs.render()
        return [None] * self.env_num if frames is None else list(frames)

    def close(self) -> None:
        """Close the environment."""
        self.envs.close()


def _no_infos(lanes: int) -> NDArray[Any]:
    """Return an array (M,) of empty infos."""
    infos = np.empty(lanes, dtype=object)
    for lane in range(lanes):
        infos[lane] = {}
    return infos
