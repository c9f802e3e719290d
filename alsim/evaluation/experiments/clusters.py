"""Cluster-robust errors: students of a class, or interactions of a student, are not independent."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alsim.errors import AlsimError
from alsim.evaluation.experiments.arms import ArmMeans, constant_p
from alsim.evaluation.experiments.samples import read_labels, read_sample
from alsim.evaluation.statistics_input import read_number
from alsim.types import Doubles, Longs, short_repr


@short_repr
class ClusterSums(NamedTuple):
    """Sizes and sums of the G clusters of one arm; arrays (..., G) for many samples."""

    size: Doubles
    """Number of values of each cluster in this arm; 0 for a cluster without one."""
    total: Doubles
    """Sum of these values."""

    @classmethod
    def of(cls, values: NDArray[np.floating], clusters: Longs, count: int) -> Self:
        """Return the sums over clusters of values (..., n).

        clusters  (n,) number of the cluster of each value, from 0 to count - 1
        count     number of clusters G
        """
        order = np.argsort(clusters, kind="stable")
        present, start = np.unique(clusters[order], return_index=True)
        total = np.zeros((*values.shape[:-1], count))
        total[..., present] = np.add.reduceat(np.asarray(values, np.float64)[..., order], start, axis=-1)
        size = np.broadcast_to(np.bincount(clusters, minlength=count).astype(np.float64), total.shape)
        return cls(size, total)


def clustered_arms(control: ClusterSums, treatment: ClusterSums) -> ArmMeans:
    """Return the means of arms of clusters, with cluster-robust errors.

        v = c sum over g of u_g^2,  u_g = (total_g - size_g mean) / n,  c = G / (G - 1) (N - 1) / (N - 2)

    The errors equal those of a regression on the arm in statsmodels, OLS.fit(cov_type="cluster") with its small-sample
    correction c, and df = G - 1 (use_t=True). A cluster may have values in both arms.

    control, treatment  sums (..., G) of the same clusters in the same order

    Source: Liang & Zeger (1986), Biometrika 73, 13-22; Cameron & Miller (2015), Journal of Human Resources 50, 317-372.
    """
    means, scores = [], []
    for arm in (control, treatment):
        n = arm.size.sum(axis=-1, keepdims=True)
        mean = arm.total.sum(axis=-1, keepdims=True) / n
        means.append(mean[..., 0])
        scores.append((arm.total - arm.size * mean) / n)
    return scored_arms(means, scores, (control.size, treatment.size), 2)


def scored_arms(means: list[Doubles], scores: list[Doubles], sizes: tuple[Doubles, Doubles], cells: int) -> ArmMeans:
    """Return the means of arms with the errors of their scores by cluster, see `clustered_arms`.

    means   of control and treatment, (...,) each
    scores  of control and treatment, (..., G) each: the error of the mean due to each cluster
    sizes   of the clusters in control and treatment, (..., G) each
    cells   number of means that were estimated: 2, or 2 per stratum
    """
    has_c, has_t = (size > 0 for size in sizes)
    groups, total = (has_c | has_t).sum(axis=-1).astype(np.float64), (sizes[0] + sizes[1]).sum(axis=-1)
    factor = groups / (groups - 1) * (total - 1) / (total - cells)
    v_c, v_t, cov = (
        factor * (a * b).sum(axis=-1) for a, b in ((scores[0],) * 2, (scores[1],) * 2, (scores[0], scores[1]))
    )
    # Constant values: clusters of one arm can be exchanged, and a cluster in both arms can change its sign.
    shared = (has_c & has_t).any(axis=-1)
    rare = np.where(shared, 2 ** (1 - groups), constant_p(has_c.sum(axis=-1), has_t.sum(axis=-1)))
    return ArmMeans(means[0], means[1], v_c, v_t, cov, groups - 1, rare)


def intraclass_correlation(values: ArrayLike, clusters: ArrayLike) -> float:
    """Estimate the share of the variance that is between clusters, by the analysis of variance.

        ICC = (B - W) / (B + (m - 1) W),  m = (N - sum of n_g^2 / N) / (G - 1)

    B and W are the mean squares between and within clusters.

    values    (N,) numbers
    clusters  (N,) cluster of each value, integers or text; at least 2 clusters, and one of at least 2 values

    Returns the estimate, from -1 / (m - 1) to 1; below 0 by chance if clusters are alike. Raises AlsimError for invalid
    arguments, and for values that do not vary.
    Source: Donner (1986), International Statistical Review 54, 67-82.
    """
    x = read_sample(values, "values", "value")
    (labels,), names = read_labels((clusters,), (x,), "clusters", ("clusters",))
    size, n, groups = np.bincount(labels), len(x), len(names)
    if groups < 2 or groups == n:
        raise AlsimError(
            f"clusters must be at least 2, one of them of at least 2 values; got {groups} of {n} values: pass the "
            "class of each student"
        )
    means = np.bincount(labels, x) / size
    between = float(size @ (means - x.mean()) ** 2) / (groups - 1)
    within = float(((x - means[labels]) ** 2).sum()) / (n - groups)
    if between + within == 0:
        raise AlsimError(f"values must vary; got {x[0]:g} {n} times: pass the values of single students")
    m = (n - float(size @ size) / n) / (groups - 1)
    return (between - within) / (between + (m - 1) * within)


def design_effect(size: float, icc: float, *, variation: float = 0.0) -> float:
    """Compute how many times more students an experiment needs if classes instead of students are assigned.

        1 + ((variation^2 + 1) size - 1) icc

    size       mean number of students per class, at least 1
    icc        intra-class correlation, in [0, 1]
    variation  standard deviation of the sizes of classes divided by their mean, at least 0; 0 for equal sizes

    Returns the factor, at least 1: it multiplies a number of students, and divides an effective one. Raises AlsimError
    for invalid arguments.
    Source: Kish (1965), Survey Sampling, section 5.4; Eldridge, Ashby & Kerry (2006), International Journal of
    Epidemiology 35, 1292-1300, for classes of unequal sizes.
    """
    m = read_number(size, "size", "pass the mean number of students per class")
    share = read_number(icc, "icc", "pass an intra-class correlation, such as 0.1")
    spread = read_number(variation, "variation", "pass 0 for classes of equal sizes")
    if m < 1:
        raise AlsimError(f"size must be at least 1; got {m:g}: pass the mean number of students per class")
    if not 0 <= share <= 1:
        raise AlsimError(f"icc must be in [0, 1]; got {share:g}: use 0 for a negative estimate")
    if spread < 0:
        raise AlsimError(f"variation must be at least 0; got {spread:g}: pass 0 for classes of equal sizes")
    return 1 + ((spread**2 + 1) * m - 1) * share


__all__ = ["ClusterSums", "clustered_arms", "design_effect", "intraclass_correlation", "scored_arms"]
