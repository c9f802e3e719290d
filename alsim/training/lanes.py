"""The lanes of a vector environment, with one meaning of a step under every mode of automatic resets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

from alsim.training.settings import TrainingError
from alsim.types import Bools, Floats, Longs, f32

ACTION_MASK = "action_mask"
"""Key of the masks in the infos of an environment."""
MaskFunction = Callable[[Floats], Any]
"""Function that returns the masks (N, A), or one mask (A,), for observations (N, R): True for allowed actions."""


class Outcome(NamedTuple):
    """Results of a step, (N,) each unless noted."""

    rewards: Floats
    terminated: Bools
    truncated: Bools
    final: Floats | None
    """(K, R) last observations of the K truncated lanes, in order; None if they are the current observations."""


class Episodes(NamedTuple):
    """Episodes that ended, (E,) each. The last two are NaN if the environment does not report them."""

    returns: NDArray[Any]
    lengths: NDArray[Any]
    final_mastery: NDArray[Any]
    gave_up: NDArray[Any]


class Lanes:
    """N lanes of a Gymnasium vector environment.

    env    VectorEnv with observations in a Box and discrete actions from 0 on
    masks  function of the observations that returns the masks of actions; None: the environment's
           `infos["action_mask"]`, or no masks if it has none
    seed   seed of the first reset

    Attributes:
    observations  (N, R) float32 of the current moment
    masks         (N, A) of the current moment, True for allowed actions; None without masks
    skipped       (N,) True for lanes that the next step only resets; their actions have no effect (NEXT_STEP)

    Raises TrainingError for other spaces.
    """

    observations: Floats
    masks: Bools | None
    skipped: Bools

    def __init__(self, env: Any, seed: int, masks: MaskFunction | None = None) -> None:
        check_spaces(env)
        self.env, self._mask_function = env, masks
        self.num_lanes = int(env.num_envs)
        self.num_actions = int(env.single_action_space.n)
        self.width = int(np.prod(env.single_observation_space.shape))
        self.mode = autoreset_mode_of(env)
        self.returns, self.lengths = np.zeros(self.num_lanes), np.zeros(self.num_lanes, np.int64)
        self.skipped = np.zeros(self.num_lanes, np.bool_)
        self._episodes: list[Episodes] = []
        observations, infos = env.reset(seed=seed)
        self._observe(observations, infos)

    def step(self, actions: Longs) -> Outcome:
        """Perform the actions (N,), each of them allowed by the masks, and reset the lanes whose episode is over."""
        was_skipped = self.skipped
        observations, rewards, terminated, truncated, infos = self.env.step(actions)
        terminated, truncated = np.asarray(terminated, np.bool_), np.asarray(truncated, np.bool_)
        truncated = truncated & ~terminated
        rewards = np.asarray(rewards, f32)
        ended = terminated | truncated
        self._count(rewards, ended, ~was_skipped, infos)
        final = None
        self.skipped = ended if self.mode == AutoresetMode.NEXT_STEP else np.zeros_like(ended)
        if self.mode == AutoresetMode.SAME_STEP and truncated.any():
            final = self._final_observations(infos, truncated)
        elif self.mode == AutoresetMode.DISABLED and ended.any():
            final = self._flat(observations)[truncated]
            observations, reset_infos = self.env.reset(options={"reset_mask": ended})
            infos = self._infos_after_reset(infos, reset_infos, ended)
        self._observe(observations, infos)
        return Outcome(rewards, terminated, truncated, final)

    def take_episodes(self) -> Episodes:
        """Return the episodes that ended since the last call."""
        episodes, self._episodes = self._episodes, []
        columns = zip(*episodes, strict=True) if episodes else [[np.empty(0)]] * len(Episodes._fields)
        return Episodes(*(np.concatenate(column) for column in columns))

    def close(self) -> None:
        """Close the environment."""
        self.env.close()

    def _count(self, rewards: Floats, ended: Bools, stepped: Bools, infos: Mapping[str, Any]) -> None:
        """Add rewards to the returns, and record the episodes that ended."""
        self.returns += rewards
        self.lengths += stepped
        if ended.any():
            mastery, gave_up = self._final_statistics(ended, infos)
            self._episodes.append(Episodes(self.returns[ended], self.lengths[ended], mastery, gave_up))
            self.returns[ended], self.lengths[ended] = 0, 0

    def _final_statistics(self, ended: Bools, infos: Mapping[str, Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return final mastery and whether the learner gave up, for the episodes that ended."""
        unknown = np.full(int(ended.sum()), np.nan)
        return unknown, unknown

    def _final_observations(self, infos: Mapping[str, Any], truncated: Bools) -> Floats:
        """Return the last observations of the truncated lanes, which SAME_STEP has in the infos."""
        try:
            return self._flat(np.stack([*infos["final_obs"][truncated]]))
        except (KeyError, TypeError, ValueError):
            raise TrainingError(
                'an environment with autoreset_mode SAME_STEP must return the last observations in infos["final_obs"]; '
                f"got infos with {', '.join(sorted(infos)) or 'no entries'}; use the mode NEXT_STEP"
            ) from None

    def _infos_after_reset(
        self, infos: Mapping[str, Any], reset_infos: Mapping[str, Any], was_reset: Bools
    ) -> Mapping[str, Any]:
        """Return the infos of a reset of some lanes, with the masks of the other lanes from the step before.

        After such a reset, Gymnasium's vector environments fill the masks of the other lanes with zeros.
        """
        stepped, reset = infos.get(ACTION_MASK), reset_infos.get(ACTION_MASK)
        if stepped is None or reset is None or not len(stepped) == len(reset) == self.num_lanes:
            return reset_infos
        masks = [new if replaced else old for old, new, replaced in zip(stepped, reset, was_reset, strict=True)]
        return {**reset_infos, ACTION_MASK: np.array(masks)}

    def _observe(self, observations: Any, infos: Mapping[str, Any]) -> None:
        """Set the current observations and masks."""
        self.observations = self._flat(observations)
        if self._mask_function is not None:
            self.masks = self.masks_of(self.observations)
        else:
            given = infos.get(ACTION_MASK)
            self.masks = None if given is None else self._read_masks(given, self.num_lanes)
        if self.masks is not None:
            self._check_allowed(self.masks)

    def masks_of(self, observations: Floats) -> Bools | None:
        """Return the masks (K, A) for observations (K, R) by the function; None without a function."""
        if self._mask_function is None:
            return None
        return self._read_masks(self._mask_function(observations), len(observations))

    def _flat(self, observations: Any) -> Floats:
        return np.asarray(observations, f32).reshape(len(observations), self.width)

    def _read_masks(self, given: Any, count: int) -> Bools:
        """Return masks of `count` observations as Booleans of shape (count, A). Raises TrainingError."""
        shape = (count, self.num_actions)
        masks = np.asarray(given)
        if masks.dtype == object and len(masks) == count:  # one array per lane
            masks = np.stack([*masks])
        if masks.dtype.kind not in "bui" or masks.shape not in (shape, shape[1:]):
            raise TrainingError(
                f"masks of actions must be Booleans of shape {shape} or {shape[1:]}; got {masks.dtype} {masks.shape}; "
                "True allows an action"
            )
        return np.broadcast_to(masks.astype(np.bool_), shape)

    def _check_allowed(self, masks: Bools) -> None:
        """Raise TrainingError if a lane has no allowed action, unless the next step only resets it."""
        blocked = ~masks.any(axis=1) & ~self.skipped
        if blocked.any():
            raise TrainingError(
                f"masks must allow at least one action in each lane; lane {int(blocked.argmax())} has none; "
                "end the episode instead"
            )


def check_spaces(env: Any) -> None:
    """Raise TrainingError unless an environment is a VectorEnv with Box observations and discrete actions from 0."""
    if not isinstance(env, VectorEnv):
        raise TrainingError(
            f"env must be a gymnasium.vector.VectorEnv, or a configuration of alsim; got {type(env).__name__}; "
            "gymnasium.make_vec creates vector environments"
        )
    actions, observations = env.single_action_space, env.single_observation_space
    if not isinstance(actions, Discrete):
        raise TrainingError(
            f"env must have a Discrete action space; got {actions}; ppo and dqn support neither continuous actions "
            "nor several actions at a time: convert them in a wrapper"
        )
    if actions.start != 0:
        raise TrainingError(f"the actions of env must start at 0; got {actions}; subtract the start in a wrapper")
    if not isinstance(observations, Box):
        raise TrainingError(
            f"env must have observations in a Box; got {observations}; gymnasium.wrappers.FlattenObservation around "
            "each single environment (the argument wrappers of gymnasium.make_vec) converts them"
        )


def autoreset_mode_of(env: Any) -> AutoresetMode:
    """Return the mode of automatic resets of a vector environment; NEXT_STEP, Gymnasium's default, if it has none."""
    mode = env.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP)
    try:
        return AutoresetMode(mode)
    except ValueError:
        raise TrainingError(
            f"env.metadata['autoreset_mode'] must be one of {', '.join(mode.name for mode in AutoresetMode)}; "
            f"got {mode!r}; correct the metadata of the environment"
        ) from None


__all__ = ["Episodes", "Lanes", "MaskFunction", "Outcome", "autoreset_mode_of", "check_spaces"]
