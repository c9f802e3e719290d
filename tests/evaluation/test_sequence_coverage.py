"""Simulated coverage of confidence sequences: the share of sequences that ever exclude the true mean.

Each test has 2,000 sequences of 500 values and looks at every number of values. If the share of false alarms is 5 %
exactly, a test fails with a probability of 0.0014: the limit is 5 % plus 3 standard errors.
"""

import math

import numpy as np
import pytest
from scipy import stats

from alsim.evaluation.experiments import bernoulli_interval, confidence_sequence
from alsim.evaluation.experiments.asymptotic import asymptotic_limits
from alsim.evaluation.experiments.betting import log_growth
from alsim.evaluation.experiments.predictable import variance_bets

SEQUENCES, LENGTH = 2000, 500
LARGEST = 0.05 + 3 * math.sqrt(0.05 * 0.95 / SEQUENCES)
NEEDED = math.log(2 / 0.05)

BOUNDED = {
    "beta": (lambda random, shape: random.beta(2, 5, shape), 2 / 7),
    "rare bits": (lambda random, shape: (random.random(shape) < 0.05).astype(float), 0.05),
    "even bits": (lambda random, shape: (random.random(shape) < 0.5).astype(float), 0.5),
}


def draw(name, seed):
    sample, mean = BOUNDED[name]
    return sample(np.random.default_rng(seed), (SEQUENCES, LENGTH)), mean


def alarms_of(method, x, mean, **options):
    """Return the share of sequences that ever exclude the mean."""
    return np.mean([confidence_sequence(row, method, **options).excludes(mean) is not None for row in x])


@pytest.mark.ci
@pytest.mark.parametrize("name", BOUNDED)
@pytest.mark.parametrize("method", ["empirical-bernstein", "hoeffding"])
def test_bounded_values(method, name):
    """Seed 0."""
    assert alarms_of(method, *draw(name, 0)) <= LARGEST


@pytest.mark.ci
@pytest.mark.parametrize("name", BOUNDED)
def test_betting(name):
    """Seed 1. The capital at the true mean decides, as in the definition; the grid is tested elsewhere."""
    x, mean = draw(name, 1)
    bets = variance_bets(x, NEEDED)
    above = np.cumsum(log_growth(x, bets, mean), axis=1).max(axis=1)
    below = np.cumsum(log_growth(1 - x, bets, 1 - mean), axis=1).max(axis=1)
    excluded = np.maximum(above, below) >= NEEDED
    assert 0.002 < excluded.mean() <= LARGEST
    few = [*np.flatnonzero(excluded)[:5], *np.flatnonzero(~excluded)[:5]]
    near = 2e-4  # the limits are rounded outwards to 1e-4
    for k in few:
        found = confidence_sequence(x[k], "betting")
        assert excluded[k] or found.excludes(mean) is None
        assert not excluded[k] or found.lower[-1] > mean - near or found.upper[-1] < mean + near


@pytest.mark.parametrize("name", ["rare bits", "even bits"])
def test_beta_binomial(name):
    """Seed 2; tuned for 100 trials."""
    x, mean = draw(name, 2)
    successes = np.cumsum(x, axis=1).astype(int)
    counts, place = np.unique(np.arange(1, LENGTH + 1) * (LENGTH + 1) + successes, return_inverse=True)
    lower, upper = bernoulli_interval(counts % (LENGTH + 1), counts // (LENGTH + 1), tuned_for=100)
    excluded = ((mean < lower) | (mean > upper))[place].reshape(x.shape)
    assert 0.005 < excluded.any(axis=1).mean() <= LARGEST


def test_normal_mixture():
    """Seed 3; normal values, tuned for 100 values."""
    x = np.random.default_rng(3).normal(5.0, 2.0, (SEQUENCES, LENGTH))
    alarms = alarms_of("normal-mixture", x, 5.0, sd=2.0, tuned_for=100)
    assert 0.005 < alarms <= LARGEST


@pytest.mark.parametrize("shape", ["normal", "exponential"])
def test_asymptotic(shape):
    """Seed 4; default tuning and first interval."""
    x = getattr(np.random.default_rng(4), shape)(1.0, size=(SEQUENCES, LENGTH))
    lower, upper = asymptotic_limits(x, tuned_for=1000.0, first=20, confidence=0.95)
    assert 0.002 < ((lower > 1) | (upper < 1)).any(axis=1).mean() <= LARGEST


def test_the_asymptotic_sequence_fails_for_few_skewed_values():
    """Seed 5. Log-normal values (skewness 6): the page warns of them."""
    x = np.random.default_rng(5).lognormal(0.0, 1.0, (SEQUENCES, LENGTH))
    mean = math.exp(0.5)
    for first, tuned_for, least in ((2, 100.0, 0.3), (20, 100.0, 0.12)):
        lower, upper = asymptotic_limits(x, tuned_for=tuned_for, first=first, confidence=0.95)
        assert ((lower > mean) | (upper < mean)).any(axis=1).mean() > least


def test_fixed_horizon_intervals_are_wrong_if_they_are_watched():
    """Seed 6. Student's interval at 20 looks, and at every look."""
    x = np.random.default_rng(6).normal(size=(SEQUENCES, LENGTH))
    n = np.arange(1, LENGTH + 1)
    mean = np.cumsum(x, axis=1) / n
    variance = (np.cumsum(x**2, axis=1) - n * mean**2) / np.maximum(n - 1, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        alarm = abs(mean) > stats.t.ppf(0.975, n - 1) * np.sqrt(variance / n)
    looks = np.arange(25, LENGTH + 1, 25) - 1
    assert alarm[:, -1].mean() <= LARGEST
    assert alarm[:, looks].any(axis=1).mean() > 0.2
    assert alarm[:, 9:].any(axis=1).mean() > 0.35
