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
from alsim.evaluation.statistics import mean, paired_difference
from alsim.models.student import EloModel, Items
from alsim.types import FIRST_HELD_OUT, Doubles
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
METRICS = {"return": "reward", "learning": "LOs", "below-oracle": "LOs"}
"""Metrics and their units: the return under the default reward; the gain of mastery, summed over the LOs; and how much
lower this gain is than that of the oracle with the same learners."""
ORACLE = "oracle"
"""Policy that the others are compared with; it runs first."""


def measure(policy: str, dynamics: str, learners: int = LEARNERS) -> dict[str, Doubles]:
    """Return the return and the learning, (N,) each, of one episode per learner."""
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
    return {"return": run.metrics.cumulative_reward, "learning": run.metrics.final_mastery * NUM_LOS - start}


def compared(found: dict[str, Doubles], oracle: dict[str, Doubles]) -> dict[str, dict[str, Any]]:
    """Return the statistics of a policy as JSON, by metric."""
    return {
        "return": mean(found["return"]).to_dict(),
        "learning": mean(found["learning"]).to_dict(),
        "below-oracle": paired_difference(oracle["learning"], found["learning"]).to_dict(),
    }


def measure_all(learners: int = LEARNERS) -> dict[str, Any]:
    """Return all statistics, by metric, policy and dynamics, with the settings."""
    found: dict[str, dict[str, dict[str, Any]]] = {m: {policy: {} for policy in POLICIES} for m in METRICS}
    for dynamics in DYNAMICS:
        oracle = measure(ORACLE, dynamics, learners)
        for policy in POLICIES:
            began = time.perf_counter()
            measured = oracle if policy == ORACLE else measure(policy, dynamics, learners)
            for metric, statistic in compared(measured, oracle).items():
                found[metric][policy][dynamics] = statistic
            print(f"{dynamics}, {policy}: {time.perf_counter() - began:.1f} s", file=sys.stderr, flush=True)
    return {"learners": learners, "seed": SEED, "first_learner": FIRST_HELD_OUT, "metrics": found}


def table(results: dict[str, Any], metric: str) -> str:
    """Return the table of a metric: one row per policy, one column per dynamics, mean ± half of the 95 % interval."""
    return markdown(["policy", *DYNAMICS], list(_rows(results["metrics"][metric])), left=(0,))


def _rows(by_policy: dict[str, Any]) -> Iterator[list[str]]:
    for policy, by_dynamics in by_policy.items():
        cells = [by_dynamics[name] for name in DYNAMICS]
        yield [f"`{policy}`", *(f"{cell['mean']:z.2f} ± {(cell['ci'][1] - cell['ci'][0]) / 2:.2f}" for cell in cells)]


def page_of(text: str, results: dict[str, Any]) -> str:
    """Return the text of the page with the tables between their marks."""
    for metric in METRICS:
        text = between_marks(text, table(results, metric), metric)
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", action="store_true", help="update the page only")
    if not parser.parse_args().page:
        RESULTS.write_text(json.dumps(measure_all(), indent=1) + "\n", encoding="utf-8")
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    PAGE.write_text(page_of(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")


if __name__ == "__main__":
    main()
