"""What every export has: a name, what it says of its origin, and columns that are written part by part."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alsim._version import __version__
from alsim.datasets.schema import TABLES
from alsim.datasets.store import Dataset, DatasetError
from alsim.errors import AlsimError
from alsim.mdp.actions import num_actions

Columns = Mapping[str, NDArray[Any]]
"""Columns of some rows: arrays of one length."""


class ExportError(DatasetError):
    """An export that cannot be made: the message names the format or the file."""


@dataclass(frozen=True)
class Options:
    """What some formats can be told; None is the format's own way."""

    name: str | None = None
    license: str | None = None
    next_observations: bool | None = None
    action_distribution: bool | None = None


@dataclass(frozen=True)
class Exporter:
    """A format: how it is written, and how its tool loads it."""

    name: str
    title: str
    """What is written, in a line."""
    write: Callable[[Dataset, Path, Options], None]
    """Write into an empty directory, or the file of that name."""
    load: Callable[[Path], str]
    """Lines of Python that load the export from where it lies."""
    suffix: str = ""
    """Of the file; empty for a directory."""
    options: tuple[str, ...] = ()
    """Fields of Options that the format knows."""
    aliases: tuple[str, ...] = ()
    origin: Callable[[Path], Any] | None = None
    """Read what a file says of its origin; None if it is no export."""
    place: Callable[[Dataset, Path, Options], Path] = lambda dataset, out, options: out
    """Where the export lies, given `out`."""


def provenance(dataset: Dataset, to: str) -> dict[str, Any]:
    """Return what an export says of its origin, enough to generate the dataset anew."""
    manifest = dataset.manifest
    rows = {name: {"rows": manifest["tables"][name]["rows"]} for name in TABLES}
    return {
        "format": to,
        "alsim_version": __version__,
        "config_sha256": config_sha256(manifest),
        "dataset": {**manifest, "tables": rows},
    }


def config_sha256(manifest: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a configuration as JSON with sorted keys and no spaces."""
    text = json.dumps(manifest["config"], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def actions_of(dataset: Dataset) -> int:
    """Return the number of actions A."""
    return num_actions(dataset.manifest["bank"]["num_los"])


def log_propensity(part: Dataset) -> NDArray[np.float32]:
    """Return the logarithm of each propensity (M,). Raises ExportError for one that none can be."""
    propensity = part.propensity
    impossible = np.flatnonzero(~((propensity > 0) & (propensity <= 1)))
    if len(impossible):
        row = impossible[0]
        raise ExportError(
            f"{part!r}: the propensity of an action that was taken is in (0, 1]; that of learner "
            f"{part.learner_id[row]} in step {part.step[row]} of episode {part.episode[row]} is {propensity[row]}"
        )
    logarithm: NDArray[np.float32] = np.log(propensity).astype(np.float32)
    return logarithm


def stacked(chunks: Iterable[Columns], rows: int, make: Callable[[str, tuple[int, ...], np.dtype[Any]], Any]) -> Any:
    """Return arrays of `rows` rows, made by `make` and filled with chunks of columns, one after the other.

    The first chunk tells the shapes and the types, so room for all is asked for before anything is filled.
    """
    iterator = iter(chunks)
    first = next(iterator)
    arrays = {name: make(name, (rows, *column.shape[1:]), column.dtype) for name, column in first.items()}
    stop = 0
    for chunk in chain([first], iterator):
        start, stop = stop, stop + len(next(iter(chunk.values())))
        for name, column in chunk.items():
            arrays[name][start:stop] = column
    if stop != rows:
        raise ExportError(f"the dataset has {stop} rows; its manifest says {rows}")
    return arrays


def in_memory(chunks: Iterable[Columns], rows: int, what: str) -> dict[str, NDArray[Any]]:
    """Return chunks of columns as arrays. Raises ExportError if they do not fit into the memory that is free."""
    iterator = iter(chunks)
    first = next(iterator)
    needed = sum(rows * column[:1].nbytes for column in first.values())
    require_memory(needed, f"{what} of {rows:,} rows", "; export to a file instead, or a dataset of fewer learners")
    arrays: dict[str, NDArray[Any]] = stacked(
        chain([first], iterator), rows, lambda name, shape, kind: np.empty(shape, kind)
    )
    return arrays


def require_memory(needed: int, what: str, instead: str = "") -> None:
    """Raise ExportError if so many bytes are not free."""
    free = free_memory()
    if free is not None and needed > free:
        raise ExportError(f"{what} takes {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free{instead}")


def reserve(file: Path) -> None:
    """Have the disk set aside all of a file that will be memory-mapped. Raises OSError if it is full.

    Without, a full disk is noticed at the write to memory, which ends the process (SIGBUS).
    """
    if not hasattr(os, "posix_fallocate"):
        return
    with file.open("r+b") as stream:
        try:
            os.posix_fallocate(stream.fileno(), 0, max(1, file.stat().st_size))
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # a file system that cannot
                raise OSError(error.errno, error.strerror, str(file)) from None


def free_memory() -> int | None:
    """Return the bytes of memory that are free; None where the system does not tell."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("MemAvailable")), None)


def refuse_unknown(options: Options, exporter: Exporter) -> None:
    """Raise AlsimError for an option that the format does not know."""
    for name, value in vars(options).items():
        if value is not None and name not in exporter.options:
            known = f"knows {', '.join(exporter.options)}" if exporter.options else "knows no options"
            raise AlsimError(f"{name} = {value!r}: the format {exporter.name!r} {known}")
