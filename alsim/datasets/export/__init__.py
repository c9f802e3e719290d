"""Exports of datasets to the formats of other tools, one module per format."""

from __future__ import annotations

from pathlib import Path

from alsim.datasets.export import d4rl, huggingface, minari, npz, obp, rllib, scope_rl, torchrl
from alsim.datasets.export.exporter import Exporter, ExportError, Options, check_options, provenance
from alsim.datasets.export.obp import to_obp
from alsim.datasets.export.scope_rl import to_scope_rl
from alsim.datasets.export.torchrl import to_torchrl
from alsim.datasets.export.writing import new_export
from alsim.datasets.store import Dataset, check_files, load_dataset
from alsim.errors import AlsimError, did_you_mean
from alsim.policies import Policy

EXPORTERS: dict[str, Exporter] = {
    module.EXPORTER.name: module.EXPORTER for module in (minari, d4rl, npz, obp, scope_rl, rllib, torchrl, huggingface)
}
"""The exporter of each format, by name."""

ALIASES = {alias: exporter.name for exporter in EXPORTERS.values() for alias in exporter.aliases}
"""Other names of formats, with the name of the format."""


def export_dataset(
    dataset: Dataset | str | Path,
    to: str,
    out: str | Path,
    *,
    name: str | None = None,
    license: str | None = None,
    next_observations: bool | None = None,
    action_distribution: bool | str | Path | Policy | None = None,
    force: bool = False,
) -> Path:
    """Write a dataset in the format of another tool, and return the path of the export.

    dataset              a dataset or its directory; the checksums of all files are verified first
    to                   "minari", "d4rl", "npz", "obp", "scope-rl", "rllib", "torchrl" or "huggingface"
    out                  file for d4rl (.hdf5), npz, obp and scope-rl (.npz), otherwise a directory; for minari the
                         root folder, which may contain other datasets
    name                 only minari: "NAME-vN" or "NAMESPACE/NAME-vN"; None: name of the policy and v0
    license              only huggingface: identifier of a license on the hub; None: "unknown"
    next_observations    only d4rl, npz (None: True) and huggingface (None: False): add the next observations
    action_distribution  only obp: add `pi_b`; True, or the policy of the dataset, see `to_obp`
    force                True replaces an existing export to the same format; other files are never replaced

    The export is written atomically, and shard by shard, so that it needs the memory of one shard. Raises AlsimError
    for invalid arguments, DatasetError for a damaged dataset and for an `out` that must not be overwritten, and
    MissingExtra if a package is not installed.
    """
    exporter = find_exporter(to)
    options = Options(name, license, next_observations, action_distribution)
    check_options(options, exporter)
    source = verified(dataset)
    path = exporter.path(source, Path(out), options)
    if source.path is not None and path.resolve().is_relative_to(source.path.resolve()):
        raise ExportError(f"{path} is inside the dataset; choose a path outside of it")
    with new_export(exporter, path, provenance(source, exporter.name), force=force) as temporary:
        exporter.write(source, temporary, options)
    return path


def find_exporter(to: str) -> Exporter:
    """Return the exporter of a format, by name or alias. Raises AlsimError for an unknown one."""
    name = ALIASES.get(to, to)
    if name not in EXPORTERS:
        guess = did_you_mean(to, [*EXPORTERS, *ALIASES])
        raise AlsimError(
            f"to must be one of {', '.join(EXPORTERS)}, or an alias ({', '.join(ALIASES)}); got {to!r}{guess}"
        )
    return EXPORTERS[name]


def verified(dataset: Dataset | str | Path) -> Dataset:
    """Return a dataset, loaded if it is a directory, after a check of its files. Raises DatasetError if any differs."""
    if not isinstance(dataset, Dataset):
        return load_dataset(dataset, verify=True)
    if dataset.path is not None:
        check_files(dataset.path, dataset.manifest, verify=True)
    return dataset


__all__ = [
    "EXPORTERS",
    "Exporter",
    "ExportError",
    "export_dataset",
    "find_exporter",
    "to_obp",
    "to_scope_rl",
    "to_torchrl",
]
