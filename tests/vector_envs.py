"""Helpers for tests of the vector environment."""

from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode

from alsim import AdaptiveLearningVectorEnv
from alsim.testing import same as alike

NEXT_STEP, SAME_STEP, DISABLED = AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED
SHORT = {"num_los": 4, "max_episode_steps": 14, "termination": {"mastery_threshold": 0.4, "max_frustration": 0.5}}
"""A configuration with short episodes, which end for every reason."""
L, A, R = 4, 36, 6
"""Numbers of outcomes, actions and observed values under SHORT."""

FULL_KEYS = (
    *("termination_reason", "item", "correct", "mastery_gain", "frustration", "response_time"),
    *("fail_streak", "engagement", "ability", "mean_mastery", "step"),
)
"""Keys of the infos with info="full"."""

same = partial(np.testing.assert_array_equal, strict=True)


def make(num_envs: int, kind: Any = AdaptiveLearningVectorEnv, **arguments: Any) -> Any:
    """Return an environment of a class, with short episodes unless `arguments` has a config."""
    return kind(num_envs, **{"config": SHORT, **arguments})


def batches(lanes: int, steps: int, seed: int = 0, num_actions: int = A) -> Any:
    """Return random actions (steps, N)."""
    return np.random.default_rng(seed).integers(num_actions, size=(steps, lanes))


def play(env: Any, actions: Any, seed: Any = 0) -> list[Any]:
    """Return copies of the results of reset and of every step.

    Without autoreset, lanes whose episode ended are reset after the step.
    """
    calls = [deepcopy(env.reset(seed=seed))]
    for batch in actions:
        calls.append(deepcopy(env.step(batch)))
        done = calls[-1][2] | calls[-1][3]
        if env.metadata["autoreset_mode"] == DISABLED and done.any():
            calls.append(deepcopy(env.reset(options={"reset_mask": done})))
    return calls


def same_call(one: Any, two: Any) -> None:
    """Assert that two results of reset or step are equal bit for bit."""
    for x, y in zip(one[:-1], two[:-1], strict=True):
        same(x, y)
    assert alike(one[-1], two[-1])


def same_calls(one: list[Any], two: list[Any]) -> None:
    """Assert that two lists of results are equal bit for bit."""
    for a, b in zip(one, two, strict=True):
        same_call(a, b)


def read_only(array: Any) -> Any:
    """Make an array read-only and return it."""
    array.flags.writeable = False
    return array


def midway(mode: AutoresetMode = NEXT_STEP) -> Any:
    """Return an environment of 3 lanes in the middle of an episode."""
    env = make(3, autoreset_mode=mode, info="full")
    env.reset(seed=0)
    for batch in batches(3, 3):
        env.step(batch)
    return env
