"""The report on the rows that were read into a response log, and the exception for invalid logs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from alsim.errors import AlsimError

Duplicates = Literal["keep", "merge", "drop"]


class ResponsesError(AlsimError):
    """An invalid response log; the message names the file and the row."""


@dataclass(frozen=True)
class Report:
    """The number of rows that were read into a log, skipped and duplicated.

    rows        number of rows read
    skipped     number of rows skipped, by reason
    examples    message about the first row skipped, by reason; without `skip_bad` it is raised as an error
    duplicates  number of rows that repeat the response of an earlier row: the same student, the same answer, and the
                same response id or, without ids, the same item and order
    duplicate   message about the first of these rows; empty if there is none
    """

    rows: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    examples: Mapping[str, str] = field(default_factory=dict)
    duplicates: int = 0
    duplicate: str = ""
