"""Datasets from several processes, interrupted and resumed runs, and datasets without observations.

Real processes are killed here. Each test asserts that the finished dataset equals the one of an uninterrupted run in
one process, byte for byte.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from notices import without_notice

from alsim.config import Config
from alsim.datasets import writer
from alsim.datasets.generate import generate_dataset
from alsim.datasets.schema import OBSERVATION, TABLES, columns_of
from alsim.datasets.store import RESTORE, DatasetError, load_dataset
from alsim.errors import AlsimError
from alsim.policies import Uniform
from alsim.utils import workers
from alsim.utils.files import UNFINISHED
from alsim.utils.run_directory import RunDirectory

SMALL = {"num_los": 3, "max_episode_steps": 12, "termination": {"max_frustration": 0.3}}
RUN = {"num_learners": 30, "episodes_per_learner": 2, "seed": 5, "config": SMALL, "episodes_per_shard": 8}
SHARDS = 8

# Variants of `uniform` that leave a file named after their process, wait, or kill their process.
POLICIES = """
import os, time
from pathlib import Path
from alsim.policies import Uniform

class Slow:
    name = "slow"

    def __init__(self, folder, seconds=0.0, digest=None):
        self.folder, self.seconds, self.uniform = folder, seconds, Uniform()
        if digest is not None:
            self.digest = digest

    def act(self, view, draws):
        if view.step == 3:
            Path(self.folder, str(os.getpid())).touch()
            time.sleep(self.seconds)
        return self.uniform.act(view, draws)

class Fatal(Slow):
    "Kills its process in every shard but the first."
    name = "fatal"

    def act(self, view, draws):
        if view.step == 3 and any(Path(self.folder).parent.joinpath("d", "shards").glob("0*.json")):
            os.kill(os.getpid(), 9)
        return super().act(view, draws)

class Killed(Slow):
    "Kills the first worker, once."
    name = "killed"

    def act(self, view, draws):
        if view.step == 3 and Path(self.folder).exists():
            try:
                Path(self.folder, "killed").touch(exist_ok=False)
            except FileExistsError:
                pass
            else:
                os.kill(os.getpid(), 9)
        return super().act(view, draws)

class Failing(Slow):
    def act(self, view, draws):
        raise KeyError("lost")
"""

# A driver process, which the tests kill.
DRIVER = """
import json, sys
sys.path.insert(0, sys.argv[1])
import alsim, policies

if __name__ == "__main__":
    arguments = json.loads(sys.argv[2])
    policy = policies.Slow(arguments.pop("folder"), arguments.pop("seconds"))
    alsim.generate_dataset(policy=policy, **arguments)
"""


@pytest.fixture
def teachers(tmp_path, monkeypatch):
    """Write a module of policies that workers can import."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "policies.py").write_text(POLICIES)
    (tmp_path / "code" / "driver.py").write_text(DRIVER)
    (tmp_path / "seen").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "code")
    import policies

    yield policies
    del sys.modules["policies"]


def files_of(directory):
    """Return the bytes of every file below a directory, by relative path."""
    return {
        p.relative_to(directory).as_posix(): p.read_bytes() for p in sorted(Path(directory).rglob("*")) if p.is_file()
    }


def plain(tmp_path, **changes):
    """Return the files of an uninterrupted run in one process."""
    return files_of(generate_dataset(**{**RUN, **changes}, out=tmp_path / "plain").path)


def until(condition, process=None, seconds=60):
    """Wait until a condition is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "in vain"
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.01)


def drive(tmp_path, seconds, **changes):
    """Start a driver process with the slow policy."""
    arguments = {**RUN, "out": str(tmp_path / "d"), "folder": str(tmp_path / "seen"), "seconds": seconds, **changes}
    command = [sys.executable, str(tmp_path / "code" / "driver.py"), str(tmp_path / "code"), json.dumps(arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def sidecars(tmp_path):
    """Return the sidecars of the unfinished dataset."""
    return sorted((tmp_path / "d" / "shards").glob("0*.json"))


def command(*arguments, **kwargs):
    """Run the command line in a new process."""
    return subprocess.run(
        [sys.executable, "-m", "alsim", *map(str, arguments)], capture_output=True, text=True, timeout=120, **kwargs
    )


def is_alive(pid):
    """Return whether a process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# ── many processes ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.ci
@pytest.mark.versionless
@pytest.mark.parametrize(
    "changes",
    [
        {},
        *(
            pytest.param(changes, marks=pytest.mark.ci)
            for changes in ({"file_format": "arrow"}, {"policy": "rules"}, {"store_observations": False})
        ),
    ],
)
def test_workers_write_the_same_bytes(tmp_path, changes):
    expected, reports = plain(tmp_path, **changes), []  # runs first, so that workers find compiled code
    made = generate_dataset(
        **{**RUN, **changes}, out=tmp_path / "d", num_workers=2, progress=lambda *numbers: reports.append(numbers)
    )
    assert files_of(made.path) == expected
    assert len(made.manifest["tables"]["events"]["shards"]) == SHARDS
    assert len(reports) == SHARDS
    assert reports[-1] == (60, len(made))


@pytest.mark.ci
@pytest.mark.versionless
def test_each_worker_has_a_copy_of_a_policy_in_python(tmp_path, teachers):
    policy = teachers.Slow(str(tmp_path / "seen"), 0.05)
    expected = plain(tmp_path, policy=teachers.Slow(str(tmp_path)))  # runs first, so that workers find compiled code
    made = generate_dataset(**RUN, policy=policy, out=tmp_path / "d", num_workers=2)
    pids = {int(p.name) for p in (tmp_path / "seen").iterdir()}
    assert len(pids) == 2
    assert os.getpid() not in pids
    assert not any(map(is_alive, pids))
    assert files_of(made.path) == expected
    assert made.transitions.equals(generate_dataset(**RUN).transitions)  # the policy acts as uniform


@pytest.mark.ci
def test_more_workers_than_shards(tmp_path):
    few = {"num_learners": 2, "episodes_per_shard": 100}
    made = generate_dataset(**{**RUN, **few}, out=tmp_path / "d", num_workers=3)
    assert files_of(made.path) == plain(tmp_path, **few)


def test_workers_need_a_directory():
    with pytest.raises(
        AlsimError, match="out must be a directory for engine='local' and num_workers=2; got None: pass out"
    ):
        generate_dataset(**RUN, num_workers=2)


@pytest.mark.ci
@pytest.mark.versionless
@pytest.mark.skipif(sys.platform == "win32", reason="ulimit is a shell's")
def test_more_workers_than_the_limit_of_open_files_is_an_error(tmp_path):
    line = [sys.executable, "-m", "alsim", "generate", "--learners", "80", "--episodes-per-shard", "3", "--workers"]
    limited = shlex.join([*line, "1000", "--out", str(tmp_path / "d")])
    done = subprocess.run(["bash", "-c", f"ulimit -n 48 && {limited}"], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (2, "")
    message = (
        r"alsim: --workers = 1000 exceeds a limit of the operating system, with \d+ workers running: "
        r"Too many open files; use fewer workers, or raise "
    )
    printed = without_notice(done.stderr)
    assert re.match(message, printed) and printed.count("\n") == 1
    assert not (tmp_path / "d").exists()


@pytest.mark.ci
def test_an_exception_of_a_worker_is_raised(tmp_path, teachers):
    with pytest.raises(KeyError, match="lost") as caught:
        generate_dataset(**RUN, policy=teachers.Failing("x"), out=tmp_path / "d", num_workers=2)
    assert "policies.py" in str(caught.value.__cause__)  # the traceback of the worker
    assert not (tmp_path / "d").exists()


@pytest.mark.ci
@pytest.mark.versionless
def test_a_policy_that_a_worker_cannot_import_is_an_error(tmp_path, teachers):
    class_of_here = type("Here", (teachers.Slow,), {"__module__": "elsewhere"})
    sys.modules["elsewhere"] = module = type(sys)("elsewhere")
    module.Here = class_of_here
    try:
        with pytest.raises(AlsimError, match=r"a worker cannot load its policy .*: No mod.*; define them in a module"):
            generate_dataset(**RUN, policy=class_of_here("x"), out=tmp_path / "d", num_workers=2)
    finally:
        del sys.modules["elsewhere"]
    assert not (tmp_path / "d").exists()


@pytest.mark.ci
@pytest.mark.versionless
def test_a_script_without_main_guard_is_an_error(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import alsim\nalsim.generate_dataset(9, config={'num_los': 3}, episodes_per_shard=3, out='d', num_workers=2)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 1
    assert 'a script that uses workers needs `if __name__ == "__main__":`' in done.stderr.splitlines()[-1]
    assert not (tmp_path / "d").exists()


@pytest.mark.ci
@pytest.mark.versionless
def test_a_program_from_standard_input_is_an_error(tmp_path):
    program = (
        "import alsim\nif __name__ == '__main__':\n"
        "    alsim.generate_dataset(9, episodes_per_shard=3, num_workers=2, out='d')\n"
    )
    done = subprocess.run(
        [sys.executable, "-"], input=program, capture_output=True, text=True, timeout=60, cwd=tmp_path
    )
    assert done.returncode == 1
    assert "put the policy into a module, and the program into a file" in done.stderr.splitlines()[-1]


# ── killed ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.ci
@pytest.mark.versionless
def test_a_killed_worker_is_replaced(tmp_path, teachers):
    with drive(tmp_path, 0.5, num_workers=2) as driver:
        until(lambda: len(list((tmp_path / "seen").iterdir())) == 2, driver)
        victim = int(next((tmp_path / "seen").iterdir()).name)
        os.kill(victim, signal.SIGKILL)
        _, message = driver.communicate(timeout=60)
    assert driver.returncode == 0, message
    assert "a worker was killed by SIGKILL while it made shard " in message
    assert len(list((tmp_path / "seen").iterdir())) == 3  # a third worker
    assert files_of(tmp_path / "d") == plain(tmp_path, policy=teachers.Slow(str(tmp_path / "seen")))


@pytest.mark.ci
@pytest.mark.versionless
def test_a_shard_that_kills_three_workers_is_an_error(tmp_path, teachers, caplog):
    policy = teachers.Fatal(str(tmp_path / "seen"))
    with pytest.raises(DatasetError) as caught:
        generate_dataset(**RUN, policy=policy, out=tmp_path / "d", num_workers=1 + 1)
    assert "a worker was killed by SIGKILL while it made shard " in str(caught.value)
    assert "for the 3rd time; if memory is short, use fewer workers" in str(caught.value)
    assert "run the same command again to resume" in caught.value.__notes__[0]
    assert sum("another one replaces it" in message for message in caplog.messages) >= 2
    assert not [p for p in (tmp_path / "seen").iterdir() if is_alive(int(p.name))]


@pytest.mark.ci
@pytest.mark.versionless
@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_with_a_killed_driver_is_resumed(tmp_path, teachers, workers):
    with drive(tmp_path, 0.3, num_workers=workers) as driver:
        until(lambda: len(sidecars(tmp_path)) >= 2, driver)
        driver.kill()
        driver.communicate(timeout=60)
    pids = [int(p.name) for p in (tmp_path / "seen").iterdir()]
    until(lambda: not any(map(is_alive, pids)), seconds=10)  # no orphaned workers
    with pytest.raises(DatasetError, match="holds no finished dataset"):
        load_dataset(tmp_path / "d")
    kept = [json.loads(file.read_text())["files"][name]["path"] for file in sidecars(tmp_path) for name in TABLES]
    before = {path: (tmp_path / "d" / path).stat() for path in kept}
    with drive(tmp_path, 0.0, num_workers=workers) as driver:
        _, message = driver.communicate(timeout=60)
    assert driver.returncode == 0, message
    for path, stat in before.items():  # complete shards were not made again
        after = (tmp_path / "d" / path).stat()
        assert (after.st_ino, after.st_mtime_ns) == (stat.st_ino, stat.st_mtime_ns)
    assert files_of(tmp_path / "d") == plain(tmp_path, policy=teachers.Slow(str(tmp_path / "seen")))


def as_of_a_terminal():
    """Restore the handling of Ctrl-C, which shells disable for background processes."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


INTERRUPTED = [(signal.SIGINT, 1), (signal.SIGINT, 2), (signal.SIGKILL, 2), (signal.SIGTERM, 2)]
"""Signals and numbers of workers; a driver without workers is killed in test_a_run_with_a_killed_driver_is_resumed."""


@pytest.mark.ci
@pytest.mark.versionless
@pytest.mark.parametrize(("number", "workers"), INTERRUPTED)
def test_a_killed_command_is_resumed(tmp_path, number, workers):
    out = tmp_path / "d"
    arguments = ["--learners", "3000", "--episodes-per-shard", "300", "--workers", str(workers), "--out", str(out)]
    line = [sys.executable, "-m", "alsim", "generate", *arguments]
    started = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "preexec_fn": as_of_a_terminal}
    # In a new process group, because Ctrl-C reaches the whole group.
    with subprocess.Popen(line, process_group=0, **started) as process:
        until(lambda: sidecars(tmp_path), process, 120)
        (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
        printed, message = process.communicate(timeout=60)
    assert printed == ""
    with pytest.raises(DatasetError, match="holds no finished dataset: there is no manifest.json; the command"):
        load_dataset(out)
    if number == signal.SIGKILL:
        assert process.returncode == -number
    else:
        assert process.returncode == 128 + number
        assert "Traceback" not in message
        assert f"shards in {out} are complete: run the same command again to resume" in message
    resumed = command("generate", *arguments)
    assert resumed.returncode == 0, resumed.stderr
    assert "shards were complete, " in resumed.stderr
    assert len(load_dataset(out, verify=True).manifest["tables"]["events"]["shards"]) == 30
    assert not list(out.rglob(".*"))
    assert {p.name for p in out.iterdir()} == {"manifest.json", "bank", *TABLES}


FULL_DISK = """
mkdir disk
mount -t tmpfs -o size=400k tmpfs disk
generate() {{
    {python} -m alsim generate --learners 60 --episodes-per-shard 20 --out disk/d >$1.out 2>$1.err
    echo $? >$1.status
}}
generate full
{python} -m alsim info disk/d >info.out 2>info.err; echo $? >info.status
ls -i disk/d/shards >kept
cp -r disk/d under-way
mount -o remount,size=20m disk
generate roomy
cp -r disk/d d
"""


@pytest.mark.ci
@pytest.mark.versionless
@pytest.mark.skipif(sys.platform != "linux", reason="mounts a small file system as Linux does")
def test_a_full_disk_is_a_one_line_error_and_the_run_is_resumed(tmp_path):
    """Runs in a new namespace, in which any user may mount a file system."""
    namespace = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    script = ["bash", "-u", "-c", FULL_DISK.format(python=sys.executable)]
    done = subprocess.run([*namespace, *script], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr

    def ended(name):
        return (tmp_path / f"{name}.status").read_text().strip(), (tmp_path / f"{name}.err").read_text()

    status, message = ended("full")
    assert (status, (tmp_path / "full.out").read_text()) == ("2", "")
    assert message.count("\n") == 1
    assert "cannot be written: No space left on device; " in message
    kept = len((tmp_path / "kept").read_text().splitlines())
    assert 0 < kept < 9
    assert f"; {kept} shards in disk/d are complete: run the same command again to resume\n" in message
    assert not list((tmp_path / "under-way").rglob(".*"))
    assert ended("info")[0] == "2"
    assert ended("roomy") == ("0", f"alsim: {kept} shards were complete, {9 - kept} were made\n")
    plain = generate_dataset(60, episodes_per_shard=20, out=tmp_path / "plain")
    assert files_of(tmp_path / "d") == files_of(plain.path)


# ── resuming ─────────────────────────────────────────────────────────────────────────────────────


class Stop(Exception):
    """Ends a run."""


def stopped(out, after=3, **changes):
    """Return the directory of an unfinished dataset with at least `shards` complete shards."""
    episodes = after * RUN["episodes_per_shard"]

    def stop(done, rows):
        if done >= episodes:
            raise Stop

    with pytest.raises(Stop):
        generate_dataset(**{**RUN, **changes}, out=out, progress=stop)
    return out


def flipped(file):
    """Flip one bit in the middle of a file."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


DAMAGE = {
    "a flipped bit": lambda d: flipped(d / "events" / "part-00001.parquet"),
    "a file too short": lambda d: os.truncate(d / "transitions" / "part-00001.parquet", 100),
    "a file that is gone": lambda d: (d / "episodes" / "part-00001.parquet").unlink(),
    "a sidecar cut short": lambda d: os.truncate(d / "shards" / "00001.json", 30),
    "a sidecar that lies": lambda d: (d / "shards" / "00001.json").write_text(
        (d / "shards" / "00001.json").read_text().replace('"rows": 8', '"rows": 9')
    ),
    "a sidecar that is nested without end": lambda d: (d / "shards" / "00001.json").write_text("[" * 100_000),
    "a sidecar of another kind": lambda d: (d / "shards" / "00001.json").write_text("[]"),
}


@pytest.mark.ci
@pytest.mark.versionless
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_shard_is_made_again(tmp_path, caplog, damage, workers):
    if workers == 2 and damage != "a flipped bit":
        return  # the same code in another process
    out = stopped(tmp_path / "d")
    DAMAGE[damage](out)
    generate_dataset(**RUN, out=out, num_workers=workers)
    assert caplog.messages == ["shard 1 was damaged or missing and was made again"]
    assert files_of(out) == plain(tmp_path)


@pytest.mark.ci
@pytest.mark.versionless
def test_threads_workers_and_force_resume_each_other(tmp_path):
    out = stopped(tmp_path / "d", 2)
    stopped(out, 5, num_workers=2)
    stopped(out, 6, num_threads=2)
    generate_dataset(**RUN, out=out, force=True)
    assert files_of(out) == plain(tmp_path)


UNEQUAL = {
    "seed": ({"seed": 6}, "seed was 5 and is now 6"),
    "learners": ({"num_learners": 31}, "num_learners was 30 and is now 31"),
    "policy": ({"policy": "rules"}, 'policy.name was "uniform" and is now "rules"'),
    "class": (
        {"policy": type("Other", (Uniform,), {})()},
        'code.policy was "alsim.policies.uniform.Uniform" and is now ',
    ),
    "config": (
        {"config": Config.read({**SMALL, "reward_weights": {"engagement": 0.25}})},
        "config.reward_weights.engagement was 0.5 and is now 0.25",
    ),
    "bank": ({"bank": None, "config": {**SMALL, "bank": {"seed": 1}}}, "config.bank.seed was 0 and is now 1"),
    "format": ({"file_format": "arrow"}, 'format was "parquet" and is now "arrow"'),
    "observations": ({"store_observations": False}, 'observations was "full" and is now "none"'),
    "shards": ({"episodes_per_shard": 9}, "episodes_per_shard was 8 and is now 9"),
}


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory):
    """An unfinished dataset, which tests only read."""
    return stopped(tmp_path_factory.mktemp("unfinished") / "d")


@pytest.mark.parametrize("unequal", UNEQUAL)
def test_another_plan_is_refused_with_the_differences(unfinished, unequal):
    changes, message = UNEQUAL[unequal]
    before = files_of(unfinished)
    with pytest.raises(DatasetError) as caught:
        generate_dataset(**{**RUN, **changes}, out=unfinished)
    assert f"{unfinished} holds an unfinished dataset with other settings: {message}" in str(caught.value)
    assert files_of(unfinished) == before


@pytest.mark.parametrize(
    ("module", "name", "value", "message"),
    [
        ("generate", "__version__", "9.9", "alsim_version was "),
        ("generate.pa", "__version__", "9.9", "pyarrow_version was "),
        ("generate", "policy_fingerprint", lambda policy: "edited", 'code.rule was "" and is now "edited"'),
    ],
)
def test_other_versions_and_an_edited_rule_are_other_plans(unfinished, monkeypatch, module, name, value, message):
    monkeypatch.setattr(f"alsim.datasets.{module}.{name}", value)
    with pytest.raises(DatasetError, match=f"holds an unfinished dataset with other settings: {message}"):
        generate_dataset(**RUN, out=unfinished)


def test_the_differences_of_nested_policies_follow_from_the_name(tmp_path):
    out = stopped(tmp_path / "d", policy="epsilon-greedy:rules:0.5")
    with pytest.raises(DatasetError) as caught:
        generate_dataset(**{**RUN, "policy": "epsilon-greedy:uniform:0.5"}, out=out)
    name = 'policy.name was "epsilon-greedy:rules:0.5" and is now "epsilon-greedy:uniform:0.5"'
    assert f"other settings: {name}; " in str(caught.value)
    assert ".nested" not in str(caught.value)


def test_policies_are_compared_by_digest(tmp_path, teachers):
    out = stopped(tmp_path / "d", policy=teachers.Slow(str(tmp_path / "seen"), digest="one"))
    with pytest.raises(DatasetError, match='policy.digest was "one" and is now "two"'):
        generate_dataset(**RUN, policy=teachers.Slow(str(tmp_path / "seen"), digest="two"), out=out)
    done = generate_dataset(**RUN, policy=teachers.Slow(str(tmp_path / "seen"), digest="one"), out=out)
    assert done.manifest["policy"] == {"name": "slow", "digest": "one", "nested": [{"name": "uniform"}]}


def test_force_replaces_an_unfinished_dataset_with_another_plan(tmp_path):
    out = stopped(tmp_path / "d", seed=6)
    generate_dataset(**RUN, out=out, force=True)
    assert files_of(out) == plain(tmp_path)


@pytest.mark.parametrize("content", ["{", "[" * 100_000])
def test_an_unreadable_plan_is_an_error(tmp_path, content):
    out = stopped(tmp_path / "d")
    (out / "plan.json").write_text(content)
    with pytest.raises(DatasetError, match=r"plan\.json is damaged, or not that of a dataset; .* delete .* to"):
        generate_dataset(**RUN, out=out)


@pytest.mark.ci
@pytest.mark.versionless
def test_a_second_driver_is_refused(tmp_path, teachers):
    with drive(tmp_path, 0.3) as driver:
        until(lambda: sidecars(tmp_path), driver)
        policy = teachers.Slow(str(tmp_path / "seen"))
        for force in (False, True):
            with pytest.raises(DatasetError, match="d is in use by another process"):
                generate_dataset(**RUN, policy=policy, out=tmp_path / "d", force=force)
        _, message = driver.communicate(timeout=60)
    assert driver.returncode == 0, message
    assert files_of(tmp_path / "d") == plain(tmp_path, policy=policy)


def test_the_lock_of_another_process_is_kept(tmp_path):
    """The lock was moved with a replaced dataset, and another process has locked the same place."""
    with RunDirectory(tmp_path, writer.LAYOUT).locked():
        (tmp_path / writer.LOCK).rename(tmp_path / "moved")
        (tmp_path / writer.LOCK).write_text("foreign")
    assert (tmp_path / writer.LOCK).read_text() == "foreign"


def test_files_left_by_a_crash_after_the_manifest_are_deleted(tmp_path, monkeypatch, caplog):
    out, calls = tmp_path / "d", []
    caplog.set_level("INFO")
    with monkeypatch.context() as patched:
        patched.setattr(writer.DatasetWriter, "publish", lambda self, unlock: None)
        generate_dataset(**RUN, out=out)
    assert {"plan.json", "shards"} < {p.name for p in out.iterdir()}
    assert load_dataset(out, verify=True)
    with pytest.raises(DatasetError, match="already holds a finished dataset"):
        generate_dataset(**{**RUN, "seed": 6}, out=out)
    generate_dataset(**RUN, out=out, progress=lambda *numbers: calls.append(numbers))
    assert calls == []
    assert f"{out}: all shards were complete" in caplog.messages
    assert files_of(out) == plain(tmp_path)


def test_temporary_files_of_a_killed_process_are_deleted(tmp_path):
    out = stopped(tmp_path / "d")
    for folder in (out, out / "transitions", out / "shards"):
        (folder / f".part-00007.parquet-0123456789abcdef{UNFINISHED}").write_text("half")
    generate_dataset(**RUN, out=out)
    assert files_of(out) == plain(tmp_path)


def test_a_damaged_bank_is_written_again(tmp_path):
    out = stopped(tmp_path / "d")
    flipped(out / "bank" / "questions.csv")
    generate_dataset(**RUN, out=out)
    assert files_of(out) == plain(tmp_path)


@pytest.mark.ci
@pytest.mark.versionless
def test_a_damaged_finished_dataset_is_an_error(tmp_path):
    out = generate_dataset(**RUN, out=tmp_path / "d").path
    file = out / "transitions" / "part-00003.parquet"
    flipped(file)
    with pytest.raises(DatasetError, match="part-00003.parquet is damaged: its SHA-256 differs"):
        load_dataset(out, verify=True)
    done = command("info", out, "--verify")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"alsim: {file} is damaged: its SHA-256 differs from the one in the manifest; {RESTORE}\n"
    file.unlink()
    assert command("info", out).stderr == f"alsim: {file} is missing; the manifest lists it; {RESTORE}\n"


def test_exceptions_that_cannot_be_pickled():
    error = type("Odd", (Exception,), {})("strange")
    assert str(workers.Raised(error).error()) == "Odd: strange"
    assert isinstance(workers.Raised(DatasetError("plain")).error(), DatasetError)


# ── observations that are not stored ─────────────────────────────────────────────────────────────


@pytest.mark.ci
@pytest.mark.parametrize("file_format", ["parquet", "arrow"])
@pytest.mark.parametrize(
    ("policy", "observation"), [("uniform", "mastery"), ("rules", "mastery"), ("uniform", "responses")]
)
def test_observations_are_recomputed_bit_for_bit(tmp_path, policy, observation, file_format):
    run = {**RUN, "policy": policy, "observation": observation, "file_format": file_format}
    stored = generate_dataset(**run, out=tmp_path / "full")
    bare = generate_dataset(**run, out=tmp_path / "none", store_observations=False)
    in_memory = generate_dataset(**run, store_observations=False)
    for dataset in (bare, in_memory):
        assert dataset.manifest["observations"] == "none"
        assert set(stored.arrays) == set(dataset.arrays)
        for name, column in stored.arrays.items():
            assert dataset[name].tobytes() == column.tobytes(), name
            assert (dataset[name].dtype, dataset[name].shape) == (column.dtype, column.shape)
    for table in TABLES:
        names = [column.name for column in columns_of(table, observations=False)]
        assert getattr(bare, table).equals(getattr(stored, table).select(names))
        left = {column.name for column in columns_of(table, True) if column.type is OBSERVATION}
        assert set(getattr(stored, table).column_names) - set(names) == left


@pytest.mark.ci
@pytest.mark.compiled
def test_observations_of_the_defaults_are_recomputed():
    """140 interactions, 30 outcomes, and more episodes than lanes of a block, of different lengths."""
    stored, bare = (generate_dataset(80, 2, seed=3, store_observations=stores) for stores in (True, False))
    assert len(np.unique(stored.episodes["total_steps"].to_numpy())) > 20
    assert bare.obs.tobytes() == stored.obs.tobytes()
    assert bare.next_obs.tobytes() == stored.next_obs.tobytes()


@pytest.mark.ci
def test_observations_of_a_policy_in_python_are_recomputed(teachers, tmp_path):
    policy = teachers.Slow(str(tmp_path / "seen"))
    stored, bare = (generate_dataset(**RUN, policy=policy, store_observations=stores) for stores in (True, False))
    assert bare.next_obs.tobytes() == stored.next_obs.tobytes()


def tampered(directory, table, column, change):
    """Rewrite a column of a shard, and its entry in the manifest."""
    file = directory / table / "part-00002.parquet"
    content = pyarrow.parquet.read_table(file)
    place = content.column_names.index(column)
    values = change(content.column(column).to_numpy().copy())
    content = content.set_column(place, content.field(place), pyarrow.array(values, content.field(place).type))
    pyarrow.parquet.write_table(content, file)
    manifest = json.loads((directory / "manifest.json").read_text())
    manifest["tables"][table]["shards"][2]["bytes"] = file.stat().st_size
    (directory / "manifest.json").write_text(json.dumps(manifest))


def set_to(place, value):
    def change(values):
        values[place] = value
        return values

    return change


TAMPERED = {
    "a reward, by its last bit": ("transitions", "reward", lambda r: np.nextafter(r, np.float32(9))),
    "an action": ("transitions", "action", lambda a: (a + 1) % 27),
    "an action that does not exist": ("transitions", "action", set_to(5, -7)),
    "a learner": ("episodes", "learner_id", lambda k: k + 1),
    "why an episode ended": ("episodes", "termination_reason", set_to(3, 1)),
    "how long an episode was": ("episodes", "total_steps", lambda n: np.r_[n[0] - 1, n[1] + 1, n[2:]]),
    "how long all were": ("episodes", "total_steps", set_to(3, 400)),
    "lengths whose sum overflows": (
        "episodes",
        "total_steps",
        lambda n: np.r_[2**40, 2**63 - 1, 2**63 - 1 - 2**40, n.sum() + 2 - (len(n) - 4), n[4:] * 0 + 1],
    ),
    "a length of nothing": ("episodes", "total_steps", lambda n: np.r_[0, n[0] + n[1], n[2:]]),
}


@pytest.mark.ci
@pytest.mark.parametrize("what", TAMPERED)
def test_actions_that_do_not_give_the_stored_rewards_are_an_error(tmp_path, what):
    out = generate_dataset(**RUN, store_observations=False, out=tmp_path / "d").path
    tampered(out, *TAMPERED[what])
    dataset = load_dataset(out)
    with pytest.raises(DatasetError, match=r"observations of Dataset\(.*d\) cannot be recomputed: "):
        _ = dataset.final_obs
    assert len(dataset.transitions) == len(dataset)


MISPLACED = {
    "an action below the first": ("transitions", "action", set_to(5, -1)),
    "an action beyond the last": ("transitions", "action", set_to(5, 27)),
    "a step beyond its episode": ("transitions", "step", set_to(5, 2**31 - 1)),
    "a length of more than there is": TAMPERED["lengths whose sum overflows"],
}


@pytest.mark.heavy
@pytest.mark.parametrize("what", MISPLACED)
def test_invalid_indices_are_an_error(tmp_path, what):
    out = generate_dataset(**RUN, out=tmp_path / "d").path
    tampered(out, *MISPLACED[what])
    with pytest.raises(DatasetError, match=r"d: (its actions are in|its steps must number|the total_steps of its)"):
        _ = load_dataset(out).arrays


@pytest.mark.ci
def test_another_dynamics_is_an_error(tmp_path):
    out = generate_dataset(**RUN, store_observations=False, out=tmp_path / "d").path
    manifest = json.loads((out / "manifest.json").read_text())
    manifest["config"]["dynamics"]["learning_rate"] *= 1.01
    (out / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DatasetError, match="differs from the record: the data were generated with other dynamics"):
        _ = load_dataset(out).next_obs


def test_a_manifest_with_the_wrong_key_observations_is_an_error(tmp_path):
    out = generate_dataset(**RUN, store_observations=False, out=tmp_path / "d").path
    manifest = json.loads((out / "manifest.json").read_text())
    for value, error in (
        ("full", "has columns action, .*; expected those of transitions: obs"),
        ("some", "is not a valid manifest"),
    ):
        (out / "manifest.json").write_text(json.dumps({**manifest, "observations": value}))
        with pytest.raises(DatasetError, match=error):
            _ = load_dataset(out).transitions


def test_unfinished_copies_are_never_read(tmp_path):
    """Only files in the manifest are part of the dataset."""
    dataset = generate_dataset(**RUN, out=tmp_path / "d")
    shutil.copy(dataset.path / "events" / "part-00000.parquet", dataset.path / "events" / "part-00099.parquet")
    assert load_dataset(dataset.path).events.equals(dataset.events)
