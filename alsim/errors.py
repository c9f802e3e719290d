"""Exceptions for invalid input, and suggestions for misspelled names."""

from __future__ import annotations

from collections.abc import Iterable


class AlsimError(ValueError):
    """Invalid input: the message names the value, the expected value, and the place."""


class InputTypeError(AlsimError, TypeError):
    """Input of an invalid type."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the end of an error message about an unknown name: "; did you mean 'rules'?", or "" without a match.

    name   name that is not among the known ones
    known  valid names; the most similar one is suggested, or one that begins with `name`
    """
    match = closest(name, known)
    return f"; did you mean {match!r}?" if match else ""


def closest(name: str, known: Iterable[str]) -> str:
    """Return the name among the known ones that is most similar to `name`, or begins with it; "" without a match."""
    from difflib import get_close_matches

    names = {_folded(other): other for other in reversed(list(known))}
    word = _folded(name)
    matches = get_close_matches(word, names, n=1)
    if not matches and len(word) > 1:
        matches = [other for other in names if other.startswith(word)][-1:]
    return names[matches[0]] if matches else ""


def _folded(name: str) -> str:
    """Return a name without the differences that are most often confused: of case, and between _ and -."""
    return name.casefold().replace("_", "-").strip("-")
