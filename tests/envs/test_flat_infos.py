"""Flat infos: numbers only, with the same keys, dtypes and shapes at every reset and step."""

import warnings
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import vector as wrappers
from vector_envs import DISABLED, FULL_KEYS, NEXT_STEP, SAME_STEP, SHORT, L, batches, make, play, same

from alsim import AdaptiveLearningEnv, AdaptiveLearningVectorEnv
from alsim.testing import check_vector_env
from alsim.testing import same as alike

pytestmark = pytest.mark.gymnasium

DTYPES: dict[str, Any] = {
    "termination_reason": np.int8,
    "item": np.int32,
    "correct": np.int8,
    "mastery_gain": np.float32,
    "frustration": np.float32,
    "response_time": np.float32,
    "fail_streak": np.int32,
    "engagement": np.float32,
    "ability": np.float32,
    "mean_mastery": np.float64,
    "step": np.int32,
}
FINAL = ("final_obs", "final_info")
OF_AN_INTERACTION = ("item", "correct", "mastery_gain", "response_time")
"""Keys that are undefined without an interaction."""
UNDEFINED = {key: DTYPES[key](-1 if issubclass(DTYPES[key], np.integer) else np.nan) for key in OF_AN_INTERACTION}


def single(**arguments: Any) -> AdaptiveLearningEnv:
    return AdaptiveLearningEnv(**{"config": SHORT, "info": "flat", **arguments})


def columns(infos: dict[str, Any]) -> dict[str, Any]:
    """Return the infos of the vector environment without masks, and without those of ended episodes."""
    return {key: value for key, value in infos.items() if not key.startswith("_") and key not in FINAL}


def is_undefined(value: Any) -> bool:
    return bool(value == -1 or np.isnan(value))


def test_the_keys_are_those_of_full_infos() -> None:
    assert tuple(DTYPES) == FULL_KEYS


def test_layout_of_the_single_environment() -> None:
    env = single()
    rng = np.random.default_rng(0)
    for seed in range(5):
        infos, finished = [env.reset(seed=seed)[1]], False
        while not finished:
            *_, terminated, truncated, info = env.step(int(rng.integers(env.action_space.n)))
            infos.append(info)
            finished = terminated or truncated
        for info in infos:
            assert {key: type(value) for key, value in info.items()} == DTYPES


@pytest.mark.parametrize("copy", [True, False])
@pytest.mark.parametrize("mode", AutoresetMode)
def test_layout_of_the_vector_environment(mode: AutoresetMode, copy: bool) -> None:
    lanes, num_ended = 3, 0
    for call in play(make(lanes, autoreset_mode=mode, info="flat", copy=copy), batches(lanes, 150)):
        infos = call[-1]
        ended = mode == SAME_STEP and len(call) > 2 and (call[2] | call[3]).any()
        levels = [infos, infos["final_info"]] if ended else [infos]
        num_ended += ended
        for level in levels:
            assert {key: value.dtype for key, value in columns(level).items()} == DTYPES
            for key, value in columns(level).items():
                assert value.shape == (lanes,)
                assert level[f"_{key}"].shape == (lanes,)
                assert level[f"_{key}"].dtype == np.bool_
        assert set(infos) == {f"{mark}{key}" for key in (*DTYPES, *(FINAL if ended else ())) for mark in ("", "_")}
    assert num_ended > 10 or mode != SAME_STEP


@pytest.mark.ci
@pytest.mark.parametrize("observation", ["mastery", "responses"])
@pytest.mark.parametrize("mode", AutoresetMode)
def test_flat_infos_equal_those_of_sync_vector_env(mode: AutoresetMode, observation: str) -> None:
    """Each lane has the infos of a single environment, bit for bit, in the layout of Gymnasium."""
    rules: dict[str, Any] = {"info": "flat", "observation": observation}
    mine = make(4, autoreset_mode=mode, **rules)
    singles: Any = SyncVectorEnv([partial(single, **rules)] * 4, autoreset_mode=mode)
    actions, seeds, num_final = batches(4, 300), [3, 2**64 - 1, 0, 77], 0
    for a, b in zip(play(mine, actions, seeds), play(singles, actions, seeds), strict=True):
        got, expected = a[-1], b[-1]
        assert got.keys() == expected.keys()
        for key in DTYPES:
            same(got[f"_{key}"], expected[f"_{key}"])
            same(got[key][got[f"_{key}"]], expected[key][got[f"_{key}"]])
        if "final_info" in got:
            same(got["_final_info"], expected["_final_info"])
            for lane in np.flatnonzero(got["_final_info"]):
                num_final += 1
                same(got["final_obs"][lane], expected["final_obs"][lane])
                for key in DTYPES:
                    assert alike(got["final_info"][key][lane], expected["final_info"][key][lane])
                    assert got["final_info"][f"_{key}"][lane]
    assert num_final > 60 or mode != SAME_STEP


@pytest.mark.parametrize("mode", AutoresetMode)
def test_lane_0_equals_the_single_environment(mode: AutoresetMode) -> None:
    """The learner of lane 0 in a batch, against the single environment with the same seed and actions."""
    vector, one, num_ended = make(3, autoreset_mode=mode, info="flat"), single(), 0
    (_, infos), (_, info) = vector.reset(seed=5), one.reset(seed=5)
    reset_next = False
    for batch in batches(3, 200):
        assert alike({key: column[0] for key, column in columns(infos).items()}, info)
        *_, terminated, truncated, infos = vector.step(batch)
        done = terminated | truncated
        if reset_next:
            info, reset_next = one.reset()[1], False
            continue
        info = one.step(batch[0])[4]
        num_ended += int(done[0])
        if mode == SAME_STEP and done[0]:
            assert alike({key: column[0] for key, column in columns(infos["final_info"]).items()}, info)
            info = one.reset()[1]
        if mode == DISABLED and done.any():
            infos = vector.reset(options={"reset_mask": done})[1]
            info = one.reset()[1] if done[0] else info
            if not done[0]:  # its interaction is not part of this call
                info = {**info, **UNDEFINED}
        reset_next = mode == NEXT_STEP and bool(done[0])
    assert num_ended > 10


@pytest.mark.heavy
@pytest.mark.parametrize("mode", AutoresetMode)
def test_flat_infos_equal_full_infos_where_both_are_defined(mode: AutoresetMode) -> None:
    lanes, compared = 3, 0
    flat, full = (make(lanes, autoreset_mode=mode, info=info) for info in ("flat", "full"))
    actions = batches(lanes, 150)
    for a, b in zip(play(flat, actions), play(full, actions), strict=True):
        if len(a) == 2:
            continue
        for one, two in ((a[-1], b[-1]), (a[-1].get("final_info", {}), b[-1].get("final_info", {}))):
            for key in FULL_KEYS if two.keys() & set(FULL_KEYS) else ():
                mask = two[f"_{key}"]
                x, y = one[key][mask], two[key][mask]
                if key == "correct":  # -1 for content, which has no response time
                    y = np.where(np.isnan(two["response_time"][mask]), -1, y).astype(np.int8)
                same(x, y)
                compared += int(mask.sum())
    assert compared > 100 * len(FULL_KEYS)


def test_undefined_values() -> None:
    env = single()
    _, info = env.reset(seed=0)
    assert {key for key, value in info.items() if is_undefined(value)} == set(OF_AN_INTERACTION)
    content = env.step(3 * L)[4]
    assert {key for key, value in content.items() if is_undefined(value)} == {"correct", "response_time"}
    question = env.step(0)[4]
    assert not any(map(is_undefined, question.values()))
    assert question["correct"] in (0, 1)


@pytest.mark.parametrize("mode", AutoresetMode)
def test_values_at_the_start_of_an_episode(mode: AutoresetMode) -> None:
    """The state is that of the first observation; an interaction is undefined; no episode has ended."""
    env = make(3, autoreset_mode=mode, info="flat")
    starts = 0
    previous_done = np.zeros(3, np.bool_)
    for call in play(env, batches(3, 100)):
        observations, infos = call[0], call[-1]
        done = (call[2] | call[3]) if len(call) > 2 else np.zeros(3, np.bool_)
        fresh = {NEXT_STEP: previous_done, SAME_STEP: done, DISABLED: infos["_step"]}[mode]
        if len(call) == 2:
            fresh = infos["_step"]
        elif mode == DISABLED:
            fresh = np.zeros(3, np.bool_)
        previous_done = done
        for lane in np.flatnonzero(fresh):
            starts += 1
            values = {key: column[lane] for key, column in columns(infos).items()}
            assert all(is_undefined(values[key]) for key in OF_AN_INTERACTION)
            state = (values["termination_reason"], values["step"], values["fail_streak"], values["frustration"])
            assert state == (0, 0, 0, 0)
            assert values["engagement"] == 1
            mean = observations[lane, :L].astype(np.float64).mean()
            assert values["mean_mastery"] == pytest.approx(mean, abs=1e-12)
    assert starts > 15


def test_a_partial_reset_masks_other_lanes_and_keeps_their_state() -> None:
    env = make(3, autoreset_mode=DISABLED, info="flat")
    env.reset(seed=0)
    before = env.step([0, 13, 2])[4]
    mask = np.array([True, False, False])
    after = env.reset(options={"reset_mask": mask})[1]
    for key in DTYPES:
        same(after[f"_{key}"], mask)
        others = after[key][1:]
        if key in OF_AN_INTERACTION:
            assert all(map(is_undefined, others))
        else:
            same(others, before[key][1:])
    assert after["step"].tolist() == [0, 1, 1]


@pytest.mark.heavy
@pytest.mark.parametrize("mode", AutoresetMode)
def test_subsets_of_lanes(mode: AutoresetMode) -> None:
    """The infos of step_lanes are those of step, for the selected lanes."""
    whole, parts = (make(4, autoreset_mode=mode, info="flat") for _ in range(2))
    whole.reset(seed=0)
    parts.reset(seed=0)
    order = np.array([2, 0])
    for batch in batches(4, 100):
        *_, terminated, truncated, infos = whole.step(batch)
        done = terminated | truncated
        got = parts.step_lanes(batch[order], order)[4]
        parts.step_lanes(batch[[1, 3]], [1, 3])
        assert alike(columns(got), {key: column[order] for key, column in columns(infos).items()})
        if "final_info" in got:
            ended = done[order]
            for key in DTYPES:
                same(got["final_info"][key][ended], infos["final_info"][key][order][ended])
        if mode == DISABLED and done.any():
            for env in (whole, parts):
                env.reset(options={"reset_mask": done})


def test_restore_returns_the_state() -> None:
    env = make(3, info="flat")
    env.reset(seed=0)
    infos = [env.step(batch)[4] for batch in batches(3, 3)][-1]
    snapshot = env.snapshot()
    env.step([0, 0, 0])
    restored = env.restore(snapshot)[1]
    assert restored["_step"].all()
    for key in set(DTYPES) - {*OF_AN_INTERACTION, "termination_reason"}:
        same(restored[key], infos[key])
    assert all(is_undefined(value) for key in OF_AN_INTERACTION for value in restored[key])
    assert make(3, info="full").restore(snapshot)[1] == {}


@pytest.mark.ci
@pytest.mark.parametrize("mode", AutoresetMode)
def test_checks_and_wrappers_of_gymnasium(mode: AutoresetMode) -> None:
    assert "infos" in check_vector_env(make(5, autoreset_mode=mode, info="flat"))
    listed: Any = wrappers.DictInfoToList(make(3, autoreset_mode=mode, info="flat"))
    for call in play(listed, batches(3, 60)):
        for entry in call[-1]:
            assert set(entry) <= {*DTYPES, *FINAL}
            assert len(call) == 2 or set(entry) >= set(DTYPES)


@pytest.mark.heavy
@pytest.mark.parametrize("info", ["none", "minimal", "full", "flat"])
def test_check_env_has_no_warnings(info: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gymnasium.make("alsim/AdaptiveLearning-v0", info=info).unwrapped)


def test_infos_belong_to_the_caller() -> None:
    env, plain = (make(3, info="flat") for _ in range(2))
    actions = batches(3, 40)
    expected = play(plain, actions)
    infos = env.reset(seed=0)[1]
    for batch, clean in zip(actions, expected[1:], strict=True):
        for array in infos.values():
            array[...] = np.ones((), array.dtype)
        infos = env.step(batch)[4]
        assert alike(infos, clean[4])


@pytest.mark.parametrize(
    ("info", "keys"),
    [
        ("none", set()),
        ("minimal", {"termination_reason"}),
        ("full", {"result", "termination_reason", "step", "mean_mastery"}),
    ],
)
def test_other_levels_of_the_single_environment(info: str, keys: set[str]) -> None:
    env, full = single(info=info), single(info="full")
    assert alike(env.reset(seed=0), full.reset(seed=0))
    finished = False
    while not finished:
        got, expected = env.step(0), full.step(0)
        assert alike(got[:4], expected[:4])
        assert got[4] == {key: expected[4][key] for key in keys}
        finished = got[2] or got[3]
    assert alike(env.episode_log, full.episode_log)
    assert AdaptiveLearningEnv().info == "full"
    assert AdaptiveLearningVectorEnv().info == "minimal"


def test_an_unknown_level() -> None:
    for make_env in (single, partial(make, 2)):
        with pytest.raises(ValueError, match=r"info must be one of 'none', 'minimal', 'full', 'flat'; got 'much'"):
            make_env(info="much")
