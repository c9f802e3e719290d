"""Pages whose examples take seconds each."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SLOW = {
    "docs/bank.md",
    "docs/command-line.md",
    "docs/curriculum.md",
    "docs/datasets.md",
    "docs/dynamics/bkt.md",
    "docs/dynamics/fatigue.md",
    "docs/dynamics/fsrs.md",
    "docs/dynamics/half-life.md",
    "docs/dynamics/index.md",
    "docs/dynamics/linked.md",
    "docs/dynamics/prerequisites.md",
    "docs/engine/cold-start.md",
    "docs/engine/command-line.md",
    "docs/engine/experiments.md",
    "docs/engine/monitoring.md",
    "docs/engine/recommenders.md",
    "docs/engine/simulator.md",
    "docs/evaluation/ab-tests.md",
    "docs/evaluation/certificate.md",
    "docs/evaluation/fairness.md",
    "docs/evaluation/off-policy-engine.md",
    "docs/evaluation/off-policy-logs.md",
    "docs/evaluation/off-policy.md",
    "docs/evaluation/rehearsals.md",
    "docs/evaluation/scorecards.md",
    "docs/evaluation/sequences.md",
    "docs/exports.md",
    "docs/how-to/add-a-dynamics.md",
    "docs/how-to/add-a-policy.md",
    "docs/memory.md",
    "docs/models/cat.md",
    "docs/models/fit-command.md",
    "docs/models/hlr.md",
    "docs/models/irt.md",
    "docs/models/score-command.md",
    "docs/models/simulated-logs.md",
    "docs/models/tutorial.md",
    "docs/policies.md",
    "docs/policies/adaptive-questions.md",
    "docs/policies/bandits.md",
    "docs/policies/comparison.md",
    "docs/policies/schedulers.md",
    "docs/populations.md",
    "docs/quickstart.md",
    "docs/scale.md",
    "docs/statistics.md",
    "docs/time.md",
    "docs/training.md",
}
"""Only CI runs the examples of these pages; their links are among the tests that always run."""

assert all((ROOT / page).is_file() for page in SLOW), "a page in SLOW has moved"


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark the examples of slow pages."""
    callspec = getattr(item, "callspec", None)
    if callspec and callspec.id in SLOW and item.get_closest_marker("versionless"):
        item.add_marker(pytest.mark.ci)
