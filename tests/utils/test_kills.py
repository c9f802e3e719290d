"""Kills at every rename of what alsim writes: readers then find the old content or the new one, never a mixture.

A rename is the only step that makes new content visible under its name. The process that writes counts its renames, and
kills itself with SIGKILL before one of them.
"""

import errno
import io
import itertools
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from alsim.bank.files import load_bank, save_bank
from alsim.bank.items import BankError, sample_bank
from alsim.cli import main
from alsim.config import Config
from alsim.datasets.export import export_dataset
from alsim.datasets.generate import generate_dataset
from alsim.datasets.store import DatasetError, load_dataset
from alsim.engine.directory import read_directory, write_engine
from alsim.engine.errors import EngineError
from alsim.errors import AlsimError
from alsim.models.base import ModelError, load_fit
from alsim.models.dkt.checkpoints import read_checkpoint, write_checkpoint
from alsim.models.dkt.network import Weights, shapes_of
from alsim.models.dkt.result import DKTFit
from alsim.models.dkt.settings import Epoch, Settings
from alsim.models.student import EloModel
from alsim.policies.network import Network, NetworkPolicy, PolicyError
from alsim.training import directory
from alsim.training.curve import Row, write_curve
from alsim.utils import files

pytestmark = [
    pytest.mark.ci,
    pytest.mark.versionless,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]

SMALL = {"num_los": 2, "max_episode_steps": 4}
SOURCES: list[Path] = []
"""Directories of two datasets."""
LOGS = ("student,skill,correct\na,x,1\nb,x,0\nb,y,1\n", "student,skill,correct\na,x,1\nb,x,1\nb,y,0\n")


class Case(NamedTuple):
    """Content that is written in a folder.

    write  writes version 0 or 1 into a folder; an existing version is overwritten
    read   returns the content; None if there is none
    """

    write: Callable[[Any, int], object]
    read: Callable[[Any], Any]


def command(*arguments):
    """Run a command."""
    sys.argv = ["alsim", *map(str, arguments)]
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()) as errors:
        try:
            main()
        except SystemExit as ended:
            assert not ended.code, errors.getvalue()


def content_of(*names):
    """Return a function that returns the contents of these files in a folder."""

    def read(folder):
        return [file.read_bytes() if (file := folder / name).exists() else None for name in names]

    return read


def policy(folder, version):
    save_policy(folder / "policy", version)


def save_policy(folder, version):
    network = Network([(np.full((2, 3), version), np.full(3, 10 + version))])
    NetworkPolicy(network, name=f"version {version}").save(folder)


def read_policy(folder):
    try:
        policy = NetworkPolicy.load(folder / "policy")
    except PolicyError as error:
        assert "holds no policy" in str(error)
        return None
    return policy.name, policy.network.layers[0][0].tolist()


def dkt(folder, version):
    weights = {name: np.full(shape, version, np.float32) for name, shape in shapes_of(2, 3, 4).items()}
    names, counts, settings = np.array(["x", "y"]), np.array([1, 1]), Settings(hidden=4, embedding=3)
    DKTFit(names, counts, Weights(**weights), settings, [Epoch(0.5, None)], -1.0 - version, 2).save(folder / "f.json")


def read_fit(folder):
    try:
        return json.dumps(load_fit(folder / "f.json").to_dict())
    except ModelError as error:
        assert "no such file" in str(error)
        return None


SHAPES = {"x": (2, 3)}
"""Shapes of the arrays in a checkpoint of a fit."""


def checkpoint(folder, version):
    losses = [Epoch(0.5 + epoch, None) for epoch in range(version + 1)]
    write_checkpoint(folder, Settings(hidden=4), "log", losses, {"x": np.full((2, 3), version, np.float32)})


def read_saved(folder):
    saved = read_checkpoint(folder, Settings(hidden=4), "log", SHAPES)
    return None if saved is None else (saved[0], saved[1]["x"].tolist())


def fit(folder, version):
    os.chdir(folder)  # the report contains the path of the log
    Path("log.csv").write_text(LOGS[version])
    outputs = ("--out", "f.json", "--table", "table.csv", "--json", "report.json")
    command("fit", "skill-mean", "log.csv", *outputs, "--test", "log.csv", "--force")


SINGLE_FILES = ("config.toml", "abilities.csv", "test.json", "policies.json", "episode.json")


def single_files(folder, version):
    """Run commands that write one file each."""
    os.chdir(folder)
    Path("items.csv").write_text("item,a,b\nx,1,0\ny,1,1\n")
    Path("log.csv").write_text(LOGS[version].replace("skill", "item"))
    Path("small.toml").write_text("num_los = 2\nmax_episode_steps = 4\n")
    command("init-config", "config.toml", "--force")
    command("score", "log.csv", "--items", "items.csv", "--out", "abilities.csv", "--force")
    command("cat", "--items", "items.csv", "--simulate", version, "--json", "test.json", "--force")
    command("policies", "--json", "policies.json")
    command("show", "--seed", version, "--config", "small.toml", "--json", "episode.json")


def bank(folder, version):
    save_bank(sample_bank(Config.read({"bank": {"seed": version}, **SMALL})), folder / "bank", force=True)


def read_bank(folder):
    try:
        bank = load_bank(folder / "bank")
    except BankError as error:
        assert "found neither" in str(error)
        return None
    return bank.questions.irt_b.tolist(), bank.contents.effectiveness.tolist()


def dataset(folder, version):
    generate_dataset(2, seed=version, config=SMALL, out=folder / "d", force=version == 1, episodes_per_shard=1)


def read_dataset(folder):
    try:
        dataset = load_dataset(folder / "d", verify=True)
    except DatasetError as error:
        assert "holds no finished dataset" in str(error)
        return None
    return dataset.manifest["seed"], dataset.action.tolist()


def export(to, name):
    def write(folder, version):
        export_dataset(SOURCES[version], to, folder / name, force=version == 1)

    return write


def read_export(folder):
    files = sorted(file for file in (folder / "export").rglob("*") if file.is_file())
    return tuple((str(file.relative_to(folder)), file.read_bytes()) for file in files) or None


def engine(folder, version):
    """Write an engine whose files have other names in each version, with a model in a file."""
    skill = "a;b" if version else "a"
    EloModel({skill: skill}, 0.5 + version).save(folder / "elo.npz")
    items = [{"id": "q", "skills_taught": [skill], "skills_assessed": [skill]}]
    write_engine(folder / "engine", {skill: []}, items, model=folder / "elo.npz", seed=version, force=True)


def read_engine(folder):
    try:
        settings, catalogue = read_directory(folder / "engine")
    except EngineError as error:
        assert "expected the directory of an engine" in str(error)
        return None
    return settings, catalogue.skills, (folder / "engine" / settings.model).read_bytes()


def training(folder, version):
    """Write the files of a training in the order of `alsim train`, which deletes an old training first."""
    out = folder / "training"
    with directory.open_directory(out, {"version": version}, force=version == 1):
        for steps in range((directory.checkpoint_steps(out) or 0) + 1, 3):
            write_curve(out / directory.CURVE, [Row(steps, 0.0, version, 0.0, 0.0, 0.0, 0.0)])
            directory.write_checkpoint(out, steps, {"model": b"%d" % version})
        files.write_atomic(out / directory.MODEL, b"%d" % version)
        save_policy(out, version)
        directory.write_json(out / directory.EVALUATION, {"version": version})
        directory.delete_checkpoints(out)


def read_training(folder):
    """Return the evaluation, which marks a training as finished, and check that the other files belong to it."""
    out = folder / "training"
    if not (out / directory.EVALUATION).exists():
        return None
    version = json.loads((out / directory.EVALUATION).read_text())["version"]
    assert NetworkPolicy.load(out).name == f"version {version}"
    assert (out / directory.MODEL).read_bytes() == b"%d" % version
    assert json.loads((out / directory.SETTINGS).read_text())["version"] == version
    return version


CASES = {
    "training": Case(training, read_training),
    "policy": Case(policy, read_policy),
    "dkt": Case(dkt, read_fit),
    "checkpoint": Case(checkpoint, read_saved),
    "fit": Case(fit, content_of("f.json", "table.csv", "report.json")),
    "single files": Case(single_files, content_of(*SINGLE_FILES)),
    "bank": Case(bank, read_bank),
    "engine": Case(engine, read_engine),
    "dataset": Case(dataset, read_dataset),
    "export-file": Case(export("obp", "export.npz"), content_of("export.npz")),
    "export-directory": Case(export("huggingface", "export"), read_export),
}


def killed(write, folder, version, kill_at, exchanging, deletions=False):
    """Write in a child process that kills itself before rename number `kill_at`; return whether it was killed.

    deletions  count deletions of files like renames
    """
    child = os.fork()
    if child == 0:
        try:
            count = itertools.count()

            def counted(call):
                def rename(*arguments, **options):
                    if next(count) == kill_at:
                        os.kill(os.getpid(), signal.SIGKILL)
                    return call(*arguments, **options)

                return rename

            os.replace = counted(os.replace)
            os.unlink = counted(os.unlink) if deletions else os.unlink
            files.exchange = counted(files.exchange) if exchanging else lambda first, second: False
            write(folder, version)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        os._exit(1)
    deadline = time.monotonic() + 100
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
        assert time.monotonic() < deadline or os.kill(child, signal.SIGKILL)
        time.sleep(0.002)
    status = os.waitstatus_to_exitcode(ended[1])
    assert status in (0, -signal.SIGKILL)
    return status != 0


def hidden(folder):
    """Return the names of hidden entries anywhere in a folder."""
    return [entry.name for entry in folder.rglob(".*")]


def of_parts(content):
    """Return the parts of a content that are replaced one after the other."""
    return content if isinstance(content, list) else [content]


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Write the datasets that are exported."""
    folder = tmp_path_factory.mktemp("sources")
    SOURCES[:] = [generate_dataset(2, seed=k, config=SMALL, out=folder / str(k)).path for k in (0, 1)]


@pytest.mark.usefixtures("sources")
@pytest.mark.parametrize(
    ("name", "first", "exchanging"),
    [
        *((name, first, True) for name in CASES for first in (0, 1) if (name, first) != ("training", 1)),
        *((name, 1, False) for name in ("dataset", "export-directory")),  # where paths cannot be exchanged
    ],
)
def test_a_kill_leaves_the_old_content_or_the_new(tmp_path, name, first, exchanging):
    """`first` is the version that a killed process writes: 0 is new, and 1 replaces 0.

    Where paths cannot be exchanged, a directory that is replaced is absent for a moment; the next start restores it.
    """
    write, read = CASES[name]
    before = after = None
    for version in range(first + 1):
        (tmp_path / "after").mkdir(exist_ok=True)
        shutil.copytree(tmp_path / "after", tmp_path / "before", dirs_exist_ok=True)
        before = after
        assert not killed(write, tmp_path / "after", version, None, True)
        after = read(tmp_path / "after")
    assert after != before
    for kill_at in itertools.count():
        folder = tmp_path / str(kill_at)
        shutil.copytree(tmp_path / "before", folder)
        was_killed = killed(write, folder, first, kill_at, exchanging)
        for part, (old, new) in zip(of_parts(read(folder)), pairs(before, after), strict=True):
            assert part == new or (was_killed and (part == old or (part is None and not exchanging)))
        if was_killed:  # the next start finishes or repeats the work, and deletes what the killed process left
            assert not killed(write, folder, first, None, exchanging)
            assert read(folder) == after
        assert hidden(folder) == []
        shutil.rmtree(folder)
        if not was_killed:
            break
    assert kill_at >= 1  # at least one rename


def pairs(before, after):
    """Return the old and the new content of each part."""
    new = of_parts(after)
    return zip([None] * len(new) if before is None else of_parts(before), new, strict=True)


def values_of(bank):
    """Return values of both tables of a bank as text."""
    return f"{bank.questions.irt_b.tolist()} {bank.contents.effectiveness.tolist()}"


GROUPS = {
    "policy": lambda folder: NetworkPolicy.load(folder / "policy").name,
    "dkt": lambda folder: json.dumps(load_fit(folder / "f.json").to_dict()),
    "bank": lambda folder: values_of(load_bank(folder / "bank")),
}
"""Readers of the cases that replace several files at one moment."""


@pytest.mark.parametrize("name", GROUPS)
def test_a_copy_without_hidden_files_is_of_one_version_or_refused(tmp_path, name):
    """`cp DIR/* ELSEWHERE` does not copy the journal of a replacement that was interrupted."""
    write, read = CASES[name].write, GROUPS[name]
    (tmp_path / "before").mkdir()
    assert not killed(write, tmp_path / "before", 0, None, True)
    shutil.copytree(tmp_path / "before", tmp_path / "after")
    assert not killed(write, tmp_path / "after", 1, None, True)
    old, new = read(tmp_path / "before"), read(tmp_path / "after")
    found = []
    for kill_at in itertools.count():
        folder, copy = tmp_path / str(kill_at), tmp_path / f"{kill_at} copied"
        shutil.copytree(tmp_path / "before", folder)
        was_killed = killed(write, folder, 1, kill_at, True, deletions=True)
        shutil.copytree(folder, copy, ignore=shutil.ignore_patterns(".*"))
        try:
            found.append(read(copy))
        except AlsimError as error:
            assert re.search("[Nn]o such file|found neither", str(error))
            found.append(None)
        if not was_killed:
            break
    assert {*found} == {old, None, new}
    assert found == sorted(found, key=[old, None, new].index)


# ── Windows, simulated ───────────────────────────────────────────────────────────────────────────


def is_open(path):
    """Return whether this process has a file open that is at this path or below it."""
    real = os.path.realpath(path)
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            file = os.readlink(f"/proc/self/fd/{descriptor}")
            if os.path.isfile(file) and os.path.commonpath([file, real]) == real:
                return True
    return False


@pytest.fixture
def windows(monkeypatch, tmp_path_factory):
    """Simulate Windows: files that are open cannot be renamed or deleted, and directories have no descriptors."""

    def guarded(call):
        def guard(*paths, **options):
            if any(is_open(path) for path in paths if not Path(path).name.startswith(".filelock-probe")):
                raise PermissionError(errno.EACCES, "The process cannot access the file", str(paths[0]))
            return call(*paths, **options)

        return guard

    def open_file(path, flags, *arguments, **options):
        if os.path.isdir(path) and flags & os.O_TMPFILE != os.O_TMPFILE:  # a temporary file, as numba makes one
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real_open(path, flags, *arguments, **options)

    real_open = os.open
    for module in [module for name, module in sys.modules.items() if name.startswith("alsim.")]:
        for name, value in {"WINDOWS": True, "WAITS": (0.0,)}.items():
            if hasattr(module, name):
                monkeypatch.setattr(module, name, value)
        if hasattr(module, "fcntl"):
            monkeypatch.delattr(module, "fcntl")
    for name in ("replace", "rename", "unlink", "rmdir"):
        monkeypatch.setattr(os, name, guarded(getattr(os, name)))
    monkeypatch.setattr(os, "open", open_file)
    monkeypatch.setattr(shutil, "_use_fd_functions", False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("temporary")))
    yield
    monkeypatch.undo()


LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc/self/fd lists the files that are open")


@LINUX
@pytest.mark.usefixtures("sources", "windows")
@pytest.mark.parametrize("name", CASES)
def test_windows_simulated_replaces_what_it_writes(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write, read = CASES[name]
    contents = []
    for version in (0, 1):
        write(tmp_path, version)
        contents.append(read(tmp_path))
        assert hidden(tmp_path) == []
    assert contents[0] != contents[1]


@LINUX
@pytest.mark.usefixtures("sources", "windows")
@pytest.mark.parametrize(
    ("name", "file", "message"),
    [
        ("dataset", "d/manifest.json", r"/d cannot be replaced; close the programs that read its files, and run"),
        ("export-directory", "export/README.md", r"/export cannot be replaced; close the programs that read its files"),
    ],
)
def test_windows_simulated_keeps_a_directory_that_a_program_reads(tmp_path, monkeypatch, name, file, message):
    monkeypatch.chdir(tmp_path)
    write, read = CASES[name]
    write(tmp_path, 0)
    before = read(tmp_path)
    with (tmp_path / file).open(), pytest.raises(DatasetError, match=message):
        write(tmp_path, 1)
    assert read(tmp_path) == before
    write(tmp_path, 1)
    assert read(tmp_path) != before
    assert hidden(tmp_path) == []


@LINUX
@pytest.mark.usefixtures("windows")
def test_windows_simulated_waits_for_the_reader_of_a_file(tmp_path, monkeypatch):
    """A reader has the file open for a moment; renames are tried again."""
    (tmp_path / "file").write_bytes(b"old")
    reader = (tmp_path / "file").open()
    monkeypatch.setattr(time, "sleep", lambda seconds: reader.close())
    files.write_atomic(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"
    with (tmp_path / "file").open(), pytest.raises(PermissionError):
        files.write_atomic(tmp_path / "file", b"newer")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert hidden(tmp_path) == []
