"""The single environment: Gymnasium's own checks, and the attributes of the specification's class."""

import math
import pickle
import re
import warnings
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env

import alsim
from alsim import AdaptiveLearningEnv
from alsim.testing import same as alike

pytestmark = pytest.mark.gymnasium

ID = "alsim/AdaptiveLearning-v0"
SHORT = {"num_los": 4, "max_episode_steps": 14, "termination": {"mastery_threshold": 0.4, "max_frustration": 0.5}}
L, A = 4, 36
MODALITIES = ("video", "PPT", "text", "blog", "article", "handout")
REASONS = ("mastery_achieved", "step_limit", "critical_frustration")
close = partial(pytest.approx, abs=2e-6)


def make(**arguments: Any) -> AdaptiveLearningEnv:
    return AdaptiveLearningEnv(**{"config": SHORT, **arguments})


def episode(env: Any, draw: int = 0, **reset: Any) -> list[Any]:
    """Return the results of reset and of each step of one episode, under random actions."""
    actions = np.random.default_rng(draw)
    calls = [env.reset(**{"seed": 0, **reset})]
    finished = False
    while not finished:
        calls.append(env.step(int(actions.integers(env.action_space.n))))
        finished = calls[-1][2] or calls[-1][3]
    return calls


# ── Gymnasium's checks ──


@pytest.mark.parametrize("arguments", [{}, {"observation": "responses"}, {"config": SHORT}])
def test_check_env_passes(arguments: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gymnasium.make(ID, **arguments)
        check_env(env.unwrapped)
        for seed in range(3):
            episode(env, seed, seed=seed)
        env.close()
        env.close()


def test_check_env_of_the_class_only_warns_about_the_spec() -> None:
    with pytest.warns(UserWarning) as warned:
        check_env(make())
    assert ["environment not having a spec" in str(w.message) for w in warned] == [True]


def test_make() -> None:
    env = gymnasium.make(f"alsim:{ID}", config=SHORT)
    assert isinstance(env.unwrapped, AdaptiveLearningEnv)
    assert env.spec is not None
    assert env.spec.max_episode_steps is None  # TimeLimit would set both flags
    assert env.observation_space == gymnasium.spaces.Box(0.0, 1.0, (L + 2,), np.float32)
    assert env.action_space == gymnasium.spaces.Discrete(A)
    assert make(observation="responses").observation_space.shape == (2 * L + 2,)


@pytest.mark.parametrize("source", ["mapping", "file"])
def test_spec_through_json(source: str, tmp_path: Path) -> None:
    bank = alsim.sample_bank(alsim.Config.read({**SHORT, "bank": {"seed": 5}}))
    config: Any = SHORT
    saved: Any = {
        "questions": [bank.question(k) for k in range(bank.num_questions)],
        "contents": [bank.content(k) for k in range(bank.num_contents)],
    }
    if source == "file":
        config, saved = str(tmp_path / "rules.toml"), str(tmp_path / "bank")
        Path(config).write_text(
            "num_los = 4\nmax_episode_steps = 14\n[termination]\nmastery_threshold = 0.4\nmax_frustration = 0.5\n"
        )
        alsim.save_bank(bank, saved)
    env = gymnasium.make(ID, config=config, bank=saved)
    assert env.spec is not None
    twin = gymnasium.make(EnvSpec.from_json(env.spec.to_json()))
    assert alike(episode(env), episode(twin))
    assert alike(episode(env), episode(make(bank=bank)))
    assert not alike(episode(env), episode(make()))


@pytest.mark.parametrize(
    "wrap",
    [
        gymnasium.wrappers.RecordEpisodeStatistics,
        gymnasium.wrappers.NormalizeObservation,
        gymnasium.wrappers.NormalizeReward,
        partial(gymnasium.wrappers.RescaleObservation, min_obs=np.float32(-1), max_obs=np.float32(1)),
    ],
)
def test_wrappers(wrap: Any) -> None:
    calls = episode(wrap(gymnasium.make(ID, config=SHORT)))
    plain = episode(make())
    assert [call[2:4] for call in calls[1:]] == [call[2:4] for call in plain[1:]]


# ── one episode ──


def test_types() -> None:
    calls = episode(make())
    assert calls[0][1] == {}
    for call in calls[1:]:
        assert [type(value) for value in call] == [np.ndarray, float, bool, bool, dict]
        assert not (call[2] and call[3])
        info = call[4]
        assert set(info) == {"result", "termination_reason", "step", "mean_mastery"}
        assert type(info["step"]) is int
        assert type(info["mean_mastery"]) is float
        for value in info["result"].values():
            assert type(value) in (str, int, float, bool)


def test_infos_describe_the_interaction() -> None:
    """The info's `result`, `termination_reason`, `step` and `mean_mastery` follow the specification."""
    env = make()
    seen, kinds = set(), set()
    for seed in range(150):
        actions = np.random.default_rng(seed)
        before, _ = env.reset(seed=seed)
        for step in range(1, 15):
            action = int(actions.integers(A))
            after, reward, terminated, truncated, info = env.step(action)
            result, reason = info["result"], info["termination_reason"]
            assert (info["step"], env.step_count) == (step, step)
            assert info["mean_mastery"] == pytest.approx(after[:L].astype(np.float64).mean(), abs=1e-6)
            assert {key: result[key] for key in env.decode_action(action)} == env.decode_action(action)
            lo, gain, frustration = result["lo"], result["mastery_gain"], result["frustration"]
            assert after[lo] - float(before[lo]) == close(gain)
            assert frustration == float(after[L])
            if result["type"] == "question":
                assert list(result) == [
                    *("type", "lo", "difficulty", "correct", "mastery_gain", "frustration", "response_time")
                ]
                assert float(after[L + 1]) == close(min(1, result["response_time"] / 120))
                assert reward == close(result["correct"] + 0.5 * gain - 0.3 * frustration)
            else:
                assert list(result) == ["type", "lo", "modality", "mastery_gain", "frustration_delta", "frustration"]
                assert result["frustration_delta"] == close((-0.08, -0.05, 0.02, -0.03, 0, 0.05)[result["modality"]])
                assert reward == close(2 * gain - 0.5 * result["frustration_delta"])
                assert frustration == close(min(1, max(0, float(before[L]) + result["frustration_delta"])))
            assert terminated == (reason in ("mastery_achieved", "critical_frustration"))
            assert truncated == (reason == "step_limit")
            kinds.add(result["type"])
            seen.add(reason)
            before = after
            if reason:
                break
        assert env.episode_log[-1]["termination_reason"] == reason
    assert seen == {None, *REASONS}
    assert kinds == {"question", "content"}


def test_reset_with_a_seed_repeats_all_episodes() -> None:
    env = make()
    first, second = episode(env, seed=3), episode(env, seed=None)
    assert not alike(first[0], second[0])
    assert alike(first, episode(env, seed=3))
    assert alike(second, episode(env, seed=None))


@pytest.mark.parametrize("kind", [np.int64, np.uint64, np.int8, np.array])
def test_numpy_seeds(kind: Any) -> None:
    env = make()
    assert alike(env.reset(seed=kind(5)), env.reset(seed=5))
    assert alike(env.reset(seed=5, options={"learner": kind(3)}), env.reset(seed=5, options={"learner": 3}))


def test_learners() -> None:
    """S11.3, S11.4."""
    env = make()
    starts = [env.reset(seed=1, options={"learner": learner})[0] for learner in (0, 1, 2**31, 2**32 - 1)]
    starts.append(env.reset(seed=2**64 - 1)[0])
    assert len(np.unique(np.stack(starts), axis=0)) == 5
    assert alike(env.reset(seed=1)[0], starts[0])
    onward = env.reset()[0]
    assert alike(env.reset(seed=1, options={"learner": 0})[0], starts[0])
    assert alike(env.reset()[0], onward)


def test_reset_without_a_seed_is_random() -> None:
    assert (make().reset()[0] != make().reset()[0])[:L].all()


def test_returned_arrays_and_infos_belong_to_the_caller() -> None:
    env = make()
    expected = deepcopy(episode(env))
    actions = np.random.default_rng(0)
    observation, info = env.reset(seed=0)
    for call in expected[1:]:
        observation[:] = 1
        info.clear()
        got = env.step(int(actions.integers(A)))
        assert alike(got, call)
        observation, info = got[0], got[4]


# ── invalid input raises an error and changes nothing ──


@pytest.mark.parametrize(
    ("action", "error"),
    [
        (A, ValueError),
        (-1, ValueError),
        (2**70, ValueError),
        (np.uint64(2**64 - 1), ValueError),
        (1.0, TypeError),
        (np.float32(1), TypeError),
        (True, TypeError),
        (np.True_, TypeError),
        (None, TypeError),
        ("1", TypeError),
        ([1], TypeError),
        (np.array([1]), TypeError),
        (np.array(1.0), TypeError),
    ],
)
def test_invalid_actions(action: Any, error: type[Exception]) -> None:
    env = make()
    env.reset(seed=0)
    env.step(3)
    before = pickle.dumps(env)
    for call in (env.step, env.decode_action):
        with pytest.raises(error, match=re.escape(f"an action must be an integer in [0, {A}); got ")):
            call(action)
    assert pickle.dumps(env) == before


@pytest.mark.parametrize("kind", [int, np.int64, np.uint8, np.array])
def test_integer_actions_of_any_type(kind: Any) -> None:
    env, plain = make(), make()
    env.reset(seed=0)
    plain.reset(seed=0)
    assert alike(env.step(kind(30)), plain.step(30))
    assert alike(env.episode_log, plain.episode_log)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"seed": -1}, ValueError, "seed must be an integer in [0, 2**64); got -1"),
        ({"seed": 2**64}, ValueError, f"seed must be an integer in [0, 2**64); got {2**64}"),
        ({"seed": 1.0}, TypeError, "seed must be an integer in [0, 2**64); got 1.0"),
        ({"seed": "1"}, TypeError, "seed must be an integer in [0, 2**64); got '1'"),
        ({"seed": True}, TypeError, "seed must be an integer in [0, 2**64); got True"),
        ({"seed": [1]}, TypeError, "seed must be an integer in [0, 2**64); got [1]"),
        ({"seed": np.array([1])}, TypeError, "seed must be an integer in [0, 2**64); got array([1])"),
        ({"options": {"learners": 1}}, ValueError, "reset options must be among 'learner', 'episode'; got 'learners'"),
        ({"options": [1]}, TypeError, "options must be a mapping of 'learner', 'episode'; got [1]"),
        ({"options": {"learner": 1}}, ValueError, "options['learner'] requires an integer seed; got seed=None"),
        ({"options": {"episode": 1}}, ValueError, "options['episode'] requires an integer seed; got seed=None"),
        ({"seed": 1, "options": {"episode": 2**32}}, ValueError, "options['episode'] must be an integer in [0, 2**32)"),
        (
            {"seed": 1, "options": {"episode": -1}},
            ValueError,
            "options['episode'] must be an integer in [0, 2**32); got -1",
        ),
        (
            {"seed": 1, "options": {"episode": 1.0}},
            TypeError,
            "options['episode'] must be an integer in [0, 2**32); got 1.0",
        ),
        ({"seed": 1, "options": {"learner": 2**32}}, ValueError, f"integer in [0, 2**32); got {2**32}"),
        ({"seed": 1, "options": {"learner": "1"}}, TypeError, "integer in [0, 2**32); got '1'"),
    ],
)
def test_invalid_resets(arguments: dict[str, Any], error: type[Exception], words: str) -> None:
    fresh, midway = make(), make()
    midway.reset(seed=0)
    midway.step(3)
    for env in (fresh, midway):
        before = pickle.dumps(env)
        with pytest.raises(error, match=re.escape(words)):
            env.reset(**arguments)
        assert pickle.dumps(env) == before


def test_steps_outside_an_episode() -> None:
    env = make()
    before = pickle.dumps(env)
    with pytest.raises(ResetNeeded, match=re.escape("call reset() before step()")):
        env.step(0)
    assert pickle.dumps(env) == before
    episode(env)
    before = pickle.dumps(env)
    with pytest.raises(ResetNeeded, match=re.escape("the episode is over; call reset()")):
        env.step(0)
    assert pickle.dumps(env) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"observation": "all"}, "observation must be one of 'mastery', 'responses'; got 'all'"),
        ({"render_mode": "human"}, "render_mode must be None or one of 'ansi', 'rgb_array'; got 'human'"),
        ({"dynamics": "magic"}, "got 'magic'"),
        ({"config": {"num_loss": 4}}, "num_loss = 4: unknown key"),
        ({"bank": 5}, "a bank must be a Bank, a mapping of rows or a directory of tables; got 5"),
    ],
)
def test_invalid_arguments(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        make(**arguments)


@pytest.mark.parametrize("twin_of", [deepcopy, lambda env: pickle.loads(pickle.dumps(env))], ids=["deepcopy", "pickle"])
def test_copies_continue_identically(twin_of: Any) -> None:
    env = make(observation="responses")
    env.reset(seed=2)
    for action in (0, 30, 5):
        env.step(action)
    twin = twin_of(env)
    assert alike([env.step(7), env.get_episode_metrics()], [twin.step(7), twin.get_episode_metrics()])
    assert alike(env.episode_log, twin.episode_log)
    env.step(8)
    assert len(twin.episode_log) == 4
    assert alike(env.reset(), twin.reset())


# ── attributes of the specification's class ──


def test_attributes() -> None:
    env = AdaptiveLearningEnv()
    assert (env.num_los, env.num_questions, env.num_contents, env.max_steps) == (30, 600, 180, 140)
    assert env.config == alsim.Config()
    assert (len(env.questions), len(env.contents)) == (600, 180)
    assert list(env.questions[0]) == [
        *("id", "learning_outcome", "difficulty", "irt_a", "irt_b", "irt_c", "response_time_mean", "response_time_std")
    ]
    assert list(env.contents[0]) == [
        *("id", "learning_outcome", "modality", "duration", "effectiveness", "engagement_impact")
    ]
    assert env.decode_action(0) == {"type": "question", "lo": 0, "difficulty": 0}
    assert env.decode_action(89) == {"type": "question", "lo": 29, "difficulty": 2}
    assert env.decode_action(90) == {"type": "content", "lo": 0, "modality": 0}
    assert env.decode_action(269) == {"type": "content", "lo": 29, "modality": 5}


def test_reset_to_any_episode_of_a_learner() -> None:
    """Starting with the third episode gives the same as reaching it by resets, and so does the fourth."""
    one, other = make(), make()
    one.reset(seed=7, options={"learner": 5})
    later = [one.reset()[0] for _ in range(3)]
    direct = other.reset(seed=7, options={"learner": 5, "episode": 2})[0]
    assert direct.tobytes() == later[1].tobytes() != later[0].tobytes()
    assert other.reset()[0].tobytes() == later[2].tobytes()


def test_learner_state() -> None:
    env = make()
    observation, _ = env.reset(seed=0)
    start = env.learner_state
    assert alike(start["mastery"], observation[:L])
    assert {key: start[key] for key in ("frustration", "response_time", "fail_streak", "engagement")} == {
        "frustration": 0.0,
        "response_time": 0.0,
        "fail_streak": 0,
        "engagement": 1.0,
    }
    ability, streak = start["ability"], 0
    for action in (0, 2, 5, 30, 8, 0):
        observation, _, terminated, truncated, info = env.step(action)
        state, result = env.learner_state, info["result"]
        asked, correct = result["type"] == "question", result.get("correct", False)
        ability, streak = ability + 0.02 * correct, streak + 1 if asked and not correct else 0
        assert alike(state["mastery"], observation[:L])
        assert state["ability"] == close(ability)
        assert state["fail_streak"] == streak
        assert state["frustration"] == result["frustration"]
        assert state["engagement"] == close(1 - result["frustration"])
        if asked:
            assert state["response_time"] == result["response_time"]
        if terminated or truncated:
            break
    state["mastery"][:] = 0
    assert alike(env.learner_state["mastery"], observation[:L])


def test_episode_log() -> None:
    env = make()
    calls = episode(env)
    actions = np.random.default_rng(0)
    assert len(env.episode_log) == len(calls) - 1
    for step, (entry, call) in enumerate(zip(env.episode_log, calls[1:], strict=True), 1):
        assert list(entry) == ["step", "action", "reward", "done", "result", "termination_reason", "mean_mastery"]
        assert entry == {
            "step": step,
            "action": int(actions.integers(A)),
            "reward": call[1],
            "done": call[2] or call[3],
            **call[4],
        }
    env.reset()
    assert (env.episode_log, env.step_count) == ([], 0)


def test_episode_metrics() -> None:
    """Clause S9, recomputed from the infos of the steps."""
    env = make()
    assert env.get_episode_metrics() == {}
    for seed in range(20):
        calls = episode(env, seed, seed=seed)
        results = [call[4]["result"] for call in calls[1:]]
        asked = [r for r in results if r["type"] == "question"]
        shown = [r for r in results if r["type"] == "content"]
        means = [call[4]["mean_mastery"] for call in calls[1:]]
        reached = [step for step, mean in enumerate(means, 1) if mean >= 0.4]

        def mean_gain(chosen: list[dict[str, Any]]) -> float:
            return sum(r["mastery_gain"] for r in chosen) / len(chosen) if chosen else math.nan

        target = (0.2, 0.6, 0.2)
        off = [abs(sum(r["difficulty"] == k for r in asked) / max(1, len(asked)) - target[k]) for k in range(3)]
        minutes = sum(r["response_time"] for r in asked) / 60
        for r in shown:
            (content,) = (c for c in env.contents if (c["learning_outcome"], c["modality"]) == cell(r))
            minutes += content["duration"]
        expected = {
            "total_steps": len(results),
            "final_mastery": means[-1],
            "cumulative_reward": sum(call[1] for call in calls[1:]),
            "question_accuracy": sum(r["correct"] for r in asked) / len(asked) if asked else math.nan,
            "content_count": len(shown),
            "blueprint_adherence": 100 * (1 - sum(off) / 3) if asked else math.nan,
            "post_content_gain": mean_gain(shown),
            **{
                f"post_content_gain_{word}": mean_gain([r for r in shown if r["modality"] == k])
                for k, word in enumerate(MODALITIES)
            },
            "time_to_mastery": reached[0] if reached else math.nan,
            "time_on_task": minutes,
            "delayed_retention": means[-1],
        }
        metrics = env.get_episode_metrics()
        assert list(metrics) == list(expected)
        for name, value in expected.items():
            assert metrics[name] == pytest.approx(value, rel=1e-5, abs=1e-6, nan_ok=True), name
    env.reset()
    assert env.get_episode_metrics() == {}


def cell(result: dict[str, Any]) -> tuple[int, str]:
    return result["lo"], MODALITIES[result["modality"]]


def test_metrics_in_mid_episode() -> None:
    env = make()
    env.reset(seed=0)
    env.step(0)
    metrics = env.get_episode_metrics()
    assert (metrics["total_steps"], metrics["content_count"]) == (1, 0)
    assert math.isnan(metrics["post_content_gain"])
    assert math.isnan(metrics["time_to_mastery"])


def test_there_is_no_learner_before_the_first_reset():
    env = alsim.AdaptiveLearningEnv()
    with pytest.raises(ResetNeeded, match=r"call reset\(\) before learner_state"):
        _ = env.learner_state
    env.reset()
    assert set(env.learner_state) >= {"mastery", "ability"}
