"""Flat columns of D4RL, which d3rlpy and other tools read: one row per interaction, sorted by episode."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from alsim.datasets.export.exporter import Columns
from alsim.datasets.store import Dataset


def flat_columns(dataset: Dataset, next_observations: bool) -> Iterator[Columns]:
    """Yield the columns of each part of M rows: observations (M, R), the others (M,).

    `terminals` and `timeouts` are never both true (clause S7.2).
    """
    for part in dataset.parts():
        columns = {
            "observations": part.obs,
            "actions": part.action.astype(np.int64),
            "rewards": part.reward,
            "terminals": part.terminated,
            "timeouts": part.truncated,
            "propensity": part.propensity,
            "learner_id": part.learner_id,
            "episode": part.episode,
            "step": part.step,
        }
        if next_observations:
            columns["next_observations"] = part.next_obs
        yield columns
