"""Off-policy evaluation of a target policy on a log: all estimators, their diagnosis, and a recommendation."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from alsim.errors import AlsimError, did_you_mean
from alsim.evaluation.estimates import CONFIDENCE
from alsim.evaluation.ope.diagnosis import Diagnosis, diagnose
from alsim.evaluation.ope.episodes import EpisodeLog, Steps, Warned
from alsim.evaluation.ope.estimate import Estimate
from alsim.evaluation.ope.fitted_q import fqe
from alsim.evaluation.ope.intervals import bootstrap
from alsim.evaluation.ope.marginalised import mis
from alsim.evaluation.ope.recommendation import about, about_estimates, recommendation
from alsim.evaluation.ope.sequential import dr, pdis, snpdis, tis, wdr
from alsim.evaluation.ope.sequential import window as windowed
from alsim.evaluation.statistics_input import read_count, read_draws
from alsim.types import short_repr

ESTIMATORS = ("tis", "pdis", "snpdis", "dr", "wdr", "mis", "window", "fqe")
"""Names of the estimators for episodes, in the order of reports."""


@short_repr
@dataclass(frozen=True)
class Evaluation:
    """Estimates of the value of a target policy from a log."""

    target: str
    """Name of the target policy."""
    behaviour: str
    """Name of the policy of the log; several are separated by commas."""
    episodes: int
    """Number of episodes."""
    transitions: int
    """Number of interactions."""
    behaviour_value: Estimate
    """Mean return of the log, which is the value of its own policy."""
    estimators: dict[str, Estimate]
    """Estimates by name of the estimator, without those that are undefined for the log."""
    recommended: str | None
    """Name of the estimator to believe; None if there is none."""
    diagnostics: Diagnosis
    warnings: tuple[Warned, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes as JSON values."""
        return {
            "target": self.target,
            "behaviour": self.behaviour,
            "episodes": self.episodes,
            "transitions": self.transitions,
            "behaviour_value": self.behaviour_value.to_dict(),
            "estimators": {name: found.to_dict() for name, found in self.estimators.items()},
            "recommended": self.recommended,
            "diagnostics": self.diagnostics.to_dict(),
            "warnings": [warned._asdict() for warned in self.warnings],
        }


def checked_estimators(names: Collection[str] | None) -> tuple[str, ...]:
    """Return names of estimators in the order of reports; None: all. Raises AlsimError for unknown names."""
    if names is None:
        return ESTIMATORS
    chosen = [names] if isinstance(names, str) else [*names]
    if not chosen:
        raise AlsimError(f"estimators must name at least one of {', '.join(ESTIMATORS)}; got none")
    for name in chosen:
        if name not in ESTIMATORS:
            cure = did_you_mean(str(name), ESTIMATORS)
            raise AlsimError(f"estimators must be some of {', '.join(ESTIMATORS)}; got {name!r:.60}{cure}")
    return tuple(name for name in ESTIMATORS if name in chosen)


def evaluate_log(
    log: EpisodeLog,
    *,
    gamma: float = 1.0,
    confidence: float = CONFIDENCE,
    estimators: Collection[str] | None = None,
    window: int = 1,
    refit: int = 0,
    seed: int = 0,
) -> Evaluation:
    """Compute the estimates of a log, and recommend one, see `alsim.evaluation.ope.evaluate`."""
    names, steps = checked_estimators(estimators), log.steps
    own = _mean_return(steps, gamma, confidence)
    diagnosis = diagnose(steps.behaviour, steps.target, steps.lengths, learners=steps.units, moments=log.moments)
    diagnosis = diagnosis._replace(unsupported_share=max(diagnosis.unsupported_share, log.unsupported))
    calls = _calls(log, names, gamma, confidence, read_window(window), read_refit(refit, confidence), seed)
    found, undefined = dict[str, Estimate](), dict[str, list[str]]()
    for name in names:
        if name not in calls:
            continue
        try:
            found[name] = _without_empty_interval(calls[name]())
        except AlsimError as error:
            undefined.setdefault(str(error), []).append(name)
    chosen = recommendation(diagnosis, found, has_memory=log.has_memory)
    return Evaluation(
        target=log.target,
        behaviour=log.behaviour,
        episodes=len(steps.lengths),
        transitions=log.transitions,
        behaviour_value=own,
        estimators=found,
        recommended=chosen,
        diagnostics=diagnosis,
        warnings=(
            *about(diagnosis, chosen, has_memory=log.has_memory),
            *about_estimates(found, undefined),
            *log.warnings,
        ),
    )


def _without_empty_interval(found: Estimate) -> Estimate:
    """Return an estimate, without its interval if no episode carries it: its standard error then says nothing."""
    return replace(found, ci=None) if found.family == "importance" and found.ess == 0 else found


def _mean_return(steps: Steps, gamma: float, confidence: float) -> Estimate:
    """Return the mean return of a log."""
    same = steps.behaviour, steps.behaviour
    return tis(steps.rewards, *same, steps.lengths, gamma, learners=steps.units, confidence=confidence)


def read_window(window: Any) -> int:
    """Return a number of actions, at least 1. Raises AlsimError for others."""
    return read_count(window, "window", 1, 2**31 - 1, "pass the number of actions that weights remember")


def read_refit(refit: Any, confidence: float) -> int:
    """Return a number of refits: 0, or enough for quantiles. Raises AlsimError for others."""
    return 0 if isinstance(refit, int) and refit == 0 else read_draws(refit, confidence, "refit")


def _calls(
    log: EpisodeLog, names: Collection[str], gamma: float, confidence: float, window: int, refit: int, seed: int
) -> dict[str, Callable[[], Estimate]]:
    """Return the estimators that a log has the arrays for: functions without arguments, by name.

    names  estimators that will be called
    """
    rewards, behaviour, target, lengths, units = log.steps
    steps = rewards, behaviour, target, lengths
    options: dict[str, Any] = {"gamma": gamma, "confidence": confidence, "learners": units}
    weighted: dict[str, Callable[..., Estimate]] = {
        "tis": tis,
        "pdis": pdis,
        "snpdis": snpdis,
        "window": partial(windowed, steps=window),
    }
    calls: dict[str, Callable[[], Estimate]] = {
        name: partial(estimator, *steps, **options) for name, estimator in weighted.items()
    }
    pooled, features = log.pooled(), log.features()
    if pooled is not None:
        weights = pooled.behaviour, pooled.target, lengths
        calls["mis"] = partial(mis, rewards, *weights, clusters=pooled.clusters, **options)
    if {"dr", "wdr"} & {*names} and (values := log.values(gamma)) is not None:
        calls |= {name: partial(f, *steps, q=values.q, v=values.v, **options) for name, f in (("dr", dr), ("wdr", wdr))}
    if features is not None:
        fit = partial(bootstrap, fqe, draws=refit, seed=seed) if refit else fqe
        calls["fqe"] = partial(fit, rewards, *features, lengths, **options)
    return calls


__all__ = ["ESTIMATORS", "Evaluation", "checked_estimators", "evaluate_log", "read_window"]
