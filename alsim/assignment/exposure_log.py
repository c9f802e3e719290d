"""Exposure logs: files to which several processes append who was exposed to which arm."""

from __future__ import annotations

import io
import os
import threading
import time as clock
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from alsim.assignment.errors import AssignmentError
from alsim.assignment.experiment import Experiment
from alsim.assignment.exposure_lines import HEADER, complete_size, content, encoded
from alsim.assignment.exposures import Arms, Exposure, Exposures, checked_exposure, checked_time
from alsim.types import safe_repr
from alsim.utils.files import write_atomic
from alsim.utils.locks import locked
from alsim.utils.reading import missing_file_cure, open_appended, open_file, reason


class ExposureLog:
    """A file with the first exposure of each student to each experiment, and with the definitions of the experiments.

    path  file; it is created at the first exposure, in an existing directory

    The file has one JSON object per line, and is only appended to. After a kill at any moment, each line that a reader
    gets is complete: a torn last line is ignored, and removed at the next change. Processes and threads may share a
    file; they exclude each other by the lock of its directory. After a power failure, the last lines may be missing.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self._forget()

    @safe_repr
    def __repr__(self) -> str:
        """Return the path."""
        return f"ExposureLog({os.fspath(self.path)!r:.200})"

    # ── writing ─────────────────────────────────────────────────────────────────────────────────

    def record(
        self,
        experiment: Experiment,
        students: Sequence[str],
        *,
        classes: Sequence[str | None] | None = None,
        time: float | None = None,
    ) -> list[str | None]:
        """Assign n students, store their first exposure, and return the arm of each; None outside of the experiment.

        classes  class of each student, for an experiment by class
        time     seconds since 1970; None is now

        A student who is stored already is not stored again. Raises AssignmentError for a definition that contradicts
        the stored one, for a student without class, and for overlapping arms, as of a student in another class. Nothing
        is stored then.
        """
        if isinstance(students, str):
            raise AssignmentError(f"students must be a list of ids; got {students!r:.100}: put it into a list")
        moment = checked_time(clock.time() if time is None else time)
        names = [None] * len(students) if classes is None else list(classes)
        if len(names) != len(students):
            raise AssignmentError(f"got {len(students):,} students and {len(names):,} classes: pass one for each")
        units = [experiment.unit_of(*pair) for pair in zip(students, names, strict=True)]
        arms = [None if k < 0 else experiment.names[k] for k in experiment.assign_many(units).tolist()]
        self._add(
            [experiment],
            [
                Exposure(experiment.name, unit, student, arm, moment)
                for unit, student, arm in zip(units, students, arms, strict=True)
                if arm is not None
            ],
        )
        return arms

    def append(self, exposures: Iterable[Exposure], experiments: Iterable[Experiment] = ()) -> int:
        """Store the first exposures among some, such as those of another assignment; return how many were new.

        experiments  definitions of the experiments that the log does not have

        Raises AssignmentError for an unknown experiment or arm, a contradicting definition, and overlapping arms.
        Nothing is stored then.
        """
        return self._add(list(experiments), list(exposures))

    def delete(self, student: str) -> bool:
        """Delete a student from the file, for good; return whether there was one. The other lines are kept."""
        with self._lock, _refusing(self.path), locked(self.path.resolve().parent):
            with open_file(self.path) as stream:
                found = list(content(stream, self.path, complete_size(stream)))
            kept = [line for _, line, value in found if isinstance(value, Experiment) or value.student != student]
            if is_there := len(kept) < len(found):
                write_atomic(self.path.resolve(), b"".join([HEADER, *kept]))
            self._forget()
        return is_there

    def _add(self, experiments: list[Experiment], exposures: list[Exposure]) -> int:
        """Store definitions and exposures that are new; return the number of these exposures."""
        checked = [checked_exposure(exposure) for exposure in exposures]
        with self._lock, _refusing(self.path), self._opened() as stream:
            try:
                self._catch_up(stream)
                new: list[Experiment | Exposure] = [one for one in experiments if self._define(one)]
                fresh = [exposure for exposure in checked if self._is_first(exposure)]
                self._append(stream, b"".join(map(encoded, [*new, *fresh])))
            except BaseException:
                self._forget()
                raise
        return len(fresh)

    def _define(self, experiment: Experiment) -> bool:
        """Note the definition of an experiment; return whether it is new. Raises AssignmentError if it contradicts."""
        known = self._experiments.get(experiment.name)
        if known is not None:
            known.check_same(experiment)
        self._experiments[experiment.name] = experiment
        return known != experiment

    def _is_first(self, exposure: Exposure) -> bool:
        """Note an exposure; return whether it is the first of the student. Raises AssignmentError."""
        check_arm(exposure, self._experiments)
        self._arms.check(exposure)
        return self._arms.add(exposure)

    # ── reading ─────────────────────────────────────────────────────────────────────────────────

    def read(self) -> Exposures:
        """Return the first exposures as arrays. Raises AssignmentError for an absent file and a damaged line."""
        return Exposures.of(value for value in self._values() if isinstance(value, Exposure))

    def experiments(self) -> dict[str, Experiment]:
        """Return the last definition of each experiment by name. The errors are those of `read`."""
        return {value.name: value for value in self._values() if isinstance(value, Experiment)}

    def _values(self) -> Iterator[Experiment | Exposure]:
        """Yield the definitions and exposures in the file."""
        with _refusing(self.path), open_file(self.path) as stream:
            with locked(self.path.resolve().parent):
                size = complete_size(stream)
            for _, _, value in content(stream, self.path, size):
                yield value

    # ── the file ────────────────────────────────────────────────────────────────────────────────

    def _forget(self) -> None:
        """Forget what was read of the file, so that it is read again."""
        self._experiments: dict[str, Experiment] = {}
        self._arms, self._end, self._line, self._identity = Arms(), 0, 1, (0, 0)

    @contextmanager
    def _opened(self) -> Iterator[io.BufferedRandom]:
        """Hold the lock of the directory, and open the file for reading and appending."""
        with locked(self.path.resolve().parent), open_appended(self.path) as stream:
            yield stream

    def _catch_up(self, stream: io.BufferedRandom) -> None:
        """Read what was appended since the last time; all of a file that is new or was replaced."""
        status = os.fstat(stream.fileno())
        if self._identity != (status.st_dev, status.st_ino) or status.st_size < self._end:
            self._forget()
        self._identity = status.st_dev, status.st_ino
        for end, _, value in content(stream, self.path, complete_size(stream), self._end, self._line):
            self._end, self._line = end, self._line + 1
            if isinstance(value, Experiment):
                self._experiments[value.name] = value
            else:
                self._arms.add(value)

    def _append(self, stream: io.BufferedRandom, new: bytes) -> None:
        """Write lines behind the last complete one, and a header first into a new file."""
        if not new:
            return
        added = new if self._end else HEADER + new
        stream.seek(self._end)
        stream.truncate()
        stream.write(added)
        stream.flush()
        self._end, self._line = self._end + len(added), self._line + new.count(b"\n")


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Raise AssignmentError for an error of the file system within the block."""
    try:
        yield
    except FileNotFoundError:
        raise AssignmentError(f"{path} does not exist; {missing_file_cure(path)}") from None
    except AssignmentError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        raise AssignmentError(
            f"{path} cannot be read or written: {reason(error)}; choose an exposure log in a writable directory"
        ) from None


def check_arm(exposure: Exposure, experiments: dict[str, Experiment]) -> None:
    """Raise AssignmentError for an experiment without definition, and for an arm that it does not have."""
    experiment = experiments.get(exposure.experiment)
    if experiment is None:
        raise AssignmentError(
            f"the log has no experiment {exposure.experiment!r}: pass its definition (experiments) with the exposures"
        )
    if exposure.arm not in experiment.names:
        raise AssignmentError(
            f"the experiment {experiment.name!r} has no arm {exposure.arm!r}; expected "
            f"{' or '.join(map(repr, experiment.names))}"
        )


__all__ = ["ExposureLog"]
