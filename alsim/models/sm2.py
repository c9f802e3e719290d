"""Algorithm SM-2 of SuperMemo: easiness and intervals after repetitions."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from alsim.models.requirements import numbers, require_all, require_broadcast
from alsim.types import Doubles, Longs

EASINESS, LEAST_EASINESS = 2.5, 1.3
"""Easiness before the first repetition, and its lower bound."""
INTERVALS = 1.0, 6.0
"""Intervals after the first and the second successful repetition, days."""
PASSED, HIGHEST = 3, 5
"""Lowest quality of a successful repetition, and highest quality."""


def review(
    easiness: ArrayLike, interval: ArrayLike, repetitions: ArrayLike, quality: ArrayLike
) -> tuple[Doubles, Doubles, Longs]:
    """Return easiness, interval and number of successful repetitions after a repetition.

        quality >= 3    interval 1, 6, and from the third on interval * easiness; repetitions + 1; easiness changes
        quality < 3     interval 1, repetitions 0; easiness stays

    easiness     before the repetition, >= 1.3; 2.5 before the first one
    interval     before the repetition, days, >= 0; it is not rounded
    repetitions  number of successful repetitions since the start or the last failure, >= 0
    quality      0 to 5: 0 to 2 wrong, 3 correct with serious difficulty, 4 after hesitation, 5 perfect

    The arguments are broadcast. `changed_easiness` has the change of easiness; the interval is multiplied by the one
    before. Repetitions on the same day, as SM-2 asks for below quality 4, are the caller's. Raises ModelError for
    values outside these ranges.
    Source: Wozniak (1990), Optimization of learning, chapter 3.2.
    """
    before, grade = numbers("easiness", easiness), numbers("quality", quality)
    days, count = numbers("interval", interval), numbers("repetitions", repetitions)
    require_all(np.isfinite(days) & (days >= 0), days, "interval must be a number of days from 0", "0 before the first")
    is_count = np.isfinite(count) & (count >= 0) & (count == np.floor(count))
    require_all(is_count, count, "repetitions must be a count from 0", "0 before any")
    require_broadcast(easiness=before, interval=days, repetitions=count, quality=grade)
    before, days, count, grade = np.broadcast_arrays(before, days, count, grade)
    changed, passed = changed_easiness(before, grade), grade >= PASSED
    later = np.where(count == 0, INTERVALS[0], np.where(count == 1, INTERVALS[1], days * before))
    return (
        np.asarray(np.where(passed, changed, before)),
        np.asarray(np.where(passed, later, INTERVALS[0])),
        np.where(passed, count + 1, 0).astype(np.int64),
    )


def changed_easiness(easiness: ArrayLike, quality: ArrayLike) -> Doubles:
    """Return the easiness after a repetition of some quality, at least 1.3.

        easiness + 0.1 - (5 - quality) (0.08 + (5 - quality) 0.02)

    The arguments, the errors and the source are those of `review`, which leaves the easiness as it is after a failure.
    """
    before, grade = numbers("easiness", easiness), numbers("quality", quality)
    require_broadcast(easiness=before, quality=grade)
    valid = (grade >= 0) & (grade <= HIGHEST) & (grade == np.floor(grade))
    require_all(valid, grade, "quality must be an integer from 0 to 5", "3 and more are correct answers")
    is_easiness = np.isfinite(before) & (before >= LEAST_EASINESS)
    require_all(is_easiness, before, "easiness must be at least 1.3", "2.5 before the first repetition")
    missing = HIGHEST - grade
    return np.asarray(np.maximum(before + (0.1 - missing * (0.08 + missing * 0.02)), LEAST_EASINESS))


__all__ = ["EASINESS", "changed_easiness", "review"]
