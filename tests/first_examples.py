"""The table "First examples" of docs/integrations.md: each row is code that a test of tests/compat runs.

A test with the argument `first_example` runs once for each row that names the test's file. It needs only the standard
library and pytest, because some of these tests run in environments without the dependencies of alsim.
"""

import re
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import pytest

PAGE = Path(__file__).resolve().parents[1] / "docs" / "integrations.md"
ROW = re.compile(r"^\| \[(.+?)\]\((https://\S+)\) \| ([\d.]+) \| `(.+)` \| `(test_\w+\.py)` \| (.+?) \|$", re.MULTILINE)
DISTRIBUTIONS = {"PufferLib": "pufferlib", "RLlib": "ray", "CleanRL": "torch"}
"""Distributions whose version a row states, if their name is not the library's name."""


class FirstExample(NamedTuple):
    """One row of the table: library, page of its example, version, code, file of the test, and status."""

    library: str
    page: str
    version: str
    code: str
    test: str
    status: str

    def run(self, names: dict[str, Any]) -> dict[str, Any]:
        """Run the code with the names of a module, and return the names after it."""
        namespace = dict(names)
        exec(self.code, namespace)
        return namespace

    def check_version(self) -> None:
        """Check that the installed version is the stated one or a newer one."""
        installed = version(DISTRIBUTIONS.get(self.library, self.library.lower()))
        assert numbers(installed) >= numbers(self.version), f"{self.library} {installed}; the page has {self.version}"


def numbers(text: str) -> list[int]:
    """Return the numbers of a version."""
    return [int(number) for number in re.findall(r"\d+", text.partition("+")[0])]


def first_examples() -> list[FirstExample]:
    """Return the rows of the table."""
    section = PAGE.read_text(encoding="utf-8").partition("\n## First examples\n")[2].partition("\n## ")[0]
    return [FirstExample(*row) for row in ROW.findall(section)]


def parametrize(metafunc: pytest.Metafunc) -> None:
    """Parametrize the argument `first_example` of a test with the rows of its file."""
    if "first_example" in metafunc.fixturenames:
        file = Path(metafunc.definition.path).name
        rows = [row for row in first_examples() if row.test == file]
        assert rows, f"no first example names {file}"
        metafunc.parametrize("first_example", rows, ids=[f"{k}-{row.library}" for k, row in enumerate(rows)])
