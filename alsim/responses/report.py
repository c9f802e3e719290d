"""Report on the rows of a response log, and exception for invalid logs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from alsim.errors import AlsimError
from alsim.types import short_repr

Duplicates = Literal["keep", "merge", "drop"]


class ResponsesError(AlsimError):
    """Exception for an invalid response log; the message names the file and the row, and ends with the cure.

    problem  the message without the cure
    cure     the change that makes the log valid; each {} stands for one of `options`, in order
    options  keyword arguments of `read_responses` that the cure names
    """

    def __init__(self, problem: str, cure: str = "", **options: Any) -> None:
        self.problem, self.cure, self.options = problem, cure, options
        super().__init__(self.message(*(f"{name}={value!r}" for name, value in options.items())))

    def message(self, *options: str) -> str:
        """Return the message, with each of `options` written as in these texts: Python code, or flags of a command."""
        return f"{self.problem}; {self.cure.format(*options)}" if self.cure else self.problem


@short_repr
@dataclass(frozen=True)
class Report:
    """Numbers of rows that were read into a log, skipped, and found to be duplicates.

    Each row is a response, a study event, skipped or removed: rows = len(log) + len(log.study) + sum(skipped.values())
    + removed. In a wide file or a matrix, which have one row per student, each cell of an item is a response, empty or
    skipped: cells = len(log) + empty + skipped["correct is neither 0 nor 1"].

    rows        number of rows read
    skipped     number of rows skipped, by reason; of invalid answers in a wide file or a matrix, number of cells
    examples    message about the first row skipped, by reason; without `skip_bad`, the error begins with it
    duplicates  number of rows that repeat the response of an earlier row: the same student, answer and item, and the
                same response id or, without ids, the same order
    duplicate   message about the first of these rows; empty if there is none
    removed     number of duplicates that were merged into another row or dropped; 0 if they are kept
    columns     names in the source of the columns that were recognised by a synonym, by alsim's names; empty if all
                columns have alsim's names or were mapped
    covariates  items of a wide file with the names of covariates, such as gender, which may be no items
    unknown     number of invalid values, such as a negative duration, that were read as unknown, by optional column:
                time, seconds, attempts or hints
    cells       number of cells of items in a wide file or a matrix; 0 for other logs
    empty       number of these cells without a response
    unknown_examples
                message about the first of these values, by optional column
    is_wide     True for a wide file or a matrix, whose items are in the order of its columns
    has_header  False for a wide file or a matrix without names of items, whose columns have their numbers, from 0, as
                names
    """

    rows: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    examples: Mapping[str, str] = field(default_factory=dict)
    duplicates: int = 0
    duplicate: str = ""
    removed: int = 0
    columns: Mapping[str, str] = field(default_factory=dict)
    covariates: tuple[str, ...] = ()
    unknown: Mapping[str, int] = field(default_factory=dict)
    cells: int = 0
    empty: int = 0
    is_wide: bool = False
    has_header: bool = True
    unknown_examples: Mapping[str, str] = field(default_factory=dict)
