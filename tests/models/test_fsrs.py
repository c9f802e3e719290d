"""FSRS-6 on arrays, against the reviews of py-fsrs and the vectors that the authors assert."""

import json

import numpy as np
import pytest

from alsim.models import ModelError, fsrs

NEW = np.nan, np.nan


@pytest.fixture(scope="module")
def known(published):
    """Reviews and vectors of py-fsrs, ts-fsrs, fsrs-rs and fsrs-optimizer."""
    return json.loads((published / "learners/fsrs.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def vectors(known):
    """Vectors that the authors assert in their tests, by the beginning of their name."""
    return known["published"]


def of(vectors, opening):
    """The vectors whose name begins so."""
    (found,) = (value for name, value in vectors.items() if name.startswith(opening))
    return found


def history(ratings, days, weights=fsrs.WEIGHTS):
    """Stability and difficulty after each of some reviews, (R, 2); the days of the first one are not read."""
    state, found = NEW, []
    for rating, t in zip(ratings, days, strict=True):
        state = fsrs.review(*state, t, rating, weights)
        found.append(state)
    return np.array(found)


def test_the_weights_are_the_published_ones(known):
    assert known["parameters_fsrs6"] == list(fsrs.WEIGHTS)


def test_every_review_of_80_cards_is_that_of_py_fsrs(known):
    """634 reviews; py-fsrs computes in float64 with other roundings of exp and log."""
    assert len(known["cards"]) == 80
    for card in known["cards"]:
        days, ratings, recall, stability, difficulty, intervals = (
            np.array(column, float) for column in zip(*card["reviews"], strict=True)
        )
        found = history(ratings, days)
        np.testing.assert_allclose(found, np.column_stack([stability, difficulty]), rtol=1e-11)
        np.testing.assert_allclose(fsrs.retrievability(stability[:-1], days[1:]), recall[1:], rtol=1e-11)
        wanted = fsrs.interval(stability, card["desired_retention"])
        assert np.array_equal(np.clip(np.round(wanted), 1, 36500), intervals)


def test_cards_in_one_batch_have_the_bits_of_single_cards(known):
    first = np.array([card["reviews"][0][1] for card in known["cards"]])
    second = np.array([card["reviews"][1][:2] for card in known["cards"]])
    together = fsrs.review(*fsrs.review(*NEW, 0, first), *second.T)
    for k in range(80):
        one = fsrs.review(*fsrs.review(*NEW, 0, first[k]), *second[k])
        assert (one[0], one[1]) == (together[0][k], together[1][k])


def test_intervals_of_the_schedulers_tests(vectors):
    """Steps of minutes are days of 0, as for py-fsrs; a step has the interval 0."""
    case = of(vectors, "py-fsrs tests")
    expected = np.array(case["intervals_days"])
    found = fsrs.interval(history(case["ratings"], [0, *expected[:-1]])[:, 0], 0.9)
    assert np.array_equal(np.round(found)[expected > 0], expected[expected > 0])


@pytest.mark.parametrize(("key", "zero"), [("stability", ()), ("stability_with_w17_w18_w19_zero", (17, 18, 19))])
def test_memory_states_of_the_schedulers_tests(vectors, key, zero):
    """The authors state them in float32, with 4 to 5 digits after the point."""
    case, weights = of(vectors, "same, memory state"), np.array(fsrs.WEIGHTS)
    weights[list(zero)] = 0
    stability, difficulty = history(case["ratings"], case["intervals_days"], weights)[-1]
    assert stability == pytest.approx(case[key], rel=2e-6)
    assert zero or difficulty == pytest.approx(case["difficulty"], rel=2e-6)


def test_version_5_is_version_6_with_two_more_weights(vectors):
    case = of(vectors, "fsrs-rs src/inference.rs")
    weights = [*case["w"], case["w19"], case["decay"]]
    found = history(case["ratings"], case["days"], weights)
    np.testing.assert_allclose(found[-1], [case["stability"], case["difficulty"]], rtol=2e-6)
    after = fsrs.review(20.925528, 7.005062, 21, 3, weights)
    np.testing.assert_allclose(after, case["next_from_S20.925528_D7.005062_after_21_days_good"], rtol=2e-6)
    for rating, name in enumerate(("again", "hard", "good", "easy"), start=1):
        after = fsrs.review(*found[-2], 21, rating, weights)
        np.testing.assert_allclose(after, case["next_states_after_first_four_then_21_days"][name], rtol=2e-6)


def test_parts_of_the_optimizers_tests(vectors):
    """Reviews of S = 5 when the probability of recall is R; the rating 1 has no state after success."""
    case = of(vectors, "fsrs-optimizer tests")
    s, d, r, rating = case["S"], np.array(case["D"], float), np.array(case["R"]), np.array(case["rating"])
    days = fsrs.interval(s, r)
    np.testing.assert_allclose(fsrs.retrievability(s, days), r, rtol=1e-14)
    success = fsrs.review(s, d, days, rating)[0]
    np.testing.assert_allclose(success[1:], case["stability_after_success"][1:], rtol=2e-6)
    np.testing.assert_allclose(fsrs.review(s, d, days, 1)[0], case["stability_after_failure"], rtol=2e-6)
    np.testing.assert_allclose(fsrs.review(s, d, 0, rating)[0], case["stability_short_term"], rtol=2e-6)
    np.testing.assert_allclose(fsrs.review(s, 5, days, rating)[1], case["next_difficulty_from_5"], rtol=2e-6)
    curve = case["forgetting_curve"]
    np.testing.assert_allclose(fsrs.retrievability(curve["S"], curve["t"]), curve["R"], rtol=2e-6)
    pairs = of(case, "two reviews")
    ratings, days = np.array([1, 2, 3, 4, 1, 2]), np.array([1, 1, 1, 1, 2, 2])
    found = fsrs.review(*fsrs.review(*NEW, 0, ratings), days, ratings)
    np.testing.assert_allclose(found, [pairs["stability"], pairs["difficulty"]], rtol=2e-6)


def test_intervals_of_fsrs_rs(vectors):
    """fsrs-rs computes them in float32, and returns at least 1 day; its retention of 1 is an error here."""
    expected = of(vectors, "fsrs-rs next_interval")[:9]
    found = fsrs.interval(1, np.arange(1, 10) / 10)
    np.testing.assert_allclose(np.maximum(np.round(found), 1), expected, rtol=2e-6)


def test_the_probability_of_recall_after_the_stability_is_09():
    stability = np.array([0.001, 1, 40, 36500])
    np.testing.assert_allclose(fsrs.retrievability(stability, stability), 0.9, rtol=1e-14)
    np.testing.assert_allclose(fsrs.interval(stability, 0.9), stability, rtol=1e-13)
    assert (fsrs.retrievability(stability, 0) == 1).all()


def test_a_day_decides_between_the_two_rules():
    before, after = (fsrs.review(5.0, 5.0, t, 3)[0] for t in (np.nextafter(1, 0), 1.0))
    assert before == 5.0
    assert after > 5.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fsrs.review(*NEW, 0, 0), "rating must be 1, 2, 3 or 4; got 0"),
        (lambda: fsrs.review(*NEW, 0, [1, 5]), "rating must be 1, 2, 3 or 4; got 5"),
        (lambda: fsrs.review(*NEW, 0, 2.5), "rating must be 1, 2, 3 or 4; got 2.5"),
        (lambda: fsrs.review(*NEW, 0, np.nan), "rating must be 1, 2, 3 or 4; got nan"),
        (lambda: fsrs.review(5.0, 5.0, -1.0, 3), "at least 0; got -1: times run backwards"),
        (lambda: fsrs.review(5.0, 5.0, np.nan, 3), "days since the last review must be finite; got nan"),
        (lambda: fsrs.review(0.0, 5.0, 1.0, 3), "stability must be a number of days above 0; got 0"),
        (lambda: fsrs.review(np.nan, 5.0, 1.0, 3), "stability must be a number of days above 0; got nan"),
        (lambda: fsrs.review(5.0, np.nan, 1.0, 3), r"difficulty must be in \[1, 10\].*got nan"),
        (lambda: fsrs.review(5.0, 10.5, 1.0, 3), r"difficulty must be in \[1, 10\].*got 10.5"),
        (lambda: fsrs.retrievability(-1.0, 1.0), "stability must be a number of days above 0; got -1"),
        (lambda: fsrs.retrievability(1.0, -2.0), "at least 0; got -2: times run backwards"),
        (lambda: fsrs.interval(1.0, 1.0), r"retention must be in \(0, 1\); got 1"),
        (lambda: fsrs.interval(1.0, [0.9, 0.0]), r"retention must be in \(0, 1\); got 0"),
        (lambda: fsrs.interval(1.0, np.nan), r"retention must be in \(0, 1\); got nan"),
        (lambda: fsrs.interval(1.0, 0.9, fsrs.WEIGHTS[:19]), "21 numbers; got shape .19,.: append 0 and 0.5"),
        (lambda: fsrs.interval(1.0, 0.9, "many"), "21 numbers; got 'many'"),
        (lambda: fsrs.interval(1.0, 0.9, [*fsrs.WEIGHTS[:20], np.inf]), "must be finite; w20 is not"),
        (
            lambda: fsrs.interval(1.0, 0.9, [*fsrs.WEIGHTS[:20], 0.0]),
            "w20 of the weights of FSRS must be above 0; got 0",
        ),
        (lambda: fsrs.review(*NEW, 0, 1, [0.0, *fsrs.WEIGHTS[1:]]), "w0 of the weights of FSRS must be above 0; got 0"),
    ],
)
def test_invalid_values_are_named(call, message):
    with pytest.raises(ModelError, match=message):
        call()
