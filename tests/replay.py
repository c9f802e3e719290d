"""Replays of single learners' episodes, for comparison with the data that a library collected from many lanes."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from alsim import AdaptiveLearningEnv

SHORT = {"max_episode_steps": 7, "termination": {"max_frustration": 0.25}}
"""A configuration with short episodes, of which some terminate and some are truncated."""


@dataclass
class Episode:
    """One episode, stored by a library or replayed in the environment."""

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminated: bool
    truncated: bool


class Learners:
    """The first learners of a seed and their first episodes, identified by their first observations."""

    def __init__(self, seed: int, learners: int, episodes: int, config: dict[str, Any]) -> None:
        self.seed = seed
        self.env = AdaptiveLearningEnv(config)
        self.first_observations = {
            self.start(learner, episode).tobytes(): (learner, episode)
            for learner in range(learners)
            for episode in range(episodes)
        }
        assert len(self.first_observations) == learners * episodes

    def start(self, learner: int, episode: int) -> np.ndarray:
        """Start an episode of a learner, and return its first observation."""
        observation, _ = self.env.reset(seed=self.seed, options={"learner": learner})
        for _ in range(episode):
            observation, _ = self.env.reset()
        return observation

    def identify(self, observation: np.ndarray) -> tuple[int, int]:
        """Return learner and number of the episode with this first observation. Raises KeyError."""
        return self.first_observations[np.asarray(observation, np.float32).tobytes()]

    def replay(self, actions: np.ndarray, learner: int, episode: int) -> Episode:
        """Return the episode under these actions, up to its end or to the last action."""
        observations, rewards, terminated, truncated = [self.start(learner, episode)], [], False, False
        for action in actions:
            if terminated or truncated:
                break
            observation, reward, terminated, truncated, _ = self.env.step(int(action))
            observations.append(observation)
            rewards.append(reward)
        return Episode(np.stack(observations), actions[: len(rewards)], np.array(rewards), terminated, truncated)


def same(ours: Episode, theirs: Episode) -> bool:
    """Return whether two episodes are equal bit for bit; rewards in the precision that the library stored."""
    stored = np.asarray(theirs.rewards)
    return (
        np.array_equal(ours.observations, theirs.observations)
        and np.array_equal(ours.actions, theirs.actions)
        and np.array_equal(ours.rewards.astype(stored.dtype), stored)
        and (ours.terminated, ours.truncated) == (theirs.terminated, theirs.truncated)
    )
