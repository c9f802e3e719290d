"""Adaptive tests: against catR, against full scans, against what each rule of selection says, and at the edges."""

import itertools
import json

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import minimize_scalar

from alsim import AlsimError
from alsim.models import irt
from alsim.models.cat import CAT
from alsim.models.cat.candidates import CELLS, closeness_bounds, information_bounds, peaks
from alsim.models.cat.selection import FREE, GIVEN, choose, worth


def random_bank(seed, many, c=0.25, d=1.0):
    rng = np.random.default_rng(seed)
    lower = rng.uniform(0, c, many) if c else np.zeros(many)
    return irt.ItemParameters(rng.lognormal(0, 0.4, many), rng.normal(size=many), lower, rng.uniform(d, 1, many))


def abilities(seed, many):
    return np.random.default_rng(seed).normal(size=many)


def odd_banks():
    """Banks that a list of candidates may get wrong."""
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


def chosen_at(cat, theta, given=(), length=None):
    """The item that a test chooses at an ability, when some have been given."""
    session = cat.session()
    progress = session._progress
    progress.theta[0], progress.length[0] = theta, len(given) if length is None else length
    progress.status[list(given)] = GIVEN
    progress.item[: len(given)] = given
    return int(session.next_items()[0])


# catR's runs


@pytest.fixture(scope="module")
def catr(published):
    content = json.loads((published / "cat" / "catr_runs.json").read_text(encoding="utf-8"))
    return irt.ItemParameters(*np.array(content["itembank"]).T), [run["steps"] for run in content["runs"]]


def test_items_and_estimates_are_those_of_catr(catr):
    bank, runs = catr
    answers = [np.atleast_1d(steps[-1]["responses"]) for steps in runs]
    session = CAT(bank, max_items=12).session(len(runs))
    for k in range(12):
        assert session.next_items().tolist() == [steps[k]["selected0"] for steps in runs]
        session.answer([given[k] for given in answers])
        assert np.abs(session.theta - [steps[k]["theta"] for steps in runs]).max() < 1e-9
        assert np.abs(session.se - [steps[k]["se"] for steps in runs]).max() < 1e-9
    assert session.all_finished and session.next_items().tolist() == [-1] * len(runs)


def test_closest_difficulties_are_those_of_catr(catr):
    """The run records what catR's bOpt would take beside the item that was given."""
    bank, runs = catr
    cat = CAT(bank, select="b-opt", max_items=40)
    for step in itertools.chain(*runs):
        given = np.atleast_1d(step["administered0"]).tolist()
        assert chosen_at(cat, step["theta_used"], given) == step["bopt0"]


# Candidate lists


@pytest.mark.parametrize("name", odd_banks())
def test_no_item_tells_more_than_its_bound(name):
    items, edges = odd_banks()[name], np.linspace(-4, 4, CELLS + 1)
    bounds = information_bounds(items, edges)
    closeness = closeness_bounds(items, edges)
    for share in np.linspace(0, 1, 11):
        theta = edges[:-1] + share * np.diff(edges)
        assert (irt.information(theta, items) <= bounds).all()
        assert (-np.abs(theta[:, None] - items.b) <= closeness).all()
    # And no bound is far above: it is reached in its cell, at an end or at the peak.
    reached = np.maximum(irt.information(edges[:-1], items), irt.information(edges[1:], items))
    assert ((bounds < reached * (1 + 1e-6) + 1e-290) | (bounds <= peaks(items)[1] * (1 + 1e-8) + 1e-290)).all()


def test_peaks_are_where_information_is_highest():
    items = random_bank(3, 20, 0.3, 0.85)
    where, height = peaks(items)
    for i in range(len(items)):
        one = items.take([i])
        found = minimize_scalar(lambda t, one=one: -irt.information(t, one)[0], (where[i] - 0.5, where[i] + 0.5))
        assert abs(found.x - where[i]) < 1e-5  # a flat place, to the root of float64's precision
        assert height[i] == pytest.approx(-found.fun, rel=1e-12)
    # Three parameters: b + log((1 + sqrt(1 + 8 c)) / 2) / a (Birnbaum 1968).
    three = random_bank(4, 20)
    exact = three.b + np.log((1 + np.sqrt(1 + 8 * three.c)) / 2) / three.a
    assert np.abs(peaks(three)[0] - exact).max() < 1e-9


@pytest.mark.parametrize("name", odd_banks())
@pytest.mark.parametrize("select", ["max-info", "b-opt", "kullback-leibler"])
@pytest.mark.parametrize("best_of", [1, 3])
def test_a_list_of_candidates_finds_what_a_full_scan_finds(name, select, best_of):
    """The twin looks at every item; of equal ones both take those that come first."""
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
        progress, best, value = session._progress, np.empty(best_of, np.int32), np.empty(best_of)
        progress.theta[0] = theta
        while (free := np.flatnonzero(progress.status == FREE)).size >= max(best_of, len(items) // 2, 1):
            worths = {int(i): worth(theta, 0, i, cat.pool, cat.plan) for i in free}
            expected = sorted(worths, key=lambda i: (-worths[i], i))[:best_of]
            item = choose(0, FREE, np.uint64(0), 0, progress, cat.pool, cat.plan, best, value)
            assert best.tolist() == expected
            assert item in expected
            progress.status[rng.choice(free, max(1, len(items) // 6), replace=False)] = GIVEN


@pytest.mark.compiled
def test_two_thousand_tests_of_a_large_bank_are_those_of_a_full_scan():
    """Item by item over all 40,000 steps; NumPy's exponential differs by an ulp, so a tie within 1e-13 is a tie."""
    bank = random_bank(6, 600)
    tests = CAT(bank).run(abilities(7, 2000), seed=8)
    free = np.ones((2000, 600), bool)
    theta = np.zeros(2000)
    rows = np.arange(2000)
    for k in range(20):
        told = np.where(free, irt.information(theta, bank), -1)
        given = tests.items[:, k]
        assert free[rows, given].all()
        assert (told[rows, given] >= told.max(axis=1) * (1 - 1e-13)).all()
        free[rows, given] = False
        theta = tests.theta_after[:, k]
    assert np.array_equal(tests.theta, theta)


# Rules of selection


def test_kullback_leibler_takes_the_largest_integral():
    items = random_bank(9, 25, 0.3, 0.9)
    cat = CAT(items, select="kullback-leibler", max_items=25)
    for theta, given in ((0.4, ()), (-1.5, (1, 2, 3)), (2.0, tuple(range(9)))):
        half = 3 / np.sqrt(max(len(given), 1))

        def integral(i, theta=theta, half=half):
            one = items.take([i])

            def divergence(t):
                p, other = irt.probability(theta, one)[0], irt.probability(t, one)[0]
                return p * np.log(p / other) + (1 - p) * np.log((1 - p) / (1 - other))

            return quad(divergence, theta - half, theta + half)[0]

        integrals = [integral(i) if i not in given else -1 for i in range(25)]
        session = cat.session()
        told = worth(theta, len(given), int(np.argmax(integrals)), cat.pool, cat.plan)
        assert told == pytest.approx(max(integrals), rel=1e-3)  # nine points, and an interval six logits wide
        assert chosen_at(cat, theta, given) == int(np.argmax(integrals))
        assert not session.all_finished


def test_strata_are_gone_through_in_order_of_discrimination():
    bank = random_bank(10, 40)
    tests = CAT(bank, select="a-stratified", strata=4, max_items=12).run(abilities(11, 30))
    stratum = np.argsort(np.argsort(bank.a, kind="stable")) // 10
    assert (stratum[tests.items] == np.arange(12) // 3).all()
    # Within a stratum, the closest difficulty of what has not been given.
    for n in range(30):
        for k in range(12):
            theta = tests.theta_after[n, k - 1] if k else 0.0
            rest = [i for i in np.flatnonzero(stratum == k // 3) if i not in tests.items[n, :k]]
            assert abs(theta - bank.b[tests.items[n, k]]) == min(abs(theta - bank.b[i]) for i in rest)


def test_a_stratum_that_is_used_up_gives_way_to_the_others():
    tests = CAT(random_bank(12, 6), select="a-stratified", strata=2, max_items=6).run(abilities(13, 5))
    assert (np.sort(tests.items, axis=1) == np.arange(6)).all()
    # Of one group there is a single item a stratum, of the other two: by share each is asked three times.
    groups = ["x", "y", "y", "x", "y", "y"]
    bank = irt.ItemParameters([1, 1.1, 1.2, 2, 2.1, 2.2], np.zeros(6))
    cat = CAT(bank, select="a-stratified", strata=2, max_items=4, groups=groups, blueprint={"x": 0.5, "y": 0.5})
    assert sorted(np.array(groups)[cat.run([0.0]).items[0]]) == ["x", "x", "y", "y"]
    # A group that is used up altogether gives way to the others within the stratum: third, x is wanted most.
    bank = irt.ItemParameters([1.0, 1.1, 2.0, 2.1, 2.2, 1.2], np.zeros(6))
    groups = ["y"] * 5 + ["x"]
    cat = CAT(bank, select="a-stratified", strata=2, max_items=4, groups=groups, blueprint={"x": 0.9, "y": 0.1})
    assert cat.run([0.0]).items[0].tolist() == [5, 0, 2, 3]


def test_randomesque_draws_evenly_from_the_best():
    """1000 first items from 5: chi-square with 4 degrees of freedom exceeds 23.5 in one of 10^4 seeds."""
    bank = random_bank(14, 50)
    first = CAT(bank, randomesque=5, max_items=1).run(np.zeros(1000), seed=15).items[:, 0]
    best = np.argsort(-irt.information(0.0, bank))[:5]
    counts = np.bincount(first, minlength=50)
    assert counts[best].sum() == 1000
    assert ((counts[best] - 200) ** 2 / 200).sum() < 23.5


def test_no_item_is_given_twice_and_a_bank_may_be_used_up():
    bank = random_bank(16, 12)
    for settings in ({}, {"select": "b-opt"}, {"randomesque": 4}, {"exposure": np.full(12, 0.3)}):
        tests = CAT(bank, max_items=12, **settings).run(abilities(17, 20), seed=18)
        assert (np.sort(tests.items, axis=1) == np.arange(12)).all()
        assert np.allclose(tests.exposure_rates, 1) and tests.overlap == pytest.approx(1)


def test_exposure_control_gives_a_selected_item_with_its_chance():
    """1000 first items: the best is given with chance .4, sd .015; 4.4 sd are passed by one of 10^5 seeds."""
    bank = random_bank(19, 30)
    best, second = np.argsort(-irt.information(0.0, bank))[:2]
    release = np.ones(30)
    release[best] = 0.4
    tests = CAT(bank, max_items=1, exposure=release).run(np.zeros(1000), seed=20)
    assert abs(tests.exposure_rates[best] - 0.4) < 4.4 * np.sqrt(0.24 / 1000)
    assert tests.exposure_rates[best] + tests.exposure_rates[second] == 1
    assert tests.selection_rates[best] == 1
    # Set aside once, set aside for the rest of the test.
    longer = CAT(bank, max_items=5, exposure=release).run(np.zeros(60), seed=20)
    assert ((longer.items == best).any(axis=1) == (longer.items[:, 0] == best)).all()


@pytest.mark.compiled
def test_sympson_and_hetter_hold_exposure_near_the_rate():
    """Learnt from one sample of 400, met by another: .3 with sd .023 each; what the tenth round misses is less."""
    bank = random_bank(21, 60)
    plain = CAT(bank, max_items=6)
    held = plain.control_exposure(0.3, abilities(22, 400), seed=23)
    before, after = (cat.run(abilities(24, 400), seed=25) for cat in (plain, held))
    assert before.exposure_rates.max() == 1
    assert after.exposure_rates.max() < 0.3 + 6 * 0.023
    assert after.overlap < before.overlap


def test_exposure_control_leaves_alone_what_is_seldom_selected():
    """All begin with the same item: it is selected for everybody, and released at the rate."""
    bank = random_bank(21, 60)
    held = CAT(bank, max_items=6).control_exposure(0.25, np.linspace(-2, 2, 20), seed=23)
    release = np.asarray(held.exposure)
    first = int(np.argmax(irt.information(0.0, bank)))
    assert release[first] == 0.25 and ((release >= 0.25) & (release <= 1)).all()
    assert (release == 1).sum() > 20  # 20 tests of 6 and a few set aside cannot select 40 of 60 items often
    with pytest.raises(AlsimError, match="rate is 0.05; tests of 6 of 60 items need one from 0.1 to 1"):
        held.control_exposure(0.05, [0.0])


# Content


def test_each_item_is_of_the_group_furthest_below_its_share():
    bank, groups = random_bank(26, 60), np.repeat([3, 1, 2], 20)
    blueprint = {1: 0.5, 2: 0.3, 3: 0.2}
    tests = CAT(bank, max_items=10, groups=groups, blueprint=blueprint).run(abilities(27, 20))
    for row in tests.items:
        for k in range(10):
            missing = {g: share - (groups[row[:k]] == g).sum() / max(k, 1) for g, share in blueprint.items()}
            assert groups[row[k]] == max(missing, key=missing.__getitem__)  # the first of the largest
    assert (np.array([(groups[tests.items] == g).sum(axis=1) for g in (1, 2, 3)]).T == [5, 3, 2]).all()


def test_a_group_without_a_share_is_never_asked_and_one_used_up_gives_way():
    bank, groups = random_bank(28, 12), ["a"] * 2 + ["b"] * 6 + ["c"] * 4
    cat = CAT(bank, max_items=12, groups=groups, blueprint={"a": 0.75, "b": 0.25, "c": 0})
    tests = cat.run(abilities(29, 10))
    assert (tests.lengths == 8).all() and tests.finished.all()
    assert (np.sort(tests.items[:, :8], axis=1) == np.arange(8)).all() and (tests.items[:, 8:] == -1).all()
    only = CAT(bank, max_items=4, groups=groups, blueprint={"c": 1.0}).run(abilities(29, 10))
    assert (only.items >= 8).all()


@pytest.mark.compiled
def test_a_bank_that_nobody_simulated(published):
    """85 items of five kinds (Raiche 2002): the blueprint is met to the item, and estimates are as good as they say."""
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


# When a test ends


def test_a_test_ends_when_the_estimate_is_precise_enough():
    bank = random_bank(32, 60)
    tests = CAT(bank, max_items=30, min_items=4, stop_se=0.45).run(abilities(33, 40))
    assert tests.finished.all() and len(set(tests.lengths)) > 1
    for n, length in enumerate(tests.lengths):
        assert length >= 4 and (length == 30 or tests.se[n] <= 0.45)
        assert (tests.se_after[n, 3 : length - 1] > 0.45).all()


def test_standard_errors_smaller_than_the_nodes_distance_are_told():
    """One test of 200 items of a = 2: each step's SE is that of an integral over 1000 nodes, to a part in 600."""
    bank = irt.ItemParameters(np.full(200, 2.0), np.linspace(-2, 2, 200))
    tests = CAT(bank, max_items=200, stop_se=0.12).run([0.3], seed=1)
    assert 0.08 < tests.se[0] <= 0.12 and tests.lengths[0] < 200
    rows = np.full(200, -1)
    rows[tests.items[0, : tests.lengths[0]]] = tests.correct[0, : tests.lengths[0]]
    exact = irt.estimate_ability(bank, rows, nodes=1001)
    assert tests.se[0] == pytest.approx(exact.se[0], rel=1 / 600)
    assert tests.theta[0] == pytest.approx(exact.theta[0], abs=1e-3)


def test_a_test_ends_when_it_has_told_enough():
    bank = random_bank(34, 60)
    tests = CAT(bank, max_items=30, stop_information=4.0).run(abilities(35, 30))
    for n, length in enumerate(tests.lengths):
        told = [
            irt.test_information(tests.theta_after[n, k], bank.take(tests.items[n, : k + 1])) for k in range(length)
        ]
        assert (length == 30 or told[-1] >= 4.0) and max(told[:-1], default=0) < 4.0


def test_a_test_ends_when_the_next_item_would_tell_little():
    bank = random_bank(36, 30)
    tests = CAT(bank, max_items=30, min_items=2, least_item_information=0.3).run(abilities(37, 30))
    for n, length in enumerate(tests.lengths):
        left = np.setdiff1d(np.arange(30), tests.items[n])
        assert length >= 2 and irt.information(tests.theta[n], bank.take(left)).max() < 0.3
        for k in range(2, length):
            assert irt.information(tests.theta_after[n, k - 1], bank)[tests.items[n, k]] >= 0.3


# Many examinees, and each by itself


@pytest.mark.parametrize("estimate", ["eap", "map", "ml", "wle"])
def test_a_test_is_the_same_in_any_batch(estimate):
    bank, able = random_bank(38, 30), abilities(39, 12)
    release = np.random.default_rng(40).uniform(0.3, 1, 30)
    cat = CAT(bank, estimate=estimate, randomesque=2, exposure=release, max_items=8, stop_se=0.6)
    whole = cat.run(able, seed=41)
    parts = [cat.run(able[begin:end], seed=41, first=begin) for begin, end in ((0, 7), (7, 8), (8, 12))]
    for name in ("items", "correct", "theta_after", "se_after", "theta", "se", "lengths"):
        np.testing.assert_array_equal(getattr(whole, name), np.concatenate([getattr(p, name) for p in parts]))
    assert not np.array_equal(whole.items, cat.run(able, seed=42).items)
    # Its last estimate is that of all its answers.
    rows = np.full((12, 30), -1)
    np.put_along_axis(rows, np.where(whole.items < 0, whole.items[:, :1], whole.items), -1, axis=1)
    for n in range(12):
        rows[n, whole.items[n, : whole.lengths[n]]] = whole.correct[n, : whole.lengths[n]]
    again = irt.estimate_ability(bank, rows, estimate)
    assert np.abs(again.theta - whole.theta).max() < 1e-9 and np.allclose(again.se, whole.se, rtol=1e-8)


@pytest.mark.compiled
def test_more_examinees_than_go_side_by_side_are_as_many():
    bank, able = random_bank(43, 40), abilities(44, 1500)
    whole = CAT(bank, max_items=5).run(able, seed=45)
    assert np.array_equal(whole.items[1400:], CAT(bank, max_items=5).run(able[1400:], seed=45, first=1400).items)
    assert whole.times_selected.sum() == 1500 * 5 and np.array_equal(whole.abilities, able)


def test_examinees_answer_in_their_own_time():
    """Whoever has not answered keeps the item; the tests are those of examinees who answer at once."""
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
def test_simulated_examinees_answer_by_the_curves():
    """500 answers to one item: within 4.4 sd of P, which one of 10^5 seeds exceeds."""
    one = irt.ItemParameters([1.2], [0.3], [0.2], [0.95])
    for able in (-1.0, 1.0):
        p = irt.probability(able, one)[0]
        share = (CAT(one, max_items=1).run(np.full(500, able), seed=49).correct == 1).mean()
        assert abs(share - p) < 4.4 * np.sqrt(p * (1 - p) / 500)


def test_reports_are_what_they_are_called():
    tests = CAT(random_bank(50, 25), max_items=6, stop_se=0.6).run(abilities(51, 12), seed=52)
    given = [set(row[row >= 0]) for row in tests.items]
    pairs = [len(a & b) for a, b in itertools.combinations(given, 2)]
    assert tests.overlap == pytest.approx(np.mean(pairs) / np.mean([len(g) for g in given]))
    assert tests.mean_length == np.mean([len(g) for g in given])
    assert tests.exposure_rates.tolist() == [sum(i in g for g in given) / 12 for i in range(25)]
    errors = tests.theta - abilities(51, 12)
    assert tests.bias == pytest.approx(errors.mean()) and tests.rmse == pytest.approx(np.sqrt((errors**2).mean()))
    assert tests.summary() == {
        "examinees": 12,
        "bias": tests.bias,
        "rmse": tests.rmse,
        "mean_length": tests.mean_length,
        "max_exposure": tests.exposure_rates.max(),
        "unused": (tests.exposure_rates == 0).mean(),
        "overlap": tests.overlap,
    }
    assert repr(tests) == f"<CATRun: tests of 12 examinees, {tests.lengths.sum()} answers>"
    alone = CAT(random_bank(50, 25), max_items=2).run(responder=lambda who, items: [1], num_examinees=1)
    assert np.isnan(alone.overlap) and alone.summary()["bias"] is None
    with pytest.raises(AlsimError, match="bias and RMSE want true abilities"):
        _ = alone.rmse
    nobody = CAT(random_bank(50, 25)).run([])
    assert len(nobody.lengths) == 0 and np.isnan([nobody.bias, nobody.rmse]).all()


# What cannot be

TWELVE = random_bank(53, 12)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"items": [1, 2]}, "items are ItemParameters; got list"),
        ({"select": "best"}, "select is one of max-info, b-opt, kullback-leibler, a-stratified; got 'best'"),
        ({"estimate": "mle"}, "method is one of eap"),
        ({"max_items": 13}, "max_items is 13; expected an integer from 1 to 12"),
        ({"max_items": 2.0}, "max_items is 2.0"),
        ({"max_items": True}, "max_items is True"),
        ({"min_items": 0}, "min_items is 0"),
        ({"randomesque": 13}, "randomesque is 13"),
        ({"strata": 13, "select": "a-stratified"}, "strata is 13"),
        ({"stop_se": "small"}, "stop_se is small; expected a positive finite number"),
        ({"start": "low"}, "start is low; expected an ability"),
        ({"stop_se": 0.1, "bounds": "low"}, "bounds is made of numbers"),
        ({"groups": ["a"] * 12, "blueprint": ["a"]}, "blueprint maps a group to its share; got list"),
        ({"stop_se": 0.0}, "stop_se is 0.0; expected a positive finite number"),
        ({"stop_information": np.nan}, "stop_information is nan"),
        ({"least_item_information": -1}, "least_item_information is -1"),
        ({"start": 5.0}, r"start is 5.0; expected an ability within the bounds \(-4.0, 4.0\)"),
        ({"bounds": (1, 0)}, "bounds are two abilities"),
        ({"exposure": [0.5]}, "exposure has a chance"),
        ({"exposure": np.zeros(12)}, "exposure has a chance"),
        ({"groups": ["a"] * 12}, "groups and blueprint go together"),
        ({"blueprint": {"a": 1.0}}, "groups and blueprint go together"),
        ({"groups": ["a"], "blueprint": {"a": 1.0}}, "groups has a group for each of 12 items"),
        ({"groups": ["a"] * 12, "blueprint": {"a": 0.5}}, "add up to 1"),
        ({"groups": ["a"] * 12, "blueprint": {"a": 1.5, "b": -0.5}}, "at least 0"),
        ({"groups": ["a"] * 12, "blueprint": {"a": 0.5, "b": 0.5}}, "gives 'b' a share of 0.5, but no item"),
    ],
)
def test_a_test_that_cannot_be_is_refused(settings, said):
    with pytest.raises(AlsimError, match=said):
        CAT(**{"items": TWELVE, "max_items": 6, **settings})


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([1], r"answers have shape \(2,\), one an examinee; got \(1,\)"),
        ([1, 2], "the answer of examinee 8 is .*2.*; expected 0, 1 or -1"),
        ([1, np.nan], "the answer of examinee 8"),
        (["1", "0"], "the answer of examinee 7"),
    ],
)
def test_answers_that_cannot_be_are_refused(answers, said):
    session = CAT(TWELVE, max_items=6).session(2, first=7)
    with pytest.raises(AlsimError, match="examinee 7 has been asked nothing"):
        session.answer([1, 1])
    session.next_items()
    with pytest.raises(AlsimError, match=said):
        session.answer(answers)
    assert session.lengths.tolist() == [0, 0]


def test_runs_that_cannot_be_are_refused():
    cat = CAT(TWELVE, max_items=3)
    for arguments in ({}, {"abilities": [0.0], "num_examinees": 1}, {"responder": print}, {"num_examinees": 3}):
        with pytest.raises(AlsimError, match="either abilities, or responder and num_examinees"):
            cat.run(**arguments)
    with pytest.raises(AlsimError, match="num_examinees is 2.5; expected an integer"):
        cat.run(responder=lambda who, items: [1, 1], num_examinees=2.5)
    with pytest.raises(AlsimError, match="abilities has none"):
        cat.control_exposure(0.5, [])
    with pytest.raises(AlsimError, match=r"abilities have shape \(N,\)"):
        cat.run(0.0)
    with pytest.raises(AlsimError, match="abilities is made of finite numbers"):
        cat.run([np.nan])
    for said in ([1], [1, 2], [1, None]):
        with pytest.raises(AlsimError, match="a responder returns an answer, 0 or 1, for each of 2"):
            cat.run(responder=lambda who, items, said=said: said, num_examinees=2)
    for arguments in (
        {"seed": -1},
        {"seed": 0.5},
        {"first": 2**32},
        {"num_examinees": True},
        {"first": 2**32 - 1, "num_examinees": 2},
    ):
        with pytest.raises(AlsimError, match="expected an integer from 0|numbered below"):
            cat.session(**arguments)
