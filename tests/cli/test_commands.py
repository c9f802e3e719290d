"""The command line: output, and exit statuses 0 (success), 1 (a failed check) and 2 (invalid input)."""

import json
import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from alsim import cli, sanity
from alsim._version import __version__
from alsim.bank.files import complete_bank, load_bank
from alsim.bank.items import sample_bank
from alsim.config import Config, default_toml
from alsim.datasets.store import load_dataset
from alsim.metrics import METRICS
from alsim.policies import POLICIES

SMALL = "num_los = 2\nmax_episode_steps = 6\n"


@pytest.fixture
def small(tmp_path):
    """A small configuration, for quick runs."""
    file = tmp_path / "small.toml"
    file.write_text(SMALL)
    return file


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command line in this process: (exit status, stdout, stderr)."""

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["alsim", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return ended.value.code or 0, printed.out, printed.err

    return command


@pytest.fixture
def dataset(run, small, tmp_path):
    """Write a small dataset; return its directory."""
    assert run("generate", "--learners", 3, "--episodes", 2, "--config", small, "--out", tmp_path / "d")[0] == 0
    return tmp_path / "d"


def process(*arguments, **kwargs):
    """Run the command line in a new process."""
    command = [sys.executable, "-m", "alsim", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **kwargs)


def assert_refused(result, *messages):
    """Assert status 2, no output, and one sentence on stderr."""
    status, out, err = result
    assert (status, out) == (2, ""), result
    assert err.startswith("alsim: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert "Traceback" not in err
    for part in messages:
        assert part in err


# ── commands ─────────────────────────────────────────────────────────────────────────────────────


def test_generate_writes_a_dataset_and_prints_a_summary(run, small, tmp_path):
    out, report = tmp_path / "deeper" / "d", tmp_path / "report.json"
    status, printed, err = run(
        *("generate", "--learners", 4, "--episodes", 2, "--policy", "rules", "--seed", 7, "--out", out),
        *("--config", small, "--format", "arrow", "--threads", 2, "--json", report),
    )
    assert (status, err) == (0, "")
    dataset = load_dataset(out, verify=True)
    manifest = dataset.manifest
    assert (manifest["num_learners"], manifest["episodes_per_learner"], manifest["seed"]) == (4, 2, 7)
    assert (manifest["policy"]["name"], manifest["format"], manifest["observation"]) == ("rules", "arrow", "mastery")
    assert Config.read(manifest["config"]) == Config.read(small)
    first, second, third, *table = printed.splitlines()
    assert first == f"{out}: {len(dataset)} transitions, 8 episodes of 4 learners, {dataset.events.num_rows} events"
    assert second == f"policy rules, seed 7, alsim/AdaptiveLearning-v0, observation mastery, arrow, alsim {__version__}"
    assert third.startswith("episodes ended by: mastery_achieved ")
    numbers = json.loads(report.read_text())
    assert numbers["transitions"] == len(dataset)
    assert set(numbers["metrics"]["final_mastery"]) == {"mean", "se", "n", "undefined"}
    rows = {label: cells for label, *cells in (re.split(r"\s{2,}", row.strip()) for row in table)}
    for name, value in numbers["metrics"].items():
        mean, se, *undefined = rows[METRICS[name].heading]
        if value["mean"] is None:
            assert mean == "-"
        else:
            assert float(mean.replace(",", "")) == pytest.approx(value["mean"], abs=value["se"] / 20 + 1e-12)
            assert len(se.replace(".", "").lstrip("0")) == 2 or value["se"] == 0 or value["se"] >= 99
        assert undefined == ([str(value["undefined"])] if value["undefined"] else [])
    assert "time on task, min" in rows


def test_info_prints_what_generate_printed(run, small, dataset, tmp_path):
    again = run("generate", "--learners", 3, "--episodes", 2, "--config", small, "--out", dataset, "--force")
    assert run("info", dataset) == run("info", dataset, "--verify") == again
    assert run("info", dataset, "--json", tmp_path / "r" / "info.json")[0] == 0
    assert json.loads((tmp_path / "r" / "info.json").read_text())["episodes"] == 6


def test_names_in_brackets_are_printed_as_they_are(run, small, tmp_path):
    out = tmp_path / "[bold]d[/bold]"
    status, printed, _ = run("generate", "--learners", 1, "--config", small, "--out", out)
    assert status == 0
    assert printed.startswith(f"{out}: ")
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
    assert printed == f"{tmp_path / 'bank'}: 40 questions and 12 contents on 2 learning outcomes\n"
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
    assert "3 questions and 6 contents on 1 learning outcomes" in printed
    mapping = {"id": "name", "irt_a": "slope", "irt_b": "b", "learning_outcome": "group"}
    assert load_bank(tmp_path / "bank") == complete_bank(table, Config(), mapping)
    table.write_text(ITEMS.replace("z;0.9;1.5;", "z;0.9;-1.5;"))
    arguments = ("bank", "--questions", table, "--columns", columns, "--out", tmp_path / "other")
    assert_refused(run(*arguments), "(Reading, Hard)")
    assert run(*arguments, "--fill-empty")[0] == 0
    assert_refused(
        run("bank", "--columns", columns, "--out", tmp_path / "third"),
        "--columns and --fill-empty apply to a table only; add --questions FILE",
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
    for name in listed:
        assert re.search(rf"^ *{name}\b", printed, re.MULTILINE)
    assert max(map(len, printed.splitlines())) <= 80


def test_init_config_writes_the_defaults(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("init-config") == (0, "wrote alsim.toml\n", "")
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
    assert [line.split() for line in printed.splitlines()] == [
        ["ok", "one:", "seed", "3,", "2", "[bold]outcomes"],
        ["ok", "two:", "seed", "3,", "2", "[bold]outcomes"],
        ["2", "passed,", "0", "failed"],
    ]
    result = json.loads((tmp_path / "v.json").read_text())
    assert (result["seed"], result["failed"], len(result["checks"])) == (3, 0, 2)
    assert result["checks"][0] == {"name": "one", "passed": True, "detail": "seed 3, 2 [bold]outcomes"}


def test_validate_ends_in_1_if_a_check_fails(run, small, checks, tmp_path):
    checks["two"], checks["three"] = failing, breaking
    status, printed, err = run("validate", "--config", small, "--json", tmp_path / "v.json")
    assert (status, err) == (1, "")
    assert [line.split()[0] for line in printed.splitlines()] == ["ok", "FAIL", "FAIL", "1"]
    assert "three: RuntimeError: snapped" in printed
    assert json.loads((tmp_path / "v.json").read_text())["failed"] == 2


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--policy", "other"), "unknown policy 'other'; known are uniform, rules"),
        (("--learners", "0"), "num_learners must be an integer of at least 1; got 0"),
        (("--learners", "-5"), "num_learners must be an integer of at least 1; got -5"),
        (("--learners", "2147483649"), "num_learners must be at most 2**31"),
        (("--episodes", "0"), "episodes_per_learner must be an integer of at least 1; got 0"),
        (("--threads", "0"), "num_threads must be an integer of at least 1; got 0"),
        (("--seed", "-1"), "seed must be an integer in [0, 2**64); got -1"),
        (("--seed", "18446744073709551616"), "seed must be an integer in [0, 2**64)"),
        (("--observation", "all"), "observation must be one of 'mastery', 'responses'; got 'all'"),
        (("--config", "nowhere.toml"), "nowhere.toml"),
        (("--bank", "nowhere"), "nowhere"),
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
    assert_refused(
        run(*arguments, dataset), f"{dataset} already holds a finished dataset; force=True (--force) overwrites it"
    )
    assert_refused(run(*arguments, small), f"{small} is not a directory")
    assert_refused(
        run(*arguments, tmp_path, "--force"), f"{tmp_path} contains other files (d); choose a new or empty directory"
    )
    assert_refused(run(*arguments, small / "d"), "small.toml")


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
    assert r"policy \x1b]0;owned\x07\x1b[2J\n\u202eünïform, seed 0" in printed.splitlines()[1]


def test_info_names_missing_and_damaged_files(run, dataset, tmp_path):
    assert_refused(run("info", tmp_path / "nowhere"), "nowhere holds no finished dataset: there is no manifest.json")
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
    "arguments",
    [
        ("nonsense",),
        ("generate",),
        ("generate", "--out", "d", "--learners", "many"),
        ("generate", "--out", "d", "--format", "csv"),
        ("generate", "--out", "d", "--nonsense"),
        ("info",),
        ("info", "one", "two"),
        ("validate", "--seed", "x"),
    ],
)
def test_usage_errors_end_in_2(run, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, printed, err = run(*arguments)
    assert (status, printed) == (2, "")
    assert "Usage: " in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_ends_in_130(run, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("alsim.datasets.store.load_dataset", interrupt)
    status, printed, err = run("info", "d")
    assert (status, printed) == (130, "")
    assert "Traceback" not in err


# ── separate processes ───────────────────────────────────────────────────────────────────────────


def test_a_process_and_its_exit_status(tmp_path, small):
    done = process("bank", "--config", small, "--out", tmp_path / "bank")
    assert (done.returncode, done.stderr) == (0, "")
    refused = process("generate", "--config", small, "--out", tmp_path / "d", "--policy", "other")
    assert_refused((refused.returncode, refused.stdout, refused.stderr), "known are uniform, rules")
    nothing = process("info", tmp_path / "nowhere")
    assert_refused((nothing.returncode, nothing.stdout, nothing.stderr), "holds no finished dataset")


def test_no_progress_in_a_pipe(tmp_path, small):
    """Colours that the environment forces make no difference."""
    env = {**os.environ, "FORCE_COLOR": "1", "TERM": "xterm"}
    done = process("generate", "--config", small, "--learners", 2, "--out", tmp_path / "d", env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert "6 episodes of 2 learners" in done.stdout


def test_progress_on_a_terminal(tmp_path, small):
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "alsim", "generate", "--config", str(small), "--learners", "20", "--out", "d"]
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, cwd=tmp_path, env=env) as running:
        os.close(theirs)
        shown = b""
        while True:
            try:
                shown += os.read(ours, 4096)
            except OSError:  # Linux raises it at the end of a terminal
                break
        printed = running.stdout.read()
    os.close(ours)
    assert running.returncode == 0
    assert b"60/60" in shown
    assert b"\x1b[" in shown
    assert printed.startswith(b"d: ")  # the report is printed on stdout, as always
    assert b"\x1b" not in printed


@pytest.mark.compiled
def test_the_real_validation_passes_in_a_new_process():
    done = process("validate")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(f"{len(sanity.CHECKS)} passed, 0 failed\n")


# ── a published bank ─────────────────────────────────────────────────────────────────────────────


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
    first, _, lines = printed.partition("\n\n")
    rows = len(load_dataset(dataset))
    assert re.fullmatch(
        rf"{re.escape(str(out))}: {rows:,} transitions, 0\.\d MB, NumPy arrays with the names of D4RL", first
    )
    namespace = {}
    exec(lines, namespace)
    assert capsys.readouterr().out == f"({rows}, 4)\n" == f"{namespace['data']['observations'].shape}\n"
    assert json.loads(report.read_text()) == {
        "format": "npz",
        "path": str(out),
        "transitions": rows,
        "bytes": out.stat().st_size,
    }
    assert_refused(run("export", dataset, "--to", "npz", "--out", out), "data.npz already exists; force=True (--force)")
    assert run("export", dataset, "--to", "npz", "--no-next-observations", "--out", out, "--force")[0] == 0


@pytest.mark.parametrize("to", ["obp", "scope-rl"])
def test_printed_code_loads_a_dictionary(run, dataset, tmp_path, to):
    lines = run("export", dataset, "--to", to, "--out", tmp_path / "data.npz")[1].partition("\n\n")[2]
    namespace = {}
    exec(lines, namespace)
    data = namespace.get("feedback") or namespace["logged_dataset"]
    assert data["n_actions"] == 18 and data["pscore"].min() > 0


def test_export_refuses(run, dataset, tmp_path):
    known = "must be one of minari, d4rl, npz, obp, scope-rl, rllib, torchrl, huggingface; got 'csv'"
    assert_refused(run("export", dataset, "--to", "csv", "--out", tmp_path / "x"), known)
    assert_refused(run("export", tmp_path / "none", "--to", "npz", "--out", tmp_path / "x.npz"), "no finished dataset")
    refused = run("export", dataset, "--to", "rllib", "--license", "mit", "--out", tmp_path / "x")
    assert_refused(refused, "license must be None for the format 'rllib'")


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
    real.write_text("old")
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
