"""Documents: every example runs, prints the output that is shown, and every relative link leads to a file.

The documents are README.md and the pages in docs/. Of the notebooks, only links are checked here. The ```python blocks
of a document run in order, in one namespace. Of ```bash and ```console blocks, every `alsim ...` line runs through the
installed command. Each document has an empty working directory of its own.

A ```text block directly after a block that runs is the expected output: what the block prints to standard output.
In it, "..." stands for any text, as in doctest. All other ```text, and the languages in READ, are not run.
"""

import doctest
import json
import os
import re
import shlex
import subprocess
import sysconfig
from itertools import pairwise
from pathlib import Path

import pytest
from sybil import Document, Example, Region, Sybil
from sybil.parsers.markdown.lexers import FencedCodeBlockLexer
from sybil.parsers.myst import CodeBlockParser, PythonCodeBlockParser

ROOT = Path(__file__).parents[2]
WITH_EXAMPLES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
NOTEBOOKS = sorted(ROOT.glob("docs/notebooks/*.ipynb"))
SLOW = [ROOT / f"docs/evaluation/{page}.md" for page in ("audit", "comparison", "matrix")]
"""Pages whose examples take more than ten seconds, mostly for compilation: `tests_ci` runs them."""
DOCUMENTS = sorted({*ROOT.glob("*.md"), *ROOT.glob("benchmarks/*.md"), *WITH_EXAMPLES, *NOTEBOOKS})

PAGES = (".md", ".ipynb")
RUN = {"python", "bash", "console"}
READ = {"text", "toml", "json", "csv", "bibtex", "mermaid", "sh"}
"""Languages of blocks that are not run here; tests/compat/test_page_server.py runs commands in `sh`."""
# Set-up of the project and calls of nox, from within which the tests run: the only commands that are not run here.
NOT_RUN = re.compile(
    r"pip install (\.|'\.\[\w+(,\w+)*\]')"
    r"|python3 -m venv \.venv && \.venv/bin/pip install -q nox( && \.venv/bin/nox -s \w+)?"
    r"|\.venv/bin/nox (-l|-s \w+( -- .+)?)"
)
CODE = re.compile(r"(`+).+?\1", re.DOTALL)
CODE_BLOCK = re.compile(r"^(`{3,}).*?^\1$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(<?([^)\s>]+)|^\[[^\]]+\]:\s*(\S+)|(?:src|href)=\"([^\"]+)\"", re.MULTILINE)


def name(path: Path) -> str:
    """Return the path relative to the root of the project."""
    return path.relative_to(ROOT).as_posix()


def commands(block: str) -> list[str]:
    """Return the command lines: the ones with a prompt if there are any (the rest is output), else all."""
    lines = block.replace("\\\n", " ").splitlines()
    prompted = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return [line for line in prompted or lines if line.strip() and not line.startswith("#")]


def run_commands(example: Example) -> str | None:
    """Run a block's commands and print their output; return the error, if any."""
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
    for command in commands(example.parsed):
        if NOT_RUN.fullmatch(command):
            continue
        if shlex.split(command)[0] != "alsim":
            return f"neither a command of alsim nor one of those that NOT_RUN lists: {command}"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            env=os.environ | {"PATH": path, "COLUMNS": "80", "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )
        print(done.stdout, end="")
        if done.returncode:
            return f"{command}\nexit status {done.returncode}\n{done.stdout}{done.stderr}"
    return None


def fences(document: Document) -> list[Region]:
    """Return all fenced blocks that are not MyST directives; fail on a language that is in neither RUN nor READ."""
    lexer = FencedCodeBlockLexer(language="(?!{)[^\n]*", mapping={"language": "language", "source": "source"})
    regions = sorted(lexer(document), key=lambda region: region.start)
    for region in regions:
        language = region.lexemes["language"]
        if language not in RUN | READ:
            where = document.line_column(region.start)
            raise ValueError(f"{document.path}, {where}: fence {language!r} is none of {sorted(RUN | READ)}")
    return regions


def outputs(document: Document) -> list[Region]:
    """Return the expected outputs: each ```text block that directly follows a block that runs."""
    regions = fences(document)
    return [
        Region(after.start, after.end, parsed=after.lexemes["source"])
        for before, after in pairwise(regions)
        if before.lexemes["language"] in RUN
        and after.lexemes["language"] == "text"
        and not document.text[before.end : after.start].strip()
    ]


def without_trailing_spaces(text: str) -> str:
    return "".join(line.rstrip() + "\n" for line in text.splitlines())


def assert_output(example: Example, printed: str) -> None:
    """Assert that the block before printed the expected output, in which "..." stands for any text."""
    __tracebackhide__ = True
    expected, printed = without_trailing_spaces(example.parsed), without_trailing_spaces(printed)
    if not doctest.OutputChecker().check_output(expected, printed, doctest.ELLIPSIS):
        where = f"{name(Path(example.path))}, line {example.line}"
        pytest.fail(f"{where}: the output shown is\n{expected}\nbut the block printed\n{printed}", pytrace=False)


EXAMPLES = Sybil(
    parsers=[
        PythonCodeBlockParser(),
        CodeBlockParser("bash", run_commands),
        CodeBlockParser("console", run_commands),
        outputs,
    ]
)


@pytest.mark.versionless
@pytest.mark.parametrize(
    "path", [pytest.param(path, marks=pytest.mark.ci) if path in SLOW else path for path in WITH_EXAMPLES], ids=name
)
def test_examples_run_and_print_the_output_shown(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    document = EXAMPLES.parse(path)
    document.namespace["__name__"] = "__main__"
    printed = ""
    for example in document.examples():
        if example.region.evaluator is None:
            assert_output(example, printed)
        else:
            example.evaluate()
            printed = capsys.readouterr().out


def prints(region: Region) -> bool:
    """Return whether a block prints: Python that calls print, or a command of alsim that is run."""
    source = region.lexemes["source"]
    if region.lexemes["language"] == "python":
        return re.search(r"\bprint\(", source) is not None
    return region.lexemes["language"] in RUN and not all(NOT_RUN.fullmatch(line) for line in commands(source))


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=name)
def test_examples_that_print_show_their_output(path: Path) -> None:
    document = Document(path.read_text(encoding="utf-8"), str(path))
    starts = [output.start for output in outputs(document)]
    missing = []
    for region, after in pairwise([*fences(document), None]):
        if prints(region) and not (after and after.start in starts):
            missing.append(document.line_column(region.start))
    assert not missing, f"{name(path)}: put the output in a ```text block directly after the blocks at {missing}"


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("block", "shown", "passes"),
    [
        ("python\nprint(1)", "text\n1", True),
        ("python\nprint(1)", "text\n2", False),
        ("python\nprint('in 3.2 seconds')", "text\nin ... seconds", True),
        ("bash\nalsim policies", "text\n...uniform...", True),
        ("console\n$ alsim policies", "text\nnothing", False),
    ],
)
def test_the_output_shown_is_compared(tmp_path, capsys, block, shown, passes):
    page = ROOT / "docs" / "page.md"  # only a name: nothing is written there
    document = Document(f"# Page\n\n```{block}\n```\n\n```{shown}\n```\n", str(page))
    for parser in EXAMPLES.parsers:
        for region in parser(document):
            document.add(region)
    run, output = document.examples()
    run.evaluate()
    printed = capsys.readouterr().out
    if passes:
        assert_output(output, printed)
    else:
        with pytest.raises(pytest.fail.Exception, match="the output shown is"):
            assert_output(output, printed)


def prose(path: Path) -> str:
    """Return the text of a page, or of the cells of a notebook that are not code."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    return "\n\n".join("".join(c["source"]) for c in json.loads(text)["cells"] if c["cell_type"] == "markdown")


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and MyST make them."""
    lines = CODE_BLOCK.sub("", prose(path)).splitlines()
    headings = [re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", line.lstrip("# ")) for line in lines if re.match("#+ ", line)]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_relative_links_lead_to_files_and_headings(path: Path) -> None:
    text = CODE.sub("", prose(path))
    broken = []
    for target in filter(None, map("".join, LINK.findall(text))):
        file, _, anchor = target.partition("#")
        page = path.parent / file if file else path
        if re.match(r"[a-z]+:", target) or (anchor.startswith("alsim.") and path.name == "api.md"):
            continue
        if not page.exists() or (anchor and page.suffix in PAGES and anchor not in anchors(page)):
            broken.append(target)
    assert not broken, f"{name(path)} links to {broken}, which do not exist"


def links(path: Path) -> set[Path]:
    """Return the pages and notebooks that one of them links to."""
    text = CODE.sub("", prose(path))
    targets = ["".join(groups).partition("#")[0] for groups in LINK.findall(text)]
    return {(path.parent / target).resolve() for target in targets if target.endswith(PAGES) and ":" not in target}


@pytest.mark.parametrize("start", ["README.md", "docs/index.md"])
def test_every_page_is_within_two_clicks(start: str) -> None:
    first = links(ROOT / start)
    reached = {(ROOT / start).resolve()} | first | {page for file in first for page in links(file)}
    pages = {*ROOT.glob("docs/**/*.md"), *NOTEBOOKS, *ROOT.glob("*.md"), *ROOT.glob("benchmarks/*.md")}
    records = set(ROOT.glob("docs/decisions/[0-9]*.md"))  # listed in a table of contents, docs/decisions/index.md
    missing = {
        "README.md": pages - records - {ROOT / "docs/index.md", ROOT / "docs/benchmarks.md"},
        "docs/index.md": {page for page in pages - records if page.is_relative_to(ROOT / "docs")},
    }[start] - reached
    assert not missing, f"no link from {start} or a page it links to: {sorted(map(name, missing))}"
