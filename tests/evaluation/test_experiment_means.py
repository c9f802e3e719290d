"""Tests of two arms on arrays, compared with gbstats, statsmodels and SciPy, and with brute force."""

import itertools
import json
import math
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep

import alsim
from alsim.errors import AlsimError
from alsim.evaluation.experiments import (
    Moments,
    compare_means,
    compare_ratios,
    compare_shares,
    cuped,
    relative_lift,
    sample_ratio_mismatch,
)
from alsim.evaluation.experiments.arms import Effect, difference, independent_arms, lift
from alsim.evaluation.experiments.clusters import ClusterSums, clustered_arms
from alsim.evaluation.experiments.covariates import JointMoments, adjust, pooled_theta, predictions
from alsim.evaluation.experiments.ratios import linearized
from alsim.evaluation.experiments.shares import mismatch_p
from alsim.jit.compile import COMPILED
from alsim.types import Doubles

TOLERANCE = 1e-9
CASES = ("small", "large", "proportion")


@pytest.fixture(scope="module")
def ab(published: Path) -> Any:
    return json.loads((published / "evaluation/ab_tests.json").read_text(encoding="utf-8"))


def moments_of(arm: dict[str, float]) -> Moments:
    """Return the moments of sums; without squares, those of a share, whose variance gbstats divides by n."""
    n, mean = arm["n"], arm["sum"] / arm["n"]
    squares = arm.get("sum_squares")
    variance = mean * (1 - mean) if squares is None else (squares - arm["sum"] ** 2 / n) / (n - 1)
    return Moments(*map(np.asarray, (float(n), mean, variance)))


def joint_of(case: dict[str, Any], arm: str) -> JointMoments:
    y, x = moments_of(case[arm]), moments_of(case[f"pre_{arm}"])
    covariance = (case[f"sum_post_pre_{arm}"] - y.n * y.mean * x.mean) / (y.n - 1)
    return JointMoments(*y, np.array([x.mean]), np.array([[x.variance]]), np.array([covariance]))


def arrays_of(joint: JointMoments, seed: int) -> tuple[Doubles, Doubles]:
    """Return a metric and a covariate whose sample moments are exactly these."""
    n = int(joint.n)
    drawn = np.random.default_rng(seed).normal(size=(n, 2))
    q, _ = np.linalg.qr(drawn - drawn.mean(axis=0))
    (covariance,), (variance,) = joint.covariance, joint.before_covariance[0]
    root = np.linalg.cholesky([[joint.variance, covariance], [covariance, variance]])
    y, x = root @ q.T * math.sqrt(n - 1)
    return y + joint.mean, x + joint.before_mean[0]


def check(found: Any, known: dict[str, Any], tolerance: float = TOLERANCE) -> None:
    """Assert that an effect or a result is the known one of gbstats."""
    value, ci = next(iter(found)), (found.low, found.high)
    assert value == pytest.approx(known["expected"], abs=tolerance)
    assert ci == pytest.approx(known["ci"], abs=tolerance)
    assert found.p == pytest.approx(known["p"], abs=tolerance)
    if "stddev" in known:
        assert found.se == pytest.approx(known["stddev"], abs=tolerance)


def effect(result: Any) -> Effect:
    """Return a result of one experiment as an Effect."""
    first = result.difference if hasattr(result, "difference") else result.lift
    return Effect(*map(np.float64, (first, result.se, result.df, *result.ci, result.p)))


@pytest.mark.parametrize("name", CASES)
def test_moments_give_the_answers_of_gbstats(ab: Any, name: str) -> None:
    (case,) = (one for one in ab["cases"] if one["name"] == name)
    arms = independent_arms(moments_of(case["a"]), moments_of(case["b"]))
    check(difference(arms), case["results"]["fixed_absolute"])
    check(lift(arms), case["results"]["fixed_relative"])


@pytest.mark.parametrize("name", CASES[:2])
def test_adjusted_moments_give_the_answers_of_gbstats(ab: Any, name: str) -> None:
    (case,) = (one for one in ab["cases"] if one["name"] == name)
    found = adjust(joint_of(case, "a"), joint_of(case, "b"))
    check(found.difference, case["cuped"]["fixed_absolute"])
    check(found.lift, case["cuped"]["fixed_relative"])
    plain = case["results"]["fixed_absolute"]["stddev"]
    assert found.variance_reduction == pytest.approx((plain / case["cuped"]["fixed_absolute"]["stddev"]) ** 2)


@pytest.mark.parametrize("name", CASES[:2])
def test_arrays_with_these_moments_give_the_answers_of_gbstats(ab: Any, name: str) -> None:
    (case,) = (one for one in ab["cases"] if one["name"] == name)
    (c, before_c), (t, before_t) = (arrays_of(joint_of(case, arm), k) for k, arm in enumerate("ab"))
    check(effect(compare_means(c, t)), case["results"]["fixed_absolute"])
    check(effect(relative_lift(c, t)), case["results"]["fixed_relative"])
    found = cuped(c, t, before_c, before_t)
    check(effect(found.difference), case["cuped"]["fixed_absolute"])
    assert found.lift is not None
    check(effect(found.lift), case["cuped"]["fixed_relative"])


def test_moments_give_the_published_answers_of_gbstats(ab: Any) -> None:
    for case in ab["published"]["cases"]:
        arms = independent_arms(moments_of(case["a"]), moments_of(case["b"]))
        if "absolute" in case:
            check(difference(arms), case["absolute"], 6e-6)
        check(lift(arms), case["relative"], 6e-6)


def test_sizes_of_arms_give_the_answers_of_gbstats(ab: Any) -> None:
    for case in ab["sample_ratio_mismatch"]:
        found = sample_ratio_mismatch(case["users"], case["weights"])
        assert found == pytest.approx(case["p"], rel=TOLERANCE)
        assert sample_ratio_mismatch(case["users"], [80 * w for w in case["weights"]]) == pytest.approx(found, rel=1e-9)
        both = mismatch_p(np.array([case["users"], case["users"][::-1]], float), case["weights"])
        assert both[0] == found and both.shape == (2,)
    assert sample_ratio_mismatch([50, 50], [1, 1]) == 1


# ── independent values ───────────────────────────────────────────────────────────────────────────


def sample(seed: int, n_c: int = 60, n_t: int = 45) -> tuple[Doubles, Doubles]:
    rng = np.random.default_rng(seed)
    return rng.normal(2, 1, n_c), rng.normal(2.5, 3, n_t)


def test_the_difference_is_that_of_welchs_test_in_scipy() -> None:
    for seed, (n_c, n_t), level in [(0, (60, 45), 0.95), (1, (2, 2), 0.8), (2, (3, 500), 0.99)]:
        c, t = sample(seed, n_c, n_t)
        found, twin = compare_means(c, t, confidence=level), stats.ttest_ind(t, c, equal_var=False)
        assert (found.p, found.df) == pytest.approx((twin.pvalue, twin.df), rel=1e-9)
        assert found.ci == pytest.approx(tuple(twin.confidence_interval(level)), rel=1e-9)
        assert found.difference == pytest.approx(t.mean() - c.mean(), rel=1e-12)
        assert (found.control.n, found.treatment.n, found.control.clusters) == (n_c, n_t, None)
        assert (found.control.mean, found.treatment.mean) == pytest.approx((c.mean(), t.mean()), rel=1e-12)


def test_lists_and_series_are_accepted() -> None:
    c, t = sample(3)
    assert compare_means([*c], pd.Series(t, index=np.arange(len(t)) + 7)) == compare_means(c, t)


def test_results_are_immutable_and_json() -> None:
    c, t = sample(4)
    found = compare_means(c, t)
    with pytest.raises(AttributeError):
        found.p = 0  # type: ignore[misc]  # it is frozen
    both = [found, relative_lift(c, t), cuped(c, t, c, t), compare_shares(1, 9, 2, 9), compare_ratios(c, c**2, t, t**2)]
    for one in both:
        text = json.loads(json.dumps(one.to_dict(), allow_nan=False))
        assert text
    assert found.to_dict() == {
        **{"difference": found.difference, "se": found.se, "df": found.df, "ci": [*found.ci], "p": found.p},
        **{"control": {"mean": found.control.mean, "n": 60}, "treatment": {"mean": found.treatment.mean, "n": 45}},
    }
    assert compare_shares(1, 9, 2, 9).to_dict()["df"] is None


def permutation_p(c: list[float], t: list[float]) -> float:
    """Return the two-sided p-value of all assignments of the values to the arms."""
    values = np.array([*c, *t])
    total = [
        abs(values[list(own)].mean() - np.delete(values, own).mean())
        for own in itertools.combinations(range(len(values)), len(c))
    ]
    seen = abs(np.mean(t) - np.mean(c))
    return float(np.mean([gap >= seen - 1e-12 for gap in total]))


@pytest.mark.parametrize(("n_c", "n_t"), [(2, 2), (3, 3), (2, 5), (5, 4)])
def test_values_that_do_not_vary_have_the_p_value_of_the_permutation_test(n_c: int, n_t: int) -> None:
    found = compare_means([0.1] * n_c, [0.7] * n_t)
    assert found.se == 0 and found.difference == pytest.approx(0.6) and found.df == n_c + n_t - 2
    assert found.p == pytest.approx(permutation_p([0.1] * n_c, [0.7] * n_t))
    same = compare_means([0.1] * n_c, [0.1] * n_t)
    assert (same.difference, same.p, same.ci) == (0, 1, (0, 0))
    clusters = ([*range(n_c)], [*range(10, 10 + n_t)])
    assert compare_means([0.1] * n_c, [0.7] * n_t, clusters=clusters).p == pytest.approx(found.p)


def test_a_lift_is_that_of_simulated_experiments() -> None:
    """20,000 experiments of 2 x 200 learners, seed 5: coverage of 95 % intervals within .007; false alarm 1e-5."""
    rng = np.random.default_rng(5)
    runs = 20_000
    c, t = (Moments.of(rng.gamma(2, mean / 2, (runs, 200))) for mean in (1.0, 1.3))
    found = lift(independent_arms(c, t))
    covered = ((found.low <= 0.3) & (found.high >= 0.3)).mean()
    assert abs(covered - 0.95) < 0.007
    assert found.se.mean() == pytest.approx(found.value.std(), rel=0.03)


def test_a_control_mean_near_zero_is_flagged() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=100)
    assert relative_lift(noise - noise.mean() + 0.1, noise).control_near_zero
    assert not relative_lift(noise - noise.mean() + 0.3, noise).control_near_zero
    with pytest.raises(AlsimError, match="mean other than 0 .*use the difference"):
        relative_lift([-1.0, 1.0], [1.0, 2.0])
    found = lift(independent_arms(Moments.of(np.array([[-1.0, 1], [1, 2]])), Moments.of(np.array([[1.0, 2], [1, 3]]))))
    assert np.isnan(found.value).tolist() == np.isnan(found.p).tolist() == [True, False]


# ── strata and clusters ──────────────────────────────────────────────────────────────────────────


def classes(seed: int, *, shared: bool, effects: float = 1.0) -> tuple[Any, Any, Any, Any]:
    """Return values, classes and strata of both arms, of unequal sizes; `shared`: classes have both arms."""
    rng = np.random.default_rng(seed)
    size, count = rng.integers(3, 12, 24), 24
    label = np.repeat(np.arange(count), size)
    arm = rng.integers(2, size=len(label)) if shared else label % 2
    stratum = rng.integers(3, size=len(label))
    y = rng.normal(3, 1, len(label)) + effects * rng.normal(size=count)[label] + 0.4 * arm + stratum
    return y, arm, label, stratum


def pair(x: Any, arm: Any) -> tuple[Any, Any]:
    return x[arm == 0], x[arm == 1]


@pytest.mark.parametrize("shared", [False, True])
def test_clusters_have_the_errors_of_statsmodels(shared: bool) -> None:
    for seed in range(4):
        y, arm, label, _ = classes(seed, shared=shared)
        twin = sm.OLS(y, sm.add_constant(arm)).fit(cov_type="cluster", cov_kwds={"groups": label}, use_t=True)
        found = compare_means(*pair(y, arm), clusters=pair(label, arm))
        assert (found.difference, found.se, found.p) == pytest.approx(
            (twin.params[1], twin.bse[1], twin.pvalues[1]), rel=1e-9
        )
        assert found.ci == pytest.approx(tuple(twin.conf_int()[1]), rel=1e-9)
        assert found.df == len(np.unique(label)) - 1
        assert found.control.clusters == len(np.unique(label[arm == 0]))
        named = np.array([f"class {one}" for one in label], object)
        assert compare_means(*pair(y, arm), clusters=pair(named, arm)).se == pytest.approx(found.se, rel=1e-12)


@pytest.mark.parametrize("shared", [False, True])
def test_sums_of_clusters_have_the_errors_of_their_values(shared: bool) -> None:
    y, arm, label, _ = classes(7, shared=shared)
    found = compare_means(*pair(y, arm), clusters=pair(label, arm))
    sums = [
        ClusterSums.of(np.stack([own, own + 5]), codes, 24)
        for own, codes in zip(pair(y, arm), pair(label, arm), strict=True)
    ]
    both = difference(clustered_arms(*sums))
    for k in range(2):
        assert [one[k] for one in both] == pytest.approx([*effect(found)], rel=1e-9)
    ratio = lift(clustered_arms(*sums))
    assert [one[0] for one in ratio] == pytest.approx(
        [*effect(relative_lift(*pair(y, arm), clusters=pair(label, arm)))], rel=1e-9
    )


def test_clusters_of_one_value_have_about_the_errors_of_independent_values() -> None:
    """HC1 of statsmodels: clusters of one value are a heteroscedastic regression."""
    c, t = sample(8)
    y, arm = np.concatenate([c, t]), np.repeat([0, 1], [60, 45])
    twin = sm.OLS(y, sm.add_constant(arm)).fit(cov_type="HC1")
    found = compare_means(c, t, clusters=(np.arange(60), np.arange(60, 105)))
    assert found.se == pytest.approx(twin.bse[1], rel=1e-9)


def test_strata_have_the_errors_of_a_saturated_regression() -> None:
    """HC2 of a regression on all cells gives s^2 / n of each, so that a contrast has the error of the formula."""
    y, arm, _, stratum = classes(9, shared=True, effects=0)
    cell = np.eye(6)[2 * stratum + arm]
    twin = sm.OLS(y, cell).fit(cov_type="HC2")
    weight = np.bincount(stratum) / len(y)
    contrast = np.stack([-weight, weight], axis=1).ravel()
    tested = twin.t_test(contrast)
    found = compare_means(*pair(y, arm), strata=pair(stratum, arm))
    assert (found.difference, found.se) == pytest.approx((tested.effect[0], tested.sd[0, 0]), rel=1e-9)
    one = compare_means(*pair(y, arm), strata=pair(stratum * 0, arm))
    assert effect(one) == pytest.approx(effect(compare_means(*pair(y, arm))), rel=1e-9)


@pytest.mark.parametrize("shared", [False, True])
def test_strata_with_clusters_have_the_errors_of_a_saturated_regression(shared: bool) -> None:
    y, arm, label, stratum = classes(10, shared=shared)
    cell = np.eye(6)[2 * stratum + arm]
    twin = sm.OLS(y, cell).fit(cov_type="cluster", cov_kwds={"groups": label}, use_t=True)
    weight = np.bincount(stratum) / len(y)
    tested = twin.t_test(np.stack([-weight, weight], axis=1).ravel())
    found = compare_means(*pair(y, arm), strata=pair(stratum, arm), clusters=pair(label, arm))
    assert (found.difference, found.se, found.p) == pytest.approx(
        (tested.effect[0], tested.sd[0, 0], float(tested.pvalue)), rel=1e-9
    )


def test_the_delta_method_of_clusters_and_strata_is_the_gradient() -> None:
    """The covariance of the means of both arms, from statsmodels; classes have students of both arms."""
    y, arm, label, stratum = classes(11, shared=True)
    twin = sm.OLS(y, np.eye(6)[2 * stratum + arm]).fit(cov_type="cluster", cov_kwds={"groups": label}, use_t=True)
    weight = np.bincount(stratum) / len(y)
    means = np.stack([np.stack([weight, 0 * weight], 1).ravel(), np.stack([0 * weight, weight], 1).ravel()])
    c, t = means @ twin.params
    gradient = np.array([-t / c**2, 1 / c]) @ means
    found = relative_lift(*pair(y, arm), strata=pair(stratum, arm), clusters=pair(label, arm))
    assert found.lift == pytest.approx(t / c - 1, rel=1e-9)
    assert found.se == pytest.approx(math.sqrt(gradient @ twin.cov_params() @ gradient), rel=1e-9)


def test_false_alarms_of_assigned_classes() -> None:
    """4,000 A/A experiments, seed 12: 2 x 20 classes of 25, ICC .2; .05 within 5 standard errors (.0172).

    The test that ignores the classes is wrong more often than .3.
    """
    rng, runs = np.random.default_rng(12), 4000 if COMPILED else 400
    noise = rng.normal(size=(runs, 2, 20, 25)) + 0.5 * rng.normal(size=(runs, 2, 20, 1))
    none = np.zeros((runs, 20))
    sums = [noise[:, k].sum(axis=-1) for k in range(2)]
    c = ClusterSums(np.concatenate([none + 25, none], 1), np.concatenate([sums[0], none], 1))
    t = ClusterSums(np.concatenate([none, none + 25], 1), np.concatenate([none, sums[1]], 1))
    alarms = (difference(clustered_arms(c, t)).p <= 0.05).mean()
    assert abs(alarms - 0.05) < 0.0172 * math.sqrt(4000 / runs)
    naive = independent_arms(*(Moments.of(noise[:, k].reshape(runs, -1)) for k in range(2)))
    assert (difference(naive).p <= 0.05).mean() > 0.3


# ── covariates ───────────────────────────────────────────────────────────────────────────────────


def students(seed: int, n: int = 300) -> tuple[Any, Any, Any]:
    """Return a metric, an arm, and two covariates."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2)) @ np.array([[1.0, 0.5], [0, 2.0]]) + 10
    arm = rng.integers(2, size=n)
    return 5 + x @ [0.8, -0.4] + rng.normal(size=n) + 0.3 * arm, arm, x


def test_several_covariates_are_those_of_a_regression() -> None:
    y, arm, x = students(0)
    twin = sm.OLS(y, sm.add_constant(x)).fit()
    found = cuped(*pair(y, arm), *pair(x, arm))
    assert found.theta == pytest.approx(twin.params[1:], rel=1e-9)
    assert effect(found.difference) == pytest.approx(effect(compare_means(*pair(twin.resid, arm))), rel=1e-7)
    plain = compare_means(*pair(y, arm))
    assert found.variance_reduction == pytest.approx((plain.se / found.difference.se) ** 2, rel=1e-9)
    assert found.variance_reduction > 1.5
    both = adjust(*(JointMoments.of(a, b) for a, b in zip(pair(y, arm), pair(x, arm), strict=True)))
    assert [*both.difference] == pytest.approx([*effect(found.difference)], rel=1e-9)
    assert found.lift is not None
    assert [*both.lift] == pytest.approx([*effect(found.lift)], rel=1e-9)


def test_covariates_that_repeat_or_do_not_vary_change_nothing() -> None:
    y, arm, x = students(1)
    one = cuped(*pair(y, arm), *pair(x[:, 0], arm))
    more = np.stack([x[:, 0], 1e6 * x[:, 0], 0 * y + 0.1], axis=1)
    found = cuped(*pair(y, arm), *pair(more, arm))
    assert effect(found.difference) == pytest.approx(effect(one.difference), rel=1e-7)
    assert found.theta[2] == 0
    nothing = cuped(*pair(y, arm), *pair(0 * y + 0.1, arm))
    assert effect(nothing.difference) == pytest.approx(effect(compare_means(*pair(y, arm))), rel=1e-12)
    assert nothing.variance_reduction == pytest.approx(1) and nothing.theta == (0,)


def test_adjusted_values_may_have_strata_and_clusters() -> None:
    y, arm, x = students(2)
    label, stratum = np.arange(len(y)) % 30, np.arange(len(y)) % 3
    theta = sm.OLS(y, sm.add_constant(x[:, 0])).fit().params[1]
    left = y - theta * (x[:, 0] - x[:, 0].mean())
    design = {"strata": pair(stratum, arm), "clusters": pair(label, arm)}
    found = cuped(*pair(y, arm), *pair(x[:, 0], arm), **design)
    assert effect(found.difference) == pytest.approx(effect(compare_means(*pair(left, arm), **design)), rel=1e-9)


def test_many_experiments_are_adjusted_and_clustered_at_once() -> None:
    """Two experiments in one call: predictions from covariates, and sums of clusters of the rest."""
    found = [students(seed) for seed in (5, 6)]
    arm = np.arange(300) % 2
    label = np.arange(300) // 20
    y, x = ([np.stack([one[k][arm == side] for one in found]) for side in (0, 1)] for k in (0, 2))
    theta = pooled_theta(*map(JointMoments.of, y, x))
    left = [own - part for own, part in zip(y, predictions(theta, (x[0], x[1])), strict=True)]
    both = difference(clustered_arms(*(ClusterSums.of(own, label[arm == k], 15) for k, own in enumerate(left))))
    for k in range(2):
        one = cuped(y[0][k], y[1][k], x[0][k], x[1][k], clusters=pair(label, arm)).difference
        assert [field[k] for field in both] == pytest.approx([*effect(one)], rel=1e-9)


def test_extreme_covariates() -> None:
    y, arm, _ = students(3)
    same = cuped(*pair(y, arm), *pair(y, arm))
    assert same.difference.se == pytest.approx(0, abs=1e-12) and same.theta == pytest.approx((1,))
    zero = cuped([-1.0, 1.0], [1.0, 3.0], [1.0, 2.0], [2.0, 1.0])
    assert zero.lift is None and zero.to_dict()["lift"] is None
    flat = cuped([2.0, 2.0], [2.0, 2.0], [1.0, 2.0], [2.0, 1.0])
    assert (flat.difference.p, flat.variance_reduction) == (1, 1)


def test_repeated_experiments_are_unbiased_and_their_errors_right() -> None:
    """5,000 experiments of 2 x 100 learners, seed 4: bias below 4.5 standard errors; false alarm 1e-5."""
    rng, runs = np.random.default_rng(4), 5000 if COMPILED else 500
    x = rng.normal(size=(2, runs, 100, 1))
    y = 3 + x[..., 0] + rng.normal(size=(2, runs, 100))
    y[1] += 0.2
    found = adjust(*(JointMoments.of(y[k], x[k]) for k in range(2)))
    assert abs(found.difference.value.mean() - 0.2) < 4.5 * found.difference.value.std() / math.sqrt(runs)
    assert found.difference.se.mean() == pytest.approx(found.difference.value.std(), rel=0.06)
    assert found.lift.se.mean() == pytest.approx(found.lift.value.std(), rel=0.06)
    assert found.variance_reduction.mean() == pytest.approx(2, rel=0.05)


# ── ratios and shares ────────────────────────────────────────────────────────────────────────────


def test_a_ratio_is_the_mean_of_interactions_with_errors_by_student() -> None:
    """The cluster-robust variance of an arm without small-sample factor is (n - 1) / n of that of the delta method."""
    rng = np.random.default_rng(0)
    sums, twins = [], []
    for n, chance in ((80, 0.5), (70, 0.6)):
        count = rng.integers(1, 30, n)
        student = np.repeat(np.arange(n), count)
        correct = (rng.random(len(student)) < np.clip(chance + rng.normal(0, 0.2, n), 0, 1)[student]).astype(float)
        sums += [np.bincount(student, correct), count]
        clusters = {"groups": student, "use_correction": False}
        fit = sm.OLS(correct, np.ones(len(student))).fit(cov_type="cluster", cov_kwds=clusters)
        twins.append((fit.params[0], fit.bse[0] ** 2 * n / (n - 1)))
    found = compare_ratios(*sums)
    (r_c, v_c), (r_t, v_t) = twins
    assert (found.difference.control.mean, found.difference.treatment.mean) == pytest.approx((r_c, r_t), rel=1e-12)
    assert found.difference.se == pytest.approx(math.sqrt(v_c + v_t), rel=1e-9)
    assert found.lift.lift == pytest.approx(r_t / r_c - 1, rel=1e-12)
    assert found.lift.se == pytest.approx(math.sqrt(v_t + (r_t / r_c) ** 2 * v_c) / r_c, rel=1e-9)


def test_equal_denominators_give_the_comparison_of_means() -> None:
    c, t = sample(6)
    found = compare_ratios(c, np.full(60, 4), t, np.full(45, 4))
    assert effect(found.difference) == pytest.approx(effect(compare_means(c / 4, t / 4)), rel=1e-9)
    assert effect(found.lift) == pytest.approx(effect(relative_lift(c / 4, t / 4)), rel=1e-9)
    label = (np.arange(60) // 6, np.arange(45) // 5)
    by_class = compare_ratios(c, np.full(60, 4), t, np.full(45, 4), clusters=label).difference
    assert effect(by_class) == pytest.approx(effect(compare_means(c / 4, t / 4, clusters=label)), rel=1e-9)


@pytest.mark.parametrize("counts", [(10, 50, 20, 60), (0, 30, 3, 25), (0, 30, 0, 25), (30, 30, 24, 25), (5, 9, 5, 9)])
def test_shares_are_compared_as_in_statsmodels(counts: tuple[int, int, int, int]) -> None:
    k_c, n_c, k_t, n_t = counts
    found = compare_shares(*counts, confidence=0.9)
    twin = confint_proportions_2indep(k_t, n_t, k_c, n_c, method="newcomb", compare="diff", alpha=0.1)
    assert found.ci == pytest.approx(twin, abs=1e-9)
    if 0 < k_c + k_t < n_c + n_t:
        chi2 = stats.chi2_contingency([[k_c, n_c - k_c], [k_t, n_t - k_t]], correction=False)
        assert found.p == pytest.approx(chi2.pvalue, rel=1e-9)
    else:
        assert found.p == 1
    assert found.difference == pytest.approx(k_t / n_t - k_c / n_c)


# ── speed, imports ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.compiled
def test_a_thousand_rehearsals_take_a_fraction_of_a_second() -> None:
    """1,000 experiments of 2 x 500 learners; each of the tests alone, all of them in 3 s on a busy machine."""
    rng = np.random.default_rng(0)
    y, x = rng.normal(1, 1, (2, 1000, 500)), rng.normal(size=(2, 1000, 500, 1))
    label = np.arange(500) // 25
    start = time.perf_counter()
    arms = independent_arms(*map(Moments.of, y))
    results = [difference(arms), lift(arms), *adjust(*map(JointMoments.of, y, x))[:2]]
    results.append(difference(clustered_arms(*(ClusterSums.of(y[k], label + 20 * k, 40) for k in range(2)))))
    results.append(lift(independent_arms(*(Moments.of(linearized(y[k], 1 + y[k] ** 2)) for k in range(2)))))
    assert time.perf_counter() - start < 3
    assert all(one.p.shape == (1000,) and (one.p > 0).all() for one in results)


def test_the_import_loads_no_functions_of_scipy() -> None:
    """Numba, which rehearsals need, imports the package itself."""
    code = (
        "import sys, alsim.evaluation.experiments; print({'scipy.special', 'statsmodels', 'pandas'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "set()"


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    monkeypatch.delitem(sys.modules, "scipy.special", raising=False)
    with pytest.raises(AlsimError, match=r"needs scipy.*evaluation") as caught:
        compare_means([1.0, 2.0], [1.0, 3.0])
    assert isinstance(caught.value, ImportError)


# ── bad input ────────────────────────────────────────────────────────────────────────────────────

GOOD = ([1.0, 2.0, 3.0, 4.0], [2.0, 3.0, 4.0, 5.0])
MASKED = np.ma.masked_greater([1.0, 2.0, 3.0, 9.0], 5)
WRONG: list[tuple[Any, str]] = [
    (lambda: compare_means([], GOOD[1]), "control must have at least 2 values; got 0: "),
    (lambda: compare_means(GOOD[0], [1.0]), "treatment must have at least 2 values; got 1: "),
    (
        lambda: compare_means([1.0, math.nan, 2.0], GOOD[1]),
        "control must be finite numbers; got nan at index 1, 1 of 3: ",
    ),
    (
        lambda: compare_means([1.0, math.inf], GOOD[1]),
        "control must be finite numbers; got inf at index 1, 1 of 2: leave the student out",
    ),
    (lambda: compare_means([True, False], GOOD[1]), "got booleans: use compare_shares"),
    (lambda: compare_means(["a", "b"], GOOD[1]), "control must be numbers; got strings"),
    (lambda: compare_means([[1.0, 2.0]], GOOD[1]), r"control must have shape \(K,\)"),
    (lambda: compare_means([[1.0], [2.0, 3.0]], GOOD[1]), "control must be an array of numbers"),
    (lambda: compare_means(*GOOD, confidence=95), r"confidence must be a number in \(0, 1\)"),
    (
        lambda: compare_means(*GOOD, strata=([1, 1, 2], [1, 1, 2, 2])),
        "strata of control must have one label per value, 4",
    ),
    (lambda: compare_means(*GOOD, strata=([1, 1, 2, 2], [1, 1, 1, 2])), "got 1 of treatment in 2: merge"),
    (lambda: compare_means(*GOOD, strata=([1, 1, 2, 2], [1, 1, 1, 1])), "got 0 of treatment in 2: merge"),
    (lambda: compare_means(*GOOD, strata=([1, 1, 2, 2], list("aabb"))), "strata must be integers or text; got both"),
    (lambda: compare_means(*GOOD, strata=np.zeros((3, 4), int)), "strata must be a pair of arrays"),
    (lambda: compare_means(*GOOD, strata=([0.5] * 4, [1.5] * 4)), "got 0.5: convert the labels"),
    (lambda: compare_means(*GOOD, strata=(["a", None] * 2, ["a"] * 4)), "got None: convert the labels"),
    (lambda: compare_means([1, 1, 2, 2], [1, 1, 3, 3], strata=([1, 1, 2, 2],) * 2), "must vary within a stratum"),
    (lambda: compare_means(*GOOD, clusters=([1, 1, 2, 2], [3, 3, 3])), "clusters of treatment must have one label"),
    (
        lambda: compare_means(*GOOD, clusters=([1, 1, 2, 2], [3, 3, 3, 3])),
        "clusters must be at least 2 in each arm; got only 3",
    ),
    (
        lambda: compare_means(*GOOD, clusters=([1] * 4, [2] * 4)),
        "clusters must be at least 2 in each arm; got only 1 in control",
    ),
    (lambda: cuped(*GOOD, [1.0, 2.0], [1.0] * 4), "control_before must have one value per entry of control, 4; got 2"),
    (
        lambda: cuped(*GOOD, [1.0, 2.0, math.nan, 1.0], [1.0] * 4),
        "control_before must be finite numbers; got nan at index 2",
    ),
    (
        lambda: compare_means(MASKED, GOOD[0]),
        "control must not have masked cells; got one at index 3: leave out its row",
    ),
    (lambda: cuped(*GOOD, MASKED, GOOD[0]), "control_before must not have masked cells; got one at index"),
    (lambda: cuped(*GOOD, MASKED[:, np.newaxis], np.ones((4, 1))), "control_before must not have masked cells"),
    (lambda: cuped(*GOOD, np.ones((4, 2)), np.ones((4, 1))), "the same covariates; got 2 and 1"),
    (lambda: cuped(*GOOD, np.ones((4, 0)), np.ones((4, 0))), "at least 1 covariate"),
    (
        lambda: compare_ratios(GOOD[0], [1, 2, -3, 1], *GOOD),
        "control_denominator must be at least 0; got -3 at index 2",
    ),
    (lambda: compare_ratios(*GOOD, GOOD[0], [0, 0, 0, 0]), "treatment_denominator must have a positive value"),
    (lambda: compare_ratios(GOOD[0], [1], *GOOD), "control_denominator must have one value per entry"),
    (lambda: compare_ratios([0] * 4, [1] * 4, *GOOD), "mean other than 0"),
    (lambda: compare_shares(5, 4, 1, 4), "control_events must be an integer from 0 to 4; got 5"),
    (lambda: compare_shares(0, 1, 1, 4), "control_n must be an integer from 2"),
    (lambda: compare_shares(0.5, 4, 1, 4), "control_events must be an integer; got 0.5"),  # type: ignore[arg-type]
    (lambda: sample_ratio_mismatch([10, 20], [0.5, 0]), "shares must be positive; got 0 at index 1"),
    (lambda: sample_ratio_mismatch([10, 20], [0.5, math.nan]), "shares must be positive; got nan"),
    (lambda: sample_ratio_mismatch([10, 20], [0.5]), "shares must have one value per arm, 2; got 1"),
    (lambda: sample_ratio_mismatch([10], [1]), "counts must be of at least 2 arms; got 1"),
    (lambda: sample_ratio_mismatch([10, -1], [1, 1]), "counts must be numbers of students; got -1 at index 1"),
    (lambda: sample_ratio_mismatch([10, 1.5], [1, 1]), "counts must be numbers of students; got 1.5"),
    (lambda: sample_ratio_mismatch([0, 0], [1, 1]), "counts must have a positive sum"),
]


@pytest.mark.parametrize(("call", "message"), WRONG, ids=[message for _, message in WRONG])
def test_bad_input_is_refused_in_one_sentence(call: Any, message: str) -> None:
    with pytest.raises(AlsimError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value) and isinstance(caught.value, alsim.AlsimError)
