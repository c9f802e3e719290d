"""Exceptions for invalid input, and suggestions for misspelled names."""

from __future__ import annotations

import re
from collections.abc import Iterable


class AlsimError(ValueError):
    """Invalid input: the message names the value, the expected value, and the place."""


class InputTypeError(AlsimError, TypeError):
    """Input of an invalid type."""


class RuleWarning(UserWarning):
    """A rule of a user's dynamics runs, but its results are questionable."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the end of an error message about an unknown name: "; did you mean 'rules'?", or "" without a match.

    name   name that is not among the known ones
    known  valid names; the most similar one is suggested, or one that begins with `name`
    """
    closest = closest_name(name, known)
    return "" if closest is None else f"; did you mean {closest!r}?"


def closest_name(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the known name that is most similar to `name`, or else one that begins with it; None without a match.

    Case and the separators space, _ and - do not matter.

    name    name that is not among the known ones
    known   valid names
    cutoff  least similarity of a match, in [0, 1], as difflib measures it
    """
    from difflib import get_close_matches

    names = {_folded(other): other for other in reversed(list(known))}
    word = _folded(name)
    matches = get_close_matches(word, names, n=1, cutoff=cutoff)
    if not matches and len(word) > 1:
        matches = [other for other in names if other.startswith(word)][-1:]
    return names[matches[0]] if matches else None


def _folded(name: str) -> str:
    """Return a name without the differences that are most often confused: of case, and between spaces, _ and -."""
    return re.sub(r"[\s_]", "-", name.casefold()).strip("-")
