"""Style of the prose: docstrings, comments, messages and pages avoid the idioms that the style guide bans.

`python tests/test_style.py [FILE|DIR ...]` prints the violations of some files.
"""

import ast
import io
import json
import re
import sys
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

NOUNS = (
    "row|file|line|lane|student|learner|response|item|thread|step|model|policy|shard|skill|cell|entry|block|call|"
    "second|episode|format|group|question|content|interaction|transition|column|counter|process|worker|sequence|record"
)

BANNED = {
    "a noun clause": r"\bwho(?:m)?ever\b|\bwhatever\b|\bwhat ?so ?ever\b",
    "an invalid value": (
        r"\b(?:that|which|what) cannot be\b(?! \w+(?:ed|en|lt|nt|ft|wn|ut|de|ead|ought|aught|old|et|un)\b)"
    ),
    "legend verbs": (
        r"\b(?:told|gone on|goes on|go on with|going on with|let go|lets go|takes? up|taken up|hands? out|handed out|"
        r"begins? anew|begun anew|anew|laid by|under way|is underway|puts? back together)\b"
    ),
    "repetition": r"\bonce more\b",
    "comparison": r"\bbeside\b",
    "homely metaphors": (
        r"\bflight simulator\b|\bclassrooms?\b|\bluck\b|\bthe rim\b|\bat their rim\b|\bparty of\b|\bloans\b|\bcrew\b|"
        r"\bmeets? (?:anybody|a real|somebody|whom)\b|\b(?:some|any|no)body\b"
    ),
    "prose about prose": r"\bin words\b|\bin a sentence\b",
    "possession": r"\bof (?:\w+'s|one's|his|her) own\b|\bone's own\b",
    "references": r"\bas of `",
    "distributive article": (
        rf"\b(?:a|an|one|each) (?:{NOUNS}) an? (?:{NOUNS})\b|"
        rf"\b(?:ns|µs|us|ms|bytes|entries|rows|words|files|lines|seconds|threads) an? (?:{NOUNS}|learner-step)\b"
    ),
}
BANNED = {name: re.compile(pattern, re.IGNORECASE) for name, pattern in BANNED.items()}
OPENING = re.compile(r"(?:What|Who|Whom|Whose|How|When|Where|Why|Whether|Whatever|Whoever)\b")
CLAUSE = re.compile(r"^(?:What|Who|Whoever|Whatever|Whose)\b")

SCOPE = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "alsim").rglob("*.py")),
    *sorted((ROOT / "benchmarks").rglob("*.py")),
    *sorted((ROOT / "benchmarks").glob("*.md")),
    *sorted(p for p in (ROOT / "docs").rglob("*.md") if "_build" not in p.parts),
    *sorted((ROOT / "docs" / "examples").rglob("*.py")),
    *sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")),
    *sorted((ROOT / "docs" / "notebooks").glob("*.py")),
    *sorted(path for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__)),
    ROOT / "noxfile.py",
]
PARTS = 8
"""Number of tests over which the files are spread."""


def python_prose(text):
    """Yield (line, kind, prose) of each docstring, string and comment."""
    docstrings = set()
    for node in ast.walk(ast.parse(text)):  # parents before their children
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                docstrings.add(first.value)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, "docstring" if node in docstrings else "string", node.value
    if "#" not in text:
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], "comment", token.string.lstrip("#! ")


def page_prose(text):
    """Yield (line, kind, prose) of each paragraph, list item, table row and heading outside code blocks."""
    paragraph, start, fence = [], 0, None
    for number, line in enumerate([*text.split("\n"), ""], start=1):
        mark = re.match(r"\s*(`{3,}|~{3,})", line)
        if mark and (fence is None or line.strip().startswith(fence)):
            fence = mark.group(1) if fence is None else None
            line = ""
        elif fence is not None:
            continue
        heading, row = re.match(r"#+ (.*)", line), line.startswith("|")
        item = re.match(r"\s*(?:[-*]|\d+\.) |:\s", line)
        if paragraph and (not line.strip() or heading or row or item):
            yield start, "paragraph", " ".join(paragraph)
            paragraph = []
        if heading:
            yield number, "heading", heading.group(1)
        elif line.strip():
            if not paragraph:
                start = number
            paragraph.append(line.strip())


def notebook_prose(text):
    """Yield (number of the cell, kind, prose) of each cell of a notebook: pages, and Python."""
    for number, cell in enumerate(json.loads(text)["cells"], start=1):
        prose = page_prose if cell["cell_type"] == "markdown" else python_prose
        yield from ((number, kind, found) for _, kind, found in prose("".join(cell["source"])))


READERS = {".py": python_prose, ".ipynb": notebook_prose, ".md": page_prose}


def without_code(prose):
    """Return prose without code in backticks and link targets."""
    return re.sub(r"`+[^`]*`+|\]\([^)]*\)", " ` ", prose)


def violations(path):
    """Return the violations in a file, one text each, which begins with the line, or the cell of a notebook."""
    text = path.read_text(encoding="utf-8")
    found = []
    for line, kind, prose in READERS[path.suffix](text):
        plain = without_code(prose)
        if " " in prose:  # each idiom has several words, or is one of a sentence
            for what, pattern in BANNED.items():
                subject = prose if what == "references" else plain
                found += [f"{line}: {what}: {m.group(0)!r}" for m in pattern.finditer(subject)]
        if kind in ("docstring", "heading") and OPENING.match(prose.strip()):
            found.append(f"{line}: a {kind} that opens with {prose.split()[0]!r}")
        if kind in ("paragraph", "docstring"):
            for sentence in re.split(r"(?<=[.!?])\s+|\n\n", plain.strip()):
                if CLAUSE.match(sentence) and not sentence.endswith("?"):
                    found.append(f"{line}: a clause as the subject: {sentence[:50]!r}")
    return sorted(set(found), key=lambda text: int(text.partition(":")[0]))


@pytest.mark.versionless
@pytest.mark.parametrize("part", range(PARTS))
def test_prose_has_no_banned_idiom(part):
    """A part of the files, so that the workers of pytest-xdist share them."""
    found = {path.relative_to(ROOT).as_posix(): violations(path) for path in SCOPE[part::PARTS]}
    assert {path: texts for path, texts in found.items() if texts} == {}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('"""What this package raises."""', "opens with 'What'"),
        ('"""Whether it is so."""', "opens with 'Whether'"),
        ('"""Input that cannot be."""', "an invalid value"),
        ("# one row a response", "distributive article"),
        ("x = 'a run under way'", "legend verbs"),
        ("# faster, beside C", "comparison"),
    ],
)
def test_the_idioms_are_found(tmp_path, text, what):
    """A checker that finds nothing anywhere would pass as well."""
    file = tmp_path / "module.py"
    file.write_text(text + "\n")
    assert [v for v in violations(file) if what in v]


@pytest.mark.parametrize(
    ("kind", "source"), [("markdown", "# What a policy is"), ("code", "x = 1  # the same once more")]
)
def test_the_idioms_are_found_in_notebooks(tmp_path, kind, source):
    file = tmp_path / "notebook.ipynb"
    cells = [{"cell_type": "markdown", "source": ["# Title"]}, {"cell_type": kind, "source": [source]}]
    file.write_text(json.dumps({"cells": cells}))
    (found,) = violations(file)
    assert found.startswith("2: ")


def test_plain_prose_passes(tmp_path):
    file = tmp_path / "page.md"
    file.write_text(
        "# Resuming\n\nA file that cannot be read is named. Return `what` is asked. Why? One row per response.\n"
    )
    assert violations(file) == []


if __name__ == "__main__":
    arguments = [Path(argument).resolve() for argument in sys.argv[1:]] or SCOPE
    files = [f for a in arguments for f in ([a] if a.is_file() else sorted(a.rglob("*.*"))) if f.suffix in READERS]
    for file in files:
        for violation in violations(file):
            print(f"{file}:{violation}")
