"""The specification's sanity checks, run on the installed package with any configuration and bank.

Each check compares what a large population does with what the clauses say it must, by arithmetic of its own
in float64. Four checks are statistical: starting mastery, starting ability, correct rate, response times.
Each makes at most five tests, and a check fails by chance less than once in a million runs, whatever the seed,
the configuration and the number of lanes: the tests rest on inequalities, not on a limit of many values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

from alsim.bank.items import Bank
from alsim.config import Config
from alsim.dynamics.standard import Standard
from alsim.mdp.actions import LEVELS, num_actions
from alsim.rollouts.rollout import Rollout, rollout
from alsim.simulator import step as step_kernels
from alsim.simulator.simulator import Simulator
from alsim.types import Doubles, Reason

FALSE_ALARM = 1e-6
TESTS = 5
"""Tests of one check, at most; each has two sides."""
RARE = math.log(2 * TESTS / FALSE_ALARM)
"""What happens with a probability under exp(-RARE) fails the check."""
LEVELS_OF_QUANTILES = (0.1, 0.5, 0.9)
LANES = 4096
FLOAT32 = 1e-5
"""Slack for float32 arithmetic, far below any effect in question."""


class Finding(NamedTuple):
    """What one check found."""

    name: str
    passed: bool
    detail: str


Check = Callable[[Config, Bank, int], tuple[bool, str]]
CHECKS: dict[str, Check] = {}
"""The checks, by name, in the order they run."""


def check(name: str) -> Callable[[Check], Check]:
    """Put a check on the list."""

    def add(function: Check) -> Check:
        CHECKS[name] = function
        return function

    return add


def validate(config: Config, bank: Bank, seed: int = 0) -> Iterator[Finding]:
    """Run every check, and say what each found."""
    for name, function in CHECKS.items():
        try:
            passed, detail = function(config, bank, seed)
        except Exception as error:  # noqa: BLE001  # a check that breaks has found something: report it, run the others
            passed, detail = False, f"{type(error).__name__}: {error}"
        yield Finding(name, bool(passed), detail)


def _started(config: Config, bank: Bank, seed: int, lanes: int, observation: Any = "mastery") -> Simulator:
    simulator = Simulator(config, bank, lanes, record=True, observation=observation)
    simulator.population.key[:] = seed
    simulator.population.learner[:] = np.arange(lanes)
    simulator.begin(np.arange(lanes))
    return simulator


def _uniform(config: Config, bank: Bank, seed: int, episodes: int = 512) -> Rollout:
    return rollout("uniform", num_learners=episodes, seed=seed, config=config, bank=bank)


@check("state bounds")
def _bounds(config: Config, bank: Bank, seed: int) -> tuple[bool, str]:
    """Observations of both kinds stay in [0, 1] (S8)."""
    low, high, steps = np.float32(1), np.float32(0), 0
    for kind in ("mastery", "responses"):
        simulator = _started(config, bank, seed, 256, kind)
        generator = np.random.default_rng(seed)
        for _ in range(min(config.max_episode_steps, 200)):
            # np.minimum keeps a NaN; min would drop it.
            low, high = (
                np.minimum(low, simulator.observation.min()),
                np.maximum(high, simulator.observation.max()),
            )
            simulator.step(generator.integers(0, simulator.num_actions, 256), step_kernels.SAME_STEP)
            steps += 256
    return bool(low >= 0 and high <= 1), f"{steps} observations within [{low:.3g}, {high:.3g}]"


@check("every action")
def _actions(config: Config, bank: Bank, seed: int) -> tuple[bool, str]:
    """Each action shows an item of its own cell, and only its outcome changes (S3)."""
    actions = num_actions(bank.num_los)
    simulator = _started(config, bank, seed, actions)
    before = simulator.mastery.copy()
    out = simulator.step(np.arange(actions), step_kernels.DISABLED)
    item = simulator.interaction.item
    q, c = bank.questions, bank.contents
    cell = np.concatenate(
        [
            q.learning_outcome.astype(int) * LEVELS + q.difficulty,
            LEVELS * bank.num_los + c.learning_outcome.astype(int) * 6 + c.modality,
        ]
    )
    right_cell = np.array_equal(cell[item], np.arange(actions))
    outcome = np.concatenate([q.learning_outcome, c.learning_outcome])[item]
    moved = simulator.mastery != before
    moved[np.arange(actions), outcome] = False
    finite = bool(np.isfinite(out.reward).all())
    return right_cell and not moved.any() and finite, f"{actions} actions, each with an item of its cell"


@check("mastery progression")
def _progress(config: Config, bank: Bank, seed: int) -> tuple[bool, str]:
    """Mastery never falls, and rises by the rule with a correct answer (S4.2, S4.3, S5.1)."""
    simulator = _started(config, bank, seed, LANES)
    generator = np.random.default_rng(seed)
    fell, worst, answers = 0.0, 0.0, 0
    standard = isinstance(config.dynamics, Standard)
    for _ in range(20):
        before = simulator.mastery.astype(np.float64)
        actions = generator.integers(0, simulator.num_actions, LANES)
        asked = (actions < LEVELS * bank.num_los) & ~simulator.population.finished
        simulator.step(actions, step_kernels.DISABLED)
        rise = simulator.mastery - before
        fell = max(fell, -rise.min())
        correct = simulator.interaction.correct
        if standard:
            lanes, lo = np.flatnonzero(asked), actions[asked] // LEVELS
            wanted = config.dynamics.learning_rate * (1 - before[lanes, lo]) * correct[asked]
            worst, answers = max(worst, abs(rise[lanes, lo] - wanted).max(initial=0)), answers + len(lanes)
    ok = worst < FLOAT32 and (fell <= 0 or not standard)
    return ok, f"{answers} answers: largest departure from the rule {worst:.1e}, largest fall {fell:.1e}"


@check("termination reasons")
def _reasons(config: Config, bank: Bank, seed: int) -> tuple[bool, str]:
    """Every reason is reached, with its own flag, when its threshold is brought near (S7.1, S7.2)."""
    parts = []
    ok = True
    near = {
        Reason.MASTERY_ACHIEVED: {"mastery_threshold": 0.0, "max_frustration": 1.0},
        Reason.STEP_LIMIT: {"mastery_threshold": 1.0, "max_frustration": 1.0},
        Reason.CRITICAL_FRUSTRATION: {"mastery_threshold": 1.0, "max_frustration": 0.0},
    }
    for reason, termination in near.items():
        tables = config.to_dict()
        limit = 1 if reason is Reason.STEP_LIMIT else 2
        changed = Config.read({**tables, "termination": termination, "max_episode_steps": limit, "learner": {}})
        simulator = _started(changed, bank, seed, 64)
        out = simulator.step(np.zeros(64, np.int64), step_kernels.DISABLED)
        # One answer may be all it takes to master a single LO, if learning_rate is 1.
        mastered = simulator.interaction.mastery_sum >= bank.num_los
        wanted = np.where(mastered, Reason.MASTERY_ACHIEVED, reason)
        reached = bool((out.reason == wanted).all() and not mastered.all())
        flags = bool((out.truncated == (wanted == Reason.STEP_LIMIT)).all() and (out.terminated != out.truncated).all())
        ok &= reached and flags
        parts.append(f"{reason.word} {'reached' if reached and flags else 'NOT reached'}")
    seen = np.bincount(_uniform(config, bank, seed).reason, minlength=4)[1:]
    shares = ", ".join(f"{r.word} {n}" for r, n in zip(list(Reason)[1:], seen, strict=True))
    return ok and seen.sum() == 512, "; ".join(parts) + f"; uniform policy, 512 episodes: {shares}"


@check("starting mastery")
def _mastery(config: Config, bank: Bank, seed: int) -> tuple[bool, str]:
    """Starting mastery is distributed as its Beta (S1.1)."""
    a, b = config.learner.mastery_alpha, config.learner.mastery_beta
    values = _started(config, bank, seed, LANES).mastery.astype(np.float64).ravel()
    total = a + b
    mean, other = a / total, b / total
    variance = mean * other / (total + 1)
    skewed = (mean - other) ** 2 * (total + 1) - mean * other * (total + 2)
    fourth = 3 * variance**2 + 6 * variance * skewed / ((total + 1) * (total + 2) * (total + 3))
    # Bernstein's inequality: mastery and its squared distance from the mean lie in [0, 1].
    alike, moments = _moments(values, Moments(mean, variance, fourth, 1 / 3, 1 / 3), FLOAT32)
    right, shares = _shares(values, beta_quantiles(a, b), FLOAT32)
    return alike and right, f"{moments}; Beta({a:g}, {b:g}) has {mean:.4f}, {variance:.4f}; {shares}"


@check("starting ability")
def _ability(config: Config, bank: Bank, seed: int) -> tuple[bool, str]:
    """Starting ability is distributed as its normal (S1.2)."""
    mean, std = config.learner.ability_mean, config.learner.ability_std
    values = _started(config, bank, seed, LANES).population.ability.astype(np.float64)
    slack = FLOAT32 * (abs(mean) + std)
    # Laurent and Massart (2000), lemma 1: the sum of squared normals.
    alike, moments = _moments(values, Moments(mean, std**2, 3 * std**4, 0, 2 * std**2), slack)
    right, shares = _shares(values, [mean + std * NormalDist().inv_cdf(p) for p in LEVELS_OF_QUANTILES], slack)
    return alike and right, f"{moments}; N({mean:g}, {std:g}) has {mean:.4f}, {std**2:.4f}; {shares}"


class Moments(NamedTuple):
    """Central moments of a distribution, and how heavy the tails are of a value and of its square: see `_within`."""

    mean: float
    variance: float
    fourth: float
    scale: float
    scale_of_square: float


def _moments(values: Doubles, wanted: Moments, slack: float) -> tuple[bool, str]:
    """Compare mean and variance of a sample with a distribution's; values may err by `slack`."""
    n, std = len(values), math.sqrt(wanted.variance)
    mean, variance = values.mean(), ((values - wanted.mean) ** 2).mean()
    spread = max(wanted.fourth - wanted.variance**2, 0.0)
    near_mean = _within(wanted.variance, wanted.scale, n) + slack
    near_variance = _within(spread, wanted.scale_of_square, n) + slack * (2 * std + slack)
    return (
        abs(mean - wanted.mean) <= near_mean and abs(variance - wanted.variance) <= near_variance,
        f"{n} values, mean {mean:.4f}, variance {variance:.4f}",
    )


def _within(variance: float, scale: float, n: int) -> float:
    """How far the mean of n independent values may be from its expectation.

        sqrt(2 variance RARE / n) + scale RARE / n

    scale   0 of a normal; a third of the largest distance from the expectation (Bernstein)
    Source: Boucheron, Lugosi & Massart (2013), Concentration Inequalities, section 2.4.
    """
    return math.sqrt(2 * variance * RARE / n) + scale * RARE / n


def _shares(values: Doubles, quantiles: Any, slack: Any) -> tuple[bool, str]:
    """Whether the quantiles (each a number, or one a value) have their shares of the values below them.

    Below a quantile lies no more than its share, and up to it no less: so also where the distribution has atoms.
    """
    right, found = True, []
    for level, quantile in zip(LEVELS_OF_QUANTILES, quantiles, strict=True):
        below, up_to = float((values < quantile - slack).mean()), float((values <= quantile + slack).mean())
        right &= not (below > level and _rare(below, level, len(values)))
        right &= not (up_to < level and _rare(up_to, level, len(values)))
        found.append(f"{100 * up_to:.1f}")
    levels = ", ".join(f"{100 * level:.0f}" for level in LEVELS_OF_QUANTILES)
    return right, f"{', '.join(found)} % up to its {levels} % quantiles"


def _rare(share: float, p: float, n: int) -> bool:
    """Whether a share so far from p is rarer than exp(-RARE), among n independent events of mean probability p.

    Source: Hoeffding (1963), theorem 1: the probability is under exp(-n KL(share, p)).
    """

    def part(x: float, y: float) -> float:
        return 0.0 if x == 0 else math.inf if y <= 0 else x * math.log(x / y)

    return n * (part(share, p) + part(1 - share, 1 - p)) > RARE


def beta_quantiles(a: float, b: float, points: int = 20_001) -> list[float]:
    """Quantiles of Beta(a, b) at LEVELS_OF_QUANTILES, by the trapezoidal rule; their shares err by less than 1e-6.

    In y = log(x / (1 - x)) the density is log-concave, with a tail of rate a to the left and b to the right:
    no singular ends, however small a and b. Points are dense at the mode and sparse in the tails.
    """
    a, b = max(a, 1e-300), max(b, 1e-300)
    wide = math.sqrt(1 / a + 1 / b)
    dense = min(1.0, wide)
    most = math.asinh(40 * (wide + 1 / a + 1 / b) / dense)
    u = np.linspace(-most, most, points)
    y = math.log(a) - math.log(b) + dense * np.sinh(u)
    log_density = -a * np.logaddexp(0, -y) - b * np.logaddexp(0, y)
    weight = np.exp(log_density - log_density.max()) * np.cosh(u)
    below = np.concatenate([[0.0], np.cumsum(weight[1:] + weight[:-1])])
    at = np.interp(LEVELS_OF_QUANTILES, below / below[-1], y)
    return [float(x) for x in np.exp(-np.logaddexp(0, -at))]


@check("correct rate")
def _correct(config: Config, bank: Bank, seed: int) -> tuple[bool, str]:
    """Answers are correct as often as the 3PL says, given ability and item (S4.1)."""
    if not isinstance(config.dynamics, Standard):
        return True, f"not for the dynamics {type(config.dynamics).__name__}"
    simulator = _started(config, bank, seed, LANES)
    generator = np.random.default_rng(seed)
    hits, expected, variance, n = 0, 0.0, 0.0, 0
    q = bank.questions
    for _ in range(20):
        theta = simulator.population.ability.astype(np.float64)
        simulator.step(generator.integers(0, LEVELS * bank.num_los, LANES), step_kernels.DISABLED)
        item = simulator.interaction.item
        a, b, c = (column[item].astype(np.float64) for column in (q.irt_a, q.irt_b, q.irt_c))
        p = c + (1 - c) * np.exp(-np.logaddexp(0, -a * (theta - b)))  # the logistic function, without overflow
        hits += int(simulator.interaction.correct.sum())
        expected, variance, n = expected + p.sum(), variance + (p * (1 - p)).sum(), n + LANES
    # Freedman (1975), Bernstein's inequality for answers that change the ability of the next.
    return abs(hits - expected) / n < _within(variance / n, 1 / 3, n) + FLOAT32, (
        f"{n} answers, {hits / n:.4f} correct; the 3PL says {expected / n:.4f}"
    )


@check("response times")
def _times(config: Config, bank: Bank, seed: int) -> tuple[bool, str]:
    """Response times are distributed as max(least, N(mean, s.d.)), with an atom at the least (S4.4)."""
    if not isinstance(config.dynamics, Standard):
        return True, f"not for the dynamics {type(config.dynamics).__name__}"
    least = config.dynamics.response_time_min
    simulator = _started(config, bank, seed, LANES)
    generator = np.random.default_rng(seed)
    shown, measured = [], []
    for _ in range(20):
        simulator.step(generator.integers(0, LEVELS * bank.num_los, LANES), step_kernels.DISABLED)
        shown.append(simulator.interaction.item.copy())
        measured.append(simulator.interaction.seconds.astype(np.float64))
    seconds, n = np.concatenate(measured), 20 * LANES
    law = _times_of_questions(bank, least)[np.concatenate(shown)]
    spread, slack, first, rarest, likeliest, *quantiles = law.T
    # A time moves by no more than its s.d. times its normal, so its tails are no heavier than a normal's.
    near_mean = _within(float((spread**2).mean()), 0, n) + FLOAT32 * first.mean()
    alike = abs(seconds.mean() - first.mean()) <= near_mean and seconds.min() >= least * (1 - FLOAT32)
    right, shares = _shares(seconds, quantiles, slack)
    atom = float((seconds <= np.float32(least)).mean())
    too_few = atom < rarest.mean() and _rare(atom, rarest.mean(), n)
    too_many = atom > likeliest.mean() and _rare(atom, likeliest.mean(), n)
    return alike and right and not too_few and not too_many, (
        f"{n} answers, mean {seconds.mean():.3f} s, least {seconds.min():.3f} s, {100 * atom:.2f} % at {least:g} s; "
        f"the rule says {first.mean():.3f} s, {least:g} s, {100 * (rarest + likeliest).mean() / 2:.2f} %; {shares}"
    )


def _times_of_questions(bank: Bank, least: float) -> Doubles:
    """For each question: s.d., float32's slack, mean, the atom's least and largest probability, quantiles."""
    columns = (bank.questions.response_time_mean, bank.questions.response_time_std)
    pairs, which = np.unique(np.stack(columns, axis=1).astype(np.float64), axis=0, return_inverse=True)
    rows = [_law_of_times(mean, spread, least) for mean, spread in pairs.tolist()]
    return np.array(rows)[which.reshape(-1)]


def _law_of_times(mean: float, spread: float, least: float) -> list[float]:
    normal, slack = NormalDist(), FLOAT32 * (abs(mean) + spread + least)

    def cut_at(seconds: float) -> float:
        """In standard deviations from the mean; 40 are as good as infinitely many, of no spread too."""
        return min(40.0, max(-40.0, (seconds - mean) / max(spread, slack / 40, 1e-300)))

    cut = cut_at(least)
    below = normal.cdf(cut)
    first = least * below + mean * (1 - below) + spread * normal.pdf(cut)
    if spread == 0:
        first = max(least, mean)
    atom = [normal.cdf(cut_at(least - slack)), normal.cdf(cut_at(least + slack))]
    quantiles = [max(least, mean + spread * normal.inv_cdf(p)) for p in LEVELS_OF_QUANTILES]
    return [spread, slack, first, *atom, *quantiles]


@check("seeds")
def _seeds(config: Config, bank: Bank, seed: int) -> tuple[bool, str]:
    """The same seed gives the same bits, alone or in a crowd; another seed gives others (S11.2)."""
    crowd, again, other = (_uniform(config, bank, s, 64) for s in (seed, seed, (seed + 1) % 2**64))
    alone = rollout("uniform", num_learners=1, first_learner=63, seed=seed, config=config, bank=bank)
    assert crowd.obs is not None and again.obs is not None and other.obs is not None and alone.obs is not None
    same = np.array_equal(crowd.obs, again.obs)
    lonely = np.array_equal(crowd.obs[-len(alone.obs) :], alone.obs)
    differs = not np.array_equal(crowd.interactions.action, other.interactions.action)
    found = (
        f"64 episodes repeat {'to the bit' if same else 'DIFFERENTLY'}",
        f"learner 63 is {'the same alone' if lonely else 'NOT the same alone'}",
        f"another seed {'differs' if differs else 'DOES NOT differ'}",
    )
    return same and lonely and differs, ", ".join(found)
