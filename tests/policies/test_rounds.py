"""Policies that learn across learners: rounds, checkpoints, logs, and errors."""

import shutil

import numpy as np
import pytest

import alsim
from alsim.datasets.round_states import RoundStates
from alsim.datasets.shards import Job
from alsim.errors import AlsimError
from alsim.policies import EpsilonGreedy
from alsim.rollouts.plan import read_plan

SMALL = {"num_los": 3, "max_episode_steps": 12, "termination": {"max_frustration": 0.5}}


class BestKind:
    """Draws actions in proportion to 1 + the rewards that all earlier learners got from them; counts its learning."""

    name = "best-kind"

    def __init__(self, round_size=5):
        self.round_size = round_size
        self.learned = []

    def start(self, n):
        return {"total": np.zeros((n, 27)), "rows": np.zeros(n, np.int64)}

    def probabilities(self, view, state, draws=None):
        weights = 1 + np.broadcast_to(state["total"], (view.num_lanes, 27))
        return weights / weights.sum(axis=1, keepdims=True)

    def act(self, view, state, draws):
        odds = self.probabilities(view, state)
        actions = (odds.cumsum(axis=1) <= draws.uniform()[:, np.newaxis]).sum(axis=1).clip(0, 26)
        return actions, odds[np.arange(len(odds)), actions]

    def learn(self, state, transitions):
        self.learned.append(transitions)
        for action, reward in zip(transitions.actions, np.maximum(transitions.rewards, 0), strict=True):
            state["total"][0, action] += reward
        state["rows"] += transitions.num_lanes


def expected_propensities(x, learner, round_size):
    """Return the propensity of each interaction, from a loop over all earlier rounds."""
    total, waiting, current = np.zeros(27), [], 0
    found = np.zeros(len(x.action))
    for row in range(len(x.action)):
        number = learner[x.episode[row]] // round_size
        if number != current:
            for action, reward in waiting:
                total[action] += reward
            waiting, current = [], number
        weights = 1 + total
        found[row] = (weights / weights.sum())[x.action[row]]
        waiting.append((x.action[row], max(x.reward[row], 0)))
    return found


@pytest.mark.parametrize("episodes", [1, 2])
def test_a_round_knows_all_earlier_rounds_and_not_itself(episodes):
    run = alsim.rollout(BestKind(), num_learners=17, episodes_per_learner=episodes, seed=3, config=SMALL)
    expected = expected_propensities(run.interactions, run.learner_id, 5)
    np.testing.assert_allclose(run.propensity, expected, rtol=1e-6)  # the loop adds float32 rewards in float64
    assert run.policy_state["rows"].tolist() == [len(run.propensity)]
    assert len(set(run.propensity.tolist())) > 10


def test_learn_receives_the_interactions_of_the_round_in_order():
    policy = BestKind()
    run = alsim.rollout(policy, num_learners=12, episodes_per_learner=2, seed=3, config=SMALL)
    x, first = run.interactions, 0
    assert [t.num_lanes for t in policy.learned] == [
        int(x.length[(run.learner_id // 5) == number].sum()) for number in range(3)
    ]
    for passed in policy.learned:
        rows = slice(first, first + passed.num_lanes)
        first += passed.num_lanes
        assert np.array_equal(passed.actions, x.action[rows])
        assert np.array_equal(passed.observation, run.obs[rows])
        assert np.array_equal(passed.propensities, run.propensity[rows])
        assert np.array_equal(
            passed.ended, x.last[rows] if x.last.dtype == bool else np.isin(np.arange(rows.start, rows.stop), x.last)
        )
        after = passed.next_observation
        inside = ~passed.ended
        assert np.array_equal(after[:-1][inside[:-1]], passed.observation[1:][inside[:-1]])
        episodes = np.unique(x.episode[rows])
        assert np.array_equal(after[passed.ended], run.final_obs[episodes])
        asked = x.action[rows] < 9
        last = np.float32(0)
        for k in range(passed.num_lanes):
            last = x.response_time[rows][k] if asked[k] else last
            assert passed.last_seconds[k] == last
            last = np.float32(0) if passed.ended[k] else last


def test_observations_need_not_be_kept():
    kept, left_out = (
        alsim.rollout(BestKind(), num_learners=12, seed=3, config=SMALL, keep_observations=keep)
        for keep in (True, False)
    )
    assert left_out.obs is None
    assert np.array_equal(kept.propensity, left_out.propensity)


def test_datasets_have_the_same_bits_in_memory_on_disk_and_after_any_interruption(tmp_path):
    arguments = {"num_learners": 17, "episodes_per_learner": 2, "seed": 3, "config": SMALL}
    run = alsim.rollout(BestKind(), **arguments)
    memory = alsim.generate_dataset(policy=BestKind(), **arguments)
    disk = alsim.generate_dataset(policy=BestKind(), out=tmp_path / "disk", **arguments)
    assert memory.transitions.equals(disk.transitions)
    assert disk.propensity.tobytes() == run.propensity.tobytes()
    assert len(disk.manifest["tables"]["episodes"]["shards"]) == 4
    assert not [*(tmp_path / "disk").rglob("*.npz")]


class Stops(Exception):
    pass


def test_an_interrupted_dataset_is_resumed_from_its_checkpoint(tmp_path):
    arguments = {"num_learners": 30, "episodes_per_learner": 1, "seed": 3, "config": SMALL}
    whole = alsim.generate_dataset(policy=BestKind(), **arguments)

    def stop(episodes, rows):
        if episodes >= 20:
            raise Stops

    out = tmp_path / "resumed"
    with pytest.raises(Stops):
        alsim.generate_dataset(policy=BestKind(), out=out, progress=stop, **arguments)
    [folder] = {file.parent for file in tmp_path.rglob("0*.npz")}
    assert sorted(file.name for file in folder.glob("*.npz"))[-1] == "00004.npz"
    damaged = tmp_path / "damaged"
    shutil.copytree(out, damaged)
    for file in damaged.rglob("0*.npz"):
        content = bytearray(file.read_bytes())
        content[len(content) // 3] ^= 1
        file.write_bytes(content)
    policy, again = BestKind(), BestKind()
    assert alsim.generate_dataset(policy=policy, out=out, **arguments).transitions.equals(whole.transitions)
    assert len(policy.learned) == 2  # rounds 4 and 5
    assert alsim.generate_dataset(policy=again, out=damaged, **arguments).transitions.equals(whole.transitions)
    assert len(again.learned) == 6  # without a valid checkpoint, earlier rounds are simulated again


class OtherTypes(BestKind):
    """Has arrays with similar names, and returns other types of numbers than those of `start`."""

    name = "other-types"

    def start(self, n):
        return {"total": np.zeros((n, 27)), "rows": np.zeros(n, np.int64), 1: np.zeros(n, np.int8), "1": np.ones(n)}

    def learn(self, state, transitions):
        super().learn(state, transitions)
        return {**state, 1: state[1] + 0.5}


def test_a_checkpoint_holds_any_state(tmp_path):
    others = {"bank": None, "dynamics": None, "observation": "mastery", "keep_observations": True, "num_threads": 1}
    plan = read_plan(OtherTypes(), num_learners=15, episodes_per_learner=1, seed=1, config=SMALL, **others)
    first = RoundStates(plan, tmp_path)
    runs = [first.run(number) for number in range(3)]
    plan.policy.learned.clear()
    assert RoundStates(plan, tmp_path).run(2).propensity.tobytes() == runs[2].propensity.tobytes()
    assert len(plan.policy.learned) == 1  # the state before the round was in the checkpoint


@pytest.mark.ci
def test_a_round_has_the_clock_of_each_interaction():
    policy, again = BestKind(4), BestKind(4)
    config = SMALL | {"sessions": {"interactions": 3, "break_hours": 20.0}}
    log = alsim.generate_dataset(8, 1, policy=policy, seed=3, config=config)
    log.probabilities(again)
    x = policy.learned[0]
    minutes = log.bank.contents.duration[np.maximum(x.items - log.bank.num_questions, 0)]
    hours = np.where(x.correct < 0, 60 * minutes, x.seconds) / 3600
    expected, start = [], 0
    for stop in np.flatnonzero(x.ended) + 1:
        expected += [sum(hours[start : k + 1]) + 20 * ((k + 1 - start) // 3) for k in range(start, stop)]
        start = stop
    np.testing.assert_allclose(x.clock, expected, rtol=1e-6)
    assert x.clock.max() > 40
    assert again.learned[0].clock.tobytes() == x.clock.tobytes()


def test_any_round_can_be_made_alone():
    others = {"bank": None, "dynamics": None, "observation": "mastery", "keep_observations": True, "num_threads": 1}
    plan = read_plan(BestKind(), num_learners=23, episodes_per_learner=1, seed=1, config=SMALL, **others)
    assert Job(plan, None, 5, "parquet").edges() == [(0, 5), (5, 10), (10, 15), (15, 20), (20, 23)]
    ordered = RoundStates(plan, None)
    runs = [ordered.run(number) for number in range(5)]
    for number in (4, 2, 0):
        alone = RoundStates(plan, None).run(number)
        assert alone.propensity.tobytes() == runs[number].propensity.tobytes()
        assert ordered.run(number).obs.tobytes() == runs[number].obs.tobytes()


@pytest.mark.ci
def test_workers_and_threads_give_the_same_bits(tmp_path):
    from alsim.policies.thompson import Thompson

    arguments = {"num_learners": 60, "episodes_per_learner": 1, "seed": 3, "config": SMALL}
    expected = alsim.generate_dataset(policy=shared_thompson(Thompson), **arguments)
    for extra in ({"num_threads": 2}, {"num_workers": 2}):
        name = tmp_path / str(*extra)
        log = alsim.generate_dataset(policy=shared_thompson(Thompson), out=name, **extra, **arguments)
        assert log.transitions.equals(expected.transitions)


def shared_thompson(kind):
    policy = kind(shared=True)
    policy.round_size = 16
    return policy


@pytest.mark.heavy
def test_a_log_gives_the_propensities_again(tmp_path):
    for policy in (BestKind(), EpsilonGreedy(BestKind(), 0.3)):
        log = alsim.generate_dataset(17, 2, policy=policy, seed=4, config=SMALL)
        assert log.probabilities(policy).tobytes() == log.propensity.tobytes()
    uniform = alsim.generate_dataset(17, 1, policy="uniform", seed=4, config=SMALL)
    split = alsim.generate_dataset(
        17, 1, policy="uniform", seed=4, config=SMALL, out=tmp_path / "split", episodes_per_shard=3
    )
    assert uniform.probabilities(BestKind()).tobytes() == split.probabilities(BestKind()).tobytes()
    x = alsim.rollout("uniform", num_learners=17, seed=4, config=SMALL)
    expected = expected_propensities(x.interactions, x.learner_id, 5)
    np.testing.assert_allclose(uniform.probabilities(BestKind()), expected, rtol=1e-6)


@pytest.mark.parametrize("size", [0, -1, 2.5, True, "256"])
def test_invalid_round_sizes_are_refused(size):
    with pytest.raises(AlsimError, match="round_size of the policy 'best-kind' must be an integer of at least 1; got"):
        alsim.rollout(BestKind(size), num_learners=3, config=SMALL)


def test_a_round_size_needs_a_state_of_all_learners():
    class Forgetful:
        name = "forgetful"
        round_size = 5

        def act(self, view, draws):
            return np.zeros(view.num_lanes, np.int64), np.ones(view.num_lanes)

    with pytest.raises(AlsimError, match="'forgetful' has a round_size, but it has no method start; leave out round_s"):
        alsim.rollout(Forgetful(), num_learners=3, config=SMALL)
    rules = alsim.make_policy("rules")
    rules.round_size = 5
    with pytest.raises(AlsimError, match="the policy 'rules' has a round_size, but a rule has a memory of each lane"):
        alsim.rollout(rules, num_learners=3, config=SMALL)


def test_the_size_of_shards_is_that_of_rounds():
    with pytest.raises(AlsimError, match="episodes_per_shard must be 10, the episodes of one round, for the policy"):
        alsim.generate_dataset(20, 2, policy=BestKind(), config=SMALL, episodes_per_shard=4)
