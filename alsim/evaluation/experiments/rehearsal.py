"""Rehearsal of a planned experiment on simulated students, with its assignment and its analysis."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from alsim.arguments import read_positive
from alsim.evaluation.experiments.plan import ExperimentPlan, read_experiment_plan
from alsim.evaluation.experiments.rehearsal_report import Rehearsal, report_of
from alsim.evaluation.experiments.rehearsal_tests import Found, analysed, look_ends
from alsim.evaluation.experiments.simulation import check_censoring, read_world, simulate

BATCH = 100_000
"""Students that are simulated together."""
Progress = Callable[[int, int], None]
"""Function that is called with the numbers of finished and of all repetitions."""


def rehearse(
    plan: ExperimentPlan | Mapping[str, Any] | str | Path,
    *,
    num_threads: int = 1,
    progress: Progress = lambda *_: None,
) -> Rehearsal:
    """Run a planned experiment many times on simulated students, and count what its analysis finds.

    Each repetition has other held-out learners (clause S11.4). They are assigned and analysed as real students are. For
    the rate of false alarms, all students are taught by the control, so that there is nothing to find.

    plan         plan, its TOML file, a mapping with its keys, or the name of a plan of the package
    num_threads  threads of the simulation; the result does not depend on it
    progress     called with the numbers of finished and of all repetitions

    Returns a Rehearsal. Raises AlsimError for an invalid plan, and for a metric that would be censored for most
    students.
    """
    world = read_world(read_experiment_plan(plan), read_positive(num_threads, "num_threads"))
    known, censored, parts = world.plan, check_censoring(world), list[Found]()
    ends, size = look_ends(known, world.class_size), max(1, BATCH // known.students)
    for start in range(0, known.repetitions, size):
        stop = min(start + size, known.repetitions)
        parts.append(analysed(known, simulate(world, start, stop), ends))
        progress(stop, known.repetitions)
    return report_of(known, ends, Found.joined(parts), censored)


__all__ = ["Progress", "rehearse"]
