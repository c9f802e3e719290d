"""Lines that a process prints on stderr only on some machines: about compiled kernels, and about long work."""

import re

NOTICE = re.compile(r"alsim: (compiling|the cache of compiled kernels|[0-9,]+ of [0-9,]+ \w+ after )")
"""Beginnings of lines: a compilation, a cache that is damaged or full, and progress after 30 s on a busy machine."""


def without_notice(stderr: str) -> str:
    """Return the text on stderr without notices about compiled kernels and lines about progress."""
    return "".join(line for line in stderr.splitlines(keepends=True) if not NOTICE.match(line))
