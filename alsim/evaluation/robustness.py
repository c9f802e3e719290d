"""Robust evaluation: the same policies under several dynamics and populations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from alsim.arguments import read_rules
from alsim.bank.items import Bank
from alsim.config import Config
from alsim.errors import AlsimError, InputTypeError
from alsim.evaluation.comparison import INTERVALS, LEVEL, adjust, to_json
from alsim.evaluation.defaults import MATRIX_LEARNERS
from alsim.evaluation.estimates import Statistic, paired
from alsim.evaluation.metrics import COMPARED, read_metric, statistic_of
from alsim.evaluation.setting import (
    PolicySources,
    Progress,
    Setting,
    other_policy,
    read_policies,
    read_setting,
    run_all,
)
from alsim.types import FIRST_HELD_OUT, Doubles, safe_repr


@dataclass(frozen=True)
class Matrix:
    """Results of policies under several scenarios: dynamics or populations, each with N held-out learners."""

    metric: str
    settings: Mapping[str, Setting]
    """World by label: the name of a dynamics, or the label of a population."""
    values: Mapping[str, Mapping[str, Doubles]]
    """Values of the metric for each learner, (N,), by label of the scenario and of the policy."""

    @safe_repr
    def __repr__(self) -> str:
        """Return the policies, the scenarios and the metric."""
        return f"<Matrix of {', '.join(self.policies)} under {', '.join(self.scenarios)}: {self.metric}>"

    @property
    def policies(self) -> list[str]:
        """Labels of the policies."""
        return list(next(iter(self.values.values())))

    @property
    def scenarios(self) -> list[str]:
        """Labels of the dynamics and populations."""
        return list(self.values)

    @property
    def _sign(self) -> float:
        """1 if higher values of the metric are better, -1 if lower ones are."""
        return -1.0 if COMPARED[self.metric].better == "lower" else 1.0

    def statistic(self, policy: str, scenario: str) -> Statistic:
        """Return the mean of the metric, with its interval. Raises AlsimError if it is undefined for all learners."""
        values, units = self.values[scenario][policy], self.settings[scenario].units
        found = statistic_of(self.metric, values, units)
        if found.n == 0:
            raise AlsimError(
                f"the metric {self.metric} is undefined for all learners of the policy {policy!r} under {scenario!r}; "
                "choose another metric (--metric)"
            )
        return found

    def regret(self) -> dict[str, dict[str, float]]:
        """Return by policy and scenario how much worse its mean is than that of the best policy there."""
        means = {w: {p: self._sign * self.statistic(p, w).mean for p in self.policies} for w in self.scenarios}
        return {p: {w: max(means[w].values()) - means[w][p] for w in self.scenarios} for p in self.policies}

    def pairs(self) -> list[dict[str, Any]]:
        """Return the paired difference of each pair of policies in each scenario, with Holm's correction over all."""
        found = []
        for scenario, values in self.values.items():
            for a, b in combinations(self.policies, 2):
                difference = paired(values[a] - values[b], self.settings[scenario].units)
                own = to_json(difference) | {"p_adjusted": None}
                found.append({"a": a, "b": b, "dynamics": scenario, "difference": own.pop("mean"), **own})
        adjust(found)
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values, see the page "Robust evaluation" of the documentation."""
        regret, pairs = self.regret(), self.pairs()
        worst = {policy: max(own, key=lambda scenario: own[scenario]) for policy, own in regret.items()}
        cells = {p: {w: to_json(self.statistic(p, w)) for w in self.scenarios} for p in self.policies}
        setting = next(iter(self.settings.values()))
        return {
            "metric": self.metric,
            "unit": COMPARED[self.metric].unit or None,
            "better": COMPARED[self.metric].better,
            "learners": setting.learners,
            "seed": setting.seed,
            "first_learner": setting.first_learner,
            "policies": self.policies,
            "dynamics": self.scenarios,
            "cells": cells,
            "regret": regret,
            "worst_case": {
                policy: {
                    "dynamics": scenario,
                    "regret": regret[policy][scenario],
                    "mean": cells[policy][scenario]["mean"],
                }
                for policy, scenario in worst.items()
            },
            "choose": min(regret, key=lambda policy: max(regret[policy].values())),
            "pairs": pairs,
            "reversals": _reversals(pairs, self._sign),
            "method": {
                "ci": INTERVALS,
                "choose": "smallest largest regret over the dynamics",
                "correction": "Holm, over all pairs and dynamics",
                "familywise": LEVEL,
            },
        }


def _reversals(pairs: Sequence[Mapping[str, Any]], sign: float) -> list[dict[str, Any]]:
    """Return the pairs of policies whose order is reversed between two scenarios, both at the familywise level.

    Policy a is better in the scenario "in", and worse in "out". The adjusted p-value is the larger of both.
    """
    sure = [pair for pair in pairs if pair["p_adjusted"] is not None and pair["p_adjusted"] <= LEVEL]
    found = []
    for one, other in combinations(sure, 2):
        if (one["a"], one["b"]) == (other["a"], other["b"]) and one["difference"] * other["difference"] < 0:
            within, without = (one, other) if sign * one["difference"] > 0 else (other, one)
            p = max(one["p_adjusted"], other["p_adjusted"])
            scenarios = {"in": within["dynamics"], "out": without["dynamics"]}
            found.append({"a": one["a"], "b": one["b"], **scenarios, "p_adjusted": p})
    return found


def matrix(
    policies: PolicySources,
    dynamics: Sequence[Any] = (),
    *,
    populations: Mapping[str, Any] | None = None,
    metric: str = "learning",
    learners: int = MATRIX_LEARNERS,
    seed: int = 0,
    first_learner: int = FIRST_HELD_OUT,
    config: Config | Mapping[str, Any] | str | Path | None = None,
    bank: Bank | Mapping[str, Any] | str | Path | None = None,
    observation: str = "mastery",
    num_threads: int = 1,
    progress: Progress = lambda *_: None,
) -> Matrix:
    """Run policies under several dynamics and populations, with the same held-out learners in each.

    policies     list of policies, or a mapping of labels to policies, see `compare`
    dynamics     names of dynamics, each of which, with its default parameters, replaces that of the configuration
    populations  populations by label, each of which replaces that of the configuration: rows, or the path of a table
    metric       name of a metric of a comparison with better values, higher or lower
    learners     number of learners N in each scenario
    seed, first_learner, config, bank, observation, num_threads  see `compare`
    progress     called with the label of the running policy, and the number of finished episodes

    Returns a Matrix. Raises AlsimError for invalid arguments.
    """
    found, _ = read_policies(policies)
    if len(found) < 2:
        raise AlsimError(
            f"a matrix needs at least two different policies; got {[*found]}; add another, such as "
            f"{other_policy(found)!r}"
        )
    if read_metric(metric).better is None:
        raise AlsimError(
            f"metric must have better values, so that policies can be ranked; {metric} has none; choose one of "
            f"{', '.join(name for name, one in COMPARED.items() if one.better)}"
        )
    scenarios = {
        label: read_setting(
            learners=learners,
            seed=seed,
            first_learner=first_learner,
            config=rules,
            bank=bank,
            dynamics=None,
            observation=observation,
            num_threads=num_threads,
        )
        for label, rules in _scenarios(config, dynamics, populations or {}).items()
    }
    values = {}
    for number, (label, setting) in enumerate(scenarios.items()):
        before = number * setting.learners * len(found)
        outcomes = run_all(setting, found, _shifted(progress, label, before))
        values[label] = {policy: one.values[metric] for policy, one in outcomes.items()}
    return Matrix(metric, scenarios, values)


def _shifted(progress: Progress, scenario: str, before: int) -> Progress:
    """Return a function that reports the progress in a scenario, given the number of episodes in earlier ones."""
    return lambda label, done: progress(f"{scenario}, {label}", before + done)


def _scenarios(config: Any, dynamics: Sequence[Any], populations: Mapping[str, Any]) -> dict[str, Config]:
    """Return the configuration of each scenario by label. Raises AlsimError."""
    if isinstance(dynamics, str) or not isinstance(dynamics, Sequence):
        raise InputTypeError(f"dynamics must be a list of names; got {dynamics!r:.100}; write ['standard', 'bkt']")
    base = Config.read(config)
    scenarios = {}
    for name in dynamics:
        if not isinstance(name, str):
            raise InputTypeError(f"dynamics must be names; got {name!r:.100}; write ['standard', 'bkt']")
        if name in scenarios:
            raise AlsimError(f"the dynamics {name!r} is listed twice; list each once")
        scenarios[name], _ = read_rules(base, None, name)
    for label, rows in populations.items():
        if label in scenarios:
            raise AlsimError(f"two columns have the label {label!r}; give the population another label")
        scenarios[label] = Config.read(base, population=rows)
    if not scenarios:
        raise AlsimError("a matrix needs at least one dynamics or population; got none; write --dynamics standard bkt")
    return scenarios


__all__ = ["Matrix", "matrix"]
