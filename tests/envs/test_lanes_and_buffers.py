"""Stepping into a caller's arrays, stepping some lanes, snapshots: all of it is the plain step, in every mode."""

import operator
import pickle
import re
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

import alsim
from alsim import AdaptiveLearningVectorEnv, Buffers, Snapshot
from alsim.jit.compile import COMPILED
from alsim.simulator import simulator
from alsim.testing import check_vector_env
from alsim.testing import same as alike
from alsim.types import BLOCK, Population

pytestmark = pytest.mark.gymnasium

NEXT_STEP, SAME_STEP, DISABLED = AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED
# Short episodes, which end for every reason.
SHORT = {"num_los": 4, "max_episode_steps": 14, "termination": {"mastery_threshold": 0.4, "max_frustration": 0.5}}
L, A, R = 4, 36, 6

same = partial(np.testing.assert_array_equal, strict=True)


def make(num_envs: int = 5, kind: Any = AdaptiveLearningVectorEnv, **arguments: Any) -> Any:
    return kind(num_envs, **{"config": SHORT, **arguments})


def batches(lanes: int, steps: int, seed: int = 0) -> Any:
    """Actions (steps, N)."""
    return np.random.default_rng(seed).integers(A, size=(steps, lanes))


def play(env: Any, actions: Any, seed: Any = 0) -> list[Any]:
    """What reset and every step hand out; without autoreset, lanes that ended are reset after the step."""
    calls = [deepcopy(env.reset(seed=seed))]
    for batch in actions:
        calls.append(deepcopy(env.step(batch)))
        done = calls[-1][2] | calls[-1][3]
        if env.autoreset_mode == DISABLED and done.any():
            calls.append(deepcopy(env.reset(options={"reset_mask": done})))
    return calls


def same_call(one: Any, two: Any) -> None:
    for x, y in zip(one[:-1], two[:-1], strict=True):
        same(x, y)
    assert alike(one[-1], two[-1])


def same_calls(one: list[Any], two: list[Any]) -> None:
    for a, b in zip(one, two, strict=True):
        same_call(a, b)


def ends(calls: list[Any]) -> int:
    return sum(int((call[2] | call[3]).sum()) for call in calls if len(call) > 2)


@pytest.fixture(autouse=True)
def threads_for_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let small batches have threads, too."""
    monkeypatch.setattr(simulator, "MIN_LANES_PER_THREAD", BLOCK)


# ── ways around: whatever way a step goes, it is the same step ──


class Plain(AdaptiveLearningVectorEnv):
    pass


class FreshBuffers(AdaptiveLearningVectorEnv):
    """Every call writes to arrays that were just made."""

    def reset(self, **arguments: Any) -> Any:
        return super().reset(**arguments, out=self.new_buffers())

    def step(self, actions: Any) -> Any:  # type: ignore[override]
        out = self.new_buffers()
        returned = super().step(actions, out=out)
        assert all(a is b for a, b in zip(returned[:4], out, strict=True))
        return returned


class SameBuffers(AdaptiveLearningVectorEnv):
    """Every step writes to the same arrays, those of a rollout's first row."""

    memory: Any = None

    def step(self, actions: Any) -> Any:  # type: ignore[override]
        if self.memory is None:
            n, width = self.observation_space.shape  # type: ignore[misc]
            arrays = (np.zeros((2, n, width), np.float32), np.zeros((2, n)), *np.zeros((2, 2, n), bool))
            self.memory = Buffers(*(array[1] for array in arrays))
        return super().step(actions, out=self.memory)


class Parts(AdaptiveLearningVectorEnv):
    """Every step goes by shuffled parts of the lanes, one after the other; some into arrays of the caller's."""

    turn = 0

    def step(self, actions: Any) -> Any:  # type: ignore[override]
        before = self.snapshot()
        try:
            return self.by_parts(actions)
        except Exception:
            self.restore(before)  # the earlier parts have been stepped
            return super().step(actions)  # raises it for all lanes

    def by_parts(self, actions: Any) -> Any:
        self.turn += 1
        generator = np.random.default_rng(self.turn)
        actions, n = np.asarray(actions), self.num_envs
        if actions.shape != (n,):
            raise ValueError
        cuts = np.unique(generator.integers(1, n + 1, 2))
        parts = [part for part in np.split(generator.permutation(n), cuts) if len(part)]
        whole = self.new_buffers()
        infos = []
        for part in parts:
            out = self.new_buffers(len(part)) if generator.random() < 0.5 else None
            *arrays, info = self.step_lanes(actions[part], part, out=out)
            infos.append(deepcopy(info))
            for array, piece in zip(whole, arrays, strict=True):
                assert piece.shape[0] == len(part)
                array[part] = piece
        return *whole, together(n, parts, infos)


def together(n: int, parts: list[Any], infos: list[Any]) -> dict[str, Any]:
    """Infos of all lanes, of those of parts: where a part lacks a key, its mask says so."""
    whole: dict[str, Any] = {}
    for key in dict.fromkeys(key for info in infos for key in info):
        values = [info.get(key) for info in infos]
        if isinstance(next(v for v in values if v is not None), dict):
            whole[key] = together(n, parts, [v or {} for v in values])
            continue
        kind = next(v for v in values if v is not None).dtype
        whole[key] = np.full(n, None) if kind.hasobject else np.zeros(n, kind)
        for part, value in zip(parts, values, strict=True):
            if value is not None:
                whole[key][part] = value
    return whole


class Rewound(AdaptiveLearningVectorEnv):
    """Every step is taken twice; now and then a snapshot goes through a pickle, which is slow: it holds the bank."""

    turn = 0

    def step(self, actions: Any) -> Any:  # type: ignore[override]
        before = self.snapshot() if self._began else None
        taken = deepcopy(super().step(actions))
        if before is None:
            return taken
        self.turn += 1
        self.restore(pickle.loads(pickle.dumps(before)) if self.turn % 16 == 1 else before)
        return super().step(actions)


class Elsewhere(AdaptiveLearningVectorEnv):
    """Every step is taken by another environment, of other modes of everything that is no rule."""

    other: Any = None

    def step(self, actions: Any) -> Any:  # type: ignore[override]
        if not self._began:
            return super().step(actions)
        if self.other is None:
            self.other = AdaptiveLearningVectorEnv(
                self.num_envs,
                config=self.config,
                bank=self.bank,
                observation=self._simulator.observes,
                autoreset_mode=self.autoreset_mode,
                info=self.info,
                num_threads=3,
            )
        self.other.restore(self.snapshot())
        returned = self.other.step(actions)
        self.restore(self.other.snapshot())
        return returned

    def __getstate__(self) -> Any:
        return {**self.__dict__, "other": None}


WAYS = [FreshBuffers, SameBuffers, Parts, Rewound, Elsewhere]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("copy", [True, False], ids=["copy", "own"])
@pytest.mark.parametrize("observation", ["mastery", "responses"])
@pytest.mark.parametrize("mode", AutoresetMode)
def test_every_way_is_the_plain_step(way: Any, mode: AutoresetMode, observation: str, copy: bool) -> None:
    rules: dict[str, Any] = {"autoreset_mode": mode, "observation": observation, "info": "full"}
    steps = 150 if COMPILED else 30
    actions = batches(5, steps)
    expected = play(make(**rules), actions)
    same_calls(play(make(kind=way, copy=copy, **rules), actions), expected)
    assert ends(expected) > steps // 4


@pytest.mark.compiled
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("info", ["none", "minimal"])
@pytest.mark.parametrize("mode", AutoresetMode)
def test_every_way_has_the_same_infos(way: Any, mode: AutoresetMode, info: str) -> None:
    actions = batches(3, 60)
    rules: dict[str, Any] = {"autoreset_mode": mode, "info": info}
    same_calls(play(make(3, way, **rules), actions), play(make(3, **rules), actions))


@pytest.mark.compiled
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mode", AutoresetMode)
def test_every_way_with_threads(way: Any, mode: AutoresetMode) -> None:
    lanes = 5 * BLOCK + 3
    rules: dict[str, Any] = {"autoreset_mode": mode, "info": "full"}
    actions = batches(lanes, 40)
    env = make(lanes, way, num_threads=2, **rules)
    same_calls(play(env, actions), play(make(lanes, **rules), actions))
    env.close()


@pytest.mark.compiled
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mode", AutoresetMode)
def test_every_way_keeps_gymnasiums_contract(way: Any, mode: AutoresetMode) -> None:
    new = partial(make, 4, way, autoreset_mode=mode, info="full")
    skip = ("fresh_arrays",) if way is SameBuffers else ()
    ran = check_vector_env(new(), make=new, exclusive_flags=True, skip=skip)
    assert {"autoreset", "reset_mask", "pickling", "seed_lists", "independent_lanes"} <= set(ran)


# ── buffers ──


def test_steps_straight_into_the_storage_of_a_rollout() -> None:
    steps, n = 30, 7
    env, plain = make(n), make(n)
    observations = np.full((steps + 1, n, R), np.nan, np.float32)
    rewards = np.full((steps, n), np.nan)
    terminated, truncated = np.zeros((2, steps, n), bool)
    actions = batches(n, steps)
    first = Buffers(observations[0], rewards[0], terminated[0], truncated[0])
    assert env.reset(seed=1, out=first)[0] is first.observations
    assert np.isnan(rewards).all()  # a reset has none
    for t in range(steps):
        env.step(actions[t], out=Buffers(observations[t + 1], rewards[t], terminated[t], truncated[t]))
    calls = play(plain, actions, seed=1)
    same(observations, np.stack([call[0] for call in calls]))
    for k, storage in enumerate((rewards, terminated, truncated), 1):
        same(storage, np.stack([call[k] for call in calls[1:]]))


@pytest.mark.parametrize("lanes", [None, [6, 2, 3]])
def test_rewards_of_float32_are_rounded(lanes: Any) -> None:
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


def test_buffers_in_a_file(tmp_path: Path) -> None:
    env, plain = make(), make()
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


def test_what_was_handed_out_may_be_handed_back() -> None:
    """The arrays of an earlier step are the caller's: it may have them written again, and only then."""
    env, plain = make(), make()
    env.reset(seed=0)
    plain.reset(seed=0)
    actions = batches(5, 12)
    *first, _ = env.step(actions[0])
    plain.step(actions[0])
    kept = deepcopy(first)
    for batch in actions[1:6]:
        env.step(batch)
        plain.step(batch)
    for array, before in zip(first, kept, strict=True):
        same(array, before)
    for batch in actions[6:]:
        same_call(env.step(batch, out=Buffers(*first)), plain.step(batch))


def test_infos_of_steps_into_buffers_are_the_callers() -> None:
    env = make()
    env.reset(seed=0)
    out = env.new_buffers()
    held, copies = [], []
    for batch in batches(5, 12):
        held.append(env.step(batch, out=out)[4])
        copies.append(deepcopy(held[-1]))
    assert alike(held, copies)


def broken(name: str, array: Any) -> Callable[[Any], Any]:
    return lambda out: out._replace(**{name: array})


def unaligned(shape: tuple[int, ...], dtype: Any) -> Any:
    memory = np.zeros(int(np.prod(shape)) * np.dtype(dtype).itemsize + 1, np.uint8)
    return memory[1:].view(dtype).reshape(shape)


def frozen(array: Any) -> Any:
    array.flags.writeable = False
    return array


MEMORY = np.zeros(400, np.uint8)
BAD_BUFFERS: list[Any] = [
    (lambda out: tuple(out), TypeError, "out is an alsim.Buffers; got tuple"),
    (lambda out: out.observations, TypeError, "out is an alsim.Buffers; got ndarray"),
    (broken("observations", [[0.0] * R] * 5), TypeError, "out.observations is a NumPy array; got list"),
    (broken("observations", np.zeros((5, R))), TypeError, "out.observations has dtype float32; got float64"),
    (broken("observations", np.zeros((4, R), "f4")), ValueError, f"out.observations has shape (5, {R}); got (4, {R})"),
    (broken("observations", np.zeros(5 * R, "f4")), ValueError, f"out.observations has shape (5, {R}); got ({5 * R},)"),
    (broken("observations", np.zeros((5, R), ">f4")), TypeError, "out.observations has dtype float32; got >f4"),
    (broken("observations", np.zeros((R, 5), "f4").T), ValueError, "got an array that is not C-contiguous"),
    (broken("observations", frozen(np.zeros((5, R), "f4"))), ValueError, "got an array that is read-only"),
    (broken("observations", unaligned((5, R), "f4")), ValueError, "got an array that is not aligned"),
    (broken("rewards", np.zeros(5, "f2")), TypeError, "out.rewards has dtype float64 or float32; got float16"),
    (broken("rewards", np.zeros((5, 1))), ValueError, "out.rewards has shape (5,); got (5, 1)"),
    (broken("rewards", np.zeros(10)[::2]), ValueError, "got an array that is not C-contiguous"),
    (broken("rewards", None), TypeError, "out.rewards is a NumPy array; got NoneType"),
    (broken("terminated", np.zeros(5, np.uint8)), TypeError, "out.terminated has dtype bool; got uint8"),
    (broken("truncated", np.zeros(6, bool)), ValueError, "out.truncated has shape (5,); got (6,)"),
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


@pytest.mark.parametrize(("change", "error", "words"), BAD_BUFFERS, ids=range(len(BAD_BUFFERS)))
@pytest.mark.parametrize("call", ["step", "step_lanes", "reset", "restore"])
def test_buffers_that_cannot_be(change: Any, error: type[Exception], words: str, call: str) -> None:
    env = make(8 if call == "step_lanes" else 5, info="full")
    env.reset(seed=0)
    out = change(env.new_buffers(5))
    before = pickle.dumps(env)
    arrays = deepcopy(out)
    moment = env.snapshot()
    calls = {
        "step": lambda: env.step([0] * 5, out=out),
        "step_lanes": lambda: env.step_lanes([0] * 5, [7, 1, 2, 3, 4], out=out),
        "reset": lambda: env.reset(seed=5, out=out),
        "restore": lambda: env.restore(moment, out=out),
    }
    with pytest.raises(error, match=re.escape(words)):
        calls[call]()
    assert pickle.dumps(env) == before
    assert alike(out, arrays)


def test_buffers_that_lie_side_by_side() -> None:
    env, plain = make(), make()
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
def test_memory_of_the_environments_own_is_refused(lanes: Any) -> None:
    env = make(copy=False)
    env.reset(seed=0)
    count = len(lanes) if lanes else 5
    step = (lambda **k: env.step_lanes([0] * 2, lanes, **k)) if lanes else (lambda **k: env.step([0] * 5, **k))
    out = env.new_buffers(count)
    told = step(out=out)[4]["_termination_reason"]
    rows = env.observation_space.sample()  # of the same shape
    rows = env.step([0] * 5)[0].base if not lanes else env.step([0] * 5)[0].base[: 2 * R]
    before = env.snapshot()
    with pytest.raises(ValueError, match="out.terminated overlaps memory of the environment's own"):
        step(out=out._replace(terminated=told))
    with pytest.raises(ValueError, match="out.observations overlaps memory of the environment's own"):
        step(out=out._replace(observations=rows.reshape(count, R)))
    assert env.snapshot() == before


def test_a_known_buffer_that_became_read_only() -> None:
    env = make()
    env.reset(seed=0)
    out = env.new_buffers()
    for _ in range(3):
        env.step([0] * 5, out=out)
    out.rewards.flags.writeable = False
    kept = out.rewards.copy()
    with pytest.raises(ValueError, match=re.escape("out.rewards is writeable, C-contiguous and aligned")):
        env.step([0] * 5, out=out)
    same(out.rewards, kept)


@pytest.mark.parametrize("threads", [1, 2])
def test_actions_that_cannot_be_leave_buffers_alone(threads: int) -> None:
    lanes = 2 * BLOCK
    env = make(lanes, num_threads=threads)
    env.reset(seed=0)
    out = env.new_buffers()
    actions = batches(lanes, 1)[0]
    env.step(actions, out=out)
    kept, moment = deepcopy(out), env.snapshot()
    lane = int(np.flatnonzero(~moment.over)[-1])
    actions[lane] = A
    with pytest.raises(ValueError, match=f"got {A} in lane {lane}"):
        env.step(actions, out=out)
    assert alike(out, kept)
    assert env.snapshot() == moment
    env.close()


def test_new_buffers() -> None:
    env = make(observation="responses")
    out = env.new_buffers()
    assert [(a.shape, a.dtype) for a in out] == [
        ((5, 2 * L + 2), np.float32),
        ((5,), np.float64),
        ((5,), np.bool_),
        ((5,), np.bool_),
    ]
    assert env.new_buffers(2).rewards.shape == (2,)
    with pytest.raises(ValueError, match="num_lanes is an integer of at least 1; got 0"):
        env.new_buffers(0)


# ── some lanes ──

BAD_LANES: list[Any] = [
    ([], ValueError, "lanes names no lane"),
    (np.zeros(0, int), ValueError, "lanes names no lane"),
    (3, ValueError, "lanes have shape (M,); got shape ()"),
    ([[0, 1]], ValueError, "lanes have shape (M,); got shape (1, 2)"),
    ([0.0, 1.0], TypeError, "lanes are integers; got dtype float64"),
    (np.array([True, False, True, False, False]), TypeError, "lanes are integers; got dtype bool"),
    ([2**70, 0], TypeError, "lanes are integers; got dtype object"),
    ([0, 5], ValueError, "lanes are integers in [0, 5); got 5 at place 1"),
    ([-1, 0], ValueError, "lanes are integers in [0, 5); got -1 at place 0"),
    (
        np.array([0, 2**64 - 1], np.uint64),
        ValueError,
        f"lanes are integers in [0, 5); got {2**64 - 1} at place 1",
    ),
    ([3, 1, 3], ValueError, "lanes names each lane once; got 3 a second time, at place 2"),
    ([0, 1, 2, 3, 4, 0], ValueError, "lanes names each lane once; got 0 a second time, at place 5"),
]


@pytest.mark.parametrize(("lanes", "error", "words"), BAD_LANES)
def test_lanes_that_cannot_be(lanes: Any, error: type[Exception], words: str) -> None:
    env = make()
    env.reset(seed=0)
    env.step_lanes([0, 0], [0, 3])
    before = pickle.dumps(env)
    for _ in range(2):  # what marked the first lanes is gone the second time
        with pytest.raises(error, match=re.escape(words)):
            env.step_lanes(np.zeros(np.size(lanes), int), lanes)
    assert pickle.dumps(env) == before
    env.step_lanes([0, 0], [0, 3])


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize(
    ("actions", "error", "words"),
    [
        ([0, 0], ValueError, "actions have shape (3,), one a lane; got shape (2,)"),
        ([0] * 5, ValueError, "actions have shape (3,), one a lane; got shape (5,)"),
        ([0.0] * 3, TypeError, "actions are integers; got dtype float64"),
        ([0, A, 0], ValueError, f"actions are integers in [0, {A}); got {A} in lane 4"),
        ([0, 0, -1], ValueError, f"actions are integers in [0, {A}); got -1 in lane 0"),
    ],
)
def test_actions_of_some_lanes_that_cannot_be(mode: Any, actions: Any, error: type[Exception], words: str) -> None:
    env = make(autoreset_mode=mode)
    env.reset(seed=0)
    before, out = pickle.dumps(env), env.new_buffers(3)
    kept = deepcopy(out)
    with pytest.raises(error, match=re.escape(words)):
        env.step_lanes(actions, [2, 4, 0], out=out)
    assert pickle.dumps(env) == before
    assert alike(out, kept)


@pytest.mark.parametrize("kind", [list, np.int8, np.uint64, ">i4", "readonly", "strided"])
def test_lanes_of_any_integer_kind(kind: Any) -> None:
    env, plain = make(), make()
    env.reset(seed=0)
    plain.reset(seed=0)
    named: Any = [4, 1]
    if kind == "readonly":
        named = frozen(np.array(named))
    elif kind == "strided":
        named = np.array([4, 0, 1, 0])[::2]
    elif kind is not list:
        named = np.array(named, kind)
    same_call(env.step_lanes([3, 30], named), plain.step_lanes([3, 30], np.array([4, 1])))
    same(env.lanes["step"], np.array([0, 1, 0, 0, 1], np.uint32))


def test_the_other_lanes_stay_as_they_are() -> None:
    env = make(7, info="full", observation="responses")
    env.reset(seed=0)
    for batch in batches(7, 5):
        env.step(batch)
    before = env.snapshot()
    env.step_lanes([1, 2, 3], [5, 0, 2])
    others = [1, 3, 4, 6]
    assert env.snapshot().take(others) == before.take(others)
    same(env.lanes["step"] - before.lanes["step"], np.array([1, 0, 1, 0, 0, 1, 0], np.uint32))


def test_a_lane_that_is_over_without_autoreset() -> None:
    env = make(autoreset_mode=DISABLED)
    env.reset(seed=0)
    for batch in batches(5, 20):
        done = operator.or_(*env.step(batch)[2:4])
        if done.any():
            break
    assert not done.all()
    over, going = np.flatnonzero(done), np.flatnonzero(~done)
    before = pickle.dumps(env)
    with pytest.raises(ResetNeeded, match=f"the episode in lane {over[0]} is over"):
        env.step_lanes([0, 0], [going[0], over[0]])
    with pytest.raises(ResetNeeded, match=f"the episode in lane {over[0]} is over"):
        env.step([0] * 5)
    assert pickle.dumps(env) == before
    env.step_lanes([0] * len(going), going)  # the others do not mind
    env.reset(options={"reset_mask": done})
    env.step_lanes([0] * len(over), over)


def test_each_lane_to_its_end_without_autoreset() -> None:
    """As a collector does: lanes drop out one by one, and each episode is the one of a whole batch."""
    env, plain = make(6, autoreset_mode=DISABLED), make(6)
    actions = batches(6, 20)
    calls = play(plain, actions, seed=3)
    env.reset(seed=3)
    going, rewards = np.arange(6), np.zeros(6)
    expected, over = np.zeros(6), np.zeros(6, bool)
    for t, batch in enumerate(actions):
        if len(going):
            _, reward, terminated, truncated, _ = env.step_lanes(batch[going], going)
            rewards[going] += reward
            going = going[~(terminated | truncated)]
        expected += np.where(over, 0, calls[t + 1][1])
        over |= calls[t + 1][2] | calls[t + 1][3]
    assert over.all() and len(going) == 0
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
            call(make())


@pytest.mark.compiled
def test_memory_of_some_lanes_is_the_callers() -> None:
    env = make(300)
    env.reset(seed=0)
    held, copies = [], []
    for k, batch in enumerate(batches(300, 12)):
        lanes = np.arange(k, 300, k + 2)
        held.append(env.step_lanes(batch[lanes], lanes))
        copies.append(deepcopy(held[-1]))
    assert alike(held, copies)


@pytest.mark.compiled
def test_what_some_lanes_cost_does_not_grow_with_all() -> None:
    env = make(100_000)
    env.reset(seed=0)
    env.step_lanes([0] * 16, np.arange(16))
    small = env._party.simulator
    assert small.lanes == 64
    env.step_lanes([0] * 40, np.arange(40))
    assert env._party.simulator is small
    env.step_lanes([0] * 70, np.arange(70))
    assert env._party.simulator.lanes == 128


@pytest.mark.parametrize("responses", [False, True])
def test_every_array_of_the_learners_moves(responses: bool) -> None:
    """A field that were left behind would show: each entry is another number."""
    observation = "responses" if responses else "mastery"
    env = make(5, observation=observation)
    one, two = env._simulator, env._simulator.of_size(3)
    for k, column in enumerate(one.population):
        column[:] = np.arange(len(column)) % 2 if column.dtype == bool else 1000 * k + np.arange(len(column))
    one.move(np.array([4, 1, 2]), two, np.array([2, 0, 1]))
    for name, a, b in zip(Population._fields, one.population, two.population, strict=True):
        assert (len(a) > 0) == (responses or name not in ("asked", "right", "responses"))
        same(a.reshape(5, -1)[[1, 2, 4]], b.reshape(3, -1))


# ── snapshots ──


def test_a_snapshot_stays_what_it_is() -> None:
    env = make(info="full")
    env.reset(seed=0)
    for batch in batches(5, 5):
        env.step(batch)
    moment = env.snapshot()
    kept = pickle.dumps(moment)
    for batch in batches(5, 30):
        env.step(batch)
    env.reset(seed=1)
    assert pickle.dumps(moment) == kept
    assert env.snapshot() != moment
    for each in (moment, pickle.loads(kept), deepcopy(moment), moment.take([0, 1])):
        for array in (each.observations, each.over, *each.population):
            assert not array.flags.writeable
        with pytest.raises(AttributeError):
            each.population = None  # type: ignore[misc]


def test_what_a_snapshot_tells() -> None:
    env = make(autoreset_mode=DISABLED, observation="responses")
    env.reset(seed=[1, 2, 3, 4, 5])
    for batch in batches(5, 20):
        observation, _, terminated, truncated, _ = env.step(batch)
        if (terminated | truncated).any():
            break
    moment = env.snapshot()
    assert (moment.num_envs, moment.observation, moment.config, moment.bank) == (5, "responses", env.config, env.bank)
    same(moment.observations, observation)
    same(moment.over, terminated | truncated)
    assert alike(moment.lanes, env.lanes)
    assert moment.environment == "alsim/AdaptiveLearning-v0"
    with pytest.raises(TypeError, match="unhashable"):
        hash(moment)
    assert moment != 5


def test_restoring_returns_what_a_reset_does() -> None:
    env = make()
    env.reset(seed=0)
    observation = env.step([0] * 5)[0]
    moment = env.snapshot()
    env.step([1] * 5)
    got, infos = env.restore(moment)
    same(got, observation)
    assert infos == {}
    out = env.new_buffers()
    assert env.restore(moment, out=out)[0] is out.observations
    same(out.observations, observation)
    got[:] = 0  # it is the caller's
    assert env.snapshot() == moment
    own = make(copy=False)
    with pytest.raises(ValueError, match="read-only"):
        own.restore(moment)[0][:] = 0


@pytest.mark.parametrize("mode", AutoresetMode)
def test_a_fresh_environment_goes_on_from_a_snapshot(mode: AutoresetMode) -> None:
    """Through a pickle, to the learners' later episodes, and to a reset without a seed."""
    env = make(autoreset_mode=mode, info="full")
    actions = batches(5, 60)
    play(env, actions[:20])
    fresh = make(autoreset_mode=mode, info="full")
    fresh.restore(pickle.loads(pickle.dumps(env.snapshot())))
    for each in (one := [], two := []):
        source = env if each is one else fresh
        for batch in actions[20:]:
            each.append(source.step(batch))
            done = each[-1][2] | each[-1][3]
            if mode == DISABLED and done.any():
                each.append(source.reset(options={"reset_mask": done}))
        each.append(source.reset())
    same_calls(one, two)


def waiting(mode: AutoresetMode) -> Any:
    """An environment in which some lane's episode is over."""
    env = make(autoreset_mode=mode)
    env.reset(seed=0)
    for batch in batches(5, 20):
        done = operator.or_(*env.step(batch)[2:4])
        if done.any():
            return env, done
    raise AssertionError


def test_which_lanes_are_over_is_part_of_a_snapshot() -> None:
    for mode in (NEXT_STEP, DISABLED):
        env, done = waiting(mode)
        moment = env.snapshot()
        for target in (make(autoreset_mode=mode) for mode in (NEXT_STEP, DISABLED)):
            target.restore(moment)
            if target.autoreset_mode == DISABLED:
                with pytest.raises(ResetNeeded, match=f"the episode in lane {np.argmax(done)} is over"):
                    target.step([0] * 5)
                assert target.snapshot() == moment
            else:
                target.step([0] * 5)
                same(target.lanes["episode"], done.astype(np.uint32))
        fresh = make(autoreset_mode=SAME_STEP)
        fresh.reset(seed=9)
        before = fresh.snapshot()
        words = f"under SAME_STEP no lane waits for its next episode; in the snapshot the one in lane {np.argmax(done)}"
        with pytest.raises(ValueError, match=words):
            fresh.restore(moment)
        assert fresh.snapshot() == before
        env.reset(options={"reset_mask": done})
        fresh.restore(env.snapshot())


OTHERS: list[Any] = [
    ({"num_envs": 4}, "this one has 5 lanes, not 4"),
    ({"observation": "responses"}, "this one has observation = 'mastery', not 'responses'"),
    ({"config": {**SHORT, "max_episode_steps": 15}}, "this one has max_episode_steps = 14, not 15"),
    (
        {"config": {**SHORT, "termination": {"mastery_threshold": 0.4, "max_frustration": 0.6}}},
        "this one has termination.max_frustration = 0.5, not 0.6",
    ),
    ({"bank": alsim.sample_bank(alsim.Config.read({**SHORT, "bank": {"seed": 5}}))}, "this one has another bank"),
]


@pytest.mark.parametrize(("arguments", "words"), OTHERS)
def test_a_snapshot_of_other_rules(arguments: dict[str, Any], words: str) -> None:
    env, other = make(), make(**arguments)
    env.reset(seed=0)
    other.reset(seed=1)
    before = other.snapshot()
    with pytest.raises(ValueError, match=re.escape(words)):
        other.restore(env.snapshot())
    assert other.snapshot() == before
    assert other.snapshot() != env.snapshot()


def test_a_snapshot_of_another_version() -> None:
    env = make()
    env.reset(seed=0)
    old = env.snapshot()
    object.__setattr__(old, "environment", "alsim/AdaptiveLearning-v9")
    with pytest.raises(ValueError, match="learners of alsim/AdaptiveLearning-v9, not of alsim/AdaptiveLearning-v0"):
        env.restore(old)


def test_what_is_no_snapshot() -> None:
    env = make()
    with pytest.raises(TypeError, match=re.escape("snapshot is an alsim.Snapshot; got dict")):
        env.restore({})


def test_one_learner_in_many_lanes() -> None:
    """Each tries another action, all with the same luck: what the learner itself would have met."""
    env = make(7, info="full")
    env.reset(seed=0)
    for batch in batches(7, 6):
        env.step(batch)
    moment = env.snapshot()
    branches = make(A, info="full", autoreset_mode=DISABLED)
    observations, _ = branches.restore(moment.take([3] * A))
    same(observations, np.repeat(moment.observations[3:4], A, axis=0))
    tried = branches.step(np.arange(A))
    for action in range(A):
        env.restore(moment)
        got = env.step_lanes([action], [3])
        for x, y in zip(got[:4], tried[:4], strict=True):
            same(x, y[action : action + 1])
        for key, column in got[4].items():
            same(column, tried[4][key][action : action + 1])


def test_lanes_of_a_snapshot_in_another_order() -> None:
    env = make(5)
    env.reset(seed=0)
    actions = batches(5, 30)
    for batch in actions[:6]:
        env.step(batch)
    order = [4, 0, 0, 2]
    few = make(4)
    few.restore(env.snapshot().take(order))
    for batch in actions[6:]:
        for x, y in zip(env.step(batch)[:4], few.step(batch[order])[:4], strict=True):
            same(x[order], y)
    assert few.snapshot() == env.snapshot().take(order)


def test_other_luck() -> None:
    """The state is kept; what is drawn from here on is that of (seed, learner, episode, step)."""
    env = make(3, info="full", autoreset_mode=DISABLED)
    env.reset(seed=7)
    env.step([0, 1, 2])
    moment = env.snapshot()
    seeds = np.array([2**64 - 1, 5, 5], np.uint64)
    other = moment.with_seeds(seeds)
    assert moment.lanes["seed"].tolist() == [7] * 3
    assert other.lanes["seed"].tolist() == seeds.tolist()
    same(other.observations, moment.observations)
    env.restore(other)
    words = env._simulator.words(alsim.types.Purpose.INTERACTION, 0)
    for lane, (seed, learner) in enumerate(zip(seeds.tolist(), range(3), strict=True)):
        alone = make(1)
        alone.reset(seed=seed, options={"learner": learner})
        alone.step([0])
        same(alone._simulator.words(alsim.types.Purpose.INTERACTION, 0), words[lane : lane + 1])
    # The next episode is that of the new seed's learner.
    env.reset(options={"reset_mask": np.array([True, False, False])})
    alone = make(1)
    alone.reset(seed=int(seeds[0]))
    same(env.snapshot().observations[:1], alone.reset()[0])


@pytest.mark.compiled
def test_other_luck_is_drawn_as_from_any_seed() -> None:
    """Answers of one learner under 4,000 seeds: their share is the 3PL's probability.

    z within 4 standard errors: a false alarm in 1 of 16,000 (the normal limit of a binomial).
    """
    env = make(1)
    env.reset(seed=0)
    moment, n = env.snapshot(), 4000
    branches = make(n, info="full", autoreset_mode=DISABLED)
    branches.restore(moment.take([0] * n).with_seeds(range(n)))
    infos = branches.step(np.full(n, 4))[4]
    ability = env._simulator.population.ability[0]
    questions = env.bank.questions
    chance = {
        q: questions.irt_c[q]
        + (1 - questions.irt_c[q]) / (1 + np.exp(-questions.irt_a[q] * (ability - questions.irt_b[q])))
        for q in np.unique(infos["item"]).tolist()
    }
    p = np.array([chance[q] for q in infos["item"].tolist()])
    z = (infos["correct"] - p).sum() / np.sqrt((p * (1 - p)).sum())
    assert len(chance) > 1
    assert abs(z) < 4


@pytest.mark.parametrize(
    ("lanes", "error", "words"),
    [
        ([], ValueError, "lanes have shape (M,), with M at least 1; got shape (0,)"),
        (2, ValueError, "lanes have shape (M,), with M at least 1; got shape ()"),
        ([0.0], TypeError, "lanes are integers; got dtype float64"),
        ([True, False], TypeError, "lanes are integers; got dtype bool"),
        ([0, 5], ValueError, "lanes are integers in [0, 5); got 5 at place 1"),
        ([-1], ValueError, "lanes are integers in [0, 5); got -1 at place 0"),
    ],
)
def test_lanes_of_a_snapshot_that_cannot_be(lanes: Any, error: type[Exception], words: str) -> None:
    env = make()
    env.reset(seed=0)
    with pytest.raises(error, match=re.escape(words)):
        env.snapshot().take(lanes)


@pytest.mark.parametrize(
    ("seeds", "error", "words"),
    [
        (5, TypeError, "seeds has one entry a lane, 5; got 5"),
        ("12345", TypeError, "seeds has one entry a lane, 5; got '12345'"),
        ([1, 2], ValueError, "seeds has one entry a lane, 5; got shape (2,)"),
        (np.zeros((5, 1), int), ValueError, "seeds has one entry a lane, 5; got shape (5, 1)"),
        ([0, 1, -1, 3, 4], ValueError, "seeds[2] is an integer in [0, 2**64); got -1"),
        ([0, 1, 2, 3, None], TypeError, "seeds[4] is an integer in [0, 2**64); got None"),
    ],
)
def test_seeds_that_cannot_be(seeds: Any, error: type[Exception], words: str) -> None:
    env = make()
    env.reset(seed=0)
    with pytest.raises(error, match=re.escape(words)):
        env.snapshot().with_seeds(seeds)


# ── anything in any order, beside one environment a lane ──

N = 4
LANES = st.lists(st.integers(0, N - 1), min_size=1, max_size=N, unique=True)
ACTIONS = st.lists(st.integers(0, A - 1), min_size=N, max_size=N)


class Mixed(RuleBasedStateMachine):
    """N lanes beside N environments of one lane each, of which a copy is a snapshot."""

    mode: AutoresetMode

    @initialize(seed=st.integers(0, 2**64 - 1), responses=st.booleans(), copy=st.booleans())
    def begin(self, seed: int, responses: bool, copy: bool) -> None:
        rules: dict[str, Any] = {
            "autoreset_mode": self.mode,
            "info": "full",
            "observation": "responses" if responses else "mastery",
        }
        self.env = make(N, copy=copy, **rules)
        self.alone = [make(1, **rules) for _ in range(N)]
        self.kept: list[Any] = []
        self.over = np.zeros(N, bool)
        observations, _ = self.env.reset(seed=seed)
        for lane, env in enumerate(self.alone):
            same(env.reset(seed=seed, options={"learner": lane})[0][0], observations[lane])

    def compare(self, returned: Any, lanes: list[int], actions: list[int]) -> None:
        infos = returned[4]
        for place, lane in enumerate(lanes):
            own = self.alone[lane].step([actions[lane]])
            for x, y in zip(returned[:4], own[:4], strict=True):
                same(x[place : place + 1], y)
            self.over[lane] = own[2][0] or own[3][0]
            for told, its in ((infos, own[4]), (infos.get("final_info", {}), own[4].get("final_info", {}))):
                for key, value in its.items():
                    if key not in ("final_info", "final_obs"):
                        same(told[key][place : place + 1], value)
            if self.mode == SAME_STEP and self.over[lane]:
                same(infos["final_obs"][place], own[4]["final_obs"][0])

    @rule(actions=ACTIONS, buffers=st.booleans())
    def step(self, actions: list[int], buffers: bool) -> None:
        if self.mode == DISABLED and self.over.any():
            with pytest.raises(ResetNeeded):
                self.env.step(actions)
            return
        out = self.env.new_buffers() if buffers else None
        self.compare(self.env.step(actions, out=out), list(range(N)), actions)

    @rule(actions=ACTIONS, lanes=LANES, buffers=st.booleans())
    def step_lanes(self, actions: list[int], lanes: list[int], buffers: bool) -> None:
        chosen = [actions[lane] for lane in lanes]
        if self.mode == DISABLED and self.over[lanes].any():
            with pytest.raises(ResetNeeded):
                self.env.step_lanes(chosen, lanes)
            return
        out = self.env.new_buffers(len(lanes)) if buffers else None
        self.compare(self.env.step_lanes(chosen, lanes, out=out), lanes, actions)

    @rule(lanes=LANES)
    def reset(self, lanes: list[int]) -> None:
        mask = np.zeros(N, bool)
        mask[lanes] = True
        observations, _ = self.env.reset(options={"reset_mask": mask})
        for lane in lanes:
            same(self.alone[lane].reset()[0][0], observations[lane])
        self.over[lanes] = False

    @rule()
    def snapshot(self) -> None:
        self.kept.append((self.env.snapshot(), deepcopy(self.alone), self.over.copy()))

    @precondition(lambda self: self.kept)
    @rule(data=st.data(), lanes=st.lists(st.integers(0, N - 1), min_size=N, max_size=N))
    def restore(self, data: Any, lanes: list[int]) -> None:
        moment, alone, over = data.draw(st.sampled_from(self.kept))
        self.env.restore(moment.take(lanes))
        self.alone, self.over = [deepcopy(alone[lane]) for lane in lanes], over[lanes].copy()


@pytest.mark.compiled
@pytest.mark.parametrize("mode", AutoresetMode)
def test_anything_in_any_order(mode: AutoresetMode) -> None:
    machine = type("Mixed", (Mixed,), {"mode": mode})
    run_state_machine_as_test(machine, settings=settings(max_examples=15, stateful_step_count=40, deadline=None))


def test_public_names() -> None:
    assert alsim.Buffers is Buffers
    assert alsim.Snapshot is Snapshot
