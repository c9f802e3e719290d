import sys

import pytest

from alsim import cli


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
