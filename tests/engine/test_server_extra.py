"""The server without its extra, and the warm-up of an engine, which needs none. tests/compat has the other tests."""

import subprocess
import sys

import pytest
from served import make_engine

from alsim.engine.warmup import warm_up


@pytest.mark.ci
@pytest.mark.parametrize(("package", "name"), [("fastapi", "create_app"), ("uvicorn", "serve")])
def test_the_error_names_the_extra(package, name):
    # In sys.modules, None makes an import fail even if the package is installed.
    code = f"import sys; sys.modules[{package!r}] = None; from alsim.engine.server import {name}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "MissingExtra: alsim.engine.server needs " in last
    assert "install it with `pip install '.[server]'`" in last


@pytest.mark.parametrize(("model", "policy"), [("bkt", "guide"), ("irt", "thompson"), ("alosi", "policy:uniform")])
def test_the_warm_up_leaves_no_trace(model, policy):
    engine = make_engine(model=model, policy=policy)
    warm_up(engine)
    assert list(engine.students()) == []
    assert engine.store.counters() == {}
    assert engine.recommend("anna")[0].item == make_engine(model=model, policy=policy).recommend("anna")[0].item
