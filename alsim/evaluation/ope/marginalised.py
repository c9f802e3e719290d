"""Marginalised importance sampling: weights of clusters of observations instead of histories."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from alsim.errors import AlsimError, InputTypeError
from alsim.evaluation.estimates import CONFIDENCE
from alsim.evaluation.ope.estimate import Estimate, effective_size, estimate_of
from alsim.evaluation.ope.inputs import Log, read_log
from alsim.types import Bools, Doubles, Longs


class Step(NamedTuple):
    """One step of the estimated chain of clusters."""

    weights: Doubles
    """(n,) weight of the action within its cluster: the mean over a cluster is 1, or 0 without support."""
    mass: Doubles
    """(C,) probability of each cluster under the target, redistributed from clusters without support."""
    share: Doubles
    """(C,) share of each cluster in the log."""


def mis(
    rewards: ArrayLike,
    behaviour: ArrayLike,
    target: ArrayLike,
    lengths: ArrayLike | None = None,
    gamma: float = 1.0,
    weights: ArrayLike | None = None,
    *,
    clusters: ArrayLike,
    learners: ArrayLike | None = None,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Compute marginalised importance sampling over clusters of observations.

    The probability of each cluster under the target is passed on from step to step: within a cluster, the next clusters
    and the rewards are averaged with the ratios of the probabilities of the actions. Learners whose episode has ended
    are a cluster of their own, so the probability of being there stays that of the target.

        d_(t+1)(c') = sum over c of d_t(c) times (sum of rho_t over rows from c to c') / (sum of rho_t over rows in c)

    Consistent if the cluster is a Markov state. Its variance grows with T, and not exponentially. Otherwise it is
    biased, for any number of episodes: measure the bias on simulated learners.

    behaviour, target  (n, T) probabilities of the action, or of the group of actions that it belongs to, if all actions
                       of a group have the same effects
    clusters           (n, T) cluster before each action, integers of at least 0; entries after the end are ignored

    The mass of clusters without a weight above 0 is distributed over the others. The other arguments, result and
    errors are those of `pdis`. Raises AlsimError too if all weights of a step are 0.
    Source: Xie, Ma & Wang (2019), NeurIPS.
    """
    log = read_log(rewards, behaviour, target, lengths, gamma, weights, learners, confidence)
    codes, size = read_clusters(clusters, log.alive)
    steps = _forward(log, codes, size)
    value, terms = _backward(log, codes, steps)
    ess = min(_effective(log, step, codes[:, t], log.alive[:, t]) for t, step in enumerate(steps))
    return estimate_of(value, terms, log.counts, log.units, log.confidence, ess=ess, family="marginalised")


def read_clusters(clusters: ArrayLike, alive: Bools) -> tuple[Longs, int]:
    """Return the clusters (n, T), numbered from 0, C after the end, and C. Raises AlsimError for others."""
    array = np.asarray(clusters)
    cure = "pass the cluster before each action"
    if array.dtype.kind not in "iu":
        raise InputTypeError(f"clusters must be integers; got {array.dtype}: {cure}")
    array = array.reshape(len(array), -1) if array.ndim == 1 else array
    if array.shape != alive.shape:
        raise AlsimError(f"clusters must have shape {alive.shape}, that of the rewards; got {array.shape}: {cure}")
    if (wrong := (array < 0) & alive).any():
        raise AlsimError(f"clusters must be at least 0; got {array[wrong][0]}: {cure}")
    names, codes = np.unique(array[alive], return_inverse=True)
    found = np.full(alive.shape, len(names), np.int64)
    found[alive] = codes
    return found, len(names)


def _forward(log: Log, codes: Longs, size: int) -> list[Step]:
    """Return the steps of the chain, until all episodes have ended."""
    steps: list[Step] = []
    mass = np.bincount(codes[:, 0], log.counts, size + 1) / log.total
    for t in range(codes.shape[1]):
        alive, now = log.alive[:, t], codes[:, t]
        if not alive.any():
            break
        rho = np.where(alive, log.ratios[:, t], 0.0)
        count, weight = (np.bincount(now, log.counts * x, size + 1)[:size] for x in (alive, rho))
        supported, living = mass[:size] * (weight > 0), mass[:size].sum()
        if supported.sum() == 0 and living > 0:
            raise AlsimError(
                f"all weights are 0 at step {t}: no action of the log is one that the target takes; pool actions, or "
                "use a target that explores"
            )
        scale = living / supported.sum() if living > 0 else 0.0
        own = np.where(weight > 0, count / np.where(weight > 0, weight, 1.0), 0.0)
        step = Step(rho * np.append(own, 0.0)[now], supported * scale, count / log.total)
        steps.append(step)
        if t + 1 < codes.shape[1]:
            moved = np.bincount(codes[:, t + 1], _row_mass(log, step, now) * log.counts, size + 1) / log.total
            moved[size] += mass[size]
            mass = moved
    return steps


def _row_mass(log: Log, step: Step, now: Longs) -> Doubles:
    """Return the weight of each row, (n,): that of its cluster times that of its action; 0 after the end."""
    ratio = np.where(step.share > 0, step.mass / np.where(step.share > 0, step.share, 1.0), 0.0)
    return np.asarray(np.append(ratio, 0.0)[now] * step.weights)


def _backward(log: Log, codes: Longs, steps: list[Step]) -> tuple[float, Doubles]:
    """Return the value, and the contribution of each episode, by the values of the clusters."""
    size, n = len(steps[0].share), len(codes)
    later, values = np.zeros(n), np.zeros(size + 1)
    terms = np.zeros(n)
    for t in range(len(steps) - 1, -1, -1):
        step, now = steps[t], codes[:, t]
        gained = log.rewards[:, t] + (log.discounts[1] if len(log.discounts) > 1 else 0.0) * later
        total = np.bincount(now, log.counts * step.weights * gained, size + 1)[:size] / log.total
        values = np.append(np.where(step.share > 0, total / np.where(step.share > 0, step.share, 1.0), 0.0), 0.0)
        has_support = np.bincount(now, step.weights * log.counts, size + 1)[:size] > 0
        living = step.mass.sum()
        if living > 0:
            values[:size] = np.where(has_support, values[:size], (step.mass * values[:size]).sum() / living)
        terms += log.discounts[t] * _row_mass(log, step, now) * (gained - values[now])
        later = values[now]
    value = float(log.mean(values[codes[:, 0]]))
    return value, value + terms + (values[codes[:, 0]] - value)


def _effective(log: Log, step: Step, now: Longs, alive: Bools) -> float:
    """Return the effective sample size of a step, in episodes."""
    w = _row_mass(log, step, now)[alive]
    living = log.counts[alive]
    return effective_size(w, living) * log.total / float(living.sum()) if w.any() else 0.0


__all__ = ["mis", "read_clusters"]
