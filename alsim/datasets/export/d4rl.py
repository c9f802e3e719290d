"""HDF5 in the style of D4RL, for d3rlpy and other tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from alsim.datasets.export.exporter import Exporter, Options, fill_arrays, number_of_actions, provenance
from alsim.datasets.export.flat import flat_columns
from alsim.datasets.store import Dataset
from alsim.utils.optional import require


def write(dataset: Dataset, out: Path, options: Options) -> None:
    """Write an HDF5 file of the flat columns and `episode_terminals`, which d3rlpy's load_v1 needs."""
    h5py = require("h5py", "hdf5", "an export to 'd4rl'")
    chunks = (
        {**columns, "episode_terminals": columns["terminals"] | columns["timeouts"]}
        for columns in flat_columns(dataset, options.next_observations is not False)
    )
    with h5py.File(out, "w") as file:
        file.attrs["alsim"] = json.dumps(provenance(dataset, "d4rl"), sort_keys=True, allow_nan=False)
        file.attrs["n_actions"] = number_of_actions(dataset)
        fill_arrays(chunks, len(dataset), lambda name, shape, kind: file.create_dataset(name, shape, kind))


def read_provenance(file: Path) -> Any:
    """Return the provenance in a file, or None if it has none."""
    h5py = require("h5py", "hdf5", "an export to 'd4rl'")
    try:
        with h5py.File(file, "r") as content:
            return json.loads(content.attrs["alsim"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None


def loading_code(out: Path) -> str:
    """Return the Python code that loads the export."""
    return f"""import d3rlpy, h5py
with h5py.File({str(out)!r}) as file:
    columns = [file[name][:] for name in ("observations", "actions", "rewards", "terminals", "timeouts")]
    actions = dict(action_space=d3rlpy.ActionSpace.DISCRETE, action_size=int(file.attrs["n_actions"]))
dataset = d3rlpy.dataset.MDPDataset(*columns, **actions)"""


EXPORTER = Exporter(
    name="d4rl",
    title="D4RL-style HDF5, for d3rlpy and others",
    write=write,
    loading_code=loading_code,
    suffix=".hdf5",
    options=("next_observations",),
    aliases=("d3rlpy", "hdf5"),
    read_provenance=read_provenance,
)
