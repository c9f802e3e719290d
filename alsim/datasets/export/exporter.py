"""Parts that all exports share: format descriptions, provenance, and arrays that are filled part by part."""

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
from alsim.datasets.manifest import DatasetError
from alsim.datasets.schema import TABLES
from alsim.datasets.store import Dataset
from alsim.errors import AlsimError
from alsim.mdp.actions import num_actions
from alsim.policies import Policy

Columns = Mapping[str, NDArray[Any]]
"""Arrays of equal length, by column name."""


class ExportError(DatasetError):
    """Error for an impossible export. The message names the format or the file."""


@dataclass(frozen=True)
class Options:
    """Options of `export_dataset` that only some formats have. None: the default of the format."""

    name: str | None = None
    license: str | None = None
    next_observations: bool | None = None
    action_distribution: bool | str | Path | Policy | None = None


@dataclass(frozen=True)
class Exporter:
    """An export format: how it is written, and the code that loads it."""

    name: str
    title: str
    """Description in one line."""
    write: Callable[[Dataset, Path, Options], None]
    """Function that writes a dataset to an empty directory or to a file."""
    loading_code: Callable[[Path], str]
    """Function that returns the Python code to load an export."""
    suffix: str = ""
    """Suffix of the file; empty for a directory."""
    options: tuple[str, ...] = ()
    """Fields of Options that apply to the format."""
    aliases: tuple[str, ...] = ()
    read_provenance: Callable[[Path], Any] | None = None
    """Function that returns the provenance in a file, or None if the file is not an export."""
    path: Callable[[Dataset, Path, Options], Path] = lambda dataset, out, options: out
    """Function that returns the path of the export for the argument `out`."""


def provenance(dataset: Dataset, to: str) -> dict[str, Any]:
    """Return the provenance of an export: everything that is needed to generate the dataset again."""
    manifest = dataset.manifest
    rows = {name: {"rows": manifest["tables"][name]["rows"]} for name in TABLES}
    return {
        "format": to,
        "alsim_version": __version__,
        "config_sha256": config_sha256(manifest),
        "dataset": {**manifest, "tables": rows},
    }


def config_sha256(manifest: Mapping[str, Any]) -> str:
    """Return the SHA-256, in hexadecimal, of the configuration as JSON with sorted keys and without spaces."""
    text = json.dumps(manifest["config"], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def number_of_actions(dataset: Dataset) -> int:
    """Return the number of actions A."""
    return num_actions(dataset.manifest["bank"]["num_los"])


def log_propensity(part: Dataset) -> NDArray[np.float32]:
    """Return the logarithm of each propensity (M,). Raises ExportError for a propensity outside of (0, 1]."""
    propensity = part.propensity
    invalid = np.flatnonzero(~((propensity > 0) & (propensity <= 1)))
    if len(invalid):
        row = invalid[0]
        raise ExportError(
            f"{part!r}: the propensity of learner {part.learner_id[row]} in step {part.step[row]} of episode "
            f"{part.episode[row]} is {propensity[row]}; expected a number in (0, 1], because the action was chosen; "
            "generate the dataset again"
        )
    logarithm: NDArray[np.float32] = np.log(propensity).astype(np.float32)
    return logarithm


def fill_arrays(
    chunks: Iterable[Columns], rows: int, make: Callable[[str, tuple[int, ...], np.dtype[Any]], Any]
) -> Any:
    """Return arrays that are filled with chunks of columns, one after the other.

    chunks  columns of a part of the rows; the first chunk determines names, shapes and dtypes
    rows    number of rows of all chunks together
    make    function that returns an array for a name, a shape and a dtype; called for all columns before any is
            filled

    Raises ExportError if the chunks have another number of rows.
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
        raise ExportError(f"the dataset gives {stop} rows; its manifest says {rows}; generate the dataset again")
    return arrays


def collect_arrays(chunks: Iterable[Columns], rows: int, target: str) -> dict[str, NDArray[Any]]:
    """Return chunks of columns as arrays in memory.

    chunks  columns of a part of the rows, see `fill_arrays`
    rows    number of rows of all chunks together
    target  name of the result, for the error message

    Raises ExportError if the arrays need more than the free memory.
    """
    iterator = iter(chunks)
    first = next(iterator)
    needed = sum(rows * column[:1].nbytes for column in first.values())
    check_memory(needed, f"{target} of {rows:,} rows", "export to a file, or use a dataset of fewer learners")
    arrays: dict[str, NDArray[Any]] = fill_arrays(
        chain([first], iterator), rows, lambda name, shape, kind: np.empty(shape, kind)
    )
    return arrays


def check_memory(needed: int, target: str, cure: str) -> None:
    """Raise ExportError if less memory is free than `needed` bytes. The message contains `target` and `cure`."""
    free = free_memory()
    if free is not None and needed > free:
        raise ExportError(f"{target} needs {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free; {cure}")


def reserve_disk_space(file: Path) -> None:
    """Allocate the disk space of a file that will be memory-mapped. Raises OSError if the disk is full.

    Without this, writing to the mapped memory while the disk is full kills the process (SIGBUS).
    """
    if not hasattr(os, "posix_fallocate"):
        return
    with file.open("r+b") as stream:
        try:
            os.posix_fallocate(stream.fileno(), 0, max(1, file.stat().st_size))
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # a file system without this function
                raise OSError(error.errno, error.strerror, str(file)) from None


def free_memory() -> int | None:
    """Return the free memory in bytes, or None if the operating system does not report it."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("MemAvailable")), None)


def check_options(options: Options, exporter: Exporter) -> None:
    """Raise AlsimError for an option that does not apply to the format."""
    for name, value in vars(options).items():
        if value is not None and name not in exporter.options:
            known = ", ".join(exporter.options) or "none"
            raise AlsimError(
                f"{name} must be None for the format {exporter.name!r}, whose options are: {known}; got {value!r}"
            )
