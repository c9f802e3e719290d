"""Rules of the package's dynamics in float64, written again for the checks: they share no code with the simulator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from alsim.bank.items import Bank
from alsim.config import Config, columns_of
from alsim.dynamics.bkt import Bkt
from alsim.dynamics.fatigue import Fatigue
from alsim.dynamics.fsrs import Fsrs
from alsim.dynamics.half_life import HalfLife
from alsim.dynamics.linked import Linked
from alsim.dynamics.prerequisites import Prerequisites
from alsim.dynamics.standard import Standard
from alsim.sanity.memories import MEMORIES, State, recall_of
from alsim.simulator.simulator import Simulator
from alsim.types import Doubles, Longs


class Situation(NamedTuple):
    """N learners before an interaction with an item of an LO each."""

    parameters: Any  # of the dynamics, (N,) each
    ability: Doubles  # (N,) logits
    mastery: Doubles  # (N,) of the LO; with memory, its recall at the time of the interaction
    unready: Doubles  # (N,) sum over the parents of the LO of 1 - mastery
    effort: Doubles  # (N,) in [0, 1), after the rest since the last interaction; 0 without such a state
    memory: State  # of the LO; without fields, if the dynamics has no memory


class Rules(NamedTuple):
    """Rules of a dynamics as functions of N situations.

    chance    probability of a correct answer, (N,), given a, b and c of the questions
    rate      factor of the gain of mastery, or memory, after a correct answer, (N,); None if there are no gains
    slowness  factor of the response time, (N,)
    text      name of the model of answers, for messages
    """

    chance: Callable[[Situation, Doubles, Doubles, Doubles], Doubles]
    rate: Callable[[Situation], Doubles] | None
    slowness: Callable[[Situation], Doubles]
    text: str


def logistic(x: Doubles) -> Doubles:
    """Return 1 / (1 + exp(-x)) without overflow."""
    return np.asarray(np.exp(-np.logaddexp(0, -x)))


def _three_parameters(s: Situation, a: Doubles, b: Doubles, c: Doubles) -> Doubles:
    return c + (1 - c) * logistic(a * (s.ability - b))


def _linked(s: Situation, a: Doubles, b: Doubles, c: Doubles) -> Doubles:
    return c + (1 - c) * logistic(a * (s.ability - b) + s.parameters.mastery_weight * (s.mastery - 0.5))


def _known(s: Situation, a: Doubles, b: Doubles, c: Doubles) -> Doubles:
    p = s.parameters
    return np.where(s.mastery == 1, 1 - p.p_slip, np.where(p.p_guess < 0, c, p.p_guess))


def _remembered(s: Situation, a: Doubles, b: Doubles, c: Doubles) -> Doubles:
    known = s.mastery * np.exp(s.parameters.ability_weight * a * (s.ability - b))
    return np.asarray(c + (1 - c) * known / (known + 1 - s.mastery))


def _one(s: Situation) -> Doubles:
    return np.ones(len(s.mastery))


def _by_parents(s: Situation) -> Doubles:
    return np.asarray(np.exp(-s.parameters.strength * s.unready))


_OF_MEMORY = Rules(_remembered, _by_parents, _one, "model of recall")

RULES: dict[type[Any], Rules] = {
    Standard: Rules(_three_parameters, _one, _one, "3PL"),
    Linked: Rules(_linked, _one, _one, "3PL with mastery"),
    Prerequisites: Rules(_three_parameters, _by_parents, _one, "3PL"),
    Fatigue: Rules(
        _three_parameters,
        lambda s: 1 - s.parameters.learning_loss * s.effort,
        lambda s: 1 + s.parameters.slowing * s.effort,
        "3PL",
    ),
    Bkt: Rules(_known, None, _one, "model of slips and guesses"),
    HalfLife: _OF_MEMORY,
    Fsrs: _OF_MEMORY,
}
"""The rules by class of parameters."""


def rows_of(config: Config, seed: int, lanes: int) -> Longs:
    """Return the row of the population of each of the first learners of a seed, (N,)."""
    return np.asarray(config.population_rows_of(seed, np.arange(lanes)), np.int64)


def parameters_of(config: Config, seed: int, lanes: int) -> Any:
    """Return the parameters of the dynamics of each of the first learners of a seed, (N,) each."""
    return type(config.dynamics)(**_columns(config, "dynamics", config.dynamics._asdict(), seed, lanes))


def start_of(config: Config, seed: int, lanes: int) -> dict[str, Doubles]:
    """Return the parameters of the starting distributions of each of the first learners of a seed, (N,) each."""
    return _columns(config, "learner", config.learner.model_dump(), seed, lanes)


def _columns(config: Config, part: str, common: dict[str, float], seed: int, lanes: int) -> dict[str, Doubles]:
    """Return the values of a part of the configuration for each of the first learners of a seed, (N,) each."""
    if config.population is None:
        return {key: np.full(lanes, value, np.float64) for key, value in common.items()}
    rows = rows_of(config, seed, lanes)
    return {key: values[rows] for key, values in columns_of(config.overrides(part), common).items()}


def situation(simulator: Simulator, parameters: Any, learning_outcome: Longs) -> Situation:
    """Return the learners of a simulator before interactions with items of these LOs, (N,)."""
    learners, mastery = simulator.learners, simulator.mastery.astype(np.float64)
    lanes = np.arange(len(mastery))
    own = mastery[lanes, learning_outcome]
    effort: Doubles = np.zeros(len(mastery))
    unready: Doubles = np.zeros(len(mastery))
    memory: State = {}
    if hasattr(parameters, "strength"):
        parents = parents_of(simulator.config, simulator.bank)
        unready = ((1 - mastery) * parents[learning_outcome]).sum(axis=1)
    if isinstance(simulator.config.dynamics, Fatigue):
        state = learners.learner_state
        rest = np.maximum(0, learners.hours - state.ended)
        effort = state.effort * np.exp(-rest / parameters.rest_hours)
    rules = MEMORIES.get(type(simulator.config.dynamics))
    if rules is not None:
        memory = memory_of(simulator, learning_outcome)
        own = recall_of(rules, parameters, memory, learners.hours, own)
    return Situation(
        parameters=parameters,
        ability=learners.ability.astype(np.float64),
        mastery=own,
        unready=unready,
        effort=effort,
        memory=memory,
    )


def memory_of(simulator: Simulator, learning_outcome: Longs) -> State:
    """Return the memory of an LO of each learner, (N,) each."""
    fields, num_los = simulator.learners.lo_state._asdict(), simulator.bank.num_los
    cells = np.arange(len(learning_outcome)) * num_los + learning_outcome
    return {name: values[cells].astype(np.float64) for name, values in fields.items()}


def parents_of(config: Config, bank: Bank) -> Doubles:
    """Return which outcomes are parents of each outcome, (L, L), 0 or 1."""
    parents: Doubles = np.zeros((bank.num_los, bank.num_los))
    index = {name: k for k, name in enumerate(bank.outcomes)}
    for parent, child in () if config.curriculum is None else config.curriculum.edges:
        places = [end if isinstance(end, int) else index[end] for end in (child, parent)]
        parents[places[0], places[1]] = 1
    return parents


__all__ = ["RULES", "Rules", "Situation", "memory_of", "parameters_of", "rows_of", "situation", "start_of"]
