"""Adapter for the collectors of Tianshou 2. It does not import Tianshou."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.spaces import Dict, MultiBinary
from numpy.typing import NDArray

from alsim.bank.items import Bank
from alsim.config import Config
from alsim.envs import AdaptiveLearningVectorEnv
from alsim.mdp.actions import num_actions


class AdaptiveLearningTianshouEnv:
    """N simulated learners for `tianshou.data.Collector`, in place of a `tianshou.env.BaseVectorEnv`.

    num_envs  number of lanes N
    config, bank, dynamics, observation, num_threads, max_episode_steps, render_mode, action_mask, masked_actions
              see `AdaptiveLearningVectorEnv`

    A collector itself resets lanes whose episode is over, so autoreset is disabled. Infos are empty,
    because a replay buffer would store them for every step. With an action mask, each observation is a dictionary of
    the observation `obs` (R,) and the mask `mask` (A,), which Tianshou's policies read.
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
        action_mask: Any = None,
        masked_actions: str = "refuse",
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
            action_mask=action_mask,
            masked_actions=masked_actions,
        )
        self.env_num = self.envs.num_envs
        self.action_space: Any = self.envs.single_action_space
        self.observation_space: Any = self.envs.single_observation_space
        self._has_mask = action_mask is not None
        if self._has_mask:
            masks = MultiBinary(num_actions(self.envs.bank.num_los))
            self.observation_space = Dict({"obs": self.observation_space, "mask": masks})
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
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Start an episode in the lanes `env_id`, or in all lanes if it is None.

        seed, options   see `AdaptiveLearningVectorEnv.reset`; without a seed, each learner's next episode starts.
                        A collector passes its `gym_reset_kwargs` at every reset. A seed in them therefore starts
                        the same episode every time. The method `seed` affects only one reset

        Returns observations (M, R) float32, or (M,) dictionaries, and infos (M,), in the order of `env_id`. Raises the
        errors of `AdaptiveLearningVectorEnv.reset`.
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
        return self._with_masks(observations[lanes], lanes), _no_infos(len(lanes))

    def step(self, action: Any, id: Any = None) -> tuple[Any, ...]:
        """Perform one interaction in the lanes `id`, or in all lanes if it is None.

        action  integers (M,) in [0, 9 L), in the order of `id`

        Returns observations (M, R), or (M,) dictionaries, rewards, terminated, truncated and infos, (M,) each. Raises
        the errors of `AdaptiveLearningVectorEnv.step_lanes`.
        """
        lanes = np.arange(self.env_num) if id is None else np.atleast_1d(id)
        observations, *arrays, _ = self.envs.step_lanes(action, lanes)
        return self._with_masks(observations, lanes), *arrays, _no_infos(len(lanes))

    def action_masks(self) -> NDArray[np.bool_]:
        """Return True for each action that is allowed in a lane, (N, A), see `AdaptiveLearningVectorEnv`."""
        return self.envs.action_masks()

    def _with_masks(self, observations: NDArray[np.float32], lanes: NDArray[Any]) -> NDArray[Any]:
        """Return observations (M, R), or with an action mask, dictionaries (M,) in an array of objects."""
        if not self._has_mask:
            return observations
        rows = np.empty(len(lanes), dtype=object)
        for index, (row, mask) in enumerate(zip(observations, self.envs.action_masks()[lanes], strict=True)):
            rows[index] = {"obs": row, "mask": mask}
        return rows

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
