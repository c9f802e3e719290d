"""Calibration of forecasts by group, before and after recalibration."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from alsim.evaluation.fairness.inputs import Grouping
from alsim.evaluation.fairness.rates import Column, GroupMetrics, means_of
from alsim.evaluation.fairness.recalibration import versions_of
from alsim.evaluation.monitoring import Calibration, calibration
from alsim.types import Doubles

FORECASTS = ("forecasts", "forecasts after recalibration", "forecasts after recalibration by group")
"""Names of the sections about forecasts."""

Calibrations = dict[str, Mapping[str, Calibration]]


def forecast_sections(
    chance: Doubles, outcome: Doubles, groups: Grouping, confidence: float
) -> tuple[dict[str, GroupMetrics], Calibrations]:
    """Return the sections about forecasts (R,) of outcomes (R,), and the calibration of each group, by section."""
    sections, calibrations = {}, dict[str, Mapping[str, Calibration]]()
    for name, p in zip(FORECASTS, versions_of(chance, outcome, groups), strict=False):
        sections[name] = forecast_metrics(p, outcome, groups, confidence)
        calibrations[name] = {
            group: calibration(p[own], outcome[own], groups.units[own])
            for k, group in enumerate(groups.names)
            for own in [groups.codes == k]
        }
    return sections, calibrations


def forecast_metrics(chance: Doubles, outcome: Doubles, groups: Grouping, confidence: float) -> GroupMetrics:
    """Return bias and mean squared error of forecasts by group."""
    everyone = np.ones(len(chance), np.bool_)
    columns = {
        "bias": Column(chance - outcome, everyone),
        "brier": Column((chance - outcome) ** 2, everyone),
    }
    return means_of(columns, groups, confidence)


__all__ = ["FORECASTS", "forecast_metrics", "forecast_sections"]
