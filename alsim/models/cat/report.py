"""What came of adaptive tests, and how good they were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from alsim.errors import AlsimError
from alsim.types import Bools, Codes, Doubles, Ints, Longs


@dataclass(frozen=True, eq=False)
class CATRun:
    """Adaptive tests of N examinees; T is the most items of a test, I the size of the bank.

    items           (N, T) int32, in the order they were given; -1 after the last
    correct         (N, T) int8; -1 after the last
    theta_after     (N, T) estimate of ability after each answer, logits; NaN after the last
    se_after        (N, T) its standard error, logits
    theta           (N,) last estimate, logits
    se              (N,) its standard error, logits
    lengths         (N,) items answered
    finished        (N,) whether the test has ended
    times_selected  (I,) tests in which an item was selected: given, or set aside by exposure control
    abilities       (N,) true abilities, logits, where they were simulated
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

    def __repr__(self) -> str:
        return f"<CATRun: tests of {len(self.lengths):,} examinees, {self.lengths.sum():,} answers>"

    @property
    def bias(self) -> float:
        """Mean of estimate minus ability, logits. Raises AlsimError where abilities are not known."""
        return float(np.mean(self._errors)) if len(self.lengths) else float("nan")

    @property
    def rmse(self) -> float:
        """Root of the mean squared error of the estimates, logits. Raises AlsimError where abilities are not known."""
        return float(np.sqrt(np.mean(self._errors**2))) if len(self.lengths) else float("nan")

    @property
    def _errors(self) -> Doubles:
        if self.abilities is None:
            raise AlsimError("bias and RMSE want true abilities, which only simulated examinees have")
        return self.theta - self.abilities

    @property
    def mean_length(self) -> float:
        """Items answered, mean over examinees."""
        return float(np.sum(self.lengths) / max(len(self.lengths), 1))

    @property
    def exposure_rates(self) -> Doubles:
        """Share of examinees who answered each item, (I,)."""
        return self._times_given / max(len(self.lengths), 1)

    @property
    def selection_rates(self) -> Doubles:
        """Share of examinees for whom each item was selected, (I,): given, or set aside by exposure control."""
        return self.times_selected / max(len(self.lengths), 1)

    @property
    def _times_given(self) -> Longs:
        return np.bincount(self.items[self.items >= 0], minlength=len(self.times_selected))

    @property
    def overlap(self) -> float:
        """Share of a test that another examinee had too, mean over pairs; NaN for fewer than two examinees.

            sum of n_i (n_i - 1) / (N (N - 1) * mean length),    n_i examinees who answered item i

        Source: Chen, Ankenmann & Spray (2003), The relationship between item exposure and test overlap.
        """
        given, many = self._times_given, len(self.lengths)
        pairs = many * (many - 1) * self.mean_length
        return float(np.sum(given * (given - 1)) / pairs) if pairs else float("nan")

    def summary(self) -> dict[str, float | int | None]:
        """Return the figures above, and the highest exposure rate and the share of items never used."""
        rates = self.exposure_rates
        return {
            "examinees": len(self.lengths),
            "bias": None if self.abilities is None else self.bias,
            "rmse": None if self.abilities is None else self.rmse,
            "mean_length": self.mean_length,
            "max_exposure": float(rates.max()),
            "unused": float(np.mean(rates == 0)),
            "overlap": self.overlap,
        }


def together(parts: Sequence[CATRun], abilities: Doubles | None) -> CATRun:
    """Return the tests of several groups of examinees as those of one."""
    if len(parts) == 1:
        return replace(parts[0], abilities=abilities)
    columns: dict[str, Any] = {
        f.name: np.concatenate([getattr(part, f.name) for part in parts])
        for f in fields(CATRun)
        if f.name not in ("times_selected", "abilities")
    }
    return CATRun(**columns, times_selected=np.sum([p.times_selected for p in parts], axis=0), abilities=abilities)
