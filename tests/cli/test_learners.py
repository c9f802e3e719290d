"""Commands with populations, sessions, curricula and every dynamics: what they print, and bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from by_dynamics import case

from alsim.cli.rules import learner_facts
from alsim.config import Config
from alsim.datasets.store import load_dataset
from alsim.dynamics import DYNAMICS
from alsim.evaluation.dataset_summary import config_differences
from alsim.evaluation.held_out import HeldOut
from alsim.sanity import checks
from alsim.training import run as training_run

OWN = tuple(name for name, dynamics in DYNAMICS.items() if dynamics.parameters.__module__.startswith("alsim."))
LINES = [
    "population: 2 rows: slow (30 %), 1 (70 %)",
    "sessions: a break of 24 h after every 4 interactions",
    "curriculum: 2 edges between 3 outcomes",
]
BASE = "num_los = 3\nmax_episode_steps = 8\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: Any) -> Path:
    """Write a configuration, and the tables that it names, to another directory than the working directory."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "people.csv").write_text("share,name,learner.ability_mean\n0.3,slow,\n0.7,,1.0\n")
    (tmp_path / "rules" / "edges.csv").write_text("parent,child\n0,1\n1,2\n")
    (tmp_path / "rules" / "learners.toml").write_text(
        BASE + 'population = "people.csv"\ncurriculum = "edges.csv"\ndynamics = "prerequisites"\n'
        "sessions = {interactions = 4, break_hours = 24.0}\n"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


CONFIG = ("--config", "rules/learners.toml")


def accepted(result: tuple[int, str, str]) -> str:
    assert result[0] == 0, result
    return result[1]


@pytest.mark.interpreted
def test_generate_and_info_print_the_learners_in_force(run: Any, folder: Path) -> None:
    printed = accepted(run("generate", "--learners", 9, "--episodes", 2, *CONFIG, "--truth", "-o", "d"))
    assert printed.splitlines()[1:4] == LINES
    printed = accepted(run("info", "d", "--json", "r.json"))
    for line in LINES:
        label, _, text = line.partition(": ")
        assert f"\n  {label:<10}  {text}\n" in printed
    assert "observation mastery, truth\n" in printed
    assert "\n  rules       dynamics prerequisites; max_episode_steps 8, num_los 3 (differ from" in printed
    assert "are those of means per learner, which is the independent unit." in " ".join(printed.split())
    report = json.loads(Path("r.json").read_text())
    heading, *rows = printed.split("\n\n")[2].splitlines()[:3]
    assert heading.split() == ["row", "share", "learners", "return", "interactions", "final", "mastery"]
    for row, result in zip(rows, report["population"], strict=True):
        assert row.split()[:4] == [result["name"], f"{100 * result['share']:g}", "%", str(result["learners"])]
    assert report["independent_unit"] == "learner" and report["files"]["truth_stored"] is True
    assert max(len(line) for part in printed.split("\n\n")[1:] for line in part.splitlines()) <= 80


def test_a_dataset_without_these_prints_no_line_about_them(run: Any, folder: Path) -> None:
    Path("plain.toml").write_text(BASE)
    printed = accepted(run("generate", "--learners", 3, "--config", "plain.toml", "-o", "d")) + accepted(
        run("info", "d")
    )
    assert not any(word in printed for word in ("population", "sessions", "curriculum", "independent", "truth"))


@pytest.mark.interpreted
def test_show_names_the_row_of_the_learner(run: Any, folder: Path) -> None:
    names = set()
    for learner in range(12):
        printed = accepted(run("show", *CONFIG, "--learner", learner, "--json", "s.json"))
        result = json.loads(Path("s.json").read_text())
        assert f"this learner has the row {result['population_name']}\n" in printed
        assert all(f"{line}\n" in printed for line in LINES)
        names.add(result["population_name"])
    assert names == {"slow", "1"}
    assert "this learner has" not in accepted(run("show"))


def test_validate_prints_the_learners_and_its_report_has_the_rows(run: Any, folder: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(checks, "CHECKS", {"one": lambda *_: (True, "fine")})
    printed = accepted(run("validate", *CONFIG, "--json", "v.json"))
    assert printed.splitlines() == [
        *LINES,
        "ok       one: fine",
        "All 1 checks passed: the dynamics 'prerequisites' follows its rules.",
    ]
    report = json.loads(Path("v.json").read_text())
    assert report["population"] == ["slow", "1"] and report["dynamics"] == "prerequisites"


@pytest.mark.heavy
@pytest.mark.interpreted
def test_train_and_info_print_the_learners_in_force(run: Any, folder: Path, monkeypatch: Any) -> None:
    for name in ("FINAL", "SELECTION"):
        monkeypatch.setattr(training_run, name, HeldOut(getattr(training_run, name).first, 5))
    Path("quick.toml").write_text("n_steps = 8\nminibatches = 2\nnet_arch = [4]\n")
    arguments = ("train", "ppo", *CONFIG, "--steps", 256, "--num-envs", 8, "--settings", "quick.toml", "-o", "t")
    assert accepted(run(*arguments)).splitlines()[1:4] == LINES
    printed = accepted(run("info", "t"))
    assert f"\n  population  {LINES[0].partition(': ')[2]}\n" in printed
    assert "\n  rules       dynamics prerequisites; num_los 3, max_episode_steps 8\n" in printed
    assert "this learner has the row" in accepted(run("show", "--policy", "t", *CONFIG))


@pytest.mark.heavy
@pytest.mark.parametrize("name", [case(name, quick=False, compiled=False) for name in OWN])
def test_the_option_dynamics_replaces_that_of_the_configuration(run: Any, folder: Path, name: str) -> None:
    printed = accepted(run("generate", "--learners", 4, *CONFIG, "--dynamics", name, "-o", "d"))
    unread = "" if name == "prerequisites" else f", which the dynamics {name} does not read"
    assert " ".join(printed.splitlines()[3:-1]) == LINES[2] + unread
    assert load_dataset("d").manifest["config"]["dynamics"]["name"] == name
    assert f"dynamics {name}" in accepted(run("info", "d"))
    assert f"dynamics {name}\n" in accepted(run("show", *CONFIG, "--dynamics", name))


def test_long_populations_are_one_line() -> None:
    rows = [{"share": 0.001, "name": f"kind {k}"} for k in range(1000)]
    config = Config.read({"population": rows}).to_dict()
    listed = ", ".join(f"kind {k} (0.1 %)" for k in range(4))
    assert learner_facts(config) == [("population", f"1,000 rows: {listed} and 996 more")]
    assert learner_facts(Config().to_dict()) == []


@pytest.mark.interpreted
def test_many_rows_are_listed_in_part(run: Any, folder: Path) -> None:
    lines = ["share,name", *(f"0.02,a very long name of kind {k}" for k in range(50))]
    Path("rules", "people.csv").write_text("\n".join(lines) + "\n")
    accepted(run("generate", "--learners", 60, "--episodes", 1, *CONFIG, "-o", "d"))
    printed = accepted(run("info", "d", "--json", "r.json"))
    found = len(json.loads(Path("r.json").read_text())["population"])
    assert f"and {found - 10} more rows, which --json FILE lists\n" in printed and found > 20
    assert "a very long name of…    2 %" in printed
    assert max(len(line) for line in printed.split("\n\n")[2].splitlines()) <= 80


def test_the_defaults_of_every_dynamics_are_known() -> None:
    for name in OWN:
        tables = {"dynamics": name, "curriculum": [[0, 1]] if name == "prerequisites" else None}
        differences = config_differences(Config.read(tables).to_dict())
        assert differences == ({"curriculum": [[0, 1]]} if name == "prerequisites" else {})


def test_dynamics_lists_parameters_states_and_sources(run: Any) -> None:
    printed = accepted(run("dynamics", "--json", "-"))
    listed = json.loads(printed)["dynamics"]
    own = {name: entry for name, entry in listed.items() if entry["package"] == "alsim"}
    assert [*own] == [*OWN]
    for entry in own.values():
        assert {"description", "parameters", "latent_state", "source", "package"} <= {*entry}
        assert entry["latent_state"]["learner"] == {"ability": {"unit": "logits"}}
        assert entry["source"] and entry["description"].endswith(".")
        for parameter in entry["parameters"].values():
            assert "default" in parameter and {*parameter} <= {"default", "ge", "gt", "le", "lt", "unit", "word"}
    effort = listed["fatigue"]["latent_state"]["learner_state"]
    assert effort == {"effort": {"default": 0.0}, "ended": {"default": 0.0, "unit": "h"}}
    assert listed["fatigue"]["parameters"]["work_minutes"] == {"default": 60.0, "gt": 0, "unit": "min"}
    assert listed["bkt"]["parameters"]["p_guess"]["word"] == "item"
    table = accepted(run("dynamics")).splitlines()
    assert table[0].split()[:2] == ["dynamics", "description"] and max(map(len, table)) <= 80
    assert [line.split()[0] for line in table[1:] if not line.startswith(" ")] == [*listed]


BAD = {
    "shares": ("[[population]]\nshare = 0.3\n", "the shares of a population must sum to 1; got 0.3"),
    "a missing table": ('population = "nowhere.csv"\n', "rules/nowhere.csv: there is no such file"),
    "an unknown column": ('population = "odd.csv"\n', "unknown column 'dynamic.learning_rate'"),
    "a cycle": ("curriculum = [[0, 1], [1, 0]]\n", "prerequisites form a cycle: 1 → 0 → 1"),
    "no curriculum": ('dynamics = "prerequisites"\n', "the configuration has no curriculum; set curriculum to"),
    "a break": (
        "sessions = {interactions = 5, break_hours = -1}\n",
        "sessions.break_hours = -1: expected a number >= 0",
    ),
    "an override": (
        "[[population]]\nshare = 1\ndynamics = {p_learn = 0.1}\n",
        "row 0 of the population: dynamics.p_learn = 0.1: unknown key",
    ),
}


@pytest.mark.parametrize("command", [("generate", "-o", "d"), ("show",), ("validate",), ("train", "ppo", "-o", "d")])
@pytest.mark.parametrize("bad", BAD)
def test_bad_input_is_one_sentence(run: Any, folder: Path, bad: str, command: tuple[str, ...]) -> None:
    text, message = BAD[bad]
    Path("rules", "odd.csv").write_text("share,dynamic.learning_rate\n1,0.1\n")
    Path("rules", "bad.toml").write_text(BASE + text)
    status, printed, error = run(*command, "--config", "rules/bad.toml")
    assert (status, printed) == (2, "") and message in error
    assert error.startswith("alsim: rules/bad.toml: ") and error.count("\n") == 1
    assert not Path("d").exists()


def test_a_dynamics_that_needs_a_curriculum_and_overrides_of_another_one_are_refused(run: Any, folder: Path) -> None:
    status, _, error = run("generate", "--dynamics", "prerequisites", "-o", "d")
    assert status == 2 and "has no curriculum; set curriculum to a file" in error
    Path("rules", "people.csv").write_text("share,dynamics.learning_rate\n1,0.1\n")
    status, _, error = run("generate", *CONFIG, "--dynamics", "bkt", "-o", "d")
    assert (
        status == 2 and "row 0 of the population: dynamics.learning_rate = 0.1: unknown key; expected one of" in error
    )
