"""NumPy's npz: the flat columns of D4RL, in a file that is read without unpickling anything."""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from alsim.datasets.export.exporter import Columns, Exporter, Options, provenance, reserve, stacked
from alsim.datasets.export.flat import flat_columns
from alsim.datasets.store import Dataset

JSON = "json"
"""The member that holds, as text, what is no array."""
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can say: the same data are the same bytes


def write_npz(out: Path, chunks: Iterable[Columns], rows: int, words: Mapping[str, Any]) -> None:
    """Write columns, chunk by chunk, and `words` as JSON, in the memory of a chunk.

    An npz holds one column after the other, so each first gets a file of its own, beside `out`.
    """
    with tempfile.TemporaryDirectory(prefix=f"{out.name}-", dir=out.parent) as staged:
        folder = Path(staged)

        def make(name: str, shape: tuple[int, ...], kind: np.dtype[Any]) -> Any:
            array = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", kind, shape)
            reserve(folder / f"{name}.npy")
            return array

        arrays = stacked(chunks, rows, make)
        names = list(arrays)
        for array in arrays.values():
            array.flush()
        del arrays
        np.save(folder / f"{JSON}.npy", np.array(json.dumps(words, sort_keys=True, allow_nan=False)))
        with zipfile.ZipFile(out, "w") as file:
            for name in [*names, JSON]:
                member = zipfile.ZipInfo(f"{name}.npy", EPOCH)
                with (folder / f"{name}.npy").open("rb") as source, file.open(member, "w", force_zip64=True) as sink:
                    shutil.copyfileobj(source, sink, 2**20)


def origin(file: Path) -> Any:
    """Return what an npz says of its origin, None if nothing."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return json.loads(str(arrays[JSON]))["alsim"]
    except (OSError, ValueError, LookupError, TypeError, EOFError, zipfile.BadZipFile, RecursionError):
        return None


def write(dataset: Dataset, out: Path, options: Options) -> None:
    """Write the flat columns."""
    chunks = flat_columns(dataset, options.next_observations is not False)
    write_npz(out, chunks, len(dataset), {"alsim": provenance(dataset, "npz")})


def load(out: Path) -> str:
    """Lines that load it."""
    return f"""import numpy as np
with np.load({str(out)!r}) as file:
    data = dict(file)  # observations, actions, rewards, terminals, timeouts, …
print(data["observations"].shape)"""


EXPORTER = Exporter(
    name="npz",
    title="NumPy arrays with D4RL's names",
    write=write,
    load=load,
    suffix=".npz",
    options=("next_observations",),
    origin=origin,
)
