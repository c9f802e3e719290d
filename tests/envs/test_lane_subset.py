"""Steps of some of the lanes."""

import operator
import pickle
import re
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode
from vector_envs import (
    DISABLED,
    A,
    batches,
    make,
    play,
    read_only,
    same,
    same_call,
)

from alsim.jit.structs import leaves
from alsim.testing import same as alike

pytestmark = pytest.mark.gymnasium


BAD_LANES: list[Any] = [
    ([], ValueError, "lanes must contain at least one lane; got none"),
    (np.zeros(0, int), ValueError, "lanes must contain at least one lane; got none"),
    (3, ValueError, "lanes must have shape (M,), one integer per selected lane; got shape ()"),
    ([[0, 1]], ValueError, "lanes must have shape (M,), one integer per selected lane; got shape (1, 2)"),
    ([0.0, 1.0], TypeError, "lanes must be integers; got dtype float64"),
    (np.array([True, False, True, False, False]), TypeError, "lanes must be integers; got dtype bool"),
    ([2**70, 0], TypeError, "lanes must be integers; got dtype object"),
    ([0, 5], ValueError, "lanes must be integers in [0, 5); got 5 at index 1"),
    ([-1, 0], ValueError, "lanes must be integers in [0, 5); got -1 at index 0"),
    (
        np.array([0, 2**64 - 1], np.uint64),
        ValueError,
        f"lanes must be integers in [0, 5); got {2**64 - 1} at index 1",
    ),
    ([3, 1, 3], ValueError, "lanes must contain each lane at most once; got 3 again at index 2"),
    ([0, 1, 2, 3, 4, 0], ValueError, "lanes must contain each lane at most once; got 0 again at index 5"),
]


@pytest.mark.parametrize(("lanes", "error", "words"), BAD_LANES)
def test_invalid_lanes(lanes: Any, error: type[Exception], words: str) -> None:
    env = make(5)
    env.reset(seed=0)
    env.step_lanes([0, 0], [0, 3])
    before = pickle.dumps(env)
    for _ in range(2):  # the second time, the first call has left no marks
        with pytest.raises(error, match=re.escape(words)):
            env.step_lanes(np.zeros(np.size(lanes), int), lanes)
    assert pickle.dumps(env) == before
    env.step_lanes([0, 0], [0, 3])


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize(
    ("actions", "error", "words"),
    [
        ([0, 0], ValueError, "actions must have shape (3,), one per lane; got shape (2,)"),
        ([0] * 5, ValueError, "actions must have shape (3,), one per lane; got shape (5,)"),
        ([0.0] * 3, TypeError, "actions must be integers; got dtype float64"),
        ([0, A, 0], ValueError, f"actions must be integers in [0, {A}); got {A} in lane 4"),
        ([0, 0, -1], ValueError, f"actions must be integers in [0, {A}); got -1 in lane 0"),
    ],
)
def test_invalid_actions_of_some_lanes(mode: Any, actions: Any, error: type[Exception], words: str) -> None:
    env = make(5, autoreset_mode=mode)
    env.reset(seed=0)
    before, out = pickle.dumps(env), env.new_buffers(3)
    copy = deepcopy(out)
    with pytest.raises(error, match=re.escape(words)):
        env.step_lanes(actions, [2, 4, 0], out=out)
    assert pickle.dumps(env) == before
    assert alike(out, copy)


@pytest.mark.parametrize("kind", [list, np.int8, np.uint64, ">i4", "readonly", "strided"])
def test_integer_lanes_of_any_dtype_and_layout(kind: Any) -> None:
    env, plain = make(5), make(5)
    env.reset(seed=0)
    plain.reset(seed=0)
    selected: Any = [4, 1]
    if kind == "readonly":
        selected = read_only(np.array(selected))
    elif kind == "strided":
        selected = np.array([4, 0, 1, 0])[::2]
    elif kind is not list:
        selected = np.array(selected, kind)
    same_call(env.step_lanes([3, 30], selected), plain.step_lanes([3, 30], np.array([4, 1])))
    same(env.lanes["step"], np.array([0, 1, 0, 0, 1], np.uint32))


def test_other_lanes_are_unchanged() -> None:
    env = make(7, info="full", observation="responses")
    env.reset(seed=0)
    for batch in batches(7, 5):
        env.step(batch)
    before = env.snapshot()
    env.step_lanes([1, 2, 3], [5, 0, 2])
    others = [1, 3, 4, 6]
    assert env.snapshot().take(others) == before.take(others)
    same(env.lanes["step"] - before.lanes["step"], np.array([1, 0, 1, 0, 0, 1, 0], np.uint32))


def test_finished_lane_without_autoreset() -> None:
    env = make(5, autoreset_mode=DISABLED)
    env.reset(seed=0)
    for batch in batches(5, 20):
        done = operator.or_(*env.step(batch)[2:4])
        if done.any():
            break
    assert not done.all()
    finished, running = np.flatnonzero(done), np.flatnonzero(~done)
    before = pickle.dumps(env)
    with pytest.raises(ResetNeeded, match=f"the episode in lane {finished[0]} is over"):
        env.step_lanes([0, 0], [running[0], finished[0]])
    with pytest.raises(ResetNeeded, match=f"the episode in lane {finished[0]} is over"):
        env.step([0] * 5)
    assert pickle.dumps(env) == before
    env.step_lanes([0] * len(running), running)  # the other lanes can be stepped
    env.reset(options={"reset_mask": done})
    env.step_lanes([0] * len(finished), finished)


def test_step_each_lane_to_the_end_of_its_episode() -> None:
    """Step only the lanes that are still running, as a collector does: episodes equal those of full batches."""
    env, plain = make(6, autoreset_mode=DISABLED), make(6)
    actions = batches(6, 20)
    calls = play(plain, actions, seed=3)
    env.reset(seed=3)
    running, rewards = np.arange(6), np.zeros(6)
    expected, finished = np.zeros(6), np.zeros(6, bool)
    for t, batch in enumerate(actions):
        if len(running):
            _, reward, terminated, truncated, _ = env.step_lanes(batch[running], running)
            rewards[running] += reward
            running = running[~(terminated | truncated)]
        expected += np.where(finished, 0, calls[t + 1][1])
        finished |= calls[t + 1][2] | calls[t + 1][3]
    assert finished.all() and len(running) == 0
    same(rewards, expected)
    with pytest.raises(ResetNeeded):
        env.step([0] * 6)
    env.reset()
    env.step([0] * 6)


def test_before_the_first_reset() -> None:
    for name, call in {
        "step_lanes": lambda env: env.step_lanes([0], [0]),
        "snapshot": lambda env: env.snapshot(),
    }.items():
        with pytest.raises(ResetNeeded, match=re.escape(f"call reset() before {name}()")):
            call(make(5))


@pytest.mark.compiled
def test_arrays_of_step_lanes_belong_to_the_caller() -> None:
    env = make(300)
    env.reset(seed=0)
    results, copies = [], []
    for k, batch in enumerate(batches(300, 12)):
        lanes = np.arange(k, 300, k + 2)
        results.append(env.step_lanes(batch[lanes], lanes))
        copies.append(deepcopy(results[-1]))
    assert alike(results, copies)


@pytest.mark.compiled
def test_capacity_depends_on_the_subset_only() -> None:
    env = make(100_000)
    env.reset(seed=0)
    env.step_lanes([0] * 16, np.arange(16))
    small = env._subset.simulator
    assert small.lanes == 64
    env.step_lanes([0] * 40, np.arange(40))
    assert env._subset.simulator is small
    env.step_lanes([0] * 70, np.arange(70))
    assert env._subset.simulator.lanes == 128


@pytest.mark.parametrize("responses", [False, True])
def test_move_copies_every_array(responses: bool) -> None:
    """Every array is moved: entries are distinct numbers, so a missing array would be noticed."""
    observation = "responses" if responses else "mastery"
    env = make(5, observation=observation)
    one, two = env._simulator, env._simulator.of_size(3)
    for k, (_, column) in enumerate(leaves(one.learners)):
        column[:] = np.arange(len(column)) % 2 if column.dtype == bool else 1000 * k + np.arange(len(column))
    one.move(np.array([4, 1, 2]), two, np.array([2, 0, 1]))
    for (name, a), (_, b) in zip(leaves(one.learners), leaves(two.learners), strict=True):
        assert (len(a) > 0) == (responses or name not in ("asked", "right", "responses"))
        same(a.reshape(5, -1)[[1, 2, 4]], b.reshape(3, -1))


def test_failed_allocation_leaves_a_usable_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A larger subset for which memory is lacking fails each time, and never steps in memory that is too small."""
    n = 200
    env = make(n)
    env.reset(seed=0)
    expected = deepcopy(env)
    env.step_lanes(np.zeros(10, int), np.arange(10))
    expected.step_lanes(np.zeros(10, int), np.arange(10))

    def fail(lanes: int) -> None:
        raise MemoryError

    many = np.arange(150)  # more than the smallest capacity
    with monkeypatch.context() as patch:
        patch.setattr(env._simulator, "of_size", fail)
        for _ in range(2):
            with pytest.raises(MemoryError):
                env.step_lanes(np.zeros(150, int), many)
    same_call(env.step_lanes(np.ones(150, int), many), expected.step_lanes(np.ones(150, int), many))
