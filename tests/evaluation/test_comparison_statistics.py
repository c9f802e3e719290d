"""Properties of comparisons by simulation: p-values, coverage and variance reduction with simulated learners."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from scipy import stats

import alsim
from alsim.errors import AlsimError
from alsim.evaluation import compare, mean, paired_difference, variance_reduction
from alsim.types import FIRST_HELD_OUT, Doubles

GROUPS, LEARNERS = 2000, 50
"""Number of repetitions, and of learners in each."""
PART = 10_000
"""Learners in memory at a time."""


def returns(policy: str, seed: int, num_learners: int, first: int = FIRST_HELD_OUT) -> Doubles:
    """Return the cumulative reward of each of some held-out learners, from rollouts of PART learners."""

    def parts() -> Iterator[Doubles]:
        for start in range(0, num_learners, PART):
            count = min(PART, num_learners - start)
            run = alsim.rollout(
                policy,
                num_learners=count,
                first_learner=first + start,
                seed=seed,
                keep_observations=False,
                num_threads=2,
            )
            yield np.asarray(run.metrics.cumulative_reward, np.float64)

    return np.concatenate([*parts()])


def p_values(groups: int) -> list[float]:
    """Return the p-value of each of some comparisons of `uniform` with itself on independent draws, seeds 1 and 2."""
    a, b = (returns("uniform", seed, groups * LEARNERS).reshape(groups, LEARNERS) for seed in (1, 2))
    return [paired_difference(one, other).p for one, other in zip(a, b, strict=True)]


@pytest.mark.compiled
def test_p_values_of_equal_policies_are_uniform_in_a_small_sample() -> None:
    """200 comparisons of 50 learners; Kolmogorov-Smirnov, false alarm 1e-3."""
    assert stats.kstest(p_values(200), "uniform").pvalue > 1e-3


@pytest.mark.ci
@pytest.mark.compiled
def test_p_values_of_equal_policies_are_uniform() -> None:
    """2,000 comparisons of 50 learners; Kolmogorov-Smirnov, false alarm 1e-3."""
    p = np.array(p_values(GROUPS))
    found = stats.kstest(p, "uniform")
    assert found.pvalue > 1e-3


def coverage(groups: int, num_truth: int) -> list[float]:
    """Return the coverage of 95 % intervals of `rules` - `uniform`, seed 3, of the true difference and of its bounds.

    The truth is the mean of `num_truth` further learners. The bounds are 3 standard errors of this mean away.
    """
    total = groups * LEARNERS
    pairs = (returns("rules", 3, total), returns("uniform", 3, total))
    first = FIRST_HELD_OUT + total
    further = paired_difference(returns("rules", 3, num_truth, first), returns("uniform", 3, num_truth, first))
    found = [paired_difference(a, b).ci for a, b in zip(*(one.reshape(groups, LEARNERS) for one in pairs), strict=True)]
    low, high = np.array(found).T
    truths = [further.mean + k * further.se for k in (-3, 0, 3)]
    return [float(((low <= truth) & (truth <= high)).mean()) for truth in truths]


@pytest.mark.compiled
def test_intervals_cover_the_true_difference_in_a_small_sample() -> None:
    """200 comparisons of 50 learners; 88 % is 4.5 standard errors below 95 %, false alarm 1e-5."""
    assert min(coverage(200, 10_000)) >= 0.88


@pytest.mark.ci
@pytest.mark.compiled
def test_intervals_cover_the_true_difference() -> None:
    """2,000 comparisons of 50 learners, truth from 300,000; 93-97 % is 4.1 standard errors, false alarm 4e-5.

    The error of the truth is included: also a truth that is 3 of its standard errors away must be covered so. Measured:
    95.4 %, and 95.0 and 95.3 % of the truth 3 standard errors below and above.
    """
    found = coverage(GROUPS, 300_000)
    assert all(0.93 <= one <= 0.97 for one in found)


# ── variance reduction ───────────────────────────────────────────────────────────────────────────


@pytest.mark.ci
@pytest.mark.compiled
def test_the_same_random_numbers_reduce_the_variance_and_independent_ones_do_not() -> None:
    """10,000 learners. The standard error of the factor of independent values is .01, so that .1 is 10 of them."""
    names = ["rules", "epsilon-greedy:rules:0.05"]
    one, other = (compare(names, learners=10_000, seed=seed, num_threads=2) for seed in (0, 1))
    shared = one.variance_reduction(*names, "cumulative_reward")
    assert shared is not None
    independent = variance_reduction(
        one.values[names[0]]["cumulative_reward"], other.values[names[1]]["cumulative_reward"]
    )
    assert shared >= 5
    assert abs(independent - 1) <= 0.1


def exact_sample(correlation: float, sd: tuple[float, float], n: int = 40) -> tuple[Doubles, Doubles]:
    """Return pairs (n,) whose sample correlation and sample standard deviations are exactly these."""
    centered = np.random.default_rng(0).normal(size=(n, 2))
    q, _ = np.linalg.qr(centered - centered.mean(axis=0))
    u, v = q.T * math.sqrt(n - 1)
    return sd[0] * u + 3, sd[1] * (correlation * u + math.sqrt(1 - correlation**2) * v) - 7


@pytest.mark.parametrize("correlation", [-0.9, 0.0, 0.5, 0.99])
@pytest.mark.parametrize("sd", [(1.0, 1.0), (2.0, 0.3)])
def test_variance_reduction_equals_its_closed_form(correlation: float, sd: tuple[float, float]) -> None:
    a, b = exact_sample(correlation, sd)
    total = sd[0] ** 2 + sd[1] ** 2
    expected = total / (total - 2 * correlation * sd[0] * sd[1])
    assert variance_reduction(a, b) == pytest.approx(expected, rel=1e-10)
    assert variance_reduction(b, a) == pytest.approx(expected, rel=1e-10)


def test_variance_reduction_of_normal_values() -> None:
    """100,000 normal pairs, correlation .8, seed 0: 1 / (1 - .8) = 5.

    For equal variances, a + b and a - b are independent, and the factor is (1 + Var(a + b) / Var(a - b)) / 2. Its
    relative standard error is .9 * 2 / n^(1/2) = .0057; 6 of them are allowed (false alarm 2e-9).
    """
    u, v = np.random.default_rng(0).normal(size=(2, 100_000))
    assert variance_reduction(u, 0.8 * u + 0.6 * v) == pytest.approx(5, rel=0.034)


def test_variance_reduction_is_the_ratio_of_the_squared_standard_errors() -> None:
    random = np.random.default_rng(1)
    learners = np.repeat(np.arange(20), 3)
    a, b = random.normal(size=(2, 60)) + random.normal(size=20)[learners]
    for units in (None, learners):
        ratio = (mean(a, units).se ** 2 + mean(b, units).se ** 2) / paired_difference(a, b, units).se ** 2
        assert variance_reduction(a, b, units) == pytest.approx(ratio, rel=1e-12)
    with_gaps = np.r_[a, math.nan, 5.0], np.r_[b, 7.0, math.nan]
    assert variance_reduction(*with_gaps) == variance_reduction(a, b)
    assert variance_reduction(*with_gaps, np.r_[learners, 0, 99]) == variance_reduction(a, b, learners)


def test_an_undefined_variance_reduction_is_nan() -> None:
    for a, b, learners in (
        ([1.0], [2.0], None),
        ([1.0, math.nan], [2.0, 3.0], None),
        ([math.nan], [math.nan], None),
        ([1.0, 2.0, 4.0], [1.0, 2.0, 4.0], None),
        ([1.1, 1.1], [0.3, 0.3], None),
        ([1.0, 2.0], [3.0, 5.0], [4, 4]),
    ):
        assert math.isnan(variance_reduction(a, b, learners))


WRONG: list[tuple[Callable[[], object], str]] = [
    (lambda: variance_reduction([], []), r"a must have shape \(K,\), K at least 1; got shape \(0,\): pass one row"),
    (lambda: variance_reduction([1.0], [1.0, 2.0]), "a and b must have the same length; got 1 and 2: pass the values"),
    (lambda: variance_reduction([[1.0]], [[1.0]]), r"a must have shape \(K,\), K at least 1; got shape \(1, 1\): pass"),
    (lambda: variance_reduction([1.0], [True]), "b must be numbers; got booleans: "),
    (
        lambda: variance_reduction([1.0], [1.0], [0.0]),
        "learners must be integers; got floats: pass numbers of learners",
    ),
]


@pytest.mark.parametrize(("call", "message"), WRONG, ids=range(len(WRONG)))
def test_invalid_input_is_refused_in_one_sentence(call: Callable[[], object], message: str) -> None:
    with pytest.raises(AlsimError, match=f"^{message}"):
        call()
