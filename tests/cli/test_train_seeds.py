"""`alsim train --seeds`: tables, progress, failures and interrupts, and `alsim info` of the directory."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from seeds_runs import FATAL, SMALL, is_alive, until
from terminal import Terminal

from alsim.cli import training_seeds
from alsim.evaluation.held_out import HeldOut
from alsim.training import run as run_module
from alsim.training import seeds as seeds_module
from alsim.training.seeds_directory import MARK, SETTINGS
from alsim.training.seeds_workers import Failure

pytestmark = pytest.mark.versionless

WIDTH = 80


@pytest.fixture
def given(tmp_path, monkeypatch):
    """Arguments of a small training, in a directory of its own."""
    monkeypatch.chdir(tmp_path)
    lines = {
        name: [f"{key} = {json.dumps(value)}" for key, value in SMALL[name].items()]
        for name in SMALL
        if name in ("config", "hyperparameters")
    }
    Path("config.toml").write_text("\n".join(lines["config"]))
    Path("h.toml").write_text("\n".join(lines["hyperparameters"]))
    numbers = {"--num-envs": "num_envs", "--steps": "steps", "--eval-every": "eval_every"}
    return [
        "ppo",
        "--config",
        "config.toml",
        "--settings",
        "h.toml",
        *(str(word) for option, name in numbers.items() for word in (option, SMALL[name])),
    ]


@pytest.fixture
def inline(monkeypatch):
    """Train in this process, with evaluations on few learners; return failures by seed, which a test can add to."""
    failures = {}

    def train_in_this_process(plan, out, seeds, processes, progress):
        for seed in seeds:
            if seed not in failures:
                folder, own = out / f"seed-{seed}", plan.plan(seed)
                with run_module.directory.open_directory(folder, own.settings, force=False):
                    run_module.Run(own, folder, lambda moment, seed=seed: progress.stepped(seed, moment.steps)).finish()
                progress.finished(seed)
        return failures

    monkeypatch.setattr(run_module, "FINAL", HeldOut(run_module.FINAL.first, 6))
    monkeypatch.setattr(run_module, "SELECTION", HeldOut(run_module.SELECTION.first, 4))
    monkeypatch.setattr(seeds_module, "train_in_processes", train_in_this_process)
    return failures


@pytest.mark.ci
def test_the_result_has_a_table_over_seeds_and_one_of_the_seeds(run, given, inline):
    status, out, err = run("train", *given, "--seeds", 3, "--seed", 4, "-o", "runs", "--json", "report.json")
    assert status == 0
    lines = out.splitlines()
    assert lines[0] == "runs: policy ppo, 3 trainings with seeds 4 to 6"
    assert re.fullmatch(r"256 interactions and [\d.]+ s per seed, including evaluations", lines[1])
    assert "Mean ± standard deviation over 3 seeds, evaluated on 6 held-out learners:" in lines
    assert max(map(len, lines)) <= WIDTH
    report = json.loads(Path("report.json").read_text())
    metric = report["metrics"]["cumulative_reward"]
    row = next(line for line in lines if line.startswith("return"))
    assert row.split()[1:] == [
        *(f"{metric['mean']:.2f}", "±", f"{metric['sd']:.2f}", f"{metric['median']:.2f}"),
        *(f"{metric['min']:.2f}", "to", f"{metric['max']:.2f}"),
        *(f"{report['baselines'][name]['cumulative_reward']['mean']:.2f}" for name in ("uniform", "rules")),
    ]
    assert [line.split()[0] for line in lines if re.match(r" *\d+  +-?\d", line)] == ["4", "5", "6"]
    verdict = " ".join(lines[-2:])
    assert "With ppo, return is" in verdict
    assert verdict.endswith(".")
    finished = [line for line in err.splitlines() if "seeds finished, " in line]
    assert [line.partition(":")[0] for line in finished] == [
        f"{k} of 3 seeds finished, seed-{k + 3}" for k in (1, 2, 3)
    ]


@pytest.mark.ci
def test_many_seeds_are_not_listed(run, given, inline, monkeypatch):
    monkeypatch.setattr(training_seeds, "MAX_ROWS", 1)
    out = run("train", *given, "--seeds", 2, "-o", "runs", "--reward", "learning", "--observation", "responses")[1]
    assert "best evaluation at" not in out
    assert "Under the specified reward:" in out
    assert "which the trained policy does not observe." in " ".join(out.split("\n"))


@pytest.mark.ci
def test_one_seed_has_no_deviation(run, given, inline):
    out = run("train", *given, "--seeds", 1, "-o", "runs")[1]
    assert "1 training with seed 0" in out
    assert re.search(r"^return +-?[\d.]+ ± - ", out, re.MULTILINE)


@pytest.mark.ci
@pytest.mark.parametrize("seeds", [[], ["--seeds", 2]])
def test_learners_of_one_class_give_no_standard_error(run, given, inline, seeds):
    with Path("config.toml").open("a") as file:
        file.write("\nclasses = {size = 5000, ability_std = 1.0}\n")
    status, out, _ = run("train", *given, *seeds, "-o", "runs")
    assert status == 0
    assert "return is not compared (no standard errors) with that with uniform and rules" in " ".join(out.split())


@pytest.mark.ci
def test_info_describes_the_directory(run, given, inline):
    inline[1] = Failure("it was killed; the same command resumes it")
    assert run("train", *given, "--seeds", 2, "-o", "runs")[0] == 1
    status, out, _ = run("info", "runs", "--json", "info.json")
    assert status == 0
    assert "policy    ppo, trained by ppo, seeds 0 to 1" in out
    assert "unfinished, 1 of 2 seeds finished; the same alsim train command resumes it" in out
    assert json.loads(Path("info.json").read_text())["summary"] is None
    inline.clear()
    printed = run("train", *given, "--seeds", 2, "-o", "runs")[1]
    status, out, _ = run("info", "runs", "--json", "info.json")
    assert "training  2 trainings, finished" in out
    assert out.endswith(printed.partition("\n")[2])
    assert json.loads(Path("info.json").read_text())["summary"]["seeds"] == 2
    assert run("info", "runs/seed-1")[0] == 0
    assert "pass the directory of one, such as runs/seed-0" in run("show", "--policy", "runs")[2]
    for name in ("summary.json", "settings.json"):
        Path("runs", name).write_text(f'{{"{MARK}": 1}}')
        status, _, err = run("info", "runs")
        assert status == 2
        assert "runs is no training of this version of alsim: KeyError" in err


@pytest.mark.ci
def test_a_failed_seed_ends_in_status_1_with_one_sentence(run, given, inline):
    inline[1] = Failure("its process was killed by SIGKILL; the same command resumes it")
    status, out, err = run("train", *given, "--seeds", 3, "-o", "runs")
    assert (status, out) == (1, "")
    assert err.splitlines()[-1] == (
        "alsim: seed 1 failed: its process was killed by SIGKILL; the same command resumes it; 2 of 3 trainings in "
        "runs are finished and kept"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--seeds", 0), "--seeds must be an integer of at least 1; got 0"),
        (("--seeds", "many"), "--seeds must be an integer; got 'many'"),
        (("--processes", 2), "--processes 2 needs --seeds; add the number of seeds, or leave --processes out"),
        (("--seeds", 2, "--processes", 0), "--processes must be an integer of at least 1; got 0"),
        (("--seeds", 2, "--name", "rules"), "must differ from uniform and rules"),
        (("--seeds", 2, "--seed", "2**64-1"), "the last seed, seed + seeds - 1, must be at most 2**64 - 1"),
    ],
)
def test_invalid_options_are_one_sentence(run, given, inline, options, message):
    status, out, err = run("train", *given, *options, "-o", "runs")
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert not Path("runs").exists()


@pytest.mark.parametrize("force", [False, True])
def test_an_interrupt_says_how_to_resume(run, given, monkeypatch, force):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(seeds_module, "train_in_processes", interrupt)
    status, _, err = run("train", *given, "--seeds", 2, "-o", "runs", *(["--force"] if force else []))
    assert status == 130
    assert err.splitlines()[-1] == (
        "alsim: interrupted; 0 of 2 trainings are finished; the same command "
        f"{'without --force ' if force else ''}resumes the others from their last checkpoints"
    )


def test_a_bar_counts_interactions_and_seeds(monkeypatch):
    shown = []
    bar = SimpleNamespace(add_task=lambda *_, **__: 7, update=lambda task, **fields: shown.append(fields))

    class Shown:
        def __enter__(self):
            return bar

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(training_seeds, "progress_bar", lambda *_: Shown())
    with training_seeds._progress() as show:
        show(seeds_module.SeedsMoment(1_500, 4_000, 1, 4, None))
    assert shown == [
        {"completed": 1_500, "total": 4_000, "seeds": "1 of 4 seeds finished", "steps": "1,500 interactions"}
    ]


def test_the_error_of_the_comparison_has_a_part_of_the_seeds_and_one_of_the_learners():
    entry = {"standard_errors": {"cumulative_reward": 3.0}}
    summary = {"metrics": {"cumulative_reward": {"mean": 1.0, "se": 4.0, "n": 10_000}}, "trainings": [entry] * 2}
    combined = training_seeds._combined(summary)["cumulative_reward"]
    assert combined["mean"] == 1
    assert combined["se"] == pytest.approx(5, rel=1e-3)
    summary["metrics"]["cumulative_reward"] |= {"n": 2}
    assert training_seeds._combined(summary)["cumulative_reward"]["se"] == pytest.approx(
        np.hypot(3, 4 * 12.706 / 1.96), rel=1e-3
    )
    summary["metrics"]["cumulative_reward"] |= {"n": 1, "se": None}
    assert training_seeds._combined(summary)["cumulative_reward"]["se"] == 3


# ── real processes ───────────────────────────────────────────────────────────────────────────────


def as_of_a_terminal():
    """Restore the handling of Ctrl-C, which shells disable for background processes."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def line_of(given, *options):
    return [sys.executable, "-m", "alsim", "train", *given, "--import", "fatal_seeds", "--seeds", "2", *options]


@pytest.mark.ci
@pytest.mark.parametrize(
    "number", [signal.SIGINT, *(pytest.param(n, marks=pytest.mark.ci) for n in (signal.SIGTERM, signal.SIGKILL))]
)
def test_a_killed_command_leaves_no_process_and_is_resumed(given, tmp_path, number):
    Path("fatal_seeds.py").write_text(FATAL)
    for seed in (0, 1):
        Path(f"fate-seed-{seed}").write_text("wait")
    line = line_of(given, "--processes", "2", "-o", "runs")
    started = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "preexec_fn": as_of_a_terminal}
    # In a new process group, because Ctrl-C reaches the whole group.
    with subprocess.Popen(line, process_group=0, **started) as process:
        until(lambda: len(list(tmp_path.glob("pid-*"))) == 2, process)
        pids = [int(file.name.removeprefix("pid-")) for file in tmp_path.glob("pid-*")]
        (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
        printed, message = process.communicate(timeout=60)
    assert printed == ""
    until(lambda: not any(map(is_alive, pids)), seconds=10)
    if number == signal.SIGKILL:
        assert process.returncode == -number
    else:
        assert process.returncode == 128 + number
        assert message.splitlines()[-1].startswith(
            "alsim: interrupted; 0 of 2 trainings are finished; the same command"
        )
    assert "Traceback" not in message
    for file in tmp_path.glob("fate-*"):
        file.unlink()
    resumed = subprocess.run(line, capture_output=True, text=True, timeout=300, check=False)
    assert resumed.returncode == 0, resumed.stderr
    assert "0 of 2 seeds finished before; 2 trainings resumed from the last checkpoint" in resumed.stderr
    assert resumed.stderr.count("too few to learn much") == 1  # not once per process
    summary = json.loads(Path("runs/summary.json").read_text())
    assert [training["breaks"] for training in summary["trainings"]] == [1, 1]
    assert not list(Path("runs").rglob(".*"))


@pytest.mark.ci
def test_a_terminal_shows_one_bar(given, tmp_path):
    Path("fatal_seeds.py").write_text(FATAL)
    Path("fate-seed-1").write_text("wait")
    environment = os.environ | {"COLUMNS": "80", "TERM": "xterm"}
    with Terminal(line_of(given, "--processes", "2", "-o", "runs"), env=environment, cwd=tmp_path) as terminal:
        assert "256 interactions" in terminal.read_until("1 of 2 seeds finished") + terminal.read_until("interactions")
    assert json.loads(Path("runs", SETTINGS).read_text())["seeds"] == 2
