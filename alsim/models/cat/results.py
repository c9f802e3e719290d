"""Results of adaptive tests: answers, estimates, and summary statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alsim.errors import AlsimError
from alsim.models.serialization import table_of
from alsim.types import Bools, Codes, Doubles, Ints, Longs


@dataclass(frozen=True, eq=False)
class CATRun:
    """Results of adaptive tests of N examinees; T is the largest number of items of a test, I the size of the bank.

    items           (N, T) int32, items in the order of administration; -1 after the last
    correct         (N, T) int8, answers; -1 after the last
    theta_after     (N, T) estimate of ability after each answer, logits; NaN after the last
    se_after        (N, T) standard error of theta_after, logits
    theta           (N,) final estimate, logits
    se              (N,) standard error of theta, logits
    lengths         (N,) number of answered items
    finished        (N,) True if the test has ended
    times_selected  (I,) number of tests in which the item was selected: administered, or withheld by exposure control
    abilities       (N,) true abilities of simulated examinees, logits; None for other examinees
    names           (I,) names of the items of the bank
    """

    items: Ints
    correct: Codes
    theta_after: Doubles
    se_after: Doubles
    theta: Doubles
    se: Doubles
    lengths: Longs
    finished: Bools
    times_selected: Longs
    abilities: Doubles | None
    names: NDArray[np.str_]

    def __repr__(self) -> str:
        return f"<CATRun: tests of {len(self.lengths):,} examinees, {self.lengths.sum():,} answers>"

    @property
    def item_names(self) -> NDArray[np.str_]:
        """Names (N, T) of the items in the order of administration; an empty string after the last."""
        return np.where(self.items >= 0, self.names[self.items], "")

    @property
    def bias(self) -> float:
        """Mean of estimate minus true ability, logits. Raises AlsimError if the abilities are unknown."""
        return float(np.mean(self._errors)) if len(self.lengths) else float("nan")

    @property
    def rmse(self) -> float:
        """Root mean squared error of the estimates, logits. Raises AlsimError if the abilities are unknown."""
        return float(np.sqrt(np.mean(self._errors**2))) if len(self.lengths) else float("nan")

    @property
    def bias_se(self) -> float:
        """Standard error of `bias` over the examinees, logits; NaN for fewer than two. Raises AlsimError as `bias`."""
        return _error_of_mean(self._errors)

    @property
    def rmse_se(self) -> float:
        """Standard error of `rmse` over the examinees, logits, by the delta method: that of the mean square / (2 rmse).

        NaN for fewer than two examinees, and without errors. Raises AlsimError as `rmse`.
        """
        rmse = self.rmse
        return _error_of_mean(self._errors**2) / (2 * rmse) if rmse else float("nan")

    @property
    def _errors(self) -> Doubles:
        """Errors (N,) of the estimates, logits."""
        if self.abilities is None:
            raise AlsimError(
                "bias and RMSE require true abilities, which only simulated examinees have: pass abilities to run()"
            )
        return self.theta - self.abilities

    @property
    def mean_length(self) -> float:
        """Mean number of answered items per examinee."""
        return float(np.sum(self.lengths) / max(len(self.lengths), 1))

    @property
    def exposure_rates(self) -> Doubles:
        """Share (I,) of examinees who answered each item."""
        return self._times_administered / max(len(self.lengths), 1)

    @property
    def selection_rates(self) -> Doubles:
        """Share (I,) of examinees for whom each item was selected: administered, or withheld by exposure control."""
        return self.times_selected / max(len(self.lengths), 1)

    @property
    def _times_administered(self) -> Longs:
        """Number (I,) of examinees who answered each item."""
        return np.bincount(self.items[self.items >= 0], minlength=len(self.times_selected))

    @property
    def overlap(self) -> float:
        """Test overlap rate: mean share of a test's items that another examinee answered too, over all pairs.

            sum of n_i (n_i - 1) / (N (N - 1) * mean length),    n_i examinees who answered item i

        NaN for fewer than two examinees.

        Source: Chen, Ankenmann & Spray (2003), The relationship between item exposure and test overlap.
        """
        times, count = self._times_administered, len(self.lengths)
        pairs = count * (count - 1) * self.mean_length
        return float(np.sum(times * (times - 1)) / pairs) if pairs else float("nan")

    def table(self) -> list[dict[str, Any]]:
        """Return one row per examinee: number, true ability, theta, se, and number of items. Abilities are in logits.

        The true ability is NaN if it is unknown.
        """
        truth = np.full(len(self.theta), np.nan) if self.abilities is None else self.abilities
        columns = {"ability": truth, "theta": self.theta, "se": self.se, "items": self.lengths}
        return table_of({"examinee": np.arange(len(self.theta)), **columns})

    def summary(self) -> dict[str, float | int | None]:
        """Return the statistics as a dictionary, with exposure and the median standard error, logits.

        bias, rmse and their standard errors are None if the abilities are unknown.
        """
        rates = self.exposure_rates
        return {
            "examinees": len(self.lengths),
            "bias": None if self.abilities is None else self.bias,
            "bias_se": None if self.abilities is None else self.bias_se,
            "rmse": None if self.abilities is None else self.rmse,
            "rmse_se": None if self.abilities is None else self.rmse_se,
            "median_se": float(np.median(self.se)) if len(self.se) else float("nan"),
            "mean_length": self.mean_length,
            "max_exposure": float(rates.max()),
            "unused": float(np.mean(rates == 0)),
            "overlap": self.overlap,
        }


def _error_of_mean(values: Doubles) -> float:
    """Return the standard error of the mean of values (N,); NaN for fewer than two."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")


def concatenate(parts: Sequence[CATRun], abilities: Doubles | None) -> CATRun:
    """Return the results of several batches of examinees as one; abilities (N,) are those of all examinees."""
    if len(parts) == 1:
        return replace(parts[0], abilities=abilities)
    columns: dict[str, Any] = {
        f.name: np.concatenate([getattr(part, f.name) for part in parts])
        for f in fields(CATRun)
        if f.name not in ("times_selected", "abilities", "names")
    }
    times_selected = np.sum([part.times_selected for part in parts], axis=0)
    return CATRun(**columns, times_selected=times_selected, abilities=abilities, names=parts[0].names)
