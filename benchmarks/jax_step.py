"""The specified step in JAX: a rule for one learner, mapped over all learners and compiled.

It uses `jax.random` with one key per learner and four words per step. There is no autoreset and no validation of
actions. Arrays are immutable, so the observation needs no copy of the state.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Learner(NamedTuple):
    """One learner: mastery (L,), and scalars; or all learners, with a leading axis."""

    mastery: Any
    ability: Any
    frustration: Any
    response_time: Any
    fail_streak: Any
    mastery_sum: Any
    step: Any


def draw(key: Any, step: Any) -> tuple[Any, Any, Any]:
    """Return a uniform variate, a normal variate, and a uniform variate for the choice within a cell."""
    words = jax.random.bits(jax.random.fold_in(key, step), (4,), jnp.uint32)
    u = ((words >> 9).astype(jnp.float32) + 0.5) * jnp.float32(2.0**-23)
    return u[0], jnp.sqrt(-2 * jnp.log(u[1])) * jnp.cos(2 * jnp.pi * u[3]), u[2]


def advance(items: Any, s: Learner, action: Any, answer: Any, noise: Any, pick: Any) -> tuple[Learner, Any]:
    """Apply clauses S3 to S8 to one learner with given draws; `items` is from `contenders.cells`."""
    num_los = s.mastery.shape[0]
    item = items["first"][action] + (pick * items["size"][action]).astype(jnp.int32)
    outcome, asks = items["outcome"][action], items["asks"][action]
    steepness, place, guessing = items["steepness"][item], items["place"][item], items["guessing"][item]
    before = s.mastery[outcome]
    correct = asks & (answer < guessing + (1 - guessing) * jax.nn.sigmoid(steepness * (s.ability - place)))
    effect = steepness * (1 - before) * (1 - 0.5 * s.frustration) + 0.02 * noise
    gain = jnp.where(asks, jnp.where(correct, 0.05 * (1 - before), 0.0), jnp.maximum(0.0, effect))
    after = jnp.minimum(1.0, before + gain)
    rise = jnp.where(items["hard"][action] & (before < 0.5), 0.15, 0.10)
    moved = s.frustration + jnp.where(asks, jnp.where(correct, -0.05, rise), place)
    frustration = jnp.clip(moved, 0.0, 1.0)
    seconds = jnp.maximum(5.0, items["time_mean"][item] + items["time_std"][item] * noise)
    new = Learner(
        # A scatter under vmap is a loop over learners; a selection over all outcomes vectorises.
        mastery=jnp.where(jnp.arange(num_los) == outcome, after, s.mastery),
        ability=s.ability + jnp.where(correct, 0.02, 0.0),
        frustration=frustration,
        response_time=jnp.where(asks, jnp.minimum(1.0, seconds / 120), s.response_time),
        fail_streak=jnp.where(asks & ~correct, s.fail_streak + 1, 0),
        mastery_sum=s.mastery_sum + (after - before),
        step=s.step + 1,
    )
    question = correct + 0.5 * (after - before) - 0.3 * frustration
    reward = jnp.where(asks, question, 2 * (after - before) - 0.5 * place)
    mastered, over = new.mastery_sum >= 0.8 * num_los, new.step >= 140
    observation = jnp.concatenate([new.mastery, new.frustration[None], new.response_time[None]])
    return new, (observation, reward, mastered | (~over & (frustration >= 0.95)), over & ~mastered)


class JaxStep:
    """N learners, with arrays of `contenders.started` and `contenders.cells`."""

    def __init__(self, learners: dict[str, Any], items: dict[str, Any], seed: int = 0) -> None:
        items = {name: jnp.asarray(column) for name, column in items.items()}
        rows = learners["rows"]
        names = ("ability", "frustration", "response_time", "fail_streak", "mastery_sum")
        self.state = Learner(
            mastery=jnp.asarray(rows[:, :-2]),
            step=jnp.asarray(learners["step"].astype(np.int32)),
            **{name: jnp.asarray(learners[name]) for name in names},
        )
        self.keys = jax.random.split(jax.random.key(seed), len(rows))
        self.advance = jax.jit(jax.vmap(lambda *arguments: advance(items, *arguments)))
        self.walk = jax.jit(jax.vmap(lambda key, s, action: advance(items, s, action, *draw(key, s.step))))

    def step(self, actions: Any) -> Any:
        """Step every learner, and wait for the result."""
        self.state, out = self.walk(self.keys, self.state, actions)
        return jax.block_until_ready(out)
