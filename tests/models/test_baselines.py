"""The baselines: means, PFA and Best-LR, against naively counted features and the conditions of a maximum."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alsim.models import Fit, ModelError, Responses, best_lr, bkt, load_fit, logistic, pfa, score, skill_mean
from alsim.models.features import earlier_in_all, earlier_of_items, earlier_of_skills
from alsim.utils.optional import MissingExtra

REGRESSIONS = (pfa, best_lr)
MODELS = (skill_mean, *REGRESSIONS)


def log(n=400, *, seed=0, students=12, skills=4, items=9, several=True):
    """Random responses; an item has one skill or two, which are always the same."""
    rng = np.random.default_rng(seed)
    item = rng.integers(0, items, n)
    needs = [[f"k{i % skills}", f"k{(i + 1) % skills}"] if several and i % 3 == 0 else [f"k{i % skills}"] for i in item]
    correct = rng.random(n) < 0.3 + 0.4 * (item % 2)
    return Responses.from_arrays(rng.integers(0, students, n), correct, skill=needs, item=[f"q{i}" for i in item])


def skills_of(responses, r):
    return responses.skill[responses.skill_start[r] : responses.skill_start[r + 1]].tolist()


def naive_counts(responses):
    """For each response: [(skill, wins, attempts)], (wins, attempts) at the item, (wins, attempts) in all."""
    rows = []
    for r in range(len(responses)):
        before = [q for q in range(r) if responses.student[q] == responses.student[r]]

        def tally(where, before=before):
            earlier = [int(responses.correct[q]) for q in before if where(q)]
            return sum(earlier), len(earlier)

        at_skills = [(k, *tally(lambda q, k=k: k in skills_of(responses, q))) for k in skills_of(responses, r)]
        at_item = tally(lambda q, r=r: responses.item[q] == responses.item[r])
        rows.append((at_skills, at_item, tally(lambda q: True)))
    return rows


def dense_pfa(responses):
    """(R, 3K): 1, wins and failures of each skill."""
    x = np.zeros((len(responses), 3 * responses.num_skills))
    for r, (at_skills, _, _) in enumerate(naive_counts(responses)):
        for k, wins, attempts in at_skills:
            x[r, 3 * k : 3 * k + 3] += [1, wins, attempts - wins]
    return x


def dense_best_lr(responses):
    """(R, 3K + I + 5): 1 and two logarithms per skill, 1 per item, 1, two logarithms for the item and two in total."""
    k3, i = 3 * responses.num_skills, responses.num_items
    x = np.zeros((len(responses), k3 + i + 5))
    for r, (at_skills, at_item, total) in enumerate(naive_counts(responses)):
        for k, wins, attempts in at_skills:
            x[r, 3 * k : 3 * k + 3] += [1, np.log(1 + wins), np.log(1 + attempts)]
        x[r, k3 + responses.item[r]] = 1
        x[r, k3 + i :] = [1, *np.log(1 + np.array([*at_item, *total]))]
    return x


def logistic_of(x):
    return 1 / (1 + np.exp(-x))


# ── earlier responses ──────────────────────────────────────────────────────────────────────────────


@given(st.integers(0, 10**6), st.integers(1, 40), st.booleans())
def test_counts_match_naive_counts(seed, n, several):
    responses = log(n, seed=seed, students=3, several=several)
    rows = naive_counts(responses)
    assert np.stack(earlier_of_skills(responses), axis=1).tolist() == [[w, a] for s, _, _ in rows for _, w, a in s]
    assert np.stack(earlier_of_items(responses), axis=1).tolist() == [list(i) for _, i, _ in rows]
    assert np.stack(earlier_in_all(responses), axis=1).tolist() == [list(t) for _, _, t in rows]


@pytest.mark.parametrize("model", MODELS)
def test_a_forecast_does_not_depend_on_its_own_and_later_responses(model):
    responses = log()
    fit = model.fit(responses)
    before = fit.predict(responses)
    for r in (0, 1, 57, len(responses) - 1):
        changed = responses.correct.copy()
        changed[r:] = 1 - changed[r:]
        after = fit.predict(dataclasses.replace(responses, correct=changed))
        assert (after[: r + 1] == before[: r + 1]).all()


# ── means ────────────────────────────────────────────────────────────────────────────────────────


def test_means_are_shares_of_correct_responses():
    responses = Responses.from_arrays(list("aaabbb"), [1, 0, 1, 1, 1, 0], skill=list("xxyyxy"))
    fit = skill_mean.fit(responses, smoothing=0)
    assert fit.mean.tolist() == [2 / 3, 2 / 3]
    fit = skill_mean.fit(responses, smoothing=2)
    assert fit.mean == pytest.approx([(2 + 2 * 4 / 6) / 5] * 2, rel=1e-15)
    assert fit.log_likelihood == pytest.approx(4 * np.log(2 / 3) + 2 * np.log(1 / 3), rel=1e-14)
    assert fit.table()[0] == {"skill": "x", "share": 2 / 3, "mean": fit.mean[0], "responses": 3}


def test_the_share_is_exact_and_the_mean_is_smoothed():
    """One correct response of one is a share of 1, and a forecast of less."""
    fit = skill_mean.fit(Responses.from_arrays(list("abcd"), [1, 0, 0, 1], skill=list("xyyy")))
    assert fit.share.tolist() == [1, 1 / 3]
    assert fit.mean.tolist() == [(1 + 0.5) / 2, (1 + 0.5) / 4]
    assert fit.predict(Responses.from_arrays(["e"], [0], skill=["x"])).tolist() == [0.75]


def test_a_response_to_several_skills_counts_for_each_and_its_forecast_is_their_mean():
    responses = Responses.from_arrays([0, 0, 0], [1, 0, 0], skill=[["x"], ["x", "y"], ["y"]])
    fit = skill_mean.fit(responses, smoothing=0)
    assert fit.mean.tolist() == [0.5, 0]
    assert fit.predict(responses).tolist() == [0.5, 0.25, 0]


def test_the_forecast_for_an_unknown_skill_is_the_overall_share():
    fit = skill_mean.fit(Responses.from_arrays([0, 0, 1, 1], [1, 0, 1, 1], skill=list("xyxy")))
    assert fit.predict(Responses.from_arrays([7, 8], [0, 0], skill=["z", "x"]))[0] == 0.75


@pytest.mark.parametrize("smoothing", [-1, float("nan"), float("inf"), "1", True])
def test_an_invalid_smoothing_is_refused(smoothing):
    with pytest.raises(ModelError, match="smoothing must be a finite number of at least 0; got"):
        skill_mean.fit(log(20), smoothing=smoothing)


# ── regressions ──────────────────────────────────────────────────────────────────────────────────


def test_pfa_is_the_maximum_and_its_forecasts_match():
    """The penalised likelihood is strongly concave, so its gradient bounds the distance to the maximum."""
    responses = log()
    x, penalty = dense_pfa(responses), 0.7
    fit = pfa.fit(responses, penalty=penalty, tolerance=1e-9)
    w, p = fit.coefficients.ravel(), logistic_of(x @ fit.coefficients.ravel())
    assert fit.converged
    gradient = x.T @ (responses.correct - p) - penalty * w
    assert abs(gradient).max() <= 1e-9 * len(responses) + 1e-12 * len(responses)
    assert fit.predict(responses) == pytest.approx(p, rel=1e-12)
    likelihood = np.log(np.where(responses.correct == 1, p, 1 - p)).sum()
    assert fit.log_likelihood == pytest.approx(likelihood, rel=1e-12)
    information = x.T @ (x * (p * (1 - p))[:, None]) + penalty * np.eye(len(w))
    errors = np.sqrt(np.diag(np.linalg.inv(information)))
    assert fit.standard_errors.ravel() == pytest.approx(errors, rel=1e-9)


def test_best_lr_is_the_maximum_and_its_forecasts_match():
    responses = log()
    x, penalty = dense_best_lr(responses), 0.7
    fit = best_lr.fit(responses, penalty=penalty, tolerance=1e-9)
    w = np.concatenate([fit.skill.ravel(), fit.item, fit.shared])
    p = logistic_of(x @ w)
    assert fit.converged and len(fit.item) == responses.num_items
    pull = penalty * w
    pull[-5] = 0  # the intercept's
    gradient = x.T @ (responses.correct - p) - pull
    assert abs(gradient).max() <= 1e-9 * len(responses) + 1e-12 * len(responses)
    assert fit.predict(responses) == pytest.approx(p, rel=1e-12)
    likelihood = np.log(np.where(responses.correct == 1, p, 1 - p)).sum()
    assert fit.log_likelihood == pytest.approx(likelihood, rel=1e-12)


def test_best_lr_omits_items_that_are_the_skills():
    rng = np.random.default_rng(3)
    responses = Responses.from_arrays(rng.integers(0, 9, 200), rng.integers(0, 2, 200), skill=rng.integers(0, 4, 200))
    fit = best_lr.fit(responses)
    assert len(fit.items) == len(fit.item) == 0 and fit.shared[1:3].tolist() == [0, 0]
    x = dense_best_lr(responses)[:, [*range(12), 16, 17, 18, 19, 20]]
    assert fit.predict(responses) == pytest.approx(
        logistic_of(x @ np.concatenate([fit.skill.ravel(), fit.shared])), rel=1e-12
    )
    assert {row["of"] for row in fit.table()} == {"skill", "all"}


@pytest.mark.ci
@pytest.mark.compiled
def test_standard_errors_are_the_spread_of_estimates():
    """The root mean square of (estimate - truth) / SE of PFA over 300 logs simulated from PFA is 1.

    For n = 300 it is within 1 +- .17 at a false-alarm probability of 1e-4 (chi-squared, Bonferroni over 3). The
    penalty is too small to matter.
    """
    true = np.array([-0.3, 0.25, -0.1])
    deviations = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        wins, failures, students, answers = np.zeros(100), np.zeros(100), [], []
        for _ in range(8):
            correct = rng.random(100) < logistic_of(true[0] + true[1] * wins + true[2] * failures)
            students.append(np.arange(100))
            answers.append(correct)
            wins, failures = wins + correct, failures + ~correct
        fit = pfa.fit(
            Responses.from_arrays(np.concatenate(students), np.concatenate(answers), skill=["k"] * 800), penalty=1e-3
        )
        deviations.append((fit.coefficients[0] - true) / fit.standard_errors[0])
    assert np.sqrt(np.mean(np.square(deviations), axis=0)) == pytest.approx(1, abs=0.17)


def test_a_weight_counts_as_that_many_students():
    responses = log(120)
    twice = Responses.from_arrays(
        np.concatenate([responses.student, responses.student + 100]),
        np.tile(responses.correct, 2),
        skill=[responses.skills[skills_of(responses, r % 120)] for r in range(240)],
        item=responses.items[np.tile(responses.item, 2)],
    )
    weighted = dataclasses.replace(responses, weight=np.full(responses.num_students, 2.0))
    for model in MODELS:
        one, other = model.fit(weighted), model.fit(twice)
        assert one.log_likelihood == pytest.approx(other.log_likelihood, rel=1e-9)
        assert one.predict(responses) == pytest.approx(other.predict(responses), abs=1e-6)


def test_the_maximum_is_the_same_without_the_dense_matrix(monkeypatch):
    """Each of P components of the gradient is at most tolerance x R, and the penalty keeps the curvature above 1."""
    responses = log()
    whole = [model.fit(responses, tolerance=1e-9) for model in REGRESSIONS]
    monkeypatch.setattr(logistic, "MOST_DENSE", 2)  # of the regression
    monkeypatch.setattr(pfa, "MOST_DENSE", 2)  # of the standard errors
    parts = [model.fit(responses, tolerance=1e-9) for model in REGRESSIONS]
    for one, other, coefficients in zip(whole, parts, ("coefficients", "skill"), strict=True):
        apart = getattr(one, coefficients) - getattr(other, coefficients)
        assert other.converged and np.abs(apart).max() < 2 * 1e-9 * len(responses) * np.sqrt(40)
    assert np.isnan(parts[0].standard_errors).all()
    again = pfa.PFAFit.from_dict(json.loads(json.dumps(parts[0].to_dict(), allow_nan=False)))
    assert np.isnan(again.standard_errors).all()


def test_unconnected_skills_are_inverted_separately(monkeypatch):
    responses = log(several=False)
    whole = pfa.fit(responses)
    monkeypatch.setattr(pfa, "MOST_DENSE", 3)
    assert (pfa.fit(responses).standard_errors == whole.standard_errors).all()


def test_pfa_forecasts_an_unknown_skill_from_pooled_coefficients():
    fit = pfa.fit(log(several=False))
    known = fit.skills[0]  # responses without any known skill are refused
    unknown = Responses.from_arrays([0, 0, 0, 1], [1, 0, 1, 1], skill=["new"] * 3 + [known])
    intercept, win, failure = fit.pooled
    expected = logistic_of(np.array([intercept, intercept + win, intercept + win + failure]))
    assert fit.predict(unknown)[:3] == pytest.approx(expected, rel=1e-12)
    every = log(several=False)
    x = dense_pfa(every).reshape(len(every), -1, 3).sum(axis=1)
    gradient = x.T @ (every.correct - logistic_of(x @ fit.pooled)) - fit.pooled
    assert abs(gradient).max() <= 1e-8 * len(every) + 1e-10


def test_best_lr_forecasts_an_unknown_skill_from_total_counts():
    fit = best_lr.fit(log())
    known = (fit.skills[0], fit.items[0])
    unknown = Responses.from_arrays([0, 0, 1], [1, 0, 1], skill=["new", "new", known[0]], item=["q", "q", known[1]])
    intercept, item_wins, item_attempts, wins, attempts = fit.shared
    later = intercept + np.log(2) * (item_wins + item_attempts + wins + attempts)
    assert fit.predict(unknown)[:2] == pytest.approx(logistic_of(np.array([intercept, later])), rel=1e-12)


@pytest.mark.parametrize("model", MODELS)
def test_a_skill_without_responses_is_unknown(model):
    """A part of a log keeps all names, but a skill without responses in this part must not be fitted."""
    known = log(several=False).skills[0]
    other = Responses.from_arrays(["x", "x", "y"], [1, 0, 1], skill=["rare", "rare", known], item=["qr"] * 3)
    both = Responses.from_arrays(
        [f"s{s}" for s in log(several=False).student] + ["x"] * 2,
        [*log(several=False).correct, 1, 0],
        skill=[*log(several=False).skills[log(several=False).skill], "rare", "rare"],
        item=[*log(several=False).items[log(several=False).item], "qr", "qr"],
    )
    part = both.subset(both.students != "x")
    assert "rare" in part.skills
    fit = model.fit(part)
    assert "rare" not in fit.skills
    assert fit.predict(other) == pytest.approx(model.fit(log(several=False)).predict(other), rel=1e-6)


def test_too_few_iterations_do_not_converge():
    for model in REGRESSIONS:
        fit = model.fit(log(), max_iterations=1)
        assert (fit.iterations, fit.converged) == (1, False)


def test_progress_ends_at_its_total():
    for model in MODELS:
        calls = []
        model.fit(log(50), progress=lambda *call, calls=calls: calls.append(call))
        assert calls[-1][0] == calls[-1][1] and all(isinstance(message, str) for _, _, message in calls)


def test_probabilities_at_the_ends_of_float64():
    assert logistic.logistic(np.array([-1e308, -800.0, 0.0, 800.0, 1e308])).tolist() == [0, 0, 0.5, 1, 1]
    assert logistic.logistic(np.array([-700.0]))[0] == pytest.approx(np.exp(-700.0), rel=1e-13)


# ── bad input ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("model", REGRESSIONS)
def test_unfittable_logs_and_invalid_settings_are_refused(model):
    with pytest.raises(ModelError, match="needs responses of both kinds; all 3 are correct"):
        model.fit(Responses.from_arrays([0, 1, 2], [1, 1, 1], skill=[0, 0, 0]))
    with pytest.raises(ModelError, match="needs responses of both kinds; all 1 are wrong"):
        model.fit(Responses.from_arrays([0], [0], skill=[0]))
    for name, bad in (("penalty", 0), ("penalty", True), ("tolerance", float("nan")), ("max_iterations", 0.5)):
        with pytest.raises(
            ModelError, match=rf"{name} must be (a number above 0|an integer of at least 1); got {bad!r}"
        ):
            model.fit(log(20), **{name: bad})


@pytest.mark.parametrize("model", MODELS)
def test_an_empty_log_is_not_fitted_and_has_no_forecasts(model):
    with pytest.raises(ModelError, match="needs responses; got none"):
        model.fit(log(20).subset([]))
    assert model.fit(log(50)).predict(log(20).subset([])).shape == (0,)


# ── files ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("model", MODELS)
def test_a_saved_fit_forecasts_the_same_to_the_bit(model, tmp_path):
    responses = log()
    fit = model.fit(responses)
    again = type(fit).load(fit.save(tmp_path / "fit.json"))
    other = log(seed=1, students=30, skills=5)
    assert (again.predict(other) == fit.predict(other)).all()
    assert again.to_dict() == fit.to_dict() and again.table() == fit.table()
    assert all(row.keys() == fit.table()[0].keys() for row in fit.table())
    with pytest.raises(ModelError, match="is a fit of"):
        type(MODELS[MODELS.index(model) - 1].fit(responses)).load(tmp_path / "fit.json")


@pytest.mark.ci
def test_forecasts_need_neither_scikit_learn_nor_scipy(tmp_path, monkeypatch):
    responses = log(60)
    files = [model.fit(responses).save(tmp_path / f"{model.__name__}.json") for model in MODELS]
    code = f"""
import sys
sys.modules["sklearn"] = sys.modules["scipy"] = None
from alsim.models import Responses, load_fit
for file in {[str(file) for file in files]!r}:
    print(load_fit(file).predict(Responses.from_arrays([0], [1], skill=["k1"], item=["q1"]))[0])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    expected = [load_fit(f).predict(Responses.from_arrays([0], [1], skill=["k1"], item=["q1"]))[0] for f in files]
    assert list(map(float, done.stdout.split())) == expected
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    for model, what in ((pfa, "performance factors analysis"), (best_lr, "Best-LR")):
        with pytest.raises(MissingExtra) as raised:
            model.fit(responses)
        assert str(raised.value) == (
            f"{what} needs scikit-learn, which is not installed; "
            "install it with `pip install '.[baselines]'` in a clone of alsim"
        )


BREAKS = [
    ("skills", []),
    ("skills", {"k": 1}),
    ("skills", {"k": {}}),
    ("converged", "yes"),
    ("iterations", -1),
    ("iterations", 1.5),
    ("log_likelihood", True),
    ("log_likelihood", "-1"),
    ("log_likelihood", 10**400),
    ("responses", None),
    ("responses", 2**63),
]


@pytest.mark.parametrize("model", MODELS)
def test_an_invalid_fit_is_refused(model, tmp_path):
    file = model.fit(log(50)).save(tmp_path / "fit.json")
    content = json.loads(file.read_text())
    own = {
        "alsim.models.skill_mean": [("overall", 2), ("overall", float("inf"))],
        "alsim.models.pfa": [("pooled", [1, 2, 3]), ("pooled", {"intercept": 1})],
        "alsim.models.best_lr": [("shared", {}), ("items", {"q": {"intercept": None}})],
    }[model.__name__]
    for key, bad in [*BREAKS, *own]:
        file.write_text(json.dumps(content | {key: bad}))
        with pytest.raises(ModelError, match="is not a valid fit of|is not a fit: .* is not finite"):
            load_fit(file)
    for key in content.keys() - {"format", "version", "model"}:
        file.write_text(json.dumps({k: v for k, v in content.items() if k != key}))
        with pytest.raises(ModelError, match=f"'{key}' is missing"):
            load_fit(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('"model": []', "is a fit of \\[\\]; the models are"),
        ('"model": "bkt", "skills": 3', "is not a valid fit of 'bkt'"),
        ('"model": "irt", "items": 3', "is not a valid fit of 'irt'"),
        ('"model": "irt", "items": {"q": {"a": 1e999}}', "is not a fit: 1e999 is not finite"),
        ('"model": "bkt", "log_likelihood": NaN', "is not a fit: NaN is not finite"),
    ],
)
def test_a_file_of_other_types_is_refused(content, message, tmp_path):
    (tmp_path / "fit.json").write_text(f'{{"format": "alsim-fit", "version": 1, {content}}}')
    with pytest.raises(ModelError, match=message):
        load_fit(tmp_path / "fit.json")


@pytest.mark.parametrize("model", MODELS)
def test_a_fit_of_no_skills_is_read(model, tmp_path):
    """An empty table is valid; every skill is unknown then."""
    content = model.fit(log(50)).to_dict() | {"skills": {}}
    fit = load_fit_of(model, content)
    assert isinstance(fit, Fit) and np.isfinite(fit.predict(log(20))).all()


def load_fit_of(model, content):
    kinds = {skill_mean: skill_mean.SkillMeanFit, pfa: pfa.PFAFit, best_lr: best_lr.BestLRFit}
    return kinds[model].from_dict(content)


# ── frequencies ──────────────────────────────────────────────────────────────────


PATTERNS = Responses.from_matrix([[1, 0, 1], [0, 1, -1], [1, 1, 0]], weight=[3, 2, 1])


@pytest.mark.ci
@pytest.mark.parametrize("model", [*MODELS, bkt])
def test_responses_of_patterns_are_counted_as_often_as_they_occur(model):
    """Those of the table and of the fit, as if each pattern were written as often as its frequency says."""
    expanded = Responses.from_matrix(np.repeat([[1, 0, 1], [0, 1, -1], [1, 1, 0]], [3, 2, 1], axis=0))
    one, other = model.fit(PATTERNS), model.fit(expanded)
    assert one.num_responses == other.num_responses == len(expanded) == 16
    if model is not best_lr:
        counts = [row["responses"] for row in one.table()]
        assert counts == [row["responses"] for row in other.table()] == [6, 6, 4]
    assert (PATTERNS.num_responses, PATTERNS.skill_counts().tolist()) == (16, [6, 6, 4])


def test_small_weights_are_counted_as_at_least_one_response():
    small = Responses.from_matrix([[1, 0], [0, 1]], weight=[0.1, 0])
    assert (small.num_responses, small.skill_counts().tolist()) == (1, [1, 1])
    assert (log(50).num_responses, log(50, several=False).skill_counts().sum()) == (50, 50)


# ── weights of 0 ──────────────────────────────────────────────────────────────────


def test_a_student_of_weight_0_has_no_effect():
    """Only the student of weight 0 answered the second item wrongly."""
    matrix, weight = [[1, 1], [0, 1], [0, 0]], [2, 1, 0]
    with_third = skill_mean.fit(Responses.from_matrix(matrix, weight=weight), smoothing=0)
    without = skill_mean.fit(Responses.from_matrix(matrix[:2], weight=weight[:2]), smoothing=0)
    np.testing.assert_array_equal(with_third.mean, without.mean)
    assert with_third.log_likelihood == without.log_likelihood == pytest.approx(2 * np.log(2 / 3) + np.log(1 / 3))


@pytest.mark.parametrize("model", MODELS)
def test_a_log_whose_weights_are_0_is_refused(model):
    with pytest.raises(ModelError, match="needs responses; got none"):
        model.fit(Responses.from_matrix([[1, 0], [0, 1]], weight=[0, 0]))
    if model is not skill_mean:
        with pytest.raises(ModelError, match="both kinds; all 2 are correct"):
            model.fit(Responses.from_matrix([[1, 1], [0, 1]], weight=[1, 0]))


# ── published data ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.ci
@pytest.mark.compiled
@pytest.mark.versionless
def test_assist2015_has_the_published_auc(published):
    """Test AUC: mean of each skill .643; PFA .69 and Best-LR .70 in Gervet et al., who print two decimals."""
    from alsim.models import read_responses

    train, test = (
        read_responses(published / "kt_assist2015" / f"{part}.csv", format="three-line") for part in ("train", "test")
    )
    for model, auc, within in ((skill_mean, 0.643, 0.0005), (pfa, 0.69, 0.005), (best_lr, 0.70, 0.005)):
        fit = model.fit(train)
        assert fit.converged
        assert score(test.correct, fit.predict(test)).auc == pytest.approx(auc, abs=within)
