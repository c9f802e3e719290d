"""Trainings with populations, sessions and other dynamics: settings, and resuming to the same bits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alsim.dynamics import DYNAMICS
from alsim.evaluation.held_out import HeldOut
from alsim.training import TrainingError, run, train

INTERPRETED = pytest.mark.interpreted
OWN = tuple(name for name, dynamics in DYNAMICS.items() if dynamics.parameters.__module__.startswith("alsim."))
QUICK = {"num_envs": 8, "n_steps": 8, "minibatches": 2, "net_arch": [4], "steps": 384}


class Stop(Exception):
    """Interruption of a training."""


@pytest.fixture(autouse=True)
def _few_learners(monkeypatch: Any) -> None:
    monkeypatch.setattr(run, "FINAL", HeldOut(run.FINAL.first, 6))
    monkeypatch.setattr(run, "SELECTION", HeldOut(run.SELECTION.first, 4))


def rules(name: str, rows: int = 1000) -> dict[str, Any]:
    """Return a configuration with domain randomisation: each row has other starting distributions."""
    random = np.random.default_rng(0)
    mean, alpha = random.normal(size=rows).round(2).tolist(), random.integers(1, 5, rows).tolist()
    population = [
        {"share": 1 / rows, "learner": {"ability_mean": m, "mastery_alpha": a}}
        for m, a in zip(mean, alpha, strict=True)
    ]
    small = {"num_los": 3, "max_episode_steps": 8, "dynamics": name, "curriculum": [[0, 1]]}
    return {**small, "population": population, "sessions": {"interactions": 3, "break_hours": 24.0}}


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("algorithm", "name"),
    [
        *(pytest.param("ppo", name, marks=pytest.mark.ci if name == "standard" else INTERPRETED) for name in OWN),
        pytest.param("dqn", "fatigue", marks=INTERPRETED),
    ],
)
def test_an_interrupted_training_with_a_population_gives_the_same_bits(
    tmp_path: Path, algorithm: str, name: str
) -> None:
    def stop(moment: Any) -> None:
        if moment.steps >= 192:
            raise Stop

    arguments: dict[str, Any] = {"config": rules(name), "hyperparameters": QUICK, "eval_every": 128}
    whole = train(algorithm, out=tmp_path / "whole", **arguments)
    with pytest.raises(Stop):
        train(algorithm, out=tmp_path / "run", progress=stop, **arguments)
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert len(settings["config"]["population"]) == 1000 and settings["config"]["dynamics"]["name"] == name
    resumed = train(algorithm, out=tmp_path / "run", **arguments)
    assert resumed.evaluation["training"]["breaks"] == 1
    assert resumed.policy.digest == whole.policy.digest
    assert resumed.evaluation["policies"] == whole.evaluation["policies"]


@pytest.mark.heavy
@pytest.mark.interpreted
def test_a_training_depends_on_the_population(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"hyperparameters": QUICK, "eval_every": 128}
    one, other = (
        train("ppo", out=tmp_path / str(rows), config=rules("standard", rows), **arguments).policy.digest
        for rows in (1, 1000)
    )
    assert one != other


@pytest.mark.ci
def test_another_population_does_not_resume_a_training(tmp_path: Path) -> None:
    def stop(moment: Any) -> None:
        raise Stop

    arguments: dict[str, Any] = {"out": tmp_path / "run", "hyperparameters": QUICK, "eval_every": 128}
    with pytest.raises(Stop):
        train("ppo", config=rules("standard"), progress=stop, **arguments)
    changed = {**rules("standard"), "population": [{"share": 1.0}]}
    with pytest.raises(TrainingError, match=r"with other settings: config\.population was .{,80} and is now") as error:
        train("ppo", config=changed, **arguments)
    assert len(str(error.value)) < 1000
