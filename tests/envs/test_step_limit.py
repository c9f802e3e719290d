"""The argument max_episode_steps of the environments, and Gymnasium's TimeLimit."""

import re
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from vector_envs import DISABLED, SHORT, batches, make, play, same_calls

from alsim import AdaptiveLearningEnv, AdaptiveLearningVectorEnv, Config
from alsim.testing import same as alike

pytestmark = pytest.mark.gymnasium

ID = "alsim/AdaptiveLearning-v0"
ENDLESS: dict[str, Any] = {"num_los": 4, "termination": {"mastery_threshold": 1.0, "max_frustration": 1.0}}
"""A configuration under which episodes end at the step limit if only videos are shown."""
VIDEO = 12
"""Action that shows a video about outcome 0 under 4 outcomes: it reduces frustration."""


def episode(env: Any, action: int = VIDEO) -> list[Any]:
    """Return the results of reset and of each step of one episode."""
    calls = [env.reset(seed=0)]
    while len(calls) == 1 or not (calls[-1][2] or calls[-1][3]):
        calls.append(env.step(action))
    return calls


@pytest.mark.parametrize("steps", [1, 7, 300, np.int64(7)])
@pytest.mark.parametrize("config", [ENDLESS, {**ENDLESS, "max_episode_steps": 50}, Config.read(ENDLESS)])
def test_the_argument_is_the_limit_of_the_configuration(steps: Any, config: Any) -> None:
    env = AdaptiveLearningEnv(config, max_episode_steps=steps)
    assert env.config == Config.read({**ENDLESS, "max_episode_steps": int(steps)})
    assert env.max_steps == steps
    calls = episode(env)
    assert len(calls) == steps + 1
    assert [(call[2], call[3]) for call in calls[1:]] == [(False, False)] * (int(steps) - 1) + [(False, True)]
    assert calls[-1][4]["termination_reason"] == "step_limit"
    assert alike(calls, episode(AdaptiveLearningEnv({**ENDLESS, "max_episode_steps": int(steps)})))


def test_a_termination_in_the_last_step_follows_the_specification() -> None:
    """S7: one reason and one flag, where the wrapper TimeLimit would set both flags."""
    rules = {**ENDLESS, "termination": {"mastery_threshold": 0.0, "max_frustration": 1.0}}
    *_, terminated, truncated, info = episode(AdaptiveLearningEnv(rules, max_episode_steps=1))[-1]
    assert (terminated, truncated, info["termination_reason"]) == (True, False, "mastery_achieved")
    *_, terminated, truncated, _ = episode(gymnasium.make(ID, config=rules, max_episode_steps=1))[-1]
    assert (terminated, truncated) == (True, True)


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("vectorization_mode", [None, "vector_entry_point"])
def test_make_vec(mode: AutoresetMode, vectorization_mode: str | None) -> None:
    rules: dict[str, Any] = {"autoreset_mode": mode, "info": "full"}
    env: Any = gymnasium.make_vec(
        ID, 3, vectorization_mode=vectorization_mode, max_episode_steps=9, config=SHORT, **rules
    )
    assert isinstance(env, AdaptiveLearningVectorEnv)
    assert env.config.max_episode_steps == 9
    twin = make(3, config={**SHORT, "max_episode_steps": 9}, **rules)
    calls = play(env, batches(3, 60))
    same_calls(calls, play(twin, batches(3, 60)))
    steps = [call for call in calls if len(call) > 2]
    assert any(call[3].any() for call in steps)
    assert not any((call[2] & call[3]).any() for call in steps)
    reasons = [call[4].get("final_info", call[4]).get("termination_reason", np.zeros(3)) for call in steps]
    assert all(((reason == 2) == call[3]).all() for reason, call in zip(reasons, steps, strict=True))


def test_make_vec_of_a_spec_with_a_limit() -> None:
    """A user's own registration with a limit reaches the configuration of the vector environment."""
    spec = gymnasium.envs.registration.EnvSpec(
        "Mine-v0", entry_point="alsim.envs:AdaptiveLearningEnv", max_episode_steps=11
    )
    spec.vector_entry_point = "alsim.envs:AdaptiveLearningVectorEnv"
    env: Any = gymnasium.make_vec(spec, 2)
    assert env.config.max_episode_steps == 11


def test_gymnasium_make_adds_its_own_time_limit() -> None:
    """The statements of the documentation: the argument of gymnasium.make does not reach the environment."""
    env: Any = gymnasium.make(ID, config=ENDLESS, max_episode_steps=5)
    assert isinstance(env, gymnasium.wrappers.TimeLimit)
    assert env.unwrapped.max_steps == 140
    calls = episode(env)
    assert len(calls) == 6
    assert calls[-1][3]
    assert calls[-1][4]["termination_reason"] is None
    assert len(episode(gymnasium.make(ID, config=ENDLESS, max_episode_steps=300))) == 141
    longer: Any = gymnasium.make(ID, config={**ENDLESS, "max_episode_steps": 300})
    assert len(episode(longer)) == 301


@pytest.mark.ci
@pytest.mark.parametrize("vectorization_mode", ["sync", "async"])
def test_other_vectorization_modes_add_the_time_limit_of_gymnasium(vectorization_mode: str) -> None:
    env: Any = gymnasium.make_vec(
        *(f"alsim:{ID}", 2),
        vectorization_mode=vectorization_mode,
        vector_kwargs={"context": "spawn"} if vectorization_mode == "async" else {},
        config=ENDLESS,
        max_episode_steps=5,
    )
    try:
        assert env.get_attr("max_steps") == (140, 140)
        env.reset(seed=0)
        *_, truncated, infos = [env.step(np.array([VIDEO, VIDEO])) for _ in range(5)][-1]
        assert truncated.tolist() == [True, True]
        assert list(infos["termination_reason"]) == [None, None]
    finally:
        env.close()
    with_config: Any = gymnasium.make_vec(ID, 2, vectorization_mode="sync", config={**ENDLESS, "max_episode_steps": 5})
    assert isinstance(with_config, SyncVectorEnv)
    with_config.reset(seed=0)
    infos = [with_config.step(np.array([VIDEO, VIDEO])) for _ in range(5)][-1][4]
    assert list(infos["termination_reason"]) == ["step_limit", "step_limit"]


@pytest.mark.parametrize("steps", [0, -1, 2.0, "9", True, 2**31 - 1, 2**70, np.array([3])])
def test_invalid_limits(steps: Any) -> None:
    words = f"max_episode_steps must be an integer in [1, 2147483646]; got {steps!r}: leave it out"
    for make_env in (AdaptiveLearningEnv, AdaptiveLearningVectorEnv):
        with pytest.raises(ValueError, match=re.escape(words)) as raised:
            make_env(max_episode_steps=steps)
        assert "\n" not in str(raised.value)


def test_action_masks() -> None:
    """All actions are valid, and the arrays belong to the caller."""
    one, many = AdaptiveLearningEnv(SHORT), make(3, autoreset_mode=DISABLED)
    for env, shape in ((one, (36,)), (many, (3, 36)), (AdaptiveLearningEnv(), (270,))):
        for _ in range(2):  # before and after a reset
            masks = env.action_masks()
            assert (masks.shape, masks.dtype) == (shape, np.bool_)
            assert masks.all()
            masks[...] = False
            env.reset(seed=0)
    wrapped = gymnasium.wrappers.RecordEpisodeStatistics(gymnasium.make(ID, config=SHORT))
    assert wrapped.get_wrapper_attr("action_masks")().shape == (36,)
