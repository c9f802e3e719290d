"""Looks at an experiment under a fixed-horizon test."""

from __future__ import annotations

from alsim.errors import AlsimError
from alsim.evaluation.estimates import CONFIDENCE
from alsim.evaluation.statistics_input import read_confidence, read_count

MOST_LOOKS = 1_000_000
"""Largest number of planned looks."""


def confidence_per_look(confidence: float = CONFIDENCE, *, look: int = 1, planned: int = 1) -> float:
    """Return the confidence level of a fixed-horizon test at one of several planned looks.

        1 - (1 - confidence) / planned

    A fixed-horizon interval holds at one number of values. By Bonferroni's inequality, intervals at this level contain
    the truth at all planned looks with the probability `confidence`. Looks that were not planned have no level.

    confidence  level of all looks together, in (0, 1)
    look        number of this look: 1 for the first one
    planned     number of looks that was stated before the experiment

    Returns the level. Raises AlsimError for a look that was not planned, and for invalid arguments.
    Source: Dunn (1961), Journal of the American Statistical Association 56, 52-64.
    """
    level = read_confidence(confidence)
    count = read_count(planned, "planned", 1, MOST_LOOKS, "pass the number of looks of the plan")
    number = read_count(look, "look", 1, MOST_LOOKS, "pass 1 for the first look")
    if number > count:
        raise AlsimError(
            f"look {number} at a fixed-horizon test with {count} planned look{'s' * (count > 1)} would raise its false "
            "alarms above the stated level: use a confidence sequence, which holds at every look"
        )
    return 1 - (1 - level) / count


__all__ = ["confidence_per_look"]
