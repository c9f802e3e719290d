"""The command `alsim score`: abilities of examinees from their responses to calibrated items."""

import json

import numpy as np
import pytest

from alsim.models import irt, read_responses

DIFFICULTY = np.linspace(-1.5, 1.5, 6)
ITEMS = "item,a,b\n" + "".join(f"q{k},1.5,{b}\n" for k, b in enumerate(DIFFICULTY))
ANSWERS = (np.random.default_rng(2).random((30, 6)) < 0.5).astype(int)
LOG = "id," + ",".join(f"q{k}" for k in range(6)) + "\n"
LOG += "".join(f"s{s}," + ",".join(map(str, row)) + "\n" for s, row in enumerate(ANSWERS))


@pytest.fixture
def files(monkeypatch, tmp_path):
    """Work in a directory with a log and its items."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "log.csv").write_text(LOG)
    (tmp_path / "items.csv").write_text(ITEMS)
    return tmp_path


def read(file):
    return file.read_text().splitlines()


def report_of(result):
    status, out, _ = result
    assert status == 0, result
    return json.loads(out)


@pytest.mark.ci
@pytest.mark.parametrize("method", ["EAP", "map", "ML", "wle"])
def test_the_abilities_are_those_of_estimate_ability(run, files, method):
    options = ("--items", "items.csv", "--method", method)
    report = report_of(run("score", "log.csv", *options, "--json", "-"))
    expected = irt.estimate_ability(irt.read_items("items.csv"), read_responses("log.csv"), method.lower())
    assert [row["ability"] for row in report["students"]] == pytest.approx(expected.theta.tolist())
    assert [row["se"] for row in report["students"]] == pytest.approx(expected.se.tolist())
    assert [row["correct"] for row in report["students"]] == ANSWERS.sum(axis=1).tolist()
    assert (report["used_responses"], report["unknown_items"]) == (180, [])
    status, out, _ = run("score", "log.csv", *options, "--out", "abilities.csv")
    assert status == 0 and f"{method.upper()} of 30 students from 180 responses to 6 items" in " ".join(out.split())
    lines = (files / "abilities.csv").read_text().splitlines()
    assert lines[0] == "student,ability,se,responses,correct" and len(lines) == 31
    assert float(lines[1].split(",")[1]) == pytest.approx(expected.theta[0])


def test_the_abilities_from_a_fit_are_those_of_the_fit(run, files):
    assert run("fit", "irt", "log.csv", "--model", "rasch", "--out", "fit.json", "--scores", "of_fit.csv")[0] == 0
    assert run("score", "log.csv", "--items", "fit.json", "--out", "scores.csv")[0] == 0
    for row, of_fit in zip(*(read(files / name) for name in ("scores.csv", "of_fit.csv")), strict=True):
        assert row.startswith(of_fit)


def test_unknown_items_are_counted_or_refused(run, files):
    (files / "items.csv").write_text("\n".join(ITEMS.splitlines()[:5]) + "\n")
    status, out, err = run("score", "log.csv", "--items", "items.csv")
    assert status == 0 and "120 responses to 4 items" in " ".join(out.split())
    assert "2 of 6 items of log.csv have no parameters in items.csv, so responses to them are left out: q4, q5" in err
    assert report_of(run("score", "log.csv", "--items", "items.csv", "--json", "-"))["unknown_items"] == ["q4", "q5"]
    (files / "items.csv").write_text(ITEMS.replace("q", "x"))
    status, _, err = run("score", "log.csv", "--items", "items.csv")
    assert status == 2 and "log.csv: no item has parameters in items.csv, such as 'q0'; the items there are, for" in err


def test_names_of_whole_numbers_and_items_without_names(run, files):
    expected = report_of(run("score", "log.csv", "--items", "items.csv", "--json", "-"))["students"]
    (files / "log.csv").write_text(LOG.replace(",q", ",10"))
    (files / "items.csv").write_text(ITEMS.replace("q", "10").replace(",1.5,", ".0,1.5,"))
    assert report_of(run("score", "log.csv", "--items", "items.csv", "--json", "-"))["students"] == expected
    (files / "items.csv").write_text("a,b\n" + "".join(f"1.5,{b}\n" for b in DIFFICULTY))
    report = report_of(run("score", "log.csv", "--items", "items.csv", "--json", "-"))
    assert report["students"] == expected
    assert report["notes"][0] == "there are no names of items in items.csv, so the items are matched by position"


def test_rows_with_frequencies_count_as_often_as_they_occur(run, files):
    (files / "log.csv").write_text("q0,q1,q2,freq\n1,0,0,10\n1,1,,5\n")
    _, out, _ = run("score", "log.csv", "--items", "items.csv")
    assert "EAP of 15 students from 40 responses to 3 items" in " ".join(out.split())
    report = report_of(run("score", "log.csv", "--items", "items.csv", "--json", "-"))
    assert (report["log"]["responses"], report["used_responses"], report["log"]["rows"]) == (40, 40, 2)


def test_items_named_by_numbers_are_matched_by_name_also_in_another_order(run, files):
    (files / "items.csv").write_text("item,a,b\n0,0.5,-1\n1,1,0\n2,2,1\n")
    rows = [(s, k, int(k == s)) for s in range(3) for k in (2, 0, 1)]
    (files / "log.csv").write_text("student,item,correct\n" + "".join(f"s{s},{k},{right}\n" for s, k, right in rows))
    report = report_of(run("score", "log.csv", "--items", "items.csv", "--json", "-"))
    abilities = [row["ability"] for row in report["students"]]
    assert abilities == sorted(abilities) and report["notes"] == []


def test_items_without_names_need_a_position_in_the_log(run, files):
    (files / "items.csv").write_text("a,b\n" + "".join(f"1.5,{b}\n" for b in DIFFICULTY))
    answers = "".join(f"s0,q{k},{k % 2}\n" for k in (3, 0, 1, 2, 4, 5))
    (files / "log.csv").write_text("student,item,correct\n" + answers)
    status, _, err = run("score", "log.csv", "--items", "items.csv")
    assert (
        status == 2
        and "log.csv has an item 'q3', which is not a number of a row from 0 to 5: add the names"
        in " ".join(err.split())
    )
    (files / "log.csv").write_text("student,item,correct\ns0,1,1\ns0,2,0\n")
    assert run("score", "log.csv", "--items", "items.csv")[0] == 0
    (files / "log.csv").write_text("student,item,correct\ns0,1,1\ns0,6,0\n")
    assert run("score", "log.csv", "--items", "items.csv")[0] == 2
    (files / "log.csv").write_text("1,0,0\n1,1,0\n1,0,1\n0,1,1\n")
    (files / "items.csv").write_text("item,a,b\n1,1,-3\n2,1,0\n3,1,3\n4,1,2\n")
    status, _, err = run("score", "log.csv", "--items", "items.csv", "--no-header")
    assert status == 2 and "there are 3 items in log.csv and 4 in items.csv: add the names" in " ".join(err.split())


def test_one_student_has_no_standard_deviation(run, files):
    (files / "one.csv").write_text("\n".join(LOG.splitlines()[:2]) + "\n")
    report = report_of(run("score", "one.csv", "--items", "items.csv", "--format", "wide", "--json", "-"))
    assert report["summary"]["sd"] is None and report["summary"]["mean"] is not None
    assert "standard deviation" not in run("score", "one.csv", "--items", "items.csv", "--format", "wide")[1]


def test_students_without_responses_and_estimates_at_a_bound(run, files):
    (files / "log.csv").write_text("id,q0,q1,q2\na,1,1,1\nb,,,\nc,0,1,0\n")
    report = report_of(run("score", "log.csv", "--items", "items.csv", "--method", "ml", "--json", "-"))
    assert [row["responses"] for row in report["students"]] == [3, 0, 3]
    assert report["students"][1]["ability"] is None and report["students"][0]["ability"] == 4
    assert "1 student without responses to these items: no estimate" in report["notes"]
    assert any(note.startswith("1 estimate at a bound of ability") for note in report["notes"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--items", "log.csv"), "--item-columns b=NAME"),
        (("--items", "items.csv", "--out", "items.csv"), "is also an input or another output"),
        (("--items", "items.csv", "--out", "x.json"), "expected a file name that ends in .csv, .parquet, .pq"),
        (("--items", "items.csv", "--bounds=2,1"), "expected two abilities in logits, the lower first"),
        (("--items", "items.csv", "--prior-sd", "0"), "--prior-sd is 0.0; expected a positive number"),
        (("--items", "none.csv"), "none.csv: there is no such file; did you mean log.csv?"),
        ((), "--items"),
    ],
)
def test_invalid_options_are_refused(run, files, options, message):
    status, out, err = run("score", "log.csv", *options)
    assert (status, out) == (2, "") and message in err and err.count("\n") <= 2
    assert (files / "items.csv").read_text() == ITEMS


def test_existing_output_needs_force(run, files):
    (files / "out.csv").write_text("mine")
    status, _, err = run("score", "log.csv", "--items", "items.csv", "--out", "out.csv")
    assert status == 2 and "--force overwrites it" in err and (files / "out.csv").read_text() == "mine"
    assert run("score", "log.csv", "--items", "items.csv", "--out", "out.csv", "--force")[0] == 0


def test_a_match_by_position_is_a_warning(run, files):
    (files / "log.csv").write_text(LOG.partition("\n")[2])
    status, _, err = run("score", "log.csv", "--items", "items.csv")
    message = "there are no names of items in log.csv, so the items are matched by position"
    assert status == 0 and message in " ".join(err.split())
    status, _, err = run("score", "log.csv", "--items", "items.csv", "--no-header", "--json", "report.json")
    assert message in json.loads((files / "report.json").read_text())["notes"]
