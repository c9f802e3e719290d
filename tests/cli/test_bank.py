"""The command `alsim bank`: tables of item parameters, its own table, and its report."""

import json
import re

import numpy as np
import pytest

from alsim._version import __version__
from alsim.bank.files import complete_bank, load_bank
from alsim.config import Config

NOTICE = "alsim: items.csv: there is no column of learning outcomes, so all questions have one outcome, 0; "


@pytest.fixture
def bank(run, monkeypatch, tmp_path):
    """Write a table, run `alsim bank --questions` in its directory: (exit status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "40")  # the table does not depend on the terminal

    def command(text, *arguments, name="items.csv"):
        (tmp_path / name).write_text(text)
        return run("bank", "--questions", name, "-o", "bank", *arguments)

    return command


def test_a_table_of_a_b_c_is_a_bank_of_one_outcome(bank, tmp_path):
    status, out, err = bank("a,b,c\n1.5,-1.5,0.25\n0.5,0,0\n1,2,0.125\n", "--json", "report.json")
    assert status == 0
    assert err == NOTICE + "--columns learning_outcome=NAME names a column\n"
    assert out.splitlines() == [
        "bank: 3 questions and 6 contents on 1 learning outcome",
        "outcome  Easy  Medium  Hard    a, 1/logit      b, logits             c",
        "all         1       1     1  0.50 to 1.50  -1.50 to 2.00  0.00 to 0.25",
        "Every outcome has questions of each difficulty.",
        "The option --bank bank of other commands uses this bank.",
    ]
    assert load_bank(tmp_path / "bank") == complete_bank(tmp_path / "items.csv", Config())
    report = json.loads((tmp_path / "report.json").read_text())
    counts = {"questions": {"Easy": 1, "Medium": 1, "Hard": 1}}
    counts |= {"irt_a": [0.5, 1.5], "irt_b": [-1.5, 2.0], "irt_c": [0.0, 0.25]}
    assert report == {
        "written_by": f"alsim {__version__}",
        "questions": 3,
        "contents": 6,
        "outcomes": [{"outcome": "0", **counts}, {"outcome": "all", **counts}],
    }


def test_the_table_is_not_overwritten_by_the_report(bank, tmp_path):
    text = "a,b,c\n1,0,0\n"
    status, out, err = bank(text, "--fill-empty", "--json", "items.csv")
    assert (status, out) == (2, "")
    assert err == ("alsim: --json items.csv: is also an input or another output of this command; choose another file\n")
    assert (tmp_path / "items.csv").read_text() == text


def test_an_empty_cell_is_refused_with_its_cure_and_filled(bank):
    text = "skill,a,b\nsums,1,0\nsums,1,1\n"
    status, out, err = bank(text)
    assert (status, out) == (2, "")
    assert "there is none for (sums, Easy); fill_empty=True (--fill-empty) copies questions of the nearest" in err
    status, out, err = bank(text, "--fill-empty")
    assert (status, err) == (0, "alsim: items.csv: column skill has the learning outcomes\n")
    assert "Every outcome has questions of each difficulty, 1 of them copied to fill empty cells." in " ".join(
        out.split()
    )


def test_the_table_shows_ten_outcomes_and_fits_80_columns(bank):
    rng = np.random.default_rng(0)
    rows = [f"{f'outcome {lo} [red] with a long name'},1,{b}" for lo in range(12) for b in rng.normal(size=20)]
    status, out, _ = bank("\n".join(["learning_outcome,a,b", *rows]), "--fill-empty")
    assert status == 0
    lines = out.splitlines()
    assert max(map(len, lines[1:])) <= 80
    assert len([line for line in lines if line.startswith("outcome ") and "…" in line]) == 10
    assert re.search(r"^and 2 more *$", out, re.MULTILINE)
    assert "[red]" not in out.splitlines()[1] and "outcome 0 [red]… " in out


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("student,item,correct\n1,x,1\n", ["there is no column b", "--columns b=NAME"]),
        ("PK\x03\x04", ["is a spreadsheet or another zip archive; save the sheet as CSV"]),
        ("a,d\n1,2\n", ["either the intercept of mirt or an upper asymptote", "--columns intercept=d"]),
        ("", ["the file is empty"]),
        ("a,b\n1,0\n1,x\n", ["line 3, column b: 'x'; expected a finite number"]),
    ],
)
def test_a_file_that_is_no_table_of_items_is_refused_with_one_sentence(bank, tmp_path, text, messages):
    status, out, err = bank(text)
    assert (status, out) == (2, "")
    assert err.startswith("alsim: items.csv") and err.count("\n") == 1
    for message in messages:
        assert message in err
    assert not (tmp_path / "bank").exists()


def test_a_table_in_another_encoding(run, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "items.csv").write_bytes("item,a,b\ncafé,1,0\nthé,1,1\nlait,1,-1\n".encode("latin-1"))
    status, _, err = run("bank", "--questions", "items.csv", "-o", "bank")
    assert status == 2 and "is not UTF-8" in err and "--encoding latin-1" in err
    assert run("bank", "--questions", "items.csv", "-o", "bank", "--encoding", "latin-1", "--fill-empty")[0] == 0
    assert "café" in (tmp_path / "bank" / "questions.csv").read_text(encoding="utf-8")
