"""Results of the measurements, and the quantities that tables and figures show."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.report import number

MEASURED = Path(__file__).parent.parent / "training_time.json"
NEVER = math.inf
FURTHER = {"matrix products alone"}
"""Shares that are not parts of a training: they are contained in other parts."""

Result = Mapping[str, Any]
"""Result of one contender, from `child.measure`."""


def read(path: Path = MEASURED) -> dict[str, Result]:
    """Return the saved results by contender."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def save(results: Mapping[str, Result], path: Path = MEASURED) -> None:
    """Write results, with one line for each seed."""
    lines = []
    for name, result in results.items():
        seeds = ",\n".join(f"   {json.dumps(seed)}: {json.dumps(run)}" for seed, run in result["seeds"].items())
        others = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in result.items() if key != "seeds"]
        body = ",\n".join([*others, f'  "seeds": {{\n{seeds}\n  }}'])
        lines.append(f" {json.dumps(name)}: {{\n{body}\n }}")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def seconds_to(result: Result, level: float, column: str = "returns") -> list[float]:
    """Return the processor seconds until an evaluation first reaches a level, by seed; NEVER if none does."""
    return [
        next((s for s, value in zip(run["seconds"], run[column], strict=True) if value >= level), NEVER)
        for run in result["seeds"].values()
    ]


def speeds(result: Result) -> list[float]:
    """Return the interactions per processor second, by seed."""
    return [result["steps"][-1] / run["seconds"][-1] for run in result["seeds"].values()]


def finals(result: Result, column: str = "returns") -> list[float]:
    """Return the last evaluations, by seed."""
    return [run[column][-1] for run in result["seeds"].values()]


def median_and_range(values: Sequence[float], digits: int = 2) -> str:
    """Return the median and the range as text."""
    if len(values) == 1:
        return written(values[0], digits)
    ends = "–".join(written(value, digits) for value in (min(values), max(values)))
    return f"{written(statistics.median(values), digits)} ({ends})"


def written(value: float, digits: int = 2) -> str:
    """Return a number as text, or "never"."""
    return "never" if value == NEVER else number(value, digits)


def limits(result: Result) -> str:
    """Return the shares of the parts of a training as text, the largest first, then those of further measurements."""
    shares = sorted(result["shares"].items(), key=lambda item: -item[1])
    groups = [
        [f"{name} {100 * share:.0f} %" for name, share in shares if (name in FURTHER) is after]
        for after in (False, True)
    ]
    return "; ".join(", ".join(group) for group in groups if group)
