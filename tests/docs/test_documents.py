"""The documents keep their word: every example in them runs, and every relative link leads to a file.

Of README.md and docs/, ```python blocks run in order, those of one document in one namespace; of
```bash and ```console blocks every `alsim ...` line runs through the installed command. One
document has one folder to itself. What is there to be read is fenced as the format it shows, or as ```text.
"""

import os
import re
import shlex
import subprocess
import sysconfig
from pathlib import Path

import pytest
from sybil import Document, Example, Sybil
from sybil.parsers.markdown.lexers import FencedCodeBlockLexer
from sybil.parsers.myst import CodeBlockParser, PythonCodeBlockParser

ROOT = Path(__file__).parents[2]
WITH_EXAMPLES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
DOCUMENTS = sorted({*ROOT.glob("*.md"), *ROOT.glob("benchmarks/*.md"), *WITH_EXAMPLES})

RUN = {"python", "bash", "console"}
READ = {"text", "toml", "json", "csv", "bibtex", "mermaid"}
# Setting the project up and calling nox, from within which this runs: the only commands that nobody tries here.
NOT_RUN = re.compile(
    r"git clone https://github\.com/alsim/alsim(\.git)?( && cd alsim)?|cd alsim|pip install alsim"
    r"|python3 -m venv \.venv && \.venv/bin/pip install -q nox( && \.venv/bin/nox -s \w+)?"
    r"|\.venv/bin/nox (-l|-s \w+( -- .+)?)"
)
CODE = re.compile(r"(`+).+?\1", re.DOTALL)
LINK = re.compile(r"\]\(<?([^)\s>]+)|^\[[^\]]+\]:\s*(\S+)|(?:src|href)=\"([^\"]+)\"", re.MULTILINE)


def name(path: Path) -> str:
    """Return the path as a reader of the project knows it."""
    return path.relative_to(ROOT).as_posix()


def commands(block: str) -> list[str]:
    """Return the command lines: the ones with a prompt if there are any (the rest is output), else all."""
    lines = block.replace("\\\n", " ").splitlines()
    prompted = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return [line for line in prompted or lines if line.strip() and not line.startswith("#")]


def run_commands(example: Example) -> str | None:
    """Run a block's commands; return what went wrong."""
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
    for command in commands(example.parsed):
        if NOT_RUN.fullmatch(command):
            continue
        if shlex.split(command)[0] != "alsim":
            return f"neither a command of alsim nor one of those that NOT_RUN lists: {command}"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            env=os.environ | {"PATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )
        if done.returncode:
            return f"{command}\nexit status {done.returncode}\n{done.stdout}{done.stderr}"
    return None


def refuse_unknown_fences(document: Document) -> list:
    """Fail on a block that is neither run nor marked as reading matter: ```py and ```sh would never run."""
    fences = FencedCodeBlockLexer(language="(?!{)[^\n]*", mapping={"language": "language", "source": "source"})
    for region in fences(document):
        language = region.lexemes["language"]
        if language not in RUN | READ:
            where = document.line_column(region.start)
            raise ValueError(f"{document.path}, {where}: fence {language!r} is none of {sorted(RUN | READ)}")
    return []


EXAMPLES = Sybil(
    parsers=[
        PythonCodeBlockParser(),
        CodeBlockParser("bash", run_commands),
        CodeBlockParser("console", run_commands),
        refuse_unknown_fences,
    ]
)


@pytest.mark.versionless
@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=name)
def test_examples_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    document = EXAMPLES.parse(path)
    document.namespace["__name__"] = "__main__"
    for example in document.examples():
        example.evaluate()


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_relative_links_lead_to_files(path: Path) -> None:
    text = CODE.sub("", path.read_text(encoding="utf-8"))
    targets = ["".join(groups).partition("#")[0] for groups in LINK.findall(text)]
    broken = [t for t in targets if t and not re.match(r"[a-z]+:", t) and not (path.parent / t).exists()]
    assert not broken, f"{name(path)} links to {broken}, which do not exist"
