"""Text that is safe to print."""

import pytest

from alsim.utils.text import ascii_text, printable


@pytest.mark.parametrize(
    ("text", "shown", "in_ascii"),
    [
        ("q16", "q16", "q16"),
        ("q\x1b[31m日0", r"q\x1b[31m日0", r"q\x1b[31m\u65e50"),
        ("a\nb\u2028", r"a\nb\u2028", r"a\nb\u2028"),
        ("é😀\ud800", r"é😀\ud800", r"\xe9\U0001f600\ud800"),
    ],
)
def test_escapes(text: str, shown: str, in_ascii: str) -> None:
    assert printable(text) == shown
    assert ascii_text(text) == in_ascii
