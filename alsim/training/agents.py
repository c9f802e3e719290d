"""Trainings in memory: `ppo` and `dqn` for simulated learners, and for any vector environment of Gymnasium."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from gymnasium.vector import VectorEnv

from alsim.arguments import read_observation, read_positive, read_rules, read_seed
from alsim.config import Config
from alsim.policies.network import FORBIDDEN, Acting, Network, NetworkPolicy, sample_actions
from alsim.training.algorithms.on_policy import OnPolicy
from alsim.training.curve import Row, row_is_due, training_row
from alsim.training.lanes import Lanes, MaskFunction, check_spaces
from alsim.training.native import new_algorithm, one_blas_thread
from alsim.training.settings import (
    DQN,
    PPO,
    Algorithm,
    TrainingError,
    divergence,
    given_hyperparameters,
    read_hyperparameters,
)
from alsim.training.simulated import SimulatedLanes
from alsim.types import Bools, Longs, Observation, short_repr

Masks = MaskFunction | Bools | None


@short_repr
class Update(NamedTuple):
    """Progress of a training, before a rollout."""

    steps: int
    """Number of interactions so far, over all lanes."""
    total: int
    """Number of interactions of the whole training."""
    algorithm: OnPolicy

    @property
    def network(self) -> Network:
        """The current network, a copy."""
        return self.algorithm.network


@short_repr
@dataclass(frozen=True)
class Agent:
    """A trained network, and how it acts.

    network      network from observations (R,) to one output per action (A,)
    acting       "sample" after `ppo`, "epsilon" after `dqn`, see `NetworkPolicy`
    epsilon      probability of a random action if `acting` is "epsilon"
    observation  kind of observation of simulated learners; None after a training in another environment
    name         "ppo" or "dqn"
    steps        number of interactions of the training, over all lanes
    curve        rows of the learning curve, without evaluations
    has_masks    True if the training had masks that depend on the observation, which `network` does not have
    """

    network: Network
    acting: Acting
    epsilon: float
    observation: Observation | None
    name: str
    steps: int
    curve: list[Row]
    has_masks: bool = False

    def act(self, observations: Any, *, masks: Any = None, random: np.random.Generator | None = None) -> Longs:
        """Return an action for each observation, (N,).

        observations  (N, R), or of the shape of the environment's observation space, after N
        masks         (N, A) or (A,), True for allowed actions; None allows all
        random        generator for exploration as in the training; None: the action with the largest output
        """
        rows = np.asarray(observations, np.float32)
        outputs = self.network.forward(rows.reshape(len(rows), -1))
        if masks is not None:
            outputs = np.where(np.asarray(masks, np.bool_), outputs, FORBIDDEN)
        greedy: Longs = outputs.argmax(axis=1)
        if random is None:
            return greedy
        if self.acting == "sample":
            return sample_actions(outputs, random.random(len(outputs)))[0]
        explored = np.where(outputs > FORBIDDEN, random.random(outputs.shape), -1).argmax(axis=1)
        return np.asarray(np.where(random.random(len(outputs)) < self.epsilon, explored, greedy))

    @property
    def policy(self) -> NetworkPolicy:
        """The policy for `alsim.rollout` and other parts of alsim. It has the mask of the training if that is constant.

        Raises TrainingError after a training in another environment, or with masks that depend on the observation.
        """
        if self.has_masks:
            raise TrainingError(
                "the policy of an agent that was trained with masks by a function would not respect them; use "
                "act(observations, masks=...), or train with a constant mask"
            )
        if self.observation is None:
            raise TrainingError(
                "only an agent that was trained on simulated learners has a policy for alsim; this one was trained in "
                "another environment; use act(), or pass a configuration instead of an environment"
            )
        return NetworkPolicy(
            self.network, name=self.name, acting=self.acting, epsilon=self.epsilon, observation=self.observation
        )


def ppo(
    env: VectorEnv[Any, Any, Any] | Config | Mapping[str, Any] | str | Path | None = None,
    *,
    seed: int = 0,
    hyperparameters: PPO | Mapping[str, Any] | str | Path | None = None,
    bank: Any = None,
    dynamics: Any = None,
    observation: str = "mastery",
    masks: Masks = None,
    num_threads: int = 1,
    progress: Callable[[Update], object] | None = None,
    **overrides: Any,
) -> Agent:
    """Train a policy by proximal policy optimization, PPO (Schulman et al., 2017, arXiv:1707.06347).

    env              a Gymnasium vector environment with observations in a Box and discrete actions, which stays open;
                     or the configuration of simulated learners: Config, mapping, TOML file, or None for the defaults
    seed             seed of the environment, the first network and exploration
    hyperparameters  PPO object, mapping or TOML file; None: the defaults
    bank, dynamics, observation, num_threads   of simulated learners, as for `AdaptiveLearningVectorEnv`
    masks            allowed actions: Booleans (A,), or a function from observations (N, R) to Booleans (N, A). None:
                     the environment's `infos["action_mask"]`, or no masks if it has none
    progress         called with an Update before each rollout
    overrides        hyperparameters by name, such as steps=100_000; they replace those of `hyperparameters`

    Returns the trained agent. It is not evaluated: `train` does that, and writes checkpoints. Raises TrainingError (a
    ValueError) for invalid arguments, for rewards or observations that are not finite, and if the training diverges.
    """
    simulated = _Simulated(bank, dynamics, observation, num_threads)
    return _learn("ppo", env, seed, hyperparameters, overrides, masks, simulated, progress)


def dqn(
    env: VectorEnv[Any, Any, Any] | Config | Mapping[str, Any] | str | Path | None = None,
    *,
    seed: int = 0,
    hyperparameters: DQN | Mapping[str, Any] | str | Path | None = None,
    bank: Any = None,
    dynamics: Any = None,
    observation: str = "mastery",
    masks: Masks = None,
    num_threads: int = 1,
    progress: Callable[[Update], object] | None = None,
    **overrides: Any,
) -> Agent:
    """Train a policy by deep Q-learning without replay, PQN (Gallici et al., 2024, arXiv:2407.04811).

    Arguments, result and errors are those of `ppo`, with hyperparameters of DQN.
    """
    simulated = _Simulated(bank, dynamics, observation, num_threads)
    return _learn("dqn", env, seed, hyperparameters, overrides, masks, simulated, progress)


class _Simulated(NamedTuple):
    """Arguments of simulated learners."""

    bank: Any
    dynamics: Any
    observation: str
    num_threads: int


def _learn(
    name: Algorithm,
    env: Any,
    seed: int,
    hyperparameters: Any,
    overrides: Mapping[str, Any],
    masks: Masks,
    simulated: _Simulated,
    progress: Callable[[Update], object] | None,
) -> Agent:
    """Train an agent, see `ppo`."""
    settings, lanes, observation = _read(name, env, seed, hyperparameters, overrides, masks, simulated)
    algorithm = new_algorithm(name, lanes, settings, seed)
    rows: list[Row] = []
    start = perf_counter()

    def add_row() -> None:
        rows.append(training_row(algorithm.steps, perf_counter() - start, lanes.take_episodes()))

    def before_rollout() -> None:
        if row_is_due(rows, algorithm.steps, settings.total_steps):
            add_row()
        if progress is not None:
            progress(Update(algorithm.steps, settings.total_steps, algorithm))

    with one_blas_thread():
        algorithm.learn(before_rollout)
    add_row()
    if algorithm.has_diverged:
        raise divergence(algorithm.steps)
    network = algorithm.network
    if masks is not None and not callable(masks):
        network = _without(network, np.asarray(masks, np.bool_))
    epsilon = getattr(settings, "epsilon", 0.0)
    return Agent(
        network, algorithm.acting, epsilon, observation, name, algorithm.steps, rows, has_masks=callable(masks)
    )


def _read(
    name: Algorithm,
    env: Any,
    seed: int,
    hyperparameters: Any,
    overrides: Mapping[str, Any],
    masks: Masks,
    simulated: _Simulated,
) -> tuple[PPO | DQN, Lanes, Observation | None]:
    """Return hyperparameters, lanes, and the kind of observation of simulated learners. Raises TrainingError."""
    chosen, key = dict(overrides), read_seed(seed)
    mask_function = masks if masks is None or callable(masks) else _constant(masks)
    if isinstance(env, str) and not Path(env).exists():
        raise TrainingError(
            f"env is a string, so it must be the path of a configuration; got {env!r}, which does not exist; pass "
            f"gymnasium.make_vec({env!r}, num_envs=64) for an environment"
        )
    if isinstance(env, Config | Mapping | str | Path) or env is None:
        settings = read_hyperparameters(name, hyperparameters, **chosen)
        config, items = read_rules(env, simulated.bank, simulated.dynamics)
        kind = read_observation(simulated.observation)
        lanes: Lanes = SimulatedLanes(
            settings.num_envs,
            key,
            config=config,
            bank=items,
            observation=kind,
            num_threads=read_positive(simulated.num_threads, "num_threads"),
            masks=mask_function,
        )
    else:
        check_spaces(env)
        if simulated != _Simulated(None, None, "mastery", 1):
            raise TrainingError(
                "bank, dynamics, observation and num_threads apply to simulated learners only; got an environment; "
                "pass them when you create it"
            )
        num_envs = chosen.setdefault("num_envs", given_hyperparameters(name, hyperparameters).get("num_envs"))
        if num_envs not in (None, env.num_envs):
            raise TrainingError(f"num_envs must be that of env, {env.num_envs}; got {num_envs}; leave it out")
        chosen["num_envs"] = env.num_envs
        settings, kind = read_hyperparameters(name, hyperparameters, **chosen), None
        lanes = Lanes(env, key, mask_function)
    assert isinstance(settings, PPO | DQN)
    return settings, lanes, kind


def _constant(masks: Any) -> MaskFunction:
    """Return a function that returns the same mask for all observations. Raises TrainingError for masks per lane."""
    try:
        array = np.asarray(masks)
    except ValueError:
        array = np.empty((0, 0), object)
    if array.ndim > 1:
        raise TrainingError(
            "masks must be Booleans of shape (A,), one for each action; "
            f"got {'rows of different lengths' if array.dtype == object else array.shape}; pass a function of the "
            "observations for masks that differ between lanes"
        )
    return lambda observations: array


def _without(network: Network, allowed: Bools) -> Network:
    """Return a network whose outputs for forbidden actions are FORBIDDEN, so that policies never choose them."""
    *hidden, (weights, biases) = network.layers
    weights, biases = np.where(allowed, weights, 0), np.where(allowed, biases, FORBIDDEN)
    return Network([*hidden, (weights, biases)], network.activation)


__all__ = ["Agent", "Update", "dqn", "ppo"]
