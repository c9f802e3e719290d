"""Experiments with students: tests of A/B experiments, and their rehearsal on simulated learners."""

from typing import TYPE_CHECKING

from alsim.utils.lazy import attach

if TYPE_CHECKING:
    from alsim.evaluation.experiments.abtest import AbTest, Comparison, Guardrail, Sequence, analyse
    from alsim.evaluation.experiments.adjustment import AdjustedComparison, cuped
    from alsim.evaluation.experiments.anytime_shares import bernoulli_interval
    from alsim.evaluation.experiments.asymptotic import AnytimeTest, anytime_test, asymptotic_difference
    from alsim.evaluation.experiments.bounded import bounded_difference, planned_interval
    from alsim.evaluation.experiments.clusters import design_effect, intraclass_correlation
    from alsim.evaluation.experiments.data import ExperimentData
    from alsim.evaluation.experiments.looks import confidence_per_look
    from alsim.evaluation.experiments.means import compare_means, relative_lift
    from alsim.evaluation.experiments.moments import Moments
    from alsim.evaluation.experiments.multiplicity import benjamini_hochberg
    from alsim.evaluation.experiments.plan import ExperimentPlan, read_experiment_plan
    from alsim.evaluation.experiments.power import (
        minimum_effect,
        minimum_effect_of_shares,
        power_of_means,
        power_of_shares,
        sample_size_of_means,
        sample_size_of_shares,
    )
    from alsim.evaluation.experiments.ratios import RatioComparison, compare_ratios
    from alsim.evaluation.experiments.rehearsal import rehearse
    from alsim.evaluation.experiments.rehearsal_report import Rehearsal
    from alsim.evaluation.experiments.results import Arm, MeanDifference, RelativeLift
    from alsim.evaluation.experiments.sequences import ConfidenceSequence, confidence_sequence
    from alsim.evaluation.experiments.shares import compare_shares, sample_ratio_mismatch
    from alsim.evaluation.experiments.sources import read_experiment
    from alsim.evaluation.experiments.student_metrics import STUDENT_METRICS
    from alsim.evaluation.experiments.survival import (
        CensoredIncidence,
        LogRank,
        SurvivalCurve,
        censored_incidence,
        compare_restricted_means,
        kaplan_meier,
        log_rank,
        restricted_mean,
    )

_HOMES = {
    "AbTest": "alsim.evaluation.experiments.abtest",
    "AdjustedComparison": "alsim.evaluation.experiments.adjustment",
    "AnytimeTest": "alsim.evaluation.experiments.asymptotic",
    "Arm": "alsim.evaluation.experiments.results",
    "CensoredIncidence": "alsim.evaluation.experiments.survival",
    "Comparison": "alsim.evaluation.experiments.abtest",
    "ConfidenceSequence": "alsim.evaluation.experiments.sequences",
    "ExperimentData": "alsim.evaluation.experiments.data",
    "ExperimentPlan": "alsim.evaluation.experiments.plan",
    "Guardrail": "alsim.evaluation.experiments.abtest",
    "LogRank": "alsim.evaluation.experiments.survival",
    "MeanDifference": "alsim.evaluation.experiments.results",
    "Moments": "alsim.evaluation.experiments.moments",
    "RatioComparison": "alsim.evaluation.experiments.ratios",
    "Rehearsal": "alsim.evaluation.experiments.rehearsal_report",
    "RelativeLift": "alsim.evaluation.experiments.results",
    "STUDENT_METRICS": "alsim.evaluation.experiments.student_metrics",
    "Sequence": "alsim.evaluation.experiments.abtest",
    "SurvivalCurve": "alsim.evaluation.experiments.survival",
    "analyse": "alsim.evaluation.experiments.abtest",
    "anytime_test": "alsim.evaluation.experiments.asymptotic",
    "asymptotic_difference": "alsim.evaluation.experiments.asymptotic",
    "benjamini_hochberg": "alsim.evaluation.experiments.multiplicity",
    "bernoulli_interval": "alsim.evaluation.experiments.anytime_shares",
    "bounded_difference": "alsim.evaluation.experiments.bounded",
    "censored_incidence": "alsim.evaluation.experiments.survival",
    "compare_means": "alsim.evaluation.experiments.means",
    "compare_ratios": "alsim.evaluation.experiments.ratios",
    "compare_restricted_means": "alsim.evaluation.experiments.survival",
    "compare_shares": "alsim.evaluation.experiments.shares",
    "confidence_per_look": "alsim.evaluation.experiments.looks",
    "confidence_sequence": "alsim.evaluation.experiments.sequences",
    "cuped": "alsim.evaluation.experiments.adjustment",
    "design_effect": "alsim.evaluation.experiments.clusters",
    "intraclass_correlation": "alsim.evaluation.experiments.clusters",
    "kaplan_meier": "alsim.evaluation.experiments.survival",
    "log_rank": "alsim.evaluation.experiments.survival",
    "minimum_effect": "alsim.evaluation.experiments.power",
    "minimum_effect_of_shares": "alsim.evaluation.experiments.power",
    "planned_interval": "alsim.evaluation.experiments.bounded",
    "power_of_means": "alsim.evaluation.experiments.power",
    "power_of_shares": "alsim.evaluation.experiments.power",
    "read_experiment": "alsim.evaluation.experiments.sources",
    "read_experiment_plan": "alsim.evaluation.experiments.plan",
    "rehearse": "alsim.evaluation.experiments.rehearsal",
    "relative_lift": "alsim.evaluation.experiments.means",
    "restricted_mean": "alsim.evaluation.experiments.survival",
    "sample_ratio_mismatch": "alsim.evaluation.experiments.shares",
    "sample_size_of_means": "alsim.evaluation.experiments.power",
    "sample_size_of_shares": "alsim.evaluation.experiments.power",
}

__all__ = [
    "STUDENT_METRICS",
    "AbTest",
    "AdjustedComparison",
    "AnytimeTest",
    "Arm",
    "CensoredIncidence",
    "Comparison",
    "ConfidenceSequence",
    "ExperimentData",
    "ExperimentPlan",
    "Guardrail",
    "LogRank",
    "MeanDifference",
    "Moments",
    "RatioComparison",
    "Rehearsal",
    "RelativeLift",
    "Sequence",
    "SurvivalCurve",
    "analyse",
    "anytime_test",
    "asymptotic_difference",
    "benjamini_hochberg",
    "bernoulli_interval",
    "bounded_difference",
    "censored_incidence",
    "compare_means",
    "compare_ratios",
    "compare_restricted_means",
    "compare_shares",
    "confidence_per_look",
    "confidence_sequence",
    "cuped",
    "design_effect",
    "intraclass_correlation",
    "kaplan_meier",
    "log_rank",
    "minimum_effect",
    "minimum_effect_of_shares",
    "planned_interval",
    "power_of_means",
    "power_of_shares",
    "read_experiment",
    "read_experiment_plan",
    "rehearse",
    "relative_lift",
    "restricted_mean",
    "sample_ratio_mismatch",
    "sample_size_of_means",
    "sample_size_of_shares",
]

__getattr__, __dir__ = attach(__name__, _HOMES)
