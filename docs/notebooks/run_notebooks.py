"""Execution of the notebooks of this directory, and comparison with the stored outputs: `nox -s notebooks`.

With `--write`, the new outputs are stored instead. Names of notebooks, without the directory, select some of them.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import math
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
"""Metadata of every notebook: without versions, so that execution elsewhere changes nothing."""
APPROXIMATE = "approximate"
"""Tag of cells whose numbers depend on the processor, as those of trained policies do."""
TOLERANCE = {"rel_tol": 0.1, "abs_tol": 1.0}
"""Differences up to which numbers of such a cell count as equal: about those between two seeds of a training."""
PICTURE_TOLERANCE = {False: 0.5, True: 5.0}
"""Mean difference of brightness, of 255, up to which pictures count as equal, by whether numbers are approximate."""
NOTICE = "alsim: compiling"
"""Start of the only line that a notebook may write to stderr, on a machine where alsim has not run yet."""
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")

Cell = dict[str, Any]


def execute(path: Path) -> dict[str, Any]:
    """Execute a notebook in a new kernel and an empty directory; return it with its new outputs.

    Raises CellExecutionError of nbclient if a cell fails, and RuntimeError if one writes a warning to stderr.
    """
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        client = NotebookClient(
            notebook,
            timeout=300,
            kernel_name="python3",
            record_timing=False,
            resources=resources,
            extra_arguments=["--log-level=ERROR"],  # without advice about the network of the kernel
        )
        client.execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.execution_count, cell.outputs = None, [*stored(cell.outputs, f"{path.name}, cell {cell.id}")]
    notebook.metadata = nbformat.from_dict(METADATA)
    return notebook


def stored(outputs: list[Any], where: str) -> Iterator[Any]:
    """Yield the outputs of a cell that are stored: all except notices on stderr, and without numbers of executions.

    The kernel sends printed text in pieces that depend on the time. They become one output.
    """
    last = None
    for output in outputs:
        if output.get("name") == "stderr":
            lines = [line for line in output["text"].splitlines() if line.strip() and not line.startswith(NOTICE)]
            if lines:
                raise RuntimeError(f"{where} writes to stderr: {lines[0]}; correct its cause")
            continue
        if last is not None and output["output_type"] == last["output_type"] == "stream":
            last["text"] += output["text"]
            continue
        if "execution_count" in output:
            output["execution_count"] = None
        last = output
        yield output


def differences(old: list[Cell], new: list[Cell]) -> list[str]:
    """Return one line for each code cell whose stored outputs differ from its new ones."""
    found = []
    for before, after in zip(old, new, strict=True):
        if before["cell_type"] != "code":
            continue
        approximate = APPROXIMATE in before["metadata"].get("tags", [])
        if not same_text(*("\n".join(texts(cell)) for cell in (before, after)), approximate=approximate):
            shown, printed = ("\n".join(texts(cell)) for cell in (before, after))
            found.append(f"cell {before['id']}: the stored output is\n{shown}\nbut the cell prints\n{printed}")
        elif not same_pictures(pictures(before), pictures(after), PICTURE_TOLERANCE[approximate]):
            found.append(f"cell {before['id']}: the stored picture differs from the new one")
    return found


def joined(text: str | list[str]) -> str:
    """Return text that a file of a notebook may contain as a list of lines."""
    return text if isinstance(text, str) else "".join(text)


def texts(cell: Cell) -> list[str]:
    """Return the text outputs of a cell."""
    outputs = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell["outputs"]]
    return [joined(text).rstrip() for text in outputs]


def pictures(cell: Cell) -> list[bytes]:
    """Return the pictures of a cell, as PNG files."""
    found = [output.get("data", {}).get("image/png") for output in cell["outputs"]]
    return [base64.b64decode(joined(png)) for png in found if png]


def same_text(old: str, new: str, *, approximate: bool) -> bool:
    """Return whether two outputs are equal, or, if `approximate`, differ at most slightly in their numbers."""
    if not approximate:
        return old == new
    words = [NUMBER.sub("0", text).split() for text in (old, new)]
    numbers = [[float(number.replace(",", "")) for number in NUMBER.findall(text)] for text in (old, new)]
    return words[0] == words[1] and all(math.isclose(a, b, **TOLERANCE) for a, b in zip(*numbers, strict=True))


def same_pictures(old: list[bytes], new: list[bytes], tolerance: float) -> bool:
    """Return whether two lists of pictures look alike."""
    return len(old) == len(new) and all(
        brightness_difference(*pair) <= tolerance for pair in zip(old, new, strict=True)
    )


def brightness_difference(old: bytes, new: bytes) -> float:
    """Return the mean absolute difference of brightness of two PNG files, on a scale of 0 to 255.

    Pictures by different versions of Matplotlib, which draw text differently, are not compared: 0 is returned. Pictures
    whose sizes differ by more than 3 % are as different as black and white.
    """
    import numpy as np
    from PIL import Image

    one, other = (Image.open(io.BytesIO(png)) for png in (old, new))
    if one.info.get("Software") != other.info.get("Software"):
        return 0.0
    if any(abs(a - b) > 0.03 * a for a, b in zip(one.size, other.size, strict=True)):
        return 255.0
    grey = [np.asarray(picture.convert("L").resize((160, 112)), dtype=np.float64) for picture in (one, other)]
    return float(np.abs(grey[0] - grey[1]).mean())


def read(path: Path) -> dict[str, Any]:
    """Return a notebook as JSON values."""
    return json.loads(path.read_text(encoding="utf-8"))


def write(path: Path, notebook: dict[str, Any]) -> None:
    """Write a notebook, with one line of the file per line of code, text and output."""
    import nbformat

    nbformat.write(notebook, path)


def main() -> int:
    """Execute the notebooks, print the time of each and the differences; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="names of notebooks, such as first-policy; all by default")
    parser.add_argument("--write", action="store_true", help="store the new outputs")
    arguments = parser.parse_args()
    if unknown := {*arguments.names} - {path.stem for path in NOTEBOOKS}:
        parser.error(f"no notebook {', '.join(sorted(unknown))}; there are {', '.join(p.stem for p in NOTEBOOKS)}")
    failed = False
    for path in [path for path in NOTEBOOKS if not arguments.names or path.stem in arguments.names]:
        started = time.perf_counter()
        notebook = execute(path)
        print(f"{path.name}: executed in {time.perf_counter() - started:.0f} s", flush=True)
        if arguments.write:
            write(path, notebook)
        elif found := differences(read(path)["cells"], notebook["cells"]):
            failed = True
            print(f"{path.name}: stored outputs are out of date; nox -s notebooks -- --write stores new ones")
            print(*found, sep="\n\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
