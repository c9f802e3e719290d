"""Parquet for the offline API of RLlib, one row per interaction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from alsim.datasets.export.exporter import Exporter, Options, log_propensity
from alsim.datasets.store import ROW_GROUP, Dataset
from alsim.datasets.tables import observation_column
from alsim.types import Longs

DATA = "data"


def write(dataset: Dataset, out: Path, options: Options) -> None:
    """Write one Parquet file per part."""
    (out / DATA).mkdir()
    start = 0
    for number, part in enumerate(dataset.parts()):
        episode = start + np.cumsum(part.step == 1) - 1
        start = int(episode[-1]) + 1
        file = out / DATA / f"part-{number:05d}.parquet"
        pyarrow.parquet.write_table(rllib_table(part, episode), file, compression="zstd", row_group_size=ROW_GROUP)


def rllib_table(part: Dataset, episode: Longs) -> pa.Table:
    """Return a part as a table with the column names and types of RLlib.

    episode  index of the episode in the dataset, (M,)

    Raises ExportError for a propensity outside of (0, 1].
    """
    return pa.table(
        {
            "eps_id": episode,
            "t": part.step - 1,
            "obs": observation_column(part.obs),
            "actions": part.action.astype(np.int64),
            "rewards": part.reward,
            "new_obs": observation_column(part.next_obs),
            "terminateds": part.terminated,
            "truncateds": part.truncated,
            "action_prob": part.propensity.astype(np.float32),
            "action_logp": log_propensity(part),
        }
    )


def loading_code(out: Path) -> str:
    """Return the Python code that loads the export."""
    return f"""from ray.rllib.algorithms.bc import BCConfig
spaces = dict(observation_space=env.observation_space, action_space=env.action_space)  # of gymnasium.make(…)
config = BCConfig().environment(**spaces).offline_data(input_=[{str((out / DATA).absolute())!r}])
algorithm = config.build_algo()"""


EXPORTER = Exporter(name="rllib", title="Parquet for the offline API of RLlib", write=write, loading_code=loading_code)
