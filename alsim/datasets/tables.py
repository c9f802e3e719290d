"""Conversion of rollouts to Arrow tables, and of Arrow tables to NumPy arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from alsim.datasets.schema import arrow_schema, truth_columns
from alsim.dynamics import of_parameters
from alsim.rollouts.columns import TABLE_COLUMNS, Words
from alsim.rollouts.rollout import Rollout
from alsim.rollouts.truth import Truth
from alsim.types import Floats, Longs, f32, f64, i8, i16, i32, i64


def tables_of(rollout: Rollout, truth: Truth | None = None) -> dict[str, pa.Table]:
    """Return the tables of a rollout by name. They have no observations if the rollout did not keep them.

    truth  truth about its interactions, for further columns of the transitions
    """
    width, observations = rollout.final_obs.shape[1], rollout.obs is not None
    columns = {name: columns_of(rollout) for name, columns_of in TABLE_COLUMNS.items()}
    schemas = {name: arrow_schema(name, width, observations) for name in columns}
    if truth is not None:
        further = truth_columns(of_parameters(type(rollout.config.dynamics)))
        columns["transitions"] |= truth.columns()
        schemas["transitions"] = arrow_schema("transitions", width, observations, further)
    return {name: _table(columns[name], schemas[name]) for name in columns}


def _table(columns: dict[str, Any], schema: pa.Schema) -> pa.Table:
    """Return columns as a table; masked values are null."""
    return pa.Table.from_arrays([_array(columns[field.name], field.type) for field in schema], schema=schema)


# Not DataType.to_pandas_dtype(), which imports pandas in older versions of Arrow.
NUMPY_TYPES = {pa.from_numpy_dtype(kind): kind for kind in (np.bool_, i8, i16, i32, i64, f32, f64)}


def _array(column: Any, kind: pa.DataType) -> pa.Array:
    """Return a column as an Arrow array of this type."""
    if isinstance(column, Words):
        return pa.DictionaryArray.from_arrays(pa.array(column.codes), pa.array(column.words))
    if pa.types.is_fixed_size_list(kind):
        return observation_column(column)
    if isinstance(column, np.ma.MaskedArray):
        return pa.array(column.data, type=kind, mask=np.ma.getmaskarray(column))
    return pa.array(np.asarray(column).astype(NUMPY_TYPES[kind], copy=False), type=kind)


def observation_column(rows: Floats) -> pa.Array:
    """Return observations (M, R) as an Arrow array of lists of length R."""
    flat = pa.array(np.ascontiguousarray(rows).ravel())
    return pa.FixedSizeListArray.from_arrays(flat, type=pa.list_(pa.float32(), rows.shape[1]))


def numpy_column(table: pa.Table, name: str) -> NDArray[Any]:
    """Return a column without nulls as a NumPy array; observations have shape (M, R).

    The array is a view of a column in one block of memory, except for booleans, which Arrow stores as bits.
    """
    blocks = table.column(name)
    column = blocks.chunk(0) if blocks.num_chunks == 1 else blocks.combine_chunks()  # which copies even one block
    if pa.types.is_fixed_size_list(column.type):
        flat: NDArray[Any] = column.flatten().to_numpy(zero_copy_only=False)
        return flat.reshape(len(column), column.type.list_size)
    values: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return values


def filled_arrays(parts: Iterable[pa.Table], rows: int, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Return columns without nulls as new arrays, (M,), and observations as (M, R).

    parts  tables that follow each other, with the same types; each is released before the next one is read
    rows   number of rows of all parts, M
    names  names of the columns
    """
    arrays: dict[str, NDArray[Any]] = {}
    begin = 0
    for part in parts:
        for name in names:
            values = numpy_column(part, name)
            if name not in arrays:
                arrays[name] = np.empty((rows, *values.shape[1:]), values.dtype)
            arrays[name][begin : begin + len(values)] = values
        begin += len(part)
        del part, values  # or they would be in memory together with the next part
    return arrays


def next_observations(obs: Floats, final_obs: Floats, length: Longs) -> Floats:
    """Return the observation after each interaction, (M, R).

    obs        observations before each interaction, (M, R)
    final_obs  observations after the last interaction of each episode, (E, R)
    length     number of interactions of each episode, (E,)
    """
    following = np.empty_like(obs)
    following[:-1] = obs[1:]
    following[np.cumsum(length) - 1] = final_obs
    return following
