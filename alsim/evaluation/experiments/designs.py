"""Means of two arms of an experiment from arrays: independent students, strata, and clusters."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from alsim.errors import AlsimError
from alsim.evaluation.experiments.arms import ArmMeans, independent_arms, welch_df
from alsim.evaluation.experiments.clusters import scored_arms
from alsim.evaluation.experiments.moments import Moments
from alsim.evaluation.experiments.results import Arm
from alsim.evaluation.experiments.samples import Pair, read_pair
from alsim.types import Doubles, Longs


class Design(NamedTuple):
    """Strata and clusters of the values of both arms: one array of codes per arm, or None."""

    strata: list[Longs] | None
    clusters: list[Longs] | None

    @classmethod
    def read(cls, arms: tuple[Doubles, Doubles], strata: Pair | None, clusters: Pair | None) -> Design:
        """Return the design of arms of values. Raises AlsimError for labels that do not allow a test."""
        return cls(_read_strata(arms, strata), _read_clusters(arms, clusters))

    def describe(self, means: ArmMeans, sizes: tuple[int, int]) -> tuple[Arm, Arm]:
        """Return both arms as results, from their means and numbers of values."""
        counts = self.cluster_counts
        found = [Arm(float(mean), n, own) for mean, n, own in zip(means[:2], sizes, counts, strict=True)]
        return found[0], found[1]

    @property
    def cluster_counts(self) -> tuple[int | None, int | None]:
        """Number of clusters of each arm; None without clusters."""
        if self.clusters is None:
            return None, None
        control, treatment = (len(np.unique(codes)) for codes in self.clusters)
        return control, treatment

    def means(self, control: Doubles, treatment: Doubles) -> ArmMeans:
        """Return the means of the arms from their values (n_c,) and (n_t,), with the errors of the design."""
        if self.strata is None and self.clusters is None:
            return independent_arms(Moments.of(control), Moments.of(treatment))
        codes = self.strata or [np.zeros(len(x), np.int64) for x in (control, treatment)]
        cells = [Cells.of(x, own) for x, own in zip((control, treatment), codes, strict=True)]
        weight = (cells[0].size + cells[1].size) / (len(control) + len(treatment))
        found = _stratified(cells, weight) if self.clusters is None else _clustered(cells, weight, codes, self.clusters)
        if self.strata is not None and found.control_variance + found.treatment_variance == 0:
            raise AlsimError("values must vary within a stratum; all are equal there: compare the arms without strata")
        return found


class Cells(NamedTuple):
    """Values of one arm in H strata."""

    size: Doubles
    """(H,)."""
    mean: Doubles
    """(H,)."""
    deviations: Doubles
    """(n,) distance of each value from the mean of its stratum."""
    squared_error: Doubles
    """(H,) squared standard error of each mean."""

    @classmethod
    def of(cls, values: Doubles, strata: Longs) -> Cells:
        """Return the cells of values (n,) in strata (n,), numbers from 0 to H - 1, each with 2 values or more."""
        _, start, count = np.unique(strata, return_index=True, return_counts=True)
        first, size = values[start], count.astype(np.float64)  # equal values have exactly this mean
        mean = first + np.bincount(strata, values - first[strata]) / size
        deviations = values - mean[strata]
        return cls(size, mean, deviations, np.bincount(strata, deviations**2) / (size - 1) / size)


def _stratified(cells: list[Cells], weight: Doubles) -> ArmMeans:
    """Return post-stratified means, with the degrees of freedom of Welch and Satterthwaite over the 2 H cells.

    cells   of control and treatment
    weight  (H,) share of each stratum in both arms together
    """
    control, treatment = (np.asarray(weight @ arm.mean) for arm in cells)
    terms = [weight**2 * arm.squared_error for arm in cells]
    v_c, v_t = (np.asarray(own.sum()) for own in terms)
    df = welch_df(np.concatenate(terms), np.concatenate([arm.size - 1 for arm in cells]))
    return ArmMeans(control, treatment, v_c, v_t, np.zeros(()), df, np.asarray(np.nan))


def _clustered(cells: list[Cells], weight: Doubles, strata: list[Longs], clusters: list[Longs]) -> ArmMeans:
    """Return post-stratified means with cluster-robust errors; arguments as in `_stratified`, and codes per value."""
    groups = 1 + int(max(own.max() for own in clusters))
    scores, sizes = [], []
    for arm, stratum, own in zip(cells, strata, clusters, strict=True):
        errors = (weight / arm.size)[stratum] * arm.deviations
        scores.append(np.asarray(np.bincount(own, errors, groups), np.float64))
        sizes.append(np.bincount(own, minlength=groups).astype(np.float64))
    means = [np.asarray(weight @ arm.mean) for arm in cells]
    return scored_arms(means, scores, (sizes[0], sizes[1]), 2 * len(weight))


def _read_strata(arms: tuple[Doubles, Doubles], strata: Pair | None) -> list[Longs] | None:
    """Return the codes of strata, each of which has at least 2 values of each arm. Raises AlsimError."""
    if strata is None:
        return None
    codes, names = read_pair(strata, arms, "strata")
    for own, arm in zip(codes, ("control", "treatment"), strict=True):
        size = np.bincount(own, minlength=len(names))
        if (few := size < 2).any():
            h = int(few.argmax())
            raise AlsimError(
                f"strata must have at least 2 values of each arm; got {size[h]} of {arm} in {names[h]!r}: merge small "
                "strata"
            )
    return codes


def _read_clusters(arms: tuple[Doubles, Doubles], clusters: Pair | None) -> list[Longs] | None:
    """Return the codes of clusters, at least 2 in each arm. Raises AlsimError."""
    if clusters is None:
        return None
    codes, names = read_pair(clusters, arms, "clusters")
    for own, arm in zip(codes, ("control", "treatment"), strict=True):
        if own.min() == own.max():
            raise AlsimError(
                f"clusters must be at least 2 in each arm; got only {names[int(own[0])]!r} in {arm}: assign more "
                "classes, since the effect of a single class looks like that of the arm"
            )
    return codes


__all__ = ["Cells", "Design"]
