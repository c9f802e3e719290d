"""Rollouts: an episode has the same bits in any batch, and invalid arguments are refused."""

import numpy as np
import pytest

from alsim.bank.items import BankError, sample_bank
from alsim.config import Config, ConfigError
from alsim.rollouts import collector, plan
from alsim.rollouts.plan import BLOCK_EPISODES, read_plan
from alsim.rollouts.rollout import rollout
from alsim.types import Reason

SHORT = Config.read({"num_los": 2, "max_episode_steps": 6})
MIXED = Config.read(
    {
        "num_los": 2,
        "max_episode_steps": 25,
        "learner": {"mastery_alpha": 6},
        "termination": {"mastery_threshold": 0.75, "max_frustration": 0.5},
    }
)
"""Episodes of different lengths, for every reason."""


def columns(run, keep=None):
    """Return all columns of a rollout for the episodes that `keep` selects."""
    chosen = np.arange(len(run.reason)) if keep is None else np.flatnonzero(keep)
    rows = np.isin(run.interactions.episode, chosen)
    happened = {name: column[rows] for name, column in run.interactions._asdict().items() if name != "length"}
    picked = {
        name: getattr(run, name)[chosen]
        for name in ("learner_id", "episode", "final_obs", "reason", "ability_start", "ability_final")
    }
    per_row = {
        name: getattr(run, name)[rows] for name in ("propensity", "terminated", "truncated", "termination_reason")
    }
    per_row["obs"] = None if run.obs is None else run.obs[rows]
    return happened | picked | per_row | {"length": run.interactions.length[chosen]}


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name, column in one.items():
        if column is None:
            assert other[name] is None
            continue
        assert column.dtype == other[name].dtype, name
        assert np.array_equal(column, other[name], equal_nan=column.dtype.kind == "f"), name


@pytest.mark.parametrize("policy", ["uniform", "rules"])
def test_s11_2_a_learner_alone_equals_the_learner_in_a_batch(policy):
    batch = rollout(policy, num_learners=9, episodes_per_learner=2, seed=5, config=MIXED)
    for learner in (0, 4, 8):
        alone = rollout(policy, num_learners=1, episodes_per_learner=2, first_learner=learner, seed=5, config=MIXED)
        assert_same(columns(alone), columns(batch, batch.learner_id == learner))
    first_only = rollout(policy, num_learners=9, seed=5, config=MIXED)
    assert_same(columns(first_only), columns(batch, batch.episode == 0))


@pytest.mark.heavy
@pytest.mark.parametrize("block", [1, 4, 7, 18])
def test_the_size_of_blocks_changes_nothing(monkeypatch, block):
    one = rollout("uniform", num_learners=6, episodes_per_learner=3, config=MIXED)
    monkeypatch.setattr(plan, "BLOCK_EPISODES", block)
    other = rollout("uniform", num_learners=6, episodes_per_learner=3, config=MIXED)
    assert_same(columns(one), columns(other))
    assert one.metrics.total_steps.tolist() == other.metrics.total_steps.tolist()


@pytest.mark.compiled
def test_learners_at_block_edges_equal_those_alone():
    batch = rollout("uniform", num_learners=BLOCK_EPISODES + 3, config=SHORT)
    assert np.array_equal(batch.learner_id, np.arange(BLOCK_EPISODES + 3))
    for learner in (0, BLOCK_EPISODES - 1, BLOCK_EPISODES, BLOCK_EPISODES + 2):
        alone = rollout("uniform", num_learners=1, first_learner=learner, config=SHORT)
        assert_same(columns(alone), columns(batch, batch.learner_id == learner))


@pytest.mark.heavy
def test_the_number_of_threads_changes_nothing():
    config = Config.read({"num_los": 1, "max_episode_steps": 2})
    one, two, many = (rollout("uniform", num_learners=520, config=config, num_threads=n) for n in (1, 2, 16))
    assert_same(columns(one), columns(two))
    assert_same(columns(one), columns(many))


def test_the_same_arguments_give_the_same_bits_and_another_seed_others():
    one, again, other = (rollout("uniform", num_learners=3, seed=seed, config=SHORT) for seed in (1, 1, 2))
    assert_same(columns(one), columns(again))
    assert not np.array_equal(one.ability_start, other.ability_start)
    assert not np.array_equal(one.interactions.action[:6], other.interactions.action[:6])


def test_s1_6_every_episode_is_a_fresh_draw():
    run = rollout("uniform", num_learners=2, episodes_per_learner=4, config=SHORT)
    assert len(np.unique(run.ability_start)) == 8


def test_s11_4_held_out_learners_are_for_rollouts():
    trained = rollout("uniform", num_learners=2, config=SHORT)
    held_out = rollout("uniform", num_learners=2, first_learner=2**31, config=SHORT)
    assert held_out.learner_id.tolist() == [2**31, 2**31 + 1]
    assert not np.isin(held_out.ability_start, trained.ability_start).any()
    last = rollout("uniform", num_learners=1, first_learner=2**32 - 1, config=SHORT)
    assert last.learner_id.tolist() == [2**32 - 1]


def test_observations_are_left_out_on_request():
    kept = rollout("uniform", num_learners=3, config=SHORT)
    left = rollout("uniform", num_learners=3, config=SHORT, keep_observations=False)
    assert left.obs is None
    assert_same(columns(left) | {"obs": None}, columns(kept) | {"obs": None})


def test_s8_2_width_of_observations_of_responses():
    run = rollout("uniform", num_learners=3, config=SHORT, observation="responses")
    assert run.observation == "responses"
    assert run.obs.shape == (len(run.interactions.action), 6)
    assert run.final_obs.shape == (3, 6)
    assert run.obs.dtype == run.final_obs.dtype == np.float32
    same = rollout("uniform", num_learners=3, config=SHORT)
    assert np.array_equal(run.interactions.action, same.interactions.action)


def test_s7_2_reasons_and_flags():
    run = rollout("uniform", num_learners=60, config=MIXED)
    last = run.interactions.last
    assert set(run.reason.tolist()) == {1, 2, 3}
    assert np.array_equal(run.termination_reason[last], run.reason)
    assert np.count_nonzero(run.termination_reason) == len(last)
    assert not (run.terminated & run.truncated).any()
    assert np.array_equal(run.truncated[last], run.reason == Reason.STEP_LIMIT)
    assert np.array_equal(run.terminated[last], run.reason != Reason.STEP_LIMIT)
    assert (run.interactions.length[run.reason == Reason.STEP_LIMIT] == 25).all()
    assert (run.interactions.frustration[last][run.reason == Reason.CRITICAL_FRUSTRATION] >= np.float32(0.5)).all()
    assert (run.interactions.mean_mastery[last][run.reason == Reason.MASTERY_ACHIEVED] >= 0.75).all()
    assert (np.delete(run.interactions.mean_mastery, last) < 0.75).all()


def test_rules_from_object_mapping_file_and_dynamics_argument(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("num_los = 2\nmax_episode_steps = 6\n[dynamics]\nlearning_rate = 0.5\n")
    wanted = columns(rollout(num_learners=2, config=file))
    mapping = {"num_los": 2, "max_episode_steps": 6, "dynamics": {"learning_rate": 0.5}}
    assert_same(wanted, columns(rollout(num_learners=2, config=mapping)))
    assert_same(wanted, columns(rollout(num_learners=2, config=SHORT, dynamics={"learning_rate": 0.5})))
    assert_same(wanted, columns(rollout(num_learners=2, config=mapping, bank=sample_bank(SHORT))))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"policy": "nonsense"}, ValueError, "unknown policy 'nonsense'; known are uniform, rules"),
        ({"policy": 3}, TypeError, "a policy must be an instance with a name"),
        ({"num_learners": 0}, ValueError, "num_learners must be an integer of at least 1; got 0"),
        ({"num_learners": -1}, ValueError, "num_learners must be an integer of at least 1; got -1"),
        ({"num_learners": 1.5}, ValueError, "num_learners must be an integer of at least 1; got 1.5"),
        ({"num_learners": True}, ValueError, "num_learners must be an integer of at least 1; got True"),
        ({"episodes_per_learner": 0}, ValueError, "episodes_per_learner must be an integer of at least 1; got 0"),
        ({"num_threads": 0}, ValueError, "num_threads must be an integer of at least 1; got 0"),
        ({"num_threads": "2"}, ValueError, "num_threads must be an integer of at least 1; got '2'"),
        ({"seed": -1}, ValueError, "seed must be an integer in [0, 2**64); got -1"),
        ({"seed": 2**64}, ValueError, "seed must be an integer in [0, 2**64); got"),
        ({"seed": 0.5}, TypeError, "seed must be an integer in [0, 2**64); got 0.5"),
        ({"seed": None}, TypeError, "seed must be an integer in [0, 2**64); got None"),
        ({"first_learner": -1}, ValueError, "first_learner must be an integer in [0, 2**32); got -1"),
        ({"first_learner": 1.5}, TypeError, "first_learner must be an integer in [0, 2**32); got 1.5"),
        ({"first_learner": "1"}, TypeError, "first_learner must be an integer in [0, 2**32); got '1'"),
        ({"first_learner": 2**32}, ValueError, "first_learner must be an integer in [0, 2**32); got 4294967296"),
        (
            {"first_learner": 2**32 - 1, "num_learners": 2},
            ValueError,
            "first_learner + num_learners must be at most 2**32",
        ),
        (
            {"observation": "abilities"},
            ValueError,
            "observation must be one of 'mastery', 'responses'; got 'abilities'",
        ),
        ({"config": {"num_los": 0}}, ConfigError, "num_los = 0"),
        ({"dynamics": "other"}, ValueError, "dynamics must be one of standard"),
        ({"bank": "nowhere"}, BankError, "nowhere"),
    ],
)
def test_invalid_arguments_are_refused(arguments, error, message):
    with pytest.raises(error) as caught:
        rollout(**{"num_learners": 1, "config": SHORT, **arguments})
    assert message in str(caught.value)


def test_numpy_integers_are_integers():
    run = rollout(num_learners=np.int32(2), first_learner=np.uint32(1), seed=np.uint64(7), config=SHORT)
    assert_same(columns(run), columns(rollout(num_learners=2, first_learner=1, seed=7, config=SHORT)))


@pytest.mark.parametrize(
    ("observation", "steps", "episodes"),
    [
        ("mastery", 140, 348),
        ("mastery", 10, 1024),
        ("responses", 140, 256),
        ("responses", 4000, 21),
        ("mastery", 10**6, 0),
    ],
)
def test_a_block_of_episodes_fits_in_a_cache_unless_too_few_episodes_would(observation, steps, episodes):
    """Episodes that need more than 25 MB each do not run in compiled code."""
    settings = read_plan(
        "uniform",
        num_learners=1,
        episodes_per_learner=1,
        seed=0,
        config={"max_episode_steps": steps},
        bank=None,
        dynamics=None,
        observation=observation,
        num_threads=1,
        keep_observations=observation == "responses",
    )
    assert collector.episodes_per_block(settings) == episodes
    assert collector.is_compiled(settings) == (episodes > 0)
