"""Policies with memory: the contract, the compiled form, wrappers, logs, and states that are invalid."""

import pickle
from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pytest

import alsim
from alsim import rule
from alsim.config import Config
from alsim.errors import AlsimError
from alsim.policies import EpsilonGreedy, PolicyDraws, RulePolicy, Transitions, View, memory, one_hot
from alsim.policies.compiled import content_action, question_action
from alsim.rollouts.rollout import rollout
from alsim.types import f32, f64, i64, u64

SMALL = Config.read({"num_los": 3, "max_episode_steps": 30, "termination": {"max_frustration": 0.5}})
LONG = Config.read({"num_los": 3})


class Counts(NamedTuple):
    wrong: np.ndarray  # (N, L)
    total: np.ndarray  # (N,)


class MostWrong:
    """Asks about the LO with the most wrong answers, or with probability 1/4 any action; counts its own calls."""

    name = "most-wrong"

    def start(self, n):
        return Counts(np.zeros((n, 3), np.int64), np.zeros(n))

    def act(self, view, state, draws):
        odds = self.probabilities(view, state, draws)
        actions = (odds.cumsum(axis=1) < draws.uniform()[:, np.newaxis]).sum(axis=1)
        actions = np.minimum(actions, view.num_actions - 1)
        return actions, odds[np.arange(len(odds)), actions]

    def probabilities(self, view, state, draws=None):
        chosen = view.question(state.wrong.argmax(axis=1), "Easy")
        return 0.75 * one_hot(chosen, view.num_actions) + 0.25 / view.num_actions

    def learn(self, state, transitions):
        lanes = np.arange(transitions.num_lanes)
        state.wrong[lanes, transitions.los] += transitions.active & (transitions.correct == 0)
        state.total[:] += transitions.rewards


class Threshold(NamedTuple):
    wrong: float = 2.0  # wrong answers after which a video is shown


@rule
def least_wrong(p, observation, inputs, words):
    """Ask about the LO with the fewest wrong answers; show a video after the second one in a row."""
    lo = 0
    for k in range(1, 3):
        if inputs.memory[inputs.place + u64(k)] < inputs.memory[inputs.place + u64(lo)]:
            lo = k
    video = content_action(inputs, i64(lo), i64(0))
    question = question_action(inputs, i64(lo), i64(0))
    return video if inputs.memory[inputs.place + u64(3)] >= p.wrong else question, f64(1)


@rule
def count_wrong(p, observation, inputs, transition):
    if transition.correct == 0:
        inputs.memory[inputs.place + u64(transition.action // 3)] += f32(1)
        inputs.memory[inputs.place + u64(3)] += f32(1)
    else:
        inputs.memory[inputs.place + u64(3)] = f32(0)
    inputs.memory[inputs.place + u64(4)] = observation[inputs.row] + transition.reward + inputs.hours
    inputs.memory[inputs.place + u64(5)] += f32(transition.ended)


class LeastWrong(RulePolicy):
    name = "least-wrong"
    parameters = Threshold()
    choose = least_wrong
    memory = 6
    learn = count_wrong


class Recording:
    """The same policy in Python calls, and all that it was passed."""

    name = "recording"

    def __init__(self, base):
        self.base, self.states, self.transitions, self.views = base, [], [], []

    def start(self, n):
        return memory.start(self.base, n)

    def act(self, view, state, draws):
        self.states.append(memory.map_arrays(np.copy, state))
        return memory.act(self.base, view, state, draws)

    def learn(self, state, transitions):
        self.transitions.append(transitions)
        return memory.learn(self.base, state, transitions)


def same(one, other):
    assert one.propensity.tobytes() == other.propensity.tobytes()
    for name in ("action", "reward", "item", "response_time"):
        assert getattr(one.interactions, name).tobytes() == getattr(other.interactions, name).tobytes(), name


@pytest.mark.ci
@pytest.mark.parametrize("episodes", [1, 3])
def test_a_compiled_memory_equals_python(episodes):
    arguments = {"num_learners": 70, "episodes_per_learner": episodes, "seed": 3, "config": SMALL}
    same(rollout(LeastWrong(), **arguments), rollout(Recording(LeastWrong()), **arguments))


@pytest.mark.ci
def test_learning_changes_what_a_policy_does():
    run = rollout(LeastWrong(), num_learners=50, config=SMALL)
    action, kinds = run.interactions.action, run.interactions.action >= 9
    assert kinds.any()
    assert len(set(action[~kinds].tolist())) == 3
    # A video follows exactly after two wrong answers in a row, counted independently from the log.
    x = run.interactions
    for e in range(50):
        rows = np.flatnonzero(x.episode == e)
        in_row = 0
        for row in rows:
            assert (action[row] >= 9) == (in_row >= 2)
            in_row = 0 if action[row] >= 9 or x.correct[row] else in_row + 1


def test_the_state_of_a_lane_does_not_depend_on_the_batch():
    together = rollout(MostWrong(), num_learners=20, seed=5, config=SMALL)
    for learner in (0, 7, 19):
        alone = rollout(MostWrong(), num_learners=1, first_learner=learner, seed=5, config=SMALL)
        rows = together.interactions.episode == learner
        assert together.propensity[rows].tobytes() == alone.propensity.tobytes()
        for name in ("action", "reward"):
            expected = getattr(together.interactions, name)[rows]
            assert expected.tobytes() == getattr(alone.interactions, name).tobytes()


def test_transitions_are_the_interactions():
    recorded = Recording(MostWrong())
    run = rollout(recorded, num_learners=6, seed=2, config=SMALL)
    x = run.interactions
    assert len(set(x.length.tolist())) > 1
    for lane in range(6):
        rows = np.flatnonzero(x.episode == lane)
        for t, passed in enumerate(recorded.transitions):
            assert passed.active[lane] == (t < len(rows))
            if t >= len(rows):
                continue
            row = rows[t]
            assert passed.actions[lane] == x.action[row]
            assert passed.rewards[lane] == x.reward[row]
            assert passed.propensities[lane] == run.propensity[row]
            assert passed.items[lane] == x.item[row]
            asked = x.action[row] < 9
            assert passed.correct[lane] == (int(x.correct[row]) if asked else -1)
            assert passed.asks[lane] == asked
            assert passed.los[lane] == (x.action[row] // 3 if asked else (x.action[row] - 9) // 6)
            assert passed.levels[lane] == (x.action[row] % 3 if asked else (x.action[row] - 9) % 6)
            assert np.array_equal(passed.observation[lane], run.obs[row])
            last = t == len(rows) - 1
            after = run.final_obs[lane] if last else run.obs[row + 1]
            assert passed.ended[lane] == last
            # The arrays of the next observation are views of the environment: compare before the next step only.
            if t == len(recorded.transitions) - 1:
                assert np.array_equal(passed.next_observation[lane], after)
        wrong = np.zeros(3)
        for t, row in enumerate(rows):
            assert recorded.states[t].wrong[lane].tolist() == wrong.tolist()
            if x.action[row] < 9 and not x.correct[row]:
                wrong[x.action[row] // 3] += 1


@pytest.mark.heavy
def test_a_log_gives_the_propensities_again():
    for policy in (MostWrong(), EpsilonGreedy(MostWrong(), 0.2), EpsilonGreedy(LeastWrong(), 0.3)):
        log = alsim.generate_dataset(12, 2, policy=policy, seed=4, config=SMALL)
        assert log.probabilities(policy).tobytes() == log.propensity.tobytes()
        total = np.concatenate([odds.sum(axis=1) for _, odds in log.distributions(policy)])
        assert np.abs(total - 1).max() < 1e-12


class Rounded(MostWrong):
    """Is certain, with a probability of 1 and a rounding error."""

    name = "rounded"

    def probabilities(self, view, state, draws=None):
        return (1 + 2**-52) * one_hot(view.question(state.wrong.argmax(axis=1), "Easy"), view.num_actions)


def test_a_log_gives_propensities_of_1_again():
    for policy in (Rounded(), EpsilonGreedy(Rounded(), 0), "zpdes:1:0"):
        log = alsim.generate_dataset(12, 1, policy=policy, seed=1, config=SMALL, action_mask=np.arange(27) % 5 != 1)
        assert log.propensity.max() == 1
        assert log.probabilities(policy).tobytes() == log.propensity.tobytes()
    log = alsim.generate_dataset(12, 1, policy=Rounded(), seed=1, config=SMALL)
    assert log.probabilities(Rounded()).max() == 1


class Tracing(MostWrong):
    """Keeps what the log and the rollout passed to `learn`, and the state after it."""

    name = "tracing"

    def __init__(self):
        self.trace = {}

    def learn(self, state, transitions):
        super().learn(state, transitions)
        for lane in np.flatnonzero(transitions.active):
            key = transitions.observation[lane].tobytes(), int(transitions.items[lane])
            fields = ("next_observation", "rewards", "ended", "last_seconds", "clock", "propensities")
            self.trace[key] = tuple(getattr(transitions, name)[lane].tobytes() for name in fields)


def test_a_log_passes_the_same_transitions_as_the_rollout():
    policy, again = Tracing(), Tracing()
    log = alsim.generate_dataset(8, 2, policy=policy, seed=4, config=SMALL)
    log.probabilities(again)
    assert len(policy.trace) > 100
    assert policy.trace == again.trace


@pytest.mark.ci
@pytest.mark.heavy
def test_workers_and_threads_give_the_same_bits(tmp_path):
    logs = [
        alsim.generate_dataset(40, 2, policy=LeastWrong(), seed=1, config=SMALL, num_threads=threads)
        for threads in (1, 2)
    ]
    assert logs[0].transitions.equals(logs[1].transitions)


def test_a_state_can_be_pickled_and_copied():
    policy = MostWrong()
    state = memory.start(policy, 4)
    state.wrong[:] = np.arange(12).reshape(4, 3)
    again = pickle.loads(pickle.dumps(state))
    assert all(np.array_equal(a, b) for a, b in zip(state, again, strict=True))
    part = memory.lanes_of({"a": state, "b": [np.arange(4)]}, slice(1, 3))
    assert part["a"].wrong.tolist() == [[3, 4, 5], [6, 7, 8]]
    assert part["b"][0].tolist() == [1, 2]
    assert dict(memory.arrays_of({"a": state})).keys() == {"state.a.wrong", "state.a.total"}
    similar = {1: np.zeros(1), "1": np.zeros(1), "a.b": np.zeros(1), "a": {"b": (np.zeros(1), np.zeros(1))}}
    assert len(dict(memory.arrays_of(similar))) == 5


@dataclass(frozen=True)
class FewestWrong(MostWrong):
    """Asks about the LO with the fewest wrong answers."""

    def probabilities(self, view, state, draws=None):
        return one_hot(view.question(state.wrong.argmin(axis=1), "Easy"), view.num_actions)


def interact(envs, observations, policy, state, draws):
    """Perform one interaction in each lane of an environment; return the observations after it and the actions."""
    lanes = len(observations)
    active, seconds = np.ones(lanes, bool), np.zeros(lanes, np.float32)
    view = View(observations, "mastery", 3, active, last_seconds=seconds)
    actions, propensities = policy.act(view, state, draws)
    after, rewards, terminated, truncated, infos = envs.step(actions)
    row = {"actions": actions, "propensities": propensities, "items": infos["item"], "correct": infos["correct"]}
    row |= {"seconds": infos["response_time"], "rewards": rewards, "ended": terminated | truncated}
    row |= {"observation": observations, "next_observation": after, "kind": "mastery", "num_los": 3}
    policy.learn(state, Transitions(**row, active=active, last_seconds=seconds))
    return after, actions


def test_a_state_continues_with_the_snapshot_of_an_environment():
    draws = PolicyDraws(lambda block: np.zeros((5, 4), np.uint32))
    policy, run = FewestWrong(), rollout(FewestWrong(), num_learners=5, seed=2, config=LONG)
    envs = alsim.AdaptiveLearningVectorEnv(5, config=LONG, autoreset_mode="Disabled", info="flat")
    observations, _ = envs.reset(seed=2)
    state, taken = policy.start(5), []
    for step in range(10):
        if step == 6:
            kept = pickle.loads(pickle.dumps((envs.snapshot(), observations, state)))
        observations, actions = interact(envs, observations, policy, state, draws)
        taken.append(actions)
    assert kept[2].wrong.sum() > 0
    assert len({tuple(row) for row in np.transpose(taken)}) > 1

    snapshot, again, kept_state = kept
    envs.restore(snapshot)
    for actions in taken[6:]:
        again, repeated = interact(envs, again, policy, kept_state, draws)
        assert repeated.tolist() == actions.tolist()
    assert again.tobytes() == observations.tobytes()
    assert kept_state.wrong.tolist() == state.wrong.tolist()
    first = np.cumsum(run.interactions.length) - run.interactions.length
    assert run.interactions.length.min() >= 10
    for step, actions in enumerate(taken):
        assert run.interactions.action[first + step].tolist() == actions.tolist()


@dataclass(frozen=True)
class Doubled:
    wrong: np.ndarray
    twice: np.ndarray = field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "twice", 2 * self.wrong)


def test_containers_are_copied_without_their_constructors():
    part = memory.lanes_of(Doubled(np.arange(4)), slice(1, 3))
    assert (part.wrong.tolist(), part.twice.tolist()) == ([1, 2], [2, 4])
    state = defaultdict(list, x=np.arange(4))
    part = memory.lanes_of(state, slice(1, 3))
    assert (part["x"].tolist(), type(part), state["x"].tolist()) == ([1, 2], defaultdict, [0, 1, 2, 3])


class Stateful(MostWrong):
    def __init__(self, state=None, after=None):
        self.state, self.after = state, after

    def start(self, n):
        return super().start(n) if self.state is None else self.state

    def learn(self, state, transitions):
        return super().learn(state, transitions) if self.after is None else self.after(state)


def refusal(policy):
    with pytest.raises((AlsimError, TypeError)) as raised:
        rollout(policy, num_learners=5, config=SMALL)
    return str(raised.value)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (np.zeros(4), "policy 'most-wrong' must return arrays whose first axis has 5 lanes; got state of shape (4,)"),
        ({"x": np.zeros(())}, "5 lanes; got state.x of shape ()"),
        ("abc", "must return an array, or a tuple, list, dict, NamedTuple or dataclass of arrays; got 'abc'"),
        ([np.zeros(5), 3], "dataclass of arrays; got "),
        (np.zeros(5, object), "must return arrays of numbers; got state of type object"),
    ],
)
def test_an_invalid_state_is_refused_with_the_name_of_the_policy(state, message):
    assert message in refusal(Stateful(state))


def test_learn_may_return_the_state():
    run = rollout(Stateful(after=lambda state: Counts(state.wrong + 1, state.total)), num_learners=5, config=SMALL)
    assert len(run.interactions.action) > 0
    assert "returned a state with arrays of other names or shapes" in refusal(Stateful(after=lambda state: state.total))
    short = refusal(Stateful(after=lambda state: Counts(state.wrong[:2], state.total)))
    assert "the method learn of the policy 'most-wrong' must return arrays whose first axis has 5 lanes" in short


def test_missing_methods_are_named():
    class NoLearn:
        name = "no-learn"

        def start(self, n):
            return np.zeros(n)

        def act(self, view, state, draws):
            return np.zeros(view.num_lanes, np.int64), np.ones(view.num_lanes)

    assert "'no-learn' has a method start, so it must have a method learn, too; add def learn(self, state" in refusal(
        NoLearn()
    )

    class OldAct(NoLearn):
        name = "old-act"

        def act(self, view, draws):
            return None

    assert "the method act of the policy 'old-act' must take a view, a state and draws" in refusal(OldAct())

    class OldProbabilities(MostWrong):
        name = "old-probabilities"

        def probabilities(self, view):
            return None

    message = "the method probabilities of the policy 'old-probabilities' must take .view, state, draws=None.; got"
    log = alsim.generate_dataset(3, 1, policy="uniform", config=SMALL)
    for use in (
        lambda: EpsilonGreedy(OldProbabilities(), 0.1),
        lambda: rollout(OldProbabilities(), num_learners=3, config=SMALL, action_mask=np.arange(27) < 9),
        lambda: log.probabilities(OldProbabilities()),
    ):
        with pytest.raises(TypeError, match=message):
            use()


def test_an_error_about_hidden_mastery_names_the_policy_that_reads_it():
    class Reader(MostWrong):
        name = "reader"
        reads = "mastery"

    log = alsim.generate_dataset(3, 1, policy="uniform", config=SMALL, observation="responses")
    for name, policy in (
        ("reader", Reader()),
        ("reader", EpsilonGreedy(Reader(), 0.1)),
        ("thompson", "mix:uniform=0.5,thompson=0.5"),
        ("linucb", "epsilon-greedy:(linucb:1:0.05:true):0.1"),
        ("linucb", "linucb:1:0.05:true"),
    ):
        message = f"the policy '{name}[^']*' needs observation='mastery'; got 'responses'; pass observation="
        with pytest.raises(AlsimError, match=message):
            rollout(policy, num_learners=3, config=SMALL, observation="responses")
        with pytest.raises(AlsimError, match=message):
            log.probabilities(policy)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"memory": 2}, "a RulePolicy with a memory must define `learn`, a rule; got none"),
        ({"memory": -1, "learn": count_wrong}, "must be a number of float32 values, at least 0; got -1"),
        ({"memory": True, "learn": count_wrong}, "must be a number of float32 values, at least 0; got True"),
        ({"learn": count_wrong}, "must say how many values it keeps; got no memory"),
    ],
)
def test_invalid_memories_of_rules_are_refused(members, message):
    with pytest.raises(AlsimError, match="^Bad: .*") as raised:
        type("Bad", (RulePolicy,), {"name": "bad", "parameters": Threshold(), "choose": least_wrong, **members})
    assert message in str(raised.value)


def test_a_rule_refuses_a_state_of_another_size():
    policy = LeastWrong()
    view = alsim.policies.View(np.zeros((2, 5), np.float32), "mastery", 3, np.ones(2, bool), np.zeros(2, np.float32))
    assert policy.start(2).shape == (2, 6)
    for state in (np.zeros((2, 5), np.float32), np.zeros((2, 6)), None):
        with pytest.raises(TypeError, match=r"state of the policy 'least-wrong' must be float32 of shape \(2, 6"):
            policy.act(view, state, None)
    with pytest.raises(TypeError, match="needs state and draws after the view; got 0 arguments"):
        policy.act(view)


def test_a_rule_without_memory_has_no_start():
    policy = alsim.make_policy("rules")
    assert policy.start is None
    assert not alsim.policies.has_memory(policy)
    assert not alsim.policies.has_memory(EpsilonGreedy(policy, 0.1))
    assert alsim.policies.has_memory(EpsilonGreedy(MostWrong(), 0.1))
