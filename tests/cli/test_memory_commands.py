"""Commands with models of memory: `alsim fit hlr`, and engines that print due skills."""

import csv
import json

import numpy as np
import pytest

from alsim.models import hlr, load_fit, read_responses


@pytest.fixture
def log(tmp_path, monkeypatch):
    """A file of 60 students with times, in the current directory."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    with open("log.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["student", "skill", "correct", "answered_at"])
        for s in range(60):
            hours = np.cumsum(rng.exponential(30, 24))
            for hour in hours:
                stamp = np.datetime64("2026-01-01T00:00:00") + np.timedelta64(int(hour * 3600), "s")
                writer.writerow([s, rng.choice(["add", "carry"]), int(rng.random() < 0.6), stamp])
    return tmp_path / "log.csv"


def test_a_fit_of_hlr_is_that_of_python(run, log):
    options = (
        "--columns",
        "time=answered_at",
        "--guess",
        0.2,
        "--shared",
        "--out",
        "fit.json",
        "--json",
        "report.json",
    )
    status, out, err = run("fit", "hlr", "log.csv", *options)
    assert status == 0, err
    expected = hlr.fit(read_responses(log, columns={"time": "answered_at"}), guess=0.2, by_skill=False)
    assert load_fit("fit.json").to_dict() == expected.to_dict()
    assert f"{expected.weights[0]:.2f}±{expected.weight_errors[0]:.2f}" in out
    assert "The fit converged after" in out
    report = json.loads((log.parent / "report.json").read_text(encoding="utf-8"))
    assert report["converged"] is True
    assert report["log_likelihood"] == expected.log_likelihood


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "half-life regression needs the times of the responses; the log has none: "),
        (("--columns", "time=answered_at", "--guess", 1), "guess must be a number in [0, 1); got 1"),
        (("--columns", "time=answered_at", "--penalty", 0), "penalty must be a number above 0; got 0"),
    ],
)
def test_faults_are_one_sentence(run, log, options, message):
    status, out, err = run("fit", "hlr", "log.csv", *options)
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("unit", "parts"),
    [
        (1.0, ()),
        (3600.0, ("shortest one, 15 minutes", "minutes: if that is wrong, convert the times to seconds")),
        (1e-3, ("longest one, 274 days", "days: if that is wrong, convert the times to seconds")),
    ],
)
def test_times_in_another_unit_are_noted(run, tmp_path, monkeypatch, unit, parts):
    """Times are read as seconds: hours give half-lives at the lower bound, and milliseconds at the upper one."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(5)
    with open("log.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["student", "skill", "correct", "when"])
        for s in range(60):
            seconds, right, wrong, pause = 0.0, 0, 0, np.inf
            for _ in range(12):
                correct = rng.random() < (0.3 if right + wrong == 0 else hlr.recall(pause, hlr.half_life(right, wrong)))
                writer.writerow([s, "add", int(correct), seconds / unit])
                right, wrong, pause = right + correct, wrong + (not correct), rng.exponential(1.0) + 0.1
                seconds += 86400 * pause
    status, out, err = run("fit", "hlr", "log.csv", "--columns", "time=when")
    assert status == 0, err
    text = " ".join(out.split())
    assert all(part in text for part in parts) and ("half-lives of" in text) == bool(parts)


def test_times_that_run_backwards_are_one_sentence(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [f"ada,add,{k % 2},{k},{9 - k}" for k in range(9)]
    (tmp_path / "log.csv").write_text("\n".join(["student,skill,correct,when,order", *rows]), encoding="utf-8")
    status, out, err = run("fit", "hlr", "log.csv", "--columns", "time=when")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "times run backwards in the log of student 'ada': leave out the column order" in err
    status, out, err = run("fit", "hlr", "log.csv", "--columns", "time=when,order=")
    assert "run backwards" not in err


@pytest.mark.ci
def test_an_engine_prints_the_due_skills(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "graph.json").write_text('{"add": [], "carry": ["add"]}', encoding="utf-8")
    (tmp_path / "items.csv").write_text(
        "id,skills_taught,skills_assessed,type\nq,add,add,question\nr,carry,carry,question\n", encoding="utf-8"
    )
    made = run("engine", "init", "shop", "--graph", "graph.json", "--catalogue", "items.csv", "--model", "fsrs")
    assert made[0] == 0, made
    assert "below a recall of 0.9" in made[1]
    responded = run("engine", "respond", "shop", "ada", "q", "--correct", "--time", "2026-01-01T00:00:00Z")
    assert "Due" not in responded[1]
    status, out, err = run(
        "engine", "recommend", "shop", "ada", "--time", "2026-02-01T00:00:00Z", "--json", "found.json"
    )
    assert status == 0, err
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert found["due"] == ["add"]
    assert [item["item"] for item in found["recommendations"]] == ["q"]
    status, out, err = run("engine", "show", "shop", "ada", "--json", "ada.json")
    assert "with reviews of add due" in " ".join(out.split())
    assert json.loads((tmp_path / "ada.json").read_text(encoding="utf-8"))["due"] == ["add"]
    assert run("engine", "init", "plain", "--graph", "graph.json", "--catalogue", "items.csv")[0] == 0
    assert "recall" not in run("engine", "show", "plain")[1]
