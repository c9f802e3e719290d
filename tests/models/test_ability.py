"""Ability estimation: compared with catR, ltm, SciPy and closed forms, and in edge cases."""

import json
import math
import re

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import minimize_scalar

from alsim import AlsimError
from alsim.models import Responses, irt

METHODS = ("eap", "map", "ml", "wle")
GRID = np.linspace(-4, 4, 8001)


def random_bank(seed, many, c=0.0, d=1.0):
    rng = np.random.default_rng(seed)
    return irt.ItemParameters(
        rng.lognormal(0, 0.4, many), rng.normal(size=many), rng.uniform(0, c, many) if c else 0.0, d
    )


def random_responses(seed, people, many, missing=0.3):
    rng = np.random.default_rng(seed)
    answers = rng.integers(0, 2, (people, many))
    return np.where(rng.random((people, many)) < missing, -1, answers)


def log_likelihood(theta, items, row):
    """Return the log-likelihood of one person at each theta."""
    p = irt.probability(theta, items)
    return (np.where(row == 1, np.log(p), 0) + np.where(row == 0, np.log1p(-p), 0)).sum(axis=-1)


def catr(published):
    """Return the bank of catR's runs, the answers before each estimate as rows, and the estimates."""
    content = json.loads((published / "cat" / "catr_runs.json").read_text(encoding="utf-8"))
    steps = [step for run in content["runs"] for step in run["steps"]]
    rows = np.full((len(steps), content["n_items"]), -1)
    for row, step in zip(rows, steps, strict=True):
        row[np.atleast_1d(step["administered0"])] = np.atleast_1d(step["responses"])
    return irt.ItemParameters(*np.array(content["itembank"]).T), rows, steps


@pytest.mark.ci
@pytest.mark.parametrize(
    ("method", "name", "tolerance"),
    # catR looks for modes with R's uniroot, which ends within .Machine$double.eps^0.25 = 1.22e-4 of the root.
    [("eap", "EAP_norm", 1e-9), ("map", "BM_norm", 1.22e-4), ("ml", "ML_norm", 1.22e-4), ("wle", "WL_norm", 1.22e-4)],
)
def test_estimates_equal_those_of_catr(published, method, name, tolerance):
    bank, rows, steps = catr(published)
    theta = np.array([step["estimates"][name]["theta"] for step in steps])
    se = np.array([step["estimates"][name]["se"] for step in steps])
    estimates = irt.estimate_ability(bank, rows, method)
    assert np.abs(estimates.theta - theta).max() < tolerance
    # Near 0, SE moves by less than half its size a logit.
    assert np.abs(estimates.se / se - 1).max() < tolerance
    assert estimates.responses.tolist() == [step["step"] for step in steps]


def test_information_equals_that_of_catr(published):
    bank, _, steps = catr(published)
    for step in steps:
        assert np.abs(irt.information(step["theta_used"], bank) - step["info"]).max() < 1e-12


@pytest.mark.parametrize("model", ["1pl", "2pl"])
def test_modes_equal_those_of_ltm(published, model):
    """LSAT section 6, 1000 people: Rizopoulos (2006) prints parameters with four digits or more, scores with three.

    Half a unit of the scores' third digit, and as much again for the parameters', whose fourth digit is rounded: half
    a unit in each of five b and in a moves a mode by a few 1e-4.
    """
    expected = json.loads((published / "irt" / "published.json").read_text(encoding="utf-8"))["lsat6"][model]
    scores = expected["scores_mode"]
    estimates = irt.estimate_ability(
        irt.ItemParameters(expected["a"], expected["b"]), [score["pattern"] for score in scores], "map"
    )
    assert len(scores) >= 30
    assert np.abs(estimates.theta - [score["theta"] for score in scores]).max() < 1e-3
    assert np.abs(estimates.se - [score["se"] for score in scores]).max() < 1e-3


@pytest.mark.parametrize("right", range(11))
def test_equal_items_have_closed_forms(right):
    """With x of n equal items right, ML has P = x / n, and WLE, by its weight sqrt(I), P = (x + 1/2) / (n + 1)."""
    n, a, b = 10, 1.5, 0.25
    items, row = irt.ItemParameters(np.full(n, a), b), np.arange(n) < right

    def at(p):
        return np.clip(b + np.log(p / (1 - p)) / a, -4, 4) if 0 < p < 1 else np.sign(p - 0.5) * 4

    for method, expected in (("ml", at(right / n)), ("wle", at((right + 0.5) / (n + 1)))):
        estimates = irt.estimate_ability(items, row, method)
        assert abs(estimates.theta[0] - expected) < 1e-9
        assert math.isclose(estimates.se[0], irt.standard_error(expected, items), rel_tol=1e-8)


@pytest.mark.ci
@pytest.mark.parametrize(("c", "d"), [(0.0, 1.0), (0.3, 1.0), (0.3, 0.9)])
def test_eap_equals_the_posterior_mean_by_quadrature(c, d):
    """Adaptive quadrature is run to 1e-10; the trapezoid rule is as exact where the integrand vanishes at the ends."""
    items, rows = random_bank(1, 12, c, d), random_responses(2, 8, 12)
    estimates = irt.estimate_ability(items, rows, "eap", prior_mean=0.3, prior_sd=0.8, bounds=(-8, 8), nodes=801)
    for row, theta, se in zip(rows, estimates.theta, estimates.se, strict=True):

        def moment(power, row=row):
            def integrand(t):
                return t**power * np.exp(log_likelihood(t, items, row) + 4 - ((t - 0.3) / 0.8) ** 2 / 2)

            return quad(integrand, -8, 8, epsabs=1e-12, epsrel=1e-11, limit=200)[0]

        mean = moment(1) / moment(0)
        assert abs(theta - mean) < 1e-9
        assert abs(se - math.sqrt(moment(2) / moment(0) - mean**2)) < 1e-8


@pytest.mark.parametrize(("c", "d"), [(0.0, 1.0), (0.35, 1.0), (0.35, 0.85)])
@pytest.mark.parametrize("method", ["ml", "map"])
def test_modes_equal_the_maximum_of_a_scan(method, c, d):
    """With guessing a likelihood has several maxima; a scan of 8001 abilities finds the highest."""
    items, rows = random_bank(3, 9, c, d), random_responses(4, 25, 9)
    prior = GRID**2 / 2 if method == "map" else 0.0
    estimates = irt.estimate_ability(items, rows, method)
    for row, theta in zip(rows, estimates.theta, strict=True):
        heights = log_likelihood(GRID, items, row) - prior
        best = int(np.argmax(heights))

        def depth(t, row=row):
            return -log_likelihood(t, items, row) + (t**2 / 2 if method == "map" else 0)

        around = (GRID[max(best - 1, 0)], GRID[min(best + 1, 8000)])
        exact = minimize_scalar(depth, around, bounds=around, method="bounded", options={"xatol": 1e-10}).x
        # A minimiser finds a flat place to the root of the numbers' precision, 1e-8, and a bound within 1e-6.
        assert abs(theta - exact) < 2e-6


@pytest.mark.parametrize(("c", "d"), [(0.0, 1.0), (0.25, 1.0), (0.25, 0.9)])
def test_wle_solves_warms_equation(c, d):
    """The derivatives are difference quotients of the curve: good to 1e-5, and so is the slope."""
    items, rows = random_bank(5, 9, c, d), random_responses(6, 40, 9, missing=0.2)
    estimates, h = irt.estimate_ability(items, rows, "wle"), 1e-4
    inside = np.abs(estimates.theta) < 4 - 1e-9
    assert inside.sum() > 30
    for row, theta in zip(rows[inside], estimates.theta[inside], strict=True):
        some = items.take(np.flatnonzero(row >= 0))
        before, p, after = irt.probability(np.array([theta - h, theta, theta + h]), some)
        first, second = (after - before) / (2 * h), (after - 2 * p + before) / h**2
        score = ((row[row >= 0] - p) * first / (p * (1 - p))).sum()
        weight = (first * second / (p * (1 - p))).sum() / (2 * (first**2 / (p * (1 - p))).sum())
        assert abs(score + weight) < 1e-5


def test_wle_of_two_parameters_maximises_the_likelihood_times_the_root_of_information():
    """Warm (1989): the estimate is the maximum of L sqrt(I), here over a scan of abilities."""
    items, rows = random_bank(7, 7), random_responses(8, 30, 7, missing=0.0)
    estimates = irt.estimate_ability(items, rows, "wle").theta
    weight = np.log(irt.test_information(GRID, items)) / 2
    scanned = [GRID[np.argmax(log_likelihood(GRID, items, row) + weight)] for row in rows]
    assert np.abs(estimates - scanned).max() < 0.6e-3  # half a step of the scan, and a little


def test_all_right_and_all_wrong_answers_have_ml_estimates_at_the_bounds():
    items = random_bank(9, 6, 0.2)
    rows = np.array([[1] * 6, [0] * 6])
    assert irt.estimate_ability(items, rows, "ml").theta.tolist() == [4, -4]
    assert irt.estimate_ability(items, rows, "ml", bounds=(-2, 3)).theta.tolist() == [3, -2]
    assert np.allclose(irt.estimate_ability(items, rows, "ml").se, irt.standard_error([4.0, -4.0], items), rtol=1e-12)
    for method in ("eap", "map", "wle"):
        high, low = irt.estimate_ability(items, rows, method).theta
        assert 0 < high < 4 and -4 < low < 0


def test_without_answers_estimates_are_the_prior_or_nan():
    items, none = random_bank(10, 4), np.full((1, 4), -1)
    mode = irt.estimate_ability(items, none, "map", prior_mean=0.5, prior_sd=2.0)
    assert mode.theta[0] == pytest.approx(0.5, abs=1e-9) and mode.se[0] == 2.0
    mean = irt.estimate_ability(items, none, "eap", prior_mean=0.5, prior_sd=0.7, bounds=(-8, 8), nodes=401)
    assert mean.theta[0] == pytest.approx(0.5, abs=1e-12) and mean.se[0] == pytest.approx(0.7, rel=1e-12)
    for method in ("ml", "wle"):
        for bank, row in ((items, none), (irt.ItemParameters([0.0, 0.0], 0.0), [[1, 0]])):
            estimates = irt.estimate_ability(bank, row, method)
            assert np.isnan(estimates.theta[0]) and estimates.se[0] == np.inf
    empty = irt.estimate_ability(items, np.empty((0, 4), int))
    assert len(empty.theta) == len(empty.se) == len(empty.responses) == 0


@pytest.mark.parametrize("method", METHODS)
def test_a_table_and_a_list_of_the_same_answers_agree(method):
    """They are equal to the last bit, independent of the rest of the batch."""
    items, rows = random_bank(11, 8, 0.2), random_responses(12, 25, 8)
    rows[3] = -1
    table = irt.estimate_ability(items, rows, method)
    who, what = np.nonzero(rows >= 0)
    start = np.concatenate([[0], np.cumsum((rows >= 0).sum(axis=1))])
    listed = irt.estimate_ability(items, irt.Answers(start, what, rows[who, what]), method)
    np.testing.assert_array_equal(listed, table)
    for n in (0, 3, 24):
        np.testing.assert_array_equal(np.ravel(irt.estimate_ability(items, rows[n], method)), np.array(table)[:, n])
    some = rows[5] >= 0
    alone = irt.estimate_ability(items.take(some), rows[5][some], method)
    np.testing.assert_array_equal(np.ravel(alone), np.array(table)[:, 5])


def test_a_response_log_is_matched_by_name():
    items = irt.ItemParameters([2.0, 1.0, 0.7], [0.5, -0.5, 1.0], names=["q1", "q2", "q3"])
    log = Responses.from_arrays(["u", "v", "u"], [1, 0, 0], item=["q3", "q1", "q1"])
    expected = irt.estimate_ability(items, [[0, -1, 1], [0, -1, -1]])
    for source in (items, irt.CalibratedItems(items, ("",) * 3, ("",) * 3, ((),) * 3)):
        estimates = irt.estimate_ability(source, log)
        assert np.allclose(estimates.theta, expected.theta, rtol=0, atol=1e-15)
    with pytest.raises(AlsimError, match="Answers have indices of items, so items must be ItemParameters"):
        irt.estimate_ability(source, irt.Answers(np.array([0, 1]), np.array([0]), np.array([1])))


def test_unknown_items_are_ignored_with_a_warning_that_counts_them(caplog):
    items = irt.ItemParameters([2.0, 1.0, 0.7], [0.5, -0.5, 1.0], names=["q1", "q2", "q3"])
    other = Responses.from_arrays(["u", "v", "u", "v"], [1, 0, 0, 1], item=["q3", "x", "q1", "x"])
    message = "1 of 3 items of the responses has no parameters, so 2 responses to such items are ignored: x; the param"
    estimates = irt.estimate_ability(items, other)
    assert re.search(message, caplog.text)
    assert estimates.responses.tolist() == [2, 0] and estimates.students.tolist() == ["u", "v"]
    np.testing.assert_allclose(
        estimates.theta, irt.estimate_ability(items, [[0, -1, 1], [-1, -1, -1]]).theta, atol=1e-15
    )
    left = other.take(np.isin(other.items, items.names)[other.item])
    assert irt.estimate_ability(items, left).responses.sum() == 2  # the names of items without responses do not count
    strange = Responses.from_arrays(["u", "v"], [1, 0], item=["x", "y"])
    with pytest.raises(AlsimError, match="none of the 2 items of the responses has parameters, such as 'x'"):
        irt.estimate_ability(items, strange)


def test_items_without_names_are_matched_by_their_indices():
    pair = irt.ItemParameters([2.0, 1.0], [0.5, -0.5])
    numbered = Responses.from_arrays(["u", "v"], [1, 0], item=["1", "0"])
    assert np.array_equal(irt.estimate_ability(pair, numbered).theta, irt.estimate_ability(pair, [[-1, 1], [0, -1]])[0])
    bank = irt.ItemParameters(np.ones(6), np.linspace(-1, 1, 6))
    for names in (["6", "5", "4", "3", "2", "1"], ["x6", "x5", "x4", "x3", "x2", "x1"]):
        log = Responses.from_arrays(np.zeros(6, int), [1, 1, 1, 0, 0, 0], item=names)
        with pytest.raises(AlsimError, match=f"has an item '{names[0]}', which is not a number of a row from 0 to 5"):
            irt.estimate_ability(bank, log)
    few = Responses.from_arrays(["u", "u"], [1, 0], item=["0", "1"])
    assert irt.estimate_ability(bank, few).theta == irt.estimate_ability(bank, [[1, 0, -1, -1, -1, -1]]).theta


def test_abilities_are_a_table_with_the_names_of_students():
    items = irt.ItemParameters([2.0, 1.0], [0.5, -0.5], names=["q1", "q2"])
    log = Responses.from_arrays(["ann", "bob"], [1, 0], item=["q1", "q2"])
    estimates = irt.estimate_ability(items, log)
    theta, se, responses = estimates
    assert estimates.table()[1] == {"student": "bob", "theta": theta[1], "se": se[1], "responses": responses[1]}
    assert [row["student"] for row in irt.estimate_ability(items, [[1, 0], [0, 1]], "ml").table()] == [0, 1]


@pytest.mark.parametrize("method", ["EAP", "Map", "ML", "WLE"])
def test_methods_in_any_case(method):
    items = random_bank(15, 3)
    one, other = (irt.estimate_ability(items, [1, 0, 1], name) for name in (method, method.lower()))
    assert (one.theta, one.se) == (other.theta, other.se)


def test_many_answers_do_not_underflow():
    """The likelihood of 2500 answers underflows float64; the expected value sums logarithms with math.fsum.

    The posterior falls between nodes 1/4 apart, so the nodes are refined to h = 1/16. By Poisson's summation formula,
    the mean of a normal density then has an error of up to 4 pi sd^2 / h exp(-2 pi^2 sd^2 / h^2): 1e-5 for sd = 0.046.
    """
    items = random_bank(13, 2500, 0.2)
    row = (np.random.default_rng(14).random(2500) < irt.probability(0.7, items)).astype(int)
    nodes = np.linspace(0, 1.5, 301)
    logs = [math.fsum(np.log(np.where(row == 1, p, 1 - p))) for p in irt.probability(nodes, items)] - nodes**2 / 2
    weights = np.exp(logs - logs.max())
    mean = np.average(nodes, weights=weights)
    assert logs.max() < -1000
    estimates = irt.estimate_ability(items, [row, np.where(np.arange(2500) < 5, row, -1)])
    sd = np.sqrt(np.average((nodes - mean) ** 2, weights=weights))
    off = 64 * math.pi * sd**2 * math.exp(-2 * math.pi**2 * (16 * sd) ** 2)
    assert estimates.theta[0] == pytest.approx(mean, abs=1.5 * off) and off < 1e-3 * sd
    assert estimates.se[0] == pytest.approx(sd, rel=1e-3)
    few = irt.estimate_ability(items.take(np.arange(5)), row[:5])
    assert (estimates.theta[1], estimates.se[1]) == (few.theta[0], few.se[0])


@pytest.mark.parametrize("method", ["map", "ml", "wle"])
def test_many_answers_recover_the_true_ability(method):
    """5 standard errors are passed in one of 10^6 draws; prior and Warm's weight move a mode by far less than one."""
    items = random_bank(13, 400, 0.2)
    row = (np.random.default_rng(14).random(400) < irt.probability(0.7, items)).astype(int)
    estimates = irt.estimate_ability(items, row, method)
    assert abs(estimates.theta[0] - 0.7) < 5 * irt.standard_error(0.7, items)


def test_contradictory_answers_to_steep_items_have_estimates():
    items = irt.ItemParameters([500.0, 500.0, 500.0, 1.0], [-1.0, 1.0, 0.03, 0.0])
    for row in ([0, 1, 0, 1], [0, 1, 1, 0], [0, 1, -1, -1]):
        for method in METHODS:
            estimates = irt.estimate_ability(items, row, method)
            assert -4 <= estimates.theta[0] <= 4 and np.isfinite(estimates.se[0])
    assert abs(irt.estimate_ability(items, [0, 1, -1, -1], "ml").theta[0]) <= 1 + 0.05


def test_an_item_with_negative_a_equals_its_mirror_image():
    """An answer to an item with a < 0 has the likelihood of the opposite answer to the item with -a."""
    falling, rising = irt.ItemParameters([-1.2, 1.0], [0.3, 0.0]), irt.ItemParameters([1.2, 1.0], [0.3, 0.0])
    for method in METHODS:
        one, other = (irt.estimate_ability(i, r, method) for i, r in ((falling, [1, 1]), (rising, [0, 1])))
        assert one.theta[0] == pytest.approx(other.theta[0], abs=1e-9)


@pytest.mark.parametrize(
    ("responses", "message"),
    [
        ([[0, 1, 2]], "responses must be 0, 1 or, for an item without an answer, -1; got 2"),
        ([[0, 1, -2]], "got -2"),
        ([[0, 1, np.nan]], "got nan"),
        ([[0, 1, 0.5]], "got 0.5"),
        ([[0, 1, 257]], "got 257"),
        ([["0", "1", "1"]], "got <U1"),
        ([[0, 1], [0, 1, 1]], "inhomogeneous"),
        ([[0, 1]], r"shape \(S, 3\), one column per item; got \(1, 2\)"),
        ([[[0, 1, 1]]], r"got \(1, 1, 3\)"),
        (
            irt.Answers(np.array([0, 2]), np.array([0, 3]), np.array([0, 1])),
            r"items of answers must be integers in \[0, 3\)",
        ),
        (irt.Answers(np.array([0, 2]), np.array([0, 1]), np.array([0, -1])), "answers must be 0 or 1; got -1"),
        (irt.Answers(np.array([0, 3]), np.array([0, 1]), np.array([0, 1])), r"start \(S\+1,\)"),
        (irt.Answers(np.array([0, 2, 1, 2]), np.array([0, 1]), np.array([0, 1])), "never decrease"),
        (irt.Answers(np.array([]), np.array([], int), np.array([], int)), r"start \(S\+1,\)"),
        (irt.Answers(np.array([1, 2]), np.array([0, 1]), np.array([0, 1])), r"start \(S\+1,\)"),
    ],
)
def test_invalid_answers_are_refused(responses, message):
    with pytest.raises(AlsimError, match=message):
        irt.estimate_ability(random_bank(15, 3), responses)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "mle"}, "method must be one of eap, map, ml, wle; got 'mle'"),
        ({"prior_sd": 0.0}, "prior_sd is 0.0; expected a positive number"),
        ({"prior_mean": 5}, r"prior_mean is 5; expected an ability within the bounds \(-4.0, 4.0\): widen bounds"),
        ({"prior_sd": 1e-200}, "expected a positive number, from 1e-100"),
        ({"prior_sd": [1.0, 2.0]}, r"prior_sd is \[1.0, 2.0\]"),
        ({"prior_mean": [1.0, 2.0]}, "prior_mean is .*; expected a number"),
        ({"prior_sd": np.inf}, "prior_sd must contain only finite numbers; got inf"),
        ({"prior_mean": np.nan}, "prior_mean must contain only finite numbers; got nan"),
        ({"bounds": (1, 1)}, "bounds must be two abilities, the lower first"),
        ({"bounds": 4}, "bounds must be two abilities, the lower first; got 4"),
        ({"bounds": (-np.inf, 1)}, "bounds must contain only finite numbers"),
        ({"nodes": 2}, "nodes is 2; expected an integer of at least 3"),
        ({"nodes": 33.0}, "nodes is 33.0"),
    ],
)
def test_invalid_settings_are_refused(settings, message):
    with pytest.raises(AlsimError, match=message):
        irt.estimate_ability(random_bank(16, 3), [0, 1, 1], **settings)
    with pytest.raises(AlsimError, match="items must be ItemParameters, a fitted .*; got list"):
        irt.estimate_ability([1.0, 2.0], [0, 1])


def test_masked_answers_are_missing():
    items = irt.ItemParameters(a=1, b=[-1.0, 0.0, 1.0])
    for dtype in (np.int64, np.bool_):
        masked = np.ma.MaskedArray(np.array([[1, 0, 1]], dtype), mask=[[False, True, False]])
        result = irt.estimate_ability(items, masked)
        assert result.theta == irt.estimate_ability(items, [[1, -1, 1]]).theta and result.responses == 2
