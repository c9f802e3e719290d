"""Results of a rehearsal: power, false alarms, time to a decision, and the effects that were found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from alsim.evaluation.estimates import Statistic, estimate
from alsim.evaluation.experiments.plan import ExperimentPlan
from alsim.evaluation.experiments.rehearsal_tests import Final, Found
from alsim.evaluation.experiments.shares import sample_ratio_mismatch
from alsim.evaluation.statistics import wilson
from alsim.types import Bools, Doubles, Longs, short_repr
from alsim.utils.optional import require

MISMATCH = 0.001
"""p-value below which the sizes of the arms count as a mismatch."""


@short_repr
@dataclass(frozen=True)
class Rehearsal:
    """Findings of the analysis of a planned experiment in R repetitions with simulated students."""

    plan: ExperimentPlan
    ends: Longs
    """Number of students at each look, (L,)."""
    found: Found
    censored: dict[str, float]
    """Share of the control's students for whom a metric of mastery is censored."""
    mismatches: Bools
    """Whether the sizes of the arms do not agree with the expected shares, (R,)."""

    @property
    def power(self) -> Statistic:
        """Share of the repetitions in which the effect of the first treatment on the primary metric is found."""
        return _share(self.found.detected[0] < len(self.ends))

    @property
    def false_alarms(self) -> Statistic:
        """Share of the repetitions in which an effect is found where all students have the control."""
        return _share(self.found.false_alarm < len(self.ends))

    @property
    def false_alarms_naive(self) -> Statistic:
        """The same for a reader who uses a fixed-horizon test at each look."""
        return _share(self.found.naive_alarm < len(self.ends))

    @property
    def false_alarms_unclustered(self) -> Statistic:
        """The same for the planned looks, with errors that ignore classes."""
        return _share(self.found.unclustered_alarm < len(self.ends))

    @property
    def decision_time(self) -> float | None:
        """Median number of students at which the effect is found; None if it is found in less than half."""
        if self.plan.method == "fixed":
            return float(self.ends[-1])
        students = np.append(self.ends.astype(np.float64), np.inf)[self.found.detected[0]]
        median = float(np.quantile(students, 0.5, method="higher"))
        return median if np.isfinite(median) else None

    @property
    def primary(self) -> Final:
        """Effects on the primary metric at the planned end."""
        return self.found.final[self.plan.tested[0].name]

    @property
    def minimum_effect(self) -> float | None:
        """Smallest effect on the primary metric that is found with the power of the plan; None without intervals."""
        special, final = require("scipy.special", "evaluation", "a rehearsal"), self.primary
        half = float(np.nanmedian((final.high[0] - final.low[0]) / 2))
        found = half + float(special.ndtri(self.plan.power)) * float(np.nanmedian(final.se[0]))
        return found if np.isfinite(found) else None

    @property
    def lift(self) -> float | None:
        """Mean of the lifts of the first treatment on the primary metric; None if a control mean is 0."""
        found = self.primary.lift[0][~np.isnan(self.primary.effect[0])]
        return float(found.mean()) if np.isfinite(found).all() else None

    @property
    def effect(self) -> Statistic:
        """True effect of the first treatment on the primary metric: its mean over the repetitions."""
        return estimate(self.primary.effect[0])

    @property
    def coverage(self) -> Statistic:
        """Share of the final intervals that contain this effect, where both arms have at least two units."""
        final, truth = self.primary, self.effect.mean
        covered = (final.low[0] <= truth) & (truth <= final.high[0])
        return _share(covered[~np.isnan(final.effect[0])])

    def curves(self) -> dict[str, list[float]]:
        """Return the shares of the repetitions in which an effect was found by each look: the true one, and false ones.

        The false ones are those of the plan, and of a reader who uses a fixed-horizon test at each look.
        """
        found = {"power": self.found.detected[0], "false_alarms": self.found.false_alarm}
        found["false_alarms_naive"] = self.found.naive_alarm
        return {name: _by_look(looks, len(self.ends)) for name, looks in found.items()}

    def guardrails(self) -> dict[str, dict[str, Any]]:
        """Return for each guardrail the tolerated change, the true one, and how often it is found broken or kept."""
        report = {}
        for metric, margin in self.plan.guarded.items():
            final = self.found.final[metric.name]
            low, high = (final.low[0], final.high[0]) if margin > 0 else (-final.high[0], -final.low[0])
            report[metric.name] = {
                "tolerated": margin,
                "change": float(np.nanmean(final.effect[0])),
                "found_broken": float((low > abs(margin)).mean()),
                "found_kept": float((high <= abs(margin)).mean()),
            }
        return report

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers as JSON values."""
        plan, shares = self.plan, {name: getattr(self, name) for name in self._shares()}
        effect = self.effect
        return {
            "experiment": plan.name,
            "arms": {name: {"policy": arm.policy, "share": arm.share} for name, arm in plan.arms.items()},
            "students": plan.students,
            "repetitions": plan.repetitions,
            "unit": plan.unit,
            "method": plan.method,
            "looks": self.ends.tolist(),
            "confidence": plan.confidence,
            "metric": plan.tested[0].name,
            "control": float(np.nanmean(self.primary.control[0])),
            "effect": effect.mean,
            "lift": self.lift,
            **{name: found.mean for name, found in shares.items()},
            "curves": self.curves(),
            "decision_time": self.decision_time,
            "minimum_effect": self.minimum_effect,
            "intervals": {**{name: [*found.ci] for name, found in shares.items()}, "effect": [*effect.ci]},
            "power_by_metric": {
                name: dict(zip([*plan.arms][1:], found.mean(axis=1).tolist(), strict=True))
                for name, found in self.found.detected_at_end.items()
            },
            "guardrails": self.guardrails(),
            "sample_ratio_mismatches": float(self.mismatches.mean()),
            "censored": self.censored,
        }

    def _shares(self) -> tuple[str, ...]:
        """Return the names of the shares of repetitions."""
        names = ("power", "false_alarms", "false_alarms_naive", "coverage")
        return (*names, "false_alarms_unclustered") if self.plan.unit == "class" else names


def report_of(plan: ExperimentPlan, ends: Longs, found: Found, censored: dict[str, float]) -> Rehearsal:
    """Return the results of all repetitions."""
    shares = [arm.share for arm in plan.arms.values()]
    sizes, place = np.unique(found.sizes, axis=0, return_inverse=True)
    mismatch: Doubles = np.array([sample_ratio_mismatch(row, shares) for row in sizes])[place.reshape(-1)]
    return Rehearsal(plan, ends, found, censored, mismatch < MISMATCH)


def _by_look(looks: Longs, count: int) -> list[float]:
    """Return the share of R events that happened by each of `count` looks, given the look of each event, (R,)."""
    return [float(share) for share in np.cumsum(np.bincount(looks, minlength=count + 1))[:count] / len(looks)]


def _share(flags: Bools) -> Statistic:
    """Return the share of repetitions, with Wilson's interval."""
    return wilson(int(flags.sum()), len(flags))


__all__ = ["MISMATCH", "Rehearsal", "report_of"]
