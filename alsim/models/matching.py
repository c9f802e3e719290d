"""Names of skills and items in a log and in a fit or a bank: matches, matches by position, and unknown names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from alsim.errors import AlsimError
from alsim.responses.cells import Names
from alsim.responses.log import Responses, codes_of
from alsim.types import Ints, i32
from alsim.utils.names import listed

NO_NAMES = "there are no names of items in {}"
"""Clause about a log or items without names."""


def are_positions(names: Names) -> bool:
    """Return whether names are 0, 1, 2, and so on, as those of items and students without names."""
    return np.array_equal(names, np.arange(len(names)).astype(np.str_))


def has_positions(log: Responses) -> bool:
    """Return whether the items of a log have no names: those of a matrix or a wide file without a header."""
    return log.report.is_wide and not log.report.has_header


class ItemMatch(NamedTuple):
    """The items of a log among J calibrated items.

    codes  (I,) index of each item of the log, -1 for an unknown one
    note   sentence that says that items are matched by position; "" if they are matched by name
    """

    codes: Ints
    note: str


def match_items(log: Responses, names: Names, log_name: str, items_name: str) -> ItemMatch:
    """Match the items of a log with calibrated items: by name or, if one of them has no names, by position.

    names       (J,) names of the calibrated items; positions if they are 0, 1, 2, and so on
    log_name    name of the log, for messages
    items_name  name of the source of the calibrated items, for messages

    In a log with one row per response, items named 0 to J - 1 are matched with calibrated items without names.

    Raises AlsimError for items without names if the log has no positions either, or another number of items.
    """
    codes = codes_of(log.items, names)
    used = np.bincount(log.item, minlength=log.num_items) > 0
    numbered, by_position = are_positions(names), has_positions(log)
    if not by_position and (not numbered or (codes[used] >= 0).all()):
        all_used = len(np.unique(codes[used])) == len(names)  # else the numbers of the log may begin with 1
        return ItemMatch(codes, _by_number(items_name) if numbered and not all_used else "")
    lacking = NO_NAMES.format(log_name if by_position else items_name)
    if not log.report.is_wide:
        name = str(log.items[used & (codes < 0)][0])
        raise AlsimError(
            f"{lacking}, and {log_name} has an item {name!r}, which is not a number of a row from 0 to "
            f"{len(names) - 1}: add the names of the items"
        )
    if len(names) != log.num_items:
        raise AlsimError(
            f"{lacking}, so the items are matched by position, but there are {log.num_items:,} items in {log_name} and "
            f"{len(names):,} in {items_name}: add the names of the items to both"
        )
    positions = np.arange(len(names), dtype=i32)
    is_same = np.array_equal(codes, positions)
    return ItemMatch(positions, "" if is_same else f"{lacking}, so the items are matched by position")


def _by_number(items_name: str) -> str:
    """Return the sentence about items of a log that are named by numbers of rows."""
    return f"{NO_NAMES.format(items_name)}, so each item of the log is the row with its number, from 0"


class Unknown(NamedTuple):
    """Skills or items of a log that a fit or calibrated items do not have; names without responses do not count.

    kind       "skill" or "item"
    names      unknown names
    total      number of names
    """

    kind: str
    names: list[str]
    total: int

    @property
    def is_all(self) -> bool:
        """True if no name is known."""
        return len(self.names) == self.total

    def sentence(self, source: str, singular: str, plural: str) -> str:
        """Return a sentence that counts and lists the names; it ends with one of two predicates, by their number."""
        count = f"{len(self.names):,} of {self.total:,} {self.kind}s of {source}"
        return f"{count} {singular if len(self.names) == 1 else plural}: {listed(self.names)}"


def unknown_names(log: Responses, kind: str, codes: Ints) -> Unknown:
    """Return the unknown skills or items of a log, given the code (M,) of each one, -1 for an unknown one."""
    names = log.items if kind == "item" else log.skills
    used = np.bincount(log.item if kind == "item" else log.skill, minlength=len(names)) > 0
    return Unknown(kind, [str(name) for name in names[used & (codes < 0)]], int(used.sum()))


def compare_names(
    log: Responses, known: Mapping[str, Names], log_name: str, fitted: Responses | None = None
) -> list[Unknown]:
    """Return the unknown skills or items of a log, one entry per kind with unknown names.

    known     names of the fit by kind, "skill" or "item"
    log_name  name of the log, for messages
    fitted    the log that the model is fitted to, whose names are `known`; None if the fit was loaded

    Names are compared as names. Columns without names have their numbers as names, so these must be the same in the
    fit. Raises AlsimError for other columns without names, and if no name is known.
    """
    unknown = []
    for kind, names in known.items():
        of_log = log.items if kind == "item" else log.skills
        found = unknown_names(log, kind, codes_of(of_log, names))
        if has_positions(log):
            differ = bool((codes_of(names, of_log) < 0).any()) or (fitted is not None and bool(found.names))
        else:
            numbered = has_positions(fitted) if fitted is not None else log.report.is_wide and are_positions(names)
            differ = numbered and bool(found.names)
        if differ:
            raise AlsimError(
                f"the {kind}s of {log_name} are not those of the fit, such as {str(names[0])!r}, and columns without "
                "names have their numbers as names: write the names of the items in the first line of both files, or "
                "pass them as items="
            )
        unknown.append(found)
    if len(log) and unknown and all(found.is_all for found in unknown):
        raise AlsimError(
            f"no {' or '.join(known)} of {log_name} is known to the fit, such as {unknown[0].names[0]!r}; the fit has, "
            f"for example, {str(next(iter(known.values()))[0])!r}: use the same names in both logs, or read them from "
            "other columns with columns= (--columns)"
        )
    return [found for found in unknown if found.names]
