"""Response logs as input of a recurrent network: one sequence per student, and padded batches of sequences."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from alsim.responses.cells import Names
from alsim.responses.log import Responses, codes_of
from alsim.types import Codes, Doubles, Longs


class Sequences(NamedTuple):
    """R responses of S students to U sets of skills, of at most M skills each.

    start      (S + 1,)  the responses of student s are start[s] to start[s + 1]
    skill_set  (R,)      number of the set of skills of each response
    correct    (R,)      0 or 1
    weight     (S,)      number of students that each student represents
    members    (U, M)    numbers of the skills in each set; entries of share 0 are padding
    share      (U, M)    1 / the number of skills in the set, and 0 for padding
    """

    start: Longs
    skill_set: Longs
    correct: Codes
    weight: Doubles
    members: Longs
    share: Doubles


def sequences_of(responses: Responses, skills: Names) -> Sequences:
    """Return a log as sequences.

    skills  (K,) names of the known skills, which are numbered from 0; all other skills have the number K
    """
    codes = codes_of(responses.skills, skills)
    known = np.where(codes < 0, len(skills), codes).astype(np.int64)
    skill_set, members, share = _sets(known[responses.skill], responses.skill_start)
    return Sequences(responses.start, skill_set, responses.correct, responses.weight, members, share)


def _sets(skill: Longs, starts: Longs) -> tuple[Longs, Longs, Doubles]:
    """Return the set of skills of each response (R,), and the members (U, M) and shares (U, M) of the sets."""
    sizes = np.diff(starts)
    widest = int(sizes.max(initial=1))
    filled = np.arange(widest) < sizes[:, None]
    rows = np.full((len(sizes), widest), -1, np.int64)
    rows[filled] = skill
    rows.sort(axis=1)
    rows = rows[:, ::-1]  # moves -1, the padding, to the end
    members, skill_set = np.unique(rows, axis=0, return_inverse=True)
    share = (members >= 0) / np.maximum((members >= 0).sum(axis=1, keepdims=True), 1)
    return skill_set.reshape(-1).astype(np.int64), np.maximum(members, 0), share


def padded(sequences: Sequences, students: NDArray[np.intp]) -> Longs:
    """Return the numbers of the responses of B students, padded to the T responses of the longest, (B, T).

    students  (B,) numbers of the students

    Padding has the number R, which is no response.
    """
    first = sequences.start[students, None]
    steps = np.arange(np.diff(sequences.start)[students].max(initial=0))
    numbers = first + steps
    return np.where(numbers < sequences.start[students + 1, None], numbers, len(sequences.correct))


def batches(sequences: Sequences, size: int, jitter: float, random: np.random.Generator) -> list[NDArray[np.intp]]:
    """Return the students who have responses and a positive weight, in batches of similar length and random order.

    size    maximum number of students per batch
    jitter  standard deviation of the noise on the logarithm of a length, so that batches differ between epochs
    """
    lengths = np.diff(sequences.start) * (sequences.weight > 0)
    noisy = lengths * np.exp(jitter * random.standard_normal(len(lengths)))
    ordered = np.argsort(noisy, kind="stable")[np.count_nonzero(lengths == 0) :]
    parts = [ordered[begin : begin + size] for begin in range(0, len(ordered), size)]
    return [parts[k] for k in random.permutation(len(parts))]


def total(sequences: Sequences) -> float:
    """Return the number of responses, each multiplied by the weight of its student."""
    return float(np.diff(sequences.start) @ sequences.weight)


def digest(sequences: Sequences, skills: Names) -> str:
    """Return the SHA-256 of a log and its skills, in hexadecimal."""
    checksum = hashlib.sha256("\0".join(skills.tolist()).encode())
    for values in sequences:
        checksum.update(f"{values.dtype}{values.shape}".encode() + np.ascontiguousarray(values).tobytes())
    return checksum.hexdigest()
