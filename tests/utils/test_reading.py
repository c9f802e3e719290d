"""Files from outside: regular, within their directory, bounded, and opened by one module only."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import alsim
from alsim.config import Config, ConfigError
from alsim.errors import AlsimError
from alsim.utils import reading
from alsim.utils.names import MAX_NAME, name_array
from alsim.utils.reading import (
    MAX_DEPTH,
    OutsideDirectory,
    RefusedFile,
    open_file,
    open_text,
    parse_json,
    path_inside,
    read_bytes,
    read_json,
    read_start,
    read_toml,
    reason,
)

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes in directories")


@pytest.fixture
def file(tmp_path):
    """A file within a directory."""
    path = tmp_path / "inside" / "file.json"
    path.parent.mkdir()
    path.write_bytes(b'{"a": 1}\r\n')
    return path


def test_regular_files_and_links_to_them_are_read(file, tmp_path):
    (tmp_path / "link").symlink_to(file)
    for path in (file, str(file), tmp_path / "link"):
        with open_file(path) as stream:
            assert stream.read() == b'{"a": 1}\r\n'
        with open_text(path, encoding="utf-8") as lines:
            assert lines.read() == '{"a": 1}\r\n'  # line ends are kept
        assert read_json(path) == {"a": 1}


def test_opened_files_are_closed_in_programs_that_are_started(file):
    with open_file(file) as stream:
        assert not os.get_inheritable(stream.fileno())


@POSIX
@pytest.mark.timeout(60)
def test_a_named_pipe_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RefusedFile, match="^it is a named pipe, not a regular file: save the data to a file$"):
        open_file(tmp_path / "pipe")


@POSIX
@pytest.mark.timeout(60)
def test_a_named_pipe_that_replaces_a_file_does_not_block(tmp_path, file, monkeypatch):
    """The kind of a file is checked before and after opening; here, the file changes in between."""
    os.mkfifo(tmp_path / "pipe")
    status = os.stat(file)
    monkeypatch.setattr(reading.os, "stat", lambda path: status)
    with pytest.raises(RefusedFile, match="a named pipe"):
        open_file(tmp_path / "pipe")


@POSIX
def test_devices_and_directories_are_refused(tmp_path):
    for path in ("/dev/zero", "/dev/null"):
        with pytest.raises(RefusedFile, match="it is a device, not a regular file"):
            open_file(path)
    with pytest.raises(RefusedFile, match="it is a directory, not a file"):
        open_file(tmp_path)


@POSIX
def test_standard_input_is_read_if_it_is_a_file(file, tmp_path):
    """`alsim fit irt /dev/stdin < log.csv` works; of a pipe, a log would lose its beginning."""
    code = "from alsim.utils.reading import open_file; print(open_file('/dev/stdin').read())"
    with file.open("rb") as stream:
        done = subprocess.run([sys.executable, "-c", code], stdin=stream, capture_output=True, text=True)
    assert done.stdout.startswith("b'{"), done.stderr
    done = subprocess.run([sys.executable, "-c", code], input="x", capture_output=True, text=True)
    assert "it is a named pipe, not a regular file" in done.stderr


@pytest.mark.parametrize("name", ["a\0b", "a\ud800"])
def test_invalid_paths_are_refused(tmp_path, name):
    with pytest.raises((RefusedFile, FileNotFoundError)):
        open_file(tmp_path / name)
    with pytest.raises((RefusedFile, FileNotFoundError)):
        open_file(tmp_path / name, inside=tmp_path)
    with pytest.raises(ConfigError, match="cannot be read as a TOML file: .*; `alsim init-config` writes a valid"):
        Config.read(str(tmp_path / name))


def test_missing_files_have_the_error_of_the_system(tmp_path):
    for inside in (None, tmp_path):
        with pytest.raises(FileNotFoundError):
            open_file(tmp_path / "missing", inside=inside)


def test_a_file_does_not_lead_out_of_its_directory(file, tmp_path):
    directory, outside = file.parent, tmp_path / "outside.json"
    outside.write_text("{}")
    (directory / "link.json").symlink_to(outside)
    (directory / "folder").symlink_to(tmp_path)
    for path in (directory / "link.json", directory / "folder" / "outside.json", directory / ".." / "outside.json"):
        assert read_json(path) == {}
        with pytest.raises(OutsideDirectory, match=r"it is outside of .*inside; expected a file in this directory"):
            open_file(path, inside=directory)
    (directory / "within.json").symlink_to(file)
    (tmp_path / "alias").symlink_to(directory)
    assert read_json(directory / "within.json", inside=directory) == {"a": 1}
    assert read_json(tmp_path / "alias" / "within.json", inside=tmp_path / "alias") == {"a": 1}


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "C:\\x", "a\\b", "a\0b", "a\nb", "link/x"])
def test_names_in_manifests_lead_out_on_no_system(tmp_path, name):
    (tmp_path / "link").symlink_to("/")
    with pytest.raises(OutsideDirectory):
        path_inside(tmp_path, name)


def test_names_in_manifests_may_name_files_that_do_not_exist(tmp_path):
    assert path_inside(tmp_path, "a/b.csv") == tmp_path / "a" / "b.csv"


@POSIX
def test_circular_links_are_refused(tmp_path):
    (tmp_path / "link").symlink_to("link")
    for inside in (None, tmp_path):
        with pytest.raises(OSError):
            open_file(tmp_path / "link", inside=inside)


def test_contents_are_bounded(file):
    size = file.stat().st_size
    assert len(read_bytes(file, size)) == size
    assert read_start(file, 3) == b'{"a'
    with pytest.raises(RefusedFile, match="it has more than 9 bytes, the limit for such a file"):
        read_bytes(file, size - 1)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="the system has no /proc")
def test_files_without_a_size_are_bounded():
    assert os.stat("/proc/self/maps").st_size == 0
    with pytest.raises(RefusedFile, match="it has more than 100 bytes"):
        read_bytes("/proc/self/maps", 100)
    assert len(read_bytes("/proc/self/maps", 10**7)) > 100


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"[" * 10**5 + b"]" * 10**5, f"it has more than {MAX_DEPTH} values within each other"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), f"it has more than {MAX_DEPTH} values within each other"),
        (b'{"a":' * 200 + b"1" + b"}" * 200, f"it has more than {MAX_DEPTH} values within each other"),
        (b"\xff", "invalid start byte"),
        (b"9" * 5000, "4300 digits"),
        (b"", "Expecting value"),
    ],
)
def test_invalid_json_is_a_value_error(content, problem):
    with pytest.raises(ValueError, match=problem):
        parse_json(content)


def test_values_of_allowed_depth_are_usable_everywhere():
    """Many functions recurse: the writer of indented JSON needs a frame of Python for each level."""
    value = parse_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    assert len(repr(value)) == 2 * MAX_DEPTH
    assert json.loads(json.dumps(value, indent=2)) == value


@pytest.mark.parametrize(
    "text", ["a = " + "[" * 5000 + "]" * 5000, ".".join("a" * 200) + " = 1", "a = " + "9" * 5000, "a", "a = \xff"]
)
def test_invalid_settings_are_one_sentence(tmp_path, text):
    (tmp_path / "c.toml").write_text(text, encoding="latin-1")
    with pytest.raises(ValueError):
        read_toml(tmp_path / "c.toml")
    with pytest.raises(ConfigError, match=r"c\.toml: cannot be read as a TOML file: .*; `alsim init-config`") as raised:
        Config.read(tmp_path / "c.toml")
    assert "\n" not in str(raised.value)


def test_settings_may_have_a_byte_order_mark_and_any_line_ends(tmp_path):
    (tmp_path / "c.toml").write_bytes(b"\xef\xbb\xbfnum_los = 3\r\nmax_episode_steps = 7\r")
    assert read_toml(tmp_path / "c.toml") == {"num_los": 3, "max_episode_steps": 7}


def test_reasons_are_short_and_in_one_line():
    assert reason(FileNotFoundError(2, "No such file or directory", "x")) == "No such file or directory"
    assert reason(ValueError("a\nb")) == "a b"
    assert reason(KeyError("x")) == "'x' is missing"
    assert reason(MemoryError()) == "MemoryError"
    assert len(reason(ValueError("x" * 10**6))) < 600


def test_names_have_a_limit():
    assert name_array(["a", "b" * MAX_NAME]).tolist() == ["a", "b" * MAX_NAME]
    with pytest.raises(AlsimError, match="a name has 1,001 characters: 'bbbb.*; expected at most 1,000"):
        name_array(["a", "b" * 1001])


# ── one module opens files ───────────────────────────────────────────────────────────────────────

PACKAGE = Path(alsim.__file__).parent
OPENERS = {
    *("open", "fdopen", "read_text", "read_bytes", "fromfile", "memmap", "open_memmap", "loadtxt", "genfromtxt"),
    *("ZipFile", "File", "read_csv", "read_table", "ParquetFile", "read_metadata", "memory_map", "OSFile", "dataset"),
    *("open_file", "open_stream", "input_stream", "read_feather"),
}
"""Last part of the names of functions that open a file."""
LOADERS = {"np", "numpy", "json", "tomllib", "pickle", "torch"}
"""Modules whose `load` opens a file."""
ALLOWED = {
    "alsim/cli/app.py: open(os.devnull, encoding='utf-8')": "replaces a closed stdin",
    "alsim/cli/app.py: os.open(os.devnull, os.O_WRONLY)": "discards output",
    "alsim/config/settings.py: resources.files('alsim').joinpath(f'{name}.toml').read_text(encoding='utf-8')": "own",
    "alsim/jit/cache.py: path.read_text(encoding='utf-8')": "the package",
    "alsim/jit/cache.py: path.read_bytes()": "the package",
    "alsim/jit/storage.py: Path(self._index_path).read_bytes()": "the cache of kernels, which must be trusted",
    "alsim/jit/storage.py: Path(self._data_path(name)).read_bytes()": "the cache of kernels",
    "alsim/jit/storage.py: pickle.load(stream)": "the cache of kernels",
    "alsim/datasets/export/exporter.py: Path('/proc/meminfo').read_text(encoding='ascii')": "the operating system",
    "alsim/datasets/export/exporter.py: file.open('r+b')": "reserves the space of an own temporary file",
    "alsim/datasets/round_states.py: zipfile.ZipFile(stream)": "an open file",
    "alsim/datasets/export/d4rl.py: h5py.File(file, 'r')": "a regular file by the check before; h5py opens paths only",
    "alsim/datasets/export/npz.py: np.lib.format.open_memmap(folder / f'{name}.npy', 'w+', kind, shape)": "writes",
    "alsim/datasets/export/npz.py: zipfile.ZipFile(stream)": "an open file",
    "alsim/models/bkt/tracker.py: zipfile.ZipFile(stream)": "an open file",
    "alsim/models/student/files.py: zipfile.ZipFile(stream)": "an open file",
    "alsim/responses/text.py: self.open()": "`TextFile.open`, which calls `open_text`",
    "alsim/responses/compressed.py: zipfile.ZipFile(file)": "an open file",
    "alsim/responses/compressed.py: archive.open(_member(path, archive))": "a member of an open file",
    "alsim/responses/layout.py: file.open()": "`TextFile.open`, which calls `open_text`",
    "alsim/responses/text.py: file.open()": "`TextFile.open`, which calls `open_text`",
    "alsim/responses/formats/duolingo_slam.py: file.open()": "`TextFile.open`, which calls `open_text`",
    "alsim/responses/formats/ednet_kt1.py: arrow_csv.read_csv(pa.BufferReader(native_buffer(io.BytesIO(content), "
    "len(content))), arrow_csv.ReadOptions(column_names=list(HEADER)), arrow_csv.ParseOptions(quote_char=False), "
    "arrow_csv.ConvertOptions(column_types=dict.fromkeys(HEADER, pa.string()), strings_can_be_null=False))": "bytes",
    "alsim/responses/three_lines.py: file.open()": "`TextFile.open`, which calls `open_text`",
    "alsim/responses/text.py: arrow_csv.read_csv": "an open file",
    "alsim/training/native.py: zipfile.ZipFile(io.BytesIO(content))": "bytes",
    "alsim/training/sb3.py: zipfile.ZipFile(io.BytesIO(content))": "bytes",
    "alsim/training/sb3.py: torch.load(io.BytesIO(content), weights_only=True)": "bytes",
    "alsim/utils/arrow.py: pa.OSFile(by_descriptor if os.path.exists(by_descriptor) else os.fspath(path))": "open",
    "alsim/utils/arrow.py: pq.read_metadata(native)": "an open file",
    "alsim/utils/arrow.py: pq.ParquetFile(native, read_dictionary=texts, page_checksum_verification=True)": "open",
    "alsim/utils/arrow.py: pa.ipc.open_file(pa.BufferReader(buffer))": "bytes",
    "alsim/utils/locks.py: os.open(folder, os.O_RDONLY)": "a directory, to lock it",
    "alsim/utils/files.py: os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)": "own temporary file",
    "alsim/utils/files.py: os.open(directory, os.O_RDONLY)": "an own temporary directory, to lock it",
    "alsim/utils/npz.py: zipfile.ZipFile(io.BytesIO(content))": "bytes",
    "alsim/utils/npz.py: archive.open(f'{name}.npy')": "a member of an open file",
    "alsim/utils/reading.py: os.open(path, APPENDED, 438)": "here",
    "alsim/utils/reading.py: os.open(file, FLAGS if inside is None else FLAGS | getattr(os, 'O_NOFOLLOW', 0))": "here",
}
"""Calls that may open a file or look as if, with the reason."""


def opening_calls(path):
    """Yield the source of each call in a module that opens a file for reading, or may do so."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        last = name.rpartition(".")[2]
        if "." not in name and last != "open":  # a function of the package
            continue
        if last in OPENERS or (last == "load" and name.rpartition(".")[0] in LOADERS):
            modes = [*node.args[:2], *(keyword.value for keyword in node.keywords if keyword.arg == "mode")]
            constants = [mode.value for mode in modes if isinstance(mode, ast.Constant)]
            if not any(str(mode) in ("w", "wb", "xb", "a", "ab") for mode in constants):
                yield ast.unparse(node)


@pytest.mark.ci
def test_only_one_module_opens_files_from_outside():
    """Read files with the functions of alsim.utils.reading, or add the call to ALLOWED with a reason."""
    found, others = set(), []
    for path in sorted(PACKAGE.rglob("*.py")):
        for call in opening_calls(path):
            line = f"{path.relative_to(PACKAGE.parent).as_posix()}: {call}"
            entry = next((entry for entry in ALLOWED if line.startswith(entry)), None)
            if entry is None:
                others.append(line)
            else:
                found.add(entry)
    assert (others, found) == ([], {*ALLOWED})


@pytest.mark.parametrize(
    "source",
    [
        *("open(p)", "p.open()", "p.open('rb')", "io.open(p, 'r')", "p.read_text()", "np.load(p)", "json.load(f)"),
        *("pq.read_table(p)", "pa.memory_map(p)", "zipfile.ZipFile(p)", "p.open(mode='r+')", "pickle.load(f)"),
    ],
)
def test_calls_that_open_files_are_found(tmp_path, source):
    (tmp_path / "module.py").write_text(source)
    assert [*opening_calls(tmp_path / "module.py")] == [ast.unparse(ast.parse(source))]
