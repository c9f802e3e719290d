"""Small vector environments of Gymnasium with known rewards, for the tests of training."""

import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space


class Toy(VectorEnv):
    """N lanes with observations (3,) and a few actions."""

    def __init__(self, num_envs, mode=AutoresetMode.NEXT_STEP, num_actions=3):
        self.num_envs, self.mode = num_envs, mode
        self.metadata = {"autoreset_mode": mode}
        self.single_observation_space = Box(0, 1, (3,), np.float32)
        self.single_action_space = Discrete(num_actions)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)


class Fixed(Toy):
    """The reward is 1 for the action that the observation marks with a 1, else 0. Episodes never end."""

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._observe(), {}

    def _observe(self):
        self.shown = self.np_random.integers(0, 3, self.num_envs)
        return np.eye(3, dtype=np.float32)[self.shown]

    def step(self, actions):
        rewards = (actions == self.shown).astype(np.float64)
        never = np.zeros(self.num_envs, bool)
        return self._observe(), rewards, never, never.copy(), {}


class Corridor(Toy):
    """Lane i counts steps: the observation is (count, lane, episode) / 10, and the reward is the count.

    Episodes of odd lanes terminate, and those of even lanes are truncated, after `limit` + lane steps. Actions have no
    effect, so all modes of automatic resets give the same interactions.
    """

    def __init__(self, num_envs, mode=AutoresetMode.NEXT_STEP, limit=3):
        super().__init__(num_envs, mode)
        self.limit = limit + np.arange(num_envs)

    def reset(self, *, seed=None, options=None):
        lanes = np.ones(self.num_envs, bool) if options is None else options["reset_mask"]
        if options is None:
            super().reset(seed=seed)
            self.count, self.episode = np.zeros(self.num_envs, int), np.zeros(self.num_envs, int)
            self.over = np.zeros(self.num_envs, bool)
        else:
            self._restart(lanes)
        return self._observe(), {}

    def _restart(self, lanes):
        self.count[lanes], self.over[lanes] = 0, False
        self.episode[lanes] += 1

    def _observe(self):
        return np.stack([self.count, np.arange(self.num_envs), self.episode], axis=1).astype(np.float32) / 10

    def step(self, actions):
        waiting = self.over.copy()
        assert self.mode == AutoresetMode.NEXT_STEP or not waiting.any()
        self.count[~waiting] += 1
        rewards = np.where(waiting, 0, self.count).astype(float)
        ended = ~waiting & (self.count >= self.limit)
        odd = np.arange(self.num_envs) % 2 == 1
        terminated, truncated = ended & odd, ended & ~odd
        self.over, infos = ended.copy(), {}
        if self.mode == AutoresetMode.NEXT_STEP:
            self._restart(waiting)
        elif self.mode == AutoresetMode.SAME_STEP and ended.any():
            final = np.full(self.num_envs, None, dtype=object)
            observed = self._observe()
            for lane in np.flatnonzero(ended):
                final[lane] = observed[lane]
            infos = {"final_obs": final, "_final_obs": ended}
            self._restart(ended)
        return self._observe(), rewards, terminated, truncated, infos
