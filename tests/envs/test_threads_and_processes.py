"""Threads, interrupts, memory, copies and processes of the vector environment."""

import hashlib
import multiprocessing
import operator
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode
from vector_envs import (
    DISABLED,
    SAME_STEP,
    SHORT,
    batches,
    make,
    midway,
    play,
    same,
    same_calls,
)

import alsim
from alsim import AdaptiveLearningVectorEnv
from alsim.jit.compile import COMPILED
from alsim.simulator import step as step_kernels
from alsim.types import BLOCK

pytestmark = pytest.mark.gymnasium


@pytest.mark.compiled
def test_threads_share_many_chunks() -> None:
    """Realistic sizes: many chunks per thread, and more threads than processors."""
    lanes = 5 * step_kernels.CHUNK + 3
    envs = [make(lanes, info="full", num_threads=threads) for threads in (1, 2, 7)]
    actions = batches(envs[0].num_envs, 60)
    one, two, seven = (play(env, actions, seed=3) for env in envs)
    same_calls(one, two)
    same_calls(one, seven)
    for env in envs:
        env.close()


def test_invalid_action_changes_nothing_in_any_thread() -> None:
    env = make(600, num_threads=3)
    env.reset(seed=0)
    actions = np.zeros(600, int)
    env.step(actions)
    before = env.lanes
    actions[599] = -1
    with pytest.raises(ValueError, match="got -1 in lane 599"):
        env.step(actions)
    for name, column in env.lanes.items():
        same(column, before[name])
    env.close()


def test_error_in_a_thread_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    env = make(600, num_threads=2)
    env.reset(seed=0)
    env.step(np.zeros(600, int))
    first_world, step_shared = env._simulator._compiled.references[0], env._simulator._compiled.step_shared

    def failing(world: Any, *arguments: Any) -> bool:
        if world is not first_world:
            raise MemoryError("out of memory")
        time.sleep(0.2)
        return False

    monkeypatch.setattr(env._simulator._compiled, "step_shared", failing)
    with pytest.raises(MemoryError, match="out of memory"):
        env.step(np.zeros(600, int))
    monkeypatch.setattr(env._simulator._compiled, "step_shared", step_shared)
    env.step(np.zeros(600, int))
    env.close()


@pytest.mark.ci
@pytest.mark.compiled
@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("lanes", [256, 257, 1000])
def test_results_do_not_depend_on_the_number_of_threads(mode: AutoresetMode, lanes: int) -> None:
    envs = [make(lanes, autoreset_mode=mode, info="full", num_threads=threads) for threads in (1, 2, 3)]
    actions = batches(envs[0].num_envs, 40)
    one, two, three = (play(env, actions, seed=8) for env in envs)
    same_calls(one, two)
    same_calls(one, three)
    for env in envs:
        env.close()


@pytest.mark.compiled
@pytest.mark.parametrize("lanes", [1, 255, 256, 257])
def test_results_do_not_depend_on_the_number_of_lanes(lanes: int) -> None:
    many = make(1000, info="full", num_threads=2)
    few = make(lanes, info="full")
    actions = batches(many.num_envs, 40)
    for a, b in zip(play(many, actions, seed=2), play(few, actions[:, :lanes], seed=2), strict=True):
        for x, y in zip(a[:-1], b[:-1], strict=True):
            same(x[:lanes], y)
        for key, value in b[-1].items():
            same(a[-1][key][:lanes], value)


def test_interrupted_step_still_counts_finished_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    endless = {"mastery_threshold": 1.0, "max_frustration": 1.0}
    config = {**SHORT, "max_episode_steps": 2, "termination": endless}
    env = make(300, autoreset_mode=DISABLED, config=config, num_threads=2)
    env.reset(seed=0)
    env.step(np.zeros(300, int))
    step_into = env._simulator.step_into

    def interrupted(*arguments: Any) -> int:
        step_into(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(env._simulator, "step_into", interrupted)
    with pytest.raises(KeyboardInterrupt):
        env.step(np.zeros(300, int))
    monkeypatch.setattr(env._simulator, "step_into", step_into)
    with pytest.raises(ResetNeeded):
        env.step(np.zeros(300, int))
    env.reset()
    env.step(np.zeros(300, int))
    env.close()


@pytest.mark.compiled
def test_no_thread_writes_after_an_interrupt() -> None:
    """An exception that is raised in the middle of a step reaches the caller when all threads have finished."""
    lanes = 40 * step_kernels.CHUNK
    env = make(lanes, num_threads=3)
    env.reset(seed=0)
    actions = np.zeros(lanes, int)
    env.step(actions)
    interrupts = 0
    previous_handler = signal.signal(signal.SIGALRM, raise_timeout)
    try:
        for attempt in range(40):
            try:
                signal.setitimer(signal.ITIMER_REAL, 1e-5 + attempt * 2e-5)
                for _ in range(50):
                    env.step(actions)
            except TimeoutError:
                interrupts += 1
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            steps = env._simulator.learners.step
            before = steps.copy()
            time.sleep(0.002)
            same(steps, before)
    finally:
        signal.signal(signal.SIGALRM, previous_handler)
    assert interrupts > 20
    env.close()


def raise_timeout(number: int, frame: Any) -> None:
    raise TimeoutError


@pytest.mark.heavy
def test_unreferenced_memory_is_reused() -> None:
    env = make(300)
    env.reset(seed=0)
    addresses = set()
    for batch in batches(env.num_envs, 30):
        observation, *_ = env.step(batch)
        addresses.add(observation.ctypes.data)
    assert len(addresses) == 2  # one that the caller holds, and one that is written


@pytest.mark.heavy
@pytest.mark.parametrize("index", range(6))
@pytest.mark.parametrize(
    "part_of",
    [lambda x: x, lambda x: x[:1], memoryview, lambda x: x.view(np.int8)],
    ids=["array", "slice", "memoryview", "view"],
)
def test_referenced_memory_is_not_reused(index: int, part_of: Any) -> None:
    """A reference to any returned array, or to a view of a part of it, protects the memory."""
    env = make(300)
    env.reset(seed=0)
    views, copies = [], []
    for batch in batches(env.num_envs, 12):
        *arrays, infos = env.step(batch)
        result = [*arrays, *infos.values()][index]
        views.append(part_of(result))
        copies.append(np.array(views[-1]))
        del arrays, infos, result
    for array, copy in zip(views, copies, strict=True):
        same(np.asarray(array), copy)


@pytest.mark.heavy
def test_caller_may_modify_returned_arrays() -> None:
    env, other = make(300), make(300)
    env.reset(seed=0)
    other.reset(seed=0)
    for batch in batches(env.num_envs, 12):
        calls = [each.step(batch) for each in (env, other)]
        same_calls(*([call] for call in calls))
        observation, reward, terminated, *_ = calls[0]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of NumPy 2.5; earlier versions allow it
            observation.shape = (2, -1)
        reward.flags.writeable = False
        terminated[:] = True
        with pytest.raises(ValueError, match="does not own its data"):
            reward.resize(1, refcheck=False)
        del calls, observation, reward, terminated


@pytest.mark.heavy
@pytest.mark.parametrize("copy", [True, False])
@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("twin_of", [deepcopy, lambda env: pickle.loads(pickle.dumps(env))], ids=["deepcopy", "pickle"])
def test_copies_continue_identically(twin_of: Any, mode: AutoresetMode, copy: bool) -> None:
    lanes = 300 if COMPILED else BLOCK + 3
    env = make(lanes, autoreset_mode=mode, info="full", num_threads=2, observation="responses", copy=copy)
    actions = batches(env.num_envs, 30)
    play(env, actions[:10])
    twin = twin_of(env)
    runs = []
    for each in (env, twin):
        calls: list[Any] = []
        for batch in actions[10:]:
            calls.append(deepcopy(each.step(batch)))
            done = calls[-1][2] | calls[-1][3]
            if mode == DISABLED and done.any():
                each.reset(options={"reset_mask": done})
        runs.append([*calls, deepcopy(each.reset())])
        each.close()
    same_calls(*runs)


def test_pickle_before_the_first_reset() -> None:
    env: AdaptiveLearningVectorEnv = pickle.loads(pickle.dumps(make(3)))
    same(env.reset(seed=1)[0], make(3).reset(seed=1)[0])


def test_close_stops_the_threads() -> None:
    env = make(600, num_threads=3)
    env.reset(seed=0)
    env.step(np.zeros(600, int))
    threads = threading.active_count()
    env.close()
    env.close()
    assert env.closed
    assert threading.active_count() < threads


@pytest.mark.ci
def test_step_in_another_process() -> None:
    env = midway()
    batch = np.array([1, 2, 3])
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        there = pool.apply(operator.methodcaller("step", batch), (env,))
    same_calls([there], [env.step(batch)])


@pytest.mark.compiled
def test_two_environments_in_two_threads() -> None:
    envs = [make(600, num_threads=2) for _ in range(2)]
    actions = batches(envs[0].num_envs, 20)
    results: dict[int, list[Any]] = {}

    def run(k: int) -> None:
        results[k] = play(envs[k], actions, seed=k)

    threads = [threading.Thread(target=run, args=(k,)) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k, env in enumerate(envs):
        env.close()
        same_calls(results[k], play(make(600), actions, seed=k))


RUN = """
import hashlib, os, sys
import numpy as np
import alsim, alsim.simulator.simulator

def digest(env, steps):
    sha = hashlib.sha256()
    for k in range(steps):
        for array in env.step((np.arange(env.num_envs) * 7 + k) % 36)[:4]:
            sha.update(array.tobytes())
    return sha.hexdigest()

alsim.simulator.simulator.MIN_LANES_PER_THREAD = 64
env = alsim.AdaptiveLearningVectorEnv(
    300, config={"num_los": 4, "max_episode_steps": 14}, num_threads=2, info="full", autoreset_mode="SameStep"
)
env.reset(seed=0)
"""


def run(code: str, **environment: str) -> str:
    """Run code in a new interpreter, and return its output."""
    done = subprocess.run(
        [sys.executable, "-P", "-W", "ignore::DeprecationWarning", "-c", RUN + code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def expected_digest(steps: int, further: int) -> str:
    """Return the digest of the `further` steps that follow the first `steps`, computed in this process."""
    env = AdaptiveLearningVectorEnv(300, config={"num_los": 4, "max_episode_steps": 14}, autoreset_mode=SAME_STEP)
    env.reset(seed=0)
    for count in (steps, further):
        digest = hashlib.sha256()
        for k in range(count):
            for array in env.step((np.arange(300) * 7 + k) % 36)[:4]:
                digest.update(array.tobytes())
    return digest.hexdigest()


@pytest.mark.ci
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
def test_after_a_fork() -> None:
    printed = run(
        """
digest(env, 5)  # starts the threads
reader, writer = os.pipe()
child = os.fork()
if child == 0:
    os.write(writer, digest(env, 5).encode())
    env.close()
    os._exit(0)
os.close(writer)
mine = digest(env, 5)
with os.fdopen(reader) as pipe:
    print(mine, pipe.read())
assert os.waitpid(child, 0)[1] == 0
"""
    )
    expected = expected_digest(5, 5)
    assert printed.split() == [expected, expected]


@pytest.mark.versionless
@pytest.mark.ci
def test_read_only_installation(tmp_path: Path) -> None:
    package = tmp_path / "site" / "alsim"
    shutil.copytree(Path(alsim.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    paths = {path for path in tmp_path.rglob("*")}
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    package.parent.chmod(0o555)
    try:
        printed = run(
            "print(alsim.__file__, digest(env, 5))",
            PYTHONPATH=str(package.parent),
            PYTHONDONTWRITEBYTECODE="1",
            HOME=str(package.parent),
            ALSIM_CACHE_DIR="",  # root can write everywhere
            NUMBA_OPT="1",  # halves the time to compile; results are the same
        )
        assert printed.split() == [str(package / "__init__.py"), expected_digest(0, 5)]
        assert {path for path in tmp_path.rglob("*")} == paths
    finally:
        for path in [package.parent, *paths]:
            path.chmod(0o755)
