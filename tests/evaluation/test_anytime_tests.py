"""Anytime-valid tests of two arms, compared with a published program, and looks at fixed-horizon tests."""

import json
import math
import time

import numpy as np
import pytest
from scipy import stats

from alsim.errors import AlsimError
from alsim.evaluation.experiments import (
    AnytimeTest,
    Moments,
    anytime_test,
    asymptotic_difference,
    confidence_per_look,
    confidence_sequence,
)
from alsim.evaluation.experiments.mixture import log_mixture, mixture_scale


@pytest.fixture(scope="module")
def cases(published):
    return json.loads((published / "evaluation/ab_tests.json").read_text(encoding="utf-8"))["cases"]


def moments(arm):
    """Return the Moments of a case; gbstats takes p (1 - p) as the variance of a share."""
    n, mean = arm["n"], arm["sum"] / arm["n"]
    variance = (arm["sum_squares"] - n * mean**2) / (n - 1) if "sum_squares" in arm else mean * (1 - mean)
    return Moments(*(np.array(value, float) for value in (n, mean, variance)))


def check(found, expected):
    assert found.estimate == pytest.approx(expected["expected"], rel=0, abs=1e-9)
    assert (found.lower, found.upper) == pytest.approx(expected["ci"], rel=0, abs=1e-9)
    assert found.se == pytest.approx(expected["stddev"], rel=0, abs=1e-9)
    assert found.p == pytest.approx(expected["p"], rel=0, abs=1e-9)


def test_differences_are_those_of_gbstats(cases):
    for case in cases:
        found = asymptotic_difference(moments(case["a"]), moments(case["b"]), tuned_for=case["n_star"])
        check(found, case["results"]["sequential_absolute"])


def test_lifts_by_the_delta_method_are_those_of_gbstats(cases):
    for case in cases:
        a, b = moments(case["a"]), moments(case["b"])
        squared = b.squared_error / a.mean**2 + a.squared_error * b.mean**2 / a.mean**4
        found = anytime_test(b.mean / a.mean - 1, squared, a.n + b.n, tuned_for=case["n_star"])
        check(found, case["results"]["sequential_relative"])


def test_estimates_with_covariates_are_those_of_gbstats(cases):
    """The estimate and its standard error are those of gbstats: the sequence is computed from them."""
    checked = 0
    for case in cases:
        for name in ("sequential_absolute", "sequential_relative"):
            if (expected := case.get("cuped", {}).get(name)) is not None:
                n = case["a"]["n"] + case["b"]["n"]
                check(
                    anytime_test(expected["expected"], expected["stddev"] ** 2, n, tuned_for=case["n_star"]), expected
                )
                checked += 1
    assert checked == 4


# ── rehearsals and peeks ─────────────────────────────────────────────────────────────────────────


def looks_at(seed, rehearsals, students, looks, shift=0.0, skewed=False):
    """Return the Moments of both arms at each look, (R, looks) each."""
    random = np.random.default_rng(seed)
    n = np.linspace(students / looks, students, looks).astype(int)
    arms = []
    for arm in range(2):
        x = random.exponential(size=(rehearsals, students)) if skewed else random.normal(size=(rehearsals, students))
        total, squares = (np.cumsum(x**k, axis=1)[:, n - 1] for k in (1, 2))
        mean, size = total / n + arm * shift, np.broadcast_to(n.astype(float), total.shape)
        arms.append(Moments(size, mean, (squares - total**2 / n) / (n - 1)))
    return arms


@pytest.mark.parametrize(("seed", "skewed"), [(0, False), (1, True)])
def test_false_alarms_at_any_look_are_rare_and_a_naive_peeker_has_many(seed, skewed):
    """2,000 A/A rehearsals, 20 looks at up to 2 x 500 students; false-alarm probability of the test below 0.0014."""
    rehearsals = 2000
    control, treatment = looks_at(seed, rehearsals, 500, 20, skewed=skewed)
    found = asymptotic_difference(control, treatment)
    alarms = ((found.lower > 0) | (found.upper < 0)).any(axis=1).mean()
    assert alarms <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / rehearsals)
    z = (treatment.mean - control.mean) / np.sqrt(control.squared_error + treatment.squared_error)
    naive = 2 * stats.t.sf(abs(z), control.n + treatment.n - 2)
    assert (naive[:, -1] < 0.05).mean() < 0.066 and (naive < 0.05).any(axis=1).mean() > 0.15


def test_a_real_difference_is_found_early():
    """Half a standard deviation: a fixed-horizon test with power .8 needs 63 students per arm, planned exactly."""
    control, treatment = looks_at(2, 1000, 500, 20, shift=0.5)
    found = asymptotic_difference(control, treatment).lower > 0
    assert found.any(axis=1).mean() > 0.99
    assert 63 < np.median((found.argmax(axis=1) + 1) * 25) <= 150


def test_p_and_interval_agree_and_p_may_only_fall():
    control, treatment = looks_at(3, 500, 400, 20, shift=0.2)
    found = asymptotic_difference(control, treatment, confidence=0.9)
    excluded = (found.lower > 0) | (found.upper < 0)
    assert np.array_equal(excluded, found.p < 0.1) and excluded.any() and not excluded.all()
    assert ((found.p >= 0) & (found.p <= 1)).all()


def test_p_is_the_reciprocal_of_the_evidence():
    """With the scale for the stated alpha: z standard errors are a sum z sqrt(n) of values with variance 1."""
    found = anytime_test(3.0, 1.0, 400, tuned_for=200)
    evidence = log_mixture(np.float64(3 * 20), np.float64(400), mixture_scale(200.0))
    assert found.p == pytest.approx(math.exp(-evidence), rel=1e-12)


def test_a_thousand_rehearsals_are_tested_in_milliseconds():
    control, treatment = looks_at(4, 1000, 500, 20)
    asymptotic_difference(control, treatment)
    begin = time.perf_counter()
    asymptotic_difference(control, treatment)
    assert time.perf_counter() - begin < 0.2  # 5 ms on an idle core


def test_many_tests_at_once_are_the_same_as_one_by_one():
    control, treatment = looks_at(5, 3, 100, 4)
    whole = asymptotic_difference(control, treatment)
    for index in np.ndindex(3, 4):
        one = asymptotic_difference(*(Moments(*(float(v[index]) for v in arm)) for arm in (control, treatment)))
        assert [float(v) for v in one] == pytest.approx([v[index] for v in whole], rel=1e-12)
    assert f"{one.p:.3f}" and isinstance(one, AnytimeTest)


def test_one_sample_is_a_difference_from_a_constant():
    x = np.random.default_rng(6).gamma(2.0, size=300)
    found = confidence_sequence(x, "asymptotic", tuned_for=100)
    one = anytime_test(x.mean(), x.var(ddof=1) / 300, 300, tuned_for=100)
    assert found.at(300) == pytest.approx((one.lower, one.upper), rel=1e-12)


def test_looks_without_information_exclude_nothing():
    """One student per arm, too few students, and values that are all equal."""
    n, variance = np.array([1.0, 9.0, 10.0, 10.0]), np.array([math.nan, 1.0, 0.0, 1e-9])
    found = asymptotic_difference(Moments(n, np.zeros(4), variance), Moments(n, np.ones(4), variance))
    assert np.isinf(found.lower[:3]).all() and np.isinf(found.upper[:3]).all() and (found.p[:3] == 1).all()
    assert found.lower[3] > 0.99 and found.p[3] < 1e-6
    assert repr(found).startswith("AnytimeTest(estimate (4,) float64, se (4,)")


# ── invalid arguments ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((math.nan, 1.0, 50), {}, "estimate must be finite; got nan: pass 0 with an infinite squared_error"),
        ((0.0, -1.0, 50), {}, "squared_error must be at least 0; got -1: pass infinity where it is unknown"),
        ((0.0, [1.0, math.nan], 50), {}, "squared_error must be at least 0; got nan"),
        ((0.0, 1.0, 0), {}, "n must be at least 1; got 0: pass the number of independent values"),
        ((0.0, "a", 1), {}, "squared_error must be numbers"),
        ((0.0, 1.0, 50), {"tuned_for": 0}, "tuned_for must be positive; got 0"),
        ((0.0, 1.0, 50), {"first": 1}, "first must be an integer from 2"),
        ((0.0, 1.0, 50), {"confidence": 1.0}, r"confidence must be a number in \(0, 1\)"),
    ],
)
def test_invalid_arguments_are_refused(arguments, options, message):
    with pytest.raises(AlsimError, match=message):
        anytime_test(*arguments, **options)


def test_empty_arms_are_refused():
    full, empty = Moments(*np.array([5.0, 1.0, 1.0])), Moments(*np.array([0.0, math.nan, math.nan]))
    with pytest.raises(AlsimError, match="treatment must have at least one value; got 0: wait for the first student"):
        asymptotic_difference(full, empty)
    with pytest.raises(AlsimError, match="control must have at least one value"):
        asymptotic_difference(Moments.of(np.empty(0)), full)
    with pytest.raises(AlsimError, match=r"treatment must be Moments; got ndarray: pass Moments.of\(values\)"):
        asymptotic_difference(full, np.ones(5))  # type: ignore[arg-type]


def test_an_arm_with_one_value_excludes_nothing():
    found = asymptotic_difference(Moments.of(np.array([1.0])), Moments.of(np.arange(50.0)))
    assert (found.lower, found.upper, found.p) == (-math.inf, math.inf, 1) and found.estimate == 23.5


def test_looks_share_the_level_and_unplanned_ones_are_refused():
    assert confidence_per_look() == 0.95
    assert confidence_per_look(0.95, look=5, planned=5) == pytest.approx(0.99)
    with pytest.raises(AlsimError, match="look 2 at a fixed-horizon test with 1 planned look would raise.*use a conf"):
        confidence_per_look(look=2)
    with pytest.raises(AlsimError, match="look 6 at a fixed-horizon test with 5 planned looks"):
        confidence_per_look(look=6, planned=5)
    for options in ({"look": 0}, {"planned": 0}, {"look": 1.5}):
        with pytest.raises(AlsimError, match=next(iter(options))):
            confidence_per_look(**options)


def test_planned_looks_at_the_level_of_each_have_few_false_alarms():
    """2,000 A/A rehearsals with 5 planned looks; false-alarm probability of the test below 0.0014."""
    control, treatment = looks_at(7, 2000, 500, 5)
    z = (treatment.mean - control.mean) / np.sqrt(control.squared_error + treatment.squared_error)
    alarms = abs(z) > stats.norm.ppf((1 + confidence_per_look(planned=5)) / 2)
    assert 0.005 < alarms.any(axis=1).mean() <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 2000)
