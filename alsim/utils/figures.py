"""Files of figures that Matplotlib draws."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alsim._version import __version__
from alsim.errors import AlsimError
from alsim.utils.files import check_writable, write_atomic
from alsim.utils.optional import require
from alsim.utils.reading import MAX_TABLE, read_bytes

ENDINGS = (".png", ".svg", ".pdf")
CREATOR = re.compile(rb"(tEXtCreator\0|<dc:title>|/Creator \()alsim [0-9]")
"""The creator in the metadata of a figure of alsim, in PNG, SVG and PDF."""
UNDATED: dict[str, dict[str, None]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
"""Metadata that leave out the date, by format; PNG has none."""


def check_figure(file: Path, source: str) -> None:
    """Raise AlsimError if a figure cannot be written to a file, or MissingExtra without Matplotlib.

    source  option or argument that names the file, for messages
    """
    if file.suffix.lower() not in ENDINGS:
        raise AlsimError(f"{source} must be a file with the ending {', '.join(ENDINGS)}; got {file}")
    check_writable(file, source)
    require("matplotlib.figure", "plot", source)


def new_figure(width: float, height: float, dpi: int = 160) -> Any:
    """Return a figure of Matplotlib, of a size in inches. It is not one of pyplot, which may need a display."""
    return require("matplotlib.figure", "plot", "a figure").Figure((width, height), dpi=dpi, layout="constrained")


@contextmanager
def any_script() -> Iterator[None]:
    """Draw names in scripts that the font lacks without a warning; their characters are boxes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph ", UserWarning)
        yield


def write_figure(figure: Any, file: Path) -> None:
    """Write a figure atomically, in the format that the ending of the file names.

    Equal figures give equal bytes, with the same version of Matplotlib. Text in SVG stays text, which is searchable.
    """
    stream, kind = io.BytesIO(), file.suffix[1:].lower()
    metadata = {"Creator": f"alsim {__version__}"} | UNDATED.get(kind, {})
    settings = {"svg.hashsalt": "alsim", "svg.fonttype": "none"}
    with require("matplotlib", "plot", "a figure").rc_context(settings), any_script():
        figure.savefig(stream, format=kind, metadata=metadata)
    file.absolute().parent.mkdir(parents=True, exist_ok=True)
    write_atomic(file, stream.getvalue())


def is_figure(file: Path) -> bool:
    """Return whether a file is a figure that `write_figure` wrote."""
    try:
        return CREATOR.search(read_bytes(file, MAX_TABLE)) is not None
    except OSError:
        return False
