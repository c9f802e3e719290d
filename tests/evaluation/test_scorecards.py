"""Scorecards: measures against twins, recovery, oracle, and models that leak."""

import math
import sys
from dataclasses import replace

import numpy as np
import pytest

from alsim.errors import AlsimError, InputTypeError
from alsim.evaluation.scorecards import Estimates, scorecard
from alsim.evaluation.scorecards.canary import changed_from, coin_flips, largest_change, place_of
from alsim.evaluation.scorecards.measures import auc_of, between_auc, errors_of, within_correlation
from alsim.evaluation.scorecards.models import names
from alsim.evaluation.scorecards.worlds import BKT, CONSTANT, FSRS, HALF_LIFE, divide, simulate
from alsim.models import irt, skill_mean
from alsim.models.scores import auc_difference, score
from alsim.models.student import EloModel, FSRSModel
from alsim.utils.optional import MissingExtra


@pytest.fixture(scope="module")
def irt_card():
    return scorecard("irt:2pl", num_learners=600, logs=4)


@pytest.fixture(scope="module")
def bkt_card():
    return scorecard("bkt", num_learners=400, logs=2)


# ── measures ─────────────────────────────────────────────────────────────────────────────────────


def test_the_auc_is_that_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(1)
    correct, forecast = random.integers(0, 2, 400), np.round(random.random(400), 1)
    assert score(correct, forecast).auc == pytest.approx(metrics.roc_auc_score(correct, forecast), rel=1e-12)


def test_the_error_of_a_difference_of_aucs_is_that_of_the_jackknife():
    """120 students with correlated answers: omitting each in turn gives the error, up to terms of order 1 / 120."""
    random = np.random.default_rng(2)
    student = np.repeat(np.arange(120), random.integers(1, 30, 120))
    chance = 1 / (1 + np.exp(-random.normal(0, 1, 120)[student] - random.normal(0, 1, len(student))))
    correct = (random.random(len(student)) < chance).astype(int)
    other = np.clip(chance + random.normal(0, 0.2, len(student)), 0, 1)
    found = auc_difference(correct, other, chance, student)

    def difference(kept):
        return score(correct[kept], other[kept]).auc - score(correct[kept], chance[kept]).auc

    assert found.difference == pytest.approx(difference(student >= 0), abs=1e-15) and found.students == 120
    parts = np.array([difference(student != s) for s in range(120)])
    assert found.se == pytest.approx(math.sqrt(119 / 120 * ((parts - parts.mean()) ** 2).sum()), rel=0.03)
    assert auc_difference(correct, chance, chance, student)[:2] == (0.0, 0.0)


def test_the_errors_of_estimates_in_closed_form():
    """Errors .1 and -.3 in one log, .2 and .2 in the other, the last without a standard error."""
    logs = [
        Estimates(["x", "y"], np.array([1.0, 2.0]), np.array([1.1, 1.7]), np.array([0.1, 0.1])),
        Estimates(["x", "y"], np.array([1.0, 2.0]), np.array([1.2, 2.2]), np.array([0.2, np.nan])),
    ]
    found = errors_of(logs)
    assert found.estimates == 4 and found.without_se == 1
    assert found.bias.mean == pytest.approx(0.05) and found.bias.se == pytest.approx(0.15) and found.bias.n == 2
    assert found.rmse == pytest.approx(math.sqrt((0.01 + 0.09 + 0.04 + 0.04) / 4))
    assert found.stated_se == pytest.approx(math.sqrt((0.01 + 0.01 + 0.04) / 3))
    assert found.coverage.mean == pytest.approx((1 / 2 + 1) / 2)
    assert math.isnan(errors_of(logs[:1]).bias.se)


def test_the_correlation_within_groups_is_that_of_residuals():
    """Its error is that of the jackknife over 150 students, up to terms of order 1 / 150."""
    random = np.random.default_rng(3)
    student, group = np.repeat(np.arange(150), 8), random.integers(0, 5, 1200)
    x = random.normal(0, 1, 150)[student] + random.normal(0, 1, 1200) + 3 * group
    y = x + random.normal(0, 2, 1200) - 5 * group

    def residual(values, kept):
        groups = group[kept]
        dummies = (groups[:, None] == np.arange(5)).astype(float)
        return values[kept] - dummies @ np.linalg.lstsq(dummies, values[kept], rcond=None)[0]

    def correlation(kept):
        return np.corrcoef(residual(x, kept), residual(y, kept))[0, 1]

    found = within_correlation(x, y, group, student)
    assert found.mean == pytest.approx(correlation(student >= 0), rel=1e-12)
    parts = np.array([correlation(student != s) for s in range(150)])
    assert found.se == pytest.approx(math.sqrt(149 / 150 * ((parts - parts.mean()) ** 2).sum()), rel=0.05)
    assert math.isnan(within_correlation(np.ones(4), np.arange(4.0), np.zeros(4, int), np.arange(4)).mean)


def test_the_auc_between_students_is_that_of_their_pairs():
    random = np.random.default_rng(6)
    student, correct = random.integers(0, 12, 150).astype(np.int32), random.integers(0, 2, 150).astype(np.int8)
    forecast = np.round(random.random(150), 1)
    order = [
        (np.sign(forecast[i] - forecast[j]) + 1) / 2
        for i in np.flatnonzero(correct == 1)
        for j in np.flatnonzero(correct == 0)
        if student[i] != student[j]
    ]
    assert between_auc(correct, forecast, student).mean == pytest.approx(np.mean(order), rel=1e-12)


@pytest.mark.ci
def test_the_canary_of_an_honest_model_is_calibrated():
    """200 logs of coin flips, 30 learners: the mean of z is within 4 standard errors of 0, and its deviation near 1.

    The forecast is the share of correct answers so far. Over all pairs, the mean of z is below 0.
    """
    random = np.random.default_rng(7)
    student = np.repeat(np.arange(30, dtype=np.int32), 20)
    found = {between_auc: [], auc_of: []}
    for _ in range(200):
        correct = random.integers(0, 2, (30, 20)).astype(np.int8)
        forecast = ((np.cumsum(correct, axis=1) - correct + 1) / (np.arange(20) + 2)).ravel()
        for function, z in found.items():
            one = function(correct.ravel(), forecast, student)
            z.append((one.mean - 0.5) / one.se)
    assert abs(np.mean(found[between_auc])) < 4 / math.sqrt(200) and 0.8 < np.std(found[between_auc]) < 1.25
    assert np.mean(found[auc_of]) < np.mean(found[between_auc]) - 0.1


# ── logs with their truth ────────────────────────────────────────────────────────────────────────


@pytest.mark.heavy
def test_the_truth_belongs_to_the_answers():
    """The chances of the constant learners follow from ability and items by the formula of the 3PL."""
    truth = simulate(CONSTANT, 60, 0)
    place = {str(name): k for k, name in enumerate(truth.bank.questions.id)}
    item = np.array([place[name] for name in truth.log.items.tolist()])[truth.log.item]
    a, b, c = (np.asarray(getattr(truth.bank.questions, f"irt_{key}"), float)[item] for key in "abc")
    assert truth.chance == pytest.approx(c + (1 - c) / (1 + np.exp(-a * (truth.ability - b))), abs=1e-6)
    by_student = [truth.ability[truth.log.student == s] for s in range(truth.log.num_students)]
    assert max(np.ptp(values) for values in by_student) == 0
    fitted, held = divide(truth, 40)
    assert set(fitted.learner) <= set(range(40)) and set(held.learner) <= set(range(40, 60))
    assert len(fitted.log) + len(held.log) == len(truth.log) == len(truth.chance)


@pytest.mark.heavy
def test_mastery_of_the_bkt_learners_decides_on_answers():
    truth = simulate(BKT, 30, 0)
    assert np.array_equal(truth.chance, np.where(truth.mastery == 1, np.float32(0.9), np.float32(0.2)))


# ── recovery and misfit ──────────────────────────────────────────────────────────────────────────


@pytest.mark.ci
@pytest.mark.compiled
def test_irt_recovers_its_own_learners_and_not_those_that_drift(irt_card):
    """600 learners, 4 logs, seed 0: difficulties seem too low where ability rises (S4.2), and by less than .05 else."""
    own, drift = irt_card.own, irt_card.misfit
    assert own.world == "constant-ability" and drift.world == "standard" and irt_card.others == ()
    assert {*own.parameters} == {"a", "b"} and own.parameters["b"].estimates == 4 * 30
    assert abs(own.parameters["b"].bias.mean) < 0.06 and own.parameters["b"].coverage.mean > 0.88
    assert 0.8 < own.parameters["b"].rmse / own.parameters["b"].stated_se < 1.25
    assert drift.parameters["b"].bias.mean < -0.08 and drift.parameters["b"].coverage.mean < 0.85
    assert own.ability.coverage.mean == pytest.approx(0.95, abs=0.03)
    assert own.ability.rmse == pytest.approx(own.ability.stated_se, rel=0.1)
    assert drift.ability.bias.mean < -0.08 and own.mastery is None


@pytest.mark.ci
@pytest.mark.compiled
def test_bkt_recovers_its_own_learners_and_not_mastery_under_standard(bkt_card):
    """400 learners, 2 logs, seed 0: P(known) is calibrated on its own learners, and follows ability on others."""
    own, misfit = bkt_card.own, bkt_card.misfit
    assert {*own.parameters} == {"p_init", "p_learn", "p_guess", "p_slip"}
    for errors in own.parameters.values():
        assert errors.estimates == 40 and errors.coverage.mean > 0.85
        assert abs(errors.bias.mean) < 0.01 and errors.rmse == pytest.approx(errors.stated_se, rel=0.3)
    assert abs(own.mastery.bias.mean) < 0.01 and own.mastery.ece < 0.02
    assert misfit.parameters is None and "no true values" in misfit.note
    assert abs(misfit.mastery.bias.mean) > 0.1 and misfit.mastery.ece > 0.1
    assert own.follows["mastery"].mean > 0.6 > 0.2 > misfit.follows["mastery"].mean
    assert misfit.follows["ability"].mean > 0.3 > 0.1 > abs(own.follows["ability"].mean)


@pytest.mark.ci
@pytest.mark.compiled
def test_no_honest_model_exceeds_the_oracle(irt_card, bkt_card):
    """All models but DKT: with probability .001 each, the sampling error exceeds 3.3 standard errors."""
    cards = [irt_card, bkt_card]
    cards += [scorecard(name, num_learners=60, logs=1) for name in ("skill-mean", "elo", "glicko", "alosi")]
    pytest.importorskip("sklearn")
    cards += [scorecard(name, num_learners=60, logs=1) for name in ("pfa", "best-lr")]
    for card in cards:
        assert card.leaks == () and card.canary.future_change == pytest.approx(0, abs=1e-12)
        assert abs(card.canary.auc.mean - 0.5) < 3.3 * card.canary.auc.se + 1e-12
        for one in card.sections:
            assert one.excess.mean < 3.3 * one.excess.se
            assert one.excess.mean == pytest.approx(one.auc.mean - one.oracle_auc.mean, abs=1e-12)


@pytest.mark.compiled
def test_baselines_meet_all_learners_and_have_no_recovery():
    card = scorecard("skill-mean", num_learners=40, logs=1, seed=3)
    assert [one.world for one in card.sections] == ["constant-ability", "bkt", "standard"] and card.misfit is None
    found = card.to_dict()
    assert found["recovery"] is None and "no parameters" in found["recovery_note"] and found["misfit"] is None
    assert found == scorecard("skill-mean", num_learners=40, logs=1, seed=3).to_dict()
    assert found != scorecard("skill-mean", num_learners=40, logs=1, seed=4).to_dict()


@pytest.mark.ci
@pytest.mark.compiled
def test_models_of_memory_meet_learners_who_forget():
    """60 learners, 1 log, seed 0: the weights are within 4 stated errors, and forecasts near those of the oracle."""
    card = scorecard("hlr", num_learners=60, logs=1)
    assert (card.own.world, card.misfit.world, card.others, card.leaks) == ("half-life", "fsrs", (), ())
    assert {*card.own.parameters} == {"right", "wrong", "intercept"}
    for errors in card.own.parameters.values():
        assert abs(errors.bias.mean) < 4 * errors.stated_se < 4
    assert "no true values" in card.misfit.note
    other = scorecard("fsrs", num_learners=60, logs=1)
    assert (other.own.world, other.misfit.world, other.leaks) == ("fsrs", "half-life", ())
    for one in (card.own, other.own):
        assert -0.01 < one.excess.mean < 0.005 and one.follows["mastery"].mean > 0.9
    assert other.misfit.excess.mean < -0.02
    same = scorecard(FSRSModel, num_learners=60, logs=1)
    assert same.to_dict()["auc"] == other.to_dict()["auc"]


@pytest.mark.ci
@pytest.mark.heavy
def test_answers_of_learners_who_forget_are_recall():
    for world in (HALF_LIFE, FSRS):
        truth = simulate(world, 20, 0)
        assert truth.chance == pytest.approx(truth.mastery, abs=1e-6)
        assert np.ptp(truth.log.time) > 18 * 86400 and truth.log.study is not None


@pytest.mark.ci
@pytest.mark.compiled
def test_the_stated_errors_of_irt_cover_the_truth():
    """20 logs of 1,000 learners, seed 100: 600 intervals per parameter; 3.3 standard errors over logs."""
    card = scorecard("irt:2pl", logs=20, seed=100)
    for errors in card.own.parameters.values():
        assert abs(errors.coverage.mean - 0.95) < 3.3 * errors.coverage.se + 0.01


# ── leaks ────────────────────────────────────────────────────────────────────────────────────────


class Leaking:
    """Forecast that a function of the answers of each student changes, from the mean of each skill."""

    def __init__(self, log, leak):
        self.fit, self.leak = skill_mean.fit(log), leak

    def predict(self, log):
        forecast = self.fit.predict(log)
        return np.clip(forecast + 0.3 * (self.leak(log) - 0.5), 0, 1)


def own_answer(log):
    return log.correct


def mean_of_all(log):
    return (np.bincount(log.student, log.correct) / np.diff(log.start))[log.student]


def next_answer(log):
    return np.where(place_of(log) + 1 < np.diff(log.start)[log.student], np.append(log.correct[1:], 0), 0.5)


@pytest.mark.parametrize("leak", [own_answer, mean_of_all])
@pytest.mark.compiled
def test_the_canary_catches_models_that_use_the_answer(leak):
    card = scorecard(lambda log: Leaking(log, leak), num_learners=60, logs=1)
    assert card.canary.auc.mean > 0.5 + 3.3 * card.canary.auc.se
    assert "coin flips" in card.leaks[0] and card.canary.future_change > 0.001
    assert " leaks: " in card.verdict


@pytest.mark.compiled
def test_the_future_of_an_answer_is_caught_although_coin_flips_do_not_tell_it():
    card = scorecard(lambda log: Leaking(log, next_answer), num_learners=60, logs=1)
    assert abs(card.canary.auc.mean - 0.5) < 3.3 * card.canary.auc.se
    assert card.canary.future_change == pytest.approx(0.3) and "change" in card.leaks[0]


def test_coin_flips_are_fair_and_independent_of_each_other():
    """10,000 flips of seed 5: the share and the lag-1 agreement are within 4 standard errors of 1/2."""
    flips = coin_flips(10_000, 5)
    assert set(flips) == {0, 1} and abs(flips.mean() - 0.5) < 0.02
    assert abs((flips[1:] == flips[:-1]).mean() - 0.5) < 0.02
    assert np.array_equal(flips[:100], coin_flips(100, 5)) and not np.array_equal(flips, coin_flips(10_000, 6))


def test_answers_change_from_one_answer_of_each_student_on():
    log = simulate(CONSTANT, 30, 0).log
    changed, cut = changed_from(log, 0)
    place = place_of(log)
    assert np.array_equal(log.correct != changed.correct, place >= cut[log.student])
    assert largest_change(log, cut, place * 0.0, np.where(place > cut[log.student], 0.9, 0.1)) == 0.1


# ── models of users ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.ci
@pytest.mark.compiled
def test_a_function_and_a_class_of_users():
    """A function that fits IRT has a recovery, since its fit has parameters; a student model has none."""
    card = scorecard(lambda log: irt.fit(log, "3pl"), num_learners=60, logs=1)
    assert card.own.world == "constant-ability" and {*card.own.parameters} == {"a", "b", "c"}
    card = scorecard(EloModel, num_learners=40, logs=1)
    assert card.model == "EloModel" and card.own.parameters is None and card.leaks == ()
    assert card.to_dict()["auc"] == scorecard("elo", num_learners=40, logs=1).to_dict()["auc"]
    assert scorecard("alsim.models.student:EloModel", num_learners=40, logs=1).model == "alsim.models.student:EloModel"


class Wrong:
    def __init__(self, forecast):
        self.forecast = forecast

    def predict(self, log):
        return self.forecast(log)


@pytest.mark.parametrize(
    "model, message",
    [
        ("bktt", "the model 'bktt' is unknown; did you mean 'bkt'?"),
        ("irt:4pl", "did you mean"),
        (lambda log: 3, "an object with predict"),
        (lambda log: Wrong(lambda log: [0.5]), "must forecast"),
        (lambda log: Wrong(lambda log: np.full(len(log), 1.5)), "got 1.5"),
        (lambda log: Wrong(lambda log: np.full(len(log), np.nan)), "got nan"),
        (lambda log: Wrong(lambda log: "often"), "one probability per answer"),
    ],
)
@pytest.mark.compiled
def test_invalid_models(model, message):
    with pytest.raises(AlsimError, match=message.replace("?", r"\?")):
        scorecard(model, num_learners=20, logs=1)


@pytest.mark.parametrize("arguments", [{"num_learners": 19}, {"num_learners": 1.5}, {"logs": 0}, {"seed": -1}])
@pytest.mark.compiled
def test_invalid_arguments(arguments):
    with pytest.raises(AlsimError, match=next(iter(arguments))):
        scorecard("skill-mean", **arguments)
    with pytest.raises(InputTypeError, match="must be a name"):
        scorecard(3)


@pytest.mark.parametrize("model, module, extra", [("dkt", "torch", "dkt"), ("pfa", "sklearn", "baselines")])
@pytest.mark.compiled
def test_a_missing_dependency_is_named_before_any_work(monkeypatch, model, module, extra):
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=rf"pip install '\.\[{extra}\]'"):
        scorecard(model)


def test_the_names_are_unique():
    assert len({*names()}) == len(names())


@pytest.mark.compiled
def test_progress_ends_at_the_total():
    seen = []
    scorecard("skill-mean", num_learners=20, logs=2, progress=lambda *values: seen.append(values))
    assert seen[0] == (0, 8, "constant-ability") and seen[-1] == (8, 8, "coin flips")
    assert [done for done, *_ in seen] == sorted(done for done, *_ in seen)


@pytest.mark.compiled
def test_the_text_is_within_80_columns(irt_card, bkt_card):
    for card in (irt_card, bkt_card, replace(irt_card, model="x" * 200)):
        assert max(map(len, card.text.splitlines())) <= 80
    assert "Misfit, not a recovery." in irt_card.text and "Misfit, not a recovery." in bkt_card.text
