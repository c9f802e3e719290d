"""Parentheses in the names of policies: texts are split outside of them, and nested names are put into them."""

from __future__ import annotations

from alsim.errors import AlsimError


def split(name: str, text: str, separator: str = ":") -> list[str]:
    """Return the parts of a text between separators outside of parentheses, without parentheses around all of a part.

    name  complete name, for the error

    Raises AlsimError for parentheses that are not balanced.
    """
    parts, depth = [""], 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if depth < 0:
            break
        if character == separator and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    if depth != 0:
        raise AlsimError(f"the parentheses in the name {name!r} are not balanced; write one ) for each (")
    return [without_parentheses(part.strip()) for part in parts]


def without_parentheses(text: str) -> str:
    """Return a text without its outer parentheses, if one pair encloses all of it."""
    depth = 0
    for k, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0 and k < len(text) - 1:
            return text
    return without_parentheses(text[1:-1].strip()) if text.startswith("(") and text.endswith(")") else text


def enclosed(name: str, separators: str = ":") -> str:
    """Return a policy's name as an argument of another one: in parentheses if it contains a separator."""
    return f"({name})" if any(character in name for character in separators) else name


__all__ = ["enclosed", "split", "without_parentheses"]
