"""State of students as bytes: that of the student model, of touched skills only, and what recommendations need.

A record has a header, the items that were shown without a response, the contents whose effect is awaited, the name of
the class, and the state of the student model. It is lossless, and many records are converted together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alsim.engine.progress import Progress, Trial
from alsim.jit.compile import lean_kernel
from alsim.models.student.base import BaseStudentModel, StudentModel, Students
from alsim.types import Bools, Longs

FORMAT = 1
"""Version of the records."""

HEADER = np.dtype(
    [
        ("format", "u1"),
        ("shown", "u1"),
        ("trials", "u1"),
        ("flags", "u1"),  # WIDE, HAS_CLASS
        ("touched", "<u4"),
        ("digest", "<u8"),
        ("decisions", "<u4"),
        ("interactions", "<u4"),
        ("last", "<i4"),
        ("first_time", "<f8"),
        ("last_time", "<f8"),
    ]
)
PAIR, TRIAL = np.dtype("<u4"), np.dtype("<u4")
COLUMNS = ("decisions", "interactions", "last", "first_time", "last_time")
"""Fields of the header that are columns of `Progress`."""
WIDE, HAS_CLASS = 1, 2
"""Flags: numbers of skills take 4 bytes instead of 2; the record has the name of a class after its length."""
LENGTH = 2
"""Bytes of the length of the name of a class."""


class StudentCodec:
    """Conversion of the states of students to bytes and back.

    model   student model
    digest  digest of model and catalogue, in [0, 2**64): a state with another one is not current
    """

    def __init__(self, model: StudentModel, digest: int) -> None:
        self.model, self.digest = model, digest
        self._compact, self._expand = _conversions(model)
        self._template = self._compact(model.start(1))
        self._is_personal = callable(getattr(model, "start_of", None)) and bool(getattr(model, "offsets", True))
        if isinstance(model, BaseStudentModel) and type(model).start_of is BaseStudentModel.start_of:
            self._is_personal = False
        num_skills = model.items.num_skills
        self._sparse = [name for name, a in self._template.items() if a.ndim >= 2 and a.shape[1] == num_skills]
        self._dense = [name for name in self._template if name not in self._sparse]
        self._wide = num_skills > 2**16
        self._index = np.dtype("<u4" if self._wide else "<u2")
        self._entry = sum(self._template[name][0, 0].nbytes for name in self._sparse) + self._index.itemsize
        self._others = sum(self._template[name].nbytes for name in self._dense)
        self._prefix = digest.to_bytes(8, "little")

    def _start(self, names: Sequence[str]) -> Students:
        """Return the compact state of new students with these names, or one row if it does not depend on the name."""
        if not self._is_personal:
            return self._template
        return self._compact(self.model.start_of(list(names)))  # type: ignore[attr-defined]  # it has the method

    def is_current(self, record: bytes) -> bool:
        """Return whether a record has the format, the digest and the size of this codec."""
        if len(record) < HEADER.itemsize or record[0] != FORMAT or record[8:16] != self._prefix:
            return False
        touched = int.from_bytes(record[4:8], "little")
        return bool(len(record) == _body_start(record) + touched * self._entry + self._others)

    def touched(self, names: Sequence[str], students: Students) -> Bools:
        """Return the skills of the model whose state differs from that of a new student, (n, K)."""
        return self._touched(self._compact(students), self._start(names))

    def encode(self, names: Sequence[str], students: Students, progress: Progress) -> list[bytes]:
        """Return the record of each of n students."""
        values = self._compact(students)
        touched = self._touched(values, self._start(names))
        return self._joined(progress, touched.sum(axis=1), self._bodies(values, touched))

    def encode_progress(self, records: Sequence[bytes | None], progress: Progress) -> list[bytes]:
        """Return records with another progress, and with the same state of the model; None is that of a new student."""
        touched = np.array([0 if record is None else int.from_bytes(record[4:8], "little") for record in records])
        empty = b"".join(self._template[name].tobytes() for name in self._dense)
        bodies = [empty if record is None else record[_body_start(record) :] for record in records]
        return self._joined(progress, touched, bodies)

    def decode(self, names: Sequence[str], records: Sequence[bytes | None]) -> tuple[Students, Progress]:
        """Return the state of n students; None is the record of a new one. The records must be current."""
        values = {
            name: np.array(np.broadcast_to(a, (len(names), *a.shape[1:]))) for name, a in self._start(names).items()
        }
        progress = Progress.start(len(names))
        rows = np.array([i for i, record in enumerate(records) if record is not None], np.int64)
        if len(rows) == 0:
            return self._expand(values), progress
        known: list[bytes] = [record for record in records if record is not None]
        buffer = np.frombuffer(b"".join(known), np.uint8)
        offset = np.cumsum([0, *map(len, known[:-1])])
        head = _gathered(buffer, offset, np.full(len(rows), HEADER.itemsize), HEADER)
        for name in COLUMNS:
            getattr(progress, name)[rows] = head[name]
        place = offset + HEADER.itemsize
        self._read_lists(buffer, place, rows, head, progress)
        place = place + 8 * head["shown"].astype(np.int64) + 12 * head["trials"].astype(np.int64)
        for i in np.flatnonzero(head["flags"] & HAS_CLASS).tolist():
            begin = int(place[i]) + LENGTH
            place[i] = begin + int.from_bytes(buffer[begin - LENGTH : begin].tobytes(), "little")
            progress.classes[rows[i]] = buffer[begin : place[i]].tobytes().decode("utf-8", "surrogatepass")
        self._read_values(buffer, place, rows, head["touched"].astype(np.int64), values)
        return self._expand(values), progress

    def _touched(self, values: Students, start: Students) -> Bools:
        """Return the skills in which values differ from those of new students, (n, K)."""
        n = len(next(iter(values.values())))
        found = np.zeros((n, self.model.items.num_skills), np.bool_)
        for name in self._sparse:
            found |= (values[name] != start[name]).reshape(*found.shape, -1).any(axis=2)
        return found

    def _bodies(self, values: Students, touched: Bools) -> list[bytes]:
        """Return the state of the model of each student as bytes: values of touched skills, other values, numbers."""
        sizes = touched.sum(axis=1)
        parts = [_sliced(values[name][touched], sizes) for name in self._sparse]
        parts += [_sliced(values[name], np.ones(len(sizes), np.int64)) for name in self._dense]
        parts.append(_sliced(np.nonzero(touched)[1].astype(self._index), sizes))
        return list(map(b"".join, zip(*parts, strict=True)))

    def _joined(self, progress: Progress, touched: Longs, bodies: list[bytes]) -> list[bytes]:
        """Return the records of progress and bodies."""
        is_shown = progress.shown >= 0
        header = np.zeros(len(bodies), HEADER)
        header["format"], header["flags"], header["digest"], header["touched"] = (
            FORMAT,
            WIDE * self._wide,
            self.digest,
            touched,
        )
        for name in COLUMNS:
            header[name] = getattr(progress, name)
        header["shown"] = is_shown.sum(axis=1)
        header["trials"] = list(map(len, progress.trials))
        classes = [_class_part(name) for name in progress.classes]
        header["flags"] |= np.where(list(map(bool, classes)), HAS_CLASS, 0).astype(np.uint8)
        pairs = np.stack((progress.shown[is_shown], progress.counts[is_shown]), axis=1).astype(PAIR)
        trials = [np.array(listed, TRIAL).tobytes() if listed else b"" for listed in progress.trials]
        heads, shown = _sliced(header, np.ones(len(bodies), np.int64)), _sliced(pairs, header["shown"].astype(np.int64))
        return list(map(b"".join, zip(heads, shown, trials, classes, bodies, strict=True)))

    def _read_lists(
        self, buffer: NDArray[np.uint8], place: Longs, rows: Longs, head: NDArray[Any], progress: Progress
    ) -> None:
        """Read the items shown and the contents on trial."""
        sizes = head["shown"].astype(np.int64)
        pairs = _gathered(buffer, place, 8 * sizes, PAIR).reshape(-1, 2)
        column = np.arange(len(pairs)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        entries = np.repeat(rows, sizes), column
        progress.shown[entries], progress.counts[entries] = pairs[:, 0], pairs[:, 1]
        for i in np.flatnonzero(head["trials"]).tolist():
            count, begin = int(head["trials"][i]), place[i] + 8 * sizes[i]
            found = np.frombuffer(buffer[begin : begin + 12 * count].tobytes(), TRIAL).reshape(-1, 3)
            progress.trials[rows[i]] = [Trial(*row) for row in found.tolist()]

    def _read_values(
        self, buffer: NDArray[np.uint8], place: Longs, rows: Longs, touched: Longs, values: Students
    ) -> None:
        """Read the state of the model."""
        index_place = place + touched * (self._entry - self._index.itemsize) + self._others
        index = _gathered(buffer, index_place, touched * self._index.itemsize, self._index).astype(np.int64)
        entries = np.repeat(rows, touched), index
        for name in self._sparse:
            like = self._template[name]
            size = like[0, 0].nbytes
            values[name][entries] = _gathered(buffer, place, touched * size, like.dtype).reshape(-1, *like.shape[2:])
            place = place + touched * size
        for name in self._dense:
            like = self._template[name]
            part = _gathered(buffer, place, np.full(len(rows), like.nbytes), like.dtype)
            values[name][rows] = part.reshape(len(rows), *like.shape[1:])
            place = place + like.nbytes


def _conversions(model: StudentModel) -> tuple[Callable[[Students], Students], Callable[[Students], Students]]:
    """Return the functions that make the state of a model smaller, without loss, and that restore it."""
    compact, expand = getattr(model, "compact", None), getattr(model, "expand", None)
    if callable(compact) and callable(expand):
        return compact, expand
    return (lambda students: students), (lambda students: students)


def _body_start(record: bytes) -> int:
    """Return where the state of the model begins in a record."""
    begin = HEADER.itemsize + 8 * record[1] + 12 * record[2]
    if not record[3] & HAS_CLASS:
        return begin
    return begin + LENGTH + int.from_bytes(record[begin : begin + LENGTH], "little")


def _class_part(name: str) -> bytes:
    """Return the name of a class after its length, b"" for none."""
    content = name.encode("utf-8", "surrogatepass")
    return len(content).to_bytes(LENGTH, "little") + content if content else b""


def _sliced(values: NDArray[Any], sizes: Longs) -> list[bytes]:
    """Return rows as bytes, the first sizes[0] together, then the next sizes[1], and so on."""
    content = np.ascontiguousarray(values).tobytes()
    width = len(content) // len(values) if len(values) else 0
    ends = (np.cumsum(sizes) * width).tolist()
    return [content[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)]


def _gathered(buffer: NDArray[np.uint8], starts: Longs, sizes: Longs, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the values in parts of a buffer, one part after the other; starts and sizes are in bytes."""
    if len(starts) == 1:
        begin, size = int(starts[0]), int(sizes[0])
        return np.frombuffer(buffer, dtype, size // dtype.itemsize, begin) if size else np.zeros(0, dtype)
    found = np.empty(int(sizes.sum()), np.uint8)
    copy_parts(buffer, starts, sizes, found)
    return found.view(dtype)


@lean_kernel
def copy_parts(source: NDArray[np.uint8], starts: Longs, sizes: Longs, target: NDArray[np.uint8]) -> None:
    """Copy parts of a buffer into another one, one part after the other."""
    place = 0
    for k in range(len(starts)):
        for x in range(starts[k], starts[k] + sizes[k]):
            target[place] = source[x]
            place += 1


__all__ = ["StudentCodec"]
