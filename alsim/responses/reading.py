"""Response logs from files: long tables, wide matrices, and three lines per student."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from alsim.errors import did_you_mean
from alsim.responses import cells
from alsim.responses.applicable import KINDS, Arguments
from alsim.responses.building import build
from alsim.responses.compressed import ROW_BYTES, decompressed
from alsim.responses.fields import LogFields
from alsim.responses.formats.base import FORMATS, Format, PublishedName, Request
from alsim.responses.formats.registry import (
    PUBLISHED,
    default_duplicates,
    note_published,
    read_published,
    reads_directory,
    recognise_directory,
)
from alsim.responses.layout import (
    WIDE_COLUMNS,
    Head,
    check_cells,
    check_header,
    is_three_line,
    known_names,
    long_or_wide,
    numbered,
    read_head,
)
from alsim.responses.log import Responses
from alsim.responses.matrices import (
    INVALID,
    MAX_SAMPLE,
    Wide,
    build_from_wide,
    check_frequencies,
    check_totals,
    matrix_codes,
    warn_of_frequencies,
)
from alsim.responses.names import covariates, frequencies, row_labels
from alsim.responses.report import Duplicates, ResponsesError
from alsim.responses.source import Options, Source
from alsim.responses.tables import SAMPLE, checked_mapping, list_columns, log_recognised, map_columns, similar_names
from alsim.responses.text import (
    Table,
    TextFile,
    check_text,
    detect_encoding,
    read_columns,
    with_delimiter,
    without_separator_line,
)
from alsim.responses.three_lines import read_three_lines
from alsim.types import i8
from alsim.utils.reading import missing_file_cure, reason

if TYPE_CHECKING:
    import pyarrow as pa

    from alsim.utils.arrow import TableFile

Columns = Mapping[str, str | None] | None
PARQUET, ARROW = (".parquet", ".pq"), (".arrow", ".feather", ".ipc")
CELL_BYTES = 16
"""Memory that a cell of a wide table needs at least while it is read, bytes."""
MISSING = ("-1",)
"""Default values of a wide file that mean no response, in addition to `MISSING_TEXTS` and `MISSING_ANSWERS`."""
NO_RESPONSE = "no response"
"""Reason to skip a row of a long file."""


def read_responses(
    path: str | Path,
    *,
    format: Format | PublishedName | None = None,
    columns: Columns = None,
    key: str | Path | None = None,
    delimiter: str | None = None,
    encoding: str | None = None,
    separator: str | None = "~~",
    missing: Iterable[Any] | None = None,
    duplicates: Duplicates | None = None,
    skip_bad: bool = False,
    skip_lines: int = 0,
    header: bool | None = None,
    quoting: bool = True,
) -> Responses:
    """Read a response log from a text file, or from Parquet (.parquet, .pq) or Arrow (.arrow, .feather, .ipc).

    path        file; for "ednet-kt1", the directory with one file per student
    format      "long": one row per response, with the columns of `Responses.from_table`. "wide": one row per student
                and one column per item, with or without a header; a column `freq` is the number of students that a
                row stands for, a column `student` is their name. "three-line": three lines per student, as DKVMN uses:
                the number of responses, the skills, and the answers, separated by commas. Or the name of a published
                log, such as "assistments-2009", which is read by its conventions. Default: detected from the first
                lines, as one of the first three
    columns     mapping from alsim's names (student, skill, item, correct, order or timestamp, response) to the file's
                names. Columns that are not mapped are recognised as `Responses.from_table` does. For a wide file: a
                mapping of student and freq, and None for each column that is not an item, by its name in the file.
                For a published log: a mapping of skill and item
    key         file that some published logs need: the answer key of "ednet-kt1", the labels of "duolingo-slam"
    delimiter   delimiter of a text file. Default: tab, comma, semicolon or bar, detected from the header
    encoding    encoding of a text file. Default: the encoding of the byte order mark, or else UTF-8
    separator   separator between the skills of one response in a text; None for no separator. A published log has its
                own, unless this argument is another one
    missing     values that mean no response. In a wide file, they add to empty cells, NA, NaN, null, N/A, #N/A and
                points; default: -1. Rows of a long file with one of them as the answer are skipped and counted in
                `report`; default: none
    duplicates  see `Responses.from_arrays`. Default: "keep"; "merge" for "assistments-2009"
    skip_bad    skip invalid rows, or cells of a wide file, and count them in `report`
    skip_lines  number of lines above the names of the columns, such as a title. Excel's line sep=; needs none
    header      whether the first line of a table has the names of the columns; without them, the names are the numbers
                of the columns, from 0. Default: detected for a wide file, True for a long one
    quoting     False if quotes in a text file are characters like others

    A text file may be compressed by gzip, or be the only file of a zip archive.

    Raises ResponsesError, which names the file, line, column and value, for invalid values (see
    `Responses.from_arrays`), for a row with more or fewer cells than columns, and for a file that is empty, unreadable
    or in another format.
    """
    path = Path(path)
    _check_format(format, key)
    arguments = Arguments(
        columns=checked_mapping(columns),
        key=None if key is None else Path(key),
        delimiter=delimiter,
        encoding=encoding,
        separator=separator,
        missing=None if missing is None else cells.missing_values(missing),
        duplicates=duplicates,
        skip_bad=skip_bad,
        skip_lines=skip_lines,
        header=header,
        quoting=quoting,
    )
    if path.is_dir() and not reads_directory(format):
        if (published := recognise_directory(path)) is not None:
            problem = f"{path}: is a directory with the files of {published.title}"
            raise ResponsesError(problem, "name its format with {}", format=published.name)
        raise ResponsesError(f"{path} is a directory; expected a file", "use Responses.from_dataset for a dataset")
    with reading_file(path):
        if format is not None and format not in FORMATS:
            if is_binary(path):
                problem = f"{path}: the published format {format} is for text files"
                raise ResponsesError(problem, "read it as a table with {}", format="long")
            fields = _read_published(path, format, arguments)
        elif is_binary(path):
            fields = _read_binary(path, format, arguments)
        else:
            if type(skip_lines) is not int or skip_lines < 0:
                raise ResponsesError(f"skip_lines must be an integer of at least 0; got {skip_lines!r}", "pass 1, say")
            with decompressed(path) as data:
                check_text(path, encoding, data)
                if format is None:
                    note_published(path, encoding, data)
                file = TextFile(
                    path, encoding or detect_encoding(data or path), delimiter, skip_lines, quoting=quoting, data=data
                )
                fields = _read_text(without_separator_line(file), format, arguments)
    log_recognised(str(path), fields.report)
    return Responses(**fields._asdict())


def is_binary(path: Path) -> bool:
    """Return whether a log is a Parquet or Arrow file, by its suffix."""
    return path.suffix.lower() in (*PARQUET, *ARROW)


def _check_format(format: str | None, key: str | Path | None) -> None:
    """Raise ResponsesError for an unknown format, and for a key of a format that has none."""
    known = (*FORMATS, *PUBLISHED)
    if format is not None and format not in known:
        problem = f"the format of a response log must be one of {', '.join(known)}; got {format!r}"
        raise ResponsesError(problem, did_you_mean(str(format), known).removeprefix("; ") or "pass one of them")
    if key is not None and (format is None or format not in PUBLISHED or "key" not in PUBLISHED[format].arguments):
        users = " and ".join(name for name, published in PUBLISHED.items() if "key" in published.arguments)
        got = "no format" if format is None else f"the format {format}"
        raise ResponsesError(
            f"key is for the formats {users} only; got {got}", "remove it, or name one of these formats"
        )


def _read_published(path: Path, format: str, arguments: Arguments) -> LogFields:
    """Read a log in a published format."""
    arguments.check(path, PUBLISHED[format].kind)
    with nullcontext() if path.is_dir() else decompressed(path) as data:
        request = Request(
            path=path,
            columns=arguments.columns,
            delimiter=arguments.delimiter,
            encoding=arguments.encoding,
            separator=arguments.separator,
            key=arguments.key,
            duplicates=arguments.duplicates or default_duplicates(format),
            skip_bad=arguments.skip_bad,
            quoting=arguments.quoting,
            data=data,
        )
        return read_published(format, request)


def _options(arguments: Arguments) -> Options:
    """Return the options for building a log."""
    return Options(arguments.separator, arguments.duplicates or "keep", arguments.skip_bad)


@contextmanager
def reading_file(path: Path) -> Iterator[None]:
    """Convert the exceptions of reading a file to ResponsesError."""
    import pyarrow as pa

    from alsim.utils.arrow import InvalidTable

    try:
        yield
    except FileNotFoundError as error:
        path = Path(error.filename or path)  # the log or its key
        raise ResponsesError(f"{path}: there is no such file", missing_file_cure(path)) from None
    except OSError as error:
        raise ResponsesError(f"{path}: cannot be read: {reason(error)}", "choose a readable file") from None
    except UnicodeError as error:
        encoding = getattr(error, "encoding", "the expected encoding").replace("utf-8", "UTF-8")
        raise ResponsesError(
            f"{path}: is not in {encoding}", "pass its encoding, such as {}", encoding="latin-1"
        ) from None
    except MemoryError:
        cure = "split it by students, or write only the columns of the log to a Parquet file"
        raise ResponsesError(f"{path}: does not fit into memory", cure) from None
    except cells.InvalidName as error:
        raise ResponsesError(f"{path}: {error}") from None
    except InvalidTable as error:
        raise ResponsesError(f"{path}: is not a valid table: {error}", "write it again") from None
    except LookupError as error:  # an unknown encoding
        raise ResponsesError(f"{path}: {error}", "pass a known one, such as {}", encoding="latin-1") from None
    except csv.Error as error:
        raise ResponsesError(f"{path}: is not a valid table: {error}", "close its quotes") from None
    except pa.ArrowException as error:
        if "UTF8" in str(error):
            raise ResponsesError(
                f"{path}: is not in UTF-8", "pass its encoding, such as {}", encoding="latin-1"
            ) from None
        raise ResponsesError(f"{path}: is not a valid table: {error}", "write it again") from None


# ── text ─────────────────────────────────────────────────────────────────────────────────────────


def _read_text(file: TextFile, format: Format | None, arguments: Arguments) -> LogFields:
    """Read a log from a text file."""
    columns, header, options = arguments.columns, arguments.header, _options(arguments)
    missing = MISSING if arguments.missing is None else arguments.missing
    if format is None and is_three_line(file):
        format = "three-line"
    if format == "three-line":
        arguments.check(file.path, KINDS[format])
        return read_three_lines(file, options)
    file = with_delimiter(file, known_names(columns))
    check_cells(file)
    head = read_head(file, columns, missing, header)
    format = format or long_or_wide(head, columns, missing, str(file.path))
    arguments.check(file.path, KINDS[format])
    if format == "wide":
        return _read_wide_text(file, head.has_header, columns, missing, options)
    names_of_file = file.first_cells()
    if header is None:
        check_header(head, columns, missing, str(file.path))
    num_headers = int(header is not False)
    if not num_headers:
        names_of_file = numbered(names_of_file)

    def sample(name: str) -> pa.ChunkedArray:
        k = names_of_file.index(name)
        rows = islice(file.records(), num_headers, num_headers + SAMPLE)
        return cells.as_arrow([record[k] for _, record in rows if len(record) == len(names_of_file)])

    names, recognised = map_columns(columns, names_of_file, str(file.path), sample)
    wanted = sorted({names_of_file.index(name) for name in names.values()})
    first = names_of_file if num_headers else None
    table = read_columns(file, first, wanted, len(names_of_file), options.skip_bad)
    source = replace(table.source, column_names=names, recognised=recognised)
    return build(*_without_missing(_rename(table.columns, names), source, arguments.missing or ()), options)


def _rename(table: Any, names: Mapping[str, str]) -> dict[str, Any]:
    """Return the columns of a table by alsim's names."""
    return {column: table[name] for column, name in names.items()}


def _without_missing(
    columns: dict[str, pa.ChunkedArray], source: Source, missing: Iterable[Any]
) -> tuple[dict[str, pa.ChunkedArray], Source]:
    """Return the rows of a long table whose answers do not mean that there is no response, and their source.

    Study events are kept, since their answers are not read.
    """
    import pyarrow as pa

    answers = columns["correct"]
    is_absent = cells.is_missing(answers, missing) & ~cells.is_missing(answers, ())
    if "event" in columns:
        is_absent &= cells.is_missing(columns["event"], ())
    if not is_absent.any():
        return columns, source
    first, kept = int(is_absent.argmax()), ~is_absent
    title, row = source.column_names["correct"], source.index(first)
    example = source.error_message(title, row, answers[first].as_py(), "an answer")
    mask = pa.array(kept)
    return {name: column.filter(mask) for name, column in columns.items()}, replace(
        source,
        rows=np.flatnonzero(kept) if source.rows is None else source.rows[kept],
        dropped={**source.dropped, NO_RESPONSE: int(is_absent.sum())},
        examples={**source.examples, NO_RESPONSE: example},
    )


def _read_wide_text(
    file: TextFile, has_header: bool, columns: Mapping[str, str | None], missing: Iterable[Any], options: Options
) -> LogFields:
    """Read a log from a wide text file."""
    first = file.first_cells()
    names = first if has_header else numbered(first)
    if repeated := [name for k, name in enumerate(names) if name in names[:k]]:
        if not repeated[0]:
            raise ResponsesError(
                f"{file.path}: more than one column has no name", "name them, or remove the lines above the header"
            )
        raise ResponsesError(f"{file.path}: more than one column is named {repeated[0]!r}", "rename all but one")
    table = read_columns(file, first if has_header else None, range(len(first)), len(first), options.skip_bad)
    if not first[-1] and cells.is_missing(table.columns[names[-1]], missing).all():
        del table.columns[names[-1]]  # each line ends with a delimiter
    return _build_wide(table, columns, missing, options, has_header=has_header)


def _build_wide(
    table: Table,
    columns: Mapping[str, str | None],
    missing: Iterable[Any],
    options: Options,
    *,
    has_header: bool = True,
) -> LogFields:
    """Build a log from the columns of a wide file. Without a header, the names of the columns are their numbers."""
    table = _without_omitted(table, columns, has_header)
    mapping = {column: title for column, title in columns.items() if title is not None}
    source = replace(table.source, column_names={title: title for title in table.columns})
    if unknown := [column for column in mapping if column not in WIDE_COLUMNS]:
        raise ResponsesError(
            f"{source.name}: the columns of a wide file can map only student and freq, since all others are items; "
            f"got {unknown[0]!r}",
            "map student or freq, or read one row per response with {}",
            format="long",
        )
    for column, title in mapping.items():
        if title not in table.columns:
            raise _no_column(table, title, f"for {column}", has_header)
    names: dict[str, str | None] = {column: mapping.get(column, column) for column in WIDE_COLUMNS}
    if names["student"] not in table.columns:
        names["student"] = _row_labels(table, missing) if has_header else _first_labels(table, missing)
        if names["student"] is not None:
            source = replace(source, recognised={"student": names["student"]})
    if names["freq"] not in table.columns and (found := frequencies(table.columns)):
        names["freq"] = found[0]
        source = replace(source, recognised={**source.recognised, "freq": found[0]})
    items = [title for title in table.columns if title not in names.values()]
    length = len(next(iter(table.columns.values()), ()))
    if not items or not length:
        raise ResponsesError(
            f"{source.name}: there is no response; expected one row per student and one column per item",
            "add the rows of the students, or choose another file",
        )
    codes = np.empty((length, len(items)), i8)
    for k, title in enumerate(items):
        codes[:, k] = matrix_codes(table.columns[title], missing)
    if (freq := names["freq"]) in table.columns:
        check_frequencies(source.name, items, codes, str(freq), columns)
    else:
        warn_of_frequencies(source.name, items, codes)
    students, weight = (None if title is None else table.columns.get(title) for title in names.values())
    wide = Wide(codes, items, None, students, weight, tuple(map(str, missing)), names["student"], columns)
    check_totals(wide, items, source.name, lambda title: cells.parse_numbers(table.columns[title][:MAX_SAMPLE]))
    fields = build_from_wide(wide, source, lambda row, k: table.columns[items[k]][row].as_py(), options.skip_bad)
    report = replace(fields.report, covariates=covariates(items), is_wide=True, has_header=has_header)
    return fields._replace(report=report)


def _without_omitted(table: Table, columns: Mapping[str, str | None], has_header: bool) -> Table:
    """Return a wide table without the columns that are mapped to None, by their names in the file."""
    omitted = [name for name, title in columns.items() if title is None]
    for name in omitted:
        if name not in table.columns:
            raise _no_column(table, name, "to omit", has_header)
    return table._replace(columns={name: column for name, column in table.columns.items() if name not in omitted})


def _no_column(table: Table, name: str, purpose: str, has_header: bool) -> ResponsesError:
    """Return the error about a column that a wide file does not have."""
    names = [*table.columns]
    header = "" if has_header else "the file has no header, so its columns are numbered from 0: "
    problem = f"{table.source.name}: there is no column {name!r} {purpose}; {header}{list_columns(names)}"
    similar = similar_names(name, names) if has_header else []
    return ResponsesError(problem, f"did you mean {similar[0]!r}?" if similar else "name an existing column")


def _row_labels(table: Table, missing: Iterable[Any]) -> str | None:
    """Return the name of the column of students, recognised by its name; a column of answers is an item instead."""
    labels = row_labels(table.columns)
    return next((name for name in labels if (matrix_codes(table.columns[name], missing) == INVALID).any()), None)


def _first_labels(table: Table, missing: Iterable[Any]) -> str | None:
    """Return the name of the first column of a table without a header if it has distinct values that are no answers."""
    name, column = "0", table.columns.get("0")
    if column is None or not (matrix_codes(column, missing) == INVALID).any():
        return None
    return name if len(column.unique()) == len(column) and not cells.is_missing(column, ()).any() else None


# ── Parquet and Arrow ────────────────────────────────────────────────────────────────────────────


def _read_binary(path: Path, format: Format | None, arguments: Arguments) -> LogFields:
    """Read a log from a Parquet or Arrow file."""
    from alsim.utils.arrow import TableFile

    with TableFile(path) as file:
        return _read_table_file(file, path, format, arguments)


def _read_table_file(file: TableFile, path: Path, format: Format | None, arguments: Arguments) -> LogFields:
    """Read a log from an open Parquet or Arrow file."""
    from alsim.utils.arrow import check_size

    columns, options = arguments.columns, _options(arguments)
    missing = MISSING if arguments.missing is None else arguments.missing
    available, source = file.names, Source(str(path), describe_row=lambda row: f"row {row + 1}")
    if format is None:
        first = [list(row.values()) for row in file.head(SAMPLE).to_pylist()]
        format = long_or_wide(Head(available, first), columns, missing, str(path))
    if format == "three-line":
        raise ResponsesError(
            f"{path}: the format three-line is for text files", "choose long or wide, as in {}", format="long"
        )
    arguments.check(path, KINDS[f"binary {format}"])
    check_size(file.num_rows * (CELL_BYTES * len(available) if format == "wide" else ROW_BYTES), file.num_bytes)
    if format == "wide":
        table = file.read()
        arrays = {name: cells.as_arrow(table[name], f"{path}, column {name}") for name in available}
        return _build_wide(Table(arrays, source), columns, missing, options)

    def sample(name: str) -> pa.ChunkedArray:
        return cells.as_arrow(file.head(SAMPLE, [name])[name])

    names, recognised = map_columns(columns, available, str(path), sample)
    table = file.read(sorted(set(names.values())))
    source = replace(source, column_names=names, recognised=recognised)
    columns_read = {
        name: cells.as_arrow(column, f"{path}, column {names[name]}") for name, column in _rename(table, names).items()
    }
    return build(*_without_missing(columns_read, source, arguments.missing or ()), options)
