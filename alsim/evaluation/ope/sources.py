"""Off-policy evaluation of logs of any kind: datasets of simulated learners, and several of them as one log."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from alsim.datasets.store import Dataset, load_dataset
from alsim.errors import InputTypeError
from alsim.evaluation.estimates import CONFIDENCE
from alsim.evaluation.ope.episodes import EpisodeLog
from alsim.evaluation.ope.evaluation import Evaluation, checked_estimators, evaluate_log
from alsim.evaluation.ope.simulated import SimulatedLog
from alsim.policies import make_policy
from alsim.types import describe


def evaluate(
    log: Any,
    target: Any = None,
    *,
    gamma: float = 1.0,
    confidence: float = CONFIDENCE,
    estimators: Collection[str] | None = None,
    refit: int = 0,
    seed: int = 0,
    action_mask: Any = None,
) -> Evaluation:
    """Evaluate a target policy on a log of another one: diagnosis, estimates, and which of them to believe.

    log          Dataset of the simulator, or the directory of one; or a log with the probabilities of its target, such
                 as a `TableLog` or a `JoinedLog`
    target       policy with probabilities: a name, the directory of a trained one, or an object. None: that of the log
    gamma        discount factor, in [0, 1]
    confidence   level of the intervals, in (0, 1)
    estimators   names of the estimators to compute, see `ESTIMATORS`; None: all
    refit        number of refits of `fqe` to resampled learners, for its standard error and interval; 0: none. Its
                 interval ignores the bias of the model
    seed         seed of the resampling, integer in [0, 2**64)
    action_mask  the function, if the dataset was generated with a function as action mask

    Only what a policy could see is used: observations, actions, rewards and propensities.
    Returns an Evaluation; estimators that are undefined for the log are left out, with a warning.
    Raises AlsimError for a log without episodes, an unknown target, or one without probabilities.
    """
    names = checked_estimators(estimators)
    found = read_episodes(log, target, action_mask=action_mask)
    return evaluate_log(found, gamma=gamma, confidence=confidence, estimators=names, refit=refit, seed=seed)


def read_episodes(log: Any, target: Any, *, action_mask: Any = None) -> EpisodeLog:
    """Return the episodes of a log, see `evaluate`. Raises AlsimError for others."""
    if isinstance(log, EpisodeLog):
        if target is not None:
            raise InputTypeError(f"a {type(log).__name__} has the probabilities of its own target: leave target out")
        return log
    source = load_dataset(log) if isinstance(log, str | Path) else log
    if isinstance(source, Dataset):
        if target is None:
            raise InputTypeError("target must be a policy with probabilities; got None: name one, such as 'rules'")
        return SimulatedLog(source, make_policy(target), action_mask)
    raise InputTypeError(f"log must be a Dataset, its directory, or a log of episodes; got {describe(log)}")


__all__ = ["evaluate", "read_episodes"]
