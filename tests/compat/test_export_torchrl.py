"""TorchRL loads memory maps of alsim, and its replay buffer samples from them."""

import numpy as np
import pytest
import torch
from exported import same, taught, with_propensity
from tensordict import MemoryMappedTensor
from torchrl.data import SliceSampler, TensorDictReplayBuffer, TensorStorage

import alsim
from alsim.datasets.export import EXPORTERS, export_dataset
from alsim.errors import AlsimError


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return taught(tmp_path_factory.mktemp("torchrl") / "taught")


def check(data, dataset):
    assert data.batch_size == torch.Size([len(dataset)])
    for theirs, ours in (("observation", "obs"), (("next", "observation"), "next_obs")):
        assert same(data[theirs].numpy(), dataset[ours]), theirs
    for theirs, ours in (("reward", "reward"), ("terminated", "terminated"), ("truncated", "truncated")):
        assert same(data["next", theirs].numpy(), dataset[ours][:, None]), theirs
    assert (data["next", "done"] == (data["next", "terminated"] | data["next", "truncated"])).all()
    assert same(data["action"].numpy(), dataset.action.astype(np.int64))
    np.testing.assert_allclose(data["action_log_prob"].exp().numpy(), dataset.propensity, rtol=1e-6)
    assert (data["episode"].numpy() == dataset.learner_id * 2 + dataset.episode).all()
    assert not data["done"].any() and not data["terminated"].any() and not data["truncated"].any()


def test_in_memory(dataset):
    check(alsim.to_torchrl(dataset), dataset)


def test_invalid_propensities_are_refused(dataset):
    with pytest.raises(AlsimError, match=r"the propensity of learner 0 .* is 0\.0; expected a number in \(0, 1\]"):
        alsim.to_torchrl(with_propensity(dataset, 3, 0.0))


def test_the_printed_code_loads_the_memory_maps(dataset, tmp_path):
    out = export_dataset(dataset, "torchrl", tmp_path / "torchrl")
    namespace = {}
    exec(EXPORTERS["torchrl"].loading_code(out), namespace)
    check(namespace["data"], dataset)
    assert isinstance(namespace["data"]["observation"], MemoryMappedTensor)
    batch = namespace["buffer"].sample()
    assert batch.batch_size == torch.Size([256])
    row = int(batch["index"][0])
    assert same(batch["next", "observation"][0].numpy(), dataset.next_obs[row])


def test_slices_are_of_one_episode(dataset, tmp_path):
    out = export_dataset(dataset, "torchrl", tmp_path / "torchrl")
    data = type(alsim.to_torchrl(dataset)).load_memmap(out / "tensordict")
    sampler = SliceSampler(slice_len=3, traj_key="episode", strict_length=False)
    buffer = TensorDictReplayBuffer(storage=TensorStorage(data), sampler=sampler, batch_size=30)
    slices = buffer.sample()["episode"].view(-1, 3)
    assert len(slices) == 10 and (slices == slices[:, :1]).all()


def test_an_export_is_overwritten_only_if_forced(dataset, tmp_path):
    out = export_dataset(dataset, "torchrl", tmp_path / "torchrl")
    with pytest.raises(AlsimError, match="already holds an export to 'torchrl'"):
        export_dataset(dataset, "torchrl", out)
    export_dataset(taught(tmp_path / "rules", policy="rules"), "torchrl", out, force=True)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []
