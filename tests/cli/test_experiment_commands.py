"""The commands `alsim abtest` and `alsim rehearse`: reports, tables within 80 columns, figures, and invalid input."""

import csv
import json
import sys

import numpy as np
import pytest
from rich.cells import cell_len

from alsim.evaluation.experiments import read_experiment_plan

pytest.importorskip("scipy")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A table of 200 students, with an effect on the score."""
    file = tmp_path_factory.mktemp("abtest") / "students.csv"
    random = np.random.default_rng(0)
    with open(file, "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["student", "arm", "score", "correct", "answers", "left", "class"])
        for k in range(200):
            arm = "new" if random.random() < 0.5 else "control"
            answers = random.integers(1, 20)
            score = random.normal(50, 5) + 4 * (arm == "new")
            writer.writerow([f"s{k}", arm, score, random.integers(0, answers + 1), answers, k % 5 == 0, f"c{k % 40}"])
    return file


PLAN = """
name = "test"
students = 20
repetitions = 100
looks = 2
[arms.control]
policy = "uniform"
share = 0.5
[arms.new]
policy = "rules"
share = 0.5
[config]
max_episode_steps = 2
num_los = 3
"""


@pytest.mark.parametrize("options", [[], ["--sequential"], ["--cluster", "class"]])
def test_the_report_of_an_ab_test(run, table, tmp_path, options):
    metrics = ["--metric", "score", "--metric", "correct/answers", "--guardrail", "left=0.1"]
    status, printed, _ = run("abtest", table, "--arm", "arm", *metrics, *options, "--json", tmp_path / "a.json")
    assert status == 0 and all(cell_len(line) <= 80 for line in printed.splitlines())
    found = json.loads((tmp_path / "a.json").read_text())
    assert {*found["metrics"]} == {"score", "correct/answers"}
    interval = "sequence" if "--sequential" in options else "ci"
    assert {*found["metrics"]["score"]} >= {"difference", "lift", "p", "p_adjusted", interval}
    assert found["srm_p"] > 0.001 and found["guardrails"]["left"][0]["state"] in ("kept", "undecided")
    assert printed.replace("\n", " ").strip().endswith(found["verdict"])
    assert "score higher in new" in found["verdict"]


def test_json_on_stdout_is_all(run, table):
    status, printed, _ = run("abtest", table, "--arm", "arm", "--metric", "score", "--json", "-")
    assert status == 0 and json.loads(printed)["control"] == "control"


def test_a_mismatch_of_sizes_is_in_the_verdict(run, table):
    shares = ["--share", "control=0.9", "--share", "new=0.1"]
    status, printed, _ = run("abtest", table, "--arm", "arm", "--metric", "score", *shares)
    assert status == 0 and "do not agree with the expected shares" in printed.replace("\n", " ")
    assert "sizes of the arms  p < 0.001 for the expected shares" in printed


def test_long_names_of_arms_are_within_80_columns(run, tmp_path):
    """Three arms with names of 40 characters; the covariate is the metric itself."""
    arms = [40 * letter for letter in "abc"]
    rows = [f"{arms[k % 3]},{k % 7},{k % 7},{k % 5 + 1}" for k in range(90)]
    (tmp_path / "a.csv").write_text("arm,score,copy,answers\n" + "\n".join(rows))
    metrics = ["--metric", "score", "--metric", "score/answers", "--guardrail", "answers=1", "--covariate", "copy"]
    status, printed, _ = run("abtest", tmp_path / "a.csv", "--arm", "arm", *metrics)
    assert status == 0 and all(cell_len(line) <= 80 for line in printed.splitlines())
    assert "count as over 100 times as many" in printed.replace("\n", " ")


@pytest.mark.parametrize("options", [[], ["--sequential"]])
def test_the_figure_of_an_ab_test(run, table, tmp_path, options):
    pytest.importorskip("matplotlib")
    status, _, _ = run("abtest", table, "--arm", "arm", "--metric", "score", *options, "--plot", tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text()
    assert status == 0 and "A/B test of" in text and ">score, new" in text
    assert ("confidence sequence" in text) == bool(options)


def test_long_names_are_within_the_figure(run, tmp_path):
    """The metric and the arms have names of 60 characters."""
    pytest.importorskip("matplotlib")
    rows = [f"{'ab'[k % 2] * 60},{k % 7}" for k in range(90)]
    (tmp_path / "a.csv").write_text(f"arm,{'m' * 60}\n" + "\n".join(rows))
    options = ["--metric", "m" * 60, "--sequential", "--plot", tmp_path / "a.svg"]
    assert run("abtest", tmp_path / "a.csv", "--arm", "arm", *options)[0] == 0
    text = (tmp_path / "a.svg").read_text()
    assert f">{23 * 'm'}…, {15 * 'b'}…<" in text and 25 * "m" not in text


@pytest.mark.ci
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--metric", "score"], "a table needs arm"),
        (["--arm", "arm"], "a table needs --metric"),
        (["--arm", "arm", "--metric", "scor"], "did you mean 'score'"),
        (["--arm", "arm", "--metric", "score", "--guardrail", "left"], "--guardrail must be NAME=NUMBER"),
        (["--arm", "arm", "--metric", "score", "--share", "control=0", "--share", "new=0"], "must be positive; got 0"),
        (["--arm", "arm", "--metric", "score", "--share", "a=1"], "the arm 'a' of the shares has no students"),
        (["--arm", "arm", "--metric", "score", "--planned", "900"], "use confidence sequences (--sequential)"),
        (["--arm", "arm", "--metric", "score", "--experiment", "x"], "experiment is for logs of engines"),
        (["--arm", "arm", "--metric", "score", "--student", "class"], "overlap"),
    ],
)
def test_invalid_input_of_an_ab_test_is_one_sentence(run, table, options, message):
    status, printed, error = run("abtest", table, *options)
    assert status == 2 and message in error and len(error.splitlines()) == 1 and not printed


@pytest.mark.heavy
def test_the_report_of_a_rehearsal(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.toml").write_text(PLAN)
    status, printed, _ = run("rehearse", "plan.toml", "--json", "a.json", "--plot", "a.svg")
    assert status == 0 and all(cell_len(line) <= 80 for line in printed.splitlines())
    found = json.loads((tmp_path / "a.json").read_text())
    assert {*found} >= {"power", "false_alarms", "false_alarms_naive", "decision_time", "minimum_effect", "verdict"}
    assert found["repetitions"] == 100 and found["verdict"] in printed.replace("\n", " ")
    assert "Rehearsal of the experiment test" in (tmp_path / "a.svg").read_text()


@pytest.mark.compiled
def test_repetitions_replace_those_of_the_plan(run, tmp_path):
    (tmp_path / "plan.toml").write_text(PLAN)
    status, printed, _ = run("rehearse", tmp_path / "plan.toml", "--repetitions", 120, "--json", "-")
    assert status == 0 and json.loads(printed)["repetitions"] == 120


def test_a_plan_of_the_package_is_written_and_never_over_another_file(run, tmp_path):
    file = tmp_path / "plan.toml"
    status, printed, _ = run("rehearse", "classes", "--save-plan", file)
    assert status == 0 and "to rehearse it" in printed
    assert read_experiment_plan(file) == read_experiment_plan("classes")
    status, _, error = run("rehearse", "learning", "--save-plan", file)
    assert status == 2 and "--force overwrites it" in error
    assert run("rehearse", "learning", "--save-plan", file, "--force")[0] == 0
    assert read_experiment_plan(file).name == "learning"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("students", "studens"), "studens = 20: unknown key"),
        (("rules", "ruls"), "ruls"),
        (("repetitions = 100", "repetitions = 10"), "repetitions = 10: expected a number >= 100"),
    ],
)
def test_invalid_plans_are_one_sentence(run, tmp_path, change, message):
    (tmp_path / "plan.toml").write_text(PLAN.replace(*change))
    status, printed, error = run("rehearse", tmp_path / "plan.toml")
    assert status == 2 and message in error and len(error.splitlines()) == 1 and not printed


@pytest.mark.heavy
def test_policies_of_a_plan_may_be_classes_in_the_working_directory(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(sys.path))
    source = "from alsim.policies import make_policy\n\n\ndef Teacher():\n    return make_policy('uniform')\n"
    (tmp_path / "teacher_of_plan.py").write_text(source)
    (tmp_path / "plan.toml").write_text(PLAN.replace('"rules"', '"teacher_of_plan:Teacher"'))
    status, printed, error = run("rehearse", "plan.toml", "--json", "-")
    assert status == 0, error
    assert json.loads(printed)["arms"]["new"]["policy"] == "teacher_of_plan:Teacher"


def test_a_plan_that_does_not_exist(run, tmp_path):
    status, _, error = run("rehearse", "learnig")
    assert status == 2 and "did you mean 'learning'" in error
    status, _, error = run("rehearse", "nothing", "--save-plan", tmp_path / "a.toml")
    assert status == 2 and len(error.splitlines()) == 1
