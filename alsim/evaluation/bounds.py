"""Upper bound of the mean mastery that any policy can reach within a number of interactions (decision 25)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from alsim.bank.items import Bank
from alsim.config import Config, columns_of, independent_unit
from alsim.dynamics import of_parameters
from alsim.evaluation.estimates import half_width, unit_means
from alsim.numerics.philox import random_words
from alsim.numerics.variates import fill_variates
from alsim.rollouts.rollout import rollout
from alsim.types import Doubles, Floats, Keys, Longs, Purpose, Words, f32, u32, u64

CONFIDENCE = 0.999
"""One-sided confidence of the upper limit."""


class MasteryBound(NamedTuple):
    """Bound of the mean mastery of any policy after t = 0, 1, ..., T interactions."""

    mean: Doubles
    """(T + 1,) mean over learners of the simulated bound."""
    upper: Doubles
    """(T + 1,) upper limit of the expected value at CONFIDENCE, one-sided; the mean itself for one unit."""


def mastery_bound(
    config: Config, bank: Bank, *, learners: int, seed: int, first_learner: int, steps: int | None = None
) -> MasteryBound | None:
    """Simulate an upper bound of the mean mastery that any policy can reach with these learners.

    In a relaxed world, each interaction gains `largest_gain` of the dynamics, with the largest effectiveness of the
    bank. This is at least the gain of any interaction in the true world. There, the lowest mastery is always the best
    choice, so that simulating this choice bounds all policies. Ends of episodes before the step limit only lower the
    mastery.

    config, bank   rules and items
    learners       number of learners N, one episode each
    seed           seed of the learners
    first_learner  index of the first learner
    steps          T; None: the step limit

    Returns a MasteryBound; None if the dynamics declares no `largest_gain`. Its random error is in `upper`.
    """
    dynamics = of_parameters(type(config.dynamics))
    if dynamics.largest_gain is None:
        return None
    last = config.max_episode_steps if steps is None else steps
    learner = first_learner + np.arange(learners)
    mastery = _starts(config, bank, learners, seed, first_learner)
    parameters = _parameters(config, seed, learner)
    effectiveness = np.full(learners, bank.contents.effectiveness.max(), np.float64)
    totals, lanes = np.empty((last + 1, learners)), np.arange(learners)
    totals[0] = mastery.sum(axis=1)
    for step in range(last):
        lo = mastery.argmin(axis=1)
        normal, uniform = _variates(step, learner, seed)
        gain = dynamics.largest_gain(parameters, mastery[lanes, lo], effectiveness, normal, uniform)
        mastery[lanes, lo] += gain
        totals[step + 1] = totals[step] + gain
    unit = independent_unit(config.to_dict())
    return _limits(totals / bank.num_los, unit.of_learners(learner) if unit.name == "class" else None)


def _starts(config: Config, bank: Bank, learners: int, seed: int, first_learner: int) -> Doubles:
    """Return the mastery of each LO at the start, (N, L)."""
    run = rollout(
        "uniform",
        num_learners=learners,
        seed=seed,
        first_learner=first_learner,
        config=config.model_copy(update={"max_episode_steps": 1}),
        bank=bank,
    )
    assert run.obs is not None
    starts: Doubles = run.obs[:, : bank.num_los].astype(np.float64)
    return starts


def _parameters(config: Config, seed: int, learner: Longs) -> Any:
    """Return the parameters of the dynamics, each a number, or (N,) under a population."""
    if config.population is None:
        return config.dynamics
    columns = columns_of(config.overrides("dynamics"), config.dynamics._asdict())
    rows = config.population_rows_of(seed, learner)
    return type(config.dynamics)(**{name: column[rows] for name, column in columns.items()})


def _variates(step: int, learner: Longs, seed: int) -> tuple[Doubles, Doubles]:
    """Return a normal and a uniform variate of each learner at a step, (N,) each."""
    count = len(learner)
    steps: Words = np.full(count, step, np.uint32)
    episode: Words = np.zeros(count, np.uint32)
    keys: Keys = np.full(count, seed, u64)
    words: Words = np.empty(4 * count, np.uint32)
    random_words(steps, episode, learner.astype(np.uint32), u32(Purpose.BOUND), keys, words)
    normals: Floats = np.empty(count, f32)
    uniforms: Floats = np.empty(count, f32)
    fill_variates(words, normals, uniforms)
    return normals.astype(np.float64), uniforms.astype(np.float64)


def _limits(values: Doubles, units: Longs | None) -> MasteryBound:
    """Return the mean and the upper limit over learners of values (T + 1, N).

    units  independent unit of each learner, (N,); None: each learner is one
    """
    if units is not None:
        values = np.stack([unit_means(row, units) for row in values])
    mean, n = values.mean(axis=1), values.shape[1]
    if n < 2:
        return MasteryBound(mean, mean)
    se = values.std(axis=1, ddof=1) / np.sqrt(n)
    return MasteryBound(mean, np.minimum(mean + half_width(n, 2 * CONFIDENCE - 1) * se, 1.0))


__all__ = ["MasteryBound", "mastery_bound"]
