"""Source files that the key of the compile cache covers."""

import importlib
import pkgutil
import sys

import pytest

import alsim
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
