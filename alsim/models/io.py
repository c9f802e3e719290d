"""Output of result tables to CSV and Parquet files."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from alsim.models.base import ModelError
from alsim.utils.files import write_atomic

SUFFIXES = (".csv", ".parquet", ".pq")


def check_table(file: Path) -> None:
    """Raise ModelError unless the suffix of `file` is that of a table format."""
    if file.suffix.lower() not in SUFFIXES:
        raise ModelError(f"{file}: expected a file name that ends in {', '.join(SUFFIXES)}")


def write_table(columns: Mapping[str, Sequence[Any]], file: Path) -> None:
    """Write columns of equal length as CSV or Parquet, by the suffix of `file`.

    The write is atomic and replaces an existing file. Raises ModelError for another suffix.
    """
    check_table(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(file, _csv(columns) if file.suffix.lower() == ".csv" else _parquet(columns))


def _csv(columns: Mapping[str, Sequence[Any]]) -> bytes:
    """Return the columns as a CSV file with one header line."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue().encode()


def _parquet(columns: Mapping[str, Sequence[Any]]) -> bytes:
    """Return the columns as a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(dict(columns)), sink)
    return bytes(sink.getvalue().to_pybytes())
