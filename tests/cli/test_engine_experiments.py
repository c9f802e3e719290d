"""Experiments with `alsim engine`: init, recommend and export."""

import json

import pytest

from alsim.assignment import Experiment, experiments_toml
from alsim.cli import main
from alsim.engine import load_log

TUTORING = Experiment(
    "tutoring", {"control": 0.5, "new": 0.5}, unit="class", policies={"control": "guide", "new": "alosi"}
)
SKILLS = "skill,prerequisites\ncounting,\naddition,counting\n"
ITEMS = "id,type,skills_taught,skills_assessed\n" + "".join(
    f"{skill}-{k},question,{skill},{skill}\n" for skill in ("counting", "addition") for k in range(3)
)


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Return a function that runs a command, and returns its status and what it has printed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "skills.csv").write_text(SKILLS)
    (tmp_path / "items.csv").write_text(ITEMS)
    (tmp_path / "e.toml").write_text(experiments_toml([TUTORING]))

    def command(*arguments):
        monkeypatch.setattr("sys.argv", ["alsim", "engine", *map(str, arguments)])
        try:
            main()
            status = 0
        except SystemExit as ended:
            status = ended.code or 0
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return command


INIT = ("init", "shop", "--graph", "skills.csv", "--catalogue", "items.csv", "--policy", "experiment:tutoring")


def test_an_experiment_from_start_to_end(run):
    status, out, _ = run(*INIT, "--experiments", "e.toml", "--json", "init.json")
    assert status == 0 and "  tutoring   classes by hash: 0.5 control (guide), 0.5 new (alosi)\n" in out
    with open("init.json") as stream:
        assert json.load(stream)["experiments"] == {"tutoring": TUTORING.to_dict()}
    classes = {
        arm: next(f"class {k}" for k in range(99) if TUTORING.assign(f"class {k}") == arm) for arm in TUTORING.arms
    }
    for student, (arm, label) in zip(("ada", "ben"), classes.items(), strict=True):
        status, out, _ = run("recommend", "shop", student, "--class", label)
        assert status == 0 and f"The policy experiment:tutoring (arm {arm}) chose" in " ".join(out.split())
        status, out, _ = run("recommend", "shop", student, "--json", "-")
        found = json.loads(out)
        assert (found["experiment"], found["arm"], found["class_name"]) == ("tutoring", arm, label)
        assert found["policy"] == TUTORING.policies[arm]
    status, out, _ = run("export", "shop", "--out", "log", "--names", "--json", "log.json")
    assert status == 0 and "  experiments   tutoring\n" in out
    exposures = load_log("log").exposures()
    found = dict(zip(exposures.student.tolist(), exposures.arm.tolist(), strict=True))
    assert found == {"ada": "control", "ben": "new"}
    with open("log.json") as stream:
        assert json.load(stream)["experiments"] == {"tutoring": TUTORING.to_dict()}
    status, out, _ = run("show", "shop")
    assert status == 0 and "classes by hash" in out
    assert all(len(line) <= 80 for line in out.splitlines())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (INIT, "there is no experiment 'tutoring'; define it in experiments"),
        ((*INIT[:-1], "experiment:tutorin", "--experiments", "e.toml"), "'tutorin'; did you mean 'tutoring'?"),
        ((*INIT, "--experiments", "f.toml"), "f.toml does not exist; did you mean e.toml?"),
        ((*INIT, "--experiments", "one-arm.toml"), "must have at least two arms; got 'control'"),
        ((*INIT, "--experiments", "shares.toml"), "must add up to 1"),
        ((*INIT, "--experiments", "policy.toml"), "the arm 'new' of the experiment 'tutoring': there is no policy"),
    ],
)
def test_invalid_experiments_end_with_one_sentence(run, tmp_path, arguments, message):
    text = (tmp_path / "e.toml").read_text()
    for name, old, new in (
        ("one-arm", "control = 0.5, new = 0.5", "control = 0.5"),
        ("shares", "new = 0.5", "new = 0.4"),
        ("policy", '"alosi"', '"alosy"'),
    ):
        assert old in text
        (tmp_path / f"{name}.toml").write_text(text.replace(old, new))
    status, out, err = run(*arguments)
    assert (status, out) == (2, "") and message in " ".join(err.split())
    assert not (tmp_path / "shop").exists()


def test_a_student_without_class_is_named(run):
    run(*INIT, "--experiments", "e.toml")
    status, _, err = run("recommend", "shop", "ada")
    assert status == 2 and "the student 'ada' has no class" in err and "--class" in err
