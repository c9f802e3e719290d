"""Observations of a dataset without stored ones, recomputed by replaying its actions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from numpy.typing import NDArray

from alsim.arguments import read_observation
from alsim.bank.items import Bank
from alsim.config import Config
from alsim.datasets.tables import numpy_column
from alsim.rollouts.replay import replay
from alsim.types import Floats


def recompute_observations(
    manifest: Mapping[str, Any], bank: Bank, episodes: pa.Table, action: NDArray[Any], reward: Floats
) -> tuple[Floats, Floats]:
    """Return observations before each interaction, (M, R), and after the last one of each episode, (E, R).

    manifest, bank, episodes  those of the dataset
    action, reward            (M,) of each interaction

    They equal bit for bit the observations that the policy received. Raises AlsimError if the simulator does not
    reproduce the recorded rewards and terminations from the recorded actions.
    """
    learner, episode, length, reason = (
        numpy_column(episodes, name) for name in ("learner_id", "episode", "total_steps", "termination_reason")
    )
    return replay(
        config=Config.read(manifest["config"]),
        bank=bank,
        seed=manifest["seed"],
        observation=read_observation(manifest["observation"]),
        learner=learner,
        episode=episode,
        length=length,
        action=action,
        reward=reward,
        reason=reason,
    )
