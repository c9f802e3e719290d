"""Functions that the first step and the first evaluation compile: each one takes time on an empty cache."""

import json
import os
import subprocess
import sys
from collections import Counter

import pytest

pytestmark = [pytest.mark.compiled, pytest.mark.versionless, pytest.mark.ci]

RECORD = """
import json
from numba.core import event

compiled = []

class Record(event.Listener):
    def on_start(self, e):
        function = e.data["dispatcher"].py_func
        literal = [str(kind) for kind in e.data["args"] if str(kind).startswith("Literal")]
        if str(function.__module__).startswith("alsim."):
            compiled.append([type(e.data["dispatcher"]).__name__, function.__name__, literal])

    def on_end(self, e):
        pass

event.register("numba:compile", Record())
import alsim
"""

STEP = """
envs = alsim.AdaptiveLearningVectorEnv(4)
envs.reset(seed=0)
envs.step([0] * 4)
"""

EVALUATION = """
import numpy as np
from alsim.policies import Network, NetworkPolicy

network = Network([(np.zeros((32, 8)), np.zeros(8)), (np.zeros((8, 270)), np.zeros(270))])
for policy in ("uniform", "rules", NetworkPolicy(network)):
    alsim.rollout(policy, num_learners=2, first_learner=2**31, keep_observations=False).metrics
"""

TWICE = {"set_to_zero": 5, "draw_words": 2, "copy": 2, "call": 2}
"""Functions of the first step that are compiled for several types, with their number: they take arrays of any type."""


def compiled_by(code: str) -> list[tuple[str, str, list[str]]]:
    """Return the class, name and literal arguments of each function of alsim that a new process compiles for a code."""
    environment = {**os.environ, "ALSIM_CACHE_DIR": "", "NUMBA_OPT": "0"}
    script = f"{RECORD}{code}\nprint(json.dumps(compiled))"
    process = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return [tuple(each) for each in json.loads(process.stdout)]


@pytest.fixture(scope="module")
def first_step() -> list[tuple[str, str, list[str]]]:
    return compiled_by(STEP)


def test_the_first_step_compiles_two_kernels_for_learners_and_one_for_the_bank(first_step) -> None:
    kernels = [name for kind, name, _ in first_step if kind == "Kernel"]
    assert sorted(kernels) == ["begin_lanes", "random_words", "step"]


def test_the_first_step_compiles_each_phase_once(first_step) -> None:
    counts = Counter(name for _, name, _ in first_step)
    assert {name: n for name, n in counts.items() if n > TWICE.get(name, 1)} == {}
    assert len(first_step) <= 52


def test_the_first_evaluation_compiles_one_loop_per_policy() -> None:
    compiled = compiled_by(EVALUATION)
    kernels = Counter(name for kind, name, _ in compiled if kind == "Kernel")
    assert kernels == {
        "run_episodes": 2,  # of uniform and of rules
        "pack": 1,
        "step": 1,  # of the network, as are the kernels below
        "begin_lanes": 1,
        "forward": 1,
        "sample_rows": 1,
        "random_words": 1,
        "_accumulate": 1,  # metrics
    }
    assert [each for each in compiled if each[2]] == []  # constants do not count as types of their own
