"""Evaluation of policies: comparisons on held-out learners, statistics, summaries of datasets."""

from typing import TYPE_CHECKING

from alsim.utils.lazy import attach

if TYPE_CHECKING:
    from alsim.evaluation import statistics
    from alsim.evaluation.comparison import Comparison, compare
    from alsim.evaluation.reward_audit import Audit, audit
    from alsim.evaluation.robustness import Matrix, matrix
    from alsim.evaluation.statistics import (
        PairedDifference,
        Statistic,
        bootstrap,
        holm,
        mean,
        paired_difference,
        wilson,
    )

_HOMES = {
    "Audit": "alsim.evaluation.reward_audit",
    "Comparison": "alsim.evaluation.comparison",
    "Matrix": "alsim.evaluation.robustness",
    "PairedDifference": "alsim.evaluation.statistics",
    "Statistic": "alsim.evaluation.statistics",
    "audit": "alsim.evaluation.reward_audit",
    "bootstrap": "alsim.evaluation.statistics",
    "compare": "alsim.evaluation.comparison",
    "holm": "alsim.evaluation.statistics",
    "matrix": "alsim.evaluation.robustness",
    "mean": "alsim.evaluation.statistics",
    "paired_difference": "alsim.evaluation.statistics",
    "wilson": "alsim.evaluation.statistics",
}

__all__ = [
    "Audit",
    "Comparison",
    "Matrix",
    "PairedDifference",
    "Statistic",
    "audit",
    "bootstrap",
    "compare",
    "holm",
    "matrix",
    "mean",
    "paired_difference",
    "statistics",
    "wilson",
]

__getattr__, __dir__ = attach(__name__, _HOMES, submodules=("statistics",))
