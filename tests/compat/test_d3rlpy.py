"""d3rlpy and SCOPE-RL with exports of alsim, and d3rlpy's online training, on Gymnasium 1.0, which d3rlpy pins.

ALSIM_EXPORTS names the folder: dataset/, data.hdf5 and scope.npz of the same dataset of the uniform policy. The
expected values are read from its Parquet files with pyarrow.
"""

import json
import os
from pathlib import Path

import d3rlpy
import gymnasium as gym
import h5py
import numpy as np
import pyarrow.parquet
import pytest
import torch
from d3rlpy.algos import DQNConfig  # noqa: F401  # in a row of the table
from scope_rl.ope.discrete import (
    PerDecisionImportanceSampling,
    SelfNormalizedPDIS,
    TrajectoryWiseImportanceSampling,
)
from scope_rl.ope.estimators_base import BaseOffPolicyEstimator
from scope_rl.utils import check_logged_dataset

import alsim
from alsim.envs.registration import GymnasiumVersionError
from alsim.evaluation import ope

HERE = Path(os.environ["ALSIM_EXPORTS"])
COLUMNS = ("observations", "actions", "rewards", "terminals", "timeouts")


def test_first_example(first_example, tmp_path, monkeypatch):
    """The single environment works on the Gymnasium that d3rlpy pins, and one warning names the required version."""
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    first_example.check_version()
    with pytest.warns(UserWarning, match=r"^alsim needs gymnasium>=1\.1,<2, and .*; 1\.0\.0 is installed: "):
        names = first_example.run(globals())
    observation, _ = names["env"].reset(seed=0)
    assert 0 <= names["dqn"].predict(observation[None])[0] < 270


def test_vector_environments_name_the_required_gymnasium():
    assert gym.__version__ == "1.0.0"
    sentence = r"^vector environments of alsim need gymnasium>=1\.1,<2; 1\.0\.0 is installed: run pip install "
    for make in (
        lambda: gym.make_vec("alsim/AdaptiveLearning-v0", num_envs=2),
        lambda: alsim.AdaptiveLearningVectorEnv(2),
        lambda: __import__("alsim.envs.tianshou"),
        lambda: alsim.warmup(),
    ):
        with pytest.raises(GymnasiumVersionError, match=sentence):
            make()


@pytest.fixture(scope="module")
def truth():
    return {
        table: pyarrow.parquet.read_table(HERE / "dataset" / table).to_pandas() for table in ("transitions", "episodes")
    }


@pytest.fixture(scope="module")
def mdp():
    with h5py.File(HERE / "data.hdf5") as file:
        return d3rlpy.dataset.MDPDataset(
            *(file[name][:] for name in COLUMNS),
            action_space=d3rlpy.ActionSpace.DISCRETE,
            action_size=int(file.attrs["n_actions"]),
        )


def test_d3rlpy_loads_every_episode(mdp, truth):
    episodes, rows = truth["episodes"], truth["transitions"]
    assert mdp.size() == len(episodes)
    assert [len(e) for e in mdp.episodes] == episodes["total_steps"].tolist()
    assert [e.terminated for e in mdp.episodes] == episodes["terminated"].tolist()
    assert {True, False} == set(episodes["terminated"])
    assert (np.concatenate([e.observations for e in mdp.episodes]) == np.stack(rows["obs"])).all()
    assert (np.concatenate([e.actions for e in mdp.episodes])[:, 0] == rows["action"]).all()
    assert (np.concatenate([e.rewards for e in mdp.episodes])[:, 0] == rows["reward"]).all()


def test_d3rlpy_drops_the_last_transition_of_a_timeout(mdp, truth):
    """An MDPDataset has no place for its next observation, as the documentation says."""
    lost = truth["episodes"]["truncated"].sum()
    assert mdp.transition_count == len(truth["transitions"]) - lost


def test_load_v1_loads_the_same_episodes(mdp):
    with open(HERE / "data.hdf5", "rb") as file:
        episodes = d3rlpy.dataset.load_v1(file)
    assert [(len(e), e.terminated) for e in episodes] == [(len(e), e.terminated) for e in mdp.episodes]


def test_d3rlpy_trains(mdp):
    algorithm = d3rlpy.algos.DiscreteCQLConfig(batch_size=32).create()
    fitted = algorithm.fit(
        mdp, n_steps=1, n_steps_per_epoch=1, show_progress=False, logger_adapter=d3rlpy.logging.NoopAdapterFactory()
    )
    assert np.isfinite(fitted[0][1]["loss"])
    assert 0 <= algorithm.predict(mdp.episodes[0].observations[:1])[0] < 270


@pytest.fixture(scope="module")
def logged():
    with np.load(HERE / "scope.npz") as file:
        return {**file, **json.loads(str(file["json"]))}


def test_scope_rl_loads_the_export(logged, truth):
    check_logged_dataset(logged)
    assert logged["n_trajectories"] == len(truth["episodes"]) and logged["step_per_trajectory"] == 100
    assert logged["padding"].any()
    assert issubclass(TrajectoryWiseImportanceSampling, BaseOffPolicyEstimator)


@pytest.mark.parametrize("estimator", [TrajectoryWiseImportanceSampling, PerDecisionImportanceSampling])
def test_the_estimate_for_the_behaviour_policy_is_its_mean_return(logged, truth, estimator):
    """Uses estimators of SCOPE-RL. Weights of the uniform policy are 1 on padded rows as well."""
    value = estimator().estimate_policy_value(
        step_per_trajectory=logged["step_per_trajectory"],
        action=logged["action"],
        reward=logged["reward"].astype(float),
        pscore=logged["pscore"],
        evaluation_policy_action_dist=np.full((logged["size"], logged["n_actions"]), 1 / 270),
    )
    assert value == pytest.approx(truth["episodes"]["cumulative_reward"].mean(), rel=1e-6)


@pytest.mark.parametrize(
    ("estimator", "ours"),
    [
        (TrajectoryWiseImportanceSampling, ope.tis),
        (PerDecisionImportanceSampling, ope.pdis),
        (SelfNormalizedPDIS, ope.snpdis),
    ],
)
def test_estimates_of_another_policy_are_those_of_alsim(logged, truth, estimator, ours):
    """Padded rows have the uniform policy, so their weights are 1, as those after the end are in alsim."""
    tilted = np.where(np.arange(270) < 90, 1.2, 1.0)
    target = np.tile(tilted / tilted.sum(), (logged["size"], 1))
    target[logged["padding"]] = 1 / 270
    value = estimator().estimate_policy_value(
        step_per_trajectory=logged["step_per_trajectory"],
        action=logged["action"],
        reward=logged["reward"].astype(float),
        pscore=logged["pscore"],
        evaluation_policy_action_dist=target,
    )
    shape = (-1, logged["step_per_trajectory"])
    chosen = target[np.arange(logged["size"]), logged["action"]]
    arrays = (array.reshape(shape) for array in (logged["reward"].astype(float), logged["pscore"], chosen))
    assert value == pytest.approx(ours(*arrays, truth["episodes"]["total_steps"].to_numpy()).value, rel=1e-6)
