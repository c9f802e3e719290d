"""Accelerated expectation-maximisation of all skills at once.

Each block of parameters (see `likelihood`) is maximised independently of the others. A plain step is one EM step. A
leap is a squared extrapolation of two plain steps, and is tried where plain steps make slow progress.

Source: Varadhan and Roland (2008), Simple and globally convergent methods for accelerating the convergence of any EM
algorithm: scheme S3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from alsim.models.base import ModelError
from alsim.models.bkt.likelihood import Likelihood
from alsim.types import Bools, Doubles, Longs

AGREEING_PAIRS = 5
"""Number of consecutive pairs of plain steps with little estimated gain after which an accelerated block has converged.

Soon after a leap, fast directions dominate the steps, so that one pair may underestimate the gain in slow directions.
"""

GAIN_SHARE = 0.01
"""The estimated remaining gain must be below this share of the tolerance.

The estimate from two steps shows only the faster directions.
"""

NEAR_BOUND = 1e-3
"""Parameters closer than this to a bound are tried at the bound, because EM reaches 0 and 1 only in the limit."""

ROUNDING = 1e-13
"""A gain below this share of the objective may be a rounding error."""


class AscentSettings(NamedTuple):
    """Stopping rule and method of an ascent.

    tolerance       a block has converged when its remaining gain is below this share of its objective
    max_iterations  largest number of plain steps and leaps
    accelerate      whether to leap where plain steps make slow progress
    """

    tolerance: float
    max_iterations: int
    accelerate: bool


@dataclass
class Maximum:
    """The parameters that an ascent has reached, and their likelihood.

    theta           (P,) parameters
    value           (B,) objective, nats
    log_likelihood  (K,) log-likelihood of each skill, nats
    iterations      (B,) number of plain steps and leaps
    converged       (B,) whether the block has converged
    """

    theta: Doubles
    value: Doubles
    log_likelihood: Doubles
    iterations: Longs
    converged: Bools

    def copy(self) -> Maximum:
        """Return a copy with copies of all arrays."""
        return Maximum(*(getattr(self, part.name).copy() for part in fields(self)))


def maximise(
    likelihood: Likelihood, theta: Doubles, settings: AscentSettings, watch: Callable[[Maximum], None]
) -> Maximum:
    """Maximise the objective of each block until its estimated remaining gain is below the tolerance.

    likelihood  the chains, bounds and priors
    theta       (P,) starting point
    settings    stopping rule and method
    watch       called after each iteration with the point that has been reached

    The remaining gain is estimated from two plain steps. If each step is shorter than the previous one by a factor r,
    gains shrink by r^2, and their sum is a geometric series.

    Raises ModelError for responses that have probability 0 at the starting point.
    """
    ascent = _Ascent.begin(likelihood, theta)
    result = ascent.at.copy()
    for iteration in range(settings.max_iterations + 1):
        ascent.step(iteration, settings)
        ascent.copy_into(result)
        watch(result)
        climbing = np.count_nonzero(~ascent.at.converged)
        if climbing == 0:
            break
        if climbing <= len(ascent.blocks) / 2:
            ascent = ascent.without_converged()
    return result


@dataclass
class _Ascent:
    """State of an ascent of some blocks, of which at most half have converged.

    likelihood      likelihood of these blocks only
    blocks          (B,) numbers of the blocks among all blocks
    places          (P,) indices of their parameters among all parameters
    at              the point that the blocks have reached
    here            (P,) parameters at which the next step starts
    fallback        (P,) parameters to return to if a leap lowers the objective
    leapt           (B,) True if `here` is the starting point or was reached by a leap
    agreeing        (B,) number of consecutive pairs of plain steps with little estimated gain
    """

    likelihood: Likelihood
    blocks: Longs
    places: Longs
    at: Maximum
    here: Doubles
    fallback: Doubles
    leapt: Bools
    agreeing: Longs

    @classmethod
    def begin(cls, likelihood: Likelihood, theta: Doubles) -> _Ascent:
        """Return an ascent of all blocks before its first step."""
        size = likelihood.num_blocks
        at = Maximum(
            theta,
            np.full(size, -np.inf),
            np.zeros(likelihood.num_skills),
            np.zeros(size, np.int64),
            np.zeros(size, np.bool_),
        )
        return cls(
            likelihood,
            blocks=np.arange(size),
            places=np.arange(len(theta)),
            at=at,
            here=theta,
            fallback=theta,
            leapt=np.ones(size, np.bool_),
            agreeing=np.zeros(size, np.int64),
        )

    def step(self, iteration: int, settings: AscentSettings) -> None:
        """Make a plain step or a leap in each block that has not converged.

        Raises ModelError in iteration 0 for responses that have probability 0.
        """
        likelihood, at, block = self.likelihood, self.at, self.likelihood.block
        image, value, log_likelihood = likelihood.step(self.here, ~at.converged)
        if iteration == 0 and not np.isfinite(log_likelihood).all():
            skill = str(likelihood.skills[np.flatnonzero(~np.isfinite(log_likelihood))[0]])
            raise ModelError(
                f"some responses to skill {skill!r} have probability 0 under the fixed parameters and bounds; "
                "expected parameters under which all responses are possible: fix none at 0 or 1, or widen the bounds"
            )
        failed = ~at.converged & self.leapt & (value < at.value)
        good = ~at.converged & ~failed
        before, gain = at.theta, value - at.value
        _accept(likelihood, at, good, self.here, value, log_likelihood)
        at.iterations[good] = iteration
        plain = good & ~self.leapt
        little = _little_left(likelihood, plain, gain, at.value, (before, self.here, image), settings.tolerance)
        self.agreeing = np.where(plain, np.where(little, self.agreeing + 1, 0), self.agreeing)
        at.converged |= plain & (self.agreeing >= (AGREEING_PAIRS if settings.accelerate else 1))
        self.leapt = plain & ~at.converged & (self.agreeing == 0) & settings.accelerate
        target = np.where(self.leapt[block], _leap(likelihood, before, self.here, image), image)
        self.fallback = np.where(good[block], image, self.fallback)
        self.here = np.where(failed[block], self.fallback, np.where(good[block], target, self.here))

    def copy_into(self, result: Maximum) -> None:
        """Write the point that these blocks have reached into the result of all blocks."""
        result.theta[self.places] = self.at.theta
        for name in ("value", "iterations", "converged"):
            getattr(result, name)[self.blocks] = getattr(self.at, name)
        skills = self.blocks if len(result.value) > 1 else slice(None)  # with offsets, one block has all skills
        result.log_likelihood[skills] = self.at.log_likelihood

    def without_converged(self) -> _Ascent:
        """Return the ascent of the blocks that have not converged, so that converged blocks take no more time."""
        blocks = ~self.at.converged
        places = blocks[self.likelihood.block]
        at = self.at
        return _Ascent(
            self.likelihood.subset(blocks),
            self.blocks[blocks],
            self.places[places],
            Maximum(
                at.theta[places],
                at.value[blocks],
                at.log_likelihood[blocks],
                at.iterations[blocks],
                at.converged[blocks],
            ),
            self.here[places],
            self.fallback[places],
            self.leapt[blocks],
            self.agreeing[blocks],
        )


def _accept(
    likelihood: Likelihood, at: Maximum, good: Bools, here: Doubles, value: Doubles, log_likelihood: Doubles
) -> None:
    """Move the blocks that are `good` (B,) to `here` (P,)."""
    at.theta = np.where(good[likelihood.block], here, at.theta)
    at.value = np.where(good, value, at.value)
    skills = likelihood.skills_of(good) if good.any() else np.zeros(0, np.int64)
    at.log_likelihood[skills] = log_likelihood[skills]


def _lengths(likelihood: Likelihood, vector: Doubles) -> Doubles:
    """Return the Euclidean length (B,) of each block's part of a vector (P,)."""
    return np.sqrt(np.bincount(likelihood.block, vector**2, likelihood.num_blocks))


def _little_left(
    likelihood: Likelihood,
    plain: Bools,
    gain: Doubles,
    value: Doubles,
    points: tuple[Doubles, Doubles, Doubles],
    tolerance: float,
) -> Bools:
    """Return whether each block (B,) made a plain step and has little estimated gain left.

    plain   (B,) blocks that made a plain step
    gain    (B,) gain of that step, nats
    value   (B,) objective, nats
    points  parameters before that step, after it, and after the next step
    tolerance  of `AscentSettings`
    """
    if not plain.any():
        return plain
    before, here, image = points
    first, second = _lengths(likelihood, here - before), _lengths(likelihood, image - here)
    scale = np.maximum(np.abs(value), 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        shrinks = (second / first) ** 2
        left = gain * shrinks / (1 - shrinks)
        little = (shrinks < 1) & (left <= GAIN_SHARE * tolerance * scale)
    return np.asarray(plain & (little | (second == 0) | (gain <= ROUNDING * scale)))


def _leap(likelihood: Likelihood, before: Doubles, here: Doubles, image: Doubles) -> Doubles:
    """Return the squared extrapolation (P,) of two plain steps of each block.

    before, here, image  (P,) parameters before the first step, after it, and after the second step

    EM never changes a probability of 0 or 1. If a leap would reach or pass 0 or 1, the parameter therefore moves only
    nine tenths of the distance from `image` to 0 or 1.
    """
    step, bend = here - before, (image - here) - (here - before)
    with np.errstate(divide="ignore", invalid="ignore"):
        far = _lengths(likelihood, step) / _lengths(likelihood, bend)
    far = np.where(np.isfinite(far), np.maximum(far, 1), 1)[likelihood.block]
    target = before + 2 * far * step + far**2 * bend
    size = likelihood.num_probabilities
    target[:size] = np.where(target[:size] <= 0, image[:size] / 10, target[:size])
    target[:size] = np.where(target[:size] >= 1, 1 - (1 - image[:size]) / 10, target[:size])
    return np.clip(target, likelihood.lower, likelihood.upper)


def move_to_bounds(likelihood: Likelihood, at: Maximum) -> None:
    """Set parameters near a bound to the bound, in each converged block whose objective does not fall as a result."""
    size = likelihood.num_probabilities
    lower, upper = likelihood.lower[:size], likelihood.upper[:size]
    for places in map(np.unique, likelihood.of_group.values()):
        moved = at.theta.copy()
        value = moved[places]
        value = np.where(value - lower[places] < NEAR_BOUND, lower[places], value)
        moved[places] = np.where(upper[places] - value < NEAR_BOUND, upper[places], value)
        blocks = at.converged & (np.bincount(likelihood.block, moved != at.theta, likelihood.num_blocks) > 0)
        if blocks.any():
            _, value, log_likelihood = likelihood.step(moved, blocks)
            _accept(likelihood, at, blocks & (value >= at.value), moved, value, log_likelihood)
