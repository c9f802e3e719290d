"""Notebooks: how they are stored, and the comparison of outputs by `nox -s notebooks`, which executes them."""

import ast
import base64
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import run_notebooks
from PIL import Image, ImageDraw

PARAMETRIZED = pytest.mark.parametrize("path", run_notebooks.NOTEBOOKS, ids=lambda path: path.stem)
PLACE = re.compile(r"/(?:home|root|tmp|Users|private|work)/|[A-Z]:\\\\")
"""A path on some machine."""


def test_there_are_two_notebooks() -> None:
    assert [path.stem for path in run_notebooks.NOTEBOOKS] == ["first-policy", "student-model"]


@PARAMETRIZED
def test_the_file_has_nothing_that_depends_on_the_machine(path: Path) -> None:
    text, notebook = path.read_text(encoding="utf-8"), run_notebooks.read(path)
    assert notebook["metadata"] == run_notebooks.METADATA
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert not PLACE.search(text)
    assert text == json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    for cell in notebook["cells"]:
        assert cell["metadata"].keys() <= {"tags", "mystnb"}, cell["id"]
        assert cell.get("execution_count") is None, cell["id"]
        for output in cell.get("outputs", ()):
            assert output["output_type"] in ("stream", "display_data", "execute_result"), cell["id"]
            assert output.get("name", "stdout") == "stdout", cell["id"]


@PARAMETRIZED
def test_every_cell_that_prints_or_draws_has_its_output_stored(path: Path) -> None:
    for cell in run_notebooks.read(path)["cells"]:
        if cell["cell_type"] == "code":
            source = "".join(cell["source"])
            calls = {ast.unparse(node.func) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)}
            assert ("print" in calls) == bool("".join(run_notebooks.texts(cell)).partition("<Figure")[0]), cell["id"]
            assert ("plt.show" in calls) == bool(run_notebooks.pictures(cell)), cell["id"]


@PARAMETRIZED
def test_pictures_are_small_and_described(path: Path) -> None:
    cells = [cell for cell in run_notebooks.read(path)["cells"] if cell.get("outputs")]
    drawn = [(cell, picture) for cell in cells for picture in run_notebooks.pictures(cell)]
    assert len(drawn) >= 4
    for cell, picture in drawn:
        assert len(picture) < 60_000, cell["id"]
        assert Image.open(io.BytesIO(picture)).width <= 600, cell["id"]  # at 390 px, text is at least 9 px high
        assert len(cell["metadata"]["mystnb"]["image"]["alt"]) > 40, cell["id"]


def drawn(height: int, size: tuple[int, int] = (550, 400)) -> str:
    """Return a picture of a rectangle of this height, as a file of a notebook has it."""
    picture, file = Image.new("L", size, 255), io.BytesIO()
    ImageDraw.Draw(picture).rectangle((50, 350 - height, 500, 350), fill=128)
    picture.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def cell(text: str = "", picture: str = "", tags: list[str] | None = None) -> dict[str, Any]:
    """Return a cell of code with an output."""
    outputs: list[dict[str, Any]] = [{"output_type": "stream", "name": "stdout", "text": text}] if text else []
    if picture:
        outputs.append({"output_type": "display_data", "data": {"image/png": picture, "text/plain": "<Figure>"}})
    return {"cell_type": "code", "id": "one", "metadata": {"tags": tags} if tags else {}, "outputs": outputs}


@pytest.mark.parametrize(
    ("old", "new", "equal"),
    [
        (cell("return 98.4\n"), cell("return 98.4\n"), True),
        (cell("return 98.4\n"), cell("return 98.5\n"), False),
        (cell("return 98.4\n"), cell(), False),
        (cell("PPO   98\n", tags=["approximate"]), cell("PPO  104\n"), True),
        (cell("PPO   98\n", tags=["approximate"]), cell("PPO  120\n"), False),
        (cell("PPO   98\n", tags=["approximate"]), cell("DQN   98\n"), False),
        (cell("PPO   98\n", tags=["approximate"]), cell("PPO   98 98\n"), False),
        (cell(picture=drawn(200)), cell(picture=drawn(200)), True),
        (cell(picture=drawn(200)), cell(picture=drawn(205)), False),
        (cell(picture=drawn(200), tags=["approximate"]), cell(picture=drawn(205)), True),
        (cell(picture=drawn(200), tags=["approximate"]), cell(picture=drawn(250)), False),
        (cell(picture=drawn(200)), cell(picture=drawn(200, (550, 450))), False),
        (cell(picture=drawn(200)), cell(), False),
    ],
)
def test_outputs_that_differ_are_found(old: dict[str, Any], new: dict[str, Any], equal: bool) -> None:
    assert (run_notebooks.differences([old], [new]) == []) is equal


@PARAMETRIZED
def test_the_pictures_of_a_notebook_differ_from_each_other(path: Path) -> None:
    """The tolerance finds a picture that is out of date, such as one of another quantity."""
    cells = [cell for cell in run_notebooks.read(path)["cells"] if cell.get("outputs")]
    every = [picture for cell in cells for picture in run_notebooks.pictures(cell)]
    compared = [run_notebooks.same_pictures([a], [b], 5.0) for i, a in enumerate(every) for b in every[:i]]
    assert not any(compared)


def test_pieces_of_an_output_are_joined_and_notices_are_left_out() -> None:
    pieces = [{"output_type": "stream", "name": "stdout", "text": text} for text in ("a\n", "b\n")]
    notice = {"output_type": "stream", "name": "stderr", "text": "alsim: compiling, once, about 10 s\n"}
    result = {"output_type": "execute_result", "execution_count": 7, "data": {"text/plain": "1"}, "metadata": {}}
    found = [*run_notebooks.stored([pieces[0], notice, pieces[1], result], "here")]
    assert [output.get("text") for output in found] == ["a\nb\n", None]
    assert found[1]["execution_count"] is None


def test_a_warning_on_stderr_is_an_error_that_names_the_cell() -> None:
    warning = {"output_type": "stream", "name": "stderr", "text": "RuntimeWarning: invalid value\n"}
    with pytest.raises(RuntimeError, match=r"^first-policy, cell train writes to stderr: RuntimeWarning"):
        list(run_notebooks.stored([warning], "first-policy, cell train"))


def test_brightness_is_compared_on_a_scale_to_255() -> None:
    black, white = (base64.b64decode(drawn(0).encode()), base64.b64decode(drawn(350).encode()))
    share = 450 * 350 / (550 * 400)
    assert run_notebooks.brightness_difference(black, white) == pytest.approx(share * (255 - 128), rel=0.02)
    assert np.isclose(run_notebooks.brightness_difference(black, black), 0)


@pytest.mark.versionless
def test_an_unknown_notebook_is_an_error() -> None:
    command = [sys.executable, run_notebooks.__file__, "first-polcy"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no notebook first-polcy; there are first-policy, student-model" in done.stderr
