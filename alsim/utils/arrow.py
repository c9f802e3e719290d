"""Arrow and Parquet files from outside: declared sizes are checked before, and all values after the memory is filled.

Neither Arrow nor Parquet checks on reading that offsets, lengths and indices stay within their buffers.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc
import pyarrow.parquet as pq

from alsim.types import Bools, Ints
from alsim.utils.parquet_pages import columns_of, unpacked_bytes
from alsim.utils.reading import FREE_BYTES, MAX_RATIO, open_file, reason

WIDEST = 8
"""Bytes of the widest number."""
PARQUET = (".parquet", ".pq")
"""Suffixes of Parquet files; all others are read as Arrow files."""
MAGIC = b"ARROW1"
CONTINUATION = -1
"""Number before the length of a message, since version 0.15 of the format."""
FEATHER_V1 = b"FEA1"
"""Start of a file in the version of Feather before 2020."""
DICTIONARY, RECORDS = 2, 3
"""Types of messages in an Arrow file."""


class InvalidTable(ValueError):
    """Error for a file that is not a complete Arrow or Parquet file, or declares too large contents."""


INVALID = (pa.ArrowException, ValueError, LookupError, TypeError, MemoryError, OverflowError, EOFError, struct.error)
"""Exceptions that an invalid file may cause."""


@contextmanager
def reading_table() -> Iterator[None]:
    """Convert all exceptions that an invalid Arrow or Parquet file causes to InvalidTable. OSError is not converted."""
    try:
        yield
    except InvalidTable:
        raise
    except INVALID as error:
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
        self._native: pa.NativeFile | None = None
        self.num_bytes = os.fstat(self._stream.fileno()).st_size
        is_parquet = (kind or ("parquet" if path.suffix.lower() in PARQUET else "arrow")) == "parquet"
        self._parquet: Any = None
        self._table: Any = None
        try:
            with reading_table():
                if is_parquet:
                    self._native = native_stream(self._stream, path)
                    self._parquet = _open_parquet(self._stream, self._native, self.num_bytes)
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
        if self._native is not None:
            self._native.close()
        self._stream.close()

    def head(self, rows: int, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the first rows of some columns, by default all. Raises InvalidTable."""
        with reading_table():
            if self._parquet is None:
                return self._checked(self._table.select(columns or self.names).slice(0, rows))
            schema = pa.schema([self.schema.field(name) for name in columns or self.names])
            parts = [schema.empty_table()]
            for batch in self._batches(rows, columns):
                parts.append(pa.Table.from_batches([batch]))
                if sum(map(len, parts)) >= rows:
                    break
            return self._checked(pa.concat_tables(parts).slice(0, rows))

    def _batches(self, rows: int, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
        """Yield batches of up to `rows` rows of a Parquet file."""
        for group in range(self._parquet.num_row_groups):
            yield from self._parquet.iter_batches(rows, [group], columns)

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return all rows of some columns, by default all, after a validation of every value. Raises InvalidTable."""
        with reading_table():
            table = self._read_parquet(columns) if self._parquet else self._table.select(columns or self.names)
            if table.num_rows != self.num_rows:
                raise InvalidTable(f"it has {table.num_rows:,} rows and declares {self.num_rows:,}")
            return self._checked(table)

    def parts(self) -> Iterator[pa.Table]:
        """Yield all rows, one group of rows after the other, after a validation of every value. Raises InvalidTable.

        Each group of a Parquet file is read when it is its turn, and can be released before the next one is read.
        """
        rows, groups = 0, self._groups()
        while True:
            with reading_table():
                if (table := next(groups, None)) is None:
                    break
                rows += table.num_rows
                table = self._checked(table)
            yield table
            del table  # or it would be in memory together with the next one
        if rows != self.num_rows:
            raise InvalidTable(f"it has {rows:,} rows and declares {self.num_rows:,}")

    def _groups(self) -> Iterator[pa.Table]:
        """Yield the groups of rows as tables, before a validation of their values."""
        if self._parquet:
            yield from (self._parquet.read_row_group(k) for k in range(self._parquet.num_row_groups))
        else:
            yield from (pa.Table.from_batches([batch]) for batch in self._table.to_batches())

    def _read_parquet(self, columns: Sequence[str] | None) -> pa.Table:
        """Return all rows. Arrow cannot read lists of dictionaries of several groups of rows at once."""
        groups = range(self._parquet.num_row_groups)
        if len(groups) < 2 or not any(pa.types.is_nested(kind) for kind in self.schema.types):
            return self._parquet.read(columns)
        return pa.concat_tables([self._parquet.read_row_group(group, columns) for group in groups])

    def _checked(self, table: pa.Table) -> pa.Table:
        """Return a table without invalid values. Raises InvalidTable if its texts, repeated, are too large."""
        table.validate(full=True)
        check_size(sum(_decoded_bytes(chunk) for column in table.columns for chunk in column.chunks), self.num_bytes)
        return table


def native_stream(stream: IO[bytes], path: Path) -> pa.NativeFile:
    """Return Arrow's own stream of an open file, from its start.

    stream  the open file
    path    its path, for systems that cannot open a file by its descriptor

    Give Arrow this one instead of a Python stream: its threads release what they read a little later than the reader
    returns, and a thread that releases a Python object while the interpreter ends aborts the process.
    """
    by_descriptor = f"/dev/fd/{stream.fileno()}"
    native = pa.OSFile(by_descriptor if os.path.exists(by_descriptor) else os.fspath(path))
    native.seek(0)  # on macOS, both streams have one position
    return native


def native_buffer(stream: io.BufferedIOBase, num_bytes: int) -> pa.Buffer:
    """Return the next bytes of a stream, up to `num_bytes`, in Arrow's own memory; see `native_stream`."""
    buffer = pa.allocate_buffer(num_bytes)
    view, filled = memoryview(buffer).cast("B"), 0
    while filled < num_bytes and (count := stream.readinto(view[filled:])):
        filled += count
    return buffer.slice(0, filled)


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


def _decoded_bytes(array: pa.Array) -> int:
    """Return the bytes of texts, each as often as it occurs, of an array that stores equal texts once; otherwise 0."""
    kind = array.type
    if pa.types.is_dictionary(kind) and _is_text(kind.value_type):
        lengths = pc.binary_length(array.dictionary).cast(pa.int64()).take(array.indices.drop_null())
        return int(pc.sum(lengths).as_py() or 0)
    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
        return int(_view_lengths(array).sum(dtype=np.int64))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _decoded_bytes(array.flatten()) if not pa.types.is_dictionary(kind.value_type) else 0
    return 0


def _view_lengths(array: pa.Array) -> Ints:
    """Return the lengths of texts in views of 16 bytes, which begin with the length; 0 for null."""
    if len(array) == 0:
        return np.empty(0, np.int32)
    views = np.frombuffer(array.buffers()[1], np.int32).reshape(-1, 4)
    valid: Bools = array.is_valid().to_numpy(zero_copy_only=False)
    return views[array.offset : array.offset + len(array), 0] * valid


# ── Parquet ──────────────────────────────────────────────────────────────────────────────────────


def _open_parquet(stream: IO[bytes], native: pa.NativeFile, num_bytes: int) -> pq.ParquetFile:
    """Return a Parquet file, after a check of the sizes that its columns and pages declare.

    stream, native  the open file, and Arrow's own stream of it
    """
    metadata = pq.read_metadata(native)
    rows, unpacked = metadata.num_rows, 0
    groups = [metadata.row_group(k) for k in range(metadata.num_row_groups)]
    if any(group.num_rows < 0 for group in groups) or sum(group.num_rows for group in groups) != rows:
        raise InvalidTable(f"its groups of rows do not sum to {rows:,} rows")
    check_size(rows * WIDEST * metadata.num_columns, num_bytes)
    for column in columns_of(stream):
        unpacked += max(column.total_uncompressed_size, unpacked_bytes(stream, column))
        check_size(unpacked, num_bytes)
    texts = [
        metadata.schema.column(k).path
        for k in range(metadata.num_columns)
        if metadata.schema.column(k).physical_type == "BYTE_ARRAY"
    ]
    return pq.ParquetFile(native, read_dictionary=texts, page_checksum_verification=True)


# ── Arrow ────────────────────────────────────────────────────────────────────────────────────────


def _read_arrow(stream: io.BufferedIOBase, num_bytes: int) -> pa.Table:
    """Return the table in an Arrow file, whose uncompressed buffers are not copied."""
    buffer, unpacked = native_buffer(stream, num_bytes), 0
    if buffer[: len(FEATHER_V1)] == FEATHER_V1:
        # Arrow believes the lengths in such a file, and reads past its end.
        raise InvalidTable("it is of version 1 of Feather; expected version 2, as pyarrow.feather.write_feather writes")
    if buffer[: len(MAGIC)] != MAGIC:
        raise InvalidTable("it is not an Arrow file: it does not begin with ARROW1")
    if buffer[-len(MAGIC) :] != MAGIC:
        raise InvalidTable("it is incomplete: it does not end with ARROW1")
    for block in _blocks(buffer):
        unpacked += _unpacked_bytes(_message(buffer, block))
        check_size(unpacked, num_bytes)
    with pa.ipc.open_file(pa.BufferReader(buffer)) as reader:
        return reader.read_all()


class _Block(NamedTuple):
    """The place of a message in an Arrow file: its offset, and the lengths of its metadata and its body, bytes."""

    offset: int
    metadata: int
    body: int


def _blocks(buffer: pa.Buffer) -> Iterator[_Block]:
    """Yield the places of all dictionaries and groups of rows, which the footer lists."""
    end = buffer.size - len(MAGIC) - 4
    length = struct.unpack_from("<i", buffer, end)[0]
    if not 0 < length <= end:
        raise InvalidTable(f"its footer declares {length:,} bytes")
    footer = _FlatTable.root(buffer[end - length : end].to_pybytes())
    for field in (2, 3):
        for block in footer.structs(field, "<qiiq"):
            yield _Block(block[0], block[1], block[3])


def _message(buffer: pa.Buffer, block: _Block) -> pa.ipc.Message:
    """Return the message at a place of a file. Raises InvalidTable if the message and its place differ."""
    offset, metadata, body = block
    if min(block) < 0 or offset + metadata + body > buffer.size:
        raise InvalidTable(f"it is incomplete: a group of rows ends after byte {buffer.size:,}")
    message = pa.ipc.read_message(pa.BufferReader(buffer.slice(offset, metadata + body)))
    start, length = struct.unpack("<ii", buffer.slice(offset, 8).to_pybytes())
    found = 8 + length if start == CONTINUATION else 4 + start
    if found != metadata or (0 if message.body is None else message.body.size) != body:
        raise InvalidTable("its footer and a group of rows declare different lengths")
    return message


def _unpacked_bytes(message: pa.ipc.Message) -> int:
    """Return the bytes that the arrays of a message need. Raises InvalidTable for lengths outside of the message.

    The layout is that of Message, RecordBatch and DictionaryBatch of the Arrow format, which are FlatBuffers.
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
    nodes = [length for length, _ in batch.structs(1, "<qq")]
    needed = WIDEST * max([batch.number(0, "<q"), *nodes])
    body, is_compressed = message.body, batch.table(3) is not None
    for offset, length in batch.structs(2, "<qq"):
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

    def structs(self, field: int, kind: str) -> Iterator[tuple[int, ...]]:
        """Yield the structs of a vector, each as a tuple of the numbers that `kind` describes."""
        position = self._find(field)
        if position is None:
            return
        start, size = position + self._read("<I", position), struct.calcsize(kind)
        for k in range(self._read("<I", start)):
            yield struct.unpack_from(kind, self._content, start + 4 + size * k)
