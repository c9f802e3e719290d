"""NumPy npz files of the flat columns of D4RL. They load without pickle."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from alsim.datasets.export.exporter import Columns, Exporter, Options, fill_arrays, provenance, reserve_disk_space
from alsim.datasets.export.flat import flat_columns
from alsim.datasets.store import Dataset
from alsim.utils.files import temporary_directory
from alsim.utils.npz import UNREADABLE, read_array
from alsim.utils.reading import MAX_JSON, open_file, parse_json

JSON = "json"
"""Member with everything that is not an array, as JSON text."""
EPOCH = (1980, 1, 1, 0, 0, 0)  # earliest date of a zip file; a constant, so that equal data give equal bytes


def write_npz(out: Path, chunks: Iterable[Columns], rows: int, attributes: Mapping[str, Any]) -> None:
    """Write columns and attributes to an npz file, in the memory of one chunk.

    chunks      columns of a part of the rows, see `fill_arrays`
    rows        number of rows of all chunks together
    attributes  values other than arrays, which are written as JSON

    An npz file stores one column after the other, and a chunk has rows of all columns. Each column is therefore first
    written to a temporary file next to `out`.
    """
    with temporary_directory(out) as folder:

        def make(name: str, shape: tuple[int, ...], kind: np.dtype[Any]) -> Any:
            array = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", kind, shape)
            reserve_disk_space(folder / f"{name}.npy")
            return array

        arrays = fill_arrays(chunks, rows, make)
        names = list(arrays)
        for array in arrays.values():
            array.flush()
        del arrays
        np.save(folder / f"{JSON}.npy", np.array(json.dumps(attributes, sort_keys=True, allow_nan=False)))
        with zipfile.ZipFile(out, "w") as file:
            for name in [*names, JSON]:
                member = zipfile.ZipInfo(f"{name}.npy", EPOCH)
                with open_file(folder / f"{name}.npy") as source, file.open(member, "w", force_zip64=True) as sink:
                    shutil.copyfileobj(source, sink, 2**20)


def read_provenance(file: Path) -> Any:
    """Return the provenance in an npz file, or None if it has none."""
    try:
        with open_file(file) as stream, zipfile.ZipFile(stream) as archive:
            if archive.getinfo(f"{JSON}.npy").file_size > 4 * MAX_JSON:
                return None
            return parse_json(str(read_array(archive, JSON)).encode())["alsim"]
    except UNREADABLE:
        return None


def write(dataset: Dataset, out: Path, options: Options) -> None:
    """Write the flat columns and the provenance."""
    chunks = flat_columns(dataset, options.next_observations is not False)
    write_npz(out, chunks, len(dataset), {"alsim": provenance(dataset, "npz")})


def loading_code(out: Path) -> str:
    """Return the Python code that loads the export."""
    return f"""import numpy as np
with np.load({str(out)!r}) as file:
    data = dict(file)  # observations, actions, rewards, terminals, timeouts, …
print(data["observations"].shape)"""


EXPORTER = Exporter(
    name="npz",
    title="NumPy arrays with the names of D4RL",
    write=write,
    loading_code=loading_code,
    suffix=".npz",
    options=("next_observations",),
    read_provenance=read_provenance,
)
