"""Memory-mapped TensorDict for TorchRL, one row per interaction."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from alsim.datasets.export.exporter import (
    Columns,
    Exporter,
    Options,
    collect_arrays,
    fill_arrays,
    log_propensity,
    reserve_disk_space,
)
from alsim.datasets.store import Dataset
from alsim.utils.optional import require

DATA = "tensordict"


def to_torchrl(dataset: Dataset) -> Any:
    """Return a dataset as a TensorDict of batch size [M], in memory.

    Keys: observation (M, R) float32, action (M,) int64, action_log_prob (M,) float32, episode (M,) int64, done and
    terminated (M, 1) false; and in "next": observation, reward (M, 1) float32, done, terminated and truncated (M, 1).
    `episode` numbers the episodes of the dataset, for `SliceSampler(traj_key="episode")` of TorchRL. Raises
    MissingExtra if tensordict or torch is not installed, and ExportError if the memory is too small.
    """
    tensordict, torch = _require()
    arrays = collect_arrays(_columns(dataset), len(dataset), "a TensorDict")
    result = tensordict.TensorDict({}, batch_size=[len(dataset)])
    for name, array in arrays.items():
        result[_key(name)] = torch.from_numpy(array)
    return result


def _require() -> tuple[Any, Any]:
    feature = "an export to 'torchrl'"
    return require("tensordict", "torchrl", feature), require("torch", "torchrl", feature)


def _key(name: str) -> tuple[str, ...]:
    return tuple(name.split("."))


def _columns(dataset: Dataset) -> Iterator[Columns]:
    start = 0
    for part in dataset.parts():
        episode = start + np.cumsum(part.step == 1) - 1
        start = int(episode[-1]) + 1
        false = np.zeros((len(part), 1), bool)  # no transition starts in a terminal state
        terminated, truncated = part.terminated[:, None], part.truncated[:, None]
        yield {
            "observation": part.obs,
            "action": part.action.astype(np.int64),
            "action_log_prob": log_propensity(part),
            "episode": episode,
            "done": false,
            "terminated": false,
            "truncated": false,
            "next.observation": part.next_obs,
            "next.reward": part.reward[:, None],
            "next.done": terminated | truncated,
            "next.terminated": terminated,
            "next.truncated": truncated,
        }


def write(dataset: Dataset, out: Path, options: Options) -> None:
    """Write the memory-mapped files part by part. Raises MissingExtra if tensordict or torch is not installed."""
    tensordict, torch = _require()
    rows = len(dataset)
    empty = tensordict.TensorDict({"next": tensordict.TensorDict({}, [rows])}, [rows])
    maps = empty.memmap_(out / DATA)

    def make(name: str, shape: tuple[int, ...], kind: np.dtype[Any]) -> Any:
        tensor = maps.make_memmap(_key(name), shape, dtype=getattr(torch, kind.name))
        reserve_disk_space(Path(tensor.filename))
        return tensor.numpy()

    fill_arrays(_columns(dataset), rows, make)


def loading_code(out: Path) -> str:
    """Return the Python code that loads the export."""
    return f"""from tensordict import TensorDict
from torchrl.data import TensorDictReplayBuffer, TensorStorage
data = TensorDict.load_memmap({str(out / DATA)!r})
buffer = TensorDictReplayBuffer(storage=TensorStorage(data), batch_size=256)"""


EXPORTER = Exporter(name="torchrl", title="memory-mapped TensorDict of TorchRL", write=write, loading_code=loading_code)
