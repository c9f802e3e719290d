"""Fairness: rates of groups and their gaps, differential item functioning, and gaps against the truth."""

from alsim.evaluation.fairness.gaps import Gap
from alsim.evaluation.fairness.items import DIF, MantelHaenszelTest, dif, mantel_haenszel, mantel_haenszel_tables
from alsim.evaluation.fairness.planted import Detection, Planted, detection, plant_dif
from alsim.evaluation.fairness.rates import MEASURES, GroupMetrics, group_means, group_metrics
from alsim.evaluation.fairness.recalibration import platt_scaling
from alsim.evaluation.fairness.report import Fairness
from alsim.evaluation.fairness.simulated import evaluate_dataset
from alsim.evaluation.fairness.tables import evaluate_table
from alsim.responses.named_columns import FileOptions

__all__ = [
    "DIF",
    "MEASURES",
    "Detection",
    "FileOptions",
    "Fairness",
    "Gap",
    "GroupMetrics",
    "MantelHaenszelTest",
    "Planted",
    "detection",
    "dif",
    "evaluate_dataset",
    "evaluate_table",
    "group_means",
    "group_metrics",
    "mantel_haenszel",
    "mantel_haenszel_tables",
    "plant_dif",
    "platt_scaling",
]
