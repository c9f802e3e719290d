"""Logged dataset of SCOPE-RL: trajectories of equal length, to which shorter episodes are padded."""

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
    check_memory,
    collect_arrays,
    number_of_actions,
    provenance,
)
from alsim.datasets.export.npz import JSON, read_provenance, write_npz
from alsim.datasets.store import Dataset
from alsim.datasets.tables import numpy_column
from alsim.mdp.actions import action_meanings


def to_scope_rl(dataset: Dataset) -> dict[str, Any]:
    """Return a dataset as the logged dataset of SCOPE-RL, in memory.

    The estimators of SCOPE-RL require trajectories of equal length T, the step limit. A shorter episode is therefore
    padded with rows in an absorbing state of zeros. Their rewards are 0, their actions are uniform, and their `pscore`
    is 1 / A. Importance weights keep their mean of 1, so unbiased estimators stay unbiased.

    Returns the keys state (size, R) float32; action int64, reward float32, pscore float64, done and terminal float64,
    and padding bool, (size,) each; and size, n_trajectories, step_per_trajectory T and other attributes of SCOPE-RL.
    `padding` is true for the rows that were added. `done` is 1 from the last interaction of an episode on. `terminal`
    is 1 in the last row of each trajectory.

    Raises ExportError if the memory is too small, and for an episode longer than T.
    """
    target = "the logged dataset of SCOPE-RL"
    return {**_attributes(dataset), **collect_arrays(_columns(dataset), _size(dataset), target)}


def _steps(dataset: Dataset) -> int:
    return Config.read(dataset.manifest["config"]).max_episode_steps


def _size(dataset: Dataset) -> int:
    return int(dataset.manifest["tables"]["episodes"]["rows"]) * _steps(dataset)


def _attributes(dataset: Dataset) -> dict[str, Any]:
    manifest = dataset.manifest
    num_los = manifest["bank"]["num_los"]
    names = state_keys(manifest["observation"], num_los)
    return {
        "size": _size(dataset),
        "n_trajectories": manifest["tables"]["episodes"]["rows"],
        "step_per_trajectory": _steps(dataset),
        "action_type": "discrete",
        "n_actions": number_of_actions(dataset),
        "action_dim": None,
        "action_keys": None,
        "action_meaning": action_meanings(num_los),
        "state_dim": len(names),
        "state_keys": names,
        "info": {},
        "behavior_policy": manifest["policy"]["name"],
        "dataset_id": 0,
    }


def state_keys(observation: str, num_los: int) -> list[str]:
    """Return the names of the entries of an observation (clauses S8.1 and S8.2)."""
    per_outcome = ("mastery",) if observation == "mastery" else ("asked", "correct")
    return [*(f"{word}_{lo}" for word in per_outcome for lo in range(num_los)), "frustration", "response_time"]


def _columns(dataset: Dataset) -> Iterator[Columns]:
    steps, actions = _steps(dataset), number_of_actions(dataset)
    # One random stream over all rows, padded or not, so that actions do not depend on the division into shards.
    stream = np.random.Philox(key=dataset.manifest["seed"])
    for part in dataset.parts():
        length = numpy_column(part.episodes, "total_steps")
        if length.max() > steps:
            raise ExportError(
                f"an episode has {length.max()} interactions; expected at most max_episode_steps = {steps}; "
                "generate the dataset again"
            )
        size = len(length) * steps
        needed = size * (4 * part.obs.shape[1] + 50)
        check_memory(needed, f"a part of {size:,} padded rows", "use a smaller episodes_per_shard")
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
    """Write the logged dataset as an npz file, part by part."""
    attributes = {**_attributes(dataset), "alsim": provenance(dataset, "scope-rl")}
    write_npz(out, _columns(dataset), _size(dataset), attributes)


def loading_code(out: Path) -> str:
    """Return the Python code that loads the export."""
    return f"""import json, numpy as np
with np.load({str(out)!r}) as file:
    logged_dataset = {{**file, **json.loads(str(file["{JSON}"]))}}  # for CreateOPEInput(…).obtain_whole_inputs"""


EXPORTER = Exporter(
    name="scope-rl",
    title="logged_dataset dict of SCOPE-RL, as npz",
    write=write,
    loading_code=loading_code,
    suffix=".npz",
    aliases=("scope_rl", "scoperl"),
    read_provenance=read_provenance,
)
