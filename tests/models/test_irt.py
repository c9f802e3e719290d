"""Calibration compared with published estimates, a generic optimiser, numerical derivatives and simulated items."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize

from alsim.errors import AlsimError
from alsim.models import ModelError, Responses, irt, load_fit
from alsim.models.irt.calibration import _patterns, _start
from alsim.models.irt.estimation import Groups, log_prior, quadrature, run_em
from alsim.models.irt.expectation import collapse
from alsim.models.irt.maximisation import Priors, Structure
from alsim.models.irt.standard_errors import MAX_JOINT_CURVES

MODELS = ("rasch", "1pl", "2pl", "3pl")


def simulated(students=300, items=6, seed=0, missing=0.0, guessing=0.0):
    """Return responses simulated by the 2PL or 3PL, and their a and b."""
    rng = np.random.default_rng(seed)
    a, b = np.exp(rng.normal(0, 0.3, items)), rng.normal(0, 1, items)
    theta = rng.normal(size=(students, 1))
    matrix = (rng.random((students, items)) < guessing + (1 - guessing) / (1 + np.exp(-a * (theta - b)))).astype(int)
    matrix[rng.random((students, items)) < missing] = -1
    return Responses.from_matrix(matrix), a, b


def marginal(log, a, d, c, priors=None, nodes=61):
    """Return the marginal log-likelihood by its definition, plus the log-densities of the priors."""
    theta = np.linspace(-6, 6, nodes)
    g = np.exp(-(theta**2) / 2)
    g /= g.sum()
    p = c[:, None] + (1 - c[:, None]) / (1 + np.exp(-(np.outer(a, theta) + d[:, None])))
    total = 0.0
    for s in range(log.num_students):
        rows = slice(log.start[s], log.start[s + 1])
        right = log.correct[rows, None] == 1
        total += log.weight[s] * np.log((g * np.where(right, p[log.item[rows]], 1 - p[log.item[rows]]).prod(0)).sum())
    if priors is not None and priors.a:
        total += (-np.log(a) - (np.log(a) - priors.a[0]) ** 2 / (2 * priors.a[1] ** 2)).sum()
    if priors is not None and priors.c:
        total += ((priors.c[0] - 1) * np.log(c) + (priors.c[1] - 1) * np.log1p(-c)).sum()
    if priors is not None and priors.d:
        total += (-((d - priors.d[0]) ** 2) / (2 * priors.d[1] ** 2)).sum()
    return total


def vector(fit):
    """Return the estimates of a fit as one vector, and a function that returns a, d and c from the vector."""
    n = len(fit.items)
    parts = {"rasch": [fit.d], "1pl": [fit.a[:1], fit.d], "2pl": [fit.a, fit.d], "3pl": [fit.a, fit.d, fit.c]}
    ones, zeros = np.ones(n), np.zeros(n)
    read = {
        "rasch": lambda x: (ones, x, zeros),
        "1pl": lambda x: (ones * x[0], x[1:], zeros),
        "2pl": lambda x: (x[:n], x[n:], zeros),
        "3pl": lambda x: (x[:n], x[n : 2 * n], x[2 * n :]),
    }
    return np.concatenate(parts[fit.variant]), read[fit.variant]


def derivatives(function, x, h=1e-4):
    """Return gradient and Hessian by central differences; errors are about h^2 f''' / 6 and 1e-13 |f| / h^2."""
    n, steps = len(x), h * np.eye(len(x))
    gradient = np.array([(function(x + e) - function(x - e)) / (2 * h) for e in steps])
    hessian = np.empty((n, n))
    for i in range(n):
        for j in range(i, n):
            e, f = steps[i], steps[j]
            value = function(x + e + f) - function(x + e - f) - function(x - e + f) + function(x - e - f)
            hessian[i, j] = hessian[j, i] = value / (4 * h * h)
    return gradient, hessian


# ── published ────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def lsat6(published: Path):
    """Return the responses of LSAT section 6, and published estimates."""
    rows = np.loadtxt(published / "irt" / "lsat6_patterns.csv", delimiter=",", skiprows=1).astype(int)
    known = json.loads((published / "irt" / "published.json").read_text())["lsat6"]
    return Responses.from_matrix(rows[:, :-1], weight=rows[:, -1]), known


def test_lsat6_rasch(lsat6):
    log, known = lsat6
    fit, known = irt.fit(log, "rasch"), known["rasch_a_fixed_1"]
    assert fit.log_likelihood == pytest.approx(known["logLik"], abs=6e-4)
    np.testing.assert_allclose(fit.b, known["b"], atol=6e-4)  # printed with three digits or four
    np.testing.assert_allclose(fit.se_b, known["se_b"], atol=1e-4)
    assert (fit.a == 1).all() and np.isnan(fit.se_a).all() and fit.converged


def test_lsat6_1pl(lsat6):
    log, known = lsat6
    fit, known = irt.fit(log, "1pl"), known["1pl"]
    assert fit.log_likelihood == pytest.approx(known["logLik"], abs=6e-4)
    np.testing.assert_allclose(fit.a, known["a"], atol=1e-4)
    np.testing.assert_allclose(fit.b, known["b"], atol=3e-4)
    np.testing.assert_allclose(fit.se_a, known["se_a"], atol=1e-4)
    np.testing.assert_allclose(fit.se_b, known["se_b"], atol=1e-4)
    assert (fit.aic, fit.bic) == pytest.approx((known["AIC"], known["BIC"]), abs=1e-3)
    g2 = irt.pattern_fit(fit, log)
    assert (round(g2.g2, 1), g2.df) == (21.8, 25)  # mirt, at the source that published.json names


def test_lsat6_2pl(lsat6):
    """The published run stopped slightly early: its b differ by 2.3e-3 from the maximum, its SE of b by 1.3e-3."""
    log, known = lsat6
    fit, known = irt.fit(log, "2pl"), known["2pl"]
    assert fit.log_likelihood == pytest.approx(known["logLik"], abs=1e-3)
    np.testing.assert_allclose(fit.a, known["a"], atol=1e-3)
    np.testing.assert_allclose(fit.d, -np.multiply(known["a"], known["b"]), atol=1e-3)
    np.testing.assert_allclose(fit.b, known["b"], atol=3e-3)
    np.testing.assert_allclose(fit.se_a, known["se_a"], atol=3e-4)
    np.testing.assert_allclose(fit.se_b, known["se_b"], atol=2e-3)
    assert (fit.aic, fit.bic) == pytest.approx((known["AIC"], known["BIC"]), abs=1e-3)
    modes = np.array([row["theta"] for row in known["scores_mode"]])
    order = {tuple(row): k for k, row in enumerate(log.matrix().tolist())}
    ours = fit.scores(log, "map").theta[[order[tuple(row["pattern"])] for row in known["scores_mode"]]]
    np.testing.assert_allclose(ours, modes, atol=1.5e-3)


@pytest.mark.compiled
def test_lsat6_3pl_without_priors_has_at_least_the_published_likelihood(lsat6):
    log, known = lsat6
    fit = irt.fit(log, "3pl", priors=Priors(), max_iterations=200)
    assert fit.log_likelihood >= known["3pl"]["logLik"] - 0.005  # printed with two digits


@pytest.mark.compiled
@pytest.mark.parametrize("key", [5, 3])
def test_sat12(published, key):
    matrix = np.loadtxt(published / "irt" / f"sat12_scored_key{key}.csv", delimiter=",", skiprows=1).astype(int)
    known = json.loads((published / "irt" / "published.json").read_text())["sat12"][f"2pl_key{key}"]
    fit = irt.fit(Responses.from_matrix(matrix), "2pl")
    assert fit.log_likelihood == pytest.approx(known["logLik"], abs=1e-2)
    assert (fit.aic, fit.bic) == pytest.approx((known["AIC"], known["BIC"]), abs=2e-2)


# ── the maximum ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.heavy
@pytest.mark.parametrize("model", MODELS)
def test_the_log_likelihood_follows_its_definition_and_is_a_maximum(model):
    log = simulated(120, 4, seed=1, missing=0.2, guessing=0.2 * (model == "3pl"))[0]
    fit = irt.fit(log, model, nodes=31)
    x, read = vector(fit)

    def objective(x):
        return marginal(log, *read(x), fit.priors, nodes=31)

    assert fit.log_likelihood == pytest.approx(marginal(log, *read(x), nodes=31), abs=1e-8)
    best = minimize(lambda x: -objective(x), x, method="BFGS", options={"gtol": 1e-6, "maxiter": 20})
    assert -best.fun - objective(x) < 1e-6


@pytest.mark.ci
@pytest.mark.parametrize("model", MODELS)
def test_standard_errors_equal_those_of_the_numerical_hessian(model):
    """With h = 1e-4 and |f| = 300, the error of the Hessian is 3e-5, and its entries are at least 1."""
    log = simulated(120, 4, seed=2, guessing=0.2 * (model == "3pl"))[0]
    priors = Priors(a=(0.0, 0.5), c=(5.0, 17.0)) if model == "3pl" else Priors(d=(0.0, 3.0))
    fit = irt.fit(log, model, priors=priors, nodes=31, tolerance=1e-8)
    x, read = vector(fit)
    gradient, hessian = derivatives(lambda x: marginal(log, *read(x), priors, nodes=31), x)
    np.testing.assert_allclose(gradient, 0, atol=1e-4)
    covariance = np.linalg.inv(-hessian)
    n, errors = len(fit.items), np.sqrt(np.diag(covariance))
    slopes = {"rasch": 0, "1pl": 1}.get(model, n)
    np.testing.assert_allclose(fit.se_d, errors[slopes : slopes + n], rtol=1e-4)
    if slopes:
        np.testing.assert_allclose(fit.se_a, np.broadcast_to(errors[:slopes], n), rtol=1e-4)
    if model == "3pl":
        np.testing.assert_allclose(fit.se_c, errors[2 * n :], rtol=1e-4)
    for i in range(n):  # b = -d / a, by the delta method
        slope = np.zeros(len(x))
        slope[slopes + i] = -1 / fit.a[i]
        if slopes:
            slope[min(i, slopes - 1)] = fit.d[i] / fit.a[i] ** 2
        assert fit.se_b[i] == pytest.approx(np.sqrt(slope @ covariance @ slope), rel=1e-4)


@pytest.mark.heavy
@pytest.mark.parametrize("model", MODELS)
def test_the_likelihood_never_falls_and_accelerated_em_ends_at_a_fixed_point_of_em(model):
    log = simulated(200, 5, seed=3)[0]
    count = log.num_items
    patterns = _patterns(log, np.ones(count, bool))
    structure = Structure(model, np.zeros(count, int) if model == "1pl" else np.arange(count))
    correct = np.bincount(log.item, log.correct, count)
    start = _start(np.full(count, 200.0), correct.astype(float), structure)
    priors = Priors(a=(0.0, 0.5), c=(5.0, 17.0)) if model == "3pl" else Priors()
    result = run_em(start, patterns, quadrature(21), structure, priors, tolerance=1e-7, max_iterations=300)
    assert result.converged
    assert min(np.diff(result.path)) >= -1e-9  # rounding of a sum of 200 logarithms
    state = result.state
    for _ in range(3):  # further steps of plain EM change nothing
        state = run_em(
            result.state, patterns, quadrature(21), structure, priors, tolerance=1e-7, max_iterations=1
        ).state
        np.testing.assert_allclose(state.curves, result.state.curves, atol=3e-7)


def test_equal_patterns_are_collapsed_and_equal_weighted_students():
    rows = np.array([[1, 0, 1], [0, 0, 1], [1, 0, 1], [1, 1, 0], [0, 1, 0], [1, 1, 0], [1, 0, 1]])
    distinct, index = np.unique(rows, axis=0, return_inverse=True)
    log = Responses.from_matrix(rows)
    patterns = collapse(log.start, 2 * log.item + log.correct, log.weight, np.zeros(7, np.int32))
    assert sorted(patterns.weight) == sorted(np.bincount(index.ravel()))
    weighted = Responses.from_matrix(distinct, weight=np.bincount(index.ravel()))
    one, other = irt.fit(log, "rasch"), irt.fit(weighted, "rasch")
    np.testing.assert_allclose(one.d, other.d, atol=1e-9)
    assert (one.num_responses, one.bic) == pytest.approx((other.num_responses, other.bic))


def test_patterns_of_two_groups_stay_apart():
    start, code = np.array([0, 2, 4, 6]), np.array([1, 2, 2, 1, 1, 2], np.int32)
    patterns = collapse(start, code, np.array([1.0, 2.0, 4.0]), np.array([0, 0, 1], np.int32))
    assert sorted(zip(patterns.weight.tolist(), patterns.group.tolist(), strict=True)) == [(3.0, 0), (4.0, 1)]


def test_each_of_several_responses_to_an_item_counts():
    log = Responses.from_arrays([0, 0, 0, 1, 1, 2, 2, 2, 3], [1, 1, 0, 0, 1, 0, 0, 1, 1], item=list("aabaabbab"))
    fit = irt.fit(log, "rasch", nodes=31)
    assert fit.log_likelihood == pytest.approx(marginal(log, fit.a, fit.d, fit.c, nodes=31), abs=1e-10)
    gradient, hessian = derivatives(lambda d: marginal(log, fit.a, d, fit.c, nodes=31), fit.d)
    np.testing.assert_allclose(gradient, 0, atol=1e-5)
    np.testing.assert_allclose(fit.se_d, np.sqrt(np.diag(np.linalg.inv(-hessian))), rtol=1e-4)


# ── many items ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.ci
@pytest.mark.compiled
def test_with_many_items_each_standard_error_treats_the_others_as_known(monkeypatch):
    """Such standard errors are exact for one item; with 40 items they are one or two percent too small."""
    log, _, _ = simulated(1000, 40, seed=4)
    joint = irt.fit(log)
    monkeypatch.setattr("alsim.models.irt.standard_errors.MAX_JOINT_CURVES", 10)
    separate = irt.fit(log)
    assert joint.between and not separate.between
    assert MAX_JOINT_CURVES > 40
    ratio = separate.se_d / joint.se_d
    assert (ratio <= 1 + 1e-9).all() and (ratio > 0.6).all()
    assert any("treats the other items as known" in note for note in separate.notes)


@pytest.mark.parametrize("model", ["rasch", "1pl", "3pl"])
def test_the_separate_standard_errors_of_one_item_are_exact(model, monkeypatch):
    """The covariance of an item's parameters, with all others known, is the inverse of a block of the Hessian."""
    log = simulated(100, 3, seed=5)[0]
    monkeypatch.setattr("alsim.models.irt.standard_errors.MAX_JOINT_CURVES", 1)
    fit = irt.fit(log, model, nodes=31)
    x, read = vector(fit)
    _, hessian = derivatives(lambda x: marginal(log, *read(x), fit.priors, nodes=31), x)
    n = 3
    places = {"rasch": [0], "1pl": [1], "3pl": [n, 0, 2 * n]}[model]  # d, a, c of the first item
    errors = np.sqrt(np.diag(np.linalg.inv(-hessian[np.ix_(places, places)])))
    actual = [fit.se_d[0], fit.se_a[0], fit.se_c[0]][: len(places)]
    np.testing.assert_allclose(actual, errors, rtol=1e-4)
    assert model != "1pl" or np.isnan(fit.se_a).all()


# ── recovery ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.compiled
def test_simulated_items_are_recovered_within_their_standard_errors():
    """4,000 students and 30 items, a quarter of the responses missing, give 60 z-values.

    The largest exceeds 4.5 by chance in one of 2,400 seeds. The sum of squares is about chi-squared with 60 degrees of
    freedom, and outside (27, 107) in one of 3,000 seeds.
    """
    log, a, b = simulated(4000, 30, seed=6, missing=0.25)
    fit = irt.fit(log)
    z = np.concatenate([(fit.a - a) / fit.se_a, (fit.d + a * b) / fit.se_d])
    assert np.abs(z).max() < 4.5
    assert 27 < (z**2).sum() < 107


@pytest.mark.compiled
def test_the_items_of_a_simulator_bank_are_recovered():
    """5,000 simulated students with constant ability answer 25 questions of a sampled bank."""
    import alsim

    bank = alsim.sample_bank(alsim.Config())
    questions = [bank.question(i) for i in range(0, bank.num_questions, bank.num_questions // 25)][:25]
    a, b, c = (np.array([question[f"irt_{name}"] for question in questions]) for name in "abc")
    rng = np.random.default_rng(7)
    theta = rng.normal(size=(5000, 1))
    matrix = (rng.random((5000, 25)) < c + (1 - c) / (1 + np.exp(-a * (theta - b)))).astype(int)
    fit = irt.fit(Responses.from_matrix(matrix), "3pl")
    assert np.corrcoef(fit.b, b)[0, 1] > 0.97
    theta_hat = fit.scores(Responses.from_matrix(matrix)).theta
    assert np.corrcoef(theta_hat, theta[:, 0])[0, 1] > 0.85


@pytest.mark.compiled
def test_a_negative_discrimination_is_estimated_and_noted():
    log, _, _ = simulated(400, 6, seed=8)
    matrix = log.matrix().copy()
    matrix[:, 2] = 1 - matrix[:, 2]
    plain, turned = irt.fit(log, nodes=31), irt.fit(Responses.from_matrix(matrix), nodes=31)
    assert turned.a[2] == pytest.approx(-plain.a[2], abs=1e-4)
    assert turned.b[2] == pytest.approx(plain.b[2], abs=1e-4)
    assert turned.notes == ("answered better by students of lower ability, a < 0: 2",)


# ── what has no estimate ─────────────────────────────────────────────────────────────────────────


@pytest.mark.ci
def test_an_item_whose_responses_are_all_equal_is_left_out_and_noted():
    matrix = simulated(60, 4, seed=9)[0].matrix()
    fit = irt.fit(Responses.from_matrix(np.column_stack([np.ones(60, int), matrix]), items=list("pqrst")), "rasch")
    alone = irt.fit(Responses.from_matrix(matrix), "rasch")
    assert fit.notes == ("no finite estimate, since all responses are equal: p",)
    assert np.isnan(fit.d[0]) and fit.num_parameters == 4
    np.testing.assert_allclose(fit.d[1:], alone.d, atol=1e-9)
    assert fit.log_likelihood == pytest.approx(alone.log_likelihood)
    new = Responses.from_arrays([0], [1], item=["p"])
    assert fit.predict(new)[0] == pytest.approx(61 / 62)
    assert fit.to_dict()["items"]["p"]["b"] is None


def test_an_item_without_responses_is_noted_saved_and_predicted_like_an_unknown_item(tmp_path):
    """`Responses.take` keeps all items of the log, so that a part of a log may contain such items."""
    log = Responses.from_matrix(simulated(60, 4, seed=9)[0].matrix(), items=list("pqrs"))
    fit = irt.fit(log.take(log.item != 2), "rasch", nodes=21)
    assert fit.notes == ("no finite estimate, since there are no responses: r",)
    again = load_fit(fit.save(tmp_path / "fit.json"))
    new = Responses.from_arrays([0, 1], [1, 1], item=["r", "new"])
    assert np.isnan(again.d[2]) and again.responses[2] == 0
    assert again.predict(new)[0] == again.predict(new)[1] == fit.predict(new)[0]
    assert again.predict(new)[0] != 0.5


def test_with_a_prior_of_d_an_item_whose_responses_are_all_equal_has_an_estimate():
    matrix = np.column_stack([np.ones(60, int), simulated(60, 4, seed=9)[0].matrix()])
    fit = irt.fit(Responses.from_matrix(matrix), "rasch", priors=Priors(d=(0.0, 2.0)))
    assert 2 < fit.d[0] < 8 and fit.notes == ()


def test_invalid_settings_and_responses_are_refused():
    log = simulated(20, 3)[0]
    for options, message in (
        ({"model": "4pl"}, "model must be one of"),
        ({"nodes": 5}, "nodes must be an integer from 11"),
        ({"nodes": True}, "nodes must be an integer"),
        ({"tolerance": 0.0}, "tolerance must be a positive number"),
        ({"tolerance": "fine"}, "tolerance must be a positive number"),
        ({"priors": (0, 1)}, "priors must be Priors; got tuple"),
        ({"max_iterations": 0}, "max_iterations must be an integer from 1"),
        ({"model": "2pl", "priors": Priors(c=(5, 17))}, "which the model '2pl' does not estimate"),
        ({"model": "rasch", "priors": Priors(a=(0, 1))}, "which the model 'rasch' does not estimate"),
        ({"priors": Priors(a=(0, 0))}, "the prior of a must be mean and sd"),
        ({"model": "3pl", "priors": Priors(c=(0.5, 2))}, "two numbers of at least 1"),
        ({"priors": Priors(d=("x", 1))}, "the prior of d must be"),
    ):
        with pytest.raises(ModelError, match=message):
            irt.fit(log, **options)
    with pytest.raises(
        ModelError, match="responses must be Responses, such as Responses.from_matrix returns; got list"
    ):
        irt.fit([[0, 1], [1, 0]])
    with pytest.raises(ModelError, match="no item of 2 has both"):
        irt.fit(Responses.from_matrix([[1, 0], [1, 0]]))


def test_a_fit_that_has_not_converged_is_noted_and_progress_is_reported():
    calls = []
    fit = irt.fit(simulated()[0], max_iterations=2, progress=lambda *x: calls.append(x), standard_errors=False)
    assert not fit.converged and fit.notes[0].startswith("not converged: the last of 2 steps")
    assert [x[:2] for x in calls] == [(1, 2), (2, 2)] and "log-likelihood" in calls[0][2]
    assert np.isnan(fit.se_d).all()


@pytest.mark.ci
@pytest.mark.compiled
def test_estimates_at_a_bound_are_noted():
    """For two items that split the students in the same way, the estimate of a would be infinite."""
    matrix = np.repeat([[0, 0], [1, 1]], 40, axis=0)
    matrix = np.column_stack([matrix, np.tile([0, 1], 40)])
    fit = irt.fit(Responses.from_matrix(matrix), "2pl", max_iterations=300)
    assert any(note.startswith("estimate at a bound") for note in fit.notes)
    assert np.abs(fit.a).max() <= 10
    free = irt.fit(simulated(100, 4, seed=10)[0], "3pl", priors=Priors(), max_iterations=200)
    assert any(note.startswith("c at a bound") for note in free.notes)


@pytest.mark.compiled
@pytest.mark.parametrize("tolerance", [1e-6, 1e-4])
def test_an_item_that_repeats_the_score_is_at_the_bound_without_standard_errors(tolerance):
    """EM ends just below the bound, by less than a step."""
    random = np.random.default_rng(0)
    ability = random.normal(size=(300, 1))
    answers = random.random((300, 6)) < 1 / (1 + np.exp(np.linspace(-1, 1, 6) - ability))
    matrix = np.column_stack([answers, answers.sum(axis=1) >= 3]).astype(int)
    fit = irt.fit(Responses.from_matrix(matrix, items=[*"uvwxyz", "passed"]), tolerance=tolerance)
    assert fit.a[6] == 10 and fit.at_bounds.tolist() == [False] * 6 + [True]
    assert np.isnan([fit.se_a[6], fit.se_b[6], fit.se_d[6]]).all() and np.isfinite(fit.se_b[:6]).all()
    assert "so that the item has no standard errors: passed;" in fit.notes[0]
    assert fit.caveats == ("1 of 7 items is at a bound",)
    assert irt.IRTFit.from_dict(fit.to_dict()).caveats == fit.caveats
    assert fit.log_likelihood == pytest.approx(marginal(Responses.from_matrix(matrix), fit.a, fit.d, fit.c), abs=1e-9)


# ── what a fit does ──────────────────────────────────────────────────────────────────────────────


def test_predictions_equal_enumeration_over_earlier_responses():
    """The expected value is P(x_r = 1 and earlier responses) / P(earlier responses)."""
    log, _, _ = simulated(80, 4, seed=11)
    fit = irt.fit(log, nodes=31)
    new = Responses.from_arrays([7, 7, 7, 7, 8], [1, 0, 1, 1, 0], item=["2", "new", "2", "0", "3"])
    theta = np.linspace(-6, 6, 31)
    prior = np.exp(-(theta**2) / 2)
    curves = 1 / (1 + np.exp(-(np.outer(fit.a, theta) + fit.d[:, None])))
    by_name = {str(k): curves[k] for k in range(4)} | {"new": curves.mean(axis=0)}  # equally many responses each

    def joint(pairs):
        return (prior * np.prod([by_name[i] if x else 1 - by_name[i] for i, x in pairs], axis=0)).sum()

    pairs = [("2", 1), ("new", 0), ("2", 1), ("0", 1)]
    expected = [joint([*pairs[:k], (pairs[k][0], 1)]) / (joint(pairs[:k]) if k else prior.sum()) for k in range(4)]
    expected.append(joint([("3", 1)]) / prior.sum())
    np.testing.assert_allclose(fit.predict(new), expected, atol=1e-12)


@pytest.mark.compiled
@pytest.mark.parametrize(("sd", "word"), [(0.5, "less"), (1.0, None), (1.8, "more")])
def test_another_spread_of_ability_is_noted_in_a_rasch_fit(sd, word):
    """A note of the true model appears by chance for one of 1,000 seeds."""
    random = np.random.default_rng(6)
    matrix = random.random((800, 10)) < 1 / (1 + np.exp(np.linspace(-1, 1, 10) - random.normal(0, sd, (800, 1))))
    log = Responses.from_matrix(matrix.astype(int))
    fit, free = irt.fit(log, "rasch"), irt.fit(log, "1pl")
    if word is None:
        assert fit.notes == ()
    else:
        ratio = 2 * (free.log_likelihood - fit.log_likelihood)
        assert fit.notes[0].startswith(
            f"the abilities vary {word} than N(0, 1): their standard deviation is about {free.a[0]:.2f} "
            f"(likelihood ratio {ratio:.1f}, 1 degree"
        )
    assert np.isfinite(fit.se_d).all() and free.notes == ()


def test_the_intercept_of_a_fit_is_no_upper_asymptote():
    fit = irt.fit(simulated(60, 4, seed=11)[0], "rasch", nodes=11)
    assert fit.intercept is fit.d
    with pytest.raises(
        AlsimError, match="expected above c and at most 1: if d is the intercept, as of IRTFit and mirt"
    ):
        irt.ItemParameters(fit.a, np.abs(fit.b), 0.0, -np.abs(fit.b))
    easy = np.array([-0.5, -0.9])
    with pytest.raises(AlsimError, match="d equals -a b; expected upper asymptotes: if d is the intercept"):
        irt.ItemParameters(1.0, easy, 0.0, -easy)
    assert irt.ItemParameters(1.0, [-1.0, -1.0]).d.tolist() == [1, 1]


def test_names_of_models_in_any_case():
    log = simulated(60, 4, seed=11)[0]
    assert irt.fit(log, "Rasch", nodes=11).to_dict() == irt.fit(log, "rasch", nodes=11).to_dict()
    with pytest.raises(ModelError, match="model must be one of rasch, 1pl, 2pl, 3pl; got '4PL'"):
        irt.fit(log, "4PL")


def test_scores_use_only_items_that_have_estimates(caplog):
    log = simulated(80, 4, seed=11)[0]
    fit = irt.fit(log, nodes=61)
    new = Responses.from_arrays([1, 1, 2], [1, 0, 1], item=["new", "3", "new"])
    scores = fit.scores(new)
    assert "1 of 2 items of the responses is unknown to the irt fit" in caplog.text
    assert scores.students.tolist() == ["1", "2"]
    with pytest.raises(AlsimError, match="no item of the responses is known to the fit, such as 'new'"):
        fit.scores(new.subset([1]).take([0]))
    assert scores.responses.tolist() == [1, 0]
    assert (scores.theta[1], scores.se[1]) == pytest.approx((0, 1), abs=1e-6)
    theta = np.linspace(-6, 6, 61)
    weight = np.exp(-(theta**2) / 2) / (1 + np.exp(fit.a[3] * theta + fit.d[3]))
    assert scores.theta[0] == pytest.approx((weight * theta).sum() / weight.sum(), abs=1e-6)


def test_a_fit_is_saved_and_loaded(tmp_path):
    fit = irt.fit(simulated(60, 6)[0], "3pl", nodes=21)
    content = json.loads(fit.save(tmp_path / "fit.json").read_text())
    assert {"items", "log_likelihood", "iterations", "converged"} <= content.keys()
    assert {"a", "b", "c", "se_a", "se_b", "se_c"} <= content["items"]["0"].keys()
    again = load_fit(tmp_path / "fit.json")
    assert again.to_dict() == fit.to_dict() and repr(again) == repr(fit)
    assert [row["item"] for row in fit.table()] == list("012345")
    rasch = irt.fit(simulated(40, 6)[0], "rasch", nodes=11)
    assert rasch.table()[0]["se_a"] == "" and rasch.to_dict()["items"]["0"]["se_a"] is None


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("variant", "5pl", "variant must be one of"),
        ("items", {}, "no item has estimates"),
        ("nodes", 10**9, "nodes must be an integer"),
        (
            "items",
            {
                "x": {
                    **dict.fromkeys(("a", "d", "c", "se_a", "se_b", "se_c", "se_d"), 1.0),
                    "responses": 0,
                    "correct": 0,
                }
            },
            "estimates but no responses",
        ),
        (
            "items",
            {
                "x": {
                    **dict.fromkeys(("a", "d", "c", "se_a", "se_b", "se_c", "se_d"), 1.0),
                    "responses": -1,
                    "correct": 0,
                }
            },
            "must be finite and at least 0",
        ),
        ("priors", {"x": None}, "x"),
    ],
)
def test_a_file_that_is_not_a_valid_fit_is_refused(tmp_path, key, value, message):
    file = irt.fit(simulated(40, 6)[0], "rasch", nodes=11).save(tmp_path / "fit.json")
    content = json.loads(file.read_text()) | {key: value}
    file.write_text(json.dumps(content))
    with pytest.raises(ModelError, match=message):
        load_fit(file)
    content = json.loads(file.read_text())
    del content[key]
    file.write_text(json.dumps(content))
    with pytest.raises(ModelError, match=f"'{key}' is missing"):
        load_fit(file)


def test_the_m_step_in_blocks_equals_the_m_step_at_once(monkeypatch):
    log = simulated(100, 5, seed=12)[0]
    at_once = irt.fit(log, nodes=21, standard_errors=False)
    monkeypatch.setattr("alsim.models.irt.maximisation.CURVES_PER_BLOCK", 2)
    parts = irt.fit(log, nodes=21, standard_errors=False)
    np.testing.assert_allclose(parts.a, at_once.a, rtol=1e-5)
    np.testing.assert_allclose(parts.d, at_once.d, atol=1e-5)


def test_the_e_step_in_chunks_equals_the_e_step_at_once(monkeypatch):
    """With one chunk or eight, sums are equal up to rounding, and so are the estimates."""
    log = simulated(200, 5, seed=12)[0]
    at_once = irt.fit(log, nodes=21)
    monkeypatch.setattr("alsim.models.irt.expectation.RESPONSES_PER_CHUNK", 100)
    parts = irt.fit(log, nodes=21)
    for name in ("a", "d", "se_a", "se_b"):
        np.testing.assert_allclose(getattr(at_once, name), getattr(parts, name), rtol=1e-6)


def test_the_prior_weights_sum_to_one_and_have_the_mean_and_sd_of_the_group():
    theta = quadrature(61)
    weight = np.exp(log_prior(Groups(np.array([0.0, -0.5]), np.array([1.0, 1.4])), theta))
    np.testing.assert_allclose(weight.sum(axis=1), 1)
    np.testing.assert_allclose(weight @ theta, [0, -0.5], atol=1e-3)  # the tails beyond 6 are cut off
    np.testing.assert_allclose(weight[0] @ theta**2, 1, atol=1e-6)
    far = np.exp(log_prior(Groups(np.array([9.0]), np.array([0.05])), theta))  # each density underflows
    np.testing.assert_allclose(far[0], theta == 6, atol=1e-100)


def test_students_without_responses_are_not_counted():
    matrix = (np.random.default_rng(3).random((60, 4)) < [0.2, 0.4, 0.6, 0.8]).astype(int)
    fit = irt.fit(Responses.from_matrix(matrix), model="rasch")
    more = irt.fit(Responses.from_matrix(np.vstack([matrix, np.full((40, 4), -1)])), model="rasch")
    assert more.num_students == fit.num_students == 60
    assert more.bic == pytest.approx(fit.bic)
