"""Minari loads exports of alsim without network access, and repeats the episodes."""

import json

import gymnasium as gym
import h5py
import minari
import numpy as np
import pytest
from exported import CONFIG, same, taught
from minari import DataCollector

import alsim
from alsim.bank.items import sample_bank
from alsim.config import Config
from alsim.datasets.export import EXPORTERS, export_dataset
from alsim.datasets.export import minari as exporter
from alsim.datasets.tables import numpy_column
from alsim.errors import AlsimError


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return taught(tmp_path_factory.mktemp("minari") / "taught")


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "root"))
    return tmp_path / "root"


NOTES = pytest.mark.filterwarnings("ignore:`(description|eval_env|code_permalink|author.*|algorithm_name)` is")
"""Minari asks for more metadata."""


@NOTES
@pytest.mark.filterwarnings("ignore:Implicitly cleaning up <TemporaryDirectory:ResourceWarning")  # Minari's collector
def test_first_example(first_example, root):
    """Infos are recorded at resets and steps, stored, loaded, and the environment is recovered."""
    first_example.check_version()
    env = first_example.run(globals())["env"]
    env.action_space.seed(0)
    env.reset(seed=5)
    lengths, steps = [], 0
    while len(lengths) < 2:
        *_, terminated, truncated, _ = env.step(env.action_space.sample())
        steps += 1
        if terminated or truncated:
            lengths, steps = [*lengths, steps], 0
            env.reset()
    env.create_dataset(dataset_id="alsim/collected-v0", algorithm_name="random")
    loaded = minari.load_dataset("alsim/collected-v0")
    assert [len(episode.rewards) for episode in loaded.iterate_episodes()][:2] == lengths
    for episode, length in zip(loaded.iterate_episodes(), lengths, strict=False):
        assert episode.infos["step"].tolist() == list(range(length + 1))
        assert {len(column) for column in episode.infos.values()} == {length + 1}
    recovered = loaded.recover_environment()
    assert recovered.spec.kwargs == {"info": "flat"}
    observation, _ = recovered.reset(seed=5)
    assert same(observation, loaded[0].observations[0])


@NOTES
@pytest.mark.filterwarnings("ignore:Implicitly cleaning up <TemporaryDirectory:ResourceWarning")  # Minari's collector
def test_collected_datasets_without_infos(root):
    """Minari's first example: by default, infos are not recorded."""
    env = DataCollector(gym.make("alsim/AdaptiveLearning-v0", config=alsim.Config.read({"max_episode_steps": 4})))
    env.reset(seed=0)
    for _ in range(4):
        env.step(7)
    env.create_dataset(dataset_id="alsim/plain-v0")
    recovered = minari.load_dataset("alsim/plain-v0").recover_environment()
    assert recovered.unwrapped.config.max_episode_steps == 4


def test_minari_loads_every_episode_bit_for_bit(dataset, root):
    place = export_dataset(dataset, "minari", root)
    assert place == root / "alsim/adaptive-learning/uniform-v0"
    loaded = minari.load_dataset("alsim/adaptive-learning/uniform-v0")
    assert (len(loaded), loaded.total_steps) == (dataset.episodes.num_rows, len(dataset))
    stops = np.cumsum(numpy_column(dataset.episodes, "total_steps"))
    starts = np.concatenate([[0], stops[:-1]])
    for k, (episode, start, stop) in enumerate(zip(loaded.iterate_episodes(), starts, stops, strict=True)):
        rows = slice(start, stop)
        assert same(episode.observations, np.concatenate([dataset.obs[rows], dataset.final_obs[k : k + 1]]))
        assert same(episode.actions, dataset.action[rows].astype(np.int64))
        assert same(episode.rewards, dataset.reward[rows])
        assert same(episode.terminations, dataset.terminated[rows])
        assert same(episode.truncations, dataset.truncated[rows])
        assert same(episode.infos["propensity"][1:], dataset.propensity[rows])
    assert list(minari.list_local_datasets()) == ["alsim/adaptive-learning/uniform-v0"]


@pytest.mark.parametrize("observation", ["mastery", "responses"])
def test_the_recovered_environment_repeats_the_episodes(root, tmp_path, observation):
    """Includes a bank that differs from the one of the configuration."""
    bank = sample_bank(Config.read({**CONFIG, "bank": {"seed": 9}}))
    made = taught(tmp_path / "made", observation=observation, bank=bank)
    export_dataset(made, "minari", root, name="mine/again-v3")
    loaded = minari.load_dataset("mine/again-v3")
    env = loaded.recover_environment()
    assert env.observation_space == loaded.observation_space and env.action_space == loaded.action_space
    for k, how in enumerate(loaded.storage.get_episode_metadata(range(len(loaded)))):
        episode = loaded[k]
        obs, _ = env.reset(seed=how["seed"], options=how["options"])
        assert same(obs, episode.observations[0])
        for t, action in enumerate(episode.actions):
            obs, reward, terminated, truncated, _ = env.step(action)
            assert same(obs, episode.observations[t + 1]) and np.float32(reward) == episode.rewards[t]
            assert (terminated, truncated) == (episode.terminations[t], episode.truncations[t])
        assert terminated or truncated


def test_other_datasets_in_the_root_folder_are_kept(dataset, root, tmp_path):
    first = export_dataset(dataset, "minari", root)
    other = taught(tmp_path / "rules", policy="rules")
    export_dataset(other, "minari", root)
    export_dataset(other, "minari", root, force=True)
    with pytest.raises(AlsimError, match="already holds an export to 'minari'"):
        export_dataset(dataset, "minari", root)
    export_dataset(dataset, "minari", root, name="rules-v1")
    assert sorted(minari.list_local_datasets()) == [
        f"alsim/adaptive-learning/{name}" for name in ("rules-v0", "rules-v1", "uniform-v0")
    ]
    assert (first / "data" / "main_data.hdf5").is_file()


def test_too_many_steps_for_minari_are_refused(dataset, root, monkeypatch):
    monkeypatch.setattr(exporter, "MOST_STEPS", 10)
    with pytest.raises(
        AlsimError,
        match=r"a dataset for 'minari' must have at most 10 transitions, because seven .*; got \d+: export to",
    ):
        export_dataset(dataset, "minari", root)
    assert not [p for p in root.rglob("*") if p.is_file()]


def test_the_printed_code_loads_the_export(dataset, root):
    place = export_dataset(dataset, "minari", root)
    namespace = {}
    exec(EXPORTERS["minari"].loading_code(place), namespace)
    assert len(namespace["dataset"]) == dataset.episodes.num_rows


def test_hdf5_has_the_columns_of_d4rl(dataset, tmp_path):
    out = export_dataset(dataset, "d4rl", tmp_path / "data.hdf5")
    names = {"observations": "obs", "rewards": "reward", "terminals": "terminated", "timeouts": "truncated"}
    with h5py.File(out) as file:
        for theirs, ours in {**names, "next_observations": "next_obs", "propensity": "propensity"}.items():
            assert same(file[theirs][:], dataset[ours]), theirs
        assert same(file["actions"][:], dataset.action.astype(np.int64))
        assert not (file["terminals"][:] & file["timeouts"][:]).any()
        assert (file["episode_terminals"][:] == file["terminals"][:] | file["timeouts"][:]).all()
        assert json.loads(file.attrs["alsim"])["dataset"]["seed"] == 2**64 - 1
    before = out.read_bytes()
    export_dataset(dataset, "d3rlpy", out, force=True)
    assert out.read_bytes() == before
    out.write_text("a thesis")
    with pytest.raises(AlsimError, match="is not an export of alsim"):
        export_dataset(dataset, "d4rl", out, force=True)
    assert alsim.load_dataset(dataset.path, verify=True)
