"""Trainings without optional dependencies: hyperparameters, directories, curves, statistics and errors."""

import importlib
import json
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

import alsim
from alsim.config import REWARD_PRESETS, Config
from alsim.evaluation.estimates import estimate, half_width
from alsim.evaluation.held_out import FINAL, SELECTION, HeldOut, evaluate, is_specified, under_specified_reward
from alsim.evaluation.statistics import share
from alsim.evaluation.student_t import t_quantile
from alsim.rollouts.rollout import rollout
from alsim.training import TrainingError, directory, read_curve
from alsim.training.curve import Row, points, write_curve
from alsim.training.plan import bank_digest, read_plan
from alsim.training.run import Run, train
from alsim.training.settings import DQN, HYPERPARAMETERS, PPO, SB3DQN, SB3PPO, read_hyperparameters
from alsim.types import FIRST_HELD_OUT

SMALL = Config.read({"num_los": 3, "max_episode_steps": 12})


# ── hyperparameters ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("algorithm", ["ppo", "dqn"])
@pytest.mark.parametrize("backend", HYPERPARAMETERS)
def test_hyperparameters_survive_toml(algorithm, backend, tmp_path):
    default = read_hyperparameters(algorithm, None, backend=backend)
    lines = []
    for key, value in json.loads(default.model_dump_json()).items():
        lines.append(f"{key} = {json.dumps(value)}")
    (tmp_path / "h.toml").write_text("\n".join(lines))
    for source in (tmp_path / "h.toml", default.model_dump(), default):
        assert read_hyperparameters(algorithm, source, backend=backend) == default


def test_overrides_replace_values_of_the_source():
    read = read_hyperparameters("ppo", {"steps": 5, "num_envs": 8, "gamma": 0.5}, steps=7, num_envs=None)
    assert (read.steps, read.num_envs, read.gamma) == (7, 8, 0.5)


@pytest.mark.parametrize(
    ("algorithm", "given", "message"),
    [
        ("ppo", {"learning_rat": 1}, "learning_rat = 1: unknown key; expected one of steps, num_envs, learning_rate,"),
        ("ppo", {"learning_rate": 0}, "learning_rate = 0: expected a number > 0"),
        ("ppo", {"learning_rate": "fast"}, "learning_rate = 'fast': expected a number"),
        ("ppo", {"learning_rate": True}, "learning_rate = True: expected a number"),
        ("ppo", {"gamma": 1.5}, "gamma = 1.5: expected a number <= 1"),
        ("ppo", {"num_envs": "40"}, "num_envs = '40': expected an integer"),
        ("ppo", {"steps": 2.5}, "steps = 2.5: expected an integer"),
        ("ppo", {"steps": 0}, "steps = 0: expected a number >= 1"),
        ("ppo", {"net_arch": [64, 0]}, "net_arch.1 = 0: expected a number >= 1"),
        ("ppo", {"net_arch": 64}, "net_arch = 64: expected a list of numbers"),
        ("ppo", {"activation": "elu"}, "activation = 'elu': expected 'tanh' or 'relu'"),
        ("ppo", {"minibatches": 7}, "minibatches must divide num_envs * n_steps = 4096 into equal parts"),
        ("ppo", {"num_envs": 1, "n_steps": 1, "minibatches": 1}, "into equal parts of at least 2; got 1"),
        ("dqn", {"buffer_size": 10}, "buffer_size = 10: unknown key"),
        ("dqn", {"n_steps": 3, "num_envs": 5}, "minibatches must divide num_envs * n_steps = 15 into equal parts"),
        ("ppo", {"normalize_rewards": "yes"}, "normalize_rewards = 'yes': expected true or false"),
        ("sac", {}, "algorithm must be one of 'ppo', 'dqn'; got 'sac'"),
        ("ppo", 5, "hyperparameters must be PPO, a mapping or a TOML file; got 5"),
        ("ppo", DQN(), "hyperparameters must be PPO, a mapping or a TOML file; got"),
        ("ppo", SB3PPO(), "hyperparameters must be PPO, a mapping or a TOML file; got"),
    ],
)
def test_invalid_hyperparameters_are_an_error(algorithm, given, message):
    with pytest.raises(TrainingError) as raised:
        read_hyperparameters(algorithm, given)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"buffer_size": 10}, "buffer_size must be at least num_envs = 64; got 10"),
        ({"n_steps": 10}, "n_steps = 10: unknown key"),
    ],
)
def test_hyperparameters_of_stable_baselines3(given, message):
    with pytest.raises(TrainingError, match=f"^{message}"):
        read_hyperparameters("dqn", given, backend="sb3")
    with pytest.raises(TrainingError, match="backend must be one of 'alsim', 'sb3'; got 'torch'"):
        read_hyperparameters("dqn", given, backend="torch")


@pytest.mark.parametrize(
    ("algorithm", "backend", "given", "end"),
    [
        ("ppo", "alsim", {"torch_threads": 2}, "normalize_rewards; backend='sb3' (--backend sb3) has torch_threads"),
        (
            "dqn",
            "alsim",
            {"buffer_size": 9, "train_freq": 1},
            "; backend='sb3' (--backend sb3) has buffer_size, train_freq",
        ),
        ("dqn", "sb3", {"q_lambda": 0.5}, "torch_threads; backend='alsim' (--backend alsim) has q_lambda"),
        ("ppo", "alsim", {"buffer_size": 9}, "normalize_rewards"),
    ],
)
def test_keys_of_another_backend_are_an_error_that_names_it(algorithm, backend, given, end):
    with pytest.raises(TrainingError) as raised:
        read_hyperparameters(algorithm, given, backend=backend)
    assert str(raised.value).endswith(end)


def test_an_invalid_file_is_an_error(tmp_path):
    for name, text in (("none.toml", None), ("broken.toml", "steps ="), ("wrong.toml", "steps = 0")):
        if text is not None:
            (tmp_path / name).write_text(text)
        with pytest.raises(TrainingError, match=f"^{tmp_path / name}: "):
            read_hyperparameters("ppo", tmp_path / name)


# ── plans ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("algorithm", "steps", "total"),
    [
        *[("ppo", 400_000, 401_408), ("ppo", 4_096, 4_096), ("ppo", 1, 4_096)],
        *[("dqn", 409_600, 409_600), ("dqn", 409_601, 413_696)],
    ],
)
def test_the_number_of_interactions_is_rounded_up_to_complete_rollouts(algorithm, steps, total):
    read = read_hyperparameters(algorithm, None, steps=steps)
    assert (read.steps, read.total_steps) == (steps, total)
    assert total % read.rollout_steps == 0


@pytest.mark.parametrize(("steps", "noted"), [(1, True), (20_000, True), (10 * 4_096, False)])
def test_a_training_with_few_rollouts_logs_the_cure(steps, noted, caplog):
    started = SimpleNamespace(plan=plan(steps=steps), breaks=0)
    with caplog.at_level("INFO", "alsim.training"):
        Run._log_start(started)
    assert ("too few to learn much" in caplog.text and "--num-envs" in caplog.text) is noted
    assert ("1 interaction is rounded up to 4,096: 1 rollout of 4,096" in caplog.text) is (steps == 1)
    assert " 1 rollouts" not in caplog.text


OPTIONAL = ("hyperparameters", "steps", "num_envs", "config", "bank", "dynamics", "reward", "eval_every")


def plan(**given):
    fixed = {"algorithm": "ppo", "seed": 0, "observation": "mastery", "num_threads": 1}
    return read_plan(**{**fixed, **dict.fromkeys(OPTIONAL), **given})


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["", "rules", "uniform", "a\nb", 3])
def test_an_invalid_name_of_the_policy_is_refused_before_the_training(name):
    with pytest.raises(TrainingError, match="name"):
        plan(name=name)
    assert (plan().name, plan(algorithm="dqn").name, plan(name="mine").name) == ("ppo", "dqn", "mine")


def evaluations_of(settings):
    """The interactions at which a training with these settings evaluates, by the loop of `Run`."""
    chosen, at = plan(**settings), []
    for steps in range(0, chosen.hyperparameters.total_steps, chosen.hyperparameters.rollout_steps):
        if not at or steps - at[-1] >= chosen.eval_every:
            at.append(steps)
    return [*at, chosen.hyperparameters.total_steps]


def test_the_number_of_evaluations_on_the_page_is_that_of_the_defaults():
    counts = {name: len(evaluations_of({"algorithm": name})) for name in ("ppo", "dqn")}
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    assert f"{counts['ppo']} evaluations with the defaults of PPO, and {counts['dqn']} with those of DQN" in " ".join(
        page.split()
    )


def test_a_reward_replaces_that_of_the_configuration():
    own = {"reward_weights": {"correctness": 7}}
    assert plan(config=own).config.reward_weights.correctness == 7
    assert plan(config=own, reward="learning").config.reward_weights == REWARD_PRESETS["learning"]
    assert plan(reward="learning").config.dynamics == Config().dynamics
    assert is_specified(plan().config) and not is_specified(plan(reward="learning").config)
    assert under_specified_reward(plan(reward="learning").config) == Config()


def test_settings_contain_everything_that_determines_the_result():
    base = plan().settings
    assert json.loads(json.dumps(base)) == base
    others = [
        plan(steps=5),
        plan(num_envs=64),
        plan(seed=1),
        plan(config=SMALL),
        plan(config={"bank": {"seed": 1}}),
        plan(bank=alsim.sample_bank(Config.read({"bank": {"seed": 1}}))),
        plan(dynamics={"name": "standard", "learning_rate": 0.1}),
        plan(reward="learning"),
        plan(observation="responses"),
        plan(eval_every=5),
        plan(algorithm="dqn"),
        plan(name="mine"),
        plan(hyperparameters={"gamma": 0.5}),
    ]
    reports = [json.dumps(p.settings) for p in others]
    assert len({*reports, json.dumps(base)}) == len(others) + 1
    assert plan(num_threads=2).settings == base
    assert bank_digest(alsim.sample_bank(Config())) == base["bank"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"reward": "praise"}, "reward must be one of 'specified', 'learning', 'recall'; got 'praise'"),
        ({"eval_every": 0}, "eval_every must be an integer of at least 1; got 0"),
        ({"seed": -1}, r"seed must be an integer in [0, 2**64); got -1"),
        ({"num_envs": 65_537}, "num_envs = 65537: expected a number <= 65536"),
        ({"observation": "ability"}, "observation must be one of 'mastery', 'responses'; got 'ability'"),
        ({"num_threads": 0}, "num_threads must be an integer of at least 1; got 0"),
    ],
)
def test_invalid_arguments_are_an_error(given, message):
    with pytest.raises(ValueError) as raised:
        plan(**given)
    assert message in str(raised.value)


# ── the directory ────────────────────────────────────────────────────────────────────────────────

SETTINGS = {"seed": 0, "hyperparameters": {"gamma": 0.5, "steps": 10}}


def entries(folder):
    """Return the names of the entries of a folder."""
    return {entry.name for entry in folder.iterdir()}


def finish(out, settings=SETTINGS):
    with directory.open_directory(out, settings, force=False):
        directory.write_checkpoint(out, 5, {"a": b"1"})
        directory.write_json(out / directory.EVALUATION, {})


def test_settings_are_written_first_and_an_unfinished_training_is_resumed(tmp_path):
    out = tmp_path / "deep" / "run"
    with pytest.raises(KeyboardInterrupt), directory.open_directory(out, SETTINGS, force=False):
        assert json.loads((out / "settings.json").read_text()) == {"alsim_training": directory.VERSION, **SETTINGS}
        assert directory.latest_checkpoint(out) is None
        directory.write_checkpoint(out, 5, {"a": b"1"})
        directory.write_checkpoint(out, 70, {"a": b"2"})
        raise KeyboardInterrupt
    with directory.open_directory(out, SETTINGS, force=False):
        last = directory.latest_checkpoint(out)
        assert (last / "a").read_bytes() == b"2" and int(last.name) == 70
        assert len(entries(out / "checkpoints")) == 1
        directory.delete_checkpoints(out)
    assert entries(out) == {"settings.json"}


def test_other_settings_are_refused_with_the_differences(tmp_path):
    out = tmp_path / "run"
    with directory.open_directory(out, SETTINGS, force=False):
        directory.write_checkpoint(out, 5, {"a": b"1"})
    other = {"seed": 1, "hyperparameters": {"gamma": 0.9, "steps": 10}, "new": None, "more": [1]}
    with pytest.raises(TrainingError) as raised, directory.open_directory(out, other, force=False):
        pass
    assert str(raised.value) == (
        f"{out} holds an unfinished training with other settings: seed was 0 and is now 1; "
        "hyperparameters.gamma was 0.5 and is now 0.9; more was null and is now [1]; "
        "the same settings resume it, and force=True (--force) deletes it and starts again"
    )
    with directory.open_directory(out, other, force=True):
        assert directory.latest_checkpoint(out) is None
        assert json.loads((out / "settings.json").read_text()) == {"alsim_training": directory.VERSION, **other}


def test_a_finished_training_is_overwritten_by_force_only(tmp_path):
    out = tmp_path / "run"
    finish(out)
    before = entries(out)
    message = f"{out} already holds a finished training; force=True (--force) overwrites it"
    with pytest.raises(TrainingError) as raised, directory.open_directory(out, SETTINGS, force=False):
        pass
    assert str(raised.value) == message
    assert entries(out) == before
    with directory.open_directory(out, SETTINGS, force=True):
        assert entries(out) == {"settings.json", ".alsim-lock"}


def test_invalid_directories_are_refused(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "diary.txt").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "notes", target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    for out, message in (
        (tmp_path / "file", "is not a directory"),
        (tmp_path / "notes", r"contains other files \(diary.txt\)"),
        (tmp_path / "link", "is a symbolic link"),
        (tmp_path, "is the working directory"),
    ):
        for force in (False, True):
            with pytest.raises(TrainingError, match=message), directory.open_directory(out, SETTINGS, force=force):
                pass
    assert (tmp_path / "notes" / "diary.txt").exists()


def test_files_of_other_programs_are_not_replaced(tmp_path):
    """They have the names of a training's files."""
    for name in ("policy.json", "policy.npz", "model.zip", "curve.csv", "lock"):
        folder = tmp_path / name.replace(".", "-")
        folder.mkdir()
        (folder / name).write_text("dear")
        for force in (False, True):
            with (
                pytest.raises(TrainingError, match=rf"contains other files \({name}\)"),
                directory.open_directory(folder, SETTINGS, force=force),
            ):
                pass
        assert (folder / name).read_text() == "dear"


def test_copies_of_checkpoints_are_kept(tmp_path):
    with directory.open_directory(tmp_path / "run", SETTINGS, force=False) as out:
        directory.write_checkpoint(out, 5, {"a": b"1"})
        copy = out / "checkpoints" / "copy" / "a"
        shutil.copytree(directory.latest_checkpoint(out), copy.parent)
        directory.write_checkpoint(out, 6, {"a": b"2"})
        directory.delete_checkpoints(out)
    assert copy.read_bytes() == b"1"
    with (
        pytest.raises(TrainingError, match=r"contains other files \(checkpoints/copy/a\)"),
        directory.open_directory(out, SETTINGS, force=True),
    ):
        pass
    assert copy.exists()


def test_temporary_files_of_a_killed_process_are_ignored(tmp_path):
    out = tmp_path / "run"
    with directory.open_directory(out, SETTINGS, force=False):
        directory.write_checkpoint(out, 5, {"a": b"1"})
        (out / "checkpoints" / ".x-0123456789abcdef.unfinished").mkdir()
        (out / ".evaluation.json-0123456789abcdef.unfinished").write_text("{")
        (out / ".alsim-lock").touch()
    with directory.open_directory(out, SETTINGS, force=False):
        assert int(directory.latest_checkpoint(out).name) == 5
        directory.write_checkpoint(out, 6, {"a": b"1"})
        assert len(entries(out / "checkpoints")) == 1


def test_a_policy_whose_replacement_was_interrupted_is_renamed_first(tmp_path):
    """A training is then judged by files with their own names, and `force` leaves no journal."""

    def interrupt(out):
        (out / ".policy.json-0123456789abcdef.unfinished").write_text("new")
        moves = {"policy.json": ".policy.json-0123456789abcdef.unfinished"}
        (out / ".policy.json.replacing").write_text(json.dumps({"moves": moves, "obsolete": []}))

    interrupt(tmp_path)
    with pytest.raises(TrainingError, match=r"contains other files \(policy.json\)"):
        directory.check_directory(tmp_path, force=True)
    assert (tmp_path / "policy.json").read_text() == "new"
    finish(tmp_path / "run")
    interrupt(tmp_path / "run")
    with directory.open_directory(tmp_path / "run", SETTINGS, force=True):
        assert entries(tmp_path / "run") == {"settings.json", ".alsim-lock"}
    (tmp_path / "run" / ".policy.json.replacing").write_text("[]")
    with pytest.raises(TrainingError, match="policy.json.replacing is not a journal of alsim: .*; delete it"):
        directory.check_directory(tmp_path / "run", force=True)


def test_a_damaged_checkpoint_is_refused(tmp_path):
    files = {"a": b"1", "b": bytes(1000)}
    directory.write_checkpoint(tmp_path, 5, files)
    checkpoint = directory.latest_checkpoint(tmp_path)
    assert directory.read_checkpoint(checkpoint) == files
    for name, content in (("b", b"\0" * 999 + b"1"), ("b", b""), ("a", None), ("c", b""), ("sums.json", b"[")):
        directory.write_checkpoint(tmp_path, 6, files)
        checkpoint = directory.latest_checkpoint(tmp_path)
        if content is None:
            (checkpoint / name).unlink()
        else:
            (checkpoint / name).write_bytes(content)
        with pytest.raises(TrainingError, match=f"{checkpoint} is damaged: .*; force"):
            directory.read_checkpoint(checkpoint)
        directory.delete_checkpoints(tmp_path)


def test_unfinished_checkpoints_are_deleted_before_the_next_is_written(tmp_path, monkeypatch):
    directory.write_checkpoint(tmp_path, 5, {"a": b"1"})
    (tmp_path / "checkpoints" / "notes.txt").touch()  # a foreign file
    with monkeypatch.context() as patch:

        def full(source, target):
            raise OSError("no space left")

        patch.setattr(os, "replace", full)
        for steps in (6, 7):
            with pytest.raises(OSError, match="no space left"):
                directory.write_checkpoint(tmp_path, steps, {"a": b"2"})
    assert entries(tmp_path / "checkpoints") == {"notes.txt", f"{5:020d}"}
    killed = tmp_path / "checkpoints" / f".{6:020d}-0123456789abcdef.unfinished"
    killed.mkdir()
    (killed / "a").write_bytes(b"2")
    assert directory.read_checkpoint(directory.latest_checkpoint(tmp_path)) == {"a": b"1"}
    directory.write_checkpoint(tmp_path, 8, {"a": b"3"})
    assert entries(tmp_path / "checkpoints") == {"notes.txt", f"{8:020d}"}


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files as Unix does")
def test_a_checkpoint_that_does_not_fit_names_its_path_and_leaves_nothing(tmp_path):
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    directory.write_checkpoint(tmp_path, 5, {"a": b"1"})
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        with pytest.raises(OSError, match="File too large") as raised:
            directory.write_checkpoint(tmp_path, 6, {"a": bytes(5000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(tmp_path / "checkpoints") in str(raised.value)
    assert entries(tmp_path / "checkpoints") == {f"{5:020d}"}


def test_unreadable_settings_are_an_error(tmp_path):
    (tmp_path / "run").mkdir()
    for text in ("{", "[]", '{"theme": "dark"}'):
        (tmp_path / "run" / "settings.json").write_text(text)
        with (
            pytest.raises(
                TrainingError,
                match="settings.json is damaged, or not that of a training; .*delete .* to",
            ),
            directory.open_directory(tmp_path / "run", SETTINGS, force=False),
        ):
            pass


# ── the learning curve ───────────────────────────────────────────────────────────────────────────

CURVE = [
    Row(0, 0.5, 0, None, None, None, None, 30.25, 31.5, 118.0, 0.5, 0.25),
    Row(64, 1.5, 3, -2.0, 20.5, 0.25, 0.0),
]


def test_curves_are_written_and_read(tmp_path):
    file = tmp_path / "curve.csv"
    write_curve(file, CURVE)
    header, *lines = file.read_text().splitlines()
    assert header.split(",") == list(Row._fields)
    assert lines == ["0,0.5,0,,,,,30.25,31.5,118,0.5,0.25", "64,1.5,3,-2,20.5,0.25,0,,,,,"]
    assert read_curve(file) == CURVE
    assert [row.evaluated for row in CURVE] == [True, False]
    assert points(CURVE, "eval_return") == ([0], [30.25])
    assert points(CURVE, "episode_return") == ([64], [-2.0])


HEADER = ",".join(Row._fields) + "\n"


@pytest.mark.parametrize("text", ["", "steps,seconds\n", HEADER + "1,2\n", HEADER + "x\n"])
def test_other_files_are_not_curves(tmp_path, text):
    (tmp_path / "curve.csv").write_text(text)
    with pytest.raises(TrainingError, match="curve.csv is not a learning curve"):
        read_curve(tmp_path / "curve.csv")
    with pytest.raises(TrainingError, match="none.csv is not a learning curve"):
        read_curve(tmp_path / "none.csv")


# ── the evaluation ───────────────────────────────────────────────────────────────────────────────


def test_statistics_equal_those_of_scipy():
    values = np.random.default_rng(0).normal(size=12)
    found = estimate(values).to_dict()
    assert found["mean"] == pytest.approx(values.mean())
    assert found["se"] == pytest.approx(stats.sem(values))
    assert found["ci"] == pytest.approx(stats.t.interval(0.95, 11, values.mean(), stats.sem(values)))
    assert found["n"] == 12


@pytest.mark.parametrize("df", [1, 2, 3, 4, 9, 49, 1000, 10**7])
def test_quantiles_of_students_t_equal_those_of_scipy(df):
    for probability in (0.5, 0.6, 0.9, 0.975, 0.995, 0.9999):
        assert t_quantile(probability, df) == pytest.approx(stats.t.ppf(probability, df), rel=1e-6, abs=1e-12)
    assert half_width(df + 1) == pytest.approx(stats.t.ppf(0.975, df), rel=1e-6)


@pytest.mark.parametrize("successes", [0, 1, 20, 40])
def test_shares_have_wilson_intervals(successes):
    found = share(np.arange(40) < successes).to_dict()
    interval = stats.binomtest(successes, 40).proportion_ci(0.95, method="wilson")
    assert found["mean"] == successes / 40
    assert found["ci"] == pytest.approx([interval.low, interval.high], abs=1e-12)
    assert found["n"] == 40


def test_learners_of_selection_and_evaluation_are_held_out_and_disjoint():
    assert FINAL == (2**31, 1000)
    assert min(FINAL.first, SELECTION.first) >= FIRST_HELD_OUT
    assert FINAL.first + FINAL.num_learners <= SELECTION.first
    assert SELECTION.first + SELECTION.num_learners <= 2**32


def test_an_evaluation_equals_a_rollout():
    bank = alsim.sample_bank(SMALL)
    learners = HeldOut(FIRST_HELD_OUT + 5, 40)
    found = evaluate("uniform", learners, SMALL, bank, observation="mastery", num_threads=2)
    taught = rollout("uniform", num_learners=40, first_learner=FIRST_HELD_OUT + 5, config=SMALL)
    for name, values in {
        "cumulative_reward": taught.metrics.cumulative_reward,
        "total_steps": taught.metrics.total_steps,
        "final_mastery": taught.metrics.final_mastery,
        "give_ups": taught.reason == 3,
    }.items():
        assert found[name]["mean"] == pytest.approx(np.mean(values), rel=1e-12)
        assert found[name]["n"] == 40


# ── what is not installed ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("package", ["torch", "stable_baselines3"])
def test_a_backend_without_its_packages_is_an_error_with_the_command(package, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "alsim.training.sb3", raising=False)
    monkeypatch.delitem(sys.modules, "alsim.envs.sb3", raising=False)
    for name in [name for name in sys.modules if name.startswith("stable_baselines3.")]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("torch", "stable_baselines3"):
        monkeypatch.setitem(sys.modules, name, None if name == package else sys.modules.get(name, json))
    message = "needs (stable-baselines3|torch), which is not installed; install it with `pip install '.\\[sb3"
    with pytest.raises(alsim.AlsimError, match=message):
        train("ppo", backend="sb3", out=tmp_path / "run")
    assert entries(tmp_path) == set()


@pytest.mark.parametrize("module", ["alsim.envs.sb3", "alsim.training.sb3"])
def test_importing_without_packages_is_an_error_with_the_command(module, monkeypatch):
    for name in ("torch", "stable_baselines3", "stable_baselines3.common", "stable_baselines3.common.vec_env"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.delitem(sys.modules, "alsim.envs.sb3", raising=False)
    with pytest.raises(
        ImportError, match=r"alsim\.envs\.sb3 needs .*; install it with `pip install '.\[sb3\]'` in a clone"
    ):
        importlib.import_module(module)


def test_invalid_arguments_are_reported_before_missing_packages(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(TrainingError, match="gamma = 2"):
        train("ppo", out=tmp_path / "run", hyperparameters={"gamma": 2})
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="is not a directory"):
        train("ppo", out=tmp_path / "file")


def test_names_are_imported_on_first_use():
    from alsim import training

    assert (training.PPO, training.DQN) == (PPO, DQN)
    for name in training.__all__:
        assert getattr(training, name).__doc__
    with pytest.raises(AttributeError, match="module 'alsim.training' has no attribute 'sac'"):
        _ = training.sac


def test_the_page_has_every_hyperparameter_and_default():
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    expected = {}
    for column, model in enumerate((PPO, DQN, SB3PPO, SB3DQN)):
        for key, value in json.loads(model().model_dump_json()).items():
            expected.setdefault(key, [""] * 4)[column] = json.dumps(value)
    stated = {}
    for line in page.splitlines():
        cells = [cell.strip().strip("`") for cell in line.split("|")[1:-1]]
        if len(cells) == 6 and cells[0] in expected:
            stated[cells[0]] = cells[1:5]
    assert stated == expected
