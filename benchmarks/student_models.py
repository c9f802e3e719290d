"""Comparison of the student models on published logs: `python -m benchmarks.student_models [--only MODEL ...]`.

The logs are read from the folder that ALSIM_TEST_DATA names. Results are saved in student_models.json, from which the
tables in docs/models/comparison.md are written. With `--only`, the results of the other models stay unchanged. Times
are CPU seconds of one thread after a warm-up: set OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from alsim.models import Fit, Responses, best_lr, bkt, dkt, irt, pfa, read_responses, score, skill_mean
from benchmarks.measure import machine
from benchmarks.report import markdown, number
from benchmarks.table import between_marks, described

FOLDER = Path(__file__).parent
MEASURED = FOLDER / "student_models.json"
PAGE = FOLDER.parent / "docs" / "models" / "comparison.md"

CONTENDERS: dict[str, Callable[[Responses], Fit]] = {
    "mean of each skill": skill_mean.fit,
    "IRT, 2PL": irt.fit,
    "PFA": pfa.fit,
    "Best-LR": best_lr.fit,
    "BKT": bkt.fit,
    "BKT with forgetting": lambda responses: bkt.fit(responses, forgets=True),
    "DKT": dkt.fit,
}
"""The models, each with the defaults of its `fit`."""

ASSIST, QUESTIONS, CONCEPTS = (
    "ASSISTments 2015",
    "synthetic-5, skills the questions",
    "synthetic-5, skills the concepts",
)
WARMUP_STUDENTS = 40
"""Number of students in a first fit, which is not timed because it compiles."""

Measured = dict[str, dict[str, dict[str, float]]]
"""Results by log and model: the fields of Scores, and the CPU seconds of fitting and forecasting."""


class Split(NamedTuple):
    """A log split into training and test students."""

    train: Responses
    test: Responses


def logs(folder: Path) -> Iterator[tuple[str, list[Split]]]:
    """Yield the name of each log and its splits, which are those of the literature."""
    assist = folder / "kt_assist2015"
    parts = (read_responses(assist / f"{part}.csv", format="three-line") for part in ("train", "test"))
    yield ASSIST, [Split(*parts)]
    for name in (QUESTIONS, CONCEPTS):
        yield name, [_synthetic(folder / "kt_synthetic5", version, name) for version in range(3)]


def _synthetic(folder: Path, version: int, name: str) -> Split:
    """Return a simulated set of the DKT paper: 4,000 students, 50 questions; the first half is for training."""
    answers = np.loadtxt(folder / f"v{version}.csv", np.int64, delimiter=",")
    questions = np.arange(answers.shape[1])
    lines = (
        (folder / f"v{version}_info.txt").read_text().replace(",", " ").splitlines()
    )  # of the published files, one has tabs and two have commas
    concepts = [int(line.split()[2]) for line in lines if line]
    skills = concepts if name == CONCEPTS else questions
    log = Responses.from_matrix(answers, items=questions, skills=skills)
    half = np.arange(log.num_students) < log.num_students // 2
    return Split(log.subset(half), log.subset(~half))


def measure(fit: Callable[[Responses], Fit], splits: list[Split]) -> dict[str, float]:
    """Fit to the training students and score on the test students; return the means over the splits."""
    results = []
    for train, test in splits:
        began = time.process_time()
        fitted = fit(train)
        between = time.process_time()
        scores = score(test.correct, fitted.predict(test))
        ended = time.process_time()
        results.append({**scores._asdict(), "fit_seconds": between - began, "predict_seconds": ended - between})
    return {name: statistics.fmean(result[name] for result in results) for name in results[0]}


def table(measured: Measured) -> str:
    """Return one Markdown table per log."""
    header = ("model", "test AUC", "RMSE", "log loss", "accuracy", "to fit, s", "to forecast, s")
    tables = []
    for log, models in measured.items():
        responses = next(iter(models.values()))["responses"]
        rows = [
            [name, *(f"{models[name][key]:.4f}" for key in ("auc", "rmse", "log_loss", "accuracy"))]
            + [number(models[name][key], 2) for key in ("fit_seconds", "predict_seconds")]
            for name in CONTENDERS
            if name in models
        ]
        tables.append(f"**{log}**, {responses:,.0f} responses to forecast\n\n{markdown(header, rows)}")
    return "\n\n".join(tables)


def written(saved: Any) -> str:
    """Return the saved results as Markdown."""
    return f"{table(saved['logs'])}\n\n{described(saved['machine'])}"


def main() -> None:
    """Measure the chosen models, save the results, and update the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=[*CONTENDERS])
    chosen = parser.parse_args().only
    saved = json.loads(MEASURED.read_text(encoding="utf-8")) if MEASURED.exists() else {"logs": {}}
    for log, splits in logs(Path(os.environ["ALSIM_TEST_DATA"])):
        for model in chosen:
            if model != "DKT":  # a fit of DKT compiles nothing
                CONTENDERS[model](splits[0].train.subset(np.arange(WARMUP_STUDENTS))).predict(splits[0].test)
            results = measure(CONTENDERS[model], splits)
            saved["logs"].setdefault(log, {})[model] = {name: float(f"{value:.6g}") for name, value in results.items()}
            print(f"{log}, {model}: {results}", file=sys.stderr, flush=True)
            saved["machine"] = machine()
            MEASURED.write_text(json.dumps(saved, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(between_marks(PAGE.read_text(encoding="utf-8"), written(saved)), encoding="utf-8")
    print(written(saved))


if __name__ == "__main__":
    main()
