"""Episodes once more, one learner at a time: what a library collected from many lanes must be these, to the bit."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from alsim import AdaptiveLearningEnv

SHORT = {"max_episode_steps": 7, "termination": {"max_frustration": 0.25}}
"""A configuration whose episodes soon end, in both ways."""


@dataclass
class Episode:
    """One episode as a library stored it, or as the environment has it."""

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminated: bool
    truncated: bool


class Learners:
    """The first `learners` of a seed, and the episodes that each begins with."""

    def __init__(self, seed: int, learners: int, episodes: int, config: dict[str, Any]) -> None:
        self.seed = seed
        self.env = AdaptiveLearningEnv(config)
        self.beginnings = {
            self.begin(learner, episode).tobytes(): (learner, episode)
            for learner in range(learners)
            for episode in range(episodes)
        }
        assert len(self.beginnings) == learners * episodes

    def begin(self, learner: int, episode: int) -> np.ndarray:
        observation, _ = self.env.reset(seed=self.seed, options={"learner": learner})
        for _ in range(episode):
            observation, _ = self.env.reset()
        return observation

    def identify(self, observation: np.ndarray) -> tuple[int, int]:
        """The learner and the number of the episode that begins with an observation; raises KeyError."""
        return self.beginnings[np.asarray(observation, np.float32).tobytes()]

    def replay(self, actions: np.ndarray, learner: int, episode: int) -> Episode:
        """The episode under these actions, as far as it goes."""
        observations, rewards, terminated, truncated = [self.begin(learner, episode)], [], False, False
        for action in actions:
            if terminated or truncated:
                break
            observation, reward, terminated, truncated, _ = self.env.step(int(action))
            observations.append(observation)
            rewards.append(reward)
        return Episode(np.stack(observations), actions[: len(rewards)], np.array(rewards), terminated, truncated)


def same(ours: Episode, theirs: Episode) -> bool:
    """Whether two episodes are equal, bit for bit in what the library stored, which may be single precision."""
    stored = np.asarray(theirs.rewards)
    return (
        np.array_equal(ours.observations, theirs.observations)
        and np.array_equal(ours.actions, theirs.actions)
        and np.array_equal(ours.rewards.astype(stored.dtype), stored)
        and (ours.terminated, ours.truncated) == (theirs.terminated, theirs.truncated)
    )
