"""Two processes that write to one path at the same time: each succeeds, or is refused in one sentence.

The processes are real, and write again and again. They are compared by what they leave: one whole version, and nothing
else.
"""

import errno
import os
import signal
import stat
import traceback

import pytest

from alsim.bank.files import load_bank, save_bank
from alsim.bank.items import sample_bank
from alsim.config import Config
from alsim.datasets.export import EXPORTERS
from alsim.datasets.export.exporter import ExportError
from alsim.datasets.export.writing import new_export
from alsim.datasets.generate import generate_dataset
from alsim.datasets.manifest import DatasetError
from alsim.datasets.store import load_dataset
from alsim.utils import files, locks

pytestmark = [
    pytest.mark.ci,
    pytest.mark.versionless,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]

SMALL = {"num_los": 2, "max_episode_steps": 4}
BUSY = (
    "in use by another process",
    "changed by another process at the same time",
    "then replaced by another process",
    "was replaced by another dataset",
)
"""Parts of the sentences about the other process."""


@pytest.fixture(params=["exchange", "two renames", "two renames, no locks of directories"])
def system(request, monkeypatch):
    """The abilities of a system."""
    if request.param != "exchange":
        monkeypatch.setattr(files, "exchange", lambda first, second: False)
    if request.param.endswith("directories"):
        flock = locks.fcntl.flock

        def flock_files(descriptor, operation):
            """Fail for directories, as on network file systems."""
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                raise OSError(errno.EBADF, "Bad file descriptor")
            flock(descriptor, operation)

        monkeypatch.setattr(locks.fcntl, "flock", flock_files)
    return request.param


def in_two_processes(work, folder):
    """Call work(0) and work(1) at the same time, each in a child process; return the messages of each of them.

    work  yields the messages of refusals
    """
    children = []
    for number in range(2):
        child = os.fork()
        if child == 0:
            try:
                (folder / f"{number}.txt").write_text("".join(f"{message}\n" for message in work(number)))
                os._exit(0)
            except BaseException:
                traceback.print_exc()
            os._exit(1)
        children.append(child)
    statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert statuses == [0, 0], [signal.Signals(-status).name for status in statuses if status < 0]
    return [(folder / f"{number}.txt").read_text().splitlines() for number in range(2)]


@pytest.fixture
def out(tmp_path):
    """A path in an empty directory."""
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty" / "out"


RUNS = 300


def test_two_exports_to_one_directory(tmp_path, out, system):
    """n = 2 x 300 exports of three files. Without the lock, 18 of 20 tests failed with the exchange of directories."""
    exporter = EXPORTERS["huggingface"]

    def work(number, runs=RUNS):
        for run in range(runs):
            try:
                with new_export(exporter, out, {"format": exporter.name}, force=True) as folder:
                    for name in ("a", "b", "c"):
                        (folder / name).write_text(f"{number} {run}")
            except ExportError as error:
                yield str(error)

    messages = in_two_processes(work, tmp_path)
    if "no locks" in system:
        assert len(sum(messages, [])) < RUNS  # most of them succeed
        assert list(work(2, 1)) == []  # finishes what the others left
    else:
        assert messages == [[], []]
    assert len({(out / name).read_text() for name in ("a", "b", "c")}) == 1
    assert sorted(os.listdir(out)) == ["a", "alsim-export.json", "b", "c"]
    assert os.listdir(out.parent) == ["out"]


def test_one_of_two_first_exports_is_refused(tmp_path, out):
    """n = 100 pairs of exports without `force`. Both may find no directory when they start."""
    exporter = EXPORTERS["huggingface"]

    def work(number):
        for run in range(100):
            path = out.parent / str(run)
            try:
                with new_export(exporter, path, {"format": exporter.name}, force=False) as folder:
                    (folder / "a").write_text(str(number))
            except ExportError as error:
                yield f"{run}: {error}"

    messages = sum(in_two_processes(work, tmp_path), [])
    assert sorted(int(message.partition(":")[0]) for message in messages) == list(range(100))
    assert all("already holds an export" in message for message in messages)
    assert len(os.listdir(out.parent)) == 100


BANKS = 100


def test_two_banks_in_one_directory(tmp_path, out):
    """n = 2 x 100 banks; a reader finds a whole bank after each of them."""
    banks = [sample_bank(Config.read({"bank": {"seed": seed}, **SMALL})) for seed in (0, 1)]

    def work(number):
        for _ in range(BANKS):
            save_bank(banks[number], out, force=True)
            if load_bank(out) not in banks:
                yield "a mixture"

    assert in_two_processes(work, tmp_path) == [[], []]
    assert load_bank(out) in banks
    assert sorted(os.listdir(out)) == ["contents.csv", "questions.csv"]


DATASETS = 100


def test_two_datasets_in_one_directory(tmp_path, out, system):
    """n = 2 x 100 datasets. Without the lock, 6 of 10 tests failed with two renames and 2 x 40 datasets."""

    def work(number):
        for run in range(DATASETS):
            try:
                seed = 2 * run + number
                assert generate_dataset(1, 1, seed=seed, config=SMALL, out=out, force=True).manifest["seed"] == seed
            except DatasetError as error:
                yield str(error)

    generate_dataset(1, 1, config=SMALL, out=out)  # compiles the code before the processes are forked
    messages = in_two_processes(work, tmp_path)
    assert min(map(len, messages)) < DATASETS
    if "no locks" in system:  # the sentence may be about a directory that is changed at the moment
        generate_dataset(1, 1, config=SMALL, out=out, force=True)  # finishes what the others left
    else:
        for message in sum(messages, []):
            assert any(part in message for part in BUSY), message
    load_dataset(out, verify=True)
    assert os.listdir(out.parent) == ["out"]
