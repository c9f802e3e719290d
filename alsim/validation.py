"""The specification's sanity checks, run on the installed package with any configuration and bank.

Each check compares what a large population does with what the clauses say it must, by arithmetic of its own
in float64. Statistical checks fail by chance once in a million runs each, whatever the seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

from alsim import lockstep
from alsim.actions import LEVELS, num_actions
from alsim.bank import Bank
from alsim.config import Config
from alsim.dynamics.standard import Standard
from alsim.rollouts import Rollout, rollout
from alsim.simulator import Simulator
from alsim.types import Doubles, Reason

FALSE_ALARM = 1e-6
Z = NormalDist().inv_cdf(1 - FALSE_ALARM / 2)
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
            simulator.step(generator.integers(0, simulator.num_actions, 256), lockstep.SAME_STEP)
            steps += 256
    return bool(low >= 0 and high <= 1), f"{steps} observations within [{low:.3g}, {high:.3g}]"


@check("every action")
def _actions(config: Config, bank: Bank, seed: int) -> tuple[bool, str]:
    """Each action shows an item of its own cell, and only its outcome changes (S3)."""
    actions = num_actions(bank.num_los)
    simulator = _started(config, bank, seed, actions)
    before = simulator.mastery.copy()
    out = simulator.step(np.arange(actions), lockstep.DISABLED)
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
        simulator.step(actions, lockstep.DISABLED)
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
        out = simulator.step(np.zeros(64, np.int64), lockstep.DISABLED)
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
    """Starting mastery has the mean and variance of its Beta distribution (S1.1)."""
    a, b = config.learner.mastery_alpha, config.learner.mastery_beta
    values = _started(config, bank, seed, LANES).mastery.astype(np.float64).ravel()
    mean, variance = a / (a + b), a * b / ((a + b) ** 2 * (a + b + 1))
    fourth = variance**2 * (
        3 + 6 * ((a - b) ** 2 * (a + b + 1) - a * b * (a + b + 2)) / (a * b * (a + b + 2) * (a + b + 3))
    )
    return _moments(values, mean, variance, fourth, f"Beta({a:g}, {b:g})")


@check("starting ability")
def _ability(config: Config, bank: Bank, seed: int) -> tuple[bool, str]:
    """Starting ability has the mean and variance of its normal distribution (S1.2)."""
    mean, std = config.learner.ability_mean, config.learner.ability_std
    values = _started(config, bank, seed, LANES).population.ability.astype(np.float64)
    return _moments(values, mean, std**2, 3 * std**4, f"N({mean:g}, {std:g})")


def _moments(values: Doubles, mean: float, variance: float, fourth: float, name: str) -> tuple[bool, str]:
    """Compare mean and variance of a sample with a distribution's, at Z standard errors."""
    n = len(values)
    m, v = values.mean(), ((values - mean) ** 2).mean()
    slack = FLOAT32 * max(1, abs(mean))
    far_mean = abs(m - mean) / max(np.sqrt(variance / n), slack / Z)
    far_variance = abs(v - variance) / max(np.sqrt(max(fourth - variance**2, 0) / n), slack**2, FLOAT32 / Z)
    return (
        far_mean < Z and far_variance < Z,
        f"{n} values, mean {m:.4f}, variance {v:.4f}; {name} has {mean:.4f}, {variance:.4f}",
    )


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
        simulator.step(generator.integers(0, LEVELS * bank.num_los, LANES), lockstep.DISABLED)
        item = simulator.interaction.item
        a, b, c = (column[item].astype(np.float64) for column in (q.irt_a, q.irt_b, q.irt_c))
        p = c + (1 - c) * np.exp(-np.logaddexp(0, -a * (theta - b)))  # the logistic function, without overflow
        hits += int(simulator.interaction.correct.sum())
        expected, variance, n = expected + p.sum(), variance + (p * (1 - p)).sum(), n + LANES
    return abs(hits - expected) < Z * np.sqrt(variance) + FLOAT32 * n, (
        f"{n} answers, {hits / n:.4f} correct; the 3PL says {expected / n:.4f}"
    )


@check("response times")
def _times(config: Config, bank: Bank, seed: int) -> tuple[bool, str]:
    """Response times have the mean of max(least, N(mean, s.d.)) (S4.4)."""
    if not isinstance(config.dynamics, Standard):
        return True, f"not for the dynamics {type(config.dynamics).__name__}"
    least = config.dynamics.response_time_min
    simulator = _started(config, bank, seed, LANES)
    generator = np.random.default_rng(seed)
    normal = NormalDist()
    total, expected, variance, shortest, n = 0.0, 0.0, 0.0, np.inf, 0
    for _ in range(20):
        simulator.step(generator.integers(0, LEVELS * bank.num_los, LANES), lockstep.DISABLED)
        item, seconds = simulator.interaction.item, simulator.interaction.seconds.astype(np.float64)
        means, spreads = bank.questions.response_time_mean[item], bank.questions.response_time_std[item]
        for mean, spread in {(float(m), float(s)) for m, s in zip(means, spreads, strict=True)}:
            chosen = (means == np.float32(mean)) & (spreads == np.float32(spread))
            cut = (least - mean) / spread if spread else (np.inf if least > mean else -np.inf)
            below, density = (normal.cdf(cut), normal.pdf(cut)) if np.isfinite(cut) else (float(cut > 0), 0.0)
            first = least * below + mean * (1 - below) + spread * density
            expected += first * chosen.sum()
            variance += spread**2 * chosen.sum()  # of the uncut time: at least that of the cut one
            total += seconds[chosen].sum()
        shortest, n = min(shortest, seconds.min()), n + LANES
    return abs(total - expected) < Z * np.sqrt(variance) + FLOAT32 * expected and shortest >= least - FLOAT32, (
        f"{n} answers, mean {total / n:.3f} s, least {shortest:.3f} s; the rule says {expected / n:.3f} s, {least:g} s"
    )


@check("seeds")
def _seeds(config: Config, bank: Bank, seed: int) -> tuple[bool, str]:
    """The same seed gives the same bits, alone or in a crowd; another seed gives others (S11.2)."""
    crowd, again, other = (_uniform(config, bank, s, 64) for s in (seed, seed, (seed + 1) % 2**64))
    alone = rollout("uniform", num_learners=1, first_learner=63, seed=seed, config=config, bank=bank)
    assert crowd.obs is not None and again.obs is not None and other.obs is not None and alone.obs is not None
    same = np.array_equal(crowd.obs, again.obs)
    lonely = np.array_equal(crowd.obs[-len(alone.obs) :], alone.obs)
    differs = not np.array_equal(crowd.obs, other.obs)
    found = (
        f"64 episodes repeat {'to the bit' if same else 'DIFFERENTLY'}",
        f"learner 63 is {'the same alone' if lonely else 'NOT the same alone'}",
        f"another seed {'differs' if differs else 'DOES NOT differ'}",
    )
    return same and lonely and differs, ", ".join(found)
