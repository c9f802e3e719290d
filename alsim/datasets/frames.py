"""Columns of a dataset's data frames, read part by part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from alsim.arguments import read_observation
from alsim.datasets.manifest import DatasetError, population_of
from alsim.datasets.schema import Column, stored_columns
from alsim.errors import AlsimError
from alsim.metrics import EVENTS
from alsim.rollouts import columns
from alsim.rollouts.frames import check_table, frame_columns

if TYPE_CHECKING:
    from alsim.datasets.store import Dataset


def frame_parts(dataset: Dataset, table: str, observations: bool) -> Iterator[dict[str, columns.Column]]:
    """Yield the columns of a data frame for each part of a dataset, which is read and released in turn.

    table         name of the table
    observations  whether to add the observations as columns

    Raises AlsimError for an unknown table, and DatasetError for invalid contents of the dataset.
    """
    check_table(table, observations)
    kind = read_observation(dataset.manifest["observation"])
    words: dict[str, tuple[str, ...]] = {"event": EVENTS}
    if table == "episodes":
        population = population_of(dataset.manifest)
        words["population_name"] = ("all",) if population is None else population.names
    for part in [dataset] if table in vars(dataset) else dataset.parts():
        content: pa.Table = getattr(part, table)
        stored = {column.name: column for column in stored_columns(table, content.schema)}
        observed = None
        if observations:
            observed = part.obs if table == "transitions" else part.final_obs
        try:
            arrays = {
                name: _array(stored[name], content.column(name), words)
                for name in content.column_names
                if name not in ("obs", "final_obs")
            }
            yield frame_columns(table, arrays, dataset.bank, observed, kind)
        except AlsimError as error:
            raise DatasetError(f"{dataset!r}: {error}") from None


def _array(column: Column, values: pa.ChunkedArray, words: Mapping[str, tuple[str, ...]]) -> columns.Column:
    """Return a column as an array, with a mask if it is nullable and of booleans, or as words.

    words  all words of each column of words
    """
    if pa.types.is_dictionary(column.type):
        known = words[column.name]
        codes = pyarrow.compute.index_in(values.cast(pa.string()), value_set=pa.array(known))
        if codes.null_count:
            raise AlsimError(f"{column.name} has a word that is not one of {', '.join(known)}; generate the data again")
        return columns.Words(codes.fill_null(-1).to_numpy(), known)
    if column.nullable and pa.types.is_boolean(column.type):
        return np.ma.masked_array(values.fill_null(False).to_numpy(), values.is_null().to_numpy())
    array: Any = values.to_numpy()
    return np.asarray(array)
