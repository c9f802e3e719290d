"""Datasets as other tools read them, a file a format."""

from __future__ import annotations

from pathlib import Path

from alsim.datasets.export import d4rl, huggingface, minari, npz, obp, rllib, scope_rl, torchrl
from alsim.datasets.export.exporter import Exporter, ExportError, Options, provenance, refuse_unknown
from alsim.datasets.export.obp import to_obp
from alsim.datasets.export.scope_rl import to_scope_rl
from alsim.datasets.export.torchrl import to_torchrl
from alsim.datasets.export.writing import new_export
from alsim.datasets.store import Dataset, check_files, load_dataset
from alsim.errors import AlsimError

EXPORTERS: dict[str, Exporter] = {
    module.EXPORTER.name: module.EXPORTER for module in (minari, d4rl, npz, obp, scope_rl, rllib, torchrl, huggingface)
}
"""Every format, by name."""

ALIASES = {alias: exporter.name for exporter in EXPORTERS.values() for alias in exporter.aliases}


def export_dataset(
    dataset: Dataset | str | Path,
    to: str,
    out: str | Path,
    *,
    name: str | None = None,
    license: str | None = None,
    next_observations: bool | None = None,
    action_distribution: bool | None = None,
    force: bool = False,
) -> Path:
    """Write a dataset in the format of another tool, and return where it lies.

    dataset              a dataset or its directory; every file is held against its checksum first
    to                   "minari", "d4rl", "npz", "obp", "scope-rl", "rllib", "torchrl" or "huggingface"
    out                  the file that d4rl (.hdf5), npz, obp and scope-rl (.npz) write, else a directory; of minari
                         the root folder, in which others may lie
    name                 of minari: "NAME-vN", or an id with a namespace of your own; by default the policy's, v0
    license              of huggingface: an identifier of the hub, by default "unknown"
    next_observations    of d4rl and npz (by default there) and huggingface (by default not)
    action_distribution  of obp: also `pi_b`, of the policies uniform and rules
    force                overwrite an export of the same format; nothing else ever is

    It appears whole or not at all. All but obp's and scope-rl's in-memory forms go part by part, in the memory of
    a shard. Raises AlsimError for arguments that cannot be, DatasetError for a dataset that is not what was
    written and for an `out` that must not be, MissingExtra where a package is missing, which it names.
    """
    exporter = find_exporter(to)
    options = Options(name, license, next_observations, action_distribution)
    refuse_unknown(options, exporter)
    source = checked(dataset)
    place = exporter.place(source, Path(out), options)
    if source.path is not None and place.resolve().is_relative_to(source.path.resolve()):
        raise ExportError(f"{place} is inside the dataset; an export goes elsewhere")
    with new_export(exporter, place, provenance(source, exporter.name), force=force) as working:
        exporter.write(source, working, options)
    return place


def find_exporter(to: str) -> Exporter:
    """Return the format of that name or alias. Raises AlsimError, which lists the known ones."""
    known = ALIASES.get(to, to)
    if known not in EXPORTERS:
        raise AlsimError(f"unknown format {to!r}; known are {', '.join(EXPORTERS)}")
    return EXPORTERS[known]


def checked(dataset: Dataset | str | Path) -> Dataset:
    """Return the dataset, or the one in that directory, every file as its checksum says. Raises DatasetError."""
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
