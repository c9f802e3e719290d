"""Duolingo's shared task on second language acquisition modeling (SLAM), 2018.

An exercise is a line of metadata, which begins with "# user:", and one line per token; in version 4.0, a line with the
prompt stands above it. A token is a response. The token in lower case is its skill, and the log has no items. The id
of a token identifies the response, since all tokens of an exercise have the same time. The label is 1 for a mistake. In
the files .dev and .test, the labels are in a file of their own, with the suffix .key.

Responses are sorted by `days`, the time since the student's first exercise. The response time is that of the whole
exercise.

Source: Settles, Brust, Gustafson, Hagiwara & Madnani (2018), Second language acquisition modeling, BEA workshop;
https://sharedtask.duolingo.com/2018.html, whose baseline program splits lines at white space.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from alsim.responses import cells
from alsim.responses.compressed import decompressed
from alsim.responses.fields import LogFields
from alsim.responses.formats.base import PublishedFormat, Request
from alsim.responses.formats.conversion import Drop, Layout, build_layout, find_key, map_layout
from alsim.responses.formats.delimited import open_text
from alsim.responses.report import ResponsesError
from alsim.responses.source import Source
from alsim.responses.text import RAGGED, Table, TextFile

NAME: Final = "duolingo-slam"
USER, PROMPT = "# user:", "# prompt:"
CELLS = 6
"""Number of cells of a token without its label."""
METADATA = ("user", "days", "time")
COLUMNS = (*METADATA, "id", "token", "label")

LAYOUT = Layout(
    columns={
        "student": "user",
        "skill": "token",
        "correct": "correct",
        "response": "id",
        "time": "days",
        "seconds": "time",
    },
    drops=(Drop("no label", "label", lambda column: cells.is_missing(column, ())),),
    units={"time": 1 / 86400},
)
CORRECT = {"0": "1", "1": "0", "0.0": "1", "1.0": "0"}
"""Correctness by label."""


def read(request: Request) -> LogFields:
    """Read a log."""
    file = open_text(request)
    usual = f"{_uncompressed_name(request)}.key"
    key = request.key or find_key(request.path.parent, usual)
    labels = {} if key is None else _read_key(file, key)
    table = _read_tokens(file, labels, request)
    if not any(table.columns["label"].to_pylist()):
        raise ResponsesError(
            f"{request.path}: the tokens have no labels, as in the files .dev and .test",
            "name the file with the labels with {}",
            key=usual,
        )
    return build_layout(table, map_layout(LAYOUT, request, COLUMNS, NAME), request, NAME)


def _uncompressed_name(request: Request) -> str:
    """Return the name of the file without the suffix of a compressed one."""
    return request.path.name if request.data is None else request.path.stem


def _read_key(file: TextFile, key: Path) -> dict[str, str]:
    """Return the labels of a key, which may be compressed; its encoding is that of the log."""
    with decompressed(key) as data:
        return _read_labels(file._replace(path=key, data=data))


def _read_labels(file: TextFile) -> dict[str, str]:
    """Return the labels of a key by token. Raises ResponsesError for another file."""
    labels = {}
    with file.open() as lines:
        for number, line in enumerate(lines, 1):
            words = line.split()
            if len(words) == 2:
                labels[words[0]] = words[1]
            elif words:
                raise ResponsesError(
                    f"{file.path}, line {number}: {line.strip()!r:.100}; expected the id of a token and its label",
                    "name the file with the suffix .key",
                )
    return labels


def _read_tokens(file: TextFile, labels: dict[str, str], request: Request) -> Table:
    """Return one row per token."""
    import pyarrow as pa

    columns: dict[str, list[str]] = {name: [] for name in COLUMNS}
    numbers: list[int] = []
    metadata: tuple[str, ...] | None = None
    ragged: list[str] = []
    with file.open() as lines:
        for number, line in enumerate(lines, 1):
            words = line.split()
            if not words or line.startswith(PROMPT):
                continue
            if line.startswith(USER):
                metadata = _metadata(words)
            elif metadata is not None and len(words) in (CELLS, CELLS + 1) and words[0] != "#":
                label = words[CELLS] if len(words) > CELLS else labels.get(words[0], "")
                for name, value in zip(COLUMNS, (*metadata, words[0], words[1].lower(), label), strict=True):
                    columns[name].append(value)
                numbers.append(number)
            else:
                expected = f"{CELLS} or {CELLS + 1} cells" if metadata else f"a line that begins with {USER!r}"
                message = f"{file.path}, line {number}: {line.strip()!r:.100}; expected {expected}"
                if not request.skip_bad or metadata is None:
                    raise _invalid_line(message, metadata is None)
                ragged.append(message)
    table = {name: pa.chunked_array([pa.array(values, pa.string())]) for name, values in columns.items()}
    table["correct"] = pa.chunked_array([pa.array([CORRECT.get(x, x) for x in columns["label"]], pa.string())])
    source = Source(
        str(file.path),
        describe_row=lambda row: f"line {numbers[row]}",
        dropped={RAGGED: len(ragged)} if ragged else {},
        examples={RAGGED: ragged[0]} if ragged else {},
    )
    return Table(table, source)


def _metadata(words: Sequence[str]) -> tuple[str, ...]:
    """Return the values of METADATA in a line such as "# user:XEinXf5+  countries:CO  days:0.003"."""
    values = {name: value for name, _, value in (word.partition(":") for word in words)}
    return tuple(values.get(name, "") for name in METADATA)


def _invalid_line(message: str, is_first: bool) -> ResponsesError:
    """Return the error about a line that is neither metadata nor a token."""
    if is_first:
        return ResponsesError(message, "name the format of the file, or read it as a table with {}", format="long")
    return ResponsesError(message, "correct the line, or skip such lines with {}", skip_bad=True)


def is_header(names: Sequence[str]) -> bool:
    """Return whether the first line of a file is that of an exercise."""
    return bool(names) and names[0].startswith((USER, PROMPT))


FORMAT = PublishedFormat(
    NAME,
    "Duolingo SLAM 2018",
    (),
    read,
    {"key", "encoding"},
    is_header=is_header,
)
