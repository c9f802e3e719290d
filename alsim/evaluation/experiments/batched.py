"""Means of the arms of one experiment, or of a batch of simulated ones at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from alsim.evaluation.experiments.arms import ArmMeans, independent_arms
from alsim.evaluation.experiments.clusters import ClusterSums, clustered_arms
from alsim.evaluation.experiments.moments import Moments
from alsim.types import Bools, Doubles, Longs, short_repr


@short_repr
class Sample(NamedTuple):
    """Values of n students of each of R experiments, in the order of their arrival."""

    arms: Longs
    """Arm of each student, (R, n)."""
    value: Doubles
    """Metric, or the numerator of a ratio, (R, n)."""
    denominator: Doubles | None = None
    """(R, n); None for a mean."""
    covariate: Doubles | None = None
    """Value before assignment, (R, n)."""
    clusters: Longs | None = None
    """Class of each student, (n,), ascending from 0, the same in all experiments; None if students are independent."""

    def first(self, n: int) -> Sample:
        """Return the first n students of each experiment."""
        return self._replace(
            arms=self.arms[:, :n],
            value=self.value[:, :n],
            denominator=None if self.denominator is None else self.denominator[:, :n],
            covariate=None if self.covariate is None else self.covariate[:, :n],
            clusters=None if self.clusters is None else self.clusters[:n],
        )


class Compared(NamedTuple):
    """Control and one treatment of R experiments."""

    means: ArmMeans
    """(R,); 1 where an arm has fewer than two units."""
    num_units: Doubles
    """Number of independent units in both arms together, (R,)."""
    is_defined: Bools
    """Whether both arms have at least two units, (R,)."""


def compared(sample: Sample, treatment: int) -> Compared:
    """Return the means of the control (arm 0) and of a treatment.

    Ratios are linearised, and a covariate is subtracted as in `alsim.evaluation.experiments.cuped`.
    """
    masks = sample.arms == 0, sample.arms == treatment
    values = adjusted(linearised(sample, masks), sample.covariate, masks)
    start = None if sample.clusters is None else np.flatnonzero(np.diff(sample.clusters, prepend=-1))
    enough = np.logical_and(*(_num_units(mask, start) >= 2 for mask in masks))
    with np.errstate(divide="ignore", invalid="ignore"):  # of experiments with too few units, which are replaced below
        if start is not None:
            means = clustered_arms(*(cluster_sums(values, mask, start) for mask in masks))
        else:
            means = independent_arms(*(masked_moments(values, mask) for mask in masks))
    means = ArmMeans(*(np.where(enough, field, 1.0) for field in means))
    return Compared(means, _num_units(masks[0] | masks[1], start).astype(np.float64), enough)


def linearised(sample: Sample, masks: tuple[Bools, Bools]) -> Doubles:
    """Return values (R, n) whose mean in each arm is the metric: for a ratio, those of the delta method.

    u = ratio + (numerator - ratio denominator) / mean of the denominator
    """
    if sample.denominator is None:
        return sample.value
    y, x = sample.value, sample.denominator
    found = np.zeros_like(y)
    for mask in masks:
        total, count = (x * mask).sum(axis=1, keepdims=True), mask.sum(axis=1, keepdims=True)
        ratio = np.divide((y * mask).sum(axis=1, keepdims=True), total, out=np.zeros_like(total), where=total != 0)
        mean = np.where(total == 0, 1.0, total / np.maximum(count, 1))
        found = np.where(mask, ratio + (y - ratio * x) / mean, found)
    return found


def adjusted(values: Doubles, covariate: Doubles | None, masks: tuple[Bools, Bools]) -> Doubles:
    """Return values (R, n) minus the part that a covariate explains, with the slope of both arms together.

    See `alsim.evaluation.experiments.cuped`. Source: Deng, Xu, Kohavi & Walker (2013), WSDM.
    """
    if covariate is None:
        return values
    both = masks[0] | masks[1]
    count = np.maximum(both.sum(axis=1, keepdims=True), 1)
    y, z = (np.where(both, x - (x * both).sum(axis=1, keepdims=True) / count, 0.0) for x in (values, covariate))
    squares = (z * z).sum(axis=1, keepdims=True)
    slope = np.divide((y * z).sum(axis=1, keepdims=True), squares, out=np.zeros_like(squares), where=squares > 0)
    return np.asarray(values - slope * z)


def masked_moments(values: Doubles, mask: Bools) -> Moments:
    """Return the moments (R,) of the values (R, n) where `mask` is True."""
    n = mask.sum(axis=1).astype(np.float64)
    mean = (values * mask).sum(axis=1) / n
    squares = np.where(mask, (values - mean[:, np.newaxis]) ** 2, 0.0).sum(axis=1)
    return Moments(n, mean, squares / (n - 1))


def cluster_sums(values: Doubles, mask: Bools, start: Longs) -> ClusterSums:
    """Return the sums over classes of the values (R, n) where `mask` is True.

    start  first student of each class, (G,)
    """
    size, total = (np.add.reduceat(column, start, axis=1) for column in (mask.astype(np.float64), values * mask))
    return ClusterSums(size, total)


def _num_units(mask: Bools, start: Longs | None) -> Longs:
    """Return the number of students, or of classes, that have one where `mask` (R, n) is True, (R,)."""
    return np.asarray((mask if start is None else np.logical_or.reduceat(mask, start, axis=1)).sum(axis=1))


__all__ = ["Compared", "Sample", "adjusted", "cluster_sums", "compared", "linearised", "masked_moments"]
