"""A small dataset for exports, in several shards, with episodes ended by the step limit and by frustration."""

import pyarrow as pa
import pytest

from alsim.datasets.generate import generate_dataset
from alsim.datasets.store import Dataset
from alsim.rollouts import plan

CONFIG = {"num_los": 3, "max_episode_steps": 12, "termination": {"max_frustration": 0.3}}


def taught(out, policy="uniform", **changes):
    """Return the dataset."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "BLOCK_EPISODES", 5)
        made = generate_dataset(
            **{"num_learners": 9, "episodes_per_learner": 2, "seed": 2**64 - 1, "config": CONFIG} | changes,
            policy=policy,
            out=out,
        )
    assert len(made.manifest["tables"]["episodes"]["shards"]) > 1
    assert made.terminated.any() and made.truncated.any()
    return made


def same(one, other):
    """Return whether arrays have equal bits, shapes and types."""
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


def with_propensity(dataset, row, value):
    """Return the dataset with one changed propensity."""
    column = dataset.propensity.copy()
    column[row] = value
    table = dataset.transitions
    place = table.column_names.index("propensity")
    table = table.set_column(place, table.field(place), pa.array(column))
    return Dataset(
        dataset.manifest, {"transitions": table, "events": dataset.events, "episodes": dataset.episodes}, dataset.bank
    )
