"""The validated arguments of a training."""

from __future__ import annotations

import hashlib
import json
import logging
from typing import Any, NamedTuple, cast

import numpy as np

from alsim.arguments import read_observation, read_positive, read_rules, read_seed
from alsim.bank.items import Bank
from alsim.config import REWARD_PRESETS, Config
from alsim.policies.network import PolicyError, check_name
from alsim.training.settings import (
    Algorithm,
    Backend,
    RolloutHyperparameters,
    Settings,
    TrainingError,
    read_hyperparameters,
)
from alsim.types import Observation, short_repr
from alsim.utils.text import counted

EVALUATIONS = 20
"""Default number of evaluations."""
FEW_ROLLOUTS = 10
"""Number of rollouts below which a training with PPO logs a note."""
BASELINES = ("uniform", "rules")
"""Policies with which the trained policy is compared."""

log = logging.getLogger(__name__)


@short_repr
class TrainingPlan(NamedTuple):
    """The validated arguments of `train`."""

    algorithm: Algorithm
    backend: Backend
    hyperparameters: Settings
    seed: int
    config: Config
    bank: Bank
    observation: Observation
    eval_every: int
    num_threads: int
    name: str

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that determines the result of the training, JSON-ready."""
        return {
            "algorithm": self.algorithm,
            "backend": self.backend,
            "name": self.name,
            "seed": self.seed,
            "observation": self.observation,
            "eval_every": self.eval_every,
            "hyperparameters": json.loads(self.hyperparameters.model_dump_json()),
            "config": self.config.to_dict(),
            "bank": bank_digest(self.bank),
        }


def read_plan(
    *,
    algorithm: str,
    hyperparameters: Any,
    steps: int | None,
    num_envs: int | None,
    seed: int,
    config: Any,
    bank: Any,
    dynamics: Any,
    observation: str,
    reward: str | None,
    eval_every: int | None,
    num_threads: int,
    name: str | None = None,
    backend: str = "alsim",
) -> TrainingPlan:
    """Return the validated arguments of `train`. Raises AlsimError."""
    settings = read_hyperparameters(algorithm, hyperparameters, backend=backend, steps=steps, num_envs=num_envs)
    rules, items = read_rules(config, bank, dynamics)
    if reward is not None:
        if reward not in REWARD_PRESETS:
            raise TrainingError(f"reward must be one of {', '.join(map(repr, REWARD_PRESETS))}; got {reward!r}")
        rules = rules.model_copy(update={"reward_weights": REWARD_PRESETS[reward]})
    interval = max(1, settings.steps // EVALUATIONS) if eval_every is None else eval_every
    return TrainingPlan(
        algorithm=cast(Algorithm, algorithm),  # `read_hyperparameters` has checked both
        backend=cast(Backend, backend),
        hyperparameters=settings,
        seed=read_seed(seed),
        config=rules,
        bank=items,
        observation=read_observation(observation),
        eval_every=read_positive(interval, "eval_every"),
        num_threads=read_positive(num_threads, "num_threads"),
        name=_read_name(name, algorithm),
    )


def _read_name(name: str | None, algorithm: str) -> str:
    """Return the name of the policy of a training. Raises TrainingError for an invalid one."""
    if name is None:
        return algorithm
    try:
        check_name(name)
    except PolicyError as error:
        raise TrainingError(f"name: {error}") from None
    if name in BASELINES:
        raise TrainingError(
            f"name must differ from {' and '.join(BASELINES)}, with which the policy is compared; got {name!r}"
        )
    return name


def bank_digest(bank: Bank) -> str:
    """Return the SHA-256 of all items of a bank, in hexadecimal."""
    digest = hashlib.sha256(json.dumps([bank.outcomes, bank.questions.id, bank.contents.id]).encode())
    for column in (*bank.questions[1:], *bank.contents[1:]):
        digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()


def log_notes(plan: TrainingPlan) -> None:
    """Log how the number of interactions is rounded, and whether there are too few rollouts to learn much."""
    h = plan.hyperparameters
    rollouts = counted(h.total_steps // h.rollout_steps, "rollout")
    if h.total_steps != h.steps:
        verb = "is" if h.steps == 1 else "are"
        steps = f"{counted(h.steps, 'interaction')} {verb} rounded up to {h.total_steps:,}"
        log.info(f"{steps}: {rollouts} of {h.rollout_steps:,}")
    if isinstance(h, RolloutHyperparameters) and h.total_steps < FEW_ROLLOUTS * h.rollout_steps:
        log.info(
            f"the training has {rollouts}, too few to learn much: networks are updated once per rollout; use "
            "more steps, a smaller num_envs (--num-envs), or a smaller n_steps (in --settings)"
        )


__all__ = ["BASELINES", "TrainingPlan", "bank_digest", "log_notes", "read_plan"]
