"""Optional packages: what is not installed is named, with what installs it."""

import sys

import pytest

from alsim.errors import AlsimError
from alsim.utils.optional import MissingExtra, require


def test_an_installed_module_is_returned():
    assert require("json.decoder", "dkt", "alsim.models").__name__ == "json.decoder"


@pytest.mark.parametrize("module", ["no_such_package", "no_such_package.within"])
def test_a_missing_package_is_an_error_with_its_extra(module):
    with pytest.raises(MissingExtra) as raised:
        require(module, "sb3", "alsim.envs.sb3")
    assert str(raised.value) == (
        "alsim.envs.sb3 needs no_such_package, which is not installed; "
        "install it with `pip install '.[sb3]'` in a clone of alsim"
    )
    assert isinstance(raised.value, ImportError) and isinstance(raised.value, AlsimError)


def test_a_broken_package_raises_its_own_error(tmp_path, monkeypatch):
    (tmp_path / "broken_package.py").write_text("import not_there_either\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="not_there_either") as raised:
        require("broken_package", "sb3", "alsim.envs.sb3")
    assert not isinstance(raised.value, MissingExtra)
    assert "broken_package" not in sys.modules
