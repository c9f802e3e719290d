"""Tests of the vector environment through Gymnasium; tests/testing/ runs `check_vector_env` over it."""

import hashlib
import multiprocessing
import operator
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import ResetNeeded
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import vector as wrappers

import alsim
from alsim import AdaptiveLearningEnv, AdaptiveLearningVectorEnv
from alsim.jit.compile import COMPILED
from alsim.simulator import simulator
from alsim.simulator import step as step_kernels
from alsim.testing import same as alike
from alsim.types import BLOCK

pytestmark = pytest.mark.gymnasium

NEXT_STEP, SAME_STEP, DISABLED = AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED
GYMNASIUM = tuple(map(int, gymnasium.__version__.split(".")[:2]))
ID = "alsim/AdaptiveLearning-v0"
# Short episodes, which end for every reason.
SHORT = {"num_los": 4, "max_episode_steps": 14, "termination": {"mastery_threshold": 0.4, "max_frustration": 0.5}}
L, A = 4, 36
MASTERY_ACHIEVED, STEP_LIMIT, CRITICAL_FRUSTRATION = 1, 2, 3
FULL = (
    *("termination_reason", "item", "correct", "mastery_gain", "frustration", "response_time"),
    *("fail_streak", "engagement", "ability", "mean_mastery", "step"),
)

same = partial(np.testing.assert_array_equal, strict=True)


def make(num_envs: int = 3, **arguments: Any) -> AdaptiveLearningVectorEnv:
    return AdaptiveLearningVectorEnv(num_envs, **{"config": SHORT, **arguments})


def batches(env: Any, steps: int, seed: int = 0) -> Any:
    """Actions (steps, N)."""
    return np.random.default_rng(seed).integers(env.single_action_space.n, size=(steps, env.num_envs))


def play(env: Any, actions: Any, seed: Any = 0) -> list[Any]:
    """What reset and every step hand out; without autoreset, lanes that ended are reset after the step."""
    calls = [deepcopy(env.reset(seed=seed))]
    for batch in actions:
        calls.append(deepcopy(env.step(batch)))
        done = calls[-1][2] | calls[-1][3]
        if env.metadata["autoreset_mode"] == DISABLED and done.any():
            calls.append(deepcopy(env.reset(options={"reset_mask": done})))
    return calls


def same_calls(one: list[Any], two: list[Any]) -> None:
    for a, b in zip(one, two, strict=True):
        for x, y in zip(a[:-1], b[:-1], strict=True):
            same(x, y)
        assert alike(a[-1], b[-1])


# ── making one ──


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("as_word", [True, False])
def test_make_vec(mode: AutoresetMode, as_word: bool) -> None:
    env = gymnasium.make_vec(ID, 5, autoreset_mode=mode.value if as_word else mode, config=SHORT)
    assert isinstance(env, AdaptiveLearningVectorEnv)
    assert (env.num_envs, env.metadata["autoreset_mode"], env.autoreset_mode) == (5, mode, mode)
    assert env.observation_space.shape == (5, L + 2)
    assert env.single_action_space == gymnasium.spaces.Discrete(9 * L)


def test_the_modules_name_before_the_id_imports_it() -> None:
    env = gymnasium.make_vec(f"alsim:{ID}")
    assert (env.num_envs, env.metadata["autoreset_mode"]) == (1, NEXT_STEP)


def test_gymnasiums_own_vectorisation_by_make_vec() -> None:
    env = gymnasium.make_vec(ID, 2, vectorization_mode="sync", config=SHORT)
    assert isinstance(env, SyncVectorEnv)
    assert env.reset(seed=0)[0].shape == (2, L + 2)


def test_metadata_belong_to_the_instance() -> None:
    one, two = make(), make(autoreset_mode=DISABLED)
    one.metadata["mark"] = 1
    assert "mark" not in two.metadata
    assert set(AdaptiveLearningVectorEnv.metadata) == {"render_modes"}


@pytest.mark.parametrize("source", ["mapping", "file"])
def test_spec_through_json(source: str, tmp_path: Path) -> None:
    bank = alsim.sample_bank(alsim.Config.read({**SHORT, "bank": {"seed": 5}}))
    if source == "file":
        config: Any = str(tmp_path / "rules.toml")
        Path(config).write_text(
            "num_los = 4\nmax_episode_steps = 14\n[termination]\nmastery_threshold = 0.4\nmax_frustration = 0.5\n"
        )
        kept: Any = str(tmp_path / "bank")
        alsim.save_bank(bank, kept)
    else:
        config = SHORT
        kept = {
            "questions": [bank.question(k) for k in range(bank.num_questions)],
            "contents": [bank.content(k) for k in range(bank.num_contents)],
        }
    env = gymnasium.make_vec(ID, 3, config=config, bank=kept, autoreset_mode="SameStep", info="full")
    assert env.spec is not None
    twin = gymnasium.make_vec(EnvSpec.from_json(env.spec.to_json()))
    assert twin.bank == bank  # type: ignore[attr-defined]
    assert twin.info == "full"  # type: ignore[attr-defined]
    actions = batches(env, 40)
    same_calls(play(env, actions), play(twin, actions))
    same_calls(play(make(bank=bank, autoreset_mode=SAME_STEP, info="full"), actions), play(twin, actions))


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"num_envs": 0}, ValueError, "num_envs is an integer of at least 1; got 0"),
        ({"num_envs": 2.0}, ValueError, "num_envs is an integer of at least 1; got 2.0"),
        ({"num_envs": True}, ValueError, "num_envs is an integer of at least 1; got True"),
        ({"num_envs": np.array([3])}, ValueError, r"num_envs is an integer of at least 1; got array\(\[3\]\)"),
        ({"num_threads": 0}, ValueError, "num_threads is an integer of at least 1; got 0"),
        (
            {"autoreset_mode": "Never"},
            ValueError,
            "autoreset_mode is .* 'NextStep', 'SameStep', 'Disabled'; got 'Never'",
        ),
        ({"info": "much"}, ValueError, "info is one of 'none', 'minimal', 'full'; got 'much'"),
        ({"observation": "all"}, ValueError, "observation is one of 'mastery', 'responses'; got 'all'"),
        ({"render_mode": "human"}, ValueError, "render_mode is None, there is nothing to render; got 'human'"),
        ({"dynamics": "magic"}, ValueError, "dynamics is one of standard, .*; got 'magic'"),
        ({"config": {"num_loss": 4}}, alsim.ConfigError, "num_loss = 4: no such key"),
        ({"config": 5}, alsim.ConfigError, "a configuration is .*; got 5"),
        ({"bank": 5}, alsim.BankError, "a bank is .*; got 5"),
        ({"bank": {}}, alsim.BankError, "a bank is a mapping with the keys 'questions' and 'contents'"),
    ],
)
def test_arguments_that_cannot_be(arguments: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make(**arguments)


# ── equal to the single environments ──


@pytest.mark.parametrize("observation", ["mastery", "responses"])
@pytest.mark.parametrize("mode", AutoresetMode)
def test_single_environments_under_sync_vector_env(mode: AutoresetMode, observation: str) -> None:
    rules: dict[str, Any] = {"config": SHORT, "observation": observation}
    seeds = [3, 2**64 - 1, 0, 77]
    mine = AdaptiveLearningVectorEnv(4, autoreset_mode=mode, **rules)
    its: Any = SyncVectorEnv([partial(AdaptiveLearningEnv, **rules)] * 4, autoreset_mode=mode)
    ends = 0
    for a, b in zip(play(mine, batches(mine, 300), seeds), play(its, batches(mine, 300), seeds), strict=True):
        for x, y in zip(a[:-1], b[:-1], strict=True):
            same(x, y)
        ended = b[-1].get("_final_obs", np.zeros(4, np.bool_))
        same(a[-1].get("_final_obs", np.zeros(4, np.bool_)), ended)
        for lane in np.flatnonzero(ended):
            same(a[-1]["final_obs"][lane], b[-1]["final_obs"][lane])
        ends += int(len(a) > 2 and (a[2] | a[3]).sum())
    assert ends > 60


def test_single_environments_at_the_defaults() -> None:
    mine = AdaptiveLearningVectorEnv(3)
    its: Any = SyncVectorEnv([AdaptiveLearningEnv] * 3)
    for a, b in zip(play(mine, batches(mine, 300), [5, 6, 7]), play(its, batches(mine, 300), [5, 6, 7]), strict=True):
        for x, y in zip(a[:-1], b[:-1], strict=True):
            same(x, y)


def test_async_vector_env() -> None:
    mine = make(2)
    single = partial(gymnasium.make, f"alsim:{ID}", config=SHORT)
    its: Any = AsyncVectorEnv([single] * 2, context="spawn")
    try:
        for a, b in zip(play(mine, batches(mine, 60), [1, 2]), play(its, batches(mine, 60), [1, 2]), strict=True):
            for x, y in zip(a[:-1], b[:-1], strict=True):
                same(x, y)
    finally:
        its.close()


# ── wrappers ──


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("info", ["none", "full"])
def test_record_episode_statistics(mode: AutoresetMode, info: str) -> None:
    if mode == SAME_STEP and GYMNASIUM < (1, 4):
        pytest.skip("Gymnasium counts SAME_STEP episodes right from 1.4 on")
    env: Any = wrappers.RecordEpisodeStatistics(make(autoreset_mode=mode, info=info))
    actions = batches(env, 100)
    returns, lengths, ended, seen = np.zeros(3), np.zeros(3, int), np.zeros(3, np.bool_), 0
    env.reset(seed=1)
    for batch in actions:
        _, rewards, terminated, truncated, infos = env.step(batch)
        lengths = np.where(ended, 0, lengths + 1)
        returns = np.where(ended, 0.0, returns + rewards)
        done = terminated | truncated
        if done.any():
            same(infos["_episode"], done)
            np.testing.assert_allclose(infos["episode"]["r"][done], returns[done], rtol=1e-6)
            same(infos["episode"]["l"][done], lengths[done])
            seen += int(done.sum())
        ended = done & (mode == NEXT_STEP)
        if mode == DISABLED and done.any():
            env.reset(options={"reset_mask": done})
        if mode != NEXT_STEP:
            returns, lengths = np.where(done, 0.0, returns), np.where(done, 0, lengths)
    assert seen > 15


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize(
    "wrap",
    [
        wrappers.NormalizeReward,
        wrappers.DictInfoToList,
        partial(wrappers.ClipReward, min_reward=-0.1, max_reward=0.1),
        partial(wrappers.TransformReward, func=lambda reward: 2 * reward),
        partial(wrappers.TransformAction, func=lambda action: action),
    ],
)
def test_wrappers_for_every_mode(wrap: Any, mode: AutoresetMode) -> None:
    env, plain = wrap(make(autoreset_mode=mode, info="full")), make(autoreset_mode=mode)
    actions = batches(plain, 60)
    for got, expected in zip(play(env, actions), play(plain, actions), strict=True):
        same(got[0], expected[0])
        if len(got) == 2:
            continue
        same(got[2], expected[2])
        same(got[3], expected[3])
        if isinstance(env, wrappers.ClipReward):
            same(got[1], expected[1].clip(-0.1, 0.1))
        elif isinstance(env, wrappers.TransformReward):
            same(got[1], 2 * expected[1])
        elif isinstance(env, wrappers.DictInfoToList):
            assert len(got[4]) == 3
            assert {key for entry in got[4] for key in entry} <= {*FULL, "final_obs", "final_info"}


@pytest.mark.parametrize(
    ("wrap", "modes"),
    [
        (partial(wrappers.RescaleObservation, min_obs=np.float32(-1), max_obs=np.float32(1)), (NEXT_STEP, DISABLED)),
        (wrappers.FlattenObservation, (NEXT_STEP, DISABLED)),
        (wrappers.NormalizeObservation, (NEXT_STEP,)),
    ],
)
def test_wrappers_of_observations(wrap: Any, modes: tuple[AutoresetMode, ...]) -> None:
    """In the modes in which Gymnasium's newest allows them."""
    for mode in modes:
        plain = make(autoreset_mode=mode)
        actions = batches(plain, 60)
        for got, expected in zip(play(wrap(make(autoreset_mode=mode)), actions), play(plain, actions), strict=True):
            assert got[0].shape == expected[0].shape
            assert np.isfinite(got[0]).all()
            for x, y in zip(got[1:-1], expected[1:-1], strict=True):
                same(x, y)


# ── infos ──


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize(("info", "keys"), [("none", ()), ("minimal", ("termination_reason",)), ("full", FULL)])
def test_keys_of_infos(mode: AutoresetMode, info: str, keys: tuple[str, ...]) -> None:
    env = make(autoreset_mode=mode, info=info)
    expected = {f"{mark}{key}" for key in keys for mark in ("", "_")}
    final = {"final_obs", "_final_obs", "final_info", "_final_info"}
    for call in play(env, batches(env, 100)):
        if len(call) == 2:
            assert call[1] == {}
            continue
        ended = (call[2] | call[3]).any()
        assert set(call[4]) == expected | (final if mode == SAME_STEP and ended else set())
        if mode == SAME_STEP and ended:
            assert set(call[4]["final_info"]) == expected


def transitions(env: AdaptiveLearningVectorEnv, steps: int) -> Any:
    """Yield the interactions of all lanes, one by one: before, action, after, reward, flags, and the info's values."""
    observations, _ = env.reset(seed=4)
    unsaid = np.zeros(env.num_envs, np.bool_)
    waiting = np.zeros(env.num_envs, np.bool_)
    for batch in batches(env, steps, seed=9):
        after, rewards, terminated, truncated, infos = env.step(batch)
        done = terminated | truncated
        for lane in range(env.num_envs):
            final = env.autoreset_mode == SAME_STEP and done[lane]
            told, last = (infos["final_info"], infos["final_obs"][lane]) if final else (infos, after[lane])
            masks = {bool(told[f"_{key}"][lane]) for key in FULL}
            assert masks == {not waiting[lane]}
            if final:
                assert not any(infos.get(f"_{key}", unsaid)[lane] for key in FULL)
            if waiting[lane]:
                assert (rewards[lane], terminated[lane], truncated[lane]) == (0, False, False)
                assert all(told[key][lane] == 0 for key in FULL)
            else:
                facts = {key: told[key][lane] for key in FULL}
                yield (
                    lane,
                    observations[lane],
                    batch[lane],
                    last,
                    rewards[lane],
                    terminated[lane],
                    truncated[lane],
                    facts,
                )
        if env.autoreset_mode == DISABLED and done.any():
            after, _ = env.reset(options={"reset_mask": done})
        waiting = done & (env.autoreset_mode == NEXT_STEP)
        observations = after


@pytest.mark.parametrize("mode", AutoresetMode)
def test_full_info_tells_what_happened(mode: AutoresetMode) -> None:
    env = make(autoreset_mode=mode, info="full")
    close = partial(pytest.approx, abs=2e-6)
    reasons, streaks, steps, abilities, seconds = set(), {}, {}, {}, {}
    for lane, before, action, after, reward, terminated, truncated, facts in transitions(env, 300):
        question = action < 3 * L
        lo = action // 3 if question else (action - 3 * L) // 6
        # The item belongs to the action's cell (S3.1).
        if question:
            item = env.bank.question(facts["item"])
            assert item["difficulty"] == ("Easy", "Medium", "Hard")[action % 3]
        else:
            item = env.bank.content(facts["item"] - env.bank.num_questions)
            assert item["modality"] == ("video", "PPT", "text", "blog", "article", "handout")[(action - 3 * L) % 6]
        assert item["learning_outcome"] == lo
        # What changed is what is said to have changed (S4.2, S4.4, S5).
        gain, frustration, correct = facts["mastery_gain"], facts["frustration"], facts["correct"]
        change = after.astype(np.float64) - before
        assert change[lo] == close(gain)
        assert not np.delete(change[:L], lo).any()
        assert after[L] == frustration
        if question:
            assert after[L + 1] == close(min(1, facts["response_time"] / 120))
            assert facts["response_time"] >= 5
            assert gain == close(0.05 * (1 - before[lo]) * correct)
            rise = 0.15 if item["difficulty"] == "Hard" and before[lo] < 0.5 else 0.10
            assert frustration == close(max(0, before[L] - 0.05) if correct else min(1, before[L] + rise))
        else:
            assert after[L + 1] == seconds.get(lane, 0.0) if steps.get(lane, 0) else after[L + 1] == 0
            assert np.isnan(facts["response_time"])
            assert not correct
            assert frustration == close(np.clip(before[L] + item["engagement_impact"], 0, 1))
        # The reward follows from them (S6).
        paid = (
            1.0 * correct + 0.5 * gain - 0.3 * frustration if question else 2 * gain - 0.5 * item["engagement_impact"]
        )
        assert reward == close(paid)
        # So do the rest (S1.4, S7).
        assert facts["engagement"] == close(1 - frustration)
        assert facts["mean_mastery"] == pytest.approx(after[:L].astype(np.float64).mean(), abs=1e-6)
        steps[lane] = steps.get(lane, 0) + 1
        streaks[lane] = streaks.get(lane, 0) + 1 if question and not correct else 0
        assert (facts["step"], facts["fail_streak"]) == (steps[lane], streaks[lane])
        if lane in abilities:
            assert facts["ability"] == close(abilities[lane] + 0.02 * (question and correct))
        abilities[lane], seconds[lane] = facts["ability"], after[L + 1]
        reason = (
            MASTERY_ACHIEVED
            if facts["mean_mastery"] >= 0.4
            else STEP_LIMIT
            if steps[lane] >= 14
            else CRITICAL_FRUSTRATION
            if frustration >= np.float32(0.5)
            else 0
        )
        assert facts["termination_reason"] == reason
        assert terminated == (reason in (MASTERY_ACHIEVED, CRITICAL_FRUSTRATION))
        assert truncated == (reason == STEP_LIMIT)
        reasons.add(reason)
        if reason:
            del steps[lane], abilities[lane], streaks[lane]
    assert reasons == {0, MASTERY_ACHIEVED, STEP_LIMIT, CRITICAL_FRUSTRATION}


@pytest.mark.parametrize("mode", AutoresetMode)
def test_observed_responses_follow_from_the_infos(mode: AutoresetMode) -> None:
    """S8.2."""
    env = make(autoreset_mode=mode, info="full", observation="responses")
    asked, right = np.zeros((3, L)), np.zeros((3, L))
    for lane, before, action, after, *_, facts in transitions(env, 200):
        if facts["step"] == 1:
            asked[lane], right[lane] = 0, 0
            same(before, np.array([0.0] * L + [0.5] * L + [0.0, 0.0], np.float32))
        if action < 3 * L:
            asked[lane, action // 3] += 1
            right[lane, action // 3] += facts["correct"]
        shares = np.divide(right[lane], asked[lane], out=np.full(L, 0.5), where=asked[lane] > 0)
        np.testing.assert_allclose(after[:L], asked[lane] / 14, rtol=1e-6)
        np.testing.assert_allclose(after[L : 2 * L], shares, rtol=1e-6)
        assert after[2 * L] == facts["frustration"]
        if action < 3 * L:
            assert after[2 * L + 1] == np.float32(min(1, facts["response_time"] / np.float32(120)))


# ── copy=False ──


@pytest.mark.parametrize("mode", AutoresetMode)
def test_without_copies(mode: AutoresetMode) -> None:
    env, plain = make(autoreset_mode=mode, copy=False, info="full"), make(autoreset_mode=mode, info="full")
    actions = batches(env, 60)
    same_calls(play(env, actions), play(plain, actions))
    first, _ = env.reset(seed=0)
    one, two = env.step(actions[0])[:4], None
    if mode != DISABLED or not (one[2] | one[3]).any():
        two = env.step(actions[1])[:4]
        assert all(np.shares_memory(a, b) for a, b in zip(one, two, strict=True))
    assert np.shares_memory(first, one[0])
    with pytest.raises(ValueError, match="read-only"):
        first[0, 0] = 1


def test_arrays_are_the_callers() -> None:
    env, plain = make(info="full"), make(info="full")
    actions = batches(env, 40)
    expected = play(plain, actions)
    env.reset(seed=0)[0][:] = 1
    for batch, clean in zip(actions, expected[1:], strict=True):
        got = env.step(batch)
        same_calls([got], [clean])
        for array in (*got[:4], *got[4].values()):
            array[...] = np.ones((), array.dtype)
        got[4].clear()


# ── threads, lanes, seeds ──


@pytest.fixture(autouse=True)
def threads_for_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let small batches have threads, too."""
    monkeypatch.setattr(simulator, "MIN_LANES_PER_THREAD", BLOCK)


@pytest.mark.compiled
def test_threads_that_take_lanes_from_each_other() -> None:
    """Real sizes: many chunks a thread, more threads than processors."""
    lanes = 5 * step_kernels.CHUNK + 3
    envs = [make(lanes, info="full", num_threads=threads) for threads in (1, 2, 7)]
    actions = batches(envs[0], 60)
    one, two, seven = (play(env, actions, seed=3) for env in envs)
    same_calls(one, two)
    same_calls(one, seven)
    for env in envs:
        env.close()


def test_an_action_that_does_not_exist_changes_nothing_in_any_thread() -> None:
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


def test_what_fails_in_a_thread_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    env = make(600, num_threads=2)
    env.reset(seed=0)
    env.step(np.zeros(600, int))
    mine, share = env._simulator._compiled.references[0], env._simulator._compiled.step_shared

    def failing(world: Any, *arguments: Any) -> bool:
        if world is not mine:
            raise MemoryError("no more of it")
        time.sleep(0.2)
        return False

    monkeypatch.setattr(env._simulator, "_step_shared", failing)
    with pytest.raises(MemoryError, match="no more of it"):
        env.step(np.zeros(600, int))
    monkeypatch.setattr(env._simulator, "_step_shared", share)
    env.step(np.zeros(600, int))
    env.close()


@pytest.mark.compiled
@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("lanes", [256, 257, 1000])
def test_any_number_of_threads(mode: AutoresetMode, lanes: int) -> None:
    envs = [make(lanes, autoreset_mode=mode, info="full", num_threads=threads) for threads in (1, 2, 3)]
    actions = batches(envs[0], 40)
    one, two, three = (play(env, actions, seed=8) for env in envs)
    same_calls(one, two)
    same_calls(one, three)
    for env in envs:
        env.close()


@pytest.mark.compiled
@pytest.mark.parametrize("lanes", [1, 255, 256, 257])
def test_a_lane_is_the_same_in_any_crowd(lanes: int) -> None:
    crowd = make(1000, info="full", num_threads=2)
    few = make(lanes, info="full")
    actions = batches(crowd, 40)
    for a, b in zip(play(crowd, actions, seed=2), play(few, actions[:, :lanes], seed=2), strict=True):
        for x, y in zip(a[:-1], b[:-1], strict=True):
            same(x[:lanes], y)
        for key, value in b[-1].items():
            same(a[-1][key][:lanes], value)


def identities(env: AdaptiveLearningVectorEnv) -> list[tuple[int, int, int]]:
    who = env.lanes
    return list(zip(who["seed"].tolist(), who["learner"].tolist(), who["episode"].tolist(), strict=True))


def test_who_is_in_each_lane() -> None:
    """S11.3."""
    env = make()
    env.reset(seed=7)
    assert identities(env) == [(7, 0, 0), (7, 1, 0), (7, 2, 0)]
    env.reset()
    assert identities(env) == [(7, 0, 1), (7, 1, 1), (7, 2, 1)]
    env.reset(seed=[5, None, 6])
    assert identities(env) == [(5, 0, 0), (7, 1, 2), (6, 0, 0)]
    env.reset(options={"reset_mask": np.array([False, True, True])})
    assert identities(env) == [(5, 0, 0), (7, 1, 3), (6, 0, 1)]
    env.reset(seed=9, options={"reset_mask": np.array([False, False, True])})
    assert identities(env) == [(5, 0, 0), (7, 1, 3), (9, 2, 0)]
    env.reset(seed=1, options={"learner": 10})
    assert identities(env) == [(1, 10, 0), (1, 11, 0), (1, 12, 0)]
    env.reset(seed=1, options={"learner": [4, 2**32 - 1, 2**31]})
    assert identities(env) == [(1, 4, 0), (1, 2**32 - 1, 0), (1, 2**31, 0)]
    env.reset(seed=2**64 - 1, options={"learner": np.array([1, 1, 0], np.uint8)})
    assert identities(env) == [(2**64 - 1, 1, 0), (2**64 - 1, 1, 0), (2**64 - 1, 0, 0)]


@pytest.mark.parametrize("mode", [NEXT_STEP, SAME_STEP])
def test_an_autoreset_goes_on_to_the_next_episode(mode: AutoresetMode) -> None:
    env = make(autoreset_mode=mode)
    episodes, waiting = np.zeros(3, int), np.zeros(3, np.bool_)
    env.reset(seed=3)
    for batch in batches(env, 60):
        done = operator.or_(*env.step(batch)[2:4])
        episodes += done if mode == SAME_STEP else waiting
        waiting = done
        assert env.lanes["episode"].tolist() == episodes.tolist()
    assert episodes.min() > 2


def first_observations(**arguments: Any) -> Any:
    return make().reset(**arguments)[0]


def test_lanes_by_learner_seed_and_list() -> None:
    whole = first_observations(seed=7)
    alone = AdaptiveLearningEnv(SHORT)
    for lane in range(3):
        same(whole[lane], alone.reset(seed=7, options={"learner": lane})[0])
    listed = first_observations(seed=[7, 8, 7])
    same(listed[0], whole[0])
    same(listed[1], alone.reset(seed=8)[0])
    same(listed[2], whole[0])
    same(first_observations(seed=7, options={"learner": 1})[:2], whole[1:])
    same(first_observations(seed=7, options={"learner": [2, 0, 1]}), whole[[2, 0, 1]])
    held_out = first_observations(seed=7, options={"learner": 2**31})
    assert not (held_out == whole)[:, :L].any()
    # No learner of one seed is one of another, as it would be with seed + i.
    assert len(np.unique(np.concatenate([whole, first_observations(seed=8), held_out]), axis=0)) == 9


@pytest.mark.parametrize("kind", [np.int64, np.uint64, np.int8, np.array])
def test_seeds_of_numpy(kind: Any) -> None:
    same(first_observations(seed=kind(5)), first_observations(seed=5))
    same(first_observations(seed=[kind(5), None, 6])[[0, 2]], first_observations(seed=[5, None, 6])[[0, 2]])
    same(first_observations(seed=5, options={"learner": kind(3)}), first_observations(seed=5, options={"learner": 3}))


def test_a_list_of_seeds_may_be_an_array() -> None:
    same(first_observations(seed=np.array([5, 2**64 - 1, 7], np.uint64)), first_observations(seed=(5, 2**64 - 1, 7)))


def test_without_a_seed_each_environment_is_another() -> None:
    one, two = make(), make()
    assert (one.reset()[0] != two.reset()[0])[:, :L].all()
    assert (one.reset()[0] != one.reset()[0])[:, :L].all()
    assert len(set(one.lanes["seed"].tolist())) == 1


def test_a_list_on_a_fresh_environment_may_hold_none() -> None:
    env = make()
    env.reset(seed=[None, 4, None])
    seeds = env.lanes["seed"].tolist()
    assert seeds[1] == 4
    assert seeds[0] == seeds[2] != 4


def test_a_reset_by_mask_does_not_wait() -> None:
    env = make()
    env.reset(seed=1)
    for batch in batches(env, 20):
        done = operator.or_(*env.step(batch)[2:4])
        if done.any():
            break
    before, _ = env.reset(options={"reset_mask": done})
    after, _, _, _, infos = env.step(np.zeros(3, int))
    assert infos["_termination_reason"].all()
    assert (env.lanes["step"] >= 1).all()
    assert (before != after).any(axis=1).all()


# ── bad input: a clear error, and nothing has changed ──

BAD_ACTIONS: list[tuple[Any, type[Exception], str]] = [
    (np.zeros(2, int), ValueError, "actions have shape (3,), one a lane; got shape (2,)"),
    (np.zeros((3, 1), int), ValueError, "actions have shape (3,), one a lane; got shape (3, 1)"),
    (3, ValueError, "actions have shape (3,), one a lane; got shape ()"),
    (None, ValueError, "actions have shape (3,), one a lane; got shape ()"),
    (np.zeros(3), TypeError, "actions are integers; got dtype float64"),
    (np.zeros(3, bool), TypeError, "actions are integers; got dtype bool"),
    (["a", "b", "c"], TypeError, "actions are integers; got dtype <U1"),
    ([0, 1, 2**70], TypeError, "actions are integers; got dtype object"),
    ([0, 1, A], ValueError, f"actions are integers in [0, {A}); got {A} in lane 2"),
    ([0, -1, A], ValueError, f"actions are integers in [0, {A}); got -1 in lane 1"),
    (np.array([0, 2**63 + 1, 2**64 - 1], np.uint64), ValueError, f"got {2**63 + 1} in lane 1"),
    (np.array([-128, 0, 0], np.int8), ValueError, "got -128 in lane 0"),
]
BAD_RESETS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"seed": -1}, ValueError, "seed is an integer in [0, 2**64); got -1"),
    ({"seed": 2**64}, ValueError, f"seed is an integer in [0, 2**64); got {2**64}"),
    ({"seed": 1.0}, TypeError, "seed is an integer in [0, 2**64); got 1.0"),
    ({"seed": "1"}, TypeError, "seed is an integer in [0, 2**64); got '1'"),
    ({"seed": True}, TypeError, "seed is an integer in [0, 2**64); got True"),
    ({"seed": np.True_}, TypeError, "seed is an integer in [0, 2**64); got np.True_"),
    ({"seed": np.array(1.0)}, TypeError, "seed is an integer in [0, 2**64); got array(1.)"),
    ({"seed": [1, 2]}, ValueError, "a list of seeds has one entry a lane, 3; got 2"),
    ({"seed": [1, 2, 3, 4]}, ValueError, "a list of seeds has one entry a lane, 3; got 4"),
    ({"seed": [1, -1, 3]}, ValueError, "seed[1] is an integer in [0, 2**64); got -1"),
    ({"seed": [1, 2, 3.0]}, TypeError, "seed[2] is an integer in [0, 2**64); got 3.0"),
    ({"seed": np.zeros((3, 2), int)}, TypeError, "seed[0] is an integer in [0, 2**64); got array([0, 0])"),
    ({"options": {"mask": np.ones(3, bool)}}, ValueError, "reset options are 'reset_mask', 'learner'; got 'mask'"),
    ({"options": [1]}, TypeError, "options is a mapping of 'reset_mask', 'learner'; got [1]"),
    ({"options": {"reset_mask": [True] * 3}}, TypeError, "options['reset_mask'] is a NumPy array; got list"),
    ({"options": {"reset_mask": np.ones(4, bool)}}, ValueError, "options['reset_mask'] has shape (3,); got (4,)"),
    ({"options": {"reset_mask": np.ones(3, int)}}, TypeError, "options['reset_mask'] has dtype bool; got int64"),
    ({"options": {"reset_mask": np.zeros(3, bool)}}, ValueError, "options['reset_mask'] names no lane"),
    ({"options": {"learner": 1}}, ValueError, "options['learner'] goes with an integer seed; got seed=None"),
    ({"seed": [1, 2, 3], "options": {"learner": 1}}, ValueError, "with an integer seed; got a list of seeds"),
    ({"seed": 1, "options": {"learner": -1}}, ValueError, "options['learner'] is an integer in [0, 2**32); got -1"),
    ({"seed": 1, "options": {"learner": 1.5}}, TypeError, "options['learner'] is an integer in [0, 2**32); got 1.5"),
    ({"seed": 1, "options": {"learner": 2**32 - 2}}, ValueError, "3 lanes from there pass the last learner, 2**32 - 1"),
    ({"seed": 1, "options": {"learner": [1, 2]}}, ValueError, "options['learner'] has one entry a lane, 3; got 2"),
    ({"seed": 1, "options": {"learner": [1, 2**32, 3]}}, ValueError, "options['learner'][1] is an integer in"),
]


def midway(mode: AutoresetMode = NEXT_STEP) -> AdaptiveLearningVectorEnv:
    """In the middle of an episode."""
    env = make(autoreset_mode=mode, info="full")
    env.reset(seed=0)
    for batch in batches(env, 3):
        env.step(batch)
    return env


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize(("actions", "error", "words"), BAD_ACTIONS)
def test_actions_that_cannot_be(actions: Any, error: type[Exception], words: str, mode: AutoresetMode) -> None:
    env = midway(mode)
    before = pickle.dumps(env)
    with pytest.raises(error, match=re.escape(words)):
        env.step(actions)
    assert pickle.dumps(env) == before


@pytest.mark.parametrize(("arguments", "error", "words"), BAD_RESETS)
def test_resets_that_cannot_be(arguments: dict[str, Any], error: type[Exception], words: str) -> None:
    for env in (midway(), make()):
        before = pickle.dumps(env)
        with pytest.raises(error, match=re.escape(words)):
            env.reset(**arguments)
        assert pickle.dumps(env) == before


def test_options_stay_as_they_are() -> None:
    env = midway()
    options = {"reset_mask": np.array([True, False, False]), "learner": [1, 2, 3]}
    env.reset(seed=1, options=options)
    assert list(options) == ["reset_mask", "learner"]
    same(options["reset_mask"], np.array([True, False, False]))


def test_a_step_before_the_first_reset() -> None:
    env = make()
    before = pickle.dumps(env)
    with pytest.raises(ResetNeeded, match=re.escape("call reset() before step()")):
        env.step(np.zeros(3, int))
    assert pickle.dumps(env) == before


def test_a_first_reset_by_mask() -> None:
    env = make()
    with pytest.raises(ValueError, match="the first reset begins every lane"):
        env.reset(seed=0, options={"reset_mask": np.array([True, False, True])})
    env.reset(seed=0, options={"reset_mask": np.ones(3, bool)})


def test_a_finished_lane_without_autoreset() -> None:
    env = make(autoreset_mode=DISABLED)
    env.reset(seed=0)
    for batch in batches(env, 20):
        done = operator.or_(*env.step(batch)[2:4])
        if done.any():
            break
    before = pickle.dumps(env)
    with pytest.raises(ResetNeeded, match=f"the episode in lane {np.argmax(done)} is over"):
        env.step(np.zeros(3, int))
    assert pickle.dumps(env) == before
    env.reset(options={"reset_mask": done})
    env.step(np.zeros(3, int))


def test_actions_of_lanes_about_to_be_reset_are_not_looked_at() -> None:
    one, two = make(), make()
    actions = batches(one, 60)
    calls = play(one, actions)
    two.reset(seed=0)
    ended, ignored = np.zeros(3, np.bool_), 0
    for batch, expected in zip(actions, calls[1:], strict=True):
        same_calls([two.step(np.where(ended, [-1, 2**40, -(2**63)], batch))], [expected])
        ended = expected[2] | expected[3]
        ignored += int(ended.sum())
    assert ignored > 6


@pytest.mark.parametrize("change", ["readonly", "int8", "big-endian", "strided", "list", "uint64"])
def test_actions_of_any_integer_kind(change: str) -> None:
    one, two = make(), make()
    batch = np.array([30, 0, 35])
    frozen = batch.copy()
    frozen.flags.writeable = False
    changed: Any = {
        "readonly": frozen,
        "int8": batch.astype(np.int8),
        "big-endian": batch.astype(">i4"),
        "strided": np.repeat(batch, 2)[::2],
        "list": batch.tolist(),
        "uint64": batch.astype(np.uint64),
    }[change]
    same_calls(play(one, [batch] * 5), play(two, [changed] * 5))


def test_an_interrupted_step_does_not_hide_that_episodes_are_over(monkeypatch: pytest.MonkeyPatch) -> None:
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
    """Whatever is raised in the middle of a step, all of it is done when the caller sees it."""
    lanes = 40 * step_kernels.CHUNK
    env = make(lanes, num_threads=3)
    env.reset(seed=0)
    actions = np.zeros(lanes, int)
    env.step(actions)
    seen = 0
    old = signal.signal(signal.SIGALRM, alarm)
    try:
        for attempt in range(40):
            try:
                signal.setitimer(signal.ITIMER_REAL, 1e-5 + attempt * 2e-5)
                for _ in range(50):
                    env.step(actions)
            except TimeoutError:
                seen += 1
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            steps = env._simulator.population.step
            before = steps.copy()
            time.sleep(0.002)
            same(steps, before)
    finally:
        signal.signal(signal.SIGALRM, old)
    assert seen > 20
    env.close()


def alarm(number: int, frame: Any) -> None:
    raise TimeoutError


# ── memory ──


def test_memory_that_nobody_holds_is_used_again() -> None:
    env = make(300)
    env.reset(seed=0)
    addresses = set()
    for batch in batches(env, 30):
        observation, *_ = env.step(batch)
        addresses.add(observation.ctypes.data)
    assert len(addresses) == 2  # the one at hand, and the one being written


@pytest.mark.parametrize("hold", range(6))
@pytest.mark.parametrize(
    "part_of",
    [lambda x: x, lambda x: x[:1], memoryview, lambda x: x.view(np.int8)],
    ids=["array", "slice", "memoryview", "view"],
)
def test_memory_that_somebody_holds_is_not(hold: int, part_of: Any) -> None:
    """Any one of what a step hands out, or anything that looks at a part of it."""
    env = make(300)
    env.reset(seed=0)
    held, copies = [], []
    for batch in batches(env, 12):
        *arrays, infos = env.step(batch)
        kept = [*arrays, *infos.values()][hold]
        held.append(part_of(kept))
        copies.append(np.array(held[-1]))
        del arrays, infos, kept
    for array, copy in zip(held, copies, strict=True):
        same(np.asarray(array), copy)


def test_what_a_caller_makes_of_its_arrays_is_its_own_affair() -> None:
    env, other = make(300), make(300)
    env.reset(seed=0)
    other.reset(seed=0)
    for batch in batches(env, 12):
        calls = [each.step(batch) for each in (env, other)]
        same_calls(*([call] for call in calls))
        observation, reward, terminated, *_ = calls[0]
        observation.shape = (2, -1)
        reward.flags.writeable = False
        terminated[:] = True
        with pytest.raises(ValueError, match="does not own its data"):
            reward.resize(1, refcheck=False)
        del calls, observation, reward, terminated


# ── pickles, processes, threads ──


@pytest.mark.parametrize("copy", [True, False])
@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("twin_of", [deepcopy, lambda env: pickle.loads(pickle.dumps(env))], ids=["deepcopy", "pickle"])
def test_a_twin_goes_on_alike(twin_of: Any, mode: AutoresetMode, copy: bool) -> None:
    lanes = 300 if COMPILED else BLOCK + 3
    env = make(lanes, autoreset_mode=mode, info="full", num_threads=2, observation="responses", copy=copy)
    actions = batches(env, 30)
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


def test_pickles_before_the_first_reset() -> None:
    env: AdaptiveLearningVectorEnv = pickle.loads(pickle.dumps(make()))
    same(env.reset(seed=1)[0], first_observations(seed=1))


def test_closing() -> None:
    env = make(600, num_threads=3)
    env.reset(seed=0)
    env.step(np.zeros(600, int))
    threads = threading.active_count()
    env.close()
    env.close()
    assert env.closed
    assert threading.active_count() < threads


def test_another_process() -> None:
    env = midway()
    batch = np.array([1, 2, 3])
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        there = pool.apply(operator.methodcaller("step", batch), (env,))
    same_calls([there], [env.step(batch)])


@pytest.mark.compiled
def test_two_environments_in_two_threads() -> None:
    envs = [make(600, num_threads=2) for _ in range(2)]
    actions = batches(envs[0], 20)
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

def go_on(env, steps):
    digest = hashlib.sha256()
    for k in range(steps):
        for array in env.step((np.arange(env.num_envs) * 7 + k) % 36)[:4]:
            digest.update(array.tobytes())
    return digest.hexdigest()

alsim.simulator.simulator.MIN_LANES_PER_THREAD = 64
env = alsim.AdaptiveLearningVectorEnv(
    300, config={"num_los": 4, "max_episode_steps": 14}, num_threads=2, info="full", autoreset_mode="SameStep"
)
env.reset(seed=0)
"""


def run(code: str, **environment: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-P", "-W", "ignore::DeprecationWarning", "-c", RUN + code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def digest_here(steps: int, again: int) -> str:
    """What the interpreters' digests of the last steps must be."""
    env = AdaptiveLearningVectorEnv(300, config={"num_los": 4, "max_episode_steps": 14}, autoreset_mode=SAME_STEP)
    env.reset(seed=0)
    for count in (steps, again):
        digest = hashlib.sha256()
        for k in range(count):
            for array in env.step((np.arange(300) * 7 + k) % 36)[:4]:
                digest.update(array.tobytes())
    return digest.hexdigest()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_after_a_fork() -> None:
    printed = run(
        """
go_on(env, 5)  # starts the threads
reader, writer = os.pipe()
child = os.fork()
if child == 0:
    os.write(writer, go_on(env, 5).encode())
    env.close()
    os._exit(0)
os.close(writer)
mine = go_on(env, 5)
with os.fdopen(reader) as pipe:
    print(mine, pipe.read())
assert os.waitpid(child, 0)[1] == 0
"""
    )
    expected = digest_here(5, 5)
    assert printed.split() == [expected, expected]


@pytest.mark.ci
@pytest.mark.versionless
def test_an_installation_that_cannot_be_written(tmp_path: Path) -> None:
    package = tmp_path / "site" / "alsim"
    shutil.copytree(Path(alsim.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    kept = {path for path in tmp_path.rglob("*")}
    for path in kept:
        path.chmod(0o555 if path.is_dir() else 0o444)
    package.parent.chmod(0o555)
    try:
        printed = run(
            "print(alsim.__file__, go_on(env, 5))",
            PYTHONPATH=str(package.parent),
            PYTHONDONTWRITEBYTECODE="1",
            HOME=str(package.parent),
            ALSIM_CACHE_DIR="",  # for root, everything can be written
            NUMBA_OPT="1",  # it compiles anew: halves the wait, and the bits are the same
        )
        assert printed.split() == [str(package / "__init__.py"), digest_here(0, 5)]
        assert {path for path in tmp_path.rglob("*")} == kept
    finally:
        for path in [package.parent, *kept]:
            path.chmod(0o755)
