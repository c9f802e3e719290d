"""Steps into arrays that belong to the caller."""

import pickle
import re
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from vector_envs import (
    A,
    L,
    R,
    batches,
    make,
    play,
    read_only,
    same,
    same_call,
)

from alsim import Buffers
from alsim.testing import same as alike
from alsim.types import BLOCK

pytestmark = pytest.mark.gymnasium


def test_steps_write_into_rollout_storage() -> None:
    steps, n = 30, 7
    env, plain = make(n), make(n)
    observations = np.full((steps + 1, n, R), np.nan, np.float32)
    rewards = np.full((steps, n), np.nan)
    terminated, truncated = np.zeros((2, steps, n), bool)
    actions = batches(n, steps)
    first = Buffers(observations[0], rewards[0], terminated[0], truncated[0])
    assert env.reset(seed=1, out=first)[0] is first.observations
    assert np.isnan(rewards).all()  # a reset writes no rewards
    for t in range(steps):
        env.step(actions[t], out=Buffers(observations[t + 1], rewards[t], terminated[t], truncated[t]))
    calls = play(plain, actions, seed=1)
    same(observations, np.stack([call[0] for call in calls]))
    for k, storage in enumerate((rewards, terminated, truncated), 1):
        same(storage, np.stack([call[k] for call in calls[1:]]))


@pytest.mark.parametrize("lanes", [None, [6, 2, 3]])
def test_float32_rewards_are_rounded(lanes: Any) -> None:
    env, plain = make(7), make(7)
    out = env.new_buffers(3 if lanes else None)
    out = out._replace(rewards=out.rewards.astype(np.float32))
    env.reset(seed=0)
    plain.reset(seed=0)
    for batch in batches(7, 20):
        if lanes:
            got, expected = env.step_lanes(batch[lanes], lanes, out=out), plain.step_lanes(batch[lanes], lanes)
        else:
            got, expected = env.step(batch, out=out), plain.step(batch)
        assert got[1] is out.rewards
        same(got[1], expected[1].astype(np.float32))
        same(got[0], expected[0])


def test_memory_mapped_buffers(tmp_path: Path) -> None:
    env, plain = make(5), make(5)
    rows = np.memmap(tmp_path / "rows", np.float32, "w+", shape=(5, R))
    out = env.new_buffers()._replace(observations=rows)
    env.reset(seed=0)
    plain.reset(seed=0)
    for batch in batches(5, 5):
        returned = env.step(batch, out=out)
        assert returned[0] is rows
        same(np.asarray(rows), plain.step(batch)[0])
    rows.flush()
    same(np.fromfile(tmp_path / "rows", np.float32).reshape(5, R), np.asarray(rows))


def test_returned_arrays_may_be_used_as_buffers() -> None:
    """Arrays of an earlier step belong to the caller: they change only when it passes them as buffers."""
    env, plain = make(5), make(5)
    env.reset(seed=0)
    plain.reset(seed=0)
    actions = batches(5, 12)
    *first, _ = env.step(actions[0])
    plain.step(actions[0])
    copies = deepcopy(first)
    for batch in actions[1:6]:
        env.step(batch)
        plain.step(batch)
    for array, before in zip(first, copies, strict=True):
        same(array, before)
    for batch in actions[6:]:
        same_call(env.step(batch, out=Buffers(*first)), plain.step(batch))


def test_infos_of_steps_into_buffers_belong_to_the_caller() -> None:
    env = make(5)
    env.reset(seed=0)
    out = env.new_buffers()
    results, copies = [], []
    for batch in batches(5, 12):
        results.append(env.step(batch, out=out)[4])
        copies.append(deepcopy(results[-1]))
    assert alike(results, copies)


def replacing(name: str, array: Any) -> Callable[[Any], Any]:
    return lambda out: out._replace(**{name: array})


def unaligned(shape: tuple[int, ...], dtype: Any) -> Any:
    memory = np.zeros(int(np.prod(shape)) * np.dtype(dtype).itemsize + 1, np.uint8)
    return memory[1:].view(dtype).reshape(shape)


MEMORY = np.zeros(400, np.uint8)
BAD_BUFFERS: list[Any] = [
    (lambda out: tuple(out), TypeError, "out must be an alsim.Buffers; got tuple"),
    (lambda out: out.observations, TypeError, "out must be an alsim.Buffers; got ndarray"),
    (replacing("observations", [[0.0] * R] * 5), TypeError, "out.observations must be a NumPy array; got list"),
    (replacing("observations", np.zeros((5, R))), TypeError, "out.observations must have dtype float32; got float64"),
    (
        replacing("observations", np.zeros((4, R), "f4")),
        ValueError,
        f"must have shape (5, {R}); got (4, {R})",
    ),
    (
        replacing("observations", np.zeros(5 * R, "f4")),
        ValueError,
        f"must have shape (5, {R}); got ({5 * R},)",
    ),
    (
        replacing("observations", np.zeros((5, R), ">f4")),
        TypeError,
        "out.observations must have dtype float32; got >f4",
    ),
    (replacing("observations", np.zeros((R, 5), "f4").T), ValueError, "got an array that is not C-contiguous"),
    (replacing("observations", read_only(np.zeros((5, R), "f4"))), ValueError, "got an array that is read-only"),
    (replacing("observations", unaligned((5, R), "f4")), ValueError, "got an array that is not aligned"),
    (replacing("rewards", np.zeros(5, "f2")), TypeError, "out.rewards must have dtype float64 or float32; got float16"),
    (replacing("rewards", np.zeros((5, 1))), ValueError, "out.rewards must have shape (5,); got (5, 1)"),
    (replacing("rewards", np.zeros(10)[::2]), ValueError, "got an array that is not C-contiguous"),
    (replacing("rewards", None), TypeError, "out.rewards must be a NumPy array; got NoneType"),
    (replacing("terminated", np.zeros(5, np.uint8)), TypeError, "out.terminated must have dtype bool; got uint8"),
    (replacing("truncated", np.zeros(6, bool)), ValueError, "out.truncated must have shape (5,); got (6,)"),
    (lambda out: out._replace(truncated=out.terminated), ValueError, "out.terminated overlaps out.truncated"),
    (
        lambda out: out._replace(terminated=MEMORY[:5].view(bool), truncated=MEMORY[4:9].view(bool)),
        ValueError,
        "out.terminated overlaps out.truncated",
    ),
    (
        lambda out: out._replace(
            observations=MEMORY[80:200].view("f4").reshape(5, R), rewards=MEMORY[192:232].view("f8")
        ),
        ValueError,
        "out.observations overlaps out.rewards",
    ),
]


@pytest.mark.heavy
@pytest.mark.parametrize(("change", "error", "words"), BAD_BUFFERS, ids=range(len(BAD_BUFFERS)))
@pytest.mark.parametrize("call", ["step", "step_lanes", "reset", "restore"])
def test_invalid_buffers(change: Any, error: type[Exception], words: str, call: str) -> None:
    env = make(8 if call == "step_lanes" else 5, info="full")
    env.reset(seed=0)
    out = change(env.new_buffers(5))
    before = pickle.dumps(env)
    arrays = deepcopy(out)
    snapshot = env.snapshot()
    calls = {
        "step": lambda: env.step([0] * 5, out=out),
        "step_lanes": lambda: env.step_lanes([0] * 5, [7, 1, 2, 3, 4], out=out),
        "reset": lambda: env.reset(seed=5, out=out),
        "restore": lambda: env.restore(snapshot, out=out),
    }
    with pytest.raises(error, match=re.escape(words)):
        calls[call]()
    assert pickle.dumps(env) == before
    assert alike(out, arrays)


def test_adjacent_buffers() -> None:
    env, plain = make(5), make(5)
    env.reset(seed=0)
    plain.reset(seed=0)
    memory = np.zeros(120 + 40 + 5 + 5, np.uint8)
    out = Buffers(
        memory[40:160].view(np.float32).reshape(5, R),
        memory[:40].view(np.float64),
        memory[160:165].view(bool),
        memory[165:].view(bool),
    )
    for batch in batches(5, 5):
        same_call(env.step(batch, out=out), plain.step(batch))


@pytest.mark.parametrize("lanes", [None, [4, 0]])
def test_buffers_in_the_environments_memory(lanes: Any) -> None:
    env = make(5, copy=False)
    env.reset(seed=0)
    count = len(lanes) if lanes else 5
    step = (lambda **k: env.step_lanes([0] * 2, lanes, **k)) if lanes else (lambda **k: env.step([0] * 5, **k))
    out = env.new_buffers(count)
    mask = step(out=out)[4]["_termination_reason"]
    env.step([0] * 5)
    rows = env._simulator.learners.rows[: count * R]
    before = env.snapshot()
    with pytest.raises(ValueError, match="out.terminated overlaps the environment's own memory"):
        step(out=out._replace(terminated=mask))
    with pytest.raises(ValueError, match="out.observations overlaps the environment's own memory"):
        step(out=out._replace(observations=rows.reshape(count, R)))
    assert env.snapshot() == before


def test_buffer_that_became_read_only() -> None:
    env = make(5)
    env.reset(seed=0)
    out = env.new_buffers()
    for _ in range(3):
        env.step([0] * 5, out=out)
    out.rewards.flags.writeable = False
    copies = out.rewards.copy()
    with pytest.raises(
        ValueError,
        match="out.rewards must be writeable, .* got an array that is read-only",
    ):
        env.step([0] * 5, out=out)
    same(out.rewards, copies)


@pytest.mark.parametrize("threads", [1, 2])
def test_invalid_actions_leave_buffers_unchanged(threads: int) -> None:
    lanes = 2 * BLOCK
    env = make(lanes, num_threads=threads)
    env.reset(seed=0)
    out = env.new_buffers()
    actions = batches(lanes, 1)[0]
    env.step(actions, out=out)
    copies, snapshot = deepcopy(out), env.snapshot()
    lane = int(np.flatnonzero(~snapshot.over)[-1])
    actions[lane] = A
    with pytest.raises(ValueError, match=f"got {A} in lane {lane}"):
        env.step(actions, out=out)
    assert alike(out, copies)
    assert env.snapshot() == snapshot
    env.close()


def test_new_buffers() -> None:
    env = make(5, observation="responses")
    out = env.new_buffers()
    assert [(a.shape, a.dtype) for a in out] == [
        ((5, 2 * L + 2), np.float32),
        ((5,), np.float64),
        ((5,), np.bool_),
        ((5,), np.bool_),
    ]
    assert env.new_buffers(2).rewards.shape == (2,)
    with pytest.raises(ValueError, match="num_lanes must be an integer of at least 1; got 0"):
        env.new_buffers(0)
