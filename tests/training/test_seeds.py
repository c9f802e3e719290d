"""Trainings with several seeds: processes, resuming, directories, and the summary over the seeds."""

import csv
import json
import logging
import os
import pickle
import signal
import subprocess
import sys
from dataclasses import FrozenInstanceError
from types import SimpleNamespace

import numpy as np
import pytest
from seeds_runs import FATAL, QUICK, SMALL, files_of, is_alive, until

import alsim
from alsim.errors import AlsimError, InputTypeError
from alsim.evaluation.held_out import HeldOut
from alsim.policies import NetworkPolicy
from alsim.training import SeedsError, SeedsMoment, TrainingError, read_curve, run, seeds_workers, train, train_seeds
from alsim.training import seeds as seeds_module
from alsim.training.curve import Row
from alsim.training.plan import read_plan
from alsim.training.seeds_summary import Band, bands, over_seeds, write_curves
from alsim.training.seeds_workers import Failure
from alsim.utils import plugins, workers
from alsim.utils.figures import is_figure
from alsim.utils.workers import Raised, dump, one_thread_each, usable_cores

TIMES = ("curve.csv", "curve.png", "evaluation.json")
"""Files of a training with its duration."""


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Write modules for worker processes, and restore what they change in this process."""
    folder = tmp_path / "code"
    folder.mkdir()
    for name, code in (("quick_evaluations", QUICK), ("fatal_seeds", FATAL)):
        (folder / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(plugins, "_imported", {})
    monkeypatch.setattr(run, "FINAL", run.FINAL)
    monkeypatch.setattr(run, "SELECTION", run.SELECTION)
    monkeypatch.setattr(run.directory, "write_checkpoint", run.directory.write_checkpoint)
    yield folder
    for name in ("quick_evaluations", "fatal_seeds"):
        sys.modules.pop(name, None)


@pytest.fixture
def inline(monkeypatch):
    """Train in this process, with evaluations on few learners. The list has the seeds that were trained."""
    trained = []

    def train_in_this_process(plan, out, seeds, processes, progress):
        for seed in seeds:
            folder, own = out / f"seed-{seed}", plan.plan(seed)
            with run.directory.open_directory(folder, own.settings, force=False):
                run.Run(own, folder, lambda moment, seed=seed: progress.stepped(seed, moment.steps)).finish()
            trained.append(seed)
            progress.finished(seed)
        return {}

    monkeypatch.setattr(run, "FINAL", HeldOut(run.FINAL.first, 6))
    monkeypatch.setattr(run, "SELECTION", HeldOut(run.SELECTION.first, 4))
    monkeypatch.setattr(seeds_module, "train_in_processes", train_in_this_process)
    return trained


# ── results ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.ci
def test_processes_write_what_train_writes_for_each_seed(tmp_path, modules):
    plugins.import_modules(["quick_evaluations"])
    moments = []
    out = tmp_path / "runs"
    result = train_seeds(out=out, seeds=2, seed=3, processes=2, progress=moments.append, **SMALL)
    for seed, training in zip((3, 4), result.trainings, strict=True):
        alone = train(out=tmp_path / f"alone-{seed}", seed=seed, **SMALL)
        assert training.path == out / f"seed-{seed}"
        assert {*files_of(training.path)} == {*files_of(alone.path)}
        assert files_of(training.path, TIMES) == files_of(alone.path, TIMES)
        assert training.evaluation["policies"] == alone.evaluation["policies"]
        assert NetworkPolicy.load(training.path).name == "ppo"
    own = {name for name in files_of(out) if "/" not in name}
    assert own | {"curves.png"} == {"settings.json", "summary.json", "curves.csv", "curves.png"}
    assert json.loads((out / "summary.json").read_text()) == result.summary
    assert (moments[-1].steps, moments[-1].total, moments[-1].finished, moments[-1].seeds) == (512, 512, 2, 2)
    assert {m.training.path.name for m in moments if m.training is not None} == {"seed-3", "seed-4"}
    assert all(a.steps <= b.steps and a.finished <= b.finished for a, b in zip(moments, moments[1:], strict=False))


@pytest.mark.ci
def test_the_summary_has_the_statistics_of_the_final_evaluations(tmp_path, inline):
    result = train_seeds(out=tmp_path / "runs", seeds=3, **SMALL)
    assert inline == [0, 1, 2]
    summary = result.summary
    for metric in ("cumulative_reward", "total_steps", "final_mastery", "give_ups"):
        values = [t.evaluation["policies"]["ppo"][metric]["mean"] for t in result.trainings]
        assert [entry["metrics"][metric] for entry in summary["trainings"]] == values
        statistics = summary["metrics"][metric]
        assert statistics["mean"] == pytest.approx(np.mean(values))
        assert statistics["sd"] == pytest.approx(np.std(values, ddof=1))
        assert statistics["se"] == pytest.approx(np.std(values, ddof=1) / np.sqrt(3))
        assert [statistics[key] for key in ("min", "median", "max", "n")] == [*np.quantile(values, (0, 0.5, 1)), 3]
    for name in ("uniform", "rules"):
        assert summary["baselines"][name] == result.trainings[2].evaluation["policies"][name]
    assert summary["training"]["steps"] == 3 * 256
    assert [entry["seed"] for entry in summary["trainings"]] == [0, 1, 2]
    with pytest.raises(FrozenInstanceError):
        result.path = tmp_path
    moment = SeedsMoment(256, 768, 1, 3, result.trainings[0])
    assert repr(moment) == "SeedsMoment(steps=256, total=768, finished=1, seeds=3, training=Training(…))"
    assert repr(result).startswith("SeedTrainings(path=")
    assert len(repr(result)) < 300


@pytest.mark.ci
def test_another_reward_also_has_results_under_the_specified_one(tmp_path, inline):
    result = train_seeds(out=tmp_path / "runs", seeds=2, reward="learning", **SMALL)
    specified = result.summary["under_specified_reward"]
    values = [t.evaluation["under_specified_reward"]["ppo"]["cumulative_reward"]["mean"] for t in result.trainings]
    assert specified["metrics"]["cumulative_reward"]["mean"] == pytest.approx(np.mean(values))
    assert specified["baselines"]["rules"] == result.trainings[0].evaluation["under_specified_reward"]["rules"]


@pytest.mark.ci
def test_curves_have_the_median_and_the_bands_at_each_evaluation(tmp_path, inline):
    out = tmp_path / "runs"
    result = train_seeds(out=out, seeds=3, **SMALL)
    with (out / "curves.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["steps"], row["seeds"]) for row in rows] == [("0", "3"), ("128", "3"), ("256", "3")]
    for k, row in enumerate(rows):
        values = [read_curve(training.path / "curve.csv")[k].eval_return for training in result.trainings]
        expected = np.quantile(values, (0.5, 0.25, 0.75, 0, 1))
        shown = [float(row[f"eval_return_{part}"]) for part in Band._fields]
        np.testing.assert_allclose(shown, expected, rtol=1e-5)
    if (out / "seed-0" / "curve.png").exists():
        assert is_figure(out / "curves.png")


def test_without_matplotlib_the_figure_is_left_out_with_a_note(tmp_path, inline, monkeypatch, caplog):
    for module in (run, seeds_module):
        monkeypatch.setattr(module, "find_spec", lambda name: None)
    with caplog.at_level(logging.INFO, "alsim.training"):
        train_seeds(out=tmp_path / "runs", seeds=1, **SMALL)
    assert not (tmp_path / "runs" / "curves.png").exists()
    assert "curves.png is not drawn, because Matplotlib is not installed: pip install '.[plot]'" in caplog.text


def test_statistics_of_one_seed_have_no_deviation():
    assert over_seeds([2.0]) == {"mean": 2, "sd": None, "se": None, "min": 2, "median": 2, "max": 2, "n": 1}
    equal = over_seeds([0.1] * 7)
    assert (equal["mean"], equal["sd"], equal["se"]) == (0.1, 0, 0)


def test_bands_ignore_rows_without_a_value(tmp_path):
    row = Row(0, 1.0, 0, None, None, None, None)
    curves = [
        [row._replace(eval_return=1.0), row._replace(steps=5)],
        [row._replace(eval_return=3.0), row._replace(steps=7, eval_return=4.0)],
    ]
    assert bands(curves, "eval_return") == {0: Band(2, 1.5, 2.5, 1, 3), 7: Band(4, 4, 4, 4, 4)}
    write_curves(tmp_path / "curves.csv", curves)
    lines = (tmp_path / "curves.csv").read_text().splitlines()
    assert [line.split(",")[:4] for line in lines[1:]] == [["0", "2", "2", "1.5"], ["7", "1", "4", "4"]]
    assert lines[1].endswith(",,")


# ── resuming ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.ci
def test_finished_seeds_are_kept_and_others_resumed(tmp_path, inline, monkeypatch, caplog):
    out = tmp_path / "runs"

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(seeds_module, "train_in_processes", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train_seeds(out=out, seeds=2, **SMALL)
    assert not (out / "summary.json").exists()
    train(out=out / "seed-0", **SMALL)  # the training of a seed is one of `train`
    before = (out / "seed-0" / "policy.npz").stat()
    with caplog.at_level(logging.INFO, "alsim.training"):
        result = train_seeds(out=out, seeds=2, **SMALL)
    assert inline == [1]
    assert "1 of 2 seeds finished before" in caplog.text
    after = (out / "seed-0" / "policy.npz").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    (out / "summary.json").unlink()  # as if the command had been killed just before
    assert train_seeds(out=out, seeds=2, **SMALL).summary == result.summary
    assert inline == [1]


@pytest.mark.ci
def test_other_settings_and_finished_directories_are_refused(tmp_path, inline):
    out = tmp_path / "runs"
    train_seeds(out=out, seeds=2, **SMALL)
    with pytest.raises(TrainingError, match="runs already holds a finished training with several seeds; .*--force"):
        train_seeds(out=out, seeds=2, **SMALL)
    (out / "summary.json").unlink()
    for changes, difference in (
        ({"seeds": 3}, "seeds was 2 and is now 3"),
        ({"seed": 1}, "seed was 0 and is now 1"),
        ({"steps": 512}, r"hyperparameters.steps was 256 and is now 512"),
    ):
        with pytest.raises(TrainingError, match=f"unfinished training with several seeds with other.*{difference}"):
            train_seeds(**{"out": out, "seeds": 2, **SMALL, **changes})
    train_seeds(out=out, seeds=1, seed=1, force=True, **SMALL)
    assert {path.name for path in out.iterdir() if path.is_dir()} == {"seed-1"}
    assert inline == [0, 1, 1]


@pytest.mark.ci
def test_a_seed_with_other_settings_is_refused(tmp_path, inline):
    out = tmp_path / "runs"
    train_seeds(out=out, seeds=2, **SMALL)
    (out / "summary.json").unlink()
    file = out / "seed-1" / "settings.json"
    file.write_text(file.read_text().replace('"seed": 1', '"seed": 7'))
    with pytest.raises(TrainingError, match="seed-1 holds .* training with other settings: seed was 7 and is now 1"):
        train_seeds(out=out, seeds=2, **SMALL)


@pytest.mark.ci
def test_foreign_files_are_never_overwritten(tmp_path, inline):
    out = tmp_path / "runs"
    train_seeds(out=out, seeds=2, **SMALL)
    for name in ("notes.txt", "seed-0/notes.txt", "seed-1/checkpoints/notes.txt", "seed-2/settings.json", "seed-x"):
        file = out / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("mine")
        with pytest.raises(TrainingError, match="contains other files .*; choose a new or empty directory"):
            train_seeds(out=out, seeds=2, force=True, **SMALL)
        assert file.read_text() == "mine"
        file.unlink()
        if file.parent.name in ("seed-2", "checkpoints"):
            file.parent.rmdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "settings.json").write_text("{}")
    with pytest.raises(TrainingError, match=r"settings.json is damaged, or not that of a training with several seeds"):
        train_seeds(out=tmp_path / "other", seeds=2, force=True, **SMALL)
    (out / "seed-0").rename(tmp_path / "moved")
    (out / "seed-0").symlink_to(tmp_path / "moved")
    with pytest.raises(TrainingError, match="seed-0 is a symbolic link"):
        train_seeds(out=out, seeds=2, force=True, **SMALL)
    assert (tmp_path / "moved" / "policy.npz").exists()


@pytest.mark.ci
def test_one_seed_and_several_do_not_share_a_directory(tmp_path, inline):
    train(out=tmp_path / "one", **SMALL)
    train_seeds(out=tmp_path / "several", seeds=1, **SMALL)
    with pytest.raises(TrainingError, match="one holds a training with one seed; choose a new or empty directory"):
        train_seeds(out=tmp_path / "one", seeds=2, force=True, **SMALL)
    with pytest.raises(TrainingError, match="several holds a training with several seeds; pass the number of seeds"):
        train(out=tmp_path / "several", force=True, **SMALL)
    with pytest.raises(AlsimError, match="holds a training with several seeds; pass the directory of one, such as"):
        alsim.make_policy(str(tmp_path / "several"))


def test_a_directory_in_use_is_refused(tmp_path, inline, monkeypatch):
    out = tmp_path / "runs"

    def train_again(*_):
        with pytest.raises(TrainingError, match="runs is in use by another process"):
            train_seeds(out=out, seeds=2, **SMALL)
        raise KeyboardInterrupt

    monkeypatch.setattr(seeds_module, "train_in_processes", train_again)
    with pytest.raises(KeyboardInterrupt):
        train_seeds(out=out, seeds=2, **SMALL)


@pytest.mark.ci
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("evaluation.json", "{", "evaluation.json cannot be read"),
        ("evaluation.json", "{}", "seed-1 has no evaluation of this version of alsim: KeyError"),
        ("policy.json", "{", "seed-1/policy.json"),
        ("curve.csv", "", "curve.csv is not a learning curve"),
    ],
)
def test_a_damaged_training_is_named(tmp_path, inline, name, content, message):
    out = tmp_path / "runs"
    train_seeds(out=out, seeds=2, **SMALL)
    (out / "summary.json").unlink()
    (out / "seed-1" / name).write_text(content)
    with pytest.raises(TrainingError, match=message):
        train_seeds(out=out, seeds=2, **SMALL)


# ── invalid arguments ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": 0}, "seeds must be an integer of at least 1; got 0"),
        ({"seeds": 2.5}, "seeds must be an integer of at least 1; got 2.5"),
        ({"seeds": 10_001}, "seeds must be at most 10,000; got 10,001"),
        ({"seed": 2**64 - 2, "seeds": 3}, r"the last seed, seed \+ seeds - 1, must be at most 2\*\*64 - 1"),
        ({"processes": 0}, "processes must be an integer of at least 1; got 0"),
        ({"name": "rules"}, "name must differ from uniform and rules"),
        ({"algorithm": "sac"}, "algorithm must be one of 'ppo', 'dqn'; got 'sac'"),
    ],
)
def test_invalid_arguments_are_refused_before_anything_is_written(tmp_path, inline, changes, message):
    with pytest.raises(AlsimError, match=message):
        train_seeds(**{"out": tmp_path / "runs", "seeds": 2, **SMALL, **changes})
    assert not (tmp_path / "runs").exists()


def test_by_default_the_processes_share_the_cores(tmp_path, inline, monkeypatch):
    seen = []
    monkeypatch.setattr(seeds_module, "train_in_processes", lambda *given: seen.append(given[3]) or {0: Failure("it")})
    monkeypatch.setattr(seeds_module, "usable_cores", lambda: 8)
    for changes in ({}, {"num_threads": 3}, {"num_threads": 9}, {"processes": 5}):
        with pytest.raises(SeedsError, match="seed 0 failed: it; 0 of 1 training in .* are finished and kept"):
            train_seeds(out=tmp_path / "runs", seeds=1, force=True, **SMALL, **changes)
    assert seen == [8, 2, 1, 5]


def test_kernels_are_compiled_before_the_processes_start(tmp_path, inline, monkeypatch):
    plans = []
    monkeypatch.setattr(seeds_module, "COMPILED", True)
    monkeypatch.setattr(seeds_module, "_train_briefly", lambda plan: plans.append(plan) or 1 / 0.0)
    with pytest.raises(ZeroDivisionError):
        train_seeds(out=tmp_path / "runs", seeds=2, processes=2, **SMALL)
    monkeypatch.undo()
    seeds_module.compile_training(plans[0])  # runs one rollout


# ── failures ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.ci
@pytest.mark.versionless
def test_a_killed_process_loses_no_other_seed_and_is_resumed(tmp_path, modules):
    plugins.import_modules(["fatal_seeds"])
    (modules / "fate-seed-1").write_text("killed")
    out = tmp_path / "runs"
    with pytest.raises(SeedsError) as raised:
        train_seeds(out=out, seeds=3, processes=2, **SMALL)
    message = str(raised.value)
    assert f"seed 1 failed: {out / 'seed-1'}: its process was killed by SIGKILL; the same command resumes" in message
    assert message.endswith(f"2 of 3 trainings in {out} are finished and kept")
    assert [*raised.value.failures] == [1]
    assert not (out / "summary.json").exists()
    assert [path.name for path in (out / "seed-1" / "checkpoints").iterdir()] == [f"{128:020d}"]
    result = train_seeds(out=out, seeds=3, processes=2, **SMALL)
    assert [training.evaluation["training"]["breaks"] for training in result.trainings] == [0, 1, 0]
    alone = train(out=tmp_path / "alone", seed=1, **SMALL)
    assert files_of(out / "seed-1", TIMES) == files_of(alone.path, TIMES)


@pytest.mark.versionless
@pytest.mark.ci
@pytest.mark.parametrize(
    ("fates", "message"),
    [
        ({1: "diverged"}, "seed 1 failed: it diverged; use a lower learning_rate; 1 of 2 trainings in "),
        ({1: "full"}, "seed 1 failed: OSError: .*No space left on device; correct the cause, and the same command"),
        ({0: "bug", 1: "bug"}, r"seed 0 \(also 1\) failed: KeyError: 'lost'; 0 of 2 trainings in "),
    ],
)
def test_an_exception_in_a_process_names_its_seed(tmp_path, modules, fates, message):
    plugins.import_modules(["fatal_seeds"])
    for seed, fate in fates.items():
        (modules / f"fate-seed-{seed}").write_text(fate)
    with pytest.raises(SeedsError, match=message) as raised:
        train_seeds(out=tmp_path / "runs", seeds=2, processes=2, **SMALL)
    assert [*raised.value.failures] == [*fates]
    assert ("Traceback" in str(raised.value.__cause__)) is ("bug" in fates.values())


def test_a_seeds_error_can_be_pickled():
    error = pickle.loads(pickle.dumps(SeedsError("failed", {3: "diverged"})))
    assert (str(error), error.failures) == ("failed", {3: "diverged"})


@pytest.mark.versionless
@pytest.mark.ci
def test_a_script_without_a_guard_is_told_about_it(tmp_path):
    (tmp_path / "script.py").write_text(f"import alsim\nalsim.training.train_seeds(out='d', seeds=2, **{SMALL})\n")
    done = subprocess.run(
        [sys.executable, "script.py"], capture_output=True, text=True, timeout=300, cwd=tmp_path, check=False
    )
    assert done.returncode == 1
    assert "the process of seed " in done.stderr
    assert 'a script that uses workers needs `if __name__ == "__main__":`' in done.stderr


def test_a_configuration_that_cannot_be_pickled_is_refused():
    class Local:
        pass

    with pytest.raises(InputTypeError, match="the configuration cannot be pickled for the processes of the seeds"):
        seeds_workers._dumped(Local())


# ── workers ──────────────────────────────────────────────────────────────────────────────────────


class Sent:
    """A pipe that keeps what is sent."""

    def __init__(self):
        self.messages = []

    def send(self, message):
        self.messages.append(message)


def worked(monkeypatch, job, folder):
    """Return the messages of a worker that runs in this process."""
    pipe = Sent()
    monkeypatch.setattr(seeds_workers, "depend_on_parent", lambda: None)
    level = logging.getLogger(seeds_workers.LOGGER).level
    seeds_workers._work(pipe, job, 4, folder)
    logging.getLogger(seeds_workers.LOGGER).setLevel(level)
    return pipe.messages


@pytest.mark.ci
def test_a_worker_sends_its_progress(tmp_path, inline, monkeypatch):
    plan = read_plan(**arguments())
    first, *steps, last = worked(monkeypatch, dump(plan), tmp_path / "seed-4")
    assert (first, last) == (None, seeds_workers.FINISHED)
    assert steps[0] == 0
    assert steps[-1] == 256
    assert json.loads((tmp_path / "seed-4" / "settings.json").read_text())["seed"] == 4
    assert isinstance(worked(monkeypatch, dump(plan), tmp_path / "seed-4")[-1], Raised)


def arguments():
    names = ("dynamics", "reward", "bank")
    return {"algorithm": "ppo", "seed": 0, "observation": "mastery", "num_threads": 1, **dict.fromkeys(names), **SMALL}


def test_a_worker_sends_its_exception(tmp_path, monkeypatch):
    (raised,) = worked(monkeypatch, pickle.dumps((["no_such_module"], b"")), tmp_path / "seed-4")
    assert "the module 'no_such_module' cannot be found" in str(raised.error())


def test_numerical_libraries_have_one_thread_in_workers(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    with one_thread_each():
        assert {os.environ[name] for name in workers.ONE_THREAD} == {"1"}
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "OPENBLAS_NUM_THREADS" not in os.environ


def test_the_number_of_usable_cores(monkeypatch):
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)
    monkeypatch.setattr(workers, "os", SimpleNamespace(cpu_count=lambda: 5))
    assert usable_cores() == 5


DRIVER = """
import json, sys
sys.path.insert(0, sys.argv[1])
import alsim
from alsim.utils.plugins import import_modules

if __name__ == "__main__":
    import_modules(["fatal_seeds"])
    alsim.training.train_seeds(**json.loads(sys.argv[2]))
"""


@pytest.mark.versionless
@pytest.mark.ci
def test_the_processes_end_with_a_killed_parent(tmp_path, modules):
    (modules / "driver.py").write_text(DRIVER)
    for seed in (0, 1):
        (modules / f"fate-seed-{seed}").write_text("wait")
    given = json.dumps({"out": str(tmp_path / "runs"), "seeds": 2, "processes": 2, **SMALL})
    line = [sys.executable, str(modules / "driver.py"), str(modules), given]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as driver:
        until(lambda: len(list(modules.glob("pid-*"))) == 2, driver)
        pids = [int(file.name.removeprefix("pid-")) for file in modules.glob("pid-*")]
        assert all(map(is_alive, pids))
        driver.send_signal(signal.SIGKILL)
        driver.communicate(timeout=60)
    until(lambda: not any(map(is_alive, pids)), seconds=10)
    for file in modules.glob("fate-*"):
        file.unlink()
    subprocess.run(line, check=True, timeout=300, capture_output=True)
    summary = json.loads((tmp_path / "runs" / "summary.json").read_text())
    assert [training["breaks"] for training in summary["trainings"]] == [1, 1]
