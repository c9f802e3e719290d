"""Confidence sequences, compared with published programs, with brute force, and with their own definitions."""

import itertools
import json
import math
from typing import Any

import numpy as np
import pytest
from scipy import integrate, optimize, stats

from alsim.errors import AlsimError
from alsim.evaluation.experiments import (
    bernoulli_interval,
    betting,
    bounded_difference,
    confidence_sequence,
    planned_interval,
)
from alsim.evaluation.experiments.betting import GRID, log_growth
from alsim.evaluation.experiments.mixture import log_mixture, mixture_bound, mixture_scale
from alsim.evaluation.experiments.predictable import variance_bets
from alsim.evaluation.experiments.sequences import METHODS

NEEDED = math.log(2 / 0.05)
ONE_SIDED = math.log(1 / 0.05)
OPTIONS: dict[str, dict[str, Any]] = {name: {"sd": 1.0} if name == "normal-mixture" else {} for name in METHODS}
BOUNDED = ("betting", "empirical-bernstein", "hoeffding")


def load(path):
    return json.loads(path.read_text(encoding="utf-8"))


def bits(n, share=0.3, seed=0):
    return (np.random.default_rng(seed).random(n) < share).astype(float)


# ── published answers ────────────────────────────────────────────────────────────────────────────


def test_limits_of_values_in_a_range_are_those_of_confseq(published):
    for case in load(published / "evaluation/confidence_sequences.json")["cases"]:
        x, level = case["x"], 1 - case["alpha"]
        for method, name, tolerance in (("empirical-bernstein", "predmix_empbern", 1e-9), ("betting", "betting", 2e-3)):
            found = confidence_sequence(x, method, confidence=level)
            at = [found.at(n) for n in (25, 50, len(x))]
            assert np.allclose(at, case[f"{name}_cs_at_25_50_last"], rtol=0, atol=tolerance)
            planned = planned_interval(x, method, confidence=level)
            assert planned == pytest.approx(case[f"{name}_ci"], rel=0, abs=tolerance)
        planned = planned_interval(x, "hoeffding", confidence=level)
        assert planned == pytest.approx(case["predmix_hoeffding_ci"], rel=0, abs=1e-9)


def mixture_answer(case):
    """Return our value of a case of the published mixtures."""
    function = case["f"]
    if function == "bernoulli_confidence_interval":
        level = 1 - case["alpha"]
        return bernoulli_interval(case["successes"], case["trials"], tuned_for=case["t_opt"], confidence=level)
    scale = mixture_scale(case["v_opt"], 1 - case["alpha_opt"])
    if function == "two_sided_normal_mixture_best_rho":
        return scale
    variance = np.float64(case["v"])
    if function == "two_sided_normal_log_mixture":
        return log_mixture(np.float64(case["s"]), variance, scale)
    assert function == "two_sided_normal_mixture_bound"
    return mixture_bound(variance, scale, 1 - case["alpha"])


def test_mixtures_are_those_of_howard_and_others(published):
    cases = load(published / "evaluation/mixture_bounds.json")["cases"]
    assert len(cases) == 5
    for case in cases:
        assert np.asarray(mixture_answer(case)) == pytest.approx(np.asarray(case["value"]), rel=0, abs=1e-5)


# ── mixtures ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("total", "variance", "tuned"), [(3.0, 10.0, 100.0), (-40.0, 500.0, 30.0), (0.0, 1.0, 1000.0)])
def test_the_normal_mixture_is_an_integral_of_likelihood_ratios(total, variance, tuned):
    scale = mixture_scale(tuned)
    prior = stats.norm(scale=scale**-0.5)
    mixed, _ = integrate.quad(lambda z: math.exp(z * total - z * z * variance / 2) * prior.pdf(z), -9, 9, points=[0])
    assert float(log_mixture(np.float64(total), np.float64(variance), scale)) == pytest.approx(
        math.log(mixed), abs=1e-7
    )


def test_the_bound_is_where_the_evidence_suffices():
    variance = np.geomspace(1e-3, 1e6, 50)
    for level in (0.5, 0.95, 0.999):
        bound = mixture_bound(variance, mixture_scale(100.0, level), level)
        assert np.allclose(log_mixture(bound, variance, mixture_scale(100.0, level)), -math.log(1 - level), atol=1e-9)


def test_the_bound_is_nearly_the_tightest_where_it_is_tuned():
    for tuned in (10.0, 1000.0):
        best = optimize.minimize_scalar(
            lambda log_scale, v=tuned: float(mixture_bound(np.float64(v), math.exp(log_scale))), bracket=(-2, 2)
        )
        assert best.fun < mixture_bound(np.float64(tuned), mixture_scale(tuned)) < 1.01 * best.fun


def test_the_limits_of_a_share_are_where_the_integral_of_likelihood_ratios_suffices():
    successes, trials, tuned = 7, 30, 100.0
    weight = mixture_scale(tuned) - 1

    def log_evidence(p):
        prior = stats.beta(weight * p, weight * (1 - p))
        ratio = stats.binom(trials, p).pmf(successes)
        mixed, _ = integrate.quad(lambda q: stats.binom.pmf(successes, trials, q) * prior.pdf(q), 0, 1)
        return math.log(mixed / ratio)

    for limit in bernoulli_interval(successes, trials, tuned_for=tuned):
        assert log_evidence(limit) == pytest.approx(ONE_SIDED, abs=1e-5)


@pytest.mark.ci
@pytest.mark.parametrize("share", [0.05, 0.5])
def test_the_exact_false_alarms_of_a_share_are_rare(share):
    """Enumerate the numbers of successes up to 150 trials: the chance that any interval excludes the share."""
    n = 150
    alive = np.array([1.0])  # chance of each number of successes without a false alarm so far
    for trials in range(1, n + 1):
        alive = np.append(alive * (1 - share), 0) + np.append(0, alive * share)
        lower, upper = bernoulli_interval(np.arange(trials + 1), trials, tuned_for=50)
        alive[(share < lower) | (share > upper)] = 0
    assert 0.002 < 1 - alive.sum() <= 0.05


def test_the_limits_of_certain_shares_are_the_ends():
    lower, upper = bernoulli_interval([0, 20, 20], [20, 20, 2000])
    assert lower[0] == 0 and upper[1] == 1 and 0 < upper[0] < 1 and lower[1] == pytest.approx(1 - upper[0])
    assert lower[2] < 0.01 < upper[2] < upper[0]


# ── bets ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("planned", [False, True])
def test_the_expected_capital_of_a_true_mean_is_the_start(planned):
    """All sequences of 12 values in {0, 0.4, 1}, with their probabilities: bets on the future would gain."""
    chances, n = {0.0: 0.5, 0.4: 0.3, 1.0: 0.2}, 9
    x = np.array([*itertools.product(chances, repeat=n)])
    probability = np.prod(np.vectorize(chances.get)(x), axis=1)
    mean = sum(value * chance for value, chance in chances.items())
    bets = variance_bets(x, NEEDED, n if planned else None)
    for y, m in ((x, mean), (1 - x, 1 - mean)):
        capital = np.exp(np.cumsum(log_growth(y, bets, m, planned=planned), axis=1))
        assert np.allclose(probability @ capital, 1, rtol=0, atol=1e-12)
        higher = np.exp(np.cumsum(log_growth(y, bets, m + 0.05, planned=planned), axis=1))
        assert (probability @ higher < 1 + 1e-12).all() and (higher <= capital * (1 + 1e-12)).all()


def test_limits_by_betting_are_exact_up_to_the_grid():
    """Bisection for the lower limit after each number of values, by the definition."""
    x = np.concatenate([np.random.default_rng(1).beta(2, 5, 150), bits(100, 0.3)])
    found, bets = confidence_sequence(x, "betting"), variance_bets(x, NEEDED)
    for ends, y in ((found.lower, x), (1 - found.upper, 1 - x)):
        for n in (1, 20, 90, 150, 250):
            low, high = 0.0, 1.0
            for _ in range(40):
                m = (low + high) / 2
                excluded = np.cumsum(log_growth(y[:n], bets[:n], m)).max() >= NEEDED
                low, high = (m, high) if excluded else (low, m)
            assert low - 1 / GRID - 1e-9 <= ends[n - 1] <= low + 1e-9


def test_blocks_of_values_change_no_limit(monkeypatch):
    for x in (bits(400), np.full(3000, 0.50005)):
        whole = confidence_sequence(x, "betting")
        with monkeypatch.context() as patch:
            patch.setattr(betting, "ENTRIES", 1)
            parts = confidence_sequence(x, "betting")
        assert np.array_equal(parts.lower, whole.lower) and np.array_equal(parts.upper, whole.upper)
    # 100,000 equal values between two candidates exclude all candidates, and not the values.
    found = confidence_sequence(np.full(100_000, 0.50005), "betting")
    assert found.at(100_000) == (0.5, 0.5001)


def test_limits_meet_in_blocks_if_the_mean_changes(monkeypatch):
    monkeypatch.setattr(betting, "ENTRIES", 1)
    found = confidence_sequence(np.repeat([0.2, 0.8], 500), "betting")
    assert found.lower[-1] >= found.upper[-1]


@pytest.mark.parametrize("method", BOUNDED)
def test_limits_meet_if_the_mean_changes(method):
    found = confidence_sequence(np.repeat([0.1, 0.9], 1000), method)
    assert found.lower[-1] >= found.upper[-1] and found.excludes(0.1) is not None and found.excludes(0.5) is not None


def test_known_values_are_excluded_fast():
    """Zeros only: the capital of the bet below m grows by log(1 + m / (2 (1 - m))) or less at each value."""
    found = confidence_sequence(np.zeros(2000), "betting")
    assert (found.lower == 0).all()
    least = NEEDED / math.log(1 + 0.5 * 0.2 / 0.8)  # values that exclude 0.2 at the largest bet
    assert least <= found.excludes(0.2) < 1.5 * least


# ── all methods ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("method", METHODS)
def test_limits_depend_on_earlier_values_only(method):
    x = bits(120)
    whole = confidence_sequence(x, method, **OPTIONS[method])
    for n in (1, 2, 30, 119):
        part = confidence_sequence(x[:n], method, **OPTIONS[method])
        for name in ("estimate", "lower", "upper"):
            assert np.allclose(getattr(part, name), getattr(whole, name)[:n], rtol=0, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_limits_contain_the_estimate_and_tighten(method):
    found = confidence_sequence(bits(3000), method, **OPTIONS[method])
    assert (found.lower <= found.estimate).all() and (found.estimate <= found.upper).all()
    width = found.upper - found.lower
    assert width[2999] < width[299] / 2 and width[2999] < 0.14
    assert found.excludes(float(found.estimate[-1])) is None
    assert found.at(3000) == (found.lower[-1], found.upper[-1])


@pytest.mark.parametrize("method", METHODS)
def test_reflected_values_have_reflected_limits(method):
    x = bits(200, 0.2)
    one, other = (confidence_sequence(y, method, **OPTIONS[method]) for y in (x, 1 - x))
    assert np.allclose(one.lower, 1 - other.upper, rtol=0, atol=1e-9)
    assert np.allclose(one.upper, 1 - other.lower, rtol=0, atol=1e-9)


@pytest.mark.parametrize("method", BOUNDED)
def test_limits_scale_with_the_range(method):
    x = np.random.default_rng(3).beta(2, 3, 100)
    scaled = {"low": -10.0, "high": 30.0}
    one, other = confidence_sequence(x, method), confidence_sequence(40 * x - 10, method, **scaled)
    assert np.allclose(40 * one.lower - 10, other.lower, rtol=0, atol=1e-9)
    assert np.allclose(40 * one.upper - 10, other.upper, rtol=0, atol=1e-9)
    planned = np.array(planned_interval(x, method))
    assert planned_interval(40 * x - 10, method, **scaled) == pytest.approx(40 * planned - 10, abs=1e-9)
    assert (np.diff(one.lower) >= 0).all() and (np.diff(one.upper) <= 0).all()


def test_a_planned_interval_is_narrower_and_the_variance_pays():
    x = np.random.default_rng(4).beta(20, 20, 400)
    widths = {}
    for method in BOUNDED:
        found = confidence_sequence(x, method)
        low, high = planned_interval(x, method)
        assert high - low < found.upper[-1] - found.lower[-1]
        widths[method] = high - low
    assert widths["betting"] < widths["empirical-bernstein"] < widths["hoeffding"]


def test_the_first_exclusion_is_the_first_interval_without_the_value():
    found = confidence_sequence(bits(500, 0.3), "betting")
    step = found.excludes(0.5)
    low, high = found.at(step)
    assert not low <= 0.5 <= high
    low, high = found.at(step - 1)
    assert low <= 0.5 <= high
    assert found.excludes(0.3) is None


def test_a_sequence_has_a_short_repr_and_json():
    found = confidence_sequence(bits(50), "asymptotic", first=60)
    assert repr(found).startswith("ConfidenceSequence(method='asymptotic', confidence=0.95, estimate (50,)")
    expected = {"method": "asymptotic", "confidence": 0.95, "n": 50, "mean": bits(50).mean(), "ci": [None, None]}
    assert found.to_dict() == expected
    json.dumps(confidence_sequence(bits(50)).to_dict())


def test_the_asymptotic_sequence_begins_at_its_first_value():
    x = np.random.default_rng(5).normal(1e6, 1, 100)
    found = confidence_sequence(x, "asymptotic", first=30, tuned_for=50)
    assert np.isinf(found.lower[:29]).all() and np.isinf(found.upper[:29]).all()
    n = np.array([30, 100])
    half = [x[:k].std(ddof=1) * mixture_bound(np.float64(k), mixture_scale(50.0)) / k for k in n]
    assert found.upper[n - 1] - found.estimate[n - 1] == pytest.approx(half, rel=1e-6)


def test_equal_values_exclude_nothing_without_a_known_variance():
    found = confidence_sequence(np.full(200, 0.1), "asymptotic")
    assert np.isinf(found.upper).all() and found.estimate[-1] == 0.1
    assert confidence_sequence(np.full(200, 0.1), "betting").excludes(0.5) is not None


def test_the_difference_of_two_arms_covers_and_finds():
    control, treatment = bits(800, 0.3, 1), bits(700, 0.5, 2)
    low, high = bounded_difference(control, treatment)
    assert 0 < low < 0.2 < high < 0.4
    arms = [confidence_sequence(x, confidence=0.975) for x in (control, treatment)]
    assert low == arms[1].lower[-1] - arms[0].upper[-1] and high == arms[1].upper[-1] - arms[0].lower[-1]
    assert bounded_difference(treatment, control) == pytest.approx((-high, -low))


# ── invalid arguments ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        ([0.5, math.nan], {}, "x must be finite numbers in order of arrival; got nan at index 1: leave it out"),
        ([], {}, r"x must have shape \(K,\), K at least 1; got shape \(0,\)"),
        ([[0.5]], {}, r"got shape \(1, 1\)"),
        (["a"], {}, "x must be numbers; got strings"),
        ([0.5, 1.2], {}, r"x must be in the stated range \[0, 1\]; got 1.2 at index 1: state the range"),
        ([0.5], {"low": 1.0, "high": 1.0}, "low must be below high; got 1 and 1: state the range"),
        ([0.5], {"low": math.inf}, "low must be a finite number"),
        ([0.5], {"method": "beting"}, "unknown method 'beting'; did you mean 'betting'?"),
        ([0.5], {"method": 3}, "unknown method 3: use one of betting, empirical-bernstein"),
        ([0.5], {"sd": 1.0}, "sd has no meaning for the method 'betting'; got 1.0: leave it out"),
        ([0.5], {"method": "normal-mixture"}, "the method 'normal-mixture' needs sd; got None: pass the standard dev"),
        ([0.5], {"method": "normal-mixture", "sd": 0.0}, "sd must be positive; got 0: pass the standard deviation"),
        ([0.5], {"method": "asymptotic", "tuned_for": -3}, "tuned_for must be positive; got -3: pass a number of"),
        ([0.5], {"method": "asymptotic", "first": 1}, "first must be an integer from 2"),
        (
            [0.5],
            {"method": "beta-binomial"},
            "x must be 0 or 1 for the method 'beta-binomial'; got 0.5 at index 0: use",
        ),
        ([1.0], {"method": "beta-binomial", "tuned_for": 5}, "tuned_for is too small.*got 5: pass a number.*least 9"),
        ([0.5], {"confidence": 95}, r"confidence must be a number in \(0, 1\); got 95"),
    ],
)
def test_invalid_arguments_are_refused(x, options, message):
    with pytest.raises(AlsimError, match=message):
        confidence_sequence(x, **options)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bernoulli_interval(3, 2), "successes must be from 0 to the number of trials.*got 3 of 2"),
        (lambda: bernoulli_interval([1], [0]), "at least 1; got 1 of 0"),
        (lambda: bernoulli_interval(math.nan, 2), "got nan of 2"),
        (lambda: bernoulli_interval("a", 2), "successes must be numbers"),
        (lambda: planned_interval([0.5], "asymptotic"), "unknown method 'asymptotic': use one of betting"),
        (lambda: planned_interval([2.0]), r"x must be in the stated range \[0, 1\]; got 2 at index 0"),
        (lambda: bounded_difference([0.5], [2.0]), r"treatment must be in the stated range \[0, 1\]; got 2"),
        (lambda: bounded_difference([], [0.5]), "control must have shape"),
        (lambda: bounded_difference([0.5], [0.5], confidence=1.0), "confidence must be"),
        (lambda: confidence_sequence([0.5]).at(2), "n must be an integer from 1 to 1; got 2: pass a number of values"),
        (lambda: confidence_sequence([0.5]).excludes(math.nan), "value must be a finite number"),
    ],
)
def test_other_invalid_calls_are_refused(call, message):
    with pytest.raises(AlsimError, match=message):
        call()
