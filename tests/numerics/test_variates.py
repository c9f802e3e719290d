"""Sampled distributions against scipy's.

Every test fixes its seed, so that it gives the same answer each time; its probability of a false alarm,
over seeds, is ALARM: 1e-6 each, and below 1e-4 for all tests of this file together.
"""

from typing import Any

import numpy as np
import pytest
from oracle import beta as exact_beta
from oracle import normal as exact_normal
from scipy import special, stats

from alsim.jit.compile import COMPILED, kernel
from alsim.numerics.beta import BetaTable, beta_segment, beta_table, beta_value
from alsim.numerics.variates import below, normal, uniform

ALARM = 1e-6
N = 1_000_000 if COMPILED else 20_000
SHAPES = [(2.0, 5.0), (0.5, 0.5), (20.0, 50.0), (5.0, 0.3), (0.1, 3.0), (1.0, 1.0)]
HARD_SHAPES = [(0.02, 0.02), (0.05, 0.05), (1000.0, 1000.0), (1000.0, 2.0), (0.02, 1000.0), (3.0, 0.02)]
TABLE_ERROR, EVALUATED_ERROR = 6e-8, 1e-7  # the docstring of beta_table


@kernel
def all_uniform(words: Any, out: Any) -> None:
    for i in range(len(words)):
        out[i] = uniform(words[i])


@kernel
def all_normal(radius: Any, angle: Any, out: Any) -> None:
    for i in range(len(radius)):
        out[i] = normal(radius[i], angle[i])


@kernel
def all_below(words: Any, n: Any, out: Any) -> None:
    for i in range(len(words)):
        out[i] = below(words[i], n)


@kernel
def all_beta(coefficients: Any, detail: Any, words: Any, out: Any) -> None:
    for i in range(len(words)):
        segment, t = beta_segment(detail, words[i])
        k = 4 * segment
        out[i] = beta_value(coefficients[k], coefficients[k + 1], coefficients[k + 2], coefficients[k + 3], t, words[i])


def random_words(seed: int, n: int) -> Any:
    """Words from NumPy's generator, so that an error of Philox does not hide an error of a variate."""
    return np.random.default_rng(seed).integers(0, 2**32, n, dtype=np.uint32)


def beta_variates(table: BetaTable, words: Any) -> Any:
    out = np.empty(len(words), np.float32)
    all_beta(table.coefficients, table.detail, words, out)
    return out.astype(np.float64)


def test_uniform_is_uniform() -> None:
    out = np.empty(N, np.float32)
    all_uniform(random_words(1, N), out)
    # Its cells are 2**-23 wide: far below what N can tell from a continuous law.
    assert stats.kstest(out.astype(np.float64), "uniform").pvalue > ALARM


def test_uniform_is_never_0_or_1() -> None:
    words = np.array([0, 511, 512, 2**31, 2**32 - 1], np.uint32)
    out = np.empty(5, np.float32)
    all_uniform(words, out)
    assert out.tolist() == [2**-24, 2**-24, 3 * 2**-24, 0.5 + 2**-24, 1 - 2**-24]


def test_normal_is_normal() -> None:
    out = np.empty(N, np.float32)
    all_normal(random_words(2, N), random_words(3, N), out)
    assert stats.kstest(out.astype(np.float64), "norm").pvalue > ALARM


def test_normal_has_its_moments() -> None:
    """Mean, variance, skewness and kurtosis: their estimates' own s.d. are sqrt(1, 2, 15, 96 / n)."""
    out = np.empty(N, np.float32)
    all_normal(random_words(4, N), random_words(5, N), out)
    wide = out.astype(np.float64)
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        z = ((wide**power).mean() - moment) / np.sqrt(variance / N)
        assert 2 * stats.norm.sf(abs(z)) > ALARM


def test_normal_equals_its_formula() -> None:
    """Within 2e-6 everywhere, also where the logarithm is nearly 0 and nearly at its end."""
    few = np.array([0, 512, 1024, 2**23, 2**31, 2**32 - 2**23, 2**32 - 1024, 2**32 - 1], np.uint32)
    radius, angle = (x.ravel() for x in np.meshgrid(few, few))
    radius = np.concatenate([radius, random_words(6, 20_000)])
    angle = np.concatenate([angle, random_words(7, 20_000)])
    out = np.empty(len(radius), np.float32)
    all_normal(radius, angle, out)
    exact = [exact_normal(int(r), int(a)) for r, a in zip(radius, angle, strict=True)]
    np.testing.assert_allclose(out, exact, rtol=0, atol=2e-6)
    assert np.abs(out).max() < 5.77


@pytest.mark.parametrize("n", [1, 2, 6, 7, 10, 1000])
def test_below_is_uniform(n: int) -> None:
    out = np.empty(N, np.uint32)
    all_below(random_words(8, N), np.uint32(n), out)
    counts = np.bincount(out, minlength=n)
    assert len(counts) == n
    assert n == 1 or stats.chisquare(counts).pvalue > ALARM


@pytest.mark.parametrize("n", [1, 3, 7, 2**16 + 1, 2**31, 2**32 - 1])
def test_below_reaches_both_ends(n: int) -> None:
    out = np.empty(2, np.uint32)
    all_below(np.array([0, 2**32 - 1], np.uint32), np.uint32(n), out)
    assert out.tolist() == [0, n - 1]


@pytest.mark.ci
@pytest.mark.parametrize("a, b", SHAPES)
def test_s1_1_beta_is_beta(a: float, b: float) -> None:
    variates = beta_variates(beta_table(a, b), random_words(9, N))
    assert variates.min() >= 0
    assert variates.max() <= 1
    # float32 rounds what lies within 2**-25 of 1 to 1: for b < 1 the law is compared where it has room.
    inside = variates[(variates > 1e-30) & (variates < 1 - 1e-3)]
    low, high = special.betainc(a, b, [1e-30, 1 - 1e-3])
    assert stats.binomtest(len(inside), N, high - low).pvalue > ALARM

    def law(x: Any) -> Any:
        return (special.betainc(a, b, x) - low) / (high - low)

    assert stats.kstest(inside, law).pvalue > ALARM


def tails() -> Any:
    """Low 31 bits of words: some at random, some of every octave, the first and the last."""
    random = np.random.default_rng(10)
    return np.unique(
        np.concatenate(
            [
                random.integers(0, 2**31, 20_000),
                (2 ** (31 * random.random(20_000))).astype(np.int64),
                np.arange(300),
                2**31 - 1 - np.arange(300),
            ]
        )
    )


@pytest.mark.ci
@pytest.mark.parametrize("a, b", SHAPES + HARD_SHAPES)
def test_beta_table_error(a: float, b: float) -> None:
    """The docstring's bounds: of the cubics in float64, and of what beta_value makes of them in float32."""
    table = beta_table(a, b)
    low = tails()
    # The tail's probability as beta_segment reads it, rounded to float32; and the place it falls in.
    tail = low.astype(np.float32) + np.float32(0.5)
    bits, shift = tail.view(np.int32), 23 - int(table.detail)
    segment = (bits >> shift) - (126 << int(table.detail))
    t = (bits & ((1 << shift) - 1)) / 2.0**shift
    cubics = table.coefficients.reshape(2, -1, 4).astype(np.float64)
    quantile = [special.betaincinv(*shape, tail.astype(np.float64) / 2**32) for shape in ((a, b), (b, a))]
    for k in range(2):
        c = cubics[k][segment].T
        value = ((c[3] * t + c[2]) * t + c[1]) * t + c[0]
        assert np.abs(value - quantile[k]).max() < TABLE_ERROR
    lower = beta_variates(table, low.astype(np.uint32))
    upper = beta_variates(table, (low + 2**31).astype(np.uint32))
    assert np.abs(lower - quantile[0]).max() < EVALUATED_ERROR
    assert np.abs(upper - (1 - quantile[1])).max() < EVALUATED_ERROR


@pytest.mark.ci
@pytest.mark.parametrize("a, b", [(0.01, 0.01), pytest.param(0.001, 0.001, marks=pytest.mark.ci), (0.001, 5.0)])
def test_beta_table_error_of_extreme_shapes(a: float, b: float) -> None:
    """The bounds of the docstring for shapes that the finest table does not resolve: 1e-4, and 1e-7 in probability.

    The bound in probability adds the rounding of the variate to float32, which is coarse in probability near 0 and 1.
    """
    table = beta_table(a, b)
    low = tails()
    probability = (low.astype(np.float32) + np.float32(0.5)).astype(np.float64) / 2**32
    lower = beta_variates(table, low.astype(np.uint32))
    upper = beta_variates(table, (low + 2**31).astype(np.uint32))
    assert np.abs(lower - special.betaincinv(a, b, probability)).max() < 1e-4
    assert np.abs(1 - upper - special.betaincinv(b, a, probability)).max() < 1e-4
    for shape, x in (((a, b), lower), ((b, a), 1 - upper)):
        assert (special.betainc(*shape, np.maximum(0, x - 6e-8)) - probability).max() < 1e-7
        assert (probability - special.betainc(*shape, np.minimum(1, x + 6e-8))).max() < 1e-7


@pytest.mark.parametrize("a, b", [*SHAPES, (0.05, 0.05)])
def test_beta_equals_the_oracle(a: float, b: float) -> None:
    """Word by word; within 2e-7: the table's error, and that of the word's rounding to float32."""
    words = np.concatenate([random_words(11, 2_000), np.array([0, 1, 2**31 - 1, 2**31, 2**32 - 1], np.uint32)])
    exact = [exact_beta(int(word), a, b) for word in words]
    np.testing.assert_allclose(beta_variates(beta_table(a, b), words), exact, rtol=0, atol=2e-7)
