"""The command line: output, and exit statuses 0 (success), 1 (a failed check) and 2 (invalid input)."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from notices import without_notice
from rich.cells import cell_len
from terminal import Terminal

from alsim._version import __version__
from alsim.bank.files import complete_bank, load_bank
from alsim.bank.items import sample_bank
from alsim.cli.output import rounded, table_lines
from alsim.config import REWARD_PRESETS, Config, default_toml
from alsim.datasets.generate import generate_dataset
from alsim.datasets.store import load_dataset
from alsim.evaluation.dataset_summary import config_differences, summary
from alsim.evaluation.estimates import estimate, mean_of
from alsim.metrics import METRICS
from alsim.models import score_errors
from alsim.policies import POLICIES, Network, NetworkPolicy
from alsim.sanity import checks as sanity
from alsim.training.directory import open_directory, write_checkpoint
from alsim.training.run import read_plan

WRITTEN_BY = {"written_by": f"alsim {__version__}"}
SMALL = "num_los = 2\nmax_episode_steps = 6\n"


@pytest.fixture
def small(tmp_path):
    """A small configuration, for quick runs."""
    file = tmp_path / "small.toml"
    file.write_text(SMALL)
    return file


@pytest.fixture
def dataset(run, small, tmp_path):
    """Write a small dataset; return its directory."""
    assert run("generate", "--learners", 3, "--episodes", 2, "--config", small, "--out", tmp_path / "d")[0] == 0
    return tmp_path / "d"


def finished(command, **kwargs):
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, **kwargs)
    done.stderr = without_notice(done.stderr)
    return done


def process(*arguments, **kwargs):
    """Run the command line in a new process; the notice of a compilation is removed from stderr."""
    command = [sys.executable, "-m", "alsim", *map(str, arguments)]
    return finished(command, **kwargs)


def assert_refused(result, *messages):
    """Assert status 2, no output, and one sentence on stderr."""
    status, out, err = result
    err = without_notice(err)
    assert (status, out) == (2, ""), result
    assert err.startswith("alsim: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert "Traceback" not in err
    for part in messages:
        assert part in err


# ── commands ─────────────────────────────────────────────────────────────────────────────────────


def test_generate_writes_a_dataset_and_prints_its_size(run, small, tmp_path):
    out, report = tmp_path / "deeper" / "d", tmp_path / "report.json"
    status, printed, err = run(
        *("generate", "--learners", 4, "--episodes", 2, "--policy", "rules", "--seed", 7, "-o", out),
        *("--config", small, "--format", "arrow", "--threads", 2, "--json", report),
    )
    assert (status, err) == (0, "")
    dataset = load_dataset(out, verify=True)
    manifest = dataset.manifest
    assert (manifest["num_learners"], manifest["episodes_per_learner"], manifest["seed"]) == (4, 2, 7)
    assert (manifest["policy"]["name"], manifest["format"], manifest["observation"]) == ("rules", "arrow", "mastery")
    assert Config.read(manifest["config"]) == Config.read(small)
    first, second = printed.splitlines()
    assert re.fullmatch(rf"{len(dataset)} transitions, 8 episodes of 4 learners in \d+\.\d s", first)
    assert second == f"{out} is complete; to describe it: alsim info {out}"
    assert json.loads(report.read_text()) == WRITTEN_BY | summary(dataset)


def test_generate_prints_the_speed_without_the_first_shard(run, small, tmp_path):
    """The first shard includes the start, and possibly compilation."""
    arguments = ("generate", "--learners", 9, "--config", small, "-o", tmp_path / "d", "--episodes-per-shard", 9)
    printed = run(*arguments)[1]
    assert re.search(r"27 episodes of 9 learners in [\d.]+ s \([\d,.]+ (M )?transitions/s\)\n", printed)


def test_info_prints_origin_metrics_and_a_verdict(run, small, dataset):
    status, printed, err = run("info", dataset)
    assert (status, err) == (0, "")
    head, table, verdict = printed.split("\n\n")
    loaded = load_dataset(dataset)
    first, *facts = head.splitlines()
    assert first == str(dataset)
    labels = dict(re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in facts)
    assert labels["size"] == f"{len(loaded)} transitions, 6 episodes of 3 learners, {loaded.events.num_rows} events"
    assert labels["policy"] == "uniform, seed 0"
    assert labels["origin"] == "alsim/AdaptiveLearning-v0, observation mastery"
    assert re.fullmatch(rf"parquet, [\d.]+ kB, alsim {__version__}", labels["files"])
    assert labels["ended by"].startswith("mastery_achieved ")
    numbers = summary(loaded)
    mean, (low, high) = numbers["metrics"]["final_mastery"]["mean"], numbers["metrics"]["final_mastery"]["ci"]
    ended = numbers["termination"]["mastery_achieved"]
    assert " ".join(verdict.split()) == (
        f"{ended} of 6 episodes ended in mastery; mean mastery at the end: {mean:.3f} (95 % interval {low:.3f} to "
        f"{high:.3f})."
    )
    heading, *rows = (re.split(r"\s{2,}", line.strip()) for line in table.splitlines())
    assert heading == ["per episode", "mean", "standard error", "undefined"]
    cells = {label: values for label, *values in rows}
    for name, value in numbers["metrics"].items():
        mean, se, *undefined = cells[METRICS[name].heading]
        assert undefined == ([str(value["undefined"])] if value["undefined"] else [])  # clause S9.6
        if value["mean"] is None:
            assert mean == "-"
        elif value["se"]:
            assert float(mean.replace(",", "")) == pytest.approx(value["mean"], abs=value["se"] / 20 + 1e-12)
            assert len(se.replace(".", "").lstrip("0")) == 2 or value["se"] >= 99
    assert "time on task, min" in cells


def test_info_says_by_which_rules_a_dataset_was_generated(run, dataset, tmp_path):
    printed = run("info", dataset, "--json", tmp_path / "r.json")[1]
    assert "\n  rules     dynamics standard; max_episode_steps 6, num_los 2 (differ from the defaults)\n" in printed
    manifest, origin = load_dataset(dataset).manifest, json.loads((tmp_path / "r.json").read_text())["provenance"]
    assert (origin["policy"], origin["seed"], origin["learners"]) == ({"name": "uniform"}, 0, 3)
    assert origin["config_differences"] == {"num_los": 2, "max_episode_steps": 6}
    assert origin["bank"]["sha256"] == {file["path"]: file["sha256"] for file in manifest["bank"]["files"]}
    assert origin["versions"]["alsim"] == __version__ and "pyarrow" in origin["versions"]


def test_differences_of_a_configuration_are_those_from_the_defaults_of_its_dynamics():
    config = Config.read({"reward_weights": {"engagement": 0.1}, "dynamics": {"learning_rate": 0.2}}).to_dict()
    assert config_differences(config) == {"reward_weights.engagement": 0.1, "dynamics.learning_rate": 0.2}
    assert config_differences(Config().to_dict()) == {}
    config["dynamics"] = {"name": "of a missing package", "zeal": 1}
    assert config_differences(config) == {"reward_weights.engagement": 0.1}


def test_equal_values_have_no_standard_error():
    """The mean of equal values has a rounding error, which is no statistic: 140 / 3 is not a float."""
    value = 100 * (1 - (0.2 + 0.6 + 0.8) / 3)
    for n in (2, 3, 10, 1000):
        found = estimate(np.full(n, value)).to_dict()
        assert (found["mean"], found["se"]) == (value, 0)
    far = estimate(1e9 + np.array([0.0, 1e-3, 2e-3])).to_dict()
    assert far["se"] == pytest.approx(1e-3 / np.sqrt(3), rel=1e-3)
    assert mean_of(np.full(7, value)) == value
    assert score_errors(np.ones(7), np.full(7, 0.3), np.arange(7)).log_loss == 0


@pytest.mark.parametrize(
    ("mean", "se", "texts"),
    [
        (46.66666666666665719, 0.00000000000000093, ("46.667", "0.000")),
        (0.1234567, 1.2e-9, ("0.123457", "0.000000")),
        (0.4364, 0.0027, ("0.4364", "0.0027")),
        (284.4, 22.3, ("284", "22")),
        (5.0, 0.0, ("5.000", "0.000")),
        (5.0, None, ("5.000", "-")),
        (None, None, ("-", "-")),
    ],
)
def test_means_have_a_bounded_number_of_decimals(mean, se, texts):
    assert rounded(mean, se) == texts


def test_the_json_of_info_has_everything_that_is_printed(run, dataset, tmp_path):
    printed = run("info", dataset, "--verify", "--json", tmp_path / "r.json")[1]
    report = json.loads((tmp_path / "r.json").read_text())
    assert {**summary(load_dataset(dataset)), "path": str(dataset), "verified": True}.items() <= report.items()
    assert " ".join(printed.split()).endswith(report["verdict"])
    size = sum(file.stat().st_size for file in dataset.rglob("*") if file.is_file())
    assert report["files"] == {
        "format": "parquet",
        "bytes": size,
        "observations_stored": True,
        "truth_stored": False,
    }
    assert {name: value["unit"] or "" for name, value in report["metrics"].items()} == {
        name: metric.unit for name, metric in METRICS.items()
    }
    assert summary(generate_dataset(2, 1, config={"max_episode_steps": 3}))["files"]["bytes"] is None


def test_info_says_that_checksums_were_compared(run, dataset):
    assert "\n  checksums " not in run("info", dataset)[1]
    assert re.search(r"^  checksums +all files are unchanged$", run("info", dataset, "--verify")[1], re.MULTILINE)


def test_a_single_episode_has_no_interval(run, small, tmp_path):
    assert run("generate", "--learners", 1, "--episodes", 1, "--config", small, "-o", tmp_path / "d")[0] == 0
    status, printed, _ = run("info", tmp_path / "d")
    assert status == 0
    assert re.search(r"^  size +6 transitions, 1 episode of 1 learner, \d+ events?$", printed, re.MULTILINE)
    assert re.search(r"of 1 episode ended in mastery; mean mastery at the end: 0\.\d{3}\.\n$", printed)


@pytest.mark.ci
def test_info_draws_a_dataset(run, small, tmp_path):
    """Means of each interaction equal those of all rows; shards are read one by one."""
    pytest.importorskip("matplotlib")
    from alsim.cli.dataset_plot import course_of

    arguments = ("--learners", 9, "--episodes-per-shard", 9, "--config", small, "-o", tmp_path / "d")
    assert run("generate", *arguments)[0] == 0
    for name in ("d.png", "deeper/d.svg", "d.PDF"):
        plain, drawn = run("info", tmp_path / "d"), run("info", tmp_path / "d", "--plot", tmp_path / name)
        assert drawn == plain
    assert (tmp_path / "d.png").read_bytes().startswith(b"\x89PNG")
    assert "share of episodes still running" in (tmp_path / "deeper" / "d.svg").read_text()
    dataset = load_dataset(tmp_path / "d")
    step = dataset.transitions.column("step").to_numpy()
    course = course_of(dataset)
    assert len(course.episodes) == step.max()
    for number in (1, 3, step.max()):
        rows = dataset.transitions.filter(step == number)
        assert course.episodes[number - 1] == len(rows)
        assert course.mastery[number - 1] == pytest.approx(rows.column("mean_mastery").to_numpy().mean())
        assert course.frustration[number - 1] == pytest.approx(rows.column("frustration").to_numpy().mean())


@pytest.mark.ci
def test_generate_draws_the_figure_of_info(run, small, dataset, tmp_path):
    pytest.importorskip("matplotlib")
    arguments = ("generate", "--learners", 3, "--episodes", 2, "--config", small, "-o", tmp_path / "e")
    status, printed, err = run(*arguments, "--plot", tmp_path / "deeper" / "e.png", "--json", "-")
    assert (status, err) == (0, "")
    assert json.loads(printed) == WRITTEN_BY | summary(load_dataset(tmp_path / "e"))
    assert run("info", dataset, "--plot", tmp_path / "d.png")[0] == 0
    assert (tmp_path / "deeper" / "e.png").read_bytes() == (tmp_path / "d.png").read_bytes()
    assert_refused(run(*arguments, "--plot", tmp_path / "again.png"), "already")
    assert not (tmp_path / "again.png").exists()


@pytest.mark.ci
@pytest.mark.parametrize("command", ["info", "generate", "show", "cat"])
def test_an_invalid_figure_is_refused_before_the_work(run, dataset, small, tmp_path, command, monkeypatch):
    (tmp_path / "items.csv").write_text("b\n0\n")
    out = tmp_path / "new"
    arguments = {
        "info": ("info", dataset),
        "generate": ("generate", "--config", small, "-o", out),
        "show": ("show", "--config", small),
        "cat": ("cat", "--items", tmp_path / "items.csv", "--simulate", 0),
    }[command]
    (tmp_path / "d.png").mkdir()
    (tmp_path / "closed").mkdir()
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "closed" and access(path, mode))
    for file, message in (
        ("d.gif", f"--plot must be a file with the ending .png, .svg, .pdf; got {tmp_path / 'd.gif'}"),
        ("d.png", "d.png is a directory; expected a file to write"),
        ("small.toml/d.png", "small.toml is not a directory; choose another file"),
        ("closed/d.png", "closed is read-only; choose another directory"),
        ("closed/new/d.png", "closed is read-only; choose another directory"),
    ):
        assert_refused(run(*arguments, "--plot", tmp_path / file), message)
    assert not out.exists()
    assert_refused(run(*arguments, "--json", tmp_path / "closed" / "r.json"), "closed is read-only")


@pytest.mark.ci
@pytest.mark.parametrize("command", ["info", "validate", "policies", "export", "generate", "bank", "fit"])
def test_json_on_stdout_is_alone(run, small, dataset, checks, tmp_path, command):
    """With `--json -`, stdout has the report only, which equals that in a file."""
    arguments = {
        "info": ("info", dataset),
        "validate": ("validate", "--config", small),
        "policies": ("policies",),
        "bank": ("bank", "--config", small, "-o", tmp_path / "b", "--force"),
        "fit": ("fit", "skill-mean", dataset),
        "export": ("export", dataset, "--to", "npz", "-o", tmp_path / "x.npz", "--force"),
        "generate": ("generate", "--config", small, "--learners", 2, "-o", tmp_path / "e", "--force"),
    }[command]
    status, printed, err = run(*arguments, "--json", "-")
    assert (status, err) == (0, "")
    assert run(*arguments, "--json", tmp_path / "r" / "report.json")[0] == 0
    assert json.loads(printed) == json.loads((tmp_path / "r" / "report.json").read_text())


def statistics(value):
    """Yield each statistic in a report: the dicts with a mean."""
    if isinstance(value, dict):
        if "mean" in value:
            yield value
        for child in value.values():
            yield from statistics(child)


def test_a_statistic_has_mean_standard_error_interval_and_n(run, dataset):
    found = list(statistics(json.loads(run("info", dataset, "--json", "-")[1])))
    assert len(found) == len(METRICS)
    for value in found:
        assert {"mean", "se", "ci", "n"} <= value.keys()
        if value["ci"] is not None:
            assert value["ci"][0] <= value["mean"] <= value["ci"][1]


def test_names_in_brackets_are_printed_as_they_are(run, small, tmp_path):
    out = tmp_path / "[bold]d[/bold]"
    status, printed, _ = run("generate", "--learners", 1, "--config", small, "--out", out)
    assert status == 0
    assert f"{out} is complete" in printed
    assert run("bank", "--config", small, "--out", tmp_path / "[red]b")[1].startswith(f"{tmp_path / '[red]b'}: ")


def test_generate_takes_a_bank_and_responses(run, small, tmp_path):
    assert run("bank", "--config", small, "--out", tmp_path / "bank")[0] == 0
    arguments = ("--config", small, "--learners", 2, "--bank", tmp_path / "bank", "--observation", "responses")
    assert run("generate", *arguments, "--out", tmp_path / "d")[0] == 0
    dataset = load_dataset(tmp_path / "d")
    assert dataset.obs.shape[1] == 6
    assert load_bank(tmp_path / "d" / "bank") == sample_bank(Config.read(small))


def test_bank_writes_the_bank_of_a_configuration(run, small, tmp_path):
    status, printed, err = run("bank", "--config", small, "--out", tmp_path / "bank")
    assert (status, err) == (0, "")
    assert printed.startswith(f"{tmp_path / 'bank'}: 40 questions and 12 contents on 2 learning outcomes\n")
    assert load_bank(tmp_path / "bank") == sample_bank(Config.read(small))
    assert_refused(run("bank", "--config", small, "--out", tmp_path / "bank"), "already holds a bank")
    assert run("bank", "--out", tmp_path / "bank", "--force")[0] == 0
    assert load_bank(tmp_path / "bank") == sample_bank(Config())


ITEMS = "name;slope;b;group\nx;1.5;-1;Reading\ny;1.2;0;Reading\nz;0.9;1.5;Reading\n"


def test_bank_completes_a_table_of_questions(run, small, tmp_path):
    table = tmp_path / "items.txt"
    table.write_text(ITEMS)
    columns = "id=name, irt_a=slope,irt_b = b,learning_outcome=group"
    status, printed, _ = run("bank", "--questions", table, "--columns", columns, "--out", tmp_path / "bank")
    assert status == 0
    assert "3 questions and 6 contents on 1 learning outcome\n" in printed
    mapping = {"id": "name", "irt_a": "slope", "irt_b": "b", "learning_outcome": "group"}
    assert load_bank(tmp_path / "bank") == complete_bank(table, Config(), mapping)
    table.write_text(ITEMS.replace("z;0.9;1.5;", "z;0.9;-1.5;"))
    arguments = ("bank", "--questions", table, "--columns", columns, "--out", tmp_path / "other")
    assert_refused(run(*arguments), "(Reading, Hard)")
    assert run(*arguments, "--fill-empty")[0] == 0
    assert_refused(
        run("bank", "--columns", columns, "--out", tmp_path / "third"),
        "--columns, --encoding and --fill-empty apply to a table only; add --questions FILE",
    )
    for broken in ("irt_a", "irt_a=", "=slope", "irt_a=slope,,irt_b=b"):
        refused = run("bank", "--questions", table, "--columns", broken, "--out", tmp_path / "third")
        assert_refused(refused, "--columns must be COLUMN=NAME, separated by commas; got ")
    assert not (tmp_path / "third").exists()


def test_policies_are_listed(run, tmp_path, monkeypatch):
    monkeypatch.setitem(POLICIES, "nameless", lambda: None)
    status, printed, err = run("policies", "--json", tmp_path / "policies.json")
    assert (status, err) == (0, "")
    listed = json.loads((tmp_path / "policies.json").read_text())
    assert list(listed) == list(POLICIES)
    assert listed["uniform"]["description"] == "Policy that chooses every action with the same probability."
    assert listed["epsilon-greedy"]["signature"] == "epsilon-greedy:POLICY:EPSILON"
    assert listed["nameless"]["description"] == ""
    lines = printed.splitlines()
    assert lines[0].split() == ["policy", "description", "package"]
    assert lines[1].startswith("uniform  ") and lines[1].split()[-1] == "alsim"
    assert [re.split(r"[:\[ ]", line)[0] for line in lines[1 : 1 + len(listed)]] == list(listed)  # one line each
    assert max(map(len, lines)) <= 80


def test_a_policy_has_one_line_of_80_columns(run):
    status, printed, _ = run("policies")
    lines = printed.splitlines()
    assert status == 0
    assert "round-robin                     asks about each LO in turn, from Easy to Hard" in lines
    assert len(lines) == 1 + len(POLICIES) + any("[:...]" in line for line in lines[:-1])
    assert not any("…" in line for line in lines), "shorten the first line of the docstring"
    assert max(map(len, lines)) <= 80


def test_a_long_description_of_a_policy_ends_in_an_ellipsis(run, monkeypatch):
    def make():
        """Policy that has a description of so many words that they do not fit into one line of a terminal."""

    monkeypatch.setitem(POLICIES, "long", make)
    (line,) = [line for line in run("policies")[1].splitlines() if line.startswith("long ")]
    assert len(line) <= 80 and "has a description of so" in line and "…" in line


def test_a_table_escapes_and_wraps_wide_characters():
    lines = table_lines(
        ["policy", "description", "n"],
        [["a\n", "方策は行動を選ぶ " * 9, "1"], ["[red]b", "", "20"]],
        texts=["policy", "description"],
        wrapped="description",
    )
    assert {cell_len(line) for line in (lines[0], lines[1], lines[-1])} == {80}
    assert max(map(cell_len, lines)) <= 80
    assert (
        lines[1].startswith("a\\n     方策は")
        and lines[2].startswith("        方策は")
        and lines[-1].startswith("[red]b  ")
    )


def test_init_config_writes_the_defaults(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("init-config") == (0, "Wrote alsim.toml; to use it, pass --config alsim.toml to a command.\n", "")
    assert Path("alsim.toml").read_text() == default_toml()
    assert Config.load("alsim.toml") == Config()
    Path("alsim.toml").write_text("mine")
    assert_refused(run("init-config"), "alsim.toml already exists; --force overwrites it")
    assert Path("alsim.toml").read_text() == "mine"
    assert run("init-config", "--force")[0] == 0
    assert run("init-config", "deeper/other.toml")[0] == 0
    assert Path("deeper/other.toml").read_text() == default_toml()
    assert Path("alsim.toml").stat().st_mode == Path(shutil.copyfile("alsim.toml", "plain")).stat().st_mode


def passing(config, bank, seed):
    return True, f"seed {seed}, {bank.num_los} [bold]outcomes"


def failing(config, bank, seed):
    return False, "broken"


def breaking(config, bank, seed):
    raise RuntimeError("snapped")


@pytest.fixture
def checks(monkeypatch):
    """Replace the real checks by two quick ones."""
    monkeypatch.setattr(sanity, "CHECKS", {"one": passing, "two": passing})
    return sanity.CHECKS


def test_validate_prints_one_line_per_check(run, small, checks, tmp_path):
    status, printed, err = run("validate", "--config", small, "--seed", 3, "--json", tmp_path / "v.json")
    assert (status, err) == (0, "")
    assert printed.splitlines() == [
        "ok       one: seed 3, 2 [bold]outcomes",
        "ok       two: seed 3, 2 [bold]outcomes",
        "All 2 checks passed: the simulator follows its specification.",
    ]
    result = json.loads((tmp_path / "v.json").read_text())
    assert (result["seed"], result["dynamics"], len(result["checks"])) == (3, "standard", 2)
    assert (result["passed"], result["skipped"], result["failed"]) == (2, 0, 0)
    assert result["version"] == __version__
    assert result["config_differences"] == {"num_los": 2, "max_episode_steps": 6}
    assert result["bank"] == {"outcomes": 2, "questions": 40, "contents": 12}
    assert result["checks"][0] == {"name": "one", "passed": True, "detail": "seed 3, 2 [bold]outcomes"}


def test_validate_ends_in_1_if_a_check_fails(run, small, checks, tmp_path):
    checks["two"], checks["three"] = failing, breaking
    status, printed, err = run("validate", "--config", small, "--json", tmp_path / "v.json")
    assert (status, err) == (1, "")
    assert [line.split()[0] for line in printed.splitlines()] == ["ok", "FAIL", "FAIL", "2"]
    assert "FAIL     three: RuntimeError: snapped\n2 of 3 checks failed: two, three.\n" in printed
    assert json.loads((tmp_path / "v.json").read_text())["failed"] == 2


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--policy", "other"), "unknown policy 'other'; known are uniform, rules"),
        (("--policy", "unifrom"), "; did you mean 'uniform'?"),
        (("--learners", "0"), "--learners must be an integer of at least 1; got 0"),
        (("--learners", "-5"), "--learners must be an integer of at least 1; got -5"),
        (("--learners", "2147483649"), "--learners must be at most 2**31"),
        (("--episodes", "0"), "--episodes must be an integer of at least 1; got 0"),
        (("--threads", "0"), "--threads must be an integer of at least 1; got 0"),
        (("--seed", "-1"), "--seed must be an integer in [0, 2**64); got -1"),
        (("--seed", "18446744073709551616"), "--seed must be an integer in [0, 2**64)"),
        (("--observation", "all"), "--observation must be mastery or responses; got 'all'; see alsim generate --help"),
        (("--config", "nowhere.toml"), "nowhere.toml"),
        (
            ("--bank", "nowhere"),
            "nowhere: a bank must be a directory with questions.csv or questions.parquet; found neither",
        ),
        (("--bank", __file__), f"; `alsim bank --questions {__file__} -o DIR` writes one"),
    ],
)
def test_generate_refuses_in_one_sentence(run, tmp_path, arguments, message):
    assert_refused(run("generate", "--out", tmp_path / "d", *arguments), message)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("num_los = ", "cannot be read as a TOML file"),
        ("num_los = 0", "num_los = 0: expected a number >= 1"),
        ("[irt]\nguessing_range = [0.3, 0.1]", "irt.guessing_range = [0.3, 0.1]: expected a range"),
        ("[lerner]\n", "lerner = {}: unknown key; expected one of num_los"),
    ],
)
@pytest.mark.parametrize("command", ["generate", "validate", "bank"])
def test_a_broken_configuration_is_named(run, tmp_path, command, content, message):
    file = tmp_path / "mine.toml"
    file.write_text(content)
    out = () if command == "validate" else ("--out", tmp_path / "d")
    assert_refused(run(command, "--config", file, *out), f"{file}: ", message)
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("command", ["generate", "validate"])
def test_a_broken_bank_is_named(run, tmp_path, command):
    assert run("bank", "--out", tmp_path / "bank")[0] == 0
    file = tmp_path / "bank" / "questions.csv"
    lines = file.read_text().splitlines()
    cells = lines[2].split(",")
    cells[3] = "-1"
    file.write_text("\n".join([lines[0], lines[1], ",".join(cells), *lines[3:]]))
    out = () if command == "validate" else ("--out", tmp_path / "d")
    assert_refused(run(command, "--bank", tmp_path / "bank", *out), "questions.csv", "line 3", "irt_a", "-1")
    file.unlink()
    assert_refused(run(command, "--bank", tmp_path / "bank", *out), str(tmp_path / "bank"))


def test_existing_output_is_refused(run, small, dataset, tmp_path):
    arguments = ("generate", "--learners", 1, "--config", small, "--out")
    assert_refused(run(*arguments, dataset), f"{dataset} already holds a finished dataset; --force overwrites it")
    assert_refused(run(*arguments, small), f"--out {small}: is also an input or another output of this command")
    (tmp_path / "file").touch()
    assert_refused(run(*arguments, tmp_path / "file"), f"{tmp_path / 'file'} is not a directory")
    assert_refused(
        run(*arguments, tmp_path, "--force"), f"{tmp_path} contains other files (d); choose a new or empty directory"
    )
    assert_refused(run(*arguments, small / "d"), "small.toml")


@pytest.mark.ci
@pytest.mark.parametrize("change", ["", "{}", '{"schema_version": 1}', '{"schema_version": 99}'])
def test_info_names_a_broken_manifest(run, dataset, change):
    (dataset / "manifest.json").write_text(change)
    assert_refused(run("info", dataset), f"{dataset / 'manifest.json'} ")


def test_info_escapes_control_characters(run, dataset):
    manifest = json.loads((dataset / "manifest.json").read_text())
    manifest["policy"]["name"] = "\x1b]0;owned\x07\x1b[2J\n\u202eünïform"
    (dataset / "manifest.json").write_text(json.dumps(manifest))
    status, printed, _ = run("info", dataset)
    assert status == 0
    assert all(character.isprintable() for character in printed.replace("\n", ""))
    assert r"  policy    \x1b]0;owned\x07\x1b[2J\n\u202eünïform, seed 0" in printed.splitlines()


def test_info_names_missing_and_damaged_files(run, dataset, tmp_path):
    assert_refused(run("info", tmp_path / "nowhere"), "nowhere holds no finished dataset: it does not exist; expected")
    assert_refused(run("info", tmp_path), f"{tmp_path} holds no finished dataset")
    file = dataset / "episodes" / "part-00000.parquet"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert_refused(run("info", dataset, "--verify"), f"{file} is damaged: its SHA-256 differs")
    file.unlink()
    assert_refused(run("info", dataset), f"{file} is missing")


def test_a_report_that_cannot_be_written_is_named(run, tmp_path):
    (tmp_path / "file").write_text("")
    assert run("policies", "--json", tmp_path)[0] == 2
    assert run("policies", "--json", tmp_path / "file" / "report.json")[0] == 2
    assert [p.name for p in tmp_path.iterdir()] == ["file"]  # no temporary file is left


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("gen",), "unknown command 'gen'; did you mean 'generate'? See alsim --help"),
        (("Init_Config",), "unknown command 'Init_Config'; did you mean 'init-config'? See alsim --help"),
        (("xyz",), "unknown command 'xyz'; expected one of abtest, audit, bank, "),
        (("fit", "bkr", "log.csv"), "unknown model 'bkr'; did you mean 'bkt'? See alsim fit --help"),
        (("--nonsense",), "unknown option '--nonsense'; see alsim --help"),
        (("generate",), "--out DIR is missing: directory to write; see alsim generate --help"),
        (("generate", "-o"), "-o needs a value, DIR; see alsim generate --help"),
        (
            ("generate", "-o", "d", "--learners", "many"),
            "--learners must be an integer; got 'many'; see alsim generate",
        ),
        (
            ("generate", "-o", "d", "--format", "csv"),
            "--format must be parquet or arrow; got 'csv'; see alsim generate",
        ),
        (
            ("generate", "-o", "d", "--format", "parket"),
            "got 'parket'; did you mean 'parquet'? See alsim generate --help",
        ),
        (
            ("generate", "-o", "d", "--lerners", "3"),
            "unknown option '--lerners'; did you mean '--learners'? See alsim gen",
        ),
        (("generate", "-o", "d", "-q"), "unknown option '-q'; see alsim generate --help"),
        (("generate", "-o", "d", "--force=3"), "--force takes no value; see alsim generate --help"),
        (("info",), "DIR is missing: directory of a dataset or a training; see alsim info --help"),
        (("info", "one", "two", "three"), "unexpected argument (two three); see alsim info --help"),
        (("validate", "--seed", "x"), "--seed must be an integer; got 'x'; see alsim validate --help"),
        (("train", "sac", "-o", "d"), "ALGORITHM must be ppo or dqn; got 'sac'; see alsim train --help"),
        (("train", "-o", "d"), "ALGORITHM is missing: training algorithm: ppo or dqn; see alsim train --help"),
        (("fit", "bkt", "log.csv", "--seed", "-1"), "--seed must be an integer of at least 0; got '-1'"),
        (("export", "d", "-o", "x", "--to", "obb"), "got 'obb'; did you mean 'obp'?"),
    ],
)
def test_errors_of_usage_are_one_sentence_with_the_cure(run, arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert_refused(run(*arguments), message)
    assert list(tmp_path.iterdir()) == []


def test_a_path_in_place_of_a_command_is_explained(run, dataset, small):
    assert_refused(
        run(dataset), f"{dataset} is a directory, not a command; describe a dataset with: alsim info {dataset}"
    )
    assert_refused(
        run(small), f"{small} is a file, not a command; fit a student model to a response log with: alsim fit"
    )
    assert_refused(run("fit", small), f"{small} is not a model;", f"alsim fit MODEL {small}, MODEL being bkt, irt,")


def test_other_directories_than_a_dataset_are_recognised(run, dataset, small, tmp_path):
    assert run("bank", "--config", small, "-o", tmp_path / "bank")[0] == 0
    (tmp_path / "trained").mkdir()
    (tmp_path / "trained" / "policy.npz").write_bytes(b"")
    assert_refused(run("info", tmp_path / "bank"), "it is an item bank; to use it: alsim generate --bank ")
    assert_refused(
        run("info", tmp_path / "trained"), "it is a trained policy; to teach with it: alsim generate --policy "
    )
    assert_refused(
        run("info", small), f"{small} holds no finished dataset: it is a file; expected the output directory"
    )
    assert_refused(run("info", tmp_path), f"there is no manifest.json; did you mean {dataset}?")


def test_a_misspelled_key_of_a_configuration_is_corrected(run, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("[termination]\nmax_step = 3\n")
    assert_refused(run("validate", "--config", file), "termination.max_step = 3: unknown key; expected one of ")
    file.write_text("num_lo = 3\n")
    assert_refused(run("validate", "--config", file), "num_lo = 3: unknown key", "; did you mean 'num_los'?")


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_version(run, option):
    assert run(option) == (0, f"alsim {__version__}\n", "")


@pytest.mark.parametrize("arguments", [(), ("fit",)])
def test_a_group_without_arguments_prints_its_help(run, arguments):
    status, printed, err = run(*arguments)
    assert (status, err) == (0, "")
    assert printed == run(*arguments, "--help")[1] == run(*arguments, "-h")[1]


SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]


@pytest.fixture
def ctrl_c_raises():
    """Python's own handler of SIGINT, which a process started in the background of a shell does not have."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_raises")
@pytest.mark.parametrize(("number", "status"), SIGNALS)
def test_a_signal_ends_in_its_status_and_says_how_to_resume(run, monkeypatch, tmp_path, number, status):
    def interrupt(*_, **__):
        signal.raise_signal(number)

    monkeypatch.setattr("alsim.datasets.generate.generate_dataset", interrupt)  # first: it imports load_dataset
    monkeypatch.setattr("alsim.datasets.store.load_dataset", interrupt)
    assert run("info", "d") == (status, "", "alsim: interrupted\n")
    hint = "keeps the files that are complete and simulates the others\n"
    start = "alsim: interrupted; the same command"
    assert run("generate", "-o", tmp_path / "d") == (status, "", f"{start} {hint}")
    assert run("generate", "-o", tmp_path / "d", "--force") == (status, "", f"{start} without --force {hint}")


@pytest.mark.usefixtures("ctrl_c_raises")
@pytest.mark.parametrize(("number", "status"), SIGNALS)
def test_an_interrupted_training_says_where_it_resumes(run, monkeypatch, tmp_path, number, status):
    """Before the first checkpoint it starts again."""

    def interrupt(*_, **__):
        signal.raise_signal(number)

    monkeypatch.setattr("alsim.training.run.train", interrupt)
    out = tmp_path / "run"
    assert run("train", "ppo", "-o", out) == (
        *(status, ""),
        "alsim: interrupted; there is no checkpoint yet, so the same command starts from the beginning\n",
    )
    out.mkdir()
    write_checkpoint(out, 65_536, {})
    resumes = "resumes from the last checkpoint, at 65,536 interactions\n"
    assert run("train", "ppo", "-o", out)[2] == f"alsim: interrupted; the same command {resumes}"
    assert (
        run("train", "ppo", "-o", out, "--force")[2]
        == f"alsim: interrupted; the same command without --force {resumes}"
    )


def test_an_unfinished_training_is_described(run, tmp_path):
    out = tmp_path / "run"
    fixed = {"algorithm": "ppo", "seed": 4, "observation": "mastery", "num_threads": 1, "name": "mine"}
    given = {"config": {"num_los": 3}, "steps": 70_000}
    others = dict.fromkeys(("hyperparameters", "num_envs", "bank", "dynamics", "reward", "eval_every"))
    plan = read_plan(**fixed, **given, **others)
    with open_directory(out, plan.settings, force=False):
        pass
    write_checkpoint(out, 65_536, {})
    status, printed, _ = run("info", out)
    assert status == 0
    assert "mine, trained by ppo, seed 4" in printed
    assert "unfinished, at 65,536 of 70,000 interactions; the same alsim train command resumes it" in printed
    assert "dynamics standard; num_los 3" in printed
    assert json.loads(run("info", out, "--json", "-")[1])["settings"]["name"] == "mine"
    assert_refused(run("info", out, "--verify"), "holds a training; --verify and --plot need a dataset; leave them out")
    for text in ("", "[]", "{}"):
        (out / "settings.json").write_text(text)
        assert_refused(run("info", out), "train again")


@pytest.mark.heavy
def test_resuming_with_another_policy_names_only_the_policy(run, small, tmp_path, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    arguments = ("generate", "--config", small, "-o", tmp_path / "d")
    with monkeypatch.context() as patched:
        patched.setattr("alsim.datasets.generate._warn_of_damage", interrupt)
        assert run(*arguments)[0] == 130
    assert_refused(
        run(*arguments, "--policy", "rules"), 'other settings: policy.name was "uniform" and is now "rules"; the same'
    )


def test_an_unfinished_training_is_not_a_policy(run, small, tmp_path):
    out = tmp_path / "run"
    with open_directory(out, {}, force=False):
        pass
    refused = run("show", "--policy", out, "--config", small)
    assert_refused(
        refused, f"{out} holds an unfinished training, which has no policy yet; the same alsim train command"
    )


def test_a_policy_for_other_observations_names_the_option(run, small, tmp_path):
    network = Network([(np.zeros((7, 18)), np.zeros(18))])
    NetworkPolicy(network, name="mine", observation="responses").save(tmp_path / "mine")
    for command in (("show",), ("generate", "-o", tmp_path / "d")):
        refused = run(*command, "--policy", tmp_path / "mine", "--config", small)
        assert_refused(refused, "needs observation='responses'", "(--observation responses)")


# ── separate processes ───────────────────────────────────────────────────────────────────────────


@pytest.mark.ci
def test_a_process_and_its_exit_status(tmp_path, small):
    done = process("bank", "--config", small, "--out", tmp_path / "bank")
    assert (done.returncode, done.stderr) == (0, "")
    refused = process("generate", "--config", small, "--out", tmp_path / "d", "--policy", "other")
    assert_refused((refused.returncode, refused.stdout, refused.stderr), "known are uniform, rules")
    nothing = process("info", tmp_path / "nowhere")
    assert_refused((nothing.returncode, nothing.stdout, nothing.stderr), "holds no finished dataset")


@pytest.mark.ci
def test_no_progress_in_a_pipe(tmp_path, small):
    """Colours that the environment forces make no difference."""
    env = {**os.environ, "FORCE_COLOR": "1", "TERM": "xterm"}
    done = process("generate", "--config", small, "--learners", 2, "--out", tmp_path / "d", env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert "6 episodes of 2 learners" in done.stdout
    assert "\x1b" not in done.stdout


def test_long_work_prints_lines_without_a_terminal(run, small, dataset, checks, tmp_path, monkeypatch):
    """Every 30 seconds; here always."""
    monkeypatch.setattr("alsim.cli.output.PERIOD", 0)
    arguments = ("--learners", 9, "--episodes-per-shard", 9, "--config", small, "--out", tmp_path / "e")
    _, _, err = run("generate", *arguments)
    assert re.match(r"alsim: 9 of 27 episodes after 0 s\nalsim: 18 of 27 episodes after 0 s, [\d,.]+ ", err)

    def slow(*_):
        time.sleep(0.2)
        return True, ""

    monkeypatch.setattr("alsim.cli.output.PERIOD", 0.05)
    checks["two"] = slow
    assert re.search(r"^alsim: checking the simulator, 0 s so far$", run("validate")[2], re.MULTILINE)


@pytest.mark.ci
@pytest.mark.versionless
def test_progress_on_a_terminal(tmp_path, small):
    command = [sys.executable, "-m", "alsim", "generate", "--config", str(small), "--learners", "20", "--out", "d"]
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    with Terminal(command, stdout=subprocess.PIPE, cwd=tmp_path, env=env, text=True) as terminal:
        shown = terminal.read_all()
        printed, _ = terminal.process.communicate(timeout=60)
    assert terminal.process.returncode == 0
    assert "60/60" in shown
    assert "\x1b[" in shown
    assert "alsim info d" in printed  # the result is printed on stdout, as always
    assert "\x1b" not in printed


def shell(command, cwd):
    """Run a command of bash in which `alsim` is the command line; its status is that of the first failing command."""
    script = f'alsim() {{ "{sys.executable}" -m alsim "$@"; }}; set -o pipefail; {command}'
    return finished(["bash", "-c", script], cwd=cwd)


needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


@pytest.mark.ci
@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell that a pipe is closed")
@pytest.mark.parametrize("arguments", [("info", "d"), ("policies",), ("generate", "--help")])
def test_a_closed_pipe_ends_a_command_silently(dataset, arguments):
    """The status is that of SIGPIPE, not 1, which means that a check failed."""
    command = [sys.executable, "-m", "alsim", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=dataset.parent) as running:
        running.stdout.close()
        assert running.stderr.read() == b""
    assert running.returncode == 141


@pytest.mark.ci
@needs_bash
def test_closed_output_is_no_error(dataset):
    done = shell("alsim info d >&-", dataset.parent)
    assert (done.returncode, done.stderr) == (0, "")
    done = shell("alsim info nowhere 2>&-", dataset.parent)
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.parametrize("name", ["manifest.json", "bank/questions.csv"])
def test_a_report_does_not_replace_a_file_of_its_input(run, dataset, name):
    before = (dataset / name).read_bytes()
    for option in (("--json", dataset / name), ("--json", dataset.parent / "elsewhere" / ".." / dataset.name / name)):
        (dataset.parent / "elsewhere").mkdir(exist_ok=True)
        assert_refused(run("info", dataset, *option), f"is a file of the input {dataset}; choose a file elsewhere")
    assert (dataset / name).read_bytes() == before


@pytest.mark.ci
@needs_bash
def test_closed_input_is_an_empty_input(tmp_path):
    (tmp_path / "bank.csv").write_text("item,a,b,c\nq1,1,0,0\nq2,1,1,0\n")
    closed, empty = (
        shell(f"alsim cat --items bank.csv {redirection}", tmp_path) for redirection in ("<&-", "</dev/null")
    )
    assert (closed.returncode, closed.stdout, closed.stderr) == (empty.returncode, empty.stdout, empty.stderr)
    assert "Traceback" not in closed.stderr


@pytest.mark.ci
@needs_bash
def test_characters_outside_the_encoding_are_escaped(tmp_path):
    done = shell("mkdir é; PYTHONIOENCODING=ascii alsim init-config é/ä.toml", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Wrote \\xe9/\\xe4.toml")


@pytest.mark.ci
@needs_bash
@pytest.mark.parametrize("target", ["--json /dev/stdout >/dev/null", "--json /dev/stdout | cat", "--json >(cat)"])
def test_a_report_goes_to_the_streams_of_a_shell(dataset, target):
    done = shell(f"set -o pipefail; alsim info d {target}", dataset.parent)
    assert (done.returncode, done.stderr) == (0, "")
    if "cat" in target:
        assert '"transitions": ' in done.stdout and done.stdout.startswith(("d\n", "{"))


@pytest.mark.ci
@needs_bash
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("command", ["info d >/dev/full", "policies --json /dev/full", "--version >/dev/full"])
def test_a_full_disk_is_named_in_one_sentence(dataset, command):
    done = shell(f"alsim {command}", dataset.parent)
    assert_refused((done.returncode, "", done.stderr), "No space left on device")


@pytest.mark.ci
@pytest.mark.versionless
@needs_bash
def test_a_dataset_on_a_full_disk_is_resumed(tmp_path, small):
    """A limit of the file size stands for a full disk."""
    command = f"alsim generate --config {small} --learners 500 -o d"
    done = shell(f"ulimit -f 8; {command}", tmp_path)
    assert_refused((done.returncode, done.stdout, done.stderr), "File too large")
    assert shell(command, tmp_path).returncode == 0
    load_dataset(tmp_path / "d", verify=True)


@pytest.mark.ci
@pytest.mark.compiled
def test_the_real_validation_passes_in_a_new_process():
    done = process("validate")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(f"All {len(sanity.CHECKS)} checks passed: the simulator follows its specification.\n")


# ── a published bank ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.ci
def test_from_a_real_bank_to_metrics(run, tmp_path, published):
    """The 85 items in five groups of Raîche (2002): bank, dataset, metrics."""
    items = published / "cat" / "tcals_3pl_bank.txt"
    short = tmp_path / "short.toml"
    short.write_text("max_episode_steps = 20\n")
    columns = "irt_a=a,irt_b=b,irt_c=c,irt_d=d,learning_outcome=Group"
    bank, out, report = tmp_path / "bank", tmp_path / "d", tmp_path / "report.json"
    assert_refused(run("bank", "--questions", items, "--columns", columns, "--out", bank), "(Audio1, Hard)")
    status, printed, _ = run("bank", "--questions", items, "--columns", columns, "--fill-empty", "--out", bank)
    assert status == 0
    assert "30 contents on 5 learning outcomes" in printed
    arguments = ("--learners", 10, "--policy", "rules", "--bank", bank, "--config", short, "--json", report)
    status, printed, err = run("generate", *arguments, "--out", out)
    assert (status, err) == (0, "")
    dataset = load_dataset(out)
    assert load_bank(out / "bank") == load_bank(bank)
    assert load_bank(bank).outcomes == ("Audio1", "Audio2", "Written1", "Written2", "Written3")
    assert dataset.obs.shape == (len(dataset), 7)
    assert dataset.action.max() < 45
    metrics = json.loads(report.read_text())["metrics"]
    assert metrics["total_steps"]["n"] == 30
    assert 0 < metrics["question_accuracy"]["mean"] < 1
    assert 0 < metrics["final_mastery"]["mean"] < 1
    assert metrics["total_steps"]["mean"] == pytest.approx(len(dataset) / 30)


def test_export_writes_and_prints_code_that_loads_it(run, dataset, tmp_path, capsys):
    out, report = tmp_path / "data.npz", tmp_path / "report.json"
    status, printed, err = run("export", dataset, "--to", "npz", "--out", out, "--json", report)
    assert (status, err) == (0, "")
    first, lines, last = printed.split("\n\n")
    rows = len(load_dataset(dataset))
    assert first == "NumPy arrays with the names of D4RL; to load the data:"
    assert re.fullmatch(rf"Wrote {rows:,} transitions, [\d.]+ kB, to {re.escape(str(out))}\.\n", last)
    namespace = {}
    exec(lines, namespace)
    assert capsys.readouterr().out == f"({rows}, 4)\n" == f"{namespace['data']['observations'].shape}\n"
    assert json.loads(report.read_text()) == WRITTEN_BY | {
        "format": "npz",
        "path": str(out),
        "transitions": rows,
        "bytes": out.stat().st_size,
    }
    assert_refused(run("export", dataset, "--to", "npz", "--out", out), "data.npz already exists; --force")
    assert run("export", dataset, "--to", "npz", "--no-next-observations", "--out", out, "--force")[0] == 0


@pytest.mark.parametrize("to", ["obp", "scope-rl"])
def test_printed_code_loads_a_dictionary(run, dataset, tmp_path, to):
    lines = run("export", dataset, "--to", to, "--out", tmp_path / "data.npz")[1].split("\n\n")[1]
    namespace = {}
    exec(lines, namespace)
    data = namespace.get("feedback") or namespace["logged_dataset"]
    assert data["n_actions"] == 18 and data["pscore"].min() > 0


def test_export_refuses(run, dataset, tmp_path):
    known = "--to must be one of minari, d4rl, npz, obp, scope-rl, rllib, torchrl, huggingface, or an alias (d3rlpy, "
    assert_refused(run("export", dataset, "--to", "csv", "--out", tmp_path / "x"), known)
    assert_refused(run("export", tmp_path / "none", "--to", "npz", "--out", tmp_path / "x.npz"), "no finished dataset")
    refused = run("export", dataset, "--to", "rllib", "--license", "mit", "--out", tmp_path / "x")
    assert_refused(refused, "license must be None for the format 'rllib'")


@pytest.mark.ci
@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "..\\outside", "events/\n.parquet"])
def test_a_dataset_with_paths_outside_it_is_refused(run, dataset, tmp_path, path):
    manifest = json.loads((dataset / "manifest.json").read_text())
    manifest["tables"]["events"]["shards"][0]["path"] = path
    (dataset / "manifest.json").write_text(json.dumps(manifest))
    assert_refused(run("info", dataset), f"names {path!r}, which is outside of the dataset")
    refused = run("export", dataset, "--to", "npz", "--out", tmp_path / "x.npz")
    assert_refused(refused, f"names {path!r}, which is outside of the dataset")


def test_a_report_goes_through_a_link_and_into_a_pipe(run, dataset, tmp_path):
    """Links and pipes are written through, not replaced."""
    real, link, pipe = tmp_path / "real.json", tmp_path / "link.json", tmp_path / "pipe"
    real.write_text("")
    link.symlink_to(real)
    assert run("info", dataset, "--json", link)[0] == 0
    assert link.is_symlink()
    assert json.loads(real.read_text())["episodes"] == 6
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE, text=True) as reader:
        assert run("info", dataset, "--json", pipe)[0] == 0
        assert json.loads(reader.communicate(timeout=60)[0])["episodes"] == 6
    assert pipe.is_fifo()


def test_an_invalid_report_is_refused_before_the_work(run, small, tmp_path):
    out = tmp_path / "d"
    assert_refused(run("generate", "--config", small, "--out", out, "--json", tmp_path), "is a directory")
    assert not out.exists()
    assert_refused(run("init-config", tmp_path), f"{tmp_path} is a directory")


def test_init_config_writes_a_preset(run, tmp_path, monkeypatch):
    """Sessions over four weeks, of learners who forget, which last to the end.

    Breaks of 24 hours or more: reviews on successive days are then not of the same day by FSRS-6.
    """
    monkeypatch.chdir(tmp_path)
    assert run("init-config", "spaced.toml", "--preset", "spaced")[0] == 0
    config = Config.load("spaced.toml")
    assert (config.max_episode_steps, config.sessions.interactions, config.sessions.break_hours) == (560, 20, 24)
    assert config.reward_weights == REWARD_PRESETS["recall"] and config.retention.delay_hours == 7 * 24
    assert config.to_dict()["dynamics"]["name"] == "fsrs"
    refused = run("init-config", "other.toml", "--preset", "spacd")
    assert_refused(refused, "--preset must be one of 'default', 'spaced'; got 'spacd'; did you mean 'spaced'?")
    assert not Path("other.toml").exists()
