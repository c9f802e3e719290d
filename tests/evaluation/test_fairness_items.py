"""Tests of items for DIF, compared with statsmodels and with planted DIF; invalid input."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from alsim.errors import AlsimError
from alsim.evaluation import fairness
from alsim.models import Responses, irt
from alsim.models.irt import ItemParameters

ITEMS = ItemParameters(np.full(20, 1.1), np.linspace(-1.5, 1.5, 20), np.zeros(20))
SHIFT = np.where(np.arange(20) % 7 == 3, 0.9, 0.0)
"""Three items are harder by .9 logits for the focal group."""


def planted(seed, shift=SHIFT, students=1000, impact=0.5):
    """Return answers with planted DIF; the focal group has lower abilities."""
    focal = np.arange(students) % 2 == 1
    ability = np.random.default_rng([7, seed]).normal(0, 1, students) - impact * focal
    return fairness.plant_dif(ITEMS, shift, ability, focal, seed=seed)


def test_published_tables(published):
    case = json.loads((published / "evaluation/mantel_haenszel_dif.json").read_text())
    found = fairness.mantel_haenszel_tables(case["tables"])
    expected = {"odds_ratio": "odds_ratio", "delta": "delta_mh", "chi_squared": "chi2_corrected", "p": "p"}
    for own, other in expected.items():
        assert getattr(found, own) == pytest.approx(case[other], abs=1e-9)
    assert found.ets_class == "B"  # |delta| >= 1.5, and not significantly above 1


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("correction", [True, False])
def test_answers_and_tables_are_those_of_statsmodels(seed, correction):
    from statsmodels.stats.contingency_tables import StratifiedTable

    rng = np.random.default_rng(seed)
    correct, focal, score = rng.integers(0, 2, 300), rng.integers(0, 2, 300), rng.integers(0, 4, 300)
    group = np.where(focal, "new", "old")
    tables = [
        np.array([[((score == k) & (focal == g) & (correct == c)).sum() for c in (1, 0)] for g in (0, 1)])
        for k in range(4)
    ]
    table = StratifiedTable([t.astype(float) for t in tables])
    test = table.test_null_odds(correction=correction)
    of_answers = fairness.mantel_haenszel(correct, group, score, focal="new", correction=correction)
    assert of_answers == fairness.mantel_haenszel_tables(tables, correction=correction)
    assert of_answers.odds_ratio == pytest.approx(table.oddsratio_pooled, rel=1e-9)
    assert of_answers.se_log == pytest.approx(table.logodds_pooled_se, rel=1e-9)
    assert of_answers.chi_squared == pytest.approx(test.statistic, rel=1e-9, abs=1e-12)
    assert of_answers.p == pytest.approx(test.pvalue, rel=1e-9)
    turned = fairness.mantel_haenszel(correct, group, score, focal="old", correction=correction)
    assert turned.delta == pytest.approx(-of_answers.delta)


def test_without_purification_all_items_are_as_one_by_one_and_as_by_the_other_interface():
    sample = planted(0)
    group = np.where(sample.is_focal, "b", "a")
    found = fairness.dif(sample.answers, group, purify=False)
    log = Responses.from_matrix(sample.answers.astype(np.int8))
    other = irt.mantel_haenszel(log, group, "b")
    for name in ("odds_ratio", "se_log", "delta", "chi_squared", "p"):
        np.testing.assert_allclose(getattr(found, name), getattr(other, name), rtol=1e-12)
    assert found.classes.tolist() == other.classes.tolist() and found.focal == "b"
    score = sample.answers.sum(axis=1)
    one = fairness.mantel_haenszel(sample.answers[:, 3], group, score)
    assert (one.delta, one.p) == (found.delta[3], found.p[3])
    named = fairness.dif(log, group, purify=False)
    assert named.items.tolist() == log.items.tolist() and named.flags == [
        str(log.items[i]) for i in (3, 10)
    ]  # the last one is masked


def test_purified_scores_leave_flagged_items_out_and_keep_the_tested_one():
    """By brute force: the score of each item is the number of right answers to it and to all items without a flag."""
    sample = planted(1)
    found = fairness.dif(sample.answers, sample.is_focal)
    assert found.rounds >= 1 and (found.in_score == ~found.flagged).all()
    for item in range(20):
        kept = found.in_score | (np.arange(20) == item)
        score = sample.answers[:, kept].sum(axis=1)
        one = fairness.mantel_haenszel(sample.answers[:, item], sample.is_focal, score)
        assert (one.odds_ratio, one.p) == (found.odds_ratio[item], found.p[item])
    assert fairness.dif(sample.answers, sample.is_focal, max_rounds=1).rounds == 1


def test_planted_dif_is_found_and_only_there():
    """100 samples of 1,000 students, seeds 0 to 99.

    Three items harder by .9: at least 90 % of them found, where a normal approximation of the log odds ratio (standard
    error .15) gives power .99. No item at all: a flag in at most 5 % + 3 standard errors of the samples (.115), false
    alarm 4e-3 if the rate were .05; the continuity correction makes it smaller.
    """
    hits = false = 0
    for seed in range(100):
        found = fairness.detection(fairness.dif(planted(seed).answers, planted(seed).is_focal), SHIFT != 0)
        hits += found.hits
        none = planted(seed, shift=np.zeros(20))
        clean = fairness.detection(fairness.dif(none.answers, none.is_focal), none.has_dif)
        assert (clean.planted, clean.clean) == (0, 20)
        false += clean.false_flags > 0
    assert hits >= 270 and false <= 11


@pytest.mark.ci
@pytest.mark.parametrize("impact", [0.0, 0.5])
def test_rates_of_flags_in_2000_samples(impact):
    """2,000 samples, seeds 0 to 1999: any flag in at most .05 + 3 standard errors of them, false alarm .0013 at .05."""
    some = 0
    for seed in range(2000):
        sample = planted(seed, shift=np.zeros(20), impact=impact)
        some += bool(fairness.dif(sample.answers, sample.is_focal).flags)
    assert some / 2000 <= 0.05 + 3 * (0.05 * 0.95 / 2000) ** 0.5


def test_the_difference_has_the_sign_and_the_size_of_the_shift():
    """With equal slopes a, the log odds ratio is a times the shift, and delta is -2.35 times that (Holland & Thayer).

    20,000 students: standard error of delta below .12; bounds of 4 standard errors, false alarm 6e-5 per item.
    """
    sample = planted(5, students=20_000)
    found = fairness.dif(sample.answers, sample.is_focal)
    np.testing.assert_allclose(found.delta[SHIFT > 0], -2.35 * 1.1 * 0.9, atol=0.5)
    assert found.flags == ["3", "10", "17"] and set(found.classes[SHIFT > 0]) == {"C"}


def test_missing_answers_need_a_matching_value():
    sample = planted(3)
    holes = np.where(np.random.default_rng(0).random(sample.answers.shape) < 0.3, -1, sample.answers)
    with pytest.raises(AlsimError, match=r"student 0 has not answered item \d+: pass values .* as matching"):
        fairness.dif(holes, sample.is_focal)
    stratum = np.searchsorted(np.quantile(sample.answers.sum(axis=1), [0.2, 0.4, 0.6, 0.8]), sample.answers.sum(axis=1))
    found = fairness.dif(holes, sample.is_focal, matching=stratum)
    assert {"3", "10", "17"} <= {*found.flags} and found.rounds == 0
    assert found.answers.tolist() == (holes >= 0).sum(axis=0).tolist()


def test_an_item_that_determines_no_odds_ratio_is_undefined():
    answers = np.array([[1, 1, 0], [1, 0, 1], [1, 1, 0], [1, 0, 1]])
    found = fairness.dif(answers, [*"aabb"])
    assert math.isnan(found.p[0]) and found.classes[0] == "" and not found.flagged[0]
    assert found.table()[0]["p"] is None
    json.dumps(found.table(), allow_nan=False)


@pytest.mark.parametrize("wrong", [True, False])
def test_an_item_that_only_one_group_answers_rightly_is_flagged(wrong):
    """Its odds ratio is infinite or 0, without a standard error, and the test is that of statsmodels."""
    from statsmodels.stats.contingency_tables import StratifiedTable

    rng = np.random.default_rng(0)
    is_focal, score = np.arange(400) % 2 == 1, np.arange(400) // 2 % 4
    right = (rng.random(400) < 0.5) & ~is_focal
    correct = right if wrong else ~right
    found = fairness.mantel_haenszel(correct, is_focal, score, focal=True)
    tables = [
        np.array(
            [
                [(right & (score == s) & (is_focal == g)).sum(), (~right & (score == s) & (is_focal == g)).sum()]
                for g in (0, 1)
            ]
        )
        for s in range(4)
    ]
    twin = StratifiedTable(tables).test_null_odds(correction=True)
    assert (found.odds_ratio, found.delta) == ((math.inf, -math.inf) if wrong else (0.0, math.inf))
    assert (found.chi_squared, found.p) == pytest.approx((twin.statistic, twin.pvalue))
    assert math.isnan(found.se_log) and found.ets_class == "C"
    tests = fairness.dif(np.c_[correct, rng.integers(0, 2, 400)], is_focal, focal=True, matching=score)
    assert tests.flags == ["0"] and tests.table()[0]["delta"] is None
    json.dumps(tests.table(), allow_nan=False)


def test_strata_of_texts_and_of_intervals_of_pandas():
    """A column of pandas is an array of objects; only the equality of its values counts."""
    rng = np.random.default_rng(0)
    correct, group, score = rng.integers(0, 2, 200), np.arange(200) % 2, rng.normal(size=200)
    expected = fairness.mantel_haenszel(correct, group, pd.qcut(score, 5, labels=False))
    assert fairness.mantel_haenszel(correct, group, pd.qcut(score, 5)) == expected
    assert fairness.mantel_haenszel(correct, group, pd.Series(pd.qcut(score, 5).astype(str))) == expected


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: fairness.mantel_haenszel([1, 0, 1, np.nan], [*"aabb"], [1] * 4),
            r"correct must be in \[0, 1\]; got nan",
        ),
        (lambda: fairness.mantel_haenszel([1, 0, 1, 0.5], [*"aabb"], [1] * 4), "correct must be 0 or 1; got 0.5"),
        (lambda: fairness.mantel_haenszel([1, 0] * 3, [*"aabbcc"], [1] * 6), "two different values; got 3: compare"),
        (lambda: fairness.mantel_haenszel([1, 0] * 2, [*"aabb"], [1] * 4, focal="c"), "focal must be 'a' or 'b'"),
        (lambda: fairness.mantel_haenszel([1, 0] * 2, [*"aaab"], [1] * 4), "got 1 row in the group 'b'"),
        (lambda: fairness.mantel_haenszel([1, 0] * 2, [*"aabb"], [1] * 3), r"matching must have shape \(4,\)"),
        (lambda: fairness.mantel_haenszel([1, 0] * 2, [*"aabb"], [1, 1, 1, np.nan]), "got nan at index 3: leave"),
        (lambda: fairness.mantel_haenszel_tables([[1, 2], [3, 4]]), r"shape \(K, 2, 2\); got int64 of shape \(2, 2\)"),
        (lambda: fairness.mantel_haenszel_tables([[[1, 2], [3, -4]]]), r"got -4 at index \(0, 1, 1\): correct"),
        (lambda: fairness.mantel_haenszel([1, 0] * 2, [*"aabb"], ["x", "x", "x", None]), "got None at index 3: leave"),
        (lambda: fairness.mantel_haenszel_tables([[["a", 2], [3, 4]]]), "tables must be numbers of shape"),
        (lambda: fairness.mantel_haenszel_tables([[[1], [3, 4]]]), "tables must be an array of numbers: .*; pass one"),
        (lambda: fairness.dif([[1, 0]] * 4, [*"aabb"], items="xy"), "items must be a list of names; got 'xy': pass"),
        (lambda: fairness.plant_dif(3, 0, [0.0, 1.0], [False, True]), "items must be ItemParameters; got"),
        (
            lambda: fairness.plant_dif(ITEMS, [0, 1], [0.0, 1.0], [False, True]),
            r"one per item, .*; got shape \(2,\): use",
        ),
        (lambda: fairness.plant_dif(ITEMS, "a", [0.0, 1.0], [False, True]), "shift must be numbers; got <U1: pass"),
        (lambda: fairness.dif([1, 0, 1], [*"abc"]), r"shape \(N, I\)"),
        (lambda: fairness.dif([[1, np.nan]] * 4, [*"aabb"]), r"got nan of student 0 at item 1: use -1"),
        (lambda: fairness.dif([[1, 0]] * 4, [*"aabb"], items=["x"]), "items must be 2 different names"),
        (
            lambda: fairness.dif([[1, 0]] * 4, [*"aabb"], items=["x", "x"]),
            "items must be 2 different names, one per item; got 2",
        ),
        (lambda: fairness.dif([[1, 0]] * 4, [*"aabb"], max_rounds=0), "max_rounds must be an integer from 1"),
        (lambda: fairness.dif([[1, 0]] * 4, [*"aabb"], confidence=1), "confidence must be"),
        (lambda: fairness.plant_dif(ITEMS, 0, [0.0, 1.0], [0, 1]), "ability and is_focal"),
        (lambda: fairness.plant_dif(ITEMS, np.nan, [0.0, 1.0], [False, True]), "shift must be finite numbers; got nan"),
        (lambda: fairness.detection(fairness.dif([[1, 0]] * 4, [*"aabb"]), [True]), "has_dif must be 2 booleans"),
    ],
)
def test_invalid_input(call, message):
    with pytest.raises(AlsimError, match=message):
        call()
