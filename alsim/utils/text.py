"""Text that is safe to print: names in banks are untrusted, and must not control the terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return text with control characters and line breaks escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def ascii_text(text: str) -> str:
    """Return text in ASCII, with all other characters, control characters and line breaks escaped."""
    return printable(text).encode("ascii", "backslashreplace").decode("ascii")
