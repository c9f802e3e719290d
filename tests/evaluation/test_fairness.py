"""Rates of groups and their gaps, compared with fairlearn, statsmodels and SciPy; recalibration; invalid input."""

import json
import math
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from alsim.errors import AlsimError
from alsim.evaluation import fairness
from alsim.evaluation.fairness.gaps import interval_of, p_of, rates
from alsim.evaluation.fairness.inputs import read_grouping
from alsim.evaluation.statistics import mean, wilson

EXACT = 1e-12
FLAGS = [0, 1, 1, 0, 1, 1]
PAIR = ["a", "a", "a", "b", "b", "b"]


def sample(seed, rows=300, groups=3):
    """Return labels, decisions and groups."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 2, rows), rng.integers(0, 2, rows), rng.choice([*"abcdefg"[:groups]], rows)


# ── definitions ──────────────────────────────────────────────────────────────────────────────────


def test_published_rates_and_gaps(published):
    case = json.loads((published / "evaluation/fairness.json").read_text())
    found = fairness.group_metrics(case["y_true"], case["y_pred"], case["group"])
    for metric, by_group in case["by_group"].items():
        assert {g: x.mean for g, x in found.by_group[metric].items()} == pytest.approx(by_group, abs=EXACT)
        assert found.gaps[metric].difference == pytest.approx(case["difference"][metric], abs=EXACT)
        assert found.gaps[metric].ratio == pytest.approx(case["ratio"][metric], abs=EXACT)
    for name in ("demographic_parity_difference", "equalized_odds_difference", "equal_opportunity_difference"):
        assert getattr(found, name) == pytest.approx(case[name], abs=EXACT)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("clustered", [False, True])
def test_all_rates_are_those_of_fairlearn(seed, clustered):
    """Also with several rows per learner, which change the intervals and not the rates."""
    from fairlearn import metrics
    from sklearn.metrics import accuracy_score

    y, p, group = sample(seed, groups=2 + seed % 3)
    learners = None
    if clustered:  # 3 rows per learner, each in one group
        learners = np.arange(len(y)) // 3
        group = group[learners]
    of_fairlearn = {
        "selection_rate": metrics.selection_rate,
        "tpr": metrics.true_positive_rate,
        "fpr": metrics.false_positive_rate,
        "fnr": metrics.false_negative_rate,
        "tnr": metrics.true_negative_rate,
        "accuracy": accuracy_score,
        "mean_prediction": metrics.mean_prediction,
    }
    frame = metrics.MetricFrame(metrics=of_fairlearn, y_true=y, y_pred=p, sensitive_features=group)
    found = fairness.group_metrics(y, p, group, metrics=[*of_fairlearn], learners=learners)
    for name in of_fairlearn:
        for g in found.groups:
            assert found.by_group[name][g].mean == pytest.approx(frame.by_group[name][g], abs=EXACT)
        assert found.overall[name].mean == pytest.approx(frame.overall[name], abs=EXACT)
        assert found.gaps[name].difference == pytest.approx(frame.difference()[name], abs=EXACT)
        assert found.gaps[name].ratio == pytest.approx(frame.ratio()[name], abs=EXACT)
    for name in (
        *("demographic_parity_difference", "demographic_parity_ratio"),
        *("equalized_odds_difference", "equalized_odds_ratio", "equal_opportunity_difference"),
    ):
        expected = getattr(metrics, name)(y, p, sensitive_features=group)
        assert getattr(found, name) == pytest.approx(expected, abs=EXACT)


def test_metrics_of_probabilities():
    rng = np.random.default_rng(0)
    y, p, group = rng.integers(0, 2, 50), rng.random(50), rng.choice(["x", "y"], 50)
    found = fairness.group_metrics(y, p, group)
    assert [*found.gaps] == ["mean_prediction", "bias"]
    for g in "xy":
        own = group == g
        assert found.by_group["bias"][g].mean == pytest.approx((p - y)[own].mean())
        expected = mean((p - y)[own])
        assert found.by_group["bias"][g].ci == pytest.approx(expected.ci) and found.members[g] == own.sum()
    assert math.isnan(found.demographic_parity_difference) and math.isnan(found.equalized_odds_ratio)


def test_means_of_any_unit():
    """Welch's test with n - 1 of the smaller group; undefined values are left out; booleans are shares."""
    rng = np.random.default_rng(2)
    minutes, group = rng.gamma(2, 30, 90), np.where(np.arange(90) < 30, "a", "b")
    minutes[[3, 50]] = np.nan
    late = rng.random(90) < 0.4
    found = fairness.group_means({"minutes": minutes, "late": late}, group)
    one, other = (minutes[(group == g) & ~np.isnan(minutes)] for g in "ab")
    t = stats.ttest_ind(one, other, equal_var=False).statistic
    assert found.by_group["minutes"]["a"].ci == pytest.approx(mean(one).ci)
    assert found.gaps["minutes"].p == pytest.approx(2 * stats.t.sf(abs(t), 28))
    shares = fairness.group_metrics(late, late, group, metrics=["selection_rate"])
    assert found.by_group["late"] == shares.by_group["selection_rate"]
    for values, message in (
        ({}, "values must be a mapping of names to arrays, at least one"),
        ({"x": [1.0] * 90, "y": [1.0] * 89}, "y must have 90 values, one per row; got 89"),
        ({"x": ["a"] * 90}, "x must be numbers; got strings"),
    ):
        with pytest.raises(AlsimError, match=message):
            fairness.group_means(values, group)


def test_a_rate_without_rows_is_left_out():
    found = fairness.group_metrics([0, 0, 1, 1, 0, 1], [0, 1, 1, 0, 0, 1], ["a", "a", "b", "b", "c", "c"])
    assert math.isnan(found.by_group["tpr"]["a"].mean)
    assert found.gaps["tpr"].difference == 0.5 and found.gaps["tpr"].highest == "c"
    assert found.to_dict()["groups"]["a"]["tpr"] == {"mean": None, "se": None, "ci": None, "n": 0}
    json.dumps(found.to_dict(), allow_nan=False)


# ── intervals and tests ──────────────────────────────────────────────────────────────────────────


def test_intervals_of_independent_shares_are_those_of_wilson():
    y, p, group = sample(1)
    found = fairness.group_metrics(y, p, group, confidence=0.9)
    for g in found.groups:
        own = (group == g) & (y == 1)
        one, expected = found.by_group["tpr"][g], wilson(int(p[own].sum()), int(own.sum()), 0.9)
        assert (one.mean, one.n) == (expected.mean, expected.n)
        assert [one.se, *one.ci] == pytest.approx([expected.se, *expected.ci], rel=EXACT)


def test_the_interval_and_the_p_value_of_a_gap():
    """Newcombe's interval as statsmodels has it, and the chi-squared test with (N - 1) / N."""
    from statsmodels.stats.proportion import confint_proportions_2indep

    for k, n, j, m in ((15, 40, 9, 50), (3, 12, 11, 14), (0, 20, 5, 25), (30, 30, 20, 25)):
        p = np.r_[np.ones(k), np.zeros(n - k), np.ones(j), np.zeros(m - j)]
        groups = read_grouping(np.repeat(["a", "b"], [n, m]), None, n + m)
        one, other = rates(p, np.ones(n + m, bool), groups, is_share=True)
        expected = confint_proportions_2indep(k, n, j, m, method="newcomb", compare="diff")
        assert interval_of(one, other, 0.95) == pytest.approx(expected, abs=1e-10)
        table = [[k, n - k], [j, m - j]]
        chi2 = stats.chi2_contingency(table, correction=False).statistic * (n + m - 1) / (n + m)
        assert p_of(one, other) == pytest.approx(stats.chi2.sf(chi2, 1), rel=1e-9)


def test_standard_errors_by_learner_are_those_of_statsmodels():
    """The mean is the constant of a regression with cluster-robust standard errors."""
    import statsmodels.api as sm

    rng = np.random.default_rng(3)
    unit = rng.integers(0, 30, 400)
    values = rng.random(400) + rng.random(30)[unit]
    group = np.where(unit < 12, "a", "b")
    found = rates(values, np.ones(400, bool), read_grouping(group, unit, 400), is_share=False)
    for g, rate in zip("ab", found, strict=True):
        own = group == g
        fitted = sm.OLS(values[own], np.ones(own.sum())).fit(cov_type="cluster", cov_kwds={"groups": unit[own]})
        assert rate.mean == pytest.approx(fitted.params[0]) and rate.se == pytest.approx(fitted.bse[0], rel=1e-9)
        assert rate.units == len(np.unique(unit[own]))


def test_repeated_rows_add_no_information():
    """Each learner's rows are copies: interval and p are those of one row per learner, with Student's t."""
    y, p, group = sample(5, rows=80, groups=2)
    once = fairness.group_metrics(y, p, group, learners=np.arange(80))
    often = fairness.group_metrics(*(np.repeat(x, 7) for x in (y, p, group)), learners=np.repeat(np.arange(80), 7))
    for name in once.gaps:
        assert often.gaps[name].p == pytest.approx(once.gaps[name].p)
        assert often.gaps[name].ci == pytest.approx(once.gaps[name].ci)
    naive = fairness.group_metrics(*(np.repeat(x, 7) for x in (y, p, group)))
    assert naive.gaps["accuracy"].p < once.gaps["accuracy"].p


def test_equal_values_have_no_gap():
    for learners in (None, [0, 0, 1, 2, 2, 3]):
        found = fairness.group_metrics([0, 1] * 3, [1] * 6, PAIR, metrics=["selection_rate", "bias"], learners=learners)
        gap = found.gaps["selection_rate"]
        assert (gap.difference, gap.p, gap.flagged) == (0.0, 1.0, False) and gap.ci[0] < 0 < gap.ci[1]


def test_perfectly_separated_small_groups_are_not_certain():
    """3 of 3 against 0 of 3 is no proof; with means per learner, p is that of a permutation, 2 / 20."""
    found = fairness.group_metrics([0] * 6, [1, 1, 1, 0, 0, 0], PAIR, metrics=["selection_rate"])
    assert 0.01 < found.gaps["selection_rate"].p < 0.05
    bias = fairness.group_metrics([0.5] * 6, [0.7, 0.7, 0.7, 0.2, 0.2, 0.2], PAIR, metrics=["bias"])
    assert bias.gaps["bias"].p == pytest.approx(0.1)


def test_the_interval_holds_for_all_pairs():
    """With three groups, it has the level 1 - .05 / 3 of a pair, and p is three times that of the smallest."""
    y, p, group = sample(8)
    found = fairness.group_metrics(y, p, group, metrics=["accuracy"])
    by_pair = []
    for left_out in "abc":
        own = group != left_out
        two = fairness.group_metrics(y[own], p[own], group[own], metrics=["accuracy"], confidence=1 - 0.05 / 3)
        by_pair.append(two.gaps["accuracy"])
    widest = max(by_pair, key=lambda gap: gap.difference)
    assert found.gaps["accuracy"].ci == pytest.approx(widest.ci)
    assert found.gaps["accuracy"].p == pytest.approx(min(1, 3 * min(gap.p for gap in by_pair)))


def test_gaps_are_found_where_they_are_planted_and_only_there():
    """300 samples of 2 x 200 rows, seeds 0 to 299.

    No gap: any flag among 3 metrics in at most 5 % + 3.5 standard errors (.094), false alarm 2e-4. A tpr lower by .3,
    with 100 such rows per group: power .98 by the formula of two shares; at least .9 must be found.
    """
    false = found = 0
    for seed in range(300):
        rng = np.random.default_rng([19, seed])
        group, y = np.arange(400) % 2, np.arange(400) // 2 % 2
        p = rng.random(400) < np.where(y == 1, 0.7, 0.3)
        false += bool(fairness.group_metrics(y, p, group, metrics=["tpr", "fpr", "accuracy"]).flags)
        unfair = p & ~((group == 1) & (y == 1) & (rng.random(400) < 3 / 7))
        gap = fairness.group_metrics(y, unfair, group).gaps["tpr"]
        found += gap.flagged and (gap.highest, gap.lowest) == ("0", "1")
    assert false / 300 <= 0.05 + 3.5 * (0.05 * 0.95 / 300) ** 0.5 and found / 300 >= 0.9


@pytest.mark.ci
@pytest.mark.parametrize("per_learner", [1, 8])
def test_rates_of_flags_in_2000_samples(per_learner):
    """2,000 samples, seeds 0 to 1999: any flag in at most .05 + 3 standard errors of them, false alarm .0013 at .05.

    If rows of a learner depend on each other and the learners are ignored, flags are more frequent than that.
    """
    false = naive = 0
    for seed in range(2000):
        rng = np.random.default_rng([23, seed])
        unit = np.repeat(np.arange(80), per_learner)
        y = rng.random(len(unit)) < 0.5
        p = rng.random(len(unit)) < rng.beta(1, 1, 80)[unit]
        false += bool(fairness.group_metrics(y, p, unit % 2, learners=unit).flags)
        naive += bool(fairness.group_metrics(y, p, unit % 2).flags)
    bound = 0.05 + 3 * (0.05 * 0.95 / 2000) ** 0.5
    assert false / 2000 <= bound and (naive / 2000 > bound) == (per_learner > 1)


# ── recalibration ────────────────────────────────────────────────────────────────────────────────


def test_recalibration_maximises_the_penalised_likelihood_of_other_learners():
    rng = np.random.default_rng(4)
    p, learners = rng.random(200) * 0.98 + 0.01, np.repeat(np.arange(40), 5)
    y = rng.random(200) < p**2
    found = fairness.platt_scaling(p, y, learners=learners)
    x = np.log(p / (1 - p))
    for fold in (0, 1):
        train, test = learners // 2 % 2 != fold, learners // 2 % 2 == fold

        def loss(beta, train=train):
            z = beta[0] + beta[1] * x[train]
            return -(y[train] * z - np.logaddexp(0, z)).sum() + (beta[0] ** 2 + (beta[1] - 1) ** 2) / 2

        u, v = optimize.minimize(loss, [0, 1], tol=1e-12).x
        np.testing.assert_allclose(found[test], 1 / (1 + np.exp(-u - v * x[test])), atol=1e-5)


def test_recalibration_by_group_removes_the_bias_of_groups():
    """2,000 learners, 10 answers each; forecasts are too low by 1 logit in one group.

    The standard error of the bias of a group after recalibration is below .007. The bound of the gap is 5 standard
    errors: false alarm 6e-7. That there is no flag has the false alarm .05 for the seeds; this seed has none.
    """
    rng = np.random.default_rng(0)
    learners = np.repeat(np.arange(2000), 10)
    group = np.where(learners % 2, "low", "right")
    logit = rng.normal(0, 1, len(learners))
    y = rng.random(len(learners)) < 1 / (1 + np.exp(-logit))
    p = 1 / (1 + np.exp(-(logit - (group == "low"))))
    after = {
        "none": p,
        "all": fairness.platt_scaling(p, y, learners=learners),
        "by group": fairness.platt_scaling(p, y, group, learners),
    }
    gaps = {name: fairness.group_metrics(y, q, group, metrics=["bias"], learners=learners) for name, q in after.items()}
    assert gaps["none"].gaps["bias"].lowest == "low" and gaps["none"].gaps["bias"].difference > 0.15
    assert gaps["all"].gaps["bias"].difference > 0.1 and abs(gaps["all"].overall["bias"].mean) < 0.02
    assert gaps["by group"].gaps["bias"].difference < 0.05 and not gaps["by group"].flags


def test_recalibration_of_extreme_probabilities_is_finite():
    found = fairness.platt_scaling([0.0, 1.0] * 20, [1, 0] * 20)
    assert ((found > 0) & (found < 1)).all()
    with pytest.raises(AlsimError, match=r"at least 3 learners.*got 1: collect"):
        fairness.platt_scaling([0.5, 0.4], [1, 0], learners=[1, 1])
    with pytest.raises(AlsimError, match=r"at least 3 learners in each group; got 2 in 'b': merge"):
        fairness.platt_scaling([0.5, 0.4] * 3, [1, 0] * 3, [*"aaaabb"])


# ── invalid input ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((FLAGS, FLAGS, ["a"] * 6), r"at least 2 groups; got only 'a': choose"),
        ((FLAGS, FLAGS, [*"aaaaab"]), r"at least 2 independent members; got 1 row in the group 'b': merge"),
        ((FLAGS, FLAGS, ["a", "a", "a", "b", "b", None]), r"groups must not be missing; got None at index 5: leave"),
        ((FLAGS, FLAGS, [1.0, 1.0, 1.0, 2.0, 2.0, np.nan]), r"groups must not be missing; got nan at index 5"),
        ((FLAGS, FLAGS, ["a", "a", "a", "b", np.nan, np.nan]), r"groups must not be missing; got nan at index 4"),
        ((FLAGS, FLAGS, pd.array([*"aaabb", None], "string")), r"groups must not be missing; got <NA> at index 5"),
        (
            (FLAGS, FLAGS, np.array(["2020"] * 4 + ["NaT"] * 2, "datetime64[Y]")),
            r"groups must not be missing; got NaT at index 4",
        ),
        ((FLAGS, FLAGS, np.ma.masked_equal([1, 1, 1, 2, 2, 3], 3)), "groups must not have masked cells; got one at"),
        ((np.ma.masked_equal(FLAGS, 1), FLAGS, PAIR), "y_true must not have masked cells; got one at index"),
        ((FLAGS, FLAGS, range(6)), r"independent members; got 1 row in the group '0'"),
        ((FLAGS, FLAGS, PAIR[:5]), r"groups must have shape \(6,\), one per row; got \(5,\): pass"),
        ((FLAGS, [0, 1, 1, 0, 1, np.nan], PAIR), r"y_pred must be in \[0, 1\]; got nan at index 5: correct"),
        (([0, 1, 1, 0, 1, np.nan], FLAGS, PAIR), r"y_true must be in \[0, 1\]; got nan at index 5"),
        ((FLAGS, [0, 1, 1, 0, 1, 2], PAIR), r"y_pred must be in \[0, 1\]; got 2 at index 5"),
        ((FLAGS, FLAGS[:5], PAIR), r"y_pred must have 6 values, one per row; got 5: pass one"),
        (([*"abcdef"], FLAGS, PAIR), r"y_true must be numbers; got strings"),
        (([], [], []), r"y_true must have shape \(K,\)"),
    ],
)
def test_invalid_arrays(arguments, message):
    with pytest.raises(AlsimError, match=message):
        fairness.group_metrics(*arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metrics": ["tpr", "selection"]}, r"got 'selection'; did you mean 'selection_rate'\?"),
        ({"metrics": "tpr"}, r"metrics must be a list of names; got 'tpr': write \['tpr'\]"),
        ({"metrics": []}, "at least one of"),
        ({"metrics": 5}, "metrics must be a list of names; got 5: pass some of"),
        ({"confidence": 95}, r"confidence must be a number in \(0, 1\)"),
        ({"learners": [0, 0, 1, 1, 2, 2]}, r"a learner must have one group; got 'a' and 'b' for learner 1, at index 3"),
        ({"learners": [0, 0, 0, 1, 2, 2]}, r"got 1 learner in the group 'a'"),
        ({"learners": [0.5] * 6}, "learners must be integers"),
    ],
)
def test_invalid_options(options, message):
    with pytest.raises(AlsimError, match=message):
        fairness.group_metrics(FLAGS, FLAGS, PAIR, **options)


def test_probabilities_need_a_threshold_for_decisions():
    with pytest.raises(AlsimError, match=r"y_pred must be 0 or 1; got 0.3 at index 0: compare .* y_pred >= 0.5"):
        fairness.group_metrics(FLAGS, [0.3] * 6, PAIR, metrics=["tpr"])
    with pytest.raises(AlsimError, match=r"at most 50 groups; got 60: choose"):
        fairness.group_metrics([0, 1] * 60, [0, 1] * 60, np.arange(120) // 2)


def test_no_warnings_of_numpy():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fairness.group_metrics([0, 0, 1, 1], [0, 0, 1, 1], [*"aabb"], learners=[0, 1, 2, 3])
