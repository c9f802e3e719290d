"""The notice of a compilation, which a process prints on stderr only if the cache does not have the result."""


def without_notice(stderr: str) -> str:
    """Return the text on stderr without the lines that announce a compilation."""
    return "".join(line for line in stderr.splitlines(keepends=True) if not line.startswith("alsim: compiling"))
