"""Multinomial logistic regression, fitted by L-BFGS with the same bits on every machine."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np

from alsim.errors import AlsimError
from alsim.jit.compile import lean_kernel, rule
from alsim.numerics.doubles import exp, log
from alsim.types import Bools, Doubles, Longs

MEMORY = 10
"""Number of steps from which the curvature is estimated."""
TOLERANCE = 1e-7
"""Largest component of the gradient of the mean loss at the optimum."""
MAX_ITERATIONS = 1000
SUFFICIENT = 1e-4
"""Least decrease of a step, relative to that of the tangent (Nocedal & Wright 2006, section 3.1)."""
SMALLEST_STEP = 1e-6


class Rows(NamedTuple):
    """Rows to fit, and those to predict."""

    x: Doubles
    """Features, of which the first one is 1 and the others have mean 0 and standard deviation 1, (M, D)."""
    label: Longs
    """Class of each row, (M,)."""
    trained: Bools
    """Rows that are fitted; the others are predicted, (M,)."""


class _Pair(NamedTuple):
    """A step, the change of the gradient in it, and 1 / their product."""

    step: Doubles
    change: Doubles
    inverse: float


def fit(rows: Rows, num_classes: int, penalty: float, start: Doubles) -> Doubles:
    """Fit the coefficients, (D, K), by the rows that are trained.

    Minimises the mean over rows of -log P(label) plus penalty / 2 times the sum of squared coefficients without those
    of the constant.

    num_classes  K; each class has a trained row
    start        (D, K) first coefficients

    Raises AlsimError if it does not converge.
    Source: Liu & Nocedal (1989), Mathematical Programming 45.
    """
    scale = 1.0 / int(rows.trained.sum())
    odds, slope = np.empty(num_classes), np.empty_like(start)

    def evaluate(theta: Doubles) -> tuple[float, Doubles]:
        loss = add_loss(rows.x, rows.label, rows.trained, theta, odds, slope) * scale
        gradient = slope * scale
        gradient[1:] += penalty * theta[1:]
        return loss + penalty / 2 * float((theta[1:] ** 2).sum()), gradient

    curvature = _curvature(rows, num_classes, penalty, start.shape)
    theta, pairs = start.copy(), deque[_Pair](maxlen=MEMORY)
    loss, gradient = evaluate(theta)
    for _ in range(MAX_ITERATIONS):
        if np.abs(gradient).max() <= TOLERANCE:
            return theta
        direction = _direction(gradient, pairs, curvature)
        tangent, size = float((direction * gradient).sum()), 1.0
        while True:
            new = theta + size * direction
            new_loss, new_gradient = evaluate(new)
            if new_loss <= loss + SUFFICIENT * size * tangent:
                break
            size /= 2
            if size < SMALLEST_STEP:  # the loss differs by rounding only
                return theta
        step, change = new - theta, new_gradient - gradient
        if (product := float((step * change).sum())) > 0:
            pairs.append(_Pair(step, change, 1 / product))
        theta, loss, gradient = new, new_loss, new_gradient
    raise AlsimError(
        f"the regression of the actions did not converge in {MAX_ITERATIONS:,} iterations: leave out features that are "
        "almost the same"
    )


def predict(rows: Rows, theta: Doubles, out: Doubles) -> None:
    """Write the probability of the class of each row that is not trained, 0 for a class of -1."""
    predict_rows(rows.x, rows.label, rows.trained, theta, np.empty(theta.shape[1]), out)


def _curvature(rows: Rows, num_classes: int, penalty: float, shape: tuple[int, ...]) -> Doubles:
    """Return the diagonal of the Hessian for features without effects, (D, K)."""
    share = np.bincount(rows.label[rows.trained], minlength=num_classes) / int(rows.trained.sum())
    squares = np.array([float((column[rows.trained] ** 2).mean()) for column in rows.x.T])
    diagonal = squares[:, np.newaxis] * np.maximum(share * (1 - share), 1e-9)
    return np.maximum(np.broadcast_to(diagonal, shape) + penalty, 1e-9)


def _direction(gradient: Doubles, pairs: deque[_Pair], curvature: Doubles) -> Doubles:
    """Return the direction of descent: minus the estimated inverse Hessian times the gradient."""
    q, factors = gradient.copy(), []
    for pair in reversed(pairs):
        factors.append(pair.inverse * float((pair.step * q).sum()))
        q -= factors[-1] * pair.change
    q /= curvature
    if pairs:
        last = pairs[-1]
        q /= last.inverse * float((last.change**2 / curvature).sum())
    for pair, factor in zip(pairs, reversed(factors), strict=True):
        q += (factor - pair.inverse * float((pair.change * q).sum())) * pair.step
    return -q


@rule
def write_scores(row: Doubles, theta: Doubles, scores: Doubles) -> float:
    """Write the linear score of each class, (K,), for one row (d,), and return the largest."""
    d, k = theta.shape
    scores[:] = 0.0
    for a in range(d):
        for b in range(k):
            scores[b] += row[a] * theta[a, b]
    largest = float(scores[0])
    for b in range(1, k):
        largest = max(largest, scores[b])
    return largest


@lean_kernel
def add_loss(x: Doubles, label: Longs, trained: Bools, theta: Doubles, odds: Doubles, slope: Doubles) -> float:
    """Return the sum of -log P(label) over the trained rows, and write its gradient.

    odds   (K,) buffer
    slope  (D, K), written
    """
    loss = 0.0
    d, k = theta.shape
    slope[:] = 0.0
    for i in range(len(x)):
        if not trained[i]:
            continue
        largest = write_scores(x[i], theta, odds)
        own = odds[label[i]] - largest
        total = 0.0
        for b in range(k):
            odds[b] = exp(odds[b] - largest)
        for b in range(k):
            total += odds[b]
        loss += log(total) - own
        scale = 1.0 / total
        for b in range(k):
            odds[b] *= scale
        odds[label[i]] -= 1.0
        for a in range(d):
            for b in range(k):
                slope[a, b] += x[i, a] * odds[b]
    return loss


@lean_kernel
def predict_rows(x: Doubles, label: Longs, trained: Bools, theta: Doubles, odds: Doubles, out: Doubles) -> None:
    """Write P(label) of the rows that are not trained, 0 for a label of -1; `odds` is a buffer (K,)."""
    d, k = theta.shape
    for i in range(len(x)):
        if trained[i]:
            continue
        largest = write_scores(x[i], theta, odds)
        total = 0.0
        for b in range(k):
            odds[b] = exp(odds[b] - largest)
            total += odds[b]
        out[i] = odds[label[i]] / total if label[i] >= 0 else 0.0


__all__ = ["Rows", "fit", "predict"]
