"""Text to print: counts with their nouns, and untrusted names, such as those of banks, without control characters."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return text with control characters and line breaks escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def ascii_text(text: str) -> str:
    """Return text in ASCII, with all other characters, control characters and line breaks escaped."""
    return printable(text).encode("ascii", "backslashreplace").decode("ascii")


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun in the singular or plural, such as "1 item" or "2,000 items".

    plural  by default, the noun with an s
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
