"""Snapshots of the vector environment."""

import operator
import pickle
import re
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode
from vector_envs import (
    DISABLED,
    NEXT_STEP,
    SAME_STEP,
    SHORT,
    A,
    batches,
    make,
    play,
    same,
    same_calls,
)

import alsim
from alsim.jit.structs import leaves
from alsim.testing import same as alike

pytestmark = pytest.mark.gymnasium


def test_snapshots_are_immutable() -> None:
    env = make(5, info="full")
    env.reset(seed=0)
    for batch in batches(5, 5):
        env.step(batch)
    snapshot = env.snapshot()
    pickled = pickle.dumps(snapshot)
    for batch in batches(5, 30):
        env.step(batch)
    env.reset(seed=1)
    assert pickle.dumps(snapshot) == pickled
    assert env.snapshot() != snapshot
    for each in (snapshot, pickle.loads(pickled), deepcopy(snapshot), snapshot.take([0, 1])):
        for array in (each.observations, each.over, *(column for _, column in leaves(each.learners))):
            assert not array.flags.writeable
        with pytest.raises(AttributeError):
            each.learners = None  # type: ignore[misc]


def test_snapshot_attributes() -> None:
    env = make(5, autoreset_mode=DISABLED, observation="responses")
    env.reset(seed=[1, 2, 3, 4, 5])
    for batch in batches(5, 20):
        observation, _, terminated, truncated, _ = env.step(batch)
        if (terminated | truncated).any():
            break
    snapshot = env.snapshot()
    assert (snapshot.num_envs, snapshot.observation, snapshot.config, snapshot.bank) == (
        5,
        "responses",
        env.config,
        env.bank,
    )
    same(snapshot.observations, observation)
    same(snapshot.over, terminated | truncated)
    assert alike(snapshot.lanes, env.lanes)
    assert snapshot.environment == "alsim/AdaptiveLearning-v0"
    with pytest.raises(TypeError, match="unhashable"):
        hash(snapshot)
    assert snapshot != 5


def test_restore_returns_observations_and_empty_infos() -> None:
    env = make(5)
    env.reset(seed=0)
    observation = env.step([0] * 5)[0]
    snapshot = env.snapshot()
    env.step([1] * 5)
    got, infos = env.restore(snapshot)
    same(got, observation)
    assert infos == {}
    out = env.new_buffers()
    assert env.restore(snapshot, out=out)[0] is out.observations
    same(out.observations, observation)
    got[:] = 0  # the array belongs to the caller
    assert env.snapshot() == snapshot
    own = make(5, copy=False)
    with pytest.raises(ValueError, match="read-only"):
        own.restore(snapshot)[0][:] = 0


@pytest.mark.parametrize("mode", AutoresetMode)
def test_new_environment_resumes_a_snapshot(mode: AutoresetMode) -> None:
    """A pickled snapshot continues identically, through later episodes and a reset without a seed."""
    env = make(5, autoreset_mode=mode, info="full")
    actions = batches(5, 60)
    play(env, actions[:20])
    fresh = make(5, autoreset_mode=mode, info="full")
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


def with_finished_lanes(mode: AutoresetMode) -> Any:
    """Return an environment in which some episodes are over, and the lanes (N,) of those."""
    env = make(5, autoreset_mode=mode)
    env.reset(seed=0)
    for batch in batches(5, 20):
        done = operator.or_(*env.step(batch)[2:4])
        if done.any():
            return env, done
    raise AssertionError


def test_snapshot_of_finished_lanes() -> None:
    for mode in (NEXT_STEP, DISABLED):
        env, done = with_finished_lanes(mode)
        snapshot = env.snapshot()
        for target in (make(5, autoreset_mode=mode) for mode in (NEXT_STEP, DISABLED)):
            target.restore(snapshot)
            if target.autoreset_mode == DISABLED:
                with pytest.raises(ResetNeeded, match=f"the episode in lane {np.argmax(done)} is over"):
                    target.step([0] * 5)
                assert target.snapshot() == snapshot
            else:
                target.step([0] * 5)
                same(target.lanes["episode"], done.astype(np.uint32))
        fresh = make(5, autoreset_mode=SAME_STEP)
        fresh.reset(seed=9)
        before = fresh.snapshot()
        words = f"for SAME_STEP must have no lane whose .* in this one the episode in lane {np.argmax(done)} is over"
        with pytest.raises(ValueError, match=words):
            fresh.restore(snapshot)
        assert fresh.snapshot() == before
        env.reset(options={"reset_mask": done})
        fresh.restore(env.snapshot())


OTHER_RULES: list[Any] = [
    ({"num_envs": 4}, "this one has 5 lanes, not 4"),
    ({"observation": "responses"}, "this one has observation = 'mastery', not 'responses'"),
    ({"config": {**SHORT, "max_episode_steps": 15}}, "this one has max_episode_steps = 14, not 15"),
    (
        {"config": {**SHORT, "termination": {"mastery_threshold": 0.4, "max_frustration": 0.6}}},
        "this one has termination.max_frustration = 0.5, not 0.6",
    ),
    ({"bank": alsim.sample_bank(alsim.Config.read({**SHORT, "bank": {"seed": 5}}))}, "this one has another bank"),
]


@pytest.mark.parametrize(("arguments", "words"), OTHER_RULES)
def test_restore_snapshot_of_other_rules(arguments: dict[str, Any], words: str) -> None:
    env, other = make(5), make(**{"num_envs": 5, **arguments})
    env.reset(seed=0)
    other.reset(seed=1)
    before = other.snapshot()
    with pytest.raises(ValueError, match=re.escape(words)):
        other.restore(env.snapshot())
    assert other.snapshot() == before
    assert other.snapshot() != env.snapshot()


def test_restore_snapshot_of_another_version() -> None:
    env = make(5)
    env.reset(seed=0)
    old = env.snapshot()
    object.__setattr__(old, "environment", "alsim/AdaptiveLearning-v9")
    with pytest.raises(ValueError, match="learners of alsim/AdaptiveLearning-v9, not of alsim/AdaptiveLearning-v0"):
        env.restore(old)


def test_restore_invalid_type() -> None:
    env = make(5)
    with pytest.raises(TypeError, match=re.escape("snapshot must be an alsim.Snapshot; got dict")):
        env.restore({})


def test_one_learner_in_many_lanes() -> None:
    """Each lane tries another action with the same random numbers, which are those of the learner itself."""
    env = make(7, info="full")
    env.reset(seed=0)
    for batch in batches(7, 6):
        env.step(batch)
    snapshot = env.snapshot()
    branches = make(A, info="full", autoreset_mode=DISABLED)
    observations, _ = branches.restore(snapshot.take([3] * A))
    same(observations, np.repeat(snapshot.observations[3:4], A, axis=0))
    tried = branches.step(np.arange(A))
    for action in range(A):
        env.restore(snapshot)
        got = env.step_lanes([action], [3])
        for x, y in zip(got[:4], tried[:4], strict=True):
            same(x, y[action : action + 1])
        for key, column in got[4].items():
            same(column, tried[4][key][action : action + 1])


def test_take_lanes_in_another_order() -> None:
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


def test_with_seeds_keeps_the_state() -> None:
    """The state is pickled; later random numbers are those of (seed, learner, episode, step)."""
    env = make(3, info="full", autoreset_mode=DISABLED)
    env.reset(seed=7)
    env.step([0, 1, 2])
    snapshot = env.snapshot()
    seeds = np.array([2**64 - 1, 5, 5], np.uint64)
    other = snapshot.with_seeds(seeds)
    assert snapshot.lanes["seed"].tolist() == [7] * 3
    assert other.lanes["seed"].tolist() == seeds.tolist()
    same(other.observations, snapshot.observations)
    env.restore(other)
    words = env._simulator.words(alsim.types.Purpose.INTERACTION, 0)
    for lane, (seed, learner) in enumerate(zip(seeds.tolist(), range(3), strict=True)):
        alone = make(1)
        alone.reset(seed=seed, options={"learner": learner})
        alone.step([0])
        same(alone._simulator.words(alsim.types.Purpose.INTERACTION, 0), words[lane : lane + 1])
    # The next episode is the one of the new seed's learner.
    env.reset(options={"reset_mask": np.array([True, False, False])})
    alone = make(1)
    alone.reset(seed=int(seeds[0]))
    same(env.snapshot().observations[:1], alone.reset()[0])


@pytest.mark.ci
@pytest.mark.compiled
def test_later_episodes_with_other_seeds_have_the_row_of_the_new_seed() -> None:
    """The current episode keeps its row; the next ones are those of the same learners of the new seeds (S12.1)."""
    rows = [{"share": 0.5, "learner": {"ability_mean": mean}} for mean in (-3.0, 3.0)]
    config = {"num_los": 2, "max_episode_steps": 4, "population": rows}
    env, fresh = (alsim.AdaptiveLearningVectorEnv(20, config=config) for _ in range(2))
    env.reset(seed=0)
    before = env.truth()["population_row"]
    env.restore(env.snapshot().with_seeds([7] * 20).with_seeds([8] * 20))
    assert np.array_equal(env.truth()["population_row"], before)
    for _ in range(5):  # the fifth call resets
        env.step(np.zeros(20, np.int64))
    fresh.reset(seed=8)
    fresh.reset()
    for name, values in fresh.truth().items():
        assert np.array_equal(env.truth()[name], values), name
    assert not np.array_equal(fresh.truth()["population_row"], before)


def test_with_seeds_draws_answers_with_the_probability_of_the_3pl() -> None:
    """The share of correct answers of one learner under 4,000 seeds equals the probability of the 3PL.

    The bound of 4 standard errors gives a false alarm in 1 of 16,000 runs (normal approximation of a binomial).
    """
    env = make(1)
    env.reset(seed=0)
    snapshot, n = env.snapshot(), 4000
    branches = make(n, info="full", autoreset_mode=DISABLED)
    branches.restore(snapshot.take([0] * n).with_seeds(range(n)))
    infos = branches.step(np.full(n, 4))[4]
    ability = env._simulator.learners.ability[0]
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
        ([], ValueError, "lanes must have shape (M,), with M at least 1; got shape (0,)"),
        (2, ValueError, "lanes must have shape (M,), with M at least 1; got shape ()"),
        ([0.0], TypeError, "lanes must be integers; got dtype float64"),
        ([True, False], TypeError, "lanes must be integers; got dtype bool"),
        ([0, 5], ValueError, "lanes must be integers in [0, 5); got 5 at index 1"),
        ([-1], ValueError, "lanes must be integers in [0, 5); got -1 at index 0"),
    ],
)
def test_invalid_lanes_of_take(lanes: Any, error: type[Exception], words: str) -> None:
    env = make(5)
    env.reset(seed=0)
    with pytest.raises(error, match=re.escape(words)):
        env.snapshot().take(lanes)


@pytest.mark.parametrize(
    ("seeds", "error", "words"),
    [
        (5, TypeError, "seeds must be a list or array with one entry for each of 5 lanes; got 5"),
        ("12345", TypeError, "seeds must be a list or array with one entry for each of 5 lanes; got '12345'"),
        ([1, 2], ValueError, "seeds must have shape (5,), one per lane; got shape (2,)"),
        (np.zeros((5, 1), int), ValueError, "seeds must have shape (5,), one per lane; got shape (5, 1)"),
        ([0, 1, -1, 3, 4], ValueError, "seeds[2] must be an integer in [0, 2**64); got -1"),
        ([0, 1, 2, 3, None], TypeError, "seeds[4] must be an integer in [0, 2**64); got None"),
    ],
)
def test_invalid_seeds_of_with_seeds(seeds: Any, error: type[Exception], words: str) -> None:
    env = make(5)
    env.reset(seed=0)
    with pytest.raises(error, match=re.escape(words)):
        env.snapshot().with_seeds(seeds)
