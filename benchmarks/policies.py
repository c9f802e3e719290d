"""Return and learning of every policy under every dynamics, on the held-out learners of clause S11.4.

python -m benchmarks.policies            measures all, in about 20 minutes, and updates benchmarks/policies.json and
                                         docs/policies/comparison.md
python -m benchmarks.policies --page     updates the page from benchmarks/policies.json
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import alsim
from alsim.evaluation import mean
from alsim.models.student import EloModel, Items
from alsim.types import FIRST_HELD_OUT
from benchmarks.dynamics import edges
from benchmarks.report import between_marks, markdown

RESULTS = Path(__file__).with_name("policies.json")
PAGE = Path(__file__).parents[1] / "docs" / "policies" / "comparison.md"

LEARNERS, SEED, NUM_LOS = 1000, 0, 30
DYNAMICS: dict[str, dict[str, Any]] = {
    "standard": {},
    "linked": {},
    "bkt": {},
    "prerequisites": {"curriculum": edges()},
    "fatigue": {},
}
POLICIES = (
    *("uniform", "round-robin", "rules", "epsilon-greedy:rules:0.1", "mix:rules=0.7,uniform=0.3", "weakest"),
    *("video-weakest", "mastery-gated", "zpd", "zpdes", "cat", "bkt", "student:FILE"),
    *("thompson", "lints", "ucb1", "linucb", "softmax", "igw", "exp3"),
    *("thompson:0.1:0.05:true", "linucb:1.0:0.05:true", "oracle", "oracle:8:2"),
)
"""Names of the policies; FILE is the untrained Elo model of the cells of questions."""
METRICS = {"return": "reward", "learning": "LOs"}
"""Metrics and their units; learning is the gain of mastery, summed over the LOs."""


def measure(policy: str, dynamics: str, learners: int = LEARNERS) -> dict[str, dict[str, Any]]:
    """Return the statistics of a policy under a dynamics as JSON, by metric."""
    with tempfile.TemporaryDirectory() as folder:
        file = EloModel(Items.of_cells(NUM_LOS)).save(Path(folder, "elo.npz"))
        run = alsim.rollout(
            policy.replace("FILE", str(file)),
            num_learners=learners,
            first_learner=FIRST_HELD_OUT,
            seed=SEED,
            dynamics=dynamics,
            config=DYNAMICS[dynamics],
        )
    first = np.cumsum(run.interactions.length) - run.interactions.length
    assert run.obs is not None
    start = run.obs[first, :NUM_LOS].astype(float).sum(axis=1)
    learning = run.metrics.final_mastery * NUM_LOS - start
    return {
        "return": mean(run.metrics.cumulative_reward).to_dict(),
        "learning": mean(learning).to_dict(),
    }


def measure_all(learners: int = LEARNERS) -> dict[str, Any]:
    """Return all statistics, by metric, policy and dynamics, with the settings."""
    found: dict[str, dict[str, dict[str, Any]]] = {metric: {} for metric in METRICS}
    for policy in POLICIES:
        for dynamics in DYNAMICS:
            began = time.perf_counter()
            for metric, statistic in measure(policy, dynamics, learners).items():
                found[metric].setdefault(policy, {})[dynamics] = statistic
            print(f"{policy}, {dynamics}: {time.perf_counter() - began:.1f} s", file=sys.stderr, flush=True)
    return {"learners": learners, "seed": SEED, "first_learner": FIRST_HELD_OUT, "metrics": found}


def table(results: dict[str, Any], metric: str) -> str:
    """Return the table of a metric: one row per policy, one column per dynamics, mean ± half of the 95 % interval."""
    return markdown(["policy", *DYNAMICS], list(_rows(results["metrics"][metric])), left=(0,))


def _rows(by_policy: dict[str, Any]) -> Iterator[list[str]]:
    for policy, by_dynamics in by_policy.items():
        cells = [by_dynamics[name] for name in DYNAMICS]
        half = [(cell["ci"][1] - cell["ci"][0]) / 2 for cell in cells]
        yield [f"`{policy}`", *(f"{cell['mean']:.2f} ± {h:.2f}" for cell, h in zip(cells, half, strict=True))]


def update_page(results: dict[str, Any]) -> None:
    """Write the tables between their marks in the page."""
    text = PAGE.read_text(encoding="utf-8")
    for metric in METRICS:
        text = between_marks(text, metric, table(results, metric))
    PAGE.write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", action="store_true", help="update the page only")
    if not parser.parse_args().page:
        RESULTS.write_text(json.dumps(measure_all(), indent=1) + "\n", encoding="utf-8")
    update_page(json.loads(RESULTS.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
