"""`alsim show`: its numbers are those of a dataset, and its table fits 80 columns."""

import json
import re
import sys

import pytest
from rich.cells import cell_len

import alsim
from alsim.cli.episode_plot import EVENTS
from alsim.cli.show import COLUMNS, WIDTH, episode_lines
from alsim.types import DIFFICULTIES, MODALITIES

SMALL = "num_los = 3\nmax_episode_steps = 12\n"


@pytest.fixture
def small(tmp_path):
    file = tmp_path / "small.toml"
    file.write_text(SMALL)
    return file


@pytest.mark.parametrize("policy", ["rules", "uniform", "epsilon-greedy:rules:0.3"])
def test_the_numbers_are_those_of_generate(run, small, tmp_path, policy):
    learner, episode = 3, 1
    arguments = ("--policy", policy, "--seed", 7, "--config", small)
    assert run("generate", "--learners", 5, "--episodes", 2, *arguments, "--out", tmp_path / "d")[0] == 0
    report = tmp_path / "r" / "show.json"
    status, printed, err = run("show", "--learner", learner, "--episode", episode, *arguments, "--json", report)
    assert (status, err) == (0, "")
    dataset = alsim.load_dataset(tmp_path / "d")
    rows = [row for row in dataset.transitions.to_pylist() if (row["learner_id"], row["episode"]) == (learner, episode)]
    (end,) = (row for row in dataset.episodes.to_pylist() if (row["learner_id"], row["episode"]) == (learner, episode))
    shown = json.loads(report.read_text())
    assert (shown["policy"], shown["seed"], shown["learner"], shown["episode"]) == (policy, 7, learner, episode)
    assert shown["steps"] == end["total_steps"] == len(rows) == len(shown["interactions"])
    assert shown["return"] == end["cumulative_reward"]
    assert (shown["limits"]["max_episode_steps"], shown["units"]) == (12, {"response_time": "s"})
    assert shown["final_mastery"] == end["final_mastery"]
    before = dataset.arrays["obs"][[(r["learner_id"], r["episode"], r["step"]) == (learner, episode, 1)
                                    for r in dataset.transitions.to_pylist()]][0]  # fmt: skip
    assert shown["start_mastery"] == pytest.approx(before[:3].mean(), abs=1e-7)
    total = 0.0
    for row, interaction in zip(rows, shown["interactions"], strict=True):
        for name in ("step", "action", "reward", "propensity", "mastery_gain", "frustration", "mean_mastery"):
            assert interaction[name] == row[name], name
        total += row["reward"]
        assert interaction["cumulative_reward"] == total
        decoded = alsim.AdaptiveLearningEnv(config=small).decode_action(row["action"])
        words = DIFFICULTIES if decoded["type"] == "question" else MODALITIES
        assert interaction["kind"] == decoded["type"]
        assert interaction["level"] == words[decoded.get("difficulty", decoded.get("modality"))]
        assert interaction["outcome"] == str(decoded["lo"])
        is_question = decoded["type"] == "question"
        assert interaction["result"] == (("wrong", "correct")[row["correct"]] if is_question else None)
        assert interaction["response_time"] == (row["response_time"] if is_question else None)
    assert len([line for line in printed.splitlines() if re.match(r" *\d+ (ask|show) ", line)]) == len(rows)


def test_the_printed_episode(run, small):
    status, printed, err = run("show", "--learner", 2, "--config", small, "--seed", 1)
    assert (status, err) == (0, "")
    assert max(map(len, printed.splitlines())) <= WIDTH
    lines = printed.splitlines()
    assert lines[0] == "learner 2, episode 0, seed 1, policy rules"
    assert lines[1] == "bank of 60 questions and 18 contents on 3 outcomes, dynamics standard"
    assert re.fullmatch(r"return -?\d+\.\d\d over \d+ steps, ended by step_limit", lines[2])
    headings = "step kind level LO item answer time, s gain mastery frustr. reward return"
    assert " ".join(lines[4].split()) == headings
    assert lines[5].split()[:3] == ["1", "ask", "Easy"]
    last = [line for line in lines if re.match(r" *\d+ (ask|show) ", line)][-1]
    assert lines[2].split()[1] == last.split()[-1]
    verdict = " ".join(printed.split("so far.")[1].split())
    assert re.fullmatch(
        r"The episode ended at the limit of 12 steps: mean mastery went from 0\.\d{3} to 0\.\d{3}, below the threshold "
        r"0\.8\.",
        verdict,
    )


@pytest.mark.parametrize(
    ("termination", "verdict"),
    [
        ("mastery_threshold = 0.1", "The learner reached the mastery threshold 0.1 after 1 step: mean mastery went"),
        ("max_frustration = 0.05", r"The learner gave up after \d+ steps, at frustration 0.100: mean mastery went"),
    ],
)
def test_the_verdict_names_the_reason_for_the_end(run, tmp_path, termination, verdict):
    (tmp_path / "c.toml").write_text(f"{SMALL}[termination]\n{termination}\n")
    printed = run("show", "--learner", 1, "--config", tmp_path / "c.toml")[1]
    assert re.search(verdict, " ".join(printed.split()))


def test_an_observation_without_mastery_has_the_same_summary(run, small, tmp_path):
    both = []
    for observation in ("mastery", "responses"):
        arguments = ("--policy", "uniform", "--config", small, "--observation", observation)
        assert run("show", *arguments, "--json", tmp_path / "r.json")[0] == 0
        both.append(json.loads((tmp_path / "r.json").read_text()))
    assert both[0].pop("observation") == "mastery"
    assert both[1].pop("observation") == "responses"
    assert both[0] == both[1]


def interaction(**changes):
    row = dict.fromkeys(COLUMNS, 0.123456) | {"step": 7, "kind": "question", "level": "Medium"}
    return row | {"outcome": "3", "item": "q31", "result": "correct"} | changes


@pytest.mark.parametrize(
    "names",
    [
        {"outcome": "Solving quadratic equations by completing the square", "item": "quadratics-017"},
        {"item": "an item with a very long identifier"},
        {"outcome": "二次方程式の解の公式と判別式", "item": "問題-0001"},
        {"outcome": "control\ncharacters \x1b[31m"},
    ],
)
def test_long_names_are_shortened_to_80_columns(names):
    lines, shortened = episode_lines([interaction(), interaction(**names)])
    assert shortened
    assert max(map(cell_len, lines)) <= WIDTH
    assert "…" in lines[2]
    assert all(line.isprintable() for line in lines)
    assert len({cell_len(line) for line in lines}) == 1  # columns are aligned


def test_long_numbers_leave_four_columns_for_each_name():
    rows = [interaction(step=1_000_000, cumulative_reward=-123456.789, outcome="x" * 9, item="y" * 9)]
    lines, shortened = episode_lines(rows)
    assert shortened
    assert " xxx… yyy… " in lines[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--learner", -1), "learner must be an integer in [0, 2**32); got -1"),
        (("--learner", 2**32), "learner must be an integer in [0, 2**32)"),
        (("--episode", -1), "episode must be an integer in [0, 2**32); got -1"),
        (("--seed", -1), "seed must be an integer in [0, 2**64); got -1"),
        (("--policy", "other"), "unknown policy 'other'; known are uniform"),
        (("--plot", "a.bmp"), "--plot must be a file with the ending .png, .svg, .pdf; got a.bmp"),
        (("--plot", "."), "--plot must be a file with the ending"),
    ],
)
def test_invalid_input_is_one_sentence(run, small, arguments, message):
    status, printed, err = run("show", "--config", small, *arguments)
    assert (status, printed, err.count("\n")) == (2, "", 1)
    assert message in err


def test_held_out_learners_and_late_episodes_are_shown(run, small):
    """Only the episode that is shown is simulated: the number may be large."""
    status, printed, _ = run("show", "--config", small, "--learner", 2**32 - 1, "--episode", 10**9)
    assert status == 0
    assert printed.startswith("learner 4294967295, episode 1000000000, seed 0")


@pytest.mark.ci
@pytest.mark.parametrize("ending", ["png", "svg", "pdf", "PNG"])
def test_the_diagram_shows_mastery_frustration_and_events(run, small, tmp_path, ending):
    pytest.importorskip("matplotlib")
    file = tmp_path / "deeper" / f"episode.{ending}"
    status, printed, err = run("show", "--config", small, "--policy", "uniform", "--plot", file)
    assert (status, err) == (0, "")
    assert f"{file}: diagram of the episode" in printed
    content = file.read_bytes()
    assert len(content) > 5000
    if ending == "svg":
        text = content.decode()
        for label in ("mean mastery", "frustration", *EVENTS):
            assert f">{label}</text>" in text


def test_without_matplotlib_the_error_names_the_extra(run, small, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    status, printed, err = run("show", "--config", small, "--plot", tmp_path / "a.png")
    assert (status, printed) == (2, "")
    assert err == (
        "alsim: --plot needs matplotlib, which is not installed; install it with `pip install '.[plot]'` in a clone of "
        "alsim\n"
    )


@pytest.mark.parametrize("text", ["2**31", "2**31+0", "2147483648", "2 ** 31"])
def test_a_learner_may_be_written_as_a_power(run, text):
    status, printed, _ = run("show", "--learner", text, "--seed", "2**64-1")
    assert status == 0
    assert printed.startswith("learner 2147483648, episode 0, seed 18446744073709551615, policy rules")


@pytest.mark.parametrize("text", ["2**", "2**31**2", "two", "1.5", "2^31", "9**999"])
def test_other_learners_are_refused(run, text):
    status, printed, error = run("show", "--learner", text)
    assert (status, printed) == (2, "")
    assert f"--learner must be an integer; got {text!r}" in error


def test_a_power_outside_of_the_range_is_refused(run):
    assert "--learner must be an integer in [0, 2**32); got 4294967296" in run("show", "--learner", "2**32")[2]
