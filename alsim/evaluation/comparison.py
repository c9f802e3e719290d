"""Comparison of policies: every policy meets the same held-out learners with the same random numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from alsim.bank.items import Bank
from alsim.config import Config
from alsim.errors import AlsimError
from alsim.evaluation.defaults import COMPARE_LEARNERS
from alsim.evaluation.estimates import (
    PairedDifference,
    Statistic,
    StatisticJSON,
    defined_only,
    or_none,
    paired,
    reduction,
    unit_means,
)
from alsim.evaluation.metrics import COMPARED, read_metric, statistic_of
from alsim.evaluation.outcomes import Course
from alsim.evaluation.setting import (
    PolicySources,
    Progress,
    Setting,
    other_policy,
    read_policies,
    read_setting,
    run_all,
)
from alsim.evaluation.statistics import holm
from alsim.types import FIRST_HELD_OUT, Bools, Doubles, Longs, safe_repr

INTERVALS = "95 %, Student's t over independent units; Wilson for shares of learners"
"""How the intervals of all reports are computed."""
LEVEL = 0.05
"""Probability of any false rejection among all pairs and metrics of a comparison."""
GROUPS = ("population",)
"""Kinds of groups of learners."""


@dataclass(frozen=True)
class Comparison:
    """Results of policies with the same N held-out learners, one episode each."""

    setting: Setting
    values: Mapping[str, Mapping[str, Doubles]]
    """Values of each metric for each learner, (N,), by label of the policy and name of the metric; NaN is undefined."""
    courses: Mapping[str, Course]
    """Course of the episodes over the steps, by label."""
    pairs: Sequence[tuple[str, str]]
    """Labels of the compared pairs."""
    by: str | None = None
    """Kind of groups that are reported, too: "population", or None."""

    @safe_repr
    def __repr__(self) -> str:
        """Return the policies and the number of learners."""
        return f"<Comparison of {', '.join(self.values)} with {self.setting.learners:,} learners>"

    @property
    def policies(self) -> list[str]:
        """Labels of the policies."""
        return list(self.values)

    @property
    def learner_id(self) -> Longs:
        """Index of each learner, (N,), as in the values."""
        return self.setting.learner_id

    @property
    def groups(self) -> dict[str, Bools]:
        """Learners of each group that has any, (N,) true for those of the group, by its name."""
        if self.by is None:
            return {}
        rows = self.setting.config.population_rows_of(self.setting.seed, self.learner_id)
        names = self.setting.config.population_names
        return {names[row]: rows == row for row in np.unique(rows).tolist()}

    def statistic(self, policy: str, metric: str, learners: Bools | None = None) -> Statistic:
        """Return the mean of a metric of a policy, with its interval.

        learners  (N,) true for the learners to include; None: all
        """
        values, units = self._selected(self._values(policy, metric), learners)
        return statistic_of(metric, values, units)

    def effects(self, a: str, b: str, metric: str) -> Doubles:
        """Return the effect on each learner of policy a instead of b, (N,): the difference of a metric.

        Both episodes of a learner are twins: the same learner with the same random numbers (clause S11.2).
        """
        return self._values(a, metric) - self._values(b, metric)

    def difference(self, a: str, b: str, metric: str, learners: Bools | None = None) -> PairedDifference:
        """Return the mean of the paired differences a - b of a metric, with interval and p-value.

        learners  (N,) true for the learners to include; None: all
        """
        return paired(*self._selected(self.effects(a, b, metric), learners))

    def variance_reduction(self, a: str, b: str, metric: str, learners: Bools | None = None) -> float | None:
        """Return how many times more learners independent runs would need for the same standard error.

            (Var(a) + Var(b)) / Var(a - b), over units with both values

        None if the difference does not vary, or with fewer than two units.
        """
        one, units = self._selected(self._values(a, metric), learners)
        other, _ = self._selected(self._values(b, metric), learners)
        return or_none(reduction(one, other, units))

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values, see the page "Comparing policies" of the documentation."""
        groups = {name: self._report(own) for name, own in self.groups.items()}
        everybody = self._report(None)
        adjust(everybody["pairs"])
        adjust([pair for group in groups.values() for pair in group["pairs"]])
        return {
            "learners": self.setting.learners,
            "seed": self.setting.seed,
            "first_learner": self.setting.first_learner,
            "independent_unit": self.setting.unit,
            **everybody,
            "groups": groups,
            "method": {
                "ci": INTERVALS,
                "correction": "Holm, over all pairs and metrics; another family over those of all groups",
                "familywise": LEVEL,
            },
        }

    def _report(self, learners: Bools | None) -> dict[str, Any]:
        """Return the statistics of the policies, and the pairs without adjusted p-values, of some learners."""
        statistics = {
            policy: {metric: to_json(self.statistic(policy, metric, learners)) for metric in COMPARED}
            for policy in self.policies
        }
        pairs = [self._pair(a, b, metric, learners) for a, b in self.pairs for metric in COMPARED]
        return {"policies": statistics, "pairs": pairs}

    def _pair(self, a: str, b: str, metric: str, learners: Bools | None) -> dict[str, Any]:
        """Return the entry of a pair in the report."""
        effects, units = self._selected(self.effects(a, b, metric), learners)
        found = paired(effects, units).to_dict()
        defined, kept = defined_only(effects, units)
        means = defined if kept is None else unit_means(defined, kept)
        return {
            "a": a,
            "b": b,
            "metric": metric,
            "difference": found["mean"],
            "se": found["se"],
            "ci": found["ci"],
            "p": found["p"],
            "p_adjusted": None,
            "variance_reduction": self.variance_reduction(a, b, metric, learners),
            "share_above": float((means > 0).mean()) if len(means) else None,
            "share_below": float((means < 0).mean()) if len(means) else None,
            "n": found["n"],
            "left_out": int(np.isnan(effects).sum()),
        }

    def _values(self, policy: str, metric: str) -> Doubles:
        """Return the values of a metric of a policy, (N,). Raises AlsimError for unknown names."""
        if policy not in self.values:
            raise AlsimError(f"policy must be one of {', '.join(map(repr, self.values))}; got {policy!r:.100}")
        return self.values[policy][read_metric(metric).name]

    def _selected(self, values: Doubles, learners: Bools | None) -> tuple[Doubles, Longs | None]:
        """Return the values and units of some learners."""
        units = self.setting.units
        if learners is None:
            return values, units
        return values[learners], None if units is None else units[learners]


def compare(
    policies: PolicySources,
    *,
    learners: int = COMPARE_LEARNERS,
    seed: int = 0,
    first_learner: int = FIRST_HELD_OUT,
    config: Config | Mapping[str, Any] | str | Path | None = None,
    bank: Bank | Mapping[str, Any] | str | Path | None = None,
    dynamics: Any = None,
    observation: str = "mastery",
    num_threads: int = 1,
    by: str | None = None,
    progress: Progress = lambda *_: None,
) -> Comparison:
    """Run policies with the same held-out learners and the same random numbers, one episode per learner.

    policies       list of at least two policies (names, directories of trained policies, or objects), or a mapping of
                   labels to policies
    learners       number of learners N
    seed           seed of the learners
    first_learner  index of the first learner, at least 2**31 (clause S11.4)
    config, bank, dynamics  see `alsim.rollout`
    observation    kind of observation, "mastery" or "responses", of policies that read any kind
    num_threads    number of threads; the results do not depend on it
    by             "population": also report the results by row of the population
    progress       called with the label of the running policy, and the number of finished episodes of all policies

    Returns a Comparison. Raises AlsimError for invalid arguments, and for invalid actions, propensities or rewards.
    """
    found, pairs = read_policies(policies)
    if not pairs:
        raise AlsimError(
            f"a comparison needs at least two policies; got {[*found]}; add another, such as {other_policy(found)!r}"
        )
    setting = read_setting(
        learners=learners,
        seed=seed,
        first_learner=first_learner,
        config=config,
        bank=bank,
        dynamics=dynamics,
        observation=observation,
        num_threads=num_threads,
    )
    _check_groups(by, setting)
    outcomes = run_all(setting, found, progress)
    return Comparison(
        setting=setting,
        values={label: one.values for label, one in outcomes.items()},
        courses={label: one.course for label, one in outcomes.items()},
        pairs=pairs,
        by=by,
    )


def _check_groups(by: str | None, setting: Setting) -> None:
    """Raise AlsimError unless the learners form the groups."""
    if by is None:
        return
    if by not in GROUPS:
        raise AlsimError(f"by must be {' or '.join(map(repr, GROUPS))}, or None; got {by!r:.100}")
    if len(setting.config.population_names) < 2:
        raise AlsimError(
            "by (population) needs a configuration with a population of several rows; got one kind of learner: leave "
            "by out, or add rows to the configuration"
        )


def to_json(found: Statistic) -> StatisticJSON:
    """Return a statistic as JSON, with the number of values that were left out."""
    return found.to_dict() | {"left_out": found.undefined}


def adjust(pairs: list[dict[str, Any]]) -> None:
    """Set the adjusted p-values of pairs, as one family; pairs without a p-value keep None."""
    tested = [pair for pair in pairs if pair["p"] is not None]
    if tested:
        for pair, adjusted in zip(tested, holm([pair["p"] for pair in tested]), strict=True):
            pair["p_adjusted"] = float(adjusted)


__all__ = ["GROUPS", "LEVEL", "Comparison", "adjust", "compare", "to_json"]
