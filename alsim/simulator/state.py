"""Arrays of the simulator: the learners, and everything that a step reads and writes."""

from __future__ import annotations

from typing import Any

import numpy as np

from alsim.bank.items import Bank
from alsim.config import Config
from alsim.dynamics import Dynamics, check_parameters, of_parameters
from alsim.jit.structs import ABSENT
from alsim.numerics.beta import beta_table
from alsim.simulator.fields import INTERACTION_FIELDS, LEARNER_FIELDS
from alsim.simulator.step import scratch_sizes
from alsim.types import (
    BLOCK,
    Beginning,
    Floats,
    Interaction,
    LearnerArrays,
    Output,
    RewardWeights,
    Scale,
    Scratch,
    Sessions,
    Start,
    Termination,
    World,
    f32,
    f64,
    i8,
    i32,
    i64,
    u32,
)
from alsim.utils.memory import aligned_zeros


def new_learners(lanes: int, num_los: int, responses: bool, dynamics: Dynamics) -> LearnerArrays:
    """Return the arrays of `lanes` learners, all zero; `responses` includes those of observation S8.2."""
    return LearnerArrays(
        **{
            name: aligned_zeros(lanes * field.per_lane.width(num_los, responses), field.dtype)
            for name, field in LEARNER_FIELDS.items()
        },
        lo_state=new_columns(dynamics.lo_state, lanes * num_los),
        learner_state=new_columns(dynamics.learner_state, lanes),
    )


def new_columns(kind: Any, length: int) -> Any:
    """Return a struct of arrays, all zero, for a class with start values; ABSENT for None."""
    if kind is None:
        return ABSENT
    return kind(*(aligned_zeros(length, type(start)) for start in kind._field_defaults.values()))


def new_interaction(lanes: int) -> Interaction:
    """Return the arrays that record the last interaction of `lanes` lanes."""
    return Interaction(**{name: aligned_zeros(lanes, field.dtype) for name, field in INTERACTION_FIELDS.items()})


def new_scratch(dynamics: Dynamics) -> Scratch:
    """Return the scratch arrays of one block."""
    words, floats, ints, listed = scratch_sizes()
    return Scratch(
        words=aligned_zeros(words, u32),
        floats=aligned_zeros(floats, f32),
        ints=aligned_zeros(ints, i32),
        listed=aligned_zeros(listed, i64),
        lo_state=new_columns(dynamics.lo_state, BLOCK),
        unready=aligned_zeros(BLOCK, f32) if dynamics.reads_parents else ABSENT,
        further=tuple(aligned_zeros(BLOCK, f32) for _ in range(4)) if dynamics.further_draws else ABSENT,
    )


def beginning_of(dynamics: Dynamics) -> Beginning:
    """Return what a dynamics sets at the start of an episode."""
    return Beginning(
        lo_state=ABSENT if dynamics.lo_state is None else dynamics.lo_state(),
        learner_state=ABSENT if dynamics.learner_state is None else dynamics.learner_state(),
        draws=ABSENT if dynamics.begin is None else (i32(1),),
    )


def new_output(lanes: int, final: Floats) -> Output:
    """Return output arrays for a step, without a copy of the observations.

    final  (N * R,) for the last observations of episodes, or (0,)
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


def sessions_of(config: Config) -> Any:
    """Return the breaks of a configuration; ABSENT for one session."""
    if config.sessions is None:
        return ABSENT
    return Sessions(interactions=i32(config.sessions.interactions), hours=f64(config.sessions.break_hours))


def new_world(config: Config, bank: Bank, lanes: int, *, responses: bool, record: bool) -> World:
    """Return a World of `lanes` learners under `config` and `bank`.

    responses  whether to include the counts of observation S8.2
    record     whether to include arrays that record each interaction
    """
    check_parameters(config.dynamics)
    dynamics = of_parameters(type(config.dynamics))
    parameters = type(config.dynamics)(*map(f32, config.dynamics))
    weights, observes = config.reward_weights, dynamics.observe is not None
    sessions = sessions_of(config)
    graph = ABSENT
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
            # A writeable copy: pickling drops the read-only flag, which is part of the type that numba compiles for.
            quantiles=quantiles.coefficients.copy(),
            detail=quantiles.detail,
            ability_mean=f32(learner.ability_mean),
            ability_std=f32(learner.ability_std),
        ),
        scale=Scale(num_los=i64(bank.num_los), max_time=f32(config.irt.max_response_time)),
        items=bank.table,
        learners=new_learners(lanes, bank.num_los, responses, dynamics),
        interaction=new_interaction(lanes if record else 0),
        scratch=new_scratch(dynamics),
        beginning=beginning_of(dynamics),
        graph=graph,
        sessions=sessions,
        observed_after_each=(i32(1),) if observes and dynamics.observe_at == "interaction" else ABSENT,
        observed_after_breaks=sessions if observes and dynamics.observe_at == "break" else ABSENT,
    )
