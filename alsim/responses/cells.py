"""Conversion of the columns of a response log to codes and numbers, and the detection of missing and invalid cells."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alsim.errors import AlsimError
from alsim.responses.report import ResponsesError
from alsim.types import Bools, Codes, Doubles, Ints, Keys, Longs, f64, i8, i32, i64, u64
from alsim.utils.names import WHOLE_NUMBER, name_array, whole_name

if TYPE_CHECKING:
    import pyarrow as pa

Names = NDArray[np.str_]

MISSING_TEXTS = ("", "NA", "NaN", "nan", "null", "NULL")
"""Texts that mean a missing cell; case-sensitive."""

MISSING_ANSWERS = ("N/A", "n/a", "#N/A", ".")
"""Texts that also mean a missing answer in a wide table: of spreadsheets, and of SPSS and SAS. They may be names, and -
may mean a wrong answer."""

ANSWER = re.compile(r"(?:(0(?:\.0*)?|false)|1(?:\.0*)?|true)", re.IGNORECASE)
NUMBER = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"
DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{0,9})?)?)?"


MAX_WHOLE = 2.0**53
"""Number from which floats lack the precision of integers."""
SECONDS_PER_DAY = 86400
SAMPLE = 1000
"""Number of first rows by which a column is examined before all rows."""


class InvalidName(ResponsesError):
    """Exception for a name of a student, skill or item that is too long or ends with a null character."""


class Coded(NamedTuple):
    """A column of R names.

    codes  (R,) int32, indices into `names`; -1 for a missing name
    names  distinct names in order of first appearance
    """

    codes: Ints
    names: Names


class CodedLists(NamedTuple):
    """A column of R lists of names.

    codes  (X,) int32, indices into `names`: those of row r are codes[start[r]:start[r + 1]]
    start  (R + 1,) int64
    names  distinct names in order of first appearance
    """

    codes: Ints
    start: Longs
    names: Names


def places(start: Longs, sizes: Longs) -> Longs:
    """Return the concatenated ranges start[k], ..., start[k] + sizes[k] - 1."""
    if (sizes == 1).all():
        return start
    ends = np.cumsum(sizes)
    return np.repeat(start - (ends - sizes), sizes) + np.arange(ends[-1] if len(ends) else 0)


def starts(sizes: Any) -> Longs:
    """Return the start of each of the consecutive ranges of these sizes, and the end of the last."""
    return np.concatenate([np.zeros(1, i64), np.cumsum(sizes, dtype=i64)])


def lexsort(*keys: NDArray[Any]) -> Longs:
    """Return the indices that sort rows by several keys, the last key first; the sort is stable.

    The result is that of numpy.lexsort, in a quarter of the time: 16 bits are sorted at a time, by NumPy's radix sort.
    """
    sequence = np.arange(len(keys[0]))
    for key in keys:
        bits = _sortable(key)
        for shift in range(0, int(bits.max(initial=0)).bit_length(), 16):
            digit = (bits >> np.uint64(shift)).astype(np.uint16)[sequence]
            sequence = sequence[np.argsort(digit, kind="stable")]
    return sequence


def _sortable(key: NDArray[Any]) -> Keys:
    """Return unsigned integers that sort as the numbers of `key` do; the least is 0."""
    if key.dtype.kind == "f":
        # The bits of IEEE 754 numbers sort as integers once those of negative numbers are inverted; -0.0 becomes 0.0.
        bits = (key.astype(f64) + 0.0).view(i64)
        key = bits ^ ((bits >> 63) & np.iinfo(i64).max)
    low = key.min() if len(key) else 0
    return key.astype(u64) - np.array(low).astype(u64)  # modulo 2**64, as a difference may exceed int64


def collected(table: Any) -> Any:
    """Return a table; a lazy one of polars is computed."""
    return table.collect() if type(table).__name__ == "LazyFrame" else table


def as_arrow(values: Any, name: str = "a column") -> pa.ChunkedArray:
    """Return a column as an Arrow array. None, NaN and NaT become null; values of mixed types become texts.

    name  name of the column, for messages

    Raises ResponsesError for one value or a matrix instead of a column, and for bytes that are not in UTF-8.
    """
    import pyarrow as pa

    shape = getattr(values, "shape", (0,))
    if not hasattr(values, "__iter__") or len(shape) != 1:
        got = repr(values)[:100] if len(shape) < 2 else f"an array of shape {shape}"
        raise ResponsesError(f"{name}: expected one value per row; got {got}", "pass a list, or an array of one axis")
    if isinstance(values, pa.ChunkedArray):
        column = values
    else:
        column = pa.chunked_array([values if isinstance(values, pa.Array) else _convert(values)])
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if isinstance(column.type, pa.BaseExtensionType):  # such as UUIDs
        column = pa.chunked_array([[None if value is None else str(value) for value in column.to_pylist()]])
    is_bytes = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
    if any(kind(column.type) for kind in is_bytes):
        try:
            column = column.cast(pa.large_string())
        except pa.ArrowInvalid:
            raise ResponsesError(f"{name}: has bytes that are not in UTF-8", "decode them to texts") from None
    return column


def _convert(values: Any) -> pa.Array:
    """Convert a NumPy array, a sequence, or a series of pandas or polars; masked cells become null."""
    import pyarrow as pa
    import pyarrow.compute

    try:
        if isinstance(values, np.ndarray) and not values.flags.aligned:
            values = values.copy()  # a field of a packed structured array
        if isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind == "U":
            texts = _convert_texts(np.ma.getdata(values))
            masked = np.ma.getmask(values)
            return texts if masked is np.ma.nomask else pa.compute.if_else(pa.array(masked), None, texts)
        if str(getattr(values, "dtype", "")) == "Object":
            values = values.to_list()  # of polars, which would return addresses
        if hasattr(values, "to_arrow"):
            return values.to_arrow()  # of polars, whose lists and categories are no Python objects
        array = pa.array(values, from_pandas=True)
        return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return pa.array([None if _is_null(value) else _text(value) for value in values], pa.large_string())


def _text(value: Any) -> str:
    """Return a value as a text; an integer for a float without decimals, as in a column of floats."""
    if isinstance(value, float | np.floating) and float(value).is_integer() and abs(float(value)) < MAX_WHOLE:
        return str(int(value))
    return str(value)


def _convert_texts(values: Names) -> pa.Array:
    """Convert NumPy's strings.

    All strings have the same width, so equal strings have equal bytes. Decoding each distinct string only once takes a
    quarter of the time.
    """
    import pyarrow as pa

    native = np.ascontiguousarray(values, values.dtype.newbyteorder("="))
    width = native.dtype.itemsize
    raw = pa.Array.from_buffers(pa.binary(width), len(native), [None, pa.py_buffer(native)]).dictionary_encode()
    distinct = np.frombuffer(b"".join(raw.dictionary.to_pylist()), native.dtype)
    return pa.array(distinct.tolist(), pa.large_string()).take(raw.indices)


def _is_null(value: Any) -> bool:
    return value is None or (isinstance(value, float | np.floating) and bool(np.isnan(value)))


def is_text(column: pa.ChunkedArray) -> bool:
    """Return whether a column holds strings."""
    import pyarrow as pa

    return bool(pa.types.is_string(column.type) or pa.types.is_large_string(column.type))


def is_lists(column: pa.ChunkedArray) -> bool:
    """Return whether the cells of a column are lists."""
    import pyarrow as pa

    kinds = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(kind(column.type) for kind in kinds)


def encode(column: pa.ChunkedArray) -> Coded:
    """Return the codes of a column of names. A whole number is the same name as 10, 10.0 and "10.0"."""
    import pyarrow as pa
    import pyarrow.compute as pc

    codes, texts = _texts(column)
    absent = pc.is_in(texts, value_set=pa.array(MISSING_TEXTS, pa.large_string()))
    whole = pc.replace_substring_regex(texts, WHOLE_NUMBER, r"\1")
    rank, names = _dictionary(pa.chunked_array([pc.if_else(absent, None, whole)]))
    return Coded(np.append(rank, i32(-1))[codes], _names(names))


def _texts(column: pa.ChunkedArray) -> tuple[Ints, pa.Array]:
    """Return codes in order of first appearance, -1 for null, and the distinct values as texts without white space."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_floating(column.type):
        is_integer = pc.and_(pc.equal(column, pc.floor(column)), pc.less(pc.abs(column), MAX_WHOLE))
        column = column.cast(pa.int64()) if pc.all(is_integer, min_count=0).as_py() else column
    codes, values = _dictionary(column)
    return codes, pc.utf8_trim_whitespace(values.cast(pa.large_string()))


def _dictionary(column: pa.ChunkedArray) -> tuple[Ints, pa.Array]:
    """Return codes in order of first appearance, -1 for null, and the distinct values."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_null(column.type):
        column = column.cast(pa.large_string())
    encoded = column.dictionary_encode().unify_dictionaries()
    if encoded.num_chunks == 0:
        return np.empty(0, i32), pa.array([], column.type)
    codes = [pc.fill_null(chunk.indices, -1).to_numpy(zero_copy_only=False) for chunk in encoded.chunks]
    return np.concatenate(codes).astype(i32, copy=False), encoded.chunk(encoded.num_chunks - 1).dictionary


def _names(values: pa.Array) -> Names:
    return _name_array(values.to_pylist())


def _name_array(names: list[str]) -> Names:
    """Return names as an array. Raises InvalidName for an invalid one."""
    try:
        return name_array(names)
    except AlsimError as error:
        raise InvalidName(str(error)) from None


def compact(codes: Ints, names: Names) -> tuple[Ints, Names]:
    """Remove unused names, and number the others in order of first appearance; return codes and names."""
    import pyarrow as pa

    ranks, kept = _dictionary(pa.chunked_array([pa.array(codes)]))
    return ranks, names[kept.to_numpy()]


def encode_lists(column: pa.ChunkedArray, separator: str | None) -> CodedLists:
    """Return the codes of a column of lists, or of texts with a separator; a name repeated in a row counts once."""
    if is_lists(column):
        return _encode_lists(column)
    rows, texts = _texts(column)
    index: dict[str, int] = {}
    codes: list[int] = []
    sizes: list[int] = []
    for text in texts.to_pylist():
        parts = text.split(separator) if separator else [text]
        names = dict.fromkeys(whole_name(part) for part in map(str.strip, parts) if part not in MISSING_TEXTS)
        codes.extend(index.setdefault(name, len(index)) for name in names)
        sizes.append(len(names))
    row_sizes = np.array([*sizes, 0], i64)[rows]
    chosen = places(np.append(starts(sizes)[:-1], 0)[rows], row_sizes)
    return CodedLists(np.array(codes, i32)[chosen], starts(row_sizes), _name_array(list(index)))


def _encode_lists(column: pa.ChunkedArray) -> CodedLists:
    """Return the codes of a column of lists of names."""
    import pyarrow as pa
    import pyarrow.compute as pc

    sizes = pc.fill_null(pc.list_value_length(column), 0).to_numpy().astype(i64)
    values = pc.list_flatten(column)
    flat = encode(values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([values]))
    row = np.repeat(np.arange(len(sizes)), sizes)
    # The first occurrence of a name in its row, in the order of the column.
    _, first = np.unique(row * (len(flat.names) + 1) + flat.codes + 1, return_index=True)
    kept = np.sort(first[flat.codes[first] >= 0])
    return CodedLists(flat.codes[kept], starts(np.bincount(row[kept], minlength=len(sizes))), flat.names)


def parse_answers(column: pa.ChunkedArray) -> Codes:
    """Return (R,) 0 or 1 for each answer of a column, -1 for other cells."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if is_text(column):
        codes, texts = _dictionary(column)
        matches = [ANSWER.fullmatch((text or "").strip()) for text in texts.to_pylist()]
        answers = [-1 if match is None else int(match[1] is None) for match in matches]
        return np.array([*answers, -1], i8)[codes]
    if pa.types.is_boolean(column.type):
        return np.array(pc.fill_null(column.cast(pa.int8()), -1).to_numpy(), i8)
    if not _is_number(column):
        return np.full(len(column), -1, i8)
    values = parse_numbers(column)
    return np.where(values == 1, 1, np.where(values == 0, 0, -1)).astype(i8)


def holds_answers(column: pa.ChunkedArray) -> bool:
    """Return whether a column has answers, and no other cells except missing ones."""
    answers = parse_answers(column) >= 0
    return bool(answers.any() and (answers | is_missing(column, ())).all())


def is_missing(column: pa.ChunkedArray, values: Iterable[Any]) -> Bools:
    """Return which cells are null, one of MISSING_TEXTS, or one of `values`, as numbers or as texts: 9 is 9.0, too."""
    import pyarrow.compute as pc

    if is_text(column):
        codes, texts = _dictionary(column)
        absent = missing_texts(values)
        return np.array([*(whole_name(text.strip()) in absent for text in texts.to_pylist()), True])[codes]
    null = np.asarray(pc.is_null(column, nan_is_null=True), np.bool_)
    return null | np.isin(parse_numbers(column), list(_floats(values))) if _is_number(column) else null


def missing_values(values: Iterable[Any]) -> tuple[Any, ...]:
    """Return the argument `missing`. Raises ResponsesError for one value, since "-1" would be the values - and 1."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise ResponsesError(f"missing must be a list of values; got {values!r:.100}", "pass {}", missing=[values])
    return tuple(values)


def missing_texts(values: Iterable[Any]) -> set[str]:
    """Return the texts that mean a missing cell: MISSING_TEXTS and `values`, whole numbers without decimals."""
    return {*MISSING_TEXTS, *(whole_name(str(value).strip()) for value in values)}


def _floats(values: Iterable[Any]) -> Iterator[float]:
    """Yield the values that are numbers."""
    for value in values:
        with suppress(TypeError, ValueError):
            yield float(value)


def parse_numbers(column: pa.ChunkedArray) -> Doubles:
    """Return (R,) the numbers of a column; NaN for other cells."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if is_text(column):
        texts = pc.utf8_trim_whitespace(column)
        column = pc.if_else(pc.match_substring_regex(texts, NUMBER), texts, None)
    elif not _is_number(column):
        return np.full(len(column), np.nan)
    return np.asarray(pc.fill_null(column.cast(pa.float64(), safe=False), np.nan), f64)


def _is_number(column: pa.ChunkedArray) -> bool:
    import pyarrow as pa

    kinds = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    return any(kind(column.type) for kind in kinds)


def parse_order(column: pa.ChunkedArray) -> tuple[NDArray[Any], Bools]:
    """Return (R,) numbers that sort as the numbers or times of a column do, and (R,) which cells are invalid.

    Texts are read as numbers if most of them are numbers, and otherwise as dates or times in ISO 8601.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if is_text(column):
        column = _parse_texts(column)
    if pa.types.is_temporal(column.type):
        column = column.cast(pa.int32() if pa.types.is_date32(column.type) else pa.int64())
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64(), safe=False)
    if not _is_number(column):
        return np.zeros(len(column), i64), np.ones(len(column), np.bool_)
    invalid = pc.is_null(column, nan_is_null=True).to_numpy()
    return pc.fill_null(column, 0).to_numpy(), invalid


def parse_times(column: pa.ChunkedArray) -> Doubles:
    """Return (R,) the times of a column in seconds; NaN for other cells.

    A date or time becomes the seconds since 1970-01-01 00:00 UTC, in which zone it is if it names no other. A number
    stays as it is.
    """
    import pyarrow as pa

    if is_text(column):
        column = _parse_texts(column)
    if not pa.types.is_temporal(column.type):
        return parse_numbers(column)
    try:
        times = column.cast(pa.timestamp("us", getattr(column.type, "tz", None)), safe=False)
    except pa.ArrowException:  # a time of day
        return np.full(len(column), np.nan)
    return parse_numbers(times.cast(pa.int64())) / 1e6


def are_times(column: pa.ChunkedArray) -> bool:
    """Return whether a column has dates or times, and not plain numbers."""
    import pyarrow as pa

    return bool(pa.types.is_temporal((_parse_texts(column) if is_text(column) else column).type))


def are_dates(column: pa.ChunkedArray) -> bool:
    """Return whether a column has dates without a time of the day, or with midnight only."""
    import pyarrow as pa

    for part in (column[:SAMPLE], column):  # a few rows exclude most columns, in little time
        parsed = _parse_texts(part) if is_text(part) else part
        times = parse_times(parsed) if pa.types.is_temporal(parsed.type) else np.empty(0)
        times = times[np.isfinite(times)]
        if not len(times) or (times % SECONDS_PER_DAY).any():
            return False
    return True


def parse_durations(column: pa.ChunkedArray) -> Doubles:
    """Return (R,) the durations of a column in seconds; NaN for other cells. A number stays as it is."""
    import pyarrow as pa

    if pa.types.is_duration(column.type):
        return parse_numbers(column.cast(pa.duration("us"), safe=False).cast(pa.int64())) / 1e6
    return parse_numbers(column)


def parse_counts(column: pa.ChunkedArray) -> Ints:
    """Return (R,) the counts of a column; -1 for a cell that is not an integer from 0 to 2^31 - 1."""
    numbers = parse_numbers(column)
    valid = (numbers >= 0) & (numbers < 2.0**31) & (numbers == np.floor(numbers))
    return np.where(valid, numbers, -1).astype(i32)


def match(names: Names, known: Names) -> Ints:
    """Return the index (M,) of each of the names (M,) in `known`; -1 for an unknown name.

    Names of one whole number, such as 10 and 10.0, are the same.
    """
    index = {name: code for code, name in enumerate(known.tolist())}
    codes = np.array([index.get(name, -1) for name in names.tolist()], i32)
    unknown = np.flatnonzero(codes < 0).tolist()
    if unknown:
        whole: dict[str, int] = {}
        for name, code in index.items():
            whole.setdefault(whole_name(name), code)
        codes[unknown] = [whole.get(whole_name(str(names[k])), -1) for k in unknown]
    return codes


def _parse_texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return texts as numbers or as times, whichever most of them are; null for the others."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = pc.utf8_trim_whitespace(column)
    numeric, dated = pc.match_substring_regex(texts, NUMBER), pc.match_substring_regex(texts, DATE)
    if (pc.sum(numeric).as_py() or 0) >= (pc.sum(dated).as_py() or 0):
        numbers = pc.if_else(numeric, texts, None)
        try:
            return numbers.cast(pa.int64())
        except pa.ArrowInvalid:
            return numbers.cast(pa.float64())
    times = pc.if_else(dated, texts, None)
    zoned = pc.match_substring_regex(texts, r"[0-9](?:Z|[+-][0-9]{2}:?[0-9]{2})$")
    most_zoned = (pc.sum(pc.and_(zoned, dated)).as_py() or 0) * 2 > pc.sum(dated).as_py()
    nanoseconds = pc.any(pc.match_substring_regex(times, r"\.[0-9]{7}")).as_py()
    kind = pa.timestamp("ns" if nanoseconds else "us", "UTC" if most_zoned else None)
    return pa.chunked_array([_cast(chunk, kind) for chunk in times.chunks], kind)


def _cast(texts: pa.Array, kind: pa.DataType) -> pa.Array:
    """Cast texts; invalid ones become null. An array with an invalid text is split in half, and each half is cast."""
    import pyarrow as pa

    try:
        return texts.cast(kind)
    except pa.ArrowInvalid:
        if len(texts) == 1:
            return pa.nulls(1, kind)
        middle = len(texts) // 2
        return pa.concat_arrays([_cast(texts[:middle], kind), _cast(texts[middle:], kind)])
