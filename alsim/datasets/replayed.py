"""Observations of a dataset that holds none: its actions are played again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from alsim.arguments import read_observation
from alsim.bank.items import Bank
from alsim.config import Config
from alsim.datasets.tables import numpy_column
from alsim.rollouts.replay import replay
from alsim.types import Floats


def replayed(
    manifest: Mapping[str, Any], bank: Bank, transitions: pa.Table, episodes: pa.Table
) -> tuple[Floats, Floats]:
    """Return observations before each interaction, (M, R), and after each episode's last, (E, R).

    They are the bits that the policy saw. Raises AlsimError for rewards or ends that are not what this
    simulator gives for these actions.
    """
    learner, episode, length, reason = (
        numpy_column(episodes, name) for name in ("learner_id", "episode", "total_steps", "termination_reason")
    )
    return replay(
        Config.read(manifest["config"]),
        bank,
        manifest["seed"],
        read_observation(manifest["observation"]),
        learner=learner,
        episode=episode,
        length=length,
        reason=reason,
        action=numpy_column(transitions, "action"),
        reward=numpy_column(transitions, "reward"),
    )
