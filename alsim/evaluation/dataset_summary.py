"""Summary of a dataset: its counts, and a statistic of each metric."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from alsim.config import Config, ConfigError, IndependentUnit, Population, independent_unit
from alsim.datasets.manifest import DatasetError, population_of
from alsim.datasets.store import Dataset
from alsim.datasets.tables import numpy_column
from alsim.evaluation.estimates import estimate
from alsim.metrics import METRICS
from alsim.types import Reason

BY_ROW = ("cumulative_reward", "total_steps", "final_mastery")
"""Metrics whose means are reported by row of the population."""
VERSIONS = ("alsim_version", "pyarrow_version", "schema_version")


def summary(dataset: Dataset) -> dict[str, Any]:
    """Return counts, files, the origin, and for each metric the mean over episodes, `se`, 95 % interval `ci`, and `n`.

    The statistics treat episodes as independent, also those of one learner (clause S1.6). Under a population of several
    rows, they are those of the means per learner, and under effects of classes, of the means per class (clause S12.2);
    `n` is their number, and `independent_unit` is "episode", "learner" or "class". Undefined values are left out:
    `undefined` is the number of episodes without a value (S9.6). Without enough values, `mean`, `se` and `ci` are None.
    `unit` is that of the metric, None for a quantity without unit. `population` has the results by row, see `_by_row`.
    The origin is that of `provenance`. `files` has the format, the size in bytes (None in memory), and whether
    observations and the truth are stored.
    """
    episodes, population = dataset.episodes, population_of(dataset.manifest)
    has_rows, unit = population is not None and len(population) > 1, independent_unit(dataset.manifest["config"])
    reason = numpy_column(episodes, "termination_reason")
    return {
        "transitions": len(dataset),
        "events": int(dataset.manifest["tables"]["events"]["rows"]),
        "episodes": episodes.num_rows,
        "independent_unit": unit.name,
        "termination": {kind.word: int((reason == kind).sum()) for kind in Reason if kind},
        "metrics": {name: _metric(dataset, name, unit) for name in METRICS},
        "population": _by_row(dataset, population, unit) if population is not None and has_rows else [],
        "files": {
            "format": dataset.manifest["format"],
            "bytes": _size(dataset),
            "observations_stored": dataset.manifest["observations"] == "full",
            "truth_stored": bool(dataset.manifest.get("truth", False)),
        },
        "provenance": provenance(dataset),
    }


def _metric(dataset: Dataset, name: str, unit: IndependentUnit) -> dict[str, Any]:
    """Return the statistic of a metric over all episodes, and the number of those without a value."""
    column = dataset.episodes.column(name)
    values = column.drop_null().to_numpy().astype(np.float64)
    learner = numpy_column(dataset.episodes, "learner_id")[column.is_valid().to_numpy()]
    found = estimate(values, unit.of_learners(learner))
    return found.to_dict() | {"undefined": column.null_count + found.undefined, "unit": METRICS[name].unit or None}


def _by_row(dataset: Dataset, population: Population, unit: IndependentUnit) -> list[dict[str, Any]]:
    """Return the results of each row of a population that has learners in the dataset.

    Each entry has `row`, `name`, `share`, the numbers of `learners` and `episodes`, and `metrics`: statistics of the
    means per unit of BY_ROW. Raises DatasetError for a row that does not exist.
    """
    rows, learner = (numpy_column(dataset.episodes, name) for name in ("population_row", "learner_id"))
    columns = {name: numpy_column(dataset.episodes, name) for name in BY_ROW}
    units = np.asarray(unit.of_learners(learner))  # not None, since there are several rows
    order = np.argsort(rows, kind="stable")
    found, first = np.unique(rows[order], return_index=True)
    if found[0] < 0 or found[-1] >= len(population):
        raise DatasetError(
            f"{dataset!r}: population_row is in [{found[0]}, {found[-1]}]; expected [0, {len(population) - 1}]; "
            "generate the dataset again"
        )
    return [
        {
            "row": row,
            "name": population.names[row],
            "share": population.rows[row].share,
            "learners": len(np.unique(learner[places])),
            "episodes": len(places),
            "metrics": {name: estimate(values[places], units[places]).to_dict() for name, values in columns.items()},
        }
        for row, places in zip(found.tolist(), np.split(order, first[1:]), strict=True)
    ]


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
        # A dynamics that reads prerequisites needs a curriculum; by default, there is none.
        return {**Config.read({"dynamics": _dynamics_of(config), "curriculum": [[0, 1]]}).to_dict(), "curriculum": None}
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
