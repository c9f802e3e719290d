"""Hyperparameters of training: one definition each, with the values that worked as defaults."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from alsim.config import Count, NotNegative, Positive, Section, Share, sentence
from alsim.errors import AlsimError

Algorithm = Literal["ppo", "dqn"]
Activation = Literal["tanh", "relu"]
Widths = tuple[Annotated[int, Field(ge=1, le=4096)], ...]
Lanes = Annotated[int, Field(ge=1, le=65_536)]
"""Stable-Baselines3 loops over them in Python at every step, and keeps rollouts of all of them in memory."""
Discount = Annotated[float, Field(ge=0, le=1)]


class TrainingError(AlsimError):
    """A training that cannot be: the message names the setting or the directory, and what was expected."""


class Hyperparameters(Section):
    """What both algorithms have. Names are Stable-Baselines3's, where it has one."""

    words = frozenset({"activation"})

    steps: Count = 1_000_000
    """Interactions to train for, those of all lanes together; whole rollouts are completed."""
    num_envs: Lanes = 256
    """Lanes."""
    learning_rate: Positive = 1e-3
    final_learning_rate: Positive = 1e-3
    """Reached at the end, linearly."""
    gamma: Discount = 0.99
    """Discount of rewards, an interaction."""
    max_grad_norm: Positive = 10.0
    net_arch: Widths = (64, 64)
    """Widths of the hidden layers."""
    activation: Activation = "tanh"
    """Between layers."""
    torch_threads: Count = 1
    """Threads of PyTorch; for networks as small as these, more cost more than they bring."""

    @classmethod
    def read(cls, source: Hyperparameters | Mapping[str, Any] | str | Path | None, **given: Any) -> Self:
        """Return the hyperparameters that `source` is or names, those `given` in place of its own.

        source  an object, a mapping, a TOML file, None for the defaults
        given   None leaves a key as it is

        Raises TrainingError, which names the file, the key, its value and what was expected.
        """
        where = f"{source}: " if isinstance(source, str | Path) else ""
        table = _table(cls, source) | {key: value for key, value in given.items() if value is not None}
        try:
            return cls.model_validate(table)
        except ValidationError as error:
            raise TrainingError(where + "; ".join(sentence(e, cls) for e in error.errors())) from None


class PPO(Hyperparameters):
    """Of proximal policy optimisation (Schulman et al., 2017, arXiv:1707.06347)."""

    steps: Count = 4_000_000
    num_envs: Lanes = 256
    n_steps: Count = 128
    """Interactions of each lane between updates."""
    minibatches: Count = 8
    """Parts that a rollout is cut into; each makes one gradient step an epoch."""
    n_epochs: Count = 4
    learning_rate: Positive = 1e-3
    final_learning_rate: Positive = 1e-4
    gamma: Discount = 0.95
    gae_lambda: Share = 0.95
    clip_range: Positive = 0.2
    ent_coef: NotNegative = 0.003
    """Weight of the entropy."""
    vf_coef: NotNegative = 0.5
    """Weight of the value's error."""
    max_grad_norm: Positive = 0.5

    @model_validator(mode="after")
    def _minibatches_are_alike(self) -> Self:
        rows = self.num_envs * self.n_steps
        if rows % self.minibatches or rows // self.minibatches < 2:
            raise PydanticCustomError(
                "minibatches",
                "minibatches that cut num_envs * n_steps = {rows} into equal parts of at least 2; got {minibatches}",
                {"rows": rows, "minibatches": self.minibatches},
            )
        return self


class DQN(Hyperparameters):
    """Of deep Q-learning (Mnih et al., 2015, doi:10.1038/nature14236)."""

    steps: Count = 1_000_000
    num_envs: Lanes = 64
    learning_rate: Positive = 1e-3
    final_learning_rate: Positive = 1e-4
    gamma: Discount = 0.9
    buffer_size: Count = 300_000
    """Interactions that are remembered."""
    learning_starts: Count = 10_000
    """Interactions before the first gradient step."""
    batch_size: Count = 256
    train_freq: Count = 1
    """Interactions of each lane between updates."""
    gradient_steps: Count = 4
    """Of each update."""
    target_update_interval: Count = 2_000
    """Interactions between copies of the network to its target."""
    exploration_fraction: Share = 0.1
    """Share of the training in which epsilon falls from 1."""
    exploration_final_eps: Share = 0.03
    epsilon: Share = 0.02
    """Of the policy that is kept: a greedy one may repeat one content for ever."""
    net_arch: Widths = (128, 128)
    activation: Activation = "relu"

    @model_validator(mode="after")
    def _buffer_holds_a_batch(self) -> Self:
        if self.buffer_size < self.num_envs:
            raise PydanticCustomError(
                "buffer",
                "buffer_size of at least num_envs = {num_envs}; got {buffer_size}",
                {"num_envs": self.num_envs, "buffer_size": self.buffer_size},
            )
        return self


ALGORITHMS: dict[str, type[PPO] | type[DQN]] = {"ppo": PPO, "dqn": DQN}
"""The hyperparameters of each algorithm, by name."""


def read_hyperparameters(algorithm: str, source: Any, **given: Any) -> PPO | DQN:
    """Return the hyperparameters of an algorithm; see `Hyperparameters.read`. Raises TrainingError."""
    if algorithm not in ALGORITHMS:
        raise TrainingError(f"algorithm is one of {', '.join(map(repr, ALGORITHMS))}; got {algorithm!r}")
    return ALGORITHMS[algorithm].read(source, **given)


def _table(model: type[Hyperparameters], source: Any) -> dict[str, Any]:
    """Return what `source` is or names as a mapping."""
    if source is None:
        return {}
    if isinstance(source, model):
        return source.model_dump()
    if isinstance(source, Mapping):
        return dict(source)
    if not isinstance(source, str | Path):
        raise TrainingError(f"hyperparameters are of {model.__name__}, a mapping or a TOML file; got {source!r}")
    try:
        return tomllib.loads(Path(source).read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise TrainingError(f"{source}: hyperparameters are a TOML file; {error}") from None
