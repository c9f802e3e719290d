"""TorchRL's memory-mapped TensorDict, a row an interaction."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from alsim.datasets.export.exporter import Columns, Exporter, Options, in_memory, log_propensity, reserve, stacked
from alsim.datasets.store import Dataset
from alsim.utils.optional import require

DATA = "tensordict"


def to_torchrl(dataset: Dataset) -> Any:
    """Return a dataset as a TensorDict of batch size [M], in memory.

    Keys: observation (M, R) float32, action (M,) int64, action_log_prob (M,) float32, episode (M,) int64, done and
    terminated (M, 1) false, and of "next" observation, reward (M, 1) float32, done, terminated and truncated (M, 1).
    `episode` numbers the dataset's episodes, for TorchRL's SliceSampler(traj_key="episode"). Raises MissingExtra
    without torchrl, ExportError if it does not fit into memory.
    """
    tensordict, torch = _require()
    arrays = in_memory(_columns(dataset), len(dataset), "a TensorDict")
    whole = tensordict.TensorDict({}, batch_size=[len(dataset)])
    for name, array in arrays.items():
        whole[_key(name)] = torch.from_numpy(array)
    return whole


def _require() -> tuple[Any, Any]:
    what = "an export to 'torchrl'"
    return require("tensordict", "torchrl", what), require("torch", "torchrl", what)


def _key(name: str) -> tuple[str, ...]:
    return tuple(name.split("."))


def _columns(dataset: Dataset) -> Iterator[Columns]:
    begun = 0
    for part in dataset.parts():
        episode = begun + np.cumsum(part.step == 1) - 1
        begun = int(episode[-1]) + 1
        nowhere = np.zeros((len(part), 1), bool)  # no transition begins where an episode has ended
        terminated, truncated = part.terminated[:, None], part.truncated[:, None]
        yield {
            "observation": part.obs,
            "action": part.action.astype(np.int64),
            "action_log_prob": log_propensity(part),
            "episode": episode,
            "done": nowhere,
            "terminated": nowhere,
            "truncated": nowhere,
            "next.observation": part.next_obs,
            "next.reward": part.reward[:, None],
            "next.done": terminated | truncated,
            "next.terminated": terminated,
            "next.truncated": truncated,
        }


def write(dataset: Dataset, out: Path, options: Options) -> None:
    """Write the memory maps, part by part."""
    tensordict, torch = _require()
    rows = len(dataset)
    empty = tensordict.TensorDict({"next": tensordict.TensorDict({}, [rows])}, [rows])
    maps = empty.memmap_(out / DATA)

    def make(name: str, shape: tuple[int, ...], kind: np.dtype[Any]) -> Any:
        tensor = maps.make_memmap(_key(name), shape, dtype=getattr(torch, kind.name))
        reserve(Path(tensor.filename))
        return tensor.numpy()

    stacked(_columns(dataset), rows, make)


def load(out: Path) -> str:
    """Lines that load it."""
    return f"""from tensordict import TensorDict
from torchrl.data import TensorDictReplayBuffer, TensorStorage
data = TensorDict.load_memmap({str(out / DATA)!r})
buffer = TensorDictReplayBuffer(storage=TensorStorage(data), batch_size=256)"""


EXPORTER = Exporter(name="torchrl", title="TorchRL's memory-mapped TensorDict", write=write, load=load)
