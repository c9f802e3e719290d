"""Adapter for Stable-Baselines3: N learners as a VecEnv."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, NoReturn

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from numpy.typing import NDArray

from alsim.arguments import fresh_seed, read_learner, read_positive, read_seed
from alsim.bank.items import Bank
from alsim.config import Config
from alsim.envs.infos import REASON_WORDS
from alsim.envs.raw_infos import RawInfoVectorEnv
from alsim.envs.registration import ENVIRONMENT_ID
from alsim.envs.sb3_lane import Lane
from alsim.errors import AlsimError
from alsim.types import FIRST_HELD_OUT, Bools, Codes, Floats, Reason
from alsim.utils.optional import require

if TYPE_CHECKING:
    from stable_baselines3.common.monitor import Monitor
    from stable_baselines3.common.vec_env import VecEnv
else:
    VecEnv = require("stable_baselines3.common.vec_env", "sb3", "alsim.envs.sb3").VecEnv
    Monitor = require("stable_baselines3.common.monitor", "sb3", "alsim.envs.sb3").Monitor

TIME_DECIMALS = 6
"""Decimals of seconds in episode infos, as in Stable-Baselines3's Monitor."""

BATCHED_METHODS = {"action_masks": "action_masks", "render": "get_images"}
"""Methods of a lane, and the methods of the VecEnv that return their results for all lanes."""


def make(
    num_envs: int = 256,
    *,
    config: Config | Mapping[str, Any] | str | Path | None = None,
    bank: Bank | Mapping[str, Any] | str | Path | None = None,
    dynamics: Any = None,
    observation: str = "mastery",
    seed: int | None = None,
    first_learner: int = 0,
    held_out: bool = False,
    num_threads: int = 1,
    render_mode: str | None = None,
    max_episode_steps: int | None = None,
    action_mask: Any = None,
    masked_actions: str = "refuse",
) -> AdaptiveLearningVecEnv:
    """Return N learners as a Stable-Baselines3 VecEnv.

    num_envs       number of lanes N
    config, bank, dynamics, observation, num_threads, render_mode, max_episode_steps, action_mask, masked_actions
                   see `AdaptiveLearningVectorEnv`
    seed           seed of the first reset; the seed of a Stable-Baselines3 model, if it has one, replaces it
    first_learner  lane i is learner first_learner + i of the seed
    held_out       True adds 2**31 to these learners, which selects learners reserved for evaluation (clause S11.4)

    Raises ValueError or TypeError for invalid arguments.
    """
    lanes, first = read_positive(num_envs, "num_envs"), read_learner(first_learner, "first_learner")
    if first + lanes > FIRST_HELD_OUT:
        raise AlsimError(
            f"first_learner + num_envs must be at most 2**31; got first_learner = {first} and num_envs = {lanes}: "
            "learners from 2**31 on are reserved for evaluation, and held_out=True selects them"
        )
    rules: dict[str, Any] = {"config": config, "bank": bank, "dynamics": dynamics}
    rules |= {"observation": observation, "max_episode_steps": max_episode_steps}
    rules |= {"action_mask": action_mask, "masked_actions": masked_actions}
    envs = RawInfoVectorEnv(
        lanes,
        **rules,
        autoreset_mode="SameStep",
        copy=False,  # `step_wait` copies: Stable-Baselines3 keeps arrays for longer than the environment does
        info="full",  # records mastery for `final_mastery`; observations of "responses" do not contain it
        num_threads=num_threads,
        render_mode=render_mode,
    )
    envs.spec = _spec(rules)
    return AdaptiveLearningVecEnv(envs, first + FIRST_HELD_OUT * bool(held_out), seed)


def _spec(rules: Mapping[str, Any]) -> EnvSpec:
    """Return the registered spec with the arguments that differ from their defaults."""
    defaults = {"observation": "mastery", "masked_actions": "refuse"}
    given = {key: value for key, value in rules.items() if value is not None and defaults.get(key) is not value}
    return replace(gymnasium.spec(ENVIRONMENT_ID), kwargs=given)


class SharedEmptyInfo(dict[str, Any]):
    """The empty info that all lanes without an ended episode share. It is read-only."""

    def _raise(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError(
            "lanes whose episode continues share one empty info, which is read-only: write to a copy, "
            "infos[i] = dict(infos[i])"
        )

    __setitem__ = __ior__ = setdefault = update = _raise

    def __copy__(self) -> dict[str, Any]:
        """Return an empty dictionary that can be written to."""
        return {}

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        """Return an empty dictionary that can be written to; within a list of infos, this info.

        All lanes of a copied list still share one object, so it must stay read-only. Pickle is the same.
        """
        return self if memo else {}


class AdaptiveLearningVecEnv(VecEnv):
    """N learners as a Stable-Baselines3 VecEnv; `make` creates one.

    The info of an episode's last step contains `terminal_observation`, `TimeLimit.truncated`, `episode` (return `r`,
    length `l`, and `t`, seconds since the environment was created), `final_mastery` and `termination_reason`. All
    other lanes share one empty info. Rewards are float32. All returned arrays belong to the caller.

    envs           the vector environment, in mode SAME_STEP
    first_learner  lane i is learner first_learner + i
    seed           seed of the first reset
    """

    def __init__(self, envs: RawInfoVectorEnv, first_learner: int, seed: int | None) -> None:
        self.envs = envs
        self._lanes = [Lane(envs, index) for index in range(envs.num_envs)]
        self._learners = first_learner + np.arange(envs.num_envs)
        self._was_reset, self._created_at = False, perf_counter()
        self._steps, self._returns = 0, np.zeros(envs.num_envs)
        self._first_steps = np.zeros(envs.num_envs, np.int64)  # steps before each lane's current episode
        self._actions: NDArray[Any] = np.zeros(0, np.int64)
        self._empty_infos: list[dict[str, Any]] = [SharedEmptyInfo()] * envs.num_envs
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)
        # `VecEnv` lists render modes only: videos also need the number of frames per second.
        self.metadata: dict[str, Any] = {**self._lanes[0].metadata, **self.metadata}
        if seed is not None:
            self.seed(seed)

    def __repr__(self) -> str:
        """Return the numbers of lanes and of learning outcomes, and the first learner."""
        return (
            f"{type(self).__name__}(num_envs={self.num_envs}, num_los={self.envs.bank.num_los}, "
            f"first_learner={self._learners[0]})"
        )

    def seed(self, seed: int | None = None) -> list[int | None]:
        """Set the seed of the next reset, after which lane i is learner first_learner + i of this seed.

        seed  an integer in [0, 2**64); None takes one from NumPy's global generator, as Stable-Baselines3 does

        Returns a list of N equal seeds, one per lane. Raises TypeError or ValueError for an invalid seed.
        """
        if seed is None:
            # Stable-Baselines3 seeds the global generator, so that its runs are reproducible without a seed here.
            seed = int(np.random.randint(0, 2**32 - 1, dtype=np.uint32))  # noqa: NPY002
        self._seeds: list[int | None] = [read_seed(seed)] * self.num_envs
        return self._seeds

    def set_options(self, options: Any = None) -> None:
        """Raise AlsimError unless the options are empty: resets of this environment have none."""
        if options and any(options if isinstance(options, list) else [options]):
            raise AlsimError(f"reset options must be empty; got {options!r}: pass seed and first_learner to make()")

    def reset(self) -> Floats:
        """Start an episode in every lane and return the observations (N, R).

        After a call of `seed`, each learner of that seed starts its first episode. Otherwise each learner starts its
        next episode. The first reset without a seed takes one from the operating system.
        """
        seed = self._seeds[0]
        if seed is None and not self._was_reset:
            seed = fresh_seed()
        options = None if seed is None else {"learner": self._learners}
        observations, _ = self.envs.reset(seed=seed, options=options)
        self._reset_seeds()
        self._returns[:], self._first_steps[:] = 0, self._steps
        self.reset_infos = self._empty_infos.copy()
        self._was_reset = True
        return observations.copy()

    def step_async(self, actions: NDArray[Any]) -> None:
        """Store the actions (N,) for the next `step_wait`."""
        self._actions = actions

    def step_wait(self) -> tuple[Floats, Floats, Bools, list[dict[str, Any]]]:
        """Perform one interaction in every lane.

        Returns observations (N, R) float32, rewards (N,) float32, dones (N,) bool, and a list of N infos. Raises the
        errors of `AdaptiveLearningVectorEnv.step`.
        """
        observations, rewards, _, _, raw = self.envs.step(self._actions)
        self._steps += 1
        self._returns += rewards
        infos = self._empty_infos.copy()
        if raw["count"]:
            self._add_ended(infos, raw["reason"], raw["final"])
        return observations.copy(), rewards.astype(np.float32), raw["reason"] != 0, infos

    def _add_ended(self, infos: list[dict[str, Any]], reason: Codes, final: Floats) -> None:
        """Add the infos of the episodes that ended to `infos`, and reset the counters of their lanes."""
        lanes = np.flatnonzero(reason)
        seconds = round(perf_counter() - self._created_at, TIME_DECIMALS)
        lengths = self._steps - self._first_steps[lanes]
        for lane, row, code, episode_return, length, mastery in zip(
            lanes.tolist(),
            final[lanes],
            reason[lanes].tolist(),
            self._returns[lanes].tolist(),
            lengths.tolist(),
            self.envs.final_mastery(lanes).tolist(),
            strict=True,
        ):
            infos[lane] = {
                "terminal_observation": row,
                "TimeLimit.truncated": code == Reason.STEP_LIMIT,
                "episode": {"r": episode_return, "l": length, "t": seconds},
                "final_mastery": mastery,
                "termination_reason": REASON_WORDS[code],
            }
        self._returns[lanes], self._first_steps[lanes] = 0, self._steps

    def close(self) -> None:
        """Stop the threads of the environment."""
        self.envs.close()

    def action_masks(self) -> Bools:
        """Return True for each action that is allowed in a lane, (N, A), see `AdaptiveLearningVectorEnv`."""
        return self.envs.action_masks()

    def get_images(self) -> list[Any]:
        """Return a picture (H, W, 3) uint8 of each lane, for `render`; a list of None without a render mode."""
        frames = self.envs.render()
        return [None] * self.num_envs if frames is None else list(frames)

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return an attribute of each lane in `indices`, see `Lane`. Raises AttributeError for other names."""
        return [getattr(lane, attr_name) for lane in self._selected(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Set an attribute of each lane in `indices`, for `get_attr`. It has no effect on the simulation.

        Raises AlsimError for attributes of `Lane`, which are fixed when the environment is created.
        """
        if hasattr(Lane, attr_name):
            raise AlsimError(
                f"the attribute {attr_name!r} of a lane is read-only: pass config, bank and other arguments to make()"
            )
        for lane in self._selected(indices):
            setattr(lane, attr_name, value)

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """Call a method of each lane in `indices`, see `Lane`, and return a list of the results.

        Raises AttributeError for other names.
        """
        lanes = self._selected(indices)
        if method_name in BATCHED_METHODS:  # once for all lanes, which is much faster
            rows = getattr(self, BATCHED_METHODS[method_name])(*method_args, **method_kwargs)
            return [rows[lane.index] for lane in lanes]
        return [getattr(lane, method_name)(*method_args, **method_kwargs) for lane in lanes]

    def env_is_wrapped(self, wrapper_class: type[Any], indices: Any = None) -> list[bool]:
        """Return for each lane in `indices` whether it has the features of a wrapper: True only for `Monitor`.

        The infos of an episode's last step contain `episode`, as those of `Monitor` do.
        """
        return [wrapper_class is Monitor] * len(self._selected(indices))

    def _selected(self, indices: Any) -> list[Lane]:
        """Return the lanes of an index, of a list of indices, or all lanes if it is None."""
        return [self._lanes[index] for index in self._get_indices(indices)]
