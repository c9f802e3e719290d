"""Upper bounds of the mean mastery that any policy can reach within a number of interactions (decision 25).

In a relaxed world, every interaction gains as much as any could with the same random numbers. There, the LO with the
largest expected gain is the best choice at every step, for every number of steps. The mean of simulated learners
that are taught so is an upper bound of the mean under any policy of the real world.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from alsim.bank.items import Bank
from alsim.config import Config, columns_of, independent_unit
from alsim.dynamics import Dynamics, of_parameters, rules_fingerprint
from alsim.errors import AlsimError
from alsim.evaluation.outcomes import CurveSums
from alsim.evaluation.statistics_input import read_confidence
from alsim.jit.compile import entry, lean_kernel
from alsim.jit.references import by_reference
from alsim.numerics.doubles import log_each
from alsim.numerics.philox import random_words
from alsim.numerics.variates import normal, uniform
from alsim.simulator.state import new_world
from alsim.simulator.step import begin_lanes
from alsim.types import Doubles, Draws, Floats, Keys, Longs, Purpose, Words, f32, f64, u32, u64

CONFIDENCE = 0.999
"""Default confidence of the upper limits: the probability that a limit is above the expectation."""
PART_ENTRIES = 2**20
"""Entries of the arrays of learners that are simulated together."""
BETS = 0.05 * 1.4 ** np.arange(24.0)
"""Fixed bets of the upper limits: the limits are tight if one of them suits the values."""
DISTANCES = 1e-5 * 1.02 ** np.arange(582.0)
"""Distances of possible limits from the mean, up to 1."""
TINY = 1e-300
ROUNDING = 2.0**-18
"""Sum of the masteries that an interaction in float32 may gain above the bound in float64, see decision 25."""


class MasteryBound(NamedTuple):
    """Upper bound of the expected mean mastery under any policy, after t = 0, 1, ..., T interactions."""

    mean: Doubles
    """(T + 1,) estimate of the bound: mean over the simulated learners."""
    upper: Doubles
    """(T + 1,) upper confidence limit of the bound, at most 1; each by itself, not all together."""
    confidence: float
    """Probability with which a limit is at least the bound."""
    n: int
    """Number of independent units: learners, or classes."""


def mastery_bound(
    config: Config,
    bank: Bank,
    *,
    learners: int,
    seed: int,
    first_learner: int,
    steps: int | None = None,
    confidence: float = CONFIDENCE,
) -> MasteryBound | None:
    """Estimate an upper bound of the mean mastery that any policy can reach, after each number of interactions.

    The expectation is that over learners of the configuration. Policies may know the true state of a learner, but not
    the random numbers of later interactions. Learners whose episode has ended keep their mastery.

    learners       number of simulated learners, at least 1; under the defaults, the limit exceeds the estimate by
                   about 0.05 for 100 and by 0.001 for 10,000
    seed           seed of the learners
    first_learner  index of the first learner
    steps          T, at least 1; None: the step limit of the configuration
    confidence     one-sided confidence of the limits, in (0, 1)

    Returns a MasteryBound; None if the dynamics declares no bound, see `largest_gain` of `alsim.register_dynamics`.
    Raises AlsimError for an invalid confidence, and for a bound of the dynamics that is not a number.
    """
    dynamics, level = of_parameters(type(config.dynamics)), read_confidence(confidence)
    if dynamics.largest_gain is None:
        return None
    horizon = config.max_episode_steps if steps is None else steps
    unit = independent_unit(config.to_dict())
    size, sums = unit.size if unit.name == "class" else 1, CurveSums(horizon)
    learner = first_learner + np.arange(learners)
    for curves in relaxed_curves(config, bank, seed, learner, horizon):
        done, learner = learner[: len(curves)], learner[len(curves) :]
        sums.add(curves, done // size)
    n, mean, variance = sums.moments()
    if not np.isfinite(mean).all():
        raise AlsimError(
            f"largest_gain or expected_gain of the dynamics {dynamics.name!r} returns NaN or an infinite number; "
            "return finite numbers"
        )
    rounding = ROUNDING * np.arange(horizon + 1) / bank.num_los
    upper = np.minimum(1.0, upper_limits(n, mean, variance, level) + rounding)
    return MasteryBound(mean=mean, upper=upper, confidence=level, n=n)


def relaxed_curves(config: Config, bank: Bank, seed: int, learner: Longs, steps: int) -> Iterator[Doubles]:
    """Yield the mean masteries of learners in the relaxed world, after t = 0, 1, ..., T interactions, (B, T + 1).

    learner  (N,) indices; they come in parts, in this order
    """
    rules = config.with_single_row()
    dynamics, rows, best = of_parameters(type(rules.dynamics)), _rows_of(rules), best_effectiveness(bank)
    part = max(1, PART_ENTRIES // (bank.num_los + steps))
    for first in range(0, len(learner), part):
        some = learner[first : first + part]
        relaxed = _Relaxed(dynamics, _of_learners(rows, rules, seed, some), best, seed, some)
        yield relaxed.curves(_starts(rules, bank, seed, some), steps)


def upper_limits(n: int, mean: Doubles, variance: Doubles, confidence: float) -> Doubles:
    """Return upper confidence limits of the expectation of the mean of n independent values in [0, 1].

    Each limit is the smallest m on a grid for which, with some bet b of BETS and u = 1 - m, b u < 1,

        n b (m - mean) + S (log(1 - b u) + b u) / u^2 >= log(len(BETS) / (1 - confidence)),

    where S is the sum of the squared distances of the values from m. They hold for any distribution and any n, see
    decision 25.

    mean, variance  of the values, (T,) each, the latter with n - 1

    Source: Waudby-Smith & Ramdas (2024), JRSS B 86, 1-27, by the inequality of Fan, Grama & Liu (2015).
    """
    needed, limits = math.log(len(BETS) / (1 - confidence)), np.ones_like(mean)
    for distance in DISTANCES[::-1].tolist():
        m = mean + distance
        inside = m < 1
        u = np.where(inside, 1 - m, 1.0)
        stake = BETS[:, np.newaxis] * u
        squares = (n - 1) * variance + n * distance**2
        loss = (log_each(np.maximum(1 - stake, TINY)) + stake) * squares / u**2
        gained = n * BETS[:, np.newaxis] * distance + loss
        enough = ((gained >= needed) & (stake < 1)).any(axis=0) & inside
        limits = np.where(enough, np.minimum(limits, m), limits)
    return limits


def best_effectiveness(bank: Bank) -> Doubles:
    """Return the largest effectiveness of the contents of each LO, (L,)."""
    best: Doubles = np.zeros(bank.num_los)
    np.maximum.at(best, bank.contents.learning_outcome, bank.contents.effectiveness.astype(f64))
    return best


class _Relaxed:
    """The relaxed world of N learners.

    parameters     of the dynamics, (N, 1) or (1, 1) each
    effectiveness  (L,) largest of each LO
    learner        (N,)
    """

    def __init__(self, dynamics: Dynamics, parameters: Any, effectiveness: Doubles, seed: int, learner: Longs) -> None:
        self._dynamics, self._parameters, self._seed, self._learner = dynamics, parameters, seed, learner
        # Without expectations, all LOs have the best contents of the bank; they then differ in mastery only.
        known = dynamics.expected_gain is not None
        self._effectiveness = effectiveness if known else np.full(len(effectiveness), effectiveness.max())

    def curves(self, start: Doubles, steps: int) -> Doubles:
        """Return the mean mastery after t = 0, 1, ..., T interactions under the best policy, (N, T + 1).

        start  (N, L) starting mastery
        """
        mastery, lanes = start.copy(), np.arange(len(start))
        score = self._score(mastery, self._effectiveness)
        curves: Doubles = np.empty((len(start), steps + 1))
        curves[:, 0] = mastery.cumsum(axis=1)[:, -1]
        for step in range(steps):
            lo = score.argmax(axis=1)
            before, best = mastery[lanes, lo][:, np.newaxis], self._effectiveness[lo][:, np.newaxis]
            after = np.minimum(1.0, before + self._gain(before, best, self._draws(step)))
            mastery[lanes, lo] = after[:, 0]
            score[lanes, lo] = self._score(after, best)[:, 0]
            curves[:, step + 1] = curves[:, step] + (after - before)[:, 0]
        return np.asarray(curves / start.shape[1])

    def _gain(self, mastery: Doubles, effectiveness: Doubles, draws: Draws) -> Doubles:
        """Return the gain from an interaction in the relaxed world, of the shape of `mastery`."""
        assert self._dynamics.largest_gain is not None  # callers make sure of it
        gain: Any = self._dynamics.largest_gain(self._parameters, mastery, effectiveness, draws)
        gains: Doubles = np.broadcast_to(np.asarray(gain, f64), mastery.shape)
        return gains

    def _score(self, mastery: Doubles, effectiveness: Doubles) -> Doubles:
        """Return numbers in the order of the expected gains, of the shape of `mastery`, as a new array."""
        if self._dynamics.expected_gain is None:
            return -mastery
        score = self._dynamics.expected_gain(self._parameters, mastery, effectiveness)
        scores: Doubles = np.array(np.broadcast_to(np.asarray(score, f64), mastery.shape))
        return scores

    def _draws(self, step: int) -> Draws:
        """Return the random numbers of a step, (N, 1) each, with the distributions of those of an interaction."""
        words = self._words(step, 0)
        noise: Floats = np.empty(len(self._learner), f32)
        _normals(words[:, 1].copy(), words[:, 3].copy(), noise)
        further: Any = ()
        if self._dynamics.further_draws:
            further = tuple(_uniforms_of(column) for column in self._words(step, 1).T)
        return Draws(
            answer=_uniforms_of(words[:, 0]),  # type: ignore[arg-type]  # arrays of these numbers
            noise=noise.astype(f64)[:, np.newaxis],  # type: ignore[arg-type]
            further=further,
        )

    def _words(self, step: int, block: int) -> Words:
        """Return the words of the counters (step, 0, learner, BOUND), with the seed as key, (N, 4)."""
        count = len(self._learner)
        words: Words = np.empty(4 * count, np.uint32)
        steps, zeros = np.full(count, step, np.uint32), np.zeros(count, np.uint32)
        keys: Keys = np.full(count, u64(self._seed))
        random_words(steps, zeros, self._learner.astype(np.uint32), u32(Purpose.BOUND | block << 16), keys, words)
        return words.reshape(count, 4)


def _starts(config: Config, bank: Bank, seed: int, learner: Longs) -> Doubles:
    """Return the mastery of learners at the start of their first episode, (N, L)."""
    world = new_world(config, bank, len(learner), responses=False, record=False)
    world.learners.key[:], world.learners.learner[:] = seed, learner
    begin = by_reference(world), np.arange(len(learner))
    entry(begin_lanes, *begin, own_cache=rules_fingerprint(type(world.parameters)))(*begin)
    mastery: Doubles = world.learners.rows.reshape(len(learner), -1)[:, : bank.num_los].astype(f64)
    return mastery


def _rows_of(config: Config) -> dict[str, Doubles]:
    """Return the parameters of the dynamics in each row of the population, (S,) each, rounded as the simulator does."""
    common = config.dynamics._asdict()
    overrides = [{}] if config.population is None else config.overrides("dynamics")
    return {key: values.astype(f32).astype(f64) for key, values in columns_of(overrides, common).items()}


def _of_learners(rows: dict[str, Doubles], config: Config, seed: int, learner: Longs) -> Any:
    """Return the parameters of the dynamics of each learner, (N, 1) each; (1, 1) without a population."""
    own = np.zeros(1, np.int64) if config.population is None else config.population_rows_of(seed, learner)
    return type(config.dynamics)(**{key: values[own][:, np.newaxis] for key, values in rows.items()})


def _uniforms_of(words: Words) -> Doubles:
    """Return the uniform variate of each word, (N, 1)."""
    variates: Floats = np.empty(len(words), f32)
    _uniforms(words.copy(), variates)
    return variates.astype(f64)[:, np.newaxis]


@lean_kernel
def _uniforms(words: Words, out: Floats) -> None:
    """Write the uniform variate of each word."""
    for k in range(len(out)):
        out[k] = uniform(words[k])


@lean_kernel
def _normals(radius: Words, angle: Words, out: Floats) -> None:
    """Write the normal variate of each pair of words."""
    for k in range(len(out)):
        out[k] = normal(radius[k], angle[k])


__all__ = ["CONFIDENCE", "MasteryBound", "best_effectiveness", "mastery_bound", "relaxed_curves", "upper_limits"]
