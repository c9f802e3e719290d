"""Maximum likelihood by expectation and maximisation, all skills side by side.

What is maximised is the log-likelihood, plus the logarithm of the priors' densities. The parameters of all skills lie
in one vector theta (P,), of five parts: p_init (K,), p_learn, p_guess, p_slip (each (C,) where it differs by item, else
(K,)) and p_forget (K,); after them the students' offsets (S,), if they have such. A block is what is maximised by
itself: a skill or, with offsets, which tie them together, everything.

Sources: Baum, Petrie, Soules and Weiss (1970), A maximization technique occurring in the statistical analysis of
probabilistic functions of Markov chains; Varadhan and Roland (2008), Simple and globally convergent methods for
accelerating the convergence of any EM algorithm: scheme S3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import NamedTuple

import numpy as np

from alsim.models.base import ModelError
from alsim.models.bkt.chains import Chains
from alsim.models.bkt.kernels import FORGOT, KNOWN, LAST_KNOWN, LAST_UNKNOWN, LEARNT, UNKNOWN, expect
from alsim.models.bkt.skill import make_table
from alsim.responses.cells import Names
from alsim.types import Bools, Doubles, Ints, Longs

CALM = 5
"""So many pairs of plain steps must agree that little is left to gain: leaps hide slow directions behind fast ones."""

CAUTION = 0.01
"""The gain that is left is held to this share of the tolerance: two steps tell of the faster directions only."""

CLOSE = 1e-3
"""A parameter as close to a bound as this may belong there: EM comes to 0 and 1 in the end only."""

ROUNDING = 1e-13
"""A gain of this share of the log-likelihood may be nothing."""

FARTHEST_LOGIT = 30.0


class Expected(NamedTuple):
    """What the E-step finds at some theta, of the skills it was asked for.

    happened        (P,) how often what has this probability is expected to have happened
    chances         (P,) of so many
    log_likelihood  (K,)
    begun           (H,) weight of each chain, times the probability that its skill was known at first; written over
                    by the next
    """

    happened: Doubles
    chances: Doubles
    log_likelihood: Doubles
    begun: Doubles


@dataclass(frozen=True)
class Likelihood:
    """The likelihood of chains, and what is held or known before.

    skills        (K,) names, for messages
    group_skill   (C,) the skill of each group; never falls
    of_group      where theta has the parameter of each group (C,), by name
    lower, upper (P,) bounds; alike where a parameter is fixed
    alpha, beta  (P,) of the Beta prior: 1 and 1 for none
    student_sd   standard deviation of the students' offsets, logits; 0 for none
    """

    skills: Names
    group_skill: Ints
    chains: Chains
    of_group: dict[str, Longs]
    lower: Doubles
    upper: Doubles
    alpha: Doubles
    beta: Doubles
    student_sd: float
    student_weight: Doubles
    block: Longs = field(init=False)  # (P,) the block of each parameter
    skill: Longs = field(init=False)  # (P,) the skill of each parameter but the offsets
    chain_skill: Longs = field(init=False)  # (H,)
    seen: Doubles = field(init=False)  # (K,) weight of each skill's chains
    init_of: Longs = field(init=False)  # (H,) where each chain's p_init stands: by chain with offsets, else by skill
    scratch: tuple[Doubles, Doubles, Doubles] = field(init=False)

    def __post_init__(self) -> None:
        skill = np.zeros(self.num_probabilities, np.int64)
        for places in self.of_group.values():
            skill[places] = self.group_skill
        block = np.zeros(len(self.lower), np.int64)
        if not self.student_sd:
            block[:] = skill
        longest = self.chains.longest
        whose = np.repeat(np.arange(self.num_skills), np.diff(self.chains.start))
        for name, value in (
            ("skill", skill),
            ("block", block),
            ("chain_skill", whose),
            ("seen", np.bincount(whose, self.chains.weight, self.num_skills)),
            ("init_of", np.arange(len(whose)) if self.student_sd else whose),
            ("scratch", (np.empty((longest, 2)), np.empty(longest), np.zeros(len(whose)))),
        ):
            object.__setattr__(self, name, value)

    @property
    def num_skills(self) -> int:
        """K."""
        return len(self.chains.start) - 1

    @property
    def num_blocks(self) -> int:
        """How many parts are maximised by themselves."""
        return 1 if self.student_sd else self.num_skills

    @property
    def num_probabilities(self) -> int:
        """P without the offsets."""
        return len(self.alpha)

    def only(self, skills: Bools) -> Likelihood:
        """Return the likelihood of some skills by themselves, where each is a block."""
        groups, places = skills[self.group_skill], skills[self.block]
        place = np.cumsum(places) - 1
        return replace(
            self,
            skills=self.skills[skills],
            group_skill=(np.cumsum(skills) - 1)[self.group_skill[groups]].astype(np.int32),
            chains=self.chains.only(skills, groups),
            of_group={name: place[own[groups]] for name, own in self.of_group.items()},
            **{name: getattr(self, name)[places] for name in ("lower", "upper", "alpha", "beta")},
        )

    def skills_of(self, blocks: Bools) -> Longs:
        """Return the skills of some blocks."""
        return np.arange(self.num_skills) if self.student_sd else np.flatnonzero(blocks)

    def chance_of_known(self, theta: Doubles) -> Doubles:
        """Return p_init of each chain: its skill's, moved by its student's offset."""
        init = theta[self.chain_skill]
        if not self.student_sd:
            return init
        logits = logit(init) + theta[self.num_probabilities :][self.chains.student]
        return np.asarray(1 / (1 + np.exp(-logits)))

    def expected(self, theta: Doubles, skills: Longs) -> Expected:
        """Return the E-step at theta."""
        by_group = {name: theta[places] for name, places in self.of_group.items()}
        table = make_table(*(by_group[name] for name in ("p_learn", "p_guess", "p_slip", "p_forget")))
        counts, found = np.zeros((len(table), 6)), np.zeros(self.num_skills)
        opened, chains = np.zeros(self.num_skills), self.chains
        ahead, smoothed, begun = self.scratch
        init = self.chance_of_known(theta) if self.student_sd else theta
        expect(
            skills,
            chains.start,
            chains.begin,
            chains.code,
            chains.weight,
            table,
            self.init_of,
            init,
            counts,
            opened,
            begun,
            found,
            ahead,
            smoothed,
        )
        happened, chances = self._tallies(counts, opened)
        return Expected(happened, chances, found, begun)

    def _tallies(self, counts: Doubles, opened: Doubles) -> tuple[Doubles, Doubles]:
        """Return counts by group and response as those of each parameter."""
        known, unknown = counts[:, KNOWN] + counts[:, LAST_KNOWN], counts[:, UNKNOWN] + counts[:, LAST_UNKNOWN]
        pairs = {
            "p_learn": (counts[0::2, LEARNT] + counts[1::2, LEARNT], counts[0::2, UNKNOWN] + counts[1::2, UNKNOWN]),
            "p_guess": (unknown[1::2], unknown[0::2] + unknown[1::2]),
            "p_slip": (known[0::2], known[0::2] + known[1::2]),
            "p_forget": (counts[0::2, FORGOT] + counts[1::2, FORGOT], counts[0::2, KNOWN] + counts[1::2, KNOWN]),
        }
        size = self.num_probabilities
        happened, chances = np.zeros(size), np.zeros(size)
        happened[: self.num_skills], chances[: self.num_skills] = opened, self.seen
        for name, (part, whole) in pairs.items():
            happened += np.bincount(self.of_group[name], part, size)
            chances += np.bincount(self.of_group[name], whole, size)
        return happened, chances

    def step(self, theta: Doubles, blocks: Bools) -> tuple[Doubles, Doubles, Doubles]:
        """Return where one EM step leads blocks; what is maximised (B,) and the log-likelihood (K,) at theta."""
        found = self.expected(theta, self.skills_of(blocks))
        image = theta.copy()
        moves = blocks[self.block[: self.num_probabilities]]
        image[: self.num_probabilities][moves] = self._maximised(theta, found)[moves]
        if self.student_sd:
            self._move_students(theta, found, image)
        return image, self.penalised(theta, found.log_likelihood), found.log_likelihood

    def _maximised(self, theta: Doubles, found: Expected) -> Doubles:
        """Return the probabilities (P,) that maximise the expected log-likelihood; those that nothing tells, stay."""
        chances = found.chances + self.alpha + self.beta - 2
        told = chances > 0
        best = theta[: self.num_probabilities].copy()
        best[told] = (found.happened + self.alpha - 1)[told] / chances[told]
        return np.clip(best, self.lower[: len(best)], self.upper[: len(best)])

    def _move_students(self, theta: Doubles, found: Expected, image: Doubles) -> None:
        """Move p_init, then the offsets, to the maximum of a parabola that lies below: so the likelihood cannot fall.

        The curvature of log(1 + exp(x)) is at most 1/4: Böhning and Lindsay (1988).
        """
        skills, size, offsets = self.num_skills, self.num_probabilities, slice(self.num_probabilities, None)
        chains, alpha, beta = self.chains, self.alpha[: self.num_skills], self.beta[: self.num_skills]
        init = theta[:skills]
        surplus = found.begun - chains.weight * self.chance_of_known(theta)
        slope = np.bincount(self.chain_skill, surplus, skills) + alpha - 1 - (alpha + beta - 2) * init
        most = (self.seen + alpha + beta - 2) / 4
        logits = np.clip(logit(init) + slope / np.maximum(most, 1e-300), -FARTHEST_LOGIT, FARTHEST_LOGIT)
        image[:skills] = np.clip(1 / (1 + np.exp(-logits)), self.lower[:skills], self.upper[:skills])
        image[size:] = theta[size:]
        surplus = found.begun - chains.weight * self.chance_of_known(image)
        students, precision = len(self.student_weight), self.student_weight / self.student_sd**2
        pull = np.bincount(chains.student, surplus, students) - precision * theta[offsets]
        curve = np.bincount(chains.student, chains.weight, students) / 4 + precision
        image[offsets] += pull / np.maximum(curve, 1e-300)

    def penalised(self, theta: Doubles, log_likelihood: Doubles) -> Doubles:
        """Return (B,) what is maximised: the log-likelihood and the logarithm of the priors, up to a constant."""
        values = theta[: self.num_probabilities]
        told = (self.alpha != 1) | (self.beta != 1)
        p, a, b = values[told], self.alpha[told] - 1, self.beta[told] - 1
        with np.errstate(divide="ignore"):
            prior = a * np.log(np.where(a > 0, p, 1)) + b * np.log(np.where(b > 0, 1 - p, 1))
        by_block = np.bincount(self.block[: len(values)][told], prior, self.num_blocks)
        if not self.student_sd:
            return np.asarray(by_block + log_likelihood)
        offsets = theta[len(values) :]
        penalty = (self.student_weight * offsets**2).sum() / (2 * self.student_sd**2)
        return np.asarray(by_block + log_likelihood.sum() - penalty)


def logit(p: Doubles) -> Doubles:
    """Return log(p / (1 - p)), held within what doubles tell apart."""
    tiny = np.exp(-FARTHEST_LOGIT)
    held = np.clip(p, tiny, 1 - tiny)
    return np.asarray(np.log(held / (1 - held)))


@dataclass
class Maximum:
    """Where the ascent from one start has come to.

    theta           (P,)
    value           (B,) what is maximised
    log_likelihood  (K,)
    iterations      (B,) EM steps and leaps
    converged       (B,)
    """

    theta: Doubles
    value: Doubles
    log_likelihood: Doubles
    iterations: Longs
    converged: Bools

    def copy(self) -> Maximum:
        """Return one that may change by itself."""
        return Maximum(*(getattr(self, part.name).copy() for part in fields(self)))


def maximise(
    likelihood: Likelihood,
    theta: Doubles,
    *,
    tolerance: float,
    max_iterations: int,
    accelerate: bool,
    watch: Callable[[Maximum], None],
) -> Maximum:
    """Climb from theta until no block has more to gain than `tolerance`, as a share of its log-likelihood.

    What is left to gain is estimated from two plain steps: if each is shorter than the last by a factor r, gains
    shrink by r^2, and their sum is geometric.
    """
    ascent = _Ascent.begun(likelihood, theta)
    whole = ascent.at.copy()
    for iteration in range(max_iterations + 1):
        ascent.step(iteration, tolerance, accelerate)
        ascent.tell(whole)
        watch(whole)
        climbing = np.count_nonzero(~ascent.at.converged)
        if climbing == 0:
            break
        if climbing <= len(ascent.blocks) / 2:
            ascent = ascent.narrowed()
    return whole


@dataclass
class _Ascent:
    """Blocks that climb, and some that have come to their end: half of them at most.

    likelihood      of these blocks by themselves
    blocks          (B,) their numbers in the whole
    places          (P,) where their parameters stand in the whole theta
    at              what they have come to
    here            (P,) where the next step starts
    fallback        (P,) where the one after it starts, if a leap led down
    leapt           (B,) whether the way to `here` was no plain step
    calm            (B,) how many pairs of plain steps in a row agree that little is left
    """

    likelihood: Likelihood
    blocks: Longs
    places: Longs
    at: Maximum
    here: Doubles
    fallback: Doubles
    leapt: Bools
    calm: Longs

    @classmethod
    def begun(cls, likelihood: Likelihood, theta: Doubles) -> _Ascent:
        """Return all blocks, with nothing done."""
        size = likelihood.num_blocks
        at = Maximum(
            theta,
            np.full(size, -np.inf),
            np.zeros(likelihood.num_skills),
            np.zeros(size, np.int64),
            np.zeros(size, np.bool_),
        )
        whole = np.arange(size), np.arange(len(theta))
        return cls(likelihood, *whole, at, theta, theta, np.ones(size, np.bool_), np.zeros(size, np.int64))

    def step(self, iteration: int, tolerance: float, accelerate: bool) -> None:
        """Step or leap in each block that has not converged."""
        likelihood, at, block = self.likelihood, self.at, self.likelihood.block
        image, value, log_likelihood = likelihood.step(self.here, ~at.converged)
        if iteration == 0 and not np.isfinite(log_likelihood).all():
            skill = str(likelihood.skills[np.flatnonzero(~np.isfinite(log_likelihood))[0]])
            raise ModelError(f"some responses to skill {skill!r} cannot be, with the parameters that are held")
        failed = ~at.converged & self.leapt & (value < at.value)
        good = ~at.converged & ~failed
        before, gain = at.theta, value - at.value
        _accept(likelihood, at, good, self.here, value, log_likelihood)
        at.iterations[good] = iteration
        plain = good & ~self.leapt
        little = _little_left(likelihood, plain, gain, at.value, (before, self.here, image), tolerance)
        self.calm = np.where(plain, np.where(little, self.calm + 1, 0), self.calm)
        at.converged |= plain & (self.calm >= (CALM if accelerate else 1))
        self.leapt = plain & ~at.converged & (self.calm == 0) & accelerate
        target = np.where(self.leapt[block], _leap(likelihood, before, self.here, image), image)
        self.fallback = np.where(good[block], image, self.fallback)
        self.here = np.where(failed[block], self.fallback, np.where(good[block], target, self.here))

    def tell(self, whole: Maximum) -> None:
        """Write what these blocks have come to among all."""
        whole.theta[self.places] = self.at.theta
        for name in ("value", "iterations", "converged"):
            getattr(whole, name)[self.blocks] = getattr(self.at, name)
        skills = self.blocks if len(whole.value) > 1 else slice(None)  # one block may be of all skills
        whole.log_likelihood[skills] = self.at.log_likelihood

    def narrowed(self) -> _Ascent:
        """Return those that climb, so that the others, which are skills, cost no more."""
        blocks = ~self.at.converged
        places = blocks[self.likelihood.block]
        at = self.at
        return _Ascent(
            self.likelihood.only(blocks),
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
            self.calm[blocks],
        )


def _accept(
    likelihood: Likelihood, at: Maximum, good: Bools, here: Doubles, value: Doubles, log_likelihood: Doubles
) -> None:
    """Let blocks stand where they are."""
    at.theta = np.where(good[likelihood.block], here, at.theta)
    at.value = np.where(good, value, at.value)
    skills = likelihood.skills_of(good) if good.any() else np.zeros(0, np.int64)
    at.log_likelihood[skills] = log_likelihood[skills]


def _lengths(likelihood: Likelihood, vector: Doubles) -> Doubles:
    """Return the length of each block's part of a vector."""
    return np.sqrt(np.bincount(likelihood.block, vector**2, likelihood.num_blocks))


def _little_left(
    likelihood: Likelihood,
    plain: Bools,
    gain: Doubles,
    value: Doubles,
    points: tuple[Doubles, Doubles, Doubles],
    tolerance: float,
) -> Bools:
    """Tell of each block whether the step after a plain step, from `points[0]`, has little left to gain."""
    if not plain.any():
        return plain
    before, here, image = points
    first, second = _lengths(likelihood, here - before), _lengths(likelihood, image - here)
    scale = np.maximum(np.abs(value), 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        shrinks = (second / first) ** 2
        left = gain * shrinks / (1 - shrinks)
        little = (shrinks < 1) & (left <= CAUTION * tolerance * scale)
    return np.asarray(plain & (little | (second == 0) | (gain <= ROUNDING * scale)))


def _leap(likelihood: Likelihood, before: Doubles, here: Doubles, image: Doubles) -> Doubles:
    """Extrapolate two plain steps, each block as far as they promise.

    A probability of 0 or 1 would never change again: whoever would leap there goes nine tenths of the way.
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


def settle(likelihood: Likelihood, at: Maximum) -> None:
    """Put parameters that are close to a bound there, kind by kind, in converged blocks that lose nothing by it."""
    size = likelihood.num_probabilities
    lower, upper = likelihood.lower[:size], likelihood.upper[:size]
    for places in map(np.unique, likelihood.of_group.values()):
        there = at.theta.copy()
        value = there[places]
        value = np.where(value - lower[places] < CLOSE, lower[places], value)
        there[places] = np.where(upper[places] - value < CLOSE, upper[places], value)
        blocks = at.converged & (np.bincount(likelihood.block, there != at.theta, likelihood.num_blocks) > 0)
        if blocks.any():
            _, value, log_likelihood = likelihood.step(there, blocks)
            _accept(likelihood, at, blocks & (value >= at.value), there, value, log_likelihood)
