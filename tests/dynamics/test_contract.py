"""The contract of every dynamics: those of the package, and three from outside."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import dash
import numpy as np
import outside_dynamics
import pytest
from by_dynamics import case
from scipy import stats

import alsim
from alsim.config import Config
from alsim.dynamics import DYNAMICS
from alsim.jit.compile import COMPILED
from alsim.jit.structs import leaves
from alsim.policies import Uniform

OWN = tuple(name for name, dynamics in DYNAMICS.items() if dynamics.parameters.__module__.startswith("alsim."))
ALL = (*OWN, "dash", "fading", "fading-at-breaks")
EDGES = [[0, 1], [1, 2], [0, 2], [2, 3], [4, 3]]
BREAKS = {"interactions": 7, "break_hours": 24.0}
ROWS = [
    {"share": 0.5, "name": "first"},
    {"share": 0.3, "learner": {"ability_mean": 1.0, "mastery_alpha": 4.0}},
    {"share": 0.2, "learner": {"ability_std": 0.5, "mastery_beta": 1.0}},
]
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "breaks": {"sessions": BREAKS},
    "rows": {"population": ROWS, "sessions": BREAKS},
}
WITHOUT_ROWS_COMPILED = ("standard", "fading-at-breaks")
"""Dynamics whose kernels without a population are compiled.

For others, the kernels with one are: they also have all code of those without. `interpreted` runs all.
"""


@pytest.fixture(autouse=True)
def registered() -> None:
    dash.register()
    outside_dynamics.register()


def config(name: str, settings: str = "plain", **others: Any) -> Config:
    """Return a small configuration under a dynamics."""
    small = {"num_los": 5, "max_episode_steps": 30, "curriculum": EDGES, "dynamics": name}
    return Config.read({**small, **SETTINGS[settings], **others})


def actions_of(lanes: int, steps: int, num_los: int = 5, seed: int = 0) -> Any:
    """Return random actions, (steps, lanes); those of a lane do not depend on the number of lanes."""
    return np.stack([np.random.default_rng([seed, k]).integers(0, 9 * num_los, steps) for k in range(lanes)], axis=1)


def run(rules: Config, lanes: int = 6, steps: int = 40, **arguments: Any) -> tuple[Any, list[Any]]:
    """Return an environment after some steps, and the results of each step."""
    env = alsim.AdaptiveLearningVectorEnv(lanes, config=rules, **arguments)
    results: list[Any] = [env.reset(seed=3)[0].copy()]
    results += [[np.array(part) for part in env.step(actions)[:4]] for actions in actions_of(lanes, steps)]
    return env, results


def same(one: Any, other: Any) -> bool:
    """Return whether two results are equal, bit for bit."""
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return np.asarray(one).tobytes() == np.asarray(other).tobytes()


everyone = pytest.mark.parametrize("name", [case(name, compiled=name in WITHOUT_ROWS_COMPILED) for name in ALL])
everyone_and_all_settings = pytest.mark.parametrize(
    ("name", "settings"),
    [
        case(name, settings, quick=settings == "rows", compiled=settings == "rows" or name in WITHOUT_ROWS_COMPILED)
        for name in ALL
        for settings in SETTINGS
    ],
)


@pytest.mark.heavy
@pytest.mark.ci
@everyone_and_all_settings
def test_states_stay_in_their_bounds(name: str, settings: str) -> None:
    env, _ = run(config(name, settings), lanes=30, steps=40)
    learners, mastery = env._simulator.learners, env._simulator.mastery
    for values in (mastery, learners.frustration):
        assert (values >= 0).all() and (values <= 1).all()
    for field, values in leaves(learners):
        assert np.isfinite(values).all(), field
    assert (learners.response_time >= 0).all() and (np.asarray(learners.hours) >= 0).all()
    assert np.allclose(learners.mastery_sum, mastery.astype(float).sum(axis=1), rtol=0, atol=1e-6)


@pytest.mark.heavy
@everyone_and_all_settings
def test_a_lane_does_not_depend_on_the_others(name: str, settings: str) -> None:
    rules = config(name, settings)
    _, together = run(rules, lanes=70, steps=25)
    _, few = run(rules, lanes=3, steps=25)
    assert same(few[0], together[0][:3])
    assert all(same(a, [part[:3] for part in b]) for a, b in zip(few[1:], together[1:], strict=True))


@pytest.mark.heavy
@pytest.mark.ci
@everyone_and_all_settings
def test_steps_of_some_lanes_equal_a_step_of_all(name: str, settings: str) -> None:
    rules, random = config(name, settings), np.random.default_rng(8)
    whole, _ = run(rules, steps=0)
    parts, _ = run(rules, steps=0)
    for actions in actions_of(6, 40):
        expected = [np.array(part) for part in whole.step(actions)[:4]]
        lanes = random.permutation(6)
        for some in (lanes[:2], lanes[2:]):
            found = parts.step_lanes(actions[some], some)[:4]
            assert same([*found], [part[some] for part in expected])
        assert all(same(value, parts.truth()[key]) for key, value in whole.truth().items())


@pytest.mark.ci
@pytest.mark.compiled
@pytest.mark.parametrize("name", WITHOUT_ROWS_COMPILED)
def test_any_number_of_threads_gives_the_same_bits(name: str) -> None:
    rules = config(name, "rows")
    _, one = run(rules, lanes=8200, steps=9)
    _, two = run(rules, lanes=8200, steps=9, num_threads=2)
    assert same(one, two)


@pytest.mark.ci
@everyone_and_all_settings
def test_the_single_environment_equals_a_lane(name: str, settings: str) -> None:
    rules = config(name, settings, max_episode_steps=1000)
    _, results = run(rules, lanes=1, steps=25)
    env = alsim.AdaptiveLearningEnv(config=rules)
    assert same(env.reset(seed=3)[0], results[0][0])
    for action, (observation, reward, terminated, _) in zip(actions_of(1, 25)[:, 0], results[1:], strict=True):
        step = env.step(action)
        assert same(step[0], observation[0]) and step[1] == reward[0]
        if terminated[0]:
            break


@pytest.mark.heavy
@everyone_and_all_settings
def test_a_restored_snapshot_continues_with_the_same_bits(name: str, settings: str) -> None:
    rules = config(name, settings)
    env, _ = run(rules, steps=10)
    snapshot = pickle.loads(pickle.dumps(env.snapshot()))
    assert snapshot == env.snapshot()
    following = actions_of(6, 20, seed=1)
    expected = [[np.array(part) for part in env.step(actions)[:4]] for actions in following]
    other = alsim.AdaptiveLearningVectorEnv(6, config=rules)
    other.reset(seed=99)
    other.restore(snapshot)
    assert same([[np.array(part) for part in other.step(actions)[:4]] for actions in following], expected)


@pytest.mark.heavy
@pytest.mark.ci
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        case(name, settings, quick=settings == "rows", compiled=name in WITHOUT_ROWS_COMPILED)
        for name in ALL
        for settings in SETTINGS
    ],
)
def test_compiled_rollouts_equal_those_in_python_and_their_replay(name: str, settings: str) -> None:
    class Python:
        name = "uniform"

        def act(self, view: Any, draws: Any) -> Any:
            return Uniform().act(view, draws)

    rules = config(name, settings)
    compiled, python = (
        alsim.rollout(policy, num_learners=20, seed=4, config=rules, episodes_per_learner=2)
        for policy in ("uniform", Python())
    )
    for field in ("obs", "final_obs", "propensity", "reason", "ability_start", "ability_final", "population_row"):
        assert same(getattr(compiled, field), getattr(python, field)), field
    assert all(same(a, b) for a, b in zip(compiled.interactions, python.interactions, strict=True))
    assert all(same(a, b) for a, b in zip(compiled.metrics, python.metrics, strict=True))
    from alsim.rollouts.replay import replay

    x = compiled.interactions
    recorded = {"learner": compiled.learner_id, "episode": compiled.episode, "length": x.length}
    obs, final = replay(
        rules, compiled.bank, 4, "mastery", **recorded, reason=compiled.reason, action=x.action, reward=x.reward
    )
    assert same(obs, compiled.obs) and same(final, compiled.final_obs)


CHANCES = 40_000 if COMPILED else 600
FALSE_ALARM = 1e-6
"""Probability with which a correct rule fails, for each dynamics; the seed is fixed."""


@pytest.mark.heavy
@pytest.mark.ci
@everyone
def test_answers_have_the_chance_of_the_truth(name: str) -> None:
    """The number of correct answers, minus the sum of the chances, has a known variance; z is about normal."""
    rules = config(name, "rows", num_questions_per_lo=3)
    env = alsim.AdaptiveLearningVectorEnv(CHANCES, config=rules, info="full")
    env.reset(seed=5)
    random = np.random.default_rng(6)
    for _ in range(6):  # with a break after the seventh interaction, so states are varied
        env.step(random.integers(0, 45, CHANCES))
    action = random.integers(0, 15, CHANCES)
    question = np.array([_question_of(env.bank, a) for a in range(15)])
    going = ~env._simulator.learners.finished  # the others are reset instead
    chance = env.truth(question)["chance"][np.arange(CHANCES), action].astype(float)[going]
    correct = env.step(action)[4]["correct"][going]
    z = (correct.sum() - chance.sum()) / np.sqrt((chance * (1 - chance)).sum())
    assert abs(z) < stats.norm.isf(FALSE_ALARM / 2)
    assert 0.02 < chance.mean() < 0.98


def _question_of(bank: alsim.Bank, action: int) -> int:
    """Return the only question of a cell."""
    found = np.flatnonzero((bank.questions.learning_outcome == action // 3) & (bank.questions.difficulty == action % 3))
    (question,) = found
    return int(question)


INTERPRETED = """
import json, sys
sys.path[:0] = sys.argv[1:]
import numpy as np
import test_contract as contract
print(json.dumps(contract.digests()))
"""


def digests() -> dict[str, str]:
    """Return a digest of some steps under every dynamics, with all settings whose kernels are compiled."""
    import hashlib

    found = {}
    for name in ALL:
        for settings in SETTINGS if name in WITHOUT_ROWS_COMPILED else ["rows"]:
            _, results = run(config(name, settings), lanes=5, steps=16, autoreset_mode="SameStep")
            parts = [results[0], *(part for step in results[1:] for part in step)]
            found[f"{name} {settings}"] = hashlib.sha256(b"".join(map(np.ndarray.tobytes, parts))).hexdigest()
    return found


@pytest.mark.ci
@pytest.mark.compiled
def test_machine_code_equals_the_interpreter() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERPRETED, str(Path(__file__).parent), str(Path(__file__).parents[1])],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == digests()


@pytest.mark.heavy
@pytest.mark.interpreted
@pytest.mark.parametrize(
    ("name", "neutral"),
    [
        ("linked", {"mastery_weight": 0}),
        ("prerequisites", {"strength": 0}),
        ("fatigue", {"learning_loss": 0, "slowing": 0}),
    ],
)
@pytest.mark.parametrize("settings", ["plain", "breaks"])
def test_neutral_parameters_give_the_standard_learner(name: str, neutral: dict[str, float], settings: str) -> None:
    expected = run(config("standard", settings), lanes=40)[1]
    changed = config("standard", settings, dynamics={"name": name, **neutral})
    assert same(run(changed, lanes=40)[1], expected)
    assert not same(run(config(name, settings), lanes=40)[1], expected)


@pytest.mark.heavy
@pytest.mark.parametrize("name", [case(name, quick=False, compiled=name in WITHOUT_ROWS_COMPILED) for name in ALL])
def test_equal_rows_give_the_bits_of_one_row(name: str) -> None:
    thousand = [{"share": 0.001} for _ in range(1000)]
    one, many = config(name, "breaks"), config(name, "breaks", population=thousand)
    assert same(run(one, lanes=30)[1], run(many, lanes=30)[1])
    row = config(name, "breaks", population=[{"share": 1.0}])
    assert same(run(row, lanes=30)[1], run(one, lanes=30)[1])
