"""What the pages state about the code is so: keys, defaults, names, columns, clauses."""

import re
from pathlib import Path
from typing import Any

import pytest

import alsim
from alsim.config import Split

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


def text(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def leaves(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every key of nested tables, with its path."""
    found = {}
    for key, value in table.items():
        found |= leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found


def toml(value: Any) -> str:
    """Write a value as TOML does."""
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else repr(value)


def test_the_configuration_page_has_every_key_and_default() -> None:
    expected = leaves(alsim.Config().to_dict())
    assert expected.pop("questions_per_difficulty") is None
    expected |= {f"questions_per_difficulty.{key}": None for key in Split.model_fields}
    rows = re.findall(r"^\| `([\w.]+)` \| (.+?) \|", text("configuration.md"), re.MULTILINE)
    stated = dict(rows)
    assert len(stated) == len(rows)
    assert stated == {k: "not set" if v is None else f"`{toml(v)}`" for k, v in expected.items()}


def test_the_configuration_page_cites_clauses_that_exist() -> None:
    for page in DOCS.rglob("*.md"):
        clauses(page)


def clauses(path: Path) -> None:
    """Fail if a file cites a clause that the specification page does not state."""
    cited = set(re.findall(r"\bS\d+\.\d+\b", path.read_text(encoding="utf-8")))
    assert cited <= stated_clauses(), f"{path.relative_to(ROOT)} cites {sorted(cited - stated_clauses())}"


def stated_clauses() -> set[str]:
    return set(re.findall(r"^\*\*(S\d+\.\d+)\*\*", text("spec.md"), re.MULTILINE))


def kind(column: Any) -> str:
    """A column's type as the page has it."""
    from alsim.datasets.schema import OBSERVATION

    if column.type is OBSERVATION:
        return "list of float32"
    arrow = str(column.type)
    return "string" if arrow.startswith("dictionary<values=string") else ARROW_WORDS.get(arrow, arrow)


ARROW_WORDS = {"float": "float32", "double": "float64"}


def test_the_datasets_page_has_every_column() -> None:
    from alsim.datasets.schema import COLUMNS

    for table, columns in COLUMNS.items():
        section = re.search(rf"^### {table}\n(.+?)(?=^##|\Z)", text("datasets.md"), re.MULTILINE | re.DOTALL)
        assert section, f"datasets.md has no section {table}"
        cells = [[c.strip() for c in row.split("|")[1:-1]] for row in section[1].splitlines() if row.startswith("| `")]
        assert cells == [[f"`{c.name}`", kind(c), c.unit, c.meaning] for c in columns], table


def test_the_api_page_has_every_public_name() -> None:
    index, _, full = text("api.md").partition("## In full")
    named = set(re.findall(r"\[`([\w.]+)`\]\(#alsim\.\1\)", index))
    documented = set(re.findall(r"^\.\. auto\w+:: alsim\.([\w.]+)", full, re.MULTILINE))
    assert named == documented
    assert {name for name in named if "." not in name} == set(alsim.__all__) - {"__version__"}
    assert "alsim.__version__" in index


def test_the_api_page_has_every_command() -> None:
    from alsim.cli import app

    commands = {c.name or c.callback.__name__ for c in app.registered_commands if c.callback}
    assert set(re.findall(r"^\| `alsim ([\w-]+)` \|", text("api.md"), re.MULTILINE)) == commands


def test_the_policies_page_has_every_policy() -> None:
    from alsim.policies import POLICIES

    assert set(re.findall(r"^\| `(\w+)` \|", text("policies.md"), re.MULTILINE)) == set(POLICIES)


def test_the_architecture_page_has_every_module() -> None:
    package = Path(alsim.__file__).parent
    there = {p.name + "/" * p.is_dir() for p in package.iterdir() if p.name not in {"__pycache__", "py.typed"}}
    assert set(re.findall(r"`alsim/([\w.]+/?)`", text("architecture.md"))) == there


def test_the_glossary_has_no_word_twice() -> None:
    words = re.findall(r"^(\w[^\n]*)\n: ", text("glossary.md"), re.MULTILINE)
    assert len(words) == len(set(words)) > 40
