"""The arrays of a population of learners, and all that a step reads, laid out from a configuration and a bank."""

from __future__ import annotations

import numpy as np

from alsim.bank.items import Bank
from alsim.config import Config
from alsim.numerics.beta import beta_table
from alsim.simulator.step import scratch_sizes
from alsim.types import (
    Floats,
    Interaction,
    Output,
    Population,
    RewardWeights,
    Scale,
    Scratch,
    Start,
    Termination,
    World,
    f32,
    f64,
    i8,
    i32,
    i64,
    u32,
    u64,
)


def new_population(lanes: int, num_los: int, responses: bool) -> Population:
    """Return the arrays of `lanes` learners, all zero; `responses` adds those of observation S8.2."""
    n, cells = lanes, lanes * num_los if responses else 0
    return Population(
        rows=np.zeros(n * (num_los + 2), f32),
        ability=np.zeros(n, f32),
        frustration=np.zeros(n, f32),
        response_time=np.zeros(n, f32),
        fail_streak=np.zeros(n, i32),
        mastery_sum=np.zeros(n, f64),
        key=np.zeros(n, u64),
        learner=np.zeros(n, u32),
        episode=np.zeros(n, u32),
        step=np.zeros(n, u32),
        finished=np.zeros(n, np.bool_),
        asked=np.zeros(cells, i32),
        right=np.zeros(cells, i32),
        responses=np.zeros(n * (2 * num_los + 2) if responses else 0, f32),
    )


def new_interaction(lanes: int) -> Interaction:
    """Return the arrays of what happened in `lanes` lanes."""
    return Interaction(
        item=np.zeros(lanes, i32),
        correct=np.zeros(lanes, np.bool_),
        gain=np.zeros(lanes, f32),
        seconds=np.zeros(lanes, f32),
        frustration=np.zeros(lanes, f32),
        fail_streak=np.zeros(lanes, i32),
        ability=np.zeros(lanes, f32),
        mastery_sum=np.zeros(lanes, f64),
        step=np.zeros(lanes, i32),
    )


def new_scratch() -> Scratch:
    """Return the rows of one block."""
    words, floats, ints, listed = scratch_sizes()
    return Scratch(np.zeros(words, u32), np.zeros(floats, f32), np.zeros(ints, i32), np.zeros(listed, i64))


def new_output(lanes: int, final: Floats) -> Output:
    """Return arrays for what a step hands out, without a copy of observations.

    final  (N * R,) where last observations go, or (0,)
    """
    return Output(
        observation=np.empty(0, f32),
        reward=np.empty(lanes, f64),
        terminated=np.empty(lanes, np.bool_),
        truncated=np.empty(lanes, np.bool_),
        reason=np.empty(lanes, i8),
        live=np.empty(lanes, np.bool_),
        final=final,
    )


def new_world(config: Config, bank: Bank, lanes: int, *, responses: bool, record: bool) -> World:
    """Lay out `lanes` learners under `config` and `bank`.

    responses  keep what observation S8.2 shows
    record     keep what happened in each step
    """
    parameters = type(config.dynamics)(*map(f32, config.dynamics))
    weights = config.reward_weights
    learner = config.learner
    quantiles = beta_table(learner.mastery_alpha, learner.mastery_beta)
    return World(
        parameters=parameters,
        weights=RewardWeights(*(f32(getattr(weights, name)) for name in RewardWeights._fields)),
        termination=Termination(
            mastery_threshold=f64(config.termination.mastery_threshold),
            max_frustration=f32(config.termination.max_frustration),
            max_steps=i32(config.max_episode_steps),
        ),
        start=Start(
            quantiles=quantiles.coefficients.copy(),  # writeable: pickling drops the flag, and numba compiles by it
            detail=quantiles.detail,
            ability_mean=f32(learner.ability_mean),
            ability_std=f32(learner.ability_std),
        ),
        scale=Scale(num_los=i64(bank.num_los), max_time=f32(config.irt.max_response_time)),
        items=bank.table,
        population=new_population(lanes, bank.num_los, responses),
        interaction=new_interaction(lanes if record else 0),
        scratch=new_scratch(),
    )
