"""Estimators for episodes of several steps, with weights of the history.

rho_t is the probability of the action at step t under the target policy, divided by that under the behaviour policy,
and W_t = rho_1 ... rho_t. After its end, an episode has rho = 1 and r = 0, and stays in every denominator.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from alsim.errors import AlsimError
from alsim.evaluation.estimates import CONFIDENCE
from alsim.evaluation.ope.estimate import Estimate, effective_size, estimate_of
from alsim.evaluation.ope.inputs import Log, read_clip, read_like, read_log
from alsim.evaluation.ope.ratios import Products, products, shifted
from alsim.evaluation.statistics_input import read_count
from alsim.types import Doubles


def tis(
    rewards: ArrayLike,
    behaviour: ArrayLike,
    target: ArrayLike,
    lengths: ArrayLike | None = None,
    gamma: float = 1.0,
    weights: ArrayLike | None = None,
    *,
    clip: float | None = None,
    learners: ArrayLike | None = None,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Compute trajectory-wise importance sampling.

        mean of W_T times the return

    Unbiased if the target never takes an action that the behaviour policy does not take. Fails on long episodes: few
    weights are large, and most logs give a value that is far too low.

    Arguments, result and errors are those of `pdis`.
    Source: Precup, Sutton & Singh (2000), ICML.
    """
    log = read_log(rewards, behaviour, target, lengths, gamma, weights, learners, confidence)
    last = products(log.ratios).clipped(read_clip(clip)).weights()[:, -1]
    return _mean_estimate(log, last * returns(log), last)


def sntis(
    rewards: ArrayLike,
    behaviour: ArrayLike,
    target: ArrayLike,
    lengths: ArrayLike | None = None,
    gamma: float = 1.0,
    weights: ArrayLike | None = None,
    *,
    clip: float | None = None,
    learners: ArrayLike | None = None,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Compute self-normalised trajectory-wise importance sampling.

        sum of W_T times the return / sum of W_T

    Consistent, and biased towards the behaviour policy where few weights are large.

    Arguments, result and errors are those of `pdis`.
    Source: Precup, Sutton & Singh (2000), ICML.
    """
    log = read_log(rewards, behaviour, target, lengths, gamma, weights, learners, confidence)
    last = _normalised(log, products(log.ratios).clipped(read_clip(clip)).relative()[:, -1:])[:, 0]
    total = returns(log)
    value = float(log.mean(last * total))
    return _estimate(log, value, value + last * (total - value), last)


def pdis(
    rewards: ArrayLike,
    behaviour: ArrayLike,
    target: ArrayLike,
    lengths: ArrayLike | None = None,
    gamma: float = 1.0,
    weights: ArrayLike | None = None,
    *,
    clip: float | None = None,
    learners: ArrayLike | None = None,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Compute per-decision importance sampling.

        sum over t of gamma**(t - 1) times the mean of W_t r_t

    Unbiased under the assumption of `tis`, with less variance. Fails on long episodes, as `tis` does, but later.

    rewards     (n, T) reward of each step of n episodes; entries after the end of an episode are ignored
    behaviour   (n, T) probability of the action that was taken under the policy of the log, in (0, 1]
    target      (n, T) probability of the same action under the target policy, in [0, 1]
    lengths     (n,) number of steps of each episode, in [1, T]; None: all have T
    gamma       discount factor, in [0, 1]
    weights     (n,) how often each episode counts, at least 0; None: once
    clip        largest W_t: larger ones are replaced by it, which reduces variance and adds bias; None: no limit
    learners    (n,) learner of each episode, or its class if learners form classes: the units that are independent;
                None: episodes are
    confidence  level of the interval, in (0, 1)

    Returns an Estimate. Raises AlsimError for invalid arguments, fewer than two learners, and weights that overflow.
    Source: Precup, Sutton & Singh (2000), ICML.
    """
    log = read_log(rewards, behaviour, target, lengths, gamma, weights, learners, confidence)
    w = products(log.ratios).clipped(read_clip(clip)).weights()
    return _mean_estimate(log, (log.discounts * w * log.rewards).sum(axis=1), w[:, -1])


def snpdis(
    rewards: ArrayLike,
    behaviour: ArrayLike,
    target: ArrayLike,
    lengths: ArrayLike | None = None,
    gamma: float = 1.0,
    weights: ArrayLike | None = None,
    *,
    clip: float | None = None,
    learners: ArrayLike | None = None,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Compute self-normalised per-decision importance sampling.

        sum over t of gamma**(t - 1) times sum of W_t r_t / sum of W_t

    Consistent; it is never outside the range of the rewards. Biased towards the behaviour policy where few weights are
    large.

    Arguments, result and errors are those of `pdis`. Raises AlsimError too if all weights of a step are 0.
    Source: Precup, Sutton & Singh (2000), ICML.
    """
    log = read_log(rewards, behaviour, target, lengths, gamma, weights, learners, confidence)
    return _per_decision(log, products(log.ratios).clipped(read_clip(clip)), "importance")


def window(
    rewards: ArrayLike,
    behaviour: ArrayLike,
    target: ArrayLike,
    lengths: ArrayLike | None = None,
    gamma: float = 1.0,
    weights: ArrayLike | None = None,
    *,
    steps: int = 1,
    clip: float | None = None,
    learners: ArrayLike | None = None,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Compute self-normalised importance sampling with the last few actions only.

        sum over t of gamma**(t - 1) times sum of w_t r_t / sum of w_t,  w_t = product of the last k ratios

    Assumes that actions more than k steps ago do not matter to a reward, given that the episode has not ended. Where
    they do, as in learning, it is biased towards the behaviour policy, for any number of episodes.

    steps  k, at least 1

    The other arguments, result and errors are those of `snpdis`.
    Source: Guo, Thomas & Brunskill (2017), NeurIPS, on weights that forget; here as per-decision weights.
    """
    log = read_log(rewards, behaviour, target, lengths, gamma, weights, learners, confidence)
    size = read_count(steps, "steps", 1, 2**31 - 1, "pass the number of actions that weights remember")
    return _per_decision(log, products(log.ratios, size).clipped(read_clip(clip)), "window")


def dr(
    rewards: ArrayLike,
    behaviour: ArrayLike,
    target: ArrayLike,
    lengths: ArrayLike | None = None,
    gamma: float = 1.0,
    weights: ArrayLike | None = None,
    *,
    q: ArrayLike,
    v: ArrayLike,
    clip: float | None = None,
    learners: ArrayLike | None = None,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Compute the doubly robust estimator.

        mean of sum over t of gamma**(t - 1) times (W_(t-1) V_t + W_t (r_t - Q_t))

    Unbiased if the probabilities are right and Q and V come from other episodes, see `fitted_q`. The better the model,
    the smaller the variance. Fails where the weights do: its bias is then that of the model.

    q  (n, T) predicted sum of the later rewards, discounted, for the action that was taken
    v  (n, T) the same for an action of the target policy: sum over actions of its probability times Q

    The other arguments, result and errors are those of `pdis`. With (n,) arrays, it is the estimator for bandits.
    Source: Jiang & Li (2016), ICML; Dudík, Langford & Li (2011), ICML, for bandits.
    """
    log = read_log(rewards, behaviour, target, lengths, gamma, weights, learners, confidence)
    model_q, model_v = read_like(q, "q", log.alive, 0.0), read_like(v, "v", log.alive, 0.0)
    w = products(log.ratios).clipped(read_clip(clip)).weights()
    steps = shifted(w) * model_v + w * (log.rewards - model_q)
    return _mean_estimate(log, (log.discounts * steps).sum(axis=1), w[:, -1])


def wdr(
    rewards: ArrayLike,
    behaviour: ArrayLike,
    target: ArrayLike,
    lengths: ArrayLike | None = None,
    gamma: float = 1.0,
    weights: ArrayLike | None = None,
    *,
    q: ArrayLike,
    v: ArrayLike,
    clip: float | None = None,
    learners: ArrayLike | None = None,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Compute the weighted doubly robust estimator: `dr` with W_t and W_(t-1) each divided by their own mean.

    Consistent; less variance than `dr` where weights are large, and some bias.

    Arguments, result and errors are those of `dr`. Raises AlsimError too if all weights of a step are 0.
    Source: Thomas & Brunskill (2016), ICML.
    """
    log = read_log(rewards, behaviour, target, lengths, gamma, weights, learners, confidence)
    model_q, model_v = read_like(q, "q", log.alive, 0.0), read_like(v, "v", log.alive, 0.0)
    w = _normalised(log, products(log.ratios).clipped(read_clip(clip)).relative())
    before, errors = shifted(w), log.rewards - model_q
    mean_v, mean_error = log.mean(before * model_v), log.mean(w * errors)
    value = float((log.discounts * (mean_v + mean_error)).sum())
    terms = log.discounts * (before * (model_v - mean_v) + w * (errors - mean_error))
    return _estimate(log, value, value + terms.sum(axis=1), w[:, -1])


def returns(log: Log) -> Doubles:
    """Return the discounted sum of the rewards of each episode, (n,)."""
    return np.asarray((log.discounts * log.rewards).sum(axis=1))


def _per_decision(log: Log, found: Products, family: Any) -> Estimate:
    """Return the self-normalised estimate with some weights of the rewards."""
    w = _normalised(log, found.relative())
    means = log.mean(w * log.rewards)
    value = float((log.discounts * means).sum())
    terms = value + (log.discounts * w * (log.rewards - means)).sum(axis=1)
    smallest = min(range(w.shape[1]), key=lambda t: effective_size(w[:, t], log.counts))
    return _estimate(log, value, terms, w[:, smallest], family)


def _normalised(log: Log, w: Doubles) -> Doubles:
    """Return weights (n, T) divided by their means over episodes. Raises AlsimError if all weights of a step are 0."""
    means = log.mean(w)
    if (empty := means == 0).any():
        raise AlsimError(
            f"all weights are 0 at step {int(empty.argmax())}: no episode of the log has only actions that the target "
            "takes; use a target that explores"
        )
    return np.asarray(w / means)


def _mean_estimate(log: Log, terms: Doubles, w: Doubles) -> Estimate:
    """Return the estimate that is a mean of terms (n,); w are the weights (n,) of the last step."""
    return _estimate(log, float(log.mean(terms)), terms, w)


def _estimate(log: Log, value: float, terms: Doubles, w: Doubles, family: Any = "importance") -> Estimate:
    """Return an estimate from its terms (n,) and the weights (n,) of its effective sample size."""
    ess = effective_size(w, log.counts)
    return estimate_of(value, terms, log.counts, log.units, log.confidence, ess=ess, family=family)


__all__ = ["dr", "pdis", "returns", "sntis", "snpdis", "tis", "wdr", "window"]
