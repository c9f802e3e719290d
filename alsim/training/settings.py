"""Hyperparameters of the training algorithms, with tuned defaults."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from alsim.config.sections import Count, NotNegative, Positive, Section, Share, error_message
from alsim.errors import AlsimError
from alsim.types import Activation
from alsim.utils.reading import read_toml, reason

Algorithm = Literal["ppo", "dqn"]
Backend = Literal["alsim", "sb3"]
Value = TypeVar("Value")
Widths = tuple[Annotated[int, Field(ge=1, le=4096)], ...]
Lanes = Annotated[int, Field(ge=1, le=65_536)]
"""Number of lanes, limited because Stable-Baselines3 loops over lanes in Python and keeps rollouts in memory."""
Discount = Annotated[float, Field(ge=0, le=1)]


class TrainingError(AlsimError):
    """Error for invalid settings or an invalid directory of a training. The message names the expected value."""


def divergence(steps: int, where: str = "") -> TrainingError:
    """Return the error for a training that diverged before this number of interactions.

    where  start of the message: "" or a directory and a colon
    """
    return TrainingError(
        f"{where}the training diverged: after {steps:,} interactions, its networks have weights that are not finite or "
        "very large; use a lower learning_rate"
    )


class Hyperparameters(Section):
    """Hyperparameters of all algorithms. Names that also exist in Stable-Baselines3 have the same meaning there."""

    text_keys = frozenset({"activation"})

    steps: Count = 1_000_000
    """Number of interactions, over all lanes; rounded up to complete rollouts."""
    num_envs: Lanes = 512
    """Number of lanes."""
    learning_rate: Positive = 1e-3
    final_learning_rate: Positive = 1e-4
    """Learning rate at the end of the training. It changes linearly from `learning_rate`."""
    gamma: Discount = 0.95
    """Discount factor per interaction."""
    max_grad_norm: Positive = 0.5
    """Maximum norm of a gradient; longer ones are shortened."""
    net_arch: Widths = (64, 64)
    """Widths of the hidden layers."""
    activation: Activation = "tanh"
    """Activation function between layers."""

    @property
    def rollout_steps(self) -> int:
        """Interactions between updates, over all lanes: trainings consist of complete rollouts."""
        raise NotImplementedError

    @property
    def total_steps(self) -> int:
        """Number of interactions of the training: `steps`, rounded up to complete rollouts."""
        return -(-self.steps // self.rollout_steps) * self.rollout_steps

    @classmethod
    def read(cls, source: Hyperparameters | Mapping[str, Any] | str | Path | None, **overrides: Any) -> Self:
        """Return hyperparameters from a source.

        source     an object, a mapping, a TOML file, or None for the defaults
        overrides  values that replace those of the source; None keeps the value of the source

        Raises TrainingError, which names the file, the key, its value and what was expected.
        """
        where = f"{source}: " if isinstance(source, str | Path) else ""
        table = _table(cls, source) | {key: value for key, value in overrides.items() if value is not None}
        try:
            return cls.model_validate(table)
        except ValidationError as error:
            errors = error.errors()
            unknown = [str(e["loc"][0]) for e in errors if e["type"] == "extra_forbidden"]
            messages = [*(error_message(e, cls) for e in errors), *_backends_with(unknown, cls)]
            raise TrainingError(where + "; ".join(messages)) from None


class RolloutHyperparameters(Hyperparameters):
    """Hyperparameters of algorithms that collect a rollout, make gradient steps with it, and forget it."""

    n_steps: Count = 8
    """Interactions per lane between updates."""
    minibatches: Count = 4
    """Number of minibatches per rollout, each with one gradient step per epoch."""
    n_epochs: Count = 1
    """Number of passes over a rollout."""

    @property
    def rollout_steps(self) -> int:
        """Interactions between updates, over all lanes."""
        return self.num_envs * self.n_steps

    @model_validator(mode="after")
    def _check_minibatches(self) -> Self:
        rows = self.num_envs * self.n_steps
        if rows % self.minibatches or rows // self.minibatches < 2:
            raise PydanticCustomError(
                "hyperparameters",
                "minibatches must divide num_envs * n_steps = {rows} into equal parts of at least 2; got {minibatches}",
                {"rows": rows, "minibatches": self.minibatches},
            )
        return self


class ProximalHyperparameters(RolloutHyperparameters):
    """Hyperparameters of proximal policy optimization (Schulman et al., 2017, arXiv:1707.06347)."""

    gae_lambda: Share = 0.95
    """Lambda of generalized advantage estimation (Schulman et al., 2016, arXiv:1506.02438)."""
    clip_range: Positive = 0.2
    """Clipping range of the probability ratio."""
    ent_coef: NotNegative = 0.003
    """Weight of the entropy bonus."""
    vf_coef: NotNegative = 0.5
    """Weight of the value loss."""


class PPO(ProximalHyperparameters):
    """Hyperparameters of PPO. The policy and the value share all hidden layers."""

    steps: Count = 500_000
    learning_rate: Positive = 5e-3
    final_learning_rate: Positive = 1e-4
    gae_lambda: Share = 0.9
    vf_coef: NotNegative = 1.0
    normalize_observations: bool = False
    """Divide observations by their standard deviation so far, after subtracting the mean."""
    normalize_rewards: bool = False
    """Divide rewards by the standard deviation of discounted returns so far."""


class DQN(RolloutHyperparameters):
    """Hyperparameters of deep Q-learning without replay, PQN (Gallici et al., 2024, arXiv:2407.04811)."""

    steps: Count = 2_000_000
    final_learning_rate: Positive = 1e-5
    gamma: Discount = 0.9
    q_lambda: Share = 0.9
    """Lambda of the targets: 0 bootstraps from the next value, 1 from the end of the rollout."""
    max_grad_norm: Positive = 10.0
    exploration_fraction: Share = 0.1
    """Share of the training during which epsilon falls linearly from 1 to exploration_final_eps."""
    exploration_final_eps: Share = 0.03
    """Epsilon in the rest of the training."""
    temperature: NotNegative = 0.1
    """Actions are drawn from the softmax of value / temperature, in the units of rewards; 0 takes the best one."""
    epsilon: Share = 0.01
    """Epsilon of the trained policy. A greedy policy may repeat one content forever."""
    normalize_observations: bool = False
    """See PPO."""
    normalize_rewards: bool = False
    """See PPO."""


class SB3PPO(ProximalHyperparameters):
    """Hyperparameters of PPO with Stable-Baselines3. The policy and the value have networks of their own."""

    n_epochs: Count = 2
    learning_rate: Positive = 3e-3
    final_learning_rate: Positive = 3e-4
    torch_threads: Count = 1
    """Threads of PyTorch; more threads are slower for such small networks."""


class SB3DQN(Hyperparameters):
    """Hyperparameters of deep Q-learning (Mnih et al., 2015, doi:10.1038/nature14236) with Stable-Baselines3."""

    num_envs: Lanes = 64
    gamma: Discount = 0.9
    max_grad_norm: Positive = 10.0
    buffer_size: Count = 300_000
    """Size of the replay buffer, interactions."""
    learning_starts: Count = 10_000
    """Interactions before the first gradient step."""
    batch_size: Count = 256
    """Interactions per gradient step."""
    train_freq: Count = 1
    """Interactions per lane between updates."""
    gradient_steps: Count = 4
    """Gradient steps per update."""
    target_update_interval: Count = 2_000
    """Interactions between updates of the target network."""
    exploration_fraction: Share = 0.1
    """Share of the training during which epsilon falls linearly from 1 to exploration_final_eps."""
    exploration_final_eps: Share = 0.03
    """Epsilon in the rest of the training."""
    epsilon: Share = 0.02
    """Epsilon of the trained policy. A greedy policy may repeat one content forever."""
    net_arch: Widths = (128, 128)
    activation: Activation = "relu"
    torch_threads: Count = 1
    """See SB3PPO."""

    @property
    def rollout_steps(self) -> int:
        """Interactions between updates, over all lanes."""
        return self.num_envs * self.train_freq

    @model_validator(mode="after")
    def _check_buffer(self) -> Self:
        if self.buffer_size < self.num_envs:
            raise PydanticCustomError(
                "hyperparameters",
                "buffer_size must be at least num_envs = {num_envs}; got {buffer_size}",
                {"num_envs": self.num_envs, "buffer_size": self.buffer_size},
            )
        return self


Settings = PPO | DQN | SB3PPO | SB3DQN
HYPERPARAMETERS: dict[Backend, dict[Algorithm, type[Settings]]] = {
    "alsim": {"ppo": PPO, "dqn": DQN},
    "sb3": {"ppo": SB3PPO, "dqn": SB3DQN},
}
"""The class of hyperparameters of each algorithm, by backend."""


def _backends_with(keys: list[str], model: type[Hyperparameters]) -> list[str]:
    """Return a phrase for each other backend whose class for the same algorithm has some of the keys."""
    phrases = []
    for backend, classes in HYPERPARAMETERS.items():
        for algorithm, other in classes.items():
            known = [key for key in keys if key in other.model_fields]
            is_sibling = any(siblings[algorithm] is model for siblings in HYPERPARAMETERS.values())
            if known and is_sibling and other is not model:
                phrases.append(f"backend={backend!r} (--backend {backend}) has {', '.join(known)}")
    return phrases


def read_hyperparameters(algorithm: str, source: Any, *, backend: str = "alsim", **overrides: Any) -> Settings:
    """Return the hyperparameters of an algorithm from a source, see `Hyperparameters.read`. Raises TrainingError."""
    classes = _choice(HYPERPARAMETERS, backend, "backend")
    return _choice(classes, algorithm, "algorithm").read(source, **overrides)


def given_hyperparameters(algorithm: Algorithm, source: Any) -> dict[str, Any]:
    """Return the values that a source gives, without defaults and not validated. Raises TrainingError."""
    return _table(HYPERPARAMETERS["alsim"][algorithm], source)


def _choice(options: Mapping[Any, Value], name: str, parameter: str) -> Value:
    """Return the option with a name. Raises TrainingError for an unknown one."""
    if name not in options:
        raise TrainingError(f"{parameter} must be one of {', '.join(map(repr, options))}; got {name!r}")
    return options[name]


def _table(model: type[Hyperparameters], source: Any) -> dict[str, Any]:
    """Return the values of a source as a mapping. Raises TrainingError."""
    if source is None:
        return {}
    if isinstance(source, model):
        return source.model_dump(exclude_unset=True)
    if isinstance(source, Mapping):
        return dict(source)
    if not isinstance(source, str | Path):
        raise TrainingError(f"hyperparameters must be {model.__name__}, a mapping or a TOML file; got {source!r}")
    try:
        return read_toml(source)
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"{source}: expected a TOML file of hyperparameters, with lines such as gamma = 0.9: {reason(error)}"
        ) from None
