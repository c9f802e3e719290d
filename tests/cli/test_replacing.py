"""Reports and figures replace files of alsim only; with `--force`, where a command has it, any file."""

import json
import os
import stat

import pytest

from alsim._version import __version__
from alsim.bank.files import load_bank
from alsim.cli.output import is_report

pytestmark = pytest.mark.versionless

LOG = "student,skill,correct\na,x,1\na,y,0\nb,x,1\nb,y,1\n"
FOREIGN = ['{"precious": 1}', "[1, 2]", "{}", "notes", "\0\1", '{"written_by": "another program"}', '{"x": {"a": 1}}']


@pytest.fixture
def folder(run, tmp_path, monkeypatch):
    """The working directory, with a small dataset and a response log."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.toml").write_text("num_los = 2\nmax_episode_steps = 6\n")
    (tmp_path / "log.csv").write_text(LOG)
    assert run("generate", "--learners", 3, "--config", "small.toml", "--out", "d")[0] == 0
    return tmp_path


COMMANDS = {
    "info d": None,
    "policies": None,
    "validate --config small.toml": None,
    "show --config small.toml": None,
    "fit skill-mean log.csv": "--force",
    "bank --config small.toml --out bank": "--force",
    "export d --to npz --out d.npz": "--force",
    "generate --learners 3 --config small.toml --out e": "--force",
}
"""Commands with a report, and their option that replaces a file of another program."""


SLOW = {"validate --config small.toml": [pytest.mark.ci]}
"""Marks of commands that take seconds, to compile or to run."""


@pytest.mark.ci
@pytest.mark.parametrize("command", [pytest.param(command, marks=SLOW.get(command, ())) for command in COMMANDS])
def test_a_report_replaces_a_report_and_no_other_file(run, folder, command):
    file = folder / "report.json"
    for content in FOREIGN:
        file.write_text(content)
        status, out, err = run(*command.split(), "--json", "report.json")
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert "alsim: --json report.json exists and is not a report of alsim; " in err
        assert "--force overwrites it" in err or "choose another file, or delete this one" in err
        assert file.read_text() == content
    assert not (folder / "e").exists() and not (folder / "d.npz").exists()  # refused before the work
    file.write_text("")
    assert run(*command.split(), "--json", "report.json")[0] == 0
    assert is_report(file)
    again = "--force" if "--out" in command else ""
    assert run(*command.split(), *again.split(), "--json", "report.json")[0] == 0
    if "--force overwrites it" in err:
        file.write_text(FOREIGN[0])
        assert run(*command.split(), "--force", "--json", "report.json")[0] == 0
        assert is_report(file)


def test_a_report_names_the_version(run, folder):
    assert run("info", "d", "--json", "report.json")[0] == 0
    assert json.loads((folder / "report.json").read_text())["written_by"] == f"alsim {__version__}"


@pytest.mark.ci
@pytest.mark.parametrize("ending", [".png", ".svg", ".pdf"])
def test_a_figure_replaces_a_figure_and_no_other_file(run, folder, ending):
    figure = pytest.importorskip("matplotlib.figure").Figure()
    file = folder / f"figure{ending}"
    figure.savefig(file)  # of another program
    foreign = file.read_bytes()
    status, out, err = run("info", "d", "--plot", file.name)
    assert (status, out) == (2, "")
    assert err == (
        f"alsim: --plot {file.name} exists and is not a figure of alsim; choose another file, or delete this one\n"
    )
    assert file.read_bytes() == foreign
    file.unlink()
    assert run("info", "d", "--plot", file.name)[0] == 0
    first = file.read_bytes()
    assert run("show", "--config", "small.toml", "--plot", file.name)[0] == 0
    assert file.read_bytes() != first


@pytest.mark.ci
@pytest.mark.parametrize("name", ["questions.csv", "contents.csv", "questions.parquet"])
@pytest.mark.parametrize("content", [b"id,text\n1,Why?\n", b"", b"PAR1", b"id,learning_outcome\n"])
def test_a_bank_does_not_replace_tables_of_another_program(run, folder, name, content):
    (folder / "kept").mkdir()
    file = folder / "kept" / name
    file.write_bytes(content)
    status, out, err = run("bank", "--config", "small.toml", "--out", "kept", "--force")
    assert (status, out) == (2, "")
    message = "is not a table of a bank, so it is not overwritten; move it, or choose another directory"
    assert err == f"alsim: kept/{name} {message}\n"
    assert {path.name: path.read_bytes() for path in (folder / "kept").iterdir()} == {name: content}


def test_a_bank_replaces_a_bank(run, folder):
    assert run("bank", "--config", "small.toml", "--out", "bank")[0] == 0
    (folder / "bank" / "notes.txt").write_text("kept")
    (folder / "small.toml").write_text("num_los = 3\n")
    assert run("bank", "--config", "small.toml", "--out", "bank", "--force")[0] == 0
    assert len(load_bank("bank").outcomes) == 3
    assert (folder / "bank" / "notes.txt").read_text() == "kept"


@pytest.mark.ci
@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_a_replaced_file_keeps_its_permissions(run, folder):
    files = [folder / "report.json", folder / "bank" / "questions.csv", folder / "fit.json", folder / "d.npz"]
    commands = [
        ("info", "d", "--json", "report.json"),
        ("bank", "--config", "small.toml", "--out", "bank", "--force"),
        ("fit", "skill-mean", "log.csv", "--out", "fit.json", "--force"),
        ("export", "d", "--to", "npz", "--out", "d.npz", "--force"),
    ]
    for mode in (0o600, 0o640):
        for file, command in zip(files, commands, strict=True):
            assert run(*command)[0] == 0
            file.chmod(mode)
            assert run(*command)[0] == 0
            assert stat.S_IMODE(file.stat().st_mode) == mode


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_all_files_of_a_replaced_bank_keep_their_permissions(run, folder):
    for _ in range(2):
        assert run("bank", "--config", "small.toml", "--out", "bank", "--force")[0] == 0
        for name, mode in (("questions.csv", 0o600), ("contents.csv", 0o640)):
            (folder / "bank" / name).chmod(mode)
    assert run("bank", "--config", "small.toml", "--out", "bank", "--force")[0] == 0
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in (folder / "bank").glob("*.csv")}
    assert modes == {"questions.csv": 0o600, "contents.csv": 0o640}


@pytest.mark.ci
@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_a_replaced_directory_keeps_its_permissions(run, folder):
    (folder / "d").chmod(0o700)
    assert run("generate", "--learners", 3, "--config", "small.toml", "--out", "d", "--force")[0] == 0
    assert stat.S_IMODE((folder / "d").stat().st_mode) == 0o700
    (folder / "hf").mkdir(mode=0o700)
    for _ in range(2):
        assert run("export", "d", "--to", "huggingface", "--out", "hf", "--force")[0] == 0
        assert stat.S_IMODE((folder / "hf").stat().st_mode) == 0o700
