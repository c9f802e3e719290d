"""Evaluation of policies: comparisons on held-out learners, statistics, summaries of datasets."""

from typing import TYPE_CHECKING

from alsim.utils.lazy import attach

if TYPE_CHECKING:
    from alsim.evaluation import statistics
    from alsim.evaluation.comparison import Comparison, compare
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
    "Comparison": "alsim.evaluation.comparison",
    "PairedDifference": "alsim.evaluation.statistics",
    "Statistic": "alsim.evaluation.statistics",
    "bootstrap": "alsim.evaluation.statistics",
    "compare": "alsim.evaluation.comparison",
    "holm": "alsim.evaluation.statistics",
    "mean": "alsim.evaluation.statistics",
    "paired_difference": "alsim.evaluation.statistics",
    "wilson": "alsim.evaluation.statistics",
}

__all__ = [
    "Comparison",
    "PairedDifference",
    "Statistic",
    "bootstrap",
    "compare",
    "holm",
    "mean",
    "paired_difference",
    "statistics",
    "wilson",
]

__getattr__, __dir__ = attach(__name__, _HOMES, submodules=("statistics",))
