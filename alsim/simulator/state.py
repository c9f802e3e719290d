"""Arrays of the simulator: the learners, and everything that a step reads and writes."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alsim.bank.items import Bank
from alsim.config import Config, columns_of
from alsim.dynamics import Dynamics, Moment, check_parameters, check_rows, of_parameters
from alsim.jit.structs import ABSENT, is_absent, row_of, with_leaves
from alsim.numerics.beta import beta_table
from alsim.simulator.fields import INTERACTION_FIELDS, LEARNER_FIELDS
from alsim.simulator.step import scratch_sizes
from alsim.types import (
    BLOCK,
    AbilityStart,
    Beginning,
    Classes,
    Delay,
    Floats,
    Interaction,
    LearnerArrays,
    MasteryStart,
    Output,
    RecallReward,
    RewardWeights,
    Rows,
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
    u64,
)
from alsim.utils.memory import aligned_zeros


def new_learners(
    lanes: int, num_los: int, responses: bool, dynamics: Dynamics, rows: Any, *, clock: bool, recall: bool
) -> LearnerArrays:
    """Return the arrays of `lanes` learners, all zero.

    responses  whether to include those of observation S8.2
    rows       Rows of the population, or ABSENT
    clock      whether to include the clock
    recall     whether to include the recall after a delay
    """
    several = not is_absent(rows)
    return LearnerArrays(
        **{
            name: aligned_zeros(lanes * field.per_lane.width(num_los, responses), field.dtype)
            for name, field in LEARNER_FIELDS.items()
        },
        hours=aligned_zeros(lanes, f64) if clock else ABSENT,
        row=aligned_zeros(lanes, i32) if several else ABSENT,
        parameters=with_leaves(rows.parameters, lambda column: aligned_zeros(lanes, f32)) if several else ABSENT,
        lo_state=new_columns(dynamics.lo_state, lanes * num_los),
        learner_state=new_columns(dynamics.learner_state, lanes),
        recall=aligned_zeros(lanes, f64) if recall else ABSENT,
    )


def collective(kind: Any, *columns: NDArray[Any]) -> Any:
    """Return a struct of arrays with the class of its scalars."""
    return kind(*columns)


def new_columns(kind: Any, length: int) -> Any:
    """Return a struct of arrays, all zero, for a class with start values; ABSENT for None."""
    if kind is None:
        return ABSENT
    return kind(*(aligned_zeros(length, type(start)) for start in kind._field_defaults.values()))


def new_interaction(lanes: int) -> Interaction:
    """Return the arrays that record the last interaction of `lanes` lanes."""
    return Interaction(**{name: aligned_zeros(lanes, field.dtype) for name, field in INTERACTION_FIELDS.items()})


def new_scratch(dynamics: Dynamics, rows: Any, graph: Any, num_los: int) -> Scratch:
    """Return the scratch arrays of one block.

    rows   Rows of the population, or ABSENT
    graph  Graph of the prerequisites that the rules read, or ABSENT
    """
    several = not is_absent(rows)
    words, floats, ints, listed = scratch_sizes()
    return Scratch(
        words=aligned_zeros(words, u32),
        floats=aligned_zeros(floats, f32),
        ints=aligned_zeros(ints, i32),
        listed=aligned_zeros(listed, i64),
        lo_state=new_columns(dynamics.lo_state, BLOCK),
        mastery_start=collective(MasteryStart, *(aligned_zeros(BLOCK, i32) for _ in range(2))) if several else ABSENT,
        ability_start=collective(AbilityStart, *(aligned_zeros(BLOCK, f32) for _ in range(2))) if several else ABSENT,
        unready=ABSENT if is_absent(graph) else aligned_zeros(BLOCK, f32),
        further=tuple(aligned_zeros(BLOCK, f32) for _ in range(4)) if dynamics.further_draws else ABSENT,
        observed=ABSENT if dynamics.observe is None else aligned_zeros(num_los, f32),
    )


def beginning_of(dynamics: Dynamics) -> Beginning:
    """Return what a dynamics sets at the start of an episode."""
    return Beginning(
        lo_state=ABSENT if dynamics.lo_state is None else dynamics.lo_state(),
        learner_state=ABSENT if dynamics.learner_state is None else dynamics.learner_state(),
        draws=present_if(dynamics.begin is not None),
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


def start_and_rows(config: Config) -> tuple[Start, Any]:
    """Return the starting distributions of all learners, and the Rows of the population; ABSENT for one row."""
    learner, population = config.learner, config.population
    if population is None:
        table = beta_table(learner.mastery_alpha, learner.mastery_beta)
        ability = AbilityStart(f32(learner.ability_mean), f32(learner.ability_std))
        # A writeable copy: pickling drops the read-only flag, which is part of the type that numba compiles for.
        return Start(table.coefficients.copy(), MasteryStart(i32(0), table.detail), ability), ABSENT
    starts = columns_of(config.overrides("learner"), learner.model_dump())
    shapes = tuple(zip(starts["mastery_alpha"].tolist(), starts["mastery_beta"].tolist(), strict=True))
    quantiles, mastery = quantile_tables(shapes)
    abilities = collective(AbilityStart, starts["ability_mean"].astype(f32), starts["ability_std"].astype(f32))
    parameters = columns_of(config.overrides("dynamics"), config.dynamics._asdict())
    rows = Rows(
        thresholds=population.thresholds,
        parameters=type(config.dynamics)(*(parameters[name].astype(f32) for name in config.dynamics._fields)),
        mastery=mastery,
        ability=abilities,
    )
    return Start(quantiles, row_of(mastery, 0), row_of(abilities, 0)), rows


@lru_cache(maxsize=4)
def quantile_tables(shapes: tuple[tuple[float, float], ...]) -> tuple[Floats, Any]:
    """Return the quantile tables of Beta distributions, one after the other, and MasteryStart of each row.

    shapes  alpha and beta of each row, (S,); equal ones share a table. A new one takes about 10 ms and 17 kB
    """
    tables = {shape: beta_table(*shape) for shape in dict.fromkeys(shapes)}
    lengths = np.cumsum([0, *(len(table.coefficients) // 4 for table in tables.values())])
    offsets = dict(zip(tables, lengths.tolist(), strict=False))
    places = np.array([offsets[shape] for shape in shapes], i32)
    mastery = collective(MasteryStart, places, np.array([tables[shape].detail for shape in shapes], i32))
    return np.concatenate([table.coefficients for table in tables.values()]), mastery


def sessions_of(config: Config) -> Any:
    """Return the breaks of a configuration; ABSENT for one session."""
    if config.sessions is None:
        return ABSENT
    return Sessions(interactions=i32(config.sessions.interactions), hours=f64(config.sessions.break_hours))


def weights_of(config: Config, *, forgets: bool) -> RewardWeights:
    """Return the weights of the reward; without forgetting, recall after a delay is mastery (clause S6.3)."""
    weights = config.reward_weights.model_dump()
    recall = 0.0 if forgets else weights["recall"]
    gains = {name: weights[name] + recall for name in ("mastery_gain", "post_content_gain")}
    return RewardWeights(*(f32({**weights, **gains}[name]) for name in RewardWeights._fields))


def recall_of(config: Config) -> Any:
    """Return the reward of recall after a delay; ABSENT without it."""
    weight = config.reward_weights.recall
    return RecallReward(f32(weight), f64(config.retention.delay_hours)) if weight else ABSENT


def observed_at(config: Config, dynamics: Dynamics) -> Moment:
    """Return when all LOs are observed: as the sessions of a configuration say, or else the dynamics."""
    own = None if config.sessions is None else config.sessions.observe_at
    return dynamics.observe_at if own is None else own


def present_if(condition: bool) -> Any:
    """Return a part without data, whose presence alone is read, or ABSENT."""
    return (i32(1),) if condition else ABSENT


def classes_of(config: Config) -> Any:
    """Return the effects of classes; ABSENT without them."""
    if config.classes is None:
        return ABSENT
    return Classes(u64(config.classes.size), f32(config.classes.mastery_std), f32(config.classes.ability_std))


def new_world(config: Config, bank: Bank, lanes: int, *, responses: bool, record: bool, clock: bool = False) -> World:
    """Return a World of `lanes` learners under `config` and `bank`.

    responses  whether to include the counts of observation S8.2
    record     whether to include arrays that record each interaction
    clock      whether to include the clock in any case; otherwise, if there are breaks, or the dynamics reads it
    """
    config = config.with_single_row()
    check_parameters(config.dynamics)
    dynamics = of_parameters(type(config.dynamics))
    observes = dynamics.observe is not None
    recall = recall_of(config) if observes else ABSENT
    sessions = sessions_of(config)
    graph = config.curriculum.graph(bank.outcomes) if config.reads_parents else ABSENT
    start, rows = start_and_rows(config)
    if not is_absent(rows):
        check_rows(rows.parameters)
    return World(
        parameters=type(config.dynamics)(*map(f32, config.dynamics)),
        weights=weights_of(config, forgets=observes),
        termination=Termination(
            mastery_threshold=f64(config.termination.mastery_threshold),
            max_frustration=f32(config.termination.max_frustration),
            max_steps=i32(config.max_episode_steps),
        ),
        start=start,
        scale=Scale(num_los=i64(bank.num_los), max_time=f32(config.irt.max_response_time)),
        items=bank.table,
        learners=new_learners(
            lanes,
            bank.num_los,
            responses,
            dynamics,
            rows,
            clock=clock or dynamics.timed or not is_absent(sessions),
            recall=not is_absent(recall),
        ),
        interaction=new_interaction(lanes if record else 0),
        scratch=new_scratch(dynamics, rows, graph, bank.num_los),
        rows=rows,
        classes=classes_of(config),
        beginning=beginning_of(dynamics),
        graph=graph,
        sessions=sessions,
        retention=Delay(f64(config.retention.delay_hours)) if observes else ABSENT,
        recall=recall,
        observed_after_each=present_if(observes and observed_at(config, dynamics) == "interaction"),
        observed_after_breaks=present_if(observes and config.sessions is not None),
    )
