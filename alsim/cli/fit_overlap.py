"""Overlap of the held-out responses of `alsim fit` with the responses that the model was fitted to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from alsim.responses.cells import Names
    from alsim.responses.log import Responses


def is_in_sample(responses: Responses, held_out: Responses) -> bool:
    """Return whether each student of the held-out responses is a student of the log, with the same responses there.

    The order of the responses of a student is ignored. Students without names are the same only if both logs have
    equally many students, because their numbers say nothing about who they are.
    """
    from alsim.models.matching import are_positions
    from alsim.responses.log import codes_of

    students = codes_of(held_out.students, responses.students)
    if (students < 0).any() or len({*students.tolist()}) < len(students):
        return False
    if are_positions(held_out.students) and held_out.num_students != responses.num_students:
        return False
    same = responses.subset(students)
    if not (np.array_equal(same.start, held_out.start) and np.array_equal(same.weight, held_out.weight)):
        return False
    items = codes_of(held_out.items, responses.items)[held_out.item]
    return np.array_equal(_sorted(same, same.item), _sorted(held_out, items))


def shared_students(responses: Responses, held_out: Responses) -> list[str]:
    """Return the note about students who have responses in both logs; none for logs without names of students."""
    from alsim.models.matching import are_positions
    from alsim.responses.log import codes_of

    if are_positions(responses.students) and are_positions(held_out.students):
        return []
    names = _active(held_out)
    number = int((codes_of(names, _active(responses)) >= 0).sum())
    if not number:
        return []
    subject = "1 student" if number == 1 else f"{number:,} students"
    return [
        f"{subject} of the test, of {len(names):,}, also {'has' if number == 1 else 'have'} responses in the log, by "
        "name; so the scores are not those of new students only"
    ]


def _sorted(responses: Responses, items: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return student, item and correctness (3, R) of each response, sorted; `items` are the codes of the items."""
    columns = np.array([responses.student, items, responses.correct])
    return columns[:, np.lexsort(columns[::-1])]


def _active(responses: Responses) -> Names:
    """Return the names of the students with responses."""
    return responses.students[np.diff(responses.start) > 0]
