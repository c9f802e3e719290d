"""Scorecards of all student models: `python -m benchmarks.scorecards`, in some minutes on one core.

python -m benchmarks.scorecards                measures all, and updates benchmarks/scorecards.json and
                                               docs/evaluation/scorecards.md
python -m benchmarks.scorecards --only MODEL   measures some models again
python -m benchmarks.scorecards --page         updates the page from benchmarks/scorecards.json

DKT needs the optional dependency `dkt`. Set OMP_NUM_THREADS=1 to repeat its numbers.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from alsim.evaluation.scorecards import scorecard
from benchmarks.report import between_marks, markdown, number

RESULTS = Path(__file__).with_name("scorecards.json")
PAGE = Path(__file__).parents[1] / "docs" / "evaluation" / "scorecards.md"
LOGS = 4
"""Logs of each kind of learners; of DKT, one."""
MODELS = (
    *("irt:3pl", "irt:2pl", "irt:1pl", "irt:rasch", "bkt", "dkt", "pfa", "best-lr", "skill-mean"),
    *("elo", "glicko", "alosi", "hlr", "fsrs"),
)
WORLDS = ("constant-ability", "bkt", "standard", "half-life", "fsrs")


def measured(model: str) -> dict[str, Any]:
    """Return the JSON values of a scorecard without the bins of its calibrations, and its CPU seconds."""
    began = time.process_time()
    card = scorecard(model, logs=1 if model == "dkt" else LOGS).to_dict()
    card["seconds"] = time.process_time() - began
    for section in (card, *card["others"], card["misfit"] or {}):
        for name in ("calibration", "forecasts"):
            (section.get(name) or {}).pop("bins", None)
    return card


def with_error(found: dict[str, Any], places: int = 3) -> str:
    """Return an estimate with its standard error; "–" for none."""
    if found["mean"] is None:
        return "–"
    text = f"{found['mean']:.{places}f}".replace("-", "−")
    return text if found["se"] is None else f"{text} ± {found['se']:.{places}f}"


def table(saved: dict[str, Any]) -> str:
    """Return the tables in Markdown: AUCs of all models, and recovery of those that have parameters."""
    rows = []
    for name, card in saved.items():
        sections = {one["world"]: one for one in (card, *card["others"], card["misfit"]) if one}
        misfit = (card["misfit"] or {}).get("world")
        cells = [
            "–" if world not in sections else with_error(sections[world]["excess"]) + " (misfit)" * (world == misfit)
            for world in WORLDS
        ]
        change = card["future_change"]
        rows.append(
            [f"`{name}`", *cells, with_error(card["canary_auc"]), "0" if change < 1e-9 else f"{change:.0e}"]
            + [number(card["seconds"], 2)]
        )
    header = ("model", *(f"AUC − oracle, {world}" for world in WORLDS), "AUC, coin flips", "change", "CPU, s")
    recovery = [
        [f"`{name}`", key, with_error(one["bias"]), f"{one['rmse']:.3f}", f"{one['stated_se'] or 0:.3f}"]
        + [with_error(one["coverage"]), with_error(other["bias"]) if other else "–"]
        + [with_error(other["coverage"]) if other else "–"]
        for name, card in saved.items()
        for key, one in (card["recovery"] or {}).items()
        for other in [((card["misfit"] or {}).get("parameters") or {}).get(key)]
    ]
    titles = ("model", "parameter", "bias", "RMSE", "stated SE", "coverage", "misfit: bias", "misfit: coverage")
    return f"{markdown(header, rows)}\n\n{markdown(titles, recovery, (0, 1))}"


def main() -> None:
    """Measure the chosen models, save the results, and update the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=MODELS, default=[*MODELS])
    parser.add_argument("--page", action="store_true")
    arguments = parser.parse_args()
    saved = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    if not arguments.page:
        for model in arguments.only:
            saved[model] = json.loads(json.dumps(measured(model)), parse_float=lambda text: float(f"{float(text):.4g}"))
            print(model, f"{saved[model]['seconds']:.0f} s", file=sys.stderr, flush=True)
            saved = {name: saved[name] for name in MODELS if name in saved}
            RESULTS.write_text(json.dumps(saved, indent=1) + "\n", encoding="utf-8")
    if PAGE.exists():
        PAGE.write_text(between_marks(PAGE.read_text(encoding="utf-8"), table(saved)), encoding="utf-8")


if __name__ == "__main__":
    main()
