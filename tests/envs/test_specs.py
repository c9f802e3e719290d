"""Specs of environments: as JSON, copied, pickled and compared."""

import copy
import json
import pickle
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from vector_envs import SHORT, batches, play, same_calls

import alsim
from alsim import AdaptiveLearningEnv, AdaptiveLearningVectorEnv, Bank, Config
from alsim.bank.items import BankError
from alsim.config import Irt, TerminationConfig
from alsim.dynamics.standard import Standard
from alsim.envs.specs import to_plain

pytestmark = pytest.mark.gymnasium

ID = "alsim/AdaptiveLearning-v0"
CONFIG = Config.read({**SHORT, "dynamics": Standard(learning_rate=0.1, gain_noise=1 / 3), "bank": {"seed": 5}})
PLAIN = (str, int, float, bool, type(None))


def named_bank() -> Bank:
    """Return a bank whose outcomes have names."""
    bank = alsim.sample_bank(CONFIG)
    names = ("algebra", "fractions, decimals", 'the "rest"', "Größen")
    return Bank(names, bank.questions, bank.contents)


ARGUMENTS: dict[str, dict[str, Any]] = {
    "Config": {"config": CONFIG},
    "Bank": {"config": CONFIG, "bank": alsim.sample_bank(CONFIG)},
    "named Bank": {"config": CONFIG, "bank": named_bank()},
    "dynamics": {"dynamics": Standard(ability_gain=0.3)},
    "dynamics in a mapping": {"config": {**SHORT, "dynamics": Standard(ability_gain=0.3)}},
    "sections": {"config": {"irt": Irt(guessing_range=(0.0, 0.1)), "termination": TerminationConfig()}},
    "NumPy numbers": {"config": {"num_los": np.int64(4), "irt": {"guessing_range": (np.float32(0), np.float64(0.1))}}},
    "names": {"info": "flat", "observation": "responses"},
}


def rules(env: Any) -> tuple[Any, ...]:
    """Return everything that determines an environment."""
    own = env.unwrapped
    return own.config, type(own.config.dynamics), own.bank, own.info, own.observation_space


def is_plain(value: Any) -> bool:
    """Return whether JSON represents a value exactly as it is."""
    if type(value) is dict:
        return all(type(key) is str and is_plain(entry) for key, entry in value.items())
    return all(map(is_plain, value)) if type(value) is list else type(value) in PLAIN


COPIES = {
    "JSON": lambda spec: EnvSpec.from_json(spec.to_json()),
    "JSON twice": lambda spec: EnvSpec.from_json(gymnasium.make(EnvSpec.from_json(spec.to_json())).spec.to_json()),
    "deepcopy": copy.deepcopy,
    "pickle": lambda spec: pickle.loads(pickle.dumps(spec)),
    "itself": lambda spec: spec,
    "replace": replace,
}


@pytest.mark.ci
@pytest.mark.parametrize("copied", COPIES)
@pytest.mark.parametrize("name", ARGUMENTS)
def test_the_spec_of_a_single_environment(name: str, copied: str) -> None:
    env = gymnasium.make(ID, **ARGUMENTS[name])
    spec: Any = env.spec
    twin = gymnasium.make(COPIES[copied](spec))
    assert rules(twin) == rules(env)
    assert (COPIES[copied](spec) == spec, spec == COPIES[copied](spec)) == (True, True)
    assert twin.spec == spec
    env.reset(seed=1)
    twin.reset(seed=1)
    for action in (0, 13, 5):
        one, two = env.step(action), twin.step(action)
        assert one[0].tobytes() == two[0].tobytes()
        assert one[1:4] == two[1:4]


@pytest.mark.ci
@pytest.mark.parametrize("copied", ["JSON", "deepcopy", "pickle", "itself", "replace"])
@pytest.mark.parametrize("mode", AutoresetMode)
def test_the_spec_of_a_vector_environment(mode: AutoresetMode, copied: str) -> None:
    env: Any = gymnasium.make_vec(
        *(ID, 3),
        config=CONFIG,
        bank=named_bank(),
        dynamics=Standard(learning_rate=0.2),
        autoreset_mode=mode,
        info="full",
        max_episode_steps=9,
    )
    twin: Any = gymnasium.make_vec(COPIES[copied](env.spec))
    assert isinstance(twin, AdaptiveLearningVectorEnv)
    assert rules(twin) == rules(env)
    assert (twin.num_envs, twin.autoreset_mode, twin.config.max_episode_steps) == (3, mode, 9)
    assert twin.spec == env.spec
    same_calls(play(env, batches(3, 40)), play(twin, batches(3, 40)))


def test_the_spec_of_a_vector_environment_of_gymnasium() -> None:
    """An enum among the arguments of SyncVectorEnv, and a Config among those of its environments."""
    env: Any = gymnasium.make_vec(
        *(ID, 2),
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP},
        config=CONFIG,
    )
    twin: Any = gymnasium.make_vec(EnvSpec.from_json(env.spec.to_json()))
    assert isinstance(twin, SyncVectorEnv)
    assert twin.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    assert [rules(single) for single in twin.envs] == [rules(single) for single in env.envs]


@pytest.mark.parametrize("name", ARGUMENTS)
def test_json_contains_plain_values_only(name: str) -> None:
    spec: Any = gymnasium.make(ID, **ARGUMENTS[name]).spec
    assert is_plain(json.loads(spec.to_json()))
    assert is_plain(to_plain(spec.kwargs))
    assert json.loads(json.dumps(to_plain(spec.kwargs))) == to_plain(spec.kwargs)


def test_the_arguments_of_a_spec_are_those_of_the_caller() -> None:
    bank = alsim.sample_bank(CONFIG)
    spec: Any = gymnasium.make(ID, config=CONFIG, bank=bank).unwrapped.spec  # wrappers copy it
    assert spec.kwargs["config"] is CONFIG
    assert spec.kwargs["bank"] is bank


def test_paths(tmp_path: Path) -> None:
    """A path stays a path in JSON: the file is read again."""
    alsim.save_bank(named_bank(), tmp_path / "bank")
    env = gymnasium.make(ID, bank=tmp_path / "bank")
    assert env.spec is not None
    assert json.loads(env.spec.to_json())["kwargs"] == {"bank": str(tmp_path / "bank")}
    assert rules(gymnasium.make(EnvSpec.from_json(env.spec.to_json()))) == rules(env)


def test_wrappers_are_part_of_the_spec() -> None:
    env: Any = gymnasium.wrappers.TimeAwareObservation(gymnasium.make(ID, config=CONFIG, max_episode_steps=20))
    twin = gymnasium.make(EnvSpec.from_json(env.spec.to_json()))
    assert str(twin) == str(env)
    assert rules(twin) == rules(env)


def test_a_bank_without_a_form_in_json() -> None:
    """Outcomes are numbered in the order of their first question, so that no rows give another order."""
    names = tuple(reversed([str(lo) for lo in range(4)]))
    bank = alsim.sample_bank(CONFIG)
    env = gymnasium.make(ID, config=CONFIG, bank=Bank(names, bank.questions, bank.contents))
    assert env.spec is not None
    with pytest.raises(BankError, match=r"JSON cannot represent the bank: .*; the outcomes are 3, 2, 1, 0"):
        env.spec.to_json()
    assert rules(gymnasium.make(env.spec)) == rules(env)


def test_numpy_numbers_arguments() -> None:
    """NumPy values at the top level of the arguments."""
    env: Any = gymnasium.make_vec(ID, np.int64(2), num_threads=np.int8(1), config={"num_los": np.int64(4)})
    twin: Any = gymnasium.make_vec(EnvSpec.from_json(env.spec.to_json()))
    assert (twin.num_envs, rules(twin)) == (2, rules(env))


def test_values_without_a_form_in_json() -> None:
    spec: Any = copy.deepcopy(gymnasium.make(ID).spec)
    spec.kwargs["config"] = object()
    with pytest.raises(TypeError, match="not JSON serializable"):
        spec.to_json()


def test_equality() -> None:
    spec: Any = gymnasium.make(ID, config=CONFIG).spec
    assert spec != gymnasium.make(ID).spec
    assert spec != gymnasium.make(ID, config=CONFIG.to_dict(), info="none").spec
    assert spec == gymnasium.make(ID, config=CONFIG.to_dict()).spec
    assert spec != "spec"
    with pytest.raises(TypeError, match="unhashable"):
        hash(spec)


@pytest.mark.parametrize("kind", [AdaptiveLearningEnv, partial(AdaptiveLearningVectorEnv, 2)])
def test_environments_created_from_the_class_have_no_spec(kind: Any) -> None:
    env = kind()
    assert env.spec is None
    env.spec = gymnasium.spec(ID)
    assert env.spec == gymnasium.spec(ID)
    env.spec = None
    assert env.spec is None


def test_the_registry() -> None:
    assert gymnasium.spec(ID).to_json() == EnvSpec.from_json(gymnasium.spec(ID).to_json()).to_json()
    listed = gymnasium.pprint_registry(disable_print=True)
    assert f"===== alsim =====\n{ID}" in str(listed)
    assert ID in str(gymnasium.spec(ID).pprint(disable_print=True))
