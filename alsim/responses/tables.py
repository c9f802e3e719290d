"""Response logs from tables in memory, and the mapping of column names."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from alsim.errors import closest_name
from alsim.responses import cells
from alsim.responses.building import build
from alsim.responses.fields import LogFields
from alsim.responses.names import (
    ANSWERS,
    CERTAIN,
    KEYS,
    SYNONYMS,
    among,
    candidates,
    closest,
    frequencies,
    may_be_correct,
    plain,
)
from alsim.responses.report import Report, ResponsesError
from alsim.responses.scoring import MOST_ANSWERS, not_scored
from alsim.responses.source import COLUMNS, OPTIONAL, Options, Source

if TYPE_CHECKING:
    import pyarrow as pa

_DEFAULT_NAMES: dict[str, tuple[str, ...]] = {column: (column,) for column in COLUMNS}
_DEFAULT_NAMES |= {"order": ("order", "timestamp"), **dict.fromkeys(OPTIONAL, ())}
SAMPLE = 100
"""Number of first rows in which a recognised column of answers is tested."""

ATTRIBUTES = ("column_names", "columns")
"""Attributes with the names of the columns, of Arrow and of pandas."""
TABLE = "the table"
"""Name of a table in memory, in messages."""

_SHOWN = 20
"""Number of column names that a message lists at most."""

_log = logging.getLogger("alsim.responses")


class ColumnNames(NamedTuple):
    """Names of columns in a source, by alsim's names.

    names       all columns that are read
    recognised  those of them that were found by a synonym
    """

    names: dict[str, str]
    recognised: dict[str, str]


def build_from_table(table: Any, columns: Mapping[str, str | None] | None, options: Options) -> LogFields:
    """Build a log from a table, as `Responses.from_table` does."""
    source, table = TABLE, cells.collected(table)

    def sample(name: str) -> pa.ChunkedArray:
        column = table[name]
        return cells.as_arrow(column[:SAMPLE] if hasattr(column, "__getitem__") else column, f"{source}, column {name}")

    found = map_columns(columns, column_names(table), source, sample)
    selected = {column: table[name] for column, name in found.names.items()}
    fields = build(selected, Source(source, found.names, recognised=found.recognised), options)
    log_recognised(source, fields.report)
    return fields


def map_columns(
    columns: Mapping[str, str | None] | None,
    available: Sequence[Any],
    source: str,
    sample: Callable[[str], pa.ChunkedArray],
) -> ColumnNames:
    """Return the names of the columns that a source has.

    Synonyms are considered only if student, correct, or both skill and item are neither mapped nor named as in alsim:
    so they never change how a source is read that can be read without them.

    columns    mapping of `Responses.from_table`
    available  names of the source's columns
    source     name of the source, for messages
    sample     returns the first cells of a column

    Raises ResponsesError for unknown, ambiguous and missing columns.
    """
    mapping = _without_timestamp(columns)
    names = _named(mapping, available, source)
    if "credit" in names:
        names.setdefault("correct", names["credit"])
    recognised: dict[str, str] = {}
    if _missing(names):
        free = [name for name in available if name not in mapping.values()]
        correctness = Correctness(source, free, sample)
        recognised = _recognise(mapping, names, available, source, correctness)
        if recognised.get("correct") == names.get("response"):
            names.pop("response", None)
        names |= recognised
    if missing := _missing(names):
        unused = [name for name in available if name not in names.values()]
        proposed: dict[str, Any] = {column: closest(column, unused) for column in missing}
        if "correct" in proposed:
            answered = [name for name in unused if cells.holds_answers(sample(name))]
            proposed["correct"] = _propose_correct(unused, answered)
            if source == TABLE and len(missing) > 1 and 2 * len(answered) > len(available) > 2:
                raise ResponsesError(
                    f"{source}: seems to have one column per item; expected one row per response",
                    "pass the columns of the items to Responses.from_matrix",
                )
        raise _missing_columns({**mapping, **recognised}, proposed, available, source)
    for name in frequencies(available):
        if name not in names.values() and name not in mapping.values():
            _log.warning(
                "%s: the column %r is not read, since each row of a log is one response; write the patterns as a wide "
                "file, with one column per item, or repeat the rows",
                source,
                name,
            )
    return ColumnNames({column: names[column] for column in _DEFAULT_NAMES if column in names}, recognised)


def log_recognised(source: str, report: Report) -> None:
    """Log a warning that lists the columns that were recognised by a synonym, if there are any.

    Without a header, it says that the first column has the names of the students, if it was recognised.
    """
    if report.columns and not report.has_header:
        _log.warning("%s: has no header; its first column is read as the names of the students", source)
    elif report.columns:
        pairs = ", ".join(f"{column}={name!r}" for column, name in report.columns.items())
        _log.warning("%s: columns recognised by their names: %s", source, pairs)


def list_columns(available: Sequence[Any]) -> str:
    """Return the sentence part that lists the columns of a source."""
    more = f" and {len(available) - _SHOWN} more" if len(available) > _SHOWN else ""
    return f"the columns are {', '.join(f'{name!r:.100}' for name in available[:_SHOWN])}{more}"


def _named(mapping: Mapping[str, str | None], available: Sequence[Any], source: str) -> dict[str, str]:
    """Return the columns that are mapped or have alsim's names. Raises ResponsesError for invalid names."""
    names = {}
    for column in _DEFAULT_NAMES:
        if column in mapping:
            name = mapping[column]
        else:
            name = next((default for default in _DEFAULT_NAMES[column] if default in available), None)
        if name is None:
            continue
        if name not in available:
            similar = next(iter(similar_names(name, available)), None)
            problem = f"{source}: there is no column {name!r} for {column}; {list_columns(available)}"
            if similar is None:
                raise ResponsesError(problem, f"replace {name!r} by one of them")
            raise ResponsesError(problem, "name an existing column with {}", columns={**mapping, column: similar})
        if list(available).count(name) > 1:
            raise ResponsesError(f"{source}: more than one column is named {name!r}", "rename all but one")
        names[column] = name
    return names


def similar_names(name: Any, available: Sequence[Any]) -> list[str]:
    """Return the names that are spelled most like a name, those that differ in case first."""
    texts = [one for one in available if isinstance(one, str)]
    same = [one for one in texts if one.casefold() == str(name).casefold()]
    match = closest_name(str(name), texts)
    return same if match is None else [*same, match]


def _missing(names: Mapping[str, str]) -> list[str]:
    """Return the required columns that are missing, by alsim's names."""
    missing = [column for column in ("student", "correct") if column not in names]
    return missing if "skill" in names or "item" in names else [*missing, "skill"]


def _recognise(
    mapping: Mapping[str, str | None],
    names: Mapping[str, str],
    available: Sequence[Any],
    source: str,
    correctness: Correctness,
) -> dict[str, str]:
    """Return the columns that have a synonym of alsim's names. Raises ResponsesError if several could be one column."""
    used = set(names.values()) | set(filter(None, mapping.values()))
    recognised, ambiguous = {}, {}
    for column in SYNONYMS:
        if column in names or column in mapping or (column == "order" and "time" in names):  # a time sorts, too
            continue
        own_response = column == "correct" and "response" not in mapping and names.get("response")
        groups = candidates(column, [name for name in available if name not in used or name == own_response])
        if column == "correct":
            groups = correctness.choose(groups)
        if len(groups) > 1 or (groups and len({plain(name) for name in groups[0]}) < len(groups[0])):
            ambiguous[column] = groups
        elif groups:
            recognised[column] = groups[0][0]
    if ambiguous:
        repeated = [
            name for groups in ambiguous.values() for group in groups for name in group if group.count(name) > 1
        ]
        if repeated:
            raise ResponsesError(f"{source}: more than one column is named {repeated[0]!r}", "rename all but one")
        sentences = [
            f"{' and '.join(repr(name) for group in groups for name in group)} can each be the column {column}"
            for column, groups in ambiguous.items()
        ]
        first = {column: groups[0][0] for column, groups in ambiguous.items()}
        raise ResponsesError(
            f"{source}: {', and '.join(sentences)}", "choose with {}", columns={**mapping, **recognised, **first}
        )
    if "correct" in recognised:
        correctness.check(recognised["correct"], {**mapping, **recognised})
    return recognised


class Correctness(NamedTuple):
    """Choice of the column of correctness among the columns with one of its names, by the first cells of each.

    free  names of the source's columns that are not mapped

    The other fields are arguments of `map_columns`.
    """

    source: str
    free: Sequence[Any]
    sample: Callable[[str], pa.ChunkedArray]

    def choose(self, groups: list[list[Any]]) -> list[list[Any]]:
        """Return the groups of names that may be correctness: one group per meaning, the preferred name first.

        Columns of answers that differ are groups of their own. If there is an answer key, an answer is not correctness.
        """
        names = [name for group in groups for name in group]
        if among(KEYS, self.free):
            names = [name for name in names if not among(ANSWERS, [name])]
        if len({plain(name) for name in names}) < len(names):
            return [names]
        holders = [name for name in names if self._holds_answers(name)]
        if any(self._differ(a, b) for a, b in combinations(holders, 2)):
            return [[name] for name in holders]
        names.sort(key=lambda name: (not among(CERTAIN, [name]), name not in holders))
        return [names] if names else []

    def check(self, name: str, columns: Mapping[str, str | None]) -> None:
        """Raise ResponsesError if a column, such as a score from 0 to 100, may hold something else than correctness.

        A few other values are errors of their rows, which are reported later.
        """
        if among(CERTAIN, [name]) or self._holds_answers(name) or self._share_of_answers(name) >= MOST_ANSWERS:
            return
        raise not_scored(self.source, name, "first rows", self._other_value(name), columns)

    def _holds_answers(self, name: str) -> bool:
        """Return whether the first cells of a column are answers."""
        return cells.holds_answers(self.sample(name))

    def _differ(self, a: str, b: str) -> bool:
        """Return whether the first answers of two columns differ; a missing answer differs from 0 and 1."""
        return not np.array_equal(cells.parse_answers(self.sample(a)), cells.parse_answers(self.sample(b)))

    def _share_of_answers(self, name: str) -> float:
        """Return the fraction of the first cells, without the missing ones, that are 0 or 1."""
        column = self.sample(name)
        present = ~cells.is_missing(column, ())
        return float((cells.parse_answers(column) >= 0)[present].mean()) if present.any() else 0

    def _other_value(self, name: str) -> Any | None:
        """Return the first value of a column that is neither an answer nor missing; None if there is none."""
        column = self.sample(name)
        others = (cells.parse_answers(column) < 0) & ~cells.is_missing(column, ())
        return column[int(others.argmax())].as_py() if others.any() else None


def _propose_correct(names: Sequence[Any], answered: Sequence[Any]) -> Any | None:
    """Return the name of a column of answers that is probably correctness; None if there is none, or several.

    answered  those of the names whose columns hold answers
    """
    answered = [name for name in answered if may_be_correct(name)]
    if among(KEYS, names):
        answered = [name for name in answered if not among(ANSWERS, [name])]
    return closest("correct", answered) or (answered[0] if len(answered) == 1 else None)


def _missing_columns(
    mapping: Mapping[str, str | None], proposed: Mapping[str, Any], available: Sequence[Any], source: str
) -> ResponsesError:
    """Return the error about missing columns.

    proposed  for each missing column, the name that is probably meant; None if no name is similar
    """
    listed = ", ".join("skill or item" if column == "skill" else column for column in proposed)
    names = {column: name or "NAME" for column, name in proposed.items()}
    cure = "name the columns with {}"
    free = [name for name in available if name not in mapping.values()]
    keys, answers = among(KEYS, free), among(ANSWERS, free)
    if names.get("correct") == "NAME" and keys:
        answer = f"the answers {answers[0]!r}" if answers else "the answers"
        added = "add a column that is 1 where they agree and 0 elsewhere"
        cure = f"compare {answer} with the key {keys[0]!r}, {added}, and {cure}"
    return ResponsesError(
        f"{source}: there is no column for {listed}; {list_columns(available)}",
        cure,
        columns={**mapping, **names},
    )


def checked_mapping(columns: Any) -> Mapping[str, str | None]:
    """Return the argument `columns`, {} for None. Raises ResponsesError if it is no mapping."""
    if not isinstance(columns, Mapping | None):
        raise ResponsesError(f"columns must be a mapping; got {columns!r:.100}", "pass {}", columns={"student": "NAME"})
    return columns or {}


def _without_timestamp(columns: Mapping[str, str | None] | None) -> dict[str, str | None]:
    """Return the mapping with timestamp replaced by its synonym order."""
    mapping = dict(checked_mapping(columns))
    if unknown := [column for column in mapping if column not in (*_DEFAULT_NAMES, "timestamp")]:
        similar = closest(str(unknown[0]), COLUMNS)
        raise ResponsesError(
            f"a response log has no column {unknown[0]!r}; its columns are {', '.join(_DEFAULT_NAMES)}",
            "map one of these with {}",
            columns={similar or COLUMNS[0]: mapping[unknown[0]]},
        )
    if "timestamp" in mapping:
        if mapping.get("order"):
            raise ResponsesError(
                "order and timestamp are two names of one column, but both are mapped", "map only one of them"
            )
        mapping["order"] = mapping.pop("timestamp")
    return mapping


def column_names(table: Any) -> list[Any]:
    """Return the names of the columns of a table of any supported type."""
    if isinstance(table, Mapping):
        return list(table)
    if isinstance(table, np.ndarray) and table.dtype.names:
        return list(table.dtype.names)
    for attribute in ATTRIBUTES:
        if not isinstance(table, np.ndarray) and hasattr(table, attribute):
            return list(getattr(table, attribute))
    raise ResponsesError(
        f"expected a table of Arrow or pandas, a dictionary of columns or a structured array; "
        f"got {type(table).__name__}"
    )


def is_table(value: Any) -> bool:
    """Return whether a value is of a type of tables that `column_names` knows; a lazy table is not computed."""
    if isinstance(value, np.ndarray):
        return value.dtype.names is not None
    return isinstance(value, Mapping) or any(hasattr(type(value), attribute) for attribute in ATTRIBUTES)
