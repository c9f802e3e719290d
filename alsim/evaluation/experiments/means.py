"""Comparison of the means of two arms: difference and relative lift."""

from __future__ import annotations

import math

from numpy.typing import ArrayLike

from alsim.evaluation.estimates import CONFIDENCE
from alsim.evaluation.experiments.arms import difference, lift
from alsim.evaluation.experiments.designs import Design
from alsim.evaluation.experiments.results import MeanDifference, RelativeLift, difference_result, lift_result
from alsim.evaluation.experiments.samples import Pair, read_arms
from alsim.evaluation.statistics_input import read_confidence
from alsim.types import Doubles


def compare_means(
    control: ArrayLike,
    treatment: ArrayLike,
    *,
    strata: Pair | None = None,
    clusters: Pair | None = None,
    confidence: float = CONFIDENCE,
) -> MeanDifference:
    """Test the difference of the means of two arms, treatment - control.

        independent values  mean_t - mean_c,  se^2 = s_c^2 / n_c + s_t^2 / n_t,  df of Welch
        strata              sum over h of N_h / N (mean_ht - mean_hc),  variances added in the same way
        clusters            mean_t - mean_c,  cluster-robust se,  df = G - 1

    control, treatment  (n_c,) and (n_t,) values of the metric, at least 2 each, in its unit
    strata              pair of arrays (n_c,) and (n_t,): a property before the assignment, integers or text; each
                        stratum has at least 2 values of each arm. None: one stratum
    clusters            pair of arrays (n_c,) and (n_t,): class of each student, or student of each value, integers or
                        text; at least 2 clusters in each arm. The same label in both arms is the same cluster. None:
                        the values are independent
    confidence          level of the interval, in (0, 1)

    With clusters, the errors and p-values are those of statsmodels' OLS on the arm (with strata: on all cells), fitted
    with cov_type="cluster", use_t=True and its default small-sample correction G / (G - 1) (N - 1) / (N - K) for K
    cells. With fewer than about 20 clusters in an arm, the intervals are too narrow: compare means per cluster then.

    Returns a MeanDifference. If no value varies within an arm, p is that of the permutation test. Raises AlsimError for
    invalid arguments.
    Source: Welch (1947), Biometrika 34, 28-35; Miratrix, Sekhon & Yu (2013), JRSS B 75, 369-396, for strata; Cameron &
    Miller (2015), Journal of Human Resources 50, 317-372, for clusters.
    """
    arms = read_arms(control, treatment)
    design, level = Design.read(arms, strata, clusters), read_confidence(confidence)
    means = design.means(*arms)
    return difference_result(difference(means, level), *design.describe(means, sizes_of(arms)))


def relative_lift(
    control: ArrayLike,
    treatment: ArrayLike,
    *,
    strata: Pair | None = None,
    clusters: Pair | None = None,
    confidence: float = CONFIDENCE,
) -> RelativeLift:
    """Test the relative lift of the mean by the delta method.

        lift = mean_t / mean_c - 1,  se^2 = (v_t + r^2 v_c - 2 r cov) / mean_c^2,  r = mean_t / mean_c

    Arguments are those of `compare_means`, which has the squared standard errors v of the means; their covariance is 0
    unless clusters have values in both arms.

    Returns a RelativeLift. Raises AlsimError for invalid arguments, and for a control mean of 0.
    Source: Deng, Knoblich & Lu (2018), KDD, 233-242; degrees of freedom are those of the difference, as in gbstats.
    """
    arms = read_arms(control, treatment)
    design, level = Design.read(arms, strata, clusters), read_confidence(confidence)
    means = design.means(*arms)
    base_se = math.sqrt(float(means.control_variance))
    described = design.describe(means, sizes_of(arms))
    return lift_result(lift(means, level), float(means.control), base_se, *described, level)


def sizes_of(arms: tuple[Doubles, Doubles]) -> tuple[int, int]:
    """Return the numbers of values of both arms."""
    return len(arms[0]), len(arms[1])


__all__ = ["compare_means", "relative_lift", "sizes_of"]
