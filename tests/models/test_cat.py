"""Adaptive tests, compared with catR, with full scans and with the definition of each selection rule."""

import itertools
import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import minimize_scalar

from alsim import AlsimError
from alsim.bank.items import sample_bank
from alsim.config import Config
from alsim.models import irt, load_fit
from alsim.models.cat import CAT
from alsim.models.cat.candidates import CELLS, closeness_bounds, information_bounds, peaks
from alsim.models.cat.selection import ADMINISTERED, AVAILABLE, Ranking, criterion_value, select_item


def random_bank(seed, many, c=0.25, d=1.0):
    rng = np.random.default_rng(seed)
    lower = rng.uniform(0, c, many) if c else np.zeros(many)
    return irt.ItemParameters(rng.lognormal(0, 0.4, many), rng.normal(size=many), lower, rng.uniform(d, 1, many))


def abilities(seed, many):
    return np.random.default_rng(seed).normal(size=many)


def odd_banks():
    """Return banks with extreme parameters, for which a candidate list might be wrong."""
    equal = np.repeat([1.3, 0.8], 20), np.repeat([0.1, -0.4], 20), np.repeat([0.2, 0.0], 20), np.repeat([1.0, 0.95], 20)
    steep = np.random.default_rng(1).uniform(10, 60, 40), np.linspace(-4, 4, 40), 0.2, 1.0
    mixed = np.linspace(-2, 3, 41), np.linspace(-6, 6, 41)[::-1], 0.1, 0.9  # one has a = 0
    return {
        "four parameters": random_bank(2, 60, 0.35, 0.8),
        "equal items": irt.ItemParameters(*equal),
        "steep": irt.ItemParameters(*steep),
        "mixed": irt.ItemParameters(*mixed),
        "one": irt.ItemParameters([1.0], [0.0]),
    }


def selected_at(cat, theta, administered=(), length=None):
    """Return the item that a test selects at an ability, after the items in `administered`."""
    session = cat.session()
    state = session._state
    state.theta[0], state.length[0] = theta, len(administered) if length is None else length
    state.status[list(administered)] = ADMINISTERED
    state.item[: len(administered)] = administered
    return int(session.next_items()[0])


# catR's runs


@pytest.fixture(scope="module")
def catr(published):
    content = json.loads((published / "cat" / "catr_runs.json").read_text(encoding="utf-8"))
    return irt.ItemParameters(*np.array(content["itembank"]).T), [run["steps"] for run in content["runs"]]


@pytest.mark.ci
def test_items_and_estimates_equal_those_of_catr(catr):
    bank, runs = catr
    answers = [np.atleast_1d(steps[-1]["responses"]) for steps in runs]
    session = CAT(bank, max_items=12).session(len(runs))
    for k in range(12):
        assert session.next_items().tolist() == [steps[k]["selected0"] for steps in runs]
        session.answer([row[k] for row in answers])
        assert np.abs(session.theta - [steps[k]["theta"] for steps in runs]).max() < 1e-9
        assert np.abs(session.se - [steps[k]["se"] for steps in runs]).max() < 1e-9
    assert session.all_finished and session.next_items().tolist() == [-1] * len(runs)


def test_closest_difficulties_equal_those_of_catr(catr):
    """The run records the item that catR's bOpt would select, in addition to the administered item."""
    bank, runs = catr
    cat = CAT(bank, select="b-opt", max_items=40)
    for step in itertools.chain(*runs):
        administered = np.atleast_1d(step["administered0"]).tolist()
        assert selected_at(cat, step["theta_used"], administered) == step["bopt0"]


# Candidate lists


@pytest.mark.parametrize("name", odd_banks())
def test_information_and_closeness_do_not_exceed_their_bounds(name):
    items, edges = odd_banks()[name], np.linspace(-4, 4, CELLS + 1)
    bounds = information_bounds(items, edges)
    closeness = closeness_bounds(items, edges)
    for share in np.linspace(0, 1, 11):
        theta = edges[:-1] + share * np.diff(edges)
        assert (irt.information(theta, items) <= bounds).all()
        assert (-np.abs(theta[:, None] - items.b) <= closeness).all()
    # The bounds are tight: each is reached in its cell, at an edge or at the peak.
    reached = np.maximum(irt.information(edges[:-1], items), irt.information(edges[1:], items))
    assert ((bounds < reached * (1 + 1e-6) + 1e-290) | (bounds <= peaks(items)[1] * (1 + 1e-8) + 1e-290)).all()


def test_peaks_are_the_maxima_of_information():
    items = random_bank(3, 20, 0.3, 0.85)
    location, height = peaks(items)
    for i in range(len(items)):
        one = items.take([i])
        minimum = minimize_scalar(
            lambda t, one=one: -irt.information(t, one)[0], (location[i] - 0.5, location[i] + 0.5)
        )
        assert abs(minimum.x - location[i]) < 1e-5  # near a minimum, a minimiser is exact to the root of the precision
        assert height[i] == pytest.approx(-minimum.fun, rel=1e-12)
    # Three parameters: b + log((1 + sqrt(1 + 8 c)) / 2) / a (Birnbaum 1968).
    three = random_bank(4, 20)
    exact = three.b + np.log((1 + np.sqrt(1 + 8 * three.c)) / 2) / three.a
    assert np.abs(peaks(three)[0] - exact).max() < 1e-9


@pytest.mark.heavy
@pytest.mark.parametrize("name", odd_banks())
@pytest.mark.parametrize("select", ["max-info", "b-opt", "kullback-leibler"])
@pytest.mark.parametrize("best_of", [1, 3])
def test_a_candidate_list_selects_the_same_items_as_a_full_scan(name, select, best_of):
    """Of equal items, both select those with the lowest index."""
    items, rng = odd_banks()[name], np.random.default_rng(5)
    best_of = min(best_of, len(items))
    cat = CAT(items, select=select, randomesque=best_of, max_items=len(items))
    edges = np.linspace(-4, 4, CELLS + 1)
    places = [
        -4.0,
        4.0,
        *edges[rng.integers(0, CELLS, 4)],
        *rng.uniform(-4, 4, 10 if select != "kullback-leibler" else 2),
    ]
    for theta in places:
        session = cat.session()
        state, ranking = session._state, Ranking(np.empty(best_of, np.int32), np.empty(best_of))
        state.theta[0] = theta
        while (free := np.flatnonzero(state.status == AVAILABLE)).size >= max(best_of, len(items) // 2, 1):
            values = {int(i): criterion_value(theta, 0, i, cat.pool, cat.plan) for i in free}
            expected = sorted(values, key=lambda i: (-values[i], i))[:best_of]
            item = select_item(0, AVAILABLE, np.uint64(0), 0, state, cat.pool, cat.plan, ranking)
            assert ranking.item.tolist() == expected
            assert item in expected
            state.status[rng.choice(free, max(1, len(items) // 6), replace=False)] = ADMINISTERED


@pytest.mark.ci
@pytest.mark.compiled
def test_two_thousand_tests_of_a_large_bank_equal_a_full_scan():
    """All 40,000 steps are compared; values within 1e-13 count as ties, since NumPy's exponential differs by an ulp."""
    bank = random_bank(6, 600)
    tests = CAT(bank).run(abilities(7, 2000), seed=8)
    free = np.ones((2000, 600), bool)
    theta = np.zeros(2000)
    rows = np.arange(2000)
    for k in range(20):
        info = np.where(free, irt.information(theta, bank), -1)
        selected = tests.items[:, k]
        assert free[rows, selected].all()
        assert (info[rows, selected] >= info.max(axis=1) * (1 - 1e-13)).all()
        free[rows, selected] = False
        theta = tests.theta_after[:, k]
    assert np.array_equal(tests.theta, theta)


# Rules of selection


def test_kullback_leibler_selects_the_largest_integral():
    items = random_bank(9, 25, 0.3, 0.9)
    cat = CAT(items, select="kullback-leibler", max_items=25)
    for theta, administered in ((0.4, ()), (-1.5, (1, 2, 3)), (2.0, tuple(range(9)))):
        half = 3 / np.sqrt(max(len(administered), 1))

        def integral(i, theta=theta, half=half):
            one = items.take([i])

            def divergence(t):
                p, other = irt.probability(theta, one)[0], irt.probability(t, one)[0]
                return p * np.log(p / other) + (1 - p) * np.log((1 - p) / (1 - other))

            return quad(divergence, theta - half, theta + half)[0]

        integrals = [integral(i) if i not in administered else -1 for i in range(25)]
        session = cat.session()
        value = criterion_value(theta, len(administered), int(np.argmax(integrals)), cat.pool, cat.plan)
        assert value == pytest.approx(max(integrals), rel=1e-3)  # nine points on an interval of six logits
        assert selected_at(cat, theta, administered) == int(np.argmax(integrals))
        assert not session.all_finished


def test_strata_are_used_in_order_of_discrimination():
    bank = random_bank(10, 40)
    tests = CAT(bank, select="a-stratified", strata=4, max_items=12).run(abilities(11, 30))
    stratum = np.argsort(np.argsort(bank.a, kind="stable")) // 10
    assert (stratum[tests.items] == np.arange(12) // 3).all()
    # Within a stratum, the item has the closest difficulty among the items that are left.
    for n in range(30):
        for k in range(12):
            theta = tests.theta_after[n, k - 1] if k else 0.0
            rest = [i for i in np.flatnonzero(stratum == k // 3) if i not in tests.items[n, :k]]
            assert abs(theta - bank.b[tests.items[n, k]]) == min(abs(theta - bank.b[i]) for i in rest)


def test_other_strata_are_used_when_a_stratum_is_exhausted():
    tests = CAT(random_bank(12, 6), select="a-stratified", strata=2, max_items=6).run(abilities(13, 5))
    assert (np.sort(tests.items, axis=1) == np.arange(6)).all()
    # Group x has one item per stratum, and y has two; each group has half of the blueprint.
    groups = ["x", "y", "y", "x", "y", "y"]
    bank = irt.ItemParameters([1, 1.1, 1.2, 2, 2.1, 2.2], np.zeros(6))
    cat = CAT(bank, select="a-stratified", strata=2, max_items=4, groups=groups, blueprint={"x": 0.5, "y": 0.5})
    assert sorted(np.array(groups)[cat.run([0.0]).items[0]]) == ["x", "x", "y", "y"]
    # When group x is exhausted, other groups are used in the same stratum, although x has the largest gap.
    bank = irt.ItemParameters([1.0, 1.1, 2.0, 2.1, 2.2, 1.2], np.zeros(6))
    groups = ["y"] * 5 + ["x"]
    cat = CAT(bank, select="a-stratified", strata=2, max_items=4, groups=groups, blueprint={"x": 0.9, "y": 0.1})
    assert cat.run([0.0]).items[0].tolist() == [5, 0, 2, 3]


def test_randomesque_draws_uniformly_from_the_best_items():
    """1000 first items are drawn from 5; chi-squared with 4 degrees of freedom exceeds 23.5 in one of 10^4 seeds."""
    bank = random_bank(14, 50)
    first = CAT(bank, randomesque=5, max_items=1).run(np.zeros(1000), seed=15).items[:, 0]
    best = np.argsort(-irt.information(0.0, bank))[:5]
    counts = np.bincount(first, minlength=50)
    assert counts[best].sum() == 1000
    assert ((counts[best] - 200) ** 2 / 200).sum() < 23.5


def test_no_item_is_repeated_and_all_items_can_be_used():
    bank = random_bank(16, 12)
    for settings in ({}, {"select": "b-opt"}, {"randomesque": 4}, {"exposure": np.full(12, 0.3)}):
        tests = CAT(bank, max_items=12, **settings).run(abilities(17, 20), seed=18)
        assert (np.sort(tests.items, axis=1) == np.arange(12)).all()
        assert np.allclose(tests.exposure_rates, 1) and tests.overlap == pytest.approx(1)


def test_exposure_control_administers_a_selected_item_with_its_probability():
    """The best item is first in 40 % of 1000 tests, sd 1.5 %; 4.4 sd are exceeded in one of 10^5 seeds."""
    bank = random_bank(19, 30)
    best, second = np.argsort(-irt.information(0.0, bank))[:2]
    exposure = np.ones(30)
    exposure[best] = 0.4
    tests = CAT(bank, max_items=1, exposure=exposure).run(np.zeros(1000), seed=20)
    assert abs(tests.exposure_rates[best] - 0.4) < 4.4 * np.sqrt(0.24 / 1000)
    assert tests.exposure_rates[best] + tests.exposure_rates[second] == 1
    assert tests.selection_rates[best] == 1
    # An item is withheld for the rest of the test.
    longer = CAT(bank, max_items=5, exposure=exposure).run(np.zeros(60), seed=20)
    assert ((longer.items == best).any(axis=1) == (longer.items[:, 0] == best)).all()


@pytest.mark.compiled
def test_sympson_hetter_exposure_control_keeps_exposure_near_the_rate():
    """Exposure is tuned on 400 examinees and tested on 400 others; a rate of 0.3 has sd 0.023 in each."""
    bank = random_bank(21, 60)
    plain = CAT(bank, max_items=6)
    controlled = plain.control_exposure(0.3, abilities(22, 400), seed=23)
    before, after = (cat.run(abilities(24, 400), seed=25) for cat in (plain, controlled))
    assert before.exposure_rates.max() == 1
    assert after.exposure_rates.max() < 0.3 + 6 * 0.023
    assert after.overlap < before.overlap


def test_exposure_control_does_not_change_items_that_are_seldom_selected():
    """All tests start with the same item, so that it is administered at the rate."""
    bank = random_bank(21, 60)
    controlled = CAT(bank, max_items=6).control_exposure(0.25, np.linspace(-2, 2, 20), seed=23)
    exposure = np.asarray(controlled.exposure)
    first = int(np.argmax(irt.information(0.0, bank)))
    assert exposure[first] == 0.25 and ((exposure >= 0.25) & (exposure <= 1)).all()
    assert (exposure == 1).sum() > 20  # 20 tests of 6 and a few set aside cannot select 40 of 60 items often
    with pytest.raises(AlsimError, match="rate is 0.05; tests of 6 of 60 items require one from 0.1 to 1"):
        controlled.control_exposure(0.05, [0.0])


# Content


def test_each_item_is_from_the_group_furthest_below_its_share():
    bank, groups = random_bank(26, 60), np.repeat([3, 1, 2], 20)
    blueprint = {1: 0.5, 2: 0.3, 3: 0.2}
    tests = CAT(bank, max_items=10, groups=groups, blueprint=blueprint).run(abilities(27, 20))
    for row in tests.items:
        for k in range(10):
            missing = {g: share - (groups[row[:k]] == g).sum() / max(k, 1) for g, share in blueprint.items()}
            assert groups[row[k]] == max(missing, key=missing.__getitem__)  # the first of the largest
    assert (np.array([(groups[tests.items] == g).sum(axis=1) for g in (1, 2, 3)]).T == [5, 3, 2]).all()


def test_groups_without_a_share_are_not_used_and_exhausted_groups_are_skipped():
    bank, groups = random_bank(28, 12), ["a"] * 2 + ["b"] * 6 + ["c"] * 4
    cat = CAT(bank, max_items=12, groups=groups, blueprint={"a": 0.75, "b": 0.25, "c": 0})
    tests = cat.run(abilities(29, 10))
    assert (tests.lengths == 8).all() and tests.finished.all()
    assert (np.sort(tests.items[:, :8], axis=1) == np.arange(8)).all() and (tests.items[:, 8:] == -1).all()
    only = CAT(bank, max_items=4, groups=groups, blueprint={"c": 1.0}).run(abilities(29, 10))
    assert (only.items >= 8).all()


@pytest.mark.compiled
def test_a_bank_calibrated_on_real_responses(published):
    """85 items of five kinds (Raiche 2002): the blueprint is matched exactly, and standard errors match the errors."""
    table = np.genfromtxt(published / "cat" / "tcals_3pl_bank.txt", names=True, dtype=None, encoding="utf-8")
    bank = irt.ItemParameters(*(table[name] for name in "abcd"))
    blueprint = {"Audio1": 0.1, "Audio2": 0.2, "Written1": 0.2, "Written2": 0.2, "Written3": 0.3}
    tests = CAT(bank, max_items=20, groups=table["Group"], blueprint=blueprint).run(abilities(30, 4000), seed=31)
    counts = {g: (table["Group"][tests.items] == g).sum(axis=1) for g in blueprint}
    assert all((counts[g] == round(20 * share)).all() for g, share in blueprint.items())
    # EAP under the true prior: E(error) = 0 and E(error^2) = E(se^2), of 4000; 4.4 sd pass in one of 10^5 seeds.
    errors = (tests.theta - tests.abilities) / tests.se
    assert abs(errors.mean()) < 4.4 / np.sqrt(4000)
    assert abs((errors**2).mean() - 1) < 4.4 * np.std(errors**2) / np.sqrt(4000)


# Stopping rules


def test_a_test_ends_when_the_estimate_is_precise_enough():
    bank = random_bank(32, 60)
    tests = CAT(bank, max_items=30, min_items=4, stop_se=0.45).run(abilities(33, 40))
    assert tests.finished.all() and len(set(tests.lengths)) > 1
    for n, length in enumerate(tests.lengths):
        assert length >= 4 and (length == 30 or tests.se[n] <= 0.45)
        assert (tests.se_after[n, 3 : length - 1] > 0.45).all()


def test_standard_errors_smaller_than_the_distance_of_nodes_are_exact():
    """In a test of 200 items with a = 2, the SE equals that of an integral over 1000 nodes to a part in 600."""
    bank = irt.ItemParameters(np.full(200, 2.0), np.linspace(-2, 2, 200))
    tests = CAT(bank, max_items=200, stop_se=0.12).run([0.3], seed=1)
    assert 0.08 < tests.se[0] <= 0.12 and tests.lengths[0] < 200
    rows = np.full(200, -1)
    rows[tests.items[0, : tests.lengths[0]]] = tests.correct[0, : tests.lengths[0]]
    exact = irt.estimate_ability(bank, rows, nodes=1001)
    assert tests.se[0] == pytest.approx(exact.se[0], rel=1 / 600)
    assert tests.theta[0] == pytest.approx(exact.theta[0], abs=1e-3)


def test_a_test_ends_when_its_information_is_large_enough():
    bank = random_bank(34, 60)
    tests = CAT(bank, max_items=30, stop_information=4.0).run(abilities(35, 30))
    for n, length in enumerate(tests.lengths):
        info = [
            irt.test_information(tests.theta_after[n, k], bank.take(tests.items[n, : k + 1])) for k in range(length)
        ]
        assert (length == 30 or info[-1] >= 4.0) and max(info[:-1], default=0) < 4.0


def test_a_test_ends_when_the_next_item_has_little_information():
    bank = random_bank(36, 30)
    tests = CAT(bank, max_items=30, min_items=2, least_item_information=0.3).run(abilities(37, 30))
    for n, length in enumerate(tests.lengths):
        left = np.setdiff1d(np.arange(30), tests.items[n])
        assert length >= 2 and irt.information(tests.theta[n], bank.take(left)).max() < 0.3
        for k in range(2, length):
            assert irt.information(tests.theta_after[n, k - 1], bank)[tests.items[n, k]] >= 0.3


# Batches of examinees


@pytest.mark.heavy
@pytest.mark.parametrize("estimate", ["eap", "map", "ml", "wle"])
def test_a_test_is_the_same_in_any_batch(estimate):
    bank, able = random_bank(38, 30), abilities(39, 12)
    exposure = np.random.default_rng(40).uniform(0.3, 1, 30)
    cat = CAT(bank, estimate=estimate, randomesque=2, exposure=exposure, max_items=8, stop_se=0.6)
    whole = cat.run(able, seed=41)
    parts = [cat.run(able[begin:end], seed=41, first=begin) for begin, end in ((0, 7), (7, 8), (8, 12))]
    for name in ("items", "correct", "theta_after", "se_after", "theta", "se", "lengths"):
        np.testing.assert_array_equal(getattr(whole, name), np.concatenate([getattr(p, name) for p in parts]))
    assert not np.array_equal(whole.items, cat.run(able, seed=42).items)
    # The last estimate equals the estimate from all answers.
    rows = np.full((12, 30), -1)
    np.put_along_axis(rows, np.where(whole.items < 0, whole.items[:, :1], whole.items), -1, axis=1)
    for n in range(12):
        rows[n, whole.items[n, : whole.lengths[n]]] = whole.correct[n, : whole.lengths[n]]
    again = irt.estimate_ability(bank, rows, estimate)
    assert np.abs(again.theta - whole.theta).max() < 1e-9 and np.allclose(again.se, whole.se, rtol=1e-8)


@pytest.mark.compiled
def test_more_examinees_than_a_batch_holds_have_the_same_tests():
    bank, able = random_bank(43, 40), abilities(44, 1500)
    whole = CAT(bank, max_items=5).run(able, seed=45)
    assert np.array_equal(whole.items[1400:], CAT(bank, max_items=5).run(able[1400:], seed=45, first=1400).items)
    assert whole.times_selected.sum() == 1500 * 5 and np.array_equal(whole.abilities, able)


def test_examinees_may_answer_at_different_times():
    """An examinee who has not answered keeps the item; the tests equal those of examinees who answer at once."""
    bank, rng = random_bank(46, 30), np.random.default_rng(47)
    knows = rng.integers(0, 2, (5, 30))
    cat = CAT(bank, max_items=6, randomesque=3)
    at_once = cat.run(responder=lambda who, items: knows[who, items], num_examinees=5, seed=48)
    session = cat.session(5, seed=48)
    while not session.all_finished:
        items = session.next_items()
        assert np.array_equal(items, session.next_items())
        here = (items >= 0) & (rng.random(5) < 0.5)
        session.answer(np.where(here, knows[np.arange(5), items], -1))
    np.testing.assert_array_equal(session.result().items, at_once.items)
    np.testing.assert_array_equal(session.theta, at_once.theta)
    assert (
        session.finished.all() and session.lengths.tolist() == [6] * 5 and session.examinees.tolist() == [0, 1, 2, 3, 4]
    )


@pytest.mark.compiled
def test_simulated_answers_follow_the_response_function():
    """The share of 500 correct answers is within 4.4 sd of P, which one of 10^5 seeds exceeds."""
    one = irt.ItemParameters([1.2], [0.3], [0.2], [0.95])
    for able in (-1.0, 1.0):
        p = irt.probability(able, one)[0]
        share = (CAT(one, max_items=1).run(np.full(500, able), seed=49).correct == 1).mean()
        assert abs(share - p) < 4.4 * np.sqrt(p * (1 - p) / 500)


def test_the_first_item_is_selected_at_the_prior_mean():
    bank = irt.ItemParameters(np.ones(7), np.linspace(-3, 3, 7))
    first = lambda **settings: int(CAT(bank, **settings).session().next_items()[0])  # noqa: E731
    assert (first(), first(prior_mean=2.0), first(prior_mean=2.0, start=-1.0)) == (3, 5, 2)
    assert first(prior_mean=9.0, estimate="ml") == 6  # within the bounds


def test_names_of_settings_in_any_case_and_rules_of_zero():
    bank = random_bank(50, 25)
    plain = CAT(bank, "b-opt", "ml", max_items=4).run([0.5], seed=1)
    again = CAT(bank, "B-OPT", "ML", max_items=4, stop_se=0, stop_information=0, least_item_information=0.0)
    np.testing.assert_array_equal(plain.theta, again.run([0.5], seed=1).theta)
    assert again.stop_reasons(plain).tolist() == ["max_items"]


def test_summary_statistics_follow_their_definitions():
    tests = CAT(random_bank(50, 25), max_items=6, stop_se=0.6).run(abilities(51, 12), seed=52)
    administered = [set(row[row >= 0]) for row in tests.items]
    pairs = [len(a & b) for a, b in itertools.combinations(administered, 2)]
    assert tests.overlap == pytest.approx(np.mean(pairs) / np.mean([len(g) for g in administered]))
    assert tests.mean_length == np.mean([len(g) for g in administered])
    assert tests.exposure_rates.tolist() == [sum(i in g for g in administered) / 12 for i in range(25)]
    errors = tests.theta - abilities(51, 12)
    assert tests.bias == pytest.approx(errors.mean()) and tests.rmse == pytest.approx(np.sqrt((errors**2).mean()))
    assert tests.summary() == {
        "median_se": np.median(tests.se),
        "examinees": 12,
        "bias": tests.bias,
        "bias_se": tests.bias_se,
        "rmse": tests.rmse,
        "rmse_se": tests.rmse_se,
        "mean_length": tests.mean_length,
        "max_exposure": tests.exposure_rates.max(),
        "unused": (tests.exposure_rates == 0).mean(),
        "overlap": tests.overlap,
    }
    assert repr(tests) == f"<CATRun: tests of 12 examinees, {tests.lengths.sum()} answers>"
    assert tests.bias_se == pytest.approx(errors.std(ddof=1) / np.sqrt(12))
    assert tests.rmse_se == pytest.approx((errors**2).std(ddof=1) / np.sqrt(12) / (2 * tests.rmse))
    row = {"examinee": 3, "ability": tests.abilities[3], "theta": tests.theta[3], "se": tests.se[3]}
    assert tests.table()[3] == row | {"items": tests.lengths[3]}
    assert np.isnan(CAT(random_bank(50, 25)).run([0.0]).bias_se)
    alone = CAT(random_bank(50, 25), max_items=2).run(responder=lambda who, items: [1], num_examinees=1)
    assert np.isnan(alone.overlap) and alone.summary()["bias"] is None
    with pytest.raises(AlsimError, match="bias and RMSE require true abilities"):
        _ = alone.rmse
    empty = CAT(random_bank(50, 25)).run([])
    assert len(empty.lengths) == 0 and np.isnan([empty.bias, empty.rmse]).all()


# Fitted models, banks and names


NAMED = irt.ItemParameters([1.0, 1.5, 0.8], [0.0, 0.5, -1.0], 0.1, names=["x", "y", "z"])


def fitted_with(numbers):
    """Return a 2PL fit with invented estimates: one item per pair (a, b), NaN for an item without estimates."""
    a, b = np.array(numbers, float).T
    unknown, ones = np.full(len(a), np.nan), np.ones(len(a))
    return irt.IRTFit(
        **{"variant": "2pl", "items": np.array([f"q{i}" for i in range(len(a))]), "a": a, "d": -a * b, "c": 0 * ones},
        **{f"se_{name}": unknown for name in "abcd"},
        **{"responses": 10 * ones, "correct": 5 * ones, "num_students": 10.0, "priors": irt.Priors(), "nodes": 61},
        **{"between": True, "log_likelihood": -1.0, "iterations": 1, "converged": True, "num_responses": 10},
    )


def test_a_fit_goes_into_a_test_as_it_is(tmp_path):
    fit = fitted_with([(1.0, 0.2), (1.4, -0.3), (0.7, 1.0)])
    for source in (fit, load_fit(fit.save(tmp_path / "fit.json"))):
        cat = CAT(source)
        assert cat.items.names.tolist() == ["q0", "q1", "q2"]
        assert np.array_equal(cat.items.a, fit.a) and np.allclose(cat.items.b, fit.b)
        assert (cat.items.notes, cat.longest, cat.max_items) == ((), 3, 20)
        assert cat.session().next_names() == ["q1"]


def test_items_of_a_fit_without_estimates_or_with_negative_a_are_left_out():
    """An item whose responses are all correct has none. A negative a often is a wrong answer key."""
    fit = fitted_with([(1.0, 0.2), (np.nan, np.nan), (-0.4, 1.0), (1.2, 0.0)])
    cat = CAT(fit)
    assert cat.items.names.tolist() == ["q0", "q3"]
    assert [note[: note.index(" ha")] for note in cat.items.notes] == ["items left out: q1", "items left out: q2"]
    assert CAT(fit.item_parameters).items.names.tolist() == ["q0", "q2", "q3"]  # the parameters keep a negative a
    assert replace(cat, max_items=1).items.notes == cat.items.notes
    unfinished = replace(fitted_with([(1.0, 0.0)]), converged=False)
    assert CAT(unfinished).items.notes == ("the fit has not converged, so the parameters may be inaccurate",)
    with pytest.raises(AlsimError, match="no item has a > 0: the answer keys may be wrong"):
        CAT(fitted_with([(-1.0, 0.0)]))


def test_a_bank_goes_into_a_test():
    bank = sample_bank(Config(num_los=2))
    cat = CAT(bank)
    assert cat.items.names.tolist() == list(bank.questions.id)
    assert np.array_equal(cat.items.c, bank.questions.irt_c.astype(float))


def test_names_and_indices_are_the_same_test():
    items = random_bank(60, 20)
    names = [f"item {i}" for i in range(20)]
    named = CAT(irt.ItemParameters(*items.columns, names=names), max_items=5).run(abilities(61, 8), seed=1)
    plain = CAT(items, max_items=5, stop_se=0.6).run(abilities(61, 8), seed=1)
    for tests in (named, plain):
        expected = np.where(tests.items < 0, "", tests.names[tests.items])
        assert np.array_equal(tests.item_names, expected)
    assert named.item_names[0, 0] == f"item {named.items[0, 0]}"
    assert plain.names.tolist() == [str(i) for i in range(20)]


def test_an_answer_is_recorded_for_the_item_that_it_names_or_not_at_all():
    session = CAT(NAMED).session(2)
    first = session.next_names()
    assert first == ["y", "y"] and session.next_items().tolist() == [1, 1]
    with pytest.raises(AlsimError, match="the pending item of examinee 1 is y, and not x; pass the answer to the pend"):
        session.answer([1, 0], items=["y", "x"])
    with pytest.raises(AlsimError, match="the pending item of examinee 0 is 1, and not 2"):
        session.answer([1, 0], items=[2, 1])
    with pytest.raises(AlsimError, match=r"items must have shape \(2,\)"):
        session.answer([1, 0], items="y")
    assert session.lengths.tolist() == [0, 0]
    session.answer([1, -1], items=["y", "anything"])
    assert session.lengths.tolist() == [1, 0]
    with pytest.raises(AlsimError, match="no pending item"):
        session.answer([1, -1], items=["y", ""])  # the same answer again
    one = CAT(NAMED).session()
    while not one.all_finished:
        one.answer(1, one.next_names()[0])
    assert one.next_names() == [None]
    assert sorted(one.result().item_names[0]) == ["x", "y", "z"]


def test_mappings_by_name_equal_arrays():
    by_name = CAT(NAMED, exposure={"y": 0.25}, groups={"z": 1, "x": 0, "y": 1}, blueprint={0: 0.5, 1: 0.5})
    by_index = CAT(NAMED, exposure=[1, 0.25, 1], groups=[0, 1, 1], blueprint={0: 0.5, 1: 0.5})
    for one, other in zip(by_name.pool, by_index.pool, strict=True):
        assert np.array_equal(one, other)
    assert replace(by_name, exposure=None).pool.exposure.tolist() == [1, 1, 1]


def test_names_that_are_numbers_may_be_integers_in_mappings_only():
    items = irt.ItemParameters([1.0, 1.2, 0.8], [0.0, 0.5, -0.5], names=["101", "102", "103"])
    cat = CAT(items, exposure={102: 0.01}, groups={101: "p", 102: "q", 103: "q"}, blueprint={"p": 0.5, "q": 0.5})
    assert cat.pool.exposure.tolist() == [1, 0.01, 1] and cat.pool.group.tolist() == [0, 1, 1]
    session = CAT(items).session()
    assert session.next_names() == ["102"]
    with pytest.raises(AlsimError, match="the integer 102, which is an index, not a name; .* index 1: pass its"):
        session.answer(1, 102)
    session.answer(1, "102")


def test_a_test_is_pickled_and_copied_with_its_names():
    cat = pickle.loads(pickle.dumps(CAT(NAMED, stop_se=0.5)))
    assert cat.items.names.tolist() == ["x", "y", "z"] and cat.stop_se == 0.5
    assert NAMED.take([2, 0]).names.tolist() == ["z", "x"]
    assert NAMED.find(["z", "x"]).tolist() == [2, 0] and NAMED.find("y") == 1
    with pytest.raises(AlsimError, match="there is no item 'item 10'; did you mean 'item 1'?"):
        irt.ItemParameters(1, [0, 1], names=["item 1", "item 2"]).find("item 10")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["x"], r"names must have one name for each of 2 items; got shape \(1,\)"),
        (["x", "x"], "must be unique and not empty; got 'x' more than once: give each item a name"),
        (["x", ""], "got an empty name"),
    ],
)
def test_invalid_names_are_refused(names, message):
    with pytest.raises(AlsimError, match=message):
        irt.ItemParameters([1, 1], [0, 1], names=names)
    with pytest.raises(AlsimError, match="a of item 'p' is nan"):
        irt.ItemParameters([1, np.nan], 0, names=["o", "p"])


def test_the_reason_for_the_end_is_the_rule_that_ended_the_test():
    bank = random_bank(62, 30)

    def reasons(number=6, **settings):
        cat = CAT(bank, **settings)
        return cat.stop_reasons(cat.run(abilities(63, number)))

    assert set(reasons(max_items=4)) == {"max_items"}
    assert set(reasons(stop_se=0.7, max_items=30)) == {"stop_se"}
    assert set(reasons(stop_information=1.0, max_items=30)) == {"stop_information"}
    assert set(reasons(least_item_information=0.5, max_items=30)) == {"least_item_information"}
    assert set(reasons(max_items=31)) == {"no item left"}
    assert reasons(0).tolist() == []
    session = CAT(bank).session()
    assert CAT(bank).stop_reasons(session.result()).tolist() == [""]


# Invalid arguments

TWELVE = random_bank(53, 12)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"items": [1, 2]},
            "items must be ItemParameters, a fitted .* or a bank; got list; irt.read_items reads",
        ),
        ({"select": "best"}, "select must be one of max-info, b-opt, kullback-leibler, a-stratified; got 'best'"),
        ({"estimate": "mle"}, "method must be one of eap"),
        ({"max_items": 0}, "max_items is 0; expected an integer from 1 to 2147483647"),
        ({"min_items": 7}, "min_items is 7; expected an integer from 1 to 6"),
        ({"max_items": 2.0}, "max_items is 2.0"),
        ({"max_items": True}, "max_items is True"),
        ({"min_items": 0}, "min_items is 0"),
        ({"randomesque": 13}, "randomesque is 13"),
        ({"strata": 13, "select": "a-stratified"}, "strata is 13"),
        ({"stop_se": "small"}, "stop_se is small; expected a positive finite number"),
        ({"start": "low"}, "start is low; expected an ability"),
        ({"stop_se": 0.1, "bounds": "low"}, "bounds must contain only numbers"),
        ({"groups": ["a"] * 12, "blueprint": ["a"]}, "blueprint must be a mapping from group to share; got list"),
        ({"stop_se": -0.1}, "stop_se is -0.1; expected a positive finite number, or None or 0 for no such rule"),
        ({"stop_information": np.nan}, "stop_information is nan"),
        ({"least_item_information": -1}, "least_item_information is -1"),
        ({"start": 5.0}, r"start is 5.0; expected an ability within the bounds \(-4.0, 4.0\)"),
        ({"bounds": (1, 0)}, "bounds must be two abilities"),
        ({"exposure": [0.5]}, "exposure must have one probability"),
        ({"exposure": np.zeros(12)}, "exposure must have one probability"),
        ({"exposure": {"x": 0.5}}, "exposure: there is no item 'x'; the 12 items are 0, 1, 2, 3, 4, ..."),
        ({"groups": {"0": "a"}, "blueprint": {"a": 1.0}}, "groups has no value for the item '1'; pass a mapping with"),
        ({"groups": ["a"] * 12}, "groups and blueprint are both required"),
        ({"blueprint": {"a": 1.0}}, "groups and blueprint are both required"),
        ({"groups": ["a"], "blueprint": {"a": 1.0}}, "groups must have one group for each of 12 items"),
        ({"groups": ["a"] * 12, "blueprint": {"a": 0.5}}, "sum to 1"),
        ({"groups": ["a"] * 12, "blueprint": {"a": 1.5, "b": -0.5}}, "at least 0"),
        ({"groups": ["a"] * 12, "blueprint": {"a": 0.5, "b": 0.5}}, "gives group 'b' a share of 0.5, but no item"),
    ],
)
def test_invalid_settings_are_refused(settings, message):
    with pytest.raises(AlsimError, match=message):
        CAT(**{"items": TWELVE, "max_items": 6, **settings})


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([1], r"answers must have shape \(2,\), one per examinee; got \(1,\)"),
        ([1, 2], "the answer of examinee 8 is .*2.*; expected 0, 1 or -1"),
        ([1, np.nan], "the answer of examinee 8"),
        (["1", "0"], "the answer of examinee 7"),
    ],
)
def test_invalid_answers_are_refused(answers, message):
    session = CAT(TWELVE, max_items=6).session(2, first=7)
    with pytest.raises(AlsimError, match="examinee 7 has no pending item"):
        session.answer([1, 1])
    session.next_items()
    with pytest.raises(AlsimError, match=message):
        session.answer(answers)
    assert session.lengths.tolist() == [0, 0]


def test_invalid_run_arguments_are_refused():
    cat = CAT(TWELVE, max_items=3)
    for arguments in ({}, {"abilities": [0.0], "num_examinees": 1}, {"responder": print}, {"num_examinees": 3}):
        with pytest.raises(AlsimError, match="either abilities, or responder and num_examinees"):
            cat.run(**arguments)
    with pytest.raises(AlsimError, match="num_examinees is 2.5; expected an integer"):
        cat.run(responder=lambda who, items: [1, 1], num_examinees=2.5)
    with pytest.raises(AlsimError, match="abilities is empty"):
        cat.control_exposure(0.5, [])
    with pytest.raises(AlsimError, match=r"abilities must have shape \(N,\)"):
        cat.run(0.0)
    with pytest.raises(AlsimError, match="abilities must contain only finite numbers"):
        cat.run([np.nan])
    for answers in ([1], [1, 2], [1, None]):
        with pytest.raises(AlsimError, match="a responder must return one answer, 0 or 1, for each of 2"):
            cat.run(responder=lambda examinees, items, answers=answers: answers, num_examinees=2)
    for arguments in (
        {"seed": -1},
        {"seed": 0.5},
        {"first": 2**32},
        {"num_examinees": True},
        {"first": 2**32 - 1, "num_examinees": 2},
    ):
        with pytest.raises(AlsimError, match="expected an integer from 0|must be at most 4294967296"):
            cat.session(**arguments)
