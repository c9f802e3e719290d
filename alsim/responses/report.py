"""Report of what was read into a response log, and the error of reading one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from alsim.errors import AlsimError

Duplicates = Literal["keep", "merge", "drop"]


class ResponsesError(AlsimError):
    """A response log that cannot be: the message names the file and the row."""


@dataclass(frozen=True)
class Report:
    """What became of the rows that a log was built from.

    rows        read
    skipped     rows left out, by what was wrong with them
    examples    the first of them, by what was wrong with it, as the error would have said
    duplicates  rows that repeat the response of another: the same student, answer, and response id or item and order
    duplicate   the first of them, in words; empty if there is none
    """

    rows: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    examples: Mapping[str, str] = field(default_factory=dict)
    duplicates: int = 0
    duplicate: str = ""
