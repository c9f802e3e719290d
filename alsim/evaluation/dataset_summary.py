"""Summary of a dataset: its counts, and a statistic of each metric."""

from __future__ import annotations

from typing import Any

import numpy as np

from alsim.datasets.store import Dataset
from alsim.datasets.tables import numpy_column
from alsim.evaluation.statistics import statistic
from alsim.types import Reason


def summary(dataset: Dataset) -> dict[str, Any]:
    """Return counts, and for each metric its mean over episodes, standard error `se`, 95 % interval `ci` and `n`.

    Standard errors treat episodes as independent, also those of one learner (clause S1.6). Undefined values are left
    out: `n` is the number of defined ones, and `undefined` of the others (S9.6). Without enough values, `mean`, `se`
    and `ci` are None.
    """
    episodes = dataset.episodes
    metrics = {}
    for name in episodes.column_names[2 : episodes.column_names.index("terminated")]:
        values = episodes.column(name).drop_null().to_numpy().astype(np.float64)
        n = len(values)
        mean = {"mean": float(values.mean()) if n else None, "se": None, "ci": None, "n": n}
        metrics[name] = (statistic(values) if n > 1 else mean) | {"undefined": episodes.num_rows - n}
    reason = numpy_column(episodes, "termination_reason")
    return {
        "transitions": len(dataset),
        "events": int(dataset.manifest["tables"]["events"]["rows"]),
        "episodes": episodes.num_rows,
        "termination": {kind.word: int((reason == kind).sum()) for kind in Reason if kind},
        "metrics": metrics,
    }
