"""The command `alsim scorecard`: tables within 80 columns, report, figure, and invalid input."""

import json

import pytest
from rich.cells import cell_len

from alsim.evaluation.scorecards import scorecard

SMALL = ("--learners", 40, "--logs", 1)

pytestmark = pytest.mark.compiled  # fits take long in the interpreter


@pytest.mark.ci
def test_the_report_has_the_keys_of_the_page(run, tmp_path):
    status, printed, _ = run("scorecard", "irt", *SMALL, "--seed", 2, "--json", tmp_path / "card.json")
    assert status == 0 and all(cell_len(line) <= 80 for line in printed.splitlines())
    found = json.loads((tmp_path / "card.json").read_text())
    assert {"recovery", "recovery_note", "ability", "auc", "oracle_auc", "excess", "canary_auc", "misfit"} <= {*found}
    assert {"future_change", "leaks", "others", "follows", "forecasts", "calibration", "verdict"} <= {*found}
    assert {*found["recovery"]} == {"a", "b", "c"} and "parameters" in found["misfit"]
    assert {*found["recovery"]["a"]} == {"estimates", "bias", "rmse", "stated_se", "coverage", "without_se"}
    assert {*found["canary_auc"]} == {"mean", "se", "ci", "n"} == {*found["oracle_auc"]}
    expected = scorecard("irt", num_learners=40, logs=1, seed=2).to_dict()
    assert {key: found[key] for key in expected} == json.loads(json.dumps(expected))
    assert " ".join(printed.split()).endswith(found["verdict"])


@pytest.mark.ci
@pytest.mark.parametrize("model", ["irt", "bkt", "skill-mean"])
def test_the_figure_is_drawn(run, tmp_path, model):
    status, printed, _ = run("scorecard", model, *SMALL, "--plot", tmp_path / "card.png")
    assert status == 0 and "recovery, calibration and AUCs" in printed
    assert (tmp_path / "card.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.ci
def test_json_on_stdout_is_all(run):
    status, printed, _ = run("scorecard", "skill-mean", *SMALL, "--json", "-")
    assert status == 0 and json.loads(printed)["recovery"] is None


@pytest.mark.ci
def test_a_model_of_a_user(run, tmp_path, monkeypatch):
    (tmp_path / "own_model.py").write_text(
        "from alsim.models import skill_mean\n\ndef fit(log):\n    return skill_mean.fit(log)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    status, printed, _ = run("scorecard", "own_model:fit", *SMALL, "--json", "-")
    assert status == 0 and json.loads(printed)["model"] == "own_model:fit"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("bkkt",), "did you mean 'bkt'?"),
        (("skill-mean", "--learners", 3), "alsim: --learners must be an integer of at least 20"),
        (("skill-mean", "--logs", 0), "logs must be an integer of at least 1"),
        (("no_such_module:fit",), "no_such_module"),
    ],
)
def test_invalid_input_is_one_sentence(run, arguments, message):
    status, printed, error = run("scorecard", *arguments)
    assert status == 2 and printed == "" and message in error and error.count("\n") == 1


@pytest.mark.ci
@pytest.mark.parametrize(
    "name, message",
    [
        ("fails", "the model own_failures:fails raised RuntimeError: too few, in "),
        ("takes_nothing", "own_failures:takes_nothing raised TypeError: "),
        ("random", "own_failures:random must forecast the same log equally; got differences of up to 0.9"),
    ],
)
def test_faults_of_a_model_of_a_user_are_one_sentence(run, tmp_path, monkeypatch, name, message):
    """A forecast that changes without a change of the log is no leak."""
    (tmp_path / "own_failures.py").write_text(
        "import numpy as np\n\ndef fails(log):\n    raise RuntimeError('too few')\n\ndef takes_nothing():\n    pass\n\n"
        "class random:\n    def __init__(self, log): pass\n"
        "    def predict(self, log): return np.random.random(len(log))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    status, printed, error = run("scorecard", f"own_failures:{name}", *SMALL)
    assert status == 2 and printed == "" and message in error and error.count("\n") == 1
