"""Accuracy of predictions of responses: AUC, RMSE, log loss and accuracy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from alsim.errors import AlsimError
from alsim.types import Bools, Doubles

NEAREST = 1e-15
"""Log loss clips predictions to [NEAREST, 1 - NEAREST]."""


class Scores(NamedTuple):
    """Scores of R predictions.

    auc        area under the ROC curve, in [0, 1]; ties count one half; NaN if all responses are equal
    rmse       root of the mean squared difference between response and prediction, in [0, 1]
    log_loss   mean negative log-likelihood, nats
    accuracy   share of responses that the prediction, rounded, equals; 0.5 counts as correct
    responses  R
    """

    auc: float
    rmse: float
    log_loss: float
    accuracy: float
    responses: int


def score(correct: ArrayLike, predicted: ArrayLike) -> Scores:
    """Compute the scores of predictions, pooled over all responses.

    correct    (R,) 0 or 1
    predicted  (R,) probabilities of a correct response

    Returns Scores. Raises AlsimError for other values, for different shapes, and for R = 0.
    Source: Mann & Whitney (1947), Annals of Mathematical Statistics 18, 50-60, for the AUC.
    """
    answers, predictions = np.asarray(correct, np.float64), np.asarray(predicted, np.float64)
    if answers.ndim != 1 or answers.shape != predictions.shape or len(answers) == 0:
        raise AlsimError(
            "correct and predicted must have the same shape (R,), R at least 1; "
            f"got {answers.shape} and {predictions.shape}: pass one prediction per response"
        )
    if not (valid := np.isin(answers, (0, 1))).all():
        raise AlsimError(f"responses must be 0 or 1; got {answers[~valid][0]:g}: leave out missing responses")
    if not (valid := (predictions >= 0) & (predictions <= 1)).all():
        raise AlsimError(f"predictions must be probabilities in [0, 1]; got {predictions[~valid][0]:g}")
    clipped = np.clip(predictions, NEAREST, 1 - NEAREST)
    return Scores(
        auc=_auc(answers == 1, predictions),
        rmse=float(np.sqrt(np.mean((answers - predictions) ** 2))),
        log_loss=float(-np.mean(np.where(answers == 1, np.log(clipped), np.log1p(-clipped)))),
        accuracy=float(np.mean((predictions >= 0.5) == (answers == 1))),
        responses=len(answers),
    )


def _auc(positive: Bools, predictions: Doubles) -> float:
    """Return the area under the ROC curve, computed from mid-ranks."""
    n1 = int(positive.sum())
    n0 = len(positive) - n1
    if n0 == 0 or n1 == 0:
        return float("nan")
    _, inverse, counts = np.unique(predictions, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    return float((ranks[inverse][positive].sum() - n1 * (n1 + 1) / 2) / (n1 * n0))
