"""Infos of the vector environment."""

from functools import partial
from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from vector_envs import (
    DISABLED,
    FULL_KEYS,
    NEXT_STEP,
    SAME_STEP,
    L,
    batches,
    make,
    play,
    same,
)

from alsim import AdaptiveLearningVectorEnv
from alsim.envs.infos import INFO_LEVELS

pytestmark = pytest.mark.gymnasium

MASTERY_ACHIEVED, STEP_LIMIT, CRITICAL_FRUSTRATION = 1, 2, 3


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize(("info", "keys"), [("none", ()), ("minimal", ("termination_reason",)), ("full", FULL_KEYS)])
def test_info_keys(mode: AutoresetMode, info: str, keys: tuple[str, ...]) -> None:
    env = make(3, autoreset_mode=mode, info=info)
    expected = {f"{mark}{key}" for key in keys for mark in ("", "_")}
    final = {"final_obs", "_final_obs", "final_info", "_final_info"}
    for call in play(env, batches(env.num_envs, 100)):
        if len(call) == 2:
            assert call[1] == {}
            continue
        ended = (call[2] | call[3]).any()
        assert set(call[4]) == expected | (final if mode == SAME_STEP and ended else set())
        if mode == SAME_STEP and ended:
            assert set(call[4]["final_info"]) == expected


@pytest.mark.heavy
@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("info", INFO_LEVELS)
def test_a_key_has_the_same_dtype_and_shape_in_every_call(mode: AutoresetMode, info: str) -> None:
    env = make(3, autoreset_mode=mode, info=info)
    seen: dict[str, Any] = {}
    for call in play(env, batches(env.num_envs, 150)):
        infos = call[-1]
        for prefix, level in (("", infos), ("final_info: ", infos.get("final_info", {}))):
            for key, value in level.items():
                if key != "final_info":
                    layout = (value.dtype, value.shape)
                    assert seen.setdefault(prefix + key, layout) == layout


def transitions(env: AdaptiveLearningVectorEnv, steps: int) -> Any:
    """Yield each interaction of each lane: observation before, action, observation after, reward, flags, infos."""
    observations, _ = env.reset(seed=4)
    no_lane = np.zeros(env.num_envs, np.bool_)
    waiting = np.zeros(env.num_envs, np.bool_)
    for batch in batches(env.num_envs, steps, seed=9):
        after, rewards, terminated, truncated, infos = env.step(batch)
        done = terminated | truncated
        for lane in range(env.num_envs):
            final = env.autoreset_mode == SAME_STEP and done[lane]
            lane_infos, last = (infos["final_info"], infos["final_obs"][lane]) if final else (infos, after[lane])
            masks = {bool(lane_infos[f"_{key}"][lane]) for key in FULL_KEYS}
            assert masks == {not waiting[lane]}
            if final:
                assert not any(infos.get(f"_{key}", no_lane)[lane] for key in FULL_KEYS)
            if waiting[lane]:
                assert (rewards[lane], terminated[lane], truncated[lane]) == (0, False, False)
                assert all(lane_infos[key][lane] == 0 for key in FULL_KEYS)
            else:
                facts = {key: lane_infos[key][lane] for key in FULL_KEYS}
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


@pytest.mark.heavy
@pytest.mark.parametrize("mode", AutoresetMode)
def test_full_infos_describe_the_interaction(mode: AutoresetMode) -> None:
    env = make(3, autoreset_mode=mode, info="full")
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
        # The observation changed as the infos say (S4.2, S4.4, S5).
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
        expected_reward = (
            1.0 * correct + 0.5 * gain - 0.3 * frustration if question else 2 * gain - 0.5 * item["engagement_impact"]
        )
        assert reward == close(expected_reward)
        # The other values follow, too (S1.4, S7).
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


@pytest.mark.heavy
@pytest.mark.parametrize("mode", AutoresetMode)
def test_responses_observation_agrees_with_infos(mode: AutoresetMode) -> None:
    """Clause S8.2."""
    env = make(3, autoreset_mode=mode, info="full", observation="responses")
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
