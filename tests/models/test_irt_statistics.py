"""Fit statistics and DIF, compared with enumeration, SciPy, published tables and simulated students."""

import itertools

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize

from alsim.models import ModelError, Responses, irt
from alsim.models.irt.dif import common_odds_ratio, ets_classes
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
    """Return 2PL responses of two groups, in which the last item is harder and steeper for the focal group, 1."""
    rng = np.random.default_rng(seed)
    a, b = np.exp(rng.normal(0, 0.2, items)), rng.normal(0, 1, items)
    group = np.arange(students) % 2
    theta = rng.normal(size=(students, 1)) - impact * group[:, None]
    last = (np.arange(items) == items - 1) * group[:, None]
    z = a * np.where(last, steeper, 1.0) * (theta - b - difference * last)
    return Responses.from_matrix((rng.random(z.shape) < 1 / (1 + np.exp(-z))).astype(int)), group


@pytest.fixture(scope="module")
def small():
    """Return the responses of 400 students to six items, and the 2PL fit."""
    log, _ = simulated(400, 6, seed=1)
    return log, irt.fit(log, nodes=31)


def test_chi_squared_tail_equals_scipy():
    for df in (1, 2, 3, 10, 55, 800):
        for x in (0.0, 0.01, 1.0, 30.0, 900.0):
            assert chi_squared_tail(x, df) == pytest.approx(stats.chi2.sf(x, df), rel=1e-10, abs=1e-300)
    assert np.isnan(chi_squared_tail(float("nan"), 1)) and np.isnan(chi_squared_tail(1.0, 0))


def test_g2_and_s_x2_equal_enumeration_of_all_patterns(small):
    log, fit = small
    theta = np.linspace(-6, 6, 31)
    weight = np.exp(-(theta**2) / 2)
    weight /= weight.sum()
    p = 1 / (1 + np.exp(-(np.outer(fit.a, theta) + fit.d[:, None])))
    patterns = np.array(list(itertools.product((0, 1), repeat=6)))
    chance = np.array([(np.where(row[:, None] == 1, p, 1 - p).prod(0) * weight).sum() for row in patterns])
    matrix = log.matrix()
    counts = np.array([(matrix == row).all(axis=1).sum() for row in patterns])
    observed = counts > 0
    g2 = irt.pattern_fit(fit, log)
    assert g2.g2 == pytest.approx(
        2 * (counts[observed] * np.log(counts[observed] / (400 * chance[observed]))).sum(), rel=1e-9
    )
    assert g2.df == 63 - 12
    total, statistics = patterns.sum(axis=1), irt.item_fit(fit, log)
    for i in range(6):
        n = np.array([counts[total == s].sum() for s in range(1, 6)], float)
        o = np.array([counts[(total == s) & (patterns[:, i] == 1)].sum() for s in range(1, 6)], float)
        e = np.array(
            [chance[(total == s) & (patterns[:, i] == 1)].sum() / chance[total == s].sum() for s in range(1, 6)]
        )
        if min((n * e).min(), (n * (1 - e)).min()) >= 1:  # no cells are merged
            assert statistics.s_x2[i] == pytest.approx(((o - n * e) ** 2 / (n * e * (1 - e))).sum(), rel=1e-9)
            assert statistics.df[i] == 3
    assert np.isfinite(statistics.s_x2).sum() >= 3


def test_g2_of_sparse_patterns_has_no_p_value(small):
    log, fit = small
    assert np.isfinite(irt.pattern_fit(fit, log).p)  # 400 students, 64 patterns
    few = log.subset(np.arange(319))
    sparse = irt.pattern_fit(fit, few)
    assert np.isfinite(sparse.g2) and np.isnan(sparse.p)  # below 5 * 64
    assert np.isfinite(irt.pattern_fit(fit, log.subset(np.arange(320))).p)


@pytest.mark.ci
@pytest.mark.compiled
@pytest.mark.parametrize(("mean_count", "low", "high"), [(5, 0.02, 0.11), (1, 0, 0.02)])
def test_g2_is_about_chi_squared_from_a_mean_count_of_5(mean_count, low, high):
    """300 logs of 5 items under the Rasch model, seed 0.

    The probability of a false alarm is below 1e-3 if the true rates are 6 % and 0.5 %.
    """
    random, size = np.random.default_rng(0), mean_count * 2**5
    rejected = 0
    for _ in range(300):
        chance = 1 / (1 + np.exp(np.linspace(-1.5, 1.5, 5) - random.normal(size=(size, 1))))
        log = Responses.from_matrix((random.random((size, 5)) < chance).astype(int))
        g2 = irt.pattern_fit(irt.fit(log, "rasch"), log)
        rejected += chi_squared_tail(g2.g2, g2.df) < 0.05
    assert low <= rejected / 300 <= high


def test_lz_is_the_standardized_log_likelihood(small):
    log, fit = small[0].subset(range(100)), small[1]
    result = irt.person_fit(fit, log)
    matrix = log.matrix()
    p = irt.probability(result.theta, fit.item_parameters)
    value = np.where(matrix == 1, np.log(p), np.log(1 - p)).sum(axis=1)
    mean = (p * np.log(p) + (1 - p) * np.log(1 - p)).sum(axis=1)
    variance = (p * (1 - p) * np.log(p / (1 - p)) ** 2).sum(axis=1)
    np.testing.assert_allclose(result.lz, (value - mean) / np.sqrt(variance), rtol=1e-7, atol=1e-9)


@pytest.mark.compiled
def test_items_and_persons_of_the_model_fit_and_others_do_not():
    """2,000 students answer 30 items. lz* has mean 0 and variance 1 within 6 standard errors.

    S-X2 is significant at 5 % for more than seven of 30 items by chance in one of 1,000 seeds. Then 200 students guess,
    and lz* detects half of them at 5 %.
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
    log = Responses.from_arrays([0, 1], [1, 1], item=["0", "new"])
    persons = irt.person_fit(fit, log)
    assert np.isfinite(persons.theta[0]) and np.isnan([persons.theta[1], persons.lz[1], persons.lz_star[1]]).all()
    with pytest.raises(ModelError, match="no student has answered each of the 6 items once, which G2 requires"):
        irt.pattern_fit(fit, log)
    items = irt.item_fit(fit, log)
    assert np.isnan(items.s_x2).all() and np.isnan(items.p).all() and items.students == 0
    assert np.isfinite(items.outfit[0]) and np.isnan(items.outfit[1:]).all()
    assert items.notes == (
        "0 of 2 students answered each of the 6 items once; S-X2 has no value, and infit and outfit use all responses",
    )
    # A single response determines the ability, and carries no further information for lz*.
    assert np.isfinite(persons.lz[0]) and np.isnan(persons.lz_star[0])
    wide, _ = simulated(40, 16, seed=4)
    with pytest.raises(ModelError, match="at most 15 items; the fit has 16"):
        irt.pattern_fit(irt.fit(wide, "rasch", nodes=11), wide)


def test_s_x2_uses_students_who_answered_each_item_once(small):
    log, fit = small
    rows = log.matrix()[:200]
    student, item = np.divmod(np.arange(rows.size), 6)
    log_with_others = Responses.from_arrays(  # student 300 lacks an item; 301 lacks an item and answered one twice
        np.concatenate([student, np.repeat([300, 301], [5, 6])]),
        np.concatenate([rows.ravel(), [1, 0, 1, 1, 0], [1, 0, 1, 1, 0, 1]]),
        item=np.concatenate([item, [0, 1, 2, 3, 4], [0, 0, 1, 2, 3, 4]]),
    )
    one, other = irt.item_fit(fit, log_with_others), irt.item_fit(fit, Responses.from_matrix(rows))
    np.testing.assert_array_equal(one.s_x2, other.s_x2)
    assert np.isfinite(one.s_x2).any()
    assert one.students == 200 and one.notes[0].startswith("200 of 202 students answered each of the 6 items once")
    assert other.notes == () and (one.infit != other.infit).sum() == 5  # both lack item 5


# ── DIF ──────────────────────────────────────────────────────────────────────────────────────────


def test_mantel_haenszel_of_a_published_table():
    """R's mantelhaen.test(UCBAdmissions) gives 1.4269 (1.5246 uncorrected) and 0.9046968 (0.7719074, 1.0603298)."""
    ratio, se, chi2 = common_odds_ratio(BERKELEY, correction=True)
    assert (round(ratio, 7), round(chi2, 4)) == (0.9046968, 1.4269)
    assert round(common_odds_ratio(BERKELEY, correction=False)[2], 4) == 1.5246
    low, high = ratio * np.exp(np.array([-1, 1]) * stats.norm.ppf(0.975) * se)
    assert (round(low, 7), round(high, 7)) == (0.7719074, 1.0603298)
    assert np.isnan(common_odds_ratio(np.array([[3.0, 0.0, 2.0, 0.0]]), correction=True)).all()


def test_mantel_haenszel_matches_students_by_score():
    log, group = simulated(1500, 8, seed=5, difference=1.5)
    result = irt.mantel_haenszel(log, group, 1)
    matrix = log.matrix()
    total = matrix.sum(axis=1)
    tables = [
        [((matrix[:, 7] == x) & (group == g) & (total == s)).sum() for g in (0, 1) for x in (1, 0)] for s in range(9)
    ]
    ratio, se, chi2 = common_odds_ratio(np.array(tables, float), correction=True)
    assert (result.odds_ratio[7], result.se_log[7], result.chi_squared[7]) == pytest.approx((ratio, se, chi2))
    assert (
        result.delta[7] == pytest.approx(-2.35 * np.log(ratio)) and result.delta[7] < -1.5 and result.classes[7] == "C"
    )
    assert result.p[7] == pytest.approx(stats.chi2.sf(chi2, 1))
    turned = irt.mantel_haenszel(log, group, 0)
    np.testing.assert_allclose(turned.delta, -result.delta)
    same = irt.mantel_haenszel(log, np.where(group, "x", "y"), "x", matching=total)
    np.testing.assert_allclose(same.delta, result.delta)


def test_ets_classes():
    delta = np.array([0.5, 1.2, 1.2, -2.0, 1.6, np.nan])
    chi2 = np.array([9.0, 3.0, 5.0, 20.0, 5.0, np.nan])
    se = np.array([0.1, 0.1, 0.1, 0.4, 0.5, np.nan])
    assert ets_classes(delta, se, chi2).tolist() == ["A", "A", "B", "C", "B", ""]


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("model", "kind", "df"),
    [
        ("rasch", "uniform", 1),
        ("1pl", "uniform", 1),
        ("2pl", "uniform", 1),
        pytest.param("2pl", "both", 2, marks=pytest.mark.compiled),
    ],
)
def test_the_likelihood_ratio_compares_nested_fits(model, kind, df):
    """It detects a difference of 1.2 in b among 600 students, and does not count a difference in ability as DIF."""
    log, group = simulated(600, 5, seed=6, difference=1.2, impact=0.5)
    result = irt.likelihood_ratio(log, group, 1, model, kind=kind, items=["4"], nodes=21, tolerance=1e-4)
    assert result.items.tolist() == ["4"] and result.df.tolist() == [df]
    assert result.p[0] < 1e-3 and result.b_focal[0] > result.b[0] + 0.5
    assert -0.9 < result.mean < -0.3
    assert result.p[0] == pytest.approx(stats.chi2.sf(result.g2[0], df))
    assert (kind == "both") == (result.a[0] != result.a_focal[0])


@pytest.mark.ci
@pytest.mark.compiled
def test_likelihood_ratio_has_power_and_few_false_alarms():
    """Of 9 items without DIF, four or more have p < 0.01 by chance in one of 8 million seeds."""
    log, group = simulated(3000, 10, seed=7, difference=0.8, impact=0.4)
    result = irt.likelihood_ratio(log, group, 1, kind="uniform", anchors=["0", "1", "2"])
    assert result.items.tolist() == list("3456789")
    assert result.p[-1] < 1e-3 and (result.p[:-1] < 0.01).sum() <= 3
    everything = irt.likelihood_ratio(log, group, 1, kind="uniform")
    assert everything.p[-1] < 1e-3 and (everything.p[:-1] < 0.01).sum() <= 3
    steep, group = simulated(6000, 10, seed=8, steeper=2.5)
    shape = irt.likelihood_ratio(steep, group, 1, kind="non-uniform", items=["9", "0"])
    assert shape.items.tolist() == ["0", "9"] and shape.p[1] < 1e-3 and shape.a_focal[1] > shape.a[1]


def test_the_likelihood_ratio_equals_that_of_a_generic_optimiser():
    """BFGS maximises the marginal likelihood of a Rasch model of three items in both groups."""
    log, group = simulated(200, 3, seed=9, difference=0.7)
    result = irt.likelihood_ratio(log, group, 1, "rasch", kind="uniform", items=["2"], nodes=31, tolerance=1e-8)
    matrix, theta = log.matrix()[:, :, None], np.linspace(-6, 6, 31)

    def negative_log_likelihood(x, own):
        d = np.tile(x[:3], (2, 1))
        d[1, 2] += x[5] if own else 0.0
        p = 1 / (1 + np.exp(-(theta + d[group][:, :, None])))
        mean, sd = np.array([0, x[3]])[group][:, None], np.array([1, np.exp(x[4])])[group][:, None]
        weight = np.exp(-(((theta - mean) / sd) ** 2) / 2)
        likelihood = np.where(matrix == 1, p, 1 - p).prod(axis=1)
        return -np.log((weight / weight.sum(1, keepdims=True) * likelihood).sum(axis=1)).sum()

    values = [
        minimize(negative_log_likelihood, np.zeros(5 + own), args=(own,), options={"gtol": 1e-5}).fun for own in (0, 1)
    ]
    assert result.g2[0] == pytest.approx(2 * (values[0] - values[1]), abs=1e-5)


def test_invalid_dif_arguments_are_refused():
    log, group = simulated(60, 4, seed=10)
    for call, message in (
        (lambda: irt.mantel_haenszel(log, group, 2), "two distinct values, one of them focal=2"),
        (lambda: irt.mantel_haenszel(log, group, np.array([1, 2])), "two distinct values"),
        (
            lambda: irt.mantel_haenszel(log, np.where(group, "x", None), "x"),
            "group must have one value .* missing values",
        ),
        (lambda: irt.mantel_haenszel(log, [*group[:-1], "x"], "x"), "two distinct values"),
        (lambda: irt.mantel_haenszel(log, np.array([*group[:-1], "x"], object), 1), "values that can be sorted"),
        (
            lambda: irt.mantel_haenszel(log, group, 1, matching=[np.nan] * 60),
            "matching must have one value .* missing values",
        ),
        (lambda: irt.likelihood_ratio(log, group, 1, nodes=3), "nodes must be an integer from 11"),
        (lambda: irt.mantel_haenszel(log, group[:3], 1), "group must have one value for each of 60 students"),
        (lambda: irt.mantel_haenszel(log, group, 1, matching=[1]), "matching must have one value for each"),
        (lambda: irt.likelihood_ratio(log, group, 1, "3pl"), "model must be rasch or 1pl with kind='uniform', or 2pl"),
        (
            lambda: irt.likelihood_ratio(log, group, 1, "rasch", kind="both"),
            "model must be rasch or 1pl with kind='uniform', or 2pl",
        ),
        (
            lambda: irt.likelihood_ratio(log, group, 1, items=["x"]),
            "items must be names of items of the responses; got 'x'",
        ),
        (lambda: irt.likelihood_ratio(log, group, 1, anchors=[]), "got 0 anchors and 4 items to test"),
        (
            lambda: irt.likelihood_ratio(log, group, 1, anchors=["1"], items=["1"]),
            "got 1 anchors and 1 items to test, 1 of them in both",
        ),
        (lambda: irt.likelihood_ratio(log, group, 1, nodes=21, max_iterations=1), "has not converged in 1 steps"),
    ):
        with pytest.raises(ModelError, match=message):
            call()
    holes = log.matrix().copy()
    holes[0, 0] = -1
    with pytest.raises(ModelError, match="as `matching`"):
        irt.mantel_haenszel(Responses.from_matrix(holes), group, 1)
    twice = Responses.from_arrays([0, 0, 1], [1, 0, 1], item=["a", "a", "a"])
    with pytest.raises(ModelError, match="at most one response of a student to an item"):
        irt.mantel_haenszel(twice, [0, 1], 1)
    constant = log.matrix().copy()
    constant[group == 1, 2] = 1
    with pytest.raises(ModelError, match="item '2' does not have both correct and wrong responses in the focal group"):
        irt.likelihood_ratio(Responses.from_matrix(constant), group, 1)


@pytest.mark.compiled
def test_infit_and_outfit_use_all_responses_of_an_incomplete_design():
    """No student answers all items: two forms of 12 items share 6."""
    log, _ = simulated(600, 18, seed=5)
    rows = log.matrix().copy()
    rows[:300, 12:] = rows[300:, :6] = -1
    forms = Responses.from_matrix(rows)
    items = irt.item_fit(irt.fit(forms), forms)
    assert np.isfinite([items.infit, items.outfit]).all() and np.isnan(items.s_x2).all()
    assert items.students == 0 and "0 of 600 students" in items.notes[0]


@pytest.mark.compiled
@pytest.mark.parametrize(("num_items", "outfit"), [(5, 0.74), (10, 0.82), (20, 0.88), (40, 0.93)])
def test_the_mean_outfit_of_true_models_is_that_of_the_documentation(num_items, outfit):
    """1,000 students. Over 12 seeds, the mean outfit has a standard deviation of at most 0.01."""
    random = np.random.default_rng(3)
    a, b = random.lognormal(0, 0.3, num_items), np.linspace(-2, 2, num_items)
    matrix = (random.random((1000, num_items)) < 1 / (1 + np.exp(-a * (random.normal(size=(1000, 1)) - b)))).astype(int)
    log = Responses.from_matrix(matrix)
    assert irt.item_fit(irt.fit(log, standard_errors=False), log).outfit.mean() == pytest.approx(outfit, abs=0.04)


@pytest.mark.ci
@pytest.mark.compiled
def test_replications_show_which_mean_squares_the_model_explains():
    """The outfit of five items of a true model is near that of the replications; that of a guessed item is not.

    A p-value of a true model is below 0.02 for one item in fifty.
    """
    random = np.random.default_rng(4)
    theta, b = random.normal(size=(1000, 1)), np.linspace(-1.5, 1.5, 5)
    matrix = (random.random((1000, 5)) < 1 / (1 + np.exp(b - theta))).astype(int)
    log = Responses.from_matrix(matrix)
    fit = irt.fit(log, "rasch")
    items = irt.item_fit(fit, log, replications=99, seed=1)
    assert np.abs(items.outfit - items.expected_outfit).max() < 0.06 and items.expected_outfit.max() < 0.95
    assert min(items.infit_p.min(), items.outfit_p.min()) >= 0.02 and max(items.outfit_p) <= 1
    np.testing.assert_array_equal(items.outfit_p, irt.item_fit(fit, log, replications=99, seed=1).outfit_p)
    matrix[:, 2] = random.integers(0, 2, 1000)
    guessed = Responses.from_matrix(matrix)
    fit = irt.fit(guessed, "rasch")
    found = irt.item_fit(fit, guessed, replications=99)
    assert found.outfit_p[2] == 0.02 and found.outfit[2] > found.expected_outfit[2]
    assert np.isnan(irt.item_fit(fit, guessed).outfit_p).all()
    two = irt.item_fit(irt.fit(guessed, "2pl"), guessed, replications=2)
    assert np.isnan(two.outfit_p).all() and np.isfinite(two.expected_outfit).all()
    assert two.notes[0].startswith("infit and outfit have no p-values, since a of each item adapts")
    patterns = Responses.from_matrix(matrix, weight=np.full(1000, 2.0))
    with pytest.raises(ModelError, match="replications simulate single students"):
        irt.item_fit(fit, patterns, replications=2)
    with pytest.raises(ModelError, match="replications is -1; expected an integer of at least 0"):
        irt.item_fit(fit, guessed, replications=-1)


@pytest.mark.heavy
def test_statistics_are_tables_of_rows(small):
    log, fit = small
    items, persons = irt.item_fit(fit, log).table(), irt.person_fit(fit, log).table()
    assert items[3]["item"] == "3" and items[3]["outfit"] == irt.item_fit(fit, log).outfit[3]
    assert persons[7]["student"] == str(log.students[7]) and len(persons) == 400
    assert isinstance(persons[7]["lz"], float)
    assert [row["item"] for row in irt.mantel_haenszel(log, np.arange(400) % 2, 1).table()] == list(map(str, fit.items))
