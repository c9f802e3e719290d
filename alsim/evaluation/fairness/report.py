"""Results of an evaluation of fairness: sections of metrics by group, calibration, and tests of items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from alsim.evaluation.fairness.items import DIF
from alsim.evaluation.fairness.rates import GroupMetrics
from alsim.evaluation.monitoring import Calibration
from alsim.types import safe_repr


@dataclass(frozen=True)
class Fairness:
    """Metrics by group, their gaps, and flags.

    groups       names of the groups
    members      number of independent learners (or rows) of each group
    sections     metrics by group, by name of the section; the gaps of a section are one family of tests
    calibration  calibration of forecasts, by section and group
    items        tests of items for DIF, one per focal group
    unit         independent unit: "learner", "class" or "row"
    notes        sentences about what was left out
    """

    groups: tuple[str, ...]
    members: Mapping[str, int]
    sections: Mapping[str, GroupMetrics]
    calibration: Mapping[str, Mapping[str, Calibration]] = field(default_factory=dict)
    items: Sequence[DIF] = ()
    unit: str = "learner"
    notes: Sequence[str] = ()

    @safe_repr
    def __repr__(self) -> str:
        """Return the groups and the sections."""
        return f"<Fairness of {len(self.groups)} groups: {', '.join(self.sections)}>"

    @property
    def flags(self) -> list[dict[str, Any]]:
        """Significant gaps, and items with DIF, as JSON values."""
        found: list[dict[str, Any]] = [
            {"kind": "gap", "section": section, "metric": name, **metrics.gaps[name].to_dict()}
            for section, metrics in self.sections.items()
            for name in metrics.flags
        ]
        for tests in self.items:
            found += [{"kind": "item", "focal": tests.focal, **row} for row in tests.table() if row["flagged"]]
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return the keys groups, gaps, flags, items, unit and notes as JSON values."""
        return {
            "groups": {group: self._group(group) for group in self.groups},
            "gaps": {
                section: {name: gap.to_dict() for name, gap in metrics.gaps.items()}
                for section, metrics in self.sections.items()
            },
            "flags": self.flags,
            "items": {tests.focal: tests.table() for tests in self.items},
            "unit": self.unit,
            "notes": list(self.notes),
        }

    def _group(self, group: str) -> dict[str, Any]:
        """Return the metrics of a group by section."""
        sections = {
            section: {name: found[group].to_dict() for name, found in metrics.by_group.items()}
            for section, metrics in self.sections.items()
        }
        calibrations = {section: found[group].to_dict() for section, found in self.calibration.items()}
        return {"members": self.members[group], **sections, "calibration": calibrations}


__all__ = ["Fairness"]
