"""The steps in C, NumPy and JAX, with which benchmarks compare alsim, give the same results from the same start.

Tolerances are in units e = 2**-23. All steps compute in float32 and in the same order. Ability, frustration and
discrete values must therefore be equal bit for bit. Values computed with exp, log, cos, a root or a quotient may
differ:

    noise          relative error of log 4 e (glibc's bound for vectors), halved by the root, which adds 2 e; product
                   1 e; cos 4 e; its argument 2 e: in all 5.77 * 11 e, plus the error of alsim, 2e-6
    mastery        per interaction with the outcome: 0.02 of the noise, and 8 operations on either side
    response time  10 s of the noise and the rounding errors of about 100 s, divided by 120 s
    reward         twice the error of a difference of two masteries
    answer         the error of P is about 10 e. Among 80,000 uniforms, 0.1 are expected to be so close to P. A lane
                   whose answer differs is no longer compared, and at most 2 such lanes are allowed (exceeded once in
                   6,000 seeds; the seed is fixed)
"""

from typing import Any

import numpy as np
import pytest
from oracle import INTERACTION, below, normal, philox4x32, uniform

import alsim
from benchmarks.contenders import Jax, Native, Numpy, cells, uniform_actions
from benchmarks.native import NoCompiler
from benchmarks.specification import SpecifiedEnv

E = 2.0**-23
NOISE = 5.77 * 11 * E + 2e-6
MASTERY = 0.02 * NOISE + 2 * 8 * E / 4
RESPONSE_TIME = (10 * NOISE + 4 * 64 * E) / 120
MOST_FLIPS = 2


class ByNative:
    def __init__(self, lanes: int, first: Any) -> None:
        self.native = Native(lanes, first=first)

    def step(self, actions: Any) -> tuple[Any, ...]:
        self.native.step(actions)
        arrays = self.native.arrays
        assert (arrays["rows"] == arrays["observations"]).all()
        return tuple(arrays[name] for name in ("observations", "rewards", "terminated", "truncated"))

    @property
    def hidden(self) -> tuple[Any, Any]:
        return self.native.arrays["ability"], self.native.arrays["fail_streak"]


def draws(time: int, sizes: Any) -> list[Any]:
    """Return the uniform, the normal and the choice within the cell, (N,) each, that alsim draws at this time."""
    words = [philox4x32((time, 0, lane, INTERACTION), (0, 0)) for lane in range(len(sizes))]
    answer = [uniform(w[0]) for w in words]
    noise = [normal(w[1], w[3]) for w in words]
    # The middle of the interval that chooses the item.
    pick = [(below(w[2], int(n)) + 0.5) / n for w, n in zip(words, sizes, strict=True)]
    return [np.array(values, np.float32) for values in (answer, noise, pick)]


class ByNumpy:
    """The step in NumPy, with the words that alsim draws."""

    def __init__(self, lanes: int, first: Any) -> None:
        self.numpy = Numpy(lanes, first=first)
        self.time = 0

    def step(self, actions: Any) -> tuple[Any, ...]:
        self.time += 1
        return self.numpy.rows, *self.numpy.advance(actions, *draws(self.time, self.numpy.items["size"][actions]))

    @property
    def hidden(self) -> tuple[Any, Any]:
        return self.numpy.ability, self.numpy.fail_streak


class ByJax:
    """The step in JAX, with the words that alsim draws."""

    def __init__(self, lanes: int, first: Any) -> None:
        self.jax = Jax(lanes, first=first)
        self.sizes = cells(alsim.sample_bank(alsim.Config()))["size"]
        self.time = 0

    def step(self, actions: Any) -> Any:
        self.time += 1
        self.jax.state, out = self.jax.advance(self.jax.state, actions, *draws(self.time, self.sizes[actions]))
        return tuple(np.asarray(x) for x in out)

    @property
    def hidden(self) -> tuple[Any, Any]:
        return np.asarray(self.jax.state.ability), np.asarray(self.jax.state.fail_streak)


def follow(other: Any, lanes: int, actions: list[Any]) -> int:
    """Compare the first episode of each lane with alsim; return how many lanes had a different answer."""
    envs = alsim.AdaptiveLearningVectorEnv(lanes, info="full")
    envs.reset(seed=0)
    envs.step(actions[0])
    compared, flips = np.ones(lanes, np.bool_), 0
    met = np.zeros((lanes, 30), np.int64)
    for chosen in actions[1:]:
        outcome = np.where(chosen < 90, chosen // 3, (chosen - 90) // 6)
        met[np.arange(lanes), outcome] += 1
        rows, rewards, terminated, truncated, infos = envs.step(chosen)
        theirs = other.step(chosen)
        flipped = compared & (infos["frustration"] != theirs[0][:, -2])
        assert (abs(rows[flipped, -2] - theirs[0][flipped, -2]) > 0.04).all(), "another answer changes it by more"
        flips += flipped.sum()
        compared &= ~flipped
        off = abs(rows - theirs[0])[compared]
        assert (off[:, :-2] <= MASTERY * met[compared]).all()
        assert (off[:, -1] <= RESPONSE_TIME).all()
        allowed = 4 * MASTERY * met[np.arange(lanes), outcome] + 2 * E
        assert (abs(rewards - theirs[1]) <= allowed)[compared].all()
        for own, its in ((terminated, theirs[2]), (truncated, theirs[3])):
            assert (own == its)[compared].all()
        for name, its in zip(("ability", "fail_streak"), other.hidden, strict=True):
            assert (infos[name] == its)[compared].all()
        compared &= ~(terminated | truncated)
    assert not compared.any(), "140 steps end every episode"
    return flips


def actions_of(lanes: int) -> list[Any]:
    return [uniform_actions(lanes, seed) for seed in range(140)]


@pytest.mark.versionless
@pytest.mark.compiled
def test_the_native_step_equals_that_of_alsim() -> None:
    lanes = 2048 + 5  # the last block is not full
    actions = actions_of(lanes)
    try:
        other = ByNative(lanes, actions[0])
    except NoCompiler as reason:
        pytest.skip(str(reason))
    assert follow(other, lanes, actions) <= MOST_FLIPS


@pytest.mark.compiled
def test_the_numpy_step_equals_that_of_alsim() -> None:
    actions = actions_of(100)
    assert follow(ByNumpy(100, actions[0]), 100, actions) == 0


@pytest.mark.compiled
def test_the_jax_step_equals_that_of_alsim() -> None:
    pytest.importorskip("jax", reason="JAX is large, and optional in the benchmarks")
    actions = actions_of(100)
    assert follow(ByJax(100, actions[0]), 100, actions) == 0


@pytest.mark.versionless
def test_the_plain_environment_equals_that_of_alsim() -> None:
    """The environment that Gymnasium vectorises in benchmarks is the oracle, which has its own tests."""
    env = SpecifiedEnv(learner=3)
    envs = alsim.AdaptiveLearningVectorEnv(4)
    observation, _ = env.reset()
    np.testing.assert_allclose(observation, envs.reset(seed=0)[0][3], atol=1e-6)
    for action in (0, 100, 269):
        observation, reward, *_ = env.step(np.int64(action))
        theirs = envs.step([action] * 4)
        np.testing.assert_allclose(observation, theirs[0][3], atol=3e-6)
        assert reward == pytest.approx(theirs[1][3], abs=1e-5)


def test_the_numpy_step_resets_finished_lanes() -> None:
    """The mean of 3,000 masteries of Beta(2, 5), s.d. 0.16, is 4.5 standard errors off in 1 seed of 100,000."""
    numpy = Numpy(100)
    numpy.finished[:] = True
    rows, rewards, terminated, truncated = numpy.step(uniform_actions(100))
    assert not rewards.any() and not terminated.any() and not truncated.any()
    assert abs(rows[:, :30].mean() - 2 / 7) < 4.5 * 0.16 / 3000**0.5
    assert (rows[:, 30:] == 0).all() and (numpy.steps == 0).all()
    np.testing.assert_allclose(numpy.mastery_sum, rows[:, :30].sum(axis=1), rtol=1e-6)
