"""Class of the specification: one learner at a time, and in Gymnasium's vector environments.

It is the class in `tests/oracle.py`, which is simple but slow: it searches the entire bank at every step.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from numpy.typing import NDArray

import alsim
from alsim.types import DIFFICULTIES, MODALITIES

ORACLE = Path(__file__).parent.parent / "tests" / "oracle.py"


@lru_cache
def oracle() -> ModuleType:
    """Return the oracle of the tests, which is not in a package."""
    spec = importlib.util.spec_from_file_location("oracle", ORACLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@lru_cache
def items() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return questions and contents of the default bank, with the keys of the specification."""
    bank = alsim.sample_bank(alsim.Config())
    questions, contents = (
        [dict(zip(table._fields, row, strict=True)) for row in zip(*(_plain(c) for c in table), strict=True)]
        for table in (bank.questions, bank.contents)
    )
    for question in questions:
        question["difficulty"] = DIFFICULTIES[question["difficulty"]]
    for content in contents:
        content["modality"] = MODALITIES[content["modality"]]
    return questions, contents


def _plain(column: Any) -> list[Any]:
    return column.tolist() if isinstance(column, np.ndarray) else list(column)


class SpecifiedEnv(gymnasium.Env[NDArray[np.float32], np.int64]):
    """Gymnasium environment of one learner of the specification, with the random numbers of that learner."""

    observation_space = Box(0.0, 1.0, (32,), np.float32)
    action_space = Discrete(270)

    def __init__(self, learner: int = 0) -> None:
        self.learner, self.episode = learner, -1
        self.rules = oracle().Oracle(*items())

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=seed)
        self.episode += 1
        return np.array(self.rules.reset(0, self.learner, self.episode), np.float32), {}

    def step(self, action: np.int64) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.rules.step(int(action))
        return np.array(observation, np.float32), reward, terminated, truncated, info


class Specification:
    """A loop over learners, each an object of the class, without Gymnasium."""

    def __init__(self, lanes: int) -> None:
        self.learners = [oracle().Oracle(*items()) for _ in range(lanes)]
        self.episodes = [0] * lanes
        for k, learner in enumerate(self.learners):
            learner.reset(0, k)

    def step(self, actions: NDArray[np.int64]) -> None:
        for k, (learner, action) in enumerate(zip(self.learners, actions.tolist(), strict=True)):
            _, _, terminated, truncated, _ = learner.step(action)
            if terminated or truncated:
                self.episodes[k] += 1
                learner.reset(0, k, self.episodes[k])


class Sync:
    """`gymnasium.vector.SyncVectorEnv` of the class."""

    def __init__(self, lanes: int) -> None:
        self.envs: Any = SyncVectorEnv([_Maker(k) for k in range(lanes)])
        self.envs.reset()
        self.step = self.envs.step

    def close(self) -> None:
        self.envs.close()


class Async(Sync):
    """`gymnasium.vector.AsyncVectorEnv` of the class, with one process per learner."""

    def __init__(self, lanes: int) -> None:
        # Forking a process with threads, such as those of JAX and alsim, may block.
        self.envs = AsyncVectorEnv([_Maker(k) for k in range(lanes)], context="forkserver")
        self.envs.reset()
        self.step = self.envs.step


class _Maker:
    """Picklable function that makes one environment."""

    def __init__(self, learner: int) -> None:
        self.learner = learner

    def __call__(self) -> SpecifiedEnv:
        return SpecifiedEnv(self.learner)
