"""Learning outcomes that a learner is ready for: not mastered, while all their prerequisites are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from alsim.types import Bools, Graph


def ready_outcomes(mastery: NDArray[Any], graph: Graph, threshold: float) -> Bools:
    """Return the LOs that each learner is ready for, (N, L).

    mastery    (N, L) in [0, 1]
    graph      prerequisites, from `Curriculum.graph`
    threshold  mastery from which an LO counts as mastered

    An LO is ready if its mastery is below the threshold, and that of each of its parents is not. A learner who has
    mastered every LO is ready for none. In a graph without cycles, every other learner is ready for at least one.
    """
    mastered = mastery >= threshold
    missing = ~mastered[:, graph.parents] & (graph.weights != 0)
    return np.asarray(~mastered & ~np.logical_or.reduceat(missing, graph.first[:-1], axis=1))


__all__ = ["ready_outcomes"]
