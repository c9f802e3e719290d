"""The command `alsim ope`: report, tables within 80 columns, figure, and invalid input."""

import json

import numpy as np
import pytest
from rich.cells import cell_len

import alsim
from alsim.evaluation import ope

POLICY, TARGET = "epsilon-greedy:rules:0.2", "epsilon-greedy:rules:0.15"
CONFIG = {"num_los": 3, "max_episode_steps": 12}


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """Directory of a small log."""
    directory = tmp_path_factory.mktemp("ope") / "log"
    alsim.generate_dataset(num_learners=60, episodes_per_learner=2, policy=POLICY, config=CONFIG, out=directory)
    return directory


@pytest.mark.heavy
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


@pytest.mark.heavy
def test_the_verdict(run, log):
    """Within the budget it names value, interval and estimator; beyond it, a cure comes first."""
    _, printed, _ = run("ope", log, "--target", POLICY)
    assert " ".join(printed.split()).endswith("by dr.") and "* recommended." in printed and "Warning" not in printed
    _, printed, _ = run("ope", log, "--target", "rules")
    text = " ".join(printed.split())
    assert "weights of histories are not reliable here" in text and "episodes would do, or a target that" in text
    assert "The value of rules is about" in text or text.endswith("is recommended.")


@pytest.mark.heavy
def test_refits_give_fqe_an_interval(run, log):
    _, printed, _ = run("ope", log, "--target", TARGET, "--estimator", "fqe", "--refit", 40, "--json", "-")
    assert json.loads(printed)["estimators"]["fqe"]["ci"] is not None


@pytest.mark.heavy
def test_two_logs_are_one(run, log, tmp_path):
    alsim.generate_dataset(num_learners=30, policy="uniform", seed=1, config=CONFIG, out=tmp_path / "other")
    status, printed, _ = run("ope", log, tmp_path / "other", "--target", TARGET, "--json", "-")
    found = json.loads(printed)
    assert status == 0 and found["episodes"] == 210 and found["behaviour"] == f"{POLICY}, uniform"


@pytest.fixture
def table(tmp_path):
    """A table with two episodes per student, of two steps each."""
    lines = ["session,student,score,p,new,x"]
    for session in range(40):
        lines += [f"{session},{session // 2},{session % 3 + step},0.5,{0.4 + 0.2 * step},{step}" for step in (0, 1)]
    (tmp_path / "log.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "log.csv"


def test_a_table_of_the_user(run, table):
    """Weights are .8 and .8 * 1.2 = .96 in all episodes, so the self-normalised estimate is the mean return."""
    columns = "episode=session,learner=student,reward=score,behaviour=p,target=new"
    status, printed, _ = run("ope", table, "--columns", columns, "--json", "-")
    found = json.loads(printed)
    assert status == 0 and found["target"] == "new" and found["transitions"] == 80
    rewards = [[session % 3 + step for step in (0, 1)] for session in range(40)]
    mean = sum(map(sum, rewards)) / 40
    assert found["estimators"]["snpdis"]["value"] == pytest.approx(mean)
    assert found["estimators"]["pdis"]["value"] == pytest.approx(sum(0.8 * a + 0.96 * b for a, b in rewards) / 40)
    assert {"mis", "fqe"}.isdisjoint(found["estimators"])


def test_a_table_without_propensities(run, table):
    columns = "episode=session,reward=score,target=new,action=score,behaviour="
    status, _, error = run("ope", table, "--columns", columns)
    assert status == 2 and "--estimate-propensities" in error and len(error.splitlines()) == 1
    status, printed, _ = run("ope", table, "--columns", columns, "--feature", "x", "--estimate-propensities")
    assert status == 0 and "estimate" in printed.split("Warning:")[-1]


@pytest.fixture
def engine_log(tmp_path):
    """Exported log of an engine with 30 students, four responses each."""
    graph = {"a": [], "b": ["a"]}
    items = [
        {"id": f"{s}{k}", "skills_taught": [s], "skills_assessed": [s], "type": "question"}
        for s in "ab"
        for k in (0, 1)
    ]
    one = alsim.engine.AdaptiveEngine(graph, items)
    for student in range(30):
        for k in range(4):
            shown = one.recommend(f"s{student}", 1, time=100.0 * k)
            one.process_response(f"s{student}", shown[0].item, (student + k) % 2 == 0, time=100.0 * k + 1)
    return alsim.engine.export_log(one, tmp_path / "export")


@pytest.mark.ci
def test_the_log_of_an_engine(run, engine_log):
    """The guide itself has the mean return of the log."""
    for options in ([], ["--columns", "reward=correct", "--missing", "0"]):
        status, printed, _ = run("ope", engine_log, "--target", "guide", *options, "--json", "-")
        found = json.loads(printed)
        assert status == 0 and found["behaviour"] == "guide" and found["transitions"] == 120
        assert found["estimators"]["snpdis"]["value"] == pytest.approx(found["behaviour_value"]["value"])
    assert found["behaviour_value"]["value"] == pytest.approx(2.0)  # half of four answers are correct
    status, _, error = run("ope", engine_log, "--target", "rules")
    assert status == 2 and "rules" in error and len(error.splitlines()) == 1


@pytest.mark.ci
@pytest.mark.compiled
def test_a_certificate(run, log, tmp_path):
    """The default number of learners of the true value takes long in the interpreter."""
    options = ["--estimator", "dr", "--estimator", "mis", "--certify", "--logs", 2, "--json", tmp_path / "a.json"]
    status, printed, _ = run("ope", log, "--target", TARGET, *options)
    assert status == 0 and all(cell_len(line) <= 80 for line in printed.splitlines())
    assert "true value" in printed and "2 logs of epsilon-greedy:rules:0.2, 60 learners" in printed
    found = json.loads((tmp_path / "a.json").read_text())["certificate"]
    assert found["logs"] == 2 and [*found["targets"][TARGET]["estimators"]] == ["dr", "mis"]
    truth = found["targets"][TARGET]["truth"]
    other = alsim.rollout(TARGET, num_learners=20_000, seed=9, config=CONFIG).metrics.cumulative_reward
    error = np.hypot(truth["se"], other.std() / np.sqrt(20_000))  # five errors: a false alarm in a million
    assert abs(truth["mean"] - other.mean()) < 5 * error


def test_certificates_need_a_dataset(run, log, table):
    for logs in ([table], [log, log]):
        status, printed, error = run("ope", *logs, "--target", TARGET, "--certify")
        assert status == 2 and "--certify needs one dataset of simulated learners" in error and not printed


@pytest.mark.ci
@pytest.mark.parametrize("target", [TARGET, "rules"])
def test_the_figure_shows_the_estimates(run, log, tmp_path, target):
    pytest.importorskip("matplotlib")
    status, printed, _ = run("ope", log, "--target", target, "--plot", tmp_path / "a.svg")
    assert status == 0 and "a.svg: estimates and effective sample sizes" in printed
    text = (tmp_path / "a.svg").read_text()
    assert f"Value of {target}" in text and "predicted at the end" in text
    for name in ("tis", "mis", "fqe"):
        assert f">{name}" in text


@pytest.mark.ci
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--target", "ruls"], "ruls"),
        (["--target", "rules", "--estimator", "drr"], "did you mean 'dr'"),
        (["--target", "rules", "--gamma", "2"], "gamma must be in [0, 1]"),
        (["--target", "rules", "--confidence", "95"], "confidence"),
        (["--target", "rules", "--refit", "3"], "refit must be"),
        (["--target", "rules", "--window", "0"], "window must be"),
        (["--target", "rules", "--missing", "0"], "has all rewards: leave out missing (--missing)"),
        (["--target", "rules", "--estimate-propensities"], "has propensities"),
        (["--target", "rules", "--columns", "reward=x"], "all columns are known"),
        ([], "target must be a policy"),
        (["--target", "rules", "--certify", "--logs", "1"], "--logs must be at least 2"),
        (["--target", "rules", "--certify", "--workers", "0"], "--workers must be at least 1"),
    ],
)
def test_invalid_input_is_one_sentence(run, log, options, message):
    status, printed, error = run("ope", log, *options)
    assert status == 2 and message in error and len(error.splitlines()) == 1 and not printed


def test_a_directory_without_a_dataset(run, tmp_path):
    status, _, error = run("ope", tmp_path / "none", "--target", "rules")
    assert status == 2 and "none" in error and len(error.splitlines()) == 1
