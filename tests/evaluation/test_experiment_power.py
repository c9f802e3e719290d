"""Power, sample sizes, multiple tests and intra-class correlation, compared with statsmodels and simulation."""

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.multitest import multipletests

from alsim.errors import AlsimError
from alsim.evaluation import holm, wilson
from alsim.evaluation.experiments import (
    Moments,
    benjamini_hochberg,
    compare_shares,
    design_effect,
    intraclass_correlation,
    minimum_effect,
    minimum_effect_of_shares,
    power_of_means,
    power_of_shares,
    sample_size_of_means,
    sample_size_of_shares,
)
from alsim.evaluation.experiments.arms import difference, independent_arms
from alsim.evaluation.experiments.clusters import ClusterSums, clustered_arms
from alsim.jit.compile import COMPILED

TOLERANCE = 1e-6
RUNS = 20_000 if COMPILED else 1000


@pytest.fixture(scope="module")
def known(published: Path) -> Any:
    return json.loads((published / "evaluation/power_and_multiplicity.json").read_text(encoding="utf-8"))


def test_the_power_of_means_is_the_published_one(known: Any) -> None:
    n, power = known["t_test_n"], known["t_test_power"]
    arguments = {"power": n["power"], "ratio": n["ratio"], "confidence": 1 - n["alpha"]}
    # Relative: the solver of statsmodels 0.14 stops 6e-6 students away from that of 0.15.
    assert sample_size_of_means(3 * n["effect"], 3.0, **arguments) == pytest.approx(n["n1"], rel=TOLERANCE)
    found = power_of_means(-power["effect"], 1.0, power["n1"], ratio=power["ratio"], confidence=1 - power["alpha"])
    assert found == pytest.approx(power["power"], abs=TOLERANCE)


def test_the_sample_size_of_shares_is_the_published_one(known: Any) -> None:
    case = known["proportions_n"]
    n = sample_size_of_shares(case["p1"], case["p2"], power=case["power"], confidence=1 - case["alpha"])
    assert n == pytest.approx(case["n"], abs=TOLERANCE)
    # n = 2 (z of the level + z of the power)^2 / h^2, so that the file also has the effect size.
    z = stats.norm.isf(case["alpha"] / 2) + stats.norm.isf(1 - case["power"])
    assert 2 * z**2 / n == pytest.approx(case["h"] ** 2, rel=1e-4)


def test_adjusted_p_values_are_the_published_ones(known: Any) -> None:
    assert benjamini_hochberg(known["p"]) == pytest.approx(known["fdr_bh"], abs=TOLERANCE)
    assert holm(known["p"]) == pytest.approx(known["holm"], abs=TOLERANCE)
    case = known["wilson"]
    assert wilson(case["k"], case["n"]).ci == pytest.approx(tuple(case["ci"]), abs=TOLERANCE)


def test_the_design_effect_is_the_published_one(known: Any) -> None:
    case = known["cluster_design_effect"]
    assert design_effect(case["m"], case["icc"]) == pytest.approx(case["value"], abs=TOLERANCE)


def test_false_discovery_rates_are_those_of_statsmodels() -> None:
    rng = np.random.default_rng(0)
    for size in (1, 2, 7, 40):
        p = np.round(rng.random(size) ** 3, 2)  # with ties, and zeros
        assert benjamini_hochberg(p) == pytest.approx(multipletests(p, method="fdr_bh")[1], abs=1e-12)
    assert benjamini_hochberg([0.03]).tolist() == [0.03]


# ── power ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("ratio", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("confidence", [0.9, 0.99])
def test_size_power_and_effect_are_inverse(ratio: float, confidence: float) -> None:
    options = {"ratio": ratio, "confidence": confidence}
    n = sample_size_of_means(0.4, 1.7, power=0.7, **options)
    assert power_of_means(0.4, 1.7, n, **options) == pytest.approx(0.7, abs=1e-6)
    assert minimum_effect(n, 1.7, power=0.7, **options) == pytest.approx(0.4, abs=1e-6)
    n = sample_size_of_shares(0.3, 0.22, power=0.7, **options)
    assert power_of_shares(0.3, 0.22, n, **options) == pytest.approx(0.7, abs=1e-6)
    n = sample_size_of_shares(0.3, 0.38, power=0.7, **options)
    assert minimum_effect_of_shares(n, 0.3, power=0.7, **options) == pytest.approx(0.08, abs=1e-6)


@pytest.mark.parametrize(("n", "ratio"), [(2, 1.0), (3, 1.0), (10, 0.5), (10**6, 1.0), (5, 100.0)])
def test_extreme_sizes(n: int, ratio: float) -> None:
    effect = minimum_effect(n, 2.0, ratio=ratio)
    assert power_of_means(effect, 2.0, n, ratio=ratio) == pytest.approx(0.8, abs=1e-5)
    assert sample_size_of_means(effect, 2.0, ratio=ratio) == pytest.approx(n, rel=1e-3)


@pytest.mark.parametrize("power", [0.3, 0.999])
@pytest.mark.parametrize("confidence", [0.5, 0.999999])
@pytest.mark.parametrize("effect", [0.001, 0.1, 1, 6])
def test_sample_sizes_have_the_power_where_the_solver_of_statsmodels_fails(
    effect: float, confidence: float, power: float
) -> None:
    if power <= 1 - confidence:
        return
    n = sample_size_of_means(effect, 1, power=power, confidence=confidence)
    reached = power_of_means(effect, 1, n, confidence=confidence)
    assert reached == pytest.approx(power, abs=1e-6) or (n == 2 and reached > power)


def test_large_and_small_effects() -> None:
    assert sample_size_of_means(50, 1) == 2
    assert sample_size_of_means(50, 1, ratio=0.5) == 4
    assert sample_size_of_shares(0, 1) == 2
    assert sample_size_of_means(1e-4, 1) == pytest.approx(
        2 * (stats.norm.isf(0.025) + stats.norm.isf(0.2)) ** 2 * 1e8, rel=1e-5
    )
    assert power_of_means(0, 1, 100) == pytest.approx(0.05)
    assert power_of_shares(0.3, 0.3, 100) == pytest.approx(0.05)


def test_the_power_of_means_is_that_of_simulated_experiments() -> None:
    """20,000 experiments of 40 and 60 students, seed 0: within 4.5 standard errors; false alarm 1e-5."""
    rng = np.random.default_rng(0)
    c, t = Moments.of(rng.normal(0, 2, (RUNS, 40))), Moments.of(rng.normal(1.1, 2, (RUNS, 60)))
    found = (difference(independent_arms(c, t)).p <= 0.05).mean()
    power = power_of_means(1.1, 2, 40, ratio=1.5)
    assert 0.6 < power < 0.85
    assert abs(found - power) < 4.5 * math.sqrt(power * (1 - power) / RUNS)


def test_the_power_of_shares_is_that_of_simulated_experiments() -> None:
    """2,000 experiments of 2 x 475 students, seed 1: .9 within .03, 4.5 standard errors; false alarm 1e-5."""
    rng, runs = np.random.default_rng(1), 2000 if COMPILED else 500
    k_c, k_t = rng.binomial(475, 0.3, runs).tolist(), rng.binomial(475, 0.4, runs).tolist()
    found = np.mean([compare_shares(a, 475, b, 475).p <= 0.05 for a, b in zip(k_c, k_t, strict=True)])
    assert abs(found - power_of_shares(0.3, 0.4, 475)) < 4.5 * math.sqrt(0.9 * 0.1 / runs)


def test_the_design_effect_is_the_inflation_of_the_variance() -> None:
    """20,000 samples, seed 2: classes of equal and of unequal sizes; within 5 %, 5 standard errors of a variance."""
    rng = np.random.default_rng(2)
    for sizes in ([25] * 8, [10, 40, 10, 40, 25, 25, 5, 45]):
        n, between = sum(sizes), rng.normal(size=(RUNS, len(sizes))) * math.sqrt(0.08)
        means = (between @ sizes) / n + rng.normal(size=RUNS) * math.sqrt(0.92 / n)
        variation = float(np.std(sizes) / np.mean(sizes))
        factor = design_effect(float(np.mean(sizes)), 0.08, variation=variation)
        assert means.var() * n == pytest.approx(factor, rel=0.05 if COMPILED else 0.25)


@pytest.mark.parametrize(
    ("classes", "robust", "by_means"), [(3, 0.081, 0.035), (6, 0.064, 0.048), (20, 0.053, 0.049), (60, 0.051, 0.050)]
)
def test_false_alarms_of_few_classes(classes: int, robust: float, by_means: float) -> None:
    """20,000 A/A experiments, seed 3: the rates of the page, from 200,000, within .009; false alarm 1e-5 each."""
    rng = np.random.default_rng(3)
    means = rng.normal(size=(2, RUNS, classes)) * 20
    none = np.zeros((RUNS, classes))
    c = ClusterSums(np.concatenate([none + 20, none], 1), np.concatenate([means[0], none], 1))
    t = ClusterSums(np.concatenate([none, none + 20], 1), np.concatenate([none, means[1]], 1))
    found = [difference(arms).p for arms in (clustered_arms(c, t), independent_arms(*map(Moments.of, means)))]
    rates = [float((p <= 0.05).mean()) for p in found]
    assert rates == pytest.approx([robust, by_means], abs=0.009 * math.sqrt(20_000 / RUNS))


# ── intra-class correlation ──────────────────────────────────────────────────────────────────────


def test_the_intra_class_correlation_is_that_of_the_analysis_of_variance() -> None:
    rng = np.random.default_rng(0)
    for sizes in (rng.integers(1, 9, 12), np.full(5, 4)):
        label = np.repeat(np.arange(len(sizes)), sizes)
        y = 10 + rng.normal(size=len(sizes))[label] + rng.normal(size=len(label))
        table = anova_lm(smf.ols("y ~ C(g)", pd.DataFrame({"y": y, "g": label})).fit())
        between, within = table["mean_sq"]
        m = (sizes.sum() - (sizes**2).sum() / sizes.sum()) / (len(sizes) - 1)
        expected = (between - within) / (between + (m - 1) * within)
        assert intraclass_correlation(y, label) == pytest.approx(expected, rel=1e-9)
        names = [f"class {one}" for one in label]
        assert intraclass_correlation(y - 1e6, names) == pytest.approx(expected, rel=1e-6)


def test_the_intra_class_correlation_has_the_expected_value() -> None:
    """400 samples of 30 classes of 20, seed 1: the mean is within .01 of the truth, 4 standard errors."""
    rng = np.random.default_rng(1)
    label = np.repeat(np.arange(30), 20)
    for icc in (0.0, 0.1, 0.3):
        noise = rng.normal(size=(400, 600)) * math.sqrt(1 - icc)
        values = noise + rng.normal(size=(400, 30))[:, label] * math.sqrt(icc)
        assert np.mean([intraclass_correlation(y, label) for y in values]) == pytest.approx(icc, abs=0.012)


def test_extreme_intra_class_correlations() -> None:
    assert intraclass_correlation([1, 1, 2, 2], [0, 0, 1, 1]) == 1
    assert intraclass_correlation([1, 2, 1, 2], [0, 0, 1, 1]) == -1


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "statsmodels", None)
    for name in [one for one in sys.modules if one.startswith("statsmodels.")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(AlsimError, match=r"needs statsmodels.*evaluation"):
        power_of_means(1, 1, 100)


WRONG: list[tuple[Any, str]] = [
    (lambda: power_of_means(1, 0, 100), "sd must be positive; got 0"),
    (lambda: power_of_means(math.nan, 1, 100), "difference must be a finite number"),
    (lambda: power_of_means(1, 1, 1), "n must be at least 2"),
    (lambda: power_of_means(1, 1, 10, ratio=0.1), "n must be at least 2, and n times ratio, too; got 10 and 1"),
    (lambda: power_of_means(1, 1, 10, ratio=-1), "ratio must be positive; got -1"),
    (lambda: power_of_means(1, 1, 10, confidence=1), "confidence must be"),
    (lambda: sample_size_of_means(0, 1), "difference must not be 0"),
    (lambda: sample_size_of_means(1, 1, power=1), "power must be above 0.05, the false alarms, and below 1; got 1"),
    (lambda: sample_size_of_means(1, 1, power=0.04), "power must be above 0.05"),
    (lambda: sample_size_of_shares(0.3, 0.3), "must not be 0"),
    (lambda: sample_size_of_means(1e-9, 1), "more than 1e.15 students would be needed"),
    (lambda: sample_size_of_shares(0.3, 40), r"treatment must be in \[0, 1\]; got 40"),
    (lambda: power_of_shares("a", 0.3, 9), "control must be a number"),  # type: ignore[arg-type]
    (lambda: minimum_effect_of_shares(5, 0.9), "n must be large enough to find an increase from 0.9 to 1; got 5"),
    (lambda: minimum_effect(1, 1), "n must be at least 2, and n times ratio, too; got 1 and 1"),
    (lambda: design_effect(0.5, 0.1), "size must be at least 1; got 0.5"),
    (lambda: design_effect(25, -0.1), r"icc must be in \[0, 1\]; got -0.1: use 0"),
    (lambda: design_effect(25, 0.1, variation=-1), "variation must be at least 0"),
    (lambda: benjamini_hochberg([0.1, math.nan]), r"p must be probabilities in \[0, 1\]; got nan"),
    (lambda: benjamini_hochberg([1.1]), "p must be probabilities"),
    (lambda: intraclass_correlation([1, 2, 3], [1, 1, 1]), "clusters must be at least 2, .* got 1 of 3 values"),
    (lambda: intraclass_correlation([1, 2, 3], [1, 2, 3]), "clusters must be at least 2, .* got 3 of 3 values"),
    (lambda: intraclass_correlation([1, 2, 3], [1, 2]), "clusters must have one label per value, 3"),
    (lambda: intraclass_correlation([1, 1, 1], [1, 1, 2]), "values must vary"),
    (lambda: intraclass_correlation([1, math.nan, 1], [1, 1, 2]), "values must be finite numbers; got nan"),
]


@pytest.mark.parametrize(("call", "message"), WRONG, ids=[message for _, message in WRONG])
def test_bad_input_is_refused_in_one_sentence(call: Any, message: str) -> None:
    with pytest.raises(AlsimError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
