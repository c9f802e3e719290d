"""Table of all results and their targets: `python -m benchmarks.table`, or `nox -s bench`.

--readme   also writes the table into benchmarks/README.md, and the data of plots into measured.json
--claims   measures longer, with 10**8 transitions and complete trainings, and writes claims.md; the time to a trained
           policy is that of the last `python -m benchmarks.training_time`
--only     measures some parts: steps, dynamics, phases, rollouts, bandits, comparisons, engine, generation, startup,
           memory, training, ability, calibration, cat, bkt, dkt
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks import (
    bandits,
    comparisons,
    dynamics,
    engine,
    generation,
    memory,
    models_ability,
    models_bkt,
    models_cat,
    models_dkt,
    models_irt_calibration,
    phases,
    recommenders,
    rollouts,
    startup,
    steps,
    training,
)
from benchmarks.measure import PACKAGES, machine
from benchmarks.report import HEADER, Row, between_marks, columns, markdown, number
from benchmarks.training_time import page
from benchmarks.training_time import results as training_times

FOLDER = Path(__file__).parent
README, CLAIMS, MEASURED = FOLDER / "README.md", FOLDER / "claims.md", FOLDER / "measured.json"

PARTS = (
    *(
        "steps",
        "dynamics",
        "phases",
        "rollouts",
        "bandits",
        "comparisons",
        "engine",
        "generation",
        "startup",
        "memory",
        "training",
    ),
    *("ability", "calibration", "cat", "bkt", "dkt"),
)


class Effort(NamedTuple):
    """Duration of the measurements."""

    rounds: int
    budget: float  # seconds per contender and round
    cold_rounds: int
    long: bool  # with 10**8 transitions and complete trainings


SHORT, LONG = Effort(7, 0.08, 1, False), Effort(25, 0.4, 5, True)

Curve = dict[str, list[tuple[int, float]]]


class Results(NamedTuple):
    """Results of the measurements."""

    rows: list[Row]
    curve: Curve  # nanoseconds per learner-step by contender and number of lanes
    phases: dict[str, float]  # nanoseconds per learner, from phases.measure
    by_dynamics: dynamics.Measured  # seconds per step of each dynamics, by number of lanes


def measure(parts: Sequence[str], effort: Effort) -> Results:
    """Measure the parts, and report progress on stderr."""
    rows: list[Row] = []
    curve: Curve = {}
    by_phase: dict[str, float] = {}
    by_dynamics: dynamics.Measured = {}
    # The order matters: other processes are started before this one uses much memory.
    if "startup" in parts:
        rows += _shown(startup.rows(effort.rounds, effort.cold_rounds))
    if "memory" in parts:
        rows += _shown(memory.rows())
    if "engine" in parts:
        rows += _shown(engine.rows())
        rows += _shown(recommenders.rows())
    if "generation" in parts:
        rows += _shown(generation.rows(long=effort.long))
    if "rollouts" in parts:
        rows += _shown(rollouts.rows(effort.rounds))
    if "bandits" in parts:
        rows += _shown(bandits.rows(effort.rounds, effort.budget))
    if "comparisons" in parts:
        rows += _shown(comparisons.rows(effort.rounds))
    if "steps" in parts:
        measured = steps.measure(effort.rounds, effort.budget)
        curve = steps.curve(measured)
        rows = [*_shown(steps.rows(measured, effort.rounds, effort.budget)), *rows]
    if "dynamics" in parts:
        by_dynamics = dynamics.measure(effort.rounds, effort.budget)
        rows += _shown(dynamics.rows(by_dynamics))
        rows += _shown(dynamics.compile_rows(effort.cold_rounds))
    if "dkt" in parts:
        rows += _shown(models_dkt.rows(long=effort.long))
    if "training" in parts:
        rows += _shown(training.rows(long=effort.long))
    if "ability" in parts:
        rows += _shown(models_ability.rows(effort.rounds))
    if "calibration" in parts:
        rows += _shown(models_irt_calibration.rows())
    if "cat" in parts:
        rows += _shown(models_cat.rows(effort.rounds))
    if "bkt" in parts:
        rows += _shown(models_bkt.rows(effort.rounds))
    if "phases" in parts:
        by_phase = phases.measure(effort.rounds)
    return Results(rows, curve, by_phase, by_dynamics)


def _shown(rows: Iterable[Row]) -> Iterator[Row]:
    for row in rows:
        print(f"{row.quantity}: {row.measured}", file=sys.stderr)
        yield row


def by_lanes(curve: Curve) -> str:
    """Return the cost of a learner-step by contender and number of lanes."""
    sizes = sorted({lanes for points in curve.values() for lanes, _ in points})
    rows = []
    for name, points in curve.items():
        cost = dict(points)
        rows.append([name, *(number(cost[lanes]) if lanes in cost else "" for lanes in sizes)])
    return markdown(["ns per learner-step, N =", *(f"{lanes:,}" for lanes in sizes)], rows)


def described(here: dict[str, str]) -> str:
    """Return a sentence about the machine."""
    versions = ", ".join(f"{name} {here[name]}" for name in ("python", *PACKAGES) if name in here)
    place = f"{here['cores']} cores of {here['processor']}, {here['memory']}, {here['system']}"
    return f"On {place}; {versions}; {here['date']}."


def more(results: Results) -> list[str]:
    """Return the tables of costs by number of lanes, by dynamics and by phase."""
    return [
        *([by_lanes(results.curve)] if results.curve else []),
        *([dynamics.table(results.by_dynamics)] if results.by_dynamics else []),
        *([phases.table(results.phases)] if results.phases else []),
    ]


def written(results: Results, here: dict[str, str]) -> str:
    """Return all results as Markdown."""
    return "\n\n".join([described(here), markdown(HEADER, results.rows, left=(0, 4)), *more(results)])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure according to the command line, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readme", action="store_true")
    parser.add_argument("--claims", action="store_true")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    options = parser.parse_args(arguments)
    results, here = measure(options.only, LONG if options.claims else SHORT), machine()
    rows = [columns(HEADER, results.rows)] if results.rows else []
    print("", described(here), *rows, *more(results), sep="\n\n")
    if options.readme:
        README.write_text(between_marks(README.read_text(), written(results, here)))
        keep(MEASURED, results, here)
    if options.claims:
        training_time = page.section(training_times.read())
        CLAIMS.write_text(
            f"# Longer measurements\n\nMeasured with `nox -s claims`. {written(results, here)}\n\n{training_time}\n"
        )


def keep(path: Path, results: Results, here: dict[str, str]) -> None:
    """Write the results for the plot and for comparisons."""
    points = {name: {lanes: float(f"{cost:.4g}") for lanes, cost in line} for name, line in results.curve.items()}
    measured = {
        "machine": here,
        "curve": points,
        "phases": {name: float(f"{cost:.4g}") for name, cost in results.phases.items()},
        "rows": {row.quantity: row.measured for row in results.rows},
    }
    path.write_text(json.dumps(measured, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
