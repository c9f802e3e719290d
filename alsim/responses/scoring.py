"""Recognition of wide tables whose cells are not scored as 0 and 1: scores, ratings, chosen options and words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from typing import Any, NamedTuple

from alsim.responses import cells
from alsim.responses.report import ResponsesError
from alsim.utils.names import whole_name

MAX_SCORE = 6
"""Largest integer that is probably a score if the scores below it are missing; 9 and 99 usually mean no response."""
MAX_CODES = 15
"""Largest number of distinct codes in a table that is not scored."""
MIN_ITEMS = 3
"""Smallest number of columns with the same codes that seem to be items, if other columns have other cells."""

MOST_ANSWERS = 0.9
"""Fraction of 0 and 1 among the answers from which a column named like correctness is correctness."""

SCORE_THEM = "write 1 for a correct answer and 0 for a wrong one"
_SCORE_LEVELS = "score each item as 0 and 1, such as 1 for its highest score and 0 for lower ones"
_NO_LEVELS = "only the column credit of a file with one row per response may have scores between wrong and correct"
SCORE_CELL = "correct the cell, or score the item as 0 and 1, such as 1 for its highest score"
ONLY_ANSWERS = " (only the column credit of a file with one row per response may have other scores)"

_FRACTION = re.compile(r"0?\.[0-9]*[1-9][0-9]*")
_NEGATIVE = re.compile(r"-[0-9]+(?:\.0*)?")
_LETTER = re.compile(r"[A-Za-z]")
_WORDS = (
    *(("yes", "no"), ("y", "n"), ("right", "wrong"), ("r", "w"), ("correct", "incorrect"), ("correct", "wrong")),
    *(("pass", "fail"), ("passed", "failed"), ("richtig", "falsch"), ("ja", "nein"), ("+", "-")),
)
"""Pairs of words for a correct and for a wrong answer."""
_UNKNOWN = ("dk", "don't know", "not reached", "omit", "omitted", "skipped", "x")


class Coding(NamedTuple):
    """Codes of a table that is not scored: what they are, and how they are scored."""

    kind: str
    cure: str


def check_scored(columns: Sequence[Sequence[str]], source: str, *, have_names: bool) -> None:
    """Raise ResponsesError for a table that seems to have one column per item, but whose answers are not scored.

    columns     texts of each column that is neither omitted nor the students; an empty text for a missing cell
    source      name of the source
    have_names  True if the table has a column of students, so that all others are probably items

    The columns have the same few codes, and at least three quarters of them have one that is neither 0 nor 1; in other
    tables, they may be the numbers of students and skills, or covariates. Codes of one row
    only are ignored, since they may be sums or means below the rows of the students.
    """
    found = _repeated_codes(columns)
    columns_with = Counter(code for codes in found for code in codes)
    shared = [codes for codes in found if 2 * sum(columns_with[code] > 1 for code in codes) > len(codes) > 0]
    codes = {code for column in shared for code in column}
    unscored = [column for column in shared if len(column) > 1 and not all(map(cells.ANSWER.fullmatch, column))]
    least = 2 if len(shared) == len(found) or have_names else MIN_ITEMS
    if len(shared) < least or 2 * len(shared) <= len(found) or 4 * len(unscored) < 3 * len(shared):
        return
    coding = _coding(codes)
    if coding is not None:
        value = min(code for code in codes if not cells.ANSWER.fullmatch(code))
        raise ResponsesError(
            f"{source}: seems to have one column per item, but with {coding.kind}, such as {value!r}; expected 0, 1 or "
            "a missing value",
            coding.cure,
        )


def not_scored(
    source: str, name: Any, rows: str, value: Any, columns: Mapping[str, str | None], *, is_named: bool = True
) -> ResponsesError:
    """Return the error about a column that is named like correctness, but holds other values than 0 and 1.

    rows      the rows that were examined
    value     such a value; None if the column has none
    columns   mapping of the other columns, for the cure
    is_named  False for a column that is certainly that of correctness, of which most values are invalid
    """
    example = "" if value is None else f", such as {value!r}"
    fault = f"is named like correct, but its {rows} are not all 0 or 1"
    problem = f"{source}: the column {name!r} {fault if is_named else 'has mostly other values than 0 and 1'}{example}"
    if _FRACTION.fullmatch(_plain(str(value))):
        others = {column: title for column, title in columns.items() if column != "correct"}
        cure = "write the answers as 0 and 1, or read the column as partial credit with {}"
        return ResponsesError(problem, cure, columns={**others, "credit": name})
    return ResponsesError(
        problem,
        "write the answers as 0 and 1, or name another column with {}",
        columns={**columns, "correct": "NAME"},
    )


def score_in_row(message: str, title: str, columns: Mapping[str, str | None] | None) -> ResponsesError:
    """Return the error about a score in a column of answers; its cure says how scores from 0 to 1 are read.

    message  message about the cell
    title    name of the column
    columns  mapping of the other columns; None for columns that cannot be mapped
    """
    message += " (only skill-mean, pfa and best-lr can use scores between 0 and 1)"
    cure = "correct the cell, score the answers as 0 and 1, such as 1 for the highest score, or"
    if columns is None:
        return ResponsesError(message, f"{cure} pass scores from 0 to 1 as credit=")
    return ResponsesError(
        message, f"{cure} read scores from 0 to 1 as partial credit with {{}}", columns={**columns, "credit": title}
    )


def _repeated_codes(columns: Sequence[Sequence[str]]) -> list[set[str]]:
    """Return the distinct codes of each column, without those that occur in one row only."""
    plain = {text: _plain(text) for column in columns for text in {*column}}
    first_row: dict[str, int] = {}
    repeated = {""}
    for column in columns:
        for row, text in enumerate(column):
            code = plain[text]
            if first_row.setdefault(code, row) != row:
                repeated.add(code)
    return [({plain[text] for text in column} & repeated) - {""} for column in columns]


def is_score(value: object, column: Set[str] = frozenset()) -> bool:
    """Return whether a value is probably a score above 0: a fraction, or an integer up to `MAX_SCORE`.

    column  other texts of its column: an integer above all of 2, 3 and so on is a score, too
    """
    text = _plain(str(value))
    if _FRACTION.fullmatch(text):
        return True
    if not text.isdecimal() or int(text) < 2:
        return False
    plain = {_plain(other) for other in column}
    return int(text) <= MAX_SCORE or (int(text) < MAX_CODES and {str(k) for k in range(2, int(text))} <= plain)


def _coding(codes: Set[str]) -> Coding | None:
    """Return the coding that has these codes; None if some are no code, such as 9 for no response."""
    words = {code.casefold() for code in codes}
    for right, wrong in _WORDS:
        found = {right, wrong} & words
        if found and words <= {right, wrong, "0", "1", *_UNKNOWN} and (len(found) == 2 or not words & {"0", "1"}):
            return Coding(f"the words {right!r} and {wrong!r}", f"write 1 for {right!r} and 0 for {wrong!r}")
    numbers = {code for code in codes if not _NEGATIVE.fullmatch(code)}
    if len(codes) > MAX_CODES:
        return None
    if all(code.isdecimal() for code in numbers):
        return _of_integers({int(code) for code in numbers})
    if all(code.isdecimal() or _FRACTION.fullmatch(code) for code in numbers):
        return Coding("scores between 0 and 1", f"{_SCORE_LEVELS}: {_NO_LEVELS}")
    letters = {code for code in codes if _LETTER.fullmatch(code)}
    if letters and 2 * len(letters) > len(codes):
        return Coding("letters, as of chosen options", f"{SCORE_THEM}, by comparison with the answer key")
    has_answers = any(cells.ANSWER.fullmatch(code) for code in codes)  # the others may mean no response then
    return Coding("other codes", SCORE_THEM) if len(codes) > 1 and not has_answers else None


def _of_integers(values: Set[int]) -> Coding | None:
    """Return the coding of integers; None unless they are consecutive."""
    low, high = min(values, default=0), max(values, default=0)
    if high < 2 or len(values) < max(high - low + 1, 2) or (low > 1 and high > MAX_SCORE):
        return None
    if low == 0:
        return Coding(f"scores from 0 to {high} (partial credit)", f"{_SCORE_LEVELS}: {_NO_LEVELS}")
    if values == {1, 2}:
        return Coding("the codes 1 and 2", "write 1 for the code of a correct answer and 0 for the other one")
    return Coding(
        f"the codes {low} to {high}, as of ratings or chosen options",
        f"{SCORE_THEM}: compare chosen options with the answer key, or divide ratings into high and low ones",
    )


def _plain(text: str) -> str:
    """Return a code without white space; a whole number without decimals."""
    return whole_name(text.strip())
