"""Recognition of columns by the names that public logs and common exports give them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from alsim.errors import closest_name


def _group(word: str, *forms: str) -> tuple[str, ...]:
    """Return the names of one word, such as "skill name", "skill" and "skill id", the preferred one first."""
    return tuple(f"{word}{form}" for form in forms)


_BY_ID, _BY_NAME = (" id", "", " name", " idx"), (" name", "", " id", " idx", "s", " names", " ids")

SYNONYMS: dict[str, tuple[tuple[str, ...], ...]] = {
    "student": (
        *(_group(word, *_BY_ID) for word in ("student", "anon student", "user", "learner", "pupil", "participant")),
        *(_group(word, *_BY_ID) for word in ("respondent", "examinee", "person")),
        ("uid",),
    ),
    "skill": tuple(_group(word, *_BY_NAME) for word in ("skill", "kc", "knowledge component", "concept", "topic")),
    "item": (
        *(_group(word, *_BY_ID) for word in ("item", "question", "problem", "exercise", "content")),
        _group("step", " name", " id"),
    ),
    "correct": (
        (
            *("correct", "is correct", "answered correctly", "correctness", "correct first attempt"),
            *("score", "outcome", "result", "right", "response"),
        ),
    ),
    "order": (
        (
            *("order", "order id", "timestamp", "first transaction time", "step start time", "start time", "end time"),
            *("time done", "submit time", "submitted at", "answered at", "date answered", "created at"),
            *("datetime", "date"),
        ),
    ),
}
"""Names of columns that are recognised, by alsim's names: groups of names, each in order of preference.

Names of one group mean the same. Two groups differ in meaning, so a source with names of both is ambiguous. "time" is
missing on purpose: in many logs it is a duration, and responses that are sorted by it are in the wrong order. So is
"step": it is often a time step.
Sources: the headers of ASSISTments, DataShop and KDD Cup 2010, EdNet, Riiid, Eedi, Junyi, and the defaults of pyBKT.
"""

CERTAIN = ("correct", "is correct", "answered correctly", "correctness", "correct first attempt")
"""Names that mean only correctness. The other synonyms of correct are also names of points and of raw answers."""

KEYS = (
    *("key", "answer key", "solution", "solution id", "correct answer", "correct answer id", "correct response"),
    *("correct option", "correct choice", "right answer", "expected answer", "expected response", "true answer"),
)
"""Names of the right answer to an item."""

ANSWERS = (
    *("response", "answer", "user answer", "student answer", "given answer", "user response", "student response"),
    *("answer given", "answer value", "answer id", "selected answer", "selected option", "selected choice", "choice"),
    *("chosen answer", "chosen option"),
)
"""Names of the answer that a student gave. If there is an answer key, such a column is not correctness."""

ROW_LABELS = ("id", "", "unnamed: 0", "row names")
"""Names of the column of students in wide files, besides those of SYNONYMS: exports of row labels by R and pandas."""

FREQUENCY = "freq"
"""Name of the column of frequencies in wide files of patterns, recognised in any spelling, such as Freq."""

FREQUENCIES = ("frequency", "frequencies", "count", "counts", "n", "weight", "weights")
"""Other names of the column of frequencies. They are proposed, not recognised."""

TOTALS = (
    *("total", "total score", "totals", "sum", "sum score", "score", "scores", "raw score", "test score", "points"),
    *(
        "mark",
        "marks",
        "grade",
        "result",
        "correct",
        "number correct",
        "num correct",
        "mean",
        "average",
        "percent",
        "percentage",
    ),
)
"""Names of columns of sums or means in wide files."""

COVARIATES = ("gender", "sex", "female", "male", "group", "treat", "treatment", "treated", "condition", "control")
"""Names of columns of 0 and 1 in wide files that are probably not items."""

_OTHER = re.compile(r"attempt|hint|count|time|duration|opportunit|weight|freq")
"""Part of the names of counts and durations, which often hold only 0 and 1 in the first rows."""

_KC = re.compile(r"kc\(.*\)")
"""Column of a knowledge component model in DataShop, such as KC (Default), without separators."""


def plain(name: Any) -> str:
    """Return a name in lower case, without spaces, underscores, hyphens and points; "" if it is not a text."""
    return re.sub(r"[\s_.-]+", "", name.casefold()) if isinstance(name, str) else ""


_RANKS = {
    column: {plain(name): (group, rank) for group, names in enumerate(groups) for rank, name in enumerate(names)}
    for column, groups in SYNONYMS.items()
}
"""Group and preference of each recognised name, by alsim's names."""


def candidates(column: str, available: Iterable[Any]) -> list[list[Any]]:
    """Return the names that may be a column: one list per group of synonyms, the preferred name first."""
    groups: dict[Any, list[tuple[int, Any]]] = {}
    for name in available:
        word = plain(name)
        if word in _RANKS.get(column, {}):
            group, rank = _RANKS[column][word]
            groups.setdefault(group, []).append((rank, name))
        elif column == "skill" and _KC.fullmatch(word):
            groups.setdefault(word, []).append((0, name))
    return [[name for _, name in sorted(found, key=lambda pair: pair[0])] for found in groups.values()]


def among(names: Iterable[str], available: Iterable[Any]) -> list[Any]:
    """Return the available names that are one of `names` in any spelling, in the order of `names`."""
    ranks = {plain(name): rank for rank, name in enumerate(names)}
    return sorted((name for name in available if plain(name) in ranks), key=lambda name: ranks[plain(name)])


def may_be_correct(name: Any) -> bool:
    """Return whether a column of 0 and 1 may be correctness: its name is no key, no count and no other column."""
    others = (column for column in SYNONYMS if column != "correct")
    return not among(KEYS, [name]) and not _OTHER.search(plain(name)) and not any(candidates(c, [name]) for c in others)


def looks_long(available: Sequence[Any]) -> bool:
    """Return whether the names are those of a long table: a student, a skill or an item, and an answer of any kind."""
    is_answered = candidates("correct", available) or among((*KEYS, *ANSWERS), available)
    is_labelled = candidates("skill", available) or candidates("item", available)
    return bool(candidates("student", available) and is_answered and is_labelled)


def row_labels(available: Iterable[Any]) -> list[Any]:
    """Return the names that may be the column of students in a wide table, the preferred one first."""
    names = list(available)
    known = [name for group in candidates("student", names) for name in group]
    labels = [plain(label) for label in ROW_LABELS]
    return known + sorted(
        (name for name in names if isinstance(name, str) and plain(name) in labels),
        key=lambda name: labels.index(plain(name)),
    )


def frequencies(available: Iterable[Any]) -> list[Any]:
    """Return the names that are recognised as the column of frequencies in a wide table: freq in any spelling."""
    names = list(available)
    return [FREQUENCY] if FREQUENCY in names else among([FREQUENCY], names)


def probable_frequencies(items: Iterable[Any]) -> list[Any]:
    """Return the names of items that are probably the column of frequencies."""
    return among((FREQUENCY, *FREQUENCIES), items)


def is_total(name: Any) -> bool:
    """Return whether a name is that of a column of sums or means, and not of an item."""
    return bool(among(TOTALS, [name]))


def covariates(items: Iterable[Any]) -> tuple[str, ...]:
    """Return the names that are probably covariates, such as the gender of the students, and not items."""
    return tuple(name for name in items if plain(name) in COVARIATES)


def closest(column: str, available: Iterable[Any]) -> Any | None:
    """Return the first name that is spelled like a column or one of its synonyms; None if no name is similar."""
    known = [plain(column), *_RANKS.get(column, {})]
    return next((name for name in available if plain(name) and closest_name(plain(name), known, cutoff=0.75)), None)
