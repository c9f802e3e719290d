"""Scores of predictions compared with their definitions, and loading of fits of any model."""

import json
import math

import numpy as np
import pytest

from alsim.errors import AlsimError
from alsim.models import ModelError, Responses, load_fit, score, score_errors, skill_mean


@pytest.mark.parametrize("values", [3, 20, 10**6])  # few: most pairs are ties
def test_auc_is_the_share_of_pairs_in_order(values):
    random = np.random.default_rng(values)
    correct, predicted = random.integers(0, 2, 300), random.integers(0, values, 300) / values
    above = predicted[correct == 1][:, None] - predicted[correct == 0]
    pairs = np.where(above == 0, 0.5, above > 0).mean()
    assert score(correct, predicted).auc == pytest.approx(pairs, rel=1e-12)


def test_scores_of_three_predictions():
    scores = score([1, 0, 1], [0.8, 0.5, 0.4])
    assert scores.auc == 0.5  # of two pairs one is in order
    assert scores.rmse == pytest.approx(math.sqrt((0.04 + 0.25 + 0.36) / 3), rel=1e-15)
    assert scores.log_loss == pytest.approx(-math.log(0.8 * 0.5 * 0.4) / 3, rel=1e-15)
    assert scores.accuracy == pytest.approx(1 / 3)  # one half counts as correct
    assert scores.responses == 3


def test_errors_of_scores_are_those_of_the_jackknife_over_students():
    """Omitting each student in turn gives the same errors, up to terms of the order 1 / students."""
    random = np.random.default_rng(3)
    student = np.repeat(np.arange(150), random.integers(1, 30, 150))
    chance = 1 / (1 + np.exp(-random.normal(0, 1, 150)[student] - random.normal(0, 1, len(student))))
    correct, predicted = (random.random(len(student)) < chance).astype(int), np.round(chance, 1)
    parts = [score(correct[student != s], predicted[student != s])[:4] for s in range(150)]
    deviations = np.array(parts) - np.mean(parts, axis=0)
    jackknife = np.sqrt(149 / 150 * (deviations**2).sum(axis=0))
    errors = score_errors(correct, predicted, student)
    assert errors[:4] == pytest.approx(jackknife, rel=0.02)
    assert errors.students == 150


def test_errors_of_independent_responses_are_those_of_delong():
    """DeLong et al. (1988): variances of the placements of correct and of wrong responses."""
    random = np.random.default_rng(4)
    correct = random.integers(0, 2, 500)
    predicted = 1 / (1 + np.exp(-correct - random.normal(0, 1, 500)))
    order = np.sign(predicted[correct == 1][:, None] - predicted[correct == 0]) / 2 + 0.5
    variances = [order.mean(axis=k).var(ddof=1) / order.shape[1 - k] for k in (0, 1)]
    errors = score_errors(correct, predicted, np.arange(500))
    assert errors.auc == pytest.approx(math.sqrt(sum(variances)), rel=0.01)
    accuracy = ((predicted >= 0.5) == (correct == 1)).std(ddof=1) / math.sqrt(500)
    assert errors.accuracy == pytest.approx(accuracy, rel=1e-12)


def test_errors_that_are_undefined():
    assert math.isnan(score_errors([1, 0], [0.5, 0.5], [3, 3]).rmse)
    one_kind = score_errors([1, 1], [0.5, 0.7], [0, 1])
    assert math.isnan(one_kind.auc) and one_kind.rmse > 0
    assert score_errors([1, 0], [1, 0], [0, 1]).rmse == 0
    with pytest.raises(AlsimError, match=r"student must be integers of shape \(2,\); got float64 of shape \(2,\)"):
        score_errors([1, 0], [1, 0], [0.0, 1.0])


def test_scores_of_predictions_that_are_0_or_1():
    right, wrong = score([1, 0], [1.0, 0.0]), score([1, 0], [0.0, 1.0])
    assert (right.auc, right.rmse, right.accuracy) == (1, 0, 1)
    assert (wrong.auc, wrong.rmse, wrong.accuracy) == (0, 1, 0)
    assert right.log_loss < 1e-14 and wrong.log_loss == pytest.approx(-math.log(1e-15), rel=1e-2)
    assert math.isnan(score([1, 1], [0.2, 0.3]).auc)


@pytest.mark.parametrize(
    ("correct", "predicted", "message"),
    [
        ([], [], r"got \(0,\) and \(0,\)"),
        ([1, 0], [0.5], r"got \(2,\) and \(1,\)"),
        ([[1]], [[0.5]], r"got \(1, 1\)"),
        ([1, 2], [0.5, 0.5], "responses must be 0 or 1"),
        ([1, math.nan], [0.5, 0.5], "responses must be 0 or 1"),
        (["a", 0], [0.5, 0.5], "must be numbers of shape"),
        ([[1, 0], [1]], [0.5, 0.5], "must be numbers of shape"),
        ([1, 0], [0.5, 1.1], "probabilities"),
        ([1, 0], [0.5, math.nan], "probabilities"),
    ],
)
def test_invalid_predictions_are_refused(correct, predicted, message):
    with pytest.raises(AlsimError, match=message):
        score(correct, predicted)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "alsim-policy"}, 'it has no "format": "alsim-fit"'),
        ({"version": 2}, "has version 2; this alsim reads 1"),
        ({"version": True}, "has version True; this alsim reads 1"),
        ({"model": "lstm"}, "is a fit of 'lstm'; the models are bkt, irt"),
        ({"log_likelihood": None}, "is not a valid fit of 'skill-mean'"),
    ],
)
def test_files_that_are_not_valid_fits_are_refused(tmp_path, change, message):
    file = skill_mean.fit(Responses.from_arrays([0, 0], [1, 0], skill=["add", "add"])).save(tmp_path / "fit.json")
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | change), encoding="utf-8")
    with pytest.raises(ModelError, match=message):
        load_fit(file)


@pytest.mark.parametrize("content", [b"", b"[]", b"1", b"\xff\xfe", b"[" * 100_000, b'{"format": "alsim-fit"'])
def test_a_file_that_is_not_json_of_a_fit_is_refused(tmp_path, content):
    file = tmp_path / "fit.json"
    file.write_bytes(content)
    with pytest.raises(ModelError, match="is not a fit"):
        load_fit(file)
