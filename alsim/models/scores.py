"""How good forecasts of responses are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from alsim.errors import AlsimError

NEAREST = 1e-15
"""Log loss takes a forecast for no closer to 0 or 1 than this."""


class Scores(NamedTuple):
    """Of forecasts of R responses.

    auc        area under the ROC curve, ties counted half; NaN where all responses are alike
    rmse       root of the mean squared difference between response and forecast
    log_loss   mean negative log-likelihood, nats
    accuracy   share of responses that the likelier side (at least 0.5: correct) tells
    responses  R
    """

    auc: float
    rmse: float
    log_loss: float
    accuracy: float
    responses: int


def score(correct: ArrayLike, predicted: ArrayLike) -> Scores:
    """Score forecasts: pooled over all responses.

    correct    (R,) 0 or 1
    predicted  (R,) probabilities of a correct response

    Raises AlsimError for other values, for shapes that differ, and for R = 0.
    """
    answers, forecasts = np.asarray(correct, np.float64), np.asarray(predicted, np.float64)
    if answers.ndim != 1 or answers.shape != forecasts.shape or len(answers) == 0:
        raise AlsimError(f"scores want (R,) responses and forecasts; got {answers.shape} and {forecasts.shape}")
    if not np.isin(answers, (0, 1)).all():
        raise AlsimError("responses are 0 or 1")
    if not ((forecasts >= 0) & (forecasts <= 1)).all():
        raise AlsimError("forecasts are probabilities in [0, 1]")
    held = np.clip(forecasts, NEAREST, 1 - NEAREST)
    return Scores(
        auc=_auc(answers == 1, forecasts),
        rmse=float(np.sqrt(np.mean((answers - forecasts) ** 2))),
        log_loss=float(-np.mean(np.where(answers == 1, np.log(held), np.log1p(-held)))),
        accuracy=float(np.mean((forecasts >= 0.5) == (answers == 1))),
        responses=len(answers),
    )


def _auc(positive: np.ndarray, forecasts: np.ndarray) -> float:
    """Area under the ROC curve, by ranks: Mann and Whitney (1947)."""
    n1 = int(positive.sum())
    n0 = len(positive) - n1
    if n0 == 0 or n1 == 0:
        return float("nan")
    _, inverse, counts = np.unique(forecasts, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    return float((ranks[inverse][positive].sum() - n1 * (n1 + 1) / 2) / (n1 * n0))
