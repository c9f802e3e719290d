"""Analysis of an A/B test: effects on all metrics, guardrails, and the sizes of the arms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from alsim.errors import AlsimError
from alsim.evaluation.estimates import CONFIDENCE
from alsim.evaluation.experiments.adjustment import cuped
from alsim.evaluation.experiments.analysis_input import read_guardrails, read_metrics, read_shares
from alsim.evaluation.experiments.asymptotic import AnytimeTest, anytime_test
from alsim.evaluation.experiments.data import ExperimentData, check_sizes
from alsim.evaluation.experiments.means import compare_means, relative_lift
from alsim.evaluation.experiments.mixture import TUNED_FOR
from alsim.evaluation.experiments.ratios import linearized
from alsim.evaluation.experiments.results import MeanDifference, RelativeLift
from alsim.evaluation.experiments.shares import sample_ratio_mismatch
from alsim.evaluation.experiments.student_metrics import StudentMetric
from alsim.evaluation.statistics import holm
from alsim.evaluation.statistics_input import read_confidence, read_count
from alsim.types import Doubles, Longs, short_repr

LOOKS = 20
"""Numbers of students at which a confidence sequence is reported."""


@short_repr
class Sequence(NamedTuple):
    """Confidence sequence of a difference, at some numbers of students of all arms."""

    students: Longs
    """(L,)."""
    low: Doubles
    """Lower limits, (L,); -inf where nothing is excluded yet."""
    high: Doubles
    """Upper limits, (L,)."""
    p: float
    """Anytime-valid p-value at the end."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields but p as JSON values; an infinite limit is None."""
        limits = {name: _finite(getattr(self, name).tolist()) for name in ("low", "high")}
        return {"students": self.students.tolist(), **limits}


@short_repr
class Comparison(NamedTuple):
    """One treatment compared with the control by one metric."""

    metric: str
    arm: str
    difference: MeanDifference
    """Estimate with the fixed-horizon test, which holds at the planned end only; `limits` and `p` always hold."""
    lift: RelativeLift | None
    """None if the control mean is 0. Its interval and p-value are anytime-valid if there is a sequence."""
    sequence: Sequence | None
    """None for a fixed-horizon test."""
    p_adjusted: float
    """p-value by Holm's correction for all metrics and treatments; that of the sequence, if there is one."""
    variance_reduction: float | None
    """Factor by which the covariate saves students; infinite (None in JSON) if it predicts all; None without one."""

    @property
    def p(self) -> float:
        """p-value without correction."""
        return self.difference.p if self.sequence is None else self.sequence.p

    @property
    def limits(self) -> tuple[float, float]:
        """Interval of the difference at the end."""
        if self.sequence is None:
            return self.difference.ci
        return float(self.sequence.low[-1]), float(self.sequence.high[-1])

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as JSON values: `ci` for a fixed-horizon test, `sequence` otherwise."""
        found, lift = self.difference, self.lift
        interval = {"ci": [*found.ci]} if self.sequence is None else {"sequence": self.sequence.to_dict()}
        return {
            "arm": self.arm,
            "control": found.control.to_dict(),
            "treatment": found.treatment.to_dict(),
            "difference": found.difference,
            "se": found.se,
            **interval,
            "lift": None if lift is None else lift.lift,
            "lift_ci": None if lift is None else _finite(lift.ci),
            "p": self.p,
            "p_adjusted": self.p_adjusted,
            "variance_reduction": None if self.variance_reduction is None else _finite([self.variance_reduction])[0],
        }


@short_repr
class Guardrail(NamedTuple):
    """Guardrail of one treatment: a change that is tolerated."""

    metric: str
    arm: str
    tolerated: float
    """Largest rise that is tolerated if positive, and largest fall if negative."""
    change: float
    """Treatment - control."""
    limits: tuple[float, float]
    """Interval of the change."""

    @property
    def state(self) -> str:
        """Decision: "kept" or "broken" if that holds in all of the interval, or else "undecided"."""
        sign = 1.0 if self.tolerated > 0 else -1.0
        ends = sorted(sign * end for end in self.limits)
        if ends[1] <= abs(self.tolerated):
            return "kept"
        return "broken" if ends[0] > abs(self.tolerated) else "undecided"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields and the state as JSON values."""
        return {"arm": self.arm, "tolerated": self.tolerated, "change": self.change, "state": self.state} | {
            "ci": _finite(self.limits)
        }


@short_repr
class AbTest(NamedTuple):
    """Results of an A/B test."""

    data: ExperimentData
    shares: tuple[float, ...]
    """Expected share of each arm."""
    srm_p: float
    """p-value of the sizes of the arms in students, or in classes if those were assigned: `sample_ratio_mismatch`."""
    comparisons: tuple[Comparison, ...]
    guardrails: tuple[Guardrail, ...]
    method: str
    confidence: float

    def to_dict(self) -> dict[str, Any]:
        """Return all results as JSON values: by metric, the first treatment, and `other_arms` if there are several."""
        metrics: dict[str, Any] = {}
        for one in self.comparisons:
            if one.metric not in metrics:
                metrics[one.metric] = one.to_dict()
            else:
                metrics[one.metric].setdefault("other_arms", {})[one.arm] = one.to_dict()
        guardrails: dict[str, list[dict[str, Any]]] = {}
        for rail in self.guardrails:
            guardrails.setdefault(rail.metric, []).append(rail.to_dict())
        names, sizes = self.data.names, self.data.sizes.tolist()
        return {
            "source": self.data.source,
            "arms": {n: {"students": s, "share": e} for n, s, e in zip(names, sizes, self.shares, strict=True)},
            "control": names[0],
            "unit": "student" if self.data.clusters is None else "class",
            "method": self.method,
            "confidence": self.confidence,
            "srm_p": self.srm_p,
            "metrics": metrics,
            "guardrails": guardrails,
        }


def analyse(
    data: ExperimentData,
    metrics: Iterable[str | StudentMetric],
    *,
    guardrails: Mapping[str, float] | None = None,
    shares: Mapping[str, float] | None = None,
    sequential: bool = False,
    planned: int | None = None,
    confidence: float = CONFIDENCE,
) -> AbTest:
    """Analyse an A/B test: differences and lifts of all metrics, guardrails, and the sizes of the arms.

    data        students of the experiment, see `read_experiment`
    metrics     names of values, or ratios of two such as "correct/answers"; Holm's method corrects for their number,
                and for that of the treatments
    guardrails  tolerated change of other metrics: a rise if it is positive, a fall if it is negative
    shares      expected share of each arm, of students, or of classes if no class is in several arms; None: those of
                the engine's experiment or of the datasets, or else equal shares
    sequential  whether to use confidence sequences, which hold at any number of looks; a fixed-horizon test has one
    planned     number of students of the plan: a fixed-horizon test with fewer is refused, and the sequences are tuned
                for it. None: any number, and 1,000
    confidence  level of the intervals, in (0, 1)

    Returns an AbTest. Raises AlsimError for an arm with fewer than two students or classes, for invalid arguments, and
    for a fixed-horizon test before the planned end.
    """
    level, n = read_confidence(confidence), len(data.arms)
    check_sizes(data)
    if planned is not None:
        planned = read_count(planned, "planned", 1, 2**53, "pass the planned number of students")
    if planned is not None and not sequential and n < planned:
        raise AlsimError(
            f"{data.source} has {n:,} of {planned:,} planned students: a look before the planned end makes the "
            "false alarms of a fixed-horizon test more frequent; wait, or use confidence sequences (--sequential)"
        )
    expected = read_shares(data, shares)
    chosen, rails = read_metrics(data, metrics), read_guardrails(data, guardrails)
    treatments = range(1, len(data.names))
    tuned = planned or TUNED_FOR  # chosen before the data are seen
    found = [_compared(data, m, arm, sequential, tuned, level) for m in chosen for arm in treatments]
    adjusted = holm([one.p for one in found])
    guarded = [_guarded(data, m, arm, margin, sequential, tuned, level) for m, margin in rails for arm in treatments]
    return AbTest(
        data=data,
        shares=expected,
        srm_p=sample_ratio_mismatch(data.unit_sizes if data.are_classes_assigned else data.sizes, expected),
        comparisons=tuple(one._replace(p_adjusted=float(p)) for one, p in zip(found, adjusted, strict=True)),
        guardrails=tuple(guarded),
        method="sequential" if sequential else "fixed",
        confidence=level,
    )


def _finite(ends: Iterable[float]) -> list[float | None]:
    """Return numbers as JSON values: None for infinite ones."""
    return [end if np.isfinite(end) else None for end in ends]


def _compared(
    data: ExperimentData, metric: StudentMetric, arm: int, sequential: bool, tuned: float, level: float
) -> Comparison:
    """Return the comparison of a treatment with the control, with the p-value before correction."""
    difference, lift, reduction = fixed_horizon(data, metric, arm, level)
    sequence = _sequence(data, metric, arm, tuned, level) if sequential else None
    p = difference.p if sequence is None else sequence.p
    if sequence is not None and lift is not None:
        test = _anytime(data, arm, lift, tuned, level)
        lift = replace(lift, ci=(float(test.lower), float(test.upper)), p=float(test.p))
    return Comparison(metric.name, data.names[arm], difference, lift, sequence, p, reduction)


def fixed_horizon(
    data: ExperimentData, metric: StudentMetric, arm: int, confidence: float
) -> tuple[MeanDifference, RelativeLift | None, float | None]:
    """Return the fixed-horizon tests: difference, lift, and the factor by which a covariate saves students."""
    masks = data.arms == 0, data.arms == arm
    values = [column(data, metric, number) for number in (0, arm)]
    design: dict[str, Any] = {"confidence": confidence}
    if data.clusters is not None:
        design["clusters"] = tuple(data.clusters[mask] for mask in masks)
    if data.strata is not None:
        design["strata"] = tuple(data.strata[mask] for mask in masks)
    if data.covariate is not None:
        found = cuped(values[0], values[1], *(data.covariate[mask] for mask in masks), **design)
        return found.difference, found.lift, found.variance_reduction
    difference = compare_means(values[0], values[1], **design)
    has_base = difference.control.mean != 0
    return difference, relative_lift(values[0], values[1], **design) if has_base else None, None


def column(data: ExperimentData, metric: StudentMetric, arm: int) -> Doubles:
    """Return the values of a metric in an arm, (n,): for a ratio, those whose mean is the ratio (delta method).

    Raises AlsimError for a ratio whose denominator is negative, or 0 for all students of the arm.
    """
    mask = data.arms == arm
    numerator: Doubles = data.values[metric.numerator][mask]
    if metric.denominator is None:
        return numerator
    denominator = data.values[metric.denominator][mask]
    if (wrong := denominator < 0).any():
        raise AlsimError(
            f"{data.source}: {metric.denominator} must be at least 0, since {metric.name} is divided by its sum; got "
            f"{denominator[wrong][0]:g}: use counts or times"
        )
    if not denominator.any():
        raise AlsimError(
            f"{data.source}: {metric.name} is undefined in the arm {data.names[arm]!r:.60}, where {metric.denominator} "
            "is 0 for all students: test another metric"
        )
    return linearized(numerator, denominator)


def _sequence(data: ExperimentData, metric: StudentMetric, arm: int, tuned: float, level: float) -> Sequence:
    """Return the confidence sequence of a difference, at some numbers of students and at the end."""
    n = len(data.arms)
    ends = np.unique(np.round(np.arange(1, LOOKS + 1) * n / LOOKS).astype(np.int64))
    found = [_at(data, metric, arm, int(end), tuned, level) for end in ends]
    low, high = (np.array([getattr(one, name) for one in found], np.float64) for name in ("lower", "upper"))
    return Sequence(ends, low, high, float(found[-1].p))


def _at(data: ExperimentData, metric: StudentMetric, arm: int, end: int, tuned: float, level: float) -> AnytimeTest:
    """Return the anytime-valid test of the first students; it excludes nothing where a test is impossible."""
    part = data.taken(np.arange(end))
    try:
        difference = fixed_horizon(part, metric, arm, level)[0]
    except AlsimError:
        if end == len(data.arms):
            raise
        return AnytimeTest(*map(np.asarray, (0.0, np.inf, -np.inf, np.inf, 1.0)))
    return _anytime(part, arm, difference, tuned, level)


def _anytime(
    data: ExperimentData, arm: int, effect: MeanDifference | RelativeLift, tuned: float, level: float
) -> AnytimeTest:
    """Return the anytime-valid test of an effect on the units of the control and of a treatment.

    tuned  number of students of all arms for which the test is tuned
    """
    both = (data.arms == 0) | (data.arms == arm)
    units = both.sum() if data.clusters is None else len(np.unique(data.clusters[both]))
    value = effect.difference if isinstance(effect, MeanDifference) else effect.lift
    per_student = units / len(data.arms)
    size = max(tuned * per_student, 2.0)
    return anytime_test(value, effect.se**2, float(units), tuned_for=size, confidence=level)


def _guarded(
    data: ExperimentData,
    metric: StudentMetric,
    arm: int,
    margin: float,
    sequential: bool,
    tuned: float,
    level: float,
) -> Guardrail:
    """Return the guardrail of a treatment."""
    found = _compared(data, metric, arm, sequential, tuned, level)
    return Guardrail(metric.name, data.names[arm], margin, found.difference.difference, found.limits)


__all__ = ["AbTest", "Comparison", "Guardrail", "Sequence", "analyse", "fixed_horizon"]
