"""Estimated mastery compared with the true mastery of simulated learners, before and after recalibration."""

from __future__ import annotations

import numpy as np

from alsim.datasets.replayed import recompute_observations
from alsim.datasets.store import Dataset
from alsim.datasets.tables import numpy_column
from alsim.errors import AlsimError
from alsim.evaluation.fairness.inputs import Grouping
from alsim.evaluation.fairness.judged import Judged
from alsim.evaluation.fairness.rates import Column, GroupMetrics, means_of
from alsim.evaluation.fairness.recalibration import versions_of
from alsim.responses.log import codes_of
from alsim.types import Doubles, Longs

MASTERY = ("mastery", "mastery after recalibration", "mastery after recalibration by group")
"""Names of the sections about mastery."""


def true_mastery(dataset: Dataset) -> Doubles:
    """Return the true mastery of each outcome at the end of each episode, (E, L), by a replay of the actions."""
    num_los, found = dataset.manifest["bank"]["num_los"], []
    for part in dataset.parts():
        if part.manifest["observation"] == "mastery":
            final = part.final_obs
        else:
            manifest = {**part.manifest, "observation": "mastery"}
            columns = (numpy_column(part.transitions, name) for name in ("action", "reward"))
            final = recompute_observations(manifest, part.bank, part.episodes, *columns)[1]
        found.append(np.asarray(final[:, :num_los], np.float64))
    return np.concatenate(found)


def mastery_sections(
    judged: Judged, dataset: Dataset, episode: Longs, groups: Grouping, mastered: float, confidence: float
) -> dict[str, GroupMetrics]:
    """Return the sections about mastery: each row is an outcome of an episode.

    judged   estimates of S students
    episode  (S,) row of the episode of each student
    groups   groups of the E episodes
    """
    outcome = outcomes_of(judged, dataset)
    known = outcome >= 0
    estimate = judged.mastery[:, known].ravel()
    true = np.clip(true_mastery(dataset)[episode][:, outcome[known]], 0.0, 1.0).ravel()
    rows = groups.take(np.repeat(episode, int(known.sum())))
    found = (mastery_metrics(one, true, rows, mastered, confidence) for one in versions_of(estimate, true, rows))
    return dict(zip(MASTERY, found, strict=False))


def outcomes_of(judged: Judged, dataset: Dataset) -> Longs:
    """Return the outcome of each skill of a model, (K,), or -1. Raises AlsimError if no skill is an outcome."""
    skills, outcomes = judged.items.skills, dataset.bank.outcomes
    found = codes_of(skills, np.array(outcomes, np.str_)).astype(np.int64)
    if (found < 0).all():
        raise AlsimError(
            f"the skills of the model are not outcomes of the dataset, such as {str(skills[0])!r:.60}; the outcomes "
            f"are {', '.join(outcomes[:3])}, ...: fit the model to a log of this bank"
        )
    return found


def mastery_metrics(
    estimate: Doubles, true: Doubles, groups: Grouping, mastered: float, confidence: float
) -> GroupMetrics:
    """Return how estimates of mastery (R,) differ from the truth, by group, see `evaluate_dataset`."""
    everyone, declared, has = np.ones(len(true), np.bool_), (estimate >= mastered).astype(np.float64), true >= mastered
    columns = {
        "bias": Column(estimate - true, everyone),
        "declared": Column(declared, everyone, True),
        "true": Column(has.astype(np.float64), everyone, True, False),
        "tpr": Column(declared, has, True),
        "fpr": Column(declared, ~has, True),
    }
    return means_of(columns, groups, confidence)


__all__ = ["MASTERY", "mastery_metrics", "mastery_sections", "outcomes_of", "true_mastery"]
