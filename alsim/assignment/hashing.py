"""Uniform numbers of units: pure functions of the name of the experiment and the id of the unit."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np

from alsim.assignment.errors import AssignmentError
from alsim.types import Doubles, describe, u64

PERSON = b"alsim assignment"
"""Personalisation of BLAKE2b: no other hash of alsim has the same input."""
DIGEST = 16
"""Bytes of a digest: 8 for the arm, then 8 for the enrolment."""
LENGTH = 8
"""Bytes of the length before each text, little-endian."""
ARM, ENROLMENT = 0, 1
"""Columns of `uniform_numbers`."""
DROPPED_BITS, SCALE = u64(11), 2.0**-53


def uniform_numbers(experiment: str, units: Sequence[str]) -> Doubles:
    """Return two independent uniform numbers of each unit, (n, 2) in [0, 1).

        u = floor(h / 2**11) / 2**53,  h = 8 bytes of BLAKE2b(len(experiment) ‖ experiment ‖ len(unit) ‖ unit)

    experiment  name of the experiment
    units       ids of the units, n texts

    Column ARM chooses the arm and column ENROLMENT the students who take part. Lengths are 8 bytes, texts are UTF-8,
    and numbers are little-endian. Raises AssignmentError for an id that is not a text of at least one character.
    Source: RFC 7693 (BLAKE2b).
    """
    copy = hashlib.blake2b(_prefixed(experiment), digest_size=DIGEST, person=PERSON).copy
    digests: list[bytes] = []
    for content in _encoded(units):
        state = copy()
        state.update(len(content).to_bytes(LENGTH, "little") + content)
        digests.append(state.digest())
    words = np.frombuffer(b"".join(digests), "<u8").reshape(-1, 2).astype(np.uint64)
    return np.asarray((words >> DROPPED_BITS) * SCALE)


def _prefixed(text: str) -> bytes:
    """Return a text as bytes after its length."""
    content = text.encode("utf-8", "surrogatepass")
    return len(content).to_bytes(LENGTH, "little") + content


def _encoded(units: Sequence[str]) -> Iterable[bytes]:
    """Yield texts as UTF-8. Raises AssignmentError for other values."""
    for unit in units:
        if not isinstance(unit, str) or not unit:
            raise AssignmentError(
                f"the id of a student or a class must be a text of at least one character; got {describe(unit)}: "
                "pass names, such as str(number) for simulated learners"
            )
        yield unit.encode("utf-8", "surrogatepass")


__all__ = ["ARM", "ENROLMENT", "uniform_numbers"]
