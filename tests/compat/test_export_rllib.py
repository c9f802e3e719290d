"""The offline API of RLlib reads exports of alsim and trains on them."""

import gymnasium
import numpy as np
import pytest
from exported import CONFIG, taught
from ray.rllib.algorithms.bc import BCConfig

import alsim
from alsim.datasets.export import export_dataset


@pytest.mark.filterwarnings("default")
def test_behaviour_cloning_trains(ray_cluster, tmp_path):
    dataset = taught(tmp_path / "taught")
    out = export_dataset(dataset, "rllib", tmp_path / "rllib")
    env = gymnasium.make("alsim/AdaptiveLearning-v0", config=CONFIG)
    config = (
        BCConfig()
        .environment(observation_space=env.observation_space, action_space=env.action_space)
        .offline_data(
            input_=[str(out / "data")], map_batches_kwargs={"concurrency": 1}, dataset_num_iters_per_learner=1
        )
        .training(train_batch_size_per_learner=64)
    )
    algorithm = config.build_algo()
    rows = algorithm.offline_data.data
    assert rows.count() == len(dataset)
    batch = algorithm.offline_data.sample(num_samples=64, num_shards=0).policy_batches["default_policy"]
    held = {
        (obs.tobytes(), int(action), new.tobytes(), float(reward), bool(terminated), bool(truncated))
        for obs, action, new, reward, terminated, truncated in zip(
            *(dataset[name] for name in ("obs", "action", "next_obs", "reward", "terminated", "truncated")), strict=True
        )
    }
    names = ("obs", "actions", "new_obs", "rewards", "terminateds", "truncateds")
    for obs, action, new, *rest in zip(*(np.asarray(batch[name]) for name in names), strict=True):
        assert (obs.tobytes(), int(action), new.tobytes(), float(rest[0]), *map(bool, rest[1:])) in held
    assert len(batch["obs"]) == 64 and np.allclose(batch["action_prob"], np.float32(1 / 27), rtol=1e-6)
    loss = algorithm.train()["learners"]["default_policy"]["policy_loss"]
    assert 0 < loss < 2 * np.log(27)  # about log A for an untrained policy
    algorithm.stop()
    assert alsim.load_dataset(dataset.path, verify=True)
