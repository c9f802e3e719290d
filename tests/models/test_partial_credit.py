"""Partial credit: how it is read, and the models that are fitted to it."""

import numpy as np
import pytest

from alsim.models import (
    ModelError,
    Responses,
    ResponsesError,
    best_lr,
    bkt,
    dkt,
    irt,
    load_fit,
    pfa,
    read_responses,
    score,
    skill_mean,
)
from alsim.models.scores import score_errors

MODELS = (skill_mean, pfa, best_lr)
REGRESSIONS = (pfa, best_lr)
COLUMNS = {"student": ["a", "a", "b"], "skill": ["x", "y", "x"]}


def log(seed=0, n=400, levels=(0, 0.25, 0.5, 1)):
    """Random responses of 12 students to 9 items of 4 skills, some with two of them."""
    rng = np.random.default_rng(seed)
    item = rng.integers(0, 9, n)
    skill = [[f"k{i % 4}", f"k{(i + 1) % 4}"] if i % 3 == 0 else [f"k{i % 4}"] for i in item]
    return Responses.from_arrays(
        rng.integers(0, 12, n), None, skill=skill, item=[f"q{i}" for i in item], credit=rng.choice(levels, n)
    )


# ── reading ──────────────────────────────────────────────────────────────────────────────────────


def test_full_credit_is_correct():
    read = Responses.from_arrays(**COLUMNS, correct=None, credit=[0.5, 1, 0])
    assert (read.credit.tolist(), read.correct.tolist()) == ([0.5, 1, 0], [0, 1, 0])
    assert read.report.full_credit
    assert repr(read).endswith("2 skills; with credit>")
    both = Responses.from_arrays(**COLUMNS, correct=[1, 0, 0], credit=[0.5, 1, "x"])
    assert both.correct.tolist() == [1, 0, 0] and not both.report.full_credit
    np.testing.assert_array_equal(both.credit, [0.5, 1, np.nan])
    assert both.report.unknown == {"credit": 1}
    assert Responses.from_arrays(**COLUMNS, correct=[1, 0, 0]).credit is None


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("name", ["correct", "points", "score"])
def test_a_mapped_column_of_a_file_holds_credit(tmp_path, name, suffix):
    """Without the mapping, the column is refused, and the error proposes it."""
    import pandas as pd

    points = [0.5, 1, 0] * 40
    frame = pd.DataFrame({"student": [f"s{k % 7}" for k in range(120)], "skill": "x", name: points})
    file = tmp_path / f"log.{suffix}"
    frame.to_csv(file, index=False) if suffix == "csv" else frame.to_parquet(file)
    columns = {"correct": name} if name == "points" else {}
    with pytest.raises(ResponsesError, match="partial credit with columns=") as error:
        read_responses(file, columns=columns)
    assert error.value.options["columns"] == {"credit": name}
    read = read_responses(file, **error.value.options)
    assert read.credit[read.row.argsort()].tolist() == points
    assert read.correct[read.row.argsort()].tolist() == [0, 1, 0] * 40
    for part in (read.subset([3, 1]), read.take(read.credit > 0), *read.split(0.5)):
        assert part.credit.tolist() == [points[k] for k in part.row]


@pytest.mark.parametrize("value", ["1.5", "-0.1", "B", "", None])
def test_invalid_credit_is_refused_or_counted(value):
    columns = COLUMNS | {"points": [0.5, value, 1]}
    with pytest.raises(ResponsesError, match=r"row 1 \(counted from 0\), column points: .*; expected a number from 0"):
        Responses.from_table(columns, {"credit": "points"})
    read = Responses.from_table(columns, {"credit": "points"}, skip_bad=True)
    assert (len(read), read.report.skipped) == (2, {"credit is not a number from 0 to 1": 1})


@pytest.mark.parametrize("skip_bad", [False, True])
def test_percentages_are_refused_with_the_cure_to_divide_them(skip_bad):
    """Skipping them would leave the scores of 0 only."""
    with pytest.raises(ResponsesError, match="points: 50; .* 0 to 1; divide the scores by the largest possible one"):
        Responses.from_table(COLUMNS | {"points": [50, 100, 0]}, {"credit": "points"}, skip_bad=skip_bad)


def test_the_cure_for_empty_cells_of_credit_is_to_fill_them():
    with pytest.raises(ResponsesError, match="points: an empty cell; .* 0 to 1; fill the column"):
        Responses.from_table(COLUMNS | {"points": [None, None, 0]}, {"credit": "points"})
    assert len(Responses.from_table(COLUMNS | {"points": [None, None, 0]}, {"credit": "points"}, skip_bad=True)) == 1


def test_credit_or_correctness_is_needed():
    with pytest.raises(ResponsesError, match="there is neither correct nor credit; pass one of them"):
        Responses.from_arrays(["a"], None, skill=["x"])
    with pytest.raises(ResponsesError, match="0.5; expected 0 or 1 .*; .* or pass scores from 0 to 1 as credit="):
        Responses.from_arrays(["a"], [0.5], skill=["x"])


def test_a_study_event_has_no_credit():
    with pytest.raises(ResponsesError, match="column event: 'read'; expected an empty cell, since the row has an ans"):
        Responses.from_arrays(**COLUMNS, correct=[1, None, 0], credit=[1, 0.5, 0], event=[None, "read", None])
    read = Responses.from_arrays(**COLUMNS, correct=None, credit=[0.5, None, 0], event=[None, "read", None])
    assert (len(read), len(read.study)) == (2, 1)


# ── fits ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("model", MODELS)
def test_credit_of_0_and_1_is_correctness(model):
    whole = log(levels=(0, 1))
    one, other = model.fit(whole), model.fit(whole, partial_credit=True)
    assert other.log_likelihood == pytest.approx(one.log_likelihood, rel=1e-9)
    np.testing.assert_allclose(other.predict(whole), one.predict(whole), atol=1e-7)
    if model is pfa:
        assert other.standard_errors == pytest.approx(one.standard_errors, rel=0.5)  # robust ones


def test_the_mean_of_a_skill_is_its_mean_credit():
    read = Responses.from_arrays(list("abcd"), None, skill=list("xxyy"), credit=[0.5, 0.25, 1, 0])
    fit = skill_mean.fit(read, partial_credit=True, smoothing=0)
    assert fit.share.tolist() == fit.mean.tolist() == [0.375, 0.5]
    y, p = read.credit, fit.predict(read)
    assert fit.log_likelihood == pytest.approx((y * np.log(p) + (1 - y) * np.log(1 - p)).sum(), rel=1e-14)
    smooth = skill_mean.fit(read, partial_credit=True)
    assert smooth.mean == pytest.approx([(0.75 + 0.4375) / 3, (1 + 0.4375) / 3], rel=1e-15)
    extreme = Responses.from_arrays(list("abcd"), None, skill=list("xxyy"), credit=[1, 1, 0, 0])
    assert skill_mean.fit(extreme, partial_credit=True, smoothing=0).log_likelihood == 0


def features(read, model):
    """Return the dense features of PFA or Best-LR with sums of earlier credit, one response at a time."""
    k3 = 3 * read.num_skills
    rows = np.zeros((len(read), k3 + (read.num_items + 5 if model is best_lr else 0)))
    for r in range(len(read)):
        before = [q for q in range(r) if read.student[q] == read.student[r]]
        skills = [set(read.skill[read.skill_start[q] : read.skill_start[q + 1]].tolist()) for q in range(r + 1)]

        def sums(chosen):
            return sum(read.credit[q] for q in chosen), len(chosen)

        for k in skills[r]:
            wins, attempts = sums([q for q in before if k in skills[q]])
            of_skill = [1, wins, attempts - wins] if model is pfa else [1, np.log1p(wins), np.log1p(attempts)]
            rows[r, 3 * k : 3 * k + 3] += of_skill
        if model is best_lr:
            rows[r, k3 + read.item[r]] = 1
            at_item, total = sums([q for q in before if read.item[q] == read.item[r]]), sums(before)
            rows[r, -5:] = [1, *np.log1p([*at_item, *total])]
    return rows


@pytest.mark.parametrize("model", REGRESSIONS)
def test_regressions_maximise_the_quasi_likelihood(model):
    """The penalised quasi-likelihood is concave, so its gradient is 0 at the maximum only."""
    read, penalty = log(n=250), 0.7
    fit = model.fit(read, partial_credit=True, penalty=penalty, tolerance=1e-9)
    x = features(read, model)
    w = fit.coefficients.ravel() if model is pfa else np.concatenate([fit.skill.ravel(), fit.item, fit.shared])
    p = 1 / (1 + np.exp(-x @ w))
    pull = penalty * w
    if model is best_lr:
        pull[-5] = 0  # the intercept's
    assert fit.converged
    assert abs(x.T @ (read.credit - p) - pull).max() <= 1e-8 * len(read)
    assert fit.predict(read) == pytest.approx(p, rel=1e-9)
    y = read.credit
    assert fit.log_likelihood == pytest.approx((y * np.log(p) + (1 - y) * np.log(1 - p)).sum(), rel=1e-9)


def test_the_standard_errors_of_pfa_are_robust():
    read, penalty = log(n=250), 0.7
    fit = pfa.fit(read, partial_credit=True, penalty=penalty)
    x, p = features(read, pfa), fit.predict(read)
    bread = np.linalg.inv(x.T @ (x * (p * (1 - p))[:, None]) + penalty * np.eye(x.shape[1]))
    meat = x.T @ (x * ((read.credit - p) ** 2)[:, None])
    assert fit.standard_errors.ravel() == pytest.approx(np.sqrt(np.diag(bread @ meat @ bread)), rel=1e-6)


@pytest.mark.parametrize("model", REGRESSIONS)
def test_all_full_credit_is_refused_and_equal_partial_credit_is_not(model):
    for credit, kind in ((1, "correct"), (0, "wrong")):
        with pytest.raises(ModelError, match=f"needs responses of both kinds; all 20 are {kind}"):
            model.fit(log(n=20, levels=[credit]), partial_credit=True)
    assert model.fit(log(n=20, levels=[0.5]), partial_credit=True).predict(log(n=20)).mean() == pytest.approx(
        0.5, abs=0.1
    )


@pytest.mark.parametrize("model", MODELS)
def test_credit_is_needed(model):
    plain = Responses.from_arrays(**COLUMNS, correct=[1, 0, 1])
    with pytest.raises(ModelError, match=r"needs a log with credit; this one has none: read it with columns="):
        model.fit(plain, partial_credit=True)
    unknown = Responses.from_arrays(**COLUMNS, correct=[1, 0, 1], credit=[0.5, None, 1])
    with pytest.raises(ModelError, match="the credit of 1 of 3 responses is unknown: leave them out"):
        model.fit(unknown, partial_credit=True)
    fit = model.fit(log(), partial_credit=True)
    if model is not skill_mean:
        with pytest.raises(ModelError, match="needs a log with credit"):
            fit.predict(Responses.from_arrays(["a"], [1], skill=["k0"], item=["q0"]))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("value", ["yes", 1, None])
def test_partial_credit_is_true_or_false(model, value):
    """Otherwise a fit would be saved that cannot be loaded."""
    with pytest.raises(ModelError, match=f"partial_credit must be True or False; got {value!r}: pass True"):
        model.fit(log(n=20), partial_credit=value)


@pytest.mark.parametrize("model", MODELS)
def test_a_saved_fit_to_credit_predicts_the_same(model, tmp_path):
    fit = model.fit(log(), partial_credit=True)
    again = load_fit(fit.save(tmp_path / "fit.json"))
    assert again.partial_credit is True
    assert np.array_equal(again.predict(log(1)), fit.predict(log(1)))


# ── models of answers ────────────────────────────────────────────────────────────────────────────


USERS = {
    "bkt": bkt.fit,
    "irt": irt.fit,
    "dkt": dkt.fit,
    **{model.__name__: model.fit for model in MODELS},
    "ability": lambda read: irt.estimate_ability(irt.ItemParameters(1, np.zeros(9), names=read.items), read),
    "prediction": lambda read: irt.fit(read.dichotomize(0.5), "rasch").predict(read),
    "statistic": lambda read: irt.person_fit(irt.fit(read.dichotomize(0.5), "rasch"), read),
    "functioning": lambda read: irt.mantel_haenszel(read, np.arange(12) % 2, 1, matching=np.zeros(12)),
    "matrix": lambda read: read.matrix(),
}


@pytest.mark.parametrize("use", USERS.values(), ids=USERS)
def test_models_of_answers_refuse_partial_credit(use):
    """Full credit is correct in such a log, but it is for the user to say that less is wrong."""
    with pytest.raises(
        ResponsesError,
        match=r"needs answers of 0 and 1, but \d+ of 100 responses have partial credit; map a column of answers",
    ):
        use(log(n=100))


@pytest.mark.ci
def test_a_log_of_whole_credit_or_with_answers_or_a_threshold_is_fitted():
    read = log(n=100)
    answers = (read.credit >= 0.5).astype(int)
    assert read.dichotomize(0.5).correct.tolist() == answers.tolist()
    whole, cut = log(n=100, levels=(0, 1)), read.dichotomize(1)
    both = Responses.from_arrays(
        read.student, answers, item=read.items[read.item], credit=read.credit, order=np.arange(100)
    )
    for one in (whole, cut, both):
        assert bkt.fit(one).num_responses == 100
    for threshold in (0, 1.1, "0.5", None, float("nan")):
        with pytest.raises(ResponsesError, match="threshold must be in"):
            read.dichotomize(threshold)
    with pytest.raises(ResponsesError, match="the log has no credit"):
        Responses.from_arrays(**COLUMNS, correct=[1, 0, 1]).dichotomize(0.5)


# ── scores ───────────────────────────────────────────────────────────────────────────────────────


def test_the_auc_and_the_accuracy_of_partial_credit_are_undefined():
    y, p = np.array([0, 0.5, 1]), np.array([0.2, 0.4, 0.7])
    scores = score(y, p)
    assert np.isnan([scores.auc, scores.accuracy]).all()
    assert scores.rmse == pytest.approx(np.sqrt(np.mean([0.04, 0.01, 0.09])))
    assert scores.log_loss == pytest.approx(-(np.log(0.8) + 0.5 * np.log(0.4) + 0.5 * np.log(0.6) + np.log(0.7)) / 3)
    errors = score_errors(y, p, [0, 1, 2])
    assert np.isnan([errors.auc, errors.accuracy]).all() and errors.rmse > 0 and errors.log_loss > 0
    assert score([0, 1.0], [0.2, 0.7]).auc == 1
