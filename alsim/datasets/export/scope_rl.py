"""SCOPE-RL's logged dataset: trajectories of one length, so that those that ended before are filled up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from alsim.config import Config
from alsim.datasets.export.exporter import (
    Columns,
    Exporter,
    ExportError,
    Options,
    actions_of,
    in_memory,
    provenance,
    require_memory,
)
from alsim.datasets.export.npz import JSON, origin, write_npz
from alsim.datasets.store import Dataset
from alsim.datasets.tables import numpy_column
from alsim.mdp.actions import decode_action


def to_scope_rl(dataset: Dataset) -> dict[str, Any]:
    """Return a dataset as the logged dataset of SCOPE-RL, in memory.

    Its estimators want trajectories of one length T, the step limit. An episode that ended before goes on in an
    absorbing state, all zeros, where rewards are 0 and a uniform policy acts: actions drawn with probability 1 / A,
    which is their `pscore`. So importance weights keep their mean of 1, and what is unbiased stays so. `padding`
    (size,) says which rows these are; `done` is 1 from the episode's last interaction on, `terminal` at each
    trajectory's row T.

    Raises ExportError if it does not fit into memory.
    """
    what = "the logged dataset of SCOPE-RL"
    return {**_words(dataset), **in_memory(_columns(dataset), _size(dataset), what)}


def _steps(dataset: Dataset) -> int:
    return Config.read(dataset.manifest["config"]).max_episode_steps


def _size(dataset: Dataset) -> int:
    return int(dataset.manifest["tables"]["episodes"]["rows"]) * _steps(dataset)


def _words(dataset: Dataset) -> dict[str, Any]:
    manifest = dataset.manifest
    num_los = manifest["bank"]["num_los"]
    names = state_keys(manifest["observation"], num_los)
    return {
        "size": _size(dataset),
        "n_trajectories": manifest["tables"]["episodes"]["rows"],
        "step_per_trajectory": _steps(dataset),
        "action_type": "discrete",
        "n_actions": actions_of(dataset),
        "action_dim": None,
        "action_keys": None,
        "action_meaning": [decode_action(action, num_los) for action in range(actions_of(dataset))],
        "state_dim": len(names),
        "state_keys": names,
        "info": {},
        "behavior_policy": manifest["policy"]["name"],
        "dataset_id": 0,
    }


def state_keys(observation: str, num_los: int) -> list[str]:
    """Return a name for each number of an observation (clauses S8.1 and S8.2)."""
    of_each = ("mastery",) if observation == "mastery" else ("asked", "correct")
    return [*(f"{word}_{lo}" for word in of_each for lo in range(num_los)), "frustration", "response_time"]


def _columns(dataset: Dataset) -> Iterator[Columns]:
    steps, actions = _steps(dataset), actions_of(dataset)
    # One stream over all rows, whether padded or not: the same in any division into parts.
    stream = np.random.Philox(key=dataset.manifest["seed"])
    for part in dataset.parts():
        length = numpy_column(part.episodes, "total_steps")
        if length.max() > steps:
            raise ExportError(f"an episode has {length.max()} interactions; max_episode_steps is {steps}")
        size = len(length) * steps
        require_memory(size * (4 * part.obs.shape[1] + 50), f"a part, padded to max_episode_steps, of {size:,} rows")
        row = np.repeat(np.arange(len(length)) * steps, length) + part.step - 1
        state = np.zeros((size, part.obs.shape[1]), np.float32)
        action = (stream.random_raw(size) % np.uint64(actions)).astype(np.int64)
        reward, pscore = np.zeros(size, np.float32), np.full(size, 1 / actions)
        done, padding = np.ones(size), np.ones(size, bool)
        state[row], action[row], reward[row], pscore[row] = part.obs, part.action, part.reward, part.propensity
        done[row], padding[row] = part.terminated | part.truncated, False
        terminal = np.zeros(size)
        terminal[steps - 1 :: steps] = 1
        yield {
            "state": state,
            "action": action,
            "reward": reward,
            "done": done,
            "terminal": terminal,
            "pscore": pscore,
            "padding": padding,
        }


def write(dataset: Dataset, out: Path, options: Options) -> None:
    """Write the logged dataset as an npz, part by part."""
    words = {**_words(dataset), "alsim": provenance(dataset, "scope-rl")}
    write_npz(out, _columns(dataset), _size(dataset), words)


def load(out: Path) -> str:
    """Lines that load it."""
    return f"""import json, numpy as np
with np.load({str(out)!r}) as file:
    logged_dataset = {{**file, **json.loads(str(file["{JSON}"]))}}  # for CreateOPEInput(…).obtain_whole_inputs"""


EXPORTER = Exporter(
    name="scope-rl",
    title="SCOPE-RL's logged_dataset dict, as npz",
    write=write,
    load=load,
    suffix=".npz",
    aliases=("scope_rl", "scoperl"),
    origin=origin,
)
