"""HDF5 of Minari, one group per episode, in a root folder of Minari."""

from __future__ import annotations

import copy
import csv
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from alsim.bank.files import save_bank
from alsim.bank.items import Bank, sample_bank
from alsim.config import Config
from alsim.datasets.export.exporter import Exporter, ExportError, Options, number_of_actions
from alsim.datasets.manifest import BANK_FILES
from alsim.datasets.store import Dataset
from alsim.datasets.tables import numpy_column
from alsim.envs.registration import ENVIRONMENT_ID
from alsim.utils.optional import require
from alsim.utils.reading import open_text, read_json

NAMESPACE = "alsim/adaptive-learning"
MOST_STEPS = 1_000_000
"""Maximum number of interactions. Minari writes one group per episode, at about 30,000 interactions per second."""
ID = re.compile(r"([\w-]+/)*[\w-]+-v[0-9]+", re.ASCII)


def dataset_id(dataset: Dataset, name: str | None) -> str:
    """Return the id of a dataset for Minari.

    name  "NAME-vN", to which NAMESPACE is added, or "NAMESPACE/NAME-vN"; None: name of the policy and v0

    Raises ExportError for an invalid name.
    """
    if name is None:
        name = re.sub(r"[^\w-]", "-", dataset.manifest["policy"]["name"], flags=re.ASCII) + "-v0"
    if not ID.fullmatch(name):
        raise ExportError(f"name must be NAME-vN or NAMESPACE/NAME-vN, of letters, digits, - and _; got {name!r}")
    return name if "/" in name else f"{NAMESPACE}/{name}"


def path_below_root(dataset: Dataset, out: Path, options: Options) -> Path:
    """Return the directory of the dataset below Minari's root folder `out`."""
    return out / dataset_id(dataset, options.name)


def write(dataset: Dataset, out: Path, options: Options) -> None:
    """Write the episodes part by part with the storage class of Minari. Raises ExportError for too many transitions."""
    if len(dataset) > MOST_STEPS:
        raise ExportError(
            f"a dataset for 'minari' must have at most {MOST_STEPS:,} transitions, because seven HDF5 objects per "
            f"episode are slow; got {len(dataset):,}: export to 'd4rl', or use fewer learners"
        )
    feature = "an export to 'minari'"
    require("h5py", "minari", feature)
    require("PIL", "minari", feature)
    minari = require("minari", "minari", feature)
    storage_of = require("minari.dataset.minari_storage", "minari", feature).MinariStorage
    buffer_of = require("minari.data_collector", "minari", feature).EpisodeBuffer
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
    """Yield the fields of each episode's buffer.

    Infos start with those of the reset, so their `propensity` is NaN, followed by the propensity of each action.
    """
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
    return Box(0.0, 1.0, (width,), np.float32), Discrete(number_of_actions(dataset))


def env_spec(dataset: Dataset) -> Any:
    """Return the spec of the dataset's environment, or None if this version of alsim does not have it."""
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
    """Return a bank as lists of rows by table, which environments accept as `bank`."""
    with tempfile.TemporaryDirectory(prefix="alsim-bank-") as folder:
        save_bank(bank, folder)
        rows = {}
        for name in BANK_FILES:
            with open_text(Path(folder, name), encoding="utf-8") as stream:
                rows[Path(name).stem] = list(csv.DictReader(stream))
    return rows


def _description(dataset: Dataset) -> str:
    manifest = dataset.manifest
    return (
        f"Synthetic: {manifest['num_learners']} simulated learners, {manifest['episodes_per_learner']} episodes each, "
        f"taught by the policy {manifest['policy']['name']!r}; seed {manifest['seed']}, "
        f"alsim {manifest['alsim_version']}, {manifest['environment']}. It contains no data about people."
    )


def loading_code(out: Path) -> str:
    """Return the Python code that loads the dataset in the directory `out`."""
    identity = dataset_id_of(out)
    root = Path(str(out)[: -len(identity)] or ".")
    return f"""import os
os.environ["MINARI_DATASETS_PATH"] = {str(root.absolute())!r}
import minari
dataset = minari.load_dataset({identity!r})"""


def dataset_id_of(out: Path) -> str:
    """Return the id of an export from its metadata."""
    return str(read_json(out / "data" / "metadata.json", inside=out)["dataset_id"])


EXPORTER = Exporter(
    name="minari",
    title="HDF5 in a root folder of Minari, up to 1,000,000 steps",
    write=write,
    loading_code=loading_code,
    options=("name",),
    path=path_below_root,
)
