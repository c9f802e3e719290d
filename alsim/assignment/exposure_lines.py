"""Lines of exposure logs: a header, then definitions of experiments, and exposures."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alsim.assignment.errors import AssignmentError
from alsim.assignment.experiment import Experiment
from alsim.assignment.exposures import Exposure, checked_exposure
from alsim.types import describe
from alsim.utils.reading import parse_json

HEADER = b'{"format":1,"kind":"alsim exposure log"}\n'
"""First line of a log."""
DEFINITION = "definition"
"""Only key of the line of a definition."""
LONGEST_LINE = 2**16
"""Largest number of bytes of a line."""


def encoded(value: Experiment | Exposure) -> bytes:
    """Return the line of a definition or an exposure. Raises AssignmentError for one that is too long."""
    values = {DEFINITION: value.to_dict()} if isinstance(value, Experiment) else value._asdict()
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    line = text.encode("utf-8", "surrogatepass") + b"\n"
    if len(line) > LONGEST_LINE:
        raise AssignmentError(
            f"an exposure log has lines of at most {LONGEST_LINE:,} bytes; got {len(line):,}: shorten the names"
        )
    return line


def complete_size(stream: io.BufferedIOBase) -> int:
    """Return the number of bytes up to the end of the last complete line. No process must append meanwhile.

    A torn last line, which a kill leaves, is left out.
    """
    size = stream.seek(0, io.SEEK_END)
    start = stream.seek(max(0, size - LONGEST_LINE))
    return start + stream.read(size - start).rfind(b"\n") + 1


def content(
    stream: io.BufferedIOBase, path: Path, size: int, start: int = 0, number: int = 1
) -> Iterator[tuple[int, bytes, Experiment | Exposure]]:
    """Yield the lines behind a position: where each ends, its bytes, and its value. The header is left out.

    size           see `complete_size`
    start, number  position, and the number of lines before it

    Raises AssignmentError for a damaged line and for a file without the header.
    """
    stream.seek(start)
    if start == 0:
        if not HEADER.startswith(first := stream.read(len(HEADER))):
            raise AssignmentError(f"{path} is no exposure log of alsim: choose another file")
        start = len(first)
    while start < size:
        line, number = stream.readline(LONGEST_LINE + 1), number + 1
        start += len(line)
        try:
            yield start, line, decoded(line)
        except ValueError as error:
            text = " ".join(str(error).split())
            raise AssignmentError(
                f"{path}, line {number}, is damaged: {text:.300}; restore the log, or delete the line"
            ) from None


def decoded(line: bytes) -> Experiment | Exposure:
    """Return the definition or the exposure in a line. Raises ValueError for any other content."""
    values: Any = parse_json(line)
    if not isinstance(values, dict):
        raise ValueError(f"a line must be a JSON object; got {describe(values)}")
    if values.keys() == {DEFINITION}:
        return Experiment.from_dict(values[DEFINITION])
    if values.keys() != {*Exposure._fields}:
        raise ValueError(f"an exposure must have the keys {', '.join(Exposure._fields)}; got {describe([*values])}")
    return checked_exposure(Exposure(**values))


__all__ = ["HEADER", "complete_size", "content", "encoded"]
