"""Trainings of a few interactions, and modules that worker processes import: they shrink evaluations, or stop."""

import time
from pathlib import Path

SMALL = {
    "config": {"num_los": 3, "max_episode_steps": 12},
    "hyperparameters": {"net_arch": [8], "n_steps": 8, "minibatches": 2},
    "num_envs": 16,
    "steps": 256,
    "eval_every": 128,
}

# Evaluations on few learners: in the interpreter, those on 1,000 learners take most of the time.
QUICK = """
from alsim.evaluation.held_out import HeldOut
from alsim.training import run

run.FINAL = HeldOut(run.FINAL.first, 6)
run.SELECTION = HeldOut(run.SELECTION.first, 4)
"""

# After the first checkpoint of seed 1, its process does FATE once: it kills itself, raises an exception, or waits.
FATAL = (
    QUICK
    + """
import os, time
from pathlib import Path
from alsim.errors import AlsimError
from alsim.training import directory

write = directory.write_checkpoint

def write_checkpoint(out, steps, files):
    write(out, steps, files)
    fate = Path(__file__).with_name(f"fate-{out.name}")
    if steps and fate.exists():
        what = fate.read_text()
        if what == "wait":
            fate.with_name(f"pid-{os.getpid()}").touch()
            time.sleep(60)
        fate.unlink()
        if what == "killed":
            os.kill(os.getpid(), 9)
        raise {"diverged": AlsimError("it diverged; use a lower learning_rate"), "bug": KeyError("lost"),
               "full": OSError(28, "No space left on device")}[what]

directory.write_checkpoint = write_checkpoint
"""
)


def files_of(folder: Path, ignored: tuple[str, ...] = ()) -> dict[str, bytes]:
    """Return the contents of all files in a directory by relative path."""
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and file.name not in ignored
    }


def is_alive(pid: int) -> bool:
    """Return whether a process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until(condition, process=None, seconds=120):
    """Wait until a condition is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "in vain"
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.02)
