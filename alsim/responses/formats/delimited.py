"""Published logs that are one text file with a header."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from alsim.responses.applicable import CHARACTERS
from alsim.responses.fields import LogFields
from alsim.responses.formats.base import PublishedFormat, PublishedName, Request
from alsim.responses.formats.conversion import Layout, build_layout, map_layout
from alsim.responses.report import Duplicates, ResponsesError
from alsim.responses.tables import list_columns
from alsim.responses.text import (
    TextFile,
    check_text,
    detect_encoding,
    read_columns,
    with_delimiter,
    without_separator_line,
)


def delimited_format(
    name: PublishedName,
    title: str,
    headers: tuple[tuple[str, ...], ...],
    layout: Layout | Callable[[Sequence[str]], Layout],
    *,
    encoding: str = "utf-8",
    is_header: Callable[[Sequence[str]], bool] | None = None,
    duplicates: Duplicates = "keep",
) -> PublishedFormat:
    """Return a format whose logs are one text file with a header.

    layout    the columns, or a function that returns them, given the names of a file's columns
    encoding  encoding, unless a request or the byte order mark names another
    The other arguments are fields of `PublishedFormat`.
    """
    read = partial(_read, name=name, title=title, headers=headers, layout=layout, encoding=encoding)
    return PublishedFormat(name, title, headers, read, CHARACTERS, is_header=is_header, duplicates=duplicates)


def _read(
    request: Request,
    *,
    name: PublishedName,
    title: str,
    headers: tuple[tuple[str, ...], ...],
    layout: Layout | Callable[[Sequence[str]], Layout],
    encoding: str,
) -> LogFields:
    """Read a log. Its delimiter is detected, since spreadsheets write another one than the publisher."""
    file = without_separator_line(open_text(request, encoding))
    file = with_delimiter(file, {column for header in headers for column in header})
    header = file.first_cells()
    found = layout if isinstance(layout, Layout) else layout(header)
    if missing := found.missing(header):
        raise ResponsesError(
            f"{request.path}: is not in the format {name} ({title}); expected the column {missing[0]!r}; "
            f"{list_columns(header)}",
            "name the format of the file, or read it as a table with {}",
            format="long",
        )
    found = map_layout(found.within(header), request, header, name)
    wanted = [header.index(column) for column in found.wanted()]
    return build_layout(read_columns(file, header, wanted, len(header), request.skip_bad), found, request, name)


def open_text(request: Request, encoding: str = "utf-8") -> TextFile:
    """Return the text file of a request, with the encoding of the format unless the request or its mark names another.

    The delimiter is that of the request.
    """
    check_text(request.path, request.encoding, request.data)
    detected = detect_encoding(request.data or request.path)
    chosen = request.encoding or (encoding if detected == "utf-8" else detected)
    return TextFile(request.path, chosen, request.delimiter, quoting=request.quoting, data=request.data)
