"""Response logs as a recurrent network reads them: a sequence a student, padded where several go side by side."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from alsim.responses.cells import Names
from alsim.responses.log import Responses, codes_of
from alsim.types import Bools, Codes, Doubles, Longs


class Sequences(NamedTuple):
    """R responses of S students to U sets of skills, of at most M skills each.

    start    (S + 1,)  the responses of student s are those from start[s] to start[s + 1]
    which    (R,)      the set of skills of a response
    correct  (R,)      0 or 1
    weight   (S,)      how many students each stands for
    members  (U, M)    codes of the skills of a set; what is behind its last counts for nothing
    share    (U, M)    1 / their number, and 0 behind the last
    """

    start: Longs
    which: Longs
    correct: Codes
    weight: Doubles
    members: Longs
    share: Doubles


class Padded(NamedTuple):
    """B students side by side, T as the longest of them has responses.

    which    (B, T)
    correct  (B, T)
    real     (B, T)  False behind a student's last response
    weight   (B,)
    """

    which: Longs
    correct: Codes
    real: Bools
    weight: Doubles


def sequences_of(responses: Responses, skills: Names) -> Sequences:
    """Return a log as sequences over these skills; one that is not among them has the code len(skills)."""
    codes = codes_of(responses.skills, skills)
    known = np.where(codes < 0, len(skills), codes).astype(np.int64)
    which, members, share = _sets(known[responses.skill], responses.skill_start)
    return Sequences(responses.start, which, responses.correct, responses.weight, members, share)


def _sets(skill: Longs, starts: Longs) -> tuple[Longs, Longs, Doubles]:
    """Return which set of skills each response has, and the sets' members and shares."""
    sizes = np.diff(starts)
    widest = int(sizes.max(initial=1))
    there = np.arange(widest) < sizes[:, None]
    rows = np.full((len(sizes), widest), -1, np.int64)
    rows[there] = skill
    rows.sort(axis=1)
    rows = rows[:, ::-1]  # -1, which is no skill, last
    found, which = np.unique(rows, axis=0, return_inverse=True)
    share = (found >= 0) / np.maximum((found >= 0).sum(axis=1, keepdims=True), 1)
    return which.reshape(-1).astype(np.int64), np.maximum(found, 0), share


def padded(sequences: Sequences, students: NDArray[np.intp]) -> Padded:
    """Return the responses of some students side by side."""
    first = sequences.start[students]
    lengths = sequences.start[students + 1] - first
    steps = np.arange(lengths.max(initial=0))
    real = steps < lengths[:, None]
    place = np.where(real, first[:, None] + steps, first[:, None])
    return Padded(
        which=np.where(real, sequences.which[place], 0),
        correct=np.where(real, sequences.correct[place], 0).astype(np.int8),
        real=real,
        weight=sequences.weight[students],
    )


def batches(sequences: Sequences, size: int, jitter: float, random: np.random.Generator) -> list[NDArray[np.intp]]:
    """Return the students who answered, and weigh something, in batches of about the same length, in random order.

    jitter  standard deviation of the noise on the logarithm of a length, so that batches differ from epoch to epoch
    """
    lengths = np.diff(sequences.start) * (sequences.weight > 0)
    noisy = lengths * np.exp(jitter * random.standard_normal(len(lengths)))
    ordered = np.argsort(noisy, kind="stable")[np.count_nonzero(lengths == 0) :]
    several = [ordered[begin : begin + size] for begin in range(0, len(ordered), size)]
    return [several[k] for k in random.permutation(len(several))]


def total(sequences: Sequences) -> float:
    """Return how many responses there are, each counted as often as its student."""
    return float(np.diff(sequences.start) @ sequences.weight)


def counts_of(sequences: Sequences, num_skills: int) -> Longs:
    """Return how many responses each of the known skills has (K,)."""
    there = sequences.share[sequences.which] > 0
    return np.bincount(sequences.members[sequences.which][there], minlength=num_skills)[:num_skills]


def digest(sequences: Sequences, skills: Names) -> str:
    """Return the SHA-256 of a log and its skills, in hexadecimal."""
    found = hashlib.sha256("\0".join(skills.tolist()).encode())
    for values in sequences:
        found.update(f"{values.dtype}{values.shape}".encode() + np.ascontiguousarray(values).tobytes())
    return found.hexdigest()
