"""Contenders of the benchmarks: each steps N learners by `step(actions)`, actions (N,) int64."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any, Protocol

import gymnasium
import numpy as np
from numpy.typing import NDArray

import alsim
from benchmarks import native
from benchmarks.numpy_step import NumpyStep

Arrays = dict[str, NDArray[Any]]


def uniform_actions(lanes: int, seed: int = 0) -> NDArray[np.int64]:
    """Return uniformly drawn actions, one per lane."""
    return np.random.default_rng(seed).integers(0, 270, lanes)


class Contender(Protocol):
    """Object that steps N learners."""

    def step(self, actions: NDArray[np.int64]) -> Any:
        """Step every learner with its action; actions are (N,) int64."""
        ...


class Alsim:
    """Vector environment of `gymnasium.make_vec`, with autoreset."""

    def __init__(self, lanes: int, **options: Any) -> None:
        self.envs = gymnasium.make_vec("alsim/AdaptiveLearning-v0", num_envs=lanes, **options)
        self.envs.reset(seed=0)
        self.step = self.envs.step


def started(lanes: int, bank: alsim.Bank, actions: NDArray[np.int64], seed: int = 0) -> Arrays:
    """Return the state of the learners of a seed after one interaction; `info` reports it only after a step."""
    envs = alsim.AdaptiveLearningVectorEnv(lanes, bank=bank, info="full")
    envs.reset(seed=seed)
    observations, _, _, _, infos = envs.step(actions)
    return {
        "rows": observations,
        "ability": infos["ability"],
        "frustration": infos["frustration"],
        "response_time": observations[:, -1].copy(),
        "mastery_sum": (infos["mean_mastery"] * bank.num_los).astype(np.float32),
        "fail_streak": infos["fail_streak"],
        **{name: envs.lanes[name] for name in ("step", "episode", "learner")},
    }


def cells(bank: alsim.Bank) -> Arrays:
    """Return columns by action (first item, size, outcome, hard, question) and by item, sorted by action.

    `steepness` holds a of questions and effectiveness of contents; `place` holds b and impact. A step thus reads fewer
    columns.
    """
    questions, contents, outcomes = bank.questions, bank.contents, bank.num_los
    action = np.concatenate(
        [
            3 * questions.learning_outcome.astype(np.int64) + questions.difficulty,
            3 * outcomes + 6 * contents.learning_outcome.astype(np.int64) + contents.modality,
        ]
    )
    order, size = np.argsort(action, kind="stable"), np.bincount(action)
    every = np.arange(9 * outcomes)
    asks = every < 3 * outcomes
    nothing = np.zeros(bank.num_contents, np.float32)

    def column(question: NDArray[Any], content: NDArray[Any]) -> NDArray[np.float32]:
        return np.concatenate([question, content]).astype(np.float32)[order]

    return {
        "first": (np.cumsum(size) - size).astype(np.int32),
        "size": size.astype(np.int32),
        "outcome": np.where(asks, every // 3, (every - 3 * outcomes) // 6).astype(np.int32),
        "hard": asks & (every % 3 == 2),
        "asks": asks,
        "steepness": column(questions.irt_a, contents.effectiveness),
        "place": column(questions.irt_b, contents.engagement_impact),
        "guessing": column(questions.irt_c, nothing),
        "time_mean": column(questions.response_time_mean, nothing),
        "time_std": column(questions.response_time_std, nothing),
    }


class Native:
    """`native/step.c` on NumPy arrays, without autoreset.

    first  actions of the first interaction, (N,), which alsim computes; None draws them uniformly
    """

    def __init__(self, lanes: int, *, seed: int = 0, first: NDArray[np.int64] | None = None) -> None:
        self.library = native.library()
        bank = alsim.sample_bank(alsim.Config())
        items = cells(bank)
        size, outcome, hard, asks = (items.pop(name).astype(np.uint32) for name in ("size", "outcome", "hard", "asks"))
        self.arrays = {
            **started(lanes, bank, uniform_actions(lanes) if first is None else first, seed),
            **items,
            "meaning": size << 16 | outcome << 2 | hard << 1 | asks,
            "observations": np.zeros((lanes, bank.num_los + 2), np.float32),
            "rewards": np.zeros(lanes, np.float32),
            "terminated": np.zeros(lanes, np.bool_),
            "truncated": np.zeros(lanes, np.bool_),
        }
        self.world = native.World(lanes, seed, **addresses(self.arrays))
        self.address = ctypes.addressof(self.world)

    def step(self, actions: NDArray[np.int64]) -> None:
        """Step every lane; lanes whose episode has ended are not reset."""
        self.world.actions = actions.ctypes.data
        self.library.step(self.address)

    def draw(self) -> None:
        """Draw the random numbers of a step, and discard them."""
        self.library.draw_only(self.address)


def addresses(arrays: Mapping[str, NDArray[Any]]) -> dict[str, int]:
    """Return the address of each array."""
    assert all(array.flags.c_contiguous for array in arrays.values())
    return {name: array.ctypes.data for name, array in arrays.items()}


class Numpy(NumpyStep):
    """`numpy_step.py`, initialised like `Native`."""

    def __init__(self, lanes: int, *, seed: int = 0, first: NDArray[np.int64] | None = None) -> None:
        bank = alsim.sample_bank(alsim.Config())
        super().__init__(started(lanes, bank, uniform_actions(lanes) if first is None else first, seed), cells(bank))


def Jax(lanes: int, *, seed: int = 0, first: NDArray[np.int64] | None = None) -> Any:  # noqa: N802  # used like a class
    """Return `jax_step.py`, initialised like `Native`. Raises ImportError where JAX is not installed."""
    from benchmarks.jax_step import JaxStep

    bank = alsim.sample_bank(alsim.Config())
    return JaxStep(started(lanes, bank, uniform_actions(lanes) if first is None else first, seed), cells(bank))
