"""Datasets from a Ray cluster, which runs on this machine."""

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from notices import without_notice

from alsim.datasets.generate import generate_dataset
from alsim.datasets.store import DatasetError, load_dataset


def module_of(path):
    """Return a module of tests, by its path below tests/."""
    file = Path(__file__).parents[1] / path
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


scale, plugins = module_of("datasets/test_executors.py"), module_of("cli/test_plugins.py")

RUN, SHARDS, files_of, plain, until = scale.RUN, scale.SHARDS, scale.files_of, scale.plain, scale.until

# Ray does not close all of its files, which does not concern users.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def code(tmp_path_factory):
    """Write a module of policies to a folder."""
    folder = tmp_path_factory.mktemp("code")
    (folder / "policies.py").write_text(scale.POLICIES)
    (folder / "driver.py").write_text(scale.DRIVER)
    return folder


@pytest.fixture
def teachers(tmp_path, monkeypatch, code):
    """The module of policies, and a folder for files named after their processes."""
    (tmp_path / "seen").mkdir()
    monkeypatch.syspath_prepend(code)
    return importlib.import_module("policies")


def test_a_missing_cluster_is_an_error(tmp_path):
    with pytest.raises(DatasetError, match="ray_address = 'auto': no Ray cluster could be reached: ") as caught:
        generate_dataset(**RUN, out=tmp_path / "d", engine="ray", ray_address="auto")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "d").exists()


def test_a_run_with_a_killed_driver_is_resumed(tmp_path, teachers, code):
    environment = {**os.environ, "PYTHONPATH": str(code)}
    arguments = {**RUN, "out": str(tmp_path / "d"), "folder": str(tmp_path / "seen"), "engine": "ray"}

    def drive(seconds):
        reports = json.dumps({**arguments, "seconds": seconds, "num_workers": 2})
        command = [sys.executable, str(code / "driver.py"), str(code), reports]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, process_group=0
        )

    driver = drive(0.5)
    until(lambda: len(scale.sidecars(tmp_path)) >= 2, driver, 120)
    driver.kill()
    driver.wait(60)
    pids = [int(p.name) for p in (tmp_path / "seen").iterdir()]
    until(lambda: not any(map(scale.is_alive, pids)), seconds=60)  # Ray ends the workers of a dead driver
    kept = {file: file.stat().st_mtime_ns for file in scale.sidecars(tmp_path)}
    time.sleep(1)
    assert {file: file.stat().st_mtime_ns for file in scale.sidecars(tmp_path)} == kept
    with pytest.raises(DatasetError, match="holds no finished dataset"):
        load_dataset(tmp_path / "d")
    shards = {p: p.stat().st_ino for n in kept for p in (tmp_path / "d").glob(f"*/part-{n.stem}.parquet")}
    assert len(shards) == 3 * len(kept)
    with drive(0.0) as again:
        _, message = again.communicate(timeout=120)
    assert again.returncode == 0, message
    assert {p: p.stat().st_ino for p in shards} == shards
    assert files_of(tmp_path / "d") == plain(tmp_path, policy=teachers.Slow(str(tmp_path / "seen")))
    for stream in (driver.stdout, driver.stderr):
        stream.close()


def test_the_command_line_starts_a_cluster_whose_workers_import_its_modules(tmp_path):
    """The class of the dynamics' parameters is in another module than its registration."""
    for name, text in plugins.MODULES.items():
        (tmp_path / name).write_text(text)
    line = [sys.executable, "-m", "alsim", "generate", "--learners", "40", "--episodes-per-shard", "40"]
    line += ["--import", "teaching", "--import", "instant", "--policy", "teacher:5", "--config", "instant.toml"]
    # Without Ray first, so that workers, which have a low priority, find compiled code.
    for arguments in (("--out", "plain"), ("--out", "d", "--engine", "ray")):
        done = subprocess.run([*line, *arguments], capture_output=True, text=True, timeout=300, cwd=tmp_path)
        assert (done.returncode, without_notice(done.stderr)) == (0, "")
    assert files_of(tmp_path / "d") == files_of(tmp_path / "plain")


# The following tests share one connection, because starting a cluster takes seconds.


@pytest.fixture(scope="module")
def cluster(code):
    """A cluster of two processors, whose workers can import the policies."""
    import ray

    ray.init(
        "local",
        num_cpus=2,
        log_to_driver=False,
        logging_level="ERROR",
        runtime_env={"env_vars": {"PYTHONPATH": str(code)}},
    )
    yield ray
    ray.shutdown()


LEARNERS = {
    **scale.SMALL,
    "dynamics": "fatigue",
    "classes": {"size": 4, "ability_std": 0.5},
    "population": [{"share": 0.5}, {"share": 0.5, "dynamics": {"learning_rate": 0.1}}],
    "sessions": {"interactions": 3, "break_hours": 24},
}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"file_format": "arrow", "store_observations": False, "policy": "rules"},
        {"config": LEARNERS, "truth": True},
    ],
    ids=["defaults", "other options", "population"],
)
def test_a_cluster_writes_the_same_bytes(tmp_path, cluster, changes):
    expected, reports = plain(tmp_path, **changes), []  # runs first, so that workers find compiled code
    made = generate_dataset(
        **{**RUN, **changes}, out=tmp_path / "d", engine="ray", progress=lambda *numbers: reports.append(numbers)
    )
    assert cluster.is_initialized()  # an existing connection is kept
    assert len(reports) == SHARDS
    assert reports[-1] == (60, len(made))
    assert files_of(made.path) == expected


def test_a_killed_worker_is_replaced(tmp_path, cluster, teachers):
    policy = teachers.Killed(str(tmp_path / "seen"))
    made = generate_dataset(**RUN, policy=policy, out=tmp_path / "d", engine="ray", num_workers=2)
    assert (tmp_path / "seen" / "killed").exists()
    pids = {p.name for p in (tmp_path / "seen").iterdir()} - {"killed"}
    assert str(os.getpid()) not in pids
    assert files_of(made.path) == plain(tmp_path, policy=policy)


def test_an_exception_of_a_task_is_raised(tmp_path, cluster, teachers):
    with pytest.raises(KeyError, match="lost"):
        generate_dataset(**RUN, policy=teachers.Failing("x"), out=tmp_path / "d", engine="ray")
    assert not (tmp_path / "d").exists()


def test_a_shard_that_kills_three_workers_is_an_error(tmp_path, cluster, teachers):
    policy = teachers.Fatal(str(tmp_path / "seen"))
    with pytest.raises(DatasetError, match=r"d: Ray failed to make shard \d: WorkerCrashedError: ") as caught:
        generate_dataset(**RUN, policy=policy, out=tmp_path / "d", engine="ray", num_workers=2)
    assert "\n" not in str(caught.value)
    assert "run the same command again to resume" in caught.value.__notes__[0]
