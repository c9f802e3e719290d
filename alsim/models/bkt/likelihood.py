"""The likelihood of response chains, and one step of expectation-maximisation (EM).

The objective is the log-likelihood plus the log-density of the priors. The parameters of all skills form one vector
theta (P,), in five parts: p_init (K,), p_learn, p_guess, p_slip (each (C,) if it differs by item, else (K,)) and
p_forget (K,). If students have offsets (S,), they follow. A block is a set of parameters that can be maximised
independently of the others: those of one skill or, if students have offsets, which all skills share, all parameters.

Source: Baum, Petrie, Soules and Weiss (1970), A maximization technique occurring in the statistical analysis of
probabilistic functions of Markov chains.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from alsim.models.bkt.chains import Chains
from alsim.models.bkt.kernels import (
    FORGOT,
    KNOWN,
    LAST_KNOWN,
    LAST_UNKNOWN,
    LEARNT,
    UNKNOWN,
    Expectations,
    Scratch,
    expect,
)
from alsim.models.bkt.skill import make_table
from alsim.responses.cells import Names
from alsim.types import Bools, Doubles, Ints, Longs

MAX_LOGIT = 30.0
"""Logits are clipped to [-MAX_LOGIT, MAX_LOGIT]; for larger ones, 1 - p would be lost to rounding."""

LEAST_CURVATURE = 1e-300
"""Replaces a curvature of 0. The slope is then 0 too, so that the step is 0 instead of 0 / 0."""


class Expected(NamedTuple):
    """Result of the E-step for some skills.

    events          (P,) expected number of times that the event of each probability occurred, such as a slip
    trials          (P,) expected number of times that this event could occur
    log_likelihood  (K,) log-likelihood of each skill, nats
    chain_initial   (H,) weight of each chain times the probability that its skill was known at first; overwritten by
                    the next E-step
    """

    events: Doubles
    trials: Doubles
    log_likelihood: Doubles
    chain_initial: Doubles


@dataclass(frozen=True)
class Likelihood:
    """The likelihood of chains, with bounds and priors.

    skills         (K,) names, for error messages
    group_skill    (C,) skill of each group, in ascending order
    chains         the responses
    of_group       indices (C,) in theta of the parameters of each group, by name of the parameter
    lower, upper   (P,) bounds; equal for a fixed parameter
    alpha, beta    (P,) parameters of the Beta priors; 1 and 1 for no prior
    student_sd     standard deviation of the students' offsets, logits; 0 for none
    student_weight (S,) number of students that each student represents
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
    block: Longs = field(init=False)  # (P,) block of each parameter
    skill: Longs = field(init=False)  # (P,) skill of each parameter except the offsets
    chain_skill: Longs = field(init=False)  # (H,)
    skill_weight: Doubles = field(init=False)  # (K,) sum of the weights of each skill's chains
    init_of: Longs = field(init=False)  # (H,) index of each chain's p_init: per chain with offsets, else per skill
    scratch: Scratch = field(init=False)
    chain_initial: Doubles = field(init=False)  # (H,) reused by every E-step

    def __post_init__(self) -> None:
        skill = np.zeros(self.num_probabilities, np.int64)
        for places in self.of_group.values():
            skill[places] = self.group_skill
        block = np.zeros(len(self.lower), np.int64)
        if not self.student_sd:
            block[:] = skill
        longest = self.chains.longest
        chain_skill = np.repeat(np.arange(self.num_skills), np.diff(self.chains.start))
        for name, value in (
            ("skill", skill),
            ("block", block),
            ("chain_skill", chain_skill),
            ("skill_weight", np.bincount(chain_skill, self.chains.weight, self.num_skills)),
            ("init_of", np.arange(len(chain_skill)) if self.student_sd else chain_skill),
            ("scratch", Scratch(np.empty((longest, 2)), np.empty(longest))),
            ("chain_initial", np.zeros(len(chain_skill))),
        ):
            object.__setattr__(self, name, value)

    @property
    def num_skills(self) -> int:
        """Number of skills, K."""
        return len(self.chains.start) - 1

    @property
    def num_blocks(self) -> int:
        """Number of blocks, B."""
        return 1 if self.student_sd else self.num_skills

    @property
    def num_probabilities(self) -> int:
        """Number of parameters except the offsets."""
        return len(self.alpha)

    def subset(self, skills: Bools) -> Likelihood:
        """Return the likelihood of some skills, each of which is a block.

        skills  (K,) True for the skills to keep
        """
        groups, parameters = skills[self.group_skill], skills[self.block]
        place = np.cumsum(parameters) - 1
        return replace(
            self,
            skills=self.skills[skills],
            group_skill=(np.cumsum(skills) - 1)[self.group_skill[groups]].astype(np.int32),
            chains=self.chains.subset(skills, groups),
            of_group={name: place[places[groups]] for name, places in self.of_group.items()},
            **{name: getattr(self, name)[parameters] for name in ("lower", "upper", "alpha", "beta")},
        )

    def skills_of(self, blocks: Bools) -> Longs:
        """Return the numbers of the skills in some blocks (B,)."""
        return np.arange(self.num_skills) if self.student_sd else np.flatnonzero(blocks)

    def chain_init(self, theta: Doubles) -> Doubles:
        """Return p_init of each chain (H,): the skill's p_init, shifted by the student's offset."""
        init = theta[self.chain_skill]
        if not self.student_sd:
            return init
        return logistic(logit(init) + theta[self.num_probabilities :][self.chains.student])

    def expected(self, theta: Doubles, skills: Longs) -> Expected:
        """Compute the E-step.

        theta   (P,) parameters
        skills  numbers of the skills to process; the results of other skills are not valid
        """
        by_group = {name: theta[places] for name, places in self.of_group.items()}
        table = make_table(*(by_group[name] for name in ("p_learn", "p_guess", "p_slip", "p_forget")))
        out = Expectations(
            counts=np.zeros((len(table), 6)),
            initial=np.zeros(self.num_skills),
            chain_initial=self.chain_initial,
            log_likelihood=np.zeros(self.num_skills),
        )
        init = self.chain_init(theta) if self.student_sd else theta
        expect(skills, self.chains.arrays, table, self.init_of, init, out, self.scratch)
        events, trials = self._by_parameter(out.counts, out.initial)
        return Expected(events, trials, out.log_likelihood, out.chain_initial)

    def _by_parameter(self, counts: Doubles, initial: Doubles) -> tuple[Doubles, Doubles]:
        """Return the events (P,) and trials (P,) of each parameter, from the counts of groups and skills."""
        known, unknown = counts[:, KNOWN] + counts[:, LAST_KNOWN], counts[:, UNKNOWN] + counts[:, LAST_UNKNOWN]
        wrong, right = slice(0, None, 2), slice(1, None, 2)
        both = counts[wrong] + counts[right]
        by_group = {
            "p_learn": (both[:, LEARNT], both[:, UNKNOWN]),
            "p_guess": (unknown[right], unknown[wrong] + unknown[right]),
            "p_slip": (known[wrong], known[wrong] + known[right]),
            "p_forget": (both[:, FORGOT], both[:, KNOWN]),
        }
        size = self.num_probabilities
        events, trials = np.zeros(size), np.zeros(size)
        events[: self.num_skills], trials[: self.num_skills] = initial, self.skill_weight
        for name, (group_events, group_trials) in by_group.items():
            events += np.bincount(self.of_group[name], group_events, size)
            trials += np.bincount(self.of_group[name], group_trials, size)
        return events, trials

    def step(self, theta: Doubles, blocks: Bools) -> tuple[Doubles, Doubles, Doubles]:
        """Make one EM step of some blocks.

        theta   (P,) parameters before the step
        blocks  (B,) True for the blocks to update; the parameters of other blocks are unchanged

        Returns the parameters (P,) after the step, and the objective (B,) and log-likelihood (K,) before it, nats.
        """
        expected = self.expected(theta, self.skills_of(blocks))
        image = theta.copy()
        moves = blocks[self.block[: self.num_probabilities]]
        image[: self.num_probabilities][moves] = self._maximised(theta, expected)[moves]
        if self.student_sd:
            self._move_students(theta, expected, image)
        return image, self.objective(theta, expected.log_likelihood), expected.log_likelihood

    def _maximised(self, theta: Doubles, expected: Expected) -> Doubles:
        """Return the probabilities (P,) that maximise the expected log-likelihood.

        A probability without trials is unchanged.
        """
        trials = expected.trials + self.alpha + self.beta - 2
        tried = trials > 0
        best = theta[: self.num_probabilities].copy()
        best[tried] = (expected.events + self.alpha - 1)[tried] / trials[tried]
        return np.clip(best, self.lower[: len(best)], self.upper[: len(best)])

    def _move_students(self, theta: Doubles, expected: Expected, image: Doubles) -> None:
        """Write p_init and the offsets after one step into `image`.

        Each step maximises a parabola that touches the objective from below, so the objective cannot fall. Such a
        parabola exists because the curvature of log(1 + exp(x)) is at most 1/4.

        Source: Böhning and Lindsay (1988).
        """
        skills, size, offsets = self.num_skills, self.num_probabilities, slice(self.num_probabilities, None)
        chains, alpha, beta = self.chains, self.alpha[: self.num_skills], self.beta[: self.num_skills]
        init = theta[:skills]
        surplus = expected.chain_initial - chains.weight * self.chain_init(theta)
        slope = np.bincount(self.chain_skill, surplus, skills) + alpha - 1 - (alpha + beta - 2) * init
        curvature = (self.skill_weight + alpha + beta - 2) / 4
        logits = np.clip(logit(init) + slope / np.maximum(curvature, LEAST_CURVATURE), -MAX_LOGIT, MAX_LOGIT)
        image[:skills] = np.clip(logistic(logits), self.lower[:skills], self.upper[:skills])
        image[size:] = theta[size:]
        surplus = expected.chain_initial - chains.weight * self.chain_init(image)
        students, precision = len(self.student_weight), self.student_weight / self.student_sd**2
        slope = np.bincount(chains.student, surplus, students) - precision * theta[offsets]
        curvature = np.bincount(chains.student, chains.weight, students) / 4 + precision
        image[offsets] += slope / np.maximum(curvature, LEAST_CURVATURE)

    def objective(self, theta: Doubles, log_likelihood: Doubles) -> Doubles:
        """Return the objective of each block (B,): log-likelihood plus log-priors, up to a constant, nats."""
        values = theta[: self.num_probabilities]
        has_prior = (self.alpha != 1) | (self.beta != 1)
        p, a, b = values[has_prior], self.alpha[has_prior] - 1, self.beta[has_prior] - 1
        with np.errstate(divide="ignore"):
            prior = a * np.log(np.where(a > 0, p, 1)) + b * np.log(np.where(b > 0, 1 - p, 1))
        by_block = np.bincount(self.block[: len(values)][has_prior], prior, self.num_blocks)
        if not self.student_sd:
            return np.asarray(by_block + log_likelihood)
        offsets = theta[len(values) :]
        penalty = (self.student_weight * offsets**2).sum() / (2 * self.student_sd**2)
        return np.asarray(by_block + log_likelihood.sum() - penalty)


def logit(p: Doubles) -> Doubles:
    """Return log(p / (1 - p)), with p clipped so that the result is within MAX_LOGIT."""
    least = np.exp(-MAX_LOGIT)
    clipped = np.clip(p, least, 1 - least)
    return np.asarray(np.log(clipped / (1 - clipped)))


def logistic(x: Doubles) -> Doubles:
    """Return 1 / (1 + exp(-x)), for x that does not overflow.

    `alsim.models.logistic.logistic` computes exp(x) / (1 + exp(x)) below 0, which differs in the last bit.
    """
    return np.asarray(1 / (1 + np.exp(-x)))
