"""Statistics, compared with SciPy, with statsmodels' answers, with brute force, with enumeration, and by simulation."""

import itertools
import json
import math
import subprocess
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from alsim.errors import AlsimError
from alsim.evaluation import (
    PairedDifference,
    Statistic,
    bootstrap,
    holm,
    mean,
    paired_difference,
    resampling,
    wilson,
)
from alsim.evaluation.estimates import estimate
from alsim.evaluation.resampling import drawn_units
from alsim.evaluation.statistics import share
from alsim.evaluation.student_t import t_quantile, two_sided_p
from alsim.types import Purpose

FALSE_ALARM = 1e-6
"""Probability that a test by simulation fails by chance; its seed is fixed."""


def z_of(probability: float) -> float:
    return float(stats.norm.isf(probability / 2))


# ── means and differences ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.999])
@pytest.mark.parametrize("n", [2, 5, 300])
def test_a_mean_equals_that_of_scipy(n: int, confidence: float) -> None:
    values = np.random.default_rng(n).normal(3, 2, n)
    found = mean(values, confidence=confidence)
    assert found.mean == pytest.approx(values.mean(), rel=1e-12)
    assert found.se == pytest.approx(stats.sem(values), rel=1e-12)
    assert found.ci == pytest.approx(stats.t.interval(confidence, n - 1, values.mean(), stats.sem(values)), rel=1e-9)
    assert (found.n, found.undefined) == (n, 0)


def test_a_mean_over_learners_is_that_of_their_means() -> None:
    found = mean([1, 3, 8, 4, 6], learners=[7, 7, 2, 9, 9])  # means 2, 8 and 5: s = 3, se = sqrt(3)
    assert (found.mean, found.n) == (5, 3)
    assert found.se == pytest.approx(math.sqrt(3))
    assert found.ci == pytest.approx((5 - 4.302653 * math.sqrt(3), 5 + 4.302653 * math.sqrt(3)))  # a table of t


def test_undefined_values_are_left_out_and_counted() -> None:
    values, learners = [1.0, math.nan, 3.0, math.nan, 5.0], [0, 0, 1, 2, 1]
    assert mean(values) == Statistic(3.0, *_se_and_ci([1.0, 3.0, 5.0]), 3, undefined=2)
    by_learner = mean(values, learners)  # learner 2 has no value
    assert (by_learner.mean, by_learner.n, by_learner.undefined) == (2.5, 2, 2)
    difference = paired_difference(values, [0.0, 1.0, 1.0, math.nan, math.nan])
    assert (difference.mean, difference.n, difference.undefined) == (1.5, 2, 3)
    resampled = bootstrap(values, learners)
    assert (resampled.mean, resampled.n, resampled.undefined) == (3.0, 2, 2)


def _se_and_ci(values: list[float]) -> tuple[float, tuple[float, float]]:
    found = mean(values)
    return found.se, found.ci


@pytest.mark.parametrize("values", [[2.0], [2.0, math.nan], [2.0, 4.0]])
def test_one_unit_has_no_standard_error(values: list[float]) -> None:
    learners = [5] * len(values)
    for found in (
        mean(values, learners),
        bootstrap(values, learners),
        paired_difference(values, [0] * len(values), learners),
    ):
        assert math.isnan(found.se) and math.isnan(found.ci[0]) and math.isnan(found.ci[1])
        assert (found.mean, found.n) == (np.nanmean(values), 1)
        content = found.to_dict()
        assert (content["se"], content["ci"], content.get("p")) == (None, None, None)
        json.dumps(content, allow_nan=False)


def test_no_defined_value_is_a_statistic_of_no_units() -> None:
    for found in (mean([math.nan]), bootstrap([math.nan] * 2), paired_difference([math.nan], [1.0])):
        assert (found.n, math.isnan(found.mean)) == (0, True)
        assert found.undefined > 0
        assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["mean"] is None


def test_a_statistic_in_json_has_four_keys() -> None:
    values = [1.0, 2.0, 4.0]
    for found in (mean(values), bootstrap(values), wilson(1, 3)):
        content = json.loads(json.dumps(found.to_dict(), allow_nan=False))
        assert list(content) == ["mean", "se", "ci", "n"]
        assert content["ci"] == list(found.ci)
    assert list(paired_difference(values, [0, 0, 0]).to_dict()) == ["mean", "se", "ci", "n", "p"]


@pytest.mark.parametrize("n", [2, 3, 17, 1000])
def test_a_paired_difference_equals_that_of_scipy(n: int) -> None:
    random = np.random.default_rng(n)
    a, b = random.normal(0.2, 1, n), random.normal(0, 2, n)
    found, theirs = paired_difference(a, b, confidence=0.9), stats.ttest_rel(a, b)
    assert found.p == pytest.approx(theirs.pvalue, rel=1e-10)
    interval = theirs.confidence_interval(0.9)
    assert found.ci == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert found.mean == pytest.approx((a - b).mean(), rel=1e-9)
    assert -paired_difference(b, a).mean == pytest.approx(found.mean, rel=1e-12)


def test_a_paired_difference_over_learners_equals_that_of_scipy() -> None:
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, 30, 4))
    found = paired_difference(a.ravel(), b.ravel(), np.repeat(np.arange(30), 4))
    assert found.p == pytest.approx(stats.ttest_rel(a.mean(axis=1), b.mean(axis=1)).pvalue, rel=1e-10)
    assert found.n == 30


def test_students_own_example_of_a_paired_difference() -> None:
    """Hours of sleep gained by ten patients with two drugs (Student 1908): t = -4.0621, p = 0.002833, as R prints."""
    first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    found = paired_difference(first, second)
    assert found.mean == pytest.approx(-1.58)
    assert found.mean / found.se == pytest.approx(-4.0621, abs=5e-5)
    assert found.p == pytest.approx(0.002833, abs=5e-7)
    assert found.ci == pytest.approx((-2.4598858, -0.7001142), abs=5e-8)


def test_equal_differences_have_a_standard_error_of_0() -> None:
    assert paired_difference([1.5, 2.5], [1.5, 2.5]) == PairedDifference(0.0, 0.0, (0.0, 0.0), 2, 0, p=1.0)
    assert paired_difference([1.5, 2.5], [1.0, 2.0]) == PairedDifference(0.5, 0.0, (0.5, 0.5), 2, 0, p=0.5)
    assert paired_difference([1.0, 2.0], [1.5, 2.5]).p == 0.5


def test_the_p_value_of_equal_differences_is_that_of_the_sign_test() -> None:
    for n in (2, 3, 6, 30, 3000):
        expected = stats.binomtest(n, n).pvalue
        assert paired_difference(np.ones(n), np.zeros(n)).p == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_equal_policies_with_a_discrete_metric_are_seldom_found_different(n: int) -> None:
    """Enumerate all outcomes of two independent shares of 1/2: the probability of p <= .05 is at most .05."""
    outcomes = [np.array(cells) for cells in itertools.product((0.0, 1.0), repeat=2 * n)]
    false = [paired_difference(cells[:n], cells[n:]).p <= 0.05 for cells in outcomes]
    assert np.mean(false) <= 0.05


@pytest.mark.parametrize(("df", "rel"), [(1, 1e-9), (2, 1e-10), (3, 1e-10), (29, 1e-10), (10**4, 1e-10), (10**7, 1e-7)])
def test_probabilities_of_students_t_equal_those_of_scipy(df: int, rel: float) -> None:
    for t in (0.0, 1e-200, 1e-3, 0.5, 1.0, 1.4, 1.5, 2.0, 3.0, 9.0, 30.0, 1e4):
        assert two_sided_p(t, df) == two_sided_p(-t, df) == pytest.approx(2 * stats.t.sf(t, df), rel=rel, abs=1e-300)
    assert two_sided_p(math.inf, df) == 0.0


@pytest.mark.parametrize("df", [1, 4, 99])
def test_probabilities_and_quantiles_are_inverse(df: int) -> None:
    for p in (0.9, 0.5, 0.05, 0.001):
        assert two_sided_p(t_quantile(1 - p / 2, df), df) == pytest.approx(p, rel=1e-9)


# ── shares and multiple tests ────────────────────────────────────────────────────────────────────


def test_holm_and_wilson_equal_statsmodels(published: Path) -> None:
    expected = json.loads((published / "evaluation/power_and_multiplicity.json").read_text(encoding="utf-8"))
    assert holm(expected["p"]).tolist() == pytest.approx(expected["holm"], abs=1e-12)
    given_share = expected["wilson"]
    assert wilson(given_share["k"], given_share["n"]).ci == pytest.approx(given_share["ci"], abs=1e-12)


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.999])
@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 9), (9, 9), (3, 40), (20, 40), (999_999, 10**6)])
def test_wilson_equals_scipy(k: int, n: int, confidence: float) -> None:
    found = wilson(k, n, confidence)
    theirs = stats.binomtest(k, n).proportion_ci(confidence, method="wilson")
    assert found.ci == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert found.ci[0] <= found.mean <= found.ci[1]
    assert (found.mean, found.n) == (k / n, n)
    assert math.isnan(found.se) if n == 1 else found.se == pytest.approx(math.sqrt(k * (n - k) / n**3))


def test_wilson_covers_as_its_exact_coverage_says() -> None:
    """20,000 samples of n = 25 with p = 0.1, seed 3: the binomial sum is 0.9667; false alarm 1e-6."""
    n, p, samples = 25, 0.1, 20_000
    covers = np.array([(low <= p <= high) for low, high in (wilson(k, n).ci for k in range(n + 1))])
    exact = float(stats.binom.pmf(np.arange(n + 1), n, p)[covers].sum())
    assert exact == pytest.approx(0.9667, abs=1e-4)
    found = covers[np.random.default_rng(3).binomial(n, p, samples)].mean()
    assert abs(found - exact) < z_of(FALSE_ALARM) * math.sqrt(exact * (1 - exact) / samples) + 1 / samples


def test_shares_of_flags_are_wilsons_or_means_by_unit() -> None:
    flags = np.array([True, False, False, True, True])
    assert share(flags) == wilson(3, 5)
    units = np.array([0, 0, 1, 1, 1])
    assert share(flags, units) == estimate(flags.astype(float), units)


def closed_testing(p: list[float]) -> list[float]:
    """Adjusted p-values by the closure of Bonferroni's test, over all 2^M intersections of hypotheses."""
    subsets = [s for size in range(1, len(p) + 1) for s in itertools.combinations(range(len(p)), size)]
    return [max(min(1.0, len(s) * min(p[j] for j in s)) for s in subsets if i in s) for i in range(len(p))]


@given(st.lists(st.floats(0, 1) | st.sampled_from([0.0, 0.01, 0.05, 1.0]), min_size=1, max_size=7))
def test_holm_equals_closed_testing(p: list[float]) -> None:
    assert holm(p).tolist() == pytest.approx(closed_testing(p), rel=1e-12)


def test_an_example_of_holm_by_hand() -> None:
    """4 x 0.005, 3 x 0.01, 2 x 0.03, and 0.04, which may not be below its predecessor."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@pytest.mark.ci
def test_holm_bounds_the_probability_of_any_false_rejection() -> None:
    """20,000 families of 5 true hypotheses, correlated, seed 4; at most 5 %, up to a false alarm of 1e-6."""
    random, families = np.random.default_rng(4), 20_000
    z = 0.7 * random.normal(size=(families, 1)) + math.sqrt(0.51) * random.normal(size=(families, 5))
    p = 2 * stats.norm.sf(np.abs(z))
    any_rejected = np.mean([holm(row).min() <= 0.05 for row in p])
    assert any_rejected < 0.05 + z_of(FALSE_ALARM) * math.sqrt(0.05 * 0.95 / families)
    assert np.mean(p.min(axis=1) <= 0.05) > 0.1  # without a correction


# ── the bootstrap ────────────────────────────────────────────────────────────────────────────────

VALUES = np.random.default_rng(5).exponential(size=23)
LEARNERS = np.array([4, 4, 4, 4, 4, 9, 9, 1, 1, 1, 1, 3, 3, 3, 3, 3, 3, 3, 0, 0, 2**31, 2**31, 6])


def twin(values: Any, learners: Any, statistic: Callable[[list[float]], float], draws: int, seed: int) -> list[float]:
    """Replicates in plain Python, from the random numbers of the oracle."""
    names = sorted(set(learners.tolist()))
    groups = [[v for v, own in zip(values.tolist(), learners.tolist(), strict=True) if own == name] for name in names]
    found = []
    for d in range(draws):
        sample: list[float] = []
        for position in range(len(names)):
            counter = (position // 4, d, 0, int(Purpose.BOOTSTRAP))
            word = oracle.philox4x32(counter, (seed % 2**32, seed // 2**32))[position % 4]
            sample += groups[word * len(names) // 2**32]
        found.append(statistic(sample))
    return found


@pytest.mark.parametrize("statistic", ["mean", np.mean, np.median, np.ptp], ids=["mean", "np.mean", "median", "range"])
def test_the_bootstrap_equals_its_twin(statistic: Any) -> None:
    function = np.mean if statistic == "mean" else lambda sample: statistic(np.array(sample))
    expected = np.array(twin(VALUES, LEARNERS, function, 60, 2**40 + 7))
    found = bootstrap(VALUES, LEARNERS, statistic=statistic, draws=60, seed=2**40 + 7, confidence=0.8)
    assert found.mean == pytest.approx(function(VALUES), rel=1e-12)
    assert found.se == pytest.approx(np.std(expected, ddof=1), rel=1e-9)
    assert found.ci == pytest.approx(np.quantile(expected, (0.1, 0.9)), rel=1e-9)
    assert found.n == 7


def test_draws_have_counters_that_are_never_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, ...]] = []

    def recording(step: Any, episode: Any, learner: Any, purpose: Any, key: Any, words: Any) -> None:
        seen.extend(zip(step.tolist(), episode.tolist(), learner.tolist(), [int(purpose)] * len(step), strict=True))
        words[:] = 0

    monkeypatch.setattr("alsim.numerics.philox.random_words", recording)
    assert sum(len(block) for block in drawn_units(9, 50, 0)) == 50
    assert len(seen) == len(set(seen)) == 50 * 3
    assert {counter[3] for counter in seen} == {Purpose.BOOTSTRAP}


@pytest.mark.parametrize("statistic", ["mean", np.median])
@pytest.mark.parametrize("words", [1, 100])
def test_results_do_not_depend_on_the_block_of_draws(
    statistic: Any, words: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = bootstrap(VALUES, LEARNERS, statistic=statistic, draws=123, seed=1)
    monkeypatch.setattr(resampling, "WORDS_PER_BLOCK", words)
    assert bootstrap(VALUES, LEARNERS, statistic=statistic, draws=123, seed=1) == found


def test_the_bootstrap_is_reproducible_to_the_bit() -> None:
    """The mean of integers and their shares are exact in any order: the draws are fixed by the oracle's words."""
    learners, values = np.arange(8), 2.0 ** np.arange(8)
    found = bootstrap(values, learners, draws=40, seed=3)
    expected = np.array(twin(values, learners, lambda sample: float(Fraction(sum(map(int, sample)), 8)), 40, 3))
    assert found == bootstrap(values, learners, draws=40, seed=3)
    assert found.ci == tuple(np.quantile(expected, ((1 - 0.95) / 2, (1 + 0.95) / 2)).tolist())
    assert found != bootstrap(values, learners, draws=40, seed=4)


def test_draws_do_not_depend_on_their_number() -> None:
    few, many = (np.concatenate([*drawn_units(5, draws, 11)]) for draws in (7, 300))
    assert np.array_equal(many[:7], few)


def test_a_draw_has_the_distribution_of_resampling() -> None:
    """Of 3 learners, all 27 ordered draws are equally likely: 5,400 draws, seed 8, chi-squared, false alarm 1e-6."""
    drawn = Counter(tuple(row) for block in drawn_units(3, 5400, 8) for row in block.tolist())
    assert len(drawn) == 27
    assert stats.chisquare([*drawn.values()]).pvalue > FALSE_ALARM


def test_equal_values_have_an_interval_of_no_width() -> None:
    found = bootstrap(np.full(9, 0.1), np.arange(9) // 2)
    assert found == Statistic(0.1, 0.0, (0.1, 0.1), 5)


@pytest.mark.heavy
@pytest.mark.parametrize("statistic", ["mean", np.median])
def test_the_bootstrap_agrees_with_that_of_scipy(statistic: Any) -> None:
    """n = 50, 4,000 draws on both sides, seeds 1 and 2. The standard errors differ by chance only: sd(se)/se is 1.6 %
    for the mean and, with heavier tails, below 3 % for the median; 6 sd of the difference is 20 % at most."""
    values = np.random.default_rng(6).exponential(size=50)
    function = np.mean if statistic == "mean" else statistic
    theirs = stats.bootstrap((values,), function, n_resamples=4000, method="percentile", rng=np.random.default_rng(2))
    found = bootstrap(values, statistic=statistic, draws=4000, seed=1)
    assert found.se == pytest.approx(theirs.standard_error, rel=0.2)
    assert found.ci == pytest.approx(tuple(theirs.confidence_interval), abs=0.35 * found.se)


@pytest.mark.compiled
def test_the_standard_error_of_a_mean_is_that_of_all_resamples() -> None:
    """Exactly, it is s / n^(1/2) with n instead of n - 1. 20,000 draws, seed 2: chi-squared bounds, false alarm 1e-6,
    widened by 10 % since means of 30 exponential values are not quite normal."""
    values = np.random.default_rng(7).exponential(size=30)
    exact = values.std() / math.sqrt(30)
    ratio = (bootstrap(values, draws=20_000, seed=2).se / exact) ** 2
    low, high = (stats.chi2.ppf(p, 19_999) / 19_999 for p in (FALSE_ALARM / 2, 1 - FALSE_ALARM / 2))
    assert 1 - 1.1 * (1 - low) < ratio < 1 + 1.1 * (high - 1)


@pytest.mark.ci
@pytest.mark.compiled
def test_intervals_by_learner_cover_and_those_by_episode_do_not() -> None:
    """1,500 data sets of 30 learners with 5 episodes each, half of the variance between learners, seed 9.

    Coverage of the truth 0, with a false alarm of 1e-6 per bound: that of t is 0.95 exactly; that of the bootstrap is
    P(|t(29)| < 1.96 sqrt(29 / 30)) = 0.936, and 0.005 is allowed for its 400 draws. By episode, it is about 0.74.
    """
    random, samples = np.random.default_rng(9), 1500
    learners = np.repeat(np.arange(30), 5)
    covered = np.zeros(3)
    for k in range(samples):
        values = random.normal(size=30)[learners] + random.normal(size=150)
        found = (
            mean(values, learners),
            bootstrap(values, learners, draws=400, seed=k),
            bootstrap(values, draws=400, seed=k),
        )
        covered += [low <= 0 <= high for low, high in (one.ci for one in found)]
    by_t, by_learner, by_episode = covered / samples
    width = z_of(FALSE_ALARM) * math.sqrt(0.95 * 0.05 / samples)
    assert abs(by_t - 0.95) < width
    expected = 1 - 2 * stats.t.sf(1.959964 * math.sqrt(29 / 30), 29)
    assert expected == pytest.approx(0.936, abs=5e-4)
    assert abs(by_learner - expected) < z_of(FALSE_ALARM) * math.sqrt(expected * (1 - expected) / samples) + 0.005
    assert by_episode < 0.85


@pytest.mark.compiled
def test_the_memory_of_a_bootstrap_is_bounded() -> None:
    values = np.random.default_rng(0).normal(size=20_000)
    bootstrap(values[:8])
    tracemalloc.start()
    bootstrap(values, draws=500)  # 10 million random units
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 120e6


@pytest.mark.ci
def test_statistics_need_numpy_only() -> None:
    """All but the bootstrap do without numba, which itself loads SciPy if it is installed."""
    code = (
        "import sys; sys.modules['scipy'] = None; import alsim.evaluation as e\n"
        "e.mean([1.0, 2.0]); e.paired_difference([1, 2], [0, 3]); e.holm([0.1]); e.wilson(1, 2)\n"
        "print(*(m for m in ('numba', 'pandas', 'pyarrow', 'pydantic') if m in sys.modules))\n"
        "e.bootstrap([1.0, 2.0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.split() == []


# ── invalid input ────────────────────────────────────────────────────────────────────────────────

WRONG: list[tuple[Callable[[], object], str]] = [
    (lambda: mean([]), r"values must have shape \(K,\), K at least 1; got shape \(0,\): pass one row of values"),
    (lambda: mean([[1.0, 2.0]]), r"values must have shape \(K,\), K at least 1; got shape \(1, 2\): pass one row"),
    (lambda: mean(3.0), r"values must have shape \(K,\), K at least 1; got shape \(\): pass one row of values"),
    (lambda: mean([[1.0], [1.0, 2.0]]), "values must be an array of numbers: .*; pass one row of values"),
    (
        lambda: mean([1.0, math.inf]),
        "values must be finite numbers up to 1e.150; got inf at index 1: use NaN for undef",
    ),
    (lambda: mean([1e200, 1.0]), "values must be finite numbers up to 1e.150; got 1e.200 at index 0: use NaN"),
    (lambda: mean(["1", "2"]), "values must be numbers; got strings: convert them, with NaN for undefined ones"),
    (lambda: mean([1.0, None]), "values must be numbers; got objects: convert them"),
    (lambda: mean([1j]), "values must be numbers; got complex numbers: convert them"),
    (lambda: mean([True, False]), r"values must be numbers; got booleans: use wilson\(k, n\) for a share, or convert"),
    (
        lambda: mean([1.0, 2.0], [1]),
        r"learners must have shape \(2,\), that of the values; got \(1,\): pass the learner",
    ),
    (
        lambda: mean([1.0, 2.0], [0.0, 1.0]),
        "learners must be integers; got floats: pass numbers of learners or classes",
    ),
    (lambda: mean([1.0, 2.0], ["a", "b"]), "learners must be integers; got strings: pass numbers of learners or clas"),
    (lambda: mean([1.0, 2.0], [True, False]), "learners must be integers; got booleans: pass numbers of learners"),
    (lambda: mean([1.0], confidence=1.0), r"confidence must be a number in \(0, 1\); got 1.0: use 0.95 for 95 %"),
    (lambda: mean([1.0], confidence=0), r"confidence must be a number in \(0, 1\); got 0: use 0.95 for 95 %"),
    (lambda: mean([1.0], confidence=95), r"confidence must be a number in \(0, 1\); got 95: use 0.95 for 95 %"),
    (lambda: mean([1.0], confidence=math.nan), r"confidence must be a number in \(0, 1\); got nan: use 0.95 for 95 %"),
    (lambda: mean([1.0], confidence="95%"), r"confidence must be a number in \(0, 1\); got '95%': use 0.95 for 95 %"),  # type: ignore[arg-type]  # the mistake
    (lambda: mean([1.0], confidence=True), r"confidence must be a number in \(0, 1\); got True: use 0.95 for 95 %"),
    (
        lambda: paired_difference([1.0], [1.0, 2.0]),
        "a and b must have the same length; got 1 and 2: pass the values of",
    ),
    (lambda: paired_difference([1.0], []), r"b must have shape \(K,\), K at least 1; got shape \(0,\)"),
    (lambda: paired_difference(["x"], [1.0]), "a must be numbers; got strings"),
    (lambda: holm([]), r"p must have shape \(K,\), K at least 1; got shape \(0,\)"),
    (lambda: holm([0.5, 1.2]), r"p must be probabilities in \[0, 1\]; got 1.2 at index 1: leave out tests without"),
    (lambda: holm([-0.1]), r"p must be probabilities in \[0, 1\]; got -0.1 at index 0: leave out tests without a"),
    (lambda: holm([0.1, math.nan]), r"p must be probabilities in \[0, 1\]; got nan at index 1: leave out tests"),
    (lambda: holm(["0.1"]), "p must be numbers; got strings"),
    (lambda: holm([True]), "p must be numbers; got booleans"),
    (lambda: wilson(5, 4), "k must be an integer from 0 to 4; got 5: pass the number of events among the 4 trials"),
    (lambda: wilson(-1, 4), "k must be an integer from 0 to 4; got -1: pass the number of events among the 4 trials"),
    (lambda: wilson(0, 0), "n must be an integer from 1 to 9007199254740992; got 0: pass the number of trials"),
    (lambda: wilson(1.0, 4), "k must be an integer; got 1.0: pass the number of events among the 4 trials"),  # type: ignore[arg-type]  # the mistake
    (lambda: wilson(True, 4), "k must be an integer; got True: pass the number of events among the 4 trials"),
    (lambda: wilson("1", 4), "k must be an integer; got '1': pass the number of events among the 4 trials"),  # type: ignore[arg-type]  # the mistake
    (lambda: wilson(1, math.nan), "n must be an integer; got nan: pass the number of trials"),  # type: ignore[arg-type]  # the mistake
    (lambda: wilson(1, 4, 1.5), r"confidence must be a number in \(0, 1\); got 1.5: use 0.95 for 95 %"),
    (lambda: bootstrap([1.0, 2.0], [1]), r"learners must have shape \(2,\), that of the values; got \(1,\)"),
    (
        lambda: bootstrap([1.0, 2.0], draws=39),
        "draws must be an integer from 40 to 4294967295; got 39: at least 40 draw",
    ),
    (lambda: bootstrap([1.0, 2.0], draws=40.0), "draws must be an integer; got 40.0: at least 40 draws give the two"),  # type: ignore[arg-type]  # the mistake
    (
        lambda: bootstrap([1.0, 2.0], seed=-1),
        "seed must be an integer from 0 to 18446744073709551615; got -1: pass anoth",
    ),
    (lambda: bootstrap([1.0, 2.0], seed=None), "seed must be an integer; got None: pass another seed"),  # type: ignore[arg-type]  # the mistake
    (lambda: bootstrap([1.0, 2.0], statistic="median"), "statistic must be 'mean' or a function; got 'median': pass a"),  # type: ignore[arg-type]  # the mistake
    (lambda: bootstrap([1.0, 2.0], statistic=3), "statistic must be 'mean' or a function; got 3: pass a function"),  # type: ignore[arg-type]  # the mistake
    (
        lambda: bootstrap([1.0, 2.0, 2.0], statistic=lambda v: math.nan if len(set(v.tolist())) == 1 else 0.0),
        "statistic must return a finite number; got nan for 3 values: use a statistic that is defined for every sample",
    ),
    (
        lambda: bootstrap([1.0, 2.0], statistic=lambda v: v),
        r"statistic must return a finite number; got \[1. 2.\] for 2",
    ),  # type: ignore[arg-type, return-value]  # the mistake
]


@pytest.mark.parametrize(("call", "message"), WRONG, ids=range(len(WRONG)))
def test_invalid_input_is_refused_in_one_sentence(call: Callable[[], object], message: str) -> None:
    with pytest.raises(AlsimError, match=f"^{message}") as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text and not text.endswith(".") and (": " in text or "; " in text)


def test_invalid_types_are_type_errors() -> None:
    for call in (lambda: mean(["1"]), lambda: wilson(True, 4), lambda: mean([1.0], confidence=True)):
        with pytest.raises(TypeError):
            call()
