"""Exposure logs: first exposures, overlapping arms, damaged files, several processes, and kills."""

import json
import multiprocessing
import os
import signal
import stat
import threading
import time

import numpy as np
import pytest

from alsim.assignment import AssignmentError, Experiment, Exposure, ExposureLog, Exposures
from alsim.assignment.exposure_lines import HEADER, LONGEST_LINE, encoded

TUTORING = Experiment("tutoring", {"control": 0.5, "new": 0.5})
CLASSES = Experiment("classes", {"control": 0.5, "new": 0.5}, unit="class")
HALF = Experiment("half", {"control": 0.5, "new": 0.5}, traffic=0.5)
FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
FORKED = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


@pytest.fixture
def log(tmp_path):
    return ExposureLog(tmp_path / "exposures.jsonl")


def rows(exposures):
    """Return the rows of Exposures as tuples."""
    return [*zip(*(column.tolist() for column in exposures), strict=True)]


def exposure(student="ada", arm="control", experiment="tutoring", time=1.0, unit=None):
    return Exposure(experiment, student if unit is None else unit, student, arm, time)


# ── recording ────────────────────────────────────────────────────────────────────────────────────


def test_the_first_exposure_counts(log):
    students = ["ada", "ben", "cyd"]
    arms = [TUTORING.assign(student) for student in students]
    assert log.record(TUTORING, students[:2], time=5.0) == arms[:2]
    assert log.record(TUTORING, students, time=7.0) == arms
    assert log.record(CLASSES, ["ada"], classes=["7b"], time=8.0) == [CLASSES.assign("7b")]
    expected = [("tutoring", s, s, arm, t, False) for s, arm, t in zip(students, arms, (5.0, 5.0, 7.0), strict=True)]
    expected.append(("classes", "7b", "ada", CLASSES.assign("7b"), 8.0, False))
    assert rows(log.read()) == expected == rows(ExposureLog(log.path).read())
    assert rows(log.read().only("classes")) == expected[3:]
    assert log.experiments() == {"tutoring": TUTORING, "classes": CLASSES}


def test_students_outside_of_the_experiment_are_not_exposed(log):
    students = [str(k) for k in range(100)]
    arms = log.record(HALF, students, time=1.0)
    assert arms == [HALF.assign(student) for student in students]
    assert log.read().student.tolist() == [s for s, arm in zip(students, arms, strict=True) if arm is not None]
    assert 20 < len(log.read().student) < 80


def test_the_time_is_now_by_default(log):
    before = time.time()
    log.record(TUTORING, ["ada"])
    assert before <= log.read().time[0] <= time.time()


def test_the_file_is_plain_json(log):
    log.record(TUTORING, ["Zoë\n ".strip()], time=1.5)
    header, definition, line = log.path.read_text(encoding="utf-8").splitlines()
    assert json.loads(header) == {"format": 1, "kind": "alsim exposure log"}
    assert Experiment.from_dict(json.loads(definition)["definition"]) == TUTORING
    arm = TUTORING.assign("Zoë")
    assert json.loads(line) == dict(experiment="tutoring", unit="Zoë", student="Zoë", arm=arm, time=1.5)


def test_exposures_of_another_assignment_are_appended(log):
    assert log.append([exposure(), exposure("ben", "new"), exposure(time=3.0)], [TUTORING]) == 2
    assert log.append(iter([exposure(), exposure("cyd", "new")])) == 1
    assert [(s, a) for _, _, s, a, _, _ in rows(log.read())] == [("ada", "control"), ("ben", "new"), ("cyd", "new")]
    assert repr(log).startswith("ExposureLog(") and repr(log.read()).startswith("Exposures(experiment")


def test_nothing_is_written_without_something_new(log):
    log.record(TUTORING, ["ada"], time=1.0)
    content = log.path.read_bytes()
    log.record(TUTORING, ["ada"], time=9.0)
    log.record(TUTORING, [], time=9.0)
    assert log.path.read_bytes() == content


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda log: log.append([exposure(arm="new")]), "overlapping arms: the student 'ada' is in the arm 'control'"),
        (
            lambda log: log.append([exposure("ben", unit="7b"), exposure("cyd", "new", unit="7b")]),
            "overlapping arms: the unit '7b' is in the arm 'control' of the experiment 'tutoring', and cannot be",
        ),
        (lambda log: log.append([exposure("ben"), exposure("ben", "new")]), "overlapping arms: the student 'ben'"),
        (lambda log: log.append([exposure("ben", "nwe")]), "'tutoring' has no arm 'nwe'; expected 'control' or 'new'"),
        (lambda log: log.append([exposure("ben", experiment="other")]), "the log has no experiment 'other': pass its"),
        (lambda log: log.append([exposure("")]), "the unit of an exposure must be printable text; got ''"),
        (lambda log: log.append([exposure("a\nb")]), "must be printable text"),
        (
            lambda log: log.append([exposure("ben", time=float("nan"))]),
            "time of an exposure must be seconds .* got nan",
        ),
        (lambda log: log.append([exposure("ben", time="now")]), "got 'now': use time.time()"),
        (lambda log: log.append([("tutoring", "a", "a", "new", 1.0)]), "an exposure must be an Exposure"),
        (lambda log: log.append([exposure("b" * LONGEST_LINE)]), "lines of at most 65,536 bytes"),
        (lambda log: log.record(TUTORING, "ben"), "students must be a list of ids; got 'ben'"),
        (lambda log: log.record(TUTORING, ["ben"], time=-1), "seconds since 1970; got -1"),
        (lambda log: log.record(CLASSES, ["ben"]), "the student 'ben' has no class"),
        (lambda log: log.record(CLASSES, ["ben"], classes=["a", "b"]), "got 1 students and 2 classes"),
        (
            lambda log: log.record(Experiment("tutoring", {"control": 0.4, "new": 0.6}), ["ben"]),
            "the experiment 'tutoring' has begun with another definition: arms = ",
        ),
    ],
)
def test_invalid_exposures_change_nothing(log, call, message):
    log.append([exposure()], [TUTORING])
    content = log.path.read_bytes()
    with pytest.raises(AssignmentError, match=message) as caught:
        call(log)
    assert "\n" not in str(caught.value) and log.path.read_bytes() == content
    assert log.append([exposure("ben", "new")]) == 1  # the same object can be used afterwards
    assert log.read().student.tolist() == ["ada", "ben"]


def test_a_student_in_another_class_has_overlapping_arms(log):
    names = [f"class {k}" for k in range(20)]
    control, new = (next(name for name in names if CLASSES.assign(name) == arm) for arm in ("control", "new"))
    log.record(CLASSES, ["ada"], classes=[control])
    with pytest.raises(AssignmentError, match="overlapping arms: the student 'ada'"):
        log.record(CLASSES, ["ada"], classes=[new])


def test_more_traffic_is_recorded(log):
    log.record(HALF, ["ada"], time=1.0)
    log.record(Experiment("half", HALF.arms, traffic=0.9), ["ada"], time=2.0)
    assert log.experiments()["half"].traffic == 0.9
    with pytest.raises(AssignmentError, match="traffic = 0.9 before, and 0.5 now"):
        log.record(HALF, ["ada"])


def test_overlapping_arms_in_a_file_are_reported(log):
    """A file that another program has written: the student, and a class whose students are in different arms."""
    lines = [
        exposure(),
        exposure("ben", "new"),
        exposure(arm="new"),
        *(exposure(s, a, unit="7b") for s, a in (("cyd", "control"), ("dan", "new"))),
    ]
    log.path.write_bytes(HEADER + encoded(TUTORING) + b"".join(map(encoded, lines)))
    found = log.read()
    assert [(r[2], r[3], r[5]) for r in rows(found)] == [
        ("ada", "control", True),
        ("ben", "new", False),
        ("cyd", "control", True),
        ("dan", "new", True),
    ]
    assert rows(found) == rows(Exposures.of(lines))


def test_no_exposures_are_empty_arrays():
    found = Exposures.of([])
    assert [len(column) for column in found] == [0] * 6 and found.time.dtype == np.float64


# ── files ────────────────────────────────────────────────────────────────────────────────────────


def test_a_torn_last_line_is_ignored_and_removed_at_every_length(log):
    """The file is cut at each byte of its last 300: every complete line is read, and the next append repairs it."""
    students = [f"s{k}" for k in range(8)]
    log.record(TUTORING, students, time=1.0)
    content = log.path.read_bytes()
    for size in range(len(content) - 300, len(content)):
        log.path.write_bytes(content[:size])
        complete = content[:size].count(b"\n") - 2
        assert ExposureLog(log.path).read().student.tolist() == students[:complete]
        ExposureLog(log.path).record(TUTORING, students, time=1.0)
        assert log.path.read_bytes() == content
    for size in range(len(HEADER) + 1):
        log.path.write_bytes(HEADER[:size])
        assert len(log.read().student) == 0
        ExposureLog(log.path).record(TUTORING, students, time=1.0)
        assert log.path.read_bytes() == content


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{}\n", r"line 3, is damaged: an exposure must have the keys experiment, unit, student, arm, time; got \[\]"),
        (b"\n", "line 3, is damaged: "),
        (b'{"a":1,"a":2}\n', "line 3, is damaged: the key 'a' occurs more than once"),
        (b"[1]\n", r"line 3, is damaged: a line must be a JSON object; got \[1\]"),
        (b"\xff\n", "line 3, is damaged: 'utf-8' codec"),
        (b"\0" * 100 + b"\n", "line 3, is damaged: "),
        (b"[" * 5000 + b"\n", "line 3, is damaged: it has more than 100 values within each other"),
        (b'{"experiment":"x","unit":"u","student":"s","arm":3,"time":1}\n', "the arm of an exposure must be printable"),
        (b'{"experiment":"x","unit":"u","student":"s","arm":"a","time":NaN}\n', "seconds since 1970; got nan"),
        (b'{"definition":{"name":"x"}}\n', "line 3, is damaged: the experiment 'x' has no key 'arms'"),
        (b'{"definition":3}\n', "line 3, is damaged: an experiment must be a table; got 3"),
        (b"x" * (LONGEST_LINE + 1) + b"\n", "line 3, is damaged"),
    ],
)
def test_damaged_lines_are_named_with_their_number(log, line, message):
    log.append([], [TUTORING])
    content = log.path.read_bytes()
    for end in (b"", encoded(exposure())):
        log.path.write_bytes(content + line + end)
        for call in (log.read, log.experiments, lambda: log.record(TUTORING, ["ada"]), lambda: log.delete("ada")):
            with pytest.raises(AssignmentError, match=message) as caught:
                call()
            assert "\n" not in str(caught.value) and str(log.path) in str(caught.value)
            assert log.path.read_bytes() == content + line + end


def test_a_file_of_another_kind_is_never_changed(log):
    for content in (b"student,arm\nada,control", b"{}", b"\n", HEADER[:-1] + b" \n"):
        log.path.write_bytes(content)
        for call in (log.read, lambda: log.record(TUTORING, ["ada"]), lambda: log.delete("ada")):
            with pytest.raises(AssignmentError, match="is no exposure log of alsim: choose another file"):
                call()
        assert log.path.read_bytes() == content


@FORKS
@pytest.mark.timeout(60)
def test_pipes_directories_and_absent_files_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name, message in (("pipe", "a named pipe"), (".", "a directory"), ("no/log", "does not exist")):
        log = ExposureLog(tmp_path / name)
        with pytest.raises(AssignmentError, match=message):
            log.record(TUTORING, ["ada"])
        with pytest.raises(AssignmentError, match=message):
            log.read()
    for call in (ExposureLog("a\0b").read, lambda: ExposureLog("a\0b").record(TUTORING, ["ada"])):
        with pytest.raises(AssignmentError, match="null byte"):
            call()
    (tmp_path / "log").write_bytes(HEADER)
    with pytest.raises(AssignmentError, match=r"logg does not exist; did you mean .*log\?"):
        ExposureLog(tmp_path / "logg").read()


def test_deletion_removes_a_student_and_keeps_the_others(log):
    log.record(TUTORING, ["ada", "ben"], time=1.0)
    log.record(CLASSES, ["ada"], classes=["7b"], time=1.0)
    log.path.chmod(0o600)
    other = ExposureLog(log.path)
    other.record(TUTORING, ["cyd"], time=2.0)
    assert log.delete("ada") and not log.delete("ada")
    assert log.read().student.tolist() == ["ben", "cyd"]
    assert b"ada" not in log.path.read_bytes() and [*log.experiments()] == ["tutoring", "classes"]
    assert os.name == "nt" or stat.S_IMODE(log.path.stat().st_mode) == 0o600
    other.record(TUTORING, ["ada", "ben"], time=3.0)  # it reads the new file
    assert [(row[2], row[4]) for row in rows(log.read())] == [("ben", 1.0), ("cyd", 2.0), ("ada", 3.0)]


# ── several writers, and kills ───────────────────────────────────────────────────────────────────


def write(path, first, count, is_shared=True):
    """Record students one by one."""
    log = ExposureLog(path)
    for k in range(first, first + count):
        log.record(TUTORING, ["shared", str(k)] if is_shared else [str(k)])


def check(path):
    """Check that each student is there once with the right arm; return the students."""
    found = ExposureLog(path).read()
    assert not found.overlapping.any()
    assert found.arm.tolist() == [TUTORING.assign(student) for student in found.student.tolist()]
    lines = [json.loads(line) for line in path.read_bytes().splitlines()[2:] if line.endswith(b"}")]
    assert len(lines) == len({line["student"] for line in lines})
    return {*found.student.tolist()}


def test_threads_share_a_log(log):
    threads = [threading.Thread(target=write, args=(log.path, 100 * k, 50)) for k in range(4)]
    threads += [threading.Thread(target=log.record, args=(TUTORING, [str(k)])) for k in range(500, 520)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert check(log.path) == {
        "shared",
        *(str(100 * k + i) for k in range(4) for i in range(50)),
        *map(str, range(500, 520)),
    }


@FORKS
@FORKED
def test_processes_share_a_log(log):
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=write, args=(log.path, 100 * k, 60)) for k in range(4)]
    for process in processes:
        process.start()
    while any(process.is_alive() for process in processes):
        if log.path.exists():
            check(log.path)  # a reader finds complete lines only
    assert [process.exitcode for process in processes] == [0] * 4
    assert check(log.path) == {"shared", *(str(100 * k + i) for k in range(4) for i in range(60))}


@pytest.mark.ci
@FORKS
@FORKED
def test_a_kill_at_any_moment_leaves_a_log_that_is_read_and_continued(log):
    """40 processes are killed by SIGKILL after random times; two of them write at any moment. The seed is fixed."""
    context, random = multiprocessing.get_context("fork"), np.random.default_rng(0)
    found = set()
    for k in range(20):
        pair = [context.Process(target=write, args=(log.path, 10**6 * (2 * k + i), 10**5, False)) for i in range(2)]
        for process in pair:
            process.start()
        time.sleep(float(random.uniform(0.01, 0.05)))
        for process in pair:
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            assert process.exitcode == -signal.SIGKILL
        if log.path.exists():
            now = check(log.path)
            assert found <= now  # nothing that was there is lost
            found = now
    assert len(found) > 40
    log.record(TUTORING, ["last"])
    assert check(log.path) == found | {"last"}


@FORKS
@FORKED
def test_a_kill_in_the_middle_of_a_write_leaves_complete_lines(log, monkeypatch):
    """The process writes some bytes of three lines, and ends by SIGKILL: at each of 20 places within them."""
    log.record(TUTORING, ["first"], time=1.0)
    students = ["x", "y", "z"]
    start = log.path.read_bytes()
    whole = b"".join(encoded(exposure(s, TUTORING.assign(s), time=1.0)) for s in students)
    for size in range(0, len(whole), len(whole) // 20):
        log.path.write_bytes(start)
        child = os.fork()
        if child == 0:
            own = ExposureLog(log.path)

            def torn(stream, content, size=size, own=own):
                stream.seek(own._end)
                os.write(stream.fileno(), b"")
                os.pwrite(stream.fileno(), content[:size], own._end)
                os.kill(os.getpid(), signal.SIGKILL)

            own._append = torn
            own.record(TUTORING, students, time=1.0)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        complete = whole[:size].count(b"\n")
        assert log.path.read_bytes() == start + whole[:size]
        assert ExposureLog(log.path).read().student.tolist() == ["first", *students[:complete]]
        log.record(TUTORING, students, time=1.0)
        assert log.path.read_bytes() == start + whole
