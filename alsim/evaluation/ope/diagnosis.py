"""Diagnosis of a log before estimation: divergence of the policies, and effective sample sizes."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from alsim.errors import AlsimError
from alsim.evaluation.ope.estimate import effective_size
from alsim.evaluation.ope.inputs import Log, read_like, read_log
from alsim.evaluation.ope.ratios import products
from alsim.types import Doubles, short_repr

LEAST_EPISODES = 100
"""Smallest predicted effective sample size, in episodes, for which weights of histories are recommended."""
ROUNDING = 1e-9
"""Largest divergence, and largest share of actions, that is taken for the rounding error of zero."""
NOISE = 3.0
"""Number of standard errors up to which a missing share of the target is taken for chance."""


@short_repr
class Diagnosis(NamedTuple):
    """Divergence of a target policy from the policy of a log, and effective sample sizes."""

    chi2_per_step: Doubles
    """Chi-squared divergence of the target from the behaviour policy at each step, (T,)."""
    predicted_ess: float
    """n / product of (1 + chi2): effective sample size of the weights of whole histories in the population, episodes.

    That of the log, `ess_by_step`, is larger: the episodes that should have the largest weights are missing in it.
    """
    ess_by_step: Doubles
    """Effective sample size of the weights W_t in the log, episodes, (T,)."""
    max_weight: float
    """Largest W_T divided by the mean of W_T; infinite if all are 0."""
    unsupported_share: float
    """Share of the actions of the target that the behaviour policy never takes: 1 - mean of rho, 0 within 3 errors."""
    episodes: float
    """Number of episodes n."""

    @property
    def within_budget(self) -> bool:
        """True if the predicted effective sample size is at least 100 episodes, or all of fewer episodes."""
        return self.predicted_ess >= min(LEAST_EPISODES, self.episodes * (1 - ROUNDING))

    @property
    def episodes_needed(self) -> float:
        """Number of episodes of the same policy for a predicted effective sample size of 100; may be infinite."""
        exponent = float(np.log1p(self.chi2_per_step).sum())
        return LEAST_EPISODES * math.exp(exponent) if exponent < 700 else math.inf

    @property
    def largest_mixture(self) -> float:
        """Largest share a, in [0, 1], for which the target mixed into the behaviour policy is within the budget.

        The mixture takes the target's action with probability a at each step; its divergence is a**2 chi2.
        """
        budget = math.log(max(self.episodes / LEAST_EPISODES, 1.0))
        low, high = 0.0, 1.0
        if float(np.log1p(self.chi2_per_step).sum()) <= budget:
            return 1.0
        for _ in range(60):
            middle = (low + high) / 2
            fits = float(np.log1p(middle**2 * self.chi2_per_step).sum()) <= budget
            low, high = (middle, high) if fits else (low, middle)
        return low

    def to_dict(self) -> dict[str, Any]:
        """Return the fields but `episodes` as JSON values; an infinite number is None."""
        return {
            "chi2_per_step": [chi2 if math.isfinite(chi2) else None for chi2 in self.chi2_per_step.tolist()],
            "predicted_ess": self.predicted_ess,
            "ess_by_step": self.ess_by_step.tolist(),
            "max_weight": self.max_weight if math.isfinite(self.max_weight) else None,
            "unsupported_share": self.unsupported_share,
        }


def diagnose(
    behaviour: ArrayLike,
    target: ArrayLike,
    lengths: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    *,
    learners: ArrayLike | None = None,
    moments: tuple[ArrayLike, ArrayLike] | None = None,
) -> Diagnosis:
    """Diagnose whether a log can tell the value of a target policy by weights of histories.

        chi2_t = mean of rho_t^2 / (mean of rho_t)^2 - 1

    Weights of whole histories are usable while sum over t of log(1 + chi2_t) <= log(n / 100). Ended episodes count with
    rho = 1.

    moments  means of rho_t and rho_t^2 over all actions of the behaviour policy, given the history, two arrays (n, T):
             they make the divergence exact in the actions. None: those that were taken stand for all actions

    The other arguments, and errors, are those of `alsim.evaluation.ope.pdis`. Returns a Diagnosis.
    Source: Kish (1965), Survey Sampling; Chatterjee & Diaconis (2018), Annals of Applied Probability 28.
    """
    log = read_log(np.zeros(np.shape(behaviour)), behaviour, target, lengths, 1.0, weights, learners)
    known = None if moments is None else _read_moments(moments, log)
    chi2 = np.maximum(0.0, _chi2(log, *(known or (log.ratios, log.ratios**2))))
    exponent = float(np.log1p(chi2).sum())
    w = products(log.ratios).relative()
    last = float(log.mean(w[:, -1]))
    return Diagnosis(
        chi2_per_step=chi2,
        predicted_ess=log.total * math.exp(-exponent) if exponent < 700 else 0.0,
        ess_by_step=np.array([effective_size(column, log.counts) for column in w.T]),
        max_weight=float(w[:, -1].max()) / last if last > 0 else math.inf,
        unsupported_share=_unsupported(log) if known is None else _lost(log, known[0]),
        episodes=log.total,
    )


def _read_moments(moments: tuple[ArrayLike, ArrayLike], log: Log) -> tuple[Doubles, Doubles]:
    """Return both moments (n, T), 1 after the end. Raises AlsimError for others."""
    if len(moments) != 2:
        raise AlsimError(f"moments must be 2 arrays, of rho and of rho**2; got {len(moments)}: pass both, or None")
    first, second = (read_like(values, "moments", log.alive, 1.0) for values in moments)
    if (first < 0).any() or (second < first**2 * (1 - ROUNDING)).any():
        raise AlsimError("moments must be means of rho and of rho**2: the second is at least the square of the first")
    return first, second


def _chi2(log: Log, ratio: Doubles, square: Doubles) -> Doubles:
    """Return the divergence at each step, (T,), from ratios and their squares; infinite where all ratios are 0."""
    first, second = log.mean(ratio), log.mean(square)
    return np.where(first > 0, second / np.where(first > 0, first, 1.0) ** 2 - 1, np.inf)


def _lost(log: Log, supported: Doubles) -> float:
    """Return the share of the target without support, from that with support at each step, (n, T)."""
    rows = log.counts[:, np.newaxis] * log.alive
    share = 1 - float((rows * supported).sum() / rows.sum())
    return share if share > ROUNDING else 0.0


def _unsupported(log: Log) -> float:
    """Return the share of the target that the behaviour policy never takes, 0 if it may be chance."""
    rows = log.counts * log.alive.sum(axis=1)
    lost = log.counts * ((1 - log.ratios) * log.alive).sum(axis=1)
    share = float(lost.sum() / rows.sum())
    deviations = lost - share * rows
    if log.units is not None:
        deviations = np.bincount(log.units, deviations)
    error = math.sqrt(float((deviations**2).sum())) / float(rows.sum())
    return share if share > NOISE * error else 0.0


__all__ = ["LEAST_EPISODES", "Diagnosis", "diagnose"]
