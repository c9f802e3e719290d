import sys

import pytest

from alsim import cli


@pytest.fixture(autouse=True)
def no_progress(monkeypatch):
    """On a busy machine, a command can take longer than the period between lines about its progress."""
    monkeypatch.setattr("alsim.cli.output.PERIOD", 3600.0)


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command line in this process: (exit status, stdout, stderr)."""

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["alsim", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return ended.value.code or 0, printed.out, printed.err

    return command
