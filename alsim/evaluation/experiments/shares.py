"""Comparison of shares, and the check of the sizes of the arms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from alsim.errors import AlsimError
from alsim.evaluation.estimates import CONFIDENCE
from alsim.evaluation.experiments.results import Arm, MeanDifference
from alsim.evaluation.statistics import wilson
from alsim.evaluation.statistics_input import read_confidence, read_count, read_values
from alsim.types import Doubles
from alsim.utils.optional import require

LARGEST_COUNT = 2**53


def compare_shares(
    control_events: int,
    control_n: int,
    treatment_events: int,
    treatment_n: int,
    *,
    confidence: float = CONFIDENCE,
) -> MeanDifference:
    """Test the difference of the shares of independent events in two arms, treatment - control.

        p:   z = (s_t - s_c) / sqrt(s (1 - s) (1 / n_c + 1 / n_t)),  s = share in both arms together
        low: d - sqrt((s_t - l_t)^2 + (u_c - s_c)^2),  high: d + sqrt((u_t - s_t)^2 + (s_c - l_c)^2)

    l and u are the ends of Wilson's interval of a share. Unlike the normal interval, this one has approximately its
    nominal coverage near 0 and 1. Interval and p-value are two methods: at the border, one may exclude 0 and the other
    may not.

    control_events      number of students with the event, an integer from 0 to n
    control_n           number of students, an integer of at least 2
    treatment_events ...  the same of the treatment
    confidence          level of the interval, in (0, 1)

    Returns a MeanDifference, whose means are the shares. Its standard error is that of the interval's normal relative,
    sqrt(s_c (1 - s_c) / n_c + s_t (1 - s_t) / n_t). Raises AlsimError for invalid arguments. Shares of dependent events
    need `compare_means` with clusters.
    Source: Newcombe (1998), Statistics in Medicine 17, 873-890, method 10; Pearson's chi-squared test.
    """
    special, level = require("scipy.special", "evaluation", "a test of shares"), read_confidence(confidence)
    counts = []
    for arm, k, n in (("control", control_events, control_n), ("treatment", treatment_events, treatment_n)):
        size = read_count(n, f"{arm}_n", 2, LARGEST_COUNT, "pass the number of students of the arm")
        cure = f"pass the number of events among the {size} students"
        counts.append((read_count(k, f"{arm}_events", 0, size, cure), size))
    (k_c, n_c), (k_t, n_t) = counts
    control, treatment = (wilson(k, n, level) for k, n in counts)
    gap = treatment.mean - control.mean
    low = gap - np.hypot(treatment.mean - treatment.ci[0], control.ci[1] - control.mean)
    high = gap + np.hypot(treatment.ci[1] - treatment.mean, control.mean - control.ci[0])
    both = (k_c + k_t) / (n_c + n_t)
    null = np.sqrt(both * (1 - both) * (1 / n_c + 1 / n_t))
    p = float(2 * special.ndtr(-abs(gap) / null)) if null else 1.0
    se = float(np.hypot(control.se, treatment.se))
    arms = Arm(control.mean, n_c), Arm(treatment.mean, n_t)
    return MeanDifference(gap, se, np.inf, (float(low), float(high)), p, *arms)


def sample_ratio_mismatch(counts: ArrayLike, shares: ArrayLike) -> float:
    """Compute the p-value of the sizes of the arms, given the shares in which students were assigned.

        chi^2 = sum over arms of (n_k - N share_k)^2 / (N share_k),  K - 1 degrees of freedom

    A small p-value, such as below 0.001, means that students were lost or assigned wrongly: no metric can be trusted
    then, see the assignment and the exposure log. The approximation needs at least 5 expected students per arm.

    counts  (K,) integers, students in each arm, K >= 2
    shares  (K,) planned shares, positive; they are divided by their sum

    Returns p in [0, 1]. Raises AlsimError for invalid arguments.
    Source: Fabijan et al. (2019), KDD, 2156-2164; Pearson (1900).
    """
    observed, planned = _read_counts(counts), read_values(shares, "shares")
    if planned.shape != observed.shape:
        raise AlsimError(
            f"shares must have one value per arm, {len(observed)}; got {len(planned)}: pass the planned share of each "
            "arm"
        )
    if not (valid := planned > 0).all():  # NaN fails the comparison
        k = int((~valid).argmax())
        raise AlsimError(f"shares must be positive; got {planned[k]:g} at index {k}: leave the arm out of both arrays")
    return float(mismatch_p(observed, planned))


def mismatch_p(counts: Doubles, shares: Doubles | Sequence[float]) -> Doubles:
    """Return the p-values of sizes of arms (..., K), see `sample_ratio_mismatch`."""
    special = require("scipy.special", "evaluation", "a test of the sizes of arms")
    planned = np.asarray(shares, np.float64)
    expected = counts.sum(axis=-1, keepdims=True) * (planned / planned.sum())
    return np.asarray(special.chdtrc(len(planned) - 1, ((counts - expected) ** 2 / expected).sum(axis=-1)))


def _read_counts(counts: ArrayLike) -> Doubles:
    """Return the sizes of at least 2 arms. Raises AlsimError for others."""
    numbers = read_values(counts, "counts")
    if len(numbers) < 2:
        raise AlsimError(f"counts must be of at least 2 arms; got {len(numbers)}: pass the students of each arm")
    if not (valid := (numbers >= 0) & (numbers == np.floor(numbers))).all():
        k = int((~valid).argmax())
        raise AlsimError(
            f"counts must be numbers of students; got {numbers[k]:g} at index {k}: pass integers of at least 0"
        )
    if not numbers.any():
        raise AlsimError("counts must have a positive sum; all are 0: collect students first")
    return numbers


__all__ = ["compare_shares", "mismatch_p", "sample_ratio_mismatch"]
