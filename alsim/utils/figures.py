"""Files of figures that Matplotlib draws."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from alsim.errors import AlsimError
from alsim.utils.files import check_writable, write_atomic
from alsim.utils.optional import require

ENDINGS = (".png", ".svg", ".pdf")


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


def write_figure(figure: Any, file: Path) -> None:
    """Write a figure atomically, in the format that the ending of the file names."""
    stream = io.BytesIO()
    figure.savefig(stream, format=file.suffix[1:].lower())
    file.absolute().parent.mkdir(parents=True, exist_ok=True)
    write_atomic(file, stream.getvalue())
