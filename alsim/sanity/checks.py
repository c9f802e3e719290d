"""The checks of `alsim validate`, for the installed package with any configuration, dynamics, population and bank.

Most checks compare a large simulated population with the clauses of the specification, which `formulas` has in float64.
Others run the rules of the dynamics on examples, and the checker of vector environments. A check of a rule is skipped
for dynamics of which this package has no second formula.

The statistical checks make at most five tests each, and fail by chance less than once in a million seeds. This holds
for every configuration and number of lanes, because the tests use exact inequalities (`bounds`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

from alsim.bank.items import SECONDS_PER_MINUTE, Bank
from alsim.config import Config
from alsim.dynamics import Dynamics, check_rules_of, of_parameters
from alsim.dynamics.bkt import Bkt
from alsim.dynamics.standard import Standard
from alsim.envs import AdaptiveLearningEnv, AdaptiveLearningVectorEnv
from alsim.mdp.actions import LEVELS, num_actions
from alsim.rollouts.plan import read_plan
from alsim.rollouts.rollout import Rollout, rollout, run_block
from alsim.rollouts.truth import TruthReplay
from alsim.sanity.bounds import (
    FLOAT32,
    QUANTILE_LEVELS,
    Moments,
    beta_quantiles,
    check_moments,
    check_shares,
    is_rare,
    mean_bound,
    time_distributions,
)
from alsim.sanity.formulas import RULES, Rules, memory_of, parameters_of, rows_of, situation, start_of
from alsim.sanity.memories import MEMORIES, Practice, State, recall_of
from alsim.simulator import step as step_kernels
from alsim.simulator.simulator import Simulator
from alsim.simulator.state import observed_at
from alsim.testing import check_vector_env
from alsim.types import MAX_LEARNERS, Doubles, Longs, Reason
from alsim.utils.text import counted

LANES = 4096
"""Number of learners in the statistical checks."""
STEPS = 20
"""Interactions per lane in the checks of answers."""
EPISODES = 512
"""Number of episodes in the checks of rollouts."""
MEMORY_ERROR = 1e-4
"""Largest error of a memory or a recall, relative above 1: float32 through the powers of the formulas."""
MOST_ROWS = 16
"""Largest number of rows of a population whose parameters are checked one by one."""
SHIFT_RANGE = 0.01
"""Distance of a mastery from 0 and 1 from which its logit is used to measure a shift."""
SHIFT_TOLERANCE = 2 * 2.0**-22 / SHIFT_RANGE
"""Error of a measured shift, logits: four roundings of float32 in a mastery, over the slope of the logit there."""
CONTRACT_STEPS = 12
"""Largest number of interactions per episode in the check of the vector environment."""
RULES_CHECK = "rules on examples"
"""Name of the check of the rules of the dynamics."""


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
    return _of_learners(config, bank, seed, np.arange(lanes), observation)


def _of_learners(config: Config, bank: Bank, seed: int, learners: Any, observation: Any = "mastery") -> Simulator:
    """Return a simulator of these learners of a seed, (N,), at the start of their first episodes."""
    simulator = Simulator(config, bank, len(learners), record=True, observation=observation)
    simulator.learners.key[:] = seed
    simulator.learners.learner[:] = learners
    simulator.begin(np.arange(len(learners)))
    return simulator


def _roll_out_uniform(config: Config, bank: Bank, seed: int, episodes: int) -> Rollout:
    """Return one episode of each of the first learners of a seed under the uniform policy."""
    return rollout("uniform", num_learners=episodes, seed=seed, config=config, bank=bank)


def is_standard(config: Config) -> bool:
    """Return whether a configuration has the dynamics of the specification, with any parameters."""
    return isinstance(config.dynamics, Standard)


def dynamics_of(config: Config) -> Dynamics:
    """Return the dynamics of a configuration."""
    return of_parameters(type(config.dynamics))


def _formulas_of(config: Config) -> Rules | None:
    """Return the second formulas of the rules of a dynamics, None if there are none."""
    return RULES.get(type(config.dynamics))


def _skipped(config: Config) -> Result:
    return None, f"there is no second formula of the rules of {dynamics_of(config).name!r}"


@check(RULES_CHECK)
def _rules(config: Config, bank: Bank, seed: int) -> Result:
    """Check that the results of the rules on examples are valid, as at the registration of a dynamics.

    Under a population, the parameters of at most MOST_ROWS rows are checked.
    """
    rows = [{}] if config.population is None else config.overrides("dynamics")
    variants = [*dict.fromkeys(config.dynamics._replace(**row) for row in rows)]
    checked = variants[:MOST_ROWS]
    messages = dict.fromkeys(message for parameters in checked for message in check_rules_of(parameters))
    notes = "".join(f"; warning: {message}" for message in messages)
    of = f", with the parameters of {len(checked)} of {len(variants)} kinds of learners" if len(variants) > 1 else ""
    name = dynamics_of(config).name
    return True, f"the rules of {name!r} give valid results for 300 questions and 300 contents{of}{notes}"


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
    """Check that each action selects an item of its cell, and changes mastery only of its learning outcome (S3).

    Under a dynamics that says what is observed of mastery, it may change in all outcomes.
    """
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
    only_own = dynamics_of(config).observe is not None or not changed.any()
    return in_cell and only_own and finite, f"{actions:,} actions, each with an item of its cell"


@check("mastery progression")
def _progress(config: Config, bank: Bank, seed: int) -> Result:
    """Check that mastery never falls, and rises after a correct answer as specified (S4.2, S4.3, S5.1, S14)."""
    formulas = _formulas_of(config)
    if formulas is None:
        return _skipped(config)
    if formulas.rate is None:
        return _known_outcomes(config, bank, seed)
    if type(config.dynamics) in MEMORIES:
        return _memories(config, bank, seed)
    simulator, parameters = _start(config, bank, seed, LANES), parameters_of(config, seed, LANES)
    generator = np.random.default_rng(seed)
    largest_fall, largest_error, answers = 0.0, 0.0, 0
    for _ in range(STEPS):
        actions = generator.integers(0, simulator.num_actions, LANES)
        asked = (actions < LEVELS * bank.num_los) & ~simulator.learners.finished
        before = situation(simulator, parameters, _outcome_of(actions, bank.num_los))
        mastery = simulator.mastery.astype(np.float64)
        simulator.step(actions, step_kernels.DISABLED)
        rise = simulator.mastery - mastery
        largest_fall = max(largest_fall, -rise.min())
        lanes, lo = np.flatnonzero(asked), actions[asked] // LEVELS
        gain = parameters.learning_rate * (1 - before.mastery) * formulas.rate(before) * simulator.interaction.correct
        largest_error = max(largest_error, abs(rise[lanes, lo] - gain[asked]).max(initial=0))
        answers += len(lanes)
    ok = answers > 0 and largest_error < FLOAT32 and largest_fall <= 0
    return ok, f"{answers:,} answers: largest error {largest_error:.1e}, largest fall {largest_fall:.1e}"


def _memories(config: Config, bank: Bank, seed: int) -> Result:
    """Check that memory changes with each practice, and is forgotten, as specified (S14.5, S14.6)."""
    memories, formulas = MEMORIES[type(config.dynamics)], RULES[type(config.dynamics)]
    simulator, parameters = _start(config, bank, seed, LANES), parameters_of(config, seed, LANES)
    starting = simulator.mastery.astype(np.float64)
    generator, lanes = np.random.default_rng(seed), np.arange(LANES)
    observes_each = observed_at(config, dynamics_of(config)) == "interaction"
    weights = np.append(np.full(bank.num_questions, np.nan), bank.contents.effectiveness.astype(np.float64) / 0.15)
    assert formulas.rate is not None
    error, recall_error, practices = 0.0, 0.0, 0
    for _ in range(STEPS):
        actions = generator.integers(0, simulator.num_actions, LANES)
        active, lo = ~simulator.learners.finished, _outcome_of(actions, bank.num_los)
        before, hours = situation(simulator, parameters, lo), simulator.learners.hours.astype(np.float64)
        simulator.step(actions, step_kernels.DISABLED)
        item, correct = simulator.interaction.item, simulator.interaction.correct.astype(bool)
        weight = weights[item]
        practice = Practice(correct, weight, formulas.rate(before), hours)
        after = memory_of(simulator, lo)
        errors = [_largest_of(after, state) for state in memories.after(parameters, before.memory, practice)]
        error = max(error, np.min(errors, axis=0)[active].max(initial=0))
        practices += int(active.sum())
        if observes_each:
            asked = generator.integers(0, bank.num_los, LANES)
            now, start = simulator.learners.hours, starting[lanes, asked]
            recall = recall_of(memories, parameters, memory_of(simulator, asked), now, start)
            recall_error = max(recall_error, abs(simulator.mastery[lanes, asked] - recall)[active].max(initial=0))
    ok = practices > 0 and error < MEMORY_ERROR and recall_error < MEMORY_ERROR
    observed = f", of observed recall {recall_error:.1e}" if observes_each else "; recall is observed after breaks only"
    return ok, f"{practices:,} practices: largest relative error of memory {error:.1e}{observed}"


def _largest_of(found: State, expected: State) -> Doubles:
    """Return the largest error of the fields of a state of each learner, relative where the field exceeds 1, (N,)."""
    errors = [abs(found[name] - values) / np.maximum(1, abs(values)) for name, values in expected.items()]
    return np.asarray(np.max(errors, axis=0))


def _outcome_of(actions: Longs, num_los: int) -> Longs:
    """Return the learning outcome of each action (S3.1)."""
    return np.where(actions < LEVELS * num_los, actions // LEVELS, (actions - LEVELS * num_los) // 6)


def _known_outcomes(config: Config, bank: Bank, seed: int) -> Result:
    """Check that outcomes are known or not, and are learned and forgotten with their probabilities (S14.3)."""
    simulator, p = _start(config, bank, seed, LANES), parameters_of(config, seed, LANES)
    generator = np.random.default_rng(seed)
    excess, variance, n = np.zeros(2), np.zeros(2), np.zeros(2, np.int64)
    is_bit = True
    for _ in range(STEPS):
        actions = generator.integers(0, LEVELS * bank.num_los, LANES)
        asked, lo = ~simulator.learners.finished, actions // LEVELS
        before = simulator.mastery[np.arange(LANES), lo] > 0.5
        simulator.step(actions, step_kernels.DISABLED)
        after = simulator.mastery[np.arange(LANES), lo] > 0.5
        is_bit &= bool(np.isin(simulator.mastery, (0, 1)).all())
        for k, (chosen, probability) in enumerate(((asked & ~before, p.p_learn), (asked & before, p.p_forget))):
            expected = probability[chosen]
            excess[k] += (after != before)[chosen].sum() - expected.sum()
            variance[k] += (expected * (1 - expected)).sum()
            n[k] += chosen.sum()
    counts = np.maximum(n, 1)
    bound = [mean_bound(v, 1 / 3, m) + FLOAT32 for v, m in zip(variance / counts, counts.tolist(), strict=True)]
    return is_bit and bool((abs(excess) / counts <= bound).all()), (
        f"{n.sum():,} answers: {excess[0] / counts[0]:+.4f} learned and {excess[1] / counts[1]:+.4f} forgotten "
        "per answer, compared with the rule"
    )


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
        rows = tables["population"] and [{**row, "learner": {}} for row in tables["population"]]
        new = {"termination": termination, "max_episode_steps": limit, "learner": {}, "population": rows}
        changed = Config.read({**tables, **new})
        simulator = _start(changed, bank, seed, 64)
        out = simulator.step(np.zeros(64, np.int64), step_kernels.DISABLED)
        # With learning_rate = 1, one correct answer masters a single LO; under bkt, it may be known at the start.
        mastered = simulator.interaction.mastery_sum >= bank.num_los
        expected = np.where(mastered, Reason.MASTERY_ACHIEVED, reason)
        reached = bool((out.reason == expected).all()) and (not mastered.all() or not is_standard(config))
        flags = bool(
            (out.truncated == (expected == Reason.STEP_LIMIT)).all() and (out.terminated != out.truncated).all()
        )
        ok &= reached and flags
        parts.append(f"{reason.word} {'reached' if reached and flags else 'NOT reached'}")
    counts = np.bincount(_roll_out_uniform(config, bank, seed, EPISODES).reason, minlength=4)[1:]
    shares = ", ".join(f"{r.word} {n}" for r, n in zip(list(Reason)[1:], counts, strict=True))
    return ok and counts.sum() == EPISODES, "; ".join(parts) + f"; uniform policy, {EPISODES} episodes: {shares}"


@check("starting mastery")
def _mastery(config: Config, bank: Bank, seed: int) -> Result:
    """Check that starting mastery has the Beta distribution of the configuration, or of the learner's row (S1.1)."""
    values = _start(without_classes(config), bank, seed, LANES).mastery.astype(np.float64).ravel()
    if isinstance(config.dynamics, Bkt):
        return _known_at_start(config, seed, values)
    if dynamics_of(config).begin is not None:
        return _skipped(config)
    start = start_of(config, seed, LANES)
    pairs, which = _pairs(start["mastery_alpha"], start["mastery_beta"], bank.num_los)
    a, b = pairs.T
    total = a + b
    mean, other = a / total, b / total
    variance = mean * other / (total + 1)
    skewed = (mean - other) ** 2 * (total + 1) - mean * other * (total + 2)
    fourth = 3 * variance**2 + 6 * variance * skewed / ((total + 1) * (total + 2) * (total + 3))
    # Bernstein's inequality: mastery and its squared distance from the mean lie in [0, 1].
    expected = Moments(mean[which], variance[which], fourth[which], 1 / 3, 1 / 3)
    moments_ok, moments = check_moments(values, expected, FLOAT32)
    quantiles = np.array([beta_quantiles(*pair) for pair in pairs.tolist()])[which].T
    shares_ok, shares = check_shares(values, quantiles, FLOAT32)
    name = f"Beta({a[0]:g}, {b[0]:g}) has" if len(pairs) == 1 else f"{len(pairs)} Beta distributions have"
    return moments_ok and shares_ok, (
        f"{moments}; {name} {expected.mean.mean():.4f}, {expected.variance.mean():.4f}; {shares}"
    )


def _pairs(one: Doubles, other: Doubles, repeats: int) -> tuple[Doubles, Longs]:
    """Return the different pairs of two parameters, (U, 2), and the index of the pair of each value.

    one, other  (N,) of each learner
    repeats     number of values of each learner
    """
    pairs, which = np.unique(np.stack([one, other], axis=1), axis=0, return_inverse=True)
    return pairs, np.repeat(which.reshape(-1), repeats)


def _known_at_start(config: Config, seed: int, values: Doubles) -> Result:
    """Check that the share of known outcomes at the start is p_init (S14.3)."""
    expected = float(parameters_of(config, seed, LANES).p_init.mean())
    share = float(values.mean())
    ok = np.isin(values, (0, 1)).all() and not is_rare(share, expected, len(values))
    return bool(ok), f"{len(values):,} outcomes, {share:.4f} known; p_init says {expected:.4f}"


@check("starting ability")
def _ability(config: Config, bank: Bank, seed: int) -> Result:
    """Check that starting ability has the normal distribution of the configuration, or of the learner's row (S1.2)."""
    start = start_of(config, seed, LANES)
    mean, std = start["ability_mean"], start["ability_std"]
    values = _start(without_classes(config), bank, seed, LANES).learners.ability.astype(np.float64)
    tolerance = FLOAT32 * float((abs(mean) + std).max())
    # Laurent and Massart (2000), lemma 1: the sum of squared normals.
    expected = Moments(mean, std**2, 3 * std**4, 0, 2 * float((std**2).max()))
    moments_ok, moments = check_moments(values, expected, tolerance)
    quantiles = [mean + std * NormalDist().inv_cdf(p) for p in QUANTILE_LEVELS]
    shares_ok, shares = check_shares(values, quantiles, tolerance)
    pairs, _ = _pairs(mean, std, 1)
    name = f"N({mean[0]:g}, {std[0]:g}) has" if len(pairs) == 1 else f"{len(pairs)} normal distributions have"
    return moments_ok and shares_ok, f"{moments} (logits); {name} {mean.mean():.4f}, {(std**2).mean():.4f}; {shares}"


@check("population")
def _population(config: Config, bank: Bank, seed: int) -> Result:
    """Check that learners have the rows of the population with their shares, in every episode (S12.1)."""
    simulator = _start(config, bank, seed, LANES)
    rows = rows_of(config, seed, LANES)
    if config.population is None or len(config.population) == 1:
        return not rows.any(), f"{LANES:,} learners, all of one row"
    simulator.learners.episode[:] = 1
    simulator.begin(np.arange(LANES))
    equal = bool(np.array_equal(simulator.learners.row, rows))
    own = parameters_of(config, seed, LANES)._asdict()
    stored = simulator.learners.parameters._asdict()
    equal &= all(np.array_equal(values.astype(np.float32), stored[name]) for name, values in own.items())
    cumulated = np.cumsum([row.share for row in config.population.rows])
    # At most five tests, of the shares up to rows that are evenly spaced.
    places = np.unique(np.linspace(0, len(cumulated) - 2, min(5, len(cumulated) - 1)).astype(int))
    shares = [(float((rows <= k).mean()), float(cumulated[k] / cumulated[-1])) for k in places]
    ok = equal and not any(is_rare(found, expected, LANES) for found, expected in shares)
    found, expected = (", ".join(f"{100 * share:.1f}" for share in part) for part in zip(*shares, strict=True))
    return ok, (
        f"{LANES:,} learners {'keep' if equal else 'DO NOT keep'} their rows of {len(cumulated):,} and have their "
        f"parameters; {found} % are in the first rows; expected {expected} %"
    )


@check("classes")
def _classes(config: Config, bank: Bank, seed: int) -> Result:
    """Check that the learners of a class share normal shifts of starting ability and masteries (S12.2).

    The shifts are differences from the same learners without classes.
    """
    if config.classes is None:
        return True, f"{LANES:,} learners without classes"
    size = config.classes.size
    classes = np.arange(min(LANES // 2, MAX_LEARNERS // size))
    learners = (size * classes[:, None] + np.array([0, size - 1])).ravel()  # the first and the last of each class
    alone, shifted = (_of_learners(own, bank, seed, learners) for own in (without_classes(config), config))
    before, after = (simulator.learners.ability.astype(np.float64) for simulator in (alone, shifted))
    shifts = {"ability": (after - before, FLOAT32 * (abs(before) + abs(after)), config.classes.ability_std)}
    if dynamics_of(config).begin is None:
        found = _shifts_of_logits(alone.mastery.astype(np.float64), shifted.mastery.astype(np.float64))
        shifts["mastery"] = (found, np.full(len(found), SHIFT_TOLERANCE), config.classes.mastery_std)
    ok, texts = True, [f"{counted(len(classes), 'class', 'classes')} of {size:,}"]
    for name, (values, tolerance, std) in shifts.items():
        passed, text = _check_shifts(values.reshape(-1, 2), tolerance.reshape(-1, 2), std)
        ok &= passed
        texts.append(f"shift of {name}, logits: {text}")
    return ok, "; ".join(texts)


def _check_shifts(shifts: Doubles, tolerance: Doubles, std: float) -> tuple[bool, str]:
    """Return whether two learners of each class have the same shift, (K, 2), and whether the shifts are N(0, std).

    tolerance  (K, 2) error that each shift may have; a shift that is not known is NaN
    """
    known = np.isfinite(shifts).all(axis=1)
    if not known.any():
        return True, "no mastery near the middle"
    first, last = shifts[known].T
    slack = tolerance[known].sum(axis=1)
    moments_ok, moments = check_moments(first, Moments(0.0, std**2, 3 * std**4, 0, 2 * std**2), float(slack.max()))
    return moments_ok and bool((abs(first - last) <= slack).all()), f"{moments}; expected 0, {std**2:.4f}"


def without_classes(config: Config) -> Config:
    """Return the same rules for learners without classes."""
    return config.model_copy(update={"classes": None})


def _shifts_of_logits(before: Doubles, after: Doubles) -> Doubles:
    """Return the median shift of each learner's masteries, (N,) logits; NaN for a learner with none near the middle."""
    usable = (np.minimum(before, after) > SHIFT_RANGE) & (np.maximum(before, after) < 1 - SHIFT_RANGE)
    odds = np.where(usable, after / np.maximum(1 - after, SHIFT_RANGE), 1)
    others = np.where(usable, before / np.maximum(1 - before, SHIFT_RANGE), 1)
    shifts = np.where(usable, np.log(odds) - np.log(others), np.nan)
    medians: Doubles = np.full(len(shifts), np.nan)
    some = usable.any(axis=1)
    medians[some] = np.nanmedian(shifts[some], axis=1)
    return medians


@check("correct rate")
def _correct(config: Config, bank: Bank, seed: int) -> Result:
    """Check that answers are correct as often as the model of the dynamics predicts (S4.1, S14)."""
    formulas = _formulas_of(config)
    if formulas is None:
        return _skipped(config)
    simulator, parameters = _start(config, bank, seed, LANES), parameters_of(config, seed, LANES)
    generator = np.random.default_rng(seed)
    num_correct, expected, variance, n = 0, 0.0, 0.0, 0
    q = bank.questions
    for _ in range(STEPS):
        actions = generator.integers(0, LEVELS * bank.num_los, LANES)
        actions[simulator.learners.finished] = 0  # which a finished lane takes
        before = situation(simulator, parameters, actions // LEVELS)
        simulator.step(actions, step_kernels.DISABLED)
        item = simulator.interaction.item
        a, b, c = (column[item].astype(np.float64) for column in (q.irt_a, q.irt_b, q.irt_c))
        p = formulas.chance(before, a, b, c)
        num_correct += int(simulator.interaction.correct.sum())
        expected, variance, n = expected + p.sum(), variance + (p * (1 - p)).sum(), n + LANES
    # Freedman (1975): Bernstein's inequality for martingales, since each answer changes the ability for the next.
    return abs(num_correct - expected) / n < mean_bound(variance / n, 1 / 3, n) + FLOAT32, (
        f"{n:,} answers, {num_correct / n:.4f} correct; the {formulas.text} says {expected / n:.4f}"
    )


@check("chance of answers")
def _chance(config: Config, bank: Bank, seed: int) -> Result:
    """Check that answers are correct as often as the dynamics' own chance says, which the truth shows (S15.1)."""
    if dynamics_of(config).chance is None:
        return None, f"the dynamics {dynamics_of(config).name!r} declares no chance of a correct answer"
    arguments: dict[str, Any] = {"num_learners": min(EPISODES, LANES), "episodes_per_learner": 1, "dynamics": None}
    options: dict[str, Any] = {"observation": "mastery", "num_threads": 1, "keep_observations": False}
    plan = read_plan("uniform", seed=seed, config=config, bank=bank, **arguments, **options)
    run = run_block(plan, 0, plan.num_episodes)
    chances = TruthReplay(plan, plan.num_episodes)(run).chance.astype(np.float64)
    asked = ~np.isnan(chances)
    p, correct = chances[asked], run.interactions.correct[asked]
    in_bounds = bool(((p >= 0) & (p <= 1)).all())
    ok, listed = in_bounds, []
    # The chance is known before the answer, so the answers of each class are a martingale, too (Freedman, 1975).
    for low, high in ((0, 1.1), (0, 1 / 3), (1 / 3, 2 / 3), (2 / 3, 1.1)):
        chosen = (p >= low) & (p < high)
        n = max(1, int(chosen.sum()))
        found, expected = float(correct[chosen].sum()) / n, float(p[chosen].sum()) / n
        bound = mean_bound(float((p[chosen] * (1 - p[chosen])).sum()) / n, 1 / 3, n) + FLOAT32
        ok &= abs(found - expected) <= bound
        listed.append(f"{found:.3f} of {expected:.3f}")
    return bool(ok), f"{len(p):,} answers, correct {listed[0]}; at low, middle and high chances {', '.join(listed[1:])}"


@check("response times")
def _times(config: Config, bank: Bank, seed: int) -> Result:
    """Check that response times have the distribution of max(minimum, N(mean, s.d.)) (S4.4), after fatigue (S14.7)."""
    formulas = _formulas_of(config)
    if formulas is None:
        return _skipped(config)
    simulator, parameters = _start(config, bank, seed, LANES), parameters_of(config, seed, LANES)
    minima, kind = np.unique(parameters.response_time_min, return_inverse=True)
    lanes = np.flatnonzero(kind.reshape(-1) < MOST_ROWS)
    generator = np.random.default_rng(seed)
    items, times = [], []
    for _ in range(STEPS):
        actions = generator.integers(0, LEVELS * bank.num_los, LANES)
        slowness = formulas.slowness(situation(simulator, parameters, actions // LEVELS))
        simulator.step(actions, step_kernels.DISABLED)
        items.append(simulator.interaction.item[lanes])
        times.append((simulator.interaction.seconds.astype(np.float64) / slowness)[lanes])
    seconds, minimum = np.concatenate(times), np.tile(parameters.response_time_min[lanes], STEPS)
    distributions = np.stack([time_distributions(bank, least) for least in minima[:MOST_ROWS].tolist()])
    rows = distributions[np.tile(kind.reshape(-1)[lanes], STEPS), np.concatenate(items)]
    ok, text = _check_times(seconds, minimum, rows)
    return ok, text + ("" if isinstance(config.dynamics, Standard) or (slowness == 1).all() else "; without fatigue")


def _check_times(seconds: Doubles, minimum: Doubles, rows: Doubles) -> tuple[bool, str]:
    """Return whether response times agree with the distributions of their questions, and a text.

    seconds, minimum  (N,)
    rows              (N, 8) of `time_distributions`
    """
    n = len(seconds)
    std, tolerance, mean, smallest_atom, largest_atom, *quantiles = rows.T
    # A time is the maximum of a normal variate and a constant, so its tails are no heavier than those of the normal.
    bound = mean_bound(float((std**2).mean()), 0, n) + FLOAT32 * mean.mean()
    mean_ok = abs(seconds.mean() - mean.mean()) <= bound and bool((seconds >= minimum * (1 - FLOAT32)).all())
    shares_ok, shares = check_shares(seconds, quantiles, tolerance)
    atom = float((seconds <= minimum * (1 + FLOAT32)).mean())
    too_few = atom < smallest_atom.mean() and is_rare(atom, smallest_atom.mean(), n)
    too_many = atom > largest_atom.mean() and is_rare(atom, largest_atom.mean(), n)
    expected_atom = (smallest_atom + largest_atom).mean() / 2
    least = f"{minimum.min():g} s" if (minimum == minimum[0]).all() else "the minimum"
    return bool(mean_ok and shares_ok and not too_few and not too_many), (
        f"{n:,} answers, mean {seconds.mean():.3f} s, least {seconds.min():.3f} s, {100 * atom:.2f} % at {least};"
        f" the rule says {mean.mean():.3f} s, {minimum.min():g} s, {100 * expected_atom:.2f} %; {shares}"
    )


@check("clock")
def _clock(config: Config, bank: Bank, seed: int) -> Result:
    """Check that the clock has the time of all interactions, and of the breaks between sessions (S9.5, S13.1)."""
    if config.sessions is None:  # the clock is kept only where something reads it
        config = Config.read({**config.to_dict(), "sessions": {"interactions": 7, "break_hours": 24.0}})
    simulator = _start(config, bank, seed, LANES)
    generator = np.random.default_rng(seed)
    content_seconds = SECONDS_PER_MINUTE * bank.contents.duration.astype(np.float64)
    hours, breaks = np.zeros(LANES), 0
    for step in range(1, STEPS + 1):
        out = simulator.step(generator.integers(0, simulator.num_actions, LANES), step_kernels.DISABLED)
        item, seconds = simulator.interaction.item, simulator.interaction.seconds.astype(np.float64)
        shown = np.isnan(seconds)
        seconds[shown] = content_seconds[item[shown] - bank.num_questions]
        hours += seconds / 3600
        if config.sessions is not None and step % config.sessions.interactions == 0:
            hours[out.reason == 0] += config.sessions.break_hours
            breaks += 1
    error = float((abs(simulator.learners.hours - hours) / np.maximum(hours, 1)).max())
    return error < FLOAT32, f"{LANES * STEPS:,} interactions and up to {breaks} breaks each: largest error {error:.1e}"


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


__all__ = ["CHECKS", "Finding", "dynamics_of", "is_standard", "validate"]
