"""First examples of Stable-Baselines3 and sb3-contrib, and what they read from the VecEnv."""

import pickle
import warnings
from copy import deepcopy
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from sb3_contrib import QRDQN, MaskablePPO, RecurrentPPO  # noqa: F401  # in rows of the table
from sb3_contrib.common.maskable.evaluation import evaluate_policy as evaluate_maskable
from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported
from stable_baselines3 import A2C, DQN, PPO  # noqa: F401  # in rows of the table
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.env_checker import check_env  # noqa: F401  # in rows of the table
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    SubprocVecEnv,  # noqa: F401  # in rows of the table
    VecMonitor,
    VecVideoRecorder,
)

import alsim
from alsim.envs.sb3 import make
from alsim.training import policy_of

torch.set_num_threads(1)  # more threads are slower for such small networks
ID = "alsim/AdaptiveLearning-v0"
SMALL = {"num_los": 3, "max_episode_steps": 12}
N = 5


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Videos and models go to a temporary folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def venv():
    made = make(N, config=SMALL, seed=3)
    yield made
    made.close()


def test_first_example(first_example):
    first_example.check_version()
    names = first_example.run(globals())
    if "venv" in names and names["venv"] is not venv:
        stepped = names["venv"]
        stepped.reset()
        observations, rewards, dones, infos = stepped.step(np.zeros(stepped.num_envs, np.int64))
        assert len(observations) == len(rewards) == len(dones) == len(infos) == stepped.num_envs
        stepped.close()


def test_a_saved_model_of_the_quickstart_is_loaded():
    """https://stable-baselines3.readthedocs.io/en/master/guide/examples.html, "Basic Usage": save, load, evaluate."""
    model = DQN("MlpPolicy", gym.make(ID, config=SMALL), buffer_size=1000, learning_starts=10, device="cpu", seed=0)
    model.learn(50)
    model.save("dqn")
    loaded = DQN.load("dqn", env=gym.make(ID, config=SMALL))
    mean, _ = evaluate_policy(loaded, loaded.get_env(), n_eval_episodes=3)
    assert np.isfinite(mean)
    vec_env = loaded.get_env()
    obs = vec_env.reset()
    for _ in range(3):
        action, _ = loaded.predict(obs, deterministic=True)
        obs, *_ = vec_env.step(action)


VENVS = {"make": lambda: make(N, config=SMALL), "make_vec_env": lambda: make_vec_env(ID, 2)}


@pytest.mark.parametrize("make_venv", VENVS.values(), ids=VENVS)
def test_evaluation_does_not_warn(make_venv):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = PPO("MlpPolicy", make_venv(), n_steps=8, batch_size=8, device="cpu")
        earned, lengths = evaluate_policy(model, make_venv(), n_eval_episodes=6, return_episode_rewards=True)
        model.learn(16, callback=EvalCallback(make_venv(), n_eval_episodes=2, eval_freq=8, verbose=0))
    assert len(earned) == len(lengths) == 6


def test_evaluated_returns_are_those_of_the_infos():
    """`Monitor` counts as a wrapper, so that returns and lengths of `evaluate_policy` come from the infos."""
    model = PPO("MlpPolicy", make(N, config=SMALL), n_steps=8, batch_size=8, device="cpu")
    seen = []

    def collect(names, _):
        if names["done"]:
            seen.append((names["info"]["episode"]["r"], names["info"]["episode"]["l"]))

    venv = make(N, config=SMALL, seed=0, held_out=True)
    earned, lengths = evaluate_policy(model, venv, n_eval_episodes=10, return_episode_rewards=True, callback=collect)
    assert seen == list(zip(earned, lengths, strict=True))


def test_lanes_have_the_attributes_of_a_single_environment(venv):
    theirs = DummyVecEnv([lambda: gym.make(ID, config=SMALL)])
    for name in ("observation_space", "action_space", "render_mode", "metadata", "spec"):
        assert venv.get_attr(name) == theirs.get_attr(name) * N, name
    assert venv.get_attr("config") == [alsim.Config.read(SMALL)] * N
    venv.reset()
    venv.step(np.arange(N))
    states, single = venv.get_attr("learner_state"), gym.make(ID, config=SMALL).unwrapped
    for lane, state in enumerate(states):
        single.reset(seed=3, options={"learner": lane})
        single.step(lane)
        np.testing.assert_equal(state, single.learner_state)
    assert venv.get_attr("step_count") == [1] * N
    assert venv.get_attr("index", [1, 3]) == [1, 3] and venv.get_attr("index", 2) == [2]
    assert [lane.learner_state["ability"] for lane in venv.get_attr("unwrapped")] == [s["ability"] for s in states]
    assert venv.env_method("get_wrapper_attr", "step_count") == [1] * N


def test_unknown_attributes_are_an_error(venv):
    assert venv.has_attr("action_masks") and venv.has_attr("bank") and not venv.has_attr("episode_returns")
    sentence = r"a lane has no attribute or method 'num_envs'; it has action_masks, .*, unwrapped: the attribute `envs`"
    with pytest.raises(AttributeError, match=sentence):
        venv.get_attr("num_envs")
    with pytest.raises(AttributeError, match="a lane has no attribute or method 'reset'"):
        venv.env_method("reset", seed=0)


def test_attributes_are_set_for_each_lane(venv):
    venv.set_attr("note", "all")
    venv.set_attr("note", "one", indices=2)
    assert venv.get_attr("note") == ["all", "all", "one", "all", "all"]
    with pytest.raises(ValueError, match="the attribute 'config' of a lane is read-only: pass config"):
        venv.set_attr("config", SMALL)


@pytest.mark.parametrize("name", ["index", "_envs", "num_los", "action_masks", "__dict__"])
def test_attributes_of_a_lane_are_read_only(venv, name):
    with pytest.raises(ValueError, match=f"the attribute '{name}' of a lane is read-only"):
        venv.set_attr(name, [0])
    assert len(venv.env_method("action_masks")) == N
    venv.set_attr("note", 1)
    assert pickle.loads(pickle.dumps(venv)).get_attr("note") == deepcopy(venv).get_attr("note") == [1] * N


def test_callbacks_of_a_single_environment_read_lanes(venv):
    single = gym.make(ID, config=SMALL).unwrapped
    for name in ("num_los", "num_questions", "num_contents", "max_steps", "config", "bank", "questions", "contents"):
        assert venv.get_attr(name) == [getattr(single, name)] * N, name
    for action in (0, np.int64(13), 26):
        assert venv.env_method("decode_action", action) == [single.decode_action(action)] * N
    for wrong, error in ((27, ValueError), (-1, ValueError), (0.5, TypeError)):
        with pytest.raises(error, match=r"an action must be an integer in \[0, 27\); got"):
            venv.env_method("decode_action", wrong)


@pytest.mark.parametrize("name", ["get_episode_metrics", "episode_log", "interactions"])
def test_lanes_keep_no_interactions(venv, name):
    assert not venv.has_attr(name)
    with pytest.raises(AttributeError, match=f"no attribute or method '{name}', because .*: read `episode`, `final_"):
        venv.get_attr(name)


def test_only_monitor_counts_as_a_wrapper(venv):
    assert venv.env_is_wrapped(Monitor) == [True] * N
    assert venv.env_is_wrapped(Monitor, [1]) == [True]
    for other in (gym.Wrapper, gym.wrappers.TimeLimit, VecMonitor, type("Mine", (Monitor,), {})):
        assert venv.env_is_wrapped(other) == [False] * N


def test_masks(venv):
    for env, shape in ((venv, (N, 27)), (gym.make(ID, config=SMALL), (27,)), (make_vec_env(ID, 2), (2, 270))):
        assert is_masking_supported(env)
        masks = get_action_masks(env)
        assert masks.shape == shape and masks.dtype == bool and masks.all()
    assert [mask.shape for mask in venv.env_method("action_masks", indices=[0, 1])] == [(27,)] * 2
    assert [method().shape for method in venv.get_attr("action_masks")] == [(27,)] * N
    assert venv.action_masks().shape == (N, 27)


def test_maskable_ppo_trains_and_is_evaluated(venv):
    model = MaskablePPO("MlpPolicy", venv, n_steps=8, batch_size=20, device="cpu").learn(80)
    assert len(model.ep_info_buffer) > 0
    mean, _ = evaluate_maskable(model, make(N, config=SMALL, held_out=True), n_eval_episodes=N)
    assert np.isfinite(mean)


def test_the_actor_of_a_model_becomes_a_policy():
    """Also that of a model which was trained on the single environment, by name."""
    model = PPO("MlpPolicy", ID, n_steps=16, batch_size=16, device="cpu").learn(16)
    metrics = alsim.rollout(policy_of(model), num_learners=3, seed=0).metrics
    assert np.isfinite(metrics.cumulative_reward).all()


def test_videos_of_the_vec_env():
    """https://stable-baselines3.readthedocs.io/en/master/guide/examples.html, "Record a Video"."""
    venv = VecVideoRecorder(
        make(2, config=SMALL, seed=0, render_mode="rgb_array"), "videos", lambda step: step == 0, video_length=3
    )
    assert venv.frames_per_sec == alsim.AdaptiveLearningEnv.metadata["render_fps"]
    venv.reset()
    for _ in range(5):
        venv.step(np.zeros(2, np.int64))
    venv.close()
    (file,) = Path("videos").glob("*.mp4")
    assert file.stat().st_size > 1000


def test_pictures_of_the_vec_env(venv):
    drawn = make(4, config=SMALL, seed=0, render_mode="rgb_array")
    drawn.reset()
    first, *others = drawn.get_images()
    assert first.dtype == np.uint8 and first.shape == (*first.shape[:2], 3) and len(others) == 3
    assert drawn.render().shape == (2 * first.shape[0], 2 * first.shape[1], 3)
    assert [picture.shape for picture in drawn.env_method("render", indices=[1])] == [first.shape]
    np.testing.assert_array_equal(drawn.get_attr("render", 2)[0](), others[1])
    assert drawn.render_mode == "rgb_array" and "rgb_array" in drawn.metadata["render_modes"]
    venv.reset()
    with pytest.warns(UserWarning, match="no `render_mode` was passed"):
        assert venv.render() is None
    drawn.close()
