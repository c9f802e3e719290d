"""Experiments with students: tests of A/B experiments, and their rehearsal on simulated learners."""

from alsim.evaluation.experiments.adjustment import AdjustedComparison, cuped
from alsim.evaluation.experiments.anytime_shares import bernoulli_interval
from alsim.evaluation.experiments.asymptotic import AnytimeTest, anytime_test, asymptotic_difference
from alsim.evaluation.experiments.bounded import bounded_difference, planned_interval
from alsim.evaluation.experiments.clusters import design_effect, intraclass_correlation
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

__all__ = [
    "AdjustedComparison",
    "AnytimeTest",
    "Arm",
    "CensoredIncidence",
    "ConfidenceSequence",
    "ExperimentPlan",
    "LogRank",
    "MeanDifference",
    "Moments",
    "RatioComparison",
    "Rehearsal",
    "RelativeLift",
    "SurvivalCurve",
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
    "read_experiment_plan",
    "rehearse",
    "relative_lift",
    "restricted_mean",
    "sample_ratio_mismatch",
    "sample_size_of_means",
    "sample_size_of_shares",
]
