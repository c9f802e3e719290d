"""Summary of trainings over their seeds: statistics of the final evaluations, and learning curves with bands."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from alsim.evaluation.estimates import deviation_of, estimate
from alsim.evaluation.held_out import EVALUATED
from alsim.training.curve import EVALUATION_COLOR, PANELS, Row, draw_levels, finish
from alsim.training.plan import BASELINES
from alsim.training.run import Training
from alsim.training.seeds_directory import MARK, VERSION, SeedsPlan
from alsim.training.settings import TrainingError
from alsim.utils.figures import new_figure, write_figure
from alsim.utils.files import write_atomic

METRICS = (*EVALUATED, "give_ups")
"""Metrics of the final evaluation."""
COLUMNS = tuple(name for name in Row._fields if name.startswith("eval_"))
"""Columns of learning curves with evaluations on held-out learners."""
SPECIFIED = "under_specified_reward"


def over_seeds(values: Sequence[float]) -> dict[str, Any]:
    """Return statistics of one value per seed.

    The keys are mean, sd (standard deviation with n - 1), se (standard error of the mean, sd / sqrt(n)), min, median,
    max and n. With one seed, sd and se are None.
    """
    array = np.asarray(values, np.float64)
    found = estimate(array).to_dict()
    return {
        "mean": found["mean"],
        "sd": deviation_of(array) if len(array) > 1 else None,
        "se": found["se"],
        "min": float(array.min()),
        "median": float(np.median(array)),
        "max": float(array.max()),
        "n": found["n"],
    }


def summarize(plan: SeedsPlan, trainings: Sequence[Training]) -> dict[str, Any]:
    """Return the content of summary.json. Raises TrainingError for an evaluation that is not one of a training."""
    rows = []
    for seed, training in zip(plan.seeds, trainings, strict=True):
        with _readable(training):
            rows.append(_training_entry(seed, plan.first.name, training))
    with _readable(trainings[0]):
        return {
            MARK: VERSION,
            "seed": plan.first.seed,
            "seeds": plan.num_seeds,
            "algorithm": plan.first.algorithm,
            "backend": plan.first.backend,
            "policy": plan.first.name,
            **_shared(trainings[0].evaluation, rows),
            "trainings": rows,
            "training": {
                "steps": sum(row["steps"] for row in rows),
                "seconds": round(sum(row["seconds"] for row in rows), 1),
                "versions": trainings[0].evaluation["training"]["versions"],
            },
        }


@contextmanager
def _readable(training: Training) -> Iterator[None]:
    """Raise TrainingError, which names the training, if its evaluation lacks a key within the context."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise TrainingError(
            f"{training.path} has no evaluation of this version of alsim: {type(error).__name__}: {error}; delete this "
            "directory to train with its seed again"
        ) from None


def _training_entry(seed: int, name: str, training: Training) -> dict[str, Any]:
    """Return the entry of one training in the summary."""
    run, policies = training.evaluation["training"], training.evaluation["policies"]
    entry = {
        "seed": seed,
        "directory": training.path.name,
        **{key: run[key] for key in ("steps", "seconds", "breaks", "best_steps")},
        "metrics": {metric: float(policies[name][metric]["mean"]) for metric in METRICS},
        "standard_errors": {metric: policies[name][metric]["se"] for metric in METRICS},
    }
    if SPECIFIED in training.evaluation:
        specified = training.evaluation[SPECIFIED][name]
        entry[SPECIFIED] = {metric: float(specified[metric]["mean"]) for metric in METRICS}
    return entry


def _shared(evaluation: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the statistics over the seeds, and the other policies, which have the same results for all seeds."""

    def block(key: str, policies: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "metrics": {metric: over_seeds([row[key][metric] for row in rows]) for metric in METRICS},
            "baselines": {baseline: policies[baseline] for baseline in BASELINES},
        }

    shared = {"learners": evaluation["learners"], **block("metrics", evaluation["policies"])}
    if SPECIFIED in evaluation:
        shared[SPECIFIED] = block(SPECIFIED, evaluation[SPECIFIED])
    return shared


# ── learning curves ──────────────────────────────────────────────────────────────────────────────


class Band(NamedTuple):
    """Median, quartiles and range over the seeds, of one metric after a number of interactions."""

    median: float
    q25: float
    q75: float
    min: float
    max: float


def bands(curves: Sequence[Sequence[Row]], column: str) -> dict[int, Band]:
    """Return the band of a column by number of interactions, in order; `curves` has the rows of each training."""
    values: dict[int, list[float]] = {}
    for row in (row for rows in curves for row in rows):
        if (value := getattr(row, column)) is not None:
            values.setdefault(row.steps, []).append(value)
    quantiles = (0.5, 0.25, 0.75, 0, 1)
    return {steps: Band(*map(float, np.quantile(values[steps], quantiles))) for steps in sorted(values)}


def write_curves(file: Path, curves: Sequence[Sequence[Row]]) -> None:
    """Write the bands of all evaluated metrics as CSV, one row per evaluation."""
    columns = {column: bands(curves, column) for column in COLUMNS}
    steps = sorted({steps for band in columns.values() for steps in band})
    counts = {at: sum(row.steps == at and row.evaluated for rows in curves for row in rows) for at in steps}
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["steps", "seeds", *(f"{column}_{part}" for column in COLUMNS for part in Band._fields)])
    missing = (None,) * len(Band._fields)
    for at in steps:
        cells = [value for column in COLUMNS for value in columns[column].get(at, missing)]
        writer.writerow([at, counts[at], *("" if value is None else f"{value:.6g}" for value in cells)])
    write_atomic(file, stream.getvalue().encode())


def draw_curves(file: Path, curves: Sequence[Sequence[Row]], levels: Mapping[str, Mapping[str, Any]]) -> None:
    """Draw the medians and bands of return and final mastery, and write the PNG file atomically.

    levels  statistics of other policies by policy name; their means are drawn as horizontal lines
    """
    figure = new_figure(9.6, 3.8)
    for axes, panel in zip(figure.subplots(1, len(PANELS)), PANELS, strict=True):
        band = bands(curves, panel.evaluation)
        steps, columns = [*band], dict(zip(Band._fields, zip(*band.values(), strict=True), strict=True))
        style = {"color": EVALUATION_COLOR, "linewidth": 0}
        axes.fill_between(steps, columns["min"], columns["max"], alpha=0.15, label="range", **style)
        axes.fill_between(steps, columns["q25"], columns["q75"], alpha=0.35, label="quartiles", **style)
        axes.plot(steps, columns["median"], color=EVALUATION_COLOR, linewidth=2, label="median")
        draw_levels(axes, {name: statistics[panel.level]["mean"] for name, statistics in levels.items()})
        finish(axes, f"{panel.title}, {len(curves)} seeds")
        axes.legend(frameon=False, fontsize=9, loc="best")
    write_figure(figure, file)


__all__ = ["METRICS", "bands", "draw_curves", "over_seeds", "summarize", "write_curves"]
