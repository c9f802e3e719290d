"""Summary of a dataset: its counts, and a statistic of each metric."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from alsim.config import Config, ConfigError
from alsim.datasets.store import Dataset
from alsim.datasets.tables import numpy_column
from alsim.evaluation.statistics import mean_of, statistic
from alsim.metrics import METRICS
from alsim.types import Reason

VERSIONS = ("alsim_version", "pyarrow_version", "schema_version")


def summary(dataset: Dataset) -> dict[str, Any]:
    """Return counts, files, the origin, and for each metric the mean over episodes, `se`, 95 % interval `ci`, and `n`.

    Standard errors treat episodes as independent, also those of one learner (clause S1.6). Undefined values are left
    out: `n` is the number of defined ones, and `undefined` of the others (S9.6). Without enough values, `mean`, `se`
    and `ci` are None. `unit` is that of the metric, None for a quantity without unit. The origin is that of
    `provenance`. `files` has the format, the size in bytes (None in memory), and whether observations are stored.
    """
    episodes = dataset.episodes
    metrics = {}
    for name in episodes.column_names[2 : episodes.column_names.index("terminated")]:
        values = episodes.column(name).drop_null().to_numpy().astype(np.float64)
        n = len(values)
        mean = {"mean": mean_of(values) if n else None, "se": None, "ci": None, "n": n}
        unit = METRICS[name].unit or None
        metrics[name] = (statistic(values) if n > 1 else mean) | {"undefined": episodes.num_rows - n, "unit": unit}
    reason = numpy_column(episodes, "termination_reason")
    return {
        "transitions": len(dataset),
        "events": int(dataset.manifest["tables"]["events"]["rows"]),
        "episodes": episodes.num_rows,
        "termination": {kind.word: int((reason == kind).sum()) for kind in Reason if kind},
        "metrics": metrics,
        "files": {
            "format": dataset.manifest["format"],
            "bytes": _size(dataset),
            "observations_stored": dataset.manifest["observations"] == "full",
        },
        "provenance": provenance(dataset),
    }


def _size(dataset: Dataset) -> int | None:
    """Return the size of all files in the directory of a dataset, in bytes; None for a dataset in memory."""
    if dataset.path is None:
        return None
    return sum(file.stat().st_size for file in dataset.path.rglob("*") if file.is_file())


def provenance(dataset: Dataset) -> dict[str, Any]:
    """Return how a dataset was generated, JSON-ready.

    The keys are `policy`, `seed`, `learners`, `episodes_per_learner`, `environment`, `observation`, `dynamics`,
    `dynamics_parameters`, `dynamics_known` (whether the dynamics is registered here), `config_differences` (the result
    of the function of this name), `bank` (its number of learning outcomes, and the SHA-256 of its files) and
    `versions`.
    """
    manifest = dataset.manifest
    parameters = {key: value for key, value in manifest["config"].get("dynamics", {}).items() if key != "name"}
    return {
        "policy": manifest["policy"],
        "seed": manifest["seed"],
        "learners": manifest["num_learners"],
        "episodes_per_learner": manifest["episodes_per_learner"],
        "environment": manifest["environment"],
        "observation": manifest["observation"],
        "dynamics": _dynamics_of(manifest["config"]),
        "dynamics_parameters": parameters,
        "dynamics_known": _defaults_of(manifest["config"]) is not None,
        "config_differences": config_differences(manifest["config"]),
        "bank": {
            "num_los": manifest["bank"]["num_los"],
            "sha256": {file["path"]: file["sha256"] for file in manifest["bank"].get("files", ())},
        },
        "versions": {name.removesuffix("_version"): manifest[name] for name in VERSIONS if name in manifest},
    }


def config_differences(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a configuration that differ from the defaults, by dotted key, such as `termination.x`.

    Parameters of the dynamics are compared with the defaults of that dynamics. They are left out if the dynamics is not
    registered here, because its defaults are unknown.
    """
    default = _defaults_of(config)
    if default is None:
        return dict(_changed({key: value for key, value in config.items() if key != "dynamics"}, Config().to_dict()))
    return dict(_changed(config, default))


def _defaults_of(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the default configuration of the dynamics of a configuration; None if it is not registered here."""
    try:
        return Config.read({"dynamics": {"name": _dynamics_of(config)}}).to_dict()
    except ConfigError:  # a dynamics of a module that is not imported, or of a package that is not installed
        return None


def _dynamics_of(config: Mapping[str, Any]) -> str:
    """Return the name of the dynamics of a configuration."""
    return str(config.get("dynamics", {}).get("name", "standard"))


def _changed(value: Mapping[str, Any], default: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted key and the value of each entry that differs from the default; not the name of the dynamics."""
    for name, entry in value.items():
        key, usual = f"{prefix}{name}", default.get(name)
        if isinstance(entry, Mapping):
            yield from _changed(entry, usual if isinstance(usual, Mapping) else {}, f"{key}.")
        elif entry != usual and key != "dynamics.name":
            yield key, entry
