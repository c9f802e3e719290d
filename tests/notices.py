"""Notices about compiled kernels, which a process prints on stderr only if the cache does not have them."""

NOTICES = ("alsim: compiling", "alsim: the cache of compiled kernels")
"""Beginnings of the lines: a compilation, and a cache that is damaged or full, such as under a limit of file sizes."""


def without_notice(stderr: str) -> str:
    """Return the text on stderr without notices about compiled kernels."""
    return "".join(line for line in stderr.splitlines(keepends=True) if not line.startswith(NOTICES))
