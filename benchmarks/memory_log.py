"""Half-life regression on a log with times: `python -m benchmarks.memory_log` writes the table of docs/models/hlr.md.

The log of cloze items, `calibration/memphis_cloze.csv` in the folder that ALSIM_TEST_DATA names, may not be
redistributed, so the script needs that file. Its columns are student, time, item and outcome: correct, incorrect or
study. Each model predicts the answers of students that it has not seen, 30 % of them, in five splits.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from alsim.models import Responses, best_lr, bkt, hlr, pfa, score
from alsim.models.student import FSRSModel, Items, forecasts
from alsim.types import Doubles
from benchmarks.report import between_marks, markdown

PAGE = Path(__file__).parent.parent / "docs" / "models" / "hlr.md"
HELD_OUT, SEEDS = 0.3, range(5)

Predictor = Callable[[Responses, Responses], Doubles]
"""Function of the log of the fit and of the held-out one that returns the predictions of the latter."""


def fsrs_forecasts(train: Responses, test: Responses) -> Doubles:
    """Return the forecasts of FSRS-6 with the published weights; recall before any practice is fitted."""
    prior = hlr.fit(train).pooled_prior
    return forecasts(FSRSModel(Items.of_log(test), prior=prior), test)


PREDICTORS: dict[str, Predictor] = {
    "mean rate": lambda train, test: np.full(len(test), train.correct.mean()),
    "half-life regression, the same for all skills": lambda a, b: hlr.fit(a, by_skill=False).predict(b),
    "half-life regression": lambda a, b: hlr.fit(a).predict(b),
    "half-life regression, guess = 0.3": lambda a, b: hlr.fit(a, guess=0.3).predict(b),
    "FSRS-6, published weights": fsrs_forecasts,
    "PFA": lambda a, b: pfa.fit(a).predict(b),
    "BKT": lambda a, b: bkt.fit(a).predict(b),
    "BKT with forgetting": lambda a, b: bkt.fit(a, forgets=True).predict(b),
    "Best-LR": lambda a, b: best_lr.fit(a).predict(b),
}


def read_log(file: Path) -> Responses:
    """Return the log of cloze items, with its study trials as study events."""
    table = np.genfromtxt(file, delimiter=",", names=True, dtype=None, encoding="utf-8")
    study = table["outcome"] == "study"
    correct = [None if s else float(o == "correct") for s, o in zip(study, table["outcome"].tolist(), strict=True)]
    event = ["study" if s else None for s in study]
    return Responses.from_arrays(table["student"], correct, skill=table["item"], time=table["time"], event=event)


def measure(log: Responses) -> list[tuple[str, ...]]:
    """Return one row per model: mean AUC and log loss over the splits, with the range of the former."""
    rows = []
    for name, predict in PREDICTORS.items():
        found = []
        for seed in SEEDS:
            train, test = log.split(HELD_OUT, seed=seed)
            found.append(score(test.correct, predict(train, test)))
        auc, loss = np.array([one.auc for one in found]), np.array([one.log_loss for one in found])
        rows.append((name, f"{auc.mean():.3f} ({auc.min():.3f} to {auc.max():.3f})", f"{loss.mean():.3f}"))
        print(*rows[-1], sep="\t", flush=True)
    return rows


def main() -> None:
    """Measure, and write the table of the page."""
    if "ALSIM_TEST_DATA" not in os.environ:
        sys.exit("set ALSIM_TEST_DATA to the folder with calibration/memphis_cloze.csv")
    log = read_log(Path(os.environ["ALSIM_TEST_DATA"]) / "calibration" / "memphis_cloze.csv")
    print(log)
    table = markdown(("model", "AUC (range over splits)", "log loss, nats"), measure(log))
    PAGE.write_text(between_marks(PAGE.read_text(encoding="utf-8"), table), encoding="utf-8")


if __name__ == "__main__":
    main()
