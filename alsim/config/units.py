"""The independent unit of statistics about simulated learners (clause S12.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np

from alsim.types import Longs


class IndependentUnit(NamedTuple):
    """Independent unit of the results of a configuration: episodes, learners or classes."""

    name: Literal["episode", "learner", "class"]
    size: int = 1
    """Learners per unit."""

    def of_learners(self, learners: Any) -> Longs | None:
        """Return the unit of each episode, (E,), given its learner; None if each episode is one."""
        return None if self.name == "episode" else class_of(learners, self.size)


def class_of(learners: Any, size: int) -> Longs:
    """Return the class of each learner, (N,), for classes of `size` learners."""
    return np.asarray(learners, np.int64) // size


def independent_unit(config: Mapping[str, Any]) -> IndependentUnit:
    """Return the independent unit under a configuration as nested dicts, see `Config.to_dict`.

    It is the episode (clause S1.6). Learners share the effects of their class, and episodes the row of their learner in
    a population of several rows.
    """
    classes = config.get("classes") or {}
    if classes.get("mastery_std") or classes.get("ability_std"):
        return IndependentUnit("class", classes["size"])
    return IndependentUnit("learner" if len(config.get("population") or ()) > 1 else "episode")


__all__ = ["IndependentUnit", "class_of", "independent_unit"]
