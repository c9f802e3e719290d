"""Arrow and Parquet files from outside: declared sizes are checked before, and all values after the memory is filled.

Neither Arrow nor Parquet checks on reading that offsets, lengths and indices stay within their buffers.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet as pq

from alsim.utils.reading import MIB, open_file, reason

MAX_RATIO, FREE_BYTES = 1000, 256 * MIB
"""A file may declare contents of MAX_RATIO times its own size; less than FREE_BYTES are always allowed."""
WIDEST = 8
"""Bytes of the widest number."""
PARQUET = (".parquet", ".pq")
"""Suffixes of Parquet files; all others are read as Arrow files."""
MAGIC = b"ARROW1\0\0"
FEATHER_V1 = b"FEA1"
DICTIONARY, RECORDS = 2, 3
"""Types of messages in an Arrow file."""


class InvalidTable(ValueError):
    """Error for a file that is not a complete Arrow or Parquet file, or declares too large contents."""


@contextmanager
def reading_table() -> Iterator[None]:
    """Convert all exceptions that an invalid Arrow or Parquet file causes to InvalidTable. OSError is not converted."""
    try:
        yield
    except InvalidTable:
        raise
    except (pa.ArrowException, ValueError, LookupError, TypeError, MemoryError, OverflowError, struct.error) as error:
        raise InvalidTable(reason(error)) from None
    except OSError as error:
        if error.errno is not None or type(error) is not OSError:
            raise
        raise InvalidTable(reason(error)) from None  # Arrow's own, about damaged content


class TableFile:
    """An open Arrow or Parquet file. Use it as a context manager.

    path    the file
    inside  see `alsim.utils.reading.open_file`
    kind    "parquet" or "arrow"; by default, the suffix decides

    Columns of text are read as dictionaries, so that a text that is repeated is in memory once. Raises OSError, and
    InvalidTable for invalid content.
    """

    def __init__(self, path: Path, *, inside: Path | None = None, kind: str | None = None) -> None:
        self._stream = open_file(path, inside=inside)
        self.num_bytes = os.fstat(self._stream.fileno()).st_size
        is_parquet = (kind or ("parquet" if path.suffix.lower() in PARQUET else "arrow")) == "parquet"
        self._parquet: Any = None
        self._table: Any = None
        try:
            with reading_table():
                if is_parquet:
                    self._parquet = _open_parquet(self._stream, self.num_bytes)
                    self.schema, self.num_rows = self._parquet.schema_arrow, int(self._parquet.metadata.num_rows)
                else:
                    self._table = _read_arrow(self._stream, self.num_bytes)
                    self.schema, self.num_rows = self._table.schema, int(self._table.num_rows)
                self.names: list[str] = self.schema.names
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> TableFile:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Tables that were read remain valid."""
        self._stream.close()

    def head(self, rows: int, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the first rows of some columns, by default all. Raises InvalidTable."""
        with reading_table():
            if self._parquet is None:
                return self._checked(self._table.select(columns or self.names).slice(0, rows))
            batches = self._parquet.iter_batches(batch_size=rows, columns=columns)
            first = next(batches, None)
            schema = pa.schema([self.schema.field(name) for name in columns or self.names])
            return self._checked(schema.empty_table() if first is None else pa.Table.from_batches([first]))

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return all rows of some columns, by default all, after a validation of every value. Raises InvalidTable."""
        with reading_table():
            table = self._parquet.read(columns) if self._parquet else self._table.select(columns or self.names)
            if table.num_rows != self.num_rows:
                raise InvalidTable(f"it has {table.num_rows:,} rows and declares {self.num_rows:,}")
            return self._checked(table)

    def _checked(self, table: pa.Table) -> pa.Table:
        """Return a table without invalid values. Raises InvalidTable if its texts, repeated, are too large."""
        table.validate(full=True)
        repeated = 0
        for column in table.columns:
            if pa.types.is_dictionary(column.type) and _is_text(column.type.value_type):
                repeated += sum(_decoded_bytes(chunk) for chunk in column.chunks)
        check_size(repeated, self.num_bytes)
        return table


def check_size(declared: int, num_bytes: int) -> None:
    """Raise InvalidTable if contents of `declared` bytes are too large for a file of `num_bytes` bytes."""
    if not 0 <= declared <= max(FREE_BYTES, MAX_RATIO * num_bytes):
        raise InvalidTable(
            f"it has {num_bytes:,} bytes and declares contents of {declared:,} bytes, more than {MAX_RATIO:,} times "
            "its size"
        )


def decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column of texts that was read as a dictionary with the type of its texts; another column unchanged."""
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _is_text(kind: pa.DataType) -> bool:
    """Return whether values of a type have any length."""
    kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return any(is_kind(kind) for is_kind in kinds)


def _decoded_bytes(chunk: pa.DictionaryArray) -> int:
    """Return the bytes of all texts of an array, each as often as it occurs."""
    lengths = pc.binary_length(chunk.dictionary).cast(pa.int64()).take(chunk.indices.drop_null())
    return int(pc.sum(lengths).as_py() or 0)


# ── Parquet ──────────────────────────────────────────────────────────────────────────────────────


def _open_parquet(stream: IO[bytes], num_bytes: int) -> pq.ParquetFile:
    """Return a Parquet file, after a check of the sizes that its columns declare."""
    metadata = pq.read_metadata(stream)
    rows, unpacked = metadata.num_rows, 0
    groups = [metadata.row_group(k) for k in range(metadata.num_row_groups)]
    if any(group.num_rows < 0 for group in groups) or sum(group.num_rows for group in groups) != rows:
        raise InvalidTable(f"its groups of rows do not sum to {rows:,} rows")
    for group in groups:
        sizes = [group.column(k).total_uncompressed_size for k in range(group.num_columns)]
        unpacked += sum(size if size >= 0 else num_bytes * MAX_RATIO + FREE_BYTES for size in sizes)
    check_size(unpacked, num_bytes)
    check_size(rows * WIDEST * metadata.num_columns, num_bytes)
    texts = [
        metadata.schema.column(k).path
        for k in range(metadata.num_columns)
        if metadata.schema.column(k).physical_type == "BYTE_ARRAY"
    ]
    stream.seek(0)
    return pq.ParquetFile(stream, read_dictionary=texts, page_checksum_verification=True)


# ── Arrow ────────────────────────────────────────────────────────────────────────────────────────


def _read_arrow(stream: IO[bytes], num_bytes: int) -> pa.Table:
    """Return the table in an Arrow file, whose uncompressed buffers are not copied."""
    content = stream.read(num_bytes)
    if content.startswith(FEATHER_V1):  # written before 2020; not compressed
        return pyarrow.feather.read_table(pa.BufferReader(content))
    if not content.startswith(MAGIC):
        raise InvalidTable("it is not an Arrow file: it does not begin with ARROW1")
    if not content.endswith(MAGIC.rstrip(b"\0")):
        raise InvalidTable("it is incomplete: it does not end with ARROW1")
    # The messages from the start, not those that the footer names: those that are checked are those that are read.
    stored = pa.py_buffer(content).slice(len(MAGIC))
    _check_messages(stored, num_bytes)
    with pa.ipc.open_stream(pa.BufferReader(stored)) as reader:
        return reader.read_all()


def _check_messages(stored: pa.Buffer, num_bytes: int) -> None:
    """Raise InvalidTable if the messages of an Arrow file declare contents that are too large."""
    unpacked = 0
    reader = pa.ipc.MessageReader.open_stream(pa.BufferReader(stored))
    while True:
        try:
            message = reader.read_next_message()
        except StopIteration:
            return
        unpacked += _unpacked_bytes(message)
        check_size(unpacked, num_bytes)


def _unpacked_bytes(message: pa.ipc.Message) -> int:
    """Return the bytes that the arrays of a message need. Raises InvalidTable for lengths outside of the message.

    The layout is that of the tables Message, RecordBatch and DictionaryBatch of the Arrow format, as FlatBuffers.
    """
    root = _FlatTable.root(message.metadata.to_pybytes())
    kind, batch = root.number(1, "<B"), root.table(2)
    if kind == DICTIONARY:
        if batch is not None and batch.number(2, "<?"):
            raise InvalidTable("it has a dictionary in several parts; write it again as one table")
        batch = batch.table(1) if batch is not None else None
    elif kind != RECORDS:
        return 0
    if batch is None:
        raise InvalidTable("a message of the file has no contents")
    nodes = [length for length, _ in batch.pairs(1)]
    needed = WIDEST * max([batch.number(0, "<q"), *nodes])
    body, is_compressed = message.body, batch.table(3) is not None
    for offset, length in batch.pairs(2):
        if offset < 0 or length < 0 or offset + length > body.size:
            raise InvalidTable(f"a column ends at byte {offset + length:,} of {body.size:,}")
        if is_compressed and length >= 8:
            needed += max(length, struct.unpack("<q", body.slice(offset, 8).to_pybytes())[0])
    return needed


class _FlatTable:
    """A table of FlatBuffers, the encoding of Arrow's metadata."""

    def __init__(self, content: bytes, position: int) -> None:
        self._content, self._position = content, position
        self._fields = position - self._read("<i", position)

    @classmethod
    def root(cls, content: bytes) -> _FlatTable:
        """Return the outermost table."""
        return cls(content, struct.unpack_from("<I", content)[0])

    def _read(self, kind: str, position: int) -> int:
        """Return a number of the content."""
        return int(struct.unpack_from(kind, self._content, position)[0])

    def _find(self, field: int) -> int | None:
        """Return the position of a field, None if it is absent."""
        place = 4 + 2 * field
        if place >= self._read("<H", self._fields):
            return None
        offset = self._read("<H", self._fields + place)
        return self._position + offset if offset else None

    def number(self, field: int, kind: str) -> int:
        """Return a number, by default 0."""
        position = self._find(field)
        return 0 if position is None else self._read(kind, position)

    def table(self, field: int) -> _FlatTable | None:
        """Return a table within this one, None if it is absent."""
        position = self._find(field)
        return None if position is None else _FlatTable(self._content, position + self._read("<I", position))

    def pairs(self, field: int) -> list[tuple[int, int]]:
        """Return a vector of pairs of 64-bit integers, by default empty."""
        position = self._find(field)
        if position is None:
            return []
        start = position + self._read("<I", position)
        number = self._read("<I", start)
        if number > len(self._content) // 16:
            raise InvalidTable(f"its metadata declare {number:,} columns")
        numbers = struct.unpack_from(f"<{2 * number}q", self._content, start + 4)
        return list(zip(numbers[::2], numbers[1::2], strict=True))
