"""PPO in JAX: environment, network and update are one compiled program, in the style of PureJaxRL.

The step of the environment is `benchmarks.jax_step.advance`. The program runs rollouts until the next evaluation.
Learners that start an episode come from a pool that each rollout draws, one per lane, because drawing one per lane and
step takes longer.
"""

from __future__ import annotations

from functools import cache, partial
from time import process_time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import alsim
from alsim.config import Config
from alsim.policies.network import Network, NetworkPolicy
from alsim.training.settings import PPO
from benchmarks.contenders import cells
from benchmarks.jax_step import Learner, advance
from benchmarks.training_time.clock import Clock

EPSILON = 1e-5
"""Number that Adam adds to the root of the second moment."""
ROLLOUTS = 40
"""Number of rollouts of a profile."""


class State(NamedTuple):
    """State of a training."""

    parameters: Any  # [(weights, biases), ...]
    first: Any  # moments of Adam
    second: Any
    learners: Learner
    key: Any
    rollouts: Any  # number so far


class Rollout(NamedTuple):
    """Arrays of a rollout, (T, N, ...)."""

    observations: Any
    actions: Any
    log_probs: Any
    values: Any
    rewards: Any
    final: Any  # (T, N, R) observations after the step, before resets
    terminated: Any
    ended: Any


def initial_parameters(random: np.random.Generator, sizes: list[int], actions: int) -> list[Any]:
    """Return orthogonal weights and zero biases; the last layer has `actions` logits and the value."""

    def orthogonal(rows: int, columns: int, gain: float) -> Any:
        basis, triangle = np.linalg.qr(random.normal(size=(max(rows, columns), min(rows, columns))))
        basis = basis * np.sign(np.diag(triangle))
        return gain * (basis if rows >= columns else basis.T)

    hidden = [orthogonal(a, b, 2**0.5) for a, b in zip(sizes, sizes[1:], strict=False)]
    last = np.hstack([orthogonal(sizes[-1], actions, 0.01), orthogonal(sizes[-1], 1, 1.0)])
    return [(jnp.asarray(w, jnp.float32), jnp.zeros(w.shape[1], jnp.float32)) for w in (*hidden, last)]


def features(parameters: Any, rows: Any) -> Any:
    """Return the outputs of the hidden layers."""
    for weights, biases in parameters[:-1]:
        rows = jnp.tanh(rows @ weights + biases)
    return rows


def forward(parameters: Any, rows: Any) -> tuple[Any, Any]:
    """Return log probabilities (N, A) and values (N,)."""
    weights, biases = parameters[-1]
    outputs = features(parameters, rows) @ weights + biases
    return jax.nn.log_softmax(outputs[..., :-1]), outputs[..., -1]


def values_of(parameters: Any, rows: Any) -> Any:
    """Return the values of observations, without computing the logits."""
    weights, biases = parameters[-1]
    return features(parameters, rows) @ weights[:, -1] + biases[-1]


def new_learners(key: Any, lanes: int, outcomes: int) -> Learner:
    """Draw learners at the start of an episode. Beta(2, 5) is the second smallest of six uniform numbers."""
    one, other = jax.random.split(key)
    mastery = jnp.sort(jax.random.uniform(one, (6, lanes, outcomes)), axis=0)[1]
    zeros = jnp.zeros(lanes)
    return Learner(
        mastery=mastery,
        ability=jax.random.normal(other, (lanes,)),
        frustration=zeros,
        response_time=zeros,
        fail_streak=jnp.zeros(lanes, jnp.int32),
        mastery_sum=mastery.sum(axis=1),
        step=jnp.zeros(lanes, jnp.int32),
    )


def observe(learners: Learner) -> Any:
    """Return the observations (N, R)."""
    return jnp.concatenate([learners.mastery, learners.frustration[:, None], learners.response_time[:, None]], axis=1)


def sample(key: Any, log_probs: Any) -> Any:
    """Draw an action of each row by cumulative sums, ten times as fast as `jax.random.categorical`."""
    probabilities = jnp.exp(log_probs).T
    rests = jax.random.uniform(key, (len(log_probs),))

    def pass_over(carried: Any, column: Any) -> tuple[Any, None]:
        rests, actions = carried
        rests = rests - column
        return (rests, actions + (rests >= 0)), None

    (_, actions), _ = jax.lax.scan(pass_over, (rests, jnp.zeros(len(rests), jnp.int32)), probabilities)
    return jnp.minimum(actions, len(probabilities) - 1)


def step_all(items: Any, key: Any, learners: Learner, fresh: Learner, actions: Any) -> tuple[Learner, Any]:
    """Step every learner, and replace those whose episode has ended by fresh ones."""
    one, two, three = jax.random.split(key, 3)
    lanes = len(actions)
    answer, pick = jax.random.uniform(one, (2, lanes))
    noise = jax.random.normal(two, (lanes,))
    after, (final, rewards, terminated, truncated) = jax.vmap(partial(advance, items))(
        learners, actions, answer, noise, pick
    )
    ended = terminated | truncated
    now = jax.tree.map(lambda a, b: jnp.where(ended.reshape(-1, *[1] * (a.ndim - 1)), b, a), after, fresh)
    return now, (final, rewards, terminated, ended)


def collect(settings: PPO, items: Any, state: State) -> tuple[State, Rollout]:
    """Step every lane n_steps times."""
    key, first, second = jax.random.split(state.key, 3)
    lanes, outcomes = state.learners.mastery.shape
    fresh = new_learners(first, lanes, outcomes)

    def step(learners: Learner, key: Any) -> tuple[Learner, Rollout]:
        acting, moving = jax.random.split(key)
        rows = observe(learners)
        log_probs, values = forward(state.parameters, rows)
        actions = sample(acting, log_probs)
        chosen = jnp.take_along_axis(log_probs, actions[:, None], axis=1)[:, 0]
        learners, outcome = step_all(items, moving, learners, fresh, actions)
        final, rewards, terminated, ended = outcome
        return learners, Rollout(rows, actions, chosen, values, rewards, final, terminated, ended)

    learners, rollout = jax.lax.scan(step, state.learners, jax.random.split(second, settings.n_steps))
    return state._replace(learners=learners, key=key), rollout


def advantages_of(settings: PPO, parameters: Any, rollout: Rollout) -> Any:
    """Return advantages by generalized advantage estimation, (T, N)."""
    future = jnp.where(rollout.terminated, 0.0, values_of(parameters, rollout.final))
    errors = rollout.rewards + settings.gamma * future - rollout.values
    decay = jnp.where(rollout.ended, 0.0, settings.gamma * settings.gae_lambda)

    def back(advantage: Any, row: Any) -> tuple[Any, Any]:
        error, weight = row
        advantage = error + weight * advantage
        return advantage, advantage

    return jax.lax.scan(back, jnp.zeros_like(errors[0]), (errors, decay), reverse=True)[1]


def loss_of(settings: PPO, parameters: Any, batch: Any) -> Any:
    """Return the loss of PPO of a minibatch."""
    observations, actions, old, advantages, targets = batch
    log_probs, values = forward(parameters, observations)
    chosen = jnp.take_along_axis(log_probs, actions[:, None], axis=1)[:, 0]
    advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    ratio = jnp.exp(chosen - old)
    clipped = jnp.clip(ratio, 1 - settings.clip_range, 1 + settings.clip_range)
    gain = jnp.minimum(ratio * advantages, clipped * advantages).mean()
    entropy = -(jnp.exp(log_probs) * log_probs).sum(axis=1).mean()
    return settings.vf_coef * jnp.square(values - targets).mean() - gain - settings.ent_coef * entropy


def adam(settings: PPO, state: State, gradient: Any, rate: Any, updates: Any) -> State:
    """Make a step of Adam with a gradient of limited norm."""
    norm = jnp.sqrt(sum(jnp.sum(jnp.square(g)) for g in jax.tree.leaves(gradient)))
    gradient = jax.tree.map(lambda g: g * jnp.minimum(1.0, settings.max_grad_norm / (norm + 1e-6)), gradient)
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, state.first, gradient)
    second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, state.second, gradient)
    step, root = rate / (1 - 0.9**updates), (1 - 0.999**updates) ** -0.5
    parameters = jax.tree.map(
        lambda p, m, v: p - step * m / (jnp.sqrt(v) * root + EPSILON), state.parameters, first, second
    )
    return state._replace(parameters=parameters, first=first, second=second)


def improve(settings: PPO, state: State, rollout: Rollout) -> State:
    """Make the gradient steps of a rollout."""
    advantages = advantages_of(settings, state.parameters, rollout)
    columns = (rollout.observations, rollout.actions, rollout.log_probs, advantages, advantages + rollout.values)
    flat = [column.reshape(-1, *column.shape[2:]) for column in columns]
    key, shuffling = jax.random.split(state.key)
    orders = [jax.random.permutation(k, len(flat[1])) for k in jax.random.split(shuffling, settings.n_epochs)]
    batches = jnp.concatenate(orders).reshape(settings.n_epochs * settings.minibatches, -1)
    fraction = state.rollouts * (settings.rollout_steps / settings.total_steps)
    rate = settings.learning_rate + (settings.final_learning_rate - settings.learning_rate) * fraction
    before = state.rollouts * len(batches)

    def step(state: State, numbered: Any) -> tuple[State, None]:
        number, rows = numbered
        gradient = jax.grad(partial(loss_of, settings))(state.parameters, [column[rows] for column in flat])
        return adam(settings, state, gradient, rate, (before + number + 1).astype(jnp.float32)), None

    state, _ = jax.lax.scan(step, state, (jnp.arange(len(batches)), batches))
    return state._replace(key=key, rollouts=state.rollouts + 1)


def _items(config: Config) -> dict[str, Any]:
    return {name: jnp.asarray(column) for name, column in cells(alsim.sample_bank(config)).items()}


@cache
def _program(hyperparameters: str, rules: str) -> Any:
    """Return the compiled program, which takes a state and a number of rollouts."""
    settings, config = PPO.model_validate_json(hyperparameters), Config.model_validate_json(rules)
    items = _items(config)

    def run(state: State, count: Any) -> State:
        def once(_: Any, state: State) -> State:
            return improve(settings, *collect(settings, items, state))

        return jax.lax.fori_loop(0, count, once, state)

    return jax.jit(run).lower(_initial(settings, config, 0), 1).compile()


def _initial(settings: PPO, config: Config, seed: int) -> State:
    outcomes = alsim.sample_bank(config).num_los
    parameters = initial_parameters(np.random.default_rng(seed), [outcomes + 2, *settings.net_arch], 9 * outcomes)
    zeros = jax.tree.map(jnp.zeros_like, parameters)
    key, starting = jax.random.split(jax.random.key(seed))
    learners = new_learners(starting, settings.num_envs, outcomes)
    return State(parameters, zeros, zeros, learners, key, jnp.int32(0))


def _policy(state: State) -> NetworkPolicy:
    *hidden, (weights, biases) = [(np.asarray(w), np.asarray(b)) for w, b in state.parameters]
    return NetworkPolicy(Network([*hidden, (weights[:, :-1].copy(), biases[:-1].copy())]))


def train(settings: PPO, seed: int, config: Config, clock: Clock) -> None:
    """Train once."""
    program = _program(settings.model_dump_json(), config.model_dump_json())
    clock.start()
    state, steps = _initial(settings, config, seed), 0
    while steps < settings.total_steps:
        count = -(-(clock.next_point - steps) // settings.rollout_steps)
        state = jax.block_until_ready(program(state, count))
        steps += count * settings.rollout_steps
        clock.read(steps, partial(_policy, state))


def prepare(settings: PPO, config: Config) -> None:
    """Compile the program."""
    _program(settings.model_dump_json(), config.model_dump_json())


def shares(settings: PPO, config: Config) -> dict[str, float]:
    """Return the shares of the parts of a training, from the time of programs that omit the other parts."""
    items, state = _items(config), _initial(settings, config, 0)
    actions = jnp.zeros(settings.num_envs, jnp.int32)

    def only_environment(state: State) -> State:
        first, *keys = jax.random.split(state.key, settings.n_steps + 2)
        fresh = new_learners(first, settings.num_envs, state.learners.mastery.shape[1])
        learners, _ = jax.lax.scan(
            lambda s, key: step_all(items, key, s, fresh, actions), state.learners, jnp.stack(keys[:-1])
        )
        return state._replace(learners=learners, key=keys[-1])

    def collection(state: State) -> tuple[State, Rollout]:
        return collect(settings, items, state)

    def whole(state: State) -> State:
        return improve(settings, *collection(state))

    seconds = [_seconds(program, state) for program in (only_environment, collection, whole)]
    environment, collecting = seconds[0] / seconds[2], seconds[1] / seconds[2]
    return {"environment": environment, "choice of actions": collecting - environment, "update": 1 - collecting}


def _seconds(program: Any, state: State) -> float:
    """Return the processor seconds of ROLLOUTS calls of a program."""
    compiled = jax.jit(program)
    jax.block_until_ready(compiled(state))
    start = process_time()
    for _ in range(ROLLOUTS):
        jax.block_until_ready(compiled(state))
    return process_time() - start
