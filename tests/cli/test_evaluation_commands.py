"""The commands `alsim compare`, `matrix` and `audit`: reports, tables within 80 columns, files, and invalid input."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from notices import without_notice
from rich.cells import cell_len

import alsim
from alsim.cli import comparison_text
from alsim.cli.command import repeated
from alsim.evaluation import compare, matrix
from alsim.evaluation.metrics import COMPARED
from alsim.policies import Network, NetworkPolicy
from alsim.training.seed_groups import expanded, seed_groups

SMALL = "num_los = 3\nmax_episode_steps = 20\n"
CONFIG = {"num_los": 3, "max_episode_steps": 20}
USERS = """
import numpy as np


class Raises:
    name = "raises"

    def act(self, view, draws):
        if view.step == 5:
            self.divide()
        return np.zeros(view.num_lanes, int), np.ones(view.num_lanes)

    def divide(self):
        return 1 / 0


class Impossible(Raises):
    def act(self, view, draws):
        return np.full(view.num_lanes, 99), np.ones(view.num_lanes)


class Exits(Raises):
    def divide(self):
        raise SystemExit(3)


class Improbable(Raises):
    def act(self, view, draws):
        return np.zeros(view.num_lanes, int), np.full(view.num_lanes, np.nan)
"""


@pytest.fixture
def small(tmp_path):
    file = tmp_path / "small.toml"
    file.write_text(SMALL)
    return file


@pytest.fixture
def report(run, small, tmp_path):
    """Run a command under the small configuration; return its status, output and report."""

    def command(*arguments, learners=30):
        file = tmp_path / "report.json"
        status, printed, err = run(*arguments, "--learners", learners, "--config", small, "--json", file)
        assert (status, without_notice(err)) == (0, "")
        assert max(map(cell_len, printed.splitlines())) <= 80
        return printed, json.loads(file.read_text())

    return command


def one_line(text):
    return " ".join(text.split())


def refused(result, *messages):
    status, out, err = result
    err = without_notice(err)
    assert (status, out) == (2, ""), result
    assert err.startswith("alsim: ")
    assert err.count("\n") == 1
    for part in messages:
        assert part in err


# ── compare ──────────────────────────────────────────────────────────────────────────────────────


def test_compare_reports_the_keys_of_the_documentation(report):
    printed, found = report("compare", "rules", "uniform", "--seed", 3)
    expected = compare(["rules", "uniform"], learners=30, seed=3, config=CONFIG).to_dict()
    assert {key: found[key] for key in expected} == json.loads(json.dumps(expected))
    assert found.keys() - expected.keys() == {"written_by", "verdict"}
    assert expected.keys() >= {"learners", "seed", "policies", "pairs", "groups", "method"}
    assert found["policies"].keys() == {"rules", "uniform"}
    for statistics in found["policies"].values():
        assert statistics.keys() == COMPARED.keys()
        assert all(one.keys() == {"mean", "se", "ci", "n", "left_out"} for one in statistics.values())
    required = {"a", "b", "metric", "difference", "ci", "p", "p_adjusted", "variance_reduction"}
    assert all(pair.keys() >= required for pair in found["pairs"])
    assert found["method"].keys() == {"ci", "correction", "familywise"}
    assert one_line(printed).endswith(found["verdict"])


def test_compare_prints_rounded_means_with_the_reach_of_their_intervals(report):
    printed, found = report("compare", "rules", "uniform")
    row = next(line for line in printed.splitlines() if line.startswith("rules"))
    low, high = found["policies"]["rules"]["cumulative_reward"]["ci"]
    mean, half = re.split(r"\s{2,}", row)[1].split(" ± ")
    assert float(mean) == pytest.approx(found["policies"]["rules"]["cumulative_reward"]["mean"], abs=0.5)
    assert float(half) == pytest.approx((high - low) / 2, abs=0.5)
    assert "return" in printed
    assert "learning, LOs" in printed


@pytest.mark.ci
@pytest.mark.parametrize(
    "policies",
    [
        ("rules", "rules"),
        ("rules", "uniform", "weakest", "round-robin", "mastery-gated", "epsilon-greedy:rules:0.05", "zpd"),
        ("mix:rules=0.5,uniform=0.5", "epsilon-greedy:(epsilon-greedy:rules:0.1):0.2"),
    ],
    ids=["one", "many", "long"],
)
def test_tables_fit_80_columns(report, policies):
    printed, found = report("compare", *policies)
    assert found["verdict"].endswith(".")
    assert "nan" not in printed.lower()


@pytest.mark.ci
@pytest.mark.compiled
def test_tables_of_wide_characters_fit_80_columns(report, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [f"{'教師' * 12}{k}" for k in range(3)]
    for seed, name in enumerate(names):
        trained(tmp_path / name, seed)
    for arguments in (
        ("compare", *names, "--metric", "learning"),
        ("compare", *names),
        ("matrix", *names, "--dynamics", "standard"),
        ("audit", *names),
    ):
        printed, _ = report(*arguments)
        assert "教師" in printed
        assert max(map(cell_len, printed.splitlines())) <= 80


def test_compare_of_a_policy_with_itself(report):
    printed, found = report("compare", "rules", "rules")
    assert all(pair["variance_reduction"] is None for pair in found["pairs"])
    assert {(pair["difference"], pair["p"]) for pair in found["pairs"] if pair["n"] > 1} == {(0.0, 1.0)}
    assert "rules is compared with itself: there is no difference." in one_line(printed)


def test_compare_one_learner_says_that_nothing_is_known(report):
    printed, found = report("compare", "rules", "uniform", learners=1)
    assert "one independent unit says nothing about others" in one_line(printed)
    assert found["policies"]["rules"]["learning"]["ci"] is None


@pytest.mark.interpreted  # kernels of its own
def test_compare_prints_groups_and_counts_those_it_hides(report, small, monkeypatch):
    rows = "".join(f'[[population]]\nshare = 0.25\nname = "kind {k}"\n' for k in range(4))
    small.write_text(SMALL + rows)
    monkeypatch.setattr(comparison_text, "MOST_GROUPS", 3)
    printed, found = report("compare", "rules", "uniform", "--by", "population")
    sizes = [one["policies"]["rules"]["learning"]["n"] for one in found["groups"].values()]
    assert sum(sizes) == 30
    assert re.search(rf"kind 0: {sizes[0]} learners", printed)
    assert ("and 1 more group" in printed) == (len(sizes) == 4)


def test_chosen_metrics_replace_the_usual_ones(report):
    printed, _ = report("compare", "rules", "uniform", "--metric", "time_on_task", "--metric", "content_share")
    assert "time on task, min" in printed
    assert "share of contents" in printed
    assert "gave up" not in printed


@pytest.mark.ci
def test_compare_writes_tables_for_papers(run, small, tmp_path):
    table, latex = tmp_path / "out" / "t.csv", tmp_path / "t.tex"
    arguments = ("compare", "rules", "uniform", "--learners", 5, "--config", small, "--csv", table, "--latex", latex)
    assert run(*arguments)[0] == 0
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert {row["policy"] for row in rows} == {"rules", "uniform"}
    assert {row["group"] for row in rows} == {"all learners"}
    assert r"\begin{tabular}{lrrrr}" in latex.read_text()
    assert run(*arguments)[0] == 0  # it replaces its own files
    table.write_text("mine\n")
    refused(run(*arguments), f"--csv {table} exists and is not a table of alsim; --force overwrites it")
    assert table.read_text() == "mine\n"
    latex.write_text("mine\n")
    assert run(*arguments, "--force")[0] == 0
    assert latex.read_text().startswith("% written by alsim")
    refused(run(*arguments[:-2], "--latex", table), "is also an input or another output of this command")


@pytest.mark.ci
@pytest.mark.parametrize("command", ["compare", "matrix", pytest.param("audit", marks=pytest.mark.compiled)])
def test_commands_draw(run, small, tmp_path, command):
    figure = tmp_path / "figure.svg"
    more = ("--dynamics", "standard") if command == "matrix" else ()
    arguments = (command, "rules", "uniform", "--learners", 4, "--config", small, "--plot", figure, *more)
    assert run(*arguments)[0] == 0
    assert "rules" in figure.read_text()
    refused(run(*arguments[: -1 - len(more)], tmp_path / "x.txt", *more), "--plot must be a file with the ending")


@pytest.mark.parametrize("policy", ["Raises", "Impossible", "Improbable", "Exits"])
def test_policies_that_fail_are_named(run, small, tmp_path, monkeypatch, policy):
    (tmp_path / f"users_{policy.lower()}.py").write_text(USERS)
    monkeypatch.chdir(tmp_path)
    name = f"users_{policy.lower()}:{policy}"
    status, printed, err = run("compare", "rules", name, "--learners", 3, "--config", small)
    err = without_notice(err)
    assert (status, printed) == (2, "")
    if policy == "Raises":
        first, *trace = err.splitlines()
        place = r"in .*users_raises\.py, line 14:"
        assert re.fullmatch(rf"alsim: ZeroDivisionError raised by the policy 'raises', {place}", first)
        assert trace[0] == "Traceback (most recent call last):"
        assert trace[-1] == "ZeroDivisionError: division by zero"
        assert err.count("Traceback") == err.count("raises'") == 1
        assert str(Path(alsim.__file__).parent) not in err
    else:
        assert err.count("\n") == 1
        err = err.replace(str(tmp_path), "")  # its name has numbers
        assert "the policy 'raises'" in err
        assert ("99" in err) == (policy == "Impossible")
        assert ("nan" in err) == (policy == "Improbable")
        assert ("ended the program with sys.exit(3), in " in err) == (policy == "Exits")


@pytest.mark.ci
def test_invalid_arguments_of_compare_are_sentences(run, small):
    for arguments, message in (
        (("rules",), "a comparison needs at least two policies; got ['rules']"),
        ((), "POLICY... is missing"),
        (("rules", "unform"), "unknown policy 'unform'"),
        (("rules", "uniform", "--learners", 0), "--learners must be an integer of at least 1; got 0"),
        (("rules", "uniform", "--learners", "x"), "--learners must be an integer; got 'x'"),
        (("rules", "uniform", "--first-learner", "7"), "--first-learner must be from 2**31 to 2**32 - 10000"),
        (("rules", "uniform", "--learners", 2**31 + 1), "--learners must be at most 2**31"),
        (("uniform",), "add another, such as 'rules'"),
        (("rules", "uniform", "--csv", "-"), "--csv must be a file; got -, which only --json accepts"),
        (("rules", "uniform", "--latex", "-"), "--latex must be a file; got -, which only --json accepts"),
        (("rules", "uniform", "--by", "age"), "--by must be 'population', or None; got 'age'"),
        (("rules", "uniform", "--by", "population"), "needs a configuration with a population of several rows"),
        (("rules", "uniform", "--metric", "lerning"), "--metric must be one of"),
        (("rules", "uniform", "--metric", "lerning"), "did you mean 'learning'?"),
    ):
        refused(run("compare", *arguments, *(() if not arguments else ("--config", small))), message)


# ── training seeds ───────────────────────────────────────────────────────────────────────────────


def trained(directory, seed, name="ppo", **settings):
    """Write what a comparison reads of a training: a policy and its settings."""
    directory.mkdir(parents=True)
    weights = np.random.default_rng(seed).normal(size=(5, 27))
    NetworkPolicy(Network([(weights, np.zeros(27))]), name=name).save(directory)
    content = {"alsim_training": 2, "name": name, "seed": seed, "hyperparameters": {}} | settings
    (directory / "settings.json").write_text(json.dumps(content))


@pytest.mark.ci
@pytest.mark.compiled
def test_trainings_that_differ_only_by_seed_are_one_algorithm(report, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for seed in range(3):
        trained(tmp_path / "runs" / f"ppo-{seed}", seed)
        trained(tmp_path / "runs" / f"dqn-{seed}", seed + 10, hyperparameters={"steps": 7})
    trained(tmp_path / "runs" / "other", 0, reward="learning")
    names = sorted(f"runs/{path.name}" for path in (tmp_path / "runs").iterdir())
    assert seed_groups([*names, "rules"]) == {
        "runs/dqn": ["runs/dqn-0", "runs/dqn-1", "runs/dqn-2"],
        "runs/ppo": ["runs/ppo-0", "runs/ppo-1", "runs/ppo-2"],
    }
    trained(tmp_path / "runs" / "ppo-copy", 1)  # the same training as ppo-1, which counts once
    assert seed_groups([*names, "runs/ppo-copy", "runs/ppo-2/"])["runs/ppo"] == [f"runs/ppo-{k}" for k in range(3)]
    assert seed_groups(["runs/ppo-1", "runs/ppo-copy"]) == {}
    printed, found = report("compare", *names, "uniform", learners=20)
    assert found["algorithms"].keys() == {"runs/dqn", "runs/ppo"}
    scores = {
        name: [found["policies"][policy]["learning"]["mean"] for policy in one["policies"]]
        for name, one in found["algorithms"].items()
    }
    learning = found["algorithms"]["runs/ppo"]["metrics"]["learning"]
    assert learning["iqm"] == pytest.approx(np.mean(scores["runs/ppo"]))  # of three, none is trimmed
    assert learning["n"] == 3
    better = np.mean([[a > b for b in scores["runs/ppo"]] for a in scores["runs/dqn"]])
    pair = next(one for one in found["improvement"] if one["metric"] == "learning")
    assert (pair["a"], pair["b"], pair["probability"]) == ("runs/dqn", "runs/ppo", pytest.approx(better))
    profile = found["profiles"]["learning"]
    assert profile["shares"]["runs/ppo"][-1] == 0
    assert len(profile["thresholds"]) == len(profile["shares"]["runs/dqn"]) == 101
    assert "Interquartile means over trainings that differ only by seed" in one_line(printed)


def test_the_verdict_of_policies_that_act_alike_is_that_they_teach_as_much():
    found = compare({"one": "rules", "same": "rules"}, learners=20, config=CONFIG)
    assert "LOs, as much as same" in comparison_text.verdict_of(found.to_dict())


def test_a_training_that_is_named_twice_counts_once(tmp_path):
    runs = [tmp_path / f"ppo-{seed}" for seed in (0, 1)]
    for seed, run in enumerate(runs):
        trained(run, seed)
    link = tmp_path / "link"
    link.symlink_to(runs[0], target_is_directory=True)
    names = [str(runs[0]), f"{runs[0]}/", str(link)]
    assert seed_groups(names) == {}
    assert [*seed_groups([*names, str(runs[1])]).values()] == [[str(runs[0]), str(runs[1])]]


def test_a_directory_with_several_seeds_is_replaced_by_its_trainings(tmp_path):
    runs = tmp_path / "runs"
    for seed in (4, 5):
        trained(runs / f"seed-{seed}", seed)
    (runs / "settings.json").write_text(json.dumps({"alsim_training_seeds": 1, "seed": 4, "seeds": 3}))
    for seed in (4, 5):
        (runs / f"seed-{seed}" / "evaluation.json").write_text("{}")
    found = expanded([str(runs), "rules"])
    assert found == [str(runs / "seed-4"), str(runs / "seed-5"), "rules"]  # seed 6 is not finished
    assert seed_groups(found) == {str(runs): found[:2]}
    for seed in (4, 5):
        (runs / f"seed-{seed}" / "evaluation.json").unlink()
    with pytest.raises(ValueError, match="has no finished training; run the same alsim train command again"):
        expanded([str(runs)])


# ── matrix ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.heavy
@pytest.mark.interpreted  # kernels of its own
def test_matrix_reports_the_keys_of_the_documentation(report, tmp_path):
    slow = tmp_path / "slow.csv"
    slow.write_text("share,name,dynamics.learning_rate\n1,slow,0.001\n")
    printed, found = report("matrix", "rules", "uniform", "--dynamics", "standard", "linked", "--population", slow)
    expected = matrix(
        ["rules", "uniform"], ["standard", "linked"], populations={"slow": slow}, learners=30, config=CONFIG
    ).to_dict()
    assert {key: found[key] for key in expected} == json.loads(json.dumps(expected))
    assert expected.keys() >= {"metric", "policies", "dynamics", "cells", "regret", "worst_case", "choose", "reversals"}
    assert found["dynamics"] == ["standard", "linked", "slow"]
    assert one_line(printed).endswith(found["verdict"])
    assert found["choose"] in found["verdict"]


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["a", "--dynamics", "x", "y", "--seed", "1"], ["a", "--dynamics", "x", "--dynamics", "y", "--seed", "1"]),
        (["--dynamics", "x", "--dynamics", "y"], ["--dynamics", "x", "--dynamics", "y"]),
        (["a", "--dynamics"], ["a", "--dynamics"]),
        (["--dynamics", "--seed", "1", "b"], ["--dynamics", "--seed", "1", "b"]),
        (["--dynamics=x", "y"], ["--dynamics=x", "y"]),
    ],
)
def test_options_with_several_values(args, expected):
    assert repeated(args, {"--dynamics"}) == expected


def test_matrix_writes_tables_for_papers(run, small, tmp_path):
    table, latex = tmp_path / "t.csv", tmp_path / "t.tex"
    arguments = ("matrix", "rules", "uniform", "--dynamics", "standard", "--learners", 5, "--config", small)
    assert run(*arguments, "--csv", table, "--latex", latex)[0] == 0
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [(row["dynamics"], row["policy"], row["compared_with"]) for row in rows] == [
        ("standard", "rules", ""),
        ("standard", "uniform", ""),
        ("standard", "rules", "uniform"),
    ]
    assert "policy & standard" in latex.read_text()


@pytest.mark.ci
def test_invalid_arguments_of_matrix_are_sentences(run, small, tmp_path):
    (tmp_path / "deeper").mkdir()
    for name in ("x.csv", "deeper/x.csv"):
        (tmp_path / name).write_text("share,name\n1,all\n")
    for arguments, message in (
        (("rules", "--dynamics", "standard"), "a matrix needs at least two different policies"),
        (("--dynamics", "standard", "rules", "uniform"), "arguments after --dynamics are its values"),
        (("rules", "uniform"), "a matrix needs at least one dynamics or population; got none"),
        (("rules", "uniform", "--dynamics"), "--dynamics needs a value"),
        (("rules", "uniform", "--dynamics", "standrad"), "--dynamics must be one of"),
        (
            ("rules", "uniform", "--dynamics", "standard", "--metric", "time_on_task"),
            "--metric must have better values",
        ),
        (("rules", "uniform", "--population", tmp_path / "y.csv"), "y.csv: there is no such file"),
        (("rules", "uniform", "--population", small), "must be a text or Parquet table; got a TOML file"),
        (
            ("rules", "uniform", "--population", tmp_path / "x.csv", tmp_path / "deeper" / "x.csv"),
            "--population has two files with the name x; rename one",
        ),
    ):
        refused(run("matrix", *arguments, "--config", small), message)


def test_outputs_do_not_replace_populations_or_policies(run, small, tmp_path):
    people, policy = tmp_path / "people.csv", tmp_path / "ppo"
    people.write_text("share,name\n1,all\n")
    trained(policy, 0)
    before = {file: file.read_bytes() for file in (people, *policy.iterdir())}
    shared = ("--learners", 3, "--config", small, "--force")
    result = run("matrix", "rules", "uniform", "--population", people, *shared, "--json", people)
    refused(result, "is also an input or another output of this command")
    for command in (("compare",), ("matrix", "--dynamics", "standard", "--seed", 0), ("audit",)):
        result = run(*command, policy, "uniform", *shared, "--json", policy / "policy.json")
        refused(result, "is a file of the input")
    assert {file: file.read_bytes() for file in before} == before


@pytest.mark.heavy
@pytest.mark.interpreted  # kernels of its own
def test_the_verdict_of_a_matrix_says_what_is_not_clear(report):
    printed, found = report("matrix", "uniform", "mix:uniform=0.5,uniform=0.5", "--dynamics", "standard", "bkt")
    pairs = [pair for pair in found["pairs"] if pair["p_adjusted"] > 0.05]
    assert len(pairs) == 2
    assert "is the best policy in every column" not in found["verdict"]
    assert "\n\n\n" not in printed


# ── audit ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.ci
@pytest.mark.compiled
def test_audit_reports_the_keys_of_the_documentation(report):
    printed, found = report("audit", "rules", "weakest", "video-weakest", learners=60)
    goal = {"mastery", "steps", "feasible", "best_mastery", "best_policy", "upper_bound", "steps_needed"}
    assert found["goal"].keys() == goal
    assert found["rank_correlation"].keys() == {"value", "ci"}
    assert "weakest" in found["earns_without_teaching"]
    assert found["under_learning"]["earns_without_teaching"] == []
    assert one_line(printed).endswith(found["verdict"])
    table = printed.split("\n\n")[1]
    flagged = {line.split()[0] for line in table.splitlines() if line.endswith("*")}
    assert flagged == {*found["earns_without_teaching"]}


@pytest.mark.ci
@pytest.mark.compiled
@pytest.mark.parametrize(
    ("goal", "words"),
    [("0.3", "Mastery 0.3 is reached in 20 interactions"), ("0.99", "Mastery 0.99 is out of reach in 20 interactions")],
)
def test_the_verdict_of_an_audit_is_about_the_goal(report, goal, words):
    printed, _ = report("audit", "rules", "video-weakest", "--goal", goal)
    assert words in one_line(printed)


@pytest.mark.ci  # kernels of its own; slow in the interpreter
def test_an_audit_where_nobody_learns_says_so(run, tmp_path):
    config = tmp_path / "nothing.toml"
    config.write_text('dynamics = {name = "bkt", p_learn = 0.0, p_content = 0.0}\n' + SMALL)
    status, printed, err = run("audit", "rules", "weakest", "--learners", 10, "--config", config)
    assert (status, without_notice(err)) == (0, "")
    assert "but no policy teaches." in one_line(printed)


@pytest.mark.ci  # kernels of its own; slow in the interpreter
def test_a_goal_that_the_sample_reached_is_not_out_of_reach(run, tmp_path):
    config, file = tmp_path / "nothing.toml", tmp_path / "audit.json"
    config.write_text(
        'dynamics = {name = "bkt", p_learn = 0.0, p_content = 0.0}\nnum_los = 3\nmax_episode_steps = 10\n'
    )
    status, printed, _ = run("audit", "rules", "--learners", 10, "--goal", 0.4, "--config", config, "--json", file)
    goal = json.loads(file.read_text())["goal"]
    assert status == 0
    assert goal["upper_bound"] < 0.4 < goal["best_mastery"]  # few learners, who know more than the average
    assert goal["feasible"] is None
    assert "not known whether mastery 0.4 can be reached" in one_line(printed)


def test_chosen_metrics_are_shown_once(report):
    printed, _ = report("compare", "rules", "uniform", "--metric", "learning", "--metric", "learning")
    assert printed.count("Δ learning, LOs") == 1


def test_invalid_arguments_of_audit_are_sentences(run, small):
    for arguments, message in (
        (("nonsense",), "unknown policy 'nonsense'"),
        (("rules", "--goal", 2), "--goal must be a mastery in (0, 1]; got 2"),
        (("rules", "--learners", 0), "--learners must be an integer of at least 1"),
    ):
        refused(run("audit", *arguments, "--config", small), message)


@pytest.mark.parametrize("command", ["matrix", pytest.param("audit", marks=pytest.mark.compiled)])
def test_matrix_and_audit_take_directories_with_several_seeds(run, small, tmp_path, command):
    runs = tmp_path / "runs"
    for seed in (4, 5):
        trained(runs / f"seed-{seed}", seed)
        (runs / f"seed-{seed}" / "evaluation.json").write_text("{}")
    (runs / "settings.json").write_text(json.dumps({"alsim_training_seeds": 1, "seed": 4, "seeds": 2}))
    more = ("--dynamics", "standard") if command == "matrix" else ()
    status, printed, _ = run(command, runs, "--learners", 3, "--config", small, *more)
    assert status == 0
    assert "seed-4" in printed
    assert "seed-5" in printed
