"""Trainings with alsim's own algorithms: files, resuming, kills, and reproducibility."""

import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from alsim.evaluation.held_out import HeldOut
from alsim.jit.compile import COMPILED
from alsim.policies.network import NetworkPolicy
from alsim.rollouts.rollout import rollout
from alsim.training import TrainingError, read_curve, run, train
from alsim.training.native import check_arrays, one_blas_thread
from alsim.utils.files import sha256, to_json

SMALL = {"num_los": 3, "max_episode_steps": 12}
QUICK = {"num_envs": 16, "n_steps": 8, "minibatches": 2, "net_arch": [8], "steps": 1024}
ALGORITHMS = ["ppo", "dqn"]
FILES = {"curve.csv", "evaluation.json", "policy.json", "policy.npz", "settings.json"}


@pytest.fixture(autouse=True)
def _few_learners(monkeypatch):
    """In the interpreter, evaluations on 1,000 learners would take most of the time."""
    if not COMPILED:
        monkeypatch.setattr(run, "FINAL", HeldOut(run.FINAL.first, 6))
        monkeypatch.setattr(run, "SELECTION", HeldOut(run.SELECTION.first, 4))


def quick(algorithm, out, **given):
    hyperparameters = {**QUICK, **given.pop("hyperparameters", {})}
    return train(algorithm, out=out, config=SMALL, hyperparameters=hyperparameters, eval_every=256, **given)


def columns(rows):
    """Return the rows without their seconds."""
    return [row._replace(seconds=0.0) for row in rows]


@pytest.mark.ci
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_files_of_a_training(algorithm, tmp_path):
    out, moments = tmp_path / "deeper" / "run", []
    training = quick(algorithm, out, progress=moments.append)
    assert {entry.name for entry in out.iterdir()} - {"curve.png"} == FILES  # the figure needs matplotlib
    assert moments[-1].steps == moments[-1].total == 1024

    rows = read_curve(out / "curve.csv")
    evaluated = [row for row in rows if row.evaluated]
    assert [row.steps for row in evaluated] == [*range(0, 1024, 256), 1024]
    assert sum(row.episodes for row in rows) >= 1024 // 12 - 16

    found = json.loads((out / "evaluation.json").read_text())
    best = max(evaluated, key=lambda row: row.eval_return)
    assert found["training"]["best_steps"] == best.steps
    assert set(found["training"]["versions"]) == {"alsim", "numpy", "numba"}
    assert NetworkPolicy.load(out).digest == training.policy.digest
    assert training.policy.acting == {"ppo": "sample", "dqn": "epsilon"}[algorithm]

    judged = rollout(str(out), num_learners=run.FINAL.num_learners, first_learner=2**31, seed=0, config=SMALL).metrics
    returns = found["policies"][algorithm]["cumulative_reward"]
    assert returns["mean"] == pytest.approx(judged.cumulative_reward.mean(), rel=1e-12)
    selected = rollout(
        str(out), num_learners=run.SELECTION.num_learners, first_learner=2**31 + 2**30, seed=0, config=SMALL
    ).metrics
    assert best.eval_return == pytest.approx(selected.cumulative_reward.mean(), rel=1e-5)  # six digits in the file


def blas_threads():
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


def test_trainings_at_the_same_time_share_the_limit_of_one_thread():
    with threadpool_limits(2, "blas"):
        first, second = one_blas_thread(), one_blas_thread()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert set(blas_threads()) == {1}  # the second training still runs
        second.__exit__(None, None, None)
        assert set(blas_threads()) == {2}


class Stop(Exception):
    """Raised to interrupt a training."""


def interrupted_at(steps):
    def progress(moment):
        if moment.steps >= steps:
            raise Stop

    return progress


SCALED = {"normalize_observations": True, "normalize_rewards": True}


@pytest.mark.ci
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("settings", [{}, SCALED], ids=["plain", "scaled"])
def test_an_interrupted_training_gives_the_same_bits(algorithm, settings, tmp_path):
    whole = quick(algorithm, tmp_path / "whole", hyperparameters=settings)
    for steps in (0, 384, 768):  # at and between checkpoints
        with pytest.raises(Stop):
            quick(algorithm, tmp_path / "run", hyperparameters=settings, progress=interrupted_at(steps))
    resumed = quick(algorithm, tmp_path / "run", hyperparameters=settings)
    assert resumed.evaluation["training"]["breaks"] == 3
    assert resumed.policy.digest == whole.policy.digest
    files = [read_curve(tmp_path / name / "curve.csv") for name in ("run", "whole")]
    assert columns(files[0]) == columns(files[1])
    for key in ("policies", "learners"):
        assert resumed.evaluation[key] == whole.evaluation[key]


@pytest.mark.heavy
def test_a_training_resumed_by_other_versions_says_so(tmp_path, monkeypatch, caplog):
    with pytest.raises(Stop):
        quick("ppo", tmp_path / "run", progress=interrupted_at(384))
    monkeypatch.setattr(run, "version", lambda name: {"numpy": "9.8.7"}.get(name, version(name)))
    with caplog.at_level("INFO", "alsim.training"):
        quick("ppo", tmp_path / "run")
    (message,) = [text for text in caplog.messages if "versions" in text]
    assert message.startswith(f"versions changed since the checkpoint: numpy {version('numpy')} to 9.8.7; the result")


def command(out, steps):
    hyperparameters = out.parent / "settings.toml"
    hyperparameters.write_text("num_envs = 16\nn_steps = 8\nminibatches = 2\nnet_arch = [8]\n")
    (out.parent / "small.toml").write_text("num_los = 3\nmax_episode_steps = 12\n")
    return [
        *(sys.executable, "-m", "alsim", "train", "ppo", "-o", str(out), "--steps", str(steps)),
        *("--settings", str(hyperparameters), "--config", str(out.parent / "small.toml"), "--eval-every", "512"),
    ]


@pytest.mark.compiled
@pytest.mark.ci
def test_a_killed_training_gives_the_same_bits(tmp_path):
    """SIGKILL at several moments; then the same command resumes."""
    steps = 64_000
    whole, run = tmp_path / "whole", tmp_path / "run"
    subprocess.run(command(whole, steps), check=True, capture_output=True)
    kills = 0
    for _ in range(20):
        process = subprocess.Popen(command(run, steps), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        checkpoints = run / "checkpoints"
        before = set(checkpoints.iterdir()) if checkpoints.is_dir() else set()
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if checkpoints.is_dir() and len(set(checkpoints.iterdir()) - before) > 0 and kills < 5:
                time.sleep(0.05 * kills)
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.01)
        if process.wait(60) == 0:
            break
        kills += 1
    assert kills >= 2
    assert NetworkPolicy.load(run).digest == NetworkPolicy.load(whole).digest
    assert columns(read_curve(run / "curve.csv")) == columns(read_curve(whole / "curve.csv"))


def test_other_settings_are_refused(tmp_path):
    with pytest.raises(Stop):
        quick("ppo", tmp_path / "run", progress=interrupted_at(384))
    with pytest.raises(TrainingError, match=r"other settings: hyperparameters.gamma was 0.95 and is now 0.5; the same"):
        quick("ppo", tmp_path / "run", hyperparameters={"gamma": 0.5})
    with pytest.raises(TrainingError, match='algorithm was "ppo" and is now "dqn"'):
        quick("dqn", tmp_path / "run")


def test_a_training_of_another_version_is_refused_with_the_cure(tmp_path):
    with pytest.raises(Stop):
        quick("ppo", tmp_path / "run", progress=interrupted_at(384))
    settings = tmp_path / "run" / "settings.json"
    settings.write_text(settings.read_text().replace('"alsim_training": 2', '"alsim_training": 1'))
    with pytest.raises(
        TrainingError, match="of another version: alsim_training is 1, .* reads 2; force=True"
    ) as raised:
        quick("ppo", tmp_path / "run")
    assert "the same settings" not in str(raised.value)


def test_a_training_without_its_learning_curve_is_refused_with_the_cure(tmp_path):
    with pytest.raises(Stop):
        quick("ppo", tmp_path / "run", progress=interrupted_at(384))
    (tmp_path / "run" / "curve.csv").unlink()
    with pytest.raises(
        TrainingError, match=r"No such file or directory; force=True \(--force\) starts the training again$"
    ):
        quick("ppo", tmp_path / "run")


def rewrite(checkpoint, name, change):
    """Change a file of a checkpoint, and its checksum."""
    content = change((checkpoint / name).read_bytes())
    (checkpoint / name).write_bytes(content)
    sums = json.loads((checkpoint / "sums.json").read_text())
    (checkpoint / "sums.json").write_bytes(to_json({**sums, name: sha256(content)}))


def version_2(content):
    return json.dumps({**json.loads(content), "version": 2}).encode()


def without_random(content):
    values = json.loads(content)
    del values["random"]
    return json.dumps(values).encode()


def hostile_random(content):
    return json.dumps({**json.loads(content), "random": {"bit_generator": "PCG64", "state": {"state": "x"}}}).encode()


def bomb():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("parameters.npy", bytes(10**8))
    return stream.getvalue()


def pickled():
    stream = io.BytesIO()
    np.savez(stream, parameters=np.array([object()], dtype=object))
    return stream.getvalue()


@pytest.mark.ci
@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("counters.json", version_2, "it has version 2, and this version of alsim reads 1"),
        ("counters.json", without_random, "random"),
        ("counters.json", lambda content: b"{", "Expecting|JSON"),
        ("counters.json", lambda content: b"[" * 10**5, "damaged"),
        ("counters.json", lambda content: b"[]", "damaged"),
        ("counters.json", hostile_random, "damaged"),
        ("arrays.npz", lambda content: bomb(), "unpacks to"),
        ("arrays.npz", lambda content: pickled(), "damaged"),
        ("arrays.npz", lambda content: content[:-40], "zip"),
        ("best", lambda content: b"", "zip"),
    ],
    ids=[
        *("version", "no-random-numbers", "cut-json", "deep-json", "list", "hostile-random-numbers"),
        *("bomb", "pickle", "cut-arrays", "no-best"),
    ],
)
def test_a_checkpoint_of_another_version_or_a_damaged_one_is_an_error(name, change, message, tmp_path):
    out = tmp_path / "run"
    with pytest.raises(Stop):
        quick("ppo", out, progress=interrupted_at(384))
    (checkpoint,) = (out / "checkpoints").iterdir()
    rewrite(checkpoint, name, change)
    with pytest.raises(TrainingError, match=message) as raised:
        quick("ppo", out)
    assert str(raised.value).startswith(f"{checkpoint} is damaged: ") and "--force" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert quick("ppo", out, force=True).evaluation["training"]["breaks"] == 0


def test_arrays_of_other_versions_are_named():
    ours = {"a": np.zeros(3), "b": np.zeros(2, np.int64)}
    check_arrays(ours, ours)
    with pytest.raises(ValueError, match="its array a is missing; this version of alsim expects float64"):
        check_arrays({"b": ours["b"]}, ours)
    with pytest.raises(ValueError, match="its array c is float64 .*; this version of alsim expects no such array"):
        check_arrays({**ours, "c": np.zeros(1)}, ours)
    with pytest.raises(ValueError, match="its array b is int64"):
        check_arrays({**ours, "b": np.zeros(3, np.int64)}, ours)


def test_rewards_that_are_not_finite_stop_a_training(tmp_path, monkeypatch):
    from alsim.envs.raw_infos import RawInfoVectorEnv

    step = RawInfoVectorEnv.step

    def broken(self, actions):
        observations, rewards, *rest = step(self, actions)
        return observations, rewards * np.nan, *rest

    monkeypatch.setattr(RawInfoVectorEnv, "step", broken)
    with pytest.raises(TrainingError, match="the reward that the environment returned is not finite: nan in lane 0"):
        quick("ppo", tmp_path / "run")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_training_that_diverges_is_an_error(algorithm, tmp_path):
    with pytest.raises(TrainingError, match=f"{tmp_path / 'run'}: the training diverged: after .*lower learning_rate"):
        quick(algorithm, tmp_path / "run", hyperparameters={"learning_rate": 1e7, "final_learning_rate": 1e7})


PRINT_PARAMETERS = """
import sys
import numpy as np
from alsim import training
agent = training.{algorithm}({{"num_los": 3, "max_episode_steps": 12}}, num_envs=16, n_steps=8, minibatches=2,
    net_arch=(8,), steps=256, seed=1)
np.concatenate([array.ravel() for layer in agent.network.layers for array in layer]).tofile({file!r})
"""


@pytest.mark.ci
@pytest.mark.compiled
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_interpreter_gives_the_same_network_within_rounding(algorithm, tmp_path):
    networks = []
    for disabled in "01":
        file = str(tmp_path / disabled)
        code = PRINT_PARAMETERS.format(algorithm=algorithm, file=file)
        environment = {**os.environ, "NUMBA_DISABLE_JIT": disabled}
        subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=Path(__file__).parents[2])
        networks.append(np.fromfile(file, np.float32))
    assert len(networks[0]) == 6 * 8 + 9 * 27
    np.testing.assert_allclose(networks[0], networks[1], atol=1e-5)
