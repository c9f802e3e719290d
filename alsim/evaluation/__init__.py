"""Evaluation of policies: statistics, held-out learners, summaries of datasets."""

from alsim.evaluation import statistics
from alsim.evaluation.statistics import PairedDifference, Statistic, bootstrap, holm, mean, paired_difference, wilson

__all__ = [
    "PairedDifference",
    "Statistic",
    "bootstrap",
    "holm",
    "mean",
    "paired_difference",
    "statistics",
    "wilson",
]
