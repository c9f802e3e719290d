"""The command `alsim ope`: report, tables within 80 columns, figure, and invalid input."""

import json

import pytest
from rich.cells import cell_len

import alsim
from alsim.evaluation import ope

POLICY, TARGET = "epsilon-greedy:rules:0.2", "epsilon-greedy:rules:0.15"


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """Directory of a small log."""
    directory = tmp_path_factory.mktemp("ope") / "log"
    alsim.generate_dataset(num_learners=60, episodes_per_learner=2, policy=POLICY, out=directory)
    return directory


def test_the_report_has_the_keys_of_the_page(run, log, tmp_path):
    status, printed, _ = run("ope", log, "--target", TARGET, "--json", tmp_path / "a.json")
    assert status == 0 and all(cell_len(line) <= 80 for line in printed.splitlines())
    found = json.loads((tmp_path / "a.json").read_text())
    assert {*found} == {
        *("written_by", "target", "behaviour", "episodes", "transitions", "behaviour_value", "estimators"),
        *("recommended", "diagnostics", "warnings", "verdict"),
    }
    assert found["target"] == TARGET and found["behaviour"] == POLICY and found["episodes"] == 120
    assert [*found["estimators"]] == [*ope.ESTIMATORS]
    for name, one in found["estimators"].items():
        assert {*one} == {"value", "se", "ci", "ess", "family"} and isinstance(one["se"], float)
        assert (one["ci"] is None) == (name == "fqe")
    steps = max(alsim.load_dataset(log).episodes.column("total_steps").to_pylist())
    assert len(found["diagnostics"]["chi2_per_step"]) == len(found["diagnostics"]["ess_by_step"]) == steps
    assert all({*warned} == {"code", "sentence"} for warned in found["warnings"])
    evaluated = ope.evaluate(log, TARGET).to_dict()
    assert {key: found[key] for key in evaluated} == json.loads(json.dumps(evaluated))


def test_json_on_stdout_is_all(run, log):
    status, printed, _ = run("ope", log, "--target", TARGET, "--estimator", "pdis", "--json", "-")
    assert status == 0 and [*json.loads(printed)["estimators"]] == ["pdis"]


def test_the_verdict(run, log):
    """Within the budget it names value, interval and estimator; beyond it, a cure comes first."""
    _, printed, _ = run("ope", log, "--target", POLICY)
    assert " ".join(printed.split()).endswith("by dr.") and "* recommended." in printed and "Warning" not in printed
    _, printed, _ = run("ope", log, "--target", "rules")
    text = " ".join(printed.split())
    assert "weights of histories are not reliable here" in text and "episodes would do, or a target that" in text
    assert "The value of rules is about" in text or text.endswith("from this log is to be believed.")


def test_refits_give_fqe_an_interval(run, log):
    _, printed, _ = run("ope", log, "--target", TARGET, "--estimator", "fqe", "--refit", 40, "--json", "-")
    assert json.loads(printed)["estimators"]["fqe"]["ci"] is not None


@pytest.mark.parametrize("target", [TARGET, "rules"])
def test_the_figure_shows_the_estimates(run, log, tmp_path, target):
    pytest.importorskip("matplotlib")
    status, printed, _ = run("ope", log, "--target", target, "--plot", tmp_path / "a.svg")
    assert status == 0 and "a.svg: estimates and effective sample sizes" in printed
    text = (tmp_path / "a.svg").read_text()
    assert f"Value of {target}" in text and "predicted at the end" in text
    for name in ("tis", "mis", "fqe"):
        assert f">{name}" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--target", "ruls"], "ruls"),
        (["--target", "rules", "--estimator", "drr"], "did you mean 'dr'"),
        (["--target", "rules", "--gamma", "2"], "gamma must be in [0, 1]"),
        (["--target", "rules", "--confidence", "95"], "confidence"),
        (["--target", "rules", "--refit", "3"], "40"),
    ],
)
def test_invalid_input_is_one_sentence(run, log, options, message):
    status, printed, error = run("ope", log, *options)
    assert status == 2 and message in error and len(error.splitlines()) == 1 and not printed


def test_a_directory_without_a_dataset(run, tmp_path):
    status, _, error = run("ope", tmp_path / "none", "--target", "rules")
    assert status == 2 and "none" in error and len(error.splitlines()) == 1
