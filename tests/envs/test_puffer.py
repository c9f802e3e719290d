"""The adapter for PufferLib 3, with a stub of its base class: PufferLib itself cannot be installed with NumPy 2.

The stub follows the contract of `pufferlib.PufferEnv` 3.0. Its constructor requires some attributes and forbids
others. The environment writes in place to buffers that the stub allocates or that a test passes.
"""

import importlib
import sys
from multiprocessing.sharedctypes import RawArray
from types import ModuleType
from typing import Any

import gymnasium
import numpy as np
import pytest

from alsim import AdaptiveLearningVectorEnv
from alsim.utils.optional import MissingExtra

pytestmark = pytest.mark.gymnasium

SHORT = {"num_los": 4, "max_episode_steps": 14, "termination": {"mastery_threshold": 0.4, "max_frustration": 0.5}}
A, R = 36, 6


class PufferEnv:
    """A stub of PufferLib's base class, with its requirements and attributes."""

    observations: Any
    rewards: Any
    terminals: Any
    truncations: Any
    masks: Any
    actions: Any

    def __init__(self, buf: Any = None) -> None:
        for name in ("single_observation_space", "single_action_space", "num_agents"):
            if not hasattr(self, name):
                raise TypeError(f"{name} must be set before super().__init__")
        for name in ("observation_space", "action_space", "observations"):
            if hasattr(self, name):
                raise TypeError(f"{name} must not be set: PufferLib sets it")
        space: Any = self.single_observation_space  # type: ignore[attr-defined]
        if not isinstance(space, gymnasium.spaces.Box):
            raise TypeError("observations must be a Box")
        agents: int = self.num_agents  # type: ignore[attr-defined]
        own = {
            "observations": np.zeros((agents, *space.shape), space.dtype),
            "rewards": np.zeros(agents, np.float32),
            "terminals": np.zeros(agents, bool),
            "truncations": np.zeros(agents, bool),
            "masks": np.ones(agents, bool),
            "actions": np.zeros(agents, np.int32),
        }
        for name, array in own.items():
            setattr(self, name, array if buf is None else buf[name])
        self.observation_space = gymnasium.vector.utils.batch_space(space, agents)
        self.action_space = gymnasium.spaces.MultiDiscrete([self.single_action_space.n] * agents)  # type: ignore[attr-defined]


@pytest.fixture
def puffer(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the module under test, imported with the stub."""
    stub = ModuleType("pufferlib")
    stub.PufferEnv = PufferEnv  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pufferlib", stub)
    monkeypatch.delitem(sys.modules, "alsim.envs.puffer", raising=False)
    module = importlib.import_module("alsim.envs.puffer")
    yield module
    del sys.modules["alsim.envs.puffer"]


def actions_of(lanes: int, steps: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(A, size=(steps, lanes), dtype=np.int32)


def shared_memory(workers: int, agents: int) -> dict[str, Any]:
    """Return shared memory in the layout of PufferLib's multiprocessing: one array per field, one part per worker."""
    layout: dict[str, tuple[tuple[int, ...], Any]] = {
        "observations": ((R,), np.float32),
        "rewards": ((), np.float32),
        "terminals": ((), bool),
        "truncations": ((), bool),
        "masks": ((), bool),
        "actions": ((), np.int32),
    }
    arrays = {}
    for name, (shape, dtype) in layout.items():
        size = workers * agents * int(np.prod(shape)) * np.dtype(dtype).itemsize
        arrays[name] = np.frombuffer(RawArray("b", size), dtype).reshape(workers, agents, *shape)
    return arrays


def test_steps_equal_those_of_the_vector_environment(puffer: Any) -> None:
    lanes = 7
    env = puffer.AdaptiveLearningPufferEnv(lanes, config=SHORT)
    plain = AdaptiveLearningVectorEnv(lanes, config=SHORT, autoreset_mode="SameStep")
    observations, infos = env.reset(seed=3)
    assert observations is env.observations
    assert infos == []
    np.testing.assert_array_equal(observations, plain.reset(seed=3)[0])
    ended = 0
    for actions in actions_of(lanes, 60):
        returned, expected = env.step(actions), plain.step(actions)
        arrays = (env.observations, env.rewards, env.terminals, env.truncations)
        for k, array in enumerate(arrays):
            assert returned[k] is array  # the arrays of PufferLib themselves, written in place
            np.testing.assert_array_equal(array, expected[k].astype(array.dtype))
        ended += int((env.terminals | env.truncations).sum())
    assert ended > 20
    assert env.masks.all()
    assert (env.rewards.dtype, env.actions.dtype, env.num_agents) == (np.float32, np.int32, lanes)
    env.close()


def test_workers_write_to_their_parts_of_shared_memory(puffer: Any) -> None:
    memory = shared_memory(3, 4)
    envs = [
        puffer.AdaptiveLearningPufferEnv(4, config=SHORT, buf={name: array[k] for name, array in memory.items()})
        for k in range(3)
    ]
    plain = [AdaptiveLearningVectorEnv(4, config=SHORT, autoreset_mode="SameStep") for _ in range(3)]
    for k in range(3):
        envs[k].reset(seed=10 + k)
        plain[k].reset(seed=10 + k)
    for actions in actions_of(12, 30).reshape(30, 3, 4):
        memory["actions"][:] = actions
        expected = []
        for k in range(3):
            envs[k].step(memory["actions"][k])
            expected.append(plain[k].step(actions[k]))
        for place, name in enumerate(("observations", "rewards", "terminals", "truncations")):
            combined = np.stack([each[place] for each in expected])
            np.testing.assert_array_equal(memory[name], combined.astype(memory[name].dtype))


def test_replaced_arrays_are_written(puffer: Any) -> None:
    env = puffer.AdaptiveLearningPufferEnv(4, config=SHORT)
    env.reset(seed=0)
    env.step(np.zeros(4, np.int32))
    before, memory = env.observations, shared_memory(1, 4)
    copy = before.copy()
    for name, array in memory.items():
        setattr(env, name, array[0])
    env.step(np.zeros(4, np.int32))
    np.testing.assert_array_equal(before, copy)
    assert memory["observations"].any()


def test_infos_are_means_over_episodes(puffer: Any) -> None:
    lanes, interval = 6, 20
    env = puffer.AdaptiveLearningPufferEnv(lanes, config=SHORT, log_interval=interval)
    env.reset(seed=1)
    returns, lengths = np.zeros(lanes), np.zeros(lanes, int)
    ended: list[Any] = []
    total = 0
    for t, actions in enumerate(actions_of(lanes, 100), 1):
        _, rewards, terminals, truncations, infos = env.step(actions)
        returns += rewards
        lengths += 1
        done = terminals | truncations
        ended += [(returns[k], lengths[k], terminals[k]) for k in np.flatnonzero(done)]
        returns[done], lengths[done] = 0, 0
        if t % interval:
            assert infos == []
            continue
        (info,) = infos
        assert all(type(value) is float for value in info.values())
        assert info["episode_return"] == pytest.approx(np.mean([each[0] for each in ended]), rel=1e-12)
        assert info["episode_length"] == pytest.approx(np.mean([each[1] for each in ended]), rel=1e-12)
        share = info["critical_frustration"] + info["mastery_achieved"]
        assert share == pytest.approx(np.mean([each[2] for each in ended]), rel=1e-12)
        assert share + info["step_limit"] == pytest.approx(1, rel=1e-12)
        total += len(ended)
        ended = []
    assert total > 40


def test_no_info_where_no_episode_ended(puffer: Any) -> None:
    env = puffer.AdaptiveLearningPufferEnv(2, config={"termination": {"max_frustration": 1.0}}, log_interval=1)
    env.reset(seed=0)
    assert env.step(np.array([100, 100], np.int32))[4] == []
    with pytest.raises(ValueError, match="log_interval must be an integer of at least 1; got 0"):
        puffer.AdaptiveLearningPufferEnv(2, log_interval=0)


def test_seeds(puffer: Any) -> None:
    """The constructor's seed applies to the first reset; later resets start each learner's next episode."""
    env = puffer.AdaptiveLearningPufferEnv(3, config=SHORT, seed=5)
    plain = AdaptiveLearningVectorEnv(3, config=SHORT)
    for seed, expected in ((None, 5), (None, None), (8, 8), (None, None)):
        np.testing.assert_array_equal(env.reset(seed)[0], plain.reset(seed=expected)[0])
    env.step(np.zeros(3, np.int32))
    assert env.rewards.any()
    env.reset()
    assert not env.rewards.any()


def test_without_pufferlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pufferlib", None)
    monkeypatch.delitem(sys.modules, "alsim.envs.puffer", raising=False)
    with pytest.raises(MissingExtra, match="needs pufferlib, which is not installed: pip install --no-deps pufferlib"):
        importlib.import_module("alsim.envs.puffer")
