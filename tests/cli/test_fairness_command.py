"""The command `alsim fairness`: report, tables within 80 columns, figure, and invalid input."""

import json

import numpy as np
import pytest
from rich.cells import cell_len

import alsim
from alsim.cli.fairness_text import short_names
from alsim.evaluation import fairness
from alsim.models import Responses
from alsim.models.student import BKTModel, Items

POPULATION = [
    {"share": 0.5, "name": "weak", "learner": {"mastery_alpha": 1.0, "mastery_beta": 8.0}},
    {"share": 0.5, "name": "strong", "learner": {"mastery_alpha": 8.0, "mastery_beta": 3.0}},
]
CONFIG = {"num_los": 4, "max_episode_steps": 40, "dynamics": {"name": "linked"}, "population": POPULATION}


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """Directory of a small dataset with two kinds of learners, and the file of a student model."""
    directory = tmp_path_factory.mktemp("fairness")
    data = alsim.generate_dataset(200, 1, policy="uniform", config=CONFIG, out=directory / "log")
    return directory / "log", BKTModel(Items.of_log(Responses.from_dataset(data))).save(directory / "bkt.npz")


@pytest.mark.ci
def test_simulated_learners_and_a_model(run, log, tmp_path):
    status, printed, _ = run("fairness", log[0], "--model", log[1], "--mastered", 0.6, "--json", tmp_path / "a.json")
    assert status == 0 and all(cell_len(line) <= 80 for line in printed.splitlines())
    found = json.loads((tmp_path / "a.json").read_text())
    assert {*found} == {"written_by", "groups", "gaps", "flags", "items", "unit", "notes", "verdict"}
    expected = fairness.evaluate_dataset(log[0], log[1], mastered=0.6).to_dict()
    assert {key: found[key] for key in expected} == json.loads(json.dumps(expected))
    assert {flag["metric"] for flag in found["flags"] if flag.get("section") == "mastery"} >= {"bias"}
    text = " ".join(printed.split())
    assert text.endswith(found["verdict"]) and "* estimate - truth" in text
    assert found["verdict"].startswith("The model underestimates the mastery of strong by 0.")
    assert "before and after recalibration" in text and "delta, ETS" in text


@pytest.mark.ci
def test_only_the_policy(run, log):
    status, printed, _ = run("fairness", log[0], "--no-items")
    assert status == 0 and "Results of the policy" in printed and "Estimated" not in printed and "item" not in printed
    assert printed.rstrip().endswith("results of the policy.") and "Significant gaps at 5 %:" in printed


@pytest.mark.ci
def test_json_on_stdout_is_all(run, log):
    status, printed, _ = run("fairness", log[0], "--no-items", "--json", "-")
    found = json.loads(printed)
    assert status == 0 and [*found["gaps"]] == ["policy"] and [*found["groups"]] == ["strong", "weak"]
    assert {*found["gaps"]["policy"]["return"]} == {
        *("difference", "ratio", "ci", "p", "p_adjusted", "highest", "lowest", "flagged"),
    }


@pytest.fixture
def table(tmp_path):
    """A table of forecasts, which are too low for the students of one school."""
    rng = np.random.default_rng(0)
    lines = ["passed,p,school,student"]
    for k in range(600):
        p = rng.random() * 0.8
        lines.append(
            f"{int(rng.random() < p + 0.2 * (k % 2))},{p:.3f},{'east' if k % 2 else 'west'},s{k // 2 * 2 + k % 2}"
        )
    (tmp_path / "marks.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "marks.csv"


COLUMNS = "outcome=passed,prediction=p,group=school,learner=student"


@pytest.mark.ci
def test_a_table_of_the_user(run, table, tmp_path):
    plot = tmp_path / "a.svg"
    status, printed, _ = run("fairness", table, "--columns", COLUMNS, "--plot", plot, "--json", tmp_path / "b.json")
    assert status == 0 and all(cell_len(line) <= 80 for line in printed.splitlines() if str(tmp_path) not in line)
    assert "forecast - outcome" in printed.split("significant gaps at 5 %:".capitalize())[-1]
    found = json.loads((tmp_path / "b.json").read_text())
    assert found["gaps"]["forecasts"]["bias"]["lowest"] == "east"
    assert not found["gaps"]["forecasts after recalibration by group"]["bias"]["flagged"]
    drawing = plot.read_text()
    assert "east" in drawing and "Forecasts: forecast - outcome *" in drawing


@pytest.mark.ci
def test_invalid_input(run, log, table, tmp_path):
    """One sentence each, which names the value and the cure."""
    alone = tmp_path / "alone"
    alsim.generate_dataset(10, 1, config={**CONFIG, "population": [{"share": 1.0}]}, out=alone)
    for arguments, sentence in (
        (
            (table, "--columns", "outcome=pased,prediction=p,group=school"),
            "no column 'pased' for outcome; did you mean 'passed'",
        ),
        ((table, "--columns", "outcome=passed,prediction=p,group=student"), "must be at most 50 groups; got 600"),
        ((table, "--model", "bkt"), "--model is for a dataset"),
        ((table,), "there is no column for outcome"),
        ((log[0], "--columns", COLUMNS), "--columns is for a table"),
        ((log[0], "--threshold", 0.3), "--threshold is for a table; "),
        ((table, "--mastered", 0.8), "--mastered is for a dataset; "),
        ((table, "--no-items"), "--no-items is for a dataset; "),
        ((table, "--items"), "--items is for a dataset; "),
        ((log[0], "--model", "btk"), "did you mean 'bkt'?"),
        ((alone,), "has one kind of learner"),
        ((tmp_path / "nothing",), "there is no log"),
    ):
        status, printed, error = run("fairness", *arguments)
        assert status == 2 and printed == "" and sentence in error and len(error.splitlines()) == 1


def test_long_names_of_groups_stay_different(run, tmp_path):
    names = [f"Grundschule am Stadtpark, Haus {k}, Nord" for k in (1, 2)]
    rows = [f"{k % 2},{k // 2 % 2},{names[k % 2]!r}".replace("'", '"') for k in range(40)]
    (tmp_path / "a.csv").write_text("\n".join(["outcome,prediction,group", *rows]))
    status, printed, _ = run("fairness", tmp_path / "a.csv")
    assert status == 0 and "group Grundschu… 1, Nord  20 rows" in printed and "Grundschu… 2, Nord  20 rows" in printed
    assert [*short_names(["a" * 40, "a" * 41]).values()] == ["aaaaaaaaa…aaaaaaaa", "aaaaaaa…aaaaaa (2)"]


def test_a_figure_of_items_alone(run, tmp_path):
    rng = np.random.default_rng(0)
    rows = [f"{k},{'ab'[k % 2]},q{i},{rng.integers(2)}" for k in range(60) for i in range(3)]
    (tmp_path / "a.csv").write_text("\n".join(["learner,group,item,outcome", *rows]))
    status, _, _ = run("fairness", tmp_path / "a.csv", "--plot", tmp_path / "a.svg")
    drawing = (tmp_path / "a.svg").read_text()
    assert status == 0 and "Items that differ for b" in drawing and ">q2<" in drawing


@pytest.mark.ci
def test_an_item_with_an_infinite_odds_ratio(run, tmp_path):
    rows = [
        f"{k},{'ab'[k % 2]},q{i},{(k // 2 + i) % 2 if i or k % 2 else 0},{k % 4 // 2}"
        for k in range(200)
        for i in range(2)
    ]
    (tmp_path / "a.csv").write_text("\n".join(["learner,group,item,outcome,matching", *rows]))
    status, printed, _ = run(
        "fairness", tmp_path / "a.csv", "--plot", tmp_path / "a.png", "--json", tmp_path / "a.json"
    )
    assert status == 0 and "*  q0        200        0.00         inf  <0.001  C" in printed
    json.loads((tmp_path / "a.json").read_text(), parse_constant=pytest.fail)
