"""The examples of docs/engine/server.md, on a real server (`nox -s compat-server`).

`python tests/compat/test_page_server.py` writes the outputs into the page.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

from served import in_thread

from alsim.engine.directory import load_engine, write_example
from alsim.engine.server import create_app

PAGE = Path(__file__).parents[2] / "docs" / "engine" / "server.md"
KEY, URL = "correct-horse-battery-staple", "http://127.0.0.1:8000"
EXAMPLE = re.compile(r"```(sh|\{code-block\} python3)\n((?:(?!```).)*)```\n\n```(json|text)\n(.*?)```\n", re.DOTALL)
"""Block of commands or of Python, directly followed by its output."""


@contextmanager
def example_server():
    """Serve the example, and yield a function that runs the commands of a block there."""
    with tempfile.TemporaryDirectory() as folder:
        write_example(f"{folder}/shop")
        with in_thread(create_app(load_engine(f"{folder}/shop"), api_key=KEY, close_engine=True)) as url:

            def run(language, source):
                shell = ["bash", "-euo", "pipefail", "-c"] if language == "sh" else [sys.executable, "-c"]
                done = subprocess.run(
                    [*shell, source.replace(URL, url)],
                    env={**os.environ, "ALSIM_API_KEY": KEY},
                    capture_output=True,
                    text=True,
                    timeout=60,
                )
                assert done.returncode == 0, done.stderr
                return done.stdout

            yield run


def formatted(kind, printed):
    """Return an output as the page shows it: JSON is indented."""
    return json.dumps(json.loads(printed), indent=2) + "\n" if kind == "json" else printed


def test_the_page_shows_the_outputs_of_its_commands():
    with example_server() as run:
        examples = EXAMPLE.findall(PAGE.read_text(encoding="utf-8"))
        assert len(examples) == 9
        for language, source, kind, shown in examples:
            assert formatted(kind, run(language, source)) == shown, source


def test_the_page_has_every_status():
    from alsim.engine.server.schema import ERRORS

    table = PAGE.read_text(encoding="utf-8").split("| status |")[1].split("\n\n")[0]
    assert {int(status) for status in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)} == {
        *ERRORS,
        *(200, 204, 400, 405, 500),
    }


if __name__ == "__main__":
    with example_server() as run_block:
        page = EXAMPLE.sub(
            lambda m: f"```{m[1]}\n{m[2]}```\n\n```{m[3]}\n{formatted(m[3], run_block(m[1], m[2]))}```\n",
            PAGE.read_text(encoding="utf-8"),
        )
    PAGE.write_text(page, encoding="utf-8")
