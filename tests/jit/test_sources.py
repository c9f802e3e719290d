"""Source files that the key of the compile cache covers."""

import importlib
import pkgutil
import re
import sys

import pytest

import alsim
from alsim.jit import cache
from alsim.jit.cache import kernel_sources
from alsim.jit.compile import COMPILED


@pytest.mark.skipif(not COMPILED, reason="the interpreter has no cache")
def test_every_compiled_function_is_among_the_sources_of_the_cache_key():
    """The file of each compiled function, and the file of each object of the package that it uses."""
    for module in pkgutil.walk_packages(alsim.__path__, "alsim."):
        if "__main__" not in module.name:
            try:
                importlib.import_module(module.name)
            except ImportError:
                continue  # an optional dependency is missing: such modules define no kernels
    sources = {str(path) for path in kernel_sources()}
    compiled = 0
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] != "alsim":
            continue
        for value in vars(module).values():
            function = getattr(value, "py_func", None)
            if function is not None and function.__module__ == name:
                compiled += 1
                assert function.__code__.co_filename in sources
                for used in function.__code__.co_names:
                    origin = getattr(function.__globals__.get(used), "__module__", None) or ""
                    if origin.partition(".")[0] == "alsim":
                        assert sys.modules[origin].__file__ in sources, f"{name}.{function.__name__} uses {used}"
    assert compiled > 100


def test_sources_import_in_the_form_that_the_cache_key_follows():
    """Nothing but `from alsim.module import name` on the module level is followed."""
    form = re.compile(r"^(import alsim|from \.|from alsim import).*", re.MULTILINE)
    for path in kernel_sources():
        other = form.search(path.read_text(encoding="utf-8"))
        assert other is None, f"{path}: {other[0]}"


def test_only_edits_of_the_sources_of_kernels_change_the_key(tmp_path, monkeypatch):
    package = tmp_path / "alsim"
    for name, text in {
        "jit/cache.py": "",
        "constants.py": "ONE = 1\n",
        "loop.py": "from alsim.constants import ONE\n\n\n@kernel\ndef loop(): ...\n",
        "cli.py": "from alsim.loop import loop\n",
    }.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    monkeypatch.setattr(cache, "PACKAGE", package)
    monkeypatch.setattr(cache, "__file__", str(package / "jit" / "cache.py"))
    keys = [cache._source_hash()]
    for name in ("cli.py", "jit/cache.py", "constants.py", "loop.py"):
        with (package / name).open("a") as file:
            file.write("# edited\n")
        keys.append(cache._source_hash())
    assert keys[1] == keys[0]
    assert len({*keys}) == len(keys) - 1


def test_hidden_files_in_the_package_are_ignored(tmp_path, monkeypatch):
    """Editors and file systems put files such as `.#step.py` (a dangling link) or `._step.py` next to sources."""
    (tmp_path / "step.py").write_text("@kernel\ndef step(): ...\n")
    monkeypatch.setattr(cache, "PACKAGE", tmp_path)
    monkeypatch.setattr(cache, "__file__", str(tmp_path / "jit" / "cache.py"))
    before = cache._source_hash()
    (tmp_path / "jit").mkdir()
    for folder in (tmp_path, tmp_path / "jit"):
        (folder / "._step.py").write_bytes(b"\x00\x05\x16\x07\xff")
        (folder / ".#step.py").symlink_to("user@host.1")
    assert cache._source_hash() == before
