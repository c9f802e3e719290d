"""Sizes of the columns and pages of a Parquet file, from its footer and the header of each page.

The memory for a page is reserved by the size in its header, which the sizes in the footer need not match. Arrow's own
metadata of a column are not used: if the statistics of sizes in the footer are invalid, they end the process.

Both are structs in the compact protocol of Apache Thrift. Source: the file parquet.thrift of Apache Parquet, structs
FileMetaData and PageHeader.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import IO, Any, NamedTuple

MAGIC = b"PAR1"
"""End of a Parquet file, after the length of the footer in 4 bytes."""
GROUPS, COLUMNS, ABOUT = 4, 1, 3
"""Fields of the footer: the groups of rows, the columns of a group, and the metadata of a column."""
COLUMN = {5: "num_values", 6: "total_uncompressed_size", 7: "total_compressed_size", 9: "data_page_offset"}
"""Fields of the metadata of a column, which are never absent."""
DICTIONARY = 11
"""Field of the place of a dictionary, which may be absent."""
UNPACKED, PACKED = 2, 3
"""Fields of a page header: the sizes in bytes, unpacked and in the file."""
DATA_HEADERS, VALUES = (5, 8), 1
"""Fields of the headers of data pages, of version 1 and 2, and their field with the number of values."""
FIRST, LARGEST = 2**12, 2**24
"""Bytes that are read for a header at first, and at most; Arrow reads at most as many."""
MAX_LEVELS = 8
BOOLEANS, BYTE, INTEGERS, DOUBLE, BINARY, LISTS, MAP, STRUCT = (1, 2), 3, (4, 5, 6), 7, 8, (9, 10), 11, 12
"""Types of the compact protocol."""


class Column(NamedTuple):
    """The metadata of a column in a group of rows: sizes in bytes, and the places of its first pages."""

    num_values: int
    total_uncompressed_size: int
    total_compressed_size: int
    data_page_offset: int
    dictionary_page_offset: int | None


def columns_of(stream: IO[bytes]) -> Iterator[Column]:
    """Yield the metadata of each column of each group of rows. Raises ValueError for an invalid footer."""
    stream.seek(-8, io.SEEK_END)
    length, magic = struct.unpack("<I4s", stream.read(8))
    if magic != MAGIC:
        raise ValueError(f"it does not end with {MAGIC.decode()}")
    stream.seek(-8 - length, io.SEEK_END)
    footer = _Compact(stream.read(length)).struct(MAX_LEVELS)
    for group in _structs(footer, GROUPS):
        for column in _structs(group, COLUMNS):
            about = column[ABOUT]
            sizes = {name: about[field] for field, name in COLUMN.items()}
            yield Column(**sizes, dictionary_page_offset=about.get(DICTIONARY))


def _structs(fields: dict[int, Any], field: int) -> list[dict[int, Any]]:
    """Return a field that is a list of structs. Raises ValueError for a list of other values."""
    structs: list[Any] = fields.get(field, [])
    if not all(isinstance(value, dict) for value in structs):
        raise ValueError(f"field {field} of its footer is not a list of structs")
    return structs


def unpacked_bytes(stream: IO[bytes], column: Column) -> int:
    """Return the unpacked bytes of all pages of a column in a group of rows.

    stream  the open file

    Raises ValueError for invalid headers.
    """
    starts = [start for start in (column.data_page_offset, column.dictionary_page_offset) if start is not None]
    place = min(start for start in starts if start > 0 or start == starts[0])
    end, values, unpacked = place + column.total_compressed_size, 0, 0
    while place < end and values < column.num_values:
        header, size = _read_header(stream, place)
        if min(header.get(UNPACKED, -1), header.get(PACKED, -1)) < 0:
            raise ValueError(f"the page at byte {place:,} has no size")
        unpacked += header[UNPACKED]
        values += sum(header[field].get(VALUES, 0) for field in DATA_HEADERS if isinstance(header.get(field), dict))
        place += size + header[PACKED]
    return unpacked


def _read_header(stream: IO[bytes], place: int) -> tuple[dict[int, Any], int]:
    """Return the fields of the page header at a place of the file, and its length in bytes."""
    most = FIRST
    while True:
        stream.seek(place)
        reader = _Compact(content := stream.read(most))
        try:
            return reader.struct(MAX_LEVELS), reader.place
        except (IndexError, struct.error):
            if len(content) < most or most >= LARGEST:
                raise ValueError(f"the header of the page at byte {place:,} is not complete") from None
            most *= 16


class _Compact:
    """Reader of the compact protocol. Raises IndexError or struct.error at the end of the content."""

    def __init__(self, content: bytes) -> None:
        self.content, self.place = content, 0

    def struct(self, levels: int) -> dict[int, Any]:
        """Return the fields of a struct by number. Raises ValueError for structs within more than `levels` others."""
        if levels == 0:
            raise ValueError("its footer or the header of a page has too many structs within each other")
        fields: dict[int, Any] = {}
        number = 0
        while kind := (head := self._byte()) & 15:
            number = number + (head >> 4) if head >> 4 else self._integer()
            if number in fields:  # Arrow merges the values of such a field
                raise ValueError(f"its footer or the header of a page has field {number} twice")
            fields[number] = kind == BOOLEANS[0] if kind in BOOLEANS else self._value(kind, levels)
        return fields

    def _value(self, kind: int, levels: int) -> Any:
        """Return a value; None for texts and maps, which are skipped."""
        if kind in INTEGERS:
            return self._integer()
        if kind in (BYTE, *BOOLEANS):  # Booleans in lists and maps have a byte each
            return self._byte()
        if kind == STRUCT:
            return self.struct(levels - 1)
        if kind == DOUBLE:
            self._skip(8)
        elif kind == BINARY:
            self._skip(self._unsigned())
        elif kind in LISTS:
            head = self._byte()
            number = self._unsigned() if head >> 4 == 15 else head >> 4
            return [self._value(head & 15, levels - 1) for _ in range(number)]
        elif kind == MAP:
            if number := self._unsigned():
                kinds = self._byte()
                for _ in range(number):
                    self._value(kinds >> 4, levels - 1)
                    self._value(kinds & 15, levels - 1)
        else:
            raise ValueError(f"its footer or the header of a page has a value of the unknown type {kind}")
        return None

    def _byte(self) -> int:
        """Return the next byte."""
        self.place += 1
        return self.content[self.place - 1]

    def _skip(self, number: int) -> None:
        """Skip a number of bytes."""
        self.place += number
        if self.place > len(self.content):
            raise IndexError

    def _unsigned(self) -> int:
        """Return an integer of 7 bits per byte."""
        value = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise ValueError("its footer or the header of a page has a number of more than 64 bits")

    def _integer(self) -> int:
        """Return an integer with a sign, which is its last bit."""
        value = self._unsigned()
        return (value >> 1) ^ -(value & 1)
