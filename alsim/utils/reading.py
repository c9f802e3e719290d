"""Files from outside. Only this module opens them: regular files, within their directory, up to a size limit."""

from __future__ import annotations

import io
import json
import os
import stat
import tomllib
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

MIB = 2**20
MAX_JSON = 256 * MIB
"""Largest JSON file of a dataset, a fit, a policy or a plan, bytes."""
MAX_TABLE = 256 * MIB
"""Largest text table of items or of a learning curve, bytes."""
MAX_TOML = MIB
"""Largest file of settings, bytes."""
MAX_RATIO, FREE_BYTES = 1000, 256 * MIB
"""A compressed file may have contents of MAX_RATIO times its own size; up to FREE_BYTES are always allowed."""
MAX_REASON = 500
"""Characters of a reason in an error; files can have values of any length."""
PART = 4 * MIB
"""Bytes that are read at once."""
MAX_DEPTH = 100
"""Largest number of objects, arrays and tables within each other."""

CURE = "not a regular file: save the data to a file"
KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISDIR, "a directory, not a file"),
    (stat.S_ISFIFO, f"a named pipe, {CURE}"),
    (stat.S_ISSOCK, f"a socket, {CURE}"),
    (stat.S_ISCHR, f"a device, {CURE}"),
    (stat.S_ISBLK, f"a device, {CURE}"),
)
"""Kinds of files that are refused, and their descriptions."""
FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_BINARY", "O_CLOEXEC", "O_NONBLOCK", "O_NOCTTY"))
"""O_NONBLOCK: if a named pipe replaces the file between the check and the opening, opening it does not block."""
APPENDED = FLAGS | os.O_RDWR | os.O_CREAT
"""Flags of a file that is read and extended."""


class RefusedFile(OSError):
    """Error for a file that is not opened or not read. The message says what it is, and what was expected."""


class OutsideDirectory(RefusedFile):
    """Error for a file that must lie in a directory and does not."""

    def __init__(self, directory: Path) -> None:
        super().__init__(f"it is outside of {directory}; expected a file in this directory")


def open_file(path: str | Path, *, inside: str | Path | None = None) -> io.BufferedReader:
    """Open a regular file for reading, and return its binary stream.

    path    file to open. It may be a symbolic link
    inside  directory that a file of someone else must not lead out of, by a link or by ".."; None: any place

    Raises OSError: RefusedFile for a directory, a named pipe, a device or a socket and for an invalid path,
    OutsideDirectory for a file outside of `inside`. Neither opening nor reading the file blocks.
    """
    try:
        file = Path(path) if inside is None else _resolved(Path(path), Path(inside))
        _check_regular(os.stat(file))
        descriptor = os.open(file, FLAGS if inside is None else FLAGS | getattr(os, "O_NOFOLLOW", 0))
    except ValueError:  # a null byte, or half of a surrogate pair
        raise RefusedFile(_INVALID_PATH) from None
    try:
        _check_regular(os.fstat(descriptor))
        return io.BufferedReader(io.FileIO(descriptor, "rb"))
    except BaseException:
        os.close(descriptor)
        raise


def open_appended(path: str | Path) -> io.BufferedRandom:
    """Open a regular file for reading and writing, and return its binary stream; an absent file is created.

    Raises OSError, see `open_file`. The file is not truncated, and neither opening nor reading it blocks.
    """
    try:
        if os.path.lexists(path):
            _check_regular(os.stat(path))
        descriptor = os.open(path, APPENDED, 0o666)
    except ValueError:
        raise RefusedFile(_INVALID_PATH) from None
    try:
        _check_regular(os.fstat(descriptor))
        return io.BufferedRandom(io.FileIO(descriptor, "r+b"))
    except BaseException:
        os.close(descriptor)
        raise


def open_text(path: str | Path, *, encoding: str) -> io.TextIOWrapper:
    """Open a regular file as text, whose line ends are not translated.

    Raises OSError, see `open_file`, and LookupError for an unknown encoding.
    """
    stream = open_file(path)
    try:
        return io.TextIOWrapper(stream, encoding=encoding, newline="")
    except BaseException:
        stream.close()
        raise


def path_inside(directory: Path, name: str) -> Path:
    """Return the path of a file that a manifest names, relative to its directory.

    Raises OutsideDirectory if the path leads out of the directory, by the rules of any operating system or by a link.
    Raises OSError if it cannot be resolved.
    """
    parts = PurePosixPath(name), PureWindowsPath(name)
    if any(path.anchor or ".." in path.parts for path in parts) or "\\" in name or not name.isprintable():
        raise OutsideDirectory(directory)
    _resolved(directory / name, directory, strict=False)
    return directory / name


def read_bytes(path: str | Path, limit: int, *, inside: str | Path | None = None) -> bytes:
    """Return the content of a regular file of at most `limit` bytes. Raises OSError, see `open_file`."""
    with open_file(path, inside=inside) as stream:
        is_larger = os.fstat(stream.fileno()).st_size > limit
        content = b"" if is_larger else _read(stream, limit + 1)  # a file of /proc has a size of 0, and content
    if is_larger or len(content) > limit:
        raise RefusedFile(f"it has more than {limit:,} bytes, the limit for such a file")
    return content


def read_start(path: str | Path, most: int, *, inside: str | Path | None = None) -> bytes:
    """Return the first `most` bytes of a regular file, or all if it has fewer. Raises OSError, see `open_file`."""
    with open_file(path, inside=inside) as stream:
        return _read(stream, most)


def read_text(
    path: str | Path, limit: int = MAX_TABLE, *, encoding: str = "utf-8", inside: str | Path | None = None
) -> str:
    """Return the text in a regular file of at most `limit` bytes. Raises OSError, and ValueError for another encoding.

    Line ends are not translated.
    """
    return read_bytes(path, limit, inside=inside).decode(encoding)


def read_json(
    path: str | Path,
    limit: int = MAX_JSON,
    *,
    inside: str | Path | None = None,
    parse_float: Callable[[str], Any] | None = None,
    parse_constant: Callable[[str], Any] | None = None,
) -> Any:
    """Return the value in a JSON file. Raises OSError, and ValueError for other content.

    limit           largest size of the file, bytes
    inside          see `open_file`
    parse_float     function for numbers with a fraction or an exponent; see `json.loads`
    parse_constant  function for NaN and infinities; see `json.loads`
    """
    return parse_json(read_bytes(path, limit, inside=inside), parse_float, parse_constant)


def parse_json(
    content: bytes,
    parse_float: Callable[[str], Any] | None = None,
    parse_constant: Callable[[str], Any] | None = None,
) -> Any:
    """Return the value of JSON text in UTF-8.

    Raises ValueError for other content, for a key that occurs twice in an object, and for more than MAX_DEPTH levels.

    parse_float, parse_constant  see `read_json`
    """
    try:
        value = json.loads(
            content.decode("utf-8"),
            parse_float=parse_float,
            parse_constant=parse_constant,
            object_pairs_hook=_unique_keys,
        )
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    _check_depth(value)
    return value


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object with these pairs of key and value. Raises ValueError for a key that occurs twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r:.100} occurs more than once in an object")
    return found


def read_toml(path: str | Path, *, inside: str | Path | None = None) -> dict[str, Any]:
    """Return the tables of a TOML file, with or without byte order mark. Raises OSError, and ValueError if invalid.

    inside  see `open_file`
    """
    text = read_text(path, MAX_TOML, encoding="utf-8-sig", inside=inside).replace("\r\n", "\n").replace("\r", "\n")
    try:
        tables = tomllib.loads(text)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    _check_depth(tables)
    return tables


def missing_file_cure(path: Path) -> str:
    """Return what to do if a file does not exist: a file of a similar name, or the directory of relative paths."""
    try:
        names = [entry.name for entry in os.scandir(path.parent)]
    except (OSError, ValueError):
        names = []
    similar = get_close_matches(path.name, names)
    if similar:
        return f"did you mean {path.with_name(similar[0])}?"
    return "check the path" + ("" if path.is_absolute() else f", relative to {Path.cwd()}")


def reason(error: BaseException) -> str:
    """Return the reason of an error about a file in one line, without the path, which the caller's message names."""
    if isinstance(error, KeyError):
        text = f"{error} is missing"
    else:
        text = " ".join(str(getattr(error, "strerror", None) or error).split()) or type(error).__name__
    return text if len(text) <= MAX_REASON else f"{text[:MAX_REASON]}..."


_INVALID_PATH = "its path is invalid: it has a null byte or a character without encoding"
_TOO_DEEP = f"it has more than {MAX_DEPTH} values within each other"


def _read(stream: io.BufferedReader, most: int) -> bytes:
    """Return up to `most` bytes. The memory for a part is reserved when the part before it was read."""
    parts: list[bytes] = []
    while most > 0 and (part := stream.read(min(most, PART))):
        parts.append(part)
        most -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _check_depth(value: Any) -> None:
    """Raise ValueError for more than MAX_DEPTH levels: many functions recurse, such as repr and the writer of JSON."""
    level, depth = [value], 0
    while level := [
        inner
        for outer in level
        for inner in (outer.values() if isinstance(outer, dict) else outer if isinstance(outer, list) else ())
        if isinstance(inner, list | dict)
    ]:
        depth += 1
        if depth >= MAX_DEPTH:
            raise ValueError(_TOO_DEEP)


def _check_regular(status: os.stat_result) -> None:
    """Raise RefusedFile unless a status is that of a regular file."""
    if not stat.S_ISREG(status.st_mode):
        kind = next((kind for is_kind, kind in KINDS if is_kind(status.st_mode)), CURE)
        raise RefusedFile(f"it is {kind}")


def _resolved(file: Path, directory: Path, *, strict: bool = True) -> Path:
    """Return the path without links. Raises OutsideDirectory if it is outside of the directory.

    Raises OSError if the path cannot be resolved or, if `strict`, does not exist.
    """
    try:
        real = file.resolve(strict=strict)
        if not real.is_relative_to(directory.resolve()):
            raise OutsideDirectory(directory)
    except RuntimeError:  # Python 3.11 and 3.12 raise it for circular links
        raise RefusedFile("it is a circular link") from None
    return real
