"""TorchRL with the vector environment: docs/examples/torchrl_ppo.py."""

from importlib import import_module
from importlib.metadata import version

import numpy as np
import pytest
import torch
from replay import SHORT, Episode, Learners, same
from torchrl.envs import GymEnv, GymWrapper  # noqa: F401  # in rows of the table
from torchrl.envs.utils import check_env_specs

import alsim

# Some of TorchRL's classes inherit from a class that TorchRL deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Creating .+ which inherits from WeightUpdaterBase:DeprecationWarning")


@pytest.fixture(scope="module")
def example():
    return import_module("torchrl_ppo")


def test_first_example(first_example):
    from torchrl.collectors import Collector, RandomPolicy

    first_example.check_version()
    names = first_example.run({**globals(), "Collector": Collector, "RandomPolicy": RandomPolicy})
    if "from_pixels" in first_example.code:
        assert names["data"]["pixels"].shape[1:] == (540, 960, 3)
    if "flat" in first_example.code:
        assert names["data"]["next", "step"].flatten().tolist()[:3] == [1, 2, 3]
    if "env" in names:
        names["env"].close(raise_if_closed=False)


def episodes_of(lane):
    """Yield the episodes of one lane of a collected batch; the last one may be incomplete."""
    bounds = [0, *(torch.nonzero(lane["next", "done"].squeeze(-1)).squeeze(-1) + 1).tolist()]
    for start, end in zip(bounds, [*bounds[1:], len(lane)], strict=True):
        part = lane[start:end]
        if len(part):
            yield Episode(
                torch.cat([part["observation"][:1], part["next", "observation"]]).numpy(),
                part["action"].numpy(),
                part["next", "reward"].squeeze(-1).numpy(),
                bool(part["next", "terminated"][-1]),
                bool(part["next", "truncated"][-1]),
            )


def test_specs_equal_those_of_the_environment(example):
    env = example.make_env(5)
    check_env_specs(env)
    assert env.batch_size == (5,)
    assert env.observation_spec["observation"].shape == (5, 32)
    assert env.observation_spec["observation"].dtype == torch.float32
    assert env.full_action_spec["action"].space.n == 270


def test_collected_episodes_equal_those_of_single_environments(example):
    from torchrl.collectors import Collector, RandomPolicy

    env = example.make_env(4, config=SHORT)
    env.set_seed(11)
    policy = RandomPolicy(env.full_action_spec)
    (batch,) = Collector(env, policy, frames_per_batch=320, total_frames=320, auto_register_policy_transforms=False)
    assert batch.batch_size == (4, 80)
    learners, episodes = Learners(11, 4, 82, SHORT), []
    for lane, rows in enumerate(batch):
        for place, episode in enumerate(episodes_of(rows)):
            identity = learners.identify(episode.observations[0])
            assert identity == (lane, place + 1)  # set_seed starts episode 0, and the collector the next one
            assert same(learners.replay(episode.actions, *identity), episode), identity
            episodes.append(episode)
    assert {e.terminated for e in episodes} == {e.truncated for e in episodes} == {True, False}


def test_torchrl_rejects_next_step():
    with pytest.raises(RuntimeError, match="must be one of SAME_STEP or DISABLED"):
        GymWrapper(alsim.AdaptiveLearningVectorEnv(2))


@pytest.mark.parametrize("info", ["full", "flat"])
def test_registered_infos_are_in_the_batch(info):
    envs = alsim.AdaptiveLearningVectorEnv(3, autoreset_mode="Disabled", info=info)
    env = GymWrapper(envs, categorical_action_encoding=True).auto_register_info_dict()
    batch = env.rollout(6)["next"]
    assert batch["step"].tolist() == [[1, 2, 3, 4, 5, 6]] * 3
    # The environment computes the mean of the same numbers in double precision.
    torch.testing.assert_close(batch["mean_mastery"], batch["observation"][..., :30].double().mean(-1))


def test_training_and_evaluation(example, capsys):
    actor = example.train(steps=2000, num_envs=8, seed=3)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["1,024", "2,048"]
    again = example.train(steps=2000, num_envs=8, seed=3)
    for one, other in zip(actor.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
    returns = example.evaluate(actor, 20, seed=3)
    assert returns.shape == (20,) and np.isfinite(returns).all() and len(set(returns)) > 1


@pytest.mark.long
def test_learning(example):
    returns = example.evaluate(example.train(steps=1_000_000, num_envs=256, seed=0), 1000, seed=0)
    print(f"TorchRL {version('torchrl')}, Gymnasium {version('gymnasium')}: held-out return {returns.mean():.1f}")
    assert returns.mean() > 100  # the uniform policy: 30
