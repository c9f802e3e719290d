"""Minari's HDF5, an episode a group, in a folder that Minari takes for its root."""

from __future__ import annotations

import copy
import csv
import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from alsim.bank.files import save_bank
from alsim.bank.items import Bank, sample_bank
from alsim.config import Config
from alsim.datasets.export.exporter import Exporter, ExportError, Options, actions_of
from alsim.datasets.manifest import BANK_FILES
from alsim.datasets.store import Dataset
from alsim.datasets.tables import numpy_column
from alsim.envs.registration import ENVIRONMENT_ID
from alsim.utils.optional import require

NAMESPACE = "alsim/adaptive-learning"
MOST_STEPS = 1_000_000
"""Minari keeps each episode in a group of its own, and writes some 30,000 steps a second."""
ID = re.compile(r"([\w-]+/)*[\w-]+-v[0-9]+", re.ASCII)


def dataset_id(dataset: Dataset, name: str | None) -> str:
    """Return Minari's id of a dataset: `name`, or the policy's with version 0, in our namespace unless it has one."""
    if name is None:
        name = re.sub(r"[^\w-]", "-", dataset.manifest["policy"]["name"], flags=re.ASCII) + "-v0"
    if not ID.fullmatch(name):
        raise ExportError(f"name: an id of Minari is (namespace/)name-vN, in letters, digits, - and _; got {name!r}")
    return name if "/" in name else f"{NAMESPACE}/{name}"


def place(dataset: Dataset, out: Path, options: Options) -> Path:
    """Where Minari looks for the dataset under its root `out`."""
    return out / dataset_id(dataset, options.name)


def write(dataset: Dataset, out: Path, options: Options) -> None:
    """Write the episodes, part by part, by Minari's own storage."""
    if len(dataset) > MOST_STEPS:
        raise ExportError(
            f"the dataset has {len(dataset):,} transitions; an export to 'minari' is of at most {MOST_STEPS:,}: "
            "it keeps every episode in seven HDF5 objects of its own, which takes a minute and more for each million"
        )
    what = "an export to 'minari'"
    require("h5py", "minari", what)
    require("PIL", "minari", what)
    minari = require("minari", "minari", what)
    storage_of = require("minari.dataset.minari_storage", "minari", what).MinariStorage
    buffer_of = require("minari.data_collector", "minari", what).EpisodeBuffer
    observation_space, action_space = _spaces(dataset)
    (out / "data").mkdir()
    storage = storage_of.new((out / "data").absolute(), observation_space, action_space, env_spec(dataset), "hdf5")
    storage.update_metadata(
        {
            "dataset_id": dataset_id(dataset, options.name),
            "algorithm_name": dataset.manifest["policy"]["name"],
            "description": _description(dataset),
            "requirements": [f"alsim>={dataset.manifest['alsim_version']}"],
            "minari_version": minari.__version__,
        }
    )
    storage.update_episodes(buffer_of(**episode) for episode in _episodes(dataset))


def _episodes(dataset: Dataset) -> Iterator[dict[str, Any]]:
    """Yield the fields of each episode's buffer; `propensity` is that of the action before, as infos are."""
    for part in dataset.parts():
        length = numpy_column(part.episodes, "total_steps")
        learner, number = (numpy_column(part.episodes, name) for name in ("learner_id", "episode"))
        stops = np.cumsum(length)
        for k, (start, stop) in enumerate(zip(stops - length, stops, strict=True)):
            rows = slice(start, stop)
            yield {
                "seed": dataset.manifest["seed"],
                "options": {"learner": int(learner[k]), "episode": int(number[k])},
                "observations": np.concatenate([part.obs[rows], part.final_obs[k : k + 1]]),
                "actions": part.action[rows].astype(np.int64),
                "rewards": part.reward[rows],
                "terminations": part.terminated[rows],
                "truncations": part.truncated[rows],
                "infos": {"propensity": np.concatenate([[np.nan], part.propensity[rows]])},
            }


def _spaces(dataset: Dataset) -> tuple[Any, Any]:
    from gymnasium.spaces import Box, Discrete

    width = next(dataset.parts()).obs.shape[1]
    return Box(0.0, 1.0, (width,), np.float32), Discrete(actions_of(dataset))


def env_spec(dataset: Dataset) -> Any:
    """Return the environment's spec, with all that it takes to make it again; None if this alsim has it not."""
    import gymnasium

    manifest = dataset.manifest
    if manifest["environment"] != ENVIRONMENT_ID:
        return None
    spec = copy.deepcopy(gymnasium.spec(ENVIRONMENT_ID))
    config = Config.read(manifest["config"])
    if config != Config():
        spec.kwargs["config"] = manifest["config"]
    if dataset.bank != sample_bank(config):
        spec.kwargs["bank"] = bank_rows(dataset.bank)
    if manifest["observation"] != "mastery":
        spec.kwargs["observation"] = manifest["observation"]
    return spec


def bank_rows(bank: Bank) -> dict[str, list[dict[str, str]]]:
    """Return a bank as rows, which environments take as well."""
    with tempfile.TemporaryDirectory(prefix="alsim-bank-") as folder:
        save_bank(bank, folder)
        rows = {}
        for name in BANK_FILES:
            with Path(folder, name).open(encoding="utf-8", newline="") as stream:
                rows[Path(name).stem] = list(csv.DictReader(stream))
    return rows


def _description(dataset: Dataset) -> str:
    manifest = dataset.manifest
    return (
        f"Synthetic: {manifest['num_learners']} simulated learners, {manifest['episodes_per_learner']} episodes each, "
        f"taught by the policy {manifest['policy']['name']!r}; seed {manifest['seed']}, "
        f"alsim {manifest['alsim_version']}, {manifest['environment']}. No person is in it."
    )


def load(out: Path) -> str:
    """Lines that load it; `out` is where the dataset lies, below the root."""
    identity = dataset_id_of(out)
    root = Path(str(out)[: -len(identity)] or ".")
    return f"""import os
os.environ["MINARI_DATASETS_PATH"] = {str(root.absolute())!r}
import minari
dataset = minari.load_dataset({identity!r})"""


def dataset_id_of(out: Path) -> str:
    """Return the id that an export says it has."""
    return str(json.loads((out / "data" / "metadata.json").read_text(encoding="utf-8"))["dataset_id"])


EXPORTER = Exporter(
    name="minari",
    title="a root folder of Minari's, HDF5, up to 1,000,000 steps",
    write=write,
    load=load,
    options=("name",),
    place=place,
)
