"""Report on the rows of a response log, and exception for invalid logs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from alsim.errors import AlsimError
from alsim.types import short_repr

Duplicates = Literal["keep", "merge", "drop"]


class ResponsesError(AlsimError):
    """Exception for an invalid response log; the message names the file and the row."""


@short_repr
@dataclass(frozen=True)
class Report:
    """Numbers of rows that were read into a log, skipped, and found to be duplicates.

    rows        number of rows read
    skipped     number of rows skipped, by reason
    examples    message about the first row skipped, by reason; without `skip_bad`, it is the message of the error
    duplicates  number of rows that repeat the response of an earlier row: the same student, the same answer, and the
                same response id or, without ids, the same item and order
    duplicate   message about the first of these rows; empty if there is none
    """

    rows: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    examples: Mapping[str, str] = field(default_factory=dict)
    duplicates: int = 0
    duplicate: str = ""
