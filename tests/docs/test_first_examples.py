"""The table of first examples and the tests in tests/compat name each other."""

import ast
import re
from pathlib import Path

from first_examples import PAGE, first_examples

COMPAT = Path(__file__).parents[1] / "compat"


def files_with_first_examples() -> set[str]:
    """Return the files in tests/compat with a test that has the argument `first_example`."""
    return {
        path.name
        for path in COMPAT.glob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and "first_example" in {argument.arg for argument in node.args.args}
    }


def test_a_test_runs_every_row() -> None:
    rows = first_examples()
    section = PAGE.read_text(encoding="utf-8").partition("\n## First examples\n")[2].partition("\n## ")[0]
    assert len(rows) == sum(line.startswith("| [") for line in section.splitlines()) > 20
    assert {row.test for row in rows} == files_with_first_examples()


def test_rows_that_start_processes_say_so() -> None:
    """A script with such a row needs a guard, which the page shows."""
    processes = re.compile(r"SubprocVecEnv|AsyncVectorEnv|GymEnv\(.*num_envs=")
    found = {row.code: bool(processes.search(row.code)) for row in first_examples()}
    assert sum(found.values()) >= 2
    assert found == {row.code: "several processes" in row.status for row in first_examples()}


def test_every_session_of_the_table_runs_its_tests() -> None:
    """The noxfile runs the files of libraries by name."""
    sessions = (Path(__file__).parents[2] / "noxfile.py").read_text(encoding="utf-8")
    libraries = re.findall(r'"(\w+)"', sessions)
    for file in {row.test for row in first_examples()}:
        assert file in sessions or any(file.endswith(f"_{library}.py") for library in libraries), file
