"""Rates of rehearsed experiments: `python -m benchmarks.rehearsals` measures them, in about five minutes on two cores.

It updates the table of docs/evaluation/rehearsals.md and docs/images/rehearsal.png.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NamedTuple

from alsim.evaluation.experiments import Rehearsal, read_experiment_plan, rehearse
from alsim.utils.workers import usable_cores
from benchmarks.plot import BLUE, GREY, INK, finish
from benchmarks.report import between_marks, markdown

DOCS = Path(__file__).parents[1] / "docs"
PAGE, PICTURE = DOCS / "evaluation" / "rehearsals.md", DOCS / "images" / "rehearsal.png"
REPETITIONS = 2000


class Case(NamedTuple):
    """A plan of the package with changes."""

    label: str
    plan: str
    changes: dict[str, Any]


CASES = (
    Case("learning, fixed", "learning", {}),
    Case("learning, sequential", "learning", {"method": "sequential"}),
    Case("classes, fixed", "classes", {}),
    Case("classes, sequential", "classes", {"method": "sequential"}),
)
HEADINGS = (
    "plan",
    "power",
    "false alarms",
    "false alarms, naive",
    "false alarms, no clusters",
    "decision, students",
    "minimum effect",
    "time, s",
)


def measure(case: Case) -> tuple[Rehearsal, float]:
    """Return the rehearsal of a case, and its time in seconds."""
    base = read_experiment_plan(case.plan).model_dump()
    plan = read_experiment_plan(base | {"repetitions": REPETITIONS} | case.changes)
    began = time.perf_counter()
    return rehearse(plan, num_threads=usable_cores()), time.perf_counter() - began


def row(case: Case, found: Rehearsal, seconds: float) -> tuple[str, ...]:
    """Return the row of the table."""
    shares = [found.power, found.false_alarms, found.false_alarms_naive]
    unclustered = f"{100 * found.false_alarms_unclustered.mean:.1f} %" if found.plan.unit == "class" else "–"
    decision = found.decision_time
    return (
        case.label,
        *(f"{100 * share.mean:.1f} %" for share in shares),
        unclustered,
        "–" if decision is None else f"{decision:,.0f}",
        f"{found.minimum_effect:.4f}",
        f"{seconds:.0f}",
    )


def draw(fixed: Rehearsal, sequential: Rehearsal) -> None:
    """Draw power and false alarms over the students."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 3.2))
    axes = figure.add_subplot()
    students = fixed.ends
    naive = [100 * share for share in fixed.curves()["false_alarms_naive"]]
    power, alarms = ([100 * share for share in sequential.curves()[key]] for key in ("power", "false_alarms"))
    axes.plot(students, power, color=BLUE, marker="o", markersize=3, label="effect found, confidence sequence")
    axes.plot(students, naive, color=INK, marker="s", markersize=3, label="false alarms, fixed test at each look")
    axes.plot(students, alarms, color=GREY, marker="^", markersize=3, label="false alarms, confidence sequence")
    axes.axhline(5, color=GREY, linewidth=0.8, linestyle="--")
    axes.set(xlabel="students", ylabel="experiments, %", ylim=(-2, 102))
    axes.legend(frameon=False)
    finish(axes, "Experiments in which an effect was found")
    figure.savefig(PICTURE, bbox_inches="tight", dpi=110, metadata={"Software": None})


def main() -> None:
    """Measure all cases, and update page and picture."""
    found = {case.label: measure(case) for case in CASES}
    rows = [row(case, *found[case.label]) for case in CASES]
    print(markdown(HEADINGS, rows))
    PAGE.write_text(between_marks(PAGE.read_text("utf-8"), markdown(HEADINGS, rows), "rates"), "utf-8")
    draw(found[CASES[0].label][0], found[CASES[1].label][0])


if __name__ == "__main__":
    main()
