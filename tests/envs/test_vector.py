"""Tests of the vector environment through Gymnasium; tests/testing/ runs `check_vector_env` over it."""

from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import vector as wrappers
from vector_envs import (
    DISABLED,
    FULL_KEYS,
    NEXT_STEP,
    SAME_STEP,
    SHORT,
    L,
    batches,
    make,
    play,
    same,
    same_calls,
)

import alsim
from alsim import AdaptiveLearningEnv, AdaptiveLearningVectorEnv, Buffers, Snapshot

pytestmark = pytest.mark.gymnasium

GYMNASIUM = tuple(map(int, gymnasium.__version__.split(".")[:2]))
ID = "alsim/AdaptiveLearning-v0"


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("as_word", [True, False])
def test_make_vec(mode: AutoresetMode, as_word: bool) -> None:
    env = gymnasium.make_vec(ID, 5, autoreset_mode=mode.value if as_word else mode, config=SHORT)
    assert isinstance(env, AdaptiveLearningVectorEnv)
    assert (env.num_envs, env.metadata["autoreset_mode"], env.autoreset_mode) == (5, mode, mode)
    assert env.observation_space.shape == (5, L + 2)
    assert env.single_action_space == gymnasium.spaces.Discrete(9 * L)


def test_id_with_module_prefix_imports_the_module() -> None:
    env = gymnasium.make_vec(f"alsim:{ID}")
    assert (env.num_envs, env.metadata["autoreset_mode"]) == (1, NEXT_STEP)


def test_make_vec_with_sync_vectorization() -> None:
    env = gymnasium.make_vec(ID, 2, vectorization_mode="sync", config=SHORT)
    assert isinstance(env, SyncVectorEnv)
    assert env.reset(seed=0)[0].shape == (2, L + 2)


def test_metadata_belongs_to_the_instance() -> None:
    one, two = make(3), make(3, autoreset_mode=DISABLED)
    one.metadata["mark"] = 1
    assert "mark" not in two.metadata
    assert set(AdaptiveLearningVectorEnv.metadata) == {"render_modes", "render_fps"}


@pytest.mark.parametrize("source", ["mapping", "file"])
def test_spec_through_json(source: str, tmp_path: Path) -> None:
    bank = alsim.sample_bank(alsim.Config.read({**SHORT, "bank": {"seed": 5}}))
    if source == "file":
        config: Any = str(tmp_path / "rules.toml")
        Path(config).write_text(
            "num_los = 4\nmax_episode_steps = 14\n[termination]\nmastery_threshold = 0.4\nmax_frustration = 0.5\n"
        )
        saved: Any = str(tmp_path / "bank")
        alsim.save_bank(bank, saved)
    else:
        config = SHORT
        saved = {
            "questions": [bank.question(k) for k in range(bank.num_questions)],
            "contents": [bank.content(k) for k in range(bank.num_contents)],
        }
    env = gymnasium.make_vec(ID, 3, config=config, bank=saved, autoreset_mode="SameStep", info="full")
    assert env.spec is not None
    twin = gymnasium.make_vec(EnvSpec.from_json(env.spec.to_json()))
    assert twin.bank == bank  # type: ignore[attr-defined]
    assert twin.info == "full"  # type: ignore[attr-defined]
    actions = batches(env.num_envs, 40)
    same_calls(play(env, actions), play(twin, actions))
    same_calls(play(make(3, bank=bank, autoreset_mode=SAME_STEP, info="full"), actions), play(twin, actions))


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"num_envs": 0}, ValueError, "num_envs must be an integer of at least 1; got 0"),
        ({"num_envs": 2.0}, ValueError, "num_envs must be an integer of at least 1; got 2.0"),
        ({"num_envs": True}, ValueError, "num_envs must be an integer of at least 1; got True"),
        ({"num_envs": np.array([3])}, ValueError, r"num_envs must be an integer of at least 1; got array\(\[3\]\)"),
        ({"num_threads": 0}, ValueError, "num_threads must be an integer of at least 1; got 0"),
        (
            {"autoreset_mode": "Never"},
            ValueError,
            "autoreset_mode must be .* 'NextStep', 'SameStep', 'Disabled'; got 'Never'",
        ),
        ({"info": "much"}, ValueError, "info must be one of 'none', 'minimal', 'full', 'flat'; got 'much'"),
        ({"observation": "all"}, ValueError, "observation must be one of 'mastery', 'responses'; got 'all'"),
        ({"render_mode": "human"}, ValueError, "render_mode must be None or one of 'ansi', 'rgb_array'; got 'human'"),
        ({"dynamics": "magic"}, ValueError, "dynamics must be one of standard, .*; got 'magic'"),
        ({"config": {"num_loss": 4}}, alsim.ConfigError, "num_loss = 4: unknown key"),
        ({"config": 5}, alsim.ConfigError, "a configuration must be .*; got 5"),
        ({"bank": 5}, alsim.BankError, "a bank must be .*; got 5"),
        ({"bank": {}}, alsim.BankError, "a bank must be a mapping with the keys 'questions' and 'contents'"),
    ],
)
def test_invalid_arguments(arguments: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make(**{"num_envs": 3, **arguments})


@pytest.mark.ci
@pytest.mark.parametrize("observation", ["mastery", "responses"])
@pytest.mark.parametrize("mode", AutoresetMode)
def test_equals_sync_vector_env(mode: AutoresetMode, observation: str) -> None:
    rules: dict[str, Any] = {"config": SHORT, "observation": observation}
    seeds = [3, 2**64 - 1, 0, 77]
    mine = AdaptiveLearningVectorEnv(4, autoreset_mode=mode, **rules)
    singles: Any = SyncVectorEnv([partial(AdaptiveLearningEnv, **rules)] * 4, autoreset_mode=mode)
    num_ended, actions = 0, batches(4, 300)
    for a, b in zip(play(mine, actions, seeds), play(singles, actions, seeds), strict=True):
        for x, y in zip(a[:-1], b[:-1], strict=True):
            same(x, y)
        ended = b[-1].get("_final_obs", np.zeros(4, np.bool_))
        same(a[-1].get("_final_obs", np.zeros(4, np.bool_)), ended)
        for lane in np.flatnonzero(ended):
            same(a[-1]["final_obs"][lane], b[-1]["final_obs"][lane])
        num_ended += int(len(a) > 2 and (a[2] | a[3]).sum())
    assert num_ended > 60


def test_equals_sync_vector_env_at_the_defaults() -> None:
    mine = AdaptiveLearningVectorEnv(3)
    singles: Any = SyncVectorEnv([AdaptiveLearningEnv] * 3)
    actions, seeds = batches(3, 300, num_actions=270), [5, 6, 7]
    for a, b in zip(play(mine, actions, seeds), play(singles, actions, seeds), strict=True):
        for x, y in zip(a[:-1], b[:-1], strict=True):
            same(x, y)


@pytest.mark.ci
def test_equals_async_vector_env() -> None:
    mine = make(2)
    single = partial(gymnasium.make, f"alsim:{ID}", config=SHORT)
    singles: Any = AsyncVectorEnv([single] * 2, context="spawn")
    actions = batches(2, 60)
    try:
        for a, b in zip(play(mine, actions, [1, 2]), play(singles, actions, [1, 2]), strict=True):
            for x, y in zip(a[:-1], b[:-1], strict=True):
                same(x, y)
    finally:
        singles.close()


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("info", ["none", "full", "flat"])
def test_record_episode_statistics(mode: AutoresetMode, info: str) -> None:
    if mode == SAME_STEP and GYMNASIUM < (1, 4):
        pytest.skip("Gymnasium counts SAME_STEP episodes right from 1.4 on")
    env: Any = wrappers.RecordEpisodeStatistics(make(3, autoreset_mode=mode, info=info))
    actions = batches(env.num_envs, 100)
    returns, lengths, ended, num_ended = np.zeros(3), np.zeros(3, int), np.zeros(3, np.bool_), 0
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
            num_ended += int(done.sum())
        ended = done & (mode == NEXT_STEP)
        if mode == DISABLED and done.any():
            env.reset(options={"reset_mask": done})
        if mode != NEXT_STEP:
            returns, lengths = np.where(done, 0.0, returns), np.where(done, 0, lengths)
    assert num_ended > 15


@pytest.mark.heavy
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
    env, plain = wrap(make(3, autoreset_mode=mode, info="full")), make(3, autoreset_mode=mode)
    actions = batches(plain.num_envs, 60)
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
            assert {key for entry in got[4] for key in entry} <= {*FULL_KEYS, "final_obs", "final_info"}


@pytest.mark.parametrize(
    ("wrap", "modes"),
    [
        (partial(wrappers.RescaleObservation, min_obs=np.float32(-1), max_obs=np.float32(1)), (NEXT_STEP, DISABLED)),
        (wrappers.FlattenObservation, (NEXT_STEP, DISABLED)),
        (wrappers.NormalizeObservation, (NEXT_STEP,)),
    ],
)
def test_wrappers_of_observations(wrap: Any, modes: tuple[AutoresetMode, ...]) -> None:
    """Observation wrappers, in the modes in which the newest Gymnasium allows them."""
    for mode in modes:
        plain = make(3, autoreset_mode=mode)
        actions = batches(plain.num_envs, 60)
        for got, expected in zip(play(wrap(make(3, autoreset_mode=mode)), actions), play(plain, actions), strict=True):
            assert got[0].shape == expected[0].shape
            assert np.isfinite(got[0]).all()
            for x, y in zip(got[1:-1], expected[1:-1], strict=True):
                same(x, y)


@pytest.mark.parametrize("mode", AutoresetMode)
def test_copy_false_returns_shared_arrays(mode: AutoresetMode) -> None:
    env, plain = make(3, autoreset_mode=mode, copy=False, info="full"), make(3, autoreset_mode=mode, info="full")
    actions = batches(env.num_envs, 60)
    same_calls(play(env, actions), play(plain, actions))
    first, _ = env.reset(seed=0)
    one, two = env.step(actions[0])[:4], None
    if mode != DISABLED or not (one[2] | one[3]).any():
        two = env.step(actions[1])[:4]
        assert all(np.shares_memory(a, b) for a, b in zip(one, two, strict=True))
    assert np.shares_memory(first, one[0])
    with pytest.raises(ValueError, match="read-only"):
        first[0, 0] = 1


def test_returned_arrays_belong_to_the_caller() -> None:
    env, plain = make(3, info="full"), make(3, info="full")
    actions = batches(env.num_envs, 40)
    expected = play(plain, actions)
    env.reset(seed=0)[0][:] = 1
    for batch, clean in zip(actions, expected[1:], strict=True):
        got = env.step(batch)
        same_calls([got], [clean])
        for array in (*got[:4], *got[4].values()):
            array[...] = np.ones((), array.dtype)
        got[4].clear()


def test_public_names() -> None:
    assert alsim.Buffers is Buffers
    assert alsim.Snapshot is Snapshot
