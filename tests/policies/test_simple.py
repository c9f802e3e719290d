"""Policies of a few lines: each equals a plain twin, and its compiled form equals the calls from Python."""

from typing import NamedTuple

import numpy as np
import pytest

import alsim
from alsim.config import Config
from alsim.errors import AlsimError
from alsim.policies import RulePolicy, is_rule, make_policy, memory, one_hot
from alsim.policies.mastery_gated import Gate, MasteryGated
from alsim.rollouts.rollout import rollout

SMALL = Config.read({"num_los": 3, "max_episode_steps": 40, "termination": {"max_frustration": 0.9}})
NAMES = ["round-robin", "weakest", "video-weakest", "mastery-gated", "mastery-gated:0.45"]
f32 = np.float32


# ── plain twins: one learner, numbers of clause S3.1 ─────────────────────────────────────────────


def question(lo, level):
    return 3 * lo + level


def video(lo, num_los):
    return 3 * num_los + 6 * lo


def lowest(mastery):
    return min(range(len(mastery)), key=lambda k: (mastery[k], k))


def round_robin(mastery, frustration, step):
    order = [question(lo, level) for level in range(3) for lo in range(len(mastery))]
    return order[step % len(order)]


def weakest(mastery, frustration, step):
    lo = lowest(mastery)
    return video(lo, len(mastery)) if frustration > f32(0.5) else question(lo, 0)


def video_weakest(mastery, frustration, step):
    return video(lowest(mastery), len(mastery))


def gated(threshold):
    def choose(mastery, frustration, step):
        open_los = [lo for lo, m in enumerate(mastery) if m < f32(threshold)]
        lo = open_los[0] if open_los else lowest(mastery)
        if frustration > f32(0.5):
            return video(lo, len(mastery))
        share = f32(3) * mastery[lo]
        return question(lo, 0 if share < f32(threshold) else 1 if share < f32(2) * f32(threshold) else 2)

    return choose


TWINS = {
    "round-robin": round_robin,
    "weakest": weakest,
    "video-weakest": video_weakest,
    "mastery-gated": gated(0.8),
    "mastery-gated:0.45": gated(0.45),
}


class InPython:
    """The same policy, without its compiled form."""

    def __init__(self, base):
        self.base, self.name = base, base.name

    def start(self, n):
        return np.zeros((n, 0)) if memory.start(self.base, n) is None else memory.start(self.base, n)

    def act(self, view, state, draws):
        return memory.act(self.base, view, state, draws)

    def learn(self, state, transitions):
        return memory.learn(self.base, state, transitions)


def fields(run):
    x = run.interactions
    return [array.tobytes() for array in (x.action, x.item, x.reward, x.response_time, run.propensity, run.obs)]


@pytest.mark.heavy
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("num_los", [1, 3, 7])
def test_every_action_is_that_of_the_plain_twin(name, num_los):
    config = Config.read({"num_los": num_los, "max_episode_steps": 60, "termination": {"max_frustration": 0.9}})
    run = rollout(name, num_learners=12, episodes_per_learner=2, seed=num_los, config=config)
    x = run.interactions
    assert run.policy == name
    assert (run.propensity == 1).all()
    for row in range(len(x.action)):
        chosen = TWINS[name](run.obs[row, :num_los], run.obs[row, num_los], int(x.step[row]) - 1)
        assert x.action[row] == chosen, (name, row)


@pytest.mark.parametrize("name", NAMES[1:])
def test_thresholds_and_ties(name):
    generator, policy = np.random.default_rng(3), make_policy(name)
    rows = np.round(generator.random((600, 6)), 1).astype(f32)
    for edge in (0.15, 0.3, 0.45, 0.8, 0.8 / 3, 1.6 / 3, 0.5):
        near = [np.nextafter(f32(edge), f32(0)), f32(edge), np.nextafter(f32(edge), f32(1))]
        rows[generator.random(rows.shape) < 0.1] = generator.choice(near)
    rows[:3, :4] = 1  # all at the threshold
    view = alsim.policies.View(rows, "mastery", 4, np.ones(600, bool), np.zeros(600, f32))
    actions, odds = policy.act(view, None)
    assert actions.tolist() == [TWINS[name](row[:4], row[4], 0) for row in rows]
    assert (odds == 1).all()
    assert np.array_equal(policy.probabilities(view), one_hot(actions, 36))


@pytest.mark.heavy
@pytest.mark.parametrize("name", NAMES)
def test_the_compiled_form_equals_the_calls_from_python(name):
    policy = make_policy(name)
    assert is_rule(policy)
    arguments = {"num_learners": 70, "episodes_per_learner": 2, "seed": 5, "config": SMALL}
    assert fields(rollout(policy, **arguments)) == fields(rollout(InPython(policy), **arguments))


@pytest.mark.parametrize("name", NAMES)
def test_a_learner_is_taught_the_same_alone(name):
    together = rollout(name, num_learners=9, seed=6, config=SMALL)
    alone = rollout(name, num_learners=1, first_learner=4, seed=6, config=SMALL)
    rows = together.interactions.episode == 4
    assert together.interactions.action[rows].tobytes() == alone.interactions.action.tobytes()
    assert together.interactions.reward[rows].tobytes() == alone.interactions.reward.tobytes()


@pytest.mark.heavy
@pytest.mark.parametrize("name", NAMES)
def test_epsilon_greedy_accepts_them_and_the_log_gives_the_propensities_again(name):
    policy = make_policy(f"epsilon-greedy:({name}):0.25")
    log = alsim.generate_dataset(8, 2, policy=policy, seed=2, config=SMALL)
    assert log.probabilities(policy).tobytes() == log.propensity.tobytes()


@pytest.mark.parametrize("name", NAMES[1:])
def test_they_need_mastery(name):
    with pytest.raises(AlsimError, match=f"the policy '{name}' needs observation='mastery'; got 'responses'"):
        rollout(name, num_learners=1, config=SMALL, observation="responses")


def test_round_robin_reads_no_observation_and_counts_explored_turns():
    run = rollout("round-robin", num_learners=3, config=SMALL, observation="responses")
    first = run.interactions.action[run.interactions.episode == 0]
    assert first[:9].tolist() == [0, 3, 6, 1, 4, 7, 2, 5, 8]
    run = rollout("epsilon-greedy:round-robin:0.5", num_learners=20, seed=1, config=SMALL)
    x, order = run.interactions, np.array([0, 3, 6, 1, 4, 7, 2, 5, 8])
    expected = order[(x.step - 1) % 9]
    assert np.array_equal(x.action == expected, run.propensity > 0.5)


# ── parameters of an instance ────────────────────────────────────────────────────────────────────


def test_the_name_shows_the_threshold():
    assert MasteryGated().name == make_policy("mastery-gated").name == "mastery-gated"
    assert MasteryGated(0.45).name == make_policy("mastery-gated:.45").name == "mastery-gated:0.45"
    assert MasteryGated(0.45).parameters == Gate(0.45)
    assert MasteryGated.parameters == MasteryGated().parameters == Gate(0.8)


@pytest.mark.parametrize("threshold", [0, -0.1, 1.01, np.nan, np.inf, True, "0.5", None])
def test_an_invalid_threshold_is_refused(threshold):
    with pytest.raises(AlsimError, match=r"the threshold of mastery-gated must be a number in \(0, 1\]; got"):
        MasteryGated(threshold)


def test_two_instances_have_two_results_and_the_manifest_tells_them_apart(tmp_path):
    low, high = (rollout(MasteryGated(t), num_learners=20, seed=1, config=SMALL) for t in (0.3, 0.9))
    assert low.interactions.action.tobytes() != high.interactions.action.tobytes()
    log = alsim.generate_dataset(5, 1, policy=MasteryGated(0.3), seed=1, config=SMALL)
    assert log.manifest["policy"]["name"] == "mastery-gated:0.3"


class Other(NamedTuple):
    threshold: float = 0.8


def test_parameters_of_another_class_are_refused():
    policy = MasteryGated()
    policy.parameters = Other()
    expected = "the parameters of the policy 'mastery-gated' must be of the class Gate, which selects its rule; got"
    with pytest.raises(TypeError, match=expected):
        rollout(policy, num_learners=2, config=SMALL)
    assert issubclass(MasteryGated, RulePolicy)
