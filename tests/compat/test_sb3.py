"""The VecEnv and trainings with Stable-Baselines3 and PyTorch: `nox -s compat-sb3`."""

import copy
import io
import json
import pickle
import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium.error import ResetNeeded
from sb3_contrib import TRPO, MaskablePPO, RecurrentPPO
from sb3_contrib.common.wrappers import ActionMasker
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv, VecCheckNan, VecFrameStack, VecMonitor, VecNormalize

import alsim
from alsim.envs import sb3
from alsim.policies import NetworkPolicy
from alsim.rollouts.rollout import rollout
from alsim.training import TrainingError, directory, policy_of, read_curve, train

EXAMPLES = Path(__file__).parent.parent.parent / "docs" / "examples"
torch.set_num_threads(1)  # more threads are slower for such small networks
SMALL = {"num_los": 3, "max_episode_steps": 12}
N, SEED = 7, 3


@pytest.fixture
def env():
    made = sb3.make(N, config=SMALL, seed=SEED)
    yield made
    made.close()


def actions_of(steps, lanes=N, num_actions=27, seed=0):
    return np.random.default_rng(seed).integers(0, num_actions, (steps, lanes))


def one_by_one(first_learner=0, observation="mastery"):
    """The same learners, each in a separate environment, in a DummyVecEnv of Stable-Baselines3."""
    venv = DummyVecEnv([lambda: alsim.AdaptiveLearningEnv(config=SMALL, observation=observation) for _ in range(N)])
    venv._seeds = [SEED] * N
    venv.set_options([{"learner": first_learner + lane} for lane in range(N)])
    return venv


# ── the contract of a VecEnv ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("observation", ["mastery", "responses"])
@pytest.mark.parametrize("first", [0, 100])
def test_steps_equal_those_of_dummy_vec_env(first, observation):
    ours = sb3.make(N, config=SMALL, seed=SEED, first_learner=first, observation=observation)
    theirs = one_by_one(first, observation)
    assert (ours.observation_space, ours.action_space) == (theirs.observation_space, theirs.action_space)
    np.testing.assert_array_equal(ours.reset(), theirs.reset())
    kinds = set()
    for actions in actions_of(60):
        mine, other = ours.step(actions), theirs.step(actions)
        for k in range(3):
            np.testing.assert_array_equal(mine[k], other[k])
            assert mine[k].dtype == other[k].dtype
        for lane in np.flatnonzero(mine[2]):
            info, expected = mine[3][lane], other[3][lane]
            np.testing.assert_array_equal(info["terminal_observation"], expected["terminal_observation"])
            assert info["TimeLimit.truncated"] == expected["TimeLimit.truncated"]
            assert info["termination_reason"] == expected["termination_reason"]
            assert info["final_mastery"] == expected["mean_mastery"]
            kinds.add((info["TimeLimit.truncated"], info["termination_reason"]))
    assert (True, "step_limit") in kinds


def test_give_ups_are_terminations():
    ours = sb3.make(64, seed=SEED)
    ours.reset()
    reasons = []
    for _ in range(60):  # hard questions, after which most learners give up
        *_, dones, infos = ours.step(np.full(64, 2))
        for info in np.array(infos, object)[dones]:
            assert not info["TimeLimit.truncated"]
            reasons.append(info["termination_reason"])
    assert reasons.count("critical_frustration") == len(reasons) > 10


def test_episode_statistics_equal_those_of_vec_monitor(env):
    with pytest.warns(UserWarning, match="already wrapped with a `Monitor`"):
        monitored = VecMonitor(env, info_keywords=("final_mastery", "termination_reason"))
    monitored.reset()
    counted = 0
    for actions in actions_of(60):
        ours = env.step(actions)
        # The sums of VecMonitor, from the same step.
        env.step_wait, kept = (lambda ours=ours: ours), env.step_wait
        *_, dones, infos = monitored.step_wait()
        env.step_wait = kept
        for lane in np.flatnonzero(dones):
            mine, theirs = ours[3][lane]["episode"], infos[lane]["episode"]
            assert mine["l"] == theirs["l"]
            assert mine["r"] == pytest.approx(theirs["r"], abs=12 * 12 * 2.0**-24 * 2)  # VecMonitor adds in float32
            assert theirs["final_mastery"] == ours[3][lane]["final_mastery"]
            counted += 1
    assert counted > 20


def test_returned_arrays_are_the_callers(env):
    env.reset()
    before = env.step(actions_of(1)[0])
    kept = copy.deepcopy(before[:3])
    before[1][:] += 1  # PPO does this
    kept[1][:] += 1
    for actions in actions_of(20, seed=1):
        env.step(actions)
    for mine, other in zip(before[:3], kept, strict=True):
        np.testing.assert_array_equal(mine, other)


def test_empty_infos_are_shared_and_read_only(env):
    env.reset()
    *_, infos = env.step(actions_of(1)[0])
    assert isinstance(infos, list) and len(infos) == N
    assert all(info == {} and info is infos[0] for info in infos)
    for write in (
        lambda: infos[0].__setitem__("x", 1),
        lambda: infos[0].update(x=1),
        lambda: infos[0].setdefault("x", 1),
        lambda: infos[0].__ior__({"x": 1}),
    ):
        with pytest.raises(TypeError, match="write to a copy"):
            write()
    for own in (infos[0].copy(), dict(infos[0]), copy.copy(infos[0]), copy.deepcopy(infos[0])):
        own["x"] = 1
    for shared in (copy.deepcopy(infos), pickle.loads(pickle.dumps(infos))):
        with pytest.raises(TypeError, match=r"infos\[i\] = dict\(infos\[i\]\)"):  # not written to every lane
            shared[0]["x"] = 1
    infos[0] = own
    *_, infos = env.step(actions_of(1)[0])
    assert infos[0] == {}


def test_seeds(env):
    first = env.reset()
    second = env.reset()
    assert (first != second).any()  # the next episode of the same learners
    assert env.envs.lanes["episode"].tolist() == [1] * N
    assert env.seed(SEED) == [SEED] * N
    np.testing.assert_array_equal(env.reset(), first)
    np.testing.assert_array_equal(env.reset(), second)
    single = alsim.AdaptiveLearningEnv(config=SMALL)
    for lane in range(N):
        np.testing.assert_array_equal(first[lane], single.reset(seed=SEED, options={"learner": lane})[0])
    np.random.seed(0)  # noqa: NPY002  # the generator of the seed
    drawn = env.seed()
    np.random.seed(0)  # noqa: NPY002  # the generator of the seed
    assert env.seed() == drawn and len({*drawn}) == 1
    assert env.seed(2**64 - 1) == [2**64 - 1] * N
    with pytest.raises(ValueError, match=r"seed must be an integer in \[0, 2\*\*64\); got -1"):
        env.seed(-1)


def test_without_a_seed_learners_differ_from_run_to_run():
    one, other = (sb3.make(N, config=SMALL, first_learner=5) for _ in range(2))
    assert (one.reset() != other.reset()).any()
    assert one.envs.lanes["learner"].tolist() == list(range(5, 5 + N))


def test_the_seed_of_a_model_seeds_the_environment(env):
    PPO("MlpPolicy", env, seed=9, n_steps=2, batch_size=N)
    env.reset()
    assert env.envs.lanes["seed"].tolist() == [9] * N


def test_trainings_never_use_held_out_learners():
    with pytest.raises(ValueError, match=r"first_learner \+ num_envs must be at most 2\*\*31"):
        sb3.make(2, first_learner=2**31 - 1)
    env = sb3.make(2, config=SMALL, first_learner=2**31 - 2, seed=0)
    env.reset()
    assert env.envs.lanes["learner"].tolist() == [2**31 - 2, 2**31 - 1]
    held_out = sb3.make(2, config=SMALL, seed=0, held_out=True)
    held_out.reset()
    assert held_out.envs.lanes["learner"].tolist() == [2**31, 2**31 + 1]


def test_an_environment_describes_itself():
    with_first = sb3.make(4, config=SMALL, held_out=True, first_learner=2)
    assert repr(with_first) == f"AdaptiveLearningVecEnv(num_envs=4, num_los=3, first_learner={2**31 + 2})"


def test_there_is_no_learner_before_the_first_reset(env):
    with pytest.raises(ResetNeeded, match=r"call reset\(\) before learner_state"):
        env.get_attr("learner_state")
    env.reset()
    assert len(env.get_attr("learner_state")) == N


def test_resets_have_no_options(env):
    with pytest.raises(ValueError, match="reset options must be empty"):
        env.set_options({"learner": 5})
    env.set_options({})


def test_invalid_actions_are_an_error(env):
    env.reset()
    with pytest.raises(ValueError, match="got 27 in lane 2"):
        env.step(np.array([0, 0, 27, 0, 0, 0, 0]))


def test_a_pickled_environment_continues_equally(env):
    env.reset()
    for actions in actions_of(5):
        env.step(actions)
    copied = pickle.loads(pickle.dumps(env))
    for actions in actions_of(30, seed=1):
        mine, other = env.step(actions), copied.step(actions)
        for k in range(3):
            np.testing.assert_array_equal(mine[k], other[k])
        assert [info.get("episode", {}).get("r") for info in mine[3]] == [
            info.get("episode", {}).get("r") for info in other[3]
        ]


def test_the_single_environment_passes_their_checker():
    check_env(alsim.AdaptiveLearningEnv(config=SMALL), warn=True)


# ── what uses it ─────────────────────────────────────────────────────────────────────────────────


def test_ppo_learns_through_their_wrappers():
    env = VecNormalize(VecCheckNan(sb3.make(64, seed=0), raise_exception=True))
    model = PPO("MlpPolicy", env, n_steps=32, batch_size=512, seed=0, device="cpu")
    model.learn(64 * 32 * 3)
    assert model.num_timesteps == 64 * 32 * 3
    assert len(model.ep_info_buffer) > 0


def test_the_replay_buffer_of_dqn_has_last_observations():
    """Transitions that end an episode lead to the last observation of the episode."""
    env = sb3.make(4, config=SMALL, seed=0)
    model = DQN("MlpPolicy", env, buffer_size=4 * 100, learning_starts=40, batch_size=16, seed=0, device="cpu")
    model.learn(4 * 80)
    buffer = model.replay_buffer
    times, lanes = np.nonzero(buffer.dones[: buffer.pos])
    assert len(times) > 10
    for t, lane in zip(times, lanes, strict=True):
        # One interaction changes at most one outcome; the first observation of the next episode would differ in more.
        assert (buffer.observations[t, lane, :3] != buffer.next_observations[t, lane, :3]).sum() <= 1
    assert buffer.timeouts[times, lanes].sum() > 5


def test_evaluate_policy_runs_on_held_out_learners():
    model = PPO("MlpPolicy", sb3.make(8, config=SMALL, seed=0), n_steps=4, batch_size=8, device="cpu")
    held_out = sb3.make(8, config=SMALL, seed=0, held_out=True)
    earned, lengths = evaluate_policy(model, held_out, n_eval_episodes=16, return_episode_rewards=True)
    assert len(earned) == 16 and max(lengths) <= 12


# ── the actor as a policy ────────────────────────────────────────────────────────────────────────


def outputs_of(model, rows):
    """Return the outputs of PyTorch: logits or Q-values."""
    with torch.no_grad():
        x = torch.as_tensor(rows)
        if isinstance(model, PPO):
            return model.policy.get_distribution(x).distribution.logits.numpy()
        return model.q_net(x).numpy()


def error_bound(network, rows):
    """Return the bound of the difference between two float32 evaluations of a perceptron, elementwise.

    A sum of n products and a bias, in any order, is off by at most (n + 1) u of the sum of magnitudes, u = 2**-24, up
    to u**2; tanh has slope 1 at most and is off by at most 4 ulp (4 * 2**-23 of 1) in either library, ReLU not at all.
    """
    u = 2.0**-24
    error, size = np.zeros_like(rows, np.float64), np.abs(rows).astype(np.float64)
    value = rows.astype(np.float64)
    for k, (w, b) in enumerate(network.layers):
        w, b = w.astype(np.float64), b.astype(np.float64)
        size = np.abs(value) @ np.abs(w) + np.abs(b)
        error = error @ np.abs(w) + 1.01 * (len(w) + 1) * u * (size + error @ np.abs(w))
        value = value @ w + b
        if k + 1 < len(network.layers):
            value = np.tanh(value) if network.activation == "tanh" else np.maximum(value, 0)
            error = error + (4 * 2.0**-23 if network.activation == "tanh" else 0)
    return 2 * error  # each of the two may have this error


def model_of(kind):
    """Return an untrained model."""
    env, nets = sb3.make(4, seed=0), {"net_arch": [48, 24]}
    if kind == "dqn-relu":
        return DQN("MlpPolicy", env, seed=0, device="cpu", buffer_size=100, policy_kwargs=nets)
    nets = {"net_arch": [], "activation_fn": torch.nn.ReLU} if kind == "ppo-linear" else nets
    return PPO("MlpPolicy", env, n_steps=8, batch_size=16, seed=0, device="cpu", policy_kwargs=nets)


@pytest.mark.parametrize("kind", ["ppo-tanh", "ppo-linear", "dqn-relu"])
def test_outputs_of_a_policy_equal_those_of_pytorch(kind):
    model = model_of(kind)
    with torch.no_grad():
        generator = torch.Generator().manual_seed(1)
        for parameter in model.policy.parameters():  # the last layer of an untrained PPO is nearly 0
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    policy = policy_of(model)
    rows = np.random.default_rng(0).random((500, 32), np.float32)
    ours, theirs, bound = policy.network.forward(rows), outputs_of(model, rows), error_bound(policy.network, rows)
    if isinstance(model, PPO):  # logits of PyTorch are normalized log-probabilities
        shift = np.log(np.exp(ours.astype(np.float64)).sum(axis=1, keepdims=True))
        ours, bound = ours - shift, bound + bound.max(axis=1, keepdims=True) + 20 * 2.0**-23
    assert bound.max() < 1e-3 * np.ptp(theirs)  # otherwise the test would be trivial
    assert (np.abs(ours - theirs) <= bound).all()
    # Greedy actions agree if the two largest outputs differ by more than the bound.
    chosen, _ = model.predict(rows, deterministic=True)
    largest = np.sort(theirs, axis=1)
    clear = largest[:, -1] - largest[:, -2] > 2 * bound.max(axis=1)
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(ours.argmax(axis=1)[clear], chosen[clear])


def test_default_acting_of_policies(tmp_path):
    ppo, dqn = model_of("ppo-tanh"), model_of("dqn-relu")
    assert (policy_of(ppo).name, policy_of(ppo).acting) == ("ppo", "sample")
    assert (policy_of(dqn).name, policy_of(dqn).acting) == ("dqn", "greedy")
    assert (policy_of(dqn, epsilon=0.1).acting, policy_of(dqn, epsilon=0.1).epsilon) == ("epsilon", 0.1)
    assert policy_of(ppo, name="mine", acting="greedy").acting == "greedy"
    policy_of(ppo, name="mine").save(tmp_path)
    assert alsim.make_policy(str(tmp_path)).digest == policy_of(ppo, name="mine").digest
    with pytest.raises(TrainingError, match="observation must be one of 'mastery', 'responses'; got 'x'"):
        policy_of(ppo, observation="x")


class Cut(torch.nn.Module):
    def __init__(self, observation_space):
        super().__init__()
        self.features_dim = 3

    def forward(self, x):
        return x[:, :3]


def test_other_models_are_refused():
    env = sb3.make(4, config=SMALL, seed=0)
    with pytest.raises(
        TrainingError, match="model must be a PPO, A2C, .* or DQN model of Stable-Baselines3 .* got str"
    ):
        policy_of("model.zip")
    elu = {"activation_fn": torch.nn.ELU}
    with pytest.raises(TrainingError, match="got FlattenExtractor, Linear, ELU, Linear, ELU, Linear$"):
        policy_of(PPO("MlpPolicy", env, n_steps=4, batch_size=8, device="cpu", policy_kwargs=elu))
    with pytest.raises(TrainingError, match="got Cut, Linear"):
        cut = {"features_extractor_class": Cut}
        policy_of(PPO("MlpPolicy", env, n_steps=4, batch_size=8, device="cpu", policy_kwargs=cut))
    with pytest.raises(TrainingError, match="VecNormalize"):
        policy_of(PPO("MlpPolicy", VecNormalize(env), n_steps=4, batch_size=8, device="cpu"))
    assert policy_of(PPO("MlpPolicy", VecNormalize(env, norm_obs=False), n_steps=4, batch_size=8, device="cpu"))


@pytest.mark.parametrize("observation", ["mastery", "responses"])
@pytest.mark.parametrize("single", [False, True])
def test_the_observation_of_a_model_is_known(observation, single, tmp_path):
    env = one_by_one(observation=observation) if single else sb3.make(N, config=SMALL, observation=observation)
    model = PPO("MlpPolicy", env, n_steps=4, batch_size=7, device="cpu")
    policy_of(model).save(tmp_path)
    assert json.loads((tmp_path / "policy.json").read_text())["observation"] == observation
    assert len(alsim.rollout(tmp_path, num_learners=2, config=SMALL, observation=observation).propensity)
    other = {"mastery": "responses", "responses": "mastery"}[observation]
    assert policy_of(model, observation=observation).observation == observation
    with pytest.raises(TrainingError, match=f"observation must be '{observation}' for .*; got '{other}'; leave"):
        policy_of(model, observation=other)


def test_models_of_other_environments_are_refused():
    make = {"n_steps": 4, "batch_size": 7, "device": "cpu"}
    stacked = PPO("MlpPolicy", VecFrameStack(sb3.make(N, config=SMALL), 3), **make)
    message = (
        r"5 \(mastery\) or 8 \(responses\) entries.*; got 15 entries; .* 3 of mastery: train without VecFrameStack"
    )
    with pytest.raises(TrainingError, match=message):
        policy_of(stacked)
    with pytest.raises(TrainingError, match="got 2 actions"):
        policy_of(PPO("MlpPolicy", "CartPole-v1", n_steps=4, batch_size=4, device="cpu"))


@pytest.mark.parametrize(
    ("algorithm", "name"),
    [(A2C, "a2c"), (TRPO, "trpo"), (MaskablePPO, "maskable-ppo"), (type("Own", (PPO,), {}), "ppo")],
)
def test_actors_of_other_algorithms_are_converted(algorithm, name):
    model = algorithm("MlpPolicy", sb3.make(4, config=SMALL, seed=0), n_steps=32, seed=0, device="cpu")
    model.learn(128)
    policy = policy_of(model)
    assert (policy.name, policy.acting, policy.observation) == (name, "sample", "mastery")
    rows = np.random.default_rng(0).random((50, 5), np.float32)
    with torch.no_grad():
        features = model.policy.pi_features_extractor(torch.as_tensor(rows))
        theirs = model.policy.action_net(model.policy.mlp_extractor.forward_actor(features)).numpy()
    np.testing.assert_allclose(policy.network.forward(rows), theirs, atol=1e-5)


def test_own_masks_need_single_environments():
    """The recipe of the page on training."""
    allowed = np.arange(27) < 9
    env = DummyVecEnv([lambda: ActionMasker(alsim.AdaptiveLearningEnv(config=SMALL), lambda env: allowed)] * 4)
    model = MaskablePPO("MlpPolicy", env, n_steps=32, seed=0, device="cpu")
    model.learn(128)
    assert (model.rollout_buffer.actions < 9).all()
    assert alsim.rollout(policy_of(model), num_learners=5, config=SMALL).interactions.action.max() >= 9


def test_recurrent_models_are_refused():
    model = RecurrentPPO("MlpLstmPolicy", sb3.make(4, config=SMALL), n_steps=8, batch_size=16, device="cpu")
    with pytest.raises(TrainingError, match="got RecurrentPPO"):
        policy_of(model)


# ── trainings ────────────────────────────────────────────────────────────────────────────────────

QUICK = {
    "ppo": {"num_envs": 16, "n_steps": 8, "minibatches": 2, "net_arch": [8], "steps": 1024},
    "dqn": {"num_envs": 8, "buffer_size": 400, "learning_starts": 64, "batch_size": 16, "net_arch": [8], "steps": 800},
}
FILES = {"curve.csv", "curve.png", "evaluation.json", "model.zip", "policy.json", "policy.npz", "settings.json"}


def quick(algorithm, out, **arguments):
    chosen = {"backend": "sb3", "hyperparameters": QUICK[algorithm], **arguments}
    return train(algorithm, out=out, config=SMALL, eval_every=256, **chosen)


@pytest.mark.parametrize("algorithm", ["ppo", "dqn"])
def test_files_of_a_training(algorithm, tmp_path):
    out, moments = tmp_path / "deeper" / "run", []
    training = quick(algorithm, out, progress=moments.append)
    assert {entry.name for entry in out.iterdir()} == FILES
    steps = QUICK[algorithm]["steps"]
    assert moments[-1].steps == moments[-1].total == steps

    rows = read_curve(out / "curve.csv")
    assert [row.steps for row in rows] == sorted({row.steps for row in rows})
    evaluated = [row for row in rows if row.evaluated]
    assert [row.steps for row in evaluated] == [*range(0, steps, 256), steps]
    assert sum(row.episodes for row in rows) >= steps // 12 - 16

    # The policy in the directory has the best evaluation, and equals that of model.zip.
    found = json.loads((out / "evaluation.json").read_text())
    best = max(evaluated, key=lambda row: row.eval_return)
    assert found["training"]["best_steps"] == best.steps
    policy = NetworkPolicy.load(out)
    assert policy.digest == training.policy.digest
    model = {"ppo": PPO, "dqn": DQN}[algorithm].load(out / "model.zip", device="cpu")
    epsilon = {"ppo": 0.0, "dqn": 0.02}[algorithm]
    assert policy_of(model, epsilon=epsilon).digest == policy.digest

    # evaluation.json equals a rollout on the same learners.
    judged = rollout(str(out), num_learners=1000, first_learner=2**31, seed=0, config=SMALL).metrics
    assert found["learners"] == {"seed": 0, "first": 2**31, "num_learners": 1000}
    assert set(found["policies"]) == {algorithm, "uniform", "rules"}
    returns = found["policies"][algorithm]["cumulative_reward"]
    assert returns["mean"] == pytest.approx(judged.cumulative_reward.mean(), rel=1e-12)
    assert "under_specified_reward" not in found
    selected = rollout(str(out), num_learners=500, first_learner=2**31 + 2**30, seed=0, config=SMALL).metrics
    assert best.eval_return == pytest.approx(selected.cumulative_reward.mean(), rel=1e-5)  # six digits in the file


@pytest.mark.parametrize(
    ("algorithm", "rounded", "rollouts"), [("ppo", 384, "3 rollouts of 128"), ("dqn", 304, "38 rollouts of 8")]
)
def test_interactions_are_rounded_up_to_rollouts(tmp_path, caplog, algorithm, rounded, rollouts):
    moments = []
    with caplog.at_level("INFO", "alsim.training"):
        training = quick(algorithm, tmp_path / "run", steps=300, progress=moments.append)
    messages = [record.getMessage() for record in caplog.records if record.name.startswith("alsim.training")]
    assert messages[0] == f"300 interactions are rounded up to {rounded}: {rollouts}"
    assert ["too few to learn much" in message for message in messages[1:]] == [True] * (algorithm == "ppo")
    assert (moments[-1].steps, moments[-1].total) == (rounded, rounded)
    found = json.loads((tmp_path / "run" / "evaluation.json").read_text())["training"]
    assert (found["steps"], found["requested_steps"]) == (rounded, 300)
    assert training.evaluation["training"] == found


def test_a_training_names_its_policy_and_describes_itself(tmp_path, capsys, monkeypatch):
    quick("ppo", tmp_path / "run", name="mine", observation="responses", reward="learning")
    assert json.loads((tmp_path / "run" / "policy.json").read_text())["name"] == "mine"
    assert set(json.loads((tmp_path / "run" / "evaluation.json").read_text())["policies"]) == {
        "mine",
        "uniform",
        "rules",
    }
    (tmp_path / "small.toml").write_text("num_los = 3\nmax_episode_steps = 12\n")
    command = [sys.executable, "-m", "alsim"]

    def printed(*arguments):
        return subprocess.run([*command, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    described = printed("info", "run")
    assert "mine, trained by ppo, seed 0" in described and "observation responses, 3 learning outcomes" in described
    assert "dynamics standard; " in described and "reward_weights.correctness 0" in described
    assert re.search(r"^mine +-?\d+\.\d+ ± ", described, re.MULTILINE)
    shown = printed("show", "--policy", "run", "--config", "small.toml", "--observation", "responses")
    assert "policy mine\ntrained by ppo, observation responses, dynamics standard" in shown


def test_the_command_prints_rounding_evaluations_and_a_verdict(tmp_path):
    done = subprocess.run([*command(tmp_path / "run"), "--steps", "300"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, *evaluations = reported(done.stderr.splitlines())
    assert first == "alsim: 300 interactions are rounded up to 304: 38 rollouts of 8"
    assert [line.split(",")[0].strip() for line in evaluations] == ["0 of 304", "256 of 304", "304 of 304"]
    head, table, verdict = done.stdout.split("\n\n")
    assert head.splitlines()[0] == f"{tmp_path / 'run'}: policy dqn, with the best evaluation"
    assert [line.split()[0] for line in table.splitlines()[1:]] == ["policy", "dqn", "uniform", "rules"]
    words = r"(higher than with|lower than with|similar to that with) (uniform|rules)( and rules)?"
    comparison = rf"{words}( and {words})?"
    assert re.fullmatch(
        rf"With dqn, return is {comparison}; final mastery is {comparison}\.", " ".join(verdict.split())
    )


def test_the_same_command_gives_the_same_policy(tmp_path):
    digests = [quick("ppo", tmp_path / str(seed) / str(k), seed=seed).policy.digest for seed in (0, 1) for k in (0, 1)]
    assert digests[0] == digests[1] != digests[2] == digests[3]


def test_large_seeds_work_and_threads_are_restored(tmp_path):
    torch.set_num_threads(2)
    try:
        quick("ppo", tmp_path / "run", seed=2**64 - 1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_learning_is_also_evaluated_under_the_specified_reward(tmp_path):
    training = quick("ppo", tmp_path / "run", reward="learning")
    found = training.evaluation
    assert found["policies"]["ppo"] != found["under_specified_reward"]["ppo"]
    for name in ("uniform", "rules", "ppo"):  # the reward does not affect learners
        learnt, specified = found["policies"][name], found["under_specified_reward"][name]
        assert learnt["final_mastery"] == specified["final_mastery"]
    assert found["under_specified_reward"]["rules"] == quick("ppo", tmp_path / "other").evaluation["policies"]["rules"]
    assert all(row.eval_return != row.eval_return_specified for row in training.curve if row.evaluated)


def test_responses_can_be_trained_on(tmp_path):
    training = quick("ppo", tmp_path / "run", observation="responses")
    assert training.policy.observation == "responses"
    assert training.evaluation["policies"]["rules"]["cumulative_reward"]["n"] == 1000


def reported(lines):
    """Yield lines of standard error, without the notice that code is compiled, which only the first process prints."""
    return (line for line in lines if not line.startswith("alsim: compiling"))


def command(out, *more):
    settings = out.parent / "settings.toml"
    settings.write_text("\n".join(f"{key} = {value}" for key, value in QUICK["dqn"].items()))
    config = out.parent / "config.toml"
    config.write_text("\n".join(f"{key} = {value}" for key, value in SMALL.items()))
    return [
        *(
            sys.executable,
            "-m",
            "alsim",
            "train",
            "dqn",
            "--backend",
            "sb3",
            "--config",
            config,
            "--settings",
            settings,
        ),
        *("--eval-every", "256", "--out", out, *more),
    ]


def test_a_killed_training_is_resumed_and_a_second_process_refused(tmp_path):
    out, steps = tmp_path / "run", ("--steps", "200000")
    process = subprocess.Popen(command(out, *steps), stderr=subprocess.PIPE, text=True)
    for line in reported(process.stderr):
        if line.split()[0] == "1,024":
            break
    other = subprocess.run(command(out, *steps, "--force"), capture_output=True, text=True)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert other.returncode == 2  # two processes do not train in one directory
    assert other.stderr == (
        f"alsim: {out} is in use by another process; wait until it has ended, or choose another directory\n"
    )
    assert process.returncode == -signal.SIGKILL
    (checkpoint,) = (entry for entry in (out / "checkpoints").iterdir() if entry.name.isdecimal())
    reached = int(checkpoint.name)
    assert reached >= 1024 - 256
    assert not (out / "evaluation.json").exists()
    # Loading executes no code: parameters load as tensors, and the rest is JSON and NumPy.
    for name in ("parameters.pt", "best"):
        torch.load(checkpoint / name, weights_only=True)
    with np.load(checkpoint / "replay.npz", allow_pickle=False) as replay:
        assert replay["actions"].shape == (min(reached, 400) // 8, 8, 1)

    # Other settings are refused, and so is a second process.
    refused = subprocess.run(command(out, "--steps", "200000", "--seed", "5"), capture_output=True, text=True)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "unfinished training with other settings: seed was 0 and is now 5" in refused.stderr
    assert refused.stderr.count("\n") == 1

    # Only the number of interactions differs: it is reduced here to shorten the test.
    settings = json.loads((out / "settings.json").read_text())
    settings["hyperparameters"]["steps"] = total = reached + 512
    (out / "settings.json").write_text(json.dumps(settings))
    done = subprocess.run(command(out, "--steps", str(total)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, *lines = reported(done.stderr.splitlines())
    assert first == f"alsim: resumed at {reached:,} of {total:,} interactions"
    evaluated = [int(line.split()[0].replace(",", "")) for line in lines]
    assert evaluated == [reached + 256, reached + 512]
    assert {entry.name for entry in out.iterdir()} == FILES
    found = json.loads((out / "evaluation.json").read_text())["training"]
    assert (found["steps"], found["breaks"]) == (total, 1)
    rows = read_curve(out / "curve.csv")
    assert [row.steps for row in rows] == sorted({row.steps for row in rows})
    assert [row.seconds for row in rows] == sorted(row.seconds for row in rows)

    again = subprocess.run(command(out, "--steps", str(total)), capture_output=True, text=True)
    assert again.returncode == 2
    assert "already holds a finished training; --force overwrites it" in again.stderr


def test_resuming_restores_the_model_exactly(tmp_path, monkeypatch):
    """The restored state, with optimizer, counters and replay buffer, equals the saved one byte for byte."""
    from alsim.training import sb3 as backend

    class Killed(BaseException):
        pass

    def stop(moment):
        if moment.steps >= 512 and moment.row is not None and moment.row.evaluated:
            raise Killed

    for algorithm in ("ppo", "dqn"):
        out = tmp_path / algorithm
        with pytest.raises(Killed):
            quick(algorithm, out, progress=stop)
        (checkpoint,) = (out / "checkpoints").iterdir()
        left = {entry.name: entry.read_bytes() for entry in checkpoint.iterdir()}
        taken = []

        def note(model, files, taken=taken, set_state=backend.set_state):
            set_state(model, files)
            taken.append((model, backend.state_of(model), model.env.envs))

        with monkeypatch.context() as patch:
            patch.setattr(backend, "set_state", note)
            quick(algorithm, out)
        model, state, envs = taken[0]
        for name in {*state} - {"parameters.pt"}:
            assert state[name] == left[name], name
        flat = [flatten(torch.load(io.BytesIO(x["parameters.pt"]), weights_only=True)) for x in (state, left)]
        assert flat[0].keys() == flat[1].keys() and any("exp_avg" in key for key in flat[0])
        for key in flat[0]:
            np.testing.assert_array_equal(flat[0][key], flat[1][key], err_msg=key)
        # New learners after resuming.
        lanes = QUICK[algorithm]["num_envs"]
        assert envs.lanes["learner"].tolist() == list(range(lanes, 2 * lanes))


class Hostile:
    """Object that executes code when it is unpickled."""

    def __reduce__(self):
        return exec, ("raise SystemExit('executed')",)


def hostile_files(files):
    """Yield a name and a hostile content for the files of a checkpoint."""
    tensors, bomb = io.BytesIO(), io.BytesIO()
    torch.save({"policy": Hostile()}, tensors)
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("observations.npy", bytes(10**8))
    for name in ("parameters.pt", "best"):
        yield from ((name, content) for content in (pickle.dumps(Hostile()), tensors.getvalue(), bomb.getvalue(), b""))
    yield "replay.npz", bomb.getvalue()
    for name in ("counters.json", "progress.json"):
        for content in (
            b"[" * 10**5,
            b"[]",
            b"{}",
            json.dumps(json.loads(files[name]) | {"breaks": "x"}).encode()[:-1],
        ):
            yield name, content
    yield "counters.json", json.dumps(dict.fromkeys(json.loads(files["counters.json"]), "x")).encode()


def test_a_damaged_checkpoint_or_curve_is_refused(tmp_path):
    class Killed(BaseException):
        pass

    def stop(moment):
        if moment.steps >= 512 and moment.row is not None and moment.row.evaluated:
            raise Killed

    out = tmp_path / "run"
    with pytest.raises(Killed):
        quick("dqn", out, progress=stop)
    (checkpoint,) = (out / "checkpoints").iterdir()
    for name in sorted(entry.name for entry in checkpoint.iterdir()):
        content = (checkpoint / name).read_bytes()
        (checkpoint / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(TrainingError, match=f"{checkpoint} is damaged: "):
            quick("dqn", out)
        (checkpoint / name).write_bytes(content)
    files = directory.read_checkpoint(checkpoint)
    for k, (name, content) in enumerate(hostile_files(files), 1):
        directory.write_checkpoint(out, int(checkpoint.name) + k, files | {name: content})  # with valid checksums
        with pytest.raises(TrainingError, match="is damaged: .*; force=True"):
            quick("dqn", out)
    directory.write_checkpoint(out, int(checkpoint.name), files)
    curve = (out / "curve.csv").read_text()
    (out / "curve.csv").write_text(curve.splitlines(keepends=True)[0])
    with pytest.raises(TrainingError, match=r"curve\.csv lacks the row of .*; force=True \(--force\) starts"):
        quick("dqn", out)
    (out / "curve.csv").write_text(curve)
    assert quick("dqn", out).evaluation["training"]["breaks"] == 1


@pytest.mark.parametrize("algorithm", ["ppo", "dqn"])
def test_a_diverging_training_is_an_error(tmp_path, algorithm):
    rate = dict.fromkeys(("learning_rate", "final_learning_rate"), 1e30)
    with pytest.raises(TrainingError, match=r"run: the training diverged: after [\d,]+ interactions, .* learning_rate"):
        quick(algorithm, tmp_path / "run", hyperparameters=QUICK[algorithm] | rate)


def flatten(value, path=""):
    """Return the tensors and numbers of nested mappings, by path."""
    if isinstance(value, dict):
        pairs = value.items()
    elif isinstance(value, list | tuple):
        pairs = enumerate(value)
    else:
        return {path: np.asarray(value)}
    return {name: x for key, part in pairs for name, x in flatten(part, f"{path}.{key}").items()}


def test_a_training_without_a_checkpoint_starts_again(tmp_path):
    out = tmp_path / "run"
    whole = quick("ppo", tmp_path / "whole")
    out.mkdir()
    (out / "settings.json").write_bytes((tmp_path / "whole" / "settings.json").read_bytes())
    assert quick("ppo", out).policy.digest == whole.policy.digest


def test_force_starts_a_training_again(tmp_path):
    out = tmp_path / "run"
    quick("ppo", out)
    with pytest.raises(TrainingError, match=r"already holds a finished training; force=True \(--force\) overwrites it"):
        quick("ppo", out)
    before = (out / "policy.npz").read_bytes()
    quick("ppo", out, seed=1, force=True)
    assert (out / "policy.npz").read_bytes() != before
    assert json.loads((out / "settings.json").read_text())["seed"] == 1


def test_model_zip_contains_pickles():
    """model.zip contains pickles that name functions to call; the files of a policy contain none."""
    model = PPO("MlpPolicy", sb3.make(4, config=SMALL), n_steps=4, batch_size=8, device="cpu")
    stream = io.BytesIO()
    model.save(stream)
    with zipfile.ZipFile(stream) as archive:
        data = json.loads(archive.read("data"))
    assert any(":serialized:" in value for value in data.values() if isinstance(value, dict))


def test_the_command_prints_the_evaluation(tmp_path):
    out, report = tmp_path / "run", tmp_path / "report.json"
    done = subprocess.run(command(out, "--json", report), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    evaluation = json.loads((out / "evaluation.json").read_text())
    assert json.loads(report.read_text()) == {"written_by": f"alsim {alsim.__version__}", **evaluation}
    found = json.loads(report.read_text())["policies"]
    for name in ("dqn", "uniform", "rules"):
        row = next(line for line in done.stdout.splitlines() if line.split()[:1] == [name])
        returns = found[name]["cumulative_reward"]
        assert f"{returns['mean']:.2f} ± {returns['se']:.2f}" in row
    generate = [sys.executable, "-m", "alsim", "generate", "--learners", "2", "--episodes", "1", "--policy", out]
    generated = subprocess.run(
        [*generate, "--config", tmp_path / "config.toml", "--out", tmp_path / "data"], capture_output=True, text=True
    )
    assert generated.returncode == 0, generated.stderr
    assert alsim.load_dataset(tmp_path / "data").manifest["policy"]["name"] == "dqn"


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("sb3_*.py")), ids=lambda path: path.stem)
def test_examples_run(example, tmp_path):
    done = subprocess.run([sys.executable, example], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
