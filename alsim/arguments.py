"""Checks of arguments that environments, rollouts and datasets share: rules, bank, seeds, learners, counts."""

from __future__ import annotations

import operator
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from alsim.bank.items import Bank, BankError, sample_bank
from alsim.config import MOST_STEPS, Config
from alsim.dynamics import find_dynamics, known_dynamics, unknown_dynamics
from alsim.errors import AlsimError, InputTypeError
from alsim.types import MAX_LEARNERS, OBSERVATIONS, Observation

NUM_SEEDS = 2**64
MAX_EPISODES = 2**32  # the number of an episode is one word of the random counter (clause S11.1)


def read_rules(
    config: Config | Mapping[str, Any] | str | Path | None,
    bank: Bank | Mapping[str, Any] | str | Path | None,
    dynamics: Any,
    max_episode_steps: int | None = None,
) -> tuple[Config, Bank]:
    """Return the configuration and the bank of a simulator.

    config             Config, mapping or path of a TOML file; None is the specification
    bank               Bank, mapping of rows, or directory of tables; None samples it from the configuration
    dynamics           name or parameters of a registered dynamics that replaces the one of the configuration; None
                       keeps it
    max_episode_steps  step limit that replaces the one of the configuration; None keeps it

    Raises ConfigError, BankError, or ValueError for an unknown dynamics or an invalid step limit.
    """
    if isinstance(dynamics, str) and find_dynamics(dynamics) is None:
        raise AlsimError(
            f"dynamics must be one of {', '.join(known_dynamics(without=dynamics))}, or parameters of one; "
            f"got {dynamics!r}; {unknown_dynamics(dynamics)}"
        )
    limit = None if max_episode_steps is None else _read_step_limit(max_episode_steps)
    replaced = {"dynamics": dynamics, "max_episode_steps": limit}
    settings = Config.read(config, **{key: value for key, value in replaced.items() if value is not None})
    items = sample_bank(settings) if bank is None else _read_bank(bank)
    if settings.curriculum is not None:
        settings.curriculum.graph(items.outcomes)  # raises an error for outcomes that the bank does not have
    return settings, items


def _read_bank(bank: Bank | Mapping[str, Any] | str | Path) -> Bank:
    """Return a bank from a mapping of rows or a directory of tables. Raises BankError."""
    if isinstance(bank, Bank):
        return bank
    if not isinstance(bank, Mapping | str | Path):
        raise BankError(f"a bank must be a Bank, a mapping of rows or a directory of tables; got {bank!r}")
    from alsim.bank.files import bank_from_rows, load_bank

    return bank_from_rows(bank) if isinstance(bank, Mapping) else load_bank(bank)


def _read_step_limit(steps: Any) -> int:
    """Return a step limit as a Python integer. Raises ValueError for other values."""
    number = read_integer(steps)
    if number is None or not 1 <= number <= MOST_STEPS:
        raise AlsimError(
            f"max_episode_steps must be an integer in [1, {MOST_STEPS}]; got {steps!r}: leave it out to use the step "
            "limit of the configuration"
        )
    return number


def read_observation(observation: str) -> Observation:
    """Return the kind of observation. Raises ValueError for an unknown kind."""
    for known in OBSERVATIONS:
        if observation == known:
            return known
    raise AlsimError(f"observation must be one of {', '.join(map(repr, OBSERVATIONS))}; got {observation!r}")


def read_seed(seed: object, where: str = "seed") -> int:
    """Return a seed as a Python integer. Raises TypeError or ValueError."""
    return _integer(seed, NUM_SEEDS, "2**64", where)


def read_learner(learner: object, where: str = "options['learner']") -> int:
    """Return a learner's index as a Python integer. Raises TypeError or ValueError."""
    return _integer(learner, MAX_LEARNERS, "2**32", where)


def read_episode(episode: object, where: str = "options['episode']") -> int:
    """Return the number of a learner's episode as a Python integer. Raises TypeError or ValueError."""
    return _integer(episode, MAX_EPISODES, "2**32", where)


def _integer(value: Any, end: int, end_text: str, where: str) -> int:
    """Return an integer in [0, end). Raises TypeError or ValueError."""
    number = read_integer(value)
    if number is None:
        raise InputTypeError(f"{where} must be an integer in [0, {end_text}); got {value!r}")
    if not 0 <= number < end:
        raise AlsimError(f"{where} must be an integer in [0, {end_text}); got {number}")
    return number


def read_integer(value: Any) -> int | None:
    """Return a Python or NumPy integer as a Python integer, None for other values and booleans."""
    try:
        return None if isinstance(value, bool | np.bool_) else operator.index(value)
    except TypeError:
        return None


def read_action(action: Any, num_actions: int) -> int:
    """Return a valid action as a Python integer. Raises TypeError or ValueError."""
    number = read_integer(action)
    if number is None:
        raise InputTypeError(f"an action must be an integer in [0, {num_actions}); got {action!r}")
    if not 0 <= number < num_actions:
        raise AlsimError(f"an action must be an integer in [0, {num_actions}); got {number}")
    return number


def read_options(options: Mapping[str, Any] | None, known: tuple[str, ...]) -> dict[str, Any]:
    """Return the reset options as a dict. Raises TypeError if they are not a mapping, ValueError for an unknown key."""
    if options is not None and not isinstance(options, Mapping):
        raise InputTypeError(f"options must be a mapping of {', '.join(map(repr, known))}; got {options!r}")
    for key in options or {}:
        if key not in known:
            raise AlsimError(f"reset options must be among {', '.join(map(repr, known))}; got {key!r}")
    return dict(options or {})


def fresh_seed() -> int:
    """Return a random seed from the operating system."""
    return secrets.randbits(64)


def read_positive(value: Any, name: str) -> int:
    """Return an integer of at least 1 as a Python integer. Raises ValueError for other values."""
    number = read_integer(value)
    if number is None or number < 1:
        raise AlsimError(f"{name} must be an integer of at least 1; got {value!r}")
    return number
