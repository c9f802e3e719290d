"""Checked arguments of the analysis of an A/B test: metrics, guardrails and expected shares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from alsim.errors import AlsimError, InputTypeError, did_you_mean
from alsim.evaluation.experiments.data import ExperimentData
from alsim.evaluation.experiments.student_metrics import StudentMetric, split_metric
from alsim.evaluation.statistics_input import read_number


def read_metrics(data: ExperimentData, metrics: Iterable[str | StudentMetric]) -> list[StudentMetric]:
    """Return different metrics, at least one. Raises AlsimError for others, and for those that were not read."""
    if isinstance(metrics, str):
        raise InputTypeError(f"metrics must be a list of names; got {metrics!r:.60}: pass [{metrics!r:.60}]")
    named = [split_metric(one) if isinstance(one, str) else one for one in metrics]
    if not named:
        raise AlsimError("metrics must name at least one metric; got none: name a column")
    _check_values(data, named)
    return list(dict.fromkeys(named))


def read_guardrails(data: ExperimentData, rails: Mapping[str, float] | None) -> list[tuple[StudentMetric, float]]:
    """Return guardrails with their tolerated changes. Raises AlsimError for others."""
    if rails is None:
        return []
    if not isinstance(rails, Mapping):
        raise InputTypeError(f"guardrails must be {{name: change}}; got {rails!r:.60}: pass {{'give_up_rate': 0.02}}")
    found = []
    for name, margin in rails.items():
        change = read_number(margin, f"the tolerated change of the guardrail {name}", "use a small number")
        if change == 0:
            raise AlsimError(
                f"the tolerated change of the guardrail {name} must be a number other than 0, whose sign tells the "
                "direction; got 0: use a small number"
            )
        found.append((split_metric(name), change))
    _check_values(data, [metric for metric, _ in found])
    return found


def read_shares(data: ExperimentData, shares: Mapping[str, float] | None) -> tuple[float, ...]:
    """Return the expected share of each arm. Raises AlsimError for others."""
    if shares is None:
        return data.shares or (1 / len(data.names),) * len(data.names)
    if not isinstance(shares, Mapping):
        raise InputTypeError(f"shares must be {{arm: share}}; got {shares!r:.60}: pass the share of each arm by name")
    for name in shares:
        if name not in data.names:
            raise AlsimError(
                f"{data.source}: the arm {name!r:.60} of the shares has no students{did_you_mean(name, data.names)}; "
                f"the arms are {', '.join(data.names)}"
            )
    if missing := [name for name in data.names if name not in shares]:
        raise AlsimError(f"{data.source}: the arm {missing[0]!r:.60} has no expected share; pass those of all arms")
    cure = "pass the planned share, such as 0.5"
    found = [read_number(shares[name], f"the share of the arm {name!r:.60}", cure) for name in data.names]
    for name, share in zip(data.names, found, strict=True):
        if share <= 0:
            raise AlsimError(f"the share of the arm {name!r:.60} must be positive; got {share:g}: {cure}")
    return tuple(share / sum(found) for share in found)


def _check_values(data: ExperimentData, metrics: Iterable[StudentMetric]) -> None:
    """Raise AlsimError for a metric whose values were not read."""
    for name in (column for metric in metrics for column in metric.columns):
        if name not in data.values:
            raise AlsimError(
                f"{data.source}: the values of {name!r:.60} were not read{did_you_mean(name, data.values)}; name all "
                "metrics and guardrails in read_experiment"
            )


__all__ = ["read_guardrails", "read_metrics", "read_shares"]
