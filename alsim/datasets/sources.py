"""Sources of logged data that users name by a path: datasets, logs of engines, and tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alsim.datasets.engine_export import read_kind
from alsim.datasets.engine_log import load_log
from alsim.datasets.store import load_dataset
from alsim.errors import AlsimError


def opened(source: Any) -> Any:
    """Return the dataset or the log of an engine in a directory, the path of a file, and other objects as they are.

    Raises AlsimError for a path that does not exist, and DatasetError for another directory.
    """
    if not isinstance(source, str | Path):
        return source
    path = Path(source)
    if path.is_file():
        return path
    if not path.exists():
        raise AlsimError(f"there is no log {path}: pass a directory of a dataset or of a log of an engine, or a table")
    return load_dataset(path) if read_kind(path) is None else load_log(path)


__all__ = ["opened"]
