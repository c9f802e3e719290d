"""Analysis of a batch of rehearsed experiments: tests at each look, of different arms and of equal ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from alsim.evaluation.experiments.arms import difference, lift
from alsim.evaluation.experiments.asymptotic import AnytimeTest, anytime_test
from alsim.evaluation.experiments.batched import Compared, Sample, compared
from alsim.evaluation.experiments.plan import ExperimentPlan
from alsim.evaluation.experiments.simulation import Students
from alsim.evaluation.experiments.student_metrics import StudentMetric
from alsim.evaluation.statistics import holm_steps
from alsim.types import Bools, Doubles, Longs


class Looks(NamedTuple):
    """Tests of one metric in R experiments at L looks: of K treatments against the control."""

    fixed_p: Doubles
    """p-value of the fixed-horizon test, (L, K, R)."""
    anytime_p: Doubles
    """Anytime-valid p-value, (L, K, R)."""


class Final(NamedTuple):
    """Effects of one metric at the planned end, arrays (K, R); NaN where an arm has fewer than two units."""

    effect: Doubles
    se: Doubles
    low: Doubles
    high: Doubles
    lift: Doubles
    control: Doubles
    """Mean of the control."""


class Found(NamedTuple):
    """Findings of the analysis of R experiments."""

    detected: Longs
    """Look at which the effect of each treatment on the primary metric is found, (K, R); L if it never is."""
    false_alarm: Longs
    """Look at which an effect on it is found where all arms are the control, (R,); L if none is."""
    naive_alarm: Longs
    """The same, for a fixed-horizon test at each look, (R,)."""
    unclustered_alarm: Longs
    """The same as `false_alarm`, with errors that ignore classes, (R,)."""
    final: dict[str, Final]
    """Effects by metric, and by guardrail."""
    detected_at_end: dict[str, Bools]
    """Whether the effect on each tested metric is found by the end, (K, R)."""
    sizes: Longs
    """Number of units in each arm, (R, K + 1)."""

    @classmethod
    def joined(cls, parts: list[Self]) -> Self:
        """Return the results of all batches."""
        first, flags = parts[0], ("detected", "false_alarm", "naive_alarm", "unclustered_alarm")
        columns: dict[str, Any] = {
            name: np.concatenate([getattr(part, name) for part in parts], axis=-1) for name in flags
        }
        columns["final"] = {
            name: Final(*map(_last_joined, zip(*(part.final[name] for part in parts), strict=True)))
            for name in first.final
        }
        columns["detected_at_end"] = {
            name: _last_joined([part.detected_at_end[name] for part in parts]) for name in first.detected_at_end
        }
        return cls(**columns, sizes=np.concatenate([part.sizes for part in parts]))


def _last_joined(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return arrays joined along their last axis."""
    return np.concatenate(arrays, axis=-1)


def look_ends(plan: ExperimentPlan, class_size: int) -> Longs:
    """Return the number of students at each look, (L,): equally spaced, and complete classes."""
    size = max(1, class_size)
    ends = np.round(np.arange(1, plan.looks + 1) * plan.students / plan.looks / size).astype(np.int64) * size
    return np.unique(ends[ends > 0])


def analysed(plan: ExperimentPlan, students: Students, ends: Longs) -> Found:
    """Return the findings of the planned analysis in a batch of experiments, and in the same ones without effect."""
    primary = plan.tested[0]
    tested = {metric: looks_of(plan, students.sample(metric, plan.covariate), ends) for metric in plan.tested}
    equal = {metric: looks_of(plan, students.without_effect(metric, plan.covariate), ends) for metric in plan.tested}
    ignoring = students.without_effect(primary, plan.covariate)._replace(clusters=None)
    unclustered = {**equal, primary: looks_of(plan, ignoring, ends)} if students.clusters is not None else equal
    found = {metric: first_look(plan, p) for metric, p in decisions(plan, tested).items()}
    return Found(
        detected=found[primary],
        false_alarm=first_look(plan, decisions(plan, equal)[primary]).min(axis=0),
        naive_alarm=first_look(plan, equal[primary].fixed_p).min(axis=0),
        unclustered_alarm=first_look(plan, decisions(plan, unclustered)[primary]).min(axis=0),
        final={
            metric.name: final_of(plan, students.sample(metric, plan.covariate if metric in tested else ""))
            for metric in dict.fromkeys((*plan.tested, *plan.guarded))
        },
        detected_at_end={metric.name: looks < len(ends) for metric, looks in found.items()},
        sizes=students.sizes(len(plan.arms)),
    )


def first_look(plan: ExperimentPlan, p: Doubles) -> Longs:
    """Return the first look at which p-values (L, K, R) are significant, (K, R); L if none is."""
    found = p < 1 - plan.confidence
    return np.where(found.any(axis=0), found.argmax(axis=0), len(found))


def decisions(plan: ExperimentPlan, tested: dict[StudentMetric, Looks]) -> dict[StudentMetric, Doubles]:
    """Return the p-values on which decisions are based, corrected for all metrics and arms, (L, K, R) each.

    Those of a fixed-horizon test are 1 before the last look.
    """
    p = np.stack([looks.anytime_p if plan.method == "sequential" else looks.fixed_p for looks in tested.values()])
    if plan.method == "fixed":
        p[:, :-1] = 1.0
    metrics, looks, arms, count = p.shape
    steps = holm_steps(p.transpose(1, 3, 0, 2).reshape(looks, count, metrics * arms))
    adjusted = steps.reshape(looks, count, metrics, arms).transpose(2, 0, 3, 1)
    return dict(zip(tested, adjusted, strict=True))


def looks_of(plan: ExperimentPlan, sample: Sample, ends: Longs) -> Looks:
    """Return the tests of a metric at all looks."""
    found = np.empty((2, len(ends), len(plan.arms) - 1, len(sample.arms)))
    for look, end in enumerate(ends.tolist()):
        for arm in range(1, len(plan.arms)):
            one = compared(sample.first(end), arm)
            p = difference(one.means, plan.confidence).p, anytime(plan, one, sample, arm).p
            found[:, look, arm - 1] = np.where(one.is_defined, p, 1.0)
    return Looks(*found)


def anytime(plan: ExperimentPlan, one: Compared, sample: Sample, arm: int) -> AnytimeTest:
    """Return the anytime-valid test of the difference of two arms, tuned for the planned end.

    sample  all students of the plan
    """
    shares = [plan.arms[name].share for name in (plan.control, [*plan.arms][arm])]
    students = sample.arms.shape[1]
    units = students if sample.clusters is None else len(np.unique(sample.clusters))
    square = one.means.control_variance + one.means.treatment_variance - 2 * one.means.covariance
    return anytime_test(
        one.means.treatment - one.means.control,
        np.maximum(square, 0.0),
        np.maximum(one.num_units, 1.0),
        tuned_for=units * (sum(shares) if plan.unit == "class" or sample.clusters is None else 1.0),
        confidence=plan.confidence,
    )


def final_of(plan: ExperimentPlan, sample: Sample) -> Final:
    """Return the effects on a metric at the planned end."""
    columns = []
    for arm in range(1, len(plan.arms)):
        one = compared(sample, arm)
        fixed = difference(one.means, plan.confidence)
        low, high = fixed.low, fixed.high
        if plan.method == "sequential":
            sequence = anytime(plan, one, sample, arm)
            low, high = sequence.lower, sequence.upper
        effects = (fixed.value, fixed.se, low, high, lift(one.means).value, one.means.control)
        columns.append(tuple(np.where(one.is_defined, column, np.nan) for column in effects))
    return Final(*(np.stack(column) for column in zip(*columns, strict=True)))


__all__ = ["Final", "Found", "analysed", "look_ends"]
