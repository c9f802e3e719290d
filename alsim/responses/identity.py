"""Ids of responses: whether a column with this name holds ids, or the answers that students chose."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from alsim.responses import cells
from alsim.responses.source import Source
from alsim.types import Codes, Ints

if TYPE_CHECKING:
    import pyarrow as pa

NAME = "response"
"""Name under which logs have ids of responses, or raw answers."""

_log = logging.getLogger("alsim.responses")


def are_ids(column: pa.ChunkedArray, codes: Ints, rows: tuple[Ints, Ints, Codes], source: Source) -> bool:
    """Return whether a column of ids can be one; log a warning if it cannot.

    column  cells
    codes   (R,) code of each cell, -1 for a missing one
    rows    (R,) student, item and correctness of each row, -1 for a missing one

    A column that the source names otherwise was mapped by the user, who knows its meaning. A column of the name
    `response` holds no ids if one student has a value twice, with different items, or once correct and once wrong.
    """
    if source.column_names.get("response") != NAME:
        return True
    student, item, correct = rows
    chosen = np.flatnonzero((codes >= 0) & (student >= 0) & (correct >= 0))
    chosen = chosen[cells.lexsort(codes[chosen], student[chosen])]
    before, after = chosen[:-1], chosen[1:]
    same = (student[before] == student[after]) & (codes[before] == codes[after])
    differ = (item[before] != item[after]) | (correct[before] != correct[after])
    if not (conflict := same & differ).any():
        return True
    k = int(conflict.argmax())
    _log.warning(
        "%s: the column %r is not read as ids of the responses, since one student has %r in different responses, %s "
        "and %s; it may hold the answers that students chose. If it holds ids, rename it, and map response to its new "
        "name",
        *(source.name, NAME, column[int(before[k])].as_py()),
        *(source.describe_row(source.index(int(row))) for row in (before[k], after[k])),
    )
    return False
