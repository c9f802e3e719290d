"""Reading of the files of shards, with a validation of their columns and values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from alsim.datasets.manifest import MANIFEST, DatasetError
from alsim.datasets.schema import OBSERVATION, TRUTH, Column, columns_of, is_state, stored_columns
from alsim.utils.arrow import InvalidTable, TableFile
from alsim.utils.reading import OutsideDirectory, path_inside, reason
from alsim.utils.text import printable

RESTORE = "restore the file, or generate the dataset again"
"""Cure in the errors about damaged files."""


def shard_file(directory: Path, shard: Mapping[str, Any]) -> Path:
    """Return the path of a file in the manifest. Raises DatasetError if it leads outside of the dataset."""
    name: str = shard["path"]
    where = f"{directory / MANIFEST} names {name!r}"
    try:
        return path_inside(directory, name)
    except OutsideDirectory:
        raise DatasetError(f"{where}, which is outside of the dataset; {RESTORE}") from None
    except OSError as error:
        raise DatasetError(f"{where}, which cannot be read: {reason(error)}; {RESTORE}") from None


def read_shard(
    directory: Path, shard: Mapping[str, Any], table: str, observations: bool = True, truth: bool = False
) -> pa.Table:
    """Return the table in the file of a shard, after a validation of all values. Raises DatasetError with the file.

    directory     directory of the dataset
    shard         entry of the shard in the manifest
    table         name of the table
    observations  True if the shard has observations
    truth         True if the shard has the columns of the truth

    The number of rows, the columns and their types are checked before the values are read.
    """
    with _open_shard(directory, shard, table, observations, truth) as (file, stored):
        content = stored.read()
    _check_columns(file, table, content)
    return content


def shard_parts(
    directory: Path, shard: Mapping[str, Any], table: str, observations: bool = True, truth: bool = False
) -> Iterator[pa.Table]:
    """Yield the table in the file of a shard in parts; arguments and errors are those of `read_shard`.

    Of a Parquet file, only one part is in memory if the caller releases each part.
    """
    with _open_shard(directory, shard, table, observations, truth) as (file, stored):
        for content in stored.parts():
            _check_columns(file, table, content)
            yield content
            del content  # or it would be in memory together with the next one


@contextmanager
def _open_shard(
    directory: Path, shard: Mapping[str, Any], table: str, observations: bool, truth: bool
) -> Iterator[tuple[Path, TableFile]]:
    """Open the file of a shard, and check its rows, columns and types. Raises DatasetError, also while it is read."""
    file = shard_file(directory, shard)
    kind = "parquet" if file.suffix == ".parquet" else "arrow"
    try:
        with TableFile(file, inside=directory, kind=kind) as stored:
            if stored.num_rows != shard["rows"]:
                raise DatasetError(f"{file} has {stored.num_rows} rows; the manifest says {shard['rows']}; {RESTORE}")
            _check_schema(file, stored.schema, table, observations, truth and table == "transitions")
            yield file, stored
    except (OSError, InvalidTable) as error:
        raise DatasetError(f"{file} cannot be read: {reason(error)}; {RESTORE}") from None


def _check_schema(file: Path, schema: pa.Schema, table: str, observations: bool, truth: bool) -> None:
    """Raise DatasetError unless a file has the columns of the schema, in its order and with its types.

    truth  True if the table has the columns of the truth, which own states of the dynamics may follow
    """
    columns = (*columns_of(table, observations), *(TRUTH if truth else ()))
    names = [column.name for column in columns]
    states = [field for field in schema if truth and is_state(field)]
    if schema.names != [*names, *(field.name for field in states)]:
        found = printable(", ".join(schema.names))
        raise DatasetError(f"{file} has columns {found:.500}; expected those of {table}: {', '.join(names)}; {RESTORE}")
    for column in columns:
        kind = schema.field(column.name).type
        if column.type is OBSERVATION:
            fits = pa.types.is_fixed_size_list(kind) and kind.value_type == pa.float32()
        else:
            fits = kind == column.type
        if not fits:
            raise DatasetError(f"{file} has {column.name} of type {kind}; expected {column.type}; {RESTORE}")


def _check_columns(file: Path, table: str, content: pa.Table) -> None:
    """Raise DatasetError for invalid values of a table."""
    for column in stored_columns(table, content.schema):
        _check_column(file, column, content.column(column.name))


def _check_column(file: Path, column: Column, content: pa.ChunkedArray) -> None:
    """Raise DatasetError for nulls that the schema does not allow, and for unknown words."""
    if content.null_count and not column.nullable:
        raise DatasetError(f"{file} has {content.null_count} nulls in {column.name}; expected none; {RESTORE}")
    if column.type is OBSERVATION and any(chunk.flatten().null_count for chunk in content.chunks):
        raise DatasetError(f"{file} has nulls in the lists of {column.name}; expected none; {RESTORE}")
    if column.words:
        words = {word for chunk in content.chunks for word in chunk.dictionary.to_pylist()}
        if unknown := words - {*column.words}:
            found, known = min(map(repr, unknown)), ", ".join(column.words)
            raise DatasetError(f"{file} has {found:.50} in {column.name}; expected {known}; {RESTORE}")
