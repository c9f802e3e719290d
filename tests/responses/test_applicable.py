"""Which arguments of `read_responses` apply to which kinds of files: all others are refused in one sentence."""

import inspect
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from published_logs import LOGS, write_log

from alsim.models import ResponsesError, read_responses
from alsim.responses.applicable import KINDS, NOUNS, Arguments
from alsim.responses.formats.base import PUBLISHED_NAMES
from alsim.responses.formats.registry import PUBLISHED

LONG = "student,item,skill,correct\na,p,x,1\na,q,y,0\nb,p,x,9\nb,p,x,1\n"
WIDE = "student,p,q,r\na,1,0,1\nb,0,9,0\nc,1,1,0\n"
THREE_LINES = "2\n4,5\n1,0\n1\n4\n1\n"
KIND_OF = {**KINDS, **{name: PUBLISHED[name].kind for name in PUBLISHED}}
SKILLS = {
    "assistments-2009": "skill_id",
    "assistments-2012": "skill",
    "assistments-2015": "sequence_id",
    "assistments-2017": "skill",
    "duolingo-slam": "token",
    "ednet-kt1": "question_id",
    "junyi": "exercise",
    "kdd-cup": "KC(Default)",
}
"""A column that may be mapped to the skill, by published format."""


def columns_of(text):
    header, *rows = (line.split(",") for line in text.splitlines())
    return pa.table({name: list(cells) for name, *cells in zip(header, *rows, strict=True)})


def write_kind(kind, folder, skip_lines=0):
    """Write a log of a kind; return its path and its delimiter."""
    if kind in PUBLISHED:
        return write_log(kind, folder), "\t" if kind == "kdd-cup" else ","
    if kind.startswith("binary"):
        file = folder / "log.parquet"
        pq.write_table(columns_of(LONG.replace(",9", ",1") if kind == "binary long" else WIDE.replace("9", "1")), file)
        return file, ","
    file = folder / "log.csv"
    text = {"long": LONG, "wide": WIDE, "three-line": THREE_LINES}[kind]
    file.write_text("a title\n" * skip_lines + text)
    return file, ","


def value_of(argument, kind, delimiter, folder):
    """Return a value of an argument that is not the default, and is valid where the argument applies."""
    own = {"skill": SKILLS[kind]} if kind in PUBLISHED else {"student": "student"}
    return {
        "columns": own,
        "key": folder / "contents" / "questions.csv" if kind == "ednet-kt1" else folder / "key",
        "delimiter": delimiter,
        "encoding": "latin-1",
        "separator": "+",
        "missing": ["9"],
        "duplicates": "merge" if kind in ("long", "binary long") else "drop",
        "skip_bad": True,
        "skip_lines": 1,
        "header": kind in ("long", "wide"),
        "quoting": False,
    }[argument]


def format_of(kind):
    return kind.removeprefix("binary ")


def base_options(kind):
    """Return the options without which the log of a kind is not read."""
    return {"missing": ["9"]} if kind in ("long", "wide") else {}


@pytest.mark.ci
@pytest.mark.parametrize("argument", Arguments._fields)
@pytest.mark.parametrize("kind", KIND_OF)
def test_each_argument_applies_or_is_refused(kind, argument, tmp_path):
    applies = argument in KIND_OF[kind].arguments
    file, delimiter = write_kind(kind, tmp_path, skip_lines=int(argument == "skip_lines" and applies))
    (tmp_path / "key").write_text("AAAAbbbb0101 0\n")
    value = value_of(argument, kind, delimiter, tmp_path)
    if argument == "quoting" and applies and kind == "assistments-2012":  # its cells have commas and several lines
        file.write_text(file.read_text().partition("\n")[0] + "\n" + ",".join(["1"] * 35) + "\n")
    options = base_options(kind) | {argument: value}
    if applies:
        assert len(read_responses(file, format=format_of(kind), **options)) >= 1
        return
    with pytest.raises(ResponsesError) as refused:
        read_responses(file, format=format_of(kind), **options)
    message = str(refused.value)
    assert "\n" not in message
    if argument == "key":
        assert "key is for the formats duolingo-slam and ednet-kt1 only" in message
        return
    assert f"to which {NOUNS[argument]} cannot apply; remove {argument}=" in message
    assert refused.value.options[argument] in (value, ("9",))
    assert len(read_responses(file, format=format_of(kind), **base_options(kind))) >= 1


@pytest.mark.parametrize("kind", KIND_OF)
def test_defaults_and_what_is_true_anyway_are_no_requests(kind, tmp_path):
    file, _ = write_kind(kind, tmp_path)
    defaults = Arguments()._asdict() | {"missing": base_options(kind).get("missing")}
    expected = len(read_responses(file, format=format_of(kind), **defaults))
    assert len(read_responses(file, format=format_of(kind), **defaults | {"duplicates": "keep"})) >= expected
    if kind != "three-line":
        assert len(read_responses(file, format=format_of(kind), **defaults | {"header": True})) == expected


def test_arguments_are_also_refused_for_a_detected_format(tmp_path):
    for kind, argument, value in (("wide", "duplicates", "drop"), ("three-line", "header", False)):
        file, _ = write_kind(kind, tmp_path)
        with pytest.raises(ResponsesError, match=f"is {KINDS[kind].description}, to which .* cannot apply; remove"):
            read_responses(file, **{"missing": ["9"]} if kind == "wide" else {}, **{argument: value})


def test_a_published_log_may_be_read_as_a_table_instead(tmp_path):
    file, _ = write_kind("junyi", tmp_path)
    with pytest.raises(ResponsesError, match="cannot apply; remove skip_lines=1, or read the log with format='long'"):
        read_responses(file, format="junyi", skip_lines=1)
    for name in ("ednet-kt1", "duolingo-slam"):
        file, _ = write_kind(name, tmp_path)
        with pytest.raises(ResponsesError, match="to which lines to skip cannot apply; remove skip_lines=1$"):
            read_responses(file, format=name, skip_lines=1)


def test_the_tables_are_complete():
    names = {*inspect.signature(read_responses).parameters} - {"path", "format"}
    assert names == {*Arguments._fields} == {*NOUNS}
    assert {*LOGS, "ednet-kt1"} == {*PUBLISHED_NAMES} == {*SKILLS}
    for kind in KIND_OF.values():
        assert kind.arguments <= names
    defaults = {name: p.default for name, p in inspect.signature(read_responses).parameters.items() if name in names}
    assert {**defaults, "columns": {}} == Arguments()._asdict()


def test_the_table_in_the_docs_is_that_of_the_code():
    text = (Path(__file__).parents[2] / "docs" / "models" / "responses.md").read_text()
    section = text.partition("### Arguments by format\n")[2].partition("\n#")[0]
    header, _, *rows = (
        [cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("|")
    )
    documented = {
        (row[0].strip("`"), kind): cell == "yes" for row in rows for kind, cell in zip(header, row, strict=True)
    }
    titles = {
        "long": ["long"],
        "wide": ["wide"],
        "three-line": ["three-line"],
        "long, binary": ["binary long"],
        "wide, binary": ["binary wide"],
        "published": [name for name in PUBLISHED_NAMES if name not in ("duolingo-slam", "ednet-kt1")],
        "duolingo-slam": ["duolingo-slam"],
        "ednet-kt1": ["ednet-kt1"],
    }
    assert [re.sub("`", "", title) for title in header] == ["argument", *titles]
    assert {row[0].strip("`") for row in rows} == {*Arguments._fields}
    for title, kinds in zip(header[1:], titles.values(), strict=True):
        for kind in kinds:
            for argument in Arguments._fields:
                assert documented[argument, title] == (argument in KIND_OF[kind].arguments), (argument, kind)
