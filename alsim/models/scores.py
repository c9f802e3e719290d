"""Accuracy of predictions of responses: AUC, RMSE, log loss and accuracy."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from alsim.errors import AlsimError
from alsim.types import Bools, Doubles, Longs

NEAREST = 1e-15
"""Log loss clips predictions to [NEAREST, 1 - NEAREST]."""


class Scores(NamedTuple):
    """Scores of R predictions.

    auc        area under the ROC curve, in [0, 1]; ties count one half; NaN if all responses are equal
    rmse       root of the mean squared difference between response and prediction, in [0, 1]
    log_loss   mean negative log-likelihood, nats
    accuracy   share of responses that the prediction, rounded, equals; 0.5 counts as correct

    The AUC and the accuracy of responses with partial credit are undefined, NaN.
    responses  R
    """

    auc: float
    rmse: float
    log_loss: float
    accuracy: float
    responses: int


class ScoreErrors(NamedTuple):
    """Standard errors of the Scores of the responses of S students; NaN if S < 2 or the score is NaN.

    auc, rmse, log_loss, accuracy  standard error of the score of the same name
    students                       S
    """

    auc: float
    rmse: float
    log_loss: float
    accuracy: float
    students: int


def score(correct: ArrayLike, predicted: ArrayLike) -> Scores:
    """Compute the scores of predictions, pooled over all responses.

    correct    (R,) 0 or 1, or credit in [0, 1]
    predicted  (R,) probabilities of a correct response, or mean credit

    Returns Scores. Raises AlsimError for other values, for different shapes, and for R = 0.
    Source: Mann & Whitney (1947), Annals of Mathematical Statistics 18, 50-60, for the AUC.
    """
    answers, predictions = _checked(correct, predicted)
    losses = _losses(answers, predictions)
    return Scores(
        auc=math.nan if _is_partial(answers) else _auc(answers == 1, predictions),
        rmse=float(np.sqrt(losses.squared.mean())),
        log_loss=float(losses.log.mean()),
        accuracy=float(losses.equal.mean()),
        responses=len(answers),
    )


def score_errors(correct: ArrayLike, predicted: ArrayLike, student: ArrayLike) -> ScoreErrors:
    """Compute the standard errors of the scores of predictions, for a random sample of students.

    correct    (R,) 0 or 1
    predicted  (R,) probabilities of a correct response
    student    (R,) integers that identify the student of each response

    The responses of one student are not independent, so errors computed from single responses would be too small.
    The linearised scores are summed by student. The variance is S / (S - 1) times the sum of the squared sums.

    Returns ScoreErrors. Raises AlsimError as `score` does, and for other students.
    Source: Obuchowski (1997), Biometrics 53, 567-578, for the AUC.
    """
    answers, predictions = _checked(correct, predicted)
    index = _student_index(student, answers)
    scores, losses = score(answers, predictions), _losses(answers, predictions)
    squared = _error_of_mean(losses.squared, index)
    return ScoreErrors(
        auc=math.nan if _is_partial(answers) else _error(_auc_influence(answers == 1, predictions, scores.auc), index),
        rmse=squared / (2 * scores.rmse) if scores.rmse else squared,
        log_loss=_error_of_mean(losses.log, index),
        accuracy=_error_of_mean(losses.equal, index),
        students=int(index.max()) + 1,
    )


class AucDifference(NamedTuple):
    """Difference of the AUCs of two predictions of the same responses.

    difference  AUC of the first minus AUC of the second; NaN if all responses are equal
    se          its standard error for a random sample of S students; NaN if S < 2
    students    S
    """

    difference: float
    se: float
    students: int


def auc_difference(correct: ArrayLike, first: ArrayLike, second: ArrayLike, student: ArrayLike) -> AucDifference:
    """Compute the difference of the AUCs of two predictions of the same responses, and its standard error.

        AUC(first) - AUC(second)

    correct        (R,) 0 or 1
    first, second  (R,) probabilities of a correct response
    student        (R,) integers that identify the student of each response

    The predictions are paired: the difference of the linearised AUCs is summed by student, as in `score_errors`.

    Returns an AucDifference. Raises AlsimError as `score_errors` does.
    Source: DeLong, DeLong & Clarke-Pearson (1988), Biometrics 44, 837-845; Obuchowski (1997) for clusters.
    """
    answers, predictions = _checked(correct, first)
    _, others = _checked(correct, second)
    index = _student_index(student, answers)
    one, other = score(answers, predictions).auc, score(answers, others).auc
    influence = _auc_influence(answers == 1, predictions, one) - _auc_influence(answers == 1, others, other)
    return AucDifference(one - other, _error(influence, index), int(index.max()) + 1)


class _Losses(NamedTuple):
    """For each response (R,): squared error, log loss (nats), and 1 if it equals the rounded prediction, else 0."""

    squared: Doubles
    log: Doubles
    equal: Doubles


def _losses(answers: Doubles, predictions: Doubles) -> _Losses:
    """Return the losses of each response."""
    clipped = np.clip(predictions, NEAREST, 1 - NEAREST)
    log_losses = -(answers * np.log(clipped) + (1 - answers) * np.log1p(-clipped))
    equal = ((predictions >= 0.5) == (answers == 1)).astype(np.float64)
    if _is_partial(answers):
        equal[:] = math.nan
    return _Losses((answers - predictions) ** 2, log_losses, equal)


def _checked(correct: ArrayLike, predicted: ArrayLike) -> tuple[Doubles, Doubles]:
    """Return responses and predictions as arrays. Raises AlsimError as `score` does."""
    try:
        answers, predictions = np.asarray(correct, np.float64), np.asarray(predicted, np.float64)
    except (TypeError, ValueError) as error:
        raise AlsimError(f"correct and predicted must be numbers of shape (R,): {error}; pass arrays") from None
    if answers.ndim != 1 or answers.shape != predictions.shape or len(answers) == 0:
        raise AlsimError(
            "correct and predicted must have the same shape (R,), R at least 1; "
            f"got {answers.shape} and {predictions.shape}: pass one prediction per response"
        )
    if not (valid := (answers >= 0) & (answers <= 1)).all():
        raise AlsimError(
            f"responses must be 0 or 1, or credit in [0, 1]; got {answers[~valid][0]:g}: leave out missing responses"
        )
    if not (valid := (predictions >= 0) & (predictions <= 1)).all():
        raise AlsimError(f"predictions must be probabilities in [0, 1]; got {predictions[~valid][0]:g}")
    return answers, predictions


def _student_index(student: ArrayLike, answers: Doubles) -> Longs:
    """Return the number (R,) of the student of each response, from 0. Raises AlsimError as `score_errors` does."""
    students = np.asarray(student)
    if students.shape != answers.shape or students.dtype.kind not in "iu":
        raise AlsimError(
            f"student must be integers of shape {answers.shape}; got {students.dtype} of shape {students.shape}: "
            "pass the index of the student of each response"
        )
    return np.asarray(np.unique(students, return_inverse=True)[1])


def _is_partial(answers: Doubles) -> bool:
    """Return whether some responses (R,) have partial credit."""
    return bool(((answers > 0) & (answers < 1)).any())


def _error(influence: Doubles, student: Longs) -> float:
    """Return the standard error of a statistic from the influence (R,) of each response; NaN for one student."""
    sums = np.bincount(student, influence)
    return math.sqrt(len(sums) / (len(sums) - 1) * float(sums @ sums)) if len(sums) > 1 else math.nan


def _error_of_mean(values: Doubles, student: Longs) -> float:
    """Return the standard error of the mean of values (R,); 0 if they are equal."""
    distances = values - values[0]  # the mean of equal values has a rounding error
    return _error((distances - distances.mean()) / len(values), student)


def _auc_influence(positive: Bools, predictions: Doubles, auc: float) -> Doubles:
    """Return the influence (R,) of each response on the AUC; NaN if all responses are equal.

    It is the share of the responses of the other kind that are predicted in the right order, minus the AUC, over the
    number of responses of its kind.
    """
    n1 = int(positive.sum())
    n0 = len(positive) - n1
    if n0 == 0 or n1 == 0:
        return np.full(len(positive), math.nan)
    values, inverse = np.unique(predictions, return_inverse=True)
    correct = np.bincount(inverse[positive], minlength=len(values))
    wrong = np.bincount(inverse[~positive], minlength=len(values))
    lower = (np.cumsum(wrong) - wrong / 2)[inverse] / n0
    higher = (n1 - np.cumsum(correct) + correct / 2)[inverse] / n1
    return np.asarray(np.where(positive, (lower - auc) / n1, (higher - auc) / n0))


def _auc(positive: Bools, predictions: Doubles) -> float:
    """Return the area under the ROC curve, computed from mid-ranks."""
    n1 = int(positive.sum())
    n0 = len(positive) - n1
    if n0 == 0 or n1 == 0:
        return float("nan")
    _, inverse, counts = np.unique(predictions, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    return float((ranks[inverse][positive].sum() - n1 * (n1 + 1) / 2) / (n1 * n0))
