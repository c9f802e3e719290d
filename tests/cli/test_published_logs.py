"""`alsim fit` with logs in published formats."""

import json

import pytest
from published_logs import LOGS, write_log

from alsim.responses.formats.base import PUBLISHED_NAMES


@pytest.mark.parametrize("name", PUBLISHED_NAMES)
def test_a_published_log_is_fitted(name, run, tmp_path):
    log = write_log(name, tmp_path)
    status, out, err = run("fit", "skill-mean", log, "--format", name, "--json", tmp_path / "report.json")
    assert (status, "Traceback" in err) == (0, False), err
    assert "students" in out or "student" in out
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["log"]["skipped"] or name in ("junyi", "duolingo-slam")
    for reason, number in report["log"]["skipped"].items():
        assert f"{number} skipped, {reason}; the first one: " in " ".join(err.split())
    if name == "assistments-2009":
        message = " ".join(err.split())
        assert "invalid values of seconds are read as unknown: 2; the first one: " in message
        assert "line 3, column ms_first_response: '-5000'; expected a number of at least 0" in message
        assert "rows that repeat a response with another skill are merged into it: 1 of 8" in message
        assert "--duplicates" not in message


def test_the_held_out_log_of_a_directory(run, tmp_path):
    log = write_log("ednet-kt1", tmp_path)
    options = ("--format", "ednet-kt1", "--key", tmp_path / "contents" / "questions.csv")
    status, out, err = run("fit", "skill-mean", log, *options, "--test", log)
    assert status == 0, err
    assert "test:" in out


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("junyi", ("--format", "junji"), "got 'junji'; did you mean 'junyi'? See alsim fit skill-mean --help"),
        (
            "junyi",
            ("--format", "assistments-2012"),
            "problem log of 2015; read it with --format junyi",
        ),
        ("junyi", ("--format", "junyi", "--key", "k.csv"), "key is for the formats duolingo-slam and ednet-kt1 only"),
        ("junyi", ("--format", "junyi", "--columns", "student=x"), "read the log with --format long"),
        ("junyi", ("--key", "k.csv"), "got no format; remove it"),
        ("ednet-kt1", ("--format", "ednet-kt1", "--key", "nowhere.csv"), "nowhere.csv: there is no such file"),
        ("ednet-kt1", (), "name its format with --format ednet-kt1"),
    ],
)
def test_errors_name_options(name, options, message, run, tmp_path):
    status, _, err = run("fit", "skill-mean", write_log(name, tmp_path), *options)
    assert status == 2
    assert message in " ".join(err.split())
    assert err.count("alsim:") == 1


def test_the_help_lists_the_formats(run):
    _, out, _ = run("fit", "bkt", "--help")
    text = " ".join(out.split())
    assert f"Format of the log: long, wide, three-line, or a published log: {', '.join(PUBLISHED_NAMES)}." in text


def test_a_published_log_without_its_format_is_noticed(run, tmp_path):
    log = tmp_path / "log.csv"
    log.write_text(LOGS["junyi"])
    status, _, err = run("fit", "skill-mean", log)
    assert status == 0
    assert "the format junyi reads it by the conventions of this log" in " ".join(err.split())
