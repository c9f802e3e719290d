"""Certificates: errors of off-policy estimates on repeated logs of simulated learners, whose true values are known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from alsim.errors import AlsimError
from alsim.evaluation.estimates import Statistic
from alsim.evaluation.ope.certificate_runs import CertificatePlan, Found, Part, parts_of, truth_of
from alsim.evaluation.ope.certificate_statistics import Estimates, Ranking, Score, rank, score
from alsim.evaluation.ope.certificate_text import CHOSEN, certificate_text, verdict_of
from alsim.types import Doubles, safe_repr


@dataclass(frozen=True)
class Certificate:
    """Errors of the estimators for one behaviour policy and some targets, measured on R repeated logs."""

    behaviour: str
    """Name of the policy of the logs."""
    dynamics: str
    """Name of the dynamics of the learners."""
    truths: Mapping[str, Statistic]
    """True value of each target, by rollouts with held-out learners."""
    estimates: Mapping[str, Mapping[str, Estimates]]
    """Estimates from the logs by target and estimator, NaN where undefined."""
    recommended: Mapping[str, tuple[str | None, ...]]
    """Estimator that was recommended in each log, by target; None: no one."""
    predicted_ess: Mapping[str, Doubles]
    """Effective sample size that the diagnosis of each log predicts, (R,) episodes, by target."""
    families: Mapping[str, str]
    """Kind of each estimator."""
    num_learners: int
    """Learners of each log."""
    episodes_per_learner: int
    logs: int
    """Number of logs R."""
    seed: int
    """Seed of the first log; log k has seed + k."""
    gamma: float
    confidence: float
    """Nominal level of the intervals."""

    @safe_repr
    def __repr__(self) -> str:
        """Return the policies and the number of logs."""
        return f"<Certificate of {self.behaviour} -> {', '.join(self.targets)} with {self.logs:,} logs>"

    def __str__(self) -> str:
        """Return tables within 80 columns, and a verdict in one sentence."""
        return certificate_text(self.to_dict())

    @property
    def targets(self) -> list[str]:
        """Labels of the targets."""
        return list(self.truths)

    @property
    def verdict(self) -> str:
        """Errors of the recommended estimates, in one sentence for each target."""
        return verdict_of(self.to_dict())

    def score(self, target: str, estimator: str) -> Score:
        """Return the errors of an estimator for a target; "recommended" is the one that each log recommended."""
        truth = self.truths[self._known(target, self.truths, "target")]
        found = self.estimates[target]
        if estimator == CHOSEN:
            return score(self._chosen(target), truth.mean, truth.se)
        return score(found[self._known(estimator, found, "estimator")], truth.mean, truth.se)

    def ranking(self, estimator: str) -> Ranking | None:
        """Return how well an estimator ranks the targets; None for one target, or without a log with all estimates."""
        by_target = [self._chosen(t) if estimator == CHOSEN else self.estimates[t][estimator] for t in self.targets]
        truths = np.array([truth.mean for truth in self.truths.values()])
        return rank(np.array([found.value for found in by_target]), truths)

    def to_dict(self) -> dict[str, Any]:
        """Return the certificate as JSON values, see the page "Certificates" of the documentation."""
        names = [*self.families]
        rankings = {name: found for name in [*names, CHOSEN] if (found := self.ranking(name)) is not None}
        return {
            "behaviour": self.behaviour,
            "dynamics": self.dynamics,
            "learners": self.num_learners,
            "episodes_per_learner": self.episodes_per_learner,
            "logs": self.logs,
            "seed": self.seed,
            "gamma": self.gamma,
            "confidence": self.confidence,
            "targets": {target: self._target(target) for target in self.targets},
            "ranking": {name: found.to_dict() for name, found in rankings.items()},
        }

    def _target(self, target: str) -> dict[str, Any]:
        """Return the entry of a target in the report."""
        scores = {
            name: {**self.score(target, name).to_dict(), "family": family} for name, family in self.families.items()
        }
        chosen = [*self.recommended[target]]
        counts = {name: chosen.count(name) for name in self.families if name in chosen}
        return {
            "truth": self.truths[target].to_dict(),
            "predicted_ess": float(np.median(self.predicted_ess[target])),
            "estimators": scores,
            "recommended": {"counts": counts, "none": chosen.count(None), **self.score(target, CHOSEN).to_dict()},
        }

    def _chosen(self, target: str) -> Estimates:
        """Return the estimates of the estimator that each log recommended, NaN where there was none."""
        rows = [
            [np.nan] * 4 if name is None else [column[k] for column in self.estimates[target][name]]
            for k, name in enumerate(self.recommended[target])
        ]
        return Estimates(*np.array(rows, np.float64).reshape(-1, 4).T)

    @staticmethod
    def _known(name: str, names: Iterable[str], kind: str) -> str:
        """Return a name that is one of several. Raises AlsimError for others."""
        if name not in (known := [*names]):
            raise AlsimError(f"{kind} must be one of {', '.join(map(repr, known))}; got {name!r:.100}")
        return name


def certificate_of(plan: CertificatePlan, results: Mapping[Part, Any]) -> Certificate:
    """Return the certificate of the finished parts: all those of the true values, and at least one log."""
    parts = parts_of(plan)
    truths = {
        target: truth_of(plan, np.concatenate([results[part] for part in parts if part.target == target]))
        for target in plan.targets
    }
    logs: list[list[Found]] = [results[part] for part in parts if part.target is None and part in results]
    by_target = dict(zip(plan.targets, zip(*logs, strict=True), strict=True))
    families = {name: kind for found in logs for one in found for name, kind in one.families.items()}
    names = [name for name in plan.estimators if name in families]
    undefined = (np.nan,) * 4
    return Certificate(
        behaviour=str(plan.behaviour.name),
        dynamics=str(plan.config.to_dict()["dynamics"]["name"]),
        truths=truths,
        estimates={
            target: {
                name: Estimates(*np.array([one.estimates.get(name, undefined) for one in found]).T) for name in names
            }
            for target, found in by_target.items()
        },
        recommended={target: tuple(one.recommended for one in found) for target, found in by_target.items()},
        predicted_ess={target: np.array([one.predicted_ess for one in found]) for target, found in by_target.items()},
        families={name: families[name] for name in names},
        num_learners=plan.num_learners,
        episodes_per_learner=plan.episodes_per_learner,
        logs=len(logs),
        seed=plan.seed,
        gamma=plan.gamma,
        confidence=plan.confidence,
    )


__all__ = ["Certificate", "certificate_of"]
