"""Evaluation of policies: comparisons on held-out learners, statistics, summaries of datasets."""

from typing import TYPE_CHECKING

from alsim.utils.lazy import attach

if TYPE_CHECKING:
    from alsim.evaluation import experiments, fairness, ope, scorecards, statistics
    from alsim.evaluation.comparison import Comparison, compare
    from alsim.evaluation.endings import Incidence, cumulative_incidence, restricted_mean_time
    from alsim.evaluation.estimates import PairedDifference, Statistic
    from alsim.evaluation.reward_audit import Audit, audit
    from alsim.evaluation.robustness import Matrix, matrix
    from alsim.evaluation.runs import iqm, optimality_gap, performance_profile, probability_of_improvement, run_interval
    from alsim.evaluation.statistics import bootstrap, holm, mean, paired_difference, variance_reduction, wilson

_HOMES = {
    "Audit": "alsim.evaluation.reward_audit",
    "Comparison": "alsim.evaluation.comparison",
    "Incidence": "alsim.evaluation.endings",
    "Matrix": "alsim.evaluation.robustness",
    "PairedDifference": "alsim.evaluation.estimates",
    "Statistic": "alsim.evaluation.estimates",
    "audit": "alsim.evaluation.reward_audit",
    "bootstrap": "alsim.evaluation.statistics",
    "compare": "alsim.evaluation.comparison",
    "cumulative_incidence": "alsim.evaluation.endings",
    "holm": "alsim.evaluation.statistics",
    "iqm": "alsim.evaluation.runs",
    "matrix": "alsim.evaluation.robustness",
    "mean": "alsim.evaluation.statistics",
    "optimality_gap": "alsim.evaluation.runs",
    "paired_difference": "alsim.evaluation.statistics",
    "performance_profile": "alsim.evaluation.runs",
    "probability_of_improvement": "alsim.evaluation.runs",
    "restricted_mean_time": "alsim.evaluation.endings",
    "run_interval": "alsim.evaluation.runs",
    "variance_reduction": "alsim.evaluation.statistics",
    "wilson": "alsim.evaluation.statistics",
}

__all__ = [
    "Audit",
    "Comparison",
    "Incidence",
    "Matrix",
    "PairedDifference",
    "Statistic",
    "audit",
    "bootstrap",
    "compare",
    "cumulative_incidence",
    "experiments",
    "fairness",
    "holm",
    "iqm",
    "matrix",
    "mean",
    "ope",
    "optimality_gap",
    "paired_difference",
    "performance_profile",
    "probability_of_improvement",
    "restricted_mean_time",
    "run_interval",
    "scorecards",
    "statistics",
    "variance_reduction",
    "wilson",
]

SUBMODULES = ("experiments", "fairness", "ope", "scorecards", "statistics")
__getattr__, __dir__ = attach(__name__, _HOMES, submodules=SUBMODULES)
