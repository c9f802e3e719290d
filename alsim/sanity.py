"""The specification's sanity checks, for the installed package with any configuration, dynamics and bank.

Most checks compare a large simulated population with the clauses of the specification, which they evaluate separately
in float64. Two others run the rules of the dynamics on examples, and the checker of vector environments. A check of a
rule that only the standard dynamics have is skipped for other dynamics.

Four checks are statistical: starting mastery, starting ability, correct rate and response times. Each makes at most
five tests, and fails by chance less than once in a million seeds. This holds for every configuration and number of
lanes, because the tests use exact inequalities instead of large-sample approximations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

from alsim.bank.items import Bank
from alsim.config import Config
from alsim.dynamics import Dynamics, check_rules_of, of_parameters
from alsim.dynamics.standard import Standard
from alsim.envs import AdaptiveLearningEnv, AdaptiveLearningVectorEnv
from alsim.mdp.actions import LEVELS, num_actions
from alsim.rollouts.rollout import Rollout, rollout
from alsim.simulator import step as step_kernels
from alsim.simulator.simulator import Simulator
from alsim.testing import check_vector_env
from alsim.types import Doubles, Reason

FALSE_ALARM = 1e-6
"""Maximum probability that a statistical check fails by chance."""
TESTS = 5
"""Maximum number of tests in one check; each test is two-sided."""
RARE = math.log(2 * TESTS / FALSE_ALARM)
"""A check fails if it observes an event with a probability below exp(-RARE)."""
QUANTILE_LEVELS = (0.1, 0.5, 0.9)
LANES = 4096
"""Number of learners in the statistical checks."""
STEPS = 20
"""Interactions per lane in the checks of answers."""
CONTRACT_STEPS = 12
"""Largest number of interactions per episode in the check of the vector environment."""
RULES_CHECK = "rules on examples"
"""Name of the check of the rules of the dynamics."""
FLOAT32 = 1e-5
"""Tolerance for float32 arithmetic, far below the effects that are tested."""


class Finding(NamedTuple):
    """The result of one check.

    name    name of the check
    passed  True if it passed, False if it failed, None if it was skipped
    detail  measured and expected values as text, or the reason for skipping it
    """

    name: str
    passed: bool | None
    detail: str


Result = tuple[bool | None, str]
"""The fields `passed` and `detail` of a Finding."""
Check = Callable[[Config, Bank, int], Result]
CHECKS: dict[str, Check] = {}
"""The checks by name, in the order in which they run."""


def check(name: str) -> Callable[[Check], Check]:
    """Return a decorator that registers a check under a name."""

    def add(function: Check) -> Check:
        CHECKS[name] = function
        return function

    return add


def validate(config: Config, bank: Bank, seed: int = 0) -> Iterator[Finding]:
    """Run every check, and yield its result.

    config  rules to check
    bank    bank to check
    seed    seed of the simulated learners, in [0, 2**64)

    An exception in a check is a failed check, whose detail contains the message. If the rules of the dynamics fail on
    examples, the other checks are skipped, because no simulator accepts these rules.
    """
    valid = True
    for name, function in CHECKS.items():
        if not valid:
            yield Finding(name, None, "the rules of the dynamics are invalid")
            continue
        try:
            passed, detail = function(config, bank, seed)
        except Exception as error:  # noqa: BLE001  # an error is a failed check; the others still run
            passed, detail = False, f"{type(error).__name__}: {error}"
        valid = name != RULES_CHECK or passed is not False
        yield Finding(name, None if passed is None else bool(passed), detail)


def _start(config: Config, bank: Bank, seed: int, lanes: int, observation: Any = "mastery") -> Simulator:
    """Return a simulator of the first `lanes` learners of a seed, at the start of their first episodes."""
    simulator = Simulator(config, bank, lanes, record=True, observation=observation)
    simulator.learners.key[:] = seed
    simulator.learners.learner[:] = np.arange(lanes)
    simulator.begin(np.arange(lanes))
    return simulator


def _roll_out_uniform(config: Config, bank: Bank, seed: int, episodes: int = 512) -> Rollout:
    """Return one episode of each of the first learners of a seed under the uniform policy."""
    return rollout("uniform", num_learners=episodes, seed=seed, config=config, bank=bank)


def is_standard(config: Config) -> bool:
    """Return whether a configuration has the dynamics of the specification, with any parameters."""
    return isinstance(config.dynamics, Standard)


def _skipped(config: Config) -> Result:
    return None, f"only the standard dynamics have this rule; got {dynamics_of(config).name!r}"


def dynamics_of(config: Config) -> Dynamics:
    """Return the dynamics of a configuration."""
    return of_parameters(type(config.dynamics))


@check(RULES_CHECK)
def _rules(config: Config, bank: Bank, seed: int) -> Result:
    """Check that the results of the rules on examples are valid, as at the registration of a dynamics."""
    notes = "".join(f"; warning: {message}" for message in check_rules_of(config.dynamics))
    return (
        True,
        f"the rules of {dynamics_of(config).name!r} give valid results for 300 questions and 300 contents{notes}",
    )


@check("vector environment")
def _contract(config: Config, bank: Bank, seed: int) -> Result:
    """Check that the vector environment follows Gymnasium's API, in short episodes, and equals single environments."""
    short = config.model_copy(update={"max_episode_steps": min(config.max_episode_steps, CONTRACT_STEPS)})
    arguments: dict[str, Any] = {"config": short, "bank": bank, "info": "full"}
    ran = check_vector_env(
        AdaptiveLearningVectorEnv(4, **arguments),
        make=lambda: AdaptiveLearningVectorEnv(4, **arguments),
        single=lambda: AdaptiveLearningEnv(**arguments),
        seed=seed % 2**32,  # the checker adds to it
        steps=3 * CONTRACT_STEPS,
        exclusive_flags=True,
    )
    return True, f"{len(ran)} rules of Gymnasium's API hold, and single environments give equal results"


@check("state bounds")
def _bounds(config: Config, bank: Bank, seed: int) -> Result:
    """Check that observations of both kinds stay in [0, 1] (S8)."""
    low, high, steps = np.float32(1), np.float32(0), 0
    for kind in ("mastery", "responses"):
        simulator = _start(config, bank, seed, 256, kind)
        generator = np.random.default_rng(seed)
        for _ in range(min(config.max_episode_steps, 200)):
            # np.minimum propagates NaN; min would drop it.
            low, high = (
                np.minimum(low, simulator.observation.min()),
                np.maximum(high, simulator.observation.max()),
            )
            simulator.step(generator.integers(0, simulator.num_actions, 256), step_kernels.SAME_STEP)
            steps += 256
    return bool(low >= 0 and high <= 1), f"{steps:,} observations within [{low:.3g}, {high:.3g}]"


@check("every action")
def _actions(config: Config, bank: Bank, seed: int) -> Result:
    """Check that each action selects an item of its cell, and changes mastery only of its learning outcome (S3)."""
    actions = num_actions(bank.num_los)
    simulator = _start(config, bank, seed, actions)
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
    in_cell = np.array_equal(cell[item], np.arange(actions))
    outcome = np.concatenate([q.learning_outcome, c.learning_outcome])[item]
    changed = simulator.mastery != before
    changed[np.arange(actions), outcome] = False
    finite = bool(np.isfinite(out.reward).all())
    return in_cell and not changed.any() and finite, f"{actions:,} actions, each with an item of its cell"


@check("mastery progression")
def _progress(config: Config, bank: Bank, seed: int) -> Result:
    """Check that mastery never falls, and rises after a correct answer as specified (S4.2, S4.3, S5.1).

    These rules belong to the standard dynamics. With other dynamics the check is skipped.
    """
    if not is_standard(config):
        return _skipped(config)
    simulator = _start(config, bank, seed, LANES)
    generator = np.random.default_rng(seed)
    largest_fall, largest_error, answers = 0.0, 0.0, 0
    for _ in range(STEPS):
        before = simulator.mastery.astype(np.float64)
        actions = generator.integers(0, simulator.num_actions, LANES)
        asked = (actions < LEVELS * bank.num_los) & ~simulator.learners.finished
        simulator.step(actions, step_kernels.DISABLED)
        rise = simulator.mastery - before
        largest_fall = max(largest_fall, -rise.min())
        correct = simulator.interaction.correct
        lanes, lo = np.flatnonzero(asked), actions[asked] // LEVELS
        expected = config.dynamics.learning_rate * (1 - before[lanes, lo]) * correct[asked]
        largest_error = max(largest_error, abs(rise[lanes, lo] - expected).max(initial=0))
        answers += len(lanes)
    ok = answers > 0 and largest_error < FLOAT32 and largest_fall <= 0
    return ok, f"{answers:,} answers: largest error {largest_error:.1e}, largest fall {largest_fall:.1e}"


@check("termination reasons")
def _reasons(config: Config, bank: Bank, seed: int) -> Result:
    """Check that every termination reason occurs, with the right flag, if its threshold is easy (S7.1, S7.2)."""
    parts = []
    ok = True
    easy_thresholds = {
        Reason.MASTERY_ACHIEVED: {"mastery_threshold": 0.0, "max_frustration": 1.0},
        Reason.STEP_LIMIT: {"mastery_threshold": 1.0, "max_frustration": 1.0},
        Reason.CRITICAL_FRUSTRATION: {"mastery_threshold": 1.0, "max_frustration": 0.0},
    }
    for reason, termination in easy_thresholds.items():
        tables = config.to_dict()
        limit = 1 if reason is Reason.STEP_LIMIT else 2
        changed = Config.read({**tables, "termination": termination, "max_episode_steps": limit, "learner": {}})
        simulator = _start(changed, bank, seed, 64)
        out = simulator.step(np.zeros(64, np.int64), step_kernels.DISABLED)
        # With learning_rate = 1, one correct answer masters a single LO.
        mastered = simulator.interaction.mastery_sum >= bank.num_los
        expected = np.where(mastered, Reason.MASTERY_ACHIEVED, reason)
        reached = bool((out.reason == expected).all() and not mastered.all())
        flags = bool(
            (out.truncated == (expected == Reason.STEP_LIMIT)).all() and (out.terminated != out.truncated).all()
        )
        ok &= reached and flags
        parts.append(f"{reason.word} {'reached' if reached and flags else 'NOT reached'}")
    counts = np.bincount(_roll_out_uniform(config, bank, seed).reason, minlength=4)[1:]
    shares = ", ".join(f"{r.word} {n}" for r, n in zip(list(Reason)[1:], counts, strict=True))
    return ok and counts.sum() == 512, "; ".join(parts) + f"; uniform policy, 512 episodes: {shares}"


@check("starting mastery")
def _mastery(config: Config, bank: Bank, seed: int) -> Result:
    """Check that starting mastery has the Beta distribution of the configuration (S1.1)."""
    a, b = config.learner.mastery_alpha, config.learner.mastery_beta
    values = _start(config, bank, seed, LANES).mastery.astype(np.float64).ravel()
    total = a + b
    mean, other = a / total, b / total
    variance = mean * other / (total + 1)
    skewed = (mean - other) ** 2 * (total + 1) - mean * other * (total + 2)
    fourth = 3 * variance**2 + 6 * variance * skewed / ((total + 1) * (total + 2) * (total + 3))
    # Bernstein's inequality: mastery and its squared distance from the mean lie in [0, 1].
    moments_ok, moments = _check_moments(values, Moments(mean, variance, fourth, 1 / 3, 1 / 3), FLOAT32)
    shares_ok, shares = _check_shares(values, beta_quantiles(a, b), FLOAT32)
    return moments_ok and shares_ok, f"{moments}; Beta({a:g}, {b:g}) has {mean:.4f}, {variance:.4f}; {shares}"


@check("starting ability")
def _ability(config: Config, bank: Bank, seed: int) -> Result:
    """Check that starting ability has the normal distribution of the configuration (S1.2)."""
    mean, std = config.learner.ability_mean, config.learner.ability_std
    values = _start(config, bank, seed, LANES).learners.ability.astype(np.float64)
    tolerance = FLOAT32 * (abs(mean) + std)
    # Laurent and Massart (2000), lemma 1: the sum of squared normals.
    moments_ok, moments = _check_moments(values, Moments(mean, std**2, 3 * std**4, 0, 2 * std**2), tolerance)
    quantiles = [mean + std * NormalDist().inv_cdf(p) for p in QUANTILE_LEVELS]
    shares_ok, shares = _check_shares(values, quantiles, tolerance)
    return moments_ok and shares_ok, f"{moments} (logits); N({mean:g}, {std:g}) has {mean:.4f}, {std**2:.4f}; {shares}"


class Moments(NamedTuple):
    """Mean and central moments of a distribution, and two tail scales, see `_mean_bound`.

    fourth           fourth central moment
    scale            tail scale of a value
    scale_of_square  tail scale of the squared distance from the mean
    """

    mean: float
    variance: float
    fourth: float
    scale: float
    scale_of_square: float


def _check_moments(values: Doubles, expected: Moments, tolerance: float) -> tuple[bool, str]:
    """Return whether mean and variance of a sample agree with a distribution, and a text with both.

    tolerance  error that each value may have
    """
    n, std = len(values), math.sqrt(expected.variance)
    mean, variance = values.mean(), ((values - expected.mean) ** 2).mean()
    variance_of_square = max(expected.fourth - expected.variance**2, 0.0)
    mean_bound = _mean_bound(expected.variance, expected.scale, n) + tolerance
    variance_bound = _mean_bound(variance_of_square, expected.scale_of_square, n) + tolerance * (2 * std + tolerance)
    return (
        abs(mean - expected.mean) <= mean_bound and abs(variance - expected.variance) <= variance_bound,
        f"{n:,} values, mean {mean:.4f}, variance {variance:.4f}",
    )


def _mean_bound(variance: float, scale: float, n: int) -> float:
    """Return the largest plausible distance of the mean of n independent values from its expectation.

        sqrt(2 variance RARE / n) + scale RARE / n

    variance  variance of a value
    scale     tail scale of a value: 0 if it is normal; 2 v for the square of a normal value of variance v (Laurent
              and Massart); a third of the largest distance from the expectation if that is bounded (Bernstein)
    Source: Boucheron, Lugosi & Massart (2013), Concentration Inequalities, section 2.4.
    """
    return math.sqrt(2 * variance * RARE / n) + scale * RARE / n


def _check_shares(values: Doubles, quantiles: Any, tolerance: Any) -> tuple[bool, str]:
    """Return whether the shares of values below the quantiles agree with QUANTILE_LEVELS, and a text with them.

    quantiles   one per level: a number, or an array with one entry per value
    tolerance   error that each value may have: a number, or an array with one entry per value

    The probability of a value below a quantile is at most the level, and that of a value up to the quantile is at
    least the level. This also holds for distributions with atoms.
    """
    ok, measured = True, []
    for level, quantile in zip(QUANTILE_LEVELS, quantiles, strict=True):
        below, up_to = float((values < quantile - tolerance).mean()), float((values <= quantile + tolerance).mean())
        ok &= not (below > level and _is_rare(below, level, len(values)))
        ok &= not (up_to < level and _is_rare(up_to, level, len(values)))
        measured.append(f"{100 * up_to:.1f}")
    levels = ", ".join(f"{100 * level:.0f}" for level in QUANTILE_LEVELS)
    return ok, f"{', '.join(measured)} % up to its {levels} % quantiles"


def _is_rare(share: float, p: float, n: int) -> bool:
    """Return whether a share at least this far from p, on this side, has a probability below exp(-RARE).

    share   relative frequency among n independent events of mean probability p

    Source: Hoeffding (1963), theorem 1: the probability is at most exp(-n KL(share, p)).
    """

    def term(x: float, y: float) -> float:
        return 0.0 if x == 0 else math.inf if y <= 0 else x * math.log(x / y)

    return n * (term(share, p) + term(1 - share, 1 - p)) > RARE


def beta_quantiles(a: float, b: float, points: int = 20_001) -> list[float]:
    """Return the quantiles of Beta(a, b) at QUANTILE_LEVELS, by the trapezoidal rule.

    a, b    parameters of the distribution, > 0
    points  number of points of the trapezoidal rule

    The probability below each quantile differs from its level by less than 1e-6. As a function of
    y = log(x / (1 - x)), the density is log-concave, with tails of rates a (left) and b (right), so it has no
    singularities even for small a and b. The points are dense near the mode and sparse in the tails.
    """
    a, b = max(a, 1e-300), max(b, 1e-300)
    width = math.sqrt(1 / a + 1 / b)
    step_scale = min(1.0, width)
    limit = math.asinh(40 * (width + 1 / a + 1 / b) / step_scale)
    u = np.linspace(-limit, limit, points)
    y = math.log(a) - math.log(b) + step_scale * np.sinh(u)
    log_density = -a * np.logaddexp(0, -y) - b * np.logaddexp(0, y)
    weight = np.exp(log_density - log_density.max()) * np.cosh(u)
    below = np.concatenate([[0.0], np.cumsum(weight[1:] + weight[:-1])])
    quantiles = np.interp(QUANTILE_LEVELS, below / below[-1], y)
    return [float(x) for x in np.exp(-np.logaddexp(0, -quantiles))]


@check("correct rate")
def _correct(config: Config, bank: Bank, seed: int) -> Result:
    """Check that answers are correct as often as the three-parameter logistic model (3PL) predicts (S4.1)."""
    if not is_standard(config):
        return _skipped(config)
    simulator = _start(config, bank, seed, LANES)
    generator = np.random.default_rng(seed)
    num_correct, expected, variance, n = 0, 0.0, 0.0, 0
    q = bank.questions
    for _ in range(STEPS):
        theta = simulator.learners.ability.astype(np.float64)
        simulator.step(generator.integers(0, LEVELS * bank.num_los, LANES), step_kernels.DISABLED)
        item = simulator.interaction.item
        a, b, c = (column[item].astype(np.float64) for column in (q.irt_a, q.irt_b, q.irt_c))
        p = c + (1 - c) * np.exp(-np.logaddexp(0, -a * (theta - b)))  # logistic function without overflow
        num_correct += int(simulator.interaction.correct.sum())
        expected, variance, n = expected + p.sum(), variance + (p * (1 - p)).sum(), n + LANES
    # Freedman (1975): Bernstein's inequality for martingales, since each answer changes the ability for the next.
    return abs(num_correct - expected) / n < _mean_bound(variance / n, 1 / 3, n) + FLOAT32, (
        f"{n:,} answers, {num_correct / n:.4f} correct; the 3PL says {expected / n:.4f}"
    )


@check("response times")
def _times(config: Config, bank: Bank, seed: int) -> Result:
    """Check that response times have the distribution of max(minimum, N(mean, s.d.)) (S4.4)."""
    if not is_standard(config):
        return _skipped(config)
    minimum = config.dynamics.response_time_min
    simulator = _start(config, bank, seed, LANES)
    generator = np.random.default_rng(seed)
    items, times = [], []
    for _ in range(STEPS):
        simulator.step(generator.integers(0, LEVELS * bank.num_los, LANES), step_kernels.DISABLED)
        items.append(simulator.interaction.item.copy())
        times.append(simulator.interaction.seconds.astype(np.float64))
    seconds, n = np.concatenate(times), STEPS * LANES
    rows = _time_distributions(bank, minimum)[np.concatenate(items)]
    std, tolerance, mean, smallest_atom, largest_atom, *quantiles = rows.T
    # A time is the maximum of a normal variate and a constant, so its tails are no heavier than those of the normal.
    mean_bound = _mean_bound(float((std**2).mean()), 0, n) + FLOAT32 * mean.mean()
    mean_ok = abs(seconds.mean() - mean.mean()) <= mean_bound and seconds.min() >= minimum * (1 - FLOAT32)
    shares_ok, shares = _check_shares(seconds, quantiles, tolerance)
    atom = float((seconds <= np.float32(minimum)).mean())
    too_few = atom < smallest_atom.mean() and _is_rare(atom, smallest_atom.mean(), n)
    too_many = atom > largest_atom.mean() and _is_rare(atom, largest_atom.mean(), n)
    expected_atom = (smallest_atom + largest_atom).mean() / 2
    return mean_ok and shares_ok and not too_few and not too_many, (
        f"{n:,} answers, mean {seconds.mean():.3f} s, least {seconds.min():.3f} s, {100 * atom:.2f} % at {minimum:g} s;"
        f" the rule says {mean.mean():.3f} s, {minimum:g} s, {100 * expected_atom:.2f} %; {shares}"
    )


def _time_distributions(bank: Bank, minimum: float) -> Doubles:
    """Return the columns of `_time_distribution` for each question, (Q, 8)."""
    columns = (bank.questions.response_time_mean, bank.questions.response_time_std)
    pairs, indices = np.unique(np.stack(columns, axis=1).astype(np.float64), axis=0, return_inverse=True)
    rows = [_time_distribution(mean, std, minimum) for mean, std in pairs.tolist()]
    return np.array(rows)[indices.reshape(-1)]


def _time_distribution(mean: float, std: float, minimum: float) -> list[float]:
    """Return properties of the response time max(minimum, N(mean, std)), in seconds.

    Returns the s.d. of the normal, the float32 tolerance of a time, the mean, the smallest and largest
    probability of the atom at the minimum within this tolerance, and the quantiles at QUANTILE_LEVELS.
    """
    normal, tolerance = NormalDist(), FLOAT32 * (abs(mean) + std + minimum)

    def standardise(seconds: float) -> float:
        """Return the distance from the mean in s.d., limited to ±40; it is defined also for an s.d. of 0."""
        return min(40.0, max(-40.0, (seconds - mean) / max(std, tolerance / 40, 1e-300)))

    cut = standardise(minimum)
    below = normal.cdf(cut)
    expectation = minimum * below + mean * (1 - below) + std * normal.pdf(cut)
    if std == 0:
        expectation = max(minimum, mean)
    atom = [normal.cdf(standardise(minimum - tolerance)), normal.cdf(standardise(minimum + tolerance))]
    quantiles = [max(minimum, mean + std * normal.inv_cdf(p)) for p in QUANTILE_LEVELS]
    return [std, tolerance, expectation, *atom, *quantiles]


@check("seeds")
def _seeds(config: Config, bank: Bank, seed: int) -> Result:
    """Check that a seed repeats results bit for bit, alone or in a batch, and that another seed differs (S11.2)."""
    first, again, other = (_roll_out_uniform(config, bank, s, 64) for s in (seed, seed, (seed + 1) % 2**64))
    alone = rollout("uniform", num_learners=1, first_learner=63, seed=seed, config=config, bank=bank)
    assert first.obs is not None and again.obs is not None and other.obs is not None and alone.obs is not None
    repeats = np.array_equal(first.obs, again.obs)
    independent = np.array_equal(first.obs[-len(alone.obs) :], alone.obs)
    differs = not np.array_equal(first.interactions.action, other.interactions.action)
    details = (
        f"64 episodes repeat {'bit for bit' if repeats else 'DIFFERENTLY'}",
        f"learner 63 is {'the same alone' if independent else 'NOT the same alone'}",
        f"another seed {'differs' if differs else 'DOES NOT differ'}",
    )
    return repeats and independent and differs, ", ".join(details)
