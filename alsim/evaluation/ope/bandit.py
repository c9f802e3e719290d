"""Estimators for one decision per row, with the weight w = target / behaviour of the action that was taken.

`ips` and `snips` are `pdis` and `snpdis` with one step; `dr` and `sndr` are `dr` and `wdr`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from alsim.errors import AlsimError
from alsim.evaluation.estimates import CONFIDENCE
from alsim.evaluation.ope.estimate import Estimate, effective_size, estimate_of
from alsim.evaluation.ope.inputs import read_like, read_log, read_steps
from alsim.evaluation.ope.sequential import dr, pdis, snpdis, wdr
from alsim.evaluation.statistics_input import read_number
from alsim.types import Doubles


def dm(
    v: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    learners: ArrayLike | None = None,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Compute the direct method: the mean of the predicted values.

    Its bias is that of the model, which neither the standard error nor the log shows; there is no interval.

    v  (n,) predicted reward under the target policy: sum over actions of its probability times the prediction; for
       episodes, the predicted return at the first step

    The other arguments, result and errors are those of `ips`.
    Source: Beygelzimer & Langford (2009), KDD.
    """
    values = _one_step(v, "v")
    ones = np.ones_like(values)
    log = read_log(values, ones, ones, None, 1.0, weights, learners, confidence)
    terms = log.rewards[:, 0]
    value = float(log.mean(terms))
    return estimate_of(
        value, terms, log.counts, log.units, log.confidence, ess=log.total, family="direct", has_interval=False
    )


def ips(
    rewards: ArrayLike, behaviour: ArrayLike, target: ArrayLike, weights: ArrayLike | None = None, **options: Any
) -> Estimate:
    """Compute inverse propensity scoring: the mean of w r.

    Unbiased if the target never takes an action that the behaviour policy does not take. Fails where weights are large.

    rewards    (n,) reward of each decision
    behaviour  (n,) probability of the action that was taken under the policy of the log, in (0, 1]
    target     (n,) probability of the same action under the target policy, in [0, 1]
    weights    (n,) how often each row counts, at least 0; None: once
    options    clip, learners and confidence, see `pdis`

    Returns an Estimate. Raises AlsimError for invalid arguments and fewer than two rows or learners.
    Source: Horvitz & Thompson (1952), JASA 47, 663-685.
    """
    return pdis(_one_step(rewards), behaviour, target, None, 1.0, weights, **options)


def snips(
    rewards: ArrayLike, behaviour: ArrayLike, target: ArrayLike, weights: ArrayLike | None = None, **options: Any
) -> Estimate:
    """Compute self-normalised inverse propensity scoring: sum of w r / sum of w.

    Consistent, and within the range of the rewards. Biased towards the behaviour policy where few weights are large.

    Arguments, result and errors are those of `ips`. Raises AlsimError too if all weights are 0.
    Source: Swaminathan & Joachims (2015), NeurIPS.
    """
    return snpdis(_one_step(rewards), behaviour, target, None, 1.0, weights, **options)


def sndr(
    rewards: ArrayLike,
    behaviour: ArrayLike,
    target: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    q: ArrayLike,
    v: ArrayLike,
    **options: Any,
) -> Estimate:
    """Compute the self-normalised doubly robust estimator: mean of v + sum of w (r - q) / sum of w.

    Consistent if the probabilities are right; less variance than `dr` where weights are large.

    q, v  (n,) predicted reward of the action that was taken, and of the target policy

    The other arguments, result and errors are those of `snips`.
    Source: Thomas & Brunskill (2016), ICML, with one step.
    """
    return wdr(_one_step(rewards), behaviour, target, None, 1.0, weights, q=q, v=v, **options)


def switch(
    rewards: ArrayLike,
    behaviour: ArrayLike,
    target: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    q: ArrayLike,
    v: ArrayLike,
    threshold: float,
    learners: ArrayLike | None = None,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Compute the switch estimator: `dr` for rows with w up to a threshold, the model alone for the others.

        mean of v + w [w <= threshold] (r - q)

    Its bias is that of the model where weights are larger.

    threshold  largest weight, at least 0

    The other arguments, result and errors are those of `sndr`.
    Source: Wang, Agarwal & Dudík (2017), ICML.
    """
    limit = _limit(threshold, "threshold")
    return _with_weights(
        (rewards, behaviour, target, weights, learners, confidence), q, v, lambda w: np.where(w <= limit, w, 0.0)
    )


def dros(
    rewards: ArrayLike,
    behaviour: ArrayLike,
    target: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    q: ArrayLike,
    v: ArrayLike,
    shrinkage: float,
    learners: ArrayLike | None = None,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Compute the doubly robust estimator with optimistic shrinkage of the weights.

        mean of v + s w / (w**2 + s) (r - q)

    s = 0 is the model alone, and a very large s is `dr`: a choice between bias and variance, see `slope`.

    shrinkage  s, at least 0

    The other arguments, result and errors are those of `sndr`.
    Source: Su, Dimakopoulou, Krishnamurthy & Dudík (2020), ICML.
    """
    s = _limit(shrinkage, "shrinkage")
    return _with_weights(
        (rewards, behaviour, target, weights, learners, confidence),
        q,
        v,
        lambda w: s * w / np.maximum(w**2 + s, 1e-300),
    )


def _with_weights(rows: tuple[Any, ...], q: ArrayLike, v: ArrayLike, changed: Any) -> Estimate:
    """Return the doubly robust estimate with changed weights."""
    rewards, behaviour, target, weights, learners, confidence = rows
    log = read_log(_one_step(rewards), behaviour, target, None, 1.0, weights, learners, confidence)
    w: Doubles = changed(log.ratios)
    model_q, model_v = read_like(q, "q", log.alive, 0.0), read_like(v, "v", log.alive, 0.0)
    terms = (model_v + w * (log.rewards - model_q))[:, 0]
    ess = effective_size(w[:, 0], log.counts)
    value = float(log.mean(terms))
    return estimate_of(value, terms, log.counts, log.units, log.confidence, ess=ess, family="importance")


def _one_step(values: ArrayLike, name: str = "rewards") -> Doubles:
    """Return numbers (n, 1) of rows with one decision each. Raises AlsimError for several steps."""
    array = read_steps(values, name)
    if array.shape[1] != 1:
        raise AlsimError(
            f"{name} must have one number per row, (n,); got {array.shape}: use pdis, snpdis, dr or wdr for episodes"
        )
    return array


def _limit(number: Any, name: str) -> float:
    """Return a number of at least 0. Raises AlsimError for others."""
    found = read_number(number, name, "pass a number of at least 0")
    if found < 0:
        raise AlsimError(f"{name} must be at least 0; got {found:g}: pass a number of at least 0")
    return found


__all__ = ["dm", "dr", "dros", "ips", "sndr", "snips", "switch"]
