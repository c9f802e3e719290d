"""Results of training algorithms, each of which was trained with several seeds: one score per training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from alsim.errors import AlsimError, InputTypeError
from alsim.evaluation.comparison import Comparison
from alsim.evaluation.metrics import COMPARED
from alsim.evaluation.runs import iqm, performance_profile, probability_of_improvement, run_interval
from alsim.types import Doubles

THRESHOLDS = 101
"""Number of thresholds of a performance profile, from the lowest to the highest score of all trainings."""


def algorithms_report(comparison: Comparison, algorithms: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the results of algorithms as JSON values. A score is the mean of a metric of one training.

    comparison  comparison of all trainings
    algorithms  labels of the trainings of each algorithm, which differ only by seed, at least two

    Returns, by name of the algorithm, its `policies` and for each metric the interquartile mean with its bootstrap
    interval over trainings; `improvement`: the probability that a training of a has a higher score than one of b; and
    `profiles`: the share of trainings above each threshold. Metrics that are undefined for a training are left out.
    Raises AlsimError for unknown labels.
    """
    _check(comparison, algorithms)
    scores = {
        name: {label: _scores(comparison, runs, label) for label in COMPARED} for name, runs in algorithms.items()
    }
    shared = [label for label in COMPARED if all(np.isfinite(own[label]).all() for own in scores.values())]
    return {
        "algorithms": {
            name: {"policies": [*runs], "metrics": {label: _iqm(scores[name][label]) for label in shared}}
            for name, runs in algorithms.items()
        },
        "improvement": [
            _improvement(a, b, label, scores[a][label], scores[b][label])
            for a, b in combinations(algorithms, 2)
            for label in shared
        ],
        "profiles": {label: _profiles({name: own[label] for name, own in scores.items()}) for label in shared},
    }


def _check(comparison: Comparison, algorithms: Mapping[str, Sequence[str]]) -> None:
    """Raise AlsimError unless each algorithm has at least two policies of the comparison."""
    for name, runs in algorithms.items():
        if isinstance(runs, str) or len(runs) < 2:
            raise InputTypeError(f"an algorithm must be a list of at least two policies; got {name!r}: {runs!r:.100}")
        for label in runs:
            if label not in comparison.values:
                raise AlsimError(
                    f"the algorithm {name!r} has the policy {label!r:.100}, which is not compared; compared are "
                    f"{', '.join(comparison.values)}"
                )


def _scores(comparison: Comparison, runs: Sequence[str], metric: str) -> Doubles:
    """Return the mean of a metric of each training, (R,); NaN if it is undefined."""
    return np.array([comparison.statistic(label, metric).mean for label in runs])


def _iqm(scores: Doubles) -> dict[str, Any]:
    """Return the interquartile mean of the scores of trainings as JSON, with the range of the scores."""
    found = run_interval(iqm, scores).to_dict()
    return {
        "iqm": found["mean"],
        "se": found["se"],
        "ci": found["ci"],
        "n": found["n"],
        "min": float(scores.min()),
        "max": float(scores.max()),
    }


def _improvement(a: str, b: str, metric: str, x: Doubles, y: Doubles) -> dict[str, Any]:
    """Return the probability that a training of a has a higher score than one of b, as JSON."""
    found = run_interval(probability_of_improvement, x, y).to_dict()
    return {"a": a, "b": b, "metric": metric, "probability": found["mean"], "ci": found["ci"]}


def _profiles(scores: Mapping[str, Doubles]) -> dict[str, Any]:
    """Return the performance profiles of all algorithms at common thresholds, as JSON."""
    every = np.concatenate([*scores.values()])
    thresholds = np.linspace(every.min(), every.max(), THRESHOLDS)
    shares = {name: performance_profile(own, thresholds).tolist() for name, own in scores.items()}
    return {"thresholds": thresholds.tolist(), "shares": shares}


__all__ = ["algorithms_report"]
