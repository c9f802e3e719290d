"""Recipes in docs/examples: the error names the missing library and the command that installs it."""

import ast
import re
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[2] / "docs" / "examples").glob("*.py"))
OURS = {"alsim"} | {re.match(r"[\w-]+", line)[0] for line in requires("alsim") if "extra ==" not in line}


def packages(path):
    """Return the top-level packages that a recipe imports, without alsim and its dependencies."""
    named = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            named |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            named.add(node.module.partition(".")[0])
    return sorted(named - OURS - sys.stdlib_module_names)


@pytest.mark.heavy
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_error_names_the_missing_library_and_its_installation(path):
    missing = packages(path)
    assert missing
    # In sys.modules, None makes an import fail even if the package is installed.
    hide = f"import runpy, sys; sys.modules.update(dict.fromkeys({missing}))"
    code = f"{hide}; runpy.run_path({str(path)!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode
    assert re.search(r"needs \w+, which is not installed: pip install \S+", done.stderr.splitlines()[-1])
