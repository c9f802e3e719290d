"""Fit of items, persons and patterns, and DIF: against enumeration, scipy, published tables, and simulated students."""

import itertools

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize

from alsim.models import ModelError, Responses, irt
from alsim.models.irt.dif import _classes, common_odds_ratio
from alsim.models.irt.statistics import chi_squared_tail

BERKELEY = np.array(
    [
        [512, 313, 89, 19],
        [353, 207, 17, 8],
        [120, 205, 202, 391],
        [138, 279, 131, 244],
        [53, 138, 94, 299],
        [22, 351, 24, 317],
    ],
    float,
)
"""Admitted and rejected men, admitted and rejected women, by department: Bickel, Hammel & O'Connell (1975)."""


def simulated(students, items, seed, difference=0.0, steeper=1.0, impact=0.0):
    """Two groups' 2PL responses; the last item is harder by `difference` and steeper in the focal group, 1."""
    rng = np.random.default_rng(seed)
    a, b = np.exp(rng.normal(0, 0.2, items)), rng.normal(0, 1, items)
    group = np.arange(students) % 2
    theta = rng.normal(size=(students, 1)) - impact * group[:, None]
    last = (np.arange(items) == items - 1) * group[:, None]
    z = a * np.where(last, steeper, 1.0) * (theta - b - difference * last)
    return Responses.from_matrix((rng.random(z.shape) < 1 / (1 + np.exp(-z))).astype(int)), group


@pytest.fixture(scope="module")
def small():
    """Six items, 400 students, and their 2PL fit."""
    log, _ = simulated(400, 6, seed=1)
    return log, irt.fit(log, nodes=31)


def test_chi_squared_tail_is_scipys():
    for df in (1, 2, 3, 10, 55, 800):
        for x in (0.0, 0.01, 1.0, 30.0, 900.0):
            assert chi_squared_tail(x, df) == pytest.approx(stats.chi2.sf(x, df), rel=1e-10, abs=1e-300)
    assert np.isnan(chi_squared_tail(float("nan"), 1)) and np.isnan(chi_squared_tail(1.0, 0))


def test_g2_and_s_x2_are_those_of_all_patterns_enumerated(small):
    log, fit = small
    theta = np.linspace(-6, 6, 31)
    weight = np.exp(-(theta**2) / 2)
    weight /= weight.sum()
    p = 1 / (1 + np.exp(-(np.outer(fit.a, theta) + fit.d[:, None])))
    patterns = np.array(list(itertools.product((0, 1), repeat=6)))
    chance = np.array([(np.where(row[:, None] == 1, p, 1 - p).prod(0) * weight).sum() for row in patterns])
    matrix = log.matrix()
    counts = np.array([(matrix == row).all(axis=1).sum() for row in patterns])
    seen = counts > 0
    g2 = irt.pattern_fit(fit, log)
    assert g2.g2 == pytest.approx(2 * (counts[seen] * np.log(counts[seen] / (400 * chance[seen]))).sum(), rel=1e-9)
    assert g2.df == 63 - 12
    total, found = patterns.sum(axis=1), irt.item_fit(fit, log)
    for i in range(6):
        n = np.array([counts[total == s].sum() for s in range(1, 6)], float)
        o = np.array([counts[(total == s) & (patterns[:, i] == 1)].sum() for s in range(1, 6)], float)
        e = np.array(
            [chance[(total == s) & (patterns[:, i] == 1)].sum() / chance[total == s].sum() for s in range(1, 6)]
        )
        if min((n * e).min(), (n * (1 - e)).min()) >= 1:  # no cells are taken together
            assert found.s_x2[i] == pytest.approx(((o - n * e) ** 2 / (n * e * (1 - e))).sum(), rel=1e-9)
            assert found.df[i] == 3
    assert np.isfinite(found.s_x2).sum() >= 3


def test_lz_is_the_standardized_log_likelihood(small):
    log, fit = small[0].subset(range(100)), small[1]
    found = irt.person_fit(fit, log)
    matrix = log.matrix()
    p = irt.probability(found.theta, fit.item_parameters)
    value = np.where(matrix == 1, np.log(p), np.log(1 - p)).sum(axis=1)
    mean = (p * np.log(p) + (1 - p) * np.log(1 - p)).sum(axis=1)
    variance = (p * (1 - p) * np.log(p / (1 - p)) ** 2).sum(axis=1)
    np.testing.assert_allclose(found.lz, (value - mean) / np.sqrt(variance), rtol=1e-7, atol=1e-9)


@pytest.mark.compiled
def test_items_and_persons_of_the_model_fit_and_others_do_not():
    """2,000 students, 30 items. Of lz*, mean 0 and variance 1 within 6 standard errors; of S-X2 with 5 %, more than

    seven of 30 by chance once in 1,000 seeds. Then 200 students guess: half of them are found at 5 %.
    """
    log, _ = simulated(2000, 30, seed=2)
    fit = irt.fit(log)
    persons, items = irt.person_fit(fit, log), irt.item_fit(fit, log)
    assert abs(persons.lz_star.mean()) < 6 / np.sqrt(2000) and abs(persons.lz_star.var() - 1) < 6 * np.sqrt(2 / 2000)
    assert (items.p < 0.05).sum() <= 7
    assert ((items.infit > 0.8) & (items.infit < 1.2)).all() and ((items.outfit > 0.6) & (items.outfit < 1.4)).all()
    matrix = log.matrix().copy()
    matrix[:200] = np.random.default_rng(3).integers(0, 2, (200, 30))
    assert (irt.person_fit(fit, Responses.from_matrix(matrix)).lz_star[:200] < -1.645).mean() > 0.5


def test_persons_without_responses_and_incomplete_tests(small):
    _, fit = small
    asked = Responses.from_arrays([0, 1], [1, 1], item=["0", "new"])
    found = irt.person_fit(fit, asked)
    assert np.isfinite(found.theta[0]) and np.isnan([found.theta[1], found.lz[1], found.lz_star[1]]).all()
    with pytest.raises(ModelError, match="no student has answered each of the 6 items once"):
        irt.item_fit(fit, asked)
    # One response goes into the ability, and leaves nothing for lz*.
    assert np.isfinite(found.lz[0]) and np.isnan(found.lz_star[0])
    wide, _ = simulated(40, 16, seed=4)
    with pytest.raises(ModelError, match="at most 15 items; the fit has 16"):
        irt.pattern_fit(irt.fit(wide, "rasch", nodes=11), wide)


def test_item_fit_takes_those_who_answered_each_item_once(small):
    log, fit = small
    rows = log.matrix()[:200]
    student, item = np.divmod(np.arange(rows.size), 6)
    many = Responses.from_arrays(  # one student with a hole, and one who answered one item twice and another not at all
        np.concatenate([student, np.repeat([300, 301], [5, 6])]),
        np.concatenate([rows.ravel(), [1, 0, 1, 1, 0], [1, 0, 1, 1, 0, 1]]),
        item=np.concatenate([item, [0, 1, 2, 3, 4], [0, 0, 1, 2, 3, 4]]),
    )
    one, other = irt.item_fit(fit, many), irt.item_fit(fit, Responses.from_matrix(rows))
    np.testing.assert_array_equal(one.s_x2, other.s_x2)
    assert np.isfinite(one.s_x2).any()


# ── DIF ──────────────────────────────────────────────────────────────────────────────────────────


def test_mantel_haenszel_of_a_published_table():
    """R's mantelhaen.test(UCBAdmissions): 1.4269 (1.5246 uncorrected), ratio 0.9046968, 95 % (0.7719074, 1.0603298)."""
    ratio, se, chi2 = common_odds_ratio(BERKELEY, correction=True)
    assert (round(ratio, 7), round(chi2, 4)) == (0.9046968, 1.4269)
    assert round(common_odds_ratio(BERKELEY, correction=False)[2], 4) == 1.5246
    low, high = ratio * np.exp(np.array([-1, 1]) * stats.norm.ppf(0.975) * se)
    assert (round(low, 7), round(high, 7)) == (0.7719074, 1.0603298)
    assert np.isnan(common_odds_ratio(np.array([[3.0, 0.0, 2.0, 0.0]]), correction=True)).all()


def test_mantel_haenszel_compares_students_of_the_same_score():
    log, group = simulated(1500, 8, seed=5, difference=1.5)
    found = irt.mantel_haenszel(log, group, 1)
    matrix = log.matrix()
    total = matrix.sum(axis=1)
    tables = [
        [((matrix[:, 7] == x) & (group == g) & (total == s)).sum() for g in (0, 1) for x in (1, 0)] for s in range(9)
    ]
    ratio, se, chi2 = common_odds_ratio(np.array(tables, float), correction=True)
    assert (found.odds_ratio[7], found.se_log[7], found.chi_squared[7]) == pytest.approx((ratio, se, chi2))
    assert found.delta[7] == pytest.approx(-2.35 * np.log(ratio)) and found.delta[7] < -1.5 and found.classes[7] == "C"
    assert found.p[7] == pytest.approx(stats.chi2.sf(chi2, 1))
    turned = irt.mantel_haenszel(log, group, 0)
    np.testing.assert_allclose(turned.delta, -found.delta)
    same = irt.mantel_haenszel(log, np.where(group, "x", "y"), "x", matching=total)
    np.testing.assert_allclose(same.delta, found.delta)


def test_classes_of_ets():
    delta = np.array([0.5, 1.2, 1.2, -2.0, 1.6, np.nan])
    chi2 = np.array([9.0, 3.0, 5.0, 20.0, 5.0, np.nan])
    se = np.array([0.1, 0.1, 0.1, 0.4, 0.5, np.nan])
    assert _classes(delta, se, chi2).tolist() == ["A", "A", "B", "C", "B", ""]


@pytest.mark.parametrize(
    ("model", "kind", "df"),
    [
        ("rasch", "uniform", 1),
        ("1pl", "uniform", 1),
        ("2pl", "uniform", 1),
        pytest.param("2pl", "both", 2, marks=pytest.mark.compiled),
    ],
)
def test_the_ratio_is_that_of_nested_fits(model, kind, df):
    """It finds b harder by 1 in 600 students; the groups' difference is not taken for DIF."""
    log, group = simulated(600, 5, seed=6, difference=1.2, impact=0.5)
    found = irt.likelihood_ratio(log, group, 1, model, kind=kind, items=["4"], nodes=21, tolerance=1e-4)
    assert found.items.tolist() == ["4"] and found.df.tolist() == [df]
    assert found.p[0] < 1e-3 and found.b_focal[0] > found.b[0] + 0.5
    assert -0.9 < found.mean < -0.3
    assert found.p[0] == pytest.approx(stats.chi2.sf(found.g2[0], df))
    assert (kind == "both") == (found.a[0] != found.a_focal[0])


@pytest.mark.compiled
def test_likelihood_ratio_has_its_power_and_its_false_alarms():
    """3,000 students, 10 items, with impact: of 9 alike items, four or more below 1 % by chance once in 8 million."""
    log, group = simulated(3000, 10, seed=7, difference=0.8, impact=0.4)
    found = irt.likelihood_ratio(log, group, 1, kind="uniform", anchors=["0", "1", "2"])
    assert found.items.tolist() == list("3456789")
    assert found.p[-1] < 1e-3 and (found.p[:-1] < 0.01).sum() <= 3
    everything = irt.likelihood_ratio(log, group, 1, kind="uniform")
    assert everything.p[-1] < 1e-3 and (everything.p[:-1] < 0.01).sum() <= 3
    steep, group = simulated(6000, 10, seed=8, steeper=2.5)
    shape = irt.likelihood_ratio(steep, group, 1, kind="non-uniform", items=["9", "0"])
    assert shape.items.tolist() == ["0", "9"] and shape.p[1] < 1e-3 and shape.a_focal[1] > shape.a[1]


def test_g2_is_that_of_a_generic_optimiser():
    """Rasch, three items: the marginal likelihood of both groups from its definition, climbed by BFGS."""
    log, group = simulated(200, 3, seed=9, difference=0.7)
    found = irt.likelihood_ratio(log, group, 1, "rasch", kind="uniform", items=["2"], nodes=31, tolerance=1e-8)
    matrix, theta = log.matrix()[:, :, None], np.linspace(-6, 6, 31)

    def lost(x, own):
        d = np.tile(x[:3], (2, 1))
        d[1, 2] += x[5] if own else 0.0
        p = 1 / (1 + np.exp(-(theta + d[group][:, :, None])))
        mean, sd = np.array([0, x[3]])[group][:, None], np.array([1, np.exp(x[4])])[group][:, None]
        weight = np.exp(-(((theta - mean) / sd) ** 2) / 2)
        likelihood = np.where(matrix == 1, p, 1 - p).prod(axis=1)
        return -np.log((weight / weight.sum(1, keepdims=True) * likelihood).sum(axis=1)).sum()

    values = [minimize(lost, np.zeros(5 + own), args=(own,), options={"gtol": 1e-5}).fun for own in (0, 1)]
    assert found.g2[0] == pytest.approx(2 * (values[0] - values[1]), abs=1e-5)


def test_comparisons_that_cannot_be_are_refused():
    log, group = simulated(60, 4, seed=10)
    for call, said in (
        (lambda: irt.mantel_haenszel(log, group, 2), "two different values, one of them the focal group's, 2"),
        (lambda: irt.mantel_haenszel(log, group, np.array([1, 2])), "two different values"),
        (lambda: irt.mantel_haenszel(log, np.where(group, "x", None), "x"), "group has a value .* one is missing"),
        (lambda: irt.mantel_haenszel(log, [*group[:-1], "x"], "x"), "two different values"),
        (lambda: irt.mantel_haenszel(log, np.array([*group[:-1], "x"], object), 1), "compared with each other"),
        (lambda: irt.mantel_haenszel(log, group, 1, matching=[np.nan] * 60), "matching has a value .* one is missing"),
        (lambda: irt.likelihood_ratio(log, group, 1, nodes=3), "nodes is an integer from 11"),
        (lambda: irt.mantel_haenszel(log, group[:3], 1), "group has a value for each of 60 students"),
        (lambda: irt.mantel_haenszel(log, group, 1, matching=[1]), "matching has a value for each"),
        (lambda: irt.likelihood_ratio(log, group, 1, "3pl"), "DIF is tested of rasch and 1pl"),
        (lambda: irt.likelihood_ratio(log, group, 1, "rasch", kind="both"), "DIF is tested of rasch and 1pl"),
        (lambda: irt.likelihood_ratio(log, group, 1, items=["x"]), "items are names of items; 'x' is none"),
        (lambda: irt.likelihood_ratio(log, group, 1, anchors=[]), "anchors are one item or more"),
        (lambda: irt.likelihood_ratio(log, group, 1, anchors=["1"], items=["1"]), "none of the items tested"),
        (lambda: irt.likelihood_ratio(log, group, 1, nodes=21, max_iterations=1), "has not converged in 1 steps"),
    ):
        with pytest.raises(ModelError, match=said):
            call()
    holes = log.matrix().copy()
    holes[0, 0] = -1
    with pytest.raises(ModelError, match="say by `matching`"):
        irt.mantel_haenszel(Responses.from_matrix(holes), group, 1)
    twice = Responses.from_arrays([0, 0, 1], [1, 0, 1], item=["a", "a", "a"])
    with pytest.raises(ModelError, match="one response of a student to an item"):
        irt.mantel_haenszel(twice, [0, 1], 1)
    alike = log.matrix().copy()
    alike[group == 1, 2] = 1
    with pytest.raises(ModelError, match="item '2' has not both correct and wrong responses in the focal group"):
        irt.likelihood_ratio(Responses.from_matrix(alike), group, 1)
