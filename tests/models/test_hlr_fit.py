"""Half-life regression fitted to logs: recovery, derivatives, the earlier practice, forecasts, files and errors."""

import json
from collections import defaultdict

import numpy as np
import pytest

from alsim.models import ModelError, Responses, hlr, load_fit, score
from alsim.models.hlr.likelihood import Coefficients, Reviews, penalised, slopes
from alsim.models.hlr.maximum import Information, best_maximum
from alsim.models.student import FSRSModel, HLRModel, Items, forecasts, student_model

TRUTH = np.array([0.25, -0.15, -0.1])
DAY = 86400.0


def simulated(seed, students, steps=32, skills=4, guess=0.0, intercepts=(0.0,) * 4, prior=0.3):
    """A log of learners who follow the equations: a random skill every half a day on average."""
    rng = np.random.default_rng(seed)
    right, wrong, last = (
        np.zeros((2, students, skills)),
        np.zeros((students, skills)),
        np.full((students, skills), -1.0),
    )
    right, clock, who, rows = right[0], np.zeros(students), np.arange(students), []
    for _ in range(steps):
        clock = clock + rng.exponential(0.5, students)
        k = rng.integers(0, skills, students)
        counts = np.sqrt(1 + right[who, k]), np.sqrt(1 + wrong[who, k])
        half_life = 2 ** (TRUTH[0] * counts[0] + TRUTH[1] * counts[1] + TRUTH[2] + np.array(intercepts)[k])
        recall = np.where(last[who, k] < 0, prior, 2 ** (-(clock - last[who, k]) / half_life))
        correct = rng.random(students) < guess + (1 - guess) * recall
        right[who, k] += correct
        wrong[who, k] += ~correct
        last[who, k] = clock
        rows.append((who, k, correct, clock * DAY))
    student, skill, answer, time = map(np.concatenate, zip(*rows, strict=True))
    return Responses.from_arrays(student, answer, skill=skill, time=time)


@pytest.fixture(scope="module")
def small():
    """A log of 60 learners."""
    return simulated(3, 60, intercepts=(-0.5, 0, 0.3, 0.8))


@pytest.fixture(scope="module")
def fitted(small):
    """Its fit."""
    return hlr.fit(small)


# ── recovery ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.ci
@pytest.mark.parametrize("guess", [0.0, 0.25])
def test_one_large_log_recovers_its_parameters(guess):
    """n = 2,000 learners, seed 5: each of 7 estimates within 4 standard errors, false alarm 5e-4."""
    intercepts = np.array([-0.6, 0.0, 0.1, 0.5])
    found = hlr.fit(simulated(5, 2000, guess=guess, intercepts=intercepts), guess=guess, penalty=1e-6)
    assert found.converged
    wanted = TRUTH[2] + intercepts[found.skills.astype(int)]
    assert (np.abs(found.weights[:2] - TRUTH[:2]) < 4 * found.weight_errors[:2]).all()
    # Without a penalty, only sums of theta_0 and intercepts are determined; their errors are below 0.07.
    assert (np.abs(found.weights[2] + found.intercepts - wanted) < 4 * 0.07).all()
    assert (found.weight_errors[:2] < 0.05).all()
    assert found.pooled_prior == pytest.approx(0.3, abs=4 * np.sqrt(0.3 * 0.7 / 8000) / (1 - guess) ** 2)


@pytest.mark.ci
def test_bias_and_coverage_over_200_logs():
    """200 logs of 600 learners, seeds 0 to 199: the mean within 4 standard errors of the truth (false alarm 2e-4), and
    the 95 % intervals of each weight cover it in 178 to 198 logs (false alarm 3e-3)."""
    fits = [hlr.fit(simulated(seed, 600), by_skill=False) for seed in range(200)]
    assert all(one.converged for one in fits)
    estimates, errors = (np.array([getattr(f, name) for f in fits]) for name in ("weights", "weight_errors"))
    bias = estimates.mean(axis=0) - TRUTH
    assert (np.abs(bias) < 4 * estimates.std(axis=0, ddof=1) / np.sqrt(200)).all(), bias
    covered = (np.abs(estimates - TRUTH) < 1.96 * errors).sum(axis=0)
    assert ((covered >= 178) & (covered <= 198)).all(), covered


# ── likelihood ───────────────────────────────────────────────────────────────────────────────────


def reviews_of(rng, size, guess, skills=3):
    """Random answers to practised skills, at times from a minute to a month."""
    counts = rng.integers(0, 9, (size, 2))
    features = np.sqrt(1 + np.column_stack([counts, np.zeros(size)]))
    days = np.exp(rng.uniform(np.log(1 / 1440), np.log(30), size))
    correct = rng.integers(0, 2, size).astype(float)
    return Reviews(features, rng.integers(0, skills, size), days, correct, rng.uniform(0.5, 2, size), guess)


@pytest.mark.parametrize("guess", [0.0, 0.3])
@pytest.mark.parametrize("theta", [(0.25, -0.15, -0.1), (0.1, 0.1, -6.9), (0.1, 0.1, 7.7)])
def test_derivatives_are_those_of_the_likelihood(guess, theta):
    """Central differences of the likelihood, also near both bounds of a half-life."""
    reviews = reviews_of(np.random.default_rng(1), 400, guess)
    at, penalty, step = Coefficients(np.array(theta), np.array([0.2, -0.1, 0.3])), 1.7, 1e-4

    def value(x):
        return penalised(reviews, Coefficients(x[:3], x[3:]), penalty)

    x, eye = np.concatenate(at), step * np.eye(6)
    gradient = [(value(x + e) - value(x - e)) / (2 * step) for e in eye]
    hessian = [
        [(value(x + a + b) - value(x + a - b) - value(x - a + b) + value(x - a - b)) / (4 * step**2) for a in eye]
        for b in eye
    ]
    found = slopes(reviews, at)
    own = np.bincount(reviews.skill, found.first, minlength=3) - penalty * at.intercepts
    np.testing.assert_allclose(np.append(found.first @ reviews.features, own), gradient, rtol=1e-5, atol=1e-5)
    information = Information.of(reviews, found.observed, 3, penalty)
    full = np.block([[information.shared, information.cross], [information.cross.T, np.diag(information.own)]])
    np.testing.assert_allclose(full, -np.array(hessian), rtol=1e-4, atol=1e-3)
    if information.is_positive:
        errors = np.concatenate(information.standard_errors())
        np.testing.assert_allclose(errors, np.sqrt(np.diag(np.linalg.inv(full))), rtol=1e-9)
        right_side = Coefficients(np.array([1.0, -2, 3]), np.array([0.5, 0, -1]))
        solved = np.concatenate(information.solve(right_side))
        np.testing.assert_allclose(full @ solved, np.concatenate(right_side), rtol=1e-9, atol=1e-9)


def test_the_expected_information_is_the_mean_of_the_observed_one():
    reviews = reviews_of(np.random.default_rng(2), 50, 0.2)
    at = Coefficients(TRUTH, np.zeros(3))
    right, wrong = (slopes(reviews._replace(correct=np.full(50, y)), at) for y in (1.0, 0.0))
    recall = np.exp2(-reviews.days / np.exp2(reviews.features @ TRUTH))
    chance = 0.2 + 0.8 * (0.0001 + 0.9998 * recall)
    mean = chance * right.observed + (1 - chance) * wrong.observed
    np.testing.assert_allclose(mean, right.expected, rtol=1e-7)


def test_the_maximum_is_that_of_another_optimiser():
    """Nelder and Mead's simplex needs values only."""
    optimize = pytest.importorskip("scipy.optimize")
    reviews = reviews_of(np.random.default_rng(4), 300, 0.0, skills=2)
    found = best_maximum(reviews, 2, 2.0, 1e-9, 100)
    assert found.converged
    options = {"xatol": 1e-7, "fatol": 1e-9, "maxiter": 20000, "maxfev": 20000}
    other = optimize.minimize(
        lambda x: -penalised(reviews, Coefficients(x[:3], x[3:]), 2.0),
        np.zeros(5),
        method="Nelder-Mead",
        options=options,
    )
    assert found.value >= -other.fun - 1e-7
    np.testing.assert_allclose(np.concatenate(found.at), other.x, atol=2e-3)


# ── forecasts ────────────────────────────────────────────────────────────────────────────────────


def eventful(seed=0, several=True):
    """A log of answers to items of up to two skills, with study events, equal times, and one skill of events only."""
    rng = np.random.default_rng(seed)
    size = 900
    student, item = rng.integers(0, 30, size), rng.integers(0, 5, size)
    event = rng.random(size) < 0.3
    time = np.sort(rng.integers(0, 40, size)) * DAY / 8
    skill = [["a"], ["b"], ["a", "c"] if several else ["c"], ["c"], ["b", "d"] if several else ["d"]]
    skills = [["x", *skill[i]] if e else skill[i] for i, e in zip(item, event, strict=True)]
    return Responses.from_arrays(
        student,
        [None if e else float(c) for e, c in zip(event, rng.random(size) < 0.6, strict=True)],
        skill=skills,
        item=[f"q{i}" for i in item],
        time=time,
        event=["read" if e else None for e in event],
    )


def by_dictionary(fit, log):
    """The predictions of a fit to a log, computed response by response from the equations."""
    weights = dict(zip(fit.skills.tolist(), fit.intercepts.tolist(), strict=True))
    priors = dict(zip(fit.skills.tolist(), fit.prior.tolist(), strict=True))
    entries = [(s, r, 1, r) for r, s in enumerate(log.student)]
    entries += [(s, p, 0, e) for e, (s, p) in enumerate(zip(log.study.student, log.study.position, strict=True))]
    memory, found = defaultdict(lambda: [0, 0, None]), np.empty(len(log))
    for s, _, is_response, number in sorted(entries):
        table = log if is_response else log.study
        names = [table.skills[k] for k in table.skill[table.skill_start[number] : table.skill_start[number + 1]]]
        if is_response:
            recalls = []
            for name in names:
                right, wrong, last = memory[s, name]
                theta = fit.weights + [0, 0, weights.get(name, 0)]
                h = np.clip(2 ** (theta @ [np.sqrt(1 + right), np.sqrt(1 + wrong), 1]), 15 / 1440, 274)
                recall = (
                    priors.get(name, fit.pooled_prior) if last is None else 2 ** (-(log.time[number] - last) / DAY / h)
                )
                recalls.append(0.0001 + 0.9998 * recall)
            found[number] = fit.guess + (1 - fit.guess) * np.mean(recalls)
        for name in names:
            memory[s, name][1 - log.correct[number] if is_response else 0] += 1
            memory[s, name][2] = table.time[number]
    return found


@pytest.mark.parametrize("several", [False, True])
def test_predictions_are_those_of_the_equations(several):
    log, other = eventful(several=several), eventful(7, several=several)
    fit = hlr.fit(log, guess=0.1)
    assert sorted(fit.skills) == ["a", "b", "c", "d"]  # x has study events only
    np.testing.assert_allclose(fit.predict(log), by_dictionary(fit, log), rtol=1e-12)
    value = np.log(np.where(log.correct == 1, fit.predict(log), 1 - fit.predict(log))).sum()
    assert fit.log_likelihood == pytest.approx(value, rel=1e-12)
    part = Responses.from_arrays(
        other.students[other.student],
        other.correct,
        skill=["new" if k == 1 else "a" for k in other.item],
        time=other.time,
    )
    unknown = fit.predict(part)
    assert np.isfinite(unknown).all()
    assert len(np.unique(unknown)) > 50


@pytest.mark.heavy
@pytest.mark.parametrize("several", [False, True])
def test_forecasts_of_the_student_model_are_the_predictions(several):
    for log in (eventful(several=several), eventful(3, several)):
        fit = hlr.fit(eventful(several=several), guess=0.1)
        model = student_model(fit, Items.of_log(log))
        np.testing.assert_allclose(forecasts(model, log), fit.predict(log), rtol=1e-11)
        assert forecasts(FSRSModel(Items.of_log(log)), log).std() > 0.01


def test_numbers_with_and_without_a_point_are_one_skill():
    fit = hlr.fit(simulated(3, 60))
    log = simulated(8, 20)
    spelled = Responses.from_arrays(
        log.student,
        log.correct,
        skill=[f"{k}.0" if r % 2 else str(k) for r, k in enumerate(log.skills[log.skill])],
        time=log.time,
    )
    np.testing.assert_array_equal(fit.predict(spelled), fit.predict(log))


def test_first_answers_give_the_prior():
    """Skill 0: 2 of 4 first answers are correct, of skill 1, 1 of 1; the mean share is 3/5."""
    rows = [(0, 0, 1, 0), (1, 0, 1, 0), (2, 0, 0, 0), (3, 0, 0, 0), (0, 1, 1, 0)]
    rows += [(s, 0, c, t) for s in range(4) for c, t in ((1, 1), (0, 2), (s % 2, 4), (1, 4.5))]
    student, skill, correct, days = zip(*rows, strict=True)
    log = Responses.from_arrays(student, correct, skill=skill, time=np.array(days) * DAY)
    for guess in (0.0, 0.2):
        fit = hlr.fit(log, guess=guess)
        chance = guess + (1 - guess) * (0.0001 + 0.9998 * np.append(fit.prior, fit.pooled_prior))
        np.testing.assert_allclose(chance, [(2 + 0.6) / 5, (1 + 0.6) / 2, 0.6])
        assert hlr.fit(log, guess=guess, by_skill=False).prior.tolist() == [fit.pooled_prior] * 2


def test_answers_at_one_time_are_not_certain():
    log = Responses.from_arrays([1, 1], [1, 0], skill=["0", "0"], time=[5.0, 5.0])
    assert hlr.fit(simulated(3, 60)).predict(log)[1] == 0.9999


# ── files and errors ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("by_skill", [True, False])
def test_a_saved_fit_is_the_same(small, by_skill, tmp_path):
    fit = hlr.fit(small, by_skill=by_skill, guess=0.1)
    again = load_fit(fit.save(tmp_path / "fit.json"))
    assert isinstance(again, hlr.HLRFit)
    assert json.dumps(again.to_dict()) == json.dumps(fit.to_dict())
    assert again.predict(small).tobytes() == fit.predict(small).tobytes()
    assert np.isnan(fit.intercept_errors).all() != by_skill
    assert len(fit.table()) == 3 + 4
    assert all(row.keys() == fit.table()[0].keys() for row in fit.table())


def test_damaged_files_are_refused(fitted, tmp_path):
    content = json.loads(fitted.save(tmp_path / "fit.json").read_text(encoding="utf-8"))
    for key, value in (("guess", 1.5), ("weights", {"right": {"estimate": 1, "se": 1}}), ("prior", "high")):
        (tmp_path / "bad.json").write_text(json.dumps({**content, key: value}), encoding="utf-8")
        with pytest.raises(ModelError, match="not a valid fit of 'hlr'"):
            load_fit(tmp_path / "bad.json")


def test_a_pattern_counts_as_many_students(small):
    """Two copies of each student have the estimates of one who counts twice, with a prior of the same precision."""
    doubled = Responses.from_arrays(
        np.concatenate([small.student, small.student + 1000]),
        np.tile(small.correct, 2),
        skill=np.tile(small.skills[small.skill], 2),
        time=np.tile(small.time, 2),
    )
    weighted = Responses(
        **{**{k: getattr(small, k) for k in small.__dataclass_fields__ if k != "start"}, "weight": np.full(60, 2.0)}
    )
    one, two = hlr.fit(doubled), hlr.fit(weighted)
    np.testing.assert_allclose(one.weights, two.weights, rtol=1e-6)
    np.testing.assert_allclose(one.weight_errors, two.weight_errors, rtol=1e-6)
    np.testing.assert_allclose(one.log_likelihood, two.log_likelihood)
    assert one.num_responses == two.num_responses


def without(log, **changes):
    """The log with other columns."""
    return Responses(**{**{k: getattr(log, k) for k in log.__dataclass_fields__ if k != "start"}, **changes})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda log: without(log, time=None),
            r"needs the times of the responses; the log has none: .*--columns time=NAME",
        ),
        (
            lambda log: without(log, time=np.where(np.arange(len(log)) < 2, np.nan, log.time)),
            "2 are unknown: leave these",
        ),
        (lambda log: without(log, time=-log.time), "times run backwards in the log of student '0'"),
        (lambda log: without(log, time=0 * log.time), "do not determine the three weights"),
        (lambda log: without(log, correct=np.ones_like(log.correct)), "all 1,680 are correct: pass a log"),
        (lambda log: log.take([0]), "practised before; got none: pass a log"),
        (lambda log: log.take([]), "practised before; got none"),
    ],
)
def test_unusable_logs_are_named(small, change, message):
    with pytest.raises(ModelError, match=message):
        hlr.fit(change(small))


@pytest.mark.parametrize("make", [HLRModel, FSRSModel])
def test_forecasts_need_times(small, make):
    model = make(Items.of_log(small))
    with pytest.raises(ModelError, match=f"the student model {model.kind!r} needs the times of the responses"):
        forecasts(model, without(small, time=None))
    with pytest.raises(ModelError, match="times run backwards"):
        forecasts(model, without(small, time=-small.time))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"guess": 1.0}, r"guess must be a number in \[0, 1\); got 1.0"),
        ({"guess": np.nan}, r"guess must be a number in \[0, 1\); got nan"),
        ({"penalty": 0}, "penalty must be a number above 0; got 0"),
        ({"tolerance": -1}, "tolerance must be a number above 0; got -1"),
        ({"max_iterations": 0}, "max_iterations must be an integer of at least 1; got 0"),
        ({"by_skill": 1}, "by_skill must be True or False; got 1"),
    ],
)
def test_invalid_settings_are_named(small, setting, message):
    with pytest.raises(ModelError, match=message):
        hlr.fit(small, **setting)


def test_too_few_iterations_are_stated(small):
    assert not hlr.fit(small, max_iterations=1).converged


# ── a published log ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.ci
def test_held_out_students_of_the_cloze_log(published):
    """Half-life regression ranks answers better than the mean rate, and with guessing its log loss is lower as well.

    It has one exponential decay. The log has delays of minutes and of days: without guessing, no half-life suits both.
    """
    table = np.genfromtxt(
        published / "calibration/memphis_cloze.csv", delimiter=",", names=True, dtype=None, encoding="utf-8"
    )
    study = table["outcome"] == "study"
    log = Responses.from_arrays(
        table["student"],
        [None if s else float(o == "correct") for s, o in zip(study, table["outcome"], strict=True)],
        skill=table["item"],
        time=table["time"],
        event=["study" if s else None for s in study],
    )
    train, test = log.split(0.3, seed=1)
    mean = score(test.correct, np.full(len(test), train.correct.mean()))
    for guess in (0.0, 0.3):
        fit = hlr.fit(train, guess=guess)
        assert fit.converged
        scores = score(test.correct, fit.predict(test))
        assert scores.auc > 0.7
        assert guess == 0 or scores.log_loss < mean.log_loss
